package importer

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/onnxtest"
)

// The builders of models, by short names.
var (
	net      = onnxtest.Model
	node     = onnxtest.Node
	function = onnxtest.Function
	own      = onnxtest.Call
	calling  = onnxtest.WithFunctions
	ref      = onnxtest.Ref
)

// with adds initializers.
func with(m *onnx.Model, tensors ...*onnx.Tensor) *onnx.Model {
	m.Graph.Initializers = append(m.Graph.Initializers, tensors...)
	return m
}

// raw is a tensor of the given bytes.
func raw(name string, t onnx.DataType, dims []int64, data ...byte) *onnx.Tensor {
	return &onnx.Tensor{Name: name, Type: t, Dims: dims, Data: data}
}

func read(t testing.TB, m *onnx.Model) *Program {
	t.Helper()
	before := m.Clone()
	p, err := Read(m)
	if err != nil {
		t.Fatal(err)
	}
	sameModel(t, before, m)
	return p
}

// sameModel fails when a model changed.
func sameModel(t testing.TB, before, after *onnx.Model) {
	t.Helper()
	a, err := before.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := after.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Error("reading changed the model")
	}
}

// alone has onnx-go decode a model as it is.
func alone(t testing.TB, m *onnx.Model) (*recorder, error) {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	return r, r.decode(b)
}

// wiring is the calls of a program in the notation of node.
func wiring(p *Program) []string {
	var out []string
	for _, c := range p.Calls {
		out = append(out, fmt.Sprintf("%s: %s -> %s", c.Op, strings.Join(c.Inputs, ", "), strings.Join(c.Outputs, ", ")))
	}
	return out
}

