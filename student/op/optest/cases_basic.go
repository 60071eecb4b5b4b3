package optest

import (
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// basicCases are the cases of the elementary operators.
func basicCases() []Case {
	return slices.Concat(perSample(elementwiseCases()), reduceCases(), perSample(shapeCases()), perSample(softmaxCases()), perSample(attentionCases()),
		gradientCases())
}

// perSample marks the operands of cases as batches, save scalars and vectors.
func perSample(cases []Case) []Case {
	for _, c := range cases {
		for i := range c.Inputs {
			c.Inputs[i].Samples = c.Inputs[i].Shape.Dims() > 1
		}
	}
	return cases
}

// gap keeps central differences, of step 1e-5, well off a kink at zero.
const gap = 0.05

// any4 is an activation whose four axes differ, so that no two can be mixed up.
var any4 = tensor.Shape{2, 3, 4, 5}

type (
	node    = *gorgonia.Node
	builder = func(in gorgonia.Nodes) (node, error)
)

func unary(f func(x node) (node, error)) builder {
	return func(in gorgonia.Nodes) (node, error) { return f(in[0]) }
}

func binary(f func(a, b node) (node, error)) builder {
	return func(in gorgonia.Nodes) (node, error) { return f(in[0], in[1]) }
}

// by fixes the last argument of an operator with one parameter.
func by[P any](f func(x node, p P) (node, error), p P) builder {
	return func(in gorgonia.Nodes) (node, error) { return f(in[0], p) }
}

// map1 and map2 are the references of elementwise functions.
func map1(f func(x float64) float64) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		y := make([]float64, len(in[0]))
		for i, x := range in[0] {
			y[i] = f(x)
		}
		return y
	}
}

func map2(f func(a, b float64) float64) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		y := make([]float64, len(in[0]))
		for i, a := range in[0] {
			y[i] = f(a, in[1][i])
		}
		return y
	}
}

func inputs(s ...tensor.Shape) []Input {
	in := make([]Input, len(s))
	for i := range s {
		in[i].Shape = s[i]
	}
	return in
}

