package pipeline

import (
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// scoreOps are operators whose results are logits and no probabilities, as the last
// ones of a classifier.
var scoreOps = []string{"Gemm", "MatMul", "Conv", "Add", "BatchNormalization", "GlobalAveragePool", "AveragePool", "ReduceMean"}

// logProbabilities appends a logarithm to a student's network whose output, which
// ends in no function that is known, holds probabilities, as a teacher's logits are
// then taken: the softmax of both is what the file gives.
//
// Whether scores are probabilities shows when the file runs. A file that does not
// run as a teacher would is left as it is; its import says what is wrong with it.
func (u *run) logProbabilities(m *onnx.Model) error {
	if m.Graph == nil {
		return nil
	}
	var of *onnx.Value
	for _, v := range m.Graph.Outputs {
		if want := u.config.Student.Output; v.Name == want || want == "" && len(m.Graph.Outputs) == 1 {
			of = v
		}
	}
	if of == nil {
		return nil
	}
	if last := m.Graph.Producer(of.Name); last == nil || slices.Contains(scoreOps, last.Op) {
		return nil
	}
	if normal, err := rewrite.Normalize(m, rewrite.Images{}); err != nil || normal.Ending(of.Name).Kind != rewrite.NoEnding {
		return nil
	}
	o := TeacherConfig{Output: of.Name, ImageShape: u.config.Student.ImageShape}.session(u.data, u.config.Resources)
	o.Map = teachers.MapNone
	session, err := teachers.Open(u.studentFile, o)
	if err != nil {
		return nil
	}
	defer session.Close()
	if session.Spec().Logits != teachers.LogitsLogP {
		return nil
	}
	say(u.reporter, "import   output %q holds probabilities and no softmax to take logits before was found; log p is used", of.Name)
	return appendLog(m, of)
}

// appendLog makes an output of probabilities one of their logarithms, under the same
// name. What is less than the least float32 of full precision counts as that.
func appendLog(m *onnx.Model, v *onnx.Value) error {
	output, names := v.Name, m.Graph.Namer()
	add := func(op, out string, attrs []*onnx.Attr, in ...string) string {
		m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
		return out
	}
	x := names.Fresh("probabilities")
	if err := m.Rename(output, x); err != nil {
		return err
	}
	if v.Type != onnx.Float32 {
		x = add("Cast", names.Fresh("probabilities/float32"), []*onnx.Attr{onnx.AttrInt("to", int64(onnx.Float32))}, x)
	}
	const least = 0x1p-126
	if m.Opset() < 8 {
		x = add("Clip", names.Fresh("probabilities/floor"), []*onnx.Attr{onnx.AttrFloat("min", least)}, x)
	} else {
		c := onnx.Float32s(names.Fresh("probabilities/least"), nil, []float32{least})
		m.Graph.Initializers = append(m.Graph.Initializers, c)
		x = add("Max", names.Fresh("probabilities/floor"), nil, x, c.Name)
	}
	v.Name, v.Type = add("Log", output, nil, x), onnx.Float32
	return nil
}
