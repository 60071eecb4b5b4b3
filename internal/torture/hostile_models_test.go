package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// hostileModels are ONNX files. Those of a body end, where it lets them, in a
// classifier of the right classes, so that all of a file is read.
var hostileModels = []hostileCase{
	{name: "model, a FIFO", make: func(t *testing.T, w *world, dir string) [][]string {
		return asModel(w, fifo(t, filepath.Join(dir, "model.onnx")))
	}},
	{name: "model, /dev/zero", make: func(_ *testing.T, w *world, _ string) [][]string { return asModel(w, "/dev/zero") }},
	{name: "model, a folder", make: func(_ *testing.T, w *world, dir string) [][]string { return asModel(w, dir) }},

	// Small files that ask for gigabytes.
	body("ConstantOfShape of 50,000 times 50,000", func(b *onnx.Builder, x string) string {
		big := b.Node("ConstantOfShape", []string{numbers(b, 50_000, 50_000)})
		return b.Node("Add", []string{x, b.Node("ReduceSum", []string{big}, onnx.AttrInt("keepdims", 0))})
	}),
	body("Tile a million times a million", func(b *onnx.Builder, x string) string {
		return b.Node("Tile", []string{x, numbers(b, 1, 1_000_000, 1, 1_000_000)})
	}),
	body("Expand of a constant", func(b *onnx.Builder, x string) string {
		big := b.Node("Expand", []string{b.Initializer("one", onnx.Float32s("", []int64{1, 1}, []float32{1})), numbers(b, 60_000, 60_000)})
		return b.Node("Add", []string{x, b.Node("ReduceMax", []string{big}, onnx.AttrInt("keepdims", 0))})
	}),
	body("Resize a million times", func(b *onnx.Builder, x string) string {
		scales := b.Initializer("scales", onnx.Float32s("", []int64{4}, []float32{1, 1, 1e6, 1e6}))
		return b.Node("Resize", []string{x, "", scales}, onnx.AttrString("mode", "nearest"))
	}),
	body("Pad by a thousand million", func(b *onnx.Builder, x string) string {
		return b.Node("Pad", []string{x, numbers(b, 0, 0, 0, 0, 0, 0, 1_000_000_000, 1_000_000_000)})
	}),
	body("Range to 2^40", func(b *onnx.Builder, x string) string {
		number := func(n int64) string { return b.Initializer("n", onnx.Int64s("", nil, []int64{n})) }
		r := b.Node("Range", []string{number(0), number(1 << 40), number(1)})
		sum := b.Node("ReduceSum", []string{r}, onnx.AttrInt("keepdims", 0))
		return b.Node("Add", []string{x, b.Node("Cast", []string{sum}, onnx.AttrInt("to", int64(onnx.Float32)))})
	}),
	body("a constant doubled 40 times", func(b *onnx.Builder, x string) string {
		c := b.Initializer("c", onnx.Float32s("", []int64{2}, []float32{1, 2}))
		for range 40 {
			c = b.Node("Concat", []string{c, c}, onnx.AttrInt("axis", 0))
		}
		return b.Node("Add", []string{x, b.Node("ReduceMax", []string{c}, onnx.AttrInt("keepdims", 0))})
	}),
	body("the image doubled 30 times", func(b *onnx.Builder, x string) string {
		for range 30 {
			x = b.Node("Concat", []string{x, x}, onnx.AttrInt("axis", 2))
		}
		return x
	}),
	body("two vectors of 100,000 multiplied", func(b *onnx.Builder, x string) string {
		row := b.Initializer("row", onnx.Float32s("", []int64{1, 100_000}, make([]float32, 100_000)))
		column := b.Initializer("column", onnx.Float32s("", []int64{100_000, 1}, make([]float32, 100_000)))
		return b.Node("Add", []string{x, b.Node("ReduceMax", []string{b.Node("Mul", []string{row, column})}, onnx.AttrInt("keepdims", 0))})
	}),
	body("a kernel of 2^30", func(b *onnx.Builder, x string) string {
		return b.Node("MaxPool", []string{x}, onnx.AttrInts("kernel_shape", 1<<30, 1<<30), onnx.AttrInts("pads", 1<<29, 1<<29, 1<<29, 1<<29))
	}),
	body("strides and dilations of zero and less", func(b *onnx.Builder, x string) string {
		k := b.Initializer("k", onnx.Float32s("", []int64{3, 3, 1, 1}, make([]float32, 9)))
		return b.Node("Conv", []string{x, k}, onnx.AttrInts("strides", 0, -1), onnx.AttrInts("dilations", 0, -5), onnx.AttrInt("group", 0))
	}),

	// Long and deep ones.
	ofNodes(50_000, body("a chain of 50,000 nodes", func(b *onnx.Builder, x string) string {
		for range 50_000 {
			x = b.Node("Identity", []string{x})
		}
		return x
	})),
	body("a name of 16 MiB", func(b *onnx.Builder, x string) string {
		b.Name(string(make([]byte, 16<<20)))
		return b.Node("Relu", []string{x})
	}),
	raw("2,000 graphs in graphs", func() []byte {
		inner := field(1, field(1, []byte("x")), field(2, []byte("y")), field(4, []byte("Relu")))
		for range 2000 {
			attribute := field(5, field(1, []byte("then_branch")), field(6, inner), []byte{0xa0, 1, 5})
			inner = field(1, field(1, []byte("x")), field(2, []byte("y")), field(4, []byte("If")), attribute)
		}
		return modelOf(inner)
	}),
	raw("a million empty nodes", func() []byte {
		nodes := make([]byte, 0, 2<<20)
		for range 1 << 20 {
			nodes = append(nodes, 0x0a, 0)
		}
		return modelOf(nodes)
	}),
	raw("a tensor of 2^62 elements without data", func() []byte {
		dims := []byte{8}
		for range 8 {
			dims = append(dims, 0xff)
		}
		return modelOf(field(5, append(dims, 0x3f), []byte{0x10, 1}, field(8, []byte("w"))))
	}),
	raw("lengths that lie", func() []byte { return []byte("\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x0a\x00") }),
	raw("groups in groups of unknown fields", func() []byte {
		b := make([]byte, 0, 200_000)
		for range 100_000 {
			b = append(b, 0xa3, 0x06) // start of group 100
		}
		return append([]byte("\x08\x08"), b...)
	}),

	// Data beside the file.
	external("a FIFO", "weights", "0", func(t *testing.T, dir string) { fifo(t, filepath.Join(dir, "weights")) }),
	external("/dev/zero by a link", "weights", "0", func(t *testing.T, dir string) { link(t, "/dev/zero", filepath.Join(dir, "weights")) }),
	external("/dev/zero by its name", "/dev/zero", "0", nil),
	external("a path that leaves the folder", "../../../../../../etc/passwd", "0", nil),
	external("the model itself", "model.onnx", "0", nil),
	external("a link to itself", "weights", "0", func(t *testing.T, dir string) { link(t, "weights", filepath.Join(dir, "weights")) }),
	external("an offset of 2^62", "weights", "4611686018427387904", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "weights"), make([]byte, 4096))
	}),
	external("a hole of a terabyte", "weights", "0", func(t *testing.T, dir string) {
		if err := os.Truncate(write(t, filepath.Join(dir, "weights"), nil), 1<<40); err != nil {
			t.Skip(err)
		}
	}),
}

