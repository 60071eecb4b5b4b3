package vm

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
)

func vector(g *gorgonia.ExprGraph, name string, x ...float32) *gorgonia.Node {
	return gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(len(x)),
		gorgonia.WithValue(tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(slices.Clone(x)))))
}

func floats(t *testing.T, v gorgonia.Value) []float32 {
	t.Helper()
	if v == nil {
		t.Fatal("no value")
	}
	if d, ok := v.(*tensor.Dense); ok && d.RequiresIterator() {
		v = d.Materialize().(*tensor.Dense)
	}
	b, err := op.BufferOf(v)
	if err != nil {
		t.Fatal(err)
	}
	return b.F32
}

func newMachine(t *testing.T, g *gorgonia.ExprGraph, outputs gorgonia.Nodes, opts ...Option) *Machine {
	t.Helper()
	m, err := New(g, outputs, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func run(t *testing.T, m gorgonia.VM) {
	t.Helper()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", want)
	}
	for _, w := range append(want, "vm: ") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error is %q, want it to say %q", err, w)
		}
	}
}

func wantNode(t *testing.T, err error, n *gorgonia.Node) *NodeError {
	t.Helper()
	var e *NodeError
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no NodeError", err)
	}
	if e.Node != n {
		t.Errorf("error names %v, want %v", e.Node, n)
	}
	return e
}

// The cases of the operators' own table, and their gradients, give the values
// of the operators' Do.
func TestOperatorCasesComeOutAsFromDo(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, c := range optest.Cases() {
			t.Run(dt.String()+"/"+c.Name, func(t *testing.T) {
				g, err := c.Graph(dt, c.Data())
				if err != nil {
					t.Fatal(err)
				}
				outputs := gorgonia.Nodes{g.Output}
				if c.NoGradient == "" {
					var wrt gorgonia.Nodes
					for i, in := range c.Inputs {
						if !in.Fixed {
							wrt = append(wrt, g.Inputs[i])
						}
					}
					outputs = append(outputs, must(op.Gradient(must(op.Mean(must(op.Square(g.Output)))), wrt...))...)
				}
				want, err := evaluate(g.Output.Graph())
				if err != nil {
					t.Fatal(err)
				}
				m := newMachine(t, g.Output.Graph(), outputs)
				m.poison = true
				run(t, m)
				for _, n := range outputs {
					if !slices.Equal(bitsOf(t, n.Value()), bitsOf(t, want[n])) {
						t.Errorf("%v is\n%v, want\n%v", n, n.Value(), want[n])
					}
				}
			})
		}
	}
}

func TestNetworkComesOutAsOnTheTapeMachine(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		t.Run(dt.String(), func(t *testing.T) {
			a, b := newNet(dt, 4, 8, 5, 2), newNet(dt, 4, 8, 5, 2)
			tape := gorgonia.NewTapeMachine(a.ExprGraph)
			defer tape.Close()
			run(t, tape)
			m := newMachine(t, b.ExprGraph, b.outputs())
			m.poison = true
			for range 3 { // every step is the same step
				run(t, m)
				m.Reset()
				for i, n := range b.outputs() {
					if want := a.outputs()[i]; !slices.Equal(bitsOf(t, n.Value()), bitsOf(t, want.Value())) {
						t.Errorf("%s is\n%v, on the tape machine\n%v", n.Name(), n.Value(), want.Value())
					}
				}
			}
		})
	}
}

