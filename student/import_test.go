package student_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

func importModel(t *testing.T, m *onnx.Model, o student.ImportOptions) *student.Imported {
	t.Helper()
	i, err := student.ImportModel(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// nodesOf lists a model's nodes with their operands.
func nodesOf(m *onnx.Model) []string {
	var out []string
	for _, n := range m.Graph.Nodes {
		out = append(out, fmt.Sprintf("%s(%s) -> %s", n.Op, strings.Join(n.Inputs, ", "), strings.Join(n.Outputs, ", ")))
	}
	return out
}

// logits runs a model on the same images and returns its scores.
func logits(t *testing.T, m *student.Model, batch int) []float64 {
	t.Helper()
	g := newGraph(t, m, batch, student.Infer)
	s := m.Spec().Image
	return run(t, g, pixels(batch*s.H*s.W*s.C), g.Logits)[0]
}

// An exported student is a file like any other: imported, it computes the same
// logits, and exported again it is the same file.
func TestZooStudentsComeBack(t *testing.T) {
	for _, name := range []string{"wrn-10-1", "wrn-16-0.5", "resnet-8", "resnet-14", "mobilenetv2-0.25"} {
		t.Run(name, func(t *testing.T) {
			a, err := zoo.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			m := newModel(t, a, student.Spec{Image: student.Shape{H: 17, W: 12, C: 3}, Classes: 5}, 1)
			shake(t, m)
			for _, opset := range []int64{13, 17, 21} {
				first := export(t, m, student.ExportOptions{Opset: opset})
				back := importModel(t, first, student.ImportOptions{})
				if d := apart(t, logits(t, back.Model, 3), logits(t, m, 3)); d > close {
					t.Errorf("opset %d: logits are off by %v", opset, d)
				}
				again := export(t, back.Model, student.ExportOptions{Opset: opset})
				if d := cmp.Diff(nodesOf(first), nodesOf(again)); d != "" {
					t.Errorf("opset %d: nodes of the first and the second file (-first +second):\n%s", opset, d)
				}
				if d := cmp.Diff(names(first), names(again)); d != "" {
					t.Errorf("opset %d: initializers of the first and the second file (-first +second):\n%s", opset, d)
				}
			}
		})
	}
}

func names(m *onnx.Model) []string {
	var out []string
	for _, t := range m.Graph.Initializers {
		out = append(out, fmt.Sprint(t.Name, t.Dims))
	}
	slices.Sort(out)
	return out
}

// fixtures is what testdata/teachers/golden.json holds that a student sees.
type fixtures struct {
	Height, Width, Classes int
	Images                 []float64 // bytes, NHWC
	Logits                 []float64
	Raw                    map[string][]float64 // activations, NHWC
}

func teacherFixtures(t *testing.T) fixtures {
	t.Helper()
	b, err := os.ReadFile("../testdata/teachers/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var f fixtures
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// One network in many disguises is the same student, with PyTorch's logits.
func TestTeachersBecomeStudents(t *testing.T) {
	f := teacherFixtures(t)
	mean, std := [3]float64{125.3, 123.0, 113.9}, [3]float64{63.0, 62.1, 66.7}
	normal := make([]float64, len(f.Images))
	for i, v := range f.Images {
		normal[i] = (v - mean[i%3]) / std[i%3]
	}
	tests := []struct {
		file   string
		images []float64
		within float64
		notes  []string // in some note each
		raw    bool     // whether its taps are PyTorch's
	}{
		{"cnn_opset11", normal, close, nil, true},
		{"cnn_opset13", normal, close, nil, true},
		{"cnn_opset17", normal, close, nil, true},
		{"nhwc_softmax", normal, close, []string{"channels last", "ends in a softmax", "batches of 1"}, true},
		{"hidden_softmax", normal, close, []string{"ends in a softmax"}, true},
		{"nhwc_inside", normal, close, nil, false},
		{"uint8", f.Images, close, []string{"takes its image as uint8", "channels last"}, true},
		// Its weights are of half precision.
		{"float16", normal, 5e-3, []string{"declared float16, is float32"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			i, err := student.Import("../testdata/teachers/"+tt.file+".onnx", student.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if want := (student.Spec{Image: student.Shape{H: f.Height, W: f.Width, C: 3}, Classes: f.Classes}); i.Model.Spec() != want || i.Model.Name() != tt.file {
				t.Errorf("%s for %+v, want %+v", i.Model.Name(), i.Model.Spec(), want)
			}
			g := newGraph(t, i.Model, 3, student.Infer)
			out := gorgonia.Nodes{g.Logits}
			var taps []string
			for _, tap := range g.Taps {
				out, taps = append(out, tap.Node), append(taps, tap.Name)
			}
			values := run(t, g, tt.images, out...)
			if d := apart(t, values[0], f.Logits); d > tt.within {
				t.Errorf("logits are off by %v", d)
			}
			if tt.raw {
				if d := cmp.Diff([]string{"stage1", "stage2"}, taps); d != "" {
					t.Errorf("taps (-want +got):\n%s", d)
				}
				for i, name := range taps {
					if d := apart(t, values[i+1], f.Raw[name]); d > close {
						t.Errorf("tap %s is off by %v", name, d)
					}
				}
			}
			for _, want := range tt.notes {
				if !slices.ContainsFunc(i.Notes, func(n string) bool { return strings.Contains(n, want) }) {
					t.Errorf("no note says %q:\n%s", want, strings.Join(i.Notes, "\n"))
				}
			}
			x := export(t, i.Model, student.ExportOptions{})
			if in := x.Graph.Inputs[0]; in.Name != "image" || in.Type != onnx.Float32 || in.Shape[0].Param != "batch" || in.Shape[1].Value != 3 || in.Shape[2].Value != int64(f.Height) {
				t.Errorf("the exported input is %s %v %v", in.Name, in.Type, in.Shape)
			}
			if got := operators(x); strings.Contains(got, "Transpose") {
				t.Errorf("the file holds %s", got)
			}
			back := importModel(t, x, student.ImportOptions{})
			g = newGraph(t, back.Model, 3, student.Infer)
			if d := apart(t, run(t, g, tt.images, g.Logits)[0], f.Logits); d > tt.within {
				t.Errorf("exported and imported again, logits are off by %v", d)
			}
		})
	}
}

// An image that a file pads, scales and shifts before it brings the channels
// first is exported with all of that channels first. The constants of the file
// are permuted, whether they have fewer axes or serve two nodes.
func TestChannelsLastLeaveNoTransposes(t *testing.T) {
	b := onnx.NewBuilder("keras", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(8), onnx.Fixed(6), onnx.Fixed(3))
	scale := b.Initializer("scale", importertest.Constant(importertest.Drawn(1, 3)))
	x = b.Node("Div", []string{b.Initializer("ones", onnx.Float32s("", []int64{1}, []float32{1})), b.Node("Add", []string{b.Node("Abs", []string{x}), b.Initializer("one", onnx.Float32s("", nil, []float32{1}))})})
	x = b.Node("Mul", []string{x, scale})
	x = b.Node("Sub", []string{scale, x})
	x = b.Node("Add", []string{x, b.Initializer("rows", importertest.Constant(importertest.Drawn(2, 8, 6, 1)))})
	x = b.Node("Pad", []string{x, b.Initializer("pads", importertest.Whole(0, 0, 1, 0, 0, 2, 3, 0))})
	x = b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 3, 1, 2))
	x = b.Node("Conv", []string{x, b.Initializer("w", importertest.Constant(importertest.Drawn(3, 4, 3, 3, 3)))})
	b.Output(b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})}), "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	i := importModel(t, m, student.ImportOptions{})
	file := export(t, i.Model, student.ExportOptions{})
	if want, got := "Abs Add Div Mul Sub Add Pad Conv GlobalAveragePool Flatten", operators(file); got != want {
		t.Errorf("the file holds %s, want %s", got, want)
	}
	if d := apart(t, logits(t, importModel(t, file, student.ImportOptions{}).Model, 2), logits(t, i.Model, 2)); d > close {
		t.Errorf("exported and imported again, logits are off by %v", d)
	}
	keras, err := student.Import("../testdata/networks/mobilenetv1_keras.onnx", student.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := operators(export(t, keras.Model, student.ExportOptions{})); strings.Contains(got, "Transpose") {
		t.Errorf("a network of Keras's is exported as %s", got)
	}
}

func TestFilesThatAreNoStudents(t *testing.T) {
	image := func(b *onnx.Builder) string {
		return b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(7))
	}
	dense := func(b *onnx.Builder, x string) string {
		w := b.Initializer("fc.weight", onnx.Float32s("", []int64{4, 3}, make([]float32, 12)))
		return b.Node("Gemm", []string{b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})}), w, b.Initializer("fc.bias", onnx.Float32s("", []int64{4}, make([]float32, 4)))}, onnx.AttrInt("transB", 1))
	}
	model := func(t *testing.T, build func(b *onnx.Builder) string) *onnx.Model {
		t.Helper()
		b := onnx.NewBuilder("net", 17)
		b.Output(build(b), "y", onnx.Float32)
		m, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	tests := []struct {
		name, want string
		build      func(b *onnx.Builder) string
		options    student.ImportOptions
	}{
		{"an operator nobody knows", `Einsum "scores" of opset 17 cannot be imported; the operators that can are Abs, Add, `,
			func(b *onnx.Builder) string {
				x := dense(b, image(b))
				b.Name("scores")
				return b.Node("Einsum", []string{x}, onnx.AttrString("equation", "ij->ij"))
			}, student.ImportOptions{}},
		{"tables without end", `ConstantOfShape "ConstantOfShape_5" of opset 17 cannot be imported: with it the constants that the file computes take 335544336 bytes`,
			func(b *onnx.Builder) string {
				x := image(b)
				size := b.Initializer("size", onnx.Int64s("", []int64{1}, []int64{1 << 24})) // of 64 MiB
				for range 5 {
					x = b.Node("Add", []string{x, b.Node("ReduceMax", []string{b.Node("ConstantOfShape", []string{size})})})
				}
				return dense(b, x)
			}, student.ImportOptions{}},
		{"a table of 10 GB", "whose result is float32 [50000 50000], the constants that the file computes take 9.31 GiB",
			func(b *onnx.Builder) string {
				size := b.Initializer("size", onnx.Int64s("", []int64{2}, []int64{50000, 50000}))
				return dense(b, b.Node("Add", []string{image(b), b.Node("ReduceMax", []string{b.Node("ConstantOfShape", []string{size})})}))
			}, student.ImportOptions{}},
		{"an image repeated without end", "its results take 1.34e+03 GiB at a time",
			func(b *onnx.Builder) string {
				times := b.Initializer("times", onnx.Int64s("", []int64{4}, []int64{1, 1, 1 << 16, 1 << 15}))
				return dense(b, b.Node("Tile", []string{image(b), times}))
			}, student.ImportOptions{}},
		{"another number of classes", `the file has 4 classes and 10 are wanted; ImportOptions.ReplaceHead puts a fresh layer in place of its last one, Gemm "Gemm"`,
			func(b *onnx.Builder) string { return dense(b, image(b)) }, student.ImportOptions{Classes: 10}},
		{"no last layer to replace", "no last layer was found that could be replaced",
			func(b *onnx.Builder) string { return b.Node("HardSigmoid", []string{dense(b, image(b))}) }, student.ImportOptions{Classes: 10, ReplaceHead: true}},
		{"another number of classes behind no last layer", "the file has 4 classes and 10 are wanted",
			func(b *onnx.Builder) string { return b.Node("HardSigmoid", []string{dense(b, image(b))}) }, student.ImportOptions{Classes: 10}},
		{"one class", "1 classes; a classifier tells at least 2 apart", func(b *onnx.Builder) string { return dense(b, image(b)) }, student.ImportOptions{Classes: 1}},
		{"an unknown initialisation", "initialisation Init(7); there are keep and random", func(b *onnx.Builder) string { return dense(b, image(b)) }, student.ImportOptions{Init: 7}},
		{"an image of another size", "images of 9x0x0 were asked for; input \"x\" has shape [n 3 8 7], which fixes the height at 8", func(b *onnx.Builder) string { return dense(b, image(b)) },
			student.ImportOptions{Image: student.Shape{H: 9}}},
		{"an open size", "leaves the image's width open; say it in ImportOptions.Image", func(b *onnx.Builder) string {
			return dense(b, b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(8), onnx.Symbol("w")))
		}, student.ImportOptions{}},
		{"a signal", "a student's is an image, [batch, channels, height, width]", func(b *onnx.Builder) string {
			return b.Node("Relu", []string{b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3))})
		}, student.ImportOptions{}},
		{"two inputs", `the model computes with 2 inputs ["x" "z"]; a student has one, the image`, func(b *onnx.Builder) string {
			x := dense(b, image(b))
			return b.Node("Add", []string{x, b.Input("z", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(4))})
		}, student.ImportOptions{}},
		{"a picture at the end", "a classifier gives [batch, classes]", func(b *onnx.Builder) string {
			w := b.Initializer("w", onnx.Float32s("", []int64{2, 3, 1, 1}, make([]float32, 6)))
			return b.Node("Conv", []string{image(b), w})
		}, student.ImportOptions{}},
		{"a tap that is not there", `no value of the file called "stage9" is a feature map`, func(b *onnx.Builder) string { return dense(b, image(b)) },
			student.ImportOptions{Taps: []string{"stage9"}}},
		{"a batch that a shape knows", "the file seems to be made for a batch of 1", func(b *onnx.Builder) string {
			return b.Node("Reshape", []string{dense(b, image(b)), b.Initializer("shape", importertest.Whole(1, 4))})
		}, student.ImportOptions{}},
		{"nothing to learn", "has no trainable parameter", func(b *onnx.Builder) string {
			return b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{image(b)})})
		}, student.ImportOptions{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := student.ImportModel(model(t, tt.build), tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nshould say %q", err, tt.want)
			}
			var u *student.UnsupportedError
			op := ""
			if errors.As(err, &u) {
				op = u.Op
			}
			want := map[string]string{"an operator nobody knows": "Einsum", "a batch that a shape knows": "Reshape", "tables without end": "ConstantOfShape"}[tt.name]
			if op != want || u != nil && u.Opset != 17 {
				t.Errorf("the *UnsupportedError %+v is of %q, want %q of opset 17", u, op, want)
			}
		})
	}
	t.Run("a batch that cannot be freed", func(t *testing.T) {
		b := onnx.NewBuilder("net", 17)
		x := b.Input("x", onnx.Float32, onnx.Fixed(2), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(7))
		b.Output(b.Node("Softmax", []string{dense(b, x)}, onnx.AttrInt("axis", 0)), "y", onnx.Float32)
		m, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		const want = "made for batches of 2, which cannot be freed"
		if _, err := student.ImportModel(m, student.ImportOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nshould say %q", err, want)
		}
	})
	t.Run("no file", func(t *testing.T) {
		if _, err := student.Import(filepath.Join(t.TempDir(), "none.onnx"), student.ImportOptions{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v, want one of a file that does not exist", err)
		}
	})
}

