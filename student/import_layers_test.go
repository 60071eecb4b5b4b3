package student_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// plane is how a window moves along rows and columns in the loops of these
// tests: a value of one spatial axis has one row.
type plane struct {
	stride, dilation [2]int
	pad              [4]int // top, left, bottom, right
	groups           int
}

// unit is a window that moves by ones.
var unit = plane{stride: [2]int{1, 1}, dilation: [2]int{1, 1}, groups: 1}

// asImage gives a signal [N, C, L] one row.
func (a array) asImage() array {
	if len(a.dims) == 3 {
		return array{[]int{a.dims[0], a.dims[1], 1, a.dims[2]}, a.data}
	}
	return a
}

// like returns a with the number of axes that b has.
func (a array) like(b array) array {
	if len(b.dims) == 3 {
		return array{[]int{a.dims[0], a.dims[1], a.dims[3]}, a.data}
	}
	return a
}

// size is the length of a result along one axis.
func (p plane) size(in, kernel, i int) int {
	return (in+p.pad[i]+p.pad[i+2]-p.dilation[i]*(kernel-1)-1)/p.stride[i] + 1
}

// convolved is the convolution of x [N, C, H, W] with w [K, C/groups, R, S].
func (p plane) convolved(x, w array, bias []float64) array {
	y, v := x.asImage(), w.asImage()
	n, c, h, wd := y.dims[0], y.dims[1], y.dims[2], y.dims[3]
	k, per, r, s := v.dims[0], v.dims[1], v.dims[2], v.dims[3]
	out := []int{n, k, p.size(h, r, 0), p.size(wd, s, 1)}
	return tabulate(out, func(i []int) float64 {
		sum := 0.0
		if bias != nil {
			sum = bias[i[1]]
		}
		first := i[1] / (k / p.groups) * (c / p.groups)
		for ch := range per {
			for a := range r {
				for b := range s {
					row, col := i[2]*p.stride[0]+a*p.dilation[0]-p.pad[0], i[3]*p.stride[1]+b*p.dilation[1]-p.pad[1]
					if row >= 0 && row < h && col >= 0 && col < wd {
						sum += y.at(i[0], first+ch, row, col) * v.at(i[1], ch, a, b)
					}
				}
			}
		}
		return sum
	}).like(x)
}

// transposed is the convolution that spreads x [N, C, H, W] by w [C, K/groups,
// R, S] over a result that is larger by extra.
func (p plane) transposed(x, w array, bias []float64, extra [2]int) array {
	y, v := x.asImage(), w.asImage()
	n, c, h, wd := y.dims[0], y.dims[1], y.dims[2], y.dims[3]
	per, r, s := v.dims[1], v.dims[2], v.dims[3]
	size := func(in, kernel, i int) int {
		return p.stride[i]*(in-1) + p.dilation[i]*(kernel-1) + 1 - p.pad[i] - p.pad[i+2] + extra[i]
	}
	out := tabulate([]int{n, per * p.groups, size(h, r, 0), size(wd, s, 1)}, func(i []int) float64 {
		if bias == nil {
			return 0
		}
		return bias[i[1]]
	})
	for b := range n {
		for ch := range c {
			for i := range h {
				for j := range wd {
					for k := range per {
						for a := range r {
							for e := range s {
								row, col := i*p.stride[0]+a*p.dilation[0]-p.pad[0], j*p.stride[1]+e*p.dilation[1]-p.pad[1]
								if row < 0 || row >= out.dims[2] || col < 0 || col >= out.dims[3] {
									continue
								}
								to := ch/(c/p.groups)*per + k
								out.data[((b*out.dims[1]+to)*out.dims[2]+row)*out.dims[3]+col] += y.at(b, ch, i, j) * v.at(ch, k, a, e)
							}
						}
					}
				}
			}
		}
	}
	return out.like(x)
}

