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

// give is the result of a translator whose only node was made by methods of
// importing. It is of the element type of the value it was laid out from, the
// zero value where it was computed.
func (im *importing) give(n *gorgonia.Node, from value) ([]value, error) {
	if n == nil || im.b.err != nil {
		return nil, im.b.err
	}
	return []value{{node: n, elem: from.elem}}, nil
}

// first returns operand 0 of c, which must be there.
func (im *importing) first(c *importer.Call) (value, error) {
	v, ok := im.operand(c, 0)
	if !ok {
		return v, im.unsupported(c, "it has no operand")
	}
	return v, nil
}

// each makes the translator of a function of each element of operand 0.
func each(f func(c *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error)) translator {
	return func(im *importing, c *importer.Call) ([]value, error) {
		x := im.in(c, 0)
		if x == nil {
			return nil, im.b.err
		}
		return im.pointwise(im.op(f(c, x)))
	}
}

// plain is each for a function without attributes.
func plain(f func(x *gorgonia.Node) (*gorgonia.Node, error)) translator {
	return each(func(_ *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error) { return f(x) })
}

// pointwise is give for a node each of whose elements is made of one of its
// operand's. The export may reorder what goes through it.
func (im *importing) pointwise(n *gorgonia.Node) ([]value, error) {
	return im.give(im.b.record(n, layer{kind: pointwise}), value{})
}

// float reads an attribute as it is computed with: in float32.
func float(c *importer.Call, name string, def float64) float64 {
	return float64(c.Node.Float(name, float32(def)))
}

// SELU's constants, those of ONNX (Klambauer et al. 2017, arXiv 1706.02515).
const (
	seluAlpha = 1.67326319217681884765625
	seluGamma = 1.05070102214813232421875
)

var (
	importRelu    = plain(op.ReLU)
	importSigmoid = plain(op.Sigmoid)
	importTanh    = plain(op.Tanh)
	importErf     = plain(op.Erf)
	importMish    = plain(op.Mish)
	importExp     = plain(op.Exp)
	importLog     = plain(op.Log)
	importNeg     = plain(op.Neg)
	// A power, since it needs no constant of x's shape.
	importReciprocal = plain(func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Pow(x, -1) })

	importAbs  = plain(op.Abs)
	importSign = plain(op.Sign)

	importSoftplus  = plain(op.Softplus)
	importHardSwish = plain(op.HardSwish)

	// Softsign: x/(1+|x|).
	importSoftsign = plain(func(x *gorgonia.Node) (*gorgonia.Node, error) {
		a, err := op.Abs(x)
		if err != nil {
			return nil, err
		}
		if a, err = op.AddScalar(a, 1); err != nil {
			return nil, err
		}
		return op.Div(x, a)
	})

	importLeakyRelu = each(func(c *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error) {
		return op.LeakyReLU(x, float(c, "alpha", 0.01))
	})
	// ThresholdedRelu: x above alpha, 0 elsewhere.
	importThresholdedRelu = each(func(c *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error) {
		over, err := op.AddScalar(x, -float(c, "alpha", 1))
		if err != nil {
			return nil, err
		}
		return op.Gate(over, x)
	})
	importElu = each(func(c *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error) {
		return op.ELU(x, float(c, "alpha", 1))
	})
	importSelu = each(func(c *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error) {
		y, err := op.ELU(x, float(c, "alpha", seluAlpha))
		if err != nil {
			return nil, err
		}
		return op.Scale(y, float(c, "gamma", seluGamma))
	})
	// Celu: α·ELU(x/α) with ELU's own alpha of 1.
	importCelu = each(func(c *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error) {
		alpha := float(c, "alpha", 1)
		y, err := op.Scale(x, 1/alpha)
		if err != nil {
			return nil, err
		}
		if y, err = op.ELU(y, 1); err != nil {
			return nil, err
		}
		return op.Scale(y, alpha)
	})
	importHardSigmoid = each(func(c *importer.Call, x *gorgonia.Node) (*gorgonia.Node, error) {
		return op.HardSigmoid(x, float(c, "alpha", 0.2), float(c, "beta", 0.5))
	})
)

func importGelu(im *importing, c *importer.Call) ([]value, error) {
	switch a := c.Node.Str("approximate", "none"); a {
	case "none":
		return plain(op.Gelu)(im, c)
	case "tanh":
		return plain(op.GeluTanh)(im, c)
	default:
		return nil, im.unsupported(c, fmt.Sprintf("approximate %q; it is one of none, tanh", a))
	}
}

