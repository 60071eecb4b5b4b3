package pipeline

import (
	"fmt"
	"math"

	"github.com/onnxdistill/onnxdistill/teachers"
)

// scoreRange is where a model's scores of some samples lie. What ends in no
// function that is known can show by it that it gives probabilities.
type scoreRange struct {
	least, most float32
	sum         float64 // of a sample's scores, the furthest from 1
	rows        int
}

// add notes the scores of a sample.
func (s *scoreRange) add(row []float32) {
	sum := 0.0
	for i, v := range row {
		if s.rows == 0 && i == 0 {
			s.least, s.most = v, v
		}
		s.least, s.most = min(s.least, v), max(s.most, v)
		sum += float64(v)
	}
	if s.rows == 0 || math.Abs(sum-1) > math.Abs(s.sum-1) {
		s.sum = sum
	}
	s.rows++
}

// addsUp is how far the sum of a sample's probabilities may be from 1: half
// precision carries about 1e-3.
const addsUp = 5e-3

// doubt says that scores taken for logits look like probabilities; it is empty
// where they do not. Probabilities differ by 1 at most, so that softened they say
// next to nothing of which classes the model takes for alike. It is no refusal:
// logits may lie between 0 and 1, too.
//
// Scores that add up to 1 are noticed when the model is opened, which then takes
// their logarithms; they are here where noise, on which that is tried, does not
// show it.
func (s *scoreRange) doubt(spec teachers.Spec) string {
	if spec.Logits != teachers.LogitsOutput || s.rows == 0 || !(s.least >= 0 && s.most <= 1 && s.most > 0.5) {
		return ""
	}
	what := "as those of a sigmoid do"
	if math.Abs(s.sum-1) <= addsUp {
		what = "and add up to 1, as those of a softmax do"
	}
	return fmt.Sprintf("the scores of %s lie between 0 and 1 on all of %d images, %s: they look like probabilities, from which a student that expects logits learns little; "+
		"use a file that ends in its logits, or name the output that holds them with teacher.output", spec.Name, s.rows, what)
}
