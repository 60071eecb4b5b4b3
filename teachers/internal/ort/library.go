package ort

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	// Release is the ONNX Runtime that setup fetches and that the tests run on.
	Release = "1.30.0"
	// Oldest is the first ONNX Runtime that speaks the API version 24 which
	// onnxruntime_go v1.27.0 asks for.
	Oldest = "1.24"
	// Variable is the environment variable that names a library.
	Variable = "ONNXRUNTIME_LIB"
)

// Place is one place where a library was looked for.
type Place struct {
	Where string // what kind of place: "cache folder"
	Path  string // a file, a name for the system's loader, or "" where the place does not apply
	Found string // what was found: "loaded", "not there", "none for linux/amd64", or the loader's complaint
	tried bool   // whether Path is to be given to the loader
}

// String is one line of a report.
func (p Place) String() string {
	if p.Path == "" {
		return p.Where + ": " + p.Found
	}
	return p.Where + ", " + p.Path + ": " + p.Found
}

// LibraryError is returned when no usable library is found. It names every
// place searched and the command that fixes it.
type LibraryError struct{ Searched []Place }

func (e *LibraryError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ort: no usable ONNX Runtime library, version %s or newer; searched", Oldest)
	for _, p := range e.Searched {
		b.WriteString("\n  " + p.String())
	}
	b.WriteString("\nrun `make setup` to fetch version " + Release + ", or name a library with --onnxruntime or " + Variable)
	return b.String()
}

// names are the library's file names on a platform, the one setup writes first.
func names(goos string) []string {
	switch goos {
	case "windows":
		return []string{"onnxruntime.dll"}
	case "darwin":
		return []string{"libonnxruntime.dylib"}
	}
	return []string{"libonnxruntime.so.1", "libonnxruntime.so"}
}

// CacheFile is where setup puts the library and Load finds it: in the user's
// cache folder, by release.
func CacheFile() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("ort: no cache folder for the ONNX Runtime library: %w", err)
	}
	return filepath.Join(dir, "onnxdistill", "onnxruntime-"+Release, names(runtime.GOOS)[0]), nil
}

// places lists where to look, best first: where setup puts the library, and where
// the system has it. The copies that onnxruntime_go's module carries for its own
// tests are left alone, since a program loads no code from a cache of sources. A
// library named by the user, by the argument or the environment, is the only place:
// a fall-back would hide a misspelt path.
func places(explicit string) []Place {
	where := "--onnxruntime"
	if explicit == "" {
		where, explicit = Variable, os.Getenv(Variable)
	}
	if explicit != "" {
		if info, err := os.Stat(explicit); err == nil && info.IsDir() {
			var all []Place
			for _, n := range names(runtime.GOOS) {
				all = append(all, file(where, filepath.Join(explicit, n)))
			}
			return all
		}
		return []Place{file(where, explicit)}
	}
	all := []Place{{Where: "--onnxruntime and " + Variable, Found: "not given"}}
	if path, err := CacheFile(); err != nil {
		all = append(all, Place{Where: "cache folder", Found: err.Error()})
	} else {
		all = append(all, file("cache folder", path))
	}
	for _, n := range systemNames(runtime.GOOS) {
		if filepath.IsAbs(n) {
			all = append(all, file("system library path", n))
			continue
		}
		all = append(all, Place{Where: "system library path", Path: n, tried: true})
	}
	return all
}

// systemNames are the names given to the system's loader. Homebrew's folder on
// Apple silicon is not on the loader's path, so it is named in full.
func systemNames(goos string) []string {
	n := names(goos)
	if goos == "darwin" {
		n = append(n, "/opt/homebrew/lib/libonnxruntime.dylib")
	}
	return n
}

func file(where, path string) Place {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return Place{Where: where, Path: path, Found: "not there"}
	case err != nil:
		return Place{Where: where, Path: path, Found: err.Error()}
	case !info.Mode().IsRegular():
		return Place{Where: where, Path: path, Found: "not a file"}
	}
	return Place{Where: where, Path: path, tried: true}
}

// Info describes the runtime in use.
type Info struct {
	Version  string  // of ONNX Runtime: "1.30.0"
	Path     string  // of the library
	Where    string  // the kind of place it was found in
	Searched []Place // all places looked at, in order, up to the one that was loaded
}
