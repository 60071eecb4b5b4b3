package onnx

import (
	"fmt"
	"slices"
)

// MergeTransposes leaves as few Transpose nodes in the main graph as it can
// without changing what the model computes, and returns how many nodes went:
//
//   - a Transpose of a Transpose becomes one of the first one's operand;
//   - a Transpose that moves nothing goes, and so does one that repeats
//     another;
//   - one between which and another there are only functions of single
//     elements (Relu, Sigmoid, Cast, ...) is carried over to the other, since
//     f(Transpose(x)) = Transpose(f(x));
//   - one of an initializer that nobody else reads is carried out on the
//     initializer;
//   - a Transpose nobody reads goes, though no other node does: see Strip.
//
// Graph inputs and outputs keep their names, and so does what is left. A
// Transpose stays that moves nothing but gives its operand, a graph input or
// output, another output's name: it becomes an Identity. Where a subgraph reads
// a Transpose it stays as well. A Transpose without perm reverses the axes,
// whose number Infer may know; where it does not, the node is left alone.
//
// It wants a model that passes Check. Nodes change in place; tensors are
// replaced.
func (m *Model) MergeTransposes() int {
	g := m.Graph
	if g == nil {
		return 0
	}
	t := &transposes{g: g, perm: make(map[*Node][]int)}
	var inferred map[string]*Value
	for _, n := range g.Nodes {
		if !isTranspose(n) {
			continue
		}
		rank := len(n.Ints("perm"))
		if rank == 0 {
			if inferred == nil {
				inferred = Infer(m)
			}
			x := inferred[n.Inputs[0]]
			if x == nil || !x.HasShape {
				continue
			}
			rank = len(x.Shape)
		}
		if rank > maxRank {
			continue
		}
		if perm := permutation(n, rank); perm != nil {
			t.perm[n] = perm
		}
	}
	before := len(g.Nodes)
	// Each time round there is a Transpose less, or it is the last time.
	for again := true; again; {
		t.merge()
		again = t.carry()
	}
	t.constants()
	t.declarations()
	return before - len(g.Nodes)
}

func isTranspose(n *Node) bool {
	return n.Op == "Transpose" && CanonicalDomain(n.Domain) == "" && len(n.Inputs) == 1 && len(n.Outputs) == 1 &&
		n.Inputs[0] != "" && n.Outputs[0] != ""
}

// compose is the permutation of a Transpose by second of one by first: axis i
// of the result is axis second[i] of what is between, which is axis
// first[second[i]] of the operand.
func compose(first, second []int) []int {
	out := make([]int, len(second))
	for i, a := range second {
		out[i] = first[a]
	}
	return out
}

func movesNothing(perm []int) bool {
	for i, a := range perm {
		if a != i {
			return false
		}
	}
	return true
}

// transposes is a graph whose Transpose nodes are being merged.
type transposes struct {
	g     *Graph
	perm  map[*Node][]int // of the nodes whose perm is known
	stale []string        // values whose declared shape may be wrong by now
}

// readers counts how often each value is read: by nodes, each operand by
// itself, and as graph outputs. captured has those that subgraphs read.
func (t *transposes) readers() (count map[string]int, captured map[string]bool) {
	count, captured = make(map[string]int), make(map[string]bool)
	for _, n := range t.g.Nodes {
		for _, in := range n.Inputs {
			count[in]++
		}
		for _, a := range n.Attrs {
			for _, s := range a.graphs() {
				captures(s, func(name string) {
					count[name]++
					captured[name] = true
				})
			}
		}
	}
	for _, o := range t.g.Outputs {
		count[o.Name]++
	}
	return count, captured
}

// set makes n the Transpose of x by perm.
func (t *transposes) set(n *Node, x string, perm []int) {
	n.Inputs[0], t.perm[n] = x, perm
	ints := make([]int64, len(perm))
	for i, a := range perm {
		ints[i] = int64(a)
	}
	n.SetAttr(AttrInts("perm", ints...))
}

