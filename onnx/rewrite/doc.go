// Package rewrite holds passes over an onnx.Model: each takes a model that
// passes onnx.Check and says the same in other nodes. What opens a file as
// teacher, as student or to measure it goes through the same passes, so that
// one file is read in one way.
//
// InlineFunctions replaces calls of a model's own functions by their nodes.
//
// Packages teachers and student import it. It imports onnx alone and executes
// nothing.
package rewrite
