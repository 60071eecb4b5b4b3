package kernel

import "math"

// chunkElements is the size of the pieces that passes over channels are cut
// into: 16 KiB of float32, so that two operands of a piece stay in the first
// cache level for a second look.
const chunkElements = 4096

// chunks says how x[rows,c] is cut: rows per piece and number of pieces. It
// depends on the shape alone, and so does every sum over pieces.
func chunks(rows, c int) (per, n int) {
	per = max(1, chunkElements/max(c, 1))
	return per, (rows + per - 1) / per
}

// channelMicro is the arithmetic of passes over x[rows,c] with something per
// channel.
type channelMicro[T Float] struct {
	// sum sets dst[c] to the sum of x−pivot over the rows.
	sum func(dst, x, pivot []T, rows, c int)

	// square sets dst[c] to the sum of (x−mean)².
	square func(dst, x, mean []T, rows, c int)

	// products sets plain[c] to the sum of dy and centred[c] to that of
	// dy·(x−mean).
	products func(plain, centred, x, dy, mean []T, rows, c int)

	// affine sets y to (x−mean)·a + b; y may be x.
	affine func(y, x, mean, a, b []T, rows, c int)

	// back sets dx to dy·a − (x−mean)·b − d; dx may be dy or x.
	back func(dx, x, dy, mean, a, b, d []T, rows, c int)
}

// channelMicroFor returns the fastest arithmetic for T and c channels on this
// processor.
func channelMicroFor[T Float](c int) *channelMicro[T] {
	if m, ok := any(channelFastest(c)).(*channelMicro[T]); ok && m != nil {
		return m
	}
	return portableChannel[T]()
}

func portableChannel[T Float]() *channelMicro[T] {
	return &channelMicro[T]{
		sum: func(dst, x, pivot []T, rows, c int) {
			dst, pivot = dst[:c], pivot[:c]
			clear(dst)
			for r := range rows {
				for k, v := range x[r*c:][:len(dst)] {
					dst[k] += v - pivot[k]
				}
			}
		},
		square: func(dst, x, mean []T, rows, c int) {
			dst, mean = dst[:c], mean[:c]
			clear(dst)
			for r := range rows {
				for k, v := range x[r*c:][:len(dst)] {
					d := v - mean[k]
					dst[k] += d * d
				}
			}
		},
		products: func(plain, centred, x, dy, mean []T, rows, c int) {
			plain, centred, mean = plain[:c], centred[:c], mean[:c]
			clear(plain)
			clear(centred)
			for r := range rows {
				xs := x[r*c:][:len(plain)]
				for k, g := range dy[r*c:][:len(plain)] {
					plain[k] += g
					centred[k] += g * (xs[k] - mean[k])
				}
			}
		},
		affine: func(y, x, mean, a, b []T, rows, c int) {
			mean, a, b = mean[:c], a[:c], b[:c]
			for r := range rows {
				out := y[r*c:][:len(a)]
				for k, v := range x[r*c:][:len(a)] {
					out[k] = (v-mean[k])*a[k] + b[k]
				}
			}
		},
		back: func(dx, x, dy, mean, a, b, d []T, rows, c int) {
			mean, a, b, d = mean[:c], a[:c], b[:c], d[:c]
			for r := range rows {
				out, in := dx[r*c:][:len(a)], x[r*c:][:len(a)]
				for k, g := range dy[r*c:][:len(a)] {
					out[k] = g*a[k] - (in[k]-mean[k])*b[k] - d[k]
				}
			}
		},
	}
}

// StatsPlan is a reduction over the rows of x[rows,c], ready to run.
type StatsPlan[T Float] struct {
	Scratch int
	Run     func(stats, x, scratch []T) error
}

