package importertest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Piece is a piece of a file and what it computes.
type Piece struct {
	// Name is a short sentence, unique in the list.
	Name string

	// Opsets are those at which the piece is tried: one of each form of its
	// operators, and the newest.
	Opsets []int64

	// In is the shapes of the inputs, in the file's order of axes. Their
	// elements are drawn from Low to High; both zero means -2 to 2.
	In        [][]int
	Low, High float64

	// Microsoft is the operator of the piece that is of the domain com.microsoft.
	// Empty means that there is none.
	Microsoft string

	// Build appends the piece to a file and returns its outputs.
	Build func(b *onnx.Builder, in []string) []string

	// Want computes the outputs.
	Want func(in []Array) []Array

	// Refused is what the error says of a piece that cannot be imported; Want is
	// nil then. Empty means that it can.
	Refused string

	// NoRuntime says why ONNX Runtime does not run the piece as it is. Empty
	// means that it does.
	NoRuntime string
}

// Pieces returns the whole list.
func Pieces() []Piece {
	var all []Piece
	for _, g := range []struct {
		title  string
		pieces []Piece
	}{
		{"Conv", convolutions()},
		{"ConvTranspose", transposedConvolutions()},
		{"pools", pools()},
		{"BatchNormalization", batchNormalisations()},
		{"MatMul", products()},
		{"Gemm", gemms()},
		{"shapes", shapes()},
		{"functions", functions()},
		{"stretching", stretching()},
		{"PRelu", slopes()},
		{"Where", masks()},
		{"choices", unknownChoices()},
		{"Reshape", reshapes()},
		{"Transpose", transposes()},
		{"Concat and Split", parts()},
		{"Slice", cuts()},
		{"Pad", borders()},
		{"Gather, Expand and Tile", repeats()},
		{"depth and space", blocks()},
		{"reductions", reductions()},
		{"softmax", softmaxes()},
		{"normalisations", normalisations()},
		{"root mean squares", rootMeanSquares()},
		{"Attention", attentions()},
		{"com.microsoft", optimised()},
		{"Resize", resizings()},
	} {
		for _, p := range g.pieces {
			p.Name = g.title + ": " + p.Name
			all = append(all, p)
		}
	}
	return all
}

// Model writes the piece as a model of the given opset, with inputs in0, in1 and
// so on, and outputs out0, out1 and so on.
func (p Piece) Model(opset int64) (*onnx.Model, error) {
	b := onnx.NewBuilder("piece", opset)
	var in []string
	for i, dims := range p.In {
		d := []onnx.Dim{}
		for _, n := range dims {
			d = append(d, onnx.Fixed(int64(n)))
		}
		in = append(in, b.Input(fmt.Sprintf("in%d", i), onnx.Float32, d...))
	}
	for i, out := range p.Build(b, in) {
		b.Output(out, fmt.Sprintf("out%d", i), onnx.Float32)
	}
	m, err := b.Model()
	if err != nil || p.Microsoft == "" {
		return m, err
	}
	const domain = "com.microsoft"
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: domain, Version: 1})
	for _, n := range m.Graph.Nodes {
		if n.Op == p.Microsoft {
			n.Domain = domain
		}
	}
	return m, onnx.Check(m)
}

// Data draws the inputs: the same ones on every call, exact in float32.
func (p Piece) Data() []Array {
	h := fnv.New64a()
	h.Write([]byte(p.Name))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	low, high := p.Low, p.High
	if low == 0 && high == 0 {
		low, high = -2, 2
	}
	var in []Array
	for _, dims := range p.In {
		in = append(in, Tabulate(dims, func([]int) float64 { return float64(float32(low + (high-low)*r.Float64())) }))
	}
	return in
}

// Opsets for operators that have one form, and shapes to try them with.
var (
	anyOpset   = []int64{7, 13, 26}
	imageDims  = []int{2, 3, 4, 5}
	signalDims = []int{2, 3, 4}
	vector5    = []int{5}
)

// node1 builds one node over all inputs.
func node1(op string, attrs ...*onnx.Attr) func(b *onnx.Builder, in []string) []string {
	return func(b *onnx.Builder, in []string) []string { return []string{b.Node(op, in, attrs...)} }
}

// withConstants builds one node over the inputs and then constants.
func withConstants(op string, constants []*onnx.Tensor, attrs ...*onnx.Attr) func(b *onnx.Builder, in []string) []string {
	return func(b *onnx.Builder, in []string) []string {
		operands := slices.Clone(in)
		for _, c := range constants {
			if c == nil {
				operands = append(operands, "")
				continue
			}
			operands = append(operands, b.Initializer("c", c))
		}
		return []string{b.Node(op, operands, attrs...)}
	}
}

// Whole is a constant list of integers.
func Whole(v ...int64) *onnx.Tensor { return onnx.Int64s("", []int64{int64(len(v))}, v) }

// Drawn is an array for a constant: normal numbers.
func Drawn(seed uint64, dims ...int) Array {
	r := rand.New(rand.NewPCG(seed, 7))
	return Tabulate(dims, func([]int) float64 { return float64(float32(r.NormFloat64())) })
}

// of1 is the want of a function of one input.
func of1(f func(x Array) Array) func(in []Array) []Array {
	return func(in []Array) []Array { return []Array{f(in[0])} }
}

// scalar is a constant number.
func scalar(x float32) *onnx.Tensor { return onnx.Float32s("", nil, []float32{x}) }

// fromConstant builds one node over a constant and then the input.
func fromConstant(op string, c *onnx.Tensor) func(b *onnx.Builder, in []string) []string {
	return func(b *onnx.Builder, in []string) []string {
		return []string{b.Node(op, []string{b.Initializer("c", c), in[0]})}
	}
}

// Constant is an array as a constant of a file.
func Constant(a Array) *onnx.Tensor {
	f, d := make([]float32, len(a.Data)), make([]int64, len(a.Dims))
	for i, x := range a.Data {
		f[i] = float32(x)
	}
	for i, n := range a.Dims {
		d[i] = int64(n)
	}
	return onnx.Float32s("", d, f)
}
