package op_test

import (
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
)

func vector(g *gorgonia.ExprGraph, name string, v ...float64) *gorgonia.Node {
	return gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName(name), gorgonia.WithShape(len(v)),
		gorgonia.WithValue(tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v))))
}

func must(t *testing.T) func(n *gorgonia.Node, err error) *gorgonia.Node {
	return func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func compute(t *testing.T, outputs ...*gorgonia.Node) [][]float64 {
	t.Helper()
	p, err := optest.Compile(outputs...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantExactly(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if err := optest.Compare(got, want, optest.Exact); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func TestGradientByAValueInBetween(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x := vector(g, "x", 1, -2, 3)
	square := do(op.Square(x))
	cost := do(op.Sum(do(op.Mul(square, x)))) // Σ x³, of which x² is a factor
	grads, err := op.Gradient(cost, square, x)
	if err != nil {
		t.Fatal(err)
	}
	out := compute(t, grads...)
	wantExactly(t, "by x², x held", out[0], []float64{1, -2, 3})
	wantExactly(t, "by x", out[1], []float64{3, 12, 27})
}

func TestGradientByTheCostItselfIsOne(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	cost := do(op.Sum(vector(g, "x", 1, 2)))
	grads, err := op.Gradient(cost, cost)
	if err != nil {
		t.Fatal(err)
	}
	wantExactly(t, "derivative", compute(t, grads[0])[0], []float64{1})
}

// TestGradientLeavesNoMarks is why Gradient exists: gorgonia.Grad after an
// inner gradient of its own drops the second-order paths without a word.
func TestGradientLeavesNoMarks(t *testing.T) {
	second := func(inner func(cost *gorgonia.Node, wrt ...*gorgonia.Node) (gorgonia.Nodes, error)) []float64 {
		do, g := must(t), gorgonia.NewGraph()
		x := vector(g, "x", 1, -2)
		y := do(op.Mul(x, do(op.Square(x)))) // x³
		grads, err := inner(do(op.Sum(y)), x)
		if err != nil {
			t.Fatal(err)
		}
		outer, err := gorgonia.Grad(do(op.Sum(do(op.Square(grads[0])))), x)
		if err != nil {
			t.Fatal(err)
		}
		return compute(t, outer[0])[0]
	}
	want := []float64{36, -288} // Σ (3x²)² has the derivative 36x³
	wantExactly(t, "gorgonia.Grad of op.Gradient", second(op.Gradient), want)
	if err := optest.Compare(second(gorgonia.Grad), want, optest.Exact); err == nil {
		t.Error("gorgonia.Grad twice is right; Gradient's reason to exist is gone")
	}
}

func TestGradientOfTwoCostsInOneGraph(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x := vector(g, "x", 2, 3)
	for i, c := range []struct {
		cost *gorgonia.Node
		want []float64
	}{
		{do(op.Sum(do(op.Square(x)))), []float64{4, 6}},
		{do(op.Sum(do(op.Pow(x, 3)))), []float64{12, 27}},
	} {
		grads, err := op.Gradient(c.cost, x)
		if err != nil {
			t.Fatal(err)
		}
		wantExactly(t, []string{"first", "second"}[i], compute(t, grads[0])[0], c.want)
	}
}

func TestGradientRefuses(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x, other := vector(g, "x", 1, 2), vector(g, "other", 1, 2)
	cost := do(op.Sum(do(op.Square(x))))
	step := do(op.Sum(do(op.Sign(x))))
	for _, c := range []struct {
		name string
		cost *gorgonia.Node
		wrt  *gorgonia.Node
		want string
	}{
		{"a cost that is no scalar", x, x, "op: Gradient wants a scalar cost, got x of shape (2)"},
		{"an input the cost does not use", cost, other, "does not depend differentiably on other"},
		{"an input behind a step function", step, x, "does not depend differentiably on x"},
		{"no cost", nil, x, "op: Gradient: operand 0 is nil"},
		{"an input of another graph", cost, vector(gorgonia.NewGraph(), "far", 1, 2), "(far) is of another graph than operand 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := op.Gradient(c.cost, c.wrt)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}
