package rewrite

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// Version is that of the passes together. It is raised when they make of some
// file a model that gives other values, so that what was computed by the one
// before is not taken for the values of this one.
const Version = 1

// Normal is a model in the form in which all of this program reads it: as
// teacher, as student, and when it is measured.
type Normal struct {
	// Model says what the file says in inference: without functions of its own,
	// and with nothing in training mode that the file has an answer for. Its
	// outputs are the file's; Ending tells where their logits are.
	Model *onnx.Model

	// ImageShape is that of the images which an input of fewer axes was found to
	// hold; the model takes them in four. It is not Known where nothing was done.
	ImageShape preprocess.ImageShape

	// Order is that of the image's axes in the model's input, where somebody said
	// it or the input was made an image; "" leaves it to the graph.
	Order preprocess.AxisOrder

	// Unread says why the input cannot be read as images: it has fewer axes, and
	// nothing tells what images so many numbers are (ErrImageShape), or the file's
	// metadata says what does not fit it. nil where it is an image, or so far from
	// one that nobody asked. The model then is as the file has it.
	Unread error

	done     []string // what was done, in sentences for people
	branches int      // taken of nodes If
}

// Normalize brings a model that passes onnx.Check into normal form. m is not
// changed, and a model in normal form stays as it is.
//
// Calls of model-local functions are replaced by their nodes. Where they cannot
// be (see InlineFunctions), they stay, which ONNX Runtime can run and an import
// refuses. BatchNormalization that was exported in training mode normalises by
// its running statistics, where the file has them, and Dropout drops nothing:
// both as in inference, whoever opens the file. BatchNormalization whose
// statistics are computed in the graph means its batch, and stays as it is. What is
// declared of a batch is left out where the input takes any. An input that holds
// images in fewer axes than four becomes one of images, as im tells; that im.Shape
// does not fit it is an error. An If that asks for the size of a value gives way to
// the branch that the declared sizes decide on; At takes those that an image's
// size does.
func Normalize(m *onnx.Model, im Images) (*Normal, error) {
	n := &Normal{Model: m.Clone()}
	if n.Model.Graph == nil {
		return n, nil
	}
	calls, err := InlineFunctions(n.Model)
	switch {
	case errors.Is(err, ErrUnsupported):
		n.note("calls of its own functions are left as they are: %v", strings.TrimPrefix(err.Error(), "rewrite: "))
	case err != nil:
		return nil, err
	case calls > 0:
		n.note("calls of its own functions, replaced by the functions' nodes: %d", calls)
	}
	n.leaveTraining()
	n.undeclareBatch()
	if err := n.takeImages(im); err != nil {
		return nil, err
	}
	return n.At(nil), nil
}

// At returns the model for inputs of which more is known than it declares: with
// the branches taken that their shapes decide, by the names of inputs. Where there
// are none that is n itself; n is not changed.
func (n *Normal) At(sizes map[string][]onnx.Dim) *Normal {
	isIf := func(node *onnx.Node) bool { return node != nil && node.Op == "If" }
	if n.Model.Graph == nil || !slices.ContainsFunc(n.Model.Graph.Nodes, isIf) || onnx.Check(n.Model) != nil {
		return n // whoever reads the model says what is wrong with it
	}
	at := *n
	at.Model, at.done = n.Model.Clone(), slices.Clone(n.done)
	taken := at.Model.TakeBranches(sizes)
	if taken == 0 {
		return n
	}
	at.branches += taken
	at.leaveTraining()
	return &at
}

func (n *Normal) note(format string, args ...any) {
	n.done = append(n.done, fmt.Sprintf(format, args...))
}

// Note says in one sentence what was done to the model and to the scores of an
// output; it is empty where that is nothing.
func (n *Normal) Note(output string) string {
	all := slices.Clone(n.done)
	if n.branches > 0 {
		all = append(all, fmt.Sprintf("If nodes that depend on the size of a value, replaced by their branch for these images: %d", n.branches))
	}
	if e := n.Ending(output); e.Kind != NoEnding {
		all = append(all, e.String())
	}
	return strings.Join(all, "; ")
}

// constant returns the tensor that a value is, perhaps by a node that passes it
// on, or nil.
func constant(x *onnx.Index, v string) *onnx.Tensor {
	for range 16 { // exporters chain no more than one
		if t := x.Constant(v); t != nil {
			return t
		}
		p := x.Producer(v)
		if p == nil || p.Op != "Identity" || onnx.CanonicalDomain(p.Domain) != "" || len(p.Inputs) != 1 {
			return nil
		}
		v = p.Inputs[0]
	}
	return nil
}

// floats returns the elements of a tensor of real numbers.
func floats(t *onnx.Tensor) ([]float64, error) {
	if t.Type == onnx.Float64 {
		return t.Float64s()
	}
	narrow, err := t.Float32s()
	wide := make([]float64, len(narrow))
	for i, v := range narrow {
		wide[i] = float64(v)
	}
	return wide, err
}
