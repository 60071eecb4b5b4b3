package importertest

import (
	"fmt"
	"math"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// functions are of each element.
func functions() []Piece {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	gelu := func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }
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
	var cases []Piece
	for _, u := range []struct {
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
		{"Gelu", []int64{20, 21}, 0, node1("Gelu"), gelu},
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
		{"Swish", withOpset24, 0, node1("Swish"), func(x float64) float64 { return x * sigmoid(x) }},
		{"Swish with alpha", withOpset24, 0, node1("Swish", onnx.AttrFloat("alpha", 0.7)), func(x float64) float64 { return x * sigmoid(f32(0.7)*x) }},
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
		{"Gelu written out", []int64{9, 13, 21}, 0, func(b *onnx.Builder, in []string) []string {
			// As PyTorch does.
			e := b.Node("Erf", []string{b.Node("Div", []string{in[0], b.Initializer("c", scalar(math.Sqrt2))})})
			y := b.Node("Mul", []string{in[0], b.Node("Add", []string{e, b.Initializer("c", scalar(1))})})
			return []string{b.Node("Mul", []string{y, b.Initializer("c", scalar(0.5))})}
		}, gelu},
		{"Gelu written out otherwise", []int64{9, 13, 21}, 0, func(b *onnx.Builder, in []string) []string {
			e := b.Node("Erf", []string{b.Node("Mul", []string{b.Initializer("c", scalar(1/math.Sqrt2)), in[0]})})
			y := b.Node("Mul", []string{b.Initializer("c", scalar(0.5)), in[0]})
			return []string{b.Node("Mul", []string{y, b.Node("Add", []string{b.Initializer("c", scalar(1)), e})})}
		}, gelu},
		{"nearly Gelu", []int64{9, 13, 21}, 0, func(b *onnx.Builder, in []string) []string {
			e := b.Node("Erf", []string{b.Node("Div", []string{in[0], b.Initializer("c", scalar(1.5))})})
			y := b.Node("Mul", []string{in[0], b.Node("Add", []string{e, b.Initializer("c", scalar(1))})})
			return []string{b.Node("Mul", []string{y, b.Initializer("c", scalar(0.5))})}
		}, func(x float64) float64 { return x / 2 * (1 + math.Erf(x/1.5)) }},
		{"Gelu of another", []int64{9, 13, 21}, 0, func(b *onnx.Builder, in []string) []string {
			z := b.Node("Neg", in)
			e := b.Node("Erf", []string{b.Node("Div", []string{in[0], b.Initializer("c", scalar(math.Sqrt2))})})
			y := b.Node("Mul", []string{z, b.Node("Add", []string{e, b.Initializer("c", scalar(1))})})
			return []string{b.Node("Mul", []string{y, b.Initializer("c", scalar(0.5))})}
		}, func(x float64) float64 { return -gelu(x) }},
		{"x·Sigmoid(x)", anyOpset, 0, func(b *onnx.Builder, in []string) []string {
			return []string{b.Node("Mul", []string{b.Node("Sigmoid", in), in[0]})}
		}, func(x float64) float64 { return x * sigmoid(x) }},
		{"x·Sigmoid(x) whose sigmoid is read twice", anyOpset, 0, func(b *onnx.Builder, in []string) []string {
			s := b.Node("Sigmoid", in)
			return []string{b.Node("Add", []string{b.Node("Mul", []string{in[0], s}), s})}
		}, func(x float64) float64 { return (x + 1) * sigmoid(x) }},
	} {
		for _, dims := range [][]int{imageDims, signalDims, vector5} {
			k := Piece{Name: fmt.Sprintf("%s of %v", u.name, dims), Opsets: u.opsets, In: [][]int{dims}, Build: u.build,
				Want: of1(func(x Array) Array { return x.Each(u.f) })}
			if u.low > 0 {
				k.Low, k.High = u.low, 2
			}
			if strings.HasPrefix(u.name, "Swish") {
				k.NoRuntime = "version 1.30 has no Swish"
			}
			cases = append(cases, k)
		}
	}
	return cases
}

