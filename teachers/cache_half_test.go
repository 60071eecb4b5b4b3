package teachers

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestHalvesSurviveTheirRoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		v := halves()[h]
		got := toHalf(v)
		switch {
		case v != v:
			if halves()[got] == halves()[got] {
				t.Fatalf("%#04x is no number, and comes back as %v", h, halves()[got])
			}
		case math.IsInf(float64(v), 0):
			if want := uint16(h - 1); got != want { // the largest number of that sign
				t.Fatalf("%v becomes %#04x, want %#04x", v, got, want)
			}
		case int(got) != h:
			t.Fatalf("%#04x is %v and comes back as %#04x", h, v, got)
		}
	}
}

func TestHalvesAreNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 7))
	check := func(v float32) {
		t.Helper()
		got := toHalf(v)
		off := func(h uint16) float64 { return math.Abs(float64(halves()[h]) - float64(v)) }
		for _, other := range []uint16{got - 1, got + 1} {
			if other&0x7fff > 0x7bff || other&0x8000 != got&0x8000 {
				continue // beyond the largest number, or the other side of zero
			}
			if off(other) < off(got) || (off(other) == off(got) && got&1 == 1) {
				t.Fatalf("%v becomes %v; %v is nearer, or as near and even", v, halves()[got], halves()[other])
			}
		}
	}
	for range 200_000 {
		v := float32(math.Ldexp(1+r.Float64(), r.IntN(44)-28))
		if r.IntN(2) == 0 {
			v = -v
		}
		check(v)
	}
	for h := range uint16(0x7bff) { // half-way between neighbours
		check((halves()[h] + halves()[h+1]) / 2)
	}
	for _, c := range []struct{ v, want float32 }{
		{65504, 65504}, {65519, 65504}, {65520, 65504}, {1e30, 65504}, {-1e30, -65504}, {float32(math.Inf(1)), 65504},
		{0, 0}, {1e-9, 0}, {6e-8, 1. / (1 << 24)}, {1. / 3, 0.333251953125}, {2049, 2048}, {2051, 2052},
	} {
		values := []float32{c.v}
		if Float16.Round(values); values[0] != c.want {
			t.Errorf("%v becomes %v, want %v", c.v, values[0], c.want)
		}
		values[0] = c.v
		if Float32.Round(values); values[0] != c.v {
			t.Errorf("as float32 %v becomes %v", c.v, values[0])
		}
	}
}

func BenchmarkHalf(b *testing.B) {
	values, bytes := make([]float32, 128*1354), make([]byte, 0, 2*128*1354)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range values {
		values[i] = float32(r.NormFloat64()) / 32
	}
	b.Run("from float32", func(b *testing.B) {
		for b.Loop() {
			bytes = Float16.append(bytes[:0], values)
		}
	})
	b.Run("to float32", func(b *testing.B) {
		for b.Loop() {
			Float16.decode(values, bytes)
		}
	})
}
