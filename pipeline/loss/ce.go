package loss

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// CE is the cross-entropy between labels and the student's softmax, averaged
// over the batch:
//
//	CE = − mean_b Σ_k t'_bk · log p_bk
//	p  = softmax(logits),  t' = (1−s)·t + s/K
//
// logits and target t are [batch, K]; target holds one-hot labels or any
// probabilities. s is the label smoothing of Szegedy et al. 2016 (section 7),
// from 0, which is none, to below 1; the uniform share s/K counts the right
// class too, as in PyTorch. The result is a scalar.
func CE(logits, target *gorgonia.Node, smoothing float64) (*gorgonia.Node, error) {
	if err := wantLogits("CE", "logits", logits, "target", target); err != nil {
		return nil, err
	}
	if !(smoothing >= 0 && smoothing < 1) {
		return nil, fmt.Errorf("loss: CE wants a label smoothing from 0 to below 1, got %v", smoothing)
	}
	batch, classes := logits.Shape()[0], logits.Shape()[1]
	var s steps
	if smoothing > 0 {
		target = s.take(op.Scale(target, 1-smoothing))
		target = s.take(op.AddScalar(target, smoothing/float64(classes)))
	}
	logp := s.take(op.LogSoftmax(logits))
	sum := s.take(op.Sum(s.take(op.Mul(target, logp))))
	return s.end(op.Scale(sum, -1/float64(batch)))
}

// wantLogits checks that a and b are matrices of one shape.
func wantLogits(loss, aName string, a *gorgonia.Node, bName string, b *gorgonia.Node) error {
	if a == nil || b == nil {
		return fmt.Errorf("loss: %s wants %s and %s [batch, classes], got a nil node", loss, aName, bName)
	}
	x, y := a.Shape(), b.Shape()
	if len(x) != 2 || len(y) != 2 || x[0] != y[0] || x[1] != y[1] || x.TotalSize() == 0 {
		return fmt.Errorf("loss: %s wants %s and %s of one shape [batch, classes], got %v and %v", loss, aName, bName, x, y)
	}
	return nil
}

// steps collects the errors of an expression of several nodes. After an error
// its nodes are nil, which operators refuse without a panic.
type steps struct{ err error }

// take returns n and keeps the first error.
func (s *steps) take(n *gorgonia.Node, err error) *gorgonia.Node {
	if s.err == nil {
		s.err = err
	}
	return n
}

// end takes the last node and returns it with the first error.
func (s *steps) end(n *gorgonia.Node, err error) (*gorgonia.Node, error) {
	n = s.take(n, err)
	if s.err != nil {
		return nil, fmt.Errorf("loss: %w", s.err)
	}
	return n, nil
}
