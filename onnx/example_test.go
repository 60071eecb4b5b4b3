package onnx_test

import (
	"fmt"
	"log"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// A model is built node by node; names are made unique, the output takes the
// name it is given.
func ExampleBuilder() {
	b := onnx.NewBuilder("classifier", 17)
	image := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(8))
	b.Name("group1/conv")
	weight := b.Initializer("group1/conv/weight", onnx.Float32s("", []int64{4, 3, 3, 3}, make([]float32, 108)))
	x := b.Node("Conv", []string{image, weight}, onnx.AttrInts("pads", 1, 1, 1, 1))
	x = b.Node("Relu", []string{x})
	b.Output(x, "features", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range m.Graph.Nodes {
		fmt.Println(n, n.Inputs, n.Outputs)
	}
	fmt.Println(m.Graph.Outputs[0].Shape[1:], m.Parameters())
	// Output:
	// Conv "group1/conv" [image group1/conv/weight] [group1/conv]
	// Relu "group1/conv/Relu" [group1/conv] [features]
	// [4 8 8] 108
}

// A model with a batch of one that a Reshape has fixed is made to take any.
func ExampleModel_SetBatch() {
	b := onnx.NewBuilder("net", 17)
	x := b.Input("image", onnx.Float32, onnx.Fixed(1), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(8))
	to := b.Initializer("target", onnx.Int64s("", []int64{2}, []int64{1, 192}))
	b.Output(b.Node("Reshape", []string{x, to}), "features", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		log.Fatal(err)
	}
	if err := m.SetBatch("batch"); err != nil {
		log.Fatal(err)
	}
	target, _ := m.Graph.Initializer("target").Int64s()
	fmt.Println(m.Graph.Outputs[0].Shape, target)
	// Output: [batch 192] [0 192]
}
