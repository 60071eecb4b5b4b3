package data

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// fuzzLimit bounds what a fuzzed file may make a reader hold.
const fuzzLimit = 1 << 20

func FuzzMAT(f *testing.F) {
	for _, name := range []string{"train_32x32.mat", "test_32x32.mat"} {
		f.Add(readFixture(f, "svhn/"+name))
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		w := matWriter{order}
		x := w.array("X", 9, miUINT8, make([]byte, 12), 2, 2, 3, 1)
		y := w.array("y", 6, miUINT8, []byte{7}, 1, 1)
		f.Add(append(append(w.header(), x...), y...))
		f.Add(append(append(w.header(), w.compressed(x)...), w.compressed(y)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseSVHN(b, fuzzLimit)
		if err != nil {
			return
		}
		if len(got.labels) == 0 || len(got.pixels) != len(got.labels)*got.stride {
			t.Fatalf("%d labels, %d bytes of pixels, %d for each", len(got.labels), len(got.pixels), got.stride)
		}
		readBlock(t, got, len(svhnClasses))
	})
}

func FuzzIDX(f *testing.F) {
	for _, name := range []string{"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"} {
		f.Add(readFixture(f, "mnist/"+name))
	}
	f.Add(idxFile(nil, 1<<31, 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		dims, data, err := parseIDX(bufio.NewReader(bytes.NewReader(b)), int64(len(b)), fuzzLimit)
		if err != nil {
			return
		}
		n := 1
		for _, d := range dims {
			n *= d
		}
		if n != len(data) || n > fuzzLimit {
			t.Fatalf("shape %v, %d bytes", dims, len(data))
		}
	})
}

func FuzzCIFAR(f *testing.F) {
	record := append([]byte{3}, make([]byte, cifarPixels)...)
	f.Add(record, 1)
	f.Add(append([]byte{1}, record...), 2)
	f.Fuzz(func(t *testing.T, b []byte, labelBytes int) {
		if labelBytes != 1 && labelBytes != 2 {
			return
		}
		got, err := parseCIFAR(b, labelBytes)
		if err != nil {
			return
		}
		readBlock(t, got, 256)
	})
}

// readBlock reads every sample of a block as the program would.
func readBlock(t *testing.T, b block, classes int) {
	t.Helper()
	if err := checkBlocks([]block{b}, classes); err != nil {
		t.Fatal(err)
	}
	if b.h*b.w > 1<<16 {
		return
	}
	r := newRawSource([]block{b})
	var s scratch
	for i := range min(len(b.labels), 4) {
		for _, tg := range []target{{b.h, b.w, b.c, ""}, {2, 3, 1, FitCrop}} {
			if err := r.decode(i, make([]uint8, tg.bytes()), tg, &s); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, _, err := r.inspect(i, &s); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzImage(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "images", "*"))
	if err != nil || len(files) == 0 {
		f.Fatal("no images in testdata/data; make them with /usr/bin/python3 testdata/gen/data_fixtures.py")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(hugePNG(1<<20, 1<<20))
	f.Add(withOrientation(readFixture(f, "images/444.jpg"), binary.BigEndian, 6))
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 16
		h, err := inspectImage(b, most)
		if err != nil {
			return
		}
		if h.h < 1 || h.w < 1 || h.h*h.w > most {
			t.Fatalf("accepted %d x %d pixels", h.h, h.w)
		}
		var s scratch
		for _, tg := range []target{{5, 4, 3, FitCrop}, {h.h, h.w, 1, FitStretch}} {
			// Broken pixels are an error; a panic is a failure.
			_ = decodeImage(b, make([]uint8, tg.bytes()), tg, &s)
		}
	})
}

func FuzzArchive(f *testing.F) {
	files := classFolders(f, 2, 2, 2, "a", "b")
	f.Add(tarOf(f, files))
	f.Add(gz(f, tarOf(f, files)))
	f.Add(zipOf(f, files))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Open(writeFile(t, "set", b), Options{ArchiveLimit: fuzzLimit, MaxPixels: 1 << 16, H: 2, W: 2, Workers: 1})
		if err != nil {
			return
		}
		readAll(t, s.Train, s.Val, s.Test)
		s.Close()
	})
}
