package pipeline

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func TestGradientReportWritesWhatItFound(t *testing.T) {
	report, err := teachers.Inspect(demoTeacher, teachers.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := InspectGradient(t.Context(), demoTeacher, report, "", "")
	if !r.Possible || r.Problem != "" || r.Operator != "" {
		t.Fatalf("got %+v", r)
	}
	path := filepath.Join(t.TempDir(), "j.onnx")
	if err := r.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	j, err := onnx.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(j.Graph.Nodes) != r.Nodes {
		t.Errorf("the file has %d nodes, the report %d", len(j.Graph.Nodes), r.Nodes)
	}
	m, err := onnx.ReadFile(demoTeacher)
	if err != nil {
		t.Fatal(err)
	}
	want, err := student.GradientModel(m, student.GradientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, read(t, path)) {
		t.Error("the file holds another model than the teacher's gradient")
	}

	uint8s := "../testdata/teachers/uint8.onnx"
	if report, err = teachers.Inspect(uint8s, teachers.InspectOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := InspectGradient(t.Context(), uint8s, report, "", ""); r.Possible || !strings.Contains(r.Problem, "uint8") || r.WriteFile(path) == nil {
		t.Errorf("of bytes: got %+v", r)
	}
}

func TestGradientUnits(t *testing.T) {
	// x_T = (byte, blue first), x_S = byte/255/std: ∂/∂x_S = ∂/∂x_T · 255·std.
	u, err := NewGradientUnits(preprocess.Spec{Scale: 1, Order: preprocess.BGR}, preprocess.Spec{Scale: 1.0 / 255, Std: []float64{0.5, 0.25, 0.2}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 6)
	u.convert(got, []float32{1, 2, 3, 4, 5, 6})
	want := []float32{3 * 255 * 0.5, 2 * 255 * 0.25, 1 * 255 * 0.2, 6 * 255 * 0.5, 5 * 255 * 0.25, 4 * 255 * 0.2}
	for i := range want {
		if !(math.Abs(float64(got[i]-want[i])) <= 1e-6*6*255*0.5) { // of the largest
			t.Errorf("got %v, want %v", got, want)
			break
		}
	}
	GradientUnits{}.convert(got, want)
	if !slices.Equal(got, want) {
		t.Errorf("no units: got %v, want %v", got, want)
	}
}

// gradientRun is viewedRun with gradient-based attention beside all else.
func gradientRun(t *testing.T) (Config, Options) {
	c, o := viewedRun(t)
	c.Training.Epochs = 3
	c.Loss.GradientBeta = 0.1
	return c, o
}

func TestGradientTransferTeachesAndIsRecorded(t *testing.T) {
	c, o := gradientRun(t)
	c.Teacher.Precision = "float32"
	c.Resources.Cache = NoCache
	folder, _ := runStudent(t, c, o)
	epochs, _, err := folder.readMetrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range epochs {
		if !(e.Loss["gradient"] > 0) {
			t.Errorf("epoch %d: the term is %v", e.Epoch, e.Loss["gradient"])
		}
	}
	want := read(t, folder.Student())

	c.Resources.Cache = filepath.Join(t.TempDir(), "signals")
	recording, _ := runStudent(t, c, o)
	replayed, _ := runStudent(t, c, o)
	for name, f := range map[string]Folder{"recorded": recording, "replayed": replayed} {
		if !bytes.Equal(want, read(t, f.Student())) {
			t.Errorf("%s gradients gave another student", name)
		}
	}

	c.Loss.GradientBeta = 0
	without, _ := runStudent(t, c, o)
	if bytes.Equal(want, read(t, without.Student())) {
		t.Error("gradient transfer taught nothing")
	}
}
