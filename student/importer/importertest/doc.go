// Package importertest holds pieces of ONNX files for tests: each operator that
// can be imported, in all its forms from opset 7 to 21, and what it computes,
// told by plain loops over the axes of the file.
//
// A piece is written once and tried on every executor: package student imports
// it and runs the graph, and the pipeline's tests give both the piece and what
// student exports of it to ONNX Runtime. No program may import this package.
package importertest
