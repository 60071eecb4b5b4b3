package student

import (
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// resized is what a Resize does to one axis of the file.
type resized struct {
	axis, length int
	scale        float64 // of the coordinates; zero means as the lengths say
}

// importUpsample: opset 7 has its scales as an attribute, 9 as operand 1.
func importUpsample(im *importing, c *importer.Call) ([]value, error) {
	scales := []float64(nil)
	if a := c.Node.Attr("scales"); a != nil {
		for _, s := range a.Floats {
			scales = append(scales, float64(s))
		}
	} else {
		var err error
		if scales, err = im.floats(c, 1); err != nil {
			return nil, err
		}
	}
	return im.resizeAsBefore11(c, scales)
}

// importResize: opset 10 is Upsample with other scales. From 11 on sizes may be
// given, and where pixels lie is said; from 18 on axes, and what to do about the
// aspect ratio.
func importResize(im *importing, c *importer.Call) ([]value, error) {
	if im.Opset < 11 {
		scales, err := im.floats(c, 1)
		if err != nil {
			return nil, err
		}
		return im.resizeAsBefore11(c, scales)
	}
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	shape := im.fileShape(v)
	axes := make([]int, len(shape))
	for i := range axes {
		axes[i] = i
	}
	if a := c.Node.Attr("axes"); a != nil {
		if axes, err = im.axes(c, a.Ints, len(shape)); err != nil {
			return nil, err
		}
	}
	scales, sizes, err := im.scalesOrSizes(c)
	if err != nil {
		return nil, err
	}
	if n := max(len(scales), len(sizes)); n != len(axes) || min(len(scales), len(sizes)) > 0 {
		return nil, im.unsupported(c, fmt.Sprintf("scales %v and sizes %v for %d axes; one of them has a number for each", scales, sizes, len(axes)))
	}
	var todo []resized
	switch policy := c.Node.Str("keep_aspect_ratio_policy", "stretch"); {
	case len(scales) > 0:
		todo, err = im.byScales(c, shape, axes, scales)
	case policy == "stretch":
		for i, a := range axes {
			if sizes[i] < 1 || sizes[i] > maxElements {
				return nil, im.unsupported(c, fmt.Sprintf("sizes %v", sizes))
			}
			if d := int(sizes[i]); d != shape[a] {
				todo = append(todo, resized{axis: a, length: d})
			}
		}
	case policy == "not_larger" || policy == "not_smaller":
		k := 0.0
		for i, a := range axes {
			s := float64(float32(sizes[i]) / float32(shape[a]))
			if i == 0 || (policy == "not_larger") == (s < k) {
				k = s
			}
		}
		for _, a := range axes {
			// Halves go up.
			if d := math.Floor(k*float64(shape[a]) + 0.5); d >= 1 && d <= maxElements {
				todo = append(todo, resized{axis: a, length: int(d), scale: k})
				continue
			}
			return nil, im.unsupported(c, fmt.Sprintf("sizes %v for shape %v", sizes, shape))
		}
	default:
		err = im.unsupported(c, fmt.Sprintf("keep_aspect_ratio_policy %q; it is one of stretch, not_larger, not_smaller", policy))
	}
	if err != nil {
		return nil, err
	}
	cfg := op.ResizeConfig{
		Mode:        op.ResizeMode(c.Node.Str("mode", "nearest")),
		Coordinates: op.ResizeCoordinates(c.Node.Str("coordinate_transformation_mode", "half_pixel")),
		Rounding:    op.ResizeRounding(c.Node.Str("nearest_mode", "round_prefer_floor")),
	}
	for _, r := range todo {
		shrinks := r.length < shape[r.axis] || r.scale != 0 && r.scale < 1
		switch {
		case cfg.Coordinates == "half_pixel_symmetric" && r.scale != 0 && float64(r.length) != r.scale*float64(shape[r.axis]):
			return nil, im.unsupported(c, "coordinate_transformation_mode half_pixel_symmetric with a scale that cuts a pixel")
		case c.Node.Int("antialias", 0) != 0 && shrinks && cfg.Mode != op.ResizeNearest:
			return nil, im.unsupported(c, "antialias of an image that shrinks")
		}
	}
	if cfg.Coordinates == "half_pixel_symmetric" { // the same where no pixel is cut
		cfg.Coordinates = op.ResizeHalfPixel
	}
	return im.resize(c, v, cfg, todo)
}

// scalesOrSizes returns operands 2 and 3 of a Resize, of which one may be empty
// or left out.
func (im *importing) scalesOrSizes(c *importer.Call) (scales []float64, sizes []int64, err error) {
	if _, ok := im.operand(c, 2); ok {
		if scales, err = im.floats(c, 2); err != nil {
			return nil, nil, err
		}
	}
	if _, ok := im.operand(c, 3); ok {
		sizes, err = im.ints(c, 3)
	}
	return scales, sizes, err
}

// byScales returns what scales do to the axes that they are of.
func (im *importing) byScales(c *importer.Call, shape, axes []int, scales []float64) ([]resized, error) {
	if len(scales) != len(axes) {
		return nil, im.unsupported(c, fmt.Sprintf("scales %v for %d axes", scales, len(axes)))
	}
	var todo []resized
	for i, a := range axes {
		if scales[i] == 1 {
			continue
		}
		n := op.ResizedLength(shape[a], scales[i])
		if n < 1 {
			return nil, im.unsupported(c, fmt.Sprintf("scales %v of shape %v leave nothing", scales, shape))
		}
		todo = append(todo, resized{axis: a, length: n, scale: scales[i]})
	}
	return todo, nil
}

// resizeAsBefore11 takes pixel i/scale: its floor where the image grows and, as
// ONNX Runtime reads that opset, its ceiling where it shrinks.
func (im *importing) resizeAsBefore11(c *importer.Call, scales []float64) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	shape := im.fileShape(v)
	axes := make([]int, len(shape))
	for i := range axes {
		axes[i] = i
	}
	todo, err := im.byScales(c, shape, axes, scales)
	if err != nil {
		return nil, err
	}
	cfg := op.ResizeConfig{Mode: op.ResizeMode(c.Node.Str("mode", "nearest")), Coordinates: op.ResizeAsymmetric, Rounding: op.ResizeFloor}
	var grow, shrink []resized
	for _, r := range todo {
		if r.scale < 1 && cfg.Mode == op.ResizeNearest {
			shrink = append(shrink, r)
		} else {
			grow = append(grow, r)
		}
	}
	out, err := im.resize(c, v, cfg, grow)
	if err != nil || len(shrink) == 0 {
		return out, err
	}
	cfg.Rounding = op.ResizeCeil
	return im.resize(c, out[0], cfg, shrink)
}

