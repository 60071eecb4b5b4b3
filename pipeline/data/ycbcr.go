package data

import (
	"image"
	"slices"
)

// Package image keeps the chroma planes of a JPEG at the resolution they were
// stored in and repeats each sample when a pixel is asked for. libjpeg, and with
// it PIL, OpenCV and TensorFlow, interpolates them ("fancy upsampling"), and so
// does libwebp. A teacher was trained on what those show. On the 10,000 test
// images of a 32x32 CIFAR-10 stored as JPEG with halved chroma, repeated samples
// differ from PIL's pixels by 1.3 levels on average and 85 at most; interpolated
// as below, which follows jdsample.c and jdcolor.c of libjpeg-turbo, by 0.03 and 3.

// yuv is a conversion from luma and chroma to colour in 16-bit fixed point:
//
//	R = y·(Y-black)           + rv·(Cr-128)
//	G = y·(Y-black) - gu·(Cb-128) - gv·(Cr-128)
//	B = y·(Y-black) + bu·(Cb-128)
type yuv struct{ black, y, rv, gu, gv, bu int32 }

var (
	// jfif is full-range BT.601, as JPEG uses it.
	jfif = yuv{0, 1 << 16, 91881, 22554, 46802, 116130} // 1.402, 0.344136, 0.714136, 1.772
	// studio is BT.601 with luma in 16..235, as WebP's lossy format uses it (RFC
	// 6386, section 9.2).
	studio = yuv{16, 76309, 104597, 25675, 53279, 132201} // 255/219 and the above times 255/224
)

// coefficients returns the conversion that a format's luma and chroma mean.
func coefficients(format string) yuv {
	if format == "webp" {
		return studio
	}
	return jfif
}

// ycbcr converts m to colour.
func (s *scratch) ycbcr(out *image.RGBA, m *image.YCbCr, k yuv) {
	r := m.Rect
	w, h := r.Dx(), r.Dy()
	s.chroma = slices.Grow(s.chroma[:0], 2*w)[:2*w]
	cb, cr := s.chroma[:w], s.chroma[w:]
	for y := range h {
		upsample(cb, m, m.Cb, y)
		upsample(cr, m, m.Cr, y)
		luma := m.Y[m.YOffset(r.Min.X, r.Min.Y+y):][:w]
		row := out.Pix[y*out.Stride:][:4*w]
		for x, l := range luma {
			yy := (int32(l)-k.black)*k.y + 1<<15
			u, v := int32(cb[x])-128, int32(cr[x])-128
			p := row[4*x : 4*x+4 : 4*x+4]
			p[0] = clamp8((yy + k.rv*v) >> 16)
			p[1] = clamp8((yy - k.gu*u - k.gv*v) >> 16)
			p[2] = clamp8((yy + k.bu*u) >> 16)
			p[3] = 255
		}
	}
}

func clamp8(v int32) uint8 {
	if uint32(v) <= 255 {
		return uint8(v)
	}
	return uint8(^(v >> 31)) // 0 below, 255 above
}

// upsample writes row y of a chroma plane at full resolution. Each new sample is
// 3/4 the nearer and 1/4 the further old one, along each axis that was halved.
func upsample(dst []uint8, m *image.YCbCr, plane []uint8, y int) {
	r := m.Rect
	w, h := r.Dx(), r.Dy()
	cw, ch := w, h
	halfW, halfH := false, false
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		halfW, halfH = true, true
	case image.YCbCrSubsampleRatio422:
		halfW = true
	case image.YCbCrSubsampleRatio440:
		halfH = true
	}
	if halfW {
		cw = (w + 1) / 2
	}
	if halfH {
		ch = (h + 1) / 2
	}
	// libjpeg repeats where there is too little to interpolate; so do the rare
	// quarter-width ratios.
	if !(halfW || halfH) || (halfW && cw <= 2) || r.Min != (image.Point{}) {
		for x := range dst {
			dst[x] = plane[m.COffset(r.Min.X+x, r.Min.Y+y)]
		}
		return
	}
	near, far := y, y
	if halfH {
		near = y / 2
		far = min(max(near-1+2*(y&1), 0), ch-1)
	}
	a := plane[near*m.CStride:][:cw]
	b := plane[far*m.CStride:][:cw]
	switch {
	case !halfW: // h1v2
		bias := 1 + y&1
		for x := range dst {
			dst[x] = uint8((3*int(a[x]) + int(b[x]) + bias) >> 2)
		}
	case !halfH: // h2v1
		for x := range dst {
			c := x / 2
			if x&1 == 0 {
				dst[x] = uint8((3*int(a[c]) + int(a[max(c-1, 0)]) + 1) >> 2)
			} else {
				dst[x] = uint8((3*int(a[c]) + int(a[min(c+1, cw-1)]) + 2) >> 2)
			}
		}
	default: // h2v2
		this := 3*int(a[0]) + int(b[0])
		last := this
		for c := range cw {
			next := this
			if c+1 < cw {
				next = 3*int(a[c+1]) + int(b[c+1])
			}
			dst[2*c] = uint8((3*this + last + 8) >> 4)
			if 2*c+1 < w {
				dst[2*c+1] = uint8((3*this + next + 7) >> 4)
			}
			last, this = this, next
		}
	}
}
