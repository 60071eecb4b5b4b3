package kernel

import "math"

// Smooth returns the function f, which has derivatives of every order, for
// Unary. float64 elements are f's own values, float32 ones come from a table of
// it.
func Smooth[T Float](f func(x float64) float64) func(dst, x []T) {
	at := smooth[T](f)
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i := range dst {
			dst[i] = at(x[i])
		}
	}
}

// TimesSmooth returns the function g·f(x), for Binary.
func TimesSmooth[T Float](f func(x float64) float64) func(dst, g, x []T) {
	at := smooth[T](f)
	return func(dst, g, x []T) {
		g, x = g[:len(dst)], x[:len(dst)]
		for i := range dst {
			dst[i] = g[i] * at(x[i])
		}
	}
}

// smooth returns f for elements of type T.
func smooth[T Float](f func(x float64) float64) func(x T) T {
	var at any = f
	if _, ok := any(*new(T)).(float32); ok {
		at = tabulate(f).at
	}
	return at.(func(x T) T)
}

// A table holds a smooth function for float32 arguments: polynomials of degree
// 4 around the multiples of 1/tableSteps from -tableEnd to tableEnd, each
// through five values of the function. Between them it is off by some
// (1/tableSteps)⁵·f⁽⁵⁾·3e-5, 3e-9 for an f⁽⁵⁾ of 100, where a float32 rounds by
// 6e-8 of its size. That is so in its tails too, where f⁽⁵⁾ vanishes with f, and
// at zero, where a polynomial has its middle.
type table struct {
	f      func(x float64) float64 // for arguments further out
	pieces [2*tableEnd*tableSteps + 1][5]float32
}

const (
	tableEnd   = 16
	tableSteps = 16
)

func tabulate(f func(x float64) float64) *table {
	t := &table{f: f}
	for i := range t.pieces {
		middle := float64(i)/tableSteps - tableEnd
		at := func(quarters float64) float64 { return f(middle + quarters/(4*tableSteps)) }
		// a·s⁴ + b·s³ + c·s² + d·s + e through s = -2, -1, 0, 1, 2.
		e := at(0)
		even1, even2 := (at(1)+at(-1))/2-e, (at(2)+at(-2))/2-e
		odd1, odd2 := (at(1)-at(-1))/2, (at(2)-at(-2))/2
		a, b := (even2-4*even1)/12, (odd2-2*odd1)/6
		c, d := even1-a, odd1-b
		t.pieces[i] = [5]float32{float32(e), float32(4 * d), float32(16 * c), float32(64 * b), float32(256 * a)}
	}
	return t
}

func (t *table) at(x float32) float32 {
	if !(x > -tableEnd && x < tableEnd) {
		return float32(t.f(float64(x)))
	}
	// To the nearest integer by adding and taking away a number so large that
	// float32 has no fractions there. All of it is exact.
	const large = 3 << 22
	s := x * tableSteps
	middle := (s + large) - large
	s -= middle
	p := &t.pieces[int(middle)+tableEnd*tableSteps]
	return p[0] + s*(p[1]+s*(p[2]+s*(p[3]+s*p[4])))
}

// Sigmoid returns 1/(1+e^-x).
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// logisticDensity returns the derivative of Sigmoid, with no digits lost far
// from zero.
func logisticDensity(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	return e / ((1 + e) * (1 + e))
}

// Softplus returns log(1+e^x), which overflows for no x.
func Softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// SiLU returns x·Sigmoid(x).
func SiLU(x float64) float64 { return x * Sigmoid(x) }

// Gelu returns x·Φ(x), Φ the distribution function of the standard normal
// distribution.
func Gelu(x float64) float64 { return x * normalDistribution(x) }

