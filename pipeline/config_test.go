package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func valid() Config {
	c := Default()
	c.Data.Path = "images"
	return c
}

func TestConfigSurvivesItsFile(t *testing.T) {
	want := valid()
	want.Teacher = TeacherConfig{Path: "t.onnx", Taps: []string{"a", "b"}, Preprocess: "imagenet", Classes: []int{1, 0}}
	want.Training.Seed = 1<<63 + 1
	b, err := want.YAML()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestParseConfigRefusesAnUnknownKeyByName(t *testing.T) {
	_, err := ParseConfig([]byte("training:\n  epocs: 3\n"))
	if err == nil || !strings.Contains(err.Error(), "epocs") {
		t.Errorf("got %v, want an error that names epocs", err)
	}
}

func TestParseConfigFillsInDefaults(t *testing.T) {
	c, err := ParseConfig([]byte("training:\n  epochs: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Training.Epochs = 3
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestValidate(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Fatalf("the default with a data path is refused: %v", err)
	}
	for _, c := range []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"no data", func(c *Config) { c.Data.Path = "" }, "data.path is empty"},
		{"a misspelt attention form prints the set", func(c *Config) { c.Loss.Attention.Form = "cod" }, `loss.attention.form is one of code, paper, got "cod"`},
		{"a misspelt map prints the set", func(c *Config) { c.Loss.Attention.Map = "mean" }, `sum, sum^p, max^p, got "mean"`},
		{"a misspelt schedule prints the set", func(c *Config) { c.Training.Schedule = "cos" }, `constant, step, cosine, one-cycle, got "cos"`},
		{"an unknown architecture", func(c *Config) { c.Student.Architecture = "vgg" }, "student.architecture"},
		{"alpha above one", func(c *Config) { c.Loss.Alpha = 1.5 }, "loss.alpha lies between 0 and 1, got 1.5"},
		{"opset out of range", func(c *Config) { c.Export.Opset = 7 }, "export.opset lies between 13 and 21, got 7"},
		{"taps that do not pair", func(c *Config) { c.Teacher.Taps, c.Student.Taps = []string{"a"}, []string{"x", "y"} }, "pairs one by one with the 1 teacher.taps, got 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := valid()
			c.spoil(&k)
			err := k.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	k := valid()
	k.Loss.Alpha, k.Training.Epochs = -1, 0
	if err := k.Validate(); err == nil || !strings.Contains(err.Error(), "alpha") || !strings.Contains(err.Error(), "epochs") {
		t.Errorf("of two faults got only %v", err)
	}
}
