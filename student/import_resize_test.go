package student_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// resizeAxis is one axis of a resizing, by plain loops: the taps of each element.
type resizeAxis struct {
	axis, length        int
	scale               float64
	mode, where, nearer string
}

// of resizes an axis of x.
func (r resizeAxis) of(x array) array {
	n := x.dims[r.axis]
	to := slices.Clone(x.dims)
	to[r.axis] = r.length
	return tabulate(to, func(i []int) float64 {
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
			return x.at(j...)
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

func TestResizeIsTranslated(t *testing.T) {
	scales := func(v ...float32) *onnx.Tensor { return onnx.Float32s("", []int64{int64(len(v))}, v) }
	var cases []translation
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
					want := of1(func(x array) array {
						x = resizeAxis{2, h, float64(s.h), mode, where, nearer}.of(x)
						return resizeAxis{3, w, float64(s.w), mode, where, nearer}.of(x)
					})
					in := [][]int{{2, 3, 4, 8}}
					c := fmt.Sprintf("%s by %v and %v", name, s.h, s.w)
					cases = append(cases,
						translation{name: c, opsets: []int64{11, 13, 18, 19, 21}, in: in, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, s.h, s.w)}, attrs...), want: want},
						translation{name: c + " as sizes", opsets: []int64{13, 18, 21}, in: in, build: withConstants("Resize", []*onnx.Tensor{nil, nil, whole(2, 3, int64(h), int64(w))}, attrs...), want: want},
						translation{name: c + " with empty operands", opsets: []int64{11}, in: in, build: withConstants("Resize", []*onnx.Tensor{scales(), scales(), whole(2, 3, int64(h), int64(w))}, attrs...), want: want},
						translation{name: c + " of axes", opsets: []int64{18, 21}, in: in, build: withConstants("Resize", []*onnx.Tensor{nil, scales(s.w, s.h)}, append(attrs, onnx.AttrInts("axes", 3, -2))...), want: want})
				}
			}
		}
	}
	half := func(x array, axis, length int, scale float64) array {
		return resizeAxis{axis, length, scale, "linear", "half_pixel", ""}.of(x)
	}
	linear := onnx.AttrString("mode", "linear")
	cases = append(cases,
		translation{name: "a signal", opsets: []int64{11, 21}, in: [][]int{signalDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2)}, linear),
			want: of1(func(x array) array { return half(x, 2, 8, 2) })},
		translation{name: "a matrix", opsets: []int64{11, 21}, in: [][]int{{3, 4}}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(2, 3)}, linear),
			want: of1(func(x array) array { return half(half(x, 0, 6, 2), 1, 12, 3) })},
		translation{name: "channels last", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 2, 3, 1)}, linear),
			want: of1(func(x array) array { return half(half(x, 1, 6, 2), 2, 12, 3) })},
		translation{name: "sizes as long as they are", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, nil, whole(2, 3, 4, 5)}, linear),
			want: of1(func(x array) array { return x })},
		translation{name: "not larger", opsets: []int64{18, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, nil, whole(8, 20)}, linear, onnx.AttrInts("axes", 2, 3), onnx.AttrString("keep_aspect_ratio_policy", "not_larger")),
			want: of1(func(x array) array { return half(half(x, 2, 8, 2), 3, 10, 2) })},
		translation{name: "not smaller", opsets: []int64{18, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, nil, whole(8, 20)}, linear, onnx.AttrInts("axes", 2, 3), onnx.AttrString("keep_aspect_ratio_policy", "not_smaller")),
			want: of1(func(x array) array { return half(half(x, 2, 16, 4), 3, 20, 4) })},
		translation{name: "half_pixel_symmetric", opsets: []int64{19, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 2)}, linear, onnx.AttrString("coordinate_transformation_mode", "half_pixel_symmetric")),
			want: of1(func(x array) array { return half(half(x, 2, 8, 2), 3, 10, 2) })},
		translation{name: "half_pixel_symmetric that cuts a pixel", opsets: []int64{19, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 1.5)}, linear, onnx.AttrString("coordinate_transformation_mode", "half_pixel_symmetric")), refused: "cuts a pixel"},
		translation{name: "antialias that has an effect", opsets: []int64{18, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 0.5, 0.5)}, linear, onnx.AttrInt("antialias", 1)), refused: "antialias"},
		translation{name: "antialias that has none", opsets: []int64{18, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 2)}, linear, onnx.AttrInt("antialias", 1)),
			want: of1(func(x array) array { return half(half(x, 2, 8, 2), 3, 10, 2) })},
		translation{name: "a crop", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{scales(0, 0, 0, 0, 1, 1, 1, 1), scales(1, 1, 2, 2)}, onnx.AttrString("coordinate_transformation_mode", "tf_crop_and_resize")), refused: "tf_crop_and_resize"},
		translation{name: "three axes", opsets: []int64{11, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 2, 2, 2)}), refused: "it resizes 3 axes"},
		translation{name: "both scales and sizes", opsets: []int64{13, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, scales(1, 1, 2, 2), whole(2, 3, 8, 10)}), refused: "one of them"},
		translation{name: "too large", opsets: []int64{13, 21}, in: [][]int{imageDims}, build: withConstants("Resize", []*onnx.Tensor{nil, nil, whole(2, 3, 1<<20, 1<<20)}), refused: "all together at most"},
	)
	for _, mode := range []string{"nearest", "linear"} {
		for _, s := range []struct{ h, w float32 }{{2, 3}, {1, 2}, {1.5, 1.25}} {
			m := onnx.AttrString("mode", mode)
			want := of1(func(x array) array {
				x = resizeAxis{2, int(4 * s.h), float64(s.h), mode, "asymmetric", "floor"}.of(x)
				return resizeAxis{3, int(8 * s.w), float64(s.w), mode, "asymmetric", "floor"}.of(x)
			})
			in, name := [][]int{{2, 3, 4, 8}}, fmt.Sprintf("%s by %v and %v as before opset 11", mode, s.h, s.w)
			operand := []*onnx.Tensor{scales(1, 1, s.h, s.w)}
			cases = append(cases,
				translation{name: name + ", Upsample by attribute", opsets: []int64{7, 8}, in: in, build: node1("Upsample", m, onnx.AttrFloats("scales", 1, 1, s.h, s.w)), want: want},
				translation{name: name + ", Upsample", opsets: []int64{9}, in: in, build: withConstants("Upsample", operand, m), want: want},
				translation{name: name + ", Resize", opsets: []int64{10}, in: in, build: withConstants("Resize", operand, m), want: want})
		}
	}
	cases = append(cases, translation{name: "Resize of opset 10 that shrinks one axis", opsets: []int64{10}, in: [][]int{{2, 3, 4, 8}}, build: withConstants("Resize", []*onnx.Tensor{scales(1, 1, 2, 0.6)}),
		want: of1(func(x array) array {
			x = resizeAxis{2, 8, 2, "nearest", "asymmetric", "floor"}.of(x)
			return resizeAxis{3, 4, float64(float32(0.6)), "nearest", "asymmetric", "ceil"}.of(x)
		})})
	checkTranslations(t, cases)
}
