package student_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// array is a value as a file has it: its axes and, row-major, its elements.
type array struct {
	dims []int
	data []float64
}

// tabulate makes an array element by element.
func tabulate(dims []int, f func(at []int) float64) array {
	a := array{dims: dims}
	at := make([]int, len(dims))
	for range elements(dims) {
		a.data = append(a.data, f(at))
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < dims[i] {
				break
			}
			at[i] = 0
		}
	}
	return a
}

func elements(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// at returns one element.
func (a array) at(i ...int) float64 {
	k := 0
	for j, d := range a.dims {
		k = k*d + i[j]
	}
	return a.data[k]
}

// stretched returns one element of a, stretched by NumPy's rule to more axes.
func (a array) stretched(i []int) float64 {
	at := slices.Clone(i[len(i)-len(a.dims):])
	for j, d := range a.dims {
		if d == 1 {
			at[j] = 0
		}
	}
	return a.at(at...)
}

// each returns f of every element.
func (a array) each(f func(x float64) float64) array {
	b := array{dims: a.dims}
	for _, x := range a.data {
		b.data = append(b.data, f(x))
	}
	return b
}

// translation is a piece of a file and what it computes, told by plain loops
// over the axes of the file.
type translation struct {
	name   string
	opsets []int64
	in     [][]int // shapes of the inputs, in the file's order
	low    float64 // of the inputs' elements; both zero means -2 to 2
	high   float64
	build  func(b *onnx.Builder, in []string) []string // returns the outputs
	want   func(in []array) []array

	// refused is in the error of a piece that cannot be imported; want is nil.
	refused string
}

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

// whole is a constant list of integers.
func whole(v ...int64) *onnx.Tensor { return onnx.Int64s("", []int64{int64(len(v))}, v) }

// drawn is an array for a constant: normal numbers.
func drawn(seed uint64, dims ...int) array {
	r := rand.New(rand.NewPCG(seed, 7))
	return tabulate(dims, func([]int) float64 { return float64(float32(r.NormFloat64())) })
}

// of1 is the want of a function of one input.
func of1(f func(x array) array) func(in []array) []array {
	return func(in []array) []array { return []array{f(in[0])} }
}

// model writes the piece as a model.
func (c translation) model(t *testing.T, opset int64) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("piece", opset)
	var in []string
	for i, dims := range c.in {
		var d []onnx.Dim
		for _, n := range dims {
			d = append(d, onnx.Fixed(int64(n)))
		}
		in = append(in, b.Input(fmt.Sprintf("in%d", i), onnx.Float32, d...))
	}
	for i, out := range c.build(b, in) {
		b.Output(out, fmt.Sprintf("out%d", i), onnx.Float32)
	}
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// data draws the inputs.
func (c translation) data() []array {
	h := fnv.New64a()
	h.Write([]byte(c.name))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	low, high := c.low, c.high
	if low == 0 && high == 0 {
		low, high = -2, 2
	}
	var in []array
	for _, dims := range c.in {
		in = append(in, tabulate(dims, func([]int) float64 { return float64(float32(low + (high-low)*r.Float64())) }))
	}
	return in
}

// inGraphOrder returns a file's value as a node holds it.
func (a array) inGraphOrder() (dims []int, data []float64) {
	if len(a.dims) != 4 {
		return a.dims, a.data
	}
	d := a.dims
	g := tabulate([]int{d[0], d[2], d[3], d[1]}, func(i []int) float64 { return a.at(i[0], i[3], i[1], i[2]) })
	return g.dims, g.data
}

// fromGraph returns a node's value as a file has it.
func fromGraph(t *testing.T, v gorgonia.Value) array {
	t.Helper()
	f, err := optest.Floats(v)
	if err != nil {
		t.Fatal(err)
	}
	s := []int(v.Shape())
	g := array{s, f}
	if len(s) != 4 {
		return g
	}
	return tabulate([]int{s[0], s[3], s[1], s[2]}, func(i []int) float64 { return g.at(i[0], i[2], i[3], i[1]) })
}

// compute runs an imported net once.
func compute(t *testing.T, n *student.Net, in []array) []array {
	t.Helper()
	for i, p := range n.Inputs {
		dims, data := in[i].inGraphOrder()
		v, err := optest.Value(tensor.Float32, dims, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(p.Node, v); err != nil {
			t.Fatalf("input %s: %v", p.Name, err)
		}
	}
	var wanted gorgonia.Nodes
	for _, p := range n.Outputs {
		wanted = append(wanted, p.Node)
	}
	m, err := vm.New(n.Expr, wanted)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	var out []array
	for _, p := range n.Outputs {
		out = append(out, fromGraph(t, p.Node.Value()))
	}
	return out
}

// checkTranslations imports each piece at each of its opsets and compares what
// it computes with the loops; then it exports it, at the oldest and the newest
// opset, and imports that.
func checkTranslations(t *testing.T, cases []translation) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := c.data()
			for i, opset := range c.opsets {
				n, err := student.ImportNet(c.model(t, opset), student.NetOptions{})
				if c.refused != "" {
					if err == nil || !strings.Contains(err.Error(), c.refused) {
						t.Errorf("opset %d: got error %v, want one with %q", opset, err, c.refused)
					}
					continue
				}
				if err != nil {
					t.Fatalf("opset %d: %v", opset, err)
				}
				want := c.want(in)
				compareArrays(t, fmt.Sprintf("opset %d", opset), compute(t, n, in), want)
				if i > 0 {
					continue
				}
				for _, to := range []int64{13, 21} {
					what := fmt.Sprintf("opset %d, exported at %d and read back", opset, to)
					m, err := n.Export(student.ExportOptions{Opset: to})
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					again, err := student.ImportNet(m, student.NetOptions{})
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					compareArrays(t, what, compute(t, again, in), want)
				}
			}
		})
	}
}

