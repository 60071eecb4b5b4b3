package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Bounds on what calls of functions may grow into. A function that calls one
// twice that calls one twice ... would double a file with every line.
const (
	maxGrowth = 4       // times the bytes the nodes of the file take in memory ...
	minGrowth = 4 << 20 // ... beside this many, which some 10,000 nodes take
	maxCalls  = 64      // functions inside each other

	longestPrefix = 100 // bytes of a call's name that names in its body begin with

	// parsed is how much of a small tensor's data weighs more than once, and how
	// often: what decodes attributes copies them.
	parsed, parsedTimes = 1 << 10, 8
)

// functionID is what a node names a function by.
type functionID struct{ domain, name, overload string }

// inliner replaces calls of model-local functions by their bodies.
type inliner struct {
	opsets    []onnx.Opset // of the result
	functions map[functionID]*onnx.Function
	taken     map[string]int // names of values, to how often they were asked for
	named     map[string]int // of nodes, alike: ONNX Runtime wants each once
	left      int            // bytes the nodes may still take
	nodes     []*onnx.Node   // of the result
	calls     int
}

// InlineFunctions replaces the calls of model-local functions in the main graph
// by the functions' nodes, and returns how many calls that were. Values inside
// a call of node f are named f/value. What no output needs is left out before,
// so that no call is replaced for nothing; functions that nothing calls go too.
//
// What grows beyond a few times the size of the file is refused, as are
// functions with subgraphs and those written for another opset than the model:
// these errors match ErrUnsupported. Every error about a call is a *NodeError.
// On error m is unchanged.
func InlineFunctions(m *onnx.Model) (calls int, err error) {
	if m.Graph == nil || len(m.Functions) == 0 {
		return 0, nil
	}
	c := m.Clone()
	c.Strip()
	x := newInliner(c)
	for _, node := range c.Graph.Nodes {
		if err := x.add(node, 0); err != nil {
			return 0, err
		}
	}
	c.Graph.Nodes, c.Functions, c.Opsets = x.nodes, nil, x.opsets
	*m = *c
	return x.calls, nil
}

func newInliner(m *onnx.Model) *inliner {
	x := &inliner{
		opsets: m.Opsets, functions: make(map[functionID]*onnx.Function),
		taken: make(map[string]int), named: make(map[string]int), left: minGrowth,
	}
	for _, f := range m.Functions {
		x.functions[functionID{onnx.CanonicalDomain(f.Domain), f.Name, f.Overload}] = f
		for _, node := range f.Nodes {
			x.left += maxGrowth * weight(node)
		}
	}
	for _, v := range slices.Concat(m.Graph.Inputs, m.Graph.Outputs) {
		x.taken[v.Name] = 1
	}
	for _, t := range m.Graph.Initializers {
		x.taken[t.Name] = 1
	}
	for _, t := range m.Graph.Sparse {
		x.taken[t.Values.Name] = 1
	}
	for _, node := range m.Graph.Nodes {
		x.left += maxGrowth * weight(node)
		x.named[node.Name] = 1
		for _, name := range slices.Concat(node.Inputs, node.Outputs) {
			x.taken[name] = 1
		}
	}
	return x
}

// weight is about the number of bytes a copy of a node takes.
func weight(n *onnx.Node) int {
	w := 256 + 64*(len(n.Inputs)+len(n.Outputs))
	for _, o := range n.Outputs {
		w += 4 * len(o)
	}
	for _, a := range n.Attrs {
		w += weightOf(a)
	}
	return w
}

// weightOf is about the number of bytes a copy of an attribute takes, with what
// decoding makes of it. The data of large tensors is shared.
func weightOf(a *onnx.Attr) int {
	w := 320 + len(a.Str) + 8*len(a.Ints) + 4*len(a.Floats)
	for _, s := range a.Strs {
		w += 48 + len(s)
	}
	if t := a.Tensor; t != nil {
		w += 256 + 8*len(t.Dims) + 24*len(t.Strings) + parsedTimes*min(len(t.Data), parsed)
	}
	return w
}

// add appends a node of the result, or what it stands for.
func (x *inliner) add(node *onnx.Node, depth int) error {
	f := x.functions[functionID{onnx.CanonicalDomain(node.Domain), node.Op, node.Overload}]
	if f == nil {
		x.nodes = append(x.nodes, node)
		return nil
	}
	err := x.expand(node, f, depth)
	if _, named := errors.AsType[*NodeError](err); err == nil || named {
		return err
	}
	return &NodeError{Node: node, Opset: onnx.OpsetVersion(x.opsets, ""), Err: err}
}

