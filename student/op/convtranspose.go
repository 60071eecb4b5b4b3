package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// ConvTransposeConfig is how a transposed convolution moves over its result.
type ConvTransposeConfig struct {
	Stride   [2]int // vertical, horizontal; zero means 1
	Dilation [2]int // distance between taps; zero means 1
	Pad      [4]int // rows and columns cut off the result at top, left, bottom, right

	// OutputPadding is how many rows are added below the result, and columns on
	// its right. What the taps reach of them is computed, the rest is zero. Each
	// is smaller than the stride, as far as it exceeds the padding there.
	OutputPadding [2]int

	Groups int // parts that the channels are cut into; zero means 1
}

// ConvTranspose spreads each pixel of x [N, H, W, C] over a window of the result:
//
//	y[n, p·stride−pad+r·dilation, q·stride−pad+s·dilation, k] += x[n,p,q,c] · w[c,r,s,k]
//
// with weights w [C, R, S, K/groups], where k runs over the channels of c's
// group. It is the adjoint, and so the derivative by the images, of Conv2D with
// the same weights; in a file w is [C, K/groups, R, S], as ONNX has it. The
// result is [N, OH, OW, K] with
//
//	OH = stride·(H−1) + dilation·(R−1) + 1 − top − bottom + output padding
func ConvTranspose(x, w *gorgonia.Node, cfg ConvTransposeConfig) (*gorgonia.Node, error) {
	if err := checked("ConvTranspose", x, w); err != nil {
		return nil, err
	}
	s, err := convTransposeShape(x.Shape(), w.Shape(), cfg)
	if err != nil {
		return nil, err
	}
	return newConvNamed("ConvTranspose", convData, s, x, w)
}

// convTransposeShape returns the geometry of the convolution that leads from
// the result to x.
func convTransposeShape(x, w tensor.Shape, cfg ConvTransposeConfig) (s kernel.ConvShape, err error) {
	const name = "op: ConvTranspose"
	if x.Dims() != 4 || w.Dims() != 4 || x.TotalSize() == 0 || w.TotalSize() == 0 {
		return s, fmt.Errorf("%s wants images [N,H,W,C] and weights [C,R,S,K/groups], got %v and %v", name, x, w)
	}
	for i := range 2 {
		if cfg.Stride[i] == 0 {
			cfg.Stride[i] = 1
		}
		if cfg.Dilation[i] == 0 {
			cfg.Dilation[i] = 1
		}
		if cfg.Stride[i] < 1 || cfg.Dilation[i] < 1 {
			return s, fmt.Errorf("%s wants positive strides and dilations, got strides %v and dilations %v", name, cfg.Stride, cfg.Dilation)
		}
	}
	if cfg.Groups == 0 {
		cfg.Groups = 1
	}
	if cfg.Groups < 1 || x[3]%cfg.Groups != 0 {
		return s, fmt.Errorf("%s wants groups that divide the %d input channels, got %d", name, x[3], cfg.Groups)
	}
	if w[0] != x[3] {
		return s, fmt.Errorf("%s wants weights [%d,R,S,K/groups] for images %v, got %v", name, x[3], x, w)
	}
	if min(cfg.Pad[0], cfg.Pad[1], cfg.Pad[2], cfg.Pad[3]) < 0 || min(cfg.OutputPadding[0], cfg.OutputPadding[1]) < 0 {
		return s, fmt.Errorf("%s wants padding of zero or more, got %v and output padding %v", name, cfg.Pad, cfg.OutputPadding)
	}
	var size [2]int
	for i := range 2 {
		// Rows that are cut off and added again are not cut off at all.
		same := min(cfg.Pad[i+2], cfg.OutputPadding[i])
		cfg.Pad[i+2] -= same
		cfg.OutputPadding[i] -= same
		if cfg.OutputPadding[i] >= cfg.Stride[i] {
			return s, fmt.Errorf("%s wants an output padding below the strides %v once the padding at the end is taken off it, got %v left",
				name, cfg.Stride, cfg.OutputPadding)
		}
		size[i] = cfg.Stride[i]*(x[i+1]-1) + cfg.Dilation[i]*(w[i+1]-1) + 1 - cfg.Pad[i] - cfg.Pad[i+2] + cfg.OutputPadding[i]
		if size[i] < 1 {
			return s, fmt.Errorf("%s of images %v and weights %v with padding %v has no pixels", name, x, w, cfg.Pad)
		}
	}
	return kernel.ConvShape{
		N: x[0], H: size[0], W: size[1], C: w[3] * cfg.Groups,
		K: x[3], R: w[1], S: w[2],
		Stride: cfg.Stride, Dilation: cfg.Dilation, Pad: cfg.Pad, Groups: cfg.Groups,
	}, nil
}

// convTranspose appends the adjoint of the convolution s of the operands: of
// its result and its weights. The rows at the end of its images that no tap
// reached are the output padding.
func convTranspose(b *onnx.Builder, in []string, s kernel.ConvShape) string {
	oh, ow := s.Out()
	rest := func(size, out, kernel, stride, dilation, pads int) int64 {
		return int64(size + pads - dilation*(kernel-1) - 1 - stride*(out-1))
	}
	return b.Node("ConvTranspose", in, append(convAttrs(s),
		onnx.AttrInts("output_padding",
			rest(s.H, oh, s.R, s.Stride[0], s.Dilation[0], s.Pad[0]+s.Pad[2]),
			rest(s.W, ow, s.S, s.Stride[1], s.Dilation[1], s.Pad[1]+s.Pad[3])))...)
}
