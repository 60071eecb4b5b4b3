package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// GradientUnits turn a gradient by the teacher's input into one by the
// student's. Both are made from the same bytes, normalised each in its own way:
// what a network feels of a byte is divided among other units. The zero value
// leaves gradients as they are.
type GradientUnits struct {
	source []int     // the teacher's channel for each of the student's
	gain   []float32 // what its gradient is multiplied with
}

// NewGradientUnits returns the units between two ways of normalising images of
// 1 or 3 channels.
func NewGradientUnits(teacher, student preprocess.Spec, channels int) (GradientUnits, error) {
	theirs, theirSlope, err := teacher.Slopes(channels)
	if err != nil {
		return GradientUnits{}, fmt.Errorf("pipeline: teacher: %w", err)
	}
	own, ownSlope, err := student.Slopes(channels)
	if err != nil {
		return GradientUnits{}, fmt.Errorf("pipeline: student: %w", err)
	}
	u := GradientUnits{source: make([]int, channels), gain: make([]float32, channels)}
	for c, pixel := range own {
		for k, from := range theirs {
			if from == pixel {
				u.source[c], u.gain[c] = k, float32(theirSlope[k]/ownSlope[c])
			}
		}
	}
	return u, nil
}

// convert writes the teacher's gradients src [..., C] to dst in the student's
// units.
func (u GradientUnits) convert(dst, src []float32) {
	if len(u.gain) == 0 {
		copy(dst, src)
		return
	}
	channels := len(u.gain)
	for c, gain := range u.gain {
		for i, from := c, u.source[c]; i < len(dst); i, from = i+channels, from+channels {
			dst[i] = gain * src[from]
		}
	}
}

// differentiate makes the model that tells a teacher's gradient by its image, and
// returns what attaches it to a session of the teacher.
func (u *run) differentiate(ctx context.Context, teacher teachers.Spec) (attach func(*teachers.Session) error, err error) {
	if got, want := [3]int{teacher.H, teacher.W, teacher.C}, [3]int{u.data.H, u.data.W, u.data.C}; got != want {
		return nil, fmt.Errorf("pipeline: gradients are compared pixel by pixel, and the teacher takes images of %dx%dx%d, the student of %dx%dx%d; bring them to one size with data.size, or set loss.gradient_beta to 0",
			got[0], got[1], got[2], want[0], want[1], want[2])
	}
	if u.gradient, err = NewGradientUnits(teacher.Preprocess, u.preprocess, u.data.C); err != nil {
		return nil, err
	}
	m, err := onnx.ReadFile(u.config.Teacher.Path)
	if err != nil {
		return nil, err
	}
	g, err := student.GradientContext(ctx, m, student.GradientOptions{
		Output: u.config.Teacher.Output, Image: student.Shape{H: teacher.H, W: teacher.W, C: teacher.C}, ImageShape: teacher.ImageShape, Gradient: teachers.GradientOutput, Labels: teachers.GradientLabels,
	})
	if ctx.Err() != nil {
		return nil, ErrInterrupted
	}
	if err != nil {
		return nil, fmt.Errorf("pipeline: %s cannot be differentiated by its image, which loss.gradient_beta needs: %w", teacher.Name, err)
	}
	say(u.reporter, "gradient the teacher's, by its image, is a graph of %d nodes beside its own", len(g.Graph.Nodes))
	return func(s *teachers.Session) error { return s.AttachGradient(g, u.config.Resources.Threads) }, nil
}

// GradientReport says whether a model can be differentiated by its image, as
// gradient-based attention transfer does with a teacher.
type GradientReport struct {
	Possible bool   `json:"possible"`
	Nodes    int    `json:"nodes,omitempty"`    // of the gradient's graph
	Operator string `json:"operator,omitempty"` // that stands in the way, where it is one
	Problem  string `json:"problem,omitempty"`  // why it is not possible

	model *onnx.Model
}

// WriteFile writes the model that computes the gradient; see
// student.GradientModel. Where that is not possible the error says why.
func (r *GradientReport) WriteFile(path string) error {
	if !r.Possible {
		return fmt.Errorf("pipeline: there is no gradient to write: %s", r.Problem)
	}
	return r.model.WriteFile(path)
}

// String says it in a sentence.
func (r *GradientReport) String() string {
	if r.Possible {
		return fmt.Sprintf("yes, a graph of %d nodes", r.Nodes)
	}
	return "no: " + r.Problem
}

// InspectGradient differentiates the model that a report of teachers.Inspect is
// about, and runs the result in ONNX Runtime. output names the output with the
// class scores, library the runtime, as in teachers.InspectOptions.
func InspectGradient(ctx context.Context, path string, of *teachers.Report, output, library string) *GradientReport {
	r := &GradientReport{}
	err := r.try(ctx, path, of, output, library)
	r.Possible = err == nil
	if err == nil {
		return r
	}
	r.Problem = err.Error()
	var unsupported *student.UnsupportedError
	var form *student.NoFormError
	switch {
	case errors.As(err, &unsupported):
		r.Operator = unsupported.Op
	case errors.As(err, &form):
		r.Operator = form.Op
	}
	return r
}

func (r *GradientReport) try(ctx context.Context, path string, of *teachers.Report, output, library string) error {
	if of.Problem != "" {
		return errors.New(of.Problem)
	}
	shape, err := preprocess.ParseImageShape(of.ImageShape)
	if err != nil {
		return err
	}
	m, err := onnx.ReadFile(path)
	if err != nil {
		return err
	}
	g, err := student.GradientContext(ctx, m, student.GradientOptions{
		Output: output, Image: student.Shape{H: of.Image[1], W: of.Image[2], C: of.Image[0]}, ImageShape: shape,
		Gradient: teachers.GradientOutput, Labels: teachers.GradientLabels,
	})
	if err != nil {
		return err
	}
	r.Nodes, r.model = len(g.Graph.Nodes), g
	session, err := teachers.Open(path, teachers.Options{
		Map: teachers.MapNone, Layout: of.Layout, Output: output, ImageShape: shape, Size: [2]int{of.Image[1], of.Image[2]}, Library: library,
	})
	if err != nil {
		return err
	}
	defer session.Close()
	return session.AttachGradient(g, 0)
}
