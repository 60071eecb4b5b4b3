package data

import (
	"testing"
)

// BenchmarkOpenCIFAR10 decodes 60,000 JPEGs out of a .tar.gz.
func BenchmarkOpenCIFAR10(b *testing.B) {
	needReal(b)
	images := 0
	for b.Loop() {
		s, err := Open(realCIFAR, Options{})
		if err != nil {
			b.Fatal(err)
		}
		images += s.Train.Len() + s.Val.Len() + s.Test.Len()
	}
	b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
}

// BenchmarkLoader makes batches of 128 CIFAR-sized images, padded by 4, cropped and
// mirrored.
func BenchmarkLoader(b *testing.B) {
	m := MemorySet{Classes: []string{"a", "b"}, H: 32, W: 32, C: 3, Options: whole}
	const n = 12800
	m.Train.Pixels = make([]uint8, n*3072)
	m.Train.Labels = make([]int, n)
	m.Train.Labels[0] = 1
	s, err := FromMemory(m)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		aug  Augment
	}{{"plain", Augment{}}, {"augmented", Augment{Pad: 4, Flip: true}}} {
		b.Run(c.name, func(b *testing.B) {
			l, err := NewLoader(s.Train, LoaderConfig{Batch: 128, Shuffle: true, Augment: c.aug})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			epochs := 0
			for b.Loop() {
				for batch, err := range l.Epoch(b.Context(), epochs, 0) {
					if err != nil {
						b.Fatal(err)
					}
					batch.Release()
				}
				epochs++
			}
			b.ReportMetric(float64(epochs*n)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