// expand appends the body of the function a node calls.
func (x *inliner) expand(call *onnx.Node, f *onnx.Function, depth int) error {
	if depth == maxCalls {
		return unsupported("functions call each other more than %d deep", maxCalls)
	}
	if err := x.imports(f); err != nil {
		return err
	}
	if len(call.Inputs) > len(f.Inputs) || len(call.Outputs) > len(f.Outputs) {
		return fmt.Errorf("it has %d inputs and %d outputs; the function takes %d and gives %d",
			len(call.Inputs), len(call.Outputs), len(f.Inputs), len(f.Outputs))
	}
	x.calls++
	prefix := call.Name
	if prefix == "" || len(prefix) > longestPrefix { // prefixes of prefixes ... must not grow without end
		prefix = fmt.Sprintf("%s_%d", f.Name, x.calls)
	}
	names := map[string]string{"": ""} // in the function to names in the graph
	for i, formal := range f.Inputs {
		names[formal] = ""
		if i < len(call.Inputs) {
			names[formal] = call.Inputs[i]
		}
	}
	var copies []*onnx.Node
	for i, formal := range f.Outputs[:len(call.Outputs)] {
		actual := call.Outputs[i]
		if actual == "" {
			continue
		}
		in, passed := names[formal]
		if !passed {
			names[formal] = actual
			continue
		}
		if in == "" {
			return fmt.Errorf("the function's output %q is its input, which the call leaves out", formal)
		}
		copies = append(copies, &onnx.Node{Name: fresh(x.named, prefix+"/"+formal), Op: "Identity", Inputs: []string{in}, Outputs: []string{actual}})
	}
	values := make(map[string]*onnx.Attr) // of the function's attributes
	for _, a := range slices.Concat(f.Attrs, call.Attrs) {
		values[a.Name] = a
	}
	for _, node := range f.Nodes {
		if x.left -= weight(node); x.left < 0 {
			return unsupported("its functions call each other so often that the graph would take %d times its size", maxGrowth)
		}
		c, err := x.instance(node, values)
		if err != nil {
			return err
		}
		c.Name = fresh(x.named, prefix+"/"+cmp.Or(node.Name, node.Op))
		for i, name := range c.Inputs {
			c.Inputs[i] = names[name]
		}
		for i, name := range c.Outputs {
			actual, known := names[name]
			if !known {
				actual = fresh(x.taken, prefix+"/"+name)
				names[name] = actual
			}
			c.Outputs[i] = actual
		}
		if err := x.add(c, depth+1); err != nil {
			return err
		}
	}
	x.nodes = append(x.nodes, copies...)
	return nil
}

// imports adds to the model's operator sets those of a function.
func (x *inliner) imports(f *onnx.Function) error {
	for _, o := range f.Opsets {
		switch have := onnx.OpsetVersion(x.opsets, o.Domain); {
		case have == o.Version:
		case onnx.CanonicalDomain(o.Domain) == "":
			return unsupported("it calls a function of opset %d from a model of opset %d; both must have the same opset", o.Version, have)
		case have != 0:
			return unsupported("it calls a function of opset %d of %q from a model of opset %d of it; both must have the same opset", o.Version, o.Domain, have)
		default:
			x.opsets = append(slices.Clone(x.opsets), o)
		}
	}
	return nil
}

// instance is a copy of a function's node, with the values of the function's
// attributes in place of references to them.
func (x *inliner) instance(node *onnx.Node, values map[string]*onnx.Attr) (*onnx.Node, error) {
	for _, a := range node.Attrs {
		if a.Graph != nil || len(a.Graphs) > 0 {
			return nil, unsupported("its function has a subgraph, in %v", node)
		}
	}
	c := node.Clone()
	attrs := c.Attrs[:0]
	for _, a := range c.Attrs {
		if a.Ref == "" {
			attrs = append(attrs, a)
			continue
		}
		v := values[a.Ref]
		if v == nil {
			continue // left out by the call, without a default: left out here
		}
		if v.Type != a.Type {
			return nil, fmt.Errorf("its attribute %q is of type %v; %v in the function takes %v", a.Ref, v.Type, node, a.Type)
		}
		if x.left -= weightOf(v); x.left < 0 {
			return nil, unsupported("its attribute %q is used so often that the graph would take %d times its size", a.Ref, maxGrowth)
		}
		named := *v // shares the value, which nobody changes
		named.Name = a.Name
		attrs = append(attrs, &named)
	}
	c.Attrs = attrs
	return c, nil
}

// fresh returns a name that is not taken, made from hint, and takes it.
func fresh(taken map[string]int, hint string) string {
	name := hint
	for taken[name] > 0 {
		taken[hint]++
		name = fmt.Sprintf("%s_%d", hint, taken[hint])
	}
	taken[name] = 1
	return name
}
