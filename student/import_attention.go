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

// importSwish: x·sigmoid(alpha·x), of opset 24 on.
func importSwish(im *importing, c *importer.Call) ([]value, error) {
	return im.swish(im.in(c, 0), float(c, "alpha", 1))
}

func (im *importing) swish(x *gorgonia.Node, alpha float64) ([]value, error) {
	if x == nil {
		return nil, im.b.err
	}
	if alpha == 1 {
		return im.pointwise(im.op(op.SiLU(x)))
	}
	return im.one(op.Mul(x, im.op(op.Sigmoid(im.op(op.Scale(x, alpha))))))
}

// importRMSNormalization: x over the root of its mean square along all axes from
// one on, times a scale; of opset 23 on. ONNX Runtime calls it
// SimplifiedLayerNormalization and gives the inverse of the root beside.
func importRMSNormalization(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	if err := im.unread(c, 1, len(c.Outputs)); err != nil {
		return nil, err
	}
	first, err := im.axis(c, c.Node.Int("axis", -1), x.Dims())
	if err != nil {
		return nil, err
	}
	y := im.rootMeanSquareNorm(x, first, float(c, "epsilon", Epsilon))
	return im.affine(with(c, c.Inputs[:min(2, len(c.Inputs))]...), y, first, x.Dims()-1)
}

// rootMeanSquareNorm is x·(mean x² + eps)^-½ with the mean along the file's axes
// from first on (Zhang and Sennrich 2019, arXiv 1910.07467).
func (im *importing) rootMeanSquareNorm(x *gorgonia.Node, first int, eps float64) *gorgonia.Node {
	r := im.op(op.Pow(im.op(op.AddScalar(im.op(op.ReduceMean(im.op(op.Square(x)), im.axesFrom(x, first)...)), eps)), -0.5))
	if r == nil {
		return nil
	}
	return im.op(op.Mul(x, im.op(op.BroadcastTo(r, x.Shape()...))))
}

// axesFrom returns Gorgonia's axes, in their order, of the file's axes of x from
// first on.
func (im *importing) axesFrom(x *gorgonia.Node, first int) []int {
	var axes []int
	for a := first; a < x.Dims(); a++ {
		axes = append(axes, nodeAxis(x.Dims(), a))
	}
	slices.Sort(axes)
	return axes
}

// attention is one Attention node: queries, keys and values as matrices for each
// head of each sample.
type attention struct {
	batch, heads  int
	queries, keys int            // tokens
	q, k, v       *gorgonia.Node // [batch·heads, tokens, size]
	width         int            // of a value
	joined        bool           // the file has the heads side by side, [batch, tokens, heads·size]
}

// importAttention: softmax(softcap(Q·Kᵀ·scale) + mask)·V for each head, of opset
// 23 on. Where keys and values have fewer heads than queries, several queries
// share one (Ainslie et al. 2023, arXiv 2305.13245). Caches of keys and values of
// tokens before are for generating text and not supported.
func importAttention(im *importing, c *importer.Call) ([]value, error) {
	for i, what := range []string{"keys", "values", "lengths"} {
		if _, given := im.operand(c, 4+i); given {
			return nil, im.unsupported(c, fmt.Sprintf("operand %d, a cache's %s; attention over the tokens of one image has none", 4+i, what))
		}
	}
	if err := im.unread(c, 1, len(c.Outputs)); err != nil {
		return nil, err
	}
	a, err := im.attentionOf(c)
	if err != nil {
		return nil, err
	}
	scale := c.Node.Float("scale", 0)
	if scale == 0 {
		scale = float32(1 / math.Sqrt(float64(a.q.Shape()[2])))
	}
	s := im.op(op.Scale(im.op(op.MatMul(a.q, im.transpose(a.k, 0, 2, 1))), float64(scale)))
	if k := float(c, "softcap", 0); k > 0 {
		s = im.op(op.Scale(im.op(op.Tanh(im.op(op.Scale(s, 1/k)))), k))
	}
	if s, err = im.hideTokens(c, a, s); err != nil {
		return nil, err
	}
	y := im.op(op.MatMul(im.op(op.Softmax(s, 2)), a.v))
	y = im.reshape(y, a.batch, a.heads, a.queries, a.width)
	if y != nil && a.joined {
		y = im.reshape(im.permute(y, 0, 2, 1, 3), a.batch, a.queries, a.heads*a.width)
	}
	return im.give(y, value{})
}

