package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// counted is 0, 1, 2 ...: each element of what is made of it tells where it
// comes from. float32 holds integers exactly up to 2^24.
func counted(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	return x
}

// run1 runs a plan twice, over memory that holds something else.
func run1(t *testing.T, n int, run func(dst, x []float32) error, x []float32) []float32 {
	t.Helper()
	dst := make([]float32, n)
	for range 2 {
		fill(dst, float32(math.NaN()))
		if err := run(dst, x); err != nil {
			t.Fatal(err)
		}
	}
	return dst
}

// firstDifference returns the first place where a and b differ, or -1.
func firstDifference(a, b []float32) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// TestView compares views large enough for all workers, tiles and odd ends
// with the formula of the doc comment.
func TestView(t *testing.T) {
	for _, c := range []struct {
		name string
		base int
		axes []ViewAxis
	}{
		{"a copy", 0, []ViewAxis{{50000, 1}}},
		{"a run backwards", 49999, []ViewAxis{{50000, -1}}},
		{"one element repeated", 7, []ViewAxis{{50000, 0}}},
		{"channels last to first, few channels", 0, []ViewAxis{{3, 3 * 1500}, {3, 1}, {1500, 3}}},
		{"channels first to last, few channels", 0, []ViewAxis{{3, 3 * 1500}, {1500, 1}, {3, 1500}}},
		{"channels last to first, odd ends", 0, []ViewAxis{{2, 37 * 700}, {37, 1}, {20, 35 * 37}, {35, 37}}},
		{"channels first to last, odd ends", 0, []ViewAxis{{2, 37 * 700}, {20, 35}, {35, 1}, {37, 700}}},
		{"a transposition with another axis behind the runs", 0, []ViewAxis{{90, 1}, {5, 90 * 80}, {80, 90}}},
		{"short runs", 5, []ViewAxis{{9000, 11}, {5, 1}}},
		{"long runs", 64, []ViewAxis{{900, 128}, {60, 1}}},
		{"rows repeated", 0, []ViewAxis{{20, 48}, {70, 0}, {48, 1}}},
		{"elements repeated", 0, []ViewAxis{{1000, 1}, {40, 0}}},
		{"every third element of rows, backwards", 40, []ViewAxis{{1500, 50}, {13, -3}}},
		{"crossed and backwards", 99, []ViewAxis{{40, 100}, {30, 1}, {10, -7}}},
		{"rows longer than a piece of work", 3, []ViewAxis{{3, 20000}, {19000, 1}}},
		{"axes of one element", 2, []ViewAxis{{1, 9}, {300, 40}, {1, 3}, {1, 0}, {40, 1}, {1, 1}}},
		{"one element", 4, []ViewAxis{{1, 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := []int{c.base}
			for _, a := range c.axes {
				var next []int
				for _, at := range want {
					for i := range a.Size {
						next = append(next, at+i*a.Step)
					}
				}
				want = next
			}
			x := counted(slices.Max(want) + 1)
			got := run1(t, len(want), View[float32](c.base, c.axes), x)
			for i, v := range got {
				if int(v) != want[i] {
					t.Fatalf("element %d of %d is element %v, want %d", i, len(got), v, want[i])
				}
			}
		})
	}
}

func TestConcat(t *testing.T) {
	for _, c := range []struct {
		outer  int
		widths []int
	}{{1, []int{40000, 3, 9000}}, {5000, []int{3, 1, 16}}, {30, []int{700, 1100}}, {1, []int{1, 1}}} {
		var xs [][]float32
		var want []float32
		n := 0
		for k, w := range c.widths {
			x := counted(c.outer * w)
			for i := range x {
				x[i] += float32(k * 1000000)
			}
			xs = append(xs, x)
			n += len(x)
		}
		for o := range c.outer {
			for k, w := range c.widths {
				want = append(want, xs[k][o*w:(o+1)*w]...)
			}
		}
		run := Concat[float32](c.outer, c.widths)
		got := run1(t, n, func(dst, _ []float32) error { return run(dst, xs) }, nil)
		if i := firstDifference(got, want); i >= 0 {
			t.Errorf("%d rows of widths %v: element %d is %v, want %v", c.outer, c.widths, i, got[i], want[i])
		}
	}
}

func TestPad(t *testing.T) {
	for _, c := range []struct{ shape, before, after []int }{
		{[]int{2, 40, 50, 16}, []int{0, 1, 2, 0}, []int{0, 3, 0, 0}},
		{[]int{3, 30, 40, 5}, []int{1, 0, 0, 2}, []int{0, 0, 0, 1}},
		{[]int{30000}, []int{5}, []int{7}},
		{[]int{2, 3, 2}, []int{0, 0, 0}, []int{0, 0, 0}},
	} {
		var out []int
		n, m := 1, 1
		for k, d := range c.shape {
			out = append(out, c.before[k]+d+c.after[k])
			n, m = n*d, m*out[k]
		}
		x := counted(n)
		got := run1(t, m, Pad[float32](c.shape, c.before, c.after, -1), x)
		for i, v := range got {
			want, at, step, rest := float32(-1), 0, 1, i
			inside := true
			for k := len(out) - 1; k >= 0; k-- {
				p := rest%out[k] - c.before[k]
				inside = inside && p >= 0 && p < c.shape[k]
				at, step, rest = at+p*step, step*c.shape[k], rest/out[k]
			}
			if inside {
				want = x[at]
			}
			if v != want {
				t.Fatalf("%v padded by %v and %v: element %d is %v, want %v", c.shape, c.before, c.after, i, v, want)
			}
		}
	}
}

// TestSumAxes compares sums over more rows than are added in one go with plain
// loops in float64.
func TestSumAxes(t *testing.T) {
	for _, c := range []struct {
		shape  []int
		summed []bool
	}{
		{[]int{700, 24}, []bool{true, false}},
		{[]int{3, 600, 5}, []bool{false, true, false}},
		{[]int{2, 3, 9000}, []bool{true, false, false}},
		{[]int{40, 50000}, []bool{false, true}},
		{[]int{50000}, []bool{true}},
		{[]int{2, 40, 30, 8}, []bool{false, true, true, false}},
		{[]int{5, 600, 4, 3, 2}, []bool{true, false, true, false, true}},
		{[]int{600, 3, 300, 2}, []bool{true, false, true, false}},
		{[]int{4, 1, 3}, []bool{false, true, false}},
		{[]int{1, 1}, []bool{true, true}},
	} {
		n, m := 1, 1
		for k, d := range c.shape {
			if n *= d; !c.summed[k] {
				m *= d
			}
		}
		r := rand.New(rand.NewPCG(1, uint64(n)))
		x, want := make([]float32, n), make([]float64, m)
		for i := range x {
			x[i] = r.Float32() - 0.25
			to, step, rest := 0, 1, i
			for k := len(c.shape) - 1; k >= 0; k-- {
				if d := c.shape[k]; !c.summed[k] {
					to, step = to+rest%d*step, step*d
				}
				rest /= c.shape[k]
			}
			want[to] += float64(x[i])
		}
		scratch, run := SumAxes[float32](c.shape, c.summed)
		memory := make([]float32, scratch)
		got := run1(t, m, func(dst, x []float32) error {
			fill(memory, float32(math.NaN()))
			return run(dst, x, memory)
		}, x)
		for i, v := range got {
			// A sum of k terms of order 1 is rounded in steps of k·2^-24; pieces
			// keep the error to a few hundred of them, plain sums of 50000 do not.
			if d := math.Abs(float64(v) - want[i]); !(d <= 3e-5*math.Max(1, math.Abs(want[i]))) {
				t.Fatalf("%v over %v: element %d is %v, want %v", c.shape, c.summed, i, v, want[i])
			}
		}
	}
}

// TestInterpolate compares matrices of every kind of row, along axes with long
// and short runs behind them, with plain loops.
func TestInterpolate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	build := func(rows, cols int, taps func(i int) int) Sparse {
		m := Sparse{Rows: rows, Cols: cols, Start: []int{0}}
		for i := range rows {
			at := r.Perm(cols)[:taps(i)]
			slices.Sort(at)
			for _, c := range at {
				m.Index, m.Weight = append(m.Index, c), append(m.Weight, 1+float64(r.IntN(4)))
				if taps(0) == 1 {
					m.Weight[len(m.Weight)-1] = 1
				}
			}
			m.Start = append(m.Start, len(m.Index))
		}
		return m
	}
	picks := build(40, 20, func(int) int { return 1 })
	mixed := build(30, 25, func(i int) int { return (i + 2) % 5 })
	if !picks.Picks() || mixed.Picks() || mixed.AtMostOne() || picks.Identity() {
		t.Fatal("the matrices are not of the kinds meant")
	}
	for _, c := range []struct {
		name         string
		m            Sparse
		outer, inner int
	}{
		{"picked elements", picks, 3000, 1}, {"picked runs", picks, 40, 48}, {"picked long runs", picks, 2, 40000},
		{"mixed elements", mixed, 3000, 1}, {"mixed runs", mixed, 40, 48}, {"mixed long runs", mixed, 2, 40000},
		{"transposed elements", mixed.Transposed(), 3000, 1}, {"transposed runs", mixed.Transposed(), 3, 1000},
		{"twice transposed", mixed.Transposed().Transposed(), 3, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := make([]float32, c.outer*c.m.Cols*c.inner)
			for i := range x {
				x[i] = float32(i % 1000) // sums of a few products are exact
			}
			got := run1(t, c.outer*c.m.Rows*c.inner, Interpolate[float32](c.outer, c.inner, c.m), x)
			for i, v := range got {
				var want float32
				row := i / c.inner
				for k := c.m.Start[row%c.m.Rows]; k < c.m.Start[row%c.m.Rows+1]; k++ {
					want += float32(c.m.Weight[k]) * x[(row/c.m.Rows*c.m.Cols+c.m.Index[k])*c.inner+i%c.inner]
				}
				if v != want {
					t.Fatalf("element %d is %v, want %v", i, v, want)
				}
			}
		})
	}
}

