package student

import "github.com/onnxdistill/onnxdistill/student/kernel"

// Kernels describes the arithmetic that trains students in this process, for a
// person: "portable Go with AVX2 matrix tiles".
func Kernels() string { return kernel.Describe() }
