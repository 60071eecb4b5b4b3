package repocheck

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

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

// TestSetup runs scripts/setup on machines that have something and lack another.
func TestSetup(t *testing.T) {
	needsSetup(t)
	caches := goCaches(t)
	for _, group := range [][]setupCase{findingCases, fetchingCases, oneDNNCases()} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, caches)
			})
		}
	}
}

// needsSetup skips where scripts/setup cannot be run, or not with fakes.
func needsSetup(t *testing.T) {
	t.Helper()
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
}

// goCaches returns the variables that name the go command's caches, which lie below
// the home folder unless they are said.
func goCaches(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules, builds, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return []string{"GOMODCACHE=" + modules, "GOCACHE=" + builds}
}

// run runs scripts/setup in a home folder of the case's own and looks at what it
// said and left there. caches are the go command's.
func (c setupCase) run(t *testing.T, caches []string) {
	if c.curl {
		if _, err := exec.LookPath("curl"); err != nil {
			t.Skip("curl is not installed")
		}
	}
	home := t.TempDir()
	tools := filepath.Join(home, "tools")
	c.installTools(t, tools)
	env := append([]string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + tools}, caches...)
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
}

// installTools fills a folder that is to be the whole PATH, so that a case can be
// without a tool.
func (c setupCase) installTools(t *testing.T, folder string) {
	t.Helper()
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"sh", "go", "gcc", "cc", "as", "ld", "node", "curl",
		"sed", "awk", "dirname", "mktemp", "rm", "mkdir", "cat", "cp", "chmod", "sha256sum", "tar", "gzip", "mv", "env", "tail",
	} {
		if name == "curl" && !c.curl {
			continue
		}
		file, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if file, err = filepath.Abs(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if c.npm != "" {
		script(t, filepath.Join(folder, "npm"), c.npm)
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
