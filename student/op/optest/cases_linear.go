package optest

import (
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// linearCases are the cases of products of matrices, reductions along axes and
// transposed convolutions, and those of derivatives by Pullback: what the
// gradient of a frozen network is made of.
func linearCases() []Case {
	return slices.Concat(matMulCases(), reduceAxesCases(), convTransposeCases(), pullbackLinearCases(), pullbackPoolCases(), pullbackOtherCases(),
		[]Case{networkCase()})
}

// batches are inputs whose first axis is a batch.
func batches(s ...tensor.Shape) []Input {
	in := inputs(s...)
	for i := range in {
		in[i].Samples = true
	}
	return in
}

// multiplied is the reference of batch products of [m, k] by [k, n].
func multiplied(batch, m, k, n int) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		y := make([]float64, batch*m*n)
		for b := range batch {
			for i := range m {
				for j := range n {
					for d := range k {
						y[(b*m+i)*n+j] += in[0][(b*m+i)*k+d] * in[1][(b*k+d)*n+j]
					}
				}
			}
		}
		return y
	}
}

// matMulOf is a case of the product of [lead..., m, k] by [lead..., k, n].
func matMulOf(name string, lead []int, m, k, n int) Case {
	a, b := append(slices.Clone(lead), m, k), append(slices.Clone(lead), k, n)
	in := batches(a, b)
	in[1].Samples = len(lead) > 0 // a matrix has no batch
	return Case{
		Name: "MatMul " + name, Inputs: in, Build: binary(op.MatMul),
		Reference: multiplied(tensor.Shape(append([]int{1}, lead...)).TotalSize(), m, k, n),
	}
}

func matMulCases() []Case {
	return []Case{
		matMulOf("of two matrices", nil, 3, 4, 5),
		matMulOf("of a row and a column", nil, 1, 7, 1),
		matMulOf("of more rows and columns than a tile", nil, 13, 9, 35),
		matMulOf("of two batches of matrices", []int{2}, 3, 4, 5),
		matMulOf("of many small matrices", []int{9}, 2, 3, 2),
		matMulOf("of heads, of rank 4", []int{2, 3}, 4, 5, 2),
		matMulOf("of rank 5", []int{2, 1, 2}, 2, 3, 4),
	}
}

// along is the reference of a reduction of x of shape s along axes. fold gets
// the elements of each place in the order of the axes.
func along(s tensor.Shape, axes []int, fold func(v []float64) float64) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		groups := members(s, axes)
		y := make([]float64, len(groups))
		for i, m := range groups {
			v := make([]float64, len(m))
			for k, at := range m {
				v[k] = in[0][at]
			}
			y[i] = fold(v)
		}
		return y
	}
}

// members lists, for each element of the result of a reduction along axes, the
// elements of shape s that it is made of.
func members(s tensor.Shape, axes []int) [][]int {
	size := 1
	for i, d := range s {
		if !slices.Contains(axes, i) {
			size *= d
		}
	}
	groups := make([][]int, size)
	for i := range s.TotalSize() {
		result, rest, stride := 0, i, 1
		for k := len(s) - 1; k >= 0; k-- {
			if !slices.Contains(axes, k) {
				result += rest % s[k] * stride
				stride *= s[k]
			}
			rest /= s[k]
		}
		groups[result] = append(groups[result], i)
	}
	return groups
}

type reducer struct {
	name  string
	build func(x node, axes ...int) (node, error)
	fold  func(v []float64) float64
	peaks bool // the values must be told apart
}

var reducers = []reducer{
	{"ReduceSum", op.ReduceSum, func(v []float64) (s float64) {
		for _, x := range v {
			s += x
		}
		return s
	}, false},
	{"ReduceMean", op.ReduceMean, func(v []float64) (s float64) {
		for _, x := range v {
			s += x / float64(len(v))
		}
		return s
	}, false},
	{"ReduceMax", op.ReduceMax, slices.Max[[]float64], true},
	{"ReduceMin", op.ReduceMin, slices.Min[[]float64], true},
}

// input is an operand of a reduction along axes.
func (r reducer) input(s tensor.Shape, axes []int) Input {
	in := Input{Shape: s, Samples: !slices.Contains(axes, 0)}
	if r.peaks {
		in.Values = shuffled(s.TotalSize())
	}
	return in
}

