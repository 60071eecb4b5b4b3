package onnx

import (
	"fmt"
	"slices"
)

// DefaultIR is the IR version a Builder writes unless told otherwise, up to
// opset 18, whose IR version it is; for later ones it writes MinIR.
const DefaultIR = 8

// MinIR returns the least IR version of a file with the given version of the
// default operator set: that of the ONNX release that brought the set. Older IR
// versions lack what its operators may rely on.
//
// https://github.com/onnx/onnx/blob/main/docs/Versioning.md
func MinIR(opset int64) int64 {
	switch {
	case opset <= 8:
		return 3
	case opset <= 14: // from ONNX 1.4 on both rise by one
		return min(opset-5, 7)
	case opset <= 18:
		return 8
	case opset <= 20:
		return 9
	case opset <= 22:
		return 10
	case opset <= 24:
		return opset - 12
	}
	return 13
}

// Builder makes a model node by node. It hands out a name for everything it
// adds, so that two layers that ask for the same name do not collide.
//
// Mistakes, such as an operand that does not exist, are reported by Model.
type Builder struct {
	graph  Graph
	opset  int64
	ir     int64
	hint   string
	fresh  bool  // the hint has named no node yet
	taken  names // values
	nodes  names
	naming []naming
}

// naming is a value that becomes a graph output of a given name.
type naming struct {
	value string
	out   *Value
}

// NewBuilder starts a model whose graph has the given name and which imports
// the given version of the default operator domain.
func NewBuilder(graph string, opset int64) *Builder {
	return &Builder{
		graph: Graph{Name: graph},
		opset: opset,
		ir:    max(DefaultIR, MinIR(opset)),
		taken: make(names),
		nodes: make(names),
	}
}

// Opset returns the version of the default operator domain, on which the form
// of some operators depends.
func (b *Builder) Opset() int64 { return b.opset }

// SetIR chooses the IR version to write in place of DefaultIR; one below MinIR
// is a mistake.
func (b *Builder) SetIR(version int64) { b.ir = version }

func (b *Builder) value(hint string) string {
	return b.taken.fresh(hint)
}

// Input adds a graph input and returns its name, which differs from the one
// asked for only when that is taken.
func (b *Builder) Input(name string, t DataType, dims ...Dim) string {
	name = b.value(name)
	b.graph.Inputs = append(b.graph.Inputs, &Value{Name: name, Type: t, Shape: slices.Clone(dims), HasShape: true})
	return name
}

// Output makes a value the graph output called name. The value is renamed, no
// Identity is added, unless it is a graph input, an initializer or already an
// output: those keep their names and get one. Operands may go on using the
// value by the name they know. Without dims the shape is what Infer tells.
func (b *Builder) Output(value, name string, t DataType, dims ...Dim) {
	b.naming = append(b.naming, naming{value, &Value{Name: name, Type: t, Shape: slices.Clone(dims), HasShape: len(dims) > 0}})
}

// Initializer adds a constant and returns its name: the one asked for, or one
// made from it when that is taken. t's own name is ignored; its data is
// shared.
func (b *Builder) Initializer(name string, t *Tensor) string {
	name = b.value(name)
	c := t.Clone()
	if c == nil {
		c = &Tensor{} // Check names it as a tensor without a type
	}
	c.Name = name
	b.graph.Initializers = append(b.graph.Initializers, c)
	return name
}

// Name sets the base name of the nodes appended next, "group2/block1/conv1":
// the first takes it as it is, the following ones add their operator,
// "group2/block1/conv1/Relu". It holds until the next call; an empty hint
// names nodes by their operator alone.
func (b *Builder) Name(hint string) { b.hint, b.fresh = hint, true }

// Node appends a node of the default domain with one output and returns the
// output's name. An empty operand name leaves an optional operand out.
func (b *Builder) Node(op string, in []string, attrs ...*Attr) string {
	return b.Nodes(op, 1, in, attrs...)[0]
}

// Nodes appends a node of the default domain with the given number of outputs
// and returns their names. The first is named as the node, the others with
// ":1", ":2" and so on behind. At least one output is made.
func (b *Builder) Nodes(op string, outputs int, in []string, attrs ...*Attr) []string {
	hint := op
	switch {
	case b.hint != "" && b.fresh:
		hint = b.hint
	case b.hint != "":
		hint = b.hint + "/" + op
	}
	b.fresh = false
	name := b.nodes.fresh(hint)
	n := &Node{Name: name, Op: op, Inputs: slices.Clone(in), Attrs: slices.Clone(attrs)}
	for i := range max(outputs, 1) {
		hint := name
		if i > 0 {
			hint = fmt.Sprintf("%s:%d", name, i)
		}
		n.Outputs = append(n.Outputs, b.value(hint))
	}
	b.graph.Nodes = append(b.graph.Nodes, n)
	return slices.Clone(n.Outputs)
}

