package student

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// window is how a kernel moves over an image, from the attributes that
// convolutions and pools share. A signal of one axis is an image of one row.
type window struct {
	kernel, stride, dilation [2]int
	pad                      [4]int // top, left, bottom, right
}

// window reads the attributes of c for an input of the given rows and columns;
// spatial, 1 or 2, is the number of axes that the file has of them.
func (im *importing) window(c *importer.Call, spatial int, kernel, size [2]int) (w window, err error) {
	w = window{kernel: kernel, stride: [2]int{1, 1}, dilation: [2]int{1, 1}}
	// read fills in the last axes of an attribute with a number for each.
	read := func(name string, least, most int64, at ...*int) error {
		v := c.Node.Ints(name)
		if len(v) == 0 {
			return nil
		}
		if len(v)*2 != len(at)*spatial {
			return im.unsupported(c, fmt.Sprintf("%s %v for %d axes", name, v, spatial))
		}
		if spatial == 1 { // the columns of one or two sides
			at = slices.DeleteFunc(slices.Clone(at), func(p *int) bool { return p == at[0] || len(at) == 4 && p == at[2] })
		}
		for i, x := range v {
			if x < least || x > most {
				return im.unsupported(c, fmt.Sprintf("%s %v; each is from %d to %d", name, v, least, most))
			}
			*at[i] = int(x)
		}
		return nil
	}
	if err := read("kernel_shape", 1, maxImage, &w.kernel[0], &w.kernel[1]); err != nil {
		return w, err
	}
	if kernel != [2]int{} && w.kernel != kernel {
		return w, im.unsupported(c, fmt.Sprintf("kernel_shape %v with weights for %v", c.Node.Ints("kernel_shape"), kernel))
	}
	if w.kernel[1] == 0 {
		return w, im.unsupported(c, "it has no kernel_shape")
	}
	w.kernel[0] = max(w.kernel[0], 1)
	if err := read("strides", 1, maxImage, &w.stride[0], &w.stride[1]); err != nil {
		return w, err
	}
	if err := read("dilations", 1, maxImage, &w.dilation[0], &w.dilation[1]); err != nil {
		return w, err
	}
	switch auto := c.Node.Str("auto_pad", "NOTSET"); auto {
	case "NOTSET", "":
		err = read("pads", 0, maxImage, &w.pad[0], &w.pad[1], &w.pad[2], &w.pad[3])
	case "VALID":
	case "SAME_UPPER", "SAME_LOWER":
		for i := range 2 {
			out := (size[i] + w.stride[i] - 1) / w.stride[i]
			total := max((out-1)*w.stride[i]+(w.kernel[i]-1)*w.dilation[i]+1-size[i], 0)
			w.pad[i], w.pad[i+2] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				w.pad[i], w.pad[i+2] = w.pad[i+2], w.pad[i]
			}
		}
	default:
		err = im.unsupported(c, fmt.Sprintf("auto_pad %q; it is one of NOTSET, SAME_UPPER, SAME_LOWER, VALID", auto))
	}
	return w, err
}

// image returns operand 0 of c as an image [N, H, W, C] and how many spatial
// axes it has in the file. A signal [N, C, L] becomes an image of one row.
func (im *importing) image(c *importer.Call) (x *gorgonia.Node, spatial int, err error) {
	if x = im.in(c, 0); x == nil {
		return nil, 0, im.b.err
	}
	s := inFile(x.Shape())
	switch len(s) {
	case 4:
		return x, 2, nil
	case 3:
		return im.reshape(x, s[0], s[1], 1, s[2]), 1, im.b.err
	}
	return nil, 0, im.unsupported(c, fmt.Sprintf("its input has shape %v; signals [N,C,L] and images [N,C,H,W] are supported", s))
}

