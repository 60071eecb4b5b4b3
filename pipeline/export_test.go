package pipeline

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/zoo"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// exported are students of every family of the zoo, on images that are no
// square and of either number of channels, with the opsets they are written in.
var exported = []struct {
	name  string
	image student.Shape
}{
	{"wrn-10-0.5", student.Shape{H: 12, W: 16, C: 3}},
	{"wrn-16-2", student.Shape{H: 16, W: 16, C: 1}},
	{"resnet-8", student.Shape{H: 12, W: 16, C: 3}},
	{"mobilenetv2-0.35", student.Shape{H: 16, W: 12, C: 3}},
}

var exportOpsets = []int64{13, 15, 17, 19, 21}

// drawn is a student whose every parameter, running statistics too, is as
// uneven as after training.
func drawn(t *testing.T, name string, image student.Shape) *student.Model {
	t.Helper()
	a, err := zoo.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := student.New(a, student.Spec{Image: image, Classes: 7}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 13))
	for _, p := range m.Params() {
		v := p.Value.Float32s()
		for i := range v {
			v[i] *= 0.75 + r.Float32()/2 // what is 1, scales and variances, stays positive
			if v[i] == 0 {
				v[i] = r.Float32() / 4
			}
		}
	}
	return m
}

// noiseImages is a batch of random images.
func noiseImages(image student.Shape, n int) labelled {
	r := rand.New(rand.NewPCG(1, 2))
	b := data.Batch{
		Pixels: make([]uint8, n*image.H*image.W*image.C), N: n, H: image.H, W: image.W, C: image.C,
		Labels: make([]int, n), Samples: make([]uint64, n),
	}
	for i := range b.Pixels {
		b.Pixels[i] = uint8(r.IntN(256))
	}
	return labelled{batches: []data.Batch{b}, n: n}
}

// agree opens an exported file in ONNX Runtime and compares it with the student
// it was made from.
func agree(t *testing.T, m *student.Model, x *onnx.Model, limit float64) Parity {
	t.Helper()
	spec := preprocess.Spec{Scale: 1.0 / 255, Mean: []float64{0.5}, Std: []float64{0.25}}
	spec.Attach(x)
	path := filepath.Join(t.TempDir(), "student.onnx")
	if err := x.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	session, err := teachers.Open(path, teachers.Options{Map: teachers.MapNone})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	normalizer, err := spec.Normalizer(m.Spec().Image.C)
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := NewScorer(m, 5, normalizer)
	if err != nil {
		t.Fatal(err)
	}
	defer scorer.Close()
	p, err := compare(scorer, session, noiseImages(m.Spec().Image, 5), limit)
	if err != nil {
		t.Fatal(err)
	}
	if !p.ok() {
		t.Errorf("the file and the student differ: %v", p)
	}
	return p
}

