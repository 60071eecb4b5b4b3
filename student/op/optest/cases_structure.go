package optest

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// structureCases are the cases of the operators that move elements, repeat
// them and add them up: each as it is, and its adjoint.
func structureCases() []Case {
	cases := slices.Concat(transposeCases(), broadcastCases(), concatCases(), sliceCases(), padCases(), takeCases(), resizeCases(), depthCases())
	for _, c := range cases {
		cases = append(cases, adjointOf(c))
	}
	return cases
}

// adjointOf is the adjoint of c, applied to c's value: c is linear in its last
// operand, or linear but for a constant.
func adjointOf(c Case) Case {
	linear, last := c, len(c.Inputs)-1
	c.Name = "Adjoint of " + c.Name
	c.Build = func(in gorgonia.Nodes) (node, error) {
		y, err := linear.Build(in)
		if err != nil {
			return nil, err
		}
		g, err := op.Pullback(gorgonia.Nodes{y}, gorgonia.Nodes{y}, in[last])
		if err != nil {
			return nil, err
		}
		return g[0], nil
	}
	c.Reference = func(in [][]float64) []float64 {
		y := linear.Reference(in)
		at := slices.Clone(in)
		d := make([]float64, len(in[last]))
		at[last] = d
		zero := linear.Reference(at)
		d = make([]float64, len(d))
		for i := range d {
			// The value along the unit vector i is a column of the matrix.
			unit := make([]float64, len(d))
			unit[i] = 1
			at[last] = unit
			for k, v := range linear.Reference(at) {
				if v != zero[k] {
					d[i] += (v - zero[k]) * y[k]
				}
			}
		}
		return d
	}
	return c
}

// samples are operands of the given shapes, whose first axis is a batch where
// batch is true.
func samples(batch bool, s ...tensor.Shape) []Input {
	in := inputs(s...)
	for i := range in {
		in[i].Samples = batch
	}
	return in
}

// places calls f for each place of a tensor of shape s, in row-major order.
func places(s tensor.Shape, f func(at []int)) {
	at := make([]int, len(s))
	for range s.TotalSize() {
		f(at)
		for k := len(s) - 1; k >= 0; k-- {
			if at[k]++; at[k] < s[k] {
				break
			}
			at[k] = 0
		}
	}
}

// element returns where the place at of a tensor of shape s is in memory.
func element(s tensor.Shape, at []int) int {
	i := 0
	for k, n := range s {
		if at[k] < 0 || at[k] >= n {
			panic(fmt.Sprintf("optest: place %v of shape %v", at, s))
		}
		i = i*n + at[k]
	}
	return i
}

// moved is the reference of a rearrangement of a tensor of shape s to one of
// shape out: from returns the place an element comes from.
func moved(s, out tensor.Shape, from func(at []int) []int) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		var y []float64
		places(out, func(at []int) { y = append(y, in[0][element(s, from(at))]) })
		return y
	}
}

func transposeCases() []Case {
	transpose := func(name string, s tensor.Shape, perm ...int) Case {
		out := make(tensor.Shape, len(s))
		for i, a := range perm {
			out[i] = s[a]
		}
		return Case{
			Name: "Transpose " + name, Inputs: samples(perm[0] == 0, s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.Transpose(in[0], perm...) },
			Reference: moved(s, out, func(at []int) []int {
				from := make([]int, len(s))
				for i, a := range perm {
					from[a] = at[i]
				}
				return from
			}),
		}
	}
	return []Case{
		transpose("of a matrix", tensor.Shape{3, 4}, 1, 0),
		transpose("of a row", tensor.Shape{1, 4}, 1, 0),
		transpose("of three axes in a circle", tensor.Shape{2, 3, 4}, 2, 0, 1),
		transpose("of three axes with the last in place", tensor.Shape{2, 3, 4}, 1, 0, 2),
		transpose("of an activation to channels first", any4, 0, 3, 1, 2),
		transpose("of an activation to channels last", any4, 0, 2, 3, 1),
		transpose("of an activation, height and width", any4, 0, 2, 1, 3),
		transpose("of an activation, batch and channels", any4, 3, 1, 2, 0),
		transpose("of five axes back to front", tensor.Shape{2, 3, 1, 2, 4}, 4, 3, 2, 1, 0),
		transpose("of five axes, two pairs", tensor.Shape{2, 3, 2, 2, 3}, 0, 2, 1, 4, 3),
	}
}

