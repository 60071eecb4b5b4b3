package op_test

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// TestStructureOperatorsRefuse checks that an operator that moves elements and
// cannot be applied says which operator, which rule and what came.
func TestStructureOperatorsRefuse(t *testing.T) {
	type build = func(in gorgonia.Nodes) (*gorgonia.Node, error)
	slice := func(starts, sizes, steps []int) build {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Slice(in[0], starts, sizes, steps) }
	}
	resize := func(c op.ResizeConfig) build {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Resize(in[0], c) }
	}
	transpose := func(perm ...int) build {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Transpose(in[0], perm...) }
	}
	images, matrix := tensor.Shape{2, 4, 5, 6}, tensor.Shape{2, 3}
	for _, c := range []refusal{
		{"a transposition with an axis twice", []tensor.Shape{matrix}, transpose(0, 0),
			"op: Transpose of shape (2, 3) wants each of its 2 axes once, from 0 on, got [0 0]"},
		{"a transposition with too few axes", []tensor.Shape{images}, transpose(1, 0),
			"op: Transpose of shape (2, 4, 5, 6) wants each of its 4 axes once, from 0 on, got [1 0]"},
		{"a broadcast of an axis that is longer than 1", []tensor.Shape{matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.BroadcastTo(in[0], 4, 3) },
			"op: BroadcastTo from (2, 3) to (4, 3): both must have one rank, and axes that differ have size 1 in the smaller one"},
		{"a broadcast to another rank", []tensor.Shape{matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.BroadcastTo(in[0], 1, 2, 3) },
			"op: BroadcastTo from (2, 3) to (1, 2, 3): both must have one rank, and axes that differ have size 1 in the smaller one"},
		{"a sum to a part of an axis", []tensor.Shape{images},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.SumTo(in[0], 2, 4, 5, 3) },
			"op: SumTo from (2, 4, 5, 6) to (2, 4, 5, 3): both must have one rank, and axes that differ have size 1 in the smaller one"},
		{"a concatenation of nothing", nil,
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Concat(0, in...) },
			"op: Concat wants at least one operand, got none"},
		{"a concatenation along an axis there is not", []tensor.Shape{matrix, matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Concat(-1, in...) },
			"op: Concat wants an axis from 0 to 1 of shape (2, 3), got -1"},
		{"a concatenation of other sizes", []tensor.Shape{matrix, {2, 4}},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Concat(0, in...) },
			"op: Concat along axis 0 wants operands that agree in all other axes, got (2, 3) as operand 0 and (2, 4) as operand 1"},
		{"a slice of another rank", []tensor.Shape{matrix}, slice([]int{0}, []int{1}, nil),
			"op: Slice of shape (2, 3) wants a start, a size and a step for each of its axes, got starts [0], sizes [1] and steps [1 1]"},
		{"a slice past the end", []tensor.Shape{matrix}, slice([]int{0, 1}, []int{2, 3}, nil),
			"op: Slice of shape (2, 3): along axis 1 it wants one element or more, all from 0 to 2, and a step that is not 0; got 3 from 1 on in steps of 1"},
		{"a slice backwards past the beginning", []tensor.Shape{matrix}, slice([]int{0, 2}, []int{2, 3}, []int{1, -2}),
			"op: Slice of shape (2, 3): along axis 1 it wants one element or more, all from 0 to 2, and a step that is not 0; got 3 from 2 on in steps of -2"},
		{"a slice that stands still", []tensor.Shape{matrix}, slice([]int{0, 0}, []int{2, 2}, []int{1, 0}),
			"op: Slice of shape (2, 3): along axis 1 it wants one element or more, all from 0 to 2, and a step that is not 0; got 2 from 0 on in steps of 0"},
		{"a slice in steps beyond all bounds", []tensor.Shape{matrix}, slice([]int{0, 2}, []int{2, 2}, []int{1, math.MinInt}),
			fmt.Sprintf("op: Slice of shape (2, 3): along axis 1 it wants one element or more, all from 0 to 2, and a step that is not 0; got 2 from 2 on in steps of %d", math.MinInt)},
		{"an empty slice", []tensor.Shape{matrix}, slice([]int{0, 0}, []int{2, 0}, nil),
			"op: Slice of shape (2, 3): along axis 1 it wants one element or more, all from 0 to 2, and a step that is not 0; got 0 from 0 on in steps of 1"},
		{"padding that leaves nothing", []tensor.Shape{matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) {
				return op.Pad(in[0], []int{0, -2}, []int{0, -1}, 0)
			},
			"op: Pad of shape (2, 3): along axis 1 at least one element must stay and at most 2147483647 be added, got -2 before and -1 after"},
		{"padding with no number", []tensor.Shape{matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) {
				return op.Pad(in[0], []int{0, 1}, []int{0, 1}, math.NaN())
			},
			"op: Pad wants a value to pad with, got NaN"},
		{"an index there is not", []tensor.Shape{matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Take(in[0], 1, []int{0, -1}) },
			"op: Take along axis 1 of shape (2, 3) wants indices from 0 to 2, got -1"},
		{"no index", []tensor.Shape{matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.Take(in[0], 1, nil) },
			"op: Take wants at least one index, got none"},
		{"a tap without a weight", []tensor.Shape{matrix},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) {
				return op.Interpolate(in[0], 1, 2, func(i int) []op.Tap { return []op.Tap{{Index: i, Weight: math.Inf(i)}} })
			},
			"op: Interpolate along axis 1 of shape (2, 3): element 0 wants taps with indices from 0 to 2 and finite weights, got index 0 with weight +Inf"},
		{"a resized matrix", []tensor.Shape{matrix}, resize(op.ResizeConfig{Height: 2, Width: 2}),
			"op: Resize wants images [N, H, W, C], got shape (2, 3)"},
		{"a resizing to nothing", []tensor.Shape{images}, resize(op.ResizeConfig{Width: 2}),
			"op: Resize wants a height and a width of 1 to 2147483647, got 0 and 2"},
		{"a resizing in an unknown mode", []tensor.Shape{images}, resize(op.ResizeConfig{Height: 2, Width: 2, Mode: "cubic"}),
			`op: Resize knows the modes nearest and linear, got "cubic"`},
		{"a resizing with unknown coordinates", []tensor.Shape{images}, resize(op.ResizeConfig{Height: 2, Width: 2, Coordinates: "tf_crop_and_resize"}),
			`op: Resize knows the coordinates half_pixel, pytorch_half_pixel, align_corners and asymmetric, got "tf_crop_and_resize"`},
		{"a resizing with unknown rounding", []tensor.Shape{images}, resize(op.ResizeConfig{Height: 2, Width: 2, Rounding: "up"}),
			`op: Resize knows the roundings round_prefer_floor, round_prefer_ceil, floor and ceil, got "up"`},
		{"a resizing by a scale that gives another size", []tensor.Shape{images}, resize(op.ResizeConfig{Height: 7, Width: 5, ScaleH: 1.5, ScaleW: 1}),
			"op: Resize of height 4 by a scale of 1.5 gives 6 pixels, got 7 as size; leave the scales 0 to take them from the sizes"},
		{"a resizing by half of the scales", []tensor.Shape{images}, resize(op.ResizeConfig{Height: 6, Width: 5, ScaleH: 1.5}),
			"op: Resize wants both scales or none, got 1.5 and 0; a scale of 1 leaves an axis alone"},
		{"blocks of too few channels", []tensor.Shape{images},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.DepthToSpace(in[0], 2, "DCR") },
			"op: DepthToSpace wants channels that are a multiple of the squared block 2, got images (2, 4, 5, 6)"},
		{"blocks that do not fill the image", []tensor.Shape{images},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.SpaceToDepth(in[0], 2, "DCR") },
			"op: SpaceToDepth wants images whose height and width are multiples of the block 2, got (2, 4, 5, 6)"},
		{"blocks in an unknown mode", []tensor.Shape{images},
			func(in gorgonia.Nodes) (*gorgonia.Node, error) { return op.SpaceToDepth(in[0], 2, "RDC") },
			`op: SpaceToDepth knows the modes DCR and CRD, got "RDC"`},
	} {
		c.check(t)
	}
}

