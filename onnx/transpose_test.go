package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dense is a tensor of the interpreter below.
type dense struct {
	dims []int
	data []float64
}

// evaluate computes every value of a graph of Transpose, functions of single
// elements and Add, by their definitions.
func evaluate(t *testing.T, g *Graph, values map[string]dense) map[string]dense {
	t.Helper()
	for _, c := range g.Initializers {
		f, err := c.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		d := dense{}
		for _, n := range c.Dims {
			d.dims = append(d.dims, int(n))
		}
		for _, v := range f {
			d.data = append(d.data, float64(v))
		}
		values[c.Name] = d
	}
	each := func(f func(float64) float64) func(in []dense, n *Node) dense {
		return func(in []dense, _ *Node) dense {
			y := dense{dims: in[0].dims}
			for _, v := range in[0].data {
				y.data = append(y.data, f(v))
			}
			return y
		}
	}
	operators := map[string]func(in []dense, n *Node) dense{
		"Identity": each(func(v float64) float64 { return v }),
		"Relu":     each(func(v float64) float64 { return max(v, 0) }),
		"Neg":      each(func(v float64) float64 { return -v }),
		"Tanh":     each(math.Tanh),
		"Clip":     each(func(v float64) float64 { return min(max(v, -1), 1) }),
		"Add": func(in []dense, _ *Node) dense {
			if !slices.Equal(in[0].dims, in[1].dims) {
				t.Fatalf("adding %v and %v", in[0].dims, in[1].dims)
			}
			y := dense{dims: in[0].dims}
			for i, v := range in[0].data {
				y.data = append(y.data, v+in[1].data[i])
			}
			return y
		},
		// The sum over the last axis: it tells the axes apart.
		"ReduceSum": func(in []dense, _ *Node) dense {
			last := len(in[0].dims) - 1
			y := dense{dims: append(slices.Clone(in[0].dims[:last]), 1)}
			for i := 0; i < len(in[0].data); i += in[0].dims[last] {
				sum := 0.0
				for _, v := range in[0].data[i : i+in[0].dims[last]] {
					sum += v
				}
				y.data = append(y.data, sum)
			}
			return y
		},
		"Transpose": func(in []dense, n *Node) dense {
			x := in[0]
			perm := n.Ints("perm")
			if perm == nil {
				for a := range x.dims {
					perm = append([]int64{int64(a)}, perm...)
				}
			}
			y := dense{data: make([]float64, len(x.data))}
			for _, a := range perm {
				y.dims = append(y.dims, x.dims[a])
			}
			for i := range y.data {
				rest, at := i, make([]int, len(x.dims)) // the index in x
				for k := len(perm) - 1; k >= 0; k-- {
					at[perm[k]] = rest % y.dims[k]
					rest /= y.dims[k]
				}
				from := 0
				for a, d := range x.dims {
					from = from*d + at[a]
				}
				y.data[i] = x.data[from]
			}
			return y
		},
	}
	for _, n := range g.Nodes {
		f := operators[n.Op]
		if f == nil {
			t.Fatalf("the interpreter has no %v", n)
		}
		var in []dense
		for _, name := range n.Inputs {
			v, ok := values[name]
			if !ok && name != "" {
				t.Fatalf("%v reads %q, which is not there", n, name)
			}
			in = append(in, v)
		}
		values[n.Outputs[0]] = f(in, n)
	}
	return values
}

// counted is a tensor of the given axes whose elements are all different.
func counted(dims ...int) dense {
	d := dense{dims: dims}
	n := 1
	for _, a := range dims {
		n *= a
	}
	for i := range n {
		d.data = append(d.data, float64(i)-float64(n)/2+0.25)
	}
	return d
}

// sameOutputs compares what two graphs make of the input x [2, 3, 4, 5].
func sameOutputs(t *testing.T, before, after *Graph) {
	t.Helper()
	a := evaluate(t, before, map[string]dense{"x": counted(2, 3, 4, 5)})
	b := evaluate(t, after, map[string]dense{"x": counted(2, 3, 4, 5)})
	for _, o := range before.Outputs {
		if d := cmp.Diff(a[o.Name], b[o.Name], cmp.AllowUnexported(dense{})); d != "" {
			t.Errorf("%s is another value (-before +after):\n%s", o.Name, d)
		}
	}
}

