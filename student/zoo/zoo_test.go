package zoo_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// golden is what testdata/gen/zoo_torch.py wrote.
type golden struct {
	Sizes []struct {
		architecture
		Params, MACs int64
	}
	Values []struct {
		architecture
		Batch            int
		Logits, Training []float64
		Loss             float64
		Running          map[string][]float64  // [2, C] in one row; of more than 64 channels, sum and 2-norm
		Gradients        map[string][2]float64 // sum and 2-norm
	}
}

type architecture struct {
	Name    string
	Image   [3]int
	Classes int
}

func (a architecture) String() string {
	return fmt.Sprintf("%s on %dx%dx%d", a.Name, a.Image[0], a.Image[1], a.Image[2])
}

func (a architecture) model(t *testing.T) *student.Model {
	t.Helper()
	return newModel(t, a.Name, student.Shape{H: a.Image[0], W: a.Image[1], C: a.Image[2]}, a.Classes)
}

func newModel(t *testing.T, name string, image student.Shape, classes int) *student.Model {
	t.Helper()
	a, err := zoo.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := student.New(a, student.Spec{Image: image, Classes: classes}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func readGolden(t *testing.T) golden {
	t.Helper()
	b, err := os.ReadFile("../../testdata/golden/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Sizes) != 15 || len(g.Values) != 4 {
		t.Fatalf("%d sizes and %d values; the golden file has 15 and 4", len(g.Sizes), len(g.Values))
	}
	return g
}

func TestSizesAreThoseOfPyTorch(t *testing.T) {
	for _, tt := range readGolden(t).Sizes {
		t.Run(tt.String(), func(t *testing.T) {
			params, macs, err := tt.model(t).Cost()
			if err != nil {
				t.Fatal(err)
			}
			if params != tt.Params || macs != tt.MACs {
				t.Errorf("%d parameters and %d multiply-accumulates, want %d and %d", params, macs, tt.Params, tt.MACs)
			}
		})
	}
}

// Published sizes, in millions of parameters: Zagoruyko and Komodakis 2017,
// table 1 (0.2M and 0.7M there; more digits from their code), Zagoruyko and
// Komodakis 2016, table 4, and He et al. 2016, table 6. Our ResNets have
// projections, some 1 % more. MobileNetV2's are torchvision's mobilenet_v2, of
// 3,504,872 parameters with 1000 classes, and with 10 classes; the strides,
// which differ, take no parameters.
func TestSizesAreThoseOfThePapers(t *testing.T) {
	tests := []struct {
		name     string
		millions float64
		digits   float64
	}{
		{"wrn-16-1", 0.175, 0.001}, {"wrn-16-2", 0.69, 0.01}, {"wrn-40-1", 0.56, 0.01}, {"wrn-40-2", 2.2, 0.1},
		{"wrn-40-4", 8.9, 0.1}, {"wrn-28-10", 36.5, 0.1},
		{"resnet-20", 0.27, 0.01}, {"resnet-32", 0.46, 0.01}, {"resnet-44", 0.66, 0.01}, {"resnet-56", 0.85, 0.01}, {"resnet-110", 1.7, 0.1},
		{"mobilenetv2-1", 2.236682, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && tt.millions > 5 {
				t.Skip("large networks take seconds to initialise")
			}
			params, _, err := newModel(t, tt.name, student.Shape{H: 32, W: 32, C: 3}, 10).Cost()
			if err != nil {
				t.Fatal(err)
			}
			if got := float64(params) / 1e6; math.Abs(got-tt.millions) > tt.digits {
				t.Errorf("%.4f million parameters, want %v", got, tt.millions)
			}
		})
	}
}

// noise is the generator script's function of the same name: count numbers in
// [-0.5, 0.5) from a hash.
func noise(name string, count int) []float64 {
	v := make([]float64, count)
	for i := range v {
		x := uint32(i) + crc32.ChecksumIEEE([]byte(name))
		x = (x ^ x>>16) * 0x7feb352d
		x = (x ^ x>>15) * 0x846ca68b
		x ^= x >> 16
		v[i] = float64(x)/(1<<32) - 0.5
	}
	return v
}

// fillFor gives the parameters the generator script's values.
func fillFor(t *testing.T, m *student.Model) {
	t.Helper()
	for _, p := range m.Params() {
		v := noise(p.Name, p.Len())
		dst := p.Value.Data().([]float64)
		for i, x := range v {
			switch {
			case p.Kind == student.Weight:
				dst[i] = x * 2 * math.Sqrt(6/float64(p.Len()/p.Value.Shape()[0]))
			case p.Kind == student.Bias:
				dst[i] = 0.2 * x
			case p.Kind == student.Scale:
				dst[i] = 1 + 0.4*x
			case p.Kind == student.Running && i >= len(v)/2:
				dst[i] = 1 + 0.8*x
			default: // shifts and running means
				dst[i] = 0.4 * x
			}
		}
	}
}

// agree is how far float64 results of two programs may lie apart, relative to
// the largest: sums of a few thousand terms in different orders.
const agree = 1e-11

func apart(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var d, size float64
	for i := range got {
		if math.IsNaN(got[i]) {
			return math.Inf(1)
		}
		d, size = math.Max(d, math.Abs(got[i]-want[i])), math.Max(size, math.Abs(want[i]))
	}
	return d / size
}

func sumAndNorm(v []float64) (sum, norm float64) {
	for _, x := range v {
		sum, norm = sum+x, norm+x*x
	}
	return sum, math.Sqrt(norm)
}

// crossEntropy is the mean over the batch of -log softmax at labels 0, 1, 2 ...
func crossEntropy(t *testing.T, logits *gorgonia.Node) *gorgonia.Node {
	t.Helper()
	shape := logits.Shape()
	oneHot, b, err := op.NewValue(logits.Dtype(), shape)
	if err != nil {
		t.Fatal(err)
	}
	for i := range shape[0] {
		if j := i*shape[1] + i%shape[1]; b.F32 != nil {
			b.F32[j] = -1 / float32(shape[0])
		} else {
			b.F64[j] = -1 / float64(shape[0])
		}
	}
	labels := gorgonia.NewTensor(logits.Graph(), logits.Dtype(), 2, gorgonia.WithShape(shape...), gorgonia.WithName("labels"), gorgonia.WithValue(oneHot))
	p, err := op.LogSoftmax(logits)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = op.Mul(p, labels); err != nil {
		t.Fatal(err)
	}
	if p, err = op.Sum(p); err != nil {
		t.Fatal(err)
	}
	return p
}

func letImage(t *testing.T, g *student.Graph, v []float64) {
	t.Helper()
	value, b, err := op.NewValue(g.Image.Dtype(), g.Image.Shape())
	if err != nil {
		t.Fatal(err)
	}
	copy(b.F64, v)
	for i := range b.F32 {
		b.F32[i] = float32(v[i])
	}
	if err := gorgonia.Let(g.Image, value); err != nil {
		t.Fatal(err)
	}
}

func newGraph(t *testing.T, m *student.Model, batch int, mode student.Mode) *student.Graph {
	t.Helper()
	g, err := m.Graph(batch, mode)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func newMachine(t *testing.T, g *student.Graph, out ...*gorgonia.Node) *vm.Machine {
	t.Helper()
	m, err := vm.New(g.Expr, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func runAll(t *testing.T, m *vm.Machine) {
	t.Helper()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
}

func value(n *gorgonia.Node) []float64 {
	if v, ok := n.Value().Data().(float64); ok {
		return []float64{v}
	}
	return n.Value().Data().([]float64)
}

// TestValuesAreThoseOfPyTorch compares logits, loss, running statistics and
// gradients with the papers' networks written in PyTorch.
func TestValuesAreThoseOfPyTorch(t *testing.T) {
	for _, tt := range readGolden(t).Values {
		t.Run(tt.String(), func(t *testing.T) {
			m, err := tt.model(t).Convert(tensor.Float64)
			if err != nil {
				t.Fatal(err)
			}
			fillFor(t, m)
			image := noise("image", tt.Batch*tt.Image[0]*tt.Image[1]*tt.Image[2])
			for i := range image {
				image[i] *= 2
			}
			infer := newGraph(t, m, tt.Batch, student.Infer)
			letImage(t, infer, image)
			runAll(t, newMachine(t, infer, infer.Logits))
			if d := apart(value(infer.Logits), tt.Logits); d > agree {
				t.Errorf("logits in inference are off by %v", d)
			}

			train := newGraph(t, m, tt.Batch, student.Train)
			letImage(t, train, image)
			loss := crossEntropy(t, train.Logits)
			gradients, err := gorgonia.Grad(loss, train.Params...)
			if err != nil {
				t.Fatal(err)
			}
			out := append(gorgonia.Nodes{loss, train.Logits}, gradients...)
			for _, u := range train.Updates {
				out = append(out, u.Node)
			}
			runAll(t, newMachine(t, train, out...))
			if d := apart(value(train.Logits), tt.Training); d > agree {
				t.Errorf("logits in training are off by %v", d)
			}
			if d := apart(value(loss), []float64{tt.Loss}); d > agree {
				t.Errorf("loss %v, want %v", value(loss), tt.Loss)
			}
			if len(gradients) != len(tt.Gradients) {
				t.Errorf("%d gradients, want %d", len(gradients), len(tt.Gradients))
			}
			// A gradient through normalisation may sum to zero but for rounding,
			// so both figures are measured by the norm; or be zero as a whole, a
			// shift's before a convolution and normalisation without ReLU between.
			largest := 0.0
			for _, g := range tt.Gradients {
				largest = math.Max(largest, g[1])
			}
			for i, n := range train.Params {
				want, ok := tt.Gradients[n.Name()]
				sum, norm := sumAndNorm(value(gradients[i]))
				size := math.Max(want[1], largest/1e3)
				if !ok || math.Abs(sum-want[0]) > 100*agree*size || math.Abs(norm-want[1]) > agree*size {
					t.Errorf("gradient of %s has sum %v and norm %v, want %v", n.Name(), sum, norm, want)
				}
			}
			if err := m.Apply(train.Updates); err != nil {
				t.Fatal(err)
			}
			updated := 0
			for _, p := range m.Params() {
				if p.Kind == student.Running {
					updated++
					got := p.Value.Data().([]float64)
					if len(got) > 2*64 {
						sum, norm := sumAndNorm(got)
						got = []float64{sum, norm}
					}
					if d := apart(got, tt.Running[p.Name]); d > agree {
						t.Errorf("%s is off by %v", p.Name, d)
					}
				}
			}
			if updated != len(tt.Running) || updated != len(train.Updates) {
				t.Errorf("%d running statistics and %d updates, want %d", updated, len(train.Updates), len(tt.Running))
			}
		})
	}
}

func TestTapsAreTheGroups(t *testing.T) {
	tests := []struct {
		architecture
		want []string
	}{
		{architecture{"wrn-16-1", [3]int{32, 32, 3}, 10}, []string{"group1 (2, 32, 32, 16)", "group2 (2, 16, 16, 32)", "group3 (2, 8, 8, 64)"}},
		{architecture{"wrn-10-0.5", [3]int{28, 28, 1}, 10}, []string{"group1 (2, 28, 28, 8)", "group2 (2, 14, 14, 16)", "group3 (2, 7, 7, 32)"}},
		{architecture{"wrn-10-0.0625", [3]int{33, 17, 4}, 2}, []string{"group1 (2, 33, 17, 1)", "group2 (2, 17, 9, 2)", "group3 (2, 9, 5, 4)"}},
		{architecture{"resnet-8", [3]int{64, 64, 3}, 100}, []string{"group1 (2, 64, 64, 16)", "group2 (2, 32, 32, 32)", "group3 (2, 16, 16, 64)"}},
		{architecture{"resnet-14", [3]int{96, 96, 2}, 10}, []string{"group1 (2, 96, 96, 16)", "group2 (2, 48, 48, 32)", "group3 (2, 24, 24, 64)"}},
		{architecture{"resnet-8", [3]int{1, 1, 1}, 3}, []string{"group1 (2, 1, 1, 16)", "group2 (2, 1, 1, 32)", "group3 (2, 1, 1, 64)"}},
		{architecture{"mobilenetv2-1", [3]int{32, 32, 3}, 10}, []string{"group1 (2, 32, 32, 24)", "group2 (2, 16, 16, 32)", "group3 (2, 8, 8, 96)", "group4 (2, 4, 4, 320)"}},
		{architecture{"mobilenetv2-0.1", [3]int{9, 1, 1}, 10}, []string{"group1 (2, 9, 1, 8)", "group2 (2, 5, 1, 8)", "group3 (2, 3, 1, 16)", "group4 (2, 2, 1, 32)"}},
	}
	for _, tt := range tests {
		t.Run(tt.String(), func(t *testing.T) {
			m := tt.model(t)
			for _, mode := range []student.Mode{student.Infer, student.Train} {
				var got []string
				for _, tap := range newGraph(t, m, 2, mode).Taps {
					got = append(got, fmt.Sprint(tap.Name, " ", tap.Node.Shape()))
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("taps in %v (-want +got):\n%s", mode, d)
				}
			}
		})
	}
}

func TestEveryListedNameParses(t *testing.T) {
	names := zoo.Names()
	for _, name := range names {
		a, err := zoo.Parse(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if a.Name != name {
			t.Errorf("%s calls itself %s", name, a.Name)
		}
	}
	for _, name := range []string{"wrn-16-1", "resnet-20", "mobilenetv2-1"} {
		if !slices.Contains(names, name) {
			t.Errorf("the names are %v, without %s", names, name)
		}
	}
	for _, name := range []string{"wrn-1000-0.1875", "resnet-1202", " WRN-16-1\n", "wrn-16-1.0", "MobileNetV2-1.00"} {
		if _, err := zoo.Parse(name); err != nil {
			t.Error(err)
		}
	}
}

func TestParsingRefuses(t *testing.T) {
	tests := []struct{ name, want string }{
		{"", `no student ""; did you mean`},
		{"wnr-16-1", "did you mean wrn-16-1? The students are wrn-DEPTH-WIDTH"},
		{"resnet20", "did you mean resnet-20?"},
		{"vgg", "resnet-DEPTH, with depth 6n+2 (8, 14, 20"},
		{"mobilenet", "did you mean mobilenetv2-1? The students are"},
		{"mobilenetv2", "a width alone is wanted; the form is mobilenetv2-WIDTH, with width between 0.1 and 4"},
		{"mobilenetv2-1-2", "a width alone is wanted"},
		{"mobilenetv2-x", `width "x" is no number`},
		{"mobilenetv2-0.05", "width 0.05 does not lie between 0.1 and 4"},
		{"mobilenetv2-5", "width 5 does not lie between 0.1 and 4"},
		{"mobilenetv2-nan", "width nan does not lie between 0.1 and 4"},
		{"wrn-16", "a depth and a width are wanted; the form is wrn-DEPTH-WIDTH, with depth 6n+4 (10, 16, 22"},
		{"wrn-17-1", "depth 17 is not 6n+4 with n of at least 1 and no more than 1300 in all; the nearest is 16"},
		{"wrn-21-1", "the nearest is 22"},
		{"wrn-4-1", "the nearest is 10"},
		{"wrn--16-1", `a depth and a width are wanted`},
		{"wrn-6000004-1", "the nearest is 1300"},
		{"wrn-99999999999999999999-1", `depth "99999999999999999999" is no whole number`},
		{"wrn-16.5-1", `depth "16.5" is no whole number`},
		{"wrn-16x-1", `depth "16x" is no whole number`},
		{"wrn-16-x", `width "x" is no number`},
		{"wrn-16-0.3", "width 0.3 is no multiple of 1/16 up to 32; the nearest is 0.3125"},
		{"wrn-16-0", "the nearest is 0.0625"},
		{"wrn-16-64", "the nearest is 32"},
		{"wrn-16-nan", "width nan is no multiple of 1/16"},
		{"wrn-16-inf", "width inf is no multiple of 1/16"},
		{"resnet-20-2", "a depth alone is wanted; the form is resnet-DEPTH"},
		{"resnet-21", "the nearest is 20"},
		{"resnet-18", "the nearest is 20"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := zoo.Parse(tt.name)
			if err == nil || !strings.HasPrefix(err.Error(), "zoo: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nshould say %q", err, tt.want)
			}
		})
	}
}
