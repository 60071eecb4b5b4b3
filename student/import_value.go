package student

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// value is what a name of the file stands for while its graph is built: a node
// of the graph or a constant. Exactly one of node and constant is set.
type value struct {
	// node is of float32 or float64 whatever the file computes in: a boolean is
	// 0 or 1, an integer its number. A node of rank 4 is NHWC where the file's
	// value is NCHW, file axes 0, 2, 3, 1; other ranks are the same.
	node *gorgonia.Node

	// constant is known before the graph runs, as the file has it.
	constant *onnx.Tensor

	// elem is the element type that the file gives a node's value; zero means
	// floating point.
	elem onnx.DataType

	// name is the constant's in the file.
	name string

	// learned tells a constant that training may change, see planParameters:
	// a tensor of real numbers that the file holds, perhaps laid out otherwise.
	learned bool

	// weighed tells a value that a layer's weights have had a part in.
	weighed bool

	// sized tells a constant that the file computes of the shape of a value, and
	// so perhaps of the number of images in a batch.
	sized bool
}

// importing is the translation of a file's nodes onto a builder. Like the
// builder's its methods never fail: the first error sticks, nodes are nil from
// there on, and the translation ends with it.
type importing struct {
	*program
	b      *Builder
	values map[string]value
	at     int            // the call under way
	call   *importer.Call // the same
	folded int64          // bytes of the constants computed so far

	origin   map[*gorgonia.Node]*importer.Call // which call a node was made for
	made     map[string]*gorgonia.Node         // parameters by the constants they are made of
	flipped  map[string]bool                   // those whose node is the transpose of the constant
	taken    map[string]bool                   // names of parameters and inputs
	repeats  map[string]int                    // how often a name was asked for that was taken
	turned   map[*gorgonia.Node]turn
	turns    map[string]*gorgonia.Node
	reshaped map[*gorgonia.Node]*gorgonia.Node // the value of the same elements, in the file's order, that a node was made of
}

// foldedShare and foldedRoom bound what a file may have computed of constants: a
// few bytes of a file can ask for any number of tables.
const (
	foldedShare = 4
	foldedRoom  = 4 * importer.MaxFolded
)

// turn is how a node was transposed.
type turn struct {
	from *gorgonia.Node
	perm []int
}

func newImporting(p *program, b *Builder) *importing {
	return &importing{
		program: p, b: b,
		call:     &importer.Call{Op: "Identity", Node: &onnx.Node{}}, // for what is done beside calls
		values:   map[string]value{},
		origin:   map[*gorgonia.Node]*importer.Call{},
		made:     map[string]*gorgonia.Node{},
		flipped:  map[string]bool{},
		taken:    map[string]bool{},
		repeats:  map[string]int{},
		turned:   map[*gorgonia.Node]turn{},
		turns:    map[string]*gorgonia.Node{},
		reshaped: map[*gorgonia.Node]*gorgonia.Node{},
	}
}

// operand returns operand i of c; false means that it is left out.
func (im *importing) operand(c *importer.Call, i int) (value, bool) {
	if i >= len(c.Inputs) || c.Inputs[i] == "" {
		return value{}, false
	}
	v, ok := im.values[c.Inputs[i]]
	return v, ok
}

// in returns operand i of c, which must be there, as a node.
func (im *importing) in(c *importer.Call, i int) *gorgonia.Node {
	v, ok := im.operand(c, i)
	if !ok {
		im.b.Fail(im.unsupported(c, fmt.Sprintf("it has no operand %d", i)))
		return nil
	}
	return im.node(v)
}

// op takes what a function of package op returned and names the node after the
// call under way.
func (im *importing) op(n *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		im.b.Fail(im.refusal(err))
		return nil
	}
	if n != nil && im.origin[n] == nil {
		im.origin[n] = im.call
	}
	return im.b.put(im.label(), n, nil)
}

// one is the result of a translator with one output: return im.one(op.Abs(x)).
func (im *importing) one(n *gorgonia.Node, err error) ([]value, error) {
	if n = im.op(n, err); n == nil {
		return nil, im.b.err
	}
	return []value{{node: n}}, nil
}

// unsupported is the error of a call that this package does not translate.
func (im *importing) unsupported(c *importer.Call, reason string) error {
	return &UnsupportedError{Node: describe(c), Op: c.Op, Opset: im.Opset, Reason: reason}
}

