package optim

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
)

var _ Optimizer = (*SGD)(nil)

// SGDConfig is what an SGD is made with.
type SGDConfig struct {
	// LR is the learning rate until SetLR; zero is unset, and Step then fails.
	LR float64

	// Momentum is the share of the velocity kept from step to step, in [0, 1).
	// Zero keeps none and no state.
	Momentum float64

	// Nesterov looks ahead along the velocity; it needs Momentum. False is
	// classical momentum.
	Nesterov bool

	// WeightDecay is added to the gradient as WeightDecay·w, for parameters
	// that ask for it. Zero is none.
	WeightDecay float64

	// ClipNorm bounds the norm of all gradients together, before weight decay.
	// Zero is off.
	ClipNorm float64
}

// SGD is stochastic gradient descent with momentum, by PyTorch's rule with
// dampening 0. For each parameter w with gradient g, clipped:
//
//	g = g + decay·w
//	v = momentum·v + g        (v starts at zero)
//	w = w − lr·v              classical
//	w = w − lr·(g + momentum·v)   Nesterov
//
// The velocity holds gradients, not steps, so a change of learning rate acts at
// once; Sutskever et al. 2013 put the rate inside v instead.
type SGD struct {
	core
	c SGDConfig
}

// NewSGD makes an SGD for params, in their order.
func NewSGD(params []Param, c SGDConfig) (*SGD, error) {
	if !(c.Momentum >= 0 && c.Momentum < 1) {
		return nil, fmt.Errorf("optim: momentum is %v; want a number in [0, 1)", c.Momentum)
	}
	if c.Nesterov && c.Momentum == 0 {
		return nil, errors.New("optim: Nesterov needs momentum; momentum is 0")
	}
	var kinds []string
	if c.Momentum > 0 {
		kinds = []string{"momentum"}
	}
	shared, err := newCore(params, c.LR, c.WeightDecay, c.ClipNorm, kinds...)
	if err != nil {
		return nil, err
	}
	return &SGD{core: shared, c: c}, nil
}

// Step implements Optimizer.
func (s *SGD) Step(vg []gorgonia.ValueGrad) error {
	scale, err := s.gather(vg)
	if err != nil {
		return err
	}
	lr, mu := float32(s.lr), float32(s.c.Momentum)
	for i, w := range s.weights {
		g, decay := s.grads[i][:len(w)], float32(s.decayOf(i))
		if mu == 0 {
			for j := range w {
				w[j] -= lr * (scale*g[j] + decay*w[j])
			}
			continue
		}
		v := s.slots[0][i][:len(w)]
		if s.c.Nesterov {
			for j := range w {
				d := scale*g[j] + decay*w[j]
				v[j] = mu*v[j] + d
				w[j] -= lr * (d + mu*v[j])
			}
			continue
		}
		for j := range w {
			v[j] = mu*v[j] + (scale*g[j] + decay*w[j])
			w[j] -= lr * v[j]
		}
	}
	s.step++
	return nil
}
