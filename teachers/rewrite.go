package teachers

import (
	"cmp"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// rewriter appends nodes to a model in the form its opset wants.
type rewriter struct {
	m     *onnx.Model
	names *onnx.Namer // nil until a name is asked for
}

// fresh returns a name that nothing in the graph has.
func (r *rewriter) fresh(hint string) string {
	if r.names == nil {
		r.names = r.m.Graph.Namer()
	}
	return r.names.Fresh(hint)
}

// oldest is the first opset whose arithmetic broadcasts; the maps need it.
const oldest = 7

// node appends a node of the standard operators with one result and returns
// the result's name, which is made from hint.
func (r *rewriter) node(hint, op string, in []string, attrs ...*onnx.Attr) string {
	out := r.fresh(hint)
	r.m.Graph.Nodes = append(r.m.Graph.Nodes, &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	return out
}

// constants lets initializers be added that are no inputs, which IR versions
// before 4 do not know.
func (r *rewriter) constants() { r.m.IRVersion = max(r.m.IRVersion, 4) }

func (r *rewriter) constant(hint string, t *onnx.Tensor) string {
	t.Name = r.fresh(hint)
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
	return r.along(hint, op, x, since, axes, keepdims)
}

// along appends an operator whose axes are an operand since the given opset
// and an attribute before.
func (r *rewriter) along(hint, op, x string, since int64, axes []int64, attrs ...*onnx.Attr) string {
	if r.m.Opset() < since {
		return r.node(hint, op, []string{x}, append(attrs, onnx.AttrInts("axes", axes...))...)
	}
	return r.node(hint, op, []string{x, r.constant(hint+"/axes", onnx.Int64s("", []int64{int64(len(axes))}, axes))}, attrs...)
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
	name := r.fresh(in.name + "/float32")
	for _, v := range r.m.Graph.Inputs {
		if v.Name == in.name {
			v.Name, v.Type = name, onnx.Float32
		}
	}
	cast := &onnx.Node{Name: r.fresh(in.name + "/cast"), Op: "Cast", Inputs: []string{name}, Outputs: []string{in.name},
		Attrs: []*onnx.Attr{onnx.AttrInt("to", int64(in.kind))}}
	r.m.Graph.Nodes = append([]*onnx.Node{cast}, r.m.Graph.Nodes...)
	return name, onnx.Float32
}

// normEpsilon keeps the map of a dead layer at zero in place of dividing by
// zero; it is the default of PyTorch's normalize.
const normEpsilon = 1e-12

// attentions appends the maps of the taps and returns their names, in the
// taps' order. types has the type of each tap's elements.
//
// The nodes are written from the last tap of the graph to the first. ONNX
// Runtime runs what the last node of the list that nobody reads needs, then
// what the one before needs, so that each map is computed as soon as its tap
// is, while the activations are still in the processor's cache, and not after
// the whole network.
func (r *rewriter) attentions(taps []Tap, kind MapKind, power float64, types map[string]onnx.DataType) []string {
	at := map[string]int{}
	for i, n := range r.m.Graph.Nodes {
		for _, o := range n.Outputs {
			at[o] = i
		}
	}
	order := make([]int, len(taps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(at[taps[j].Name], at[taps[i].Name]) })
	known := signless(r.m.Graph, r.m.Graph.Index())
	names := make([]string, len(taps))
	for _, i := range order {
		names[i] = r.attention(taps[i], kind, power, types[taps[i].Name], known[taps[i].Name])
	}
	return names
}

// attention appends a tap's map [N, H, W], in float32, and returns its name. With
// signless the tap is never negative, and what takes its absolute value is left
// out.
func (r *rewriter) attention(t Tap, kind MapKind, power float64, elem onnx.DataType, signless bool) string {
	x, name := t.Name, "distill/"+t.Name
	if elem != onnx.Float32 {
		x = r.toFloat(name+"/float", x)
	}
	abs := func() string {
		if signless {
			return x
		}
		return r.node(name+"/abs", "Abs", []string{x})
	}
	var q string
	switch {
	case kind == MapSum:
		q = r.sumChannels(name, abs(), t)
	case kind == MapSumPow && power == 2:
		q = r.sumChannels(name, r.power(name, x, power), t)
	case kind == MapSumPow:
		q = r.sumChannels(name, r.power(name, abs(), power), t)
	case kind == MapMaxPow:
		// max |A|^p is (max |A|)^p, on C times fewer numbers, and max |A| is the
		// larger of max A and -min A, which reads A twice and writes nothing as
		// large as A.
		channel := int64(1)
		if t.Layout == NHWC {
			channel = 3
		}
		top := r.reduce(name+"/max", "ReduceMax", x, false, channel)
		if !signless {
			low := r.node(name+"/low", "Neg", []string{r.reduce(name+"/min", "ReduceMin", x, false, channel)})
			top = r.node(name+"/top", "Max", []string{top, low})
		}
		q = r.power(name, top, power)
	}
	norm := r.floor(name+"/norm", r.reduce(name+"/length", "ReduceL2", q, true, 1, 2), normEpsilon)
	return r.node(name+"/map", "Div", []string{q, norm})
}

// sumChannels appends the sum over a tap's channels, [N, H, W], of x, which
// has the tap's shape.
//
// With the channels first it is a convolution with ones. ONNX Runtime keeps
// what convolutions read and write in blocks of 8 or 16 channels, and Mul and
// Conv both work on the blocks, while a reduction has them put back in order
// first: as much memory again, read and written. ReduceSumSquare and ReduceL1
// are slow besides, and ReduceSum, which is not, adds up a batch of one in
// another order than a larger batch. These products do not: what a map holds
// does not depend on how many images it is made with.
func (r *rewriter) sumChannels(name, x string, t Tap) string {
	ones := slices.Repeat([]float32{1}, t.C)
	if t.Layout == NHWC {
		w := r.constant(name+"/ones", onnx.Float32s("", []int64{int64(t.C), 1}, ones))
		return r.along(name+"/plane", "Squeeze", r.node(name+"/sum", "MatMul", []string{x, w}), 13, []int64{3})
	}
	w := r.constant(name+"/ones", onnx.Float32s("", []int64{1, int64(t.C), 1, 1}, ones))
	sum := r.node(name+"/sum", "Conv", []string{x, w}, onnx.AttrInts("kernel_shape", 1, 1))
	return r.along(name+"/plane", "Squeeze", sum, 13, []int64{1})
}

// power appends x^p for x that is not negative, or for p of 2.
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