// merge makes every Transpose one of a value that no Transpose makes, has
// readers read the first of several that are the same, and removes those
// without readers.
func (t *transposes) merge() {
	type source struct {
		x    string
		perm []int
	}
	of := make(map[string]source)      // what the value of a Transpose is
	first := make(map[string]string)   // source to the first value that is it
	instead := make(map[string]string) // what readers of a value read
	for _, n := range t.g.Nodes {
		for i, in := range n.Inputs {
			if to, ok := instead[in]; ok {
				n.Inputs[i] = to
			}
		}
		perm, ok := t.perm[n]
		if !ok {
			continue
		}
		s := source{n.Inputs[0], perm}
		if from, ok := of[s.x]; ok && len(from.perm) == len(perm) {
			s = source{from.x, compose(from.perm, perm)}
			t.set(n, s.x, s.perm)
		}
		y := n.Outputs[0]
		of[y] = s
		key := fmt.Sprint(s.perm, s.x)
		switch same, ok := first[key]; {
		case movesNothing(s.perm):
			instead[y] = s.x
		case ok:
			instead[y] = same
		default:
			first[key] = y
		}
	}
	t.outputs()
	t.removeUnread()
}

// outputs deals with Transposes that move nothing and are still read, by name:
// as a graph output or by a subgraph. The operand takes the output's name where
// it can; else the node becomes an Identity.
func (t *transposes) outputs() {
	count, captured := t.readers()
	by := make(map[string]*Node) // producers of one value
	output := make(map[string]bool)
	for _, n := range t.g.Nodes {
		for _, o := range n.Outputs {
			by[o] = n
		}
	}
	for _, o := range t.g.Outputs {
		output[o.Name] = true
	}
	rename := make(map[string]string)
	for i, n := range t.g.Nodes {
		perm, ok := t.perm[n]
		if !ok || !movesNothing(perm) || count[n.Outputs[0]] == 0 {
			continue
		}
		x, y := n.Inputs[0], n.Outputs[0]
		if _, taken := rename[x]; by[x] != nil && !output[x] && !captured[x] && !captured[y] && !taken {
			rename[x] = y
			t.g.Nodes[i] = nil
			continue
		}
		n.Op = "Identity"
		n.Attrs = slices.DeleteFunc(n.Attrs, func(a *Attr) bool { return a.Name == "perm" })
		delete(t.perm, n)
	}
	t.g.Nodes = slices.DeleteFunc(t.g.Nodes, func(n *Node) bool { return n == nil })
	for _, n := range t.g.Nodes {
		renameAll(n.Inputs, rename)
		renameAll(n.Outputs, rename)
	}
	for x := range rename {
		t.stale = append(t.stale, x)
	}
}

// removeUnread removes Transposes that nobody reads, and then those that only
// they read.
func (t *transposes) removeUnread() {
	count, _ := t.readers()
	for i, n := range slices.Backward(t.g.Nodes) {
		if isTranspose(n) && count[n.Outputs[0]] == 0 {
			count[n.Inputs[0]]--
			t.g.Nodes[i] = nil
			t.stale = append(t.stale, n.Outputs[0])
		}
	}
	t.g.Nodes = slices.DeleteFunc(t.g.Nodes, func(n *Node) bool { return n == nil })
}

// carry takes Transposes over the functions of single elements between them
// and another Transpose, with which merge then makes them one. It reports
// whether there were any.
func (t *transposes) carry() bool {
	count, _ := t.readers()
	by := make(map[string]*Node, len(t.g.Nodes))
	for _, n := range t.g.Nodes {
		for _, o := range n.Outputs {
			by[o] = n
		}
	}
	changed := make(map[*Node]bool) // what the maps above no longer describe
	for _, n := range t.g.Nodes {
		perm, ok := t.perm[n]
		if !ok || changed[n] {
			continue
		}
		var between []*Node
		f := by[n.Inputs[0]]
		for f != nil && !changed[f] && elementByElement(f) && count[f.Outputs[0]] == 1 {
			between = append(between, f)
			f = by[f.Inputs[0]]
		}
		if f == nil || len(between) == 0 || changed[f] {
			continue
		}
		before, ok := t.perm[f]
		if !ok || len(before) != len(perm) {
			continue
		}
		// f goes when nobody else reads it, or else n does when it undoes f.
		both := compose(before, perm)
		if count[f.Outputs[0]] != 1 && !movesNothing(both) {
			continue
		}
		between[len(between)-1].Inputs[0] = f.Inputs[0]
		t.set(n, n.Inputs[0], both)
		changed[f], changed[n] = true, true
		for _, b := range between {
			changed[b] = true
			t.stale = append(t.stale, b.Outputs[0])
		}
	}
	return len(changed) > 0
}

