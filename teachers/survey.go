package teachers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

// survey is what is known of a model once it has run: how it is fed, what it
// answers, and where it can be tapped.
type survey struct {
	*source
	in      imageInput // h and w as the model was run
	output  string     // the class scores as the file gives them
	open    bool       // whether the file leaves the image's size open
	ending  rewrite.Ending
	reading string // what was made of the file
	plan    scorePlan
	classes int
	taps    []Tap // the spatial throats, in graph order
	tokens  int   // throats of three axes behind the last of them
	named   []Tap // the taps asked for by name, in that order
	shapes  map[string][]int64
	types   map[string]onnx.DataType
	unasked int // values left out of them, see mostAsked
}

// scorePlan says how logits are taken from a model.
type scorePlan struct {
	value string // what is read
	elem  onnx.DataType
	rank  int
	from  Logits
	note  string
	// probabilities tells that the output's rows are probabilities.
	probabilities bool
}

// surveyOptions choose what a survey is of.
type surveyOptions struct {
	layout Layout
	output string
	taps   []string // by name
	sizes  [][2]int // to try in turn where the file leaves the size open
	macs   bool     // also the shapes that counting multiplications needs
}

// examine runs the model once, on noise, with every value that matters
// exposed, and reads what it needs from the result.
func examine(src *source, o surveyOptions) (*survey, error) {
	g := src.model.Graph
	if v := src.model.Opset(); v < oldest {
		return nil, fmt.Errorf("teachers: %s has opset %d; %d is the oldest supported", src.name(), v, oldest)
	}
	if err := src.normal.Unread; err != nil {
		return nil, fmt.Errorf("teachers: %s: %w", src.name(), err)
	}
	x := g.Index()
	layout, err := src.layout(o.layout)
	if err != nil {
		return nil, err
	}
	in, err := findImage(g, x, layout)
	if err != nil {
		return nil, err
	}
	open := in.h == 0 || in.w == 0
	if open && len(o.sizes) == 1 {
		src = src.at(in, o.sizes[0])
		g, x = src.model.Graph, src.model.Graph.Index()
	}
	out, err := findOutput(g, o.output)
	if err != nil {
		return nil, err
	}
	s := &survey{
		source: src, in: in, output: out.Name, open: open,
		ending: src.normal.Ending(out.Name), reading: src.normal.Note(out.Name),
	}

	narrow := throats(g, x, in.name, out.Name)
	var named []string
	for _, name := range o.taps {
		v, err := valueNamed(g, name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(named, v) {
			return nil, fmt.Errorf("teachers: tap %q is named twice", v)
		}
		named = append(named, v)
	}
	q := questions{certain: slices.Concat([]string{out.Name, s.ending.Logits}, named), throats: narrow, want: out.Name}
	if o.macs {
		for _, n := range g.Nodes {
			if weighingOps[n.Op] {
				q.others = append(q.others, n.Outputs...)
				q.others = append(q.others, n.Inputs...)
			}
		}
	}
	q.keep(func(v string) bool { return v != "" && x.Producer(v) != nil && x.Constant(v) == nil })

	sizes := [][2]int{{in.h, in.w}}
	if s.open {
		sizes = nil
		for _, hw := range o.sizes {
			if (in.h == 0 || in.h == hw[0]) && (in.w == 0 || in.w == hw[1]) {
				sizes = append(sizes, hw)
			}
		}
		if len(sizes) == 0 && len(o.sizes) > 0 {
			return nil, fmt.Errorf("teachers: %s takes images of %s by %s; it cannot be fed %dx%d", src.name(), length(in.h), length(in.w), o.sizes[0][0], o.sizes[0][1])
		}
		if len(sizes) == 0 {
			return nil, fmt.Errorf("teachers: %s leaves the size of its images open; say it with Options.Size", src.name())
		}
	}
	var scores []float32
	for i, hw := range sizes {
		s.in.h, s.in.w = hw[0], hw[1]
		if scores, err = s.run(q, true); err == nil {
			break
		}
		if i == len(sizes)-1 {
			return nil, fmt.Errorf("teachers: %s: running it once on %dx%d images: %w", src.name(), hw[0], hw[1], err)
		}
	}
	if found := [2]int{s.in.h, s.in.w}; len(sizes) > 1 && src.at(in, found) != src {
		o.sizes = [][2]int{found} // which decides branches
		return examine(src, o)
	}
	if err := s.planScores(out.Name, scores); err != nil {
		return nil, err
	}

	known := layouts(g, x, in.name, in.layout)
	for _, v := range narrow {
		if t, ok := tapAt(v, s.shapes[v], known[v]); ok && known[v] != "" && s.types[v].Float() {
			s.taps, s.tokens = append(s.taps, t), 0
		} else if len(s.shapes[v]) == 3 {
			s.tokens++
		}
	}
	suggest(s.taps)
	for _, v := range named {
		l := known[v]
		if l == "" {
			l = NCHW
		}
		t, ok := tapAt(v, s.shapes[v], l)
		if !ok || !s.types[v].Float() {
			return nil, fmt.Errorf("teachers: tap %q is %v %v; a tap is a tensor of real numbers with four axes, height and width above 1", v, s.types[v], s.shapes[v])
		}
		if k := slices.IndexFunc(s.taps, func(t Tap) bool { return t.Name == v }); k >= 0 {
			t.Suggested = s.taps[k].Suggested
		}
		s.named = append(s.named, t)
	}
	return s, nil
}

// length writes the length of an axis, 0 where it is open.
func length(n int) string {
	if n == 0 {
		return "any"
	}
	return strconv.Itoa(n)
}

// base is a copy of the model that takes the image alone, as float32 or bytes.
// Weights that the file lists as inputs with a default, as all did before IR
// version 4, become constants, which the runtime can fold.
func (s *survey) base() (r *rewriter, input string, kind onnx.DataType) {
	r = &rewriter{m: s.model.Clone()}
	r.constants()
	r.m.Graph.Inputs = slices.DeleteFunc(r.m.Graph.Inputs, func(v *onnx.Value) bool { return v.Name != s.in.name })
	if image := r.m.Graph.Inputs[0]; image.HasShape && s.in.n == 0 {
		image.Shape[0] = onnx.Symbol("batch") // for those that write 0
	}
	input, kind = r.floatInput(s.in)
	return r, input, kind
}

// noise makes n images of deterministic noise: floats in 0..1, or bytes. Image
// i of one call equals image 0 of a call with first = i.
func (s *survey) noise(kind onnx.DataType, n, first int) ort.Tensor {
	t := ort.Tensor{Type: kind, Dims: s.in.layout.dims(n, s.in.h, s.in.w, s.in.c)}
	size := s.in.h * s.in.w * s.in.c
	for i := range n {
		rng := rand.New(rand.NewPCG(1, uint64(first+i)))
		for range size {
			if kind == onnx.Float32 {
				t.F32 = append(t.F32, rng.Float32())
			} else {
				t.Raw = append(t.Raw, uint8(rng.Uint32()))
			}
		}
	}
	return t
}

// notes says what was made of the file and of its scores.
func (s *survey) notes() (notes []string) {
	unasked := ""
	if s.unasked > 0 {
		unasked = fmt.Sprintf("the shapes of %d values that cannot be told from the operators were not asked for; the last %d of a kind are", s.unasked, mostAsked)
	}
	for _, note := range []string{s.reading, s.plan.note, unasked} {
		if note != "" {
			notes = append(notes, note)
		}
	}
	return notes
}

// planScores decides where logits come from: from before the ending of the
// output, or from the output, of which got is what the model answered to noise.
// Probabilities of no known ending are noticed by adding up to 1.
func (s *survey) planScores(output string, got []float32) error {
	shape, n := s.shapes[output], max(1, s.in.n)
	if !s.types[output].Float() || !scores(shape) || shape[0] != int64(n) {
		return fmt.Errorf("teachers: output %q is %v %v for a batch of %d; a classifier teacher gives [batch, classes] with two classes or more", output, s.types[output], shape, n)
	}
	s.classes = int(slices.Max(shape[1:]))
	logits := s.ending.Logits
	s.plan = scorePlan{value: logits, elem: s.types[logits], rank: len(s.shapes[logits]), from: LogitsOutput}
	switch s.ending.Kind {
	case rewrite.SoftmaxEnding, rewrite.LogSoftmaxEnding:
		s.plan.from, s.plan.probabilities = LogitsBeforeSoftmax, s.ending.Kind == rewrite.SoftmaxEnding
		return nil
	case rewrite.SigmoidEnding:
		s.plan.from = LogitsBeforeSigmoid
		return nil
	}
	probabilities, logs := true, true
	for i := range n {
		row := got[i*s.classes : (i+1)*s.classes]
		sum, expSum := 0.0, 0.0
		for _, v := range row {
			sum += float64(v)
			expSum += math.Exp(float64(v))
			probabilities = probabilities && v >= 0
			logs = logs && v <= 0
		}
		probabilities = probabilities && math.Abs(sum-1) < probabilityTolerance
		logs = logs && math.Abs(expSum-1) < probabilityTolerance
	}
	switch {
	case probabilities:
		s.plan.from, s.plan.probabilities = LogitsLogP, true
		s.plan.note = fmt.Sprintf("output %q holds probabilities and no softmax to take logits before was found; log p is used", output)
	case logs:
		s.plan.note = fmt.Sprintf("output %q holds logarithms of probabilities, which serve as logits", output)
	}
	return nil
}

// probabilityTolerance is how far a row of probabilities may be from adding up
// to 1: half precision carries about 1e-3.
const probabilityTolerance = 5e-3

func near(a, b []float32, tolerance float64) bool {
	for i := range a {
		if d := math.Abs(float64(a[i]) - float64(b[i])); !(d <= tolerance) {
			return false
		}
	}
	return true
}
