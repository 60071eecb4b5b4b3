package optest

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// activationCases are the cases of the activations, of softmax along an axis
// and of the normalisations by moments.
func activationCases() []Case {
	return slices.Concat(smoothCases(), kinkedCases(), pairCases(), softmaxAxisCases(), momentNormCases())
}

// pulledBack builds the gradient of ½ Σ y² by the first operand: y pulled back
// from itself, which has a form for a batch of any size.
func pulledBack(build builder) builder {
	return func(in gorgonia.Nodes) (node, error) {
		y, err := build(in)
		if err != nil {
			return nil, err
		}
		g, err := op.Pullback(gorgonia.Nodes{y}, gorgonia.Nodes{y}, in[0])
		if err != nil {
			return nil, err
		}
		return g[0], nil
	}
}

// inBatches marks operands as batches.
func inBatches(in ...Input) []Input {
	in = slices.Clone(in)
	for i := range in {
		in[i].Samples = true
	}
	return in
}

// function is an activation with its value and derivative as the books have
// them.
type function struct {
	name     string
	apply    func(x node) (node, error)
	f, slope func(x float64) float64
	kinks    []float64
}

// cases are the value and the gradient of ½ Σ y², on elements of moderate size
// and on such as overflow where exponentials are not taken care of.
func (a function) cases() []Case {
	gradient := map1(func(x float64) float64 { return a.f(x) * a.slope(x) })
	moderate := inBatches(Input{Shape: any4, Low: -4, High: 4, Gap: gap, Kinks: a.kinks})
	extreme := inBatches(Input{Shape: tensor.Shape{10}, Values: []float64{-1000, -90, -20.5, -6.1, -0.01, 0.02, 5.9, 19, 90, 1000}})
	return []Case{
		{Name: a.name, Inputs: moderate, Build: unary(a.apply), Reference: map1(a.f)},
		{Name: a.name + " of extreme values", Inputs: extreme, Build: unary(a.apply), Reference: map1(a.f)},
		{Name: "Gradient of " + a.name, Inputs: moderate, Build: pulledBack(unary(a.apply)), Reference: gradient},
		{Name: "Gradient of " + a.name + " of extreme values", Inputs: extreme, Build: pulledBack(unary(a.apply)), Reference: gradient},
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1+e^x), where 1 is no longer lost.
func softplus(x float64) float64 {
	if x > 40 {
		return x
	}
	return math.Log1p(math.Exp(x))
}

func smoothCases() []Case {
	phi := func(x float64) float64 { return (1 + math.Erf(x/math.Sqrt2)) / 2 }
	k := math.Sqrt(2 / math.Pi)
	inner := func(x float64) float64 { return math.Tanh(k * (x + 0.044715*x*x*x)) }
	var cases []Case
	for _, a := range []function{
		{name: "Sigmoid", apply: op.Sigmoid, f: sigmoid, slope: func(x float64) float64 { return sigmoid(x) * sigmoid(-x) }},
		{name: "Tanh", apply: op.Tanh, f: math.Tanh, slope: func(x float64) float64 { return 1 / (math.Cosh(x) * math.Cosh(x)) }},
		{name: "Erf", apply: op.Erf, f: math.Erf, slope: func(x float64) float64 { return 2 / math.Sqrt(math.Pi) * math.Exp(-x*x) }},
		{name: "Softplus", apply: op.Softplus, f: softplus, slope: sigmoid},
		{name: "SiLU", apply: op.SiLU, f: func(x float64) float64 { return x * sigmoid(x) },
			slope: func(x float64) float64 { return sigmoid(x) + x*sigmoid(x)*sigmoid(-x) }},
		{name: "Gelu", apply: op.Gelu, f: func(x float64) float64 { return x * phi(x) },
			slope: func(x float64) float64 { return phi(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi) }},
		{name: "GeluTanh", apply: op.GeluTanh, f: func(x float64) float64 { return x / 2 * (1 + inner(x)) },
			slope: func(x float64) float64 {
				t := inner(x)
				return (1+t)/2 + x/2*(1-t*t)*k*(1+3*0.044715*x*x)
			}},
		{name: "Mish", apply: op.Mish, f: func(x float64) float64 { return x * math.Tanh(softplus(x)) },
			slope: func(x float64) float64 {
				t := math.Tanh(softplus(x))
				return t + x*(1-t*t)*sigmoid(x)
			}},
	} {
		cases = append(cases, a.cases()...)
	}
	return cases
}

func kinkedCases() []Case {
	two := func(f func(x node, p, q float64) (node, error), p, q float64) func(x node) (node, error) {
		return func(x node) (node, error) { return f(x, p, q) }
	}
	one := func(f func(x node, p float64) (node, error), p float64) func(x node) (node, error) {
		return func(x node) (node, error) { return f(x, p) }
	}
	clip := func(low, high float64) func(x float64) float64 {
		return func(x float64) float64 { return math.Min(math.Max(x, low), high) }
	}
	inside := func(low, high, k float64) func(x float64) float64 {
		return func(x float64) float64 {
			if x > low && x < high {
				return k
			}
			return 0
		}
	}
	signed := func(below, above func(x float64) float64) func(x float64) float64 {
		return func(x float64) float64 {
			if x > 0 {
				return above(x)
			}
			return below(x)
		}
	}
	constant := func(c float64) func(x float64) float64 { return func(float64) float64 { return c } }
	scale := func(c float64) func(x float64) float64 { return func(x float64) float64 { return c * x } }
	inf := math.Inf(1)
	var cases []Case
	for _, a := range []function{
		{name: "HardSigmoid", apply: two(op.HardSigmoid, 0.2, 0.5), kinks: []float64{-2.5, 2.5},
			f: func(x float64) float64 { return clip(0, 1)(0.2*x + 0.5) }, slope: inside(-2.5, 2.5, 0.2)},
		{name: "HardSigmoid that falls", apply: two(op.HardSigmoid, -0.5, 0.25), kinks: []float64{-1.5, 0.5},
			f: func(x float64) float64 { return clip(0, 1)(-0.5*x + 0.25) }, slope: inside(-1.5, 0.5, -0.5)},
		{name: "HardSwish", apply: op.HardSwish, kinks: []float64{-3, 3},
			f: func(x float64) float64 { return x * clip(0, 6)(x+3) / 6 },
			slope: func(x float64) float64 {
				return clip(0, 6)(x+3)/6 + x*inside(-3, 3, 1./6)(x)
			}},
		{name: "ELU", apply: one(op.ELU, 1), f: signed(math.Expm1, scale(1)), slope: signed(math.Exp, constant(1))},
		{name: "ELU of alpha 0.25", apply: one(op.ELU, 0.25), f: signed(func(x float64) float64 { return math.Expm1(x) / 4 }, scale(1)),
			slope: signed(func(x float64) float64 { return math.Exp(x) / 4 }, constant(1))},
		{name: "LeakyReLU", apply: one(op.LeakyReLU, 0.1), f: signed(scale(0.1), scale(1)), slope: signed(constant(0.1), constant(1))},
		{name: "LeakyReLU with a negative slope", apply: one(op.LeakyReLU, -0.5), f: signed(scale(-0.5), scale(1)),
			slope: signed(constant(-0.5), constant(1))},
		{name: "Clip", apply: two(op.Clip, -0.5, 2), kinks: []float64{-0.5, 2}, f: clip(-0.5, 2), slope: inside(-0.5, 2, 1)},
		{name: "Clip below", apply: two(op.Clip, 0.5, inf), kinks: []float64{0.5}, f: clip(0.5, inf), slope: inside(0.5, inf, 1)},
		{name: "Clip above", apply: two(op.Clip, -inf, 1.5), kinks: []float64{1.5}, f: clip(-inf, 1.5), slope: inside(-inf, 1.5, 1)},
		{name: "Clip without bounds", apply: two(op.Clip, -inf, inf), f: scale(1), slope: constant(1)},
	} {
		cases = append(cases, a.cases()...)
	}
	matrix := []Input{{Shape: tensor.Shape{3, 4}}}
	return append(cases,
		Case{Name: "Clip with bounds that cross becomes the upper one", Inputs: matrix, Build: unary(two(op.Clip, 2, 1)),
			Reference: map1(constant(1)), NoGradient: "constant"},
		Case{Name: "HardSigmoid without a slope", Inputs: matrix, Build: unary(two(op.HardSigmoid, 0, 0.25)),
			Reference: map1(constant(0.25)), NoGradient: "constant"})
}

func pairCases() []Case {
	// Values of a and b that differ by 0.07 at least: no step changes which is
	// larger.
	apart := func() []Input {
		a := draw("apart", Input{Shape: any4, Low: -2, High: 2})
		b := draw("apart by", Input{Shape: any4, Low: -1, High: 1, Gap: 0.07})
		for i := range b {
			b[i] += a[i]
		}
		return inBatches(Input{Shape: any4, Values: a}, Input{Shape: any4, Values: b})
	}()
	// What a gets does not change with b.
	fixed := slices.Clone(apart)
	fixed[1].Fixed = true
	powers := inBatches(Input{Shape: any4, Low: 0.6, High: 1.5}, Input{Shape: any4, Low: -1, High: 2})
	mask := Input{Shape: any4, Values: make([]float64, any4.TotalSize()), Fixed: true}
	for i := range mask.Values {
		if i%3 == 1 || i%7 == 2 {
			mask.Values[i] = 1
		}
	}
	chosenFrom := inBatches(mask, Input{Shape: any4}, Input{Shape: any4})
	choose := func(in gorgonia.Nodes) (node, error) { return op.Select(in[0], in[1], in[2]) }
	chosen := func(in [][]float64) []float64 {
		y := slices.Clone(in[2])
		for i, m := range in[0] {
			if m == 1 {
				y[i] = in[1][i]
			}
		}
		return y
	}
	return []Case{
		{Name: "Maximum", Inputs: apart, Build: binary(op.Maximum), Reference: map2(math.Max)},
		{Name: "Minimum", Inputs: apart, Build: binary(op.Minimum), Reference: map2(math.Min)},
		{Name: "Gradient of Maximum", Inputs: fixed, Build: pulledBack(binary(op.Maximum)), Reference: map2(func(a, b float64) float64 {
			if a > b {
				return a
			}
			return 0
		})},
		{Name: "Gradient of Minimum", Inputs: fixed, Build: pulledBack(binary(op.Minimum)), Reference: map2(func(a, b float64) float64 {
			if a < b {
				return a
			}
			return 0
		})},
		{Name: "PowOf", Inputs: powers, Build: binary(op.PowOf), Reference: map2(math.Pow)},
		{Name: "PowOf of negative values and whole powers",
			Inputs: []Input{{Shape: tensor.Shape{6}, Values: []float64{-2, -1.5, 0, 0, 0.5, 3}},
				{Shape: tensor.Shape{6}, Values: []float64{3, -2, 0, 2, 2, -1}, Fixed: true}},
			Build: binary(op.PowOf), Reference: func([][]float64) []float64 { return []float64{-8, 4. / 9, 1, 0, 0.25, 1. / 3} },
			NoGradient: "by a it is checked above, and 0⁰ has none"},
		{Name: "Gradient of PowOf", Inputs: powers, Build: pulledBack(binary(op.PowOf)),
			Reference: map2(func(a, b float64) float64 { return math.Pow(a, b) * b * math.Pow(a, b-1) })},
		{Name: "Gradient of PowOf by the power", Inputs: inBatches(powers[1], powers[0]),
			Build:     pulledBack(func(in gorgonia.Nodes) (node, error) { return op.PowOf(in[1], in[0]) }),
			Reference: map2(func(b, a float64) float64 { return math.Pow(a, 2*b) * math.Log(a) })},
		{Name: "Select", Inputs: chosenFrom, Build: choose, Reference: chosen},
		{Name: "Gradient of Select by what is chosen", Inputs: inBatches(chosenFrom[1], chosenFrom[0]),
			Build:     pulledBack(func(in gorgonia.Nodes) (node, error) { return op.Select(in[1], in[0], in[1]) }),
			Reference: map2(func(a, m float64) float64 { return m * a })},
		{Name: "Gradient of Select by the other", Inputs: inBatches(chosenFrom[2], chosenFrom[0]),
			Build:     pulledBack(func(in gorgonia.Nodes) (node, error) { return op.Select(in[1], in[1], in[0]) }),
			Reference: map2(func(b, m float64) float64 { return (1 - m) * b })},
	}
}

// group is the places of the elements that share all coordinates of s but those
// along axes, for each element the list of its group.
func group(s tensor.Shape, axes ...int) [][]int {
	key := func(i int) int {
		k := 0
		stride := s.TotalSize()
		for a, d := range s {
			stride /= d
			if c := i / stride % d; !slices.Contains(axes, a) {
				k += c * stride
			}
		}
		return k
	}
	members := map[int][]int{}
	for i := range s.TotalSize() {
		members[key(i)] = append(members[key(i)], i)
	}
	g := make([][]int, s.TotalSize())
	for i := range g {
		g[i] = members[key(i)]
	}
	return g
}

// meanOf is the mean of f over the places of a group.
func meanOf(places []int, f func(i int) float64) float64 {
	var s float64
	for _, i := range places {
		s += f(i)
	}
	return s / float64(len(places))
}

func softmaxAxisCases() []Case {
	logSoftmax := func(x []float64, g [][]int) []float64 {
		y := make([]float64, len(x))
		for i := range y {
			top, s := math.Inf(-1), 0.0
			for _, k := range g[i] {
				top = math.Max(top, x[k])
			}
			for _, k := range g[i] {
				s += math.Exp(x[k] - top)
			}
			y[i] = x[i] - top - math.Log(s)
		}
		return y
	}
	softmax := func(x []float64, g [][]int) []float64 {
		y := logSoftmax(x, g)
		for i, v := range y {
			y[i] = math.Exp(v)
		}
		return y
	}
	over := func(s tensor.Shape, axis int, f func(x []float64, g [][]int) []float64) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 { return f(in[0], group(s, axis)) }
	}
	var cases []Case
	for _, c := range []struct {
		s    tensor.Shape
		axis int
	}{{any4, 3}, {any4, 2}, {any4, 1}, {any4, 0}, {tensor.Shape{3, 5}, 1}, {tensor.Shape{3, 5}, 0}, {tensor.Shape{2, 4, 37}, 1},
		{tensor.Shape{6}, 0}, {tensor.Shape{2, 2, 2, 3, 2}, 3}, {tensor.Shape{2, 1, 3}, 1}} {
		in := []Input{{Shape: c.s, Low: -3, High: 3, Samples: c.axis > 0}}
		at := fmt.Sprintf("along axis %d of %v", c.axis, c.s)
		cases = append(cases,
			Case{Name: "Softmax " + at, Inputs: in, Build: by(op.Softmax, c.axis), Reference: over(c.s, c.axis, softmax)},
			Case{Name: "LogSoftmaxAxis " + at, Inputs: in, Build: by(op.LogSoftmaxAxis, c.axis), Reference: over(c.s, c.axis, logSoftmax)})
	}
	overflow := []Input{{Shape: tensor.Shape{3, 2}, Values: []float64{1000, -1000, 1001, -998, 999.5, -999}}}
	in := inBatches(Input{Shape: any4, Low: -3, High: 3})
	return append(cases,
		Case{Name: "Softmax of values that overflow exp", Inputs: overflow, Build: by(op.Softmax, 0), Reference: over(tensor.Shape{3, 2}, 0, softmax)},
		Case{Name: "LogSoftmaxAxis of values that overflow exp", Inputs: overflow, Build: by(op.LogSoftmaxAxis, 0),
			Reference: over(tensor.Shape{3, 2}, 0, logSoftmax)},
		Case{Name: "Gradient of Softmax along a middle axis", Inputs: in, Build: pulledBack(by(op.Softmax, 2)),
			Reference: over(any4, 2, func(x []float64, g [][]int) []float64 {
				y, d := softmax(x, g), make([]float64, len(x))
				for i := range d {
					for _, k := range g[i] { // ∂y_k/∂x_i = y_k·(δ_ki − y_i)
						d[i] -= y[k] * y[k] * y[i]
					}
					d[i] += y[i] * y[i]
				}
				return d
			})},
		Case{Name: "Gradient of LogSoftmaxAxis along a middle axis", Inputs: in, Build: pulledBack(by(op.LogSoftmaxAxis, 2)),
			Reference: over(any4, 2, func(x []float64, g [][]int) []float64 {
				y, d := logSoftmax(x, g), make([]float64, len(x))
				for i := range d {
					d[i] = y[i]
					for _, k := range g[i] {
						d[i] -= math.Exp(y[i]) * y[k]
					}
				}
				return d
			})})
}

