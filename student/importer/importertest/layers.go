package importertest

import (
	"fmt"
	"math"
	"slices"

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
func (a Array) asImage() Array {
	if len(a.Dims) == 3 {
		return Array{[]int{a.Dims[0], a.Dims[1], 1, a.Dims[2]}, a.Data}
	}
	return a
}

// like returns a with the number of axes that b has.
func (a Array) like(b Array) Array {
	if len(b.Dims) == 3 {
		return Array{[]int{a.Dims[0], a.Dims[1], a.Dims[3]}, a.Data}
	}
	return a
}

// size is the length of a result along one axis.
func (p plane) size(in, kernel, i int) int {
	return (in+p.pad[i]+p.pad[i+2]-p.dilation[i]*(kernel-1)-1)/p.stride[i] + 1
}

// convolved is the convolution of x [N, C, H, W] with w [K, C/groups, R, S].
func (p plane) convolved(x, w Array, bias []float64) Array {
	y, v := x.asImage(), w.asImage()
	n, c, h, wd := y.Dims[0], y.Dims[1], y.Dims[2], y.Dims[3]
	k, per, r, s := v.Dims[0], v.Dims[1], v.Dims[2], v.Dims[3]
	out := []int{n, k, p.size(h, r, 0), p.size(wd, s, 1)}
	return Tabulate(out, func(i []int) float64 {
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
						sum += y.At(i[0], first+ch, row, col) * v.At(i[1], ch, a, b)
					}
				}
			}
		}
		return sum
	}).like(x)
}

