package kernel

const (
	winogradTile   = 4                // output pixels of a tile, each way
	winogradWindow = winogradTile + 2 // pixels of the window below it, each way
	winogradPlanes = winogradWindow * winogradWindow
)

// The matrices A, B and G evaluate and interpolate polynomials in 0, ±wa, ±wb and
// ∞. The points decide about the rounding error. With these two, the best of 56
// pairs tried, its root mean square is twice that of the definition's sum in
// float32, for 16 to 64 channels, normal images and He's weights, and its
// maximum 2 to 4 times; with ±1 and ±2, those of the paper, it is 4 and 7 times.
// oneDNN has the same points. They and their squares are exact in binary.
const (
	wa, wb = 0.625, 1.5

	wa2, wb2 = wa * wa, wb * wb
	wa3, wb3 = wa2 * wa, wb2 * wb
	was, wap = wa2 + wb2, wa2 * wb2

	// The factors of G: at a point p, 1/∏(p−q) over the other finite points q,
	// times a power of p.
	wg0        = 1 / wap
	wga, wgb   = 1 / (2 * wa2 * (wa2 - wb2)), 1 / (2 * wb2 * (wb2 - wa2))
	wga1, wgb1 = wga * wa, wgb * wb
	wga2, wgb2 = wga * wa2, wgb * wb2
)

// winogradMicro is the arithmetic of Winograd's convolutions, in plain Go or in
// assembly. Where a matrix has planes, plane is the number of elements from one
// to the next; rows in a plane have no gaps. Channels come in multiples of 8.
type winogradMicro[T Float] struct {
	name string

	// tiles divides the number of tiles of a product. Its panels are of
	// widths[0] output channels, or of widths[1] where no more are left.
	tiles  int
	widths [2]int

	// input transforms the windows of neighbouring tiles, one for each element
	// of columns:
	//
	//	v[plane 6i+j][tile][c] = (Bᵀ d B)[i][j]
	//
	// Row i of the first window begins at x[rows[i]], which may be before x, or
	// is outside of the image. Bit j of columns tells whether column j of a
	// window is inside. What is not inside counts as zero; zero holds 6·c zeros.
	input func(v []T, plane int, x, zero []T, rows *[winogradWindow]int, columns []uint8, c int)

	// weights transforms weights of n pairs of channels, the taps of all
	// one behind the other:
	//
	//	u[plane 6i+j][l] = (G g Gᵀ)[i][j], g[i][j] = taps[(3i+j)·n+l]
	weights func(u []T, plane int, taps []T, n int)

	// product multiplies plane by plane:
	//
	//	m[plane][tile][k] = Σ_c v[plane][tile][c] · u[plane][panel of k][c][k in the panel]
	//
	// near, which is to be written next, and next, to be read after that, may be
	// fetched to the cache meanwhile. Without that, on large images, a third of
	// the time goes by waiting for memory.
	product func(m []T, mPlane int, v []T, vPlane int, u []T, tiles, c, k int, near, next []T)

	// output transforms sums to neighbouring tiles, one for each element of
	// columns, which is the number of their columns as rows is of their rows,
	// and applies e with bias, which is zero where e has none, and add:
	//
	//	y[i·row + (4·tile+j)·k + channel] = (Aᵀ m A)[i][j]
	//
	// y and add begin at the first pixel.
	output func(y []T, row int, m []T, plane, rows int, columns []uint8, k int, bias, add []T, e Epilogue)

	// spread transforms tiles of the result's derivative, k channels of pixels
	// that are step elements apart; rows and columns are as for input:
	//
	//	d[plane 6i+j][tile][k] = (A y Aᵀ)[i][j]
	spread func(d []T, plane int, y, zero []T, rows *[winogradWindow]int, columns []uint8, k, step int)

	// outer sums over tiles, on top of what s holds if more is true:
	//
	//	s[plane][k][c] = Σ_tile d[plane][tile][k] · v[plane][tile][c]
	//
	// near and next may be fetched to the cache as in product.
	outer func(s []T, plane int, d []T, dPlane int, v []T, vPlane, tiles, c, k int, more bool, near, next []T)

	// fold transforms sums of n pairs of channels to weights:
	//
	//	w[(3i+j)·step+l] = (Gᵀ s G)[i][j], s[i][j] = s[plane 6i+j][l]
	fold func(w []T, step int, s []T, plane, n int)
}

// outside marks a row of a window that is not in the image.
const outside = -1 << 62

// winogradMicroFor returns the fastest arithmetic for T on this processor.
func winogradMicroFor[T Float]() *winogradMicro[T] {
	if m, ok := any(winogradFastest).(*winogradMicro[T]); ok && m != nil {
		return m
	}
	return winogradPortable[T]()
}

