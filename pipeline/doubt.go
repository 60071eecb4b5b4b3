package pipeline

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

// doubt collects what a student says of labelled images, to tell one that has
// learned nothing.
type doubt struct {
	right, n  int
	predicted []int     // images by the class they are taken for
	low, high []float32 // smallest and largest logit of each class
}

func (d *doubt) add(s engine.Scores) {
	for i, label := range s.Labels {
		k := len(s.Logits) / len(s.Labels)
		row := s.Logits[i*k : (i+1)*k]
		if d.n == 0 {
			d.predicted, d.low, d.high = make([]int, k), slices.Clone(row), slices.Clone(row)
		}
		top := engine.ArgMax(row)
		d.predicted[top]++
		d.n++
		if top == label {
			d.right++
		}
		for j, v := range row {
			d.low[j], d.high[j] = min(d.low[j], v), max(d.high[j], v)
		}
	}
}

// reason says in what way the student has learned nothing; it is empty where
// there is no such sign. Guessing is allowed the luck of one standard deviation.
func (d *doubt) reason(classes []string) string {
	largest, spread := 0.0, 0.0
	for j := range d.low {
		largest = max(largest, abs(d.low[j]), abs(d.high[j]))
		spread = max(spread, float64(d.high[j]-d.low[j]))
	}
	if !(spread > 1e-5*largest) {
		return fmt.Sprintf("its logits are the same for all %d validation images", d.n)
	}
	for j, n := range d.predicted {
		if n == d.n {
			return fmt.Sprintf("it takes all %d validation images for %q", d.n, classes[j])
		}
	}
	chance, top1 := 1/float64(len(classes)), float64(d.right)/float64(d.n)
	if top1 <= chance+math.Sqrt(chance*(1-chance)/float64(d.n)) {
		return fmt.Sprintf("it is right on %.1f %% of %d validation images, where guessing gives %.1f %%", 100*top1, d.n, 100*chance)
	}
	return ""
}

// doubt looks at the model's answers on the validation images, and warns when
// they are those of a student that has learned nothing.
func (t *trainer) doubt(ctx context.Context) (string, error) {
	var d doubt
	for sample, err := range t.validation(ctx, 0, 0) {
		if ctx.Err() != nil {
			return "", ErrInterrupted
		}
		if err != nil {
			return "", err
		}
		out, err := t.scorer.Compute(sample, false)
		if err != nil {
			return "", err
		}
		d.add(engine.Scores{Logits: out.Logits, Labels: out.Labels})
	}
	reason := d.reason(t.data.Classes)
	if reason != "" {
		warn(t.reporter, "the student has learned nothing: %s; other learning rates (training.learning_rate, now %v) are the first thing to try", reason, t.config.Training.LearningRate)
	}
	return reason, nil
}
