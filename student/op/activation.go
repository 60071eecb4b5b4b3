package op

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// The derivative of an activation is g·f(x), with f of a family that is closed
// under differentiation: one operator, Times, computes it in one pass, to any
// order. f is a function of the activation's value where that tells enough, so
// that its operand's memory can go.

// scalar is a function of one variable.
type scalar interface {
	// derivative returns the function's derivative, nil where it is zero.
	derivative() scalar

	// times32 and times64 return the function g·f(x).
	times32() func(dst, g, x []float32)
	times64() func(dst, g, x []float64)

	// emit appends f(x).
	emit(f form, x string) string
}

// times returns g·f(x), of g and x of one shape.
func times(name string, f scalar, g, x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked(name, g, x); err != nil {
		return nil, err
	}
	if !exactly(g.Shape(), x.Shape()) {
		return nil, fmt.Errorf("op: %s wants operands of one shape, got %v and %v", name, g.Shape(), x.Shape())
	}
	n, next := x.Shape().TotalSize(), f.derivative()
	return apply2(name, fmt.Sprint(f), x.Shape(), g, x, plan2(true,
		func() binary[float32] { return kernel.Binary(n, f.times32()) },
		func() binary[float64] { return kernel.Binary(n, f.times64()) }), []bool{false, next == nil},
		func(g, x, _, grad *gorgonia.Node) (dg, dx *gorgonia.Node, err error) {
			var s steps
			dg = s.take(times(name, f, grad, x))
			if next != nil {
				dx = s.take(Mul(grad, s.take(times(name, next, g, x))))
			}
			return dg, dx, s.err
		},
		func(fm form) string { return fm.node("Mul", []string{fm.in[0], f.emit(fm, fm.in[1])}) })
}

// ofOperand and ofValue are the derivatives f(x)·g and f(y)·g of an activation.
func ofOperand(name string, f scalar) func(x, y, g *gorgonia.Node) (*gorgonia.Node, error) {
	return func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) { return times("Times"+name, f, g, x) }
}

func ofValue(name string, f scalar) func(x, y, g *gorgonia.Node) (*gorgonia.Node, error) {
	return func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) { return times("Times"+name, f, g, y) }
}

var (
	_ scalar = curve{}
	_ scalar = pieces{}
)

// curve is a kernel.Curve with the ONNX forms of the functions of its basis.
type curve struct {
	kernel.Curve
	forms [kernel.BasisSize]basisForm
}

// basisForm appends a function of x. The names of the other functions of the
// basis can be had from of, by their places.
type basisForm func(f form, x string, of func(i int) string) string

func (c curve) derivative() scalar {
	d := c.Curve.Derivative()
	if d.Zero() {
		return nil
	}
	return curve{d, c.forms}
}

func (c curve) times32() func(dst, g, x []float32) { return kernel.TimesCurve[float32](c.Curve) }
func (c curve) times64() func(dst, g, x []float64) { return kernel.TimesCurve[float64](c.Curve) }

// String tells the terms: coefficients and powers of x and of the basis.
func (c curve) String() string { return fmt.Sprint(c.Terms) }

func (c curve) emit(f form, x string) string {
	powers := [1 + kernel.BasisSize][]string{{x}}
	var power func(of, n int) string
	power = func(of, n int) string {
		if len(powers[of]) == 0 {
			powers[of] = []string{c.forms[of-1](f, x, func(i int) string { return power(1+i, 1) })}
		}
		for len(powers[of]) < n {
			powers[of] = append(powers[of], f.node("Mul", []string{powers[of][len(powers[of])-1], powers[of][0]}))
		}
		return powers[of][n-1]
	}
	sum := ""
	for _, t := range c.Terms {
		product := ""
		for of, n := range t.P {
			switch {
			case n == 0:
			case product == "":
				product = power(of, n)
			default:
				product = f.node("Mul", []string{product, power(of, n)})
			}
		}
		join, size := "Add", t.C
		if sum != "" && size < 0 {
			join, size = "Sub", -size
		}
		switch {
		case product == "":
			product = f.float(size)
		case size == -1:
			product = f.node("Neg", []string{product})
		case size != 1:
			product = f.node("Mul", []string{product, f.float(size)})
		}
		if sum != "" {
			product = f.node(join, []string{sum, product})
		}
		sum = product
	}
	return sum
}

// pieces is a kernel.Pieces.
type pieces struct{ kernel.Pieces }

func (p pieces) derivative() scalar {
	d := p.Pieces.Derivative()
	if d.Zero() {
		return nil
	}
	return pieces{d}
}

