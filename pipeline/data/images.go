package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/semaphore"
)

// digest stands for the content of a sample: the first 16 bytes of a SHA-256.
type digest [16]byte

func digestOf(b []byte) digest {
	sum := sha256.Sum256(b)
	return digest(sum[:16])
}

// nameID is the identity of the sample of this name.
func nameID(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(sum[:])
}

// headBytes is how much of an image file is read to learn its dimensions and to
// fingerprint it. It holds all of most thumbnails and the metadata of most photos.
const headBytes = 64 << 10

// headSteps are the beginnings of a file that are tried where its dimensions come
// later: a photo's colour profile and thumbnails may take megabytes. The last one
// bounds what a file without any can have read.
var headSteps = []int{headBytes, 1 << 20, 16 << 20}

var _ source = (*imageSource)(nil)

// imageSource serves encoded images out of a container.
type imageSource struct {
	c         container
	files     []file
	headers   []header // once inspected
	maxPixels int
	// gate bounds the pixels being decoded at one time, so that many workers meeting
	// many huge images need no more memory than one.
	gate *semaphore.Weighted
}

func newImageSource(c container, files []file, maxPixels int) *imageSource {
	return &imageSource{
		c: c, files: files, headers: make([]header, len(files)), maxPixels: maxPixels,
		gate: semaphore.NewWeighted(int64(maxPixels)),
	}
}

func (m *imageSource) inspect(i int, s *scratch) (h header, size int64, sum digest, err error) {
	f := &m.files[i]
	for step, n := range headSteps {
		var b []byte
		if b, err = readHead(m.c, f, n, s.file); err != nil {
			break
		}
		if f.held == nil {
			s.file = b
		}
		if step == 0 {
			sum = digestOf(b)
		}
		if h, err = inspectImage(b, m.maxPixels); err == nil || !errors.Is(err, io.ErrUnexpectedEOF) || len(b) < n {
			break
		}
	}
	m.headers[i] = h
	s.trim()
	return h, f.size, sum, err
}

func (m *imageSource) content(i int, s *scratch) (digest, error) {
	f := &m.files[i]
	if f.held != nil {
		return digestOf(f.held), nil
	}
	r, err := m.c.open(f)
	if err != nil {
		return digest{}, err
	}
	defer r.Close()
	s.file = slices.Grow(s.file[:0], headBytes)
	h := sha256.New()
	n, err := io.CopyBuffer(h, io.LimitReader(r, maxFileBytes+1), s.file[:headBytes])
	if err == nil && n > maxFileBytes {
		err = fmt.Errorf("it holds more than %d bytes", maxFileBytes)
	}
	return digest(h.Sum(nil)[:16]), err
}

// read returns the whole of f.
func (m *imageSource) read(f *file, s *scratch) ([]byte, error) {
	b, err := read(m.c, f, maxFileBytes, s.file)
	if err == nil && f.held == nil {
		s.file = b
	}
	return b, err
}

func (m *imageSource) decode(i int, dst []uint8, t target, s *scratch) error {
	f := &m.files[i]
	listed := m.headers[i]
	// Room is asked for before the file is read. The resizer keeps a row of the
	// target for each row of the source, at 32 bytes for each pixel: twice what
	// decoding takes. An encoded byte counts as a quarter of a pixel.
	weight := int64(listed.h)*int64(listed.w) + 2*int64(listed.h)*int64(t.w)
	if f.held == nil {
		weight += f.size / 4
	}
	if weight >= freePixels {
		weight = min(weight, int64(m.maxPixels))
		if err := m.gate.Acquire(context.Background(), weight); err != nil {
			return err
		}
		defer m.gate.Release(weight)
	}
	b, err := m.read(f, s)
	if err != nil {
		return err
	}
	if f.held == nil { // a file on disk may have changed since it was listed
		h, err := inspectImage(b, m.maxPixels)
		if err != nil {
			return err
		}
		if h.h*h.w != listed.h*listed.w {
			return fmt.Errorf("it has changed since the data set was opened: %d x %d pixels, then %d x %d", h.w, h.h, listed.w, listed.h)
		}
	}
	err = decodeImage(b, dst, t, s)
	s.trim()
	return err
}

// freePixels is the size below which images are decoded without asking the gate.
const freePixels = 1 << 20

// trim lets go of memory that a huge image needed and the next will not.
func (s *scratch) trim() {
	const keep = 4 * 4 * freePixels
	if cap(s.file)+cap(s.flat.Pix)+cap(s.turned.Pix) > keep {
		*s = scratch{}
	}
}

func (m *imageSource) view(int, target) []uint8 { return nil }

func (m *imageSource) Close() error { return m.c.Close() }

// emptySource takes the place of a source whose samples have all been decoded.
type emptySource struct{}

var _ source = emptySource{}

var errClosed = errors.New("the data set has been closed")

func (emptySource) inspect(int, *scratch) (header, int64, digest, error) {
	return header{}, 0, digest{}, errClosed
}
func (emptySource) content(int, *scratch) (digest, error)       { return digest{}, errClosed }
func (emptySource) decode(int, []uint8, target, *scratch) error { return errClosed }
func (emptySource) view(int, target) []uint8                    { return nil }
func (emptySource) Close() error                                { return nil }
