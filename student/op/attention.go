package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// MapKind says how an attention map condenses the channels of an activation.
// The empty one is MapSumPow.
type MapKind string

// The maps of Zagoruyko & Komodakis 2017, section 3.1. All take |A|, for odd
// powers too.
const (
	MapSum    MapKind = "sum"   // Σ_c |A_c|
	MapSumPow MapKind = "sum^p" // Σ_c |A_c|^p
	MapMaxPow MapKind = "max^p" // max_c |A_c|^p
)

// DefaultMapPower is the power of the maps sum^p and max^p where none is given.
// It did best in Zagoruyko & Komodakis 2017, table 2.
const DefaultMapPower = 2

// AttentionMap condenses the channels of an activation x [N, H, W, C] to a map
// [N, H, W], not normalised:
//
//	sum:   Σ_c |x_c|
//	sum^p: Σ_c |x_c|^p
//	max^p: max_c |x_c|^p
//
// p is above zero; zero means DefaultMapPower. sum takes no notice of it.
// The derivative of |x|^p at zero is taken as 0, and the maximum's goes to the
// first of several largest channels.
func AttentionMap(x *gorgonia.Node, kind MapKind, p float64) (*gorgonia.Node, error) {
	s, err := imagesOf("AttentionMap", x)
	if err != nil {
		return nil, err
	}
	if kind == "" {
		kind = MapSumPow
	}
	switch {
	case kind == MapSum:
		p = 1
	case p == 0:
		p = DefaultMapPower
	}
	if err := positive("AttentionMap", "power", p); err != nil {
		return nil, err
	}
	f := kernel.AbsPower{C: 1, P: p}
	pixels, c, attrs := s[0]*s[1]*s[2], s[3], fmt.Sprintf("map=%v p=%v", kind, p)
	switch kind {
	case MapSum, MapSumPow:
		return apply1("AttentionMap", attrs, s[:3], x, plan1(false,
			func() unary[float32] { return kernel.AttentionSum[float32](pixels, c, f) },
			func() unary[float64] { return kernel.AttentionSum[float64](pixels, c, f) }),
			func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) { return spreadPow(x, g, f.Derivative()) },
			func(fm form) string { return fm.reduce("ReduceSum", fm.absPow(1, p, false, fm.in[0]), false, 1) })
	case MapMaxPow:
		return apply1("AttentionMap", attrs, s[:3], x, plan1(false,
			func() unary[float32] { return kernel.AttentionMax[float32](pixels, c, f) },
			func() unary[float64] { return kernel.AttentionMax[float64](pixels, c, f) }),
			func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) {
				var s steps
				k := s.take(absPow("AbsPow", s.take(pick(x, x)), f.Derivative()))
				return s.end(place(x, s.take(Mul(g, k))))
			},
			func(fm form) string { return fm.reduce("ReduceMax", fm.absPow(1, p, false, fm.in[0]), false, 1) })
	}
	return nil, fmt.Errorf("op: AttentionMap: no map is called %q; it is one of %s, %s, %s", kind, MapSum, MapSumPow, MapMaxPow)
}

// spreadPow returns g [N, H, W] times f(x) of each channel of x [N, H, W, C].
func spreadPow(x, g *gorgonia.Node, f kernel.AbsPower) (*gorgonia.Node, error) {
	s, err := mapOf("AttentionSpread", x, g)
	if err != nil {
		return nil, err
	}
	pixels, c := s[0]*s[1]*s[2], s[3]
	constant := f.Derivative().Zero()
	return apply(&formula{
		core:  newCore("AttentionSpread", fmt.Sprintf("c=%v p=%v odd=%v", f.C, f.P, f.Odd), s, x, g),
		value: typed(planSpread[float32](pixels, c, f), planSpread[float64](pixels, c, f)),
		power: f,
		fixed: []bool{constant, false},
		slope: slope2(func(x, g, _, grad *gorgonia.Node) (dx, dg *gorgonia.Node, err error) {
			var s steps
			if !constant {
				dx = s.take(Mul(grad, s.take(spreadPow(x, g, f.Derivative()))))
			}
			dg, err = s.end(SumRows(s.take(Mul(grad, s.take(absPow("AbsPow", x, f))))))
			return dx, dg, err
		}),
		emit: func(fm form) string {
			return fm.node("Mul", []string{fm.unsqueeze(fm.in[1], 1), fm.absPow(f.C, f.P, f.Odd, fm.in[0])})
		},
	}, x, g)
}

