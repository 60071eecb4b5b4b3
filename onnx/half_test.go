package onnx

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// half is the value of a binary16 number by the definition of IEEE 754.
func half(h uint16) float64 {
	exponent, fraction := int(h>>10&31), float64(h&1023)
	v := math.Ldexp(1024+fraction, exponent-25)
	switch {
	case exponent == 0:
		v = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		v = math.Inf(1)
	case exponent == 31:
		return math.NaN()
	}
	if h>>15 == 1 {
		v = math.Copysign(v, -1)
	}
	return v
}

func TestEveryFloat16HasItsValue(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		got, want := Float16frombits(h), half(h)
		if want != want {
			if got == got {
				t.Fatalf("%#04x is %v, want NaN", h, got)
			}
			if back := Float16bits(got); back&0x7c00 != 0x7c00 || back&0x3ff == 0 || back&0x8000 != h&0x8000 {
				t.Fatalf("the NaN %#04x comes back as %#04x", h, back)
			}
			continue
		}
		if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
			t.Fatalf("%#04x is %v, want %v", h, got, want)
		}
		if back := Float16bits(got); back != h {
			t.Fatalf("%#04x is %v and comes back as %#04x", h, got, back)
		}
	}
}

func TestFloat16IsTheNearest(t *testing.T) {
	check := func(v float32) {
		t.Helper()
		got := Float16bits(v)
		off := func(h uint16) float64 { return math.Abs(half(h) - float64(v)) }
		for _, other := range []uint16{got - 1, got + 1} {
			if other&0x7fff > 0x7bff || other&0x8000 != got&0x8000 {
				continue // infinity, or the other side of zero
			}
			if off(other) < off(got) || off(other) == off(got) && got&1 == 1 {
				t.Fatalf("%v becomes %v; %v is nearer, or as near and even", v, half(got), half(other))
			}
		}
	}
	r := rand.New(rand.NewPCG(3, 7))
	for range 100_000 {
		v := float32(math.Ldexp(1+r.Float64(), r.IntN(43)-28))
		if v >= 65520 {
			continue
		}
		check(v)
		check(-v)
	}
	for h := range uint16(0x7bff) { // half-way between neighbours, and just beside
		v := float32((half(h) + half(h+1)) / 2)
		check(v)
		check(math.Nextafter32(v, 0))
		check(math.Nextafter32(v, 1e9))
	}
	for _, c := range []struct {
		v    float32
		want uint16
	}{
		{0, 0}, {float32(math.Copysign(0, -1)), 0x8000}, {1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff},
		{math.Nextafter32(65520, 0), 0x7bff}, {65520, 0x7c00}, {-65520, 0xfc00}, {math.MaxFloat32, 0x7c00},
		{float32(math.Inf(1)), 0x7c00}, {float32(math.Inf(-1)), 0xfc00}, {float32(math.NaN()), 0x7e00},
		{0x1p-24, 1}, {0x1p-25, 0}, {math.Nextafter32(0x1p-25, 1), 1}, {0x1p-14, 0x0400}, {math.Nextafter32(0x1p-14, 0), 0x0400},
		{math.SmallestNonzeroFloat32, 0},
	} {
		if got := Float16bits(c.v); got != c.want {
			t.Errorf("%v becomes %#04x, want %#04x", c.v, got, c.want)
		}
	}
}

func TestFloat32sReadsEveryShortFloat(t *testing.T) {
	want := []float32{0, 1, -2.5, 65504, float32(math.Inf(-1))}
	f16 := Float16s("h", []int64{5}, want)
	if f16.Type != Float16 || len(f16.Data) != 10 || !slices.Equal(f16.Dims, []int64{5}) || f16.Name != "h" {
		t.Errorf("%+v", f16)
	}
	if got, err := f16.Float32s(); err != nil || !slices.Equal(got, want) {
		t.Errorf("float16: %v, %v", got, err)
	}
	want[3] = 65536 // of 8 bits
	bf16 := &Tensor{Name: "b", Type: BFloat16, Dims: []int64{5}}
	for _, v := range want {
		bf16.Data = binary.LittleEndian.AppendUint16(bf16.Data, uint16(math.Float32bits(v)>>16))
	}
	if got, err := bf16.Float32s(); err != nil || !slices.Equal(got, want) {
		t.Errorf("bfloat16: %v, %v", got, err)
	}
	f16.Data = f16.Data[:9]
	if _, err := f16.Float32s(); err == nil || !strings.Contains(err.Error(), "needs 10 bytes, got 9") {
		t.Errorf("a byte short: %v", err)
	}
}