func compareArrays(t *testing.T, what string, got, want []array) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d outputs, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if !slices.Equal(got[i].dims, w.dims) {
			t.Errorf("%s: output %d has shape %v, want %v", what, i, got[i].dims, w.dims)
		} else if err := optest.Compare(got[i].data, w.data, optest.Close32); err != nil {
			t.Errorf("%s: output %d: %v", what, i, err)
		}
	}
}

// Opsets for operators that have one form, and shapes to try them with.
var (
	anyOpset   = []int64{7, 13, 21}
	imageDims  = []int{2, 3, 4, 5}
	signalDims = []int{2, 3, 4}
	vector5    = []int{5}
)

func TestFunctionsOfEachElementAreTranslated(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	softplus := func(x float64) float64 { return math.Log1p(math.Exp(x)) }
	f32 := func(x float64) float64 { return float64(float32(x)) }
	clip := func(low, high float64) func(x float64) float64 {
		return func(x float64) float64 { return math.Min(math.Max(x, low), high) }
	}
	elu := func(alpha float64) func(x float64) float64 {
		return func(x float64) float64 {
			if x > 0 {
				return x
			}
			return alpha * math.Expm1(x)
		}
	}
	leaky := func(alpha float64) func(x float64) float64 {
		return func(x float64) float64 {
			if x > 0 {
				return x
			}
			return alpha * x
		}
	}
	var cases []translation
	for _, c := range []struct {
		name   string
		opsets []int64
		low    float64 // above zero: of the inputs
		build  func(b *onnx.Builder, in []string) []string
		f      func(x float64) float64
	}{
		{"Abs", anyOpset, 0, node1("Abs"), math.Abs},
		{"Celu", []int64{12, 21}, 0, node1("Celu", onnx.AttrFloat("alpha", 1.5)), func(x float64) float64 {
			return math.Max(x, 0) + math.Min(0, 1.5*math.Expm1(x/1.5))
		}},
		{"Clip by attributes", []int64{7, 10}, 0, node1("Clip", onnx.AttrFloat("min", -0.5), onnx.AttrFloat("max", 1)), clip(-0.5, 1)},
		{"Clip by one attribute", []int64{7, 10}, 0, node1("Clip", onnx.AttrFloat("max", 1)), clip(math.Inf(-1), 1)},
		{"Clip by operands", []int64{11, 13, 21}, 0, withConstants("Clip", []*onnx.Tensor{scalar(0), scalar(6)}), clip(0, 6)},
		{"Clip from below", []int64{11, 13, 21}, 0, withConstants("Clip", []*onnx.Tensor{scalar(0)}), clip(0, math.Inf(1))},
		{"Clip from above", []int64{11, 13, 21}, 0, withConstants("Clip", []*onnx.Tensor{nil, scalar(0.25)}), clip(math.Inf(-1), 0.25)},
		{"Elu", anyOpset, 0, node1("Elu", onnx.AttrFloat("alpha", 0.5)), elu(0.5)},
		{"Elu with its default", anyOpset, 0, node1("Elu"), elu(1)},
		{"Erf", []int64{9, 13, 21}, 0, node1("Erf"), math.Erf},
		{"Exp", anyOpset, 0, node1("Exp"), math.Exp},
		{"Gelu", []int64{20, 21}, 0, node1("Gelu"), func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }},
		{"Gelu by tanh", []int64{20, 21}, 0, node1("Gelu", onnx.AttrString("approximate", "tanh")), func(x float64) float64 {
			return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}},
		{"HardSigmoid", anyOpset, 0, node1("HardSigmoid", onnx.AttrFloat("alpha", 0.3), onnx.AttrFloat("beta", 0.4)), func(x float64) float64 { return clip(0, 1)(f32(0.3)*x + f32(0.4)) }},
		{"HardSigmoid with its defaults", anyOpset, 0, node1("HardSigmoid"), func(x float64) float64 { return clip(0, 1)(0.2*x + 0.5) }},
		{"HardSwish", []int64{14, 21}, 0, node1("HardSwish"), func(x float64) float64 { return x * clip(0, 1)(x/6+0.5) }},
		{"LeakyRelu", anyOpset, 0, node1("LeakyRelu", onnx.AttrFloat("alpha", 0.2)), leaky(f32(0.2))},
		{"LeakyRelu with its default", anyOpset, 0, node1("LeakyRelu"), leaky(f32(0.01))},
		{"Log", anyOpset, 0.2, node1("Log"), math.Log},
		{"Mish", []int64{18, 21}, 0, node1("Mish"), func(x float64) float64 { return x * math.Tanh(softplus(x)) }},
		{"Neg", anyOpset, 0, node1("Neg"), func(x float64) float64 { return -x }},
		{"Reciprocal", anyOpset, 0.2, node1("Reciprocal"), func(x float64) float64 { return 1 / x }},
		{"Relu", []int64{7, 13, 14, 21}, 0, node1("Relu"), func(x float64) float64 { return math.Max(x, 0) }},
		{"Selu", anyOpset, 0, node1("Selu"), func(x float64) float64 { return 1.05070102214813232421875 * elu(1.67326319217681884765625)(x) }},
		{"Sigmoid", anyOpset, 0, node1("Sigmoid"), sigmoid},
		{"Sign", []int64{9, 13, 21}, 0, node1("Sign"), func(x float64) float64 { return math.Copysign(1, x) }},
		{"Softplus", anyOpset, 0, node1("Softplus"), softplus},
		{"Softsign", anyOpset, 0, node1("Softsign"), func(x float64) float64 { return x / (1 + math.Abs(x)) }},
		{"Sqrt", anyOpset, 0.2, node1("Sqrt"), math.Sqrt},
		{"ThresholdedRelu", []int64{10, 21}, 0, node1("ThresholdedRelu", onnx.AttrFloat("alpha", 0.25)), func(x float64) float64 {
			if x > 0.25 {
				return x
			}
			return 0
		}},
		{"Tanh", anyOpset, 0, node1("Tanh"), math.Tanh},

		{"Add of a number", anyOpset, 0, withConstants("Add", []*onnx.Tensor{scalar(3)}), func(x float64) float64 { return x + 3 }},
		{"Sub of a number", anyOpset, 0, withConstants("Sub", []*onnx.Tensor{scalar(3)}), func(x float64) float64 { return x - 3 }},
		{"Mul by a number", anyOpset, 0, withConstants("Mul", []*onnx.Tensor{scalar(3)}), func(x float64) float64 { return x * 3 }},
		{"Div by a number", anyOpset, 0, withConstants("Div", []*onnx.Tensor{scalar(3)}), func(x float64) float64 { return x / 3 }},
		{"Sub from a number", anyOpset, 0, fromConstant("Sub", scalar(3)), func(x float64) float64 { return 3 - x }},
		{"Div of a number", anyOpset, 0.2, fromConstant("Div", scalar(3)), func(x float64) float64 { return 3 / x }},
		{"Mul by 1", anyOpset, 0, withConstants("Mul", []*onnx.Tensor{scalar(1)}), func(x float64) float64 { return x }},
		{"Pow of 1", anyOpset, 0, withConstants("Pow", []*onnx.Tensor{scalar(1)}), func(x float64) float64 { return x }},
		{"Pow of 2", anyOpset, 0, withConstants("Pow", []*onnx.Tensor{scalar(2)}), func(x float64) float64 { return x * x }},
		{"Pow of 3", anyOpset, 0, withConstants("Pow", []*onnx.Tensor{scalar(3)}), func(x float64) float64 { return x * x * x }},
		{"Pow of one half", anyOpset, 0.2, withConstants("Pow", []*onnx.Tensor{scalar(0.5)}), math.Sqrt},
		{"Pow of a number", anyOpset, 0.2, fromConstant("Pow", scalar(3)), func(x float64) float64 { return math.Pow(3, x) }},
		{"Max with a number", []int64{8, 12, 21}, 0, withConstants("Max", []*onnx.Tensor{scalar(0.5)}), clip(0.5, math.Inf(1))},
		{"Max with 0", []int64{8, 12, 21}, 0, withConstants("Max", []*onnx.Tensor{scalar(0)}), clip(0, math.Inf(1))},
		{"Min with a number", []int64{8, 12, 21}, 0, fromConstant("Min", scalar(0.5)), clip(math.Inf(-1), 0.5)},
		{"a cast to float64", anyOpset, 0, func(b *onnx.Builder, in []string) []string {
			d := b.Node("Cast", in, onnx.AttrInt("to", int64(onnx.Float64)))
			return []string{b.Node("Cast", []string{d}, onnx.AttrInt("to", int64(onnx.Float32)))}
		}, func(x float64) float64 { return x }},
		{"x·Sigmoid(x)", anyOpset, 0, func(b *onnx.Builder, in []string) []string {
			return []string{b.Node("Mul", []string{b.Node("Sigmoid", in), in[0]})}
		}, func(x float64) float64 { return x * sigmoid(x) }},
		{"x·Sigmoid(x) whose sigmoid is read twice", anyOpset, 0, func(b *onnx.Builder, in []string) []string {
			s := b.Node("Sigmoid", in)
			return []string{b.Node("Add", []string{b.Node("Mul", []string{in[0], s}), s})}
		}, func(x float64) float64 { return (x + 1) * sigmoid(x) }},
	} {
		for _, dims := range [][]int{imageDims, signalDims, vector5} {
			k := translation{name: fmt.Sprintf("%s of %v", c.name, dims), opsets: c.opsets, in: [][]int{dims}, build: c.build,
				want: of1(func(x array) array { return x.each(c.f) })}
			if c.low > 0 {
				k.low, k.high = c.low, 2
			}
			cases = append(cases, k)
		}
	}
	checkTranslations(t, cases)
}

