package onnx

import "errors"

// Check reports the first fault in the structure of a model.
func Check(m *Model) error {
	if m == nil || m.Graph == nil {
		return errors.New("onnx: the model has no graph")
	}
	return nil
}
