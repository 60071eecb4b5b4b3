package vm

import (
	"cmp"
	"slices"
)

// block is a stretch of memory that holds a value, or several that follow each
// other in place, from step first to step last, both included.
type block struct {
	size        int // elements, a multiple of the alignment
	first, last int
	offset      int // set by place
}

// place gives every block an offset such that no two blocks that are alive at
// one step overlap, and returns the length of the whole.
//
// Finding the shortest is NP-hard. This is the greedy rule of Pisarchyk and Lee
// 2020 (arXiv 2001.03288, section 5.1): the largest block first, each into the
// smallest gap that takes it among the blocks placed so far that are alive with
// it, else at the end.
func place(blocks []*block) (length int) {
	order := slices.Clone(blocks)
	slices.SortStableFunc(order, func(a, b *block) int { return cmp.Compare(b.size, a.size) })
	var placed []*block // by offset
	for _, b := range order {
		best, bestGap, end := -1, 0, 0
		for _, p := range placed {
			if p.last < b.first || b.last < p.first {
				continue
			}
			if gap := p.offset - end; gap >= b.size && (best < 0 || gap < bestGap) {
				best, bestGap = end, gap
			}
			end = max(end, p.offset+p.size)
		}
		if best < 0 {
			best = end
		}
		b.offset = best
		length = max(length, best+b.size)
		at, _ := slices.BinarySearchFunc(placed, b, func(p, b *block) int { return cmp.Compare(p.offset, b.offset) })
		placed = slices.Insert(placed, at, b)
	}
	return length
}

// most returns the largest number of elements alive at one step: no placement
// is shorter.
func most(blocks []*block, steps int) int {
	change := make([]int, steps+1)
	for _, b := range blocks {
		change[b.first] += b.size
		change[b.last+1] -= b.size
	}
	alive, top := 0, 0
	for _, c := range change {
		alive += c
		top = max(top, alive)
	}
	return top
}
