package conformance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// reading is what both doors make of one file.
type reading struct {
	logits []float32 // by the teacher; the student's are the same
	spec   teachers.Spec
}

// readTwice opens a file as teacher and as student and fails when they answer
// differently, or say something else of what was made of the file.
func readTwice(t *testing.T, path string, within float64) reading {
	t.Helper()
	const n = 3
	session, err := teachers.Open(path, teachers.Options{Map: teachers.MapNone})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	spec := session.Spec()
	images := channelsLast(networkImages(n, spec.H, spec.W), n, spec.C, spec.H, spec.W)
	pixels := make([]uint8, len(images))
	p := preprocess.Spec{Scale: 1}
	mean, std := 0.0, 1.0
	if spec.Input != onnx.Uint8 {
		mean, std = 127.5, 50
		p.Mean, p.Std = slices.Repeat([]float64{mean}, spec.C), slices.Repeat([]float64{std}, spec.C)
	}
	for i, v := range images {
		pixels[i] = uint8(min(max(127.5+50*v, 0), 255))
		images[i] = float32((float64(pixels[i]) - mean) / std)
	}
	if err := session.SetPreprocess(p); err != nil {
		t.Fatal(err)
	}
	signals, err := session.Signals(teachers.Batch{Pixels: pixels, N: n, H: spec.H, W: spec.W, C: spec.C})
	if err != nil {
		t.Fatal(err)
	}
	imported, err := student.Import(path, student.ImportOptions{Image: student.Shape{H: spec.H, W: spec.W, C: spec.C}})
	if err != nil {
		t.Fatal(err)
	}
	if d := apart(inferred(t, imported.Model, images, n), signals.Logits); !(d <= within) {
		t.Errorf("the student's logits differ from the teacher's by %.1e of the largest", d)
	}
	if spec.Reading != "" && (!slices.Contains(imported.Notes, spec.Reading) || !slices.Contains(spec.Notes, spec.Reading)) {
		t.Errorf("%q was made of the file; the teacher notes %q, the student %q", spec.Reading, spec.Notes, imported.Notes)
	}
	report, err := teachers.Inspect(path, teachers.InspectOptions{Size: [2]int{spec.H, spec.W}})
	if err != nil {
		t.Fatal(err)
	}
	if spec.Reading != "" && !slices.Contains(report.Notes, spec.Reading) {
		t.Errorf("inspect notes %q, and not %q", report.Notes, spec.Reading)
	}
	return reading{signals.Logits, spec}
}

func TestTeacherAndStudentReadOneFileAlike(t *testing.T) {
	var files []string
	for _, folder := range []string{networkFolder, "../../testdata/teachers"} {
		list, err := filepath.Glob(filepath.Join(folder, "*.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	if len(files) < 25 {
		t.Fatalf("%d files", len(files))
	}
	for i, path := range files {
		name := filepath.Base(path)
		if name == "sequence.onnx" || testing.Short() && i%4 > 0 {
			continue // no classifier; each takes some tenths of a second
		}
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "fixed_batch") { // its shapes know the batch: a student is refused, not read otherwise
				if _, err := student.Import(path, student.ImportOptions{}); err == nil || !strings.Contains(err.Error(), "cannot be freed") {
					t.Errorf("as a student: %v", err)
				}
				return
			}
			within := sameNetwork
			if name == "float16.onnx" {
				within = 5e-3 // ONNX Runtime computes it with 11 bits
			}
			readTwice(t, path, within)
		})
	}
}

// classifier builds a network of one convolution, with the normalisation and the
// dropout that a case asks for, whose scores end takes to the output.
type classifier struct {
	*onnx.Builder
	opset int64
}

func newClassifier(opset int64) *classifier {
	return &classifier{onnx.NewBuilder("net", opset), opset}
}

// drawn is a constant of numbers from -1 to 1.
func (c *classifier) drawn(name string, dims ...int64) string {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = 2*hashed(1000*len(name)+i) - 1
	}
	return c.Initializer(name, onnx.Float32s(name, dims, data))
}

func (c *classifier) scalar(v float32) string {
	return c.Initializer("c", onnx.Float32s("c", nil, []float32{v}))
}

