package vm

import (
	"container/heap"
	"errors"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// needed returns the nodes that outputs depend on, operands before their users
// and, where that leaves a choice, in the order in which they were made. It is
// the same on every run of the program, and makes the first node that fails or
// is not finite the first in the order of the network's code.
func needed(outputs gorgonia.Nodes) (gorgonia.Nodes, error) {
	waiting := map[*gorgonia.Node]int{} // operands not yet in order
	users := map[*gorgonia.Node]gorgonia.Nodes{}
	var ready byID
	todo := slices.Clone(outputs)
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, seen := waiting[n]; seen {
			continue
		}
		in := op.Operands(n)
		waiting[n] = len(in)
		if len(in) == 0 {
			heap.Push(&ready, n)
		}
		for _, c := range in {
			users[c] = append(users[c], n) // once for each use
			todo = append(todo, c)
		}
	}
	order := make(gorgonia.Nodes, 0, len(waiting))
	for len(ready) > 0 {
		n := heap.Pop(&ready).(*gorgonia.Node)
		order = append(order, n)
		for _, u := range users[n] {
			if waiting[u]--; waiting[u] == 0 {
				heap.Push(&ready, u)
			}
		}
	}
	if len(order) < len(waiting) {
		return nil, errors.New("vm: the graph has a cycle")
	}
	return order, nil
}

// byID is a heap of nodes, the one made first on top.
type byID gorgonia.Nodes

func (h byID) Len() int           { return len(h) }
func (h byID) Less(i, j int) bool { return h[i].ID() < h[j].ID() }
func (h byID) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byID) Push(x any)        { *h = append(*h, x.(*gorgonia.Node)) }
func (h *byID) Pop() any {
	last := len(*h) - 1
	n := (*h)[last]
	*h = (*h)[:last]
	return n
}

// unit is what one step computes: a node, or a group of them.
type unit struct {
	nodes    gorgonia.Nodes // operands before their users
	operands gorgonia.Nodes
	results  gorgonia.Nodes
	kind     string                                   // the names of its operators
	plan     func(tensor.Dtype) (op.GroupPlan, error) // of a group; nil for a node
	last     *gorgonia.Node                           // of nodes, by which the unit takes its place

	waiting int // operands' units not yet in order
}

// schedule puts the nodes of order, which is sorted, in units, and the units in
// an order, operands before their users. A group that would have to wait for
// itself, by way of nodes outside of it, falls apart.
func schedule(order gorgonia.Nodes, groups []op.Group) []*unit {
	of := make(map[*gorgonia.Node]*unit, len(order))
	users := make(map[*gorgonia.Node]gorgonia.Nodes, len(order))
	for _, n := range order {
		in := op.Operands(n)
		of[n] = &unit{nodes: gorgonia.Nodes{n}, operands: in, results: gorgonia.Nodes{n}, kind: op.Kind(n), last: n}
		for _, x := range in {
			users[x] = append(users[x], n)
		}
	}
	for _, g := range groups {
		if reaches(of, users, g.Nodes) {
			continue
		}
		u := &unit{nodes: g.Nodes, operands: g.Operands, results: g.Results, kind: g.String(), plan: g.Plan}
		u.last = slices.MaxFunc(g.Nodes, func(a, b *gorgonia.Node) int { return int(a.ID() - b.ID()) })
		for _, n := range g.Nodes {
			of[n] = u
		}
	}

	var ready byID
	for _, n := range order {
		u := of[n]
		if u.last != n {
			continue
		}
		for _, n := range u.nodes {
			for _, x := range op.Operands(n) {
				if of[x] != u {
					u.waiting++ // once for each use
				}
			}
		}
		if u.waiting == 0 {
			heap.Push(&ready, n)
		}
	}
	var units []*unit
	for len(ready) > 0 {
		u := of[heap.Pop(&ready).(*gorgonia.Node)]
		units = append(units, u)
		for _, n := range u.nodes {
			for _, user := range users[n] {
				v := of[user]
				if v == u {
					continue
				}
				if v.waiting--; v.waiting == 0 {
					heap.Push(&ready, v.last)
				}
			}
		}
	}
	return units
}

// reaches reports whether one of nodes, each a unit so far, needs another by way
// of units outside.
func reaches(of map[*gorgonia.Node]*unit, users map[*gorgonia.Node]gorgonia.Nodes, nodes gorgonia.Nodes) bool {
	seen := map[*unit]bool{}
	var todo []*unit
	visit := func(u *unit) {
		if !seen[u] {
			seen[u] = true
			todo = append(todo, u)
		}
	}
	for _, n := range nodes {
		for _, user := range users[n] {
			if !slices.Contains(nodes, user) {
				visit(of[user])
			}
		}
	}
	for len(todo) > 0 {
		u := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, n := range u.nodes {
			for _, user := range users[n] {
				if slices.Contains(nodes, user) {
					return true
				}
				visit(of[user])
			}
		}
	}
	return false
}