// importClip: bounds are attributes below opset 11 and operands from there on.
func importClip(im *importing, c *importer.Call) ([]value, error) {
	low, high := float(c, "min", -math.MaxFloat32), float(c, "max", math.MaxFloat32)
	for i, bound := range []*float64{&low, &high} {
		if _, given := im.operand(c, i+1); !given {
			continue
		}
		f, err := im.floats(c, i+1)
		if err != nil {
			return nil, err
		}
		if len(f) != 1 || math.IsNaN(f[0]) {
			return nil, im.unsupported(c, fmt.Sprintf("bound %v; it is one number", f))
		}
		*bound = f[0]
	}
	// The largest float32 bounds nothing.
	if low <= -math.MaxFloat32 {
		low = math.Inf(-1)
	}
	if high >= math.MaxFloat32 {
		high = math.Inf(1)
	}
	x := im.in(c, 0)
	switch {
	case x == nil:
		return nil, im.b.err
	case low == 0 && math.IsInf(high, 1):
		return im.pointwise(im.op(op.ReLU(x)))
	}
	return im.pointwise(im.op(op.Clip(x, low, high)))
}

// importPRelu: x above zero and slope·x below, with the slope stretched to x.
func importPRelu(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	s, ok := im.operand(c, 1)
	switch {
	case x == nil:
		return nil, im.b.err
	case !ok:
		return nil, im.unsupported(c, "it has no slope")
	}
	s = im.asWeight(s)
	shape := inFile(x.Shape())
	if to, err := broadcastShape(shape, im.fileShape(s)); err != nil || !slices.Equal(to, shape) {
		return nil, im.unsupported(c, fmt.Sprintf("slopes of shape %v do not stretch to its input's %v", im.fileShape(s), shape))
	}
	slope := im.broadcastTo(s, shape)
	if slope == nil {
		return nil, im.b.err
	}
	below := im.op(op.ReLU(im.op(op.Neg(x))))
	return im.one(op.Sub(im.op(op.ReLU(x)), im.op(op.Mul(slope, below))))
}

// pair returns both operands of c.
func (im *importing) pair(c *importer.Call) (a, b value, err error) {
	a, ok := im.operand(c, 0)
	b, both := im.operand(c, 1)
	if !ok || !both || len(c.Inputs) != 2 {
		return a, b, im.unsupported(c, fmt.Sprintf("it has operands %q; it takes 2", c.Inputs))
	}
	if c.Node.Attr("broadcast") != nil {
		return a, b, im.unsupported(c, "attribute broadcast is of opsets below 7")
	}
	return a, b, nil
}

// number returns x, with the axes that it has together with k, and the finite
// number k. It is false where k is no constant of one element.
func (im *importing) number(x, k value) (*gorgonia.Node, float64, bool) {
	f, ok := im.scalar(k)
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, 0, false
	}
	shape, err := broadcastShape(im.fileShape(x), im.fileShape(k))
	if err != nil {
		return nil, 0, false
	}
	return im.broadcastTo(x, shape), f, true
}

// together applies f to a and b, stretched to one shape.
func (im *importing) together(f func(a, b *gorgonia.Node) (*gorgonia.Node, error), a, b value) ([]value, error) {
	x, y := im.broadcast(a, b)
	if x == nil || y == nil {
		return nil, im.b.err
	}
	return im.one(f(x, y))
}

// plus returns x + k, and x itself where that is x.
func (im *importing) plus(x *gorgonia.Node, k float64) ([]value, error) {
	if x == nil || k == 0 {
		return im.give(x, value{})
	}
	return im.pointwise(im.op(op.AddScalar(x, k)))
}

// times returns x · k, and x itself where that is x.
func (im *importing) times(x *gorgonia.Node, k float64) ([]value, error) {
	if x == nil || k == 1 {
		return im.give(x, value{})
	}
	return im.pointwise(im.op(op.Scale(x, k)))
}

func importAdd(im *importing, c *importer.Call) ([]value, error) {
	a, b, err := im.pair(c)
	if err != nil {
		return nil, err
	}
	if a.constant != nil {
		a, b = b, a
	}
	return im.sum(a, im.asAttention(c, b))
}

