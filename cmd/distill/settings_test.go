package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func TestInFlags(t *testing.T) {
	app := newApp(nil, nil)
	for _, c := range []struct{ command, message, want string }{
		{"train", "name taps with teacher.taps, or set loss.attention.beta 0.", "name taps with --taps, or set --beta 0."},
		{"train", "say it with teacher.preprocess (student.preprocess is another)", "say it with --teacher-preprocess (--preprocess is another)"},
		{"eval", "say it with teacher.preprocess", "say it with --preprocess"},
		{"verify", "A.Preprocess or B.Preprocess.", "--preprocess or --preprocess-b."},
		{"inspect", "say it with Options.Size", "say it with --model-size"},
		{"eval", "name taps with teacher.taps", "name taps with teacher.taps"}, // it has no such flag
		{"train", `file "teacher.taps" in /data/teacher.taps and x.teacher.taps`, `file "teacher.taps" in /data/teacher.taps and x.teacher.taps`},
	} {
		if got := inFlags(app.Command(c.command), c.message); got != c.want {
			t.Errorf("%s: got %q, want %q", c.command, got, c.want)
		}
	}
}

// Pipeline lets the options of package pipeline stand beside those of teachers,
// which have the same name.
type Pipeline struct{ pipeline.Options }

// Every setting is one of a package's, and every flag it has is one of some
// command's.
func TestSettingsExist(t *testing.T) {
	options := map[string]any{"Options": struct {
		teachers.Options
		Pipeline
	}{}, "ImportOptions": student.ImportOptions{}, "A": pipeline.TeacherConfig{}, "B": pipeline.TeacherConfig{}}
	for setting, flags := range settings {
		of, name, _ := strings.Cut(setting, ".")
		if o, ok := options[of]; ok {
			if _, ok := reflect.TypeOf(o).FieldByName(name); !ok {
				t.Errorf("%s: %T has no field %s", setting, o, name)
			}
		} else if !hasKey(reflect.TypeOf(pipeline.Config{}), strings.Split(setting, ".")) {
			t.Errorf("config.yaml has no key %s", setting)
		}
		for _, name := range flags {
			found := false
			for _, c := range newApp(nil, nil).Commands {
				found = found || flagCalled(c, name) != ""
			}
			if !found {
				t.Errorf("%s: no command has a flag --%s", setting, name)
			}
		}
	}
}

// hasKey reports whether a configuration has a key, given by the parts of its
// path.
func hasKey(of reflect.Type, path []string) bool {
	if len(path) == 0 {
		return true
	}
	for i := range of.NumField() {
		f := of.Field(i)
		if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key == path[0] {
			return hasKey(f.Type, path[1:])
		}
	}
	return false
}