// body is a model of the world's images with something between them and a classifier.
func body(name string, middle func(b *onnx.Builder, x string) string) hostileCase {
	return hostileCase{name: "model, " + name, make: func(t *testing.T, w *world, dir string) [][]string {
		b := onnx.NewBuilder("hostile", 13)
		x := middle(b, b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(height), onnx.Fixed(width)))
		return asModel(w, classifier(t, b, x, dir))
	}}
}

// ofNodes is a case whose graph of so many nodes is run.
func ofNodes(nodes int64, c hostileCase) hostileCase {
	c.nodes = nodes
	return c
}

// classifier ends a network of a value [batch, 3, height, width] and writes it.
func classifier(t *testing.T, b *onnx.Builder, x, dir string) string {
	t.Helper()
	weights := make([]float32, 3*classes)
	for i := range weights {
		weights[i] = float32(i%7) / 7
	}
	pooled := b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})})
	logits := b.Node("MatMul", []string{pooled, b.Initializer("weights", onnx.Float32s("", []int64{3, classes}, weights))})
	b.Output(logits, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(classes))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(dir, "model.onnx"), file)
}

func numbers(b *onnx.Builder, n ...int64) string {
	return b.Initializer("numbers", onnx.Int64s("", []int64{int64(len(n))}, n))
}

// raw is a model of bytes.
func raw(name string, file func() []byte) hostileCase {
	return hostileCase{name: "model, " + name, make: func(t *testing.T, w *world, dir string) [][]string {
		return asModel(w, write(t, filepath.Join(dir, "model.onnx"), file()))
	}}
}

// field is a field of protobuf with a length: its number, below 16, and its parts.
func field(number byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := append(make([]byte, 0, n+6), number<<3|2)
	rest := n
	for ; rest >= 128; rest >>= 7 {
		b = append(b, byte(rest)|128)
	}
	b = append(b, byte(rest))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// modelOf is a model of IR version 8 and opset 17 whose graph has some fields.
func modelOf(graph ...[]byte) []byte {
	graph = append(graph, field(2, []byte("g")))
	return append(append([]byte("\x08\x08"), field(7, graph...)...), field(8, []byte("\x10\x11"))...)
}

// external is a model of a convolution whose weights lie in another file.
func external(name, location, offset string, lay func(t *testing.T, dir string)) hostileCase {
	return hostileCase{name: "external data, " + name, make: func(t *testing.T, w *world, dir string) [][]string {
		if lay != nil {
			lay(t, dir)
		}
		pair := func(key, value string) []byte { return field(13, field(1, []byte(key)), field(2, []byte(value))) }
		tensor := field(5, []byte{8, 3, 8, classes}, []byte{0x10, 1}, field(8, []byte("w")),
			pair("location", location), pair("offset", offset), pair("length", fmt.Sprint(4*3*classes)), []byte{0x70, 1})
		value := func(number byte, name string, dims ...byte) []byte {
			var shape []byte
			for _, d := range dims {
				shape = append(shape, field(1, []byte{8, d})...)
			}
			return field(number, field(1, []byte(name)), field(2, field(1, []byte{8, 1}, field(2, shape))))
		}
		node := func(op, out string, in ...string) []byte {
			var b []byte
			for _, i := range in {
				b = append(b, field(1, []byte(i))...)
			}
			return field(1, b, field(2, []byte(out)), field(4, []byte(op)))
		}
		file := modelOf(node("GlobalAveragePool", "p", "x"), node("Flatten", "f", "p"), node("MatMul", "y", "f", "w"), tensor,
			value(11, "x", 1, 3, height, width), value(12, "y", 1, classes))
		return asModel(w, write(t, filepath.Join(dir, "model.onnx"), file))
	}}
}
