package digits

import (
	"math/bits"
	"math/rand/v2"
)

// labelSalt parts the stream that orders labels from the one that draws images.
// It is the first 64 bits of the fraction of pi.
const labelSalt = 0x243f6a8885a308d3

// stream is the random numbers of one image. It uses the PCG generator, whose
// sequence is specified, and its own integer ranges, since those of
// math/rand/v2 are free to change between Go releases.
type stream struct{ pcg rand.PCG }

func newStream(seed uint64, index int) stream {
	var s stream
	// Neighbouring indices are scattered first: a congruential generator started
	// from neighbouring states stays correlated for a few numbers.
	s.pcg.Seed(scatter(seed), scatter(uint64(index)+scatter(seed+1)))
	return s
}

// scatter is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns a number in [0, n).
func (s *stream) below(n int) int {
	high, _ := bits.Mul64(s.pcg.Uint64(), uint64(n))
	return int(high)
}

// between returns a number in [low, high].
func (s *stream) between(low, high int) int { return low + s.below(high-low+1) }

// either returns a number in [-span, span].
func (s *stream) either(span int) int { return s.between(-span, span) }

// chance is true in the given percentage of calls.
func (s *stream) chance(percent int) bool { return s.below(100) < percent }

// bell returns a number in about [-2*spread, 2*spread], close to normal with
// standard deviation spread: four uniform bytes of one draw are summed.
func (s *stream) bell(spread int) int {
	u := uint32(s.pcg.Uint64() >> 32)
	sum := int(u&255) + int(u>>8&255) + int(u>>16&255) + int(u>>24) - 510
	// The sum of four uniform bytes has standard deviation 255/sqrt(3), about 147.
	return sum * spread / 147
}