func transposeNode(in, out string, perm ...int64) *Node {
	n := &Node{Op: "Transpose", Inputs: []string{in}, Outputs: []string{out}}
	if perm != nil {
		n.Attrs = []*Attr{AttrInts("perm", perm...)}
	}
	return n
}

func unaryNode(op, in, out string) *Node {
	return &Node{Op: op, Inputs: []string{in}, Outputs: []string{out}}
}

// lines writes a graph for a table.
func lines(g *Graph) []string {
	var out []string
	for _, n := range g.Nodes {
		perm := ""
		if p := n.Ints("perm"); p != nil {
			perm = fmt.Sprint(p)
		}
		out = append(out, fmt.Sprintf("%s%s(%s) -> %s", n.Op, perm, strings.Join(n.Inputs, ", "), strings.Join(n.Outputs, ", ")))
	}
	return out
}

// fourAxes is a model of the given nodes on x [2, 3, 4, 5] and w [3, 2].
func fourAxes(nodes []*Node, outputs ...string) *Model {
	m := &Model{IRVersion: 8, Opsets: []Opset{{Version: 17}}, Graph: &Graph{
		Name: "net", Nodes: nodes,
		Inputs:       []*Value{{Name: "x", Type: Float32, HasShape: true, Shape: []Dim{Fixed(2), Fixed(3), Fixed(4), Fixed(5)}}},
		Initializers: []*Tensor{Float32s("w", []int64{3, 2}, []float32{1, 2, 3, 4, 5, 6})},
	}}
	for _, o := range outputs {
		m.Graph.Outputs = append(m.Graph.Outputs, &Value{Name: o, Type: Float32})
	}
	return m
}

