package data

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

var (
	_ container = (*tarFile)(nil)
	_ container = (*heldFiles)(nil)
)

// tarFile is an uncompressed tar: its entries are re-read by offset.
type tarFile struct {
	f    *os.File
	list []file // ref is the offset of the content
}

// heldFiles is a compressed tar, which can only be read from the front: the
// entries that may be data are kept in memory as they are encoded.
type heldFiles struct{ list []file }

// openTar lists an uncompressed tar and takes over f.
func openTar(ctx context.Context, f *os.File, l *listing) (*tarFile, error) {
	t := &tarFile{f: f}
	at := func() (int64, error) { return f.Seek(0, io.SeekCurrent) }
	list, err := walkTar(ctx, f, at, l, &linker{}, func(e *file, _ *tar.Reader) error {
		var err error
		e.ref, err = at()
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.ref+e.size > info.Size() {
			return nil, fmt.Errorf("the archive ends inside %s; it was cut short", e.name)
		}
	}
	t.list = list
	return t, nil
}

func (t *tarFile) files() []file { return t.list }

func (t *tarFile) open(e *file) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(t.f, e.ref, e.size)), nil
}

func (t *tarFile) Close() error { return t.f.Close() }

// openTarGz reads a gzip-compressed tar to its end, keeping at most limit bytes of
// content. f is not needed afterwards.
func openTarGz(ctx context.Context, f *os.File, l *listing, limit int64) (*heldFiles, error) {
	in := &expansion{packed: f, most: limit}
	z, err := gzip.NewReader(bufio.NewReaderSize(counter{in.packed, &in.taken}, 1<<20))
	if err != nil {
		return nil, err
	}
	in.Reader = &interruptible{ctx: ctx, r: z} // a buffer of the file may inflate a thousandfold
	var held int64
	at := func() (int64, error) { return in.given, nil }
	list, err := walkTar(ctx, in, at, l, &linker{lost: true}, func(e *file, t *tar.Reader) error {
		held += e.size
		if held > limit {
			return fmt.Errorf("its files need more than %d bytes of memory when decompressed; "+
				"unpack it, or repack it as .tar or .zip, which are read in place", limit)
		}
		var err error
		e.held, err = readTo(t, e.size, int(min(e.size, 1<<20)), nil)
		if err == nil && int64(len(e.held)) != e.size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil && e.held == nil {
			e.held = []byte{}
		}
		return err
	})
	if err == nil {
		_, err = io.Copy(io.Discard, in) // to the checksum
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the archive was cut short: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return &heldFiles{list}, nil
}

func (h *heldFiles) files() []file { return h.list }

func (h *heldFiles) open(e *file) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(e.held)), nil
}

func (h *heldFiles) Close() error { return nil }

// expansion reads what a gzip stream inflates to and stops where that is out of
// proportion. What is kept is bounded by itself; what is passed over takes time:
// at Deflate's best, a thousandfold, a file of 100 MB keeps a core busy for
// minutes.
type expansion struct {
	io.Reader
	packed       io.Reader
	taken, given int64 // bytes read from packed, and inflated
	most         int64 // of what may be kept
}

const (
	passedFree  = 1 << 30 // bytes that may be inflated and passed over in any case,
	passedRatio = 16      // and for each byte of the archive: texts shrink to a tenth
)

func (e *expansion) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.given += int64(n)
	if e.given > e.most+passedFree+passedRatio*e.taken {
		return n, fmt.Errorf("%d bytes of it decompress to more than %d, nearly all of them not images; unpack it and leave those files out", e.taken, e.given)
	}
	return n, err
}

// counter counts the bytes read.
type counter struct {
	io.Reader
	n *int64
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.n += int64(n)
	return n, err
}

