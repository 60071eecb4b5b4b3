package op

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Operator is a Gorgonia operator that is closed under differentiation, can
// compute into memory it is given, and knows its ONNX form.
type Operator interface {
	// SDOp is what Gorgonia asks for: types, shape rule, value (Do, used by
	// stock machines) and symbolic derivative.
	gorgonia.SDOp

	// Plan prepares the operator for repeated runs on operands of type dt
	// (tensor.Float32 or tensor.Float64). The shapes are those the operator
	// was made with.
	Plan(dt tensor.Dtype) (Plan, error)

	// ONNX appends the operator's standard form to b and returns the name of
	// its value. in names the operands; every rank-4 value, weights included,
	// is NHWC in Gorgonia and NCHW in the file.
	ONNX(b *onnx.Builder, in []string) (string, error)
}

// Plan is an operator ready to run many times without allocating.
type Plan struct {
	// Scratch is the number of elements of scratch memory a run needs; zero is
	// none. Its content is undefined before and after a run.
	Scratch int

	// InPlace is true when dst may be the memory of operand 0.
	InPlace bool

	// Run computes dst from src. dst's previous content is undefined. src and
	// dst do not overlap, save as InPlace allows. Run allocates nothing and
	// keeps no reference to its arguments.
	Run func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error
}

// core is what every operator shares: its name, attributes, shapes and the
// instance number that keeps Gorgonia's 32-bit node hash from merging two
// different applications.
type core struct {
	name  string         // as printed, "Conv2D"
	attrs string         // attributes that change the result, as printed
	in    []tensor.Shape // shape of each operand; ScalarShape for scalars
	out   tensor.Shape
	id    uint64
}

var instances atomic.Uint64

func newCore(name, attrs string, out tensor.Shape, in ...*gorgonia.Node) core {
	c := core{name: name, attrs: attrs, out: out.Clone(), id: instances.Add(1)}
	for _, n := range in {
		c.in = append(c.in, n.Shape().Clone())
	}
	return c
}

// Arity implements gorgonia.Op.
func (c *core) Arity() int { return len(c.in) }

// Type implements gorgonia.Op. It is built anew on each call because ApplyOp
// returns it to a pool.
func (c *core) Type() hm.Type {
	a := hm.TypeVariable('a')
	ts := make([]hm.Type, 0, len(c.in)+1)
	for _, s := range append(c.in[:len(c.in):len(c.in)], c.out) {
		if s.IsScalar() {
			ts = append(ts, a)
		} else {
			ts = append(ts, gorgonia.TensorType{Dims: s.Dims(), Of: a})
		}
	}
	return hm.NewFnType(ts...)
}

// InferShape implements gorgonia.Op.
func (c *core) InferShape(ds ...gorgonia.DimSizer) (tensor.Shape, error) {
	for i, d := range ds {
		if s, ok := d.(tensor.Shape); ok && !s.Eq(c.in[i]) {
			return nil, fmt.Errorf("op: %s was made for operand %d of shape %v, got %v", c.name, i, c.in[i], s)
		}
	}
	return c.out.Clone(), nil
}

// ReturnsPtr implements gorgonia.Op.
func (c *core) ReturnsPtr() bool { return !c.out.IsScalar() }

// CallsExtern implements gorgonia.Op. False makes stock machines call Do.
func (c *core) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op.
func (c *core) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op.
func (c *core) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "onnxdistill.%s{%s}%v%v#%d", c.name, c.attrs, c.in, c.out, c.id)
}

// Hashcode implements gorgonia.Op.
func (c *core) Hashcode() uint32 {
	h := fnv.New32a()
	c.WriteHash(h)
	return h.Sum32()
}

// String implements gorgonia.Op.
func (c *core) String() string {
	if c.attrs == "" {
		return c.name
	}
	return c.name + "{" + c.attrs + "}"
}

// DiffWRT implements gorgonia.SDOp: differentiable in every operand.
func (c *core) DiffWRT(n int) []bool {
	d := make([]bool, n)
	for i := range d {
		d[i] = true
	}
	return d
}

// apply makes the node of o over in. It guards against a hash collision, in
// which Gorgonia would return another application's node.
func apply(o Operator, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	indexNodes(in)
	n, err := gorgonia.ApplyOp(o, append([]*gorgonia.Node(nil), in...)...)
	if err != nil {
		return nil, fmt.Errorf("op: applying %v: %w", o, err)
	}
	if n.Op() != gorgonia.Op(o) {
		return nil, fmt.Errorf("op: the graph merged %v with %v by a hash collision; rebuild the graph", o, n.Op())
	}
	return n, nil
}

// do is every operator's Do: it plans, allocates and runs once, for Gorgonia's
// own machines and for constant folding. Panics become errors, since a stock
// machine runs in a goroutine of its own and cannot recover them.
func do(o Operator, out tensor.Shape, in []gorgonia.Value) (v gorgonia.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("op: %v: %v", o, p)
		}
	}()
	dt := in[0].Dtype()
	plan, err := o.Plan(dt)
	if err != nil {
		return nil, err
	}
	src := make([]kernel.Buffer, len(in))
	for i, x := range in {
		if src[i], err = BufferOf(x); err != nil {
			return nil, fmt.Errorf("op: %v: operand %d: %w", o, i, err)
		}
	}
	v, dst, err := NewValue(dt, out)
	if err != nil {
		return nil, err
	}
	_, scratch, err := NewValue(dt, tensor.Shape{max(plan.Scratch, 1)})
	if err != nil {
		return nil, err
	}
	if err := plan.Run(dst, src, scratch); err != nil {
		return nil, fmt.Errorf("op: %v: %w", o, err)
	}
	return v, nil
}

// NewValue makes a zeroed Gorgonia value of the given shape and the buffer
// that shares its memory. dt is tensor.Float32 or tensor.Float64.
func NewValue(dt tensor.Dtype, shape tensor.Shape) (gorgonia.Value, kernel.Buffer, error) {
	var v gorgonia.Value
	switch {
	case dt != tensor.Float32 && dt != tensor.Float64:
		return nil, kernel.Buffer{}, fmt.Errorf("op: element type %v; operators compute in float32 or float64", dt)
	case shape.IsScalar() && dt == tensor.Float32:
		v = gorgonia.NewF32(0)
	case shape.IsScalar():
		v = gorgonia.NewF64(0)
	default:
		v = tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
	}
	b, err := BufferOf(v)
	return v, b, err
}

// BufferOf returns the memory of v, a float scalar or a dense tensor whose
// elements are in row-major order. It allocates nothing.
func BufferOf(v gorgonia.Value) (kernel.Buffer, error) {
	switch v := v.(type) {
	case *gorgonia.F32:
		return kernel.Buffer{F32: unsafe.Slice((*float32)(v), 1)}, nil
	case *gorgonia.F64:
		return kernel.Buffer{F64: unsafe.Slice((*float64)(v), 1)}, nil
	case *tensor.Dense:
		if v.RequiresIterator() || v.DataOrder().IsColMajor() {
			return kernel.Buffer{}, errors.New("op: the tensor is a view whose elements are not in row-major order; clone or materialise it")
		}
		switch v.Dtype() {
		case tensor.Float32:
			return kernel.Buffer{F32: v.Float32s()}, nil
		case tensor.Float64:
			return kernel.Buffer{F64: v.Float64s()}, nil
		}
	}
	return kernel.Buffer{}, fmt.Errorf("op: a %T of %v has no dense float memory", v, v.Dtype())
}
