package conformance

import (
	"maps"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// forInference returns a copy of a model exported for training that
// computes what the network does in evaluation: batch normalisation by the
// running statistics, and no dropout.
func forInference(m *onnx.Model) *onnx.Model {
	m = m.Clone()
	for _, n := range m.Graph.Nodes {
		switch n.Op {
		case "BatchNormalization":
			n.SetAttr(onnx.AttrInt("training_mode", 0))
			n.Outputs = n.Outputs[:1]
		case "Dropout":
			n.Inputs, n.Outputs = n.Inputs[:1], n.Outputs[:1]
		}
	}
	m.Strip()
	return m
}

// nodesThatCompute counts a graph's nodes without constants and copies.
func nodesThatCompute(m *onnx.Model) (n int) {
	for _, x := range m.Graph.Nodes {
		if x.Op != "Constant" && x.Op != "Identity" {
			n++
		}
	}
	return n
}

// moreOperators tells of which operators b has more or fewer than a.
func moreOperators(a, b *onnx.Model) map[string]int {
	more := map[string]int{}
	for _, n := range b.Graph.Nodes {
		more[n.Op]++
	}
	for _, n := range a.Graph.Nodes {
		more[n.Op]--
	}
	maps.DeleteFunc(more, func(_ string, n int) bool { return n == 0 })
	return more
}

// idleTransposes returns the Transposes that read another one's result: the two
// could be one, or none.
func idleTransposes(m *onnx.Model) (names []string) {
	x := m.Graph.Index()
	for _, n := range m.Graph.Nodes {
		if n.Op != "Transpose" {
			continue
		}
		if p := x.Producer(n.Inputs[0]); p != nil && p.Op == "Transpose" {
			names = append(names, n.Name)
		}
	}
	return names
}

// scoresOf returns a copy of a model that ends in a softmax, without it.
func scoresOf(t *testing.T, m *onnx.Model) *onnx.Model {
	t.Helper()
	m = m.Clone()
	last := m.Graph.Producer(m.Graph.Outputs[0].Name)
	if last.Op != "Softmax" {
		t.Fatalf("the model ends in %v", last)
	}
	m.Graph.Outputs[0].Name = last.Inputs[0]
	m.Strip()
	return m
}