func (p pieces) times32() func(dst, g, x []float32) { return kernel.TimesPieces[float32](p.Pieces) }
func (p pieces) times64() func(dst, g, x []float64) { return kernel.TimesPieces[float64](p.Pieces) }

func (p pieces) String() string {
	return fmt.Sprintf("low=%v high=%v a=%v b=%v", p.Low, p.High, p.A, p.B)
}

func (p pieces) emit(f form, x string) string {
	piece := func(i int) string {
		if p.B[i] == 0 {
			return f.float(p.A[i])
		}
		y := x
		if p.B[i] != 1 {
			y = f.node("Mul", []string{y, f.float(p.B[i])})
		}
		if p.A[i] != 0 {
			y = f.node("Add", []string{y, f.float(p.A[i])})
		}
		return y
	}
	y := piece(1)
	if !math.IsInf(p.High, 1) && p.High != p.Low {
		y = f.where(f.node("GreaterOrEqual", []string{x, f.float(p.High)}), piece(2), y)
	}
	if !math.IsInf(p.Low, -1) {
		y = f.where(f.node("LessOrEqual", []string{x, f.float(p.Low)}), piece(0), y)
	}
	return y
}

// between is 1 strictly between low and high and 0 elsewhere, times k.
func between(low, high, k float64) pieces {
	return pieces{kernel.Pieces{Low: low, High: high, A: [3]float64{0, k, 0}}}
}

// above is a where x > 0 and below + slope·x elsewhere.
func above(below, slope, a float64) pieces {
	return pieces{kernel.Pieces{A: [3]float64{below, a, a}, B: [3]float64{slope, 0, 0}}}
}

// smooth makes and applies an activation with derivatives of every order.
func smooth(name string, x *gorgonia.Node, f func(x float64) float64,
	d func(x, y, g *gorgonia.Node) (*gorgonia.Node, error), emit func(form) string) (*gorgonia.Node, error) {
	if err := checked(name, x); err != nil {
		return nil, err
	}
	n := x.Shape().TotalSize()
	return apply1(name, "", x.Shape(), x, plan1(true,
		func() unary[float32] { return kernel.Unary(n, kernel.Smooth[float32](f)) },
		func() unary[float64] { return kernel.Unary(n, kernel.Smooth[float64](f)) }), d, emit)
}

// term makes a term of a polynomial in x and the functions of a basis.
func term(c float64, powers ...int) kernel.Term {
	t := kernel.Term{C: c}
	copy(t.P[:], powers)
	return t
}

// polynomial makes a curve of x alone.
func polynomial(terms ...kernel.Term) curve { return curve{Curve: kernel.Curve{Terms: terms}} }

// Sigmoid returns 1/(1+e^-x).
func Sigmoid(x *gorgonia.Node) (*gorgonia.Node, error) {
	slope := polynomial(term(1, 1), term(-1, 2)) // y − y²
	return smooth("Sigmoid", x, kernel.Sigmoid, ofValue("Sigmoid", slope), func(f form) string { return f.over("Sigmoid") })
}

// Tanh returns the hyperbolic tangent of x.
func Tanh(x *gorgonia.Node) (*gorgonia.Node, error) {
	slope := polynomial(term(1), term(-1, 2)) // 1 − y²
	return smooth("Tanh", x, math.Tanh, ofValue("Tanh", slope), func(f form) string { return f.over("Tanh") })
}

// Erf returns the error function of x, 2/√π·∫₀ˣ e^(−t²) dt.
func Erf(x *gorgonia.Node) (*gorgonia.Node, error) {
	slope := curve{kernel.Curve{Basis: kernel.Gaussian, Terms: []kernel.Term{term(2/math.SqrtPi, 0, 1)}},
		[kernel.BasisSize]basisForm{func(f form, x string, _ func(int) string) string { return f.gaussian(x, -1) }}}
	return smooth("Erf", x, math.Erf, ofOperand("Erf", slope), func(f form) string { return f.over("Erf") })
}

// gaussian appends e^(c·x²).
func (f form) gaussian(x string, c float64) string {
	return f.node("Exp", []string{f.node("Mul", []string{f.node("Mul", []string{x, x}), f.float(c)})})
}

// logistic is a curve in x, s = Sigmoid(x) and s·(1−s).
func logistic(terms ...kernel.Term) curve {
	return curve{kernel.Curve{Basis: kernel.Logistic, Terms: terms}, [kernel.BasisSize]basisForm{sigmoidForm, densityForm}}
}

