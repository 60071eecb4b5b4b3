package rewrite

import (
	"errors"
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// ErrUnsupported is matched by errors.Is when a model is in order and has
// something that a pass cannot say in other nodes.
var ErrUnsupported = errors.New("not supported")

// NodeError is what is wrong with one node. errors.Is with ErrUnsupported tells
// a node that is in order from one that breaks its operator's rules.
type NodeError struct {
	Node  *onnx.Node
	Opset int64 // version of the default operator domain
	Err   error // what is wrong
}

// Error names the node, its operator and the opset.
func (e *NodeError) Error() string {
	return fmt.Sprintf("rewrite: %v (opset %d): %v", e.Node, e.Opset, e.Err)
}

// Unwrap returns what is wrong with the node.
func (e *NodeError) Unwrap() error { return e.Err }

// unsupported is an error that is ErrUnsupported and reads as formatted.
func unsupported(format string, args ...any) error {
	return &unsupportedError{fmt.Sprintf(format, args...)}
}

type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string        { return e.what }
func (e *unsupportedError) Is(target error) bool { return target == ErrUnsupported }
