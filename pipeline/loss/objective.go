package loss

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// Term is one summand of an objective, readable on its own: "ce", "kd",
// "at/group1".
type Term struct {
	Name string
	Node *gorgonia.Node // scalar: the loss itself

	// Weight is what Node is multiplied by, a scalar of the same element type;
	// nil means 1. An input of the graph can be given another value between
	// runs, which is how a weight decays over training.
	Weight *gorgonia.Node
}

// Total is the objective: the sum over terms, in their order, of weight times
// loss, a scalar. Names must differ.
func Total(terms []Term) (*gorgonia.Node, error) {
	if len(terms) == 0 {
		return nil, fmt.Errorf("loss: an objective wants at least one term")
	}
	var s steps
	var total *gorgonia.Node
	seen := map[string]bool{}
	for i, t := range terms {
		switch {
		case t.Name == "":
			return nil, fmt.Errorf("loss: term %d has no name", i)
		case seen[t.Name]:
			return nil, fmt.Errorf("loss: two terms are named %q", t.Name)
		case t.Node == nil || !t.Node.Shape().IsScalar():
			return nil, fmt.Errorf("loss: term %q wants a scalar node, got %v", t.Name, t.Node)
		case t.Weight != nil && !t.Weight.Shape().IsScalar():
			return nil, fmt.Errorf("loss: term %q wants a scalar weight, got shape %v", t.Name, t.Weight.Shape())
		}
		seen[t.Name] = true
		x := t.Node
		if t.Weight != nil {
			x = s.take(op.Mul(t.Weight, x))
		}
		if total == nil {
			total = x
		} else {
			total = s.take(op.Add(total, x))
		}
	}
	return s.end(total, nil)
}
