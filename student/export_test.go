package student_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

func export(t *testing.T, m *student.Model, o student.ExportOptions) *onnx.Model {
	t.Helper()
	x, err := m.Export(o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func encode(t *testing.T, m *onnx.Model) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// weights returns an initializer as float64.
func weights(t *testing.T, m *onnx.Model, name string) []float64 {
	t.Helper()
	x := m.Graph.Initializer(name)
	if x == nil {
		t.Fatalf("no initializer %q", name)
	}
	f, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float64, len(f))
	for i := range f {
		v[i] = float64(f[i])
	}
	return v
}

func wrn10(t *testing.T) *student.Model {
	t.Helper()
	a, err := zoo.Parse("wrn-10-1")
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t, a, student.Spec{Image: student.Shape{H: 9, W: 12, C: 3}, Classes: 5}, 1)
	shake(t, m)
	return m
}

// TestAnExportReadsLikeTheNetwork spells out the whole file of a small network:
// nodes, names, operands, weights, border.
func TestAnExportReadsLikeTheNetwork(t *testing.T) {
	x := export(t, wrn10(t), student.ExportOptions{
		Producer: "onnxdistill", ProducerVersion: "1.2.3",
		Metadata: []onnx.KeyValue{{Key: "seed", Value: "1"}, {Key: "classes", Value: "a,b,c,d,e"}},
	})
	var got []string
	for _, n := range x.Graph.Nodes {
		got = append(got, fmt.Sprintf("%s %s(%s) -> %s", n.Name, n.Op, strings.Join(n.Inputs, ", "), strings.Join(n.Outputs, ", ")))
	}
	w := func(name string) string { return name + "/weight, " + name + "/bias" }
	bn := func(name string) string {
		return name + "/scale, " + name + "/shift, " + name + "/mean, " + name + "/variance"
	}
	g1, g2, g3 := "group1/block1/", "group2/block1/", "group3/block1/"
	block := func(g, in string) []string {
		nodes := []string{
			g + "bn1 BatchNormalization(" + in + ", " + bn(g+"bn1") + ") -> " + g + "bn1",
			g + "relu Relu(" + g + "bn1) -> " + g + "relu",
			g + "conv1 Conv(" + g + "relu, " + w(g+"conv1") + ") -> " + g + "conv1",
			g + "relu_2 Relu(" + g + "conv1) -> " + g + "relu_2",
			g + "conv2 Conv(" + g + "relu_2, " + g + "conv2/weight) -> " + g + "conv2",
			g + "shortcut Conv(" + g + "relu, " + g + "shortcut/weight) -> " + g + "shortcut",
			g + "add Add(" + g + "conv2, " + g + "shortcut) -> " + g + "add",
		}
		if g == g1 { // the first block keeps the width: its shortcut is its input
			nodes[6] = g + "add Add(" + g + "conv2, " + in + ") -> " + g + "add"
			nodes = slices.Delete(nodes, 5, 6)
		}
		return nodes
	}
	want := slices.Concat(
		[]string{"conv Conv(image, conv/weight) -> conv"},
		block(g1, "conv"), block(g2, g1+"add"), block(g3, g2+"add"),
		[]string{
			"bn BatchNormalization(" + g3 + "add, " + bn("bn") + ") -> bn",
			"relu Relu(bn) -> relu",
			"pool GlobalAveragePool(relu) -> pool",
			"pool/Flatten Flatten(pool) -> pool/Flatten",
			"classifier Gemm(pool/Flatten, classifier/weight, classifier/bias) -> logits",
		},
	)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
	if got := x.Graph.Producer("bn").Float("epsilon", 0); got != 1e-5 {
		t.Errorf("normalisation with epsilon %v, want 1e-5", got)
	}
	var border []string
	for _, v := range append(slices.Clone(x.Graph.Inputs), x.Graph.Outputs...) {
		dims := []string{}
		for _, d := range v.Shape {
			if n, ok := d.Fixed(); ok {
				dims = append(dims, fmt.Sprint(n))
			} else {
				dims = append(dims, d.Param)
			}
		}
		border = append(border, fmt.Sprintf("%s %v [%s]", v.Name, v.Type, strings.Join(dims, " ")))
	}
	if d := cmp.Diff([]string{fmt.Sprintf("image %v [batch 3 9 12]", onnx.Float32), fmt.Sprintf("logits %v [batch 5]", onnx.Float32)}, border); d != "" {
		t.Errorf("border (-want +got):\n%s", d)
	}
	if x.Opset() != 17 || x.IRVersion != 8 || len(x.Opsets) != 1 {
		t.Errorf("opset %d, IR %d, opsets %v", x.Opset(), x.IRVersion, x.Opsets)
	}
	if x.Producer != "onnxdistill" || x.ProducerVersion != "1.2.3" || x.Graph.Name != "wrn-10-1" {
		t.Errorf("producer %q %q, graph %q", x.Producer, x.ProducerVersion, x.Graph.Name)
	}
	if d := cmp.Diff([]onnx.KeyValue{{Key: "seed", Value: "1"}, {Key: "classes", Value: "a,b,c,d,e"}}, x.Metadata); d != "" {
		t.Errorf("metadata (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int64{32, 16, 3, 3}, x.Graph.Initializer(g2+"conv1/weight").Dims); d != "" {
		t.Errorf("shape of a convolution's weights (-want +got):\n%s", d)
	}
}

func TestExportingTwiceGivesTheSameBytes(t *testing.T) {
	m := wrn10(t)
	a, b := encode(t, export(t, m, student.ExportOptions{})), encode(t, export(t, m, student.ExportOptions{}))
	if !bytes.Equal(a, b) {
		t.Error("two exports of one model differ")
	}
	again, err := onnx.Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := onnx.Check(again); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(a, encode(t, again)) {
		t.Error("reading and writing an export changes it")
	}
}

// folds are convolutions that end in normalisation, in every configuration
// whose weights lie differently.
var folds = []struct {
	name string
	conv student.Conv
}{
	{"a plain convolution", student.Conv{Out: 4, Kernel: [2]int{3, 3}}},
	{"a convolution with a bias", student.Conv{Out: 4, Kernel: [2]int{3, 3}, Bias: true}},
	{"a strided convolution with asymmetric padding", student.Conv{Out: 4, Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 2, 1}}},
	{"a dilated convolution", student.Conv{Out: 4, Kernel: [2]int{2, 3}, Dilation: [2]int{2, 1}}},
	{"a grouped convolution", student.Conv{Out: 8, Kernel: [2]int{3, 3}, Groups: 2, Bias: true}},
	{"a depthwise convolution", student.Conv{Out: 4, Kernel: [2]int{3, 3}, Groups: 4}},
}