func elementwiseCases() []Case {
	positive := []Input{{Shape: any4, Low: 0.2, High: 2}}
	kinked := []Input{{Shape: any4, Low: -2, High: 2, Gap: gap}}
	add := func(a, b float64) float64 { return a + b }
	return []Case{
		{Name: "Add of two activations", Inputs: inputs(any4, any4), Build: binary(op.Add), Reference: map2(add)},
		{Name: "Add of two scalars", Inputs: inputs(tensor.Shape{}, tensor.Shape{}), Build: binary(op.Add), Reference: map2(add)},
		{Name: "Add of a vector to itself", Inputs: inputs(tensor.Shape{5}),
			Build:     func(in gorgonia.Nodes) (node, error) { return op.Add(in[0], in[0]) },
			Reference: map1(func(x float64) float64 { return 2 * x })},
		{Name: "Sub of two matrices", Inputs: inputs(tensor.Shape{3, 4}, tensor.Shape{3, 4}), Build: binary(op.Sub),
			Reference: map2(func(a, b float64) float64 { return a - b })},
		{Name: "Mul of two activations", Inputs: inputs(any4, any4), Build: binary(op.Mul),
			Reference: map2(func(a, b float64) float64 { return a * b })},
		{Name: "Mul of two scalars", Inputs: inputs(tensor.Shape{}, tensor.Shape{}), Build: binary(op.Mul),
			Reference: map2(func(a, b float64) float64 { return a * b })},
		{Name: "Mul of a column with itself", Inputs: inputs(tensor.Shape{4, 1}),
			Build:     func(in gorgonia.Nodes) (node, error) { return op.Mul(in[0], in[0]) },
			Reference: map1(func(x float64) float64 { return x * x })},
		{Name: "Div by values away from zero", Inputs: []Input{{Shape: any4}, {Shape: any4, Low: 0.5, High: 2}}, Build: binary(op.Div),
			Reference: map2(func(a, b float64) float64 { return a / b })},
		{Name: "Neg", Inputs: inputs(any4), Build: unary(op.Neg), Reference: map1(func(x float64) float64 { return -x })},
		{Name: "Exp", Inputs: inputs(any4), Build: unary(op.Exp), Reference: map1(math.Exp)},
		{Name: "Log", Inputs: positive, Build: unary(op.Log), Reference: map1(math.Log)},
		{Name: "Sqrt", Inputs: positive, Build: unary(op.Sqrt), Reference: map1(math.Sqrt)},
		{Name: "RootOfSquares", Inputs: positive, Build: unary(op.RootOfSquares), Reference: map1(math.Sqrt)},
		{Name: "Square", Inputs: inputs(any4), Build: unary(op.Square), Reference: map1(func(x float64) float64 { return x * x })},
		{Name: "Pow with power 3 of both signs", Inputs: kinked, Build: by(op.Pow, 3.0),
			Reference: map1(func(x float64) float64 { return x * x * x })},
		{Name: "Pow with power 2.5", Inputs: positive, Build: by(op.Pow, 2.5),
			Reference: map1(func(x float64) float64 { return math.Pow(x, 2.5) })},
		{Name: "Pow with power -1", Inputs: positive, Build: by(op.Pow, -1.0), Reference: map1(func(x float64) float64 { return 1 / x })},
		{Name: "Pow with power 1", Inputs: kinked, Build: by(op.Pow, 1.0), Reference: map1(func(x float64) float64 { return x })},
		{Name: "Pow with power 0", Inputs: kinked, Build: by(op.Pow, 0.0), Reference: map1(func(float64) float64 { return 1 }),
			NoGradient: "constant"},
		{Name: "Abs", Inputs: kinked, Build: unary(op.Abs), Reference: map1(math.Abs)},
		{Name: "Sign with a zero", Inputs: []Input{{Shape: tensor.Shape{3}, Values: []float64{-2, 0, 3}}}, Build: unary(op.Sign),
			Reference: func([][]float64) []float64 { return []float64{-1, 0, 1} }, NoGradient: "piecewise constant"},
		{Name: "AbsPow with power 1.5", Inputs: kinked, Build: by(op.AbsPow, 1.5),
			Reference: map1(func(x float64) float64 { return math.Pow(math.Abs(x), 1.5) })},
		{Name: "AbsPow with power 2", Inputs: kinked, Build: by(op.AbsPow, 2.0), Reference: map1(func(x float64) float64 { return x * x })},
		{Name: "AbsPow with power 3", Inputs: kinked, Build: by(op.AbsPow, 3.0),
			Reference: map1(func(x float64) float64 { return math.Abs(x * x * x) })},
		{Name: "AbsPow with power 11, past the unrolled ones", Inputs: []Input{{Shape: any4, Low: -1, High: 1, Gap: gap}}, Build: by(op.AbsPow, 11.0),
			Reference: map1(func(x float64) float64 { return math.Pow(math.Abs(x), 11) })},
		{Name: "Scale", Inputs: inputs(any4), Build: by(op.Scale, -1.75), Reference: map1(func(x float64) float64 { return -1.75 * x })},
		{Name: "Scale of a scalar", Inputs: inputs(tensor.Shape{}), Build: by(op.Scale, 3.0),
			Reference: map1(func(x float64) float64 { return 3 * x })},
		{Name: "AddScalar", Inputs: inputs(any4), Build: by(op.AddScalar, 0.75), Reference: map1(func(x float64) float64 { return x + 0.75 })},
		{Name: "ReLU", Inputs: kinked, Build: unary(op.ReLU), Reference: map1(func(x float64) float64 { return math.Max(x, 0) })},
		{Name: "Gate", Inputs: []Input{{Shape: any4, Fixed: true}, {Shape: any4}}, Build: binary(op.Gate),
			Reference: map2(func(x, g float64) float64 {
				if x > 0 {
					return g
				}
				return 0
			})},
	}
}

// sumOver is the reference of a reduction of x over all elements that key sends
// to one index below n.
func sumOver(n int, key func(i int) int) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		y := make([]float64, n)
		for i, x := range in[0] {
			y[key(i)] += x
		}
		return y
	}
}

// takeFrom is the reference of a rearrangement: element i of n is x[key(i)].
func takeFrom(n int, key func(i int) int) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		y := make([]float64, n)
		for i := range y {
			y[i] = in[0][key(i)]
		}
		return y
	}
}