func (c *classifier) features() string {
	x := c.Input("image", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(6), onnx.Fixed(6))
	return c.Node("Conv", []string{x, c.drawn("conv/weight", 4, 3, 3, 3)}, onnx.AttrInts("pads", 1, 1, 1, 1))
}

// statistics are the operands of a normalisation behind its first.
func (c *classifier) statistics(mean, variance float32) []string {
	return []string{
		c.drawn("bn/scale", 4), c.drawn("bn/bias", 4),
		c.Initializer("mean", onnx.Float32s("mean", []int64{4}, slices.Repeat([]float32{mean}, 4))),
		c.Initializer("var", onnx.Float32s("var", []int64{4}, slices.Repeat([]float32{variance}, 4))),
	}
}

func (c *classifier) scores(x string) string {
	x = c.Node("Flatten", []string{c.Node("GlobalAveragePool", []string{c.Node("Relu", []string{x})})})
	return c.Node("Gemm", []string{x, c.drawn("head/weight", 4, 5), c.drawn("head/bias", 5)})
}

// reduce is a reduction over the classes.
func (c *classifier) reduce(op, x string) string {
	since := int64(18)
	if op == "ReduceSum" {
		since = 13
	}
	if c.opset < since {
		return c.Node(op, []string{x}, onnx.AttrInts("axes", 1), onnx.AttrInt("keepdims", 1))
	}
	return c.Node(op, []string{x, c.Initializer("axes", onnx.Int64s("axes", []int64{1}, []int64{1}))})
}