// walkTar lists the regular files of a tar that l keeps, calling found with
// each while the reader stands at its content. at tells the position in r:
// tar.Reader does not read ahead, so after Next it is the entry's first byte.
func walkTar(ctx context.Context, r io.Reader, at func() (int64, error), l *listing, links *linker, found func(*file, *tar.Reader) error) ([]file, error) {
	t := tar.NewReader(r)
	var list []file
	byName := map[string]int{}
	last := "its start"
	var end int64 // of the entry before, padding included; -1 unknown
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := t.Next()
		here, atErr := at()
		if atErr != nil {
			return nil, atErr
		}
		if err == io.EOF {
			// An archive ends with blocks of zeros, which Next has read.
			if end >= 0 && here < end+tarBlock {
				return nil, fmt.Errorf("the archive has no end after %s; it was cut short", last)
			}
			return links.follow(sortFiles(list), l)
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // entryName judges paths
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, fmt.Errorf("the archive was cut short after %s: %w", last, err)
			}
			return nil, fmt.Errorf("after %s: %w", last, err)
		}
		end = entryEnd(h, here)
		name, ok, err := entryName(h.Name)
		if err != nil {
			return nil, err
		}
		e := file{name: name, size: h.Size, ref: here}
		switch {
		case !ok:
			continue
		case l.hide(name):
			links.passTar(h, e)
			continue
		case h.Typeflag == tar.TypeDir:
			l.folder(name)
			continue
		case h.Typeflag == tar.TypeSymlink:
			links.add(name, h.Linkname)
			continue
		case !l.keep(name):
			links.passTar(h, e)
			continue
		}
		if sparse(h) {
			return nil, fmt.Errorf("%s is stored as a sparse file; repack the archive without --sparse", name)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			if err := found(&e, t); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		case tar.TypeLink:
			if e, err = hardLink(h, name, list, byName, links); err != nil {
				return nil, err
			}
		default:
			continue // devices have no content here
		}
		if len(list) >= maxFiles {
			return nil, fmt.Errorf("more than %d files", maxFiles)
		}
		byName[name] = len(list)
		list = append(list, e)
		last = name
	}
}

// entryEnd is where an entry whose content begins at a place ends, padding
// included, and -1 where the header does not tell.
func entryEnd(h *tar.Header, at int64) int64 {
	switch {
	case sparse(h):
		return -1
	case h.Typeflag == tar.TypeReg:
		return at + (h.Size+tarBlock-1)/tarBlock*tarBlock
	}
	return at
}

// hardLink is the entry that name stands for, as backup tools store the second
// name of one file as a link to the first.
func hardLink(h *tar.Header, name string, list []file, byName map[string]int, links *linker) (file, error) {
	target, ok, err := entryName(h.Linkname)
	if err != nil {
		return file{}, err
	}
	if i, seen := byName[target]; ok && seen {
		return list[i].as(name), nil
	}
	if other, passed := links.passed[target]; ok && passed && !links.lost {
		return other.as(name), nil
	}
	return file{}, fmt.Errorf("%s is a hard link to %q, which is not in the archive before it", name, h.Linkname)
}

// passTar notes an entry that is not listed.
func (k *linker) passTar(h *tar.Header, e file) {
	if h.Typeflag == tar.TypeReg && !sparse(h) {
		k.pass(e)
	}
}

// tarBlock is the unit that tar pads to.
const tarBlock = 512

// sparse reports whether an entry's content has holes that are not in the file.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// openContainer opens path as a folder or an archive, known by its first bytes.
// A path to one file of a binary data set stands for the folder it is in, of
// which only files of that data set are listed.
func openContainer(ctx context.Context, name string, l *listing, limit int64) (c container, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openFolder(ctx, name, l)
	}
	if !info.Mode().IsRegular() { // opening a pipe waits for its other end
		return nil, errors.New("it is a pipe, a socket or a device; images come in a folder or a file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	taken := false
	defer func() {
		if !taken || err != nil {
			f.Close()
		}
	}()

	if format := binaryFormat(info.Name()); format != "" {
		l.only = func(n string) bool { return !strings.Contains(n, "/") && binaryFormat(n) == format }
		return openFolder(ctx, filepath.Dir(name), l)
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	head = head[:n]
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		taken = true
		return openZip(ctx, f, l)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return openTarGz(ctx, f, l, limit)
	case len(head) > 262 && string(head[257:262]) == "ustar", strings.EqualFold(filepath.Ext(name), ".tar"):
		taken = true
		return openTar(ctx, f, l)
	}
	for _, other := range []struct{ magic, name string }{
		{"BZh", "bzip2"}, {"\xfd7zXZ\x00", "xz"}, {"7z\xbc\xaf\x27\x1c", "7-Zip"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"Rar!", "RAR"},
	} {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return nil, fmt.Errorf("%s archives are not read; repack it as .tar, .tar.gz or .zip", other.name)
		}
	}
	return nil, fmt.Errorf("not a data set; wanted %s", accepted)
}

// accepted is what Open reads, for errors.
const accepted = "a folder of class folders with images, a .tar, .tar.gz, .tgz or .zip of one, CIFAR-10 or CIFAR-100 binary batches, " +
	"IDX files (train-images-idx3-ubyte, plain or .gz) or SVHN's train_32x32.mat"
