package optim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ErrNonFinite is returned when a gradient holds a NaN or an infinity. No
// parameter has been changed.
var ErrNonFinite = errors.New("gradient is not finite")

// Optimizer is a solver whose learning rate is set step by step and whose state
// can be saved. It is used by one goroutine at a time.
type Optimizer interface {
	// Step moves the parameters once. The values come in the order of the
	// parameters given at construction; those that have a Name method, as
	// *gorgonia.Node has, must carry the parameter's name. Values and gradients
	// are float32. Gradients are read, never written. After an error nothing
	// has changed.
	gorgonia.Solver

	// SetLR sets the learning rate of the steps that follow.
	SetLR(lr float64)

	// LR returns the learning rate in use, NaN before one is set.
	LR() float64

	// GradNorm returns the Euclidean norm of all gradients of the last step
	// together, before clipping; zero before the first step.
	GradNorm() float64

	// State returns a copy of what must be saved to continue later.
	State() State

	// Restore continues from a saved state. Its names must be exactly those
	// that State gives for the same parameters and settings. After an error
	// nothing has changed.
	Restore(State) error
}

// Param names one parameter and says how it is treated.
type Param struct {
	// Name identifies the parameter in errors and in saved state. Unique, not
	// empty.
	Name string

	// Decay is whether weight decay applies; false leaves the parameter out.
	Decay bool
}

// State is what an optimiser remembers between steps.
type State struct {
	// Step counts the steps taken; zero is none.
	Step int

	// Tensors are the running averages, one per kind and parameter; none
	// before the first step.
	Tensors []Tensor
}

// Tensor is one named piece of State.
type Tensor struct {
	// Name is the kind and the parameter's name, as "momentum/conv1.weight".
	Name string

	// Data is flat, in the parameter's own layout.
	Data []float32
}

// core is what the optimisers share: parameters, gradients gathered for one
// step, and slots, which are the running averages.
type core struct {
	params []Param
	kinds  []string      // name of each slot kind, "momentum"
	slots  [][][]float32 // [kind][parameter]; a nil slice before the first step
	lr     float64
	decay  float64
	clip   float64
	step   int
	norm   float64

	weights, grads [][]float32 // of the step under way, by parameter
}

func newCore(params []Param, lr, decay, clip float64, kinds ...string) (core, error) {
	c := core{params: slices.Clone(params), kinds: kinds, lr: lr, decay: decay, clip: clip}
	if len(params) == 0 {
		return c, errors.New("optim: no parameters; an optimiser is made for at least one")
	}
	seen := make(map[string]bool, len(params))
	for i, p := range params {
		if p.Name == "" {
			return c, fmt.Errorf("optim: parameter %d has no name; state is saved by name", i)
		}
		if seen[p.Name] {
			return c, fmt.Errorf("optim: two parameters are named %q; state is saved by name", p.Name)
		}
		seen[p.Name] = true
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"learning rate", lr}, {"weight decay", decay}, {"clipping norm", clip}} {
		if !(f.value >= 0) || math.IsInf(f.value, 1) {
			return c, fmt.Errorf("optim: %s is %v; want a finite number that is not negative", f.name, f.value)
		}
	}
	if lr == 0 {
		c.lr = math.NaN() // so that a forgotten SetLR is an error, not a run that learns nothing
	}
	c.slots = make([][][]float32, len(kinds))
	for k := range c.slots {
		c.slots[k] = make([][]float32, len(params))
	}
	c.weights = make([][]float32, len(params))
	c.grads = make([][]float32, len(params))
	return c, nil
}

// SetLR implements Optimizer.
func (c *core) SetLR(lr float64) { c.lr = lr }

// LR implements Optimizer.
func (c *core) LR() float64 { return c.lr }

// GradNorm implements Optimizer.
func (c *core) GradNorm() float64 { return c.norm }

