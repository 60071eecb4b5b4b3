package student_test

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// slopesAt returns a net's derivative by its input at x, and that of the sum of
// its squares: first and second order.
func slopesAt(t *testing.T, build func(b *onnx.Builder, x string) string, x []float32) (first, second []float32) {
	t.Helper()
	b := onnx.NewBuilder("net", 13)
	in := b.Input("x", onnx.Float32, onnx.Fixed(1), onnx.Fixed(int64(len(x))))
	b.Output(build(b, in), "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	n, err := student.ImportNet(m, student.NetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	do := func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	image := n.Inputs[0].Node
	if err := gorgonia.Let(image, tensor.New(tensor.WithShape(1, len(x)), tensor.WithBacking(x))); err != nil {
		t.Fatal(err)
	}
	one, err := op.Gradient(do(op.Sum(n.Outputs[0].Node)), image)
	if err != nil {
		t.Fatal(err)
	}
	// A second path keeps the derivative where the first one is constant.
	two, err := op.Gradient(do(op.Sum(do(op.Square(do(op.Add(one[0], image)))))), image)
	if err != nil {
		t.Fatal(err)
	}
	machine, err := vm.New(n.Expr, gorgonia.Nodes{one[0], two[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(one[0].Value().Data().([]float32)), slices.Clone(two[0].Value().Data().([]float32))
}

// The derivative where there is none is the one that PyTorch takes: 0 for norms
// and deviations, however a file writes them, and infinity for a root alone.
func TestDerivativesAtZero(t *testing.T) {
	scalar := func(b *onnx.Builder, x float32) string {
		return b.Initializer("k", onnx.Float32s("", nil, []float32{x}))
	}
	sum := func(b *onnx.Builder, x string) string {
		return b.Node("ReduceSum", []string{x, b.Initializer("axes", onnx.Int64s("", []int64{1}, []int64{1}))})
	}
	square := func(b *onnx.Builder, x string) string { return b.Node("Mul", []string{x, x}) }
	norms := map[string]func(b *onnx.Builder, x string) string{
		"ReduceL2": func(b *onnx.Builder, x string) string { return b.Node("ReduceL2", []string{x}) },
		"ReduceL1": func(b *onnx.Builder, x string) string { return b.Node("ReduceL1", []string{x}) },
		"Abs":      func(b *onnx.Builder, x string) string { return b.Node("Abs", []string{x}) },
		"Relu":     func(b *onnx.Builder, x string) string { return b.Node("Relu", []string{x}) },
		"Sqrt of a sum of squares": func(b *onnx.Builder, x string) string {
			return b.Node("Sqrt", []string{sum(b, square(b, x))})
		},
		"Sqrt of a ReduceSumSquare": func(b *onnx.Builder, x string) string {
			return b.Node("Sqrt", []string{b.Node("ReduceSumSquare", []string{x})})
		},
		"a half power of a mean of squares": func(b *onnx.Builder, x string) string {
			mean := b.Node("ReduceMean", []string{b.Node("Pow", []string{x, scalar(b, 2)})})
			return b.Node("Pow", []string{mean, scalar(b, 0.5)})
		},
		"a third power's norm": func(b *onnx.Builder, x string) string {
			cubes := sum(b, b.Node("Pow", []string{b.Node("Abs", []string{x}), scalar(b, 3)}))
			return b.Node("Pow", []string{cubes, scalar(b, 1.0/3)})
		},
		"a deviation": func(b *onnx.Builder, x string) string {
			d := b.Node("Sub", []string{x, b.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", 1))})
			v := b.Node("ReduceMean", []string{square(b, d)}, onnx.AttrInts("axes", 1))
			return b.Node("Sqrt", []string{b.Node("Mul", []string{v, scalar(b, 4.0/3)})})
		},
		"a row divided by its norm, which is bounded": func(b *onnx.Builder, x string) string {
			norm := b.Node("Clip", []string{b.Node("ReduceL2", []string{x}), scalar(b, 1e-12), ""})
			return b.Node("Mul", []string{b.Node("Div", []string{x, norm}), scalar(b, 0)})
		},
	}
	for name, build := range norms {
		t.Run(name, func(t *testing.T) {
			first, second := slopesAt(t, build, []float32{0, 0, 0, 0})
			for i := range first {
				if first[i] != 0 || second[i] != 0 {
					t.Fatalf("derivatives %v and of their squares %v, want zeros", first, second)
				}
			}
		})
	}
	t.Run("a norm elsewhere", func(t *testing.T) {
		first, _ := slopesAt(t, norms["ReduceL2"], []float32{3, 4})
		if math.Abs(float64(first[0])-0.6) > 1e-6 || math.Abs(float64(first[1])-0.8) > 1e-6 {
			t.Errorf("derivatives %v, want 0.6 and 0.8", first)
		}
	})
	for name, build := range map[string]func(b *onnx.Builder, x string) string{
		"Sqrt":         func(b *onnx.Builder, x string) string { return b.Node("Sqrt", []string{x}) },
		"a half power": func(b *onnx.Builder, x string) string { return b.Node("Pow", []string{x, scalar(b, 0.5)}) },
	} {
		t.Run(name, func(t *testing.T) {
			if first, _ := slopesAt(t, build, []float32{0}); !math.IsInf(float64(first[0]), 1) {
				t.Errorf("derivative %v, want infinity", first)
			}
		})
	}
}

// A tensor of a file that one node reads as a vector and another as a row is
// one parameter, which is no part of the layers that see it reshaped.
func TestATensorInTwoShapes(t *testing.T) {
	b := onnx.NewBuilder("net", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(5))
	vector := func(name string, v ...float32) string {
		return b.Initializer(name, onnx.Float32s("", []int64{int64(len(v))}, v))
	}
	x = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})})
	scale := vector("bn.weight", 2, 3, 4)
	x = b.Node("Gemm", []string{x, b.Initializer("fc.weight", onnx.Float32s("", []int64{3, 3}, []float32{1, 2, 3, 4, 5, 6, 7, 8, 10}))})
	x = b.Node("Mul", []string{x, scale})
	x = b.Node("BatchNormalization", []string{x, scale, vector("bn.bias", 1, 1, 1), vector("bn.running_mean", 0, 0, 1), vector("bn.running_var", 1, 2, 1)})
	b.Output(x, "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	i := importModel(t, m, student.ImportOptions{})
	back := importModel(t, export(t, i.Model, student.ExportOptions{}), student.ImportOptions{})
	if d := apart(t, logits(t, back.Model, 3), logits(t, i.Model, 3)); d > close {
		t.Errorf("exported and imported again, logits are off by %v", d)
	}
	step(t, i.Model)
	if list, err := newGraph(t, i.Model, 2, student.Infer).Statistics(); err != nil || len(list) != 0 {
		t.Errorf("%d statistics (%v), want none", len(list), err)
	}
}