// pooled is f of the elements of x in each window of the given kernel; ceil
// keeps a last window that begins inside.
func (p plane) pooled(x array, kernel [2]int, ceil bool, f func(in []float64, padded int) float64) array {
	y := x.asImage()
	size := func(in, i int) int {
		room := in + p.pad[i] + p.pad[i+2] - p.dilation[i]*(kernel[i]-1) - 1
		n := room/p.stride[i] + 1
		if ceil && room%p.stride[i] != 0 && n*p.stride[i] < in+p.pad[i] {
			n++
		}
		return n
	}
	h, w := y.dims[2], y.dims[3]
	return tabulate([]int{y.dims[0], y.dims[1], size(h, 0), size(w, 1)}, func(i []int) float64 {
		var in []float64
		padded := 0
		for a := range kernel[0] {
			for b := range kernel[1] {
				row, col := i[2]*p.stride[0]+a*p.dilation[0]-p.pad[0], i[3]*p.stride[1]+b*p.dilation[1]-p.pad[1]
				if row < h+p.pad[2] && col < w+p.pad[3] {
					padded++
				}
				if row >= 0 && row < h && col >= 0 && col < w {
					in = append(in, y.at(i[0], i[1], row, col))
				}
			}
		}
		return f(in, padded)
	}).like(x)
}

func largest(in []float64, _ int) float64 { return slices.Max(in) }

func mean(in []float64, _ int) float64 {
	sum := 0.0
	for _, v := range in {
		sum += v
	}
	return sum / float64(len(in))
}

// meanWithPadding counts padding as zeros.
func meanWithPadding(in []float64, padded int) float64 {
	return mean(in, 0) * float64(len(in)) / float64(padded)
}

// pads writes [top, left, bottom, right] as the file does.
func pads(v ...int64) *onnx.Attr { return onnx.AttrInts("pads", v...) }

