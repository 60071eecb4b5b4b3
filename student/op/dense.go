package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

var _ Operator = (*dense)(nil)

// Dense computes y[n,o] = Σ_i x[n,i]·w[o,i] from x [N, in] and w [out, in]; the
// result is [N, out].
func Dense(x, w *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("Dense", x, w); err != nil {
		return nil, err
	}
	xs, ws := x.Shape(), w.Shape()
	if len(xs) != 2 || len(ws) != 2 || xs[1] != ws[1] {
		return nil, fmt.Errorf("op: Dense wants an input [N,in] and weights [out,in], got %v and %v", xs, ws)
	}
	return newDense(convForward, denseShape{xs[0], xs[1], ws[0]}, x, w)
}

type denseShape struct{ n, in, out int }

// conv returns the layer as a convolution of images of one pixel.
func (s denseShape) conv() kernel.ConvShape {
	return kernel.ConvShape{
		N: s.n, H: 1, W: 1, C: s.in, K: s.out, R: 1, S: 1,
		Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1,
	}
}

// dense is one member of the family of the dense layer, which is the
// convolution family over images of one pixel.
type dense struct {
	core
	kind  convKind
	shape denseShape
}

func newDense(kind convKind, s denseShape, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	name, out := "Dense", tensor.Shape{s.n, s.out}
	switch kind {
	case convData:
		name, out = "DenseBackData", tensor.Shape{s.n, s.in}
	case convWeights:
		name, out = "DenseBackWeights", tensor.Shape{s.out, s.in}
	}
	return apply(&dense{newCore(name, "", out, a, b), kind, s}, a, b)
}

// Do implements gorgonia.Op.
func (o *dense) Do(in ...gorgonia.Value) (gorgonia.Value, error) { return do(o, o.out, in) }

// SymDiff implements gorgonia.SDOp.
func (o *dense) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.kind.slope(in, grad, func(kind convKind, a, b *gorgonia.Node) (*gorgonia.Node, error) {
		return newDense(kind, o.shape, a, b)
	})
}

// Plan implements Operator.
func (o *dense) Plan(dt tensor.Dtype) (Plan, error) {
	s := o.shape.conv()
	return typed(planConv[float32](o.kind, s), planConv[float64](o.kind, s))(dt)
}

// ONNX implements Operator.
func (o *dense) ONNX(b *onnx.Builder, in []string) (string, error) {
	switch o.kind {
	case convForward:
		return b.Node("Gemm", in, onnx.AttrInt("transB", 1)), nil
	case convData:
		return b.Node("Gemm", in), nil
	}
	return b.Node("Gemm", []string{in[1], in[0]}, onnx.AttrInt("transA", 1)), nil
}

// AddBias computes y[..., c] = x[..., c] + b[c] from x of any rank and b [C].
func AddBias(x, b *gorgonia.Node) (*gorgonia.Node, error) {
	return perChannel("AddBias", "Add", planChannel(kernel.ChannelAdd[float32]), planChannel(kernel.ChannelAdd[float64]), x, b,
		func(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			db, err := SumChannels(grad)
			return gorgonia.Nodes{grad, db}, err
		})
}

// scaleChannels computes y[..., c] = x[..., c]·a[c], a step of second
// derivatives.
func scaleChannels(x, a *gorgonia.Node) (*gorgonia.Node, error) {
	return perChannel("ScaleChannels", "Mul", planChannel(kernel.ChannelScale[float32]), planChannel(kernel.ChannelScale[float64]), x, a,
		func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			dx := s.take(scaleChannels(grad, in[1]))
			da := s.take(SumChannels(s.take(Mul(grad, in[0]))))
			return gorgonia.Nodes{dx, da}, s.err
		})
}

// perChannel makes an operator of x [..., C] and a vector [C]. onnxOp is the ONNX
// operator that does the same by broadcasting.
func perChannel(name, onnxOp string, f32, f64 func(tensor.Shape) func() Plan, x, v *gorgonia.Node,
	slope func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error)) (*gorgonia.Node, error) {
	if err := checked(name, x, v); err != nil {
		return nil, err
	}
	if err := wantChannels(name, x.Shape(), v.Shape()); err != nil {
		return nil, err
	}
	shape := x.Shape().Clone()
	return apply(&formula{
		core:  newCore(name, "", shape, x, v),
		value: typed(f32(shape), f64(shape)),
		slope: slope,
		emit:  func(f form) string { return f.node(onnxOp, []string{f.in[0], f.channels(f.in[1], shape)}) },
	}, x, v)
}

// planChannel makes the plan of a kernel of x [rows, C] and a vector [C].
func planChannel[T kernel.Float](k func(rows, c int) func(y, x, v []T) error) func(tensor.Shape) func() Plan {
	return func(s tensor.Shape) func() Plan {
		return func() Plan {
			run := k(rowsOf(s))
			return Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
				return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]))
			}}
		}
	}
}

// wantChannels reports whether every v is [C] for the last axis of x.
func wantChannels(name string, x tensor.Shape, v ...tensor.Shape) error {
	if len(x) < 2 {
		return fmt.Errorf("op: %s wants an input [...,C] of rank 2 or more, got %v", name, x)
	}
	for _, s := range v {
		if len(s) != 1 || s[0] != x[len(x)-1] {
			return fmt.Errorf("op: %s wants an input [...,C] and vectors [C], got %v and %v", name, x, s)
		}
	}
	return nil
}

// rowsOf splits a shape into the product of its leading axes and its last one.
func rowsOf(s tensor.Shape) (rows, c int) {
	c = s[len(s)-1]
	return s.TotalSize() / max(c, 1), c
}

// channels makes a vector [C] broadcast over the channels of a value of shape
// s: they come second in an ONNX image and last elsewhere.
func (f form) channels(v string, s tensor.Shape) string {
	if len(s) != 4 {
		return v
	}
	return f.unsqueeze(v, 1, 2)
}