// weighted is a model with a weight [3, 64] read twice, once by a subgraph, a
// bias too small to count, a default a caller may replace and an initializer
// that is an output.
func weighted(t *testing.T, w []float32) *Model {
	t.Helper()
	if w == nil {
		for i := range 192 {
			w = append(w, float32(i)/3)
		}
	}
	branch := func(name string) *Graph {
		return &Graph{Name: name, Nodes: []*Node{{Op: "Neg", Inputs: []string{"w"}, Outputs: []string{name}}}, Outputs: []*Value{{Name: name}}}
	}
	many := make([]float32, 192)
	m := &Model{IRVersion: 8, Opsets: []Opset{{Version: 17}}, Graph: &Graph{
		Name: "net",
		Nodes: []*Node{
			{Name: "product", Op: "MatMul", Inputs: []string{"x", "w"}, Outputs: []string{"p"}},
			{Name: "sum", Op: "Add", Inputs: []string{"p", "b"}, Outputs: []string{"y"}},
			{Name: "if", Op: "If", Inputs: []string{"cond"}, Outputs: []string{"i"}, Attrs: []*Attr{AttrGraph("then_branch", branch("yes")), AttrGraph("else_branch", branch("no"))}},
		},
		Inputs: []*Value{
			{Name: "x", Type: Float32, HasShape: true, Shape: []Dim{Symbol("batch"), Fixed(3)}},
			{Name: "cond", Type: Bool, HasShape: true},
			{Name: "default", Type: Float32, HasShape: true, Shape: []Dim{Fixed(192)}},
		},
		Outputs: []*Value{{Name: "y", Type: Float32}, {Name: "i", Type: Float32}, {Name: "constant", Type: Float32}},
		Values:  []*Value{{Name: "w", Type: Float32, HasShape: true, Shape: []Dim{Fixed(3), Fixed(64)}}},
		Initializers: []*Tensor{
			Float32s("w", []int64{3, 64}, w), Float32s("b", []int64{64}, make([]float32, 64)),
			Float32s("default", []int64{192}, many), Float32s("constant", []int64{192}, many), Float64s("double", []int64{192}, make([]float64, 192)),
		},
	}}
	if err := Check(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHalfWeights(t *testing.T) {
	m := weighted(t, nil)
	n, err := m.HalfWeights()
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if n != 1 {
		t.Errorf("%d tensors were changed, want 1", n)
	}
	want := []row{
		{"w/float32", "Cast", []string{"w"}, []string{"w/float32"}},
		{"product", "MatMul", []string{"x", "w/float32"}, []string{"p"}},
		{"sum", "Add", []string{"p", "b"}, []string{"y"}},
		{"if", "If", []string{"cond"}, []string{"i"}},
	}
	if d := cmp.Diff(want, rowsOf(m.Graph.Nodes)); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
	if got := m.Graph.Nodes[0].Int("to", 0); got != int64(Float32) {
		t.Errorf("cast to %d", got)
	}
	for _, a := range m.Graph.Nodes[3].Attrs {
		if got := a.Graph.Nodes[0].Inputs[0]; got != "w/float32" {
			t.Errorf("the %s reads %q", a.Name, got)
		}
	}
	if d := cmp.Diff([]string{"w/float32"}, namesOf(m.Graph.Values)); d != "" {
		t.Errorf("values declared (-want +got):\n%s", d)
	}
	types := map[string]DataType{}
	for _, c := range m.Graph.Initializers {
		types[c.Name] = c.Type
	}
	if d := cmp.Diff(map[string]DataType{"w": Float16, "b": Float32, "default": Float32, "constant": Float32, "double": Float64}, types); d != "" {
		t.Errorf("initializers (-want +got):\n%s", d)
	}
	got, err := m.Graph.Initializer("w").Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if want := float64(i) / 3; math.Abs(float64(v)-want) > want/2048 {
			t.Errorf("element %d is %v, want %v", i, v, want)
		}
	}
	if n, err := m.HalfWeights(); n != 0 || err != nil {
		t.Errorf("a second time: %d tensors, %v", n, err)
	}
}

func TestHalfWeightsTakesFreeNames(t *testing.T) {
	m := weighted(t, nil)
	if err := m.Rename("p", "w/float32"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.HalfWeights(); err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if got := m.Graph.Nodes[0].Outputs[0]; got != "w/float32_2" {
		t.Errorf("the cast makes %q", got)
	}
}

func TestHalfWeightsRefuses(t *testing.T) {
	with := func(v float32) []float32 {
		w := make([]float32, 192)
		for i := range w {
			w[i] = 1
		}
		w[7] = v
		return w
	}
	for _, c := range []struct {
		name string
		m    *Model
		want string
	}{
		{"a weight too large", weighted(t, with(65520)), `tensor "w" cannot be kept in half precision: element 7 is 65520, and float16 ends at 65504`},
		{"a weight too small", weighted(t, with(-1e9)), `tensor "w" cannot be kept in half precision: element 7 is -1e+09`},
		{"an old opset", &Model{IRVersion: 3, Opsets: []Opset{{Version: 5}}, Graph: &Graph{Name: "net"}}, "opset 6 or later, for Cast; the model has opset 5"},
		{"no graph", &Model{}, "no graph"},
		{"elements that were not read", func() *Model {
			m := weighted(t, nil)
			m.Graph.Initializers[0].Data, m.Graph.Initializers[0].External = nil, &External{Location: "w.bin"}
			return m
		}(), `"w.bin", which was not read`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.m.Clone()
			n, err := c.m.HalfWeights()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if n != 0 {
				t.Errorf("%d tensors were changed", n)
			}
			if c.m.Graph != nil {
				if d := cmp.Diff(rowsOf(before.Graph.Nodes), rowsOf(c.m.Graph.Nodes)); d != "" {
					t.Errorf("the model was changed (-before +after):\n%s", d)
				}
			}
		})
	}
	// What is no number in float32 is none in float16 either.
	m := weighted(t, with(float32(math.Inf(-1))))
	if _, err := m.HalfWeights(); err != nil {
		t.Errorf("an infinite weight: %v", err)
	}
	if v, err := m.Graph.Initializer("w").Float32s(); err != nil || !math.IsInf(float64(v[7]), -1) {
		t.Errorf("it became %v, %v", v[7], err)
	}
}

// A mask keeps the numbers by which it hides, which float16 does not have.
func TestHalfWeightsLeavesMasksWhole(t *testing.T) {
	for _, c := range []struct {
		name   string
		hidden []float32
		halves int
	}{
		{"the least number", []float32{-math.MaxFloat32}, 0},
		{"large numbers and infinity", []float32{-1e9, -70000, float32(math.Inf(-1))}, 0},
		{"infinity alone, which float16 has", []float32{float32(math.Inf(-1))}, 1},
		{"what float16 holds", []float32{-65504}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := append(make([]float32, 192-len(c.hidden)), c.hidden...)
			m := weighted(t, v)
			if n, err := m.HalfWeights(); n != c.halves || err != nil {
				t.Fatalf("%d tensors are halved, %v; want %d", n, err, c.halves)
			}
			if got, err := m.Graph.Initializer("w").Float32s(); err != nil || !slices.Equal(got, v) {
				t.Errorf("it became %v, %v", got, err)
			}
		})
	}
}
