package pipeline

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/pipeline/loss"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/optim"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// Sample is one batch as a network learns from it: images, labels and what the
// teacher says of them.
type Sample struct {
	data.Batch
	Signals *teachers.Signals // nil without a teacher
}

var (
	_ engine.Network[*Sample] = (*Learner)(nil)
	_ engine.Network[*Sample] = (*Scorer)(nil)
)

// errDiverged is wrapped by the errors of a Learner whose loss or gradients are
// not finite.
var errDiverged = errors.New("pipeline: training has diverged; lower training.learning_rate, or clip gradients with training.clip_norm 1")

// Learner trains a student: a graph of network, objective and gradients for
// one batch size, the machine that runs it, and the optimiser.
type Learner struct {
	model     *student.Model
	optimizer optim.Optimizer
	input     *imageInput
	graph     *student.Graph
	machine   *vm.Machine
	gradients []gorgonia.ValueGrad

	labels   []float32   // [batch, classes], one hot
	logits   []float32   // [batch, classes], the teacher's; nil without KD
	maps     [][]float32 // [batch, H, W] per pair
	gradient []float32   // [batch, H, W, C], the teacher's, by the student's image; nil without gradient-based attention
	units    GradientUnits
	classes  int
	terms    []loss.Term
	total    *gorgonia.Node
	beta     float64         // attention's weight at the start
	weights  []*gorgonia.F32 // of the attention terms, changed by SetAttention
	reported []engine.Term
}

// Objective is what a learner makes small.
type Objective struct {
	LossConfig
	Teacher bool      // samples bring a teacher's signals; without them the loss is CE alone
	Pairs   []TapPair // of attention transfer, in the order of the signals' maps; none is no attention

	// Gradient is for LossConfig.GradientBeta above 0: the signals then have the
	// teacher's gradient behind the pairs' maps.
	Gradient GradientUnits
}

// NewLearner builds the training graph of model for batches of exactly batch
// images: network, objective and gradients. The options are those of the
// machine that runs it.
func NewLearner(model *student.Model, batch int, normalizer *preprocess.Normalizer, o Objective, optimizer optim.Optimizer, opts ...vm.Option) (*Learner, error) {
	g, err := model.Graph(batch, student.Train)
	if err != nil {
		return nil, err
	}
	l := &Learner{model: model, optimizer: optimizer, graph: g, classes: model.Spec().Classes, beta: o.Attention.Beta}
	if l.input, err = newImageInput(g.Image, normalizer); err != nil {
		return nil, err
	}
	if err := l.objective(o); err != nil {
		return nil, err
	}
	if _, err := gorgonia.Grad(l.total, g.Params...); err != nil {
		return nil, fmt.Errorf("pipeline: differentiating the objective: %w", err)
	}
	outputs := gorgonia.Nodes{g.Logits, l.total}
	for _, t := range l.terms {
		outputs = append(outputs, t.Node)
	}
	for _, p := range g.Params {
		outputs = append(outputs, p.Deriv())
	}
	for _, u := range g.Updates {
		outputs = append(outputs, u.Node)
	}
	if l.machine, err = vm.New(g.Expr, outputs, opts...); err != nil {
		return nil, err
	}
	l.gradients = gorgonia.NodesToValueGrads(g.Params)
	l.reported = make([]engine.Term, len(l.terms))
	return l, nil
}

// objective adds (1-α)·CE + α·KD + β·Σ AT + β_J·½‖J_S − J_T‖ to the graph (Hinton,
// Vinyals & Dean 2015; Zagoruyko & Komodakis 2017, sections 3.1 and 3.2). Without
// a teacher it is CE alone.
func (l *Learner) objective(o Objective) error {
	batch := l.graph.Image.Shape()[0]
	var err error
	var target, softTarget *gorgonia.Node // [batch, classes]
	if target, l.labels, err = l.newInput("loss/ce/labels", batch, l.classes); err != nil {
		return err
	}
	alpha := o.Alpha
	if !o.Teacher {
		alpha = 0
	}
	ce, err := loss.CE(l.graph.Logits, target, o.LabelSmoothing)
	if err != nil {
		return err
	}
	if err := l.add("ce", ce, 1-alpha); err != nil {
		return err
	}
	if alpha > 0 {
		if softTarget, l.logits, err = l.newInput("loss/kd/teacher", batch, l.classes); err != nil {
			return err
		}
		kd, err := loss.KD(l.graph.Logits, softTarget, o.Temperature)
		if err != nil {
			return err
		}
		if err := l.add("kd", kd, alpha); err != nil {
			return err
		}
	}
	for _, p := range o.Pairs {
		tap, err := l.graph.Tap(p.Student)
		if err != nil {
			return err
		}
		teacherMap, values, err := l.newInput("loss/at/"+p.Student+"/teacher", batch, p.TeacherSize[0], p.TeacherSize[1])
		if err != nil {
			return err
		}
		l.maps = append(l.maps, values)
		at, err := loss.Attention(tap, teacherMap, o.Attention.attention())
		if err != nil {
			return err
		}
		if err := l.add("at/"+p.Student, at, o.Attention.Beta); err != nil {
			return err
		}
		l.weights = append(l.weights, l.terms[len(l.terms)-1].Weight.Value().(*gorgonia.F32))
	}
	if o.Teacher && o.GradientBeta > 0 {
		if err := l.addGradient(ce, o); err != nil {
			return err
		}
	}
	l.total, err = loss.Total(l.terms)
	return err
}

