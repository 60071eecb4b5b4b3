package bench

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// stepOverKernels compares a step of WRN-16-1 with the sum of the times that
// oneDNN's own kernels take for its convolutions, its normalisations and the
// derivatives of both, each by itself on all cores. What else is in a step has
// no counterpart in the sum.
func stepOverKernels(*testing.B) (figures, error) {
	if _, linked := kernel.OneDNN(); !linked {
		return figures{}, absent("oneDNN is not linked; build with -tags onednn")
	}
	a, err := zoo.WRN(16, 1)
	if err != nil {
		return figures{}, err
	}
	convs, norms, err := stepKernels(a)
	if err != nil {
		return figures{}, err
	}
	step, done, err := stepOf(a, true)
	if err != nil {
		return figures{}, err
	}
	defer done()
	t := timesOf(3, 12)
	return t.inTurn(
		func() ([]float64, error) { return t.each(step) },
		func() ([]float64, error) {
			ms, err := sumOfKernels(convs, norms, t.steps)
			return []float64{ms}, err
		},
	)
}

// sumOfKernels is the milliseconds of oneDNN's kernels, of each the shortest of
// some runs.
func sumOfKernels(convs []convolution, norms []tensor.Shape, runs int) (float64, error) {
	// OpenMP makes threads for each thread that calls it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var sum time.Duration
	for _, c := range convs {
		d, err := kernel.ReferenceConv(c.shape, c.member, runs)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	for _, n := range norms {
		for _, back := range []bool{false, true} {
			d, err := kernel.ReferenceBatchNorm(n[0], n[1], n[2], n[3], true, back, runs)
			if err != nil {
				return 0, err
			}
			sum += d
		}
	}
	return float64(sum) / float64(time.Millisecond), nil
}

// members are the convolution family, by the names of their operators.
var members = map[string]kernel.ConvMember{
	"Conv2D": kernel.Forward, "Conv2DBackData": kernel.BackwardData, "Conv2DBackWeights": kernel.BackwardWeights,
}

// convolution is a node of a training step.
type convolution struct {
	member kernel.ConvMember
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
		if name == "BatchNorm" {
			norms = append(norms, n.Shape())
		}
		member, ok := members[name]
		if !ok {
			return nil
		}
		var image, weights tensor.Shape
		switch member {
		case kernel.Forward: // of x and w
			image, weights = in[0].Shape(), in[1].Shape()
		case kernel.BackwardData: // of dy and w
			image, weights = n.Shape(), in[1].Shape()
		case kernel.BackwardWeights: // of x and dy
			image, weights = in[0].Shape(), n.Shape()
		}
		s := kernel.ConvShape{N: image[0], H: image[1], W: image[2], C: image[3], K: weights[0], R: weights[1], S: weights[2]}
		_, err := fmt.Sscanf(config, "stride=[%d %d] dilation=[%d %d] pad=[%d %d %d %d] groups=%d}",
			&s.Stride[0], &s.Stride[1], &s.Dilation[0], &s.Dilation[1], &s.Pad[0], &s.Pad[1], &s.Pad[2], &s.Pad[3], &s.Groups)
		if err != nil {
			return fmt.Errorf("the operator %v: %w", n.Op(), err)
		}
		convs = append(convs, convolution{member, s})
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
	count, macs := map[kernel.ConvMember]int{}, map[kernel.ConvMember]int{}
	for _, c := range convs {
		count[c.member]++
		macs[c.member] += c.shape.MACs()
	}
	if count[kernel.Forward] != 15 || count[kernel.BackwardData] != 14 || count[kernel.BackwardWeights] != 15 || len(norms) != 13 {
		t.Errorf("convolutions %v and %d normalisations", count, len(norms))
	}
	// testdata/golden/zoo.json has the multiply-accumulates of an image, those of
	// the classifier included.
	if want := benchBatch * (26657408 - 64*benchClasses); macs[kernel.Forward] != want || macs[kernel.BackwardWeights] != want {
		t.Errorf("%v multiply-accumulates, want %d forward", macs, want)
	}
	if want := benchBatch * 32 * 32 * 16 * 27; macs[kernel.Forward]-macs[kernel.BackwardData] != want {
		t.Errorf("%v multiply-accumulates, want %d fewer of derivatives by images, the first convolution's", macs, want)
	}
}
