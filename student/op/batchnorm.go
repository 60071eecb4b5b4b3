package op

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Batch normalisation in training is x̂ = (x − mean)·r with r = 1/√(variance+eps)
// and the mean and variance of x itself, taken over all axes but the last
// (Ioffe and Szegedy 2015, arXiv 1502.03167). One operator has one result, so
// the statistics are an operand [2, C] of every operator here that needs x̂.
// They are a function of x that happens to be at hand: the derivative by x is
// the total one, with the path through the statistics, and there is none by
// the statistics.
//
// With M values per channel and P u = u − Σu/M − x̂·Σ(u·x̂)/M, the projection
// along ones and x̂, all derivatives follow from
//
//	d⟨u, x̂⟩/dx = r·P u        dr/dx = −r²·x̂/M
//
// and P is symmetric. They are made of the operators in this file and of
// elementary ones, so they can be taken to any order.

// BatchStats returns the statistics [2, C] of x [..., C] that BatchNorm
// normalises by: the mean of each channel and its biased variance (divided by
// the number of values). It is differentiable, so that a loss may draw a
// network's statistics towards given ones.
func BatchStats(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("BatchStats", x); err != nil {
		return nil, err
	}
	if err := wantChannels("BatchStats", x.Shape()); err != nil {
		return nil, err
	}
	m, c := rowsOf(x.Shape())
	return apply(&training{formula{
		core:  newCore("BatchStats", "", tensor.Shape{2, c}, x),
		value: typed(planBatchStats[float32](m, c), planBatchStats[float64](m, c)),
		// dx = x·2h₁/M + (h₀ − 2h₁·mean)/M with h the gradient.
		slope: func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			h0 := s.take(Scale(s.take(row(grad, 0)), 1/float64(m)))
			h1 := s.take(Scale(s.take(row(grad, 1)), 2/float64(m)))
			shift := s.take(Sub(h0, s.take(Mul(h1, s.take(row(out, 0))))))
			dx := s.take(AddBias(s.take(scaleChannels(in[0], h1)), shift))
			return gorgonia.Nodes{dx}, s.err
		},
	}}, x)
}

func planBatchStats[T kernel.Float](rows, c int) func() Plan {
	return func() Plan {
		p := kernel.ChannelStats[T](rows, c)
		return Plan{Scratch: p.Scratch, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			return p.Run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](scratch))
		}}
	}
}

// BatchNorm normalises x [..., C] by its own statistics, as in training:
//
//	y = (x − mean)/√(variance + eps)·scale + shift
//
// stats [2, C] is BatchStats(x); scale and shift are [C]. The derivative by x
// has the path through the statistics in it; there is none by stats.
func BatchNorm(x, stats, scale, shift *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	if err := wantNorm("BatchNorm", eps, x, stats, scale, shift); err != nil {
		return nil, err
	}
	return newBatchNorm(eps, x, stats, scale, shift)
}

// normalised returns x̂.
func normalised(eps float64, x, stats *gorgonia.Node) (*gorgonia.Node, error) {
	return newBatchNorm(eps, x, stats)
}

// newBatchNorm is BatchNorm with in = x, stats and, if not left out, scale and
// shift.
func newBatchNorm(eps float64, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	shape := in[0].Shape().Clone()
	return apply(&training{formula{
		eps:   eps,
		core:  newCore("BatchNorm", fmt.Sprintf("eps=%v", eps), shape, in...),
		value: typed(planBatchNorm[float32](shape, eps), planBatchNorm[float64](shape, eps)),
		fixed: []bool{false, true},
		slope: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			x, stats := in[0], in[1]
			sums := s.take(batchNormSums(eps, x, stats, grad))
			if len(in) == 2 {
				return gorgonia.Nodes{s.take(batchNormBack(eps, x, stats, grad, sums)), nil}, s.err
			}
			dx := s.take(batchNormBack(eps, x, stats, grad, sums, in[2]))
			return gorgonia.Nodes{dx, nil, s.take(row(sums, 1)), s.take(row(sums, 0))}, s.err
		},
	}}, in...)
}

func planBatchNorm[T kernel.Float](s tensor.Shape, eps float64) func() Plan {
	return func() Plan {
		rows, c := rowsOf(s)
		p := kernel.BatchNorm[T](rows, c, eps, false)
		return Plan{Scratch: p.Scratch, InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			var scale, shift []T
			if len(src) == 4 {
				scale, shift = kernel.Of[T](src[2]), kernel.Of[T](src[3])
			}
			return p.Run(kernel.Of[T](dst), kernel.Of[T](src[1]), kernel.Of[T](src[0]), scale, shift, nil, kernel.Of[T](scratch))
		}}
	}
}

