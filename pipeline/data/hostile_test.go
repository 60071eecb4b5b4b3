package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image/color"
	"io"
	"os"
	"runtime"
	"testing"
	"time"
)

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// hugePNG is a whole, valid PNG header that declares w by h pixels.
func hugePNG(w, h uint32) []byte {
	ihdr := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)...)
	ihdr = append(ihdr, 8, 6, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	b = binary.BigEndian.AppendUint32(b, crc(ihdr))
	idat := append([]byte("IDAT"), 0x78, 0x9c, 0x63, 0x60, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(idat)-4))
	b = append(b, idat...)
	return binary.BigEndian.AppendUint32(b, crc(idat))
}

// hugeWebP declares w by h pixels in a VP8X header over a tiny frame.
func hugeWebP(w, h uint32) []byte {
	b := []byte("RIFF\x1e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00")
	w, h = w-1, h-1
	return append(b, byte(w), byte(w>>8), byte(w>>16), byte(h), byte(h>>8), byte(h>>16), 'A', 'L', 'P', 'H')
}

// hugeBMP declares w by h pixels of 24 bits.
func hugeBMP(w, h uint32) []byte {
	b := make([]byte, 54)
	copy(b, "BM")
	binary.LittleEndian.PutUint32(b[10:], 54)
	binary.LittleEndian.PutUint32(b[14:], 40)
	binary.LittleEndian.PutUint32(b[18:], w)
	binary.LittleEndian.PutUint32(b[22:], h)
	binary.LittleEndian.PutUint16(b[26:], 1)
	binary.LittleEndian.PutUint16(b[28:], 24)
	return b
}

// allocated runs f and returns the bytes it took from the heap.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// frugal is more than any refusal below needs and far less than what the hostile
// input asks for.
const frugal = 32 << 20

func TestHugeDimensionsAreRefusedBeforeDecoding(t *testing.T) {
	for name, b := range map[string][]byte{
		"png":                      hugePNG(60000, 60000),
		"png whose area overflows": hugePNG(1<<31-1, 1<<31-1),
		"webp":                     hugeWebP(1<<14, 1<<14),
		"bmp":                      hugeBMP(40000, 40000),
		"gif":                      append([]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"), 0x2c, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0),
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "set.tar", tarOf(t, map[string][]byte{"a/1." + name[:3]: b, "b/1.png": pngOf(t, 2, 2, color.White)}))
			if name == "webp" {
				path = writeFile(t, "set.tar", tarOf(t, map[string][]byte{"a/1.webp": b, "b/1.png": pngOf(t, 2, 2, color.White)}))
			}
			var err error
			n := allocated(func() { _, err = Open(path, Options{}) })
			wantError(t, err, "a/1.", "1 of 2 images")
			if n > frugal {
				t.Errorf("took %d bytes of memory to refuse it", n)
			}
		})
	}
	t.Run("the bound is the caller's", func(t *testing.T) {
		path := writeTree(t, classFolders(t, 10, 10, 3, "a", "b"))
		if _, err := Open(path, Options{MaxPixels: 100}); err != nil {
			t.Error(err)
		}
		_, err := Open(path, Options{MaxPixels: 99})
		wantError(t, err, "declares 10 x 10 pixels; at most 99 are decoded")
	})
}

func TestPathTricksAreRefused(t *testing.T) {
	img := pngOf(t, 2, 2, color.White)
	for _, c := range []struct{ name, entry, want string }{
		{"parent folder", "../../etc/a/1.png", "points outside the archive"},
		{"parent folder in the middle", "a/../../b/1.png", "points outside the archive"},
		{"absolute path", "/etc/a/1.png", "absolute path"},
		{"drive letter", "C:/a/1.png", "drive letter"},
		{"endless name", string(bytes.Repeat([]byte("a/"), 4000)) + "1.png", "has a name of"},
	} {
		files := map[string][]byte{"a/1.png": img, "b/1.png": img, c.entry: img}
		for kind, path := range map[string]string{
			"tar":    writeFile(t, "x.tar", tarOf(t, files)),
			"tar.gz": writeFile(t, "x.tar.gz", gz(t, tarOf(t, files))),
			"zip":    writeFile(t, "x.zip", zipOf(t, files)),
		} {
			t.Run(c.name+" in a "+kind, func(t *testing.T) {
				_, err := Open(path, Options{})
				wantError(t, err, c.want, "refusing the whole archive")
			})
		}
	}
	t.Run("backslashes in a zip are separators", func(t *testing.T) {
		path := writeFile(t, "x.zip", zipOf(t, map[string][]byte{`top\a\1.png`: img, `top\b\1.png`: img}))
		s := mustOpen(t, path, Options{ValFraction: -1, TestFraction: -1})
		if s.Train.Len() != 2 || s.Train.Sample(0) != "a/1.png" {
			t.Errorf("got %v", names(s.Train))
		}
		_, err := Open(writeFile(t, "x.zip", zipOf(t, map[string][]byte{`..\a\1.png`: img})), Options{})
		wantError(t, err, "points outside the archive")
	})
}

