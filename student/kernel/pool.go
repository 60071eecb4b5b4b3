package kernel

// PoolShape is the geometry of a pooling of images [N, H, W, C] to
// [N, OH, OW, C]. OH and OW are told, since rounding up and rounding down give
// different ones; every window holds at least one element of the image.
type PoolShape struct {
	N, H, W, C int
	OH, OW     int
	Kernel     [2]int
	Stride     [2]int
	Pad        [4]int // top, left, bottom, right

	// CountIncludePad makes an average divide by the elements of the window
	// inside the padded image, not by those inside the image.
	CountIncludePad bool
}

// rows returns the rows of the image under output row p.
func (s PoolShape) rows(p int) (from, to int) {
	at := p*s.Stride[0] - s.Pad[0]
	return max(at, 0), min(at+s.Kernel[0], s.H)
}

// cols returns the columns of the image under output column q.
func (s PoolShape) cols(q int) (from, to int) {
	at := q*s.Stride[1] - s.Pad[1]
	return max(at, 0), min(at+s.Kernel[1], s.W)
}

// Count returns what the average over window (p, q) divides by.
func (s PoolShape) Count(p, q int) int {
	if !s.CountIncludePad {
		i0, i1 := s.rows(p)
		j0, j1 := s.cols(q)
		return (i1 - i0) * (j1 - j0)
	}
	i, j := p*s.Stride[0]-s.Pad[0], q*s.Stride[1]-s.Pad[1]
	return (min(i+s.Kernel[0], s.H+s.Pad[2]) - i) * (min(j+s.Kernel[1], s.W+s.Pad[3]) - j)
}

// argmax returns the index in x, all images, of the largest element of channel
// c in window (p, q) of image n: the first of equal ones, and the first NaN
// where there is one.
func argmax[T Float](s PoolShape, x []T, n, p, q, c int) int {
	i0, i1 := s.rows(p)
	j0, j1 := s.cols(q)
	at := ((n*s.H+i0)*s.W+j0)*s.C + c
	best := x[at]
	for i := i0; i < i1; i++ {
		k := ((n*s.H+i)*s.W+j0)*s.C + c
		for range j1 - j0 {
			if v := x[k]; v > best || (v != v && best == best) {
				at, best = k, v
			}
			k += s.C
		}
	}
	return at
}

// MaxPool plans y[N,OH,OW,C], the largest element of each window of x. A NaN in
// a window is its result.
func MaxPool[T Float](s PoolShape) func(y, x []T) error {
	var y, x []T
	job := NewJob(s.N*s.OH, func(_, row int) {
		n, p := row/s.OH, row%s.OH
		i0, i1 := s.rows(p)
		for q := range s.OW {
			j0, j1 := s.cols(q)
			out, in := y[(row*s.OW+q)*s.C:][:s.C], x[((n*s.H+i0)*s.W+j0)*s.C:]
			done := windowMax(floats32(out), floats32(in), i1-i0, j1-j0, s.W*s.C, s.C)
			if done == s.C {
				continue
			}
			out = out[done:]
			copy(out, in[done:])
			for i := range i1 - i0 {
				for j := range j1 - j0 {
					for c, v := range in[(i*s.W+j)*s.C+done:][:len(out)] {
						if b := out[c]; v > b || (v != v && b == b) {
							out[c] = v
						}
					}
				}
			}
		}
	})
	return func(dst, src []T) error {
		y, x = dst, src
		return job.Run()
	}
}

// MaxPoolScatter plans dx[N,H,W,C]: each element of dy[N,OH,OW,C] is added where
// the largest element of its window of x is, the rest is zero.
func MaxPoolScatter[T Float](s PoolShape) func(dx, x, dy []T) error {
	var dx, x, dy []T
	job := NewJob(s.N, func(_, n int) {
		clear(dx[n*s.H*s.W*s.C : (n+1)*s.H*s.W*s.C])
		for p := range s.OH {
			i0, i1 := s.rows(p)
			for q := range s.OW {
				j0, j1 := s.cols(q)
				first, in := ((n*s.H+i0)*s.W+j0)*s.C, dy[((n*s.OH+p)*s.OW+q)*s.C:][:s.C]
				done := windowScatter(floats32(dx[first:]), floats32(x[first:]), floats32(in), i1-i0, j1-j0, s.W*s.C, s.C)
				for c := done; c < s.C; c++ {
					dx[argmax(s, x, n, p, q, c)] += in[c]
				}
			}
		}
	})
	return func(dst, a, b []T) error {
		dx, x, dy = dst, a, b
		return job.Run()
	}
}

