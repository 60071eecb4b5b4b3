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
				x, dy, add := filled[float32](n, -1, 1, 1), filled[float32](n, -1, 1, 2), filled[float32](n, -1, 1, 3)
				table := filled[float32](backTable*s.c, -1, 1, 4)
				mean, a, shift, b, d := table[:s.c], table[s.c:], table[2*s.c:], table[3*s.c:], table[4*s.c:]

				sum, square := make([]summed, s.c), make([]summed, s.c)
				for i := range n {
					k := i % s.c
					v := float64(x[i] - mean[k])
					sum[k].add(float64(x[i]-a[k]), 1)
					square[k].add(v, v)
				}
				p := make([]float32, 2*s.c)
				m.sum(p, x, a, s.rows, s.c)
				compare(t, "sum", p[:s.c], sum)
				m.square(p, x, mean, s.rows, s.c)
				compare(t, "square", p[:s.c], square)

				for _, choice := range []bool{false, true} {
					for _, summand := range [][]float32{nil, add} {
						what := fmt.Sprintf(" with gate or ReLU %v and a summand %v", choice, summand != nil)
						sums, affine, back := make([]summed, 2*s.c), make([]summed, n), make([]summed, n)
						for i := range n {
							k := i % s.c
							v, g := float64(x[i]-mean[k]), float64(dy[i])
							// No value of the data is so near to zero that rounding
							// decides.
							if choice && !(v*float64(a[k])+float64(shift[k]) > 0) {
								g = 0
							}
							sums[k].add(g, 1)
							sums[s.c+k].add(v, g)
							affine[i].add(v, float64(a[k]))
							affine[i].add(float64(shift[k]), 1)
							back[i].add(g, float64(a[k]))
							back[i].add(-v, float64(b[k]))
							back[i].add(-1, float64(d[k]))
							if summand != nil {
								affine[i].add(float64(summand[i]), 1)
								back[i].add(float64(summand[i]), 1)
							}
							if choice {
								affine[i].value = max(affine[i].value, 0)
							}
						}
						m.products(p, x, dy, table, choice, s.rows, s.c)
						compare(t, "products"+what, p, sums)
						y := make([]float32, n)
						m.affine(y, x, summand, table, choice, s.rows, s.c)
						compare(t, "affine"+what, y, affine)
						y = slices.Clone(x)
						m.affine(y, y, summand, table, choice, s.rows, s.c)
						compare(t, "affine over x"+what, y, affine)
						m.back(y, x, dy, summand, table, choice, s.rows, s.c)
						compare(t, "back"+what, y, back)
						y = slices.Clone(dy)
						m.back(y, x, y, summand, table, choice, s.rows, s.c)
						compare(t, "back over dy"+what, y, back)
						y = slices.Clone(x)
						m.back(y, y, dy, summand, table, choice, s.rows, s.c)
						compare(t, "back over x"+what, y, back)
						if summand != nil {
							y = slices.Clone(summand)
							m.affine(y, x, y, table, choice, s.rows, s.c)
							compare(t, "affine over the summand"+what, y, affine)
							y = slices.Clone(summand)
							m.back(y, x, dy, y, table, choice, s.rows, s.c)
							compare(t, "back over the summand"+what, y, back)
						}
					}
				}
			})
		})
	}
}

