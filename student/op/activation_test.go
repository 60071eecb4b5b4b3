package op_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
)

// TestActivationsAtTheirKinks pins the derivative where an activation has none:
// the value each doc comment states.
func TestActivationsAtTheirKinks(t *testing.T) {
	one := func(f func(x *gorgonia.Node, p float64) (*gorgonia.Node, error), p float64) func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) { return f(x, p) }
	}
	two := func(f func(x *gorgonia.Node, p, q float64) (*gorgonia.Node, error), p, q float64) func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) { return f(x, p, q) }
	}
	for _, c := range []kink{
		{"HardSigmoid at its bounds", two(op.HardSigmoid, 0.25, 0.5), []float64{-2, 0, 2}, []float64{0, 0.25, 0}},
		{"HardSwish at -3 and 3", op.HardSwish, []float64{-3, 0, 3}, []float64{0, 0.5, 1}},
		{"ELU at zero, of either sign", one(op.ELU, 0.5), []float64{0, math.Copysign(0, -1), 1}, []float64{0.5, 0.5, 1}},
		{"LeakyReLU at zero, of either sign", one(op.LeakyReLU, 0.25), []float64{0, math.Copysign(0, -1), 1}, []float64{0.25, 0.25, 1}},
		{"LeakyReLU with a negative slope at zero", one(op.LeakyReLU, -0.25), []float64{0, -1, 1}, []float64{-0.25, -0.25, 1}},
		{"LeakyReLU without a slope at zero", one(op.LeakyReLU, 0), []float64{0, -1, 1}, []float64{0, 0, 1}},
		{"Clip at its bounds", two(op.Clip, 0, 6), []float64{0, 3, 6}, []float64{0, 1, 0}},
		{"Clip to one value", two(op.Clip, 2, 2), []float64{1, 2, 3}, []float64{0, 0, 0}},
		{"PowOf at a base that is not positive, by the power", func(x *gorgonia.Node) (*gorgonia.Node, error) {
			return op.PowOf(vector(x.Graph(), "base", -2, 0, math.E), x)
		}, []float64{2, 2, 1}, []float64{0, 0, math.E}},
	} {
		c.check(t)
	}
}

// TestEqualsGoToTheFirst pins the derivative of a maximum and of a minimum of
// equals.
func TestEqualsGoToTheFirst(t *testing.T) {
	for name, f := range map[string]func(a, b *gorgonia.Node) (*gorgonia.Node, error){"Maximum": op.Maximum, "Minimum": op.Minimum} {
		do, g := must(t), gorgonia.NewGraph()
		a, b := vector(g, "a", 1, -2, 0), vector(g, "b", 1, -2, math.Copysign(0, -1))
		grads, err := op.Gradient(do(op.Sum(do(f(a, b)))), a, b)
		if err != nil {
			t.Fatal(err)
		}
		out := compute(t, grads...)
		wantExactly(t, name+", by the first", out[0], []float64{1, 1, 1})
		wantExactly(t, name+", by the second", out[1], []float64{0, 0, 0})
	}
}

// TestActivationsShowNaN keeps a broken activation visible, and an infinite one
// what it is.
func TestActivationsShowNaN(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		name        string
		f           func(x *gorgonia.Node) (*gorgonia.Node, error)
		below, over float64 // at -Inf and at Inf
	}{
		{"Sigmoid", op.Sigmoid, 0, 1},
		{"Tanh", op.Tanh, -1, 1},
		{"Erf", op.Erf, -1, 1},
		{"Softplus", op.Softplus, 0, inf},
		{"ELU", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.ELU(x, 0.5) }, -0.5, inf},
		{"LeakyReLU", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.LeakyReLU(x, 0.5) }, -inf, inf},
		{"HardSigmoid", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.HardSigmoid(x, 0.2, 0.5) }, 0, 1},
		{"Clip", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Clip(x, -1, 6) }, -1, 6},
		{"Clip without bounds", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Clip(x, -inf, inf) }, -inf, inf},
		{"Maximum", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Maximum(x, vector(x.Graph(), "b", 0, 0, 0)) }, 0, inf},
		{"Minimum", func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Minimum(vector(x.Graph(), "b", 0, 0, 0), x) }, -inf, 0},
	} {
		do, g := must(t), gorgonia.NewGraph()
		got := compute(t, do(c.f(vector(g, "x", math.NaN(), -inf, inf))))[0]
		wantExactly(t, c.name, got, []float64{math.NaN(), c.below, c.over})
	}
}

// TestSecondDerivativesEnd sees that an activation of straight pieces has none:
// a loss that contains its gradient says that it does not depend on it.
func TestSecondDerivativesEnd(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	x := vector(g, "x", -1, 2)
	first, err := op.Gradient(do(op.Sum(do(op.LeakyReLU(x, 0.1)))), x)
	if err != nil {
		t.Fatal(err)
	}
	_, err = op.Gradient(do(op.Sum(first[0])), x)
	if want := "does not depend differentiably on x"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one that says %q", err, want)
	}
}