func TestTruncatedArchivesAreNamed(t *testing.T) {
	files := classFolders(t, 20, 20, 10, "a", "b")
	whole := map[string][]byte{"x.tar": tarOf(t, files), "x.tar.gz": gz(t, tarOf(t, files)), "x.zip": zipOf(t, files)}
	for name, b := range whole {
		for _, share := range []int{0, 1, 30, 50, 90} {
			t.Run(fmt.Sprintf("%s cut to %d%%", name, share), func(t *testing.T) {
				cut := b[:len(b)*share/100]
				_, err := Open(writeFile(t, name, cut), Options{})
				wantError(t, err, name)
			})
		}
	}
	t.Run("cut in the last file of a tar", func(t *testing.T) {
		b := whole["x.tar"]
		_, err := Open(writeFile(t, "x.tar", b[:len(b)-1024-400]), Options{})
		wantError(t, err, "cut short")
	})
	t.Run("a damaged tar.gz fails its checksum", func(t *testing.T) {
		b := bytes.Clone(whole["x.tar.gz"])
		b[len(b)-6] ^= 1
		_, err := Open(writeFile(t, "x.tar.gz", b), Options{})
		wantError(t, err, "x.tar.gz", "checksum")
	})
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBombsAreDefused(t *testing.T) {
	img := pngOf(t, 2, 2, color.White)
	const big = 40 << 20

	t.Run("a tar.gz that unpacks to more than the limit", func(t *testing.T) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		if err := w.WriteHeader(&tar.Header{Name: "a/1.png", Typeflag: tar.TypeReg, Size: big}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, zeros{}, big); err != nil {
			t.Fatal(err)
		}
		w.Close()
		z.Close()
		path := writeFile(t, "x.tar.gz", b.Bytes())
		var err error
		n := allocated(func() { _, err = Open(path, Options{ArchiveLimit: 10 << 20}) })
		wantError(t, err, "a/1.png", "more than 10485760 bytes of memory", ".tar or .zip")
		if n > frugal {
			t.Errorf("took %d bytes of memory to refuse it", n)
		}
	})
	t.Run("a zip entry that inflates to zeros is not read to its end", func(t *testing.T) {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, err := w.Create("a/1.png")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(f, zeros{}, big); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a/2.png", "b/1.png"} {
			if f, err = w.Create(name); err != nil {
				t.Fatal(err)
			}
			f.Write(img)
		}
		w.Close()
		path := writeFile(t, "x.zip", b.Bytes())
		n := allocated(func() { _, err = Open(path, Options{}) })
		wantError(t, err, "a/1.png", "whatever its name says")
		if n > frugal {
			t.Errorf("took %d bytes of memory to refuse it", n)
		}
		s := mustOpen(t, path, Options{SkipBad: true, ValFraction: -1, TestFraction: -1})
		if len(s.Bad) != 1 || s.Train.Len() != 2 {
			t.Errorf("got %v, want the bomb alone to be skipped", s.Bad)
		}
	})
	t.Run("a file longer than any image", func(t *testing.T) {
		c := &heldFiles{[]file{{name: "a", size: maxFileBytes + 1, held: []byte{}}}}
		if _, err := read(c, &c.list[0], maxFileBytes, nil); err == nil {
			t.Error("it was read")
		}
		if _, err := readTo(zeros{}, 1000, 10, nil); err == nil {
			t.Error("an endless file was read")
		}
	})
	t.Run("a zip that lies about an entry's size", func(t *testing.T) {
		b := zipOf(t, map[string][]byte{"a/1.png": img, "b/1.png": img})
		at := bytes.Index(b, []byte("PK\x01\x02")) // first entry of the directory
		binary.LittleEndian.PutUint32(b[at+24:], uint32(len(img)-10))
		_, err := Open(writeFile(t, "x.zip", b), Options{})
		wantError(t, err, "a/1.png")
	})
	t.Run("a sparse tar entry", func(t *testing.T) {
		// GNU's format: one stored region of 512 bytes in a file of 8 GiB.
		b := tarOf(t, map[string][]byte{"a/1.png": make([]byte, 512), "b/1.png": img})
		h := b[:512]
		h[156] = 'S'
		copy(h[257:], "ustar  \x00")
		copy(h[386:], "00000000000\x0000000001000\x00")
		copy(h[483:], "77777777777\x00")
		copy(h[148:], "        ")
		sum := 0
		for _, v := range h {
			sum += int(v)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		_, err := Open(writeFile(t, "x.tar", b), Options{})
		wantError(t, err, "a/1.png", "sparse file")
	})
	t.Run("an encrypted zip", func(t *testing.T) {
		b := zipOf(t, map[string][]byte{"a/1.png": img, "b/1.png": img})
		for at := 0; ; {
			i := bytes.Index(b[at:], []byte("PK\x01\x02"))
			if i < 0 {
				break
			}
			b[at+i+8] |= 1
			at += i + 4
		}
		_, err := Open(writeFile(t, "x.zip", b), Options{})
		wantError(t, err, "encrypted")
	})
}

