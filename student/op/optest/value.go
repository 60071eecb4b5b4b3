package optest

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// Value makes a Gorgonia value of element type dt from float64 data.
func Value(dt tensor.Dtype, shape tensor.Shape, data []float64) (gorgonia.Value, error) {
	v, b, err := op.NewValue(dt, shape)
	if err != nil {
		return nil, err
	}
	if b.Len() != len(data) {
		return nil, fmt.Errorf("optest: shape %v has %d elements, got %d", shape, b.Len(), len(data))
	}
	copy(b.F64, data)
	for i := range b.F32 {
		b.F32[i] = float32(data[i])
	}
	return v, nil
}

// Floats returns the elements of v as float64, copied.
func Floats(v gorgonia.Value) ([]float64, error) {
	b, err := op.BufferOf(v)
	if err != nil {
		return nil, err
	}
	x := append([]float64(nil), b.F64...)
	for _, e := range b.F32 {
		x = append(x, float64(e))
	}
	return x, nil
}
