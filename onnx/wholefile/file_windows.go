package wholefile

import (
	"os"
	"path/filepath"
)

// File stands in for renameio's, which leaves Windows out because a
// rename there need not be atomic. It is as close as the system gets.
type File struct {
	*os.File
	path string
	done bool
}

func newFile(path string) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path}, nil
}

// CloseAtomicallyReplace gives the file its name.
func (f *File) CloseAtomicallyReplace() error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	f.done = true
	return nil
}

// Cleanup removes a file that was not given its name.
func (f *File) Cleanup() error {
	if f.done {
		return nil
	}
	f.Close() // a file still open is not removed
	return os.Remove(f.Name())
}
