package loss

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// Gradient is the gradient-based attention transfer of Zagoruyko & Komodakis
// 2017 (section 3.2):
//
//	½ mean_b ‖J_S,b − J_T,b‖₂,  J = ∂CE/∂x
//
// student and teacher are J_S and J_T [batch, H, W, C], the gradients of each
// sample's own cross-entropy by its image, in one unit of pixels; InputGradient
// makes the first. The derivative of ‖·‖₂ at zero, where they agree, is taken
// as 0. The term is without β. The result is a scalar.
func Gradient(student, teacher *gorgonia.Node) (*gorgonia.Node, error) {
	if student == nil || teacher == nil {
		return nil, fmt.Errorf("loss: Gradient wants the student's and the teacher's gradients [batch, H, W, C], got a nil node")
	}
	x, y := student.Shape(), teacher.Shape()
	if len(x) != 4 || len(y) != 4 || x[0] != y[0] || x[1] != y[1] || x[2] != y[2] || x[3] != y[3] || x.TotalSize() == 0 {
		return nil, fmt.Errorf("loss: Gradient wants gradients of one shape [batch, H, W, C], got %v and %v", x, y)
	}
	var s steps
	d := s.take(op.Flatten(s.take(op.Sub(student, teacher))))
	return s.end(op.Scale(s.take(op.Mean(s.take(op.NormRows(d, 0)))), 0.5))
}

// InputGradient returns J_S: the gradient of each sample's cross-entropy by its
// image, of image's shape [batch, ...]. ce is their mean over the batch, as CE
// gives it, and image the input it is computed from. It can be differentiated
// again, by the student's parameters. Where training-mode batch normalisation
// couples the samples of a batch, a sample's gradient holds what it does to the
// others' cross-entropy too.
func InputGradient(ce, image *gorgonia.Node) (*gorgonia.Node, error) {
	if ce == nil || image == nil || image.Dims() == 0 {
		return nil, fmt.Errorf("loss: InputGradient wants a cross-entropy and the images [batch, ...] it is computed from, got %v and %v", ce, image)
	}
	g, err := op.Gradient(ce, image)
	if err != nil {
		return nil, fmt.Errorf("loss: %w", err)
	}
	var s steps
	return s.end(op.Scale(g[0], float64(image.Shape()[0])))
}
