package student

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// microsoft is the domain of the operators that ONNX Runtime's optimiser joins
// nodes to. A file that the optimiser has written holds them; what is imported is
// what they were joined of.
//
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
const microsoft = "com.microsoft"

// fused has a row for each operator of the domain that a file may hold.
var fused = map[string]translator{
	"BiasGelu":                         importBiasGelu,
	"FastGelu":                         importFastGelu,
	"FusedConv":                        importFusedConv,
	"FusedGemm":                        importFusedGemm,
	"FusedMatMul":                      importFusedMatMul,
	"Gelu":                             plain(op.Gelu),
	"QuickGelu":                        importQuickGelu,
	"SkipLayerNormalization":           importSkipLayerNormalization,
	"SkipSimplifiedLayerNormalization": importSkipSimplifiedLayerNormalization,
}

// translatorOf returns the translator of a call's operator, nil where there is
// none.
func translatorOf(c *importer.Call) translator {
	switch c.Domain {
	case "":
		return translators[c.Op]
	case microsoft:
		return fused[c.Op]
	}
	return nil
}

// with returns c with other operands.
func with(c *importer.Call, operands ...string) *importer.Call {
	d := *c
	d.Inputs = operands
	return &d
}

// input returns the name of operand i, empty where it is left out.
func input(c *importer.Call, i int) string {
	if i < len(c.Inputs) {
		return c.Inputs[i]
	}
	return ""
}

// unread fails where an output from the given one on is used: those are
// statistics, for training.
func (im *importing) unread(c *importer.Call, from, to int) error {
	for i := from; i < min(to, len(c.Outputs)); i++ {
		if o := c.Outputs[i]; o != "" && im.readers[o] > 0 {
			return im.unsupported(c, fmt.Sprintf("its output %d, %q, is used", i, o))
		}
	}
	return nil
}

// plusBias adds operand i of c, a bias over the last axis, where it is there.
func (im *importing) plusBias(c *importer.Call, x *gorgonia.Node, i int) *gorgonia.Node {
	b, ok := im.operand(c, i)
	if !ok || x == nil {
		return x
	}
	out, err := im.sum(value{node: x, weighed: true}, im.asWeight(b))
	if err != nil {
		im.b.Fail(err)
	}
	if im.b.err != nil || len(out) == 0 {
		return nil
	}
	return out[0].node
}

func importBiasGelu(im *importing, c *importer.Call) ([]value, error) {
	x := im.plusBias(c, im.in(c, 0), 1)
	if x == nil {
		return nil, im.b.err
	}
	return im.pointwise(im.op(op.Gelu(x)))
}

// importFastGelu: the Gelu by tanh, of the sum with a bias that may be left out.
func importFastGelu(im *importing, c *importer.Call) ([]value, error) {
	x := im.plusBias(c, im.in(c, 0), 1)
	if x == nil {
		return nil, im.b.err
	}
	return im.pointwise(im.op(op.GeluTanh(x)))
}

func importQuickGelu(im *importing, c *importer.Call) ([]value, error) {
	return im.swish(im.in(c, 0), float(c, "alpha", 1.702))
}

// fusedActivations are what a FusedConv and a FusedGemm may end in. p are the
// activation's parameters, 0 where the node has none.
var fusedActivations = map[string]func(x *gorgonia.Node, p [2]float64) (*gorgonia.Node, error){
	"":            func(x *gorgonia.Node, _ [2]float64) (*gorgonia.Node, error) { return x, nil },
	"Relu":        func(x *gorgonia.Node, _ [2]float64) (*gorgonia.Node, error) { return op.ReLU(x) },
	"Sigmoid":     func(x *gorgonia.Node, _ [2]float64) (*gorgonia.Node, error) { return op.Sigmoid(x) },
	"Tanh":        func(x *gorgonia.Node, _ [2]float64) (*gorgonia.Node, error) { return op.Tanh(x) },
	"Softplus":    func(x *gorgonia.Node, _ [2]float64) (*gorgonia.Node, error) { return op.Softplus(x) },
	"HardSwish":   func(x *gorgonia.Node, _ [2]float64) (*gorgonia.Node, error) { return op.HardSwish(x) },
	"LeakyRelu":   func(x *gorgonia.Node, p [2]float64) (*gorgonia.Node, error) { return op.LeakyReLU(x, p[0]) },
	"Elu":         func(x *gorgonia.Node, p [2]float64) (*gorgonia.Node, error) { return op.ELU(x, p[0]) },
	"Clip":        func(x *gorgonia.Node, p [2]float64) (*gorgonia.Node, error) { return op.Clip(x, p[0], p[1]) },
	"HardSigmoid": func(x *gorgonia.Node, p [2]float64) (*gorgonia.Node, error) { return op.HardSigmoid(x, p[0], p[1]) },
}

// activated applies the activation that a fused layer names.
func (im *importing) activated(c *importer.Call, x *gorgonia.Node, p [2]float64) ([]value, error) {
	if x == nil {
		return nil, im.b.err
	}
	name := c.Node.Str("activation", "")
	f := fusedActivations[name]
	if f == nil {
		names := make([]string, 0, len(fusedActivations))
		for n := range fusedActivations {
			if n != "" {
				names = append(names, n)
			}
		}
		slices.Sort(names)
		return nil, im.unsupported(c, fmt.Sprintf("activation %q; it is one of %v", name, names))
	}
	y, err := f(x, p)
	if y == x {
		return im.give(x, value{})
	}
	return im.pointwise(im.op(y, err))
}