func TestMergeTransposes(t *testing.T) {
	for _, c := range []struct {
		name    string
		nodes   []*Node
		outputs []string
		want    []string
	}{
		{
			"two become one",
			[]*Node{transposeNode("x", "a", 1, 2, 3, 0), transposeNode("a", "b", 0, 2, 1, 3), unaryNode("ReduceSum", "b", "y")},
			[]string{"y"},
			[]string{"Transpose[1 3 2 0](x) -> b", "ReduceSum(b) -> y"},
		}, {
			"there and back is nothing",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), transposeNode("a", "b", 0, 3, 1, 2), unaryNode("ReduceSum", "b", "y")},
			[]string{"y"},
			[]string{"ReduceSum(x) -> y"},
		}, {
			"four in a row that come back",
			[]*Node{transposeNode("x", "a", 1, 2, 3, 0), transposeNode("a", "b", 1, 2, 3, 0), transposeNode("b", "c", 1, 2, 3, 0), transposeNode("c", "d", 1, 2, 3, 0), unaryNode("ReduceSum", "d", "y")},
			[]string{"y"},
			[]string{"ReduceSum(x) -> y"},
		}, {
			"one that moves nothing",
			[]*Node{transposeNode("x", "a", 0, 1, 2, 3), unaryNode("ReduceSum", "a", "y")},
			[]string{"y"},
			[]string{"ReduceSum(x) -> y"},
		}, {
			"the axes reversed, twice, by the rank that is inferred",
			[]*Node{transposeNode("x", "a"), transposeNode("a", "b"), unaryNode("ReduceSum", "b", "y")},
			[]string{"y"},
			[]string{"ReduceSum(x) -> y"},
		}, {
			"a value between that another node reads stays",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), transposeNode("a", "b", 0, 3, 1, 2), unaryNode("ReduceSum", "a", "y"), unaryNode("ReduceSum", "b", "z")},
			[]string{"y", "z"},
			[]string{"Transpose[0 2 3 1](x) -> a", "ReduceSum(a) -> y", "ReduceSum(x) -> z"},
		}, {
			"a value between that is an output stays",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), transposeNode("a", "b", 0, 3, 1, 2), unaryNode("ReduceSum", "b", "z")},
			[]string{"a", "z"},
			[]string{"Transpose[0 2 3 1](x) -> a", "ReduceSum(x) -> z"},
		}, {
			"the operand takes the name of an output",
			[]*Node{unaryNode("Neg", "x", "n"), transposeNode("n", "a", 0, 2, 3, 1), transposeNode("a", "y", 0, 3, 1, 2), unaryNode("ReduceSum", "n", "z")},
			[]string{"y", "z"},
			[]string{"Neg(x) -> y", "ReduceSum(y) -> z"},
		}, {
			"one value under two names of outputs",
			[]*Node{unaryNode("Neg", "x", "n"), transposeNode("n", "y", 0, 1, 2, 3), transposeNode("n", "z", 0, 1, 2, 3)},
			[]string{"y", "z"},
			[]string{"Neg(x) -> y", "Identity(y) -> z"},
		}, {
			"an input that is also an output",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), transposeNode("a", "y", 0, 3, 1, 2)},
			[]string{"y"},
			[]string{"Identity(x) -> y"},
		}, {
			"an output under another output's name",
			[]*Node{unaryNode("Neg", "x", "n"), transposeNode("n", "y", 0, 1, 2, 3)},
			[]string{"n", "y"},
			[]string{"Neg(x) -> n", "Identity(n) -> y"},
		}, {
			"the same twice is once",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), transposeNode("x", "b", 0, 2, 3, 1), {Op: "Add", Inputs: []string{"a", "b"}, Outputs: []string{"c"}}, unaryNode("ReduceSum", "c", "y")},
			[]string{"y"},
			[]string{"Transpose[0 2 3 1](x) -> a", "Add(a, a) -> c", "ReduceSum(c) -> y"},
		}, {
			"the same twice, each an output",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), transposeNode("x", "b", 0, 2, 3, 1)},
			[]string{"a", "b"},
			[]string{"Transpose[0 2 3 1](x) -> a", "Transpose[0 2 3 1](x) -> b"},
		}, {
			"nobody reads it",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), transposeNode("a", "b", 1, 0, 2, 3), unaryNode("ReduceSum", "x", "y")},
			[]string{"y"},
			[]string{"ReduceSum(x) -> y"},
		}, {
			"an activation between there and back",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), transposeNode("r", "b", 0, 3, 1, 2), unaryNode("ReduceSum", "b", "y")},
			[]string{"y"},
			[]string{"Relu(x) -> r", "ReduceSum(r) -> y"},
		}, {
			"activations between two that do not come back",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), unaryNode("Neg", "r", "s"), transposeNode("s", "b", 0, 2, 3, 1), unaryNode("ReduceSum", "b", "y")},
			[]string{"y"},
			[]string{"Relu(x) -> r", "Neg(r) -> s", "Transpose[0 3 1 2](s) -> b", "ReduceSum(b) -> y"},
		}, {
			"an activation whose value others read stays where it is",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), transposeNode("r", "b", 0, 3, 1, 2), unaryNode("ReduceSum", "b", "y"), unaryNode("ReduceSum", "r", "z")},
			[]string{"y", "z"},
			[]string{"Transpose[0 2 3 1](x) -> a", "Relu(a) -> r", "Transpose[0 3 1 2](r) -> b", "ReduceSum(b) -> y", "ReduceSum(r) -> z"},
		}, {
			"the first is read by others and undone: one goes",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), transposeNode("r", "b", 0, 3, 1, 2), unaryNode("ReduceSum", "b", "y"), unaryNode("ReduceSum", "a", "z")},
			[]string{"y", "z"},
			[]string{"Transpose[0 2 3 1](x) -> a", "Relu(x) -> r", "ReduceSum(r) -> y", "ReduceSum(a) -> z"},
		}, {
			"the first is read by others and not undone: nothing is won",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), transposeNode("r", "b", 0, 2, 3, 1), unaryNode("ReduceSum", "b", "y"), unaryNode("ReduceSum", "a", "z")},
			[]string{"y", "z"},
			[]string{"Transpose[0 2 3 1](x) -> a", "Relu(a) -> r", "Transpose[0 2 3 1](r) -> b", "ReduceSum(b) -> y", "ReduceSum(a) -> z"},
		}, {
			"an activation read by two that undo, which are one",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), transposeNode("r", "b", 0, 3, 1, 2), transposeNode("r", "c", 0, 3, 1, 2), {Op: "Add", Inputs: []string{"b", "c"}, Outputs: []string{"y"}}},
			[]string{"y"},
			[]string{"Relu(x) -> r", "Add(r, r) -> y"},
		}, {
			"a sum over an axis is not carried over",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), unaryNode("ReduceSum", "a", "r"), transposeNode("r", "y", 0, 3, 1, 2)},
			[]string{"y"},
			[]string{"Transpose[0 2 3 1](x) -> a", "ReduceSum(a) -> r", "Transpose[0 3 1 2](r) -> y"},
		}, {
			"limits that are operands",
			[]*Node{transposeNode("x", "a", 0, 2, 3, 1), {Op: "Clip", Inputs: []string{"a", "", ""}, Outputs: []string{"r"}}, transposeNode("r", "y", 0, 3, 1, 2)},
			[]string{"y"},
			[]string{"Clip(x, , ) -> y"},
		}, {
			"an initializer is turned where it lies",
			[]*Node{transposeNode("w", "v", 1, 0), unaryNode("ReduceSum", "v", "y")},
			[]string{"y"},
			[]string{"ReduceSum(w) -> y"},
		}, {
			"an initializer that others read is left",
			[]*Node{transposeNode("w", "v", 1, 0), unaryNode("ReduceSum", "v", "y"), unaryNode("ReduceSum", "w", "z")},
			[]string{"y", "z"},
			[]string{"Transpose[1 0](w) -> v", "ReduceSum(v) -> y", "ReduceSum(w) -> z"},
		}, {
			"an initializer turned into an output is left",
			[]*Node{transposeNode("w", "y", 1, 0)},
			[]string{"y"},
			[]string{"Transpose[1 0](w) -> y"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fourAxes(c.nodes, c.outputs...)
			if err := Check(m); err != nil {
				t.Fatal(err)
			}
			before := m.Clone()
			gone := m.MergeTransposes()
			if d := cmp.Diff(c.want, lines(m.Graph)); d != "" {
				t.Errorf("nodes (-want +got):\n%s", d)
			}
			if want := len(c.nodes) - len(c.want); gone != want {
				t.Errorf("%d nodes went, want %d", gone, want)
			}
			if err := Check(m); err != nil {
				t.Error(err)
			}
			sameOutputs(t, before.Graph, m.Graph)
			if again := m.MergeTransposes(); again != 0 {
				t.Errorf("a second time %d more went", again)
			}
		})
	}
}