// scalar is a constant number.
func scalar(x float32) *onnx.Tensor { return onnx.Float32s("", nil, []float32{x}) }

// fromConstant builds one node over a constant and then the input.
func fromConstant(op string, c *onnx.Tensor) func(b *onnx.Builder, in []string) []string {
	return func(b *onnx.Builder, in []string) []string {
		return []string{b.Node(op, []string{b.Initializer("c", c), in[0]})}
	}
}

// TestOperandsStretch tries NumPy's rule between images, signals and constants.
func TestOperandsStretch(t *testing.T) {
	functions := []struct {
		op     string
		opsets []int64
		f      func(a, b float64) float64
		low    float64
	}{
		{"Add", anyOpset, func(a, b float64) float64 { return a + b }, 0},
		{"Sub", anyOpset, func(a, b float64) float64 { return a - b }, 0},
		{"Mul", anyOpset, func(a, b float64) float64 { return a * b }, 0},
		{"Div", anyOpset, func(a, b float64) float64 { return a / b }, 0.3},
		{"Pow", anyOpset, math.Pow, 0.3},
		{"Max", []int64{8, 21}, math.Max, 0},
		{"Min", []int64{8, 21}, math.Min, 0},
		{"Sum", []int64{8, 21}, func(a, b float64) float64 { return a + b }, 0},
		{"Mean", []int64{8, 21}, func(a, b float64) float64 { return (a + b) / 2 }, 0},
	}
	shapes := []struct{ a, b, to []int }{
		{imageDims, imageDims, imageDims},
		{imageDims, []int{3, 1, 1}, imageDims},
		{imageDims, []int{5}, imageDims},
		{imageDims, []int{4, 5}, imageDims},
		{imageDims, []int{2, 3, 1, 1}, imageDims},
		{[]int{1, 1, 4, 5}, []int{2, 3, 1, 1}, imageDims},
		{imageDims, []int{1}, imageDims},
		{signalDims, []int{4}, signalDims},
		{signalDims, []int{3, 1}, signalDims},
		{signalDims, []int{2, 1, 1}, signalDims},
		{[]int{3, 1}, []int{4}, []int{3, 4}},
		{[]int{2, 3}, imageDims[:0], []int{2, 3}},
		{signalDims, []int{2, 1, 3, 4}, []int{2, 2, 3, 4}},
		{vector5, []int{1, 1}, []int{1, 5}},
	}
	var cases []translation
	for _, f := range functions {
		for _, s := range shapes {
			k := translation{opsets: f.opsets, low: f.low}
			if f.low > 0 {
				k.high = 2
			}
			want := func(a, b array) []array {
				return []array{tabulate(s.to, func(i []int) float64 { return f.f(a.stretched(i), b.stretched(i)) })}
			}
			k.name = fmt.Sprintf("%s of %v and %v", f.op, s.a, s.b)
			k.in, k.build = [][]int{s.a, s.b}, node1(f.op)
			k.want = func(in []array) []array { return want(in[0], in[1]) }
			cases = append(cases, k)

			value := drawn(uint64(len(cases)), s.b...).each(func(x float64) float64 { return float64(float32(math.Abs(x) + 0.25)) })
			c := constantOf(value)
			k.name = fmt.Sprintf("%s of %v and constant %v", f.op, s.a, s.b)
			k.in, k.build = [][]int{s.a}, withConstants(f.op, []*onnx.Tensor{c})
			k.want = func(in []array) []array { return want(in[0], value) }
			cases = append(cases, k)

			k.name = fmt.Sprintf("%s of constant %v and %v", f.op, s.b, s.a)
			k.build = fromConstant(f.op, c)
			k.want = func(in []array) []array {
				return []array{tabulate(s.to, func(i []int) float64 { return f.f(value.stretched(i), in[0].stretched(i)) })}
			}
			cases = append(cases, k)
		}
	}
	cases = append(cases,
		translation{name: "Sum of three", opsets: []int64{8, 13, 21}, in: [][]int{imageDims, {3, 1, 1}, {5}}, build: node1("Sum"),
			want: func(in []array) []array {
				return []array{tabulate(imageDims, func(i []int) float64 { return in[0].stretched(i) + in[1].stretched(i) + in[2].stretched(i) })}
			}},
		translation{name: "Max of one", opsets: []int64{8, 13, 21}, in: [][]int{imageDims}, build: node1("Max"), want: of1(func(x array) array { return x })},
		translation{name: "Mean of three", opsets: []int64{8, 13, 21}, in: [][]int{signalDims, signalDims, signalDims}, build: node1("Mean"),
			want: func(in []array) []array {
				return []array{tabulate(signalDims, func(i []int) float64 { return (in[0].at(i...) + in[1].at(i...) + in[2].at(i...)) / 3 })}
			}},
		translation{name: "shapes that do not stretch", opsets: anyOpset, in: [][]int{imageDims, {3, 1}}, build: node1("Add"), refused: "do not stretch"},
	)
	checkTranslations(t, cases)
}