// fromImage is the inverse of image for a result.
func (im *importing) fromImage(y *gorgonia.Node, spatial int) ([]value, error) {
	if y != nil && spatial == 1 {
		s := inFile(y.Shape())
		y = im.reshape(y, s[0], s[1], s[3])
	}
	if im.b.err != nil {
		return nil, im.b.err
	}
	return []value{{node: y}}, nil
}

// kernelOf returns operand 1 of c, weights of the given rank, as rank 4: weights
// of signals get one row.
func (im *importing) kernelOf(c *importer.Call, spatial int) (value, error) {
	v, ok := im.operand(c, 1)
	if !ok {
		return v, im.unsupported(c, "it has no weights")
	}
	d := im.fileShape(v)
	if len(d) != spatial+2 {
		return v, im.unsupported(c, fmt.Sprintf("weights of shape %v for an input with %d spatial axes", d, spatial))
	}
	if spatial == 2 {
		return v, nil
	}
	d = []int{d[0], d[1], 1, d[2]}
	if v.constant != nil {
		v.constant = withDims(v.constant, d)
		return v, nil
	}
	v.node = im.reshape(v.node, d...)
	return v, im.b.err
}

// importConv: Y = X ∗ W + B, opsets 1 to 21 alike.
func importConv(im *importing, c *importer.Call) ([]value, error) {
	x, spatial, err := im.image(c)
	if err != nil {
		return nil, err
	}
	v, err := im.kernelOf(c, spatial)
	if err != nil {
		return nil, err
	}
	d := im.fileShape(v)
	win, err := im.window(c, spatial, [2]int{d[2], d[3]}, [2]int(x.Shape()[1:3]))
	if err != nil {
		return nil, err
	}
	cfg := op.ConvConfig{Stride: win.stride, Dilation: win.dilation, Pad: win.pad, Groups: int(min(max(c.Node.Int("group", 1), 0), math.MaxInt32))}
	if cfg.Groups < 1 {
		return nil, im.unsupported(c, fmt.Sprintf("group %d; it is at least 1", c.Node.Int("group", 1)))
	}
	out := d[0]
	var w *gorgonia.Node
	if fresh := im.freshHead(); fresh > 0 {
		out = fresh
		w = im.b.parameter(im.nameFor(v, Weight), Weight, []int{out, d[2], d[3], d[1]}, nil)
	} else {
		w = im.parameter(v, Weight)
	}
	if w == nil {
		return nil, im.b.err
	}
	y := im.op(op.Conv2D(x, w, cfg))
	if p := im.b.nodes[w]; p != nil {
		im.b.record(y, layer{kind: convolution, weight: p})
	}
	if y == nil {
		return nil, im.b.err
	}
	b, biased := im.operand(c, 2)
	if biased && im.unfold[im.at] && y.Shape()[1]*y.Shape()[2] > 1 {
		return im.fromImage(im.unfolded(y, b, out), spatial)
	}
	if biased {
		y = im.bias(c, y, b, out)
	}
	return im.fromImage(y, spatial)
}

// freshHead returns the number of classes that the call under way gets as a
// replaced last layer, else 0.
func (im *importing) freshHead() int {
	if im.replace && im.at == im.head {
		return im.b.Classes()
	}
	return 0
}

// bias adds a layer's bias over the last axis of y, which has n elements.
func (im *importing) bias(c *importer.Call, y *gorgonia.Node, v value, n int) *gorgonia.Node {
	if y == nil {
		return nil
	}
	var p *gorgonia.Node
	switch d := im.fileShape(v); {
	case im.freshHead() > 0:
		p = im.b.parameter(im.nameFor(v, Bias), Bias, []int{n}, nil)
	case len(d) == 1 && d[0] == n:
		p = im.parameter(v, Bias)
	default:
		im.b.Fail(im.unsupported(c, fmt.Sprintf("a bias of shape %v for %d outputs", d, n)))
	}
	return im.withBias(y, p)
}

