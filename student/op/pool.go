package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// PoolConfig is how a pooling window moves over its image.
type PoolConfig struct {
	Kernel [2]int // height and width of the window
	Stride [2]int // vertical, horizontal; zero means the window's size
	Pad    [4]int // top, left, bottom, right; each below the window's size

	// CountIncludePad lets an average count padding as zeros. Without it the
	// divisor is the number of elements of the image in the window.
	CountIncludePad bool

	// Ceil rounds the output's size up instead of down, so that a last window
	// that fits in part is kept. As in PyTorch, it must begin inside the image
	// or the padding before it.
	Ceil bool
}

// MaxPool returns [N, OH, OW, C], the largest element of each window of x
// [N, H, W, C]; padding never wins, and a NaN in a window is its result. Where
// several elements are equal the derivative goes to the first in row order.
// CountIncludePad has no meaning here.
func MaxPool(x *gorgonia.Node, cfg PoolConfig) (*gorgonia.Node, error) {
	s, err := poolShape("MaxPool", x, cfg)
	if err != nil {
		return nil, err
	}
	return apply(&formula{
		core:  newCore("MaxPool", poolAttrs(s), tensor.Shape{s.N, s.OH, s.OW, s.C}, x),
		value: typed(planPool(kernel.MaxPool[float32], s), planPool(kernel.MaxPool[float64], s)),
		slope: ofOne(func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) { return maxPoolScatter(s, x, g) }),
		emit:  func(f form) string { return f.over("MaxPool", poolForm(s)...) },
	}, x)
}

// maxPoolScatter returns [N, H, W, C] with each element of g [N, OH, OW, C] where
// the largest element of its window of x is.
//
// It and maxPoolGather are linear in their second operand and each other's
// adjoint, and constant in x wherever they are differentiable. So x has no
// derivative here.
func maxPoolScatter(s kernel.PoolShape, x, g *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(&formula{
		core:  newCore("MaxPoolScatter", poolAttrs(s), tensor.Shape{s.N, s.H, s.W, s.C}, x, g),
		value: typed(planPool2(kernel.MaxPoolScatter[float32], s), planPool2(kernel.MaxPoolScatter[float64], s)),
		fixed: []bool{true, false},
		slope: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			d, err := maxPoolGather(s, in[0], grad)
			return gorgonia.Nodes{nil, d}, err
		},
		emit: func(f form) string { return f.maxPoolScatter(s) },
	}, x, g)
}

// maxPoolGather returns [N, OH, OW, C], the element of v [N, H, W, C] that stands
// where the largest element of each window of x is.
func maxPoolGather(s kernel.PoolShape, x, v *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(&formula{
		core:  newCore("MaxPoolGather", poolAttrs(s), tensor.Shape{s.N, s.OH, s.OW, s.C}, x, v),
		value: typed(planPool2(kernel.MaxPoolGather[float32], s), planPool2(kernel.MaxPoolGather[float64], s)),
		fixed: []bool{true, false},
		slope: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			d, err := maxPoolScatter(s, in[0], grad)
			return gorgonia.Nodes{nil, d}, err
		},
		emit: func(f form) string {
			at := f.largestInWindows(s)
			y := f.node("GatherElements", []string{f.line(f.in[1]), f.line(at)}, onnx.AttrInt("axis", 0))
			return f.node("Reshape", []string{y, f.node("Shape", []string{at})})
		},
	}, x, v)
}

// largestInWindows appends where the largest element of each window of operand
// 0 stands among all its elements, batch included. Of equal ones ONNX Runtime
// takes the first in row order, as MaxPool does.
func (f form) largestInWindows(s kernel.PoolShape) string {
	return f.b.Nodes("MaxPool", 2, f.in[:1], poolForm(s)...)[1]
}

// line returns x with one axis.
func (f form) line(x string) string { return f.node("Reshape", []string{x, f.ints("shape", -1)}) }

// scatterAddOpset is the opset from which ScatterElements can add up what comes
// to one place.
const scatterAddOpset = 16

