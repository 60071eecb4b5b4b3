package vm

import (
	"container/heap"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

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

	byNode := make(map[*gorgonia.Node]*value, len(order))
	plans := make([]op.Plan, 0, len(order)) // of the steps
	for _, n := range order {
		v, err := newValue(n)
		if err != nil {
			return &NodeError{Node: n, Err: err}
		}
		byNode[n] = v
		m.values = append(m.values, v)
		switch v.kind {
		case input:
			m.inputs = append(m.inputs, v)
			continue
		case constant:
			continue
		}
		s := step{node: n, out: v}
		for _, c := range op.Operands(n) {
			s.in = append(s.in, byNode[c])
		}
		s.src = make([]kernel.Buffer, len(s.in))
		plan, foreign, err := planOf(v, s.in)
		if err != nil {
			return &NodeError{Node: n, Err: err}
		}
		if foreign {
			m.memory.Foreign++
		}
		s.run, s.addition = plan.Run, !foreign && isAddition(v, s.in)
		m.steps = append(m.steps, s)
		plans = append(plans, plan)
	}
	for _, n := range outputs {
		if v := byNode[n]; !slices.Contains(m.outputs, v) {
			m.outputs = append(m.outputs, v)
		}
	}
	m.memory.Run = len(m.steps)
	for _, n := range g.AllNodes() {
		if _, isConstant := n.Op().(constantOp); n.Op() != nil && !isConstant && byNode[n] == nil {
			m.memory.Pruned++
		}
	}
	m.plan(plans)
	return nil
}

// needed returns the nodes that outputs depend on, operands before their users
// and, where that leaves a choice, in the order in which they were made. It is
// the same on every run of the program, and makes the first node that fails or
// is not finite the first in the order of the network's code.
func needed(outputs gorgonia.Nodes) (gorgonia.Nodes, error) {
	waiting := map[*gorgonia.Node]int{} // operands not yet in order
	users := map[*gorgonia.Node]gorgonia.Nodes{}
	var ready byID
	todo := slices.Clone(outputs)
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, seen := waiting[n]; seen {
			continue
		}
		in := op.Operands(n)
		waiting[n] = len(in)
		if len(in) == 0 {
			heap.Push(&ready, n)
		}
		for _, c := range in {
			users[c] = append(users[c], n) // once for each use
			todo = append(todo, c)
		}
	}
	order := make(gorgonia.Nodes, 0, len(waiting))
	for len(ready) > 0 {
		n := heap.Pop(&ready).(*gorgonia.Node)
		order = append(order, n)
		for _, u := range users[n] {
			if waiting[u]--; waiting[u] == 0 {
				heap.Push(&ready, u)
			}
		}
	}
	if len(order) < len(waiting) {
		return nil, errors.New("vm: the graph has a cycle")
	}
	return order, nil
}

// byID is a heap of nodes, the one made first on top.
type byID gorgonia.Nodes

func (h byID) Len() int           { return len(h) }
func (h byID) Less(i, j int) bool { return h[i].ID() < h[j].ID() }
func (h byID) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byID) Push(x any)        { *h = append(*h, x.(*gorgonia.Node)) }
func (h *byID) Pop() any {
	last := len(*h) - 1
	n := (*h)[last]
	*h = (*h)[:last]
	return n
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
			v.buffer, err = bufferOf(v.header)
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
func planOf(out *value, in []*value) (plan op.Plan, foreign bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("planning panicked: %v", p)
		}
	}()
	if o, ok := out.node.Op().(op.Operator); ok {
		for i, x := range append(in[:len(in):len(in)], out) {
			if x.dtype != out.dtype || !isFloat(x.dtype) {
				return plan, false, fmt.Errorf("operand %d is %v and the result %v; an operator computes in one float type", i, x.dtype, out.dtype)
			}
		}
		plan, err = o.Plan(out.dtype)
		return plan, false, err
	}
	if isAddition(out, in) {
		return addition(out), false, nil
	}
	return foreignPlan(out, in), true, nil
}

// isAddition recognises Gorgonia's own +, which gorgonia.Grad inserts where a
// node has several users, between operands of one shape.
func isAddition(out *value, in []*value) bool {
	o := out.node.Op()
	t := reflect.TypeOf(o)
	return t.PkgPath() == "gorgonia.org/gorgonia" && t.Name() == "elemBinOp" && strings.HasPrefix(o.String(), "+ ") &&
		len(in) == 2 && isFloat(out.dtype) &&
		slices.Equal(in[0].shape, out.shape) && slices.Equal(in[1].shape, out.shape)
}

// addition is the plan of Gorgonia's +, with the kernel of op.Add.
func addition(out *value) op.Plan {
	if out.dtype == tensor.Float32 {
		run := kernel.Binary(out.size, kernel.Add[float32])
		return op.Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			return run(dst.F32, src[0].F32, src[1].F32)
		}}
	}
	run := kernel.Binary(out.size, kernel.Add[float64])
	return op.Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
		return run(dst.F64, src[0].F64, src[1].F64)
	}}
}

// plan gives every planned value and scratch memory a place, makes the arenas
// and hands out their memory.
func (m *Machine) plan(plans []op.Plan) {
	lastUse := map[*value]int{}
	for i, s := range m.steps {
		lastUse[s.out] = i
		for _, x := range s.in {
			lastUse[x] = i
		}
	}
	for _, v := range m.outputs {
		lastUse[v] = len(m.steps) - 1
	}
	// dying reports whether step i may write its result over operand k: memory of
	// ours, as large, and not looked at again, be it by a later step, by whoever
	// reads the outputs, or by this step as another operand.
	dying := func(s *step, k, i int) bool {
		x := s.in[k]
		return x.kind == planned && x.size == s.out.size && lastUse[x] == i && !slices.Contains(m.outputs, x) &&
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
		if s.out.kind != planned {
			continue
		}
		if plans[i].Scratch > 0 {
			scratch[i] = newBlock(s.out.dtype, plans[i].Scratch, i, i)
		}
		if plans[i].InPlace {
			if s.addition && !dying(s, 0, i) && dying(s, 1, i) {
				s.in[0], s.in[1] = s.in[1], s.in[0]
			}
			if dying(s, 0, i) {
				x := s.in[0]
				s.out.block = x.block
				blocks[x.block].last = lastUse[s.out]
				m.memory.InPlace++
				m.memory.Unshared += int64(blocks[x.block].size * int(s.out.dtype.Size()))
				continue
			}
		}
		s.out.block = newBlock(s.out.dtype, s.out.size, i, lastUse[s.out])
	}

	f32, f64 := byType[tensor.Float32], byType[tensor.Float64]
	m.arenas = newArenas(place(f32), place(f64))
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
		if s.out.kind == planned {
			s.out.buffer = memory(s.out.dtype, s.out.block, s.out.size)
			s.dst = s.out.buffer
			if scratch[i] >= 0 {
				s.scratch = memory(s.out.dtype, scratch[i], plans[i].Scratch)
			}
		}
		for j, x := range s.in {
			s.src[j] = x.buffer // an input's is set by each run
			if x.kind == input {
				x.uses = append(x.uses, &s.src[j])
			}
		}
	}
}