// batchNormSums returns [2, C]: per channel Σg and Σg·x̂, which are BatchNorm's
// derivatives by shift and scale.
func batchNormSums(eps float64, x, stats, g *gorgonia.Node) (*gorgonia.Node, error) {
	m, c := rowsOf(x.Shape())
	return apply(&training{formula{
		eps:   eps,
		core:  newCore("BatchNormSums", fmt.Sprintf("eps=%v", eps), tensor.Shape{2, c}, x, stats, g),
		value: typed(planBatchNormSums[float32](m, c, eps), planBatchNormSums[float64](m, c, eps)),
		fixed: []bool{false, true, false},
		// Σ h₀·Σg + h₁·Σg·x̂ has the slope h₀ + h₁·x̂ in g, and r·P(h₁·g) in x.
		slope: func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			x, stats, g := in[0], in[1], in[2]
			h0, h1 := s.take(row(grad, 0)), s.take(row(grad, 1))
			dg := s.take(newBatchNorm(eps, x, stats, h1, h0))
			dx := s.take(batchNormBack(eps, x, stats, g, out, h1))
			return gorgonia.Nodes{dx, nil, dg}, s.err
		},
	}}, x, stats, g)
}

func planBatchNormSums[T kernel.Float](rows, c int, eps float64) func() Plan {
	return func() Plan {
		p := kernel.BatchNormSums[T](rows, c, eps)
		return Plan{Scratch: p.Scratch, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			return p.Run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]), kernel.Of[T](src[2]), kernel.Of[T](scratch))
		}}
	}
}

// batchNormBack returns scale·r·P g, BatchNorm's derivative by x, where sums is
// batchNormSums of the same x and g. Like the statistics, sums is a function of
// the other operands at hand. A scale left out is ones.
func batchNormBack(eps float64, x, stats, g, sums *gorgonia.Node, scale ...*gorgonia.Node) (*gorgonia.Node, error) {
	shape := x.Shape().Clone()
	m, _ := rowsOf(shape)
	in := append([]*gorgonia.Node{x, stats, g, sums}, scale...)
	return apply(&training{formula{
		eps:   eps,
		core:  newCore("BatchNormBack", fmt.Sprintf("eps=%v", eps), shape, in...),
		value: typed(planBatchNormBack[float32](shape, eps), planBatchNormBack[float64](shape, eps)),
		fixed: []bool{false, true, false, true},
		// With G the gradient, u = r·P g, v = r·P G, q = ΣG·u per channel and
		// A = Σg·x̂, B = ΣG·x̂:
		//
		//	dg = scale·r·P G
		//	dscale = q
		//	dx = −scale·r/M·(x̂·q + u·B + v·A)
		slope: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			x, stats, g, sums := in[0], in[1], in[2], in[3]
			gradSums := s.take(batchNormSums(eps, x, stats, grad))
			u := s.take(batchNormBack(eps, x, stats, g, sums))
			v := s.take(batchNormBack(eps, x, stats, grad, gradSums))
			q := s.take(SumChannels(s.take(Mul(grad, u))))
			dx := s.take(Add(
				s.take(scaleChannels(s.take(normalised(eps, x, stats)), q)),
				s.take(Add(
					s.take(scaleChannels(u, s.take(row(gradSums, 1)))),
					s.take(scaleChannels(v, s.take(row(sums, 1))))))))
			f := s.take(Scale(s.take(inverseDeviation(eps, x, stats)), -1/float64(m)))
			if len(in) == 4 {
				return gorgonia.Nodes{s.take(scaleChannels(dx, f)), nil, v, nil}, s.err
			}
			dx = s.take(scaleChannels(dx, s.take(Mul(f, in[4]))))
			dg := s.take(batchNormBack(eps, x, stats, grad, gradSums, in[4]))
			return gorgonia.Nodes{dx, nil, dg, nil, q}, s.err
		},
	}}, in...)
}

