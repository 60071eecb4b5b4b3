package student

import (
	"fmt"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// takeBranches puts the branch that images of the given size take in place of
// each If that asks for the size of a value, as torch.onnx.export writes
// squeeze(dim) where sizes are open, and returns a note.
func takeBranches(m *onnx.Model, image Shape) string {
	isIf := func(n *onnx.Node) bool { return n != nil && n.Op == "If" }
	if m.Graph == nil || !slices.ContainsFunc(m.Graph.Nodes, isIf) || onnx.Check(m) != nil {
		return "" // reading the model says what is wrong with it
	}
	taken := m.TakeBranches(imageSizes(m, image))
	if taken == 0 {
		return ""
	}
	return fmt.Sprintf("If nodes that depend on the size of a value, replaced by their branch for these images: %d", taken)
}

// imageSizes returns the shape of a model's only input, an image, with the sizes
// that are known of it beside those that the file fixes; nil where there are none.
func imageSizes(m *onnx.Model, want Shape) map[string][]onnx.Dim {
	if m.Graph == nil {
		return nil
	}
	inputs := m.Graph.DataInputs()
	if len(inputs) != 1 || !inputs[0].HasShape || len(inputs[0].Shape) != 4 || want == (Shape{}) {
		return nil
	}
	shape := slices.Clone(inputs[0].Shape)
	sizes := [4]int{0, want.C, want.H, want.W}
	colours := func(d onnx.Dim) bool { n, fixed := d.Fixed(); return fixed && (n == 1 || n == 3) }
	if colours(shape[3]) && !colours(shape[1]) {
		sizes = [4]int{0, want.H, want.W, want.C}
	}
	for i, n := range sizes {
		if _, fixed := shape[i].Fixed(); !fixed && n > 0 {
			shape[i] = onnx.Fixed(int64(n))
		}
	}
	return map[string][]onnx.Dim{inputs[0].Name: shape}
}