// A file's convolution, moved back to the student's layout, must compute what
// the student's convolution, bias and normalisation compute together.
func TestAFoldedConvolutionComputesWhatItsLayersDo(t *testing.T) {
	spec := student.Spec{Image: student.Shape{H: 7, W: 6, C: 4}, Classes: 3}
	for _, tt := range folds {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel(t, student.Architecture{
				Name: "fold",
				Build: func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
					x = b.Tap("normalised", b.BatchNorm("bn", b.Conv("conv", x, tt.conv)))
					return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
				},
			}, spec, 1)
			shake(t, m)
			for _, p := range m.Params() {
				if p.Kind == student.Running {
					v := p.Value.Data().([]float32)
					for i := len(v) / 2; i < len(v); i++ {
						v[i] *= 1e-4 // so small that epsilon counts
					}
				}
			}
			image := pixels(2 * 7 * 6 * 4)
			g := newGraph(t, m, 2, student.Infer)
			want := run(t, g, image, g.Taps[0].Node)[0]

			x := export(t, m, student.ExportOptions{})
			if n := x.Graph.Nodes; n[0].Op != "Conv" || len(n[0].Inputs) != 3 || n[1].Op != "GlobalAveragePool" {
				t.Fatalf("the file begins with %s of %v and %s", n[0].Op, n[0].Inputs, n[1].Op)
			}
			dims := x.Graph.Initializer("conv/weight").Dims // [K, C, R, S]
			oihw := weights(t, x, "conv/weight")
			k, c, r, s := int(dims[0]), int(dims[1]), int(dims[2]), int(dims[3])
			ohwi := make([]float64, len(oihw))
			for i, v := range oihw {
				o, rest := i/(c*r*s), i%(c*r*s)
				ohwi[o*c*r*s+rest%(r*s)*c+rest/(r*s)] = v
			}
			e := gorgonia.NewGraph()
			node := func(name string, shape ...int) *gorgonia.Node {
				return gorgonia.NewTensor(e, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
			}
			in, w, bias := node("image", 2, 7, 6, 4), node("w", k, r, s, c), node("b", k)
			let(t, w, ohwi)
			let(t, bias, weights(t, x, "conv/bias"))
			y, err := op.Conv2D(in, w, op.ConvConfig{Stride: tt.conv.Stride, Dilation: tt.conv.Dilation, Pad: tt.conv.Pad, Groups: max(tt.conv.Groups, 1)})
			if err != nil {
				t.Fatal(err)
			}
			if y, err = op.AddBias(y, bias); err != nil {
				t.Fatal(err)
			}
			got := run(t, &student.Graph{Expr: e, Image: in}, image, y)[0]
			if d := apart(t, got, want); d > close {
				t.Errorf("the folded convolution is off by %v", d)
			}
		})
	}
}

