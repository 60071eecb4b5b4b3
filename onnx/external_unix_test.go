//go:build unix

package onnx

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe is not waited for.
func TestExternalDataInAPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := readFixture(t, "relu")
	m.Graph.Initializers = []*Tensor{{Name: "w", Type: Float32, Dims: []int64{2}, External: &External{Location: "pipe"}}}
	path := filepath.Join(dir, "m.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "pipe is a pipe and no regular file") {
		t.Errorf("got %v", err)
	}
}
