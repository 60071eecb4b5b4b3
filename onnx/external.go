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

// loadExternal reads the data of external tensors for the model at path. It
// opens nothing outside the folders that externalFiles names, whatever the
// locations and any symbolic links say, and allocates no more than the files
// hold.
func (m *Model) loadExternal(path string) error {
	files := externalFiles{model: path, open: map[string]*os.File{}}
	defer files.close()
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
		f, err := files.find(x.Location)
		if err != nil {
			return fmt.Errorf("onnx: external data of tensor %q, which must lie in the model's folder: %w", t.Name, err)
		}
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("onnx: external data of tensor %q: %w", t.Name, err)
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

// externalFiles are the open files of a model's external data, by location.
//
// A location is a path below the model's folder. A cache of a model hub holds
// links in one folder to files of other names in another: there a plain name may
// be a link beside the model's, to a file beside the model's file, or that of a
// file there. Nothing else outside the model's folder is opened.
type externalFiles struct {
	model string
	open  map[string]*os.File
}

func (e *externalFiles) close() {
	for _, f := range e.open {
		f.Close()
	}
}

func (e *externalFiles) find(location string) (*os.File, error) {
	if f := e.open[location]; f != nil {
		return f, nil
	}
	f, err := e.below(filepath.Dir(e.model), location)
	if err != nil {
		if linked, found := e.besideTheFile(location); found {
			f, err = linked, nil
		}
	}
	if err != nil {
		return nil, err
	}
	e.open[location] = f
	return f, nil
}

// below opens a regular file in a folder or below it. What it is is asked before
// it is opened, as opening a pipe waits for its other end.
func (e *externalFiles) below(dir, location string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name := filepath.FromSlash(location)
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := wholefile.Regular(location, info); err != nil {
		return nil, err
	}
	return root.Open(name)
}

// besideTheFile opens a file beside the one that the model is a link to.
func (e *externalFiles) besideTheFile(location string) (*os.File, bool) {
	info, err := os.Lstat(e.model)
	if err != nil || info.Mode()&os.ModeSymlink == 0 || location != filepath.Base(location) || !filepath.IsLocal(location) {
		return nil, false
	}
	file, err := filepath.EvalSymlinks(e.model)
	if err != nil {
		return nil, false
	}
	name := location
	if target, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(e.model), location)); err == nil {
		if !sameFolder(target, file) {
			return nil, false
		}
		name = filepath.Base(target)
	}
	f, err := e.below(filepath.Dir(file), name)
	return f, err == nil
}

// sameFolder reports whether two paths without links are of one folder.
func sameFolder(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && filepath.Dir(a) == filepath.Dir(b)
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
