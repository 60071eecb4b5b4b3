package vm

import (
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// kind is where a value's memory comes from.
type kind int

const (
	input    kind = iota // read from the node on each run
	constant             // read from the node's operator once
	planned              // a place in the arena
	opaque               // made anew by a stock operator on each run: booleans, integers
	inner                // of a group that computes it on the way: in no memory
)

// value is the result of one node, or an input.
type value struct {
	node  *gorgonia.Node
	kind  kind
	dtype tensor.Dtype
	shape tensor.Shape
	size  int // elements; one for a scalar
	block int // of the plan, for a planned value

	// buffer is the memory; empty for values that are not float32 or float64.
	buffer kernel.Buffer

	// header is what Gorgonia sees. For a planned value it is made over buffer
	// when somebody wants to look.
	header gorgonia.Value

	// uses are the places in the steps that hold an input's buffer.
	uses []*kernel.Buffer
}

// bind makes the node of an output show the value. A scalar is copied, since its
// header is its memory.
func (v *value) bind(l *lease) error {
	if v.kind == input || v.kind == constant {
		return nil
	}
	if v.header != nil && v.node.Value() == v.header {
		v.show()
		return nil // as on every run but the first: UnsafeLet allocates
	}
	if v.kind == planned {
		// The first run, or somebody else bound the node or unbound it. A new
		// header, since ExprGraph.UnbindAll hands the old one to Gorgonia's pool,
		// which wipes it.
		switch {
		case v.shape.IsScalar() && v.buffer.F32 != nil:
			v.header = gorgonia.NewF32(0)
		case v.shape.IsScalar():
			v.header = gorgonia.NewF64(0)
		default:
			header := newHeader(v.buffer, v.shape).(*tensor.Dense)
			hold(l, header)
			v.header = header
		}
		v.show()
	}
	return gorgonia.UnsafeLet(v.node, v.header)
}

// show copies a scalar to its header.
func (v *value) show() {
	switch h := v.header.(type) {
	case *gorgonia.F32:
		*h = gorgonia.F32(v.buffer.F32[0])
	case *gorgonia.F64:
		*h = gorgonia.F64(v.buffer.F64[0])
	}
}

// newHeader returns a Gorgonia value over the memory of b, which must outlive it.
func newHeader(b kernel.Buffer, shape tensor.Shape) gorgonia.Value {
	switch {
	case shape.IsScalar() && b.F32 != nil:
		return (*gorgonia.F32)(unsafe.Pointer(&b.F32[0]))
	case shape.IsScalar():
		return (*gorgonia.F64)(unsafe.Pointer(&b.F64[0]))
	case b.F32 != nil:
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b.F32))
	default:
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b.F64))
	}
}

func isFloat(dt tensor.Dtype) bool { return dt == tensor.Float32 || dt == tensor.Float64 }

// sizeOf is the number of elements of a shape.
func sizeOf(s tensor.Shape) int {
	if s.IsScalar() {
		return 1
	}
	return s.TotalSize()
}

// sameMemory reports whether a and b start at one address.
func sameMemory(a, b kernel.Buffer) bool {
	return len(a.F32) > 0 && len(b.F32) > 0 && &a.F32[0] == &b.F32[0] ||
		len(a.F64) > 0 && len(b.F64) > 0 && &a.F64[0] == &b.F64[0]
}
