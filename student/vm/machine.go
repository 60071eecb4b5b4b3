package vm

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
)

var _ gorgonia.VM = (*Machine)(nil)

// ErrNonFinite is wrapped by the NodeError that RunAll returns when a machine
// made WithFiniteCheck meets a NaN or an infinity.
var ErrNonFinite = errors.New("value is not finite")

// ErrClosed is returned by RunAll after Close.
var ErrClosed = errors.New("vm: the machine is closed")

// NodeError says which node failed.
type NodeError struct {
	Node  *gorgonia.Node
	Err   error
	Stack []byte // where the operator panicked; nil when it returned an error
}

// Error implements error.
func (e *NodeError) Error() string { return "vm: " + describe(e.Node) + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *NodeError) Unwrap() error { return e.Err }

// Option changes how New makes a machine.
type Option func(*Machine)

// WithFiniteCheck makes RunAll look at every value, inputs first, and stop at
// the first node that holds a NaN or an infinity. It costs a pass over each
// value and nothing is fused: meant for finding out why a loss is NaN, by running the same graph and
// inputs once more.
func WithFiniteCheck() Option { return func(m *Machine) { m.finite = true } }

// WithoutFusion makes a machine compute every operator by itself, each value in
// memory of its own: for telling what fusing does, in results and in time.
// WithFiniteCheck implies it.
func WithoutFusion() Option { return func(m *Machine) { m.fuse = false } }

// Machine runs the part of a graph that its outputs need. It implements
// gorgonia.VM.
//
// Inputs are read from their nodes on every run, so their memory may change in
// between; machines of different graphs may share parameters and run at the
// same time as long as nothing writes these. One machine is used by one
// goroutine at a time, and machines of one graph one after the other.
//
// Only outputs are bound: the Value of any other operator node is left as it
// was before New, nil in a graph that no other machine ran.
type Machine struct {
	values  []*value // inputs, constants and results, in order of computation
	inputs  []*value
	steps   []step
	outputs []*value
	arenas  arenas
	memory  Memory
	clock   *clock // nil without WithProfile

	at     int // step under way, for the error of a panic
	finite bool
	fuse   bool
	closed bool

	poison bool // tests: fill what a step may not read with NaN
}

// step is one operator node, or several that are fused, ready to run.
type step struct {
	nodes   gorgonia.Nodes // operands before their users
	kind    string         // the names of their operators
	run     func(dst, src []kernel.Buffer, scratch kernel.Buffer) error
	out     []*value
	in      []*value
	dst     []kernel.Buffer // of out
	src     []kernel.Buffer // of in
	scratch kernel.Buffer
}

// error says that s failed. Of a group the node that comes last is named.
func (s *step) error(cause error, stack []byte) error {
	if len(s.nodes) > 1 {
		cause = fmt.Errorf("computed as %s: %w", s.kind, cause)
	}
	return &NodeError{Node: s.nodes[len(s.nodes)-1], Err: cause, Stack: stack}
}

// New makes a machine that computes outputs, which are nodes of g. Gradients
// are computed where they are among the outputs: give gorgonia.Grad's nodes to
// train. An output may be an input; it is then only checked.
//
// New must not run at the same time as anything else that uses g, since even
// looking at a Gorgonia graph writes to it.
func New(g *gorgonia.ExprGraph, outputs gorgonia.Nodes, opts ...Option) (*Machine, error) {
	m := &Machine{fuse: true}
	for _, o := range opts {
		o(m)
	}
	if err := m.compile(g, outputs); err != nil {
		return nil, err
	}
	if m.clock != nil {
		m.clock.steps = make([]time.Duration, len(m.steps))
	}
	return m, nil
}

// RunAll implements gorgonia.VM: it computes the outputs and binds their nodes.
// The values stay valid until the next RunAll or Close, which the owner of a
// value to be kept must copy before. After an error the outputs hold nothing
// meaningful. A failing node is named by a *NodeError; a panic of an operator
// is such an error too.
func (m *Machine) RunAll() (err error) {
	if m.closed {
		return ErrClosed
	}
	for _, in := range m.inputs {
		if err := m.read(in); err != nil {
			return err
		}
	}
	if m.finite {
		for _, v := range m.values {
			if v.kind == input || v.kind == constant {
				if err := checkFinite(v.node, v.buffer); err != nil {
					return err
				}
			}
		}
	}
	if err := m.runTimed(); err != nil {
		return err
	}
	for _, v := range m.outputs {
		if err := v.bind(m.arenas.lease); err != nil {
			return &NodeError{Node: v.node, Err: err}
		}
	}
	return nil
}

