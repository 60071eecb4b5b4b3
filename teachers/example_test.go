package teachers_test

import (
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func ExampleOpen() {
	cifar, err := preprocess.Parse("cifar10")
	if err != nil {
		fmt.Println(err)
		return
	}
	teacher, err := teachers.Open("../testdata/teachers/nhwc_softmax.onnx", teachers.Options{Preprocess: cifar})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer teacher.Close()
	for _, note := range teacher.Spec().Notes {
		fmt.Println(note)
	}
	grey := teachers.Batch{Pixels: make([]uint8, 2*8*6), N: 2, H: 8, W: 6, C: 1}
	signals, err := teacher.Signals(grey)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(signals.Logits), "logits")
	for _, m := range signals.Maps {
		fmt.Printf("%s: 2 maps of %dx%d\n", m.Tap, m.H, m.W)
	}
	// Output:
	// output "probabilities" ends in a softmax; logits are taken before it
	// the file fixes a batch of 1; it was rewritten to any batch, checked by running two images together and apart
	// 10 logits
	// stage1: 2 maps of 8x6
	// stage2: 2 maps of 4x3
}

func ExampleInspect() {
	report, err := teachers.Inspect("../testdata/teachers/cnn_opset13.onnx", teachers.InspectOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Layout, report.Image, report.Parameters, "parameters,", report.MACs, "multiplications")
	for _, tap := range report.Taps {
		if tap.Suggested {
			fmt.Printf("%s [%d, %d, %d]\n", tap.Name, tap.C, tap.H, tap.W)
		}
	}
	// Output:
	// NCHW [3 8 6] 995 parameters, 25518 multiplications
	// stage1 [4, 8, 6]
	// stage2 [6, 4, 3]
}
