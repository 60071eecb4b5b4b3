package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"

	// The formats that Open reads register themselves with package image.
	_ "image/gif"
	"image/jpeg"
	_ "image/png"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"
)

// target is what every sample of a set becomes.
type target struct {
	h, w, c int
	fit     Fit
}

// bytes is the size of one sample.
func (t target) bytes() int { return t.h * t.w * t.c }

// header is what is known of an image before its pixels are decoded.
type header struct {
	h, w int  // upright, as a viewer shows it
	grey bool // no pixel can have a colour
}

// scratch is one goroutine's reusable memory for decoding.
type scratch struct {
	file   []byte
	flat   image.RGBA // the whole image as opaque colour
	turned image.RGBA // flat turned upright
	scaled image.RGBA // flat at the target's size
	chroma []uint8
	row    []uint8 // one sample
}

// maxSide bounds the target's height and width.
const maxSide = 16384

// sized makes m an image of w by h over memory it already has where that is
// enough. Its content is undefined.
func sized(m *image.RGBA, w, h int) *image.RGBA {
	n := 4 * w * h
	if cap(m.Pix) < n {
		m.Pix = make([]uint8, n)
	}
	m.Pix, m.Stride, m.Rect = m.Pix[:n], 4*w, image.Rect(0, 0, w, h)
	return m
}

// imageExtensions are the file names taken for images, lower case.
var imageExtensions = map[string]bool{
	".png": true, ".jpg": true, ".jpeg": true, ".jpe": true, ".jfif": true, ".gif": true, ".bmp": true, ".webp": true,
}

// unreadImages are image formats that are not read; a note says so when a data
// set holds some.
var unreadImages = map[string]bool{
	".tif": true, ".tiff": true, ".heic": true, ".heif": true, ".avif": true, ".jp2": true, ".jxl": true,
	".ppm": true, ".pgm": true, ".pnm": true, ".ico": true, ".svg": true,
}

// inspectImage reads the dimensions of an encoded image, of which the beginning
// may do.
func inspectImage(b []byte, maxPixels int) (header, error) {
	cfg, format, err := decodeConfig(b)
	if err != nil {
		return header{}, err
	}
	h := header{h: cfg.Height, w: cfg.Width}
	if h.h <= 0 || h.w <= 0 {
		return header{}, fmt.Errorf("%s: declares %d x %d pixels", format, h.w, h.h)
	}
	if h.w > maxPixels/h.h {
		return header{}, fmt.Errorf("%s: declares %d x %d pixels; at most %d are decoded", format, h.w, h.h, maxPixels)
	}
	switch m := cfg.ColorModel; m {
	case color.GrayModel, color.Gray16Model:
		h.grey = true
	default:
		// A GIF's frame may have a palette of its own, which is not known yet.
		if p, ok := m.(color.Palette); ok && format != "gif" {
			h.grey = greyPalette(p)
		}
	}
	if format == "jpeg" && orientation(b) >= 5 {
		h.h, h.w = h.w, h.h
	}
	return h, nil
}

// greyPalette reports whether every colour of p is an opaque grey.
func greyPalette(p color.Palette) bool {
	for _, c := range p {
		r, g, b, a := c.RGBA()
		if r != g || g != b || a != 0xffff {
			return false
		}
	}
	return len(p) > 0
}

// errNotImage replaces image.ErrFormat, whose text names no way out.
var errNotImage = errors.New("not a png, jpeg, gif, bmp or webp image, whatever its name says")

// decodeConfig is image.DecodeConfig with decoder panics turned into errors, and
// errors that say what happened.
func decodeConfig(b []byte) (cfg image.Config, format string, err error) {
	defer recoverDecoder(&err)
	// A Buffer rather than a Reader: it can Peek, which spares package image a copy.
	cfg, format, err = image.DecodeConfig(bytes.NewBuffer(b))
	if err != nil && bytes.HasPrefix(b, bmpMagic) {
		var h bmpHeader
		format = "bmp"
		if h, err = readBMP(b); err == nil {
			cfg = image.Config{ColorModel: color.NRGBAModel, Width: h.w, Height: h.h}
			if h.palette != nil {
				cfg.ColorModel = h.palette
			}
		}
	}
	return cfg, format, decoderError(b, err)
}

// bmpMagic begins every BMP.
var bmpMagic = []byte("BM")

