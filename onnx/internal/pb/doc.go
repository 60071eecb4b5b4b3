// Package pb is the protobuf form of an ONNX file, generated from onnx.proto,
// and the few calls of the protobuf module that reading and writing it take.
// Only package onnx imports it; nothing of it appears in that package's API.
//
// To generate it again, install protoc (Debian and Ubuntu: protobuf-compiler)
// and run go generate here. The Go plugin is the one pinned in go.mod.
package pb

//go:generate sh -c "protoc -I ../../.. --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --go_out=../../.. --go_opt=paths=source_relative onnx/internal/pb/onnx.proto"
