package onnx

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
)

// wantShapes is how many cases testdata/gen/onnx_shapes.py writes.
const wantShapes = 84

// shapeExceptions are the cases in which Infer goes its own way, with what it
// says and why.
var shapeExceptions = map[string]struct{ want, reason string }{
	"max pool rounded up into the padding": {
		"float32 [1 1 2 3]", "onnx 1.12 counts a window that begins in the padding; ONNX Runtime and later versions do not",
	},
	"slice by attribute": {"float32 [2 6 7 8]", "onnx 1.12 gives up on these attributes"},
}

func TestInferMatchesTheOnnxPackage(t *testing.T) {
	b, err := os.ReadFile("../testdata/golden/onnx_shapes.json")
	if err != nil {
		t.Fatalf("%v; run testdata/gen/onnx_shapes.py", err)
	}
	var cases []struct {
		Name  string
		Model []byte // base64
		Want  map[string]struct {
			Type  DataType
			Shape []any
		}
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != wantShapes {
		t.Errorf("%d cases, want %d", len(cases), wantShapes)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			m, err := Decode(c.Model)
			if err != nil {
				t.Fatal(err)
			}
			inferred := Infer(m)
			for name, w := range c.Want {
				var shape []Dim
				for _, d := range w.Shape {
					switch d := d.(type) {
					case float64:
						shape = append(shape, Fixed(int64(d)))
					case string:
						if len(d) > 3 && d[:3] == "unk" {
							shape = append(shape, Unknown())
						} else {
							shape = append(shape, Symbol(d))
						}
					default:
						shape = append(shape, Unknown())
					}
				}
				want := fmt.Sprint(w.Type, " ", shapeString(shape))
				if e, ok := shapeExceptions[c.Name]; ok {
					want = e.want
				}
				got := "nothing"
				if v := inferred[name]; v != nil && v.HasShape {
					got = fmt.Sprint(v.Type, " ", shapeString(v.Shape))
				}
				if c.Name == "computed target" {
					// Ours knows more: what is left beside the batch.
					want = "float32 [batch 432]"
				}
				if got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
		})
	}
}

// PyTorch writes asymmetric padding as arithmetic on lists.
func TestInferFollowsComputedPads(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Symbol("batch"), Fixed(3), Fixed(8), Fixed(8))
	list := func(v ...int64) string { return b.Initializer("list", Int64s("", []int64{int64(len(v))}, v)) }
	zeros := b.Node("ConstantOfShape", []string{list(4)}, AttrTensor("value", Int64s("", []int64{1}, []int64{0})))
	pads := b.Node("Concat", []string{list(1, 2, 3, 4), zeros}, AttrInt("axis", 0)) // last axis first, begin and end
	pads = b.Node("Reshape", []string{pads, list(-1, 2)})
	pads = b.Node("Slice", []string{pads, list(-1), list(-1 << 63), list(0), list(-1)})
	pads = b.Node("Transpose", []string{pads}, AttrInts("perm", 1, 0))
	pads = b.Node("Reshape", []string{pads, list(-1)})
	pads = b.Node("Cast", []string{pads}, AttrInt("to", int64(Int64)))
	b.Output(b.Node("Pad", []string{x, pads}), "y", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if got := shapeString(Infer(m)["y"].Shape); got != "[batch 3 15 11]" {
		t.Errorf("y is %s, want [batch 3 15 11]", got)
	}
}

func TestInferFollowsArithmeticOnShapes(t *testing.T) {
	for name, c := range map[string]struct {
		op   string
		a, b int64
		want string
	}{
		"a sum":                  {"Add", 3, 4, "[7]"},
		"a difference":           {"Sub", 9, 4, "[5]"},
		"a product":              {"Mul", 3, 4, "[12]"},
		"a quotient":             {"Div", 9, 2, "[4]"},
		"a negative quotient":    {"Div", -9, -2, "nothing"},
		"a product out of range": {"Mul", 1 << 40, 1 << 40, "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("net", 17)
			list := func(v int64) string { return b.Initializer("list", Int64s("", []int64{1}, []int64{v})) }
			n := b.Node(c.op, []string{list(c.a), list(c.b)})
			b.Output(b.Node("ConstantOfShape", []string{n}), "y", Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			got := "nothing"
			if v := Infer(m)["y"]; v != nil && v.HasShape {
				got = shapeString(v.Shape)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestInferBelievesDeclarationsWhereItHasNoRule(t *testing.T) {
	m := readFixture(t, "attributes")
	m.Graph.Outputs = []*Value{{Name: "y", Type: Float16, HasShape: true, Shape: []Dim{Fixed(7)}}}
	v := Infer(m)["y"]
	if v == nil || v.Type != Float16 || shapeString(v.Shape) != "[7]" {
		t.Errorf("y is %+v", v)
	}
}

func TestInferTellsElementTypes(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Symbol("batch"), Fixed(4))
	shape := b.Node("Shape", []string{x})
	mask := b.Node("IsNaN", []string{x})
	cast := b.Node("Cast", []string{x}, AttrInt("to", int64(Float16)))
	b.Output(b.Node("Relu", []string{x}), "y", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	known := Infer(m)
	var got []DataType
	for _, name := range []string{"y", shape, mask, cast} {
		got = append(got, known[name].Type)
	}
	if want := []DataType{Float32, Int64, Bool, Float16}; !slices.Equal(got, want) {
		t.Errorf("types %v, want %v", got, want)
	}
	if r := Infer(readFixture(t, "conv_net"))["r"]; r.Type != Float32 || shapeString(r.Shape) != "[batch 4 8 8]" {
		t.Errorf("the undeclared value r is told as %v %s", r.Type, shapeString(r.Shape))
	}
}
