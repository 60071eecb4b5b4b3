package kernel

import (
	"math"
	"testing"
)

func TestMaxPoolOfNaN(t *testing.T) {
	nan := math.NaN()
	// Two windows of two pixels of two channels, one of each with a NaN.
	x := []float64{1, nan, 2, 5, 3, 4, nan, 3}
	s := PoolShape{N: 1, H: 1, W: 4, C: 2, OH: 1, OW: 2, Kernel: [2]int{1, 2}, Stride: [2]int{1, 2}}
	y := make([]float64, 4)
	if err := MaxPool[float64](s)(y, x); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{2, nan, nan, 4} {
		if y[i] != want && !(math.IsNaN(y[i]) && math.IsNaN(want)) {
			t.Errorf("y[%d] = %v, want %v", i, y[i], want)
		}
	}
	// The derivative goes to the NaN, as in PyTorch.
	dx := make([]float64, 8)
	if err := MaxPoolScatter[float64](s)(dx, x, []float64{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0, 2, 1, 0, 0, 4, 3, 0} {
		if dx[i] != want {
			t.Errorf("dx[%d] = %v, want %v", i, dx[i], want)
		}
	}
}

func TestMaxPoolOfEqualElementsTakesTheFirst(t *testing.T) {
	s := PoolShape{N: 1, H: 2, W: 2, C: 1, OH: 1, OW: 1, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}
	for _, c := range []struct{ x, want []float64 }{
		{[]float64{0, 0, 0, 0}, []float64{1, 0, 0, 0}},
		{[]float64{0, 1, 1, 0}, []float64{0, 1, 0, 0}},
		{[]float64{-3, -2, -5, -2}, []float64{0, 1, 0, 0}},
	} {
		dx := make([]float64, 4)
		if err := MaxPoolScatter[float64](s)(dx, c.x, []float64{1}); err != nil {
			t.Fatal(err)
		}
		for i := range dx {
			if dx[i] != c.want[i] {
				t.Errorf("of %v: dx = %v, want %v", c.x, dx, c.want)
				break
			}
		}
	}
}