// constantOf is an array as a constant of a file.
func constantOf(a array) *onnx.Tensor {
	f, d := make([]float32, len(a.data)), make([]int64, len(a.dims))
	for i, x := range a.data {
		f[i] = float32(x)
	}
	for i, n := range a.dims {
		d[i] = int64(n)
	}
	return onnx.Float32s("", d, f)
}

func TestPReluTakesASlopeForEachChannel(t *testing.T) {
	var cases []translation
	for _, s := range []struct{ x, slope []int }{
		{imageDims, []int{3, 1, 1}}, {imageDims, []int{1}}, {imageDims, []int{5}}, {imageDims, imageDims}, {signalDims, []int{3, 1}}, {signalDims, nil}, {[]int{2, 3}, []int{3}},
	} {
		slope := drawn(3, s.slope...)
		want := func(x, slope array) []array {
			return []array{tabulate(s.x, func(i []int) float64 {
				if v := x.at(i...); v < 0 {
					return v * slope.stretched(i)
				}
				return x.at(i...)
			})}
		}
		cases = append(cases,
			translation{name: fmt.Sprintf("%v with constant slopes %v", s.x, s.slope), opsets: []int64{7, 9, 16, 21}, in: [][]int{s.x},
				build: withConstants("PRelu", []*onnx.Tensor{constantOf(slope)}), want: func(in []array) []array { return want(in[0], slope) }},
			translation{name: fmt.Sprintf("%v with slopes %v", s.x, s.slope), opsets: []int64{7, 9, 16, 21}, in: [][]int{s.x, s.slope},
				build: node1("PRelu"), want: func(in []array) []array { return want(in[0], in[1]) }})
	}
	cases = append(cases, translation{name: "slopes that do not fit", opsets: anyOpset, in: [][]int{{2, 3}},
		build: withConstants("PRelu", []*onnx.Tensor{constantOf(tabulate([]int{4, 2, 3}, func([]int) float64 { return 1 }))}), refused: "do not stretch"})
	checkTranslations(t, cases)
}

