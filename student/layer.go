package student

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// Batch normalisation's constants, those of PyTorch's BatchNorm2d.
const (
	// Epsilon is added to the variance.
	Epsilon = 1e-5

	// Momentum is the weight of the batch in new running statistics.
	Momentum = 0.1
)

// layer is what the builder made a node for. Cost and Export go by it.
type layer struct {
	kind layerKind

	// The parameters the node itself reads; nil where it reads none.
	weight, bias, scale, shift, running *Param

	epsilon float64 // of a normalisation
}

type layerKind int

const (
	other layerKind = iota
	convolution
	dense
	bias
	normalisation // in Infer mode
	flatten
	pointwise // one operand, each element by itself

	// Of imported networks, whose file keeps axes that the graph does without.
	rows          // a reshape to rows [N·T, D] for a dense layer
	unrows        // and back to [N, T, D]
	averagePooled // a reshape of a global average [N, C] to [N, 1, 1, C]
	maxPooled     // the same of a global maximum
)

// Conv says what a convolution does.
type Conv struct {
	// Out is the number of output channels, at least 1.
	Out int

	// Kernel is rows and columns of the kernel; zeros mean 1.
	Kernel [2]int

	// Stride and Dilation are along rows and columns; zeros mean 1.
	Stride, Dilation [2]int

	// Pad is the zeros added at the top, left, bottom and right.
	Pad [4]int

	// Groups divides input and output channels into groups that do not mix;
	// zero means 1. The number of input channels makes a depthwise convolution.
	Groups int

	// Bias adds a learned bias to each output channel. It has no use before
	// batch normalisation.
	Bias bool
}

// Conv convolves x [N, H, W, C] into [N, H', W', Out].
func (b *Builder) Conv(name string, x *gorgonia.Node, c Conv) *gorgonia.Node {
	if !b.check("convolution", name, x, 4) {
		return nil
	}
	for i, k := range c.Kernel {
		if k == 0 {
			c.Kernel[i] = 1
		}
	}
	groups, in := max(c.Groups, 1), x.Shape()[3]
	if c.Groups < 0 || in%groups != 0 || c.Out%groups != 0 {
		b.Fail(fmt.Errorf("convolution %s: %d groups do not divide %d input and %d output channels", name, c.Groups, in, c.Out))
		return nil
	}
	w := b.param(name, Weight, c.Out, c.Kernel[0], c.Kernel[1], in/groups)
	if w == nil {
		return nil
	}
	y, err := op.Conv2D(x, w, op.ConvConfig{Stride: c.Stride, Dilation: c.Dilation, Pad: c.Pad, Groups: groups})
	y = b.record(b.put(name, y, err), layer{kind: convolution, weight: b.nodes[w]})
	if !c.Bias {
		return y
	}
	return b.bias(name, y, c.Out)
}

// Dense maps x [N, in] to [N, out], with a bias.
func (b *Builder) Dense(name string, x *gorgonia.Node, out int) *gorgonia.Node {
	if !b.check("dense", name, x, 2) {
		return nil
	}
	w := b.param(name, Weight, out, x.Shape()[1])
	if w == nil {
		return nil
	}
	y, err := op.Dense(x, w)
	y = b.record(b.put(name, y, err), layer{kind: dense, weight: b.nodes[w]})
	return b.bias(name, y, out)
}

// bias adds a bias [C] over the last axis of y.
func (b *Builder) bias(name string, y *gorgonia.Node, channels int) *gorgonia.Node {
	v := b.param(name, Bias, channels)
	if v == nil {
		return nil
	}
	z, err := op.AddBias(y, v)
	return b.record(b.put(name, z, err), layer{kind: bias, bias: b.nodes[v]})
}

