package onnx

import (
	"fmt"
	"slices"
	"strconv"
)

// Opset is one operator set a model imports.
type Opset struct {
	Domain  string // "" is the default domain, which the file may also call "ai.onnx"
	Version int64
}

// KeyValue is one entry of a metadata list.
type KeyValue struct{ Key, Value string }

// Model is an ONNX model.
//
// The zero Model is not valid: Check wants at least an IRVersion, an opset and
// a named Graph.
type Model struct {
	IRVersion       int64
	Opsets          []Opset
	Producer        string // the tool that made the file
	ProducerVersion string
	Domain          string // reverse-DNS name of the model's namespace; usually empty
	ModelVersion    int64
	Doc             string
	Metadata        []KeyValue // metadata_props, in file order
	Graph           *Graph
	Functions       []*Function // model-local functions

	rest []byte // fields the schema does not name: training info, device configurations, newer fields
}

// Function is a model-local function: an operator defined by nodes.
type Function struct {
	Name, Domain, Overload string
	Doc                    string
	Inputs, Outputs        []string
	AttrNames              []string // attributes without a default
	Attrs                  []*Attr  // attributes with their defaults
	Nodes                  []*Node
	Opsets                 []Opset
	Values                 []*Value
	Metadata               []KeyValue

	rest []byte
}

// Graph is a computation: nodes in an order in which they can run, the values
// that enter and leave, and constant tensors. Subgraphs of If, Loop and Scan
// are Graphs too and may use the values of the graphs around them.
type Graph struct {
	Name, Doc    string
	Nodes        []*Node
	Inputs       []*Value // may name an initializer, which is then that input's default
	Outputs      []*Value
	Values       []*Value // types of values between inputs and outputs, where known
	Initializers []*Tensor
	Sparse       []*SparseTensor // sparse initializers
	Metadata     []KeyValue

	rest []byte // quantization annotations and newer fields
}

// Node applies one operator. An empty name among Inputs or Outputs is an
// optional operand left out.
type Node struct {
	Name, Op, Domain, Doc string // Domain "" is the standard operators
	Overload              string // chooses among functions of one name; usually empty
	Inputs, Outputs       []string
	Attrs                 []*Attr
	Metadata              []KeyValue

	rest []byte
}

// String names the node for messages: its operator and, where it has one, its
// name, else its first output.
func (n *Node) String() string {
	op := n.Op
	if op == "" {
		op = "node without an operator"
	}
	if d := CanonicalDomain(n.Domain); d != "" {
		op = d + "." + op
	}
	if n.Name != "" {
		return fmt.Sprintf("%s %q", op, n.Name)
	}
	for _, o := range n.Outputs {
		if o != "" {
			return fmt.Sprintf("%s making %q", op, o)
		}
	}
	return op
}

// Value declares a name and what is known of its type.
type Value struct {
	Name  string
	Doc   string
	Type  DataType // Undefined when the value is no dense tensor or the file gives no type
	Shape []Dim    // axes, when HasShape
	// HasShape tells a scalar (true, no axes) from a tensor of unknown rank (false).
	HasShape bool
	// Other is true for a value that is no dense tensor: a sequence, map,
	// optional or sparse tensor. Its type is carried, not interpreted.
	Other    bool
	Metadata []KeyValue

	denotation string   // of the type
	bareTensor bool     // the type is a tensor's that says neither element type nor shape
	typeRest   []byte   // other kinds of type and unknown fields of the type
	tensorRest []byte   // unknown fields of the tensor type
	shapeRest  []byte   // unknown fields of the shape
	dimRest    [][]byte // unknown fields of each axis, while the rank stays the same
	rest       []byte
}

// Dim is the length of one axis. It has three states: fixed (Param empty,
// Value not negative), symbolic (Param not empty; Value is ignored) and
// unknown (Param empty, Value negative).
type Dim struct {
	Value      int64
	Param      string
	Denotation string // standard meaning such as "DATA_BATCH"; usually empty
}

// Fixed is an axis of exactly n.
func Fixed(n int64) Dim { return Dim{Value: n} }

// Symbol is an axis whose length is known at run time and equal wherever the
// same name is used.
func Symbol(name string) Dim { return Dim{Value: -1, Param: name} }

// Unknown is an axis of which nothing is known.
func Unknown() Dim { return Dim{Value: -1} }

