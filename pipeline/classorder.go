package pipeline

import (
	"strconv"
	"strings"
)

// ClassOrder looks for another class order in a confusion matrix, whose rows
// are the data's classes and whose columns are the teacher's. When each class
// of the data is mostly taken for one class of the teacher of its own, and
// they are not the same ones, it returns the teacher's class for each class of
// the data and true.
//
// "Mostly" is half of the row's samples: a classifier with its own order right
// rarely spreads a class more widely, and a wrong preprocessing puts nearly
// everything in one or two columns, which cannot be a permutation.
func ClassOrder(confusion [][]int) (order []int, found bool) {
	const share = 0.5
	order = make([]int, len(confusion))
	taken := make([]bool, len(confusion))
	for class, row := range confusion {
		best, total := 0, 0
		for j, n := range row {
			total += n
			if n > row[best] {
				best = j
			}
		}
		if total == 0 || float64(row[best]) < share*float64(total) || best >= len(taken) || taken[best] {
			return nil, false
		}
		order[class], taken[best] = best, true
		found = found || best != class
	}
	if !found {
		return nil, false
	}
	return order, true
}

// FormatClasses writes a class order as the command line takes it.
func FormatClasses(order []int) string {
	s := make([]string, len(order))
	for i, c := range order {
		s[i] = strconv.Itoa(c)
	}
	return strings.Join(s, ",")
}
