package onnxdistill_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fakeRuntime is a library that answers as ONNX Runtime does when asked for its
// API. NEWEST is the last API version it has.
const fakeRuntime = `
#include <stdint.h>
static const void *api(uint32_t version) { return version <= NEWEST ? "" : 0; }
static const char *name(void) { return "1." TEXT(NEWEST) ".0"; }
static const struct { const void *(*api)(uint32_t); const char *(*name)(void); } base = {api, name};
const void *OrtGetApiBase(void) { return &base; }
`

// buildFake compiles fakeRuntime into file.
func buildFake(t *testing.T, file, newest string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("cc", "-shared", "-fPIC", "-DNEWEST="+newest, "-DQ(x)=#x", "-DTEXT(x)=Q(x)", "-x", "c", "-o", file, "-")
	c.Stdin = strings.NewReader(fakeRuntime)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", file, err, out)
	}
}

// script writes an executable shell script.
func script(t *testing.T, file, body string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
}

// archive packs a library as ONNX Runtime's releases do, or none where newest is
// empty, and returns the variables that name it and its checksum.
func archive(t *testing.T, home, top, newest string) []string {
	t.Helper()
	library := filepath.Join(home, "built.so")
	if newest != "" {
		buildFake(t, library, newest)
	}
	file := filepath.Join(home, "archive.tgz")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	packed := gzip.NewWriter(io.MultiWriter(out, sum))
	w := tar.NewWriter(packed)
	body, err := os.ReadFile(library)
	if newest != "" && err != nil {
		t.Fatal(err)
	}
	entries := []tar.Header{{Name: top + "/README.md", Mode: 0o644}}
	if newest != "" {
		entries = append(entries,
			tar.Header{Name: top + "/lib/libonnxruntime.so.1", Typeflag: tar.TypeSymlink, Linkname: "libonnxruntime.so.1.30.0"},
			tar.Header{Name: top + "/lib/libonnxruntime.so.1.30.0", Mode: 0o644, Size: int64(len(body))},
			tar.Header{Name: top + "/lib/libonnxruntime_providers_shared.so", Mode: 0o644})
	}
	for _, h := range entries {
		err := w.WriteHeader(&h)
		if err == nil && h.Size > 0 {
			_, err = w.Write(body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), packed.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return []string{"ONNXRUNTIME_ARCHIVE=file://" + file, fmt.Sprintf("ONNXRUNTIME_SHA256=%x", sum.Sum(nil))}
}

// setupCase is one run of scripts/setup in a home of its own.
type setupCase struct {
	name     string
	prepare  func(t *testing.T, home string) (env []string)
	npm      string // body of the npm that is on PATH; empty for none at all
	want     []string
	fails    bool
	curl     bool // whether curl is on PATH
	installs bool // whether a library is put into the cache folder
}

func TestSetup(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("the fake libraries are found through LD_LIBRARY_PATH, which is Linux's; this is %s", runtime.GOOS)
	}
	for _, tool := range []string{"cc", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed, and scripts/setup needs it", tool)
		}
	}
	if _, err := os.Stat("/etc/ld.so.cache"); err == nil {
		if out, err := exec.Command("sh", "-c", "PATH=$PATH:/sbin ldconfig -p").Output(); err == nil && bytes.Contains(out, []byte("libonnxruntime")) {
			t.Skip("this system has its own ONNX Runtime, which would be found before anything is fetched")
		}
	}
	const (
		cached = ".cache/onnxdistill/onnxruntime-1.30.0/libonnxruntime.so.1" // below HOME
		broken = "echo 'npm: no network' >&2; exit 1\n"
	)
	cases := []setupCase{
		{
			name: "a library in the cache folder is used",
			prepare: func(t *testing.T, home string) []string {
				buildFake(t, filepath.Join(home, cached), "30")
				return nil
			},
			npm:  broken,
			want: []string{"ONNX Runtime 1.30.0 is in the cache folder"},
		},
		{
			name: "a broken library in the cache folder is not used",
			prepare: func(t *testing.T, home string) []string {
				file := filepath.Join(home, cached)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte("cut short"), 0o644); err != nil {
					t.Fatal(err)
				}
				return nil
			},
			npm:   broken,
			want:  []string{"cannot be used and is fetched again", "npm could not fetch onnxruntime-node@1.30.0", "ONNXRUNTIME_ARCHIVE=file:///"},
			fails: true,
		},
		{
			name: "a system library that is new enough is used",
			prepare: func(t *testing.T, home string) []string {
				buildFake(t, filepath.Join(home, "lib/libonnxruntime.so.1"), "24")
				return []string{"LD_LIBRARY_PATH=" + filepath.Join(home, "lib")}
			},
			npm:  broken,
			want: []string{"ONNX Runtime 1.24.0 is on the system's library path, as libonnxruntime.so.1"},
		},
		{
			name: "a system library that is too old is passed over",
			prepare: func(t *testing.T, home string) []string {
				buildFake(t, filepath.Join(home, "lib/libonnxruntime.so"), "23")
				return []string{"LD_LIBRARY_PATH=" + filepath.Join(home, "lib")}
			},
			npm:   broken,
			want:  []string{"libonnxruntime.so: version 1.23.0 is too old, 1.24 or newer is needed", "fetching onnxruntime-node 1.30.0"},
			fails: true,
		},
		{
			name: "a library named by the user is used before the cache folder's",
			prepare: func(t *testing.T, home string) []string {
				buildFake(t, filepath.Join(home, cached), "30")
				buildFake(t, filepath.Join(home, "mine/libonnxruntime.so"), "25")
				return []string{"ONNXRUNTIME_LIB=" + filepath.Join(home, "mine")}
			},
			npm:  broken,
			want: []string{"ONNX Runtime 1.25.0 named by ONNXRUNTIME_LIB"},
		},
		{
			name: "a library named by the user that is not there is an error, whatever else is found",
			prepare: func(t *testing.T, home string) []string {
				buildFake(t, filepath.Join(home, cached), "30")
				return []string{"ONNXRUNTIME_LIB=" + filepath.Join(home, "nowhere.so")}
			},
			npm:   broken,
			want:  []string{"nowhere.so\", and there is no library", "or unset it"},
			fails: true,
		},
		{
			name: "a library named by the user that is another library is an error",
			prepare: func(t *testing.T, home string) []string {
				file := filepath.Join(home, "other.so")
				c := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", file, "-")
				c.Stdin = strings.NewReader("int other(void) { return 1; }")
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				return []string{"ONNXRUNTIME_LIB=" + file}
			},
			npm:   broken,
			want:  []string{"not an ONNX Runtime library"},
			fails: true,
		},
		{
			name:  "a package with the wrong checksum installs nothing",
			npm:   "echo changed >onnxruntime-node-1.30.0.tgz\n",
			want:  []string{"checksum is wrong; nothing was installed", "want sha512-twhs1C2C", "got  sha512-"},
			fails: true,
		},
		{
			name:  "without npm and curl the ways out are named",
			want:  []string{"npm and curl are missing", "apt-get install npm, or curl", "ONNXRUNTIME_LIB"},
			fails: true,
		},
		{
			name: "an archive of the right checksum is unpacked, without npm",
			prepare: func(t *testing.T, home string) []string {
				return archive(t, home, "onnxruntime-linux-x64-1.30.0", "30")
			},
			curl:     true,
			installs: true,
			want:     []string{"fetching file://", "taking onnxruntime-linux-x64-1.30.0/lib/libonnxruntime.so.1.30.0", "ONNX Runtime 1.30.0 put into the cache folder"},
		},
		{
			name: "an archive of the user's is taken before npm is asked, whatever its paths begin with",
			prepare: func(t *testing.T, home string) []string {
				return archive(t, home, "./onnxruntime", "30")
			},
			npm:      broken,
			curl:     true,
			installs: true,
			want:     []string{"taking ./onnxruntime/lib/libonnxruntime.so.1.30.0", "ONNX Runtime 1.30.0 put into the cache folder"},
		},
		{
			name: "an archive of another checksum installs nothing",
			prepare: func(t *testing.T, home string) []string {
				return archive(t, home, "onnxruntime-linux-x64-1.30.0", "30")[:1]
			},
			curl:  true,
			want:  []string{"the archive's checksum is wrong; nothing was installed", "want ", "got  "},
			fails: true,
		},
		{
			name: "an archive without a library installs nothing",
			prepare: func(t *testing.T, home string) []string {
				return archive(t, home, "onnxruntime", "")
			},
			curl:  true,
			want:  []string{"the archive holds no library"},
			fails: true,
		},
		{
			name: "an archive that is too old installs nothing",
			prepare: func(t *testing.T, home string) []string {
				return archive(t, home, "onnxruntime", "23")
			},
			curl:  true,
			want:  []string{"cannot be used on this machine", "1.23.0 is too old"},
			fails: true,
		},
		{
			name: "an archive that cannot be reached names the way on",
			prepare: func(t *testing.T, home string) []string {
				return []string{"ONNXRUNTIME_ARCHIVE=file://" + home + "/nowhere.tgz"}
			},
			curl:  true,
			want:  []string{"curl could not fetch the archive", "check the network", "another way and name it"},
			fails: true,
		},
		{
			name: "without a C compiler the way out is named",
			prepare: func(*testing.T, string) []string {
				return []string{"CC=no-such-compiler"}
			},
			npm:   broken,
			want:  []string{`the C compiler "no-such-compiler" is missing`, "apt-get install gcc"},
			fails: true,
		},
	}
	// A compiler that finds oneDNN where installed exists, and else not.
	const compiler = "for a; do case $a in */onednn.c) [ -e \"$HOME/installed\" ]; exit;; esac; done\nexec cc \"$@\"\n"
	onednn := func(prepared ...string) func(t *testing.T, home string) []string {
		return func(t *testing.T, home string) []string {
			buildFake(t, filepath.Join(home, cached), "30")
			script(t, filepath.Join(home, "compiler"), compiler)
			env := []string{"CC=" + filepath.Join(home, "compiler")}
			for _, p := range prepared {
				switch name, body, _ := strings.Cut(p, " "); name {
				case "installed":
					if err := os.WriteFile(filepath.Join(home, name), nil, 0o644); err != nil {
						t.Fatal(err)
					}
				case "ONEDNN":
					env = append(env, name+"="+body)
				default:
					script(t, filepath.Join(home, "tools", name), body+"\n")
				}
			}
			return env
		}
	}
	const fetch = `[ "$1" != install ] || : >"$HOME/installed"` // what apt-get does in these cases
	for _, c := range []struct {
		name    string
		prepare []string
		want    string
	}{
		{"oneDNN that is there is built with", []string{"installed"}, "header and library are there: built with the tag onednn"},
		{"oneDNN is installed by root", []string{"id echo 0", "apt-get " + fetch}, "oneDNN is installed: built with the tag onednn"},
		{"oneDNN is installed through sudo that asks no password", []string{"id echo 1000", `sudo shift; "$@"`, "apt-get " + fetch}, "oneDNN is installed"},
		{"oneDNN is not installed where sudo asks for a password", []string{"id echo 1000", "sudo exit 1", "apt-get " + fetch}, "for the faster ones: sudo apt-get install libdnnl-dev"},
		{"an installation of oneDNN that fails is shown and does not stop setup", []string{"id echo 0", "apt-get echo no space left; exit 100"}, "no space left"},
		{"an installation that leaves no oneDNN is not believed", []string{"id echo 0", "apt-get :"}, "no oneDNN: the student trains on the portable kernels"},
		{"a system without apt-get is told of the package", nil, "no oneDNN: the student trains on the portable kernels; for the faster ones: apt-get install libdnnl-dev"},
		{"ONEDNN=off leaves the system as it is", []string{"ONEDNN off", "id echo 0", "apt-get " + fetch}, "oneDNN is off"},
	} {
		cases = append(cases, setupCase{name: c.name, prepare: onednn(c.prepare...), npm: broken, want: []string{c.want, "ONNX Runtime 1.30.0 is in the cache folder"}})
	}
	goEnv, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Split(strings.TrimSpace(string(goEnv)), "\n")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.curl {
				if _, err := exec.LookPath("curl"); err != nil {
					t.Skip("curl is not installed")
				}
			}
			home := t.TempDir()
			tools := filepath.Join(home, "tools")
			if err := os.Mkdir(tools, 0o755); err != nil {
				t.Fatal(err)
			}
			// A PATH of its own, so that a case can be without a tool.
			for _, name := range []string{
				"sh", "go", "gcc", "cc", "as", "ld", "node", "curl",
				"sed", "awk", "dirname", "mktemp", "rm", "mkdir", "cat", "cp", "chmod", "sha256sum", "tar", "gzip", "mv", "env", "tail",
			} {
				if name == "curl" && !c.curl {
					continue
				}
				if file, err := exec.LookPath(name); err == nil {
					if file, err = filepath.Abs(file); err != nil {
						t.Fatal(err)
					}
					if err := os.Symlink(file, filepath.Join(tools, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.npm != "" {
				script(t, filepath.Join(tools, "npm"), c.npm)
			}
			env := []string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + tools, "GOMODCACHE=" + caches[0], "GOCACHE=" + caches[1]}
			if c.prepare != nil {
				env = append(env, c.prepare(t, home)...)
			}
			before := snapshot(t, filepath.Join(home, ".cache"))

			setup := exec.Command("scripts/setup")
			setup.Env = env
			output, err := setup.CombinedOutput()

			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if failed := err != nil; failed != c.fails {
				t.Errorf("failed is %t, want %t", failed, c.fails)
			}
			for _, want := range c.want {
				if !strings.Contains(string(output), want) {
					t.Errorf("output has no %q", want)
				}
			}
			if after := snapshot(t, filepath.Join(home, ".cache")); c.installs && !strings.HasPrefix(after, filepath.Join(home, cached)) || !c.installs && after != before {
				t.Errorf("the cache folder changed from %q to %q", before, after)
			}
			if left, err := filepath.Glob(filepath.Join(home, "onnxdistill-setup*")); err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v %v", left, err)
			}
			if t.Failed() {
				t.Logf("output:\n%s", output)
			}
		})
	}
}

// snapshot lists the files below a folder with their times.
func snapshot(t *testing.T, folder string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			b.WriteString(name + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSetupPrintsTags runs the question the Makefile asks before each build.
func TestSetupPrintsTags(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("scripts/setup is a shell script")
	}
	for _, c := range []struct{ compiler, onednn, want string }{
		{"exit 0", "", "onednn\n"},
		{"exit 0", "off", ""},
		{"exit 1", "", ""},
	} {
		cc := filepath.Join(t.TempDir(), "cc")
		script(t, cc, c.compiler+"\n")
		tags := exec.Command("scripts/setup", "--tags")
		tags.Env = append(os.Environ(), "CC="+cc, "ONEDNN="+c.onednn, "CGO_ENABLED=1")
		got, err := tags.Output()
		if err != nil || string(got) != c.want {
			t.Errorf("with a compiler that does %q and ONEDNN=%q: tags %q, error %v; want %q", c.compiler, c.onednn, got, err, c.want)
		}
	}
}
