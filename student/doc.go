// Package student is the network that learns: parameters with readable names,
// Gorgonia graphs built over them for training and for inference, and the
// export of what was learnt as an ONNX file.
//
// An Architecture is a plain function over a Builder; package student/zoo has
// some. A Model is an architecture with parameters for one image size and one
// number of classes. Every Graph of a Model shares the parameters' memory, so
// a step taken through one is seen by all, whatever their batch size and mode.
//
// The package knows no teacher, no loss and no optimiser. It does not run a
// graph either: package student/vm does. Inside, activations are NHWC and
// convolution weights OHWI; Export is the border where they become the NCHW
// and OIHW of an ONNX file.
package student
