package student

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// reduction makes the translator of a reduction from f, which reduces axes of
// x, Gorgonia's, each to the size 1. x is of rank 1 or more, and axes are one or
// more.
//
// Axes are an attribute, or operand 1: from opset 13 on for ReduceSum, from 18
// on for the others. Where there are none all are reduced, unless
// noop_with_empty_axes says none.
func reduction(f func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node) translator {
	return func(im *importing, c *importer.Call) ([]value, error) {
		x := im.in(c, 0)
		if x == nil {
			return nil, im.b.err
		}
		shape := inFile(x.Shape())
		list, _, err := im.list(c, "axes", 1)
		if err != nil {
			return nil, err
		}
		axes, err := im.axes(c, list, len(shape))
		if err != nil {
			return nil, err
		}
		switch {
		case len(list) > 0:
		case c.Node.Int("noop_with_empty_axes", 0) != 0:
			return im.give(x, value{})
		default:
			for a := range shape {
				axes = append(axes, a)
			}
		}
		if len(shape) == 0 { // one number, which is reduced as a list of one
			return im.give(im.reshape(f(im, im.reshape(x, 1), []int{0})), value{})
		}
		over := make([]int, len(axes))
		for i, a := range axes {
			over[i] = nodeAxis(len(shape), a)
		}
		slices.Sort(over)
		y := f(im, x, over)
		if c.Node.Int("keepdims", 1) != 0 {
			return im.give(y, value{})
		}
		var to []int
		for a, d := range shape {
			if !slices.Contains(axes, a) {
				to = append(to, d)
			}
		}
		return im.give(im.reshape(y, to...), value{})
	}
}

// reduced is a reduction by one function of package op.
func reduced(f func(x *gorgonia.Node, axes ...int) (*gorgonia.Node, error)) func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
	return func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node { return im.op(f(x, axes...)) }
}

var (
	importReduceSum = reduction(reduced(op.ReduceSum))
	importReduceMax = reduction(reduced(op.ReduceMax))
	importReduceMin = reduction(reduced(op.ReduceMin))

	importReduceMean = reduction(func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
		if s := x.Shape(); len(s) == 4 && slices.Equal(axes, []int{1, 2}) {
			// A vector of channels for each image: a file without keepdims wants it,
			// and in others the Reshape costs nothing.
			return im.reshape(im.op(op.GlobalAveragePool(x)), s[0], s[3], 1, 1)
		}
		return im.op(op.ReduceMean(x, axes...))
	})

	// Euclid's norm.
	importReduceL2 = reduction(func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
		return im.op(op.RootOfSquares(im.op(op.ReduceSum(im.op(op.Square(x)), axes...))))
	})
	importReduceL1 = reduction(func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
		return im.op(op.ReduceSum(im.op(op.Abs(x)), axes...))
	})
	importReduceSumSquare = reduction(func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
		return im.op(op.ReduceSum(im.op(op.Square(x)), axes...))
	})
	importReduceLogSum = reduction(func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
		return im.op(op.Log(im.op(op.ReduceSum(x, axes...))))
	})

	// m + log Σ exp(x−m) with m the largest x, so that nothing overflows.
	importReduceLogSumExp = reduction(func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
		m := im.op(op.ReduceMax(x, axes...))
		if m == nil {
			return nil
		}
		e := im.op(op.Exp(im.op(op.Sub(x, im.op(op.BroadcastTo(m, x.Shape()...))))))
		return im.op(op.Add(m, im.op(op.Log(im.op(op.ReduceSum(e, axes...))))))
	})

	// The product of the slices along one axis after the other.
	importReduceProd = reduction(func(im *importing, x *gorgonia.Node, axes []int) *gorgonia.Node {
		for _, a := range axes {
			if x == nil {
				return nil
			}
			n := x.Shape()[a]
			if n > maxFactors {
				im.b.Fail(im.unsupported(im.call, fmt.Sprintf("a product of %d elements; at most %d along an axis are multiplied", n, maxFactors)))
				return nil
			}
			starts, sizes := make([]int, x.Dims()), slices.Clone(x.Shape())
			sizes[a] = 1
			y := im.op(op.Slice(x, starts, sizes, nil))
			for starts[a] = 1; starts[a] < n; starts[a]++ {
				y = im.op(op.Mul(y, im.op(op.Slice(x, starts, sizes, nil))))
			}
			x = y
		}
		return x
	})
)

// maxFactors bounds ReduceProd, which takes a node for each factor.
const maxFactors = 64
