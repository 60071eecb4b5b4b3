package importer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// What Read promises to allocate at most: so much for each byte of the file,
// and so much beside it where there are functions. fixed is what any call
// takes, and what else runs beside it.
const (
	perByte      = 1000
	forFunctions = 40 << 20
	fixed        = 1 << 20
)

// FuzzRead feeds bytes to the importer: nothing may panic, allocate more than
// Read says, or change the model, and what is read must hold together.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("../../testdata/*/*.onnx")
	if err != nil || len(files) < 80 {
		f.Fatalf("%d seed files (%v)", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 1<<16 { // mutating large ones finds little and takes long
			f.Add(b)
		}
	}
	for _, m := range []*onnx.Model{nested(), calling(net([]string{"y"}, own("f", "F", "x -> y")), function("F", "a, b -> c", node("Clip", "a, b, -> c")))} {
		b, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnx.Decode(b)
		if err != nil {
			return
		}
		before := m.Clone()
		limit := uint64(perByte*len(b) + fixed)
		if len(m.Functions) > 0 {
			limit += forFunctions
		}
		var p *Program
		if n := allocated(func() { p, err = Read(m) }); n > limit {
			t.Errorf("reading %d bytes allocates %d", len(b), n)
		}
		sameModel(t, before, m)
		if err != nil {
			if p != nil {
				t.Error("an error comes with a program")
			}
			return
		}
		holdsTogether(t, p)
	})
}

// holdsTogether checks that every operand of a program is made before it is
// used, and folds what can be.
func holdsTogether(t *testing.T, p *Program) {
	t.Helper()
	made := make(map[string]bool)
	for _, v := range p.Inputs {
		made[v.Name] = true
	}
	constants := make(map[string]*onnx.Tensor)
	for name, c := range p.Constants {
		if made[name] {
			t.Errorf("%q is both input and constant", name)
		}
		made[name], constants[name] = true, c
		if c.Name != name || c.External != nil || whole(c) != nil {
			t.Errorf("constant %q is %v %v of %d bytes, called %q", name, c.Type, c.Dims, len(c.Data), c.Name)
		}
	}
	for _, c := range p.Calls {
		var in []*onnx.Tensor
		known := true
		for _, name := range c.Inputs {
			if name != "" && !made[name] {
				t.Errorf("%v uses %q, which nothing makes", c, name)
			}
			in = append(in, constants[name])
			known = known && (name == "" || constants[name] != nil)
		}
		for _, name := range c.Outputs {
			if made[name] && name != "" {
				t.Errorf("%v makes %q, which exists", c, name)
			}
			made[name] = true
		}
		if known {
			out, _, err := Fold(c, p.Opset, in)
			if err == nil {
				for i, o := range out {
					constants[c.Outputs[i]] = o
				}
				checkFolded(t, c, in, out)
			} else if _, ok := errors.AsType[*CallError](err); !ok {
				t.Errorf("%v: the error %v is no CallError", c, err)
			}
		}
	}
	for _, o := range p.Outputs {
		if !made[o.Name] {
			t.Errorf("nothing makes output %q", o.Name)
		}
	}
}

// checkFolded checks outputs of Fold for what every operator keeps to.
func checkFolded(t *testing.T, c Call, in, out []*onnx.Tensor) {
	t.Helper()
	limit := 0
	for _, x := range in {
		if x != nil {
			limit += 4 * len(x.Data) // bfloat16 and more are widened
		}
	}
	for i, o := range out {
		if err := whole(o); err != nil || o.Name != c.Outputs[i] || len(o.Data) > max(limit, MaxFolded) {
			t.Errorf("%v gives %v %v of %d bytes, called %q: %v", c, o.Type, o.Dims, len(o.Data), o.Name, err)
		}
	}
}

