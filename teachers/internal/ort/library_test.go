package ort

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestPlacesInOrder(t *testing.T) {
	t.Setenv(Variable, "")
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	t.Setenv("LocalAppData", cache)
	var got []string
	for _, p := range places("") {
		if len(got) == 0 || got[len(got)-1] != p.Where {
			got = append(got, p.Where)
		}
	}
	want := []string{"--onnxruntime and ONNXRUNTIME_LIB", "cache folder", "system library path"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("searched %q, want %q", got, want)
	}
}

func TestNamedLibraryIsTheOnlyPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.so")
	if err := os.WriteFile(file, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Variable, "/elsewhere/lib.so")
	for _, c := range []struct{ name, explicit, where, path, found string }{
		{"the flag wins over the environment", file, "--onnxruntime", file, ""},
		{"a file that is not there", file + "x", "--onnxruntime", file + "x", "not there"},
		{"the environment", "", Variable, "/elsewhere/lib.so", "not there"},
		{"a folder is looked into", filepath.Dir(file), "--onnxruntime", filepath.Join(filepath.Dir(file), names(runtime.GOOS)[0]), "not there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := places(c.explicit)
			if p[0].Where != c.where || p[0].Path != c.path || p[0].Found != c.found || p[0].tried != (c.found == "") {
				t.Errorf("got %+v", p[0])
			}
			for _, other := range p {
				if other.Where != c.where {
					t.Errorf("also looked at %v", other)
				}
			}
		})
	}
}

func TestLibraryErrorNamesPlacesAndRemedy(t *testing.T) {
	err := error(&LibraryError{Searched: []Place{{Where: "cache folder", Path: "/c/lib.so", Found: "not there"}, {Where: "system library path", Found: "none"}}})
	for _, want := range []string{"cache folder, /c/lib.so: not there", "system library path: none", "make setup", "--onnxruntime", Variable, Oldest} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	var le *LibraryError
	if !errors.As(err, &le) || len(le.Searched) != 2 {
		t.Error("the error does not carry its places")
	}
}
