package kernel

import (
	"fmt"
	"testing"
)

// networkShapes are the convolutions of the students that the program trains
// by default: WRN-16-1 and WRN-10-0.5 on 32x32 images, batches of 64.
var networkShapes = []ConvShape{
	conv3x3(64, 32, 3, 16, 1),
	conv3x3(64, 32, 16, 16, 1),
	conv3x3(64, 32, 16, 32, 2),
	conv3x3(64, 16, 32, 32, 1),
	conv3x3(64, 16, 32, 64, 2),
	conv3x3(64, 8, 64, 64, 1),
	conv3x3(64, 32, 8, 8, 1),
	conv3x3(64, 32, 8, 16, 2),
	{N: 64, H: 32, W: 32, C: 16, K: 32, R: 1, S: 1, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, Groups: 1},
	{N: 64, H: 16, W: 16, C: 32, K: 32, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1},
	{N: 64, H: 1, W: 1, C: 64, K: 10, R: 1, S: 1, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1},
	{N: 64, H: 16, W: 16, C: 64, K: 64, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 64},
}

// conv3x3 is a padded 3x3 convolution of n square images.
func conv3x3(n, size, c, k, stride int) ConvShape {
	return ConvShape{
		N: n, H: size, W: size, C: c, K: k, R: 3, S: 3,
		Stride: [2]int{stride, stride}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 1,
	}
}

func (s ConvShape) label() string {
	return fmt.Sprintf("%dx%d_%dto%d_%dx%d_s%d_g%d", s.H, s.W, s.C, s.K, s.R, s.S, s.Stride[0], s.Groups)
}

// operands returns filled memory for image, weights and result of s.
func operands[T Float](s ConvShape) (x, w, y []T) {
	oh, ow := s.Out()
	x = make([]T, s.N*s.H*s.W*s.C)
	w = make([]T, s.K*s.R*s.S*s.C/s.Groups)
	y = make([]T, s.N*oh*ow*s.K)
	for salt, v := range [][]T{x, w, y} {
		state := uint32(salt + 1)
		for i := range v {
			state = state*1664525 + 1013904223 // Numerical Recipes' generator
			v[i] = T(state>>8)/(1<<23) - 1
		}
	}
	return x, w, y
}

func BenchmarkConv(b *testing.B) {
	for _, m := range []*micro[float32]{fastest, portable[float32]()} {
		if m == nil {
			continue
		}
		for _, s := range networkShapes {
			x, w, y := operands[float32](s)
			for _, c := range []struct {
				name      string
				plan      ConvPlan[float32]
				dst, p, q []float32
			}{
				{"forward", convForwardEpilogue(m, s, Epilogue{}).plain(), y, x, w},
				{"data", convBackwardData(m, s), x, y, w},
				{"weights", convBackwardWeights(m, s), w, x, y},
			} {
				b.Run(m.name+"/"+s.label()+"/"+c.name, func(b *testing.B) {
					dst, scratch := make([]float32, len(c.dst)), make([]float32, c.plan.Scratch)
					for b.Loop() {
						if err := c.plan.Run(dst, c.p, c.q, scratch); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(2*float64(s.MACs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
