package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// Images is what is known of the images that a model takes. It matters where the
// input has fewer axes than an image: [N, 784], [N, 784, 1], [N, 28, 28].
type Images struct {
	// Shape is what somebody says. The zero value takes what the model's metadata
	// says, and where it says nothing goes by Likely.
	Shape preprocess.ImageShape

	// Likely is the shape of the images at hand: an input of exactly as many
	// numbers is taken to hold them. C of 0 is 1 or 3; the zero value is none.
	Likely preprocess.ImageShape

	// Square takes an input of a square number of numbers, where nothing else
	// tells, for square images of one channel.
	Square bool

	// Setting is the caller's name of Shape, for messages.
	Setting string
}

// ErrImageShape is matched by errors.Is with Normal.Unread where nothing tells
// what images the input holds, and somebody can.
var ErrImageShape = errors.New("the shape of the images cannot be told")

// leastSide is the least height and width at which an input of fewer axes is
// guessed to be an image and not a list of features.
const leastSide = 8

// reading is one way in which an input holds an image: its axes behind the batch
// are those of the image in an order, neighbours joined.
type reading struct {
	order preprocess.AxisOrder
	axes  []int64
}

// readings lists the ways in which so many axes can hold images of a shape, for
// one channel the most usual first.
func readings(s preprocess.ImageShape, axes int) (list []reading) {
	h, w, c := int64(s.H), int64(s.W), int64(s.C)
	add := func(order preprocess.AxisOrder, a ...int64) {
		if s.Order == "" || s.Order == order || s.C == 1 {
			list = append(list, reading{order, a})
		}
	}
	for _, o := range []struct {
		order   preprocess.AxisOrder
		a, b, c int64
	}{{preprocess.CHW, c, h, w}, {preprocess.HWC, h, w, c}} {
		switch axes {
		case 1:
			add(o.order, o.a*o.b*o.c)
		case 2:
			add(o.order, o.a*o.b, o.c)
			add(o.order, o.a, o.b*o.c)
			add(o.order, o.a*o.b*o.c, 1)
			add(o.order, 1, o.a*o.b*o.c)
		case 3:
			add(o.order, o.a, o.b, o.c)
		}
	}
	if s.C == 1 && axes < 3 { // one order of numbers, by two names
		for i := range list {
			list[i].order = preprocess.CHW
		}
	}
	return list
}

// fits returns those readings that agree with declared axes, each once.
func fits(axes []onnx.Dim, list []reading) (fit []reading) {
	same := func(a, b reading) bool { return a.order == b.order && slices.Equal(a.axes, b.axes) }
	for _, r := range list {
		agree := true
		for i, d := range axes {
			n, fixed := d.Fixed()
			agree = agree && (!fixed || n == r.axes[i])
		}
		if agree && !slices.ContainsFunc(fit, func(f reading) bool { return same(f, r) }) {
			fit = append(fit, r)
		}
	}
	return fit
}

// imageInput returns the input that may hold images: the only one that is
// computed with, of numbers that pixels can be. Others are refused by whoever
// wants images.
func imageInput(g *onnx.Graph) *onnx.Value {
	x := g.Index()
	var found *onnx.Value
	for _, v := range g.DataInputs() {
		if len(x.Consumers(v.Name)) == 0 {
			continue
		}
		if found != nil {
			return nil
		}
		found = v
	}
	if found == nil || found.Other || !found.Type.Float() && found.Type != onnx.Uint8 {
		return nil
	}
	return found
}

