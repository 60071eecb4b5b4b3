package kernel

import "math"

// grain is the number of elements worth handing to another worker: some ten
// microseconds of the cheapest loop, against about one for the hand-over.
const grain = 1 << 14

// rowGrain is grain in rows of d elements.
func rowGrain(d int) int { return max(1, grain/max(d, 1)) }

// Unary plans dst = f(x) over n elements. f computes its slice and no more,
// and may be given dst and x of the same memory, as Run may.
func Unary[T Float](n int, f func(dst, x []T)) (run func(dst, x []T) error) {
	var d, a []T
	loop := NewLoop(n, grain, func(i, j int) { f(d[i:j], a[i:j]) })
	return func(dst, x []T) error {
		d, a = dst, x
		err := loop.Run()
		d, a = nil, nil
		return err
	}
}

// Binary plans dst = f(a, b) over n elements, as Unary does.
func Binary[T Float](n int, f func(dst, a, b []T)) (run func(dst, a, b []T) error) {
	var d, l, r []T
	loop := NewLoop(n, grain, func(i, j int) { f(d[i:j], l[i:j], r[i:j]) })
	return func(dst, a, b []T) error {
		d, l, r = dst, a, b
		err := loop.Run()
		d, l, r = nil, nil, nil
		return err
	}
}

// floats32 returns x where its elements are float32, else nil.
func floats32[T Float](x []T) []float32 {
	s, _ := any(x).([]float32)
	return s
}

// The functions below compute dst[i] from element i of their operands, for
// Unary and Binary. Operands are as long as dst and may be dst.

// Copy computes x.
func Copy[T Float](dst, x []T) {
	if len(dst) > 0 && &dst[0] != &x[0] {
		copy(dst, x)
	}
}

// Neg computes -x.
func Neg[T Float](dst, x []T) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = -x[i]
	}
}

// Exp computes e^x.
func Exp[T Float](dst, x []T) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = T(math.Exp(float64(x[i])))
	}
}

// Log computes the natural logarithm of x.
func Log[T Float](dst, x []T) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = T(math.Log(float64(x[i])))
	}
}

// Sqrt computes the square root of x.
func Sqrt[T Float](dst, x []T) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = T(math.Sqrt(float64(x[i])))
	}
}

// ReLU computes max(x, 0). NaN stays NaN, so that a broken activation shows.
func ReLU[T Float](dst, x []T) {
	x = x[:len(dst)]
	for i := vectorReLU(floats32(dst), floats32(x)); i < len(dst); i++ {
		dst[i] = max(x[i], 0)
	}
}

// Add computes a + b.
func Add[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := vectorAdd(floats32(dst), floats32(a), floats32(b)); i < len(dst); i++ {
		dst[i] = a[i] + b[i]
	}
}

// Sub computes a - b.
func Sub[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

// Mul computes a · b.
func Mul[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := vectorMul(floats32(dst), floats32(a), floats32(b)); i < len(dst); i++ {
		dst[i] = a[i] * b[i]
	}
}

// Div computes a / b.
func Div[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] / b[i]
	}
}

// Gate computes g where x > 0 and 0 elsewhere.
//
// A branch on an activation's sign is mispredicted half of the time and costs
// ten times the loop, so the condition becomes a mask over g's bits.
func Gate[T Float](dst, x, g []T) {
	switch dst := any(dst).(type) {
	case []float32:
		x, g := any(x).([]float32)[:len(dst)], any(g).([]float32)[:len(dst)]
		for i := vectorGate(dst, x, g); i < len(dst); i++ {
			var mask uint32
			if x[i] > 0 {
				mask = math.MaxUint32
			}
			dst[i] = math.Float32frombits(math.Float32bits(g[i]) & mask)
		}
	case []float64:
		x, g := any(x).([]float64)[:len(dst)], any(g).([]float64)[:len(dst)]
		for i := range dst {
			var mask uint64
			if x[i] > 0 {
				mask = math.MaxUint64
			}
			dst[i] = math.Float64frombits(math.Float64bits(g[i]) & mask)
		}
	}
}

// Scale returns the function c·x.
func Scale[T Float](c float64) func(dst, x []T) {
	k := T(c)
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i := range dst {
			dst[i] = k * x[i]
		}
	}
}

// AddScalar returns the function x + c.
func AddScalar[T Float](c float64) func(dst, x []T) {
	k := T(c)
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i := range dst {
			dst[i] = x[i] + k
		}
	}
}

// Pow returns the function x^p, as math.Pow: 0⁰ is 1, and a negative x with a
// fractional p gives NaN.
func Pow[T Float](p float64) func(dst, x []T) {
	switch p {
	case 1:
		return Copy[T]
	case 2:
		return func(dst, x []T) { Mul(dst, x, x) }
	}
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i := range dst {
			dst[i] = T(math.Pow(float64(x[i]), p))
		}
	}
}

// Inverse returns the function 1/x where x > floor and 0 elsewhere.
func Inverse[T Float](floor float64) func(dst, x []T) {
	least := T(floor)
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i, v := range x {
			dst[i] = 0
			if v > least {
				dst[i] = 1 / v
			}
		}
	}
}

// AbsPower is the function C·|x|^P, times the sign of x where Odd. The family
// is closed under differentiation: its derivative is C·P·|x|^(P-1) with the
// other Odd. The sign of 0 is 0, |0|⁰ is 1, and 0 to a negative power is taken
// as 0, the subgradient that leaves a dead activation alone.
type AbsPower struct {
	C, P float64
	Odd  bool
}

// Derivative returns the derivative of f by x.
func (f AbsPower) Derivative() AbsPower { return AbsPower{C: f.C * f.P, P: f.P - 1, Odd: !f.Odd} }

// Zero reports whether f is 0 everywhere.
func (f AbsPower) Zero() bool { return f.C == 0 }

// polynomial returns n where f is C·x^n with a small n, so that no call of
// math.Pow is needed; else -1.
func (f AbsPower) polynomial() int {
	n := int(f.P)
	if float64(n) != f.P || n < 0 || n > 8 || (n%2 == 1) != f.Odd {
		return -1
	}
	return n
}

// at returns f(x).
func (f AbsPower) at(x float64) float64 {
	a := math.Abs(x)
	switch {
	case a == 0 && f.P < 0:
		return 0
	case f.P == 0:
		a = 1
	case f.P != 1:
		a = math.Pow(a, f.P)
	}
	if f.Odd {
		switch {
		case x < 0:
			a = -a
		case x == 0:
			a = 0
		}
	}
	return f.C * a
}

// power returns c·x^n.
func power[T Float](c, x T, n int) T {
	for ; n > 0; n-- {
		c *= x
	}
	return c
}

// AbsPow returns f as a function for Unary.
func AbsPow[T Float](f AbsPower) func(dst, x []T) {
	n, c := f.polynomial(), T(f.C)
	if n == 2 && c == 1 {
		return func(dst, x []T) { Mul(dst, x, x) }
	}
	if n >= 0 {
		return func(dst, x []T) {
			x = x[:len(dst)]
			for i := range dst {
				dst[i] = power(c, x[i], n)
			}
		}
	}
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i := range dst {
			dst[i] = T(f.at(float64(x[i])))
		}
	}
}
