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

func TestPullbackOfSeveralOutputs(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x, gy, gz := vector(g, "x", 1, -2, 3), vector(g, "gy", 1, 10, 100), vector(g, "gz", 5)
	y := do(op.Square(x))
	z := do(op.ReduceSum(do(op.Mul(y, x)))) // Σ x³, of which y is a factor
	grads, err := op.Pullback(gorgonia.Nodes{z, y, y}, gorgonia.Nodes{gz, gy, gy}, x, y)
	if err != nil {
		t.Fatal(err)
	}
	out := compute(t, grads...)
	// By x: 2·gy·2x + gz·3x². By y, x held: 2·gy + gz·x.
	wantExactly(t, "by x", out[0], []float64{4 + 15, -80 + 60, 1200 + 135})
	wantExactly(t, "by y", out[1], []float64{2 + 5, 20 - 10, 200 + 15})
}

// TestPullbackIsGradient compares the two where both can be asked, once and
// nested.
func TestPullbackIsGradient(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x, gy := vector(g, "x", 1, -2, 3), vector(g, "gy", 2, 1, -1)
	y := do(op.Mul(do(op.Square(x)), x))
	pulled, err := op.Pullback(gorgonia.Nodes{y}, gorgonia.Nodes{gy}, x)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := op.Gradient(do(op.Sum(do(op.Mul(y, gy)))), x)
	if err != nil {
		t.Fatal(err)
	}
	again, err := op.Pullback(pulled, gorgonia.Nodes{x}, x, gy)
	if err != nil {
		t.Fatal(err)
	}
	out := compute(t, pulled[0], whole[0], again[0], again[1])
	wantExactly(t, "Pullback", out[0], []float64{6, 12, -27})
	wantExactly(t, "Gradient", out[1], out[0])
	wantExactly(t, "Pullback of Pullback by x, 6x·gy times x", out[2], []float64{12, 24, -54})
	wantExactly(t, "Pullback of Pullback by gy, 3x² times x", out[3], []float64{3, -24, 81})
}

func TestPullbackRefuses(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x, other, long := vector(g, "x", 1, 2), vector(g, "other", 1, 2), vector(g, "long", 1, 2, 3)
	y := do(op.Square(x))
	for _, c := range []struct {
		name           string
		outputs, grads gorgonia.Nodes
		wrt            *gorgonia.Node
		want           string
	}{
		{"no outputs", nil, nil, x, "op: Pullback wants a gradient for each of one or more outputs, got 0 for 0"},
		{"a gradient too few", gorgonia.Nodes{y, y}, gorgonia.Nodes{other}, x, "got 1 for 2"},
		{"a gradient of another shape", gorgonia.Nodes{y}, gorgonia.Nodes{long}, x, "wants a gradient of shape (2) for the output"},
		{"no gradient", gorgonia.Nodes{y}, gorgonia.Nodes{nil}, x, "op: Pullback: operand 1 is nil"},
		{"an input the outputs do not use", gorgonia.Nodes{y}, gorgonia.Nodes{other}, other, "does not depend differentiably on other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := op.Pullback(c.outputs, c.grads, c.wrt)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}
