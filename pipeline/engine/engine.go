package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// ErrInterrupted is returned by Train when its context ends. The step in
// flight was finished and its OnUpdate hook has run, so State is one from
// which training can go on.
var ErrInterrupted = errors.New("engine: interrupted")

// Network is what an Engine trains: a computation with parameters inside.
type Network[S any] interface {
	// Compute runs forward and criterion on sample and, when training, the
	// backward pass. The result is valid until the next call.
	Compute(sample S, training bool) (Output, error)

	// Update moves the parameters along the gradients of the last Compute.
	Update(lr float64) error
}

// Output is what one Compute gave.
type Output struct {
	Logits []float32 // [N, Classes], row-major
	Labels []int     // [N], the class of each sample
	Loss   float64   // the criterion: the weighted sum of Terms
	Terms  []Term    // in the order of the objective
}

// Classes returns the width of the logits; zero when there is no sample.
func (o Output) Classes() int {
	if len(o.Labels) == 0 {
		return 0
	}
	return len(o.Logits) / len(o.Labels)
}

// Term is one summand of a criterion: Weight times Value enters the loss.
type Term struct {
	Name   string
	Value  float64
	Weight float64
}

// Iterator yields the samples (batches) of an epoch, beginning at batch from.
type Iterator[S any] func(ctx context.Context, epoch, from int) iter.Seq2[S, error]

// State is the loop's state. Hooks may read all of it and change LR and
// MaxEpoch; torchnet's names are kept.
type State[S any] struct {
	Network  Network[S]
	Iterator Iterator[S]
	LR       float64 // learning rate of the next Update
	MaxEpoch int     // Train stops when Epoch reaches it
	Epoch    int     // epochs finished
	Batch    int     // batches finished in the epoch under way
	T        int     // updates done in all epochs
	Sample   S       // the batch in hand
	Output   Output  // of the batch in hand; the criterion's values are in it
	Training bool    // false under Test
}

// Hook is called at one point of the loop. An error ends the loop.
type Hook[S any] func(*State[S]) error

// Hooks are the points of the loop, in the order they are reached. A nil hook
// is not called.
//
// A compiled network computes forward, criterion and backward in one pass, so
// torchnet's four points after each of these are one, OnForward.
type Hooks[S any] struct {
	OnStart      Hook[S]
	OnStartEpoch Hook[S]
	OnSample     Hook[S]
	OnForward    Hook[S]
	OnUpdate     Hook[S]
	OnEndEpoch   Hook[S]
	OnEnd        Hook[S]
}

// Engine runs the loop and calls the hooks. The zero value has no hooks and is
// ready to use.
type Engine[S any] struct {
	hooks []Hooks[S]
}

// Add appends a set of hooks. At each point the sets are called in the order
// they were added.
func (e *Engine[S]) Add(h Hooks[S]) { e.hooks = append(e.hooks, h) }

func (e *Engine[S]) call(s *State[S], point func(*Hooks[S]) Hook[S]) error {
	for i := range e.hooks {
		if h := point(&e.hooks[i]); h != nil {
			if err := h(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func onStart[S any](h *Hooks[S]) Hook[S]      { return h.OnStart }
func onStartEpoch[S any](h *Hooks[S]) Hook[S] { return h.OnStartEpoch }
func onSample[S any](h *Hooks[S]) Hook[S]     { return h.OnSample }
func onForward[S any](h *Hooks[S]) Hook[S]    { return h.OnForward }
func onUpdate[S any](h *Hooks[S]) Hook[S]     { return h.OnUpdate }
func onEndEpoch[S any](h *Hooks[S]) Hook[S]   { return h.OnEndEpoch }
func onEnd[S any](h *Hooks[S]) Hook[S]        { return h.OnEnd }

// Train runs epochs from s.Epoch (and, within it, from batch s.Batch) until
// s.Epoch reaches s.MaxEpoch. When ctx ends it finishes the step in flight and
// returns ErrInterrupted; the same State can be given to Train again.
func (e *Engine[S]) Train(ctx context.Context, s *State[S]) error {
	s.Training = true
	if err := e.call(s, onStart); err != nil {
		return err
	}
	for s.Epoch < s.MaxEpoch {
		if err := e.call(s, onStartEpoch); err != nil {
			return err
		}
		for sample, err := range s.Iterator(ctx, s.Epoch, s.Batch) {
			if err != nil {
				if ctx.Err() != nil {
					return ErrInterrupted
				}
				return fmt.Errorf("engine: epoch %d, batch %d: %w", s.Epoch+1, s.Batch, err)
			}
			if err := e.step(s, sample); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ErrInterrupted
			}
		}
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		s.Epoch++
		s.Batch = 0
		if err := e.call(s, onEndEpoch); err != nil {
			return err
		}
	}
	return e.call(s, onEnd)
}

func (e *Engine[S]) step(s *State[S], sample S) error {
	s.Sample = sample
	if err := e.call(s, onSample); err != nil {
		return err
	}
	out, err := s.Network.Compute(sample, true)
	if err != nil {
		return fmt.Errorf("engine: epoch %d, batch %d: %w", s.Epoch+1, s.Batch, err)
	}
	s.Output = out
	if err := e.call(s, onForward); err != nil {
		return err
	}
	if err := s.Network.Update(s.LR); err != nil {
		return fmt.Errorf("engine: epoch %d, batch %d: %w", s.Epoch+1, s.Batch, err)
	}
	s.T++
	s.Batch++
	return e.call(s, onUpdate)
}

// Test runs one pass of s.Iterator (epoch 0, from its first batch) without
// backward pass or update: OnStart, then OnSample and OnForward for each batch,
// then OnEnd.
func (e *Engine[S]) Test(ctx context.Context, s *State[S]) error {
	s.Training = false
	if err := e.call(s, onStart); err != nil {
		return err
	}
	for sample, err := range s.Iterator(ctx, 0, 0) {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		if err != nil {
			return fmt.Errorf("engine: test batch %d: %w", s.Batch, err)
		}
		s.Sample = sample
		if err := e.call(s, onSample); err != nil {
			return err
		}
		if s.Output, err = s.Network.Compute(sample, false); err != nil {
			return fmt.Errorf("engine: test batch %d: %w", s.Batch, err)
		}
		if err := e.call(s, onForward); err != nil {
			return err
		}
		s.Batch++
	}
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return e.call(s, onEnd)
}
