package conformance

import (
	"math"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// hashed is in [0, 1), in steps of 2^-16: the finaliser of MurmurHash3, as in
// the generator.
func hashed(i int) float32 {
	h := uint32(i)
	h = (h ^ h>>16) * 0x85EBCA6B
	h = (h ^ h>>13) * 0xC2B2AE35
	h ^= h >> 16
	return float32(h>>16) / 65536
}

// networkImages returns n images [n, 3, h, w], those of the generator's function
// pictures: a colour, blocks of 8x8 and grain. No step rounds.
func networkImages(n, h, w int) []float32 {
	v := make([]float32, 0, n*3*h*w)
	for plane := range n * 3 {
		for y := range h {
			for x := range w {
				v = append(v, 2*hashed(plane)+2*hashed(1<<24+(plane*64+y/8)*64+x/8)+hashed(1<<28+(plane*256+y)*256+x)-2.5)
			}
		}
	}
	return v
}

// channelsLast brings [n, c, h, w] into the order [n, h, w, c].
func channelsLast(v []float32, n, c, h, w int) []float32 {
	out := make([]float32, len(v))
	for i := range n {
		for k := range c {
			for p := range h * w {
				out[(i*h*w+p)*c+k] = v[(i*c+k)*h*w+p]
			}
		}
	}
	return out
}

// apart returns the largest difference of two lists over the largest element
// of want, infinity where one is not a number or the lengths differ.
func apart(got, want []float32) float64 {
	if len(got) != len(want) || len(want) == 0 {
		return math.Inf(1)
	}
	largest, difference := 0.0, 0.0
	for i, v := range want {
		largest = max(largest, math.Abs(float64(v)))
		d := math.Abs(float64(got[i]) - float64(v))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		difference = max(difference, d)
	}
	return difference / largest
}

// inRuntime runs a model of one input and one output in ONNX Runtime.
func inRuntime(t *testing.T, m *onnx.Model, image []float32, dims ...int64) []float32 {
	t.Helper()
	in, out := m.Graph.DataInputs(), m.Graph.Outputs
	if len(in) != 1 || len(out) != 1 {
		t.Fatalf("%d inputs and %d outputs, want one of each", len(in), len(out))
	}
	got, err := teachers.Evaluate(m, map[string]*onnx.Tensor{in[0].Name: onnx.Float32s(in[0].Name, dims, image)}, teachers.EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := got[out[0].Name].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
