package torture

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostileData are data sets.
var hostileData = []hostileCase{
	{name: "data, a FIFO", make: func(t *testing.T, _ *world, dir string) [][]string {
		return asData(fifo(t, filepath.Join(dir, "images.zip")))
	}},
	{name: "data, /dev/zero", make: func(*testing.T, *world, string) [][]string { return asData("/dev/zero") }},
	{name: "folder, a FIFO among the images", make: func(t *testing.T, w *world, dir string) [][]string {
		images := copyFolder(t, w.data, filepath.Join(dir, "images"))
		fifo(t, filepath.Join(images, "train", "a", "fifo.png"))
		return asData(images)
	}},
	{name: "folder, links in circles", make: func(t *testing.T, w *world, dir string) [][]string {
		images := copyFolder(t, w.data, filepath.Join(dir, "images"))
		link(t, "../..", filepath.Join(images, "train", "a", "up"))
		link(t, "self.png", filepath.Join(images, "train", "b", "self.png"))
		link(t, "/dev/zero", filepath.Join(images, "train", "c", "zero.png"))
		link(t, ".", filepath.Join(images, "train", "here"))
		return asData(images)
	}},
	{name: "folder, 300 folders deep", make: func(t *testing.T, w *world, dir string) [][]string {
		images := copyFolder(t, w.data, filepath.Join(dir, "images"))
		write(t, filepath.Join(images, "train", "a", strings.Repeat("deep/", 300), "0.png"), picture(noise(), 1))
		return asData(images)
	}},
	{name: "folder, names of control characters", make: func(t *testing.T, w *world, dir string) [][]string {
		images := copyFolder(t, w.data, filepath.Join(dir, "images"))
		for _, split := range []string{"train", "val", "test"} {
			write(t, filepath.Join(images, split, "\x1b]0;t\x07", "\x9b31m.png"), picture(noise(), 1))
		}
		return asData(images)
	}},
	archive("zip, an image that inflates to 512 MiB", "images.zip", func(w io.Writer) {
		z := zip.NewWriter(w)
		for c := range classes {
			f, err := z.Create(fmt.Sprintf("%c/0.png", 'a'+c))
			must(err)
			zeros(f, 512<<20/classes)
		}
		must(z.Close())
	}),
	archive("zip, 100,000 entries", "images.zip", func(w io.Writer) {
		z := zip.NewWriter(w)
		for i := range 100_000 {
			_, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%d/%d.png", i%100, i)})
			must(err)
		}
		must(z.Close())
	}),
	archive("zip, paths that leave it", "images.zip", func(w io.Writer) {
		z := zip.NewWriter(w)
		for i, name := range []string{"../../a/0.png", "/etc/b/0.png", "c\\..\\..\\0.png", "d/./../d/0.png", "\x00/0.png", strings.Repeat("e/", 5000) + "0.png"} {
			f, err := z.Create(name)
			must(err)
			_, err = f.Write(picture(noise(), uint8(i)))
			must(err)
		}
		must(z.Close())
	}),
	archive("tar, an entry of 2^62 bytes", "images.tar", func(w io.Writer) {
		must(tar.NewWriter(w).WriteHeader(&tar.Header{Name: "a/0.png", Mode: 0o644, Size: 1 << 62, Format: tar.FormatGNU}))
	}),
	archive("tar, links in circles and devices", "images.tar", func(w io.Writer) {
		z := tar.NewWriter(w)
		for _, h := range []tar.Header{
			{Name: "a/0.png", Typeflag: tar.TypeSymlink, Linkname: "1.png"}, {Name: "a/1.png", Typeflag: tar.TypeSymlink, Linkname: "0.png"},
			{Name: "b/0.png", Typeflag: tar.TypeLink, Linkname: "b/1.png"}, {Name: "b/1.png", Typeflag: tar.TypeLink, Linkname: "b/0.png"},
			{Name: "c/0.png", Typeflag: tar.TypeFifo}, {Name: "c/1.png", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5},
			{Name: "d/0.png", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, {Name: "d/1.png", Typeflag: tar.TypeLink, Linkname: "../../../etc/passwd"},
			{Name: "e", Typeflag: tar.TypeSymlink, Linkname: "."},
		} {
			must(z.WriteHeader(&h))
		}
		must(z.Close())
	}),
	archive("tar.gz, 24 GiB of zeros in one image", "images.tar.gz", func(w io.Writer) {
		var header bytes.Buffer
		must(tar.NewWriter(&header).WriteHeader(&tar.Header{Name: "a/0.png", Mode: 0o644, Size: 24 << 30, Format: tar.FormatGNU}))
		_, err := w.Write(zipped(header.Bytes()))
		must(err)
		member := zipped(make([]byte, 64<<20))
		for range 24 << 30 / (64 << 20) {
			_, err := w.Write(member)
			must(err)
		}
	}),
	archive("tar.gz of tar.gz of tar.gz", "images.tar.gz", func(w io.Writer) {
		b := make([]byte, 1<<20)
		for range 20 {
			b = zipped(b)
		}
		_, err := w.Write(b)
		must(err)
	}),
	pictureCase("PNG, 2^31-1 pixels wide and high", "png", pngHeader(math.MaxInt32, math.MaxInt32, nil)),
	pictureCase("PNG, 30,000 times 30,000 pixels of nothing", "png", pngHeader(30_000, 30_000, make([]byte, 64<<20))),
	pictureCase("GIF, 65,535 times 65,535 pixels", "gif", []byte("GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02\x44\x01\x00;")),
	pictureCase("JPEG, 65,500 times 65,500 pixels", "jpg", []byte("\xff\xd8\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00")),
	pictureCase("BMP, 2^31-1 pixels wide", "bmp", bmpHeader(math.MaxInt32, 1)),
	pictureCase("BMP, the most negative height", "bmp", bmpHeader(100_000, math.MinInt32)),
	pictureCase("WebP, 16,384 times 16,384 pixels", "webp", []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\xff\xff\xff\x0f\x00\x00\x00\x00\x00\x00\x00\x00\x00")),
	{name: "IDX, 2^32 images", make: func(t *testing.T, _ *world, dir string) [][]string {
		return idx(t, dir, "\x00\x00\x08\x03\xff\xff\xff\xff\x00\x00\x00\x1c\x00\x00\x00\x1c", "\x00\x00\x08\x01\xff\xff\xff\xff")
	}},
	{name: "IDX, images of 2^64 pixels", make: func(t *testing.T, _ *world, dir string) [][]string {
		return idx(t, dir, "\x00\x00\x08\x03\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff", "\x00\x00\x08\x01\x00\x00\x00\x01\x00")
	}},
	{name: "MAT, a compressed element of 512 MiB", make: func(t *testing.T, _ *world, dir string) [][]string {
		var packed bytes.Buffer
		z := zlib.NewWriter(&packed)
		zeros(z, 512<<20)
		must(z.Close())
		return mat(t, dir, 15, packed.Bytes())
	}},
	{name: "MAT, an element of 2^32 bytes", make: func(t *testing.T, _ *world, dir string) [][]string {
		return mat(t, dir, 14, nil)
	}},
	{name: "npy, 2^60 elements", make: func(t *testing.T, _ *world, dir string) [][]string {
		header := "{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,), }"
		return asData(write(t, filepath.Join(dir, "images.npy"), []byte("\x93NUMPY\x01\x00"+string([]byte{byte(len(header)), 0})+header)))
	}},
	archive("CIFAR, a batch of 2^40 bytes", "cifar.tar.gz", func(w io.Writer) {
		g := gzip.NewWriter(w)
		must(tar.NewWriter(g).WriteHeader(&tar.Header{Name: "cifar-10-batches-bin/data_batch_1.bin", Mode: 0o644, Size: 1 << 40, Format: tar.FormatGNU}))
		must(g.Close())
	}),
}

func noise() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// zeros writes n zeros.
func zeros(w io.Writer, n int64) {
	_, err := io.Copy(w, io.LimitReader(blank{}, n))
	must(err)
}

// blank reads as zeros without end.
type blank struct{}

func (blank) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// archive has a file read as data.
func archive(name, file string, body func(io.Writer)) hostileCase {
	return hostileCase{name: name, make: func(t *testing.T, _ *world, dir string) [][]string {
		path := filepath.Join(dir, file)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		body(f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return asData(path)
	}}
}

// pictureCase puts a picture into a folder of good ones.
func pictureCase(name, ending string, file []byte) hostileCase {
	return hostileCase{name: name, make: func(t *testing.T, w *world, dir string) [][]string {
		images := copyFolder(t, w.data, filepath.Join(dir, "images"))
		for i := range 8 { // more than there are workers
			write(t, filepath.Join(images, "train", "a", fmt.Sprintf("hostile%d.%s", i, ending)), file)
		}
		return [][]string{small("--data", images), small("--data", images, "--skip-bad")}
	}}
}

// pngHeader is a grey picture of one bit a pixel with so many bytes of data.
func pngHeader(w, h uint32, data []byte) []byte {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, err := z.Write(data)
	must(err)
	must(z.Close())
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	b := []byte("\x89PNG\r\n\x1a\n")
	for _, c := range []struct {
		kind string
		body []byte
	}{{"IHDR", append(head, 1, 0, 0, 0, 0)}, {"IDAT", packed.Bytes()}, {"IEND", nil}} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.body)))
		named := append([]byte(c.kind), c.body...)
		b = append(b, named...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(named))
	}
	return b
}