// elementByElement reports whether n computes each element of its one result
// from the element in the same place of its first operand, and from nothing
// that has axes.
func elementByElement(n *Node) bool {
	if CanonicalDomain(n.Domain) != "" || len(n.Outputs) != 1 || n.Outputs[0] == "" || len(n.Inputs) == 0 || n.Inputs[0] == "" {
		return false
	}
	if n.Op == "Clip" { // the limits are scalars
		return true
	}
	// Not PRelu, whose slope is an operand with axes.
	return len(n.Inputs) == 1 && (n.Op == "Cast" || slices.Contains(elementwiseOps, n.Op))
}

// constants carries out the Transposes of initializers that nobody else reads.
// The initializer keeps its name.
func (t *transposes) constants() {
	count, captured := t.readers()
	held := make(map[string]int)
	for i, c := range t.g.Initializers {
		held[c.Name] = i
	}
	for _, v := range t.g.Inputs { // defaults that a caller may replace
		delete(held, v.Name)
	}
	output := make(map[string]bool)
	for _, o := range t.g.Outputs {
		output[o.Name] = true
	}
	instead := make(map[string]string)
	for i, n := range t.g.Nodes {
		renameAll(n.Inputs, instead)
		perm, ok := t.perm[n]
		if !ok || captured[n.Outputs[0]] || output[n.Outputs[0]] {
			continue
		}
		at, ok := held[n.Inputs[0]]
		if !ok || count[n.Inputs[0]] != 1 {
			continue
		}
		moved := t.g.Initializers[at].transposed(perm)
		if moved == nil {
			continue
		}
		t.g.Initializers[at] = moved
		instead[n.Outputs[0]] = moved.Name
		count[moved.Name] = count[n.Outputs[0]]
		t.g.Nodes[i] = nil
		t.stale = append(t.stale, n.Outputs[0], moved.Name)
	}
	t.g.Nodes = slices.DeleteFunc(t.g.Nodes, func(n *Node) bool { return n == nil })
}

// declarations removes what the graph declares of values between inputs and
// outputs that are gone or have another shape.
func (t *transposes) declarations() {
	stale := make(map[string]bool, len(t.stale))
	for _, name := range t.stale {
		stale[name] = true
	}
	t.g.Values = slices.DeleteFunc(t.g.Values, func(v *Value) bool { return stale[v.Name] })
}

// transposed is t with its axes in another order, or nil where perm does not
// fit it or its elements are not there, or not whole bytes.
func (t *Tensor) transposed(perm []int) *Tensor {
	if len(perm) != len(t.Dims) || t.Type.Bits()%8 != 0 || t.checkData() != nil || t.External != nil && t.Data == nil {
		return nil
	}
	width := int(t.Type.Bits() / 8)
	if width == 0 {
		return nil // strings
	}
	c := t.Clone()
	// step[i] is how far apart in t, in bytes, neighbours along axis i of the
	// result lie.
	step := make([]int, len(perm))
	for i, a := range perm {
		c.Dims[i] = t.Dims[a]
		step[i] = width
		for _, d := range t.Dims[a+1:] {
			step[i] *= int(d)
		}
	}
	c.Data = make([]byte, 0, len(t.Data))
	at, from := make([]int64, len(perm)), 0
	for len(c.Data) < len(t.Data) {
		c.Data = append(c.Data, t.Data[from:from+width]...)
		for i := len(at) - 1; i >= 0; i-- { // count up, the last axis fastest
			at[i]++
			from += step[i]
			if at[i] < c.Dims[i] {
				break
			}
			from -= step[i] * int(at[i])
			at[i] = 0
		}
	}
	return c
}
