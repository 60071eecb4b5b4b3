package pipeline

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
	"github.com/onnxdistill/onnxdistill/student"
)

// tokenFile writes a network of tokens for the demo's images: patches of 8x8,
// a class token that token makes of a tensor [1, 1, 6] and the list of the
// number of images, and one attention.
func tokenFile(t *testing.T, token func(b *onnx.Builder, cls, count string) string) string {
	t.Helper()
	b := onnx.NewBuilder("vit", 13)
	wave := func(name string, dims ...int64) string {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(math.Sin(float64(i*i+len(name)))) / 8
		}
		return b.Initializer(name, onnx.Float32s("", dims, v))
	}
	whole := func(v ...int64) string {
		return b.Initializer("list", onnx.Int64s("", []int64{int64(len(v))}, v))
	}
	image := b.Input("pixels", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(digits.Channels), onnx.Fixed(digits.Size), onnx.Fixed(digits.Size))
	x := b.Node("Conv", []string{image, wave("patch.weight", 6, digits.Channels, 8, 8), wave("patch.bias", 6)}, onnx.AttrInts("strides", 8, 8))
	count := b.Node("Gather", []string{b.Node("Shape", []string{image}), whole(0)})
	x = b.Node("Transpose", []string{b.Node("Reshape", []string{x, whole(0, 6, 16)})}, onnx.AttrInts("perm", 0, 2, 1))
	x = b.Node("Concat", []string{token(b, wave("cls_token", 1, 1, 6), count), x}, onnx.AttrInt("axis", 1))
	x = b.Node("Add", []string{x, wave("pos_embed", 1, 17, 6)})
	low := make([]float32, 17*17) // the tokens see what comes before them alone
	for i := range low {
		if i%17 > i/17 {
			low[i] = float32(math.Inf(-1))
		}
	}
	scores := b.Node("MatMul", []string{x, b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 1))})
	scores = b.Node("Add", []string{scores, b.Initializer("mask", onnx.Float32s("", []int64{17, 17}, low))})
	x = b.Node("Add", []string{x, b.Node("MatMul", []string{b.Node("Softmax", []string{scores}), x})})
	x = b.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", 1), onnx.AttrInt("keepdims", 0))
	b.Output(b.Node("Gemm", []string{x, wave("head.weight", 6, 10), wave("head.bias", 10)}), "scores", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vit.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A network with a class token and a mask is trained, exported and verified in
// ONNX Runtime, with either optimiser.
func TestATokenNetworkIsTrainedToItsExport(t *testing.T) {
	c, o := fileRun(t)
	c.Teacher, c.Student.Preprocess = TeacherConfig{}, "unit"
	c.Student.Architecture = tokenFile(t, func(b *onnx.Builder, cls, count string) string {
		size := b.Node("Concat", []string{count, b.Initializer("ones", onnx.Int64s("", []int64{2}, []int64{1, 6}))}, onnx.AttrInt("axis", 0))
		return b.Node("Add", []string{b.Node("ConstantOfShape", []string{size}), cls})
	})
	c.Training.LearningRate, c.Training.WeightDecay = 0.05, 0.05
	for _, name := range Optimizers {
		c.Training.Optimizer = name
		r := &transcript{}
		o.Reporter = r
		folder, final := runStudent(t, c, o)
		if !final.Parity.ok() {
			t.Errorf("%s: %v", name, final.Parity)
		}
		if said := strings.Join(r.said, "\n"); !strings.Contains(said, "1 constant is kept as it is: mask [17 17]") {
			t.Errorf("nothing is said of the mask:\n%s", said)
		}
		m, err := onnx.ReadFile(folder.Student())
		if err != nil {
			t.Fatal(err)
		}
		mask, err := m.Graph.Initializer("mask").Float32s()
		if err != nil || mask[0] != 0 || !math.IsInf(float64(mask[1]), -1) {
			t.Errorf("%s: the exported mask begins with %v (%v)", name, mask[:2], err)
		}
	}
}

// A network whose export fails is refused before anything is trained or written.
func TestTheExportIsTriedBeforeTraining(t *testing.T) {
	c, o := fileRun(t)
	c.Teacher, c.Student.Preprocess = TeacherConfig{}, "unit"
	c.Student.Architecture = tokenFile(t, func(b *onnx.Builder, cls, count string) string {
		number := func(v int64) string { return b.Initializer("number", onnx.Int64s("", nil, []int64{v})) }
		places := b.Node("Cast", []string{b.Node("Range", []string{number(0), b.Node("Squeeze", []string{count}), number(1)})}, onnx.AttrInt("to", int64(onnx.Float32)))
		places = b.Node("Reshape", []string{places, b.Initializer("column", onnx.Int64s("", []int64{3}, []int64{-1, 1, 1}))})
		return b.Node("Mul", []string{places, cls})
	})
	folder := filepath.Join(t.TempDir(), "run")
	_, err := Train(t.Context(), c, Folder(folder), o)
	for _, want := range []string{"could not be exported once it is trained", "the number of images in the batch", "Mul"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the run's folder is there: %v", err)
	}
}

// The trial compares: a student that computes something else than its file does
// not begin, nor one without answers.
func TestTheTrialLooksAtTheLogits(t *testing.T) {
	c, o := tinyRun(t)
	c.Teacher = TeacherConfig{}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	begin := func() *run {
		u := newRun(c, o)
		for _, step := range []func() error{func() error { return u.findRuntime(t.Context()) }, func() error { return u.openData(t.Context()) }, func() error { return u.makeStudent(t.Context()) }} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(u.close)
		return u
	}
	u := begin()
	if err := u.tryExport(t.Context()); err != nil {
		t.Errorf("the trial fails: %v", err)
	}
	other := u.preprocess
	other.Mean = slices.Clone(other.Mean)
	other.Mean[0] += 3
	var err error
	if u.normalizer, err = other.Normalizer(u.data.C); err != nil {
		t.Fatal(err)
	}
	if err := u.tryExport(t.Context()); err == nil || !strings.Contains(err.Error(), "gives other logits in ONNX Runtime") {
		t.Errorf("with other images for either the trial gives %v", err)
	}
	u = begin()
	for _, p := range u.model.Params() {
		if v := p.Value.Data().([]float32); p.Kind == student.Weight {
			for i := range v {
				v[i] *= 1e25
			}
		}
	}
	if err := u.tryExport(t.Context()); err == nil || !strings.Contains(err.Error(), "before its training; look at its weights") {
		t.Errorf("with weights that overflow the trial gives %v", err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind are %v, %v", left, err)
	}
}
