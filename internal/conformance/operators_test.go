package conformance

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
// has an ONNX form in ONNX Runtime, in each opset, against the plain loops. A
// form that treats the samples of a batch one by one is run once more with the
// batch doubled, which it was not made for.
func TestOperatorsMeanTheSameInOnnxRuntime(t *testing.T) {
	ran, doubled := 0, 0
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
				compareWithLoops(t, c, m, 1)
				if c.PerSample() {
					doubled++
					compareWithLoops(t, c, m, 2)
				}
			})
		}
	}
	if ran == 0 || doubled == 0 {
		t.Errorf("%d cases have an ONNX form, %d of them for any batch", ran, doubled)
	}
	t.Logf("%d forms ran, %d of them with another batch too", ran, doubled)
}

// compareWithLoops runs m, the form of c, on its samples, all of them so many
// times, and compares the result with what the plain loops make of them once.
func compareWithLoops(t *testing.T, c optest.Case, m *onnx.Model, times int) {
	t.Helper()
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
		if c.Inputs[i].Samples {
			shape[0] *= int64(times)
			values = slices.Repeat(values, times)
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
	shape := fileShape(g.Output.Shape())
	if times > 1 {
		shape[0] *= int64(times)
	}
	if !slices.Equal(out["out"].Dims, shape) {
		t.Fatalf("with %d times the batch: shape %v, want %v", times, out["out"].Dims, shape)
	}
	want := c.Reference(rounded)
	for i := range times {
		got := make([]float64, len(want))
		for j, v := range got32[i*len(want) : (i+1)*len(want)] {
			got[j] = float64(v)
		}
		if err := optest.Compare(optest.GraphOrder(g.Output.Shape(), got), want, optest.Close32); err != nil {
			t.Errorf("with %d times the batch, time %d: %v", times, i+1, err)
		}
	}
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