// refusal is err as the error of the call under way, which it names with its
// operator and opset unless it does so already.
func (im *importing) refusal(err error) error {
	var unsupported *UnsupportedError
	var folding *importer.CallError
	if errors.As(err, &unsupported) || errors.As(err, &folding) {
		return err
	}
	c := im.call
	return &UnsupportedError{Node: describe(c), Op: c.Op, Opset: im.Opset, Reason: strings.TrimPrefix(err.Error(), "op: "), Err: err}
}

// describe names a call for messages, as onnx.Node does.
func describe(c *importer.Call) string {
	return (&onnx.Node{Op: c.Op, Name: c.Name, Domain: c.Domain, Outputs: c.Outputs}).String()
}

// fileShape returns the shape that v has in the file. Every axis is known: the
// graph is built for one batch size.
func (im *importing) fileShape(v value) []int {
	switch {
	case v.node != nil:
		return inFile(v.node.Shape())
	case v.constant != nil:
		dims := make([]int, len(v.constant.Dims))
		for i, d := range v.constant.Dims {
			dims[i] = int(d)
		}
		return dims
	}
	return nil
}

// rank returns the number of axes of v.
func (im *importing) rank(v value) int { return len(im.fileShape(v)) }

// fileAxes are the file's axes in the order of a node's of rank 4.
var fileAxes = [4]int{0, 2, 3, 1}

// gorgoniaAxes are a node's axes in the file's order.
var gorgoniaAxes = [4]int{0, 3, 1, 2}

// nodeAxis returns the axis of a node that is the given axis, 0 to rank-1, of
// the file's value.
func nodeAxis(rank, axis int) int {
	if rank == 4 {
		return gorgoniaAxes[axis]
	}
	return axis
}

// fileAxis is the other way round.
func fileAxis(rank, axis int) int {
	if rank == 4 {
		return fileAxes[axis]
	}
	return axis
}

// inFile returns a node's shape as it stands in the file.
func inFile(s []int) []int {
	if len(s) == 4 {
		return []int{s[0], s[3], s[1], s[2]}
	}
	return slices.Clone(s)
}

// inGorgonia returns a shape of the file as a node's.
func inGorgonia(s []int) []int {
	if len(s) == 4 {
		return []int{s[0], s[2], s[3], s[1]}
	}
	return slices.Clone(s)
}

// sameOrder reports whether a node of shape s has its elements in the file's
// order.
func sameOrder(s []int) bool { return len(s) != 4 || s[3] == 1 || s[1]*s[2] == 1 }

// axis returns an axis of the file, which counts from the end where it is
// negative, as 0 to rank-1.
func (im *importing) axis(c *importer.Call, axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, im.unsupported(c, fmt.Sprintf("axis %d of a value of rank %d; it goes from %d to %d", axis, rank, -rank, rank-1))
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// ints returns the integers of operand i of c, which must be there and known
// before the graph runs.
func (im *importing) ints(c *importer.Call, i int) ([]int64, error) {
	f, err := im.floats(c, i)
	if err != nil {
		return nil, err
	}
	if v, _ := im.operand(c, i); v.constant.Type == onnx.Int64 { // beyond what float64 counts by ones
		return v.constant.Int64s()
	}
	out := make([]int64, len(f))
	for k, x := range f {
		out[k] = int64(x)
	}
	return out, nil
}

// floats is ints for real numbers.
func (im *importing) floats(c *importer.Call, i int) ([]float64, error) {
	v, ok := im.operand(c, i)
	if !ok {
		return nil, im.unsupported(c, fmt.Sprintf("it has no operand %d", i))
	}
	if v.constant == nil {
		return nil, im.unsupported(c, fmt.Sprintf("operand %d, %q, must be constant; it is computed from the input", i, c.Inputs[i]))
	}
	f, err := numbers(v.constant)
	if err != nil {
		return nil, im.unsupported(c, fmt.Sprintf("operand %d: %v", i, err))
	}
	return f, nil
}

// scalar returns the number that v is, where it is a constant of one element
// that is not learned.
func (im *importing) scalar(v value) (float64, bool) {
	if v.constant == nil || v.learned {
		return 0, false
	}
	f, err := numbers(v.constant)
	if err != nil || len(f) != 1 {
		return 0, false
	}
	return f[0], true
}

// numbers returns the elements of a tensor of numbers or booleans.
func numbers(t *onnx.Tensor) ([]float64, error) {
	n, err := t.Len()
	if err != nil {
		return nil, err
	}
	size := int(t.Type.Bits() / 8)
	if size == 0 || int64(len(t.Data)) != n*int64(size) {
		return nil, fmt.Errorf("a tensor of %v %v with %d bytes of data holds no numbers", t.Type, t.Dims, len(t.Data))
	}
	out := make([]float64, n)
	for i := range out {
		d := t.Data[i*size:]
		switch t.Type {
		case onnx.Float32:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(d)))
		case onnx.Float64:
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(d))
		case onnx.Int64:
			out[i] = float64(int64(binary.LittleEndian.Uint64(d)))
		case onnx.Uint64:
			out[i] = float64(binary.LittleEndian.Uint64(d))
		case onnx.Int32:
			out[i] = float64(int32(binary.LittleEndian.Uint32(d)))
		case onnx.Uint32:
			out[i] = float64(binary.LittleEndian.Uint32(d))
		case onnx.Int16:
			out[i] = float64(int16(binary.LittleEndian.Uint16(d)))
		case onnx.Uint16:
			out[i] = float64(binary.LittleEndian.Uint16(d))
		case onnx.Int8:
			out[i] = float64(int8(d[0]))
		case onnx.Uint8, onnx.Bool:
			out[i] = float64(d[0])
		default:
			return nil, fmt.Errorf("a tensor of %v; numbers of whole bytes and booleans are computed with", t.Type)
		}
	}
	return out, nil
}

