package student_test

import (
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

// severalOutputs is a classifier of 3 classes whose file gives other values
// beside: the label, which takes an operator that no student has, and the scores
// of a second head.
func severalOutputs(t *testing.T, label, second bool) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("several", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
	weights := func(name string, dims ...int64) string {
		return b.Initializer(name, onnx.Float32s("", dims, make([]float32, 9)))
	}
	x = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{b.Node("Conv", []string{x, weights("stem.weight", 3, 3, 1, 1)})})})
	y := b.Node("MatMul", []string{x, weights("head.weight", 3, 3)})
	if label {
		l := b.Node("ArgMax", []string{y}, onnx.AttrInt("axis", 1))
		l = b.Node("Concat", []string{l, l, l}, onnx.AttrInt("axis", 1)) // as long as scores are
		b.Output(l, "label", onnx.Int64, onnx.Symbol("n"), onnx.Fixed(3))
	}
	if second {
		b.Output(b.Node("MatMul", []string{x, weights("aux.weight", 3, 3)}), "aux", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3))
	}
	b.Output(b.Node("Softmax", []string{y}), "prob", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheOutputWithScoresIsChosen(t *testing.T) {
	i := importModel(t, severalOutputs(t, true, false), student.ImportOptions{})
	wantNote(t, i.Notes, `output "prob" holds real numbers for classes and is taken for the scores; left out: ["label"]`)
	for _, c := range []struct{ output, parameter string }{{"prob", "head/weight"}, {"aux", "aux/weight"}} {
		i := importModel(t, severalOutputs(t, true, true), student.ImportOptions{Output: c.output})
		var names []string
		for _, p := range i.Model.Params() {
			names = append(names, p.Name)
		}
		// Only what the output needs is computed.
		if got, want := strings.Join(names, " "), "stem/weight "+c.parameter; got != want {
			t.Errorf("output %s: the parameters are %s, want %s", c.output, got, want)
		}
	}
	for _, c := range []struct {
		m    *onnx.Model
		o    student.ImportOptions
		want string
	}{
		{severalOutputs(t, false, true), student.ImportOptions{}, `several of the outputs ["aux" "prob"] may hold the class scores; ImportOptions.Output says which one`},
		{severalOutputs(t, true, false), student.ImportOptions{Output: "logits"}, `no output "logits"; its outputs are ["label" "prob"] (ImportOptions.Output)`},
	} {
		if _, err := student.ImportModel(c.m, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want one with %s", err, c.want)
		}
	}
}
