package student_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

func importModel(t *testing.T, m *onnx.Model, o student.ImportOptions) *student.Imported {
	t.Helper()
	i, err := student.ImportModel(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// nodesOf lists a model's nodes with their operands.
func nodesOf(m *onnx.Model) []string {
	var out []string
	for _, n := range m.Graph.Nodes {
		out = append(out, fmt.Sprintf("%s(%s) -> %s", n.Op, strings.Join(n.Inputs, ", "), strings.Join(n.Outputs, ", ")))
	}
	return out
}

// logits runs a model on the same images and returns its scores.
func logits(t *testing.T, m *student.Model, batch int) []float64 {
	t.Helper()
	g := newGraph(t, m, batch, student.Infer)
	s := m.Spec().Image
	return run(t, g, pixels(batch*s.H*s.W*s.C), g.Logits)[0]
}

// An exported student is a file like any other: imported, it computes the same
// logits, and exported again it is the same file.
func TestZooStudentsComeBack(t *testing.T) {
	for _, name := range []string{"wrn-10-1", "wrn-16-0.5", "resnet-8", "resnet-14", "mobilenetv2-0.25"} {
		t.Run(name, func(t *testing.T) {
			a, err := zoo.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			m := newModel(t, a, student.Spec{Image: student.Shape{H: 17, W: 12, C: 3}, Classes: 5}, 1)
			shake(t, m)
			for _, opset := range []int64{13, 17, 21} {
				first := export(t, m, student.ExportOptions{Opset: opset})
				back := importModel(t, first, student.ImportOptions{})
				if d := apart(t, logits(t, back.Model, 3), logits(t, m, 3)); d > close {
					t.Errorf("opset %d: logits are off by %v", opset, d)
				}
				again := export(t, back.Model, student.ExportOptions{Opset: opset})
				if d := cmp.Diff(nodesOf(first), nodesOf(again)); d != "" {
					t.Errorf("opset %d: nodes of the first and the second file (-first +second):\n%s", opset, d)
				}
				if d := cmp.Diff(names(first), names(again)); d != "" {
					t.Errorf("opset %d: initializers of the first and the second file (-first +second):\n%s", opset, d)
				}
			}
		})
	}
}

func names(m *onnx.Model) []string {
	var out []string
	for _, t := range m.Graph.Initializers {
		out = append(out, fmt.Sprint(t.Name, t.Dims))
	}
	slices.Sort(out)
	return out
}

var _ = gorgonia.Let
var _ = vm.New
