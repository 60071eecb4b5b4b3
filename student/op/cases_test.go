package op_test

import (
	"testing"

	"github.com/onnxdistill/onnxdistill/student/op/optest"
)

// TestOperators runs every check on every case of the table.
func TestOperators(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range optest.Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		seen[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			t.Run("value", func(t *testing.T) { optest.CheckValue(t, c) })
			t.Run("float32", func(t *testing.T) { optest.CheckFloat32(t, c) })
			t.Run("plans", func(t *testing.T) { optest.CheckPlans(t, c) })
			t.Run("tape machine", func(t *testing.T) { optest.CheckTapeMachine(t, c) })
			t.Run("ONNX form", func(t *testing.T) { optest.CheckForm(t, c) })
			if c.NoGradient != "" {
				return // the reason stands in the table
			}
			t.Run("first derivative", func(t *testing.T) { optest.CheckGradient(t, c) })
			t.Run("second derivative", func(t *testing.T) { optest.CheckSecondOrder(t, c) })
			t.Run("third derivative", func(t *testing.T) { optest.CheckThirdOrder(t, c) })
		})
	}
}
