package pipeline

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func TestMatchNames(t *testing.T) {
	for _, c := range []struct {
		name           string
		names, classes []string
		order          []int
		missing        []string
	}{
		{"the same", []string{"cat", "dog"}, []string{"cat", "dog"}, []int{0, 1}, nil},
		{"another order, and classes more", []string{"hen", "cat", "eel", "dog"}, []string{"cat", "dog", "hen"}, []int{1, 3, 0}, nil},
		{"another case and other gaps", []string{"Speed Limit", "give-way"}, []string{"give_way", "speed_limit"}, []int{1, 0}, nil},
		{"composed and decomposed", []string{"cafe\u0301", "thé"}, []string{"thé", "caf\u00e9"}, []int{1, 0}, nil},
		{"the case tells two apart", []string{"a", "A"}, []string{"A", "a"}, []int{1, 0}, nil},
		{"a name that could be either", []string{"a_b", "a-b"}, []string{"a b", "a-b"}, nil, []string{"a b"}},
		{"one of several names", []string{"goldfish, Carassius auratus", "tench, Tinca tinca"}, []string{"tench", "goldfish"}, []int{1, 0}, nil},
		{"two folders for one class", []string{"cat", "dog"}, []string{"cat", "Cat"}, nil, []string{"Cat"}},
		{"numbers as text", []string{"0", "1", "10", "2"}, []string{"0", "1", "2", "10"}, []int{0, 1, 3, 2}, nil},
		{"a class less", []string{"cat", "dog"}, []string{"cat", "dog", "hen"}, nil, []string{"hen"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			order, missing := matchNames(c.names, c.classes)
			if !slices.Equal(order, c.order) || !slices.Equal(missing, c.missing) {
				t.Errorf("got %v, %q, want %v, %q", order, missing, c.order, c.missing)
			}
		})
	}
}

// named is the demo's teacher with its classes called by other names.
func named(t *testing.T, key string, names []string) string {
	text, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return edited(t, demoTeacher, func(m *onnx.Model) {
		m.Metadata = slices.DeleteFunc(m.Metadata, func(kv onnx.KeyValue) bool { return kv.Key == MetaClasses })
		m.SetMeta(key, string(text))
	})
}

// digitsCalled are the tiny run's images with their classes called by other
// names, label i by classes[i].
func digitsCalled(t *testing.T, classes []string) Options {
	_, o := tinyRun(t)
	part := func(s *data.Split) (m data.Memory) {
		h, w, c := s.Shape()
		m.Pixels = make([]uint8, s.Len()*h*w*c)
		for i := range s.Len() {
			if err := s.Read(i, m.Pixels[i*h*w*c:(i+1)*h*w*c]); err != nil {
				t.Fatal(err)
			}
			m.Labels = append(m.Labels, s.Label(i))
		}
		return m
	}
	set, err := data.FromMemory(data.MemorySet{
		Classes: classes, H: o.Data.H, W: o.Data.W, C: o.Data.C,
		Train: part(o.Data.Train), Val: part(o.Data.Val), Test: part(o.Data.Test),
	})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Data: set}
}

var words = []string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}

