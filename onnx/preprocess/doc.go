// Package preprocess says what a model's image input expects of 8-bit pixels:
// a scale, a mean, a standard deviation and a channel order. It parses and
// prints that description, applies it, measures it on a training set, and
// keeps it in a model's metadata.
//
// Pixels are always [H, W, C] bytes, 0 to 255, red first. Resizing and the
// change between greyscale and colour are left to the caller. The package
// imports only package onnx; teachers, student and pipeline import it.
package preprocess
