// Package vm runs a student's graph: a gorgonia.VM that plans once and then
// trains without allocating.
//
// New takes the nodes whose values are wanted, keeps only what they need, fixes
// the order, and gives every value in between a place in one block of memory
// per element type, where values that are never alive together share bytes.
// RunAll then reads the inputs, runs the plans of the operators one after the
// other and binds the outputs. Where package op can compute several nodes in one
// pass over memory, they become one step, and what lies between them comes to
// no memory. A machine made WithProfile tells where the time goes.
//
// Gorgonia's tape machine is not used because it tracks liveness by register
// and not by memory, so that a stock Reshape followed by an in-place operator
// gives wrong losses; it also allocates every value of every step anew. Here
// operators of package op write where the plan says; stock operators, which may
// write into their operands or return memory that is not theirs, get copies and
// have their results copied. Those with a training mode run in the mode they
// are in; a machine does not set it.
//
// The package knows operators by their interface alone and no student. It
// starts no goroutine; the kernels bring their own workers. Package student and
// the pipeline import it.
package vm