// Every fault of onnx-go that the normaliser is there for, by what onnx-go
// makes of a model alone and what comes of it here.
func TestFaultsOfTheDecoderAreMadeUpFor(t *testing.T) {
	fails := func(t *testing.T, m *onnx.Model) {
		t.Helper()
		if _, err := alone(t, m); err == nil {
			t.Error("onnx-go alone decodes this; the case shows nothing")
		}
	}
	add := func(w *onnx.Tensor) *onnx.Model { return with(net([]string{"y"}, node("Add", "x, w -> y")), w) }
	for _, c := range []struct {
		name  string
		model func() *onnx.Model
		fault func(t *testing.T, m *onnx.Model) // what onnx-go does alone
		want  func(t *testing.T, p *Program)
	}{
		{
			"a declared half-precision input", func() *onnx.Model {
				m := net([]string{"y"}, node("Relu", "x -> y"))
				m.Graph.Inputs[0].Type, m.Graph.Outputs[0].Type = onnx.Float16, onnx.BFloat16
				return m
			}, fails, func(t *testing.T, p *Program) {
				if p.Inputs[0].Type != onnx.Float32 || p.Outputs[0].Type != onnx.Float32 || len(p.Notes) != 2 {
					t.Errorf("x is %v, y is %v, notes %q", p.Inputs[0].Type, p.Outputs[0].Type, p.Notes)
				}
			},
		},
		{
			"float16 constants", func() *onnx.Model {
				return add(raw("w", onnx.Float16, []int64{3}, 0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00))
			}, fails, func(t *testing.T, p *Program) {
				wantFloats(t, p.Constants["w"], 1, -2, 0x1p-24)
				if d := cmp.Diff([]string{"constants of float16 read as float32: 1"}, p.Notes); d != "" {
					t.Error(d)
				}
			},
		},
		{
			"bfloat16 constants", func() *onnx.Model {
				return add(raw("w", onnx.BFloat16, []int64{1}, 0xc0, 0x3f))
			}, fails, func(t *testing.T, p *Program) { wantFloats(t, p.Constants["w"], 1.5) },
		},
		{
			"float64 constants, which other parts do not know", func() *onnx.Model {
				return add(onnx.Float64s("w", []int64{2}, []float64{0.1, -1e300}))
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) {
				wantFloats(t, p.Constants["w"], 0.1, float32(math.Inf(-1)))
			},
		},
		{
			"a Cast to half precision", func() *onnx.Model {
				return net([]string{"y"}, node("Cast", "x -> y", onnx.AttrInt("to", int64(onnx.Float16))))
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) {
				if to := p.Calls[0].Node.Int("to", 0); to != int64(onnx.Float32) || len(p.Notes) != 1 {
					t.Errorf("it casts to %d; notes %q", to, p.Notes)
				}
			},
		},
		{
			"half precision in an attribute", func() *onnx.Model {
				return with(net([]string{"y"}, node("ConstantOfShape", "s -> y", onnx.AttrTensor("value", raw("", onnx.Float16, []int64{1}, 0, 0x3c)))),
					onnx.Int64s("s", []int64{1}, []int64{3}))
			}, fails, func(t *testing.T, p *Program) { wantFloats(t, p.Calls[0].Node.Tensor("value"), 1) },
		},
		{
			"int8 constants", func() *onnx.Model { return add(raw("w", onnx.Int8, []int64{3}, 1, 2, 255)) }, fails,
			wantKept("w", onnx.Int8, []int64{3}, 3),
		},
		{
			"uint8 constants", func() *onnx.Model { return add(raw("w", onnx.Uint8, []int64{3}, 1, 2, 255)) }, fails,
			wantKept("w", onnx.Uint8, []int64{3}, 3),
		},
		{
			"int16 constants", func() *onnx.Model { return add(raw("w", onnx.Int16, []int64{1}, 1, 2)) }, fails,
			wantKept("w", onnx.Int16, []int64{1}, 2),
		},
		{
			"uint16 constants", func() *onnx.Model { return add(raw("w", onnx.Uint16, []int64{1}, 1, 2)) }, fails,
			wantKept("w", onnx.Uint16, []int64{1}, 2),
		},
		{
			"uint32 constants", func() *onnx.Model { return add(raw("w", onnx.Uint32, []int64{1}, 1, 2, 3, 4)) }, fails,
			wantKept("w", onnx.Uint32, []int64{1}, 4),
		},
		{
			"uint64 constants", func() *onnx.Model { return add(raw("w", onnx.Uint64, nil, 1, 2, 3, 4, 5, 6, 7, 8)) }, fails,
			wantKept("w", onnx.Uint64, nil, 8),
		},
		{
			"constants of strings", func() *onnx.Model {
				return add(&onnx.Tensor{Name: "w", Type: onnx.String, Dims: []int64{2}, Strings: [][]byte{[]byte("a"), []byte("b")}})
			}, fails, func(t *testing.T, p *Program) {
				if w := p.Constants["w"]; len(w.Strings) != 2 || string(w.Strings[1]) != "b" {
					t.Errorf("w = %+v", w)
				}
			},
		},
		{
			"raw data of bool, of which it reads every eighth element", func() *onnx.Model {
				return with(net([]string{"y"}, node("Where", "m, x, x -> y")), raw("m", onnx.Bool, []int64{3}, 1, 0, 1))
			}, fails, wantKept("m", onnx.Bool, []int64{3}, 3),
		},
		{
			"a constant without elements", func() *onnx.Model {
				return with(net([]string{"y"}, node("Resize", "x, roi, s -> y")), onnx.Float32s("roi", []int64{0}, nil), onnx.Float32s("s", []int64{2}, []float32{2, 2}))
			}, fails, wantKept("roi", onnx.Float32, []int64{0}, 0),
		},
		{
			"external data", func() *onnx.Model {
				b, err := os.ReadFile(filepath.Join(fixtures, "external.onnx"))
				if err != nil {
					panic(err)
				}
				if m, err := onnx.Decode(b); err != nil {
					panic(err)
				} else if r := newRecorder(); r.decode(b) == nil {
					panic("onnx-go alone finds the data")
				} else if _, err := Read(m); err == nil || !strings.Contains(err.Error(), "open the model with ReadFile") {
					panic(fmt.Sprintf("a model whose data was not read: %v", err))
				}
				m, err := onnx.ReadFile(filepath.Join(fixtures, "external.onnx"))
				if err != nil {
					panic(err)
				}
				return m
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) { wantFloats(t, p.Constants["w"], -0.25, -0.125, 0, 0.125) },
		},
		{
			"symbolic axes, which it drops", func() *onnx.Model {
				m := net([]string{"y"}, node("Relu", "x -> y"))
				m.Graph.Inputs[0].Shape = []onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(3), onnx.Unknown()}
				return m
			}, func(t *testing.T, m *onnx.Model) {
				if r, err := alone(t, m); err != nil || len(r.tensor("x").Shape()) != 1 {
					t.Errorf("onnx-go alone has all axes (%v)", err)
				}
			}, func(t *testing.T, p *Program) {
				if d := cmp.Diff([]onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(3), onnx.Unknown()}, p.Inputs[0].Shape); d != "" {
					t.Error(d)
				}
			},
		},
		{
			"names, domains and the opset, which it drops", func() *onnx.Model {
				n := node("Relu", "x -> h")
				n.Name, n.Domain = "first", "ai.onnx"
				o := node("Fancy", "h -> y")
				o.Name, o.Domain = "second", "com.example"
				m := net([]string{"y"}, n, o)
				m.Opsets = []onnx.Opset{{Domain: "ai.onnx", Version: 15}, {Domain: "com.example", Version: 1}}
				return m
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) {
				if p.Opset != 15 || p.Name != "g" || p.Calls[0].Name != "first" || p.Calls[0].Domain != "" || p.Calls[1].Domain != "com.example" {
					t.Errorf("opset %d of %q, calls %+v", p.Opset, p.Name, p.Calls)
				}
				if got := p.Calls[1].String(); got != `com.example.Fancy "second"` {
					t.Errorf("the call is %s", got)
				}
			},
		},
		{
			"operands and results left out, which it makes one value", func() *onnx.Model {
				return with(net([]string{"y"}, node("Clip", "x, , hi -> a"), node("LayerNormalization", "a, hi, -> y, , z")), onnx.Float32s("hi", nil, []float32{6}))
			}, func(t *testing.T, m *onnx.Model) {
				r, err := alone(t, m)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := r.model.GetNodeByName(""); !ok {
					t.Error("onnx-go alone knows no value without a name")
				}
			}, func(t *testing.T, p *Program) {
				if d := cmp.Diff([]string{"Clip: x, , hi -> a", "LayerNormalization: a, hi -> y, , z"}, wiring(p)); d != "" {
					t.Error(d)
				}
			},
		},
		{
			"an operand used twice, which a graph of single edges loses", func() *onnx.Model {
				return net([]string{"y", "z"}, node("Mul", "x, x -> y"), node("Split", "y -> z, a"))
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) {
				if d := cmp.Diff([]string{"Mul: x, x -> y", "Split: y -> z, a"}, wiring(p)); d != "" {
					t.Error(d)
				}
			},
		},
		{
			"operators without operands, for which it makes one up", func() *onnx.Model {
				n := node("RandomNormal", "-> r", onnx.AttrInts("shape", 2, 3))
				n.Name = "n"
				return net([]string{"y"}, n, node("Add", "x, r -> y"))
			}, func(t *testing.T, m *onnx.Model) {
				if r, err := alone(t, m); err != nil || len(r.calls[0].inputs) != 1 {
					t.Errorf("onnx-go alone makes none up (%v)", err)
				}
			}, func(t *testing.T, p *Program) {
				if d := cmp.Diff([]string{"RandomNormal:  -> r", "Add: x, r -> y"}, wiring(p)); d != "" {
					t.Error(d)
				}
			},
		},
		{
			"weights that are listed as inputs", func() *onnx.Model {
				m := add(onnx.Float32s("w", nil, []float32{1}))
				m.IRVersion = 3
				m.Graph.Inputs = slices.Insert(m.Graph.Inputs, 0, &onnx.Value{Name: "w", Type: onnx.Float32})
				return m
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) {
				if len(p.Inputs) != 1 || p.Inputs[0].Name != "x" || len(p.Notes) != 0 {
					t.Errorf("inputs %v, notes %q", p.Inputs, p.Notes)
				}
				wantFloats(t, p.Constants["w"], 1)
			},
		},
		{
			"a default of an input", func() *onnx.Model {
				m := add(onnx.Float32s("w", nil, []float32{1}))
				m.Graph.Inputs = append(m.Graph.Inputs, &onnx.Value{Name: "w", Type: onnx.Float32})
				return m
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) {
				if d := cmp.Diff([]string{`input "w" has a default value and becomes that constant`}, p.Notes); d != "" {
					t.Error(d)
				}
			},
		},
		{
			"what no output needs", func() *onnx.Model {
				then := &onnx.Graph{Name: "then", Nodes: []*onnx.Node{node("Relu", "x -> t")}, Outputs: []*onnx.Value{{Name: "t"}}}
				return with(net([]string{"y"}, node("Relu", "x -> y"), node("Relu", "y -> unused"),
					node("If", "w -> never", onnx.AttrGraph("then_branch", then), onnx.AttrGraph("else_branch", then))),
					raw("w", onnx.Bool, nil, 1))
			}, fails, func(t *testing.T, p *Program) {
				if d := cmp.Diff([]string{"Relu: x -> y"}, wiring(p)); d != "" || len(p.Constants) != 0 {
					t.Error(d, p.Constants)
				}
				if d := cmp.Diff([]string{"left out, since no output needs them: 3 nodes and constants"}, p.Notes); d != "" {
					t.Error(d)
				}
			},
		},
		{
			"a graph that is all constants, which it takes for an empty one", func() *onnx.Model {
				return net([]string{"y"}, node("Constant", "-> y", onnx.AttrFloats("value_floats", 1, 2)))
			}, func(*testing.T, *onnx.Model) {}, func(t *testing.T, p *Program) {
				if len(p.Calls) != 0 {
					t.Errorf("calls %v", p.Calls)
				}
				wantFloats(t, p.Constants["y"], 1, 2)
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.model()
			c.fault(t, m)
			c.want(t, read(t, m))
		})
	}
}