func broadcastCases() []Case {
	shape := func(d ...int) tensor.Shape { return d }
	broadcast := func(name string, s, out tensor.Shape) Case {
		return Case{
			Name: "BroadcastTo " + name, Inputs: samples(s[0] == out[0], s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.BroadcastTo(in[0], out...) },
			Reference: moved(s, out, func(at []int) []int {
				from := slices.Clone(at)
				for i, n := range s {
					from[i] %= n
				}
				return from
			}),
		}
	}
	sum := func(name string, s, out tensor.Shape) Case {
		return Case{
			Name: "SumTo " + name, Inputs: samples(s[0] == out[0], s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.SumTo(in[0], out...) },
			Reference: func(in [][]float64) []float64 {
				y := make([]float64, out.TotalSize())
				places(s, func(at []int) {
					to := slices.Clone(at)
					for i, n := range out {
						to[i] %= n
					}
					y[element(out, to)] += in[0][element(s, at)]
				})
				return y
			},
		}
	}
	pairs := []struct {
		name       string
		small, big tensor.Shape
	}{
		{"a vector", shape(1), shape(5)},
		{"a matrix, the rows", shape(1, 4), shape(3, 4)},
		{"a matrix, the columns", shape(3, 1), shape(3, 4)},
		{"three axes, the middle one", shape(2, 1, 3), shape(2, 4, 3)},
		{"an activation, the pixels", shape(2, 1, 1, 5), any4},
		{"an activation, the channels", shape(2, 3, 4, 1), any4},
		{"an activation, all but the channels", shape(1, 1, 1, 5), any4},
		{"an activation, batch and width", shape(1, 3, 1, 5), any4},
		{"an activation, all", shape(1, 1, 1, 1), any4},
		{"five axes, every other", shape(1, 3, 1, 2, 1), shape(2, 3, 2, 2, 2)},
	}
	var cases []Case
	for _, p := range pairs {
		cases = append(cases, broadcast("to "+p.name, p.small, p.big), sum("of "+p.name, p.big, p.small))
	}
	return cases
}

func concatCases() []Case {
	concat := func(name string, axis int, s ...tensor.Shape) Case {
		out := s[0].Clone()
		for _, s := range s[1:] {
			out[axis] += s[axis]
		}
		return Case{
			Name: "Concat " + name, Inputs: samples(axis > 0, s...),
			Build: func(in gorgonia.Nodes) (node, error) { return op.Concat(axis, in...) },
			Reference: func(in [][]float64) []float64 {
				var y []float64
				places(out, func(at []int) {
					from, k := slices.Clone(at), 0
					for ; from[axis] >= s[k][axis]; k++ {
						from[axis] -= s[k][axis]
					}
					y = append(y, in[k][element(s[k], from)])
				})
				return y
			},
		}
	}
	shape := func(d ...int) tensor.Shape { return d }
	twice := Case{
		Name: "Concat of a map with itself", Inputs: samples(true, shape(2, 2, 3, 2)),
		Build:     func(in gorgonia.Nodes) (node, error) { return op.Concat(3, in[0], in[0]) },
		Reference: moved(shape(2, 2, 3, 2), shape(2, 2, 3, 4), func(at []int) []int { return []int{at[0], at[1], at[2], at[3] % 2} }),
	}
	return []Case{
		concat("of vectors", 0, shape(3), shape(1), shape(2)),
		concat("of matrices, the rows", 0, shape(2, 3), shape(1, 3)),
		concat("of matrices, the columns", 1, shape(2, 3), shape(2, 1)),
		concat("of three axes, the middle one", 1, shape(2, 1, 3), shape(2, 2, 3)),
		concat("of activations, the channels", 3, shape(2, 2, 3, 2), shape(2, 2, 3, 3), shape(2, 2, 3, 1)),
		concat("of activations, the rows", 1, shape(2, 2, 3, 2), shape(2, 1, 3, 2)),
		concat("of activations, the batches", 0, shape(1, 2, 3, 2), shape(2, 2, 3, 2)),
		concat("of five axes, the last but one", 3, shape(2, 1, 2, 2, 3), shape(2, 1, 2, 1, 3)),
		twice,
	}
}

