package student_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// twoIn is a net of two inputs of different ranks, one of them of booleans, and
// of outputs of every sort: computed, an input, a constant, an integer.
func twoIn(t *testing.T) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("two", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Symbol("h"), onnx.Fixed(5))
	mask := b.Input("mask", onnx.Bool, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(1), onnx.Fixed(1))
	y := b.Node("Conv", []string{x, b.Initializer("w.weight", importertest.Constant(importertest.Drawn(1, 3, 3, 1, 1)))})
	y = b.Node("Where", []string{mask, y, x})
	b.Output(y, "chosen", onnx.Float32)
	b.Output(x, "same", onnx.Float32)
	b.Output(b.Initializer("list", importertest.Constant(importertest.Drawn(2, 4))), "kept", onnx.Float32)
	b.Output(b.Node("Shape", []string{y}), "shape", onnx.Int64)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNetsHaveTheFilesPorts(t *testing.T) {
	n, err := student.ImportNet(twoIn(t), student.NetOptions{Batch: 2, Shapes: map[string][]int{"x": {2, 3, 4, 5}}, Trainable: true})
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, p := range append(slices.Clone(n.Inputs), n.Outputs...) {
		ports = append(ports, fmt.Sprintf("%s %v %v", p.Name, p.Elem, []int(p.Node.Shape())))
	}
	want := []string{"x float32 [2 4 5 3]", "mask bool [2 1 1 3]", "chosen float32 [2 4 5 3]", "same float32 [2 4 5 3]", "kept float32 [4]", "shape int64 [4]"}
	if d := cmp.Diff(want, ports); d != "" {
		t.Errorf("ports (-want +got):\n%s", d)
	}
	var params []string
	for _, p := range n.Params {
		params = append(params, p.Name())
	}
	if d := cmp.Diff([]string{"w/weight", "kept_2"}, params); d != "" {
		t.Errorf("parameters (-want +got):\n%s", d)
	}
	x := importertest.Drawn(5, 2, 3, 4, 5)
	mask := importertest.Array{Dims: []int{2, 3, 1, 1}, Data: []float64{0, 1, 1, 1, 0, 0}}
	plain := importertest.Convolve(x, importertest.Drawn(1, 3, 3, 1, 1))
	chosen := importertest.Tabulate(x.Dims, func(i []int) float64 {
		if mask.Stretched(i) == 1 {
			return plain.At(i...)
		}
		return x.At(i...)
	})
	results := []importertest.Array{chosen, x, importertest.Drawn(2, 4), {Dims: []int{4}, Data: []float64{2, 3, 4, 5}}}
	compareArrays(t, "imported", compute(t, n, []importertest.Array{x, mask}), results)

	m, err := n.Export(student.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var border []string
	for _, v := range append(slices.Clone(m.Graph.Inputs), m.Graph.Outputs...) {
		border = append(border, fmt.Sprintf("%s %v %v", v.Name, v.Type, v.Shape))
	}
	if d := cmp.Diff([]string{"x float32 [n 3 4 5]", "mask bool [n 3 1 1]", "chosen float32 [n 3 4 5]", "same float32 [n 3 4 5]", "kept float32 [4]", "shape int64 [4]"}, border); d != "" {
		t.Errorf("the exported border (-want +got):\n%s", d)
	}
	again, err := student.ImportNet(m, student.NetOptions{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	compareArrays(t, "exported and imported again", compute(t, again, []importertest.Array{x, mask}), results)
	if len(again.Params) != 0 {
		t.Errorf("%d parameters where none were asked for", len(again.Params))
	}
}

// A net may be added to: here a gradient by its input.
func TestNetsCanBeAddedTo(t *testing.T) {
	b := onnx.NewBuilder("net", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(5))
	y := b.Node("Relu", []string{b.Node("Conv", []string{x, b.Initializer("w.weight", importertest.Constant(importertest.Drawn(1, 4, 3, 3, 3)))}, onnx.AttrInts("pads", 1, 1, 1, 1))})
	b.Output(b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{y})}), "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	n, err := student.ImportNet(m, student.NetOptions{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	up := gorgonia.NewTensor(n.Expr, tensor.Float32, 2, gorgonia.WithShape(2, 4), gorgonia.WithName("up"))
	d, err := op.Pullback(gorgonia.Nodes{n.Outputs[0].Node}, gorgonia.Nodes{up}, n.Inputs[0].Node)
	if err != nil {
		t.Fatal(err)
	}
	n.Inputs = append(n.Inputs, student.Port{Name: "up", Node: up, Dims: []onnx.Dim{onnx.Symbol("n"), onnx.Fixed(4)}})
	n.Outputs = append(n.Outputs, student.Port{Name: "slope", Node: d[0]})
	in := []importertest.Array{importertest.Drawn(2, 2, 3, 4, 5), importertest.Drawn(3, 2, 4)}
	want := compute(t, n, in)
	for _, opset := range []int64{13, 21} {
		x, err := n.Export(student.ExportOptions{Opset: opset})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(x.Graph.Outputs); got != 2 || x.Graph.Outputs[1].Name != "slope" {
			t.Errorf("opset %d: %d outputs", opset, got)
		}
		if err := onnx.Check(x); err != nil {
			t.Errorf("opset %d: %v", opset, err)
		}
	}
	if len(want) != 2 || len(want[1].Data) != 2*3*4*5 {
		t.Errorf("%d outputs", len(want))
	}
}

func TestNetsThatCannotBe(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(m *onnx.Model)
		options    student.NetOptions
	}{
		{"a negative batch", "batch of -1; a net is for at least 1", nil, student.NetOptions{Batch: -1}},
		{"an open axis", `input "x" has shape [n 3 h 5], which leaves axis 2 open; say the shape in NetOptions.Shapes`, nil, student.NetOptions{}},
		{"a shape of another rank", `input "x" has shape [n 3 h 5]; NetOptions.Shapes has [1 2] for it`, nil, student.NetOptions{Shapes: map[string][]int{"x": {1, 2}}}},
		{"a shape that is another", `input "x" has shape [n 3 h 5]; NetOptions.Shapes has [1 4 4 5] for it`, nil, student.NetOptions{Shapes: map[string][]int{"x": {1, 4, 4, 5}}}},
		{"a shape of nothing", "each axis is at least 1", nil, student.NetOptions{Shapes: map[string][]int{"x": {1, 3, 0, 5}}}},
		{"an input without a shape", `input "x" has no shape`, func(m *onnx.Model) { m.Graph.Inputs[0].HasShape, m.Graph.Inputs[0].Shape = false, nil }, student.NetOptions{}},
		{"operands that do not stretch", "do not stretch to one shape", nil, student.NetOptions{Batch: 3, Shapes: map[string][]int{"x": {2, 3, 4, 5}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := twoIn(t)
			if tt.change != nil {
				tt.change(m)
			}
			if _, err := student.ImportNet(m, tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nshould say %q", err, tt.want)
			}
		})
	}
}

// fixtureFiles are small models of every kind.
func fixtureFiles(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, dir := range []string{"onnx", "teachers", "networks"} {
		found, err := filepath.Glob("../testdata/" + dir + "/*.onnx")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("no fixtures")
	}
	return files
}

// tryImports imports a model in every way. Whatever is wrong with it is an
// error.
func tryImports(m *onnx.Model) (imported int) {
	for _, o := range []student.ImportOptions{
		{Image: student.Shape{H: 32, W: 32, C: 3}},
		{Init: student.Random, Classes: 7, ReplaceHead: true, UnfoldBatchNorm: true},
	} {
		if i, err := student.ImportModel(m, o); err == nil {
			imported++
			if g, err := i.Model.Graph(2, student.Train); err == nil && g.Logits == nil {
				panic("a graph without logits")
			}
			i.Model.Export(student.ExportOptions{})
		}
	}
	if n, err := student.ImportNet(m, student.NetOptions{Batch: 2}); err == nil {
		imported++
		n.Export(student.ExportOptions{Opset: 13})
	}
	return imported
}

// mutate changes something about a model that leaves it a model: an attribute,
// an operand, an operator, a constant, a shape.
func mutate(r *rand.Rand, m *onnx.Model, ops []string) {
	g := m.Graph
	odd := []int64{-1, 0, 1, 2, 3, 5, 7, 64, -2, -3, 1 << 20, 1 << 31, 1 << 40, -1 << 62, 1<<63 - 1}
	pick := func() int64 { return odd[r.IntN(len(odd))] }
	if len(g.Nodes) == 0 {
		return
	}
	n := g.Nodes[r.IntN(len(g.Nodes))]
	switch r.IntN(8) {
	case 0:
		n.Op = ops[r.IntN(len(ops))]
	case 1:
		if len(n.Attrs) > 0 {
			a := n.Attrs[r.IntN(len(n.Attrs))]
			a.Int, a.Float = pick(), float32(pick())
			if len(a.Ints) > 0 {
				a.Ints[r.IntN(len(a.Ints))] = pick()
			}
		}
	case 2:
		if len(n.Attrs) > 0 {
			a := n.Attrs[r.IntN(len(n.Attrs))]
			if r.IntN(2) == 0 && len(a.Ints) > 0 {
				a.Ints = a.Ints[:r.IntN(len(a.Ints))]
			} else {
				n.Attrs = slices.DeleteFunc(n.Attrs, func(b *onnx.Attr) bool { return b == a })
			}
		}
	case 3:
		if len(n.Inputs) > 0 {
			names := []string{""}
			for _, t := range g.Initializers {
				names = append(names, t.Name)
			}
			for _, v := range g.Inputs {
				names = append(names, v.Name)
			}
			n.Inputs[r.IntN(len(n.Inputs))] = names[r.IntN(len(names))]
		}
	case 4:
		if len(n.Inputs) > 0 {
			n.Inputs = n.Inputs[:r.IntN(len(n.Inputs))]
		}
	case 5:
		if len(g.Initializers) > 0 {
			t := g.Initializers[r.IntN(len(g.Initializers))]
			switch {
			case t.Type == onnx.Int64 && len(t.Data) >= 8:
				v, err := t.Int64s()
				if err == nil {
					v[r.IntN(len(v))] = pick()
					*t = *onnx.Int64s(t.Name, t.Dims, v)
				}
			case len(t.Dims) > 1:
				slices.Reverse(t.Dims)
			case len(t.Dims) == 1:
				t.Dims = []int64{t.Dims[0], 1, 1}[:1+r.IntN(3)]
			}
		}
	case 6:
		v := g.Inputs[r.IntN(len(g.Inputs))]
		if len(v.Shape) > 0 {
			v.Shape[r.IntN(len(v.Shape))] = onnx.Fixed(max(pick(), 0))
		}
	default:
		m.Opsets[0].Version = 6 + r.Int64N(16)
	}
}

// TestChangedModelsDoNotPanic imports every fixture after a few changes, again
// and again.
func TestChangedModelsDoNotPanic(t *testing.T) {
	var models []*onnx.Model
	seen := map[string]bool{}
	for _, f := range fixtureFiles(t) {
		if s, err := os.Stat(f); err != nil || s.Size() > 120e3 && testing.Short() {
			continue
		}
		m, err := onnx.ReadFile(f)
		if err != nil || onnx.Check(m) != nil || len(m.Graph.Nodes) == 0 || len(m.Graph.Inputs) == 0 {
			continue
		}
		models = append(models, m)
		for _, n := range m.Graph.Nodes {
			seen[n.Op] = true
		}
	}
	var ops []string
	for o := range seen {
		ops = append(ops, o)
	}
	ops = append(ops, "LayerNormalization", "Resize", "ConvTranspose", "Expand", "Tile", "DepthToSpace", "PRelu", "Split")
	slices.Sort(ops)
	r := rand.New(rand.NewPCG(4, 4))
	imported, tried := 0, 0
	for range changedModels {
		m := models[r.IntN(len(models))].Clone()
		for range 1 + r.IntN(3) {
			mutate(r, m, ops)
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%v: %v", m.Graph.Name, p)
					panic(p)
				}
			}()
			imported += tryImports(m)
			tried++
		}()
	}
	t.Logf("%d changed models were imported %d times", tried, imported)
	if imported == 0 || imported == 3*tried {
		t.Errorf("%d changed models were imported %d times; some should be refused and some not", tried, imported)
	}
}

// changedModels is how many changed models are tried.
const changedModels = 400

// FuzzImport wants of any bytes that they are imported or refused.
func FuzzImport(f *testing.F) {
	for _, file := range fixtureFiles(f) {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 20e3 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnx.Decode(bytes.Clone(b))
		if err != nil {
			return
		}
		tryImports(m)
	})
}
