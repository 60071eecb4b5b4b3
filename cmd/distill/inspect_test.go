package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/teachers"
)

func TestManyTapsAreNotAllListed(t *testing.T) {
	list := func(n int) string {
		taps := make([]teachers.Tap, n)
		for i := range taps {
			taps[i] = teachers.Tap{Name: fmt.Sprintf("tap%d", i), Suggested: i == 3}
		}
		var b strings.Builder
		if err := printTaps(&b, taps); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if few := list(mostTaps); strings.Count(few, "  tap") != mostTaps || strings.Contains(few, "earlier") {
		t.Errorf("%d taps are listed as\n%s", mostTaps, few)
	}
	many := list(5 * mostTaps)
	for _, want := range []string{
		"  *             0    0    0  tap3\n",
		fmt.Sprintf("  tap%d\n", 5*mostTaps-1),
		fmt.Sprintf("  tap%d\n", 4*mostTaps),
		fmt.Sprintf("and %d earlier ones, which --json lists\n", 4*mostTaps-1),
	} {
		if !strings.Contains(many, want) {
			t.Errorf("no %q in\n%s", want, many)
		}
	}
	if got := strings.Count(many, "  tap"); got != mostTaps+1 {
		t.Errorf("%d taps are listed, want %d", got, mostTaps+1)
	}
}
