package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The dimensions are asked for before a long file is read.
func TestLongFilesAreNotReadForTheirDimensions(t *testing.T) {
	const long = 200 << 20
	for name, head := range map[string][]byte{
		"too many pixels":               hugePNG(60000, 60000),
		"a jpeg that never says a size": {0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, map[string][]byte{"a/1.jpg": head, "b/1.png": pngOf(t, 2, 2, color.White)})
			if err := os.Truncate(filepath.Join(dir, "a/1.jpg"), long); err != nil { // the rest is a hole
				t.Fatal(err)
			}
			var err error
			n := allocated(func() { _, err = Open(dir, Options{Workers: 1}) })
			wantError(t, err, "1 of 2 images cannot be used", "a/1.jpg")
			if n > 40<<20 {
				t.Errorf("took %d bytes of memory to refuse %d", n, long)
			}
		})
	}
}

func TestDimensionsAfterLongMetadata(t *testing.T) {
	// A comment holds 64 KiB at most; a colour profile comes in many.
	photo := readFixture(t, "images/444.jpg")
	comment := append([]byte{0xff, 0xfe, 0xff, 0xff}, make([]byte, 65533)...)
	long := slices.Concat(photo[:2], bytes.Repeat(comment, 40), photo[2:])
	s := mustOpen(t, writeTree(t, map[string][]byte{"a/1.jpg": long, "b/1.jpg": photo}), whole)
	got := readAll(t, s.Train)
	if !bytes.Equal(got["a/1.jpg"], got["b/1.jpg"]) {
		t.Error("metadata changes the pixels")
	}
}

func TestAFileThatChangesIsNotReadAsAnother(t *testing.T) {
	o := whole
	o.MemoryBudget = -1
	dir := writeTree(t, classFolders(t, 4, 4, 2, "a", "b"))
	s := mustOpen(t, dir, o)
	if err := os.WriteFile(filepath.Join(dir, "a/00.png"), pngOf(t, 400, 4, color.White), 0o666); err != nil {
		t.Fatal(err)
	}
	err := s.Train.Read(0, make([]uint8, s.Train.Size()))
	wantError(t, err, "image a/00.png", "has changed since the data set was opened")
}

func TestContentHashCoversAllOfAFile(t *testing.T) {
	photo := readFixture(t, "images/444.jpg")
	at := 2 * headBytes
	files := func(change int) map[string][]byte {
		b := append(bytes.Clone(photo), make([]byte, at)...) // after its end a jpeg may have anything
		if change >= 0 {
			b[change]++
		}
		return map[string][]byte{"a/1.jpg": b, "b/1.jpg": photo, "b/2.jpg": photo}
	}
	o := whole
	o.HashContent = true
	base := mustOpen(t, writeTree(t, files(-1)), o)
	last := len(photo) + at - 1
	for _, changed := range []*Set{
		mustOpen(t, writeTree(t, files(last)), o),
		mustOpen(t, writeFile(t, "x.zip", zipOf(t, files(last))), o),
		mustOpen(t, writeFile(t, "x.tar.gz", gz(t, tarOf(t, files(last)))), o),
	} {
		if changed.ContentHash == base.ContentHash {
			t.Errorf("a change of byte %d is not seen", last)
		}
		if changed.Fingerprint != base.Fingerprint {
			t.Error("the fingerprint, which finds a run's data again, has changed its meaning")
		}
	}
	same := mustOpen(t, writeFile(t, "x.tar", tarOf(t, files(-1))), o)
	if same.ContentHash != base.ContentHash {
		t.Error("the container changes the hash")
	}
	small := mustOpen(t, writeTree(t, classFolders(t, 2, 2, 3, "a", "b")), o)
	if small.ContentHash != small.Fingerprint {
		t.Error("of short files the two differ, so that signals recorded of them are lost")
	}
	if s := mustOpen(t, writeTree(t, files(-1)), whole); s.ContentHash != "" {
		t.Error("it is there without being asked for")
	}
}

// TestDecodingVersion pins what the fixtures decode to and resize to: see
// DecodingVersion.
func TestDecodingVersion(t *testing.T) {
	const pinned = "version 0: df466ae402d1bea4"
	if runtime.GOARCH != "amd64" {
		t.Skip("resizing multiplies and adds in one rounding on some processors; the pin is amd64's")
	}
	paths, err := filepath.Glob(filepath.Join(fixtures, "images", "*"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no images")
	}
	slices.Sort(paths)
	h := sha256.New()
	for _, path := range paths {
		b := readFixture(t, "images/"+filepath.Base(path))
		for _, tg := range []target{{19, 29, 3, FitCrop}, {8, 8, 3, FitCrop}, {31, 40, 1, FitStretch}} {
			px := make([]uint8, tg.bytes())
			var s scratch
			if err := decodeImage(b, px, tg, &s); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			fmt.Fprintf(h, "%s %x\n", filepath.Base(path), px)
		}
	}
	if got := fmt.Sprintf("version %d: %s", DecodingVersion, hex.EncodeToString(h.Sum(nil)[:8])); got != pinned {
		t.Errorf("got %s, want %s; where pixels of files that were read before differ, raise DecodingVersion", got, pinned)
	}
}

// slowContext is done after a number of questions.
type slowContext struct {
	context.Context
	left int
}

func (c *slowContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// What lists a container gives up when it is asked to, wherever it is.
func TestListingGivesUp(t *testing.T) {
	files := classFolders(t, 2, 2, 20, "a", "b")
	for name, path := range map[string]string{
		"folder": writeTree(t, files),
		"tar":    writeFile(t, "x.tar", tarOf(t, files)),
		"tar.gz": writeFile(t, "x.tar.gz", gz(t, tarOf(t, files))),
		"zip":    writeFile(t, "x.zip", zipOf(t, files)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, after := range []int{0, 1, 2, 5} {
				_, err := openContainer(&slowContext{t.Context(), after}, path, &listing{}, 1<<30)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("after %d questions: got %v, want context.Canceled", after, err)
				}
			}
		})
	}
}

// What a tar.gz inflates to and nobody wants is bounded by what the file has, and
// stops when it is told to.
func TestInflatingIsBounded(t *testing.T) {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w := tar.NewWriter(z)
	const huge = 3 << 30
	if err := w.WriteHeader(&tar.Header{Name: "a/film.mp4", Typeflag: tar.TypeReg, Size: huge}); err != nil {
		t.Fatal(err)
	}
	z.Flush()
	// Members of gzip follow each other: 256 MiB of zeros, packed once.
	var zeroes bytes.Buffer
	packer, _ := gzip.NewWriterLevel(&zeroes, gzip.BestSpeed)
	if _, err := io.CopyN(packer, zeros{}, 256<<20); err != nil {
		t.Fatal(err)
	}
	packer.Close()
	z.Close()
	for range huge / (256 << 20) {
		b.Write(zeroes.Bytes())
	}
	path := writeFile(t, "x.tar.gz", b.Bytes())
	t.Run("by the file's length", func(t *testing.T) {
		if testing.Short() {
			t.Skip("inflates a GiB")
		}
		_, err := Open(path, Options{ArchiveLimit: 1 << 20})
		wantError(t, err, "x.tar.gz", "decompress to more than", "leave those files out")
	})
	t.Run("by whoever waits", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := OpenContext(ctx, path, Options{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "data: ") {
			t.Error(err)
		}
	})
}
