// Package kernel is the arithmetic under the student's operators: loops over
// slices, told their sizes, that allocate nothing while they run.
//
// Tensors are dense and row-major; images and feature maps are NHWC. The
// package knows no graph and no gradient: package student/op gives each kernel
// its meaning and its derivative. Only student/op and student/vm import it.
//
// A kernel is planned once for its shapes and run many times. The plan holds
// closures, tables of offsets and a Job (parallel.go), whose items the caller
// and the package's workers share; one plan runs in one goroutine at a time.
// Results do not depend on the number of workers: whatever is summed over items
// is summed in pieces of fixed size and fixed order.
//
// Where the time goes:
//
//	gather.go    convolution forward and backward to the data
//	rank.go      convolution backward to the weights
//	gemm.go      the register tiles under both, in Go and in AVX2 assembly
//	matmul.go    products of matrices, by the same tiles
//	winograd.go  convolutions of 3x3 with a quarter of the multiplications
//	channel.go   batch normalisation and what else has one number per channel
//	pool.go      pooling
//	activation.go  activations, the smooth ones for float32 from tables
//	norm.go      softmax and normalisation over groups of elements along any axes
//	index.go     transposing, cutting, repeating, joining and padding
//	interpolate.go  picking, resizing: few elements summed along an axis
//	onednn.go    oneDNN's convolutions instead, built with the tag onednn
//
// Assembly computes what the Go beside it does and is tested against the same
// loops; portable.go stands in for it on other processors.
package kernel