// stretching tries NumPy's rule between images, signals and constants.
func stretching() []Piece {
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
	var cases []Piece
	for _, f := range functions {
		for _, s := range shapes {
			k := Piece{Opsets: f.opsets, Low: f.low}
			if f.low > 0 {
				k.High = 2
			}
			want := func(a, b Array) []Array {
				return []Array{Tabulate(s.to, func(i []int) float64 { return f.f(a.Stretched(i), b.Stretched(i)) })}
			}
			k.Name = fmt.Sprintf("%s of %v and %v", f.op, s.a, s.b)
			k.In, k.Build = [][]int{s.a, s.b}, node1(f.op)
			k.Want = func(in []Array) []Array { return want(in[0], in[1]) }
			cases = append(cases, k)

			value := Drawn(uint64(len(cases)), s.b...).Each(func(x float64) float64 { return float64(float32(math.Abs(x) + 0.25)) })
			c := Constant(value)
			k.Name = fmt.Sprintf("%s of %v and constant %v", f.op, s.a, s.b)
			k.In, k.Build = [][]int{s.a}, withConstants(f.op, []*onnx.Tensor{c})
			k.Want = func(in []Array) []Array { return want(in[0], value) }
			cases = append(cases, k)

			k.Name = fmt.Sprintf("%s of constant %v and %v", f.op, s.b, s.a)
			k.Build = fromConstant(f.op, c)
			k.Want = func(in []Array) []Array {
				return []Array{Tabulate(s.to, func(i []int) float64 { return f.f(value.Stretched(i), in[0].Stretched(i)) })}
			}
			cases = append(cases, k)
		}
	}
	cases = append(cases,
		Piece{Name: "Sum of three", Opsets: []int64{8, 13, 21}, In: [][]int{imageDims, {3, 1, 1}, {5}}, Build: node1("Sum"),
			Want: func(in []Array) []Array {
				return []Array{Tabulate(imageDims, func(i []int) float64 { return in[0].Stretched(i) + in[1].Stretched(i) + in[2].Stretched(i) })}
			}},
		Piece{Name: "Max of one", Opsets: []int64{8, 13, 21}, In: [][]int{imageDims}, Build: node1("Max"), Want: of1(func(x Array) Array { return x })},
		Piece{Name: "Mean of three", Opsets: []int64{8, 13, 21}, In: [][]int{signalDims, signalDims, signalDims}, Build: node1("Mean"),
			Want: func(in []Array) []Array {
				return []Array{Tabulate(signalDims, func(i []int) float64 { return (in[0].At(i...) + in[1].At(i...) + in[2].At(i...)) / 3 })}
			}},
		Piece{Name: "shapes that do not stretch", Opsets: anyOpset, In: [][]int{imageDims, {3, 1}}, Build: node1("Add"), Refused: "do not stretch"},
	)
	return cases
}

// slopes are PRelu's.
func slopes() []Piece {
	var cases []Piece
	for _, s := range []struct{ x, slope []int }{
		{imageDims, []int{3, 1, 1}}, {imageDims, []int{1}}, {imageDims, []int{5}}, {imageDims, imageDims}, {signalDims, []int{3, 1}}, {signalDims, nil}, {[]int{2, 3}, []int{3}},
	} {
		slope := Drawn(3, s.slope...)
		want := func(x, slope Array) []Array {
			return []Array{Tabulate(s.x, func(i []int) float64 {
				if v := x.At(i...); v < 0 {
					return v * slope.Stretched(i)
				}
				return x.At(i...)
			})}
		}
		cases = append(cases,
			Piece{Name: fmt.Sprintf("%v with constant slopes %v", s.x, s.slope), Opsets: []int64{7, 9, 16, 21}, In: [][]int{s.x},
				Build: withConstants("PRelu", []*onnx.Tensor{Constant(slope)}), Want: func(in []Array) []Array { return want(in[0], slope) }},
			Piece{Name: fmt.Sprintf("%v with slopes %v", s.x, s.slope), Opsets: []int64{7, 9, 16, 21}, In: [][]int{s.x, s.slope},
				Build: node1("PRelu"), Want: func(in []Array) []Array { return want(in[0], in[1]) }})
	}
	cases = append(cases, Piece{Name: "slopes that do not fit", Opsets: anyOpset, In: [][]int{{2, 3}},
		Build: withConstants("PRelu", []*onnx.Tensor{Constant(Tabulate([]int{4, 2, 3}, func([]int) float64 { return 1 }))}), Refused: "do not stretch"})
	return cases
}

