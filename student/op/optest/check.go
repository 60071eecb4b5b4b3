package optest

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// Opsets are the opsets in which a case's ONNX form is built: the bounds of an
// exported student, its default, and those between which forms differ.
var Opsets = []int64{13, 15, 17, 19, 21}

// CheckValue holds the case's value in float64 against its Reference.
func CheckValue(tb testing.TB, c Case) {
	tb.Helper()
	got := value(tb, c, tensor.Float64)
	if err := Compare(got, c.Reference(c.Data()), Close64); err != nil {
		tb.Errorf("value against plain loops: %v", err)
	}
}

// CheckFloat32 holds the case's value in float32 against its Reference of the
// same, rounded, inputs.
func CheckFloat32(tb testing.TB, c Case) {
	tb.Helper()
	got := value(tb, c, tensor.Float32)
	if err := Compare(got, c.Reference(rounded(c.Data())), Close32); err != nil {
		tb.Errorf("float32 value against plain loops: %v", err)
	}
}

// rounded returns data as float32 holds it.
func rounded(data [][]float64) [][]float64 {
	for _, x := range data {
		for i := range x {
			x[i] = float64(float32(x[i]))
		}
	}
	return data
}

func value(tb testing.TB, c Case, dt tensor.Dtype) []float64 {
	tb.Helper()
	g := build(tb, c, dt)
	return results(tb, g.Output)[0]
}

