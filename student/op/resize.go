package op

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// ResizeMode is how Resize makes a pixel of those around it, in ONNX's words.
type ResizeMode string

// The modes of Resize.
const (
	ResizeNearest ResizeMode = "nearest"
	ResizeLinear  ResizeMode = "linear" // of two neighbours along each axis
)

// ResizeCoordinates is where in the operand a pixel of the result lies, in
// ONNX's words. Of the pixel i of L pixels made from l by a scale it is
type ResizeCoordinates string

// The coordinates of Resize.
const (
	ResizeHalfPixel        ResizeCoordinates = "half_pixel"         // (i+½)/scale - ½
	ResizePytorchHalfPixel ResizeCoordinates = "pytorch_half_pixel" // the same; 0 where L is 1
	ResizeAlignCorners     ResizeCoordinates = "align_corners"      // i·(l-1)/(L-1); 0 where L is 1
	ResizeAsymmetric       ResizeCoordinates = "asymmetric"         // i/scale, as Upsample does
)

// ResizeRounding is which pixel of the operand is the nearest one, in ONNX's
// words.
type ResizeRounding string

// The roundings of Resize.
const (
	ResizeRoundPreferFloor ResizeRounding = "round_prefer_floor" // halves down
	ResizeRoundPreferCeil  ResizeRounding = "round_prefer_ceil"  // halves up
	ResizeFloor            ResizeRounding = "floor"              // as Upsample does
	ResizeCeil             ResizeRounding = "ceil"
)

// ResizeConfig says how Resize resizes.
type ResizeConfig struct {
	// Height and Width are those of the result, at least 1.
	Height, Width int

	// ScaleH and ScaleW are the scales that coordinates are computed with. Both
	// zero means what ONNX takes where sizes are given: the result's size by the
	// operand's. Others must give the result's size, by ResizedLength.
	ScaleH, ScaleW float64

	Mode        ResizeMode        // empty means nearest, as in ONNX
	Coordinates ResizeCoordinates // empty means half_pixel, as in ONNX
	Rounding    ResizeRounding    // of mode nearest; empty means round_prefer_floor, as in ONNX
}

func (c ResizeConfig) String() string {
	s := fmt.Sprintf("to=[%d %d] scales=[%v %v] %s %s", c.Height, c.Width, c.ScaleH, c.ScaleW, c.Mode, c.Coordinates)
	if c.Mode == ResizeNearest {
		s += " " + string(c.Rounding)
	}
	return s
}

// ResizedLength returns how many pixels ONNX Runtime makes of length pixels by
// a scale: the product, taken in float32, without its fraction. Zero or less
// says that the scale cannot be used.
func ResizedLength(length int, scale float64) int {
	p := float32(scale) * float32(length)
	if !(p >= 1) || p > math.MaxInt32 {
		return 0
	}
	return int(p)
}

// Resize returns images x [N, H, W, C] as [N, cfg.Height, cfg.Width, C], as
// ONNX's Resize of opsets 11 to 19 does; its mode nearest with asymmetric
// coordinates and rounding floor is Upsample's. Coordinates are computed in
// float32 as ONNX Runtime computes them, so that a tie falls to the same side.
// It returns x itself where every pixel stays what it is.
func Resize(x *gorgonia.Node, cfg ResizeConfig) (*gorgonia.Node, error) {
	const name = "Resize"
	if err := checked(name, x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) != 4 {
		return nil, fmt.Errorf("op: %s wants images [N, H, W, C], got shape %v", name, s)
	}
	cfg, err := cfg.completed()
	if err != nil {
		return nil, err
	}
	h, err := cfg.rows("height", s[1], cfg.Height, cfg.ScaleH)
	if err != nil {
		return nil, err
	}
	w, err := cfg.rows("width", s[2], cfg.Width, cfg.ScaleW)
	if err != nil {
		return nil, err
	}
	if h.Identity() && w.Identity() {
		return x, nil
	}
	return resize(x, cfg, h, w, false)
}