// normalDistribution returns Φ(x), by erfc so that no digits are lost far below
// zero.
func normalDistribution(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

func normalDensity(x float64) float64 {
	return math.Exp(-x*x/2) / (math.Sqrt2 * math.SqrtPi)
}

// The constants of the approximation of Gelu by tanh (Hendrycks and Gimpel
// 2016, arXiv 1606.08415): ½x·(1 + tanh(K·(x + C·x³))).
const (
	GeluTanhK = math.Sqrt2 / math.SqrtPi
	GeluTanhC = 0.044715
)

// GeluTanh returns the approximation of Gelu by tanh. ½(1 + tanh z) is the
// Sigmoid of 2z.
func GeluTanh(x float64) float64 { return x * Sigmoid(geluTanhOf(x)) }

func geluTanhOf(x float64) float64 { return 2 * GeluTanhK * x * (1 + GeluTanhC*x*x) }

// Mish returns x·tanh(Softplus(x)).
func Mish(x float64) float64 { return x * tanhSoftplus(x) }

// tanhSoftplus returns tanh(log(1+e^x)), which is (e²+2e)/(e²+2e+2) with e = e^x.
func tanhSoftplus(x float64) float64 {
	if x > 20 { // 2/e^40 is below the last digit of 1, and e^710 no number
		return 1
	}
	e := math.Exp(x)
	n := e * (e + 2)
	return n / (n + 2)
}

// tanhSoftplusSlope returns the derivative of tanhSoftplus,
// 4e·(1+e)/(e²+2e+2)² with e = e^x.
func tanhSoftplusSlope(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x > 0 { // by e⁴, so that nothing overflows
		d := 1 + 2*e*(1+e)
		return 4 * e * e * (1 + e) / (d * d)
	}
	d := 2 + e*(2+e)
	return 4 * e * (1 + e) / (d * d)
}

// HardSigmoid returns the function α·x + β, bounded by 0 and 1.
func HardSigmoid[T Float](alpha, beta float64) func(dst, x []T) {
	a, b := T(alpha), T(beta)
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i := range dst {
			dst[i] = min(max(a*x[i]+b, 0), 1)
		}
	}
}

// HardSwish computes x times (x+3)/6 bounded by 0 and 1.
func HardSwish[T Float](dst, x []T) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = v * (min(max(v+3, 0), 6) / 6)
	}
}

// LeakyReLU returns the function that is x above zero and slope·x elsewhere.
func LeakyReLU[T Float](slope float64) func(dst, x []T) {
	s := T(slope)
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i, v := range x {
			// No branch on the sign of an activation: see Gate.
			dst[i] = max(v, 0) + s*min(v, 0)
		}
	}
}

// ELU returns the function that is x above zero and alpha·(e^x-1) elsewhere.
func ELU[T Float](alpha float64) func(dst, x []T) {
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i, v := range x {
			dst[i] = v
			if v <= 0 {
				dst[i] = T(alpha * math.Expm1(float64(v)))
			}
		}
	}
}

// Clip returns the function x, bounded by low and high. NaN stays NaN.
func Clip[T Float](low, high float64) func(dst, x []T) {
	l, h := T(low), T(high)
	return func(dst, x []T) {
		x = x[:len(dst)]
		for i, v := range x {
			dst[i] = min(max(v, l), h)
		}
	}
}

// LogPositive computes log x where x > 0 and 0 elsewhere.
func LogPositive[T Float](dst, x []T) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = 0
		if v > 0 {
			dst[i] = T(math.Log(float64(v)))
		}
	}
}

// Maximum computes the larger of a and b, NaN where one is.
func Maximum[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = max(a[i], b[i])
	}
}

// Minimum computes the smaller of a and b, NaN where one is.
func Minimum[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = min(a[i], b[i])
	}
}

// PowOf computes a^b, as math.Pow.
func PowOf[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = T(math.Pow(float64(a[i]), float64(b[i])))
	}
}

// Select plans dst = a where mask > 0 and b elsewhere, over n elements. dst may
// be any of them.
func Select[T Float](n int) (run func(dst, mask, a, b []T) error) {
	var d, m, l, r []T
	loop := NewLoop(n, grain, func(i, j int) {
		for ; i < j; i++ {
			v := r[i]
			if m[i] > 0 {
				v = l[i]
			}
			d[i] = v
		}
	})
	return func(dst, mask, a, b []T) error {
		d, m, l, r = dst, mask, a, b
		err := loop.Run()
		d, m, l, r = nil, nil, nil, nil
		return err
	}
}