func build(tb testing.TB, c Case, dt tensor.Dtype) Graph {
	tb.Helper()
	g, err := c.Graph(dt, c.Data())
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func results(tb testing.TB, outputs ...*gorgonia.Node) [][]float64 {
	tb.Helper()
	p, err := Compile(outputs...)
	if err != nil {
		tb.Fatal(err)
	}
	x, err := p.Floats()
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// CheckGradient holds the first derivatives, by gorgonia.Grad and by
// op.Gradient, against central differences.
func CheckGradient(tb testing.TB, c Case) {
	tb.Helper()
	checkOrder(tb, c, 1, "gorgonia.Grad", officially)
	checkOrder(tb, c, 1, "op.Gradient", op.Gradient)
}

// CheckSecondOrder does the same for the derivatives of the squared length of
// the first gradient, which op.Gradient makes.
func CheckSecondOrder(tb testing.TB, c Case) {
	tb.Helper()
	checkOrder(tb, c, 2, "gorgonia.Grad of op.Gradient", officially)
	checkOrder(tb, c, 2, "op.Gradient of op.Gradient", op.Gradient)
}

// CheckThirdOrder goes one order further.
func CheckThirdOrder(tb testing.TB, c Case) {
	tb.Helper()
	checkOrder(tb, c, 3, "gorgonia.Grad of op.Gradient of op.Gradient", officially)
}

func officially(cost *gorgonia.Node, wrt ...*gorgonia.Node) (gorgonia.Nodes, error) {
	return gorgonia.Grad(cost, wrt...)
}

type differentiate func(cost *gorgonia.Node, wrt ...*gorgonia.Node) (gorgonia.Nodes, error)

// checkOrder differentiates by last a cost that holds derivatives of one order
// less, and compares with central differences of that cost.
func checkOrder(tb testing.TB, c Case, order int, how string, last differentiate) {
	tb.Helper()
	g := build(tb, c, tensor.Float64)
	var wrt gorgonia.Nodes
	for i, in := range c.Inputs {
		if !in.Fixed {
			wrt = append(wrt, g.Inputs[i])
		}
	}
	cost, err := scalarCost(c, g.Output)
	if err != nil {
		tb.Fatal(err)
	}
	for range order - 1 {
		if cost, err = squaredGradient(cost, wrt); err != nil {
			tb.Fatalf("%s: %v", how, err)
		}
	}
	// The differences come from a program made before gorgonia.Grad touches
	// the graph.
	p, err := Compile(cost)
	if err != nil {
		tb.Fatal(err)
	}
	want, at := make([][]float64, len(wrt)), make([][]probe, len(wrt))
	for i, x := range wrt {
		at[i] = probes(c.Name, x.Shape().TotalSize())
		if want[i], err = centralDifferences(p, x, at[i]); err != nil {
			tb.Fatal(err)
		}
	}
	grads, err := last(cost, wrt...)
	if err != nil {
		tb.Fatalf("%s: %v", how, err)
	}
	for i, grad := range results(tb, grads...) {
		if len(grad) != wrt[i].Shape().TotalSize() {
			tb.Fatalf("%s: a gradient of %d elements for an operand %v", how, len(grad), wrt[i].Shape())
		}
		got := make([]float64, len(at[i]))
		for k, q := range at[i] {
			got[k] = q.along(grad)
		}
		if err := Compare(got, want[i], Difference); err != nil {
			tb.Errorf("derivative of order %d by %s, by operand %s %v: %v", order, how, wrt[i].Name(), wrt[i].Shape(), err)
		}
	}
}

// scalarCost returns Σ y·(r + s·y/2) with fixed random r and s, so that a
// linear operator has a second derivative too and no two elements count alike.
func scalarCost(c Case, y *gorgonia.Node) (*gorgonia.Node, error) {
	r, err := weights(c, "r", y)
	if err != nil {
		return nil, err
	}
	s, err := weights(c, "s", y)
	if err != nil {
		return nil, err
	}
	if s, err = op.Mul(s, y); err != nil {
		return nil, err
	}
	if s, err = op.Add(r, s); err != nil {
		return nil, err
	}
	if s, err = op.Mul(y, s); err != nil {
		return nil, err
	}
	return op.Sum(s)
}

func weights(c Case, name string, y *gorgonia.Node) (*gorgonia.Node, error) {
	data := draw(c.Name+"/"+name, Input{Shape: y.Shape(), Low: 0.5, High: 1.5})
	v, err := Value(y.Dtype(), y.Shape(), data)
	if err != nil {
		return nil, err
	}
	return gorgonia.NewTensor(y.Graph(), y.Dtype(), y.Shape().Dims(), gorgonia.WithName(name),
		gorgonia.WithShape(y.Shape()...), gorgonia.WithValue(v)), nil
}

// squaredGradient returns Σ ‖∂cost/∂x‖² over all x of wrt.
func squaredGradient(cost *gorgonia.Node, wrt gorgonia.Nodes) (*gorgonia.Node, error) {
	grads, err := op.Gradient(cost, wrt...)
	if err != nil {
		return nil, err
	}
	var total *gorgonia.Node
	for _, g := range grads {
		if g, err = op.Square(g); err != nil {
			return nil, err
		}
		if g, err = op.Sum(g); err != nil {
			return nil, err
		}
		if total == nil {
			total = g
		} else if total, err = op.Add(total, g); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// A probe is a direction of unit length in an operand, told by its elements
// that are not zero.
type probe struct {
	elements []int
	lengths  []float64
}

// along returns the derivative along p where grad is the gradient.
func (p probe) along(grad []float64) float64 {
	var s float64
	for k, i := range p.elements {
		s += p.lengths[k] * grad[i]
	}
	return s
}

// probes are the directions in which the derivative by an operand of n elements
// is checked: every element of a small operand, and of a large one some
// elements and one direction that all take part in.
func probes(name string, n int) []probe {
	const all, some = 128, 16
	var ps []probe
	for k := range n {
		if n <= all {
			ps = append(ps, probe{[]int{k}, []float64{1}})
		} else if k < some {
			ps = append(ps, probe{[]int{k * (n - 1) / (some - 1)}, []float64{1}})
		}
	}
	if n > all {
		whole := probe{make([]int, n), draw(name, Input{Shape: tensor.Shape{n}})}
		var square float64
		for i, v := range whole.lengths {
			whole.elements[i] = i
			square += v * v
		}
		for i := range whole.lengths {
			whole.lengths[i] /= math.Sqrt(square)
		}
		ps = append(ps, whole)
	}
	return ps
}

// centralDifferences returns the derivative of the program's scalar along each
// probe of the operand x.
func centralDifferences(p *Program, x *gorgonia.Node, probes []probe) ([]float64, error) {
	b, err := op.BufferOf(x.Value())
	if err != nil {
		return nil, err
	}
	old := append([]float64(nil), b.F64...)
	at := func(q probe, h float64) (float64, error) {
		defer copy(b.F64, old)
		for k, i := range q.elements {
			b.F64[i] += h * q.lengths[k]
		}
		out, err := p.Floats()
		if err != nil {
			return 0, err
		}
		return out[0][0], nil
	}
	d := make([]float64, len(probes))
	for i, q := range probes {
		// The rule of fourth order, exact for polynomials up to degree 4.
		for _, m := range []struct{ at, weight float64 }{{-2, 1}, {-1, -8}, {1, 8}, {2, -1}} {
			v, err := at(q, m.at*step)
			if err != nil {
				return nil, err
			}
			d[i] += m.weight * v / (12 * step)
		}
	}
	return d, nil
}

// CheckPlans holds the plan of every operator of the case, and of those of its
// derivatives, against the operator's Do: whatever dst and scratch held before,
// twice, in place where the plan allows it, leaving the operands alone and
// allocating nothing.
func CheckPlans(tb testing.TB, c Case) {
	tb.Helper()
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		g := build(tb, c, dt)
		outputs := gorgonia.Nodes{g.Output}
		if c.NoGradient == "" {
			cost, err := scalarCost(c, g.Output)
			if err != nil {
				tb.Fatal(err)
			}
			var wrt gorgonia.Nodes
			for i, in := range c.Inputs {
				if !in.Fixed {
					wrt = append(wrt, g.Inputs[i])
				}
			}
			if cost, err = squaredGradient(cost, wrt); err != nil {
				tb.Fatal(err)
			}
			if outputs, err = op.Gradient(cost, wrt...); err != nil {
				tb.Fatal(err)
			}
		}
		p, err := Compile(outputs...)
		if err != nil {
			tb.Fatal(err)
		}
		if err := p.Run(); err != nil {
			tb.Fatal(err)
		}
		for n := range p.values {
			if o, ok := n.Op().(op.Operator); ok {
				if err := p.checkPlan(n, o); err != nil {
					tb.Errorf("plan of %v for %v: %v", o, dt, err)
				}
			}
		}
	}
}

func (p *Program) checkPlan(n *gorgonia.Node, o op.Operator) error {
	var in []gorgonia.Value
	var src []kernel.Buffer
	var before [][]float64
	for _, x := range op.Operands(n) {
		v := p.values[x]
		b, err := op.BufferOf(v)
		if err != nil {
			return err
		}
		f, err := Floats(v)
		if err != nil {
			return err
		}
		in, src, before = append(in, v), append(src, b), append(before, f)
	}
	v, err := o.Do(in...)
	if err != nil {
		return fmt.Errorf("running Do: %w", err)
	}
	if !v.Shape().Eq(n.Shape()) || v.Dtype() != n.Dtype() {
		return fmt.Errorf("a value of shape %v and type %v came from Do, want %v and %v", v.Shape(), v.Dtype(), n.Shape(), n.Dtype())
	}
	want, err := Floats(v)
	if err != nil {
		return err
	}
	plan, err := o.Plan(n.Dtype())
	if err != nil {
		return err
	}
	out, dst, err := op.NewValue(n.Dtype(), n.Shape())
	if err != nil {
		return err
	}
	_, scratch, err := op.NewValue(n.Dtype(), tensor.Shape{max(plan.Scratch, 1)})
	if err != nil {
		return err
	}
	if plan.Scratch == 0 { // no tensor has no elements
		scratch = kernel.Buffer{}
	}
	for _, run := range []string{"first", "second"} {
		spoil(dst)
		spoil(scratch)
		if err := plan.Run(dst, src, scratch); err != nil {
			return err
		}
		got, err := Floats(out)
		if err != nil {
			return err
		}
		if err := Compare(got, want, Exact); err != nil {
			return fmt.Errorf("%s run against Do: %w", run, err)
		}
	}
	for i := range in {
		f, err := Floats(in[i])
		if err != nil {
			return err
		}
		if err := Compare(f, before[i], Exact); err != nil {
			return fmt.Errorf("operand %d was changed: %w", i, err)
		}
	}
	var failed error
	if a := testing.AllocsPerRun(5, func() { failed = errors.Join(failed, plan.Run(dst, src, scratch)) }); a != 0 {
		return fmt.Errorf("a run allocates %v times", a)
	}
	if failed != nil || !plan.InPlace {
		return failed
	}
	alias, err := Value(n.Dtype(), n.Shape(), before[0])
	if err != nil {
		return fmt.Errorf("in place of operand 0: %w", err)
	}
	b, err := op.BufferOf(alias)
	if err != nil {
		return err
	}
	same := src[0]
	for i := range src {
		// An operand that is operand 0 as well shares its memory.
		if len(same.F32) > 0 && len(src[i].F32) > 0 && &src[i].F32[0] == &same.F32[0] ||
			len(same.F64) > 0 && len(src[i].F64) > 0 && &src[i].F64[0] == &same.F64[0] {
			src[i] = b
		}
	}
	if err := plan.Run(b, src, scratch); err != nil {
		return err
	}
	got, err := Floats(alias)
	if err != nil {
		return err
	}
	if err := Compare(got, want, Exact); err != nil {
		return fmt.Errorf("in place of operand 0: %w", err)
	}
	return nil
}

// spoil fills b with NaN: what is left of it shows.
func spoil(b kernel.Buffer) {
	for i := range b.F32 {
		b.F32[i] = float32(math.NaN())
	}
	for i := range b.F64 {
		b.F64[i] = math.NaN()
	}
}

// CheckTapeMachine runs the case and its first derivatives on Gorgonia's stock
// machine and holds them against Program's.
func CheckTapeMachine(tb testing.TB, c Case) {
	tb.Helper()
	g := build(tb, c, tensor.Float64)
	outputs := gorgonia.Nodes{g.Output}
	if c.NoGradient == "" {
		cost, err := scalarCost(c, g.Output)
		if err != nil {
			tb.Fatal(err)
		}
		var wrt gorgonia.Nodes
		for i, in := range c.Inputs {
			if !in.Fixed {
				wrt = append(wrt, g.Inputs[i])
			}
		}
		grads, err := gorgonia.Grad(cost, wrt...)
		if err != nil {
			tb.Fatal(err)
		}
		outputs = append(outputs, grads...)
	}
	want := results(tb, outputs...)

	// Read takes a value when it is computed: the machine may reuse the memory
	// of a node later.
	read := make([]gorgonia.Value, len(outputs))
	for i, n := range outputs {
		gorgonia.Read(n, &read[i])
	}
	m := gorgonia.NewTapeMachine(g.Output.Graph())
	defer m.Close()
	if err := m.RunAll(); err != nil {
		tb.Fatalf("stock tape machine: %v", err)
	}
	for i := range outputs {
		got, err := Floats(read[i])
		if err != nil {
			tb.Fatal(err)
		}
		if err := Compare(got, want[i], Exact); err != nil {
			tb.Errorf("stock tape machine, output %d: %v", i, err)
		}
	}
}

// CheckForm builds the case's ONNX form in each of Opsets, or sees it refused
// where the case says that there is none.
func CheckForm(tb testing.TB, c Case) {
	tb.Helper()
	for _, opset := range Opsets {
		m, err := c.Model(opset)
		if c.NoForm != "" {
			var none *op.NoFormError
			if !errors.As(err, &none) {
				tb.Errorf("opset %d: got error %v, want a NoFormError: %s", opset, err, c.NoForm)
			}
			continue
		}
		if err != nil {
			tb.Errorf("opset %d: %v", opset, err)
			continue
		}
		if err := onnx.Check(m); err != nil {
			tb.Errorf("opset %d: %v", opset, err)
		}
	}
}
