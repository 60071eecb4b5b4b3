package vm

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// foreignPlan is the plan of a stock operator, through its Do.
//
// Stock operators keep no discipline with memory: a matrix product transposes
// its operands' headers while it works, a Reshape returns its operand's memory,
// others write into an operand or keep it for their derivative. So each call
// gets copies that nobody else sees, and the result is copied to its place. Do
// may therefore allocate what it likes, and the copies as well.
func foreignPlan(out *value, in []*value) op.Plan {
	o := out.node.Op()
	return op.Plan{Run: func(dst kernel.Buffer, _ []kernel.Buffer, _ kernel.Buffer) error {
		args := make([]gorgonia.Value, len(in))
		for i, x := range in {
			held := x.header
			if x.kind == planned {
				held = newHeader(x.buffer, x.shape)
			}
			var err error
			if args[i], err = gorgonia.CloneValue(held); err != nil {
				return fmt.Errorf("copying operand %d: %w", i, err)
			}
		}
		result, err := o.Do(args...)
		if err != nil {
			return err
		}
		if result == nil {
			return errors.New("the operator returned no value")
		}
		if out.kind == opaque {
			out.header = result
			return nil
		}
		return copyTo(dst, result)
	}}
}

// copyTo copies the elements of v, in row-major order, to dst.
func copyTo(dst kernel.Buffer, v gorgonia.Value) error {
	if d, ok := v.(*tensor.Dense); ok && d.RequiresIterator() {
		v = d.Materialize().(*tensor.Dense)
	}
	src, err := op.BufferOf(v)
	if err != nil {
		return err
	}
	if len(src.F32) != len(dst.F32) || len(src.F64) != len(dst.F64) {
		return fmt.Errorf("the operator returned %v of shape %v, the node wants %d float32 or %d float64 elements",
			v.Dtype(), v.Shape(), len(dst.F32), len(dst.F64))
	}
	copy(dst.F32, src.F32)
	copy(dst.F64, src.F64)
	return nil
}
