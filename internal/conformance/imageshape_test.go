package conformance

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// dense builds a network of two layers whose input has the given axes, the first
// of them the batch, 0 where it is open.
func dense(t *testing.T, kind onnx.DataType, axes ...int64) *onnx.Model {
	t.Helper()
	c := newClassifier(17)
	numbers := int64(1)
	dims := []onnx.Dim{onnx.Symbol("n")}
	if axes[0] > 0 {
		dims[0] = onnx.Fixed(axes[0])
	}
	for _, n := range axes[1:] {
		dims, numbers = append(dims, onnx.Fixed(n)), numbers*n
	}
	x := c.Input("x", kind, dims...)
	if kind != onnx.Float32 {
		x = c.Node("Cast", []string{x}, onnx.AttrInt("to", int64(onnx.Float32)))
	}
	x = c.Node("Flatten", []string{x})
	x = c.Node("Relu", []string{c.Node("Gemm", []string{x, c.drawn("hidden/weight", numbers, 6), c.drawn("hidden/bias", 6)})})
	c.Output(c.Node("Gemm", []string{x, c.drawn("head/weight", 6, 5), c.drawn("head/bias", 5)}), "y", onnx.Float32)
	m, err := c.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// written is the path of a model's file.
func written(t *testing.T, m *onnx.Model) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A network that takes its images in fewer than four axes answers as the same
// network that takes them as images: as teacher, as student, exported, and in its
// gradient.
func TestImagesInFewerAxes(t *testing.T) {
	const h, w, n = 8, 10, 3
	for _, c := range []struct {
		name  string
		axes  []int64 // of the file's input
		kind  onnx.DataType
		said  string // Options.ImageShape
		meta  string
		order preprocess.AxisOrder
		note  string
	}{
		{"a vector", []int64{0, 80}, onnx.Float32, "", "", preprocess.CHW, "[n, 80] is read as images of 8x10x1, row by row (a guess"},
		{"a column", []int64{0, 80, 1}, onnx.Float32, "", "", preprocess.CHW, "[n, 80, 1] is read as images of 8x10x1, row by row (a guess"},
		{"a plane", []int64{0, 8, 10}, onnx.Float32, "", "", preprocess.CHW, "[n, 8, 10] is read as images of 8x10x1, row by row (a guess"},
		{"a vector of bytes", []int64{0, 80}, onnx.Uint8, "8x10x1", "", preprocess.CHW, "8x10x1, row by row"},
		{"a vector by metadata", []int64{0, 80}, onnx.Float32, "", "8x10x1", preprocess.CHW, "8x10x1, row by row"},
		{"one vector", []int64{1, 80}, onnx.Float32, "", "", preprocess.CHW, "[1, 80] is read"},
		{"one column", []int64{1, 80, 1}, onnx.Float32, "8x10x1", "", preprocess.CHW, "[1, 80, 1] is read"},
		{"three planes", []int64{3, 8, 10}, onnx.Float32, "", "", preprocess.CHW, "[3, 8, 10] is read"},
		{"colours, channel by channel", []int64{0, 240}, onnx.Float32, "8x10x3,chw", "", preprocess.CHW, "8x10x3,chw, channel by channel"},
		{"colours, pixel by pixel", []int64{0, 240}, onnx.Float32, "8x10x3,hwc", "", preprocess.HWC, "8x10x3,hwc, pixel by pixel"},
		{"one vector of colours, pixel by pixel", []int64{1, 240}, onnx.Float32, "8x10x3,hwc", "", preprocess.HWC, "[1, 240] is read"},
		{"pixels of colours", []int64{0, 80, 3}, onnx.Float32, "", "", preprocess.HWC, "8x10x3,hwc, pixel by pixel (a guess"},
	} {
		t.Run(c.name, func(t *testing.T) {
			shape, err := preprocess.ParseImageShape(c.said)
			if err != nil {
				t.Fatal(err)
			}
			channels := int64(1)
			if strings.Contains(c.note+c.said, "x3") {
				channels = 3
			}
			numbers := int(h * w * channels)
			pixels, byPixel := make([]uint8, n*numbers), make([]float32, n*numbers)
			for i := range pixels {
				pixels[i] = uint8(256 * hashed(i))
				byPixel[i] = float32(pixels[i]) / 16
			}
			byChannel := make([]float32, len(byPixel))
			for i := range n {
				for p := range h * w {
					for k := range int(channels) {
						byChannel[i*numbers+k*h*w+p] = byPixel[i*numbers+p*int(channels)+k]
					}
				}
			}
			m := dense(t, c.kind, c.axes...)
			twin, fed, dims := dense(t, onnx.Float32, 0, channels, h, w), byChannel, []int64{n, channels, h, w}
			if c.order == preprocess.HWC {
				twin, fed, dims = dense(t, onnx.Float32, 0, h, w, channels), byPixel, []int64{n, h, w, channels}
			}
			p := preprocess.Spec{Scale: 1.0 / 16}
			if c.kind == onnx.Uint8 { // it takes the bytes themselves
				p.Scale = 1
				for i := range pixels {
					byPixel[i], byChannel[i] = float32(pixels[i]), float32(pixels[i])
				}
			}
			want := inRuntime(t, twin, fed, dims...)
			if c.meta != "" {
				m.SetMeta(preprocess.KeyImageShape, c.meta)
			}
			path := written(t, m)

			session, err := teachers.Open(path, teachers.Options{
				Map: teachers.MapNone, Preprocess: p, ImageShape: shape, DataSize: [2]int{h, w}, DataChannels: int(channels),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			spec := session.Spec()
			if spec.H != h || spec.W != w || spec.C != int(channels) || spec.Batch != 0 || !slices.ContainsFunc(spec.Notes, func(s string) bool { return strings.Contains(s, c.note) }) {
				t.Errorf("as a teacher it takes %d images of %dx%dx%d and notes %q, want %q", spec.Batch, spec.H, spec.W, spec.C, spec.Notes, c.note)
			}
			signals, err := session.Signals(teachers.Batch{Pixels: pixels, N: n, H: h, W: w, C: int(channels)})
			if err != nil {
				t.Fatal(err)
			}
			if d := apart(signals.Logits, want); !(d <= sameNetwork) {
				t.Errorf("the teacher's logits differ by %.1e of the largest", d)
			}

			imported, err := student.Import(path, student.ImportOptions{Image: student.Shape{H: h, W: w, C: int(channels)}, ImageShape: shape})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(imported.Notes, func(s string) bool { return strings.Contains(s, c.note) }) {
				t.Errorf("as a student it notes %q, want %q", imported.Notes, c.note)
			}
			if d := apart(inferred(t, imported.Model, byPixel, n), want); !(d <= sameNetwork) {
				t.Errorf("the student's logits differ by %.1e of the largest", d)
			}
			exported, err := imported.Model.Export(student.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if in := exported.Graph.DataInputs(); len(in) != 1 || in[0].Name != "image" || len(in[0].Shape) != 4 {
				t.Errorf("exported with inputs %+v", in)
			}
			if d := apart(inRuntime(t, exported, byChannel, n, channels, h, w), want); !(d <= sameNetwork) {
				t.Errorf("the exported student's logits differ by %.1e of the largest", d)
			}
			sameGradients(t, m, twin, shape, byChannel, n, channels, h, w)
		})
	}
}

// sameGradients fails where the gradient of a network that takes its images in
// fewer axes is not that of its twin, which takes them as images.
func sameGradients(t *testing.T, m, twin *onnx.Model, shape preprocess.ImageShape, images []float32, n, c, h, w int64) {
	t.Helper()
	var got [2][]float32
	for i, of := range []*onnx.Model{m, twin} {
		o := student.GradientOptions{Image: student.Shape{H: int(h), W: int(w), C: int(c)}}
		if i == 0 {
			o.ImageShape = shape
		}
		j, err := student.GradientModel(of, o)
		if err != nil {
			t.Fatal(err)
		}
		feeds := map[string]*onnx.Tensor{
			"image":                 onnx.Float32s("image", []int64{n, c, h, w}, images),
			teachers.GradientLabels: onnx.Float32s(teachers.GradientLabels, []int64{n, 5}, oneHot(int(n), 5)),
		}
		out, err := teachers.Evaluate(j, feeds, teachers.EvaluateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got[i], err = out[teachers.GradientOutput].Float32s(); err != nil {
			t.Fatal(err)
		}
	}
	if d := apart(got[0], got[1]); !(d <= sameGradient) {
		t.Errorf("the gradients differ by %.1e of the largest", d)
	}
}