// transposed is the convolution that spreads x [N, C, H, W] by w [C, K/groups,
// R, S] over a result that is larger by extra.
func (p plane) transposed(x, w Array, bias []float64, extra [2]int) Array {
	y, v := x.asImage(), w.asImage()
	n, c, h, wd := y.Dims[0], y.Dims[1], y.Dims[2], y.Dims[3]
	per, r, s := v.Dims[1], v.Dims[2], v.Dims[3]
	size := func(in, kernel, i int) int {
		return p.stride[i]*(in-1) + p.dilation[i]*(kernel-1) + 1 - p.pad[i] - p.pad[i+2] + extra[i]
	}
	out := Tabulate([]int{n, per * p.groups, size(h, r, 0), size(wd, s, 1)}, func(i []int) float64 {
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
								if row < 0 || row >= out.Dims[2] || col < 0 || col >= out.Dims[3] {
									continue
								}
								to := ch/(c/p.groups)*per + k
								out.Data[((b*out.Dims[1]+to)*out.Dims[2]+row)*out.Dims[3]+col] += y.At(b, ch, i, j) * v.At(ch, k, a, e)
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
func (p plane) pooled(x Array, kernel [2]int, ceil bool, f func(in []float64, padded int) float64) Array {
	y := x.asImage()
	size := func(in, i int) int {
		room := in + p.pad[i] + p.pad[i+2] - p.dilation[i]*(kernel[i]-1) - 1
		n := room/p.stride[i] + 1
		if ceil && room%p.stride[i] != 0 && n*p.stride[i] < in+p.pad[i] {
			n++
		}
		return n
	}
	h, w := y.Dims[2], y.Dims[3]
	return Tabulate([]int{y.Dims[0], y.Dims[1], size(h, 0), size(w, 1)}, func(i []int) float64 {
		var in []float64
		padded := 0
		for a := range kernel[0] {
			for b := range kernel[1] {
				row, col := i[2]*p.stride[0]+a*p.dilation[0]-p.pad[0], i[3]*p.stride[1]+b*p.dilation[1]-p.pad[1]
				if row < h+p.pad[2] && col < w+p.pad[3] {
					padded++
				}
				if row >= 0 && row < h && col >= 0 && col < w {
					in = append(in, y.At(i[0], i[1], row, col))
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

// convolutions are Conv.
func convolutions() []Piece {
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
	var cases []Piece
	for i, tt := range tests {
		w, b := Drawn(uint64(i), tt.w...), Drawn(uint64(100+i), tt.w[0])
		constants, bias := []*onnx.Tensor{Constant(w)}, []float64(nil)
		if tt.bias {
			constants, bias = append(constants, Constant(b)), b.Data
		}
		cases = append(cases, Piece{
			Name: tt.name, Opsets: anyOpset, In: [][]int{tt.in},
			Build: withConstants("Conv", constants, tt.attrs...),
			Want:  of1(func(x Array) Array { return tt.p.convolved(x, w, bias) }),
		})
		if tt.name == "SAME_UPPER, dilated" {
			cases[i].NoRuntime = "it refuses automatic padding together with dilations"
		}
	}
	cases = append(cases,
		Piece{
			Name: "weights that are computed", Opsets: anyOpset, In: [][]int{image, {3, 4, 3, 2}},
			Build: node1("Conv"),
			Want:  func(in []Array) []Array { return []Array{unit.convolved(in[0], in[1], nil)} },
		},
		Piece{
			Name: "volumes", Opsets: anyOpset, In: [][]int{{1, 1, 3, 3, 3}},
			Build:   withConstants("Conv", []*onnx.Tensor{Constant(Drawn(1, 1, 1, 2, 2, 2))}),
			Refused: "signals [N,C,L] and images [N,C,H,W] are supported",
		},
		Piece{
			Name: "pads below zero", Opsets: anyOpset, In: [][]int{image},
			Build:   withConstants("Conv", []*onnx.Tensor{Constant(Drawn(1, 3, 4, 3, 2))}, pads(-1, 0, 0, 0)),
			Refused: "pads [-1 0 0 0]; each is from 0 to",
		},
		Piece{
			Name: "unknown auto_pad", Opsets: anyOpset, In: [][]int{image},
			Build:   withConstants("Conv", []*onnx.Tensor{Constant(Drawn(1, 3, 4, 3, 2))}, onnx.AttrString("auto_pad", "SAME")),
			Refused: `auto_pad "SAME"; it is one of NOTSET, SAME_UPPER, SAME_LOWER, VALID`,
		},
	)
	return cases
}

// transposedConvolutions are ConvTranspose.
func transposedConvolutions() []Piece {
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
	var cases []Piece
	for i, tt := range tests {
		w, b := Drawn(uint64(i), tt.w...), Drawn(uint64(100+i), tt.w[1]*tt.p.groups)
		constants, bias := []*onnx.Tensor{Constant(w)}, []float64(nil)
		if tt.bias {
			constants, bias = append(constants, Constant(b)), b.Data
		}
		cases = append(cases, Piece{
			Name: tt.name, Opsets: anyOpset, In: [][]int{tt.in},
			Build: withConstants("ConvTranspose", constants, tt.attrs...),
			Want:  of1(func(x Array) Array { return tt.p.transposed(x, w, bias, tt.extra) }),
		})
	}
	return cases
}

// lateWindow is why a pool is not compared with ONNX Runtime.
const lateWindow = "it keeps a window that starts behind the image, which the operator's text leaves out"

// pools are over windows and over all of an image.
func pools() []Piece {
	image, signal := []int{2, 3, 7, 6}, []int{2, 3, 8}
	kernel := onnx.AttrInts("kernel_shape", 3, 2)
	strided := plane{stride: [2]int{2, 2}, dilation: [2]int{1, 1}, pad: [4]int{1, 0, 0, 1}, groups: 1}
	moves := []*onnx.Attr{kernel, onnx.AttrInts("strides", 2, 2), pads(1, 0, 0, 1)}
	more := func(a ...*onnx.Attr) []*onnx.Attr { return slices.Concat(moves, a) }
	cases := []Piece{
		{Name: "maximum, strides are 1 unless said", Opsets: anyOpset, In: [][]int{image}, Build: node1("MaxPool", kernel),
			Want: of1(func(x Array) Array { return unit.pooled(x, [2]int{3, 2}, false, largest) })},
		{Name: "maximum", Opsets: anyOpset, In: [][]int{image}, Build: node1("MaxPool", moves...),
			Want: of1(func(x Array) Array { return strided.pooled(x, [2]int{3, 2}, false, largest) })},
		{Name: "maximum, ceil_mode", Opsets: []int64{10, 12, 21}, In: [][]int{image}, Build: node1("MaxPool", more(onnx.AttrInt("ceil_mode", 1))...), NoRuntime: lateWindow,
			Want: of1(func(x Array) Array { return strided.pooled(x, [2]int{3, 2}, true, largest) })},
		{Name: "maximum, SAME_UPPER", Opsets: anyOpset, In: [][]int{image},
			Build: node1("MaxPool", kernel, onnx.AttrString("auto_pad", "SAME_UPPER")),
			Want: of1(func(x Array) Array {
				p := unit
				p.pad = [4]int{1, 0, 1, 1}
				return p.pooled(x, [2]int{3, 2}, false, largest)
			})},
		{Name: "maximum of a signal", Opsets: anyOpset, In: [][]int{signal},
			Build: node1("MaxPool", onnx.AttrInts("kernel_shape", 3), onnx.AttrInts("strides", 2), pads(1, 0)),
			Want: of1(func(x Array) Array {
				return plane{stride: [2]int{1, 2}, dilation: [2]int{1, 1}, pad: [4]int{0, 1, 0, 0}}.pooled(x, [2]int{1, 3}, false, largest)
			})},
		{Name: "maximum with gaps", Opsets: []int64{10, 21}, In: [][]int{image}, Build: node1("MaxPool", kernel, onnx.AttrInts("dilations", 2, 1)),
			Want: of1(func(x Array) Array {
				return plane{stride: [2]int{1, 1}, dilation: [2]int{2, 1}}.pooled(x, [2]int{3, 2}, false, largest)
			})},
		{Name: "maximum with gaps, padded and in steps", Opsets: []int64{10, 21}, In: [][]int{image},
			Build: node1("MaxPool", kernel, onnx.AttrInts("dilations", 1, 3), onnx.AttrInts("strides", 2, 2), pads(1, 1, 0, 1)),
			Want: of1(func(x Array) Array {
				return plane{stride: [2]int{2, 2}, dilation: [2]int{1, 3}, pad: [4]int{1, 1, 0, 1}}.pooled(x, [2]int{3, 2}, false, largest)
			})},
		{Name: "mean with gaps", Opsets: []int64{19, 21}, In: [][]int{image}, Build: node1("AveragePool", kernel, onnx.AttrInts("dilations", 2, 1)),
			Refused: "dilations [2 1]"},
		{Name: "no kernel_shape", Opsets: anyOpset, In: [][]int{image}, Build: node1("MaxPool"), Refused: "it has no kernel_shape"},
		{Name: "places of the maximum", Opsets: []int64{8, 21}, In: [][]int{image},
			Build: func(b *onnx.Builder, in []string) []string {
				out := b.Nodes("MaxPool", 2, in, kernel)
				return []string{out[0], b.Node("Cast", out[1:], onnx.AttrInt("to", int64(onnx.Float32)))}
			}, Refused: "the places of the largest elements, is used"},
		{Name: "mean", Opsets: anyOpset, In: [][]int{image}, Build: node1("AveragePool", moves...),
			Want: of1(func(x Array) Array { return strided.pooled(x, [2]int{3, 2}, false, mean) })},
		{Name: "mean, padding counts", Opsets: anyOpset, In: [][]int{image}, Build: node1("AveragePool", more(onnx.AttrInt("count_include_pad", 1))...),
			Want: of1(func(x Array) Array { return strided.pooled(x, [2]int{3, 2}, false, meanWithPadding) })},
		{Name: "mean, ceil_mode", Opsets: []int64{10, 19, 21}, In: [][]int{image}, Build: node1("AveragePool", more(onnx.AttrInt("ceil_mode", 1))...), NoRuntime: lateWindow,
			Want: of1(func(x Array) Array { return strided.pooled(x, [2]int{3, 2}, true, mean) })},
		{Name: "mean of a signal", Opsets: anyOpset, In: [][]int{signal}, Build: node1("AveragePool", onnx.AttrInts("kernel_shape", 4), onnx.AttrInts("strides", 2)),
			Want: of1(func(x Array) Array {
				return plane{stride: [2]int{1, 2}, dilation: [2]int{1, 1}}.pooled(x, [2]int{1, 4}, false, mean)
			})},
	}
	for _, g := range []struct {
		op string
		f  func([]float64, int) float64
	}{{"GlobalAveragePool", mean}, {"GlobalMaxPool", largest}} {
		for _, dims := range [][]int{image, signal} {
			cases = append(cases, Piece{
				Name: fmt.Sprint(g.op, len(dims)), Opsets: anyOpset, In: [][]int{dims}, Build: node1(g.op),
				Want: of1(func(x Array) Array {
					y := x.asImage()
					return unit.pooled(x, [2]int{y.Dims[2], y.Dims[3]}, false, g.f)
				}),
			})
		}
	}
	return cases
}

// batchNormalisations are by running statistics.
func batchNormalisations() []Piece {
	scale, shift, mu := Drawn(1, 3), Drawn(2, 3), Drawn(3, 3)
	variance := Drawn(4, 3).Each(func(x float64) float64 { return x*x*1e-2 + 1e-3 })
	constants := []*onnx.Tensor{Constant(scale), Constant(shift), Constant(mu), Constant(variance)}
	want := func(eps float64) func(in []Array) []Array {
		return of1(func(x Array) Array {
			return Tabulate(x.Dims, func(i []int) float64 {
				c := i[1]
				return (x.At(i...)-mu.Data[c])/math.Sqrt(variance.Data[c]+eps)*scale.Data[c] + shift.Data[c]
			})
		})
	}
	var cases []Piece
	for _, dims := range [][]int{{2, 3, 4, 5}, {2, 3, 4}, {4, 3}} {
		cases = append(cases,
			Piece{Name: fmt.Sprint("epsilon left out ", dims), Opsets: []int64{7, 9, 14, 15, 21}, In: [][]int{dims},
				Build: withConstants("BatchNormalization", constants), Want: want(1e-5)},
			Piece{Name: fmt.Sprint("own epsilon ", dims), Opsets: []int64{7, 9, 14, 15, 21}, In: [][]int{dims},
				Build: withConstants("BatchNormalization", constants, onnx.AttrFloat("epsilon", 0.0625), onnx.AttrFloat("momentum", 0.5)), Want: want(0.0625)})
	}
	image := [][]int{{2, 3, 4, 5}}
	cases = append(cases,
		Piece{Name: "for training", Opsets: []int64{14, 21}, In: image,
			Build: withConstants("BatchNormalization", constants, onnx.AttrInt("training_mode", 1)), Refused: "training_mode is set"},
		Piece{Name: "for each pixel", Opsets: []int64{7}, In: image,
			Build: withConstants("BatchNormalization", constants, onnx.AttrInt("spatial", 0)), Refused: "spatial is 0"},
		Piece{Name: "a scale that is computed", Opsets: []int64{7, 21}, In: [][]int{{2, 3, 4, 5}, {3}},
			Build: func(b *onnx.Builder, in []string) []string {
				return []string{b.Node("BatchNormalization", []string{in[0], in[1], b.Initializer("b", constants[1]), b.Initializer("m", constants[2]), b.Initializer("v", constants[3])})}
			}, Refused: "operand 1 must be constant"},
		Piece{Name: "another number of channels", Opsets: []int64{7, 21}, In: [][]int{{2, 4, 4, 5}},
			Build: withConstants("BatchNormalization", constants), Refused: "of shape [3] for 4 channels"},
		Piece{Name: "epsilon of zero", Opsets: []int64{7, 21}, In: image,
			Build: withConstants("BatchNormalization", constants, onnx.AttrFloat("epsilon", 0)), Refused: "the first is above 0"},
	)
	return cases
}

// product is NumPy's matrix product of values of two axes or more.
func product(a, b Array) Array {
	ra, rb := len(a.Dims), len(b.Dims)
	r := max(ra, rb)
	dims := make([]int, r)
	for i := range r - 2 {
		dims[i] = 1
		if k := i - (r - ra); k >= 0 {
			dims[i] = a.Dims[k]
		}
		if k := i - (r - rb); k >= 0 {
			dims[i] = max(dims[i], b.Dims[k])
		}
	}
	dims[r-2], dims[r-1] = a.Dims[ra-2], b.Dims[rb-1]
	return Tabulate(dims, func(i []int) float64 {
		sum := 0.0
		for k := range a.Dims[ra-1] {
			x, y := slices.Clone(i), slices.Clone(i)
			x[r-1], y[r-2] = k, k
			sum += a.Stretched(x) * b.Stretched(y)
		}
		return sum
	})
}

// turned is a matrix transposed.
func (a Array) turned() Array {
	return Tabulate([]int{a.Dims[1], a.Dims[0]}, func(i []int) float64 { return a.At(i[1], i[0]) })
}

// shaped returns the elements of a in other axes.
func (a Array) shaped(dims ...int) Array { return Array{dims, a.Data} }

// products are MatMul.
func products() []Piece {
	shapes := [][2][]int{
		{{3, 4}, {4, 5}}, {{2, 3, 4}, {4, 5}}, {{2, 3, 4}, {2, 4, 5}}, {{2, 3, 4}, {1, 4, 5}},
		{{2, 3, 4, 5}, {5, 6}}, {{2, 3, 4, 5}, {2, 3, 5, 6}}, {{2, 1, 4, 5}, {3, 5, 6}}, {{4, 5}, {2, 3, 5, 6}}, {{2, 2, 2, 3, 4}, {4, 2}},
	}
	var cases []Piece
	for i, s := range shapes {
		w := Drawn(uint64(i), s[1]...)
		cases = append(cases,
			Piece{Name: fmt.Sprint(s, " of two inputs"), Opsets: anyOpset, In: s[:], Build: node1("MatMul"),
				Want: func(in []Array) []Array { return []Array{product(in[0], in[1])} }},
			Piece{Name: fmt.Sprint(s, " of an input and weights"), Opsets: anyOpset, In: s[:1], Build: withConstants("MatMul", []*onnx.Tensor{Constant(w)}),
				Want: of1(func(x Array) Array { return product(x, w) })},
			Piece{Name: fmt.Sprint(s, " of weights and an input"), Opsets: anyOpset, In: s[1:],
				Build: func(b *onnx.Builder, in []string) []string {
					return []string{b.Node("MatMul", []string{b.Initializer("w", Constant(Drawn(uint64(50+i), s[0]...))), in[0]})}
				},
				Want: of1(func(x Array) Array { return product(Drawn(uint64(50+i), s[0]...), x) })})
	}
	cases = append(cases,
		Piece{Name: "vectors", Opsets: anyOpset, In: [][]int{{4}, {4}}, Build: node1("MatMul"),
			Want: func(in []Array) []Array {
				return []Array{product(in[0].shaped(1, 4), in[1].shaped(4, 1)).shaped()}
			}},
		Piece{Name: "a row", Opsets: anyOpset, In: [][]int{{4}, {2, 4, 3}}, Build: node1("MatMul"),
			Want: func(in []Array) []Array { return []Array{product(in[0].shaped(1, 4), in[1]).shaped(2, 3)} }},
		Piece{Name: "a column", Opsets: anyOpset, In: [][]int{{2, 3, 4}, {4}}, Build: node1("MatMul"),
			Want: func(in []Array) []Array { return []Array{product(in[0], in[1].shaped(4, 1)).shaped(2, 3)} }},
		Piece{Name: "leading axes that do not stretch", Opsets: []int64{21}, In: [][]int{{2, 3, 4}, {5, 4, 5}}, Build: node1("MatMul"),
			Refused: "do not stretch to one shape"},
		Piece{Name: "one matrix for two layers", Opsets: []int64{11, 13, 21}, In: [][]int{{3, 4}},
			Build: func(b *onnx.Builder, in []string) []string {
				w := b.Initializer("w", Constant(Drawn(9, 4, 4)))
				x := b.Node("MatMul", []string{in[0], w})
				return []string{b.Node("Gemm", []string{x, w}, onnx.AttrInt("transB", 1))}
			},
			Want: of1(func(x Array) Array { w := Drawn(9, 4, 4); return product(product(x, w), w.turned()) })},
		Piece{Name: "rows and a bias", Opsets: anyOpset, In: [][]int{{2, 3, 4}},
			Build: func(b *onnx.Builder, in []string) []string {
				x := b.Node("MatMul", []string{in[0], b.Initializer("w", Constant(Drawn(9, 4, 5)))})
				return []string{b.Node("Add", []string{b.Initializer("b", Constant(Drawn(8, 5))), x})}
			},
			Want: of1(func(x Array) Array {
				y, b := product(x, Drawn(9, 4, 5)), Drawn(8, 5)
				return Tabulate(y.Dims, func(i []int) float64 { return y.At(i...) + b.Stretched(i) })
			})},
	)
	return cases
}

// gemms are Gemm.
func gemms() []Piece {
	var cases []Piece
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
		want := func(x, w, c Array) Array {
			if tt.transA == 1 {
				x = x.turned()
			}
			if tt.transB == 1 {
				w = w.turned()
			}
			y := product(x, w)
			return Tabulate(y.Dims, func(i []int) float64 {
				v := float64(tt.alpha) * y.At(i...)
				if tt.c != nil {
					v += float64(tt.beta) * c.Stretched(i)
				}
				return v
			})
		}
		opsets := anyOpset
		if tt.c == nil {
			opsets = []int64{11, 13, 21} // before, C is wanted
		}
		w, c := Drawn(1, b...), Drawn(2, tt.c...)
		constants := []*onnx.Tensor{Constant(w)}
		in := [][]int{a, b}
		if tt.c != nil {
			constants, in = append(constants, Constant(c)), append(in, tt.c)
		}
		name := fmt.Sprintf("transA %d transB %d alpha %v beta %v C %v", tt.transA, tt.transB, tt.alpha, tt.beta, tt.c)
		cases = append(cases,
			Piece{Name: name + ", weights", Opsets: opsets, In: [][]int{a}, Build: withConstants("Gemm", constants, attrs...),
				Want: of1(func(x Array) Array { return want(x, w, c) })},
			Piece{Name: name + ", inputs", Opsets: opsets, In: in, Build: node1("Gemm", attrs...),
				Want: func(in []Array) []Array { return []Array{want(in[0], in[1], in[len(in)-1])} }})
	}
	return cases
}

// shapes are constants, and what has no effect.
func shapes() []Piece {
	image := []int{2, 3, 4, 5}
	asFloat := func(b *onnx.Builder, v string) []string {
		return []string{b.Node("Cast", []string{v}, onnx.AttrInt("to", int64(onnx.Float32)))}
	}
	list := func(v ...float64) func([]Array) []Array {
		return func([]Array) []Array { return []Array{{[]int{len(v)}, v}} }
	}
	return []Piece{
		{Name: "shape", Opsets: anyOpset, In: [][]int{image}, Want: list(2, 3, 4, 5),
			Build: func(b *onnx.Builder, in []string) []string { return asFloat(b, b.Node("Shape", in)) }},
		{Name: "part of it", Opsets: []int64{15, 21}, In: [][]int{image}, Want: list(3, 4),
			Build: func(b *onnx.Builder, in []string) []string {
				return asFloat(b, b.Node("Shape", in, onnx.AttrInt("start", -3), onnx.AttrInt("end", -1)))
			}},
		{Name: "size", Opsets: anyOpset, In: [][]int{image}, Want: func([]Array) []Array { return []Array{{[]int{}, []float64{120}}} },
			Build: func(b *onnx.Builder, in []string) []string { return asFloat(b, b.Node("Size", in)) }},
		{Name: "flatten", Opsets: anyOpset, In: [][]int{image}, Want: of1(func(x Array) Array { return x.shaped(2, 60) }), Build: node1("Flatten")},
		{Name: "flatten at 0", Opsets: anyOpset, In: [][]int{image}, Want: of1(func(x Array) Array { return x.shaped(1, 120) }), Build: node1("Flatten", onnx.AttrInt("axis", 0))},
		{Name: "flatten at 2", Opsets: anyOpset, In: [][]int{image}, Want: of1(func(x Array) Array { return x.shaped(6, 20) }), Build: node1("Flatten", onnx.AttrInt("axis", 2))},
		{Name: "flatten at the end", Opsets: []int64{11, 21}, In: [][]int{image}, Want: of1(func(x Array) Array { return x.shaped(24, 5) }), Build: node1("Flatten", onnx.AttrInt("axis", -1))},
		{Name: "identity and dropout", Opsets: anyOpset, In: [][]int{image}, Want: of1(func(x Array) Array { return x }),
			Build: func(b *onnx.Builder, in []string) []string {
				return []string{b.Node("Identity", []string{b.Node("Dropout", in)})}
			}},
		{Name: "dropout of nothing in training mode", Opsets: []int64{12, 13, 21}, In: [][]int{image}, Want: of1(func(x Array) Array { return x }),
			Build: withConstants("Dropout", []*onnx.Tensor{scalar(0), truth(1)})},
		{Name: "dropout that is told to infer", Opsets: []int64{12, 13, 21}, In: [][]int{image}, Want: of1(func(x Array) Array { return x }),
			Build: withConstants("Dropout", []*onnx.Tensor{scalar(0.5), truth(0)})},
		{Name: "dropout in training mode", Opsets: []int64{12, 13, 21}, In: [][]int{image}, Refused: "training_mode is set, so that it drops values at random",
			Build: withConstants("Dropout", []*onnx.Tensor{scalar(0.5), truth(1)})},
		{Name: "dropout of the usual rate in training mode", Opsets: []int64{12, 13, 21}, In: [][]int{image}, Refused: "training_mode is set, so that it drops values at random",
			Build: withConstants("Dropout", []*onnx.Tensor{nil, truth(1)})},
		{Name: "dropout in a mode that is computed", Opsets: []int64{12, 13, 21}, In: [][]int{{2, 3}, {}}, Refused: "must be constant",
			Build: func(b *onnx.Builder, in []string) []string {
				mode := b.Node("Greater", []string{in[1], b.Initializer("zero", scalar(0))})
				return []string{b.Node("Dropout", []string{in[0], b.Initializer("ratio", scalar(0.5)), mode})}
			}},
	}
}

// truth is a constant boolean.
func truth(b byte) *onnx.Tensor { return &onnx.Tensor{Type: onnx.Bool, Data: []byte{b}} }

// Convolve is the convolution of x [N, C, H, W] with w [K, C, R, S], without
// padding, in steps of one.
func Convolve(x, w Array) Array { return unit.convolved(x, w, nil) }
