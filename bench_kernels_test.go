package onnxdistill_test

import (
	"fmt"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// The members of the convolution family, by the names of their operators.
const (
	convForward = "Conv2D"
	convData    = "Conv2DBackData"
	convWeights = "Conv2DBackWeights"
)

// convolution is a node of a training step.
type convolution struct {
	member string
	shape  kernel.ConvShape
}

// stepKernels lists what a training step of a network computes in kernels that
// a library has: its convolutions and their derivatives, and the images [N, H,
// W, C] that it normalises, which happens forward and backward.
func stepKernels(a student.Architecture) (convs []convolution, norms []tensor.Shape, err error) {
	model, err := student.New(a, student.Spec{Image: student.Shape{H: 32, W: 32, C: 3}, Classes: benchClasses}, 1)
	if err != nil {
		return nil, nil, err
	}
	g, err := model.Graph(benchBatch, student.Train)
	if err != nil {
		return nil, nil, err
	}
	cost, err := op.Mean(g.Logits) // any will do
	if err != nil {
		return nil, nil, err
	}
	gradients, err := gorgonia.Grad(cost, g.Params...)
	if err != nil {
		return nil, nil, err
	}
	seen := map[*gorgonia.Node]bool{}
	var visit func(n *gorgonia.Node) error
	visit = func(n *gorgonia.Node) error {
		if seen[n] {
			return nil
		}
		seen[n] = true
		in := op.Operands(n)
		for _, x := range in {
			if err := visit(x); err != nil {
				return err
			}
		}
		if n.Op() == nil {
			return nil
		}
		name, config, _ := strings.Cut(n.Op().String(), "{")
		var image, weights tensor.Shape
		switch name {
		case "BatchNorm":
			norms = append(norms, n.Shape())
			return nil
		case convForward:
			image, weights = in[0].Shape(), in[1].Shape()
		case convData:
			image, weights = n.Shape(), in[1].Shape()
		case convWeights:
			image, weights = in[0].Shape(), n.Shape()
		default:
			return nil
		}
		s := kernel.ConvShape{N: image[0], H: image[1], W: image[2], C: image[3], K: weights[0], R: weights[1], S: weights[2]}
		_, err := fmt.Sscanf(config, "stride=[%d %d] dilation=[%d %d] pad=[%d %d %d %d] groups=%d}",
			&s.Stride[0], &s.Stride[1], &s.Dilation[0], &s.Dilation[1], &s.Pad[0], &s.Pad[1], &s.Pad[2], &s.Pad[3], &s.Groups)
		if err != nil {
			return fmt.Errorf("the operator %v: %w", n.Op(), err)
		}
		convs = append(convs, convolution{name, s})
		return nil
	}
	for _, n := range append(gradients, g.Logits) {
		if err := visit(n); err != nil {
			return nil, nil, err
		}
	}
	return convs, norms, nil
}

// TestStepKernelsAreThoseOfTheNetwork counts a WRN-16-1: a convolution before
// the blocks, two in each of six and two shortcuts; no derivative by the image;
// and a normalisation before each of the twelve and at the end.
func TestStepKernelsAreThoseOfTheNetwork(t *testing.T) {
	a, err := zoo.WRN(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	convs, norms, err := stepKernels(a)
	if err != nil {
		t.Fatal(err)
	}
	count, macs := map[string]int{}, map[string]int{}
	for _, c := range convs {
		count[c.member]++
		macs[c.member] += c.shape.MACs()
	}
	if count[convForward] != 15 || count[convData] != 14 || count[convWeights] != 15 || len(norms) != 13 {
		t.Errorf("convolutions %v and %d normalisations", count, len(norms))
	}
	// testdata/golden/zoo.json has the multiply-accumulates of an image, those of
	// the classifier included.
	if want := benchBatch * (26657408 - 64*benchClasses); macs[convForward] != want || macs[convWeights] != want {
		t.Errorf("%v multiply-accumulates, want %d forward", macs, want)
	}
	if want := benchBatch * 32 * 32 * 16 * 27; macs[convForward]-macs[convData] != want {
		t.Errorf("%v multiply-accumulates, want %d fewer of derivatives by images, the first convolution's", macs, want)
	}
}
