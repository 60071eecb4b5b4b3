package pipeline

import (
	"path/filepath"
	"strings"
	"testing"
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
