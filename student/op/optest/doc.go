// Package optest holds one table of cases for every operator of package op and
// every configuration worth telling apart, and the checks that all of them
// must pass: value against plain loops, derivatives of three orders against
// central differences, float32 against float64, a plan against the operator's
// own Do, Gorgonia's stock tape machine, and that the ONNX form holds together.
//
// It is a package of its own so that each executor can run the same table: the
// operators' own tests, student/vm, and the exported form in ONNX Runtime. Only
// tests import it.
package optest