// winogradPortable returns the arithmetic in plain Go.
func winogradPortable[T Float]() *winogradMicro[T] {
	return &winogradMicro[T]{
		name: "go", tiles: 4, widths: [2]int{4, 4},
		input: winogradInput[T], weights: winogradWeights[T], product: winogradProduct[T], output: winogradOutput[T],
		spread: winogradSpread[T], outer: winogradOuter[T], fold: winogradFold[T],
	}
}

// alongB returns Bᵀ d.
func alongB[T Float](d0, d1, d2, d3, d4, d5 T) (t0, t1, t2, t3, t4, t5 T) {
	ea, oa := d4-wb2*d2, d3-wb2*d1
	eb, ob := d4-wa2*d2, d3-wa2*d1
	return d4 - was*d2 + wap*d0, ea + wa*oa, ea - wa*oa, eb + wb*ob, eb - wb*ob, d5 - was*d3 + wap*d1
}

// alongG returns G g.
func alongG[T Float](g0, g1, g2 T) (t0, t1, t2, t3, t4, t5 T) {
	ea, oa := wga*g0+wga2*g2, wga1*g1
	eb, ob := wgb*g0+wgb2*g2, wgb1*g1
	return wg0 * g0, ea + oa, ea - oa, eb + ob, eb - ob, g2
}

// alongA returns Aᵀ m.
func alongA[T Float](m0, m1, m2, m3, m4, m5 T) (y0, y1, y2, y3 T) {
	sa, sb := m1+m2, m3+m4
	da, db := m1-m2, m3-m4
	return m0 + sa + sb, wa*da + wb*db, wa2*sa + wb2*sb, m5 + wa3*da + wb3*db
}

// alongAT returns A y.
func alongAT[T Float](y0, y1, y2, y3 T) (t0, t1, t2, t3, t4, t5 T) {
	ea, oa := y0+wa2*y2, y1+wa2*y3
	eb, ob := y0+wb2*y2, y1+wb2*y3
	return y0, ea + wa*oa, ea - wa*oa, eb + wb*ob, eb - wb*ob, y3
}

// alongGT returns Gᵀ m.
func alongGT[T Float](m0, m1, m2, m3, m4, m5 T) (g0, g1, g2 T) {
	sa, sb := m1+m2, m3+m4
	da, db := m1-m2, m3-m4
	return wg0*m0 + wga*sa + wgb*sb, wga1*da + wgb1*db, m5 + wga2*sa + wgb2*sb
}

// winogradInput is winogradMicro.input.
func winogradInput[T Float](v []T, plane int, x, _ []T, rows *[winogradWindow]int, columns []uint8, c int) {
	for t, inside := range columns {
		for ch := range c {
			var d [winogradWindow][winogradWindow]T
			for j := range winogradWindow {
				if inside&(1<<j) == 0 {
					continue
				}
				var s [winogradWindow]T
				at := (winogradTile*t+j)*c + ch
				for i, row := range rows {
					if row != outside {
						s[i] = x[row+at]
					}
				}
				d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j] = alongB(s[0], s[1], s[2], s[3], s[4], s[5])
			}
			at := t*c + ch
			for i := range d {
				s := &d[i]
				v[at], v[at+plane], v[at+2*plane], v[at+3*plane], v[at+4*plane], v[at+5*plane] = alongB(s[0], s[1], s[2], s[3], s[4], s[5])
				at += winogradWindow * plane
			}
		}
	}
}

// winogradWeights is winogradMicro.weights.
func winogradWeights[T Float](u []T, plane int, taps []T, n int) {
	for l := range n {
		var s [winogradWindow][3]T
		for j := range 3 {
			s[0][j], s[1][j], s[2][j], s[3][j], s[4][j], s[5][j] = alongG(taps[j*n+l], taps[(3+j)*n+l], taps[(6+j)*n+l])
		}
		at := l
		for i := range s {
			u[at], u[at+plane], u[at+2*plane], u[at+3*plane], u[at+4*plane], u[at+5*plane] = alongG(s[i][0], s[i][1], s[i][2])
			at += winogradWindow * plane
		}
	}
}

// winogradProduct is winogradMicro.product for four tiles and four output
// channels at a time.
func winogradProduct[T Float](m []T, mPlane int, v []T, vPlane int, u []T, tiles, c, k int, _, _ []T) {
	for p := range winogradPlanes {
		v, m := v[p*vPlane:], m[p*mPlane:]
		for first := 0; first < k; first += 4 {
			b := u[(p*k+first)*c:][:4*c]
			for t := 0; t < tiles; t += 4 {
				product4x4(m[t*k+first:], v[t*c:], b, c, k)
			}
		}
	}
}

func product4x4[T Float](m, v, b []T, c, k int) {
	var a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 T
	x0 := v[:c]
	x1 := v[c:][:len(x0)]
	x2 := v[2*c:][:len(x0)]
	x3 := v[3*c:][:len(x0)]
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
	y := m[:4]
	y[0], y[1], y[2], y[3] = a00, a01, a02, a03
	y = m[k:][:4]
	y[0], y[1], y[2], y[3] = a10, a11, a12, a13
	y = m[2*k:][:4]
	y[0], y[1], y[2], y[3] = a20, a21, a22, a23
	y = m[3*k:][:4]
	y[0], y[1], y[2], y[3] = a30, a31, a32, a33
}

