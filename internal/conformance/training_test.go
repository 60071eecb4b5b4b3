package conformance

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/pipeline/loss"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/optim"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// inferred runs the model's inference graph on images [N, H, W, C].
func inferred(t *testing.T, m *student.Model, images []float32, n int) []float32 {
	t.Helper()
	g, err := m.Graph(n, student.Infer)
	if err != nil {
		t.Fatal(err)
	}
	setImages(t, g, images)
	machine, err := vm.New(g.Expr, gorgonia.Nodes{g.Logits})
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(g.Logits.Value().Data().([]float32))
}

func setImages(t *testing.T, g *student.Graph, images []float32) {
	t.Helper()
	if err := gorgonia.Let(g.Image, tensor.New(tensor.WithShape(g.Image.Shape().Clone()...), tensor.WithBacking(slices.Clone(images)))); err != nil {
		t.Fatal(err)
	}
}

// step is what one step of gradient descent did.
type step struct {
	before, after float64
	wanted        float64  // before - after, were the loss straight
	still         []string // parameters without a gradient
	moved         int      // parameters that the step changed
	tensors       int      // parameters in all
}

// descend takes one step of gradient descent on the cross-entropy of images
// [N, H, W, C], whose labels count upwards, by a learning rate that should take
// the given share off the loss. Both losses are of the graph that trains: of
// the batch's own statistics where there is batch normalisation.
func descend(t *testing.T, m *student.Model, images []float32, n int) step {
	t.Helper()
	g, err := m.Graph(n, student.Train)
	if err != nil {
		t.Fatal(err)
	}
	setImages(t, g, images)
	classes := m.Spec().Classes
	hot := make([]float32, n*classes)
	for i := range n {
		hot[i*classes+i%classes] = 1
	}
	target := gorgonia.NewMatrix(g.Expr, tensor.Float32, gorgonia.WithShape(n, classes), gorgonia.WithName("target"),
		gorgonia.WithValue(tensor.New(tensor.WithShape(n, classes), tensor.WithBacking(hot))))
	ce, err := loss.CE(g.Logits, target, 0)
	if err != nil {
		t.Fatal(err)
	}
	gradients, err := gorgonia.Grad(ce, g.Params...)
	if err != nil {
		t.Fatal(err)
	}
	machine, err := vm.New(g.Expr, append(gorgonia.Nodes{ce}, gradients...), vm.WithFiniteCheck())
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	run := func() float64 {
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		return float64(floats(t, ce.Value())[0])
	}
	var params []optim.Param
	old := make([][]float32, len(g.Params))
	for i, p := range g.Params {
		params = append(params, optim.Param{Name: p.Name()})
		old[i] = slices.Clone(floats(t, p.Value()))
	}
	sgd, err := optim.NewSGD(params, optim.SGDConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := step{before: run(), tensors: len(params)}
	squares := 0.0
	for i, n := range gradients {
		own := 0.0
		for _, v := range floats(t, n.Value()) {
			own += float64(v) * float64(v)
		}
		if own == 0 {
			s.still = append(s.still, g.Params[i].Name())
		}
		squares += own
	}
	s.wanted = share * s.before
	sgd.SetLR(s.wanted / squares)
	if err := sgd.Step(gorgonia.NodesToValueGrads(g.Params)); err != nil {
		t.Fatal(err)
	}
	for i, p := range g.Params {
		moved := false
		for j, v := range floats(t, p.Value()) {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Errorf("%s has a %v after the step", p.Name(), v)
				break
			}
			moved = moved || v != old[i][j]
		}
		if moved {
			s.moved++
		}
	}
	s.after = run()
	return s
}

// floats returns the elements of a float32 tensor or scalar.
func floats(t *testing.T, v gorgonia.Value) []float32 {
	t.Helper()
	switch v := v.(type) {
	case *tensor.Dense:
		return v.Float32s()
	case *gorgonia.F32:
		return []float32{float32(*v)}
	}
	t.Fatalf("a value of type %T", v)
	return nil
}

// learned counts the trainable elements.
func learned(m *student.Model) (n int) {
	for _, p := range m.Params() {
		if p.Trainable {
			n += p.Len()
		}
	}
	return n
}