// Normalisation stays where folding would change another reader's value.
func TestNormalisationIsFoldedOnlyWhereItAloneFollowsAConvolution(t *testing.T) {
	conv := student.Conv{Out: 3}
	tests := []struct {
		name  string
		ops   string
		build func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node
	}{
		{"a convolution read by normalisation alone", "Conv", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.BatchNorm("bn", b.Conv("conv", x, conv))
		}},
		{"two normalisations in a row", "Conv", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.BatchNorm("bn2", b.BatchNorm("bn", b.Conv("conv", x, conv)))
		}},
		{"a convolution read beside its normalisation", "Conv BatchNormalization Add", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			y := b.Conv("conv", x, conv)
			return b.Add(b.BatchNorm("bn", y), y)
		}},
		{"normalisation of the image", "BatchNormalization", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.BatchNorm("bn", x)
		}},
		{"an activation between", "Conv Relu BatchNormalization", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.BatchNorm("bn", b.ReLU(b.Conv("conv", x, conv)))
		}},
		{"a bias read beside its normalisation", "Conv BatchNormalization Add", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			c := conv
			c.Bias = true
			y := b.Conv("conv", x, c)
			return b.Add(b.BatchNorm("bn", y), y)
		}},
		{"a convolution added to itself", "Conv Add BatchNormalization", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			y := b.Conv("conv", x, conv)
			return b.BatchNorm("bn", b.Add(y, y))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel(t, student.Architecture{
				Name: "fold",
				Build: func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
					x = b.Dense("classifier", b.GlobalAveragePool(tt.build(b, x)), b.Classes())
					return b.Output(b.BatchNorm("logits_bn", x))
				},
			}, spec8, 1)
			want := tt.ops + " GlobalAveragePool Flatten Gemm BatchNormalization"
			if got := operators(export(t, m, student.ExportOptions{})); got != want {
				t.Errorf("the file holds %s, want %s", got, want)
			}
		})
	}
}

func operators(m *onnx.Model) string {
	var ops []string
	for _, n := range m.Graph.Nodes {
		ops = append(ops, n.Op)
	}
	return strings.Join(ops, " ")
}

