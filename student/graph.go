package student

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
)

// Graph is a model unrolled for one batch size and one mode. Losses and
// derivatives are added to it; package student/vm runs it.
type Graph struct {
	// Expr is the graph that holds all nodes.
	Expr *gorgonia.ExprGraph

	// Image is the input [N, H, W, C], to be set before each run.
	Image *gorgonia.Node

	// Logits is [N, classes].
	Logits *gorgonia.Node

	// Taps are the architecture's attention points, from input to output.
	Taps []Tap

	// Params are the nodes of the trainable parameters, in the order of the
	// model's Params. Their values share the parameters' memory.
	Params gorgonia.Nodes

	// Updates are the running statistics a run in Train mode computes; empty
	// in Infer mode.
	Updates []Update

	name    string         // the architecture's
	outputs gorgonia.Nodes // what an export is of: the logits
	labels  map[*gorgonia.Node]string
	params  map[*gorgonia.Node]*Param
	layers  map[*gorgonia.Node]layer
}

// Update is a new value for a parameter that no gradient reaches.
type Update struct {
	Param *Param
	Node  *gorgonia.Node // [2, C]: the running mean and variance after the step
}

// Tap returns the tap called name. The error prints the names there are.
func (g *Graph) Tap(name string) (*gorgonia.Node, error) {
	names := make([]string, len(g.Taps))
	for i, t := range g.Taps {
		if t.Name == name {
			return t.Node, nil
		}
		names[i] = t.Name
	}
	return nil, fmt.Errorf("student: no tap %q; the taps are %v", name, names)
}

// Graph builds the model for batches of exactly batch images. It needs no
// memory for activations and shares the parameters'.
func (m *Model) Graph(batch int, mode Mode) (*Graph, error) {
	if batch < 1 {
		return nil, fmt.Errorf("student: batch of %d; a graph is for at least 1 image", batch)
	}
	if mode != Infer && mode != Train {
		return nil, fmt.Errorf("student: unknown mode %v; the modes are %v and %v", mode, Infer, Train)
	}
	return m.build(batch, mode, false)
}

// build runs the architecture. With create set it makes the parameters, else
// it wants the ones there are, all of them and in their order.
func (m *Model) build(batch int, mode Mode, create bool) (*Graph, error) {
	g := gorgonia.NewGraph()
	s := m.spec.Image
	image := gorgonia.NewTensor(g, m.dtype, 4, gorgonia.WithShape(batch, s.H, s.W, s.C), gorgonia.WithName("image"))
	b := newBuilder(m, g, mode, create)
	fail := func(err error) (*Graph, error) {
		return nil, fmt.Errorf("student: building %s for %d images of %v: %w", m.architecture.Name, batch, s, err)
	}
	out, err := b.run(m.architecture, image)
	if err != nil {
		return fail(err)
	}
	if create && m.spec.Classes == 0 && out.Logits.Dims() == 2 {
		m.spec.Classes = out.Logits.Shape()[1] // an imported model's are its file's
	}
	if got := out.Logits.Shape(); got.Dims() != 2 || got[0] != batch || got[1] != m.spec.Classes {
		return fail(fmt.Errorf("logits of shape %v; [%d, %d] was wanted", got, batch, m.spec.Classes))
	}
	if !slices.Equal(b.used, m.params) {
		return fail(fmt.Errorf("%d parameters used of %d, or in another order; %w", len(b.used), len(m.params), errRebuilt))
	}
	for i, t := range out.Taps {
		switch {
		case t.Node == nil || t.Node.Dims() != 4:
			return fail(fmt.Errorf("tap %q is not a feature map [N, H, W, C]", t.Name))
		case slices.ContainsFunc(out.Taps[:i], func(u Tap) bool { return u.Name == t.Name }):
			return fail(fmt.Errorf("two taps are called %q", t.Name))
		}
	}
	built := &Graph{
		Expr: g, Image: image, Logits: out.Logits, Taps: out.Taps, Updates: b.updates,
		name: m.architecture.Name, outputs: gorgonia.Nodes{out.Logits}, labels: b.labels, params: b.nodes, layers: b.layers,
	}
	for _, n := range b.order {
		if b.nodes[n].Trainable {
			built.Params = append(built.Params, n)
		}
	}
	return built, nil
}

// needed returns the nodes the outputs depend on, operands before their users,
// in an order that depends on the graph alone.
func (g *Graph) needed() gorgonia.Nodes {
	var order gorgonia.Nodes
	seen := map[*gorgonia.Node]bool{}
	var visit func(n *gorgonia.Node)
	visit = func(n *gorgonia.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, x := range g.operands(n) {
			visit(x)
		}
		order = append(order, n)
	}
	for _, n := range g.outputs {
		visit(n)
	}
	return order
}

// operands returns what n is computed from, in order.
func (g *Graph) operands(n *gorgonia.Node) gorgonia.Nodes {
	var in gorgonia.Nodes
	for it := g.Expr.From(n.ID()); it.Next(); {
		in = append(in, it.Node().(*gorgonia.Node))
	}
	return in
}
