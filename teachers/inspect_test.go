package teachers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

func TestInspect(t *testing.T) {
	r, err := Inspect(fixture("nhwc_softmax.onnx"), InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	// Multiplications by hand: 3x3 convolutions 3->4, 4->4, 4->4 on 8x6, then
	// 4->6 and 6->6 on 4x3, and 6->5.
	const macs = 48*9*(3*4+4*4+4*4) + 12*9*(4*6+6*6) + 6*5
	// Parameters by hand: the same weights and five biases.
	const parameters = 9*(3*4+4*4+4*4+4*6+6*6) + 4 + 4 + 4 + 6 + 6 + 6*5 + 5
	tap := func(name string, suggested bool, shape ...any) any {
		return map[string]any{"name": name, "shape": shape, "suggested": suggested, "layout": "NCHW"}
	}
	want := map[string]any{
		"file": "nhwc_softmax.onnx", "producer": "pytorch 1.13.1",
		"ir": 7.0, "opset": 13.0, "parameters": float64(parameters), "macs": float64(macs),
		"inputs":  []any{map[string]any{"name": "image_nhwc", "type": "float32", "shape": []any{1.0, 8.0, 6.0, 3.0}}},
		"outputs": []any{map[string]any{"name": "probabilities", "type": "float32", "shape": []any{1.0, 5.0}}},
		"layout":  "NHWC", "image": []any{3.0, 8.0, 6.0}, "batch": 1.0, "classes": 5.0,
		"softmax_output": true, "logits": "before softmax", "preprocess": "auto",
		"taps": []any{
			tap("/stem/Conv_output_0", false, 4.0, 8.0, 6.0), tap("/Relu_output_0", false, 4.0, 8.0, 6.0), tap("stage1", true, 4.0, 8.0, 6.0),
			tap("/down/Conv_output_0", false, 6.0, 4.0, 3.0), tap("/Add_1_output_0", false, 6.0, 4.0, 3.0), tap("stage2", true, 6.0, 4.0, 3.0),
		},
		"metadata": map[string]any{}, "notes": []any{`output "probabilities" ends in a softmax; logits are taken before it`},
	}
	for _, k := range []string{"sha256", "bytes", "nodes"} {
		if got[k] == nil || got[k] == "" || got[k] == 0.0 {
			t.Errorf("%s is missing", k)
		}
		delete(got, k)
	}
	delete(got, "producer") // follows the PyTorch that made the fixture
	delete(want, "producer")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestInspectDescribesWhatCannotTeach(t *testing.T) {
	n := newNet(17)
	x := n.standard()
	y := n.Input("other", onnx.Float32, onnx.Unknown(), onnx.Fixed(4), onnx.Fixed(6), onnx.Fixed(6))
	n.logits(n.head(n.Node("Add", []string{n.conv("conv", x, 3, 4), y}), 4, 3), 3)
	r, err := Inspect(write(t, n.Builder), InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Problem, `model has inputs "image", "other"`) {
		t.Errorf("problem is %q", r.Problem)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"shape":["batch",3,6,6]`, `"shape":[null,4,6,6]`, `"taps":[]`, `"opset":17`, `"parameters":120`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

func TestInspectTriesSizes(t *testing.T) {
	// A dense layer over 14x14 maps of half the image's size: only 28x28 fits.
	n := newNet(17)
	x := n.image(onnx.Symbol("batch"), onnx.Fixed(1), onnx.Unknown(), onnx.Unknown())
	x = n.conv("conv", x, 1, 2)
	x = n.Node("MaxPool", []string{x}, onnx.AttrInts("kernel_shape", 2, 2), onnx.AttrInts("strides", 2, 2))
	x = n.Node("Flatten", []string{x})
	n.logits(n.Node("MatMul", []string{x, n.weights("w", 2*14*14, 3)}), 3)
	path := write(t, n.Builder)
	r, err := Inspect(path, InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Problem != "" || !cmp.Equal(r.Image, []int{1, 28, 28}) || !strings.Contains(strings.Join(r.Notes, ""), "are for 28x28") {
		t.Errorf("image %v, notes %q, problem %q", r.Image, r.Notes, r.Problem)
	}
	if want := int64(28*28*9*2 + 2*14*14*3); r.MACs != want {
		t.Errorf("%d multiplications, want %d", r.MACs, want)
	}
	if r, err = Inspect(path, InspectOptions{Size: [2]int{20, 20}}); err != nil || !strings.Contains(r.Problem, "20x20") {
		t.Errorf("a size that does not fit: %+v, %v", r, err)
	}
}

func TestInspectCountsALayerOnTheImageItself(t *testing.T) {
	n := newNet(17)
	x := n.image(onnx.Symbol("batch"), onnx.Fixed(6), onnx.Fixed(5), onnx.Fixed(3))
	x = n.Node("MatMul", []string{x, n.weights("w", 3, 4)})
	n.logits(n.Node("ReduceMax", []string{x}, onnx.AttrInts("axes", 1, 2), onnx.AttrInt("keepdims", 0)), 4)
	r, err := Inspect(write(t, n.Builder), InspectOptions{})
	if err != nil || r.MACs != 6*5*3*4 || len(r.Notes) != 0 {
		t.Errorf("%+v, %v; want %d multiplications", r, err, 6*5*3*4)
	}
}

func TestInspectCountsOneImageOfABatch(t *testing.T) {
	one, err := Inspect(fixture("fixed_batch.onnx"), InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := Inspect(fixture("fixed_batch2.onnx"), InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if one.MACs != two.MACs || one.MACs == 0 || two.Batch != 2 {
		t.Errorf("%d multiplications at batch 1, %d at batch %d", one.MACs, two.MACs, two.Batch)
	}
}
