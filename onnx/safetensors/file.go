package safetensors

import (
	"bytes"
	"fmt"
	"io"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// File is the content of a safetensors file.
type File struct {
	// Metadata is free text by key; nil is none.
	Metadata map[string]string

	// Sealed files carry a checksum of all their bytes, under a key of the
	// metadata that Metadata does not show. What is read has been verified
	// against it; a file without one reads as not sealed.
	Sealed bool

	// Tensors are in file order after reading: elements of eight bytes first,
	// then by name. For writing any order does.
	Tensors []Tensor
}

// Tensor returns the tensor called name.
func (f *File) Tensor(name string) (Tensor, bool) {
	for _, t := range f.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

// Read reads the file at path.
func Read(path string) (*File, error) {
	b, err := wholefile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	f, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s is not a whole safetensors file: %w", path, err)
	}
	return f, nil
}

// Write writes f to path: beside it first, flushed to disk, then renamed, so
// that path holds the old content or the new, never a part.
func Write(path string, f *File) error {
	p, err := wholefile.New(path)
	if err != nil {
		return fmt.Errorf("safetensors: writing %s: %w", path, err)
	}
	defer p.Cleanup()
	if err := encode(p, f); err != nil {
		return fmt.Errorf("safetensors: writing %s: %w", path, err)
	}
	if err := p.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("safetensors: writing %s: %w", path, err)
	}
	return nil
}

// Encode writes f to w.
func Encode(w io.Writer, f *File) error {
	if err := encode(w, f); err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

func encode(w io.Writer, f *File) error {
	if !f.Sealed {
		return encodeAs(w, f, f.Metadata)
	}
	sum, err := checksum(f)
	if err != nil {
		return err
	}
	return encodeAs(w, f, withChecksum(f.Metadata, sum))
}

// encodeAs writes f with the given metadata in place of its own.
func encodeAs(w io.Writer, f *File, metadata map[string]string) error {
	entries := make([]Entry, len(f.Tensors))
	data := make(map[string][]byte, len(f.Tensors))
	for i, t := range f.Tensors {
		if err := t.check(); err != nil {
			return err
		}
		entries[i] = Entry{Name: t.Name, Type: t.Type, Shape: t.Shape}
		data[t.Name] = t.Data
	}
	h, first, err := layOut(metadata, entries)
	if err != nil {
		return err
	}
	if _, err := w.Write(first); err != nil {
		return err
	}
	for _, e := range h.Tensors {
		if _, err := w.Write(data[e.Name]); err != nil {
			return fmt.Errorf("tensor %q: %w", e.Name, err)
		}
	}
	return nil
}

// Decode reads a file from b, which the tensors then share.
func Decode(b []byte) (*File, error) {
	f, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

func decode(b []byte) (*File, error) {
	h, err := readHeader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	f := &File{Metadata: h.Metadata, Tensors: make([]Tensor, len(h.Tensors))}
	for i, e := range h.Tensors {
		end := e.At + e.Bytes
		f.Tensors[i] = Tensor{Name: e.Name, Type: e.Type, Shape: e.Shape, Data: b[e.At:end:end]}
	}
	return f, f.verify(b)
}
