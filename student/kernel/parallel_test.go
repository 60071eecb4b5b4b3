package kernel

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestJobDoesEveryItemOnce(t *testing.T) {
	for _, items := range []int{0, 1, 2, 3, 1000} {
		done := make([]int, items)
		j := NewJob(items, func(worker, item int) {
			if worker < 0 || worker >= Workers() {
				t.Errorf("worker %d of %d", worker, Workers())
			}
			done[item]++
		})
		for run := 1; run <= 50; run++ {
			if err := j.Run(); err != nil {
				t.Fatal(err)
			}
			for i, n := range done {
				if n != run {
					t.Fatalf("of %d items, %d was done %d times in %d runs", items, i, n, run)
				}
			}
		}
	}
}

func TestLoopCoversItsRange(t *testing.T) {
	for _, c := range []struct{ n, grain int }{{0, 4}, {1, 4}, {4, 4}, {5, 4}, {9, 0}, {3, 100}} {
		hit := make([]int, c.n)
		l := NewLoop(c.n, c.grain, func(from, to int) {
			if to-from > max(c.grain, 1) || from >= to {
				t.Errorf("range %d to %d with a grain of %d", from, to, c.grain)
			}
			for i := from; i < to; i++ {
				hit[i]++
			}
		})
		if err := l.Run(); err != nil {
			t.Fatal(err)
		}
		for i, n := range hit {
			if n != 1 {
				t.Errorf("n %d, grain %d: element %d was covered %d times", c.n, c.grain, i, n)
			}
		}
	}
}

// TestWorkersDoNotShareScratch fails under the race detector, and often without
// it, when two items run at one time with the same worker number.
func TestWorkersDoNotShareScratch(t *testing.T) {
	scratch := make([]int, Workers())
	j := NewJob(200, func(worker, item int) {
		scratch[worker] = item
		for range 100 {
			if scratch[worker] != item {
				panic("another item wrote this worker's scratch")
			}
		}
	})
	for range 20 {
		if err := j.Run(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPanicsComeBackAsErrors(t *testing.T) {
	cause := errors.New("out of milk")
	var done atomic.Int64
	var broken atomic.Bool
	later := make(chan struct{})
	j := NewJob(100, func(_, item int) {
		switch {
		case broken.Load() && item == 60:
			defer close(later)
			panic("a later item")
		case broken.Load() && item == 7:
			select { // panic after item 60 did, if there is a worker to do it
			case <-later:
			case <-time.After(time.Second):
			}
			panic(cause)
		}
		done.Add(1)
	})
	broken.Store(true)
	err := j.Run()
	var w *WorkError
	if !errors.As(err, &w) || w.Item != 7 || !errors.Is(err, cause) {
		t.Fatalf("got %v, want the WorkError of item 7", err)
	}
	if want := "kernel: item 7: out of milk"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !strings.Contains(string(w.Stack), "TestPanicsComeBackAsErrors") {
		t.Errorf("the stack does not lead to the panic:\n%s", w.Stack)
	}
	if done.Load() != 98 {
		t.Errorf("%d of 98 other items were done", done.Load())
	}
	broken.Store(false)
	if err := j.Run(); err != nil {
		t.Errorf("the run after a failed one: %v", err)
	}
}

func TestJobsRunAtOnceAndInsideOthers(t *testing.T) {
	const goroutines, runs, items = 8, 30, 40
	var done atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			j := NewJob(items, func(int, int) {
				inner := NewJob(3, func(int, int) { done.Add(1) })
				if err := inner.Run(); err != nil {
					t.Error(err)
				}
			})
			for range runs {
				if err := j.Run(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if want := int64(goroutines * runs * items * 3); done.Load() != want {
		t.Errorf("%d items were done, want %d", done.Load(), want)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	j := NewJob(64, func(int, int) {})
	if n := testing.AllocsPerRun(100, func() {
		if err := j.Run(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a run allocates %v times, want none", n)
	}
}

// BenchmarkJob is the cost of waking the workers for next to nothing.
func BenchmarkJob(b *testing.B) {
	j := NewJob(2*Workers(), func(int, int) {})
	for b.Loop() {
		if err := j.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
