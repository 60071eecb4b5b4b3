// Package student is the network that learns: parameters with readable names,
// Gorgonia graphs built over them for training and for inference, and the
// export of what was learnt as an ONNX file.
//
// An Architecture is a plain function over a Builder; package student/zoo has
// some, and Import makes one of an ONNX file. A Model is an architecture with
// parameters for one image size and one number of classes. Every Graph of a
// Model shares the parameters' memory, so a step taken through one is seen by
// all, whatever their batch size and mode.
//
// Import translates a file node by node onto our own operators: the table
// translators has a row for each. Shapes are known, since a graph is for one
// batch size, so the shape arithmetic that exporters write is computed on the
// way. ImportNet does the same for any network, of which only the graph is
// wanted.
//
// The package knows no teacher, no loss and no optimiser. It does not run a
// graph either: package student/vm does. Inside, every value of rank 4 is NHWC,
// convolution weights are OHWI; Import and Export are the border to the NCHW and
// OIHW of an ONNX file.
package student