func sigmoidForm(f form, x string, _ func(int) string) string { return f.node("Sigmoid", []string{x}) }

// densityForm appends s·(1−s), s the first function of the basis.
func densityForm(f form, _ string, of func(int) string) string {
	return f.node("Sub", []string{of(0), f.node("Mul", []string{of(0), of(0)})})
}

// Softplus returns log(1+e^x), which does not overflow.
func Softplus(x *gorgonia.Node) (*gorgonia.Node, error) {
	return smooth("Softplus", x, kernel.Softplus, ofOperand("Softplus", logistic(term(1, 0, 1))),
		func(f form) string { return f.over("Softplus") })
}

// SiLU returns x·Sigmoid(x), which is also called Swish (Elfwing, Uchibe and
// Doya 2017, arXiv 1702.03118).
func SiLU(x *gorgonia.Node) (*gorgonia.Node, error) {
	return smooth("SiLU", x, kernel.SiLU, ofOperand("SiLU", logistic(term(1, 1, 1)).derivative()),
		func(f form) string { return f.node("Mul", []string{f.in[0], f.over("Sigmoid")}) })
}

// The opsets from which activations are operators of their own.
const (
	hardSwishOpset = 14
	mishOpset      = 18
	geluOpset      = 20
)

// Gelu returns x·Φ(x), Φ the distribution function of the standard normal
// distribution (Hendrycks and Gimpel 2016, arXiv 1606.08415).
func Gelu(x *gorgonia.Node) (*gorgonia.Node, error) {
	value := curve{kernel.Curve{Basis: kernel.Normal, Terms: []kernel.Term{term(1, 1, 1)}}, [kernel.BasisSize]basisForm{
		func(f form, x string, _ func(int) string) string { // (1 + erf(x/√2))/2
			return f.node("Mul", []string{f.onePlusErf(x), f.float(0.5)})
		},
		func(f form, x string, _ func(int) string) string { // e^(−x²/2)/√(2π)
			return f.node("Mul", []string{f.gaussian(x, -0.5), f.float(1 / (math.Sqrt2 * math.SqrtPi))})
		},
	}}
	return smooth("Gelu", x, kernel.Gelu, ofOperand("Gelu", value.derivative()), func(f form) string {
		if f.b.Opset() >= geluOpset {
			return f.over("Gelu")
		}
		// In the order of the pattern that ONNX Runtime makes its own Gelu of.
		return f.node("Mul", []string{f.node("Mul", []string{f.in[0], f.onePlusErf(f.in[0])}), f.float(0.5)})
	})
}

// onePlusErf appends 1 + erf(x/√2).
func (f form) onePlusErf(x string) string {
	return f.node("Add", []string{f.node("Erf", []string{f.node("Div", []string{x, f.float(math.Sqrt2)})}), f.float(1)})
}

// oneMinusSquare appends 1 − x².
func (f form) oneMinusSquare(x string) string {
	return f.node("Sub", []string{f.float(1), f.node("Mul", []string{x, x})})
}

// GeluTanh returns the approximation of Gelu by tanh,
// ½x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
func GeluTanh(x *gorgonia.Node) (*gorgonia.Node, error) {
	// half appends ½(1 + tanh(√(2/π)·(x + 0.044715·x³))).
	half := func(f form, x string, _ func(int) string) string {
		y := f.node("Mul", []string{f.node("Mul", []string{x, x}), f.float(kernel.GeluTanhC)})
		y = f.node("Mul", []string{f.node("Add", []string{y, f.float(1)}), x})
		y = f.node("Tanh", []string{f.node("Mul", []string{y, f.float(kernel.GeluTanhK)})})
		return f.node("Mul", []string{f.node("Add", []string{y, f.float(1)}), f.float(0.5)})
	}
	value := curve{kernel.Curve{Basis: kernel.GeluTanhBasis, Terms: []kernel.Term{term(1, 1, 1)}}, [kernel.BasisSize]basisForm{half, densityForm}}
	return smooth("GeluTanh", x, kernel.GeluTanh, ofOperand("GeluTanh", value.derivative()), func(f form) string {
		if f.b.Opset() >= geluOpset {
			return f.over("Gelu", onnx.AttrString("approximate", "tanh"))
		}
		return f.node("Mul", []string{f.in[0], half(f, f.in[0], nil)})
	})
}