// ChannelStats plans stats[2,c], the mean and the biased variance of each column
// of x[rows,c]. Each piece of x is centred by its own mean and the pieces are
// joined by the rule of Chan, Golub and LeVeque (1979), and sums are taken from
// the first row on, so that a mean that is large against the deviation costs no
// digits.
func ChannelStats[T Float](rows, c int) StatsPlan[T] {
	m := channelMicroFor[T](c)
	var x, part []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		from, to := i*per, min((i+1)*per, rows)
		mean, square := part[2*i*c:][:c], part[(2*i+1)*c:][:c]
		pivot := x[from*c:][:c]
		m.sum(mean, x[from*c:], pivot, to-from, c)
		f := 1 / T(to-from)
		for k := range mean {
			mean[k] = mean[k]*f + pivot[k]
		}
		m.square(square, x[from*c:], mean, to-from, c)
	})
	mean, square := make([]float64, c), make([]float64, c)
	return StatsPlan[T]{Scratch: 2 * n * c, Run: func(stats, src, scratch []T) error {
		x, part = src, scratch
		err := job.Run()
		x, part = nil, nil
		if err != nil {
			return err
		}
		clear(mean)
		clear(square)
		for i := range n {
			before, add := float64(i*per), float64(min((i+1)*per, rows)-i*per)
			toMean, toSquare := add/(before+add), before*add/(before+add)
			squares := scratch[(2*i+1)*c:][:c]
			for k, v := range scratch[2*i*c:][:c] {
				d := float64(v) - mean[k]
				mean[k] += d * toMean
				square[k] += float64(squares[k]) + d*d*toSquare
			}
		}
		for k := range c {
			stats[k], stats[c+k] = T(mean[k]), T(square[k]/float64(rows))
		}
		return nil
	}}
}

// BatchNormSumsPlan is the reduction of batch normalisation's derivative.
type BatchNormSumsPlan[T Float] struct {
	Scratch int
	Run     func(sums, x, stats, dy, scratch []T) error
}

// BatchNormSums plans sums[2,c]: the sum of dy[rows,c] and of dy·x̂ over the
// rows, where x̂ is x normalised by stats[2,c] and eps.
func BatchNormSums[T Float](rows, c int, eps float64) BatchNormSumsPlan[T] {
	m := channelMicroFor[T](c)
	var x, mean, dy, part []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		from, to := i*per, min((i+1)*per, rows)
		m.products(part[2*i*c:][:c], part[(2*i+1)*c:][:c], x[from*c:], dy[from*c:], mean, to-from, c)
	})
	total := make([]float64, 2*c)
	return BatchNormSumsPlan[T]{Scratch: 2 * n * c, Run: func(sums, a, stats, b, scratch []T) error {
		x, mean, dy, part = a, stats[:c], b, scratch
		err := job.Run()
		x, mean, dy, part = nil, nil, nil, nil
		if err != nil {
			return err
		}
		clear(total)
		for i := range n {
			for k, v := range scratch[2*i*c:][:len(total)] {
				total[k] += float64(v)
			}
		}
		for k := range c {
			sums[k], sums[c+k] = T(total[k]), T(total[c+k]*inverse(stats[c+k], eps))
		}
		return nil
	}}
}

// inverse returns 1/√(variance+eps).
func inverse[T Float](variance T, eps float64) float64 {
	return 1 / math.Sqrt(float64(variance)+eps)
}

// InverseDeviation computes dst[c] = 1/√(variance+eps) from stats[2,c].
func InverseDeviation[T Float](dst, stats []T, eps float64) {
	for k, v := range stats[len(dst):] {
		dst[k] = T(inverse(v, eps))
	}
}

// channelAffine plans y[rows,c] = (x[rows,c] − mean[c])·a[c] + b[c]; y may be x.
func channelAffine[T Float](rows, c int) (run func(y, x, mean, a, b []T) error) {
	m := channelMicroFor[T](c)
	var y, x, mean, a, b []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		from, to := i*per, min((i+1)*per, rows)
		m.affine(y[from*c:], x[from*c:], mean, a, b, to-from, c)
	})
	return func(dst, src, centre, factor, summand []T) error {
		y, x, mean, a, b = dst, src, centre, factor, summand
		err := job.Run()
		y, x, mean, a, b = nil, nil, nil, nil, nil
		return err
	}
}

