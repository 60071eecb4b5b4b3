package loss

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// KD is the soft-target loss of Hinton, Vinyals & Dean 2015 (section 2), as the
// Kullback-Leibler divergence of the student from the teacher, averaged over the
// batch:
//
//	KD = T² · mean_b Σ_k q_bk · (log q_bk − log p_bk)
//	p  = softmax(student/T),  q = softmax(teacher/T)
//
// student and teacher are logits [batch, K]; log-probabilities serve as well,
// since the softmax does not see a constant. T is the temperature, above 0. The
// factor T² keeps the gradient's size independent of T. The paper's cross-entropy
// with soft targets differs by the teacher's entropy, a constant with the same
// gradient; written as a divergence the loss is 0 where student and teacher
// agree. The result is a scalar.
func KD(student, teacher *gorgonia.Node, temperature float64) (*gorgonia.Node, error) {
	if err := wantLogits("KD", "student", student, "teacher", teacher); err != nil {
		return nil, err
	}
	if !(temperature > 0) || math.IsInf(temperature, 1) {
		return nil, fmt.Errorf("loss: KD wants a temperature above 0, got %v", temperature)
	}
	batch := student.Shape()[0]
	var s steps
	logp := s.take(op.LogSoftmax(s.take(op.Scale(student, 1/temperature))))
	logq := s.take(op.LogSoftmax(s.take(op.Scale(teacher, 1/temperature))))
	q := s.take(op.Exp(logq))
	sum := s.take(op.Sum(s.take(op.Mul(q, s.take(op.Sub(logq, logp))))))
	return s.end(op.Scale(sum, temperature*temperature/float64(batch)))
}
