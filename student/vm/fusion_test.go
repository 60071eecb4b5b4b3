package vm

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// kinds counts the steps of m by what they compute.
func kinds(m *Machine) map[string]int {
	count := map[string]int{}
	for i := range m.steps {
		count[m.steps[i].kind]++
	}
	return count
}

func TestNetworkIsFused(t *testing.T) {
	const blocks = 2
	n := newNet(tensor.Float32, 4, 8, 8, blocks)
	got := kinds(newMachine(t, n.ExprGraph, n.outputs()))
	for kind, want := range map[string]int{
		"BatchStats+BatchNorm+ReLU":            2*blocks + 1,
		"Conv2D+Add":                           blocks,
		"Dense+AddBias":                        1,
		"Gate+BatchNormSums+BatchNormBack":     blocks + 1, // whose input is used once
		"Gate+BatchNormSums+BatchNormBack+Add": blocks,
		"ReLU":                                 0,
		"Gate":                                 0,
		"BatchNorm":                            0,
		"Add":                                  0,
	} {
		if got[kind] != want {
			t.Errorf("%d steps %s, want %d", got[kind], kind, want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// Whichever value of a group somebody asks for comes out, and all others as
// they were.
func TestValuesOfAGroupMayBeOutputs(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		t.Run(dt.String(), func(t *testing.T) {
			n := newNet(dt, 3, 6, 8, 1)
			want, err := evaluate(n.ExprGraph)
			if err != nil {
				t.Fatal(err)
			}
			order, err := needed(n.outputs())
			if err != nil {
				t.Fatal(err)
			}
			groups := op.Fusions(order, n.outputs())
			if len(groups) < 8 {
				t.Errorf("%d groups only: %v", len(groups), groups)
			}
			for _, g := range groups {
				for _, extra := range append(g.Nodes, nil) {
					outputs := append(n.outputs(), extra)
					if extra == nil { // all of them
						outputs = append(n.outputs(), g.Nodes...)
					}
					m := newMachine(t, n.ExprGraph, outputs)
					m.poison = true
					run(t, m)
					for _, o := range outputs {
						if !slices.Equal(bitsOf(t, o.Value()), bitsOf(t, want[o])) {
							t.Fatalf("with %v of %v among the outputs, %v is another", extra, g, o)
						}
					}
					m.Close()
					n.UnbindAllNonInputs()
				}
			}
		})
	}
}

// Two normalisations by the same statistics, added: the sum would be fused with
// the first, which the second waits for.
func TestGroupThatWaitsForItselfFallsApart(t *testing.T) {
	g := newTestGraph(tensor.Float32, 1)
	x, s, b := g.input("x", 1, 5, 8), g.input("s", 1, 8), g.input("b", 1, 8)
	stats := must(op.BatchStats(x))
	first, second := must(op.BatchNorm(x, stats, s, b, 0.1)), must(op.BatchNorm(x, stats, b, s, 0.1))
	y := must(op.Add(first, second))
	if groups := op.Fusions(gorgonia.Nodes{x, s, b, stats, first, second, y}, gorgonia.Nodes{y}); len(groups) != 1 {
		t.Fatalf("%d groups %v; the case wants one", len(groups), groups)
	}
	want := must(evaluate(g.ExprGraph))
	m := newMachine(t, g.ExprGraph, gorgonia.Nodes{y})
	run(t, m)
	if !slices.Equal(bitsOf(t, y.Value()), bitsOf(t, want[y])) {
		t.Errorf("sum is %v, want %v", y.Value(), want[y])
	}
	if m.Memory().Fused != 0 {
		t.Errorf("steps are %v; the group cannot be computed at once", kinds(m))
	}
}

func TestNothingIsFusedWithoutFusion(t *testing.T) {
	n := newNet(tensor.Float32, 2, 4, 3, 1)
	for name, opt := range map[string]Option{"without fusion": WithoutFusion(), "finite check": WithFiniteCheck()} {
		for kind := range kinds(newMachine(t, n.ExprGraph, n.outputs(), opt)) {
			if strings.Contains(kind, "+") {
				t.Errorf("%s: a step computes %s", name, kind)
			}
		}
	}
}

// The finite check names the first bad node of the graph, also where fusing
// would leave its value in no memory.
func TestFiniteCheckLooksIntoGroups(t *testing.T) {
	g := newTestGraph(tensor.Float32, 1)
	x, s, b := g.input("x", 1, 5, 8), g.input("s", 1, 8), g.input("b", 1, 8)
	norm := must(op.BatchNorm(x, must(op.BatchStats(x)), must(op.Scale(s, 1e38)), b, 1e-5))
	y := must(op.ReLU(must(op.Scale(norm, 10))))
	loss := must(op.Sum(must(op.ReLU(must(op.BatchNorm(y, must(op.BatchStats(y)), s, b, 1e-5))))))
	run(t, newMachine(t, g.ExprGraph, gorgonia.Nodes{loss}))
	err := newMachine(t, g.ExprGraph, gorgonia.Nodes{loss}, WithFiniteCheck()).RunAll()
	if !errors.Is(err, ErrNonFinite) {
		t.Fatalf("error %v, want %v", err, ErrNonFinite)
	}
	if e := wantNode(t, err, op.Operands(y)[0]); e != nil && op.Kind(e.Node) != "Scale" {
		t.Errorf("error names %v", e.Node)
	}
}

// An error of a group names its last node and what was computed.
func TestErrorOfAGroup(t *testing.T) {
	g := newTestGraph(tensor.Float32, 1)
	x, s, b := g.input("x", 1, 5, 8), g.input("s", 1, 8), g.input("b", 1, 8)
	y := must(op.ReLU(must(op.BatchNorm(x, must(op.BatchStats(x)), s, b, 1e-5))))
	m := newMachine(t, g.ExprGraph, gorgonia.Nodes{y})
	cause := errors.New("no luck")
	m.steps[0].run = func(_, _ []kernel.Buffer, _ kernel.Buffer) error { return cause }
	err := m.RunAll()
	wantNode(t, err, y)
	wantError(t, err, "computed as BatchStats+BatchNorm+ReLU", "no luck")
	m.steps[0].run = func(_, _ []kernel.Buffer, _ kernel.Buffer) error { panic(fmt.Sprint("at ", math.Pi)) }
	if e := wantNode(t, m.RunAll(), y); e.Stack == nil {
		t.Error("the panic of a group has no stack")
	}
}
