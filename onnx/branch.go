package onnx

import "slices"

// TakeBranches puts in place of each If whose condition is known before the model
// runs the nodes of the branch that it takes, and in place of those inside it
// too. Exporters write such conditions on shapes. sizes are the shapes of inputs
// where more is known of them than the model declares; nil is as declared. It
// returns how many were taken; others stay.
func (m *Model) TakeBranches(sizes map[string][]Dim) int {
	b := &brancher{x: newInferrer(m), g: m.Graph, names: m.Graph.Namer()}
	for name, s := range sizes {
		k := b.x.known[name]
		b.x.set(name, known{typ: k.typ, ranked: true, shape: s})
	}
	nodes := m.Graph.Nodes
	m.Graph.Nodes = nil
	for _, n := range nodes {
		b.add(n)
	}
	return b.taken
}

// brancher goes through a graph and infers its values on the way.
type brancher struct {
	x     *inferrer
	g     *Graph
	names *Namer
	taken int
}

// add appends a node to the graph, or the branch that it stands for.
func (b *brancher) add(n *Node) {
	branch := b.branch(n)
	if branch == nil {
		b.x.node(n)
		b.g.Nodes = append(b.g.Nodes, n)
		return
	}
	b.taken++
	renamed := map[string]string{}
	for i, o := range branch.Outputs {
		if produces(branch, o.Name) && renamed[o.Name] == "" {
			renamed[o.Name] = n.Outputs[i]
		}
	}
	for _, t := range branch.Initializers {
		c := t.Clone()
		c.Name = b.names.Fresh(t.Name)
		renamed[t.Name] = c.Name
		b.g.Initializers = append(b.g.Initializers, c)
		b.x.set(c.Name, constant(c))
	}
	for _, inner := range branch.Nodes {
		for _, o := range inner.Outputs {
			if o != "" && renamed[o] == "" {
				renamed[o] = b.names.Fresh(o)
			}
		}
	}
	inside := &Graph{Nodes: branch.Nodes}
	inside = inside.Clone()
	inside.rename(renamed)
	for _, inner := range inside.Nodes {
		b.add(inner)
	}
	for i, o := range branch.Outputs { // of a value outside, or given twice
		from := o.Name
		if to, ok := renamed[from]; ok {
			from = to
		}
		if from != n.Outputs[i] {
			b.add(&Node{Name: n.Outputs[i], Op: "Identity", Inputs: []string{from}, Outputs: []string{n.Outputs[i]}})
		}
	}
}

// produces reports whether a node of the graph makes a value.
func produces(g *Graph, v string) bool {
	return slices.ContainsFunc(g.Nodes, func(n *Node) bool { return slices.Contains(n.Outputs, v) })
}

// branch returns the graph that a node stands for, nil where it is no If, or not
// known which it takes.
func (b *brancher) branch(n *Node) *Graph {
	if n.Op != "If" || CanonicalDomain(n.Domain) != "" || len(n.Inputs) != 1 {
		return nil
	}
	k := b.x.known[n.Inputs[0]]
	if !k.told || len(k.elems) != 1 || k.elems[0].Param != "" {
		return nil
	}
	which := "else_branch"
	if k.elems[0].Value != 0 {
		which = "then_branch"
	}
	a := n.Attr(which)
	if a == nil || a.Graph == nil || len(a.Graph.Outputs) != len(n.Outputs) || len(a.Graph.Inputs) > 0 || len(a.Graph.Sparse) > 0 || slices.Contains(n.Outputs, "") {
		return nil
	}
	return a.Graph
}

// compared is the truth values of two lists, one of which may be a single number,
// where both are known.
func compared(op string, a, b []Dim) ([]Dim, bool) {
	n := max(len(a), len(b))
	if len(a) != n && len(a) != 1 || len(b) != n && len(b) != 1 {
		return nil, false
	}
	var out []Dim
	for i := range n {
		x, y := a[min(i, len(a)-1)], b[min(i, len(b)-1)]
		if x.Param != "" || y.Param != "" {
			return nil, false
		}
		var is bool
		switch op {
		case "Equal":
			is = x.Value == y.Value
		case "Greater":
			is = x.Value > y.Value
		case "Less":
			is = x.Value < y.Value
		case "GreaterOrEqual":
			is = x.Value >= y.Value
		case "LessOrEqual":
			is = x.Value <= y.Value
		case "And":
			is = x.Value != 0 && y.Value != 0
		case "Or":
			is = x.Value != 0 || y.Value != 0
		default:
			return nil, false
		}
		d := Dim{}
		if is {
			d.Value = 1
		}
		out = append(out, d)
	}
	return out, true
}
