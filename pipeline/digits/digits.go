package digits

import (
	"runtime"
	"strconv"
	"sync"
)

// The shape of every image and the number of digits.
const (
	Size     = 32                     // height and width in pixels
	Channels = 3                      // red, green, blue
	Classes  = 10                     // label k is the digit k
	Bytes    = Size * Size * Channels // bytes of one image
)

// Names returns the class names in label order, "0" to "9".
func Names() []string {
	names := make([]string, Classes)
	for k := range names {
		names[k] = strconv.Itoa(k)
	}
	return names
}

// Label returns the label of image number index without drawing the image.
func Label(seed uint64, index int) int {
	block, place := floorDiv(index, Classes)
	s := newStream(seed^labelSalt, block)
	var order [Classes]int
	for k := range order {
		order[k] = k
	}
	for k := Classes - 1; k > 0; k-- {
		j := s.below(k + 1)
		order[k], order[j] = order[j], order[k]
	}
	return order[place]
}

// Images is a drawn set.
type Images struct {
	Pixels []uint8 // [N, Size, Size, Channels]
	Labels []int   // [N]
}

// Len returns the number of images, N.
func (s Images) Len() int { return len(s.Labels) }

// Image returns the pixels of image i, sharing memory with the set.
func (s Images) Image(i int) []uint8 { return s.Pixels[i*Bytes : (i+1)*Bytes : (i+1)*Bytes] }

// Set draws images 0 to n-1 of the set named by seed, on all processors. A
// longer set begins with a shorter one of the same seed. With n below one the
// set is empty.
func Set(seed uint64, n int) Images {
	n = max(n, 0)
	set := Images{Pixels: make([]uint8, n*Bytes), Labels: make([]int, n)}
	workers := runtime.GOMAXPROCS(0)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n; i += workers {
				set.Labels[i] = draw(set.Image(i), seed, i)
			}
		})
	}
	wait.Wait()
	return set
}

// draw fills pixels with image number index and returns its label. Any index is
// valid, also a negative one; the set has no end.
func draw(pixels []uint8, seed uint64, index int) int {
	label := Label(seed, index)
	s := newStream(seed, index)
	compose(&s, label).store(pixels)
	return label
}

// floorDiv divides rounding down, so that blocks of labels stay whole below
// index zero too. The remainder is in [0, d).
func floorDiv(n, d int) (quotient, remainder int) {
	quotient, remainder = n/d, n%d
	if remainder < 0 {
		quotient, remainder = quotient-1, remainder+d
	}
	return quotient, remainder
}
