package student

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// importSoftmax and importLogSoftmax.
var (
	importSoftmax    = softmax(op.Softmax)
	importLogSoftmax = softmax(op.LogSoftmaxAxis)
)

// softmax makes the translator of a softmax f along one of Gorgonia's axes.
// From opset 13 on ONNX's is along one axis too, the last unless it is said.
// Below, it takes all axes from one on, the second unless it is said, together.
func softmax(f func(x *gorgonia.Node, axis int) (*gorgonia.Node, error)) translator {
	return func(im *importing, c *importer.Call) ([]value, error) {
		x := im.in(c, 0)
		if x == nil {
			return nil, im.b.err
		}
		shape := inFile(x.Shape())
		def := int64(-1)
		if im.Opset < 13 {
			def = min(1, int64(len(shape))-1)
		}
		axis, err := im.axis(c, c.Node.Int("axis", def), len(shape))
		if err != nil {
			return nil, err
		}
		if im.Opset < 13 {
			var several []int // axes of more than one element
			for a := axis; a < len(shape); a++ {
				if shape[a] > 1 {
					several = append(several, a)
				}
			}
			if len(several) > 1 {
				rows, columns := 1, 1
				for a, d := range shape {
					if a < axis {
						rows *= d
					} else {
						columns *= d
					}
				}
				flat := im.reshape(x, rows, columns)
				if flat == nil {
					return nil, im.b.err
				}
				return im.give(im.reshape(im.op(f(flat, 1)), shape...), value{})
			}
			if len(several) == 1 {
				axis = several[0]
			}
		}
		return im.one(f(x, nodeAxis(len(shape), axis)))
	}
}

// learnedOver returns v, which has a number for each element along some axes of
// a value of the given shape and 1 in place of the others, dims, as a node of
// that shape. Constants become parameters of the kind.
func (im *importing) learnedOver(v value, kind Kind, dims, shape []int) *gorgonia.Node {
	var n *gorgonia.Node
	if v.constant != nil {
		v.constant = withDims(v.constant, dims)
		n = im.parameter(v, kind)
	} else {
		n = im.reshape(v.node, dims...)
	}
	if n == nil {
		return nil
	}
	return im.op(op.BroadcastTo(n, inGorgonia(shape)...))
}

// affine is what follows a normalisation: y·scale + shift, operands 1 and 2 of
// c, of which shift may be left out. Both have a number for each element along
// the axes of the file from first to last.
func (im *importing) affine(c *importer.Call, y *gorgonia.Node, first, last int) ([]value, error) {
	if y == nil {
		return nil, im.b.err
	}
	shape := inFile(y.Shape())
	dims := slices.Repeat([]int{1}, len(shape))
	copy(dims[first:last+1], shape[first:last+1])
	elements := 1
	for _, d := range dims {
		elements *= d
	}
	for i, kind := range []Kind{Scale, Shift} {
		v, ok := im.operand(c, i+1)
		if !ok {
			if kind == Scale {
				return nil, im.unsupported(c, "it has no scale")
			}
			continue
		}
		n := 1
		for _, d := range im.fileShape(v) {
			n *= d
		}
		if n != elements {
			return nil, im.unsupported(c, fmt.Sprintf("%v of shape %v for axes %v of shape %v", kind, im.fileShape(v), shape[first:last+1], shape))
		}
		if kind == Shift && nodeAxis(len(shape), first) == len(shape)-1 && first == last {
			// Along Gorgonia's last axis a shift is a bias.
			w := v
			if w.constant != nil {
				w.constant = withDims(w.constant, []int{elements})
			}
			b := im.parameter(w, kind)
			if w.node != nil {
				b = im.reshape(w.node, elements)
			}
			if b == nil {
				return nil, im.b.err
			}
			y = im.op(op.AddBias(y, b))
			continue
		}
		p := im.learnedOver(v, kind, dims, shape)
		if p == nil {
			return nil, im.b.err
		}
		if kind == Scale {
			y = im.op(op.Mul(y, p))
		} else {
			y = im.op(op.Add(y, p))
		}
	}
	return im.give(y, value{})
}

