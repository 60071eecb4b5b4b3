package kernel

import (
	"math"
	"slices"
	"testing"
)

// TestVectorsAreBitForBitTheLoops compares the float32 loops, which may be in
// assembly, with the float64 ones, which are not: each result is one rounding
// of an exact operation, so they must agree to the last bit, zeros' signs and
// NaNs included.
func TestVectorsAreBitForBitTheLoops(t *testing.T) {
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0x1p-149, -0x1p-149}
	for n := range 75 {
		a, b := filled[float32](n, -1, 1, 1), filled[float32](n, -1, 1, 2)
		for i := range n {
			if i%3 == 0 {
				a[i] = special[i/3%len(special)]
			}
			if i%4 == 0 {
				b[i] = special[i/4%len(special)]
			}
		}
		wide := func(x []float32) []float64 {
			w := make([]float64, len(x))
			for i, v := range x {
				w[i] = float64(v)
			}
			return w
		}
		for _, c := range []struct {
			name string
			f32  func(dst, a, b []float32)
			f64  func(dst, a, b []float64)
		}{
			{"ReLU", func(dst, a, _ []float32) { ReLU(dst, a) }, func(dst, a, _ []float64) { ReLU(dst, a) }},
			{"Gate", Gate[float32], Gate[float64]},
			{"Add", Add[float32], Add[float64]},
			{"Mul", Mul[float32], Mul[float64]},
		} {
			want := make([]float64, n)
			c.f64(want, wide(a), wide(b))
			check := func(how string, got []float32) {
				t.Helper()
				for i, v := range got {
					w := float32(want[i])
					if math.Float32bits(v) != math.Float32bits(w) && !(v != v && w != w) {
						t.Fatalf("%s of %d elements%s: element %d of (%v, %v) is %v, want %v", c.name, n, how, i, a[i], b[i], v, w)
					}
				}
			}
			memory := make([]float32, n+8)
			c.f32(memory[:n], a, b)
			check("", memory[:n])
			if !slices.Equal(memory[n:], make([]float32, 8)) {
				t.Fatalf("%s of %d elements wrote beyond them", c.name, n)
			}
			inPlace := slices.Clone(a)
			c.f32(inPlace, inPlace, b)
			check(" in place", inPlace)
		}
	}
}
