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

// Take returns the elements of x that index names along an axis, one of
// Gorgonia's, in index's order and as often as they stand there: a Gather of
// constant indices. It serves reflected and repeated borders and shuffled
// channels too.
func Take(x *gorgonia.Node, axis int, index []int) (*gorgonia.Node, error) {
	const name = "Take"
	if err := checked(name, x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if err := wantAxis(name, axis, s); err != nil {
		return nil, err
	}
	if len(index) == 0 {
		return nil, fmt.Errorf("op: %s wants at least one index, got none", name)
	}
	for _, i := range index {
		if i < 0 || i >= s[axis] {
			return nil, fmt.Errorf("op: %s along axis %d of shape %v wants indices from 0 to %d, got %d", name, axis, s, s[axis]-1, i)
		}
	}
	return along(name, x, axis, picking(index, s[axis]))
}

// Tap is one summand of an interpolated element: an element of the operand and
// its weight.
type Tap struct {
	Index  int
	Weight float64
}

// Interpolate returns x with out elements along an axis, one of Gorgonia's:
// element i is the sum of the taps at(i), zero where there are none. Taps of
// one index are added up.
func Interpolate(x *gorgonia.Node, axis, out int, at func(i int) []Tap) (*gorgonia.Node, error) {
	const name = "Interpolate"
	if err := checked(name, x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if err := wantAxis(name, axis, s); err != nil {
		return nil, err
	}
	if out < 1 {
		return nil, fmt.Errorf("op: %s wants at least one element, got %d", name, out)
	}
	for i := range out {
		for _, t := range at(i) {
			if t.Index < 0 || t.Index >= s[axis] || math.IsNaN(t.Weight) || math.IsInf(t.Weight, 0) {
				return nil, fmt.Errorf("op: %s along axis %d of shape %v: element %d wants taps with indices from 0 to %d and finite weights, got index %d with weight %v",
					name, axis, s, i, s[axis]-1, t.Index, t.Weight)
			}
		}
	}
	return along(name, x, axis, sparse(out, s[axis], at))
}

// sparse is the matrix of the given taps, by rows.
func sparse(rows, cols int, at func(i int) []Tap) kernel.Sparse {
	m := kernel.Sparse{Rows: rows, Cols: cols, Start: make([]int, 1, rows+1)}
	for i := range rows {
		taps := slices.Clone(at(i))
		slices.SortStableFunc(taps, func(a, b Tap) int { return a.Index - b.Index })
		for k, t := range taps {
			if k > 0 && taps[k-1].Index == t.Index {
				m.Weight[len(m.Weight)-1] += t.Weight
				continue
			}
			m.Index, m.Weight = append(m.Index, t.Index), append(m.Weight, t.Weight)
		}
		m.Start = append(m.Start, len(m.Index))
	}
	return m
}

// picking is the matrix that takes the elements index of cols.
func picking(index []int, cols int) kernel.Sparse {
	return sparse(len(index), cols, func(i int) []Tap { return []Tap{{index[i], 1}} })
}

// along applies a constant matrix along an axis of x: the family of Take,
// Interpolate and their adjoints, whose matrices are the transposed ones.
func along(name string, x *gorgonia.Node, axis int, m kernel.Sparse) (*gorgonia.Node, error) {
	s := x.Shape()
	out := s.Clone()
	out[axis] = m.Rows
	outer, inner := tensor.Shape(s[:axis]).TotalSize(), tensor.Shape(s[axis+1:]).TotalSize()
	return apply1(name, fmt.Sprintf("axis=%d to=%d", axis, m.Rows), out, x, plan1(false,
		func() unary[float32] { return kernel.Interpolate[float32](outer, inner, m) },
		func() unary[float64] { return kernel.Interpolate[float64](outer, inner, m) }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) {
			return along(adjointName(name), g, axis, m.Transposed())
		},
		func(f form) string { return f.along(f.in[0], len(s), int(fileAxis(len(s), axis)), m) })
}

// adjointName is how the adjoint of a linear operator is printed; the adjoint's
// is the operator.
func adjointName(name string) string {
	const back = "Back"
	if n := len(name) - len(back); n > 0 && name[n:] == back {
		return name[:n]
	}
	return name + back
}

// along appends a product with a constant matrix along an axis of x, an axis of
// the file.
//
// Picked elements are a Gather. Where elements of the result may be zero, as
// those of a Slice's adjoint, they are gathered from x with one zero behind.
// What adds elements up is a MatMul: ScatterElements could do it from opset 16
// on, but its indices have x's shape, batch included, and are as large as x. A
// matrix is small, since it stands along one axis, and knows of no batch.
func (f form) along(x string, rank, axis int, m kernel.Sparse) string {
	if !m.AtMostOne() {
		return f.product(x, rank, axis, m)
	}
	index := make([]int64, m.Rows)
	for r := range index {
		index[r] = int64(m.Cols) // the zero
		if k := m.Start[r]; k < m.Start[r+1] {
			index[r] = int64(m.Index[k])
		}
	}
	if !m.Picks() {
		pads := make([]int64, 2*rank)
		pads[rank+axis] = 1
		x = f.pad(x, 0, pads)
	}
	return f.node("Gather", []string{x, f.ints("index", index...)}, onnx.AttrInt("axis", int64(axis)))
}

// product appends the product of m with each vector along an axis of x. Along
// the channels of images that is a convolution of single pixels.
func (f form) product(x string, rank, axis int, m kernel.Sparse) string {
	switch {
	case rank == 4 && axis == 1:
		return f.node("Conv", []string{x, f.matrix(m, 1, 1)}, onnx.AttrInts("kernel_shape", 1, 1))
	case axis == rank-2:
		return f.node("MatMul", []string{f.matrix(m), x})
	}
	swap := make([]int64, rank)
	for i := range swap {
		swap[i] = int64(i)
	}
	swap[axis], swap[rank-1] = swap[rank-1], swap[axis]
	turned := axis != rank-1
	if turned {
		x = f.node("Transpose", []string{x}, onnx.AttrInts("perm", swap...))
	}
	y := f.node("MatMul", []string{x, f.matrix(m.Transposed())})
	if turned {
		y = f.node("Transpose", []string{y}, onnx.AttrInts("perm", swap...))
	}
	return y
}

// matrix adds m as a dense constant, with more axes of the given sizes behind.
func (f form) matrix(m kernel.Sparse, more ...int64) string {
	v := make([]float32, m.Rows*m.Cols)
	for r := range m.Rows {
		for k := m.Start[r]; k < m.Start[r+1]; k++ {
			v[r*m.Cols+m.Index[k]] = float32(m.Weight[k])
		}
	}
	return f.floats("matrix", append([]int64{int64(m.Rows), int64(m.Cols)}, more...), v)
}
