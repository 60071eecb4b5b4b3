package rewrite

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// normalising is a model of input x [2, 3] with the constants of a
// BatchNormalization of three channels, and those of a Dropout.
func normalising(opset int64, outputs []string, nodes ...*onnx.Node) *onnx.Model {
	m := net(outputs, nodes...)
	m.Opsets[0].Version = opset
	for i, name := range []string{"scale", "shift", "mean", "var"} {
		m.Graph.Initializers = append(m.Graph.Initializers, onnx.Float32s(name, []int64{3}, []float32{1, 2, float32(i)}))
	}
	m.Graph.Initializers = append(m.Graph.Initializers,
		onnx.Float32s("ratio", nil, []float32{0.5}), onnx.Float32s("never", nil, []float32{0}),
		&onnx.Tensor{Name: "yes", Type: onnx.Bool, Data: []byte{1}}, &onnx.Tensor{Name: "no", Type: onnx.Bool, Data: []byte{0}})
	return m
}

func TestTrainingModeIsLeft(t *testing.T) {
	const norm = "x, scale, shift, mean, var -> "
	training := onnx.AttrInt("training_mode", 1)
	for _, c := range []struct {
		name  string
		model *onnx.Model
		want  []string
		note  string
	}{
		{"a normalisation", normalising(17, []string{"y"}, node("BatchNormalization", norm+"y, m, v", training)),
			[]string{"BatchNormalization: x, scale, shift, mean, var -> y"}, "with their running statistics: 1"},
		{"whose statistics go on", normalising(17, []string{"y", "v"}, node("BatchNormalization", norm+"y, m, v", training)),
			[]string{"BatchNormalization: x, scale, shift, mean, var -> y", "Identity: var -> v"}, "with their running statistics: 1"},
		{"whose statistics are passed on to it", normalising(17, []string{"y"}, node("Identity", "mean -> m0"), node("BatchNormalization", "x, scale, shift, m0, var -> y, m, v", training)),
			[]string{"Identity: mean -> m0", "BatchNormalization: x, scale, shift, m0, var -> y"}, "with their running statistics: 1"},
		{"by the batch", normalising(17, []string{"y"}, node("Relu", "mean -> m0"), node("BatchNormalization", "x, scale, shift, m0, var -> y, m, v", training)),
			[]string{"Relu: mean -> m0", "BatchNormalization: x, scale, shift, m0, var -> y, m, v"}, ""},
		{"of five results", normalising(9, []string{"y"}, node("BatchNormalization", norm+"y, m, v, sm, sv")),
			[]string{"BatchNormalization: x, scale, shift, mean, var -> y"}, "with their running statistics: 1"},
		{"of which the batch's own are used", normalising(9, []string{"y", "sm"}, node("BatchNormalization", norm+"y, m, v, sm, sv")),
			[]string{"BatchNormalization: x, scale, shift, mean, var -> y, m, v, sm, sv"}, ""},
		{"of five results, before opset 7", normalising(6, []string{"y"}, node("BatchNormalization", norm+"y, m, v, sm, sv")),
			[]string{"BatchNormalization: x, scale, shift, mean, var -> y is_test"}, "with their running statistics: 1"},
		{"in inference", normalising(17, []string{"y"}, node("BatchNormalization", norm+"y")),
			[]string{"BatchNormalization: x, scale, shift, mean, var -> y"}, ""},
		{"dropout", normalising(17, []string{"y"}, node("Dropout", "x, ratio, yes -> y")), []string{"Dropout: x, ratio -> y"}, "drop nothing: 1"},
		{"dropout of the usual rate", normalising(17, []string{"y"}, node("Dropout", "x, , yes -> y")), []string{"Dropout: x,  -> y"}, "drop nothing: 1"},
		{"dropout of nothing", normalising(17, []string{"y"}, node("Dropout", "x, never, yes -> y")), []string{"Dropout: x, never -> y"}, ""},
		{"dropout in inference", normalising(17, []string{"y"}, node("Dropout", "x, ratio, no -> y")), []string{"Dropout: x, ratio, no -> y"}, ""},
		{"dropout before opset 7", normalising(6, []string{"y"}, node("Dropout", "x -> y", onnx.AttrFloat("ratio", 0.5))), []string{"Dropout: x -> y is_test"}, "drop nothing: 1"},
		{"dropout in inference before opset 7", normalising(6, []string{"y"}, node("Dropout", "x -> y", onnx.AttrInt("is_test", 1))), []string{"Dropout: x -> y is_test"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := normalized(t, c.model)
			got := wiring(n.Model)
			for i, x := range n.Model.Graph.Nodes {
				if x.Int("is_test", 0) != 0 {
					got[i] += " is_test"
				}
				if c.note != "" && x.Attr("training_mode") != nil {
					t.Errorf("%v is in training mode", x)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if note := n.Note("y"); (note == "") != (c.note == "") || !strings.Contains(note, c.note) {
				t.Errorf("note %q, want %q", note, c.note)
			}
			if again := normalized(t, n.Model).Note("y"); again != "" {
				t.Errorf("a second time there was more to do: %q", again)
			}
		})
	}
}

// What cannot be inlined is left to whoever can run it, with the reason.
func TestFunctionsThatStay(t *testing.T) {
	f := function("F", "a -> b", node("Relu", "a -> b"))
	f.Opsets[0].Version = 13
	n := normalized(t, calling(net([]string{"y"}, own("f", "F", "x -> h"), node("Sigmoid", "h -> y")), f))
	if len(n.Model.Functions) != 1 || len(n.Model.Graph.Nodes) != 2 {
		t.Errorf("%d functions, nodes %q", len(n.Model.Functions), wiring(n.Model))
	}
	want := `calls of its own functions are left as they are: own.F "f" (opset 17): it calls a function of opset 13 from a model of opset 17; both must have the same opset; ` +
		`output "y" ends in a sigmoid; logits are taken before it`
	if got := n.Note("y"); got != want {
		t.Errorf("note %q, want %q", got, want)
	}
}
