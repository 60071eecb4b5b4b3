package student_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// reduceArray is a reduction by plain loops: f of the elements that come
// together, in order.
func reduceArray(x array, axes []int, keep bool, f func(v []float64) float64) array {
	var kept []int
	full := slices.Clone(x.dims)
	for a, d := range x.dims {
		if slices.Contains(axes, a) {
			full[a] = 1
		} else {
			kept = append(kept, d)
		}
	}
	y := tabulate(full, func(i []int) float64 {
		var v []float64
		for k := range tabulate(x.dims, func([]int) float64 { return 0 }).data {
			// The place of element k, and whether it belongs to i.
			at, rest, same := make([]int, len(x.dims)), k, true
			for a := len(x.dims) - 1; a >= 0; a-- {
				at[a] = rest % x.dims[a]
				rest /= x.dims[a]
				same = same && (slices.Contains(axes, a) || at[a] == i[a])
			}
			if same {
				v = append(v, x.data[k])
			}
		}
		return f(v)
	})
	if !keep {
		y.dims = kept
	}
	return y
}

func TestReductionsAreTranslated(t *testing.T) {
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
	var cases []translation
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
				c := translation{in: [][]int{s.dims}, low: r.low, want: of1(func(x array) array { return reduceArray(x, s.over, keep == 1, r.f) })}
				if r.low > 0 {
					c.high = 1.5
				}
				old, operand := []int64{7, 11, r.axes - 1}, []int64{r.axes, 21}
				if s.axes == nil {
					c.name, c.opsets, c.build = name, append(old, operand...), node1(r.op, k)
					cases = append(cases, c)
					continue
				}
				c.name, c.opsets, c.build = name+" as attribute", old, node1(r.op, k, onnx.AttrInts("axes", s.axes...))
				cases = append(cases, c)
				c.name, c.opsets, c.build = name, operand, withConstants(r.op, []*onnx.Tensor{whole(s.axes...)}, k)
				cases = append(cases, c)
			}
		}
	}
	same := of1(func(x array) array { return x })
	cases = append(cases,
		translation{name: "no axes at all", opsets: []int64{13, 21}, in: [][]int{imageDims}, build: node1("ReduceSum", onnx.AttrInt("noop_with_empty_axes", 1)), want: same},
		translation{name: "an empty list of axes", opsets: []int64{13, 21}, in: [][]int{imageDims}, build: withConstants("ReduceSum", []*onnx.Tensor{whole()}, onnx.AttrInt("noop_with_empty_axes", 1)), want: same},
		translation{name: "an empty list that means all", opsets: []int64{13, 21}, in: [][]int{imageDims}, build: withConstants("ReduceMax", []*onnx.Tensor{whole()}, onnx.AttrInt("keepdims", 0)),
			want: of1(func(x array) array { return array{nil, []float64{slices.Max(x.data)}} })},
		translation{name: "keepdims by default", opsets: []int64{13, 21}, in: [][]int{signalDims}, build: withConstants("ReduceSum", []*onnx.Tensor{whole(1)}),
			want: of1(func(x array) array { return reduceArray(x, []int{1}, true, total(plain)) })},
		translation{name: "large numbers under a logarithm", opsets: []int64{7, 21}, in: [][]int{{2, 3}}, low: 900, high: 1000, build: node1("ReduceLogSumExp", onnx.AttrInt("keepdims", 0)),
			want: of1(func(x array) array {
				m := slices.Max(x.data)
				return array{nil, []float64{m + math.Log(total(func(v float64) float64 { return math.Exp(v - m) })(x.data))}}
			})},
		translation{name: "an axis that is not there", opsets: []int64{13, 21}, in: [][]int{signalDims}, build: withConstants("ReduceSum", []*onnx.Tensor{whole(3)}), refused: "axis 3 of a value of rank 3"},
		translation{name: "a long product", opsets: []int64{13, 21}, in: [][]int{{65}}, build: node1("ReduceProd"), refused: "at most 64 along an axis"})
	checkTranslations(t, cases)
}