func planBatchNormBack[T kernel.Float](s tensor.Shape, eps float64) func() Plan {
	return func() Plan {
		rows, c := rowsOf(s)
		p := kernel.BatchNormBack[T](rows, c, eps)
		return Plan{Scratch: p.Scratch, InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
			var scale []T
			if len(src) == 5 {
				scale = kernel.Of[T](src[4])
			}
			return p.Run(kernel.Of[T](dst), kernel.Of[T](src[3]), kernel.Of[T](src[0]), kernel.Of[T](src[1]), scale, nil,
				kernel.Of[T](src[2]), nil, kernel.Of[T](scratch))
		}}
	}
}

// inverseDeviation returns r [C] as a function of x.
func inverseDeviation(eps float64, x, stats *gorgonia.Node) (*gorgonia.Node, error) {
	m, c := rowsOf(x.Shape())
	return apply(&training{formula{
		core:  newCore("InverseDeviation", fmt.Sprintf("eps=%v", eps), tensor.Shape{c}, x, stats),
		value: typed(planInverseDeviation[float32](1, eps), planInverseDeviation[float64](1, eps)),
		fixed: []bool{false, true},
		slope: func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			h := s.take(Scale(s.take(Mul(grad, s.take(Square(out)))), -1/float64(m)))
			return gorgonia.Nodes{s.take(scaleChannels(s.take(normalised(eps, in[0], in[1])), h)), nil}, s.err
		},
	}}, x, stats)
}

// planInverseDeviation takes the statistics from the given operand.
func planInverseDeviation[T kernel.Float](stats int, eps float64) func() Plan {
	return func() Plan {
		return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			kernel.InverseDeviation(kernel.Of[T](dst), kernel.Of[T](src[stats]), eps)
			return nil
		}}
	}
}

// BatchNormInference normalises x [..., C] by fixed statistics, as a trained
// network does:
//
//	y = (x − mean)/√(variance + eps)·scale + shift
//
// running [2, C] holds mean and variance and has no derivative; scale and shift
// are [C].
func BatchNormInference(x, running, scale, shift *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	if err := wantNorm("BatchNormInference", eps, x, running, scale, shift); err != nil {
		return nil, err
	}
	return newBatchNormInference(eps, x, running, scale, shift)
}

// newBatchNormInference is BatchNormInference with in = x, running and, if not
// left out, scale and shift.
func newBatchNormInference(eps float64, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	shape := in[0].Shape().Clone()
	return apply(&formula{
		eps:   eps,
		core:  newCore("BatchNormInference", fmt.Sprintf("eps=%v", eps), shape, in...),
		value: typed(planBatchNorm[float32](shape, eps), planBatchNorm[float64](shape, eps)),
		fixed: []bool{false, true},
		slope: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			var s steps
			r := s.take(fixedInverseDeviation(eps, in[1]))
			if len(in) == 2 {
				return gorgonia.Nodes{s.take(scaleChannels(grad, r)), nil}, s.err
			}
			dx := s.take(scaleChannels(grad, s.take(Mul(r, in[2]))))
			dscale := s.take(SumChannels(s.take(Mul(grad, s.take(newBatchNormInference(eps, in[0], in[1]))))))
			return gorgonia.Nodes{dx, nil, dscale, s.take(SumChannels(grad))}, s.err
		},
		emit: func(f form) string {
			affine := f.in[2:]
			if len(affine) == 0 {
				_, c := rowsOf(shape)
				affine = []string{f.repeated("ones", c, 1), f.repeated("zeros", c, 0)}
			}
			return f.node("BatchNormalization", []string{f.in[0], affine[0], affine[1], f.row(f.in[1], 0), f.row(f.in[1], 1)},
				onnx.AttrFloat("epsilon", float32(eps)))
		},
	}, in...)
}

// repeated adds a constant vector of n equal elements.
func (f form) repeated(name string, n int, v float32) string {
	return f.floats(name, []int64{int64(n)}, slices.Repeat([]float32{v}, n))
}

// row takes one row of a matrix.
func (f form) row(matrix string, i int64) string {
	return f.node("Gather", []string{matrix, f.b.Initializer("row", onnx.Int64s("", nil, []int64{i}))})
}

// fixedInverseDeviation returns r [C] from statistics that have no derivative.
func fixedInverseDeviation(eps float64, stats *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(&formula{
		core:  newCore("FixedInverseDeviation", fmt.Sprintf("eps=%v", eps), tensor.Shape{stats.Shape()[1]}, stats),
		value: typed(planInverseDeviation[float32](0, eps), planInverseDeviation[float64](0, eps)),
		fixed: []bool{true},
		slope: noSlope,
		emit: func(f form) string {
			deviation := f.node("Sqrt", []string{f.node("Add", []string{f.row(f.in[0], 1), f.float(eps)})})
			return f.node("Reciprocal", []string{deviation})
		},
	}, stats)
}