func TestConvolutionsAreTranslated(t *testing.T) {
	with := func(change func(p *plane)) plane {
		p := unit
		change(&p)
		return p
	}
	image, signal := []int{2, 4, 7, 6}, []int{2, 4, 9}
	tests := []struct {
		name  string
		in, w []int
		bias  bool
		attrs []*onnx.Attr
		p     plane
	}{
		{"plain", image, []int{3, 4, 3, 2}, false, nil, unit},
		{"bias and kernel_shape", image, []int{3, 4, 3, 2}, true, []*onnx.Attr{onnx.AttrInts("kernel_shape", 3, 2)}, unit},
		{"strides, pads on four sides", image, []int{3, 4, 3, 2}, true, []*onnx.Attr{onnx.AttrInts("strides", 2, 1), pads(1, 0, 2, 1)},
			with(func(p *plane) { p.stride, p.pad = [2]int{2, 1}, [4]int{1, 0, 2, 1} })},
		{"dilations", image, []int{3, 4, 3, 2}, false, []*onnx.Attr{onnx.AttrInts("dilations", 2, 3)},
			with(func(p *plane) { p.dilation = [2]int{2, 3} })},
		{"groups", image, []int{6, 2, 3, 2}, true, []*onnx.Attr{onnx.AttrInt("group", 2)},
			with(func(p *plane) { p.groups = 2 })},
		{"depthwise", image, []int{4, 1, 3, 3}, false, []*onnx.Attr{onnx.AttrInt("group", 4), pads(1, 1, 1, 1)},
			with(func(p *plane) { p.groups, p.pad = 4, [4]int{1, 1, 1, 1} })},
		// 7 rows in steps of 2 give 4, for which 2·3+3 = 9 are needed: one more on
		// each side. 6 columns give 3, for which 2·2+2 = 6 are there.
		{"SAME_UPPER, even", image, []int{3, 4, 3, 2}, false, []*onnx.Attr{onnx.AttrString("auto_pad", "SAME_UPPER"), onnx.AttrInts("strides", 2, 2)},
			with(func(p *plane) { p.stride, p.pad = [2]int{2, 2}, [4]int{1, 0, 1, 0} })},
		{"SAME_UPPER, odd", image, []int{3, 4, 2, 2}, false, []*onnx.Attr{onnx.AttrString("auto_pad", "SAME_UPPER")},
			with(func(p *plane) { p.pad = [4]int{0, 0, 1, 1} })},
		{"SAME_LOWER, odd", image, []int{3, 4, 2, 2}, false, []*onnx.Attr{onnx.AttrString("auto_pad", "SAME_LOWER")},
			with(func(p *plane) { p.pad = [4]int{1, 1, 0, 0} })},
		{"SAME_UPPER, dilated", image, []int{3, 4, 3, 2}, false, []*onnx.Attr{onnx.AttrString("auto_pad", "SAME_UPPER"), onnx.AttrInts("dilations", 2, 2)},
			with(func(p *plane) { p.dilation, p.pad = [2]int{2, 2}, [4]int{2, 1, 2, 1} })},
		{"VALID takes no pads", image, []int{3, 4, 3, 2}, false, []*onnx.Attr{onnx.AttrString("auto_pad", "VALID")}, unit},
		{"a signal", signal, []int{3, 4, 3}, true, nil, unit},
		{"a signal with everything", signal, []int{6, 2, 3}, true,
			[]*onnx.Attr{onnx.AttrInts("kernel_shape", 3), onnx.AttrInts("strides", 2), onnx.AttrInts("dilations", 2), pads(3, 1), onnx.AttrInt("group", 2)},
			plane{stride: [2]int{1, 2}, dilation: [2]int{1, 2}, pad: [4]int{0, 3, 0, 1}, groups: 2}},
		{"a signal, SAME_LOWER", signal, []int{3, 4, 2}, false, []*onnx.Attr{onnx.AttrString("auto_pad", "SAME_LOWER")},
			with(func(p *plane) { p.pad = [4]int{0, 1, 0, 0} })},
	}
	var cases []translation
	for i, tt := range tests {
		w, b := drawn(uint64(i), tt.w...), drawn(uint64(100+i), tt.w[0])
		constants, bias := []*onnx.Tensor{constantOf(w)}, []float64(nil)
		if tt.bias {
			constants, bias = append(constants, constantOf(b)), b.data
		}
		cases = append(cases, translation{
			name: tt.name, opsets: anyOpset, in: [][]int{tt.in},
			build: withConstants("Conv", constants, tt.attrs...),
			want:  of1(func(x array) array { return tt.p.convolved(x, w, bias) }),
		})
	}
	cases = append(cases,
		translation{
			name: "weights that are computed", opsets: anyOpset, in: [][]int{image, {3, 4, 3, 2}},
			build: node1("Conv"),
			want:  func(in []array) []array { return []array{unit.convolved(in[0], in[1], nil)} },
		},
		translation{
			name: "volumes", opsets: anyOpset, in: [][]int{{1, 1, 3, 3, 3}},
			build:   withConstants("Conv", []*onnx.Tensor{constantOf(drawn(1, 1, 1, 2, 2, 2))}),
			refused: "signals [N,C,L] and images [N,C,H,W] are supported",
		},
		translation{
			name: "pads below zero", opsets: anyOpset, in: [][]int{image},
			build:   withConstants("Conv", []*onnx.Tensor{constantOf(drawn(1, 3, 4, 3, 2))}, pads(-1, 0, 0, 0)),
			refused: "pads [-1 0 0 0]; each is from 0 to",
		},
		translation{
			name: "unknown auto_pad", opsets: anyOpset, in: [][]int{image},
			build:   withConstants("Conv", []*onnx.Tensor{constantOf(drawn(1, 3, 4, 3, 2))}, onnx.AttrString("auto_pad", "SAME")),
			refused: `auto_pad "SAME"; it is one of NOTSET, SAME_UPPER, SAME_LOWER, VALID`,
		},
	)
	checkTranslations(t, cases)
}

