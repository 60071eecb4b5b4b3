package zoo_test

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// fusing is how far a value may lie from what comes out without fusion, in parts
// of the largest value: nothing, but that oneDNN sums a convolution that begins
// with a summand in another order.
const fusing = 1e-5

// TestNetworksComeOutFusedAsUnfused runs networks in both modes, with all
// gradients and running statistics in training.
func TestNetworksComeOutFusedAsUnfused(t *testing.T) {
	for _, name := range []string{"wrn-10-1", "wrn-10-0.5", "wrn-16-0.3125", "resnet-8", "mobilenetv2-0.25"} {
		for _, mode := range []student.Mode{student.Train, student.Infer} {
			t.Run(fmt.Sprintf("%s %v", name, mode), func(t *testing.T) {
				m := newModel(t, name, student.Shape{H: 9, W: 8, C: 3}, 4)
				g := newGraph(t, m, 5, mode)
				letImage(t, g, noise("image", 5*9*8*3))
				outputs := gorgonia.Nodes{g.Logits}
				for _, tap := range g.Taps {
					outputs = append(outputs, tap.Node)
				}
				if mode == student.Train {
					gradients, err := gorgonia.Grad(crossEntropy(t, g.Logits), g.Params...)
					if err != nil {
						t.Fatal(err)
					}
					outputs = append(outputs, gradients...)
					for _, u := range g.Updates {
						outputs = append(outputs, u.Node)
					}
				}
				values := func(opts ...vm.Option) (all [][]float64, memory vm.Memory) {
					machine, err := vm.New(g.Expr, outputs, opts...)
					if err != nil {
						t.Fatal(err)
					}
					defer machine.Close()
					if err := machine.RunAll(); err != nil {
						t.Fatal(err)
					}
					for _, n := range outputs {
						all = append(all, float64s(t, n.Value()))
					}
					g.Expr.UnbindAllNonInputs()
					return all, machine.Memory()
				}
				want, _ := values(vm.WithoutFusion())
				got, memory := values()
				if memory.Fused < 5 {
					t.Errorf("hardly anything is fused: %v", memory)
				}
				for i, n := range outputs {
					largest := 0.0
					for _, v := range want[i] {
						largest = max(largest, math.Abs(v))
					}
					for j, v := range got[i] {
						if d := math.Abs(v - want[i][j]); !(d <= fusing*largest) {
							t.Fatalf("output %v: element %d is %v, unfused %v", n, j, v, want[i][j])
						}
					}
				}
			})
		}
	}
}

// float64s copies the elements of v, of float32.
func float64s(t *testing.T, v gorgonia.Value) []float64 {
	t.Helper()
	x := v.Data().([]float32)
	all := make([]float64, len(x))
	for i, e := range x {
		all[i] = float64(e)
	}
	return all
}
