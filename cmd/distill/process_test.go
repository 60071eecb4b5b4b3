package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
)

// programVariable has TestMain make the test's executable the program itself, for tests of
// several processes.
const programVariable = "DISTILL_TEST_PROGRAM"

// process is distill as a process of its own.
func process(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), programVariable+"=1")
	return cmd
}

// Of two processes that train into one folder one is refused, with the other's
// name, and what the folder holds in the end is of one run.
func TestTwoProcessesDoNotShareARunFolder(t *testing.T) {
	images, run := drawImages(t), filepath.Join(t.TempDir(), "run")
	train := func(seed string) []string {
		return []string{"train", "--data", images, "--student", "wrn-10-0.25", "--out", run, "--epochs", "40", "--batch", "40", "--seed", seed}
	}
	var said [2]bytes.Buffer
	var both [2]*exec.Cmd
	for i := range both {
		both[i] = process(train(fmt.Sprint(i + 1))...)
		both[i].Stderr = &said[i]
		if err := both[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	winner := -1
	for i, cmd := range both {
		err := cmd.Wait()
		var exit *exec.ExitError
		switch {
		case err == nil && winner >= 0:
			t.Fatal("both trained into the folder")
		case err == nil:
			winner = i
		case !errors.As(err, &exit) || exit.ExitCode() != exitFailed:
			t.Fatalf("process %d: %v\n%s", i, err, &said[i])
		}
	}
	if winner < 0 {
		t.Fatalf("neither trained:\n%s\n%s", &said[0], &said[1])
	}
	loser := said[1-winner].String()
	if want := fmt.Sprintf("is in use by process %d on ", both[winner].Process.Pid); !strings.Contains(loser, want) && !strings.Contains(loser, "holds a run already") {
		t.Errorf("the one that was refused says %q, want %q", loser, want)
	}
	m, err := onnx.ReadFile(filepath.Join(run, "student.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	best, err := safetensors.Read(filepath.Join(run, "best.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := m.Meta("onnxdistill.seed")
	if seed != fmt.Sprint(winner+1) {
		t.Errorf("student.onnx says seed %s, the run that was not refused has %d", seed, winner+1)
	}
	weights, ok := best.Tensor("classifier/bias")
	if got := m.Graph.Initializer("classifier/bias"); !ok || got == nil || !bytes.Equal(got.Data, weights.Data) {
		t.Error("student.onnx does not hold the best weights")
	}
}

// A killed process leaves its folder to the next, also before its first
// checkpoint.
func TestAFolderOfAKilledProcessIsTakenUp(t *testing.T) {
	images, run := drawImages(t), filepath.Join(t.TempDir(), "run")
	// Epochs without end: it is killed.
	killed := process("train", "--data", images, "--student", "wrn-10-0.25", "--out", run, "--epochs", "100000", "--batch", "40")
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killed.Process.Kill() })
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(run, "checkpoint.safetensors")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no checkpoint after a minute")
		}
	}
	soon, end := context.WithTimeout(t.Context(), 10*time.Second)
	defer end()
	if _, _, err := distillContext(soon, t, "train", "--resume", "--out", run); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("is in use by process %d on ", killed.Process.Pid)) {
		t.Errorf("going on with a run in use: %v", err)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed.Wait()
	// What it may leave of writes that were cut short, beside what is nobody's.
	for _, name := range []string{".checkpoint.safetensors123", ".config.yaml7", "notes.txt", ".config.yaml.swp"} {
		if err := os.WriteFile(filepath.Join(run, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(run, ".verify-12", "student.onnx"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it need not go on for long
	out, errOut, err := distillContext(ctx, t, "train", "--resume", "--out", run)
	if exitCode(err) != exitInterrupted || !strings.Contains(out, fmt.Sprintf("was left unfinished by process %d on ", killed.Process.Pid)) {
		t.Errorf("got %v\n%s%s", err, out, errOut)
	}
	var left []string
	entries, err := os.ReadDir(run)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), ".txt") {
			left = append(left, e.Name())
		}
	}
	if fmt.Sprint(left) != "[.config.yaml.swp notes.txt]" {
		t.Errorf("the folder holds %v besides the run, want what is nobody's", left)
	}
}
