package rewrite

import (
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// undeclareBatch leaves out what a model that takes any batch declares of a batch
// of its own: PyTorch 2.9, when it traces a network with one image, names the
// input's first axis and writes 1 for it everywhere else. ONNX Runtime believes
// that and refuses results of other batches.
//
// Shapes of values between are no part of a model's meaning; whoever needs them
// infers them.
func (n *Normal) undeclareBatch() {
	g := n.Model.Graph
	open := slices.ContainsFunc(g.DataInputs(), func(v *onnx.Value) bool {
		return v.HasShape && len(v.Shape) > 1 && !fixedBatch(v)
	})
	if !open {
		return
	}
	for _, v := range g.Values {
		v.HasShape, v.Shape = false, nil
	}
	for _, v := range g.Outputs {
		if v.HasShape && len(v.Shape) > 1 && fixedBatch(v) {
			n.note("output %q is declared for a batch of %d though its input takes any batch; any batch is run", v.Name, v.Shape[0].Value)
			v.Shape[0] = onnx.Unknown()
		}
	}
}

// fixedBatch reports whether a value's first axis is declared with a length. Some
// exporters write 0 for one that is open.
func fixedBatch(v *onnx.Value) bool {
	n, fixed := v.Shape[0].Fixed()
	return fixed && n > 0
}