func reduceCases() []Case {
	first := func(int) int { return 0 }
	broadcast := func(f func(x node, shape ...int) (node, error), shape ...int) builder {
		return func(in gorgonia.Nodes) (node, error) { return f(in[0], shape...) }
	}
	mean := func(in [][]float64) []float64 {
		var s float64
		for _, x := range in[0] {
			s += x
		}
		return []float64{s / float64(len(in[0]))}
	}
	norms := func(d int, least float64) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 {
			var y []float64
			for row := range slices.Chunk(in[0], d) {
				var s float64
				for _, x := range row {
					s += x * x
				}
				y = append(y, math.Max(math.Sqrt(s), least))
			}
			return y
		}
	}
	normalised := func(d int, least float64) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 {
			y := slices.Clone(in[0])
			for i, n := range norms(d, least)(in) {
				for k := range d {
					y[i*d+k] /= n
				}
			}
			return y
		}
	}
	// Two rows, the second shorter than a least norm of 0.1.
	longAndShort := []Input{{Shape: tensor.Shape{2, 3}, Values: []float64{0.3, -0.8, 0.5, 0.01, -0.02, 0.03}}}
	return []Case{
		{Name: "Sum of an activation", Inputs: inputs(any4), Build: unary(op.Sum), Reference: sumOver(1, first)},
		{Name: "Sum of a vector of one", Inputs: inputs(tensor.Shape{1}), Build: unary(op.Sum), Reference: sumOver(1, first)},
		{Name: "Mean of an activation", Inputs: inputs(any4), Build: unary(op.Mean), Reference: mean},
		{Name: "BroadcastScalar to an activation", Inputs: inputs(tensor.Shape{}), Build: broadcast(op.BroadcastScalar, any4...),
			Reference: takeFrom(120, first)},
		{Name: "SumRows of a matrix", Inputs: batches(tensor.Shape{3, 4}), Build: unary(op.SumRows),
			Reference: sumOver(3, func(i int) int { return i / 4 })},
		{Name: "SumRows of a row", Inputs: batches(tensor.Shape{1, 4}), Build: unary(op.SumRows), Reference: sumOver(1, first)},
		{Name: "SumRows of maps of vectors", Inputs: batches(tensor.Shape{2, 3, 4}), Build: unary(op.SumRows),
			Reference: sumOver(6, func(i int) int { return i / 4 })},
		{Name: "SumRows of an activation sums channels", Inputs: batches(any4), Build: unary(op.SumRows),
			Reference: sumOver(24, func(i int) int { return i / 5 })},
		{Name: "BroadcastRows of a vector", Inputs: batches(tensor.Shape{3}), Build: by(op.BroadcastRows, 4),
			Reference: takeFrom(12, func(i int) int { return i / 4 })},
		{Name: "BroadcastRows of a map to an activation", Inputs: batches(any4[:3]), Build: by(op.BroadcastRows, 5),
			Reference: takeFrom(120, func(i int) int { return i / 5 })},
		{Name: "SumChannels of a matrix", Inputs: inputs(tensor.Shape{4, 3}), Build: unary(op.SumChannels),
			Reference: sumOver(3, func(i int) int { return i % 3 })},
		{Name: "SumChannels of an activation", Inputs: inputs(any4), Build: unary(op.SumChannels),
			Reference: sumOver(5, func(i int) int { return i % 5 })},
		{Name: "BroadcastChannels to a matrix", Inputs: inputs(tensor.Shape{3}), Build: broadcast(op.BroadcastChannels, 4, 3),
			Reference: takeFrom(12, func(i int) int { return i % 3 })},
		{Name: "BroadcastChannels to an activation", Inputs: inputs(tensor.Shape{5}), Build: broadcast(op.BroadcastChannels, any4...),
			Reference: takeFrom(120, func(i int) int { return i % 5 })},
		{Name: "NormRows with nothing too short", Inputs: batches(tensor.Shape{3, 4}), Build: by(op.NormRows, 0.0), Reference: norms(4, 0)},
		{Name: "NormRows with a row below the least norm", Inputs: longAndShort, Build: by(op.NormRows, 0.1), Reference: norms(3, 0.1)},
		{Name: "L2Normalize with nothing too short", Inputs: batches(tensor.Shape{3, 4}), Build: by(op.L2Normalize, 1e-12),
			Reference: normalised(4, 1e-12)},
		{Name: "L2Normalize with a row below the least norm", Inputs: longAndShort, Build: by(op.L2Normalize, 0.1),
			Reference: normalised(3, 0.1)},
		{Name: "L2Normalize of one row", Inputs: batches(tensor.Shape{1, 6}), Build: by(op.L2Normalize, 1e-12), Reference: normalised(6, 1e-12)},
	}
}

