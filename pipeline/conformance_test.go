package pipeline

import (
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// TestOperatorsMeanTheSameInOnnxRuntime runs every case of every operator that
// has an ONNX form in ONNX Runtime, in each opset, against the plain loops.
func TestOperatorsMeanTheSameInOnnxRuntime(t *testing.T) {
	ran := 0
	for _, c := range optest.Cases() {
		if c.NoForm != "" {
			continue
		}
		for _, opset := range optest.Opsets {
			t.Run(fmt.Sprintf("%s/opset %d", c.Name, opset), func(t *testing.T) {
				ran++
				m, err := c.Model(opset)
				if err != nil {
					t.Fatal(err)
				}
				g, err := c.Graph(tensor.Float32, c.Data())
				if err != nil {
					t.Fatal(err)
				}
				feeds := map[string]*onnx.Tensor{}
				rounded := make([][]float64, len(g.Inputs))
				for i, n := range g.Inputs {
					if rounded[i], err = optest.Floats(n.Value()); err != nil {
						t.Fatal(err)
					}
					shape := fileShape(n.Shape())
					values := make([]float32, len(rounded[i]))
					for j, v := range optest.FileOrder(n.Shape(), rounded[i]) {
						values[j] = float32(v)
					}
					feeds[n.Name()] = onnx.Float32s(n.Name(), shape, values)
				}
				out, err := teachers.Evaluate(m, feeds, teachers.EvaluateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				got32, err := out["out"].Float32s()
				if err != nil {
					t.Fatal(err)
				}
				want := c.Reference(rounded)
				got := make([]float64, len(got32))
				for i, v := range got32 {
					got[i] = float64(v)
				}
				if !slices.Equal(out["out"].Dims, fileShape(g.Output.Shape())) {
					t.Errorf("shape %v, want %v", out["out"].Dims, fileShape(g.Output.Shape()))
				}
				if err := optest.Compare(optest.GraphOrder(g.Output.Shape(), got), want, optest.Close32); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if ran == 0 {
		t.Error("no case has an ONNX form")
	}
	t.Logf("%d cases ran", ran)
}

// fileShape is a graph's shape as the file has it: NHWC becomes NCHW.
func fileShape(s tensor.Shape) []int64 {
	d := make([]int64, len(s))
	for i, v := range s {
		d[i] = int64(v)
	}
	if len(d) == 4 {
		d = []int64{d[0], d[3], d[1], d[2]}
	}
	return d
}