func sliceCases() []Case {
	cut := func(name string, s tensor.Shape, starts, sizes, steps []int) Case {
		return Case{
			Name: "Slice " + name, Inputs: samples(sizes[0] == s[0] && starts[0] == 0, s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.Slice(in[0], starts, sizes, steps) },
			Reference: moved(s, sizes, func(at []int) []int {
				from := slices.Clone(starts)
				for i, k := range at {
					step := 1
					if steps != nil {
						step = steps[i]
					}
					from[i] += k * step
				}
				return from
			}),
		}
	}
	return []Case{
		cut("of a vector", tensor.Shape{6}, []int{2}, []int{3}, nil),
		cut("of a vector in steps", tensor.Shape{7}, []int{1}, []int{3}, []int{2}),
		cut("of a vector backwards", tensor.Shape{5}, []int{4}, []int{5}, []int{-1}),
		cut("of a vector backwards from the middle to the first", tensor.Shape{5}, []int{3}, []int{4}, []int{-1}),
		cut("of a vector backwards short of the first", tensor.Shape{6}, []int{4}, []int{3}, []int{-1}),
		cut("of a vector backwards in steps to the first", tensor.Shape{5}, []int{4}, []int{3}, []int{-2}),
		cut("of a vector backwards in steps short of the first", tensor.Shape{6}, []int{5}, []int{2}, []int{-3}),
		cut("of one element, whatever the step", tensor.Shape{5}, []int{3}, []int{1}, []int{-40}),
		cut("of a matrix in both axes", tensor.Shape{4, 5}, []int{1, 0}, []int{2, 3}, []int{1, 2}),
		cut("of a matrix to one row", tensor.Shape{4, 5}, []int{3, 0}, []int{1, 5}, nil),
		cut("of three axes, the middle one backwards", tensor.Shape{2, 4, 3}, []int{0, 3, 0}, []int{2, 4, 3}, []int{1, -1, 1}),
		cut("of an activation, a block of channels", any4, []int{0, 0, 0, 1}, []int{2, 3, 4, 3}, nil),
		cut("of an activation, every other channel", any4, []int{0, 0, 0, 0}, []int{2, 3, 4, 3}, []int{1, 1, 1, 2}),
		cut("of an activation, a window", any4, []int{0, 1, 1, 0}, []int{2, 2, 2, 5}, nil),
		cut("of an activation, every other pixel", any4, []int{0, 1, 0, 0}, []int{2, 1, 2, 5}, []int{1, 2, 2, 1}),
		cut("of an activation, mirrored", any4, []int{0, 2, 3, 0}, []int{2, 3, 4, 5}, []int{1, -1, -1, 1}),
		cut("of an activation, one of the batch", any4, []int{1, 0, 0, 0}, []int{1, 3, 4, 5}, nil),
		cut("of an activation in all axes", any4, []int{1, 2, 3, 3}, []int{2, 2, 2, 2}, []int{-1, -2, -2, -1}),
		cut("of an activation of one channel in steps", tensor.Shape{2, 3, 5, 1}, []int{0, 0, 0, 0}, []int{2, 3, 3, 1}, []int{1, 1, 2, 1}),
		cut("of five axes", tensor.Shape{2, 3, 1, 4, 3}, []int{0, 2, 0, 1, 0}, []int{2, 2, 1, 2, 2}, []int{1, -2, 1, 2, 2}),
	}
}

