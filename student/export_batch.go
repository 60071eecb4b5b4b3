package student

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/importer"
)

// batchSizes are those of the two graphs that an export compares. Neither is 1,
// which does not show where a single sample is repeated.
var batchSizes = [2]int{2, 3}

// openBatch makes a, written of a graph of batchSizes[0] samples, one for any
// number of them. b is the same of batchSizes[1]: where the two differ the form
// of an operator holds the size of the batch. One such number in the target of a
// Reshape becomes -1; others, as in the shape to which an Expand repeats
// something for each image, are computed of the size that the input has when the
// model runs. Anything else that differs is an error.
func openBatch(a, b *onnx.Model, input string) error {
	if len(a.Graph.Nodes) != len(b.Graph.Nodes) || len(a.Graph.Initializers) != len(b.Graph.Initializers) {
		return errors.New("the network is another one for another batch, which a file cannot say")
	}
	for i, n := range a.Graph.Nodes {
		if m := b.Graph.Nodes[i]; n.Op != m.Op || !slices.Equal(n.Inputs, m.Inputs) || !slices.EqualFunc(n.Attrs, m.Attrs, sameAttr) {
			return fmt.Errorf("%v depends on the number of images in the batch, which a file leaves open", n)
		}
	}
	users := a.Graph.Index()
	o := batchOpener{model: a, input: input}
	defer o.finish()
	for i, t := range slices.Clone(a.Graph.Initializers) {
		u := b.Graph.Initializers[i]
		if t == u || t.Type == u.Type && slices.Equal(t.Dims, u.Dims) && bytes.Equal(t.Data, u.Data) {
			continue
		}
		for _, n := range users.Consumers(t.Name) {
			if err := o.open(n, t, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// batchOpener makes what a model computes with the size of its batch.
type batchOpener struct {
	model *onnx.Model
	input string       // whose first axis it is
	size  string       // the value that holds its length, [1]; empty until it is needed
	front []*onnx.Node // to stand before all others
	lists map[string]string
}

// finish puts the nodes that were made before the others.
func (o *batchOpener) finish() {
	o.model.Graph.Nodes = slices.Concat(o.front, o.model.Graph.Nodes)
}

// open makes an operand of n hold for any batch that is t for one size of it and
// u for the other.
func (o *batchOpener) open(n *onnx.Node, t, u *onnx.Tensor) error {
	to, err := t.Int64s()
	other, err2 := u.Int64s()
	if err != nil || err2 != nil || len(t.Dims) != 1 || len(to) != len(other) {
		return fmt.Errorf("%v computes with a constant %q that depends on the number of images in the batch (%v for %d, %v for %d), which a file leaves open",
			n, t.Name, t.Dims, batchSizes[0], u.Dims, batchSizes[1])
	}
	var at []int // elements that grow with the batch
	for k := range to {
		if to[k] != other[k] {
			at = append(at, k)
		}
	}
	if n.Op == "Reshape" && len(at) == 1 {
		k := at[0]
		if min(to[k], other[k]) == 0 { // as in the operand, for one of the two by chance
			to[k] = max(to[k], other[k])
		} else {
			to[k] = -1
		}
		*t = *onnx.Int64s(t.Name, t.Dims, to)
		return nil
	}
	for _, k := range at {
		if to[k]*int64(batchSizes[1]) != other[k]*int64(batchSizes[0]) || to[k] == 0 || n.Op == "Reshape" && min(to[k], other[k]) <= 0 {
			return fmt.Errorf("%v computes with the number of images in the batch (%v for %d, %v for %d), which a file leaves open",
				n, to, batchSizes[0], other, batchSizes[1])
		}
	}
	list := o.list(t, to, at)
	for i, v := range n.Inputs {
		if v == t.Name {
			n.Inputs[i] = list
		}
	}
	return nil
}

// list returns the value that is the list to, of a tensor t, with its elements
// at grown by the batch.
func (o *batchOpener) list(t *onnx.Tensor, to []int64, at []int) string {
	if name := o.lists[t.Name]; name != "" {
		return name
	}
	g := o.model.Graph
	if o.size == "" {
		o.size, o.front = batchLength(o.model, o.input)
	}
	constant := func(v ...int64) string {
		c := onnx.Int64s(g.FreshName(t.Name+"_part"), []int64{int64(len(v))}, v)
		g.Initializers = append(g.Initializers, c)
		return c.Name
	}
	node := func(op, name string, in []string, attrs ...*onnx.Attr) string {
		name = g.FreshName(name)
		for slices.ContainsFunc(o.front, func(n *onnx.Node) bool { return n.Name == name }) {
			name += "_"
		}
		o.front = append(o.front, &onnx.Node{Name: name, Op: op, Inputs: in, Outputs: []string{name}, Attrs: attrs})
		return name
	}
	var parts []string
	done := 0
	for _, k := range at {
		if k > done {
			parts = append(parts, constant(to[done:k]...))
		}
		part := o.size
		if times := to[k] / int64(batchSizes[0]); times != 1 {
			part = node("Mul", t.Name+"_times", []string{o.size, constant(times)})
		}
		parts, done = append(parts, part), k+1
	}
	if done < len(to) {
		parts = append(parts, constant(to[done:]...))
	}
	if o.lists == nil {
		o.lists = map[string]string{}
	}
	o.lists[t.Name] = node("Concat", t.Name+"_batch", parts, onnx.AttrInt("axis", 0))
	return o.lists[t.Name]
}

// batchLength makes nodes that compute the length of an input's first axis, as a
// list of one.
func batchLength(m *onnx.Model, input string) (name string, nodes []*onnx.Node) {
	g := m.Graph
	shape, first, name := g.FreshName("batch/shape"), g.FreshName("batch/first"), g.FreshName("batch/length")
	g.Initializers = append(g.Initializers, onnx.Int64s(first, []int64{1}, []int64{0}))
	return name, []*onnx.Node{
		{Name: shape, Op: "Shape", Inputs: []string{input}, Outputs: []string{shape}},
		{Name: name, Op: "Gather", Inputs: []string{shape, first}, Outputs: []string{name}},
	}
}

func sameAttr(a, b *onnx.Attr) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Int == b.Int && a.Float == b.Float && a.Str == b.Str &&
		slices.Equal(a.Ints, b.Ints) && slices.Equal(a.Floats, b.Floats)
}

// foldConstants computes what depends on constants alone. A parameter that only
// lies otherwise than in the student keeps its name.
func foldConstants(m *onnx.Model) {
	g := m.Graph
	constants := make(map[string]*onnx.Tensor, len(g.Initializers))
	for _, t := range g.Initializers {
		constants[t.Name] = t
	}
	readers := map[string]int{}
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			readers[v]++
		}
	}
	for _, v := range g.Outputs {
		readers[v.Name] = -1 // its name is another's to say
	}
	renamed := map[string]string{}
	kept := g.Nodes[:0]
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			if to, ok := renamed[v]; ok {
				n.Inputs[i] = to
			}
		}
		t := foldNode(m, n, constants, readers)
		if t == nil {
			kept = append(kept, n)
			continue
		}
		t.Name = n.Outputs[0]
		if slices.Contains(layoutOps, n.Op) && readers[n.Inputs[0]] == 1 {
			t.Name = n.Inputs[0]
			renamed[n.Outputs[0]] = t.Name
			readers[t.Name] = readers[n.Outputs[0]]
			i := slices.Index(g.Initializers, constants[t.Name])
			g.Initializers[i] = t
		} else {
			g.Initializers = append(g.Initializers, t)
		}
		constants[t.Name] = t
	}
	clear(g.Nodes[len(kept):])
	g.Nodes = kept
}

