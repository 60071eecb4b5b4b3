package importer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
)

// Bounds on what a file may ask for. onnx-go takes time with the product of
// these numbers, so a small file could keep it busy for hours.
const (
	maxEnds  = 1 << 10 // inputs, and outputs, of the graph
	maxEdges = 1 << 20 // operands times results of one node
)

// normal is a model in which all that is left are calls on dense tensors, with
// its constants beside it.
type normal struct {
	opset     int64
	model     *onnx.Model // inputs, outputs and nodes; no constants, no functions
	constants map[string]*onnx.Tensor
	order     []string // names of constants, in the file's order
	notes     []string
}

// normalise brings a checked model into normal form. m is not changed.
func normalise(m *onnx.Model) (*normal, error) {
	n := &normal{opset: m.Opset(), model: m.Clone(), constants: make(map[string]*onnx.Tensor)}
	if len(m.Opsets) == 0 {
		n.opset = 1 // what IR versions 1 and 2 mean; onnx.Check lets no other do without
	}
	g := n.model.Graph
	g.Values = nil // declarations of values between; onnx-go would allocate a tensor for each
	if err := n.ends(); err != nil {
		return nil, err
	}
	left := n.model.Strip() // counted; rewrite does it too, so that no call is inlined for nothing
	if err := n.functions(); err != nil {
		return nil, err
	}
	left += n.model.Strip()
	if left > 0 {
		n.note("left out, since no output needs them: %d nodes and constants", left)
	}
	n.domains()
	for _, step := range []func() error{n.initializers, n.constantNodes, n.nodes} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	n.floats()
	return n, nil
}

func (n *normal) note(format string, args ...any) {
	n.notes = append(n.notes, fmt.Sprintf(format, args...))
}

// ends checks the graph's inputs and outputs.
func (n *normal) ends() error {
	g := n.model.Graph
	if len(g.Outputs) == 0 {
		return fmt.Errorf("importer: graph %q has no outputs: there is nothing to import", g.Name)
	}
	for _, l := range []struct {
		what   string
		values []*onnx.Value
	}{{"input", g.DataInputs()}, {"output", g.Outputs}} {
		if len(l.values) > maxEnds {
			return fmt.Errorf("importer: graph %q: %w", g.Name, unsupported("it has %d %ss; at most %d can be imported", len(l.values), l.what, maxEnds))
		}
		for _, v := range l.values {
			if v.Other {
				return fmt.Errorf("importer: %s %q: %w", l.what, v.Name,
					unsupported("it is no dense tensor but a sequence, map, optional or sparse tensor, which cannot be imported"))
			}
		}
	}
	return nil
}

// functions replaces calls of the model's own functions by their nodes.
func (n *normal) functions() error {
	calls, err := rewrite.InlineFunctions(n.model)
	if at, ok := errors.AsType[*rewrite.NodeError](err); ok {
		return callError(at.Node, at.Opset, at.Err)
	}
	if err != nil {
		return err
	}
	n.model.Functions = nil
	if calls > 0 {
		n.note("calls of the model's own functions, replaced by the functions' nodes: %d", calls)
	}
	return nil
}

// domains makes the two names of the default domain one.
func (n *normal) domains() {
	for _, node := range n.model.Graph.Nodes {
		node.Domain = onnx.CanonicalDomain(node.Domain)
	}
}

// constant takes a tensor out of the graph.
func (n *normal) constant(name string, t *onnx.Tensor) error {
	if t.External != nil && t.Data == nil {
		return fmt.Errorf("importer: constant %q lies in the external file %q, which was not read; open the model with ReadFile", name, t.External.Location)
	}
	if t.Name != name || t.External != nil {
		t = t.Clone()
		t.Name, t.External = name, nil
	}
	n.constants[name] = t
	n.order = append(n.order, name)
	return nil
}

// initializers takes the constants out of the graph, and those of its inputs
// that have one: nobody is there to feed another value.
func (n *normal) initializers() error {
	g := n.model.Graph
	for _, s := range g.Sparse {
		return fmt.Errorf("importer: initializer %q: %w", s.Values.Name, unsupported("it is a sparse tensor, which cannot be imported; store it as a dense one"))
	}
	for _, t := range g.Initializers {
		if err := n.constant(t.Name, t); err != nil {
			return err
		}
	}
	const sinceDefaults = 4 // the IR version from which on a weight need not be listed as input
	var defaults []string
	for _, v := range g.Inputs {
		if n.constants[v.Name] != nil && n.model.IRVersion >= sinceDefaults {
			defaults = append(defaults, v.Name)
		}
	}
	switch len(defaults) {
	case 0:
	case 1:
		n.note("input %q has a default value and becomes that constant", defaults[0])
	default:
		n.note("%d inputs, %q to %q, have default values and become those constants", len(defaults), defaults[0], defaults[len(defaults)-1])
	}
	g.Inputs, g.Initializers = g.DataInputs(), nil
	return nil
}

// constantNodes takes Constant nodes out of the graph.
func (n *normal) constantNodes() error {
	g := n.model.Graph
	var kept []*onnx.Node
	for _, node := range g.Nodes {
		if node.Op != "Constant" || node.Domain != "" {
			kept = append(kept, node)
			continue
		}
		t, err := constantValue(node)
		if err == nil && len(node.Outputs) != 1 {
			err = fmt.Errorf("it has %d outputs, and must have one", len(node.Outputs))
		}
		if err != nil {
			return callError(node, n.opset, err)
		}
		if err := n.constant(node.Outputs[0], t); err != nil {
			return err
		}
	}
	g.Nodes = kept
	return nil
}

