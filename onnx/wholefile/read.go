package wholefile

import (
	"fmt"
	"io/fs"
	"os"
)

// Open opens a regular file for reading. Anything else is refused before it is
// opened, where opening a pipe waits for its other end and a device may never
// end.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := Regular(path, info); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Read reads a regular file whole; see Open.
func Read(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	f.Close()
	return os.ReadFile(path) // which knows how much to take
}

// Regular returns an error that says what a file is that is no regular one.
func Regular(path string, info fs.FileInfo) error {
	kind := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	default:
		kind = "of another kind"
	}
	return fmt.Errorf("%s is %s and no regular file", path, kind)
}