// reductions are what reductions are tried on.
var reductions = []struct {
	name  string
	shape tensor.Shape
	axes  []int
}{
	{"an image to a pixel", any4, []int{1, 2}},
	{"the channels of an image", any4, []int{3}},
	{"the rows of an image", any4, []int{1}},
	{"images across a batch", any4, []int{0}},
	{"all but the channels, as told in another order", any4, []int{2, 0, 1}},
	{"columns and channels", any4, []int{2, 3}},
	{"rows and channels, which do not touch", any4, []int{1, 3}},
	{"the last axis of rank 3", tensor.Shape{2, 3, 4}, []int{2}},
	{"the middle axis of rank 3", tensor.Shape{2, 3, 4}, []int{1}},
	{"the columns of a matrix", tensor.Shape{4, 3}, []int{1}},
	{"a vector", tensor.Shape{5}, []int{0}},
	{"axes apart in rank 5", tensor.Shape{2, 3, 2, 2, 3}, []int{1, 3}},
}

func reduceAxesCases() []Case {
	var cases []Case
	for _, r := range reducers {
		for _, over := range reductions {
			cases = append(cases, Case{
				Name:      r.name + " of " + over.name,
				Inputs:    []Input{r.input(over.shape, over.axes)},
				Build:     func(in gorgonia.Nodes) (node, error) { return r.build(in[0], over.axes...) },
				Reference: along(over.shape, over.axes, r.fold),
			})
		}
		cases = append(cases, Case{
			Name:      r.name + " of all axes, none told",
			Inputs:    []Input{r.input(tensor.Shape{2, 3, 4}, []int{0})},
			Build:     func(in gorgonia.Nodes) (node, error) { return r.build(in[0]) },
			Reference: along(tensor.Shape{2, 3, 4}, []int{0, 1, 2}, r.fold),
		})
	}
	long := tensor.Shape{2, 1100, 3}
	return append(cases,
		Case{Name: "ReduceMean of more rows than a block", Inputs: batches(long),
			Build:     func(in gorgonia.Nodes) (node, error) { return op.ReduceMean(in[0], 1) },
			Reference: along(long, []int{1}, reducers[1].fold)},
		Case{Name: "GlobalMaxPool of images", Inputs: []Input{reducers[2].input(any4, []int{1, 2})},
			Build: unary(op.GlobalMaxPool), Reference: along(any4, []int{1, 2}, slices.Max[[]float64])},
		Case{Name: "GlobalMaxPool of one pixel", Inputs: batches(tensor.Shape{2, 1, 1, 3}),
			Build: unary(op.GlobalMaxPool), Reference: takeFrom(6, func(i int) int { return i })},
	)
}

// transposed is ConvTranspose's equation in loops.
func transposed(x, w []float64, xs, ws tensor.Shape, cfg op.ConvTransposeConfig) []float64 {
	orOne := func(v int) int { return max(v, 1) }
	groups := orOne(cfg.Groups)
	size := func(i int) int {
		return orOne(cfg.Stride[i])*(xs[i+1]-1) + orOne(cfg.Dilation[i])*(ws[i+1]-1) + 1 - cfg.Pad[i] - cfg.Pad[i+2] + cfg.OutputPadding[i]
	}
	n, h, wd, c := xs[0], xs[1], xs[2], xs[3]
	r, s, kg := ws[1], ws[2], ws[3]
	oh, ow, k := size(0), size(1), kg*groups
	y := make([]float64, n*oh*ow*k)
	for i, v := range x {
		ch, q, p, b := i%c, i/c%wd, i/c/wd%h, i/c/wd/h
		for t := range r {
			for u := range s {
				row := p*orOne(cfg.Stride[0]) - cfg.Pad[0] + t*orOne(cfg.Dilation[0])
				col := q*orOne(cfg.Stride[1]) - cfg.Pad[1] + u*orOne(cfg.Dilation[1])
				if row < 0 || row >= oh || col < 0 || col >= ow {
					continue
				}
				for o := range kg {
					y[((b*oh+row)*ow+col)*k+ch/(c/groups)*kg+o] += v * w[((ch*r+t)*s+u)*kg+o]
				}
			}
		}
	}
	return y
}

