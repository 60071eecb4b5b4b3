package teachers

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
)

// source is a model file as read.
type source struct {
	path   string
	hash   string
	bytes  int64 // of the file and its external data
	file   *onnx.Model
	normal *rewrite.Normal
	model  *onnx.Model // the normal's
}

// Hash returns the SHA-256, in hexadecimal, that Spec.Hash holds: of the bytes
// of the file and then of the tensors it keeps in other files; see
// onnx.FileSum.
func Hash(path string) (string, error) {
	s, err := read(path, rewrite.Images{})
	if err != nil {
		return "", err
	}
	return s.hash, nil
}

func read(path string, images rewrite.Images) (*source, error) {
	model, sum, err := onnx.ReadFileSum(path)
	if err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	if err := onnx.Check(model); err != nil {
		return nil, fmt.Errorf("teachers: %s: %w", path, err)
	}
	normal, err := rewrite.Normalize(model, images)
	if err != nil {
		return nil, fmt.Errorf("teachers: %s: %w", path, err)
	}
	return &source{path: path, hash: hex.EncodeToString(sum.SHA256[:]), bytes: sum.Bytes, file: model, normal: normal, model: normal.Model}, nil
}

// at is the source as it is read for images of a height and width, which decide
// branches where the file leaves the size open.
func (s *source) at(in imageInput, size [2]int) *source {
	dims := in.layout.dims(max(1, in.n), size[0], size[1], in.c)
	shape := make([]onnx.Dim, len(dims))
	for i, n := range dims {
		shape[i] = onnx.Fixed(n)
	}
	if in.n == 0 {
		shape[0] = onnx.Symbol("batch")
	}
	normal := s.normal.At(map[string][]onnx.Dim{in.name: shape})
	if normal == s.normal {
		return s
	}
	sized := *s
	sized.normal, sized.model = normal, normal.Model
	return &sized
}

func (s *source) name() string { return filepath.Base(s.path) }

// imageSetting is the name by which messages ask for the shape of images.
const imageSetting = "Options.ImageShape"

// layout is that of the image input where it was said, or else the one wanted.
func (s *source) layout(want Layout) (Layout, error) {
	said := map[preprocess.AxisOrder]Layout{preprocess.CHW: NCHW, preprocess.HWC: NHWC}[s.normal.Order]
	if said == "" {
		return want, nil
	}
	shape := s.normal.ImageShape
	if want != "" && !strings.EqualFold(string(want), string(said)) && shape.C != 1 { // in one channel both are the same
		return "", fmt.Errorf("teachers: the images of %s are in the order %s, and Options.Layout says %s; leave one of them out", s.name(), s.normal.Order, want)
	}
	return said, nil
}

// imageInput is the model's one input.
type imageInput struct {
	name    string
	kind    onnx.DataType
	layout  Layout
	n, h, w int // 0 where the file leaves the axis open
	c       int // 1 or 3
}

// findImage decides how the model wants its image. want settles the layout
// where the graph does not; "" leaves it to the graph.
func findImage(g *onnx.Graph, x *onnx.Index, want Layout) (imageInput, error) {
	var used []*onnx.Value
	for _, v := range g.DataInputs() {
		if len(x.Consumers(v.Name)) > 0 {
			used = append(used, v)
		}
	}
	if len(used) != 1 {
		names := make([]string, len(used))
		for i, v := range used {
			names[i] = v.Name
		}
		if len(used) == 0 {
			return imageInput{}, fmt.Errorf("teachers: no node of the model uses an input; a classifier teacher has exactly one image input")
		}
		return imageInput{}, fmt.Errorf("teachers: model has inputs %s; a classifier teacher has exactly one image input", quoted(names))
	}
	v := used[0]
	in := imageInput{name: v.Name, kind: v.Type}
	switch v.Type {
	case onnx.Float32, onnx.Uint8, onnx.Float16, onnx.Float64:
	default:
		what := v.Type.String()
		if v.Other {
			what = "a sequence, map or optional"
		}
		return in, fmt.Errorf("teachers: input %q is %s; an image input is a tensor of float32, float16, float64 or uint8", v.Name, what)
	}
	if v.HasShape && len(v.Shape) != 4 {
		return in, fmt.Errorf("teachers: input %q has shape %s; an image input has four axes, [batch, channels, height, width] or [batch, height, width, channels]", v.Name, Shape(v.Shape))
	}
	dims := [4]int{}
	for i, d := range v.Shape {
		// Some exporters write 0 for a batch they leave open.
		if n, ok := d.Fixed(); ok && (i > 0 || n > 0) {
			if n < 1 || n > 1<<20 {
				return in, fmt.Errorf("teachers: input %q has shape %s, which holds no images", v.Name, Shape(v.Shape))
			}
			dims[i] = int(n)
		}
	}
	hint, hintChannels := layoutHint(x, v.Name)
	channels := func(d int) bool { return d == 1 || d == 3 }
	first, last := channels(dims[1]), channels(dims[3])
	switch upper := Layout(strings.ToUpper(string(want))); {
	case upper == NCHW || upper == NHWC:
		in.layout = upper
	case want != "":
		return in, fmt.Errorf("teachers: no layout is called %q; it is one of %s, %s", want, NCHW, NHWC)
	case first != last:
		in.layout = NHWC
		if first {
			in.layout = NCHW
		}
	case hint != "":
		in.layout = hint
	default:
		return in, fmt.Errorf("teachers: input %q has shape %s, from which the channel axis cannot be told: it should be 1 or 3 at the second or the last axis; say which with Options.Layout %s or %s",
			v.Name, Shape(v.Shape), NCHW, NHWC)
	}
	in.n = dims[0]
	if in.layout == NCHW {
		in.c, in.h, in.w = dims[1], dims[2], dims[3]
	} else {
		in.h, in.w, in.c = dims[1], dims[2], dims[3]
	}
	if in.c == 0 {
		in.c = hintChannels
	}
	if in.c == 0 {
		in.c = 3
	}
	if !channels(in.c) {
		return in, fmt.Errorf("teachers: input %q has shape %s, read as %s with %d channels; images have 1 or 3", v.Name, Shape(v.Shape), in.layout, in.c)
	}
	return in, nil
}

