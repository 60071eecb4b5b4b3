package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

var _ container = (*folder)(nil)

// folder is a directory on disk. Symbolic links in it are followed, since large
// collections are often put together from links.
type folder struct {
	root string
	list []file
}

// maxDepth bounds how deep folders may nest below the root.
const maxDepth = 16

// openFolder lists the files under root that l keeps, until ctx is done.
func openFolder(ctx context.Context, root string, l *listing) (*folder, error) {
	f := &folder{root: root}
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if err := f.walk(ctx, "", []os.FileInfo{info}, l); err != nil {
		return nil, err
	}
	f.list = sortFiles(f.list)
	return f, nil
}

// walk adds what is below dir, relative to the root. above holds the folders on
// the way down, to notice a link that leads back up.
func (f *folder) walk(ctx context.Context, dir string, above []os.FileInfo, l *listing) error {
	if len(above) > maxDepth {
		return fmt.Errorf("folder %s is more than %d levels down; a data set has its images in class folders", dir, maxDepth)
	}
	entries, err := os.ReadDir(filepath.Join(f.root, filepath.FromSlash(dir)))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if dir != "" {
			name = dir + "/" + name
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.hide(name) {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Mode()&os.ModeSymlink != 0 {
			info, err = os.Stat(filepath.Join(f.root, filepath.FromSlash(name)))
		}
		if errors.Is(err, os.ErrNotExist) {
			if !l.keep(name) {
				continue // a dangling link to something that would not be data
			}
			return fmt.Errorf("%s: a link to nothing, or removed while it was listed", name)
		}
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			for _, a := range above {
				if os.SameFile(a, info) {
					return fmt.Errorf("%s is a symbolic link to a folder above it", name)
				}
			}
			l.folder(name)
			if err := f.walk(ctx, name, append(above, info), l); err != nil {
				return err
			}
		case info.Mode().IsRegular() && l.keep(name):
			if len(f.list) >= maxFiles {
				return fmt.Errorf("more than %d files", maxFiles)
			}
			f.list = append(f.list, file{name: name, size: info.Size()})
		}
	}
	return nil
}

func (f *folder) files() []file { return f.list }

func (f *folder) open(e *file) (io.ReadCloser, error) {
	r, err := os.Open(filepath.Join(f.root, filepath.FromSlash(e.name)))
	if err == nil {
		return r, nil
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		return nil, pe.Err // the caller names the file
	}
	return nil, err
}

func (f *folder) Close() error { return nil }