func TestTransposedConvolutionsAreTranslated(t *testing.T) {
	image, signal := []int{2, 4, 4, 3}, []int{2, 4, 5}
	tests := []struct {
		name  string
		in, w []int
		bias  bool
		attrs []*onnx.Attr
		p     plane
		extra [2]int
	}{
		{"plain", image, []int{4, 3, 3, 2}, true, nil, unit, [2]int{}},
		{"strides, pads, output_padding", image, []int{4, 3, 3, 2}, true,
			[]*onnx.Attr{onnx.AttrInts("strides", 2, 3), pads(1, 0, 0, 1), onnx.AttrInts("output_padding", 1, 2)},
			plane{stride: [2]int{2, 3}, dilation: [2]int{1, 1}, pad: [4]int{1, 0, 0, 1}, groups: 1}, [2]int{1, 2}},
		{"groups and dilations", image, []int{4, 3, 2, 2}, false,
			[]*onnx.Attr{onnx.AttrInt("group", 2), onnx.AttrInts("dilations", 2, 1)},
			plane{stride: [2]int{1, 1}, dilation: [2]int{2, 1}, groups: 2}, [2]int{}},
		// Without padding the result has 2·3+3 = 9 rows and 2·2+2 = 6 columns.
		{"output_shape, odd", image, []int{4, 3, 3, 2}, false,
			[]*onnx.Attr{onnx.AttrInts("strides", 2, 2), onnx.AttrInts("output_shape", 8, 5)},
			plane{stride: [2]int{2, 2}, dilation: [2]int{1, 1}, pad: [4]int{1, 1, 0, 0}, groups: 1}, [2]int{}},
		{"output_shape, odd, SAME_UPPER", image, []int{4, 3, 3, 2}, false,
			[]*onnx.Attr{onnx.AttrInts("strides", 2, 2), onnx.AttrInts("output_shape", 8, 5), onnx.AttrString("auto_pad", "SAME_UPPER")},
			plane{stride: [2]int{2, 2}, dilation: [2]int{1, 1}, pad: [4]int{0, 0, 1, 1}, groups: 1}, [2]int{}},
		{"SAME_LOWER", image, []int{4, 3, 3, 2}, false,
			[]*onnx.Attr{onnx.AttrInts("strides", 2, 2), onnx.AttrString("auto_pad", "SAME_LOWER")},
			plane{stride: [2]int{2, 2}, dilation: [2]int{1, 1}, pad: [4]int{1, 0, 0, 0}, groups: 1}, [2]int{}},
		{"a signal", signal, []int{4, 3, 3}, true, []*onnx.Attr{onnx.AttrInts("strides", 2), pads(0, 1), onnx.AttrInts("output_padding", 1)},
			plane{stride: [2]int{1, 2}, dilation: [2]int{1, 1}, pad: [4]int{0, 0, 0, 1}, groups: 1}, [2]int{0, 1}},
	}
	var cases []translation
	for i, tt := range tests {
		w, b := drawn(uint64(i), tt.w...), drawn(uint64(100+i), tt.w[1]*tt.p.groups)
		constants, bias := []*onnx.Tensor{constantOf(w)}, []float64(nil)
		if tt.bias {
			constants, bias = append(constants, constantOf(b)), b.data
		}
		cases = append(cases, translation{
			name: tt.name, opsets: anyOpset, in: [][]int{tt.in},
			build: withConstants("ConvTranspose", constants, tt.attrs...),
			want:  of1(func(x array) array { return tt.p.transposed(x, w, bias, tt.extra) }),
		})
	}
	checkTranslations(t, cases)
}

