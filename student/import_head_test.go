package student_test

import (
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

// A last layer is found behind what changes the form of its constants and of its
// scores.
func TestHeadsAreReplacedWhereverTheyAre(t *testing.T) {
	ints := func(b *onnx.Builder, v ...int64) string {
		return b.Initializer("shape", onnx.Int64s("", []int64{int64(len(v))}, v))
	}
	weights := func(b *onnx.Builder, name string, dims ...int64) string {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		f := make([]float32, n)
		for i := range f {
			f[i] = float32(i%5) / 5
		}
		return b.Initializer(name, onnx.Float32s("", dims, f))
	}
	pooled := func(b *onnx.Builder, x string) string {
		return b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})})
	}
	for name, build := range map[string]func(b *onnx.Builder, x string) string{
		"a Reshape of a weight, as CNTK writes": func(b *onnx.Builder, x string) string {
			w := b.Node("Reshape", []string{weights(b, "head.weight", 3, 1, 1, 4), ints(b, 3, 4)})
			return b.Node("Add", []string{b.Node("MatMul", []string{pooled(b, x), w}), weights(b, "head.bias", 1, 4)})
		},
		"a weight of equal numbers": func(b *onnx.Builder, x string) string {
			w := b.Node("ConstantOfShape", []string{ints(b, 3, 4)}, onnx.AttrTensor("value", onnx.Float32s("", []int64{1}, []float32{0.1})))
			return b.Node("MatMul", []string{pooled(b, x), w})
		},
		"a convolution, ReLU and pool, as SqueezeNet": func(b *onnx.Builder, x string) string {
			y := b.Node("Relu", []string{b.Node("Conv", []string{x, weights(b, "head.weight", 4, 3, 1, 1), weights(b, "head.bias", 4)})})
			return pooled(b, y)
		},
		"padding, a pool and a flattening": func(b *onnx.Builder, x string) string {
			y := b.Node("Conv", []string{x, weights(b, "head.weight", 4, 3, 1, 1)})
			y = b.Node("Pad", []string{y, ints(b, 0, 0, 0, 0, 0, 0, 0, 0)})
			return b.Node("Flatten", []string{b.Node("AveragePool", []string{y}, onnx.AttrInts("kernel_shape", 4, 4))})
		},
		"probabilities and their logarithm": func(b *onnx.Builder, x string) string {
			y := b.Node("MatMul", []string{pooled(b, x), weights(b, "head.weight", 3, 4)})
			return b.Node("Log", []string{b.Node("Softmax", []string{y}, onnx.AttrInt("axis", 1))})
		},
		"the logarithm of what is positive": func(b *onnx.Builder, x string) string {
			y := b.Node("MatMul", []string{pooled(b, x), weights(b, "head.weight", 3, 4)})
			return b.Node("Log", []string{b.Node("Clip", []string{y, weights(b, "least", 1)})})
		},
		"a temperature": func(b *onnx.Builder, x string) string {
			y := b.Node("MatMul", []string{pooled(b, x), weights(b, "head.weight", 3, 4)})
			return b.Node("Div", []string{y, b.Initializer("temperature", onnx.Float32s("", nil, []float32{0.5}))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := onnx.NewBuilder("head", 17)
			x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
			x = b.Node("Conv", []string{x, weights(b, "stem.weight", 3, 3, 1, 1)})
			b.Output(build(b, x), "logits", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(4))
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			i := importModel(t, m, student.ImportOptions{Classes: 7, ReplaceHead: true})
			wantNote(t, i.Notes, "of 4 classes, is replaced by a fresh one of 7")
			if got := newGraph(t, i.Model, 2, student.Infer).Logits.Shape()[1]; got != 7 {
				t.Errorf("%d classes, want 7", got)
			}
			if _, err := i.Model.Export(student.ExportOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
}
