package student

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
	"github.com/onnxdistill/onnxdistill/student/importer"
)

// Init says where the parameters of an imported model come from.
type Init int

const (
	// Keep takes them from the file.
	Keep Init = iota

	// Random draws weights anew from the seed, as New does, and sets biases to 0
	// and normalisations to the identity. Free tensors keep the file's values, as
	// all constants do.
	Random
)

// String returns "keep" or "random".
func (i Init) String() string {
	switch i {
	case Keep:
		return "keep"
	case Random:
		return "random"
	}
	return fmt.Sprintf("Init(%d)", int(i))
}

// ImportOptions say how a file becomes a student.
type ImportOptions struct {
	// Init says where parameters come from; zero is the file.
	Init Init

	// Seed is for the parameters that are drawn anew.
	Seed uint64

	// Classes is the number of classes wanted; zero is the file's.
	Classes int

	// ReplaceHead lets the last layer be replaced by a fresh one where the file
	// tells another number of classes apart. Without it that is an error.
	ReplaceHead bool

	// UnfoldBatchNorm puts a batch normalisation behind each convolution that
	// has a bias and none behind it, as files have whose normalisations were
	// folded into the convolutions: with a running mean of 0 and variance of 1,
	// a scale of √(1+ε) and the convolution's bias as its shift, so that the
	// function stays what it is. Convolutions that give one pixel are left
	// alone, and so is the classifier: both see too few values.
	UnfoldBatchNorm bool

	// TrainConstants makes parameters of all tensors of real numbers with more
	// than one element, of those too that were hardly trained: what normalises
	// the image, tables, grids.
	TrainConstants bool

	// Image is the size of the images where the file leaves it open: each of its
	// sizes that the file fixes may be 0.
	Image Shape

	// ImageShape says what images an input of fewer axes than four holds, such as
	// [batch, 784]. The zero value takes what the file's metadata says, or else
	// Image, where it has as many numbers.
	ImageShape preprocess.ImageShape

	// Output names the output that holds the class scores. Empty takes the only
	// one that is declared as real numbers [batch, classes]; where there are
	// several, or none among several outputs, that is an error.
	Output string

	// Taps are the attention points, by the names that the file gives to values
	// of four axes. nil means the last value of each resolution among those that
	// all of the network passes through, as it is suggested for teachers.
	Taps []string
}

// Imported is a student made of a file.
type Imported struct {
	// Model is trained and exported like one of the zoo.
	Model *Model

	// Notes are sentences for people: what was changed, recognised or left out.
	Notes []string
}

