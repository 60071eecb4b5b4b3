package student

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"sync"

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

	// Half keeps the weights in half precision, as onnx.Model.HalfWeights does;
	// input, output and all computation stay float32.
	Half bool
}

// Export returns the model for inference as ONNX: input `image` float32
// [batch, C, H, W], output `logits` float32 [batch, classes], both with a free
// batch size. Batch normalisation that alone follows a convolution is part of
// that convolution, and so are biases; a dense layer that follows a spatial
// Flatten has its columns in the file's order, so that nothing is transposed at
// run time. Nodes and weights are named after the layers. What depends on
// constants alone is computed; where a network computes with the number of
// images in a batch, as to give each its class token, the file does, too.
//
// The same parameters and options give the same model: nothing in it depends
// on time or place. A parameter that is not finite is an error.
func (m *Model) Export(o ExportOptions) (*onnx.Model, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	image := m.spec.Image
	// Two sizes of the batch tell where a form holds one.
	var written [2]*onnx.Model
	var tensors []*onnx.Tensor
	for i, batch := range batchSizes {
		g, err := m.Graph(batch, Infer)
		if err != nil {
			return nil, err
		}
		in := Port{Name: "image", Node: g.Image, Elem: onnx.Float32, Dims: []onnx.Dim{
			onnx.Symbol("batch"), onnx.Fixed(int64(image.C)), onnx.Fixed(int64(image.H)), onnx.Fixed(int64(image.W))}}
		out := Port{Name: "logits", Node: g.Logits, Elem: onnx.Float32, Dims: []onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(int64(m.spec.Classes))}}
		if written[i], tensors, err = g.write(o, []Port{in}, []Port{out}, true, tensors); err != nil {
			return nil, err
		}
	}
	x := written[0]
	if err := openBatch(x, written[1], "image"); err != nil {
		return nil, fmt.Errorf("student: exporting %s: %w", m.architecture.Name, err)
	}
	return finish(x, m.architecture.Name, o)
}

// check fills in what is left out and refuses what cannot be.
func (o *ExportOptions) check() error {
	if o.Opset == 0 {
		o.Opset = DefaultOpset
	}
	if o.IR == 0 {
		o.IR = max(DefaultIR, onnx.MinIR(o.Opset))
	}
	if o.Opset < minOpset || o.Opset > maxOpset {
		return fmt.Errorf("student: export to opset %d; the opsets are %d to %d", o.Opset, minOpset, maxOpset)
	}
	for i, kv := range o.Metadata {
		if slices.ContainsFunc(o.Metadata[:i], func(k onnx.KeyValue) bool { return k.Key == kv.Key }) {
			return fmt.Errorf("student: export with two metadata entries called %q", kv.Key)
		}
	}
	return nil
}

// finish leaves in a model what it needs, and adds what the options say.
func finish(m *onnx.Model, name string, o ExportOptions) (*onnx.Model, error) {
	foldConstants(m)
	m.MergeTransposes()
	if n := transposes(m); n > 0 {
		sunk := m.Clone()
		sinkTransposes(sunk)
		sunk.MergeTransposes()
		sunk.Strip()
		if transposes(sunk) < n {
			*m = *sunk
		}
	}
	foldConstants(m)
	joinNormalisations(m)
	writeFlatten(m)
	m.Strip()
	m.Producer, m.ProducerVersion = o.Producer, o.ProducerVersion
	for _, kv := range o.Metadata {
		m.SetMeta(kv.Key, kv.Value)
	}
	if o.Half {
		if _, err := m.HalfWeights(); err != nil {
			return nil, fmt.Errorf("student: exporting %s: %w", name, err)
		}
	}
	if err := onnx.Check(m); err != nil {
		return nil, fmt.Errorf("student: exporting %s: %w", name, err)
	}
	return m, nil
}

