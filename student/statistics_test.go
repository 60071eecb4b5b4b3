package student_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// Normalisations settled on a batch compute in training, on that batch, what
// they compute in inference, and that is what they computed before.
func TestSettledNormalisationsTrainFromTheSameFunction(t *testing.T) {
	a, err := zoo.Parse("resnet-8")
	if err != nil {
		t.Fatal(err)
	}
	const batch = 4
	m := newModel(t, a, student.Spec{Image: student.Shape{H: 8, W: 8, C: 3}, Classes: 5}, 1)
	shake(t, m)
	unfolded := importModel(t, export(t, m, student.ExportOptions{}), student.ImportOptions{UnfoldBatchNorm: true}).Model
	before := logits(t, unfolded, batch)

	g := newGraph(t, unfolded, batch, student.Infer)
	list, err := g.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 9 {
		t.Fatalf("%d normalisations have statistics, want 9", len(list))
	}
	var nodes gorgonia.Nodes
	for _, s := range list {
		nodes = append(nodes, s.Node)
	}
	values := run(t, g, pixels(batch*8*8*3), nodes...)
	for i, s := range list {
		if err := s.Settle(values[i]); err != nil {
			t.Fatal(err)
		}
	}
	if d := apart(t, logits(t, unfolded, batch), before); d > close {
		t.Errorf("settling changes the logits by %v", d)
	}
	train := newGraph(t, unfolded, batch, student.Train)
	if d := apart(t, run(t, train, pixels(batch*8*8*3), train.Logits)[0], before); d > 10*close { // through nine divisions by deviations of few values
		t.Errorf("in training the logits are off by %v", d)
	}

	if err := list[0].Settle(values[0][1:]); err == nil || !strings.Contains(err.Error(), "31 statistics for") {
		t.Errorf("statistics of too few channels: got error %v", err)
	}
	values[0][3] = math.Inf(1)
	if err := list[0].Settle(values[0]); err == nil || !strings.Contains(err.Error(), "a statistic of") {
		t.Errorf("an infinite statistic: got error %v", err)
	}
}
