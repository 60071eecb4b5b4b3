package student_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
)

// refusal checks that an error names a node of the file, its operator and the
// opset.
func refusal(t *testing.T, err error, m *onnx.Model) {
	t.Helper()
	if err == nil {
		t.Error("it is not refused")
		return
	}
	node, opset := "", int64(0)
	var call *importer.CallError
	var unsupported *student.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		node, opset = unsupported.Node, unsupported.Opset
	case errors.As(err, &call):
		node, opset = call.Node, call.Opset
	default:
		t.Errorf("it is refused with %T %v, which is of no node", err, err)
		return
	}
	for _, n := range m.Graph.Nodes {
		if n.String() != node || opset != m.Opset() {
			continue
		}
		for _, part := range []string{n.Op, fmt.Sprintf("%q", n.Name), fmt.Sprintf("opset %d", opset)} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error %q does not say %s", err, part)
			}
		}
		if strings.Contains(err.Error(), "op: ") {
			t.Errorf("the error %q names a package of ours", err)
		}
		return
	}
	t.Errorf("the error is of %s of opset %d, which is no node of the file of opset %d: %v", node, opset, m.Opset(), err)
}

func TestRefusalsNameNodeOperatorAndOpset(t *testing.T) {
	refused := 0
	for _, p := range importertest.Pieces() {
		if p.Refused == "" {
			continue
		}
		for _, opset := range p.Opsets {
			t.Run(fmt.Sprintf("%s, opset %d", p.Name, opset), func(t *testing.T) {
				m, err := p.Model(opset)
				if err != nil {
					t.Fatal(err)
				}
				_, err = student.ImportNet(m, student.NetOptions{})
				refusal(t, err, m)
				refused++
			})
		}
	}
	if refused < 60 {
		t.Errorf("%d pieces are refused; there were more", refused)
	}
	// What other packages refuse, or what shows in a whole network alone.
	image := func(b *onnx.Builder) string {
		return b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(5))
	}
	constant := func(b *onnx.Builder, dims ...int) string {
		return b.Initializer("w", importertest.Constant(importertest.Drawn(1, dims...)))
	}
	head := func(b *onnx.Builder, x string) string {
		x = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})})
		return b.Node("Gemm", []string{x, constant(b, 3, 4)})
	}
	for name, build := range map[string]func(b *onnx.Builder) string{
		"an unknown operator": func(b *onnx.Builder) string { return head(b, b.Node("Einsum", []string{image(b)})) },
		"constants that do not fit": func(b *onnx.Builder) string {
			c := b.Node("Reshape", []string{constant(b, 3), b.Initializer("to", importertest.Whole(2, 2))})
			return head(b, b.Node("Mul", []string{image(b), c}))
		},
		"constants of no numbers": func(b *onnx.Builder) string {
			c := b.Initializer("text", &onnx.Tensor{Type: onnx.String, Dims: []int64{1}, Strings: [][]byte{[]byte("a")}})
			return head(b, b.Node("Add", []string{image(b), c}))
		},
		"a convolution larger than its image": func(b *onnx.Builder) string {
			return head(b, b.Node("Conv", []string{image(b), constant(b, 3, 3, 9, 9)}))
		},
		"channels that do not fit": func(b *onnx.Builder) string {
			return head(b, b.Node("Conv", []string{image(b), constant(b, 3, 2, 1, 1)}))
		},
		"weights that do not fit": func(b *onnx.Builder) string {
			x := b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{image(b)})})
			return b.Node("Gemm", []string{x, constant(b, 5, 4)})
		},
		"a summand that is no number": func(b *onnx.Builder) string {
			return head(b, b.Node("Pow", []string{image(b), b.Initializer("nan", onnx.Float32s("", []int64{2}, []float32{float32(math.NaN()), 1}))}))
		},
		"a statistic that is used": func(b *onnx.Builder) string {
			y := b.Nodes("LayerNormalization", 2, []string{image(b), constant(b, 5)})
			return head(b, b.Node("Add", []string{y[0], y[1]}))
		},
		"a coordinate nobody knows": func(b *onnx.Builder) string {
			sizes := b.Initializer("sizes", importertest.Whole(1, 3, 8, 10))
			return head(b, b.Node("Resize", []string{image(b), "", "", sizes}, onnx.AttrString("coordinate_transformation_mode", "tf_half_pixel_for_nn")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := onnx.NewBuilder("net", 13)
			b.Output(build(b), "y", onnx.Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			_, err = student.ImportModel(m, student.ImportOptions{})
			refusal(t, err, m)
		})
	}
}
