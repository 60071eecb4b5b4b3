//go:build !amd64

package kernel

// There is no assembly for this processor.

func windowMax(_, _ []float32, _, _, _, _ int) int               { return 0 }
func windowScatter(_, _, _ []float32, _, _, _, _ int) int        { return 0 }
func windowSum(_, _ []float32, _, _, _, _ int, _ float32) int    { return 0 }
func windowSpread(_, _ []float32, _, _, _, _ int, _ float32) int { return 0 }
