package teachers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

func TestEvaluate(t *testing.T) {
	// y = x + 1, its sum, its shape, and a half-precision copy.
	b := onnx.NewBuilder("sums", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(2))
	s := b.Input("s", onnx.Float32)
	y := b.Node("Add", []string{x, s})
	b.Output(y, "y", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(2))
	b.Output(b.Node("ReduceSum", []string{y}, onnx.AttrInt("keepdims", 0)), "sum", onnx.Float32)
	b.Output(b.Node("Shape", []string{y}), "shape", onnx.Int64, onnx.Fixed(2))
	b.Output(b.Node("Cast", []string{y}, onnx.AttrInt("to", int64(onnx.Float16))), "half", onnx.Float16, onnx.Symbol("n"), onnx.Fixed(2))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*onnx.Tensor{
		"x": onnx.Float32s("x", []int64{2, 2}, []float32{1, 2, 3, 4}),
		"s": onnx.Float32s("s", nil, []float32{1}),
	}
	got, err := Evaluate(m, feeds, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*onnx.Tensor{
		"y":     onnx.Float32s("y", []int64{2, 2}, []float32{2, 3, 4, 5}),
		"sum":   onnx.Float32s("sum", []int64{}, []float32{14}),
		"shape": onnx.Int64s("shape", []int64{2}, []int64{2, 2}),
		"half":  onnx.Float32s("half", []int64{2, 2}, []float32{2, 3, 4, 5}),
	}
	for name, w := range want {
		g := got[name]
		if g == nil || g.Type != w.Type || !cmp.Equal(g.Dims, w.Dims) || !cmp.Equal(g.Data, w.Data) {
			t.Errorf("%s is %+v, want %+v", name, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d outputs, want %d", len(got), len(want))
	}
	if after, err := m.Encode(); err != nil || !cmp.Equal(before, after) {
		t.Errorf("the model was changed, %v", err)
	}

	some, err := Evaluate(m, feeds, EvaluateOptions{Outputs: []string{"sum"}, Plain: true, Threads: 1})
	if err != nil || len(some) != 1 || some["sum"] == nil {
		t.Errorf("one output asked for: %v, %v", some, err)
	}
	for _, c := range []struct {
		name  string
		feeds map[string]*onnx.Tensor
		o     EvaluateOptions
		want  string
	}{
		{"a missing feed", map[string]*onnx.Tensor{"x": feeds["x"]}, EvaluateOptions{}, "ort: "},
		{"a feed that is nil", map[string]*onnx.Tensor{"x": nil, "s": feeds["s"]}, EvaluateOptions{}, `input "x": is nil`},
		{"a feed of no input", map[string]*onnx.Tensor{"x": feeds["x"], "s": feeds["s"], "z": feeds["s"]}, EvaluateOptions{}, "ort: "},
		{"an output that is not there", feeds, EvaluateOptions{Outputs: []string{"nothing"}}, `no output "nothing"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Evaluate(m, c.feeds, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := Evaluate(&onnx.Model{}, nil, EvaluateOptions{}); err == nil {
		t.Error("a model without a graph was run")
	}
}

func TestLatency(t *testing.T) {
	for _, file := range []string{"cnn_opset13.onnx", "fixed_batch2.onnx", "float16.onnx", "uint8.onnx"} {
		got, err := Latency(fixture(file), LatencyOptions{Runs: 20})
		if err != nil {
			t.Fatal(err)
		}
		if got.Runs != 20 || got.P50 <= 0 || got.P95 < got.P50 {
			t.Errorf("%s: %+v", file, got)
		}
	}
	if _, err := Latency(fixture("cnn_opset13.onnx"), LatencyOptions{Runs: -1}); err == nil {
		t.Error("a negative number of runs was taken")
	}
	if _, err := Latency(fixture("none.onnx"), LatencyOptions{}); err == nil {
		t.Error("a missing file was timed")
	}
}

func TestRuntime(t *testing.T) {
	info, err := Runtime("")
	if err != nil {
		t.Fatal(err)
	}
	if info.Version == "" || info.Path == "" || len(info.Searched) == 0 || !strings.HasSuffix(info.Searched[len(info.Searched)-1], ": loaded") {
		t.Errorf("%+v", info)
	}
	if _, err := Runtime("/nowhere/lib.so"); err == nil {
		t.Errorf("a second library: %v", err)
	}
}
