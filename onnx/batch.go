package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SetBatch makes the first axis of every data input symbolic under the name
// param, and with it the axis that carries the batch in every output and
// declared value. Only m's declarations and, where they fix the batch, the
// constant targets of Reshape change.
//
// A model whose batch is already symbolic or unknown is renamed. One with a
// fixed batch of N is followed from the inputs on, node by node: each operator
// must be known to treat the samples of a batch one by one, and to keep them
// along one axis. A constant Reshape target that begins with N gets 0 there,
// "as in the operand", or -1 where allowzero gives 0 another meaning. Whatever
// cannot be followed with certainty is refused with an error that names the
// node: reductions over the batch, constants of N samples, targets that fold
// the batch into another axis, shapes computed from it, operators without a
// rule, subgraphs and functions. m is unchanged then, and must be fed N samples
// at a time.
func (m *Model) SetBatch(param string) error {
	if param == "" {
		return errors.New("onnx: the batch axis needs a name")
	}
	if m.Graph == nil {
		return errors.New("onnx: the model has no graph")
	}
	inputs, n, err := batchInputs(m.Graph, param)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	c := m.Clone()
	if n < 0 {
		err = renameBatch(c, inputs, param)
	} else {
		err = followBatch(c, inputs, n, param)
	}
	if err != nil {
		return fmt.Errorf("onnx: the batch cannot be made %q: %w", param, err)
	}
	*m = *c
	return nil
}

// batchInputs returns the names of the inputs that carry a batch and its fixed
// length, or -1 when it is not fixed.
func batchInputs(g *Graph, param string) (names []string, n int64, err error) {
	var first *Value
	same := func(a, b Dim) bool { return a.Param == b.Param && (a.Param != "" || batchLength(a) == batchLength(b)) }
	for _, v := range g.DataInputs() {
		if !v.HasShape || v.Other {
			return nil, 0, fmt.Errorf("input %q has no shape; its batch axis is not known", v.Name)
		}
		for i, d := range v.Shape {
			if i > 0 && d.Param == param {
				return nil, 0, fmt.Errorf("%q already names axis %d of input %q; choose another name for the batch", param, i, v.Name)
			}
		}
		if len(v.Shape) == 0 {
			continue
		}
		if first != nil && !same(v.Shape[0], first.Shape[0]) {
			return nil, 0, fmt.Errorf("inputs %q %v and %q %v disagree on the first axis; which is the batch is not known",
				first.Name, shapeString(first.Shape), v.Name, shapeString(v.Shape))
		}
		if first == nil {
			first = v
		}
		names = append(names, v.Name)
	}
	if first == nil {
		return nil, 0, errors.New("no input has a first axis to be the batch")
	}
	return names, batchLength(first.Shape[0]), nil
}

// batchLength is the length of a fixed batch axis, else -1. Some exporters
// write 0 for a length they do not know.
func batchLength(d Dim) int64 {
	if n, fixed := d.Fixed(); fixed && n > 0 {
		return n
	}
	return -1
}

// shapeString writes a shape as "[batch 3 8 8]", the working mark as the batch.
func shapeString(shape []Dim) string {
	s := make([]string, len(shape))
	for i, d := range shape {
		if s[i] = d.String(); d.Param == marker {
			s[i] = "batch"
		}
	}
	return "[" + strings.Join(s, " ") + "]"
}

// renameBatch names the batch of a model that leaves its length open.
func renameBatch(m *Model, inputs []string, param string) error {
	old := ""
	for _, v := range m.Graph.Inputs {
		if slices.Contains(inputs, v.Name) {
			old = v.Shape[0].Param
			v.Shape[0].Value, v.Shape[0].Param = -1, param
		}
	}
	known := Infer(m)
	for _, list := range [][]*Value{m.Graph.Inputs, m.Graph.Outputs, m.Graph.Values} {
		for _, v := range list {
			for i := range v.Shape {
				d := &v.Shape[i]
				if old != "" && d.Param == old {
					d.Param = param
				}
				k := known[v.Name]
				if d.Param == "" && batchLength(*d) < 0 && k != nil && i < len(k.Shape) && k.Shape[i].Param == param {
					d.Value, d.Param = -1, param
				}
			}
		}
	}
	return nil
}

// marker is the symbol of the batch axis while it is followed. No exporter
// writes a zero byte into a name.
const marker = "\x00batch"