func shapeCases() []Case {
	same := map1(func(x float64) float64 { return x })
	reshape := func(shape ...int) builder {
		return func(in gorgonia.Nodes) (node, error) { return op.Reshape(in[0], shape...) }
	}
	return []Case{
		{Name: "Flatten of an activation", Inputs: inputs(any4), Build: unary(op.Flatten), Reference: same},
		{Name: "Flatten of one pixel", Inputs: inputs(tensor.Shape{2, 1, 1, 5}), Build: unary(op.Flatten), Reference: same},
		{Name: "Flatten of a matrix", Inputs: inputs(tensor.Shape{2, 5}), Build: unary(op.Flatten), Reference: same},
		{Name: "Flatten of maps", Inputs: inputs(tensor.Shape{2, 3, 4}), Build: unary(op.Flatten), Reference: same},
		{Name: "Reshape of a matrix to an activation", Inputs: inputs(tensor.Shape{2, 60}), Build: reshape(any4...), Reference: same},
		{Name: "Reshape of an activation to another", Inputs: inputs(any4), Build: reshape(2, 4, 3, 5), Reference: same},
		{Name: "Reshape that moves the batch", Inputs: inputs(any4), Build: reshape(6, 20), Reference: same},
		{Name: "Reshape of maps to an activation of one channel", Inputs: inputs(tensor.Shape{2, 3, 4}), Build: reshape(2, 3, 4, 1), Reference: same},
	}
}

func softmaxCases() []Case {
	reference := func(k int) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 {
			var y []float64
			for row := range slices.Chunk(in[0], k) {
				top, s := slices.Max(row), 0.0
				for _, x := range row {
					s += math.Exp(x - top)
				}
				for _, x := range row {
					y = append(y, x-top-math.Log(s))
				}
			}
			return y
		}
	}
	return []Case{
		{Name: "LogSoftmax", Inputs: []Input{{Shape: tensor.Shape{3, 5}, Low: -3, High: 3}}, Build: unary(op.LogSoftmax), Reference: reference(5)},
		{Name: "LogSoftmax of one row", Inputs: inputs(tensor.Shape{1, 4}), Build: unary(op.LogSoftmax), Reference: reference(4)},
		{Name: "LogSoftmax of logits that overflow exp",
			Inputs: []Input{{Shape: tensor.Shape{2, 3}, Values: []float64{1000, 1001, 999.5, -1000, -998, -999}}},
			Build:  unary(op.LogSoftmax), Reference: reference(3)},
	}
}

