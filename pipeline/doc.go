// Package pipeline joins the rooms: a frozen teacher's signals (package
// teachers) become the losses (pipeline/loss) from which a student (package
// student) learns on images (pipeline/data), driven by the training loop of
// pipeline/engine; the student is then exported, verified in ONNX Runtime and
// tested.
//
// Read pipeline.go first: Train is the whole story on one screen. It is the
// only package that knows both teachers and students.
package pipeline