// marks counts the axes or elements that are the batch.
func marks(dims []Dim) int {
	n := 0
	for _, d := range dims {
		if d.Param == marker {
			n++
		}
	}
	return n
}

func (k known) marked() bool { return marks(k.shape) > 0 || marks(k.elems) > 0 }

// batchAxis is the axis of a value that is the batch, or -1.
func (k known) batchAxis() int {
	return slices.IndexFunc(k.shape, func(d Dim) bool { return d.Param == marker })
}

// followBatch marks the first axis of the inputs and follows it through the
// graph. Inference carries the mark from operands to outputs; what it cannot
// carry, and what rules of the operators forbid, is refused.
func followBatch(m *Model, inputs []string, n int64, param string) error {
	g := m.Graph
	for _, v := range g.Inputs {
		if slices.Contains(inputs, v.Name) {
			v.Shape[0].Value, v.Shape[0].Param = -1, marker
		}
	}
	x := newInferrer(m)
	b := &batch{n: n, graph: g, index: g.Index(), opset: m.Opset()}
	var nodes []*Node
	for _, node := range g.Nodes {
		inserted, err := b.follow(x, node)
		if err != nil {
			return err
		}
		nodes = append(append(nodes, inserted...), node)
	}
	g.Nodes = nodes
	carried := false
	for _, list := range [][]*Value{g.Inputs, g.Outputs, g.Values} {
		for _, v := range list {
			k := x.known[v.Name]
			at := k.batchAxis()
			if at < 0 {
				continue
			}
			if !v.HasShape || len(v.Shape) != len(k.shape) {
				v.HasShape, v.Shape = true, slices.Clone(k.shape)
			}
			v.Shape[at].Value, v.Shape[at].Param = -1, param
		}
	}
	for _, v := range g.Outputs {
		carried = carried || x.known[v.Name].batchAxis() >= 0
	}
	if !carried {
		return errors.New("no output carries it")
	}
	return nil
}

// batch follows the batch of a graph.
type batch struct {
	n     int64
	graph *Graph
	index *Index // of the graph as it was
	opset int64
}

// follow passes the mark over one node. It may change the node's constant
// operands, and returns nodes to put before it.
func (b *batch) follow(x *inferrer, n *Node) (inserted []*Node, err error) {
	marked := false
	uses(n, func(name string) { marked = marked || x.known[name].marked() })
	if !marked {
		x.node(n)
		return nil, nil
	}
	refuse := func(err error) error {
		var in []string
		for _, name := range n.Inputs {
			in = append(in, shapeString(x.known[name].shape))
		}
		return fmt.Errorf("%v of %s: %w", n, strings.Join(in, " "), err)
	}
	rule, ok := batchRules[n.Op]
	if !ok || CanonicalDomain(n.Domain) != "" {
		return nil, refuse(errors.New("this program does not know what this operator does with a batch"))
	}
	c := call{x: x, n: n}
	for _, name := range n.Inputs {
		c.in = append(c.in, x.known[name])
	}
	if n.Op == "Reshape" {
		inserted, err = b.reshape(c)
	} else if rule != nil {
		err = rule(c)
	}
	if err != nil {
		return nil, refuse(err)
	}
	for _, i := range inserted {
		x.node(i)
	}
	x.node(n)
	for _, o := range n.Outputs {
		if o == "" {
			continue
		}
		k := x.known[o]
		if k.told && marks(k.shape) == 0 {
			continue // a list of lengths, every one of them known
		}
		for i, in := range c.in {
			if at, ok := lengthOperand[n.Op]; marks(in.elems) > 0 && (!ok || at != i) {
				return nil, refuse(fmt.Errorf("it computes with operand %d, which holds the length of the batch", i))
			}
		}
		if k.ranked && marks(k.shape) == 1 {
			continue
		}
		if marks(k.shape) > 1 {
			return nil, refuse(fmt.Errorf("it pairs samples with each other, giving %s", shapeString(k.shape)))
		}
		if k.ranked {
			return nil, refuse(fmt.Errorf("the batch is not kept along one axis; the result is %s", shapeString(k.shape)))
		}
		return nil, refuse(errors.New("the shape of the result is not known, so the batch cannot be followed"))
	}
	return inserted, nil
}

// batchRule says whether an operator keeps the samples of a batch apart, where
// the shape of its result does not already tell: an operator that mixes samples
// and yet keeps the axis.
type batchRule func(call) error