// decoderError improves a decoder's error.
func decoderError(b []byte, err error) error {
	switch {
	case err == nil:
		return nil
	case len(b) == 0:
		return errors.New("the file is empty")
	case errors.Is(err, image.ErrFormat):
		return errNotImage
	case errors.As(err, new(jpeg.UnsupportedError)):
		return fmt.Errorf("%w; save it as a jpeg with 4:2:0 chroma, or as png", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the image was cut short: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// recoverDecoder turns a panic of an image decoder into an error.
func recoverDecoder(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the decoder failed: %v", p)
	}
}

// decodeImage decodes b into dst as t says. Its dimensions have passed
// inspectImage, since it takes memory for every pixel.
func decodeImage(b []byte, dst []uint8, t target, s *scratch) (err error) {
	defer recoverDecoder(&err)
	m, format, err := decodePixels(b)
	if err != nil {
		return decoderError(b, err)
	}
	rgba := flatten(m, format, s)
	if format == "jpeg" {
		rgba = upright(rgba, orientation(b), s)
	}
	fitTo(rgba, dst, t, s)
	return nil
}

// decodePixels is image.Decode for all that is read here.
func decodePixels(b []byte) (m image.Image, format string, err error) {
	if frame := webpAnimation(b); frame != nil {
		m, err = decodeWebPFrame(b, frame)
		return m, "webp", err
	}
	m, format, err = image.Decode(bytes.NewBuffer(b))
	switch {
	case err != nil && bytes.HasPrefix(b, bmpMagic):
		m, err = decodeBMP(b)
		return m, "bmp", err
	case err == nil && format == "gif":
		m, err = placeFrame(b, m)
	}
	return m, format, err
}

// placeFrame puts a GIF's first frame where it belongs on the canvas; what it
// leaves uncovered is white, like everything transparent.
func placeFrame(b []byte, frame image.Image) (image.Image, error) {
	cfg, _, err := decodeConfig(b)
	if err != nil {
		return nil, err
	}
	canvas := image.Rect(0, 0, cfg.Width, cfg.Height)
	if frame.Bounds() == canvas {
		return frame, nil
	}
	out := image.NewNRGBA(canvas)
	r := frame.Bounds().Intersect(canvas)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			out.Set(x, y, frame.At(x, y))
		}
	}
	return out, nil
}

// flatten converts a decoded image to opaque 8-bit colour in s.flat: alpha over
// white, 16-bit samples by their high byte, grey repeated.
func flatten(m image.Image, format string, s *scratch) *image.RGBA {
	r := m.Bounds()
	w, h := r.Dx(), r.Dy()
	out := sized(&s.flat, w, h)
	switch m := m.(type) {
	case *image.YCbCr:
		s.ycbcr(out, m, coefficients(format))
	case *image.NYCbCrA:
		s.ycbcr(out, &m.YCbCr, coefficients(format))
		for y := range h {
			row := out.Pix[y*out.Stride:]
			alpha := m.A[m.AOffset(r.Min.X, r.Min.Y+y):]
			for x := range w {
				overWhite(row[4*x:4*x+4], alpha[x])
			}
		}
	case *image.Gray:
		for y := range h {
			row := out.Pix[y*out.Stride:]
			in := m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):]
			for x, v := range in[:w] {
				p := row[4*x : 4*x+4 : 4*x+4]
				p[0], p[1], p[2], p[3] = v, v, v, 255
			}
		}
	case *image.Gray16:
		for y := range h {
			row := out.Pix[y*out.Stride:]
			in := m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):]
			for x := range w {
				p := row[4*x : 4*x+4 : 4*x+4]
				v := in[2*x]
				p[0], p[1], p[2], p[3] = v, v, v, 255
			}
		}
	case *image.RGBA: // alpha-premultiplied: over white adds what is missing
		for y := range h {
			row := out.Pix[y*out.Stride:]
			in := m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):]
			for x := range w {
				p, q := row[4*x:4*x+4:4*x+4], in[4*x:4*x+4:4*x+4]
				white := 255 - q[3]
				p[0], p[1], p[2], p[3] = sat(q[0], white), sat(q[1], white), sat(q[2], white), 255
			}
		}
	case *image.NRGBA:
		for y := range h {
			row := out.Pix[y*out.Stride:]
			in := m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):]
			copy(row[:4*w], in)
			for x := range w {
				overWhite(row[4*x:4*x+4], row[4*x+3])
			}
		}
	case *image.NRGBA64:
		for y := range h {
			row := out.Pix[y*out.Stride:]
			in := m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):]
			for x := range w {
				p, q := row[4*x:4*x+4:4*x+4], in[8*x:8*x+8:8*x+8]
				p[0], p[1], p[2] = q[0], q[2], q[4]
				overWhite(p, q[6])
			}
		}
	case *image.Paletted:
		var table [256][4]uint8
		for i := range table {
			if i < len(m.Palette) {
				c := color.NRGBAModel.Convert(m.Palette[i]).(color.NRGBA)
				table[i] = [4]uint8{c.R, c.G, c.B, c.A}
			}
			overWhite(table[i][:], table[i][3])
		}
		for y := range h {
			row := out.Pix[y*out.Stride:]
			in := m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):]
			for x, i := range in[:w] {
				copy(row[4*x:4*x+4], table[i][:])
			}
		}
	case *image.CMYK:
		for y := range h {
			row := out.Pix[y*out.Stride:]
			in := m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):]
			for x := range w {
				p, q := row[4*x:4*x+4:4*x+4], in[4*x:4*x+4:4*x+4]
				p[0], p[1], p[2] = color.CMYKToRGB(q[0], q[1], q[2], q[3])
				p[3] = 255
			}
		}
	default: // image.RGBA64 (16-bit PNG without alpha) and whatever a decoder may return
		for y := range h {
			row := out.Pix[y*out.Stride:]
			for x := range w {
				p := row[4*x : 4*x+4 : 4*x+4]
				r, g, b, a := m.At(r.Min.X+x, r.Min.Y+y).RGBA()
				white := uint8((0xffff - a) >> 8)
				p[0], p[1], p[2], p[3] = sat(uint8(r>>8), white), sat(uint8(g>>8), white), sat(uint8(b>>8), white), 255
			}
		}
	}
	return out
}

