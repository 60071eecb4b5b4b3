package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
)

// SelfTest trains a very small student for one epoch, exports it and compares
// it in ONNX Runtime with the one that was trained: everything a run needs,
// in a second or two. It returns the comparison.
func SelfTest(ctx context.Context, resources ResourcesConfig) (Parity, error) {
	dir, err := os.MkdirTemp("", "distill-doctor-*")
	if err != nil {
		return Parity{}, fmt.Errorf("pipeline: self-test: %w", err)
	}
	defer os.RemoveAll(dir)
	split := func(seed uint64, n int) data.Memory {
		drawn := digits.Set(seed, n)
		return data.Memory{Pixels: drawn.Pixels, Labels: drawn.Labels}
	}
	set, err := data.FromMemory(data.MemorySet{
		Format: "drawn digits", Classes: digits.Names(), H: digits.Size, W: digits.Size, C: digits.Channels,
		Train: split(1, 40), Val: split(2, 20), Test: split(3, 20),
	})
	if err != nil {
		return Parity{}, err
	}
	c := Default()
	c.Data.Path, c.Student.Architecture, c.Resources = "drawn", "wrn-10-0.5", resources
	c.Training.Epochs, c.Training.Batch = 1, 20
	final, err := Train(ctx, c, Folder(filepath.Join(dir, "run")), Options{Data: set})
	if err != nil {
		return Parity{}, fmt.Errorf("self-test: %w", err)
	}
	return final.Parity, nil
}
