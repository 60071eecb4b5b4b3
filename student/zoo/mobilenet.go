package zoo

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student"
)

// The widths a MobileNetV2 may have; the paper's go from 0.35 to 1.4.
const (
	leastMobileWidth = 0.1
	mostMobileWidth  = 4
)

// invertedResiduals is table 2 of the paper for images of 32x32 pixels: the
// stem and the second row have a stride of 1 where the paper's, for 224x224,
// have 2, so that the last feature map is 4x4. Rows of one resolution are one
// group.
var invertedResiduals = []struct {
	group                          int
	expansion, channels, n, stride int // t, c, n, s in the paper
}{
	{1, 1, 16, 1, 1},
	{1, 6, 24, 2, 1},
	{2, 6, 32, 3, 2},
	{3, 6, 64, 4, 2},
	{3, 6, 96, 3, 1},
	{4, 6, 160, 3, 2},
	{4, 6, 320, 1, 1},
}

// The paper's channels of the first and of the last convolution.
const (
	mobileStem = 32
	mobileHead = 1280
)

// MobileNetV2 is the network of inverted residuals of a width factor, for small
// images (Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted
// Residuals and Linear Bottlenecks", CVPR 2018, table 2).
//
// A 3x3 convolution of 32 channels with BN-ReLU; 17 blocks in four groups, of
// which the last three begin with a stride of 2; a 1x1 convolution of 1280
// channels with BN-ReLU; then global average pooling and a dense layer. A block
// widens its input by a 1x1 convolution with BN-ReLU (six times, the first block
// not at all), filters each channel by a 3x3 depthwise convolution with BN-ReLU,
// and narrows by a 1x1 convolution with BN alone, the linear bottleneck; its
// input is added where shape and stride allow. The width multiplies all
// channels, to the nearest multiple of 8 that is no more than a tenth below, as
// in the authors' code; the 1280 grow with it and never shrink. Taps are what
// the groups return.
//
// Activations are ReLU where the paper has ReLU6, which bounds them at 6 for
// arithmetic of few bits; students are trained and exported in float32. The
// paper's dropout before the dense layer is left out.
func MobileNetV2(width float64) (student.Architecture, error) {
	return parseMobileNetV2([]string{strconv.FormatFloat(width, 'f', -1, 64)})
}

func parseMobileNetV2(numbers []string) (student.Architecture, error) {
	if len(numbers) != 1 {
		return student.Architecture{}, errors.New("a width alone is wanted")
	}
	width, err := strconv.ParseFloat(numbers[0], 64)
	if err != nil {
		return student.Architecture{}, fmt.Errorf("width %q is no number", numbers[0])
	}
	if !(leastMobileWidth <= width && width <= mostMobileWidth) {
		return student.Architecture{}, fmt.Errorf("width %s does not lie between %v and %v", numbers[0], leastMobileWidth, mostMobileWidth)
	}
	return student.Architecture{
		Name: fmt.Sprintf("mobilenetv2-%v", width),
		Build: func(b *student.Builder, image *gorgonia.Node) (student.Output, error) {
			return buildMobileNetV2(b, image, width)
		},
	}, nil
}

func buildMobileNetV2(b *student.Builder, image *gorgonia.Node, width float64) (student.Output, error) {
	x := b.ReLU(b.BatchNorm("bn", conv3x3(b, "conv", image, byEight(mobileStem*width), 1)))
	block := 0
	for i, r := range invertedResiduals {
		group, stride := fmt.Sprintf("group%d", r.group), r.stride
		for range r.n {
			block++
			x = invertedResidual(b, fmt.Sprintf("%s/block%d", group, block), x, r.expansion, byEight(float64(r.channels)*width), stride)
			stride = 1
		}
		if i+1 == len(invertedResiduals) || invertedResiduals[i+1].group != r.group {
			x = b.Tap(group, x)
			block = 0
		}
	}
	x = b.Conv("head", x, student.Conv{Out: byEight(mobileHead * math.Max(width, 1))})
	x = b.ReLU(b.BatchNorm("head_bn", x))
	return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
}

func invertedResidual(b *student.Builder, name string, x *gorgonia.Node, expansion, out, stride int) *gorgonia.Node {
	y, wide := x, expansion*b.Channels(x)
	if expansion > 1 {
		y = b.Conv(name+"/expand", y, student.Conv{Out: wide})
		y = b.ReLU(b.BatchNorm(name+"/expand_bn", y))
	}
	y = b.Conv(name+"/depthwise", y, student.Conv{
		Out: wide, Kernel: [2]int{3, 3}, Stride: [2]int{stride, stride}, Pad: [4]int{1, 1, 1, 1}, Groups: wide,
	})
	y = b.ReLU(b.BatchNorm(name+"/depthwise_bn", y))
	y = b.BatchNorm(name+"/project_bn", b.Conv(name+"/project", y, student.Conv{Out: out}))
	if stride == 1 && b.Channels(x) == out {
		y = b.Add(y, x)
	}
	return y
}

// byEight rounds to the nearest multiple of 8 that is at least 8 and not more
// than a tenth below; so does _make_divisible of the authors' code
// (tensorflow/models, slim/nets/mobilenet).
func byEight(channels float64) int {
	n := max(8, int(channels+4)/8*8)
	if float64(n) < 0.9*channels {
		n += 8
	}
	return n
}
