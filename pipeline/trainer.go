package pipeline

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

// trainer is the part of a run that happens in the engine's hooks: learning
// rate, meters, validation, metrics and checkpoints.
type trainer struct {
	*run
	folder   Folder
	progress Progress
	epochs   []EpochMetrics

	saved time.Time // the last checkpoint, or the start
	mark  time.Time // since when the epoch's time is not yet counted
	tell  func(done int, status string)
}

func (t *trainer) hooks(ctx context.Context) engine.Hooks[*Sample] {
	return engine.Hooks[*Sample]{
		OnStartEpoch: t.startEpoch,
		OnSample:     t.setRates,
		OnForward:    t.measure,
		OnUpdate:     t.updated,
		OnEndEpoch:   func(s *engine.State[*Sample]) error { return t.endEpoch(ctx, s) },
	}
}

func (t *trainer) startEpoch(s *engine.State[*Sample]) error {
	if s.Batch == 0 { // otherwise the meters were restored with the batch
		t.progress.Losses = map[string]*engine.AverageValueMeter{}
		t.progress.Train = engine.ClassErrorMeter{Accuracy: true}
		t.progress.EpochTime = 0
	}
	t.mark = time.Now()
	t.tell = t.reporter.Begin(fmt.Sprintf("epoch %d/%d", s.Epoch+1, s.MaxEpoch), t.batches)
	return nil
}

// setRates sets what changes from step to step.
func (t *trainer) setRates(s *engine.State[*Sample]) error {
	total := s.MaxEpoch * t.batches
	s.LR = t.rate(s, s.T)
	t.learner.SetAttention(decayed(t.config.Loss.Attention.Decay, s.T, total))
	return nil
}

// rate is the learning rate of a step, counted from 0 over all epochs.
func (t *trainer) rate(s *engine.State[*Sample], step int) float64 {
	return t.schedule.LR(step, s.MaxEpoch*t.batches)
}

// decayed is the share of the attention weight that is left at a step. The
// paper's authors planned a decay for AT with KD and never published one.
func decayed(kind string, step, total int) float64 {
	done := float64(step) / float64(total)
	switch kind {
	case "linear":
		return 1 - done
	case "cosine":
		return (1 + math.Cos(math.Pi*done)) / 2
	}
	return 1
}

func (t *trainer) measure(s *engine.State[*Sample]) error {
	n := len(s.Output.Labels)
	add := func(name string, v float64) {
		m := t.progress.Losses[name]
		if m == nil {
			m = new(engine.AverageValueMeter)
			t.progress.Losses[name] = m
		}
		m.Add(engine.Weighted{Value: v, N: n})
	}
	for _, term := range s.Output.Terms {
		add(term.Name, term.Value)
	}
	add("total", s.Output.Loss)
	t.progress.Train.Add(engine.Scores{Logits: s.Output.Logits, Labels: s.Output.Labels})
	return nil
}

func (t *trainer) updated(s *engine.State[*Sample]) error {
	now := time.Now()
	t.progress.EpochTime += now.Sub(t.mark).Seconds()
	t.mark = now
	t.tell(s.Batch, fmt.Sprintf("loss %.3f", s.Output.Loss))
	if s.Batch < t.batches && now.Sub(t.saved) >= t.config.Resources.checkpointEvery() {
		return t.save(s) // at the epoch's end endEpoch does
	}
	return nil
}

// endEpoch validates, keeps the student if it is the best so far, and saves.
func (t *trainer) endEpoch(ctx context.Context, s *engine.State[*Sample]) error {
	t.tell(t.batches, "")
	top1, err := t.validate(ctx)
	if err != nil {
		return err
	}
	p := &t.progress
	p.Seconds += p.EpochTime
	m := EpochMetrics{
		// Of a run taken up between an epoch's last step and its end, s has no rate.
		Epoch: s.Epoch, LearningRate: t.rate(s, s.T-1), Loss: map[string]float64{},
		TrainTop1: p.Train.Value(), ValTop1: top1,
		Seconds: p.EpochTime, ImagesPerSecond: float64(p.Train.Samples) / p.EpochTime,
	}
	for name, meter := range p.Losses {
		m.Loss[name] = meter.Value().Mean
	}
	if top1 > p.BestTop1 || p.BestEpoch == 0 {
		p.BestTop1, p.BestEpoch = top1, s.Epoch
		if err := sealBest(t.folder.Best(), t.model.Tensors(), p.chosen()); err != nil {
			return err
		}
	}
	t.epochs = append(t.epochs, m)
	if err := t.folder.writeMetrics(t.epochs, nil); err != nil {
		return err
	}
	say(t.reporter, "epoch %*d/%d  %s  train %5.2f %%  val %5.2f %%  lr %.4f  %.1fs  %.0f images/s",
		len(fmt.Sprint(s.MaxEpoch)), m.Epoch, s.MaxEpoch, formatLosses(m.Loss), 100*m.TrainTop1, 100*m.ValTop1, m.LearningRate, m.Seconds, m.ImagesPerSecond)
	return t.save(s)
}

// save writes the checkpoint from which Resume goes on.
func (t *trainer) save(s *engine.State[*Sample]) error {
	t.progress.Epoch, t.progress.Batch, t.progress.Step = s.Epoch, s.Batch, s.T
	t.saved = time.Now()
	return writeCheckpoint(t.folder.Checkpoint(), t.model, t.optimizer, t.progress)
}

// validate returns the student's accuracy on the validation set.
func (t *trainer) validate(ctx context.Context) (float64, error) {
	top1 := engine.ClassErrorMeter{Accuracy: true}
	var e engine.Engine[*Sample]
	e.Add(engine.Hooks[*Sample]{OnForward: func(s *engine.State[*Sample]) error {
		top1.Add(engine.Scores{Logits: s.Output.Logits, Labels: s.Output.Labels})
		return nil
	}})
	state := &engine.State[*Sample]{Network: t.scorer, Iterator: t.validation}
	// An interrupted validation would leave the epoch half told, and it is
	// short, so it is finished.
	if err := e.Test(context.WithoutCancel(ctx), state); err != nil {
		return 0, err
	}
	return top1.Value(), nil
}

// formatLosses writes "loss 1.234 (at/group1 0.001, ce 1.2)".
func formatLosses(terms map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(terms)) {
		if name != "total" {
			parts = append(parts, fmt.Sprintf("%s %.3g", name, terms[name]))
		}
	}
	return fmt.Sprintf("loss %.3f (%s)", terms["total"], strings.Join(parts, ", "))
}

func formatTerms(terms []engine.Term) string {
	parts := make([]string, len(terms))
	for i, t := range terms {
		parts[i] = fmt.Sprintf("%s %.3g", t.Name, t.Value)
	}
	return strings.Join(parts, ", ")
}