func padCases() []Case {
	pad := func(name string, s tensor.Shape, before, after []int, value float64) Case {
		out := s.Clone()
		for i := range s {
			out[i] += before[i] + after[i]
		}
		return Case{
			Name: "Pad " + name, Inputs: samples(before[0] == 0 && after[0] == 0, s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.Pad(in[0], before, after, value) },
			Reference: func(in [][]float64) []float64 {
				var y []float64
				places(out, func(at []int) {
					from, inside := slices.Clone(at), true
					for i := range from {
						from[i] -= before[i]
						inside = inside && from[i] >= 0 && from[i] < s[i]
					}
					if !inside {
						y = append(y, value)
						return
					}
					y = append(y, in[0][element(s, from)])
				})
				return y
			},
		}
	}
	infinite := pad("of an activation with minus infinity", tensor.Shape{1, 2, 2, 2}, []int{0, 1, 0, 0}, []int{0, 0, 1, 0}, math.Inf(-1))
	infinite.NoGradient = "a sum over infinities is none"
	return []Case{
		pad("of a vector", tensor.Shape{3}, []int{2}, []int{1}, 0),
		pad("of a matrix with a value", tensor.Shape{2, 3}, []int{1, 0}, []int{0, 2}, -1.5),
		pad("of three axes", tensor.Shape{2, 2, 3}, []int{0, 1, 2}, []int{1, 0, 1}, 0.5),
		pad("of an activation, the pixels", any4, []int{0, 1, 2, 0}, []int{0, 0, 1, 0}, 0),
		pad("of an activation, the channels", any4, []int{0, 0, 0, 1}, []int{0, 0, 0, 2}, 0),
		pad("of an activation, the batch", tensor.Shape{1, 2, 3, 2}, []int{1, 0, 0, 0}, []int{1, 0, 0, 0}, 0),
		pad("of an activation in all axes", tensor.Shape{1, 2, 3, 2}, []int{1, 2, 0, 1}, []int{0, 1, 2, 1}, 3),
		pad("of an activation that cuts too", any4, []int{0, -1, 2, 0}, []int{0, 1, -1, -2}, 0),
		pad("of five axes", tensor.Shape{1, 2, 2, 1, 2}, []int{0, 1, 0, 2, 0}, []int{1, 0, 0, 0, 1}, 1),
	}
}

func takeCases() []Case {
	take := func(name string, s tensor.Shape, axis int, index ...int) Case {
		out := s.Clone()
		out[axis] = len(index)
		return Case{
			Name: "Take " + name, Inputs: samples(axis > 0, s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.Take(in[0], axis, index) },
			Reference: moved(s, out, func(at []int) []int {
				from := slices.Clone(at)
				from[axis] = index[at[axis]]
				return from
			}),
		}
	}
	interpolate := func(name string, s tensor.Shape, axis int, taps ...[]op.Tap) Case {
		out := s.Clone()
		out[axis] = len(taps)
		return Case{
			Name: "Interpolate " + name, Inputs: samples(axis > 0, s),
			Build: func(in gorgonia.Nodes) (node, error) {
				return op.Interpolate(in[0], axis, len(taps), func(i int) []op.Tap { return taps[i] })
			},
			Reference: func(in [][]float64) []float64 {
				var y []float64
				places(out, func(at []int) {
					from, sum := slices.Clone(at), 0.0
					for _, t := range taps[at[axis]] {
						from[axis] = t.Index
						sum += t.Weight * in[0][element(s, from)]
					}
					y = append(y, sum)
				})
				return y
			},
		}
	}
	tap := func(i int, w float64) op.Tap { return op.Tap{Index: i, Weight: w} }
	blend := [][]op.Tap{{tap(0, 0.25), tap(1, 0.75)}, {tap(2, 1)}, nil, {tap(2, -0.5), tap(0, 1.5), tap(1, 0.125)}, {tap(1, 0.5), tap(1, 0.25)}}
	return []Case{
		take("of a vector with repetition", tensor.Shape{4}, 0, 3, 1, 1, 0, 3),
		take("of some of a vector", tensor.Shape{5}, 0, 4, 1),
		take("of a matrix's rows", tensor.Shape{3, 4}, 0, 2, 0, 2),
		take("of one column", tensor.Shape{3, 4}, 1, 2),
		take("of three axes, the first with repetition", tensor.Shape{3, 2, 2}, 0, 1, 1, 0, 1),
		take("of three axes, the middle one", tensor.Shape{2, 4, 3}, 1, 3, 0, 2),
		take("that shuffles channels", tensor.Shape{2, 2, 3, 6}, 3, 0, 3, 1, 4, 2, 5),
		take("of channels with repetition", tensor.Shape{2, 2, 3, 3}, 3, 2, 2, 0, 1),
		take("of reflected rows", tensor.Shape{2, 3, 2, 2}, 1, 2, 1, 0, 1, 2, 1, 0),
		take("of columns with their borders repeated", tensor.Shape{2, 2, 3, 2}, 2, 0, 0, 0, 1, 2, 2),
		take("of a batch", any4, 0, 1, 0, 1),
		take("of five axes, the third with repetition", tensor.Shape{2, 1, 3, 2, 2}, 2, 0, 2, 2, 1),
		interpolate("of a vector", tensor.Shape{3}, 0, blend...),
		interpolate("of rows", tensor.Shape{3, 2}, 0, blend...),
		interpolate("of columns", tensor.Shape{2, 3}, 1, blend...),
		interpolate("of the width of an activation", tensor.Shape{2, 2, 3, 3}, 2, blend...),
		interpolate("of the channels of an activation", tensor.Shape{2, 2, 3, 3}, 3, blend...),
		interpolate("of three axes, the first", tensor.Shape{3, 2, 2}, 0, blend...),
	}
}

