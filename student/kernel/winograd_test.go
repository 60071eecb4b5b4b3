package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// winogradMicros32 are the ways to compute in float32 that this processor has.
func winogradMicros32() []*winogradMicro[float32] {
	all := []*winogradMicro[float32]{winogradPortable[float32]()}
	if winogradFastest != nil {
		all = append(all, winogradFastest)
	}
	return all
}

// winogradRounding is the error allowed to an element, in units of the last
// place of the largest sum of magnitudes of products anywhere in the result: a
// tile's error depends on all of its window. Errors stay below a quarter of it.
const winogradRounding = 16

// compareTiles fails the test where got is not want within winogradRounding.
func compareTiles[T Float](t *testing.T, what string, got []T, want []summed) {
	t.Helper()
	unit := 0x1p-52
	if _, ok := any(T(0)).(float32); ok {
		unit = 0x1p-23
	}
	var largest float64
	for _, w := range want {
		largest = max(largest, w.magnitude)
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w.value); !(d <= winogradRounding*unit*largest) {
			t.Fatalf("%s[%d] = %v, want %v within %v", what, i, got[i], w.value, winogradRounding*unit*largest)
		}
	}
}

// guarded is memory for n elements in the middle of others, all NaN, so that
// what is not written and what is written beside is found.
func guarded[T Float](n int) (memory, inner []T) {
	const guard = 256
	memory = make([]T, guard+n+guard)
	for i := range memory {
		memory[i] = T(math.NaN())
	}
	return memory, memory[guard : guard+n : guard+n]
}

// familySums are the three members of the family in plain loops.
type familySums struct{ y, dx, dw []summed }

func familySumsOf(s ConvShape) familySums {
	x, w, y := operands[float64](s)
	want := familySums{make([]summed, len(y)), make([]summed, len(x)), make([]summed, len(w))}
	s.visit(func(xi, wi, yi int) {
		want.y[yi].add(x[xi], w[wi])
		want.dx[xi].add(y[yi], w[wi])
		want.dw[wi].add(x[xi], y[yi])
	})
	return want
}

// checkWinograd compares the three members of the family with plain loops, or
// the first one where it has an epilogue.
func checkWinograd[T Float](t *testing.T, m *winogradMicro[T], s ConvShape, e Epilogue, want familySums) {
	t.Helper()
	x, w, y := operands[T](s)
	bias := slices.Clone(y[:s.K])
	wantY := slices.Clone(want.y)
	for i := range wantY {
		if e.Bias {
			wantY[i].add(float64(bias[i%s.K]), 1)
		}
		if e.Add {
			wantY[i].add(float64(y[i]), 1)
		}
		if e.ReLU {
			wantY[i].value = max(wantY[i].value, 0)
		}
	}
	check := func(what string, scratch int, want []summed, start []T, run func(dst, scratch []T) error) {
		t.Helper()
		memory, got := guarded[T](len(want))
		aside, work := guarded[T](scratch)
		for round := range 2 {
			copy(got, start)
			if err := run(got, work); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			compareTiles(t, fmt.Sprintf("%s %s round %d", m.name, what, round), got, want)
		}
		for i := range 256 {
			for _, v := range []T{memory[i], memory[len(memory)-1-i], aside[i], aside[len(aside)-1-i]} {
				if v == v {
					t.Fatalf("%s %s wrote %v beside its memory", m.name, what, v)
				}
			}
		}
	}
	forward, data, weights := newWinograd(m, s, e), newWinogradData(m, s), newWinogradGrad(m, s)
	check("y", forward.Scratch, wantY, nil, func(dst, scratch []T) error { return forward.Run(dst, x, w, bias, y, scratch) })
	if e.Add {
		check("y in place", forward.Scratch, wantY, y, func(dst, scratch []T) error { return forward.Run(dst, x, w, bias, dst, scratch) })
	}
	if e != (Epilogue{}) {
		return
	}
	check("dx", data.Scratch, want.dx, nil, func(dst, scratch []T) error { return data.Run(dst, y, w, scratch) })
	check("dw", weights.Scratch, want.dw, nil, func(dst, scratch []T) error { return weights.Run(dst, x, y, scratch) })
}

