//go:build onednn && cgo

package kernel

import "github.com/onnxdistill/onnxdistill/student/kernel/internal/onednn"

// alloc takes C memory, and Go's where C has none left, so that the program
// ends as Go ends one that is out of memory.
func alloc[T Float](n int) (s []T, free func()) {
	if s, free = onednn.Block[T](n); s == nil {
		return goAlloc[T](n)
	}
	return s, free
}
