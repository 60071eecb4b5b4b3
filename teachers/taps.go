package teachers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/xrash/smetrics"

	"github.com/onnxdistill/onnxdistill/onnx"
)

var (
	nhwcToNCHW = []int64{0, 3, 1, 2}
	nchwToNHWC = []int64{0, 2, 3, 1}
)

func permutes(perm, want []int64) bool { return slices.Equal(perm, want) }

// spatialOps work on [N, C, ...spatial axes] by definition: their first operand
// and first result are NCHW.
var spatialOps = set(
	"AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace", "FusedConv",
	"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN",
	"LpPool", "MaxPool", "QLinearConv", "SpaceToDepth")

// samePlaceOps keep the order of the axes of their tensor operands.
var samePlaceOps = set(
	"Abs", "Add", "Cast", "Ceil", "Celu", "Clip", "Concat", "DequantizeLinear", "Div", "Dropout", "Elu", "Erf", "Exp",
	"Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Mean", "Min", "Mish", "Mul",
	"Neg", "PRelu", "Pad", "Pow", "QuantizeLinear", "Relu", "Resize", "Selu", "Sigmoid", "Slice", "Softplus", "Softsign",
	"Split", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "ThresholdedRelu", "Upsample", "Where",
	// Dense layers and normalisation over the last axis, as channels-last
	// networks have them.
	"LayerNormalization", "MatMul")

// weighingOps are where a network's learned features begin: what lies before
// the first of them is still the image.
var weighingOps = set("Conv", "ConvInteger", "ConvTranspose", "FusedConv", "Gemm", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul")

// shapeOps tell the size of a tensor and pass none of its content on.
var shapeOps = set("Shape", "Size")

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// throats returns, in graph order, the values that every path from image to
// logits passes through: the dominators of the logits in the graph of values,
// without the image and the logits. Values made before any learned weight are
// left out, and so is what a Pad makes: its operand with a margin.
//
// All values that lie on some path are numbered in graph order, in which every
// edge, from an operand to a result of one node, leads upwards. A value then lies on
// all paths exactly when no edge leads from below it to above it: such an edge is
// part of a path around it, and a path around it has such an edge. Of the edges of
// an operand the longest counts alone. Edges through Shape carry no image and do
// not count; exporters like to compute the last Reshape from the first tensor.
func throats(g *onnx.Graph, x *onnx.Index, image, logits string) []string {
	operands := map[*onnx.Node][]string{} // those that the image leads to
	learned := map[string]bool{}          // values that it leads to, and whether by a learned weight
	order := []string{image}
	follow := func(v string, weighed bool) {
		learned[v] = weighed
		for _, n := range x.Consumers(v) {
			if !shapeOps[n.Op] {
				operands[n] = append(operands[n], v)
			}
		}
	}
	follow(image, false)
	for _, n := range g.Nodes {
		if len(operands[n]) == 0 {
			continue
		}
		weighed := weighingOps[n.Op] || slices.ContainsFunc(operands[n], func(v string) bool { return learned[v] })
		for _, o := range n.Outputs {
			if o != "" {
				order = append(order, o)
				follow(o, weighed)
			}
		}
	}
	// Backwards: only what leads to the logits counts.
	leads := map[string]bool{logits: true}
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(o string) bool { return leads[o] }) {
			for _, v := range operands[n] {
				leads[v] = true
			}
		}
	}
	order = slices.DeleteFunc(order, func(v string) bool { return !leads[v] })
	at := make(map[string]int, len(order))
	for i, v := range order {
		at[v] = i
	}
	furthest := make(map[*onnx.Node]int, len(operands)) // of a node's results
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if leads[o] {
				furthest[n] = max(furthest[n], at[o])
			}
		}
	}
	var out []string
	far := 0 // where the longest edge out of the values so far leads
	for i, v := range order {
		if far <= i && v != image && v != logits && learned[v] && x.Producer(v).Op != "Pad" {
			out = append(out, v)
		}
		for _, n := range x.Consumers(v) {
			if !shapeOps[n.Op] {
				far = max(far, furthest[n])
			}
		}
	}
	return out
}

// layouts works out the axis order of the graph's four-axis values, as far as
// operators that fix it, and the image, tell. It spreads what is known forwards,
// backwards, and from then on from each value learned to the nodes that touch it.
func layouts(g *onnx.Graph, x *onnx.Index, image string, layout Layout) map[string]Layout {
	known := map[string]Layout{image: layout}
	var fresh []string               // values learned
	settled := map[*onnx.Node]bool{} // whose values are all known
	learn := func(v string, l Layout) {
		if v == "" || l == "" || known[v] != "" || x.Constant(v) != nil {
			return
		}
		known[v], fresh = l, append(fresh, v)
	}
	visit := func(n *onnx.Node) {
		if len(n.Inputs) == 0 || len(n.Outputs) == 0 {
			return
		}
		switch {
		case spatialOps[n.Op]:
			learn(n.Inputs[0], NCHW)
			learn(n.Outputs[0], NCHW)
		case n.Op == "Transpose":
			switch p := n.Ints("perm"); {
			case permutes(p, nhwcToNCHW) && known[n.Inputs[0]] != NCHW:
				learn(n.Inputs[0], NHWC)
				learn(n.Outputs[0], NCHW)
			case permutes(p, nchwToNHWC) && known[n.Inputs[0]] != NHWC:
				learn(n.Inputs[0], NCHW)
				learn(n.Outputs[0], NHWC)
			}
		case samePlaceOps[n.Op] && !settled[n]:
			var l Layout
			for _, v := range slices.Concat(n.Inputs, n.Outputs) {
				l = cmp.Or(l, known[v])
			}
			for _, v := range slices.Concat(n.Inputs, n.Outputs) {
				learn(v, l)
			}
			settled[n] = l != ""
		}
	}
	for _, n := range g.Nodes {
		visit(n)
	}
	fresh = nil
	for _, n := range slices.Backward(g.Nodes) {
		visit(n)
	}
	// What the way forwards taught, the way back has passed on.
	for len(fresh) > 0 {
		v := fresh[0]
		fresh = fresh[1:]
		if n := x.Producer(v); n != nil {
			visit(n)
		}
		for _, n := range x.Consumers(v) {
			visit(n)
		}
	}
	return known
}