func wantFloats(t *testing.T, w *onnx.Tensor, want ...float32) {
	t.Helper()
	if w == nil {
		t.Error("there is no such constant")
		return
	}
	if got, err := w.Float32s(); err != nil || !slices.Equal(got, want) || w.Type != onnx.Float32 {
		t.Errorf("%s is %v %v, want %v (%v)", w.Name, w.Type, got, want, err)
	}
}

// wantKept asks for a constant of the file's type and size.
func wantKept(name string, typ onnx.DataType, dims []int64, size int) func(*testing.T, *Program) {
	return func(t *testing.T, p *Program) {
		t.Helper()
		w := p.Constants[name]
		if w == nil || w.Type != typ || !slices.Equal(w.Dims, dims) || len(w.Data) != size || len(p.Calls) != 1 {
			t.Errorf("%s is %+v", name, w)
		}
	}
}

func TestConstantNodesBecomeConstants(t *testing.T) {
	value := onnx.Int64s("inner", []int64{1, 2}, []int64{7, 8})
	p := read(t, net([]string{"a", "b", "c", "d", "e", "f", "g"},
		node("Constant", "-> a", onnx.AttrTensor("value", value)),
		node("Constant", "-> b", onnx.AttrFloat("value_float", 1.5)),
		node("Constant", "-> c", onnx.AttrFloats("value_floats", 1, 2)),
		node("Constant", "-> d", onnx.AttrInt("value_int", -3)),
		node("Constant", "-> e", onnx.AttrInts("value_ints")),
		node("Constant", "-> f", onnx.AttrString("value_string", "s")),
		node("Constant", "-> g", onnx.AttrStrings("value_strings", "s", "t")),
	))
	want := map[string]*onnx.Tensor{
		"a": onnx.Int64s("a", []int64{1, 2}, []int64{7, 8}),
		"b": onnx.Float32s("b", nil, []float32{1.5}),
		"c": onnx.Float32s("c", []int64{2}, []float32{1, 2}),
		"d": onnx.Int64s("d", nil, []int64{-3}),
		"e": onnx.Int64s("e", []int64{0}, nil),
		"f": {Name: "f", Type: onnx.String, Strings: [][]byte{[]byte("s")}},
		"g": {Name: "g", Type: onnx.String, Dims: []int64{2}, Strings: [][]byte{[]byte("s"), []byte("t")}},
	}
	if len(p.Calls) != 0 || len(p.Constants) != len(want) {
		t.Errorf("%d calls and %d constants", len(p.Calls), len(p.Constants))
	}
	for name, w := range want {
		got := p.Constants[name]
		if got == nil || got.Name != name || got.Type != w.Type || !slices.Equal(got.Dims, w.Dims) || string(got.Data) != string(w.Data) || !cmp.Equal(got.Strings, w.Strings) {
			t.Errorf("%s is %+v, want %+v", name, got, w)
		}
	}
}

