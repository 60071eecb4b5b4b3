package importertest

import (
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// sameElements is a want that gives the input's elements another shape.
func sameElements(dims ...int) func(in []Array) []Array {
	return of1(func(x Array) Array { return Array{dims, x.Data} })
}

// reshapes change the shape alone.
func reshapes() []Piece {
	reshape := func(shape ...int64) func(b *onnx.Builder, in []string) []string {
		return withConstants("Reshape", []*onnx.Tensor{Whole(shape...)})
	}
	return []Piece{
		{Name: "Reshape of an image to rows", Opsets: []int64{7, 13, 14, 21}, In: [][]int{imageDims}, Build: reshape(2, -1), Want: sameElements(2, 60)},
		{Name: "Reshape that copies", Opsets: []int64{7, 13, 14, 21}, In: [][]int{imageDims}, Build: reshape(0, 0, -1), Want: sameElements(2, 3, 20)},
		{Name: "Reshape to an image", Opsets: []int64{7, 13, 14, 21}, In: [][]int{signalDims}, Build: reshape(0, 1, 3, 4), Want: sameElements(2, 1, 3, 4)},
		{Name: "Reshape to another image", Opsets: []int64{7, 13, 14, 21}, In: [][]int{imageDims}, Build: reshape(2, 6, 2, 5), Want: sameElements(2, 6, 2, 5)},
		{Name: "Reshape to five axes", Opsets: []int64{7, 13, 14, 21}, In: [][]int{{2, 6, 4, 5}}, Build: reshape(0, 2, 3, 4, 5), Want: sameElements(2, 2, 3, 4, 5)},
		{Name: "Reshape from five axes", Opsets: []int64{7, 13, 14, 21}, In: [][]int{{2, 2, 3, 4, 5}}, Build: reshape(2, 6, 4, 5), Want: sameElements(2, 6, 4, 5)},
		{Name: "Reshape to a list", Opsets: []int64{7, 13, 14, 21}, In: [][]int{imageDims}, Build: reshape(-1), Want: sameElements(120)},
		{Name: "Reshape to a number", Opsets: []int64{7, 13, 14, 21}, In: [][]int{{1, 1, 1, 1}}, Build: reshape(), Want: sameElements()},
		{Name: "Reshape there and back", Opsets: []int64{7, 13, 14, 21}, In: [][]int{imageDims}, Build: func(b *onnx.Builder, in []string) []string {
			rows := b.Node("Reshape", []string{in[0], b.Initializer("s", Whole(6, 20))})
			return []string{b.Node("Relu", []string{b.Node("Reshape", []string{rows, b.Initializer("t", Whole(2, 3, 4, 5))})})}
		}, Want: of1(func(x Array) Array { return x.Each(func(x float64) float64 { return math.Max(x, 0) }) })},
		{Name: "Reshape by the shape of the input", Opsets: []int64{7, 13, 21}, In: [][]int{imageDims}, Build: func(b *onnx.Builder, in []string) []string {
			// As PyTorch writes x.view(x.size(0), -1).
			s := b.Node("Gather", []string{b.Node("Shape", in), b.Initializer("zero", onnx.Int64s("", nil, []int64{0}))}, onnx.AttrInt("axis", 0))
			var n string
			if b.Opset() < 13 {
				n = b.Node("Unsqueeze", []string{s}, onnx.AttrInts("axes", 0))
			} else {
				n = b.Node("Unsqueeze", []string{s, b.Initializer("axes", Whole(0))})
			}
			return []string{b.Node("Reshape", []string{in[0], b.Node("Concat", []string{n, b.Initializer("rest", Whole(-1))}, onnx.AttrInt("axis", 0))})}
		}, Want: sameElements(2, 60)},
		{Name: "Reshape that keeps zeros", Opsets: []int64{14, 21}, In: [][]int{imageDims}, Build: withConstants("Reshape", []*onnx.Tensor{Whole(0, 0, -1)}, onnx.AttrInt("allowzero", 1)), Refused: "does not fit"},
		{Name: "Reshape to too much", Opsets: anyOpset, In: [][]int{imageDims}, Build: reshape(7, -1), Refused: "does not fit"},
		{Name: "Reshape by what is computed", Opsets: anyOpset, In: [][]int{imageDims, {2}}, Build: func(b *onnx.Builder, in []string) []string {
			return []string{b.Node("Reshape", []string{in[0], b.Node("Cast", in[1:], onnx.AttrInt("to", int64(onnx.Int64)))})}
		}, Refused: "cannot be imported"},

		{Name: "Squeeze of axes", Opsets: []int64{7, 11}, In: [][]int{{2, 1, 4, 1}}, Build: node1("Squeeze", onnx.AttrInts("axes", 1)), Want: sameElements(2, 4, 1)},
		{Name: "Squeeze of axes as operand", Opsets: []int64{13, 21}, In: [][]int{{2, 1, 4, 1}}, Build: withConstants("Squeeze", []*onnx.Tensor{Whole(-1)}), Want: sameElements(2, 1, 4)},
		{Name: "Squeeze of all that can be", Opsets: []int64{7, 11, 13, 21}, In: [][]int{{2, 1, 4, 1}}, Build: node1("Squeeze"), Want: sameElements(2, 4)},
		{Name: "Squeeze of what cannot be", Opsets: []int64{13, 21}, In: [][]int{imageDims}, Build: withConstants("Squeeze", []*onnx.Tensor{Whole(1)}), Refused: "it has 3 elements"},
		{Name: "Unsqueeze", Opsets: []int64{7, 11}, In: [][]int{signalDims}, Build: node1("Unsqueeze", onnx.AttrInts("axes", 2)), Want: sameElements(2, 3, 1, 4)},
		{Name: "Unsqueeze of axes as operand", Opsets: []int64{13, 21}, In: [][]int{{3, 4}}, Build: withConstants("Unsqueeze", []*onnx.Tensor{Whole(-1, 0)}), Want: sameElements(1, 3, 4, 1)},
		{Name: "Unsqueeze twice alike", Opsets: []int64{13, 21}, In: [][]int{{3, 4}}, Build: withConstants("Unsqueeze", []*onnx.Tensor{Whole(1, -3)}), Refused: "name one twice"},
		{Name: "Flatten", Opsets: []int64{7, 9, 13, 21}, In: [][]int{imageDims}, Build: node1("Flatten"), Want: sameElements(2, 60)},
		{Name: "Flatten from an axis", Opsets: []int64{11, 13, 21}, In: [][]int{imageDims}, Build: node1("Flatten", onnx.AttrInt("axis", -1)), Want: sameElements(24, 5)},
	}
}

// transposes permute axes.
func transposes() []Piece {
	var cases []Piece
	for _, perm := range [][]int{{0, 1, 2, 3}, {0, 2, 3, 1}, {0, 3, 1, 2}, {3, 2, 1, 0}, {0, 1, 3, 2}, {1, 0, 2, 3}, {0, 2, 1}, {2, 1, 0}, {1, 0}, {0, 1, 3, 2, 4}} {
		from := []int{2, 3, 4, 5, 6}[:len(perm)]
		to, p := make([]int, len(perm)), make([]int64, len(perm))
		for i, a := range perm {
			to[i], p[i] = from[a], int64(a)
		}
		want := of1(func(x Array) Array {
			return Tabulate(to, func(i []int) float64 {
				at := make([]int, len(perm))
				for k, a := range perm {
					at[a] = i[k]
				}
				return x.At(at...)
			})
		})
		cases = append(cases, Piece{Name: fmt.Sprint(perm), Opsets: anyOpset, In: [][]int{from}, Build: node1("Transpose", onnx.AttrInts("perm", p...)), Want: want})
		if slices.Equal(perm, []int{3, 2, 1, 0}) || slices.Equal(perm, []int{2, 1, 0}) {
			cases = append(cases, Piece{Name: fmt.Sprint("by default ", perm), Opsets: anyOpset, In: [][]int{from}, Build: node1("Transpose"), Want: want})
		}
	}
	cases = append(cases, Piece{Name: "twice", Opsets: anyOpset, In: [][]int{imageDims}, Build: func(b *onnx.Builder, in []string) []string {
		p := onnx.AttrInts("perm", 0, 2, 3, 1)
		return []string{b.Node("Transpose", []string{b.Node("Transpose", in, p)}, p)}
	}, Want: of1(func(x Array) Array {
		return Tabulate([]int{2, 5, 3, 4}, func(i []int) float64 { return x.At(i[0], i[2], i[3], i[1]) })
	})})
	return cases
}

// parts are Concat and Split.
func parts() []Piece {
	var cases []Piece
	for _, base := range [][]int{imageDims, signalDims, {3}} {
		for axis := range base {
			other := slices.Clone(base)
			other[axis] = 2
			to := slices.Clone(base)
			to[axis] += 2
			c := Piece{Name: fmt.Sprintf("Concat of %v along %d", base, axis), Opsets: anyOpset, In: [][]int{base, other}}
			c.Build = node1("Concat", onnx.AttrInt("axis", int64(axis)))
			c.Want = func(in []Array) []Array {
				return []Array{Tabulate(to, func(i []int) float64 {
					if i[axis] < base[axis] {
						return in[0].At(i...)
					}
					j := slices.Clone(i)
					j[axis] -= base[axis]
					return in[1].At(j...)
				})}
			}
			cases = append(cases, c)

			// part is a want of pieces of some sizes.
			part := func(sizes ...int) func(in []Array) []Array {
				return func(in []Array) []Array {
					var out []Array
					from := 0
					for _, n := range sizes {
						d := slices.Clone(in[0].Dims)
						d[axis] = n
						first := from
						out = append(out, Tabulate(d, func(i []int) float64 {
							j := slices.Clone(i)
							j[axis] += first
							return in[0].At(j...)
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
				return b.Nodes("Split", 3, []string{in[0], b.Initializer("split", Whole(1, 3, 2))}, a)
			}
			name := func(what string) string { return fmt.Sprintf("Split of %v along %d %s", whole6, axis, what) }
			uneven := slices.Clone(base)
			uneven[axis] = 7
			cases = append(cases,
				Piece{Name: name("in two"), Opsets: []int64{7, 11, 13, 17}, In: [][]int{whole6}, Build: parts(2), Want: part(3, 3)},
				Piece{Name: name("by sizes"), Opsets: []int64{7, 11}, In: [][]int{whole6}, Build: parts(3, onnx.AttrInts("split", 1, 3, 2)), Want: part(1, 3, 2)},
				Piece{Name: name("by sizes as operand"), Opsets: []int64{13, 18, 21}, In: [][]int{whole6}, Build: bySizes, Want: part(1, 3, 2)},
				Piece{Name: name("by number"), Opsets: []int64{18, 21}, In: [][]int{uneven}, Build: parts(3, onnx.AttrInt("num_outputs", 3)), Want: part(3, 3, 1)})
		}
	}
	cases = append(cases,
		Piece{Name: "Concat of one", Opsets: anyOpset, In: [][]int{imageDims}, Build: node1("Concat", onnx.AttrInt("axis", 1)), Want: of1(func(x Array) Array { return x })},
		Piece{Name: "Concat of other ranks", Opsets: anyOpset, In: [][]int{imageDims, signalDims}, Build: node1("Concat", onnx.AttrInt("axis", 1)), Refused: "has shape [2 3 4]"},
		Piece{Name: "Split by sizes that are not all", Opsets: []int64{13, 21}, In: [][]int{{6}}, Build: func(b *onnx.Builder, in []string) []string {
			return b.Nodes("Split", 2, []string{in[0], b.Initializer("split", Whole(1, 3))})
		}, Refused: "are split as [1 3]"},
		Piece{Name: "an unused part", Opsets: []int64{13}, In: [][]int{imageDims}, Build: func(b *onnx.Builder, in []string) []string {
			return b.Nodes("Split", 3, in, onnx.AttrInt("axis", 1))[1:2]
		}, Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 1, 4, 5}, func(i []int) float64 { return x.At(i[0], 1, i[2], i[3]) })
		})})
	return cases
}

// cuts are Slice.
func cuts() []Piece {
	const end = math.MaxInt64
	var cases []Piece
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
		want := of1(func(x Array) Array {
			return Tabulate(to, func(i []int) float64 {
				at := make([]int, len(i))
				for a := range i {
					at[a] = index[a][i[a]]
				}
				return x.At(at...)
			})
		})
		operands := []*onnx.Tensor{Whole(s.starts...), Whole(s.ends...)}
		attrs := []*onnx.Attr{onnx.AttrInts("starts", s.starts...), onnx.AttrInts("ends", s.ends...)}
		if s.axes != nil {
			operands = append(operands, Whole(s.axes...))
			attrs = append(attrs, onnx.AttrInts("axes", s.axes...))
		}
		if s.steps == nil {
			cases = append(cases, Piece{Name: s.name + " by attributes", Opsets: []int64{7, 9}, In: [][]int{s.dims}, Build: node1("Slice", attrs...), Want: want})
		} else {
			operands = append(operands, Whole(s.steps...))
		}
		cases = append(cases, Piece{Name: s.name, Opsets: []int64{10, 13, 21}, In: [][]int{s.dims}, Build: withConstants("Slice", operands), Want: want})
	}
	cases = append(cases,
		Piece{Name: "nothing", Opsets: []int64{10, 21}, In: [][]int{signalDims}, Build: withConstants("Slice", []*onnx.Tensor{Whole(2), Whole(1)}), Refused: "there is nothing in axis 0"},
		Piece{Name: "no step", Opsets: []int64{10, 21}, In: [][]int{signalDims}, Build: withConstants("Slice", []*onnx.Tensor{Whole(0), Whole(1), Whole(0), Whole(0)}), Refused: "there is nothing in axis 0"})
	return cases
}

// borders are Pad.
func borders() []Piece {
	// source is the element of an axis of length n that stands at i, which may
	// be outside; -1 is none. A pad below zero has taken elements away, which then
	// are no source either.
	source := func(mode string, i, n int, before, after int64) int {
		first, last := max(0, -int(before)), n-1-max(0, -int(after))
		if i >= first && i <= last {
			return i
		}
		switch mode {
		case "edge":
			return min(max(i, first), last)
		case "reflect":
			if i < first {
				return 2*first - i
			}
			return 2*last - i
		case "wrap":
			return (i-first+last-first+1)%(last-first+1) + first
		}
		return -1
	}
	var cases []Piece
	for _, s := range []struct {
		dims   []int
		pads   []int64
		modes  []string
		opsets []int64
	}{
		{imageDims, []int64{0, 0, 1, 2, 0, 0, 3, 0}, []string{"constant", "reflect", "edge", "wrap"}, nil},
		{imageDims, []int64{0, 1, 0, 0, 0, 2, 0, 1}, []string{"constant", "reflect", "edge", "wrap"}, nil},
		{signalDims, []int64{0, 0, 2, 1, 0, 1}, []string{"constant", "edge"}, nil},
		{imageDims, []int64{0, 0, -1, 2, 0, 0, 1, -2}, []string{"constant", "reflect", "edge"}, nil},
	} {
		for _, mode := range s.modes {
			to := slices.Clone(s.dims)
			for a := range to {
				to[a] += int(s.pads[a] + s.pads[len(to)+a])
			}
			wantWith := func(value float64) func(in []Array) []Array {
				return of1(func(x Array) Array {
					return Tabulate(to, func(i []int) float64 {
						at := make([]int, len(i))
						for a := range i {
							if at[a] = source(mode, i[a]-int(s.pads[a]), s.dims[a], s.pads[a], s.pads[len(i)+a]); at[a] < 0 {
								return value
							}
						}
						return x.At(at...)
					})
				})
			}
			m, p := onnx.AttrString("mode", mode), onnx.AttrInts("pads", s.pads...)
			name := fmt.Sprintf("%s of %v by %v", mode, s.dims, s.pads)
			since := []int64{11, 13, 18, 21}
			if mode == "wrap" {
				since = []int64{19, 21}
			} else {
				cases = append(cases, Piece{Name: name + ", attributes", Opsets: []int64{7, 10}, In: [][]int{s.dims}, Build: node1("Pad", m, p, onnx.AttrFloat("value", 1.5)), Want: wantWith(1.5)})
			}
			cases = append(cases,
				Piece{Name: name, Opsets: since, In: [][]int{s.dims}, Build: withConstants("Pad", []*onnx.Tensor{Whole(s.pads...)}, m), Want: wantWith(0)},
				Piece{Name: name + " with a value", Opsets: since, In: [][]int{s.dims}, Build: withConstants("Pad", []*onnx.Tensor{Whole(s.pads...), scalar(-2)}, m), Want: wantWith(-2)})
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
			cases = append(cases, Piece{Name: name + " of some axes", Opsets: []int64{19, 21}, In: [][]int{s.dims},
				Build: withConstants("Pad", []*onnx.Tensor{Whole(some...), nil, Whole(axes...)}, m), Want: wantWith(0)})
		}
	}
	cases = append(cases,
		Piece{Name: "a reflection that is too wide", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Pad", []*onnx.Tensor{Whole(0, 0, 4, 0, 0, 0, 0, 0)}, onnx.AttrString("mode", "reflect")), Refused: "a border is smaller than what it repeats"},
		Piece{Name: "too few pads", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Pad", []*onnx.Tensor{Whole(0, 0, 4, 0)}), Refused: "for 4 axes"},
		Piece{Name: "a border of a million", Opsets: []int64{11, 21}, In: [][]int{{1, 1, 4, 5}}, Build: withConstants("Pad", []*onnx.Tensor{Whole(0, 0, 1<<20, 0, 0, 0, 0, 0)}, onnx.AttrString("mode", "edge")), Refused: "each axis has at most 1048576"},
		Piece{Name: "more than there is memory", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Pad", []*onnx.Tensor{Whole(0, 0, 1<<30, 0, 0, 0, 0, 0)}), Refused: "all together at most"})
	return cases
}

// repeats are Gather, Expand and Tile.
func repeats() []Piece {
	indices := func(dims []int64, v ...int64) *onnx.Tensor { return onnx.Int64s("", dims, v) }
	gather := func(axis int64, i *onnx.Tensor) func(b *onnx.Builder, in []string) []string {
		return withConstants("Gather", []*onnx.Tensor{i}, onnx.AttrInt("axis", axis))
	}
	return []Piece{
		{Name: "Gather of channels", Opsets: anyOpset, In: [][]int{imageDims}, Build: gather(1, Whole(2, 0, -1, 1)), Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 4, 4, 5}, func(i []int) float64 { return x.At(i[0], []int{2, 0, 2, 1}[i[1]], i[2], i[3]) })
		})},
		{Name: "Gather of a token", Opsets: anyOpset, In: [][]int{signalDims}, Build: gather(1, indices(nil, -1)), Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 4}, func(i []int) float64 { return x.At(i[0], 2, i[1]) })
		})},
		{Name: "Gather of a row of an image", Opsets: anyOpset, In: [][]int{imageDims}, Build: gather(2, indices(nil, 1)), Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 3, 5}, func(i []int) float64 { return x.At(i[0], i[1], 1, i[2]) })
		})},
		{Name: "Gather by a table", Opsets: anyOpset, In: [][]int{signalDims}, Build: gather(-1, indices([]int64{2, 2}, 3, 0, 1, 1)), Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 3, 2, 2}, func(i []int) float64 { return x.At(i[0], i[1], []int{3, 0, 1, 1}[2*i[2]+i[3]]) })
		})},
		{Name: "Gather of what is not there", Opsets: anyOpset, In: [][]int{signalDims}, Build: gather(1, Whole(3)), Refused: "index 3 into axis 1"},

		{Name: "Expand", Opsets: []int64{8, 13, 21}, In: [][]int{{3, 1}}, Build: withConstants("Expand", []*onnx.Tensor{Whole(2, 1, 4)}), Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 3, 4}, func(i []int) float64 { return x.At(i[1], 0) })
		})},
		{Name: "Expand of an image", Opsets: []int64{8, 13, 21}, In: [][]int{{2, 3, 1, 1}}, Build: withConstants("Expand", []*onnx.Tensor{Whole(1, 1, 4, 5)}), Want: of1(func(x Array) Array {
			return Tabulate(imageDims, func(i []int) float64 { return x.At(i[0], i[1], 0, 0) })
		})},
		{Name: "Expand of a constant by a shape", Opsets: []int64{9, 21}, In: [][]int{signalDims}, Build: func(b *onnx.Builder, in []string) []string {
			// A class token for each sample, as vision transformers have.
			c := Constant(Drawn(5, 1, 1, 4))
			ones := b.Node("ConstantOfShape", []string{b.Node("Shape", []string{b.Node("Shape", in)})}, onnx.AttrTensor("value", Whole(1)))
			mask := b.Node("Equal", []string{b.Initializer("e", Whole(2, 1, 4)), b.Node("Mul", []string{ones, b.Initializer("m", Whole(-1))})})
			shape := b.Node("Where", []string{mask, ones, b.Initializer("s", Whole(2, 1, 4))})
			return []string{b.Node("Concat", []string{b.Node("Expand", []string{b.Initializer("token", c), shape}), in[0]}, onnx.AttrInt("axis", 1))}
		}, Want: of1(func(x Array) Array {
			c := Drawn(5, 1, 1, 4)
			return Tabulate([]int{2, 4, 4}, func(i []int) float64 {
				if i[1] == 0 {
					return c.At(0, 0, i[2])
				}
				return x.At(i[0], i[1]-1, i[2])
			})
		})},
		{Name: "Expand to more than there is memory", Opsets: []int64{8, 21}, In: [][]int{{3, 1}}, Build: withConstants("Expand", []*onnx.Tensor{Whole(1<<20, 1, 1<<20)}), Refused: "all together at most"},

		{Name: "Tile", Opsets: anyOpset, In: [][]int{imageDims}, Build: withConstants("Tile", []*onnx.Tensor{Whole(1, 2, 1, 3)}), Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 6, 4, 15}, func(i []int) float64 { return x.At(i[0], i[1]%3, i[2], i[3]%5) })
		})},
		{Name: "Tile of one element", Opsets: anyOpset, In: [][]int{{2, 1, 4}}, Build: withConstants("Tile", []*onnx.Tensor{Whole(1, 3, 1)}), Want: of1(func(x Array) Array {
			return Tabulate([]int{2, 3, 4}, func(i []int) float64 { return x.At(i[0], 0, i[2]) })
		})},
		{Name: "Tile to a long list", Opsets: anyOpset, In: [][]int{{2}}, Build: withConstants("Tile", []*onnx.Tensor{Whole(1 << 20)}), Refused: "each axis has at most 1048576"},
		{Name: "Tile by too many repeats", Opsets: anyOpset, In: [][]int{imageDims}, Build: withConstants("Tile", []*onnx.Tensor{Whole(1, 2)}), Refused: "repeats [1 2]"},
	}
}