// The file flattens channels first. Its dense weights, applied to activations
// in that order, must give the student's logits.
func TestDenseWeightsFollowTheFilesOrderOfAFlattenedImage(t *testing.T) {
	tests := []struct {
		name, ops string
		image     student.Shape
		middle    func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node
		activate  func(float64) float64
	}{
		{"dense right after flatten", "Conv Flatten Gemm", student.Shape{H: 3, W: 2, C: 2},
			func(_ *student.Builder, x *gorgonia.Node) *gorgonia.Node { return x }, func(v float64) float64 { return v }},
		{"an activation between", "Conv Flatten Relu Gemm", student.Shape{H: 3, W: 2, C: 2},
			func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node { return b.ReLU(x) }, func(v float64) float64 { return max(v, 0) }},
		{"an image of one pixel", "Conv Flatten Gemm", student.Shape{H: 1, W: 1, C: 2},
			func(_ *student.Builder, x *gorgonia.Node) *gorgonia.Node { return x }, func(v float64) float64 { return v }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel(t, student.Architecture{
				Name: "flat",
				Build: func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
					x = b.Tap("maps", b.Conv("conv", x, student.Conv{Out: 5, Bias: true}))
					return b.Output(b.Dense("classifier", tt.middle(b, b.Flatten(x)), b.Classes()))
				},
			}, student.Spec{Image: tt.image, Classes: 4}, 1)
			shake(t, m)
			g := newGraph(t, m, 1, student.Infer)
			values := run(t, g, pixels(tt.image.H*tt.image.W*tt.image.C), g.Taps[0].Node, g.Logits)
			maps, want := values[0], values[1]

			x := export(t, m, student.ExportOptions{})
			if got := operators(x); got != tt.ops {
				t.Errorf("the file holds %s, want %s", got, tt.ops)
			}
			w, got := weights(t, x, "classifier/weight"), weights(t, x, "classifier/bias")
			area := tt.image.H * tt.image.W
			for k := range got {
				for c := range 5 {
					for p := range area {
						got[k] += w[(k*5+c)*area+p] * tt.activate(maps[p*5+c])
					}
				}
			}
			if d := apart(t, got, want); d > close {
				t.Errorf("logits %v, want %v", got, want)
			}
		})
	}
}

// Where something that is not dense reads a flattened image, its order shows
// and the file has to keep it.
func TestAFlattenedImageThatIsNotForDenseKeepsItsOrder(t *testing.T) {
	tests := []struct {
		name  string
		build func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node
	}{
		{"normalisation", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Dense("classifier", b.BatchNorm("bn", b.Flatten(x)), b.Classes())
		}},
		{"normalisation behind an activation", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Dense("classifier", b.BatchNorm("bn", b.ReLU(b.Flatten(x))), b.Classes())
		}},
		{"the caller", func(b *student.Builder, x *gorgonia.Node) *gorgonia.Node {
			return b.Flatten(b.Conv("conv", x, student.Conv{Out: 2}))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newModel(t, student.Architecture{
				Name: "flat",
				Build: func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
					return b.Output(tt.build(b, x))
				},
			}, student.Spec{Image: student.Shape{H: 2, W: 3, C: 4}, Classes: 12}, 1)
			if got := operators(export(t, m, student.ExportOptions{})); !strings.Contains(got, "Transpose ") {
				t.Errorf("the file holds %s, with channels first where the student has them last", got)
			}
		})
	}
}

func TestAFloat64ModelIsExportedAsFloat32(t *testing.T) {
	m := wrn10(t)
	d, err := m.Convert(tensor.Float64)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, export(t, m, student.ExportOptions{})), encode(t, export(t, d, student.ExportOptions{}))) {
		t.Error("the float64 copy of a model exports differently")
	}
}