// TestEveryStudentRunsAtEveryOpset exports each family in each opset, with the
// least IR version it needs, and compares with the student itself.
func TestEveryStudentRunsAtEveryOpset(t *testing.T) {
	families := map[string]bool{}
	for _, name := range zoo.Names() {
		family, _, _ := strings.Cut(name, "-")
		families[family] = true
	}
	worst := 0.0
	for _, c := range exported {
		family, _, _ := strings.Cut(c.name, "-")
		delete(families, family)
		m := drawn(t, c.name, c.image)
		for _, opset := range exportOpsets {
			t.Run(fmt.Sprintf("%s/opset %d", c.name, opset), func(t *testing.T) {
				x, err := m.Export(student.ExportOptions{Opset: opset, IR: onnx.MinIR(opset)})
				if err != nil {
					t.Fatal(err)
				}
				if x.Opset() != opset || x.IRVersion != onnx.MinIR(opset) {
					t.Errorf("opset %d and IR %d were written", x.Opset(), x.IRVersion)
				}
				computesNothingConstant(t, x)
				worst = max(worst, agree(t, m, x, parityLimit).MaxDifference)
			})
		}
		t.Run(c.name+"/half precision", func(t *testing.T) {
			x, err := m.Export(student.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			whole, err := x.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if x, err = m.Export(student.ExportOptions{Half: true}); err != nil {
				t.Fatal(err)
			}
			half, err := x.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if share := float64(len(half)) / float64(len(whole)); share > 0.75 {
				t.Errorf("the file has %.0f %% of its size", 100*share)
			}
			if p := agree(t, m, x, halfParityLimit); p.MaxDifference < 1e-6 {
				t.Errorf("weights of 11 bits change the logits by %.1e only", p.MaxDifference)
			}
			// The file is a student again, of just these weights.
			again, err := student.ImportModel(x, student.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			agree(t, again.Model, x, parityLimit)
		})
	}
	for family := range families {
		t.Errorf("no student of the family %s is exported", family)
	}
	t.Logf("largest difference, relative to the largest logit: %.1e", worst)
}

// computesNothingConstant fails where a node has only constant operands: its
// result could be in the file.
func computesNothingConstant(t *testing.T, m *onnx.Model) {
	t.Helper()
	constant := map[string]bool{"": true}
	for _, c := range m.Graph.Initializers {
		constant[c.Name] = true
	}
	for _, n := range m.Graph.Nodes {
		if !slices.ContainsFunc(n.Inputs, func(in string) bool { return !constant[in] }) {
			t.Errorf("%v computes a constant from %v", n, n.Inputs)
			constant[n.Outputs[0]] = true
		}
	}
}

func TestAnExportNeedsTheIROfItsOpset(t *testing.T) {
	m := drawn(t, "wrn-10-0.5", student.Shape{H: 8, W: 8, C: 1})
	for _, opset := range exportOpsets {
		least := onnx.MinIR(opset)
		_, err := m.Export(student.ExportOptions{Opset: opset, IR: least - 1})
		if want := fmt.Sprintf("opset %d needs IR version %d or later, got %d", opset, least, least-1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		x, err := m.Export(student.ExportOptions{Opset: opset})
		if err != nil {
			t.Fatal(err)
		}
		if x.IRVersion != max(8, least) {
			t.Errorf("opset %d: IR %d is chosen", opset, x.IRVersion)
		}
		c := Default()
		c.Data.Path = "x"
		c.Export = ExportConfig{Opset: opset, IR: least - 1}
		want := fmt.Sprintf("export.ir is at least %d for opset %d, got %d", least, opset, least-1)
		if least == 7 {
			want = "export.ir lies between 7 and 10, got 6"
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if c.Export.SetOpset(opset); c.Export.IR != least || c.Validate() != nil {
			t.Errorf("opset %d set: %+v, %v", opset, c.Export, c.Validate())
		}
	}
}

// TestExportOfARun exports one run in the ways there are.
func TestExportOfARun(t *testing.T) {
	c, o := tinyRun(t)
	c.Training.Epochs = 1
	c.Export.FP16 = true
	folder, final := runStudent(t, c, o)
	if final.Parity.Limit != halfParityLimit || !final.Parity.ok() {
		t.Errorf("half precision was measured as %v", final.Parity)
	}
	halved := func(path string) bool {
		t.Helper()
		m, err := onnx.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(m.Graph.Initializers, func(c *onnx.Tensor) bool { return c.Type == onnx.Float16 })
	}
	if !halved(folder.Student()) {
		t.Error("export.fp16 of the configuration has no effect")
	}
	if saved, err := folder.readConfig(); err != nil || !saved.Export.FP16 {
		t.Errorf("config.yaml has %+v, %v", saved.Export, err)
	}
	for _, e := range []struct {
		give  ExportConfig
		opset int64
		ir    int64
		err   string
	}{
		{give: ExportConfig{}, opset: 17, ir: 8},
		{give: ExportConfig{Opset: 13}, opset: 13, ir: 8},
		{give: ExportConfig{Opset: 13, IR: 7}, opset: 13, ir: 7},
		{give: ExportConfig{Opset: 21}, opset: 21, ir: 10},
		{give: ExportConfig{IR: 10}, opset: 17, ir: 10},
		{give: ExportConfig{Opset: 19, IR: 8}, err: "export.ir is at least 9 for opset 19, got 8"},
		{give: ExportConfig{IR: 7}, err: "export.ir is at least 8 for opset 17, got 7"},
	} {
		path := filepath.Join(t.TempDir(), "student.onnx")
		_, err := Export(t.Context(), folder, path, e.give, o)
		if e.err != "" {
			if _, stat := os.Stat(path); err == nil || !strings.Contains(err.Error(), e.err) || stat == nil {
				t.Errorf("%+v: got %v, want %q and no file", e.give, err, e.err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m, err := onnx.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if m.Opset() != e.opset || m.IRVersion != e.ir || !halved(path) {
			t.Errorf("%+v: opset %d, IR %d, half %v", e.give, m.Opset(), m.IRVersion, halved(path))
		}
	}
}

// A weight that float16 cannot hold stops the export, which names it.
func TestExportRefusesAWeightBeyondHalfPrecision(t *testing.T) {
	c, o := tinyRun(t)
	c.Training.Epochs = 1
	folder, _ := runStudent(t, c, o)
	best, err := safetensors.Read(folder.Best())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(best.Tensors, func(w safetensors.Tensor) bool { return w.Name == "conv/weight" })
	w := best.Tensors[i]
	v, err := w.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	v[5] = 1e6
	best.Tensors[i] = safetensors.FromFloat32s(w.Name, w.Shape, v)
	if err := safetensors.Write(folder.Best(), best); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "student.onnx")
	_, err = Export(t.Context(), folder, path, ExportConfig{FP16: true}, o)
	if err == nil || !strings.Contains(err.Error(), `tensor "conv/weight" cannot be kept in half precision`) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file was written")
	}
}

// Folders in which killed exports tried their students go after a day; what is
// younger, or not theirs, stays.
func TestWhatKilledExportsLeaveIsSwept(t *testing.T) {
	c, o := tinyRun(t)
	c.Training.Epochs = 1
	run, _ := runStudent(t, c, o)
	folder := t.TempDir()
	for name, age := range map[string]time.Duration{".verify-1": 25 * time.Hour, ".verify-2": time.Hour, ".verify-mine": 25 * time.Hour, ".verify-3": 25 * time.Hour} {
		path := filepath.Join(folder, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		file := candidateName
		if name == ".verify-3" {
			file = "notes.txt"
		}
		if err := os.WriteFile(filepath.Join(path, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Export(t.Context(), run, filepath.Join(folder, "student.onnx"), ExportConfig{}, o); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{".verify-2", ".verify-3", ".verify-mine", "student.onnx"}; !slices.Equal(left, want) {
		t.Errorf("the folder holds %q, want %q", left, want)
	}
	if _, err := os.Stat(filepath.Join(folder, ".verify-3", "notes.txt")); err != nil {
		t.Error(err)
	}
}
