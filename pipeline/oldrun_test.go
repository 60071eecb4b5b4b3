package pipeline

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// oldRun copies a run folder of testdata/runs, written before run folders had
// checksums, and points it to where its data and teacher lie.
func oldRun(t *testing.T, name string) Folder {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../testdata/runs", name))); err != nil {
		t.Fatal(err)
	}
	folder := Folder(dir)
	config := string(read(t, folder.Config()))
	for old, path := range map[string]string{
		"/tmp/runfixture/images.zip":   "../testdata/runs/images.zip",
		"/tmp/runfixture-teacher.onnx": "../testdata/teachers/cnn_opset17.onnx",
	} {
		config = strings.Replace(config, old, path, 1)
	}
	if err := os.WriteFile(folder.Config(), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// A run that an earlier version began goes on, and gives the student of a run
// that this version makes whole.
func TestRunsOfEarlierVersionsGoOn(t *testing.T) {
	folder := oldRun(t, "interrupted")
	if _, err := Resume(t.Context(), folder, Options{}); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(folder.Config())
	if err != nil {
		t.Fatal(err)
	}
	c.Student.Architecture = "../testdata/runs/student.onnx"
	whole, _ := runStudent(t, c, Options{})
	if !bytes.Equal(read(t, folder.Student()), read(t, whole.Student())) {
		t.Error("another student than that of a run without interruption")
	}
}

func TestRunsOfEarlierVersionsAreExported(t *testing.T) {
	folder := oldRun(t, "finished")
	path := filepath.Join(t.TempDir(), "student.onnx")
	if _, err := Export(t.Context(), folder, path, ExportConfig{}, Options{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, path), read(t, folder.Student())) {
		t.Error("another student than the run's own")
	}
	if final, err := Resume(t.Context(), folder, Options{}); err != nil || final.BestEpoch != 3 {
		t.Errorf("the result is %+v, %v", final, err)
	}
}