// withBias adds a bias [n], which a layer before it takes up in an export.
func (im *importing) withBias(y, p *gorgonia.Node) *gorgonia.Node {
	if y == nil || p == nil {
		return nil
	}
	z := im.op(op.AddBias(y, p))
	if q := im.b.nodes[p]; q != nil {
		im.b.record(z, layer{kind: bias, bias: q})
	}
	return z
}

// unfolded puts a normalisation behind a convolution y, of which v is the bias:
// with mean 0 and variance 1, a scale of √(1+ε) and the bias as its shift it is
// what the bias alone was.
func (im *importing) unfolded(y *gorgonia.Node, v value, n int) *gorgonia.Node {
	base := im.unique(im.label() + "/bn")
	if im.b.create {
		im.unfolds++
	}
	constant := func(x float32) func() ([]float32, error) {
		return func() ([]float32, error) { return slices.Repeat([]float32{x}, n), nil }
	}
	scale := im.b.parameter(base+"/"+Scale.String(), Scale, []int{n}, im.unlessRandom(constant(float32(math.Sqrt(1+Epsilon)))))
	shift := im.b.parameter(base+"/"+Shift.String(), Shift, []int{n}, im.unlessRandom(func() ([]float32, error) { return float32sOf(v.constant) }))
	running := im.b.parameter(base+"/"+Running.String(), Running, []int{2, n}, nil)
	return im.b.normalise(base, y, scale, shift, running, Epsilon, Momentum)
}

// unlessRandom drops a parameter's first value where parameters are drawn anew.
func (im *importing) unlessRandom(f func() ([]float32, error)) func() ([]float32, error) {
	if im.random {
		return nil
	}
	return f
}

// importConvTranspose: the transposed convolution, opsets 1 to 11, its padding
// from output_shape where that is given.
func importConvTranspose(im *importing, c *importer.Call) ([]value, error) {
	x, spatial, err := im.image(c)
	if err != nil {
		return nil, err
	}
	v, err := im.kernelOf(c, spatial)
	if err != nil {
		return nil, err
	}
	d := im.fileShape(v)
	win, err := im.window(c, spatial, [2]int{d[2], d[3]}, [2]int{})
	if err != nil {
		return nil, err
	}
	groups := c.Node.Int("group", 1)
	if groups < 1 || groups > maxImage {
		return nil, im.unsupported(c, fmt.Sprintf("group %d; it is at least 1", groups))
	}
	cfg := op.ConvTransposeConfig{Stride: win.stride, Dilation: win.dilation, Pad: win.pad, Groups: int(groups)}
	extra, want := c.Node.Ints("output_padding"), c.Node.Ints("output_shape")
	if len(extra) != 0 && len(extra) != spatial || len(want) != 0 && len(want) < spatial {
		return nil, im.unsupported(c, fmt.Sprintf("output_padding %v and output_shape %v for %d axes", extra, want, spatial))
	}
	auto := c.Node.Str("auto_pad", "NOTSET")
	for i := range spatial {
		at := 2 - spatial + i
		if len(extra) > 0 {
			if extra[i] < 0 || extra[i] > maxImage {
				return nil, im.unsupported(c, fmt.Sprintf("output_padding %v", extra))
			}
			cfg.OutputPadding[at] = int(extra[i])
		}
		same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
		if len(want) == 0 && !same {
			continue
		}
		// The padding is what makes the result as large as it is to be.
		size := x.Shape()[1+at]
		length := size * win.stride[at]
		if len(want) > 0 {
			w := want[len(want)-spatial+i]
			if w < 1 || w > maxImage {
				return nil, im.unsupported(c, fmt.Sprintf("output_shape %v", want))
			}
			length = int(w)
		}
		total := win.stride[at]*(size-1) + cfg.OutputPadding[at] + (win.kernel[at]-1)*win.dilation[at] + 1 - length
		if total < 0 {
			cfg.OutputPadding[at] -= total
			total = 0
		}
		cfg.Pad[at], cfg.Pad[at+2] = total-total/2, total/2
		if auto == "SAME_UPPER" {
			cfg.Pad[at], cfg.Pad[at+2] = total/2, total-total/2
		}
	}
	y := im.op(op.ConvTranspose(x, im.parameter(v, Weight), cfg))
	if b, ok := im.operand(c, 2); ok {
		y = im.bias(c, y, b, d[1]*cfg.Groups)
	}
	return im.fromImage(y, spatial)
}

