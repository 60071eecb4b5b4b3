package vm_test

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/optim"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// A line y = 2x is learned from two points: the machine computes the loss and
// the gradient, the optimiser writes the parameter that the next run reads.
func Example() {
	g := gorgonia.NewGraph()
	matrix := func(name string, rows, cols int, data ...float32) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(rows, cols),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))))
	}
	x := matrix("x", 2, 1, 1, 3)
	y := matrix("y", 2, 1, 2, 6)
	w := matrix("w", 1, 1, 0)

	guess, _ := op.Dense(x, w)
	miss, _ := op.Sub(guess, y)
	square, _ := op.Square(miss)
	loss, _ := op.Mean(square)
	grads, err := gorgonia.Grad(loss, w)
	if err != nil {
		panic(err)
	}

	machine, err := vm.New(g, append(grads, loss))
	if err != nil {
		panic(err)
	}
	defer machine.Close()
	sgd, err := optim.NewSGD([]optim.Param{{Name: "w", Decay: true}}, optim.SGDConfig{LR: 0.05, Momentum: 0.5})
	if err != nil {
		panic(err)
	}
	moved := gorgonia.NodesToValueGrads(gorgonia.Nodes{w})
	for step := range 31 {
		if err := machine.RunAll(); err != nil {
			panic(err)
		}
		if step%10 == 0 {
			fmt.Printf("step %2d: loss %.4f, w %.4f\n", step, loss.Value().Data(), w.Value().Data().([]float32)[0])
		}
		if err := sgd.Step(moved); err != nil {
			panic(err)
		}
	}
	// Output:
	// step  0: loss 20.0000, w 0.0000
	// step 10: loss 0.0000, w 2.0000
	// step 20: loss 0.0000, w 2.0020
	// step 30: loss 0.0000, w 2.0000
}
