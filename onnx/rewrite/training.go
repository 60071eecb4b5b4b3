package rewrite

import (
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// training turns nodes in training mode into those of inference.
type training struct {
	opset int64
	graph *onnx.Graph
	index *onnx.Index
	nodes []*onnx.Node    // of the result
	gone  map[string]bool // values that are no longer made

	norms, untrained, drops int // nodes turned; untrained are among norms
}

// leaveTraining takes what can be taken out of training mode.
func (n *Normal) leaveTraining() {
	g := n.Model.Graph
	t := &training{opset: n.Model.Opset(), graph: g, index: g.Index(), gone: make(map[string]bool)}
	for _, node := range g.Nodes {
		t.nodes = append(t.nodes, node)
		if onnx.CanonicalDomain(node.Domain) != "" || len(node.Outputs) == 0 {
			continue
		}
		switch node.Op {
		case "BatchNormalization":
			t.batchNormalization(node)
		case "Dropout":
			t.dropout(node)
		}
	}
	g.Nodes = t.nodes
	g.Values = slices.DeleteFunc(g.Values, func(v *onnx.Value) bool { return t.gone[v.Name] })
	if t.norms > 0 {
		n.note("BatchNormalization nodes in training mode, read with their running statistics: %d", t.norms)
	}
	if t.untrained > 0 {
		n.note("of these, with means of 0 and variances of 1, as before any training: %d", t.untrained)
	}
	if t.drops > 0 {
		n.note("Dropout nodes in training mode, read as in inference, where they drop nothing: %d", t.drops)
	}
}

// batchNormalization makes one in training mode normalise by its running
// statistics, where they are constants of the file.
//
// Training mode is an attribute since opset 14. Before, results beyond the first
// tell it, beside an attribute is_test until opset 6.
func (t *training) batchNormalization(node *onnx.Node) {
	on := slices.ContainsFunc(node.Outputs[1:], func(o string) bool { return o != "" })
	if t.opset >= 14 {
		on = node.Int("training_mode", 0) != 0
	} else if node.Int("is_test", 0) != 0 {
		on = false
	}
	if !on || len(node.Inputs) < 5 {
		return
	}
	mean, variance := constant(t.index, node.Inputs[3]), constant(t.index, node.Inputs[4])
	if mean == nil || variance == nil {
		return
	}
	// Results 3 and 4 are the statistics of the batch, which inference does not
	// have.
	const running = 3
	if slices.ContainsFunc(node.Outputs[min(running, len(node.Outputs)):], t.used) {
		return
	}
	for i, o := range node.Outputs[1:] {
		if t.used(o) { // the running statistics after this batch: in inference those before
			t.nodes = append(t.nodes, &onnx.Node{Op: "Identity", Inputs: []string{node.Inputs[3+i]}, Outputs: []string{o}})
		} else {
			t.gone[o] = true
		}
	}
	node.Outputs = node.Outputs[:1]
	node.Attrs = slices.DeleteFunc(node.Attrs, func(a *onnx.Attr) bool { return a.Name == "training_mode" })
	if t.opset < 7 {
		node.SetAttr(onnx.AttrInt("is_test", 1))
	}
	t.norms++
	if all(mean, 0) && all(variance, 1) {
		t.untrained++
	}
}

// used reports whether anything reads a value.
func (t *training) used(v string) bool {
	return v != "" && (len(t.index.Consumers(v)) > 0 || t.index.Output(v))
}

// dropout makes one in training mode pass its operand on. Training mode is an
// operand since opset 12; until opset 6 it was an attribute is_test left out.
func (t *training) dropout(node *onnx.Node) {
	switch {
	case t.opset < 7:
		if node.Int("is_test", 0) == 0 && node.Float("ratio", 0.5) != 0 {
			t.drops++
		}
		node.SetAttr(onnx.AttrInt("is_test", 1))
		return
	case t.opset < 12 || len(node.Inputs) < 3:
		return
	}
	mode := constant(t.index, node.Inputs[2])
	if mode == nil || len(mode.Data) != 1 || mode.Data[0] == 0 {
		return
	}
	ratio := constant(t.index, node.Inputs[1])
	node.Inputs = node.Inputs[:2]
	if ratio == nil || !all(ratio, 0) {
		t.drops++
	}
}

// all reports whether every element of a tensor of real numbers is v.
func all(t *onnx.Tensor, v float64) bool {
	data, err := floats(t)
	return err == nil && !slices.ContainsFunc(data, func(x float64) bool { return x != v })
}
