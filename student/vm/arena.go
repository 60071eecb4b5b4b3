package vm

import (
	"unsafe"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// alignment in bytes of every planned value: a cache line, and the widest
// vector register.
const alignment = 64

// arenas are the memory of all planned values, one block per element type.
type arenas struct {
	f32 []float32
	f64 []float64
}

func newArenas(f32, f64 int) arenas {
	return arenas{f32: aligned[float32](f32), f64: aligned[float64](f64)}
}

// aligned allocates n zeroed elements at an address that alignment divides. Go
// does not move memory, so the address stays.
func aligned[T kernel.Float](n int) []T {
	if n == 0 {
		return nil
	}
	width := int(unsafe.Sizeof(*new(T)))
	s := make([]T, n+alignment/width)
	skip := (alignment - int(uintptr(unsafe.Pointer(&s[0]))%alignment)) % alignment / width
	return s[skip : skip+n : skip+n]
}

// hold reports whether b lies in one of the arenas.
func (a *arenas) hold(b kernel.Buffer) bool { return within(a.f32, b.F32) || within(a.f64, b.F64) }

func within[T kernel.Float](arena, x []T) bool {
	if len(arena) == 0 || len(x) == 0 {
		return false
	}
	first, last := uintptr(unsafe.Pointer(&arena[0])), uintptr(unsafe.Pointer(&arena[len(arena)-1]))
	from, to := uintptr(unsafe.Pointer(&x[0])), uintptr(unsafe.Pointer(&x[len(x)-1]))
	return from <= last && first <= to
}
