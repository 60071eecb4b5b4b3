package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gradient returns the derivatives of the scalar cost by each of wrt, which may
// be inputs or values in between, as nodes of the same graph. They can be
// differentiated again, by Gradient or by gorgonia.Grad.
//
// gorgonia.Grad marks the nodes it has been through and a second call drops
// every path that runs through a marked node, without an error. Gradient leaves
// no marks: use it for the gradients inside a loss, any number of times, and
// gorgonia.Grad once for the loss itself. Only the derivatives that lead to wrt
// are kept alive; what an operator's derivative builds besides hangs loose.
//
// It is an error if cost is no scalar or does not depend on one of wrt.
func Gradient(cost *gorgonia.Node, wrt ...*gorgonia.Node) (gorgonia.Nodes, error) {
	if err := checked("Gradient", append([]*gorgonia.Node{cost}, wrt...)...); err != nil {
		return nil, err
	}
	if !cost.Shape().IsScalar() {
		return nil, fmt.Errorf("op: Gradient wants a scalar cost, got %s of shape %v", cost.Name(), cost.Shape())
	}
	g := cost.Graph()
	order, err := gorgonia.Sort(g) // the cost before its operands
	if err != nil {
		return nil, fmt.Errorf("op: Gradient: %w", err)
	}
	active := dependent(order, wrt)

	sum := map[*gorgonia.Node]*gorgonia.Node{cost: seed(g, cost.Dtype())}
	for _, n := range order {
		grad := sum[n]
		if grad == nil || !active[n] {
			continue
		}
		d, ok := n.Op().(gorgonia.SDOp)
		if !ok {
			continue // an input, or one of wrt
		}
		in := Operands(n)
		which := d.DiffWRT(len(in))
		if !leads(which, in, active) {
			continue
		}
		slopes, err := d.SymDiff(in, n, grad)
		if err != nil {
			return nil, fmt.Errorf("op: Gradient: at %v: %w", n, err)
		}
		for i, x := range in {
			switch {
			case !which[i] || !active[x] || slopes[i] == nil:
			case sum[x] == nil:
				sum[x] = slopes[i]
			default:
				if sum[x], err = Add(sum[x], slopes[i]); err != nil {
					return nil, fmt.Errorf("op: Gradient: adding at %v: %w", x, err)
				}
			}
		}
	}

	out := make(gorgonia.Nodes, len(wrt))
	for i, n := range wrt {
		if out[i] = sum[n]; out[i] == nil {
			return nil, fmt.Errorf("op: Gradient: %s does not depend differentiably on %s", cost.Name(), n.Name())
		}
	}
	return out, nil
}

// Operands returns the operands of n in order, repeated ones included. An input
// or constant has none.
func Operands(n *gorgonia.Node) gorgonia.Nodes {
	it := n.Graph().From(n.ID())
	in := make(gorgonia.Nodes, 0, it.Len())
	for it.Next() {
		in = append(in, it.Node().(*gorgonia.Node))
	}
	return in
}

// dependent returns the nodes of order, consumers first, that depend
// differentiably on one of wrt; each of wrt is one.
func dependent(order, wrt gorgonia.Nodes) map[*gorgonia.Node]bool {
	active := map[*gorgonia.Node]bool{}
	for _, n := range wrt {
		active[n] = true
	}
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		if d, ok := n.Op().(gorgonia.SDOp); ok {
			in := Operands(n)
			if leads(d.DiffWRT(len(in)), in, active) {
				active[n] = true
			}
		}
	}
	return active
}

// leads reports whether an operator has a derivative by an operand in active.
func leads(which []bool, in gorgonia.Nodes, active map[*gorgonia.Node]bool) bool {
	for i, x := range in {
		if i < len(which) && which[i] && active[x] {
			return true
		}
	}
	return false
}

// seed returns the constant 1 of type dt, the derivative of a cost by itself.
// Gorgonia takes constants of one name for one node, so the name tells the type.
func seed(g *gorgonia.ExprGraph, dt tensor.Dtype) *gorgonia.Node {
	if dt == tensor.Float32 {
		return g.AddNode(gorgonia.NewConstant(float32(1), gorgonia.WithName("op.one.float32")))
	}
	return g.AddNode(gorgonia.NewConstant(float64(1), gorgonia.WithName("op.one.float64")))
}
