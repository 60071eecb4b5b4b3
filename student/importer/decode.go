package importer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	onnxgo "github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// smallTensor is the size in bytes up to which onnx-go decodes a constant
// itself, which is then compared with ours. In place of a larger one it gets a
// stand-in: it would take ten times the memory of the constant, at a hundredth
// of the speed of copying it.
const smallTensor = 1 << 10

// decode passes the graph through onnx-go and returns what came out, joined
// with what onnx-go drops.
func (n *normal) decode(ctx context.Context) ([]Call, error) {
	g := n.model.Graph
	if len(g.Nodes) == 0 {
		return nil, nil // onnx-go refuses such a graph; there is nothing to decode
	}
	s := newSkeleton(n)
	b, err := s.model.Encode()
	if err != nil {
		return nil, fmt.Errorf("importer: %w", err)
	}
	r := newRecorder()
	r.ctx = ctx
	if err := r.decode(b); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("importer: onnx-go: %w", err)
	}
	calls, err := s.join(n, r)
	if err != nil {
		return nil, fmt.Errorf("importer: onnx-go and this program read the model differently: %w", err)
	}
	return calls, nil
}

// skeleton is a model with everything that onnx-go decodes right and nothing
// else: names of inputs and outputs without their types, for which it would
// allocate, a placeholder for each operand left out, which it would take for
// one value called "", and constants only of types and sizes it can hold.
type skeleton struct {
	model  *onnx.Model
	absent string // what placeholders begin with, and no value
	count  int    // placeholders made
}

func newSkeleton(n *normal) *skeleton {
	g := n.model.Graph
	s := &skeleton{absent: "absent:"}
	for n.uses(s.absent) {
		s.absent = "_" + s.absent
	}
	to := &onnx.Graph{Name: g.Name}
	for _, v := range g.Inputs {
		to.Inputs = append(to.Inputs, &onnx.Value{Name: v.Name})
	}
	for _, v := range g.Outputs {
		to.Outputs = append(to.Outputs, &onnx.Value{Name: v.Name})
	}
	for _, name := range n.order {
		to.Initializers = append(to.Initializers, decodable(n.constants[name]))
	}
	for _, node := range g.Nodes {
		c := &onnx.Node{Op: node.Op, Inputs: s.fill(node.Inputs), Outputs: s.fill(node.Outputs)}
		if len(c.Inputs) == 0 { // onnx-go would make a value up, of a name that may exist
			c.Inputs = s.fill([]string{""})
		}
		for _, a := range node.Attrs {
			d := *a
			if a.Type == onnx.AttrTypeTensor {
				d.Tensor = decodable(a.Tensor)
			}
			c.Attrs = append(c.Attrs, &d)
		}
		to.Nodes = append(to.Nodes, c)
	}
	s.model = &onnx.Model{IRVersion: n.model.IRVersion, Opsets: n.model.Opsets, Graph: to}
	return s
}

// uses reports whether the name of any value begins with prefix.
func (n *normal) uses(prefix string) bool {
	begins := func(name string) bool { return strings.HasPrefix(name, prefix) }
	return slices.ContainsFunc(n.order, begins) ||
		slices.ContainsFunc(n.model.Graph.Inputs, func(v *onnx.Value) bool { return begins(v.Name) }) ||
		slices.ContainsFunc(n.model.Graph.Nodes, func(node *onnx.Node) bool { return slices.ContainsFunc(node.Outputs, begins) })
}

// fill puts a new placeholder in place of each empty name.
func (s *skeleton) fill(names []string) []string {
	out := slices.Clone(names)
	for i, name := range out {
		if name == "" {
			out[i] = s.absent + strconv.Itoa(s.count)
			s.count++
		}
	}
	return out
}

// empty puts empty names in place of placeholders, and drops the one operand
// of a node that has none.
func (s *skeleton) empty(names []string, operands int) []string {
	out := slices.Clone(names)
	for i, name := range out {
		if strings.HasPrefix(name, s.absent) {
			out[i] = ""
		}
	}
	if operands == 0 && len(out) == 1 && out[0] == "" {
		return nil
	}
	return out
}