// importBatchNormalization: opsets 7 to 15 by running statistics. The file's
// momentum is the weight of the old statistics.
func importBatchNormalization(im *importing, c *importer.Call) ([]value, error) {
	if c.Node.Int("training_mode", 0) != 0 {
		return nil, im.unsupported(c, "training_mode is set, so that it normalises by the batch; export the model for inference")
	}
	if c.Node.Int("spatial", 1) != 1 {
		return nil, im.unsupported(c, "spatial is 0, statistics for each pixel")
	}
	for i, o := range c.Outputs {
		if i > 0 && o != "" && im.readers[o] > 0 {
			return nil, im.unsupported(c, fmt.Sprintf("output %d, %q, is used; only the first is computed at inference", i, o))
		}
	}
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	spatial := 0
	if x.Dims() != 2 {
		var err error
		if x, spatial, err = im.image(c); err != nil {
			return nil, err
		}
	}
	n := x.Shape()[x.Dims()-1]
	var v [4]value // scale, shift, mean, variance
	for i := range v {
		var ok bool
		if v[i], ok = im.operand(c, i+1); !ok || v[i].constant == nil {
			return nil, im.unsupported(c, fmt.Sprintf("operand %d must be constant", i+1))
		}
		if d := im.fileShape(v[i]); !slices.Equal(d, []int{n}) {
			return nil, im.unsupported(c, fmt.Sprintf("operand %d of shape %v for %d channels", i+1, d, n))
		}
	}
	epsilon, momentum := float64(c.Node.Float("epsilon", 1e-5)), float64(c.Node.Float("momentum", 0.9))
	if !(epsilon > 0) || math.IsInf(epsilon, 1) || !(momentum >= 0 && momentum <= 1) {
		return nil, im.unsupported(c, fmt.Sprintf("epsilon %v and momentum %v; the first is above 0, the second from 0 to 1", epsilon, momentum))
	}
	scale, shift := im.parameter(v[0], Scale), im.parameter(v[1], Shift)
	running := im.running(v[2], v[3], n)
	if running == nil || scale == nil || shift == nil {
		return nil, im.b.err
	}
	return im.fromImage(im.b.normalise(im.label(), x, scale, shift, running, epsilon, roundMomentum(1-momentum)), spatial)
}

// roundMomentum undoes what float32 does to 1-0.9, which is meant to be 0.1.
func roundMomentum(m float64) float64 { return math.Round(m*1e6) / 1e6 }

// running returns the running statistics [2, n] of two constants.
func (im *importing) running(mean, variance value, n int) *gorgonia.Node {
	key := "running " + mean.name + " " + variance.name
	if made := im.made[key]; made != nil || im.b.err != nil {
		return made
	}
	// "bn1.running_mean" is one half of "bn1/running".
	name := im.label() + "/" + Running.String()
	if r := readable(mean.name); r != "" {
		if i := lastSlash(r); i > 0 {
			name = r[:i] + "/" + Running.String()
		}
	}
	made := im.b.parameter(im.unique(name), Running, []int{2, n}, im.unlessRandom(func() ([]float32, error) {
		a, err := float32sOf(mean.constant)
		if err != nil {
			return nil, err
		}
		b, err := float32sOf(variance.constant)
		if err != nil {
			return nil, err
		}
		return slices.Concat(a, b), nil
	}))
	im.made[key] = made
	return made
}

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return i
		}
	}
	return -1
}

