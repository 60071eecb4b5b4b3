package ort

import (
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Tensor is a dense row-major tensor in Go memory.
type Tensor struct {
	Type onnx.DataType
	Dims []int64 // empty for a scalar
	// F32 holds the elements when Type is Float32, Raw (little-endian) when it
	// is any other.
	F32 []float32
	Raw []byte
}

// Len is the number of elements that the dims stand for.
func (t Tensor) Len() (int, error) {
	n, err := (&onnx.Tensor{Dims: t.Dims}).Len()
	return int(n), err
}

// check compares the elements given with the dims.
func (t Tensor) check() error {
	n, err := t.Len()
	if err != nil {
		return err
	}
	if t.Type == onnx.Float32 {
		if len(t.F32) != n || t.Raw != nil {
			return fmt.Errorf("float32 tensor %v needs %d numbers, got %d", t.Dims, n, len(t.F32))
		}
		return nil
	}
	if want := n * int(t.Type.Bits()) / 8; len(t.Raw) != want || t.F32 != nil {
		return fmt.Errorf("%v tensor %v needs %d bytes, got %d", t.Type, t.Dims, want, len(t.Raw))
	}
	return nil
}

// Options configure a session.
type Options struct {
	// Threads is how many threads one operator may use; 0 means one per core.
	Threads int
	// Plain turns the runtime's graph optimisation off, for models that run
	// once to be looked at, and those that take too long to optimise.
	Plain bool
}

// Value is what the runtime says of a model's input or output.
type Value struct {
	Name string
	// Type is Undefined where the value is no tensor; Kind then says what it is.
	Type onnx.DataType
	Kind string
}