func planSpread[T kernel.Float](pixels, c int, f kernel.AbsPower) func() Plan {
	return func() Plan {
		run := kernel.AttentionSpread[T](pixels, c, f)
		return Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]), nil)
		}}
	}
}

// pick returns, for each pixel, the element of v [N, H, W, C] at the channel
// where |x| is largest, the first such. It has no derivative by x.
func pick(x, v *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("ChannelPick", x, v); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) != 4 || !exactly(s, v.Shape()) {
		return nil, fmt.Errorf("op: ChannelPick wants two activations [N, H, W, C] of one shape, got %v and %v", s, v.Shape())
	}
	pixels, c := s[0]*s[1]*s[2], s[3]
	return apply2("ChannelPick", "", s[:3], x, v, plan2(false,
		func() binary[float32] { return kernel.ChannelPick[float32](pixels, c) },
		func() binary[float64] { return kernel.ChannelPick[float64](pixels, c) }),
		[]bool{true, false},
		func(x, _, _, grad *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			dv, err := place(x, grad)
			return nil, dv, err
		},
		func(f form) string {
			return f.squeeze(f.node("GatherElements", []string{f.in[1], f.firstLargest(f.in[0])}, onnx.AttrInt("axis", 1)), 1)
		})
}

// place returns g [N, H, W] at the channel where |x| is largest, the first
// such, and 0 at the others. It has no derivative by x.
func place(x, g *gorgonia.Node) (*gorgonia.Node, error) {
	s, err := mapOf("ChannelPlace", x, g)
	if err != nil {
		return nil, err
	}
	pixels, c := s[0]*s[1]*s[2], s[3]
	return apply2("ChannelPlace", "", s, x, g, plan2(false,
		func() binary[float32] { return kernel.ChannelPlace[float32](pixels, c) },
		func() binary[float64] { return kernel.ChannelPlace[float64](pixels, c) }),
		[]bool{true, false},
		func(x, _, _, grad *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			dg, err := pick(x, grad)
			return nil, dg, err
		},
		func(f form) string {
			channels := make([]int64, c)
			for i := range channels {
				channels[i] = int64(i)
			}
			index := f.b.Initializer("channels", onnx.Int64s("", []int64{1, int64(c), 1, 1}, channels))
			here := f.node("Equal", []string{index, f.firstLargest(f.in[0])})
			return f.where(here, f.unsqueeze(f.in[1], 1), f.float(0))
		})
}

// firstLargest appends the index, kept as an axis of one, of the first channel
// where |x| is largest.
func (f form) firstLargest(x string) string {
	return f.node("ArgMax", []string{f.node("Abs", []string{x})}, onnx.AttrInt("axis", 1), onnx.AttrInt("keepdims", 1))
}

