package student

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
)

// Tensors returns a copy of every parameter under its name, running
// statistics included, in the order of Params.
func (m *Model) Tensors() []safetensors.Tensor {
	out := make([]safetensors.Tensor, len(m.params))
	for i, p := range m.params {
		if m.dtype == tensor.Float64 {
			out[i] = safetensors.FromFloat64s(p.Name, p.Value.Shape(), p.float64s())
		} else {
			out[i] = safetensors.FromFloat32s(p.Name, p.Value.Shape(), p.float32s())
		}
	}
	return out
}

// Load copies tensors into the parameters of the same names. The set must be
// the model's own, in any order: a name too many or too few, another shape or
// another element type is an error, and then nothing is changed.
func (m *Model) Load(tensors []safetensors.Tensor) error {
	byName := make(map[string]safetensors.Tensor, len(tensors))
	for _, t := range tensors {
		if m.byName[t.Name] == nil {
			return fmt.Errorf("student: tensor %q is no parameter of %s, which has %s", t.Name, m.architecture.Name, m.near(t.Name))
		}
		if _, twice := byName[t.Name]; twice {
			return fmt.Errorf("student: two tensors are called %q", t.Name)
		}
		byName[t.Name] = t
	}
	values := make([]any, len(m.params))
	for i, p := range m.params {
		t, ok := byName[p.Name]
		if !ok {
			return fmt.Errorf("student: no tensor %q, which %s needs; are the tensors of another architecture?", p.Name, m.architecture.Name)
		}
		if want := p.Value.Shape(); !slices.Equal(t.Shape, []int(want)) {
			return fmt.Errorf("student: tensor %q has shape %v; %s for images of %v and %d classes wants %v",
				t.Name, t.Shape, m.architecture.Name, m.spec.Image, m.spec.Classes, []int(want))
		}
		var err error
		if m.dtype == tensor.Float64 {
			values[i], err = t.Float64s()
		} else {
			values[i], err = t.Float32s()
		}
		if err != nil {
			return fmt.Errorf("student: loading %s: %w", m.architecture.Name, err)
		}
	}
	for i, p := range m.params {
		switch v := values[i].(type) {
		case []float32:
			copy(p.Value.Data().([]float32), v)
		case []float64:
			copy(p.Value.Data().([]float64), v)
		}
	}
	return nil
}

// near lists the parameters of the same layer as name, or else how many there
// are.
func (m *Model) near(name string) string {
	layer := name[:strings.LastIndex(name, "/")+1]
	var names []string
	for _, p := range m.params {
		if layer != "" && strings.HasPrefix(p.Name, layer) {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 || len(names) > 8 {
		return fmt.Sprintf("%d parameters, %s to %s", len(m.params), m.params[0].Name, m.params[len(m.params)-1].Name)
	}
	return strings.Join(names, ", ")
}
