package rewrite

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// EndingKind is the function by which a classifier makes its output of logits.
type EndingKind string

// The kinds of ending.
const (
	NoEnding         EndingKind = "" // the output is taken as it is
	SoftmaxEnding    EndingKind = "softmax"
	LogSoftmaxEnding EndingKind = "log-softmax" // or the logarithm of a softmax, perhaps clipped
	SigmoidEnding    EndingKind = "sigmoid"     // of each class apart, or the logarithm of one
)

// Ending is what lies between a classifier's logits and its output.
//
// Logits are what the function of the ending is applied to. A distillation
// softens them and takes their softmax, so probabilities in their place would
// teach next to nothing: they differ by 1 at most. The answer with the highest
// score is the same before and after.
//
// A constant that logits are divided by before a softmax, its temperature, stays
// part of them: softmax(Logits) is what the file gives, and a student of the
// file begins as the function that is in it. Whoever softens further multiplies
// the two temperatures.
//
// Logits before a sigmoid were trained to tell each class from all others. Their
// softmax is no probability of the file's, but it ranks the classes as the file
// does and says by how much.
type Ending struct {
	Kind   EndingKind
	Output string // of the model
	Logits string // the value with the logits; Output where there is no ending
	// Temperature is what logits were divided by just before: z/T has it kept in
	// it. 1 where there is none.
	Temperature float64
}

// String says in a sentence what the ending means for the logits; it is empty
// where there is none.
func (e Ending) String() string {
	if e.Kind == NoEnding {
		return ""
	}
	s := fmt.Sprintf("output %q ends in a %s; logits are taken before it", e.Output, e.Kind)
	if e.Temperature != 1 && e.Kind != SigmoidEnding {
		s += fmt.Sprintf(", where they are divided by a temperature of %s already", strconv.FormatFloat(e.Temperature, 'g', 4, 64))
	}
	return s
}

// Ending finds how an output of the model is made of logits: by a softmax, a
// log-softmax or a sigmoid, as one node or written out, perhaps shifted by the
// largest logit, clipped, scaled by a constant, its logarithm taken, and brought
// into another form or type. The softmax must be over the classes: all elements
// of a sample.
func (n *Normal) Ending(output string) Ending {
	none := Ending{Output: output, Logits: output, Temperature: 1}
	if n.Model.Graph == nil {
		return none
	}
	w := &endWalk{x: n.Model.Graph.Index(), model: n.Model, opset: n.Model.Opset()}
	kind, logits := w.walk(output)
	if kind == NoEnding {
		return none
	}
	return Ending{Kind: kind, Output: output, Logits: logits, Temperature: w.temperature(logits)}
}

// endWalk walks from an output back to the function that made it.
type endWalk struct {
	x        *onnx.Index
	model    *onnx.Model
	opset    int64
	inferred map[string]*onnx.Value // nil until asked for
}

