package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/bits"
)

// golang.org/x/image reads the BMP files that most programs write. The rarer kinds
// are read here, and only where it does not: run-length encoded ones, those of 16
// bits a pixel or with masks of their own, and those with OS/2's headers
// (Microsoft, "Bitmap Storage"; MURRAY and VANRYPER, "Encyclopedia of Graphics
// File Formats", 1996, "Microsoft Windows Bitmap").

// Compression methods of a BMP.
const (
	bmpPlain     = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpMasks     = 3
	bmpAlphaMask = 6
)

// bmpHeader is what a BMP says of itself.
type bmpHeader struct {
	w, h        int
	topDown     bool
	bits        int
	compression uint32
	pixels      int // offset
	palette     color.Palette
	masks       [4]uint32 // red, green, blue, alpha
}

// readBMP parses the header of a BMP, of which the beginning may do.
func readBMP(b []byte) (h bmpHeader, err error) {
	if len(b) < 18 {
		return h, io.ErrUnexpectedEOF
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	n := int(min(u32(14), 1<<16))
	h.pixels = int(min(u32(10), 1<<30))
	entry, colours := 4, 0
	switch {
	case n != 12 && n != 16 && (n < 40 || n > 124):
		return h, fmt.Errorf("bmp: a header of %d bytes; those of 12, 16 and 40 to 124 are read", n)
	case len(b) < 14+n:
		return h, io.ErrUnexpectedEOF
	case n == 12: // OS/2 1
		h.w, h.h, h.bits, entry = u16(18), u16(20), u16(24), 3
	default:
		h.w, h.h, h.bits = int(int32(u32(18))), int(int32(u32(22))), u16(28)
	}
	if n >= 40 {
		h.compression, colours = u32(30), int(min(u32(46), 257))
	}
	if h.h < 0 {
		h.h, h.topDown = -h.h, true
	}
	if h.w < 1 || h.h < 1 {
		return h, fmt.Errorf("bmp: declares %d x %d pixels", h.w, h.h)
	}
	at := 14 + n
	if err := h.readMasks(b, n, &at); err != nil {
		return h, err
	}
	if h.bits > 8 {
		return h, nil
	}
	if colours == 0 {
		colours = 1 << h.bits
	}
	// Where the pixels begin bounds the palette, whatever it is said to have.
	if room := (h.pixels - at) / entry; room > 0 {
		colours = min(colours, room)
	}
	if len(b) < at+colours*entry {
		return h, io.ErrUnexpectedEOF
	}
	for i := range min(colours, 1<<h.bits) {
		c := b[at+i*entry:]
		h.palette = append(h.palette, color.RGBA{c[2], c[1], c[0], 255})
	}
	return h, nil
}

// readMasks finds out which bits of a pixel are which colour, and refuses the
// kinds that are not read. at is where the palette begins, which masks of their
// own may move.
func (h *bmpHeader) readMasks(b []byte, headerBytes int, at *int) error {
	plain := h.compression == bmpPlain
	masked := h.compression == bmpMasks || h.compression == bmpAlphaMask
	switch {
	case (h.bits == 1 || h.bits == 2 || h.bits == 4 || h.bits == 8 || h.bits == 24) && plain:
		return nil
	case h.bits == 8 && h.compression == bmpRLE8, h.bits == 4 && h.compression == bmpRLE4:
		if h.topDown {
			return errors.New("bmp: run-length encoded from the top, which the format does not have")
		}
		return nil
	case h.bits == 16 && plain:
		h.masks = [4]uint32{0x7c00, 0x3e0, 0x1f, 0}
		return nil
	case h.bits == 32 && plain:
		h.masks = [4]uint32{0xff0000, 0xff00, 0xff, 0}
		return nil
	case (h.bits == 16 || h.bits == 32) && masked:
	default:
		return fmt.Errorf("bmp: %d bits a pixel with compression %d is not read; save it as png", h.bits, h.compression)
	}
	n := 3
	if h.compression == bmpAlphaMask || headerBytes >= 56 {
		n = 4
	}
	if len(b) < 54+4*n {
		return io.ErrUnexpectedEOF
	}
	for i := range n {
		h.masks[i] = binary.LittleEndian.Uint32(b[54+4*i:])
		if m := h.masks[i] >> bits.TrailingZeros32(h.masks[i]|1<<31); m&(m+1) != 0 || i < 3 && m == 0 {
			return fmt.Errorf("bmp: the mask %#x of a colour is not read; save it as png", h.masks[i])
		}
	}
	if headerBytes == 40 {
		*at += 4 * n
	}
	return nil
}

// decodeBMP decodes a BMP, whose dimensions have passed inspectImage.
func decodeBMP(b []byte) (image.Image, error) {
	h, err := readBMP(b)
	if err != nil {
		return nil, err
	}
	if h.pixels > len(b) {
		return nil, io.ErrUnexpectedEOF
	}
	in := b[h.pixels:]
	if h.compression == bmpRLE8 || h.compression == bmpRLE4 {
		return h.decodeRuns(in)
	}
	stride := (h.w*h.bits + 31) / 32 * 4
	if len(in) < stride*h.h {
		return nil, io.ErrUnexpectedEOF
	}
	out := image.NewNRGBA(image.Rect(0, 0, h.w, h.h))
	for y := range h.h {
		row := in[y*stride:][:stride]
		to := h.h - 1 - y
		if h.topDown {
			to = y
		}
		dst := out.Pix[to*out.Stride:][:4*h.w]
		for x := range h.w {
			p := dst[4*x:][:4]
			switch h.bits {
			case 16:
				h.unmask(p, uint32(binary.LittleEndian.Uint16(row[2*x:])))
			case 32:
				h.unmask(p, binary.LittleEndian.Uint32(row[4*x:]))
			case 24:
				p[0], p[1], p[2], p[3] = row[3*x+2], row[3*x+1], row[3*x], 255
			default:
				i := int(row[x*h.bits/8]) >> (8 - h.bits - x*h.bits%8) & (1<<h.bits - 1)
				if i >= len(h.palette) {
					return nil, errors.New("bmp: a pixel has no colour in the palette")
				}
				c := h.palette[i].(color.RGBA)
				p[0], p[1], p[2], p[3] = c.R, c.G, c.B, 255
			}
		}
	}
	return out, nil
}

// unmask writes the colour of a pixel; alpha without a mask is opaque.
func (h *bmpHeader) unmask(p []uint8, v uint32) {
	for i, mask := range h.masks {
		p[i] = 255
		if shift := bits.TrailingZeros32(mask); mask != 0 {
			p[i] = uint8(uint64(v&mask>>shift) * 255 / uint64(mask>>shift))
		}
	}
}

// decodeRuns decodes run-length encoded pixels. What no run covers is the first
// colour.
func (h *bmpHeader) decodeRuns(in []byte) (image.Image, error) {
	out := image.NewPaletted(image.Rect(0, 0, h.w, h.h), h.palette)
	x, y := 0, h.h-1
	// put writes n pixels, drawn in turn from pairs of 4 bits or from bytes.
	put := func(n int, at func(i int) byte) error {
		for i := range n {
			var v byte
			if h.compression == bmpRLE4 {
				v = at(i/2) >> (4 * (1 - i%2)) & 15
			} else {
				v = at(i)
			}
			if int(v) >= len(h.palette) {
				return errors.New("bmp: a pixel has no colour in the palette")
			}
			if x < h.w && y >= 0 {
				out.Pix[y*out.Stride+x] = v
			}
			x++
		}
		return nil
	}
	for y >= 0 {
		if len(in) < 2 {
			return nil, io.ErrUnexpectedEOF
		}
		count, code := int(in[0]), in[1]
		in = in[2:]
		var err error
		switch {
		case count > 0:
			err = put(count, func(int) byte { return code })
		case code == 0: // end of the row
			x, y = 0, y-1
		case code == 1: // of the image
			return out, nil
		case code == 2: // a move
			if len(in) < 2 {
				return nil, io.ErrUnexpectedEOF
			}
			x, y = x+int(in[0]), y-int(in[1])
			in = in[2:]
		default: // pixels as they are, padded to 16 bits
			n := int(code)
			if h.compression == bmpRLE4 {
				n = (n + 1) / 2
			}
			if len(in) < n {
				return nil, io.ErrUnexpectedEOF
			}
			err = put(int(code), func(i int) byte { return in[i] })
			in = in[min(n+n%2, len(in)):]
		}
		if err != nil {
			return nil, err
		}
		if x > 1<<30 {
			return nil, errors.New("bmp: a row without an end")
		}
	}
	return out, nil
}
