package student

import (
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// sinking are operators of two operands that treat each place of their result by
// itself.
var sinking = []string{"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"}

// elementary are functions of each element, perhaps with operands of one element.
var elementary = []string{
	"Abs", "Cast", "Clip", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Neg", "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Tanh",
}

// sinkTransposes moves a Transpose behind a node that combines its result with
// constants, whose axes are put in order for that, and behind Pad: there it may
// meet the Transpose that takes it back. Networks with the channels last begin
// like that, with an image that is normalised or padded before it is turned.
func sinkTransposes(m *onnx.Model) {
	g := m.Graph
	x := g.Index()
	made := map[string]*onnx.Node{}  // Transposes by what they give
	moved := map[string]string{}     // what stands for a value now that is turned later
	known := func(v string) string { // the name that the index has for v
		for old, now := range moved {
			if now == v {
				return old
			}
		}
		return v
	}
	single := func(v string) bool { return len(x.Consumers(known(v))) == 1 && !x.Output(known(v)) }
	var nodes []*onnx.Node
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			if now, ok := moved[v]; ok {
				n.Inputs[i] = now
			}
		}
		t := sunkBy(n, made, x)
		if t == nil || !single(t.Outputs[0]) || x.Output(n.Outputs[0]) {
			if n.Op == "Transpose" && len(n.Outputs) == 1 {
				made[n.Outputs[0]] = n
			}
			nodes = append(nodes, n)
			continue
		}
		perm := t.Ints("perm")
		at := slices.Index(n.Inputs, t.Outputs[0])
		for i, v := range n.Inputs {
			if i == at || v == "" {
				continue
			}
			c := unturned(n, i, x.Initializer(v), perm)
			if c == nil {
				continue // one number, such as a pad's value
			}
			if c.Name = v; !single(v) {
				c.Name = g.FreshName(v)
			}
			if have := slices.IndexFunc(g.Initializers, func(t *onnx.Tensor) bool { return t.Name == c.Name }); have >= 0 {
				g.Initializers[have] = c
			} else {
				g.Initializers = append(g.Initializers, c)
			}
			n.Inputs[i] = c.Name
		}
		n.Inputs[at] = t.Inputs[0]
		later := g.FreshName(n.Outputs[0] + "/layout")
		turn := &onnx.Node{Name: later, Op: "Transpose", Inputs: []string{n.Outputs[0]}, Outputs: []string{later},
			Attrs: []*onnx.Attr{onnx.AttrInts("perm", perm...)}}
		made[later], moved[n.Outputs[0]] = turn, later
		nodes = append(nodes, n, turn)
		g.Values = append(g.Values, &onnx.Value{Name: later}) // so that the name is taken
	}
	g.Nodes = nodes
	g.Values = slices.DeleteFunc(g.Values, func(v *onnx.Value) bool { return v.Type == onnx.Undefined })
}

// transposes counts the Transposes of a model.
func transposes(m *onnx.Model) int {
	count := 0
	for _, n := range m.Graph.Nodes {
		if n.Op == "Transpose" {
			count++
		}
	}
	return count
}

// sunkBy returns the Transpose that can be moved behind n, nil where there is
// none.
func sunkBy(n *onnx.Node, made map[string]*onnx.Node, x *onnx.Index) *onnx.Node {
	if slices.Contains(elementary, n.Op) && len(n.Outputs) == 1 {
		return made[n.Inputs[0]]
	}
	pad := n.Op == "Pad" && len(n.Inputs) < 4
	if !pad && !(slices.Contains(sinking, n.Op) && len(n.Inputs) == 2) {
		return nil
	}
	var t *onnx.Node
	for i, v := range n.Inputs {
		switch c := x.Initializer(v); {
		case v == "":
		case made[v] != nil && t == nil && len(made[v].Ints("perm")) > 0 && (i == 0 || !pad):
			t = made[v]
		case c == nil || t != nil && !pad && len(c.Dims) > len(t.Ints("perm")):
			return nil
		}
	}
	if t == nil || pad && len(n.Inputs) < 2 {
		return nil
	}
	for i, v := range n.Inputs {
		if c := x.Initializer(v); c != nil && unturned(n, i, c, t.Ints("perm")) == nil && !(pad && i == 2) {
			return nil
		}
	}
	return t
}

// unturned returns operand i of n as it is for an operand whose axes are still
// as they were before a Transpose by perm; nil where it is the same or cannot
// be told.
func unturned(n *onnx.Node, i int, c *onnx.Tensor, perm []int64) *onnx.Tensor {
	rank := len(perm)
	if slices.Contains(elementary, n.Op) {
		return nil
	}
	if n.Op == "Pad" {
		v, err := c.Int64s()
		if i != 1 || err != nil || len(v) != 2*rank {
			return nil
		}
		w := make([]int64, len(v))
		for k, p := range perm {
			w[p], w[rank+int(p)] = v[k], v[rank+k]
		}
		return onnx.Int64s(c.Name, c.Dims, w)
	}
	v, err := c.Float32s()
	if err != nil || len(c.Dims) > rank {
		return nil
	}
	if len(v) == 1 {
		return c.Clone()
	}
	dims := slices.Concat(slices.Repeat([]int64{1}, rank-len(c.Dims)), c.Dims)
	// Axis k of c is axis perm[k] of the result.
	to, step, stride := make([]int64, rank), make([]int64, rank), int64(1)
	for k, p := range perm {
		to[p] = dims[k]
	}
	for k := rank - 1; k >= 0; k-- {
		step[perm[k]] = stride
		stride *= dims[k]
	}
	w, place := make([]float32, 0, len(v)), make([]int64, rank)
	for range v {
		from := int64(0)
		for k, p := range place {
			from += p * step[k]
		}
		w = append(w, v[from])
		for k := rank - 1; k >= 0; k-- {
			if place[k]++; place[k] < to[k] {
				break
			}
			place[k] = 0
		}
	}
	return onnx.Float32s(c.Name, to, w)
}
