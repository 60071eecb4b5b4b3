package importertest

import (
	"fmt"
	"math"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// plus adds b, stretched, to each element.
func (a Array) plus(b Array) Array {
	return Tabulate(a.Dims, func(i []int) float64 { return a.At(i...) + b.Stretched(i) })
}

// rootMeanSquared is x over the root of its mean square along the axes from one
// on, times a scale there.
func rootMeanSquared(x, scale Array, axis int, eps float64) Array {
	squares, n := map[string]float64{}, 1.0
	for _, d := range x.Dims[axis:] {
		n *= float64(d)
	}
	Tabulate(x.Dims, func(i []int) float64 {
		squares[fmt.Sprint(i[:axis])] += x.At(i...) * x.At(i...)
		return 0
	})
	return Tabulate(x.Dims, func(i []int) float64 {
		return x.At(i...) / math.Sqrt(squares[fmt.Sprint(i[:axis])]/n+eps) * scale.At(i[axis:]...)
	})
}

// rootMeanSquares are normalisations by it.
func rootMeanSquares() []Piece {
	var cases []Piece
	for _, c := range []struct {
		dims []int
		axis int
	}{{signalDims, 2}, {signalDims, 1}, {imageDims, 1}, {imageDims, 3}, {[]int{4, 5}, 1}} {
		scale := c.dims[c.axis:]
		for _, a := range []int{c.axis, c.axis - len(c.dims)} {
			attrs := []*onnx.Attr{onnx.AttrInt("axis", int64(a)), onnx.AttrFloat("epsilon", 1e-3)}
			name := fmt.Sprintf("RMSNormalization of %v from axis %d", c.dims, a)
			cases = append(cases,
				Piece{Name: name, Opsets: withOpset23, In: [][]int{c.dims}, Build: withConstants("RMSNormalization", []*onnx.Tensor{Constant(Drawn(1, scale...))}, attrs...),
					Want: of1(func(x Array) Array { return rootMeanSquared(x, Drawn(1, scale...), c.axis, 1e-3) })},
				Piece{Name: name + ", computed", Opsets: withOpset23, In: [][]int{c.dims, scale}, Build: node1("RMSNormalization", attrs...),
					Want: func(in []Array) []Array { return []Array{rootMeanSquared(in[0], in[1], c.axis, 1e-3)} }})
		}
	}
	return append(cases,
		Piece{Name: "RMSNormalization with its defaults", Opsets: withOpset23, In: [][]int{signalDims}, Build: withConstants("RMSNormalization", []*onnx.Tensor{Constant(Drawn(1, 4))}),
			Want: of1(func(x Array) Array { return rootMeanSquared(x, Drawn(1, 4), 2, 1e-5) })},
		Piece{Name: "SimplifiedLayerNormalization", Opsets: []int64{13, 17}, In: [][]int{signalDims},
			Build: withConstants("SimplifiedLayerNormalization", []*onnx.Tensor{Constant(Drawn(1, 4))}, onnx.AttrFloat("epsilon", 1e-3)),
			Want:  of1(func(x Array) Array { return rootMeanSquared(x, Drawn(1, 4), 2, 1e-3) })})
}

// optimised are operators of the domain com.microsoft, which ONNX Runtime's
// optimiser joins nodes to.
func optimised() []Piece {
	gelu := func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }
	byTanh := func(x float64) float64 {
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}
	quick := func(alpha float64) func(x float64) float64 {
		return func(x float64) float64 { return x / (1 + math.Exp(-alpha*x)) }
	}
	relu := func(x float64) float64 { return math.Max(x, 0) }
	leaky := func(x float64) float64 { return math.Max(x, float64(float32(0.2))*x) }
	of := func(name, op string, in [][]int, build func(b *onnx.Builder, in []string) []string, want func(in []Array) []Array) Piece {
		return Piece{Name: name, Microsoft: op, Opsets: []int64{13, 17}, In: in, Build: build, Want: want}
	}
	first := func(f func(x float64) float64) func(in []Array) []Array {
		return func(in []Array) []Array { return []Array{in[0].Each(f)} }
	}
	biased := func(f func(x float64) float64) func(in []Array) []Array {
		return of1(func(x Array) Array { return x.plus(Drawn(1, 4)).Each(f) })
	}
	bias4 := []*onnx.Tensor{Constant(Drawn(1, 4))}
	image, weights, shift := []int{2, 4, 5, 3}, Drawn(2, 3, 4, 2, 2), Drawn(3, 3)
	conv := []*onnx.Tensor{Constant(weights), Constant(shift)}
	act := func(name string) *onnx.Attr { return onnx.AttrString("activation", name) }
	cases := []Piece{
		of("Gelu", "Gelu", [][]int{signalDims}, node1("Gelu"), first(gelu)),
		of("BiasGelu", "BiasGelu", [][]int{signalDims}, withConstants("BiasGelu", bias4), biased(gelu)),
		of("FastGelu", "FastGelu", [][]int{signalDims}, node1("FastGelu"), first(byTanh)),
		of("FastGelu with a bias", "FastGelu", [][]int{signalDims}, withConstants("FastGelu", bias4), biased(byTanh)),
		of("QuickGelu", "QuickGelu", [][]int{signalDims}, node1("QuickGelu"), first(quick(float64(float32(1.702))))),
		of("QuickGelu with alpha 1", "QuickGelu", [][]int{imageDims}, node1("QuickGelu", onnx.AttrFloat("alpha", 1)), first(quick(1))),
		of("FusedConv", "FusedConv", [][]int{image}, withConstants("FusedConv", conv, act("Relu")),
			of1(func(x Array) Array { return unit.convolved(x, weights, shift.Data).Each(relu) })),
		of("FusedConv by LeakyRelu, no bias", "FusedConv", [][]int{image}, withConstants("FusedConv", conv[:1], act("LeakyRelu"), onnx.AttrFloats("activation_params", 0.2)),
			of1(func(x Array) Array { return unit.convolved(x, weights, nil).Each(leaky) })),
		of("FusedConv by Clip", "FusedConv", [][]int{image}, withConstants("FusedConv", conv, act("Clip"), onnx.AttrFloats("activation_params", -0.5, 1)),
			of1(func(x Array) Array {
				return unit.convolved(x, weights, shift.Data).Each(func(x float64) float64 { return math.Min(math.Max(x, -0.5), 1) })
			})),
		of("FusedConv with a sum", "FusedConv", [][]int{image, {2, 3, 4, 2}},
			func(b *onnx.Builder, in []string) []string {
				return []string{b.Node("FusedConv", []string{in[0], b.Initializer("w", conv[0]), b.Initializer("b", conv[1]), in[1]}, act("Relu"))}
			},
			func(in []Array) []Array {
				return []Array{unit.convolved(in[0], weights, shift.Data).plus(in[1]).Each(relu)}
			}),
		of("FusedGemm", "FusedGemm", [][]int{{3, 5}}, withConstants("FusedGemm", []*onnx.Tensor{Constant(Drawn(1, 4, 5)), Constant(Drawn(2, 4))}, onnx.AttrInt("transB", 1), act("LeakyRelu"), onnx.AttrFloat("activation_alpha", 0.2)),
			of1(func(x Array) Array { return product(x, Drawn(1, 4, 5).turned()).plus(Drawn(2, 4)).Each(leaky) })),
		{Name: "an activation that is not known", Microsoft: "FusedConv", Opsets: []int64{17}, In: [][]int{image}, Build: withConstants("FusedConv", conv, act("Cosine")), Refused: `activation "Cosine"; it is one of`},
		{Name: "another operator of the domain", Microsoft: "Rfft", Opsets: []int64{17}, In: [][]int{signalDims}, Build: node1("Rfft"), Refused: "com.microsoft.Rfft"},
	}
	half := float64(float32(0.3))
	scaled := func(x float64) float64 { return x * half }
	alpha := onnx.AttrFloat("alpha", 0.3)
	cases = append(cases,
		of("FusedMatMul with constant weights turned", "FusedMatMul", [][]int{{2, 3, 5}}, withConstants("FusedMatMul", []*onnx.Tensor{Constant(Drawn(1, 4, 5))}, onnx.AttrInt("transB", 1), alpha),
			of1(func(x Array) Array { return product(x, Drawn(1, 4, 5).turned()).Each(scaled) })),
		of("FusedMatMul of computed matrices", "FusedMatMul", [][]int{{2, 3, 5}, {2, 5, 4}}, node1("FusedMatMul", alpha),
			func(in []Array) []Array { return []Array{product(in[0], in[1]).Each(scaled)} }),
		of("FusedMatMul, the second turned", "FusedMatMul", [][]int{{2, 3, 5}, {2, 4, 5}}, node1("FusedMatMul", alpha, onnx.AttrInt("transB", 1)),
			func(in []Array) []Array { return []Array{product(in[0], exchanged(in[1])).Each(scaled)} }),
		of("FusedMatMul of heads, both turned", "FusedMatMul", [][]int{{2, 3, 5, 4}, {2, 3, 2, 5}}, node1("FusedMatMul", onnx.AttrInt("transA", 1), onnx.AttrInt("transB", 1)),
			func(in []Array) []Array { return []Array{product(exchanged(in[0]), exchanged(in[1]))} }))
	return append(cases, skips(of)...)
}

