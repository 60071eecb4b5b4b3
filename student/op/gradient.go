package op

import (
	"fmt"
	"slices"
	"strings"

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
	one := seed(cost.Graph(), cost.Dtype())
	return pullback("Gradient", gorgonia.Nodes{cost}, gorgonia.Nodes{one}, wrt)
}

// Pullback returns the products of grads with the derivatives of outputs by each
// of wrt: the derivatives of
//
//	Σ_k Σ_i grads[k]ᵢ · outputs[k]ᵢ
//
// with grads held fixed. It is Gradient of several outputs of any shape, from
// gradients that are given: grads[k] has the shape of outputs[k]. Like
// Gradient it leaves no marks, and what it returns can be differentiated again,
// by grads too. Where all operators treat the samples of a batch one by one, the
// result has an ONNX form for a batch of any size, while Gradient's cost sums
// over the batch and its derivative tells how many samples there are.
//
// It is an error if no output depends on one of wrt.
func Pullback(outputs, grads gorgonia.Nodes, wrt ...*gorgonia.Node) (gorgonia.Nodes, error) {
	const name = "Pullback"
	if len(outputs) == 0 || len(grads) != len(outputs) {
		return nil, fmt.Errorf("op: %s wants a gradient for each of one or more outputs, got %d for %d", name, len(grads), len(outputs))
	}
	if err := checked(name, slices.Concat(outputs, grads, wrt)...); err != nil {
		return nil, err
	}
	for i, y := range outputs {
		if !exactly(y.Shape(), grads[i].Shape()) {
			return nil, fmt.Errorf("op: %s wants a gradient of shape %v for the output %s, got %s of shape %v",
				name, y.Shape(), y.Name(), grads[i].Name(), grads[i].Shape())
		}
	}
	return pullback(name, outputs, grads, wrt)
}

// pullback is Pullback of checked operands; name is who asks.
func pullback(name string, outputs, grads, wrt gorgonia.Nodes) (gorgonia.Nodes, error) {
	order, err := gorgonia.Sort(outputs[0].Graph()) // each node before its operands
	if err != nil {
		return nil, fmt.Errorf("op: %s: %w", name, err)
	}
	active := dependent(order, wrt)

	sum := map[*gorgonia.Node]*gorgonia.Node{}
	add := func(x, slope *gorgonia.Node) (err error) {
		if sum[x] == nil {
			sum[x] = slope
		} else if sum[x], err = Add(sum[x], slope); err != nil {
			return fmt.Errorf("op: %s: adding at %v: %w", name, x, err)
		}
		return nil
	}
	for i, y := range outputs {
		if err := add(y, grads[i]); err != nil {
			return nil, err
		}
	}
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
			return nil, fmt.Errorf("op: %s: at %v: %w", name, n, err)
		}
		for i, x := range in {
			if which[i] && active[x] && slopes[i] != nil {
				if err := add(x, slopes[i]); err != nil {
					return nil, err
				}
			}
		}
	}

	out := make(gorgonia.Nodes, len(wrt))
	for i, n := range wrt {
		if out[i] = sum[n]; out[i] == nil {
			return nil, fmt.Errorf("op: %s: %s does not depend differentiably on %s", name, names(outputs), n.Name())
		}
	}
	return out, nil
}

// names lists the names of nodes.
func names(nodes gorgonia.Nodes) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Name())
	}
	return strings.Join(all, ", ")
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