// Gorgonia's tape machine gives a loss of 255444 for this graph, since its
// Reshape shares memory with an operand that is used once more while the
// addition overwrites it.
func TestReshapeDoesNotShareMemoryWithItsOperand(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2, 3, 4)
	b := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("b"), gorgonia.WithShape(2, 2),
		gorgonia.WithValue(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{10, 20, 30, 40}))))
	h := must(gorgonia.Square(a))
	s := must(gorgonia.Add(must(gorgonia.Reshape(h, tensor.Shape{2, 2})), b))
	loss := must(gorgonia.Add(must(gorgonia.Sum(must(gorgonia.Square(s)))), must(gorgonia.Sum(must(gorgonia.Cube(h))))))
	grads := must(gorgonia.Grad(loss, a))

	m := newMachine(t, g, gorgonia.Nodes{loss, grads[0]})
	m.poison = true
	run(t, m)
	if diff := cmp.Diff([]float32{10244}, floats(t, loss.Value())); diff != "" {
		t.Errorf("loss (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float32{50, 384, 1926, 7040}, floats(t, grads[0].Value())); diff != "" {
		t.Errorf("gradient (-want +got):\n%s", diff)
	}
}

// stockRounding is for values that went through gonum's dot product, which
// sums in an order that depends on where in memory its operands lie: the last
// bits of a stock product differ from one allocation to the next. 1e-5 is a
// hundred roundings of float32.
var stockRounding = cmpopts.EquateApprox(1e-5, 1e-6)

