package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestAttentionKernels compares sums and spreads of powers with loops, for
// channels that go through assembly and for others, and in several parts of
// work.
func TestAttentionKernels(t *testing.T) {
	for _, s := range [][2]int{{1, 1}, {7, 3}, {5, 8}, {9, 16}, {13, 24}, {3 * grain / 16, 16}, {101, 20}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Run("float32", func(t *testing.T) { attentionKernels[float32](t, s[0], s[1], 0x1p-23) })
			t.Run("float64", func(t *testing.T) { attentionKernels[float64](t, s[0], s[1], 0x1p-52) })
		})
	}
}

func attentionKernels[T Float](t *testing.T, pixels, c int, unit float64) {
	n := pixels * c
	x, g, add := filled[T](n, -2, 2, 1), filled[T](pixels, -1, 1, 2), filled[T](n, -1, 1, 3)
	for i := range min(n, 3) {
		x[i*n/3] = 0
	}
	for _, f := range []AbsPower{
		{C: 0.7, P: 2}, {C: 1, P: 1}, {C: 1, P: 3}, {C: 1, P: 1.5}, {C: 2, P: 1, Odd: true}, {C: 3, P: 0}, {C: 1.5, P: 0, Odd: true}, {C: 3, P: 2, Odd: true},
	} {
		value := func(i int) float64 {
			v := f.C * math.Pow(math.Abs(float64(x[i])), f.P)
			if f.Odd && x[i] <= 0 {
				v = -v
			}
			if f.Odd && x[i] == 0 {
				v = 0
			}
			return v
		}
		sums, spread := make([]float64, pixels), make([]float64, n)
		for i := range n {
			sums[i/c] += value(i)
			spread[i] = value(i) * float64(g[i/c])
		}
		near := func(what string, got []T, want []float64) {
			t.Helper()
			for i, w := range want {
				if d := math.Abs(float64(got[i]) - w); !(d <= 8*unit*(math.Abs(w)+float64(c))) {
					t.Fatalf("%s of %+v: element %d is %v, want %v", what, f, i, got[i], w)
				}
			}
		}
		if !f.Odd {
			got := make([]T, pixels)
			check(t, AttentionSum[T](pixels, c, f)(got, x))
			near("sum", got, sums)
		}
		run := AttentionSpread[T](pixels, c, f)
		got := make([]T, n)
		check(t, run(got, x, g, nil))
		near("spread", got, spread)
		Add(got, got, add)
		whole := slices.Clone(add)
		check(t, run(whole, x, g, whole))
		if !slices.Equal(whole, got) {
			t.Errorf("%+v: spread with a summand differs from spread and sum", f)
		}
		whole = slices.Clone(x)
		check(t, run(whole, whole, g, add))
		if !slices.Equal(whole, got) {
			t.Errorf("%+v: spread over its operand differs", f)
		}
	}
}