// Fixed reports the length of a fixed axis.
func (d Dim) Fixed() (int64, bool) { return d.Value, d.Param == "" && d.Value >= 0 }

// String returns the axis as "8", "batch" or "?".
func (d Dim) String() string {
	switch n, fixed := d.Fixed(); {
	case fixed:
		return strconv.FormatInt(n, 10)
	case d.Param != "":
		return d.Param
	}
	return "?"
}

// Opset returns the version of the default operator domain, or 0 when the
// model does not import it.
func (m *Model) Opset() int64 { return OpsetVersion(m.Opsets, "") }

// CanonicalDomain makes the two names of the default operator domain, "" and
// "ai.onnx", one: "". Other domains stay as they are.
func CanonicalDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// OpsetVersion is that of a domain among the operator sets that a model or a
// function imports, 0 where it is not among them.
func OpsetVersion(sets []Opset, domain string) int64 {
	for _, o := range sets {
		if CanonicalDomain(o.Domain) == CanonicalDomain(domain) {
			return o.Version
		}
	}
	return 0
}

// Meta returns the metadata entry of the given key.
func (m *Model) Meta(key string) (string, bool) {
	for _, kv := range m.Metadata {
		if kv.Key == key {
			return kv.Value, true
		}
	}
	return "", false
}

// SetMeta sets the metadata entry of the given key, keeping the place of one
// that exists.
func (m *Model) SetMeta(key, value string) {
	for i := range m.Metadata {
		if m.Metadata[i].Key == key {
			m.Metadata[i].Value = value
			return
		}
	}
	m.Metadata = append(m.Metadata, KeyValue{key, value})
}

// Clone returns a model that shares no changeable memory with m, save the
// contents of Tensor.Data and Tensor.Strings, which are treated as constants:
// give a tensor new Data instead of writing into the old.
func (m *Model) Clone() *Model {
	if m == nil {
		return nil
	}
	c := *m
	c.Opsets = slices.Clone(m.Opsets)
	c.Metadata = slices.Clone(m.Metadata)
	c.Graph = m.Graph.Clone()
	c.Functions = cloneAll(m.Functions, (*Function).clone)
	return &c
}

// Clone returns a copy of g as Model.Clone does.
func (g *Graph) Clone() *Graph {
	if g == nil {
		return nil
	}
	c := *g
	c.Nodes = cloneAll(g.Nodes, (*Node).Clone)
	c.Inputs = cloneAll(g.Inputs, (*Value).Clone)
	c.Outputs = cloneAll(g.Outputs, (*Value).Clone)
	c.Values = cloneAll(g.Values, (*Value).Clone)
	c.Initializers = cloneAll(g.Initializers, (*Tensor).Clone)
	c.Sparse = cloneAll(g.Sparse, (*SparseTensor).clone)
	c.Metadata = slices.Clone(g.Metadata)
	return &c
}

// Clone returns a copy of n as Model.Clone does.
func (n *Node) Clone() *Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Inputs = slices.Clone(n.Inputs)
	c.Outputs = slices.Clone(n.Outputs)
	c.Attrs = cloneAll(n.Attrs, (*Attr).clone)
	c.Metadata = slices.Clone(n.Metadata)
	return &c
}

// Clone returns a copy of v.
func (v *Value) Clone() *Value {
	if v == nil {
		return nil
	}
	c := *v
	c.Shape = slices.Clone(v.Shape)
	c.Metadata = slices.Clone(v.Metadata)
	return &c
}

func (f *Function) clone() *Function {
	if f == nil {
		return nil
	}
	c := *f
	c.Inputs = slices.Clone(f.Inputs)
	c.Outputs = slices.Clone(f.Outputs)
	c.AttrNames = slices.Clone(f.AttrNames)
	c.Attrs = cloneAll(f.Attrs, (*Attr).clone)
	c.Nodes = cloneAll(f.Nodes, (*Node).Clone)
	c.Opsets = slices.Clone(f.Opsets)
	c.Values = cloneAll(f.Values, (*Value).Clone)
	c.Metadata = slices.Clone(f.Metadata)
	return &c
}

func cloneAll[T any](in []*T, clone func(*T) *T) []*T {
	if in == nil {
		return nil
	}
	out := make([]*T, len(in))
	for i, x := range in {
		out[i] = clone(x)
	}
	return out
}