// sum adds b to a.
func (im *importing) sum(a, b value) ([]value, error) {
	b = im.asChannels(a, b)
	if x, k, ok := im.number(a, b); ok {
		return im.plus(x, k)
	}
	if y, ok := im.addBias(a.node, b); ok {
		return im.give(y, value{})
	}
	return im.together(op.Add, a, b)
}

func importSub(im *importing, c *importer.Call) ([]value, error) {
	a, b, err := im.pair(c)
	if err != nil {
		return nil, err
	}
	if x, k, ok := im.number(a, b); ok {
		return im.plus(x, -k)
	}
	if x, k, ok := im.number(b, a); ok {
		return im.plus(im.op(op.Neg(x)), k)
	}
	return im.together(op.Sub, a, b)
}

func importMul(im *importing, c *importer.Call) ([]value, error) {
	a, b, err := im.pair(c)
	if err != nil {
		return nil, err
	}
	for i, name := range c.Inputs {
		x := im.values[c.Inputs[1-i]].node
		if s := im.once(name, "Sigmoid"); s != nil && x != nil && s.Inputs[0] == c.Inputs[1-i] {
			return im.pointwise(im.op(op.SiLU(x)))
		}
	}
	if x := im.values[im.geluOf(c)].node; x != nil {
		return im.pointwise(im.op(op.Gelu(x)))
	}
	if a.constant != nil {
		a, b = b, a
	}
	if x, k, ok := im.number(a, b); ok {
		return im.times(x, k)
	}
	return im.together(op.Mul, a, im.asChannels(a, b))
}

// once returns the call of an operator that makes a value which is read once; nil
// where there is none.
func (im *importing) once(name, op string) *importer.Call {
	c := im.callOf(name)
	if c == nil || c.Op != op || c.Domain != "" || len(c.Inputs) == 0 || im.readers[name] != 1 {
		return nil
	}
	return c
}

// scaled returns the operand x of a product x·k; false where c is none.
func (im *importing) scaled(c *importer.Call, k float64) (x string, ok bool) {
	if c == nil || c.Op != "Mul" || len(c.Inputs) != 2 {
		return "", false
	}
	for i, name := range c.Inputs {
		if f, one := im.scalar(im.values[name]); one && math.Abs(f/k-1) < 1e-6 {
			return c.Inputs[1-i], true
		}
	}
	return "", false
}

// geluOf returns the x of which c is the last product of the Gelu, written out as
// exporters do below opset 20: (x·(1+erf(x/√2)))·½ or (x·½)·(1+erf(x/√2)). It is
// empty where c is none, or where something of it is read elsewhere.
func (im *importing) geluOf(c *importer.Call) string {
	if whole, ok := im.scaled(c, 0.5); ok {
		m := im.once(whole, "Mul")
		for i := 0; m != nil && i < len(m.Inputs); i++ {
			if x := im.onePlusErf(m.Inputs[i]); x != "" && x == m.Inputs[1-i] {
				return x
			}
		}
		return ""
	}
	for i, name := range c.Inputs {
		x := im.onePlusErf(name)
		if half, ok := im.scaled(im.once(c.Inputs[1-i], "Mul"), 0.5); ok && half == x {
			return x
		}
	}
	return ""
}

// onePlusErf returns the x of which a value is 1+erf(x/√2), or nothing.
func (im *importing) onePlusErf(name string) string {
	add := im.once(name, "Add")
	for i := 0; add != nil && len(add.Inputs) == 2 && i < 2; i++ {
		one, ok := im.scalar(im.values[add.Inputs[i]])
		erf := im.once(add.Inputs[1-i], "Erf")
		if !ok || one != 1 || erf == nil {
			continue
		}
		if x, ok := im.scaled(im.once(erf.Inputs[0], "Mul"), 1/math.Sqrt2); ok {
			return x
		}
		if div := im.once(erf.Inputs[0], "Div"); div != nil && len(div.Inputs) == 2 {
			if k, ok := im.scalar(im.values[div.Inputs[1]]); ok && math.Abs(k/math.Sqrt2-1) < 1e-6 {
				return div.Inputs[0]
			}
		}
	}
	return ""
}

func importDiv(im *importing, c *importer.Call) ([]value, error) {
	a, b, err := im.pair(c)
	if err != nil {
		return nil, err
	}
	if k, ok := im.scalar(b); ok && !math.IsInf(1/k, 0) {
		if x, _, ok := im.number(a, b); ok {
			return im.times(x, 1/k)
		}
	}
	return im.together(op.Div, a, b)
}

