package rewrite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// scored is a model of opset 17 that makes its output y of scores z [n, 5].
func scored(opset int64, nodes ...*onnx.Node) *onnx.Model {
	m := net([]string{"y"}, nodes...)
	m.Opsets[0].Version = opset
	m.Graph.Inputs[0] = &onnx.Value{Name: "z", Type: onnx.Float32, HasShape: true, Shape: []onnx.Dim{onnx.Symbol("n"), onnx.Fixed(5)}}
	for name, v := range map[string]float32{"one": 1, "two": 2, "half": 0.5, "tiny": 1e-6, "minus": -1} {
		m.Graph.Initializers = append(m.Graph.Initializers, onnx.Float32s(name, nil, []float32{v}))
	}
	for name, v := range map[string][]int64{"zero": {0}, "first": {1}, "both": {0, 1}, "grid": {-1, 5, 1, 1}, "planes": {-1, 1, 5}} {
		m.Graph.Initializers = append(m.Graph.Initializers, onnx.Int64s(name, []int64{int64(len(v))}, v))
	}
	return m
}

// normalized brings a checked model into normal form, which leaves it as it was.
func normalized(t *testing.T, m *onnx.Model) *Normal {
	t.Helper()
	if err := onnx.Check(m); err != nil {
		t.Fatal(err)
	}
	before, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	n, err := Normalize(m, Images{})
	if err != nil {
		t.Fatal(err)
	}
	if after, err := m.Encode(); err != nil || string(after) != string(before) {
		t.Errorf("normalising changed the model (%v)", err)
	}
	if err := onnx.Check(n.Model); err != nil {
		t.Errorf("in normal form: %v", err)
	}
	return n
}

// What onnx.Check lets pass may break the rules of operators.
func TestEndingsOfTooFewOperands(t *testing.T) {
	for _, op := range []string{"Softmax", "Div", "Mul", "Sub", "Add", "Reciprocal", "Log", "Exp", "Clip", "Max", "Reshape", "Cast"} {
		for _, wiring := range []string{"-> y", "z -> y", "z, z, z -> y", ", -> y"} {
			n := normalized(t, scored(17, node(op, wiring)))
			if e := n.Ending("y"); e.Kind != NoEnding && (op != "Softmax" || e.Logits != "z") {
				t.Errorf("%s of %q ends in a %s of %q", op, wiring, e.Kind, e.Logits)
			}
		}
	}
	n := normalized(t, scored(17, node("Neg", "z -> m"), node("Exp", "m -> e"), node("Add", "e -> s"), node("Reciprocal", "s -> y")))
	if e := n.Ending("y"); e.Kind != NoEnding {
		t.Errorf("it ends in a %s", e.Kind)
	}
	for _, op := range []string{"BatchNormalization", "Dropout"} {
		for _, wiring := range []string{"-> y", "z -> y, a, b, c, d", "z, z, z, z, z, z -> y", ", , , , -> , y"} {
			normalized(t, scored(17, node(op, wiring, onnx.AttrInt("training_mode", 1))))
		}
	}
}

