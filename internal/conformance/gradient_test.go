package conformance

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
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

// A model of magnitudes gives the gradient without its signs.
func TestMagnitudesAreTheGradientWithoutSigns(t *testing.T) {
	m, err := onnx.ReadFile(filepath.Join("..", "..", "pipeline", "digits", "teacher.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := student.GradientModel(m, student.GradientOptions{})
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
}
