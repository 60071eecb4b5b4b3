package data

import "math/bits"

// stream is a counter-based generator: SplitMix64 (Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014) started from a hash
// of its keys. It is written out here, rather than taken from math/rand/v2, so
// that a seed means the same batches under every version of Go.
type stream struct{ state uint64 }

// What a stream is for; the first key, so that no two uses share draws.
const (
	drawShuffle uint64 = 1 + iota
	drawAugment
	drawTest
	drawVal
	drawLimit
	drawTake
)

// golden is 2^64 divided by the golden ratio, SplitMix64's increment.
const golden = 0x9e3779b97f4a7c15

// mix is SplitMix64's output function.
func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// key folds numbers into one; their order matters.
func key(numbers ...uint64) uint64 {
	h := uint64(golden)
	for _, n := range numbers {
		h = mix(h+n) + golden
	}
	return mix(h)
}

// newStream returns the generator of the given keys.
func newStream(keys ...uint64) stream { return stream{state: key(keys...)} }

// next returns 64 uniform bits.
func (s *stream) next() uint64 {
	s.state += golden
	return mix(s.state)
}

// below returns a uniform number in [0, n), n > 0, by Lemire's method ("Fast
// random integer generation in an interval", 2019).
func (s *stream) below(n int) int {
	bound := uint64(n)
	hi, lo := bits.Mul64(s.next(), bound)
	if lo < bound {
		for reject := -bound % bound; lo < reject; {
			hi, lo = bits.Mul64(s.next(), bound)
		}
	}
	return int(hi)
}

// shuffle permutes p in place (Fisher and Yates).
func (s *stream) shuffle(p []int32) {
	for i := len(p) - 1; i > 0; i-- {
		j := s.below(i + 1)
		p[i], p[j] = p[j], p[i]
	}
}
