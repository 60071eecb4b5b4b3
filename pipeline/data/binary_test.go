package data

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// whole keeps every sample in its split.
var whole = Options{ValFraction: -1, TestFraction: -1}

// checkFormula compares a split with the formulas of data_fixtures.py. number
// returns a sample's number from its name.
func checkFormula(t *testing.T, s *Split, set *Set, n, classes int, number func(name string) int) {
	t.Helper()
	if s.Len() != n {
		t.Fatalf("%s has %d samples, want %d", s.Name(), s.Len(), n)
	}
	px := make([]uint8, s.Size())
	for j := range n {
		i := number(s.Sample(j))
		if got, want := s.Label(j), fixtureLabel(i, classes); got != want {
			t.Errorf("%s has label %d, want %d", s.Sample(j), got, want)
		}
		if err := s.Read(j, px); err != nil {
			t.Fatal(err)
		}
		at := 0
		for y := range set.H {
			for x := range set.W {
				for c := range set.C {
					if px[at] != fixturePixel(i, y, x, c) {
						t.Fatalf("%s at row %d, column %d, channel %d is %d, want %d", s.Sample(j), y, x, c, px[at], fixturePixel(i, y, x, c))
					}
					at++
				}
			}
		}
	}
}

// numberIn reads the number after the last slash.
func numberIn(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndex(name, "/")+1:])
	if err != nil {
		return -1
	}
	return n
}

func TestBinaryFormats(t *testing.T) {
	digits := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	fine := make([]string, 100)
	for i := range fine {
		fine[i] = fmt.Sprintf("fine%02d", i)
	}
	for _, c := range []struct {
		name, path, format string
		h, w, c            int
		classes            []string
		train, test        int
	}{
		{"SVHN, compressed and plain", "svhn", FormatSVHN, 32, 32, 3, digits, 20, 10},
		{"SVHN by one of its files", "svhn/train_32x32.mat", FormatSVHN, 32, 32, 3, digits, 20, 10},
		{"IDX, compressed and plain", "mnist", FormatIDX, 28, 28, 1, digits, 20, 10},
		{"IDX by one of its files", "mnist/t10k-labels-idx1-ubyte", FormatIDX, 28, 28, 1, digits, 20, 10},
		{"CIFAR-10 in its archive", "cifar-10-binary.tar.gz", FormatCIFAR10, 32, 32, 3,
			strings.Fields("airplane automobile bird cat deer dog frog horse ship truck"), 20, 10},
		{"CIFAR-100 in its archive, by fine label", "cifar-100-binary.tar.gz", FormatCIFAR100, 32, 32, 3, fine, 10, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, budget := range []int64{0, -1} {
				o := whole
				o.MemoryBudget = budget
				s := mustOpen(t, filepath.Join(fixtures, c.path), o)
				if s.Format != c.format || s.H != c.h || s.W != c.w || s.C != c.c {
					t.Errorf("got %s %dx%dx%d, want %s %dx%dx%d", s.Format, s.H, s.W, s.C, c.format, c.h, c.w, c.c)
				}
				if diff := cmp.Diff(c.classes, s.Classes); diff != "" {
					t.Error(diff)
				}
				number := func(name string) int {
					if strings.HasPrefix(name, "data_batch_2/") {
						return 10 + numberIn(name)
					}
					return numberIn(name)
				}
				checkFormula(t, s.Train, s, c.train, len(c.classes), number)
				checkFormula(t, s.Test, s, c.test, len(c.classes), number)
			}
		})
	}
	t.Run("resized and made grey like any image", func(t *testing.T) {
		o := whole
		o.H, o.W, o.Channels = 16, 16, 1
		s := mustOpen(t, filepath.Join(fixtures, "svhn"), o)
		if s.Train.Size() != 256 {
			t.Fatalf("got %d bytes, want 256", s.Train.Size())
		}
		readAll(t, s.Train)
	})
	t.Run("grey images for a model of three channels", func(t *testing.T) {
		o := whole
		o.Channels = 3
		s := mustOpen(t, filepath.Join(fixtures, "mnist"), o)
		px := readAll(t, s.Train)["train/0000002"]
		if px[0] != 62 || px[1] != 62 || px[2] != 62 || px[3] != 65 {
			t.Errorf("got %v, want 62 62 62 65", px[:4])
		}
	})
}

