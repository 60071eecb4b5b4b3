package teachers

import (
	"errors"
	"fmt"
	"sync"
)

var _ Teacher = (*Cached)(nil)

// Cached is a teacher that is asked about each sample and view once: what it
// says is recorded and replayed. What it gives is rounded to a Precision
// whether it was recorded or not, so that a student does not depend on what
// the cache holds.
//
// Signals may be called from many goroutines.
type Cached struct {
	spec      Spec
	open      func() (Teacher, error)
	precision Precision
	cache     *Cache

	mu   sync.Mutex
	live Teacher // nil until it is needed
}

// NewCached puts a cache, of the given teacher's signals, before it. A nil
// cache records nothing. live may be nil, and Release lets it go; open brings it
// back when an image is asked about that is not recorded.
func NewCached(live Teacher, spec Spec, open func() (Teacher, error), p Precision, cache *Cache) (*Cached, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if cache != nil && cache.precision != p {
		return nil, fmt.Errorf("teachers: signals of %s before a cache of %s", p, cache.precision)
	}
	return &Cached{spec: spec.clone(), open: open, precision: p, cache: cache, live: live}, nil
}

// Spec implements Teacher.
func (c *Cached) Spec() Spec { return c.spec.clone() }

// Release closes the live teacher until it is needed again.
func (c *Cached) Release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live == nil {
		return nil
	}
	err := c.live.Close()
	c.live = nil
	return err
}

// Close implements Teacher.
func (c *Cached) Close() error {
	err := c.Release()
	if c.cache != nil {
		err = errors.Join(err, c.cache.Close())
	}
	return err
}

// Signals implements Teacher. Images that are recorded are not looked at.
func (c *Cached) Signals(b Batch) (*Signals, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if c.cache == nil {
		s, err := c.ask(b)
		if err == nil {
			c.round(s)
		}
		return s, err
	}
	if b.Samples == nil {
		return nil, fmt.Errorf("teachers: recorded signals are found by sample identity; the batch of %d images has none", b.N)
	}
	out := c.spec.signals(b.N)
	missing := c.cache.read(b, out)
	if len(missing) == 0 {
		return out, nil
	}
	said, err := c.ask(b.pick(missing))
	if err != nil {
		return nil, err
	}
	c.round(said)
	for k := range len(out.Maps) + 1 {
		to, from := out.column(k), said.column(k)
		n := len(to) / b.N
		for j, i := range missing {
			copy(to[i*n:(i+1)*n], from[j*n:(j+1)*n])
		}
	}
	c.cache.write(b, missing, out)
	return out, nil
}

// ask asks the live teacher. It never asks about one image alone, as ONNX
// Runtime multiplies matrices of one row by another kernel, with another order
// of sums: what is said of an image must not depend on which others are
// recorded already.
func (c *Cached) ask(b Batch) (*Signals, error) {
	live, err := c.teacher()
	if err != nil {
		return nil, err
	}
	if b.N > 1 {
		return live.Signals(b)
	}
	s, err := live.Signals(b.pick([]int{0, 0}))
	if err != nil {
		return nil, err
	}
	s.Logits = s.Logits[:len(s.Logits)/2]
	for i := range s.Maps {
		s.Maps[i].Data = s.Maps[i].Data[:len(s.Maps[i].Data)/2]
	}
	return s, nil
}

// teacher returns the live teacher.
func (c *Cached) teacher() (Teacher, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live == nil {
		live, err := c.open()
		if err != nil {
			return nil, err
		}
		c.live = live
	}
	return c.live, nil
}

func (c *Cached) round(s *Signals) {
	for k := range len(s.Maps) + 1 {
		c.precision.Round(s.column(k))
	}
}

// signals returns room for what a teacher says of n images.
func (s Spec) signals(n int) *Signals {
	out := &Signals{Logits: make([]float32, n*s.Classes)}
	for _, t := range s.Taps {
		m := Map{Tap: t.Name, H: t.H, W: t.W, C: t.channels()}
		m.Data = make([]float32, n*m.H*m.W*m.C)
		out.Maps = append(out.Maps, m)
	}
	return out
}

// pick returns a batch of some of b's images, which is b itself when they are
// all of them in order.
func (b Batch) pick(listed []int) Batch {
	all := len(listed) == b.N
	for k, i := range listed {
		all = all && k == i
	}
	if all {
		return b
	}
	size := b.H * b.W * b.C
	out := b
	out.N, out.Pixels, out.Samples, out.Labels = len(listed), make([]uint8, 0, len(listed)*size), nil, nil
	for _, i := range listed {
		out.Pixels = append(out.Pixels, b.Pixels[i*size:(i+1)*size]...)
		if b.Samples != nil {
			out.Samples = append(out.Samples, b.Samples[i])
		}
		if b.Labels != nil {
			out.Labels = append(out.Labels, b.Labels[i])
		}
	}
	return out
}
