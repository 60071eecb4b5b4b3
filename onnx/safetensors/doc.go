// Package safetensors reads and writes the safetensors file format: named
// dense tensors behind a JSON header, with a map of strings as metadata.
//
// It keeps checkpoints and recorded signals. Read and Write take a file whole;
// LayOut and ReadHeader say where the tensors lie, for files that are filled or
// read piece by piece. Writing is atomic and deterministic: the same tensors and
// metadata give the same bytes, in whatever order they are passed. Reading checks everything before it
// believes it, so a truncated, corrupt or hostile file gives an error that
// names the file and the tensor, and never costs more memory than the file is
// long, header apart.
//
// The format is https://github.com/huggingface/safetensors (format section of
// the README): eight bytes of header length, little-endian; that many bytes
// of JSON; the tensors' bytes, little-endian, row-major, with no gap and no
// overlap.
//
// The package imports only onnx/wholefile.
package safetensors