// importGemm: Y = α·A'·B' + β·C, where A and B may be transposed. With a
// constant B it is a dense layer.
func importGemm(im *importing, c *importer.Call) ([]value, error) {
	a, okA := im.operand(c, 0)
	b, okB := im.operand(c, 1)
	if !okA || !okB || im.rank(a) != 2 || im.rank(b) != 2 {
		return nil, im.unsupported(c, "it wants two matrices")
	}
	alpha, beta := float64(c.Node.Float("alpha", 1)), float64(c.Node.Float("beta", 1))
	x := im.node(im.asWeight(a))
	if c.Node.Int("transA", 0) != 0 {
		x = im.transpose(x, 1, 0)
	}
	var w *gorgonia.Node // [out, in]
	d := im.fileShape(b)
	if c.Node.Int("transB", 0) != 0 {
		d[0], d[1] = d[1], d[0]
	}
	fresh := im.freshHead()
	switch {
	case fresh > 0:
		w = im.b.parameter(im.nameFor(b, Weight), Weight, []int{fresh, d[0]}, nil)
		d[1] = fresh
	case c.Node.Int("transB", 0) != 0:
		w = im.parameter(b, Weight)
	case b.constant != nil:
		w = im.flippedParameter(b, Weight)
	default:
		w = im.transpose(b.node, 1, 0)
	}
	y := im.dense(x, w)
	if alpha != 1 {
		y = im.op(op.Scale(y, alpha))
	}
	v, ok := im.operand(c, 2)
	if !ok || y == nil {
		return im.give(y, value{})
	}
	v = im.asWeight(v)
	if s := im.fileShape(v); beta == 1 && (fresh > 0 || slices.Equal(s, []int{d[1]}) && v.constant != nil) {
		return im.give(im.bias(c, y, v, d[1]), value{})
	}
	if beta == 1 {
		if z, ok := im.addBias(y, v); ok {
			return im.give(z, value{})
		}
	}
	shape := im.fileShape(value{node: y})
	if whole, err := broadcastShape(im.fileShape(v), shape); err != nil || !slices.Equal(whole, shape) {
		return nil, im.unsupported(c, fmt.Sprintf("C of shape %v for a result of %v", im.fileShape(v), shape))
	}
	z := im.broadcastTo(v, shape)
	if beta != 1 {
		z = im.op(op.Scale(z, beta))
	}
	return im.one(op.Add(y, z))
}

// dense multiplies x [..., in], in the file's axes, by weights w [out, in]. The
// rows of more than two axes are taken together, which the exporter undoes: the
// file holds one MatMul.
func (im *importing) dense(x, w *gorgonia.Node) *gorgonia.Node {
	if x == nil || w == nil || im.b.err != nil {
		return nil
	}
	rank, shape := x.Dims(), inFile(x.Shape())
	if rank > 2 {
		x = im.toFileOrder(x)
		n := 1
		for _, d := range shape[:rank-1] {
			n *= d
		}
		x = im.b.record(im.op(op.Reshape(x, n, shape[rank-1])), layer{kind: rows})
	}
	y := im.b.record(im.op(op.Dense(x, w)), layer{kind: dense, weight: im.b.nodes[w]})
	if rank > 2 && y != nil {
		y = im.unrows(y, shape)
	}
	return y
}

// unrows gives the rows of a dense layer the axes of its operand, of the given
// shape in the file, back.
func (im *importing) unrows(y *gorgonia.Node, shape []int) *gorgonia.Node {
	out := append(slices.Clone(shape[:len(shape)-1]), y.Shape()[1])
	z := im.op(op.Reshape(y, out...))
	if z == y { // one row each
		return z
	}
	return im.fromFileOrder(im.b.record(z, layer{kind: unrows}))
}

// importMatMul: NumPy's matrix product. With constant weights on its right it is
// a dense layer over the last axis.
func importMatMul(im *importing, c *importer.Call) ([]value, error) {
	a, okA := im.operand(c, 0)
	b, okB := im.operand(c, 1)
	if !okA || !okB {
		return nil, im.unsupported(c, "it wants two operands of at least one axis")
	}
	return im.product(c, a, b)
}

