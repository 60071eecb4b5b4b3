package op_test

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// kink is a function at places where it has no derivative, and the one it takes.
type kink struct {
	name    string
	f       func(x *gorgonia.Node) (*gorgonia.Node, error)
	x, want []float64
}

func (k kink) check(t *testing.T) {
	t.Run(k.name, func(t *testing.T) {
		do, g := must(t), gorgonia.NewGraph()
		x := vector(g, "x", k.x...)
		grads, err := op.Gradient(do(op.Sum(do(k.f(x)))), x)
		if err != nil {
			t.Fatal(err)
		}
		wantExactly(t, "derivative", compute(t, grads[0])[0], k.want)
	})
}

// TestSubgradients pins the derivative where an operator has none: the value
// each doc comment states.
func TestSubgradients(t *testing.T) {
	power := func(p float64) func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.AbsPow(x, p) }
	}
	row := func(f func(x *gorgonia.Node) (*gorgonia.Node, error)) func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) {
			m, err := op.Reshape(x, 1, x.Shape()[0])
			if err != nil {
				return nil, err
			}
			return f(m)
		}
	}
	for _, c := range []kink{
		{"ReLU at zero, of either sign", op.ReLU, []float64{0, math.Copysign(0, -1), 1}, []float64{0, 0, 1}},
		{"Abs at zero", op.Abs, []float64{0, -2}, []float64{0, -1}},
		{"AbsPow of power 2 at zero", power(2), []float64{0, -2}, []float64{0, -4}},
		{"AbsPow of power 1 at zero", power(1), []float64{0, -2}, []float64{0, -1}},
		{"AbsPow of a power below 1 at zero", power(0.5), []float64{0, 4}, []float64{0, 0.25}},
		{"RootOfSquares at zero", op.RootOfSquares, []float64{0, 4}, []float64{0, 0.25}},
		{"Sqrt at zero", op.Sqrt, []float64{0, 4}, []float64{math.Inf(1), 0.25}},
		{"Pow of power 2 at zero", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Pow(x, 2) }, []float64{0, -2}, []float64{0, -4}},
		{"Pow of a power below 1 at zero", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Pow(x, 0.5) }, []float64{0, 4}, []float64{math.Inf(1), 0.25}},
		{"NormRows of a zero row", row(func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.NormRows(x, 0) }), []float64{0, 0}, []float64{0, 0}},
		{"NormRows at the least norm", row(func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.NormRows(x, 5) }), []float64{3, 4}, []float64{0, 0}},
		{"L2Normalize of a zero row is x / least", row(func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.L2Normalize(x, 0.25) }),
			[]float64{0, 0}, []float64{4, 4}},
	} {
		c.check(t)
	}
}

// TestDeadAttentionLearnsNothing follows a dead activation through the map and
// its normalisation, to second order: no NaN comes out of 0/0.
func TestDeadAttentionLearnsNothing(t *testing.T) {
	for _, c := range []struct {
		kind op.MapKind
		p    float64
	}{{op.MapSum, 1}, {op.MapSumPow, 2}, {op.MapSumPow, 1.5}, {op.MapMaxPow, 2}} {
		do, g := must(t), gorgonia.NewGraph()
		x := gorgonia.NewTensor(g, tensor.Float64, 4, gorgonia.WithName("x"), gorgonia.WithShape(1, 2, 2, 3),
			gorgonia.WithValue(tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 2, 2, 3))))
		y := do(op.L2Normalize(do(op.Flatten(do(op.AttentionMap(x, c.kind, c.p)))), 1e-12))
		first, err := op.Gradient(do(op.Sum(y)), x)
		if err != nil {
			t.Fatal(err)
		}
		second, err := op.Gradient(do(op.Sum(do(op.Square(first[0])))), x)
		if err != nil {
			t.Fatal(err)
		}
		zero := make([]float64, 12)
		out := compute(t, first[0], second[0])
		wantExactly(t, string(c.kind)+", first derivative", out[0], zero)
		wantExactly(t, string(c.kind)+", second derivative", out[1], zero)
	}
}

// TestReLUShowsNaN keeps a broken activation visible.
func TestReLUShowsNaN(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	got := compute(t, do(op.ReLU(vector(g, "x", math.NaN(), -math.NaN(), math.Inf(-1), math.Inf(1)))))[0]
	wantExactly(t, "ReLU", got, []float64{math.NaN(), math.NaN(), 0, math.Inf(1)})
}

// TestReductionsShowNaN keeps a broken value visible in the largest and the
// smallest along either kind of axis.
func TestReductionsShowNaN(t *testing.T) {
	do, g, nan := must(t), gorgonia.NewGraph(), math.NaN()
	x := do(op.Reshape(vector(g, "x", 1, nan, 3, -1, 2, nan), 2, 3))
	for _, f := range []func(*gorgonia.Node, ...int) (*gorgonia.Node, error){op.ReduceMax, op.ReduceMin} {
		wantExactly(t, "along the rows", compute(t, do(f(x, 1)))[0], []float64{nan, nan})
	}
	wantExactly(t, "largest along the columns", compute(t, do(op.ReduceMax(x, 0)))[0], []float64{1, nan, nan})
	wantExactly(t, "smallest along the columns", compute(t, do(op.ReduceMin(x, 0)))[0], []float64{-1, nan, nan})
}

// TestReductionsOfNothing pins what a reduction along axes of one element is.
func TestReductionsOfNothing(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x := do(op.Reshape(vector(g, "x", 1, 2), 1, 2))
	for _, f := range []func(*gorgonia.Node, ...int) (*gorgonia.Node, error){op.ReduceSum, op.ReduceMean, op.ReduceMax, op.ReduceMin} {
		if y := do(f(x, 0)); y != x {
			t.Errorf("got %v, want x itself", y)
		}
	}
}

// TestSoftmaxOfHiddenScores: a score of -Inf has no share and gets no gradient,
// and where all are hidden there is no answer, as in PyTorch and ONNX Runtime.
func TestSoftmaxOfHiddenScores(t *testing.T) {
	do, g, low := must(t), gorgonia.NewGraph(), math.Inf(-1)
	for name, f := range map[string]func(*gorgonia.Node, int) (*gorgonia.Node, error){"Softmax": op.Softmax, "LogSoftmax": op.LogSoftmaxAxis} {
		x := do(op.Reshape(vector(g, "x"+name, 0, low, 0, 500, low, -500, low, low, low), 3, 3))
		y := do(f(x, 1))
		exact := y
		if name == "LogSoftmax" {
			exact = do(op.Exp(y))
		}
		first, err := op.Gradient(do(op.Sum(do(op.Square(exact)))), x)
		if err != nil {
			t.Fatal(err)
		}
		second, err := op.Gradient(do(op.Sum(do(op.Square(first[0])))), x)
		if err != nil {
			t.Fatal(err)
		}
		out := compute(t, exact, first[0], second[0])
		wantExactly(t, name+", shares", out[0][:6], []float64{0.5, 0, 0.5, 1, 0, 0})
		for i, order := range out[1:] {
			wantExactly(t, fmt.Sprintf("%s, derivative %d", name, i+1), order[:6], []float64{0, 0, 0, 0, 0, 0})
		}
		if all := out[0][6]; !math.IsNaN(all) {
			t.Errorf("%s: where all are hidden the share is %v, want NaN", name, all)
		}
	}
}
