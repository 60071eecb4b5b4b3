package student_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

// A normalisation comes back as the one node it was, with its own factor and
// summand, where its operator has room for them.
func TestNormalisationsTakeTheirFactorsBack(t *testing.T) {
	counted := func(from float32, dims ...int64) *onnx.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = from + float32(i)/8
		}
		return onnx.Float32s("", dims, v)
	}
	tokens := []onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(5), onnx.Fixed(4)}
	image := []onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(5)}
	for _, c := range []struct {
		name  string
		dims  []onnx.Dim
		write func(b *onnx.Builder, x string) string
		want  []string                // operators
		given map[string]*onnx.Tensor // the operands of the first node by name
	}{
		{"over the last axis", tokens, func(b *onnx.Builder, x string) string {
			return b.Node("LayerNormalization", []string{x, b.Initializer("g", counted(2, 4)), b.Initializer("h", counted(3, 4))})
		}, []string{"LayerNormalization"}, map[string]*onnx.Tensor{"g": counted(2, 4), "h": counted(3, 4)}},
		{"over two axes", tokens, func(b *onnx.Builder, x string) string {
			return b.Node("LayerNormalization", []string{x, b.Initializer("g", counted(2, 5, 4)), b.Initializer("h", counted(3, 5, 4))}, onnx.AttrInt("axis", 1))
		}, []string{"LayerNormalization"}, map[string]*onnx.Tensor{"g": counted(2, 5, 4), "h": counted(3, 5, 4)}},
		{"a factor alone", tokens, func(b *onnx.Builder, x string) string {
			return b.Node("Relu", []string{b.Node("LayerNormalization", []string{x, b.Initializer("g", counted(2, 4))})})
		}, []string{"LayerNormalization", "Relu"}, map[string]*onnx.Tensor{"g": counted(2, 4)}},
		{"over rows and columns", image, func(b *onnx.Builder, x string) string {
			return b.Node("InstanceNormalization", []string{x, b.Initializer("g", counted(2, 3)), b.Initializer("h", counted(3, 3))})
		}, []string{"InstanceNormalization"}, map[string]*onnx.Tensor{"g": counted(2, 3), "h": counted(3, 3)}},
		{"one number for each token", tokens, func(b *onnx.Builder, x string) string {
			y := b.Node("LayerNormalization", []string{x, b.Initializer("one", onnx.Float32s("", []int64{4}, []float32{1, 1, 1, 1}))})
			return b.Node("Mul", []string{y, b.Initializer("g", counted(2, 5, 1))})
		}, []string{"LayerNormalization", "Mul"}, nil},
		{"read twice", tokens, func(b *onnx.Builder, x string) string {
			y := b.Node("LayerNormalization", []string{x, b.Initializer("one", onnx.Float32s("", []int64{4}, []float32{1, 1, 1, 1}))})
			return b.Node("Add", []string{b.Node("Mul", []string{y, b.Initializer("g", counted(2, 4))}), y})
		}, []string{"LayerNormalization", "Mul", "Add"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := onnx.NewBuilder("norm", 17)
			b.Output(c.write(b, b.Input("x", onnx.Float32, c.dims...)), "y", onnx.Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			net, err := student.ImportNet(m, student.NetOptions{Trainable: true})
			if err != nil {
				t.Fatal(err)
			}
			out, err := net.Export(student.ExportOptions{Opset: 17})
			if err != nil {
				t.Fatal(err)
			}
			var ops []string
			for _, n := range out.Graph.Nodes {
				ops = append(ops, n.Op)
			}
			if d := cmp.Diff(c.want, ops); d != "" {
				t.Errorf("operators -want +got:\n%s", d)
			}
			for i, name := range out.Graph.Nodes[0].Inputs[1:] {
				want, ok := c.given[name]
				if !ok {
					if c.given != nil {
						t.Errorf("operand %d is %q", i+1, name)
					}
					continue
				}
				got := out.Graph.Initializer(name)
				if d := cmp.Diff([]any{want.Dims, want.Data}, []any{got.Dims, got.Data}); d != "" {
					t.Errorf("operand %s -want +got:\n%s", name, d)
				}
			}
			if got, want := len(out.Graph.Nodes[0].Inputs)-1, len(c.given); c.given != nil && got != want {
				t.Errorf("%d operands behind the first, want %d", got, want)
			}
		})
	}
}