// float32sOf returns the elements of a tensor of numbers or booleans in
// float32.
func float32sOf(t *onnx.Tensor) ([]float32, error) {
	if t.Type == onnx.Float32 {
		return t.Float32s()
	}
	f, err := numbers(t)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(f))
	for i, x := range f {
		out[i] = float32(x)
	}
	return out, nil
}

// node returns v as a node. A constant becomes one: a parameter where it is
// learned, shared by all who use the constant, else a node of a fixed value.
func (im *importing) node(v value) *gorgonia.Node {
	if v.node != nil || v.constant == nil || im.b.err != nil {
		return v.node
	}
	if v.learned && im.trainable(v) {
		return im.parameter(v, Free)
	}
	dims := im.fileShape(v)
	f, err := float32sOf(v.constant)
	full := dims
	if err == nil && v.sized {
		f, dims = withoutRepeats(f, dims)
	}
	if err != nil || len(f) == 0 {
		im.b.Fail(im.unsupported(im.call, fmt.Sprintf("it computes with %q, a constant of %v %v (%v)", v.name, v.constant.Type, dims, err)))
		return nil
	}
	key := fmt.Sprint("constant ", v.name)
	n := im.made[key]
	if n == nil {
		shape := dims
		if len(shape) == 0 {
			shape = []int{1}
		}
		name := im.unique(readable(v.name), im.label()+"/constant")
		n = im.b.fixed(name, inGorgonia(shape), toGorgonia(f, shape))
		im.made[key] = n
		if im.b.create && len(f) > 1 && v.constant.Type.Float() {
			said := dims
			if t := im.Constants[v.name]; t != nil { // as it lies in the file
				said = im.fileShape(value{constant: t})
			}
			im.kept = append(im.kept, fmt.Sprint(name, " ", said))
		}
	}
	if n = im.reshape(n, dims...); n == nil || slices.Equal(dims, full) {
		return n
	}
	return im.op(op.BroadcastTo(n, inGorgonia(full)...))
}

// withoutRepeats returns the elements of a tensor with one in place of each axis
// along which they repeat: as many as there are for a batch of one, where a file
// repeats something for each image.
func withoutRepeats(x []float32, dims []int) ([]float32, []int) {
	dims = slices.Clone(dims)
	inner := 1
	for a := len(dims) - 1; a >= 0; a-- {
		d := dims[a]
		if d > 1 && repeats(x, d, inner) {
			var y []float32
			for i := 0; i < len(x); i += d * inner {
				y = append(y, x[i:i+inner]...)
			}
			x, dims[a] = y, 1
		}
		inner *= dims[a]
	}
	return x, dims
}

// repeats reports whether each d runs of inner elements are the same run.
func repeats(x []float32, d, inner int) bool {
	for i := 0; i < len(x); i += d * inner {
		for k := i + inner; k < i+d*inner; k++ {
			if x[k] != x[k-inner] {
				return false
			}
		}
	}
	return true
}