func TestCIFARVariants(t *testing.T) {
	record := func(label ...byte) []byte { return append(label, make([]byte, cifarPixels)...) }
	t.Run("names are numbers without batches.meta.txt", func(t *testing.T) {
		s := mustOpen(t, writeTree(t, map[string][]byte{"data_batch_1.bin": append(record(3), record(9)...)}), whole)
		if s.Classes[3] != "3" || len(s.Classes) != 10 {
			t.Errorf("got classes %v", s.Classes)
		}
		if want := []string{`no training sample of class "0", "1", "2", "4", "5", "6", "7", "8"`}; cmp.Diff(want, s.Notes) != "" {
			t.Errorf("got notes %q, want %q", s.Notes, want)
		}
	})
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  []string
	}{
		{"cut short", map[string][]byte{"data_batch_1.bin": record(1)[:3000]}, []string{"data_batch_1.bin", "3000 bytes", "3073", "cut short"}},
		{"still compressed", map[string][]byte{"data_batch_1.bin": gz(t, record(1))}, []string{"it is gzip-compressed"}},
		{"empty", map[string][]byte{"data_batch_1.bin": {}}, []string{"0 bytes"}},
		{"a label that is no class", map[string][]byte{"data_batch_1.bin": append(record(1), record(10)...)}, []string{"record 1 has label 10", "0..9"}},
		{"CIFAR-100 labels beyond its classes", map[string][]byte{"train.bin": record(0, 100)}, []string{"label 100", "0..99"}},
		{"names alone", map[string][]byte{"batches.meta.txt": []byte("a b")}, []string{"no batch of images"}},
		{"too few names", map[string][]byte{"data_batch_1.bin": record(1), "batches.meta.txt": []byte("a\nb\n")}, []string{"2 class names", "10 classes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(writeTree(t, c.files), whole)
			wantError(t, err, c.want...)
		})
	}
}

// idxFile writes an IDX header and data.
func idxFile(data []byte, dims ...uint32) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, data...)
}

// flip changes one byte, counted from the end.
func flip(b []byte, at int) []byte {
	b[len(b)+at] ^= 0xff
	return b
}

func TestIDXVariants(t *testing.T) {
	images, labels := idxFile(make([]byte, 3*4*5), 3, 4, 5), idxFile([]byte{0, 1, 2}, 3)
	pair := func(images, labels []byte) map[string][]byte {
		return map[string][]byte{"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}
	}
	for _, c := range []struct {
		name  string
		files map[string][]byte
		h     int
		c     int
	}{
		{"as published", pair(images, labels), 4, 1},
		{"with dots in the names", map[string][]byte{"train-images.idx3-ubyte": images, "train-labels.idx1-ubyte": labels}, 4, 1},
		{"plain and compressed copies", merge(pair(images, labels), map[string][]byte{"train-images-idx3-ubyte.gz": {1}, "sub/train-labels-idx1-ubyte": {1}}), 4, 1},
		{"with a prefix", map[string][]byte{"emnist-digits-train-images-idx3-ubyte": images, "emnist-digits-train-labels-idx1-ubyte": labels}, 4, 1},
		{"in colour", pair(idxFile(make([]byte, 3*4*5*3), 3, 4, 5, 3), labels), 4, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustOpen(t, writeTree(t, c.files), whole)
			if s.H != c.h || s.C != c.c || s.Train.Len() != 3 || len(s.Classes) != 3 {
				t.Errorf("got %d samples of %dx%dx%d in %d classes", s.Train.Len(), s.H, s.W, s.C, len(s.Classes))
			}
		})
	}
	long := idxFile(nil, 1<<31-1, 1<<31-1, 1<<31-1)
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  []string
	}{
		{"labels missing", map[string][]byte{"train-images-idx3-ubyte": images}, []string{"no partner"}},
		{"more labels than images", pair(images, idxFile([]byte{0, 1, 2, 3}, 4)), []string{"shape [4] for 3 images"}},
		{"cut short", pair(images[:30], labels), []string{"train-images", "cut short"}},
		{"a header cut short", pair(images[:6], labels), []string{"cut short"}},
		{"compressed and cut short", map[string][]byte{"train-images-idx3-ubyte.gz": gz(t, images)[:25], "train-labels-idx1-ubyte": labels}, []string{"cut short"}},
		{"compressed with a wrong checksum", map[string][]byte{"train-images-idx3-ubyte.gz": flip(gz(t, images), -8), "train-labels-idx1-ubyte": labels}, []string{"train-images", "checksum"}},
		{"bytes left over", pair(append(bytes.Clone(images), 0), labels), []string{"left over"}},
		{"dimensions that overflow", pair(long, labels), []string{"at most 2147483648 bytes"}},
		{"more than the file holds", pair(idxFile(nil, 1000, 1000, 1000), labels), []string{"more than the file can hold"}},
		{"more than gzip can expand to", map[string][]byte{"train-images-idx3-ubyte.gz": gz(t, idxFile(nil, 1000, 1000, 1000)), "train-labels-idx1-ubyte": labels}, []string{"more than the file can hold"}},
		{"floats", pair([]byte{0, 0, 0x0d, 1, 0, 0, 0, 0}, labels), []string{"type 0x0d"}},
		{"five dimensions", pair([]byte{0, 0, 8, 5}, labels), []string{"5 dimensions"}},
		{"not IDX", pair([]byte("hello, world"), labels), []string{"two zero bytes"}},
		{"images of no size", pair(idxFile(nil, 3, 0, 5), labels), []string{"shape [3 0 5 1]"}},
		{"one set beside another", merge(pair(images, labels), map[string][]byte{"fashion-train-images-idx3-ubyte": images}), []string{"more than one IDX data set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			n := allocated(func() { _, err = Open(writeTree(t, c.files), whole) })
			wantError(t, err, c.want...)
			if n > frugal {
				t.Errorf("took %d bytes of memory to refuse it", n)
			}
		})
	}
}