// takeImages makes an input that holds images in fewer axes one of four axes,
// from which a Reshape makes what the file's own nodes compute with. Where that
// cannot be, because what is said does not fit, it is an error; where nobody says
// anything, or the file says what does not fit it, n.Unread.
func (n *Normal) takeImages(im Images) error {
	v := imageInput(n.Model.Graph)
	if v == nil || n.Model.Opset() < 5 { // from which on a Reshape takes its target as an operand
		return nil
	}
	if !v.HasShape {
		if im.Shape.Known() {
			return fmt.Errorf("%s says %v, and input %q declares no shape, so that it is not known how it holds them; export it with one", im.Setting, im.Shape, v.Name)
		}
		return nil
	}
	shape, setting := im.Shape, im.Setting
	if !shape.Known() {
		said, err := preprocess.ImageShapeOf(n.Model)
		if err != nil {
			n.Unread = err
			return nil
		}
		shape, setting = said, "the metadata's "+preprocess.KeyImageShape
	}
	if shape.Known() {
		r, err := said(v, shape, setting)
		switch {
		case err != nil && im.Shape.Known():
			return err
		case err != nil:
			n.Unread = err
		default:
			n.read(v, shape, r, "")
		}
		return nil
	}
	if len(v.Shape) != 2 && len(v.Shape) != 3 {
		return nil
	}
	shape, r, ok := guess(v, im)
	if !ok {
		if numbers, fixed := product(v.Shape[1:]); !fixed || numbers >= leastSide*leastSide {
			n.Unread = untold(v, im)
		}
		return nil
	}
	n.read(v, shape, r, im.Setting)
	return nil
}

// said returns how an input holds images of the shape that a setting says.
func said(v *onnx.Value, s preprocess.ImageShape, setting string) (reading, error) {
	if n := len(v.Shape); n < 2 || n > 4 {
		return reading{}, fmt.Errorf("%s says %v, and input %q has shape %s; images have one to three axes behind the batch", setting, s, v.Name, axesOf(v.Shape))
	}
	axes := v.Shape[1:]
	fit := fits(axes, readings(s, len(axes)))
	// One channel may stand first or last, whatever order is said, unless the file
	// leaves that open.
	if i := slices.IndexFunc(fit, func(r reading) bool { return r.order == s.Order }); len(axes) == 3 && i >= 0 {
		fit = fit[i : i+1]
	}
	switch {
	case len(fit) == 0:
		numbers := ""
		if n, fixed := product(axes); fixed && n != s.H*s.W*s.C {
			numbers = fmt.Sprintf("; that is %d numbers for each image, and the input takes %d", s.H*s.W*s.C, n)
		}
		return reading{}, fmt.Errorf("%s says %v, which does not fit input %q of shape %s%s", setting, s, v.Name, axesOf(v.Shape), numbers)
	case len(fit) > 1 && fit[0].order != fit[len(fit)-1].order:
		return reading{}, fmt.Errorf("%s says %v, and input %q of shape %s may hold them channel by channel or pixel by pixel; say %v,%s or %v,%s",
			setting, s, v.Name, axesOf(v.Shape), s, preprocess.CHW, s, preprocess.HWC)
	case len(fit) > 1 && s.C > 1:
		return reading{}, fmt.Errorf("%s says %v, and input %q leaves its shape %s open, from which it cannot be told how the channels lie; export it with fixed sizes",
			setting, s, v.Name, axesOf(v.Shape))
	}
	return fit[0], nil
}

// guess returns what images an input of two or three axes holds where nobody says
// it and only one answer is likely.
func guess(v *onnx.Value, im Images) (s preprocess.ImageShape, r reading, ok bool) {
	axes := v.Shape[1:]
	numbers, fixed := product(axes)
	if !fixed {
		return s, r, false
	}
	var tried []preprocess.ImageShape
	if s := im.Likely; s.H > 0 && s.C > 0 {
		tried = append(tried, s)
	} else if s.H > 0 {
		tried = append(tried, preprocess.ImageShape{H: s.H, W: s.W, C: 1}, preprocess.ImageShape{H: s.H, W: s.W, C: 3})
	}
	if len(axes) == 2 {
		h, w := int(axes[0].Value), int(axes[1].Value)
		if min(h, w) >= leastSide && max(h, w) <= 4*min(h, w) {
			tried = append(tried, preprocess.ImageShape{H: h, W: w, C: 1})
		}
	}
	if side := squareRoot(numbers); im.Square && side >= leastSide {
		tried = append(tried, preprocess.ImageShape{H: side, W: side, C: 1})
	}
	for _, s := range tried {
		if fit := fits(axes, readings(s, len(axes))); len(fit) > 0 && fit[0].order == fit[len(fit)-1].order {
			return s, fit[0], true
		}
	}
	return s, r, false
}