// TestReLUOfBatchNormLeavesItsSpecialValues pins what the arithmetic does with
// values that a maximum by comparison loses.
func TestReLUOfBatchNormLeavesItsSpecialValues(t *testing.T) {
	nan, inf, minus := float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
	const c = 8
	x := []float32{nan, inf, -inf, minus, 0, -1, 1, 2}
	table := make([]float32, affineTable*c)
	for k := range c {
		table[c+k], table[2*c+k] = 1, minus
	}
	bothChannelMicros(t, c, func(t *testing.T, m *channelMicro[float32]) {
		for relu, want := range map[bool][]float32{false: x, true: {nan, inf, 0, 0, 0, 0, 1, 2}} {
			y := make([]float32, c)
			m.affine(y, x, nil, table, relu, 1, c)
			for i := range y {
				same := math.Float32bits(y[i]) == math.Float32bits(want[i]) || y[i] != y[i] && want[i] != want[i]
				if !same {
					t.Errorf("with ReLU %v %v becomes %v, want %v", relu, x[i], y[i], want[i])
				}
			}
		}
	})
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
		n := BatchNorm[float32](rows, c, eps, false)
		stats, y, scratch := make([]float32, 2*c), make([]float32, rows*c), make([]float32, max(p.Scratch, n.Scratch))
		if err := p.Run(stats, x, scratch); err != nil {
			t.Fatal(err)
		}
		if err := n.Run(y, stats, x, nil, nil, nil, scratch); err != nil {
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

// batchNorm is a batch normalisation with ReLU and its derivative as loops in
// float64.
type batchNorm struct{ y, stats, dx, sums []float64 }

func batchNormLoops[T Float](x, dy, scale, shift, add []T, c int, eps float64, relu bool) batchNorm {
	rows := float64(len(x) / c)
	l := batchNorm{make([]float64, len(x)), make([]float64, 2*c), make([]float64, len(x)), make([]float64, 2*c)}
	for i, v := range x {
		l.stats[i%c] += float64(v) / rows
	}
	for i, v := range x {
		d := float64(v) - l.stats[i%c]
		l.stats[c+i%c] += d * d / rows
	}
	hat := func(i int) float64 { return (float64(x[i]) - l.stats[i%c]) / math.Sqrt(l.stats[c+i%c]+eps) }
	for i := range x {
		k, g := i%c, float64(dy[i])
		bn := hat(i)*float64(scale[k]) + float64(shift[k])
		l.y[i] = bn + float64(add[i])
		if relu {
			l.y[i] = max(l.y[i], 0)
		}
		if !relu || bn > 0 {
			l.dx[i] = g
			l.sums[k] += g
			l.sums[c+k] += g * hat(i)
		}
	}
	for i := range x {
		k := i % c
		l.dx[i] = float64(scale[k])/math.Sqrt(l.stats[c+k]+eps)*(l.dx[i]-l.sums[k]/rows-hat(i)*l.sums[c+k]/rows) + float64(add[i])
	}
	return l
}

// within fails the test where got is further from want than tolerance times the
// largest of want.
func within[T Float](t *testing.T, what string, got []T, want []float64, tolerance float64) {
	t.Helper()
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= tolerance*largest) {
			t.Fatalf("%s[%d] = %v, want %v within %v", what, i, got[i], w, tolerance*largest)
		}
	}
}

// The fused kernels give what loops give, and bit for bit what the kernels give
// that they are made of.
func TestFusedBatchNorm(t *testing.T) {
	for _, s := range []channelCase{{20, 1}, {5, 3}, {8, 16}, {13, 24}, {1000, 16}, {2000, 40}, {70, 4096}, {9, 4097}} {
		for _, relu := range []bool{false, true} {
			t.Run(fmt.Sprintf("%dx%d relu %v", s.rows, s.c, relu), func(t *testing.T) {
				// A float32 has 24 bits, of which sums of thousands lose a few.
				t.Run("float32", func(t *testing.T) { fusedBatchNorm[float32](t, s, relu, 0x1p-19) })
				t.Run("float64", func(t *testing.T) { fusedBatchNorm[float64](t, s, relu, 0x1p-45) })
			})
		}
	}
}

