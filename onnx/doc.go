// Package onnx reads, checks, edits, builds and writes ONNX models. It knows
// the file format and the graph, and executes nothing.
//
// A Model is plain Go structs that may be read and changed freely: nodes refer
// to values by name, as in the file. What this package has no use for
// (training info, quantization annotations, fields newer than its schema) is
// carried as opaque bytes from Decode to Encode. (Entries of opset and metadata
// lists are an exception: they are plain pairs.)
//
//	m, err := onnx.ReadFile("teacher.onnx")
//	err = m.SetBatch("batch")
//	err = onnx.Check(m)
//	err = m.WriteFile("batched.onnx")
//
// Models are made from nothing with a Builder, which hands out unique names.
//
// A model can be made smaller without changing what it computes: Strip removes
// what no output needs, MergeTransposes needless Transposes. HalfWeights halves
// its file and rounds its weights.
//
// Infer finds types and shapes from the operators alone, without running the model;
// SetBatch builds on it.
//
// What it leaves to others: execution (ONNX Runtime, in package teachers), the
// meaning of operators (student/op), and which values are worth looking at
// (teachers).
//
// Any package of this module may import onnx; onnx imports none of
// them. Protobuf stays in onnx/internal/pb.
//
// Field numbers and rules follow the ONNX specification,
// https://github.com/onnx/onnx/blob/main/docs/IR.md.
package onnx
