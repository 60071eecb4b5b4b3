package student

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Builder makes the layers of one graph. Its methods take and return nodes and
// never fail: the first error sticks, later calls return nil, and Output
// reports it. So an architecture reads like the network it makes:
//
//	x := b.Conv("conv", image, student.Conv{Out: 16, Kernel: [2]int{3, 3}, Pad: [4]int{1, 1, 1, 1}})
//	x = b.Tap("features", b.ReLU(b.BatchNorm("bn", x)))
//	return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
//
// Layers with parameters are named, each name once per graph; slashes group
// them. The rest take a name from the layer before them.
type Builder struct {
	model  *Model
	graph  *gorgonia.ExprGraph
	mode   Mode
	create bool // parameters are made, not looked up
	err    error

	used    []*Param // in the order of use
	order   gorgonia.Nodes
	nodes   map[*gorgonia.Node]*Param
	labels  map[*gorgonia.Node]string
	layers  map[*gorgonia.Node]layer
	taps    []Tap
	updates []Update
}

// Mode returns what the graph is for. An architecture may act on it, as dropout
// does, as long as it makes the same parameters in both modes.
func (b *Builder) Mode() Mode { return b.mode }

// Classes returns the number of logits wanted.
func (b *Builder) Classes() int { return b.model.spec.Classes }

// Channels returns the length of x's last axis, 0 after an error.
func (b *Builder) Channels(x *gorgonia.Node) int {
	if b.err != nil || x == nil || x.Dims() == 0 {
		return 0
	}
	return x.Shape()[x.Dims()-1]
}

// Err returns the first error, nil as long as all went well.
func (b *Builder) Err() error { return b.err }

// Fail makes err the builder's error, unless there is one already. An
// architecture calls it when its own settings are wrong.
func (b *Builder) Fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Op takes what a function of package op returned, for operators that the
// builder has no method for: b.Op(op.Abs(x)).
func (b *Builder) Op(n *gorgonia.Node, err error) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	if err != nil {
		b.Fail(err)
		return nil
	}
	return n
}

// Tap makes x [N, H, W, C] an attention point called name and returns it.
func (b *Builder) Tap(name string, x *gorgonia.Node) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	b.taps = append(b.taps, Tap{Name: name, Node: x})
	return x
}

// Output ends the network: logits [N, classes] and the taps made so far, or
// the builder's error.
func (b *Builder) Output(logits *gorgonia.Node) (Output, error) {
	if b.err != nil {
		return Output{}, b.err
	}
	return Output{Logits: logits, Taps: b.taps}, nil
}

func newBuilder(m *Model, g *gorgonia.ExprGraph, mode Mode, create bool) *Builder {
	return &Builder{
		model: m, graph: g, mode: mode, create: create,
		nodes: map[*gorgonia.Node]*Param{}, labels: map[*gorgonia.Node]string{}, layers: map[*gorgonia.Node]layer{},
	}
}

// run calls the architecture.
func (b *Builder) run(a Architecture, image *gorgonia.Node) (out Output, err error) {
	b.labels[image] = "image"
	if failed := b.guard(func() { out, err = a.Build(b, image) }); failed != nil {
		return Output{}, failed
	}
	if err == nil && out.Logits == nil {
		err = errors.New("the architecture returned no logits")
	}
	return out, err
}

// guard calls f and returns the builder's error. After an error its nodes are
// nil, and a function of package op that is called with one may panic: the
// error is the cause.
func (b *Builder) guard(f func()) (err error) {
	defer func() {
		if b.err != nil {
			recover()
			err = b.err
		}
	}()
	f()
	return b.err
}

// check checks the operand and the name of a layer.
func (b *Builder) check(kind, name string, x *gorgonia.Node, rank int) bool {
	switch {
	case b.err != nil:
		return false
	case name == "" || path.Clean("/"+name) != "/"+name:
		b.Fail(fmt.Errorf("%s layer called %q; a name is words with slashes between, as group1/conv", kind, name))
	case x == nil:
		b.Fail(fmt.Errorf("%s %s got no input", kind, name))
	case x.Dims() != rank:
		b.Fail(fmt.Errorf("%s %s wants an input of rank %d, got shape %v", kind, name, rank, x.Shape()))
	}
	return b.err == nil
}

