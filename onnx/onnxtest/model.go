package onnxtest

import (
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Model is a model of opset 17 with the float32 input x [2, 3].
func Model(outputs []string, nodes ...*onnx.Node) *onnx.Model {
	g := &onnx.Graph{
		Name: "g", Nodes: nodes,
		Inputs: []*onnx.Value{{Name: "x", Type: onnx.Float32, HasShape: true, Shape: []onnx.Dim{onnx.Fixed(2), onnx.Fixed(3)}}},
	}
	for _, o := range outputs {
		g.Outputs = append(g.Outputs, &onnx.Value{Name: o, Type: onnx.Float32})
	}
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: g}
}

// Node makes a node; wiring names its operands and its results, on the two sides
// of "->".
func Node(op, wiring string, attrs ...*onnx.Attr) *onnx.Node {
	in, out, _ := strings.Cut(wiring, "->")
	list := func(s string) []string {
		if s = strings.TrimSpace(s); s == "" {
			return nil
		}
		var names []string
		for name := range strings.SplitSeq(s, ",") {
			names = append(names, strings.TrimSpace(name))
		}
		return names
	}
	return &onnx.Node{Op: op, Inputs: list(in), Outputs: list(out), Attrs: attrs}
}

// Function makes a function of domain "own" and opset 17, wired as a Node is.
func Function(name, wiring string, nodes ...*onnx.Node) *onnx.Function {
	n := Node(name, wiring)
	return &onnx.Function{
		Name: name, Domain: "own", Inputs: n.Inputs, Outputs: n.Outputs, Nodes: nodes,
		Opsets: []onnx.Opset{{Version: 17}, {Domain: "own", Version: 1}},
	}
}

// Call makes a node, called name, that calls a function made by Function.
func Call(name, op, wiring string, attrs ...*onnx.Attr) *onnx.Node {
	n := Node(op, wiring, attrs...)
	n.Name, n.Domain = name, "own"
	return n
}

// WithFunctions gives a model functions of its own.
func WithFunctions(m *onnx.Model, functions ...*onnx.Function) *onnx.Model {
	m.Functions = functions
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: "own", Version: 1})
	return m
}

// Ref is an attribute of a node in a function: the one called of in the call.
func Ref(name, of string, t onnx.AttrType) *onnx.Attr {
	return &onnx.Attr{Name: name, Ref: of, Type: t}
}
