package onnx

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// externalAlign is where an external tensor may begin. The specification asks
// for multiples of the page size so that readers can map the file.
const externalAlign = 4096

// tensors calls visit for every tensor of the model: initializers, sparse
// parts, and those in attributes of nodes, subgraphs and functions.
func (m *Model) tensors(visit func(*Tensor) error) error {
	if err := m.Graph.tensors(visit); err != nil {
		return err
	}
	for _, f := range m.Functions {
		for _, a := range f.Attrs {
			if err := a.tensors(visit); err != nil {
				return err
			}
		}
		for _, n := range f.Nodes {
			if err := n.tensors(visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Graph) tensors(visit func(*Tensor) error) error {
	for _, t := range g.Initializers {
		if err := visit(t); err != nil {
			return err
		}
	}
	for _, s := range g.Sparse {
		for _, t := range []*Tensor{s.Values, s.Indices} {
			if t != nil {
				if err := visit(t); err != nil {
					return err
				}
			}
		}
	}
	for _, n := range g.Nodes {
		if err := n.tensors(visit); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) tensors(visit func(*Tensor) error) error {
	for _, a := range n.Attrs {
		if err := a.tensors(visit); err != nil {
			return err
		}
	}
	return nil
}

func (a *Attr) tensors(visit func(*Tensor) error) error {
	for _, t := range append(slices.Clone(a.Tensors), a.Tensor) {
		if t != nil {
			if err := visit(t); err != nil {
				return err
			}
		}
	}
	for _, g := range a.graphs() {
		if err := g.tensors(visit); err != nil {
			return err
		}
	}
	return nil
}

// loadExternal reads the data of external tensors from files in dir. It opens
// nothing outside dir, whatever the locations and any symbolic links say, and
// allocates no more than the files hold.
func (m *Model) loadExternal(dir string) error {
	var root *os.Root
	files := make(map[string]*os.File)
	defer func() {
		for _, f := range files {
			f.Close()
		}
		if root != nil {
			root.Close()
		}
	}()
	return m.tensors(func(t *Tensor) error {
		x := t.External
		if x == nil || t.Data != nil {
			return nil
		}
		if err := t.checkData(); err != nil { // before its dims are believed
			return fmt.Errorf("onnx: %w", err)
		}
		n, err := t.Len()
		if err != nil {
			return err
		}
		want, err := rawSize(t.Type, n)
		if err != nil {
			return err
		}
		if root == nil {
			if root, err = os.OpenRoot(dir); err != nil {
				return fmt.Errorf("onnx: %w", err)
			}
		}
		f := files[x.Location]
		if f == nil {
			f, err = root.Open(filepath.FromSlash(x.Location))
			if err != nil {
				return fmt.Errorf("onnx: external data of tensor %q, which must lie in the model's folder: %w", t.Name, err)
			}
			files[x.Location] = f
		}
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("onnx: external data of tensor %q: %w", t.Name, err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("onnx: external data of tensor %q: %q is no regular file", t.Name, x.Location)
		}
		if x.Offset > info.Size() || want > info.Size()-x.Offset {
			return fmt.Errorf("onnx: external data of tensor %q: %d bytes from %d on reach past the end of %q, which has %d",
				t.Name, want, x.Offset, x.Location, info.Size())
		}
		t.Data = make([]byte, want)
		if _, err := io.ReadFull(io.NewSectionReader(f, x.Offset, want), t.Data); err != nil {
			return fmt.Errorf("onnx: external data of tensor %q: %w", t.Name, err)
		}
		return nil
	})
}

// WriteExternal writes the model to path and its tensors of at least minimum
// bytes to one file beside it, path with ".data" behind. It is for models
// beyond the 2 GB an ONNX file can have; a minimum of 0 moves every tensor
// with data out. m itself is not changed.
//
// Each file appears whole or not at all, the tensors first.
func (m *Model) WriteExternal(path string, minimum int64) error {
	if _, err := encodeModel(m); err != nil { // finds holes before anything is written
		return fmt.Errorf("onnx: encoding: %w", err)
	}
	data := path + ".data"
	f, err := wholefile.New(data)
	if err != nil {
		return fmt.Errorf("onnx: writing tensors: %w", err)
	}
	defer f.Cleanup()
	c := m.Clone()
	var at int64
	err = c.tensors(func(t *Tensor) error {
		if len(t.Data) == 0 || int64(len(t.Data)) < minimum {
			return nil
		}
		pad := (externalAlign - at%externalAlign) % externalAlign
		if _, err := f.Write(make([]byte, pad)); err != nil {
			return err
		}
		at += pad
		if _, err := f.Write(t.Data); err != nil {
			return err
		}
		t.External = &External{Location: filepath.Base(data), Offset: at, Length: int64(len(t.Data))}
		at += int64(len(t.Data))
		t.Data = nil
		return nil
	})
	if err != nil {
		return fmt.Errorf("onnx: writing tensors: %w", err)
	}
	if at == 0 {
		return c.WriteFile(path)
	}
	b, err := c.Encode() // before anything appears, since it can fail
	if err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("onnx: writing tensors: %w", err)
	}
	return writeFile(path, b)
}