// maxPoolScatter appends operand 1, each element added where the largest one of
// its window of operand 0 stands. Windows that overlap may meet in one element;
// where ScatterElements cannot add up, they are taken in sets of windows that
// do not overlap, and the sets added up.
func (f form) maxPoolScatter(s kernel.PoolShape) string {
	shape := f.node("Shape", f.in[:1])
	zeros := f.line(f.node("ConstantOfShape", []string{shape}, onnx.AttrTensor("value", onnx.Float32s("", []int64{1}, []float32{0}))))
	at, g := f.largestInWindows(s), f.in[1]
	scatter := func(at, g string, attrs ...*onnx.Attr) string {
		return f.node("ScatterElements", []string{zeros, f.line(at), f.line(g)}, append(attrs, onnx.AttrInt("axis", 0))...)
	}
	// How many windows further on the first that shares no element begins.
	var apart [2]int
	for i := range 2 {
		apart[i] = (s.Kernel[i] + s.Stride[i] - 1) / s.Stride[i]
	}
	apart[0], apart[1] = min(apart[0], s.OH), min(apart[1], s.OW)
	var sum string
	switch {
	case apart == [2]int{1, 1}:
		sum = scatter(at, g)
	case f.b.Opset() >= scatterAddOpset:
		sum = scatter(at, g, onnx.AttrString("reduction", "add"))
	default:
		for i := range apart[0] {
			for j := range apart[1] {
				every := func(x string) string {
					return f.node("Slice", []string{x, f.ints("starts", int64(i), int64(j)), f.ints("ends", int64(s.OH), int64(s.OW)),
						f.ints("axes", 2, 3), f.ints("steps", int64(apart[0]), int64(apart[1]))})
				}
				part := scatter(every(at), every(g))
				if sum == "" {
					sum = part
				} else {
					sum = f.node("Add", []string{sum, part})
				}
			}
		}
	}
	return f.node("Reshape", []string{sum, shape})
}

// AveragePool returns [N, OH, OW, C], the average of each window of x
// [N, H, W, C].
func AveragePool(x *gorgonia.Node, cfg PoolConfig) (*gorgonia.Node, error) {
	s, err := poolShape("AveragePool", x, cfg)
	if err != nil {
		return nil, err
	}
	return averagePool(s, x)
}

func averagePool(s kernel.PoolShape, x *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(&formula{
		core:  newCore("AveragePool", poolAttrs(s), tensor.Shape{s.N, s.OH, s.OW, s.C}, x),
		value: typed(planPool(kernel.AveragePool[float32], s), planPool(kernel.AveragePool[float64], s)),
		slope: ofOne(func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return averagePoolBack(s, g) }),
		emit: func(f form) string {
			if !s.CountIncludePad || s.Pad == [4]int{} {
				return f.over("AveragePool", append(poolForm(s), onnx.AttrInt("count_include_pad", 0))...)
			}
			// Runtimes have disagreed about windows that reach over the padding,
			// so it is made part of the image.
			pads := f.ints("pads", 0, 0, int64(s.Pad[0]), int64(s.Pad[1]), 0, 0, int64(s.Pad[2]), int64(s.Pad[3]))
			padded := s
			padded.H, padded.W, padded.Pad = s.H+s.Pad[0]+s.Pad[2], s.W+s.Pad[1]+s.Pad[3], [4]int{}
			return f.node("AveragePool", []string{f.node("Pad", []string{f.in[0], pads})},
				append(poolForm(padded), onnx.AttrInt("count_include_pad", 0))...)
		},
	}, x)
}

// averagePoolBack is the adjoint of averagePool.
func averagePoolBack(s kernel.PoolShape, g *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(&formula{
		core:  newCore("AveragePoolBack", poolAttrs(s), tensor.Shape{s.N, s.H, s.W, s.C}, g),
		value: typed(planPool(kernel.AveragePoolBack[float32], s), planPool(kernel.AveragePoolBack[float64], s)),
		slope: ofOne(func(_, _, grad *gorgonia.Node) (*gorgonia.Node, error) { return averagePool(s, grad) }),
		emit:  func(f form) string { return f.averagePoolBack(s) },
	}, g)
}

