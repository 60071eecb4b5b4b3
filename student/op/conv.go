package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

var _ Operator = (*conv2D)(nil)

// ConvConfig is how a convolution moves over its image.
type ConvConfig struct {
	Stride   [2]int // vertical, horizontal; zero means 1
	Dilation [2]int // distance between taps; zero means 1
	Pad      [4]int // zeros added at top, left, bottom, right
	Groups   int    // parts that C and K are cut into; zero means 1, C makes the convolution depthwise
}

// String prints the configuration as it stands in an operator's name.
func (c ConvConfig) String() string {
	return fmt.Sprintf("stride=%v dilation=%v pad=%v groups=%d", c.Stride, c.Dilation, c.Pad, c.Groups)
}

// Conv2D computes the cross-correlation
//
//	y[n,p,q,k] = Σ_rsc x[n, p·stride−pad+r·dilation, q·stride−pad+s·dilation, c] · w[k,r,s,c]
//
// of images x [N, H, W, C] with weights w [K, R, S, C/groups], where c runs over
// the channels of k's group. The result is [N, OH, OW, K] with
// OH = ⌊(H + top + bottom − dilation·(R−1) − 1)/stride⌋ + 1.
func Conv2D(x, w *gorgonia.Node, cfg ConvConfig) (*gorgonia.Node, error) {
	if err := checked("Conv2D", x, w); err != nil {
		return nil, err
	}
	s, err := convShape(x.Shape(), w.Shape(), &cfg)
	if err != nil {
		return nil, err
	}
	return newConv(convForward, s, x, w)
}

// convShape checks the operands of a convolution, fills in cfg's defaults and
// returns the geometry.
func convShape(x, w tensor.Shape, cfg *ConvConfig) (s kernel.ConvShape, err error) {
	if x.Dims() != 4 || w.Dims() != 4 {
		return s, fmt.Errorf("op: Conv2D wants images [N,H,W,C] and weights [K,R,S,C/groups], got %v and %v", x, w)
	}
	for i := range 2 {
		if cfg.Stride[i] == 0 {
			cfg.Stride[i] = 1
		}
		if cfg.Dilation[i] == 0 {
			cfg.Dilation[i] = 1
		}
		if cfg.Stride[i] < 1 || cfg.Dilation[i] < 1 {
			return s, fmt.Errorf("op: Conv2D wants positive strides and dilations, got %v", *cfg)
		}
	}
	if cfg.Groups == 0 {
		cfg.Groups = 1
	}
	if min(cfg.Pad[0], cfg.Pad[1], cfg.Pad[2], cfg.Pad[3]) < 0 {
		return s, fmt.Errorf("op: Conv2D wants padding of zero or more, got %v", cfg.Pad)
	}
	if cfg.Groups < 1 || x[3]%cfg.Groups != 0 || w[0]%cfg.Groups != 0 {
		return s, fmt.Errorf("op: Conv2D wants groups that divide the %d input and %d output channels, got %d", x[3], w[0], cfg.Groups)
	}
	if w[3]*cfg.Groups != x[3] {
		return s, fmt.Errorf("op: Conv2D wants weights [K,R,S,%d] for images %v in %d groups, got %v", x[3]/cfg.Groups, x, cfg.Groups, w)
	}
	s = kernel.ConvShape{
		N: x[0], H: x[1], W: x[2], C: x[3],
		K: w[0], R: w[1], S: w[2],
		Stride: cfg.Stride, Dilation: cfg.Dilation, Pad: cfg.Pad, Groups: cfg.Groups,
	}
	if min(s.N, s.H, s.W, s.C, s.K, s.R, s.S) < 1 {
		return s, fmt.Errorf("op: Conv2D wants at least one element, got images %v and weights %v", x, w)
	}
	reach := [2]int{s.Dilation[0]*(s.R-1) + 1, s.Dilation[1]*(s.S-1) + 1}
	if padded := [2]int{s.H + s.Pad[0] + s.Pad[2], s.W + s.Pad[1] + s.Pad[3]}; padded[0] < reach[0] || padded[1] < reach[1] {
		return s, fmt.Errorf("op: Conv2D wants a padded image of at least the kernel's reach %v, got %v", reach, padded)
	}
	return s, nil
}

// convKind is one member of the convolution family. With x, w and g of the
// shapes of image, weights and result,
//
//	T(x, w, g) = Σ g·conv(x, w)
//
// is linear in each of the three. A member takes two of them and returns the
// derivative of T by the third, so the derivatives of each member are the other
// two members, to any order.
type convKind int

const (
	convForward convKind = iota // x, w → y
	convData                    // g, w → dx
	convWeights                 // x, g → dw
)

// slope returns the derivatives of a member by its two operands.
func (k convKind) slope(in gorgonia.Nodes, grad *gorgonia.Node, member func(kind convKind, a, b *gorgonia.Node) (*gorgonia.Node, error)) (gorgonia.Nodes, error) {
	var s steps
	switch k {
	case convForward: // x, w; grad is a g
		return gorgonia.Nodes{s.take(member(convData, grad, in[1])), s.take(member(convWeights, in[0], grad))}, s.err
	case convData: // g, w; grad is an x
		return gorgonia.Nodes{s.take(member(convForward, grad, in[1])), s.take(member(convWeights, grad, in[0]))}, s.err
	default: // x, g; grad is a w
		return gorgonia.Nodes{s.take(member(convData, in[1], grad)), s.take(member(convForward, in[0], grad))}, s.err
	}
}

