// Package kernel is the arithmetic under the student's operators: loops over
// slices, told their sizes, that allocate nothing while they run.
//
// Tensors are dense and row-major; images and feature maps are NHWC. The
// package knows no graph and no gradient: package student/op gives each kernel
// its meaning and its derivative. Only student/op and student/vm import it.
package kernel
