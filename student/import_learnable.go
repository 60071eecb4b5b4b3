package student

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// checkLearnable sees to it that a gradient reaches every parameter of g, which
// was built last. A parameter that the logits do not depend on, of which the
// file takes the shape alone, is none. One that they depend on by way of
// operators without a derivative alone, as of a Sign, is an error: it would stay
// what it is.
func (p *program) checkLearnable(g *Graph) error {
	learns := map[*gorgonia.Node]bool{g.Logits: true} // a change of the node changes the logits gradually
	depends := map[*gorgonia.Node]bool{g.Logits: true}
	order := g.needed() // operands before their users
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		d, _ := n.Op().(gorgonia.SDOp)
		in := op.Operands(n)
		for k, x := range in {
			depends[x] = true
			if learns[n] && d != nil && d.DiffWRT(len(in))[k] {
				learns[x] = true
			}
		}
	}
	var stuck gorgonia.Nodes
	for _, n := range g.Params {
		switch q := g.params[n]; {
		case !depends[n]:
			q.Trainable, q.Decay = false, false
		case !learns[n]:
			stuck = append(stuck, n)
		}
	}
	if len(stuck) == 0 {
		return nil
	}
	// The first operator that a gradient comes to and goes no further.
	reached := map[*gorgonia.Node]bool{stuck[0]: true}
	for _, n := range order {
		for _, x := range op.Operands(n) {
			if !reached[x] {
				continue
			}
			reached[n] = true
			if c := p.origin[n]; learns[n] && !learns[x] && c != nil {
				return &UnsupportedError{Node: describe(c), Op: c.Op, Opset: p.Opset, Reason: stuckReason(g, stuck)}
			}
		}
	}
	return fmt.Errorf("student: import: %s", stuckReason(g, stuck))
}

// stuckReason says what a gradient does not reach.
func stuckReason(g *Graph, stuck gorgonia.Nodes) string {
	what := g.params[stuck[0]].Name
	if len(stuck) > 1 {
		what = fmt.Sprintf("%s and %d more parameters", what, len(stuck)-1)
	}
	return fmt.Sprintf("its derivative is zero everywhere, and %s can change the logits by way of it alone, so that no gradient trains it", what)
}