// batchRules lists the operators a batch may pass through. nil means that the
// shape tells all there is to say.
var batchRules = func() map[string]batchRule {
	t := map[string]batchRule{
		"BatchNormalization":           batchNormalization,
		"InstanceNormalization":        firstAxis,
		"GroupNormalization":           firstAxis,
		"LRN":                          firstAxis,
		"Attention":                    attentionBatch,
		"LayerNormalization":           normalizesFrom(-1),
		"SimplifiedLayerNormalization": normalizesFrom(-1),
		"RMSNormalization":             normalizesFrom(-1),
		"MeanVarianceNormalization":    meanVariance,
		"LpNormalization":              along(-1),
		"Softmax":                      softmax,
		"LogSoftmax":                   softmax,
		"Hardmax":                      softmax,
		"CumSum":                       cumSum,
		"Conv":                         firstAxis,
		"ConvInteger":                  firstAxis,
		"QLinearConv":                  firstAxis,
		"ConvTranspose":                firstAxis,
		"AveragePool":                  nil,
		"LpPool":                       nil,
		"MaxPool":                      maxPoolBatch,
		"GlobalAveragePool":            nil,
		"GlobalMaxPool":                nil,
		"GlobalLpPool":                 nil,
		"Gemm":                         gemmBatch,
		"MatMul":                       matMulBatch(1),
		"MatMulInteger":                matMulBatch(1),
		"QLinearMatMul":                matMulBatch(3),
		"Transpose":                    nil,
		"Reshape":                      nil, // by batch.reshape
		"Flatten":                      nil,
		"Squeeze":                      nil,
		"Unsqueeze":                    nil,
		"Concat":                       concatBatch,
		"Split":                        nil,
		"Slice":                        nil,
		"Gather":                       gatherBatch,
		"Pad":                          nil,
		"Expand":                       nil,
		"Tile":                         nil,
		"Resize":                       onlyFirst,
		"Upsample":                     nil,
		"DepthToSpace":                 nil,
		"SpaceToDepth":                 nil,
		"Shape":                        nil,
		"ConstantOfShape":              nil,
		"Cast":                         nil,
		"CastLike":                     nil,
		"QuantizeLinear":               quantizeBatch,
		"DequantizeLinear":             quantizeBatch,
		"Dropout":                      dropoutBatch,
		"Where":                        nil,
		"ArgMax":                       nil,
		"ArgMin":                       nil,
		"TopK":                         nil,
	}
	for _, op := range elementwiseOps {
		t[op] = nil
	}
	t["PRelu"] = prelu
	for _, list := range [][]string{broadcastOps, comparisonOps} {
		for _, op := range list {
			t[op] = broadcastBatch
		}
	}
	for _, op := range predicateOps {
		t[op] = nil
	}
	for _, op := range reduceOps {
		t[op] = nil
	}
	return t
}()

// lengthOperand names the operators that may take lengths computed from the
// batch, and by which operand: they give a result its shape. Anywhere else a
// model that computes with the length of the batch means its own fixed length.
var lengthOperand = map[string]int{"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Resize": 3}

// onlyFirst: the batch may come in by the first operand alone.
func onlyFirst(c call) error {
	for i, k := range c.in {
		if i > 0 && marks(k.shape) > 0 {
			return fmt.Errorf("operand %d depends on the batch; this program can follow it through operand 0 only", i)
		}
	}
	return nil
}

// firstAxis: and there it must be the first axis.
func firstAxis(c call) error {
	if err := onlyFirst(c); err != nil {
		return err
	}
	if a := c.arg(0).batchAxis(); a > 0 {
		return fmt.Errorf("the batch is axis %d; this operator takes it as the first", a)
	}
	return nil
}

func batchNormalization(c call) error {
	outputs := 0
	for _, o := range c.n.Outputs {
		if o != "" {
			outputs++
		}
	}
	if outputs > 1 || c.n.Int("training_mode", 0) != 0 {
		return errors.New("in training mode it normalizes over the batch")
	}
	return firstAxis(c)
}

// normalizesFrom: all axes from the attribute on are folded.
func normalizesFrom(def int64) batchRule {
	return func(c call) error {
		if err := onlyFirst(c); err != nil {
			return err
		}
		k := c.arg(0)
		a, ok := axis(c.n.Int("axis", def), len(k.shape))
		if !ok || k.batchAxis() >= a {
			return errors.New("it normalizes over the batch")
		}
		return nil
	}
}