// FuzzFold draws an operator, attributes and operands from bytes. Nothing may
// panic, and outputs must be as long as they say.
func FuzzFold(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	for i := range foldOps {
		f.Add([]byte{byte(i), 17, 2, 2, 2, 3, 1, 2, 3, 4, 5, 6, 1, 1, 2, 0, 1, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &drawer{b: b}
		n := &onnx.Node{Op: foldOps[d.n(int64(len(foldOps)))], Name: "n"}
		opset := 1 + d.n(onnx.MaxOpset)
		var in []*onnx.Tensor
		for range d.n(6) {
			n.Inputs = append(n.Inputs, "in")
			in = append(in, d.tensor())
		}
		for range 1 + d.n(3) {
			n.Outputs = append(n.Outputs, "out")
		}
		for range d.n(3) {
			n.Attrs = append(n.Attrs, d.attr())
		}
		c := Call{Op: n.Op, Name: n.Name, Inputs: n.Inputs, Outputs: n.Outputs, Node: n}
		out, ok, err := Fold(c, opset, in)
		if !ok {
			t.Fatalf("%s is not folded", n.Op)
		}
		if err == nil {
			checkFolded(t, c, in, out)
		}
	})
}

// foldOps is the operators of Fold in a fixed order.
var foldOps = func() []string {
	var out []string
	for _, c := range foldCases {
		if len(out) == 0 || out[len(out)-1] != c.op {
			out = append(out, c.op)
		}
	}
	return out
}()

var foldAttrs = []string{
	"axis", "axes", "perm", "shape", "split", "starts", "ends", "keepdims", "noop_with_empty_axes", "allowzero", "to", "start", "end",
	"fmod", "upper", "num_outputs", "value", "value_int", "value_ints", "broadcast",
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

// number is mostly small, and sometimes at an end of its range.
func (d *drawer) number() int64 {
	switch v := d.n(256); v {
	case 255:
		return most
	case 254:
		return least
	case 253:
		return 1 << 40
	default:
		return v%16 - 5
	}
}

func (d *drawer) tensor() *onnx.Tensor {
	if d.n(8) == 7 {
		return nil
	}
	t := &onnx.Tensor{Type: []onnx.DataType{onnx.Int64, onnx.Float32, onnx.Bool, onnx.Int32, onnx.Uint8, onnx.Float16, onnx.Uint64, onnx.Int4}[d.n(8)]}
	n := int64(1)
	for range d.n(4) {
		t.Dims = append(t.Dims, d.n(4))
		n *= t.Dims[len(t.Dims)-1]
	}
	if d.n(16) == 15 {
		t.Dims = append(t.Dims, 0, most) // nothing, in a great many places
		n = 0
	}
	t.Data = make([]byte, (n*t.Type.Bits()+7)/8)
	if t.Type == onnx.Int64 {
		v := make([]int64, n)
		for i := range v {
			v[i] = d.number()
		}
		return onnx.Int64s("", t.Dims, v)
	}
	for i := range t.Data {
		t.Data[i] = byte(d.n(256))
	}
	return t
}

func (d *drawer) attr() *onnx.Attr {
	name := foldAttrs[d.n(int64(len(foldAttrs)))]
	switch d.n(3) {
	case 0:
		return onnx.AttrInt(name, d.number())
	case 1:
		var v []int64
		for range d.n(5) {
			v = append(v, d.number())
		}
		return onnx.AttrInts(name, v...)
	}
	if t := d.tensor(); t != nil {
		return onnx.AttrTensor(name, t)
	}
	return onnx.AttrFloat(name, 1)
}

// FuzzReadEdited edits models by what it draws from bytes, which comes further
// than changing files does: most of those are no models any more.
func FuzzReadEdited(f *testing.F) {
	models := []func() *onnx.Model{
		func() *onnx.Model { return nested() },
		func() *onnx.Model {
			inner := function("Inner", "a, b -> c", node("Mul", "a, b -> c", ref("alpha", "slope", onnx.AttrTypeFloat)))
			inner.AttrNames = []string{"slope"}
			return calling(with(net([]string{"y", "k"},
				node("Constant", "-> k", onnx.AttrInts("value_ints", 1, 2)),
				node("Shape", "k -> s"),
				node("Clip", "x, , w -> h"),
				own("f", "F", "h, s -> a, b"),
				node("Concat", "a, b, x -> y", onnx.AttrInt("axis", 1)),
			), onnx.Float32s("w", []int64{2}, []float32{1, 2}), raw("v", onnx.Float16, []int64{2}, 1, 2, 3, 4)),
				function("F", "a, b -> c, a", own("", "Inner", "a, a -> t", onnx.AttrFloat("slope", 1)), node("Neg", "t -> c")), inner)
		},
	}
	for _, name := range []string{"onnx/conv_net", "onnx/function", "onnx/if_captures", "onnx/attributes", "onnx/optional_names", "onnx/sparse_initializer", "teachers/uint8"} {
		m, err := onnx.ReadFile("../../testdata/" + name + ".onnx")
		if err != nil {
			f.Fatal(err)
		}
		models = append(models, m.Clone)
	}
	for i := range models {
		f.Add([]byte{byte(i)})
		f.Add([]byte{byte(i), 0, 1, 2, 1, 1, 1, 3, 2, 0, 1, 5, 1, 2})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &drawer{b: b}
		m := models[d.n(int64(len(models)))]()
		for len(d.b) > 0 {
			d.edit(m)
		}
		before := m.Clone()
		e, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		limit := uint64(perByte*len(e) + fixed + forFunctions)
		var p *Program
		if n := allocated(func() { p, err = Read(m) }); n > limit {
			t.Errorf("reading a model of %d bytes allocates %d", len(e), n)
		}
		sameModel(t, before, m)
		if err == nil {
			holdsTogether(t, p)
		}
	})
}

// edit changes one thing of a model.
func (d *drawer) edit(m *onnx.Model) {
	g := m.Graph
	nodes := g.Nodes
	if len(m.Functions) > 0 && d.n(2) == 1 {
		f := m.Functions[d.n(int64(len(m.Functions)))]
		nodes = f.Nodes
		switch d.n(8) {
		case 0:
			f.Name = m.Functions[0].Name
		case 1:
			f.Inputs = append(f.Inputs, string(rune('a'+d.n(26))))
		case 2:
			f.Outputs = append(f.Outputs, string(rune('a'+d.n(26))))
		case 3:
			f.Attrs = append(f.Attrs, d.attr())
		}
	}
	if len(nodes) == 0 {
		return
	}
	n := nodes[d.n(int64(len(nodes)))]
	names := []string{"", "x", "y", "a", "b", "c"}
	for _, n := range nodes {
		names = append(names, n.Outputs...)
	}
	name := func() string { return names[d.n(int64(len(names)))] }
	switch d.n(12) {
	case 0:
		n.Inputs = append(n.Inputs, name())
	case 1:
		n.Outputs = append(n.Outputs, name())
	case 2, 3:
		if len(n.Inputs) > 0 {
			n.Inputs[d.n(int64(len(n.Inputs)))] = name()
		}
	case 4:
		if len(n.Outputs) > 0 {
			n.Outputs[d.n(int64(len(n.Outputs)))] = name()
		}
	case 5:
		n.Op = append(foldOps, "F", "Inner", "F0", "F1", "If")[d.n(int64(len(foldOps)+5))]
	case 6:
		n.Domain = []string{"", "own", "ai.onnx"}[d.n(3)]
	case 7:
		n.Attrs = append(n.Attrs, d.attr())
	case 8:
		n.Attrs = nil
	case 9:
		if t := d.tensor(); t != nil {
			t.Name = name()
			g.Initializers = append(g.Initializers, t)
		}
	case 10:
		g.Outputs = append(g.Outputs, &onnx.Value{Name: name(), Type: onnx.DataType(d.n(20))})
	case 11:
		if len(n.Attrs) > 0 {
			n.Attrs[0] = ref(n.Attrs[0].Name, "slope", onnx.AttrType(d.n(15)))
		}
	}
}
