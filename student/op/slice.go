package op

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Slice returns a part of x. Along axis i, one of Gorgonia's, it holds sizes[i]
// elements: starts[i], starts[i]+steps[i] and so on, counted from 0. Steps may
// be negative, not 0; no steps at all mean 1 along every axis. Each axis is
// told, also those that stay whole. It returns x itself where all do.
//
// The ONNX form names only the axes that are cut, so that a batch that is not
// may be of any size.
func Slice(x *gorgonia.Node, starts, sizes, steps []int) (*gorgonia.Node, error) {
	const name = "Slice"
	if err := checked(name, x); err != nil {
		return nil, err
	}
	s := x.Shape()
	steps = slices.Clone(steps)
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(s))
	}
	if s.IsScalar() || len(starts) != len(s) || len(sizes) != len(s) || len(steps) != len(s) {
		return nil, fmt.Errorf("op: %s of shape %v wants a start, a size and a step for each of its axes, got starts %v, sizes %v and steps %v",
			name, s, starts, sizes, steps)
	}
	starts = slices.Clone(starts)
	out := slices.Clone(tensor.Shape(sizes))
	axes, stride, base := make([]kernel.ViewAxis, len(s)), strides(s), 0
	for i, n := range sizes {
		// The last element is compared by how many steps fit: a product could
		// overflow.
		fits := n > 0 && starts[i] >= 0 && starts[i] < s[i] && steps[i] != 0
		switch {
		case !fits:
		case steps[i] > 0:
			fits = n-1 <= (s[i]-1-starts[i])/steps[i]
		default:
			fits = n == 1 || steps[i] > -s[i] && n-1 <= starts[i]/-steps[i]
		}
		if !fits {
			return nil, fmt.Errorf("op: %s of shape %v: along axis %d it wants one element or more, all from 0 to %d, and a step that is not 0; got %d from %d on in steps of %d",
				name, s, i, s[i]-1, n, starts[i], steps[i])
		}
		if n == 1 {
			steps[i] = 1
		}
		base += starts[i] * stride[i]
		axes[i] = kernel.ViewAxis{Size: n, Step: stride[i] * steps[i]}
	}
	cut := cuts(s, starts, out, steps)
	if len(cut) == 0 {
		return x, nil
	}
	attrs := fmt.Sprint("from=", starts, " size=", []int(out))
	if slices.ContainsFunc(steps, func(n int) bool { return n != 1 }) {
		attrs += fmt.Sprint(" step=", steps)
	}
	return apply1(name, attrs, out, x, planView(base, axes),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return sliceBack(g, s, starts, out, steps) },
		func(f form) string { return f.slice(s, cut) })
}

// cut is what a Slice does to one axis.
type cut struct{ axis, start, size, step int }

// cuts returns what is cut, by axis: nothing where an axis stays whole.
func cuts(s tensor.Shape, starts, sizes, steps []int) []cut {
	var c []cut
	for i := range s {
		if sizes[i] != s[i] || steps[i] != 1 {
			c = append(c, cut{i, starts[i], sizes[i], steps[i]})
		}
	}
	return c
}

// slice appends the Slice of a value of shape s by cuts.
func (f form) slice(s tensor.Shape, cuts []cut) string {
	var starts, ends, axes, steps []int64
	plain := true
	for _, c := range cuts {
		start := int64(c.start)
		end := start + int64(c.size-1)*int64(c.step) // the last element
		switch {
		case c.step > 0:
			end++
		case end == 0:
			end = allOf // -1 would be the last element
		default:
			end--
		}
		if c.step == -1 && c.size == s[c.axis] {
			start = -1 // a mirrored axis may be of any size
		}
		plain = plain && c.step == 1
		starts, ends = append(starts, start), append(ends, end)
		axes, steps = append(axes, fileAxis(len(s), c.axis)), append(steps, int64(c.step))
	}
	in := []string{f.in[0], f.ints("starts", starts...), f.ints("ends", ends...), f.ints("axes", axes...)}
	if !plain {
		in = append(in, f.ints("steps", steps...))
	}
	return f.node("Slice", in)
}

// sliceBack puts the elements of g where Slice took them from in a tensor of
// shape s that is zero elsewhere: the adjoint of Slice. Axes in steps come
// first, to all their elements; the others are padded.
func sliceBack(g *gorgonia.Node, s tensor.Shape, starts, sizes, steps []int) (*gorgonia.Node, error) {
	before, after := make([]int, len(s)), make([]int, len(s))
	var err error
	for i, n := range sizes {
		switch {
		case steps[i] == 1:
			before[i], after[i] = starts[i], s[i]-n-starts[i]
			continue
		case steps[i] == -1: // mirrored, then padded
			before[i] = starts[i] - (n - 1)
			after[i] = s[i] - 1 - starts[i]
			mirror, first := slices.Repeat([]int{1}, len(s)), make([]int, len(s))
			mirror[i], first[i] = -1, n-1
			g, err = Slice(g, first, g.Shape(), mirror)
		default:
			taken := make([]int, n)
			for k := range taken {
				taken[k] = starts[i] + k*steps[i]
			}
			g, err = along("Spread", g, i, picking(taken, s[i]).Transposed())
		}
		if err != nil {
			return nil, err
		}
	}
	return Pad(g, before, after, 0)
}