// blocks are DepthToSpace and SpaceToDepth.
func blocks() []Piece {
	deep, wide := []int{2, 12, 2, 3}, []int{2, 3, 4, 6}
	block := onnx.AttrInt("blocksize", 2)
	dcr := of1(func(x Array) Array {
		return Tabulate(wide, func(i []int) float64 {
			return x.At(i[0], (i[2]%2*2+i[3]%2)*3+i[1], i[2]/2, i[3]/2)
		})
	})
	crd := of1(func(x Array) Array {
		return Tabulate(wide, func(i []int) float64 {
			return x.At(i[0], i[1]*4+i[2]%2*2+i[3]%2, i[2]/2, i[3]/2)
		})
	})
	return []Piece{
		{Name: "DepthToSpace", Opsets: []int64{7, 11, 13, 21}, In: [][]int{deep}, Build: node1("DepthToSpace", block), Want: dcr},
		{Name: "DepthToSpace DCR", Opsets: []int64{11, 13, 21}, In: [][]int{deep}, Build: node1("DepthToSpace", block, onnx.AttrString("mode", "DCR")), Want: dcr},
		{Name: "DepthToSpace CRD", Opsets: []int64{11, 13, 21}, In: [][]int{deep}, Build: node1("DepthToSpace", block, onnx.AttrString("mode", "CRD")), Want: crd},
		{Name: "SpaceToDepth", Opsets: anyOpset, In: [][]int{wide}, Build: node1("SpaceToDepth", block), Want: of1(func(x Array) Array {
			return Tabulate(deep, func(i []int) float64 {
				b := i[1] / 3
				return x.At(i[0], i[1]%3, i[2]*2+b/2, i[3]*2+b%2)
			})
		})},
		{Name: "a block that does not divide", Opsets: anyOpset, In: [][]int{imageDims}, Build: node1("SpaceToDepth", block), Refused: "multiples of the block 2"},
		{Name: "no block", Opsets: anyOpset, In: [][]int{imageDims}, Build: node1("SpaceToDepth"), Refused: "blocksize 0"},
	}
}