// param returns the node of the layer's parameter of one kind, whose value is
// the model's own memory.
func (b *Builder) param(layer string, kind Kind, dims ...int) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	name := layer + "/" + kind.String()
	for _, p := range b.used {
		if p.Name == name {
			b.Fail(fmt.Errorf("two layers are called %s", layer))
			return nil
		}
	}
	return b.parameter(name, kind, dims, nil)
}

// parameter returns the node of the parameter called name, a name that no
// other of this graph has. Where the model's parameters are being made, initial
// gives the first value, in row-major order; nil draws it, as New says.
func (b *Builder) parameter(name string, kind Kind, dims []int, initial func() ([]float32, error)) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	shape, elements := tensor.Shape(dims).Clone(), 1
	for _, d := range dims {
		if d < 1 || elements > maxElements/d {
			b.Fail(fmt.Errorf("%s of shape %v; each dimension is at least 1, and all together at most %d elements", name, shape, maxElements))
			return nil
		}
		elements *= d
	}
	p := b.model.byName[name]
	switch {
	case b.create && p != nil:
		b.Fail(fmt.Errorf("two parameters are called %s", name))
		return nil
	case b.create && initial == nil:
		p = newParam(name, kind, shape, b.model.seed)
	case b.create:
		v, err := initial()
		if err == nil && len(v) != elements {
			err = fmt.Errorf("%d values for a parameter of shape %v", len(v), shape)
		}
		if err != nil {
			b.Fail(fmt.Errorf("%s: %w", name, err))
			return nil
		}
		p = paramOf(name, kind, shape, v)
	case p == nil:
		b.Fail(fmt.Errorf("the model has no parameter %s; %w", name, errRebuilt))
		return nil
	case !slices.Equal(p.Value.Shape(), shape):
		b.Fail(fmt.Errorf("%s has shape %v, this time %v is wanted; %w", name, p.Value.Shape(), shape, errRebuilt))
		return nil
	}
	if b.create {
		b.model.params = append(b.model.params, p)
		b.model.byName[name] = p
	}
	n := b.nodeOf(p)
	b.used = append(b.used, p)
	b.order = append(b.order, n)
	return n
}

// fixed returns the node of a constant tensor that is no parameter, called name
// as no other input is. v is in row-major order.
func (b *Builder) fixed(name string, dims []int, v []float32) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	p := paramOf(name, Free, tensor.Shape(dims).Clone(), v)
	p.fixed, p.Trainable, p.Decay = true, false, false
	return b.nodeOf(p.as(b.model.dtype))
}

// nodeOf makes the node of a parameter.
func (b *Builder) nodeOf(p *Param) *gorgonia.Node {
	// A header of its own keeps machines that mark tensors, as Gorgonia's does,
	// from racing on graphs of one model.
	shape := p.Value.Shape().Clone()
	shared := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(p.Value.Data()))
	n := gorgonia.NewTensor(b.graph, b.model.dtype, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(p.Name), gorgonia.WithValue(shared))
	b.nodes[n] = p
	return n
}

// maxElements bounds one parameter: 4 GiB of float32.
const maxElements = 1 << 30

// put labels the node that is made, taking the error of making it.
func (b *Builder) put(label string, n *gorgonia.Node, err error) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	if err != nil {
		b.Fail(fmt.Errorf("%s: %w", label, err))
		return nil
	}
	b.labels[n] = label
	return n
}

// record notes what n is, for Cost and Export.
func (b *Builder) record(n *gorgonia.Node, l layer) *gorgonia.Node {
	if n != nil {
		b.layers[n] = l
	}
	return n
}

// beside returns a label in the group of x: "group1/relu" after "group1/bn".
func (b *Builder) beside(x *gorgonia.Node, word string) string {
	return path.Join(path.Dir(b.labels[x]), word)
}
