// Package ort runs ONNX models in ONNX Runtime: it finds and loads the shared
// library once per process, makes sessions from model bytes, and moves tensors
// in and out of them. It is the only importer of onnxruntime_go.
//
// What goes in and comes out is Go memory: nothing a Session returns points
// into ONNX Runtime, so results outlive their session. Without cgo the package
// compiles, finds libraries and refuses to load them.
//
// What a model means is left to package teachers, its only importer.
package ort