// attentionOf reads the operands of an Attention node.
func (im *importing) attentionOf(c *importer.Call) (a attention, err error) {
	var x [3]*gorgonia.Node
	var shapes [3][]int // [batch, heads, tokens, size]
	heads := [3]int64{c.Node.Int("q_num_heads", 0), c.Node.Int("kv_num_heads", 0), c.Node.Int("kv_num_heads", 0)}
	for i := range x {
		if x[i] = im.in(c, i); x[i] == nil {
			return a, im.b.err
		}
		s := inFile(x[i].Shape())
		a.joined = len(s) == 3
		switch h := int(heads[i]); {
		case len(s) == 4:
		case len(s) == 3 && heads[i] >= 1 && heads[i] <= int64(s[2]) && s[2]%h == 0:
			x[i] = im.permute(im.reshape(x[i], s[0], s[1], h, s[2]/h), 0, 2, 1, 3)
			s = []int{s[0], h, s[1], s[2] / h}
		default:
			return a, im.unsupported(c, fmt.Sprintf("operand %d has shape %v with %d heads; it is [batch, heads, tokens, size] or [batch, tokens, heads·size]", i, s, heads[i]))
		}
		shapes[i] = s
	}
	q, k, v := shapes[0], shapes[1], shapes[2]
	if q[0] != k[0] || q[0] != v[0] || q[3] != k[3] || k[1] != v[1] || k[2] != v[2] || q[1]%k[1] != 0 {
		return a, im.unsupported(c, fmt.Sprintf("queries, keys and values of shapes %v, %v and %v do not fit each other", q, k, v))
	}
	a.batch, a.heads, a.queries, a.keys, a.width = q[0], q[1], q[2], k[2], v[3]
	for i, to := range []**gorgonia.Node{&a.q, &a.k, &a.v} {
		s := shapes[i]
		n := x[i]
		if share := a.heads / s[1]; share > 1 { // each head for that many of the queries'
			n = im.reshape(n, s[0], s[1], 1, s[2]*s[3])
			n = im.broadcastTo(value{node: n}, []int{s[0], s[1], share, s[2] * s[3]})
		}
		*to = im.reshape(n, a.batch*a.heads, s[2], s[3])
	}
	if im.b.err != nil {
		return a, im.b.err
	}
	return a, nil
}

// hidden is what lowers a score so far that its softmax is 0 in float32. Minus
// infinity would make the derivative of a row that is hidden as a whole NaN.
const hidden = -1e9

// hideTokens adds the mask to scores s [batch·heads, queries, keys]: numbers, or
// truth values of which false hides; and, where is_causal is set, hides the keys
// behind each query.
func (im *importing) hideTokens(c *importer.Call, a attention, s *gorgonia.Node) (*gorgonia.Node, error) {
	whole := []int{a.batch, a.heads, a.queries, a.keys}
	mask, given := im.operand(c, 3)
	if given {
		if shape, err := broadcastShape(im.fileShape(mask), whole); err != nil || !slices.Equal(shape, whole) {
			return nil, im.unsupported(c, fmt.Sprintf("its mask of shape %v does not stretch to the scores' %v", im.fileShape(mask), whole))
		}
	}
	causal := c.Node.Int("is_causal", 0) != 0
	if !given && !causal {
		return s, nil
	}
	y := im.reshape(s, whole...)
	switch {
	case given && mask.constant != nil && mask.constant.Type == onnx.Bool:
		f, err := numbers(mask.constant)
		if err != nil {
			return nil, im.unsupported(c, err.Error())
		}
		for i, x := range f {
			f[i] = (1 - x) * hidden
		}
		y = im.plusTable(y, mask.name+" hidden", im.fileShape(mask), f)
	case given && mask.elem == onnx.Bool:
		off := im.op(op.Scale(im.not(mask.node), hidden))
		y = im.op(op.Add(y, im.broadcastTo(value{node: off}, whole)))
	case given:
		y = im.op(op.Add(y, im.broadcastTo(im.asAttentionBias(mask), whole)))
	}
	if causal {
		later := make([]float64, a.queries*a.keys)
		for i := range later {
			if i%a.keys > i/a.keys {
				later[i] = hidden
			}
		}
		y = im.plusTable(y, fmt.Sprintf("causal %d %d", a.queries, a.keys), []int{1, 1, a.queries, a.keys}, later)
	}
	return im.reshape(y, a.batch*a.heads, a.queries, a.keys), im.b.err
}

// plusTable adds numbers that are no parameter, of a shape of the file that
// stretches to that of x; name tells them from others.
func (im *importing) plusTable(x *gorgonia.Node, name string, shape []int, f []float64) *gorgonia.Node {
	if x == nil {
		return nil
	}
	v := make([]float32, len(f))
	for i := range f {
		v[i] = float32(f[i])
	}
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	table := value{constant: onnx.Float32s("", dims, v), name: name}
	return im.op(op.Add(x, im.broadcastTo(table, inFile(x.Shape()))))
}

// asAttentionBias makes a constant that is added to scores one that is learned,
// unless it is a mask.
func (im *importing) asAttentionBias(v value) value {
	if v.constant == nil || v.learned || !v.constant.Type.Float() || !im.trainable(v) {
		return v
	}
	return im.asWeight(v)
}
