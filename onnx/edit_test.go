package onnx

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func namesOf(values []*Value) []string {
	var out []string
	for _, v := range values {
		out = append(out, v.Name)
	}
	return out
}

func TestRename(t *testing.T) {
	m := readFixture(t, "nested_if") // x and w are used two subgraphs down
	if err := m.Rename("x", "image"); err != nil {
		t.Fatal(err)
	}
	if err := m.Rename("w", "weight"); err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if m.Graph.Inputs[0].Name != "image" || m.Graph.Initializers[0].Name != "weight" {
		t.Errorf("input %q, initializer %q", m.Graph.Inputs[0].Name, m.Graph.Initializers[0].Name)
	}
	var used []string
	uses(m.Graph.Nodes[0], func(name string) { used = append(used, name) })
	slices.Sort(used)
	if d := cmp.Diff([]string{"cond", "cond", "image", "image", "image", "weight"}, used); d != "" {
		t.Errorf("values the If uses (-want +got):\n%s", d)
	}
}

func TestRenameLeavesHidingNamesAlone(t *testing.T) {
	m := readFixture(t, "loop_input_hides_outer")
	if err := m.Rename("x", "image"); err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	body := m.Graph.Nodes[0].Attr("body").Graph
	if d := cmp.Diff([]string{"i", "go", "x"}, namesOf(body.Inputs)); d != "" {
		t.Errorf("the body's inputs (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"x", "x"}, body.Nodes[1].Inputs); d != "" {
		t.Errorf("the body's addition (-want +got):\n%s", d)
	}
	if got := m.Graph.Nodes[0].Inputs[2]; got != "image" {
		t.Errorf("the loop starts from %q", got)
	}
}

func TestRenameRefuses(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"a value that does not exist":  {"nothing", "a", "the main graph has no such value"},
		"a name in use":                {"x", "y", "that name is taken"},
		"a name in use in a subgraph":  {"x", "then_out", "that name is taken"},
		"the empty name":               {"x", "", "has no name"},
		"a name of bytes, not letters": {"x", "\xff", "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			err := readFixture(t, "if_captures").Rename(c.from, c.to)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestStrip(t *testing.T) {
	m := readFixture(t, "conv_net")
	m.Graph.Outputs = nil
	m.Graph.Outputs = append(m.Graph.Outputs, &Value{Name: "r", Type: Float32})
	if got := m.Strip(); got != 5 { // pool, flatten, dense; v, d
		t.Errorf("removed %d, want 5", got)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if got := len(m.Graph.Nodes) + len(m.Graph.Initializers); got != 4 {
		t.Errorf("%d nodes and initializers are left, want 4", got)
	}
	if got := m.Strip(); got != 0 {
		t.Errorf("stripping again removed %d", got)
	}
}

func TestStripKeepsWhatSubgraphsUse(t *testing.T) {
	for _, name := range []string{"nested_if", "if_captures", "loop"} {
		m := readFixture(t, name)
		if got := m.Strip(); got != 0 {
			t.Errorf("%s: removed %d, want 0", name, got)
		}
	}
	m := readFixture(t, "old_ir_with_default_input")
	m.Graph.Nodes[0].Inputs[1] = "x"
	if got := m.Strip(); got != 1 {
		t.Errorf("removed %d, want the initializer", got)
	}
	if d := cmp.Diff([]string{"x"}, namesOf(m.Graph.Inputs)); d != "" {
		t.Errorf("inputs (-want +got):\n%s", d)
	}
}

func TestGraphQueries(t *testing.T) {
	m := readFixture(t, "nested_if")
	g, x := m.Graph, m.Graph.Index()
	if got := g.Producer("y"); got != g.Nodes[0] || x.Producer("y") != got {
		t.Errorf("y is made by %v and %v", got, x.Producer("y"))
	}
	if g.Producer("x") != nil || g.Producer("") != nil || g.Producer("then_out") != nil {
		t.Error("something makes an input, the empty name or a subgraph's value")
	}
	for _, value := range []string{"x", "w", "cond"} {
		if got := g.Consumers(value); len(got) != 1 || got[0] != g.Nodes[0] || !slices.Equal(got, x.Consumers(value)) {
			t.Errorf("%s is used by %v and %v, want the If once", value, got, x.Consumers(value))
		}
	}
	if len(g.Consumers("y")) != 0 || !x.Output("y") || x.Output("x") {
		t.Error("the output's uses are wrong")
	}
	if g.Initializer("w") == nil || x.Initializer("w") != g.Initializer("w") || g.Initializer("x") != nil {
		t.Error("initializers are wrong")
	}
	if v := g.Value("x"); v != g.Inputs[0] || x.Value("x") != v || g.Value("nothing") != nil {
		t.Error("declarations are wrong")
	}
	for hint, want := range map[string]string{"new": "new", "x": "x_2", "inner_then_out": "inner_then_out_2", "if": "if_2", "": "value"} {
		if got := g.FreshName(hint); got != want {
			t.Errorf("FreshName(%q) = %q, want %q", hint, got, want)
		}
	}
	if d := cmp.Diff([]string{"x"}, namesOf(readFixture(t, "old_ir_with_default_input").Graph.DataInputs())); d != "" {
		t.Errorf("inputs without a default (-want +got):\n%s", d)
	}
}

func TestConstantsOfEitherKindAreFound(t *testing.T) {
	b := NewBuilder("net", 17)
	x := b.Input("x", Float32, Fixed(2))
	w := b.Initializer("w", Float32s("", []int64{2}, []float32{1, 2}))
	c := b.Node("Constant", nil, AttrInts("value_ints", 3, 4))
	b.Output(b.Node("Add", []string{x, w}), "y", Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if v, err := m.Graph.Constant(c).Int64s(); err != nil || !cmp.Equal(v, []int64{3, 4}) {
		t.Errorf("the Constant is %v, %v", v, err)
	}
	if v, err := m.Graph.Index().Constant(w).Float32s(); err != nil || !cmp.Equal(v, []float32{1, 2}) {
		t.Errorf("the initializer is %v, %v", v, err)
	}
	if m.Graph.Constant("y") != nil || m.Graph.Constant("x") != nil {
		t.Error("a computed value or an input is constant")
	}
}

func TestCloneSharesNothingThatChanges(t *testing.T) {
	m := readFixture(t, "if_captures")
	before, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c := m.Clone()
	c.Opsets[0].Version = 1
	c.SetMeta("k", "v")
	c.Graph.Inputs[0].Shape[0] = Fixed(9)
	c.Graph.Nodes[0].Inputs[0] = "changed"
	c.Graph.Nodes[1].Attrs[0].Graph.Nodes[0].Outputs[0] = "changed"
	c.Graph.Nodes[1].SetAttr(AttrInt("new", 1))
	after, err := m.Encode()
	if err != nil || string(before) != string(after) {
		t.Errorf("changing a clone changed the model (%v)", err)
	}
}

func TestMetadata(t *testing.T) {
	m := readFixture(t, "conv_net")
	if v, ok := m.Meta("mean"); !ok || v != "0.5" {
		t.Errorf("mean = %q, %v", v, ok)
	}
	if _, ok := m.Meta("nothing"); ok {
		t.Error("a key that is missing is found")
	}
	m.SetMeta("classes", "none")
	m.SetMeta("std", "0.25")
	if d := cmp.Diff([]KeyValue{{"classes", "none"}, {"mean", "0.5"}, {"std", "0.25"}}, m.Metadata); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestEditsOfNothing(t *testing.T) {
	for name, edit := range map[string]func(m *Model) error{
		"Rename":   func(m *Model) error { return m.Rename("x", "y") },
		"SetBatch": func(m *Model) error { return m.SetBatch("batch") },
		"MACs":     func(m *Model) error { _, err := MACs(m, nil); return err },
	} {
		if err := edit(new(Model)); err == nil || !strings.Contains(err.Error(), "the model has no graph") {
			t.Errorf("%s says %v", name, err)
		}
	}
	if m := new(Model); m.Strip() != 0 || m.Parameters() != 0 || m.Opset() != 0 || m.Clone().Graph != nil {
		t.Error("a model without a graph has parts")
	}
}

func TestElementsAreOfTheirType(t *testing.T) {
	w := Float64s("w", []int64{2}, []float64{0.5, -1})
	if got, err := w.Float64s(); err != nil || !cmp.Equal(got, []float64{0.5, -1}) {
		t.Errorf("float64s are %v, %v", got, err)
	}
	if _, err := w.Float32s(); err == nil || !strings.Contains(err.Error(), `tensor "w" holds float64, not float32`) {
		t.Errorf("read as float32: %v", err)
	}
	if _, err := w.Int64s(); err == nil {
		t.Error("read as int64")
	}
	w.Data = w.Data[:15]
	if _, err := w.Float64s(); err == nil || !strings.Contains(err.Error(), "needs 16 bytes, got 15") {
		t.Errorf("a byte short: %v", err)
	}
	if _, err := (&Tensor{Name: "w", Dims: []int64{-1}}).Len(); err == nil {
		t.Error("a negative axis has a length")
	}
	if n, err := Uint8s("w", []int64{3}, []uint8{1, 2, 3}).Len(); err != nil || n != 3 {
		t.Errorf("three bytes have length %d, %v", n, err)
	}
}
