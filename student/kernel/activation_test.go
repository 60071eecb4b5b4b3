package kernel

import (
	"math"
	"testing"
)

// TestCurvesAndTheirDerivatives holds what a curve computes against the
// function it is to be, and each derivative against central differences of the
// one before.
func TestCurvesAndTheirDerivatives(t *testing.T) {
	x1 := [4]int{1, 1}
	for name, c := range map[string]struct {
		curve Curve
		f     func(x float64) float64
	}{
		"Softplus'": {Curve{Logistic, []Term{{1, [4]int{0, 1}}}}, Sigmoid},
		"SiLU":      {Curve{Logistic, []Term{{1, x1}}}, SiLU},
		"Gelu":      {Curve{Normal, []Term{{1, x1}}}, Gelu},
		"GeluTanh":  {Curve{GeluTanhBasis, []Term{{1, x1}}}, GeluTanh},
		"Mish":      {Curve{MishBasis, []Term{{1, x1}}}, Mish},
		"Erf'":      {Curve{Gaussian, []Term{{1, [4]int{0, 1}}}}, func(x float64) float64 { return math.Exp(-x * x) }},
		"x³ - 2x":   {Curve{nil, []Term{{1, [4]int{3}}, {-2, [4]int{1}}}}, func(x float64) float64 { return x*x*x - 2*x }},
	} {
		const step, orders = 1e-3, 4
		for x := -6.0; x <= 6; x += 0.37 {
			f := c.curve
			if got, want := f.At(x), c.f(x); math.Abs(got-want) > 1e-14*max(1, math.Abs(want)) {
				t.Errorf("%s(%v) is %v, want %v", name, x, got, want)
			}
			for order := 1; order <= orders; order++ {
				d := f.Derivative()
				want := (f.At(x-2*step) - 8*f.At(x-step) + 8*f.At(x+step) - f.At(x+2*step)) / (12 * step)
				if got := d.At(x); math.Abs(got-want) > 1e-9 {
					t.Errorf("derivative %d of %s at %v is %v, central differences give %v", order, name, x, got, want)
				}
				f = d
			}
		}
	}
}

// TestPolynomialsEndAtZero sees that a polynomial has no derivative of an order
// above its degree: an operator that has none is not differentiated on.
func TestPolynomialsEndAtZero(t *testing.T) {
	f := Curve{Terms: []Term{{1, [4]int{1}}, {-1, [4]int{2}}}}
	for order := range 3 {
		if f.Zero() {
			t.Errorf("derivative %d of x − x² is taken for zero", order)
		}
		f = f.Derivative()
	}
	if !f.Zero() {
		t.Errorf("derivative 3 of x − x² is %v, want none", f.Terms)
	}
}