func TestMergeTransposesDropsWhatIsNoLongerTrue(t *testing.T) {
	m := fourAxes([]*Node{
		transposeNode("x", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), transposeNode("r", "b", 0, 3, 1, 2), unaryNode("Neg", "b", "n"), transposeNode("n", "y", 0, 1, 2, 3),
	}, "y")
	shape := []Dim{Fixed(2), Fixed(4), Fixed(5), Fixed(3)}
	for _, name := range []string{"a", "r", "b", "n", "y"} {
		m.Graph.Values = append(m.Graph.Values, &Value{Name: name, Type: Float32, HasShape: true, Shape: shape})
	}
	m.MergeTransposes()
	if d := cmp.Diff([]string{"Relu(x) -> r", "Neg(r) -> y"}, lines(m.Graph)); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"y"}, namesOf(m.Graph.Values)); d != "" {
		t.Errorf("values declared (-want +got):\n%s", d)
	}
}

// What a subgraph reads keeps its name and its shape.
func TestMergeTransposesLeavesSubgraphsAlone(t *testing.T) {
	inner := func(reads string) *Graph {
		return &Graph{Name: "branch", Nodes: []*Node{unaryNode("Neg", reads, "inner")}, Outputs: []*Value{{Name: "inner"}}}
	}
	m := fourAxes([]*Node{
		unaryNode("Neg", "x", "n"),
		transposeNode("n", "a", 0, 2, 3, 1), unaryNode("Relu", "a", "r"), transposeNode("r", "b", 0, 3, 1, 2), transposeNode("n", "c", 0, 1, 2, 3),
		{Op: "If", Inputs: []string{"cond"}, Outputs: []string{"i"}, Attrs: []*Attr{AttrGraph("then_branch", inner("r")), AttrGraph("else_branch", inner("c"))}},
		unaryNode("Neg", "b", "z"), transposeNode("n", "y", 0, 1, 2, 3),
	}, "i", "z", "y")
	m.Graph.Inputs = append(m.Graph.Inputs, &Value{Name: "cond", Type: Bool, HasShape: true})
	if err := Check(m); err != nil {
		t.Fatal(err)
	}
	m.MergeTransposes()
	want := []string{
		"Neg(x) -> y", "Transpose[0 2 3 1](y) -> a", "Relu(a) -> r", "Transpose[0 3 1 2](r) -> b", "Identity(y) -> c",
		"If(cond) -> i", "Neg(b) -> z",
	}
	if d := cmp.Diff(want, lines(m.Graph)); d != "" {
		t.Errorf("nodes (-want +got):\n%s", d)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
}

func TestMergeTransposesLeavesWhatItCannotRead(t *testing.T) {
	for _, c := range []struct {
		name string
		node *Node
	}{
		{"an axis twice", transposeNode("x", "a", 0, 1, 1, 3)},
		{"an axis too high", transposeNode("x", "a", 0, 1, 2, 4)},
		{"a negative axis", transposeNode("x", "a", 0, 1, 2, -1)},
		{"another domain", &Node{Op: "Transpose", Domain: "org.example", Inputs: []string{"x"}, Outputs: []string{"a"}, Attrs: []*Attr{AttrInts("perm", 0, 1, 2, 3)}}},
		{"perm of another kind", &Node{Op: "Transpose", Inputs: []string{"u"}, Outputs: []string{"a"}, Attrs: []*Attr{AttrString("perm", "0123")}}},
		{"an operand of unknown rank", transposeNode("u", "a")},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fourAxes([]*Node{
				{Op: "Mystery", Domain: "org.example", Inputs: []string{"x"}, Outputs: []string{"u"}},
				c.node, unaryNode("Neg", "a", "y"),
			}, "y")
			want := lines(m.Clone().Graph)
			if gone := m.MergeTransposes(); gone != 0 {
				t.Errorf("%d nodes went", gone)
			}
			if d := cmp.Diff(want, lines(m.Graph)); d != "" {
				t.Errorf("nodes (-want +got):\n%s", d)
			}
		})
	}
	if gone := (&Model{}).MergeTransposes(); gone != 0 {
		t.Errorf("of no graph %d nodes went", gone)
	}
}

