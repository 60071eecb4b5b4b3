// Package op holds the student's operators: Gorgonia operators closed under
// differentiation. Each file keeps an operator's shape rule, value, derivative
// and ONNX form side by side.
//
// Activations are NHWC, convolution weights OHWI, dense weights [out, in]. The
// derivative of every operator is made of operators of this package, so a loss
// that contains a gradient can be differentiated again; Gradient builds such
// inner gradients.
package op