// parameter returns the parameter that a layer reads as its tensor of the given
// kind, in v's shape. A constant of one element may be one, too. What v already
// is for another layer, it is for this one.
func (im *importing) parameter(v value, kind Kind) *gorgonia.Node {
	if v.node != nil || im.b.err != nil {
		return v.node
	}
	n := im.made[v.name]
	if n != nil && im.flipped[v.name] {
		n = im.transpose(n, 1, 0)
	}
	if n == nil {
		dims := im.fileShape(v)
		if len(dims) == 0 {
			dims = []int{1}
		}
		n = im.tensorOf(im.nameFor(v, kind), kind, inGorgonia(dims), v, func(f []float32) []float32 { return toGorgonia(f, dims) })
		im.made[v.name] = n
	}
	return im.reshape(n, im.fileShape(v)...)
}

// flippedParameter is parameter for a matrix that a layer reads transposed.
func (im *importing) flippedParameter(v value, kind Kind) *gorgonia.Node {
	if im.made[v.name] != nil && !im.flipped[v.name] {
		return im.transpose(im.parameter(v, kind), 1, 0)
	}
	if n := im.made[v.name]; n != nil {
		return n
	}
	d := im.fileShape(v)
	n := im.tensorOf(im.nameFor(v, kind), kind, []int{d[1], d[0]}, v, func(f []float32) []float32 { return transposed(f, d[0], d[1]) })
	im.made[v.name], im.flipped[v.name] = n, true
	return n
}

// tensorOf makes a parameter of v's elements in the order that lay gives, or,
// where the import is to be initialised anew, of fresh ones.
func (im *importing) tensorOf(name string, kind Kind, shape []int, v value, lay func([]float32) []float32) *gorgonia.Node {
	if im.random && kind != Free {
		return im.b.parameter(name, kind, shape, nil)
	}
	return im.b.parameter(name, kind, shape, func() ([]float32, error) {
		f, err := float32sOf(v.constant)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return lay(f), nil
	})
}

// toGorgonia returns the elements of a file's tensor in a node's order.
func toGorgonia(x []float32, dims []int) []float32 {
	if len(dims) != 4 {
		return x
	}
	n, c, area := dims[0], dims[1], dims[2]*dims[3]
	y := make([]float32, 0, len(x))
	for i := range n {
		for p := range area {
			for k := range c {
				y = append(y, x[(i*c+k)*area+p])
			}
		}
	}
	return y
}

// reshape returns the elements of n, in the file's order, in another shape of
// the file.
func (im *importing) reshape(n *gorgonia.Node, to ...int) *gorgonia.Node {
	if n == nil || im.b.err != nil {
		return nil
	}
	if from := im.reshaped[n]; from != nil {
		n = from
	}
	if slices.Equal(inFile(n.Shape()), to) {
		return n
	}
	x := n
	if !sameOrder(n.Shape()) {
		x = im.toFileOrder(n)
	}
	target := inGorgonia(to)
	var y *gorgonia.Node
	switch {
	case n.Shape().IsScalar():
		y = im.op(op.BroadcastScalar(x, target...))
	case len(to) == 0:
		if n.Shape().TotalSize() != 1 {
			im.b.Fail(fmt.Errorf("%d elements of shape %v do not make one number", n.Shape().TotalSize(), inFile(n.Shape())))
			return nil
		}
		y = im.op(op.Sum(x))
	case sameOrder(target):
		y = im.op(op.Reshape(x, target...))
	case slices.Equal(x.Shape(), to):
		y = im.fromFileOrder(x)
	default:
		y = im.fromFileOrder(im.op(op.Reshape(x, to...)))
	}
	if y != nil {
		im.reshaped[y] = n
	}
	return y
}

// toFileOrder returns a node of rank 4 with the axes of the file's value, so
// that its elements have the file's order; other nodes have it already.
func (im *importing) toFileOrder(n *gorgonia.Node) *gorgonia.Node {
	if n == nil || n.Dims() != 4 {
		return n
	}
	return im.transpose(n, gorgoniaAxes[:]...)
}

// fromFileOrder is the inverse of toFileOrder.
func (im *importing) fromFileOrder(n *gorgonia.Node) *gorgonia.Node {
	if n == nil || n.Dims() != 4 {
		return n
	}
	return im.transpose(n, fileAxes[:]...)
}

// transpose returns n with its axes, Gorgonia's, in another order: axis i of
// the result is axis perm[i] of n. A transposition of a transposition is made
// one, and nothing where it leads back.
func (im *importing) transpose(n *gorgonia.Node, perm ...int) *gorgonia.Node {
	if n == nil || im.b.err != nil {
		return nil
	}
	perm = slices.Clone(perm)
	if t, ok := im.turned[n]; ok && len(perm) == len(t.perm) {
		for i, p := range perm {
			perm[i] = t.perm[p]
		}
		n = t.from
	}
	if slices.IsSorted(perm) {
		return n
	}
	key := fmt.Sprint(n.ID(), perm)
	if y := im.turns[key]; y != nil {
		return y
	}
	label := im.label()
	if im.call.Op != "Transpose" {
		label += "/layout"
	}
	made, err := op.Transpose(n, perm...)
	y := im.b.put(label, made, err)
	if y != nil {
		im.turns[key], im.turned[y] = y, turn{n, perm}
	}
	return y
}

