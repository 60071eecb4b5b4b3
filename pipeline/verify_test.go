package pipeline

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// edited writes a copy of a model with a change to it and returns its path.
func edited(t *testing.T, path string, change func(m *onnx.Model)) string {
	t.Helper()
	m, err := onnx.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	if err := onnx.Check(m); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "edited.onnx")
	if err := m.WriteFile(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// ending appends nodes behind a model's only output, which is called again as
// it was.
func ending(nodes ...*onnx.Node) func(*onnx.Model) {
	return func(m *onnx.Model) {
		out := m.Graph.Outputs[0].Name
		m.Graph.Outputs[0].Name = nodes[len(nodes)-1].Outputs[0]
		nodes[0].Inputs[0] = out
		m.Graph.Nodes = append(m.Graph.Nodes, nodes...)
		m.Graph.Values = nil
	}
}

func node(op string, out string, in ...string) *onnx.Node {
	return &onnx.Node{Op: op, Inputs: in, Outputs: []string{out}}
}

// softmax is one that is recognised, hidden one that is not.
func softmax() func(*onnx.Model) { return ending(node("Softmax", "p", "")) }

func hidden() func(*onnx.Model) {
	sum := node("ReduceL1", "sum", "exp")
	sum.Attrs = []*onnx.Attr{onnx.AttrInts("axes", 1), onnx.AttrInt("keepdims", 1)}
	return ending(node("Exp", "exp", ""), sum, node("Div", "p", "exp", "sum"))
}

// bias adds the given numbers to the last layer's, in place of its own data.
func bias(t *testing.T, add ...float32) func(*onnx.Model) {
	return func(m *onnx.Model) {
		last := m.Graph.Producer(m.Graph.Outputs[0].Name)
		b := m.Graph.Initializer(last.Inputs[2])
		v, err := b.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range add {
			v[i] += a
		}
		b.Data = onnx.Float32s("", b.Dims, v).Data
	}
}

// nineClasses leaves out the last class of the demo's teacher.
func nineClasses(m *onnx.Model) {
	last := m.Graph.Producer(m.Graph.Outputs[0].Name)
	for _, in := range last.Inputs[1:] {
		w := m.Graph.Initializer(in)
		w.Data = w.Data[:len(w.Data)/10*9]
		w.Dims[0] = 9
	}
	m.Graph.Outputs[0].Shape[1] = onnx.Fixed(9)
	m.Graph.Values = nil
}

const (
	smallTeachers = "../testdata/teachers/"
	cifarData     = "../testdata/data/cifar-10-binary.tar.gz"
)

func verify(t *testing.T, c VerifyConfig) *Verification {
	t.Helper()
	_, o := tinyRun(t)
	v, err := Verify(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifyOneModelAgainstItself(t *testing.T) {
	v := verify(t, VerifyConfig{A: TeacherConfig{Path: demoTeacher}, B: TeacherConfig{Path: demoTeacher}})
	if v.Samples != 20 || v.SameTop1 != 20 || v.MaxDifference != 0 || v.RelativeDifference != 0 || v.Worst != "" || v.Compared != ComparedLogits {
		t.Errorf("got %+v", v)
	}
	// The demo's teacher is right on 98 % of such digits.
	for _, m := range []Verified{v.A, v.B} {
		if m.Top1 == nil || *m.Top1 < 0.8 || m.Path != demoTeacher || m.Bytes != 2777957 || len(m.SHA256) != 64 || m.Logits != teachers.LogitsOutput {
			t.Errorf("got %+v", m)
		}
	}
}

func TestVerifyTellsModelsApart(t *testing.T) {
	original := TeacherConfig{Path: demoTeacher}
	for _, c := range []struct {
		name          string
		change        func(*onnx.Model)
		compared      string
		least, most   float64 // of MaxDifference
		relative      float64 // most of RelativeDifference
		sameTop1      int     // least
		worseAccuracy bool
	}{
		{"a softmax more is left off again", softmax(), ComparedLogits, 0, 0, 0, 20, false},
		// A logarithm of probabilities loses what the softmax rounded off.
		{"probabilities are compared by their logarithms", hidden(), ComparedLogP, 0, 1e-4, 1e-5, 20, false},
		{"a class raised by a half", bias(t, 0.5), ComparedLogits, 0.5 - 1e-4, 0.5 + 1e-4, 0.1, 10, false},
		{"a class raised above all", bias(t, 0, 100), ComparedLogits, 100 - 1e-4, 100 + 1e-4, 1, 1, true},
		{"weights in half precision", func(m *onnx.Model) {
			if n, err := m.HalfWeights(); n == 0 || err != nil {
				t.Fatal(n, err)
			}
		}, ComparedLogits, 1e-6, 0.1, halfParityLimit, 19, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := verify(t, VerifyConfig{A: original, B: TeacherConfig{Path: edited(t, demoTeacher, c.change)}})
			if v.Compared != c.compared || v.MaxDifference < c.least || v.MaxDifference > c.most || v.RelativeDifference > c.relative {
				t.Errorf("compared %s, off by %v, %v relative; want %s, %v to %v, at most %v",
					v.Compared, v.MaxDifference, v.RelativeDifference, c.compared, c.least, c.most, c.relative)
			}
			if (v.Worst != "") != (v.MaxDifference > 0) {
				t.Errorf("off by %v at %q", v.MaxDifference, v.Worst)
			}
			if v.SameTop1 < c.sameTop1 || c.worseAccuracy == (v.SameTop1 == v.Samples) {
				t.Errorf("%d of %d with the same class first", v.SameTop1, v.Samples)
			}
			if c.worseAccuracy != (*v.B.Top1 < *v.A.Top1) {
				t.Errorf("accuracies %v and %v", *v.A.Top1, *v.B.Top1)
			}
		})
	}
}

// The worst sample must be the one whose logits are farthest apart, here found
// by asking both models by hand.
func TestVerifyMeasuresTheWorstSample(t *testing.T) {
	_, o := tinyRun(t)
	other := edited(t, demoTeacher, func(m *onnx.Model) {
		w := m.Graph.Initializer(m.Graph.Producer(m.Graph.Outputs[0].Name).Inputs[1])
		v, err := w.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		v[3] *= 1.5
		w.Data = onnx.Float32s("", w.Dims, v).Data
	})
	v := verify(t, VerifyConfig{A: TeacherConfig{Path: demoTeacher}, B: TeacherConfig{Path: other}, Split: "all", Batch: 7})
	if v.Samples != 100 {
		t.Errorf("%d samples, want 100", v.Samples)
	}
	worst, most, largest := "", 0.0, 0.0
	a := open(t, demoTeacher, o.Data)
	b := open(t, other, o.Data)
	for _, split := range []*data.Split{o.Data.Train, o.Data.Val, o.Data.Test} {
		all, err := takeEvenly(t.Context(), split, split.Len())
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for _, batch := range all.batches {
			x, y := ask(t, a, batch), ask(t, b, batch)
			for k := range x {
				largest = max(largest, math.Abs(float64(x[k])), math.Abs(float64(y[k])))
				if d := math.Abs(float64(x[k]) - float64(y[k])); d > most {
					worst, most = split.Sample(i+k/10), d
				}
			}
			i += batch.N
		}
	}
	if v.Worst != worst || math.Abs(v.MaxDifference-most) > 1e-4*most || math.Abs(v.RelativeDifference-most/largest) > 1e-4*most/largest {
		t.Errorf("off by %v, %v relative, at %q, want %v, %v, at %q", v.MaxDifference, v.RelativeDifference, v.Worst, most, most/largest, worst)
	}
}

func open(t *testing.T, path string, set *data.Set) *teachers.Session {
	t.Helper()
	o := TeacherConfig{}.session(set, ResourcesConfig{})
	o.Map = teachers.MapNone
	s, err := teachers.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ask(t *testing.T, s *teachers.Session, b data.Batch) []float32 {
	t.Helper()
	out, err := s.Signals(teacherBatch(b))
	if err != nil {
		t.Fatal(err)
	}
	return out.Logits
}

// The fixtures are one classifier of five classes in several disguises; CIFAR's
// ten classes say nothing of them, and neither do their files of preprocessing.
func TestVerifyFilesOfOneFunction(t *testing.T) {
	for _, c := range []struct {
		a, b string
		most float64
	}{
		{"cnn_opset11.onnx", "cnn_opset17.onnx", 0},
		{"cnn_opset13.onnx", "fixed_batch.onnx", 0},
		{"cnn_opset13.onnx", "hidden_softmax.onnx", 1e-6},
		{"nhwc_inside.onnx", "cnn_opset13.onnx", 1e-5},
		{"nhwc_softmax.onnx", "uint8.onnx", 1e-4},
		{"cnn_opset13.onnx", "nhwc_softmax.onnx", 1e-4},
	} {
		t.Run(c.a+" "+c.b, func(t *testing.T) {
			asked := "cifar10"
			if c.b == "uint8.onnx" {
				asked = "raw" // it normalises its bytes itself
			}
			v, err := Verify(t.Context(), VerifyConfig{
				A:    TeacherConfig{Path: smallTeachers + c.a, Preprocess: "cifar10"},
				B:    TeacherConfig{Path: smallTeachers + c.b, Preprocess: asked},
				Data: DataConfig{Path: cifarData, Validation: 0.1},
			}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if v.Samples != 10 || v.RelativeDifference > c.most || v.SameTop1 != 10 {
				t.Errorf("got %+v", v)
			}
			if v.A.Top1 != nil || v.B.Top1 != nil || len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "airplane") || !strings.Contains(v.Notes[0], "no accuracy") {
				t.Errorf("accuracies %v and %v of other classes, notes %q", v.A.Top1, v.B.Top1, v.Notes)
			}
		})
	}
}

// A file that leaves the size of its images open takes what the other wants.
func TestVerifyTakesTheSizeThatOneOfThemFixes(t *testing.T) {
	fixed := smallTeachers + "cnn_opset13.onnx"
	free := edited(t, fixed, func(m *onnx.Model) {
		m.Graph.Inputs[0].Shape[2], m.Graph.Inputs[0].Shape[3] = onnx.Symbol("height"), onnx.Symbol("width")
		m.Graph.Values = nil
	})
	for _, paths := range [][2]string{{fixed, free}, {free, fixed}} {
		v := verify(t, VerifyConfig{A: TeacherConfig{Path: paths[0], Preprocess: "unit"}, B: TeacherConfig{Path: paths[1], Preprocess: "unit"}})
		// The runtime may plan a file of open size in another way.
		if v.RelativeDifference > 1e-6 || v.Samples != 20 {
			t.Errorf("%s against %s: off by %v on %d samples", paths[0], paths[1], v.MaxDifference, v.Samples)
		}
	}
}

// A mapping of classes says which label is which, whatever they are called.
func TestVerifyJudgesMappedClasses(t *testing.T) {
	renamed := edited(t, demoTeacher, func(m *onnx.Model) { m.SetMeta(MetaClasses, `["a","b","c","d","e","f","g","h","i","j"]`) })
	plain := TeacherConfig{Path: renamed}
	mapped := TeacherConfig{Path: renamed, Classes: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}
	v := verify(t, VerifyConfig{A: plain, B: mapped})
	if v.A.Top1 != nil || v.B.Top1 == nil || *v.B.Top1 < 0.8 || len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "not those of "+renamed) {
		t.Errorf("accuracies %v and %v, notes %q", v.A.Top1, v.B.Top1, v.Notes)
	}
}

func TestVerifySettlesPreprocessing(t *testing.T) {
	silent := edited(t, demoTeacher, func(m *onnx.Model) { m.Metadata = nil })
	for _, c := range []struct {
		name   string
		a, b   TeacherConfig
		pa, pb string // beginnings
		same   bool
		note   string
	}{
		{"the file says it", TeacherConfig{Path: demoTeacher}, TeacherConfig{Path: demoTeacher}, "mean=0.3733", "mean=0.3733", true, ""},
		{"the other file says it", TeacherConfig{Path: demoTeacher}, TeacherConfig{Path: silent}, "mean=0.3733", "mean=0.3733", true, "edited.onnx does not say how"},
		{"the other file says it, the other way", TeacherConfig{Path: silent}, TeacherConfig{Path: demoTeacher}, "mean=0.3733", "mean=0.3733", true, "edited.onnx does not say how"},
		{"the user says it", TeacherConfig{Path: demoTeacher, Preprocess: "unit"}, TeacherConfig{Path: demoTeacher, Preprocess: "unit"}, "unit", "unit", true, ""},
		{"the user says it of one", TeacherConfig{Path: demoTeacher}, TeacherConfig{Path: demoTeacher, Preprocess: "unit"}, "mean=0.3733", "unit", false, ""},
		{"it is tried", TeacherConfig{Path: silent}, TeacherConfig{Path: silent}, "", "", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := verify(t, VerifyConfig{A: c.a, B: c.b})
			if !strings.HasPrefix(v.A.Preprocess, c.pa) || !strings.HasPrefix(v.B.Preprocess, c.pb) || v.A.Preprocess == "auto" || v.B.Preprocess == "auto" {
				t.Errorf("a is fed %q and b %q, want %q and %q", v.A.Preprocess, v.B.Preprocess, c.pa, c.pb)
			}
			if c.same != (v.MaxDifference == 0) {
				t.Errorf("off by %v", v.MaxDifference)
			}
			if got := strings.Join(v.Notes, "; "); !strings.Contains(got, c.note) || c.note == "" && got != "" {
				t.Errorf("notes %q, want %q", got, c.note)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	small := func(name string) TeacherConfig {
		return TeacherConfig{Path: smallTeachers + name, Preprocess: "cifar10"}
	}
	demo := TeacherConfig{Path: demoTeacher}
	classes := func(names string) TeacherConfig {
		return TeacherConfig{Path: edited(t, demoTeacher, func(m *onnx.Model) { m.SetMeta(MetaClasses, names) })}
	}
	nine := TeacherConfig{Path: edited(t, demoTeacher, nineClasses)}
	for _, c := range []struct {
		name string
		c    VerifyConfig
		want []string
	}{
		{"images of other sizes", VerifyConfig{A: small("cnn_opset13.onnx"), B: demo}, []string{"images of 8x6x3", "of 32x32x3", "same images"}},
		{"another number of classes", VerifyConfig{A: demo, B: nine}, []string{"10 classes apart", "and " + nine.Path + " 9"}},
		{"classes of other names", VerifyConfig{A: classes(`["cat","dog"]`), B: classes(`["dog","cat"]`)}, []string{"cat, dog", "dog, cat", "in the same order"}},
		{"no such file", VerifyConfig{A: demo, B: TeacherConfig{Path: "nowhere.onnx"}}, []string{"nowhere.onnx"}},
		{"no such split", VerifyConfig{A: demo, B: demo, Split: "tset"}, []string{"test, val, train, all"}},
		{"less than no sample", VerifyConfig{A: demo, B: demo, Samples: -1}, []string{"-1 samples"}},
		{"a preprocessing that is none", VerifyConfig{A: demo, B: TeacherConfig{Path: demoTeacher, Preprocess: "imagnet"}}, []string{"imagnet"}},
		{"what takes bytes says nothing of what takes floats", VerifyConfig{A: TeacherConfig{Path: smallTeachers + "uint8.onnx"}, B: TeacherConfig{Path: smallTeachers + "nhwc_softmax.onnx"}}, []string{"nhwc_softmax.onnx does not say how its images are normalised"}},
		{"nobody knows the preprocessing", VerifyConfig{A: TeacherConfig{Path: smallTeachers + "cnn_opset13.onnx"}, B: TeacherConfig{Path: smallTeachers + "cnn_opset17.onnx"}}, []string{"cnn_opset13.onnx does not say how its images are normalised", "A.Preprocess"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, o := tinyRun(t)
			before := teachers.OpenSessions()
			_, err := Verify(t.Context(), c.c, o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
			if n := teachers.OpenSessions(); n != before {
				t.Errorf("%d sessions were left open", n-before)
			}
		})
	}
	_, o := tinyRun(t)
	empty, err := data.FromMemory(data.MemorySet{Classes: o.Data.Classes, H: 32, W: 32, C: 3, Train: data.Memory{Pixels: make([]uint8, 32*32*3), Labels: []int{0}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), VerifyConfig{A: demo, B: demo}, Options{Data: empty}); err == nil || !strings.Contains(err.Error(), "no test images") {
		t.Errorf("no images: %v", err)
	}
}

func TestThinTakesItsShareOfEachSplit(t *testing.T) {
	_, o := tinyRun(t)
	splits := []*data.Split{o.Data.Train, o.Data.Val, o.Data.Test} // 60, 20, 20
	for _, c := range []struct {
		n    int
		want []int
	}{
		{0, []int{60, 20, 20}}, {100, []int{60, 20, 20}}, {1000, []int{60, 20, 20}}, {50, []int{30, 10, 10}}, {11, []int{6, 2, 3}}, {1, []int{1}},
	} {
		var got []int
		for _, s := range thin(splits, c.n, 1) {
			got = append(got, s.Len())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d samples: %v of the splits, want %v", c.n, got, c.want)
		}
	}
	v := verify(t, VerifyConfig{A: TeacherConfig{Path: demoTeacher}, B: TeacherConfig{Path: demoTeacher}, Samples: 7})
	if v.Samples != 7 {
		t.Errorf("%d samples, want 7", v.Samples)
	}
}

func TestToLogP(t *testing.T) {
	logits := []float32{0, 0, 1000, 0, 200, -3}
	toLogP(logits, 2)
	for i, want := range []float64{-math.Ln2, -math.Ln2, 0, leastLogP, 0, leastLogP} {
		if math.Abs(float64(logits[i])-want) > 1e-5 {
			t.Errorf("number %d is %v, want %v", i, logits[i], want)
		}
	}
	if want := math.Log(0x1p-126); math.Abs(leastLogP-want) > 1e-8 {
		t.Errorf("the least is %v, want %v", leastLogP, want)
	}
}
