package kernel

// The functions of this file see a feature map as pixels x c channels,
// channels innermost, and an attention map as one value for each pixel.

// AttentionSum plans dst[pixels] = Σ_c f(x[·, c]).
func AttentionSum[T Float](pixels, c int, f AbsPower) (run func(dst, x []T) error) {
	if f.polynomial() == 2 {
		k := T(f.C)
		return PerRow(pixels, 1, c, func(dst, x []T) {
			for i := vectorSquares(floats32(dst), floats32(x), c, float32(k)); i < len(dst); i++ {
				dst[i] = k * squares(x[i*c:(i+1)*c])
			}
		})
	}
	return PerRow(pixels, 1, c, func(dst, x []T) {
		for i := range dst {
			var s float64
			for _, v := range x[i*c : (i+1)*c] {
				s += f.at(float64(v))
			}
			dst[i] = T(s)
		}
	})
}

// squares returns Σ x². Channels are few, so the elements' own precision is
// enough; two sums keep the additions from waiting for each other.
func squares[T Float](x []T) T {
	var s, t T
	for len(x) >= 2 {
		s += x[0] * x[0]
		t += x[1] * x[1]
		x = x[2:]
	}
	for _, v := range x {
		s += v * v
	}
	return s + t
}

// AttentionSpread plans dst[pixels, c] = g[pixels] · f(x[·, c]) + add[pixels, c],
// the derivative of AttentionSum of which f is the derivative. A nil add is
// none; dst may be x or add.
func AttentionSpread[T Float](pixels, c int, f AbsPower) (run func(dst, x, g, add []T) error) {
	n, k := f.polynomial(), T(f.C)
	// at computes one element. The conversions keep compilers from fusing the
	// product with a sum that follows.
	at := func(x, v T) T {
		switch n {
		case 0:
			return T(k * v)
		case 1:
			return T(k * v * x)
		}
		return T(v * T(f.at(float64(x))))
	}
	var d, a, m, s []T
	loop := NewLoop(pixels, rowGrain(c), func(from, to int) {
		dst, x, g := d[from*c:to*c], a[from*c:to*c], m[from:to]
		var add []T
		if s != nil {
			add = s[from*c : to*c]
		}
		i := 0
		if n == 1 {
			i = vectorSpread(floats32(dst), floats32(x), floats32(g), floats32(add), c, float32(k))
		}
		for ; i < len(g); i++ {
			row := dst[i*c:][:c]
			for j, e := range x[i*c:][:c] {
				y := at(e, g[i])
				if add != nil {
					y += add[i*c+j]
				}
				row[j] = y
			}
		}
	})
	return func(dst, x, g, add []T) error {
		d, a, m, s = dst, x, g, add
		err := loop.Run()
		d, a, m, s = nil, nil, nil, nil
		return err
	}
}

// largest returns the index of the first element of x that is largest by
// magnitude.
func largest[T Float](x []T) int {
	at, top := 0, T(-1)
	for i, v := range x {
		if v < 0 {
			v = -v
		}
		if v > top {
			at, top = i, v
		}
	}
	return at
}

// AttentionMax plans dst[pixels] = max_c f(x[·, c]) for an f that grows with
// |x|.
func AttentionMax[T Float](pixels, c int, f AbsPower) (run func(dst, x []T) error) {
	pow := AbsPow[T](f)
	return PerRow(pixels, 1, c, func(dst, x []T) {
		for i := range dst {
			row := x[i*c : (i+1)*c]
			dst[i] = row[largest(row)]
		}
		pow(dst, dst)
	})
}

// ChannelPick plans dst[pixels] = v[·, m], m the channel at which |x| is
// largest, the first such.
func ChannelPick[T Float](pixels, c int) (run func(dst, x, v []T) error) {
	return PerRow2(pixels, 1, c, c, func(dst, x, v []T) {
		for i := range dst {
			dst[i] = v[i*c+largest(x[i*c:(i+1)*c])]
		}
	})
}

// ChannelPlace plans dst[pixels, c] = g[pixels] at the channel that ChannelPick
// picks and 0 at the others.
func ChannelPlace[T Float](pixels, c int) (run func(dst, x, g []T) error) {
	return PerRow2(pixels, c, c, 1, func(dst, x, g []T) {
		clear(dst)
		for i, v := range g {
			dst[i*c+largest(x[i*c:(i+1)*c])] = v
		}
	})
}

// Bin returns the range [from, to) of the n elements that output bin i of bins
// averages in adaptive pooling. Bins overlap where bins does not divide n, as
// in PyTorch.
func Bin(i, bins, n int) (from, to int) { return i * n / bins, ((i+1)*n + bins - 1) / bins }

// AdaptiveShape is the geometry of an adaptive average pooling of [N, H, W, C]
// to [N, OH, OW, C].
type AdaptiveShape struct{ N, H, W, C, OH, OW int }

// AdaptiveAverage plans y[N, OH, OW, C] = the average of x[N, H, W, C] over
// each bin.
func AdaptiveAverage[T Float](s AdaptiveShape) (run func(y, x []T) error) {
	return PerRow(s.N, s.OH*s.OW*s.C, s.H*s.W*s.C, func(y, x []T) {
		clear(y)
		s.visit(len(y)/(s.OH*s.OW*s.C), func(xi, yi, area int) {
			k := 1 / T(area)
			for c := range s.C {
				y[yi+c] += k * x[xi+c]
			}
		})
	})
}

// AdaptiveSpread plans dx[N, H, W, C] from dy[N, OH, OW, C]: each element of a
// bin receives its share. It is the transpose of AdaptiveAverage.
func AdaptiveSpread[T Float](s AdaptiveShape) (run func(dx, dy []T) error) {
	return PerRow(s.N, s.H*s.W*s.C, s.OH*s.OW*s.C, func(dx, dy []T) {
		clear(dx)
		s.visit(len(dy)/(s.OH*s.OW*s.C), func(xi, yi, area int) {
			k := 1 / T(area)
			for c := range s.C {
				dx[xi+c] += k * dy[yi+c]
			}
		})
	})
}

// visit calls f for each pair of an element of x and the bin of y it belongs
// to, with the offsets of their channels and the number of elements in the bin.
func (s AdaptiveShape) visit(images int, f func(xi, yi, area int)) {
	for n := range images {
		for p := range s.OH {
			top, bottom := Bin(p, s.OH, s.H)
			for q := range s.OW {
				left, right := Bin(q, s.OW, s.W)
				yi := ((n*s.OH+p)*s.OW + q) * s.C
				for h := top; h < bottom; h++ {
					for w := left; w < right; w++ {
						f(((n*s.H+h)*s.W+w)*s.C, yi, (bottom-top)*(right-left))
					}
				}
			}
		}
	}
}
