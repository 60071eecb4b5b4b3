package kernel

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// matMulShapes are products of which some fill tiles and panels and some do
// not, in one band and in several, few for the workers and many.
func matMulShapes() []MatMulShape {
	return []MatMulShape{
		{Batch: 1, M: 1, K: 1, N: 1},
		{Batch: 1, M: 5, K: 3, N: 7},
		{Batch: 2, M: 12, K: 8, N: 16},
		{Batch: 1, M: 1, K: 300, N: 1000},
		{Batch: 2, M: 70, K: 600, N: 33},
		{Batch: 1, M: 200, K: 200, N: 200},
		{Batch: 2*Workers() + 1, M: 9, K: 11, N: 19},
		{Batch: 2 * Workers(), M: 100, K: 700, N: 20},
	}
}

func TestMatMulAgainstLoops(t *testing.T) {
	for _, s := range matMulShapes() {
		for _, s.TransA = range []bool{false, true} {
			for _, s.TransB = range []bool{false, true} {
				t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
					// A unit of rounding for each term of a sum, whose factors are
					// below one.
					checkMatMul(t, microFor[float32](), s, 0x1p-23*float64(s.K))
					checkMatMul(t, portable[float32](), s, 0x1p-23*float64(s.K))
					checkMatMul(t, portable[float64](), s, 0x1p-52*float64(s.K))
				})
			}
		}
	}
}

func checkMatMul[T Float](t *testing.T, m *micro[T], s MatMulShape, tolerance float64) {
	t.Helper()
	a, b := filled[T](s.Batch*s.M*s.K, -1, 1, 1), filled[T](s.Batch*s.K*s.N, -1, 1, 2)
	y := filled[T](s.Batch*s.M*s.N, 5, 6, 3)
	n, run := matMul(m, s)
	scratch := make([]T, n)
	for i := range scratch {
		scratch[i] = T(math.NaN())
	}
	if err := run(y, a, b, scratch); err != nil {
		t.Fatal(err)
	}
	for i := range y {
		e, r, c := i/s.N/s.M, i/s.N%s.M, i%s.N
		var want float64
		for d := range s.K {
			at, bt := r*s.K+d, d*s.N+c
			if s.TransA {
				at = d*s.M + r
			}
			if s.TransB {
				bt = c*s.K + d
			}
			want += float64(a[e*s.M*s.K+at]) * float64(b[e*s.K*s.N+bt])
		}
		if off := math.Abs(float64(y[i]) - want); !(off <= tolerance) {
			t.Fatalf("%s: element %d of product %d is %v, want %v", m.name, i%(s.M*s.N), e, y[i], want)
		}
	}
}

func TestMatMulRefusesOtherLengths(t *testing.T) {
	s := MatMulShape{Batch: 2, M: 3, K: 4, N: 5}
	n, run := MatMul[float32](s)
	err := run(make([]float32, 30), make([]float32, 24), make([]float32, 41), make([]float32, n))
	if err == nil || !strings.Contains(err.Error(), "wants 30, 24 and 40 elements") || !strings.Contains(err.Error(), "got 30, 24, 41") {
		t.Errorf("got error %v, want one with the lengths", err)
	}
}

// BenchmarkMatMul computes the products of a small transformer.
func BenchmarkMatMul(b *testing.B) {
	for _, s := range []MatMulShape{
		{Batch: 1, M: 512, K: 512, N: 512},
		{Batch: 1, M: 512, K: 512, N: 512, TransB: true},
		{Batch: 1, M: 512, K: 512, N: 512, TransA: true},
		{Batch: 96, M: 65, K: 64, N: 65, TransB: true},
		{Batch: 96, M: 65, K: 65, N: 64},
	} {
		b.Run(fmt.Sprintf("%dx%dx%dx%d/transposed=%v,%v", s.Batch, s.M, s.K, s.N, s.TransA, s.TransB), func(b *testing.B) {
			x, w := filled[float32](s.Batch*s.M*s.K, -1, 1, 1), filled[float32](s.Batch*s.K*s.N, -1, 1, 2)
			n, run := MatMul[float32](s)
			y, scratch := make([]float32, s.Batch*s.M*s.N), make([]float32, n)
			for b.Loop() {
				if err := run(y, x, w, scratch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2*float64(s.MACs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
