package pipeline

import (
	"context"
	"iter"
	"slices"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
)

// labelled is a few samples in memory.
type labelled struct {
	batches []data.Batch
	n       int
}

// takeEvenly reads up to n samples spread evenly over a split.
func takeEvenly(ctx context.Context, split *data.Split, n int) (labelled, error) {
	n = min(n, split.Len())
	taken := labelled{n: n}
	at := make([]int, n)
	for j := range at {
		at[j] = j * split.Len() / n
	}
	for b, err := range batchesOf(ctx, split, at) {
		if err != nil {
			return taken, err
		}
		taken.batches = append(taken.batches, b)
	}
	return taken, nil
}

// batchesOf reads the samples of a split at the given places, a batch at a time.
func batchesOf(ctx context.Context, split *data.Split, at []int) iter.Seq2[data.Batch, error] {
	const batch = 50
	return func(yield func(data.Batch, error) bool) {
		for places := range slices.Chunk(at, batch) {
			if ctx.Err() != nil {
				yield(data.Batch{}, ErrInterrupted)
				return
			}
			b := newBatch(split, len(places))
			size := len(b.Pixels) / b.N
			for j, i := range places {
				if err := split.Read(i, b.Pixels[j*size:(j+1)*size]); err != nil {
					yield(data.Batch{}, err)
					return
				}
				b.Labels[j], b.Samples[j] = split.Label(i), split.ID(i)
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

func newBatch(split *data.Split, n int) data.Batch {
	h, w, c := split.Shape()
	return data.Batch{
		Pixels: make([]uint8, n*h*w*c), N: n, H: h, W: w, C: c, Split: split,
		Labels: make([]int, n), Samples: make([]uint64, n),
	}
}
