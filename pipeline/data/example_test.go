package data_test

import (
	"context"
	"fmt"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
)

// Ten grey images in two classes become shuffled, mirrored batches.
func ExampleLoader() {
	images := data.Memory{Pixels: make([]uint8, 10*4*4), Labels: []int{0, 1, 0, 1, 0, 1, 0, 1, 0, 1}}
	set, err := data.FromMemory(data.MemorySet{
		Classes: []string{"cat", "dog"}, H: 4, W: 4, C: 1, Train: images,
		Options: data.Options{ValFraction: 0.2, TestFraction: 0.2},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Train.Len(), set.Val.Len(), set.Test.Len())

	loader, err := data.NewLoader(set.Train, data.LoaderConfig{
		Batch: 4, Seed: 1, Shuffle: true, Augment: data.Augment{Pad: 1, Flip: true},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for batch, err := range loader.Epoch(context.Background(), 0, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(batch.Index, batch.N, len(batch.Pixels))
		batch.Release()
	}
	// Output:
	// 6 2 2
	// 0 4 64
	// 1 2 32
}
