package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The operators' table checks each function on small tensors. These tests are
// of what only large ones show: work cut into parts.

// large is several parts of work and no multiple of one.
const large = 3*grain + 41

func random(n int) []float64 {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

func equal(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(want), got[i], want[i])
		}
	}
}

func TestLargeElementwise(t *testing.T) {
	a, b, dst, want := random(large), random(large)[:large], make([]float64, large), make([]float64, large)
	for i := range b {
		b[i] += 3
	}
	unary := func(what string, f func(dst, x []float64), g func(x float64) float64) {
		t.Helper()
		for i := range want {
			want[i] = g(a[i])
		}
		if err := Unary(large, f)(dst, a); err != nil {
			t.Fatal(err)
		}
		equal(t, what, dst, want)
	}
	unary("Neg", Neg[float64], func(x float64) float64 { return -x })
	unary("Scale", Scale[float64](0.3), func(x float64) float64 { return 0.3 * x })
	unary("ReLU", ReLU[float64], func(x float64) float64 { return math.Max(x, 0) })
	for i := range want {
		want[i] = a[i] / b[i]
	}
	if err := Binary(large, Div[float64])(dst, a, b); err != nil {
		t.Fatal(err)
	}
	equal(t, "Div", dst, want)
	if err := Fill[float64](large)(dst, b[5:6]); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i] = b[5]
	}
	equal(t, "Fill", dst, want)
}

func TestLargeRows(t *testing.T) {
	// Rows far shorter than a part, about a part, and longer than one.
	for _, s := range [][2]int{{20001, 3}, {37, 4099}, {3, grain + 7}} {
		t.Run(fmt.Sprintf("%d rows of %d", s[0], s[1]), func(t *testing.T) {
			rows, d := s[0], s[1]
			x := random(rows * d)
			sums, want := make([]float64, rows), make([]float64, rows)
			if err := SumRows[float64](rows, d)(sums, x); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				want[i] = Sum(x[i*d : (i+1)*d])
			}
			equal(t, "SumRows", sums, want)

			spread, wide := make([]float64, rows*d), make([]float64, rows*d)
			for i := range wide {
				wide[i] = sums[i/d]
			}
			if err := SpreadRows[float64](rows, d)(spread, sums); err != nil {
				t.Fatal(err)
			}
			equal(t, "SpreadRows", spread, wide)

			for i := range wide {
				wide[i] = sums[i/d] * 2 * x[i]
			}
			if err := AttentionSpread[float64](rows, d, AbsPower{C: 2, P: 1, Odd: true})(spread, x, sums, nil); err != nil {
				t.Fatal(err)
			}
			for i := range wide {
				if math.Abs(spread[i]-wide[i]) > 1e-12*math.Abs(wide[i]) {
					t.Fatalf("AttentionSpread: element %d is %v, want %v", i, spread[i], wide[i])
				}
			}
		})
	}
}

func TestLargeChannels(t *testing.T) {
	for _, s := range [][2]int{{1, 3}, {256, 5}, {257, 1}, {70001, 3}} {
		rows, c := s[0], s[1]
		x := make([]float64, rows*c)
		want := make([]float64, c)
		for i := range x { // whole numbers add up exactly in any order
			x[i] = float64(i%7 - 3)
			want[i%c] += x[i]
		}
		scratch, run := SumChannels[float64](rows, c)
		dst, memory := make([]float64, c), make([]float64, scratch)
		for i := range memory {
			memory[i] = math.NaN()
		}
		if err := run(dst, x, memory); err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("SumChannels of %v", s), dst, want)

		wide := make([]float64, rows*c)
		if err := SpreadChannels[float64](rows, c)(wide, want); err != nil {
			t.Fatal(err)
		}
		for i := range wide {
			if wide[i] != want[i%c] {
				t.Fatalf("SpreadChannels of %v: element %d is %v, want %v", s, i, wide[i], want[i%c])
			}
		}
	}
}

// TestSumsStayAccurate adds a million equal float32 numbers, where one running
// float32 sum would be off by percents.
func TestSumsStayAccurate(t *testing.T) {
	const n = 1 << 20
	x := make([]float32, n)
	for i := range x {
		x[i] = 0.1
	}
	want := float64(x[0]) * n
	near := func(what string, got float32, tolerance float64) {
		t.Helper()
		if d := math.Abs(float64(got)-want) / want; d > tolerance {
			t.Errorf("%s is off by %.2g of the sum, want at most %g", what, d, tolerance)
		}
	}
	near("Sum", Sum(x), 1e-7) // float64 throughout, rounded once
	scratch, run := SumChannels[float32](n, 1)
	var dst [1]float32
	if err := run(dst[:], x, make([]float32, scratch)); err != nil {
		t.Fatal(err)
	}
	near("SumChannels", dst[0], 2e-4) // blocks of 256, then 4096 blocks, in float32
}

func TestLargeSoftmaxAndNorm(t *testing.T) {
	const rows, k = 5000, 11
	x := random(rows * k)
	whole, parts := make([]float64, rows*k), make([]float64, k)
	for what, f := range map[string]func(rows, k int) func(dst, x []float64) error{
		"LogSoftmax":  LogSoftmax[float64],
		"L2Normalize": func(rows, k int) func(dst, x []float64) error { return L2Normalize[float64](rows, k, 1e-12) },
	} {
		if err := f(rows, k)(whole, x); err != nil {
			t.Fatal(err)
		}
		one := f(1, k)
		for i := range rows {
			if err := one(parts, x[i*k:(i+1)*k]); err != nil {
				t.Fatal(err)
			}
			equal(t, fmt.Sprintf("%s, row %d", what, i), whole[i*k:(i+1)*k], parts)
		}
	}
}

func TestLargeImages(t *testing.T) {
	const n, h, w, c = 40, 20, 21, 3
	x := random(n * h * w * c)
	a := AdaptiveShape{N: n, H: h, W: w, C: c, OH: 3, OW: 4}
	whole := make([]float64, n*a.OH*a.OW*c)
	if err := AdaptiveAverage[float64](a)(whole, x); err != nil {
		t.Fatal(err)
	}
	a.N = 1
	one, part := AdaptiveAverage[float64](a), make([]float64, a.OH*a.OW*c)
	for i := range n {
		if err := one(part, x[i*h*w*c:(i+1)*h*w*c]); err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("AdaptiveAverage, image %d", i), whole[i*len(part):(i+1)*len(part)], part)
	}
}

// TestBinsCoverEverything checks PyTorch's rule on every size that matters.
func TestBinsCoverEverything(t *testing.T) {
	for n := 1; n <= 33; n++ {
		for bins := 1; bins <= 33; bins++ {
			end := 0
			for i := range bins {
				from, to := Bin(i, bins, n)
				if from >= to || from > end || to > n {
					t.Fatalf("bin %d of %d over %d elements is [%d, %d) after %d", i, bins, n, from, to, end)
				}
				end = to
			}
			if end != n {
				t.Fatalf("%d bins over %d elements end at %d", bins, n, end)
			}
		}
	}
}
