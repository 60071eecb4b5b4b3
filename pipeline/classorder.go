package pipeline

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// sure is by how many standard deviations something must be ahead to be taken
// for better: by chance that happens once in 700 times.
const sure = 3

// bestOrder returns the class order under which the model gives the samples that
// are chosen the highest probabilities in sum. It counts probabilities and not
// answers, so that a class that is rarely a sample's first is still told by its
// seconds; a class without samples gets its own class or what is left.
func (a *answers) bestOrder(chosen func(i int) bool) []int {
	k := a.classes
	counts := make([]float64, k*k)
	for i, label := range a.labels {
		if chosen != nil && !chosen(i) {
			continue
		}
		for c, p := range a.p[i*k : (i+1)*k] {
			counts[label*k+c] += float64(p)
		}
	}
	for c := range k {
		counts[c*k+c] += 1e-6 // decides where nothing else does
	}
	return assign(k, counts)
}

// anotherOrder looks for another class order under which the model is right far
// more often, and returns it with the accuracy under it, or nil.
//
// With many classes some order suits any noise better than the right one. So
// each half of the samples is judged under the order that the other half
// suggests, and that must be ahead.
func (a *answers) anotherOrder() (order []int, top1 float64) {
	if len(a.labels) < 2*a.classes {
		return nil, 0
	}
	own, honest := a.right(nil), make([]bool, len(a.labels))
	seen, odd := make([]int, a.classes), make([]bool, len(a.labels))
	for i, label := range a.labels { // each class gives both halves its share
		odd[i] = seen[label]%2 == 1
		seen[label]++
	}
	for _, half := range []bool{false, true} {
		order := a.bestOrder(func(i int) bool { return odd[i] != half })
		for i, right := range a.right(order) {
			if odd[i] == half {
				honest[i] = right
			}
		}
	}
	if ahead(honest, own) < sure {
		return nil, 0
	}
	order = a.bestOrder(nil)
	clear, moved := a.clearCycles(order, honest, own)
	if 2*moved < a.classes { // a few classes changed places: the others' order is the data's
		order = clear
	}
	if moved == 0 {
		return nil, 0
	}
	return order, a.top1(order)
}

// clearCycles returns an order in which those classes that change places among
// themselves to no clear gain are back in theirs, and how many are not.
func (a *answers) clearCycles(order []int, honest, own []bool) (clear []int, moved int) {
	clear = slices.Clone(order)
	for start := range clear {
		if clear[start] == start {
			continue
		}
		in := map[int]bool{start: true}
		for c := order[start]; c != start; c = order[c] {
			in[c] = true
		}
		if slices.Min(slices.Collect(maps.Keys(in))) < start {
			continue // seen
		}
		var with, without []bool
		for i, label := range a.labels {
			if in[label] {
				with, without = append(with, honest[i]), append(without, own[i])
			}
		}
		if ahead(with, without) >= sure-1 {
			moved += len(in)
			continue
		}
		for c := range in {
			clear[c] = c
		}
	}
	return clear, moved
}

// FormatClasses writes a class order as the command line takes it.
func FormatClasses(order []int) string {
	s := make([]string, len(order))
	for i, c := range order {
		s[i] = strconv.Itoa(c)
	}
	return strings.Join(s, ",")
}
