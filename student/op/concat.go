package op

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Concat returns xs side by side along an axis, one of Gorgonia's: the last for
// the channels of feature maps. All other axes must agree. It returns the only
// operand where there is one.
func Concat(axis int, xs ...*gorgonia.Node) (*gorgonia.Node, error) {
	const name = "Concat"
	if len(xs) == 0 {
		return nil, fmt.Errorf("op: %s wants at least one operand, got none", name)
	}
	if err := checked(name, xs...); err != nil {
		return nil, err
	}
	first := xs[0].Shape()
	if err := wantAxis(name, axis, first); err != nil {
		return nil, err
	}
	out := first.Clone()
	widths := make([]int, len(xs)) // sizes along axis
	for i, x := range xs {
		s := x.Shape()
		if same := s.Clone(); len(s) == len(first) {
			widths[i], same[axis] = s[axis], first[axis]
			if exactly(same, first) {
				continue
			}
		}
		return nil, fmt.Errorf("op: %s along axis %d wants operands that agree in all other axes, got %v as operand 0 and %v as operand %d",
			name, axis, first, s, i)
	}
	if len(xs) == 1 {
		return xs[0], nil
	}
	out[axis] = 0
	for _, w := range widths {
		out[axis] += w
	}
	outer, inner := tensor.Shape(first[:axis]).TotalSize(), tensor.Shape(first[axis+1:]).TotalSize()
	runs := make([]int, len(xs))
	for i, w := range widths {
		runs[i] = w * inner
	}
	return apply(&formula{
		core:  newCore(name, fmt.Sprintf("axis=%d", axis), out, xs...),
		value: typed(planConcat[float32](outer, runs), planConcat[float64](outer, runs)),
		slope: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			d := make(gorgonia.Nodes, len(in))
			at := 0
			for i, w := range widths {
				d[i] = s.take(slicePart(grad, axis, at, w))
				at += w
			}
			return d, s.err
		},
		emit: func(f form) string { return f.over(name, onnx.AttrInt("axis", fileAxis(len(out), axis))) },
	}, xs...)
}

func planConcat[T kernel.Float](outer int, runs []int) func() Plan {
	return func() Plan {
		run := kernel.Concat[T](outer, runs)
		xs := make([][]T, len(runs))
		return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			for i, b := range src {
				xs[i] = kernel.Of[T](b)
			}
			err := run(kernel.Of[T](dst), xs)
			clear(xs)
			return err
		}}
	}
}

// slicePart returns n elements of x along an axis, from element at on.
func slicePart(x *gorgonia.Node, axis, at, n int) (*gorgonia.Node, error) {
	starts, sizes := make([]int, x.Dims()), slices.Clone(x.Shape())
	starts[axis], sizes[axis] = at, n
	return Slice(x, starts, sizes, nil)
}
