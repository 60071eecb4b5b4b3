package data

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drawn makes a set in memory with counts[c] training samples of class c, of one
// pixel each: the sample's number.
func drawn(t testing.TB, o Options, counts ...int) *Set {
	t.Helper()
	m := MemorySet{H: 1, W: 1, C: 1, Options: o}
	for c, n := range counts {
		m.Classes = append(m.Classes, fmt.Sprint("class", c))
		for range n {
			m.Train.Pixels = append(m.Train.Pixels, uint8(len(m.Train.Pixels)))
			m.Train.Labels = append(m.Train.Labels, c)
		}
	}
	s, err := FromMemory(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCutsAreStratified(t *testing.T) {
	for _, c := range []struct {
		name             string
		counts           []int
		o                Options
		train, val, test []int
	}{
		{"tenths", []int{100, 50, 10}, Options{}, []int{81, 40, 8}, []int{9, 5, 1}, []int{10, 5, 1}},
		{"rounded to the nearest", []int{16, 14}, Options{TestFraction: -1}, []int{14, 13}, []int{2, 1}, []int{0, 0}},
		{"small classes give one and keep one", []int{100, 3, 2, 1}, Options{TestFraction: -1}, []int{90, 2, 1, 1}, []int{10, 1, 1, 0}, []int{0, 0, 0, 0}},
		{"nearly everything leaves one", []int{5, 4}, Options{ValFraction: 0.99, TestFraction: -1}, []int{1, 1}, []int{4, 3}, []int{0, 0}},
		{"a limit is shared by size", []int{60, 30, 10}, Options{ValFraction: -1, TestFraction: -1, Limit: 20}, []int{12, 6, 2}, []int{0, 0, 0}, []int{0, 0, 0}},
		{"a limit's remainder goes to the largest fractions", []int{20, 30, 50}, Options{ValFraction: -1, TestFraction: -1, Limit: 7}, []int{1, 2, 4}, []int{0, 0, 0}, []int{0, 0, 0}},
		{"a limit beyond the set", []int{5, 5}, Options{ValFraction: -1, TestFraction: -1, Limit: 99}, []int{5, 5}, []int{0, 0}, []int{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := drawn(t, c.o, c.counts...)
			got := [][]int{s.Train.Counts(), s.Val.Counts(), s.Test.Counts()}
			if diff := cmp.Diff([][]int{c.train, c.val, c.test}, got); diff != "" {
				t.Error(diff)
			}
			seen := map[uint64]bool{}
			for _, split := range []*Split{s.Train, s.Val, s.Test} {
				for i := range split.Len() {
					if seen[split.ID(i)] {
						t.Fatalf("%s is in two splits", split.Sample(i))
					}
					seen[split.ID(i)] = true
				}
			}
		})
	}
}

func TestSeedsChooseOtherSamplesAndOptionsDoNot(t *testing.T) {
	base := drawn(t, Options{Seed: 1}, 100, 100)
	if again := drawn(t, Options{Seed: 1}, 100, 100); !slices.Equal(names(base.Val), names(again.Val)) {
		t.Error("the same seed gives another validation set")
	}
	other := drawn(t, Options{Seed: 2}, 100, 100)
	if slices.Equal(names(base.Val), names(other.Val)) || slices.Equal(names(base.Test), names(other.Test)) {
		t.Error("another seed gives the same splits")
	}
	limited := drawn(t, Options{Seed: 1, Limit: 30}, 100, 100)
	if !slices.Equal(names(base.Val), names(limited.Val)) || !slices.Equal(names(base.Test), names(limited.Test)) {
		t.Error("a limit moves the validation or test set")
	}
	more := drawn(t, Options{Seed: 1, Limit: 60}, 100, 100)
	for _, n := range names(limited.Train) {
		if !slices.Contains(names(more.Train), n) {
			t.Errorf("%s is among 30 samples but not among 60", n)
		}
	}
	eval := drawn(t, Options{Seed: 1, EvalOnly: true}, 100, 100)
	if !slices.Equal(names(base.Test), names(eval.Test)) {
		t.Error("evaluation sees another test set than training set aside")
	}
}

func TestIdentitiesArePinned(t *testing.T) {
	// Recorded signals are found by these numbers: they may never change.
	s := drawn(t, whole, 2, 2)
	if s.Train.Sample(3) != "train/0000003" || s.Train.ID(3) != nameID("train/0000003") {
		t.Errorf("sample 3 is %s", s.Train.Sample(3))
	}
	if got, want := nameID("train/cat/0001.jpg"), uint64(0xd2a699403f8f7b92); got != want {
		t.Errorf("identity of train/cat/0001.jpg is %#x, want %#x", got, want)
	}
}

func TestTakeIsStratifiedAndKeepsOrder(t *testing.T) {
	for _, budget := range []int64{0, -1} {
		path := writeTree(t, classFolders(t, 2, 2, 20, "a", "b"))
		o := whole
		o.MemoryBudget = budget
		s := mustOpen(t, path, o)
		few := s.Train.Take(10, 4)
		if diff := cmp.Diff([]int{5, 5}, few.Counts()); diff != "" {
			t.Error(diff)
		}
		if !slices.IsSorted(names(few)) {
			t.Errorf("order is not the split's: %v", names(few))
		}
		all := readAll(t, s.Train)
		for name, px := range readAll(t, few) {
			if diff := cmp.Diff(all[name], px); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		if s.Train.Take(40, 4) != s.Train || s.Train.Take(0, 4).Len() != 0 {
			t.Error("taking all or none is wrong")
		}
	}
}

func TestFromMemoryIsChecked(t *testing.T) {
	ok := MemorySet{
		Classes: []string{"a", "b"}, H: 2, W: 2, C: 1,
		Train: Memory{Pixels: make([]uint8, 8), Labels: []int{0, 1}}, Test: Memory{Pixels: make([]uint8, 4), Labels: []int{1}},
	}
	if s, err := FromMemory(ok); err != nil || s.Format != FormatMemory || s.Test.Len() != 1 || s.Train.Len() != 2 {
		t.Fatalf("got %+v, %v", s, err)
	}
	for _, c := range []struct {
		name   string
		change func(*MemorySet)
		want   string
	}{
		{"one class", func(m *MemorySet) { m.Classes = m.Classes[:1] }, "1 class names"},
		{"two channels", func(m *MemorySet) { m.C = 2 }, "channels 1 or 3"},
		{"too few bytes", func(m *MemorySet) { m.Train.Pixels = m.Train.Pixels[:7] }, "7 bytes for 2 labels"},
		{"a label beyond the classes", func(m *MemorySet) { m.Test.Labels = []int{1 << 40} }, "label 2"},
		{"a negative label", func(m *MemorySet) { m.Test.Labels = []int{-5} }, "label -1"},
		{"nothing", func(m *MemorySet) { m.Train, m.Test = Memory{}, Memory{} }, "no images"},
		{"nothing to train on", func(m *MemorySet) { m.Train = Memory{} }, "no training images"},
		{"bad options", func(m *MemorySet) { m.Options.Channels = 7 }, "7 channels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ok
			c.change(&m)
			_, err := FromMemory(m)
			wantError(t, err, c.want)
		})
	}
	t.Run("images of the right size are not copied", func(t *testing.T) {
		s, err := FromMemory(ok)
		if err != nil {
			t.Fatal(err)
		}
		if &s.Train.inMemory(0)[0] != &ok.Train.Pixels[0] {
			t.Error("they are")
		}
	})
	t.Run("others are resized", func(t *testing.T) {
		m := ok
		m.Options = Options{H: 4, W: 4, Channels: 3}
		s, err := FromMemory(m)
		if err != nil {
			t.Fatal(err)
		}
		if s.Train.Size() != 48 || !s.Train.Cached() {
			t.Errorf("got %d bytes, cached %v", s.Train.Size(), s.Train.Cached())
		}
	})
}

func TestTestLimitIsWhatTakeGives(t *testing.T) {
	path := writeTree(t, classFolders(t, 2, 2, 20, "train/a", "train/b", "test/a", "test/b"))
	for _, budget := range []int64{0, -1} {
		all := mustOpen(t, path, Options{Seed: 4, EvalOnly: true})
		few := mustOpen(t, path, Options{Seed: 4, EvalOnly: true, TestLimit: 10, MemoryBudget: budget})
		if got, want := names(few.Test), names(all.Test.Take(10, 4)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if few.Fingerprint != all.Fingerprint {
			t.Error("the fingerprint differs")
		}
	}
	_, err := Open(path, Options{TestLimit: -1})
	wantError(t, err, "test limit is -1")
}

func TestCheckIsAskedBeforeImagesAreRead(t *testing.T) {
	path := writeTree(t, map[string][]byte{"a/1.png": {1}, "b/1.png": {2}}) // neither is an image
	_, err := Open(path, Options{Check: func(classes []string) error {
		return fmt.Errorf("asked about %q", classes)
	}})
	wantError(t, err, `asked about ["a" "b"]`)
}
