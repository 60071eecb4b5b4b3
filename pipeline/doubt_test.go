package pipeline

import (
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

func TestDoubtOfAStudent(t *testing.T) {
	classes := []string{"a", "b", "c"}
	// Twelve images, four of each class.
	images := func(logits func(label, i int) []float32) engine.Scores {
		var s engine.Scores
		for i := range 12 {
			s.Labels = append(s.Labels, i%3)
			s.Logits = append(s.Logits, logits(i%3, i)...)
		}
		return s
	}
	one := func(class int) []float32 {
		row := make([]float32, 3)
		row[class] = 5
		return row
	}
	for _, c := range []struct {
		name string
		say  func(label, i int) []float32
		want string
	}{
		{"right on all", func(label, _ int) []float32 { return one(label) }, ""},
		{"right on two thirds", func(label, i int) []float32 { return one((label + i/8) % 3) }, ""},
		{"one class", func(_, i int) []float32 { return []float32{0, 9 + float32(i), 1} }, `it takes all 12 validation images for "b"`},
		{"one answer", func(_, _ int) []float32 { return []float32{1, 2, 3} }, "its logits are the same for all 12"},
		{"zeros", func(_, _ int) []float32 { return []float32{0, 0, 0} }, "its logits are the same for all 12"},
		{"guesses", func(label, i int) []float32 { return one(i / 3 % 3) }, "it is right on 33.3 % of 12 validation images, where guessing gives 33.3 %"},
		{"always wrong", func(label, _ int) []float32 { return one((label + 1) % 3) }, "it is right on 0.0 %"},
	} {
		var d doubt
		s := images(c.say)
		// In two batches, as they come.
		d.add(engine.Scores{Logits: s.Logits[:15], Labels: s.Labels[:5]})
		d.add(engine.Scores{Logits: s.Logits[15:], Labels: s.Labels[5:]})
		if got := d.reason(classes); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