// write returns the outputs of g as a model, as the operators' forms and the
// layers have it. With exact the targets of Reshapes are the shapes of this
// graph, for openBatch to see; without, they leave room for another batch as the
// operator's form does. tensors, where not nil, are those that writing a graph of
// the same layers gave, which are then not made again.
func (g *Graph) write(o ExportOptions, inputs, outputs []Port, exact bool, tensors []*onnx.Tensor) (*onnx.Model, []*onnx.Tensor, error) {
	whole := *g
	whole.outputs = nil
	for _, p := range outputs {
		whole.outputs = append(whole.outputs, p.Node)
	}
	e := newExporter(&whole, onnx.NewBuilder(g.name, o.Opset))
	e.exact, e.made = exact, tensors
	e.b.SetIR(o.IR)
	for _, p := range inputs {
		e.values[p.Node] = e.b.Input(p.Name, p.Elem, p.Dims...)
	}
	for _, p := range inputs {
		if p.Elem != onnx.Float32 {
			e.b.Name(p.Name + "/float")
			e.values[p.Node] = e.b.Node("Cast", []string{e.values[p.Node]}, onnx.AttrInt("to", int64(onnx.Float32)))
		}
	}
	for _, n := range e.order {
		if err := e.emit(n); err != nil {
			return nil, nil, fmt.Errorf("student: exporting %s: %w", g.name, err)
		}
	}
	if e.err != nil {
		return nil, nil, e.err
	}
	for _, p := range outputs {
		v := e.values[p.Node]
		if q := g.params[p.Node]; q != nil && v == "" {
			v = e.parameter(q)
		}
		if p.Elem != onnx.Float32 {
			e.b.Name(p.Name + "/cast")
			v = e.b.Node("Cast", []string{v}, onnx.AttrInt("to", int64(p.Elem)))
		}
		e.b.Output(v, p.Name, p.Elem, p.Dims...)
	}
	if e.err != nil {
		return nil, nil, e.err
	}
	m, err := e.b.Model()
	if err != nil {
		return nil, nil, fmt.Errorf("student: exporting %s: %w", g.name, err)
	}
	return m, e.tensors, nil
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

	// waiting are nodes that are written where a reader turns out to need them.
	waiting map[*gorgonia.Node]bool
	output  map[*gorgonia.Node]bool
	exact   bool              // as write says
	shared  map[string]string // the name in the file of a tensor that several nodes read
	fixed   map[string]bool   // tensors that training cannot have changed, by name

	tensors []*onnx.Tensor // written, in order
	made    []*onnx.Tensor // by another exporter of the same layers; nil is none

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
		output:    map[*gorgonia.Node]bool{},
		waiting:   map[*gorgonia.Node]bool{},
		shared:    map[string]string{},
		fixed:     map[string]bool{},
		unordered: map[*gorgonia.Node]tensor.Shape{},
	}
	for _, n := range g.outputs {
		e.output[n] = true
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
	in := e.stretch(n, e.g.operands(n))
	if op.Kind(n) == "BroadcastTo" && !e.output[n] || e.pooledOnly(n) {
		e.waiting[n] = true // for a reader that does not do it by itself
		return nil
	}
	l := e.g.layers[n]
	if l.kind == averagePooled || l.kind == maxPooled {
		in = e.g.operands(in[0])
	}
	if err := e.ready(in); err != nil {
		return err
	}
	e.b.Name(e.label(n))
	switch l.kind {
	case dense:
		if e.g.layers[in[0]].kind == rows {
			return e.project(n, in[0], in[1], l)
		}
		if l.weight == nil {
			break
		}
		return e.linear(n, in[0], l)
	case convolution:
		return e.linear(n, in[0], l)
	case rows, unrows:
		v := e.values[in[0]]
		switch { // from and to the file's order of four axes
		case l.kind == rows && in[0].Dims() == 4:
			v = e.b.Node("Transpose", []string{v}, onnx.AttrInts("perm", 0, 2, 3, 1))
		case l.kind == unrows && n.Dims() == 4:
			v = e.b.Node("Transpose", []string{v}, onnx.AttrInts("perm", 0, 3, 1, 2))
		}
		e.values[n] = v
		return nil
	case averagePooled, maxPooled:
		name := "GlobalAveragePool"
		if l.kind == maxPooled {
			name = "GlobalMaxPool"
		}
		e.values[n] = e.b.Node(name, []string{e.values[in[0]]})
		return nil
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
	if e.exact && op.Kind(n) == "Reshape" {
		if p := e.g.params[in[0]]; p != nil {
			e.values[in[0]] = e.parameter(p)
		}
		e.reshape(n, in[0])
		return nil
	}
	return e.form(n, in)
}

// ready writes those of the nodes that wait for a reader.
func (e *exporter) ready(nodes gorgonia.Nodes) error {
	for _, n := range nodes {
		if !e.waiting[n] {
			continue
		}
		delete(e.waiting, n)
		in := e.g.operands(n)
		if err := e.ready(in); err != nil {
			return err
		}
		e.b.Name(e.label(n))
		if err := e.form(n, in); err != nil {
			return err
		}
	}
	return nil
}

// form appends the ONNX form of n's operator over operands in.
func (e *exporter) form(n *gorgonia.Node, in gorgonia.Nodes) error {
	label := e.label(n)
	names := make([]string, len(in))
	for i, x := range in {
		if p := e.g.params[x]; p != nil && e.values[x] == "" {
			e.values[x] = e.parameter(p)
		}
		names[i] = e.values[x]
	}
	o, ok := n.Op().(op.Operator)
	switch c, constant := n.Op().(interface{ Value() gorgonia.Value }); {
	case ok:
	case constant: // such as the 1 that derivatives begin with
		b, err := op.BufferOf(c.Value())
		if err != nil || b.Len() != 1 {
			return fmt.Errorf("%s is the constant %v, which has no ONNX form", label, n.Op())
		}
		v := make([]float64, 0, 1)
		for _, x := range b.F32 {
			v = append(v, float64(x))
		}
		e.values[n] = e.initializer("constant", tensor.ScalarShape(), func() []float64 { return append(v, b.F64...) })
		return nil
	case op.IsSum(n): // gorgonia.Grad's own
		e.values[n] = e.b.Node("Add", names)
		return nil
	default:
		return fmt.Errorf("%s is %v, which is no operator of ours and has no ONNX form", label, n.Op())
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
	var steps []func(*folded)
	biasName, last := "", n
chain:
	for next := e.only(last); next != nil; next = e.only(last) {
		switch k := e.g.layers[next]; {
		case k.kind == bias:
			steps = append(steps, func(f *folded) { f.addBias(k.bias.float64s()) })
			if biasName == "" {
				biasName = k.bias.Name
			}
		case k.kind == normalisation && l.kind == convolution:
			steps = append(steps, func(f *folded) {
				f.normalise(k.scale.float64s(), k.shift.float64s(), k.running.float64s(), k.epsilon)
			})
		default:
			break chain
		}
		e.joined[next] = true
		last = next
	}
	// The arithmetic waits until a tensor is to be written, which is once.
	fold := sync.OnceValue(func() *folded {
		f := &folded{weight: l.weight.float64s()}
		for _, step := range steps {
			step(f)
		}
		if s := e.unordered[x]; s != nil {
			f.weight = toNCHW(f.weight, shape[0], s[1], s[2], s[3])
		}
		return f
	})
	names := []string{e.values[x], ""}
	if len(steps) > 0 || e.unordered[x] != nil {
		names[1] = e.initializer(l.weight.Name, shape, func() []float64 { return fold().weight })
	} else {
		names[1] = e.once(l.weight.Name, l.weight.Name, shape, func() []float64 { return fold().weight })
	}
	if len(steps) > 0 {
		if biasName == "" {
			biasName = beside(l.weight.Name, Bias)
		}
		names = append(names, e.initializer(biasName, tensor.Shape{shape[0]}, func() []float64 { return fold().bias }))
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

// reshape appends a Reshape of x to exactly n's shape. Only the first axis is
// told by the operand where both have the same: the batch of most values.
func (e *exporter) reshape(n, x *gorgonia.Node) {
	y, to, label := e.values[x], inFile(n.Shape()), e.label(n)
	if !sameOrder(x.Shape()) {
		e.b.Name(label + "/layout")
		y = e.b.Node("Transpose", []string{y}, onnx.AttrInts("perm", 0, 2, 3, 1))
	}
	if !sameOrder(n.Shape()) {
		to = n.Shape()
	}
	target := make([]int64, len(to))
	for i, d := range to {
		target[i] = int64(d)
	}
	if n.Shape()[0] == x.Shape()[0] {
		target[0] = 0
	}
	e.b.Name(label)
	y = e.b.Node("Reshape", []string{y, e.b.Initializer("shape", onnx.Int64s("", []int64{int64(len(target))}, target))})
	if !sameOrder(n.Shape()) {
		y = e.b.Node("Transpose", []string{y}, onnx.AttrInts("perm", 0, 3, 1, 2))
	}
	e.values[n] = y
}

// stretching are operators whose ONNX form stretches its operands by itself.
var stretching = []string{"Add", "Sub", "Mul", "Div", "Maximum", "Minimum", "PowOf", "Select"}

// stretch returns n's operands with those that were repeated for n's sake
// replaced by what they are repeated of, as long as some operand has each axis
// in full.
func (e *exporter) stretch(n *gorgonia.Node, in gorgonia.Nodes) gorgonia.Nodes {
	if !slices.Contains(stretching, op.Kind(n)) {
		return in
	}
	in = slices.Clone(in)
	for i, x := range in {
		if op.Kind(x) != "BroadcastTo" || e.values[x] != "" {
			continue
		}
		in[i] = e.g.operands(x)[0]
		for axis, d := range n.Shape() {
			if !slices.ContainsFunc(in, func(y *gorgonia.Node) bool { return y.Shape()[axis] == d }) {
				in[i] = x
				break
			}
		}
	}
	return in
}

// beside names a tensor of the layer whose weight is given.
func beside(weight string, kind Kind) string {
	if dir, last := path.Split(weight); last == Weight.String() && dir != "" {
		return dir + kind.String()
	}
	return weight + "/" + kind.String()
}

// project appends a dense layer over the last axis of a value of more than two
// axes, which x are the rows of, with the bias that follows it.
func (e *exporter) project(n, x, w *gorgonia.Node, l layer) error {
	var weight string
	if l.weight == nil {
		weight = e.b.Node("Transpose", []string{e.values[w]}, onnx.AttrInts("perm", 1, 0))
	} else {
		s := l.weight.Value.Shape()
		weight = e.once(l.weight.Name+" transposed", l.weight.Name, tensor.Shape{s[1], s[0]}, func() []float64 {
			return transposed(l.weight.float64s(), s[0], s[1])
		})
	}
	v, last := e.b.Node("MatMul", []string{e.values[x], weight}), n
	if next := e.only(n); next != nil && e.g.layers[next].kind == bias {
		b := e.g.layers[next].bias
		v = e.b.Node("Add", []string{v, e.once(b.Name, b.Name, b.Value.Shape(), b.float64s)})
		e.joined[next] = true
		last = next
	}
	e.values[n], e.values[last] = v, v
	return nil
}

// pooledOnly reports whether n is a global pooling of which every reader keeps
// the axes, and so writes the pooling itself.
func (e *exporter) pooledOnly(n *gorgonia.Node) bool {
	for _, u := range e.users[n] {
		if k := e.g.layers[u].kind; k != averagePooled && k != maxPooled {
			return false
		}
	}
	return len(e.users[n]) > 0 && !e.output[n]
}

// normalise appends batch normalisation that follows no convolution, with mean
// and variance as two initializers: the operator's own form would cut the
// running statistics in two at run time.
func (e *exporter) normalise(n, x *gorgonia.Node, l layer) error {
	c := l.scale.Len()
	name := path.Dir(l.running.Name)
	e.values[n] = e.b.Node("BatchNormalization", []string{
		e.values[x],
		e.once(l.scale.Name, l.scale.Name, tensor.Shape{c}, l.scale.float64s),
		e.once(l.shift.Name, l.shift.Name, tensor.Shape{c}, l.shift.float64s),
		e.once(l.running.Name+" mean", name+"/mean", tensor.Shape{c}, func() []float64 { return l.running.float64s()[:c] }),
		e.once(l.running.Name+" variance", name+"/variance", tensor.Shape{c}, func() []float64 { return l.running.float64s()[c:] }),
	}, onnx.AttrFloat("epsilon", float32(l.epsilon)))
	return nil
}

// parameter adds the tensor that a parameter is, unless it is there.
func (e *exporter) parameter(p *Param) string {
	if p.fixed {
		e.fixed[p.Name] = true
	}
	return e.once(p.Name, p.Name, p.Value.Shape(), p.float64s)
}

// once is initializer for a tensor that several nodes may read; key tells it
// from others.
func (e *exporter) once(key, name string, shape tensor.Shape, values func() []float64) string {
	if e.shared[key] == "" {
		e.shared[key] = e.initializer(name, shape, values)
	}
	return e.shared[key]
}

// initializer adds a constant, which is float32 and, if of rank 4, NCHW in the
// file. Of what was trained each number must be finite; a mask may hold -Inf.
func (e *exporter) initializer(name string, shape tensor.Shape, values func() []float64) string {
	dims := fileDims(shape)
	at := len(e.tensors)
	// A constant may depend on the batch, which no parameter does.
	if !e.fixed[name] && at < len(e.made) && e.made[at].Name == name && slices.Equal(e.made[at].Dims, dims) {
		e.tensors = append(e.tensors, e.made[at])
		return e.b.Initializer(name, e.made[at])
	}
	v := values()
	if shape.Dims() == 4 {
		v = toNCHW(v, shape[0], shape[1], shape[2], shape[3])
	}
	f := make([]float32, len(v))
	for i, x := range v {
		f[i] = float32(x)
		if d := float64(f[i]); e.err == nil && !e.fixed[name] && (math.IsNaN(d) || math.IsInf(d, 0)) {
			e.err = fmt.Errorf("student: exporting %s: %s would hold %v; training has diverged, export an earlier checkpoint, unless the network's own file holds it", e.g.name, name, x)
		}
	}
	t := onnx.Float32s(name, dims, f)
	e.tensors = append(e.tensors, t)
	return e.b.Initializer(name, t)
}

// fileDims returns a node's shape as it stands in the file.
func fileDims(s []int) []int64 {
	dims := make([]int64, len(s))
	for i, d := range inFile(s) {
		dims[i] = int64(d)
	}
	return dims
}

// only returns the one user of n, nil when there are more, or none, or when n is
// an output.
func (e *exporter) only(n *gorgonia.Node) *gorgonia.Node {
	if len(e.users[n]) != 1 || e.output[n] {
		return nil
	}
	return e.users[n][0]
}

// endsInDense reports whether only dense layers see n, perhaps through
// pointwise functions: then the order of its columns is free.
func (e *exporter) endsInDense(n *gorgonia.Node) bool {
	if e.output[n] {
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