// Attributes of every kind must come through onnx-go as they were.
func TestAttributesComeThrough(t *testing.T) {
	large := make([]float32, 1000)
	attrs := []*onnx.Attr{
		onnx.AttrInt("i", 0), onnx.AttrFloat("f", 1.5), onnx.AttrString("s", "text"), onnx.AttrInts("is", 1, -2), onnx.AttrInts("none"),
		onnx.AttrFloats("fs", 0.5), onnx.AttrStrings("ss", "a", ""), onnx.AttrTensor("t", onnx.Int64s("", []int64{2, 1}, []int64{5, 6})),
		onnx.AttrTensor("large", onnx.Float32s("", []int64{1000}, large)), onnx.AttrTensor("bools", raw("", onnx.Bool, []int64{2}, 1, 0)),
	}
	p := read(t, net([]string{"y"}, node("Anything", "x -> y", attrs...)))
	got := p.Calls[0].Node
	if len(got.Attrs) != len(attrs) {
		t.Fatalf("%d attributes of %d", len(got.Attrs), len(attrs))
	}
	for i, want := range attrs {
		a := got.Attrs[i]
		if a.Name != want.Name || a.Type != want.Type || a.Int != want.Int || a.Float != want.Float || a.Str != want.Str ||
			!slices.Equal(a.Ints, want.Ints) || !slices.Equal(a.Floats, want.Floats) || !slices.Equal(a.Strs, want.Strs) {
			t.Errorf("attribute %d is %+v, want %+v", i, a, want)
		}
		if w := want.Tensor; w != nil && (a.Tensor.Type != w.Type || !slices.Equal(a.Tensor.Dims, w.Dims) || string(a.Tensor.Data) != string(w.Data)) {
			t.Errorf("attribute %d is %+v, want %+v", i, a.Tensor, w)
		}
	}
}

