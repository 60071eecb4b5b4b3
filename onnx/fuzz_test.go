package onnx

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// FuzzDecode feeds bytes to everything that looks at a model before it was
// checked: nothing may panic, and what was decoded must come back the same.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.onnx"))
	if err != nil || len(files) != wantFixtures {
		f.Fatalf("%d seed files, want %d (%v)", len(files), wantFixtures, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		first, err := m.Encode()
		if err != nil {
			t.Fatalf("a decoded model is not encoded: %v", err)
		}
		again, err := Decode(first)
		if err != nil {
			t.Fatalf("an encoded model is not decoded: %v", err)
		}
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encoding is not stable (%v)", err)
		}
		before, after := Check(m), Check(again)
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("Check says %v, then %v", before, after)
		}
		exercise(t, m, before == nil)
	})
}

// exercise runs every edit on copies of a model. valid says that Check takes
// it; then it must take the results, too.
func exercise(t *testing.T, m *Model, valid bool) {
	t.Helper()
	original, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, c *Model) {
		if err := Check(c); valid && err != nil {
			t.Fatalf("after %s: %v", what, err)
		}
	}
	inferred := Infer(m)
	m.Parameters()
	MACs(m, nil)

	c := m.Clone()
	c.Strip()
	check("Strip", c)

	c = m.Clone()
	c.MergeTransposes()
	check("MergeTransposes", c)

	c = m.Clone()
	if _, err := c.HalfWeights(); err == nil {
		check("HalfWeights", c)
	}

	c = m.Clone()
	if err := c.SetBatch("fuzz batch"); err == nil {
		check("SetBatch", c)
	}

	c = m.Clone()
	name := c.Graph.FreshName("fuzz")
	if len(c.Graph.Inputs) > 0 {
		if err := c.Rename(c.Graph.Inputs[0].Name, name); err == nil {
			check("Rename", c)
		} else if valid {
			t.Fatalf("renaming: %v", err)
		}
	}

	var values []string
	m.Graph.defines(func(name string) {
		if k := inferred[name]; k != nil && k.Type.Valid() {
			values = append(values, name)
		}
	})
	x := m.Graph.Index()
	for _, v := range values {
		if x.Producer(v) != m.Graph.Producer(v) && valid {
			t.Fatalf("index and graph disagree on who makes %q", v)
		}
	}
	if b, err := m.Encode(); err != nil || !bytes.Equal(b, original) {
		t.Fatalf("the model changed under its copies (%v)", err)
	}
}

// FuzzGraph makes graphs of a few names from bytes, which finds more shapes of
// graph than changing files does: operands, operators, attributes, constants
// and subgraphs are drawn until the bytes are used up.
func FuzzGraph(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Add([]byte("a graph of some nodes, drawn from the letters of a sentence"))
	f.Add(bytes.Repeat([]byte{7, 3, 1, 250, 16, 99, 2}, 30))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &drawer{b: b}
		m := &Model{
			IRVersion: 8, Opsets: []Opset{{Version: 1 + d.n(MaxOpset)}},
			Graph: d.graph(0),
		}
		err := Check(m)
		if b, e := m.Encode(); e != nil {
			t.Fatal(e)
		} else if again, e := Decode(b); e != nil {
			t.Fatal(e)
		} else if after := Check(again); fmt.Sprint(err) != fmt.Sprint(after) {
			t.Fatalf("Check says %v, after a round trip %v", err, after)
		}
		exercise(t, m, err == nil)
	})
}

// drawer draws small numbers from bytes; past the end it draws zeros.
type drawer struct{ b []byte }

func (d *drawer) n(limit int64) int64 {
	if len(d.b) == 0 {
		return 0
	}
	v := int64(d.b[0]) % limit
	d.b = d.b[1:]
	return v
}

func (d *drawer) name() string { return string(rune('a' + d.n(12))) }

func (d *drawer) dims() []Dim {
	var out []Dim
	for range d.n(5) {
		switch v := d.n(9); v {
		case 7:
			out = append(out, Symbol("s"))
		case 8:
			out = append(out, Unknown())
		default:
			out = append(out, Fixed(v))
		}
	}
	return out
}

func (d *drawer) value(name string) *Value {
	return &Value{Name: name, Type: Float32, HasShape: d.n(8) > 0, Shape: d.dims()}
}

// ops are the operators that Infer and SetBatch know, in a fixed order.
var ops = func() []string {
	var out []string
	for _, list := range [][]string{unaryOps, broadcastOps, comparisonOps, predicateOps, reduceOps, {
		"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "MatMul", "Transpose", "Reshape", "Flatten",
		"Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Pad", "Expand", "Tile", "Resize", "Upsample", "DepthToSpace",
		"SpaceToDepth", "Shape", "Size", "Constant", "ConstantOfShape", "Cast", "QuantizeLinear", "DequantizeLinear", "Dropout", "Where",
		"ArgMax", "TopK", "BatchNormalization", "LayerNormalization", "If",
	}} {
		out = append(out, list...)
	}
	return out
}()

var attrNames = []string{
	"axis", "axes", "perm", "shape", "pads", "kernel_shape", "strides", "dilations", "split", "starts", "ends", "keepdims", "allowzero",
	"transA", "transB", "to", "blocksize", "start", "end", "k", "value_ints", "output_shape", "ceil_mode", "group",
}

func (d *drawer) graph(depth int) *Graph {
	g := &Graph{Name: "g", Inputs: []*Value{d.value("a")}}
	if depth > 0 {
		g.Inputs = nil
	}
	for i := range d.n(4) {
		list := make([]int64, d.n(6))
		for i := range list {
			list[i] = d.n(256) - 8
		}
		name := string(rune('b' + i))
		if depth > 0 {
			name += "'"
		}
		g.Initializers = append(g.Initializers, Int64s(name, []int64{int64(len(list))}, list))
	}
	made := 'e'
	for len(d.b) > 0 && len(g.Nodes) < 20 {
		n := &Node{Op: ops[d.n(int64(len(ops)))]}
		for range d.n(4) {
			n.Inputs = append(n.Inputs, d.name())
		}
		for range 1 + d.n(2) {
			name := string(made)
			if depth > 0 {
				name += "'"
			}
			if d.n(16) == 0 {
				name = d.name()
			}
			n.Outputs = append(n.Outputs, name)
			made++
		}
		for range d.n(3) {
			name := attrNames[d.n(int64(len(attrNames)))]
			if n.Attr(name) != nil {
				continue
			}
			switch d.n(3) {
			case 0:
				n.Attrs = append(n.Attrs, AttrInt(name, d.n(256)-4))
			case 1:
				var list []int64
				for range d.n(6) {
					list = append(list, d.n(256)-4)
				}
				n.Attrs = append(n.Attrs, AttrInts(name, list...))
			case 2:
				if depth < 3 {
					n.Attrs = append(n.Attrs, AttrGraph("body", d.graph(depth+1)))
				}
			}
		}
		g.Nodes = append(g.Nodes, n)
		if depth > 0 && d.n(3) == 0 {
			break
		}
	}
	if len(g.Nodes) > 0 {
		g.Outputs = []*Value{d.value(g.Nodes[len(g.Nodes)-1].Outputs[0])}
	}
	if d.n(2) == 1 {
		g.Values = []*Value{d.value(d.name())}
	}
	return g
}