// averagePoolBack appends the shares of operand 0, each spread over its window:
// a transposed convolution of every channel alone with weights of one, for
// which the channels stand beside the samples.
func (f form) averagePoolBack(s kernel.PoolShape) string {
	shares := make([]float32, s.OH*s.OW)
	for i := range shares {
		shares[i] = 1 / float32(s.Count(i/s.OW, i%s.OW))
	}
	oh, ow := int64(s.OH), int64(s.OW)
	g := f.node("Mul", []string{f.in[0], f.floats("shares", []int64{1, 1, oh, ow}, shares)})
	g = f.node("Reshape", []string{g, f.ints("shape", -1, 1, oh, ow)})
	ones := make([]float32, s.Kernel[0]*s.Kernel[1])
	for i := range ones {
		ones[i] = 1
	}
	window := f.floats("window", []int64{1, 1, int64(s.Kernel[0]), int64(s.Kernel[1])}, ones)
	y := convTranspose(f.b, []string{g, window}, kernel.ConvShape{
		N: s.N * s.C, H: s.H, W: s.W, C: 1, K: 1, R: s.Kernel[0], S: s.Kernel[1],
		Stride: s.Stride, Dilation: [2]int{1, 1}, Pad: paddedFor(s), Groups: 1,
	})
	return f.node("Reshape", []string{y, f.ints("shape", -1, int64(s.C), int64(s.H), int64(s.W))})
}

// GlobalAveragePool returns [N, C], the average of each channel of x
// [N, H, W, C] over its image.
func GlobalAveragePool(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("GlobalAveragePool", x); err != nil {
		return nil, err
	}
	s := x.Shape().Clone()
	if len(s) != 4 || s.TotalSize() == 0 {
		return nil, fmt.Errorf("op: GlobalAveragePool wants images [N,H,W,C], got %v", s)
	}
	return apply(&formula{
		core:  newCore("GlobalAveragePool", "", tensor.Shape{s[0], s[3]}, x),
		value: typed(planGlobal(kernel.GlobalAveragePool[float32], s), planGlobal(kernel.GlobalAveragePool[float64], s)),
		slope: ofOne(func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return globalAveragePoolBack(s, g) }),
		emit:  func(f form) string { return f.node("Flatten", []string{f.over("GlobalAveragePool")}) },
	}, x)
}

// globalAveragePoolBack is the adjoint of GlobalAveragePool for images of shape
// s.
func globalAveragePoolBack(s tensor.Shape, g *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(&formula{
		core:  newCore("GlobalAveragePoolBack", "", s, g),
		value: typed(planGlobal(kernel.GlobalAveragePoolBack[float32], s), planGlobal(kernel.GlobalAveragePoolBack[float64], s)),
		slope: ofOne(func(_, _, grad *gorgonia.Node) (*gorgonia.Node, error) { return GlobalAveragePool(grad) }),
		emit: func(f form) string {
			share := f.node("Mul", []string{f.in[0], f.float(1 / float64(s[1]*s[2]))})
			return f.expand(f.unsqueeze(share, 2, 3), 1, 1, int64(s[1]), int64(s[2]))
		},
	}, g)
}

// GlobalMaxPool returns [N, C], the largest element of each channel of x
// [N, H, W, C], by the rules of ReduceMax.
func GlobalMaxPool(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("GlobalMaxPool", x); err != nil {
		return nil, err
	}
	s := x.Shape().Clone()
	if len(s) != 4 || s.TotalSize() == 0 {
		return nil, fmt.Errorf("op: GlobalMaxPool wants images [N,H,W,C], got %v", s)
	}
	r, err := axesOf("GlobalMaxPool", x, []int{1, 2})
	if err != nil {
		return nil, err
	}
	return apply1("GlobalMaxPool", "", tensor.Shape{s[0], s[3]}, x, r.planMax(false),
		func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) {
			var st steps
			return st.end(reduceMaxScatter(r, false, x, st.take(Reshape(g, r.out...))))
		},
		func(f form) string { return f.node("Flatten", []string{f.over("GlobalMaxPool")}) })
}