// Model returns the model built so far, after Check and a comparison of its
// outputs with what Infer tells. The builder may go on: later additions do not
// change the returned model.
func (b *Builder) Model() (*Model, error) {
	if least := MinIR(b.opset); b.ir < least {
		return nil, fmt.Errorf("onnx: a model of opset %d needs IR version %d or later, got %d", b.opset, least, b.ir)
	}
	g := b.graph.Clone()
	if err := nameOutputs(g, b.naming); err != nil {
		return nil, err
	}
	m := &Model{IRVersion: b.ir, Opsets: []Opset{{Version: b.opset}}, Graph: g}
	if err := Check(m); err != nil {
		return nil, err
	}
	if err := agreeOnOutputs(m); err != nil {
		return nil, err
	}
	return m, nil
}

// agreeOnOutputs completes the declared outputs by what their operators tell,
// and refuses those that contradict it.
func agreeOnOutputs(m *Model) error {
	declared := m.Graph.Outputs
	m.Graph.Outputs = nil // so that inference does not believe them
	inferred := Infer(m)
	m.Graph.Outputs = declared
	for _, o := range declared {
		k := inferred[o.Name]
		if k == nil {
			continue
		}
		bad := k.Type != Undefined && k.Type != o.Type
		if o.HasShape && k.HasShape {
			bad = bad || len(o.Shape) != len(k.Shape)
			for i := 0; !bad && i < len(o.Shape); i++ {
				want, fixed := o.Shape[i].Fixed()
				got, known := k.Shape[i].Fixed()
				bad = fixed && known && want != got
			}
		}
		if bad {
			return fmt.Errorf("onnx: output %q is declared %v %s; its operators make it %v %s",
				o.Name, o.Type, shapeString(o.Shape), k.Type, shapeString(k.Shape))
		}
		if !o.HasShape {
			o.HasShape, o.Shape = k.HasShape, k.Shape
		}
	}
	return nil
}

// nameOutputs gives g its outputs, renaming values as Builder.Output promises.
func nameOutputs(g *Graph, outputs []naming) error {
	fixed := make(map[string]bool) // names that must stay
	for _, v := range g.Inputs {
		fixed[v.Name] = true
	}
	for _, t := range g.Initializers {
		fixed[t.Name] = true
	}
	made := make(map[string]bool)
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			made[o] = true
		}
	}
	rename := make(map[string]string) // value to its name as an output
	wanted := make(map[string]bool)   // output names
	var copies []naming
	for _, o := range outputs {
		switch {
		case !fixed[o.value] && !made[o.value]:
			return fmt.Errorf("onnx: output %q is to be value %q, which the builder never made", o.out.Name, o.value)
		case wanted[o.out.Name]:
			return fmt.Errorf("onnx: two outputs are called %q", o.out.Name)
		case fixed[o.out.Name]:
			return fmt.Errorf("onnx: output %q has the name of an input or initializer", o.out.Name)
		}
		wanted[o.out.Name] = true
		if _, named := rename[o.value]; named || fixed[o.value] {
			copies = append(copies, o)
		} else {
			rename[o.value] = o.out.Name
		}
		g.Outputs = append(g.Outputs, o.out.Clone())
	}
	// A value in the way of an output's name gives it up.
	taken := make(map[string]bool)
	g.names(func(name string) { taken[name] = true })
	for name := range wanted {
		taken[name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if _, named := rename[o]; wanted[o] && !named {
				name := fresh(taken, o)
				taken[name] = true
				rename[o] = name
			}
		}
	}
	outs := g.Outputs // have their names already
	g.Outputs = nil
	g.rename(rename)
	g.Outputs = outs
	for _, c := range copies {
		from := c.value
		if name, ok := rename[from]; ok {
			from = name
		}
		g.Nodes = append(g.Nodes, &Node{Name: c.out.Name, Op: "Identity", Inputs: []string{from}, Outputs: []string{c.out.Name}})
	}
	return nil
}