// addGradient adds gradient-based attention transfer.
func (l *Learner) addGradient(ce *gorgonia.Node, o Objective) error {
	image := l.graph.Image
	own, err := loss.InputGradient(ce, image)
	if err != nil {
		return err
	}
	theirs, values, err := l.newInput("loss/gradient/teacher", image.Shape()...)
	if err != nil {
		return err
	}
	l.gradient, l.units = values, o.Gradient
	n, err := loss.Gradient(own, theirs)
	if err != nil {
		return err
	}
	return l.add("gradient", n, o.GradientBeta)
}

// newInput adds a float32 input to the graph and returns it with its memory.
func (l *Learner) newInput(name string, shape ...int) (*gorgonia.Node, []float32, error) {
	values := make([]float32, tensor.Shape(shape).TotalSize())
	v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
	n := gorgonia.NewTensor(l.graph.Expr, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	if err := gorgonia.Let(n, v); err != nil {
		return nil, nil, fmt.Errorf("pipeline: input %s: %w", name, err)
	}
	return n, values, nil
}

// add appends a term whose weight is an input, so that it can change between
// steps.
func (l *Learner) add(name string, value *gorgonia.Node, weight float64) error {
	w := gorgonia.NewScalar(l.graph.Expr, tensor.Float32, gorgonia.WithName("loss/"+name+"/weight"))
	if err := gorgonia.Let(w, gorgonia.NewF32(float32(weight))); err != nil {
		return fmt.Errorf("pipeline: weight of %s: %w", name, err)
	}
	l.terms = append(l.terms, loss.Term{Name: name, Node: value, Weight: w})
	return nil
}

// SetAttention multiplies the weight of the attention terms at the start of
// training by factor; see AttentionConfig.Decay.
func (l *Learner) SetAttention(factor float64) {
	for _, w := range l.weights {
		*w = gorgonia.F32(l.beta * factor)
	}
}

// Compute implements engine.Network. The batch must have the size the learner
// was made for.
func (l *Learner) Compute(s *Sample, _ bool) (engine.Output, error) {
	if len(s.Labels)*l.input.size != len(l.input.values) {
		return engine.Output{}, fmt.Errorf("pipeline: a batch of %d images for a graph of %d", len(s.Labels), len(l.input.values)/l.input.size)
	}
	if err := l.input.set(s.Pixels); err != nil {
		return engine.Output{}, err
	}
	clear(l.labels)
	for i, label := range s.Labels {
		l.labels[i*l.classes+label] = 1
	}
	if l.logits != nil || len(l.maps) > 0 || l.gradient != nil {
		if err := l.setSignals(s.Signals); err != nil {
			return engine.Output{}, err
		}
	}
	if err := l.machine.RunAll(); err != nil {
		return engine.Output{}, err
	}
	for i, t := range l.terms {
		l.reported[i] = engine.Term{Name: t.Name, Value: scalar(t.Node), Weight: scalar(t.Weight)}
	}
	out := engine.Output{
		Logits: l.graph.Logits.Value().(*tensor.Dense).Float32s(),
		Labels: s.Labels,
		Loss:   scalar(l.total),
		Terms:  l.reported,
	}
	if math.IsNaN(out.Loss) || math.IsInf(out.Loss, 0) {
		return out, fmt.Errorf("%w: the loss is %v (%s)", errDiverged, out.Loss, formatTerms(l.reported))
	}
	return out, nil
}

func (l *Learner) setSignals(s *teachers.Signals) error {
	if s == nil {
		return fmt.Errorf("pipeline: the objective has teacher terms and the batch has no teacher signals")
	}
	if l.logits != nil {
		if len(s.Logits) != len(l.logits) {
			return fmt.Errorf("pipeline: teacher gave %d logits for a batch that wants %d", len(s.Logits), len(l.logits))
		}
		copy(l.logits, s.Logits)
	}
	for i, m := range l.maps {
		if len(s.Maps[i].Data) != len(m) {
			return fmt.Errorf("pipeline: teacher's map %s has %d values for a batch that wants %d", s.Maps[i].Tap, len(s.Maps[i].Data), len(m))
		}
		copy(m, s.Maps[i].Data)
	}
	if l.gradient != nil {
		if len(s.Maps) != len(l.maps)+1 || len(s.Maps[len(l.maps)].Data) != len(l.gradient) {
			return fmt.Errorf("pipeline: the objective compares gradients of %d values, and the teacher's signals have none such", len(l.gradient))
		}
		l.units.convert(l.gradient, s.Maps[len(l.maps)].Data)
	}
	return nil
}

// Update implements engine.Network: an optimiser step, then the running
// statistics the step computed.
func (l *Learner) Update(lr float64) error {
	l.optimizer.SetLR(lr)
	if err := l.optimizer.Step(l.gradients); errors.Is(err, optim.ErrNonFinite) {
		return fmt.Errorf("%w: %w", errDiverged, err)
	} else if err != nil {
		return err
	}
	return l.model.Apply(l.graph.Updates)
}

// Memory reports the plan of the machine that trains.
func (l *Learner) Memory() vm.Memory { return l.machine.Memory() }

// Profile returns where the time of the steps so far went, without the
// optimiser's; nil for a learner made without vm.WithProfile.
func (l *Learner) Profile() *vm.Profile { return l.machine.Profile() }

// Close releases the machine.
func (l *Learner) Close() error { return l.machine.Close() }

// Scorer runs a student in inference on batches of up to a fixed size.
type Scorer struct {
	input   *imageInput
	graph   *student.Graph
	machine *vm.Machine
	classes int
	logits  []float32 // of the last Compute
}

// NewScorer builds the inference graph of model that runs batch images at a
// time. It sees later changes of the model's parameters.
func NewScorer(model *student.Model, batch int, normalizer *preprocess.Normalizer) (*Scorer, error) {
	g, err := model.Graph(batch, student.Infer)
	if err != nil {
		return nil, err
	}
	s := &Scorer{graph: g, classes: model.Spec().Classes}
	if s.input, err = newImageInput(g.Image, normalizer); err != nil {
		return nil, err
	}
	if s.machine, err = vm.New(g.Expr, gorgonia.Nodes{g.Logits}); err != nil {
		return nil, err
	}
	return s, nil
}

// Compute implements engine.Network; training is ignored. Batches of any size
// are run in pieces of the scorer's, the last one filled up and its surplus
// dropped.
func (s *Scorer) Compute(sample *Sample, _ bool) (engine.Output, error) {
	s.logits = s.logits[:0]
	n, piece := len(sample.Labels), s.graph.Image.Shape()[0]
	for from := 0; from < n; from += piece {
		part := min(piece, n-from)
		if err := s.input.set(sample.Pixels[from*s.input.size : (from+part)*s.input.size]); err != nil {
			return engine.Output{}, err
		}
		if err := s.machine.RunAll(); err != nil {
			return engine.Output{}, err
		}
		s.logits = append(s.logits, s.graph.Logits.Value().(*tensor.Dense).Float32s()[:part*s.classes]...)
	}
	return engine.Output{Logits: s.logits, Labels: sample.Labels}, nil
}

// Update implements engine.Network; a scorer does not learn.
func (s *Scorer) Update(float64) error {
	return fmt.Errorf("pipeline: a scorer has no gradients to update from")
}

// Close releases the machine.
func (s *Scorer) Close() error { return s.machine.Close() }

// imageInput fills a graph's image input with normalised pixels.
type imageInput struct {
	values     []float32 // [batch, H, W, C]
	size       int       // H·W·C
	normalizer *preprocess.Normalizer
}

func newImageInput(n *gorgonia.Node, normalizer *preprocess.Normalizer) (*imageInput, error) {
	shape := n.Shape()
	values := make([]float32, shape.TotalSize())
	if err := gorgonia.Let(n, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))); err != nil {
		return nil, fmt.Errorf("pipeline: the student's image: %w", err)
	}
	return &imageInput{values: values, size: len(values) / shape[0], normalizer: normalizer}, nil
}

// set normalises pixels [n, H, W, C] into the first n images.
func (in *imageInput) set(pixels []uint8) error {
	if len(pixels)%in.size != 0 || len(pixels) > len(in.values) {
		return fmt.Errorf("pipeline: a batch of %d pixel values for a graph of %d images of %d values each", len(pixels), len(in.values)/in.size, in.size)
	}
	return in.normalizer.NHWC(in.values[:len(pixels)], pixels)
}

func scalar(n *gorgonia.Node) float64 {
	switch v := n.Value().(type) {
	case *gorgonia.F32:
		return float64(*v)
	case *gorgonia.F64:
		return float64(*v)
	}
	return math.NaN()
}
