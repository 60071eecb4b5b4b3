package kernel

import (
	"fmt"
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

// TestPoolMicros compares the assembly, and the Go that does the channels it
// leaves, with Go alone, which float64 takes: the same bits, since no sum is
// rounded.
func TestPoolMicros(t *testing.T) {
	for _, s := range []PoolShape{
		{N: 3, H: 8, W: 8, C: 16, OH: 4, OW: 4, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}},
		{N: 2, H: 9, W: 7, C: 27, OH: 5, OW: 4, Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pad: [4]int{1, 1, 1, 1}},
		{N: 2, H: 6, W: 9, C: 8, OH: 6, OW: 8, Kernel: [2]int{3, 2}, Stride: [2]int{1, 1}, Pad: [4]int{1, 0, 1, 0}},
		{N: 2, H: 5, W: 5, C: 40, OH: 1, OW: 1, Kernel: [2]int{5, 5}, Stride: [2]int{1, 1}, CountIncludePad: true},
		{N: 1, H: 4, W: 4, C: 5, OH: 2, OW: 2, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}},
	} {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			in, out := s.N*s.H*s.W*s.C, s.N*s.OH*s.OW*s.C
			x, dy := make([]float32, in), make([]float32, out)
			for i := range x {
				x[i] = float32(i*i%13) - 6 // with equal elements
			}
			for i := range dy {
				dy[i] = float32(i%5) + 1
			}
			// A NaN alone in a window, two, and one after the largest element.
			for i := 0; i < in; i += 37 {
				x[i] = float32(math.NaN())
			}
			x[s.C] = float32(math.NaN()) // right of x[0]
			finite := make([]float32, in)
			for i, v := range x {
				if v == v {
					finite[i] = v
				}
			}
			wide := func(v []float32) []float64 {
				w := make([]float64, len(v))
				for i := range v {
					w[i] = float64(v[i])
				}
				return w
			}
			same := func(what string, got []float32, want []float64, tolerance float64) {
				t.Helper()
				for i := range want {
					g := float64(got[i])
					if (g != g) != (want[i] != want[i]) || math.Abs(g-want[i]) > tolerance*math.Abs(want[i]) {
						t.Fatalf("%s: element %d is %v, want %v", what, i, g, want[i])
					}
				}
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			y, y64, dx, dx64 := make([]float32, out), make([]float64, out), make([]float32, in), make([]float64, in)
			must(MaxPool[float32](s)(y, x))
			must(MaxPool[float64](s)(y64, wide(x)))
			same("MaxPool", y, y64, 0)
			must(MaxPoolScatter[float32](s)(dx, x, dy))
			must(MaxPoolScatter[float64](s)(dx64, wide(x), wide(dy)))
			same("MaxPoolScatter", dx, dx64, 0)
			must(AveragePool[float32](s)(y, finite))
			must(AveragePool[float64](s)(y64, wide(finite)))
			same("AveragePool", y, y64, 1e-6)
			must(AveragePoolBack[float32](s)(dx, dy))
			must(AveragePoolBack[float64](s)(dx64, wide(dy)))
			same("AveragePoolBack", dx, dx64, 1e-6)

			n, pixels, c := s.N, s.H*s.W, s.C
			must(GlobalAveragePool[float32](n, pixels, c)(y[:n*c], finite))
			must(GlobalAveragePool[float64](n, pixels, c)(y64[:n*c], wide(finite)))
			same("GlobalAveragePool", y[:n*c], y64[:n*c], 1e-6)
			must(GlobalAveragePoolBack[float32](n, pixels, c)(dx, dy[:n*c]))
			for i := range dx {
				if want := dy[i/(pixels*c)*c+i%c] / float32(pixels); math.Abs(float64(dx[i]-want)) > 1e-6*float64(want) {
					t.Fatalf("GlobalAveragePoolBack: element %d is %v, want %v", i, dx[i], want)
				}
			}
		})
	}
}
