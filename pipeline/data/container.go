package data

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// container is a read-only set of named files: a folder or an archive. Its
// methods may be called from several goroutines at once.
type container interface {
	// files lists what may be data, sorted by name, without duplicates.
	files() []file
	// open starts reading a listed file from its first byte.
	open(f *file) (io.ReadCloser, error)
	Close() error
}

// file is one file of a container.
type file struct {
	name string // relative, slash-separated, no ".." and no leading slash
	size int64  // bytes, as the container declares it
	ref  int64  // where it is, in the container's own terms
	held []byte // the content, where the container keeps it in memory

	linked bool // another name in another folder is a link to it
}

const (
	// maxFileBytes bounds one encoded image.
	maxFileBytes = 256 << 20
	// maxFiles bounds the listing of a container; ImageNet-21k has 14 million.
	maxFiles = 32 << 20
	// maxNameBytes bounds one name in an archive; PATH_MAX on Linux.
	maxNameBytes = 4096
)

// read returns the whole of f, at most limit bytes. The result is either f's
// held bytes, which must not be written, or buf grown as needed.
func read(c container, f *file, limit int64, buf []byte) ([]byte, error) {
	if f.size > limit {
		return nil, fmt.Errorf("it is %d bytes long; at most %d are read", f.size, limit)
	}
	if f.held != nil {
		return f.held, nil
	}
	r, err := c.open(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readTo(r, limit, int(min(f.size, 1<<20)), buf)
}

// readHead returns the first n bytes of f, or all of it where it is shorter.
func readHead(c container, f *file, n int, buf []byte) ([]byte, error) {
	if f.held != nil {
		return f.held[:min(n, len(f.held))], nil
	}
	r, err := c.open(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf = slices.Grow(buf[:0], n)[:n]
	got, err := io.ReadFull(r, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return buf[:got], err
}

// readTo reads r to its end into buf, growing it as bytes arrive, never by what a
// header declares. More than limit bytes is an error.
func readTo(r io.Reader, limit int64, guess int, buf []byte) ([]byte, error) {
	buf = slices.Grow(buf[:0], guess+1)
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(4096, len(buf)/2))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, fmt.Errorf("it holds more than %d bytes", limit)
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// entryName cleans the name of an archive's entry. ok is false for names that
// mean nothing here (the root itself). An error is a name that leaves the archive.
func entryName(name string) (clean string, ok bool, err error) {
	bad := func(why string) (string, bool, error) {
		if len(name) > 80 {
			name = name[:80] + "..."
		}
		return "", false, fmt.Errorf("entry %q %s; refusing the whole archive", name, why)
	}
	switch {
	case len(name) > maxNameBytes:
		return bad(fmt.Sprintf("has a name of %d bytes", len(name)))
	case strings.ContainsRune(name, 0):
		return bad("has a NUL byte in its name")
	case strings.HasPrefix(name, "/"):
		return bad("has an absolute path")
	case len(name) >= 2 && name[1] == ':' && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z'):
		return bad("has a drive letter in its path")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return bad("points outside the archive")
		}
	}
	clean = path.Clean(name)
	return clean, clean != ".", nil
}

// sortFiles sorts by name and keeps the last of entries with one name, as tar
// does for files appended twice.
func sortFiles(files []file) []file {
	slices.SortStableFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	out := files[:0]
	for i := range files {
		if i+1 < len(files) && files[i+1].name == files[i].name {
			continue
		}
		out = append(out, files[i])
	}
	clear(files[len(out):])
	return out
}
