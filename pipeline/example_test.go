package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

// A program distils on images of its own and watches each step with a hook.
func ExampleTrain() {
	drawn := func(seed uint64, n int) data.Memory {
		set := digits.Set(seed, n)
		return data.Memory{Pixels: set.Pixels, Labels: set.Labels}
	}
	images, err := data.FromMemory(data.MemorySet{
		Classes: digits.Names(), H: digits.Size, W: digits.Size, C: digits.Channels,
		Train: drawn(1, 60), Val: drawn(2, 20), Test: drawn(3, 20),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	config := pipeline.Default()
	config.Data.Path = "drawn" // the name of images that are in memory
	config.Teacher.Path = "digits/teacher.onnx"
	config.Student.Architecture = "wrn-10-0.5"
	config.Training.Epochs, config.Training.Batch = 1, 20
	config.Training.Augment.Flip = false // a mirrored digit is no digit

	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	run := pipeline.Folder(filepath.Join(dir, "run"))
	final, err := pipeline.Train(context.Background(), config, run, pipeline.Options{
		Data: images,
		Hooks: []engine.Hooks[*pipeline.Sample]{{
			OnUpdate: func(s *engine.State[*pipeline.Sample]) error {
				fmt.Printf("step %d of epoch %d: %d terms, %d attention maps\n", s.Batch, s.Epoch+1, len(s.Output.Terms), len(s.Sample.Signals.Maps))
				return nil
			},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("parameters:", final.Parameters, "same answers in ONNX Runtime:", final.Parity.SameTop1 == final.Parity.Samples)
	// Output:
	// step 1 of epoch 1: 5 terms, 3 attention maps
	// step 2 of epoch 1: 5 terms, 3 attention maps
	// step 3 of epoch 1: 5 terms, 3 attention maps
	// parameters: 20794 same answers in ONNX Runtime: true
}
