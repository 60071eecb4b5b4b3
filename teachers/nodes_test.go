package teachers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// BenchmarkInspectNodes looks at networks of many small layers. The time of a node,
// which is reported, stays about what it is.
//
//	go test -tags onednn -run XXX -bench InspectNodes -benchtime 1x ./teachers
func BenchmarkInspectNodes(b *testing.B) {
	for _, nodes := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			path := deepFile(b, nodes)
			for b.Loop() {
				r, err := Inspect(path, InspectOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if r.Problem != "" {
					b.Fatal(r.Problem)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(nodes), "µs/node")
		})
	}
}

func TestAGraphOfManyNodesIsNotOptimised(t *testing.T) {
	for _, nodes := range []int{100, mostOptimised + 100} {
		s := openTeacher(t, deepFile(t, nodes), Options{DataSize: [2]int{4, 4}})
		notes, many := strings.Join(s.Spec().Notes, "; "), nodes > mostOptimised
		if strings.Contains(notes, "nodes run as the file has them") != many {
			t.Errorf("%d nodes: notes %q", nodes, notes)
		}
		if got := len(s.Spec().Taps); got != 1 {
			t.Errorf("%d taps, want the last of the one resolution", got)
		}
	}
	for nodes, want := range map[int]bool{mostOptimised: false, mostOptimised + 1: true} {
		if got := sessionOptions(&onnx.Model{Graph: &onnx.Graph{Nodes: make([]*onnx.Node, nodes)}}, 1).Plain; got != want {
			t.Errorf("%d nodes are optimised: %v", nodes, !got)
		}
	}
}

// deepFile is the file of a residual network of about so many nodes: blocks of a
// convolution, ReLU and sum, whose sums every path passes through.
func deepFile(t testing.TB, nodes int) string {
	t.Helper()
	b := onnx.NewBuilder("deep", 17)
	weight := b.Initializer("weight", onnx.Float32s("", []int64{2, 2, 1, 1}, []float32{0.1, 0, 0, -0.1}))
	x := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
	x = b.Node("Conv", []string{x, b.Initializer("stem", onnx.Float32s("", []int64{2, 3, 1, 1}, make([]float32, 6)))})
	for range nodes / 3 {
		x = b.Node("Add", []string{x, b.Node("Relu", []string{b.Node("Conv", []string{x, weight})})})
	}
	x = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})})
	b.Output(b.Node("Gemm", []string{x, b.Initializer("head", onnx.Float32s("", []int64{2, 10}, make([]float32, 20)))}), "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(10))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "deep.onnx")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
