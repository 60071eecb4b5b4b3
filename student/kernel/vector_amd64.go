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
