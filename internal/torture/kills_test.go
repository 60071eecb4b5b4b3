package torture

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// soon draws an interruption within a training's time.
func (w *world) soon(rng *rand.Rand) *interruption {
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM}
	return &interruption{time.Duration(1.1 * rng.Float64() * float64(w.takes)), signals[rng.IntN(len(signals))]}
}

// killTrain interrupts a training up to three times and goes on each time; what comes
// at the end is the student of a run that nobody disturbed.
func killTrain(_ *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	folder, cache := filepath.Join(dir, "run"), filepath.Join(dir, "cache")
	r := w.run(dir, w.soon(rng), w.train(folder, cache, "1")...)
	for range rng.IntN(3) {
		if r.outcome().bad() {
			return r.outcome(), r.String()
		}
		r = w.run(dir, w.soon(rng), w.goOn(folder, cache)...)
	}
	if r.outcome().bad() {
		return r.outcome(), r.String()
	}
	r = w.run(dir, nil, w.goOn(folder, cache)...)
	return w.judge(r, filepath.Join(folder, "student.onnx"), w.students["1"])
}

// goOn are the arguments that go on with a run of seed 1, or begin it where the
// interruption came before that.
func (w *world) goOn(folder, cache string) []string {
	if _, err := os.Stat(filepath.Join(folder, "config.yaml")); err != nil {
		return w.train(folder, cache, "1")
	}
	return w.resume(folder, cache)
}

// judge is the outcome of a process that should leave a file of a content.
func (w *world) judge(r result, file string, want []byte) (outcome, string) {
	if o := r.outcome(); o != ok {
		return o, r.String()
	}
	if right, why := same(file, want); !right {
		return wrong, why + " after " + r.String()
	}
	return ok, ""
}

// killSignals interrupts the recording of signals, and trains with what is there.
func killSignals(_ *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	folder, cache := filepath.Join(dir, "run"), filepath.Join(dir, "cache")
	r := w.run(dir, w.soon(rng), "signals", "--data", w.data, "--teacher", w.teacher, "--teacher-preprocess", "unit", "--student", "wrn-10-0.25",
		"--beta", "1", "--epochs", "12", "--views", "2", "--cache", cache)
	if r.outcome().bad() {
		return r.outcome(), r.String()
	}
	return w.judge(w.run(dir, nil, w.train(folder, cache, "1")...), filepath.Join(folder, "student.onnx"), w.students["1"])
}

// killExport interrupts an export, which leaves a whole file or none, and repeats it.
func killExport(t *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	run, file := copyFolder(t, w.finished, filepath.Join(dir, "run")), filepath.Join(dir, "student.onnx")
	r := w.run(dir, w.soon(rng), "export", "--out", file, run)
	if r.outcome().bad() {
		return r.outcome(), r.String()
	}
	if _, err := os.Stat(file); err == nil {
		if right, why := same(file, w.exported); !right {
			return wrong, why + " after an interrupted export"
		}
		return ok, ""
	}
	return w.judge(w.run(dir, nil, "export", "--out", file, run), file, w.exported)
}

// pairOfSeeds trains two seeds into one folder. The student there is that of one
// which says that it succeeded; where both say so, one of them was done before the
// other began or wrote elsewhere.
func pairOfSeeds(_ *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	folder := filepath.Join(dir, "run")
	a, b := w.both(rng, dir, w.train(folder, filepath.Join(dir, "a"), "1"), w.train(folder, filepath.Join(dir, "b"), "2"))
	for _, r := range []result{a, b} {
		if r.outcome().bad() {
			return r.outcome(), r.String()
		}
	}
	isA, _ := same(filepath.Join(folder, "student.onnx"), w.students["1"])
	isB, why := same(filepath.Join(folder, "student.onnx"), w.students["2"])
	switch {
	case a.code == 0 && isA || b.code == 0 && isB:
		if a.code == 0 && b.code == 0 && !elsewhere(dir) {
			return wrong, "both succeed in one folder: " + a.String() + b.String()
		}
		return ok, ""
	case a.code != 0 && b.code != 0:
		return refused, ""
	}
	return wrong, why + ": " + a.String() + b.String()
}

// elsewhere reports whether one of a pair took another folder than it was given.
func elsewhere(dir string) bool {
	runs, err := filepath.Glob(filepath.Join(dir, "run*"))
	return err == nil && len(runs) > 1
}

// pairOfResumes goes on with one run twice at a time.
func pairOfResumes(t *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	folder := copyFolder(t, w.interrupted, filepath.Join(dir, "run"))
	a, b := w.both(rng, dir, w.resume(folder, filepath.Join(dir, "a")), w.resume(folder, filepath.Join(dir, "b")))
	for _, r := range []result{a, b} {
		if r.outcome().bad() {
			return r.outcome(), r.String()
		}
	}
	if a.code != 0 && b.code != 0 {
		return refused, ""
	}
	if right, why := same(filepath.Join(folder, "student.onnx"), w.students["1"]); !right {
		return wrong, why + ": " + a.String() + b.String()
	}
	return ok, ""
}

// both runs two processes, the second within a training's time after the first.
func (w *world) both(rng *rand.Rand, dir string, first, second []string) (a, b result) {
	later := time.Duration(rng.Float64() * float64(w.takes))
	done := make(chan bool)
	go func() {
		defer close(done)
		a = w.run(dir, nil, first...)
	}()
	time.Sleep(later)
	b = w.run(dir, nil, second...)
	<-done
	return a, b
}