// Mish returns x·tanh(log(1+e^x)) (Misra 2019, arXiv 1908.08681).
func Mish(x *gorgonia.Node) (*gorgonia.Node, error) {
	tanh := func(f form, x string, _ func(int) string) string {
		return f.node("Tanh", []string{f.node("Softplus", []string{x})})
	}
	value := curve{kernel.Curve{Basis: kernel.MishBasis, Terms: []kernel.Term{term(1, 1, 1)}}, [kernel.BasisSize]basisForm{
		tanh,
		func(f form, _ string, of func(int) string) string {
			return f.node("Mul", []string{f.oneMinusSquare(of(0)), of(2)})
		},
		sigmoidForm,
	}}
	return smooth("Mish", x, kernel.Mish, ofOperand("Mish", value.derivative()), func(f form) string {
		if f.b.Opset() >= mishOpset {
			return f.over("Mish")
		}
		return f.node("Mul", []string{f.in[0], tanh(f, f.in[0], nil)})
	})
}

// HardSigmoid returns alpha·x + beta, bounded by 0 and 1. Its derivative where
// a bound begins to hold is taken as 0.
func HardSigmoid(x *gorgonia.Node, alpha, beta float64) (*gorgonia.Node, error) {
	const name = "HardSigmoid"
	if err := finite(name, "alpha", alpha); err != nil {
		return nil, err
	}
	if err := finite(name, "beta", beta); err != nil {
		return nil, err
	}
	var d func(x, y, g *gorgonia.Node) (*gorgonia.Node, error)
	if alpha != 0 {
		d = ofValue(name, between(0, 1, alpha))
	}
	return elementwise(name, fmt.Sprintf("alpha=%v beta=%v", alpha, beta), x,
		kernel.HardSigmoid[float32](alpha, beta), kernel.HardSigmoid[float64](alpha, beta), d,
		func(f form) string { return f.hardSigmoid(alpha, beta) })
}

func (f form) hardSigmoid(alpha, beta float64) string {
	return f.over("HardSigmoid", onnx.AttrFloat("alpha", float32(alpha)), onnx.AttrFloat("beta", float32(beta)))
}

// HardSwish returns x times (x+3)/6 bounded by 0 and 1 (Howard et al. 2019,
// arXiv 1905.02244). Its derivative is taken as 0 at -3 and as 1 at 3.
func HardSwish(x *gorgonia.Node) (*gorgonia.Node, error) {
	slope := pieces{kernel.Pieces{Low: -3, High: 3, A: [3]float64{0, 0.5, 1}, B: [3]float64{0, 1. / 3, 0}}}
	return elementwise("HardSwish", "", x, kernel.HardSwish[float32], kernel.HardSwish[float64], ofOperand("HardSwish", slope),
		func(f form) string {
			if f.b.Opset() >= hardSwishOpset {
				return f.over("HardSwish")
			}
			return f.node("Mul", []string{f.in[0], f.hardSigmoid(1./6, 0.5)})
		})
}

// ELU returns x above zero and alpha·(e^x − 1) elsewhere; alpha is zero or more
// (Clevert, Unterthiner and Hochreiter 2015, arXiv 1511.07289). Its derivative
// at zero is taken as alpha.
func ELU(x *gorgonia.Node, alpha float64) (*gorgonia.Node, error) {
	const name = "ELU"
	if !(alpha >= 0) || math.IsInf(alpha, 1) {
		return nil, fmt.Errorf("op: %s wants an alpha of zero or more, got %v", name, alpha)
	}
	// Below zero the derivative is y + alpha.
	return elementwise(name, fmt.Sprintf("alpha=%v", alpha), x, kernel.ELU[float32](alpha), kernel.ELU[float64](alpha),
		ofValue(name, above(alpha, 1, 1)),
		func(f form) string { return f.over("Elu", onnx.AttrFloat("alpha", float32(alpha))) })
}

// LeakyReLU returns x above zero and slope·x elsewhere. Its derivative at zero
// is taken as slope, as ReLU's is as 0.
func LeakyReLU(x *gorgonia.Node, slope float64) (*gorgonia.Node, error) {
	const name = "LeakyReLU"
	if err := finite(name, "slope", slope); err != nil {
		return nil, err
	}
	d := ofOperand(name, above(slope, 0, 1))
	if slope > 0 { // then the value has the operand's sign
		d = ofValue(name, above(slope, 0, 1))
	}
	return elementwise(name, fmt.Sprintf("slope=%v", slope), x, kernel.LeakyReLU[float32](slope), kernel.LeakyReLU[float64](slope), d,
		func(f form) string { return f.over("LeakyRelu", onnx.AttrFloat("alpha", float32(slope))) })
}

