package pipeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassOrder(t *testing.T) {
	for _, c := range []struct {
		name      string
		confusion [][]int
		want      []int
	}{
		{"the right order needs no mapping", [][]int{{9, 1, 0}, {0, 8, 2}, {1, 0, 9}}, nil},
		{"a rotation is recognised", [][]int{{1, 9, 0}, {0, 1, 9}, {8, 1, 1}}, []int{1, 2, 0}},
		{"a swap of two is recognised", [][]int{{9, 0, 1}, {0, 2, 8}, {1, 7, 2}}, []int{0, 2, 1}},
		{"everything in one column is wrong preprocessing, not an order", [][]int{{0, 9, 1}, {0, 10, 0}, {1, 9, 0}}, nil},
		{"chance is not an order", [][]int{{3, 4, 3}, {3, 3, 4}, {4, 3, 3}}, nil},
		{"a class without samples decides nothing", [][]int{{0, 9, 1}, {9, 1, 0}, {0, 0, 0}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := ClassOrder(c.confusion)
			if d := cmp.Diff(c.want, got); d != "" || found != (c.want != nil) {
				t.Errorf("found %v (-want +got):\n%s", found, d)
			}
		})
	}
}

func TestFormatClasses(t *testing.T) {
	if got := FormatClasses([]int{1, 2, 0}); got != "1,2,0" {
		t.Errorf("got %q", got)
	}
}