func resizeCases() []Case {
	resize := func(name string, s tensor.Shape, cfg op.ResizeConfig) Case {
		return Case{
			Name: "Resize " + name, Inputs: samples(true, s),
			Build:     func(in gorgonia.Nodes) (node, error) { return op.Resize(in[0], cfg) },
			Reference: func(in [][]float64) []float64 { return resized(in[0], s, cfg) },
		}
	}
	var cases []Case
	small, large := tensor.Shape{2, 3, 4, 2}, tensor.Shape{1, 10, 6, 2}
	for _, at := range []op.ResizeCoordinates{op.ResizeHalfPixel, op.ResizePytorchHalfPixel, op.ResizeAlignCorners, op.ResizeAsymmetric} {
		for _, round := range []op.ResizeRounding{op.ResizeRoundPreferFloor, op.ResizeRoundPreferCeil, op.ResizeFloor, op.ResizeCeil} {
			cases = append(cases,
				resize(fmt.Sprintf("nearest up, %s, %s", at, round), small,
					op.ResizeConfig{Height: 7, Width: 10, Mode: op.ResizeNearest, Coordinates: at, Rounding: round}),
				resize(fmt.Sprintf("nearest down, %s, %s", at, round), large,
					op.ResizeConfig{Height: 5, Width: 4, Mode: op.ResizeNearest, Coordinates: at, Rounding: round}))
		}
		cases = append(cases,
			resize(fmt.Sprintf("linear up, %s", at), small, op.ResizeConfig{Height: 5, Width: 9, Mode: op.ResizeLinear, Coordinates: at}),
			resize(fmt.Sprintf("linear down, %s", at), large, op.ResizeConfig{Height: 4, Width: 5, Mode: op.ResizeLinear, Coordinates: at}),
			resize(fmt.Sprintf("linear to one pixel, %s", at), small, op.ResizeConfig{Height: 1, Width: 1, Mode: op.ResizeLinear, Coordinates: at}))
	}
	return append(cases,
		resize("by default", small, op.ResizeConfig{Height: 6, Width: 8}),
		resize("as Upsample by 2", small, op.ResizeConfig{Height: 6, Width: 8, ScaleH: 2, ScaleW: 2,
			Coordinates: op.ResizeAsymmetric, Rounding: op.ResizeFloor}),
		resize("of one axis", small, op.ResizeConfig{Height: 3, Width: 7, Mode: op.ResizeLinear}),
		resize("of the other axis", small, op.ResizeConfig{Height: 7, Width: 4, Mode: op.ResizeLinear}),
		resize("linear by scales that leave a fraction", small, op.ResizeConfig{Height: 5, Width: 7, ScaleH: 1.9, ScaleW: 1.8,
			Mode: op.ResizeLinear}),
		resize("nearest by scales that leave a fraction", large, op.ResizeConfig{Height: 5, Width: 3, ScaleH: 0.55, ScaleW: 0.6}),
		resize("with ties that float32 decides", tensor.Shape{1, 12, 12, 1}, op.ResizeConfig{Height: 10, Width: 10}),
		resize("nearest to sizes that no float32 scale gives", tensor.Shape{2, 7, 2, 1}, op.ResizeConfig{Height: 31, Width: 3}),
		resize("linear to sizes that no float32 scale gives", tensor.Shape{2, 1, 7, 1}, op.ResizeConfig{Height: 2, Width: 31,
			Mode: op.ResizeLinear}))
}