// layoutHint follows the image to the first operator that fixes the meaning of
// its axes. Channels are 0 where that operator does not tell.
func layoutHint(x *onnx.Index, image string) (layout Layout, channels int) {
	seen := map[string]bool{}
	queue := []string{image}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		if seen[v] {
			continue
		}
		seen[v] = true
		for _, n := range x.Consumers(v) {
			if len(n.Inputs) == 0 || len(n.Outputs) == 0 {
				continue
			}
			switch {
			case n.Op == "Transpose":
				switch p := n.Ints("perm"); {
				case permutes(p, nhwcToNCHW):
					return NHWC, 0
				case permutes(p, nchwToNHWC):
					return NCHW, 0
				}
			case n.Op == "Conv" && n.Inputs[0] == v:
				if len(n.Inputs) > 1 {
					if w := x.Constant(n.Inputs[1]); w != nil && len(w.Dims) == 4 {
						return NCHW, int(w.Dims[1] * n.Int("group", 1))
					}
				}
				return NCHW, 0
			case spatialOps[n.Op] && n.Inputs[0] == v:
				return NCHW, 0
			case samePlaceOps[n.Op]:
				queue = append(queue, n.Outputs[0])
			}
		}
	}
	return "", 0
}

// findOutput chooses the output that holds the class scores: the named one, or
// the only one that can.
func findOutput(g *onnx.Graph, want string) (*onnx.Value, error) {
	var names []string
	var fits []*onnx.Value
	var why error
	for _, v := range g.Outputs {
		names = append(names, v.Name)
		if want != "" && v.Name != want {
			continue
		}
		if err := classScores(v); err != nil {
			why = err
			continue
		}
		fits = append(fits, v)
	}
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) > 1:
		return nil, fmt.Errorf("teachers: model has outputs %s; say which one holds the class scores with Options.Output", quoted(names))
	case why != nil:
		return nil, why
	case want != "":
		return nil, fmt.Errorf("teachers: no output is called %q; the model has %s", want, quoted(names))
	}
	return nil, fmt.Errorf("teachers: model has no outputs")
}

// classScores says why an output, as declared, cannot hold one score for each
// class and image.
func classScores(v *onnx.Value) error {
	if v.Other {
		return fmt.Errorf("teachers: output %q is a sequence, map or optional; a classifier teacher gives a tensor [batch, classes]", v.Name)
	}
	switch v.Type {
	case onnx.Undefined, onnx.Float32, onnx.Float16, onnx.Float64, onnx.BFloat16:
	default:
		return fmt.Errorf("teachers: output %q holds %v; a classifier teacher gives real numbers, [batch, classes]", v.Name, v.Type)
	}
	if v.HasShape {
		dims := make([]int64, len(v.Shape))
		for i, d := range v.Shape {
			dims[i] = -1
			if n, ok := d.Fixed(); ok {
				dims[i] = n
			}
		}
		if !scores(dims) {
			return fmt.Errorf("teachers: output %q has shape %s; a classifier teacher gives [batch, classes]", v.Name, Shape(v.Shape))
		}
	}
	return nil
}

// scores reports whether a shape, -1 where unknown, is [batch, classes], with
// axes of length 1 allowed after or between as convolutional classifiers leave
// them.
func scores(dims []int64) bool {
	if len(dims) < 2 {
		return false
	}
	long, unknown := 0, 0
	for _, d := range dims[1:] {
		if d > 1 {
			long++
		}
		if d < 0 {
			unknown++
		}
	}
	return long == 1 || (long == 0 && unknown > 0)
}

// Shape is a declared shape. It prints and marshals as [batch, 3, 32, 32]: a
// number for a fixed axis, its name for a symbolic one, and ? or null for an
// unknown one.
type Shape []onnx.Dim

// String implements fmt.Stringer.
func (s Shape) String() string {
	text := make([]string, len(s))
	for i, d := range s {
		switch n, ok := d.Fixed(); {
		case ok:
			text[i] = fmt.Sprint(n)
		case d.Param != "":
			text[i] = d.Param
		default:
			text[i] = "?"
		}
	}
	return "[" + strings.Join(text, ", ") + "]"
}