// exotic is a file with everything that names and shares parameters in its own
// way: weights with PyTorch's names, with made-up names and with none, one
// matrix used twice, a normalisation of its own constants, a scale for each
// channel, a scalar, a softmax.
func exotic(t *testing.T) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("torch_jit", 17)
	x := b.Input("pixels", onnx.Float32, onnx.Fixed(1), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(6))
	tensor := func(name string, dims ...int) string {
		return b.Initializer(name, importertest.Constant(importertest.Drawn(uint64(len(name)), dims...)))
	}
	positive := func(name string, n int) string {
		return b.Initializer(name, importertest.Constant(importertest.Drawn(uint64(len(name)), n).Each(func(x float64) float64 { return x*x + 0.1 })))
	}
	b.Name("/stem/Conv")
	x = b.Node("Conv", []string{x, tensor("stem.0.weight", 4, 3, 3, 3)}, onnx.AttrInts("pads", 1, 1, 1, 1))
	b.Name("/stem/BatchNormalization")
	x = b.Node("BatchNormalization", []string{x, tensor("stem.1.weight", 4), tensor("stem.1.bias", 4), tensor("stem.1.running_mean", 4), positive("stem.1.running_var", 4)},
		onnx.AttrFloat("epsilon", 1e-3), onnx.AttrFloat("momentum", 0.75))
	b.Name("/stem/Relu")
	x = b.Node("Relu", []string{x})
	b.Name("/body/Conv")
	y := b.Node("Conv", []string{x, tensor("onnx::Conv_123", 4, 4, 1, 1), tensor("onnx::Conv_124", 4)})
	b.Name("/body/Mul")
	y = b.Node("Mul", []string{y, tensor("body.gamma", 4, 1, 1)})
	b.Name("/body/half")
	y = b.Node("Mul", []string{y, b.Initializer("half", onnx.Float32s("", nil, []float32{0.5}))})
	b.Name("/body/Add")
	x = b.Node("Add", []string{x, y})
	b.Name("/pool/MaxPool")
	x = b.Node("MaxPool", []string{x}, onnx.AttrInts("kernel_shape", 2, 2), onnx.AttrInts("strides", 2, 2))
	b.Name("/pool/Flatten")
	x = b.Node("Flatten", []string{x})
	b.Name("/squeeze/Gemm")
	x = b.Node("Gemm", []string{x, tensor("squeeze.weight", 6, 48), tensor("squeeze.bias", 6)}, onnx.AttrInt("transB", 1))
	b.Name("/tied1/MatMul")
	x = b.Node("MatMul", []string{x, tensor("tied.weight", 6, 6)})
	b.Name("/tied2/MatMul")
	x = b.Node("MatMul", []string{x, "tied.weight"})
	b.Name("/head/MatMul")
	x = b.Node("MatMul", []string{x, tensor("head.weight", 6, 5)})
	b.Name("/head/Add")
	x = b.Node("Add", []string{x, tensor("head.bias", 5)})
	b.Name("/Softmax")
	x = b.Node("Softmax", []string{x})
	b.Output(x, "probabilities", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParametersFollowTheFile(t *testing.T) {
	i := importModel(t, exotic(t), student.ImportOptions{})
	var got []string
	for _, p := range i.Model.Params() {
		got = append(got, fmt.Sprintf("%s %v %v %v", p.Name, p.Kind, []int(p.Value.Shape()), p.Trainable))
	}
	want := []string{
		"stem/0/weight weight [4 3 3 3] true",
		"stem/1/weight scale [4] true",
		"stem/1/bias shift [4] true",
		"stem/1/running running [2 4] false",
		"body/weight weight [4 1 1 4] true",
		"body/bias bias [4] true",
		"body/gamma free [1 1 1 4] true",
		"squeeze/weight weight [6 48] true",
		"squeeze/bias bias [6] true",
		"tied/weight weight [6 6] true",
		"head/weight weight [5 6] true",
		"head/bias bias [5] true",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("parameters (-want +got):\n%s", d)
	}
	x := export(t, i.Model, student.ExportOptions{})
	wantNodes := []string{
		"Conv(image, stem/0/weight, stem/0/bias) -> stem/Conv",
		"Relu(stem/Conv) -> stem/Relu",
		"Conv(stem/Relu, body/weight, body/bias) -> body/Conv",
		"Mul(body/Conv, body/gamma) -> body/Mul",
		"Mul(body/Mul, scalar) -> body/half",
		"Add(stem/Relu, body/half) -> body/Add",
		"MaxPool(body/Add) -> pool/MaxPool",
		"Flatten(pool/MaxPool) -> pool/Flatten",
		"Gemm(pool/Flatten, squeeze/weight, squeeze/bias) -> squeeze/Gemm",
		"Gemm(squeeze/Gemm, tied/weight) -> tied1/MatMul",
		"Gemm(tied1/MatMul, tied/weight) -> tied2/MatMul",
		"Gemm(tied2/MatMul, head/weight, head/bias) -> logits",
	}
	if d := cmp.Diff(wantNodes, nodesOf(x)); d != "" {
		t.Errorf("the exported nodes (-want +got):\n%s", d)
	}
	back := importModel(t, x, student.ImportOptions{})
	if d := apart(t, logits(t, back.Model, 2), logits(t, i.Model, 2)); d > close {
		t.Errorf("exported and imported again, logits are off by %v", d)
	}
}

// The constants of a file's own normalisation are those it is trained by.
func TestNormalisationsKeepTheirConstants(t *testing.T) {
	i := importModel(t, exotic(t), student.ImportOptions{})
	g := newGraph(t, i.Model, 4, student.Train)
	image := pixels(4 * 8 * 6 * 3)
	for _, p := range i.Model.Params() {
		if p.Name == "stem/0/weight" { // so that the convolution's results are the image's first channel
			w := p.Value.Data().([]float32)
			clear(w)
			for k := range 4 {
				w[((k*3+1)*3+1)*3] = 1
			}
		}
	}
	var old []float64
	for _, p := range i.Model.Params() {
		if p.Kind == student.Running {
			old = float64s(t, p.Value)
		}
	}
	got := run(t, g, image, g.Updates[0].Node)[0]
	var mean, square, n float64
	for i := 0; i < len(image); i += 3 {
		mean, square, n = mean+image[i], square+image[i]*image[i], n+1
	}
	mean /= n
	// The file's momentum, 0.75, is the weight of the old statistics; the new
	// variance is the estimate of the population's, as PyTorch has it.
	if want := 0.75*old[0] + 0.25*mean; math.Abs(got[0]-want) > close {
		t.Errorf("running mean %v, want %v", got[0], want)
	}
	if want := 0.75*old[4] + 0.25*(square/n-mean*mean)*n/(n-1); math.Abs(got[4]-want) > close {
		t.Errorf("running variance %v, want %v", got[4], want)
	}
}

// step takes one step of gradient descent on the mean square of the logits'
// distance to 1, so short that the loss should fall by a hundredth, and returns
// the loss before it.
func step(t *testing.T, m *student.Model) float64 {
	t.Helper()
	const batch = 4
	g := newGraph(t, m, batch, student.Train)
	sub, err := op.AddScalar(g.Logits, -1)
	if err != nil {
		t.Fatal(err)
	}
	square, err := op.Square(sub)
	if err != nil {
		t.Fatal(err)
	}
	loss, err := op.Mean(square)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := gorgonia.Grad(loss, g.Params...)
	if err != nil {
		t.Fatal(err)
	}
	out := append(gorgonia.Nodes{loss}, grads...)
	for _, u := range g.Updates {
		out = append(out, u.Node)
	}
	s := m.Spec().Image
	values := run(t, g, pixels(batch*s.H*s.W*s.C), out...)
	slope := 0.0
	for i := range g.Params {
		for _, d := range values[i+1] {
			slope += d * d
		}
	}
	rate := 0.01 * values[0][0] / slope
	for i, n := range g.Params {
		b, err := op.BufferOf(n.Value())
		if err != nil {
			t.Fatal(err)
		}
		moved := false
		for k, d := range values[i+1] {
			b.F32[k] -= float32(rate * d)
			moved = moved || d != 0
		}
		if !moved {
			t.Errorf("no gradient reaches %s", n.Name())
		}
	}
	if err := m.Apply(g.Updates); err != nil {
		t.Fatal(err)
	}
	return values[0][0]
}

func TestAnImportedStudentLearns(t *testing.T) {
	for _, init := range []student.Init{student.Keep, student.Random} {
		i := importModel(t, exotic(t), student.ImportOptions{Init: init, Seed: 3})
		before := map[string][]float64{}
		for _, p := range i.Model.Params() {
			before[p.Name] = float64s(t, p.Value)
		}
		first := step(t, i.Model)
		for _, p := range i.Model.Params() {
			if slices.Equal(before[p.Name], float64s(t, p.Value)) {
				t.Errorf("%v: %s is what it was after a step", init, p.Name)
			}
		}
		if second := step(t, i.Model); !(second < first) {
			t.Errorf("%v: the loss went from %v to %v", init, first, second)
		}
	}
}

func TestImportedParametersAreSavedAndConverted(t *testing.T) {
	a := importModel(t, exotic(t), student.ImportOptions{})
	b := importModel(t, exotic(t), student.ImportOptions{Init: student.Random, Seed: 9})
	if d := apart(t, logits(t, b.Model, 2), logits(t, a.Model, 2)); d < 0.1 {
		t.Errorf("kept and random parameters give logits apart by %v", d)
	}
	if err := b.Model.Load(a.Model.Tensors()); err != nil {
		t.Fatal(err)
	}
	if d := apart(t, logits(t, b.Model, 2), logits(t, a.Model, 2)); d != 0 {
		t.Errorf("after loading, logits are apart by %v", d)
	}
	double, err := a.Model.Convert(tensor.Float64)
	if err != nil {
		t.Fatal(err)
	}
	if d := apart(t, logits(t, a.Model, 2), logits(t, double, 2)); d > close || d == 0 {
		t.Errorf("in float64, logits are apart by %v", d)
	}
}

func TestRandomInitialisation(t *testing.T) {
	file := exotic(t)
	kept := importModel(t, file, student.ImportOptions{})
	one := importModel(t, file, student.ImportOptions{Init: student.Random, Seed: 1})
	two := importModel(t, file, student.ImportOptions{Init: student.Random, Seed: 2})
	again := importModel(t, file, student.ImportOptions{Init: student.Random, Seed: 1})
	for i, p := range kept.Model.Params() {
		a, b, c, d := float64s(t, p.Value), float64s(t, one.Model.Params()[i].Value), float64s(t, two.Model.Params()[i].Value), float64s(t, again.Model.Params()[i].Value)
		if !slices.Equal(b, d) {
			t.Errorf("%s: one seed gives two values", p.Name)
		}
		switch p.Kind {
		case student.Free:
			if !slices.Equal(a, b) {
				t.Errorf("%s is not the file's", p.Name)
			}
		case student.Weight:
			if slices.Equal(a, b) || slices.Equal(b, c) {
				t.Errorf("%s is the file's, or the same by two seeds", p.Name)
			}
		case student.Scale:
			if slices.ContainsFunc(b, func(x float64) bool { return x != 1 }) {
				t.Errorf("%s is %v, want ones", p.Name, b)
			}
		case student.Running:
			if !slices.Equal(b, []float64{0, 0, 0, 0, 1, 1, 1, 1}) {
				t.Errorf("%s is %v, want means of 0 and variances of 1", p.Name, b)
			}
		default:
			if slices.ContainsFunc(b, func(x float64) bool { return x != 0 }) {
				t.Errorf("%s is %v, want zeros", p.Name, b)
			}
		}
	}
	wantNote(t, one.Notes, "drawn anew from seed 1; what is no layer's weight or bias keeps the file's values: body/gamma")
	wantNote(t, importModel(t, export(t, wrn10(t), student.ExportOptions{}), student.ImportOptions{Init: student.Random}).Notes, "all parameters are drawn anew from seed 0")
}

func wantNote(t *testing.T, notes []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, want) }) {
		t.Errorf("no note says %q:\n%s", want, strings.Join(notes, "\n"))
	}
}

