package pipeline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

// Within an epoch a run is saved by the clock, and goes on from there to the same
// student.
func TestARunIsSavedByTheClockWithinAnEpoch(t *testing.T) {
	c := smallRun(t)
	whole, want := runStudent(t, c, Options{})
	c.Resources.CheckpointEvery = time.Second
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	var saved []Folder
	waited := time.Now()
	o := Options{Hooks: []engine.Hooks[*Sample]{{OnSample: func(s *engine.State[*Sample]) error {
		if s.T == 1 { // the second of the first epoch's three
			time.Sleep(time.Until(waited.Add(1100 * time.Millisecond)))
		}
		if s.T == 2 {
			saved = append(saved, copyRun(t, folder)) // what a kill would leave
		}
		return nil
	}, OnStartEpoch: func(s *engine.State[*Sample]) error {
		if s.T == 0 {
			waited = time.Now()
		}
		return nil
	}}}}
	if final, err := Train(t.Context(), c, folder, o); err != nil || final.StudentSHA256 != want.StudentSHA256 {
		t.Fatalf("saving changes the student: %+v, %v", final, err)
	}
	_, p, err := readCheckpoint(saved[0].Checkpoint())
	if err != nil || p.Epoch != 0 || p.Batch != 2 || p.Step != 2 {
		t.Fatalf("saved at epoch %d, batch %d: %v; want 2 batches of the first", p.Epoch, p.Batch, err)
	}
	if _, err := Export(t.Context(), saved[0], filepath.Join(t.TempDir(), "s.onnx"), ExportConfig{}, Options{}); err == nil || !strings.Contains(err.Error(), "has not finished an epoch") {
		t.Errorf("exporting it: %v", err)
	}
	if _, err := Resume(t.Context(), saved[0], Options{}); err != nil || !bytes.Equal(read(t, saved[0].Student()), read(t, whole.Student())) {
		t.Errorf("going on from there gives another student: %v", err)
	}
	// Without the clock the first checkpoint is that of the epoch's end.
	c.Resources.CheckpointEvery = time.Hour
	late := Folder(filepath.Join(t.TempDir(), "run"))
	o.Hooks = []engine.Hooks[*Sample]{{OnEndEpoch: func(s *engine.State[*Sample]) error {
		if _, err := os.Stat(late.Checkpoint()); s.Epoch == 1 && err == nil {
			t.Error("saved within the first epoch")
		}
		return nil
	}}}
	if _, err := Train(t.Context(), c, late, o); err != nil {
		t.Fatal(err)
	}
}

// Metrics are the same, times apart, wherever a run was interrupted.
func TestMetricsDoNotTellOfAnInterrupt(t *testing.T) {
	c := smallRun(t)
	whole, _ := runStudent(t, c, Options{})
	want, _, err := whole.readMetrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, steps := range []int{2, 3, 6, 9} { // all but the first are an epoch's last
		folder := Folder(filepath.Join(t.TempDir(), "run"))
		interrupt(t, c, folder, steps)
		if _, err := Resume(t.Context(), folder, Options{}); err != nil {
			t.Fatal(err)
		}
		got, _, err := folder.readMetrics()
		if err != nil || len(got) != len(want) {
			t.Fatalf("interrupted after %d steps: %d epochs, %v", steps, len(got), err)
		}
		for i := range want {
			if got[i].LearningRate != want[i].LearningRate || got[i].Loss["total"] != want[i].Loss["total"] || got[i].ValTop1 != want[i].ValTop1 {
				t.Errorf("interrupted after %d steps, epoch %d is\n%+v, want\n%+v", steps, i+1, got[i], want[i])
			}
		}
	}
}

