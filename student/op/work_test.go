package op_test

import (
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// TestFLOPsOfProducts pins the work a profile shows.
func TestFLOPsOfProducts(t *testing.T) {
	do, g := must(t), gorgonia.NewGraph()
	a, b := do(op.Reshape(vector(g, "a", make([]float64, 24)...), 2, 3, 4)), do(op.Reshape(vector(g, "b", make([]float64, 40)...), 2, 4, 5))
	y := do(op.MatMul(a, b))
	d, err := op.Pullback(gorgonia.Nodes{y}, gorgonia.Nodes{y}, a)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*gorgonia.Node{y, d[0]} {
		if got := op.FLOPs(n); got != 2*2*3*4*5 {
			t.Errorf("%v: %d multiplications and additions, want %d", n.Op(), got, 2*2*3*4*5)
		}
	}
}
