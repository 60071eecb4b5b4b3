package optest

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// Program computes nodes in the plainest way that is right: every node in
// topological order, each with memory of its own. It is what the faster
// executors are held against.
type Program struct {
	outputs gorgonia.Nodes
	values  map[*gorgonia.Node]gorgonia.Value
	steps   []func() error
}

// Compile makes the program of outputs. The inputs' values are read on each
// run; their memory may change, the values themselves stay.
func Compile(outputs ...*gorgonia.Node) (*Program, error) {
	p := &Program{outputs: outputs, values: map[*gorgonia.Node]gorgonia.Value{}}
	order, err := gorgonia.Sort(outputs[0].Graph())
	if err != nil {
		return nil, err
	}
	needed := map[*gorgonia.Node]bool{}
	for _, n := range outputs {
		needed[n] = true
	}
	for _, n := range order {
		if needed[n] {
			for _, x := range op.Operands(n) {
				needed[x] = true
			}
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		if n := order[i]; needed[n] {
			if err := p.add(n); err != nil {
				return nil, fmt.Errorf("optest: %v: %w", n, err)
			}
		}
	}
	return p, nil
}

func (p *Program) add(n *gorgonia.Node) error {
	in := op.Operands(n)
	if len(in) == 0 {
		v := n.Value()
		if v == nil {
			return fmt.Errorf("input %s has no value", n.Name())
		}
		p.values[n] = v
		return nil
	}
	values := make([]gorgonia.Value, len(in))
	for i, x := range in {
		values[i] = p.values[x]
	}
	v, dst, err := op.NewValue(n.Dtype(), n.Shape())
	if err != nil {
		return err
	}
	p.values[n] = v

	o, ok := n.Op().(op.Operator)
	if !ok { // gorgonia.Grad's additions
		p.steps = append(p.steps, func() error {
			v, err := n.Op().Do(values...)
			if err != nil {
				return err
			}
			src, err := op.BufferOf(v)
			if err != nil {
				return err
			}
			copy(dst.F32, src.F32)
			copy(dst.F64, src.F64)
			return nil
		})
		return nil
	}
	plan, err := o.Plan(n.Dtype())
	if err != nil {
		return err
	}
	src := make([]kernel.Buffer, len(in))
	for i := range values {
		if src[i], err = op.BufferOf(values[i]); err != nil {
			return err
		}
	}
	_, scratch, err := op.NewValue(n.Dtype(), tensor.Shape{max(plan.Scratch, 1)})
	if err != nil {
		return err
	}
	p.steps = append(p.steps, func() error {
		if err := plan.Run(dst, src, scratch); err != nil {
			return fmt.Errorf("optest: running %v: %w", n, err)
		}
		return nil
	})
	return nil
}

// Run computes all nodes.
func (p *Program) Run() error {
	for _, step := range p.steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Value returns the value of output i after Run. The next run overwrites it.
func (p *Program) Value(i int) gorgonia.Value { return p.values[p.outputs[i]] }

// Floats runs the program and returns the outputs as float64.
func (p *Program) Floats() ([][]float64, error) {
	if err := p.Run(); err != nil {
		return nil, err
	}
	out := make([][]float64, len(p.outputs))
	for i := range out {
		var err error
		if out[i], err = Floats(p.Value(i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}
