//go:build unix

package pipeline

import (
	"strings"
	"syscall"
	"testing"
)

// Opening a pipe waits for whoever writes to it.
func TestARunFolderOfPipesIsRefused(t *testing.T) {
	f := Folder(t.TempDir())
	if err := f.writeMetrics(nil, &FinalMetrics{Final: true}); err != nil {
		t.Fatal(err)
	}
	mkfifo(t, f.Student())
	if _, err := f.finished(); err == nil || !strings.Contains(err.Error(), f.Student()+" is a pipe") {
		t.Errorf("student: %v", err)
	}
	f = Folder(t.TempDir())
	mkfifo(t, f.Metrics())
	if _, _, err := f.readMetrics(); err == nil || !strings.Contains(err.Error(), f.Metrics()+" is a pipe") {
		t.Errorf("metrics: %v", err)
	}
}

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
