package pipeline

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
)

func spec(t *testing.T, text string) preprocess.Spec {
	t.Helper()
	s, err := preprocess.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPreprocessingIsFound(t *testing.T) {
	p := newPalette(12, 9)
	set := p.set(t, 1200)
	imagenet := spec(t, "imagenet")
	for _, want := range []preprocess.Spec{
		spec(t, "unit"),
		spec(t, "raw,order=bgr"),
		spec(t, "mean=0.5,std=0.5"),
		spec(t, "cifar10").Swapped(),
		spec(t, "mean=0.4914,0.4822,0.4465,std=0.2023,0.1994,0.2010"),
		imagenet.Swapped(),
		spec(t, "mean=103.939,116.779,123.68,scale=1,order=bgr"),
	} {
		for _, order := range [][]int{nil, shuffled(12)} {
			t.Run(fmt.Sprintf("%v, order %v", want, order), func(t *testing.T) {
				session := open(t, p.teacher(t, want, order, 1), set)
				r := &transcript{}
				got, said, err := findPreprocess(t.Context(), session, "", "teacher.preprocess", &trialImages{split: set.Val}, r)
				if err != nil {
					t.Fatal(err)
				}
				if got.String() != want.String() || session.Spec().Preprocess.String() != want.String() {
					t.Errorf("found %v, want %v", got, want)
				}
				line := r.line(t, "auto")
				if !strings.Contains(line, "; next is ") || !strings.Contains(line, "labelled images") {
					t.Errorf("neither winner nor runner-up in %q", line)
				}
				if order == nil && said.top1(nil) < 0.8 {
					t.Errorf("right on %v", said.top1(nil))
				}
			})
		}
	}
}

// Red, green and blue in the other order of colours are the same as in another
// order of classes: the first is what a file is made with.
func TestAnotherOrderOfColoursIsNoOrderOfClasses(t *testing.T) {
	p := palette{colours: [][3]float64{{200, 50, 50}, {50, 200, 50}, {50, 50, 200}}, deviation: 20}
	set := p.set(t, 90)
	session := open(t, p.teacher(t, spec(t, "unit,order=bgr"), nil, 1), set)
	got, said, err := findPreprocess(t.Context(), session, "", "teacher.preprocess", &trialImages{split: set.Val}, Silent{})
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != "unit,order=bgr" || said.top1(nil) < 0.9 {
		t.Errorf("found %v, right on %v", got, said.top1(nil))
	}
}

func TestPresetsThatTieGetMoreSamples(t *testing.T) {
	// Greys are blind to the order of colours.
	p := newPalette(4, 30)
	for i := range p.colours {
		grey := 30.1 + 60.07*float64(i) // no sum of bytes lies halfway
		p.colours[i] = [3]float64{grey, grey, grey}
	}
	set := p.set(t, 1000)
	session := open(t, p.teacher(t, spec(t, "unit"), nil, 1), set)
	r := &transcript{}
	got, said, err := findPreprocess(t.Context(), session, "", "student.preprocess", &trialImages{split: set.Val}, r)
	if err != nil {
		t.Fatal(err)
	}
	line := r.line(t, "auto")
	if n := len(said.labels); n != 1000 || !strings.Contains(line, "too close to be sure: set student.preprocess if") || !strings.Contains(line, `"unit,order=bgr"`) || got.String() != "unit" {
		t.Errorf("%d samples, %q", n, line)
	}
}

func TestNoPresetCanBeRun(t *testing.T) {
	p := newPalette(4, 30)
	set := p.set(t, 40)
	session := open(t, p.teacher(t, preprocess.Spec{Scale: 1e-44}, nil, 1), set) // infinite weights
	_, _, err := findPreprocess(t.Context(), session, "", "teacher.preprocess", &trialImages{split: set.Val}, Silent{})
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "none of 14 preprocessings") {
		t.Errorf("got %v", err)
	}
}

func TestRounds(t *testing.T) {
	p := newPalette(2, 1)
	// The second number of samples is the first of 400, 10 a class and 2000 that
	// a round reaches.
	for _, c := range []struct{ samples, classes, total, enough int }{
		{20, 2, 20, 20}, {400, 2, 400, 400}, {500, 2, 500, 500}, {1600, 2, 1600, 400}, {9000, 2, 1600, 400}, {9000, 43, 1600, 800}, {9000, 1000, 2000, 2000},
	} {
		split := p.set(t, c.samples).Val
		at, enough := rounds(split, c.classes)
		flat := slices.Concat(at...)
		some := len(slices.Concat(at[:enough]...))
		sorted := slices.Sorted(slices.Values(flat))
		if len(flat) != c.total || some != c.enough || len(slices.Compact(sorted)) != c.total || sorted[len(sorted)-1] >= c.samples {
			t.Errorf("%d samples of %d classes: %d in all, %d are enough; want %d, %d", c.samples, c.classes, len(flat), some, c.total, c.enough)
		}
	}
}

// Training and measuring see the same samples, though measuring opens the test
// part alone.
func TestTrainAndEvalFindTheSamePreprocessing(t *testing.T) {
	p := newPalette(6, 25)
	names := make([]string, 6)
	for i := range names {
		names[i] = fmt.Sprintf("colour%d", i)
	}
	set, err := data.FromMemory(data.MemorySet{
		Classes: names, H: paletteSize, W: paletteSize, C: 3, Train: p.images(1, 120), Test: p.images(3, 60),
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "images")
	if err := data.WriteFolder(dir, set); err != nil {
		t.Fatal(err)
	}
	model := p.teacher(t, spec(t, "cifar10").Swapped(), nil, 1)
	c := Default()
	c.Data.Path, c.Teacher.Path, c.Student.Architecture = dir, model, "wrn-10-0.25"
	c.Training.Augment.Pad, c.Loss.Attention.Beta, c.Training.Epochs, c.Training.Batch, c.Data.Validation = 0, 0, 1, 20, 0.5
	trained, measured := &transcript{}, &transcript{}
	runStudent(t, c, Options{Reporter: trained})
	if _, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: model}, Data: c.Data, Seed: c.Training.Seed, Latency: 1}, Options{Reporter: measured}); err != nil {
		t.Fatal(err)
	}
	if a, b := trained.line(t, "auto"), measured.line(t, "auto"); a != b {
		t.Errorf("training says\n%s\nand measuring\n%s", a, b)
	}
}
