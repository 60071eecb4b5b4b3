package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// filled returns n values between low and high.
func filled[T Float](n int, low, high float64, salt uint32) []T {
	x := make([]T, n)
	state := salt*7919 + 1
	for i := range x {
		state = state*1664525 + 1013904223 // Numerical Recipes' generator
		x[i] = T(low + (high-low)*float64(state>>8)/(1<<24))
	}
	return x
}

// channelCase is a shape of x[rows,c] and which arithmetic to take.
type channelCase struct{ rows, c int }

var channelCases = []channelCase{
	{1, 1}, {1, 8}, {5, 3}, {7, 8}, {8, 16}, {13, 24}, {64, 40},
	{513, 16},  // pieces of equal rows and one row left over
	{70, 4096}, // one row in a piece
	{9, 4097},
}

// bothChannelMicros runs f with the arithmetic in Go and the fastest one.
func bothChannelMicros(t *testing.T, c int, f func(t *testing.T, m *channelMicro[float32])) {
	t.Run("go", func(t *testing.T) { f(t, portableChannel[float32]()) })
	if m := channelFastest(c); m != nil {
		t.Run("assembly", func(t *testing.T) { f(t, m) })
	}
}

func TestChannelMicros(t *testing.T) {
	for _, s := range channelCases {
		t.Run(fmt.Sprintf("%dx%d", s.rows, s.c), func(t *testing.T) {
			bothChannelMicros(t, s.c, func(t *testing.T, m *channelMicro[float32]) {
				n := s.rows * s.c
				x, dy := filled[float32](n, -1, 1, 1), filled[float32](n, -1, 1, 2)
				mean, a, b, d := filled[float32](s.c, -1, 1, 3), filled[float32](s.c, -1, 1, 4), filled[float32](s.c, -1, 1, 5), filled[float32](s.c, -1, 1, 6)
				sum, square, plain, centred := make([]summed, s.c), make([]summed, s.c), make([]summed, s.c), make([]summed, s.c)
				affine, back := make([]summed, n), make([]summed, n)
				for i := range n {
					k := i % s.c
					v := float64(x[i] - mean[k])
					sum[k].add(float64(x[i]-a[k]), 1)
					square[k].add(v, v)
					plain[k].add(float64(dy[i]), 1)
					centred[k].add(v, float64(dy[i]))
					affine[i].add(v, float64(a[k]))
					affine[i].add(float64(b[k]), 1)
					back[i].add(float64(dy[i]), float64(a[k]))
					back[i].add(-v, float64(b[k]))
					back[i].add(-1, float64(d[k]))
				}
				p, q := make([]float32, s.c), make([]float32, s.c)
				m.sum(p, x, a, s.rows, s.c)
				compare(t, "sum", p, sum)
				m.square(p, x, mean, s.rows, s.c)
				compare(t, "square", p, square)
				m.products(p, q, x, dy, mean, s.rows, s.c)
				compare(t, "plain", p, plain)
				compare(t, "centred", q, centred)
				y := make([]float32, n)
				m.affine(y, x, mean, a, b, s.rows, s.c)
				compare(t, "affine", y, affine)
				y = slices.Clone(x)
				m.affine(y, y, mean, a, b, s.rows, s.c)
				compare(t, "affine in place", y, affine)
				m.back(y, x, dy, mean, a, b, d, s.rows, s.c)
				compare(t, "back", y, back)
				y = slices.Clone(dy)
				m.back(y, x, y, mean, a, b, d, s.rows, s.c)
				compare(t, "back in place", y, back)
			})
		})
	}
}

// statsTolerance is relative to the deviation: float32 rounds each value to
// 2⁻²⁴ of the largest, here 1000 with a deviation of 0.3, and the mean of many
// is no worse than each of them.
const statsTolerance = 1000 * 0x1p-24

func TestChannelStatsOfValuesFarFromZero(t *testing.T) {
	for _, s := range channelCases {
		t.Run(fmt.Sprintf("%dx%d", s.rows, s.c), func(t *testing.T) {
			x := filled[float32](s.rows*s.c, 999.5, 1000.5, 1)
			p := ChannelStats[float32](s.rows, s.c)
			stats := make([]float32, 2*s.c)
			if err := p.Run(stats, x, make([]float32, p.Scratch)); err != nil {
				t.Fatal(err)
			}
			for k := range s.c {
				var mean, variance float64
				for r := range s.rows {
					mean += float64(x[r*s.c+k]) / float64(s.rows)
				}
				for r := range s.rows {
					d := float64(x[r*s.c+k]) - mean
					variance += d * d / float64(s.rows)
				}
				if d := math.Abs(float64(stats[k]) - mean); !(d <= statsTolerance) {
					t.Errorf("mean of channel %d is %v, want %v", k, stats[k], mean)
				}
				if d := math.Abs(float64(stats[s.c+k]) - variance); !(d <= statsTolerance) {
					t.Errorf("variance of channel %d is %v, want %v", k, stats[s.c+k], variance)
				}
			}
		})
	}
}

// TestBatchNormOfValuesFarFromZero checks that what the statistics keep is not
// lost in the normalisation: x·a + (shift − mean·a) would lose it.
func TestBatchNormOfValuesFarFromZero(t *testing.T) {
	const rows, eps = 600, 1e-5
	for _, c := range []int{5, 16} {
		x := filled[float32](rows*c, 999.5, 1000.5, 1)
		p := ChannelStats[float32](rows, c)
		stats, y, scratch := make([]float32, 2*c), make([]float32, rows*c), make([]float32, max(p.Scratch, c))
		if err := p.Run(stats, x, scratch); err != nil {
			t.Fatal(err)
		}
		if err := BatchNorm[float32](rows, c, eps)(y, x, stats, nil, nil, scratch); err != nil {
			t.Fatal(err)
		}
		for i, v := range x {
			mean, variance := float64(stats[i%c]), float64(stats[c+i%c])
			if want := (float64(v) - mean) / math.Sqrt(variance+eps); !(math.Abs(float64(y[i])-want) <= 4*0x1p-24*math.Abs(want)) {
				t.Fatalf("%d channels: y[%d] = %v, want %v", c, i, y[i], want)
			}
		}
	}
}

func TestBatchNormAllocatesNothing(t *testing.T) {
	for _, c := range []int{16, 5} {
		const rows, eps = 3000, 1e-5
		x, dy := filled[float32](rows*c, -1, 1, 1), filled[float32](rows*c, -1, 1, 2)
		v, stats, sums, y := filled[float32](c, 0, 1, 3), make([]float32, 2*c), make([]float32, 2*c), make([]float32, rows*c)
		a, b := ChannelStats[float32](rows, c), BatchNormSums[float32](rows, c, eps)
		forward, back := BatchNorm[float32](rows, c, eps), BatchNormBack[float32](rows, c, eps)
		scratch := make([]float32, max(a.Scratch, b.Scratch, 3*c))
		if n := testing.AllocsPerRun(20, func() {
			for _, err := range [...]error{
				a.Run(stats, x, scratch),
				forward(y, x, stats, v, v, scratch),
				b.Run(sums, x, stats, dy, scratch),
				back(y, x, stats, dy, sums, v, scratch),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}); n != 0 {
			t.Errorf("batch normalisation of %d channels allocates %v times in a run, want none", c, n)
		}
	}
}