// overWhite composites the non-premultiplied colour p over white by alpha.
func overWhite(p []uint8, alpha uint8) {
	if alpha != 255 {
		a := uint32(alpha)
		for i, v := range p[:3] {
			p[i] = uint8((uint32(v)*a + 255*(255-a) + 127) / 255)
		}
	}
	p[3] = 255
}

// sat adds and stops at 255.
func sat(a, b uint8) uint8 {
	if v := uint(a) + uint(b); v < 255 {
		return uint8(v)
	}
	return 255
}

// orientation returns the EXIF orientation of a JPEG, 1..8; 1, upright, where
// there is none or it cannot be understood (CIPA DC-008, "Exif 2.3", 4.6.4, tag
// 0x0112).
func orientation(b []byte) int {
	for at := 2; at+4 <= len(b) && b[at] == 0xff; {
		marker, n := b[at+1], int(b[at+2])<<8|int(b[at+3])
		if marker == 0xda || marker == 0xd9 || n < 2 { // the pixels, the end
			break
		}
		end := at + 2 + n
		if end > len(b) {
			break
		}
		if seg := b[at+4 : end]; marker == 0xe1 && bytes.HasPrefix(seg, []byte("Exif\x00\x00")) {
			return tiffOrientation(seg[6:])
		}
		at = end
	}
	return 1
}

// tiffOrientation finds the orientation tag in the first directory of an EXIF
// block.
func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:2]) {
	case "II":
	case "MM":
		order = binary.BigEndian
	default:
		return 1
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 1
	}
	for n := order.Uint16(b[at:]); n > 0; n-- {
		entry := at + 2
		if entry+12 > uint64(len(b)) {
			return 1
		}
		if order.Uint16(b[entry:]) == 0x0112 {
			if v := order.Uint16(b[entry+8:]); v >= 1 && v <= 8 {
				return int(v)
			}
			return 1
		}
		at += 12
	}
	return 1
}

// upright turns m as an EXIF orientation says.
func upright(m *image.RGBA, o int, s *scratch) *image.RGBA {
	if o <= 1 || o > 8 {
		return m
	}
	w, h := m.Rect.Dx(), m.Rect.Dy()
	ow, oh := w, h
	if o >= 5 {
		ow, oh = h, w
	}
	out := sized(&s.turned, ow, oh)
	for y := range oh {
		for x := range ow {
			var sx, sy int
			switch o {
			case 2: // mirrored
				sx, sy = w-1-x, y
			case 3: // half a turn
				sx, sy = w-1-x, h-1-y
			case 4: // upside down and mirrored
				sx, sy = x, h-1-y
			case 5: // transposed
				sx, sy = y, x
			case 6: // needs a quarter turn clockwise
				sx, sy = y, h-1-x
			case 7: // transposed along the other diagonal
				sx, sy = w-1-y, h-1-x
			case 8: // needs a quarter turn counter-clockwise
				sx, sy = w-1-y, x
			}
			copy(out.Pix[y*out.Stride+4*x:][:4], m.Pix[sy*m.Stride+4*sx:][:4])
		}
	}
	return out
}