// product is the matrix product of two operands of c.
func (im *importing) product(c *importer.Call, a, b value) ([]value, error) {
	ra, rb := im.rank(a), im.rank(b)
	if ra < 1 || rb < 1 {
		return nil, im.unsupported(c, "it wants two operands of at least one axis")
	}
	if b.constant != nil && rb == 2 && ra >= 2 {
		x, d := im.node(a), im.fileShape(b)
		var w *gorgonia.Node
		if fresh := im.freshHead(); fresh > 0 {
			w = im.b.parameter(im.nameFor(b, Weight), Weight, []int{fresh, d[0]}, nil)
			y := im.dense(x, w)
			if im.program.bias == "" {
				return im.give(y, value{})
			}
			p := im.b.parameter(im.nameFor(value{name: im.program.bias}, Bias), Bias, []int{fresh}, nil)
			return im.give(im.withBias(y, p), value{})
		}
		return im.give(im.dense(x, im.flippedParameter(b, Weight)), value{})
	}
	a, b = im.matrix(a), im.matrix(b)
	sa, sb := im.fileShape(a), im.fileShape(b)
	// A vector on the left is a row, on the right a column; the axis goes again.
	row, column := ra == 1, rb == 1
	if row {
		sa = []int{1, sa[0]}
	}
	if column {
		sb = []int{sb[0], 1}
	}
	lead, err := broadcastShape(sa[:len(sa)-2], sb[:len(sb)-2])
	if err != nil {
		return nil, im.unsupported(c, err.Error())
	}
	x := im.stretched(a, sa, lead)
	y := im.stretched(b, sb, lead)
	if x == nil || y == nil {
		return nil, im.b.err
	}
	z := im.fromFileOrder(im.op(op.MatMul(im.toFileOrder(x), im.toFileOrder(y))))
	out := slices.Clone(lead)
	if !row {
		out = append(out, sa[len(sa)-2])
	}
	if !column {
		out = append(out, sb[len(sb)-1])
	}
	return im.give(im.reshape(z, out...), value{})
}

// matrix makes a constant factor of a product one that is learned: a weight
// where it is a matrix.
func (im *importing) matrix(v value) value {
	if v = im.asWeight(v); v.learned && im.rank(v) == 2 {
		return value{node: im.parameter(v, Weight)}
	}
	return v
}

// stretched returns v in the shape s, a matrix at its end, with the leading axes
// lead.
func (im *importing) stretched(v value, s, lead []int) *gorgonia.Node {
	if v.constant != nil {
		v.constant = withDims(v.constant, s)
	} else {
		v.node = im.reshape(v.node, s...)
	}
	return im.broadcastTo(v, slices.Concat(lead, s[len(s)-2:]))
}

// importMaxPool: opsets 1 to 12 without the second output.
func importMaxPool(im *importing, c *importer.Call) ([]value, error) {
	if len(c.Outputs) > 1 && c.Outputs[1] != "" && im.readers[c.Outputs[1]] > 0 {
		return nil, im.unsupported(c, "its second output, the places of the largest elements, is used")
	}
	x, spatial, w, err := im.poolWindow(c)
	if err != nil {
		return nil, err
	}
	if w.dilation == [2]int{1, 1} {
		return im.fromImage(im.op(op.MaxPool(x, w.pool(c))), spatial)
	}
	y, err := im.gappedMaxPool(c, x, w)
	if err != nil {
		return nil, err
	}
	return im.fromImage(y, spatial)
}

// mostTaps bounds the window of a pool with gaps, which is made of a part of the
// image for each of its elements.
const mostTaps = 1 << 10