func convTransposeOf(name string, x, w tensor.Shape, cfg op.ConvTransposeConfig) Case {
	return Case{
		Name:      "ConvTranspose " + name,
		Inputs:    []Input{{Shape: x, Samples: true}, {Shape: w}},
		Build:     func(in gorgonia.Nodes) (node, error) { return op.ConvTranspose(in[0], in[1], cfg) },
		Reference: func(in [][]float64) []float64 { return transposed(in[0], in[1], x, w, cfg) },
	}
}

func convTransposeCases() []Case {
	type cfg = op.ConvTransposeConfig
	shape := func(d ...int) tensor.Shape { return d }
	return []Case{
		convTransposeOf("3x3", shape(2, 3, 4, 2), shape(2, 3, 3, 3), cfg{}),
		convTransposeOf("2x2 with stride 2, as decoders have it", shape(2, 3, 2, 3), shape(3, 2, 2, 4), cfg{Stride: [2]int{2, 2}}),
		convTransposeOf("3x3 with stride 2, padding and output padding", shape(1, 3, 4, 2), shape(2, 3, 3, 3),
			cfg{Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}, OutputPadding: [2]int{1, 1}}),
		convTransposeOf("with output padding that nothing reaches", shape(1, 2, 2, 2), shape(2, 2, 2, 1),
			cfg{Stride: [2]int{3, 2}, OutputPadding: [2]int{2, 1}}),
		convTransposeOf("with output padding above the stride, within the padding", shape(1, 3, 3, 1), shape(1, 3, 3, 2),
			cfg{Dilation: [2]int{2, 2}, Pad: [4]int{0, 1, 2, 2}, OutputPadding: [2]int{1, 1}}),
		convTransposeOf("with padding that differs on every side", shape(1, 3, 4, 2), shape(2, 4, 3, 2), cfg{Stride: [2]int{2, 1}, Pad: [4]int{2, 0, 1, 1}}),
		convTransposeOf("with dilation and stride", shape(1, 3, 2, 2), shape(2, 3, 2, 2), cfg{Stride: [2]int{2, 3}, Dilation: [2]int{2, 3}, Pad: [4]int{1, 2, 0, 1}}),
		convTransposeOf("in two groups", shape(2, 3, 3, 4), shape(4, 2, 3, 3), cfg{Groups: 2, Stride: [2]int{1, 2}}),
		convTransposeOf("depthwise", shape(1, 3, 3, 8), shape(8, 3, 3, 1), cfg{Groups: 8, Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}}),
		convTransposeOf("of one pixel", shape(2, 1, 1, 3), shape(3, 4, 4, 2), cfg{}),
	}
}

// pulled makes a case of the derivative of c's operator by operand k, times one
// operand more: the gradient of the result, of shape g.
func pulled(c Case, k int, g tensor.Shape, reference func(in [][]float64) []float64) Case {
	p := Case{
		Name:   "Pullback of " + c.Name,
		Inputs: append(slices.Clone(c.Inputs), Input{Shape: g, Samples: c.Inputs[0].Samples}),
		Build: func(in gorgonia.Nodes) (node, error) {
			last := len(in) - 1
			y, err := c.Build(in[:last])
			if err != nil {
				return nil, err
			}
			d, err := op.Pullback(gorgonia.Nodes{y}, in[last:], in[k])
			if err != nil {
				return nil, err
			}
			return d[0], nil
		},
		Reference: reference,
	}
	if k > 0 {
		p.Name += " by another operand"
	}
	return p
}

// pulledLinear is pulled of an operator that is linear in operand k, by which
// the derivative is then constant.
func pulledLinear(c Case, k int, g tensor.Shape) Case {
	p := pulled(c, k, g, adjoint(c.Reference, k))
	p.Inputs[k].Fixed = true
	return p
}

// adjoint is the derivative of a function that is linear in operand k by it,
// times the gradient that follows the operands: what each unit vector gives.
func adjoint(f func(in [][]float64) []float64, k int) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		last := len(in) - 1
		at, d := slices.Clone(in[:last]), make([]float64, len(in[k]))
		for i := range d {
			unit := make([]float64, len(d))
			unit[i] = 1
			at[k] = unit
			for j, v := range f(at) {
				d[i] += v * in[last][j]
			}
		}
		return d
	}
}