func TestReplacedHeads(t *testing.T) {
	image := func(b *onnx.Builder) string {
		x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(7))
		b.Name("body")
		return b.Node("Conv", []string{x, b.Initializer("body.weight", importertest.Constant(importertest.Drawn(1, 6, 3, 1, 1)))})
	}
	pooled := func(b *onnx.Builder) string {
		return b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{image(b)})})
	}
	tests := []struct {
		name  string
		build func(b *onnx.Builder) string
		fresh []string // parameters that are drawn anew
	}{
		{"Gemm", func(b *onnx.Builder) string {
			return b.Node("Gemm", []string{pooled(b), b.Initializer("fc.weight", importertest.Constant(importertest.Drawn(2, 4, 6))), b.Initializer("fc.bias", importertest.Constant(importertest.Drawn(3, 4)))}, onnx.AttrInt("transB", 1))
		}, []string{"fc/weight [7 6]", "fc/bias [7]"}},
		{"Gemm with the weights the other way", func(b *onnx.Builder) string {
			return b.Node("Gemm", []string{pooled(b), b.Initializer("fc.weight", importertest.Constant(importertest.Drawn(2, 6, 4))), b.Initializer("fc.bias", importertest.Constant(importertest.Drawn(3, 1, 4)))})
		}, []string{"fc/weight [7 6]", "fc/bias [7]"}},
		{"MatMul and Add, a softmax, and a shape that knows the classes", func(b *onnx.Builder) string {
			b.Name("fc")
			x := b.Node("MatMul", []string{pooled(b), b.Initializer("fc.weight", importertest.Constant(importertest.Drawn(2, 6, 4)))})
			x = b.Node("Add", []string{b.Initializer("fc.bias", importertest.Constant(importertest.Drawn(3, 4))), x})
			x = b.Node("Reshape", []string{x, b.Initializer("shape", importertest.Whole(-1, 4))})
			return b.Node("Softmax", []string{x})
		}, []string{"fc/weight [7 6]", "fc/bias [7]"}},
		{"a 1x1 convolution before the pool", func(b *onnx.Builder) string {
			x := b.Node("Conv", []string{image(b), b.Initializer("fc.weight", importertest.Constant(importertest.Drawn(2, 4, 6, 1, 1))), b.Initializer("fc.bias", importertest.Constant(importertest.Drawn(3, 4)))})
			x = b.Node("GlobalAveragePool", []string{b.Node("Relu", []string{x})})
			return b.Node("Flatten", []string{x})
		}, []string{"fc/weight [7 1 1 6]", "fc/bias [7]"}},
		{"through values that are passed on", func(b *onnx.Builder) string {
			w := b.Node("Identity", []string{b.Initializer("fc.weight", importertest.Constant(importertest.Drawn(2, 4, 6)))})
			x := b.Node("Dropout", []string{b.Node("Gemm", []string{pooled(b), w}, onnx.AttrInt("transB", 1))})
			return b.Node("Identity", []string{x})
		}, []string{"Identity [7 6]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := onnx.NewBuilder("net", 17)
			b.Output(tt.build(b), "y", onnx.Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			same := importModel(t, m, student.ImportOptions{Classes: 4, ReplaceHead: true})
			i := importModel(t, m, student.ImportOptions{Classes: 7, ReplaceHead: true, Seed: 5})
			wantNote(t, i.Notes, "of 4 classes, is replaced by a fresh one of 7")
			if s := slices.Concat(same.Notes); slices.ContainsFunc(s, func(n string) bool { return strings.Contains(n, "replaced") }) {
				t.Errorf("a head of the classes wanted is replaced: %q", s)
			}
			if len(logits(t, i.Model, 2)) != 14 {
				t.Errorf("%d logits for two images", len(logits(t, i.Model, 2)))
			}
			var fresh []string
			for _, p := range i.Model.Params() {
				had := slices.IndexFunc(same.Model.Params(), func(q *student.Param) bool {
					return q.Name == p.Name && slices.Equal(float64s(t, q.Value), float64s(t, p.Value))
				})
				if had < 0 {
					fresh = append(fresh, fmt.Sprint(p.Name, " ", []int(p.Value.Shape())))
				}
			}
			if d := cmp.Diff(tt.fresh, fresh); d != "" {
				t.Errorf("fresh parameters (-want +got):\n%s", d)
			}
			step(t, i.Model)
			back := importModel(t, export(t, i.Model, student.ExportOptions{}), student.ImportOptions{})
			if d := apart(t, logits(t, back.Model, 3), logits(t, i.Model, 3)); d > close {
				t.Errorf("exported and imported again, logits are off by %v", d)
			}
		})
	}
}

