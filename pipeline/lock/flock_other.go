//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package lock

import (
	"errors"
	"io/fs"
	"os"
)

// Where the system has no lock on files, that the file is there is the lock. A
// killed holder leaves it, and then it has to be removed by hand.

func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, errBusy
	}
	return f, err
}

func take(*os.File) error { return nil }

func release(f *os.File, path string) error {
	return errors.Join(f.Close(), os.Remove(path))
}
