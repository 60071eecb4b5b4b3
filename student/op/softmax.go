package op

import (
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
