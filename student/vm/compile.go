package vm

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// compile fills the machine: order, steps, plan, memory.
func (m *Machine) compile(g *gorgonia.ExprGraph, outputs gorgonia.Nodes) error {
	if len(outputs) == 0 {
		return errors.New("vm: no outputs; a machine computes at least one node")
	}
	for i, n := range outputs {
		if n == nil {
			return fmt.Errorf("vm: output %d is nil", i)
		}
		if n.Graph() != g {
			return fmt.Errorf("vm: output %q belongs to another graph", n.Name())
		}
	}
	order, err := needed(outputs)
	if err != nil {
		return err
	}

	var groups []op.Group
	if m.fuse && !m.finite {
		groups = op.Fusions(order, outputs)
	}
	byNode := make(map[*gorgonia.Node]*value, len(order))
	plans := make([]op.GroupPlan, 0, len(order)) // of the steps
	for _, u := range schedule(order, groups) {
		for _, n := range u.nodes {
			v, err := newValue(n)
			if err != nil {
				return &NodeError{Node: n, Err: err}
			}
			byNode[n] = v
			m.values = append(m.values, v)
		}
		n := u.last
		switch v := byNode[n]; v.kind {
		case input:
			m.inputs = append(m.inputs, v)
			continue
		case constant:
			continue
		}
		s, plan, err := m.newStep(u, byNode)
		if err != nil {
			return &NodeError{Node: n, Err: err}
		}
		m.steps = append(m.steps, s)
		plans = append(plans, plan)
		m.memory.Run += len(u.nodes)
		m.memory.Fused += len(u.nodes) - 1
	}
	for _, n := range outputs {
		if v := byNode[n]; !slices.Contains(m.outputs, v) {
			m.outputs = append(m.outputs, v)
		}
	}
	for _, n := range g.AllNodes() {
		if _, isConstant := n.Op().(constantOp); n.Op() != nil && !isConstant && byNode[n] == nil {
			m.memory.Pruned++
		}
	}
	m.plan(plans)
	return nil
}

// newStep makes the step that computes u, whose operands are in byNode.
func (m *Machine) newStep(u *unit, byNode map[*gorgonia.Node]*value) (s step, plan op.GroupPlan, err error) {
	s = step{nodes: u.nodes, kind: u.kind}
	for _, n := range u.operands {
		s.in = append(s.in, byNode[n])
	}
	for _, n := range u.nodes {
		if !slices.Contains(u.results, n) {
			byNode[n].kind = inner
		}
	}
	for _, n := range u.results {
		s.out = append(s.out, byNode[n])
	}
	s.src, s.dst = make([]kernel.Buffer, len(s.in)), make([]kernel.Buffer, len(s.out))
	foreign := false
	if u.plan != nil {
		plan, err = planOfGroup(u.plan, s.out[0])
	} else {
		plan, foreign, err = planOf(s.out[0], s.in)
	}
	if foreign {
		m.memory.Foreign++
	}
	s.run = plan.Run
	return s, plan, err
}

// constantOp is what Gorgonia's constants implement.
type constantOp interface{ Value() gorgonia.Value }

// newValue describes the result of n.
func newValue(n *gorgonia.Node) (v *value, err error) {
	defer func() { // Dtype panics on a type it does not know
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("its type is unknown: %v", p)
		}
	}()
	if n.Op() != nil && n.Type() == nil {
		return nil, errors.New("a statement has no value; give the node it reads")
	}
	v = &value{node: n, dtype: n.Dtype(), shape: n.Shape()}
	v.size = sizeOf(v.shape)
	if v.size == 0 {
		return nil, fmt.Errorf("shape %v has no elements", v.shape)
	}
	c, isConstant := n.Op().(constantOp)
	switch {
	case n.Op() == nil:
		v.kind = input
	case isConstant:
		v.kind, v.header = constant, c.Value()
		if isFloat(v.dtype) {
			v.buffer, err = op.BufferOf(v.header)
		}
	case isFloat(v.dtype):
		v.kind = planned
	default:
		v.kind = opaque
	}
	return v, err
}

// planOf returns how to compute out from in, and whether that is a stock
// operator's Do.
func planOf(out *value, in []*value) (plan op.GroupPlan, foreign bool, err error) {
	defer recoverPlan(&err)
	if o, ok := out.node.Op().(op.Operator); ok {
		for i, x := range append(in[:len(in):len(in)], out) {
			if x.dtype != out.dtype || !isFloat(x.dtype) {
				return plan, false, fmt.Errorf("operand %d is %v and the result %v; an operator computes in one float type", i, x.dtype, out.dtype)
			}
		}
		p, err := o.Plan(out.dtype)
		plan = single(p)
		if op.IsSum(out.node) {
			plan.InPlace = sumInPlace
		}
		return plan, false, err
	}
	if op.IsSum(out.node) {
		return addition(out), false, nil
	}
	return single(foreignPlan(out, in)), true, nil
}

// planOfGroup returns how to compute a group whose first result is out.
func planOfGroup(plan func(tensor.Dtype) (op.GroupPlan, error), out *value) (p op.GroupPlan, err error) {
	defer recoverPlan(&err)
	return plan(out.dtype)
}

