package pipeline

import (
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// What is wrong with a model is said before images are read.
func TestModelsAreCheckedBeforeImages(t *testing.T) {
	dir := folderOfDigits(t, nil)
	gone := filepath.Join(t.TempDir(), "gone.onnx")
	nine := edited(t, demoTeacher, func(m *onnx.Model) {
		nineClasses(m)
		m.Metadata = nil
	})
	train := func(teacher, student string) func(Options) error {
		return func(o Options) error {
			c, _ := tinyRun(t)
			c.Data.Path, c.Teacher.Path, c.Student.Architecture = dir, teacher, student
			_, err := Train(t.Context(), c, Folder(filepath.Join(t.TempDir(), "run")), o)
			return err
		}
	}
	eval := func(model TeacherConfig, d DataConfig) func(Options) error {
		d.Path = dir
		return func(o Options) error {
			_, err := Evaluate(t.Context(), EvaluateConfig{Model: model, Data: d, Latency: 1}, o)
			return err
		}
	}
	for _, c := range []struct {
		name string
		do   func(Options) error
		want string
	}{
		{"eval, no file", eval(TeacherConfig{Path: gone}, DataConfig{}), "gone.onnx"},
		{"eval, no such preprocessing", eval(TeacherConfig{Path: demoTeacher, Preprocess: "imagnet"}, DataConfig{}), "imagnet"},
		{"eval, another size", eval(TeacherConfig{Path: demoTeacher, Size: 7777}, DataConfig{}), "7777"},
		{"eval, other classes", eval(TeacherConfig{Path: nine}, DataConfig{}), "has 9 classes, the data has 10"},
		{"verify, no second file", func(o Options) error {
			_, err := Verify(t.Context(), VerifyConfig{A: TeacherConfig{Path: demoTeacher}, B: TeacherConfig{Path: gone}, Data: DataConfig{Path: dir}}, o)
			return err
		}, "gone.onnx"},
		{"train, no teacher", train(gone, "wrn-10-0.25"), "gone.onnx"},
		{"train, a teacher of other classes", train(nine, "wrn-10-0.25"), "has 9 classes, the data has 10"},
		{"train, no student", train(demoTeacher, gone), "gone.onnx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do(Options{Reporter: &transcript{progress: func(what string, done, _ int) {
				if what == "reading images" {
					t.Errorf("%d images are read", done)
				}
			}}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A model that leaves the size of its images open is checked as far as may be.
func TestAModelOfOpenSizeIsMeasuredAllTheSame(t *testing.T) {
	dir := folderOfDigits(t, nil)
	free := edited(t, demoTeacher, func(m *onnx.Model) {
		m.Graph.Inputs[0].Shape[2], m.Graph.Inputs[0].Shape[3] = onnx.Symbol("height"), onnx.Symbol("width")
		m.Graph.Values = nil
	})
	e, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: free}, Data: DataConfig{Path: dir}, Latency: 1}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Samples != 20 || e.Top1 < 0.8 {
		t.Errorf("%.2f on %d images", e.Top1, e.Samples)
	}
}

func TestEvaluateOnSomeSamples(t *testing.T) {
	dir := folderOfDigits(t, nil)
	for split, want := range map[string]int{"test": 10, "train": 10, "all": 10} {
		e, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: demoTeacher}, Data: DataConfig{Path: dir}, Split: split, Samples: 10, Seed: 1, Latency: 1}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if e.Samples != want {
			t.Errorf("%s: measured on %d images, want %d", split, e.Samples, want)
		}
		for class, row := range e.Confusion {
			n := 0
			for _, k := range row {
				n += k
			}
			if split == "test" && n != 1 {
				t.Errorf("%d images of class %d, want 1 of each", n, class)
			}
		}
	}
	if _, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: demoTeacher}, Samples: -1}, Options{}); err == nil {
		t.Error("a negative number of samples is measured on")
	}
}

// Who made a model fail is an image with a name, not a number.
func TestNaNNamesTheImage(t *testing.T) {
	broken := edited(t, demoTeacher, func(m *onnx.Model) {
		for i := range m.Graph.Initializers {
			w := m.Graph.Initializers[i]
			values, err := w.Float32s()
			if err != nil {
				continue
			}
			for j := range values {
				values[j] = float32(math.NaN())
			}
			m.Graph.Initializers[i] = onnx.Float32s(w.Name, w.Dims, values)
		}
	})
	named := regexp.MustCompile(`gives the logit NaN for image (test|val|train)/\d/\d+\.png`)
	dir := folderOfDigits(t, nil)
	for name, do := range map[string]func() error{
		"eval": func() error {
			_, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: broken}, Data: DataConfig{Path: dir}, Latency: 1}, Options{})
			return err
		},
		"verify": func() error {
			_, err := Verify(t.Context(), VerifyConfig{A: TeacherConfig{Path: demoTeacher}, B: TeacherConfig{Path: broken}, Data: DataConfig{Path: dir}}, Options{})
			return err
		},
		"train": func() error {
			c, _ := tinyRun(t)
			c.Data.Path, c.Teacher.Path, c.Loss.Attention.Beta = dir, broken, 0
			_, err := Train(t.Context(), c, Folder(filepath.Join(t.TempDir(), "run")), Options{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := do(); err == nil || !named.MatchString(err.Error()) {
				t.Errorf("got %v", err)
			}
		})
	}
}
