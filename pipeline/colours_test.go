package pipeline

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
)

// palette is a task whose best classifier is known: images of one colour, drawn
// about that of their class with some deviation. What the classifier says of its
// own confidence is true.
type palette struct {
	colours   [][3]float64 // red, green, blue, 0 to 255
	deviation float64      // of each channel
}

func newPalette(classes int, deviation float64) palette {
	rng := rand.New(rand.NewPCG(7, uint64(classes)))
	p := palette{deviation: deviation}
	for range classes {
		p.colours = append(p.colours, [3]float64{40 + 175*rng.Float64(), 40 + 175*rng.Float64(), 40 + 175*rng.Float64()})
	}
	return p
}

const paletteSize = 4 // height and width of the images

// images draws n images, of the classes in turn.
func (p palette) images(seed uint64, n int) (m data.Memory) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		label := i % len(p.colours)
		var pixel [3]uint8
		for c, v := range p.colours[label] {
			pixel[c] = uint8(min(max(v+p.deviation*rng.NormFloat64(), 0), 255))
		}
		for range paletteSize * paletteSize {
			m.Pixels = append(m.Pixels, pixel[:]...)
		}
		m.Labels = append(m.Labels, label)
	}
	return m
}

func (p palette) set(t *testing.T, n int) *data.Set {
	t.Helper()
	names := make([]string, len(p.colours))
	for i := range names {
		names[i] = fmt.Sprintf("colour%02d", i)
	}
	set, err := data.FromMemory(data.MemorySet{
		Classes: names, H: paletteSize, W: paletteSize, C: 3,
		Train: p.images(1, len(names)), Val: p.images(2, n), Test: p.images(3, n),
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// teacher is the best classifier, which wants its images as spec says, as a
// file. Its class order[i] is the palette's class i; nil is one to one. Each
// logit is multiplied by sharpness, of which 1 is honest.
func (p palette) teacher(t *testing.T, spec preprocess.Spec, order []int, sharpness float64) string {
	t.Helper()
	k := len(p.colours)
	weights, bias := make([]float32, k*3), make([]float32, k)
	at := func(l []float64, c int, none float64) float64 {
		switch len(l) {
		case 0:
			return none
		case 1:
			return l[0]
		}
		return l[c]
	}
	for class, colour := range p.colours {
		row := class
		if order != nil {
			row = order[class]
		}
		// log p(x|class) is (c·x - c·c/2)/σ² besides what all classes share; x is a
		// byte, (input*std + mean)/scale.
		sum := 0.0
		for c := range 3 {
			of := c
			if spec.Order == preprocess.BGR {
				of = 2 - c
			}
			slope := sharpness * colour[of] / (p.deviation * p.deviation)
			weights[row*3+c] = float32(slope * at(spec.Std, c, 1) / spec.Scale)
			sum += slope*at(spec.Mean, c, 0)/spec.Scale - slope*colour[of]/2
		}
		bias[row] = float32(sum)
	}
	b := onnx.NewBuilder("palette", 13)
	image := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(paletteSize), onnx.Fixed(paletteSize))
	w := b.Initializer("w", onnx.Float32s("", []int64{int64(k), 3}, weights))
	v := b.Initializer("b", onnx.Float32s("", []int64{int64(k)}, bias))
	mean := b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{image})})
	logits := b.Node("Gemm", []string{mean, w, v}, onnx.AttrInt("transB", 1))
	b.Output(logits, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(int64(k)))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "palette.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// shuffled is an order of n classes in which hardly any has its own place.
func shuffled(n int) []int { return rand.New(rand.NewPCG(11, uint64(n))).Perm(n) }

// inverse is the order that undoes one.
func inverse(order []int) []int {
	out := slices.Clone(order)
	for i, c := range order {
		out[c] = i
	}
	return out
}
