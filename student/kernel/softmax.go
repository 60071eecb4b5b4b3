package kernel

import "math"

// LogSoftmax plans dst = x - log Σ exp(x) for each row of x[rows, k]. The
// largest element is taken out first, so that no logit overflows.
func LogSoftmax[T Float](rows, k int) (run func(dst, x []T) error) {
	return PerRow(rows, k, k, func(dst, x []T) {
		for ; len(x) > 0; dst, x = dst[k:], x[k:] {
			top := x[0]
			for _, v := range x[:k] {
				top = max(top, v)
			}
			var s float64
			for _, v := range x[:k] {
				s += math.Exp(float64(v - top))
			}
			// Subtracted one after the other: top + log s would lose log s to
			// rounding where the logits are large.
			l := T(math.Log(s))
			for i, v := range x[:k] {
				dst[i] = v - top - l
			}
		}
	})
}
