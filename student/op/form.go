package op

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// NoFormError is returned by Operator.ONNX when the operator, as it was made,
// cannot be written with standard ONNX operators.
type NoFormError struct {
	Op     string // the operator, with its attributes
	Reason string // what stands in the way
}

// Error implements error.
func (e *NoFormError) Error() string {
	return fmt.Sprintf("op: %s has no ONNX form: %s", e.Op, e.Reason)
}

// minOpset is the first opset in which the forms of this package hold: there
// ReduceSum, Squeeze and Unsqueeze take their axes as an operand.
const minOpset = 13

// reduceAxesOpset is the opset from which ReduceMax, ReduceMean and ReduceL2
// take their axes as an operand, too.
const reduceAxesOpset = 18

// form is what an operator's ONNX form is written with: the builder and the
// names of the operands. It spares each form the spelling of constants.
type form struct {
	b  *onnx.Builder
	in []string
}

// node appends a node with one output and returns its name.
func (f form) node(op string, in []string, attrs ...*onnx.Attr) string {
	return f.b.Node(op, in, attrs...)
}

// over appends op applied to all operands.
func (f form) over(op string, attrs ...*onnx.Attr) string { return f.node(op, f.in, attrs...) }

// float adds a float32 scalar constant.
func (f form) float(v float64) string {
	return f.b.Initializer("scalar", onnx.Float32s("", nil, []float32{float32(v)}))
}

// floats adds a float32 constant.
func (f form) floats(name string, dims []int64, v []float32) string {
	return f.b.Initializer(name, onnx.Float32s("", dims, v))
}

// ints adds an int64 vector constant.
func (f form) ints(name string, v ...int64) string {
	return f.b.Initializer(name, onnx.Int64s("", []int64{int64(len(v))}, v))
}

// reduce appends a reduction over axes; no axes means all.
func (f form) reduce(op, x string, keep bool, axes ...int64) string {
	k := int64(0)
	if keep {
		k = 1
	}
	switch attr := onnx.AttrInt("keepdims", k); {
	case len(axes) == 0:
		return f.node(op, []string{x}, attr)
	case op == "ReduceSum" || f.b.Opset() >= reduceAxesOpset:
		return f.node(op, []string{x, f.ints("axes", axes...)}, attr)
	default:
		return f.node(op, []string{x}, onnx.AttrInts("axes", axes...), attr)
	}
}

func (f form) unsqueeze(x string, axes ...int64) string {
	return f.node("Unsqueeze", []string{x, f.ints("axes", axes...)})
}

func (f form) squeeze(x string, axes ...int64) string {
	return f.node("Squeeze", []string{x, f.ints("axes", axes...)})
}

func (f form) expand(x string, shape ...int64) string {
	return f.node("Expand", []string{x, f.ints("shape", shape...)})
}

func (f form) where(cond, a, b string) string { return f.node("Where", []string{cond, a, b}) }

// absPow appends C·|x|^P with the sign of x where odd.
func (f form) absPow(c, p float64, odd bool, x string) string {
	y := f.node("Abs", []string{x})
	if p != 1 {
		y = f.node("Pow", []string{y, f.float(p)})
	}
	if odd {
		y = f.node("Mul", []string{y, f.node("Sign", []string{x})})
	}
	if p < 0 {
		// 0 to a negative power is taken as 0, which Pow would make infinite.
		zero := f.float(0)
		y = f.where(f.node("Equal", []string{x, zero}), zero, y)
	}
	if c != 1 {
		y = f.node("Mul", []string{y, f.float(c)})
	}
	return y
}

// fileShape returns s as it stands in the file: rank 4 crosses to NCHW.
func fileShape(s tensor.Shape) []int64 {
	d := make([]int64, len(s))
	for i := range s {
		d[i] = int64(s[i])
	}
	if len(s) == 4 {
		d[1], d[2], d[3] = d[3], d[1], d[2]
	}
	return d
}

// batched returns shape for a Reshape from a value whose first dimension is
// batch, so that a model keeps its dynamic batch. Where both have the same
// first dimension it is copied. Else the batch is taken to be part of the first
// dimension, which is left to be told from the number of elements.
func batched(batch int, shape []int64) []int64 {
	if len(shape) > 0 {
		if shape[0] == int64(batch) {
			shape[0] = 0
		} else {
			shape[0] = -1
		}
	}
	return shape
}

// sameOrder reports whether NHWC and NCHW of the rank-4 shape s are the same
// sequence of elements.
func sameOrder(s tensor.Shape) bool { return s[3] == 1 || s[1]*s[2] == 1 }

// toNHWC and toNCHW append a transposition.
func (f form) toNHWC(x string) string {
	return f.node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 3, 1))
}

func (f form) toNCHW(x string) string {
	return f.node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 3, 1, 2))
}

// allOf is the end of a Slice that runs backwards over a whole axis.
const allOf = math.MinInt64

// checked refuses operands that cannot be applied: none, nil, of different
// graphs or of an element type the kernels do not compute in.
func checked(name string, in ...*gorgonia.Node) error {
	for i, n := range in {
		switch {
		case n == nil:
			return fmt.Errorf("op: %s: operand %d is nil", name, i)
		case n.Graph() == nil || n.Graph() != in[0].Graph():
			return fmt.Errorf("op: %s: operand %d (%s) is of another graph than operand 0 (%s)", name, i, n.Name(), in[0].Name())
		}
		if dt := n.Dtype(); dt != tensor.Float32 && dt != tensor.Float64 {
			return fmt.Errorf("op: %s: operand %d (%s) is %v; operators compute in float32 or float64", name, i, n.Name(), dt)
		} else if dt != in[0].Dtype() {
			return fmt.Errorf("op: %s: operand %d (%s) is %v and operand 0 (%s) is %v; they must be of one type",
				name, i, n.Name(), dt, in[0].Name(), in[0].Dtype())
		}
	}
	return nil
}

// exactly reports whether a and b are the same shape. Shape.Eq takes a column
// for a vector.
func exactly(a, b tensor.Shape) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