// writeFlatten writes a Reshape to [batch, rest] as Flatten.
func writeFlatten(m *onnx.Model) {
	x := m.Graph.Index()
	for _, n := range m.Graph.Nodes {
		if n.Op != "Reshape" || len(n.Inputs) != 2 || n.Int("allowzero", 0) != 0 {
			continue
		}
		t := x.Initializer(n.Inputs[1])
		if t == nil {
			continue
		}
		if to, err := t.Int64s(); err == nil && len(to) == 2 && to[0] == 0 {
			n.Op, n.Inputs, n.Attrs = "Flatten", n.Inputs[:1], []*onnx.Attr{onnx.AttrInt("axis", 1)}
		}
	}
}

// maxFolded bounds what is computed of smaller constants: a file is not to grow
// by what its reader can compute.
const maxFolded = 1 << 16

// foldNode returns the constant that a node gives, nil where it is none.
func foldNode(m *onnx.Model, n *onnx.Node, constants map[string]*onnx.Tensor, readers map[string]int) *onnx.Tensor {
	if len(n.Outputs) != 1 || readers[n.Outputs[0]] < 0 || len(n.Inputs) == 0 {
		return nil
	}
	in := make([]*onnx.Tensor, len(n.Inputs))
	most := int64(maxFolded)
	for i, v := range n.Inputs {
		if v == "" {
			continue
		}
		if in[i] = constants[v]; in[i] == nil {
			return nil
		}
		if k, err := in[i].Len(); err == nil {
			most = max(most, k)
		}
	}
	out, ok, err := importer.Fold(importer.Call{Op: n.Op, Name: n.Name, Domain: n.Domain, Inputs: n.Inputs, Outputs: n.Outputs, Node: n}, m.Opset(), in)
	if err != nil || !ok || len(out) != 1 || out[0] == nil {
		return nil
	}
	if k, err := out[0].Len(); err != nil || k > most {
		return nil
	}
	return out[0].Clone()
}