// gappedMaxPool is MaxPool with dilations: the largest of the images that its
// window's elements see. Of equal ones the first has the derivative.
func (im *importing) gappedMaxPool(c *importer.Call, x *gorgonia.Node, w window) (*gorgonia.Node, error) {
	if w.kernel[0] > mostTaps || w.kernel[0]*w.kernel[1] > mostTaps {
		return nil, im.unsupported(c, fmt.Sprintf("kernel_shape %v with dilations %v; a window with gaps has at most %d elements", c.Node.Ints("kernel_shape"), c.Node.Ints("dilations"), mostTaps))
	}
	shape := x.Shape()
	before, after, sizes := make([]int, 4), make([]int, 4), slices.Clone([]int(shape))
	for i := range 2 {
		size, reach := shape[i+1], (w.kernel[i]-1)*w.dilation[i]+1
		before[i+1], after[i+1] = w.pad[i], w.pad[i+2]
		room := size + w.pad[i] + w.pad[i+2] - reach
		if room < 0 || max(w.pad[i], w.pad[i+2]) >= reach {
			return nil, im.unsupported(c, fmt.Sprintf("a window that reaches over %d elements of an axis of %d with padding %d and %d", reach, size, w.pad[i], w.pad[i+2]))
		}
		sizes[i+1] = room/w.stride[i] + 1
		if c.Node.Int("ceil_mode", 0) != 0 && room%w.stride[i] != 0 && sizes[i+1]*w.stride[i] < size+w.pad[i] {
			sizes[i+1]++ // as in op.PoolConfig
			after[i+1] = (sizes[i+1]-1)*w.stride[i] + reach - size - w.pad[i]
		}
	}
	padded := im.op(op.Pad(x, before, after, math.Inf(-1)))
	var y *gorgonia.Node
	for r := range w.kernel[0] {
		for s := range w.kernel[1] {
			starts := []int{0, r * w.dilation[0], s * w.dilation[1], 0}
			if im.b.err != nil {
				return nil, im.b.err
			}
			part := im.op(op.Slice(padded, starts, sizes, []int{1, w.stride[0], w.stride[1], 1}))
			if y == nil {
				y = part
			} else {
				y = im.op(op.Maximum(y, part))
			}
		}
	}
	return y, nil
}

// importAveragePool: opsets 1 to 19.
func importAveragePool(im *importing, c *importer.Call) ([]value, error) {
	x, spatial, w, err := im.poolWindow(c)
	if err != nil {
		return nil, err
	}
	if w.dilation != [2]int{1, 1} {
		return nil, im.unsupported(c, fmt.Sprintf("dilations %v; an average's window has no gaps here", c.Node.Ints("dilations")))
	}
	return im.fromImage(im.op(op.AveragePool(x, w.pool(c))), spatial)
}

// poolWindow returns a pool's operand, an image, and its window.
func (im *importing) poolWindow(c *importer.Call) (x *gorgonia.Node, spatial int, w window, err error) {
	if x, spatial, err = im.image(c); err == nil {
		w, err = im.window(c, spatial, [2]int{}, [2]int(x.Shape()[1:3]))
	}
	return x, spatial, w, err
}

// pool is a window without gaps as package op wants it.
func (w window) pool(c *importer.Call) op.PoolConfig {
	return op.PoolConfig{
		Kernel: w.kernel, Stride: w.stride, Pad: w.pad,
		CountIncludePad: c.Node.Int("count_include_pad", 0) != 0, Ceil: c.Node.Int("ceil_mode", 0) != 0,
	}
}

// importGlobalAveragePool keeps the spatial axes with a length of 1.
func importGlobalAveragePool(im *importing, c *importer.Call) ([]value, error) {
	return im.globalPool(c, op.GlobalAveragePool, averagePooled)
}

// importGlobalMaxPool keeps the spatial axes with a length of 1.
func importGlobalMaxPool(im *importing, c *importer.Call) ([]value, error) {
	return im.globalPool(c, op.GlobalMaxPool, maxPooled)
}

