package importertest

import (
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// normalised is a normalisation by plain loops: of elements that come together,
// those with the same group.
func normalised(x Array, eps float64, group func(i []int) string) Array {
	members := map[string][]float64{}
	Tabulate(x.Dims, func(i []int) float64 {
		g := group(i)
		members[g] = append(members[g], x.At(i...))
		return 0
	})
	return Tabulate(x.Dims, func(i []int) float64 {
		v := members[group(i)]
		mean, variance := 0.0, 0.0
		for _, m := range v {
			mean += m / float64(len(v))
		}
		for _, m := range v {
			variance += (m - mean) * (m - mean) / float64(len(v))
		}
		return (x.At(i...) - mean) / math.Sqrt(variance+eps)
	})
}

// normalisations are by moments.
func normalisations() []Piece {
	var cases []Piece
	// add tries a normalisation with constant scales and shifts and with
	// computed ones. place is where in them an element's stand.
	add := func(op string, opsets []int64, dims, affine []int, eps float64, group func(i []int) string, place func(i []int) []int, attrs ...*onnx.Attr) {
		scale, shift := Drawn(1, affine...), Drawn(2, affine...)
		want := func(x, scale, shift Array) []Array {
			y := normalised(x, eps, group)
			return []Array{Tabulate(dims, func(i []int) float64 { return y.At(i...)*scale.At(place(i)...) + shift.At(place(i)...) })}
		}
		name := fmt.Sprintf("%s of %v with %v", op, dims, affine)
		for _, a := range attrs {
			name += fmt.Sprintf(", %s %d", a.Name, a.Int)
		}
		attrs = append(attrs, onnx.AttrFloat("epsilon", float32(eps)))
		cases = append(cases,
			Piece{Name: name, Opsets: opsets, In: [][]int{dims}, Build: withConstants(op, []*onnx.Tensor{Constant(scale), Constant(shift)}, attrs...),
				Want: func(in []Array) []Array { return want(in[0], scale, shift) }},
			Piece{Name: name + ", computed", Opsets: opsets, In: [][]int{dims, affine, affine}, Build: node1(op, attrs...),
				Want: func(in []Array) []Array { return want(in[0], in[1], in[2]) }})
		if op == "LayerNormalization" {
			cases = append(cases, Piece{Name: name + " and no shift", Opsets: opsets, In: [][]int{dims}, Build: withConstants(op, []*onnx.Tensor{Constant(scale)}, attrs...),
				Want: func(in []Array) []Array {
					return want(in[0], scale, shift.Each(func(float64) float64 { return 0 }))
				}})
		}
	}
	for _, dims := range [][]int{imageDims, signalDims, {2, 3, 2, 3, 2}} {
		add("InstanceNormalization", anyOpset, dims, dims[1:2], 1e-3, func(i []int) string { return fmt.Sprint(i[:2]) }, func(i []int) []int { return i[1:2] })
	}
	for _, dims := range [][]int{imageDims, signalDims, {4, 5}} {
		for axis := 1; axis < len(dims); axis++ {
			for _, a := range []int{axis, axis - len(dims)} {
				add("LayerNormalization", []int64{17, 21}, dims, dims[axis:], 1e-3, func(i []int) string { return fmt.Sprint(i[:axis]) }, func(i []int) []int { return i[axis:] }, onnx.AttrInt("axis", int64(a)))
			}
		}
	}
	for _, dims := range [][]int{{2, 6, 4, 5}, {2, 6, 4}} {
		inGroup := func(i []int) string { return fmt.Sprint(i[0], i[1]/3) }
		g := onnx.AttrInt("num_groups", 2)
		add("GroupNormalization", []int64{18, 20}, dims, []int{2}, 1e-3, inGroup, func(i []int) []int { return []int{i[1] / 3} }, g)
		add("GroupNormalization", []int64{21}, dims, []int{6}, 1e-3, inGroup, func(i []int) []int { return i[1:2] }, g)
	}
	mvn := func(axes ...int) func(in []Array) []Array {
		return of1(func(x Array) Array {
			return normalised(x, 1e-18, func(i []int) string {
				at := slices.Clone(i)
				for _, a := range axes {
					at[a] = 0
				}
				return fmt.Sprint(at)
			})
		})
	}
	cases = append(cases,
		Piece{Name: "LayerNormalization with its defaults", Opsets: []int64{17, 21}, In: [][]int{signalDims}, Build: withConstants("LayerNormalization", []*onnx.Tensor{Constant(Drawn(1, 4))}),
			Want: of1(func(x Array) Array {
				y, s := normalised(x, 1e-5, func(i []int) string { return fmt.Sprint(i[:2]) }), Drawn(1, 4)
				return Tabulate(signalDims, func(i []int) float64 { return y.At(i...) * s.At(i[2]) })
			})},
		Piece{Name: "MeanVarianceNormalization", Opsets: []int64{9, 13, 21}, In: [][]int{imageDims}, Build: node1("MeanVarianceNormalization"), Want: mvn(0, 2, 3)},
		Piece{Name: "MeanVarianceNormalization of axes", Opsets: []int64{9, 13, 21}, In: [][]int{signalDims}, Build: node1("MeanVarianceNormalization", onnx.AttrInts("axes", 1, -1)), Want: mvn(1, 2)},
		Piece{Name: "a group normalisation as PyTorch writes it", Opsets: []int64{13, 17}, In: [][]int{{2, 6, 4, 5}}, Build: func(b *onnx.Builder, in []string) []string {
			y := b.Node("Reshape", []string{in[0], b.Initializer("shape", Whole(0, 2, -1))})
			y = b.Node("InstanceNormalization", []string{y, b.Initializer("ones", onnx.Float32s("", []int64{2}, []float32{1, 1})), b.Initializer("zeros", onnx.Float32s("", []int64{2}, []float32{0, 0}))})
			y = b.Node("Reshape", []string{y, b.Node("Shape", in)})
			y = b.Node("Mul", []string{y, b.Initializer("weight", Constant(Drawn(3, 6, 1, 1)))})
			return []string{b.Node("Add", []string{y, b.Initializer("bias", Constant(Drawn(4, 6, 1, 1)))})}
		}, Want: of1(func(x Array) Array {
			y, w, v := normalised(x, 1e-5, func(i []int) string { return fmt.Sprint(i[0], i[1]/3) }), Drawn(3, 6, 1, 1), Drawn(4, 6, 1, 1)
			return Tabulate(x.Dims, func(i []int) float64 { return y.At(i...)*w.At(i[1], 0, 0) + v.At(i[1], 0, 0) })
		})},
		Piece{Name: "a layer normalisation as PyTorch writes it", Opsets: []int64{11, 16}, In: [][]int{signalDims}, Build: func(b *onnx.Builder, in []string) []string {
			mean := func(x string) string { return b.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", -1)) }
			d := b.Node("Sub", []string{in[0], mean(in[0])})
			v := mean(b.Node("Pow", []string{d, b.Initializer("two", scalar(2))}))
			y := b.Node("Div", []string{d, b.Node("Sqrt", []string{b.Node("Add", []string{v, b.Initializer("eps", scalar(1e-5))})})})
			y = b.Node("Mul", []string{y, b.Initializer("weight", Constant(Drawn(3, 4)))})
			return []string{b.Node("Add", []string{y, b.Initializer("bias", Constant(Drawn(4, 4)))})}
		}, Want: of1(func(x Array) Array {
			y, w, v := normalised(x, 1e-5, func(i []int) string { return fmt.Sprint(i[:2]) }), Drawn(3, 4), Drawn(4, 4)
			return Tabulate(x.Dims, func(i []int) float64 { return y.At(i...)*w.At(i[2]) + v.At(i[2]) })
		})},
		Piece{Name: "LRN", Opsets: anyOpset, In: [][]int{{2, 7, 2, 3}}, Build: node1("LRN", onnx.AttrInt("size", 3), onnx.AttrFloat("alpha", 0.5), onnx.AttrFloat("beta", 0.5), onnx.AttrFloat("bias", 2)),
			Want: of1(func(x Array) Array {
				return Tabulate(x.Dims, func(i []int) float64 {
					s := 0.0
					for k := max(i[1]-1, 0); k <= min(i[1]+1, 6); k++ {
						s += x.At(i[0], k, i[2], i[3]) * x.At(i[0], k, i[2], i[3])
					}
					return x.At(i...) / math.Sqrt(2+0.5/3*s)
				})
			})},
		Piece{Name: "LRN of everything", Opsets: anyOpset, In: [][]int{{1, 2048}}, Build: node1("LRN", onnx.AttrInt("size", 1<<20)), Refused: "neighbours are summed"},
		Piece{Name: "LRN of no channels", Opsets: anyOpset, In: [][]int{imageDims}, Build: node1("LRN", onnx.AttrInt("size", 0)), Refused: "size 0"},
		Piece{Name: "groups that do not divide", Opsets: []int64{18, 21}, In: [][]int{imageDims}, Build: withConstants("GroupNormalization", []*onnx.Tensor{Constant(Drawn(1, 2)), Constant(Drawn(1, 2))}, onnx.AttrInt("num_groups", 2)), Refused: "num_groups 2"},
		Piece{Name: "scales of another length", Opsets: []int64{17, 21}, In: [][]int{imageDims}, Build: withConstants("LayerNormalization", []*onnx.Tensor{Constant(Drawn(1, 4))}), Refused: "scale of shape [4]"},
		Piece{Name: "statistics that are read", Opsets: []int64{17, 21}, In: [][]int{signalDims}, Build: func(b *onnx.Builder, in []string) []string {
			return b.Nodes("LayerNormalization", 2, []string{in[0], b.Initializer("s", Constant(Drawn(1, 4)))})
		}, Refused: "a statistic, is used"})
	return cases
}

// softmaxes are along one axis or from one on.
func softmaxes() []Piece {
	// soft is a softmax over what has the same group, perhaps its logarithm.
	soft := func(log bool, group func(i []int) string) func(in []Array) []Array {
		return of1(func(x Array) Array {
			sum := map[string]float64{}
			Tabulate(x.Dims, func(i []int) float64 { sum[group(i)] += math.Exp(x.At(i...)); return 0 })
			return Tabulate(x.Dims, func(i []int) float64 {
				if log {
					return x.At(i...) - math.Log(sum[group(i)])
				}
				return math.Exp(x.At(i...)) / sum[group(i)]
			})
		})
	}
	var cases []Piece
	for _, op := range []string{"Softmax", "LogSoftmax"} {
		log := op == "LogSoftmax"
		for _, dims := range [][]int{imageDims, signalDims, {2, 5}, {2, 5, 1, 1}, {1, 1, 2, 5}} {
			name := fmt.Sprintf("%s of %v", op, dims)
			for axis := range dims {
				// Below opset 13 all axes from one on come together.
				cases = append(cases,
					Piece{Name: fmt.Sprintf("%s from axis %d on", name, axis), Opsets: []int64{7, 11, 12}, In: [][]int{dims}, Build: node1(op, onnx.AttrInt("axis", int64(axis))),
						Want: soft(log, func(i []int) string { return fmt.Sprint(i[:axis]) })},
					Piece{Name: fmt.Sprintf("%s along axis %d", name, axis), Opsets: []int64{13, 21}, In: [][]int{dims}, Build: node1(op, onnx.AttrInt("axis", int64(axis-len(dims)))),
						Want: soft(log, func(i []int) string { return fmt.Sprint(i[:axis], i[axis+1:]) })})
			}
			cases = append(cases,
				Piece{Name: name + " from the default on", Opsets: []int64{7, 12}, In: [][]int{dims}, Build: node1(op), Want: soft(log, func(i []int) string { return fmt.Sprint(i[:1]) })},
				Piece{Name: name + " along the default", Opsets: []int64{13, 21}, In: [][]int{dims}, Build: node1(op), Want: soft(log, func(i []int) string { return fmt.Sprint(i[:len(i)-1]) })})
		}
	}
	return cases
}
