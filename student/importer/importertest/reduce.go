package importertest

import (
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// reduceArray is a reduction by plain loops: f of the elements that come
// together, in order.
func reduceArray(x Array, axes []int, keep bool, f func(v []float64) float64) Array {
	var kept []int
	full := slices.Clone(x.Dims)
	for a, d := range x.Dims {
		if slices.Contains(axes, a) {
			full[a] = 1
		} else {
			kept = append(kept, d)
		}
	}
	y := Tabulate(full, func(i []int) float64 {
		var v []float64
		for k := range Tabulate(x.Dims, func([]int) float64 { return 0 }).Data {
			// The place of element k, and whether it belongs to i.
			at, rest, same := make([]int, len(x.Dims)), k, true
			for a := len(x.Dims) - 1; a >= 0; a-- {
				at[a] = rest % x.Dims[a]
				rest /= x.Dims[a]
				same = same && (slices.Contains(axes, a) || at[a] == i[a])
			}
			if same {
				v = append(v, x.Data[k])
			}
		}
		return f(v)
	})
	if !keep {
		y.Dims = kept
	}
	return y
}

// reductions are over some axes or all.
func reductions() []Piece {
	total := func(f func(x float64) float64) func(v []float64) float64 {
		return func(v []float64) (s float64) {
			for _, x := range v {
				s += f(x)
			}
			return s
		}
	}
	plain := func(x float64) float64 { return x }
	square := func(x float64) float64 { return x * x }
	var cases []Piece
	for _, r := range []struct {
		op   string
		low  float64
		f    func(v []float64) float64
		axes int64 // opset from which axes are an operand
	}{
		{"ReduceSum", 0, total(plain), 13},
		{"ReduceMean", 0, func(v []float64) float64 { return total(plain)(v) / float64(len(v)) }, 18},
		{"ReduceMax", 0, func(v []float64) float64 { return slices.Max(v) }, 18},
		{"ReduceMin", 0, func(v []float64) float64 { return slices.Min(v) }, 18},
		{"ReduceProd", 0.5, func(v []float64) float64 {
			p := 1.0
			for _, x := range v {
				p *= x
			}
			return p
		}, 18},
		{"ReduceL1", 0, total(math.Abs), 18},
		{"ReduceL2", 0, func(v []float64) float64 { return math.Sqrt(total(square)(v)) }, 18},
		{"ReduceSumSquare", 0, total(square), 18},
		{"ReduceLogSum", 0.5, func(v []float64) float64 { return math.Log(total(plain)(v)) }, 18},
		{"ReduceLogSumExp", 0, func(v []float64) float64 { return math.Log(total(math.Exp)(v)) }, 18},
	} {
		for _, s := range []struct {
			dims []int
			axes []int64
			over []int
		}{
			{imageDims, []int64{2, 3}, []int{2, 3}},
			{imageDims, []int64{1}, []int{1}},
			{imageDims, []int64{-1}, []int{3}},
			{imageDims, []int64{-2, 1}, []int{1, 2}},
			{imageDims, nil, []int{0, 1, 2, 3}},
			{signalDims, []int64{-1}, []int{2}},
			{signalDims, []int64{1}, []int{1}},
			{[]int{2, 1, 3}, []int64{1}, []int{1}},
			{vector5, []int64{0}, []int{0}},
			{[]int{}, nil, nil},
		} {
			for _, keep := range []int64{1, 0} {
				k := onnx.AttrInt("keepdims", keep)
				name := fmt.Sprintf("%s of %v over %v, keepdims %d", r.op, s.dims, s.axes, keep)
				c := Piece{In: [][]int{s.dims}, Low: r.low, Want: of1(func(x Array) Array { return reduceArray(x, s.over, keep == 1, r.f) })}
				if r.low > 0 {
					c.High = 1.5
				}
				old, operand := []int64{7, 11, r.axes - 1}, []int64{r.axes, 21}
				if s.axes == nil {
					c.Name, c.Opsets, c.Build = name, append(old, operand...), node1(r.op, k)
					cases = append(cases, c)
					continue
				}
				c.Name, c.Opsets, c.Build = name+" as attribute", old, node1(r.op, k, onnx.AttrInts("axes", s.axes...))
				cases = append(cases, c)
				c.Name, c.Opsets, c.Build = name, operand, withConstants(r.op, []*onnx.Tensor{Whole(s.axes...)}, k)
				cases = append(cases, c)
			}
		}
	}
	same := of1(func(x Array) Array { return x })
	cases = append(cases,
		Piece{Name: "no axes at all", Opsets: []int64{13, 21}, In: [][]int{imageDims}, Build: node1("ReduceSum", onnx.AttrInt("noop_with_empty_axes", 1)), Want: same},
		Piece{Name: "an empty list of axes", Opsets: []int64{13, 21}, In: [][]int{imageDims}, Build: withConstants("ReduceSum", []*onnx.Tensor{Whole()}, onnx.AttrInt("noop_with_empty_axes", 1)), Want: same},
		Piece{Name: "an empty list that means all", Opsets: []int64{18, 21}, In: [][]int{imageDims}, Build: withConstants("ReduceMax", []*onnx.Tensor{Whole()}, onnx.AttrInt("keepdims", 0)),
			Want: of1(func(x Array) Array { return Array{nil, []float64{slices.Max(x.Data)}} })},
		Piece{Name: "keepdims by default", Opsets: []int64{13, 21}, In: [][]int{signalDims}, Build: withConstants("ReduceSum", []*onnx.Tensor{Whole(1)}),
			Want: of1(func(x Array) Array { return reduceArray(x, []int{1}, true, total(plain)) })},
		Piece{Name: "large numbers under a logarithm", Opsets: []int64{7, 21}, In: [][]int{{2, 3}}, Low: 900, High: 1000, Build: node1("ReduceLogSumExp", onnx.AttrInt("keepdims", 0)),
			Want: of1(func(x Array) Array {
				m := slices.Max(x.Data)
				return Array{nil, []float64{m + math.Log(total(func(v float64) float64 { return math.Exp(v - m) })(x.Data))}}
			})},
		Piece{Name: "an axis that is not there", Opsets: []int64{13, 21}, In: [][]int{signalDims}, Build: withConstants("ReduceSum", []*onnx.Tensor{Whole(3)}), Refused: "axis 3 of a value of rank 3"},
		Piece{Name: "a long product", Opsets: []int64{13, 21}, In: [][]int{{65}}, Build: node1("ReduceProd"), Refused: "at most 64 along an axis"})
	return cases
}
