//go:build !amd64

package kernel

// There is no assembly for this processor.

var fastest *micro[float32]

func channelFastest(int) *channelMicro[float32] { return nil }

func vectorReLU(_, _ []float32) int                           { return 0 }
func vectorGate(_, _, _ []float32) int                        { return 0 }
func vectorAdd(_, _, _ []float32) int                         { return 0 }
func vectorMul(_, _, _ []float32) int                         { return 0 }
func vectorSquares(_, _ []float32, _ int, _ float32) int      { return 0 }
func vectorSpread(_, _, _, _ []float32, _ int, _ float32) int { return 0 }