func padded(s ConvShape, top, left, bottom, right int) ConvShape {
	s.Pad = [4]int{top, left, bottom, right}
	return s
}

func TestWinograd(t *testing.T) {
	for _, c := range []struct {
		name  string
		shape ConvShape
	}{
		{"whole tiles", conv3x3(2, 8, 16, 16, 1)},
		{"one pixel", conv3x3(3, 1, 8, 8, 1)},
		{"two pixels each way", conv3x3(3, 2, 8, 16, 1)},
		{"three pixels each way", conv3x3(2, 3, 16, 8, 1)},
		{"tiles of one row and column", conv3x3(2, 9, 16, 24, 1)},
		{"tiles of two rows and columns", conv3x3(2, 6, 24, 16, 1)},
		{"tiles of three rows and columns", conv3x3(2, 7, 8, 32, 1)},
		{"channels that fill one panel and a half", conv3x3(1, 8, 40, 24, 1)},
		{"more channels than one item's sums may have", conv3x3(1, 5, 160, 104, 1)},
		{"strips over several images", conv3x3(150, 4, 16, 16, 1)},
		{"several strips in each chunk", conv3x3(8, 31, 16, 16, 1)},
		{"a wide image", ConvShape{N: 1, H: 3, W: 70, C: 16, K: 16, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 1}},
		{"a high image", ConvShape{N: 1, H: 70, W: 3, C: 16, K: 16, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 1}},
		{"no padding", padded(conv3x3(2, 10, 16, 16, 1), 0, 0, 0, 0)},
		{"uneven padding", padded(conv3x3(2, 7, 8, 16, 1), 2, 0, 1, 3)},
		{"more padding than a window", padded(conv3x3(1, 4, 8, 8, 1), 7, 8, 9, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := familySumsOf(c.shape)
			checkWinograd(t, winogradPortable[float64](), c.shape, Epilogue{}, want)
			for _, m := range winogradMicros32() {
				checkWinograd(t, m, c.shape, Epilogue{}, want)
			}
		})
	}
}

func TestWinogradOfAnyShape(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		s := ConvShape{N: 1 + r.IntN(4), H: 1 + r.IntN(13), W: 1 + r.IntN(13), C: 8 * (1 + r.IntN(5)), K: 8 * (1 + r.IntN(5)),
			R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
		for i := range s.Pad {
			s.Pad[i] = r.IntN(4)
		}
		if oh, ow := s.Out(); oh < 1 || ow < 1 {
			continue
		}
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			want := familySumsOf(s)
			for _, m := range winogradMicros32() {
				checkWinograd(t, m, s, Epilogue{}, want)
			}
		})
	}
}

func TestWinogradWithEpilogue(t *testing.T) {
	for _, s := range []ConvShape{conv3x3(2, 8, 16, 16, 1), conv3x3(2, 5, 16, 24, 1), conv3x3(2, 6, 8, 8, 1), conv3x3(3, 7, 24, 40, 1)} {
		want := familySumsOf(s)
		for i := range 8 {
			e := Epilogue{Bias: i&1 != 0, Add: i&2 != 0, ReLU: i&4 != 0}
			t.Run(s.label()+" "+e.String(), func(t *testing.T) {
				checkWinograd(t, winogradPortable[float64](), s, e, want)
				for _, m := range winogradMicros32() {
					checkWinograd(t, m, s, e, want)
				}
			})
		}
	}
}

