package op

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Transpose returns x with its axes in another order: axis i of the result is
// axis perm[i] of x. It returns x itself where that is the order it has.
//
// The axes are Gorgonia's. In the file a value of rank 4 is NCHW on both sides,
// so that its permutation is another one than perm.
func Transpose(x *gorgonia.Node, perm ...int) (*gorgonia.Node, error) {
	if err := checked("Transpose", x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if !isPermutation(perm, len(s)) {
		return nil, fmt.Errorf("op: Transpose of shape %v wants each of its %d axes once, from 0 on, got %v", s, len(s), perm)
	}
	perm = slices.Clone(perm)
	if slices.IsSorted(perm) {
		return x, nil
	}
	out, back, axes := make(tensor.Shape, len(s)), make([]int, len(s)), make([]kernel.ViewAxis, len(s))
	step := strides(s)
	for i, a := range perm {
		out[i], back[a], axes[i] = s[a], i, kernel.ViewAxis{Size: s[a], Step: step[a]}
	}
	return apply1("Transpose", fmt.Sprint("perm=", perm), out, x, planView(0, axes),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return Transpose(g, back...) },
		func(f form) string {
			return f.node("Transpose", f.in, onnx.AttrInts("perm", filePermutation(perm)...))
		})
}

func isPermutation(perm []int, n int) bool {
	if len(perm) != n {
		return false
	}
	seen := make([]bool, n)
	for _, a := range perm {
		if a < 0 || a >= n || seen[a] {
			return false
		}
		seen[a] = true
	}
	return true
}

// filePermutation is a permutation of Gorgonia's axes as one of the file's.
func filePermutation(perm []int) []int64 {
	p := make([]int64, len(perm))
	for i, a := range perm {
		p[fileAxis(len(perm), i)] = fileAxis(len(perm), a)
	}
	return p
}

// fileAxis is where an axis of a value of the given rank stands in the file:
// of NHWC in NCHW where the rank is 4, else where it is.
func fileAxis(rank, axis int) int64 {
	if rank == 4 {
		return [4]int64{0, 2, 3, 1}[axis]
	}
	return int64(axis)
}

// strides returns how far apart in memory the neighbours along each axis of a
// tensor of shape s lie.
func strides(s tensor.Shape) []int {
	step, n := make([]int, len(s)), 1
	for i := len(s) - 1; i >= 0; i-- {
		step[i] = n
		n *= s[i]
	}
	return step
}

// planView makes the plan of an operator whose value is a view of its operand.
func planView(base int, axes []kernel.ViewAxis) func(tensor.Dtype) (Plan, error) {
	return plan1(false,
		func() unary[float32] { return kernel.View[float32](base, axes) },
		func() unary[float64] { return kernel.View[float64](base, axes) })
}

// wantAxis refuses an axis that a shape does not have.
func wantAxis(name string, axis int, s tensor.Shape) error {
	if axis < 0 || axis >= len(s) {
		return fmt.Errorf("op: %s wants an axis from 0 to %d of shape %v, got %d", name, len(s)-1, s, axis)
	}
	return nil
}
