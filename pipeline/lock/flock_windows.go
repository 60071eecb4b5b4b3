package lock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
}

// lockedByte lies behind all that is written: others may not read what is
// locked, and they shall read who holds it.
const lockedByte = 1 << 30

func take(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{Offset: lockedByte})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errBusy
	}
	return err
}

// release closes the file first, as one that is open cannot be removed; where
// another has opened it since, it stays.
func release(f *os.File, path string) error {
	err := f.Close()
	os.Remove(path)
	return err
}