// TestStructureOperatorsThatChangeNothing checks that they add no node, in the
// graph or the file.
func TestStructureOperatorsThatChangeNothing(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithName("x"), gorgonia.WithShape(2, 3, 4, 4))
	for name, build := range map[string]func() (*gorgonia.Node, error){
		"Transpose":    func() (*gorgonia.Node, error) { return op.Transpose(x, 0, 1, 2, 3) },
		"BroadcastTo":  func() (*gorgonia.Node, error) { return op.BroadcastTo(x, 2, 3, 4, 4) },
		"SumTo":        func() (*gorgonia.Node, error) { return op.SumTo(x, 2, 3, 4, 4) },
		"Concat":       func() (*gorgonia.Node, error) { return op.Concat(1, x) },
		"Slice":        func() (*gorgonia.Node, error) { return op.Slice(x, []int{0, 0, 0, 0}, []int{2, 3, 4, 4}, nil) },
		"Pad":          func() (*gorgonia.Node, error) { return op.Pad(x, make([]int, 4), make([]int, 4), 1) },
		"Resize":       func() (*gorgonia.Node, error) { return op.Resize(x, op.ResizeConfig{Height: 3, Width: 4}) },
		"DepthToSpace": func() (*gorgonia.Node, error) { return op.DepthToSpace(x, 1, "DCR") },
		"SpaceToDepth": func() (*gorgonia.Node, error) { return op.SpaceToDepth(x, 1, "CRD") },
	} {
		if n, err := build(); n != x || err != nil {
			t.Errorf("%s: got %v and error %v, want its operand", name, n, err)
		}
	}
}

// TestResizedLength checks the lengths at which float32 and the text's exact
// product differ.
func TestResizedLength(t *testing.T) {
	for _, c := range []struct {
		length int
		scale  float64
		want   int
	}{
		{4, 2, 8}, {5, 1.7, 8}, {10, 0.55, 5}, {10, 2.3, 23}, // 2.3 is below 2.3 in float32, and ten times that rounds up
		{7, float64(float32(31) / 7), 30},
		{3, 0.1, 0}, {3, -1, 0}, {3, math.NaN(), 0}, {3, math.Inf(1), 0}, {3, 1e300, 0},
	} {
		if got := op.ResizedLength(c.length, c.scale); got != c.want {
			t.Errorf("%d by %v: got %d, want %d", c.length, c.scale, got, c.want)
		}
	}
}
