//go:build cgo

package ort

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A process loads one library, so each case of TestLoadRefuses runs this test
// binary again with the library to try in this variable.
const tryVariable = "ORT_TEST_TRY"

func TestMain(m *testing.M) {
	if path, ok := os.LookupEnv(tryVariable); ok {
		info, err := Load(path)
		if err != nil {
			os.Stdout.WriteString("error: " + err.Error())
			os.Exit(0)
		}
		os.Stdout.WriteString("loaded " + info.Version + " from " + info.Where)
		os.Exit(0)
	}
	if wait, err := time.ParseDuration(os.Getenv(quietVariable)); err == nil {
		if err := stayQuiet(wait); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if n := OpenSessions(); n != 0 && code == 0 {
		os.Stderr.WriteString("sessions were left open\n")
		code = 1
	}
	os.Exit(code)
}

func try(t *testing.T, path string, env ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), Variable+"="), env...)
	cmd.Env = append(cmd.Env, tryVariable+"="+path)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the process that loads %s died: %v", path, err)
	}
	return string(out)
}

func TestLoadFindsALibrary(t *testing.T) {
	info, err := Load("")
	if err != nil {
		t.Fatalf("the tests need ONNX Runtime: %v", err)
	}
	if info.Version == "" || info.Path == "" || info.Where == "" {
		t.Errorf("loaded %+v, want version, path and place", info)
	}
	if last := info.Searched[len(info.Searched)-1]; last.Found != "loaded" {
		t.Errorf("last place is %v, want the one loaded", last)
	}
	again, err := Load(info.Path)
	if err != nil || again.Path != info.Path {
		t.Errorf("loading the same library by name: %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "other.so")); err == nil || !strings.Contains(err.Error(), "cannot change to") {
		t.Errorf("loading a second library: %v", err)
	}
}

func TestLoadByEnvironmentAndFolder(t *testing.T) {
	info, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(info.Path) {
		t.Skipf("the system's loader found %s and does not say where", info.Path)
	}
	if got := try(t, "", Variable+"="+info.Path); got != "loaded "+info.Version+" from "+Variable {
		t.Error(got)
	}
	folder := filepath.Join(t.TempDir(), "lib")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(info.Path, filepath.Join(folder, names(runtime.GOOS)[0])); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if got := try(t, folder); got != "loaded "+info.Version+" from --onnxruntime" {
		t.Error(got)
	}
	if runtime.GOOS == "linux" {
		empty := t.TempDir()
		env := []string{"XDG_CACHE_HOME=" + empty, "LD_LIBRARY_PATH=" + folder}
		if got := try(t, "", env...); got != "loaded "+info.Version+" from system library path" {
			t.Error(got)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	compile := func(name, source string) string {
		cc, err := exec.LookPath("cc")
		if err != nil || runtime.GOOS == "windows" {
			t.Skip("no C compiler to make a library with")
		}
		lib, src := filepath.Join(dir, name+".so"), filepath.Join(dir, name+".c")
		if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", lib, src).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return lib
	}
	for _, c := range []struct {
		name string
		path func() string
		want string
	}{
		{"a corrupt file", func() string {
			p := filepath.Join(dir, "corrupt.so")
			if err := os.WriteFile(p, []byte("\x7fELF and no more"), 0o644); err != nil {
				t.Fatal(err)
			}
			return p
		}, "cannot be loaded"},
		{"a version that does not speak our API", func() string {
			return compile("old", `
				struct base { const void *(*api)(unsigned); const char *(*version)(void); };
				static const void *api(unsigned v) { (void)v; return 0; }
				static const char *version(void) { return "1.10.0"; }
				static struct base b = { api, version };
				struct base *OrtGetApiBase(void) { return &b; }`)
		}, "is older than version " + Oldest},
		{"some other library", func() string { return compile("other", "int other;") }, "is not an ONNX Runtime library"},
		{"a file that is not there", func() string { return filepath.Join(dir, "none.so") }, "not there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.path()
			got := try(t, path)
			for _, want := range []string{"error: ", path + ": ", c.want, "make setup"} {
				if !strings.Contains(got, want) {
					t.Errorf("%q lacks %q", got, want)
				}
			}
		})
	}
}

func TestACorruptCacheIsPassedOver(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the cache folder is moved by a variable that only linux has")
	}
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	path, err := CacheFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("half a download"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := try(t, "", "XDG_CACHE_HOME="+cache)
	// Where the system has a library of its own it is used; where it has none,
	// the broken copy must be named.
	if !strings.HasPrefix(got, "loaded ") && !strings.Contains(got, path+": cannot be loaded") {
		t.Error(got)
	}
}
