package onnx

import (
	"encoding/binary"
	"slices"
)

// Infer tells what it can of the type and shape of the main graph's values
// from the operators, without running them: inputs, initializers and node
// outputs. A value it can tell nothing of is missing; an axis it cannot tell
// is Unknown. Where an operator's rule gives nothing the model's own
// declaration is believed.
//
// It knows the operators of image classifiers and what exporters put around
// them, of the default domain; not If, Loop, recurrent networks or functions.
func Infer(m *Model) map[string]*Value {
	x := newInferrer(m)
	for _, n := range m.Graph.Nodes {
		x.node(n)
	}
	out := make(map[string]*Value, len(x.known))
	for name, k := range x.known {
		if k.typ != Undefined || k.ranked {
			out[name] = &Value{Name: name, Type: k.typ, Shape: slices.Clone(k.shape), HasShape: k.ranked}
		}
	}
	return out
}

// known is what is known of a value.
type known struct {
	typ    DataType
	ranked bool
	shape  []Dim // when ranked

	// elems is the elements of a small integer or bool tensor in row-major order, when
	// told: such values are shapes, axes, pads and sizes. An element may be
	// any number, or a symbolic length that came from operator Shape. The
	// shape is then fixed.
	elems []Dim
	told  bool
}

func tensorOf(t DataType, shape ...Dim) known { return known{typ: t, ranked: true, shape: shape} }

// listOf is the int64 list of the given elements.
func listOf(elems []Dim) known {
	return known{typ: Int64, ranked: true, shape: []Dim{Fixed(int64(len(elems)))}, elems: elems, told: true}
}

// maxElems is the most elements that are followed: larger tensors are no
// shapes.
const maxElems = 64

// inferrer walks a graph's nodes in order.
type inferrer struct {
	opset  int64
	known  map[string]known
	decl   map[string]*Value
	floats map[string][]float32 // short constant lists and numbers, for the scales of Resize
}

func newInferrer(m *Model) *inferrer {
	x := &inferrer{
		opset: m.Opset(), known: make(map[string]known), decl: make(map[string]*Value), floats: make(map[string][]float32),
	}
	for _, list := range [][]*Value{m.Graph.Outputs, m.Graph.Values} {
		for _, v := range list {
			x.decl[v.Name] = v
		}
	}
	for _, v := range m.Graph.Inputs {
		x.set(v.Name, known{typ: v.Type, ranked: v.HasShape, shape: v.Shape})
	}
	for _, t := range m.Graph.Initializers {
		x.set(t.Name, constant(t))
		x.noteFloats(t.Name, t)
	}
	return x
}

// maxRank is the most axes that are followed. ONNX Runtime's limit for most
// operators is 8; a hostile file may ask for millions, at every value.
const maxRank = 64

func (x *inferrer) set(name string, k known) {
	if len(k.shape) > maxRank {
		k = known{typ: k.typ}
	}
	if k.told {
		if n, fixed := product(k.shape).Fixed(); !k.ranked || !fixed || n > maxElems || n != int64(len(k.elems)) {
			k.elems, k.told = nil, false
		}
	}
	x.known[name] = k
}

func (x *inferrer) noteFloats(name string, t *Tensor) {
	if t.Type == Float32 && (len(t.Dims) == 0 || len(t.Dims) == 1 && t.Dims[0] <= maxElems) {
		if v, err := t.Float32s(); err == nil {
			x.floats[name] = v
		}
	}
}

// constant is what is known of a tensor.
func constant(t *Tensor) known {
	k := known{typ: t.Type, ranked: true}
	for _, d := range t.Dims {
		k.shape = append(k.shape, Fixed(d))
	}
	width := 0
	switch t.Type {
	case Int64:
		width = 8
	case Int32:
		width = 4
	case Bool:
		width = 1
	}
	n, err := elements(t.Dims)
	if width == 0 || err != nil || n > maxElems || int64(len(t.Data)) != n*int64(width) {
		return k
	}
	k.told = true
	for i := range int(n) {
		var v int64
		switch width {
		case 8:
			v = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
		case 4:
			v = int64(int32(binary.LittleEndian.Uint32(t.Data[4*i:])))
		default:
			v = int64(t.Data[i])
		}
		k.elems = append(k.elems, Dim{Value: v})
	}
	return k
}

// node infers the outputs of n and records them.
func (x *inferrer) node(n *Node) {
	var out []known
	if CanonicalDomain(n.Domain) == "" {
		if rule := inference[n.Op]; rule != nil {
			in := make([]known, len(n.Inputs))
			for i, name := range n.Inputs {
				in[i] = x.known[name]
			}
			out = rule(call{x: x, n: n, in: in})
		}
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		var k known
		if i < len(out) {
			k = out[i]
		}
		if d := x.decl[name]; d != nil {
			if k.typ == Undefined {
				k.typ = d.Type
			}
			if !k.ranked && d.HasShape {
				k.ranked, k.shape = true, d.Shape
			}
			if k.ranked && d.HasShape && len(k.shape) == len(d.Shape) {
				k.shape = slices.Clone(k.shape)
				for j, a := range k.shape {
					if _, fixed := d.Shape[j].Fixed(); fixed && a.Param == "" && a.Value < 0 {
						k.shape[j] = d.Shape[j]
					}
				}
			}
		}
		x.set(name, k)
	}
}

// call is one node with what is known of its operands.
type call struct {
	x  *inferrer
	n  *Node
	in []known
}

// arg returns operand i, nothing known when it is left out.
func (c call) arg(i int) known {
	if i < len(c.in) {
		return c.in[i]
	}
	return known{}
}

// has reports whether operand i is given.
func (c call) has(i int) bool { return i < len(c.n.Inputs) && c.n.Inputs[i] != "" }

