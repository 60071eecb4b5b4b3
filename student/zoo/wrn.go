package zoo

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student"
)

// maxWidth bounds a Wide ResNet's factor; the paper's widest has 12.
const maxWidth = 32

// WRN is the Wide Residual Network of a depth 6n+4 and a width factor that is a
// multiple of 1/16 (Zagoruyko and Komodakis, "Wide Residual Networks", BMVC
// 2016; in the form of their attention transfer, ICLR 2017).
//
// A 3x3 convolution of 16 channels; three groups of n blocks of 16k, 32k and
// 64k channels, the second and third beginning with a stride of 2; then
// BN-ReLU, global average pooling and a dense layer. A block is
// BN-ReLU-conv3x3-BN-ReLU-conv3x3 beside a shortcut, which is the block's input
// or, where widths differ, a 1x1 convolution of the activated input. Taps are
// what the groups return, before any normalisation.
func WRN(depth int, width float64) (student.Architecture, error) {
	return parseWRN([]string{strconv.Itoa(depth), strconv.FormatFloat(width, 'f', -1, 64)})
}

func parseWRN(numbers []string) (student.Architecture, error) {
	if len(numbers) != 2 {
		return student.Architecture{}, errors.New("a depth and a width are wanted")
	}
	blocks, err := depth(numbers[0], 4)
	if err != nil {
		return student.Architecture{}, err
	}
	k, err := strconv.ParseFloat(numbers[1], 64)
	if err != nil {
		return student.Architecture{}, fmt.Errorf("width %q is no number", numbers[1])
	}
	channels := math.Round(16 * k)
	if channels != 16*k || channels < 1 || k > maxWidth {
		near := math.Max(1, math.Min(channels, 16*maxWidth)) / 16
		if math.IsNaN(near) {
			near = 1
		}
		return student.Architecture{}, fmt.Errorf("width %s is no multiple of 1/16 up to %d; the nearest is %v", numbers[1], maxWidth, near)
	}
	return student.Architecture{
		Name: fmt.Sprintf("wrn-%d-%v", 6*blocks+4, k),
		Build: func(b *student.Builder, image *gorgonia.Node) (student.Output, error) {
			return buildWRN(b, image, blocks, int(channels))
		},
	}, nil
}

func buildWRN(b *student.Builder, image *gorgonia.Node, blocks, width int) (student.Output, error) {
	x := conv3x3(b, "conv", image, 16, 1)
	for g, stride := range []int{1, 2, 2} {
		group := fmt.Sprintf("group%d", g+1)
		for i := range blocks {
			x = wideBlock(b, fmt.Sprintf("%s/block%d", group, i+1), x, width<<g, stride)
			stride = 1
		}
		x = b.Tap(group, x)
	}
	x = b.ReLU(b.BatchNorm("bn", x))
	return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
}

func wideBlock(b *student.Builder, name string, x *gorgonia.Node, out, stride int) *gorgonia.Node {
	y := b.ReLU(b.BatchNorm(name+"/bn1", x))
	if b.Channels(x) != out {
		x = b.Conv(name+"/shortcut", y, student.Conv{Out: out, Stride: [2]int{stride, stride}})
	}
	y = conv3x3(b, name+"/conv1", y, out, stride)
	y = b.ReLU(b.BatchNorm(name+"/bn2", y))
	y = conv3x3(b, name+"/conv2", y, out, 1)
	return b.Add(y, x)
}

// conv3x3 keeps the size of x, divided by the stride and rounded up.
func conv3x3(b *student.Builder, name string, x *gorgonia.Node, out, stride int) *gorgonia.Node {
	return b.Conv(name, x, student.Conv{
		Out: out, Kernel: [2]int{3, 3}, Stride: [2]int{stride, stride}, Pad: [4]int{1, 1, 1, 1},
	})
}
