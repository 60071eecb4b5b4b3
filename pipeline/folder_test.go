package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/pipeline/lock"
)

// smallRun is a run of some milliseconds on the pictures of testdata/runs, with a
// student from a file and a teacher.
func smallRun(t testing.TB) Config {
	t.Helper()
	c, err := ReadConfig("../testdata/runs/finished/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Data.Path, c.Teacher.Path = "../testdata/runs/images.zip", "../testdata/teachers/cnn_opset17.onnx"
	c.Student.Architecture = "../testdata/runs/student.onnx"
	return c
}

// interrupt stops a run after some steps.
func interrupt(t *testing.T, c Config, folder Folder, steps int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{Hooks: []engine.Hooks[*Sample]{{OnUpdate: func(s *engine.State[*Sample]) error {
		if s.T == steps {
			cancel()
		}
		return nil
	}}}}
	if _, err := Train(ctx, c, folder, o); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v, want it interrupted", err)
	}
}

func copyRun(t *testing.T, folder Folder) Folder {
	t.Helper()
	copied := Folder(filepath.Join(t.TempDir(), "run"))
	if err := os.CopyFS(string(copied), os.DirFS(string(folder))); err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestAFolderInUseIsRefused(t *testing.T) {
	c, folder := smallRun(t), Folder(filepath.Join(t.TempDir(), "run"))
	tried := false
	o := Options{Hooks: []engine.Hooks[*Sample]{{OnEndEpoch: func(s *engine.State[*Sample]) error {
		if tried {
			return nil
		}
		tried = true
		for name, use := range map[string]func() error{
			"train":      func() error { _, err := Train(t.Context(), c, folder, Options{}); return err },
			"train anew": func() error { _, err := Train(t.Context(), c, folder, Options{Overwrite: true}); return err },
			"go on":      func() error { _, err := Resume(t.Context(), folder, Options{}); return err },
			"export into it": func() error {
				_, err := Export(t.Context(), folder, folder.Student(), ExportConfig{}, Options{})
				return err
			},
			"export by a way": func() error {
				_, err := Export(t.Context(), folder, filepath.Join(string(folder), "..", "run", "student.onnx"), ExportConfig{}, Options{})
				return err
			},
		} {
			if err := use(); !errors.As(err, new(*lock.HeldError)) {
				t.Errorf("%s: got %v, want that the folder is in use", name, err)
			}
		}
		if got := folder.Numbered(); got != folder+"-2" {
			t.Errorf("the folder for the next run is %s", got)
		}
		return nil
	}}}}
	whole, err := Train(t.Context(), c, folder, o)
	if err != nil || !tried {
		t.Fatal(err)
	}
	if undisturbed, final := runStudent(t, c, Options{}); final.StudentSHA256 != whole.StudentSHA256 {
		t.Errorf("%s has another student", undisturbed)
	}
}

// A run stopped or killed before its first checkpoint begins again by itself,
// whether it is resumed or trained.
func TestARunWithoutACheckpointBeginsAgain(t *testing.T) {
	c := smallRun(t)
	_, want := runStudent(t, c, Options{})
	killed := Folder(filepath.Join(t.TempDir(), "killed"))
	var left []Folder
	keep := func(*engine.State[*Sample]) error {
		left = append(left, copyRun(t, killed))
		return nil
	}
	o := Options{Hooks: []engine.Hooks[*Sample]{{
		OnUpdate: func(s *engine.State[*Sample]) error {
			if s.T == 1 {
				return keep(s)
			}
			return nil
		},
	}}}
	if _, err := Train(t.Context(), c, killed, o); err != nil {
		t.Fatal(err)
	}
	// Between the metrics of the first epoch and its checkpoint.
	between := copyRun(t, killed)
	epochs, _, err := between.readMetrics()
	if err == nil {
		err = errors.Join(between.writeMetrics(epochs[:1], nil), os.Remove(between.Checkpoint()), os.Remove(between.Student()))
	}
	// Between the configuration and the student's file.
	early := copyRun(t, left[0])
	if err = errors.Join(err, os.Remove(early.Architecture())); err != nil {
		t.Fatal(err)
	}
	for _, folder := range append(left, between, early) {
		trained := copyRun(t, folder)
		for name, again := range map[Folder]func() (*FinalMetrics, error){
			folder:  func() (*FinalMetrics, error) { return Resume(t.Context(), folder, Options{}) },
			trained: func() (*FinalMetrics, error) { return Train(t.Context(), c, trained, Options{}) },
		} {
			got, err := again()
			if err != nil || got.StudentSHA256 != want.StudentSHA256 {
				t.Errorf("%s: got %+v, %v; want the student of a whole run", name, got, err)
			}
		}
	}
}

// A run that learned anything is neither begun again unasked nor left with what
// another wrote.
func TestARunIsOverwrittenOnlyWhereAsked(t *testing.T) {
	c := smallRun(t)
	folder, first := runStudent(t, c, Options{})
	notes := filepath.Join(string(folder), "notes.txt")
	if err := os.WriteFile(notes, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	lost := copyRun(t, folder)
	if err := os.Remove(lost.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	epochs, _, err := lost.readMetrics()
	if err == nil {
		err = lost.writeMetrics(epochs, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), lost, Options{}); err == nil || !strings.Contains(err.Error(), "checkpoint.safetensors") {
		t.Errorf("a run of three epochs that lost its checkpoint: %v", err)
	}
	other := c
	other.Training.Seed = 2
	other.Teacher.Path = "missing.onnx"
	if _, err := Train(t.Context(), other, folder, Options{Overwrite: true}); err == nil {
		t.Fatal("trained with a teacher that is not there")
	}
	if final, err := folder.finished(); err != nil || final.StudentSHA256 != first.StudentSHA256 {
		t.Errorf("a run that did not begin cost the one that was there: %v", err)
	}
	other.Teacher.Path = c.Teacher.Path
	if _, err := Train(t.Context(), other, folder, Options{}); err == nil || !strings.Contains(err.Error(), "Options.Overwrite") {
		t.Errorf("got %v", err)
	}
	second, err := Train(t.Context(), other, folder, Options{Overwrite: true})
	if err != nil || second.StudentSHA256 == first.StudentSHA256 {
		t.Errorf("the student of another seed is %+v, %v", second, err)
	}
	if string(read(t, notes)) != "mine" {
		t.Error("a file that no run wrote is gone")
	}
}

func TestFilesOfOthersAreNotOverwritten(t *testing.T) {
	c := smallRun(t)
	for _, name := range []string{"student.onnx", "best.safetensors", "config.yaml"} {
		folder := Folder(t.TempDir())
		path := filepath.Join(string(folder), name)
		if err := os.WriteFile(path, []byte("mine: [1, 2]"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Train(t.Context(), c, folder, Options{Overwrite: true}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want that %s is in the way", err, name)
		}
		if string(read(t, path)) != "mine: [1, 2]" {
			t.Errorf("%s is another file", name)
		}
	}
	// A run that cannot begin leaves no folder.
	c.Data.Path = "missing"
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	if _, err := Train(t.Context(), c, folder, Options{}); err == nil {
		t.Error("trained on nothing")
	}
	if _, err := os.Stat(string(folder)); err == nil {
		t.Error("a run that did not begin left its folder")
	}
}

// Training that diverges leaves a folder that another attempt can use.
func TestAfterDivergingTheFolderCanBeUsedAgain(t *testing.T) {
	c := smallRun(t)
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	diverging := c
	diverging.Training.LearningRate, diverging.Training.Schedule = 1e30, "constant"
	_, err := Train(t.Context(), diverging, folder, Options{})
	if err == nil || !strings.Contains(err.Error(), "lower training.learning_rate") || !strings.Contains(err.Error(), "can be used again") {
		t.Fatalf("got %v", err)
	}
	if _, err := Train(t.Context(), c, folder, Options{}); err != nil {
		t.Error(err)
	}
}

// Each single bit of a run's files that flips is either an error or changes
// nothing: a run never gives another student than its own in silence.
func TestNoFlippedBitGivesAnotherStudent(t *testing.T) {
	c := smallRun(t)
	whole, final := runStudent(t, c, Options{})
	stopped := Folder(filepath.Join(t.TempDir(), "stopped"))
	interrupt(t, c, stopped, 5) // in the second of three epochs of three steps
	want := read(t, whole.Student())
	exported := filepath.Join(t.TempDir(), "student.onnx")
	export := func(folder Folder) (string, error) {
		_, err := Export(t.Context(), folder, exported, ExportConfig{}, Options{Overwrite: true})
		return exported, err
	}
	resume := func(folder Folder) (string, error) {
		_, err := Resume(t.Context(), folder, Options{})
		return folder.Student(), err
	}
	sameExport := func(b []byte) bool { return bytes.Equal(b, want) }
	if path, err := export(whole); err != nil || !sameExport(read(t, path)) {
		t.Fatalf("the finished run is not exported as it was: %v", err)
	}
	flips, errs, most := 0, 0, 24
	if testing.Short() {
		most = 8
	}
	for _, k := range []struct {
		name string
		of   Folder
		use  func(Folder) (string, error)
	}{{"going on", stopped, resume}, {"exporting", whole, export}, {"taking up what is finished", whole, resume}} {
		for _, file := range k.of.files() {
			b, err := os.ReadFile(file)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range most {
				at, bit := i*len(b)/most, i%8
				folder := copyRun(t, k.of)
				damaged := bytes.Clone(b)
				damaged[at] ^= 1 << bit
				if err := os.WriteFile(folder.file(filepath.Base(file)), damaged, 0o644); err != nil {
					t.Fatal(err)
				}
				flips++
				path, err := k.use(folder)
				if err != nil {
					errs++
					continue
				}
				if got := read(t, path); !bytes.Equal(got, want) {
					t.Errorf("%s with bit %d of byte %d of %s flipped gives another student and no error", k.name, bit, at, filepath.Base(file))
				}
			}
		}
	}
	if errs < flips/2 {
		t.Errorf("%d of %d flips were errors; did they reach the files?", errs, flips)
	}
	t.Logf("%d flips, %d errors, %d without effect; student %s", flips, errs, flips-errs, final.StudentSHA256[:12])
}

func TestADamagedLineOfMetricsIsNamed(t *testing.T) {
	folder, _ := runStudent(t, smallRun(t), Options{})
	b := read(t, folder.Metrics())
	start := 0
	for line := 1; line <= 3; line++ {
		at := start + bytes.Index(b[start:], []byte(`"val_top1":0.`)) + len(`"val_top1":0.`)
		damaged := bytes.Clone(b)
		damaged[at] ^= 1 // another digit
		if err := os.WriteFile(folder.Metrics(), damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := folder.readMetrics(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("metrics.jsonl, line %d is damaged", line)) {
			t.Errorf("line %d: %v", line, err)
		}
		start += bytes.IndexByte(b[start:], '\n') + 1
	}
}
