package student_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// sameElements is a want that gives the input's elements another shape.
func sameElements(dims ...int) func(in []array) []array {
	return of1(func(x array) array { return array{dims, x.data} })
}

func TestReshapesAreTranslated(t *testing.T) {
	reshape := func(shape ...int64) func(b *onnx.Builder, in []string) []string {
		return withConstants("Reshape", []*onnx.Tensor{whole(shape...)})
	}
	checkTranslations(t, []translation{
		{name: "Reshape of an image to rows", opsets: []int64{7, 13, 14, 21}, in: [][]int{imageDims}, build: reshape(2, -1), want: sameElements(2, 60)},
		{name: "Reshape that copies", opsets: []int64{7, 13, 14, 21}, in: [][]int{imageDims}, build: reshape(0, 0, -1), want: sameElements(2, 3, 20)},
		{name: "Reshape to an image", opsets: []int64{7, 13, 14, 21}, in: [][]int{signalDims}, build: reshape(0, 1, 3, 4), want: sameElements(2, 1, 3, 4)},
		{name: "Reshape to another image", opsets: []int64{7, 13, 14, 21}, in: [][]int{imageDims}, build: reshape(2, 6, 2, 5), want: sameElements(2, 6, 2, 5)},
		{name: "Reshape to five axes", opsets: []int64{7, 13, 14, 21}, in: [][]int{{2, 6, 4, 5}}, build: reshape(0, 2, 3, 4, 5), want: sameElements(2, 2, 3, 4, 5)},
		{name: "Reshape from five axes", opsets: []int64{7, 13, 14, 21}, in: [][]int{{2, 2, 3, 4, 5}}, build: reshape(2, 6, 4, 5), want: sameElements(2, 6, 4, 5)},
		{name: "Reshape to a list", opsets: []int64{7, 13, 14, 21}, in: [][]int{imageDims}, build: reshape(-1), want: sameElements(120)},
		{name: "Reshape to a number", opsets: []int64{7, 13, 14, 21}, in: [][]int{{1, 1, 1, 1}}, build: reshape(), want: sameElements()},
		{name: "Reshape there and back", opsets: []int64{7, 13, 14, 21}, in: [][]int{imageDims}, build: func(b *onnx.Builder, in []string) []string {
			rows := b.Node("Reshape", []string{in[0], b.Initializer("s", whole(6, 20))})
			return []string{b.Node("Relu", []string{b.Node("Reshape", []string{rows, b.Initializer("t", whole(2, 3, 4, 5))})})}
		}, want: of1(func(x array) array { return x.each(func(x float64) float64 { return math.Max(x, 0) }) })},
		{name: "Reshape by the shape of the input", opsets: []int64{7, 13, 21}, in: [][]int{imageDims}, build: func(b *onnx.Builder, in []string) []string {
			// As PyTorch writes x.view(x.size(0), -1).
			s := b.Node("Gather", []string{b.Node("Shape", in), b.Initializer("zero", onnx.Int64s("", nil, []int64{0}))}, onnx.AttrInt("axis", 0))
			var n string
			if b.Opset() < 13 {
				n = b.Node("Unsqueeze", []string{s}, onnx.AttrInts("axes", 0))
			} else {
				n = b.Node("Unsqueeze", []string{s, b.Initializer("axes", whole(0))})
			}
			return []string{b.Node("Reshape", []string{in[0], b.Node("Concat", []string{n, b.Initializer("rest", whole(-1))}, onnx.AttrInt("axis", 0))})}
		}, want: sameElements(2, 60)},
		{name: "Reshape that keeps zeros", opsets: []int64{14, 21}, in: [][]int{imageDims}, build: withConstants("Reshape", []*onnx.Tensor{whole(0, 0, -1)}, onnx.AttrInt("allowzero", 1)), refused: "does not fit"},
		{name: "Reshape to too much", opsets: anyOpset, in: [][]int{imageDims}, build: reshape(7, -1), refused: "does not fit"},
		{name: "Reshape by what is computed", opsets: anyOpset, in: [][]int{imageDims, {2}}, build: func(b *onnx.Builder, in []string) []string {
			return []string{b.Node("Reshape", []string{in[0], b.Node("Cast", in[1:], onnx.AttrInt("to", int64(onnx.Int64)))})}
		}, refused: "cannot be imported"},

		{name: "Squeeze of axes", opsets: []int64{7, 11}, in: [][]int{{2, 1, 4, 1}}, build: node1("Squeeze", onnx.AttrInts("axes", 1)), want: sameElements(2, 4, 1)},
		{name: "Squeeze of axes as operand", opsets: []int64{13, 21}, in: [][]int{{2, 1, 4, 1}}, build: withConstants("Squeeze", []*onnx.Tensor{whole(-1)}), want: sameElements(2, 1, 4)},
		{name: "Squeeze of all that can be", opsets: []int64{7, 11, 13, 21}, in: [][]int{{2, 1, 4, 1}}, build: node1("Squeeze"), want: sameElements(2, 4)},
		{name: "Squeeze of what cannot be", opsets: []int64{13, 21}, in: [][]int{imageDims}, build: withConstants("Squeeze", []*onnx.Tensor{whole(1)}), refused: "it has 3 elements"},
		{name: "Unsqueeze", opsets: []int64{7, 11}, in: [][]int{signalDims}, build: node1("Unsqueeze", onnx.AttrInts("axes", 2)), want: sameElements(2, 3, 1, 4)},
		{name: "Unsqueeze of axes as operand", opsets: []int64{13, 21}, in: [][]int{{3, 4}}, build: withConstants("Unsqueeze", []*onnx.Tensor{whole(-1, 0)}), want: sameElements(1, 3, 4, 1)},
		{name: "Unsqueeze twice alike", opsets: []int64{13, 21}, in: [][]int{{3, 4}}, build: withConstants("Unsqueeze", []*onnx.Tensor{whole(1, -3)}), refused: "name one twice"},
		{name: "Flatten", opsets: []int64{7, 9, 13, 21}, in: [][]int{imageDims}, build: node1("Flatten"), want: sameElements(2, 60)},
		{name: "Flatten from an axis", opsets: []int64{11, 13, 21}, in: [][]int{imageDims}, build: node1("Flatten", onnx.AttrInt("axis", -1)), want: sameElements(24, 5)},
	})
}