// gather readies a step: it finds the memory of each parameter and gradient,
// makes the slots if this is the first step, and returns the factor by which
// clipping scales the gradients. It changes no parameter.
func (c *core) gather(vg []gorgonia.ValueGrad) (scale float32, err error) {
	if math.IsNaN(c.lr) {
		return 0, errors.New("optim: no learning rate; call SetLR before Step")
	}
	if c.lr < 0 || math.IsInf(c.lr, 1) {
		return 0, fmt.Errorf("optim: learning rate is %v; want a finite number that is not negative", c.lr)
	}
	if len(vg) != len(c.params) {
		return 0, fmt.Errorf("optim: got %d values to move, the optimiser was made for %d parameters", len(vg), len(c.params))
	}
	var sum float64
	for i := range vg {
		name := c.params[i].Name
		if n, ok := vg[i].(gorgonia.Namer); ok && n.Name() != name {
			return 0, fmt.Errorf("optim: value %d is %q, parameter %d is %q; give the values in the order of the parameters", i, n.Name(), i, name)
		}
		if c.weights[i], err = float32s(vg[i].Value()); err != nil {
			return 0, fmt.Errorf("optim: parameter %q: %w", name, err)
		}
		g, err := vg[i].Grad()
		if err != nil {
			return 0, fmt.Errorf("optim: gradient of %q: %w", name, err)
		}
		if c.grads[i], err = float32s(g); err != nil {
			return 0, fmt.Errorf("optim: gradient of %q: %w", name, err)
		}
		n := len(c.weights[i])
		if len(c.grads[i]) != n {
			return 0, fmt.Errorf("optim: parameter %q has %d elements, its gradient %d", name, n, len(c.grads[i]))
		}
		for k := range c.slots {
			if s := c.slots[k][i]; s != nil && len(s) != n {
				return 0, fmt.Errorf("optim: parameter %q has %d elements, its state %q has %d; was it saved from another student?", name, n, c.slotName(k, i), len(s))
			}
		}
		squares := sumSquares(c.grads[i])
		// A float64 holds the square of any finite float32 and sums of more of
		// them than memory can hold, so this finds exactly NaN and Inf.
		if math.IsNaN(squares) || math.IsInf(squares, 1) {
			return 0, fmt.Errorf("optim: parameter %q: %w", name, ErrNonFinite)
		}
		sum += squares
	}
	for k := range c.slots {
		for i := range c.slots[k] {
			if c.slots[k][i] == nil {
				c.slots[k][i] = make([]float32, len(c.weights[i]))
			}
		}
	}
	c.norm = math.Sqrt(sum)
	scale = 1
	if c.clip > 0 {
		// 1e-6 as in torch.nn.utils.clip_grad_norm_.
		scale = float32(min(1, c.clip/(c.norm+1e-6)))
	}
	return scale, nil
}

// decayOf returns the weight decay of parameter i.
func (c *core) decayOf(i int) float64 {
	if c.params[i].Decay {
		return c.decay
	}
	return 0
}

func (c *core) slotName(kind, param int) string {
	return c.kinds[kind] + "/" + c.params[param].Name
}

// State implements Optimizer.
func (c *core) State() State {
	s := State{Step: c.step}
	for k := range c.slots {
		for i, data := range c.slots[k] {
			if data != nil {
				s.Tensors = append(s.Tensors, Tensor{Name: c.slotName(k, i), Data: slices.Clone(data)})
			}
		}
	}
	return s
}

// Restore implements Optimizer.
func (c *core) Restore(s State) error {
	if s.Step < 0 {
		return fmt.Errorf("optim: saved state counts %d steps", s.Step)
	}
	given := make(map[string][]float32, len(s.Tensors))
	for _, t := range s.Tensors {
		if _, ok := given[t.Name]; ok {
			return fmt.Errorf("optim: saved state holds %q twice", t.Name)
		}
		given[t.Name] = t.Data
	}
	fresh := s.Step == 0 && len(s.Tensors) == 0
	slots := make([][][]float32, len(c.slots))
	for k := range slots {
		slots[k] = make([][]float32, len(c.params))
		for i := range c.params {
			name := c.slotName(k, i)
			data, ok := given[name]
			if !ok && !fresh {
				return fmt.Errorf("optim: saved state lacks %q; was it saved by another optimiser or student?", name)
			}
			delete(given, name)
			if have := c.slots[k][i]; ok && have != nil && len(have) != len(data) {
				return fmt.Errorf("optim: saved state %q has %d elements, the parameter %d", name, len(data), len(have))
			}
			if ok {
				slots[k][i] = append(make([]float32, 0, len(data)), data...)
			}
		}
	}
	for _, t := range s.Tensors {
		if _, left := given[t.Name]; left {
			return fmt.Errorf("optim: saved state holds %q, which this optimiser does not keep; was it saved by another optimiser or student?", t.Name)
		}
	}
	c.slots, c.step = slots, s.Step
	return nil
}

// float32s returns the elements of v without copying or allocating.
func float32s(v gorgonia.Value) ([]float32, error) {
	switch v := v.(type) {
	case nil:
		return nil, errors.New("no value; run the machine that computes it first, with it among the outputs")
	case *tensor.Dense:
		if v.Dtype() != tensor.Float32 {
			return nil, fmt.Errorf("elements are %v; optimisers work on float32", v.Dtype())
		}
		if v.RequiresIterator() {
			return nil, errors.New("elements are not contiguous; materialise the view first")
		}
		return v.Float32s(), nil
	case *gorgonia.F32:
		return unsafe.Slice((*float32)(v), 1), nil
	}
	return nil, fmt.Errorf("value is a %T; optimisers work on float32 tensors and scalars", v)
}

// sumSquares adds the squares in four running sums, which keep the adder busy;
// their order is fixed, so the result is the same on every run.
func sumSquares(x []float32) float64 {
	var a, b, c, d float64
	for ; len(x) >= 4; x = x[4:] {
		x0, x1, x2, x3 := float64(x[0]), float64(x[1]), float64(x[2]), float64(x[3])
		a += x0 * x0
		b += x1 * x1
		c += x2 * x2
		d += x3 * x3
	}
	for _, v := range x {
		a += float64(v) * float64(v)
	}
	return (a + b) + (c + d)
}