// The axes of a slope, or of anything broadcast, would have to move along.
func TestMergeTransposesIsNotCarriedOverOperandsWithAxes(t *testing.T) {
	for _, op := range []string{"PRelu", "Mul"} {
		m := fourAxes([]*Node{
			transposeNode("x", "a", 0, 3, 2, 1), {Op: op, Inputs: []string{"a", "w"}, Outputs: []string{"p"}}, transposeNode("p", "b", 0, 3, 2, 1), unaryNode("Neg", "b", "y"),
		}, "y")
		if gone := m.MergeTransposes(); gone != 0 {
			t.Errorf("over %s %d nodes went:\n%s", op, gone, strings.Join(lines(m.Graph), "\n"))
		}
	}
}

// TestMergeTransposesKeepsTheFunction draws graphs and compares every output
// before and after.
func TestMergeTransposesKeepsTheFunction(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 26))
	gone, left := 0, 0
	for range 2000 {
		type value struct {
			name string
			dims []int
		}
		values := []value{{"x", []int{2, 3, 4, 5}}}
		var nodes []*Node
		for len(nodes) < 3+r.IntN(12) {
			// The newest values are read most, so that chains come about.
			v := values[max(0, len(values)-1-r.IntN(3))]
			out := value{fmt.Sprintf("v%d", len(nodes)), v.dims}
			switch kind := r.IntN(10); {
			case kind < 5:
				perms := [][]int64{nil, {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 1, 2, 3}, {1, 0, 2, 3}}
				perm := perms[r.IntN(len(perms))]
				nodes = append(nodes, transposeNode(v.name, out.name, perm...))
				out.dims = nil
				for i := range 4 {
					a := 3 - i
					if perm != nil {
						a = int(perm[i])
					}
					out.dims = append(out.dims, v.dims[a])
				}
			case kind < 8:
				nodes = append(nodes, unaryNode([]string{"Relu", "Neg", "Tanh", "Identity"}[r.IntN(4)], v.name, out.name))
			case kind < 9:
				nodes = append(nodes, unaryNode("ReduceSum", v.name, out.name))
				out.dims = append(slices.Clone(v.dims[:3]), 1)
			default:
				i := slices.IndexFunc(values, func(o value) bool { return slices.Equal(o.dims, v.dims) })
				nodes = append(nodes, &Node{Op: "Add", Inputs: []string{values[i].name, v.name}, Outputs: []string{out.name}})
			}
			values = append(values, out)
		}
		outputs := []string{values[len(values)-1].name}
		if extra := values[1+r.IntN(len(values)-1)].name; extra != outputs[0] {
			outputs = append(outputs, extra)
		}
		m := fourAxes(nodes, outputs...)
		before := m.Clone()
		n := m.MergeTransposes()
		if n != len(before.Graph.Nodes)-len(m.Graph.Nodes) {
			t.Fatalf("it says %d went", n)
		}
		if err := Check(m); err != nil {
			t.Fatal(err)
		}
		sameOutputs(t, before.Graph, m.Graph)
		for _, node := range m.Graph.Nodes {
			if isTranspose(node) {
				left++
				if isTranspose(producerOf(m.Graph, node)) {
					t.Errorf("%v reads a Transpose", node)
				}
			}
		}
		gone += n
		if t.Failed() {
			t.Fatalf("before:\n%s\nafter:\n%s\noutputs %v", strings.Join(lines(before.Graph), "\n"), strings.Join(lines(m.Graph), "\n"), outputs)
		}
	}
	if gone < 1000 || left < 1000 {
		t.Errorf("%d nodes went and %d Transposes were left; the graphs drawn show little", gone, left)
	}
}