func TestWhereTakesAKnownMask(t *testing.T) {
	mask := func(dims []int, on func(i []int) bool) (*onnx.Tensor, array) {
		a := tabulate(dims, func(i []int) float64 {
			if on(i) {
				return 1
			}
			return 0
		})
		d, b := []int64{}, []byte{}
		for _, n := range dims {
			d = append(d, int64(n))
		}
		for _, x := range a.data {
			b = append(b, byte(x))
		}
		return &onnx.Tensor{Type: onnx.Bool, Dims: d, Data: b}, a
	}
	var cases []translation
	for _, s := range []struct {
		name        string
		mask, a, b  []int
		to          []int
		on          func(i []int) bool
		constantAt1 bool
	}{
		{name: "a causal mask", mask: []int{4, 4}, a: []int{2, 3, 4, 4}, b: nil, to: []int{2, 3, 4, 4}, on: func(i []int) bool { return i[1] <= i[0] }, constantAt1: true},
		{name: "a mask of channels", mask: []int{3, 1, 1}, a: imageDims, b: imageDims, to: imageDims, on: func(i []int) bool { return i[0] != 1 }},
		{name: "a mask of a signal", mask: []int{4}, a: signalDims, b: []int{3, 1}, to: signalDims, on: func(i []int) bool { return i[0]%2 == 0 }},
		{name: "a mask that is all set", mask: []int{2, 1, 1}, a: []int{3, 1}, b: []int{4}, to: []int{2, 3, 4}, on: func([]int) bool { return true }},
		{name: "a mask that is not set", mask: []int{2, 1, 1}, a: []int{3, 1}, b: []int{4}, to: []int{2, 3, 4}, on: func([]int) bool { return false }},
	} {
		m, set := mask(s.mask, s.on)
		c := translation{name: s.name, opsets: []int64{9, 16, 21}, in: [][]int{s.a, s.b}}
		c.build = func(b *onnx.Builder, in []string) []string {
			other := scalar(-1e9)
			if s.constantAt1 {
				return []string{b.Node("Where", []string{b.Initializer("mask", m), in[0], b.Initializer("other", other)})}
			}
			return []string{b.Node("Where", []string{b.Initializer("mask", m), in[0], in[1]})}
		}
		if s.constantAt1 {
			c.in = c.in[:1]
		}
		c.want = func(in []array) []array {
			return []array{tabulate(s.to, func(i []int) float64 {
				switch {
				case set.stretched(i) != 0:
					return in[0].stretched(i)
				case s.constantAt1:
					return -1e9
				default:
					return in[1].stretched(i)
				}
			})}
		}
		cases = append(cases, c)
	}
	// Masks that are computed, of numbers some of which are equal.
	for _, s := range []struct {
		op     string
		opsets []int64
		on     func(a, b float64) bool
	}{
		{"Greater", []int64{9, 13, 21}, func(a, b float64) bool { return a > b }},
		{"Less", []int64{9, 13, 21}, func(a, b float64) bool { return a < b }},
		{"GreaterOrEqual", []int64{12, 16, 21}, func(a, b float64) bool { return a >= b }},
		{"LessOrEqual", []int64{12, 16, 21}, func(a, b float64) bool { return a <= b }},
		{"Equal", []int64{11, 13, 21}, func(a, b float64) bool { return a == b }},
	} {
		for _, not := range []bool{false, true} {
			level := scalar(0)
			cases = append(cases, translation{name: fmt.Sprintf("%s than what is computed, not %v", s.op, not), opsets: s.opsets, in: [][]int{imageDims, {3, 1, 1}},
				build: func(b *onnx.Builder, in []string) []string {
					// About a quarter are zeros on both sides.
					x, y := b.Node("Relu", in[:1]), b.Node("Relu", in[1:])
					m := b.Node(s.op, []string{x, y})
					if not {
						m = b.Node("Not", []string{m})
					}
					return []string{b.Node("Where", []string{m, in[0], b.Initializer("level", level)})}
				},
				want: func(in []array) []array {
					relu := func(x float64) float64 { return math.Max(x, 0) }
					x, y := in[0].each(relu), in[1].each(relu)
					return []array{tabulate(imageDims, func(i []int) float64 {
						if s.on(x.at(i...), y.stretched(i)) != not {
							return in[0].at(i...)
						}
						return 0
					})}
				}})
		}
	}
	for _, both := range []bool{false, true} {
		cases = append(cases, translation{name: fmt.Sprint("two masks, both ", both), opsets: []int64{9, 21}, in: [][]int{signalDims, signalDims},
			build: func(b *onnx.Builder, in []string) []string {
				zero, join := b.Initializer("zero", scalar(0)), "Or"
				if both {
					join = "And"
				}
				m := b.Node(join, []string{b.Node("Greater", []string{in[0], zero}), b.Node("Less", []string{in[1], zero})})
				return []string{b.Node("Where", []string{m, in[0], in[1]})}
			},
			want: func(in []array) []array {
				return []array{tabulate(signalDims, func(i []int) float64 {
					a, b := in[0].at(i...) > 0, in[1].at(i...) < 0
					if a && b || !both && (a || b) {
						return in[0].at(i...)
					}
					return in[1].at(i...)
				})}
			}})
	}
	checkTranslations(t, cases)
}

// The error names the choices.
func TestUnknownChoicesAreRefused(t *testing.T) {
	checkTranslations(t, []translation{
		{name: "Gelu", opsets: []int64{20}, in: [][]int{imageDims}, build: node1("Gelu", onnx.AttrString("approximate", "exact")), refused: "it is one of none, tanh"},
		{name: "Pad", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Pad", []*onnx.Tensor{whole(0, 0, 1, 1, 0, 0, 1, 1)}, onnx.AttrString("mode", "mirror")), refused: "it is one of constant, reflect, edge, wrap"},
		{name: "Resize", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, onnx.Float32s("", []int64{4}, []float32{1, 1, 2, 2})}, onnx.AttrString("mode", "cubic")), refused: "nearest and linear are supported"},
		{name: "Cast", opsets: []int64{9, 21}, in: [][]int{imageDims}, build: func(b *onnx.Builder, in []string) []string {
			return []string{b.Node("Cast", []string{b.Node("Cast", in, onnx.AttrInt("to", int64(onnx.Int64)))}, onnx.AttrInt("to", int64(onnx.Float32)))}
		}, refused: "casts to real numbers are supported"},
	})
}