// bmpHeader is a picture of 24 bits a pixel without its pixels.
func bmpHeader(w, h int32) []byte {
	b := append([]byte("BM"), make([]byte, 52)...)
	binary.LittleEndian.PutUint32(b[10:], 54)
	binary.LittleEndian.PutUint32(b[14:], 40)
	binary.LittleEndian.PutUint32(b[18:], uint32(w))
	binary.LittleEndian.PutUint32(b[22:], uint32(h))
	binary.LittleEndian.PutUint16(b[26:], 1)
	binary.LittleEndian.PutUint16(b[28:], 24)
	return b
}

// idx writes MNIST's four files.
func idx(t *testing.T, dir, images, labels string) [][]string {
	t.Helper()
	for _, part := range []string{"train", "t10k"} {
		write(t, filepath.Join(dir, "mnist", part+"-images-idx3-ubyte"), []byte(images))
		write(t, filepath.Join(dir, "mnist", part+"-labels-idx1-ubyte"), []byte(labels))
	}
	return asData(filepath.Join(dir, "mnist"))
}

// mat writes a MATLAB file of one element; without content it claims 2^32-8 bytes.
func mat(t *testing.T, dir string, kind uint32, content []byte) [][]string {
	t.Helper()
	b := append([]byte("MATLAB 5.0 MAT-file"+strings.Repeat(" ", 105)), 0, 1, 'I', 'M')
	size := uint32(len(content))
	if content == nil {
		size = math.MaxUint32 - 7
	}
	b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, kind), size)
	write(t, filepath.Join(dir, "svhn", "test_32x32.mat"), append(b, content...))
	return asData(filepath.Dir(write(t, filepath.Join(dir, "svhn", "train_32x32.mat"), append(b, content...))))
}
