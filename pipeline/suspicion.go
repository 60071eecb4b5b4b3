package pipeline

import (
	"fmt"
	"math"

	"github.com/onnxdistill/onnxdistill/teachers"
)

// overconfidence is by how much networks expect to be right more often than they
// are, at most: 0.16 for a ResNet on CIFAR-100 is the highest in table 1 of Guo
// et al. (2017), and images that are compressed more than those of training add
// some.
const overconfidence = 0.2

// suspect warns where what a model says of labelled samples shows that it is
// read or fed in another way than it was trained. An order of classes that suits
// the answers better is offered and not taken.
func suspect(a *answers, spec teachers.Spec, r Reporter) {
	n := float64(len(a.labels))
	if n == 0 {
		return
	}
	if line := a.scores.doubt(spec); line != "" {
		r.Warn(line)
	}
	top1, expected, chance := a.top1(nil), a.confidence(), 1/float64(a.classes)
	order, better := a.anotherOrder()
	mapping := fmt.Sprintf("this mapping would give %.1f %%: teacher.classes %s", 100*better, FormatClasses(inTeachersOrder(order, spec)))
	low := expected - overconfidence - 2*math.Sqrt(expected*(1-expected)/n)
	switch {
	case order != nil && better >= low:
		warn(r, "%s seems to know these classes in another order: it is right on %.1f %% of %v images, and %s", spec.Name, 100*top1, n, mapping)
	case top1 < low:
		line := fmt.Sprintf("%s is right on %.1f %% of %v images where its own confidence expects %.1f %%; %s", spec.Name, 100*top1, n, 100*expected, causes(spec))
		if order != nil {
			line += "; as things are, " + mapping
		}
		r.Warn(line)
	case top1 < 2*chance && top1 < 0.5+chance/2:
		warn(r, "%s is right on %.1f %% of %v images where chance is %.1f %%; %s", spec.Name, 100*top1, n, 100*chance, causes(spec))
	}
}

// inTeachersOrder gives an order of the classes that were asked for in the
// teacher's own numbers.
func inTeachersOrder(order []int, spec teachers.Spec) []int {
	if len(spec.ClassOrder) == 0 {
		return order
	}
	out := make([]int, len(order))
	for i, c := range order {
		out[i] = spec.ClassOrder[c]
	}
	return out
}

// causes names why a model may be right so rarely, the most frequent first.
func causes(spec teachers.Spec) string {
	colours := ""
	if spec.C > 1 {
		colours = ", its colour channels in the other order (order=bgr there)"
	}
	return fmt.Sprintf("likely causes: wrong preprocessing (teacher.preprocess, now %s)%s, its classes in another order (teacher.classes), "+
		"an ending that was not recognised, such as a softmax (its logits: %s), or too little training", spec.Preprocess, colours, spec.Logits)
}
