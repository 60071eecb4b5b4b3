package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entry is one of an archive: a file, or a symbolic link.
type entry struct {
	name    string
	content []byte
	link    string
}

// archives packs entries as a tar, a tar.gz and a zip.
func archives(t *testing.T, entries []entry) map[string][]byte {
	t.Helper()
	var tb, zb bytes.Buffer
	tw, zw := tar.NewWriter(&tb), zip.NewWriter(&zb)
	for _, e := range entries {
		h := tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.content))}
		zh := zip.FileHeader{Name: e.name, Method: zip.Deflate}
		content := e.content
		if e.link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.link, 0
			zh.SetMode(fs.ModeSymlink | 0o777)
			content = []byte(e.link)
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(e.content); err != nil {
			t.Fatal(err)
		}
		w, err := zw.CreateHeader(&zh)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"set.tar": tb.Bytes(), "set.tar.gz": gz(t, tb.Bytes()), "set.zip": zb.Bytes()}
}

func TestLinksInArchivesAreFollowed(t *testing.T) {
	img := func(i int) []byte { return pngOf(t, 2, 2, shade(i)) }
	for _, c := range []struct {
		name    string
		entries []entry
		want    map[string]int // shade of each sample
		said    []string
		notIn   string // the container that cannot
	}{
		{
			name:    "to files beside them, some by way of other links",
			entries: []entry{{"ds/a/1.png", img(1), ""}, {"ds/a/2.png", nil, "1.png"}, {"ds/a/3.png", nil, "2.png"}, {"ds/b/1.png", img(4), ""}},
			want:    map[string]int{"a/1.png": 1, "a/2.png": 1, "a/3.png": 1, "b/1.png": 4},
		},
		{
			name:    "to a folder that keeps the images of all",
			entries: []entry{{"pool/1.png", img(1), ""}, {"pool/2.png", img(2), ""}, {"ds/a/1.png", nil, "../../pool/1.png"}, {"ds/b/1.png", nil, "../../pool/2.png"}},
			want:    map[string]int{"a/1.png": 1, "b/1.png": 2},
			said:    []string{"images in pool/, which links in other folders stand for: 2"},
		},
		{
			name: "to folders, one by way of another link",
			entries: []entry{{"pool/x/1.png", img(1), ""}, {"pool/y/deep/2.png", img(2), ""},
				{"ds/a", nil, "../pool/x"}, {"ds/b", nil, "../pool/y"}, {"ds/c", nil, "b/deep"}},
			want: map[string]int{"a/1.png": 1, "b/deep/2.png": 2, "c/2.png": 2},
			said: []string{"images in folders within class folders count as images of the class: 1, such as ds/b/deep/2.png",
				"images in pool/, which links in other folders stand for: 2"},
		},
		{
			name: "to files that are no images by name",
			entries: []entry{{".store/one", img(1), ""}, {"store/two", img(2), ""}, {"a/1.png", nil, "../.store/one"}, {"b/1.png", nil, "../store/two"},
				{"a/2.png", img(3), ""}, {"b/2.png", img(4), ""}},
			want:  map[string]int{"a/1.png": 1, "b/1.png": 2, "a/2.png": 3, "b/2.png": 4},
			notIn: "set.tar.gz",
		},
		{
			name: "out of the archive, to nothing, in circles",
			entries: []entry{{"a/1.png", img(1), ""}, {"b/1.png", img(2), ""}, {"a/2.png", nil, "/etc/passwd.png"}, {"a/3.png", nil, "../../x.png"},
				{"b/4.png", nil, "gone.png"}, {"b/5.png", nil, "6.png"}, {"b/6.png", nil, "5.png"}, {"a/up", nil, ".."}, {"a/self", nil, "."}},
			want: map[string]int{"a/1.png": 1, "b/1.png": 2},
			said: []string{"symbolic links out of the archive, or to what it does not hold: 7 (such as a/2.png to /etc/passwd.png)"},
		},
	} {
		for name, b := range archives(t, c.entries) {
			t.Run(c.name+", "+name, func(t *testing.T) {
				if name == c.notIn {
					_, err := Open(writeFile(t, name, b), whole)
					wantError(t, err, `"store" (1 without extension)`, "symbolic links to files not named as images, which are not followed in a .tar.gz; repack it as .tar or .zip: 2")
					return
				}
				s := mustOpen(t, writeFile(t, name, b), whole)
				got := readAll(t, s.Train)
				if len(got) != len(c.want) {
					t.Errorf("got %q, want %v", names(s.Train), c.want)
				}
				for sample, i := range c.want {
					if px := got[sample]; len(px) == 0 || px[0] != shade(i).R {
						t.Errorf("%s has the pixels %v, want those of image %d", sample, px, i)
					}
				}
				heard := said(s)
				for i, want := range c.said {
					if i >= len(heard) || !strings.HasPrefix(heard[i], want) {
						t.Errorf("said %q, want %q", heard, c.said)
						break
					}
				}
			})
		}
	}
}

// Links to folders of links could stand for any number of files.
func TestLinkedFoldersDoNotMultiply(t *testing.T) {
	entries := []entry{}
	for i := range 1100 {
		entries = append(entries, entry{fmt.Sprintf("a/%04d.png", i), []byte{1}, ""}, entry{fmt.Sprintf("l%04d", i), nil, "a"})
	}
	_, err := Open(writeFile(t, "set.tar", archives(t, entries)["set.tar"]), Options{})
	wantError(t, err, "symbolic links to folders add more than")
}

func TestZipMethods(t *testing.T) {
	// method sets the compression method of the entries that which chooses.
	method := func(b []byte, number byte, which func(i int) bool) []byte {
		b = bytes.Clone(b)
		for _, at := range []struct {
			mark   string
			offset int
		}{{"PK\x01\x02", 10}, {"PK\x03\x04", 8}} {
			for from, i := 0, 0; ; i++ {
				j := bytes.Index(b[from:], []byte(at.mark))
				if j < 0 {
					break
				}
				if which(i) {
					b[from+j+at.offset] = number
				}
				from += j + 4
			}
		}
		return b
	}
	b := zipOf(t, classFolders(t, 2, 2, 4, "a", "b"))
	for number, name := range map[byte]string{9: "Deflate64 (method 9)", 14: "LZMA (method 14)", 93: "Zstandard (method 93)", 77: "method 77"} {
		_, err := Open(writeFile(t, "x.zip", method(b, number, func(int) bool { return true })), Options{SkipBad: true})
		wantError(t, err, "x.zip: entries are compressed with "+name, "repack the archive with Deflate")
	}
	some := writeFile(t, "x.zip", method(b, 14, func(i int) bool { return i < 3 }))
	_, err := Open(some, Options{})
	wantError(t, err, "3 of 8 images cannot be used", "a/00.png: it is compressed with LZMA (method 14)")
	o := whole
	o.SkipBad = true
	s := mustOpen(t, some, o)
	want := []LeftOut{{"it is " + unreadMethod(14), 3, "such as a/00.png"}}
	if diff := cmp.Diff(want, ByReason(s.Bad)); diff != "" || s.Train.Len() != 5 {
		t.Errorf("%d samples, %s", s.Train.Len(), diff)
	}
}
