package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Sum returns the sum of all elements of x, a scalar, added up in float64.
func Sum(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("Sum", x); err != nil {
		return nil, err
	}
	shape := x.Shape()
	return apply1("Sum", "", tensor.ScalarShape(), x, plan1(false,
		func() unary[float32] { return total[float32] },
		func() unary[float64] { return total[float64] }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return BroadcastScalar(g, shape...) },
		func(f form) string { return f.reduce("ReduceSum", f.in[0], false) })
}

func total[T kernel.Float](dst, x []T) error {
	dst[0] = kernel.Sum(x)
	return nil
}

// Mean returns the mean of all elements of x, a scalar.
func Mean(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("Mean", x); err != nil {
		return nil, err
	}
	if x.Shape().TotalSize() == 0 {
		return nil, fmt.Errorf("op: Mean wants at least one element, got shape %v", x.Shape())
	}
	var s steps
	return s.end(Scale(s.take(Sum(x)), 1/float64(x.Shape().TotalSize())))
}

// BroadcastScalar returns a tensor of the given shape, every element the scalar
// x: the dual of Sum. Its ONNX form holds the shape, batch included.
func BroadcastScalar(x *gorgonia.Node, shape ...int) (*gorgonia.Node, error) {
	if err := checked("BroadcastScalar", x); err != nil {
		return nil, err
	}
	if !x.Shape().IsScalar() {
		return nil, fmt.Errorf("op: BroadcastScalar wants a scalar, got shape %v", x.Shape())
	}
	out := tensor.Shape(shape).Clone()
	if out.IsScalar() {
		return x, nil
	}
	if err := positiveSizes("BroadcastScalar", out); err != nil {
		return nil, err
	}
	n := out.TotalSize()
	return apply1("BroadcastScalar", "", out, x, plan1(false,
		func() unary[float32] { return kernel.Fill[float32](n) },
		func() unary[float64] { return kernel.Fill[float64](n) }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return Sum(g) },
		func(f form) string { return f.expand(f.in[0], fileShape(out)...) })
}

// SumRows returns the sum of x [..., D] over its last axis, as [...]. x has at
// least rank 2.
func SumRows(x *gorgonia.Node) (*gorgonia.Node, error) {
	rows, d, err := asRows("SumRows", x)
	if err != nil {
		return nil, err
	}
	shape := x.Shape()
	return apply1("SumRows", "", shape[:len(shape)-1], x, plan1(false,
		func() unary[float32] { return kernel.SumRows[float32](rows, d) },
		func() unary[float64] { return kernel.SumRows[float64](rows, d) }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return BroadcastRows(g, d) },
		func(f form) string { return f.reduce("ReduceSum", f.in[0], false, lastAxis(len(shape))) })
}

// BroadcastRows returns x [...] repeated along a new last axis, [..., d]: the
// dual of SumRows. x has at least rank 1.
func BroadcastRows(x *gorgonia.Node, d int) (*gorgonia.Node, error) {
	if err := checked("BroadcastRows", x); err != nil {
		return nil, err
	}
	shape := x.Shape()
	if shape.IsScalar() || d < 1 {
		return nil, fmt.Errorf("op: BroadcastRows wants at least rank 1 and a positive length, got shape %v and length %d", shape, d)
	}
	rows := shape.TotalSize()
	out := append(shape.Clone(), d)
	return apply1("BroadcastRows", "", out, x, plan1(false,
		func() unary[float32] { return kernel.SpreadRows[float32](rows, d) },
		func() unary[float64] { return kernel.SpreadRows[float64](rows, d) }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return SumRows(g) },
		func(f form) string {
			axis := lastAxis(len(out))
			target := make([]int64, len(out)) // ones leave the operand's size, a dynamic batch too
			for i := range target {
				target[i] = 1
			}
			target[(int64(len(out))+axis)%int64(len(out))] = int64(d)
			return f.expand(f.unsqueeze(f.in[0], axis), target...)
		})
}

// SumChannels returns the sum of x [..., C] over all axes but the last, as [C].
// x has at least rank 2.
func SumChannels(x *gorgonia.Node) (*gorgonia.Node, error) {
	rows, c, err := asRows("SumChannels", x)
	if err != nil {
		return nil, err
	}
	shape := x.Shape()
	value := func(dt tensor.Dtype) (Plan, error) {
		if dt == tensor.Float32 {
			return planScratch(kernel.SumChannels[float32](rows, c)), nil
		}
		return planScratch(kernel.SumChannels[float64](rows, c)), nil
	}
	return apply1("SumChannels", "", tensor.Shape{c}, x, value,
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return BroadcastChannels(g, shape...) },
		func(f form) string {
			var axes []int64
			for i := range shape {
				if int64(i) != (int64(len(shape))+lastAxis(len(shape)))%int64(len(shape)) {
					axes = append(axes, int64(i))
				}
			}
			return f.reduce("ReduceSum", f.in[0], false, axes...)
		})
}

// planScratch makes the plan of a kernel of one operand that needs scratch
// memory.
func planScratch[T kernel.Float](scratch int, run func(dst, x, scratch []T) error) Plan {
	return Plan{Scratch: scratch, Run: func(dst kernel.Buffer, src []kernel.Buffer, scratch kernel.Buffer) error {
		return run(kernel.Of[T](dst), kernel.Of[T](src[0]), kernel.Of[T](scratch))
	}}
}

