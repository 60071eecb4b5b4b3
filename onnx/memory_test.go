package onnx

import (
	"fmt"
	"strings"
	"testing"
)

// A file of a few hundred bytes can ask for any amount of memory in many ways.
func TestCheckMemory(t *testing.T) {
	image := func(b *Builder) string { return b.Input("x", Float32, Symbol("n"), Fixed(3), Fixed(8), Fixed(8)) }
	ints := func(b *Builder, v ...int64) string {
		return b.Initializer("ints", Int64s("", []int64{int64(len(v))}, v))
	}
	number := func(b *Builder, v int64) string { return b.Initializer("number", Int64s("", nil, []int64{v})) }
	// use makes the output of the image and a constant, without a result of its size.
	use := func(b *Builder, c string) string {
		return b.Node("Add", []string{image(b), b.Node("ReduceMax", []string{c})})
	}
	const constants, results = "the constants that the file computes take", "its results take"
	for _, c := range []struct {
		name  string
		build func(b *Builder) string
		want  string // in the error; "" is none
	}{
		{"a table", func(b *Builder) string { return use(b, b.Node("ConstantOfShape", []string{ints(b, 50000, 50000)})) },
			`onnx: with ConstantOfShape "ConstantOfShape", whose result is float32 [50000 50000], the constants that the file computes take 9.31 GiB; the most allowed is 0.25 GiB: 8 times those in the file, plus 0.25 GiB`},
		{"an expansion", func(b *Builder) string {
			return use(b, b.Node("Expand", []string{b.Initializer("one", Float32s("", []int64{1}, []float32{1})), ints(b, 1<<20, 1<<20)}))
		}, constants},
		{"repeats", func(b *Builder) string {
			return use(b, b.Node("Tile", []string{b.Initializer("one", Float32s("", []int64{1}, []float32{1})), ints(b, 1<<40)}))
		}, constants},
		{"a range", func(b *Builder) string {
			return use(b, b.Node("Cast", []string{b.Node("Range", []string{number(b, 0), number(b, 1<<40), number(b, 2)})}, AttrInt("to", 1)))
		}, constants},
		{"a range of fractions", func(b *Builder) string {
			at := func(v float32) string { return b.Initializer("at", Float32s("", nil, []float32{v})) }
			return use(b, b.Node("Range", []string{at(0), at(1), at(1e-10)}))
		}, constants},
		{"one of many", func(b *Builder) string {
			return use(b, b.Node("OneHot", []string{ints(b, 1, 2), number(b, 1<<40), b.Initializer("values", Float32s("", []int64{2}, []float32{0, 1}))}))
		}, constants},
		{"noise", func(b *Builder) string { return use(b, b.Node("RandomNormal", nil, AttrInts("shape", 1<<20, 1<<20))) }, constants},
		{"the product of a column and a row", func(b *Builder) string {
			column := b.Node("ConstantOfShape", []string{ints(b, 1<<18, 1)})
			return use(b, b.Node("MatMul", []string{column, b.Node("ConstantOfShape", []string{ints(b, 1, 1<<18)})}))
		}, constants},
		{"the sum of a column and a row", func(b *Builder) string {
			column := b.Node("ConstantOfShape", []string{ints(b, 1<<18, 1)})
			return use(b, b.Node("Add", []string{column, b.Node("ConstantOfShape", []string{ints(b, 1, 1<<18)})}))
		}, constants},
		{"doubling", func(b *Builder) string {
			c := ints(b, 1)
			for range 60 {
				c = b.Node("Concat", []string{c, c}, AttrInt("axis", 0))
			}
			return use(b, b.Node("Cast", []string{c}, AttrInt("to", 1)))
		}, constants},
		{"many tables", func(b *Builder) string {
			size := ints(b, 1<<24) // 64 MiB each
			x := image(b)
			for range 5 {
				x = b.Node("Add", []string{x, b.Node("ReduceMax", []string{b.Node("Mul", []string{b.Node("ConstantOfShape", []string{size}), b.Node("ReduceMax", []string{x})})})})
			}
			return x
		}, constants},
		{"many tables, one at a time", func(b *Builder) string {
			x, size := image(b), ints(b, 1<<24)
			for range 20 {
				x = b.Node("Add", []string{x, b.Node("ReduceMax", []string{b.Node("ConstantOfShape", []string{size})})})
			}
			return x
		}, ""},
		{"enlarged images", func(b *Builder) string {
			x := image(b)
			for range 12 {
				x = b.Node("Resize", []string{x, "", b.Initializer("by", Float32s("", []int64{4}, []float32{1, 1, 4, 4}))})
			}
			return x
		}, results},
		{"padded images", func(b *Builder) string {
			return b.Node("Pad", []string{image(b), ints(b, 0, 0, 0, 0, 0, 0, 1<<20, 1<<20)})
		}, results},
		{"repeated images", func(b *Builder) string { return b.Node("Tile", []string{image(b), ints(b, 1, 1<<30, 1, 1)}) }, results},
		{"results that are all kept", func(b *Builder) string {
			x := image(b)
			var all []string
			for i := range 10 {
				all = append(all, b.Node("Tile", []string{x, ints(b, 1, 1, 1<<10, 600+int64(i))})) // 0.44 GiB and more
			}
			for _, v := range all {
				x = b.Node("Add", []string{x, b.Node("ReduceMax", []string{v})})
			}
			return x
		}, results},
		{"the same one after another", func(b *Builder) string {
			x := image(b)
			for i := range 10 {
				x = b.Node("Add", []string{x, b.Node("ReduceMax", []string{b.Node("Tile", []string{x, ints(b, 1, 1, 1<<10, 600+int64(i))})})})
			}
			return x
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBuilder("net", 17)
			b.Output(c.build(b), "y", Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			err = CheckMemory(m, nil)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A subgraph's results count, and a batch of images that a file fixes.
func TestCheckMemoryOfSubgraphsAndInputs(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Fixed(1))
	yes := b.Initializer("yes", &Tensor{Type: Bool, Data: []byte{1}})
	size := b.Initializer("size", Int64s("", []int64{2}, []int64{50000, 50000}))
	branch := func(name string) *Graph {
		return &Graph{Name: name, Nodes: []*Node{{Op: "ConstantOfShape", Inputs: []string{size}, Outputs: []string{name}}}, Outputs: []*Value{{Name: name, Type: Float32}}}
	}
	y := b.Node("If", []string{yes}, AttrGraph("then_branch", branch("a")), AttrGraph("else_branch", branch("b")))
	b.Output(b.Node("Add", []string{x, b.Node("ReduceMax", []string{y})}), "y", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckMemory(m, nil); err == nil || !strings.Contains(err.Error(), `ConstantOfShape making "a"`) {
		t.Errorf("error %v", err)
	}
	for batch, want := range map[int64]string{1 << 10: "", 1 << 20: "its inputs take 588 GiB; the most that is run is 4 GiB"} {
		b := NewBuilder("net", 17)
		b.Output(b.Node("GlobalAveragePool", []string{b.Input("x", Float32, Fixed(batch), Fixed(3), Fixed(224), Fixed(224))}), "y", Float32)
		m, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(CheckMemory(m, nil)); want == "" && got != "<nil>" || !strings.Contains(got, want) {
			t.Errorf("for a batch of %d: %s, want %q", batch, got, want)
		}
	}
}
