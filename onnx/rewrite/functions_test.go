package rewrite

import (
	"errors"
	"fmt"
	"runtime"
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

// wiring is the nodes of a model in the notation of node.
func wiring(m *onnx.Model) []string {
	var out []string
	for _, n := range m.Graph.Nodes {
		out = append(out, fmt.Sprintf("%s: %s -> %s", n.Op, strings.Join(n.Inputs, ", "), strings.Join(n.Outputs, ", ")))
	}
	return out
}

// inlined replaces the functions of a checked model.
func inlined(t *testing.T, m *onnx.Model) (*onnx.Model, int) {
	t.Helper()
	if err := onnx.Check(m); err != nil {
		t.Fatal(err)
	}
	calls, err := InlineFunctions(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := onnx.Check(m); err != nil {
		t.Errorf("without its functions: %v", err)
	}
	if len(m.Functions) > 0 {
		t.Errorf("%d functions are left", len(m.Functions))
	}
	return m, calls
}

func TestFunctionsAreInlined(t *testing.T) {
	inner := function("Inner", "a, b -> c", node("Mul", "a, b -> c"))
	for _, c := range []struct {
		name  string
		model *onnx.Model
		want  []string
	}{
		{
			"twice, with names of their own",
			calling(net([]string{"y"}, own("one", "F", "x -> h"), own("two", "F", "h -> y")),
				function("F", "a -> b", node("Relu", "a -> t"), node("Neg", "t -> b"))),
			[]string{"Relu: x -> one/t", "Neg: one/t -> h", "Relu: h -> two/t", "Neg: two/t -> y"},
		},
		{
			"inside each other",
			calling(net([]string{"y"}, own("f", "F", "x -> y")), function("F", "a -> b", own("g", "Inner", "a, a -> t"), node("Neg", "t -> b")), inner),
			[]string{"Mul: x, x -> f/t", "Neg: f/t -> y"},
		},
		{
			"with operands left out, inside and at the end",
			calling(net([]string{"y"}, own("f", "F", "x, , x -> y")), function("F", "a, b, c, d -> e", node("Clip", "a, b, c -> t"), node("Clip", "t, d -> e"))),
			[]string{"Clip: x, , x -> f/t", "Clip: f/t,  -> y"},
		},
		{
			"with results left out",
			calling(net([]string{"y"}, own("f", "F", "x -> , y")), function("F", "a -> b, c, d", node("Split", "a -> b, c"), node("Neg", "a -> d"))),
			[]string{"Split: x -> f/b, y", "Neg: x -> f/d"},
		},
		{
			"with an operand handed through",
			calling(net([]string{"y", "z"}, own("f", "F", "x -> y, z")), function("F", "a -> a, b", node("Neg", "a -> b"))),
			[]string{"Neg: x -> z", "Identity: x -> y"},
		},
		{
			"beside values of the same names",
			calling(net([]string{"y"}, node("Relu", "x -> f/t"), own("f", "F", "f/t -> h"), own("f", "F", "h -> y")),
				function("F", "a -> b", node("Relu", "a -> t"), node("Neg", "t -> b"))),
			[]string{"Relu: x -> f/t", "Relu: f/t -> f/t_2", "Neg: f/t_2 -> h", "Relu: h -> f/t_3", "Neg: f/t_3 -> y"},
		},
		{
			"from calls without a name, and with a very long one",
			calling(net([]string{"y"}, own("", "F", "x -> h"), own(strings.Repeat("n", 101), "F", "h -> y")),
				function("F", "a -> b", node("Relu", "a -> t"), node("Neg", "t -> b"))),
			[]string{"Relu: x -> F_1/t", "Neg: F_1/t -> h", "Relu: h -> F_2/t", "Neg: F_2/t -> y"},
		},
		{
			"whatever their default domain is called",
			func() *onnx.Model {
				f := function("F", "a -> b", node("Relu", "a -> b"))
				f.Opsets[0].Domain = "ai.onnx"
				return calling(net([]string{"y"}, own("f", "F", "x -> y")), f)
			}(),
			[]string{"Relu: x -> y"},
		},
		{
			"and not where no output needs the call",
			func() *onnx.Model {
				f := function("F", "a -> b", node("Relu", "a -> b"))
				f.Opsets[0].Version = 13 // an error where it is needed
				return calling(net([]string{"y"}, own("f", "F", "x -> unused"), node("Neg", "x -> y")), f)
			}(),
			[]string{"Neg: x -> y"},
		},
		{
			"and not where the overload is another",
			func() *onnx.Model {
				f := function("F", "a -> b", node("Relu", "a -> b"))
				f.Overload = "other"
				return calling(net([]string{"y"}, own("f", "F", "x -> y")), f)
			}(),
			[]string{"F: x -> y"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := inlined(t, c.model)
			named := map[string]bool{}
			for _, n := range m.Graph.Nodes {
				if n.Name != "" && named[n.Name] {
					t.Errorf("two nodes are called %q, which ONNX Runtime refuses", n.Name)
				}
				named[n.Name] = true
			}
			if d := cmp.Diff(c.want, wiring(m)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAttributesOfFunctionsAreFilledIn(t *testing.T) {
	f := function("F", "a -> b", node("Inner", "a -> t", ref("g", "gain", onnx.AttrTypeFloat)), node("LeakyRelu", "t -> b", ref("alpha", "slope", onnx.AttrTypeFloat), onnx.AttrInt("fixed", 1)))
	f.Nodes[0].Domain = "own"
	f.AttrNames, f.Attrs = []string{"slope"}, []*onnx.Attr{onnx.AttrFloat("gain", 0.5)}
	inner := function("Inner", "a -> b", node("Elu", "a -> b", ref("alpha", "g", onnx.AttrTypeFloat)))
	inner.AttrNames = []string{"g"}
	m, calls := inlined(t, calling(net([]string{"y"}, own("one", "F", "x -> h", onnx.AttrFloat("slope", 0.25)), own("two", "F", "h -> y", onnx.AttrFloat("gain", 2))), f, inner))
	var got []string
	for _, n := range m.Graph.Nodes {
		s := fmt.Sprint(n, ":")
		for _, a := range n.Attrs {
			s += fmt.Sprint(" ", a.Name, "=", a.Float, "/", a.Int)
		}
		got = append(got, s)
	}
	want := []string{
		`Elu "one/Inner/Elu": alpha=0.5/0`, `LeakyRelu "one/LeakyRelu": alpha=0.25/0 fixed=0/1`,
		`Elu "two/Inner/Elu": alpha=2/0`, `LeakyRelu "two/LeakyRelu": fixed=0/1`, // slope is left out, without a default
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if calls != 4 {
		t.Errorf("%d calls, want 4", calls)
	}
}

// bomb is a model whose function F0 calls F1 twice, which calls F2 twice ...
func bomb(depth, times int) *onnx.Model {
	var functions []*onnx.Function
	for i := range depth {
		f := function(fmt.Sprint("F", i), "a -> b")
		from := "a"
		for k := range times {
			to := fmt.Sprint("t", k)
			if k == times-1 {
				to = "b"
			}
			n := own("", fmt.Sprint("F", i+1), from+" -> "+to)
			if i == depth-1 {
				n = node("Relu", from+" -> "+to)
			}
			f.Nodes = append(f.Nodes, n)
			from = to
		}
		functions = append(functions, f)
	}
	return calling(net([]string{"y"}, own("f", "F0", "x -> y")), functions...)
}

func TestFunctionsThatCannotBeInlinedAreSaid(t *testing.T) {
	other := function("F", "a -> b", node("Relu", "a -> b"))
	other.Opsets[0].Version = 13
	branch := &onnx.Graph{Name: "then", Nodes: []*onnx.Node{node("Relu", "a -> t")}, Outputs: []*onnx.Value{{Name: "t"}}}
	typed := function("F", "a -> b", node("LeakyRelu", "a -> b", ref("alpha", "slope", onnx.AttrTypeFloat)))
	typed.AttrNames = []string{"slope"}
	call := own("f", "F", "x -> y")
	for _, c := range []struct {
		name        string
		model       *onnx.Model
		unsupported bool
		want        string
	}{
		{"of another opset", calling(net([]string{"y"}, call), other), true,
			`rewrite: own.F "f" (opset 17): it calls a function of opset 13 from a model of opset 17; both must have the same opset`},
		{"with a subgraph", calling(net([]string{"y"}, call), function("F", "a -> b", node("If", "a -> b", onnx.AttrGraph("then_branch", branch), onnx.AttrGraph("else_branch", branch)))), true,
			`own.F "f" (opset 17): its function has a subgraph, in If making "b"`},
		{"that double with every line", bomb(40, 2), true, "its functions call each other so often that the graph would take 4 times its size"},
		{"that are too deep", bomb(100, 1), true, "functions call each other more than 64 deep"},
		{"of fewer operands", calling(net([]string{"y"}, own("f", "F", "x, x -> y")), function("F", "a -> b", node("Relu", "a -> b"))), false,
			`own.F "f" (opset 17): it has 2 inputs and 1 outputs; the function takes 1 and gives 1`},
		{"of fewer results", calling(net([]string{"y"}, own("f", "F", "x -> y, z")), function("F", "a -> b", node("Relu", "a -> b"))), false,
			`it has 1 inputs and 2 outputs; the function takes 1 and gives 1`},
		{"that hand through what is not there", calling(net([]string{"y"}, own("f", "F", "x -> y")), function("F", "a, b -> b")), false,
			`the function's output "b" is its input, which the call leaves out`},
		{"with an attribute of another kind", calling(net([]string{"y"}, own("f", "F", "x -> y", onnx.AttrInt("slope", 1))), typed), false,
			`its attribute "slope" is of type int; LeakyRelu making "b" in the function takes float`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.model.Clone()
			_, err := InlineFunctions(c.model)
			e, ok := errors.AsType[*NodeError](err)
			if !ok || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrUnsupported) != c.unsupported {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if strings.Count(err.Error(), "rewrite:") != 1 || e.Node.Domain != "own" {
				t.Errorf("the error is %v of domain %q", err, e.Node.Domain)
			}
			if d := cmp.Diff(wiring(before), wiring(c.model)); d != "" || len(c.model.Functions) != len(before.Functions) {
				t.Errorf("the model was changed:\n%s", d)
			}
		})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	InlineFunctions(bomb(40, 2))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 10*minGrowth {
		t.Errorf("refusing functions that double allocates %d bytes", n)
	}
	inlined(t, bomb(12, 2)) // 4,096 nodes of 12 functions are well within the bounds
}

// A function brings the operator sets that its nodes need.
func TestFunctionsBringTheirOperatorSets(t *testing.T) {
	fused := node("Gelu", "a -> b")
	fused.Domain = "com.microsoft"
	f := function("F", "a -> b", fused)
	f.Opsets = append(f.Opsets, onnx.Opset{Domain: "com.microsoft", Version: 1})
	m, _ := inlined(t, calling(net([]string{"y"}, own("f", "F", "x -> y")), f))
	if onnx.OpsetVersion(m.Opsets, "com.microsoft") != 1 {
		t.Errorf("operator sets %v", m.Opsets)
	}
	m = calling(net([]string{"y"}, own("f", "F", "x -> y")), f)
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: "com.microsoft", Version: 2})
	want := `rewrite: own.F "f" (opset 17): it calls a function of opset 1 of "com.microsoft" from a model of opset 2 of it; both must have the same opset`
	if _, err := InlineFunctions(m); err == nil || err.Error() != want || !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want %q", err, want)
	}
}
