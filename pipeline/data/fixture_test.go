package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Where the files made by testdata/gen/data_fixtures.py are.
const fixtures = "../../testdata/data"

// fixturePixel and fixtureLabel are the formulas of data_fixtures.py.
func fixturePixel(i, y, x, c int) uint8 { return uint8(31*i + 5*y + 3*x + 70*c) }
func fixtureLabel(i, classes int) int   { return (7*i + 3) % classes }

// pngOf encodes a one-colour image.
func pngOf(t testing.TB, h, w int, c color.Color) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, c)
		}
	}
	return encodePNG(t, m)
}

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shade is the colour of image i of the made-up sets, different for each.
func shade(i int) color.NRGBA { return color.NRGBA{uint8(i), uint8(7 * i), uint8(40 + i), 255} }

// classFolders makes n images in each folder, named folder/00.png and so on.
func classFolders(t testing.TB, h, w, n int, folders ...string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for f, folder := range folders {
		for i := range n {
			out[fmt.Sprintf("%s/%02d.png", folder, i)] = pngOf(t, h, w, shade(f*n+i))
		}
	}
	return out
}

// under puts every name below a folder.
func under(dir string, files map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for name, b := range files {
		out[dir+"/"+name] = b
	}
	return out
}

// merge joins sets of files; later ones win.
func merge(sets ...map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for _, s := range sets {
		maps.Copy(out, s)
	}
	return out
}

// writeTree writes files below a new folder; a name that ends in a slash is an
// empty folder.
func writeTree(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(p, 0o777); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tarOf packs files in the order of their names.
func tarOf(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		kind := byte(tar.TypeReg)
		if strings.HasSuffix(name, "/") {
			kind = tar.TypeDir
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipOf(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, name := range slices.Sorted(maps.Keys(files)) {
		method := zip.Deflate
		if i%2 == 1 || strings.HasSuffix(name, "/") {
			method = zip.Store
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeFile writes one file and returns its path.
func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return p
}

// mustOpen opens a set that is in order and closes it when the test ends.
func mustOpen(t testing.TB, path string, o Options) *Set {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// readAll returns every sample's pixels, by name.
func readAll(t testing.TB, splits ...*Split) map[string][]uint8 {
	t.Helper()
	out := map[string][]uint8{}
	for _, s := range splits {
		for i := range s.Len() {
			b := make([]uint8, s.Size())
			if err := s.Read(i, b); err != nil {
				t.Fatal(err)
			}
			out[s.Sample(i)] = b
		}
	}
	return out
}

// names lists a split's samples.
func names(s *Split) []string {
	out := make([]string, s.Len())
	for i := range out {
		out[i] = s.Sample(i)
	}
	return out
}

// wantError checks that err says all of the given words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got error %q, want it to say %q", err, w)
		}
	}
	if !strings.HasPrefix(err.Error(), "data: ") || strings.Contains(err.Error()[6:], "data: ") {
		t.Errorf("error %q does not start with the package's name, once", err)
	}
}
