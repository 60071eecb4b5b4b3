package op_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
)

// torchCase is a case of testdata/golden/ops.json.
type torchCase struct {
	Op, Name              string
	X, W                  []int
	Stride, Dilation      [2]int
	Kernel                [2]int
	Pad                   [4]int
	Groups                int
	Ceil, Include         bool
	Eps, Momentum         float64
	Y, DX, DW             []float64
	DScale, DShift        []float64
	Running, D2X, D2Scale []float64
}

// torchTolerance is for float64 results written with twelve digits.
const torchTolerance = 1e-11

// torchOperand is operand k as gen/ops_torch.py makes it, with plus added.
func torchOperand(t *testing.T, g *gorgonia.ExprGraph, name string, k int, plus float64, shape ...int) *gorgonia.Node {
	t.Helper()
	data := make([]float64, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float64((3*i*i+7*i+5*k)%23-11)/8 + plus
	}
	v, err := optest.Value(tensor.Float64, shape, data)
	if err != nil {
		t.Fatal(err)
	}
	return gorgonia.NewTensor(g, tensor.Float64, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...), gorgonia.WithValue(v))
}

// TestOperatorsAgainstTorch holds values, gradients and batch normalisation's
// second derivative against PyTorch.
func TestOperatorsAgainstTorch(t *testing.T) {
	b, err := os.ReadFile("../../testdata/golden/ops.json")
	if err != nil {
		t.Fatalf("%v; make it with testdata/gen/ops_torch.py", err)
	}
	var cases []torchCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range cases {
		seen[c.Op] = true
		t.Run(c.Op+" "+c.Name, func(t *testing.T) { checkTorch(t, c) })
	}
	for _, name := range []string{"Conv2D", "Dense", "BatchNorm", "BatchNormInference", "MaxPool", "AveragePool", "GlobalAveragePool"} {
		if !seen[name] {
			t.Errorf("no case of %s", name)
		}
	}
}

func checkTorch(t *testing.T, c torchCase) {
	g := gorgonia.NewGraph()
	must := func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// gradients are those of sum(y·operand k).
	gradients := func(y *gorgonia.Node, k int, wrt ...*gorgonia.Node) gorgonia.Nodes {
		t.Helper()
		seed := torchOperand(t, g, "seed of "+y.Name(), k, 0, y.Shape()...)
		d, err := op.Gradient(must(op.Sum(must(op.Mul(y, seed)))), wrt...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	x := torchOperand(t, g, "x", 0, 0, c.X...)
	channels := c.X[len(c.X)-1:]
	pool := op.PoolConfig{Kernel: c.Kernel, Stride: c.Stride, Pad: c.Pad, Ceil: c.Ceil, CountIncludePad: c.Include}

	var names []string
	var nodes gorgonia.Nodes
	var want [][]float64
	expect := func(name string, n *gorgonia.Node, v []float64) {
		names, nodes, want = append(names, name), append(nodes, n), append(want, v)
	}
	switch c.Op {
	case "Conv2D", "Dense":
		w := torchOperand(t, g, "w", 1, 0, c.W...)
		var y *gorgonia.Node
		if c.Op == "Dense" {
			y = must(op.Dense(x, w))
		} else {
			y = must(op.Conv2D(x, w, op.ConvConfig{Stride: c.Stride, Dilation: c.Dilation, Pad: c.Pad, Groups: c.Groups}))
		}
		d := gradients(y, 2, x, w)
		expect("y", y, c.Y)
		expect("dx", d[0], c.DX)
		expect("dw", d[1], c.DW)
	case "BatchNorm":
		scale, shift := torchOperand(t, g, "scale", 1, 0, channels...), torchOperand(t, g, "shift", 2, 0, channels...)
		stats := must(op.BatchStats(x))
		y := must(op.BatchNorm(x, stats, scale, shift, c.Eps))
		d := gradients(y, 3, x, scale, shift)
		second := gradients(d[0], 4, x, scale)
		running := torchOperand(t, g, "running", 6, 2, 2, channels[0])
		count := tensor.Shape(c.X).TotalSize() / channels[0]
		expect("y", y, c.Y)
		expect("dx", d[0], c.DX)
		expect("dscale", d[1], c.DScale)
		expect("dshift", d[2], c.DShift)
		expect("running", must(op.RunningStats(running, stats, c.Momentum, count)), c.Running)
		expect("d2x", second[0], c.D2X)
		expect("d2scale", second[1], c.D2Scale)
	case "BatchNormInference":
		scale, shift := torchOperand(t, g, "scale", 1, 0, channels...), torchOperand(t, g, "shift", 2, 0, channels...)
		y := must(op.BatchNormInference(x, torchOperand(t, g, "running", 6, 2, 2, channels[0]), scale, shift, c.Eps))
		d := gradients(y, 3, x, scale, shift)
		expect("y", y, c.Y)
		expect("dx", d[0], c.DX)
		expect("dscale", d[1], c.DScale)
		expect("dshift", d[2], c.DShift)
	case "MaxPool", "AveragePool", "GlobalAveragePool":
		var y *gorgonia.Node
		switch c.Op {
		case "MaxPool":
			y = must(op.MaxPool(x, pool))
		case "AveragePool":
			y = must(op.AveragePool(x, pool))
		default:
			y = must(op.GlobalAveragePool(x))
		}
		expect("y", y, c.Y)
		expect("dx", gradients(y, 1, x)[0], c.DX)
	default:
		t.Fatalf("no way to check %s", c.Op)
	}

	p, err := optest.Compile(nodes...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Floats()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if len(want[i]) == 0 || slices.Equal(want[i], make([]float64, len(want[i]))) {
			t.Errorf("the file holds nothing to compare %s with", name)
		}
		if err := optest.Compare(got[i], want[i], torchTolerance); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