// decodable is t where onnx-go can hold it at little cost, else a scalar of the
// same name.
func decodable(t *onnx.Tensor) *onnx.Tensor {
	if standIn(t) {
		return onnx.Float32s(t.Name, nil, []float32{0})
	}
	return &onnx.Tensor{Name: t.Name, Type: t.Type, Dims: t.Dims, Data: t.Data}
}

// standIn reports whether onnx-go gets another tensor in place of t. Of the
// other types it reads some wrong (bool) and knows some not at all; one without
// elements it takes for one without data.
func standIn(t *onnx.Tensor) bool {
	const maxRank = 8
	held := t.Type == onnx.Float32 || t.Type == onnx.Int64 || t.Type == onnx.Int32
	return !held || len(t.Data) == 0 || len(t.Data) > smallTensor || len(t.Dims) > maxRank
}

// join makes calls of what was recorded and the nodes it was recorded from.
func (s *skeleton) join(n *normal, r *recorder) ([]Call, error) {
	nodes := n.model.Graph.Nodes
	if len(r.calls) != len(nodes) {
		return nil, fmt.Errorf("it decodes %d operations of %d nodes", len(r.calls), len(nodes))
	}
	calls := make([]Call, len(nodes))
	for i, node := range nodes {
		got := r.calls[i]
		in, out := s.empty(got.inputs, len(node.Inputs)), s.empty(got.outputs, -1)
		if got.op != node.Op || !slices.Equal(in, node.Inputs) || !slices.Equal(out, node.Outputs) {
			return nil, fmt.Errorf("operation %d is %s %q -> %q, and the file has %s %q -> %q", i, got.op, in, out, node.Op, node.Inputs, node.Outputs)
		}
		attrs, err := attributes(node, got.attrs)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", node, err)
		}
		c := node.Clone()
		c.Inputs, c.Outputs, c.Attrs = in, out, attrs
		calls[i] = Call{Op: got.op, Name: node.Name, Domain: node.Domain, Inputs: in, Outputs: out, Node: c}
	}
	for _, name := range n.order {
		t := n.constants[name]
		if standIn(t) {
			continue
		}
		if err := same(t, r.tensor(name)); err != nil {
			return nil, fmt.Errorf("constant %q: %w", name, err)
		}
	}
	return calls, nil
}

// attributes makes attributes of what onnx-go decoded, in the node's order.
// Large tensors come from the node.
func attributes(node *onnx.Node, decoded map[string]any) ([]*onnx.Attr, error) {
	if len(decoded) != len(node.Attrs) {
		return nil, fmt.Errorf("it decodes %d attributes of %d", len(decoded), len(node.Attrs))
	}
	var out []*onnx.Attr
	for _, a := range node.Attrs {
		d := &onnx.Attr{Name: a.Name, Doc: a.Doc}
		switch v := decoded[a.Name].(type) {
		case float32:
			d.Type, d.Float = onnx.AttrTypeFloat, v
		case int64:
			d.Type, d.Int = onnx.AttrTypeInt, v
		case string:
			d.Type, d.Str = onnx.AttrTypeString, v
		case []float32:
			d.Type, d.Floats = onnx.AttrTypeFloats, v
		case []int64:
			d.Type, d.Ints = onnx.AttrTypeInts, v
		case []string:
			d.Type, d.Strs = onnx.AttrTypeStrings, v
		case tensor.Tensor:
			d.Type, d.Tensor = onnx.AttrTypeTensor, a.Tensor
			if a.Tensor != nil && !standIn(a.Tensor) {
				if err := same(a.Tensor, v); err != nil {
					return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
				}
			}
		}
		if d.Type != a.Type {
			return nil, fmt.Errorf("it decodes attribute %q as %T, and the file has %v", a.Name, decoded[a.Name], a.Type)
		}
		out = append(out, d)
	}
	return out, nil
}

