package onnx

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuilderNames(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("image", Float32, Symbol("batch"), Fixed(3), Fixed(8), Fixed(8))
	w := b.Initializer("conv/weight", Float32s("", []int64{4, 3, 1, 1}, make([]float32, 12)))
	w2 := b.Initializer("conv/weight", Float32s("", []int64{4, 4, 1, 1}, make([]float32, 16)))
	b.Name("conv")
	y := b.Node("Conv", []string{x, w})
	y = b.Node("Relu", []string{y})
	b.Name("conv")
	y = b.Node("Conv", []string{y, w2})
	b.Name("logits")
	z := b.Node("Relu", []string{y})
	b.Output(z, "features", Float32)
	b.Output(y, "logits", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ Name, Op, Out string }
	var got []row
	for _, n := range m.Graph.Nodes {
		got = append(got, row{n.Name, n.Op, n.Outputs[0]})
	}
	want := []row{
		{"conv", "Conv", "conv"},
		{"conv/Relu", "Relu", "conv/Relu"},
		{"conv_2", "Conv", "logits"},
		{"logits", "Relu", "features"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
	if w2 != "conv/weight_2" {
		t.Errorf("second initializer is called %q", w2)
	}
}