// TestTransposedMatrix checks Transposed against the definition.
func TestTransposedMatrix(t *testing.T) {
	m := Sparse{Rows: 3, Cols: 4, Start: []int{0, 2, 2, 4}, Index: []int{1, 3, 0, 1}, Weight: []float64{5, 6, 7, 8}}
	want := Sparse{Rows: 4, Cols: 3, Start: []int{0, 1, 3, 3, 4}, Index: []int{2, 0, 2, 0}, Weight: []float64{7, 5, 8, 6}}
	if got := m.Transposed(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	same := Sparse{Rows: 2, Cols: 2, Start: []int{0, 1, 2}, Index: []int{0, 1}, Weight: []float64{1, 1}}
	if !same.Identity() || m.Identity() {
		t.Error("Identity does not tell the identity")
	}
}

// BenchmarkView measures what transposing, cutting and repeating cost against
// a copy of the same memory, for maps of a training step.
func BenchmarkView(b *testing.B) {
	const n, hw, c = 64, 16 * 16, 32
	for _, v := range []struct {
		name string
		axes []ViewAxis
	}{
		{"copy", []ViewAxis{{n * hw * c, 1}}},
		{"channels last to first", []ViewAxis{{n, hw * c}, {c, 1}, {hw, c}}},
		{"channels first to last", []ViewAxis{{n, hw * c}, {hw, 1}, {c, hw}}},
		{"half of the channels", []ViewAxis{{n * hw, 2 * c}, {c, 1}}},
		{"three channels of four", []ViewAxis{{n * hw * c / 4, 4}, {3, 1}}},
		{"pixels repeated", []ViewAxis{{n, c}, {hw, 0}, {c, 1}}},
		{"mirrored", []ViewAxis{{n * 16, 16 * c}, {16, -c}, {c, 1}}},
	} {
		base := 0
		if v.name == "mirrored" {
			base = 15 * c
		}
		size := viewSize(v.axes)
		x, dst := counted(2*n*hw*c), make([]float32, size)
		run := View[float32](base, v.axes)
		b.Run(v.name, func(b *testing.B) {
			b.SetBytes(int64(2 * 4 * size))
			for b.Loop() {
				if err := run(dst, x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