// same compares a constant with what onnx-go made of it, bit for bit.
func same(t *onnx.Tensor, decoded tensor.Tensor) error {
	if decoded == nil {
		return errors.New("it decodes to nothing")
	}
	var dims []int64
	for _, d := range decoded.Shape() {
		dims = append(dims, int64(d))
	}
	var b []byte
	put32 := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	put64 := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	typ := onnx.Undefined
	switch v := decoded.Data().(type) {
	case float32: // package tensor's form of a scalar
		typ = onnx.Float32
		put32(math.Float32bits(v))
	case int64:
		typ = onnx.Int64
		put64(uint64(v))
	case int32:
		typ = onnx.Int32
		put32(uint32(v))
	case []float32:
		typ = onnx.Float32
		for _, x := range v {
			put32(math.Float32bits(x))
		}
	case []int64:
		typ = onnx.Int64
		for _, x := range v {
			put64(uint64(x))
		}
	case []int32:
		typ = onnx.Int32
		for _, x := range v {
			put32(uint32(x))
		}
	}
	if typ != t.Type || !slices.Equal(dims, t.Dims) || string(b) != string(t.Data) {
		return fmt.Errorf("it decodes %v %v to %v %v, or to other values", t.Type, t.Dims, decoded.Dtype(), dims)
	}
	return nil
}

var (
	_ onnxgo.Backend     = (*recorder)(nil)
	_ onnxgo.Namer       = (*recorded)(nil)
	_ onnxgo.DataCarrier = (*recorded)(nil)
)

// recorder is an onnx-go backend that notes what the decoder tells it.
//
// The decoder sets an edge from each result of a node to each operand, in
// order, and then applies the node's operation to its results. A graph would
// lose an operand used twice, so the order of the calls is what is kept; the
// graph inside stays empty, it answers the rest of the interface.
type recorder struct {
	*simple.WeightedDirectedGraph
	ctx   context.Context // ends the decoding early
	model *onnxgo.Model
	nodes int64
	calls []operation

	edge     simple.WeightedEdge // the last one made
	first    graph.Node          // first result of the node being told; nil when none was told
	operands []string            // of it
}

// operation is one applied operation.
type operation struct {
	op              string
	inputs, outputs []string
	attrs           map[string]any
}

func newRecorder() *recorder {
	return &recorder{WeightedDirectedGraph: simple.NewWeightedDirectedGraph(0, 0), ctx: context.Background()}
}

// decode has onnx-go decode the bytes of a model. What it panics with becomes
// an error.
func (r *recorder) decode(b []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	r.model = onnxgo.NewModel(r)
	return r.model.UnmarshalBinary(b)
}

// tensor is the constant of the given name, nil when there is none.
func (r *recorder) tensor(name string) tensor.Tensor {
	if n, ok := r.model.GetNodeByName(name); ok {
		return n.(*recorded).tensor
	}
	return nil
}

// recorded is a value as onnx-go tells of it.
type recorded struct {
	id     int64
	name   string
	tensor tensor.Tensor
}

func (n *recorded) ID() int64                       { return n.id }
func (n *recorded) SetName(name string)             { n.name = name }
func (n *recorded) GetName() string                 { return n.name }
func (n *recorded) SetTensor(t tensor.Tensor) error { n.tensor = t; return nil }
func (n *recorded) GetTensor() tensor.Tensor        { return n.tensor }

// NewNode makes a value.
func (r *recorder) NewNode() graph.Node {
	r.nodes++
	return &recorded{id: r.nodes}
}

// AddNode does nothing.
func (r *recorder) AddNode(graph.Node) {}

// NewWeightedEdge makes an edge that holds until the next is made, which is as
// long as onnx-go needs it.
func (r *recorder) NewWeightedEdge(from, to graph.Node, w float64) graph.WeightedEdge {
	r.edge = simple.WeightedEdge{F: from, T: to, W: w}
	return &r.edge
}

// SetWeightedEdge notes an operand. It is told of all of them once for each
// result; once is enough.
func (r *recorder) SetWeightedEdge(e graph.WeightedEdge) {
	if r.first == nil {
		r.first = e.From()
	}
	if e.From() == r.first {
		r.operands = append(r.operands, e.To().(*recorded).name)
	}
}

// ApplyOperation notes a call on the operands told before.
func (r *recorder) ApplyOperation(o onnxgo.Operation, out ...graph.Node) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	c := operation{op: o.Name, inputs: r.operands, attrs: o.Attributes}
	for _, n := range out {
		c.outputs = append(c.outputs, n.(*recorded).name)
	}
	r.calls = append(r.calls, c)
	r.first, r.operands = nil, nil
	return nil
}