func TestStockOperatorsComeOutAsFromDo(t *testing.T) {
	x := func(g *testGraph) *gorgonia.Node { return g.input("x", 1, 4, 6) }
	cases := []struct {
		name  string
		build func(g *testGraph) (*gorgonia.Node, error)
	}{
		{"matrix product", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Mul(x(g), g.input("y", 1, 6, 3)) }},
		{"matrix times vector", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Mul(x(g), g.input("y", 1, 6)) }},
		{"transpose", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Transpose(x(g), 1, 0) }},
		{"transpose of a transpose", func(g *testGraph) (*gorgonia.Node, error) {
			return gorgonia.Transpose(must(gorgonia.Transpose(x(g), 1, 0)), 1, 0)
		}},
		{"slice of columns", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Slice(x(g), nil, gorgonia.S(1, 3)) }},
		{"slice of rows", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Slice(x(g), gorgonia.S(1, 3)) }},
		{"single row", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Slice(x(g), gorgonia.S(2)) }},
		{"concatenation", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Concat(1, x(g), g.input("y", 1, 4, 2)) }},
		{"sum over an axis", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Sum(x(g), 1) }},
		{"mean", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.Mean(x(g)) }},
		{"softmax", func(g *testGraph) (*gorgonia.Node, error) { return gorgonia.SoftMax(x(g)) }},
		{"addition of a scalar constant", func(g *testGraph) (*gorgonia.Node, error) {
			return gorgonia.Add(x(g), gorgonia.NewConstant(float32(2), gorgonia.WithName("two")))
		}},
		{"addition to a scalar constant", func(g *testGraph) (*gorgonia.Node, error) {
			return gorgonia.Add(gorgonia.NewConstant(float32(2), gorgonia.WithName("two")), x(g))
		}},
		{"view of the operand", func(g *testGraph) (*gorgonia.Node, error) {
			v := x(g)
			return newStock("view", tensor.Shape{6, 4}, func(in []gorgonia.Value) (gorgonia.Value, error) {
				return in[0], in[0].(*tensor.Dense).T()
			}, v).apply(v), nil
		}},
		{"addition of two scalars", func(g *testGraph) (*gorgonia.Node, error) {
			v := x(g)
			return gorgonia.Add(must(gorgonia.Sum(v)), must(gorgonia.Mean(v)))
		}},
		{"addition of a value to itself", func(g *testGraph) (*gorgonia.Node, error) {
			v := must(gorgonia.Tanh(x(g)))
			return gorgonia.Add(v, v)
		}},
		{"tensor constant", func(g *testGraph) (*gorgonia.Node, error) {
			c := gorgonia.NewConstant(tensor.New(tensor.WithShape(4, 6), tensor.WithBacking(tensor.Range(tensor.Float32, 0, 24))),
				gorgonia.WithName("c"))
			return op.Mul(x(g), g.AddNode(c))
		}},
		{"boolean in between", func(g *testGraph) (*gorgonia.Node, error) {
			v := x(g)
			positive := must(gorgonia.Gt(v, g.input("y", 1, 4, 6), true))
			return gorgonia.HadamardProd(v, positive)
		}},
		{"convolution and pooling", func(g *testGraph) (*gorgonia.Node, error) {
			y := must(gorgonia.Conv2d(g.input("image", 1, 2, 3, 6, 6), g.input("w", 1, 4, 3, 3, 3),
				tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
			return gorgonia.MaxPool2D(y, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := newTestGraph(tensor.Float32, 5)
			y, err := c.build(g)
			if err != nil {
				t.Fatal(err)
			}
			want, err := evaluate(g.ExprGraph)
			if err != nil {
				t.Fatal(err)
			}
			m := newMachine(t, g.ExprGraph, gorgonia.Nodes{y})
			m.poison = true
			for range 2 {
				run(t, m)
				if diff := cmp.Diff(floats(t, want[y]), floats(t, y.Value()), stockRounding); diff != "" {
					t.Errorf("value (-want +got):\n%s", diff)
				}
			}
			tape := gorgonia.NewTapeMachine(g.ExprGraph)
			defer tape.Close()
			run(t, tape)
			if diff := cmp.Diff(floats(t, want[y]), floats(t, y.Value()), stockRounding); diff != "" {
				t.Errorf("the tape machine, right on such graphs, differs (-Do +tape):\n%s", diff)
			}
		})
	}
}

func TestBooleanOutputIsBound(t *testing.T) {
	g := gorgonia.NewGraph()
	y := must(gorgonia.Gt(vector(g, "a", 1, 2), vector(g, "b", 2, 1), false))
	run(t, newMachine(t, g, gorgonia.Nodes{y}))
	if diff := cmp.Diff([]bool{false, true}, y.Value().Data()); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
}

// A stock operator may scribble over its operands and return their memory, or
// keep them.
func TestStockOperatorsSeeCopies(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2, 3)
	h := must(op.Scale(a, 10))
	double := newStock("double in place", tensor.Shape{3}, func(in []gorgonia.Value) (gorgonia.Value, error) {
		for i := range in[0].Data().([]float32) {
			in[0].Data().([]float32)[i] *= 2
		}
		return in[0], nil
	}, a)
	ofInput, ofValue := double.apply(a), double.apply(h)
	after := must(op.Add(must(op.Add(a, h)), must(op.Add(ofInput, ofValue))))
	m := newMachine(t, g, gorgonia.Nodes{after, ofValue})
	for range 2 {
		run(t, m)
		if diff := cmp.Diff([]float32{33, 66, 99}, floats(t, after.Value())); diff != "" {
			t.Errorf("value (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]float32{1, 2, 3}, floats(t, a.Value())); diff != "" {
			t.Errorf("the operator wrote into an input (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]float32{20, 40, 60}, floats(t, ofValue.Value())); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	}
}

func TestWritingInPlaceOnlyWhereNobodyLooks(t *testing.T) {
	// suffix computes y[i] = x[i] + all of r: with y over x that is right, with y
	// over r it is not.
	suffix := op.Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
		for i := range dst.F32 {
			s := src[0].F32[i]
			for _, v := range src[1].F32 {
				s += v
			}
			dst.F32[i] = s
		}
		return nil
	}}
	// stretch writes its one operand twice; its result is longer.
	stretch := op.Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
		n := copy(dst.F32, src[0].F32)
		copy(dst.F32[n:], src[0].F32)
		return nil
	}}
	four := tensor.Shape{4}
	cases := []struct {
		name    string
		build   func(a, h *gorgonia.Node) gorgonia.Nodes
		want    [][]float32
		inPlace int
	}{
		{"operand dies", func(_, h *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{must(op.Neg(h))}
		}, [][]float32{{-2, -4, -6, -8}}, 1},
		{"operand is an input", func(a, _ *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{must(op.Neg(a)), a}
		}, [][]float32{{-1, -2, -3, -4}, {1, 2, 3, 4}}, 0},
		{"operand is an output", func(_, h *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{h, must(op.Neg(h))}
		}, [][]float32{{2, 4, 6, 8}, {-2, -4, -6, -8}}, 0},
		{"operand is used later", func(_, h *gorgonia.Node) gorgonia.Nodes {
			n := must(op.Neg(h))
			return gorgonia.Nodes{must(op.Mul(h, n))}
		}, [][]float32{{-4, -16, -36, -64}}, 1},
		{"operand comes twice", func(_, h *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{newLocal("suffix", four, suffix, h, h)}
		}, [][]float32{{22, 24, 26, 28}}, 0},
		{"only the other operand dies", func(a, h *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{newLocal("suffix", four, suffix, a, h)}
		}, [][]float32{{21, 22, 23, 24}}, 0},
		{"result is longer", func(_, h *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{newLocal("stretch", tensor.Shape{40}, stretch, h)}
		}, nil, 0},
		{"either operand of Gorgonia's addition", func(a, h *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{must(gorgonia.Add(a, h))}
		}, [][]float32{{3, 6, 9, 12}}, 1},
		{"chain", func(_, h *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{must(op.Neg(must(op.Neg(must(op.Neg(h))))))}
		}, [][]float32{{-2, -4, -6, -8}}, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			a := vector(g, "a", 1, 2, 3, 4)
			outputs := c.build(a, must(op.Scale(a, 2)))
			m := newMachine(t, g, outputs)
			m.poison = true
			for range 2 {
				run(t, m)
				for i, want := range c.want {
					if diff := cmp.Diff(want, floats(t, outputs[i].Value())); diff != "" {
						t.Errorf("output %d (-want +got):\n%s", i, diff)
					}
				}
			}
			if got := m.Memory().InPlace; got != c.inPlace {
				t.Errorf("%d steps write in place, want %d", got, c.inPlace)
			}
		})
	}
}

