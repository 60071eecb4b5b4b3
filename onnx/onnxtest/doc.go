// Package onnxtest builds small models for tests, with nodes written as their
// wiring: "x, w -> y".
//
// Tests import it and no program does. It imports onnx alone.
package onnxtest
