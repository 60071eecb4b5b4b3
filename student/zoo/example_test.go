package zoo_test

import (
	"fmt"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// From a name to a file that ONNX Runtime opens.
func Example() {
	a, err := zoo.Parse("wrn-16-1")
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := student.New(a, student.Spec{Image: student.Shape{H: 32, W: 32, C: 3}, Classes: 10}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	params, macs, err := m.Cost()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %d parameters, %.1f million multiply-accumulates per image\n", m.Name(), params, float64(macs)/1e6)
	file, err := m.Export(student.ExportOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	in, out := file.Graph.Inputs[0], file.Graph.Outputs[0]
	fmt.Printf("%d nodes from %s to %s, opset %d\n", len(file.Graph.Nodes), in.Name, out.Name, file.Opset())
	// Output:
	// wrn-16-1: 175066 parameters, 26.7 million multiply-accumulates per image
	// 44 nodes from image to logits, opset 17
}
