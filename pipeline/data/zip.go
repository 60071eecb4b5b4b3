package data

import (
	"archive/zip"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

var _ container = (*zipFile)(nil)

// zipFile is a zip: each entry is found by the central directory and inflated
// when it is wanted.
type zipFile struct {
	f    *os.File
	zip  *zip.Reader
	list []file // ref is the index in zip.File
}

// zipBzip2 is the number of the one compression method that is read besides
// those of package zip, Store and Deflate.
const zipBzip2 = 12

// zipMethods names the compression methods that are not read (PKWARE's
// APPNOTE.TXT 6.3.10, 4.4.5).
var zipMethods = map[uint16]string{
	1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64", 14: "LZMA",
	20: "Zstandard", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES encryption",
}

// methodRead reports whether entries of a compression method are read.
func methodRead(method uint16) bool {
	return method == zip.Store || method == zip.Deflate || method == zipBzip2
}

// methodName is what a compression method is called.
func methodName(method uint16) string {
	if name := zipMethods[method]; name != "" {
		return fmt.Sprintf("%s (method %d)", name, method)
	}
	return fmt.Sprintf("method %d", method)
}

// openZip lists a zip and takes over f.
func openZip(ctx context.Context, f *os.File, l *listing) (*zipFile, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	in := &interruptible{ctx: ctx, at: f}
	z, err := zip.NewReader(in, info.Size())
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // entryName judges paths
		return nil, fmt.Errorf("%w; the archive may have been cut short", err)
	}
	z.RegisterDecompressor(zipBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	c := &zipFile{f: f, zip: z}
	links := &linker{}
	for i, e := range z.File {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := c.add(i, e, l, links); err != nil {
			return nil, err
		}
	}
	if err := c.checkMethods(); err != nil {
		return nil, err
	}
	if c.list, err = links.follow(sortFiles(c.list), l); err != nil {
		return nil, err
	}
	in.ctx = context.Background() // entries are read long after ctx has had its say
	return c, nil
}

// add lists entry i where it may be data.
func (z *zipFile) add(i int, e *zip.File, l *listing, links *linker) error {
	// Some Windows tools write backslashes.
	name, ok, err := entryName(strings.ReplaceAll(e.Name, `\`, "/"))
	if err != nil || !ok {
		return err
	}
	if e.UncompressedSize64 > 1<<62 {
		return fmt.Errorf("%s claims to be %d bytes long", name, e.UncompressedSize64)
	}
	entry := file{name: name, size: int64(e.UncompressedSize64), ref: int64(i)}
	switch mode := e.Mode(); {
	case l.hide(name):
		if mode.IsRegular() {
			links.pass(entry)
		}
		return nil
	case mode.IsDir() || strings.HasSuffix(e.Name, "/") || strings.HasSuffix(e.Name, `\`):
		l.folder(name)
		return nil
	case mode&fs.ModeSymlink != 0:
		target, err := z.linkTarget(e)
		if err != nil {
			return fmt.Errorf("%s, a symbolic link: %w", name, err)
		}
		links.add(name, target)
		return nil
	case !mode.IsRegular():
		return nil
	case !l.keep(name):
		links.pass(entry)
		return nil
	case e.Flags&1 != 0:
		return fmt.Errorf("%s is encrypted; repack the archive without a password", name)
	case len(z.list) >= maxFiles:
		return fmt.Errorf("more than %d files", maxFiles)
	}
	z.list = append(z.list, entry)
	return nil
}

// linkTarget reads where a symbolic link leads.
func (z *zipFile) linkTarget(e *zip.File) (string, error) {
	r, err := z.read(e)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := readTo(r, maxNameBytes, 64, nil)
	return string(b), err
}

// checkMethods refuses an archive of which no entry can be read.
func (z *zipFile) checkMethods() error {
	method := uint16(0)
	for _, e := range z.list {
		if method = z.zip.File[e.ref].Method; methodRead(method) {
			return nil
		}
	}
	if len(z.list) == 0 {
		return nil
	}
	return errors.New("entries are " + unreadMethod(method))
}

// unreadMethod says how an entry is compressed, and what to do.
func unreadMethod(method uint16) string {
	return fmt.Sprintf("compressed with %s, which is not read; repack the archive with Deflate, as zip -r does, or as .tar", methodName(method))
}

// read starts reading an entry.
func (z *zipFile) read(e *zip.File) (io.ReadCloser, error) {
	r, err := e.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return nil, errors.New("it is " + unreadMethod(e.Method))
	}
	return r, err
}

func (z *zipFile) files() []file { return z.list }

func (z *zipFile) open(e *file) (io.ReadCloser, error) { return z.read(z.zip.File[e.ref]) }

func (z *zipFile) Close() error { return z.f.Close() }
