package pipeline

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// What was made of a file is said in one sentence, the same wherever it is
// opened: as teacher and as student, to record, to measure and to compare.
func TestEveryCommandSaysWhatWasMadeOfAFile(t *testing.T) {
	const want = `output "p" ends in a sigmoid; logits are taken before it`
	file := edited(t, demoTeacher, ending(node("Sigmoid", "p", "")))
	times := func(r *transcript) (n int) {
		for _, line := range r.said {
			if strings.Contains(line, want) {
				n++
			}
		}
		return n
	}

	c, o := tinyRun(t)
	r := &transcript{}
	o.Reporter = r
	c.Teacher.Path, c.Student = file, StudentConfig{Architecture: file, Preprocess: "auto"}
	c.Training.Augment.Views = 1
	c.Resources.Cache = filepath.Join(t.TempDir(), "signals")
	if err := RecordSignals(t.Context(), c, o); err != nil {
		t.Fatal(err)
	}
	if n := times(r); n != 2 {
		t.Errorf("of the teacher and the student it is said %d times:\n%s", n, strings.Join(r.said, "\n"))
	}

	*r = transcript{}
	e, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: file}, Latency: 1}, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := times(r); n != 1 || e.Reading != want || e.Top1 < 0.8 {
		t.Errorf("said %d times, read with %q, top-1 %v", n, e.Reading, e.Top1)
	}

	v := verify(t, VerifyConfig{A: TeacherConfig{Path: demoTeacher}, B: TeacherConfig{Path: file}})
	if v.A.Reading != "" || v.B.Reading != want || v.MaxDifference != 0 || v.Compared != ComparedLogits {
		t.Errorf("compared %s, off by %v; read with %q and %q", v.Compared, v.MaxDifference, v.A.Reading, v.B.Reading)
	}
}

// Probabilities that no known ending makes are read in one way by both doors: a
// student begins as the classifier that the file is, with the logits that a teacher
// of the file would teach.
func TestProbabilitiesOfNoKnownEndingAreLogitsAlike(t *testing.T) {
	const want = `holds probabilities and no softmax to take logits before was found; log p is used`
	for name, edit := range map[string]func(*onnx.Model){
		"float32": hidden(),
		"float16": func(m *onnx.Model) {
			hidden()(m)
			half := node("Cast", "half", "")
			half.Attrs = []*onnx.Attr{onnx.AttrInt("to", int64(onnx.Float16))}
			ending(half)(m)
			m.Graph.Outputs[0].Type = onnx.Float16
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := edited(t, demoTeacher, edit)
			c, o := tinyRun(t)
			r := &transcript{}
			o.Reporter = r
			c.Teacher.Path, c.Student = file, StudentConfig{Architecture: file, Preprocess: "auto"}
			c.Loss.Attention.Beta = 0
			u, err := prepare(t.Context(), c, o)
			if err != nil {
				t.Fatal(err)
			}
			defer u.close()
			said := strings.Join(r.said, "\n")
			if strings.Count(said, want) != 2 {
				t.Errorf("of the teacher and the student it is not said alike:\n%s", said)
			}
			session, err := u.openStudent(file)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			samples, err := takeEvenly(t.Context(), u.data.Val, 20)
			if err != nil {
				t.Fatal(err)
			}
			// Of half precision the student leaves out the rounding, and with it how
			// small the least probabilities are.
			p, err := compare(u.scorer, session, samples, parityLimit)
			if err != nil || p.SameTop1 != p.Samples || name == "float32" && !p.ok() {
				t.Errorf("student and teacher of one file: %v, %v", p, err)
			}
		})
	}
}
