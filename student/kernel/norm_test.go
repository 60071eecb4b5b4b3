package kernel

import (
	"fmt"
	"math"
	"testing"
)

// groupsByHand returns the elements of each group, in the order of memory.
func groupsByHand(shape []int, axes map[int]bool) [][]int {
	total := 1
	for _, d := range shape {
		total *= d
	}
	var order []int
	members := map[int][]int{}
	for i := range total {
		key, stride := 0, total
		for a, d := range shape {
			stride /= d
			if c := i / stride % d; !axes[a] {
				key += c * stride
			}
		}
		if members[key] == nil {
			order = append(order, key)
		}
		members[key] = append(members[key], i)
	}
	groups := make([][]int, len(order))
	for i, key := range order {
		groups[i] = members[key]
	}
	return groups
}

// TestGroupsAlongAnyAxes goes through every set of axes of some shapes, with
// sizes of one and with more groups side by side than are gathered at once. The
// function depends on the order of a group's elements.
func TestGroupsAlongAnyAxes(t *testing.T) {
	f := func(dst, x []float64) {
		s := 0.0
		for i, v := range x {
			s = 0.5*s + v
			dst[i] = s
		}
	}
	f2 := func(dst, a, b []float64) {
		s := 0.0
		for i, v := range a {
			s = 0.5*s + v*b[i]
			dst[i] = s
		}
	}
	for _, shape := range [][]int{{5}, {1}, {3, 4}, {2, 1, 3}, {2, 3, 4, 5}, {3, 2, 37}, {2, 1, 40, 1, 3}, {2, 2, 2, 2, 2}} {
		total := 1
		for _, d := range shape {
			total *= d
		}
		x, other := random(total), filled[float64](total, 0.5, 1, 3)
		for set := range 1 << len(shape) {
			within, axes := map[int]bool{}, []int(nil)
			for a := range shape {
				if set>>a&1 == 1 {
					within[a] = true
					axes = append(axes, a)
				}
			}
			what := fmt.Sprintf("%v along %v", shape, axes)
			g, byHand := GroupsAlong(shape, axes), groupsByHand(shape, within)
			if g.Size() != len(byHand[0]) {
				t.Fatalf("%s: groups of %d, want %d", what, g.Size(), len(byHand[0]))
			}
			want, want2 := make([]float64, total), make([]float64, total)
			for _, group := range byHand {
				in, in2, out := make([]float64, len(group)), make([]float64, len(group)), make([]float64, len(group))
				for i, k := range group {
					in[i], in2[i] = x[k], other[k]
				}
				f(out, in)
				for i, k := range group {
					want[k] = out[i]
				}
				f2(out, in, in2)
				for i, k := range group {
					want2[k] = out[i]
				}
			}
			scratch, run := PerGroup(g, f)
			got, memory := make([]float64, total), filled[float64](scratch, 9, 9, 1)
			if err := run(got, x, memory); err != nil {
				t.Fatal(err)
			}
			equal(t, what, got, want)
			scratch, run2 := PerGroup2(g, f2)
			memory = filled[float64](scratch, 9, 9, 1)
			copy(got, x)
			if err := run2(got, got, other, memory); err != nil {
				t.Fatal(err)
			}
			equal(t, what+" of two, in place", got, want2)
		}
	}
}

// TestLargeGroups cuts the work into many parts.
func TestLargeGroups(t *testing.T) {
	shape := []int{7, 50, 3, 45}
	x := random(7 * 50 * 3 * 45)
	for _, axes := range [][]int{{1}, {3}, {1, 2}, {0, 2}} {
		within := map[int]bool{}
		for _, a := range axes {
			within[a] = true
		}
		scratch, run := PerGroup(GroupsAlong(shape, axes), SoftmaxGroup[float64]())
		got, want := make([]float64, len(x)), make([]float64, len(x))
		if err := run(got, x, make([]float64, scratch)); err != nil {
			t.Fatal(err)
		}
		for _, group := range groupsByHand(shape, within) {
			in := make([]float64, len(group))
			for i, k := range group {
				in[i] = x[k]
			}
			SoftmaxGroup[float64]()(in, in)
			for i, k := range group {
				want[k] = in[i]
			}
		}
		equal(t, fmt.Sprintf("softmax along %v", axes), got, want)
	}
}

// TestMomentsStayAccurate normalises float32 values that are large against
// their deviation, in groups of no multiple of four.
func TestMomentsStayAccurate(t *testing.T) {
	const n = 10007
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i] = 4096 + float32(i%3-1) // −1, 0, 1 around 4096
	}
	NormGroup[float32](0)(y, x)
	var mean, square float64
	for _, v := range y {
		mean += float64(v) / n
		square += float64(v) * float64(v) / n
	}
	if math.Abs(mean) > 1e-6 || math.Abs(square-1) > 1e-6 {
		t.Errorf("normalised values have the mean %.3g and the mean square %.9g, want 0 and 1", mean, square)
	}
}