func TestTransposeIsTranslated(t *testing.T) {
	var cases []translation
	for _, perm := range [][]int{{0, 1, 2, 3}, {0, 2, 3, 1}, {0, 3, 1, 2}, {3, 2, 1, 0}, {0, 1, 3, 2}, {1, 0, 2, 3}, {0, 2, 1}, {2, 1, 0}, {1, 0}, {0, 1, 3, 2, 4}} {
		from := []int{2, 3, 4, 5, 6}[:len(perm)]
		to, p := make([]int, len(perm)), make([]int64, len(perm))
		for i, a := range perm {
			to[i], p[i] = from[a], int64(a)
		}
		want := of1(func(x array) array {
			return tabulate(to, func(i []int) float64 {
				at := make([]int, len(perm))
				for k, a := range perm {
					at[a] = i[k]
				}
				return x.at(at...)
			})
		})
		cases = append(cases, translation{name: fmt.Sprint(perm), opsets: anyOpset, in: [][]int{from}, build: node1("Transpose", onnx.AttrInts("perm", p...)), want: want})
		if slices.Equal(perm, []int{3, 2, 1, 0}) || slices.Equal(perm, []int{2, 1, 0}) {
			cases = append(cases, translation{name: fmt.Sprint("by default ", perm), opsets: anyOpset, in: [][]int{from}, build: node1("Transpose"), want: want})
		}
	}
	cases = append(cases, translation{name: "twice", opsets: anyOpset, in: [][]int{imageDims}, build: func(b *onnx.Builder, in []string) []string {
		p := onnx.AttrInts("perm", 0, 2, 3, 1)
		return []string{b.Node("Transpose", []string{b.Node("Transpose", in, p)}, p)}
	}, want: of1(func(x array) array {
		return tabulate([]int{2, 5, 3, 4}, func(i []int) float64 { return x.at(i[0], i[2], i[3], i[1]) })
	})})
	checkTranslations(t, cases)
}