// AdaptiveAveragePool averages x, maps [N, H, W] or activations [N, H, W, C],
// over oh x ow bins of nearly equal size: bin i of n covers elements ⌊i·H/n⌋ up
// to ⌈(i+1)·H/n⌉, as in PyTorch. Bins share elements where n does not divide H.
func AdaptiveAveragePool(x *gorgonia.Node, oh, ow int) (*gorgonia.Node, error) {
	if err := checked("AdaptiveAveragePool", x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if (len(s) != 3 && len(s) != 4) || s.TotalSize() == 0 || oh < 1 || ow < 1 {
		return nil, fmt.Errorf("op: AdaptiveAveragePool wants maps [N, H, W] or activations [N, H, W, C] and a positive size, got shape %v and size %dx%d",
			s, oh, ow)
	}
	if s[1] == oh && s[2] == ow {
		return x, nil
	}
	a := kernel.AdaptiveShape{N: s[0], H: s[1], W: s[2], C: 1, OH: oh, OW: ow}
	out := s.Clone()
	out[1], out[2] = oh, ow
	if len(s) == 4 {
		a.C = s[3]
	}
	return adaptive(x, out, a, false)
}

// adaptive applies the pooling a, or its transpose, which hands each element of
// a bin its share.
func adaptive(x *gorgonia.Node, out tensor.Shape, a kernel.AdaptiveShape, transposed bool) (*gorgonia.Node, error) {
	name, value := "AdaptiveAveragePool", plan1(false,
		func() unary[float32] { return kernel.AdaptiveAverage[float32](a) },
		func() unary[float64] { return kernel.AdaptiveAverage[float64](a) })
	if transposed {
		name, value = "AdaptiveSpread", plan1(false,
			func() unary[float32] { return kernel.AdaptiveSpread[float32](a) },
			func() unary[float64] { return kernel.AdaptiveSpread[float64](a) })
	}
	in := x.Shape()
	return apply1(name, fmt.Sprintf("%dx%d to %dx%d", a.H, a.W, a.OH, a.OW), out, x, value,
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return adaptive(g, in, a, !transposed) },
		func(f form) string {
			if transposed || a.H%a.OH != 0 || a.W%a.OW != 0 {
				return f.adaptiveMatMul(a, transposed)
			}
			y := f.in[0]
			if len(in) == 3 {
				y = f.unsqueeze(y, 1)
			}
			if a.OH == 1 && a.OW == 1 {
				y = f.node("GlobalAveragePool", []string{y})
			} else {
				k := []int64{int64(a.H / a.OH), int64(a.W / a.OW)}
				y = f.node("AveragePool", []string{y}, onnx.AttrInts("kernel_shape", k...), onnx.AttrInts("strides", k...))
			}
			if len(in) == 3 {
				y = f.squeeze(y, 1)
			}
			return y
		})
}

// adaptiveMatMul appends the pooling as products with constant matrices from
// both sides, L·X·R over the last two axes: a bin's average is the average over
// its rows of the averages over its columns. ONNX has no pooling whose windows
// differ in size.
func (f form) adaptiveMatMul(a kernel.AdaptiveShape, transposed bool) string {
	left, right := binWeights(a.OH, a.H), binWeights(a.OW, a.W)
	l, r := [2]int{a.OH, a.H}, [2]int{a.OW, a.W}
	if transposed {
		left, l = transpose(left, l)
	} else {
		right, r = transpose(right, r)
	}
	y := f.node("MatMul", []string{f.in[0], f.floats("bins", []int64{int64(r[0]), int64(r[1])}, right)})
	return f.node("MatMul", []string{f.floats("bins", []int64{int64(l[0]), int64(l[1])}, left), y})
}

// binWeights returns the matrix [bins, n] that averages n elements into bins.
func binWeights(bins, n int) []float32 {
	m := make([]float32, bins*n)
	for i := range bins {
		from, to := kernel.Bin(i, bins, n)
		for j := from; j < to; j++ {
			m[i*n+j] = 1 / float32(to-from)
		}
	}
	return m
}

func transpose(m []float32, shape [2]int) ([]float32, [2]int) {
	t := make([]float32, len(m))
	for i := range shape[0] {
		for j := range shape[1] {
			t[j*shape[0]+i] = m[i*shape[1]+j]
		}
	}
	return t, [2]int{shape[1], shape[0]}
}

// imagesOf returns the shape [N, H, W, C] of x.
func imagesOf(name string, x *gorgonia.Node) (tensor.Shape, error) {
	if err := checked(name, x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) != 4 || s.TotalSize() == 0 {
		return nil, fmt.Errorf("op: %s wants an activation [N, H, W, C], got shape %v", name, s)
	}
	return s, nil
}

// mapOf returns the shape of x [N, H, W, C], for which g is a map [N, H, W].
func mapOf(name string, x, g *gorgonia.Node) (tensor.Shape, error) {
	if err := checked(name, x, g); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) != 4 || !exactly(s[:3], g.Shape()) {
		return nil, fmt.Errorf("op: %s wants an activation [N, H, W, C] and a map [N, H, W], got %v and %v", name, s, g.Shape())
	}
	return s, nil
}
