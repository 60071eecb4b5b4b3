package student

import "github.com/onnxdistill/onnxdistill/student/kernel"

// Kernels describes the arithmetic that trains students in this process, for a
// person: "Go with AVX2 assembly".
func Kernels() string { return kernel.Describe() }

// KernelAdvice says what would make students train faster than Kernels does; it
// is empty where there is nothing.
func KernelAdvice() string {
	if _, linked := kernel.OneDNN(); linked {
		return ""
	}
	return "oneDNN is not linked: install it (Debian, Ubuntu: apt-get install libdnnl-dev; macOS: brew install onednn) and build with -tags onednn, as make build does"
}