// Clip returns x, bounded by low and high; an infinite bound is none. Where low
// is above high every element becomes high, as in ONNX. The derivative at a
// bound is taken as 0.
func Clip(x *gorgonia.Node, low, high float64) (*gorgonia.Node, error) {
	const name = "Clip"
	if math.IsNaN(low) || math.IsNaN(high) || math.IsInf(low, 1) || math.IsInf(high, -1) {
		return nil, fmt.Errorf("op: %s wants bounds that are numbers, or -Inf below and +Inf above for none, got %v and %v", name, low, high)
	}
	low = min(low, high)
	return elementwise(name, fmt.Sprintf("low=%v high=%v", low, high), x, kernel.Clip[float32](low, high), kernel.Clip[float64](low, high),
		ofValue(name, between(low, high, 1)),
		func(f form) string {
			in := []string{f.in[0]}
			switch {
			case !math.IsInf(low, -1):
				in = append(in, f.float(low))
			case !math.IsInf(high, 1):
				in = append(in, "")
			}
			if !math.IsInf(high, 1) {
				in = append(in, f.float(high))
			}
			return f.node("Clip", in)
		})
}

// Maximum returns the larger of a and b, elementwise, of one shape; NaN where
// one is. The derivative of equals goes to a.
func Maximum(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Maximum", "", a, b, kernel.Maximum[float32], kernel.Maximum[float64], nil,
		func(a, b, _, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) { return divide(b, a, g) },
		func(f form) string { return f.over("Max") })
}

// Minimum returns the smaller of a and b, elementwise, of one shape; NaN where
// one is. The derivative of equals goes to a.
func Minimum(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Minimum", "", a, b, kernel.Minimum[float32], kernel.Minimum[float64], nil,
		func(a, b, _, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) { return divide(a, b, g) },
		func(f form) string { return f.over("Min") })
}

// divide hands g to the second operand where p > q and to the first elsewhere.
func divide(p, q, g *gorgonia.Node) (first, second *gorgonia.Node, err error) {
	var s steps
	second = s.take(Gate(s.take(Sub(p, q)), g))
	first, err = s.end(Sub(g, second))
	return first, second, err
}

// PowOf returns a^b, elementwise, of one shape, as math.Pow does: NaN for a
// negative a with a fractional b. Where a is not above zero, the derivative by b
// is taken as 0. That by a is b·a^(b−1), which is NaN where both are zero. Pow
// is for a power that is a number.
func PowOf(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("PowOf", "", a, b, kernel.PowOf[float32], kernel.PowOf[float64], nil,
		func(a, b, y, g *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			var s steps
			da := s.take(Mul(g, s.take(Mul(b, s.take(PowOf(a, s.take(AddScalar(b, -1))))))))
			db, err := s.end(Mul(g, s.take(Mul(y, s.take(logPositive(a))))))
			return da, db, err
		},
		func(f form) string { return f.over("Pow") })
}

// logPositive returns log x where x > 0 and 0 elsewhere, and so its derivative.
func logPositive(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("LogPositive", "", x, kernel.LogPositive[float32], kernel.LogPositive[float64],
		func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			return s.end(Mul(g, s.take(inverse(x, 0))))
		},
		func(f form) string {
			zero := f.float(0)
			return f.where(f.node("Greater", []string{f.in[0], zero}), f.over("Log"), zero)
		})
}

// Select returns a where mask > 0 and b elsewhere, of one shape. mask holds
// zeros and ones and has no derivative.
func Select(mask, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	const name = "Select"
	if err := checked(name, mask, a, b); err != nil {
		return nil, err
	}
	shape := mask.Shape().Clone()
	if !exactly(shape, a.Shape()) || !exactly(shape, b.Shape()) {
		return nil, fmt.Errorf("op: %s wants operands of one shape, got %v, %v and %v", name, shape, a.Shape(), b.Shape())
	}
	n := shape.TotalSize()
	return apply(&formula{
		core:  newCore(name, "", shape, mask, a, b),
		value: typed(planSelect[float32](n), planSelect[float64](n)),
		fixed: []bool{true, false, false},
		slope: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			da := s.take(Gate(in[0], grad))
			db := s.take(Sub(grad, da))
			return gorgonia.Nodes{nil, da, db}, s.err
		},
		emit: func(f form) string {
			return f.where(f.node("Greater", []string{f.in[0], f.float(0)}), f.in[1], f.in[2])
		},
	}, mask, a, b)
}

func planSelect[T kernel.Float](n int) func() Plan {
	return func() Plan {
		run := kernel.Select[T](n)
		return Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]), kernel.Of[T](src[2]))
		}}
	}
}
