package op

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// A normalisation by moments divides x into groups, those elements that differ
// only in their places along some axes, and makes each group one of mean 0 and
// variance 1:
//
//	x̂ = (x − mean)·r        r = 1/√(variance + eps)
//
// With groups of M elements and P u = u − Σu/M − x̂·Σ(u·x̂)/M, sums over the
// group, its derivatives are made of
//
//	d⟨g, x̂⟩/dx = r·P g        dr/dx = −r²·x̂/M
//
// as batch normalisation's are (batchnorm.go), which has one group per channel.
// What is one number per group is repeated over the group here: no operator
// changes the shape, and a sum over groups is its own adjoint.

// layerNormOpset is the opset from which LayerNormalization is an operator.
const layerNormOpset = 17

// LayerNorm normalises x over the axes from axis on, in Gorgonia's order, by
// its mean and biased variance there (Ba, Kiros and Hinton 2016, arXiv
// 1607.06450). A scale and a shift are the caller's. eps is zero or more; at
// zero a group of equal values gives NaN.
func LayerNorm(x *gorgonia.Node, axis int, eps float64) (*gorgonia.Node, error) {
	const name = "LayerNorm"
	if err := checked(name, x); err != nil {
		return nil, err
	}
	rank := x.Shape().Dims()
	if rank > 0 && (axis < 0 || axis >= rank) {
		return nil, fmt.Errorf("op: %s wants an axis of its input, from 0 to %d of %v, got %d", name, rank-1, x.Shape(), axis)
	}
	var axes []int
	for a := axis; a < rank; a++ {
		axes = append(axes, a)
	}
	return momentNorm(name, x, axes, eps)
}

// MomentNorm normalises x by the mean and the biased variance over the given
// axes, in Gorgonia's order:
//
//	y = (x − mean)/√(variance + eps)
//
// eps is as in LayerNorm.
func MomentNorm(x *gorgonia.Node, axes []int, eps float64) (*gorgonia.Node, error) {
	return momentNorm("MomentNorm", x, axes, eps)
}

func momentNorm(name string, x *gorgonia.Node, axes []int, eps float64) (*gorgonia.Node, error) {
	n, err := groupsOf(name, x, axes)
	if err != nil {
		return nil, err
	}
	if !(eps >= 0) || math.IsInf(eps, 1) {
		return nil, fmt.Errorf("op: %s wants an eps of zero or more, got %v", name, eps)
	}
	n.eps = eps
	return n.normalised(name, x)
}

// groups is how the elements of a tensor are divided for a softmax or a
// normalisation.
type groups struct {
	shape tensor.Shape
	axes  []int // ascending
	eps   float64
}

// groupsOf checks the axes of x along which its groups lie.
func groupsOf(name string, x *gorgonia.Node, axes []int) (groups, error) {
	if err := checked(name, x); err != nil {
		return groups{}, err
	}
	s := x.Shape().Clone()
	if s.IsScalar() {
		return groups{}, fmt.Errorf("op: %s wants an input with axes, got a scalar", name)
	}
	if err := positiveSizes(name, s); err != nil {
		return groups{}, err
	}
	axes = slices.Clone(axes)
	slices.Sort(axes)
	if len(axes) == 0 || axes[0] < 0 || axes[len(axes)-1] >= len(s) || len(slices.Compact(slices.Clone(axes))) != len(axes) {
		return groups{}, fmt.Errorf("op: %s wants different axes of its input, from 0 to %d of %v, got %v", name, len(s)-1, s, axes)
	}
	return groups{shape: s, axes: axes}, nil
}

// size returns the number of elements of a group.
func (n groups) size() int {
	m := 1
	for _, a := range n.axes {
		m *= n.shape[a]
	}
	return m
}

func (n groups) attrs() string { return fmt.Sprintf("axes=%v eps=%v", n.axes, n.eps) }

// of1 and of2 choose between the plans of the two element types of a function
// of the groups of one operand or of two.
func (n groups) of1(f32 func(dst, x []float32), f64 func(dst, x []float64)) func(tensor.Dtype) (Plan, error) {
	g := kernel.GroupsAlong(n.shape, n.axes)
	return typed(planGroups(g, f32), planGroups(g, f64))
}

func (n groups) of2(f32 func(dst, a, b []float32), f64 func(dst, a, b []float64)) func(tensor.Dtype) (Plan, error) {
	g := kernel.GroupsAlong(n.shape, n.axes)
	return typed(planGroups2(g, f32), planGroups2(g, f64))
}

func planGroups[T kernel.Float](g kernel.Groups, f func(dst, x []T)) func() Plan {
	return func() Plan {
		scratch, run := kernel.PerGroup(g, f)
		return Plan{Scratch: scratch, InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](scratch))
		}}
	}
}

func planGroups2[T kernel.Float](g kernel.Groups, f func(dst, a, b []T)) func() Plan {
	return func() Plan {
		scratch, run := kernel.PerGroup2(g, f)
		return Plan{Scratch: scratch, InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]), kernel.Of[T](scratch))
		}}
	}
}

// sum returns, for each element of x, the sum of its group.
func (n groups) sum(x *gorgonia.Node) (*gorgonia.Node, error) {
	return apply1("SumGroups", fmt.Sprintf("axes=%v", n.axes), n.shape, x, n.of1(kernel.SumGroup[float32], kernel.SumGroup[float64]),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return n.sum(g) },
		func(f form) string { return n.repeated(f, n.reduce(f, "ReduceSum", f.in[0])) })
}