// completed returns c with its defaults filled in, and refuses what is unknown.
func (c ResizeConfig) completed() (ResizeConfig, error) {
	if c.Mode == "" {
		c.Mode = ResizeNearest
	}
	if c.Coordinates == "" {
		c.Coordinates = ResizeHalfPixel
	}
	if c.Rounding == "" {
		c.Rounding = ResizeRoundPreferFloor
	}
	if (c.ScaleH == 0) != (c.ScaleW == 0) {
		return c, fmt.Errorf("op: Resize wants both scales or none, got %v and %v; a scale of 1 leaves an axis alone", c.ScaleH, c.ScaleW)
	}
	if c.Height < 1 || c.Width < 1 || c.Height > math.MaxInt32 || c.Width > math.MaxInt32 {
		return c, fmt.Errorf("op: Resize wants a height and a width of 1 to %d, got %d and %d", math.MaxInt32, c.Height, c.Width)
	}
	switch c.Mode {
	case ResizeNearest, ResizeLinear:
	default:
		return c, fmt.Errorf("op: Resize knows the modes %s and %s, got %q", ResizeNearest, ResizeLinear, c.Mode)
	}
	switch c.Coordinates {
	case ResizeHalfPixel, ResizePytorchHalfPixel, ResizeAlignCorners, ResizeAsymmetric:
	default:
		return c, fmt.Errorf("op: Resize knows the coordinates %s, %s, %s and %s, got %q",
			ResizeHalfPixel, ResizePytorchHalfPixel, ResizeAlignCorners, ResizeAsymmetric, c.Coordinates)
	}
	switch c.Rounding {
	case ResizeRoundPreferFloor, ResizeRoundPreferCeil, ResizeFloor, ResizeCeil:
	default:
		return c, fmt.Errorf("op: Resize knows the roundings %s, %s, %s and %s, got %q",
			ResizeRoundPreferFloor, ResizeRoundPreferCeil, ResizeFloor, ResizeCeil, c.Rounding)
	}
	return c, nil
}

// rows is the matrix that resizes one axis from in to out pixels.
func (c ResizeConfig) rows(axis string, in, out int, scale float64) (kernel.Sparse, error) {
	if scale != 0 && ResizedLength(in, scale) != out {
		return kernel.Sparse{}, fmt.Errorf("op: Resize of %s %d by a scale of %v gives %d pixels, got %d as size; leave the scales 0 to take them from the sizes",
			axis, in, scale, ResizedLength(in, scale), out)
	}
	k := float32(scale)
	if scale == 0 {
		k = float32(out) / float32(in)
	}
	return sparse(out, in, func(i int) []Tap {
		at := c.coordinate(float32(i), k, float32(in), float32(out))
		last := float32(in - 1)
		if c.Mode == ResizeNearest {
			return []Tap{{int(min(max(c.round(at), 0), last)), 1}}
		}
		at = min(max(at, 0), last)
		below := float32(math.Floor(float64(at)))
		share := float64(at - below)
		if share == 0 {
			return []Tap{{int(below), 1}}
		}
		return []Tap{{int(below), 1 - share}, {int(below) + 1, share}}
	}), nil
}

// coordinate returns where in an axis of length in pixel i of out lies. Each
// step is rounded to float32, which keeps a compiler from joining two.
func (c ResizeConfig) coordinate(i, scale, in, out float32) float32 {
	switch c.Coordinates {
	case ResizeAsymmetric:
		return i / scale
	case ResizeAlignCorners:
		if out == 1 {
			return 0
		}
		return float32(i*(in-1)) / (out - 1)
	case ResizePytorchHalfPixel:
		if out == 1 {
			return 0
		}
	}
	return float32(float32(i+0.5)/scale) - 0.5
}

func (c ResizeConfig) round(at float32) float32 {
	x := float64(at)
	switch c.Rounding {
	case ResizeFloor:
		x = math.Floor(x)
	case ResizeCeil:
		x = math.Ceil(x)
	case ResizeRoundPreferCeil:
		x = math.Floor(x + 0.5)
	default:
		x = math.Ceil(x - 0.5)
	}
	return float32(x)
}

// resize applies h along the height and w along the width of images. back
// marks the adjoint of a resizing, whose matrices are the transposed ones.
func resize(x *gorgonia.Node, cfg ResizeConfig, h, w kernel.Sparse, back bool) (*gorgonia.Node, error) {
	name := "Resize"
	if back {
		name = adjointName(name)
	}
	s := x.Shape()
	out := tensor.Shape{s[0], h.Rows, w.Rows, s[3]}
	return apply1(name, cfg.String(), out, x, typed(planResize[float32](s, h, w), planResize[float64](s, h, w)),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) {
			return resize(g, cfg, h.Transposed(), w.Transposed(), !back)
		},
		func(f form) string {
			if back {
				return f.resizeBack(h, w)
			}
			return f.resize(cfg, s)
		})
}