func momentNormCases() []Case {
	const eps = 0.1 // large enough to matter in the checks
	hat := func(x []float64, g [][]int) (hat, deviation []float64) {
		hat, deviation = make([]float64, len(x)), make([]float64, len(x))
		for i, v := range x {
			mean := meanOf(g[i], func(k int) float64 { return x[k] })
			variance := meanOf(g[i], func(k int) float64 { return (x[k] - mean) * (x[k] - mean) })
			deviation[i] = math.Sqrt(variance + eps)
			hat[i] = (v - mean) / deviation[i]
		}
		return hat, deviation
	}
	reference := func(s tensor.Shape, axes ...int) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 {
			y, _ := hat(in[0], group(s, axes...))
			return y
		}
	}
	// The gradient of ½ Σ x̂² is P x̂ / deviation.
	gradient := func(s tensor.Shape, axes ...int) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 {
			g := group(s, axes...)
			h, deviation := hat(in[0], g)
			d := make([]float64, len(h))
			for i := range d {
				mean := meanOf(g[i], func(k int) float64 { return h[k] })
				square := meanOf(g[i], func(k int) float64 { return h[k] * h[k] })
				d[i] = (h[i] - mean - h[i]*square) / deviation[i]
			}
			return d
		}
	}
	moment := func(axes ...int) builder {
		return func(in gorgonia.Nodes) (node, error) { return op.MomentNorm(in[0], axes, eps) }
	}
	layer := func(axis int) builder {
		return func(in gorgonia.Nodes) (node, error) { return op.LayerNorm(in[0], axis, eps) }
	}
	var cases []Case
	add := func(name string, s tensor.Shape, build builder, axes ...int) {
		in := []Input{{Shape: s, Samples: axes[0] > 0}}
		cases = append(cases,
			Case{Name: name, Inputs: in, Build: build, Reference: reference(s, axes...)},
			Case{Name: "Gradient of " + name, Inputs: in, Build: pulledBack(build), Reference: gradient(s, axes...)})
	}
	for _, axes := range [][]int{{3}, {1}, {2}, {0}, {1, 2, 3}, {2, 3}, {1, 3}, {0, 2}, {0, 1, 2, 3}} {
		add(fmt.Sprintf("MomentNorm of an activation over axes %v", axes), any4, moment(axes...), axes...)
	}
	add("MomentNorm over axes out of order", any4, moment(3, 1), 1, 3)
	add("MomentNorm of many channels", tensor.Shape{2, 3, 1, 37}, moment(1, 2), 1, 2)
	add("LayerNorm of tokens", tensor.Shape{2, 3, 7}, layer(2), 2)
	add("LayerNorm of maps", tensor.Shape{2, 3, 4}, layer(1), 1, 2)
	add("LayerNorm of rows", tensor.Shape{3, 6}, layer(1), 1)
	add("LayerNorm of a vector", tensor.Shape{6}, layer(0), 0)
	add("LayerNorm of images", any4, layer(1), 1, 2, 3)
	add("LayerNorm of channels", any4, layer(3), 3)
	add("MomentNorm of each channel of an image", any4, moment(1, 2), 1, 2)
	tokens := tensor.Shape{2, 3, 7}
	return append(cases, Case{
		// With d = x − mean and s² = variance + eps, the gradient of ½ Σ x̂² comes to
		// eps·d/s⁴, and that of half its square to eps²·d/s⁸·(1 − 4·variance/s²).
		Name: "Gradient of the gradient of LayerNorm", Inputs: inBatches(Input{Shape: tokens}), Build: pulledBack(pulledBack(layer(2))),
		Reference: func(in [][]float64) []float64 {
			y, s := hat(in[0], group(tokens, 2))
			for i := range y {
				y[i] *= eps * eps / math.Pow(s[i], 7) * (1 - 4*(s[i]*s[i]-eps)/(s[i]*s[i]))
			}
			return y
		},
	}, Case{
		Name: "LayerNorm of values far from zero", Inputs: []Input{{Shape: tensor.Shape{4, 9}, Low: 30, High: 31}}, Build: layer(1),
		Reference: reference(tensor.Shape{4, 9}, 1),
	})
}
