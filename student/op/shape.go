package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Flatten returns x [N, ...] as [N, D], its elements in Gorgonia's order: of
// an NHWC map the channels run fastest. The ONNX form therefore transposes a
// map of more than one pixel and more than one channel; an exporter that
// permutes the rows of the dense layer behind it can do without.
func Flatten(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checked("Flatten", x); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) < 2 {
		return nil, fmt.Errorf("op: Flatten wants at least rank 2, got shape %v", s)
	}
	return reshape("Flatten", x, tensor.Shape{s[0], tensor.Shape(s[1:]).TotalSize()})
}

// Reshape returns the elements of x, in Gorgonia's order, in another shape.
func Reshape(x *gorgonia.Node, shape ...int) (*gorgonia.Node, error) {
	if err := checked("Reshape", x); err != nil {
		return nil, err
	}
	return reshape("Reshape", x, tensor.Shape(shape).Clone())
}

func reshape(name string, x *gorgonia.Node, out tensor.Shape) (*gorgonia.Node, error) {
	in := x.Shape()
	if err := positiveSizes(name, out); err != nil {
		return nil, err
	}
	if in.IsScalar() || out.IsScalar() || in.TotalSize() != out.TotalSize() {
		return nil, fmt.Errorf("op: %s of %v, %d elements, to %v, %d elements; the numbers must agree and neither be a scalar",
			name, in, in.TotalSize(), out, out.TotalSize())
	}
	n := in.TotalSize()
	attrs := ""
	if name == "Reshape" {
		attrs = fmt.Sprint("to=", out)
	}
	return apply1(name, attrs, out, x, plan1(true,
		func() unary[float32] { return kernel.Unary(n, kernel.Copy[float32]) },
		func() unary[float64] { return kernel.Unary(n, kernel.Copy[float64]) }),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return Reshape(g, in...) },
		func(f form) string {
			y := f.in[0]
			if len(in) == 4 && !sameOrder(in) {
				y = f.toNHWC(y)
			}
			if len(out) == 4 && !sameOrder(out) {
				// Reshaped to NHWC first: the elements' order is Gorgonia's.
				y = f.node("Reshape", []string{y, f.ints("shape", batched(in[0], gorgoniaShape(out))...)})
				return f.toNCHW(y)
			}
			return f.node("Reshape", []string{y, f.ints("shape", batched(in[0], fileShape(out))...)})
		})
}

func gorgoniaShape(s tensor.Shape) []int64 {
	d := make([]int64, len(s))
	for i := range s {
		d[i] = int64(s[i])
	}
	return d
}
