// Package conformance holds whole suites of others' making against the program:
// every operator's ONNX form and every importable piece of a file in ONNX Runtime,
// onnx-go's own backend tests, networks as PyTorch exports them with their gradients,
// and real teachers imported as students. The suites know the packages from outside
// only. All of it is in test files, and nothing imports it.
package conformance
