package importertest

import (
	"math"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// withOpset23 are opsets of operators that came with 23, withOpset24 with 24.
var (
	withOpset23 = []int64{23, 24, 26}
	withOpset24 = []int64{24, 26}
)

// attended is an attention by plain loops: q, k and v are [batch, heads, tokens,
// size]; score changes the product of a query and a key.
func attended(q, k, v Array, score func(at []int, x float64) float64) Array {
	share := q.Dims[1] / k.Dims[1] // queries' heads for each of the keys'
	return Tabulate([]int{q.Dims[0], q.Dims[1], q.Dims[2], v.Dims[3]}, func(i []int) float64 {
		var sum, y float64
		for t := range k.Dims[2] {
			x := 0.0
			for d := range q.Dims[3] {
				x += q.At(i[0], i[1], i[2], d) * k.At(i[0], i[1]/share, t, d)
			}
			e := math.Exp(score([]int{i[0], i[1], i[2], t}, x))
			sum += e
			y += e * v.At(i[0], i[1]/share, t, i[3])
		}
		return y / sum
	})
}

// apart takes heads that lie side by side, [batch, tokens, heads·size], apart.
func (a Array) apart(heads int) Array {
	d := a.Dims
	return Tabulate([]int{d[0], heads, d[1], d[2] / heads}, func(i []int) float64 { return a.At(i[0], i[2], i[1]*d[2]/heads+i[3]) })
}

// side puts heads side by side.
func (a Array) side() Array {
	d := a.Dims
	return Tabulate([]int{d[0], d[2], d[1] * d[3]}, func(i []int) float64 { return a.At(i[0], i[2]/d[3], i[1], i[2]%d[3]) })
}

// attentions are of queries, keys and values.
func attentions() []Piece {
	q, k, v := []int{2, 3, 4, 5}, []int{2, 3, 6, 5}, []int{2, 3, 6, 2}
	scaled := func(by float64) func(at []int, x float64) float64 {
		return func(_ []int, x float64) float64 { return x * by }
	}
	root5 := 1 / math.Sqrt(5)
	mask, allowed := Drawn(5, 4, 6), Tabulate([]int{4, 6}, func(i []int) float64 { return float64((i[0] + i[1]) % 3 & 1) })
	for i := range 4 {
		allowed.Data[6*i] = 1 // each query sees a key
	}
	bools := &onnx.Tensor{Type: onnx.Bool, Dims: []int64{4, 6}}
	for _, x := range allowed.Data {
		bools.Data = append(bools.Data, byte(x))
	}
	four := func(name string, in [][]int, score func(at []int, x float64) float64, attrs ...*onnx.Attr) Piece {
		return Piece{Name: name, Opsets: withOpset23, In: in, Build: node1("Attention", attrs...),
			Want: func(in []Array) []Array { return []Array{attended(in[0], in[1], in[2], score)} }}
	}
	masked := func(name string, c *onnx.Tensor, score func(at []int, x float64) float64) Piece {
		p := four(name, [][]int{q, k, v}, score)
		p.Build = withConstants("Attention", []*onnx.Tensor{c})
		return p
	}
	later := func(at []int, x float64) float64 {
		if at[3] > at[2] {
			return math.Inf(-1)
		}
		return x * root5
	}
	return []Piece{
		four("heads apart", [][]int{q, k, v}, scaled(root5)),
		four("scale", [][]int{q, k, v}, scaled(float64(float32(0.3))), onnx.AttrFloat("scale", 0.3)),
		four("softcap", [][]int{q, k, v}, func(_ []int, x float64) float64 { return 2 * math.Tanh(x*root5/2) }, onnx.AttrFloat("softcap", 2)),
		four("shared keys", [][]int{{2, 4, 3, 5}, {2, 2, 6, 5}, {2, 2, 6, 5}}, scaled(root5)),
		four("causal", [][]int{{2, 3, 4, 5}, {2, 3, 4, 5}, {2, 3, 4, 5}}, later, onnx.AttrInt("is_causal", 1)),
		four("causal over more keys", [][]int{q, k, v}, later, onnx.AttrInt("is_causal", 1)),
		masked("a mask of numbers", Constant(mask), func(at []int, x float64) float64 { return x*root5 + mask.At(at[2], at[3]) }),
		masked("a mask of truth values", bools, func(at []int, x float64) float64 {
			if allowed.At(at[2], at[3]) == 0 {
				return math.Inf(-1)
			}
			return x * root5
		}),
		{Name: "a computed mask", Opsets: withOpset23, In: [][]int{q, k, v, {2, 1, 4, 6}}, Build: node1("Attention"),
			Want: func(in []Array) []Array {
				return []Array{attended(in[0], in[1], in[2], func(at []int, x float64) float64 { return x*root5 + in[3].At(at[0], 0, at[2], at[3]) })}
			}},
		{Name: "a computed mask of truth values", Opsets: withOpset23, In: [][]int{q, k, v, {2, 1, 4, 6}},
			Build: func(b *onnx.Builder, in []string) []string {
				// Of numbers between -2 and 2 some are hidden, and none of a row of 6 as a whole.
				set := b.Node("Greater", []string{in[3], b.Initializer("least", scalar(-1.5))})
				return []string{b.Node("Attention", []string{in[0], in[1], in[2], set})}
			},
			Want: func(in []Array) []Array {
				return []Array{attended(in[0], in[1], in[2], func(at []int, x float64) float64 {
					if in[3].At(at[0], 0, at[2], at[3]) <= -1.5 {
						return math.Inf(-1)
					}
					return x * root5
				})}
			}},
		{Name: "heads side by side", Opsets: withOpset23, In: [][]int{{2, 4, 6}, {2, 5, 6}, {2, 5, 4}},
			Build: node1("Attention", onnx.AttrInt("q_num_heads", 2), onnx.AttrInt("kv_num_heads", 2)),
			Want: func(in []Array) []Array {
				return []Array{attended(in[0].apart(2), in[1].apart(2), in[2].apart(2), scaled(1/math.Sqrt(3))).side()}
			}},
		{Name: "shared keys side by side", Opsets: withOpset23, In: [][]int{{2, 4, 12}, {2, 5, 6}, {2, 5, 4}},
			Build: node1("Attention", onnx.AttrInt("q_num_heads", 4), onnx.AttrInt("kv_num_heads", 2)),
			Want: func(in []Array) []Array {
				return []Array{attended(in[0].apart(4), in[1].apart(2), in[2].apart(2), scaled(1/math.Sqrt(3))).side()}
			}},
		{Name: "a cache", Opsets: withOpset23, In: [][]int{q, q, q, q}, Refused: "a cache's keys",
			Build: func(b *onnx.Builder, in []string) []string {
				return b.Nodes("Attention", 1, []string{in[0], in[1], in[2], "", in[3], in[3]})
			}},
		{Name: "heads that do not fit", Opsets: withOpset23, In: [][]int{{2, 4, 6}, {2, 5, 6}, {2, 5, 4}}, Refused: "with 4 heads",
			Build: node1("Attention", onnx.AttrInt("q_num_heads", 4), onnx.AttrInt("kv_num_heads", 2))},
	}
}