// ChannelAdd plans y[rows,c] = x[rows,c] + b[c]; y may be x.
func ChannelAdd[T Float](rows, c int) (run func(y, x, b []T) error) {
	affine := channelAffine[T](rows, c)
	zeros, ones := make([]T, c), make([]T, c)
	for k := range ones {
		ones[k] = 1
	}
	return func(y, x, b []T) error { return affine(y, x, zeros, ones, b) }
}

// ChannelScale plans y[rows,c] = x[rows,c]·a[c]; y may be x.
func ChannelScale[T Float](rows, c int) (run func(y, x, a []T) error) {
	affine := channelAffine[T](rows, c)
	zeros := make([]T, c)
	return func(y, x, a []T) error { return affine(y, x, zeros, a, zeros) }
}

// BatchNorm plans y[rows,c] = (x − mean)/√(variance+eps)·scale + shift, each of
// mean, variance (the rows of stats[2,c]), scale and shift per channel. A nil
// scale is ones, a nil shift zeros. Scratch is c elements; y may be x.
func BatchNorm[T Float](rows, c int, eps float64) (run func(y, x, stats, scale, shift, scratch []T) error) {
	affine := channelAffine[T](rows, c)
	zeros := make([]T, c)
	return func(y, x, stats, scale, shift, scratch []T) error {
		a := scratch[:c]
		for k := range a {
			f := inverse(stats[c+k], eps)
			if scale != nil {
				f *= float64(scale[k])
			}
			a[k] = T(f)
		}
		if shift == nil {
			shift = zeros
		}
		return affine(y, x, stats[:c], a, shift)
	}
}

// BatchNormBack plans dx[rows,c], the derivative of BatchNorm by x, with the
// path through the statistics, given dy[rows,c] and its BatchNormSums:
//
//	dx = scale/√(variance+eps) · (dy − sums₀/rows − x̂·sums₁/rows)
//
// A nil scale is ones. Scratch is 3·c elements; dx may be x or dy.
func BatchNormBack[T Float](rows, c int, eps float64) (run func(dx, x, stats, dy, sums, scale, scratch []T) error) {
	m := channelMicroFor[T](c)
	var dx, x, dy, mean, a, b, d []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		from, to := i*per, min((i+1)*per, rows)
		m.back(dx[from*c:], x[from*c:], dy[from*c:], mean, a, b, d, to-from, c)
	})
	return func(dst, p, stats, q, sums, scale, scratch []T) error {
		dx, x, dy, mean = dst, p, q, stats[:c]
		a, b, d = scratch[:c], scratch[c:2*c], scratch[2*c:3*c]
		for k := range a {
			inv := inverse(stats[c+k], eps)
			f := inv
			if scale != nil {
				f *= float64(scale[k])
			}
			a[k] = T(f)
			b[k] = T(f * inv * float64(sums[c+k]) / float64(rows))
			d[k] = T(f * float64(sums[k]) / float64(rows))
		}
		err := job.Run()
		dx, x, dy, mean, a, b, d = nil, nil, nil, nil, nil, nil, nil
		return err
	}
}

// RunningStats computes dst[2,c], the running mean and variance after a batch
// of count values per channel with statistics stats[2,c]:
//
//	mean ← (1−momentum)·mean + momentum·batch mean
//	variance ← (1−momentum)·variance + momentum·batch variance·count/(count−1)
//
// dst may be running.
func RunningStats[T Float](dst, running, stats []T, momentum float64, count int) {
	c := len(dst) / 2
	unbiased := float64(count) / float64(count-1)
	for k := range dst {
		v := float64(stats[k])
		if k >= c {
			v *= unbiased
		}
		dst[k] = T((1-momentum)*float64(running[k]) + momentum*v)
	}
}