// An output's memory is its own from the moment it is computed: whatever runs
// later in the same run has another place.
func TestOutputsAreNotOverwrittenWithinARun(t *testing.T) {
	n := newNet(tensor.Float32, 4, 8, 5, 2)
	m := newMachine(t, n.ExprGraph, n.outputs())
	computed := map[*value]int{}
	for i := range m.steps {
		for _, out := range m.steps[i].out {
			computed[out] = i
		}
	}
	for _, out := range m.outputs {
		for i := computed[out] + 1; i < len(m.steps); i++ {
			s := &m.steps[i]
			for _, b := range append(slices.Clone(s.dst), s.scratch) {
				if within(out.buffer.F32, b.F32) {
					t.Errorf("%s overwrites the output %s", describe(s.nodes[0]), describe(out.node))
				}
			}
		}
	}
}

func TestPlannedMemoryIsAligned(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		n := newNet(dt, 3, 6, 5, 1)
		m := newMachine(t, n.ExprGraph, n.outputs())
		run(t, m)
		for i := range m.steps {
			for _, b := range append(slices.Clone(m.steps[i].dst), m.steps[i].scratch) {
				if b.Len() == 0 {
					continue
				}
				header := newHeader(b, tensor.Shape{b.Len()}).(*tensor.Dense)
				if header.Uintptr()%alignment != 0 {
					t.Errorf("%v: %s at %x is not aligned to %d bytes", dt, describe(m.steps[i].nodes[0]), header.Uintptr(), alignment)
				}
			}
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for name, opts := range map[string][]Option{"fused": nil, "finite check": {WithFiniteCheck()}} {
			t.Run(dt.String()+"/"+name, func(t *testing.T) {
				n := newNet(dt, 4, 8, 5, 2)
				m := newMachine(t, n.ExprGraph, n.outputs(), opts...)
				if foreign := m.Memory().Foreign; foreign != 0 {
					t.Errorf("%d stock operators in a network of ours", foreign)
				}
				run(t, m)
				if allocs := testing.AllocsPerRun(10, func() { run(t, m) }); allocs != 0 {
					t.Errorf("RunAll allocates %v times", allocs)
				}
			})
		}
	}
}

