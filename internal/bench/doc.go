// Package bench compares the program with its peers: PyTorch, stock Gorgonia,
// oneDNN's own timings, plain ONNX Runtime. Each row of the table is a
// sub-benchmark of BenchmarkTable that runs ours and the peer's in turn on one
// machine and reports the ratio; make bench runs them and prints the table, see
// docs/PERFORMANCE.md.
//
// All of it is in test files, since it is for the go command to run, and nothing
// imports it. It runs in the module's root.
package bench