// TestWinogradShowsNaN: a broken activation must not be hidden by a ReLU. It
// spreads to the whole tile.
func TestWinogradShowsNaN(t *testing.T) {
	s := conv3x3(2, 8, 16, 16, 1)
	x, w, y := operands[float32](s)
	for c := range s.C {
		x[c] = float32(math.NaN())
	}
	for _, m := range winogradMicros32() {
		p := newWinograd(m, s, Epilogue{Bias: true, Add: true, ReLU: true})
		if err := p.Run(y, x, w, make([]float32, s.K), make([]float32, len(y)), make([]float32, p.Scratch)); err != nil {
			t.Fatal(err)
		}
		for i := range 4 * s.W * s.K {
			if pixel := i / s.K; pixel%s.W < 4 && y[i] == y[i] {
				t.Fatalf("%s: element %d of the result is %v in the tile of a NaN of the image, want NaN", m.name, i, y[i])
			}
		}
	}
}

// TestWinogradError bounds the error relative to that of the definition's sum in
// float32, on what training sees: normal activations and derivatives, He's
// weights.
func TestWinogradError(t *testing.T) {
	// Measured: 1.8 to 3.8 times, and 1.4 to 4.1 times at the worst element.
	const rms, worst = 4, 7
	for _, s := range []ConvShape{conv3x3(1, 32, 16, 16, 1), conv3x3(2, 16, 32, 32, 1), conv3x3(4, 8, 64, 64, 1)} {
		r := rand.New(rand.NewPCG(3, 4))
		x, w, y := operands[float32](s)
		normal := func(v []float32, deviation float64) {
			for i := range v {
				v[i] = float32(r.NormFloat64() * deviation)
			}
		}
		normal(x, 1)
		normal(w, math.Sqrt(2/float64(9*s.C)))
		normal(y, 1)
		wantY, wantX, wantW := make([]float64, len(y)), make([]float64, len(x)), make([]float64, len(w))
		s.visit(func(xi, wi, yi int) {
			wantY[yi] += float64(x[xi]) * float64(w[wi])
			wantX[xi] += float64(y[yi]) * float64(w[wi])
			wantW[wi] += float64(x[xi]) * float64(y[yi])
		})
		direct := portable[float32]()
		for _, m := range winogradMicros32() {
			for _, c := range []struct {
				name         string
				plan, direct ConvPlan[float32]
				want         []float64
				a, b         []float32
			}{
				{"forward", newWinograd(m, s, Epilogue{}).plain(), convForwardEpilogue(direct, s, Epilogue{}).plain(), wantY, x, w},
				{"data", newWinogradData(m, s), convBackwardData(direct, s), wantX, y, w},
				{"weights", newWinogradGrad(m, s), convBackwardWeights(direct, s), wantW, x, y},
			} {
				errors := func(p ConvPlan[float32]) (square, largest float64) {
					got := make([]float32, len(c.want))
					if err := p.Run(got, c.a, c.b, make([]float32, p.Scratch)); err != nil {
						t.Fatal(err)
					}
					for i, v := range got {
						d := float64(v) - c.want[i]
						square += d * d / float64(len(got))
						largest = max(largest, math.Abs(d))
					}
					return math.Sqrt(square), largest
				}
				a, b := errors(c.plan)
				p, q := errors(c.direct)
				t.Logf("%-4s %-22s %-8s root mean square %.2g, %.1f times the definition's; worst %.2g, %.1f times", m.name, s.label(), c.name, a, a/p, b, b/q)
				if !(a <= rms*p) || !(b <= worst*q) {
					t.Errorf("%s, %s %s: errors are %.1f and %.1f times those of the definition's sum, want at most %v and %v", m.name, s.label(), c.name, a/p, b/q, rms, worst)
				}
			}
		}
	}
}

