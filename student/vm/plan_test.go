package vm

import (
	"math/rand/v2"
	"testing"
)

// checkPlacement fails the test if two blocks share memory at one step, or one
// lies outside [0, length) or off the alignment.
func checkPlacement(t *testing.T, blocks []*block, length, align int) {
	t.Helper()
	for i, a := range blocks {
		if a.offset < 0 || a.offset+a.size > length || a.offset%align != 0 {
			t.Fatalf("block %+v does not lie at a multiple of %d in [0, %d)", *a, align, length)
		}
		for _, b := range blocks[:i] {
			apartInTime := a.last < b.first || b.last < a.first
			apartInSpace := a.offset+a.size <= b.offset || b.offset+b.size <= a.offset
			if !apartInTime && !apartInSpace {
				t.Fatalf("blocks %+v and %+v are alive together and overlap", *a, *b)
			}
		}
	}
}

func TestPlacementOfKnownCases(t *testing.T) {
	cases := []struct {
		name   string
		blocks []block
		want   int
	}{
		{"nothing", nil, 0},
		{"one after the other share", []block{{size: 16, first: 0, last: 1}, {size: 16, first: 2, last: 3}}, 16},
		{"alive at one common step do not share", []block{{size: 16, first: 0, last: 2}, {size: 16, first: 2, last: 3}}, 32},
		{"a small one goes into a gap", []block{
			{size: 64, first: 0, last: 1}, {size: 48, first: 1, last: 4}, {size: 32, first: 2, last: 4}, {size: 16, first: 2, last: 4},
		}, 112},
		{"the smallest gap that fits is taken", []block{
			// The four of step 0 leave step 1 a gap of 320 and one of 192. The block
			// of 192 must go into the second, or one of 160 finds no place.
			{size: 320, first: 0, last: 0}, {size: 304, first: 0, last: 1}, {size: 192, first: 0, last: 0}, {size: 192, first: 0, last: 1},
			{size: 192, first: 1, last: 1}, {size: 160, first: 1, last: 1}, {size: 160, first: 1, last: 1},
		}, 1008},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var blocks []*block
			for _, b := range c.blocks {
				blocks = append(blocks, &b)
			}
			got := place(blocks)
			checkPlacement(t, blocks, got, 16)
			if got != c.want {
				t.Errorf("placed in %d elements, want %d", got, c.want)
			}
		})
	}
}

func TestRandomBlocksNeverOverlap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var placed, least int
	for range 300 {
		steps := 1 + random.IntN(60)
		var blocks []*block
		for range random.IntN(120) {
			first := random.IntN(steps)
			last := min(first+random.IntN(1+random.IntN(20)), steps-1)
			blocks = append(blocks, &block{size: 16 * (1 + random.IntN(1+random.IntN(64))), first: first, last: last})
		}
		length, bound := place(blocks), most(blocks, steps)
		checkPlacement(t, blocks, length, 16)
		if length < bound {
			t.Fatalf("placed in %d elements, yet %d are alive at one step", length, bound)
		}
		placed, least = placed+length, least+bound
	}
	// The greedy rule stays near the bound; measured 1.03 on these blocks. A rule
	// that never reuses memory is far off.
	if ratio := float64(placed) / float64(least); ratio > 1.1 {
		t.Errorf("plans are %.3f times the least possible, want at most 1.1", ratio)
	} else {
		t.Logf("plans are %.3f times the least possible", ratio)
	}
}
