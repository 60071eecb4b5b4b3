package student_test

import (
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
)

// behind builds a network of one convolution, what body does to it, and a dense
// layer.
func behind(t *testing.T, body func(b *onnx.Builder, x string) string) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("net", 13)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
	x = b.Node("Conv", []string{x, b.Initializer("conv.weight", importertest.Constant(importertest.Drawn(1, 4, 3, 1, 1)))})
	x = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{body(b, x)})})
	b.Output(b.Node("MatMul", []string{x, b.Initializer("head.weight", importertest.Constant(importertest.Drawn(2, 4, 3)))}), "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A network whose gradient ends at an operator that has none is refused by the
// name of that.
func TestParametersThatNoGradientReaches(t *testing.T) {
	weight := func(b *onnx.Builder) string {
		return b.Initializer("second.weight", importertest.Constant(importertest.Drawn(3, 4, 4, 1, 1)))
	}
	for name, tt := range map[string]struct {
		body func(b *onnx.Builder, x string) string
		want []string
	}{
		"a sign of activations": {func(b *onnx.Builder, x string) string {
			b.Name("binarise")
			return b.Node("Sign", []string{x})
		}, []string{`Sign "binarise" of opset 13`, "its derivative is zero everywhere", "conv/weight"}},
		"a sign of weights": {func(b *onnx.Builder, x string) string {
			b.Name("binary_weight")
			return b.Node("Conv", []string{x, b.Node("Sign", []string{weight(b)})})
		}, []string{`Sign "binary_weight" of opset 13`, "second/weight"}},
		"a comparison": {func(b *onnx.Builder, x string) string {
			zero := b.Initializer("zero", onnx.Float32s("", nil, []float32{0}))
			x = b.Node("Conv", []string{x, weight(b)})
			b.Name("gate")
			return b.Node("Cast", []string{b.Node("Greater", []string{x, zero})}, onnx.AttrInt("to", int64(onnx.Float32)))
		}, []string{`Greater "gate" of opset 13`, "conv/weight and 1 more parameters"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := behind(t, tt.body)
			_, err := student.ImportModel(m, student.ImportOptions{})
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v\nshould say %q", err, want)
				}
			}
			refusal(t, err, m)
		})
	}
	// Beside a way that a gradient takes, it may end.
	i := importModel(t, behind(t, func(b *onnx.Builder, x string) string {
		return b.Node("Add", []string{b.Node("Sign", []string{x}), x})
	}), student.ImportOptions{})
	step(t, i.Model)
	// A tensor whose shape alone is taken takes no part.
	i = importModel(t, behind(t, func(b *onnx.Builder, x string) string {
		return b.Node("Reshape", []string{x, b.Node("Shape", []string{b.Node("Conv", []string{x, weight(b)})})})
	}), student.ImportOptions{})
	step(t, i.Model)
	for _, p := range i.Model.Params() {
		if p.Trainable != (p.Name != "second/weight") {
			t.Errorf("%s is trained: %v", p.Name, p.Trainable)
		}
	}
}
