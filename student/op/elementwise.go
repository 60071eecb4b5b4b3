package op

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

var _ Operator = (*formula)(nil)

// formula is an operator told by its parts. Each constructor of the
// elementary operators writes the parts side by side: value, derivative, form.
type formula struct {
	core
	value func(dt tensor.Dtype) (Plan, error)

	// slope returns the derivative by each operand, nil where there is none. It
	// uses the operands it is given, never those of the constructor: the graph
	// may be a copy.
	slope slope

	// fixed marks the operands without a derivative; nil means that all have
	// one.
	fixed []bool

	emit func(f form) string

	eps   float64         // of batch normalisations
	power kernel.AbsPower // of AttentionSpread
	flops int64           // of products of matrices
}

// Do implements gorgonia.Op.
func (o *formula) Do(in ...gorgonia.Value) (gorgonia.Value, error) { return do(o, o.out, in) }

// Plan implements Operator.
func (o *formula) Plan(dt tensor.Dtype) (Plan, error) {
	if dt != tensor.Float32 && dt != tensor.Float64 {
		return Plan{}, fmt.Errorf("op: %v: element type %v; operators compute in float32 or float64", o, dt)
	}
	return o.value(dt)
}

// DiffWRT implements gorgonia.SDOp.
func (o *formula) DiffWRT(n int) []bool {
	d := o.core.DiffWRT(n)
	for i, f := range o.fixed {
		d[i] = !f
	}
	return d
}

// SymDiff implements gorgonia.SDOp.
func (o *formula) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	d, err := o.slope(in, out, grad)
	if err != nil {
		return nil, fmt.Errorf("op: derivative of %v: %w", o, err)
	}
	return d, nil
}

// ONNX implements Operator.
func (o *formula) ONNX(b *onnx.Builder, in []string) (string, error) {
	if len(in) != len(o.in) {
		return "", fmt.Errorf("op: %v has %d operands, got %d names", o, len(o.in), len(in))
	}
	if b.Opset() < minOpset {
		return "", &NoFormError{Op: o.String(), Reason: fmt.Sprintf("opset %d is below %d", b.Opset(), minOpset)}
	}
	return o.emit(form{b, in}), nil
}

// unary and binary are the runs of kernels of one and two operands.
type (
	unary[T kernel.Float]  = func(dst, x []T) error
	binary[T kernel.Float] = func(dst, a, b []T) error
)

// plan1 makes the plan of an operator of one operand from its kernel in each
// element type. The kernel is made anew for each plan, since it holds the
// operands of the run under way.
func plan1(inPlace bool, f32 func() unary[float32], f64 func() unary[float64]) func(tensor.Dtype) (Plan, error) {
	return func(dt tensor.Dtype) (Plan, error) {
		p := Plan{InPlace: inPlace}
		if dt == tensor.Float32 {
			run := f32()
			p.Run = func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
				return run(kernel.Of[float32](dst), kernel.Of[float32](src[0]))
			}
			return p, nil
		}
		run := f64()
		p.Run = func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(kernel.Of[float64](dst), kernel.Of[float64](src[0]))
		}
		return p, nil
	}
}

// plan2 is plan1 for two operands.
func plan2(inPlace bool, f32 func() binary[float32], f64 func() binary[float64]) func(tensor.Dtype) (Plan, error) {
	return func(dt tensor.Dtype) (Plan, error) {
		p := Plan{InPlace: inPlace}
		if dt == tensor.Float32 {
			run := f32()
			p.Run = func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
				return run(kernel.Of[float32](dst), kernel.Of[float32](src[0]), kernel.Of[float32](src[1]))
			}
			return p, nil
		}
		run := f64()
		p.Run = func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(kernel.Of[float64](dst), kernel.Of[float64](src[0]), kernel.Of[float64](src[1]))
		}
		return p, nil
	}
}

// slope is how a formula's derivative is written: from the operands, the value
// and its gradient to a gradient for each operand.
type slope = func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error)

// slope2 is the slope of an operator of two operands.
func slope2(f func(a, b, y, g *gorgonia.Node) (da, db *gorgonia.Node, err error)) slope {
	return func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		da, db, err := f(in[0], in[1], out, grad)
		return gorgonia.Nodes{da, db}, err
	}
}

// end takes the last node of a derivative and returns it with the first error
// of all its steps.
func (s *steps) end(n *gorgonia.Node, err error) (*gorgonia.Node, error) {
	n = s.take(n, err)
	return n, s.err
}

// apply1 makes and applies the formula of one operand. Without a derivative, d
// is nil: it is zero wherever it exists.
func apply1(name, attrs string, out tensor.Shape, x *gorgonia.Node, value func(tensor.Dtype) (Plan, error),
	d func(x, y, g *gorgonia.Node) (*gorgonia.Node, error), emit func(form) string) (*gorgonia.Node, error) {
	o := &formula{core: newCore(name, attrs, out, x), value: value, slope: noSlope, fixed: []bool{true}, emit: emit}
	if d != nil {
		o.slope, o.fixed = ofOne(d), nil
	}
	return apply(o, x)
}