// winogradOutput is winogradMicro.output.
func winogradOutput[T Float](y []T, row int, m []T, plane, rows int, columns []uint8, k int, bias, add []T, e Epilogue) {
	for t, n := range columns {
		for ch := range k {
			var s [winogradTile][winogradWindow]T
			at := t*k + ch
			for j := range winogradWindow {
				s[0][j], s[1][j], s[2][j], s[3][j] = alongA(m[at], m[at+6*plane], m[at+12*plane], m[at+18*plane], m[at+24*plane], m[at+30*plane])
				at += plane
			}
			for i := range rows {
				d := &s[i]
				var out [winogradTile]T
				out[0], out[1], out[2], out[3] = alongA(d[0], d[1], d[2], d[3], d[4], d[5])
				at := i*row + winogradTile*t*k + ch
				for _, v := range out[:n] {
					if e.Bias {
						v += bias[ch]
					}
					if e.Add {
						v += add[at]
					}
					if e.ReLU && v < 0 {
						v = 0
					}
					y[at] = v
					at += k
				}
			}
		}
	}
}

// winogradSpread is winogradMicro.spread.
func winogradSpread[T Float](d []T, plane int, y, _ []T, rows *[winogradWindow]int, columns []uint8, k, step int) {
	for t, inside := range columns {
		for ch := range k {
			var s [winogradWindow][winogradTile]T
			for j := range winogradTile {
				if inside&(1<<j) == 0 {
					continue
				}
				var e [winogradTile]T
				at := (winogradTile*t+j)*step + ch
				for i := range e {
					if rows[i] != outside {
						e[i] = y[rows[i]+at]
					}
				}
				s[0][j], s[1][j], s[2][j], s[3][j], s[4][j], s[5][j] = alongAT(e[0], e[1], e[2], e[3])
			}
			at := t*k + ch
			for i := range s {
				e := &s[i]
				d[at], d[at+plane], d[at+2*plane], d[at+3*plane], d[at+4*plane], d[at+5*plane] = alongAT(e[0], e[1], e[2], e[3])
				at += winogradWindow * plane
			}
		}
	}
}

// winogradOuter is winogradMicro.outer for four channels of each side at a time.
func winogradOuter[T Float](s []T, plane int, d []T, dPlane int, v []T, vPlane, tiles, c, k int, more bool, _, _ []T) {
	for p := range winogradPlanes {
		s, d, v := s[p*plane:][:c*k], d[p*dPlane:], v[p*vPlane:]
		if !more {
			clear(s)
		}
		for i := 0; i < k; i += 4 {
			for j := 0; j < c; j += 4 {
				outer4x4(s[i*c+j:], d[i:], v[j:], tiles, c, k)
			}
		}
	}
}

func outer4x4[T Float](s, d, v []T, tiles, c, k int) {
	var a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33 T
	for t := range tiles {
		x, g := v[t*c:][:4], d[t*k:][:4]
		x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
		a00 += g[0] * x0
		a01 += g[0] * x1
		a02 += g[0] * x2
		a03 += g[0] * x3
		a10 += g[1] * x0
		a11 += g[1] * x1
		a12 += g[1] * x2
		a13 += g[1] * x3
		a20 += g[2] * x0
		a21 += g[2] * x1
		a22 += g[2] * x2
		a23 += g[2] * x3
		a30 += g[3] * x0
		a31 += g[3] * x1
		a32 += g[3] * x2
		a33 += g[3] * x3
	}
	y := s[:4]
	y[0], y[1], y[2], y[3] = y[0]+a00, y[1]+a01, y[2]+a02, y[3]+a03
	y = s[c:][:4]
	y[0], y[1], y[2], y[3] = y[0]+a10, y[1]+a11, y[2]+a12, y[3]+a13
	y = s[2*c:][:4]
	y[0], y[1], y[2], y[3] = y[0]+a20, y[1]+a21, y[2]+a22, y[3]+a23
	y = s[3*c:][:4]
	y[0], y[1], y[2], y[3] = y[0]+a30, y[1]+a31, y[2]+a32, y[3]+a33
}

// winogradFold is winogradMicro.fold.
func winogradFold[T Float](w []T, step int, s []T, plane, n int) {
	for l := range n {
		var d [3][winogradWindow]T
		at := l
		for j := range winogradWindow {
			d[0][j], d[1][j], d[2][j] = alongGT(s[at], s[at+6*plane], s[at+12*plane], s[at+18*plane], s[at+24*plane], s[at+30*plane])
			at += plane
		}
		at = l
		for i := range d {
			e := &d[i]
			w[at], w[at+step], w[at+2*step] = alongGT(e[0], e[1], e[2], e[3], e[4], e[5])
			at += 3 * step
		}
	}
}