func TestConcatAndSplitAreTranslated(t *testing.T) {
	var cases []translation
	for _, base := range [][]int{imageDims, signalDims, {3}} {
		for axis := range base {
			other := slices.Clone(base)
			other[axis] = 2
			to := slices.Clone(base)
			to[axis] += 2
			c := translation{name: fmt.Sprintf("Concat of %v along %d", base, axis), opsets: anyOpset, in: [][]int{base, other}}
			c.build = node1("Concat", onnx.AttrInt("axis", int64(axis)))
			c.want = func(in []array) []array {
				return []array{tabulate(to, func(i []int) float64 {
					if i[axis] < base[axis] {
						return in[0].at(i...)
					}
					j := slices.Clone(i)
					j[axis] -= base[axis]
					return in[1].at(j...)
				})}
			}
			cases = append(cases, c)

			// part is a want of pieces of some sizes.
			part := func(sizes ...int) func(in []array) []array {
				return func(in []array) []array {
					var out []array
					from := 0
					for _, n := range sizes {
						d := slices.Clone(in[0].dims)
						d[axis] = n
						first := from
						out = append(out, tabulate(d, func(i []int) float64 {
							j := slices.Clone(i)
							j[axis] += first
							return in[0].at(j...)
						}))
						from += n
					}
					return out
				}
			}
			whole6 := slices.Clone(base)
			whole6[axis] = 6
			a := onnx.AttrInt("axis", int64(axis))
			parts := func(n int, attrs ...*onnx.Attr) func(b *onnx.Builder, in []string) []string {
				return func(b *onnx.Builder, in []string) []string { return b.Nodes("Split", n, in, append(attrs, a)...) }
			}
			bySizes := func(b *onnx.Builder, in []string) []string {
				return b.Nodes("Split", 3, []string{in[0], b.Initializer("split", whole(1, 3, 2))}, a)
			}
			name := func(what string) string { return fmt.Sprintf("Split of %v along %d %s", whole6, axis, what) }
			uneven := slices.Clone(base)
			uneven[axis] = 7
			cases = append(cases,
				translation{name: name("in two"), opsets: []int64{7, 11, 13, 17}, in: [][]int{whole6}, build: parts(2), want: part(3, 3)},
				translation{name: name("by sizes"), opsets: []int64{7, 11}, in: [][]int{whole6}, build: parts(3, onnx.AttrInts("split", 1, 3, 2)), want: part(1, 3, 2)},
				translation{name: name("by sizes as operand"), opsets: []int64{13, 18, 21}, in: [][]int{whole6}, build: bySizes, want: part(1, 3, 2)},
				translation{name: name("by number"), opsets: []int64{18, 21}, in: [][]int{uneven}, build: parts(3, onnx.AttrInt("num_outputs", 3)), want: part(3, 3, 1)})
		}
	}
	cases = append(cases,
		translation{name: "Concat of one", opsets: anyOpset, in: [][]int{imageDims}, build: node1("Concat", onnx.AttrInt("axis", 1)), want: of1(func(x array) array { return x })},
		translation{name: "Concat of other ranks", opsets: anyOpset, in: [][]int{imageDims, signalDims}, build: node1("Concat", onnx.AttrInt("axis", 1)), refused: "has shape [2 3 4]"},
		translation{name: "Split by sizes that are not all", opsets: []int64{13, 21}, in: [][]int{{6}}, build: func(b *onnx.Builder, in []string) []string {
			return b.Nodes("Split", 2, []string{in[0], b.Initializer("split", whole(1, 3))})
		}, refused: "are split as [1 3]"},
		translation{name: "an unused part", opsets: []int64{13}, in: [][]int{imageDims}, build: func(b *onnx.Builder, in []string) []string {
			return b.Nodes("Split", 3, in, onnx.AttrInt("axis", 1))[1:2]
		}, want: of1(func(x array) array {
			return tabulate([]int{2, 1, 4, 5}, func(i []int) float64 { return x.at(i[0], 1, i[2], i[3]) })
		})})
	checkTranslations(t, cases)
}

