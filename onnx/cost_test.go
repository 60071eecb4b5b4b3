package onnx

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestCostOfASmallClassifier(t *testing.T) {
	m := readFixture(t, "conv_net")
	// conv 4*3*3*3+4, dense 5*4+5
	if got := m.Parameters(); got != 137 {
		t.Errorf("%d parameters, want 137", got)
	}
	_, err := MACs(m, nil)
	if err == nil || !strings.Contains(err.Error(), `Conv "conv": the shape of "c" is not fixed, it is [batch 4 8 8]`) {
		t.Errorf("an open batch: %v", err)
	}
	// conv 8*8*4 sums of 3*3*3, dense 5 sums of 4
	const want = 8*8*4*27 + 5*4
	got, err := MACs(m, map[string][]int64{"c": {1, 4, 8, 8}, "f": {1, 4}, "y": {1, 5}})
	if err != nil || got != want {
		t.Errorf("%d multiplications, %v; want %d", got, err, want)
	}
	m.Graph.Inputs[0].Shape[0] = Fixed(2)
	m.Graph.Values[0].Shape[0] = Fixed(2)
	m.Graph.Outputs[0].Shape[0] = Fixed(2)
	if got, err := MACs(m, nil); err != nil || got != 2*want {
		t.Errorf("a batch of two from the model's own shapes: %d, %v; want %d", got, err, 2*want)
	}
}

func TestMACsOfOperators(t *testing.T) {
	for name, c := range map[string]struct {
		x     []int64
		build func(b *Builder, x string) string
		want  int64
	}{
		"a grouped convolution": {
			[]int64{1, 4, 8, 8},
			func(b *Builder, x string) string {
				return b.Node("Conv", []string{x, floats(b, 6, 2, 3, 3)}, AttrInt("group", 2))
			},
			6 * 6 * 6 * 2 * 9, // 6x6 places, 6 channels, 2 input channels each
		},
		"a transposed convolution": {
			[]int64{1, 4, 8, 8},
			func(b *Builder, x string) string { return b.Node("ConvTranspose", []string{x, floats(b, 4, 5, 3, 3)}) },
			4 * 8 * 8 * 5 * 9,
		},
		"a stack of matrix products": {
			[]int64{2, 3, 4},
			func(b *Builder, x string) string { return b.Node("MatMul", []string{x, floats(b, 4, 5)}) },
			2 * 3 * 5 * 4,
		},
		"a list times a matrix": {
			[]int64{4},
			func(b *Builder, x string) string { return b.Node("MatMul", []string{x, floats(b, 4, 5)}) },
			5 * 4,
		},
		"a transposed product": {
			[]int64{4, 3},
			func(b *Builder, x string) string {
				return b.Node("Gemm", []string{x, floats(b, 5, 4)}, AttrInt("transA", 1), AttrInt("transB", 1))
			},
			3 * 5 * 4,
		},
		"work that does not count": {
			[]int64{4, 3},
			func(b *Builder, x string) string { return b.Node("Mul", []string{x, x}) },
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("net", 17)
			var dims []Dim
			for _, d := range c.x {
				dims = append(dims, Fixed(d))
			}
			b.Output(c.build(b, b.Input("x", Float32, dims...)), "y", Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := MACs(m, nil); err != nil || got != c.want {
				t.Errorf("%d, %v; want %d", got, err, c.want)
			}
		})
	}
}

func TestMACsRefuses(t *testing.T) {
	conv := &Node{Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}
	for name, c := range map[string]struct {
		node   *Node
		shapes map[string][]int64
		want   string
	}{
		"an unknown shape":      {conv, map[string][]int64{"w": {1, 1, 1}}, `the shape of "y" is not known`},
		"too few axes":          {conv, map[string][]int64{"w": {1, 1, 1}, "y": {1, 2}}, `"y" has shape [1 2]; at least 3 axes are needed`},
		"a negative axis":       {conv, map[string][]int64{"w": {1, 1, 1}, "y": {1, 1, -1}}, "negative axis"},
		"more than can be told": {conv, map[string][]int64{"w": {1, 1, 1 << 40}, "y": {1, 1, 1 << 40}}, "more elements than an int64 can count"},
		"a missing operand":     {&Node{Op: "Conv", Inputs: []string{"x"}, Outputs: []string{"y"}}, nil, "it has no operand 1"},
		"a missing result":      {&Node{Op: "MatMul", Inputs: []string{"x", "x"}}, map[string][]int64{"x": {1}}, "it has no output"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := MACs(&Model{Graph: &Graph{Nodes: []*Node{c.node}}}, c.shapes)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestMACsThatOverflowTogether(t *testing.T) {
	mul := func(out string) *Node { return &Node{Op: "MatMul", Inputs: []string{"x", "x"}, Outputs: []string{out}} }
	m := &Model{Graph: &Graph{Nodes: []*Node{mul("y"), mul("z")}}}
	_, err := MACs(m, map[string][]int64{"x": {1}, "y": {1 << 62}, "z": {1 << 62}})
	if err == nil || !strings.Contains(err.Error(), "more multiplications than an int64 can count") {
		t.Errorf("got %v", err)
	}
}

func TestParametersCountsWeightsInConstants(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Fixed(1), Fixed(4))
	w := b.Node("Constant", nil, AttrTensor("value", Float32s("", []int64{4, 5}, make([]float32, 20))))
	to := b.Node("Constant", nil, AttrInts("value_ints", 5))
	unused := b.Node("Constant", nil, AttrTensor("value", Float32s("", []int64{9}, make([]float32, 9))))
	y := b.Node("Gemm", []string{x, w, floats(b, 5)})
	b.Output(b.Node("Reshape", []string{y, to}), "y", Float32)
	b.Output(unused, "unused", Float32)
	list(b, 1, 2, 3)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Parameters(); got != 25 {
		t.Errorf("%d parameters, want 20 in the Constant and 5 in the initializer", got)
	}
}

// Numbers from the models' descriptions: Zagoruyko and Komodakis give 0.7 M
// parameters for WRN-16-2; MLPerf Tiny gives 78 K for its ResNet-8.
func TestCostOfTeachers(t *testing.T) {
	want := map[string]struct{ params, macs [2]int64 }{
		"wrn16_2_cifar10.onnx":        {[2]int64{680_000, 710_000}, [2]int64{100_000_000, 103_000_000}},
		"resnet8_mlperf_cifar10.onnx": {[2]int64{77_000, 79_000}, [2]int64{12_000_000, 13_000_000}},
	}
	for _, f := range teacherFiles(t) {
		w, ok := want[filepath.Base(f)]
		if !ok {
			continue
		}
		t.Run(filepath.Base(f), func(t *testing.T) {
			m, err := ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range []*Value{m.Graph.Inputs[0], m.Graph.Outputs[0]} {
				v.Shape[0] = Fixed(1)
			}
			macs, err := MACs(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			if p := m.Parameters(); p < w.params[0] || p > w.params[1] {
				t.Errorf("%d parameters, want %v", p, w.params)
			}
			if macs < w.macs[0] || macs > w.macs[1] {
				t.Errorf("%d multiplications, want %v", macs, w.macs)
			}
			t.Logf("%d parameters, %d multiply-accumulates", m.Parameters(), macs)
		})
	}
}