// BatchNorm normalises each channel of x, [N, H, W, C] or [N, C], to mean 0 and variance
// 1, then scales and shifts it: by the batch's own statistics in Train mode,
// where the running ones are updated beside, and by the running ones in Infer
// mode (Ioffe and Szegedy 2015).
func (b *Builder) BatchNorm(name string, x *gorgonia.Node) *gorgonia.Node {
	rank := 4
	if x != nil && x.Dims() == 2 {
		rank = 2
	}
	if !b.check("batch normalisation", name, x, rank) {
		return nil
	}
	channels := x.Shape()[rank-1]
	scale := b.param(name, Scale, channels)
	shift := b.param(name, Shift, channels)
	running := b.param(name, Running, 2, channels)
	if running == nil {
		return nil
	}
	return b.normalise(name, x, scale, shift, running, Epsilon, Momentum)
}

// normalise is BatchNorm over parameters that are there, with constants of its
// own.
func (b *Builder) normalise(name string, x, scale, shift, running *gorgonia.Node, epsilon, momentum float64) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	if b.mode == Infer {
		y, err := op.BatchNormInference(x, running, scale, shift, epsilon)
		y = b.put(name, y, err)
		if b.nodes[scale] == nil || b.nodes[shift] == nil || b.nodes[running] == nil {
			return y // a tensor of a file that lies in another shape elsewhere: no part of another layer
		}
		return b.record(y, layer{
			kind: normalisation, scale: b.nodes[scale], shift: b.nodes[shift], running: b.nodes[running], epsilon: epsilon,
		})
	}
	count := x.Shape().TotalSize() / x.Shape()[x.Dims()-1]
	if count < 2 {
		b.Fail(fmt.Errorf("batch normalisation %s sees one value per channel, input %v; training wants a larger batch", name, x.Shape()))
		return nil
	}
	stats, err := op.BatchStats(x)
	if stats = b.put(name+"/stats", stats, err); stats == nil {
		return nil
	}
	next, err := op.RunningStats(running, stats, momentum, count)
	if next = b.put(name+"/update", next, err); next == nil {
		return nil
	}
	b.updates = append(b.updates, Update{Param: b.nodes[running], Node: next})
	y, err := op.BatchNorm(x, stats, scale, shift, epsilon)
	return b.put(name, y, err)
}

// ReLU is max(x, 0), for each element.
func (b *Builder) ReLU(x *gorgonia.Node) *gorgonia.Node {
	return b.record(b.each("relu", x, op.ReLU), layer{kind: pointwise})
}

// Add is x + y, of one shape: a residual connection.
func (b *Builder) Add(x, y *gorgonia.Node) *gorgonia.Node {
	return b.each("add", x, func(x *gorgonia.Node) (*gorgonia.Node, error) {
		if y == nil {
			return nil, fmt.Errorf("no second input")
		}
		return op.Add(x, y)
	})
}

// MaxPool takes the largest value of each window of x [N, H, W, C].
func (b *Builder) MaxPool(x *gorgonia.Node, c op.PoolConfig) *gorgonia.Node {
	return b.each("maxpool", x, func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.MaxPool(x, c) })
}

// AveragePool takes the mean of each window of x [N, H, W, C].
func (b *Builder) AveragePool(x *gorgonia.Node, c op.PoolConfig) *gorgonia.Node {
	return b.each("avgpool", x, func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.AveragePool(x, c) })
}

// GlobalAveragePool takes the mean of each channel: [N, H, W, C] to [N, C].
func (b *Builder) GlobalAveragePool(x *gorgonia.Node) *gorgonia.Node {
	return b.each("pool", x, op.GlobalAveragePool)
}

// Flatten joins all axes of x but the first: [N, H, W, C] to [N, H·W·C].
func (b *Builder) Flatten(x *gorgonia.Node) *gorgonia.Node {
	return b.record(b.each("flatten", x, op.Flatten), layer{kind: flatten})
}

// each applies an operator without parameters.
func (b *Builder) each(word string, x *gorgonia.Node, f func(*gorgonia.Node) (*gorgonia.Node, error)) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	if x == nil {
		b.Fail(fmt.Errorf("%s got no input", word))
		return nil
	}
	y, err := f(x)
	return b.put(b.beside(x, word), y, err)
}