func TestSettleClasses(t *testing.T) {
	turned := slices.Concat(words[3:], words[:3]) // a teacher's class 0 is the data's class 3
	order := []int{7, 8, 9, 0, 1, 2, 3, 4, 5, 6}
	for _, c := range []struct {
		name, key   string
		names       []string
		asked       []int
		want        []int
		said, warns string
		err         []string
	}{
		{"the same names", MetaClasses, words, nil, nil, "", "", nil},
		{"the same names in another order", MetaClasses, turned, nil, order, "by name, are its 7, 8, 9, 0", "", nil},
		{"another program's, in another order", "names", turned, nil, order, `metadata "names"`, "", nil},
		{"the user knows better", "names", turned, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "", "", nil},
		{"other names", "names", strings.Fields("a b c d e f g h i j"), nil, nil, "", "they have no name in common", nil},
		{"other names in our own file", MetaClasses, strings.Fields("a b c d e f g h i j"), nil, nil, "", "", []string{"a, b, c", "zero, one, two", "teacher.classes"}},
		{"some other names", "names", append([]string{"oh"}, words[1:]...), nil, nil, "", "", []string{"does not have zero", "teacher.classes"}},
		{"fewer names than scores", "names", words[:4], nil, nil, "", "10 scores but names 4 classes", nil},
		{"too few classes picked", "author", words, []int{1, 2}, nil, "", "", []string{"picks 2 classes", "10 (zero, one"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := digitsCalled(t, words)
			options := TeacherConfig{Classes: c.asked}.session(o.Data, ResourcesConfig{})
			options.Map = teachers.MapNone
			session, err := teachers.Open(named(t, c.key, c.names), options)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			r := &transcript{}
			got, err := settleClasses(session, o.Data.Classes, r)
			if (err != nil) != (c.err != nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.err {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
			if err != nil {
				return
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if d := cmp.Diff(c.want, session.Spec().ClassOrder); d != "" {
				t.Errorf("in use, -want +got:\n%s", d)
			}
			for what, l := range map[string][2][]string{"said": {r.said, {c.said}}, "warned": {r.warned, {c.warns}}} {
				text, want := strings.Join(l[0], "\n"), l[1][0]
				if (text == "") != (want == "") || !strings.Contains(text, want) {
					t.Errorf("%s %q, want %q", what, text, want)
				}
			}
		})
	}
}

// A teacher that numbers its classes in another way than the folders sort is
// read by its names, wherever it is read; its accuracy shows that.
func TestClassesAreMappedByName(t *testing.T) {
	order := []int{3, 1, 4, 0, 5, 9, 2, 6, 8, 7} // data class i is the digit order[i]
	classes := make([]string, 10)
	for i, digit := range order {
		classes[i] = words[digit]
	}
	o := digitsCalled(t, classes)
	model := named(t, "names", words)
	for _, s := range []*data.Split{o.Data.Train, o.Data.Val, o.Data.Test} {
		if s.Len() == 0 {
			t.Fatal("no images")
		}
	}
	// The labels are still the digits, so the accuracy is that of a wrong mapping:
	// only a digit that stays where it is can be right.
	e, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: model}, Latency: 1}, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range e.Confusion {
		for j, n := range row {
			if n > 1 && order[j] != i {
				t.Errorf("%d images of digit %d are taken for %s", n, i, classes[j])
			}
		}
	}
	c, _ := tinyRun(t)
	c.Teacher.Path, c.Training.Epochs = model, 1
	r := &transcript{}
	o.Reporter = r
	folder, _ := runStudent(t, c, o)
	saved, err := ReadConfig(filepath.Join(string(folder), "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(saved.Teacher.Classes, order) {
		t.Errorf("the run folder has the teacher's classes %v, want %v", saved.Teacher.Classes, order)
	}
	if said := r.line(t, "classes"); !strings.Contains(said, "3, 1, 4, 0") {
		t.Error(said)
	}
}

// The number of classes is compared before presets are tried, which would fail
// one by one.
func TestClassesAreCountedFirst(t *testing.T) {
	_, o := tinyRun(t)
	silent := edited(t, demoTeacher, func(m *onnx.Model) {
		nineClasses(m)
		m.Metadata = nil
	})
	c, _ := tinyRun(t)
	c.Teacher.Path = silent
	c.Resources.Cache = t.TempDir()
	for name, do := range map[string]func(Options) error{
		"train": func(o Options) error {
			_, err := Train(t.Context(), c, Folder(filepath.Join(t.TempDir(), "run")), o)
			return err
		},
		"signals": func(o Options) error { return RecordSignals(t.Context(), c, o) },
		"eval": func(o Options) error {
			_, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: silent}}, o)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Reporter = &transcript{progress: func(what string, _, _ int) {
				if strings.Contains(what, "preprocess") {
					t.Errorf("%s", what)
				}
			}}
			err := do(o)
			if err == nil || strings.Count(err.Error(), "has 9 classes, the data has 10") != 1 || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("verify, where no labels are theirs", func(t *testing.T) {
		_, err := Verify(t.Context(), VerifyConfig{A: TeacherConfig{Path: silent}, B: TeacherConfig{Path: silent}}, o)
		if err == nil || !strings.Contains(err.Error(), "without labels of its classes") {
			t.Errorf("got %v", err)
		}
	})
}