// resized is Resize by the rules of ONNX's text, pixel for pixel.
func resized(x []float64, s tensor.Shape, cfg op.ResizeConfig) []float64 {
	at := func(i, in, out int, scale float64) float64 {
		k := float32(scale)
		if scale == 0 {
			k = float32(out) / float32(in)
		}
		var p float32
		switch cfg.Coordinates {
		case op.ResizeAsymmetric:
			p = float32(i) / k
		case op.ResizeAlignCorners:
			if out > 1 {
				p = float32(i*(in-1)) / float32(out-1)
			}
		default:
			if out > 1 || cfg.Coordinates != op.ResizePytorchHalfPixel {
				p = (float32(i) + 0.5) / k
				p -= 0.5
			}
		}
		return float64(p)
	}
	inside := func(p float64, n int) int { return max(0, min(int(p), n-1)) }
	round := func(p float64) float64 {
		low := math.Floor(p)
		switch half := p - low; cfg.Rounding {
		case op.ResizeFloor:
			return low
		case op.ResizeCeil:
			return math.Ceil(p)
		case op.ResizeRoundPreferCeil:
			if half >= 0.5 {
				return low + 1
			}
			return low
		default:
			if half > 0.5 {
				return low + 1
			}
			return low
		}
	}
	var y []float64
	places(tensor.Shape{s[0], cfg.Height, cfg.Width, s[3]}, func(to []int) {
		p, q := at(to[1], s[1], cfg.Height, cfg.ScaleH), at(to[2], s[2], cfg.Width, cfg.ScaleW)
		pixel := func(i, j int) float64 { return x[element(s, []int{to[0], i, j, to[3]})] }
		if cfg.Mode != op.ResizeLinear {
			y = append(y, pixel(inside(round(p), s[1]), inside(round(q), s[2])))
			return
		}
		p, q = max(0, min(p, float64(s[1]-1))), max(0, min(q, float64(s[2]-1)))
		i, j := int(p), int(q)
		down, right := min(i+1, s[1]-1), min(j+1, s[2]-1)
		u, v := p-float64(i), q-float64(j)
		y = append(y, (1-u)*((1-v)*pixel(i, j)+v*pixel(i, right))+u*((1-v)*pixel(down, j)+v*pixel(down, right)))
	})
	return y
}

func depthCases() []Case {
	// channel is which channel of a block's pixels holds channel c of pixel
	// (i, j), where n are left.
	channel := func(mode string, block, n, i, j, c int) int {
		if mode == "DCR" {
			return (i*block+j)*n + c
		}
		return (c*block+i)*block + j
	}
	toSpace := func(s tensor.Shape, block int, mode string) Case {
		n := s[3] / (block * block)
		return Case{
			Name: fmt.Sprintf("DepthToSpace %s of %v by %d", mode, s, block), Inputs: samples(true, s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.DepthToSpace(in[0], block, mode) },
			Reference: moved(s, tensor.Shape{s[0], s[1] * block, s[2] * block, n}, func(at []int) []int {
				return []int{at[0], at[1] / block, at[2] / block, channel(mode, block, n, at[1]%block, at[2]%block, at[3])}
			}),
		}
	}
	toDepth := func(s tensor.Shape, block int, mode string) Case {
		out := tensor.Shape{s[0], s[1] / block, s[2] / block, s[3] * block * block}
		return Case{
			Name: fmt.Sprintf("SpaceToDepth %s of %v by %d", mode, s, block), Inputs: samples(true, s),
			Build: func(in gorgonia.Nodes) (node, error) { return op.SpaceToDepth(in[0], block, mode) },
			Reference: func(in [][]float64) []float64 {
				y := make([]float64, len(in[0]))
				places(s, func(at []int) {
					c := channel(mode, block, s[3], at[1]%block, at[2]%block, at[3])
					y[element(out, []int{at[0], at[1] / block, at[2] / block, c})] = in[0][element(s, at)]
				})
				return y
			},
		}
	}
	var cases []Case
	for _, mode := range []string{"DCR", "CRD"} {
		cases = append(cases,
			toSpace(tensor.Shape{2, 2, 3, 12}, 2, mode), toSpace(tensor.Shape{1, 1, 2, 9}, 3, mode),
			toDepth(tensor.Shape{2, 4, 6, 3}, 2, mode), toDepth(tensor.Shape{1, 3, 6, 1}, 3, mode))
	}
	return cases
}