// untold says what is missing to read an input as images.
func untold(v *onnx.Value, im Images) error {
	var forms []string
	suggest := func(h, w, c int) {
		s := preprocess.ImageShape{H: h, W: w, C: c}
		for _, r := range fits(v.Shape[1:], readings(s, len(v.Shape)-1)) {
			if s.C > 1 {
				s.Order = r.order
			}
			if !slices.Contains(forms, s.String()) {
				forms = append(forms, s.String())
			}
		}
	}
	if n, fixed := product(v.Shape[1:]); fixed {
		suggest(im.Likely.H, im.Likely.W, 1)
		suggest(im.Likely.H, im.Likely.W, 3)
		suggest(squareRoot(n), squareRoot(n), 1)
		if n%3 == 0 {
			suggest(squareRoot(n/3), squareRoot(n/3), 3)
		}
	}
	at, perhaps := "", ""
	if s := im.Likely; s.H > 0 && s.C > 0 {
		at = fmt.Sprintf(" (the data's are %v)", s)
	}
	if len(forms) > 0 {
		perhaps = ", perhaps " + strings.Join(forms, " or ")
	}
	return &untoldError{fmt.Sprintf("input %q has shape %s; an image input has four axes, and this one does not tell what images it holds%s; say it with %s %s%s",
		v.Name, axesOf(v.Shape), at, im.Setting, preprocess.ImageShapeForm, perhaps)}
}

type untoldError struct{ what string }

func (e *untoldError) Error() string        { return e.what }
func (e *untoldError) Is(target error) bool { return target == ErrImageShape }

// read makes v an input of images, which it holds as r. A guess is what
// somebody can overrule by the setting named.
func (n *Normal) read(v *onnx.Value, s preprocess.ImageShape, r reading, guessed string) {
	g := n.Model.Graph
	n.Order = r.order
	dims := []onnx.Dim{v.Shape[0], onnx.Fixed(int64(s.C)), onnx.Fixed(int64(s.H)), onnx.Fixed(int64(s.W))}
	if r.order == preprocess.HWC {
		dims = []onnx.Dim{v.Shape[0], onnx.Fixed(int64(s.H)), onnx.Fixed(int64(s.W)), onnx.Fixed(int64(s.C))}
	}
	if len(v.Shape) == 4 {
		v.Shape = dims
		return
	}
	how := "row by row"
	if s.Order = ""; s.C > 1 {
		s.Order = r.order
		how = map[preprocess.AxisOrder]string{preprocess.CHW: "channel by channel", preprocess.HWC: "pixel by pixel"}[r.order]
	}
	otherwise := ""
	if guessed != "" {
		otherwise = " (a guess; " + guessed + " says otherwise)"
	}
	n.note("input %q %s is read as images of %v, %s%s", v.Name, axesOf(v.Shape), s, how, otherwise)
	n.ImageShape = s

	names := g.Namer()
	image, target := names.Fresh("image"), names.Fresh(v.Name+"/shape")
	axes := append([]int64{0}, r.axes...) // 0 keeps the batch
	for i, in := range g.Inputs {
		if in == v {
			g.Inputs[i] = &onnx.Value{Name: image, Type: v.Type, Shape: dims, HasShape: true}
		}
	}
	g.Nodes = append([]*onnx.Node{
		{Name: target, Op: "Constant", Outputs: []string{target}, Attrs: []*onnx.Attr{onnx.AttrTensor("value", onnx.Int64s("", []int64{int64(len(axes))}, axes))}},
		{Name: names.Fresh(v.Name + "/from_image"), Op: "Reshape", Inputs: []string{image, target}, Outputs: []string{v.Name}},
	}, g.Nodes...)
}

// product is how many numbers an image has in the axes behind the batch, where
// all of them are fixed.
func product(axes []onnx.Dim) (int, bool) {
	all := 1
	for _, d := range axes {
		n, fixed := d.Fixed()
		if !fixed || n < 1 || n > math.MaxInt32/int64(all) {
			return 0, false
		}
		all *= int(n)
	}
	return all, true
}

// squareRoot is that of a square number, and 0 of others.
func squareRoot(n int) int {
	if r := int(math.Round(math.Sqrt(float64(n)))); r*r == n {
		return r
	}
	return 0
}

// axesOf writes a shape as [batch, 784].
func axesOf(shape []onnx.Dim) string {
	text := make([]string, len(shape))
	for i, d := range shape {
		text[i] = cmp.Or(d.Param, d.String())
	}
	return "[" + strings.Join(text, ", ") + "]"
}