// TestActivationsFarFromZero holds values far out against their limits: no
// overflow, no 0·Inf, and no digits lost on the way to zero.
func TestActivationsFarFromZero(t *testing.T) {
	zero, same, one := func(float64) float64 { return 0 }, func(x float64) float64 { return x }, func(float64) float64 { return 1 }
	gelu, silu := Curve{Normal, []Term{{1, [4]int{1, 1}}}}, Curve{Logistic, []Term{{1, [4]int{1, 1}}}}
	tanh := Curve{GeluTanhBasis, []Term{{1, [4]int{1, 1}}}}
	mish := Curve{MishBasis, []Term{{1, [4]int{1, 1}}}}
	for name, c := range map[string]struct{ f, below, above func(x float64) float64 }{
		"Sigmoid": {Sigmoid, zero, one}, "Softplus": {Softplus, zero, same}, "SiLU": {SiLU, zero, same},
		"Gelu": {Gelu, zero, same}, "GeluTanh": {GeluTanh, zero, same}, "Mish": {Mish, zero, same},
		"Gelu'": {gelu.Derivative().At, zero, one}, "SiLU'": {silu.Derivative().At, zero, one},
		"GeluTanh'": {tanh.Derivative().At, zero, one}, "Mish'": {mish.Derivative().At, zero, one},
		"Gelu''": {gelu.Derivative().Derivative().At, zero, zero}, "SiLU''": {silu.Derivative().Derivative().At, zero, zero},
		"GeluTanh''": {tanh.Derivative().Derivative().At, zero, zero}, "Mish''": {mish.Derivative().Derivative().At, zero, zero},
	} {
		for _, x := range []float64{1e3, 1e6, 1e15, math.MaxFloat32} {
			if got := c.f(-x); got != c.below(-x) {
				t.Errorf("%s(%v) is %v, want %v", name, -x, got, c.below(-x))
			}
			if got := c.f(x); got != c.above(x) {
				t.Errorf("%s(%v) is %v, want %v", name, x, got, c.above(x))
			}
		}
	}
	// Close to e^x times a little, where the naive formulas give 0.
	for name, c := range map[string]struct{ got, want float64 }{
		"Sigmoid(-40)":           {Sigmoid(-40), math.Exp(-40)},
		"Softplus(-40)":          {Softplus(-40), math.Exp(-40)},
		"Sigmoid'(40)":           {logisticDensity(40), math.Exp(-40)},
		"Mish(-40)":              {Mish(-40), -40 * math.Exp(-40)},
		"tanh(Softplus)'(40)":    {tanhSoftplusSlope(40), 4 * math.Exp(-80)},
		"tanh(Softplus)'(-40)":   {tanhSoftplusSlope(-40), math.Exp(-40)},
		"Gelu(-10), by tables":   {Gelu(-10), -10 * 7.619853024160527e-24},
		"normal density at zero": {normalDensity(0), 1 / math.Sqrt(2*math.Pi)},
	} {
		if math.Abs(c.got-c.want) > 1e-13*math.Abs(c.want) {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
}

// TestTablesAreAsGoodAsFloat32 holds what float32 elements get against the
// function itself: relative to each value, in the tails and next to zero too.
func TestTablesAreAsGoodAsFloat32(t *testing.T) {
	gelu, mish := Curve{Normal, []Term{{1, [4]int{1, 1}}}}, Curve{MishBasis, []Term{{1, [4]int{1, 1}}}}
	var x []float32
	for i := float32(-18); i <= 18; i += 0.00137 {
		x = append(x, i)
	}
	for e := float32(1); e > 1e-30; e /= 3 {
		x = append(x, e, -e)
	}
	y := make([]float32, len(x))
	for name, f := range map[string]func(x float64) float64{
		"Sigmoid": Sigmoid, "Tanh": math.Tanh, "Erf": math.Erf, "Softplus": Softplus, "SiLU": SiLU, "Gelu": Gelu,
		"GeluTanh": GeluTanh, "Mish": Mish, "e^(-x²)": Curve{Gaussian, []Term{{1, [4]int{0, 1}}}}.At,
		"Gelu'": gelu.Derivative().At, "Gelu''": gelu.Derivative().Derivative().At, "Mish''": mish.Derivative().Derivative().At,
	} {
		Smooth[float32](f)(y, x)
		for i, v := range x {
			want := f(float64(v))
			if d := math.Abs(float64(y[i]) - want); d > 3e-7*math.Abs(want)+1e-8*math.Min(1, math.Abs(float64(v))) {
				t.Errorf("%s(%v) is %v for float32, want %v", name, v, y[i], want)
				break
			}
		}
	}
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 16, -16} {
		Smooth[float32](math.Tanh)(y[:1], []float32{v})
		if want := float32(math.Tanh(float64(v))); y[0] != want && want == want {
			t.Errorf("Tanh(%v) is %v for float32, want %v", v, y[0], want)
		}
	}
}

// TestPiecesAtTheirEnds pins which piece holds at Low, at High and for NaN.
func TestPiecesAtTheirEnds(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		f       Pieces
		x, want float64
	}{
		{Pieces{Low: -3, High: 3, A: [3]float64{1, 2, 4}}, -3, 1},
		{Pieces{Low: -3, High: 3, A: [3]float64{1, 2, 4}}, math.Nextafter(-3, 0), 2},
		{Pieces{Low: -3, High: 3, A: [3]float64{1, 2, 4}}, math.Nextafter(3, 0), 2},
		{Pieces{Low: -3, High: 3, A: [3]float64{1, 2, 4}}, 3, 4},
		{Pieces{Low: -3, High: 3, A: [3]float64{1, 2, 4}}, nan, 2},
		{Pieces{A: [3]float64{1, 2, 4}}, 0, 1},
		{Pieces{A: [3]float64{1, 2, 4}}, math.Inf(1), 4},
		{Pieces{Low: math.Inf(-1), High: math.Inf(1), A: [3]float64{1, 2, 4}}, 1e308, 2},
		{Pieces{Low: -3, High: 3, A: [3]float64{1, 2, 4}, B: [3]float64{0, 5, 7}}, 3, 25},
		{Pieces{Low: -3, High: 3, A: [3]float64{1, 2, 4}, B: [3]float64{0, 5, 7}}, -2, -8},
	} {
		dst := make([]float64, 1)
		TimesPieces[float64](c.f)(dst, []float64{10}, []float64{c.x})
		if dst[0] != 10*c.want {
			t.Errorf("10 times %+v at %v is %v, want %v", c.f, c.x, dst[0], 10*c.want)
		}
	}
}
