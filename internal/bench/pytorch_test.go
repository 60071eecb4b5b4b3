package bench

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// pytorch is an interpreter that can import torch.
type pytorch struct {
	python          string
	version, oneDNN string
}

// findPyTorch looks for the interpreter that PYTHON names, else Debian's, else
// the one on the path.
var findPyTorch = sync.OnceValues(func() (pytorch, error) {
	return lookForPyTorch(os.Getenv("PYTHON"), "/usr/bin/python3", "python3")
})

// lookForPyTorch returns the first of some interpreters that has PyTorch; an
// empty name is passed over.
func lookForPyTorch(interpreters ...string) (pytorch, error) {
	const probe = `import re, torch
print(torch.__version__)
print(*re.findall(r"(?:MKL-DNN|oneDNN) v([0-9.]+)", torch.__config__.show())[:1])`
	var failed []error
	for _, python := range interpreters {
		if python == "" {
			continue
		}
		out, err := exec.Command(python, "-c", probe).Output()
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", python, lastWords(err)))
			continue
		}
		version, oneDNN, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return pytorch{python, version, cmp.Or(oneDNN, "not built in")}, nil
	}
	return pytorch{}, absent("PyTorch is not there, name an interpreter that has it in PYTHON (%v)", errors.Join(failed...))
}

// lastWords adds the last line of a command's standard error to its error.
func lastWords(err error) error {
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
	return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
}

// command is a program of testdata/bench, with as many
// threads as ours.
func (p pytorch) command(script string, args ...string) *exec.Cmd {
	args = append([]string{script, "--threads", strconv.Itoa(runtime.GOMAXPROCS(0))}, args...)
	c := exec.Command(p.python, args...)
	c.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	return c
}

// best runs a program that times both memory formats and returns the better
// one's milliseconds of what.
func (p pytorch) best(what, script string, args ...string) (float64, error) {
	out, err := p.command(script, args...).Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", script, lastWords(err))
	}
	var said struct{ Best map[string]float64 }
	if err := json.Unmarshal(bytes.TrimSpace(out), &said); err != nil || said.Best[what] <= 0 {
		return 0, fmt.Errorf("%s prints no best %s: %s", script, what, out)
	}
	return said.Best[what], nil
}

// stepScript times student steps.
const stepScript = "testdata/bench/student_step.py"

// TestPyTorchPeersRun keeps the peers' programs and what is read of them
// together, in one small step each.
func TestPyTorchPeersRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starting PyTorch three times takes seconds")
	}
	p, err := findPyTorch()
	if err != nil {
		t.Skip(err)
	}
	few := []string{"--batch", "2", "--steps", "1"}
	for _, c := range []struct{ what, script string }{
		{"student_step_ms", "testdata/bench/student_step.py"},
		{"teacher_forward_ms", "testdata/bench/student_step.py"},
		{"step_ms", "testdata/bench/mobile_step.py"},
	} {
		if ms, err := p.best(c.what, c.script, few...); err != nil || ms <= 0 {
			t.Errorf("%s of %s: %v ms, %v", c.what, c.script, ms, err)
		}
	}
	if _, err := p.best("no_such_figure", "testdata/bench/mobile_step.py", few...); err == nil || !strings.Contains(err.Error(), "no best no_such_figure") {
		t.Errorf("a figure that is not printed: %v", err)
	}
	if _, err := p.best("step_ms", "testdata/bench/mobile_step.py", "--steps", "many"); err == nil || !strings.Contains(err.Error(), "invalid int value: 'many'") {
		t.Errorf("a program that fails: %v", err)
	}
}

func TestPyTorchIsLookedForInOrder(t *testing.T) {
	dir := t.TempDir()
	with, without := filepath.Join(dir, "with"), filepath.Join(dir, "without")
	for file, body := range map[string]string{
		with:    "printf '9.8.7\\n6.5.4\\n'",
		without: "echo 'ModuleNotFoundError: no torch' >&2; exit 1",
	} {
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, first, want string
		fails             bool
	}{
		{"the first that has it", with, "9.8.7", false},
		{"one that has not", without, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := lookForPyTorch(c.first)
			if got.version != c.want || (err != nil) != c.fails {
				t.Errorf("got %+v, %v", got, err)
			}
			if a := (*absence)(nil); c.fails && (!errors.As(err, &a) || !strings.Contains(a.reason, "ModuleNotFoundError: no torch")) {
				t.Errorf("the reason is %v", err)
			}
		})
	}
	if got, err := lookForPyTorch(without, "", with); err != nil || got.oneDNN != "6.5.4" {
		t.Errorf("the second of two: %+v, %v", got, err)
	}
}