// importPow: the powers that networks are written with are operators of their
// own.
func importPow(im *importing, c *importer.Call) ([]value, error) {
	a, b, err := im.pair(c)
	if err != nil {
		return nil, err
	}
	x, p, ok := im.number(a, b)
	switch {
	case !ok:
		return im.together(op.PowOf, a, b)
	case x == nil || p == 1:
		return im.give(x, value{})
	case p == 2:
		return im.pointwise(im.op(op.Square(x)))
	case p == 0.5:
		return im.root(c, x)
	case 0 < p && p < 1 && im.sumOfPowers(c.Inputs[0]):
		return im.pointwise(im.op(op.AbsPow(x, p)))
	}
	return im.pointwise(im.op(op.Pow(x, p)))
}

func importSqrt(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	return im.root(c, x)
}

// root is the square root of x, operand 0 of c. That of a sum of squares is a
// norm or a standard deviation, whose derivative at zero is 0.
func (im *importing) root(c *importer.Call, x *gorgonia.Node) ([]value, error) {
	if im.sumOfPowers(c.Inputs[0]) {
		return im.pointwise(im.op(op.RootOfSquares(x)))
	}
	return im.pointwise(im.op(op.Sqrt(x)))
}

// sumOfPowers reports whether a value is written out as a sum or a mean of
// squares, or of other powers above 1 or sizes, perhaps times a number: what a
// root makes a norm of.
func (im *importing) sumOfPowers(name string) bool {
	for range fewSteps {
		c := im.callOf(name)
		if c == nil || c.Domain != "" || len(c.Inputs) == 0 {
			return false
		}
		switch c.Op {
		case "ReduceSumSquare", "ReduceL1":
			return true
		case "ReduceSum", "ReduceMean":
			return im.isPower(c.Inputs[0])
		case "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Identity":
		case "Mul", "Div": // as a variance that is estimated: n/(n-1)
			if k, ok := im.scalar(im.values[c.Inputs[len(c.Inputs)-1]]); !ok || k <= 0 {
				return false
			}
		default:
			return false
		}
		name = c.Inputs[0]
	}
	return false
}

// isPower reports whether a value is the square of another, a power above 1 of
// it or its size.
func (im *importing) isPower(name string) bool {
	c := im.callOf(name)
	if c == nil || c.Domain != "" {
		return false
	}
	switch c.Op {
	case "Abs":
		return true
	case "Mul":
		return len(c.Inputs) == 2 && c.Inputs[0] == c.Inputs[1]
	case "Pow":
		p, ok := im.scalar(im.values[c.Inputs[len(c.Inputs)-1]])
		return ok && p >= 1
	}
	return false
}

// nary makes the translator of a function of one operand or more.
func nary(join func(im *importing, a, b value) ([]value, error)) translator {
	return func(im *importing, c *importer.Call) ([]value, error) {
		total, err := im.first(c)
		if err != nil {
			return nil, err
		}
		for i := 1; i < len(c.Inputs); i++ {
			v, ok := im.operand(c, i)
			if !ok {
				return nil, im.unsupported(c, fmt.Sprintf("it has no operand %d", i))
			}
			if total.constant != nil {
				total, v = v, total
			}
			joined, err := join(im, total, v)
			if err != nil || len(joined) == 0 {
				return nil, err
			}
			joined[0].weighed = total.weighed || v.weighed
			total = joined[0]
		}
		return im.give(im.node(total), value{})
	}
}

var (
	importSum = nary((*importing).sum)

	importMax = nary(func(im *importing, a, b value) ([]value, error) {
		if x, k, ok := im.number(a, b); ok {
			if k == 0 {
				return im.pointwise(im.op(op.ReLU(x)))
			}
			return im.pointwise(im.op(op.Clip(x, k, math.Inf(1))))
		}
		return im.together(op.Maximum, a, b)
	})

	importMin = nary(func(im *importing, a, b value) ([]value, error) {
		if x, k, ok := im.number(a, b); ok {
			return im.pointwise(im.op(op.Clip(x, math.Inf(-1), k)))
		}
		return im.together(op.Minimum, a, b)
	})
)

// importMean: the sum of the operands by their number.
func importMean(im *importing, c *importer.Call) ([]value, error) {
	out, err := importSum(im, c)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return im.times(out[0].node, 1/float64(len(c.Inputs)))
}

