package data

import (
	"fmt"
	"image"

	"golang.org/x/image/draw"
)

// Fit says how an image of another aspect ratio becomes the target's size.
type Fit string

const (
	// FitCrop scales until the image covers the target and cuts off what sticks
	// out, equally on both sides. It keeps shapes, as classifiers are usually
	// trained, and loses borders.
	FitCrop Fit = "crop"
	// FitStretch scales height and width separately. It keeps everything and
	// changes shapes.
	FitStretch Fit = "stretch"
)

// validate reports a fit that is not one of the set.
func (f Fit) validate() error {
	switch f {
	case "", FitCrop, FitStretch:
		return nil
	}
	return fmt.Errorf("data: fit %q; choose one of %q, %q", f, FitCrop, FitStretch)
}

// fitTo writes m, an opaque image, to dst as t says.
func fitTo(m *image.RGBA, dst []uint8, t target, s *scratch) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	if w != t.w || h != t.h {
		out := sized(&s.scaled, t.w, t.h)
		// BiLinear's support grows when it shrinks an image, as PIL's does: every
		// source pixel counts, nothing is skipped.
		draw.BiLinear.Scale(out, out.Rect, m, window(w, h, t), draw.Src, nil)
		m = out
	}
	pack(dst, m, t.c)
}

// window is the part of a w by h image that becomes the target.
func window(w, h int, t target) image.Rectangle {
	r := image.Rect(0, 0, w, h)
	if t.fit == FitStretch {
		return r
	}
	// Compare w/h with t.w/t.h without dividing.
	if cw := (h*t.w + t.h/2) / t.h; cw < w {
		cw = max(cw, 1)
		r.Min.X = (w - cw) / 2
		r.Max.X = r.Min.X + cw
	} else if ch := (w*t.h + t.w/2) / t.w; ch < h {
		ch = max(ch, 1)
		r.Min.Y = (h - ch) / 2
		r.Max.Y = r.Min.Y + ch
	}
	return r
}

// pack writes the colour or the luma of m.
func pack(dst []uint8, m *image.RGBA, channels int) {
	n := m.Rect.Dx() * m.Rect.Dy()
	if channels == 1 {
		for i := range dst[:n] {
			p := m.Pix[4*i : 4*i+3 : 4*i+3]
			dst[i] = luma(p[0], p[1], p[2])
		}
		return
	}
	for i := range n {
		p, q := dst[3*i:3*i+3:3*i+3], m.Pix[4*i:4*i+3:4*i+3]
		p[0], p[1], p[2] = q[0], q[1], q[2]
	}
}

// luma is PIL's conversion to mode "L": Rec. 601 weights in 16-bit fixed point.
// Their sum is exactly 1, so grey stays what it was.
func luma(r, g, b uint8) uint8 {
	return uint8((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 1<<15) >> 16)
}