func TestPoolsAreTranslated(t *testing.T) {
	image, signal := []int{2, 3, 7, 6}, []int{2, 3, 8}
	kernel := onnx.AttrInts("kernel_shape", 3, 2)
	strided := plane{stride: [2]int{2, 2}, dilation: [2]int{1, 1}, pad: [4]int{1, 0, 0, 1}, groups: 1}
	moves := []*onnx.Attr{kernel, onnx.AttrInts("strides", 2, 2), pads(1, 0, 0, 1)}
	more := func(a ...*onnx.Attr) []*onnx.Attr { return slices.Concat(moves, a) }
	cases := []translation{
		{name: "maximum, strides are 1 unless said", opsets: anyOpset, in: [][]int{image}, build: node1("MaxPool", kernel),
			want: of1(func(x array) array { return unit.pooled(x, [2]int{3, 2}, false, largest) })},
		{name: "maximum", opsets: anyOpset, in: [][]int{image}, build: node1("MaxPool", moves...),
			want: of1(func(x array) array { return strided.pooled(x, [2]int{3, 2}, false, largest) })},
		{name: "maximum, ceil_mode", opsets: []int64{10, 12, 21}, in: [][]int{image}, build: node1("MaxPool", more(onnx.AttrInt("ceil_mode", 1))...),
			want: of1(func(x array) array { return strided.pooled(x, [2]int{3, 2}, true, largest) })},
		{name: "maximum, SAME_UPPER", opsets: anyOpset, in: [][]int{image},
			build: node1("MaxPool", kernel, onnx.AttrString("auto_pad", "SAME_UPPER")),
			want: of1(func(x array) array {
				p := unit
				p.pad = [4]int{1, 0, 1, 1}
				return p.pooled(x, [2]int{3, 2}, false, largest)
			})},
		{name: "maximum of a signal", opsets: anyOpset, in: [][]int{signal},
			build: node1("MaxPool", onnx.AttrInts("kernel_shape", 3), onnx.AttrInts("strides", 2), pads(1, 0)),
			want: of1(func(x array) array {
				return plane{stride: [2]int{1, 2}, dilation: [2]int{1, 1}, pad: [4]int{0, 1, 0, 0}}.pooled(x, [2]int{1, 3}, false, largest)
			})},
		{name: "maximum with gaps", opsets: []int64{10, 21}, in: [][]int{image}, build: node1("MaxPool", kernel, onnx.AttrInts("dilations", 2, 1)),
			refused: "dilations [2 1]"},
		{name: "no kernel_shape", opsets: anyOpset, in: [][]int{image}, build: node1("MaxPool"), refused: "it has no kernel_shape"},
		{name: "places of the maximum", opsets: []int64{8, 21}, in: [][]int{image},
			build: func(b *onnx.Builder, in []string) []string {
				out := b.Nodes("MaxPool", 2, in, kernel)
				return []string{out[0], b.Node("Cast", out[1:], onnx.AttrInt("to", int64(onnx.Float32)))}
			}, refused: "the places of the largest elements, is used"},
		{name: "mean", opsets: anyOpset, in: [][]int{image}, build: node1("AveragePool", moves...),
			want: of1(func(x array) array { return strided.pooled(x, [2]int{3, 2}, false, mean) })},
		{name: "mean, padding counts", opsets: anyOpset, in: [][]int{image}, build: node1("AveragePool", more(onnx.AttrInt("count_include_pad", 1))...),
			want: of1(func(x array) array { return strided.pooled(x, [2]int{3, 2}, false, meanWithPadding) })},
		{name: "mean, ceil_mode", opsets: []int64{10, 19, 21}, in: [][]int{image}, build: node1("AveragePool", more(onnx.AttrInt("ceil_mode", 1))...),
			want: of1(func(x array) array { return strided.pooled(x, [2]int{3, 2}, true, mean) })},
		{name: "mean of a signal", opsets: anyOpset, in: [][]int{signal}, build: node1("AveragePool", onnx.AttrInts("kernel_shape", 4), onnx.AttrInts("strides", 2)),
			want: of1(func(x array) array {
				return plane{stride: [2]int{1, 2}, dilation: [2]int{1, 1}}.pooled(x, [2]int{1, 4}, false, mean)
			})},
	}
	for _, g := range []struct {
		op string
		f  func([]float64, int) float64
	}{{"GlobalAveragePool", mean}, {"GlobalMaxPool", largest}} {
		for _, dims := range [][]int{image, signal} {
			cases = append(cases, translation{
				name: fmt.Sprint(g.op, len(dims)), opsets: anyOpset, in: [][]int{dims}, build: node1(g.op),
				want: of1(func(x array) array {
					y := x.asImage()
					return unit.pooled(x, [2]int{y.dims[2], y.dims[3]}, false, g.f)
				}),
			})
		}
	}
	checkTranslations(t, cases)
}