// apply2 makes and applies the formula of two operands; fixed is as in formula.
func apply2(name, attrs string, out tensor.Shape, a, b *gorgonia.Node, value func(tensor.Dtype) (Plan, error), fixed []bool,
	d func(a, b, y, g *gorgonia.Node) (da, db *gorgonia.Node, err error), emit func(form) string) (*gorgonia.Node, error) {
	return apply(&formula{core: newCore(name, attrs, out, a, b), value: value, slope: slope2(d), fixed: fixed, emit: emit}, a, b)
}

// elementwise makes and applies a function of each element of x.
func elementwise(name, attrs string, x *gorgonia.Node, f32 func(dst, x []float32), f64 func(dst, x []float64),
	d func(x, y, g *gorgonia.Node) (*gorgonia.Node, error), emit func(form) string) (*gorgonia.Node, error) {
	if err := checked(name, x); err != nil {
		return nil, err
	}
	n := x.Shape().TotalSize()
	return apply1(name, attrs, x.Shape(), x, plan1(true,
		func() unary[float32] { return kernel.Unary(n, f32) },
		func() unary[float64] { return kernel.Unary(n, f64) }), d, emit)
}

// pairwise makes and applies a function of the elements of a and b, one by one.
func pairwise(name, attrs string, a, b *gorgonia.Node, f32 func(dst, a, b []float32), f64 func(dst, a, b []float64), fixed []bool,
	d func(a, b, y, g *gorgonia.Node) (da, db *gorgonia.Node, err error), emit func(form) string) (*gorgonia.Node, error) {
	if err := checked(name, a, b); err != nil {
		return nil, err
	}
	if !exactly(a.Shape(), b.Shape()) {
		return nil, fmt.Errorf("op: %s wants operands of one shape, got %v and %v", name, a.Shape(), b.Shape())
	}
	n := a.Shape().TotalSize()
	return apply2(name, attrs, a.Shape(), a, b, plan2(true,
		func() binary[float32] { return kernel.Binary(n, f32) },
		func() binary[float64] { return kernel.Binary(n, f64) }), fixed, d, emit)
}

// Add returns a + b, elementwise. Both have one shape, of any rank; nothing is
// broadcast.
func Add(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Add", "", a, b, kernel.Add[float32], kernel.Add[float64], nil,
		func(_, _, _, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) { return g, g, nil },
		func(f form) string { return f.over("Add") })
}

// Sub returns a - b, elementwise, of one shape.
func Sub(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Sub", "", a, b, kernel.Sub[float32], kernel.Sub[float64], nil,
		func(_, _, _, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			db, err := Neg(g)
			return g, db, err
		},
		func(f form) string { return f.over("Sub") })
}

// Mul returns a · b, elementwise, of one shape.
func Mul(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Mul", "", a, b, kernel.Mul[float32], kernel.Mul[float64], nil,
		func(a, b, _, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			var s steps
			da := s.take(Mul(g, b))
			db, err := s.end(Mul(g, a))
			return da, db, err
		},
		func(f form) string { return f.over("Mul") })
}

// Div returns a / b, elementwise, of one shape. Division by zero gives what
// IEEE 754 says; it is no error.
func Div(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Div", "", a, b, kernel.Div[float32], kernel.Div[float64], nil,
		func(_, b, y, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			var s steps
			da := s.take(Div(g, b))
			db, err := s.end(Neg(s.take(Mul(da, y))))
			return da, db, err
		},
		func(f form) string { return f.over("Div") })
}

// Neg returns -x.
func Neg(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Neg", "", x, kernel.Neg[float32], kernel.Neg[float64],
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return Neg(g) },
		func(f form) string { return f.over("Neg") })
}

// Exp returns e^x.
func Exp(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Exp", "", x, kernel.Exp[float32], kernel.Exp[float64],
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) { return Mul(g, y) },
		func(f form) string { return f.over("Exp") })
}

// Log returns the natural logarithm of x: NaN below zero, -Inf at zero.
func Log(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Log", "", x, kernel.Log[float32], kernel.Log[float64],
		func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) { return Div(g, x) },
		func(f form) string { return f.over("Log") })
}

// Sqrt returns the square root of x: NaN below zero. Its derivative at zero is
// infinite, as in PyTorch; see RootOfSquares.
func Sqrt(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Sqrt", "", x, kernel.Sqrt[float32], kernel.Sqrt[float64],
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			return s.end(Scale(s.take(Div(g, y)), 0.5))
		},
		func(f form) string { return f.over("Sqrt") })
}

// RootOfSquares returns the square root of x, a sum or a mean of squares. Its
// derivative at zero is taken as 0, as PyTorch takes it for a norm and for a
// standard deviation, where all that was squared is zero.
func RootOfSquares(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("RootOfSquares", "", x, kernel.Sqrt[float32], kernel.Sqrt[float64],
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			return s.end(Scale(s.take(Mul(g, s.take(inverse(y, 0)))), 0.5))
		},
		func(f form) string { return f.over("Sqrt") })
}

// Square returns x².
func Square(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Square", "", x, kernel.Pow[float32](2), kernel.Pow[float64](2),
		func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			return s.end(Scale(s.take(Mul(g, x)), 2))
		},
		func(f form) string { return f.node("Mul", []string{f.in[0], f.in[0]}) })
}