// Pieces is a function in three straight pieces: A[0] + B[0]·x up to and with
// Low, A[2] + B[2]·x from High on, A[1] + B[1]·x between them and for NaN. Low
// comes first where it is High. The family is closed under differentiation: the
// derivative at Low and at High is that of the outer piece.
type Pieces struct {
	Low, High float64
	A, B      [3]float64
}

// Derivative returns the derivative of f by x.
func (f Pieces) Derivative() Pieces { return Pieces{Low: f.Low, High: f.High, A: f.B} }

// Zero reports whether f is 0 everywhere.
func (f Pieces) Zero() bool { return f.A == [3]float64{} && f.B == [3]float64{} }

// TimesPieces returns the function g·f(x), for Binary.
func TimesPieces[T Float](f Pieces) func(dst, g, x []T) {
	low, high := T(f.Low), T(f.High)
	var a, b [4]T // a power of two, so that the index needs no check
	for i := range f.A {
		a[i], b[i] = T(f.A[i]), T(f.B[i])
	}
	// The piece is computed, not branched to: see Gate.
	piece := func(x T) int {
		i := 1
		if x >= high {
			i = 2
		}
		if x <= low {
			i = 0
		}
		return i & 3
	}
	if f.B == [3]float64{} { // so that 0·Inf is never met
		return func(dst, g, x []T) {
			g, x = g[:len(dst)], x[:len(dst)]
			for i, v := range x {
				dst[i] = g[i] * a[piece(v)]
			}
		}
	}
	return func(dst, g, x []T) {
		g, x = g[:len(dst)], x[:len(dst)]
		for i, v := range x {
			k := piece(v)
			dst[i] = g[i] * (a[k] + T(b[k]*v))
		}
	}
}

// A Term is C times powers of x, P[0], and of the functions of a basis.
type Term struct {
	C float64
	P [1 + BasisSize]int
}

// BasisSize is how many functions a basis has at most.
const BasisSize = 3

// A Basis is some functions of x whose derivatives are polynomials in x and
// themselves. They are chosen such that where a derivative vanishes a function
// does, and not a difference.
type Basis struct {
	F [BasisSize]func(x float64) float64
	D [BasisSize][]Term
}

// The bases of the smooth activations.
var (
	// Logistic has s = Sigmoid(x) and s' = s·(1−s).
	Logistic = &Basis{
		F: [BasisSize]func(x float64) float64{Sigmoid, logisticDensity},
		D: [BasisSize][]Term{
			{{1, [4]int{0, 0, 1}}},
			{{1, [4]int{0, 0, 1}}, {-2, [4]int{0, 1, 1}}},
		},
	}

	// Normal has Φ(x) and Φ'(x).
	Normal = &Basis{
		F: [BasisSize]func(x float64) float64{normalDistribution, normalDensity},
		D: [BasisSize][]Term{
			{{1, [4]int{0, 0, 1}}},
			{{-1, [4]int{1, 0, 1}}},
		},
	}

	// Gaussian has e^(-x²).
	Gaussian = &Basis{
		F: [BasisSize]func(x float64) float64{func(x float64) float64 { return math.Exp(-x * x) }},
		D: [BasisSize][]Term{{{-2, [4]int{1, 1}}}},
	}

	// GeluTanhBasis has s = Sigmoid(2z), z = K·(x + C·x³), and s·(1−s).
	GeluTanhBasis = &Basis{
		F: [BasisSize]func(x float64) float64{
			func(x float64) float64 { return Sigmoid(geluTanhOf(x)) },
			func(x float64) float64 { return logisticDensity(geluTanhOf(x)) },
		},
		D: [BasisSize][]Term{
			{{2 * GeluTanhK, [4]int{0, 0, 1}}, {6 * GeluTanhK * GeluTanhC, [4]int{2, 0, 1}}},
			{
				{2 * GeluTanhK, [4]int{0, 0, 1}}, {6 * GeluTanhK * GeluTanhC, [4]int{2, 0, 1}},
				{-4 * GeluTanhK, [4]int{0, 1, 1}}, {-12 * GeluTanhK * GeluTanhC, [4]int{2, 1, 1}},
			},
		},
	}

	// MishBasis has t = tanh(Softplus(x)), t' = (1−t²)·s and s = Sigmoid(x).
	MishBasis = &Basis{
		F: [BasisSize]func(x float64) float64{tanhSoftplus, tanhSoftplusSlope, Sigmoid},
		D: [BasisSize][]Term{
			{{1, [4]int{0, 0, 1}}},
			{{1, [4]int{0, 0, 1}}, {-1, [4]int{0, 0, 1, 1}}, {-2, [4]int{0, 1, 1, 1}}},
			{{1, [4]int{0, 0, 0, 1}}, {-1, [4]int{0, 0, 0, 2}}},
		},
	}
)

