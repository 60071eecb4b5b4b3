// Package preprocess says what a model's image input expects of 8-bit pixels:
// a scale, a mean, a standard deviation and a channel order. It parses and
// prints that description, applies it, measures it on a training set, and
// keeps it in a model's metadata. Beside that it has the shape of the images
// where the input does not declare it.
//
// Pixels are always [H, W, C] bytes, 0 to 255, red first. Resizing and the
// change between greyscale and colour are left to the caller. The package
// imports only package onnx; onnx/rewrite, teachers, student and pipeline import
// it.
package preprocess
