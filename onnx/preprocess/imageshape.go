package preprocess

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// KeyImageShape is the metadata key for the shape of the images behind an input
// that does not declare it, as ParseImageShape reads it: "28x28x1".
const KeyImageShape = "input.image_shape"

// AxisOrder is the order in which the numbers of one image follow each other.
type AxisOrder string

// The orders an image may have.
const (
	CHW AxisOrder = "chw" // channel by channel, each row by row
	HWC AxisOrder = "hwc" // pixel by pixel, each with all its channels
)

// ImageShape says what image a model's input holds. The zero value says nothing.
type ImageShape struct {
	H, W, C int       // C is 1 or 3
	Order   AxisOrder // "" is not said; in one channel both are the same
}

// ImageShapeForm is how an ImageShape is written.
const ImageShapeForm = "HEIGHTxWIDTHxCHANNELS[,chw|hwc]"

// maxImageSide bounds height and width.
const maxImageSide = 4096

var imageShapeText = regexp.MustCompile(`^(\d{1,6})x(\d{1,6})x(\d{1,6})(?:,(chw|hwc))?$`)

// ParseImageShape reads ImageShapeForm, such as 28x28x1 or 32x32x3,hwc. Empty is
// the zero ImageShape.
func ParseImageShape(text string) (ImageShape, error) {
	if text == "" {
		return ImageShape{}, nil
	}
	m := imageShapeText.FindStringSubmatch(text)
	if m == nil {
		return ImageShape{}, fmt.Errorf("preprocess: an image shape is %s, such as 28x28x1 or 32x32x3,hwc, got %q", ImageShapeForm, text)
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // up to six digits
	}
	s := ImageShape{H: n[0], W: n[1], C: n[2], Order: AxisOrder(m[4])}
	if min(s.H, s.W) < 1 || max(s.H, s.W) > maxImageSide || s.C != 1 && s.C != 3 {
		return ImageShape{}, fmt.Errorf("preprocess: an image shape, %s, has 1 to %d rows and columns and 1 or 3 channels, got %q", ImageShapeForm, maxImageSide, text)
	}
	return s, nil
}

// Known reports whether s says a shape.
func (s ImageShape) Known() bool { return s != ImageShape{} }

// String writes s as ParseImageShape reads it.
func (s ImageShape) String() string {
	if !s.Known() {
		return ""
	}
	text := fmt.Sprintf("%dx%dx%d", s.H, s.W, s.C)
	if s.Order != "" {
		text += "," + string(s.Order)
	}
	return text
}

// ImageShapeOf reads what the model's metadata says of its images' shape. It is
// not Known when the metadata says nothing.
func ImageShapeOf(m *onnx.Model) (ImageShape, error) {
	text, _ := m.Meta(KeyImageShape)
	s, err := ParseImageShape(text)
	if err != nil {
		return s, fmt.Errorf("preprocess: metadata %s: %w", KeyImageShape, err)
	}
	return s, nil
}
