package importer

import (
	"context"
	"errors"
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
)

// Program is a model's main graph as onnx-go decoded it: what no output needs
// is left out, model-local functions are replaced by their bodies, and real
// numbers of any width are float32.
//
// It shares the contents of constants with the model it was read from. They
// are not to be written to.
type Program struct {
	// Opset is the version of the default operator domain; 0 when the model
	// uses only others.
	Opset int64
	Name  string // of the graph
	// Inputs are the values a caller feeds, those with a constant default
	// excepted; Outputs are what the graph gives. With declared types and dims.
	Inputs, Outputs []*onnx.Value
	Calls           []Call // in an order in which they can run
	// Constants are the initializers and what Constant nodes hold, by the name
	// of the value. An output of the program may be one.
	Constants map[string]*onnx.Tensor
	// Notes says in sentences for people what was changed on the way in.
	Notes []string
}

// Call is one applied operator.
type Call struct {
	Op     string
	Name   string // of the node; often empty
	Domain string // "" is the standard operators
	// Inputs and Outputs name values; "" is an optional one left out. Inputs
	// left out at the end are not listed.
	Inputs, Outputs []string
	// Node holds the attributes, to be read by its accessors, and the same
	// names once more, for messages.
	Node *onnx.Node
}

// String names the call for messages, as onnx.Node does.
func (c Call) String() string { return c.node().String() }

// node is the call's node, or one made of its names for a call made by hand.
func (c Call) node() *onnx.Node {
	if c.Node != nil {
		return c.Node
	}
	return &onnx.Node{Op: c.Op, Name: c.Name, Domain: c.Domain, Inputs: c.Inputs, Outputs: c.Outputs}
}

// ErrUnsupported is matched by errors.Is when a model is in order and has
// something that this program cannot import.
var ErrUnsupported = rewrite.ErrUnsupported

// CallError is what is wrong with one call.
type CallError struct {
	Op, Name, Domain string
	Node             string // operator and name as onnx.Node.String gives them
	Opset            int64  // version of the default operator domain
	// Unsupported tells a call that is in order, but cannot be imported or
	// folded, from one that breaks its operator's rules. errors.Is with
	// ErrUnsupported asks the same.
	Unsupported bool
	Err         error // what is wrong
}

// Error names the node, its operator and the opset.
func (e *CallError) Error() string {
	return fmt.Sprintf("importer: %s (opset %d): %v", e.Node, e.Opset, e.Err)
}

// Unwrap returns what is wrong with the call.
func (e *CallError) Unwrap() error { return e.Err }

// Is makes an unsupported call an ErrUnsupported.
func (e *CallError) Is(target error) bool { return target == ErrUnsupported && e.Unsupported }

// callError makes the error of a node. Errors that are ErrUnsupported mark it so.
func callError(n *onnx.Node, opset int64, err error) *CallError {
	return &CallError{
		Op: n.Op, Name: n.Name, Domain: onnx.CanonicalDomain(n.Domain), Node: n.String(), Opset: opset,
		Unsupported: errors.Is(err, ErrUnsupported), Err: err,
	}
}

// unsupported is an error that is ErrUnsupported and reads as formatted.
func unsupported(format string, args ...any) error {
	return &unsupportedError{fmt.Sprintf(format, args...)}
}

type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string        { return e.what }
func (e *unsupportedError) Is(target error) bool { return target == ErrUnsupported }

// Read reads the main graph of a model. m is not changed.
//
// The model must pass onnx.Check. Beyond that Read refuses what a list of
// calls on dense tensors cannot say: inputs and outputs that are no dense
// tensors, sparse constants, subgraphs (If, Loop, Scan), attributes that hold
// lists of tensors, sparse tensors or types, and functions that are written
// for another opset than the model. Those errors are ErrUnsupported; where one
// node is to blame it is a *CallError. Operators are not judged: unknown ones
// and those of other domains become calls like any other.
//
// Memory follows the file. Large constants are shared with m; those of half
// precision take twice their size once more. Beside them each node becomes a
// call, and a call of a function those of its body: a file made to waste memory
// has at most 1,000 bytes allocated for each of its own, and 40 MB where it has
// functions.
func Read(m *onnx.Model) (*Program, error) { return ReadContext(context.Background(), m) }

// ReadContext is Read until ctx is cancelled, whose error it returns then.
func ReadContext(ctx context.Context, m *onnx.Model) (*Program, error) {
	if err := onnx.Check(m); err != nil {
		return nil, fmt.Errorf("importer: %w", err)
	}
	n, err := normalise(m)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	calls, err := n.decode(ctx)
	if err != nil {
		return nil, err
	}
	g := n.model.Graph
	return &Program{
		Opset: n.opset, Name: g.Name, Inputs: g.Inputs, Outputs: g.Outputs,
		Calls: calls, Constants: n.constants, Notes: n.notes,
	}, nil
}
