package student

import "math"

// folded is the weight and bias of a convolution once the layers after it are
// part of it.
type folded struct {
	weight []float64 // [K, R, S, C/groups]
	bias   []float64 // [K], nil when there is none
}

// addBias makes y + b part of the convolution.
func (f *folded) addBias(b []float64) {
	if f.bias == nil {
		f.bias = make([]float64, len(b))
	}
	for k := range f.bias {
		f.bias[k] += b[k]
	}
}

// normalise makes batch normalisation by the running statistics [2, K] part of
// the convolution. With a = scale / √(variance + ε),
//
//	a·(w∗x + b − mean) + shift = (a·w)∗x + a·(b − mean) + shift
func (f *folded) normalise(scale, shift, running []float64, epsilon float64) {
	channels := len(scale)
	if f.bias == nil {
		f.bias = make([]float64, channels)
	}
	per := len(f.weight) / channels
	for k := range channels {
		mean, variance := running[k], running[channels+k]
		a := scale[k] / math.Sqrt(variance+epsilon)
		for i := range per {
			f.weight[k*per+i] *= a
		}
		f.bias[k] = a*(f.bias[k]-mean) + shift[k]
	}
}

// toNCHW returns x [N, H, W, C] as [N, C, H, W]; weights [K, R, S, C] become
// [K, C, R, S] by the same rule.
func toNCHW(x []float64, n, h, w, c int) []float64 {
	y := make([]float64, 0, len(x))
	for i := range n {
		for k := range c {
			for p := range h * w {
				y = append(y, x[(i*h*w+p)*c+k])
			}
		}
	}
	return y
}

// transposed returns the matrix x [rows, columns] as [columns, rows].
func transposed[T float32 | float64](x []T, rows, columns int) []T {
	y := make([]T, 0, len(x))
	for j := range columns {
		for i := range rows {
			y = append(y, x[i*columns+j])
		}
	}
	return y
}