// importInstanceNormalization: each channel of each sample by itself.
func importInstanceNormalization(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	rank := x.Dims()
	if rank < 3 {
		return nil, im.unsupported(c, fmt.Sprintf("its input has shape %v; it has at least 3 axes", x.Shape()))
	}
	var axes []int
	for a := 2; a < rank; a++ {
		axes = append(axes, nodeAxis(rank, a))
	}
	slices.Sort(axes)
	y := im.op(op.MomentNorm(x, axes, float(c, "epsilon", Epsilon)))
	return im.affine(c, y, 1, 1)
}

// importLayerNormalization: over all axes from one on. Mean and inverse
// deviation, which it gives beside, are for training.
func importLayerNormalization(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	for _, name := range c.Outputs[min(1, len(c.Outputs)):] {
		if name != "" && im.readers[name] > 0 {
			return nil, im.unsupported(c, fmt.Sprintf("its output %q, a statistic, is used", name))
		}
	}
	rank := x.Dims()
	first, err := im.axis(c, c.Node.Int("axis", -1), rank)
	if err != nil {
		return nil, err
	}
	return im.affine(c, im.layerNorm(x, first, float(c, "epsilon", Epsilon)), first, rank-1)
}

// layerNorm normalises x along the file's axes from first on.
func (im *importing) layerNorm(x *gorgonia.Node, first int, eps float64) *gorgonia.Node {
	if x.Dims() == 4 {
		return im.op(op.MomentNorm(x, im.axesFrom(x, first), eps))
	}
	return im.op(op.LayerNorm(x, first, eps))
}

// importGroupNormalization: scale and shift are for groups in opset 18 and for
// channels from 21 on.
func importGroupNormalization(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	shape := inFile(x.Shape())
	groups := c.Node.Int("num_groups", 0)
	if len(shape) < 2 || groups < 1 || int64(shape[1])%groups != 0 {
		return nil, im.unsupported(c, fmt.Sprintf("num_groups %d for an input of shape %v", groups, shape))
	}
	g, area := int(groups), 1
	for _, d := range shape[2:] {
		area *= d
	}
	eps := float(c, "epsilon", Epsilon)
	grouped := im.reshape(x, shape[0], g, shape[1]/g*area)
	if grouped == nil {
		return nil, im.b.err
	}
	y := im.op(op.MomentNorm(grouped, []int{2}, eps))
	if im.Opset >= 21 {
		return im.affine(c, im.reshape(y, shape...), 1, 1)
	}
	out, err := im.affine(c, y, 1, 1)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return im.give(im.reshape(out[0].node, shape...), value{})
}

// importMeanVarianceNormalization adds 1e-9 to the deviation, which to a
// variance is the square of it.
func importMeanVarianceNormalization(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	list := []int64{0, 2, 3}
	if a := c.Node.Attr("axes"); a != nil {
		list = a.Ints
	}
	axes, err := im.axes(c, list, x.Dims())
	if err != nil {
		return nil, err
	}
	for i, a := range axes {
		axes[i] = nodeAxis(x.Dims(), a)
	}
	slices.Sort(axes)
	return im.one(op.MomentNorm(x, axes, 1e-18))
}

// maxNeighbours bounds the table of which channels LRN sums: channels times size.
const maxNeighbours = 1 << 20

// importLRN: x / (bias + alpha/size · Σ x²)^beta with the sum over size channels
// around each (Krizhevsky, Sutskever and Hinton 2012, section 3.3).
func importLRN(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	shape := inFile(x.Shape())
	size := c.Node.Int("size", 0)
	if len(shape) < 2 || size < 1 || size > maxImage {
		return nil, im.unsupported(c, fmt.Sprintf("size %d for an input of shape %v", size, shape))
	}
	channels, before := shape[1], int(size-1)/2
	if channels > maxNeighbours/min(channels, int(size)) {
		return nil, im.unsupported(c, fmt.Sprintf("size %d over %d channels; at most %d neighbours are summed", size, channels, maxNeighbours))
	}
	around := func(i int) []op.Tap {
		var taps []op.Tap
		for k := max(i-before, 0); k <= min(i-before+int(size)-1, channels-1); k++ {
			taps = append(taps, op.Tap{Index: k, Weight: 1})
		}
		return taps
	}
	s := im.op(op.Interpolate(im.op(op.Square(x)), nodeAxis(len(shape), 1), channels, around))
	s = im.op(op.AddScalar(im.op(op.Scale(s, float(c, "alpha", 1e-4)/float64(size))), float(c, "bias", 1)))
	return im.one(op.Mul(x, im.op(op.Pow(s, -float(c, "beta", 0.75)))))
}
