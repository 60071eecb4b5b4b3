package teachers

import (
	"errors"
	"fmt"
	"math"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

// Options say how a model is opened. The zero value taps it where the graph
// suggests, with the paper's best map.
type Options struct {
	// Taps names the values to look at; nil takes the suggested ones.
	Taps []string
	// Map and Power shape the attention maps; "" is MapSumPow and 0 is 2.
	Map   MapKind
	Power float64
	// Preprocess is how the teacher wants pixels normalised. Auto, or the zero
	// value, takes what the model's metadata says, or else leaves it unknown:
	// see Spec.Preprocess and Session.SetPreprocess.
	Preprocess preprocess.Spec
	// Size is the height and width images are resized to; 0 takes what the
	// model fixes, or else DataSize.
	Size, DataSize [2]int
	// DataChannels are those of images of DataSize; 0 is not known. Together they
	// tell what images an input of fewer than four axes holds, where it takes as
	// many numbers.
	DataChannels int
	// ImageShape says what images such an input holds; the zero value takes what
	// the model's metadata says, or else goes by the data. See ErrImageShape.
	ImageShape preprocess.ImageShape
	// Layout settles the axis order of the input where the model leaves it
	// ambiguous; "" decides by the graph.
	Layout Layout
	// Output names the output with the class scores; "" takes the only one.
	Output string
	// ClassOrder has the teacher's class for each class of the data; nil is
	// one to one. It may name fewer classes than the teacher has.
	ClassOrder []int
	// Batch is the most images run at a time; 0 runs each batch whole. It has
	// no effect on a model of fixed batch.
	Batch int
	// Threads is how many threads ONNX Runtime uses; 0 is one per core.
	Threads int
	// Library is the ONNX Runtime library; "" searches.
	Library string
}

// Open makes a teacher of an ONNX classifier: one image input, one output of a
// score for each class. What it had to decide is in Spec and its Notes.
func Open(path string, o Options) (*Session, error) {
	kind, power, err := o.Map.resolve(o.Power)
	if err != nil {
		return nil, err
	}
	if o.Batch < 0 || o.Threads < 0 {
		return nil, fmt.Errorf("teachers: batch of %d and %d threads; neither can be negative", o.Batch, o.Threads)
	}
	for _, size := range [2][2]int{o.Size, o.DataSize} {
		if min(size[0], size[1]) < 0 || (size[0] == 0) != (size[1] == 0) {
			return nil, fmt.Errorf("teachers: images of %dx%d; give a height and a width, or neither", size[0], size[1])
		}
	}
	src, err := read(path, o.images())
	if err != nil {
		return nil, err
	}
	if _, err := ort.Load(o.Library); err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	survey, err := examine(src, surveyOptions{layout: o.Layout, output: o.Output, taps: o.Taps, sizes: wanted(o.Size, o.DataSize)})
	if err != nil {
		return nil, err
	}
	if o.Size != [2]int{} && o.Size != [2]int{survey.in.h, survey.in.w} {
		return nil, fmt.Errorf("teachers: %s takes images of %dx%d only; it cannot be fed %dx%d", src.name(), survey.in.h, survey.in.w, o.Size[0], o.Size[1])
	}
	s := &Session{maxBatch: o.Batch, teacherClasses: survey.classes}
	s.spec = Spec{
		Name: src.name(), Hash: src.hash,
		Classes: survey.classes,
		H:       survey.in.h, W: survey.in.w, C: survey.in.c, Layout: survey.in.layout, Input: survey.in.kind,
		Map: kind, Power: power, Logits: survey.plan.from, Reading: survey.reading, ImageShape: src.normal.ImageShape,
	}
	s.spec.ClassNames, s.spec.NamesKey = ClassNames(src.model)
	s.feed = feeder{h: survey.in.h, w: survey.in.w, c: survey.in.c, layout: survey.in.layout}
	for _, note := range survey.notes() {
		s.note("%s", note)
	}
	if s.spec.Taps, err = chooseTaps(survey, o.Taps, kind); err != nil {
		return nil, err
	}
	p, err := survey.preprocessing(o.Preprocess)
	if err != nil {
		return nil, err
	}
	if err := s.SetClassOrder(o.ClassOrder); err != nil {
		return nil, err
	}
	if err := s.start(survey, o.Threads); err != nil {
		return nil, err
	}
	if n := len(src.model.Graph.Nodes); n > mostOptimised {
		s.note("its %d nodes run as the file has them; ONNX Runtime optimises up to %d in reasonable time", n, mostOptimised)
	}
	if err := s.SetPreprocess(p); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// ErrImageShape is matched by errors.Is when the model's input has fewer axes than
// an image and nothing tells what images it holds.
var ErrImageShape = rewrite.ErrImageShape

// images is what is known of the images that the model takes.
func (o Options) images() rewrite.Images {
	likely := preprocess.ImageShape{H: o.DataSize[0], W: o.DataSize[1], C: o.DataChannels}
	if o.Size != [2]int{} {
		likely = preprocess.ImageShape{H: o.Size[0], W: o.Size[1], C: o.DataChannels}
	}
	return rewrite.Images{Shape: o.ImageShape, Likely: likely, Setting: imageSetting}
}

// wanted is the first size that is given, to run a model of open size at.
func wanted(sizes ...[2]int) [][2]int {
	for _, s := range sizes {
		if s[0] > 0 && s[1] > 0 {
			return [][2]int{s}
		}
	}
	return nil
}

// ErrNoFeatureMap is returned by Open where maps are wanted, no taps are named
// and the model suggests none, as a network of tokens does.
var ErrNoFeatureMap = errors.New("no feature map of height and width above 1 that every path from image to logits passes through")

func chooseTaps(s *survey, names []string, kind MapKind) ([]Tap, error) {
	switch {
	case kind == MapNone && len(names) > 0:
		return nil, fmt.Errorf("teachers: taps %s are named but the map is %q; choose one of %s", quoted(names), kind, join(MapKinds()[:len(MapKinds())-1], ", "))
	case kind == MapNone:
		return nil, nil
	case len(names) > 0:
		return s.named, nil
	}
	var taps []Tap
	for _, t := range s.taps {
		if t.Suggested {
			taps = append(taps, t)
		}
	}
	if len(taps) == 0 {
		return nil, fmt.Errorf("teachers: %s has %w; name taps with Options.Taps, or leave attention out", s.name(), ErrNoFeatureMap)
	}
	return taps, nil
}

// preprocessing settles how pixels are normalised: what the caller says, what
// the model says, or not known.
func (s *survey) preprocessing(asked preprocess.Spec) (preprocess.Spec, error) {
	p := asked
	if !p.Known() {
		said, ok, err := preprocess.FromModel(s.model)
		if err != nil {
			return p, fmt.Errorf("teachers: %s: %w", s.name(), err)
		}
		if ok {
			p = said
		} else if s.in.kind == onnx.Uint8 {
			p = preprocess.Spec{Scale: 1}
		}
	}
	return p, nil
}

// start makes the session: of any batch if the model can be brought to that,
// else of the batch it fixes.
func (s *Session) start(v *survey, threads int) error {
	whole, refusal, why := s.prepare(v, true, threads)
	if why == nil {
		if why = v.sameApart(whole, s.input, s.spec); why == nil {
			s.session = whole
			if v.in.n > 0 {
				s.note("the file fixes a batch of %d; it was rewritten to any batch, checked by running two images together and apart", v.in.n)
			}
			return nil
		}
		whole.Close()
	}
	if refusal != nil {
		why = refusal // it names the node, which a failed run need not
	}
	fixed, _, err := s.prepare(v, false, threads)
	if err != nil {
		return err
	}
	s.session = fixed
	s.spec.Batch = max(1, v.in.n)
	switch {
	case v.in.n == 0:
		s.note("the file declares any batch but does not keep to it (%v); images are run one by one", why)
	case v.in.n == 1:
		s.note("the file fixes a batch of 1 that cannot be rewritten (%v); images are run one by one", why)
	default:
		s.note("the file fixes a batch of %d that cannot be rewritten (%v); images are run %d at a time, the last ones filled up", v.in.n, why, v.in.n)
	}
	return nil
}

// prepare rewrites the model to give logits and maps and nothing else, and
// loads it. With anyBatch a fixed batch is made open; refusal is then what
// stands against that by the rules of the operators, which a run may disprove:
// SetBatch refuses operators it has no rule for.
func (s *Session) prepare(v *survey, anyBatch bool, threads int) (session *ort.Session, refusal, err error) {
	r, input, kind := v.base()
	if anyBatch && v.in.n > 0 {
		if refusal = r.m.SetBatch("batch"); refusal != nil {
			for _, in := range r.m.Graph.Inputs {
				if in.Name == input && in.HasShape {
					in.Shape[0] = onnx.Symbol("batch")
				}
			}
			r.m.Graph.Values = nil // they declare the fixed batch
		}
	}
	outputs := []string{r.logits(v.plan, v.classes)}
	outputs = append(outputs, r.attentions(s.spec.Taps, s.spec.Map, s.spec.Power, v.types)...)
	r.m.Graph.Outputs = nil
	for _, name := range outputs {
		r.m.Graph.Outputs = append(r.m.Graph.Outputs, &onnx.Value{Name: name, Type: onnx.Float32})
	}
	r.m.Strip()
	if err := onnx.Check(r.m); err != nil {
		return nil, refusal, fmt.Errorf("teachers: %s as rewritten: %w", v.name(), err)
	}
	model, err := r.m.Encode()
	if err != nil {
		return nil, refusal, fmt.Errorf("teachers: %s: %w", v.name(), err)
	}
	session, err = ort.NewSession(model, []string{input}, outputs, sessionOptions(r.m, threads))
	if err != nil {
		return nil, refusal, fmt.Errorf("teachers: %s: %w", v.name(), err)
	}
	s.input = kind
	return session, refusal, nil
}

// mostOptimised is the nodes of the largest graph that ONNX Runtime optimises, which
// takes it time by the square of them: seconds for so many, a hundred times that for
// ten times as many. Classifiers have some hundred to some thousand.
const mostOptimised = 10_000

// sessionOptions are those of a model that is run many times.
func sessionOptions(m *onnx.Model, threads int) ort.Options {
	return ort.Options{Threads: threads, Plain: len(m.Graph.Nodes) > mostOptimised}
}

// batchTolerance bounds, relative to an output's largest element, what running
// two images together may change: ONNX Runtime multiplies matrices of one row
// by another kernel, with another order of sums. Half precision is computed
// with 11 bits and needs more.
const (
	batchTolerance     = 1e-4
	batchToleranceHalf = 1e-2
)

// sameApart runs two images together and one by one and returns an error when
// the answers differ.
func (s *survey) sameApart(session *ort.Session, kind onnx.DataType, spec Spec) error {
	// Into memory of our own, as Signals runs it: ONNX Runtime then holds results
	// to the shapes that it expects.
	pair := Spec{Classes: s.classes, Taps: spec.Taps, Map: spec.Map}.signals(2)
	together, err := session.Run([]ort.Tensor{s.noise(kind, 2, 0)}, results(2, pair.Logits, pair.Maps))
	if err != nil {
		return fmt.Errorf("a batch of 2 fails: %w", err)
	}
	tolerance := batchTolerance
	if s.in.kind == onnx.Float16 {
		tolerance = batchToleranceHalf
	}
	for i := range 2 {
		alone, err := session.Run([]ort.Tensor{s.noise(kind, 1, i)}, nil)
		if err != nil {
			return fmt.Errorf("a batch of 1 fails: %w", err)
		}
		for k := range alone {
			a, t := alone[k].F32, together[k].F32
			if len(t) != 2*len(a) {
				return fmt.Errorf("a batch of 2 gives %v where a batch of 1 gives %v", together[k].Dims, alone[k].Dims)
			}
			largest := 0.0
			for _, x := range a {
				largest = max(largest, math.Abs(float64(x)))
			}
			// NaN in both is left to Signals, which names the image.
			if !math.IsNaN(largest) && !near(a, t[i*len(a):(i+1)*len(a)], tolerance*largest) {
				what := "the logits"
				if k > 0 {
					what = fmt.Sprintf("the map of %q", spec.Taps[k-1].Name)
				}
				return fmt.Errorf("two images run together change %s", what)
			}
		}
	}
	return nil
}
