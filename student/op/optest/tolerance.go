package optest

import (
	"fmt"
	"math"
)

// Tolerances, relative to the largest magnitude of the tensor wanted, or to
// smallScale where that is larger.
const (
	// Exact is for the same operations in the same order.
	Exact = 0
	// Close64 is for float64 sums of some hundred terms in another order.
	Close64 = 1e-12
	// Close32 is for float32 against float64: 2^-24 = 6e-8 for each rounding,
	// and some hundred roundings in a convolution or a normalised batch.
	Close32 = 2e-5
	// Difference is for a derivative against central differences of fourth
	// order: the fifth derivative leaves about step⁴ = 2e-15, and the rounding of
	// a cost of ten thousand about 1e4 · 1e-16 / step = 5e-9.
	Difference = 1e-8

	// step is the step of central differences.
	step = 2e-4

	smallScale = 1e-2
)

// Compare returns an error that names the first element of got further from
// want than tolerance allows. NaN equals NaN, and an infinity itself.
func Compare(got, want []float64, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("got %d elements, want %d", len(got), len(want))
	}
	scale := smallScale
	for _, v := range want {
		if !math.IsInf(v, 0) {
			scale = math.Max(scale, math.Abs(v)) // NaN stays out: its comparison below is by kind
		}
	}
	for i, w := range want {
		g := got[i]
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		if d := math.Abs(g - w); !(d <= tolerance*scale) {
			return fmt.Errorf("element %d of %d: got %.10g, want %.10g, off by %.2g of the largest %.3g (tolerance %g)",
				i, len(want), g, w, d/scale, scale, tolerance)
		}
	}
	return nil
}
