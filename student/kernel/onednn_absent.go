//go:build !(onednn && cgo)

package kernel

import (
	"errors"
	"time"
)

// oneDNN is not linked.

func onednnForward(ConvShape, Epilogue) (p EpiloguePlan[float32], ok bool) { return p, false }
func onednnBackwardData(ConvShape) (p ConvPlan[float32], ok bool)          { return p, false }
func onednnBackwardWeights(ConvShape) (p ConvPlan[float32], ok bool)       { return p, false }

func libraryForward(ConvShape, Epilogue) (p EpiloguePlan[float32], ok bool) { return p, false }
func libraryBackwardData(ConvShape) (p ConvPlan[float32], ok bool)          { return p, false }
func libraryBackwardWeights(ConvShape) (p ConvPlan[float32], ok bool)       { return p, false }

// OneDNN returns the version of oneDNN and the instructions it uses, "2.6.3
// (AVX-512)", and whether it is linked. To link it, install its development
// package (Debian's libdnnl-dev, Homebrew's onednn) and build with cgo and the
// tag onednn.
func OneDNN() (version string, linked bool) { return "", false }

var errNotLinked = errors.New("kernel: oneDNN is not linked; install its development package and build with cgo and -tags onednn")

// ReferenceConv returns the time that oneDNN's own primitive for a member of the
// convolution of s takes, as it comes: the whole batch, on all cores, weights
// already in its order. It is the shortest of some runs over memory of its own.
// Without oneDNN it is an error.
func ReferenceConv(s ConvShape, m ConvMember, runs int) (time.Duration, error) {
	return 0, errNotLinked
}

// ReferenceBatchNorm is ReferenceConv for batch normalisation in training, of
// images [n,h,w,c], with a ReLU where relu, or for its derivative where back.
func ReferenceBatchNorm(n, h, w, c int, relu, back bool, runs int) (time.Duration, error) {
	return 0, errNotLinked
}