// producerOf is the node that makes the first operand of n, or an empty one.
func producerOf(g *Graph, n *Node) *Node {
	if p := g.Producer(n.Inputs[0]); p != nil {
		return p
	}
	return &Node{}
}

func TestTransposedTensor(t *testing.T) {
	x := Int64s("x", []int64{2, 3}, []int64{1, 2, 3, 4, 5, 6})
	y := x.transposed([]int{1, 0})
	if got, err := y.Int64s(); err != nil || !slices.Equal(got, []int64{1, 4, 2, 5, 3, 6}) || !slices.Equal(y.Dims, []int64{3, 2}) {
		t.Errorf("got %v %v, %v", y.Dims, got, err)
	}
	if got, err := x.Int64s(); err != nil || !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("the operand became %v, %v", got, err)
	}
	for _, c := range []*Tensor{
		{Name: "strings", Type: String, Dims: []int64{1, 1}, Strings: [][]byte{nil}},
		{Name: "packed", Type: Int4, Dims: []int64{2, 1}, Data: []byte{0}},
		{Name: "short", Type: Uint8, Dims: []int64{2, 2}, Data: []byte{0}},
		{Name: "elsewhere", Type: Uint8, Dims: []int64{2, 2}, External: &External{Location: "x"}},
		Uint8s("another rank", []int64{4}, []uint8{1, 2, 3, 4}),
	} {
		if got := c.transposed([]int{1, 0}); got != nil {
			t.Errorf("%s was turned into %v", c.Name, got)
		}
	}
	if got := Uint8s("none", []int64{2, 0}, nil).transposed([]int{1, 0}); got == nil || !slices.Equal(got.Dims, []int64{0, 2}) || len(got.Data) != 0 {
		t.Errorf("of no elements: %v", got)
	}
}