// importWhere: a mask that is known, or computed as zeros and ones.
func importWhere(im *importing, c *importer.Call) ([]value, error) {
	var v [3]value
	var shape []int
	for i := range v {
		var ok bool
		if v[i], ok = im.operand(c, i); !ok || len(c.Inputs) != 3 {
			return nil, im.unsupported(c, fmt.Sprintf("it has operands %q; it takes 3", c.Inputs))
		}
		var err error
		if shape, err = broadcastShape(shape, im.fileShape(v[i])); err != nil {
			return nil, im.unsupported(c, err.Error())
		}
	}
	mask, a, b := v[0], v[1], v[2]
	if mask.node != nil && mask.elem != onnx.Bool {
		return nil, im.unsupported(c, fmt.Sprintf("its condition %q is no mask", c.Inputs[0]))
	}
	if mask.constant != nil {
		f, err := numbers(mask.constant)
		if err != nil {
			return nil, im.unsupported(c, err.Error())
		}
		switch set := func(x float64) bool { return x != 0 }; {
		case !slices.ContainsFunc(f, set):
			return im.give(im.broadcastTo(b, shape), b)
		case !slices.Contains(f, 0):
			return im.give(im.broadcastTo(a, shape), a)
		}
	}
	m, x, y := im.broadcastTo(mask, shape), im.broadcastTo(a, shape), im.broadcastTo(b, shape)
	if m == nil || x == nil || y == nil {
		return nil, im.b.err
	}
	return im.one(op.Select(m, x, y))
}

// A mask is zeros and ones. What it is computed from gets no derivative through
// it.
var (
	importGreater        = comparison(above)
	importLess           = comparison(func(im *importing, a, b *gorgonia.Node) *gorgonia.Node { return above(im, b, a) })
	importGreaterOrEqual = comparison(func(im *importing, a, b *gorgonia.Node) *gorgonia.Node { return im.not(above(im, b, a)) })
	importLessOrEqual    = comparison(func(im *importing, a, b *gorgonia.Node) *gorgonia.Node { return im.not(above(im, a, b)) })
	importEqual          = comparison(func(im *importing, a, b *gorgonia.Node) *gorgonia.Node {
		return im.not(im.op(op.Abs(im.op(op.Sign(im.op(op.Sub(a, b)))))))
	})
	importAnd = comparison(func(im *importing, a, b *gorgonia.Node) *gorgonia.Node { return im.op(op.Mul(a, b)) })
	importOr  = comparison(func(im *importing, a, b *gorgonia.Node) *gorgonia.Node { return im.op(op.Maximum(a, b)) })
)

// above is the mask a > b.
func above(im *importing, a, b *gorgonia.Node) *gorgonia.Node {
	return im.op(op.Sign(im.op(op.ReLU(im.op(op.Sub(a, b))))))
}

// not is the mask that is set where m is not.
func (im *importing) not(m *gorgonia.Node) *gorgonia.Node {
	return im.op(op.AddScalar(im.op(op.Neg(m)), 1))
}

func importNot(im *importing, c *importer.Call) ([]value, error) {
	return im.give(im.not(im.in(c, 0)), value{elem: onnx.Bool})
}

// comparison makes the translator of a mask that f computes of two operands of
// one shape.
func comparison(f func(im *importing, a, b *gorgonia.Node) *gorgonia.Node) translator {
	return func(im *importing, c *importer.Call) ([]value, error) {
		a, b, err := im.pair(c)
		if err != nil {
			return nil, err
		}
		x, y := im.broadcast(a, b)
		if x == nil || y == nil {
			return nil, im.b.err
		}
		return im.give(f(im, x, y), value{elem: onnx.Bool})
	}
}

// importCast: all real numbers are computed with in one type. Integers and
// booleans are zeros, ones and the like in the same type, so that they can
// become real; cutting off fractions cannot be learned through.
func importCast(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	to := onnx.DataType(c.Node.Int("to", 0))
	whole := to.Valid() && !to.Float() && to != onnx.Bool && to != onnx.String
	switch {
	case to.Float():
		return im.give(im.node(v), value{})
	case v.elem == to || v.elem == onnx.Bool && whole:
		return im.give(im.node(v), value{elem: to})
	}
	return nil, im.unsupported(c, fmt.Sprintf("a cast of what is computed from the input to %v; casts to real numbers are supported", to))
}
