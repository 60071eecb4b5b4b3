// Package rewrite holds passes over an onnx.Model: each takes a model that
// passes onnx.Check and says the same in other nodes. What opens a file as
// teacher, as student or to measure it goes through the same passes, so that
// one file is read in one way.
//
// Normalize is all of them in one: functions inlined, training mode left, images
// taken in four axes, and the logits found that an output is made of. What it did
// it says in one note, the same for everyone but for the name of a setting.
// InlineFunctions is a pass of its own, which Normalize begins with.
//
// Packages teachers and student import it. It imports onnx and onnx/preprocess and
// executes nothing.
package rewrite
