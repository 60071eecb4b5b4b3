package student

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// Statistic is what a batch normalisation would take from a batch: Node is the
// mean and the biased variance [2, C] of what goes into it.
type Statistic struct {
	Node  *gorgonia.Node
	layer layer
}

// Statistics adds to a graph of Infer mode the statistics of what goes into each
// of its batch normalisations. One that the network uses twice, and so on two
// kinds of values, is left out.
func (g *Graph) Statistics() ([]Statistic, error) {
	uses := map[*Param]int{}
	for _, n := range g.needed() {
		if l := g.layers[n]; l.kind == normalisation {
			uses[l.running]++
		}
	}
	var all []Statistic
	for _, n := range g.needed() {
		l := g.layers[n]
		if l.kind != normalisation || uses[l.running] > 1 {
			continue
		}
		s, err := op.BatchStats(op.Operands(n)[0])
		if err != nil {
			return nil, fmt.Errorf("student: statistics of %s: %w", g.labels[n], err)
		}
		all = append(all, Statistic{s, l})
	}
	return all, nil
}

// Channels is C.
func (s Statistic) Channels() int { return s.layer.scale.Len() }

// Settle makes values, means and then variances [2·C], the running statistics of
// a batch normalisation, and changes its scale and shift so that in Infer mode
// it computes what it did: with mean μ and deviation σ = √(variance + ε) before
// and μ', σ' after,
//
//	scale' = scale·σ'/σ      shift' = shift + scale·(μ' − μ)/σ
//
// In Train mode, where a batch's own statistics are taken in place of the running
// ones, a network whose statistics are those of its data then computes nearly
// what it does in Infer mode; with others it is another function.
func (s Statistic) Settle(values []float64) error {
	c, l := s.Channels(), s.layer
	if len(values) != 2*c {
		return fmt.Errorf("student: %d statistics for %s, which has %d channels", len(values), l.running.Name, c)
	}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("student: a statistic of %s is %v; the network's values overflow, its preprocessing may be wrong", l.running.Name, v)
		}
	}
	scale, shift, running := l.scale.float64s(), l.shift.float64s(), l.running.float64s()
	for k := range c {
		before, after := math.Sqrt(running[c+k]+l.epsilon), math.Sqrt(max(values[c+k], 0)+l.epsilon)
		shift[k] += scale[k] * (values[k] - running[k]) / before
		scale[k] *= after / before
	}
	l.scale.set(scale)
	l.shift.set(shift)
	l.running.set(values)
	return nil
}
