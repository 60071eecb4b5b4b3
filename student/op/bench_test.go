package op_test

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
)

// BenchmarkConv2D computes a convolution and both derivatives, here and with
// Gorgonia's own Conv2d on its tape machine, at the shapes of a WRN-16-1.
func BenchmarkConv2D(b *testing.B) {
	const batch = 64
	for _, s := range []struct{ size, channels int }{{32, 16}, {16, 32}, {8, 64}} {
		// Three products of as many multiplications, each with an addition.
		flops := 3 * 2 * float64(batch*s.size*s.size*s.channels*s.channels*9)
		image := tensor.Shape{batch, s.size, s.size, s.channels}
		weights := tensor.Shape{s.channels, 3, 3, s.channels}
		build := func(b *testing.B, image, weights tensor.Shape, conv func(x, w *gorgonia.Node) (*gorgonia.Node, error)) gorgonia.Nodes {
			b.Helper()
			g := gorgonia.NewGraph()
			input := func(name string, s tensor.Shape) *gorgonia.Node {
				v := tensor.New(tensor.WithShape(s...), tensor.WithBacking(gorgonia.Gaussian32(0, 1, s...)))
				return gorgonia.NewTensor(g, tensor.Float32, s.Dims(), gorgonia.WithName(name), gorgonia.WithShape(s...), gorgonia.WithValue(v))
			}
			x, w := input("x", image), input("w", weights)
			y, err := conv(x, w)
			if err != nil {
				b.Fatal(err)
			}
			cost, err := gorgonia.Sum(y)
			if err != nil {
				b.Fatal(err)
			}
			d, err := gorgonia.Grad(cost, x, w)
			if err != nil {
				b.Fatal(err)
			}
			return append(d, cost)
		}
		report := func(b *testing.B) {
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		}
		name := fmt.Sprintf("%dx%d_%d_channels", s.size, s.size, s.channels)
		b.Run(name+"/ours", func(b *testing.B) {
			out := build(b, image, weights, func(x, w *gorgonia.Node) (*gorgonia.Node, error) {
				return op.Conv2D(x, w, op.ConvConfig{Pad: [4]int{1, 1, 1, 1}})
			})
			p, err := optest.Compile(out...)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
		b.Run(name+"/gorgonia", func(b *testing.B) {
			nchw := func(s tensor.Shape) tensor.Shape { return tensor.Shape{s[0], s[3], s[1], s[2]} }
			out := build(b, nchw(image), nchw(weights), func(x, w *gorgonia.Node) (*gorgonia.Node, error) {
				return gorgonia.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1})
			})
			m := gorgonia.NewTapeMachine(out[0].Graph())
			defer m.Close()
			for b.Loop() {
				if err := m.RunAll(); err != nil {
					b.Fatal(err)
				}
				m.Reset()
			}
			report(b)
		})
	}
}