// importFusedConv: activation(Conv(X, W, B) + Z), of which B, Z and the activation
// may be left out.
func importFusedConv(im *importing, c *importer.Call) ([]value, error) {
	out, err := importConv(im, with(c, c.Inputs[:min(3, len(c.Inputs))]...))
	if err != nil || len(out) == 0 {
		return nil, err
	}
	y := out[0].node
	if z, ok := im.operand(c, 3); ok {
		sum, err := im.together(op.Add, out[0], z)
		if err != nil || len(sum) == 0 {
			return nil, err
		}
		y = sum[0].node
	}
	var p [2]float64
	if a := c.Node.Attr("activation_params"); a != nil {
		for i, f := range a.Floats[:min(2, len(a.Floats))] {
			p[i] = float64(f)
		}
	}
	return im.activated(c, y, p)
}

func importFusedGemm(im *importing, c *importer.Call) ([]value, error) {
	out, err := importGemm(im, c)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return im.activated(c, out[0].node, [2]float64{float(c, "activation_alpha", 0), float(c, "activation_beta", 0)})
}

// importFusedMatMul: alpha·A'·B', where A and B may have their last two axes
// exchanged.
func importFusedMatMul(im *importing, c *importer.Call) ([]value, error) {
	for _, name := range []string{"transBatchA", "transBatchB"} {
		if c.Node.Int(name, 0) != 0 {
			return nil, im.unsupported(c, name+" is set")
		}
	}
	a, okA := im.operand(c, 0)
	b, okB := im.operand(c, 1)
	if !okA || !okB {
		return nil, im.unsupported(c, "it wants two operands")
	}
	if c.Node.Int("transA", 0) != 0 {
		a = im.exchanged(a)
	}
	var out []value
	var err error
	switch turned := c.Node.Int("transB", 0) != 0; {
	case turned && b.constant != nil && im.rank(b) == 2 && im.rank(a) >= 2:
		out, err = im.give(im.dense(im.node(a), im.parameter(im.asWeight(b), Weight)), value{})
	case turned:
		out, err = im.product(c, a, im.exchanged(b))
	default:
		out, err = im.product(c, a, b)
	}
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return im.times(out[0].node, float(c, "alpha", 1))
}

// exchanged is v with its last two axes in each other's place; a vector stays.
func (im *importing) exchanged(v value) value {
	n := im.node(v)
	r := im.rank(v)
	if n == nil || r < 2 {
		return v
	}
	perm := make([]int, r)
	for i := range perm {
		perm[i] = i
	}
	perm[r-2], perm[r-1] = r-1, r-2
	return value{node: im.permute(n, perm...)}
}

// importSkipLayerNormalization: the layer normalisation of input + skip + bias,
// and, as its fourth output, that sum.
func importSkipLayerNormalization(im *importing, c *importer.Call) ([]value, error) {
	s, err := im.skipped(c, 4)
	if err != nil {
		return nil, err
	}
	y := im.layerNorm(s, s.Dims()-1, float(c, "epsilon", skipEpsilon))
	return im.normalisedSum(with(c, input(c, 0), input(c, 2), input(c, 3)), y, s)
}

// importSkipSimplifiedLayerNormalization: the same by the root of the mean square,
// without a shift.
func importSkipSimplifiedLayerNormalization(im *importing, c *importer.Call) ([]value, error) {
	s, err := im.skipped(c, 3)
	if err != nil {
		return nil, err
	}
	y := im.rootMeanSquareNorm(s, s.Dims()-1, float(c, "epsilon", skipEpsilon))
	return im.normalisedSum(with(c, input(c, 0), input(c, 2)), y, s)
}

// skipEpsilon is what ONNX Runtime takes where the node does not say.
const skipEpsilon = 1e-12

// skipped is the sum of operands 0 and 1 of c and the bias, operand i.
func (im *importing) skipped(c *importer.Call, i int) (*gorgonia.Node, error) {
	if err := im.unread(c, 1, 3); err != nil {
		return nil, err
	}
	a, okA := im.operand(c, 0)
	b, okB := im.operand(c, 1)
	if !okA || !okB || im.rank(a) < 2 {
		return nil, im.unsupported(c, "it wants two operands to add, of at least two axes")
	}
	x, y := im.broadcast(a, b)
	if x == nil || y == nil {
		return nil, im.b.err
	}
	if s := im.plusBias(c, im.op(op.Add(x, y)), i); s != nil {
		return s, nil
	}
	return nil, im.b.err
}

// normalisedSum is what a skip normalisation gives: y with the scale and shift
// that are operands 1 and 2 of c, and as its fourth output the sum s.
func (im *importing) normalisedSum(c *importer.Call, y, s *gorgonia.Node) ([]value, error) {
	out, err := im.affine(c, y, s.Dims()-1, s.Dims()-1)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return []value{out[0], {}, {}, {node: s, weighed: true}}, nil
}