// planResize applies h and then w, or w first where that makes less of x.
func planResize[T kernel.Float](s tensor.Shape, h, w kernel.Sparse) func() Plan {
	return func() Plan {
		n, height, width, c := s[0], s[1], s[2], s[3]
		switch {
		case w.Identity():
			return plainPlan(kernel.Interpolate[T](n, width*c, h))
		case h.Identity():
			return plainPlan(kernel.Interpolate[T](n*height, c, w))
		case h.Rows*width <= height*w.Rows:
			return chained(n*h.Rows*width*c, kernel.Interpolate[T](n, width*c, h), kernel.Interpolate[T](n*h.Rows, c, w))
		default:
			return chained(n*height*w.Rows*c, kernel.Interpolate[T](n*height, c, w), kernel.Interpolate[T](n, w.Rows*c, h))
		}
	}
}

func plainPlan[T kernel.Float](run unary[T]) Plan {
	return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
		return run(kernel.Of[T](dst), kernel.Of[T](src[0]))
	}}
}

// chained is the plan of first, to size elements of scratch memory, and then.
func chained[T kernel.Float](size int, first, then unary[T]) Plan {
	return Plan{Scratch: size, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
		between := kernel.Of[T](scratch)[:size]
		if err := first(between, kernel.Of[T](src[0])); err != nil {
			return err
		}
		return then(kernel.Of[T](dst), between)
	}}
}

// resizeAxesOpset is the opset from which Resize can be told the axes that its
// sizes are of.
const resizeAxesOpset = 18

// resize appends the Resize of images of Gorgonia shape s. Scales are written
// where they give the sizes wanted, with 1 for batch and channels, which may
// then be of any size. Where they fall short of them, as float32's 7/3 of 3
// pixels does by a ten-millionth, sizes are: ONNX Runtime rounds the product to
// 7, and infers shapes with 6.
func (f form) resize(cfg ResizeConfig, s tensor.Shape) string {
	attrs := []*onnx.Attr{
		onnx.AttrString("mode", string(cfg.Mode)),
		onnx.AttrString("coordinate_transformation_mode", string(cfg.Coordinates)),
	}
	if cfg.Mode == ResizeNearest {
		attrs = append(attrs, onnx.AttrString("nearest_mode", string(cfg.Rounding)))
	}
	scale := func(given float64, in, out int) (float32, bool) {
		if given != 0 {
			return float32(given), true // rows has seen that it fits
		}
		k := float32(out) / float32(in)
		return k, int(float64(k)*float64(in)) == out && ResizedLength(in, float64(k)) == out
	}
	h, hok := scale(cfg.ScaleH, s[1], cfg.Height)
	w, wok := scale(cfg.ScaleW, s[2], cfg.Width)
	if hok && wok {
		return f.node("Resize", []string{f.in[0], "", f.floats("scales", []int64{4}, []float32{1, 1, h, w})}, attrs...)
	}
	sizes := f.ints("sizes", int64(cfg.Height), int64(cfg.Width))
	if f.b.Opset() >= resizeAxesOpset {
		attrs = append(attrs, onnx.AttrInts("axes", 2, 3))
	} else {
		// The sizes of batch and channels are asked for, so that they may be any.
		kept := f.node("Slice", []string{f.node("Shape", f.in), f.ints("starts", 0), f.ints("ends", 2)})
		sizes = f.node("Concat", []string{kept, sizes}, onnx.AttrInt("axis", 0))
	}
	return f.node("Resize", []string{f.in[0], "", "", sizes}, attrs...)
}

// resizeBack appends a resizing's adjoint as products with its matrices.
func (f form) resizeBack(h, w kernel.Sparse) string {
	y := f.in[0]
	if !h.Identity() {
		y = f.product(y, 4, 2, h)
	}
	if !w.Identity() {
		y = f.product(y, 4, 3, w)
	}
	return y
}