// BroadcastChannels returns x [C] repeated over all axes but the last of shape
// [..., C]: the dual of SumChannels. Its ONNX form holds the shape, batch
// included.
func BroadcastChannels(x *gorgonia.Node, shape ...int) (*gorgonia.Node, error) {
	if err := checked("BroadcastChannels", x); err != nil {
		return nil, err
	}
	out := tensor.Shape(shape).Clone()
	if s := x.Shape(); len(s) != 1 || len(out) < 2 || out[len(out)-1] != s[0] {
		return nil, fmt.Errorf("op: BroadcastChannels wants a vector [C] and a shape [..., C], got %v and %v", s, out)
	}
	if err := positiveSizes("BroadcastChannels", out); err != nil {
		return nil, err
	}
	c := x.Shape()[0]
	rows := tensor.Shape(out[:len(out)-1]).TotalSize()
	return apply1("BroadcastChannels", "", out, x, plan1(false,
		func() unary[float32] { return kernel.SpreadChannels[float32](rows, c) },
		func() unary[float64] { return kernel.SpreadChannels[float64](rows, c) }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return SumChannels(g) },
		func(f form) string {
			v := f.in[0]
			if len(out) == 4 {
				v = f.unsqueeze(v, 0, 2, 3)
			}
			return f.expand(v, fileShape(out)...)
		})
}

// NormRows returns max(‖x‖₂, least) of each row of x [N, D], as [N]. Its
// derivative is zero where the norm is not above least, so that with a least
// of 0 the derivative of the norm of a zero row is 0.
func NormRows(x *gorgonia.Node, least float64) (*gorgonia.Node, error) {
	rows, d, err := matrixOf("NormRows", x)
	if err != nil {
		return nil, err
	}
	if err := atLeastZero("NormRows", least); err != nil {
		return nil, err
	}
	return apply1("NormRows", fmt.Sprintf("least=%v", least), tensor.Shape{rows}, x, plan1(false,
		func() unary[float32] { return kernel.NormRows[float32](rows, d, least) },
		func() unary[float64] { return kernel.NormRows[float64](rows, d, least) }),
		func(x, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			k := s.take(Mul(g, s.take(inverse(y, least))))
			return s.end(Mul(x, s.take(BroadcastRows(k, d))))
		},
		func(f form) string {
			return f.node("Max", []string{f.reduce("ReduceL2", f.in[0], false, 1), f.float(least)})
		})
}

// L2Normalize returns x / max(‖x‖₂, least) for each row of x [N, D]. least is
// above zero: 1e-12 is PyTorch's. Its derivative at a zero row is that of
// x / least.
func L2Normalize(x *gorgonia.Node, least float64) (*gorgonia.Node, error) {
	rows, d, err := matrixOf("L2Normalize", x)
	if err != nil {
		return nil, err
	}
	if err := positive("L2Normalize", "least norm", least); err != nil {
		return nil, err
	}
	return apply1("L2Normalize", fmt.Sprintf("least=%v", least), x.Shape(), x, plan1(true,
		func() unary[float32] { return kernel.L2Normalize[float32](rows, d, least) },
		func() unary[float64] { return kernel.L2Normalize[float64](rows, d, least) }),
		func(x, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			// With m = max(‖x‖, least): dx = g/m - x · (g·y)/m · ∂m, where
			// ∂m = 1/m as long as m is the norm and 0 once it is least.
			var s steps
			m := s.take(NormRows(x, least))
			k := s.take(Div(s.take(SumRows(s.take(Mul(g, y)))), m))
			k = s.take(Mul(k, s.take(inverse(m, least))))
			across := s.take(Div(g, s.take(BroadcastRows(m, d))))
			return s.end(Sub(across, s.take(Mul(x, s.take(BroadcastRows(k, d))))))
		},
		func(f form) string {
			m := f.node("Max", []string{f.reduce("ReduceL2", f.in[0], true, 1), f.float(least)})
			return f.node("Div", []string{f.in[0], m})
		})
}

// lastAxis is where the last axis of a value of the given rank stands in the
// file: NHWC's channels are axis 1 of NCHW.
func lastAxis(rank int) int64 {
	if rank == 4 {
		return 1
	}
	return -1
}

// asRows reads x as rows of its last axis.
func asRows(name string, x *gorgonia.Node) (rows, d int, err error) {
	if err := checked(name, x); err != nil {
		return 0, 0, err
	}
	s := x.Shape()
	if len(s) < 2 {
		return 0, 0, fmt.Errorf("op: %s wants at least rank 2, got shape %v", name, s)
	}
	return tensor.Shape(s[:len(s)-1]).TotalSize(), s[len(s)-1], nil
}

// matrixOf reads x as a matrix [N, D].
func matrixOf(name string, x *gorgonia.Node) (n, d int, err error) {
	if err := checked(name, x); err != nil {
		return 0, 0, err
	}
	s := x.Shape()
	if len(s) != 2 || s[1] < 1 {
		return 0, 0, fmt.Errorf("op: %s wants a matrix [N, D], got shape %v", name, s)
	}
	return s[0], s[1], nil
}

// positiveSizes refuses a shape with a size below 1.
func positiveSizes(name string, s tensor.Shape) error {
	for _, d := range s {
		if d < 1 {
			return fmt.Errorf("op: %s wants positive sizes, got shape %v", name, s)
		}
	}
	return nil
}

func atLeastZero(op string, least float64) error {
	if !(least >= 0) {
		return fmt.Errorf("op: %s wants a least norm of zero or more, got %v", op, least)
	}
	return finite(op, "least norm", least)
}
