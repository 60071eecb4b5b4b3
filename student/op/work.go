package op

import "gorgonia.org/gorgonia"

// FLOPs returns the multiplications and additions of a convolution, a dense
// layer or a product of matrices, or of one of their derivatives, those with padding included; zero for
// the other operators, whose time goes into memory.
func FLOPs(n *gorgonia.Node) int64 {
	switch o := n.Op().(type) {
	case *conv2D:
		return 2 * int64(o.shape.MACs())
	case *dense:
		return 2 * int64(o.shape.conv().MACs())
	case *formula:
		return o.flops
	}
	return 0
}