// resize resizes one or two axes of v, by turning them to where an image has its
// height and width.
func (im *importing) resize(c *importer.Call, v value, cfg op.ResizeConfig, todo []resized) ([]value, error) {
	if cfg.Mode == "bilinear" { // Upsample's word of opset 7
		cfg.Mode = op.ResizeLinear
	}
	x := im.node(v)
	if x == nil || len(todo) == 0 {
		return im.give(x, v)
	}
	shape := inFile(x.Shape())
	rank := len(shape)
	switch {
	case rank > 4 || len(todo) > 2:
		return nil, im.unsupported(c, fmt.Sprintf("it resizes %d axes of shape %v; two axes of up to four are supported", len(todo), shape))
	case cfg.Mode != op.ResizeNearest && cfg.Mode != op.ResizeLinear:
		return nil, im.unsupported(c, fmt.Sprintf("mode %q; %s and %s are supported", cfg.Mode, op.ResizeNearest, op.ResizeLinear))
	}
	to := slices.Clone(shape)
	for _, r := range todo {
		to[r.axis] = r.length
	}
	if err := im.tabulated(c, to); err != nil {
		return nil, err
	}
	// As four axes, the resized ones last. One alone gets a neighbour that stays.
	front := 4 - rank
	x = im.reshape(x, slices.Concat(slices.Repeat([]int{1}, front), shape)...)
	var last [2]resized
	for i, r := range todo {
		r.axis += front
		last[i] = r
	}
	if len(todo) == 1 {
		last[1] = resized{axis: 3}
		if last[0].axis == 3 {
			last[1].axis = 2
		}
		if x == nil {
			return nil, im.b.err
		}
		last[1].length = inFile(x.Shape())[last[1].axis]
		if last[0].scale != 0 {
			last[1].scale = 1
		}
	}
	if last[0].axis > last[1].axis {
		last[0], last[1] = last[1], last[0]
	}
	var perm []int
	for a := range 4 {
		if a != last[0].axis && a != last[1].axis {
			perm = append(perm, a)
		}
	}
	perm = append(perm, last[0].axis, last[1].axis)
	cfg.Height, cfg.Width = last[0].length, last[1].length
	cfg.ScaleH, cfg.ScaleW = last[0].scale, last[1].scale
	if x = im.permute(x, perm...); x == nil {
		return nil, im.b.err
	}
	y := im.op(op.Resize(x, cfg))
	if y == nil {
		return nil, im.b.err
	}
	back := make([]int, 4)
	for i, a := range perm {
		back[a] = i
	}
	return im.give(im.reshape(im.permute(y, back...), to...), v)
}
