package importertest

import (
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// resizeAxis is one axis of a resizing, by plain loops: the taps of each element.
type resizeAxis struct {
	axis, length        int
	scale               float64
	mode, where, nearer string
}

// of resizes an axis of x.
func (r resizeAxis) of(x Array) Array {
	n := x.Dims[r.axis]
	to := slices.Clone(x.Dims)
	to[r.axis] = r.length
	return Tabulate(to, func(i []int) float64 {
		at := float64(i[r.axis])
		switch r.where {
		case "half_pixel":
			at = (at+0.5)/r.scale - 0.5
		case "pytorch_half_pixel":
			at = (at+0.5)/r.scale - 0.5
			if r.length == 1 {
				at = 0
			}
		case "align_corners":
			at = at * float64(n-1) / float64(max(r.length-1, 1))
		case "asymmetric":
			at /= r.scale
		}
		pick := func(k float64) float64 {
			j := slices.Clone(i)
			j[r.axis] = min(max(int(k), 0), n-1)
			return x.At(j...)
		}
		if r.mode == "linear" {
			below := math.Floor(at)
			return pick(below)*(1-(at-below)) + pick(below+1)*(at-below)
		}
		switch r.nearer {
		case "floor":
			return pick(math.Floor(at))
		case "ceil":
			return pick(math.Ceil(at))
		case "round_prefer_ceil":
			return pick(math.Floor(at + 0.5))
		default:
			return pick(math.Ceil(at - 0.5))
		}
	})
}

// resizings are Resize and Upsample.
func resizings() []Piece {
	scales := func(v ...float32) *onnx.Tensor { return onnx.Float32s("", []int64{int64(len(v))}, v) }
	var cases []Piece
	nearest := []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}
	for _, mode := range []string{"nearest", "linear"} {
		for _, where := range []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"} {
			for _, nearer := range nearest {
				if mode == "linear" && nearer != nearest[0] {
					continue
				}
				attrs := []*onnx.Attr{onnx.AttrString("mode", mode), onnx.AttrString("coordinate_transformation_mode", where)}
				name := mode + " " + where
				if mode == "nearest" {
					attrs = append(attrs, onnx.AttrString("nearest_mode", nearer))
					name += " " + nearer
				}
				for _, s := range []struct{ h, w float32 }{{2, 3}, {0.5, 0.5}, {2, 0.75}, {1, 2}, {1.5, 1}} {
					h, w := int(4*s.h), int(8*s.w)
					want := of1(func(x Array) Array {
						x = resizeAxis{2, h, float64(s.h), mode, where, nearer}.of(x)
						return resizeAxis{3, w, float64(s.w), mode, where, nearer}.of(x)
					})
					in := [][]int{{2, 3, 4, 8}}
					c := fmt.Sprintf("%s by %v and %v", name, s.h, s.w)
					cases = append(cases,
						Piece{Name: c, Opsets: []int64{11, 13, 18, 19, 21}, In: in, Build: withConstants("Resize", []*onnx.Tensor{scales(), scales(1, 1, s.h, s.w)}, attrs...), Want: want},
						Piece{Name: c + " as sizes", Opsets: []int64{13, 18, 21}, In: in, Build: withConstants("Resize", []*onnx.Tensor{nil, nil, Whole(2, 3, int64(h), int64(w))}, attrs...), Want: want},
						Piece{Name: c + " with empty operands", Opsets: []int64{11}, In: in, Build: withConstants("Resize", []*onnx.Tensor{scales(), scales(), Whole(2, 3, int64(h), int64(w))}, attrs...), Want: want},
						Piece{Name: c + " of axes", Opsets: []int64{18, 21}, In: in, Build: withConstants("Resize", []*onnx.Tensor{nil, scales(s.w, s.h)}, append(attrs, onnx.AttrInts("axes", 3, -2))...), Want: want})
				}
			}
		}
	}
	half := func(x Array, axis, length int, scale float64) Array {
		return resizeAxis{axis, length, scale, "linear", "half_pixel", ""}.of(x)
	}
	linear := onnx.AttrString("mode", "linear")
	cases = append(cases,
		Piece{Name: "a signal", Opsets: []int64{11, 21}, In: [][]int{signalDims}, Build: withConstants("Resize", []*onnx.Tensor{scales(), scales(1, 1, 2)}, linear),
			Want: of1(func(x Array) Array { return half(x, 2, 8, 2) })},
		Piece{Name: "a matrix", Opsets: []int64{11, 21}, In: [][]int{{3, 4}}, Build: withConstants("Resize", []*onnx.Tensor{scales(), scales(2, 3)}, linear),
			Want: of1(func(x Array) Array { return half(half(x, 0, 6, 2), 1, 12, 3) })},
		Piece{Name: "channels last", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{scales(), scales(1, 2, 3, 1)}, linear),
			Want: of1(func(x Array) Array { return half(half(x, 1, 6, 2), 2, 12, 3) })},
		Piece{Name: "sizes as long as they are", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{scales(), scales(), Whole(2, 3, 4, 5)}, linear),
			Want: of1(func(x Array) Array { return x })},
		Piece{Name: "not larger", Opsets: []int64{18, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, nil, Whole(8, 20)}, linear, onnx.AttrInts("axes", 2, 3), onnx.AttrString("keep_aspect_ratio_policy", "not_larger")),
			Want: of1(func(x Array) Array { return half(half(x, 2, 8, 2), 3, 10, 2) })},
		Piece{Name: "not smaller", Opsets: []int64{18, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, nil, Whole(8, 20)}, linear, onnx.AttrInts("axes", 2, 3), onnx.AttrString("keep_aspect_ratio_policy", "not_smaller")),
			Want: of1(func(x Array) Array { return half(half(x, 2, 16, 4), 3, 20, 4) })},
		Piece{Name: "half_pixel_symmetric", Opsets: []int64{19, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 2)}, linear, onnx.AttrString("coordinate_transformation_mode", "half_pixel_symmetric")),
			Want: of1(func(x Array) Array { return half(half(x, 2, 8, 2), 3, 10, 2) })},
		Piece{Name: "half_pixel_symmetric that cuts a pixel", Opsets: []int64{19, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 1.5)}, linear, onnx.AttrString("coordinate_transformation_mode", "half_pixel_symmetric")), Refused: "cuts a pixel"},
		Piece{Name: "antialias that has an effect", Opsets: []int64{18, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 0.5, 0.5)}, linear, onnx.AttrInt("antialias", 1)), Refused: "antialias"},
		Piece{Name: "antialias that has none", Opsets: []int64{18, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 2)}, linear, onnx.AttrInt("antialias", 1)),
			Want: of1(func(x Array) Array { return half(half(x, 2, 8, 2), 3, 10, 2) })},
		Piece{Name: "a crop", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{scales(0, 0, 0, 0, 1, 1, 1, 1), scales(1, 1, 2, 2)}, onnx.AttrString("coordinate_transformation_mode", "tf_crop_and_resize")), Refused: "tf_crop_and_resize"},
		Piece{Name: "three axes", Opsets: []int64{11, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{scales(), scales(1, 2, 2, 2)}), Refused: "it resizes 3 axes"},
		Piece{Name: "both scales and sizes", Opsets: []int64{13, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 2), Whole(2, 3, 8, 10)}), Refused: "one of them"},
		Piece{Name: "too long", Opsets: []int64{13, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, nil, Whole(2, 3, 4, 1<<21)}), Refused: "each axis has at most 1048576"},
		Piece{Name: "too large", Opsets: []int64{13, 21}, In: [][]int{imageDims}, Build: withConstants("Resize", []*onnx.Tensor{nil, nil, Whole(2, 3, 1<<19, 1<<19)}), Refused: "all together at most"},
	)
	for _, mode := range []string{"nearest", "linear"} {
		for _, s := range []struct{ h, w float32 }{{2, 3}, {1, 2}, {1.5, 1.25}} {
			m := onnx.AttrString("mode", mode)
			want := of1(func(x Array) Array {
				x = resizeAxis{2, int(4 * s.h), float64(s.h), mode, "asymmetric", "floor"}.of(x)
				return resizeAxis{3, int(8 * s.w), float64(s.w), mode, "asymmetric", "floor"}.of(x)
			})
			in, name := [][]int{{2, 3, 4, 8}}, fmt.Sprintf("%s by %v and %v as before opset 11", mode, s.h, s.w)
			operand := []*onnx.Tensor{scales(1, 1, s.h, s.w)}
			cases = append(cases,
				Piece{Name: name + ", Upsample by attribute", Opsets: []int64{7, 8}, In: in, Build: node1("Upsample", m, onnx.AttrFloats("scales", 1, 1, s.h, s.w)), Want: want},
				Piece{Name: name + ", Upsample", Opsets: []int64{9}, In: in, Build: withConstants("Upsample", operand, m), Want: want},
				Piece{Name: name + ", Resize", Opsets: []int64{10}, In: in, Build: withConstants("Resize", operand, m), Want: want})
		}
	}
	cases = append(cases, Piece{Name: "Resize of opset 10 that shrinks one axis", Opsets: []int64{10}, In: [][]int{{2, 3, 4, 8}}, Build: withConstants("Resize", []*onnx.Tensor{scales(1, 1, 2, 0.6)}),
		Want: of1(func(x Array) Array {
			x = resizeAxis{2, 8, 2, "nearest", "asymmetric", "floor"}.of(x)
			return resizeAxis{3, 4, float64(float32(0.6)), "nearest", "asymmetric", "ceil"}.of(x)
		})})
	return cases
}
