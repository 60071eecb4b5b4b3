package data

import (
	"bytes"
	"context"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// collect copies the batches of an epoch and releases them.
func collect(t testing.TB, l *Loader, epoch, from int) []Batch {
	t.Helper()
	var out []Batch
	for b, err := range l.Epoch(t.Context(), epoch, from) {
		if err != nil {
			t.Fatal(err)
		}
		c := b
		c.Pixels, c.Labels = slices.Clone(b.Pixels), slices.Clone(b.Labels)
		c.Samples, c.Indices = slices.Clone(b.Samples), slices.Clone(b.Indices)
		out = append(out, c)
		for i := range b.Pixels { // whoever still reads this memory will see it
			b.Pixels[i] = 0xaa
		}
		b.Release()
	}
	return out
}

var ignoreHome = cmpopts.IgnoreUnexported(Batch{})

func mustLoad(t testing.TB, s *Split, c LoaderConfig) *Loader {
	t.Helper()
	l, err := NewLoader(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// noisy makes a folder of 8x8 colour images, all different.
func noisy(t testing.TB, perClass int) string {
	t.Helper()
	return writeTree(t, classFolders(t, 8, 8, perClass, "a", "b", "c"))
}

func TestBatchesDoNotDependOnHowTheyAreLoaded(t *testing.T) {
	path := noisy(t, 17) // 51 samples: the last batch is short
	o := whole
	cached := mustOpen(t, path, o)
	o.MemoryBudget = -1
	onDemand := mustOpen(t, path, o)
	cfg := LoaderConfig{Batch: 8, Seed: 5, Shuffle: true, Augment: Augment{Pad: 2, Flip: true}}
	want := collect(t, mustLoad(t, cached.Train, cfg), 3, 0)
	if len(want) != 7 || want[6].N != 3 {
		t.Fatalf("got %d batches, the last of %d", len(want), want[len(want)-1].N)
	}
	for _, split := range []*Split{cached.Train, onDemand.Train} {
		for _, workers := range []int{1, 2, 7} {
			for _, prefetch := range []int{0, 1, 50} {
				cfg := cfg
				cfg.Workers, cfg.Prefetch = workers, prefetch
				l := mustLoad(t, split, cfg)
				collect(t, l, 1, 0) // another epoch before
				for _, from := range []int{0, 1, 4, 6, 7} {
					got := collect(t, l, 3, from)
					for _, b := range got {
						if b.Split != split {
							t.Fatal("a batch is of another split")
						}
					}
					if diff := cmp.Diff(want[from:], got, ignoreHome, cmpopts.IgnoreFields(Batch{}, "Split"), cmpopts.EquateEmpty()); diff != "" {
						t.Fatalf("%d workers, %d ahead, from batch %d: %s", workers, prefetch, from, diff)
					}
				}
			}
		}
	}
}

func TestAnEpochVisitsEverySampleOnce(t *testing.T) {
	s := mustOpen(t, noisy(t, 17), whole).Train
	px := make([]uint8, s.Size())
	l := mustLoad(t, s, LoaderConfig{Batch: 8, Seed: 5, Shuffle: true})
	var orders [][]int
	for epoch := range 3 {
		var order []int
		for n, b := range collect(t, l, epoch, 0) {
			if b.Index != n || b.Epoch != epoch || b.View != 0 || b.H != 8 || b.W != 8 || b.C != 3 {
				t.Errorf("batch %d of epoch %d calls itself %+v", n, epoch, b)
			}
			for row, i := range b.Indices {
				if b.Labels[row] != s.Label(i) || b.Samples[row] != s.ID(i) {
					t.Errorf("sample %d carries label %d and identity %d", i, b.Labels[row], b.Samples[row])
				}
				if err := s.Read(i, px); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(px, b.Pixels[row*s.Size():(row+1)*s.Size()]) {
					t.Errorf("sample %d carries the pixels of another", i)
				}
			}
			order = append(order, b.Indices...)
		}
		orders = append(orders, order)
		sorted := slices.Sorted(slices.Values(order))
		if len(sorted) != 51 || sorted[0] != 0 || len(slices.Compact(sorted)) != 51 {
			t.Errorf("epoch %d visits %v", epoch, order)
		}
	}
	if slices.Equal(orders[0], orders[1]) || slices.Equal(orders[1], orders[2]) {
		t.Error("two epochs have one order")
	}
	other := collect(t, mustLoad(t, s, LoaderConfig{Batch: 51, Seed: 6, Shuffle: true}), 0, 0)
	if slices.Equal(other[0].Indices, orders[0]) {
		t.Error("two seeds have one order")
	}
	plain := collect(t, mustLoad(t, s, LoaderConfig{Batch: 51, Seed: 5}), 2, 0)
	if !slices.IsSorted(plain[0].Indices) {
		t.Error("without Shuffle the order is not the split's")
	}
}

func TestShufflesArePinned(t *testing.T) {
	// A resumed run must find the order it was stopped in, under every Go version.
	s := drawn(t, whole, 5, 5)
	got := collect(t, mustLoad(t, s.Train, LoaderConfig{Batch: 10, Seed: 1, Shuffle: true}), 2, 0)[0].Indices
	if diff := cmp.Diff([]int{2, 6, 4, 8, 7, 5, 9, 0, 3, 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheLastBatch(t *testing.T) {
	s := drawn(t, whole, 5, 5).Train
	for _, c := range []struct {
		name string
		cfg  LoaderConfig
		want [][]int
	}{
		{"short", LoaderConfig{Batch: 4}, [][]int{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}},
		{"dropped", LoaderConfig{Batch: 4, DropLast: true}, [][]int{{0, 1, 2, 3}, {4, 5, 6, 7}}},
		{"full", LoaderConfig{Batch: 5}, [][]int{{0, 1, 2, 3, 4}, {5, 6, 7, 8, 9}}},
		{"larger than the split", LoaderConfig{Batch: 12}, [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := mustLoad(t, s, c.cfg)
			var got [][]int
			for _, b := range collect(t, l, 0, 0) {
				got = append(got, b.Indices)
				if len(b.Pixels) != b.N || len(b.Labels) != b.N || len(b.Samples) != b.N || len(b.Indices) != b.N {
					t.Errorf("batch of %d has %d pixels, %d labels", b.N, len(b.Pixels), len(b.Labels))
				}
				for row, i := range b.Indices {
					if b.Pixels[row] != uint8(i) || b.Labels[row] != s.Label(i) || b.Samples[row] != s.ID(i) {
						t.Errorf("row %d is not sample %d", row, i)
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if l.Batches() != len(c.want) {
				t.Errorf("Batches is %d, want %d", l.Batches(), len(c.want))
			}
		})
	}
	t.Run("an empty split has no batches", func(t *testing.T) {
		empty := drawn(t, whole, 5, 5).Val
		if got := collect(t, mustLoad(t, empty, LoaderConfig{Batch: 4}), 0, 0); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
}

func TestViewsRepeat(t *testing.T) {
	s := mustOpen(t, noisy(t, 8), whole).Train
	byID := func(l *Loader, epoch int) (map[uint64]string, uint32) {
		out := map[uint64]string{}
		var view uint32
		for _, b := range collect(t, l, epoch, 0) {
			view = b.View
			for row, id := range b.Samples {
				out[id] = string(b.Pixels[row*s.Size() : (row+1)*s.Size()])
			}
		}
		return out, view
	}
	cfg := LoaderConfig{Batch: 5, Seed: 1, Shuffle: true, Augment: Augment{Pad: 3, PadMode: PadZero, Flip: true}, Views: 3}
	l := mustLoad(t, s, cfg)
	first, view := byID(l, 1)
	again, viewAgain := byID(l, 4)
	if view != 1 || viewAgain != 1 || l.View(4) != 1 {
		t.Errorf("epochs 1 and 4 of 3 views show views %d and %d", view, viewAgain)
	}
	if !cmp.Equal(first, again) {
		t.Error("one view shows two pictures of a sample")
	}
	if other, _ := byID(l, 2); cmp.Equal(first, other) {
		t.Error("two views show the same pictures")
	}
	cfg.Views = 0
	if _, view := byID(mustLoad(t, s, cfg), 7); view != 7 {
		t.Errorf("epoch 7 shows view %d, want a new one each epoch", view)
	}
	cfg.Augment = Augment{}
	if _, view := byID(mustLoad(t, s, cfg), 7); view != 0 {
		t.Errorf("without augmentation epoch 7 shows view %d, want 0", view)
	}
}

// Samples visited apart must look as the epoch of their view shows them.
func TestVisitShowsWhatAnEpochShows(t *testing.T) {
	s := mustOpen(t, noisy(t, 17), whole).Train
	l := mustLoad(t, s, LoaderConfig{Batch: 8, Seed: 5, Shuffle: true, DropLast: true, Views: 2, Augment: Augment{Pad: 2, Flip: true}})
	shown := map[int][]uint8{}
	for _, b := range collect(t, l, 3, 0) { // of view 1
		for row, i := range b.Indices {
			shown[i] = b.Pixels[row*s.Size() : (row+1)*s.Size()]
		}
	}
	var some []int
	for i := range s.Len() {
		if shown[i] != nil {
			some = append(some, i)
		}
	}
	some = some[5:24] // two batches and a short one
	slices.Reverse(some)
	var got []int
	sizes := []int{}
	for b, err := range l.Visit(t.Context(), 1, some) {
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, b.N)
		if b.View != 1 {
			t.Errorf("view %d, want 1", b.View)
		}
		for row, i := range b.Indices {
			got = append(got, i)
			if b.Samples[row] != s.ID(i) || b.Labels[row] != s.Label(i) || !bytes.Equal(b.Pixels[row*s.Size():(row+1)*s.Size()], shown[i]) {
				t.Errorf("sample %d is not as epoch 3 shows it", i)
			}
		}
		b.Release()
	}
	if d := cmp.Diff(some, got); d != "" || !slices.Equal(sizes, []int{8, 8, 3}) {
		t.Errorf("batches of %v (-asked +visited):\n%s", sizes, d)
	}
	for range l.Visit(t.Context(), 0, nil) {
		t.Error("a visit to nobody yields a batch")
	}
	for _, err := range l.Visit(t.Context(), 0, []int{0, s.Len()}) {
		wantError(t, err, "samples 0..50, not 51")
	}
}

func TestIdentitiesAreThoseOfTheWholeSource(t *testing.T) {
	path := noisy(t, 17)
	all := mustOpen(t, path, whole).IDs()
	if len(all) != 51 {
		t.Fatalf("%d identities", len(all))
	}
	limited := whole
	limited.Limit, limited.Seed = 10, 9
	set := mustOpen(t, path, limited)
	if d := cmp.Diff(all, set.IDs()); d != "" {
		t.Errorf("options change the identities:\n%s", d)
	}
	ids := set.Train.IDs()
	if len(ids) != 10 {
		t.Fatalf("%d identities of 10 samples", len(ids))
	}
	for i, id := range ids {
		if id != set.Train.ID(i) || !slices.Contains(all, id) {
			t.Errorf("sample %d has identity %#x", i, id)
		}
	}
}

func TestLoaderSettingsAreChecked(t *testing.T) {
	s := drawn(t, whole, 5, 5).Train
	for _, c := range []struct {
		name string
		cfg  LoaderConfig
		want string
	}{
		{"no batch size", LoaderConfig{}, "at least 1"},
		{"negative views", LoaderConfig{Batch: 1, Views: -1}, "-1 views"},
		{"less than one whole batch", LoaderConfig{Batch: 11, DropLast: true}, "train has 10 samples, less than one batch of 11"},
		{"negative workers", LoaderConfig{Batch: 1, Workers: -1}, "-1 workers"},
		{"a pad larger than the image", LoaderConfig{Batch: 1, Augment: Augment{Pad: 4}}, "pad 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewLoader(s, c.cfg)
			wantError(t, err, c.want)
		})
	}
	l := mustLoad(t, s, LoaderConfig{Batch: 4})
	for _, at := range [][2]int{{-1, 0}, {0, -1}, {0, 4}} {
		n := 0
		for _, err := range l.Epoch(t.Context(), at[0], at[1]) {
			n++
			wantError(t, err, "batches 0..2")
		}
		if n != 1 {
			t.Errorf("epoch %d from batch %d yields %d times, want one error", at[0], at[1], n)
		}
	}
}

func TestABrokenImageStopsTheEpochByName(t *testing.T) {
	path := noisy(t, 10)
	whole := pngOf(t, 8, 8, color.White)
	bad := filepath.Join(path, "b", "05.png")
	if err := os.WriteFile(bad, whole[:len(whole)-20], 0o666); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path, Options{ValFraction: -1, TestFraction: -1, MemoryBudget: -1}).Train
	for _, workers := range []int{1, 4} {
		good := 0
		var last error
		for b, err := range mustLoad(t, s, LoaderConfig{Batch: 4, Workers: workers}).Epoch(t.Context(), 0, 0) {
			if err != nil {
				if last != nil {
					t.Error("the epoch went on after its error")
				}
				last = err
				continue
			}
			good++
			b.Release()
		}
		wantError(t, last, "image b/05.png")
		if good != 3 { // sample 15 is in the fourth batch
			t.Errorf("%d workers: got %d batches before the error, want 3", workers, good)
		}
	}
}

// slowSource decodes nothing until it is told to, and counts who is waiting.
type slowSource struct {
	source
	gate   chan struct{}
	inside *atomic.Int32
}

func (s slowSource) decode(i int, dst []uint8, t target, sc *scratch) error {
	s.inside.Add(1)
	defer s.inside.Add(-1)
	<-s.gate
	return s.source.decode(i, dst, t, sc)
}

func (s slowSource) view(int, target) []uint8 { return nil }

func TestNoGoroutineOutlivesItsEpoch(t *testing.T) {
	path := noisy(t, 20)
	o := whole
	o.MemoryBudget = -1
	s := mustOpen(t, path, o).Train
	l := mustLoad(t, s, LoaderConfig{Batch: 2, Workers: 4, Prefetch: 6, Augment: Augment{Flip: true}})
	before := runtime.NumGoroutine()
	after := func(how string) {
		t.Helper()
		// A goroutine that has signalled its end may still be counted for a moment.
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<16)
				t.Fatalf("%s: %d goroutines are left:\n%s", how, runtime.NumGoroutine()-before, buf[:runtime.Stack(buf, true)])
			}
			time.Sleep(time.Millisecond)
		}
	}

	for range l.Epoch(t.Context(), 0, 0) {
		break
	}
	after("breaking after the first batch")

	collect(t, l, 0, 0)
	after("running to the end")

	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	var last error
	for _, err := range l.Epoch(ctx, 0, 0) {
		if n++; n == 3 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) || n > 12 {
		t.Errorf("cancelling in batch 3 ended after %d with %v", n, last)
	}
	after("cancelling in the middle")

	for _, err := range l.Epoch(ctx, 0, 0) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("an epoch of a cancelled context yields %v", err)
		}
	}
	after("a context cancelled before")

	func() {
		defer func() { recover() }()
		for range l.Epoch(t.Context(), 0, 0) {
			panic("in the loop's body")
		}
	}()
	after("a panic in the loop")

	// A context that ends while images are being decoded: the loop ends only after
	// the last of them.
	var inside atomic.Int32
	gate := make(chan struct{})
	slow := &opened{
		samples: s.owner.samples, classes: s.owner.classes, target: s.owner.target,
		source: slowSource{s.owner.source, gate, &inside},
	}
	split := &Split{name: "train", owner: slow, index: s.index}
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		for inside.Load() < 4 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		time.Sleep(20 * time.Millisecond) // time for a loop that does not wait to end
		close(gate)
	}()
	for _, err := range mustLoad(t, split, LoaderConfig{Batch: 2, Workers: 4}).Epoch(ctx, 0, 0) {
		last = err
	}
	if n := inside.Load(); n != 0 {
		t.Errorf("the loop ended while %d images were being decoded", n)
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", last)
	}
	after("cancelling while waiting")
}

func TestLoadingAheadIsBounded(t *testing.T) {
	s := drawn(t, whole, 100, 100).Train
	l := mustLoad(t, s, LoaderConfig{Batch: 2, Workers: 3, Prefetch: 4})
	buffers := map[*buffer]bool{}
	for b, err := range l.Epoch(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		buffers[b.home] = true
		b.Release()
	}
	// Four being made or waiting, one being used.
	if len(buffers) > 5 {
		t.Errorf("100 batches, released at once, used %d buffers; want at most 5", len(buffers))
	}
}

func TestReleasing(t *testing.T) {
	s := drawn(t, whole, 4, 4).Train
	l := mustLoad(t, s, LoaderConfig{Batch: 2, Workers: 1, Prefetch: 1})
	var kept []Batch
	for b, err := range l.Epoch(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, b) // never released: must stay as it is
	}
	for n, b := range kept {
		if b.Pixels[0] != uint8(2*n) {
			t.Errorf("batch %d was overwritten", n)
		}
	}
	kept[0].Release()
	copied := kept[0]
	copied.Release() // the second time is nothing
	Batch{}.Release()
	if len(l.free) != 1 {
		t.Errorf("%d buffers are free after one batch was released twice, want 1", len(l.free))
	}
	first, second := l.batch(2), l.batch(2)
	if first.home == second.home {
		t.Error("one buffer was handed out twice")
	}
	copied.Release() // an old lease must not take the memory from its new user
	if len(l.free) != 0 {
		t.Error("an old batch released the memory of a new one")
	}
}

// A whole epoch may allocate for its bookkeeping, not for its batches.
func TestSteadyStateAllocatesLittle(t *testing.T) {
	s := mustOpen(t, noisy(t, 100), whole).Train
	l := mustLoad(t, s, LoaderConfig{Batch: 4, Workers: 1, Prefetch: 1, Shuffle: true, Augment: Augment{Pad: 2, Flip: true}})
	epoch := func() {
		for b, err := range l.Epoch(t.Context(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			b.Release()
		}
	}
	epoch()
	const batches, bookkeeping = 75, 40
	if n := testing.AllocsPerRun(5, epoch); n > bookkeeping {
		t.Errorf("%.0f allocations in an epoch of %d batches, want at most %d", n, batches, bookkeeping)
	}
}