func TestEndings(t *testing.T) {
	axis := func(i int64) *onnx.Attr { return onnx.AttrInt("axis", i) }
	for _, c := range []struct {
		name  string
		opset int64
		nodes []*onnx.Node
		want  string // kind of value
	}{
		{"a softmax over the classes", 17, []*onnx.Node{node("Softmax", "z -> y", axis(1))}, "softmax of z"},
		{"counted from the end", 17, []*onnx.Node{node("Softmax", "z -> y")}, "softmax of z"},
		{"over the batch", 17, []*onnx.Node{node("Softmax", "z -> y", axis(0))}, " of y"},
		{"over one element of each", 17, []*onnx.Node{node("Reshape", "z, grid -> g"), node("Softmax", "g -> y")}, " of y"},
		{"over the classes of a grid of one", 17, []*onnx.Node{node("Reshape", "z, grid -> g"), node("Softmax", "g -> p", axis(1)), node("Flatten", "p -> y")}, "softmax of g"},
		{"over the classes behind an axis of one", 17, []*onnx.Node{node("Reshape", "z, planes -> g"), node("Softmax", "g -> p"), node("Squeeze", "p, first -> y")}, "softmax of g"},
		{"of all axes from the second on", 11, []*onnx.Node{node("Reshape", "z, grid -> g"), node("Softmax", "g -> y")}, "softmax of g"},
		{"of another domain", 17, []*onnx.Node{{Op: "Softmax", Domain: "own", Inputs: []string{"z"}, Outputs: []string{"y"}}}, " of y"},
		{"made a whole number", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Cast", "p -> y", onnx.AttrInt("to", int64(onnx.Int64)))}, " of y"},
		{"twice a softmax", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Mul", "two, p -> y")}, "softmax of z"},
		{"its negative", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Mul", "p, minus -> y")}, " of y"},
		{"its reciprocal", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Div", "one, p -> y")}, " of y"},
		{"what is left of one", 17, []*onnx.Node{node("Sigmoid", "z -> p"), node("Sub", "one, p -> y")}, " of y"},
		{"one more", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Add", "p, one -> y")}, " of y"},
		{"clipped at a half", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Clip", "p, half -> y")}, " of y"},
		{"clipped to 1, as before opset 11", 9, []*onnx.Node{node("Softmax", "z -> p"), node("Clip", "p -> y", onnx.AttrFloat("min", 1e-7), onnx.AttrFloat("max", 1))}, "softmax of z"},
		{"a logarithm", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Max", "p, tiny -> q"), node("Log", "q -> y")}, "log-softmax of z"},
		{"the logarithm of a logarithm", 17, []*onnx.Node{node("LogSoftmax", "z -> p"), node("Log", "p -> y")}, " of y"},
		{"twice a logarithm, which is one of other logits", 17, []*onnx.Node{node("LogSoftmax", "z -> p"), node("Mul", "p, two -> y")}, " of y"},
		{"twice the logarithm of a softmax", 17, []*onnx.Node{node("Softmax", "z -> p"), node("Log", "p -> q"), node("Mul", "q, two -> y")}, " of y"},
		{"an exponential alone", 17, []*onnx.Node{node("Exp", "z -> y")}, " of y"},
		{"an exponential of a logarithm", 17, []*onnx.Node{node("LogSoftmax", "z -> p"), node("Exp", "p -> y")}, "softmax of z"},
		{"exponentials over a sum", 17, []*onnx.Node{node("Exp", "z -> e"), node("ReduceSum", "e, first -> s"), node("Div", "e, s -> y")}, "softmax of z"},
		{"exponentials over a sum that is aligned otherwise", 17, []*onnx.Node{node("Exp", "z -> e"), node("ReduceSum", "e, first -> s", onnx.AttrInt("keepdims", 0)), node("Div", "e, s -> y")}, " of y"},
		{"exponentials over the sum of the batch", 17, []*onnx.Node{node("Exp", "z -> e"), node("ReduceSum", "e, zero -> s"), node("Div", "e, s -> y")}, " of y"},
		{"exponentials over the sum of all", 17, []*onnx.Node{node("Exp", "z -> e"), node("ReduceSum", "e, both -> s"), node("Div", "e, s -> y")}, " of y"},
		{"exponentials over another sum", 17, []*onnx.Node{node("Exp", "z -> e"), node("ReduceSum", "z, first -> s"), node("Div", "e, s -> y")}, " of y"},
		{"a shift by a maximum over the batch, which is part of the logits", 11, []*onnx.Node{
			node("ReduceMax", "z -> m", onnx.AttrInts("axes", 0)), node("Sub", "z, m -> d"), node("Exp", "d -> e"), node("ReduceSum", "e -> s", onnx.AttrInts("axes", 1)), node("Div", "e, s -> y")}, "softmax of d"},
		{"one over one and an exponential", 17, []*onnx.Node{node("Neg", "z -> m"), node("Exp", "m -> e"), node("Add", "one, e -> s"), node("Reciprocal", "s -> y")}, "sigmoid of z"},
		{"one over two and an exponential", 17, []*onnx.Node{node("Neg", "z -> m"), node("Exp", "m -> e"), node("Add", "two, e -> s"), node("Reciprocal", "s -> y")}, " of y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := scored(c.opset, c.nodes...)
			if c.nodes[0].Domain != "" {
				m.Opsets = append(m.Opsets, onnx.Opset{Domain: c.nodes[0].Domain, Version: 1})
			}
			n := normalized(t, m)
			e := n.Ending("y")
			if got := fmt.Sprintf("%s of %s", e.Kind, e.Logits); got != c.want {
				t.Errorf("it ends in a %s, want %s", got, c.want)
			}
			if note := n.Note("y"); (note == "") != (e.Kind == NoEnding) || e.Kind != NoEnding && !strings.Contains(note, string(e.Kind)) {
				t.Errorf("note %q", note)
			}
		})
	}
}
