package onnx

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Parameters counts the elements of the model's floating-point weights: its
// float initializers, and float Constant nodes that a layer takes as weights.
// The running statistics of BatchNormalization count, since the file holds
// them as it holds weights.
func (m *Model) Parameters() int64 {
	g := m.Graph
	if g == nil {
		return 0
	}
	var total int64
	count := func(t *Tensor) {
		if n, err := t.Len(); err == nil && t.Type.Float() && n <= math.MaxInt64-total {
			total += n
		}
	}
	for _, t := range g.Initializers {
		count(t)
	}
	x := g.Index()
	counted := make(map[string]bool)
	for _, n := range g.Nodes {
		if CanonicalDomain(n.Domain) != "" || !slices.Contains(weightOps, n.Op) {
			continue
		}
		for _, in := range n.Inputs[min(1, len(n.Inputs)):] {
			if t := constantOf(x.Producer(in)); t != nil && !counted[in] {
				counted[in] = true
				count(t)
			}
		}
	}
	return total
}

// weightOps are the operators whose operands beside the first are weights.
var weightOps = []string{
	"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "PRelu", "BatchNormalization", "InstanceNormalization",
	"LayerNormalization", "RMSNormalization", "GroupNormalization", "LSTM", "GRU", "RNN",
}

// MACs counts the multiply-accumulates of one run of the main graph, in its
// convolutions and matrix products, the layers that cost. shapes gives the
// shape of each value by name, batch included, so shapes of a batch of one
// give the cost of one sample; a value it lacks is looked up among the model's
// own fixed shapes. Biases, normalization and element-wise work do not count,
// nor do subgraphs and functions.
func MACs(m *Model, shapes map[string][]int64) (int64, error) {
	if m.Graph == nil {
		return 0, fmt.Errorf("onnx: the model has no graph")
	}
	var inferred map[string]*Value
	size := func(name string) ([]int64, error) {
		if s, ok := shapes[name]; ok {
			return s, nil
		}
		if inferred == nil {
			inferred = Infer(m)
		}
		v := inferred[name]
		if v == nil || !v.HasShape {
			return nil, fmt.Errorf("the shape of %q is not known", name)
		}
		out := make([]int64, len(v.Shape))
		for i, d := range v.Shape {
			n, fixed := d.Fixed()
			if !fixed {
				return nil, fmt.Errorf("the shape of %q is not fixed, it is %s", name, shapeString(v.Shape))
			}
			out[i] = n
		}
		return out, nil
	}
	var total uint64
	for _, n := range m.Graph.Nodes {
		if CanonicalDomain(n.Domain) != "" {
			continue
		}
		rule := costs[n.Op]
		if rule == nil {
			continue
		}
		macs, err := rule(n, size)
		if err != nil {
			return 0, fmt.Errorf("onnx: counting the multiplications of %v: %w", n, err)
		}
		sum, carry := bits.Add64(total, uint64(macs), 0)
		if carry != 0 || sum > math.MaxInt64 {
			return 0, fmt.Errorf("onnx: the model has more multiplications than an int64 can count")
		}
		total = sum
	}
	return int64(total), nil
}

// cost counts the multiplications of a node, given the shapes of values.
type cost func(n *Node, size func(string) ([]int64, error)) (int64, error)

var costs = map[string]cost{
	"Attention":     attentionCost,
	"Conv":          convCost(1),
	"ConvInteger":   convCost(1),
	"QLinearConv":   convCost(3),
	"ConvTranspose": convTransposeCost,
	"Gemm":          gemmCost,
	"MatMul":        matMulCost,
	"MatMulInteger": matMulCost,
	"QLinearMatMul": matMulCost,
}

// operand returns the shape of operand i, of at least the given rank.
func operand(n *Node, i, rank int, size func(string) ([]int64, error)) ([]int64, error) {
	if i >= len(n.Inputs) {
		return nil, fmt.Errorf("it has no operand %d", i)
	}
	return ranked(n.Inputs[i], rank, size)
}

func result(n *Node, rank int, size func(string) ([]int64, error)) ([]int64, error) {
	if len(n.Outputs) == 0 {
		return nil, fmt.Errorf("it has no output")
	}
	return ranked(n.Outputs[0], rank, size)
}

func ranked(name string, rank int, size func(string) ([]int64, error)) ([]int64, error) {
	s, err := size(name)
	if err == nil && len(s) < rank {
		err = fmt.Errorf("%q has shape %v; at least %d axes are needed", name, s, rank)
	}
	return s, err
}

// convCost: each element of the result is a sum over the kernel and the input
// channels of its group, weight [K, C/groups, kernel...].
func convCost(weight int) cost {
	return func(n *Node, size func(string) ([]int64, error)) (int64, error) {
		w, err := operand(n, weight, 3, size)
		if err != nil {
			return 0, err
		}
		out, err := result(n, 3, size)
		if err != nil {
			return 0, err
		}
		return elements(slices.Concat(out, w[1:]))
	}
}

// convTransposeCost: each element of the operand is spread over the kernel and
// the output channels of its group, weight [C, K/groups, kernel...].
func convTransposeCost(n *Node, size func(string) ([]int64, error)) (int64, error) {
	x, err := operand(n, 0, 3, size)
	if err != nil {
		return 0, err
	}
	w, err := operand(n, 1, 3, size)
	if err != nil {
		return 0, err
	}
	return elements(slices.Concat(x, w[1:]))
}

func gemmCost(n *Node, size func(string) ([]int64, error)) (int64, error) {
	a, err := operand(n, 0, 2, size)
	if err != nil {
		return 0, err
	}
	out, err := result(n, 2, size)
	if err != nil {
		return 0, err
	}
	k := a[1]
	if n.Int("transA", 0) != 0 {
		k = a[0]
	}
	return elements(append(slices.Clone(out), k))
}

// matMulCost: each element of the result is a sum over the last axis of the
// first operand.
func matMulCost(n *Node, size func(string) ([]int64, error)) (int64, error) {
	a, err := operand(n, 0, 1, size)
	if err != nil {
		return 0, err
	}
	out, err := result(n, 0, size)
	if err != nil {
		return 0, err
	}
	return elements(append(slices.Clone(out), a[len(a)-1]))
}
