package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// counter is a network whose only parameter counts its updates.
type counter struct {
	updates int
	fail    error
}

func (c *counter) Compute(sample int, _ bool) (Output, error) {
	return Output{Logits: []float32{0, 1}, Labels: []int{1}, Loss: float64(sample)}, c.fail
}

func (c *counter) Update(float64) error { c.updates++; return nil }

func batches(n int) Iterator[int] {
	return func(_ context.Context, epoch, from int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := from; i < n; i++ {
				if !yield(epoch*n+i, nil) {
					return
				}
			}
		}
	}
}

// recorder returns hooks that write their names to log.
func recorder(log *[]string) Hooks[int] {
	say := func(name string) Hook[int] {
		return func(s *State[int]) error {
			*log = append(*log, fmt.Sprintf("%s %d.%d", name, s.Epoch, s.Batch))
			return nil
		}
	}
	return Hooks[int]{say("start"), say("start-epoch"), say("sample"), say("forward"), say("update"), say("end-epoch"), say("end")}
}

func TestTrainCallsHooksInTorchnetOrder(t *testing.T) {
	var log []string
	var e Engine[int]
	e.Add(recorder(&log))
	net := &counter{}
	if err := e.Train(t.Context(), &State[int]{Network: net, Iterator: batches(1), MaxEpoch: 2}); err != nil {
		t.Fatal(err)
	}
	var want []string
	want = append(want, "start 0.0")
	for epoch := range 2 {
		for _, name := range []string{"start-epoch", "sample", "forward"} {
			want = append(want, fmt.Sprintf("%s %d.0", name, epoch))
		}
		want = append(want, fmt.Sprintf("update %d.1", epoch), fmt.Sprintf("end-epoch %d.0", epoch+1))
	}
	want = append(want, "end 2.0")
	if d := cmp.Diff(want, log); d != "" {
		t.Errorf("hooks (-want +got):\n%s", d)
	}
	if net.updates != 2 {
		t.Errorf("%d updates, want 2", net.updates)
	}
}

func TestTestNeitherDifferentiatesNorUpdates(t *testing.T) {
	var log []string
	var e Engine[int]
	e.Add(recorder(&log))
	net := &counter{}
	if err := e.Test(t.Context(), &State[int]{Network: net, Iterator: batches(1)}); err != nil {
		t.Fatal(err)
	}
	want := []string{"start 0.0", "sample 0.0", "forward 0.0", "end 0.1"}
	if d := cmp.Diff(want, log); d != "" {
		t.Errorf("hooks (-want +got):\n%s", d)
	}
	if net.updates != 0 {
		t.Errorf("%d updates under Test", net.updates)
	}
}

func TestInterruptedTrainingGoesOnWhereItStopped(t *testing.T) {
	run := func(stopAfter int) []int {
		var seen []int
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var e Engine[int]
		e.Add(Hooks[int]{OnUpdate: func(s *State[int]) error {
			seen = append(seen, s.Sample)
			if s.T == stopAfter {
				cancel()
			}
			return nil
		}})
		s := &State[int]{Network: &counter{}, Iterator: batches(3), MaxEpoch: 2}
		err := e.Train(ctx, s)
		if stopAfter == 0 {
			if err != nil {
				t.Fatal(err)
			}
			return seen
		}
		if !errors.Is(err, ErrInterrupted) {
			t.Fatalf("got %v, want ErrInterrupted", err)
		}
		if err := e.Train(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	whole := run(0)
	for stop := 1; stop <= 6; stop++ {
		if d := cmp.Diff(whole, run(stop)); d != "" {
			t.Errorf("stopped after %d updates (-whole +resumed):\n%s", stop, d)
		}
	}
}

func TestErrorsNameEpochAndBatch(t *testing.T) {
	var e Engine[int]
	cause := errors.New("no memory")
	err := e.Train(t.Context(), &State[int]{Network: &counter{fail: cause}, Iterator: batches(3), MaxEpoch: 1})
	if !errors.Is(err, cause) || err.Error() != "engine: epoch 1, batch 0: no memory" {
		t.Errorf("got %v", err)
	}
	stop := errors.New("stop")
	e.Add(Hooks[int]{OnSample: func(*State[int]) error { return stop }})
	if err := e.Test(t.Context(), &State[int]{Network: &counter{}, Iterator: batches(1)}); !errors.Is(err, stop) {
		t.Errorf("a hook's error was lost: %v", err)
	}
}
