package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/pipeline"
)

// Each row of the table of exit codes in docs/RUNS.md.
func TestExitCodes(t *testing.T) {
	images, dir := drawImages(t), t.TempDir()
	train := func(name string, more ...string) []string {
		return append([]string{"train", "--data", images, "--student", "wrn-10-0.25", "--out", filepath.Join(dir, name), "--epochs", "1", "--batch", "40"}, more...)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		name string
		ctx  context.Context
		args []string
		want int
		said string
	}{
		{"done", t.Context(), []string{"completion", "bash"}, 0, ""},
		{"failed", t.Context(), []string{"train", "--data", filepath.Join(dir, "missing"), "--out", filepath.Join(dir, "a")}, exitFailed, "missing"},
		{"asked for wrongly", t.Context(), train("b", "--epochs", "none"), exitUsage, "epochs"},
		{"nothing learned", t.Context(), train("c", "--strict", "--lr", "1e-9"), exitDoubtful, "the student has learned nothing: it "},
		{"nothing learned, of a finished run", t.Context(), []string{"train", "--resume", "--strict", "--out", filepath.Join(dir, "c")}, exitDoubtful, "the student has learned nothing: it "},
		{"nothing learned, and not asked", t.Context(), []string{"train", "--resume", "--out", filepath.Join(dir, "c")}, 0, ""},
		{"interrupted", ended, train("d"), exitInterrupted, "interrupted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := distillContext(c.ctx, t, c.args...)
			code := 0
			if err != nil {
				code = exitCode(err)
			}
			if code != c.want || err != nil && !strings.Contains(err.Error(), c.said) {
				t.Errorf("exit code %d with %v, want %d and %q", code, err, c.want, c.said)
			}
		})
	}
	table, err := os.ReadFile("../../docs/RUNS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{0, exitFailed, exitUsage, exitDoubtful, exitInterrupted} {
		if !strings.Contains(string(table), fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("docs/RUNS.md has no row for exit code %d", code)
		}
	}
}

// Without --out each run has a folder of its own; with it the user decides.
func TestRunsWithoutAFolderAreNumbered(t *testing.T) {
	images := drawImages(t)
	t.Chdir(t.TempDir())
	train := func(more ...string) (string, error) {
		out, _, err := distill(t, append([]string{"train", "--data", images, "--student", "wrn-10-0.25", "--epochs", "1", "--batch", "40"}, more...)...)
		return out, err
	}
	for i, want := range []string{"runs/student", "runs/student-2", "runs/student-3"} {
		out, err := train()
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(out, "runs/student is taken, so this run goes into "+want); said != (i > 0) {
			t.Errorf("run %d says\n%s", i+1, out)
		}
		if _, err := os.Stat(pipeline.Folder(want).Student()); err != nil {
			t.Error(err)
		}
	}
	first, err := os.ReadFile("runs/student/student.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train("--out", "runs/student", "--seed", "2"); err == nil || !strings.Contains(err.Error(), "--resume --out runs/student") || !strings.Contains(err.Error(), "--overwrite") {
		t.Errorf("the same folder again: %v", err)
	}
	if _, err := train("--out", "runs/student", "--seed", "2", "--overwrite"); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile("runs/student/student.onnx"); err != nil || string(again) == string(first) {
		t.Errorf("--overwrite leaves the student as it was: %v", err)
	}
	// What resuming may change, in flags.
	if _, _, err := distill(t, "train", "--resume", "--out", "runs/student", "--overwrite"); !errors.As(err, new(usageError)) {
		t.Errorf("resuming and overwriting: %v", err)
	}
}
