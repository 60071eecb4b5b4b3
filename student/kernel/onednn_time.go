//go:build onednn && cgo

package kernel

import (
	"fmt"
	"time"

	"github.com/onnxdistill/onnxdistill/student/kernel/internal/onednn"
)

// ReferenceConv returns the time that oneDNN's own primitive for a member of the
// convolution of s takes, as it comes: the whole batch, on all cores, weights
// already in its order. It is the shortest of some runs over memory of its own.
// Without oneDNN it is an error.
func ReferenceConv(s ConvShape, m ConvMember, runs int) (time.Duration, error) {
	members := map[ConvMember]onednn.Member{Forward: onednn.Forward, BackwardData: onednn.Data, BackwardWeights: onednn.Weights}
	member, ok := members[m]
	if !ok {
		return 0, fmt.Errorf("kernel: member %d of the convolution family; choose Forward, BackwardData or BackwardWeights", int(m))
	}
	o, err := onednn.ReferenceConv(geometryOf(s, s.N), member)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	return o.Time(runs)
}

// ReferenceBatchNorm is ReferenceConv for batch normalisation in training, of
// images [n,h,w,c], with a ReLU where relu, or for its derivative where back.
func ReferenceBatchNorm(n, h, w, c int, relu, back bool, runs int) (time.Duration, error) {
	o, err := onednn.ReferenceNorm(n, h, w, c, 1e-5, relu, back)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	return o.Time(runs)
}
