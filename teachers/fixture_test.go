package teachers

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// Tolerances, relative to the largest number compared.
const (
	// ONNX Runtime against PyTorch in float32: other orders of sums.
	runtimeTolerance = 1e-5
	// The same in half precision, which carries 11 bits.
	halfTolerance = 5e-3
	// A logarithm of probabilities loses what the softmax rounded off.
	logTolerance = 1e-5
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := OpenSessions(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d sessions were left open\n", n)
		code = 1
	}
	os.Exit(code)
}

// golden is testdata/teachers/golden.json.
type golden struct {
	Height, Width, Classes int
	Preprocess             string
	Images                 []int // [N, H, W, 3]
	Logits                 []float64
	Taps                   map[string][3]int
	Maps                   []struct {
		Kind  MapKind
		Power float64
		Tap   string
		Data  []float64
	}
	Raw     map[string][]float64
	Resized []struct {
		Height, Width int
		Data          []int
	}
	Grey []int
}

const fixtures = "../testdata/teachers"

func fixture(name string) string { return filepath.Join(fixtures, name) }

func readGolden(t testing.TB) (golden, Batch) {
	t.Helper()
	text, err := os.ReadFile(fixture("golden.json"))
	if err != nil {
		t.Fatalf("%v\n---> HINT: python3 testdata/gen/teachers_torch.py", err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	b := Batch{Pixels: bytesOf(g.Images), H: g.Height, W: g.Width, C: 3}
	b.N = len(b.Pixels) / (b.H * b.W * b.C)
	for i := range b.N {
		b.Samples = append(b.Samples, 0xA0+uint64(i))
	}
	return g, b
}

func bytesOf(list []int) []uint8 {
	out := make([]uint8, len(list))
	for i, v := range list {
		out[i] = uint8(v)
	}
	return out
}

// cifar is the preprocessing of the fixtures.
func cifar(t testing.TB) preprocess.Spec {
	t.Helper()
	p, err := preprocess.Parse("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func openTeacher(t testing.TB, path string, o Options) *Session {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func signalsOf(t testing.TB, teacher Teacher, b Batch) *Signals {
	t.Helper()
	s, err := teacher.Signals(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// compare checks got against want, with a tolerance relative to the largest
// number wanted.
func compare(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - v); !(d <= tolerance*largest) {
			t.Errorf("%s: number %d is %v, want %v within %.1e", what, i, got[i], v, tolerance*largest)
			return
		}
	}
}

// write builds a model, writes it to a file and returns the path.
func write(t testing.TB, b *onnx.Builder, change ...func(*onnx.Model)) string {
	t.Helper()
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(m)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// net is a small convolutional classifier on a Builder: enough to be a teacher,
// and easy to spoil.
type net struct {
	*onnx.Builder
	seed float32
}

func newNet(opset int64) *net { return &net{Builder: onnx.NewBuilder("net", opset)} }

// weights makes a constant of small, varied numbers.
func (n *net) weights(name string, dims ...int64) string {
	size := int64(1)
	for _, d := range dims {
		size *= d
	}
	data := make([]float32, size)
	for i := range data {
		n.seed += 0.7
		data[i] = float32(math.Sin(float64(n.seed))) / 2
	}
	return n.Initializer(name, onnx.Float32s(name, dims, data))
}

func (n *net) image(dims ...onnx.Dim) string { return n.Input("image", onnx.Float32, dims...) }

// standard is a [batch, 3, 6, 6] image.
func (n *net) standard() string {
	return n.image(onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(6), onnx.Fixed(6))
}

// conv is a 3x3 convolution that keeps the size.
func (n *net) conv(name, x string, in, out int64) string {
	w := n.weights(name+"/weight", out, in, 3, 3)
	n.Name(name)
	return n.Node("Conv", []string{x, w}, onnx.AttrInts("pads", 1, 1, 1, 1), onnx.AttrInts("kernel_shape", 3, 3))
}

// head pools [N, c, H, W] and classifies into k.
func (n *net) head(x string, c, k int64) string {
	x = n.Node("GlobalAveragePool", []string{x})
	x = n.Node("Flatten", []string{x}, onnx.AttrInt("axis", 1))
	n.Name("scores")
	return n.Node("MatMul", []string{x, n.weights("head/weight", c, k)})
}

func (n *net) logits(x string, k int64) {
	n.Output(x, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(k))
}

// images makes a batch of noise.
func images(n, h, w, c int) Batch {
	b := Batch{N: n, H: h, W: w, C: c, Pixels: make([]uint8, n*h*w*c), Samples: make([]uint64, n)}
	state := uint32(12345)
	for i := range b.Pixels {
		state = state*1664525 + 1013904223
		b.Pixels[i] = uint8(state >> 24)
	}
	for i := range b.Samples {
		b.Samples[i] = uint64(i) + 100
	}
	return b
}
