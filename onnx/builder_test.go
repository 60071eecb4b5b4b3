package onnx

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// row is what a test wants to see of a node.
type row struct {
	Name, Op string
	In, Out  []string
}

func rowsOf(nodes []*Node) []row {
	var out []row
	for _, n := range nodes {
		out = append(out, row{n.Name, n.Op, n.Inputs, n.Outputs})
	}
	return out
}

func TestBuilderNamesAreUnique(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("image", Float32, Symbol("batch"), Fixed(3), Fixed(8), Fixed(8))
	w := b.Initializer("conv/weight", Float32s("", []int64{4, 3, 1, 1}, make([]float32, 12)))
	w2 := b.Initializer("conv/weight", Float32s("", []int64{4, 4, 1, 1}, make([]float32, 16)))
	b.Name("conv")
	y := b.Node("Conv", []string{x, w})
	y = b.Node("Relu", []string{y})
	y = b.Node("Relu", []string{y})
	b.Name("conv")
	y = b.Node("Conv", []string{y, w2})
	b.Name("")
	parts := b.Nodes("Split", 2, []string{y}, AttrInt("axis", 1))
	y = b.Node("Add", parts)
	b.Output(y, "out", Float32, Symbol("batch"), Fixed(2), Fixed(8), Fixed(8))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"conv", "Conv", []string{"image", "conv/weight"}, []string{"conv"}},
		{"conv/Relu", "Relu", []string{"conv"}, []string{"conv/Relu"}},
		{"conv/Relu_2", "Relu", []string{"conv/Relu"}, []string{"conv/Relu_2"}},
		{"conv_2", "Conv", []string{"conv/Relu_2", "conv/weight_2"}, []string{"conv_2"}},
		{"Split", "Split", []string{"conv_2"}, []string{"Split", "Split:1"}},
		{"Add", "Add", []string{"Split", "Split:1"}, []string{"out"}},
	}
	if d := cmp.Diff(want, rowsOf(m.Graph.Nodes)); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
	if w != "conv/weight" || w2 != "conv/weight_2" || m.Graph.Initializers[1].Name != w2 {
		t.Errorf("initializers are called %q and %q", w, w2)
	}
	if m.IRVersion != DefaultIR || m.Opset() != 17 {
		t.Errorf("IR %d, opset %d", m.IRVersion, m.Opset())
	}
}

