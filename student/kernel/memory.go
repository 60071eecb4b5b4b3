package kernel

import "unsafe"

// alignment is where the memory that Alloc returns begins, in bytes: at a cache
// line, and at a vector of AVX-512.
const alignment = 64

// Alloc returns n zeroed elements that begin at a multiple of 64 bytes, and the
// function that gives them back, which must be called once, when nothing uses
// them any more; afterwards they must not be touched. Zero elements are nil.
//
// It is for few and large blocks, like the arena of a machine. Where oneDNN is
// linked (build tag onednn) the memory is C's, which the garbage collector
// neither scans nor gives back, in huge pages where the system has them;
// elsewhere it is Go's, and free does nothing.
func Alloc[T Float](n int) (s []T, free func()) {
	if n <= 0 {
		return nil, func() {}
	}
	return alloc[T](n)
}

// goAlloc is Alloc from Go's memory, which is not moved, so that the address
// stays aligned.
func goAlloc[T Float](n int) (s []T, free func()) {
	width := int(unsafe.Sizeof(*new(T)))
	s = make([]T, n+alignment/width)
	skip := (alignment - int(uintptr(unsafe.Pointer(&s[0]))%alignment)) % alignment / width
	return s[skip : skip+n : skip+n], func() {}
}