func TestBatchNormalizationIsTranslated(t *testing.T) {
	scale, shift, mu := drawn(1, 3), drawn(2, 3), drawn(3, 3)
	variance := drawn(4, 3).each(func(x float64) float64 { return x*x*1e-2 + 1e-3 })
	constants := []*onnx.Tensor{constantOf(scale), constantOf(shift), constantOf(mu), constantOf(variance)}
	want := func(eps float64) func(in []array) []array {
		return of1(func(x array) array {
			return tabulate(x.dims, func(i []int) float64 {
				c := i[1]
				return (x.at(i...)-mu.data[c])/math.Sqrt(variance.data[c]+eps)*scale.data[c] + shift.data[c]
			})
		})
	}
	var cases []translation
	for _, dims := range [][]int{{2, 3, 4, 5}, {2, 3, 4}, {4, 3}} {
		cases = append(cases,
			translation{name: fmt.Sprint("epsilon left out ", dims), opsets: []int64{7, 9, 14, 15, 21}, in: [][]int{dims},
				build: withConstants("BatchNormalization", constants), want: want(1e-5)},
			translation{name: fmt.Sprint("own epsilon ", dims), opsets: []int64{7, 9, 14, 15, 21}, in: [][]int{dims},
				build: withConstants("BatchNormalization", constants, onnx.AttrFloat("epsilon", 0.0625), onnx.AttrFloat("momentum", 0.5)), want: want(0.0625)})
	}
	image := [][]int{{2, 3, 4, 5}}
	cases = append(cases,
		translation{name: "for training", opsets: []int64{14, 21}, in: image,
			build: withConstants("BatchNormalization", constants, onnx.AttrInt("training_mode", 1)), refused: "training_mode is set"},
		translation{name: "for each pixel", opsets: []int64{7}, in: image,
			build: withConstants("BatchNormalization", constants, onnx.AttrInt("spatial", 0)), refused: "spatial is 0"},
		translation{name: "a scale that is computed", opsets: []int64{7, 21}, in: [][]int{{2, 3, 4, 5}, {3}},
			build: func(b *onnx.Builder, in []string) []string {
				return []string{b.Node("BatchNormalization", []string{in[0], in[1], b.Initializer("b", constants[1]), b.Initializer("m", constants[2]), b.Initializer("v", constants[3])})}
			}, refused: "operand 1 must be constant"},
		translation{name: "another number of channels", opsets: []int64{7, 21}, in: [][]int{{2, 4, 4, 5}},
			build: withConstants("BatchNormalization", constants), refused: "of shape [3] for 4 channels"},
		translation{name: "epsilon of zero", opsets: []int64{7, 21}, in: image,
			build: withConstants("BatchNormalization", constants, onnx.AttrFloat("epsilon", 0)), refused: "the first is above 0"},
	)
	checkTranslations(t, cases)
}

// product is NumPy's matrix product of values of two axes or more.
func product(a, b array) array {
	ra, rb := len(a.dims), len(b.dims)
	r := max(ra, rb)
	dims := make([]int, r)
	for i := range r - 2 {
		dims[i] = 1
		if k := i - (r - ra); k >= 0 {
			dims[i] = a.dims[k]
		}
		if k := i - (r - rb); k >= 0 {
			dims[i] = max(dims[i], b.dims[k])
		}
	}
	dims[r-2], dims[r-1] = a.dims[ra-2], b.dims[rb-1]
	return tabulate(dims, func(i []int) float64 {
		sum := 0.0
		for k := range a.dims[ra-1] {
			x, y := slices.Clone(i), slices.Clone(i)
			x[r-1], y[r-2] = k, k
			sum += a.stretched(x) * b.stretched(y)
		}
		return sum
	})
}

// turned is a matrix transposed.
func (a array) turned() array {
	return tabulate([]int{a.dims[1], a.dims[0]}, func(i []int) float64 { return a.at(i[1], i[0]) })
}

// shaped returns the elements of a in other axes.
func (a array) shaped(dims ...int) array { return array{dims, a.data} }