// The forward pass keeps two maps per normalised convolution for the backward
// pass; everything else is shared, so the plan reaches what must be alive at
// once, in a third of the memory that values of their own would take. What is
// fused away needs none.
func TestNetworkIsPlannedTightly(t *testing.T) {
	n := newNet(tensor.Float32, 8, 16, 8, 6)
	mem := newMachine(t, n.ExprGraph, n.outputs(), WithoutFusion()).Memory()
	fused := newMachine(t, n.ExprGraph, n.outputs()).Memory()
	t.Logf("%v\nfused: %v", mem, fused)
	for _, m := range []Memory{mem, fused} {
		if float64(m.Planned) > 1.02*float64(m.Least) {
			t.Errorf("%d bytes are planned, %d are alive at once", m.Planned, m.Least)
		}
	}
	if 3*mem.Planned > mem.Unshared {
		t.Errorf("%d bytes are planned, more than a third of %d", mem.Planned, mem.Unshared)
	}
	if fused.Planned > mem.Planned || fused.Fused == 0 || mem.Fused != 0 || fused.Run != mem.Run {
		t.Errorf("fused, the plan is %+v, else %+v", fused, mem)
	}
}

func TestOnlyWhatOutputsNeedRuns(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2)
	h := must(op.Scale(a, 2))
	explode := newLocal("explode", tensor.Shape{2}, op.Plan{Run: func(kernel.Buffer, []kernel.Buffer, kernel.Buffer) error {
		return errors.New("nobody asked for this")
	}}, h)
	unbound := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("unbound"), gorgonia.WithShape(2))
	must(op.Add(explode, unbound))
	var seen gorgonia.Value
	gorgonia.Read(explode, &seen)
	y := must(op.Neg(h))

	m := newMachine(t, g, gorgonia.Nodes{y})
	run(t, m)
	if diff := cmp.Diff([]float32{-2, -4}, floats(t, y.Value())); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
	if h.Value() != nil || explode.Value() != nil {
		t.Errorf("values that are no outputs are bound: %v, %v", h.Value(), explode.Value())
	}
	// explode, its sum and the statement that reads it.
	if mem := m.Memory(); mem.Run != 2 || mem.Pruned != 3 {
		t.Errorf("%d nodes run and %d are pruned, want 2 and 3", mem.Run, mem.Pruned)
	}
}

// Nodes run in the order in which the program made them, as far as their
// operands allow, so that "the first node that is not finite" means something.
func TestNodesRunInTheOrderOfTheirMaking(t *testing.T) {
	n := newNet(tensor.Float32, 2, 4, 3, 2)
	outputs := n.outputs()
	slices.Reverse(outputs)
	m := newMachine(t, n.ExprGraph, outputs, WithoutFusion())
	for i := range m.steps[1:] {
		if a, b := m.steps[i].nodes[0], m.steps[i+1].nodes[0]; a.ID() > b.ID() {
			t.Errorf("%s runs before %s", describe(a), describe(b))
		}
	}
}

func TestInputsAndConstantsMayBeOutputs(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2)
	one := g.AddNode(gorgonia.NewConstant(float32(1), gorgonia.WithName("one")))
	held := a.Value()
	run(t, newMachine(t, g, gorgonia.Nodes{a, one, a}))
	if a.Value() != held {
		t.Error("the input was bound anew")
	}
	if diff := cmp.Diff([]float32{1}, floats(t, one.Value())); diff != "" {
		t.Errorf("constant (-want +got):\n%s", diff)
	}
}

