package student

import (
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// joinNormalisations gives LayerNormalizations and InstanceNormalizations, which
// are written without a factor and a summand, the constant ones that a Mul and
// an Add of their own apply behind them.
func joinNormalisations(m *onnx.Model) {
	g, x := m.Graph, m.Graph.Index()
	joined := map[*onnx.Node]bool{}
	for _, n := range g.Nodes {
		if n.Op != "LayerNormalization" && n.Op != "InstanceNormalization" || len(n.Outputs) != 1 || len(n.Inputs) < 2 {
			continue
		}
		scale := x.Initializer(n.Inputs[1])
		if !filled(scale, 1) || len(n.Inputs) > 2 && !filled(x.Initializer(n.Inputs[2]), 0) {
			continue
		}
		// The shapes in which a constant runs along the normalised axes, or, for
		// images, along the channels.
		stretches := func(dims []int64) bool {
			c := scale.Dims[0]
			return slices.Equal(dims, []int64{c, 1, 1}) || slices.Equal(dims, []int64{1, c, 1, 1})
		}
		if n.Op == "LayerNormalization" {
			rank := int(n.Int("axis", -1)) + len(scale.Dims)
			stretches = func(dims []int64) bool {
				k := len(dims) - len(scale.Dims)
				return len(dims) <= rank && k >= 0 && slices.Equal(dims[k:], scale.Dims) && !slices.ContainsFunc(dims[:k], func(d int64) bool { return d != 1 })
			}
		}
		for i, op := range []string{"Mul", "Add"} {
			after := x.Consumers(n.Outputs[0])
			if len(after) != 1 || x.Output(n.Outputs[0]) || after[0].Op != op || len(after[0].Inputs) != 2 {
				continue
			}
			name := after[0].Inputs[0]
			if name == n.Outputs[0] {
				name = after[0].Inputs[1]
			}
			t := x.Initializer(name)
			if t == nil || t.Type != onnx.Float32 || !stretches(t.Dims) {
				continue
			}
			if !slices.Equal(t.Dims, scale.Dims) {
				if len(x.Consumers(name)) != 1 || x.Output(name) {
					continue
				}
				flat := t.Clone() // t may belong to another model, too
				flat.Dims = slices.Clone(scale.Dims)
				g.Initializers[slices.Index(g.Initializers, t)] = flat
			}
			n.Inputs = append(slices.Clone(n.Inputs[:min(len(n.Inputs), i+1)]), append([]string{name}, n.Inputs[min(len(n.Inputs), i+2):]...)...)
			n.Outputs = slices.Clone(after[0].Outputs)
			joined[after[0]] = true
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool { return joined[n] })
}

// filled reports whether t is float32 and all its elements are v.
func filled(t *onnx.Tensor, v float32) bool {
	if t == nil || t.Type != onnx.Float32 || len(t.Dims) == 0 {
		return false
	}
	f, err := t.Float32s()
	return err == nil && !slices.ContainsFunc(f, func(x float32) bool { return x != v })
}