// along: the axis of the attribute is folded.
func along(def int64) batchRule {
	return func(c call) error {
		k := c.arg(0)
		a, ok := axis(c.n.Int("axis", def), len(k.shape))
		if !ok || k.batchAxis() == a {
			return fmt.Errorf("it works along axis %d, the batch", k.batchAxis())
		}
		return nil
	}
}

// softmax works along one axis since opset 13; before, over all axes from the
// attribute on.
func softmax(c call) error {
	if c.x.opset >= 13 {
		return along(-1)(c)
	}
	return normalizesFrom(1)(c)
}

func meanVariance(c call) error {
	list := c.n.Ints("axes")
	if list == nil {
		list = []int64{0, 2, 3}
	}
	k := c.arg(0)
	if fold, ok := axesOf(list, len(k.shape)); !ok || fold[k.batchAxis()] {
		return errors.New("it normalizes over the batch")
	}
	return nil
}

func cumSum(c call) error {
	k, a := c.arg(0), c.arg(1)
	if !a.told || len(a.elems) != 1 || a.elems[0].Param != "" {
		return errors.New("the axis it sums along is not known")
	}
	if i, ok := axis(a.elems[0].Value, len(k.shape)); !ok || i == k.batchAxis() {
		return errors.New("it sums along the batch")
	}
	return onlyFirst(c)
}

// dropoutBatch wants inference: an operand can ask for training instead.
func dropoutBatch(c call) error {
	if k := c.arg(2); c.has(2) && !(k.told && len(k.elems) == 1 && k.elems[0] == Fixed(0)) {
		return errors.New("in training mode it drops values at random")
	}
	return nil
}

// maxPoolBatch refuses the second output: it holds places in the whole tensor,
// the batch included, which mean something else in every batch.
func maxPoolBatch(c call) error {
	if len(c.n.Outputs) > 1 && c.n.Outputs[1] != "" {
		return errors.New("its second output counts places over the whole batch")
	}
	return firstAxis(c)
}

func gemmBatch(c call) error {
	a, b := c.arg(0), c.arg(1)
	ka, kb := 1, 0 // the axes that are summed over
	if c.n.Int("transA", 0) != 0 {
		ka = 0
	}
	if c.n.Int("transB", 0) != 0 {
		kb = 1
	}
	if a.batchAxis() == ka || b.batchAxis() == kb {
		return errors.New("it sums over the batch")
	}
	if !c.has(2) {
		return nil
	}
	out := gemm(c)[0]
	with := broadcast(out.typ, out, c.arg(2))
	if !with.ranked || !slices.Equal(with.shape, out.shape) {
		return fmt.Errorf("operand 2 of %s does not stretch over a batch", shapeString(c.arg(2).shape))
	}
	return nil
}

func matMulBatch(right int) batchRule {
	return func(c call) error {
		a, b := c.arg(0), c.arg(right)
		if len(a.shape) > 0 && a.batchAxis() == len(a.shape)-1 || len(b.shape) > 0 && b.batchAxis() == max(len(b.shape)-2, 0) {
			return errors.New("it sums over the batch")
		}
		for i, k := range c.in {
			if i != 0 && i != right && k.marked() {
				return fmt.Errorf("operand %d depends on the batch", i)
			}
		}
		return nil
	}
}

// concatBatch wants every tensor to carry the batch on one axis: a constant
// beside it holds a fixed number of samples.
func concatBatch(c call) error {
	if !slices.ContainsFunc(c.in, func(k known) bool { return marks(k.shape) > 0 }) {
		return nil // lists of lengths
	}
	at := c.in[0].batchAxis()
	for i, k := range c.in {
		if k.batchAxis() < 0 {
			return fmt.Errorf("operand %d, of %s, holds a fixed number of samples", i, shapeString(k.shape))
		}
		if k.batchAxis() != at {
			return errors.New("its operands carry the batch on different axes")
		}
	}
	if a, ok := axis(c.n.Int("axis", 1), len(c.in[0].shape)); !ok || a == at {
		return errors.New("it joins batches into one")
	}
	return nil
}

func gatherBatch(c call) error {
	k := c.arg(0)
	if a, ok := axis(c.n.Int("axis", 0), len(k.shape)); marks(k.shape) > 0 && (!ok || a == k.batchAxis()) {
		return errors.New("it picks samples out of the batch")
	}
	return nil
}