// globalPool applies a pool [N, H, W, C] to [N, C] and gives the result its
// spatial axes back. Where nothing but the axes follows, that costs nothing.
func (im *importing) globalPool(c *importer.Call, pool func(*gorgonia.Node) (*gorgonia.Node, error), kind layerKind) ([]value, error) {
	x, spatial, err := im.image(c)
	if err != nil {
		return nil, err
	}
	y := im.op(pool(x))
	if y == nil {
		return nil, im.b.err
	}
	y = im.reshape(y, y.Shape()[0], y.Shape()[1], 1, 1)
	if y != nil {
		im.b.record(y, layer{kind: kind})
	}
	return im.fromImage(y, spatial)
}

// importFlatten: the axes before and from the attribute on become one each.
func importFlatten(im *importing, c *importer.Call) ([]value, error) {
	v, ok := im.operand(c, 0)
	if !ok {
		return nil, im.unsupported(c, "it has no operand")
	}
	s := im.fileShape(v)
	axis := c.Node.Int("axis", 1)
	if axis < 0 {
		axis += int64(len(s))
	}
	if axis < 0 || axis > int64(len(s)) {
		return nil, im.unsupported(c, fmt.Sprintf("axis %d of a value of rank %d", c.Node.Int("axis", 1), len(s)))
	}
	to := [2]int{1, 1}
	for i, d := range s {
		if int64(i) < axis {
			to[0] *= d
		} else {
			to[1] *= d
		}
	}
	return im.give(im.reshape(im.node(v), to[0], to[1]), v)
}

func importIdentity(im *importing, c *importer.Call) ([]value, error) {
	v, ok := im.operand(c, 0)
	if !ok {
		return nil, im.unsupported(c, "it has no operand")
	}
	return []value{v}, nil
}

// importDropout: at inference the operand itself. One in training mode, as what
// rewrite.Normalize cannot take out of it, is refused.
func importDropout(im *importing, c *importer.Call) ([]value, error) {
	if len(c.Outputs) > 1 && c.Outputs[1] != "" && im.readers[c.Outputs[1]] > 0 {
		return nil, im.unsupported(c, "its second output, the mask, is used")
	}
	const drops = "so that it drops values at random; export the model for inference"
	ratio := []float64{float(c, "ratio", 0.5)}
	if _, ok := im.operand(c, 2); ok { // from opset 12 on
		mode, err := im.floats(c, 2)
		if err != nil {
			return nil, err
		}
		if _, given := im.operand(c, 1); given {
			if ratio, err = im.floats(c, 1); err != nil {
				return nil, err
			}
		}
		if len(mode) != 1 || mode[0] != 0 && !slices.Equal(ratio, []float64{0}) {
			return nil, im.unsupported(c, "training_mode is set, "+drops)
		}
	}
	if im.Opset < 7 && c.Node.Int("is_test", 0) == 0 && ratio[0] != 0 {
		return nil, im.unsupported(c, "is_test is not set, "+drops)
	}
	im.note("dropout is left out, in training too")
	return importIdentity(im, c)
}

// importShape: the shape is known, so it is a constant.
func importShape(im *importing, c *importer.Call) ([]value, error) {
	v, ok := im.operand(c, 0)
	if !ok {
		return nil, im.unsupported(c, "it has no operand")
	}
	s := im.fileShape(v)
	bound := func(name string, def int64) int {
		i := c.Node.Int(name, def)
		if i < 0 {
			i += int64(len(s))
		}
		return int(min(max(i, 0), int64(len(s))))
	}
	start, end := bound("start", 0), bound("end", int64(len(s)))
	return []value{{constant: shapeOf(s[start:max(start, end)]), sized: v.node != nil || v.sized}}, nil
}

func importSize(im *importing, c *importer.Call) ([]value, error) {
	v, ok := im.operand(c, 0)
	if !ok {
		return nil, im.unsupported(c, "it has no operand")
	}
	n := int64(1)
	for _, d := range im.fileShape(v) {
		n *= int64(d)
	}
	return []value{{constant: onnx.Int64s("", nil, []int64{n}), sized: v.node != nil || v.sized}}, nil
}