func TestWhatCannotBeImportedIsSaid(t *testing.T) {
	branch := &onnx.Graph{Name: "then", Nodes: []*onnx.Node{node("Relu", "x -> t")}, Outputs: []*onnx.Value{{Name: "t"}}}
	named := func(n *onnx.Node) *onnx.Node {
		n.Name = "n"
		return n
	}
	many := make([]string, maxEnds+1)
	wide := make([]string, 2000)
	for i := range many {
		many[i] = fmt.Sprint("y", i)
	}
	for i := range wide {
		wide[i] = fmt.Sprint("w", i)
	}
	values := onnx.Float32s("w", []int64{1}, []float32{1})
	for _, c := range []struct {
		name  string
		model *onnx.Model
		op    string // of the CallError; empty when no node is to blame
		want  string
	}{
		{"a subgraph", with(net([]string{"y"}, named(node("If", "c -> y", onnx.AttrGraph("then_branch", branch), onnx.AttrGraph("else_branch", branch)))),
			raw("c", onnx.Bool, nil, 1)), "If", `importer: If "n" (opset 17): its attribute "then_branch" is a subgraph, which cannot be imported`},
		{"a list of tensors", net([]string{"y"}, node("Odd", "x -> y", &onnx.Attr{Name: "a", Type: onnx.AttrTypeTensors, Tensors: []*onnx.Tensor{values}})),
			"Odd", `importer: Odd making "y" (opset 17): its attribute "a" is a list of tensors, which cannot be imported`},
		{"an attribute that is a type", net([]string{"y"}, node("Optional", "x -> y", &onnx.Attr{Name: "type", Type: onnx.AttrTypeTypeProto})),
			"Optional", `its attribute "type" is a type, which cannot be imported`},
		{"a sparse Constant", net([]string{"y"}, node("Constant", "-> y", &onnx.Attr{Name: "sparse_value", Type: onnx.AttrTypeSparseTensor})),
			"Constant", `importer: Constant making "y" (opset 17): it holds a sparse tensor, which cannot be imported; store it as a dense one`},
		{"a sparse initializer", func() *onnx.Model {
			m := net([]string{"y"}, node("Add", "x, w -> y"))
			m.Graph.Sparse = []*onnx.SparseTensor{{Values: values, Indices: onnx.Int64s("", []int64{1}, []int64{0}), Dims: []int64{3}}}
			return m
		}(), "", `importer: initializer "w": it is a sparse tensor, which cannot be imported; store it as a dense one`},
		{"an input that is no tensor", func() *onnx.Model {
			m := net([]string{"y"}, node("Relu", "x -> y"))
			m.Graph.Inputs[0] = &onnx.Value{Name: "x", Other: true}
			return m
		}(), "", `importer: input "x": it is no dense tensor but a sequence, map, optional or sparse tensor, which cannot be imported`},
		{"too many outputs", net(many, node("Split", "x -> "+strings.Join(many, ","))),
			"", `importer: graph "g": it has 1025 outputs; at most 1024 can be imported`},
		{"operands times results", net([]string{"y"}, node("Odd", strings.Join(slices.Repeat([]string{"x"}, 2000), ",")+"-> y,"+strings.Join(wide, ","))),
			"Odd", `it has 2000 operands and 2001 results; at most 1048576 pairs can be imported`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(c.model)
			if err == nil || !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want an ErrUnsupported with %q", err, c.want)
			}
			e, ok := errors.AsType[*CallError](err)
			if ok != (c.op != "") || ok && (e.Op != c.op || e.Opset != 17) {
				t.Errorf("the error is %+v", e)
			}
		})
	}
	for _, c := range []struct {
		name  string
		model *onnx.Model
		want  string
	}{
		{"no outputs", net(nil, node("Relu", "x -> y")), `graph "g" has no outputs: there is nothing to import`},
		{"a Constant without a value", net([]string{"y"}, node("Constant", "-> y")), `it holds no value; it must have one of the attributes [value value_float`},
		{"a Constant of two values", net([]string{"y"}, node("Constant", "-> y, z", onnx.AttrInt("value_int", 1))), "it has 2 outputs, and must have one"},
		{"what onnx.Check refuses", net([]string{"y"}, node("Relu", "nothing -> y")), `uses "nothing", which nothing makes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Read(c.model); err == nil || errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q and no ErrUnsupported", err, c.want)
			}
		})
	}
}

// allocated is the number of bytes run allocates in all.
func allocated(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// onnx-go allocates a tensor for each declared value and ten times the size of
// each constant; here neither happens.
func TestMemoryDoesNotFollowDeclarationsOrConstants(t *testing.T) {
	const few = 256 << 10
	large := []onnx.Dim{onnx.Fixed(64), onnx.Fixed(64), onnx.Fixed(1024), onnx.Fixed(1024)} // 16 GB
	m := net([]string{"y"}, node("Relu", "x -> h"), node("Relu", "h -> y"))
	m.Graph.Inputs[0].Shape, m.Graph.Outputs[0].Shape, m.Graph.Outputs[0].HasShape = large, large, true
	m.Graph.Values = []*onnx.Value{{Name: "h", Type: onnx.Float32, HasShape: true, Shape: large}}
	if n := allocated(func() { read(t, m) }); n > few {
		t.Errorf("declared shapes: %d bytes", n)
	}
	const size = 8 << 20
	m = with(net([]string{"y"}, node("Add", "x, w -> y")), raw("w", onnx.Float32, []int64{size / 4}, make([]byte, size)...))
	if n := allocated(func() {
		if _, err := Read(m); err != nil {
			t.Error(err)
		}
	}); n > few {
		t.Errorf("a constant of %d bytes: %d bytes", size, n)
	}
	m.Graph.Initializers[0] = raw("w", onnx.Float16, []int64{size / 2}, make([]byte, size)...)
	if n := allocated(func() {
		if _, err := Read(m); err != nil {
			t.Error(err)
		}
	}); n > 2*size+few {
		t.Errorf("a half-precision constant of %d bytes: %d bytes", size, n)
	}
}