func TestMatMulIsTranslated(t *testing.T) {
	shapes := [][2][]int{
		{{3, 4}, {4, 5}}, {{2, 3, 4}, {4, 5}}, {{2, 3, 4}, {2, 4, 5}}, {{2, 3, 4}, {1, 4, 5}},
		{{2, 3, 4, 5}, {5, 6}}, {{2, 3, 4, 5}, {2, 3, 5, 6}}, {{2, 1, 4, 5}, {3, 5, 6}}, {{4, 5}, {2, 3, 5, 6}}, {{2, 2, 2, 3, 4}, {4, 2}},
	}
	var cases []translation
	for i, s := range shapes {
		w := drawn(uint64(i), s[1]...)
		cases = append(cases,
			translation{name: fmt.Sprint(s, " of two inputs"), opsets: anyOpset, in: s[:], build: node1("MatMul"),
				want: func(in []array) []array { return []array{product(in[0], in[1])} }},
			translation{name: fmt.Sprint(s, " of an input and weights"), opsets: anyOpset, in: s[:1], build: withConstants("MatMul", []*onnx.Tensor{constantOf(w)}),
				want: of1(func(x array) array { return product(x, w) })},
			translation{name: fmt.Sprint(s, " of weights and an input"), opsets: anyOpset, in: s[1:],
				build: func(b *onnx.Builder, in []string) []string {
					return []string{b.Node("MatMul", []string{b.Initializer("w", constantOf(drawn(uint64(50+i), s[0]...))), in[0]})}
				},
				want: of1(func(x array) array { return product(drawn(uint64(50+i), s[0]...), x) })})
	}
	cases = append(cases,
		translation{name: "vectors", opsets: anyOpset, in: [][]int{{4}, {4}}, build: node1("MatMul"),
			want: func(in []array) []array {
				return []array{product(in[0].shaped(1, 4), in[1].shaped(4, 1)).shaped()}
			}},
		translation{name: "a row", opsets: anyOpset, in: [][]int{{4}, {2, 4, 3}}, build: node1("MatMul"),
			want: func(in []array) []array { return []array{product(in[0].shaped(1, 4), in[1]).shaped(2, 3)} }},
		translation{name: "a column", opsets: anyOpset, in: [][]int{{2, 3, 4}, {4}}, build: node1("MatMul"),
			want: func(in []array) []array { return []array{product(in[0], in[1].shaped(4, 1)).shaped(2, 3)} }},
		translation{name: "leading axes that do not stretch", opsets: []int64{21}, in: [][]int{{2, 3, 4}, {5, 4, 5}}, build: node1("MatMul"),
			refused: "do not stretch to one shape"},
		translation{name: "one matrix for two layers", opsets: anyOpset, in: [][]int{{3, 4}},
			build: func(b *onnx.Builder, in []string) []string {
				w := b.Initializer("w", constantOf(drawn(9, 4, 4)))
				x := b.Node("MatMul", []string{in[0], w})
				return []string{b.Node("Gemm", []string{x, w}, onnx.AttrInt("transB", 1))}
			},
			want: of1(func(x array) array { w := drawn(9, 4, 4); return product(product(x, w), w.turned()) })},
		translation{name: "rows and a bias", opsets: anyOpset, in: [][]int{{2, 3, 4}},
			build: func(b *onnx.Builder, in []string) []string {
				x := b.Node("MatMul", []string{in[0], b.Initializer("w", constantOf(drawn(9, 4, 5)))})
				return []string{b.Node("Add", []string{b.Initializer("b", constantOf(drawn(8, 5))), x})}
			},
			want: of1(func(x array) array {
				y, b := product(x, drawn(9, 4, 5)), drawn(8, 5)
				return tabulate(y.dims, func(i []int) float64 { return y.at(i...) + b.stretched(i) })
			})},
	)
	checkTranslations(t, cases)
}