// matWriter writes MAT-files by hand, in either byte order, since SciPy writes
// only the machine's own.
type matWriter struct{ order binary.AppendByteOrder }

func (w matWriter) header() []byte {
	b := append(bytes.Repeat([]byte{' '}, 116), make([]byte, 8)...)
	b = w.order.AppendUint16(b, 0x0100)
	return w.order.AppendUint16(b, 'M'<<8|'I')
}

// element writes data in the long form, or the small one.
func (w matWriter) element(kind uint32, data []byte, small bool) []byte {
	if small {
		b := w.order.AppendUint32(nil, uint32(len(data))<<16|kind)
		return append(append(b, data...), make([]byte, 4-len(data))...)
	}
	b := w.order.AppendUint32(nil, kind)
	b = w.order.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	return append(b, make([]byte, -len(data)&7)...)
}

// array writes a variable of the given class whose elements are stored as kind.
func (w matWriter) array(name string, class, kind uint32, data []byte, dims ...uint32) []byte {
	flags := w.order.AppendUint32(w.order.AppendUint32(nil, class), 0)
	var d []byte
	for _, v := range dims {
		d = w.order.AppendUint32(d, v)
	}
	body := w.element(miUINT32, flags, false)
	body = append(body, w.element(miINT32, d, false)...)
	body = append(body, w.element(miINT8, []byte(name), len(name) <= 4)...)
	body = append(body, w.element(kind, data, len(data) <= 4 && len(data) > 0)...)
	return w.element(miMATRIX, body, false)
}

func (w matWriter) compressed(variable []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(variable)
	z.Close()
	out := w.order.AppendUint32(nil, miCOMPRESSED)
	out = w.order.AppendUint32(out, uint32(b.Len())) // compressed elements are not padded
	return append(out, b.Bytes()...)
}

