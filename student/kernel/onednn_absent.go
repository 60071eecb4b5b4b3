//go:build !(onednn && cgo)

package kernel

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
