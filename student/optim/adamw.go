package optim

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

var _ Optimizer = (*AdamW)(nil)

// AdamWConfig is what an AdamW is made with.
type AdamWConfig struct {
	// LR is the learning rate until SetLR; zero is unset, and Step then fails.
	LR float64

	// Beta1 and Beta2 are the shares of the first and second moment kept from
	// step to step, in (0, 1). Zero is 0.9 and 0.999, PyTorch's defaults.
	Beta1, Beta2 float64

	// Epsilon is added to the root of the second moment. Zero is 1e-8.
	Epsilon float64

	// WeightDecay shrinks the parameters that ask for it by LR·WeightDecay at
	// each step. Zero is none; PyTorch's default is 0.01.
	WeightDecay float64

	// ClipNorm bounds the norm of all gradients together. Zero is off.
	ClipNorm float64
}

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019,
// arXiv 1711.05101, algorithm 2), by PyTorch's rule. At step t, for each
// parameter w with gradient g, clipped:
//
//	w = w·(1 − lr·decay)
//	m = β₁·m + (1−β₁)·g
//	v = β₂·v + (1−β₂)·g²
//	w = w − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
//
// As in PyTorch the decay is scaled by the learning rate; the paper scales it by
// the schedule's multiplier alone.
type AdamW struct {
	core
	c AdamWConfig
}

// NewAdamW makes an AdamW for params, in their order.
func NewAdamW(params []Param, c AdamWConfig) (*AdamW, error) {
	if c.Beta1 == 0 {
		c.Beta1 = 0.9
	}
	if c.Beta2 == 0 {
		c.Beta2 = 0.999
	}
	if c.Epsilon == 0 {
		c.Epsilon = 1e-8
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"beta1", c.Beta1}, {"beta2", c.Beta2}} {
		if !(f.value > 0 && f.value < 1) {
			return nil, fmt.Errorf("optim: %s is %v; want a number in (0, 1)", f.name, f.value)
		}
	}
	if !(c.Epsilon > 0) || math.IsInf(c.Epsilon, 1) {
		return nil, fmt.Errorf("optim: epsilon is %v; want a finite positive number", c.Epsilon)
	}
	shared, err := newCore(params, c.LR, c.WeightDecay, c.ClipNorm, "exp_avg", "exp_avg_sq")
	if err != nil {
		return nil, err
	}
	return &AdamW{core: shared, c: c}, nil
}

// Step implements Optimizer.
func (a *AdamW) Step(vg []gorgonia.ValueGrad) error {
	scale, err := a.gather(vg)
	if err != nil {
		return err
	}
	a.step++
	t := float64(a.step)
	var (
		b1, rest1 = float32(a.c.Beta1), float32(1 - a.c.Beta1)
		b2, rest2 = float32(a.c.Beta2), float32(1 - a.c.Beta2)
		size      = float32(a.lr / (1 - math.Pow(a.c.Beta1, t)))
		root      = float32(math.Sqrt(1 - math.Pow(a.c.Beta2, t)))
		eps       = float32(a.c.Epsilon)
	)
	for i, w := range a.weights {
		keep := float32(1 - a.lr*a.decayOf(i))
		g, m, v := a.grads[i][:len(w)], a.slots[0][i][:len(w)], a.slots[1][i][:len(w)]
		for j := range w {
			d := scale * g[j]
			m[j] = b1*m[j] + rest1*d
			v[j] = b2*v[j] + rest2*d*d
			w[j] = keep*w[j] - size*(m[j]/(float32(math.Sqrt(float64(v[j])))/root+eps))
		}
	}
	return nil
}
