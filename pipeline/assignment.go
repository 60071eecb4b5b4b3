package pipeline

import "math"

// assign returns the best assignment of n rows to n columns, each to one: the
// order that maximises Σ gain[i*n+order[i]]. Where several do, which one is not
// said.
//
// It is the Hungarian method (Kuhn 1955) with shortest augmenting paths: rows
// are placed one by one, each by the cheapest chain of rows that make room for
// it, under potentials that keep every remaining cost at zero or above. It takes
// n³ steps at most and few more than n² where most rows have a favourite of
// their own.
func assign(n int, gain []float64) (order []int) {
	const none = -1
	var (
		rowPotential = make([]float64, n)
		potential    = make([]float64, n) // of the columns
		rowOf        = make([]int, n)     // the row placed in each column
		cheapest     = make([]float64, n) // cost of the cheapest way to each column
		from         = make([]int, n)     // the column before it on that way; none is the row to be placed
		visited      = make([]bool, n)
	)
	for j := range rowOf {
		rowOf[j] = none
	}
	for row := range n {
		for j := range n {
			cheapest[j], from[j], visited[j] = math.Inf(1), none, false
		}
		var path []int // columns visited, in order
		at, column := row, none
		for {
			next, step := none, math.Inf(1)
			for j := range n {
				if visited[j] {
					continue
				}
				if cost := -gain[at*n+j] - rowPotential[at] - potential[j]; cost < cheapest[j] {
					cheapest[j], from[j] = cost, column
				}
				if cheapest[j] < step {
					next, step = j, cheapest[j]
				}
			}
			// What is within reach comes nearer by step; what is reached stays at zero.
			rowPotential[row] += step
			for _, j := range path {
				rowPotential[rowOf[j]] += step
				potential[j] -= step
			}
			for j := range n {
				if !visited[j] {
					cheapest[j] -= step
				}
			}
			visited[next], column = true, next
			path = append(path, next)
			if rowOf[next] == none {
				break
			}
			at = rowOf[next]
		}
		for column != none { // each row on the way moves on by one column
			before := from[column]
			if before == none {
				rowOf[column] = row
			} else {
				rowOf[column] = rowOf[before]
			}
			column = before
		}
	}
	order = make([]int, n)
	for j, i := range rowOf {
		order[i] = j
	}
	return order
}