// poolShape checks a pooling and returns its geometry.
func poolShape(name string, x *gorgonia.Node, cfg PoolConfig) (s kernel.PoolShape, err error) {
	if err := checked(name, x); err != nil {
		return s, err
	}
	in := x.Shape()
	if len(in) != 4 || in.TotalSize() == 0 {
		return s, fmt.Errorf("op: %s wants images [N,H,W,C], got %v", name, in)
	}
	var out [2]int
	for i := range 2 {
		k, before, after := cfg.Kernel[i], cfg.Pad[i], cfg.Pad[i+2]
		if cfg.Stride[i] == 0 {
			cfg.Stride[i] = k
		}
		if k < 1 || cfg.Stride[i] < 1 {
			return s, fmt.Errorf("op: %s wants a window and strides of at least 1, got window %v and strides %v", name, cfg.Kernel, cfg.Stride)
		}
		if min(before, after) < 0 || max(before, after) >= k {
			return s, fmt.Errorf("op: %s wants padding from 0 to below the window %v, so that no window is empty, got %v", name, cfg.Kernel, cfg.Pad)
		}
		size := in[i+1]
		room := size + before + after - k
		if room < 0 {
			return s, fmt.Errorf("op: %s wants a padded image of at least the window %v, got images %v with padding %v", name, cfg.Kernel, in, cfg.Pad)
		}
		out[i] = room/cfg.Stride[i] + 1
		if cfg.Ceil && room%cfg.Stride[i] != 0 && out[i]*cfg.Stride[i] < size+before {
			out[i]++
		}
	}
	return kernel.PoolShape{
		N: in[0], H: in[1], W: in[2], C: in[3], OH: out[0], OW: out[1],
		Kernel: cfg.Kernel, Stride: cfg.Stride, Pad: cfg.Pad, CountIncludePad: cfg.CountIncludePad,
	}, nil
}

func poolAttrs(s kernel.PoolShape) string {
	return fmt.Sprintf("kernel=%v stride=%v pad=%v count_include_pad=%v", s.Kernel, s.Stride, s.Pad, s.CountIncludePad)
}

// poolForm returns a pooling's ONNX attributes. The padding after the image is
// told as the last window needs it, which makes rounding up and down the same:
// how ceil_mode rounds has differed between runtimes.
func poolForm(s kernel.PoolShape) []*onnx.Attr {
	pad := paddedFor(s)
	return []*onnx.Attr{
		onnx.AttrInts("kernel_shape", int64(s.Kernel[0]), int64(s.Kernel[1])),
		onnx.AttrInts("strides", int64(s.Stride[0]), int64(s.Stride[1])),
		onnx.AttrInts("pads", int64(pad[0]), int64(pad[1]), int64(pad[2]), int64(pad[3])),
	}
}

// paddedFor returns a pooling's padding with as much after the image as the
// last window needs.
func paddedFor(s kernel.PoolShape) [4]int {
	bottom := max((s.OH-1)*s.Stride[0]+s.Kernel[0]-s.H-s.Pad[0], 0)
	right := max((s.OW-1)*s.Stride[1]+s.Kernel[1]-s.W-s.Pad[1], 0)
	return [4]int{s.Pad[0], s.Pad[1], bottom, right}
}

// planPool makes the plan of a pooling kernel of one operand.
func planPool[T kernel.Float](k func(kernel.PoolShape) func(dst, x []T) error, s kernel.PoolShape) func() Plan {
	return func() Plan {
		run := k(s)
		return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]))
		}}
	}
}

// planPool2 makes the plan of a pooling kernel of two operands.
func planPool2[T kernel.Float](k func(kernel.PoolShape) func(dst, a, b []T) error, s kernel.PoolShape) func() Plan {
	return func() Plan {
		run := k(s)
		return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]))
		}}
	}
}

// planGlobal makes the plan of a kernel of global pooling of images of shape s.
func planGlobal[T kernel.Float](k func(n, pixels, c int) func(dst, src []T) error, s tensor.Shape) func() Plan {
	return func() Plan {
		run := k(s[0], s[1]*s[2], s[3])
		return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]))
		}}
	}
}
