package teachers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// What package onnx rewrites is held against ONNX Runtime here, which it does
// not know.

// TestMergedTransposesMeanTheSame draws graphs of Transposes and functions of
// single elements, which must give the same numbers to the last bit.
func TestMergedTransposesMeanTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 27))
	image := make([]float32, 2*3*4*5)
	for i := range image {
		image[i] = r.Float32() - 0.5
	}
	feeds := map[string]*onnx.Tensor{"x": onnx.Float32s("x", []int64{2, 3, 4, 5}, image)}
	gone := 0
	for range 40 {
		b := onnx.NewBuilder("net", []int64{13, 17, 21}[r.IntN(3)])
		values := []string{b.Input("x", onnx.Float32, onnx.Fixed(2), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(5))}
		for range 12 {
			v := values[max(0, len(values)-1-r.IntN(2))] // the newest are read most, so that chains come about
			switch r.IntN(6) {
			case 0:
				v = b.Node("Relu", []string{v})
			case 1:
				v = b.Node("Sigmoid", []string{v})
			case 2:
				v = b.Node("ReduceMax", []string{v}, onnx.AttrInt("keepdims", 1)) // of all axes
				v = b.Node("Add", []string{v, values[len(values)-1]})
			case 3:
				v = b.Node("Transpose", []string{v})
			case 4:
				v = b.Node("Transpose", []string{v}, onnx.AttrInts("perm", 0, 2, 3, 1))
			case 5:
				v = b.Node("Transpose", []string{v}, onnx.AttrInts("perm", 0, 3, 1, 2))
			}
			values = append(values, v)
		}
		for i, v := range []string{values[len(values)-1], values[len(values)-3], values[len(values)-6]} {
			b.Output(v, fmt.Sprintf("y%d", i), onnx.Float32)
		}
		m, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		want, err := Evaluate(m, feeds, EvaluateOptions{Plain: true, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		gone += m.MergeTransposes()
		got, err := Evaluate(m, feeds, EvaluateOptions{Plain: true, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			if g := got[name]; !slices.Equal(g.Dims, w.Dims) || !cmp.Equal(g.Data, w.Data) {
				t.Fatalf("%s is another value of %v, was %v", name, g.Dims, w.Dims)
			}
		}
	}
	if gone < 100 {
		t.Errorf("%d nodes went; the graphs drawn show little", gone)
	}
}

func TestATeacherWithHalfTheWeightsIsTheSameTeacher(t *testing.T) {
	const demo = "../pipeline/digits/teacher.onnx"
	m, err := onnx.ReadFile(demo)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := m.HalfWeights(); n == 0 || err != nil {
		t.Fatalf("%d tensors, %v", n, err)
	}
	half := filepath.Join(t.TempDir(), "half.onnx")
	if err := m.WriteFile(half); err != nil {
		t.Fatal(err)
	}
	a, err := Inspect(demo, InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Inspect(half, InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a.Taps, b.Taps); d != "" {
		t.Errorf("taps (-float32 +half):\n%s", d)
	}
	if a.Parameters != b.Parameters || a.MACs != b.MACs || a.Classes != b.Classes || a.Logits != b.Logits || b.Problem != "" {
		t.Errorf("in half precision it is %+v", b)
	}
	if share := float64(b.Bytes) / float64(a.Bytes); math.Abs(share-0.5) > 0.01 {
		t.Errorf("the file takes %.1f %% of its size", 100*share)
	}
	r := rand.New(rand.NewPCG(1, 5))
	batch := Batch{Pixels: make([]uint8, 4*32*32*3), N: 4, H: 32, W: 32, C: 3}
	for i := range batch.Pixels {
		batch.Pixels[i] = uint8(r.IntN(256))
	}
	want, got := signalsOf(t, openTeacher(t, demo, Options{}), batch), signalsOf(t, openTeacher(t, half, Options{}), batch)
	exact := make([]float64, len(want.Logits))
	for i, v := range want.Logits {
		exact[i] = float64(v)
	}
	compare(t, "logits", got.Logits, exact, halfTolerance)
}
