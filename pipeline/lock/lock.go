package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// Name is the file in a locked folder. It is there while the lock is held, and
// after a holder that was killed.
const Name = ".lock"

// Holder is a process that holds or held a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
	Command string    `json:"command"` // as it was typed
	Folder  string    `json:"folder"`  // absolute; a copy of the folder tells itself by it
}

// String is the holder as messages name it; a holder that nothing is known of is
// "another process".
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d on %s since %s (%s)", h.PID, printable(h.Host), h.Since.Local().Format("2006-01-02 15:04:05"), printable(h.Command))
}

// printable is what may be shown of text from a file that anyone may have
// written: its first 200 characters, without control characters.
func printable(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > 200 {
			return b.String() + "…"
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// HeldError is returned by Acquire when another process, or another Lock of this
// one, holds the folder.
type HeldError struct {
	Folder string
	Holder Holder // zero where it did not say
}

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is in use by %v; wait until that has ended, or choose another folder", e.Folder, e.Holder)
}

// Lock is a folder that is held.
type Lock struct {
	file     *os.File
	path     string
	previous Holder
}

// errBusy is returned by take when another holds the file.
var errBusy = errors.New("busy")

// Acquire takes the lock of a folder, which must exist. It does not wait: a
// folder in use is a *HeldError.
func Acquire(folder string) (*Lock, error) {
	path := filepath.Join(folder, Name)
	// The file goes with its holder, so the one that was opened may be gone when
	// it is locked; then another is tried.
	for range 100 {
		f, err := open(path)
		if errors.Is(err, errBusy) {
			return nil, &HeldError{folder, waitForHolder(path)}
		}
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
			f.Close()
			return nil, fmt.Errorf("lock: %s is no regular file; remove it", path)
		}
		err = take(f)
		if errors.Is(err, errBusy) {
			f.Close()
			return nil, &HeldError{folder, waitForHolder(path)}
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock: locking %s: %w", path, err)
		}
		if !named(f, path) {
			f.Close()
			continue
		}
		l := &Lock{file: f, path: path, previous: readHolder(path)}
		l.sign(folder)
		return l, nil
	}
	return nil, fmt.Errorf("lock: %s is removed as often as it is made; does another program clean up in the folder?", path)
}

// named reports whether path still is the opened file.
func named(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// readHolder reads who holds, or held, a lock; the zero Holder where the file
// does not say.
func readHolder(path string) Holder {
	// A pipe is not opened: that waits for its other end.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return Holder{}
	}
	f, err := os.Open(path)
	if err != nil {
		return Holder{}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<16))
	var h Holder
	if err != nil || json.Unmarshal(b, &h) != nil {
		return Holder{}
	}
	return h
}

// waitForHolder reads who holds a lock, which may have been taken this moment
// and not be signed yet.
func waitForHolder(path string) Holder {
	for range 20 {
		if h := readHolder(path); h.PID != 0 {
			return h
		}
		time.Sleep(5 * time.Millisecond)
	}
	return Holder{}
}

// sign writes who holds the lock. That a full disk has no room for it does not
// make the lock weaker.
func (l *Lock) sign(folder string) {
	h := Holder{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second), Command: strings.Join(os.Args, " ")}
	h.Host, _ = os.Hostname()
	h.Folder, _ = filepath.Abs(folder)
	if b, err := json.Marshal(h); err == nil && l.file.Truncate(0) == nil {
		l.file.WriteAt(append(b, '\n'), 0)
	}
}

// Abandoned is the holder before this one, where it ended without releasing the
// folder, as a killed process does. The second result is false where there was
// none, and in a copy of a folder that was in use.
func (l *Lock) Abandoned(folder string) (Holder, bool) {
	here, err := filepath.Abs(folder)
	return l.previous, err == nil && l.previous.PID != 0 && l.previous.Folder == here
}

// Release gives the folder back. Releasing twice is harmless.
func (l *Lock) Release() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	if err := release(f, l.path); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}
