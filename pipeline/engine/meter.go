package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Meter accumulates In and gives a Value; Reset forgets everything.
type Meter[In, Value any] interface {
	Add(In)
	Reset()
	Value() Value
}

var (
	_ Meter[Weighted, Average] = (*AverageValueMeter)(nil)
	_ Meter[Scores, float64]   = (*ClassErrorMeter)(nil)
	_ Meter[Scores, []float64] = (*APMeter)(nil)
	_ Meter[Scores, [][]int]   = (*ConfusionMeter)(nil)
)

// Weighted is a value that stands for N samples, such as a batch's mean loss.
type Weighted struct {
	Value float64
	N     int
}

// Average is the mean and the standard deviation of what was added. Std is
// that of the added values around their weighted mean, unbiased over the
// number of Adds; NaN with fewer than two.
type Average struct {
	Mean, Std float64
}

// AverageValueMeter averages values. Its fields are the whole of its state, so
// it can be saved and restored as JSON.
type AverageValueMeter struct {
	Adds    int     `json:"adds"`    // calls of Add
	Samples int     `json:"samples"` // sum of N
	Sum     float64 `json:"sum"`     // Σ N·v
	Squares float64 `json:"squares"` // Σ N·v²
}

// Add implements Meter.
func (m *AverageValueMeter) Add(v Weighted) {
	m.Adds++
	m.Samples += v.N
	m.Sum += float64(v.N) * v.Value
	m.Squares += float64(v.N) * v.Value * v.Value
}

// Reset implements Meter.
func (m *AverageValueMeter) Reset() { *m = AverageValueMeter{} }

// Value implements Meter. With nothing added both parts are NaN.
func (m *AverageValueMeter) Value() Average {
	if m.Samples == 0 {
		return Average{math.NaN(), math.NaN()}
	}
	mean := m.Sum / float64(m.Samples)
	if m.Adds < 2 {
		return Average{mean, math.NaN()}
	}
	variance := max(m.Squares/float64(m.Samples)-mean*mean, 0) * float64(m.Adds) / float64(m.Adds-1)
	return Average{mean, math.Sqrt(variance)}
}

// Scores are a classifier's outputs on some samples.
type Scores struct {
	Logits []float32 // [N, Classes]; any monotone score will do
	Labels []int     // [N]
}

// Check returns an error where there are not as many scores for each label as for
// every other, or a label names none of the classes. The meters take both for
// granted.
func (s Scores) Check() error {
	if len(s.Labels) == 0 || len(s.Logits) == 0 || len(s.Logits)%len(s.Labels) != 0 {
		return fmt.Errorf("engine: %d scores for %d labels; each label has a score of every class", len(s.Logits), len(s.Labels))
	}
	classes := len(s.Logits) / len(s.Labels)
	for i, label := range s.Labels {
		if label < 0 || label >= classes {
			return fmt.Errorf("engine: sample %d has the label %d, and scores of classes 0 to %d", i, label, classes-1)
		}
	}
	return nil
}

func (s Scores) row(i int) []float32 {
	k := len(s.Logits) / len(s.Labels)
	return s.Logits[i*k : (i+1)*k]
}

// ClassErrorMeter counts how often the label is not among the TopK highest
// scores. A tie counts for the label only against classes of higher index.
type ClassErrorMeter struct {
	TopK     int  `json:"topk"`     // zero means 1
	Accuracy bool `json:"accuracy"` // report the share that is right instead
	Right    int  `json:"right"`
	Samples  int  `json:"samples"`
}

// Add implements Meter.
func (m *ClassErrorMeter) Add(s Scores) {
	for i, label := range s.Labels {
		row := s.row(i)
		rank := 0
		for j, v := range row {
			if v > row[label] || (v == row[label] && j < label) {
				rank++
			}
		}
		m.Samples++
		if rank < max(m.TopK, 1) {
			m.Right++
		}
	}
}

// Reset implements Meter.
func (m *ClassErrorMeter) Reset() { m.Right, m.Samples = 0, 0 }

// Value implements Meter: a share between 0 and 1, NaN with nothing added.
func (m *ClassErrorMeter) Value() float64 {
	right := float64(m.Right) / float64(m.Samples)
	if m.Accuracy {
		return right
	}
	return 1 - right
}

// APMeter computes the average precision of each class: the mean, over the
// class's samples, of the precision at that sample's place when all samples
// are sorted by the class's score, highest first. Equal scores keep the order
// in which they were added.
type APMeter struct {
	scores  [][]float32 // per class
	labels  []int
	classes int
}

// Add implements Meter.
func (m *APMeter) Add(s Scores) {
	for i, label := range s.Labels {
		row := s.row(i)
		if m.scores == nil {
			m.classes = len(row)
			m.scores = make([][]float32, m.classes)
		}
		for c, v := range row {
			m.scores[c] = append(m.scores[c], v)
		}
		m.labels = append(m.labels, label)
	}
}

// Reset implements Meter.
func (m *APMeter) Reset() { *m = APMeter{} }

// Value implements Meter: one value per class, NaN for a class without samples.
func (m *APMeter) Value() []float64 {
	ap := make([]float64, m.classes)
	order := make([]int, len(m.labels))
	for c := range ap {
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(m.scores[c][b], m.scores[c][a]) })
		found, sum := 0, 0.0
		for place, i := range order {
			if m.labels[i] == c {
				found++
				sum += float64(found) / float64(place+1)
			}
		}
		ap[c] = sum / float64(found) // 0/0 is the documented NaN
	}
	return ap
}

// ConfusionMeter counts, for each label (row), how often each class (column)
// had the highest score.
type ConfusionMeter struct {
	counts [][]int
}

// Add implements Meter.
func (m *ConfusionMeter) Add(s Scores) {
	for i, label := range s.Labels {
		row := s.row(i)
		if m.counts == nil {
			m.counts = make([][]int, len(row))
			for c := range m.counts {
				m.counts[c] = make([]int, len(row))
			}
		}
		m.counts[label][ArgMax(row)]++
	}
}

// Reset implements Meter.
func (m *ConfusionMeter) Reset() { m.counts = nil }

// Value implements Meter.
func (m *ConfusionMeter) Value() [][]int { return m.counts }

// ArgMax returns the index of the largest value, the first of equals; 0 for an
// empty slice.
func ArgMax(v []float32) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}
