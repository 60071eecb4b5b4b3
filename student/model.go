package student

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// Shape is the size of an image: rows, columns, channels.
type Shape struct{ H, W, C int }

// String returns the shape as height x width x channels: "32x32x3".
func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.H, s.W, s.C) }

// Spec is what a student must fit: its input and its output.
type Spec struct {
	// Image is the size of the input, each dimension at least 1.
	Image Shape

	// Classes is the number of logits, at least 2.
	Classes int
}

// Architecture is a network as a function. Build is called once for every
// graph of a model and must make the same layers, under the same names, each
// time; batch size and mode may differ. image is [N, H, W, C].
type Architecture struct {
	// Name identifies the architecture, "wrn-16-1".
	Name string

	// Build makes the network over image with the builder's methods and ends
	// with the builder's Output.
	Build func(b *Builder, image *gorgonia.Node) (Output, error)
}

// Output is what an architecture makes of an image.
type Output struct {
	// Logits is [N, classes].
	Logits *gorgonia.Node

	// Taps are the places where attention can be taught, from input to output.
	Taps []Tap
}

// Tap is a named activation [N, H, W, C].
type Tap struct {
	Name string
	Node *gorgonia.Node
}

// Mode says what a graph is for.
type Mode int

const (
	// Infer normalises by the running statistics.
	Infer Mode = iota

	// Train normalises by the statistics of the batch and computes new running
	// statistics.
	Train
)

// String returns "infer" or "train".
func (m Mode) String() string {
	switch m {
	case Infer:
		return "infer"
	case Train:
		return "train"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Model is an architecture with parameters. Its methods may be called by one
// goroutine at a time: the parameters are shared memory.
type Model struct {
	architecture Architecture
	spec         Spec
	seed         uint64
	dtype        tensor.Dtype
	params       []*Param
	byName       map[string]*Param
}

// New makes a model with fresh float32 parameters. Each parameter's initial
// value depends on the seed and its name, not on when it is made: weights are
// He normal by fan-in, scales and running variances 1, the rest 0.
func New(a Architecture, s Spec, seed uint64) (*Model, error) {
	switch {
	case a.Build == nil:
		return nil, fmt.Errorf("student: architecture %q has no Build function", a.Name)
	case s.Image.H < 1 || s.Image.W < 1 || s.Image.C < 1:
		return nil, fmt.Errorf("student: image of %v; height, width and channels are each at least 1", s.Image)
	case s.Classes < 2:
		return nil, fmt.Errorf("student: %d classes; a classifier tells at least 2 apart", s.Classes)
	}
	m := &Model{architecture: a, spec: s, seed: seed, dtype: tensor.Float32, byName: map[string]*Param{}}
	g, err := m.build(1, Infer, true)
	if err != nil {
		return nil, err
	}
	if len(g.Params) == 0 {
		return nil, fmt.Errorf("student: %s has no trainable parameter", a.Name)
	}
	return m, nil
}

// Name returns the architecture's name.
func (m *Model) Name() string { return m.architecture.Name }

// Spec returns the image size and number of classes the model is for.
func (m *Model) Spec() Spec { return m.spec }

// Dtype returns the type of the parameters: tensor.Float32, or tensor.Float64
// after Convert.
func (m *Model) Dtype() tensor.Dtype { return m.dtype }

// Params returns the parameters in the order the architecture made them, the
// running statistics of batch normalisation among them.
func (m *Model) Params() []*Param { return slices.Clone(m.params) }

// Convert returns a copy of m, with memory of its own, whose parameters and
// graphs are of type dt: tensor.Float32 or tensor.Float64. Training is meant
// for float32; float64 is for comparing gradients with differences.
func (m *Model) Convert(dt tensor.Dtype) (*Model, error) {
	if dt != tensor.Float32 && dt != tensor.Float64 {
		return nil, fmt.Errorf("student: element type %v; a model's are float32 and float64", dt)
	}
	c := *m
	c.dtype, c.params, c.byName = dt, make([]*Param, len(m.params)), make(map[string]*Param, len(m.params))
	for i, p := range m.params {
		c.params[i] = p.as(dt)
		c.byName[p.Name] = c.params[i]
	}
	return &c, nil
}

// Apply copies new running statistics into the model's parameters, once the
// graph they belong to has been run.
func (m *Model) Apply(updates []Update) error {
	for _, u := range updates {
		v := u.Node.Value()
		if v == nil {
			return fmt.Errorf("student: the update of %s has no value; run its graph before applying it", u.Param.Name)
		}
		src, err := op.BufferOf(v)
		if err != nil {
			return fmt.Errorf("student: the update of %s: %w", u.Param.Name, err)
		}
		dst, err := op.BufferOf(u.Param.Value)
		if err != nil {
			return fmt.Errorf("student: %s: %w", u.Param.Name, err)
		}
		if copy(dst.F32, src.F32)+copy(dst.F64, src.F64) != dst.Len() {
			return fmt.Errorf("student: the update of %s has %d elements of type %v; the parameter has %d of %v",
				u.Param.Name, src.Len(), v.Dtype(), dst.Len(), u.Param.Value.Dtype())
		}
	}
	return nil
}

var errRebuilt = errors.New("an architecture makes the same layers every time")
