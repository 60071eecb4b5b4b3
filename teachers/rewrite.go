package teachers

import (
	"github.com/onnxdistill/onnxdistill/onnx"
)

// rewriter appends nodes to a model in the form its opset wants.
type rewriter struct{ m *onnx.Model }

// oldest is the first opset whose arithmetic broadcasts; the maps need it.
const oldest = 7

// node appends a node of the standard operators with one result and returns
// the result's name, which is made from hint.
func (r *rewriter) node(hint, op string, in []string, attrs ...*onnx.Attr) string {
	out := r.m.Graph.FreshName(hint)
	r.m.Graph.Nodes = append(r.m.Graph.Nodes, &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	return out
}

// constants lets initializers be added that are no inputs, which IR versions
// before 4 do not know.
func (r *rewriter) constants() { r.m.IRVersion = max(r.m.IRVersion, 4) }

func (r *rewriter) constant(hint string, t *onnx.Tensor) string {
	t.Name = r.m.Graph.FreshName(hint)
	r.m.Graph.Initializers = append(r.m.Graph.Initializers, t)
	return t.Name
}

func (r *rewriter) scalar(hint string, v float32) string {
	return r.constant(hint, onnx.Float32s("", nil, []float32{v}))
}

// reduce appends a reduction. The axes moved from an attribute to an operand
// at opset 13 for ReduceSum and at 18 for the others.
func (r *rewriter) reduce(hint, op, x string, keep bool, axes ...int64) string {
	keepdims := onnx.AttrInt("keepdims", 0)
	if keep {
		keepdims.Int = 1
	}
	since := int64(18)
	if op == "ReduceSum" {
		since = 13
	}
	if r.m.Opset() < since {
		return r.node(hint, op, []string{x}, onnx.AttrInts("axes", axes...), keepdims)
	}
	return r.node(hint, op, []string{x, r.constant(hint+"/axes", onnx.Int64s("", []int64{int64(len(axes))}, axes))}, keepdims)
}

// floor appends max(x, least); Max broadcasts since opset 8.
func (r *rewriter) floor(hint, x string, least float32) string {
	if r.m.Opset() < 8 {
		return r.node(hint, "Clip", []string{x}, onnx.AttrFloat("min", least))
	}
	return r.node(hint, "Max", []string{x, r.scalar(hint+"/least", least)})
}

// toFloat appends a conversion to float32.
func (r *rewriter) toFloat(hint, x string) string {
	return r.node(hint, "Cast", []string{x}, onnx.AttrInt("to", int64(onnx.Float32)))
}

// floatInput makes the model take its image as float32 or, where it takes
// bytes, leaves it. It returns the input's name and type. The conversion is a
// node before all others.
func (r *rewriter) floatInput(in imageInput) (string, onnx.DataType) {
	if in.kind == onnx.Float32 || in.kind == onnx.Uint8 {
		return in.name, in.kind
	}
	name := r.m.Graph.FreshName(in.name + "/float32")
	for _, v := range r.m.Graph.Inputs {
		if v.Name == in.name {
			v.Name, v.Type = name, onnx.Float32
		}
	}
	cast := &onnx.Node{Name: r.m.Graph.FreshName(in.name + "/cast"), Op: "Cast", Inputs: []string{name}, Outputs: []string{in.name},
		Attrs: []*onnx.Attr{onnx.AttrInt("to", int64(in.kind))}}
	r.m.Graph.Nodes = append([]*onnx.Node{cast}, r.m.Graph.Nodes...)
	return name, onnx.Float32
}

// normEpsilon keeps the map of a dead layer at zero in place of dividing by
// zero; it is the default of PyTorch's normalize.
const normEpsilon = 1e-12

// attention appends a tap's map, in float32, and returns its name: [N, H, W],
// or [N, H, W, C] for MapRaw.
func (r *rewriter) attention(t Tap, kind MapKind, power float64, elem onnx.DataType) string {
	x, name := t.Name, "distill/"+t.Name
	if elem != onnx.Float32 {
		x = r.toFloat(name+"/float", x)
	}
	channel := int64(1)
	if t.Layout == NHWC {
		channel = 3
	}
	var q string
	switch {
	case kind == MapRaw && t.Layout == NHWC:
		return r.node(name+"/raw", "Identity", []string{x})
	case kind == MapRaw:
		return r.node(name+"/raw", "Transpose", []string{x}, onnx.AttrInts("perm", nchwToNHWC...))
	case kind == MapSum:
		q = r.reduce(name+"/sum", "ReduceL1", x, false, channel)
	case kind == MapSumPow && power == 2:
		q = r.reduce(name+"/sum", "ReduceSumSquare", x, false, channel)
	case kind == MapSumPow:
		a := r.power(name, r.node(name+"/abs", "Abs", []string{x}), power)
		q = r.reduce(name+"/sum", "ReduceSum", a, false, channel)
	case kind == MapMaxPow:
		// max |A|^p is (max |A|)^p, on C times fewer numbers.
		a := r.reduce(name+"/max", "ReduceMax", r.node(name+"/abs", "Abs", []string{x}), false, channel)
		q = r.power(name, a, power)
	}
	norm := r.floor(name+"/norm", r.reduce(name+"/length", "ReduceL2", q, true, 1, 2), normEpsilon)
	return r.node(name+"/map", "Div", []string{q, norm})
}

// power appends x^p for x that is not negative.
func (r *rewriter) power(name, x string, p float64) string {
	switch p {
	case 1:
		return x
	case 2:
		return r.node(name+"/power", "Mul", []string{x, x})
	}
	return r.node(name+"/power", "Pow", []string{x, r.scalar(name+"/exponent", float32(p))})
}

// smallestNormal is the least positive float32 of full precision; log p is
// taken of at least this.
const smallestNormal = 0x1p-126

// logits appends what turns the chosen value into float32 [N, classes] and
// returns its name.
func (r *rewriter) logits(p scorePlan, classes int) string {
	x := p.value
	if p.elem != onnx.Float32 {
		x = r.toFloat("distill/logits/float", x)
	}
	if p.rank != 2 {
		x = r.node("distill/logits/flat", "Flatten", []string{x}, onnx.AttrInt("axis", 1))
	}
	if p.from == LogitsLogP {
		x = r.node("distill/logits/log", "Log", []string{r.floor("distill/logits/floor", x, smallestNormal)})
	}
	return x
}
