package student_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/student"
)

func TestAModelSurvivesACheckpoint(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		t.Run(dt.String(), func(t *testing.T) {
			a, err := newModel(t, small(conv3x3), spec8, 1).Convert(dt)
			if err != nil {
				t.Fatal(err)
			}
			shake(t, a)
			path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
			if err := safetensors.Write(path, &safetensors.File{Tensors: a.Tensors()}); err != nil {
				t.Fatal(err)
			}
			f, err := safetensors.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := newModel(t, small(conv3x3), spec8, 2).Convert(dt)
			if err != nil {
				t.Fatal(err)
			}
			g := newGraph(t, b, 1, student.Infer) // made before loading: must see it
			if err := b.Load(f.Tensors); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(a.Tensors(), b.Tensors()); d != "" {
				t.Errorf("parameters (-saved +loaded):\n%s", d)
			}
			ga := newGraph(t, a, 1, student.Infer)
			if d := cmp.Diff(run(t, ga, pixels(8*7*3), ga.Logits), run(t, g, pixels(8*7*3), g.Logits)); d != "" {
				t.Errorf("logits (-saved +loaded):\n%s", d)
			}
		})
	}
}

func TestLoadingRefuses(t *testing.T) {
	m := newModel(t, small(conv3x3), spec8, 1)
	replace := func(name string, x safetensors.Tensor) []safetensors.Tensor {
		ts := m.Tensors()
		for i := range ts {
			if ts[i].Name == name {
				ts[i] = x
			}
		}
		return ts
	}
	tests := []struct {
		name, want string
		tensors    []safetensors.Tensor
	}{
		{"a missing tensor", `no tensor "stem/conv/weight", which small needs`, m.Tensors()[1:]},
		{"a tensor too many", `tensor "stem/bn/gamma" is no parameter of small, which has stem/bn/scale, stem/bn/shift, stem/bn/running`, append(m.Tensors(), safetensors.FromFloat32s("stem/bn/gamma", []int{1}, []float32{1}))},
		{"a tensor of nowhere", `which has 8 parameters, stem/conv/weight to classifier/bias`, append(m.Tensors(), safetensors.FromFloat32s("x", []int{1}, []float32{1}))},
		{"a tensor twice", `two tensors are called "classifier/bias"`, append(m.Tensors(), m.Tensors()[7])},
		{"another number of classes", `tensor "classifier/bias" has shape [2]; small for images of 8x7x3 and 5 classes wants [5]`, replace("classifier/bias", safetensors.FromFloat32s("classifier/bias", []int{2}, []float32{1, 2}))},
		{"another element type", `tensor "classifier/bias" holds F64 elements, asked for as F32`, replace("classifier/bias", safetensors.FromFloat64s("classifier/bias", []int{5}, make([]float64, 5)))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := m.Tensors()
			for i := range tt.tensors { // were anything copied, it would be seen
				if len(tt.tensors[i].Data) > 0 {
					tt.tensors[i].Data[0] ^= 1
				}
			}
			err := m.Load(tt.tensors)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nshould say %q", err, tt.want)
			}
			if !cmp.Equal(before, m.Tensors()) {
				t.Error("a failed load changed the model")
			}
		})
	}
}