func recoverPlan(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("planning panicked: %v", p)
	}
}

// single is the plan of one operator as that of a group.
func single(p op.Plan) op.GroupPlan {
	g := op.GroupPlan{Scratch: p.Scratch}
	if p.InPlace {
		g.InPlace = []op.Overwrite{{Result: 0, Operand: 0}}
	}
	if p.Run != nil {
		g.Run = func(dst, src []kernel.Buffer, scratch kernel.Buffer) error { return p.Run(dst[0], src, scratch) }
	}
	return g
}

// sumInPlace is where a sum may be written: over either operand.
var sumInPlace = []op.Overwrite{{Result: 0, Operand: 0}, {Result: 0, Operand: 1}}

// addition is the plan of Gorgonia's +, with the kernel of op.Add.
func addition(out *value) op.GroupPlan {
	if out.dtype == tensor.Float32 {
		run := kernel.Binary(out.size, kernel.Add[float32])
		return op.GroupPlan{InPlace: sumInPlace, Run: func(dst, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(dst[0].F32, src[0].F32, src[1].F32)
		}}
	}
	run := kernel.Binary(out.size, kernel.Add[float64])
	return op.GroupPlan{InPlace: sumInPlace, Run: func(dst, src []kernel.Buffer, _ kernel.Buffer) error {
		return run(dst[0].F64, src[0].F64, src[1].F64)
	}}
}

// plan gives every planned value and scratch memory a place, makes the arenas
// and hands out their memory.
func (m *Machine) plan(plans []op.GroupPlan) {
	lastUse := map[*value]int{}
	for i, s := range m.steps {
		for _, x := range s.out {
			lastUse[x] = i
		}
		for _, x := range s.in {
			lastUse[x] = i
		}
	}
	for _, v := range m.outputs {
		lastUse[v] = len(m.steps) - 1
	}
	// dying reports whether step i may write the result out over operand k:
	// memory of ours, as large, and not looked at again, be it by a later step, by
	// whoever reads the outputs, or by this step as another operand.
	dying := func(s *step, out *value, k, i int) bool {
		x := s.in[k]
		return x.kind == planned && x.dtype == out.dtype && x.size == out.size && lastUse[x] == i && !slices.Contains(m.outputs, x) &&
			!slices.Contains(s.in[:k], x) && !slices.Contains(s.in[k+1:], x)
	}

	var blocks []*block
	byType := map[tensor.Dtype][]*block{}
	newBlock := func(dt tensor.Dtype, size, first, last int) int {
		width := int(dt.Size())
		perLine := alignment / width
		b := &block{size: (size + perLine - 1) / perLine * perLine, first: first, last: last}
		m.memory.Unshared += int64(b.size * width)
		blocks = append(blocks, b)
		byType[dt] = append(byType[dt], b)
		return len(blocks) - 1
	}
	scratch := make([]int, len(m.steps))
	for i := range m.steps {
		s := &m.steps[i]
		scratch[i] = -1
		if s.out[0].kind != planned {
			continue
		}
		if plans[i].Scratch > 0 {
			scratch[i] = newBlock(s.out[0].dtype, plans[i].Scratch, i, i)
		}
		over := make([]*value, len(s.out)) // the operand that a result takes the place of
		for _, o := range plans[i].InPlace {
			out, x := s.out[o.Result], s.in[o.Operand]
			if over[o.Result] == nil && !slices.Contains(over, x) && dying(s, out, o.Operand, i) {
				over[o.Result] = x
			}
		}
		for r, out := range s.out {
			x := over[r]
			if x == nil {
				out.block = newBlock(out.dtype, out.size, i, lastUse[out])
				continue
			}
			out.block = x.block
			blocks[x.block].last = lastUse[out]
			m.memory.InPlace++
			m.memory.Unshared += int64(blocks[x.block].size * int(out.dtype.Size()))
		}
	}

	f32, f64 := byType[tensor.Float32], byType[tensor.Float64]
	m.arenas = newArenas(place(f32), place(f64))
	hold(m.arenas.lease, m)
	m.memory.Planned = int64(len(m.arenas.f32))*4 + int64(len(m.arenas.f64))*8
	m.memory.Least = int64(most(f32, len(m.steps)))*4 + int64(most(f64, len(m.steps)))*8

	memory := func(dt tensor.Dtype, block, size int) kernel.Buffer {
		at := blocks[block].offset
		if dt == tensor.Float32 {
			return kernel.Buffer{F32: m.arenas.f32[at : at+size : at+size]}
		}
		return kernel.Buffer{F64: m.arenas.f64[at : at+size : at+size]}
	}
	for i := range m.steps {
		s := &m.steps[i]
		for r, out := range s.out {
			if out.kind == planned {
				out.buffer = memory(out.dtype, out.block, out.size)
				s.dst[r] = out.buffer
			}
		}
		if scratch[i] >= 0 {
			s.scratch = memory(s.out[0].dtype, scratch[i], plans[i].Scratch)
		}
		for j, x := range s.in {
			s.src[j] = x.buffer // an input's is set by each run
			if x.kind == input {
				x.uses = append(x.uses, &s.src[j])
			}
		}
	}
}
