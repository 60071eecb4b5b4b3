package op

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Pad returns x with before[i] elements of value in front and after[i] behind
// along axis i, one of Gorgonia's. A negative number takes elements away, as in
// ONNX. value may be infinite, not NaN. It returns x itself where nothing is
// padded.
func Pad(x *gorgonia.Node, before, after []int, value float64) (*gorgonia.Node, error) {
	const name = "Pad"
	if err := checked(name, x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if s.IsScalar() || len(before) != len(s) || len(after) != len(s) {
		return nil, fmt.Errorf("op: %s of shape %v wants a number before and after each of its axes, got %v and %v", name, s, before, after)
	}
	if math.IsNaN(value) {
		return nil, fmt.Errorf("op: %s wants a value to pad with, got %v", name, value)
	}
	before, after = slices.Clone(before), slices.Clone(after)
	starts, sizes, out := make([]int, len(s)), slices.Clone(s), slices.Clone(s)
	for i := range s {
		starts[i] = max(0, -before[i])
		sizes[i] -= starts[i] + max(0, -after[i])
		before[i], after[i] = max(0, before[i]), max(0, after[i])
		if sizes[i] < 1 || before[i] > math.MaxInt32 || after[i] > math.MaxInt32 {
			return nil, fmt.Errorf("op: %s of shape %v: along axis %d at least one element must stay and at most %d be added, got %d before and %d after",
				name, s, i, math.MaxInt32, before[i]-starts[i], after[i]-(s[i]-sizes[i]-starts[i]))
		}
		out[i] = before[i] + sizes[i] + after[i]
	}
	x, err := Slice(x, starts, sizes, nil)
	if err != nil || exactly(sizes, out) {
		return x, err
	}
	pads := make([]int64, 2*len(s))
	for i := range s {
		at := int(fileAxis(len(s), i))
		pads[at], pads[len(s)+at] = int64(before[i]), int64(after[i])
	}
	return apply1(name, fmt.Sprintf("before=%v after=%v value=%v", before, after, value), out, x, plan1(false,
		func() unary[float32] { return kernel.Pad[float32](sizes, before, after, value) },
		func() unary[float64] { return kernel.Pad[float64](sizes, before, after, value) }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return Slice(g, before, sizes, nil) },
		func(f form) string { return f.pad(f.in[0], value, pads) })
}

// pad appends a Pad by a constant; pads are those in front of all axes, then
// those behind, in the file's order.
func (f form) pad(x string, value float64, pads []int64) string {
	in := []string{x, f.ints("pads", pads...)}
	if value != 0 {
		in = append(in, f.float(value))
	}
	return f.node("Pad", in)
}