func pullbackLinearCases() []Case {
	shape := func(d ...int) tensor.Shape { return d }
	conv := func(name string, x, w tensor.Shape, y tensor.Shape, cfg op.ConvConfig) Case {
		return pulledLinear(Case{
			Name:      "Conv2D " + name,
			Inputs:    []Input{{Shape: x, Samples: true}, {Shape: w}},
			Build:     func(in gorgonia.Nodes) (node, error) { return op.Conv2D(in[0], in[1], cfg) },
			Reference: func(in [][]float64) []float64 { return convolve(in[0], in[1], x, w, cfg) },
		}, 0, y)
	}
	dense := Case{
		Name:   "Dense",
		Inputs: []Input{{Shape: shape(3, 4), Samples: true}, {Shape: shape(5, 4)}},
		Build:  binary(op.Dense),
		Reference: func(in [][]float64) []float64 {
			y := make([]float64, 15)
			for i := range y {
				for k := range 4 {
					y[i] += in[0][i/5*4+k] * in[1][i%5*4+k]
				}
			}
			return y
		},
	}
	// The derivatives by what all samples share sum over them.
	byWeights := func(c Case, g tensor.Shape) Case {
		c.Inputs = slices.Clone(c.Inputs)
		for i := range c.Inputs {
			c.Inputs[i].Samples = false
		}
		return pulledLinear(c, 1, g)
	}
	bias := Case{
		Name: "AddBias", Inputs: []Input{{Shape: any4, Fixed: true}, {Shape: shape(5)}}, Build: binary(op.AddBias),
		Reference: func(in [][]float64) []float64 {
			y := make([]float64, 120)
			for i := range y {
				y[i] = in[1][i%5]
			}
			return y
		},
	}
	cases := []Case{
		conv("3x3 with an image's padding", shape(2, 4, 5, 3), shape(4, 3, 3, 3), shape(2, 4, 5, 4), op.ConvConfig{Pad: [4]int{1, 1, 1, 1}}),
		conv("3x3 with stride 2 on odd sizes", shape(2, 7, 5, 2), shape(3, 3, 3, 2), shape(2, 4, 3, 3), op.ConvConfig{Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}}),
		conv("3x3 with stride 2 on even sizes, which leaves a row unseen", shape(1, 6, 6, 2), shape(2, 3, 3, 2), shape(1, 2, 2, 2), op.ConvConfig{Stride: [2]int{2, 2}}),
		conv("with padding that differs on every side", shape(1, 4, 5, 2), shape(2, 3, 3, 2), shape(1, 5, 6, 2), op.ConvConfig{Pad: [4]int{2, 0, 1, 3}}),
		conv("with dilation and stride", shape(1, 9, 9, 2), shape(2, 3, 3, 2), shape(1, 3, 4, 2), op.ConvConfig{Dilation: [2]int{2, 2}, Stride: [2]int{3, 2}, Pad: [4]int{1, 2, 3, 0}}),
		conv("in two groups", shape(2, 4, 4, 4), shape(6, 3, 3, 2), shape(2, 4, 4, 6), op.ConvConfig{Groups: 2, Pad: [4]int{1, 1, 1, 1}}),
		conv("depthwise with stride 2 and dilation", shape(1, 9, 8, 5), shape(5, 3, 3, 1), shape(1, 5, 4, 5), op.ConvConfig{Groups: 5, Stride: [2]int{2, 2}, Dilation: [2]int{2, 1}, Pad: [4]int{2, 1, 2, 1}}),
		conv("1x1 with stride 2", shape(2, 5, 4, 3), shape(4, 1, 1, 3), shape(2, 3, 2, 4), op.ConvConfig{Stride: [2]int{2, 2}}),
		conv("with a stride larger than the kernel", shape(1, 8, 7, 2), shape(2, 2, 2, 2), shape(1, 3, 2, 2), op.ConvConfig{Stride: [2]int{3, 4}}),
		pulledLinear(convTransposeOf("with stride 2 and output padding", shape(2, 2, 3, 2), shape(2, 3, 3, 3),
			op.ConvTransposeConfig{Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}, OutputPadding: [2]int{1, 0}}), 0, shape(2, 4, 5, 3)),
		pulledLinear(dense, 0, shape(3, 5)),
		byWeights(dense, shape(3, 5)),
		byWeights(bias, any4),
		byWeights(matMulOf("of two matrices", nil, 3, 4, 5), shape(3, 5)),
		pulledLinear(matMulOf("of two matrices", nil, 3, 4, 5), 0, shape(3, 5)),
	}
	for k := range 2 {
		cases = append(cases,
			pulledLinear(matMulOf("of two batches of matrices", []int{2}, 3, 4, 5), k, shape(2, 3, 5)),
			pulledLinear(matMulOf("of heads, of rank 4", []int{2, 3}, 4, 5, 2), k, shape(2, 3, 4, 2)))
	}
	return cases
}