func TestGemmIsTranslated(t *testing.T) {
	var cases []translation
	for _, tt := range []struct {
		transA, transB int64
		alpha, beta    float32
		c              []int // nil is none
	}{
		{0, 0, 1, 1, nil}, {0, 1, 1, 1, []int{5}}, {1, 0, 1, 1, []int{1, 5}}, {1, 1, 0.5, 2, []int{3, 1}},
		{0, 1, 0.5, 1, []int{5}}, {0, 1, 1, 2, []int{5}}, {0, 0, 1, 1, []int{3, 5}}, {0, 1, 1, 1, []int{1}}, {0, 1, 1, 1, []int{}},
	} {
		a, b := []int{3, 4}, []int{4, 5}
		if tt.transA == 1 {
			a = []int{4, 3}
		}
		if tt.transB == 1 {
			b = []int{5, 4}
		}
		attrs := []*onnx.Attr{onnx.AttrInt("transA", tt.transA), onnx.AttrInt("transB", tt.transB), onnx.AttrFloat("alpha", tt.alpha), onnx.AttrFloat("beta", tt.beta)}
		want := func(x, w, c array) array {
			if tt.transA == 1 {
				x = x.turned()
			}
			if tt.transB == 1 {
				w = w.turned()
			}
			y := product(x, w)
			return tabulate(y.dims, func(i []int) float64 {
				v := float64(tt.alpha) * y.at(i...)
				if tt.c != nil {
					v += float64(tt.beta) * c.stretched(i)
				}
				return v
			})
		}
		opsets := anyOpset
		if tt.c == nil {
			opsets = []int64{11, 13, 21} // before, C is wanted
		}
		w, c := drawn(1, b...), drawn(2, tt.c...)
		constants := []*onnx.Tensor{constantOf(w)}
		in := [][]int{a, b}
		if tt.c != nil {
			constants, in = append(constants, constantOf(c)), append(in, tt.c)
		}
		name := fmt.Sprintf("transA %d transB %d alpha %v beta %v C %v", tt.transA, tt.transB, tt.alpha, tt.beta, tt.c)
		cases = append(cases,
			translation{name: name + ", weights", opsets: opsets, in: [][]int{a}, build: withConstants("Gemm", constants, attrs...),
				want: of1(func(x array) array { return want(x, w, c) })},
			translation{name: name + ", inputs", opsets: opsets, in: in, build: node1("Gemm", attrs...),
				want: func(in []array) []array { return []array{want(in[0], in[1], in[len(in)-1])} }})
	}
	checkTranslations(t, cases)
}

func TestShapesAreConstants(t *testing.T) {
	image := []int{2, 3, 4, 5}
	asFloat := func(b *onnx.Builder, v string) []string {
		return []string{b.Node("Cast", []string{v}, onnx.AttrInt("to", int64(onnx.Float32)))}
	}
	list := func(v ...float64) func([]array) []array {
		return func([]array) []array { return []array{{[]int{len(v)}, v}} }
	}
	checkTranslations(t, []translation{
		{name: "shape", opsets: anyOpset, in: [][]int{image}, want: list(2, 3, 4, 5),
			build: func(b *onnx.Builder, in []string) []string { return asFloat(b, b.Node("Shape", in)) }},
		{name: "part of it", opsets: []int64{15, 21}, in: [][]int{image}, want: list(3, 4),
			build: func(b *onnx.Builder, in []string) []string {
				return asFloat(b, b.Node("Shape", in, onnx.AttrInt("start", -3), onnx.AttrInt("end", -1)))
			}},
		{name: "size", opsets: anyOpset, in: [][]int{image}, want: func([]array) []array { return []array{{[]int{}, []float64{120}}} },
			build: func(b *onnx.Builder, in []string) []string { return asFloat(b, b.Node("Size", in)) }},
		{name: "flatten", opsets: anyOpset, in: [][]int{image}, want: of1(func(x array) array { return x.shaped(2, 60) }), build: node1("Flatten")},
		{name: "flatten at 0", opsets: anyOpset, in: [][]int{image}, want: of1(func(x array) array { return x.shaped(1, 120) }), build: node1("Flatten", onnx.AttrInt("axis", 0))},
		{name: "flatten at 2", opsets: anyOpset, in: [][]int{image}, want: of1(func(x array) array { return x.shaped(6, 20) }), build: node1("Flatten", onnx.AttrInt("axis", 2))},
		{name: "flatten at the end", opsets: []int64{11, 21}, in: [][]int{image}, want: of1(func(x array) array { return x.shaped(24, 5) }), build: node1("Flatten", onnx.AttrInt("axis", -1))},
		{name: "identity and dropout", opsets: anyOpset, in: [][]int{image}, want: of1(func(x array) array { return x }),
			build: func(b *onnx.Builder, in []string) []string {
				return []string{b.Node("Identity", []string{b.Node("Dropout", in)})}
			}},
	})
}
