package kernel

// The functions of this file compute a window of pooling for its leading
// channels in assembly and return for how many: none where the processor lacks
// AVX2, or where the slices are nil, as they are for other elements than float32.
// The caller does the rest. Results are those of the loops in Go, save the sign
// of zero in derivatives.
//
// A window is rows × cols pixels of c channels, rows one below the other being
// ld elements apart; its first pixel is the first of the slice.

// windowReach returns the number of channels to compute, and panics where the
// window would reach beyond x.
func windowReach(x []float32, rows, cols, ld, c int) int {
	n := vectorLength(x[:min(c, len(x))])
	if n > 0 {
		_ = x[(rows-1)*ld+(cols-1)*c+n-1]
	}
	return n
}

// windowMax computes y[c], the largest element of each channel of x, or its first
// NaN.
func windowMax(y, x []float32, rows, cols, ld, c int) int {
	n := windowReach(x, rows, cols, ld, c)
	if n > 0 {
		windowMax8(&y[:n][0], &x[0], rows, cols, ld, c, n)
	}
	return n
}

// windowScatter adds dy[c] to dx where the element is that windowMax found in x.
func windowScatter(dx, x, dy []float32, rows, cols, ld, c int) int {
	n := windowReach(x, rows, cols, ld, c)
	if n > 0 {
		windowScatter8(&dx[:len(x)][0], &x[0], &dy[:n][0], rows, cols, ld, c, n)
	}
	return n
}

// windowSum computes y[c], f times the sum of each channel of x.
func windowSum(y, x []float32, rows, cols, ld, c int, f float32) int {
	n := windowReach(x, rows, cols, ld, c)
	if n > 0 {
		windowSum8(&y[:n][0], &x[0], rows, cols, ld, c, n, f)
	}
	return n
}

// windowSpread adds f·dy[c] to each pixel of dx.
func windowSpread(dx, dy []float32, rows, cols, ld, c int, f float32) int {
	n := windowReach(dx, rows, cols, ld, c)
	if n > 0 {
		windowSpread8(&dx[0], &dy[:n][0], rows, cols, ld, c, n, f)
	}
	return n
}

//go:noescape
func windowMax8(y, x *float32, rows, cols, ld, c, n int)

//go:noescape
func windowScatter8(dx, x, dy *float32, rows, cols, ld, c, n int)

//go:noescape
func windowSum8(y, x *float32, rows, cols, ld, c, n int, f float32)

//go:noescape
func windowSpread8(dx, dy *float32, rows, cols, ld, c, n int, f float32)