// scattered is the derivative of a choice of one element for each of the
// result: choose returns which element of x that is.
func scattered(choose func(x []float64, i int) int) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		d := make([]float64, len(in[0]))
		for i, g := range in[len(in)-1] {
			d[choose(in[0], i)] += g
		}
		return d
	}
}

// windowsOf lists the elements of x of shape s in each window of a pooling to
// shape out, in row order.
func windowsOf(s, out tensor.Shape, cfg op.PoolConfig) [][]int {
	var w [][]int
	for i := range out.TotalSize() {
		c, q, p, n := i%out[3], i/out[3]%out[2], i/out[3]/out[2]%out[1], i/out[3]/out[2]/out[1]
		var m []int
		for r := range cfg.Kernel[0] {
			for t := range cfg.Kernel[1] {
				row, col := p*cfg.Stride[0]-cfg.Pad[0]+r, q*cfg.Stride[1]-cfg.Pad[1]+t
				if row >= 0 && row < s[1] && col >= 0 && col < s[2] {
					m = append(m, ((n*s[1]+row)*s[2]+col)*s[3]+c)
				}
			}
		}
		w = append(w, m)
	}
	return w
}

// networkCase is the derivative of a whole network by its image: convolution,
// batch normalisation, ReLU, pooling of both kinds, a convolution with stride
// around which a sum leads, and a dense layer.
func networkCase() Case {
	image, narrow := tensor.Shape{2, 6, 6, 2}, tensor.Shape{2, 3, 3, 4}
	same := op.ConvConfig{Pad: [4]int{1, 1, 1, 1}}
	halved := op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}}
	const eps = 1e-2
	c := Case{
		Name: "a small network",
		Inputs: []Input{
			{Shape: image, Samples: true, Fixed: true}, {Shape: tensor.Shape{4, 3, 3, 2}},
			{Shape: tensor.Shape{2, 4}, Low: 0.5, High: 2, Fixed: true}, {Shape: tensor.Shape{4}}, {Shape: tensor.Shape{4}, Fixed: true},
			{Shape: tensor.Shape{4, 3, 3, 2}}, {Shape: tensor.Shape{3, 4}},
		},
		Build: func(in gorgonia.Nodes) (y node, err error) {
			step := func(f func(x node) (node, error)) {
				if err == nil {
					y, err = f(y)
				}
			}
			y = in[0]
			step(func(x node) (node, error) { return op.Conv2D(x, in[1], same) })
			step(func(x node) (node, error) { return op.BatchNormInference(x, in[2], in[3], in[4], eps) })
			step(op.ReLU)
			step(func(x node) (node, error) { return op.MaxPool(x, halved) })
			step(func(x node) (node, error) {
				cut := same
				cut.Groups = 2
				z, err := op.Conv2D(x, in[5], cut)
				if err != nil {
					return nil, err
				}
				return op.Add(x, z)
			})
			step(op.GlobalAveragePool)
			step(func(x node) (node, error) { return op.Dense(x, in[6]) })
			return y, err
		},
	}
	logits := func(in [][]float64) []float64 {
		y := convolve(in[0], in[1], image, tensor.Shape{4, 3, 3, 2}, same)
		y = normalise(y, in[2], in[3], in[4], eps)
		for i, v := range y {
			y[i] = math.Max(v, 0)
		}
		y = pooled(y, tensor.Shape{2, 6, 6, 4}, halved, true)
		cut := same
		cut.Groups = 2
		for i, v := range convolve(y, in[5], narrow, tensor.Shape{4, 3, 3, 2}, cut) {
			y[i] += v
		}
		out := make([]float64, 6)
		for i, v := range y {
			for o := range 3 {
				out[i/36*3+o] += v / 9 * in[6][o*4+i%4]
			}
		}
		return out
	}
	return pulled(c, 0, tensor.Shape{2, 3}, func(in [][]float64) []float64 {
		// The network is linear in its image as long as no kink is near, so
		// central differences are exact but for rounding.
		const h = 0x1p-8
		at, d := slices.Clone(in), make([]float64, len(in[0]))
		at[0] = slices.Clone(in[0])
		for i, x := range in[0] {
			at[0][i] = x + h
			up := logits(at)
			at[0][i] = x - h
			down := logits(at)
			at[0][i] = x
			for k, g := range in[7] {
				d[i] += g * (up[k] - down[k]) / (2 * h)
			}
		}
		return d
	})
}

