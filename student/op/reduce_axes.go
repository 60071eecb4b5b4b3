package op

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// reducedAxes is a checked choice of the axes of a shape.
type reducedAxes struct {
	in, out tensor.Shape // out has 1 in place of the reduced sizes
	over    []bool       // for each axis, whether it is reduced
	axes    []int        // the reduced ones, ascending
}

// axesOf checks the axes of a reduction of x; none at all are all of them.
func axesOf(name string, x *gorgonia.Node, axes []int) (r reducedAxes, err error) {
	if err := checked(name, x); err != nil {
		return r, err
	}
	r.in = x.Shape().Clone()
	if r.in.IsScalar() || r.in.TotalSize() == 0 {
		return r, fmt.Errorf("op: %s wants at least rank 1 and one element, got shape %v", name, r.in)
	}
	r.out, r.over = r.in.Clone(), make([]bool, len(r.in))
	if len(axes) == 0 {
		for i := range r.in {
			axes = append(axes, i)
		}
	}
	for _, a := range axes {
		if a < 0 || a >= len(r.in) || r.over[a] {
			return r, fmt.Errorf("op: %s of shape %v wants each axis once, from 0 to %d, got %v", name, r.in, len(r.in)-1, axes)
		}
		r.over[a], r.out[a] = true, 1
	}
	r.axes = slices.Sorted(slices.Values(axes))
	return r, nil
}

// terms returns how many elements each element of the result is made of.
func (r reducedAxes) terms() int { return r.in.TotalSize() / r.out.TotalSize() }

func (r reducedAxes) attrs() string { return fmt.Sprint("axes=", r.axes) }

// inFile returns the reduced axes as they stand in a file.
func (r reducedAxes) inFile() []int64 {
	var axes []int64
	for _, a := range r.axes {
		axes = append(axes, fileAxis(len(r.in), a))
	}
	slices.Sort(axes)
	return axes
}

// ReduceSum returns the sums of x along the axes, each of which keeps the size
// 1. No axes at all are all of them. Where all have the size 1 already it returns
// x itself.
func ReduceSum(x *gorgonia.Node, axes ...int) (*gorgonia.Node, error) {
	r, err := axesOf("ReduceSum", x, axes)
	if err != nil {
		return nil, err
	}
	return SumTo(x, r.out...)
}

// ReduceMean returns the means of x along the axes, by the rules of ReduceSum.
func ReduceMean(x *gorgonia.Node, axes ...int) (*gorgonia.Node, error) {
	r, err := axesOf("ReduceMean", x, axes)
	if err != nil {
		return nil, err
	}
	if r.terms() == 1 {
		return x, nil
	}
	factor := 1 / float64(r.terms())
	return apply1("ReduceMean", r.attrs(), r.out, x, typed(planMean[float32](r, factor), planMean[float64](r, factor)),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			return s.end(BroadcastTo(s.take(Scale(g, factor)), r.in...))
		},
		func(f form) string { return f.reduce("ReduceMean", f.in[0], true, r.inFile()...) })
}

func planMean[T kernel.Float](r reducedAxes, factor float64) func() Plan {
	return func() Plan {
		scale := kernel.Scale[T](factor)
		scratch, sum := kernel.SumAxes[T](r.in, r.over)
		return planScratch(scratch, func(dst, x, scratch []T) error {
			err := sum(dst, x, scratch)
			scale(dst, dst)
			return err
		})
	}
}

// ReduceMax returns the largest elements of x along the axes, each of which
// keeps the size 1; no axes at all are all of them. A NaN among the elements is
// the result. Where several are equal the derivative goes to the first in the
// order of the axes, the last of which runs fastest. Where all axes have the
// size 1 already it returns x itself.
func ReduceMax(x *gorgonia.Node, axes ...int) (*gorgonia.Node, error) {
	return reduceMax("ReduceMax", x, axes, false)
}

// ReduceMin returns the smallest elements of x, by the rules of ReduceMax.
func ReduceMin(x *gorgonia.Node, axes ...int) (*gorgonia.Node, error) {
	return reduceMax("ReduceMin", x, axes, true)
}

func reduceMax(name string, x *gorgonia.Node, axes []int, least bool) (*gorgonia.Node, error) {
	r, err := axesOf(name, x, axes)
	if err != nil {
		return nil, err
	}
	if r.terms() == 1 {
		return x, nil
	}
	return apply1(name, r.attrs(), r.out, x, r.planMax(least),
		func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) { return reduceMaxScatter(r, least, x, g) },
		func(f form) string { return f.reduce(name, f.in[0], true, r.inFile()...) })
}

func (r reducedAxes) planMax(least bool) func(tensor.Dtype) (Plan, error) {
	return plan1(false,
		func() unary[float32] { return kernel.ReduceMax[float32](r.in, r.over, least) },
		func() unary[float64] { return kernel.ReduceMax[float64](r.in, r.over, least) })
}