// RunningStats returns the running statistics [2, C] after a batch with
// statistics stats [2, C] of count values per channel, by PyTorch's rule:
//
//	mean ← (1−momentum)·mean + momentum·batch mean
//	variance ← (1−momentum)·variance + momentum·batch variance·count/(count−1)
//
// It has no derivative.
func RunningStats(running, stats *gorgonia.Node, momentum float64, count int) (*gorgonia.Node, error) {
	const name = "RunningStats"
	if err := checked(name, running, stats); err != nil {
		return nil, err
	}
	a, b := running.Shape(), stats.Shape()
	if len(a) != 2 || a[0] != 2 || !exactly(a, b) {
		return nil, fmt.Errorf("op: %s wants two statistics [2,C], got %v and %v", name, a, b)
	}
	if !(momentum >= 0 && momentum <= 1) {
		return nil, fmt.Errorf("op: %s wants a momentum from 0 to 1, got %v", name, momentum)
	}
	if count < 2 {
		return nil, fmt.Errorf("op: %s wants more than one value per channel to estimate a variance from, got %d; use a larger batch or image", name, count)
	}
	return apply(&training{formula{
		core:  newCore(name, fmt.Sprintf("momentum=%v count=%d", momentum, count), a, running, stats),
		value: typed(planRunningStats[float32](momentum, count), planRunningStats[float64](momentum, count)),
		fixed: []bool{true, true},
		slope: noSlope,
	}}, running, stats)
}

func planRunningStats[T kernel.Float](momentum float64, count int) func() Plan {
	return func() Plan {
		return Plan{InPlace: true, Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			kernel.RunningStats(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](src[1]), momentum, count)
			return nil
		}}
	}
}

// wantNorm checks the operands of a batch normalisation.
func wantNorm(name string, eps float64, x, stats, scale, shift *gorgonia.Node) error {
	if err := checked(name, x, stats, scale, shift); err != nil {
		return err
	}
	if err := wantChannels(name, x.Shape(), scale.Shape(), shift.Shape()); err != nil {
		return err
	}
	if _, c := rowsOf(x.Shape()); !exactly(stats.Shape(), tensor.Shape{2, c}) {
		return fmt.Errorf("op: %s wants statistics [2,%d] for an input %v, got %v", name, c, x.Shape(), stats.Shape())
	}
	if !(eps > 0) || math.IsInf(eps, 1) {
		return fmt.Errorf("op: %s wants an eps above zero, got %v", name, eps)
	}
	return nil
}

// row returns row i of a matrix [rows, C] as [C].
func row(x *gorgonia.Node, i int) (*gorgonia.Node, error) {
	rows, c := x.Shape()[0], x.Shape()[1]
	return apply(&formula{
		core:  newCore("Row", fmt.Sprint(i), tensor.Shape{c}, x),
		value: typed(planRow[float32](i), planRow[float64](i)),
		slope: ofOne(func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return intoRow(g, rows, i) }),
		emit:  func(f form) string { return f.row(f.in[0], int64(i)) },
	}, x)
}

func planRow[T kernel.Float](i int) func() Plan {
	return func() Plan {
		return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			copy(kernel.Of[T](dst), kernel.Of[T](src[0])[i*dst.Len():])
			return nil
		}}
	}
}

// intoRow returns a matrix [rows, C] that holds x [C] in row i and zeros
// elsewhere: the adjoint of row.
func intoRow(x *gorgonia.Node, rows, i int) (*gorgonia.Node, error) {
	return apply(&training{formula{
		core:  newCore("IntoRow", fmt.Sprintf("%d of %d", i, rows), tensor.Shape{rows, x.Shape()[0]}, x),
		value: typed(planIntoRow[float32](i), planIntoRow[float64](i)),
		slope: ofOne(func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return row(g, i) }),
	}}, x)
}

func planIntoRow[T kernel.Float](i int) func() Plan {
	return func() Plan {
		return Plan{Run: func(dst kernel.Buffer, src []kernel.Buffer, _ kernel.Buffer) error {
			d, x := kernel.Of[T](dst), kernel.Of[T](src[0])
			clear(d)
			copy(d[i*len(x):], x)
			return nil
		}}
	}
}
