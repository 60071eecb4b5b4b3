package vm

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/op"
)

var (
	_ op.Operator = local{}
	_ gorgonia.Op = stock{}
)

// stock is a Gorgonia operator that is none of ours, with a Do told by a test.
type stock struct {
	name string
	in   []tensor.Shape
	out  tensor.Shape
	do   func(in []gorgonia.Value) (gorgonia.Value, error)
}

func (s stock) Arity() int { return len(s.in) }
func (s stock) Type() hm.Type {
	a := hm.TypeVariable('a')
	var ts []hm.Type
	for _, shape := range append(s.in[:len(s.in):len(s.in)], s.out) {
		if shape.IsScalar() {
			ts = append(ts, a)
		} else {
			ts = append(ts, gorgonia.TensorType{Dims: shape.Dims(), Of: a})
		}
	}
	return hm.NewFnType(ts...)
}
func (s stock) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return s.out.Clone(), nil }
func (s stock) Do(in ...gorgonia.Value) (gorgonia.Value, error)       { return s.do(in) }
func (s stock) ReturnsPtr() bool                                      { return true }
func (s stock) CallsExtern() bool                                     { return false }
func (s stock) OverwritesInput() int                                  { return -1 }
func (s stock) WriteHash(h hash.Hash)                                 { fmt.Fprint(h, s.name) }
func (s stock) Hashcode() uint32                                      { h := fnv.New32a(); s.WriteHash(h); return h.Sum32() }
func (s stock) String() string                                        { return s.name }

func newStock(name string, out tensor.Shape, do func([]gorgonia.Value) (gorgonia.Value, error), in ...*gorgonia.Node) stock {
	s := stock{name: name, out: out, do: do}
	for _, n := range in {
		s.in = append(s.in, n.Shape())
	}
	return s
}

func (s stock) apply(in ...*gorgonia.Node) *gorgonia.Node { return must(gorgonia.ApplyOp(s, in...)) }

// local is an operator of the seam, with a plan told by a test.
type local struct {
	stock
	plan func(tensor.Dtype) (op.Plan, error)
}

func (l local) Plan(dt tensor.Dtype) (op.Plan, error) { return l.plan(dt) }
func (local) DiffWRT(n int) []bool                    { return make([]bool, n) }
func (local) SymDiff(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return make(gorgonia.Nodes, len(in)), nil
}
func (local) ONNX(*onnx.Builder, []string) (string, error) { return "", &op.NoFormError{} }

// newLocal applies a local operator of the given plan.
func newLocal(name string, out tensor.Shape, plan op.Plan, in ...*gorgonia.Node) *gorgonia.Node {
	l := local{newStock(name, out, nil, in...), func(tensor.Dtype) (op.Plan, error) { return plan, nil }}
	return must(gorgonia.ApplyOp(l, in...))
}
