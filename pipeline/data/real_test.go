package data

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// realCIFAR is CIFAR-10 as 60,000 JPEGs: train/<class>/0000.jpg, test/<class>/0000.jpg.
const realCIFAR = "../../../shared/data/cifar10.tar.gz"

func needReal(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(realCIFAR); errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs CIFAR-10 as JPEGs in ../shared/data/cifar10.tar.gz")
	}
}

func TestRealCIFAR10(t *testing.T) {
	needReal(t)
	o := Options{Seed: 1}
	if testing.Short() {
		o.Limit, o.ValFraction, o.EvalOnly = 1000, 0.01, false
		o.MemoryBudget = 10 << 20 // the test set is not decoded
	}
	s := mustOpen(t, realCIFAR, o)
	want := strings.Fields("airplane automobile bird cat deer dog frog horse ship truck")
	if diff := cmp.Diff(want, s.Classes); diff != "" {
		t.Error(diff)
	}
	if s.H != 32 || s.W != 32 || s.C != 3 || len(s.Bad) != 0 || len(s.Notes) != 0 {
		t.Errorf("got %dx%dx%d, bad %v, notes %q", s.H, s.W, s.C, s.Bad, s.Notes)
	}
	per := func(n int) []int { return slices.Repeat([]int{n}, 10) }
	train, val := per(4500), per(500)
	if testing.Short() {
		train, val = per(100), per(50)
	}
	for _, c := range []struct {
		s    *Split
		want []int
	}{{s.Train, train}, {s.Val, val}, {s.Test, per(1000)}} {
		if diff := cmp.Diff(c.want, c.s.Counts()); diff != "" {
			t.Errorf("%s: %s", c.s.Name(), diff)
		}
	}
	// One batch of each split, which in a limited run also decodes on demand. The
	// mean of CIFAR-10's pixels is about 121.
	for _, split := range []*Split{s.Train, s.Val, s.Test} {
		l := mustLoad(t, split, LoaderConfig{Batch: 256, Seed: 1, Shuffle: true})
		for b, err := range l.Epoch(t.Context(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			sum := 0
			for _, v := range b.Pixels {
				sum += int(v)
			}
			if mean := sum / len(b.Pixels); mean < 110 || mean > 132 {
				t.Errorf("%s: mean pixel is %d, want about 121", split.Name(), mean)
			}
			break
		}
	}
}
