package student_test

import (
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

// As torch.onnx.export writes x.squeeze(3).squeeze(2) of a pooled image whose
// size is open.
func TestBranchesBySizeAreImported(t *testing.T) {
	b := onnx.NewBuilder("squeezes", 13)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Symbol("h"), onnx.Symbol("w"))
	one := make([]float32, 9)
	x = b.Node("Conv", []string{x, b.Initializer("stem.weight", onnx.Float32s("", []int64{3, 3, 1, 1}, one))})
	x = b.Node("AveragePool", []string{x}, onnx.AttrInts("kernel_shape", 8, 8))
	size := b.Node("Gather", []string{b.Node("Shape", []string{x}), b.Initializer("i", onnx.Int64s("", nil, []int64{3}))})
	cond := b.Node("Equal", []string{size, b.Initializer("one", onnx.Int64s("", nil, []int64{1}))})
	branch := func(op string, in ...string) *onnx.Graph {
		return &onnx.Graph{Name: op, Nodes: []*onnx.Node{{Op: op, Inputs: in, Outputs: []string{"r" + op}}}, Outputs: []*onnx.Value{{Name: "r" + op, Type: onnx.Float32}}}
	}
	axis := b.Initializer("axis", onnx.Int64s("", []int64{1}, []int64{3}))
	x = b.Node("If", []string{cond},
		&onnx.Attr{Name: "then_branch", Type: onnx.AttrTypeGraph, Graph: branch("Squeeze", x, axis)},
		&onnx.Attr{Name: "else_branch", Type: onnx.AttrTypeGraph, Graph: branch("Identity", x)})
	x = b.Node("Squeeze", []string{x, b.Initializer("axis2", onnx.Int64s("", []int64{1}, []int64{2}))})
	x = b.Node("MatMul", []string{x, b.Initializer("head.weight", onnx.Float32s("", []int64{3, 3}, one))})
	b.Output(x, "logits", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	i := importModel(t, m, student.ImportOptions{Image: student.Shape{H: 8, W: 8, C: 3}})
	wantNote(t, i.Notes, "If nodes that depend on the size of a value, replaced by their branch for these images: 1")
	// At 8x16 the pooled image is two columns wide: the other branch, of which no
	// scores can be made.
	if _, err := student.ImportModel(m, student.ImportOptions{Image: student.Shape{H: 8, W: 16, C: 3}}); err == nil || strings.Contains(err.Error(), "subgraph") {
		t.Errorf("got error %v, want one of the branch for wide images", err)
	}
}