// masks are what Where takes, known and computed.
func masks() []Piece {
	mask := func(dims []int, on func(i []int) bool) (*onnx.Tensor, Array) {
		a := Tabulate(dims, func(i []int) float64 {
			if on(i) {
				return 1
			}
			return 0
		})
		d, b := []int64{}, []byte{}
		for _, n := range dims {
			d = append(d, int64(n))
		}
		for _, x := range a.Data {
			b = append(b, byte(x))
		}
		return &onnx.Tensor{Type: onnx.Bool, Dims: d, Data: b}, a
	}
	var cases []Piece
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
		c := Piece{Name: s.name, Opsets: []int64{9, 16, 21}, In: [][]int{s.a, s.b}}
		c.Build = func(b *onnx.Builder, in []string) []string {
			other := scalar(-1e9)
			if s.constantAt1 {
				return []string{b.Node("Where", []string{b.Initializer("mask", m), in[0], b.Initializer("other", other)})}
			}
			return []string{b.Node("Where", []string{b.Initializer("mask", m), in[0], in[1]})}
		}
		if s.constantAt1 {
			c.In = c.In[:1]
		}
		c.Want = func(in []Array) []Array {
			return []Array{Tabulate(s.to, func(i []int) float64 {
				switch {
				case set.Stretched(i) != 0:
					return in[0].Stretched(i)
				case s.constantAt1:
					return -1e9
				default:
					return in[1].Stretched(i)
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
			cases = append(cases, Piece{Name: fmt.Sprintf("%s than what is computed, not %v", s.op, not), Opsets: s.opsets, In: [][]int{imageDims, {3, 1, 1}},
				Build: func(b *onnx.Builder, in []string) []string {
					// About a quarter are zeros on both sides.
					x, y := b.Node("Relu", in[:1]), b.Node("Relu", in[1:])
					m := b.Node(s.op, []string{x, y})
					if not {
						m = b.Node("Not", []string{m})
					}
					return []string{b.Node("Where", []string{m, in[0], b.Initializer("level", level)})}
				},
				Want: func(in []Array) []Array {
					relu := func(x float64) float64 { return math.Max(x, 0) }
					x, y := in[0].Each(relu), in[1].Each(relu)
					return []Array{Tabulate(imageDims, func(i []int) float64 {
						if s.on(x.At(i...), y.Stretched(i)) != not {
							return in[0].At(i...)
						}
						return 0
					})}
				}})
		}
	}
	for _, both := range []bool{false, true} {
		cases = append(cases, Piece{Name: fmt.Sprint("two masks, both ", both), Opsets: []int64{9, 21}, In: [][]int{signalDims, signalDims},
			Build: func(b *onnx.Builder, in []string) []string {
				zero, join := b.Initializer("zero", scalar(0)), "Or"
				if both {
					join = "And"
				}
				m := b.Node(join, []string{b.Node("Greater", []string{in[0], zero}), b.Node("Less", []string{in[1], zero})})
				return []string{b.Node("Where", []string{m, in[0], in[1]})}
			},
			Want: func(in []Array) []Array {
				return []Array{Tabulate(signalDims, func(i []int) float64 {
					a, b := in[0].At(i...) > 0, in[1].At(i...) < 0
					if a && b || !both && (a || b) {
						return in[0].At(i...)
					}
					return in[1].At(i...)
				})}
			}})
	}
	return cases
}

// unknownChoices are refused by an error that names the choices.
func unknownChoices() []Piece {
	return []Piece{
		{Name: "Gelu", Opsets: []int64{20}, In: [][]int{imageDims}, Build: node1("Gelu", onnx.AttrString("approximate", "exact")), Refused: "it is one of none, tanh"},
		{Name: "Pad", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Pad", []*onnx.Tensor{Whole(0, 0, 1, 1, 0, 0, 1, 1)}, onnx.AttrString("mode", "mirror")), Refused: "it is one of constant, reflect, edge, wrap"},
		{Name: "Resize", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, onnx.Float32s("", []int64{4}, []float32{1, 1, 2, 2})}, onnx.AttrString("mode", "cubic")), Refused: "nearest and linear are supported"},
		{Name: "Cast", Opsets: []int64{9, 21}, In: [][]int{imageDims}, Build: func(b *onnx.Builder, in []string) []string {
			return []string{b.Node("Cast", []string{b.Node("Cast", in, onnx.AttrInt("to", int64(onnx.Int64)))}, onnx.AttrInt("to", int64(onnx.Float32)))}
		}, Refused: "casts to real numbers are supported"},
	}
}
