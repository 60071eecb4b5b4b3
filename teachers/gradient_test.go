package teachers

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// linear is a classifier of 2x3 colour images, logits = W x.
type linear struct {
	classes int
	weights []float32 // [classes, 3·2·3], of NCHW images
}

func newLinear() linear {
	l := linear{classes: 3}
	for i := range l.classes * 18 {
		l.weights = append(l.weights, float32(i*7%11)/10-0.5)
	}
	return l
}

// save writes the classifier, of images in either order of axes.
func (l linear) save(t *testing.T, layout Layout) string {
	t.Helper()
	b := onnx.NewBuilder("linear", 17)
	dims := []onnx.Dim{onnx.Symbol("batch")}
	for _, d := range layout.dims(1, 2, 3, 3)[1:] {
		dims = append(dims, onnx.Fixed(d))
	}
	x := b.Input("image", onnx.Float32, dims...)
	if layout == NHWC {
		x = b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 3, 1, 2))
	}
	w := b.Initializer("weight", onnx.Float32s("", []int64{int64(l.classes), 18}, l.weights))
	b.Output(b.Node("Gemm", []string{b.Node("Flatten", []string{x}), w}, onnx.AttrInt("transB", 1)), "logits", onnx.Float32)
	return saved(t, b)
}

// gradient is (softmax(W x) − y) W, written by hand.
func (l linear) gradient(t *testing.T) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("gradient", 17)
	x := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(2), onnx.Fixed(3))
	y := b.Input(GradientLabels, onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(int64(l.classes)))
	w := b.Initializer("weight", onnx.Float32s("", []int64{int64(l.classes), 18}, l.weights))
	p := b.Node("Softmax", []string{b.Node("Gemm", []string{b.Node("Flatten", []string{x}), w}, onnx.AttrInt("transB", 1))}, onnx.AttrInt("axis", 1))
	j := b.Node("MatMul", []string{b.Node("Sub", []string{p, y}), w})
	j = b.Node("Reshape", []string{j, b.Initializer("shape", onnx.Int64s("", []int64{4}, []int64{-1, 3, 2, 3}))})
	b.Output(j, GradientOutput, onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(2), onnx.Fixed(3))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func saved(t *testing.T, b *onnx.Builder) string {
	t.Helper()
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// want is the gradient at image i of b, channels last, for a teacher's class.
func (l linear) want(b Batch, i, class int) []float64 {
	at := func(c, pixel int) float64 { return float64(b.Pixels[i*18+pixel*3+c]) / 255 }
	p := make([]float64, l.classes)
	sum := 0.0
	for k := range p {
		z := 0.0
		for c := range 3 {
			for pixel := range 6 {
				z += float64(l.weights[k*18+c*6+pixel]) * at(c, pixel)
			}
		}
		p[k] = math.Exp(z)
		sum += p[k]
	}
	j := make([]float64, 18)
	for k := range p {
		d := p[k] / sum
		if k == class {
			d--
		}
		for c := range 3 {
			for pixel := range 6 {
				j[pixel*3+c] += d * float64(l.weights[k*18+c*6+pixel])
			}
		}
	}
	return j
}

func linearBatch() Batch {
	b := Batch{N: 3, H: 2, W: 3, C: 3, Samples: []uint64{7, 8, 9}, Labels: []int{1, 0, 0}}
	for i := range b.N * 18 {
		b.Pixels = append(b.Pixels, uint8(i*37%251))
	}
	return b
}

func openLinear(t *testing.T, l linear, layout Layout, order []int) *Session {
	t.Helper()
	s := openTeacher(t, l.save(t, layout), Options{Map: MapNone, Layout: layout, ClassOrder: order, Batch: 2, Preprocess: preprocess.Spec{Scale: 1.0 / 255}})
	if err := s.AttachGradient(l.gradient(t), 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func checkGradient(t *testing.T, l linear, b Batch, got *Signals, order []int, tolerance float64) {
	t.Helper()
	m := got.Maps[len(got.Maps)-1]
	if m.Tap != GradientTap || m.C != 3 || m.H != 2 || m.W != 3 || len(m.Data) != b.N*18 {
		t.Fatalf("the last map is %q of %dx%dx%d with %d numbers", m.Tap, m.H, m.W, m.C, len(m.Data))
	}
	for i, label := range b.Labels {
		if order != nil {
			label = order[label]
		}
		for k, want := range l.want(b, i, label) {
			if got := float64(m.Data[i*18+k]); !(math.Abs(got-want) <= tolerance) {
				t.Fatalf("image %d, element %d: gradient %v, want %v", i, k, got, want)
			}
		}
	}
}

func TestAttachedGradientIsThatOfTheLabelsCrossEntropy(t *testing.T) {
	l, b := newLinear(), linearBatch()
	for _, layout := range []Layout{NCHW, NHWC} {
		for _, order := range [][]int{nil, {2, 0}} {
			s := openLinear(t, l, layout, order)
			checkGradient(t, l, b, signalsOf(t, s, b), order, 1e-6)
			if taps := s.Spec().Taps; len(taps) != 1 || !taps[0].Gradient {
				t.Errorf("the taps are %v", taps)
			}
		}
	}
}

// batches is a teacher that notes how many images it is asked about.
type batches struct {
	Teacher
	images []int // of each batch
}

func (a *batches) Signals(b Batch) (*Signals, error) {
	a.images = append(a.images, b.N)
	return a.Teacher.Signals(b)
}

func TestGradientsAreRecordedWithTheOtherSignals(t *testing.T) {
	l, b := newLinear(), linearBatch()
	s := openLinear(t, l, NCHW, nil)
	key := CacheKey{Teacher: s.Spec(), Data: "d", Image: [3]int{2, 3, 3}, Precision: Float16, Samples: b.Samples}
	root := t.TempDir()
	cache, err := OpenCache(root, key, func(m string) { t.Error(m) })
	if err != nil {
		t.Fatal(err)
	}
	asked := &batches{Teacher: s}
	cached, err := NewCached(asked, s.Spec(), nil, Float16, cache)
	if err != nil {
		t.Fatal(err)
	}
	first := b.pick([]int{2})
	signalsOf(t, cached, first)
	for range 2 {
		checkGradient(t, l, b, signalsOf(t, cached, b), nil, 1e-3)
	}
	if !slices.Equal(asked.images, []int{2, 2}) { // one image, twice over, and the two others
		t.Errorf("the teacher was asked about batches of %v images", asked.images)
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	if listed, err := Caches(root); err != nil || len(listed) != 1 || !listed[0].Gradient || len(listed[0].Taps) != 0 {
		t.Errorf("the list says %+v (%v)", listed, err)
	}
	plain := key
	plain.Teacher.Taps = nil
	if without, err := OpenCache(root, plain, nil); err != nil || without.Folder() == cache.Folder() {
		t.Errorf("signals with and without gradients share a folder (%v)", err)
	}
}

func TestGradientsRefuse(t *testing.T) {
	l, b := newLinear(), linearBatch()
	s := openLinear(t, l, NCHW, nil)
	for name, c := range map[string]struct {
		labels []int
		want   string
	}{
		"no labels":         {nil, "need each image's label; the batch of 3 images has 0"},
		"a label too large": {[]int{0, 3, 0}, "sample 0x8, view 0 has the label 3; the classes are 0 to 2"},
		"a label below 0":   {[]int{0, 0, -1}, "has the label -1"},
	} {
		with := b
		with.Labels = c.labels
		if _, err := s.Signals(with); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
	if err := s.AttachGradient(l.gradient(t), 1); err == nil || !strings.Contains(err.Error(), "attached already") {
		t.Errorf("a second gradient: got error %v", err)
	}
	bare := openTeacher(t, l.save(t, NCHW), Options{Map: MapNone, Layout: NCHW})
	noLabels := l.gradient(t)
	if err := noLabels.Rename(GradientLabels, "target"); err != nil {
		t.Fatal(err)
	}
	if err := bare.AttachGradient(noLabels, 1); err == nil || !strings.Contains(err.Error(), `one image and "labels"`) {
		t.Errorf("a gradient without labels: got error %v", err)
	}
	if err := bare.AttachGradient(gradientOfAnotherSize(t), 1); err == nil || !strings.Contains(err.Error(), "gradient of model.onnx") {
		t.Errorf("a gradient of another size: got error %v", err)
	}
}

// gradientOfAnotherSize takes the right operands and gives one number an image.
func gradientOfAnotherSize(t *testing.T) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("wrong", 17)
	b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(2), onnx.Fixed(3))
	y := b.Input(GradientLabels, onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3))
	b.Output(b.Node("Neg", []string{y}), GradientOutput, onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}
