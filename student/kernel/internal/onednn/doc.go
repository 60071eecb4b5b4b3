// Package onednn binds the few parts of Intel's oneDNN that package kernel
// computes with: convolutions and their derivatives of float32 images in NHWC,
// batch normalisation to measure ours by, and aligned memory. It is empty unless
// built with the tag onednn and cgo.
//
// It stands apart from package kernel because a package with C in it may hold no
// Go assembly.
//
// An Op is a primitive with the layouts of its operands. It is made once and may
// run in several goroutines at once. One call into C makes the memory objects over the caller's pointers, runs, waits and
// drops them again, so oneDNN keeps no Go pointer past a call.
//
//	api.c   what differs between the API's versions 2 and 3
//	op.c    primitives, their operands, running them
//	op.go   the same for Go
package onednn