func attentionCases() []Case {
	attention := func(kind op.MapKind, p float64) builder {
		return func(in gorgonia.Nodes) (node, error) { return op.AttentionMap(in[0], kind, p) }
	}
	// condense folds the channels of each pixel.
	condense := func(c int, p float64, fold func(acc, v float64) float64) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 {
			var y []float64
			for pixel := range slices.Chunk(in[0], c) {
				acc := 0.0
				for _, x := range pixel {
					acc = fold(acc, math.Pow(math.Abs(x), p))
				}
				y = append(y, acc)
			}
			return y
		}
	}
	add := func(a, b float64) float64 { return a + b }
	activation := []Input{{Shape: any4, Low: -2, High: 2, Gap: gap}}
	sums := func(name string, p, given float64, kind op.MapKind) Case {
		return Case{Name: name, Inputs: activation, Build: attention(kind, given), Reference: condense(5, p, add)}
	}
	largest := func(name string, p float64) Case {
		return Case{Name: name, Inputs: activation, Build: attention(op.MapMaxPow, p), Reference: condense(5, p, math.Max)}
	}
	pool := func(name string, s tensor.Shape, oh, ow int) Case {
		return Case{
			Name: name, Inputs: inputs(s),
			Build:     func(in gorgonia.Nodes) (node, error) { return op.AdaptiveAveragePool(in[0], oh, ow) },
			Reference: func(in [][]float64) []float64 { return adaptive(in[0], s, oh, ow) },
		}
	}
	return []Case{
		sums("AttentionMap sum", 1, 7, op.MapSum), // its power does not count
		sums("AttentionMap sum^p with the default power", 2, 0, op.MapSumPow),
		sums("AttentionMap sum^p with power 1", 1, 1, op.MapSumPow),
		sums("AttentionMap sum^p with power 1.5", 1.5, 1.5, op.MapSumPow),
		sums("AttentionMap sum^p with power 2", 2, 2, op.MapSumPow),
		sums("AttentionMap sum^p with power 3", 3, 3, op.MapSumPow),
		sums("AttentionMap sum^p with power 4", 4, 4, op.MapSumPow),
		largest("AttentionMap max^p with power 1", 1),
		largest("AttentionMap max^p with power 2", 2),
		largest("AttentionMap max^p with power 3", 3),
		{Name: "AttentionMap sum^p of one channel", Inputs: inputs(tensor.Shape{1, 2, 3, 1}), Build: attention(op.MapSumPow, 2),
			Reference: condense(1, 2, add)},
		pool("AdaptiveAveragePool of maps in even bins", tensor.Shape{2, 4, 6}, 2, 3),
		pool("AdaptiveAveragePool of maps in uneven bins", tensor.Shape{2, 5, 7}, 3, 2),
		pool("AdaptiveAveragePool of maps to a larger size", tensor.Shape{2, 2, 3}, 3, 4),
		pool("AdaptiveAveragePool of maps to one value", tensor.Shape{2, 3, 4}, 1, 1),
		pool("AdaptiveAveragePool of an activation in even bins", tensor.Shape{2, 4, 2, 3}, 2, 1),
		pool("AdaptiveAveragePool of an activation in uneven bins", tensor.Shape{2, 5, 3, 2}, 2, 2),
		pool("AdaptiveAveragePool of an activation to one pixel", tensor.Shape{2, 3, 2, 3}, 1, 1),
	}
}

// adaptive averages x of shape s, [N, H, W] or [N, H, W, C], by PyTorch's rule.
func adaptive(x []float64, s tensor.Shape, oh, ow int) []float64 {
	c := 1
	if len(s) == 4 {
		c = s[3]
	}
	h, w := float64(s[1]), float64(s[2])
	var y []float64
	for n := range s[0] {
		for p := range oh {
			top, bottom := int(math.Floor(float64(p)*h/float64(oh))), int(math.Ceil(float64(p+1)*h/float64(oh)))
			for q := range ow {
				left, right := int(math.Floor(float64(q)*w/float64(ow))), int(math.Ceil(float64(q+1)*w/float64(ow)))
				for k := range c {
					var sum float64
					for i := top; i < bottom; i++ {
						for j := left; j < right; j++ {
							sum += x[((n*s[1]+i)*s[2]+j)*c+k]
						}
					}
					y = append(y, sum/float64((bottom-top)*(right-left)))
				}
			}
		}
	}
	return y
}