func TestTarLinksAndDuplicates(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	put(tar.Header{Name: "a/", Typeflag: tar.TypeDir}, nil)
	put(tar.Header{Name: "a/1.png", Typeflag: tar.TypeReg}, pngOf(t, 2, 2, shade(1)))
	put(tar.Header{Name: "b/1.png", Typeflag: tar.TypeLink, Linkname: "a/1.png"}, nil)
	put(tar.Header{Name: "b/2.png", Typeflag: tar.TypeSymlink, Linkname: "../../etc/passwd"}, nil)
	put(tar.Header{Name: "a/1.png", Typeflag: tar.TypeReg}, pngOf(t, 2, 2, shade(9))) // appended later: wins
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"x.tar": b.Bytes(), "x.tar.gz": gz(t, b.Bytes())} {
		s := mustOpen(t, writeFile(t, name, b), Options{ValFraction: -1, TestFraction: -1})
		got := readAll(t, s.Train)
		if s.Train.Len() != 2 || got["a/1.png"][0] != shade(9).R || got["b/1.png"][0] != shade(1).R {
			t.Errorf("%s: got %v", name, got)
		}
	}

	b.Reset()
	w = tar.NewWriter(&b)
	put(tar.Header{Name: "b/1.png", Typeflag: tar.TypeLink, Linkname: "a/1.png"}, nil)
	w.Close()
	_, err := Open(writeFile(t, "x.tar", b.Bytes()), Options{})
	wantError(t, err, "hard link", "not in the archive before it")
}

// TestManyLargeImagesTakeTurns decodes more large images at once than the gate
// lets through; were a weight not given back, it would never end.
func TestManyLargeImagesTakeTurns(t *testing.T) {
	files := map[string][]byte{}
	for i := range 6 {
		files[fmt.Sprintf("%c/%d.png", 'a'+i%2, i)] = pngOf(t, 1100, 1000, shade(i))
	}
	path := writeTree(t, files)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, err := Open(path, Options{H: 4, W: 4, MaxPixels: 1100 * 1000, Workers: 6, ValFraction: -1, TestFraction: -1})
		if err != nil {
			t.Error(err)
			return
		}
		if s.Train.Len() != 6 {
			t.Errorf("got %d samples, want 6", s.Train.Len())
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		buf := make([]byte, 1<<16)
		os.Stderr.Write(buf[:runtime.Stack(buf, true)])
		t.Fatal("decoding has come to a standstill")
	}
}