func fusedBatchNorm[T Float](t *testing.T, s channelCase, relu bool, tolerance float64) {
	const eps = 1e-3
	n := s.rows * s.c
	x, dy, add := filled[T](n, 0, 3, 1), filled[T](n, -1, 1, 2), filled[T](n, -1, 1, 3)
	scale, shift := filled[T](s.c, -1, 2, 4), filled[T](s.c, -0.5, 0.5, 5)
	want := batchNormLoops(x, dy, scale, shift, add, s.c, eps, relu)

	forward, back := BatchNormTrain[T](s.rows, s.c, eps, relu), BatchNormTrainBack[T](s.rows, s.c, eps, relu)
	scratch := make([]T, max(forward.Scratch, back.Scratch))
	fill := func() {
		for i := range scratch {
			scratch[i] = T(math.NaN())
		}
	}
	y, stats, dx, sums := make([]T, n), make([]T, 2*s.c), make([]T, n), make([]T, 2*s.c)
	fill()
	check(t, forward.Run(y, stats, x, scale, shift, add, scratch))
	fill()
	check(t, back.Run(dx, sums, x, stats, scale, shift, dy, add, scratch))
	within(t, "y", y, want.y, tolerance)
	within(t, "stats", stats, want.stats, tolerance)
	within(t, "dx", dx, want.dx, tolerance)
	within(t, "sums", sums, want.sums, tolerance*float64(s.rows))

	// In parts.
	first, norm, products, last := ChannelStats[T](s.rows, s.c), BatchNorm[T](s.rows, s.c, eps, false), BatchNormSums[T](s.rows, s.c, eps), BatchNormBack[T](s.rows, s.c, eps)
	scratch = make([]T, max(first.Scratch, norm.Scratch, products.Scratch, last.Scratch))
	bn, partStats, partSums, partY, g, partDx := make([]T, n), make([]T, 2*s.c), make([]T, 2*s.c), make([]T, n), slices.Clone(dy), make([]T, n)
	check(t, first.Run(partStats, x, scratch))
	check(t, norm.Run(bn, partStats, x, scale, shift, nil, scratch))
	Add(partY, bn, add)
	if relu {
		ReLU(partY, partY)
		Gate(g, bn, dy)
	}
	check(t, products.Run(partSums, x, partStats, g, scratch))
	check(t, last.Run(partDx, partSums, x, partStats, scale, nil, g, nil, scratch))
	Add(partDx, partDx, add)
	for _, c := range []struct {
		what        string
		fused, part []T
	}{{"y", y, partY}, {"stats", stats, partStats}, {"dx", dx, partDx}, {"sums", sums, partSums}} {
		if !slices.Equal(c.fused, c.part) {
			t.Errorf("%s is not what the kernels give one by one", c.what)
		}
	}

	// In place, and without what may be left out.
	over := slices.Clone(dy)
	check(t, BatchNormTrainBack[T](s.rows, s.c, eps, relu).Run(over, sums, x, stats, scale, shift, over, add, make([]T, back.Scratch)))
	if !slices.Equal(over, dx) {
		t.Error("over dy dx is another one")
	}
	over = slices.Clone(x)
	check(t, BatchNormTrain[T](s.rows, s.c, eps, relu).Run(over, stats, over, scale, shift, add, make([]T, forward.Scratch)))
	if !slices.Equal(over, y) {
		t.Error("over x y is another one")
	}
	ones, zeros, none := make([]T, s.c), make([]T, s.c), make([]T, n)
	for k := range ones {
		ones[k] = 1
	}
	want = batchNormLoops(x, dy, ones, zeros, none, s.c, eps, relu)
	check(t, forward.Run(y, stats, x, nil, nil, nil, make([]T, forward.Scratch)))
	check(t, back.Run(dx, sums, x, stats, nil, nil, dy, nil, make([]T, back.Scratch)))
	within(t, "bare y", y, want.y, tolerance)
	within(t, "bare dx", dx, want.dx, tolerance)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBatchNormAllocatesNothing(t *testing.T) {
	for _, c := range []int{16, 5} {
		const rows, eps = 3000, 1e-5
		x, dy := filled[float32](rows*c, -1, 1, 1), filled[float32](rows*c, -1, 1, 2)
		v, stats, sums, y := filled[float32](c, 0, 1, 3), make([]float32, 2*c), make([]float32, 2*c), make([]float32, rows*c)
		a, b := ChannelStats[float32](rows, c), BatchNormSums[float32](rows, c, eps)
		forward, back := BatchNorm[float32](rows, c, eps, true), BatchNormBack[float32](rows, c, eps)
		train, trainBack := BatchNormTrain[float32](rows, c, eps, true), BatchNormTrainBack[float32](rows, c, eps, true)
		scratch := make([]float32, max(a.Scratch, b.Scratch, forward.Scratch, back.Scratch, train.Scratch, trainBack.Scratch))
		if n := testing.AllocsPerRun(20, func() {
			for _, err := range [...]error{
				a.Run(stats, x, scratch),
				forward.Run(y, stats, x, v, v, nil, scratch),
				b.Run(sums, x, stats, dy, scratch),
				back.Run(y, sums, x, stats, v, nil, dy, nil, scratch),
				train.Run(y, stats, x, v, v, dy, scratch),
				trainBack.Run(y, sums, x, stats, v, v, dy, nil, scratch),
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
