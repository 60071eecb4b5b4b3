//go:build !(onednn && cgo)

package kernel

func alloc[T Float](n int) (s []T, free func()) { return goAlloc[T](n) }
