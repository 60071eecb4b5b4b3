package vm

import (
	"fmt"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// must is for building graphs that are known to be right.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// testGraph is a graph under construction with seeded inputs.
type testGraph struct {
	*gorgonia.ExprGraph
	dtype  tensor.Dtype
	random *rand.Rand
	inputs gorgonia.Nodes
}

func newTestGraph(dt tensor.Dtype, seed uint64) *testGraph {
	return &testGraph{ExprGraph: gorgonia.NewGraph(), dtype: dt, random: rand.New(rand.NewPCG(seed, 1))}
}

// input adds an input with values drawn uniformly from -1 to 1, times scale.
func (g *testGraph) input(name string, scale float64, shape ...int) *gorgonia.Node {
	n := gorgonia.NewTensor(g.ExprGraph, g.dtype, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...),
		gorgonia.WithValue(g.draw(scale, shape...)))
	g.inputs = append(g.inputs, n)
	return n
}

func (g *testGraph) draw(scale float64, shape ...int) gorgonia.Value {
	v, b, err := op.NewValue(g.dtype, shape)
	if err != nil {
		panic(err)
	}
	for i := range b.F32 {
		b.F32[i] = float32(scale * (2*g.random.Float64() - 1))
	}
	for i := range b.F64 {
		b.F64[i] = scale * (2*g.random.Float64() - 1)
	}
	return v
}

// net is a small residual network with batch normalisation, its loss, its
// gradients and the new running statistics.
type net struct {
	*testGraph
	loss, logits *gorgonia.Node
	params       gorgonia.Nodes
	grads        gorgonia.Nodes
	running      gorgonia.Nodes
}

func (n *net) outputs() gorgonia.Nodes {
	out := gorgonia.Nodes{n.loss, n.logits}
	return append(append(out, n.grads...), n.running...)
}

func newNet(dt tensor.Dtype, batch, size, width, blocks int) *net {
	n := &net{testGraph: newTestGraph(dt, 3)}
	param := func(name string, scale float64, shape ...int) *gorgonia.Node {
		p := n.input(name, scale, shape...)
		n.params = append(n.params, p)
		return p
	}
	image := n.input("image", 1, batch, size, size, 3)
	target := n.input("target", 1, batch, 10)
	conv := func(name string, x *gorgonia.Node, to, stride int) *gorgonia.Node {
		from := x.Shape()[3]
		w := param(name+".weight", 0.3, to, 3, 3, from)
		return must(op.Conv2D(x, w, op.ConvConfig{Stride: [2]int{stride, stride}, Pad: [4]int{1, 1, 1, 1}}))
	}
	bnrelu := func(name string, x *gorgonia.Node) *gorgonia.Node {
		s := x.Shape()
		c := s[3]
		stats := must(op.BatchStats(x))
		running := n.input(name+".running", 1, 2, c)
		n.running = append(n.running, must(op.RunningStats(running, stats, 0.1, s[0]*s[1]*s[2])))
		y := must(op.BatchNorm(x, stats, param(name+".scale", 1, c), param(name+".shift", 1, c), 1e-5))
		return must(op.ReLU(y))
	}
	h := conv("stem", image, width, 1)
	for i := range blocks {
		name := fmt.Sprintf("block%d", i+1)
		r := conv(name+".conv1", bnrelu(name+".bn1", h), width, 1)
		r = conv(name+".conv2", bnrelu(name+".bn2", r), width, 1)
		h = must(op.Add(h, r))
	}
	h = bnrelu("head.bn", h)
	h = must(op.MaxPool(h, op.PoolConfig{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}))
	h = must(op.GlobalAveragePool(h))
	h = must(op.AddBias(must(op.Dense(h, param("dense.weight", 0.5, 10, width))), param("dense.bias", 0.5, 10)))
	n.logits = h
	n.loss = must(op.Neg(must(op.Mean(must(op.Mul(target, must(op.LogSoftmax(h))))))))
	n.grads = must(gorgonia.Grad(n.loss, n.params...))
	return n
}
