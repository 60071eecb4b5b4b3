package onnx

import "testing"

// branching is a model of x [n, 3, height, 1] with an If that squeezes the last
// axis where it is 1, and inside that one another that negates where the height
// is above 4.
func branching(t *testing.T) *Model {
	t.Helper()
	b := NewBuilder("net", 13)
	x := b.Input("x", Float32, Symbol("n"), Fixed(3), Symbol("height"), Fixed(1))
	at := func(i int64) string {
		return b.Node("Gather", []string{b.Node("Shape", []string{x}), b.Initializer("i", Int64s("", nil, []int64{i}))})
	}
	narrow := b.Node("Equal", []string{at(3), b.Initializer("one", Int64s("", nil, []int64{1}))})
	tall := b.Node("Greater", []string{at(2), b.Initializer("four", Int64s("", nil, []int64{4}))})
	graph := func(name, out string, nodes ...*Node) *Graph {
		return &Graph{Name: name, Nodes: nodes, Outputs: []*Value{{Name: out, Type: Float32}}}
	}
	inner := &Node{Name: "inner", Op: "If", Inputs: []string{tall}, Outputs: []string{"r"}, Attrs: []*Attr{
		{Name: "then_branch", Type: AttrTypeGraph, Graph: graph("tall", "s", &Node{Op: "Neg", Inputs: []string{"y"}, Outputs: []string{"s"}})},
		{Name: "else_branch", Type: AttrTypeGraph, Graph: graph("flat", "y")}, // a value of the graph around it
	}}
	squeeze := graph("narrow", "r", &Node{Op: "Squeeze", Inputs: []string{x, "axes"}, Outputs: []string{"y"}}, inner)
	squeeze.Initializers = []*Tensor{Int64s("axes", []int64{1}, []int64{3})}
	out := b.Node("If", []string{narrow},
		&Attr{Name: "then_branch", Type: AttrTypeGraph, Graph: squeeze},
		&Attr{Name: "else_branch", Type: AttrTypeGraph, Graph: graph("wide", "w", &Node{Op: "Identity", Inputs: []string{x}, Outputs: []string{"w"}})})
	b.Output(b.Node("Relu", []string{out}), "out", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBranchesOfKnownSizesAreTaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		height int64 // 0 leaves it open
		taken  int
		last   string // operator behind the Squeeze
	}{{"a tall image", 5, 2, "Neg"}, {"a flat image", 4, 2, "Identity"}, {"an image of open height", 0, 1, "If"}} {
		t.Run(c.name, func(t *testing.T) {
			m := branching(t)
			var sizes map[string][]Dim
			if c.height > 0 {
				sizes = map[string][]Dim{"x": {Symbol("n"), Fixed(3), Fixed(c.height), Fixed(1)}}
			}
			if got := m.TakeBranches(sizes); got != c.taken {
				t.Errorf("%d branches are taken, want %d", got, c.taken)
			}
			m.Strip()
			if err := Check(m); err != nil {
				t.Fatal(err)
			}
			var ops []string
			for _, n := range m.Graph.Nodes {
				ops = append(ops, n.Op)
			}
			if n := len(ops); n < 3 || ops[n-2] != c.last || ops[n-1] != "Relu" {
				t.Errorf("the nodes are %v, want %s and Relu at the end", ops, c.last)
			}
		})
	}
}