func (c *classifier) write(t *testing.T, x string, change ...func(*onnx.Model)) string {
	t.Helper()
	c.Output(x, "y", onnx.Float32)
	m, err := c.Model()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(m)
	}
	path := filepath.Join(t.TempDir(), "net.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each ending is taken off in both doors, which leaves the logits of the network
// without it.
func TestEndingsAreTakenOffAlike(t *testing.T) {
	type build = func(c *classifier, z string) string
	op := func(name string, attrs ...*onnx.Attr) build {
		return func(c *classifier, z string) string { return c.Node(name, []string{z}, attrs...) }
	}
	shifted := func(c *classifier, z string) string { return c.Node("Sub", []string{z, c.reduce("ReduceMax", z)}) }
	for _, e := range []struct {
		name string
		end  build
		from teachers.Logits
		by   float64 // what logits are divided by
		note string
	}{
		{"none", func(_ *classifier, z string) string { return z }, teachers.LogitsOutput, 1, ""},
		{"softmax", op("Softmax", onnx.AttrInt("axis", 1)), teachers.LogitsBeforeSoftmax, 1, "ends in a softmax"},
		{"log-softmax", op("LogSoftmax"), teachers.LogitsBeforeSoftmax, 1, "ends in a log-softmax"},
		{"sigmoid", op("Sigmoid"), teachers.LogitsBeforeSigmoid, 1, "ends in a sigmoid"},
		{"temperature by division", func(c *classifier, z string) string {
			return c.Node("Softmax", []string{c.Node("Div", []string{z, c.scalar(2.5)})})
		}, teachers.LogitsBeforeSoftmax, 2.5, "divided by a temperature of 2.5 already"},
		{"temperature by multiplication", func(c *classifier, z string) string {
			return c.Node("Softmax", []string{c.Node("Mul", []string{c.scalar(0.25), z})})
		}, teachers.LogitsBeforeSoftmax, 4, "divided by a temperature of 4 already"},
		{"log of a softmax", func(c *classifier, z string) string {
			return c.Node("Log", []string{c.Node("Softmax", []string{z})})
		}, teachers.LogitsBeforeSoftmax, 1, "log-softmax"},
		{"log of a clipped softmax", func(c *classifier, z string) string {
			p := c.Node("Softmax", []string{z})
			if c.opset < 11 {
				return c.Node("Log", []string{c.Node("Clip", []string{p}, onnx.AttrFloat("min", 1e-7), onnx.AttrFloat("max", 1))})
			}
			return c.Node("Log", []string{c.Node("Clip", []string{p, c.scalar(1e-7), ""})})
		}, teachers.LogitsBeforeSoftmax, 1, "log-softmax"},
		{"log of a softmax and a little", func(c *classifier, z string) string {
			return c.Node("Log", []string{c.Node("Add", []string{c.Node("Softmax", []string{z}), c.scalar(1e-6)})})
		}, teachers.LogitsBeforeSoftmax, 1, "log-softmax"},
		{"softmax in percent, as another type and form", func(c *classifier, z string) string {
			p := c.Node("Mul", []string{c.Node("Softmax", []string{z}), c.scalar(100)})
			p = c.Node("Cast", []string{p}, onnx.AttrInt("to", int64(onnx.Float64)))
			p = c.Node("Cast", []string{p}, onnx.AttrInt("to", int64(onnx.Float32)))
			return c.Node("Reshape", []string{p, c.Initializer("shape", onnx.Int64s("shape", []int64{3}, []int64{-1, 5, 1}))})
		}, teachers.LogitsBeforeSoftmax, 1, "softmax"},
		{"softmax written out", func(c *classifier, z string) string {
			e := c.Node("Exp", []string{z})
			return c.Node("Div", []string{e, c.reduce("ReduceSum", e)})
		}, teachers.LogitsBeforeSoftmax, 1, "ends in a softmax"},
		{"softmax written out, shifted, by a reciprocal", func(c *classifier, z string) string {
			e := c.Node("Exp", []string{shifted(c, z)})
			return c.Node("Mul", []string{c.Node("Reciprocal", []string{c.reduce("ReduceSum", e)}), e})
		}, teachers.LogitsBeforeSoftmax, 1, "ends in a softmax"},
		{"log-softmax written out", func(c *classifier, z string) string {
			return c.Node("Sub", []string{z, c.reduce("ReduceLogSumExp", z)})
		}, teachers.LogitsBeforeSoftmax, 1, "ends in a log-softmax"},
		{"log-softmax written out, shifted", func(c *classifier, z string) string {
			z = shifted(c, z)
			return c.Node("Sub", []string{z, c.Node("Log", []string{c.reduce("ReduceSum", c.Node("Exp", []string{z}))})})
		}, teachers.LogitsBeforeSoftmax, 1, "ends in a log-softmax"},
		{"exponential of a log-softmax", func(c *classifier, z string) string {
			return c.Node("Exp", []string{c.Node("LogSoftmax", []string{z})})
		}, teachers.LogitsBeforeSoftmax, 1, "ends in a softmax"},
		{"sigmoid written out", func(c *classifier, z string) string {
			e := c.Node("Exp", []string{c.Node("Neg", []string{z})})
			return c.Node("Div", []string{c.scalar(1), c.Node("Add", []string{e, c.scalar(1)})})
		}, teachers.LogitsBeforeSigmoid, 1, "ends in a sigmoid"},
	} {
		for _, opset := range []int64{9, 13, 18} {
			if testing.Short() && opset != 13 {
				continue
			}
			t.Run(fmt.Sprintf("%s, opset %d", e.name, opset), func(t *testing.T) {
				c := newClassifier(opset)
				plain := readTwice(t, c.write(t, c.scores(c.features())), sameNetwork)
				c = newClassifier(opset)
				got := readTwice(t, c.write(t, e.end(c, c.scores(c.features()))), sameNetwork)
				want := slices.Clone(plain.logits)
				for i := range want {
					want[i] = float32(float64(want[i]) / e.by)
				}
				if d := apart(got.logits, want); !(d <= sameNetwork) {
					t.Errorf("with its ending the network gives other logits, by %.1e of the largest", d)
				}
				if got.spec.Logits != e.from || !strings.Contains(got.spec.Reading, e.note) || (e.note == "") != (got.spec.Reading == "") {
					t.Errorf("logits come from %q with the note %q, want %q and %q", got.spec.Logits, got.spec.Reading, e.from, e.note)
				}
			})
		}
	}
}

// What a file holds in training mode is read as in inference, in both doors.
func TestTrainingModeIsReadAlike(t *testing.T) {
	for _, f := range []struct {
		name  string
		opset int64
		train func(c *classifier, x string) string // in training mode
		infer func(c *classifier, x string) string // as it is read
		note  string
	}{
		{"batch normalisation", 17, func(c *classifier, x string) string {
			return c.Nodes("BatchNormalization", 3, append([]string{x}, c.statistics(0.3, 2)...), onnx.AttrInt("training_mode", 1))[0]
		}, func(c *classifier, x string) string {
			return c.Node("BatchNormalization", append([]string{x}, c.statistics(0.3, 2)...))
		}, "BatchNormalization nodes in training mode, read with their running statistics: 1"},
		{"batch normalisation with the statistics that training begins with", 17, func(c *classifier, x string) string {
			return c.Nodes("BatchNormalization", 3, append([]string{x}, c.statistics(0, 1)...), onnx.AttrInt("training_mode", 1))[0]
		}, func(c *classifier, x string) string {
			return c.Node("BatchNormalization", append([]string{x}, c.statistics(0, 1)...))
		}, "with means of 0 and variances of 1, as before any training: 1"},
		{"batch normalisation of five results", 9, func(c *classifier, x string) string {
			return c.Nodes("BatchNormalization", 5, append([]string{x}, c.statistics(0.3, 2)...))[0]
		}, func(c *classifier, x string) string {
			return c.Node("BatchNormalization", append([]string{x}, c.statistics(0.3, 2)...))
		}, "BatchNormalization nodes in training mode, read with their running statistics: 1"},
		{"dropout", 13, func(c *classifier, x string) string {
			yes := c.Initializer("yes", &onnx.Tensor{Name: "yes", Type: onnx.Bool, Data: []byte{1}})
			return c.Node("Dropout", []string{x, c.scalar(0.5), yes})
		}, func(_ *classifier, x string) string { return x }, "Dropout nodes in training mode, read as in inference, where they drop nothing: 1"},
	} {
		t.Run(f.name, func(t *testing.T) {
			var read [2]reading
			for i, layer := range []func(c *classifier, x string) string{f.infer, f.train} {
				c := newClassifier(f.opset)
				read[i] = readTwice(t, c.write(t, c.scores(layer(c, c.features()))), sameNetwork)
			}
			if d := apart(read[1].logits, read[0].logits); !(d <= sameNetwork) {
				t.Errorf("in training mode the logits differ by %.1e of the largest", d)
			}
			if read[0].spec.Reading != "" || !strings.Contains(read[1].spec.Reading, f.note) {
				t.Errorf("notes %q, want %q", read[1].spec.Reading, f.note)
			}
		})
	}
}

// Statistics that the graph computes are those of the batch: a teacher keeps
// them, and a student cannot be made.
func TestBatchNormalizationWithoutRunningStatisticsStays(t *testing.T) {
	c := newClassifier(17)
	x := c.features()
	in := append([]string{x}, c.statistics(0, 1)...)
	in[3] = c.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", 0, 2, 3), onnx.AttrInt("keepdims", 0))
	path := c.write(t, c.scores(c.Nodes("BatchNormalization", 3, in, onnx.AttrInt("training_mode", 1))[0]))
	session, err := teachers.Open(path, teachers.Options{Map: teachers.MapNone})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if r := session.Spec().Reading; r != "" {
		t.Errorf("the teacher is read with %q", r)
	}
	if _, err := student.Import(path, student.ImportOptions{}); err == nil || !strings.Contains(err.Error(), "training_mode is set") {
		t.Errorf("as a student: %v", err)
	}
}

// PyTorch 2.9 names the batch of the input and declares 1 for it everywhere else
// when it traces a network with one image.
func TestADeclaredBatchOfOneIsNotBelieved(t *testing.T) {
	build := func(c *classifier) string {
		x := c.Node("Relu", []string{c.features()})
		x = c.Node("Reshape", []string{x, c.Initializer("shape", onnx.Int64s("shape", []int64{2}, []int64{-1, 144}))}, onnx.AttrInt("allowzero", 1))
		return c.Node("Gemm", []string{x, c.drawn("head/weight", 144, 5), c.drawn("head/bias", 5)})
	}
	c := newClassifier(20)
	plain := c.write(t, build(c))
	c = newClassifier(20)
	declared := c.write(t, build(c), func(m *onnx.Model) {
		m.Graph.Inputs[0].Shape[0] = onnx.Symbol("s77")
		one := func(name string, dims ...int64) *onnx.Value {
			v := &onnx.Value{Name: name, Type: onnx.Float32, HasShape: true, Shape: []onnx.Dim{onnx.Fixed(1)}}
			for _, d := range dims {
				v.Shape = append(v.Shape, onnx.Fixed(d))
			}
			return v
		}
		m.Graph.Values = []*onnx.Value{one("Conv", 4, 6, 6), one("Relu", 4, 6, 6), one("Reshape", 144)}
		m.Graph.Outputs = []*onnx.Value{one("y", 5)}
	})
	a, b := readTwice(t, plain, sameNetwork), readTwice(t, declared, sameNetwork)
	if d := apart(b.logits, a.logits); d > 0 || b.spec.Batch != 0 {
		t.Errorf("the logits differ by %.1e, images are run %d at a time", d, b.spec.Batch)
	}
	if want := `output "y" is declared for a batch of 1 though its input takes any batch; any batch is run`; b.spec.Reading != want {
		t.Errorf("note %q, want %q", b.spec.Reading, want)
	}
	if e, err := teachers.Latency(declared, teachers.LatencyOptions{Runs: 2}); err != nil || e.Runs != 2 {
		t.Errorf("its latency: %+v, %v", e, err)
	}
}

// A teacher of functions is the network that is in them: the same taps, the same
// multiplications.
func TestFunctionsAreReadAlike(t *testing.T) {
	layers := func(c *classifier) string {
		c.Name("conv")
		x := c.features()
		c.Name("act")
		return c.scores(c.Node("Relu", []string{x}))
	}
	c := newClassifier(17)
	plain := c.write(t, layers(c))
	c = newClassifier(17)
	called := c.write(t, layers(c), func(m *onnx.Model) {
		conv := m.Graph.Nodes[0]
		m.Functions = []*onnx.Function{{
			Name: "Block", Domain: "own", Inputs: []string{"x", "w"}, Outputs: []string{"y"}, Opsets: []onnx.Opset{{Version: 17}},
			// Nodes without names, or with one, may not be two of one name.
			Nodes: []*onnx.Node{
				{Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"h"}, Attrs: conv.Attrs},
				{Op: "Identity", Inputs: []string{"h"}, Outputs: []string{"g"}}, {Op: "Identity", Inputs: []string{"g"}, Outputs: []string{"y"}},
			},
		}}
		conv.Op, conv.Domain, conv.Attrs = "Block", "own", nil
		m.Opsets = append(m.Opsets, onnx.Opset{Domain: "own", Version: 1})
	})
	a, b := readTwice(t, plain, sameNetwork), readTwice(t, called, sameNetwork)
	if d := apart(b.logits, a.logits); d > 0 {
		t.Errorf("the logits differ by %.1e", d)
	}
	if want := "calls of its own functions, replaced by the functions' nodes: 1"; b.spec.Reading != want {
		t.Errorf("note %q, want %q", b.spec.Reading, want)
	}
	var reports [2]*teachers.Report
	for i, path := range []string{plain, called} {
		var err error
		if reports[i], err = teachers.Inspect(path, teachers.InspectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	suggested := func(r *teachers.Report) (shapes [][3]int) {
		for _, tap := range r.Taps {
			if tap.Suggested {
				shapes = append(shapes, [3]int{tap.C, tap.H, tap.W})
			}
		}
		return shapes
	}
	if reports[0].MACs == 0 || reports[1].MACs != reports[0].MACs || !slices.Equal(suggested(reports[0]), suggested(reports[1])) || len(suggested(reports[0])) == 0 {
		t.Errorf("%d multiplications and taps %v, want %d and %v", reports[1].MACs, suggested(reports[1]), reports[0].MACs, suggested(reports[0]))
	}
}