// An export has its normalisations folded into its convolutions. Unfolded they
// change nothing until they are trained, and folded again they are gone.
func TestUnfoldedNormalisations(t *testing.T) {
	a, err := zoo.Parse("resnet-8")
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t, a, student.Spec{Image: student.Shape{H: 8, W: 8, C: 3}, Classes: 5}, 1)
	shake(t, m)
	file := export(t, m, student.ExportOptions{})
	plain := importModel(t, file, student.ImportOptions{})
	wantNote(t, plain.Notes, "9 convolutions with biases and no normalisation")
	unfolded := importModel(t, file, student.ImportOptions{UnfoldBatchNorm: true})
	wantNote(t, unfolded.Notes, "9 convolutions got a batch normalisation")
	kinds := func(m *student.Model) map[student.Kind]int {
		n := map[student.Kind]int{}
		for _, p := range m.Params() {
			n[p.Kind]++
		}
		return n
	}
	if d := cmp.Diff(map[student.Kind]int{student.Weight: 10, student.Bias: 10}, kinds(plain.Model)); d != "" {
		t.Errorf("parameters of the plain import (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[student.Kind]int{student.Weight: 10, student.Bias: 1, student.Scale: 9, student.Shift: 9, student.Running: 9}, kinds(unfolded.Model)); d != "" {
		t.Errorf("parameters of the unfolded import (-want +got):\n%s", d)
	}
	if d := apart(t, logits(t, unfolded.Model, 3), logits(t, m, 3)); d > close {
		t.Errorf("unfolding changes the logits by %v", d)
	}
	if d := cmp.Diff(nodesOf(file), nodesOf(export(t, unfolded.Model, student.ExportOptions{}))); d != "" {
		t.Errorf("exported again (-first +second):\n%s", d)
	}
	step(t, unfolded.Model)
	fresh := importModel(t, file, student.ImportOptions{UnfoldBatchNorm: true, Init: student.Random})
	for _, p := range fresh.Model.Params() {
		if p.Kind == student.Scale && p.Value.Data().([]float32)[0] != 1 {
			t.Errorf("%s begins with %v where parameters are drawn anew", p.Name, p.Value.Data().([]float32)[0])
		}
	}
	wantNote(t, importModel(t, exotic(t), student.ImportOptions{UnfoldBatchNorm: true}).Notes, "1 convolutions got")
	// Of its 81 convolutions, 32 weigh channels by one number each.
	se, err := student.Import("../testdata/networks/efficientnet_b0.onnx", student.ImportOptions{UnfoldBatchNorm: true})
	if err != nil {
		t.Fatal(err)
	}
	wantNote(t, se.Notes, "49 convolutions got")
	newGraph(t, se.Model, 1, student.Train)
	wantNote(t, importModel(t, export(t, newModel(t, small(student.Conv{Out: 3}), spec8, 1), student.ExportOptions{}), student.ImportOptions{UnfoldBatchNorm: true}).Notes, "2 convolutions got")
}