// normalised returns x̂.
func (n groups) normalised(name string, x *gorgonia.Node) (*gorgonia.Node, error) {
	return apply1(name, n.attrs(), n.shape, x, n.of1(kernel.NormGroup[float32](n.eps), kernel.NormGroup[float64](n.eps)),
		func(x, _, g *gorgonia.Node) (*gorgonia.Node, error) { return n.back(g, x) },
		n.emitNormalised)
}

// back returns r·P g, the derivative of x̂ by x.
func (n groups) back(g, x *gorgonia.Node) (*gorgonia.Node, error) {
	return apply2("MomentNormBack", n.attrs(), n.shape, g, x,
		n.of2(kernel.NormBackGroup[float32](n.eps), kernel.NormBackGroup[float64](n.eps)), nil,
		// With G the gradient, u = r·P g and v = r·P G:
		//
		//	dg = v
		//	dx = −r/M·(x̂·ΣG·u + u·ΣG·x̂ + v·Σg·x̂)
		func(g, x, u, grad *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			var s steps
			v := s.take(n.back(grad, x))
			hat := s.take(n.normalised("MomentNorm", x))
			part := func(a, b, c *gorgonia.Node) *gorgonia.Node { // a·Σb·c
				return s.take(Mul(a, s.take(n.sum(s.take(Mul(b, c))))))
			}
			dx := s.take(Add(part(hat, grad, u), s.take(Add(part(u, grad, hat), part(v, g, hat)))))
			f := s.take(Scale(s.take(n.inverseDeviation(x)), -1/float64(n.size())))
			dx, err := s.end(Mul(dx, f))
			return v, dx, err
		},
		func(f form) string {
			g, hat, r := f.in[0], "", ""
			hat, r = n.emitHat(f, f.in[1])
			mean := n.reduce(f, "ReduceMean", g)
			along := n.reduce(f, "ReduceMean", f.node("Mul", []string{g, hat}))
			p := f.node("Sub", []string{f.node("Sub", []string{g, mean}), f.node("Mul", []string{hat, along})})
			return f.node("Div", []string{p, r})
		})
}

// inverseDeviation returns r, for each element.
func (n groups) inverseDeviation(x *gorgonia.Node) (*gorgonia.Node, error) {
	return apply1("InverseDeviation", n.attrs(), n.shape, x,
		n.of1(kernel.InverseDeviationGroup[float32](n.eps), kernel.InverseDeviationGroup[float64](n.eps)),
		func(x, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			h := s.take(Mul(s.take(Square(y)), s.take(n.sum(g))))
			return s.end(Scale(s.take(Mul(h, s.take(n.normalised("MomentNorm", x)))), -1/float64(n.size())))
		},
		func(f form) string {
			_, r := n.emitHat(f, f.in[0])
			return n.repeated(f, f.node("Reciprocal", []string{r}))
		})
}

// fileAxes returns the axes in the file, ascending.
func (n groups) fileAxes() []int64 {
	axes := make([]int64, len(n.axes))
	for i, a := range n.axes {
		axes[i] = fileAxis(len(n.shape), a)
	}
	slices.Sort(axes)
	return axes
}

// reduce appends a reduction over the axes, which are kept as ones.
func (n groups) reduce(f form, op, x string) string { return f.reduce(op, x, true, n.fileAxes()...) }

// repeated appends x, which has ones along the axes, repeated over them. Ones in
// the target leave the other axes, a dynamic batch too, as they are.
func (n groups) repeated(f form, x string) string {
	target := make([]int64, len(n.shape))
	for i := range target {
		target[i] = 1
	}
	for _, a := range n.axes {
		target[fileAxis(len(n.shape), a)] = int64(n.shape[a])
	}
	return f.expand(x, target...)
}

// emitNormalised appends x̂: as LayerNormalization or InstanceNormalization
// with a scale of ones where the axes are theirs, else step by step.
func (n groups) emitNormalised(f form) string {
	axes, rank := n.fileAxes(), int64(len(n.shape))
	eps := onnx.AttrFloat("epsilon", float32(n.eps))
	ones := func(dims ...int64) string {
		size := int64(1)
		for _, d := range dims {
			size *= d
		}
		v := make([]float32, size)
		for i := range v {
			v[i] = 1
		}
		return f.floats("ones", dims, v)
	}
	switch {
	case rank == 4 && slices.Equal(axes, []int64{2, 3}):
		c := int64(n.shape[3])
		return f.node("InstanceNormalization", []string{f.in[0], ones(c), f.floats("zeros", []int64{c}, make([]float32, c))}, eps)
	case f.b.Opset() >= layerNormOpset && axes[0] > 0 && axes[0] == rank-int64(len(axes)):
		return f.node("LayerNormalization", []string{f.in[0], ones(fileShape(n.shape)[axes[0]:]...)}, onnx.AttrInt("axis", axes[0]), eps)
	}
	hat, _ := n.emitHat(f, f.in[0])
	return hat
}

// emitHat appends x̂ and 1/r, the latter with ones along the axes, step by step.
func (n groups) emitHat(f form, x string) (hat, deviation string) {
	d := f.node("Sub", []string{x, n.reduce(f, "ReduceMean", x)})
	v := n.reduce(f, "ReduceMean", f.node("Mul", []string{d, d}))
	deviation = f.node("Sqrt", []string{f.node("Add", []string{v, f.float(n.eps)})})
	return f.node("Div", []string{d, deviation}), deviation
}