// reduceMaxScatter returns a value of x's shape with each element of g where x
// has its largest element along the axes, or its smallest. It and
// reduceMaxGather are each other's adjoint, and constant in x wherever they
// are differentiable.
func reduceMaxScatter(r reducedAxes, least bool, x, g *gorgonia.Node) (*gorgonia.Node, error) {
	return apply2("ReduceMaxScatter", fmt.Sprintf("%s least=%v", r.attrs(), least), r.in, x, g, plan2(false,
		func() binary[float32] { return kernel.ReduceMaxScatter[float32](r.in, r.over, least) },
		func() binary[float64] { return kernel.ReduceMaxScatter[float64](r.in, r.over, least) }),
		[]bool{true, false},
		func(x, _, _, grad *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			dg, err := reduceMaxGather(r, least, x, grad)
			return nil, dg, err
		},
		func(f form) string {
			x, axis := f.gathered(r, f.in[0])
			at, here := f.firstExtreme(x, axis, least), f.positions(r, axis)
			mask := f.backFrom(r, f.node("Cast", []string{f.node("Equal", []string{here, at})}, onnx.AttrInt("to", int64(onnx.Float32))))
			// The element of g is chosen, not multiplied: one that is not finite
			// stays where it is.
			zero := f.float(0)
			return f.where(f.node("Greater", []string{mask, zero}), f.in[1], zero)
		})
}

// reduceMaxGather returns the elements of v that stand where x has its largest
// elements along the axes, or its smallest.
func reduceMaxGather(r reducedAxes, least bool, x, v *gorgonia.Node) (*gorgonia.Node, error) {
	return apply2("ReduceMaxGather", fmt.Sprintf("%s least=%v", r.attrs(), least), r.out, x, v, plan2(false,
		func() binary[float32] { return kernel.ReduceMaxGather[float32](r.in, r.over, least) },
		func() binary[float64] { return kernel.ReduceMaxGather[float64](r.in, r.over, least) }),
		[]bool{true, false},
		func(x, _, _, grad *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			dv, err := reduceMaxScatter(r, least, x, grad)
			return nil, dv, err
		},
		func(f form) string {
			x, axis := f.gathered(r, f.in[0])
			v, _ := f.gathered(r, f.in[1])
			y := f.node("GatherElements", []string{v, f.firstExtreme(x, axis, least)}, onnx.AttrInt("axis", axis))
			if len(r.axes) == 1 {
				return y
			}
			return f.node("Reshape", []string{y, f.ints("shape", r.target(fileShape(r.out))...)})
		})
}

// gathered returns x with its reduced axes as one axis, and which that is: the
// axis itself where there is only one, else the last one, over the elements in
// Gorgonia's order.
func (f form) gathered(r reducedAxes, x string) (string, int64) {
	if len(r.axes) == 1 {
		return x, fileAxis(len(r.in), r.axes[0])
	}
	perm, kept := r.keptFirst()
	shape := append(kept, int64(r.terms()))
	x = f.node("Transpose", []string{x}, onnx.AttrInts("perm", perm...))
	return f.node("Reshape", []string{x, f.ints("shape", r.target(shape)...)}), int64(len(shape) - 1)
}

// keptFirst returns the file's axes in Gorgonia's order, first the kept ones and
// then the reduced, and the sizes of the kept ones.
func (r reducedAxes) keptFirst() (perm, kept []int64) {
	var last []int64
	for i, over := range r.over {
		if at := fileAxis(len(r.in), i); over {
			last = append(last, at)
		} else {
			perm, kept = append(perm, at), append(kept, int64(r.in[i]))
		}
	}
	return append(perm, last...), kept
}

// target returns the shape of a Reshape whose operand and result begin with the
// batch, as they do unless that is reduced: its size is copied.
func (r reducedAxes) target(shape []int64) []int64 {
	if !r.over[0] {
		shape[0] = 0
	}
	return shape
}

// firstExtreme appends the index along an axis, which is kept with size 1, of
// the first largest element, or the first smallest.
func (f form) firstExtreme(x string, axis int64, least bool) string {
	op := "ArgMax"
	if least {
		op = "ArgMin"
	}
	return f.node(op, []string{x}, onnx.AttrInt("axis", axis), onnx.AttrInt("keepdims", 1))
}

// positions adds the numbers 0 to terms-1 along the axis of what gathered
// returned.
func (f form) positions(r reducedAxes, axis int64) string {
	rank := len(r.in)
	if len(r.axes) > 1 {
		rank = int(axis) + 1
	}
	dims, at := slices.Repeat([]int64{1}, rank), make([]int64, r.terms())
	dims[axis] = int64(len(at))
	for i := range at {
		at[i] = int64(i)
	}
	return f.b.Initializer("positions", onnx.Int64s("", dims, at))
}

// backFrom returns a value as gathered returned it in the shape of its operand.
func (f form) backFrom(r reducedAxes, x string) string {
	if len(r.axes) == 1 {
		return x
	}
	perm, shape := r.keptFirst()
	for _, a := range r.axes {
		shape = append(shape, int64(r.in[a]))
	}
	x = f.node("Reshape", []string{x, f.ints("shape", r.target(shape)...)})
	back := make([]int64, len(perm))
	for i, p := range perm {
		back[p] = int64(i)
	}
	return f.node("Transpose", []string{x}, onnx.AttrInts("perm", back...))
}
