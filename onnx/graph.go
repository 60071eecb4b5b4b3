package onnx

import (
	"strconv"
)

// Producer returns the node that makes the named value, or nil when it is a
// graph input, an initializer or unknown. It looks at every node: for many
// questions make an Index.
func (g *Graph) Producer(value string) *Node {
	if value == "" {
		return nil
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o == value {
				return n
			}
		}
	}
	return nil
}

// Consumers returns the nodes that use the named value, in graph order, each
// once. A node uses what its subgraphs use. Being a graph output is no use by
// a node.
func (g *Graph) Consumers(value string) []*Node {
	if value == "" {
		return nil
	}
	var out []*Node
	for _, n := range g.Nodes {
		uses(n, func(name string) {
			if name == value && (len(out) == 0 || out[len(out)-1] != n) {
				out = append(out, n)
			}
		})
	}
	return out
}

// Initializer returns the constant tensor of the given name, or nil.
func (g *Graph) Initializer(name string) *Tensor {
	for _, t := range g.Initializers {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Constant returns the tensor behind a value that is an initializer or the
// output of a Constant node, or nil when the value is computed. An initializer
// that is also a graph input counts, though a caller of the model may replace it.
func (g *Graph) Constant(name string) *Tensor {
	if t := g.Initializer(name); t != nil {
		return t
	}
	return constantOf(g.Producer(name))
}

// constantOf returns the tensor of a Constant node, whichever attribute holds
// it, or nil.
func constantOf(n *Node) *Tensor {
	if n == nil || n.Op != "Constant" || CanonicalDomain(n.Domain) != "" || len(n.Outputs) != 1 {
		return nil
	}
	for _, a := range n.Attrs {
		switch {
		case a.Name == "value" && a.Type == AttrTypeTensor:
			return a.Tensor
		case a.Name == "value_int" && a.Type == AttrTypeInt:
			return Int64s("", nil, []int64{a.Int})
		case a.Name == "value_ints" && a.Type == AttrTypeInts:
			return Int64s("", []int64{int64(len(a.Ints))}, a.Ints)
		case a.Name == "value_float" && a.Type == AttrTypeFloat:
			return Float32s("", nil, []float32{a.Float})
		case a.Name == "value_floats" && a.Type == AttrTypeFloats:
			return Float32s("", []int64{int64(len(a.Floats))}, a.Floats)
		}
	}
	return nil
}

// Value returns what the graph declares about a name: an input, an output or
// the type of a value between, in that order of preference; nil when it
// declares nothing.
func (g *Graph) Value(name string) *Value {
	for _, list := range [][]*Value{g.Inputs, g.Outputs, g.Values} {
		for _, v := range list {
			if v.Name == name {
				return v
			}
		}
	}
	return nil
}

// DataInputs returns the inputs a caller must feed: those without an
// initializer.
func (g *Graph) DataInputs() []*Value {
	constant := make(map[string]bool, len(g.Initializers))
	for _, t := range g.Initializers {
		constant[t.Name] = true
	}
	for _, t := range g.Sparse {
		if t.Values != nil {
			constant[t.Values.Name] = true
		}
	}
	var out []*Value
	for _, v := range g.Inputs {
		if !constant[v.Name] {
			out = append(out, v)
		}
	}
	return out
}

// uses calls visit for every value a node reads from its own graph or those
// around it: its operands, and what its subgraphs take from outside
// themselves. A name may be visited more than once.
func uses(n *Node, visit func(string)) {
	for _, in := range n.Inputs {
		if in != "" {
			visit(in)
		}
	}
	for _, a := range n.Attrs {
		for _, g := range a.graphs() {
			captures(g, visit)
		}
	}
}

// captures calls visit for every value g reads that it does not itself define.
func captures(g *Graph, visit func(string)) {
	if g == nil {
		return
	}
	own := make(map[string]bool)
	g.defines(func(name string) { own[name] = true })
	outer := func(name string) {
		if !own[name] {
			visit(name)
		}
	}
	for _, n := range g.Nodes {
		uses(n, outer)
	}
	for _, o := range g.Outputs {
		outer(o.Name)
	}
}

// defines calls visit for every value the graph itself makes: inputs,
// initializers and node outputs.
func (g *Graph) defines(visit func(string)) {
	for _, v := range g.Inputs {
		visit(v.Name)
	}
	for _, t := range g.Initializers {
		visit(t.Name)
	}
	for _, t := range g.Sparse {
		if t.Values != nil {
			visit(t.Values.Name)
		}
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				visit(o)
			}
		}
	}
}

