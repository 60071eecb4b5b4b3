package optest

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// Model writes the case as a model of the given opset: inputs in0, in1 ...,
// output out, all float32 and of the case's shapes, rank 4 as NCHW. FileOrder
// brings data into that order. Where operands are Samples, their batch and the
// result's are free.
func (c Case) Model(opset int64) (*onnx.Model, error) {
	g, err := c.Graph(tensor.Float32, c.Data())
	if err != nil {
		return nil, err
	}
	b := onnx.NewBuilder("case", opset)
	names := map[*gorgonia.Node]string{}
	for i, n := range g.Inputs {
		names[n] = b.Input(n.Name(), onnx.Float32, dims(n.Shape(), c.Inputs[i].Samples)...)
	}
	out, err := emit(b, names, g.Output)
	if err != nil {
		return nil, fmt.Errorf("optest: writing %q: %w", c.Name, err)
	}
	b.Output(out, "out", onnx.Float32, dims(g.Output.Shape(), c.PerSample())...)
	return b.Model()
}

func emit(b *onnx.Builder, names map[*gorgonia.Node]string, n *gorgonia.Node) (string, error) {
	if name, ok := names[n]; ok {
		return name, nil
	}
	if n.Value() != nil && n.Shape().IsScalar() && len(op.Operands(n)) == 0 { // the seed of an inner gradient
		v, err := Floats(n.Value())
		if err != nil {
			return "", err
		}
		names[n] = b.Initializer("constant", onnx.Float32s("", nil, []float32{float32(v[0])}))
		return names[n], nil
	}
	o, ok := n.Op().(op.Operator)
	if !ok {
		return "", fmt.Errorf("%v is no operator of package op", n)
	}
	var in []string
	for _, x := range op.Operands(n) {
		name, err := emit(b, names, x)
		if err != nil {
			return "", err
		}
		in = append(in, name)
	}
	name, err := o.ONNX(b, in)
	names[n] = name
	return name, err
}

func dims(s tensor.Shape, freeBatch bool) []onnx.Dim {
	d := make([]onnx.Dim, len(s))
	for i := range s {
		d[i].Value = int64(s[i])
	}
	if len(s) == 4 {
		d[1], d[2], d[3] = d[3], d[1], d[2]
	}
	if freeBatch {
		d[0] = onnx.Symbol("batch")
	}
	return d
}

// FileOrder returns data of shape s, NHWC where s has rank 4, in the order it
// has in a file: NCHW.
func FileOrder(s tensor.Shape, data []float64) []float64 { return permute(s, data, false) }

// GraphOrder is the inverse of FileOrder; s is the shape in the graph.
func GraphOrder(s tensor.Shape, data []float64) []float64 { return permute(s, data, true) }

func permute(s tensor.Shape, data []float64, back bool) []float64 {
	out := append([]float64(nil), data...)
	if len(s) != 4 {
		return out
	}
	for n := range s[0] {
		for h := range s[1] {
			for w := range s[2] {
				for c := range s[3] {
					graph := ((n*s[1]+h)*s[2]+w)*s[3] + c
					file := ((n*s[3]+c)*s[1]+h)*s[2] + w
					if back {
						out[graph] = data[file]
					} else {
						out[file] = data[graph]
					}
				}
			}
		}
	}
	return out
}
