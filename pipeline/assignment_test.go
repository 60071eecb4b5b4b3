package pipeline

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func gained(n int, gain []float64, order []int) (sum float64) {
	for i, j := range order {
		sum += gain[i*n+j]
	}
	return sum
}

// permutations calls visit with every order of n; what it is given is used again.
func permutations(n int, visit func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var place func(int)
	place = func(k int) {
		if k == n {
			visit(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			place(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	place(0)
}

func TestAssignIsBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draws := map[string]func() float64{
		"real numbers":        rng.NormFloat64,
		"numbers with ties":   func() float64 { return float64(rng.IntN(3)) },
		"numbers far apart":   func() float64 { return math.Exp(20 * rng.NormFloat64()) },
		"mostly nothing":      func() float64 { return max(0, rng.Float64()-0.8) },
		"nothing at all":      func() float64 { return 0 },
		"negative and larger": func() float64 { return -1e6 * rng.Float64() },
	}
	for name, draw := range draws {
		for trial := range 60 {
			n := 1 + trial%6
			gain := make([]float64, n*n)
			for i := range gain {
				gain[i] = draw()
			}
			order := assign(n, gain)
			if sorted := slices.Sorted(slices.Values(order)); len(sorted) != n || len(slices.Compact(sorted)) != n || sorted[0] != 0 || sorted[n-1] != n-1 {
				t.Fatalf("%s: %v is no order of %d", name, order, n)
			}
			best := math.Inf(-1)
			permutations(n, func(o []int) { best = max(best, gained(n, gain, o)) })
			if got := gained(n, gain, order); math.Abs(got-best) > 1e-9*max(1, math.Abs(best)) {
				t.Fatalf("%s: %v of %v has %v, the best %v", name, order, gain, got, best)
			}
		}
	}
	if got := assign(0, nil); len(got) != 0 {
		t.Errorf("nothing is assigned as %v", got)
	}
}

// A hidden order of many classes is found through noise.
func TestAssignFindsAHiddenOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 300
	want := rng.Perm(n)
	gain := make([]float64, n*n)
	for i := range gain {
		gain[i] = rng.Float64()
	}
	for i, j := range want {
		gain[i*n+j] += 2
	}
	if got := assign(n, gain); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