// Import reads a file and makes a student of it, as ImportModel does.
func Import(file string, o ImportOptions) (*Imported, error) {
	m, err := onnx.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	if m.Graph != nil { // whose own name is the exporter's: "torch_jit"
		m.Graph.Name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	i, err := ImportModel(m, o)
	if err != nil {
		return nil, fmt.Errorf("%w (importing %s)", err, file)
	}
	return i, nil
}

// ImportModel makes a student of an image classifier: a model of one image
// input, NCHW or NHWC, one of whose outputs holds a score for each class, perhaps
// through a softmax or its like, before which logits are then taken. The file is
// read as rewrite.Normalize says. A batch that it fixes is freed. The student is
// exported as Export says, with input `image` and output `logits`, whatever the
// file calls them. m is not changed.
//
// Parameters are what layers read as weight, bias, scale, shift or slope, and
// tensors that are named like parameters; TrainConstants adds the others. They
// are named after the file's with slashes for dots; layers that share a tensor
// share the parameter. What is left are constants, which a note counts. An
// operator that cannot be translated is an *UnsupportedError.
func ImportModel(m *onnx.Model, o ImportOptions) (*Imported, error) {
	return ImportContext(context.Background(), m, o)
}

// ImportContext is ImportModel until ctx is cancelled, whose error it returns
// then.
func ImportContext(ctx context.Context, m *onnx.Model, o ImportOptions) (*Imported, error) {
	if o.Init != Keep && o.Init != Random {
		return nil, fmt.Errorf("student: initialisation %v; there are %v and %v", o.Init, Keep, Random)
	}
	if o.Classes < 0 || o.Classes == 1 {
		return nil, fmt.Errorf("student: %d classes; a classifier tells at least 2 apart, and 0 means the file's", o.Classes)
	}
	normal, err := rewrite.Normalize(m, o.images())
	if err == nil {
		err = normal.Unread
	}
	if err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	normal = normal.At(imageSizes(normal.Model, o.Image))
	m = normal.Model
	chosen, err := chooseOutput(m, o.Output)
	if err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	free, err := freeBatch(m)
	if err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	p, err := readProgram(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	defer func() { p.ctx = nil }() // later graphs of the model are built without it
	p.random, p.wantTaps, p.order = o.Init == Random, o.Taps, normal.Order
	for _, n := range []string{chosen, free} {
		if n != "" {
			p.note("%s", n)
		}
	}
	spec := Spec{Classes: o.Classes}
	if spec.Image, err = p.findImage(o.Image); err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	if err := onnx.CheckMemory(m, map[string][]int64{p.input.Name: p.imageDims(spec.Image)}); err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	p.findLogits(normal)
	if err := p.planHead(o); err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	p.need(p.logits)
	p.planParameters(o.TrainConstants)
	p.planNormalisation(o.UnfoldBatchNorm)
	model := &Model{
		architecture: Architecture{Name: p.title(), Build: p.build},
		spec:         spec, seed: o.Seed, dtype: tensor.Float32, byName: map[string]*Param{},
	}
	g, err := model.build(1, Infer, true)
	if err != nil {
		return nil, err
	}
	if len(g.Params) == 0 {
		return nil, fmt.Errorf("student: %s has no trainable parameter", model.Name())
	}
	if g, err = model.build(2, Train, false); err != nil {
		return nil, fmt.Errorf("%w (one image alone can be computed: the file seems to be made for a batch of 1)", err)
	}
	if err := p.checkLearnable(g); err != nil {
		return nil, err
	}
	p.origin = nil // and with it the graph
	p.noteConstants()
	p.noteInit(model, o)
	return &Imported{Model: model, Notes: p.notes}, nil
}

// images is what is known of the images that a file takes.
func (o ImportOptions) images() rewrite.Images {
	return rewrite.Images{
		Shape: o.ImageShape, Setting: "ImportOptions.ImageShape",
		Likely: preprocess.ImageShape{H: o.Image.H, W: o.Image.W, C: o.Image.C},
	}
}

// imageSizes returns the shape of a model's only input, an image, with the sizes
// that are known of it beside those that the file fixes; nil where there are none.
func imageSizes(m *onnx.Model, want Shape) map[string][]onnx.Dim {
	if m.Graph == nil {
		return nil
	}
	inputs := m.Graph.DataInputs()
	if len(inputs) != 1 || !inputs[0].HasShape || len(inputs[0].Shape) != 4 || want == (Shape{}) {
		return nil
	}
	shape := slices.Clone(inputs[0].Shape)
	sizes := [4]int{0, want.C, want.H, want.W}
	colours := func(d onnx.Dim) bool { n, fixed := d.Fixed(); return fixed && (n == 1 || n == 3) }
	if colours(shape[3]) && !colours(shape[1]) {
		sizes = [4]int{0, want.H, want.W, want.C}
	}
	for i, n := range sizes {
		if _, fixed := shape[i].Fixed(); !fixed && n > 0 {
			shape[i] = onnx.Fixed(int64(n))
		}
	}
	return map[string][]onnx.Dim{inputs[0].Name: shape}
}

// freeBatch makes the first axis of every input symbolic and says so where it
// was fixed.
func freeBatch(m *onnx.Model) (note string, err error) {
	if m.Graph == nil {
		return "", errors.New("the model has no graph")
	}
	var fixed int64
	for _, v := range m.Graph.DataInputs() {
		if len(v.Shape) > 0 {
			if n, ok := v.Shape[0].Fixed(); ok && n > 0 {
				fixed = n
			}
		}
	}
	// A name that no axis has.
	name := "batch"
	for taken := true; taken; {
		taken = false
		for _, v := range m.Graph.DataInputs() {
			for i, d := range v.Shape {
				taken = taken || i > 0 && d.Param == name
			}
		}
		if taken {
			name += "_"
		}
	}
	if fixed == 0 {
		return "", nil
	}
	if err := m.SetBatch(name); err != nil {
		return "", fmt.Errorf("the file is made for batches of %d, which cannot be freed: %w; export it with a free batch (in torch.onnx.export, dynamic_axes)", fixed, err)
	}
	return fmt.Sprintf("the file is made for batches of %d; the student takes any", fixed), nil
}

// program is what all graphs of one import share.
type program struct {
	*importer.Program
	ctx      context.Context // ends the import early; nil once it is done
	random   bool
	held     int64                   // bytes of the constants
	maker    map[string]int          // which call makes a value
	readers  map[string]int          // how many operands are the value
	reader   map[string]int          // the first call that a value is an operand of
	passedOn map[string]*onnx.Tensor // constants and what is known to be made of them; nil is no constant
	needed   []bool                  // calls that the outputs depend on
	notes    []string
	input    *onnx.Value          // of a student: the image
	order    preprocess.AxisOrder // of the image in the file, where it was said; else ""
	nhwc     bool                 // the file has the image channels last
	logits   string               // of a student: the value that holds them
	wantTaps []string
	taps     []tapValue                        // of a student, once it has been built
	origin   map[*gorgonia.Node]*importer.Call // of the graph that was built last: which call a node was made for; nil once nobody asks
	built    bool

	learns   map[string]bool // constants that are parameters wherever they stand
	trainAll bool            // those that are not named so, too
	weighed  map[string]bool // values that a layer's weights have had a part in
	masks    map[string]bool // constants that hide something and are not learned, once it has been asked
	kept     []string        // constants that are no parameters, with their shapes, once it has been built

	head    int          // the call of the last layer, -1 where none was found
	replace bool         // by a fresh one
	passed  map[int]bool // calls behind a replaced head that change the form alone
	bias    string       // the constant that one of them adds
	unfold  map[int]bool // convolutions that get a normalisation, if they give more than one pixel
	unfolds int          // how many did
}

// tapValue is an attention point.
type tapValue struct {
	name, value  string
	channelsLast bool // in the file
}

// readProgram reads a model and indexes its calls.
func readProgram(ctx context.Context, m *onnx.Model) (*program, error) {
	r, err := importer.ReadContext(ctx, m)
	if err != nil {
		return nil, err
	}
	p := &program{
		Program: r, ctx: ctx, maker: map[string]int{}, readers: map[string]int{}, reader: map[string]int{}, needed: make([]bool, len(r.Calls)),
		passedOn: maps.Clone(r.Constants), learns: map[string]bool{}, weighed: map[string]bool{}, masks: map[string]bool{}, origin: map[*gorgonia.Node]*importer.Call{},
		notes: slices.Clone(r.Notes), head: -1, passed: map[int]bool{}, unfold: map[int]bool{},
	}
	for i, c := range r.Calls {
		for _, v := range c.Inputs {
			if v == "" {
				continue
			}
			if p.readers[v]++; p.readers[v] == 1 {
				p.reader[v] = i
			}
		}
		for _, v := range c.Outputs {
			if v != "" {
				p.maker[v] = i
			}
		}
		if c.Op == "Identity" && c.Domain == "" && len(c.Inputs) == 1 && len(c.Outputs) == 1 && p.passedOn[c.Inputs[0]] != nil {
			p.passedOn[c.Outputs[0]] = p.passedOn[c.Inputs[0]]
		}
	}
	for _, v := range r.Outputs {
		p.readers[v.Name]++
	}
	for _, t := range r.Constants {
		p.held += int64(len(t.Data))
	}
	return p, nil
}

func (p *program) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(p.notes, n) {
		p.notes = append(p.notes, n)
	}
}

// title is the architecture's name.
func (p *program) title() string {
	if n := readable(p.Name); n != "" {
		return n
	}
	return "imported"
}

// call returns the call that makes a value, or nil.
func (p *program) callOf(v string) *importer.Call {
	if i, ok := p.maker[v]; ok {
		return &p.Calls[i]
	}
	return nil
}

// constantOf returns the constant that a value is, perhaps by a node that passes
// it on: PyTorch's exporter stores equal tensors once.
func (p *program) constantOf(v string) *onnx.Tensor {
	t, known := p.passedOn[v]
	if known {
		return t
	}
	p.passedOn[v] = nil
	c := p.callOf(v)
	if c == nil || c.Op != "ConstantOfShape" && !slices.Contains(layoutOps, c.Op) {
		return nil
	}
	operands := make([]*onnx.Tensor, len(c.Inputs))
	for i, x := range c.Inputs {
		if operands[i] = p.constantOf(x); operands[i] == nil {
			return nil
		}
	}
	if out, ok, err := importer.Fold(*c, p.Opset, operands); ok && err == nil && c.Outputs[0] == v {
		p.passedOn[v] = out[0]
	}
	return p.passedOn[v]
}

// need marks the calls that the values depend on.
func (p *program) need(values ...string) {
	wanted := map[string]bool{}
	for _, v := range values {
		wanted[v] = true
	}
	for i, c := range slices.Backward(p.Calls) {
		if !slices.ContainsFunc(c.Outputs, func(v string) bool { return v != "" && wanted[v] }) {
			continue
		}
		p.needed[i] = true
		for _, v := range c.Inputs {
			wanted[v] = true
		}
	}
}

// findImage finds the one input and how its axes lie, and returns the size of
// the images.
func (p *program) findImage(want Shape) (s Shape, err error) {
	var used []*onnx.Value
	for _, v := range p.Inputs {
		if p.readers[v.Name] > 0 {
			used = append(used, v)
		}
	}
	if len(used) != 1 {
		names := make([]string, len(used))
		for i, v := range used {
			names[i] = v.Name
		}
		return s, fmt.Errorf("the model computes with %d inputs %q; a student has one, the image", len(used), names)
	}
	v := used[0]
	p.input = v
	if !v.HasShape || len(v.Shape) != 4 {
		return s, fmt.Errorf("input %q has shape %v; a student's is an image, [batch, channels, height, width] or [batch, height, width, channels]", v.Name, v.Shape)
	}
	if !v.Type.Float() && v.Type != onnx.Uint8 {
		return s, fmt.Errorf("input %q is %v; a student's image is of real numbers or bytes", v.Name, v.Type)
	}
	if v.Type != onnx.Float32 {
		p.note("the file takes its image as %v; the student takes the same numbers as float32", v.Type)
	}
	var d [4]int
	for i, x := range v.Shape {
		if n, ok := x.Fixed(); ok && i > 0 {
			if n < 1 || n > maxImage {
				return s, fmt.Errorf("input %q has shape %v; each of an image's sizes is from 1 to %d", v.Name, v.Shape, maxImage)
			}
			d[i] = int(n)
		}
	}
	colours := func(n int) bool { return n == 1 || n == 3 }
	first, last := colours(d[1]), colours(d[3])
	switch turned := p.turnsFirst(v.Name); {
	case p.order != "":
		p.nhwc = p.order == preprocess.HWC
	case first != last:
		p.nhwc = last
	default:
		p.nhwc = turned
	}
	s = Shape{H: d[2], W: d[3], C: d[1]}
	if p.nhwc {
		s = Shape{H: d[1], W: d[2], C: d[3]}
		p.note("the file takes its image channels last; the exported student takes it channels first, as [batch, %d, height, width]", s.C)
	}
	for _, x := range []struct {
		what string
		have *int
		want int
	}{{"height", &s.H, want.H}, {"width", &s.W, want.W}, {"number of channels", &s.C, want.C}} {
		switch {
		case x.want < 0:
			return s, fmt.Errorf("an image %s of %d was asked for; it is at least 1, and 0 means the file's", x.what, x.want)
		case *x.have == 0 && x.want == 0:
			return s, fmt.Errorf("input %q has shape %v, which leaves the image's %s open; say it in ImportOptions.Image", v.Name, v.Shape, x.what)
		case *x.have == 0:
			*x.have = x.want
		case x.want != 0 && x.want != *x.have:
			return s, fmt.Errorf("images of %v were asked for; input %q has shape %v, which fixes the %s at %d", want, v.Name, v.Shape, x.what, *x.have)
		}
	}
	return s, nil
}

// imageDims is the shape of one image in the file's order of axes.
func (p *program) imageDims(s Shape) []int64 {
	if p.nhwc {
		return []int64{1, int64(s.H), int64(s.W), int64(s.C)}
	}
	return []int64{1, int64(s.C), int64(s.H), int64(s.W)}
}

// maxImage bounds the rows and columns of an image.
const maxImage = 1 << 20

// turnsFirst reports whether the file transposes the image from channels last
// to channels first before anything but arithmetic with constants.
func (p *program) turnsFirst(v string) bool {
	for steps := 0; steps < len(p.Calls); steps++ {
		i, ok := p.reader[v]
		if !ok {
			return false
		}
		switch c := p.Calls[i]; c.Op {
		case "Transpose":
			return slices.Equal(c.Node.Ints("perm"), []int64{0, 3, 1, 2})
		case "Cast", "Identity", "Sub", "Add", "Mul", "Div":
			if len(c.Outputs) == 0 {
				return false
			}
			v = c.Outputs[0]
		default:
			return false
		}
	}
	return false
}

// formOps change how a class's score lies in its tensor and not the score.
var formOps = []string{"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}

// findLogits finds the value to learn from: the output, or, where it ends
// in a softmax or its like, what goes into that. What was made of the file is
// noted as for teachers.
func (p *program) findLogits(normal *rewrite.Normal) {
	output := p.Outputs[0].Name
	p.logits = normal.Ending(output).Logits
	if read := normal.Note(output); read != "" {
		p.notes = slices.Insert(p.notes, 0, read)
	}
}

// planHead finds the last layer and decides whether it is replaced.
func (p *program) planHead(o ImportOptions) error {
	classes, passed := p.findHead()
	switch {
	case o.Classes == 0 || o.Classes == classes:
		return nil
	case p.head < 0 && !o.ReplaceHead:
		return nil // the number of logits is found out by building
	case p.head < 0:
		return fmt.Errorf("%d classes are wanted, and no last layer was found that could be replaced: behind value %q there is no Gemm, MatMul or 1x1 Conv with constant weights", o.Classes, p.logits)
	case !o.ReplaceHead:
		return fmt.Errorf("the file has %d classes and %d are wanted; ImportOptions.ReplaceHead puts a fresh layer in place of its last one, %s", classes, o.Classes, describe(&p.Calls[p.head]))
	}
	p.replace, p.passed = true, passed
	p.note("the last layer, %s of %d classes, is replaced by a fresh one of %d", describe(&p.Calls[p.head]), classes, o.Classes)
	return nil
}

// headOps keep each class apart from the others: what a file has behind a
// convolution that is its last layer.
var headOps = []string{"Relu", "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "ReduceMean", "Pad", "Log", "Clip", "Neg"}

// scalingOps do so where they compute with one number.
var scalingOps = []string{"Add", "Sub", "Mul", "Div"}

// isNumber reports whether a constant has one element.
func isNumber(t *onnx.Tensor) bool {
	if t == nil {
		return false
	}
	n, err := t.Len()
	return err == nil && n == 1
}

// findHead walks back from the logits to the last layer with weights, over what
// changes their form alone, a bias added apart and the pooling behind a
// convolution. It returns the number of classes and the calls behind the head
// that a fresh layer does without.
func (p *program) findHead() (classes int, passed map[int]bool) {
	passed = map[int]bool{}
	for v := p.logits; ; {
		i, ok := p.maker[v]
		if !ok {
			return 0, nil
		}
		c := &p.Calls[i]
		constant := func(k int) *onnx.Tensor {
			if k >= len(c.Inputs) {
				return nil
			}
			return p.constantOf(c.Inputs[k])
		}
		switch {
		case len(c.Inputs) == 0:
			return 0, nil
		case slices.Contains(formOps, c.Op):
			passed[i] = true
			v = c.Inputs[0]
		case slices.Contains(scalingOps, c.Op) && len(c.Inputs) == 2 && isNumber(constant(1)):
			v = c.Inputs[0]
		case slices.Contains(scalingOps, c.Op) && len(c.Inputs) == 2 && isNumber(constant(0)):
			v = c.Inputs[1]
		case c.Op == "Add" && constant(1) != nil:
			passed[i] = true
			v, p.bias = c.Inputs[0], c.Inputs[1]
		case c.Op == "Add" && constant(0) != nil:
			passed[i] = true
			v, p.bias = c.Inputs[1], c.Inputs[0]
		case slices.Contains(headOps, c.Op):
			v = c.Inputs[0]
		case c.Op == "Gemm" && constant(1) != nil && len(constant(1).Dims) == 2 && c.Node.Int("transA", 0) == 0:
			p.head = i
			return int(constant(1).Dims[1-min(c.Node.Int("transB", 0), 1)]), passed
		case c.Op == "MatMul" && constant(1) != nil && len(constant(1).Dims) == 2:
			p.head = i
			return int(constant(1).Dims[1]), passed
		case c.Op == "Conv" && constant(1) != nil && len(constant(1).Dims) == 4 && constant(1).Dims[2]*constant(1).Dims[3] == 1 && c.Node.Int("group", 1) == 1:
			p.head = i
			return int(constant(1).Dims[0]), passed
		default:
			return 0, nil
		}
	}
}

// normalisations are the operators that keep activations in bounds; a Sqrt is of
// one that is written out.
var normalisations = []string{"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization", "LRN", "MeanVarianceNormalization", "Sqrt"}

// planNormalisation recognises a network whose batch normalisations are part of
// its convolutions, and with unfold gives them back.
func (p *program) planNormalisation(unfold bool) {
	normalised := map[string]bool{}
	for _, c := range p.Calls {
		if c.Op == "BatchNormalization" && len(c.Inputs) > 0 {
			normalised[c.Inputs[0]] = true
		}
	}
	var biased []int
	for i, c := range p.Calls {
		if !p.needed[i] {
			continue
		}
		if slices.Contains(normalisations, c.Op) && !unfold {
			return
		}
		if c.Op != "Conv" || i == p.head || len(c.Inputs) < 3 || c.Inputs[2] == "" || p.constantOf(c.Inputs[1]) == nil || p.constantOf(c.Inputs[2]) == nil {
			continue
		}
		if followed := p.readers[c.Outputs[0]] == 1 && normalised[c.Outputs[0]]; !followed {
			biased = append(biased, i)
		}
	}
	switch {
	case unfold && len(biased) == 0:
		p.note("no convolution has a bias and no normalisation behind it; there is none to unfold")
	case unfold:
		for _, i := range biased {
			p.unfold[i] = true
		}
	case len(biased) > 1:
		p.note("the file has %d convolutions with biases and no normalisation: batch normalisation was folded into them, or there never was any. ImportOptions.UnfoldBatchNorm puts normalisations behind them, with which such a network trains better", len(biased))
	}
}

// noteInit says what became of the parameters.
func (p *program) noteInit(m *Model, o ImportOptions) {
	if p.unfolds > 0 {
		p.note("%d convolutions got a batch normalisation with identity statistics; the function is unchanged", p.unfolds)
	}
	if o.Init != Random {
		return
	}
	var kept []string
	for _, q := range m.params {
		if q.Kind == Free {
			kept = append(kept, q.Name)
		}
	}
	if len(kept) == 0 {
		p.note("all parameters are drawn anew from seed %d", o.Seed)
		return
	}
	more := ""
	if len(kept) > 3 {
		more = fmt.Sprintf(" and %d more", len(kept)-3)
		kept = kept[:3]
	}
	p.note("parameters are drawn anew from seed %d; what is no layer's weight or bias keeps the file's values: %s%s", o.Seed, strings.Join(kept, ", "), more)
}

// build is the Build function of the architecture.
func (p *program) build(b *Builder, image *gorgonia.Node) (Output, error) {
	im := newImporting(p, b)
	if p.origin != nil {
		p.origin = im.origin
	}
	x := image
	if p.nhwc {
		x = im.transpose(image, 0, 2, 3, 1) // a file's [N,H,W,C], taken for [N,C,H,W]
	}
	im.values[p.input.Name] = value{node: x}
	im.taken["image"] = true
	im.run()
	logits := im.result(p.logits)
	if b.err != nil {
		return Output{}, b.err
	}
	shape := im.fileShape(logits)
	elements := 1
	for _, d := range shape {
		elements *= d
	}
	batch := image.Shape()[0]
	if len(shape) < 2 || shape[0] != batch || slices.Max(shape[1:])*batch != elements {
		return Output{}, fmt.Errorf("value %q, where scores were looked for, has shape %v for %d images; a classifier gives [batch, classes]", p.logits, shape, batch)
	}
	scores := im.reshape(im.node(logits), batch, elements/batch)
	if b.err == nil && b.Classes() != 0 && b.Classes() != scores.Shape()[1] {
		return Output{}, fmt.Errorf("the file has %d classes and %d are wanted; ImportOptions.ReplaceHead replaces a last layer that is a Gemm, a MatMul or a 1x1 Conv", scores.Shape()[1], b.Classes())
	}
	if !p.built {
		if err := im.findTaps(); err != nil {
			return Output{}, err
		}
		p.built = true
	}
	for _, t := range p.taps {
		b.Tap(t.name, im.tap(t))
	}
	return b.Output(scores)
}

// run translates the needed calls in order. An error names the call it is of.
func (im *importing) run() {
	defer func() { // also where a function was called with a node that an error left nil, and panics
		if im.b.err != nil {
			im.b.err = im.refusal(im.b.err)
		}
	}()
	for name, t := range im.Constants {
		im.values[name] = value{constant: t, name: name, learned: im.learns[name]}
	}
	for i := range im.Calls {
		if !im.needed[i] || im.b.err != nil {
			continue
		}
		if im.ctx != nil && im.ctx.Err() != nil {
			im.b.Fail(im.ctx.Err())
			return
		}
		im.at, im.call = i, &im.Calls[i]
		out, err := im.translate(im.call)
		if err != nil {
			im.b.Fail(err)
			return
		}
		for k, name := range im.call.Outputs {
			if name == "" || k >= len(out) {
				continue
			}
			v := out[k]
			if v.constant != nil {
				v.name = name
			}
			v.weighed = im.weighed[name]
			im.values[name] = v
		}
	}
}

// result returns the value of a name at the end of the program.
func (im *importing) result(name string) value {
	v, ok := im.values[name]
	if !ok && im.b.err == nil {
		im.b.Fail(fmt.Errorf("nothing makes value %q", name))
	}
	return v
}

// layoutOps lay the elements of a constant out otherwise: what they make of a
// learned one is learned. Other calls on learned constants become nodes, so that
// training reaches the tensor in the file.
var layoutOps = []string{"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}

// translate computes a call on constants and makes nodes of any other.
func (im *importing) translate(c *importer.Call) ([]value, error) {
	constant, learned, sized := true, false, false
	operands := make([]*onnx.Tensor, len(c.Inputs))
	for i, name := range c.Inputs {
		if name == "" {
			continue
		}
		v, ok := im.values[name]
		if !ok {
			return nil, im.unsupported(c, fmt.Sprintf("operand %q is an output that its operator does not give here", name))
		}
		operands[i] = v.constant
		constant = constant && v.constant != nil
		learned = learned || v.learned
		sized = sized || v.sized
	}
	if im.replace && im.at > im.head && im.passed[im.at] {
		return im.passOn(c), nil
	}
	if constant && (!learned || slices.Contains(layoutOps, c.Op)) {
		out, ok, err := importer.Fold(*c, im.Opset, operands)
		if err != nil {
			return nil, err
		}
		if ok {
			values := make([]value, len(out))
			for i, t := range out {
				if t != nil {
					values[i] = value{constant: t, learned: learned && t.Type.Float(), sized: sized}
					im.folded += int64(len(t.Data))
				}
			}
			if most := foldedShare*im.held + foldedRoom; im.folded > most {
				return nil, im.unsupported(c, fmt.Sprintf("with it the constants that the file computes take %d bytes; the most allowed is %d: %d times those in the file, plus %d",
					im.folded, most, foldedShare, foldedRoom))
			}
			return values, nil
		}
	}
	t := translatorOf(c)
	if t == nil {
		return nil, im.unsupported(c, "")
	}
	out, err := t(im, c)
	switch {
	case im.b.err != nil:
		return nil, im.b.err
	case err != nil:
		return nil, err
	}
	for _, v := range out {
		if v.node != nil && im.b.labels[v.node] == "" {
			im.b.labels[v.node] = im.label()
		}
	}
	return out, nil
}

// passOn is what a call that only changes the form of the scores does behind a
// replaced head, whose number of classes the call's constants do not know:
// nothing.
func (im *importing) passOn(c *importer.Call) []value {
	for _, name := range c.Inputs {
		if v := im.values[name]; v.node != nil {
			return []value{v}
		}
	}
	return nil
}

// label is what nodes of the call under way are called: the name of the file's
// node, else that of its result.
func (im *importing) label() string {
	if l := readable(im.call.Name); l != "" {
		return l
	}
	if len(im.call.Outputs) > 0 {
		if l := readable(im.call.Outputs[0]); l != "" {
			return l
		}
	}
	return strings.ToLower(im.call.Op)
}

// nameFor names the parameter that v becomes: after the constant in the file,
// or, where that name was made by a machine, after the node that reads it.
func (im *importing) nameFor(v value, kind Kind) string {
	node := im.label()
	if dir, last := path.Split(node); last == im.call.Op && dir != "" {
		node = path.Clean(dir) // "layer1/0/conv1/Conv" is of layer1/0/conv1
	}
	return im.unique(readable(v.name), node+"/"+kind.String())
}

// unique returns the first of the names that is one, with a number behind it
// where it is taken.
func (im *importing) unique(names ...string) string {
	for _, name := range names {
		if name == "" {
			continue
		}
		free := name
		for im.taken[free] {
			im.repeats[name]++
			free = fmt.Sprintf("%s_%d", name, im.repeats[name]+1)
		}
		im.taken[free] = true
		return free
	}
	return im.unique(strings.ToLower(im.call.Op))
}

// machineName matches names that exporters count up.
var machineName = regexp.MustCompile(`^(onnx::.*|[0-9]+|_?v?_?[0-9]+|(const|const_fold_opt|Const|constant|Constant|val|tensor|node|initializer|param)[_:./]*[0-9]*)$`)

// readable makes a name of the file one that a person reads, words with slashes
// between: "layer1.0.conv1.weight" becomes "layer1/0/conv1/weight". PyTorch
// repeats the names of containers, "/layer1/layer1.0/conv1/Conv", and
// TensorFlow joins the names of nodes that it joins, of which the last is kept.
// It is empty where nothing but a number made by a machine is left.
func readable(name string) string {
	name = strings.TrimSuffix(name, "_output_0")
	name = name[strings.LastIndexByte(name, ';')+1:]
	if machineName.MatchString(name) {
		return ""
	}
	if i := strings.LastIndexByte(name, ':'); i > 0 && strings.Trim(name[i+1:], "0123456789") == "" {
		name = name[:i] // TensorFlow's number of an output
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '/' || r == '\\' })
	for i := len(words) - 1; i > 0; i-- {
		words[i] = strings.TrimPrefix(words[i], words[i-1]+".")
	}
	var b strings.Builder
	for _, r := range strings.Join(words, "/") {
		switch {
		case r == '.' || r == ':':
			b.WriteByte('/')
		case r < ' ' || r == 0x7f || r == '"':
		default:
			b.WriteRune(r)
		}
	}
	clean := strings.TrimPrefix(path.Clean("/"+b.String()), "/")
	if machineName.MatchString(clean) {
		return ""
	}
	return clean
}

// findTaps chooses the attention points.
func (im *importing) findTaps() error {
	last := im.channelsLast()
	map4 := func(name string) *gorgonia.Node {
		n := im.values[name].node
		if n == nil || n.Dims() != 4 {
			return nil
		}
		if last[name] {
			n = im.toFileOrder(n)
		}
		if n == nil || n.Shape()[1] < 2 || n.Shape()[2] < 2 {
			return nil
		}
		return n
	}
	isTap := func(name string) bool { return name != im.input.Name && map4(name) != nil }
	throats := im.throats(isTap)
	if im.wantTaps != nil {
		for _, want := range im.wantTaps {
			at := slices.IndexFunc(im.Calls, func(c importer.Call) bool {
				return len(c.Outputs) > 0 && (c.Outputs[0] == want || c.Name == want || readable(c.Outputs[0]) == want || readable(c.Name) == want) && isTap(c.Outputs[0])
			})
			if at < 0 {
				return fmt.Errorf("no value of the file called %q is a feature map, of four axes with height and width above 1, that the logits depend on; all of the network passes through %q", want, throats)
			}
			im.addTap(im.Calls[at].Outputs[0], last)
		}
		return nil
	}
	final := map[[2]int]string{}
	for _, v := range throats {
		s := map4(v).Shape()
		final[[2]int{s[1], s[2]}] = v
	}
	for _, v := range throats {
		s := map4(v).Shape()
		if final[[2]int{s[1], s[2]}] == v {
			im.addTap(v, last)
		}
	}
	return nil
}

// addTap makes a value of the file an attention point.
func (im *importing) addTap(value string, channelsLast map[string]bool) {
	name := readable(value)
	if c := im.callOf(value); name == "" && c != nil {
		name = readable(c.Name)
	}
	if name == "" {
		name = fmt.Sprintf("tap%d", len(im.taps)+1)
	}
	free := name
	for i := 2; slices.ContainsFunc(im.taps, func(t tapValue) bool { return t.name == free }); i++ {
		free = fmt.Sprintf("%s_%d", name, i)
	}
	im.taps = append(im.taps, tapValue{free, value, channelsLast[value]})
}

// tap returns the node [N, H, W, C] of an attention point.
func (im *importing) tap(t tapValue) *gorgonia.Node {
	n := im.values[t.value].node
	if t.channelsLast {
		return im.toFileOrder(n)
	}
	return n
}

// imageOps work on channels first by definition.
var imageOps = []string{"Conv", "FusedConv", "ConvTranspose", "BatchNormalization", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "InstanceNormalization", "DepthToSpace", "SpaceToDepth"}

// channelsLast returns the values of four axes that the file has channels last:
// behind a Transpose that brings them there, up to one that takes them back.
func (im *importing) channelsLast() map[string]bool {
	last := map[string]bool{im.input.Name: im.nhwc}
	for i, c := range im.Calls {
		if !im.needed[i] {
			continue
		}
		is := false
		switch perm := c.Node.Ints("perm"); {
		case slices.Contains(imageOps, c.Op):
		case c.Op == "Transpose" && slices.Equal(perm, []int64{0, 2, 3, 1}):
			is = !last[c.Inputs[0]]
		case c.Op == "Transpose":
		default:
			for _, v := range c.Inputs {
				is = is || last[v]
			}
		}
		for _, v := range c.Outputs {
			last[v] = is && v != ""
		}
	}
	return last
}

// weighingOps are where learned features begin; before the first of them there
// is still the image.
var weighingOps = []string{"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"}

// throats returns the values, in the file's order, that every path from the
// image to the logits passes through and that come behind a learned weight.
// Values are numbered in the order of the calls, in which every edge leads
// upwards; then a value lies on all paths exactly when no edge leads from below
// it to above it.
func (im *importing) throats(isTap func(string) bool) []string {
	type edge struct{ from, to string }
	var edges []edge
	order, learned := []string{im.input.Name}, map[string]bool{}
	reached := map[string]bool{im.input.Name: true}
	for i, c := range im.Calls {
		if !im.needed[i] || len(c.Outputs) == 0 || im.values[c.Outputs[0]].node == nil {
			continue
		}
		for _, to := range c.Outputs {
			if to == "" || im.values[to].node == nil {
				continue
			}
			for _, from := range c.Inputs {
				if !reached[from] {
					continue
				}
				edges = append(edges, edge{from, to})
				if !reached[to] {
					reached[to] = true
					order = append(order, to)
				}
				learned[to] = learned[to] || learned[from] || slices.Contains(weighingOps, c.Op)
			}
		}
	}
	leads := map[string]bool{im.logits: true}
	for _, e := range slices.Backward(edges) {
		if leads[e.to] {
			leads[e.from] = true
		}
	}
	at := map[string]int{}
	var line []string
	for _, v := range order {
		if leads[v] {
			at[v] = len(line)
			line = append(line, v)
		}
	}
	highest := make([]int, len(line))
	for _, e := range edges {
		if leads[e.from] && leads[e.to] {
			highest[at[e.from]] = max(highest[at[e.from]], at[e.to])
		}
	}
	var out []string
	far := 0
	for i, v := range line {
		if far <= i && v != im.input.Name && v != im.logits && learned[v] && isTap(v) {
			out = append(out, v)
		}
		far = max(far, highest[i])
	}
	return out
}
