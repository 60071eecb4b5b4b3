//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	rt "github.com/yalue/onnxruntime_go"
)

// loaded is the process's one runtime. ONNX Runtime can be initialised once,
// and onnxruntime_go keeps it in package variables.
var loaded struct {
	sync.Mutex
	done bool
	info Info
}

// Load finds the library and initialises the runtime, once per process; later
// calls return what the first found. explicit names a library file, or a
// folder that holds one; empty means to search. When nothing usable is found
// the error is a *LibraryError and Info.Searched is filled in; a later call
// may try again. Asking for one library when another is loaded is an error.
func Load(explicit string) (Info, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.done {
		if explicit != "" && !sameLibrary(explicit, loaded.info.Path) {
			return loaded.info, fmt.Errorf("ort: this process runs on %s and cannot change to %s; start it with that library", loaded.info.Path, explicit)
		}
		return loaded.info, nil
	}
	info := Info{Searched: places(explicit)}
	for i := range info.Searched {
		p := &info.Searched[i]
		if !p.tried {
			continue
		}
		if err := initialise(p.Path); err != nil {
			p.Found = err.Error()
			continue
		}
		p.Found = "loaded"
		info.Version, info.Where = rt.GetVersion(), p.Where
		info.Path = fullPath(p.Path)
		info.Searched = info.Searched[:i+1]
		loaded.done, loaded.info = true, info
		return info, nil
	}
	return info, &LibraryError{Searched: info.Searched}
}

// telemetryOff is the environment variable that keeps ONNX Runtime from writing a
// device id into the user's cache folder and from looking up a host to report to.
const telemetryOff = "ORT_DISABLE_TELEMETRY"

func initialise(path string) error {
	// The library reads the variable when it is initialised, and sends its first
	// event then: a call to DisableTelemetry, possible only afterwards, is too late.
	// With cgo os.Setenv reaches the C library's environment too.
	if err := os.Setenv(telemetryOff, "1"); err != nil {
		return fmt.Errorf("telemetry cannot be turned off: %w", err)
	}
	rt.SetSharedLibraryPath(path)
	// Errors come back as values; the log on standard error would repeat them.
	err := rt.InitializeEnvironment(rt.WithLogLevelFatal())
	if err == nil {
		// For a library that does not know the variable. One without telemetry
		// refuses this, which is as good.
		_ = rt.DisableTelemetry()
		return nil
	}
	text := err.Error()
	switch {
	case strings.HasSuffix(text, "Error setting ORT API base: 2"):
		return fmt.Errorf("is older than version %s", Oldest)
	case strings.Contains(text, "OrtGetApiBase"):
		return errors.New("is not an ONNX Runtime library")
	case strings.Contains(strings.ToLower(text), "no such file") && !filepath.IsAbs(path):
		return errors.New("not there")
	}
	text = strings.TrimPrefix(text, "Platform-specific initialization failed: ")
	return fmt.Errorf("cannot be loaded: %s", text)
}

// sameLibrary reports whether a name given by the user means the library in
// use.
func sameLibrary(given, used string) bool {
	a, err := os.Stat(given)
	if err != nil {
		return false
	}
	if a.IsDir() {
		return filepath.Clean(given) == filepath.Dir(used)
	}
	b, err := os.Stat(used)
	return err == nil && os.SameFile(a, b)
}

// fullPath finds the file that the system's loader chose for a bare name.
// Where the system does not tell, it returns the name.
func fullPath(name string) string {
	if filepath.IsAbs(name) || strings.ContainsRune(name, filepath.Separator) {
		if abs, err := filepath.Abs(name); err == nil {
			return abs
		}
		return name
	}
	if runtime.GOOS == "linux" {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			return name
		}
		for line := range strings.Lines(string(maps)) {
			if at := strings.IndexByte(line, '/'); at >= 0 && strings.Contains(line[at:], "libonnxruntime.so") {
				return strings.TrimSpace(line[at:])
			}
		}
	}
	return name
}