// Curve is a function that is a polynomial in x and the functions of a basis,
// the sum of Terms. The family is closed under differentiation, so that a
// derivative of any order is computed in one pass. Without a Basis it is a
// polynomial in x.
type Curve struct {
	Basis *Basis
	Terms []Term
}

// Derivative returns the derivative of f by x.
func (f Curve) Derivative() Curve {
	d := Curve{Basis: f.Basis}
	for _, t := range f.Terms {
		for i, p := range t.P {
			if p == 0 {
				continue
			}
			// The product rule: p·z^(p-1)·z' for the power z^p.
			inner := []Term{{C: 1}}
			if i > 0 {
				inner = f.Basis.D[i-1]
			}
			for _, z := range inner {
				z.C *= t.C * float64(p)
				for k := range z.P {
					z.P[k] += t.P[k]
				}
				z.P[i]--
				d.add(z)
			}
		}
	}
	return d
}

// add adds t to f, to the term of the same powers where there is one.
func (f *Curve) add(t Term) {
	for i, s := range f.Terms {
		if s.P == t.P {
			f.Terms[i].C += t.C
			if f.Terms[i].C == 0 {
				f.Terms = append(f.Terms[:i], f.Terms[i+1:]...)
			}
			return
		}
	}
	f.Terms = append(f.Terms, t)
}

// Zero reports whether f is 0 everywhere.
func (f Curve) Zero() bool { return len(f.Terms) == 0 }

// At returns f(x).
func (f Curve) At(x float64) float64 { return f.at(x, f.used()) }

// used tells which functions of the basis occur in f.
func (f Curve) used() (used [BasisSize]bool) {
	for _, t := range f.Terms {
		for i := range used {
			used[i] = used[i] || t.P[i+1] > 0
		}
	}
	return used
}

func (f Curve) at(x float64, used [BasisSize]bool) float64 {
	var z [BasisSize]float64
	for i, u := range used {
		if u {
			z[i] = f.Basis.F[i](x)
		}
	}
	var sum float64
	for _, t := range f.Terms {
		// The powers of x last: once the others vanish, none overflows.
		p := t.C
		for i, v := range z {
			p = power(p, v, t.P[i+1])
		}
		sum += power(p, x, t.P[0])
	}
	return sum
}

// TimesCurve returns the function g·f(x), for Binary.
func TimesCurve[T Float](f Curve) func(dst, g, x []T) {
	if f.Basis == nil {
		return timesPolynomial[T](f)
	}
	used := f.used()
	return TimesSmooth[T](func(x float64) float64 { return f.at(x, used) })
}

// timesPolynomial is TimesCurve of a polynomial in x.
func timesPolynomial[T Float](f Curve) func(dst, g, x []T) {
	var c []T
	for _, t := range f.Terms {
		for len(c) <= t.P[0] {
			c = append(c, 0)
		}
		c[t.P[0]] += T(t.C)
	}
	return func(dst, g, x []T) {
		g, x = g[:len(dst)], x[:len(dst)]
		for i, v := range x {
			p := c[len(c)-1]
			for k := len(c) - 2; k >= 0; k-- {
				p = T(p*v) + c[k]
			}
			dst[i] = g[i] * p
		}
	}
}
