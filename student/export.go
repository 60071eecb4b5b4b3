package student

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// The operator set and format version an export uses when it is not told.
const (
	DefaultOpset = 17
	DefaultIR    = 8

	minOpset = 13
	maxOpset = 21
)

// ExportOptions say how a student is written.
type ExportOptions struct {
	// Opset is the version of ONNX's operator set, 13 to 21; zero means 17.
	Opset int64

	// IR is the version of the file format, at least onnx.MinIR of the opset;
	// zero means 8, and from opset 19 on that.
	IR int64

	// Producer and ProducerVersion name the program that writes the file; they
	// may be empty.
	Producer, ProducerVersion string

	// Metadata becomes metadata_props, in this order, each key once.
	Metadata []onnx.KeyValue
}

// Export returns the model for inference as ONNX: input `image` float32
// [batch, C, H, W], output `logits` float32 [batch, classes], both with a free
// batch size. Batch normalisation that alone follows a convolution is part of
// that convolution, and so are biases; a dense layer that follows a spatial
// Flatten has its columns in the file's order, so that nothing is transposed at
// run time. Nodes and weights are named after the layers.
//
// The same parameters and options give the same model: nothing in it depends
// on time or place. A parameter that is not finite is an error.
func (m *Model) Export(o ExportOptions) (*onnx.Model, error) {
	if o.Opset == 0 {
		o.Opset = DefaultOpset
	}
	if o.IR == 0 {
		o.IR = max(DefaultIR, onnx.MinIR(o.Opset))
	}
	if o.Opset < minOpset || o.Opset > maxOpset {
		return nil, fmt.Errorf("student: export to opset %d; the opsets are %d to %d", o.Opset, minOpset, maxOpset)
	}
	for i, kv := range o.Metadata {
		if slices.ContainsFunc(o.Metadata[:i], func(k onnx.KeyValue) bool { return k.Key == kv.Key }) {
			return nil, fmt.Errorf("student: export with two metadata entries called %q", kv.Key)
		}
	}
	g, err := m.Graph(1, Infer)
	if err != nil {
		return nil, err
	}
	e := newExporter(g, onnx.NewBuilder(m.architecture.Name, o.Opset))
	e.b.SetIR(o.IR)
	image := m.spec.Image
	e.values[g.Image] = e.b.Input("image", onnx.Float32,
		onnx.Symbol("batch"), onnx.Fixed(int64(image.C)), onnx.Fixed(int64(image.H)), onnx.Fixed(int64(image.W)))
	for _, n := range e.order {
		if err := e.emit(n); err != nil {
			return nil, fmt.Errorf("student: exporting %s: %w", m.architecture.Name, err)
		}
	}
	if e.err != nil {
		return nil, e.err
	}
	e.b.Output(e.values[g.Logits], "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(int64(m.spec.Classes)))
	out, err := e.b.Model()
	if err != nil {
		return nil, fmt.Errorf("student: exporting %s: %w", m.architecture.Name, err)
	}
	out.Producer, out.ProducerVersion = o.Producer, o.ProducerVersion
	for _, kv := range o.Metadata {
		out.SetMeta(kv.Key, kv.Value)
	}
	if err := onnx.Check(out); err != nil {
		return nil, fmt.Errorf("student: exporting %s: %w", m.architecture.Name, err)
	}
	return out, nil
}

// exporter walks a graph and appends each node to an ONNX model.
type exporter struct {
	g      *Graph
	b      *onnx.Builder
	order  gorgonia.Nodes
	users  map[*gorgonia.Node]gorgonia.Nodes // among the nodes in order
	values map[*gorgonia.Node]string         // the name of a node's value in the file
	joined map[*gorgonia.Node]bool           // nodes that are part of the layer before them
	err    error                             // of the first constant that cannot be written

	// unordered holds flattened values whose columns are in the file's order,
	// with the shape [1, H, W, C] they were flattened from.
	unordered map[*gorgonia.Node]tensor.Shape
}

func newExporter(g *Graph, b *onnx.Builder) *exporter {
	e := &exporter{
		g: g, b: b, order: g.needed(),
		users:     map[*gorgonia.Node]gorgonia.Nodes{},
		values:    map[*gorgonia.Node]string{},
		joined:    map[*gorgonia.Node]bool{},
		unordered: map[*gorgonia.Node]tensor.Shape{},
	}
	for _, n := range e.order {
		for _, x := range g.operands(n) {
			e.users[x] = append(e.users[x], n)
		}
	}
	return e
}

// emit appends n, whose operands are there already.
func (e *exporter) emit(n *gorgonia.Node) error {
	if e.joined[n] || e.values[n] != "" || e.g.params[n] != nil {
		return nil // parameters are written by the nodes that read them
	}
	label := e.label(n)
	e.b.Name(label)
	in := e.g.operands(n)
	l := e.g.layers[n]
	switch l.kind {
	case convolution, dense:
		return e.linear(n, in[0], l)
	case normalisation:
		return e.normalise(n, in[0], l)
	case flatten:
		if s := in[0].Shape(); s.Dims() == 4 && e.endsInDense(n) {
			e.unordered[n] = s.Clone()
			e.values[n] = e.b.Node("Flatten", []string{e.values[in[0]]}, onnx.AttrInt("axis", 1))
			return nil
		}
	case pointwise:
		if s := e.unordered[in[0]]; s != nil {
			e.unordered[n] = s
		}
	}
	o, ok := n.Op().(op.Operator)
	if !ok {
		return fmt.Errorf("%s is %v, which is no operator of ours and has no ONNX form", label, n.Op())
	}
	names := make([]string, len(in))
	for i, x := range in {
		if p := e.g.params[x]; p != nil && e.values[x] == "" {
			e.values[x] = e.initializer(p.Name, p.Value.Shape(), p.float64s())
		}
		names[i] = e.values[x]
	}
	v, err := o.ONNX(e.b, names)
	if err != nil {
		return fmt.Errorf("%s: %w", label, err)
	}
	e.values[n] = v
	return nil
}

// linear appends a convolution or dense layer with the bias and, for a
// convolution, the batch normalisation that follow it and nobody else reads.
func (e *exporter) linear(n, x *gorgonia.Node, l layer) error {
	shape := l.weight.Value.Shape().Clone()
	f := folded{weight: l.weight.float64s()}
	last := n
chain:
	for next := e.only(last); next != nil; next = e.only(last) {
		switch k := e.g.layers[next]; {
		case k.kind == bias:
			f.addBias(k.bias.float64s())
		case k.kind == normalisation && l.kind == convolution:
			f.normalise(k.scale.float64s(), k.shift.float64s(), k.running.float64s(), Epsilon)
		default:
			break chain
		}
		e.joined[next] = true
		last = next
	}
	if s := e.unordered[x]; s != nil {
		f.weight = toNCHW(f.weight, shape[0], s[1], s[2], s[3])
	}
	names := []string{e.values[x], e.initializer(l.weight.Name, shape, f.weight)}
	if f.bias != nil {
		name := path.Join(path.Dir(l.weight.Name), Bias.String())
		names = append(names, e.initializer(name, tensor.Shape{shape[0]}, f.bias))
	}
	// Conv and Gemm take the bias as a third operand, which the operator, having
	// none, passes on.
	v, err := n.Op().(op.Operator).ONNX(e.b, names)
	if err != nil {
		return fmt.Errorf("%s: %w", e.label(n), err)
	}
	e.values[n], e.values[last] = v, v
	return nil
}

// normalise appends batch normalisation that follows no convolution, with mean
// and variance as two initializers: the operator's own form would cut the
// running statistics in two at run time.
func (e *exporter) normalise(n, x *gorgonia.Node, l layer) error {
	c := l.scale.Len()
	running, name := l.running.float64s(), path.Dir(l.running.Name)
	e.values[n] = e.b.Node("BatchNormalization", []string{
		e.values[x],
		e.initializer(l.scale.Name, tensor.Shape{c}, l.scale.float64s()),
		e.initializer(l.shift.Name, tensor.Shape{c}, l.shift.float64s()),
		e.initializer(name+"/mean", tensor.Shape{c}, running[:c]),
		e.initializer(name+"/variance", tensor.Shape{c}, running[c:]),
	}, onnx.AttrFloat("epsilon", Epsilon))
	return nil
}

// initializer adds a constant, which is float32 and, if of rank 4, NCHW in the
// file.
func (e *exporter) initializer(name string, shape tensor.Shape, v []float64) string {
	if shape.Dims() == 4 {
		v = toNCHW(v, shape[0], shape[1], shape[2], shape[3])
		shape = tensor.Shape{shape[0], shape[3], shape[1], shape[2]}
	}
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	f := make([]float32, len(v))
	for i, x := range v {
		f[i] = float32(x)
		if d := float64(f[i]); e.err == nil && (math.IsNaN(d) || math.IsInf(d, 0)) {
			e.err = fmt.Errorf("student: exporting %s: %s would hold %v; training has diverged, export an earlier checkpoint", e.g.name, name, x)
		}
	}
	return e.b.Initializer(name, onnx.Float32s(name, dims, f))
}

// only returns the one user of n, nil when there are more, or none: the logits.
func (e *exporter) only(n *gorgonia.Node) *gorgonia.Node {
	if len(e.users[n]) != 1 {
		return nil
	}
	return e.users[n][0]
}

// endsInDense reports whether only dense layers see n, perhaps through
// pointwise functions: then the order of its columns is free.
func (e *exporter) endsInDense(n *gorgonia.Node) bool {
	if n == e.g.Logits {
		return false
	}
	for _, u := range e.users[n] {
		switch e.g.layers[u].kind {
		case dense:
		case pointwise:
			if !e.endsInDense(u) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// label returns a readable name for n: its layer's, else its operator's in the
// group of its first operand.
func (e *exporter) label(n *gorgonia.Node) string {
	if l := e.g.labels[n]; l != "" {
		return l
	}
	word, _, _ := strings.Cut(n.Op().String(), "{")
	label := strings.ToLower(word)
	if in := e.g.operands(n); len(in) > 0 {
		label = path.Join(path.Dir(e.g.labels[in[0]]), label)
	}
	e.g.labels[n] = label
	return label
}