func TestTapsByName(t *testing.T) {
	taps := func(o student.ImportOptions) []string {
		var names []string
		for _, tap := range newGraph(t, importModel(t, exotic(t), o).Model, 2, student.Train).Taps {
			s := tap.Node.Shape()
			names = append(names, fmt.Sprintf("%s %dx%dx%d", tap.Name, s[1], s[2], s[3]))
		}
		return names
	}
	if d := cmp.Diff([]string{"body/Add 8x6x4", "pool/MaxPool 4x3x4"}, taps(student.ImportOptions{})); d != "" {
		t.Errorf("taps of its own (-want +got):\n%s", d)
	}
	// By the file's value, by the node and as it is printed.
	if d := cmp.Diff([]string{"stem/Relu 8x6x4", "body/Conv 8x6x4", "pool/MaxPool 4x3x4"},
		taps(student.ImportOptions{Taps: []string{"/stem/Relu", "/body/Conv", "pool/MaxPool"}})); d != "" {
		t.Errorf("taps by name (-want +got):\n%s", d)
	}
	if got := taps(student.ImportOptions{Taps: []string{}}); got != nil {
		t.Errorf("taps %v where none were wanted", got)
	}
}

// The last value of each resolution, of those that all of the network passes
// through: the outputs of blocks, also where a block has its channels last.
func TestTapsOfNetworks(t *testing.T) {
	for file, want := range map[string][]string{
		"resnet18":         {"relu/Relu 32x24", "layer1/1/relu_1/Relu 16x12", "layer2/1/relu_1/Relu 8x6", "layer3/1/relu_1/Relu 4x3", "layer4/1/relu_1/Relu 2x2"},
		"convnext_tiny_17": {"features/2/0/Transpose_1 16x24", "features/4/0/Transpose_1 8x12", "features/6/0/Transpose_1 4x6", "features/7/2/Add 2x3"},
		"vit_17":           {"conv_proj/Conv 4x4"},
	} {
		i, err := student.Import("../testdata/networks/"+file+".onnx", student.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tap := range newGraph(t, i.Model, 2, student.Train).Taps {
			got = append(got, fmt.Sprintf("%s %dx%d", tap.Name, tap.Node.Shape()[1], tap.Node.Shape()[2]))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", file, d)
		}
	}
}

// A graph takes the batch it is made for, wherever the file computes with it.
func TestShapeArithmeticFollowsTheBatch(t *testing.T) {
	b := onnx.NewBuilder("net", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(5))
	x = b.Node("Conv", []string{x, b.Initializer("patch.weight", importertest.Constant(importertest.Drawn(1, 6, 3, 1, 1)))})
	// [N, 6, 4, 5] to [N, 20, 6] by a target that Shape begins, a token before
	// the others, and the first of all taken.
	first := b.Node("Gather", []string{b.Node("Shape", []string{x}), b.Initializer("zero", importertest.Whole(0))})
	x = b.Node("Reshape", []string{x, b.Node("Concat", []string{first, b.Initializer("rest", importertest.Whole(6, -1))}, onnx.AttrInt("axis", 0))})
	x = b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 1))
	token := b.Node("Expand", []string{b.Initializer("token", importertest.Constant(importertest.Drawn(2, 1, 1, 6))),
		b.Node("Concat", []string{first, b.Initializer("one", importertest.Whole(1, 1))}, onnx.AttrInt("axis", 0))})
	x = b.Node("Concat", []string{token, x}, onnx.AttrInt("axis", 1))
	x = b.Node("MatMul", []string{x, b.Initializer("mix.weight", importertest.Constant(importertest.Drawn(3, 6, 6)))})
	x = b.Node("Softmax", []string{x}, onnx.AttrInt("axis", 1))
	x = b.Node("Gather", []string{x, b.Initializer("at", onnx.Int64s("", nil, []int64{0}))}, onnx.AttrInt("axis", 1))
	b.Output(b.Node("Gemm", []string{x, b.Initializer("head.weight", importertest.Constant(importertest.Drawn(4, 6, 4)))}), "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	i := importModel(t, m, student.ImportOptions{})
	one, five := logits(t, i.Model, 1), logits(t, i.Model, 5)
	if d := apart(t, five[:4], one); d > close {
		t.Errorf("the first of five images differs from the same alone by %v", d)
	}
	// The file's own arithmetic on the batch is left: that of the token.
	back := importModel(t, export(t, i.Model, student.ExportOptions{}), student.ImportOptions{})
	if d := apart(t, logits(t, back.Model, 5), five); d > close {
		t.Errorf("exported and imported again, logits are off by %v", d)
	}
}