func TestInputsAreReadOnEveryRun(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2)
	y := must(op.Mul(must(op.Neg(a)), a))
	m := newMachine(t, g, gorgonia.Nodes{y})
	run(t, m)
	floats(t, a.Value())[0] = 3 // the same memory, as an optimiser writes it
	run(t, m)
	if diff := cmp.Diff([]float32{-9, -4}, floats(t, y.Value())); diff != "" {
		t.Errorf("value after a write (-want +got):\n%s", diff)
	}
	if err := gorgonia.Let(a, tensor.New(tensor.WithBacking([]float32{5, 6}))); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	if diff := cmp.Diff([]float32{-25, -36}, floats(t, y.Value())); diff != "" {
		t.Errorf("value after other memory was bound (-want +got):\n%s", diff)
	}
}

func TestOutputsKeepTheirMemoryAndAreBoundAnewWhenLost(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2)
	h := must(op.Neg(a))
	y, sum := must(op.Neg(h)), must(op.Sum(h))
	m := newMachine(t, g, gorgonia.Nodes{y, sum})
	check := func(when string) {
		t.Helper()
		run(t, m)
		if diff := cmp.Diff([][]float32{{1, 2}, {-3}}, [][]float32{floats(t, y.Value()), floats(t, sum.Value())}); diff != "" {
			t.Errorf("values %s (-want +got):\n%s", when, diff)
		}
	}
	check("at first")
	held := y.Value()
	check("again")
	if y.Value() != held {
		t.Error("a second run bound another value")
	}
	if _, ok := sum.Value().(*gorgonia.F32); !ok {
		t.Errorf("scalar output is a %T, want *gorgonia.F32", sum.Value())
	}
	other := newMachine(t, g, gorgonia.Nodes{y})
	run(t, other)
	if y.Value() == held {
		t.Error("a second machine of the graph did not bind its own value")
	}
	check("after another machine of the graph")
	g.UnbindAllNonInputs()
	check("after UnbindAllNonInputs")
}

func TestTensorsOfOneElementKeepTheirShape(t *testing.T) {
	g := newTestGraph(tensor.Float64, 1)
	for name, shape := range map[string]tensor.Shape{"a": {1}, "b": {1, 1}, "c": {1, 1, 1, 1}} {
		y := must(op.Neg(g.input(name, 1, shape...)))
		run(t, newMachine(t, g.ExprGraph, gorgonia.Nodes{y}))
		if got := y.Value().Shape(); !slices.Equal(got, shape) {
			t.Errorf("output has shape %v, want %v", got, shape)
		}
	}
}

func TestConstructionErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	a := vector(g, "a", 1, 2)
	var seen gorgonia.Value
	badPlan := func(name string, plan func(tensor.Dtype) (op.Plan, error)) *gorgonia.Node {
		return must(gorgonia.ApplyOp(local{newStock(name, tensor.Shape{2}, nil, a), plan}, a))
	}
	cases := []struct {
		name    string
		outputs gorgonia.Nodes
		want    []string
	}{
		{"no outputs", nil, []string{"no outputs"}},
		{"nil output", gorgonia.Nodes{a, nil}, []string{"output 1 is nil"}},
		{"node of another graph", gorgonia.Nodes{vector(gorgonia.NewGraph(), "elsewhere", 1)}, []string{`"elsewhere"`, "another graph"}},
		{"statement", gorgonia.Nodes{gorgonia.Read(a, &seen)}, []string{"a statement has no value"}},
		{"operator that cannot plan", gorgonia.Nodes{badPlan("planless", func(tensor.Dtype) (op.Plan, error) {
			return op.Plan{}, errors.New("out of ideas")
		})}, []string{"planless", "out of ideas"}},
		{"operator that panics while planning", gorgonia.Nodes{badPlan("hasty", func(tensor.Dtype) (op.Plan, error) {
			panic("too soon")
		})}, []string{"hasty", "too soon"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(g, c.outputs)
			wantError(t, err, c.want...)
		})
	}
}