// constantValue is the tensor a Constant node holds, in whichever of its forms.
func constantValue(node *onnx.Node) (*onnx.Tensor, error) {
	for _, a := range node.Attrs {
		switch {
		case a.Name == "value" && a.Type == onnx.AttrTypeTensor:
			return a.Tensor, nil
		case a.Name == "value_float" && a.Type == onnx.AttrTypeFloat:
			return onnx.Float32s("", nil, []float32{a.Float}), nil
		case a.Name == "value_floats" && a.Type == onnx.AttrTypeFloats:
			return onnx.Float32s("", []int64{int64(len(a.Floats))}, a.Floats), nil
		case a.Name == "value_int" && a.Type == onnx.AttrTypeInt:
			return onnx.Int64s("", nil, []int64{a.Int}), nil
		case a.Name == "value_ints" && a.Type == onnx.AttrTypeInts:
			return onnx.Int64s("", []int64{int64(len(a.Ints))}, a.Ints), nil
		case a.Name == "value_string" && a.Type == onnx.AttrTypeString:
			return stringTensor(nil, a.Str), nil
		case a.Name == "value_strings" && a.Type == onnx.AttrTypeStrings:
			return stringTensor([]int64{int64(len(a.Strs))}, a.Strs...), nil
		case a.Name == "sparse_value":
			return nil, unsupported("it holds a sparse tensor, which cannot be imported; store it as a dense one")
		}
	}
	return nil, fmt.Errorf("it holds no value; it must have one of the attributes %v",
		[]string{"value", "value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings"})
}

func stringTensor(dims []int64, elements ...string) *onnx.Tensor {
	t := &onnx.Tensor{Type: onnx.String, Dims: dims}
	for _, s := range elements {
		t.Strings = append(t.Strings, []byte(s))
	}
	return t
}

// nodes refuses what no call can hold, and forgets operands left out at the end.
func (n *normal) nodes() error {
	for _, node := range n.model.Graph.Nodes {
		for _, a := range node.Attrs {
			var what string
			switch a.Type {
			case onnx.AttrTypeGraph, onnx.AttrTypeGraphs:
				what = "a subgraph"
			case onnx.AttrTypeTensors:
				what = "a list of tensors"
			case onnx.AttrTypeSparseTensor, onnx.AttrTypeSparseTensors:
				what = "a sparse tensor"
			case onnx.AttrTypeTypeProto, onnx.AttrTypeTypeProtos:
				what = "a type"
			default:
				continue
			}
			return callError(node, n.opset, unsupported("its attribute %q is %s, which cannot be imported", a.Name, what))
		}
		for len(node.Inputs) > 0 && node.Inputs[len(node.Inputs)-1] == "" {
			node.Inputs = node.Inputs[:len(node.Inputs)-1]
		}
		if len(node.Inputs)*len(node.Outputs) > maxEdges {
			return callError(node, n.opset, unsupported("it has %d operands and %d results; at most %d pairs can be imported",
				len(node.Inputs), len(node.Outputs), maxEdges))
		}
	}
	return nil
}

// narrow lists the types of real numbers that are read as float32.
var narrow = []onnx.DataType{onnx.Float16, onnx.BFloat16, onnx.Float64}

// floats makes all real numbers float32: constants, tensors in attributes,
// declarations, and the types that operators are told to make.
func (n *normal) floats() {
	count := make(map[onnx.DataType]int)
	made := make(map[*byte][]byte) // widened, by the data it was made of, which functions may repeat
	wide := func(t *onnx.Tensor) *onnx.Tensor {
		if !slices.Contains(narrow, t.Type) {
			return t
		}
		count[t.Type]++
		w := t.Clone()
		w.Type = onnx.Float32
		if len(t.Data) > 0 {
			if made[&t.Data[0]] == nil {
				made[&t.Data[0]] = widen(t)
			}
			w.Data = made[&t.Data[0]]
		}
		return w
	}
	for _, name := range n.order {
		n.constants[name] = wide(n.constants[name])
	}
	g := n.model.Graph
	for _, node := range g.Nodes {
		for _, a := range node.Attrs {
			if a.Type == onnx.AttrTypeTensor {
				a.Tensor = wide(a.Tensor)
			}
		}
	}
	for _, t := range narrow {
		if count[t] > 0 {
			n.note("constants of %v read as float32: %d", t, count[t])
		}
	}
	for _, l := range []struct {
		what   string
		values []*onnx.Value
	}{{"input", g.Inputs}, {"output", g.Outputs}} {
		for _, v := range l.values {
			if slices.Contains(narrow, v.Type) {
				n.note("%s %q, declared %v, is float32", l.what, v.Name, v.Type)
				v.Type = onnx.Float32
			}
		}
	}
	for _, node := range g.Nodes {
		if node.Domain != "" {
			continue
		}
		for _, a := range node.Attrs {
			// "to" is Cast's, "dtype" that of EyeLike and the random operators.
			if t := onnx.DataType(a.Int); a.Type == onnx.AttrTypeInt && (a.Name == "to" || a.Name == "dtype") && slices.Contains(narrow, t) {
				n.note("%v makes float32 in place of %v", node, t)
				a.Int = int64(onnx.Float32)
			}
		}
	}
}