// exchanged is a with its last two axes in each other's place.
func exchanged(a Array) Array {
	d := append([]int(nil), a.Dims...)
	n := len(d)
	d[n-2], d[n-1] = d[n-1], d[n-2]
	return Tabulate(d, func(i []int) float64 {
		at := append([]int(nil), i...)
		at[n-2], at[n-1] = i[n-1], i[n-2]
		return a.At(at...)
	})
}

// skips are normalisations of a sum.
func skips(of func(name, op string, in [][]int, build func(b *onnx.Builder, in []string) []string, want func(in []Array) []Array) Piece) []Piece {
	gamma, beta, bias := Drawn(1, 4), Drawn(2, 4), Drawn(3, 4)
	eps := onnx.AttrFloat("epsilon", 1e-3)
	layer := func(x Array) Array {
		y := normalised(x, 1e-3, func(i []int) string { return fmt.Sprint(i[:2]) })
		return Tabulate(x.Dims, func(i []int) float64 { return y.At(i...)*gamma.At(i[2]) + beta.At(i[2]) })
	}
	two := [][]int{signalDims, signalDims}
	full := []*onnx.Tensor{Constant(gamma), Constant(beta), Constant(bias)}
	return []Piece{
		of("SkipLayerNormalization", "SkipLayerNormalization", two, withConstants("SkipLayerNormalization", full[:2], eps),
			func(in []Array) []Array { return []Array{layer(in[0].plus(in[1]))} }),
		of("SkipLayerNormalization with a bias", "SkipLayerNormalization", two, withConstants("SkipLayerNormalization", full, eps),
			func(in []Array) []Array { return []Array{layer(in[0].plus(in[1]).plus(bias))} }),
		of("SkipLayerNormalization whose sum is used", "SkipLayerNormalization", two,
			func(b *onnx.Builder, in []string) []string {
				out := b.Nodes("SkipLayerNormalization", 4, []string{in[0], in[1], b.Initializer("g", full[0]), b.Initializer("b", full[1])}, eps)
				return []string{out[0], b.Node("Neg", []string{out[3]})}
			},
			func(in []Array) []Array {
				s := in[0].plus(in[1])
				return []Array{layer(s), s.Each(func(x float64) float64 { return -x })}
			}),
		of("SkipSimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", two, withConstants("SkipSimplifiedLayerNormalization", full[:1], eps),
			func(in []Array) []Array { return []Array{rootMeanSquared(in[0].plus(in[1]), gamma, 2, 1e-3)} }),
	}
}