// signlessOps give no negative number, whatever they are given.
var signlessOps = set("Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus")

// signKeepingOps give a negative number only when an operand holds one. Of
// Dropout the first operand alone counts; the others are its rate and mode.
var signKeepingOps = set("Add", "AveragePool", "Concat", "Dropout", "GlobalAveragePool", "Identity", "Max", "MaxPool", "Mul", "Sum", "Transpose")

// signless finds values that are never below zero, by the operators that
// make them.
func signless(g *onnx.Graph, x *onnx.Index) map[string]bool {
	known := map[string]bool{}
	for _, n := range g.Nodes {
		if onnx.CanonicalDomain(n.Domain) != "" || len(n.Outputs) == 0 || len(n.Inputs) == 0 {
			continue
		}
		operands := n.Inputs
		if n.Op == "Dropout" {
			operands = operands[:1]
		}
		known[n.Outputs[0]] = signlessOps[n.Op] || n.Op == "Clip" && clipsAtZero(n, x) ||
			signKeepingOps[n.Op] && !slices.ContainsFunc(operands, func(v string) bool { return !known[v] })
	}
	return known
}

// clipsAtZero tells whether both bounds of a Clip that are there are zero
// or more; the upper one wins over the lower where they cross. The bounds are
// attributes before opset 11 and operands since.
func clipsAtZero(n *onnx.Node, x *onnx.Index) bool {
	least, most := n.Float("min", -1), n.Float("max", 1)
	for i, bound := range []*float32{&least, &most} {
		if len(n.Inputs) <= i+1 || n.Inputs[i+1] == "" {
			continue
		}
		c := x.Constant(n.Inputs[i+1])
		if c == nil {
			return false
		}
		v, err := c.Float32s()
		if err != nil || len(v) != 1 {
			return false
		}
		*bound = v[0]
	}
	return least >= 0 && most >= 0
}

// tapAt reads a value's shape in its layout. It reports false for anything but
// four axes of positive length with some height and width.
func tapAt(name string, shape []int64, l Layout) (Tap, bool) {
	if len(shape) != 4 || slices.Min(shape) < 1 {
		return Tap{}, false
	}
	t := Tap{Name: name, Layout: l, C: int(shape[1]), H: int(shape[2]), W: int(shape[3])}
	if l == NHWC {
		t.H, t.W, t.C = int(shape[1]), int(shape[2]), int(shape[3])
	}
	return t, t.H > 1 && t.W > 1
}

// suggest marks the last tap of each resolution; taps are in graph order.
func suggest(taps []Tap) {
	last := map[[2]int]int{}
	for i, t := range taps {
		last[[2]int{t.H, t.W}] = i
	}
	for _, i := range last {
		taps[i].Suggested = true
	}
}

// valueNamed finds the value a user means: by its name, or by the name of the
// node that makes it where the node makes one value only.
func valueNamed(g *onnx.Graph, name string) (string, error) {
	var all []string
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o == name {
				return o, nil
			}
			if o != "" {
				all = append(all, o)
			}
		}
	}
	for _, n := range g.Nodes {
		if n.Name == name && len(n.Outputs) == 1 {
			return n.Outputs[0], nil
		}
	}
	hint := ""
	if close := nearest(name, all, 5); len(close) > 0 {
		hint = "did you mean " + quoted(close) + "? "
	}
	return "", fmt.Errorf("teachers: no value of the model is called %q; %s`distill inspect` lists the taps", name, hint)
}

// nearest returns up to limit names that look like name, the closest first:
// those that contain it or are a few edits away.
func nearest(name string, all []string, limit int) []string {
	type match struct {
		name     string
		distance int
	}
	var found []match
	lower := strings.ToLower(name)
	for _, a := range all {
		d := smetrics.WagnerFischer(lower, strings.ToLower(a), 1, 1, 1)
		if d > max(2, len(name)/3) {
			if len(name) < 3 || !strings.Contains(strings.ToLower(a), lower) {
				continue
			}
		}
		found = append(found, match{a, d})
	}
	slices.SortStableFunc(found, func(a, b match) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, m := range found[:min(limit, len(found))] {
		out = append(out, m.name)
	}
	return out
}
