package op

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// LogSoftmax returns x - log Σ_k exp(x_k) for each row of x [N, K]. Large
// logits do not overflow. Exp of it is the softmax.
func LogSoftmax(x *gorgonia.Node) (*gorgonia.Node, error) {
	rows, k, err := matrixOf("LogSoftmax", x)
	if err != nil {
		return nil, err
	}
	return apply1("LogSoftmax", "", x.Shape(), x, plan1(true,
		func() unary[float32] { return kernel.LogSoftmax[float32](rows, k) },
		func() unary[float64] { return kernel.LogSoftmax[float64](rows, k) }),
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			// dx = g - softmax(x) · Σ g, and the softmax is exp(y).
			var s steps
			sum := s.take(BroadcastRows(s.take(SumRows(g)), k))
			return s.end(Sub(g, s.take(Mul(s.take(Exp(y)), sum))))
		},
		func(f form) string { return f.over("LogSoftmax", onnx.AttrInt("axis", -1)) })
}

// Softmax returns exp(x) / Σ exp(x), with sums along the given axis of x, in
// Gorgonia's order. Large elements do not overflow.
func Softmax(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	n, err := groupsOf("Softmax", x, []int{axis})
	if err != nil {
		return nil, err
	}
	return apply1("Softmax", fmt.Sprintf("axis=%d", axis), n.shape, x, n.of1(kernel.SoftmaxGroup[float32](), kernel.SoftmaxGroup[float64]()),
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) { return n.softmaxBack(g, y) },
		func(f form) string { return f.over("Softmax", onnx.AttrInt("axis", fileAxis(len(n.shape), axis))) })
}

// softmaxBack returns y·(g − Σ g·y): the derivative of a softmax of value y.
func (n groups) softmaxBack(g, y *gorgonia.Node) (*gorgonia.Node, error) {
	return apply2("SoftmaxBack", fmt.Sprintf("axes=%v", n.axes), n.shape, g, y,
		n.of2(kernel.SoftmaxBackGroup[float32], kernel.SoftmaxBackGroup[float64]), nil,
		// With G the gradient, dg = y·(G − Σ G·y), which is the same operator, and
		// dy = G·(g − Σ g·y) − g·Σ G·y.
		func(g, y, _, grad *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node, error) {
			var s steps
			dg := s.take(n.softmaxBack(grad, y))
			rest := s.take(Sub(g, s.take(n.sum(s.take(Mul(g, y))))))
			dy, err := s.end(Sub(s.take(Mul(grad, rest)), s.take(Mul(g, s.take(n.sum(s.take(Mul(grad, y))))))))
			return dg, dy, err
		},
		func(f form) string {
			g, y := f.in[0], f.in[1]
			sum := n.reduce(f, "ReduceSum", f.node("Mul", []string{g, y}))
			return f.node("Mul", []string{y, f.node("Sub", []string{g, sum})})
		})
}

// LogSoftmaxAxis returns x − log Σ exp(x), with sums along the given axis of x,
// in Gorgonia's order. Large elements do not overflow.
func LogSoftmaxAxis(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	n, err := groupsOf("LogSoftmax", x, []int{axis})
	if err != nil {
		return nil, err
	}
	return apply1("LogSoftmax", fmt.Sprintf("axis=%d", axis), n.shape, x, n.of1(kernel.LogSoftmaxGroup[float32], kernel.LogSoftmaxGroup[float64]),
		func(_, y, g *gorgonia.Node) (*gorgonia.Node, error) {
			var s steps
			return s.end(Sub(g, s.take(Mul(s.take(Exp(y)), s.take(n.sum(g))))))
		},
		func(f form) string { return f.over("LogSoftmax", onnx.AttrInt("axis", fileAxis(len(n.shape), axis))) })
}
