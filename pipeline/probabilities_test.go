package pipeline

import (
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func TestScoresThatLookLikeProbabilities(t *testing.T) {
	for _, c := range []struct {
		name string
		from teachers.Logits
		rows [][]float32
		want string // in the doubt; "" is none
	}{
		{"logits", teachers.LogitsOutput, [][]float32{{0.2, 3, -1}, {0.1, 0.9, 0}}, ""},
		{"of a sigmoid", teachers.LogitsOutput, [][]float32{{0.2, 0.9, 0.1}, {0.7, 0.6, 0}}, "lie between 0 and 1 on all of 2 images, as those of a sigmoid do"},
		{"of a softmax", teachers.LogitsOutput, [][]float32{{0.2, 0.7, 0.1}, {0.5, 0.5, 0}}, "and add up to 1, as those of a softmax do"},
		{"small logits", teachers.LogitsOutput, [][]float32{{0.2, 0.1, 0.1}, {0.5, 0.4, 0}}, ""},
		{"logits before a sigmoid", teachers.LogitsBeforeSigmoid, [][]float32{{0.2, 0.9, 0.1}}, ""},
		{"nothing", teachers.LogitsOutput, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s scoreRange
			for _, row := range c.rows {
				s.add(row)
			}
			got := s.doubt(teachers.Spec{Name: "net.onnx", Logits: c.from})
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A sigmoid of a form that no one knows is noticed by what it gives.
func TestAModelOfUnknownProbabilitiesIsDoubted(t *testing.T) {
	_, o := tinyRun(t)
	r := &transcript{}
	o.Reporter = r
	hard := node("HardSigmoid", "p", "")
	hard.Attrs = []*onnx.Attr{onnx.AttrFloat("alpha", 0.02)}
	file := edited(t, demoTeacher, ending(hard))
	if _, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: file}, Latency: 1}, o); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(r.warned, "\n"); !strings.Contains(all, "lie between 0 and 1 on all of 20 images, as those of a sigmoid do: they look like probabilities") {
		t.Errorf("warned of %q", all)
	}
}