// Pow returns x^p as math.Pow does: 0⁰ is 1, a negative x with a fractional p
// gives NaN. The derivative at zero is infinite where p is below 1, as in
// PyTorch; see AbsPow.
func Pow(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	if err := finite("Pow", "power", p); err != nil {
		return nil, err
	}
	d := func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) {
		var s steps
		return s.end(Scale(s.take(Mul(g, s.take(Pow(x, p-1)))), p))
	}
	if p == 0 {
		d = nil
	}
	return elementwise("Pow", fmt.Sprintf("p=%v", p), x, kernel.Pow[float32](p), kernel.Pow[float64](p), d,
		func(f form) string { return f.node("Pow", []string{f.in[0], f.float(p)}) })
}

// Abs returns |x|. Its derivative at zero is taken as 0.
func Abs(x *gorgonia.Node) (*gorgonia.Node, error) {
	return absPow("Abs", x, kernel.AbsPower{C: 1, P: 1})
}

// Sign returns -1, 0 or 1. Its derivative is zero.
func Sign(x *gorgonia.Node) (*gorgonia.Node, error) {
	return absPow("Sign", x, kernel.AbsPower{C: 1, P: 0, Odd: true})
}

// AbsPow returns |x|^p, for p above zero. Its derivative at zero is taken as 0,
// also where p is 1 or less.
func AbsPow(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	if err := positive("AbsPow", "power", p); err != nil {
		return nil, err
	}
	return absPow("AbsPow", x, kernel.AbsPower{C: 1, P: p})
}

// absPow applies a member of the family |x|^p, which is closed under
// differentiation.
func absPow(name string, x *gorgonia.Node, f kernel.AbsPower) (*gorgonia.Node, error) {
	d := func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) {
		var s steps
		return s.end(Mul(g, s.take(absPow("AbsPow", x, f.Derivative()))))
	}
	if f.Derivative().Zero() {
		d = nil
	}
	return elementwise(name, fmt.Sprintf("c=%v p=%v odd=%v", f.C, f.P, f.Odd), x, kernel.AbsPow[float32](f), kernel.AbsPow[float64](f), d,
		func(fm form) string { return fm.absPow(f.C, f.P, f.Odd, fm.in[0]) })
}

// Scale returns c·x.
func Scale(x *gorgonia.Node, c float64) (*gorgonia.Node, error) {
	if err := finite("Scale", "factor", c); err != nil {
		return nil, err
	}
	return elementwise("Scale", fmt.Sprintf("c=%v", c), x, kernel.Scale[float32](c), kernel.Scale[float64](c),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return Scale(g, c) },
		func(f form) string { return f.node("Mul", []string{f.in[0], f.float(c)}) })
}

// AddScalar returns x + c.
func AddScalar(x *gorgonia.Node, c float64) (*gorgonia.Node, error) {
	if err := finite("AddScalar", "summand", c); err != nil {
		return nil, err
	}
	return elementwise("AddScalar", fmt.Sprintf("c=%v", c), x, kernel.AddScalar[float32](c), kernel.AddScalar[float64](c),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return g, nil },
		func(f form) string { return f.node("Add", []string{f.in[0], f.float(c)}) })
}

// ReLU returns max(x, 0). Its derivative at zero is taken as 0.
func ReLU(x *gorgonia.Node) (*gorgonia.Node, error) {
	// The output is positive just where the operand is. Asking the output lets
	// the operand's memory go.
	return elementwise("ReLU", "", x, kernel.ReLU[float32], kernel.ReLU[float64],
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) { return Gate(y, g) },
		func(f form) string { return f.over("Relu") })
}

// Gate returns g where x > 0 and 0 elsewhere: ReLU's derivative. It has no
// derivative by x.
func Gate(x, g *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Gate", "", x, g, kernel.Gate[float32], kernel.Gate[float64], []bool{true, false},
		func(x, _, _, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			d, err := Gate(x, g)
			return nil, d, err
		},
		func(f form) string {
			zero := f.float(0)
			return f.where(f.node("Greater", []string{f.in[0], zero}), f.in[1], zero)
		})
}

// inverse returns 1/x where x > floor and 0 elsewhere. Its derivative is that
// of the branch taken.
func inverse(x *gorgonia.Node, floor float64) (*gorgonia.Node, error) {
	return elementwise("Inverse", fmt.Sprintf("floor=%v", floor), x, kernel.Inverse[float32](floor), kernel.Inverse[float64](floor),
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			return s.end(Neg(s.take(Mul(g, s.take(Square(y))))))
		},
		func(f form) string {
			return f.where(f.node("Greater", []string{f.in[0], f.float(floor)}), f.over("Reciprocal"), f.float(0))
		})
}

func finite(op, what string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("op: %s wants a finite %s, got %v", op, what, v)
	}
	return nil
}

func positive(op, what string, v float64) error {
	if !(v > 0) || math.IsInf(v, 1) {
		return fmt.Errorf("op: %s wants a %s above zero, got %v", op, what, v)
	}
	return nil
}
