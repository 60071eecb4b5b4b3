package kernel

import "fmt"

// Float is the element type of a kernel: float32 in training, float64 where a
// test compares a derivative with central differences.
type Float interface{ float32 | float64 }

// Buffer is the memory of one tensor: its elements in row-major order. Exactly
// one of the two slices is in use, F32 for float32 tensors and F64 for float64
// ones; a scalar has one element. A Buffer does not own its memory.
type Buffer struct {
	F32 []float32
	F64 []float64
}

// Len returns the number of elements.
func (b Buffer) Len() int { return len(b.F32) + len(b.F64) }

// Of returns the elements of b as a []T. It panics when b holds the other
// element type, which is a fault of the caller and never of its input.
func Of[T Float](b Buffer) []T {
	var s any = b.F32
	if _, ok := any(*new(T)).(float64); ok {
		s = b.F64
	}
	t, ok := s.([]T)
	if !ok || (t == nil && b.Len() > 0) {
		panic(fmt.Sprintf("kernel: buffer of %d float32 and %d float64 elements asked for as %T", len(b.F32), len(b.F64), *new(T)))
	}
	return t
}