func TestInputErrorsNameTheInput(t *testing.T) {
	good := func() *tensor.Dense {
		return tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	}
	cases := []struct {
		name  string
		value func() gorgonia.Value
		spoil func(v gorgonia.Value)
		want  []string
	}{
		{"never bound", func() gorgonia.Value { return nil }, nil, []string{`input "image"`, "no value", "gorgonia.Let"}},
		{"reshaped after binding", func() gorgonia.Value { return good() }, func(v gorgonia.Value) {
			if err := v.(*tensor.Dense).Reshape(3, 2); err != nil {
				panic(err)
			}
		}, []string{`input "image"`, "(2, 3)", "(3, 2)"}},
		{"transposed view", func() gorgonia.Value {
			d := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
			if err := d.T(); err != nil {
				panic(err)
			}
			return d
		}, nil, []string{`input "image"`, "row-major"}},
		{"column-major tensor", func() gorgonia.Value {
			return tensor.New(tensor.WithShape(2, 3), tensor.AsFortran([]float32{1, 2, 3, 4, 5, 6}))
		}, nil, []string{`input "image"`, "row-major"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("image"), gorgonia.WithShape(2, 3))
			m := newMachine(t, g, gorgonia.Nodes{must(op.Neg(x))})
			if v := c.value(); v != nil {
				if err := gorgonia.Let(x, v); err != nil {
					t.Fatal(err)
				}
			}
			if c.spoil != nil {
				c.spoil(x.Value())
			}
			err := m.RunAll()
			wantError(t, err, c.want...)
			wantNode(t, err, x)

			if err := gorgonia.Let(x, good()); err != nil {
				t.Fatal(err)
			}
			run(t, m) // the machine survives
		})
	}

	t.Run("bound to the machine's own output", func(t *testing.T) {
		g := gorgonia.NewGraph()
		x := vector(g, "running", 1, 2)
		y := must(op.Scale(x, 2))
		m := newMachine(t, g, gorgonia.Nodes{y})
		run(t, m)
		if err := gorgonia.Let(x, y.Value()); err != nil {
			t.Fatal(err)
		}
		wantError(t, m.RunAll(), `input "running"`, "bind a copy")
	})
}

func TestFailingOperatorsAreNamed(t *testing.T) {
	fail := false
	cases := []struct {
		name  string
		apply func(x *gorgonia.Node) *gorgonia.Node
		want  string
		stack bool
	}{
		{"operator that returns an error", func(x *gorgonia.Node) *gorgonia.Node {
			return newLocal("faulty", tensor.Shape{2}, op.Plan{Run: func(kernel.Buffer, []kernel.Buffer, kernel.Buffer) error {
				if fail {
					return errors.New("no luck")
				}
				return nil
			}}, x)
		}, "no luck", false},
		{"operator that panics", func(x *gorgonia.Node) *gorgonia.Node {
			return newLocal("faulty", tensor.Shape{2}, op.Plan{Run: func(dst kernel.Buffer, _ []kernel.Buffer, _ kernel.Buffer) error {
				if fail {
					dst.F32[len(dst.F32)] = 1
				}
				return nil
			}}, x)
		}, "panic: runtime error: index out of range", true},
		{"stock operator that panics with a text", func(x *gorgonia.Node) *gorgonia.Node {
			return newStock("faulty", tensor.Shape{2}, func(in []gorgonia.Value) (gorgonia.Value, error) {
				if fail {
					panic("god help us")
				}
				return in[0], nil
			}, x).apply(x)
		}, "panic: god help us", true},
		{"stock operator that returns nothing", func(x *gorgonia.Node) *gorgonia.Node {
			return newStock("faulty", tensor.Shape{2}, func(in []gorgonia.Value) (gorgonia.Value, error) {
				if fail {
					return nil, nil
				}
				return in[0], nil
			}, x).apply(x)
		}, "returned no value", false},
		{"stock operator that returns another shape", func(x *gorgonia.Node) *gorgonia.Node {
			return newStock("faulty", tensor.Shape{2}, func(in []gorgonia.Value) (gorgonia.Value, error) {
				if fail {
					return tensor.New(tensor.WithBacking([]float32{1, 2, 3})), nil
				}
				return in[0], nil
			}, x).apply(x)
		}, "shape (3)", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			n := c.apply(must(op.Neg(vector(g, "a", 1, 2))))
			m := newMachine(t, g, gorgonia.Nodes{must(op.Neg(n))})
			fail = true
			err := m.RunAll()
			wantError(t, err, "faulty", c.want)
			if e := wantNode(t, err, n); (e.Stack != nil) != c.stack {
				t.Errorf("stack is %q, want one: %v", e.Stack, c.stack)
			}
			fail = false
			run(t, m) // the machine survives
		})
	}
}

