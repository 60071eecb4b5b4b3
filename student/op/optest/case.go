package optest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Case is one operator in one configuration.
type Case struct {
	// Name is a short sentence, unique in the table.
	Name string

	// Inputs are the operands Build is given, in order.
	Inputs []Input

	// Build applies the operator. The inputs are float32 or float64 nodes of
	// the shapes in Inputs.
	Build func(in gorgonia.Nodes) (*gorgonia.Node, error)

	// Reference computes the same value with plain loops. in holds the
	// operands, row-major, in Gorgonia's layout (NHWC).
	Reference func(in [][]float64) []float64

	// NoGradient says why the derivative is not checked: the operator is
	// piecewise constant, or updates a running value. Empty means it is checked.
	NoGradient string

	// NoForm says why the case has no ONNX form. Empty means that it has one.
	NoForm string
}

// Input is one operand of a case.
type Input struct {
	Shape tensor.Shape

	// Low and High bound the values, which are drawn uniformly and are the same
	// on every call. Both zero means -1 to 1.
	Low, High float64

	// Gap is the least distance of any value from zero. Zero means none. It
	// keeps central differences off a kink.
	Gap float64

	// Kinks are further places from which values keep the distance Gap.
	Kinks []float64

	// Values, when not nil, are the values themselves.
	Values []float64

	// Fixed marks an operand that has no derivative, such as running statistics.
	Fixed bool

	// Samples says that the first axis is a batch, whose samples the operator
	// treats one by one; the result's first axis is the same batch. The case's
	// ONNX form must then take a batch of any size.
	Samples bool
}

// PerSample reports whether the case has operands that are Samples.
func (c Case) PerSample() bool {
	return slices.ContainsFunc(c.Inputs, func(in Input) bool { return in.Samples })
}

// Data returns the values of the case's inputs: the same ones on every call.
func (c Case) Data() [][]float64 {
	data := make([][]float64, len(c.Inputs))
	for i, in := range c.Inputs {
		if in.Values != nil {
			data[i] = append([]float64(nil), in.Values...)
			continue
		}
		data[i] = draw(fmt.Sprintf("%s/%d", c.Name, i), in)
	}
	return data
}

func draw(key string, in Input) []float64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	low, high := in.Low, in.High
	if low == 0 && high == 0 {
		low, high = -1, 1
	}
	x := make([]float64, in.Shape.TotalSize())
	for i := range x {
		near := func(kink float64) bool { return math.Abs(x[i]-kink) < in.Gap }
		for again := true; again; again = near(0) || slices.ContainsFunc(in.Kinks, near) {
			x[i] = low + (high-low)*r.Float64()
		}
	}
	return x
}

// Graph is a case built for one element type.
type Graph struct {
	Inputs gorgonia.Nodes
	Output *gorgonia.Node
}

// Graph builds the case with inputs of element type dt that hold data.
func (c Case) Graph(dt tensor.Dtype, data [][]float64) (Graph, error) {
	g := gorgonia.NewGraph()
	in := make(gorgonia.Nodes, len(c.Inputs))
	for i, spec := range c.Inputs {
		v, err := Value(dt, spec.Shape, data[i])
		if err != nil {
			return Graph{}, err
		}
		in[i] = gorgonia.NewTensor(g, dt, spec.Shape.Dims(), gorgonia.WithName(fmt.Sprintf("in%d", i)),
			gorgonia.WithShape(spec.Shape...), gorgonia.WithValue(v))
	}
	out, err := c.Build(in)
	if err != nil {
		return Graph{}, fmt.Errorf("optest: building %q: %w", c.Name, err)
	}
	return Graph{Inputs: in, Output: out}, nil
}

// Cases returns the whole table.
func Cases() []Case {
	return slices.Concat(basicCases(), nnCases(), activationCases(), structureCases(), linearCases())
}
