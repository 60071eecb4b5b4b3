package op_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// refusal is an operator over operands that it cannot be applied to.
type refusal struct {
	name   string
	shapes []tensor.Shape
	build  func(in gorgonia.Nodes) (*gorgonia.Node, error)
	want   string // the error
}

func (r refusal) check(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		g := gorgonia.NewGraph()
		var in gorgonia.Nodes
		for i, s := range r.shapes {
			in = append(in, gorgonia.NewTensor(g, tensor.Float32, s.Dims(), gorgonia.WithName(fmt.Sprint("in", i)), gorgonia.WithShape(s...)))
		}
		n, err := r.build(in)
		if err == nil {
			t.Fatalf("got %v, want an error", n)
		}
		if err.Error() != r.want {
			t.Errorf("got  %s\nwant %s", err, r.want)
		}
	})
}

// TestNetworkOperatorsRefuse checks that a network operator that cannot be
// applied says which operator, which rule and what came.
func TestNetworkOperatorsRefuse(t *testing.T) {
	type build = func(in gorgonia.Nodes) (*gorgonia.Node, error)
	conv := func(cfg op.ConvConfig) build {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Conv2D(in[0], in[1], cfg) }
	}
	maxPool := func(cfg op.PoolConfig) build {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.MaxPool(in[0], cfg) }
	}
	norm := func(eps float64) build {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.BatchNorm(in[0], in[1], in[2], in[3], eps) }
	}
	matMul := func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.MatMul(in[0], in[1]) }
	convTranspose := func(cfg op.ConvTransposeConfig) build {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.ConvTranspose(in[0], in[1], cfg) }
	}
	images, weights := tensor.Shape{2, 5, 5, 4}, tensor.Shape{6, 3, 3, 4}
	for _, c := range []refusal{
		{"a convolution of a matrix", []tensor.Shape{{5, 5}, weights}, conv(op.ConvConfig{}),
			"op: Conv2D wants images [N,H,W,C] and weights [K,R,S,C/groups], got (5, 5) and (6, 3, 3, 4)"},
		{"a convolution with weights of other channels", []tensor.Shape{images, {6, 3, 3, 3}}, conv(op.ConvConfig{}),
			"op: Conv2D wants weights [K,R,S,4] for images (2, 5, 5, 4) in 1 groups, got (6, 3, 3, 3)"},
		{"a convolution in groups that do not divide", []tensor.Shape{images, weights}, conv(op.ConvConfig{Groups: 3}),
			"op: Conv2D wants groups that divide the 4 input and 6 output channels, got 3"},
		{"a convolution with a negative stride", []tensor.Shape{images, weights}, conv(op.ConvConfig{Stride: [2]int{-1, 1}}),
			"op: Conv2D wants positive strides and dilations, got stride=[-1 1] dilation=[1 0] pad=[0 0 0 0] groups=0"},
		{"a convolution with negative padding", []tensor.Shape{images, weights}, conv(op.ConvConfig{Pad: [4]int{0, -1}}),
			"op: Conv2D wants padding of zero or more, got [0 -1 0 0]"},
		{"a convolution larger than its image", []tensor.Shape{images, weights}, conv(op.ConvConfig{Dilation: [2]int{3, 1}}),
			"op: Conv2D wants a padded image of at least the kernel's reach [7 3], got [5 5]"},
		{"a dense layer of another width", []tensor.Shape{{3, 4}, {5, 6}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Dense(in[0], in[1]) },
			"op: Dense wants an input [N,in] and weights [out,in], got (3, 4) and (5, 6)"},
		{"a bias of another length", []tensor.Shape{images, {3}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.AddBias(in[0], in[1]) },
			"op: AddBias wants an input [...,C] and vectors [C], got (2, 5, 5, 4) and (3)"},
		{"statistics of a vector", []tensor.Shape{{4}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.BatchStats(in[0]) },
			"op: BatchStats wants an input [...,C] of rank 2 or more, got (4)"},
		{"batch normalisation by statistics of other channels", []tensor.Shape{images, {2, 3}, {4}, {4}}, norm(1e-5),
			"op: BatchNorm wants statistics [2,4] for an input (2, 5, 5, 4), got (2, 3)"},
		{"batch normalisation with a scale of other channels", []tensor.Shape{images, {2, 4}, {3}, {4}}, norm(1e-5),
			"op: BatchNorm wants an input [...,C] and vectors [C], got (2, 5, 5, 4) and (3)"},
		{"batch normalisation without eps", []tensor.Shape{images, {2, 4}, {4}, {4}}, norm(0),
			"op: BatchNorm wants an eps above zero, got 0"},
		{"running statistics of one value", []tensor.Shape{{2, 4}, {2, 4}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.RunningStats(in[0], in[1], 0.1, 1) },
			"op: RunningStats wants more than one value per channel to estimate a variance from, got 1; use a larger batch or image"},
		{"running statistics with a momentum above one", []tensor.Shape{{2, 4}, {2, 4}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.RunningStats(in[0], in[1], 1.5, 9) },
			"op: RunningStats wants a momentum from 0 to 1, got 1.5"},
		{"pooling of rows", []tensor.Shape{{5, 4}}, maxPool(op.PoolConfig{Kernel: [2]int{2, 2}}),
			"op: MaxPool wants images [N,H,W,C], got (5, 4)"},
		{"pooling without a window", []tensor.Shape{images}, maxPool(op.PoolConfig{}),
			"op: MaxPool wants a window and strides of at least 1, got window [0 0] and strides [0 0]"},
		{"pooling with padding as large as the window", []tensor.Shape{images}, maxPool(op.PoolConfig{Kernel: [2]int{2, 2}, Pad: [4]int{0, 0, 2, 0}}),
			"op: MaxPool wants padding from 0 to below the window [2 2], so that no window is empty, got [0 0 2 0]"},
		{"pooling larger than its image", []tensor.Shape{images}, maxPool(op.PoolConfig{Kernel: [2]int{2, 6}}),
			"op: MaxPool wants a padded image of at least the window [2 6], got images (2, 5, 5, 4) with padding [0 0 0 0]"},
		{"global pooling of rows", []tensor.Shape{{5, 4}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.GlobalAveragePool(in[0]) },
			"op: GlobalAveragePool wants images [N,H,W,C], got (5, 4)"},
		{"global pooling of rows to the largest", []tensor.Shape{{5, 4}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.GlobalMaxPool(in[0]) },
			"op: GlobalMaxPool wants images [N,H,W,C], got (5, 4)"},
		{"a product of matrices that do not fit", []tensor.Shape{{2, 3, 4}, {2, 5, 3}}, matMul,
			"op: MatMul wants factors [...,M,K] and [...,K,N] with the same leading axes, got (2, 3, 4) and (2, 5, 3)"},
		{"a product of batches that differ", []tensor.Shape{{2, 3, 4}, {1, 4, 5}}, matMul,
			"op: MatMul wants factors [...,M,K] and [...,K,N] with the same leading axes, got (2, 3, 4) and (1, 4, 5)"},
		{"a product of a vector", []tensor.Shape{{4}, {4}}, matMul,
			"op: MatMul wants factors [...,M,K] and [...,K,N] with the same leading axes, got (4) and (4)"},
		{"a sum along an axis that is not there", []tensor.Shape{{2, 3}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.ReduceSum(in[0], 0, 2) },
			"op: ReduceSum of shape (2, 3) wants each axis once, from 0 to 1, got [0 2]"},
		{"a maximum along an axis twice", []tensor.Shape{{2, 3}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.ReduceMax(in[0], 1, 1) },
			"op: ReduceMax of shape (2, 3) wants each axis once, from 0 to 1, got [1 1]"},
		{"a mean of a scalar", []tensor.Shape{{}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.ReduceMean(in[0]) },
			"op: ReduceMean wants at least rank 1 and one element, got shape ()"},
		{"a transposed convolution of a matrix", []tensor.Shape{{5, 5}, weights}, convTranspose(op.ConvTransposeConfig{}),
			"op: ConvTranspose wants images [N,H,W,C] and weights [C,R,S,K/groups], got (5, 5) and (6, 3, 3, 4)"},
		{"a transposed convolution with weights of other channels", []tensor.Shape{images, weights}, convTranspose(op.ConvTransposeConfig{}),
			"op: ConvTranspose wants weights [4,R,S,K/groups] for images (2, 5, 5, 4), got (6, 3, 3, 4)"},
		{"a transposed convolution in groups that do not divide", []tensor.Shape{images, {4, 3, 3, 2}}, convTranspose(op.ConvTransposeConfig{Groups: 3}),
			"op: ConvTranspose wants groups that divide the 4 input channels, got 3"},
		{"a transposed convolution with a negative stride", []tensor.Shape{images, {4, 3, 3, 2}}, convTranspose(op.ConvTransposeConfig{Stride: [2]int{1, -1}}),
			"op: ConvTranspose wants positive strides and dilations, got strides [1 -1] and dilations [1 1]"},
		{"a transposed convolution with negative padding", []tensor.Shape{images, {4, 3, 3, 2}}, convTranspose(op.ConvTransposeConfig{OutputPadding: [2]int{-1, 0}}),
			"op: ConvTranspose wants padding of zero or more, got [0 0 0 0] and output padding [-1 0]"},
		{"a transposed convolution with too much output padding", []tensor.Shape{images, {4, 3, 3, 2}},
			convTranspose(op.ConvTransposeConfig{Stride: [2]int{2, 2}, Pad: [4]int{0, 0, 1, 0}, OutputPadding: [2]int{2, 2}}),
			"op: ConvTranspose wants an output padding below the strides [2 2] once the padding at the end is taken off it, got [1 2] left"},
		{"a transposed convolution that is all cut off", []tensor.Shape{{1, 1, 1, 4}, {4, 3, 3, 2}}, convTranspose(op.ConvTransposeConfig{Pad: [4]int{1, 0, 2, 0}}),
			"op: ConvTranspose of images (1, 1, 1, 4) and weights (4, 3, 3, 2) with padding [1 0 2 0] has no pixels"},
	} {
		c.check(t)
	}
}

// TestOperatorsOfTrainingHaveNoForm checks the error a caller can tell from
// others.
func TestOperatorsOfTrainingHaveNoForm(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithName("x"), gorgonia.WithShape(1, 2, 2, 3))
	w := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithName("w"), gorgonia.WithShape(3, 1, 1, 3))
	y, err := op.Conv2D(x, w, op.ConvConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cost, err := op.Sum(y)
	if err != nil {
		t.Fatal(err)
	}
	d, err := op.Gradient(cost, w)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := op.BatchStats(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*gorgonia.Node{d[0], stats} {
		o := n.Op().(op.Operator)
		_, err := o.ONNX(onnx.NewBuilder("g", 17), []string{"a", "b"})
		if none := new(op.NoFormError); !errors.As(err, &none) || !strings.Contains(err.Error(), "belongs to training") {
			t.Errorf("%v: got error %v, want a NoFormError that says it belongs to training", o, err)
		}
	}
}
