package kernel

// micro is the innermost arithmetic of the matrix products that convolutions
// are made of. There is one for each element type in plain Go, and one for
// float32 in assembly where the processor has the instructions.
//
// GFLOP/s of one core of a Zen 4 server that reaches 108 in a loop of nothing
// but fused multiply-adds, 2026-11, on the 3x3 convolutions of a WRN-16-1, 16 to
// 64 channels: assembly 80 to 95, forward and both derivatives; plain Go 3.5;
// gonum's Sgemm of im2row matrices, which leaves out the copy, 5 to 12 for
// A·Wᵀ, 2 to 8 for A·W and 6 to 9 for Gᵀ·A. Sgemm has assembly for the processors
// that have ours, and none for the others, so it is not used.
type micro[T Float] struct {
	name string

	// pixels is the number of output pixels of a tile. A panel holds the
	// weights of widths[0] output channels, or of widths[1] where no more
	// are left.
	pixels int
	widths [2]int

	// tile computes width output channels of some tiles of pixels:
	//
	//	dst[dstOff[p]+j] = Σ_r Σ_i src[srcOff[p]+runs[r]+i] · b[(r·runLen+i)·width+j]
	tile func(width int, dst, src, b []T, srcOff, dstOff, runs []int, runLen int)

	// units is the number of output channels of a rank update, columns the
	// numbers of weights it may have per output channel, in falling order.
	units   int
	columns [2]int

	// rank adds the products of cols output pixels in each of some rows, for
	// some tiles of units:
	//
	//	dst[dstOff[u]+j] += Σ_row Σ_q dy[dyOff[u]+row.dy+q·dyStep] · x[row.x+q·xStep+j]
	rank func(columns int, dst, x, dy []T, dyOff, dstOff []int, rows []rankRow, cols, xStep, dyStep int)

	// each is tile for a depthwise convolution, of width channels:
	//
	//	dst[dstOff[p]+j] = Σ_t src[srcOff[p]+taps[t]+j] · b[t·width+j]
	each func(width int, dst, src, b []T, srcOff, dstOff, taps []int)

	// eachRank is rank for a depthwise convolution, of width channels and units
	// taps:
	//
	//	dst[dstOff[u]+j] += Σ_row Σ_q dy[row.dy+q·dyStep+j] · x[tapOff[u]+row.x+q·xStep+j]
	eachRank func(width int, dst, x, dy []T, tapOff, dstOff []int, rows []rankRow, cols, xStep, dyStep int)
}

// rankRow is where a row of output pixels begins in x and dy.
type rankRow struct{ x, dy int }

// microFor returns the fastest arithmetic for T on this processor.
func microFor[T Float]() *micro[T] {
	if m, ok := any(fastest).(*micro[T]); ok && m != nil {
		return m
	}
	return portable[T]()
}

// panels returns the widths of the panels for k output channels, of which the
// last may hold less. Those of a depthwise convolution are always full.
func (m *micro[T]) panels(k int, each bool) (widths []int) {
	for ; k > 0; k -= widths[len(widths)-1] {
		width := m.widths[0]
		if k <= m.widths[1] {
			width = m.widths[1]
		}
		if each {
			width = min(width, k)
		}
		widths = append(widths, width)
	}
	return widths
}

// microForEach returns the fastest arithmetic of a depthwise convolution of c
// channels. The assembly takes eight at a time and would read beyond the last
// of others.
func microForEach[T Float](m *micro[T], c int) *micro[T] {
	if c%8 != 0 {
		return portable[T]()
	}
	return m
}

// portable returns the arithmetic in plain Go. Sixteen sums are what arm64 holds
// in registers, where the compiler fuses each multiplication with its addition;
// on amd64 some spill, at no more loss than smaller tiles have.
func portable[T Float]() *micro[T] {
	return &micro[T]{
		name:   "go",
		pixels: 4, widths: [2]int{4, 4}, tile: tileGo[T],
		units: 4, columns: [2]int{4, 4}, rank: rankGo[T],
		each: eachGo[T], eachRank: eachRankGo[T],
	}
}

// tileGo is micro.tile for four pixels and four output channels.
func tileGo[T Float](_ int, dst, src, b []T, srcOff, dstOff, runs []int, runLen int) {
	for ; len(srcOff) >= 4; srcOff, dstOff = srcOff[4:], dstOff[4:] {
		tile4x4(dst, src, b, srcOff, dstOff, runs, runLen)
	}
}