func TestSliceIsTranslated(t *testing.T) {
	const end = math.MaxInt64
	var cases []translation
	for _, s := range []struct {
		name                      string
		dims                      []int
		starts, ends, axes, steps []int64
		index                     [][]int // of each axis; nil is all
	}{
		{name: "one axis", dims: imageDims, starts: []int64{1}, ends: []int64{3}, axes: []int64{3}, index: [][]int{nil, nil, nil, {1, 2}}},
		{name: "all axes", dims: imageDims, starts: []int64{0, 1, 1, 2}, ends: []int64{1, 3, end, 4}, index: [][]int{{0}, {1, 2}, {1, 2, 3}, {2, 3}}},
		{name: "from the end", dims: imageDims, starts: []int64{-2, -3}, ends: []int64{end, -1}, axes: []int64{-3, -1}, index: [][]int{nil, {1, 2}, nil, {2, 3}}},
		{name: "beyond the end", dims: signalDims, starts: []int64{-100}, ends: []int64{100}, axes: []int64{2}, index: [][]int{nil, nil, nil}},
		{name: "in steps", dims: imageDims, starts: []int64{0, 1}, ends: []int64{end, end}, axes: []int64{2, 3}, steps: []int64{2, 3}, index: [][]int{nil, nil, {0, 2}, {1, 4}}},
		{name: "backwards", dims: imageDims, starts: []int64{-1}, ends: []int64{math.MinInt64}, axes: []int64{3}, steps: []int64{-1}, index: [][]int{nil, nil, nil, {4, 3, 2, 1, 0}}},
		{name: "backwards in steps", dims: signalDims, starts: []int64{3, 2}, ends: []int64{-100, 0}, axes: []int64{2, 1}, steps: []int64{-2, -1}, index: [][]int{nil, {2, 1}, {3, 1}}},
		{name: "in one great step", dims: signalDims, starts: []int64{1}, ends: []int64{end}, axes: []int64{2}, steps: []int64{math.MaxInt64}, index: [][]int{nil, nil, {1}}},
	} {
		to, index := make([]int, len(s.dims)), make([][]int, len(s.dims))
		for a := range s.dims {
			if index[a] = s.index[a]; index[a] == nil {
				for i := range s.dims[a] {
					index[a] = append(index[a], i)
				}
			}
			to[a] = len(index[a])
		}
		want := of1(func(x array) array {
			return tabulate(to, func(i []int) float64 {
				at := make([]int, len(i))
				for a := range i {
					at[a] = index[a][i[a]]
				}
				return x.at(at...)
			})
		})
		operands := []*onnx.Tensor{whole(s.starts...), whole(s.ends...)}
		attrs := []*onnx.Attr{onnx.AttrInts("starts", s.starts...), onnx.AttrInts("ends", s.ends...)}
		if s.axes != nil {
			operands = append(operands, whole(s.axes...))
			attrs = append(attrs, onnx.AttrInts("axes", s.axes...))
		}
		if s.steps == nil {
			cases = append(cases, translation{name: s.name + " by attributes", opsets: []int64{7, 9}, in: [][]int{s.dims}, build: node1("Slice", attrs...), want: want})
		} else {
			operands = append(operands, whole(s.steps...))
		}
		cases = append(cases, translation{name: s.name, opsets: []int64{10, 13, 21}, in: [][]int{s.dims}, build: withConstants("Slice", operands), want: want})
	}
	cases = append(cases,
		translation{name: "nothing", opsets: []int64{10, 21}, in: [][]int{signalDims}, build: withConstants("Slice", []*onnx.Tensor{whole(2), whole(1)}), refused: "there is nothing in axis 0"},
		translation{name: "no step", opsets: []int64{10, 21}, in: [][]int{signalDims}, build: withConstants("Slice", []*onnx.Tensor{whole(0), whole(1), whole(0), whole(0)}), refused: "there is nothing in axis 0"})
	checkTranslations(t, cases)
}

