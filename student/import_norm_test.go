package student_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// normalised is a normalisation by plain loops: of elements that come together,
// those with the same group.
func normalised(x array, eps float64, group func(i []int) string) array {
	members := map[string][]float64{}
	tabulate(x.dims, func(i []int) float64 {
		g := group(i)
		members[g] = append(members[g], x.at(i...))
		return 0
	})
	return tabulate(x.dims, func(i []int) float64 {
		v := members[group(i)]
		mean, variance := 0.0, 0.0
		for _, m := range v {
			mean += m / float64(len(v))
		}
		for _, m := range v {
			variance += (m - mean) * (m - mean) / float64(len(v))
		}
		return (x.at(i...) - mean) / math.Sqrt(variance+eps)
	})
}

func TestNormalisationsAreTranslated(t *testing.T) {
	var cases []translation
	// add tries a normalisation with constant scales and shifts and with
	// computed ones. place is where in them an element's stand.
	add := func(op string, opsets []int64, dims, affine []int, eps float64, group func(i []int) string, place func(i []int) []int, attrs ...*onnx.Attr) {
		scale, shift := drawn(1, affine...), drawn(2, affine...)
		want := func(x, scale, shift array) []array {
			y := normalised(x, eps, group)
			return []array{tabulate(dims, func(i []int) float64 { return y.at(i...)*scale.at(place(i)...) + shift.at(place(i)...) })}
		}
		name := fmt.Sprintf("%s of %v with %v", op, dims, affine)
		for _, a := range attrs {
			name += fmt.Sprintf(", %s %d", a.Name, a.Int)
		}
		attrs = append(attrs, onnx.AttrFloat("epsilon", float32(eps)))
		cases = append(cases,
			translation{name: name, opsets: opsets, in: [][]int{dims}, build: withConstants(op, []*onnx.Tensor{constantOf(scale), constantOf(shift)}, attrs...),
				want: func(in []array) []array { return want(in[0], scale, shift) }},
			translation{name: name + ", computed", opsets: opsets, in: [][]int{dims, affine, affine}, build: node1(op, attrs...),
				want: func(in []array) []array { return want(in[0], in[1], in[2]) }})
		if op == "LayerNormalization" {
			cases = append(cases, translation{name: name + " and no shift", opsets: opsets, in: [][]int{dims}, build: withConstants(op, []*onnx.Tensor{constantOf(scale)}, attrs...),
				want: func(in []array) []array {
					return want(in[0], scale, shift.each(func(float64) float64 { return 0 }))
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
	mvn := func(axes ...int) func(in []array) []array {
		return of1(func(x array) array {
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
		translation{name: "LayerNormalization with its defaults", opsets: []int64{17, 21}, in: [][]int{signalDims}, build: withConstants("LayerNormalization", []*onnx.Tensor{constantOf(drawn(1, 4))}),
			want: of1(func(x array) array {
				y, s := normalised(x, 1e-5, func(i []int) string { return fmt.Sprint(i[:2]) }), drawn(1, 4)
				return tabulate(signalDims, func(i []int) float64 { return y.at(i...) * s.at(i[2]) })
			})},
		translation{name: "MeanVarianceNormalization", opsets: []int64{9, 13, 21}, in: [][]int{imageDims}, build: node1("MeanVarianceNormalization"), want: mvn(0, 2, 3)},
		translation{name: "MeanVarianceNormalization of axes", opsets: []int64{9, 13, 21}, in: [][]int{signalDims}, build: node1("MeanVarianceNormalization", onnx.AttrInts("axes", 1, -1)), want: mvn(1, 2)},
		translation{name: "a group normalisation as PyTorch writes it", opsets: []int64{13, 17}, in: [][]int{{2, 6, 4, 5}}, build: func(b *onnx.Builder, in []string) []string {
			y := b.Node("Reshape", []string{in[0], b.Initializer("shape", whole(0, 2, -1))})
			y = b.Node("InstanceNormalization", []string{y, b.Initializer("ones", onnx.Float32s("", []int64{2}, []float32{1, 1})), b.Initializer("zeros", onnx.Float32s("", []int64{2}, []float32{0, 0}))})
			y = b.Node("Reshape", []string{y, b.Node("Shape", in)})
			y = b.Node("Mul", []string{y, b.Initializer("weight", constantOf(drawn(3, 6, 1, 1)))})
			return []string{b.Node("Add", []string{y, b.Initializer("bias", constantOf(drawn(4, 6, 1, 1)))})}
		}, want: of1(func(x array) array {
			y, w, v := normalised(x, 1e-5, func(i []int) string { return fmt.Sprint(i[0], i[1]/3) }), drawn(3, 6, 1, 1), drawn(4, 6, 1, 1)
			return tabulate(x.dims, func(i []int) float64 { return y.at(i...)*w.at(i[1], 0, 0) + v.at(i[1], 0, 0) })
		})},
		translation{name: "a layer normalisation as PyTorch writes it", opsets: []int64{11, 16}, in: [][]int{signalDims}, build: func(b *onnx.Builder, in []string) []string {
			mean := func(x string) string { return b.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", -1)) }
			d := b.Node("Sub", []string{in[0], mean(in[0])})
			v := mean(b.Node("Pow", []string{d, b.Initializer("two", scalar(2))}))
			y := b.Node("Div", []string{d, b.Node("Sqrt", []string{b.Node("Add", []string{v, b.Initializer("eps", scalar(1e-5))})})})
			y = b.Node("Mul", []string{y, b.Initializer("weight", constantOf(drawn(3, 4)))})
			return []string{b.Node("Add", []string{y, b.Initializer("bias", constantOf(drawn(4, 4)))})}
		}, want: of1(func(x array) array {
			y, w, v := normalised(x, 1e-5, func(i []int) string { return fmt.Sprint(i[:2]) }), drawn(3, 4), drawn(4, 4)
			return tabulate(x.dims, func(i []int) float64 { return y.at(i...)*w.at(i[2]) + v.at(i[2]) })
		})},
		translation{name: "LRN", opsets: anyOpset, in: [][]int{{2, 7, 2, 3}}, build: node1("LRN", onnx.AttrInt("size", 4), onnx.AttrFloat("alpha", 0.5), onnx.AttrFloat("beta", 0.5), onnx.AttrFloat("bias", 2)),
			want: of1(func(x array) array {
				return tabulate(x.dims, func(i []int) float64 {
					s := 0.0
					for k := max(i[1]-1, 0); k <= min(i[1]+2, 6); k++ { // ⌊3/2⌋ before, ⌈3/2⌉ behind
						s += x.at(i[0], k, i[2], i[3]) * x.at(i[0], k, i[2], i[3])
					}
					return x.at(i...) / math.Sqrt(2+0.5/4*s)
				})
			})},
		translation{name: "LRN of no channels", opsets: anyOpset, in: [][]int{imageDims}, build: node1("LRN", onnx.AttrInt("size", 0)), refused: "size 0"},
		translation{name: "groups that do not divide", opsets: []int64{18, 21}, in: [][]int{imageDims}, build: withConstants("GroupNormalization", []*onnx.Tensor{constantOf(drawn(1, 2)), constantOf(drawn(1, 2))}, onnx.AttrInt("num_groups", 2)), refused: "num_groups 2"},
		translation{name: "scales of another length", opsets: []int64{17, 21}, in: [][]int{imageDims}, build: withConstants("LayerNormalization", []*onnx.Tensor{constantOf(drawn(1, 4))}), refused: "scale of shape [4]"},
		translation{name: "statistics that are read", opsets: []int64{17, 21}, in: [][]int{signalDims}, build: func(b *onnx.Builder, in []string) []string {
			return b.Nodes("LayerNormalization", 2, []string{in[0], b.Initializer("s", constantOf(drawn(1, 4)))})
		}, refused: "a statistic, is used"})
	checkTranslations(t, cases)
}

func TestSoftmaxIsTranslated(t *testing.T) {
	// soft is a softmax over what has the same group, perhaps its logarithm.
	soft := func(log bool, group func(i []int) string) func(in []array) []array {
		return of1(func(x array) array {
			sum := map[string]float64{}
			tabulate(x.dims, func(i []int) float64 { sum[group(i)] += math.Exp(x.at(i...)); return 0 })
			return tabulate(x.dims, func(i []int) float64 {
				if log {
					return x.at(i...) - math.Log(sum[group(i)])
				}
				return math.Exp(x.at(i...)) / sum[group(i)]
			})
		})
	}
	var cases []translation
	for _, op := range []string{"Softmax", "LogSoftmax"} {
		log := op == "LogSoftmax"
		for _, dims := range [][]int{imageDims, signalDims, {2, 5}, {2, 5, 1, 1}, {1, 1, 2, 5}} {
			name := fmt.Sprintf("%s of %v", op, dims)
			for axis := range dims {
				// Below opset 13 all axes from one on come together.
				cases = append(cases,
					translation{name: fmt.Sprintf("%s from axis %d on", name, axis), opsets: []int64{7, 11, 12}, in: [][]int{dims}, build: node1(op, onnx.AttrInt("axis", int64(axis))),
						want: soft(log, func(i []int) string { return fmt.Sprint(i[:axis]) })},
					translation{name: fmt.Sprintf("%s along axis %d", name, axis), opsets: []int64{13, 21}, in: [][]int{dims}, build: node1(op, onnx.AttrInt("axis", int64(axis-len(dims)))),
						want: soft(log, func(i []int) string { return fmt.Sprint(i[:axis], i[axis+1:]) })})
			}
			cases = append(cases,
				translation{name: name + " from the default on", opsets: []int64{7, 12}, in: [][]int{dims}, build: node1(op), want: soft(log, func(i []int) string { return fmt.Sprint(i[:1]) })},
				translation{name: name + " along the default", opsets: []int64{13, 21}, in: [][]int{dims}, build: node1(op), want: soft(log, func(i []int) string { return fmt.Sprint(i[:len(i)-1]) })})
		}
	}
	checkTranslations(t, cases)
}
