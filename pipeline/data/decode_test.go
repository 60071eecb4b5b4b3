package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/bmp"
)

// Tolerances in grey levels, 0..255: the largest difference of any value, and the
// mean over all.
type tolerance struct {
	most int
	mean float64
}

var (
	// exact: lossless formats and integer conversions have one right answer.
	exact = tolerance{0, 0}
	// sameTransform: JPEG decoders may round their inverse DCT differently, by one
	// level in each plane; conversion to RGB multiplies that by up to 1.77.
	sameTransform = tolerance{3, 0.5}
	// sameFilter: WebP's chroma filter is libjpeg's but for rounding, and libwebp
	// converts colours in 14-bit fixed point.
	sameFilter = tolerance{4, 1}
	// sameKernel: PIL's resizer rounds its weights and its first pass to 8 bits.
	sameKernel = tolerance{2, 0.6}
	// naiveCMYK: image/color and PIL multiply ink coverages with different rounding.
	naiveCMYK = tolerance{4, 1.5}
)

// compare checks got against want.
func (tol tolerance) compare(t testing.TB, got, want []uint8) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d values, want %d", len(got), len(want))
	}
	most, sum := 0, 0
	for i := range got {
		d := int(got[i]) - int(want[i])
		d = max(d, -d)
		most = max(most, d)
		sum += d
	}
	if mean := float64(sum) / float64(len(got)); most > tol.most || mean > tol.mean {
		t.Errorf("differs by up to %d, %.3f on average; allowed %d and %.3f", most, mean, tol.most, tol.mean)
	}
}

// decodeTo decodes b at its own size, or at t's.
func decodeTo(b []byte, t target) ([]uint8, error) {
	h, err := inspectImage(b, 1<<20)
	if err != nil {
		return nil, err
	}
	if t.h == 0 {
		t.h, t.w = h.h, h.w
	}
	dst := make([]uint8, t.bytes())
	return dst, decodeImage(b, dst, t, new(scratch))
}

func readFixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixtures, name))
	if err != nil {
		t.Fatalf("%v; make it with /usr/bin/python3 testdata/gen/data_fixtures.py", err)
	}
	return b
}

func TestImagesMatchPillow(t *testing.T) {
	for _, c := range []struct {
		file string
		tol  tolerance
	}{
		{"420.jpg", sameTransform},
		{"422.jpg", sameTransform},
		{"444.jpg", sameTransform},
		{"progressive.jpg", sameTransform},
		{"grey.jpg", sameTransform},
		{"turned.jpg", sameTransform},
		{"cmyk.jpg", naiveCMYK},
		{"lossy.webp", sameFilter},
		{"alpha-lossy.webp", sameFilter},
		{"lossless.webp", exact},
		{"alpha-lossless.webp", tolerance{1, 0.5}}, // PIL rounds its compositing otherwise
		{"alpha.png", tolerance{1, 0.5}},
		{"animated.webp", sameFilter},
		{"animated-part.webp", tolerance{1, 0.5}},
		{"animated-part-lossy.webp", sameFilter},
		{"555.bmp", exact},
		{"565.bmp", exact},
		{"masks32.bmp", exact},
		{"rle8.bmp", exact},
		{"rle4.bmp", exact},
		{"os2.bmp", exact},
	} {
		t.Run(c.file, func(t *testing.T) {
			b, ref := readFixture(t, "images/"+c.file), readFixture(t, "images/"+c.file+".png")
			h, err := inspectImage(b, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			want, err := inspectImage(ref, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if h.h != want.h || h.w != want.w {
				t.Fatalf("declares %dx%d, want %dx%d", h.h, h.w, want.h, want.w)
			}
			if h.grey != (c.file == "grey.jpg") {
				t.Errorf("grey is %v", h.grey)
			}
			got, err := decodeTo(b, target{c: 3})
			if err != nil {
				t.Fatal(err)
			}
			pixels, err := decodeTo(ref, target{c: 3})
			if err != nil {
				t.Fatal(err)
			}
			c.tol.compare(t, got, pixels)
		})
	}
	t.Run("grey as PIL's mode L", func(t *testing.T) {
		got, err := decodeTo(readFixture(t, "images/picture.png"), target{c: 1})
		if err != nil {
			t.Fatal(err)
		}
		want, err := decodeTo(readFixture(t, "images/picture-grey.png"), target{c: 1})
		if err != nil {
			t.Fatal(err)
		}
		exact.compare(t, got, want)
	})
	t.Run("resized as PIL's bilinear filter", func(t *testing.T) {
		got, err := decodeTo(readFixture(t, "images/picture.png"), target{h: 9, w: 11, c: 3, fit: FitStretch})
		if err != nil {
			t.Fatal(err)
		}
		want, err := decodeTo(readFixture(t, "images/resized-11x9.png"), target{c: 3})
		if err != nil {
			t.Fatal(err)
		}
		sameKernel.compare(t, got, want)
	})
}

// oneColour paints m in c.
func oneColour(m interface {
	image.Image
	Set(x, y int, c color.Color)
}, c color.Color) image.Image {
	r := m.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			m.Set(x, y, c)
		}
	}
	return m
}