func TestFiniteCheckNamesTheFirstNode(t *testing.T) {
	cases := []struct {
		name  string
		input []float32
		first string // operator or input that is named
		want  string
	}{
		{"input", []float32{1, float32(math.NaN())}, "a", "element 1 of shape (2) is NaN"},
		{"logarithm of zero", []float32{0, 1}, "Log", "element 0 of shape (2) is -Inf"},
		{"logarithm of a negative number", []float32{1, -1}, "Log", "element 1 of shape (2) is NaN"},
		{"overflow after it", []float32{1e30, 1}, "Square", "element 0 of shape (2) is +Inf"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			a := vector(g, "a", c.input...)
			y := must(op.Neg(must(op.Add(must(op.Log(a)), must(op.Square(a))))))
			m := newMachine(t, g, gorgonia.Nodes{y}, WithFiniteCheck())
			err := m.RunAll()
			wantError(t, err, c.first, c.want)
			if !errors.Is(err, ErrNonFinite) {
				t.Errorf("%v is not ErrNonFinite", err)
			}
			run(t, newMachine(t, g, gorgonia.Nodes{y})) // without the check it is no error
		})
	}
	t.Run("finite values pass", func(t *testing.T) {
		n := newNet(tensor.Float64, 2, 4, 3, 1)
		run(t, newMachine(t, n.ExprGraph, n.outputs(), WithFiniteCheck()))
	})
}

// Machines of graphs that share their parameters' memory run at the same time;
// the race detector watches. Stock operators in the graph transpose headers of
// shared weights unless they get copies.
func TestMachinesShareParameters(t *testing.T) {
	const machines = 4
	weights := map[string]gorgonia.Value{}
	var ms []*Machine
	var losses gorgonia.Nodes
	for range machines {
		n := newNet(tensor.Float32, 3, 6, 5, 1)
		w := n.input("stock.weight", 1, 10, 10)
		loss := must(op.Add(n.loss, must(gorgonia.Sum(must(gorgonia.Mul(n.logits, w))))))
		grads := must(op.Gradient(n.loss, n.params...))
		for _, p := range n.inputs {
			if shared, ok := weights[p.Name()]; !ok {
				weights[p.Name()] = p.Value()
			} else if err := gorgonia.Let(p, shared); err != nil {
				t.Fatal(err)
			}
		}
		ms = append(ms, newMachine(t, n.ExprGraph, append(grads, loss)))
		losses = append(losses, loss)
	}
	var wg sync.WaitGroup
	for _, m := range ms {
		wg.Go(func() {
			for range 10 {
				if err := m.RunAll(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, loss := range losses[1:] {
		if diff := cmp.Diff(floats(t, losses[0].Value()), floats(t, loss.Value()), stockRounding); diff != "" {
			t.Errorf("two machines of one network differ:\n%s", diff)
		}
	}
}

func TestClosedMachineDoesNotRun(t *testing.T) {
	g := gorgonia.NewGraph()
	m := newMachine(t, g, gorgonia.Nodes{must(op.Neg(vector(g, "a", 1)))})
	run(t, m)
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := m.RunAll(); !errors.Is(err, ErrClosed) {
		t.Errorf("RunAll returns %v, want ErrClosed", err)
	}
}