// steps collects the errors of a derivative made of several nodes.
type steps struct{ err error }

// take returns n and keeps the first error.
func (s *steps) take(n *gorgonia.Node, err error) *gorgonia.Node {
	if s.err == nil {
		s.err = err
	}
	return n
}

// conv2D is one member of the convolution family.
type conv2D struct {
	core
	kind  convKind
	shape kernel.ConvShape
}

// trainingOnly is the error of operators that belong to training: statistics of
// batches, and derivatives of convolutions by their weights.
func trainingOnly(o Operator) error {
	return &NoFormError{Op: o.String(), Reason: "it belongs to training; only inference and its derivatives by the image are written"}
}

// training is a formula that belongs to training and is not written to files.
type training struct{ formula }

// ONNX implements Operator.
func (o *training) ONNX(*onnx.Builder, []string) (string, error) { return "", trainingOnly(o) }

// ofOne is the slope of a formula of one operand.
func ofOne(f func(x, y, g *gorgonia.Node) (*gorgonia.Node, error)) func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		d, err := f(in[0], out, grad)
		return gorgonia.Nodes{d}, err
	}
}

// noSlope is the slope of a formula whose operands are all fixed.
func noSlope(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return make(gorgonia.Nodes, len(in)), nil
}

// typed chooses between the plans of the two element types.
func typed(f32, f64 func() Plan) func(tensor.Dtype) (Plan, error) {
	return func(dt tensor.Dtype) (Plan, error) {
		switch dt {
		case tensor.Float32:
			return f32(), nil
		case tensor.Float64:
			return f64(), nil
		}
		return Plan{}, fmt.Errorf("op: element type %v; operators compute in float32 or float64", dt)
	}
}

func newConv(kind convKind, s kernel.ConvShape, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	name := "Conv2D"
	switch kind {
	case convData:
		name = "Conv2DBackData"
	case convWeights:
		name = "Conv2DBackWeights"
	}
	return newConvNamed(name, kind, s, a, b)
}

// newConvNamed makes a member of the family that is called by another name
// where it stands for itself.
func newConvNamed(name string, kind convKind, s kernel.ConvShape, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	oh, ow := s.Out()
	out := tensor.Shape{s.N, oh, ow, s.K}
	switch kind {
	case convData:
		out = tensor.Shape{s.N, s.H, s.W, s.C}
	case convWeights:
		out = tensor.Shape{s.K, s.R, s.S, s.C / s.Groups}
	}
	cfg := ConvConfig{Stride: s.Stride, Dilation: s.Dilation, Pad: s.Pad, Groups: s.Groups}
	return apply(&conv2D{newCore(name, cfg.String(), out, a, b), kind, s}, a, b)
}

// Do implements gorgonia.Op.
func (o *conv2D) Do(in ...gorgonia.Value) (gorgonia.Value, error) { return do(o, o.out, in) }

// SymDiff implements gorgonia.SDOp.
func (o *conv2D) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.kind.slope(in, grad, func(kind convKind, a, b *gorgonia.Node) (*gorgonia.Node, error) {
		return newConv(kind, o.shape, a, b)
	})
}

// Plan implements Operator.
func (o *conv2D) Plan(dt tensor.Dtype) (Plan, error) {
	return typed(planConv[float32](o.kind, o.shape), planConv[float64](o.kind, o.shape))(dt)
}

func planConv[T kernel.Float](kind convKind, s kernel.ConvShape) func() Plan {
	return func() Plan {
		var p kernel.ConvPlan[T]
		switch kind {
		case convForward:
			p = kernel.ConvForward[T](s)
		case convData:
			p = kernel.ConvBackwardData[T](s)
		case convWeights:
			p = kernel.ConvBackwardWeights[T](s)
		}
		return Plan{Scratch: p.Scratch, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			return p.Run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]), kernel.Of[T](scratch))
		}}
	}
}

// ONNX implements Operator. The derivative by the weights has no form.
func (o *conv2D) ONNX(b *onnx.Builder, in []string) (string, error) {
	switch o.kind {
	case convForward:
		return b.Node("Conv", in, convAttrs(o.shape)...), nil
	case convData:
		return convTranspose(b, in, o.shape), nil
	}
	return "", trainingOnly(o)
}

// convAttrs returns the attributes of Conv, and of ConvTranspose for its
// adjoint.
func convAttrs(s kernel.ConvShape) []*onnx.Attr {
	return []*onnx.Attr{
		onnx.AttrInts("kernel_shape", int64(s.R), int64(s.S)),
		onnx.AttrInts("strides", int64(s.Stride[0]), int64(s.Stride[1])),
		onnx.AttrInts("dilations", int64(s.Dilation[0]), int64(s.Dilation[1])),
		onnx.AttrInts("pads", int64(s.Pad[0]), int64(s.Pad[1]), int64(s.Pad[2]), int64(s.Pad[3])),
		onnx.AttrInt("group", int64(s.Groups)),
	}
}