func TestWinogradPays(t *testing.T) {
	change := func(s ConvShape, f func(*ConvShape)) ConvShape { f(&s); return s }
	base := conv3x3(128, 8, 64, 64, 1)
	for _, c := range []struct {
		name  string
		shape ConvShape
		want  bool
	}{
		{"16 channels of 32x32", conv3x3(128, 32, 16, 16, 1), true},
		{"32 channels of 16x16", conv3x3(128, 16, 32, 32, 1), true},
		{"64 channels of 8x8", base, true},
		{"64 channels of 7x7", conv3x3(128, 7, 64, 64, 1), true},
		{"a batch of 8", conv3x3(8, 8, 64, 64, 1), true},
		{"one small image", conv3x3(1, 8, 64, 64, 1), false},
		{"8 channels", conv3x3(128, 32, 8, 8, 1), false},
		{"three channels", conv3x3(128, 32, 3, 16, 1), false},
		{"20 channels", conv3x3(128, 32, 32, 20, 1), false},
		{"tiles of four pixels of sixteen", conv3x3(128, 2, 64, 64, 1), false},
		{"stride 2", conv3x3(128, 32, 32, 32, 2), false},
		{"dilation", change(base, func(s *ConvShape) { s.Dilation = [2]int{1, 2} }), false},
		{"two groups", change(base, func(s *ConvShape) { s.Groups = 2 }), false},
		{"3x1", change(base, func(s *ConvShape) { s.S = 1 }), false},
		{"5x3", change(base, func(s *ConvShape) { s.R = 5 }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, forward := winogradForward(c.shape, Epilogue{})
			_, data := winogradBackwardData(c.shape)
			_, weights := winogradBackwardWeights(c.shape)
			if forward != c.want || data != c.want || weights != c.want {
				t.Errorf("forward %v, data %v, weights %v, want %v", forward, data, weights, c.want)
			}
		})
	}
}

func TestWinogradAllocatesNothing(t *testing.T) {
	s := conv3x3(9, 14, 16, 24, 1)
	x, w, y := operands[float32](s)
	for _, m := range winogradMicros32() {
		forward, data, weights := newWinograd(m, s, Epilogue{Add: true}), newWinogradData(m, s), newWinogradGrad(m, s)
		scratch := make([]float32, max(forward.Scratch, data.Scratch, weights.Scratch))
		for name, run := range map[string]func() error{
			"forward": func() error { return forward.Run(y, x, w, nil, y, scratch) },
			"data":    func() error { return data.Run(x, y, w, scratch) },
			"weights": func() error { return weights.Run(w, x, y, scratch) },
		} {
			if n := testing.AllocsPerRun(20, func() {
				if err := run(); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s %s allocates %v times in a run, want none", m.name, name, n)
			}
		}
	}
}

func BenchmarkWinograd(b *testing.B) {
	for _, s := range []ConvShape{
		conv3x3(128, 32, 16, 16, 1), conv3x3(128, 16, 32, 32, 1), conv3x3(128, 8, 64, 64, 1),
		conv3x3(128, 32, 32, 32, 1), conv3x3(128, 16, 64, 64, 1), conv3x3(128, 8, 128, 128, 1),
		conv3x3(128, 7, 64, 64, 1), conv3x3(128, 32, 8, 16, 1), conv3x3(4, 8, 64, 64, 1),
	} {
		x, w, y := operands[float32](s)
		run := func(name string, p ConvPlan[float32], dst, a, c []float32) {
			scratch, free := Alloc[float32](p.Scratch)
			defer free()
			b.Run(fmt.Sprintf("%d_%s/%s", s.N, s.label(), name), func(b *testing.B) {
				dst := make([]float32, len(dst))
				for b.Loop() {
					if err := p.Run(dst, a, c, scratch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(2*float64(s.MACs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
		for _, m := range []*micro[float32]{portable[float32](), fastest} {
			if m != nil {
				run("forward/tiles-"+m.name, convForwardEpilogue(m, s, Epilogue{}).plain(), y, x, w)
				run("data/tiles-"+m.name, convBackwardData(m, s), x, y, w)
				run("weights/tiles-"+m.name, convBackwardWeights(m, s), w, x, y)
			}
		}
		for _, m := range winogradMicros32() {
			run("forward/winograd-"+m.name, newWinograd(m, s, Epilogue{}).plain(), y, x, w)
			run("data/winograd-"+m.name, newWinogradData(m, s), x, y, w)
			run("weights/winograd-"+m.name, newWinogradGrad(m, s), w, x, y)
		}
	}
}
