//go:build unix

package pipeline

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

// A write that finds no room, whichever of a run's it is, ends the run with what
// to do, and its student is made once there is room again. A limit on the size of
// files stands in for a full disk: it stops the files one after the other. It is set
// in a process of its own, since it would stop go test's log as well.
func TestARunGoesOnWhenThereIsRoomAgain(t *testing.T) {
	if os.Getenv("ONNXDISTILL_TEST_LIMIT") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "ONNXDISTILL_TEST_LIMIT=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	c := smallRun(t)
	_, want := runStudent(t, c, Options{})
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limited := func(bytes uint64, do func() (*FinalMetrics, error)) (*FinalMetrics, error) {
		limit := before
		limit.Cur = bytes
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		defer unix.Setrlimit(unix.RLIMIT_FSIZE, &before)
		return do()
	}
	stoppedAt := map[string]bool{}
	for room := uint64(100); ; room += 250 {
		folder := Folder(filepath.Join(t.TempDir(), "run"))
		train := func() (*FinalMetrics, error) { return Train(t.Context(), c, folder, Options{}) }
		_, err := limited(room, train)
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "make room and ") || room > 1<<16 {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
		for _, file := range folder.files() {
			if strings.Contains(err.Error(), filepath.Base(file)) {
				stoppedAt[filepath.Base(file)] = true
			}
		}
		again := train
		if strings.Contains(err.Error(), "--resume") {
			again = func() (*FinalMetrics, error) { return Resume(t.Context(), folder, Options{}) }
		}
		if _, err := limited(room, again); err == nil {
			t.Errorf("with room for %d bytes, which was too little, it goes on", room)
		}
		if got, err := again(); err != nil || got.StudentSHA256 != want.StudentSHA256 {
			t.Errorf("after there was room for %d bytes: %+v, %v", room, got, err)
		}
	}
	// Of a student that does not get better metrics are all that is written before
	// the checkpoint.
	c.Training.LearningRate, c.Training.Schedule = 1e-9, "constant"
	_, want = runStudent(t, c, Options{})
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	_, err := limited(before.Cur, func() (*FinalMetrics, error) {
		return Train(t.Context(), c, folder, Options{Hooks: []engine.Hooks[*Sample]{{OnStartEpoch: func(s *engine.State[*Sample]) error {
			if limit := before; s.Epoch == 1 {
				limit.Cur = 100
				return unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
			}
			return nil
		}}}})
	})
	if err == nil || !strings.Contains(err.Error(), "metrics.jsonl") || !strings.Contains(err.Error(), "--resume") {
		t.Fatalf("no room for metrics: %v", err)
	}
	if got, err := Resume(t.Context(), folder, Options{}); err != nil || got.StudentSHA256 != want.StudentSHA256 {
		t.Errorf("after there was no room for metrics: %+v, %v", got, err)
	}
	// Nor does a configuration that finds no room begin a run.
	folder = Folder(t.TempDir())
	_, err = limited(100, func() (*FinalMetrics, error) { return nil, stopped(folder.begin(c, nil), folder) })
	if err == nil || !strings.Contains(err.Error(), "config.yaml") || !strings.Contains(err.Error(), "give the same command again") {
		t.Errorf("no room for the configuration: %v", err)
	}
	if err := folder.free(false); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"best.safetensors", "checkpoint.safetensors", "student.onnx"} {
		if !stoppedAt[file] {
			t.Errorf("no room was too little for %s; stopped at %v", file, stoppedAt)
		}
	}
}
