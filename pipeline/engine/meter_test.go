package engine

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// near absorbs the rounding of a handful of float64 additions.
var near = cmpopts.EquateApprox(0, 1e-12)

func TestAverageValueMeter(t *testing.T) {
	var m AverageValueMeter
	if v := m.Value(); !math.IsNaN(v.Mean) || !math.IsNaN(v.Std) {
		t.Errorf("empty meter gives %v, want NaN", v)
	}
	m.Add(Weighted{2, 1})
	m.Add(Weighted{4, 1})
	m.Add(Weighted{9, 1})
	// mean 5, squared deviations 9+1+16 = 26, over 3-1
	if d := cmp.Diff(Average{5, math.Sqrt(13)}, m.Value(), near); d != "" {
		t.Error(d)
	}
	m.Add(Weighted{11, 3})
	if got := m.Value().Mean; math.Abs(got-8) > 1e-12 {
		t.Errorf("weighted mean %v, want 8", got)
	}
	m.Reset()
	if m != (AverageValueMeter{}) {
		t.Error("Reset kept state")
	}
}

var scores = Scores{
	Logits: []float32{
		5, 1, 0, // label 0: right
		3, 2, 9, // label 0: second
		0, 1, 2, // label 0: third
		1, 7, 3, // label 1: right
		4, 4, 1, // label 1: tied with class 0, which wins
	},
	Labels: []int{0, 0, 0, 1, 1},
}

func TestClassErrorMeter(t *testing.T) {
	for _, c := range []struct {
		name  string
		meter ClassErrorMeter
		want  float64
	}{
		{"top-1 error", ClassErrorMeter{}, 3. / 5},
		{"top-1 accuracy", ClassErrorMeter{Accuracy: true}, 2. / 5},
		{"top-2 accuracy", ClassErrorMeter{TopK: 2, Accuracy: true}, 4. / 5},
		{"top-3 accuracy is all", ClassErrorMeter{TopK: 3, Accuracy: true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.meter.Add(scores)
			if got := c.meter.Value(); math.Abs(got-c.want) > 1e-12 {
				t.Errorf("got %v, want %v", got, c.want)
			}
			c.meter.Reset()
			if !math.IsNaN(c.meter.Value()) {
				t.Error("after Reset the value is not NaN")
			}
		})
	}
}

func TestAPMeter(t *testing.T) {
	var m APMeter
	m.Add(Scores{scores.Logits[:6], scores.Labels[:2]})
	m.Add(Scores{scores.Logits[6:], scores.Labels[2:]})
	// Class 0 by score: 5 yes, 4 no, 3 yes, 1 no, 0 yes -> (1 + 2/3 + 3/5) / 3.
	// Class 1 by score: 7 yes, 4 yes -> 1. Class 2 has no samples.
	want := []float64{(1 + 2./3 + 3./5) / 3, 1, math.NaN()}
	if d := cmp.Diff(want, m.Value(), near, cmpopts.EquateNaNs()); d != "" {
		t.Error(d)
	}
	m.Reset()
	if len(m.Value()) != 0 {
		t.Error("Reset kept state")
	}
}

func TestConfusionMeter(t *testing.T) {
	var m ConfusionMeter
	m.Add(scores)
	want := [][]int{{1, 0, 2}, {1, 1, 0}, {0, 0, 0}}
	if d := cmp.Diff(want, m.Value()); d != "" {
		t.Error(d)
	}
	m.Reset()
	if m.Value() != nil {
		t.Error("Reset kept state")
	}
}

func TestScoresThatNoMeterTakes(t *testing.T) {
	for _, c := range []struct {
		name   string
		scores Scores
		want   string // in the error; "" is none
	}{
		{"two samples of three classes", Scores{make([]float32, 6), []int{0, 2}}, ""},
		{"a label of a class more", Scores{make([]float32, 6), []int{0, 3}}, "sample 1 has the label 3, and scores of classes 0 to 2"},
		{"a negative label", Scores{make([]float32, 6), []int{-1, 0}}, "sample 0 has the label -1"},
		{"scores that cannot be shared out", Scores{make([]float32, 7), []int{0, 1}}, "7 scores for 2 labels"},
		{"no scores", Scores{nil, []int{0}}, "0 scores for 1 labels"},
		{"no labels", Scores{make([]float32, 6), nil}, "6 scores for 0 labels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.scores.Check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