func TestBuilderOutputs(t *testing.T) {
	for name, c := range map[string]struct {
		build func(b *Builder, x, w string)
		nodes []row
	}{
		"a value takes the output's name, and those who use it follow": {
			func(b *Builder, x, w string) {
				y := b.Node("Neg", []string{x})
				b.Output(y, "logits", Float32)
				b.Output(b.Node("Relu", []string{y}), "relu", Float32)
			},
			[]row{{"Neg", "Neg", []string{"x"}, []string{"logits"}}, {"Relu", "Relu", []string{"logits"}, []string{"relu"}}},
		},
		"a value in the way of the name gives it up": {
			func(b *Builder, x, w string) {
				b.Name("logits")
				a := b.Node("Neg", []string{x})
				b.Output(b.Node("Relu", []string{a}), "logits", Float32)
			},
			[]row{{"logits", "Neg", []string{"x"}, []string{"logits_2"}}, {"logits/Relu", "Relu", []string{"logits_2"}, []string{"logits"}}},
		},
		"two values may swap names": {
			func(b *Builder, x, w string) {
				b.Name("a")
				p := b.Node("Neg", []string{x})
				b.Name("b")
				q := b.Node("Relu", []string{p})
				b.Output(p, "b", Float32)
				b.Output(q, "a", Float32)
			},
			[]row{{"a", "Neg", []string{"x"}, []string{"b"}}, {"b", "Relu", []string{"b"}, []string{"a"}}},
		},
		"inputs, initializers and second names are copied": {
			func(b *Builder, x, w string) {
				y := b.Node("Neg", []string{x})
				b.Output(x, "in", Float32)
				b.Output(w, "weight", Float32)
				b.Output(y, "one", Float32)
				b.Output(y, "two", Float32)
			},
			[]row{
				{"Neg", "Neg", []string{"x"}, []string{"one"}},
				{"in", "Identity", []string{"x"}, []string{"in"}},
				{"weight", "Identity", []string{"w"}, []string{"weight"}},
				{"two", "Identity", []string{"one"}, []string{"two"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("net", 17)
			x := b.Input("x", Float32, Fixed(4))
			w := b.Initializer("w", Float32s("", []int64{4}, make([]float32, 4)))
			c.build(b, x, w)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.nodes, rowsOf(m.Graph.Nodes)); d != "" {
				t.Errorf("nodes (-want +got):\n%s", d)
			}
			again, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(rowsOf(m.Graph.Nodes), rowsOf(again.Graph.Nodes)); d != "" {
				t.Errorf("the second model differs:\n%s", d)
			}
		})
	}
}

func TestBuilderReportsMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		build func(b *Builder, x string)
		want  string
	}{
		"an operand that does not exist": {
			func(b *Builder, x string) { b.Output(b.Node("Relu", []string{"nothing"}), "y", Float32) },
			`uses "nothing", which nothing makes`,
		},
		"an output of a value that does not exist": {
			func(b *Builder, x string) { b.Output("nothing", "y", Float32) },
			`output "y" is to be value "nothing", which the builder never made`,
		},
		"two outputs of one name": {
			func(b *Builder, x string) {
				b.Output(b.Node("Relu", []string{x}), "y", Float32)
				b.Output(b.Node("Relu", []string{x}), "y", Float32)
			},
			`two outputs are called "y"`,
		},
		"an output with an input's name": {
			func(b *Builder, x string) { b.Output(b.Node("Relu", []string{x}), "x", Float32) },
			`output "x" has the name of an input or initializer`,
		},
		"a tensor of the wrong length": {
			func(b *Builder, x string) { b.Initializer("w", Float32s("", []int64{3}, []float32{1})) },
			`tensor "w" of float32 [3] needs 12 bytes, got 4`,
		},
		"no tensor": {
			func(b *Builder, x string) { b.Initializer("w", nil) },
			`tensor "w" has element type undefined`,
		},
		"an output of another type": {
			func(b *Builder, x string) { b.Output(b.Node("Shape", []string{x}), "y", Float32) },
			`output "y" is declared float32 []; its operators make it int64 [1]`,
		},
		"an output of another shape": {
			func(b *Builder, x string) { b.Output(b.Node("Relu", []string{x}), "y", Float32, Fixed(5)) },
			`output "y" is declared float32 [5]; its operators make it float32 [4]`,
		},
		"an IR version that does not exist": {
			func(b *Builder, x string) { b.SetIR(99) },
			`IR version 99`,
		},
		"an IR version older than the opset": {
			func(b *Builder, x string) { b.SetIR(7) },
			`a model of opset 17 needs IR version 8 or later, got 7`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("net", 17)
			c.build(b, b.Input("x", Float32, Fixed(4)))
			_, err := b.Model()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestMinIR(t *testing.T) {
	// The table of onnx.helper, ONNX 1.20; opset 26 is of its successor.
	want := map[int64]int64{
		1: 3, 5: 3, 6: 3, 7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10,
		23: 11, 24: 12, 25: 13, 26: 13,
	}
	for opset, ir := range want {
		if got := MinIR(opset); got != ir {
			t.Errorf("opset %d: IR %d, want %d", opset, got, ir)
		}
		b := NewBuilder("net", opset)
		b.Output(b.Node("Relu", []string{b.Input("x", Float32, Fixed(4))}), "y", Float32)
		m, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		if m.IRVersion != max(DefaultIR, ir) {
			t.Errorf("opset %d: IR %d is written", opset, m.IRVersion)
		}
	}
}
