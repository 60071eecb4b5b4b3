package optim_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/optim"
)

// moved is a parameter and its gradient.
type moved struct{ value, gradient *tensor.Dense }

func (m moved) Value() gorgonia.Value         { return m.value }
func (m moved) Grad() (gorgonia.Value, error) { return m.gradient, nil }

// BenchmarkStep moves as many parameters as a WRN-16-1 has, in pieces of the
// size of its largest.
func BenchmarkStep(b *testing.B) {
	const pieces, size = 5, 64 * 3 * 3 * 64
	params := make([]optim.Param, pieces)
	values := make([]gorgonia.ValueGrad, pieces)
	for i := range params {
		params[i] = optim.Param{Name: string(rune('a' + i)), Decay: true}
		w, g := make([]float32, size), make([]float32, size)
		for j := range w {
			w[j], g[j] = float32(j%17)/8-1, float32(j%13)/8-0.75
		}
		values[i] = moved{
			tensor.New(tensor.WithShape(size), tensor.WithBacking(w)),
			tensor.New(tensor.WithShape(size), tensor.WithBacking(g)),
		}
	}
	for _, c := range []struct {
		name string
		make func() (optim.Optimizer, error)
	}{
		{"sgd", func() (optim.Optimizer, error) {
			return optim.NewSGD(params, optim.SGDConfig{LR: 1e-9, Momentum: 0.9, WeightDecay: 5e-4})
		}},
		{"nesterov", func() (optim.Optimizer, error) {
			return optim.NewSGD(params, optim.SGDConfig{LR: 1e-9, Momentum: 0.9, Nesterov: true, WeightDecay: 5e-4, ClipNorm: 1})
		}},
		{"adamw", func() (optim.Optimizer, error) {
			return optim.NewAdamW(params, optim.AdamWConfig{LR: 1e-9, WeightDecay: 0.01})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			o, err := c.make()
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(4 * pieces * size)
			for b.Loop() {
				if err := o.Step(values); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