// valueNames calls visit for every name of a value in the graph and its
// subgraphs.
func (g *Graph) valueNames(visit func(string)) {
	g.defines(visit)
	for _, list := range [][]*Value{g.Outputs, g.Values} {
		for _, v := range list {
			visit(v.Name)
		}
	}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			visit(in)
		}
		for _, a := range n.Attrs {
			for _, s := range a.graphs() {
				s.valueNames(visit)
			}
		}
	}
}

// names calls visit for every name in the graph and its subgraphs, of values
// and of nodes alike.
func (g *Graph) names(visit func(string)) {
	g.valueNames(visit)
	g.nodeNames(visit)
}

func (g *Graph) nodeNames(visit func(string)) {
	for _, n := range g.Nodes {
		visit(n.Name)
		for _, a := range n.Attrs {
			for _, s := range a.graphs() {
				s.nodeNames(visit)
			}
		}
	}
}

// FreshName returns a name no value and no node of the graph or its subgraphs
// has: hint itself when it is free, else hint_2, hint_3 ... An empty hint is
// read as "value". The name is free until something takes it, so add what it
// is for before asking again.
func (g *Graph) FreshName(hint string) string {
	taken := make(map[string]bool)
	g.names(func(name string) { taken[name] = true })
	return fresh(taken, hint)
}

// Namer gives out names as FreshName does, any number of them after going
// through the graph once. It knows the names that the graph had when it was made
// and those it gave.
type Namer struct{ taken names }

// Namer makes the graph's namer.
func (g *Graph) Namer() *Namer {
	n := &Namer{make(names, 2*len(g.Nodes))}
	g.names(func(name string) { n.taken[name] = 1 })
	return n
}

// Fresh returns a name as FreshName does and takes it.
func (n *Namer) Fresh(hint string) string { return n.taken.fresh(hint) }

// names are those taken, each with the number that was tried last to make another
// of it: a name asked for again and again is not counted from the start.
type names map[string]int

// fresh takes a name that none has, made from hint as the function fresh does.
func (t names) fresh(hint string) string {
	if hint == "" {
		hint = "value"
	}
	name := hint
	for i := max(t[hint], 1) + 1; t[name] > 0; i++ {
		name = hint + "_" + strconv.Itoa(i)
		t[hint] = i
	}
	t[name] = 1
	return name
}

func fresh(taken map[string]bool, hint string) string {
	if hint == "" {
		hint = "value"
	}
	name := hint
	for i := 2; taken[name]; i++ {
		name = hint + "_" + strconv.Itoa(i)
	}
	return name
}

// Index answers questions about one state of a graph in constant time. It is
// a snapshot: changes to the graph after NewIndex are not seen.
type Index struct {
	producer    map[string]*Node
	consumers   map[string][]*Node
	initializer map[string]*Tensor
	value       map[string]*Value
	output      map[string]bool
}

// Index makes the graph's index.
func (g *Graph) Index() *Index {
	x := &Index{
		producer:    make(map[string]*Node, len(g.Nodes)),
		consumers:   make(map[string][]*Node, len(g.Nodes)),
		initializer: make(map[string]*Tensor, len(g.Initializers)),
		value:       make(map[string]*Value),
		output:      make(map[string]bool, len(g.Outputs)),
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" && x.producer[o] == nil {
				x.producer[o] = n
			}
		}
		uses(n, func(name string) {
			if c := x.consumers[name]; len(c) == 0 || c[len(c)-1] != n {
				x.consumers[name] = append(c, n)
			}
		})
	}
	for _, t := range g.Initializers {
		if x.initializer[t.Name] == nil {
			x.initializer[t.Name] = t
		}
	}
	for _, list := range [][]*Value{g.Inputs, g.Outputs, g.Values} {
		for _, v := range list {
			if x.value[v.Name] == nil {
				x.value[v.Name] = v
			}
		}
	}
	for _, v := range g.Outputs {
		x.output[v.Name] = true
	}
	return x
}

// Producer is Graph.Producer.
func (x *Index) Producer(value string) *Node { return x.producer[value] }

// Consumers is Graph.Consumers. The slice is the index's own.
func (x *Index) Consumers(value string) []*Node { return x.consumers[value] }

// Initializer is Graph.Initializer.
func (x *Index) Initializer(name string) *Tensor { return x.initializer[name] }

// Constant is Graph.Constant.
func (x *Index) Constant(name string) *Tensor {
	if t := x.initializer[name]; t != nil {
		return t
	}
	return constantOf(x.producer[name])
}

// Value is Graph.Value.
func (x *Index) Value(name string) *Value { return x.value[name] }

// Output reports whether the value is a graph output.
func (x *Index) Output(value string) bool { return x.output[value] }