func TestMATVariants(t *testing.T) {
	pixels := make([]byte, 2*3*3*2) // [2, 3, 3, 2]: the formula, column-major
	for i := range 2 {
		for c := range 3 {
			for x := range 3 {
				for y := range 2 {
					pixels[y+2*(x+3*(c+3*i))] = fixturePixel(i, y, x, c)
				}
			}
		}
	}
	doubles := func(o binary.AppendByteOrder, v ...float64) []byte {
		var b []byte
		for _, f := range v {
			b = o.AppendUint64(b, math.Float64bits(f))
		}
		return b
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		w := matWriter{order}
		x := w.array("X", 9, miUINT8, pixels, 2, 3, 3, 2)
		small := w.array("y", 9, miUINT8, []byte{3, 10}, 2, 1)
		for _, c := range []struct {
			name string
			body []byte
		}{
			{"plain", append(bytes.Clone(x), small...)},
			{"labels first", append(bytes.Clone(small), x...)},
			{"compressed", append(w.compressed(x), w.compressed(small)...)},
			{"labels as doubles", append(bytes.Clone(x), w.array("y", 6, miDOUBLE, doubles(order, 3, 10), 2, 1)...)},
			{"doubles stored as bytes, as MATLAB does", append(bytes.Clone(x), w.array("y", 6, miUINT8, []byte{3, 10}, 1, 2)...)},
			{"labels as 16-bit integers", append(bytes.Clone(x), w.array("y", 11, miUINT16, order.AppendUint16(order.AppendUint16(nil, 3), 10), 2, 1)...)},
			{"labels as 32-bit integers", append(bytes.Clone(x), w.array("y", 12, miINT32, order.AppendUint32(order.AppendUint32(nil, 3), 10), 2, 1)...)},
			{"labels as 64-bit integers", append(bytes.Clone(x), w.array("y", 14, miINT64, order.AppendUint64(order.AppendUint64(nil, 3), 10), 2, 1)...)},
			{"labels as floats", append(bytes.Clone(x), w.array("y", 7, miSINGLE, order.AppendUint32(order.AppendUint32(nil, math.Float32bits(3)), math.Float32bits(10)), 2, 1)...)},
			{"digit 0 as 0", append(bytes.Clone(x), w.array("y", 9, miUINT8, []byte{3, 0}, 2, 1)...)},
			{"other variables around", append(append(w.compressed(w.array("__meta__", 4, miINT8, []byte("hello!"), 1, 6)), x...), small...)},
		} {
			t.Run(fmt.Sprintf("%s, %v", c.name, order), func(t *testing.T) {
				path := writeTree(t, map[string][]byte{"train_32x32.mat": append(w.header(), c.body...)})
				s := mustOpen(t, path, whole)
				if diff := cmp.Diff([]int{3, 0}, s.Train.Labels()); diff != "" {
					t.Error(diff)
				}
				got := readAll(t, s.Train)
				at := 0
				for y := range 2 {
					for x := range 3 {
						for c := range 3 {
							if v := got["train_32x32/0000001"][at]; v != fixturePixel(1, y, x, c) {
								t.Fatalf("value %d is %d, want %d", at, v, fixturePixel(1, y, x, c))
							}
							at++
						}
					}
				}
			})
		}
	}

	w := matWriter{binary.LittleEndian}
	x, y := w.array("X", 9, miUINT8, pixels, 2, 3, 3, 2), w.array("y", 9, miUINT8, []byte{1, 2}, 2, 1)
	both := append(append(w.header(), x...), y...)
	join := func(parts ...[]byte) []byte { return bytes.Join(append([][]byte{w.header()}, parts...), nil) }
	one := w.array("X", 9, miUINT8, pixels[:18], 2, 3, 3)
	t.Run("a last dimension of 1 that MATLAB drops", func(t *testing.T) {
		s := mustOpen(t, writeTree(t, map[string][]byte{"train_32x32.mat": join(one, w.array("y", 9, miUINT8, []byte{5}, 1, 1))}), whole)
		if s.Train.Len() != 1 || s.C != 3 || s.Train.Label(0) != 5 {
			t.Errorf("got %d samples of %dx%dx%d", s.Train.Len(), s.H, s.W, s.C)
		}
	})
	lie := func(b []byte, at int, v uint32) []byte {
		b = bytes.Clone(b)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	// A compressed variable that declares 2 GiB of pixels and holds none.
	hollow := w.array("X", 9, miUINT8, nil, 32, 32, 3, 699050)
	hollow = lie(hollow, len(hollow)-4, 32*32*3*699050)
	for _, c := range []struct {
		name string
		b    []byte
		want []string
	}{
		{"empty", nil, []string{"0 bytes", "header of 128"}},
		{"text", bytes.Repeat([]byte("hello "), 40), []string{"not a MATLAB level 5 file"}},
		{"MATLAB 7.3", append([]byte("MATLAB 7.3 MAT-file"), make([]byte, 600)...), []string{"MATLAB 7.3 (HDF5)", "-v7"}},
		{"another version", append(append(w.header()[:124], 0, 2), "IM"...), []string{"version 0x0200"}},
		{"no variables", w.header(), []string{"no variables X and y"}},
		{"labels missing", join(x), []string{"no variables X and y"}},
		{"cut in a tag", both[:131], []string{"cut short"}},
		{"cut in the pixels", both[:200], []string{"cut short"}},
		{"cut in a compressed variable", join(w.compressed(x), w.compressed(y)[:10]), []string{"cut short"}},
		{"an element longer than its variable", lie(both, matHeader+8+4, 0x7fffffff), []string{"declares", "bytes"}},
		{"more pixels declared than compressed bytes can give", join(w.compressed(hollow)), []string{`"X"`, "declares 2147481600 bytes"}},
		{"negative dimensions", join(w.array("X", 9, miUINT8, pixels, 2, 0xffffffff)), []string{"declares dimensions"}},
		{"dimensions that overflow", join(w.array("X", 9, miUINT8, pixels, 1<<31-1, 1<<31-1, 1<<31-1)), []string{"declares dimensions"}},
		{"pixels and dimensions that disagree", join(w.array("X", 9, miUINT8, pixels, 2, 3, 3, 3), y), []string{"36 bytes", "54"}},
		{"pixels as doubles", join(w.array("X", 6, miDOUBLE, make([]byte, 8*36), 2, 3, 3, 2), y), []string{"element type 9", "wanted bytes"}},
		{"pixels in two dimensions", join(w.array("X", 9, miUINT8, pixels, 6, 6), y), []string{"shape [6 6]"}},
		{"fewer labels", join(x, w.array("y", 9, miUINT8, []byte{1}, 1, 1)), []string{"1 labels for the 2 images"}},
		{"a label beyond the digits", join(x, w.array("y", 9, miUINT8, []byte{1, 11}, 2, 1)), []string{"holds 11 for image 1"}},
		{"a fractional label", join(x, w.array("y", 6, miDOUBLE, doubles(binary.LittleEndian, 1, 1.5), 2, 1)), []string{"1.5", "whole number"}},
		{"a label that is not a number", join(x, w.array("y", 6, miDOUBLE, doubles(binary.LittleEndian, 1, math.NaN()), 2, 1)), []string{"whole number"}},
		{"a cell array for pixels", join(w.array("X", 1, miUINT8, pixels, 2, 3, 3, 2), y), []string{"not a real numeric array"}},
		{"a broken zlib stream", join(w.element(miCOMPRESSED, []byte("garbage!"), false)), []string{"compressed variable"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			n := allocated(func() {
				_, err = Open(writeTree(t, map[string][]byte{"train_32x32.mat": c.b}), whole)
			})
			wantError(t, err, append(c.want, "train_32x32.mat")...)
			if n > frugal {
				t.Errorf("took %d bytes of memory to refuse it", n)
			}
		})
	}
}

func TestBinaryFilesThroughFoldersAndArchives(t *testing.T) {
	files := map[string][]byte{}
	for _, name := range []string{"train_32x32.mat", "test_32x32.mat"} {
		b, err := os.ReadFile(filepath.Join(fixtures, "svhn", name))
		if err != nil {
			t.Fatal(err)
		}
		files["format2/"+name] = b
	}
	want := mustOpen(t, filepath.Join(fixtures, "svhn"), Options{})
	for kind, path := range map[string]string{
		"folder": writeTree(t, files),
		"tar":    writeFile(t, "svhn.tar", tarOf(t, files)),
		"tar.gz": writeFile(t, "svhn.tar.gz", gz(t, tarOf(t, files))),
		"zip":    writeFile(t, "svhn.zip", zipOf(t, files)),
	} {
		t.Run(kind, func(t *testing.T) {
			s := mustOpen(t, path, Options{})
			if s.Fingerprint != want.Fingerprint {
				t.Error("fingerprint differs from the plain files'")
			}
			if diff := cmp.Diff(names(want.Val), names(s.Val)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a file beyond the limit", func(t *testing.T) {
		_, err := Open(writeTree(t, files), Options{ArchiveLimit: 2000})
		wantError(t, err, "train_32x32.mat", "2131 bytes", "at most 2000")
	})
	t.Run("a compressed variable beyond the limit", func(t *testing.T) {
		delete(files, "format2/test_32x32.mat")
		_, err := Open(writeTree(t, files), Options{ArchiveLimit: 10000})
		wantError(t, err, "train_32x32.mat", `"X"`, "declares 61440 bytes", "at most 10000")
	})
}