// MaxPoolGather plans y[N,OH,OW,C]: the element of v[N,H,W,C] that stands where
// the largest element of each window of x is. It is the adjoint of
// MaxPoolScatter.
func MaxPoolGather[T Float](s PoolShape) func(y, x, v []T) error {
	var y, x, v []T
	job := NewJob(s.N*s.OH, func(_, row int) {
		for q := range s.OW {
			for c := range s.C {
				y[(row*s.OW+q)*s.C+c] = v[argmax(s, x, row/s.OH, row%s.OH, q, c)]
			}
		}
	})
	return func(dst, a, b []T) error {
		y, x, v = dst, a, b
		return job.Run()
	}
}

// average computes y[c], f times the sum of each channel of a window: rows × cols
// pixels of x, rows one below the other being ld elements apart.
func average[T Float](y, x []T, rows, cols, ld int, f T) {
	c := len(y)
	done := windowSum(floats32(y), floats32(x), rows, cols, ld, c, float32(f))
	if done == c {
		return
	}
	y = y[done:]
	clear(y)
	for i := range rows {
		for j := range cols {
			for k, v := range x[i*ld+j*c+done:][:len(y)] {
				y[k] += v
			}
		}
	}
	for k := range y {
		y[k] *= f
	}
}

// AveragePool plans y[N,OH,OW,C], the average of each window of x.
func AveragePool[T Float](s PoolShape) func(y, x []T) error {
	var y, x []T
	job := NewJob(s.N*s.OH, func(_, row int) {
		n, p := row/s.OH, row%s.OH
		i0, i1 := s.rows(p)
		for q := range s.OW {
			j0, j1 := s.cols(q)
			average(y[(row*s.OW+q)*s.C:][:s.C], x[((n*s.H+i0)*s.W+j0)*s.C:], i1-i0, j1-j0, s.W*s.C, 1/T(s.Count(p, q)))
		}
	})
	return func(dst, src []T) error {
		y, x = dst, src
		return job.Run()
	}
}

// AveragePoolBack plans dx[N,H,W,C] from dy[N,OH,OW,C]: the adjoint of
// AveragePool.
func AveragePoolBack[T Float](s PoolShape) func(dx, dy []T) error {
	var dx, dy []T
	job := NewJob(s.N, func(_, n int) {
		clear(dx[n*s.H*s.W*s.C : (n+1)*s.H*s.W*s.C])
		for p := range s.OH {
			i0, i1 := s.rows(p)
			for q := range s.OW {
				j0, j1 := s.cols(q)
				f := 1 / T(s.Count(p, q))
				in, out := dy[((n*s.OH+p)*s.OW+q)*s.C:][:s.C], dx[((n*s.H+i0)*s.W+j0)*s.C:]
				done := windowSpread(floats32(out), floats32(in), i1-i0, j1-j0, s.W*s.C, s.C, float32(f))
				if done == s.C {
					continue
				}
				in = in[done:]
				for i := range i1 - i0 {
					for j := range j1 - j0 {
						out := out[(i*s.W+j)*s.C+done:][:len(in)]
						for c, v := range in {
							out[c] += f * v
						}
					}
				}
			}
		}
	})
	return func(dst, src []T) error {
		dx, dy = dst, src
		return job.Run()
	}
}

// GlobalAveragePool plans y[n,c], the average of x[n,pixels,c] over its pixels.
func GlobalAveragePool[T Float](n, pixels, c int) func(y, x []T) error {
	var y, x []T
	f := 1 / T(pixels)
	job := NewJob(n, func(_, i int) {
		average(y[i*c:(i+1)*c], x[i*pixels*c:(i+1)*pixels*c], 1, pixels, pixels*c, f)
	})
	return func(dst, src []T) error {
		y, x = dst, src
		return job.Run()
	}
}

// GlobalAveragePoolBack plans dx[n,pixels,c] from dy[n,c]: the adjoint of
// GlobalAveragePool.
func GlobalAveragePoolBack[T Float](n, pixels, c int) func(dx, dy []T) error {
	var dx, dy []T
	f, block := 1/T(pixels), max(4096/c, 1)*c
	job := NewJob(n, func(_, i int) {
		first := dx[i*pixels*c:][:c]
		for k, v := range dy[i*c : (i+1)*c] {
			first[k] = f * v
		}
		// Copies of many pixels at a time, which are read from the cache.
		image := dx[i*pixels*c : (i+1)*pixels*c]
		for filled := c; filled < len(image); {
			filled += copy(image[filled:], image[:min(filled, block)])
		}
	})
	return func(dst, src []T) error {
		dx, dy = dst, src
		return job.Run()
	}
}