// sameScores change the form or type of scores and no score.
var sameScores = []string{"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}

// negligible bounds what is added to probabilities, or clipped off them, to keep
// their logarithm finite.
const negligible = 1e-3

// walk returns what function gives v, and the value it is applied to.
func (w *endWalk) walk(v string) (EndingKind, string) {
	log := false     // a logarithm was passed
	changed := false // scores were scaled, clipped or added to behind the logarithm, if any
	for {
		n := w.node(v)
		if n == nil {
			return NoEnding, ""
		}
		kind, logits := w.function(n)
		switch {
		case kind == LogSoftmaxEnding && (log || changed): // its logarithm, or a multiple of it, is another function
			return NoEnding, ""
		case kind == SoftmaxEnding && log:
			return LogSoftmaxEnding, logits
		case kind != NoEnding:
			return kind, logits
		case n.Op == "Cast" && !onnx.DataType(n.Int("to", 0)).Float():
			return NoEnding, ""
		case slices.Contains(sameScores, n.Op), n.Op == "Concat" && len(n.Inputs) == 1:
			v = n.Inputs[0]
		case n.Op == "Log" && !log && !changed:
			log, v = true, n.Inputs[0]
		case n.Op == "Exp" && !log:
			if kind, logits = w.walk(n.Inputs[0]); kind == LogSoftmaxEnding {
				return SoftmaxEnding, logits
			}
			return NoEnding, ""
		default:
			from, ok := w.nudge(n)
			if !ok {
				return NoEnding, ""
			}
			changed, v = changed || !log, from
		}
	}
}

// ofTwo are the operators of the walk that take two operands.
var ofTwo = []string{"Add", "Sub", "Mul", "Div"}

// node returns the standard operator that makes a value as its first result, or
// nil. A file may give it any number of operands.
func (w *endWalk) node(v string) *onnx.Node {
	n := w.x.Producer(v)
	if n == nil || onnx.CanonicalDomain(n.Domain) != "" || len(n.Inputs) == 0 || n.Inputs[0] == "" || n.Outputs[0] != v {
		return nil
	}
	if slices.Contains(ofTwo, n.Op) && len(n.Inputs) != 2 {
		return nil
	}
	return n
}

// function recognises a softmax, log-softmax or sigmoid in the node that
// computes its last step.
func (w *endWalk) function(n *onnx.Node) (EndingKind, string) {
	switch n.Op {
	case "Sigmoid":
		return SigmoidEnding, n.Inputs[0]
	case "Softmax", "LogSoftmax":
		if !w.overClasses(n.Inputs[0], w.softmaxAxes(n)) {
			return NoEnding, ""
		}
		if n.Op == "Softmax" {
			return SoftmaxEnding, n.Inputs[0]
		}
		return LogSoftmaxEnding, n.Inputs[0]
	case "Div":
		if z := w.exponentials(n.Inputs[0], n.Inputs[1]); z != "" {
			return SoftmaxEnding, z
		}
		if one, ok := w.scalar(n.Inputs[0]); ok && one == 1 {
			return w.logistic(n.Inputs[1])
		}
	case "Reciprocal":
		return w.logistic(n.Inputs[0])
	case "Mul":
		for i := range 2 {
			if r := w.node(n.Inputs[1-i]); r != nil && r.Op == "Reciprocal" {
				if z := w.exponentials(n.Inputs[i], r.Inputs[0]); z != "" {
					return SoftmaxEnding, z
				}
			}
		}
	case "Sub":
		if z := w.logSum(n.Inputs[0], n.Inputs[1]); z != "" {
			return LogSoftmaxEnding, z
		}
	}
	return NoEnding, ""
}

// exponentials returns z where e is exp(z), perhaps shifted, and sum its sum over
// the classes; else nothing.
func (w *endWalk) exponentials(e, sum string) string {
	exp, s := w.node(e), w.node(sum)
	if exp == nil || exp.Op != "Exp" || s == nil || s.Op != "ReduceSum" || s.Inputs[0] != e || !w.overClasses(e, w.reducedAxes(s, 13)) {
		return ""
	}
	return w.unshifted(exp.Inputs[0])
}

// logSum returns z where sum is log Σ exp(z) over the classes; else nothing. z
// may be shifted.
func (w *endWalk) logSum(z, sum string) string {
	s := w.node(sum)
	if s == nil {
		return ""
	}
	switch s.Op {
	case "ReduceLogSumExp":
		if s.Inputs[0] == z && w.overClasses(z, w.reducedAxes(s, 18)) {
			return w.unshifted(z)
		}
	case "Log":
		r := w.node(s.Inputs[0])
		if r == nil || r.Op != "ReduceSum" {
			return ""
		}
		if exp := w.node(r.Inputs[0]); exp != nil && exp.Op == "Exp" && exp.Inputs[0] == z && w.overClasses(z, w.reducedAxes(r, 13)) {
			return w.unshifted(z)
		}
	}
	return ""
}

// unshifted returns z where v is z - max z, which changes no softmax; else v.
func (w *endWalk) unshifted(v string) string {
	n := w.node(v)
	if n == nil || n.Op != "Sub" {
		return v
	}
	if m := w.node(n.Inputs[1]); m != nil && m.Op == "ReduceMax" && m.Inputs[0] == n.Inputs[0] && w.overClasses(n.Inputs[0], w.reducedAxes(m, 18)) {
		return n.Inputs[0]
	}
	return v
}

// logistic returns z where v is 1 + exp(-z).
func (w *endWalk) logistic(v string) (EndingKind, string) {
	n := w.node(v)
	if n == nil || n.Op != "Add" {
		return NoEnding, ""
	}
	for i := range 2 {
		one, ok := w.scalar(n.Inputs[i])
		exp := w.node(n.Inputs[1-i])
		if !ok || one != 1 || exp == nil || exp.Op != "Exp" {
			continue
		}
		if neg := w.node(exp.Inputs[0]); neg != nil && neg.Op == "Neg" {
			return SigmoidEnding, neg.Inputs[0]
		}
	}
	return NoEnding, ""
}

// nudge passes over a node that scales probabilities by a positive constant, or
// keeps them from 0 and 1, and returns its operand.
func (w *endWalk) nudge(n *onnx.Node) (from string, ok bool) {
	operand := func(of func(c float64) bool) (string, bool) {
		for i := range min(2, len(n.Inputs)) {
			if c, ok := w.scalar(n.Inputs[i]); ok && len(n.Inputs) == 2 && of(c) && (i == 1 || n.Op != "Div" && n.Op != "Sub") {
				return n.Inputs[1-i], true
			}
		}
		return "", false
	}
	switch n.Op {
	case "Mul", "Div":
		return operand(func(c float64) bool { return c > 0 && !math.IsInf(c, 1) })
	case "Add", "Sub":
		return operand(func(c float64) bool { return math.Abs(c) <= negligible })
	case "Max":
		return operand(func(c float64) bool { return c <= negligible })
	case "Min":
		return operand(func(c float64) bool { return c >= 1-negligible })
	case "Clip":
		least, most, known := w.bounds(n)
		return n.Inputs[0], known && least <= negligible && most >= 1-negligible
	}
	return "", false
}

// bounds returns those of a Clip, which are attributes before opset 11.
func (w *endWalk) bounds(n *onnx.Node) (least, most float64, known bool) {
	least, most = math.Inf(-1), math.Inf(1)
	for i, bound := range []*float64{&least, &most} {
		if a := n.Attr([]string{"min", "max"}[i]); a != nil {
			*bound = float64(a.Float)
		}
		if len(n.Inputs) > i+1 && n.Inputs[i+1] != "" {
			c, ok := w.scalar(n.Inputs[i+1])
			if !ok {
				return 0, 0, false
			}
			*bound = c
		}
	}
	return least, most, true
}

// temperature is the constant that logits were divided by, or 1.
func (w *endWalk) temperature(logits string) float64 {
	n := w.node(logits)
	if n == nil || len(n.Inputs) != 2 {
		return 1
	}
	for i := range 2 {
		c, ok := w.scalar(n.Inputs[i])
		switch {
		case !ok || !(c > 0) || math.IsInf(c, 1):
		case n.Op == "Mul":
			return 1 / c
		case n.Op == "Div" && i == 1:
			return c
		}
	}
	return 1
}

// scalar returns the one element of a constant.
func (w *endWalk) scalar(v string) (float64, bool) {
	t := constant(w.x, v)
	if t == nil || !t.Type.Float() {
		return 0, false
	}
	if n, err := t.Len(); err != nil || n != 1 {
		return 0, false
	}
	data, err := floats(t)
	return append(data, 0)[0], err == nil
}

// softmaxAxes are the axes a softmax works along: one since opset 13, before all
// from the attribute on.
func (w *endWalk) softmaxAxes(n *onnx.Node) axes {
	if w.opset >= 13 {
		return axes{list: []int64{n.Int("axis", -1)}}
	}
	return axes{list: []int64{n.Int("axis", 1)}, behind: true}
}

// reducedAxes are the axes of a reduction, which are an operand since an opset.
func (w *endWalk) reducedAxes(n *onnx.Node, since int64) axes {
	if n.Int("keepdims", 1) == 0 { // its result would be aligned with other axes
		return axes{}
	}
	if w.opset < since {
		return axes{list: n.Ints("axes")}
	}
	if len(n.Inputs) < 2 {
		return axes{}
	}
	t := constant(w.x, n.Inputs[1])
	if t == nil {
		return axes{}
	}
	list, err := t.Int64s()
	if err != nil {
		return axes{}
	}
	return axes{list: list}
}

// axes are those that an operator works along; negative ones count from the end.
type axes struct {
	list   []int64
	behind bool // and all behind the one that is listed
}

// overClasses reports whether axes of a value [batch, ...] are all that have
// more than one element, beside the batch. Where the shape is not known, the
// second or the last axis is believed to be that of the classes.
func (w *endWalk) overClasses(v string, a axes) bool {
	if len(a.list) == 0 {
		return false
	}
	shape := w.shape(v)
	if shape == nil {
		return len(a.list) == 1 && (a.list[0] == 1 || a.list[0] == -1)
	}
	along := make([]bool, len(shape))
	for _, i := range a.list {
		if i < 0 {
			i += int64(len(shape))
		}
		if i < 1 || i >= int64(len(shape)) {
			return false
		}
		along[i] = true
		for k := int(i); a.behind && k < len(shape); k++ {
			along[k] = true
		}
	}
	most := int64(0) // classes along the axes, where known
	for i, d := range shape[1:] {
		n, fixed := d.Fixed()
		switch {
		case along[i+1] && fixed:
			most = max(most, n)
		case along[i+1]:
			most = math.MaxInt64
		case fixed && n != 1:
			return false
		}
	}
	return most > 1
}

// shape is what is known of a value's shape, nil where that is not even its rank.
func (w *endWalk) shape(v string) []onnx.Dim {
	if w.inferred == nil {
		w.inferred = onnx.Infer(w.model)
	}
	if k := w.inferred[v]; k != nil && k.HasShape {
		return k.Shape
	}
	return nil
}