// permute is transpose in the file's axes: ONNX's Transpose.
func (im *importing) permute(n *gorgonia.Node, perm ...int) *gorgonia.Node {
	r := len(perm)
	p := make([]int, r)
	for g := range p {
		p[g] = nodeAxis(r, perm[fileAxis(r, g)])
	}
	return im.transpose(n, p...)
}

// broadcast returns a and b as nodes of one shape, by NumPy's rule over the
// file's axes.
func (im *importing) broadcast(a, b value) (x, y *gorgonia.Node) {
	shape, err := broadcastShape(im.fileShape(a), im.fileShape(b))
	if err != nil {
		im.b.Fail(im.unsupported(im.call, err.Error()))
		return nil, nil
	}
	return im.broadcastTo(a, shape), im.broadcastTo(b, shape)
}

// broadcastShape is the shape that operands of shapes a and b have together.
func broadcastShape(a, b []int) ([]int, error) {
	r := max(len(a), len(b))
	shape := make([]int, r)
	for i := range shape {
		d, e := 1, 1
		if k := i - (r - len(a)); k >= 0 {
			d = a[k]
		}
		if k := i - (r - len(b)); k >= 0 {
			e = b[k]
		}
		switch {
		case d == e || e == 1:
			shape[i] = d
		case d == 1:
			shape[i] = e
		default:
			return nil, fmt.Errorf("operands of shapes %v and %v do not stretch to one shape", a, b)
		}
	}
	return shape, nil
}

// broadcastTo returns v as a node stretched to a shape of the file, which has
// no fewer axes.
func (im *importing) broadcastTo(v value, shape []int) *gorgonia.Node {
	dims := im.fileShape(v)
	lifted := slices.Concat(slices.Repeat([]int{1}, max(len(shape)-len(dims), 0)), dims)
	var n *gorgonia.Node
	if v.constant != nil {
		v.constant = withDims(v.constant, lifted)
		n = im.node(v)
	} else {
		n = im.reshape(v.node, lifted...)
	}
	if n == nil || slices.Equal(lifted, shape) {
		return n
	}
	return im.op(op.BroadcastTo(n, inGorgonia(shape)...))
}

// withDims returns t in another shape of as many elements.
func withDims(t *onnx.Tensor, dims []int) *onnx.Tensor {
	c := t.Clone()
	c.Dims = make([]int64, len(dims))
	for i, d := range dims {
		c.Dims[i] = int64(d)
	}
	return c
}

// channels returns v as the vector [C] that runs along the last axis of x
// [..., C], which in an image are the channels; false where it is no learned
// constant of that form.
func (im *importing) channels(x *gorgonia.Node, v value, kind Kind) (*gorgonia.Node, bool) {
	if x == nil || v.constant == nil || !v.learned || x.Dims() < 2 {
		return nil, false
	}
	rank, dims := x.Dims(), im.fileShape(v)
	at, c := fileAxis(rank, rank-1), x.Shape()[rank-1]
	if len(dims) > rank || c < 2 {
		return nil, false
	}
	for i, d := range dims {
		switch axis := i + rank - len(dims); {
		case axis == at && d != c:
			return nil, false
		case axis != at && d != 1:
			return nil, false
		}
	}
	if at < rank-len(dims) {
		return nil, false
	}
	v.constant = withDims(v.constant, []int{c})
	return im.parameter(v, kind), true
}

// addBias returns x plus a learned constant that runs along its last axis, as a
// bias that the export joins with the layer before it; false where v is no such
// constant.
func (im *importing) addBias(x *gorgonia.Node, v value) (*gorgonia.Node, bool) {
	p, ok := im.channels(x, v, Bias)
	if !ok || p == nil {
		return nil, ok
	}
	return im.withBias(x, p), true
}

// shapeOf is the shape as a constant int64 list.
func shapeOf(dims []int) *onnx.Tensor {
	v := make([]int64, len(dims))
	for i, d := range dims {
		v[i] = int64(d)
	}
	return onnx.Int64s("", []int64{int64(len(v))}, v)
}
