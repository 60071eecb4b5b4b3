//go:build unix

package lock

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAPipeIsNoLock(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(folder, Name), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(folder); err == nil || !strings.Contains(err.Error(), "is no regular file; remove it") {
		t.Errorf("error %v", err)
	}
}
