// Package op holds the student's operators: Gorgonia operators closed under
// differentiation. Each file keeps an operator's shape rule, value, derivative
// and ONNX form side by side.
//
// Read operator.go for what an operator is, elementwise.go for how one is told
// by its parts, gradient.go for gradients inside a loss, and fuse.go for what
// can be computed at once. Package optest holds the cases that every operator
// must pass.
//
// Activations are NHWC, convolution weights OHWI, dense weights [out, in]. The
// derivative of every operator is made of operators of this package, so a loss
// that contains a gradient can be differentiated again; Gradient builds such
// inner gradients. Where an operator has no derivative (ReLU at zero, a maximum
// of equals) its doc comment states the one it takes.
package op