func tile4x4[T Float](dst, src, b []T, srcOff, dstOff, runs []int, runLen int) {
	var a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 T
	for _, run := range runs {
		x0 := src[srcOff[0]+run:][:runLen]
		x1 := src[srcOff[1]+run:][:len(x0)]
		x2 := src[srcOff[2]+run:][:len(x0)]
		x3 := src[srcOff[3]+run:][:len(x0)]
		for i := range x0 {
			w := b[:4]
			b = b[4:]
			a00 += x0[i] * w[0]
			a01 += x0[i] * w[1]
			a02 += x0[i] * w[2]
			a03 += x0[i] * w[3]
			a10 += x1[i] * w[0]
			a11 += x1[i] * w[1]
			a12 += x1[i] * w[2]
			a13 += x1[i] * w[3]
			a20 += x2[i] * w[0]
			a21 += x2[i] * w[1]
			a22 += x2[i] * w[2]
			a23 += x2[i] * w[3]
			a30 += x3[i] * w[0]
			a31 += x3[i] * w[1]
			a32 += x3[i] * w[2]
			a33 += x3[i] * w[3]
		}
	}
	y := dst[dstOff[0]:][:4]
	y[0], y[1], y[2], y[3] = a00, a01, a02, a03
	y = dst[dstOff[1]:][:4]
	y[0], y[1], y[2], y[3] = a10, a11, a12, a13
	y = dst[dstOff[2]:][:4]
	y[0], y[1], y[2], y[3] = a20, a21, a22, a23
	y = dst[dstOff[3]:][:4]
	y[0], y[1], y[2], y[3] = a30, a31, a32, a33
}

// rankGo is micro.rank for four output channels and four weights of each.
func rankGo[T Float](_ int, dst, x, dy []T, dyOff, dstOff []int, rows []rankRow, cols, xStep, dyStep int) {
	for ; len(dyOff) >= 4; dyOff, dstOff = dyOff[4:], dstOff[4:] {
		rank4x4(dst, x, dy, dyOff, dstOff, rows, cols, xStep, dyStep)
	}
}

func rank4x4[T Float](dst, x, dy []T, dyOff, dstOff []int, rows []rankRow, cols, xStep, dyStep int) {
	var a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 T
	for _, row := range rows {
		i, j := row.x, row.dy
		for range cols {
			v := x[i:][:4]
			v0, v1, v2, v3 := v[0], v[1], v[2], v[3]
			g := dy[dyOff[0]+j]
			a00 += g * v0
			a01 += g * v1
			a02 += g * v2
			a03 += g * v3
			g = dy[dyOff[1]+j]
			a10 += g * v0
			a11 += g * v1
			a12 += g * v2
			a13 += g * v3
			g = dy[dyOff[2]+j]
			a20 += g * v0
			a21 += g * v1
			a22 += g * v2
			a23 += g * v3
			g = dy[dyOff[3]+j]
			a30 += g * v0
			a31 += g * v1
			a32 += g * v2
			a33 += g * v3
			i += xStep
			j += dyStep
		}
	}
	y := dst[dstOff[0]:][:4]
	y[0], y[1], y[2], y[3] = y[0]+a00, y[1]+a01, y[2]+a02, y[3]+a03
	y = dst[dstOff[1]:][:4]
	y[0], y[1], y[2], y[3] = y[0]+a10, y[1]+a11, y[2]+a12, y[3]+a13
	y = dst[dstOff[2]:][:4]
	y[0], y[1], y[2], y[3] = y[0]+a20, y[1]+a21, y[2]+a22, y[3]+a23
	y = dst[dstOff[3]:][:4]
	y[0], y[1], y[2], y[3] = y[0]+a30, y[1]+a31, y[2]+a32, y[3]+a33
}

// eachGo is micro.each for any width.
func eachGo[T Float](width int, dst, src, b []T, srcOff, dstOff, taps []int) {
	for p, off := range srcOff {
		out := dst[dstOff[p]:][:width]
		clear(out)
		for t, tap := range taps {
			w := b[t*width:][:len(out)]
			for j, v := range src[off+tap:][:len(out)] {
				out[j] += v * w[j]
			}
		}
	}
}

// eachRankGo is micro.eachRank for any width.
func eachRankGo[T Float](width int, dst, x, dy []T, tapOff, dstOff []int, rows []rankRow, cols, xStep, dyStep int) {
	for u, tap := range tapOff {
		out := dst[dstOff[u]:][:width]
		for _, row := range rows {
			for q := range cols {
				g := dy[row.dy+q*dyStep:][:len(out)]
				for j, v := range x[tap+row.x+q*xStep:][:len(out)] {
					out[j] += v * g[j]
				}
			}
		}
	}
}