// firstLargest returns the element among members of x that is the largest, the
// first such; of the smallest with sign -1.
func firstLargest(x []float64, members []int, sign float64) int {
	at := members[0]
	for _, k := range members {
		if sign*x[k] > sign*x[at] {
			at = k
		}
	}
	return at
}

func pullbackPoolCases() []Case {
	pools := []struct {
		name    string
		in, out tensor.Shape
		cfg     op.PoolConfig
	}{
		{"2x2 with stride 2", tensor.Shape{2, 4, 6, 3}, tensor.Shape{2, 2, 3, 3}, op.PoolConfig{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}},
		{"2x2 on odd sizes, which drops a row and a column", tensor.Shape{1, 5, 7, 2}, tensor.Shape{1, 2, 3, 2}, op.PoolConfig{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}},
		{"2x2 on odd sizes, rounding up", tensor.Shape{1, 5, 7, 2}, tensor.Shape{1, 3, 4, 2}, op.PoolConfig{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}, Ceil: true}},
		{"3x3 with stride 2 and padding", tensor.Shape{2, 6, 5, 2}, tensor.Shape{2, 3, 3, 2}, op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}}},
		{"3x3 with stride 1 and 2 and padding that differs on every side", tensor.Shape{1, 4, 5, 2}, tensor.Shape{1, 5, 3, 2},
			op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{1, 2}, Pad: [4]int{2, 0, 1, 2}}},
		{"with a stride larger than the window", tensor.Shape{1, 7, 8, 2}, tensor.Shape{1, 2, 3, 2}, op.PoolConfig{Kernel: [2]int{2, 1}, Stride: [2]int{3, 3}}},
	}
	var cases []Case
	for _, p := range pools {
		windows := windowsOf(p.in, p.out, p.cfg)
		largest := func(x []float64, i int) int { return firstLargest(x, windows[i], 1) }
		maxPool := Case{
			Name:   "MaxPool " + p.name,
			Inputs: []Input{{Shape: p.in, Values: shuffled(p.in.TotalSize()), Fixed: true, Samples: true}},
			Build:  func(in gorgonia.Nodes) (node, error) { return op.MaxPool(in[0], p.cfg) },
		}
		scatter := pulled(maxPool, 0, p.out, scattered(largest))
		ties := scatter
		ties.Name += " where elements tie"
		ties.Inputs = slices.Clone(ties.Inputs)
		ties.Inputs[0].Values = slices.Repeat([]float64{1, 1, 0}, p.in.TotalSize()/3+1)[:p.in.TotalSize()]
		averages := Case{
			Name:   "AveragePool " + p.name,
			Inputs: []Input{{Shape: p.in, Samples: true}},
			Build:  func(in gorgonia.Nodes) (node, error) { return op.AveragePool(in[0], p.cfg) },
			Reference: func(in [][]float64) []float64 {
				return pooled(in[0], p.in, p.cfg, false)
			},
		}
		cases = append(cases, scatter, ties, chosen(scatter, p.in, largest), pulledLinear(averages, 0, p.out))
		if p.cfg.Pad != [4]int{} {
			p.cfg.CountIncludePad = true
			averages.Name += ", counting padding"
			cases = append(cases, pulledLinear(averages, 0, p.out))
		}
	}
	whole := globalAverage("of images", 2, 3, 4, 5)
	return append(cases, pulledLinear(whole, 0, tensor.Shape{2, 5}))
}

// chosen makes a case of the derivative of the derivative c of a choice, by the
// gradient: the elements of one operand more, of shape v, that were chosen.
func chosen(c Case, v tensor.Shape, choose func(x []float64, i int) int) Case {
	last := len(c.Inputs) - 1
	q := pulled(c, last, v, func(in [][]float64) []float64 {
		y := make([]float64, len(in[last]))
		for i := range y {
			y[i] = in[last+1][choose(in[0], i)]
		}
		return y
	})
	q.Inputs[last].Fixed = true // linear in it
	return q
}

