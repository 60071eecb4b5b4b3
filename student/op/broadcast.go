package op

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// BroadcastTo returns x repeated along its axes of one element, as often as
// shape asks for: [N, 1, 1, C] to [N, H, W, C]. shape has the rank of x; all
// other axes are as x's. It returns x itself where nothing is repeated.
//
// The ONNX form tells the number of repetitions only, so that a batch that is
// not repeated may be of any size.
func BroadcastTo(x *gorgonia.Node, shape ...int) (*gorgonia.Node, error) {
	if err := checked("BroadcastTo", x); err != nil {
		return nil, err
	}
	s, out := x.Shape(), slices.Clone(tensor.Shape(shape))
	if err := wantRepeated("BroadcastTo", s, out); err != nil {
		return nil, err
	}
	if exactly(s, out) {
		return x, nil
	}
	axes, step, target := make([]kernel.ViewAxis, len(s)), strides(s), make([]int64, len(s))
	for i, n := range out {
		axes[i] = kernel.ViewAxis{Size: n, Step: step[i]}
		at := fileAxis(len(s), i)
		target[at] = 1 // leaves the operand's size, a dynamic batch too
		if n != s[i] {
			axes[i].Step = 0
			target[at] = int64(n)
		}
	}
	return apply1("BroadcastTo", fmt.Sprint("to=", out), out, x, planView(0, axes),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return SumTo(g, s...) },
		func(f form) string { return f.expand(f.in[0], target...) })
}

// SumTo returns the sums of x over the axes that have one element in shape:
// [N, H, W, C] to [N, 1, 1, C]. It is the adjoint of BroadcastTo: shape has the
// rank of x, and all other axes are as x's. It returns x itself where there is
// nothing to sum.
func SumTo(x *gorgonia.Node, shape ...int) (*gorgonia.Node, error) {
	if err := checked("SumTo", x); err != nil {
		return nil, err
	}
	s, out := x.Shape(), slices.Clone(tensor.Shape(shape))
	if err := wantRepeated("SumTo", out, s); err != nil {
		return nil, err
	}
	if exactly(s, out) {
		return x, nil
	}
	summed := make([]bool, len(s))
	var axes []int64
	for i := range s {
		if summed[i] = s[i] != out[i]; summed[i] {
			axes = append(axes, fileAxis(len(s), i))
		}
	}
	slices.Sort(axes)
	value := typed(
		func() Plan { return planScratch(kernel.SumAxes[float32](s, summed)) },
		func() Plan { return planScratch(kernel.SumAxes[float64](s, summed)) })
	return apply1("SumTo", fmt.Sprint("to=", out), out, x, value,
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return BroadcastTo(g, s...) },
		func(f form) string { return f.reduce("ReduceSum", f.in[0], true, axes...) })
}

// wantRepeated refuses shapes of which long is not short with axes of one
// element repeated.
func wantRepeated(name string, short, long tensor.Shape) error {
	ok := len(short) == len(long)
	for i := 0; ok && i < len(short); i++ {
		ok = long[i] > 0 && (short[i] == long[i] || short[i] == 1)
	}
	if !ok {
		from, to := short, long
		if name == "SumTo" {
			from, to = long, short
		}
		return fmt.Errorf("op: %s from %v to %v: both must have one rank, and axes that differ have size 1 in the smaller one", name, from, to)
	}
	return nil
}
