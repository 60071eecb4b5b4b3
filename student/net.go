package student

import (
	"context"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Port is where values enter or leave a net.
type Port struct {
	// Name is the file's.
	Name string

	// Node holds the value, as float32 whatever Elem is. A node of rank 4 is
	// NHWC where the file's value is NCHW; other ranks are the same.
	Node *gorgonia.Node

	// Elem is the element type that the file declares; zero means float32.
	Elem onnx.DataType

	// Dims are the axes in the file that an export declares. nil means those of
	// the node, the first of them free.
	Dims []onnx.Dim
}

// NetOptions say how a file becomes a net.
type NetOptions struct {
	// Batch is the length of the inputs' first axis where the file leaves it
	// open; zero means 1.
	Batch int

	// Shapes gives, in the file's order of axes, the shapes of inputs that leave
	// more open than the first axis, by the input's name.
	Shapes map[string][]int

	// Trainable makes the file's tensors parameters, which Net.Params lists: all
	// that are of real numbers and have more than one element, as
	// ImportOptions.TrainConstants does.
	// Without it a graph has none, which leaves gorgonia.Grad less to do.
	Trainable bool
}

// Net is any imported network as a graph for inference: it may have several
// inputs and outputs of any shape, of which only the first axis may be left open
// in the file.
//
// Inputs and Outputs may be added to, once more nodes have been made in Expr:
// Export writes what they say.
type Net struct {
	// Expr is the graph that holds all nodes.
	Expr *gorgonia.ExprGraph

	// Inputs are to be set before each run; an input that no output depends on
	// is there, too.
	Inputs []Port

	// Outputs are the file's outputs.
	Outputs []Port

	// Params are the nodes of the trainable parameters.
	Params gorgonia.Nodes

	// Notes are sentences for people: what was changed on the way in.
	Notes []string

	graph *Graph
}

// ImportNet makes a graph of a model for inference by the file's parameters.
// Unlike ImportModel it asks nothing of inputs and outputs. m is not changed.
func ImportNet(m *onnx.Model, o NetOptions) (*Net, error) {
	if o.Batch < 0 {
		return nil, fmt.Errorf("student: batch of %d; a net is for at least 1, and 0 means 1", o.Batch)
	}
	p, err := readProgram(context.Background(), m)
	if err != nil {
		return nil, fmt.Errorf("student: import: %w", err)
	}
	var names []string
	for _, v := range p.Outputs {
		names = append(names, v.Name)
	}
	p.need(names...)
	p.planParameters(o.Trainable)
	model := &Model{architecture: Architecture{Name: p.title()}, dtype: tensor.Float32, byName: map[string]*Param{}}
	b := newBuilder(model, gorgonia.NewGraph(), Infer, true)
	im := newImporting(p, b)
	net := &Net{Expr: b.graph}
	for _, v := range p.Inputs {
		port, err := im.inputPort(v, o)
		if err != nil {
			return nil, fmt.Errorf("student: import: %w", err)
		}
		net.Inputs = append(net.Inputs, port)
		im.values[v.Name] = value{node: port.Node, elem: port.Elem}
		im.taken[v.Name] = true
	}
	for _, name := range names {
		im.taken[name] = true
	}
	// Both as in Builder.run.
	err = b.guard(func() {
		im.run()
		for _, v := range p.Outputs {
			net.Outputs = append(net.Outputs, im.outputPort(v))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("student: importing %s: %w", p.title(), err)
	}
	net.Notes = p.notes
	net.graph = &Graph{Expr: b.graph, name: p.title(), labels: b.labels, params: b.nodes, layers: b.layers}
	for _, n := range b.order {
		if o.Trainable && b.nodes[n].Trainable {
			net.Params = append(net.Params, n)
		}
	}
	return net, nil
}

// inputPort makes the port of an input.
func (im *importing) inputPort(v *onnx.Value, o NetOptions) (Port, error) {
	p := Port{Name: v.Name, Elem: v.Type}
	if v.Type.Float() || v.Type == onnx.Undefined {
		p.Elem = onnx.Float32
	}
	if v.Type == onnx.String || v.Type == onnx.Complex64 || v.Type == onnx.Complex128 {
		return p, fmt.Errorf("input %q is %v; numbers and booleans are computed with", v.Name, v.Type)
	}
	want := o.Shapes[v.Name]
	if !v.HasShape && want == nil {
		return p, fmt.Errorf("input %q has no shape; say it in NetOptions.Shapes", v.Name)
	}
	if v.HasShape && want != nil && len(want) != len(v.Shape) {
		return p, fmt.Errorf("input %q has shape %v; NetOptions.Shapes has %v for it", v.Name, v.Shape, want)
	}
	shape := slices.Clone(want)
	if shape == nil {
		shape = make([]int, len(v.Shape))
	}
	elements := 1
	for i := range shape {
		if v.HasShape {
			if n, fixed := v.Shape[i].Fixed(); fixed && (n > 0 || i > 0) {
				if want != nil && int64(want[i]) != n {
					return p, fmt.Errorf("input %q has shape %v; NetOptions.Shapes has %v for it", v.Name, v.Shape, want)
				}
				shape[i] = int(min(n, maxElements+1))
			} else if want == nil && i == 0 {
				shape[i] = max(o.Batch, 1)
			} else if want == nil {
				return p, fmt.Errorf("input %q has shape %v, which leaves axis %d open; say the shape in NetOptions.Shapes", v.Name, v.Shape, i)
			}
		}
		if shape[i] < 1 || elements > maxElements/shape[i] {
			return p, fmt.Errorf("input %q of shape %v; each axis is at least 1, and all together at most %d elements", v.Name, shape, maxElements)
		}
		elements *= shape[i]
	}
	for i, d := range shape {
		dim := onnx.Fixed(int64(d))
		if v.HasShape && i == 0 {
			if _, fixed := v.Shape[0].Fixed(); !fixed {
				dim = v.Shape[0]
			}
		}
		p.Dims = append(p.Dims, dim)
	}
	if len(shape) == 0 {
		p.Node = gorgonia.NewScalar(im.b.graph, tensor.Float32, gorgonia.WithName(v.Name))
		p.Dims = []onnx.Dim{}
	} else {
		p.Node = gorgonia.NewTensor(im.b.graph, tensor.Float32, len(shape), gorgonia.WithShape(inGorgonia(shape)...), gorgonia.WithName(v.Name))
	}
	im.b.labels[p.Node] = v.Name
	return p, nil
}

// outputPort makes the port of an output.
func (im *importing) outputPort(v *onnx.Value) Port {
	p := Port{Name: v.Name, Elem: v.Type}
	r := im.result(v.Name)
	if c := im.callOf(v.Name); c != nil {
		im.call = c
	}
	if v.Type.Float() || v.Type == onnx.Undefined {
		p.Elem = onnx.Float32
	}
	p.Node = im.node(r)
	return p
}

// Export returns the net's outputs as a model, as Model.Export does a student's:
// with the inputs and outputs that Inputs and Outputs name. Axes that are open
// in the file stay open; that a batch of another size than the graph's is
// computed right is up to the file, whose shape arithmetic is a constant here.
func (n *Net) Export(o ExportOptions) (*onnx.Model, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m, _, err := n.graph.write(o, ports(n.Inputs), ports(n.Outputs), false, nil)
	if err != nil {
		return nil, err
	}
	return finish(m, n.graph.name, o)
}

// ports fills in what may be left out.
func ports(list []Port) []Port {
	list = slices.Clone(list)
	for i, p := range list {
		if p.Elem == onnx.Undefined {
			list[i].Elem = onnx.Float32
		}
	}
	return list
}
