package student_test

import (
	"fmt"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

// BenchmarkImportNodes imports networks of many small layers. The time of a node,
// which is reported, stays what it is where import is linear.
//
//	go test -tags onednn -run XXX -bench ImportNodes -benchtime 1x ./student
func BenchmarkImportNodes(b *testing.B) {
	for _, nodes := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			m := deepNetwork(b, nodes)
			for b.Loop() {
				if _, err := student.ImportModel(m, student.ImportOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(m.Graph.Nodes)), "µs/node")
		})
	}
}

// deepNetwork is a residual network of about so many nodes, with weights of its
// own in each layer: convolution, normalisation, ReLU and sum.
func deepNetwork(t testing.TB, nodes int) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("deep", 17)
	float32s := func(name string, v float32, dims ...int64) string {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		f := make([]float32, n)
		for i := range f {
			f[i] = v
		}
		return b.Initializer(name, onnx.Float32s("", dims, f))
	}
	x := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
	x = b.Node("Conv", []string{x, float32s("stem.weight", 0.1, 2, 3, 1, 1)})
	for i := range nodes / 4 {
		name := func(s string) string { return fmt.Sprintf("layer%d.%s", i, s) }
		y := b.Node("Conv", []string{x, float32s(name("weight"), 0.1, 2, 2, 1, 1)})
		y = b.Node("BatchNormalization", []string{y, float32s(name("scale"), 1, 2), float32s(name("shift"), 0, 2), float32s(name("mean"), 0, 2), float32s(name("var"), 1, 2)})
		x = b.Node("Add", []string{x, b.Node("Relu", []string{y})})
	}
	x = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})})
	x = b.Node("Gemm", []string{x, float32s("head.weight", 0.1, 2, 10), float32s("head.bias", 0, 10)})
	b.Output(x, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(10))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}
