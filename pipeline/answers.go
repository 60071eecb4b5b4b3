package pipeline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// answers are what a model says of labelled samples. Its classes are as many as
// the data's.
type answers struct {
	classes int
	p       []float32     // [samples, classes], the softmax of the logits
	first   []int         // [samples], the class of the highest
	labels  []int         // [samples]
	took    time.Duration // in all
	scores  scoreRange
}

// ask adds what a model says of a batch.
func (a *answers) ask(t teachers.Teacher, b data.Batch) error {
	start := time.Now()
	s, err := t.Signals(teacherBatch(b))
	a.took += time.Since(start)
	if err != nil {
		return err
	}
	if err := (engine.Scores{Logits: s.Logits, Labels: b.Labels}).Check(); err != nil {
		return fmt.Errorf("pipeline: %s: %w", t.Spec().Name, err)
	}
	a.add(s.Logits, b.Labels)
	return nil
}

func (a *answers) add(logits []float32, labels []int) {
	a.classes = len(logits) / len(labels)
	for row := range slices.Chunk(logits, a.classes) {
		a.scores.add(row)
		top, sum := float64(slices.Max(row)), 0.0
		for _, v := range row {
			sum += math.Exp(float64(v) - top)
		}
		for _, v := range row {
			a.p = append(a.p, float32(math.Exp(float64(v)-top)/sum))
		}
		a.first = append(a.first, engine.ArgMax(row))
	}
	a.labels = append(a.labels, labels...)
}

// right tells for each sample whether the model is right when its class for
// class i of the data is order[i]; nil is one to one.
func (a *answers) right(order []int) []bool {
	right := make([]bool, len(a.labels))
	for i, label := range a.labels {
		if order != nil {
			label = order[label]
		}
		right[i] = a.first[i] == label
	}
	return right
}

// top1 is the accuracy, 0 to 1, under an order.
func (a *answers) top1(order []int) float64 { return shareOf(a.right(order)) }

func shareOf(yes []bool) float64 {
	n := 0
	for _, y := range yes {
		if y {
			n++
		}
	}
	return float64(n) / float64(max(1, len(yes)))
}

// confidence is the accuracy that the model itself expects: the mean of the
// highest probabilities.
func (a *answers) confidence() float64 {
	sum := 0.0
	for i, c := range a.first {
		sum += float64(a.p[i*a.classes+c])
	}
	return sum / float64(max(1, len(a.first)))
}

// ahead compares two sets of answers to the same samples, right or wrong: by
// how many standard deviations, if both were equally good, the first is ahead
// of the second (McNemar 1947). Only samples count on which they differ.
func ahead(a, b []bool) float64 {
	won, lost := 0, 0
	for i := range a {
		switch {
		case a[i] && !b[i]:
			won++
		case b[i] && !a[i]:
			lost++
		}
	}
	if won+lost == 0 {
		return 0
	}
	return float64(won-lost) / math.Sqrt(float64(won+lost))
}

// subsample is the answers to some of many samples, drawn one by one: about as
// many as a judgement needs.
type subsample struct {
	answers
	share float64
	rng   *rand.Rand
}

func newSubsample(splits []*data.Split) *subsample {
	total := 0
	for _, s := range splits {
		total += s.Len()
	}
	return &subsample{share: checkMost / float64(max(1, total)), rng: rand.New(rand.NewPCG(uint64(total), 0))}
}

func (t *subsample) add(s engine.Scores) {
	classes := len(s.Logits) / len(s.Labels)
	for i := range s.Labels {
		if t.rng.Float64() < t.share {
			t.answers.add(s.Logits[i*classes:(i+1)*classes], s.Labels[i:i+1])
		}
	}
}
