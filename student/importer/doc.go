// Package importer reads the main graph of an ONNX model as a list of calls:
// which operator, on which values, with which attributes, and which values are
// constants. What the operators mean is for package student to say.
//
// Read goes through github.com/owulveryck/onnx-go, of which it is the only
// user: the model is normalised into what onnx-go decodes, decoded into a
// backend that records (recorder), and joined again with what onnx-go has no
// place for: names, domains, opsets, symbolic axes, half precision, quantised
// and large constants, operands left out. Where the two views of the file
// disagree, Read fails.
//
// Fold computes calls whose operands are all constant, which is what the shape
// arithmetic of exporters comes down to.
//
// Only package student imports it. It knows package onnx, no Gorgonia graph
// and no layout: everything is in the file's order of axes.
package importer