func pullbackOtherCases() []Case {
	var cases []Case
	for _, r := range reducers {
		for _, over := range reductions {
			g := over.shape.Clone()
			for _, a := range over.axes {
				g[a] = 1
			}
			c := Case{
				Name:      r.name + " of " + over.name,
				Inputs:    []Input{r.input(over.shape, over.axes)},
				Build:     func(in gorgonia.Nodes) (node, error) { return r.build(in[0], over.axes...) },
				Reference: along(over.shape, over.axes, r.fold),
			}
			if !r.peaks {
				cases = append(cases, pulledLinear(c, 0, g))
				continue
			}
			sign := 1.0
			if r.name == "ReduceMin" {
				sign = -1
			}
			groups := members(over.shape, over.axes)
			first := func(x []float64, i int) int { return firstLargest(x, groups[i], sign) }
			c.Inputs[0].Fixed = true
			scatter := pulled(c, 0, g, scattered(first))
			ties := scatter
			ties.Name += " where elements tie"
			ties.Inputs = slices.Clone(ties.Inputs)
			ties.Inputs[0].Values = slices.Repeat([]float64{1, 2, 2, 1}, over.shape.TotalSize()/4+1)[:over.shape.TotalSize()]
			cases = append(cases, scatter, ties, chosen(scatter, over.shape, first))
		}
	}

	const eps = 1e-2
	running := Input{Shape: tensor.Shape{2, 3}, Low: 0.5, High: 2, Fixed: true}
	norm := Case{
		Name:   "BatchNormInference",
		Inputs: []Input{{Shape: tensor.Shape{2, 3, 2, 3}, Samples: true, Fixed: true}, running, {Shape: tensor.Shape{3}}, {Shape: tensor.Shape{3}, Fixed: true}},
		Build:  func(in gorgonia.Nodes) (node, error) { return op.BatchNormInference(in[0], in[1], in[2], in[3], eps) },
	}
	byScale := norm
	byScale.Inputs = slices.Clone(norm.Inputs)
	byScale.Inputs[0].Samples, byScale.Inputs[0].Fixed, byScale.Inputs[2].Fixed = false, false, true
	kinked := []Input{{Shape: any4, Low: -2, High: 2, Gap: gap, Samples: true, Fixed: true}}
	logits := []Input{{Shape: tensor.Shape{3, 5}, Low: -3, High: 3, Samples: true}}
	images := members(any4, []int{1, 2})
	return append(cases,
		pulled(norm, 0, tensor.Shape{2, 3, 2, 3}, func(in [][]float64) []float64 {
			d := slices.Clone(in[4])
			for i := range d {
				d[i] *= in[2][i%3] / math.Sqrt(in[1][3+i%3]+eps)
			}
			return d
		}),
		pulled(byScale, 2, tensor.Shape{2, 3, 2, 3}, func(in [][]float64) []float64 {
			d := make([]float64, 3)
			for i, g := range in[4] {
				d[i%3] += g * (in[0][i] - in[1][i%3]) / math.Sqrt(in[1][3+i%3]+eps)
			}
			return d
		}),
		pulled(Case{Name: "ReLU", Inputs: kinked, Build: unary(op.ReLU)}, 0, any4, func(in [][]float64) []float64 {
			d := slices.Clone(in[1])
			for i, x := range in[0] {
				if x < 0 {
					d[i] = 0
				}
			}
			return d
		}),
		pulled(Case{Name: "LogSoftmax", Inputs: logits, Build: unary(op.LogSoftmax)}, 0, tensor.Shape{3, 5}, func(in [][]float64) []float64 {
			d := slices.Clone(in[1])
			for r := range 3 {
				var total, sum float64
				for k := range 5 {
					total += math.Exp(in[0][r*5+k])
					sum += in[1][r*5+k]
				}
				for k := range 5 {
					d[r*5+k] -= math.Exp(in[0][r*5+k]) / total * sum
				}
			}
			return d
		}),
		pulled(Case{Name: "GlobalMaxPool", Build: unary(op.GlobalMaxPool),
			Inputs: []Input{{Shape: any4, Values: shuffled(120), Samples: true, Fixed: true}}},
			0, tensor.Shape{2, 5}, scattered(func(x []float64, i int) int { return firstLargest(x, images[i], 1) })),
	)
}
