package student_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// What an operator is made of is differentiated as any other: its derivative by
// the image, and that of the derivative's square, by central differences in
// float64.
func TestDerivativesOfTranslations(t *testing.T) {
	for _, c := range []struct {
		name  string
		opset int64
		build func(b *onnx.Builder, x string) string // of x [N, 3, 4]
	}{
		{"Swish", 24, func(b *onnx.Builder, x string) string {
			return b.Node("Swish", []string{x}, onnx.AttrFloat("alpha", 0.7))
		}},
		{"RMSNormalization", 23, func(b *onnx.Builder, x string) string {
			scale := b.Initializer("scale", importertest.Constant(importertest.Drawn(1, 4)))
			return b.Node("RMSNormalization", []string{x, scale}, onnx.AttrFloat("epsilon", 1e-3))
		}},
		{"Attention", 23, func(b *onnx.Builder, x string) string {
			q := b.Node("MatMul", []string{x, b.Initializer("query.weight", importertest.Constant(importertest.Drawn(2, 4, 8)))})
			return b.Node("Attention", []string{q, x, x}, onnx.AttrInt("q_num_heads", 4), onnx.AttrInt("kv_num_heads", 2), onnx.AttrInt("is_causal", 1), onnx.AttrFloat("softcap", 2))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := onnx.NewBuilder("derivative", c.opset)
			x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(2), onnx.Fixed(2))
			y := c.build(b, b.Node("Reshape", []string{x, b.Initializer("shape", importertest.Whole(0, 3, 4))}))
			y = b.Node("Flatten", []string{y})
			width := int64(12)
			if c.name == "Attention" {
				width = 24
			}
			y = b.Node("MatMul", []string{y, b.Initializer("head.weight", importertest.Constant(importertest.Drawn(3, int(width), 2)))})
			b.Output(y, "logits", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(2))
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			double, err := importModel(t, m, student.ImportOptions{}).Model.Convert(tensor.Float64)
			if err != nil {
				t.Fatal(err)
			}
			checkDerivatives(t, double)
		})
	}
}

// checkDerivatives compares the first and second derivatives of the mean of a
// model's squared logits by the image with central differences.
func checkDerivatives(t *testing.T, m *student.Model) {
	t.Helper()
	g := newGraph(t, m, 2, student.Infer)
	b := func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	by := func(cost *gorgonia.Node) *gorgonia.Node {
		d, err := op.Gradient(cost, g.Image)
		if err != nil {
			t.Fatal(err)
		}
		return d[0]
	}
	cost := b(op.Mean(b(op.Square(g.Logits))))
	first := by(cost)
	cost2 := b(op.Mean(b(op.Square(first))))
	second := by(cost2)
	at := pixels(g.Image.Shape().TotalSize())
	exact := run(t, g, at, first, second)
	const h = 1e-5
	for i := range at {
		value := func(x float64) [2]float64 {
			moved := append([]float64(nil), at...)
			moved[i] += x
			v := run(t, g, moved, cost, cost2)
			return [2]float64{v[0][0], v[1][0]}
		}
		above, below := value(h), value(-h)
		for order, name := range []string{"first", "second"} {
			want := (above[order] - below[order]) / (2 * h)
			if got := exact[order][i]; math.Abs(got-want) > 1e-6*math.Max(1, math.Abs(want)) {
				t.Errorf("%s derivative at %d: got %v, want %v", name, i, got, want)
			}
		}
	}
}