// runTimed runs the steps and, where there is a clock, counts the run.
func (m *Machine) runTimed() error {
	if m.clock == nil {
		return m.runSteps()
	}
	start := time.Now()
	if err := m.runSteps(); err != nil {
		return err
	}
	m.clock.runs++
	m.clock.time += time.Since(start)
	return nil
}

func (m *Machine) runSteps() (err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, ok := p.(error)
			if !ok {
				cause = fmt.Errorf("%v", p)
			}
			err = m.steps[m.at].error(fmt.Errorf("panic: %w", cause), debug.Stack())
		}
	}()
	for i := range m.steps {
		s := &m.steps[i]
		m.at = i
		if m.poison {
			s.poison()
		}
		var start time.Time
		if m.clock != nil {
			start = time.Now()
		}
		if err := s.run(s.dst, s.src, s.scratch); err != nil {
			return s.error(err, nil)
		}
		if m.clock != nil {
			m.clock.steps[i] += time.Since(start)
		}
		if m.finite { // nothing is fused
			if err := checkFinite(s.nodes[0], s.dst[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Reset implements gorgonia.VM. A run starts from nothing, so there is nothing
// to rewind.
func (m *Machine) Reset() {}

// Close implements gorgonia.VM: it gives the machine's memory back. Tensors that
// outputs are bound to must not be used afterwards: their memory may be C's,
// and another's by then. A machine that is never closed lives as long as it or
// one of these tensors can be reached.
func (m *Machine) Close() error {
	if m.arenas.lease != nil {
		m.arenas.lease.end()
	}
	*m = Machine{closed: true, memory: m.memory}
	return nil
}

// Memory reports what was planned.
func (m *Machine) Memory() Memory { return m.memory }

// read takes an input's memory from its node for the run to come.
func (m *Machine) read(v *value) error {
	held := v.node.Value()
	if held == nil {
		return &NodeError{Node: v.node, Err: errors.New("the input has no value; bind one with gorgonia.Let before RunAll")}
	}
	if held.Dtype() != v.dtype || !slices.Equal(held.Shape(), v.shape) {
		return &NodeError{Node: v.node, Err: fmt.Errorf("the input is made for %v of shape %v, its value is %v of shape %v",
			v.dtype, v.shape, held.Dtype(), held.Shape())}
	}
	v.header = held
	if !isFloat(v.dtype) {
		return nil
	}
	b, err := op.BufferOf(held)
	if err != nil {
		return &NodeError{Node: v.node, Err: err}
	}
	if m.arenas.hold(b) {
		return &NodeError{Node: v.node, Err: errors.New("the input is bound to an output of this machine, which the run overwrites; bind a copy")}
	}
	v.buffer = b
	for _, src := range v.uses {
		*src = b
	}
	return nil
}

// checkFinite returns an error that names n when b holds a NaN or an infinity.
func checkFinite(n *gorgonia.Node, b kernel.Buffer) error {
	i, x := firstNonFinite(b.F32), 0.0
	if i >= 0 {
		x = float64(b.F32[i])
	} else if i = firstNonFinite(b.F64); i >= 0 {
		x = b.F64[i]
	} else {
		return nil
	}
	return &NodeError{Node: n, Err: fmt.Errorf("%w: element %d of shape %v is %v", ErrNonFinite, i, n.Shape(), x)}
}

// firstNonFinite returns the index of the first NaN or infinity in x, or -1.
func firstNonFinite[T kernel.Float](x []T) int {
	for i, v := range x {
		if v-v != 0 { // NaN for NaN and for infinities
			return i
		}
	}
	return -1
}

// poison fills what a step may not read: its scratch, and its results but those
// in the memory of an operand.
func (s *step) poison() {
	fillNaN(s.scratch)
	for _, d := range s.dst {
		if !slices.ContainsFunc(s.src, func(x kernel.Buffer) bool { return sameMemory(x, d) }) {
			fillNaN(d)
		}
	}
}

func fillNaN(b kernel.Buffer) {
	for i := range b.F32 {
		b.F32[i] = float32(math.NaN())
	}
	for i := range b.F64 {
		b.F64[i] = math.NaN()
	}
}

// describe names a node in errors.
func describe(n *gorgonia.Node) string {
	if n.Op() == nil {
		return fmt.Sprintf("input %q", n.Name())
	}
	return fmt.Sprintf("node %d %q, operator %v", n.ID(), n.Name(), n.Op())
}
