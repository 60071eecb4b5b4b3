package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// DepthToSpace returns x [N, H, W, C] as [N, H·block, W·block, C/block²]: the
// channels of a pixel become a block of pixels. mode says which channel goes
// where; with C' = C/block² channels left, pixel (i, j) of the block takes its
// channel c from
//
//	"DCR": (i·block + j)·C' + c   (depth, column, row: ONNX's default)
//	"CRD": (c·block + i)·block + j   (PyTorch's pixel_shuffle)
//
// It returns x itself where block is 1.
func DepthToSpace(x *gorgonia.Node, block int, mode string) (*gorgonia.Node, error) {
	const name = "DepthToSpace"
	if err := wantBlock(name, x, block, mode); err != nil {
		return nil, err
	}
	s := x.Shape()
	if block == 1 {
		return x, nil
	}
	if block > s[3] || s[3]%(block*block) != 0 {
		return nil, fmt.Errorf("op: %s wants channels that are a multiple of the squared block %d, got images %v", name, block, s)
	}
	c := s[3] / (block * block)
	small := strides(s)
	_, pixel := blockStrides(c, block, mode)
	out := tensor.Shape{s[0], s[1] * block, s[2] * block, c}
	axes := []kernel.ViewAxis{
		{Size: s[0], Step: small[0]}, {Size: s[1], Step: small[1]}, {Size: block, Step: pixel[0]},
		{Size: s[2], Step: small[2]}, {Size: block, Step: pixel[1]}, {Size: c, Step: pixel[2]},
	}
	return apply1(name, fmt.Sprintf("block=%d mode=%s", block, mode), out, x, planView(0, axes),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return SpaceToDepth(g, block, mode) },
		func(f form) string {
			return f.over(name, onnx.AttrInt("blocksize", int64(block)), onnx.AttrString("mode", mode))
		})
}

// SpaceToDepth returns x [N, H, W, C] as [N, H/block, W/block, C·block²]: the
// inverse of DepthToSpace, with the modes of that. ONNX's own operator is of
// mode "DCR"; the form of "CRD" is made of Reshape and Transpose.
func SpaceToDepth(x *gorgonia.Node, block int, mode string) (*gorgonia.Node, error) {
	const name = "SpaceToDepth"
	if err := wantBlock(name, x, block, mode); err != nil {
		return nil, err
	}
	s := x.Shape()
	if block == 1 {
		return x, nil
	}
	if s[1]%block != 0 || s[2]%block != 0 {
		return nil, fmt.Errorf("op: %s wants images whose height and width are multiples of the block %d, got %v", name, block, s)
	}
	h, w, c := s[1]/block, s[2]/block, s[3]
	large := strides(s)
	order, _ := blockStrides(c, block, mode)
	// The steps of x along the block's rows and columns, and its channels.
	inner := [3]kernel.ViewAxis{{Size: block, Step: large[1]}, {Size: block, Step: large[2]}, {Size: c, Step: 1}}
	out := tensor.Shape{s[0], h, w, c * block * block}
	axes := []kernel.ViewAxis{
		{Size: s[0], Step: large[0]}, {Size: h, Step: large[1] * block}, {Size: w, Step: large[2] * block},
		inner[order[0]], inner[order[1]], inner[order[2]],
	}
	return apply1(name, fmt.Sprintf("block=%d mode=%s", block, mode), out, x, planView(0, axes),
		func(_, _, g *gorgonia.Node) (*gorgonia.Node, error) { return DepthToSpace(g, block, mode) },
		func(f form) string {
			b := int64(block)
			if mode == "DCR" {
				return f.over(name, onnx.AttrInt("blocksize", b))
			}
			// Zero copies the size of the batch.
			y := f.node("Reshape", []string{f.in[0], f.ints("shape", 0, int64(c), int64(h), b, int64(w), b)})
			y = f.node("Transpose", []string{y}, onnx.AttrInts("perm", 0, 1, 3, 5, 2, 4))
			return f.node("Reshape", []string{y, f.ints("shape", 0, int64(c)*b*b, int64(h), int64(w))})
		})
}

// blockStrides tells how the channels of a pixel hold a block: order is which
// of the block's row, column and channel run slowest to fastest, and step how
// far apart in the pixel neighbours of each lie.
func blockStrides(c, block int, mode string) (order, step [3]int) {
	if mode == "DCR" {
		return [3]int{0, 1, 2}, [3]int{block * c, c, 1}
	}
	return [3]int{2, 0, 1}, [3]int{block, 1, block * block}
}

func wantBlock(name string, x *gorgonia.Node, block int, mode string) error {
	if err := checked(name, x); err != nil {
		return err
	}
	if s := x.Shape(); len(s) != 4 {
		return fmt.Errorf("op: %s wants images [N, H, W, C], got shape %v", name, s)
	}
	if block < 1 {
		return fmt.Errorf("op: %s wants a block of 1 or more, got %d", name, block)
	}
	if mode != "DCR" && mode != "CRD" {
		return fmt.Errorf("op: %s knows the modes DCR and CRD, got %q", name, mode)
	}
	return nil
}
