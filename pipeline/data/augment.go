package data

import (
	"cmp"
	"fmt"
	"strings"
)

// PadMode says what surrounds an image before a random crop is taken.
type PadMode string

const (
	// PadReflect mirrors the image about its edge pixels without repeating them,
	// as numpy's and PyTorch's "reflect" do. Pad must be smaller than the image.
	PadReflect PadMode = "reflect"
	// PadZero surrounds the image with black.
	PadZero PadMode = "zero"
)

// Augment is the random change made to each training image: pad on all sides and
// crop back to the original size at a random place, then perhaps mirror. The zero
// value changes nothing.
//
// The draws depend on (seed, sample identity, view) only, and each is made
// whether or not it is used: switching Flip on does not move the crops.
type Augment struct {
	// Pad is the number of pixels added on each side before the crop; 0 is no
	// padding and no crop. CIFAR recipes use 4.
	Pad int
	// PadMode is PadReflect or PadZero; "" is PadReflect.
	PadMode PadMode
	// Flip mirrors the image left to right with probability one half.
	Flip bool
}

// Enabled reports whether a changes anything.
func (a Augment) Enabled() bool { return a.Pad != 0 || a.Flip }

// String says what a does, the same for settings that do the same; "" is nothing.
func (a Augment) String() string {
	var does []string
	if a.Pad != 0 {
		does = append(does, fmt.Sprintf("pad %d %s", a.Pad, cmp.Or(a.PadMode, PadReflect)))
	}
	if a.Flip {
		does = append(does, "flip")
	}
	return strings.Join(does, ", ")
}

// Validate reports settings that cannot be used on images of h by w pixels.
func (a Augment) Validate(h, w int) error {
	switch a.PadMode {
	case "", PadReflect, PadZero:
	default:
		return fmt.Errorf("data: pad mode %q; choose one of %q, %q", a.PadMode, PadReflect, PadZero)
	}
	switch {
	case a.Pad < 0:
		return fmt.Errorf("data: pad is %d pixels; it must be 0 (off) or more", a.Pad)
	case a.PadMode != PadZero && a.Pad > 0 && (a.Pad >= h || a.Pad >= w):
		return fmt.Errorf("data: reflecting pads at most one pixel less than the image, got pad %d for images of %dx%d; "+
			"use a smaller pad or pad mode %q", a.Pad, h, w, PadZero)
	case a.Pad > maxSide:
		return fmt.Errorf("data: pad is %d pixels; at most %d", a.Pad, maxSide)
	}
	return nil
}

// draw returns the crop's offset in the padded image, 0..2*Pad each way, and
// whether to mirror.
func (a Augment) draw(seed, id uint64, view uint32) (dy, dx int, flip bool) {
	s := newStream(drawAugment, seed, id, uint64(view))
	dy = s.below(2*a.Pad + 1)
	dx = s.below(2*a.Pad + 1)
	flip = s.next()>>63 == 1
	return dy, dx, flip && a.Flip
}

// apply writes the view of src, [h, w, c], to dst of the same size. a has passed
// Validate. columns is scratch of at least w ints.
func (a Augment) apply(dst, src []uint8, h, w, c int, seed, id uint64, view uint32, columns []int) {
	dy, dx, flip := a.draw(seed, id, view)
	if dy == a.Pad && dx == a.Pad && !flip {
		copy(dst, src)
		return
	}
	columns = columns[:w]
	for x := range columns {
		at := x
		if flip {
			at = w - 1 - x
		}
		columns[x] = a.source(at+dx-a.Pad, w)
	}
	row := w * c
	for y := range h {
		out := dst[y*row : (y+1)*row]
		from := a.source(y+dy-a.Pad, h)
		if from < 0 {
			clear(out)
			continue
		}
		in := src[from*row : (from+1)*row]
		if c == 3 {
			for x, at := range columns {
				o := out[3*x : 3*x+3 : 3*x+3]
				if at < 0 {
					o[0], o[1], o[2] = 0, 0, 0
					continue
				}
				p := in[3*at : 3*at+3 : 3*at+3]
				o[0], o[1], o[2] = p[0], p[1], p[2]
			}
			continue
		}
		for x, at := range columns {
			if at < 0 {
				clear(out[x*c : (x+1)*c])
				continue
			}
			copy(out[x*c:(x+1)*c], in[at*c:(at+1)*c])
		}
	}
}

// source maps a position on an axis of length n, possibly outside it, to the
// position whose value it takes; -1 is black.
func (a Augment) source(i, n int) int {
	switch {
	case i >= 0 && i < n:
		return i
	case a.PadMode == PadZero:
		return -1
	case i < 0:
		return -i
	default:
		return 2*(n-1) - i
	}
}
