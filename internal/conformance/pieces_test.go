package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// piecesThatRun is the number of pieces that ONNX Runtime runs. Fewer is a loss.
const piecesThatRun = 1807

// TestTranslatedOperatorsMeanTheSameInOnnxRuntime gives each piece of a file
// that can be imported to ONNX Runtime: as it is, at each of its opsets, which
// holds the plain loops to what others mean by the operator, and as student
// exports it.
func TestTranslatedOperatorsMeanTheSameInOnnxRuntime(t *testing.T) {
	ran, models := 0, 0
	for _, c := range importertest.Pieces() {
		if c.Refused != "" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			in := c.Data()
			want := c.Want(in)
			feeds := map[string]*onnx.Tensor{}
			for i, x := range in {
				f, dims := make([]float32, len(x.Data)), make([]int64, len(x.Dims))
				for k, v := range x.Data {
					f[k] = float32(v)
				}
				for k, n := range x.Dims {
					dims[k] = int64(n)
				}
				name := fmt.Sprintf("in%d", i)
				feeds[name] = onnx.Float32s(name, dims, f)
			}
			evaluate := func(what string, m *onnx.Model) {
				t.Helper()
				models++
				out, err := teachers.Evaluate(m, feeds, teachers.EvaluateOptions{Threads: 1})
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				for i, w := range want {
					x := out[fmt.Sprintf("out%d", i)]
					got, err := tensorNumbers(x)
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					dims := []int{}
					for _, n := range x.Dims {
						dims = append(dims, int(n))
					}
					if !slices.Equal(dims, w.Dims) {
						t.Errorf("%s: output %d has shape %v, want %v", what, i, dims, w.Dims)
					} else if err := optest.Compare(got, w.Data, optest.Close32); err != nil {
						t.Errorf("%s: output %d: %v", what, i, err)
					}
				}
			}
			for i, opset := range c.Opsets {
				m, err := c.Model(opset)
				if err != nil {
					t.Fatal(err)
				}
				if c.NoRuntime == "" {
					evaluate(fmt.Sprintf("opset %d", opset), m)
				}
				if i > 0 {
					continue
				}
				n, err := student.ImportNet(m, student.NetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for _, to := range []int64{13, 17, 21} {
					x, err := n.Export(student.ExportOptions{Opset: to})
					if err != nil {
						t.Fatal(err)
					}
					evaluate(fmt.Sprintf("exported at opset %d", to), x)
				}
			}
			if c.NoRuntime != "" {
				t.Log("ONNX Runtime runs only what is exported:", c.NoRuntime)
				return
			}
			ran++
		})
	}
	t.Logf("%d pieces, %d models", ran, models)
	if !t.Failed() && !someChosen() && ran != piecesThatRun {
		t.Errorf("%d pieces ran, want %d", ran, piecesThatRun)
	}
}