// gradientCases are first derivatives, written as operators and therefore as
// ONNX too: a teacher's gradient is a file. Each is the gradient of ½ Σ y², in
// which the gradient that enters the operator is its own value y.
func gradientCases() []Case {
	gradientOf := func(build builder) builder {
		return func(in gorgonia.Nodes) (node, error) {
			y, err := build(in)
			if err != nil {
				return nil, err
			}
			if y, err = op.Square(y); err != nil {
				return nil, err
			}
			if y, err = op.Sum(y); err != nil {
				return nil, err
			}
			if y, err = op.Scale(y, 0.5); err != nil {
				return nil, err
			}
			g, err := op.Gradient(y, in[0])
			if err != nil {
				return nil, err
			}
			return g[0], nil
		}
	}
	attention := func(kind op.MapKind, p float64) builder {
		return gradientOf(func(in gorgonia.Nodes) (node, error) { return op.AttentionMap(in[0], kind, p) })
	}
	// chained multiplies the map y of each pixel into f(x) of its channels.
	chained := func(c int, y func(pixel []float64) float64, f func(pixel []float64, k int) float64) func(in [][]float64) []float64 {
		return func(in [][]float64) []float64 {
			var d []float64
			for pixel := range slices.Chunk(in[0], c) {
				for k := range pixel {
					d = append(d, y(pixel)*f(pixel, k))
				}
			}
			return d
		}
	}
	largest := func(pixel []float64) int {
		at := 0
		for k, x := range pixel {
			if math.Abs(x) > math.Abs(pixel[at]) {
				at = k
			}
		}
		return at
	}
	squareOfLargest := func(pixel []float64) float64 { return math.Pow(pixel[largest(pixel)], 2) }
	slopeOfLargest := func(pixel []float64, k int) float64 {
		if k != largest(pixel) {
			return 0
		}
		return 2 * pixel[k]
	}
	activation := []Input{{Shape: any4, Low: -2, High: 2, Gap: gap}}
	uneven := tensor.Shape{2, 5, 7}
	return []Case{
		{Name: "Gradient of AttentionMap sum", Inputs: activation, Build: attention(op.MapSum, 1),
			Reference: chained(5, func(pixel []float64) (s float64) {
				for _, x := range pixel {
					s += math.Abs(x)
				}
				return s
			}, func(pixel []float64, k int) float64 { return math.Copysign(1, pixel[k]) })},
		{Name: "Gradient of AttentionMap sum^p with power 3", Inputs: activation, Build: attention(op.MapSumPow, 3),
			Reference: chained(5, func(pixel []float64) (s float64) {
				for _, x := range pixel {
					s += math.Abs(x * x * x)
				}
				return s
			}, func(pixel []float64, k int) float64 { return 3 * pixel[k] * math.Abs(pixel[k]) })},
		{Name: "Gradient of AttentionMap max^p", Inputs: activation, Build: attention(op.MapMaxPow, 2),
			Reference: chained(5, squareOfLargest, slopeOfLargest)},
		{Name: "Gradient of AttentionMap max^p where channels tie goes to the first",
			Inputs: []Input{{Shape: tensor.Shape{1, 1, 3, 3}, Values: []float64{2, -2, 1, 1, -3, 3, 0.5, 0.5, 0.5}}},
			Build:  attention(op.MapMaxPow, 2), Reference: chained(3, squareOfLargest, slopeOfLargest), NoGradient: "at a kink"},
		{Name: "Gradient of AdaptiveAveragePool in uneven bins", Inputs: inputs(uneven),
			Build: gradientOf(func(in gorgonia.Nodes) (node, error) { return op.AdaptiveAveragePool(in[0], 3, 2) }),
			Reference: func(in [][]float64) []float64 {
				// The pooling is linear, so the derivative along each unit vector e
				// is the product of the pooled x and the pooled e.
				y, d := adaptive(in[0], uneven, 3, 2), make([]float64, len(in[0]))
				for i := range d {
					e := make([]float64, len(d))
					e[i] = 1
					for k, v := range adaptive(e, uneven, 3, 2) {
						d[i] += v * y[k]
					}
				}
				return d
			}},
		{Name: "Gradient of LogSoftmax", Inputs: []Input{{Shape: tensor.Shape{3, 5}, Low: -3, High: 3}}, Build: gradientOf(unary(op.LogSoftmax)),
			Reference: func(in [][]float64) []float64 {
				var d []float64
				for row := range slices.Chunk(in[0], 5) {
					var s, sum float64
					for _, x := range row {
						s += math.Exp(x)
					}
					for _, x := range row {
						sum += x - math.Log(s)
					}
					for _, x := range row {
						d = append(d, x-math.Log(s)-math.Exp(x)/s*sum)
					}
				}
				return d
			}},
		// A row longer than the least norm has a normalised length of 1 whatever
		// it is, so the gradient is zero; the other's is x / least².
		{Name: "Gradient of L2Normalize with a row below the least norm",
			Inputs: []Input{{Shape: tensor.Shape{2, 2}, Values: []float64{0.6, -0.8, 0.03, 0.04}}},
			Build:  gradientOf(by(op.L2Normalize, 0.1)),
			Reference: func(in [][]float64) []float64 {
				return []float64{0, 0, in[0][2] * 100, in[0][3] * 100}
			}},
		{Name: "Gradient of ReLU", Inputs: []Input{{Shape: any4, Low: -2, High: 2, Gap: gap}}, Build: gradientOf(unary(op.ReLU)),
			Reference: map1(func(x float64) float64 { return math.Max(x, 0) })},
	}
}
