package kernel

import "math"

// LogSoftmax plans dst = x - log Σ exp(x) for each row of x[rows, k]. The
// largest element is taken out first, so that no logit overflows.
func LogSoftmax[T Float](rows, k int) (run func(dst, x []T) error) {
	return PerRow(rows, k, k, func(dst, x []T) {
		for ; len(x) > 0; dst, x = dst[k:], x[k:] {
			LogSoftmaxGroup(dst[:k], x[:k])
		}
	})
}

// LogSoftmaxGroup computes x - log Σ exp(x), for PerGroup.
func LogSoftmaxGroup[T Float](dst, x []T) {
	top := largestOf(x)
	var s float64
	for _, v := range x {
		s += math.Exp(float64(v - top))
	}
	// Subtracted one after the other: top + log s would lose log s to rounding
	// where the logits are large.
	l := T(math.Log(s))
	for i, v := range x {
		dst[i] = v - top - l
	}
}

// SoftmaxGroup returns the function exp(x) / Σ exp(x), for PerGroup. The largest
// element is taken out first, so that no element overflows.
func SoftmaxGroup[T Float]() func(dst, x []T) {
	exp := smooth[T](math.Exp)
	return func(dst, x []T) {
		top := largestOf(x)
		var s float64
		for i, v := range x {
			e := exp(v - top)
			s += float64(e)
			dst[i] = e
		}
		f := 1 / s
		for i, v := range dst {
			dst[i] = T(float64(v) * f)
		}
	}
}

// SoftmaxBackGroup computes y·(g − Σ g·y), for PerGroup2: SoftmaxGroup's
// derivative where y is its value.
func SoftmaxBackGroup[T Float](dst, g, y []T) {
	g, y = g[:len(dst)], y[:len(dst)]
	var s float64
	for i, v := range g {
		s += float64(v) * float64(y[i])
	}
	for i, v := range g {
		dst[i] = T(float64(y[i]) * (float64(v) - s))
	}
}

func largestOf[T Float](x []T) T {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	return top
}
