package student

import (
	"fmt"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// chooseOutput leaves a model the output that holds the scores, which is called
// want where that is not empty, and what it is computed of. The note says which
// was chosen of several.
func chooseOutput(m *onnx.Model, want string) (note string, err error) {
	if m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return "", nil // reading the model says so
	}
	outputs := m.Graph.Outputs
	var names []string
	var fits []*onnx.Value
	for _, v := range outputs {
		names = append(names, v.Name)
		if want == "" && holdsScores(v) || want == v.Name {
			fits = append(fits, v)
		}
	}
	switch {
	case want != "" && len(fits) == 0:
		return "", fmt.Errorf("the model has no output %q; its outputs are %q (ImportOptions.Output)", want, names)
	case len(outputs) == 1:
		return "", nil
	case len(fits) == 0:
		return "", fmt.Errorf("none of the outputs %q is declared as real numbers [batch, classes]; ImportOptions.Output says which one holds the class scores", names)
	case len(fits) > 1:
		return "", fmt.Errorf("several of the outputs %q may hold the class scores; ImportOptions.Output says which one", names)
	}
	m.Graph.Outputs = fits
	m.Strip()
	if want != "" {
		return "", nil
	}
	others := slices.DeleteFunc(names, func(n string) bool { return n == fits[0].Name })
	return fmt.Sprintf("the file's output %q holds real numbers for classes and is taken for the scores; left out: %q", fits[0].Name, others), nil
}

// holdsScores reports whether an output, as it is declared, can be real numbers
// [batch, classes], perhaps with axes of length 1 beside.
func holdsScores(v *onnx.Value) bool {
	if v.Other || v.Type != onnx.Undefined && !v.Type.Float() {
		return false
	}
	if !v.HasShape {
		return true
	}
	long, open := 0, 0
	for _, d := range v.Shape[min(1, len(v.Shape)):] {
		switch n, fixed := d.Fixed(); {
		case !fixed:
			open++
		case n > 1:
			long++
		}
	}
	return long == 1 || long == 0 && open > 0
}