func TestPadIsTranslated(t *testing.T) {
	// source is the element of an axis of length n that stands at i, which may
	// be outside; -1 is none.
	source := func(mode string, i, n int) int {
		if i >= 0 && i < n {
			return i
		}
		switch mode {
		case "edge":
			return min(max(i, 0), n-1)
		case "reflect":
			if i < 0 {
				return -i
			}
			return 2*n - 2 - i
		case "wrap":
			return (i + n) % n
		}
		return -1
	}
	var cases []translation
	for _, s := range []struct {
		dims   []int
		pads   []int64
		modes  []string
		opsets []int64
	}{
		{imageDims, []int64{0, 0, 1, 2, 0, 0, 3, 0}, []string{"constant", "reflect", "edge", "wrap"}, nil},
		{imageDims, []int64{0, 1, 0, 0, 0, 2, 0, 1}, []string{"constant", "reflect", "edge", "wrap"}, nil},
		{signalDims, []int64{0, 0, 2, 1, 0, 1}, []string{"constant", "edge"}, nil},
		{imageDims, []int64{0, 0, -1, 2, 0, 0, 1, -2}, []string{"constant"}, nil},
	} {
		for _, mode := range s.modes {
			to := slices.Clone(s.dims)
			for a := range to {
				to[a] += int(s.pads[a] + s.pads[len(to)+a])
			}
			wantWith := func(value float64) func(in []array) []array {
				return of1(func(x array) array {
					return tabulate(to, func(i []int) float64 {
						at := make([]int, len(i))
						for a := range i {
							if at[a] = source(mode, i[a]-int(s.pads[a]), s.dims[a]); at[a] < 0 {
								return value
							}
						}
						return x.at(at...)
					})
				})
			}
			m, p := onnx.AttrString("mode", mode), onnx.AttrInts("pads", s.pads...)
			name := fmt.Sprintf("%s of %v by %v", mode, s.dims, s.pads)
			since := []int64{11, 13, 18, 21}
			if mode == "wrap" {
				since = []int64{19, 21}
			} else {
				cases = append(cases, translation{name: name + ", attributes", opsets: []int64{7, 10}, in: [][]int{s.dims}, build: node1("Pad", m, p, onnx.AttrFloat("value", 1.5)), want: wantWith(1.5)})
			}
			cases = append(cases,
				translation{name: name, opsets: since, in: [][]int{s.dims}, build: withConstants("Pad", []*onnx.Tensor{whole(s.pads...)}, m), want: wantWith(0)},
				translation{name: name + " with a value", opsets: since, in: [][]int{s.dims}, build: withConstants("Pad", []*onnx.Tensor{whole(s.pads...), scalar(-2)}, m), want: wantWith(-2)})
			var axes, some []int64
			n := len(s.dims)
			for a := range n {
				if s.pads[a] != 0 || s.pads[n+a] != 0 {
					axes = append(axes, int64(a-n))
				}
			}
			for _, side := range []int{0, n} {
				for _, a := range axes {
					some = append(some, s.pads[side+n+int(a)])
				}
			}
			cases = append(cases, translation{name: name + " of some axes", opsets: []int64{19, 21}, in: [][]int{s.dims},
				build: withConstants("Pad", []*onnx.Tensor{whole(some...), nil, whole(axes...)}, m), want: wantWith(0)})
		}
	}
	cases = append(cases,
		translation{name: "a reflection that is too wide", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Pad", []*onnx.Tensor{whole(0, 0, 4, 0, 0, 0, 0, 0)}, onnx.AttrString("mode", "reflect")), refused: "a border is smaller than what it repeats"},
		translation{name: "too few pads", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Pad", []*onnx.Tensor{whole(0, 0, 4, 0)}), refused: "for 4 axes"},
		translation{name: "more than there is memory", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Pad", []*onnx.Tensor{whole(0, 0, 1<<30, 0, 0, 0, 0, 0)}), refused: "all together at most"})
	checkTranslations(t, cases)
}

func TestGatherExpandAndTileAreTranslated(t *testing.T) {
	indices := func(dims []int64, v ...int64) *onnx.Tensor { return onnx.Int64s("", dims, v) }
	gather := func(axis int64, i *onnx.Tensor) func(b *onnx.Builder, in []string) []string {
		return withConstants("Gather", []*onnx.Tensor{i}, onnx.AttrInt("axis", axis))
	}
	checkTranslations(t, []translation{
		{name: "Gather of channels", opsets: anyOpset, in: [][]int{imageDims}, build: gather(1, whole(2, 0, -1, 1)), want: of1(func(x array) array {
			return tabulate([]int{2, 4, 4, 5}, func(i []int) float64 { return x.at(i[0], []int{2, 0, 2, 1}[i[1]], i[2], i[3]) })
		})},
		{name: "Gather of a token", opsets: anyOpset, in: [][]int{signalDims}, build: gather(1, indices(nil, -1)), want: of1(func(x array) array {
			return tabulate([]int{2, 4}, func(i []int) float64 { return x.at(i[0], 2, i[1]) })
		})},
		{name: "Gather of a row of an image", opsets: anyOpset, in: [][]int{imageDims}, build: gather(2, indices(nil, 1)), want: of1(func(x array) array {
			return tabulate([]int{2, 3, 5}, func(i []int) float64 { return x.at(i[0], i[1], 1, i[2]) })
		})},
		{name: "Gather by a table", opsets: anyOpset, in: [][]int{signalDims}, build: gather(-1, indices([]int64{2, 2}, 3, 0, 1, 1)), want: of1(func(x array) array {
			return tabulate([]int{2, 3, 2, 2}, func(i []int) float64 { return x.at(i[0], i[1], []int{3, 0, 1, 1}[2*i[2]+i[3]]) })
		})},
		{name: "Gather of what is not there", opsets: anyOpset, in: [][]int{signalDims}, build: gather(1, whole(3)), refused: "index 3 into axis 1"},

		{name: "Expand", opsets: []int64{8, 13, 21}, in: [][]int{{3, 1}}, build: withConstants("Expand", []*onnx.Tensor{whole(2, 1, 4)}), want: of1(func(x array) array {
			return tabulate([]int{2, 3, 4}, func(i []int) float64 { return x.at(i[1], 0) })
		})},
		{name: "Expand of an image", opsets: []int64{8, 13, 21}, in: [][]int{{2, 3, 1, 1}}, build: withConstants("Expand", []*onnx.Tensor{whole(1, 1, 4, 5)}), want: of1(func(x array) array {
			return tabulate(imageDims, func(i []int) float64 { return x.at(i[0], i[1], 0, 0) })
		})},
		{name: "Expand of a constant by a shape", opsets: []int64{9, 21}, in: [][]int{signalDims}, build: func(b *onnx.Builder, in []string) []string {
			// A class token for each sample, as vision transformers have.
			c := constantOf(drawn(5, 1, 1, 4))
			ones := b.Node("ConstantOfShape", []string{b.Node("Shape", []string{b.Node("Shape", in)})}, onnx.AttrTensor("value", whole(1)))
			mask := b.Node("Equal", []string{b.Initializer("e", whole(2, 1, 4)), b.Node("Mul", []string{ones, b.Initializer("m", whole(-1))})})
			shape := b.Node("Where", []string{mask, ones, b.Initializer("s", whole(2, 1, 4))})
			return []string{b.Node("Concat", []string{b.Node("Expand", []string{b.Initializer("token", c), shape}), in[0]}, onnx.AttrInt("axis", 1))}
		}, want: of1(func(x array) array {
			c := drawn(5, 1, 1, 4)
			return tabulate([]int{2, 4, 4}, func(i []int) float64 {
				if i[1] == 0 {
					return c.at(0, 0, i[2])
				}
				return x.at(i[0], i[1]-1, i[2])
			})
		})},
		{name: "Expand to more than there is memory", opsets: []int64{8, 21}, in: [][]int{{3, 1}}, build: withConstants("Expand", []*onnx.Tensor{whole(1<<20, 1, 1<<20)}), refused: "all together at most"},

		{name: "Tile", opsets: anyOpset, in: [][]int{imageDims}, build: withConstants("Tile", []*onnx.Tensor{whole(1, 2, 1, 3)}), want: of1(func(x array) array {
			return tabulate([]int{2, 6, 4, 15}, func(i []int) float64 { return x.at(i[0], i[1]%3, i[2], i[3]%5) })
		})},
		{name: "Tile of one element", opsets: anyOpset, in: [][]int{{2, 1, 4}}, build: withConstants("Tile", []*onnx.Tensor{whole(1, 3, 1)}), want: of1(func(x array) array {
			return tabulate([]int{2, 3, 4}, func(i []int) float64 { return x.at(i[0], 0, i[2]) })
		})},
		{name: "Tile by too many repeats", opsets: anyOpset, in: [][]int{imageDims}, build: withConstants("Tile", []*onnx.Tensor{whole(1, 2)}), refused: "repeats [1 2]"},
	})
}

func TestDepthAndSpaceAreTranslated(t *testing.T) {
	deep, wide := []int{2, 12, 2, 3}, []int{2, 3, 4, 6}
	block := onnx.AttrInt("blocksize", 2)
	dcr := of1(func(x array) array {
		return tabulate(wide, func(i []int) float64 {
			return x.at(i[0], (i[2]%2*2+i[3]%2)*3+i[1], i[2]/2, i[3]/2)
		})
	})
	crd := of1(func(x array) array {
		return tabulate(wide, func(i []int) float64 {
			return x.at(i[0], i[1]*4+i[2]%2*2+i[3]%2, i[2]/2, i[3]/2)
		})
	})
	checkTranslations(t, []translation{
		{name: "DepthToSpace", opsets: []int64{7, 11, 13, 21}, in: [][]int{deep}, build: node1("DepthToSpace", block), want: dcr},
		{name: "DepthToSpace DCR", opsets: []int64{11, 13, 21}, in: [][]int{deep}, build: node1("DepthToSpace", block, onnx.AttrString("mode", "DCR")), want: dcr},
		{name: "DepthToSpace CRD", opsets: []int64{11, 13, 21}, in: [][]int{deep}, build: node1("DepthToSpace", block, onnx.AttrString("mode", "CRD")), want: crd},
		{name: "SpaceToDepth", opsets: anyOpset, in: [][]int{wide}, build: node1("SpaceToDepth", block), want: of1(func(x array) array {
			return tabulate(deep, func(i []int) float64 {
				b := i[1] / 3
				return x.at(i[0], i[1]%3, i[2]*2+b/2, i[3]*2+b%2)
			})
		})},
		{name: "a block that does not divide", opsets: anyOpset, in: [][]int{imageDims}, build: node1("SpaceToDepth", block), refused: "multiples of the block 2"},
		{name: "no block", opsets: anyOpset, in: [][]int{imageDims}, build: node1("SpaceToDepth"), refused: "blocksize 0"},
	})
}
