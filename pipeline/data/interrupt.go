package data

import (
	"context"
	"io"
)

// interruptible is a file that cannot be read once ctx is done: what reads an
// archive's whole listing asks nobody else whether to go on.
type interruptible struct {
	ctx context.Context
	r   io.Reader
	at  io.ReaderAt
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

func (i *interruptible) ReadAt(p []byte, off int64) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.at.ReadAt(p, off)
}

// untilOpened is a container whose files are read while somebody waits for the data
// set to open, and no longer than that.
type untilOpened struct {
	container
	ctx context.Context
}

func (p untilOpened) open(f *file) (io.ReadCloser, error) {
	r, err := p.container.open(f)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&interruptible{ctx: p.ctx, r: r}, r}, nil
}
