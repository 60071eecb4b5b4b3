// Package loss is what a student is trained to make small: cross-entropy,
// knowledge distillation and attention transfer, each a function of graph nodes
// that returns one scalar node, and their weighted sum.
//
// A loss keeps no state and does not know where its operands come from: a
// teacher's signals are inputs of the graph like any other. All losses can be
// differentiated any number of times. Package pipeline builds objectives from
// them; this package imports only student/op and Gorgonia.
package loss