// TestActivationsRefuse checks that an operator that cannot be applied says
// which operator, which rule and what came.
func TestActivationsRefuse(t *testing.T) {
	images, rows := tensor.Shape{2, 3, 4, 5}, tensor.Shape{2, 3}
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []refusal{
		{"nothing to activate", nil, func(gorgonia.Nodes) (*gorgonia.Node, error) { return op.Sigmoid(nil) }, "op: Sigmoid: operand 0 is nil"},
		{"a slope that is no number", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.LeakyReLU(in[0], nan) },
			"op: LeakyReLU wants a finite slope, got NaN"},
		{"an infinite alpha", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.HardSigmoid(in[0], inf, 0) },
			"op: HardSigmoid wants a finite alpha, got +Inf"},
		{"an infinite beta", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.HardSigmoid(in[0], 0, -inf) },
			"op: HardSigmoid wants a finite beta, got -Inf"},
		{"a negative alpha", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.ELU(in[0], -1) },
			"op: ELU wants an alpha of zero or more, got -1"},
		{"a bound that is no number", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Clip(in[0], nan, 1) },
			"op: Clip wants bounds that are numbers, or -Inf below and +Inf above for none, got NaN and 1"},
		{"a lower bound of infinity", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Clip(in[0], inf, inf) },
			"op: Clip wants bounds that are numbers, or -Inf below and +Inf above for none, got +Inf and +Inf"},
		{"a maximum of two shapes", []tensor.Shape{rows, images}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Maximum(in[0], in[1]) },
			"op: Maximum wants operands of one shape, got (2, 3) and (2, 3, 4, 5)"},
		{"a choice of two shapes", []tensor.Shape{rows, rows, {3, 2}}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Select(in[0], in[1], in[2]) },
			"op: Select wants operands of one shape, got (2, 3), (2, 3) and (3, 2)"},
		{"a softmax along an axis too many", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Softmax(in[0], 2) },
			"op: Softmax wants different axes of its input, from 0 to 1 of (2, 3), got [2]"},
		{"a softmax along a negative axis", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.LogSoftmaxAxis(in[0], -1) },
			"op: LogSoftmax wants different axes of its input, from 0 to 1 of (2, 3), got [-1]"},
		{"a softmax of a scalar", []tensor.Shape{{}}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Softmax(in[0], 0) },
			"op: Softmax wants an input with axes, got a scalar"},
		{"a normalisation over an axis twice", []tensor.Shape{images}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.MomentNorm(in[0], []int{1, 1}, 1e-5) },
			"op: MomentNorm wants different axes of its input, from 0 to 3 of (2, 3, 4, 5), got [1 1]"},
		{"a normalisation over nothing", []tensor.Shape{images}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.MomentNorm(in[0], nil, 1e-5) },
			"op: MomentNorm wants different axes of its input, from 0 to 3 of (2, 3, 4, 5), got []"},
		{"a normalisation with a negative eps", []tensor.Shape{images}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.MomentNorm(in[0], []int{1, 2}, -1) },
			"op: MomentNorm wants an eps of zero or more, got -1"},
		{"a normalisation from an axis that is none", []tensor.Shape{rows}, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.LayerNorm(in[0], 2, 1e-5) },
			"op: LayerNorm wants an axis of its input, from 0 to 1 of (2, 3), got 2"},
	} {
		c.check(t)
	}
}

// TestFormsFollowTheOpset sees that an activation is written as the operator of
// its name where the opset has it, and as a composition below.
func TestFormsFollowTheOpset(t *testing.T) {
	for _, c := range []struct {
		op    string // as the case and the operator are called
		since int64
	}{{"HardSwish", 14}, {"Mish", 18}, {"Gelu", 20}, {"LayerNormalization", 17}, {"InstanceNormalization", 13}, {"Softmax", 13}} {
		name := map[string]string{
			"LayerNormalization": "LayerNorm of tokens", "InstanceNormalization": "MomentNorm of each channel of an image", "Softmax": "Softmax along axis 2 of (2, 3, 4, 5)",
		}[c.op]
		if name == "" {
			name = c.op
		}
		found := false
		for _, oc := range optest.Cases() {
			if oc.Name != name {
				continue
			}
			found = true
			for opset := int64(13); opset <= 21; opset++ {
				m, err := oc.Model(opset)
				if err != nil {
					t.Fatal(err)
				}
				if own := len(m.Graph.Nodes) == 1 && m.Graph.Nodes[0].Op == c.op; own != (opset >= c.since) {
					t.Errorf("opset %d: %s is written in %d nodes, the first of which is %s; want one %s from opset %d on",
						opset, name, len(m.Graph.Nodes), m.Graph.Nodes[0].Op, c.op, c.since)
				}
			}
		}
		if !found {
			t.Errorf("the table has no case %q", name)
		}
	}
}