// ints returns fixed integers that are operand i since the given opset and the
// attribute of the given name before. given tells whether there are any to
// know; ok that they are known.
func (c call) ints(i int, attr string, since int64) (v []int64, given, ok bool) {
	if c.x.opset < since {
		v = c.n.Ints(attr)
		return v, v != nil, true
	}
	if !c.has(i) {
		return nil, false, true
	}
	k := c.arg(i)
	if !k.told {
		return nil, true, false
	}
	for _, d := range k.elems {
		if d.Param != "" {
			return nil, true, false
		}
		v = append(v, d.Value)
	}
	return v, true, true
}

// axis brings an axis of a tensor of the given rank into 0..rank-1.
func axis(a int64, rank int) (int, bool) {
	if a < 0 {
		a += int64(rank)
	}
	return int(a), a >= 0 && a < int64(rank)
}

// axes does so for a list and returns the set.
func axesOf(list []int64, rank int) (map[int]bool, bool) {
	out := make(map[int]bool, len(list))
	for _, a := range list {
		i, ok := axis(a, rank)
		if !ok {
			return nil, false
		}
		out[i] = true
	}
	return out, true
}

// rule infers the outputs of a call; outputs it says nothing of may be left
// off the end.
type rule func(call) []known

// inference is what is known of each operator's outputs.
var inference = func() map[string]rule {
	t := map[string]rule{
		"BatchNormalization": first,
		"Attention":          attention,
		"LayerNormalization": first,
		"RotaryEmbedding":    first,
		// ONNX Runtime's name of RMSNormalization.
		"SimplifiedLayerNormalization": first,
		"GlobalAveragePool":            globalPool,
		"GlobalMaxPool":                globalPool,
		"GlobalLpPool":                 globalPool,
		"AveragePool":                  pool,
		"LpPool":                       pool,
		"MaxPool":                      maxPool,
		"Conv":                         func(c call) []known { return conv(c, 1, c.arg(0).typ) },
		"ConvInteger":                  func(c call) []known { return conv(c, 1, Int32) },
		"QLinearConv":                  func(c call) []known { return conv(c, 3, c.arg(7).typ) },
		"ConvTranspose":                convTranspose,
		"Gemm":                         gemm,
		"MatMul":                       func(c call) []known { return matMul(c, 1, c.arg(0).typ) },
		"MatMulInteger":                func(c call) []known { return matMul(c, 1, Int32) },
		"QLinearMatMul":                func(c call) []known { return matMul(c, 3, c.arg(7).typ) },
		"Transpose":                    transpose,
		"Reshape":                      reshape,
		"Flatten":                      flatten,
		"Squeeze":                      squeeze,
		"Unsqueeze":                    unsqueeze,
		"Concat":                       concat,
		"Split":                        split,
		"Slice":                        slice,
		"Gather":                       gather,
		"Pad":                          pad,
		"Expand":                       expand,
		"Tile":                         tile,
		"Resize":                       resize,
		"Upsample":                     upsample,
		"DepthToSpace":                 depthToSpace,
		"SpaceToDepth":                 spaceToDepth,
		"Shape":                        shape,
		"Size":                         func(call) []known { return []known{tensorOf(Int64)} },
		"Constant":                     constantNode,
		"ConstantOfShape":              constantOfShape,
		"Cast":                         cast,
		"CastLike":                     func(c call) []known { return retyped(c, c.arg(1).typ) },
		"QuantizeLinear":               quantize,
		"DequantizeLinear":             func(c call) []known { return retyped(c, c.arg(1).typ) },
		"DynamicQuantizeLinear":        dynamicQuantize,
		"Dropout":                      dropout,
		"Where":                        where,
		"ArgMax":                       func(c call) []known { return reduced(c, Int64) },
		"ArgMin":                       func(c call) []known { return reduced(c, Int64) },
		"TopK":                         topK,
	}
	for _, op := range unaryOps {
		t[op] = first
	}
	for _, op := range broadcastOps {
		t[op] = broadcastAll
	}
	for _, op := range comparisonOps {
		t[op] = func(c call) []known {
			out := broadcastAll(c)
			out[0].typ, out[0].elems, out[0].told = Bool, nil, false
			if len(c.in) == 2 && c.in[0].told && c.in[1].told {
				out[0].elems, out[0].told = compared(c.n.Op, c.in[0].elems, c.in[1].elems)
			}
			return out
		}
	}
	for _, op := range predicateOps {
		t[op] = func(c call) []known { return retyped(c, Bool) }
	}
	for _, op := range reduceOps {
		t[op] = func(c call) []known { return reduced(c, c.arg(0).typ) }
	}
	return t
}()

// Operators that share a rule. Those in the first list compute each element of
// the first output from the element in its place (elementwiseOps), or from its
// neighbours along some axis (axialOps).
var (
	elementwiseOps = []string{
		"Identity", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish",
		"Mish", "Gelu", "Softplus", "Softsign", "Shrink", "Tanh", "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Erf",
		"Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
		"Clip", "PRelu", "Not", "BitwiseNot",
	}
	axialOps = []string{
		"Softmax", "LogSoftmax", "Hardmax", "LRN", "LpNormalization", "MeanVarianceNormalization", "InstanceNormalization",
		"GroupNormalization", "RMSNormalization", "CumSum",
	}
	unaryOps      = slices.Concat(elementwiseOps, axialOps)
	broadcastOps  = []string{"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Mean", "Sum", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"}
	comparisonOps = []string{"And", "Or", "Xor", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"}
	predicateOps  = []string{"IsNaN", "IsInf"}
	reduceOps     = []string{
		"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare",
	}
)
