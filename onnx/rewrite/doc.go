// Package rewrite holds passes over an onnx.Model: each takes a model that
// passes onnx.Check and says the same in other nodes. What opens a file as
// teacher, as student or to measure it goes through the same passes, so that
// one file is read in one way.
//
// Normalize runs all passes: it inlines functions, leaves training mode, takes
// images in four axes, and finds the logits that an output is made from. One note
// says what was done, the same for everyone but for the name of a setting.
// InlineFunctions is its first pass, and can be run alone.
//
// Packages teachers and student import it. It imports onnx and onnx/preprocess and
// executes nothing.
package rewrite