// quantizeBatch refuses a scale per sample.
func quantizeBatch(c call) error {
	if err := onlyFirst(c); err != nil {
		return err
	}
	k, scale := c.arg(0), c.arg(1)
	if !scale.ranked || len(scale.shape) > 1 {
		return errors.New("how its scale lies along the axes is not known")
	}
	if len(scale.shape) == 0 {
		return nil
	}
	if n, fixed := scale.shape[0].Fixed(); fixed && n == 1 {
		return nil
	}
	if a, ok := axis(c.n.Int("axis", 1), len(k.shape)); !ok || a == k.batchAxis() {
		return errors.New("it has a scale for each sample")
	}
	return nil
}

func prelu(c call) error {
	if err := onlyFirst(c); err != nil {
		return err
	}
	out := broadcast(Float32, c.in...)
	if !out.ranked || marks(out.shape) != 1 || len(out.shape) != len(c.arg(0).shape) {
		return errors.New("its slope does not stretch over a batch")
	}
	return nil
}

// broadcastBatch: from opset 7 on the shape tells. Before, an operand beside
// the first was aligned by an attribute and did not stretch.
func broadcastBatch(c call) error {
	if c.x.opset >= 7 {
		return nil
	}
	first := c.arg(0)
	for i, k := range c.in {
		same := k.ranked && slices.Equal(k.shape, first.shape)
		less := k.ranked && !k.marked() && len(k.shape) < len(first.shape) && first.batchAxis() == 0 && c.n.Int("axis", 1) > 0
		if i > 0 && !same && !less {
			return fmt.Errorf("operand %d does not carry the batch as operand 0 does", i)
		}
	}
	return nil
}

// reshape checks a Reshape of a batch and, where its constant target fixes the
// batch, writes another. Elements lie in row-major order: with the batch first
// in operand and target the samples stay apart, whatever happens behind.
func (b *batch) reshape(c call) (inserted []*Node, err error) {
	x := c.arg(0)
	want, ok := target(c)
	if !ok {
		return nil, errors.New("its target is computed and not known")
	}
	if marks(x.shape) == 0 {
		if x.told { // a list of lengths
			return nil, nil
		}
		return nil, errors.New("its target depends on the batch and its operand does not")
	}
	if x.batchAxis() != 0 {
		return nil, fmt.Errorf("the batch is axis %d of its operand, not the first", x.batchAxis())
	}
	if len(want) == 0 {
		return nil, errors.New("its target is a single number")
	}
	allowZero := c.n.Int("allowzero", 0) != 0
	open := slices.IndexFunc(want, func(d Dim) bool { return d.Param == "" && d.Value == -1 })
	switch d := want[0]; {
	case d.Param == marker:
		return nil, nil
	case d.Param != "":
		return nil, fmt.Errorf("its target %s begins with another symbol than the batch", shapeString(want))
	case d.Value == 0 && !allowZero:
		return nil, nil
	case d.Value == -1:
		// The inferred shape shows whether this is the batch and no more.
		return nil, nil
	case d.Value != b.n:
		return nil, fmt.Errorf("its target %v does not begin with the batch, %d", lengths(want), b.n)
	}
	to := lengths(want)
	switch {
	case !allowZero:
		to[0] = 0
	case open < 0:
		to[0] = -1
	default:
		return nil, fmt.Errorf("its target %v fixes the batch, and with allowzero and a -1 already there it cannot be written otherwise", to)
	}
	if b.opset < 5 {
		c.n.SetAttr(AttrInts("shape", to...))
		return nil, nil
	}
	return b.retarget(c, to)
}

// lengths writes a target as numbers; a symbol counts as unknown.
func lengths(dims []Dim) []int64 {
	out := make([]int64, len(dims))
	for i, d := range dims {
		out[i] = d.Value
	}
	return out
}

// retarget gives a Reshape another constant target. An initializer that serves
// nothing else is replaced; else a Constant is put before the node.
func (b *batch) retarget(c call, to []int64) ([]*Node, error) {
	name := c.n.Inputs[1]
	t := Int64s(name, []int64{int64(len(to))}, to)
	if len(b.index.Consumers(name)) == 1 && !b.index.Output(name) {
		for i, have := range b.graph.Initializers {
			if have.Name == name {
				b.graph.Initializers[i] = t
				c.x.set(name, constant(t))
				return nil, nil
			}
		}
	}
	fresh := b.graph.FreshName(name + "_batch")
	t.Name = ""
	c.n.Inputs[1] = fresh
	return []*Node{{Name: fresh, Op: "Constant", Outputs: []string{fresh}, Attrs: []*Attr{AttrTensor("value", t)}}}, nil
}
