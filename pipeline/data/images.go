package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"

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

var _ source = (*imageSource)(nil)

// imageSource serves encoded images out of a container.
type imageSource struct {
	c         container
	files     []file
	headers   []header // of files held in memory, once inspected
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

func (m *imageSource) inspect(i int, s *scratch) (header, int64, digest, error) {
	f := &m.files[i]
	b, err := readHead(m.c, f, headBytes, s.file)
	if err != nil {
		return header{}, f.size, digest{}, err
	}
	if f.held == nil {
		s.file = b
	}
	sum := digestOf(b)
	h, err := inspectImage(b, m.maxPixels)
	if err != nil && !errors.Is(err, errNotImage) && f.size > int64(len(b)) {
		// There may be long metadata before the dimensions.
		if b, err = m.read(f, s); err == nil {
			h, err = inspectImage(b, m.maxPixels)
		}
	}
	if f.held != nil && err == nil {
		m.headers[i] = h
	}
	return h, f.size, sum, err
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
	b, err := m.read(&m.files[i], s)
	if err != nil {
		return err
	}
	h := m.headers[i]
	if h.h == 0 { // a file on disk may have changed since it was listed
		if h, err = inspectImage(b, m.maxPixels); err != nil {
			return err
		}
	}
	// The resizer keeps a row of the target for each row of the source, at 32 bytes
	// for each pixel: twice what decoding takes.
	weight := int64(h.h)*int64(h.w) + 2*int64(h.h)*int64(t.w)
	if weight >= freePixels {
		weight = min(weight, int64(m.maxPixels))
		if err := m.gate.Acquire(context.Background(), weight); err != nil {
			return err
		}
		defer m.gate.Release(weight)
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
func (emptySource) decode(int, []uint8, target, *scratch) error { return errClosed }
func (emptySource) view(int, target) []uint8                    { return nil }
func (emptySource) Close() error                                { return nil }
