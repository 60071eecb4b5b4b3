package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Rename gives a value of the main graph another name wherever it is made,
// used or declared, in subgraphs too. On error m is unchanged.
func (m *Model) Rename(value, name string) error {
	if m.Graph == nil {
		return errors.New("onnx: the model has no graph")
	}
	if value == name {
		return nil
	}
	if err := checkName("a value", name); err != nil {
		return fmt.Errorf("onnx: renaming %q: %w", value, err)
	}
	known, taken := false, false
	m.Graph.defines(func(n string) { known = known || n == value })
	m.Graph.valueNames(func(n string) { taken = taken || n == name })
	switch {
	case !known:
		return fmt.Errorf("onnx: renaming %q to %q: the main graph has no such value", value, name)
	case taken:
		return fmt.Errorf("onnx: renaming %q to %q: that name is taken", value, name)
	}
	m.Graph.rename(map[string]string{value: name})
	return nil
}

// rename changes names of values throughout g and in subgraphs that take them
// from it.
func (g *Graph) rename(to map[string]string) {
	for _, list := range [][]*Value{g.Inputs, g.Outputs, g.Values} {
		for _, v := range list {
			if name, ok := to[v.Name]; ok {
				v.Name = name
			}
		}
	}
	rename := func(t *Tensor) {
		if name, ok := to[t.Name]; ok {
			t.Name = name
		}
	}
	for _, t := range g.Initializers {
		rename(t)
	}
	for _, t := range g.Sparse {
		if t.Values != nil {
			rename(t.Values)
		}
	}
	for _, n := range g.Nodes {
		renameAll(n.Inputs, to)
		renameAll(n.Outputs, to)
		for _, a := range n.Attrs {
			for _, s := range a.graphs() {
				inner := to
				s.defines(func(name string) {
					if _, hidden := inner[name]; hidden { // the subgraph has its own value of that name
						if len(inner) == len(to) {
							inner = maps.Clone(to)
						}
						delete(inner, name)
					}
				})
				s.rename(inner)
			}
		}
	}
}

func renameAll(names []string, to map[string]string) {
	for i, n := range names {
		if name, ok := to[n]; ok && n != "" {
			names[i] = name
		}
	}
}

// Strip removes what no output of the main graph needs: nodes, initializers,
// and the declarations of values that are gone. It returns how many nodes and
// initializers that were. Inputs stay, save those that only named a removed
// initializer.
func (m *Model) Strip() int {
	g := m.Graph
	if g == nil {
		return 0
	}
	needed := make(map[string]bool)
	need := func(name string) { needed[name] = true }
	for _, o := range g.Outputs {
		need(o.Name)
	}
	// Backwards: nodes are in order, so whoever uses a value comes after its
	// producer.
	var kept []*Node
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(o string) bool { return o != "" && needed[o] }) {
			uses(n, need)
			kept = append(kept, n)
		}
	}
	removed := len(g.Nodes) - len(kept)
	slices.Reverse(kept)
	g.Nodes = kept
	gone := make(map[string]bool)
	g.Initializers = slices.DeleteFunc(g.Initializers, func(t *Tensor) bool {
		if !needed[t.Name] {
			gone[t.Name] = true
			removed++
		}
		return !needed[t.Name]
	})
	g.Sparse = slices.DeleteFunc(g.Sparse, func(s *SparseTensor) bool {
		if s.Values == nil || needed[s.Values.Name] {
			return false
		}
		gone[s.Values.Name] = true
		removed++
		return true
	})
	g.Inputs = slices.DeleteFunc(g.Inputs, func(v *Value) bool { return gone[v.Name] })
	made := make(map[string]bool)
	g.defines(func(name string) { made[name] = true })
	g.Values = slices.DeleteFunc(g.Values, func(v *Value) bool { return !made[v.Name] })
	return removed
}
