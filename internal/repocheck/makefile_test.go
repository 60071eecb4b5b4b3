package repocheck

import (
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMakeFuzzRunsEveryTarget runs `make fuzz` with a go command that writes down
// what it is asked for.
func TestMakeFuzzRunsEveryTarget(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	tools := t.TempDir()
	asked := filepath.Join(tools, "asked")
	script(t, filepath.Join(tools, "go"), "echo \"$@\" >>"+asked+"\n")
	fuzz := exec.Command("make", "fuzz", "FUZZTIME=7x", "TAGS=")
	fuzz.Env = append(os.Environ(), "PATH="+tools+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := fuzz.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	log, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "-fuzz ") {
			ran++
			if !strings.Contains(line, "-fuzztime 7x -fuzzminimizetime 20x") {
				t.Errorf("bounded in neither time nor minimising: go %s", line)
			}
		}
	}
	targets := 0
	for _, s := range readSources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !s.test || !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			targets++
			if !strings.Contains(string(log), "-fuzz ^"+f.Name.Name+"$ -fuzztime 7x -fuzzminimizetime 20x ./"+s.pkg+"\n") {
				t.Errorf("make fuzz leaves out %s of %s", f.Name.Name, s.pkg)
			}
		}
	}
	if targets == 0 || ran != targets {
		t.Errorf("%d targets were run, there are %d", ran, targets)
	}
}

// TestMakeTestFuzzes: an input that a fuzz target finds in seconds fails a change.
func TestMakeTestFuzzes(t *testing.T) {
	recipe, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(recipe), "\ntest: ")
	test, _, _ := strings.Cut(rest, "\n\n")
	if !strings.Contains(test, "fuzz FUZZTIME=") {
		t.Errorf("make test does not fuzz:\n%s", test)
	}
}
