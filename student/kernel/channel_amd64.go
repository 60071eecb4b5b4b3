package kernel

// channelFastest returns the arithmetic in assembly for c channels of float32,
// nil where the processor lacks the instructions or c is no multiple of the
// eight channels that are taken at once.
func channelFastest(c int) *channelMicro[float32] {
	if fastest == nil || c%8 != 0 {
		return nil
	}
	return &channelAVX2
}

var channelAVX2 = channelMicro[float32]{
	sum: func(dst, x, pivot []float32, rows, c int) {
		for k := 0; k < c; k += 8 {
			sum8(&dst[k], &x[k], &pivot[k], rows, c)
		}
	},
	square: func(dst, x, mean []float32, rows, c int) {
		for k := 0; k < c; k += 8 {
			square8(&dst[k], &x[k], &mean[k], rows, c)
		}
	},
	products: func(plain, centred, x, dy, mean []float32, rows, c int) {
		for k := 0; k < c; k += 8 {
			products8(&plain[k], &centred[k], &x[k], &dy[k], &mean[k], rows, c)
		}
	},
	affine: func(y, x, mean, a, b []float32, rows, c int) {
		for k := 0; k < c; k += 8 {
			affine8(&y[k], &x[k], &mean[k], &a[k], &b[k], rows, c)
		}
	},
	back: func(dx, x, dy, mean, a, b, d []float32, rows, c int) {
		for k := 0; k < c; k += 8 {
			back8(&dx[k], &x[k], &dy[k], &mean[k], &a[k], &b[k], &d[k], rows, c)
		}
	},
}

//go:noescape
func sum8(dst, x, pivot *float32, rows, ld int)

//go:noescape
func square8(dst, x, mean *float32, rows, ld int)

//go:noescape
func products8(plain, centred, x, dy, mean *float32, rows, ld int)

//go:noescape
func affine8(y, x, mean, a, b *float32, rows, ld int)

//go:noescape
func back8(dx, x, dy, mean, a, b, d *float32, rows, ld int)