func TestEveryKindOfPixelBecomesTheModelsChannels(t *testing.T) {
	r := image.Rect(0, 0, 5, 4)
	palette := color.Palette{color.NRGBA{10, 20, 30, 255}, color.NRGBA{200, 100, 50, 255}, color.NRGBA{255, 0, 0, 0}}
	greys := color.Palette{color.Gray{0}, color.Gray{77}}
	encGIF := func(m image.Image) []byte {
		var b bytes.Buffer
		if err := gif.Encode(&b, m, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	encBMP := func(m image.Image) []byte {
		var b bytes.Buffer
		if err := bmp.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	encJPEG := func(m image.Image) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 100}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	paletted := func(p color.Palette, i uint8) image.Image {
		m := image.NewPaletted(r, p)
		for j := range m.Pix {
			m.Pix[j] = i
		}
		return m
	}
	for _, c := range []struct {
		name string
		b    []byte
		rgb  [3]uint8
		l    uint8 // luma by PIL's formula
		grey bool
		tol  tolerance
	}{
		{"grey png", encodePNG(t, oneColour(image.NewGray(r), color.Gray{90})), [3]uint8{90, 90, 90}, 90, true, exact},
		{"16-bit grey png keeps the high byte", encodePNG(t, oneColour(image.NewGray16(r), color.Gray16{0x12ff})), [3]uint8{0x12, 0x12, 0x12}, 0x12, true, exact},
		{"colour png", encodePNG(t, oneColour(image.NewNRGBA(r), color.NRGBA{10, 200, 30, 255})), [3]uint8{10, 200, 30}, 124, false, exact},
		{"16-bit colour png", encodePNG(t, oneColour(image.NewRGBA64(r), color.RGBA64{0x0aff, 0xc8ff, 0x1eff, 0xffff})), [3]uint8{10, 200, 30}, 124, false, exact},
		{"half transparent png goes half white", encodePNG(t, oneColour(image.NewNRGBA(r), color.NRGBA{0, 100, 200, 51})), [3]uint8{204, 224, 244}, 220, false, exact},
		{"16-bit half transparent png", encodePNG(t, oneColour(image.NewNRGBA64(r), color.NRGBA64{0, 100 << 8, 200 << 8, 51 << 8})), [3]uint8{204, 224, 244}, 220, false, exact},
		{"fully transparent png is white, whatever lies beneath", encodePNG(t, oneColour(image.NewNRGBA(r), color.NRGBA{9, 8, 7, 0})), [3]uint8{255, 255, 255}, 255, false, exact},
		{"palette png", encodePNG(t, paletted(palette, 1)), [3]uint8{200, 100, 50}, 124, false, exact},
		{"transparent palette entry is white", encodePNG(t, paletted(palette, 2)), [3]uint8{255, 255, 255}, 255, false, exact},
		{"palette of greys is grey", encodePNG(t, paletted(greys, 1)), [3]uint8{77, 77, 77}, 77, true, exact},
		{"gif", encGIF(paletted(palette[:2], 0)), [3]uint8{10, 20, 30}, 18, false, exact},
		{"bmp", encBMP(oneColour(image.NewNRGBA(r), color.NRGBA{10, 200, 30, 255})), [3]uint8{10, 200, 30}, 124, false, exact},
		{"grey bmp", encBMP(oneColour(image.NewGray(r), color.Gray{90})), [3]uint8{90, 90, 90}, 90, true, exact},
		{"jpeg", encJPEG(oneColour(image.NewNRGBA(r), color.NRGBA{100, 150, 120, 255})), [3]uint8{100, 150, 120}, 132, false, sameTransform},
		{"grey jpeg", encJPEG(oneColour(image.NewGray(r), color.Gray{90})), [3]uint8{90, 90, 90}, 90, true, sameTransform},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := inspectImage(c.b, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if want := (header{h: 4, w: 5, grey: c.grey}); h != want {
				t.Errorf("got header %+v, want %+v", h, want)
			}
			got, err := decodeTo(c.b, target{c: 3})
			if err != nil {
				t.Fatal(err)
			}
			c.tol.compare(t, got, bytes.Repeat(c.rgb[:], 20))
			got, err = decodeTo(c.b, target{c: 1})
			if err != nil {
				t.Fatal(err)
			}
			c.tol.compare(t, got, bytes.Repeat([]byte{c.l}, 20))
		})
	}
}

func TestScratchIsNotSharedBetweenImages(t *testing.T) {
	// A small image after a large one must not show the large one's pixels.
	s := new(scratch)
	large := pngOf(t, 40, 40, color.NRGBA{1, 2, 3, 255})
	small := encodePNG(t, oneColour(image.NewNRGBA(image.Rect(0, 0, 3, 3)), color.NRGBA{200, 0, 0, 0}))
	for _, b := range [][]byte{large, small} {
		dst := make([]uint8, 3*3*3)
		if err := decodeImage(b, dst, target{3, 3, 3, FitCrop}, s); err != nil {
			t.Fatal(err)
		}
		want := []uint8{1, 2, 3}
		if len(b) == len(small) {
			want = []uint8{255, 255, 255}
		}
		exact.compare(t, dst, bytes.Repeat(want, 9))
	}
}

func TestFirstFrameOfAnAnimationIsPlacedOnItsCanvas(t *testing.T) {
	palette := color.Palette{color.NRGBA{0, 0, 255, 255}, color.NRGBA{255, 0, 0, 255}}
	first := image.NewPaletted(image.Rect(1, 1, 3, 2), palette)
	second := image.NewPaletted(image.Rect(0, 0, 4, 3), palette)
	for i := range second.Pix {
		second.Pix[i] = 1
	}
	var b bytes.Buffer
	err := gif.EncodeAll(&b, &gif.GIF{
		Image: []*image.Paletted{first, second}, Delay: []int{1, 1},
		Config: image.Config{ColorModel: palette, Width: 4, Height: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeTo(b.Bytes(), target{c: 3})
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte{255}, 36)
	for _, at := range []int{5, 6} { // (1,1) and (1,2)
		copy(want[3*at:], []byte{0, 0, 255})
	}
	exact.compare(t, got, want)
}

// withOrientation puts an EXIF block in front of a JPEG's other segments.
func withOrientation(jpg []byte, order binary.AppendByteOrder, value uint16) []byte {
	mark := "II"
	if order.String() == binary.BigEndian.String() {
		mark = "MM"
	}
	tiff := order.AppendUint16([]byte(mark), 42)
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, e := range []struct{ tag, v uint16 }{{0x0100, 5}, {0x0112, value}} {
		tiff = order.AppendUint16(tiff, e.tag)
		tiff = order.AppendUint16(tiff, 3)
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(tiff, e.v)
		tiff = order.AppendUint16(tiff, 0)
	}
	seg := append([]byte("Exif\x00\x00"), tiff...)
	out := []byte{0xff, 0xd8, 0xff, 0xe1, 0, byte(len(seg) + 2)}
	return append(append(out, seg...), jpg[2:]...)
}

func TestOrientationIsApplied(t *testing.T) {
	// Stored 32 wide and 16 high, with four quarters that differ; block-aligned, so
	// that JPEG keeps them apart.
	m := image.NewGray(image.Rect(0, 0, 32, 16))
	for i := range m.Pix {
		m.Pix[i] = uint8(40 + 60*(i/32/8) + 120*(i%32/16))
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	const a, r, d, x = 40, 160, 100, 220 // stored: a r / d x
	for value, want := range map[uint16][4]uint8{
		1: {a, r, d, x}, 2: {r, a, x, d}, 3: {x, d, r, a}, 4: {d, x, a, r},
		5: {a, d, r, x}, 6: {d, a, x, r}, 7: {x, r, d, a}, 8: {r, x, a, d},
		0: {a, r, d, x}, 9: {a, r, d, x},
	} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			t.Run(fmt.Sprintf("orientation %d, %v", value, order), func(t *testing.T) {
				turned := withOrientation(b.Bytes(), order, value)
				h, err := inspectImage(turned, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				if sideways := value >= 5 && value <= 8; h.h*h.w != 512 || (h.h > h.w) != sideways {
					t.Errorf("declares %dx%d", h.h, h.w)
				}
				got, err := decodeTo(turned, target{c: 1})
				if err != nil {
					t.Fatal(err)
				}
				n := len(got)
				sameTransform.compare(t, []uint8{got[0], got[h.w-1], got[n-h.w], got[n-1]}, want[:])
			})
		}
	}
	t.Run("a quarter turn swaps height and width", func(t *testing.T) {
		h, err := inspectImage(readFixture(t, "images/turned.jpg"), 1<<20)
		if err != nil || h.h != 29 || h.w != 19 {
			t.Errorf("got %+v, %v, want 29x19", h, err)
		}
	})
}

func TestResizing(t *testing.T) {
	// Left half black, right half white, 20 high and 40 wide.
	m := image.NewGray(image.Rect(0, 0, 40, 20))
	for i := range m.Pix {
		if i%40 >= 20 {
			m.Pix[i] = 255
		}
	}
	wide := encodePNG(t, m)
	for _, c := range []struct {
		name string
		t    target
		want []uint8 // the middle row
	}{
		{"stretching keeps both edges", target{4, 4, 1, FitStretch}, []uint8{0, 0, 255, 255}},
		{"cropping keeps the middle", target{4, 4, 1, FitCrop}, []uint8{0, 0, 255, 255}},
		{"no fit is cropping", target{10, 10, 1, ""}, []uint8{0, 0, 0, 0, 0, 255, 255, 255, 255, 255}},
		{"the same shape is not cropped", target{10, 20, 1, FitCrop}, append(bytes.Repeat([]byte{0}, 10), bytes.Repeat([]byte{255}, 10)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decodeTo(wide, c.t)
			if err != nil {
				t.Fatal(err)
			}
			row := got[c.t.h/2*c.t.w:][:c.t.w]
			// The filter reaches half a new pixel across the edge: an eighth of 255.
			tolerance{32, 16}.compare(t, row, c.want)
		})
	}
	for _, c := range []struct {
		name string
		w, h int
		t    target
		want image.Rectangle
	}{
		{"a wide image loses its sides", 40, 20, target{h: 10, w: 10}, image.Rect(10, 0, 30, 20)},
		{"a tall image loses top and bottom", 20, 50, target{h: 10, w: 10}, image.Rect(0, 15, 20, 35)},
		{"an odd rest goes below", 20, 21, target{h: 10, w: 10}, image.Rect(0, 0, 20, 20)},
		{"a wide target from a square", 30, 30, target{h: 10, w: 30}, image.Rect(0, 10, 30, 20)},
		{"a sliver keeps at least a pixel", 10000, 1, target{h: 100, w: 1}, image.Rect(4999, 0, 5000, 1)},
		{"stretched", 40, 20, target{h: 10, w: 10, fit: FitStretch}, image.Rect(0, 0, 40, 20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := window(c.w, c.h, c.t); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestMixedImagesInOneSet(t *testing.T) {
	grey := encodePNG(t, oneColour(image.NewGray(image.Rect(0, 0, 6, 6)), color.Gray{50}))
	colour := pngOf(t, 8, 12, color.NRGBA{1, 2, 3, 255})
	none := Options{ValFraction: -1, TestFraction: -1}
	t.Run("all grey stays grey", func(t *testing.T) {
		s := mustOpen(t, writeTree(t, map[string][]byte{"a/1.png": grey, "b/1.png": grey}), none)
		if s.C != 1 || s.Train.Size() != 36 {
			t.Errorf("got %d channels, want 1", s.C)
		}
	})
	t.Run("one colour image makes all colour, a size makes all equal", func(t *testing.T) {
		o := none
		o.H, o.W = 4, 4
		s := mustOpen(t, writeTree(t, map[string][]byte{"a/1.png": grey, "b/1.png": colour}), o)
		if s.C != 3 || s.H != 4 || s.W != 4 {
			t.Fatalf("got %dx%dx%d, want 4x4x3", s.H, s.W, s.C)
		}
		want := map[string][]uint8{"a/1.png": bytes.Repeat([]byte{50}, 48), "b/1.png": bytes.Repeat([]byte{1, 2, 3}, 16)}
		if diff := cmp.Diff(want, readAll(t, s.Train)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("metadata longer than the head that is read first", func(t *testing.T) {
		// A comment chunk of 100 KB in front of the palette.
		m := image.NewPaletted(image.Rect(0, 0, 6, 6), color.Palette{color.NRGBA{9, 8, 7, 255}})
		b := encodePNG(t, m)
		chunk := binary.BigEndian.AppendUint32(nil, 100<<10)
		chunk = append(chunk, "tEXt"...)
		chunk = append(chunk, make([]byte, 100<<10)...)
		chunk = binary.BigEndian.AppendUint32(chunk, crc(chunk[4:]))
		long := append(append(bytes.Clone(b[:33]), chunk...), b[33:]...)
		if _, err := png.Decode(bytes.NewReader(long)); err != nil {
			t.Fatal("the test's own image is wrong:", err)
		}
		path := writeFile(t, "set.zip", zipOf(t, map[string][]byte{"a/1.png": long, "b/1.png": b}))
		s := mustOpen(t, path, none)
		if s.C != 3 || s.H != 6 || s.Train.Len() != 2 {
			t.Errorf("got %d samples of %dx%dx%d, want 2 of 6x6x3", s.Train.Len(), s.H, s.W, s.C)
		}
	})
}

// Kinds that no decoder here reads are told as such, once, with a way out.
func TestKindsThatAreNotReadSayWhatToDo(t *testing.T) {
	chroma := bytes.Clone(readFixture(t, "images/444.jpg"))
	frame := bytes.Index(chroma, []byte{0xff, 0xc0})
	chroma[frame+11] = 0x31 // the first component three times as wide as the others
	packed := bytes.Clone(readFixture(t, "images/565.bmp"))
	packed[30] = 4 // a JPEG within
	files := map[string][]byte{"b/1.png": pngOf(t, 19, 29, color.White)}
	for i := range 3 {
		files[fmt.Sprintf("a/%d.jpg", i)] = chroma
	}
	files["a/9.bmp"] = packed
	_, err := Open(writeTree(t, files), Options{})
	wantError(t, err, "4 of 5 images cannot be used", "3: unsupported JPEG feature: luma/chroma subsampling ratio; save it as a jpeg with 4:2:0 chroma, or as png",
		"1: bmp: 16 bits a pixel with compression 4 is not read; save it as png")
}

// A frame may not reach beyond its canvas, whose size was checked.
func TestAnimationsAreBoundedByTheirCanvas(t *testing.T) {
	b := bytes.Clone(readFixture(t, "images/animated.webp"))
	at := bytes.Index(b, []byte("ANMF"))
	b[at+8+6] = 200 // the frame's width
	_, err := decodeTo(b, target{c: 3})
	if err == nil || !strings.Contains(err.Error(), "webp: invalid format") {
		t.Errorf("got %v", err)
	}
}
