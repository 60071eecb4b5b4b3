package kernel

// The functions of this file compute the leading elements of dst in assembly
// and return how many: none where the processor lacks AVX2, or where dst is
// nil, as it is for other elements than float32. The caller does the rest.
// Results are those of the loops in Go, bit for bit.

func vectorReLU(dst, x []float32) int {
	n := vectorLength(dst)
	if n > 0 {
		relu8(&dst[0], &x[:n][0], n)
	}
	return n
}

func vectorGate(dst, x, g []float32) int {
	n := vectorLength(dst)
	if n > 0 {
		gate8(&dst[0], &x[:n][0], &g[:n][0], n)
	}
	return n
}

func vectorAdd(dst, a, b []float32) int {
	n := vectorLength(dst)
	if n > 0 {
		add8(&dst[0], &a[:n][0], &b[:n][0], n)
	}
	return n
}

func vectorMul(dst, a, b []float32) int {
	n := vectorLength(dst)
	if n > 0 {
		mul8(&dst[0], &a[:n][0], &b[:n][0], n)
	}
	return n
}

// vectorSquares sets dst[i] to k times the sum of the squares of row i of c
// elements of x. Its sums are not in the order of a loop.
func vectorSquares(dst, x []float32, c int, k float32) int {
	if fastest == nil || c%8 != 0 || len(dst) == 0 {
		return 0
	}
	squares8(&dst[0], &x[:len(dst)*c][0], len(dst), c, k)
	return len(dst)
}

// vectorSpread sets row i of c elements of dst to k·g[i]·x + add, where a nil
// add is none. It counts rows.
func vectorSpread(dst, x, g, add []float32, c int, k float32) int {
	if fastest == nil || c%8 != 0 || len(g) == 0 {
		return 0
	}
	n := len(g) * c
	spread8(&dst[:n][0], &x[:n][0], &g[0], first(add, n), len(g), c, k)
	return len(g)
}

func vectorLength(dst []float32) int {
	if fastest == nil {
		return 0
	}
	return len(dst) &^ 7
}

//go:noescape
func relu8(dst, x *float32, n int)

//go:noescape
func gate8(dst, x, dy *float32, n int)

//go:noescape
func add8(dst, a, b *float32, n int)

//go:noescape
func mul8(dst, a, b *float32, n int)

//go:noescape
func squares8(dst, x *float32, rows, c int, k float32)

//go:noescape
func spread8(dst, x, weights, add *float32, rows, c int, k float32)
