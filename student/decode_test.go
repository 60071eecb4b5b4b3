package student_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	onnxgo "github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

var _ onnxgo.Backend = (*recorder)(nil)

// recorder is an onnx-go backend that notes what the decoder tells it.
type recorder struct {
	*simple.WeightedDirectedGraph
	nodes []*recorded
	calls []call
}

type recorded struct {
	id     int64
	name   string
	tensor tensor.Tensor
	inputs []string
}

// call is one applied operation.
type call struct {
	Op              string
	Inputs, Outputs []string
	Attrs           map[string]any
}

func (n *recorded) ID() int64                       { return n.id }
func (n *recorded) SetName(name string)             { n.name = name }
func (n *recorded) GetName() string                 { return n.name }
func (n *recorded) SetTensor(t tensor.Tensor) error { n.tensor = t; return nil }
func (n *recorded) GetTensor() tensor.Tensor        { return n.tensor }

func (r *recorder) NewNode() graph.Node {
	n := &recorded{id: int64(len(r.nodes))}
	r.nodes = append(r.nodes, n)
	return n
}

func (r *recorder) AddNode(graph.Node) {}

func (r *recorder) NewWeightedEdge(from, to graph.Node, w float64) graph.WeightedEdge {
	return simple.WeightedEdge{F: from, T: to, W: w}
}

// SetWeightedEdge keeps the order of calls: a simple graph would lose an operand
// used twice.
func (r *recorder) SetWeightedEdge(e graph.WeightedEdge) {
	n := e.From().(*recorded)
	n.inputs = append(n.inputs, e.To().(*recorded).name)
}

func (r *recorder) ApplyOperation(o onnxgo.Operation, out ...graph.Node) error {
	c := call{Op: o.Name, Attrs: o.Attributes, Inputs: out[0].(*recorded).inputs}
	for _, n := range out {
		c.Outputs = append(c.Outputs, n.(*recorded).name)
	}
	r.calls = append(r.calls, c)
	return nil
}

// An independent decoder must see the nodes, operands, attributes and weights
// that were written.
func TestAnotherDecoderSeesWhatWasExported(t *testing.T) {
	for _, name := range []string{"wrn-10-0.5", "wrn-16-1", "resnet-8"} {
		t.Run(name, func(t *testing.T) {
			a, err := zoo.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			m := newModel(t, a, student.Spec{Image: student.Shape{H: 9, W: 12, C: 3}, Classes: 5}, 1)
			shake(t, m)
			x := export(t, m, student.ExportOptions{})
			r := &recorder{WeightedDirectedGraph: simple.NewWeightedDirectedGraph(0, 0)}
			if err := onnxgo.NewModel(r).UnmarshalBinary(encode(t, x)); err != nil {
				t.Fatal(err)
			}
			var want []call
			for _, n := range x.Graph.Nodes {
				c := call{Op: n.Op, Inputs: n.Inputs, Outputs: n.Outputs, Attrs: map[string]any{}}
				for _, a := range n.Attrs {
					switch a.Type {
					case onnx.AttrTypeInt:
						c.Attrs[a.Name] = a.Int
					case onnx.AttrTypeInts:
						c.Attrs[a.Name] = a.Ints
					case onnx.AttrTypeFloat:
						c.Attrs[a.Name] = a.Float
					default:
						t.Fatalf("%s has attribute %s of type %v", n.Name, a.Name, a.Type)
					}
				}
				want = append(want, c)
			}
			if d := cmp.Diff(want, r.calls); d != "" {
				t.Errorf("operations (-written +decoded):\n%s", d)
			}
			tensors := 0
			for _, n := range r.nodes {
				w := x.Graph.Initializer(n.name)
				if w == nil {
					continue
				}
				tensors++
				var dims []int64
				for _, d := range n.tensor.Shape() {
					dims = append(dims, int64(d))
				}
				v, err := w.Float32s()
				if err != nil {
					t.Fatal(err)
				}
				if !cmp.Equal(w.Dims, dims) || !cmp.Equal(v, n.tensor.Data()) {
					t.Errorf("%s decodes to other values, of shape %v", n.name, dims)
				}
			}
			if tensors != len(x.Graph.Initializers) || tensors == 0 {
				t.Errorf("%d weights decoded of %d", tensors, len(x.Graph.Initializers))
			}
		})
	}
}
