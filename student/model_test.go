package student_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// close is the tolerance of float32 results of a few hundred additions,
// relative to the largest of them.
const close = 1e-5

// small is a network with every layer that has parameters.
func small(conv student.Conv) student.Architecture {
	return student.Architecture{
		Name: "small",
		Build: func(b *student.Builder, image *gorgonia.Node) (student.Output, error) {
			x := b.ReLU(b.BatchNorm("stem/bn", b.Conv("stem/conv", image, conv)))
			x = b.Tap("stem", x)
			x = b.Add(b.Conv("body/conv", x, student.Conv{Out: b.Channels(x), Bias: true}), x)
			return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
		},
	}
}

var conv3x3 = student.Conv{Out: 4, Kernel: [2]int{3, 3}, Pad: [4]int{1, 1, 1, 1}}

func newModel(t *testing.T, a student.Architecture, s student.Spec, seed uint64) *student.Model {
	t.Helper()
	m, err := student.New(a, s, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newGraph(t *testing.T, m *student.Model, batch int, mode student.Mode) *student.Graph {
	t.Helper()
	g, err := m.Graph(batch, mode)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var spec8 = student.Spec{Image: student.Shape{H: 8, W: 7, C: 3}, Classes: 5}

// pixels is a repeatable image batch with values in [-1, 1].
func pixels(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.Sin(float64(7*i*i + 3*i))
	}
	return v
}

// let gives a node a value of its own element type.
func let(t *testing.T, n *gorgonia.Node, v []float64) {
	t.Helper()
	value, b, err := op.NewValue(n.Dtype(), n.Shape())
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.F32 {
		b.F32[i] = float32(v[i])
	}
	copy(b.F64, v)
	if err := gorgonia.Let(n, value); err != nil {
		t.Fatal(err)
	}
}

// run runs the graph for the given nodes and returns their values.
func run(t *testing.T, g *student.Graph, image []float64, out ...*gorgonia.Node) [][]float64 {
	t.Helper()
	let(t, g.Image, image)
	machine, err := vm.New(g.Expr, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { machine.Close() }) // the values of out are in its memory, and step applies them
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	values := make([][]float64, len(out))
	for i, n := range out {
		values[i] = float64s(t, n.Value())
	}
	return values
}

func float64s(t *testing.T, v gorgonia.Value) []float64 {
	t.Helper()
	b, err := op.BufferOf(v)
	if err != nil {
		t.Fatal(err)
	}
	f := append([]float64(nil), b.F64...)
	for _, x := range b.F32 {
		f = append(f, float64(x))
	}
	return f
}

// apart returns the largest difference of a and b relative to the largest of b.
func apart(t *testing.T, a, b []float64) float64 {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%d values and %d values", len(a), len(b))
	}
	var d, size float64
	for i := range a {
		if math.IsNaN(a[i]) {
			return math.Inf(1)
		}
		d, size = math.Max(d, math.Abs(a[i]-b[i])), math.Max(size, math.Abs(b[i]))
	}
	return d / size
}

// shake moves every parameter off its initial value, so that no scale is 1 and
// no shift 0.
func shake(t *testing.T, m *student.Model) {
	t.Helper()
	for i, p := range m.Params() {
		b, err := op.BufferOf(p.Value)
		if err != nil {
			t.Fatal(err)
		}
		for j := range b.F32 {
			b.F32[j] += 0.3 * float32(math.Sin(float64(11*i+5*j)))
		}
		for j := range b.F64 {
			b.F64[j] += 0.3 * math.Sin(float64(11*i+5*j))
		}
	}
}

func TestParametersAreNamedAfterTheirLayers(t *testing.T) {
	m := newModel(t, small(conv3x3), spec8, 1)
	type row struct {
		Name             string
		Kind             student.Kind
		Shape            string
		Trainable, Decay bool
	}
	var got []row
	for _, p := range m.Params() {
		got = append(got, row{p.Name, p.Kind, fmt.Sprint(p.Value.Shape()), p.Trainable, p.Decay})
	}
	want := []row{
		{"stem/conv/weight", student.Weight, "(4, 3, 3, 3)", true, true},
		{"stem/bn/scale", student.Scale, "(4)", true, true},
		{"stem/bn/shift", student.Shift, "(4)", true, true},
		{"stem/bn/running", student.Running, "(2, 4)", false, false},
		{"body/conv/weight", student.Weight, "(4, 1, 1, 4)", true, true},
		{"body/conv/bias", student.Bias, "(4)", true, true},
		{"classifier/weight", student.Weight, "(5, 4)", true, true},
		{"classifier/bias", student.Bias, "(5)", true, true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("parameters (-want +got):\n%s", d)
	}
	params, macs, err := m.Cost()
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(4*27 + 4 + 4 + 16 + 4 + 20 + 5); params != want {
		t.Errorf("%d parameters, want %d", params, want)
	}
	if want := int64(8*7*4*27 + 8*7*4*4 + 20); macs != want {
		t.Errorf("%d multiply-accumulates, want %d", macs, want)
	}
}

func TestInitialValuesDependOnSeedAndNameAlone(t *testing.T) {
	build := func(names ...string) map[string][]float64 {
		m := newModel(t, student.Architecture{
			Name: "order",
			Build: func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
				for _, n := range names {
					x = b.Conv(n, x, student.Conv{Out: 3})
				}
				return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
			},
		}, spec8, 7)
		values := map[string][]float64{}
		for _, p := range m.Params() {
			values[p.Name] = float64s(t, p.Value)
		}
		return values
	}
	ab, ba := build("a", "b"), build("b", "a")
	if d := cmp.Diff(ab, ba); d != "" {
		t.Errorf("making b before a changed values (-a,b +b,a):\n%s", d)
	}
	if cmp.Equal(ab["a/weight"], ab["b/weight"]) {
		t.Error("two layers got the same weights")
	}
	first := float64s(t, newModel(t, small(conv3x3), spec8, 1).Params()[0].Value)
	if cmp.Equal(first, float64s(t, newModel(t, small(conv3x3), spec8, 2).Params()[0].Value)) {
		t.Error("two seeds gave the same weights")
	}
}

func TestWeightsBeginHeNormalAndTheRestNeutral(t *testing.T) {
	m := newModel(t, small(student.Conv{Out: 256, Kernel: [2]int{3, 3}, Pad: [4]int{1, 1, 1, 1}}),
		student.Spec{Image: student.Shape{H: 4, W: 4, C: 16}, Classes: 64}, 3)
	for _, p := range m.Params() {
		v := float64s(t, p.Value)
		switch p.Kind {
		case student.Weight:
			var sum, squares float64
			for _, x := range v {
				sum, squares = sum+x, squares+x*x
			}
			n := float64(len(v))
			want := math.Sqrt(2 / (n / float64(p.Value.Shape()[0])))
			// The deviation of n normal draws is off by about 1/√(2n), n ≥ 16384:
			// 0.55 %; four times that passes for all but one seed in ten thousand.
			if got := math.Sqrt(squares / n); math.Abs(got/want-1) > 0.022 || math.Abs(sum/n) > 4*want/math.Sqrt(n) {
				t.Errorf("%s has mean %v and deviation %v, want 0 and %v", p.Name, sum/n, got, want)
			}
		case student.Scale:
			all(t, p.Name, v, 1)
		case student.Bias, student.Shift:
			all(t, p.Name, v, 0)
		case student.Running:
			all(t, p.Name+" mean", v[:len(v)/2], 0)
			all(t, p.Name+" variance", v[len(v)/2:], 1)
		}
	}
}

func all(t *testing.T, name string, v []float64, want float64) {
	t.Helper()
	for _, x := range v {
		if x != want {
			t.Errorf("%s begins with %v, want %v", name, x, want)
			return
		}
	}
}

func TestGraphsShareTheParametersMemory(t *testing.T) {
	m := newModel(t, small(conv3x3), spec8, 1)
	train, infer := newGraph(t, m, 2, student.Train), newGraph(t, m, 3, student.Infer)
	trainable := 0
	for _, p := range m.Params() {
		if !p.Trainable {
			continue
		}
		for _, g := range []*student.Graph{train, infer} {
			n := g.Params[trainable]
			if n.Name() != p.Name {
				t.Fatalf("node %d is %s, want %s", trainable, n.Name(), p.Name)
			}
			p.Value.Data().([]float32)[0] = 42
			if got := n.Value().Data().([]float32)[0]; got != 42 {
				t.Errorf("%s: a graph sees %v, the model holds 42", p.Name, got)
			}
		}
		trainable++
	}
	if trainable != len(train.Params) || trainable != len(infer.Params) {
		t.Errorf("%d and %d parameter nodes for %d trainable parameters", len(train.Params), len(infer.Params), trainable)
	}
	if len(infer.Updates) != 0 || len(train.Updates) != 1 {
		t.Errorf("%d updates for inference and %d for training, want 0 and 1", len(infer.Updates), len(train.Updates))
	}
	before := newGraph(t, m, 1, student.Infer)
	a := run(t, before, pixels(8*7*3), before.Logits)[0]
	shake(t, m)
	b := run(t, before, pixels(8*7*3), before.Logits)[0]
	if apart(t, a, b) < 1e-3 {
		t.Error("changing the parameters did not change what a graph computes")
	}
}

func TestTrainingUpdatesTheRunningStatistics(t *testing.T) {
	m := newModel(t, small(conv3x3), student.Spec{Image: student.Shape{H: 2, W: 1, C: 3}, Classes: 5}, 1)
	g := newGraph(t, m, 2, student.Train)
	if err := m.Apply(g.Updates); err == nil || !strings.Contains(err.Error(), "stem/bn/running has no value; run its graph") {
		t.Errorf("applying before running: error %v", err)
	}
	// What normalisation sees is the convolution's output: the operand of the
	// ReLU's operand. Its statistics are computed here in plain loops.
	image := pixels(2 * 2 * 1 * 3)
	w := float64s(t, m.Params()[0].Value)
	y := convolve(image, w, 2, 2, 1, 3, 4)
	mean, variance := make([]float64, 4), make([]float64, 4)
	count := len(y) / 4
	for i, v := range y {
		mean[i%4] += v / float64(count)
	}
	for i, v := range y {
		variance[i%4] += (v - mean[i%4]) * (v - mean[i%4]) / float64(count-1)
	}
	var want []float64
	for _, v := range mean {
		want = append(want, 0.1*v)
	}
	for _, v := range variance {
		want = append(want, 0.9+0.1*v)
	}
	run(t, g, image, g.Logits, g.Updates[0].Node)
	if err := m.Apply(g.Updates); err != nil {
		t.Fatal(err)
	}
	if got := float64s(t, m.Params()[3].Value); apart(t, got, want) > close {
		t.Errorf("running statistics %v, want %v", got, want)
	}
}

// convolve is a 3x3 convolution with padding 1 in plain loops.
func convolve(x, w []float64, n, h, wd, c, k int) []float64 {
	y := make([]float64, n*h*wd*k)
	for i := range y {
		o, q, p, b := i%k, i/k%wd, i/k/wd%h, i/k/wd/h
		for r := range 3 {
			for s := range 3 {
				if u, v := p+r-1, q+s-1; u >= 0 && u < h && v >= 0 && v < wd {
					for ci := range c {
						y[i] += x[((b*h+u)*wd+v)*c+ci] * w[((o*3+r)*3+s)*c+ci]
					}
				}
			}
		}
	}
	return y
}

func TestConvertCopiesAModelToFloat64(t *testing.T) {
	m := newModel(t, small(conv3x3), spec8, 1)
	shake(t, m)
	d, err := m.Convert(tensor.Float64)
	if err != nil {
		t.Fatal(err)
	}
	g32, g64 := newGraph(t, m, 2, student.Train), newGraph(t, d, 2, student.Train)
	if g64.Logits.Dtype() != tensor.Float64 || d.Dtype() != tensor.Float64 || m.Dtype() != tensor.Float32 {
		t.Errorf("logits of %v in a model of %v made from one of %v", g64.Logits.Dtype(), d.Dtype(), m.Dtype())
	}
	a := run(t, g32, pixels(2*8*7*3), g32.Logits)[0]
	b := run(t, g64, pixels(2*8*7*3), g64.Logits)[0]
	if e := apart(t, a, b); e > close || e == 0 {
		t.Errorf("float32 and float64 differ by %v", e)
	}
	shake(t, d)
	if c := run(t, g32, pixels(2*8*7*3), g32.Logits)[0]; !cmp.Equal(a, c) {
		t.Error("changing the copy changed the model")
	}
	if _, err := m.Convert(tensor.Int64); err == nil || !strings.Contains(err.Error(), "a model's are float32 and float64") {
		t.Errorf("converting to int64: error %v", err)
	}
}

func TestATapIsFoundByName(t *testing.T) {
	g := newGraph(t, newModel(t, small(conv3x3), spec8, 1), 2, student.Infer)
	n, err := g.Tap("stem")
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Shape(); !got.Eq(tensor.Shape{2, 8, 7, 4}) {
		t.Errorf("tap of shape %v", got)
	}
	if _, err := g.Tap("group1"); err == nil || !strings.Contains(err.Error(), `no tap "group1"; the taps are [stem]`) {
		t.Errorf("error %v", err)
	}
}

func TestBuildingRefuses(t *testing.T) {
	classify := func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
		return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
	}
	calls := 0
	tests := []struct {
		name, want string
		spec       student.Spec
		build      func(b *student.Builder, x *gorgonia.Node) (student.Output, error)
	}{
		{"an architecture without a function", `architecture "bad" has no Build function`, spec8, nil},
		{"an image without rows", "image of 0x7x3; height, width and channels are each at least 1", student.Spec{Image: student.Shape{W: 7, C: 3}, Classes: 5}, classify},
		{"a single class", "1 classes; a classifier tells at least 2 apart", student.Spec{Image: spec8.Image, Classes: 1}, classify},
		{"two layers of one name", "two layers are called conv", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Conv("conv", b.Conv("conv", x, conv3x3), conv3x3))
		}},
		{"a layer without a name", `convolution layer called ""`, spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Conv("", x, conv3x3))
		}},
		{"a name with an empty part", `called "a//b"`, spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Conv("a//b", x, conv3x3))
		}},
		{"groups that do not divide the channels", "convolution conv: 2 groups do not divide 3 input and 4 output channels", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Conv("conv", x, student.Conv{Out: 4, Groups: 2}))
		}},
		{"a convolution without output channels", "conv/weight of shape (0, 1, 1, 3)", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Conv("conv", x, student.Conv{}))
		}},
		{"a parameter beyond memory", "at most 1073741824 elements", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Conv("conv", x, student.Conv{Out: 1 << 40, Kernel: [2]int{1 << 20, 1 << 20}}))
		}},
		{"a kernel larger than the image", "conv", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Conv("conv", x, student.Conv{Out: 1, Kernel: [2]int{9, 9}}))
		}},
		{"an image where a vector belongs", "dense classifier wants an input of rank 2, got shape (1, 8, 7, 3)", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return b.Output(b.Dense("classifier", x, 5))
		}},
		{"too few logits", "logits of shape (1, 4); [1, 5] was wanted", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), 4))
		}},
		{"no logits", "returned no logits", spec8, func(*student.Builder, *gorgonia.Node) (student.Output, error) {
			return student.Output{}, nil
		}},
		{"nothing to learn", "no trainable parameter", student.Spec{Image: student.Shape{H: 8, W: 7, C: 5}, Classes: 5}, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return b.Output(b.GlobalAveragePool(x))
		}},
		{"two taps of one name", `two taps are called "a"`, spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Tap("a", b.Tap("a", x)))
		}},
		{"a tap that is no feature map", `tap "a" is not a feature map`, spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return b.Output(b.Tap("a", b.Dense("classifier", b.GlobalAveragePool(x), 5)))
		}},
		{"residual branches of two shapes", "add", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Add(b.Conv("conv", x, conv3x3), x))
		}},
		{"an operator called on the nothing an error leaves", "convolution layer called", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Op(op.Abs(b.Conv("", x, conv3x3))))
		}},
		{"a look at the nothing an error leaves", "convolution layer called", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Conv("", x, conv3x3).Shape()[3]))
		}},
		{"an operator's own error", "op: ", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			return classify(b, b.Op(op.Add(x, b.GlobalAveragePool(x))))
		}},
		{"an architecture's own error", "no such depth", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			b.Fail(errDepth)
			return classify(b, x)
		}},
		{"another network each time", "the model has no parameter conv", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			calls++
			return classify(b, b.Conv("conv"+strings.Repeat("x", calls), x, conv3x3))
		}},
		{"a layer of another size each time", "this time (8, 3, 3, 3) is wanted", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			c := conv3x3
			if b.Mode() == student.Train {
				c.Out = 8
			}
			return classify(b, b.Conv("conv", x, c))
		}},
		{"a layer left out in training", "2 parameters used of 3", spec8, func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			if b.Mode() == student.Infer {
				x = b.Conv("conv", x, student.Conv{Out: 3})
			}
			return classify(b, x)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := student.New(student.Architecture{Name: "bad", Build: tt.build}, tt.spec, 1)
			if err == nil {
				_, err = m.Graph(2, student.Train)
			}
			if err == nil || !strings.HasPrefix(err.Error(), "student: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nshould begin with student: and say %q", err, tt.want)
			}
		})
	}
}

var errDepth = depthError{}

type depthError struct{}

func (depthError) Error() string { return "no such depth" }

func TestAGraphRefuses(t *testing.T) {
	m := newModel(t, small(conv3x3), student.Spec{Image: student.Shape{H: 1, W: 1, C: 3}, Classes: 5}, 1)
	tests := []struct {
		name, want string
		batch      int
		mode       student.Mode
	}{
		{"an empty batch", "batch of 0", 0, student.Infer},
		{"an unknown mode", "unknown mode Mode(7); the modes are infer and train", 1, student.Mode(7)},
		{"statistics of a single value", "stem/bn sees one value per channel", 1, student.Train},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := m.Graph(tt.batch, tt.mode); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nshould say %q", err, tt.want)
			}
		})
	}
}