func TestHalfPrecisionWeights(t *testing.T) {
	m := wrn10(t)
	whole, half := export(t, m, student.ExportOptions{}), export(t, m, student.ExportOptions{Half: true})
	if a, b := len(encode(t, whole)), len(encode(t, half)); float64(b) > 0.65*float64(a) {
		t.Errorf("%d bytes in half precision, %d in whole", b, a)
	}
	if half.Graph.Inputs[0].Type != onnx.Float32 || half.Graph.Outputs[0].Type != onnx.Float32 {
		t.Error("half-precision weights change the type of input or output")
	}
	if d := apart(t, logits(t, importModel(t, half, student.ImportOptions{}).Model, 2), logits(t, m, 2)); d > 5e-3 || d == 0 {
		t.Errorf("logits by half-precision weights are off by %v", d)
	}
}

// countdown is a context that is cancelled when its error was asked for so often.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// An import stops when it is told to, wherever it is, and a student that was
// imported outlives its import.
func TestImportStops(t *testing.T) {
	m := deepNetwork(t, 100)
	all := &countdown{t.Context(), 1 << 30}
	i, err := student.ImportContext(all, m, student.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	asked := 1<<30 - all.left
	if least := 3 * len(m.Graph.Nodes); asked < least { // read, built for inference and for training
		t.Errorf("%d nodes are imported with the context asked %d times, want at least %d", len(m.Graph.Nodes), asked, least)
	}
	all.left = 0
	if _, err := i.Model.Graph(2, student.Train); err != nil {
		t.Errorf("a graph after the import's context was cancelled: %v", err)
	}
	for left := range asked {
		if _, err := student.ImportContext(&countdown{t.Context(), left}, m, student.ImportOptions{}); !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled when asked for the %d. time: got error %v, want that it was cancelled", left+1, err)
		}
	}
}
