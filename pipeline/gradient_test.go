package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// sameGradient is how far our gradient may lie from PyTorch's in float64, in parts
// of the largest element or of a sample's length.
const sameGradient = 1e-4

// gradientGolden is what testdata/networks/golden.json says of the gradient by
// three images, of which image i has the label i.
type gradientGolden struct {
	Name          string
	Height, Width int
	Gradient      struct {
		Norms  []float64 // for each image
		At     []int     // elements, NCHW
		Values []float32
	}
}

func readGradientGolden(t *testing.T) []gradientGolden {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(networkFolder, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []gradientGolden
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// oneHot is labels 0, 1, 2 ... of n samples.
func oneHot(n, classes int) []float32 {
	v := make([]float32, n*classes)
	for i := range n {
		v[i*classes+i%classes] = 1
	}
	return v
}

// gradientInRuntime runs a gradient model in ONNX Runtime on images NCHW.
func gradientInRuntime(t *testing.T, m *onnx.Model, images, labels []float32, n, h, w int) []float32 {
	t.Helper()
	out, err := teachers.Evaluate(m, map[string]*onnx.Tensor{
		"image":                 onnx.Float32s("", []int64{int64(n), 3, int64(h), int64(w)}, images),
		teachers.GradientLabels: onnx.Float32s("", []int64{int64(n), int64(len(labels) / n)}, labels),
	}, teachers.EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := out[teachers.GradientOutput].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Each network's gradient, derived from its graph, written as ONNX and run by
// ONNX Runtime, is PyTorch's.
func TestGradientModelsAgreeWithPyTorch(t *testing.T) {
	const classes = 10
	count := 0
	for _, g := range readGradientGolden(t) {
		if testing.Short() && g.Name != "resnet18" && g.Name != "vit_17" {
			continue
		}
		count++
		t.Run(g.Name, func(t *testing.T) {
			m, err := onnx.ReadFile(filepath.Join(networkFolder, g.Name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			j, err := student.GradientModel(m, student.GradientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			n := len(g.Gradient.Norms)
			got := gradientInRuntime(t, j, networkImages(n, g.Height, g.Width), oneHot(n, classes), n, g.Height, g.Width)
			size := len(got) / n
			for i, want := range g.Gradient.Norms {
				sum := 0.0
				for _, v := range got[i*size : (i+1)*size] {
					sum += float64(v) * float64(v)
				}
				if norm := math.Sqrt(sum); !(math.Abs(norm-want) <= sameGradient*want) {
					t.Errorf("image %d: the gradient's length is %v, PyTorch's %v", i, norm, want)
				}
			}
			var some []float32
			for _, at := range g.Gradient.At {
				some = append(some, got[at])
			}
			if d := apart(some, g.Gradient.Values); d > sameGradient {
				t.Errorf("elements differ from PyTorch's by %.1e of the largest", d)
			}
		})
	}
	if want := 16; count < want && !testing.Short() {
		t.Errorf("%d networks have a gradient of PyTorch's, want at least %d", count, want)
	}
}

// The gradient is what central differences of the original file's own
// cross-entropy tell, both run by ONNX Runtime alone.
func TestGradientModelsAgreeWithCentralDifferences(t *testing.T) {
	const classes = 10
	for name, size := range map[string][2]int{"resnet50": {64, 48}, "efficientnet_b0": {64, 48}, "vit": {32, 32}, "convnext_tiny_17": {64, 96}} {
		t.Run(name, func(t *testing.T) {
			h, w := size[0], size[1]
			m, err := onnx.ReadFile(filepath.Join(networkFolder, name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			j, err := student.GradientModel(m, student.GradientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			x := networkImages(1, h, w)
			g := gradientInRuntime(t, j, x, oneHot(1, classes), 1, h, w)
			norm := 0.0
			for _, v := range g {
				norm += float64(v) * float64(v)
			}
			norm = math.Sqrt(norm)
			// Along the gradient itself, where the slope is its length.
			ce := func(at float64) float64 {
				moved := make([]float32, len(x))
				for i, v := range x {
					moved[i] = v + float32(at*float64(g[i])/norm)
				}
				logits := inRuntime(t, m, moved, 1, 3, int64(h), int64(w))
				sum := 0.0
				for _, z := range logits {
					sum += math.Exp(float64(z) - float64(logits[0]))
				}
				return math.Log(sum)
			}
			step := 0.01 / norm // moves the cross-entropy by a hundredth, far above its rounding and well below its bends
			if slope := (ce(step) - ce(-step)) / (2 * step); !(math.Abs(slope-norm) <= 0.01*norm) {
				t.Errorf("the cross-entropy rises by %v along the gradient, whose length is %v", slope, norm)
			}
		})
	}
}

func TestGradientModelsSayWhatStandsInTheWay(t *testing.T) {
	b := onnx.NewBuilder("odd", 17)
	x := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(8))
	b.Name("strange")
	y := b.Node("LpNormalization", []string{b.Node("Flatten", []string{x})}, onnx.AttrInt("axis", 1), onnx.AttrInt("p", 1))
	b.Output(y, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(192))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	_, err = student.GradientModel(m, student.GradientOptions{})
	var unsupported *student.UnsupportedError
	if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "LpNormalization") {
		t.Errorf("got error %v, want one that names the operator", err)
	}
	if _, err := student.GradientModel(m, student.GradientOptions{Output: "scores"}); err == nil || !strings.Contains(err.Error(), `no output "scores"; its outputs are ["logits"]`) {
		t.Errorf("got error %v, want one that lists the outputs", err)
	}
}

func TestGradientReportWritesWhatItFound(t *testing.T) {
	report, err := teachers.Inspect(demoTeacher, teachers.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := InspectGradient(demoTeacher, report, "", "")
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
	magnitude, err := student.GradientModel(m, student.GradientOptions{Magnitude: true})
	if err != nil {
		t.Fatal(err)
	}
	x, y := networkImages(2, 32, 32), oneHot(2, 10)
	signed, absolute := gradientInRuntime(t, j, x, y, 2, 32, 32), gradientInRuntime(t, magnitude, x, y, 2, 32, 32)
	negative := 0
	for i, v := range signed {
		if v < 0 {
			negative++
			signed[i] = -v
		}
	}
	if d := apart(absolute, signed); d > 1e-6 || negative == 0 {
		t.Errorf("the magnitude differs by %v; %d of %d elements were negative", d, negative, len(signed))
	}

	uint8s := "../testdata/teachers/uint8.onnx"
	if report, err = teachers.Inspect(uint8s, teachers.InspectOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := InspectGradient(uint8s, report, "", ""); r.Possible || !strings.Contains(r.Problem, "uint8") || r.WriteFile(path) == nil {
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
	if apart(got, want) > 1e-6 {
		t.Errorf("got %v, want %v", got, want)
	}
	GradientUnits{}.convert(got, want)
	if apart(got, want) != 0 {
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
