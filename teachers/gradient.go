package teachers

import (
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

// GradientTap is the name of the tap whose map is the gradient of the labels'
// cross-entropy by the image; see Session.AttachGradient.
const GradientTap = "gradient"

// The names of a gradient model's values; its image input may have any other.
const (
	GradientLabels = "labels"   // float32 [batch, classes]: one hot, in the teacher's class order
	GradientOutput = "gradient" // float32 [batch, C, H, W]
)

// gradientModel is a second model, which tells how a teacher's cross-entropy
// changes with its image.
type gradientModel struct {
	session *ort.Session
	tap     int // its place in Spec.Taps: the last
}

// AttachGradient adds to the teacher's signals, behind its maps, the gradient
// J = ∂CE/∂x of the labels' cross-entropy by the normalised image (Zagoruyko &
// Komodakis 2017, section 3.2): a tap called GradientTap whose map has the
// image's channels and keeps its signs and lengths. Batches must then bring
// Labels.
//
// m computes it, of any batch: from an image [batch, C, H, W], NCHW whatever the
// teacher takes, and one-hot labels GradientLabels to GradientOutput. Whoever
// made m from the teacher's file vouches for it. It is loaded and tried on two
// images here.
func (s *Session) AttachGradient(m *onnx.Model, threads int) error {
	if s.gradient != nil {
		return fmt.Errorf("teachers: %s has a gradient attached already", s.spec.Name)
	}
	if s.input != onnx.Float32 {
		return fmt.Errorf("teachers: %s takes %v images; gradients with respect to the image need float32 ones", s.spec.Name, s.input)
	}
	inputs, err := gradientInputs(m)
	if err != nil {
		return fmt.Errorf("teachers: gradient of %s: %w", s.spec.Name, err)
	}
	encoded, err := m.Encode()
	if err != nil {
		return fmt.Errorf("teachers: gradient of %s: %w", s.spec.Name, err)
	}
	session, err := ort.NewSession(encoded, inputs, []string{GradientOutput}, sessionOptions(m, threads))
	if err != nil {
		return fmt.Errorf("teachers: gradient of %s: %w", s.spec.Name, err)
	}
	spec := s.spec
	out, err := session.Run([]ort.Tensor{
		{Type: onnx.Float32, Dims: NCHW.dims(2, spec.H, spec.W, spec.C), F32: make([]float32, 2*spec.H*spec.W*spec.C)},
		{Type: onnx.Float32, Dims: []int64{2, int64(s.teacherClasses)}, F32: make([]float32, 2*s.teacherClasses)},
	}, nil)
	if err == nil && len(out[0].F32) != 2*spec.H*spec.W*spec.C {
		err = fmt.Errorf("it gives %v for two images of %dx%dx%d", out[0].Dims, spec.H, spec.W, spec.C)
	}
	if err != nil {
		session.Close()
		return fmt.Errorf("teachers: gradient of %s: %w", spec.Name, err)
	}
	s.gradient = &gradientModel{session: session, tap: len(s.spec.Taps)}
	s.spec.Taps = append(s.spec.Taps, Tap{Name: GradientTap, C: spec.C, H: spec.H, W: spec.W, Layout: spec.Layout, Gradient: true})
	return nil
}

// gradientInputs returns the names of a gradient model's image and labels.
func gradientInputs(m *onnx.Model) ([]string, error) {
	image := ""
	labels := false
	for _, in := range m.Graph.DataInputs() {
		switch {
		case in.Name == GradientLabels:
			labels = true
		case image == "":
			image = in.Name
		default:
			return nil, fmt.Errorf("it has the inputs %q and %q; a gradient model has one image and %q", image, in.Name, GradientLabels)
		}
	}
	if image == "" || !labels {
		return nil, fmt.Errorf("it lacks an image input or %q", GradientLabels)
	}
	return []string{image, GradientLabels}, nil
}

// run asks about images i to j of b, which are in image with some behind them
// that fill it up, and writes their gradients, channels last, to data.
func (g *gradientModel) run(s *Session, b Batch, i, j int, image ort.Tensor, data []float32) error {
	full := int(image.Dims[0])
	labels := ort.Tensor{Type: onnx.Float32, Dims: []int64{int64(full), int64(s.teacherClasses)}, F32: make([]float32, full*s.teacherClasses)}
	for k, label := range b.Labels[i:j] {
		if s.spec.ClassOrder != nil {
			label = s.spec.ClassOrder[label]
		}
		labels.F32[k*s.teacherClasses+label] = 1
	}
	size, pixels, channels := s.spec.H*s.spec.W*s.spec.C, s.spec.H*s.spec.W, s.spec.C
	if s.spec.Layout == NHWC {
		image.Dims = NCHW.dims(full, s.spec.H, s.spec.W, channels)
		turned := make([]float32, len(image.F32))
		for k := range full {
			exchange(turned[k*size:(k+1)*size], image.F32[k*size:(k+1)*size], pixels, channels)
		}
		image.F32 = turned
	}
	out, err := g.session.Run([]ort.Tensor{image, labels}, nil)
	if err != nil {
		return fmt.Errorf("teachers: gradient of %s: %w", s.spec.Name, err)
	}
	for k := range j - i {
		exchange(data[(i+k)*size:(i+k+1)*size], out[0].F32[k*size:(k+1)*size], channels, pixels)
	}
	return nil
}

// exchange writes the matrix src [rows, cols] to dst as [cols, rows].
func exchange(dst, src []float32, rows, cols int) {
	for r := range rows {
		for c, v := range src[r*cols : (r+1)*cols] {
			dst[c*rows+r] = v
		}
	}
}

// checkLabels returns an error where a batch's labels do not name one of so
// many classes for each image.
func (b Batch) checkLabels(classes int) error {
	if len(b.Labels) != b.N {
		return fmt.Errorf("teachers: gradients with respect to the image need each image's label; the batch of %d images has %d", b.N, len(b.Labels))
	}
	for i, label := range b.Labels {
		if label < 0 || label >= classes {
			return fmt.Errorf("teachers: %s has the label %d; the classes are 0 to %d", b.sample(i), label, classes-1)
		}
	}
	return nil
}
