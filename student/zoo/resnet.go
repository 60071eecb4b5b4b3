package zoo

import (
	"errors"
	"fmt"
	"strconv"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student"
)

// ResNet is the residual network for small images of a depth 6n+2 (He, Zhang,
// Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
// section 4.2).
//
// A 3x3 convolution of 16 channels with BN-ReLU; three groups of n blocks of
// 16, 32 and 64 channels, the second and third beginning with a stride of 2;
// then global average pooling and a dense layer. A block is
// conv3x3-BN-ReLU-conv3x3-BN, added to its shortcut, then ReLU. Where widths
// differ the shortcut is a projection, a 1x1 convolution with BN (the paper's
// option B; its CIFAR tables use option A, zeros for the new channels, which
// saves about 1 % of ResNet-20's parameters). Taps are what the groups return,
// after their last ReLU.
func ResNet(depth int) (student.Architecture, error) {
	return parseResNet([]string{strconv.Itoa(depth)})
}

func parseResNet(numbers []string) (student.Architecture, error) {
	if len(numbers) != 1 {
		return student.Architecture{}, errors.New("a depth alone is wanted")
	}
	blocks, err := depth(numbers[0], 2)
	if err != nil {
		return student.Architecture{}, err
	}
	return student.Architecture{
		Name: fmt.Sprintf("resnet-%d", 6*blocks+2),
		Build: func(b *student.Builder, image *gorgonia.Node) (student.Output, error) {
			return buildResNet(b, image, blocks)
		},
	}, nil
}

func buildResNet(b *student.Builder, image *gorgonia.Node, blocks int) (student.Output, error) {
	x := b.ReLU(b.BatchNorm("bn", conv3x3(b, "conv", image, 16, 1)))
	for g, stride := range []int{1, 2, 2} {
		group := fmt.Sprintf("group%d", g+1)
		for i := range blocks {
			x = basicBlock(b, fmt.Sprintf("%s/block%d", group, i+1), x, 16<<g, stride)
			stride = 1
		}
		x = b.Tap(group, x)
	}
	return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
}

func basicBlock(b *student.Builder, name string, x *gorgonia.Node, out, stride int) *gorgonia.Node {
	y := b.ReLU(b.BatchNorm(name+"/bn1", conv3x3(b, name+"/conv1", x, out, stride)))
	y = b.BatchNorm(name+"/bn2", conv3x3(b, name+"/conv2", y, out, 1))
	if b.Channels(x) != out {
		x = b.Conv(name+"/shortcut", x, student.Conv{Out: out, Stride: [2]int{stride, stride}})
		x = b.BatchNorm(name+"/shortcut_bn", x)
	}
	return b.ReLU(b.Add(y, x))
}