func TestExportRefuses(t *testing.T) {
	broken := func(change func(m *student.Model)) *student.Model {
		m := newModel(t, small(conv3x3), spec8, 1)
		change(m)
		return m
	}
	set := func(name string, v float32) func(m *student.Model) {
		return func(m *student.Model) {
			for _, p := range m.Params() {
				if p.Name == name {
					d := p.Value.Data().([]float32)
					d[len(d)-1] = v
				}
			}
		}
	}
	fine := func(*student.Model) {}
	tests := []struct {
		name, want string
		change     func(m *student.Model)
		options    student.ExportOptions
	}{
		{"an opset before 13", "export to opset 12; the opsets are 13 to 21", fine, student.ExportOptions{Opset: 12}},
		{"an opset after 21", "export to opset 22; the opsets are 13 to 21", fine, student.ExportOptions{Opset: 22}},
		{"one metadata key twice", `two metadata entries called "k"`, fine, student.ExportOptions{Metadata: []onnx.KeyValue{{Key: "k"}, {Key: "k"}}}},
		{"a weight that is not a number", "classifier/weight would hold NaN; training has diverged", set("classifier/weight", float32(math.NaN())), student.ExportOptions{}},
		{"an infinite scale", "Inf; training has diverged", set("stem/bn/scale", float32(math.Inf(1))), student.ExportOptions{}},
		{"a negative variance", "stem/conv/weight would hold NaN", set("stem/bn/running", -1), student.ExportOptions{}},
		{"a folded weight beyond float32", "stem/conv/weight would hold", set("stem/bn/scale", math.MaxFloat32), student.ExportOptions{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := broken(tt.change)
			if tt.name == "a folded weight beyond float32" {
				set("stem/bn/running", 1e-30)(m)
			}
			x, err := m.Export(tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("exported %v, error %v\nshould say %q", x != nil, err, tt.want)
			}
		})
	}
}

// TestTheOnnxPackageAccepts runs ONNX's own checker, with shape inference, over
// exports of every kind of network.
func TestTheOnnxPackageAccepts(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import onnx").Run(); err != nil {
		t.Skipf("%s with the onnx package is not here (%v); Debian has it as python3-onnx", python, err)
	}
	dir := t.TempDir()
	write := func(name string, m *onnx.Model) {
		t.Helper()
		if err := m.WriteFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"wrn-10-0.5", "wrn-16-1", "resnet-8"} {
		a, err := zoo.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t, a, student.Spec{Image: student.Shape{H: 9, W: 12, C: 3}, Classes: 5}, 1)
		for _, opset := range []int64{13, 14, 15, 16, 17} {
			write(fmt.Sprintf("%s-%d.onnx", name, opset), export(t, m, student.ExportOptions{Opset: opset}))
		}
	}
	for i, tt := range folds {
		m := newModel(t, small(tt.conv), student.Spec{Image: student.Shape{H: 9, W: 12, C: 4}, Classes: 5}, 1)
		write(fmt.Sprintf("fold%d.onnx", i), export(t, m, student.ExportOptions{}))
	}
	m := newModel(t, student.Architecture{
		Name: "pools",
		Build: func(b *student.Builder, x *gorgonia.Node) (student.Output, error) {
			window := op.PoolConfig{Kernel: [2]int{3, 2}, Stride: [2]int{2, 2}, Pad: [4]int{1, 0, 1, 1}}
			x = b.AveragePool(b.MaxPool(b.BatchNorm("bn", x), window), window)
			return b.Output(b.Dense("classifier", b.ReLU(b.Flatten(x)), b.Classes()))
		},
	}, student.Spec{Image: student.Shape{H: 9, W: 12, C: 4}, Classes: 5}, 1)
	write("pools.onnx", export(t, m, student.ExportOptions{}))

	script := `
import glob, sys, onnx
for path in sorted(glob.glob(sys.argv[1] + "/*.onnx")):
    m = onnx.load(path)
    onnx.checker.check_model(m, full_check=True)
    shapes = onnx.shape_inference.infer_shapes(m, check_type=True, strict_mode=True, data_prop=True)
    dims = [d.dim_param or d.dim_value for d in shapes.graph.output[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 5], (path, dims)
    print(path)
`
	out, err := exec.Command(python, "-c", script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if checked := strings.Count(string(out), "\n"); checked != len(files) || checked != 15+len(folds)+1 {
		t.Errorf("%d files of %d checked:\n%s", checked, len(files), out)
	}
}