func copyFile(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.WriteFile(to, read(t, from), 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

// Images and teacher may lie elsewhere when a run is taken up; others in their
// place are told apart.
func TestImagesAndTeacherMayMove(t *testing.T) {
	c := smallRun(t)
	_, want := runStudent(t, c, Options{})
	c.Data.Path, c.Teacher.Path = copyFile(t, c.Data.Path), copyFile(t, c.Teacher.Path)
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	interrupt(t, c, folder, 4)
	movedData, movedTeacher := copyFile(t, c.Data.Path), copyFile(t, c.Teacher.Path)
	if err := errors.Join(os.Remove(c.Data.Path), os.Remove(c.Teacher.Path)); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		name string
		o    Options
		want []string
	}{
		{"nothing is said", Options{}, []string{"no such file"}},
		{"the teacher is not said", Options{DataPath: movedData}, []string{c.Teacher.Path}},
		{"another teacher", Options{DataPath: movedData, TeacherPath: "../testdata/teachers/cnn_opset13.onnx"}, []string{"cnn_opset13.onnx is another teacher (Options.TeacherPath"}},
		{"other images", Options{DataPath: copyImages(t), TeacherPath: movedTeacher}, []string{"are other ones (Options.DataPath"}},
	} {
		_, err := Resume(t.Context(), copyRun(t, folder), k.o)
		for _, text := range k.want {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: got %v, want %q in it", k.name, err, text)
			}
		}
		if err != nil && strings.Contains(err.Error(), "another configuration") {
			t.Errorf("%s: %v blames the configuration", k.name, err)
		}
	}
	// Stopped once more, it knows where they are.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{DataPath: movedData, TeacherPath: movedTeacher, Hooks: []engine.Hooks[*Sample]{{OnUpdate: func(*engine.State[*Sample]) error { cancel(); return nil }}}}
	if _, err := Resume(ctx, folder, o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if got, err := Resume(t.Context(), folder, Options{}); err != nil || got.StudentSHA256 != want.StudentSHA256 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// copyImages returns a folder of the pictures under other names, which is another
// data set.
func copyImages(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	set, err := data.Open("../testdata/runs/images.zip", data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if err := data.WriteFolder(dir, set); err != nil {
		t.Fatal(err)
	}
	return dir
}

// An export needs neither teacher nor images, overwrites no other file, and heals
// a finished run whose student is gone.
func TestExportNeedsTheRunAlone(t *testing.T) {
	c := smallRun(t)
	c.Data.Path, c.Teacher.Path = copyFile(t, c.Data.Path), copyFile(t, c.Teacher.Path)
	folder, final := runStudent(t, c, Options{})
	want := read(t, folder.Student())
	if err := errors.Join(os.Remove(c.Data.Path), os.Remove(c.Teacher.Path)); err != nil {
		t.Fatal(err)
	}
	r := &transcript{}
	path := filepath.Join(t.TempDir(), "student.onnx")
	parity, err := Export(t.Context(), folder, path, ExportConfig{}, Options{Reporter: r})
	if err != nil || !parity.ok() || parity.Samples != paritySamples || !bytes.Equal(read(t, path), want) {
		t.Fatalf("without images: %+v, %v", parity, err)
	}
	if len(r.warned) != 1 || !strings.Contains(r.warned[0], "noise") {
		t.Errorf("it warns %q, want that noise was compared on", r.warned)
	}
	if _, err := Export(t.Context(), folder, path, ExportConfig{}, Options{}); err != nil {
		t.Errorf("the same student again: %v", err)
	}
	if _, err := Export(t.Context(), folder, path, ExportConfig{Opset: 13}, Options{}); err == nil || !strings.Contains(err.Error(), "Options.Overwrite") {
		t.Errorf("another student in its place: %v", err)
	}
	if !bytes.Equal(read(t, path), want) {
		t.Error("the file was replaced")
	}
	if _, err := Export(t.Context(), folder, path, ExportConfig{Opset: 13}, Options{Overwrite: true}); err != nil || bytes.Equal(read(t, path), want) {
		t.Errorf("the file is to be replaced: %v", err)
	}
	if _, err := Export(t.Context(), folder, folder.Best(), ExportConfig{}, Options{Overwrite: true}); err == nil || !strings.Contains(err.Error(), "a file of the run itself") {
		t.Errorf("onto the best parameters: %v", err)
	}
	if err := os.WriteFile(folder.Student(), read(t, path), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), folder, Options{}); err == nil || !strings.Contains(err.Error(), "not the file that the run ended with") || !strings.Contains(err.Error(), "distill export --overwrite --out ") {
		t.Errorf("a finished run with another student: %v", err)
	}
	if _, err := Export(t.Context(), folder, folder.Student(), ExportConfig{}, Options{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if got, err := Resume(t.Context(), folder, Options{}); err != nil || got.StudentSHA256 != final.StudentSHA256 {
		t.Errorf("after it was written again: %+v, %v", got, err)
	}
}

// While a run goes on, its best student so far can be exported, and is what it
// says it is.
func TestExportOfARunThatGoesOn(t *testing.T) {
	c := smallRun(t)
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	exports := 0
	o := Options{Hooks: []engine.Hooks[*Sample]{{OnSample: func(s *engine.State[*Sample]) error {
		if s.Epoch == 0 {
			return nil
		}
		path := filepath.Join(t.TempDir(), "student.onnx")
		parity, err := Export(t.Context(), folder, path, ExportConfig{}, Options{})
		if err != nil || !parity.ok() {
			t.Errorf("in epoch %d: %+v, %v", s.Epoch+1, parity, err)
		}
		exports++
		return nil
	}}}}
	if _, err := Train(t.Context(), c, folder, o); err != nil || exports != 6 {
		t.Errorf("%d exports, %v", exports, err)
	}
}
