package kernel

import "math"

// chunkElements is the size of the pieces in which per-channel sums are taken:
// 32 KiB of float32, so that the second look at a piece finds it in the first
// cache level.
const chunkElements = 8192

// chunks says how x[rows,c] is cut for a sum per channel: rows per piece and
// number of pieces. It depends on the shape alone, and so does every result.
func chunks(rows, c int) (per, n int) {
	per = max(1, chunkElements/max(c, 1))
	return per, (rows + per - 1) / per
}

// StatsPlan is a reduction over the rows of x[rows,c], ready to run.
type StatsPlan[T Float] struct {
	Scratch int
	Run     func(stats, x, scratch []T) error
}

// ChannelStats plans stats[2,c], the mean and the biased variance of each column
// of x[rows,c]. Each piece of x is centred by its own mean and the pieces are
// joined by the rule of Chan, Golub and LeVeque (1979), which loses no digits
// when the mean is large against the deviation.
func ChannelStats[T Float](rows, c int) StatsPlan[T] {
	var x, part []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		from, to := i*per, min((i+1)*per, rows)
		mean, square := part[2*i*c:][:c], part[(2*i+1)*c:][:c]
		clear(mean)
		for r := from; r < to; r++ {
			for k, v := range x[r*c:][:len(mean)] {
				mean[k] += v
			}
		}
		for k := range mean {
			mean[k] /= T(to - from)
		}
		clear(square)
		for r := from; r < to; r++ {
			for k, v := range x[r*c:][:len(mean)] {
				d := v - mean[k]
				square[k] += d * d
			}
		}
	})
	return StatsPlan[T]{Scratch: 2 * n * c, Run: func(stats, src, scratch []T) error {
		x, part = src, scratch
		if err := job.Run(); err != nil {
			return err
		}
		for k := range c {
			var count, mean, square float64
			for i := range n {
				add := float64(min((i+1)*per, rows) - i*per)
				d := float64(part[2*i*c+k]) - mean
				mean += d * add / (count + add)
				square += float64(part[(2*i+1)*c+k]) + d*d*count*add/(count+add)
				count += add
			}
			stats[k], stats[c+k] = T(mean), T(square/count)
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
	var x, stats, dy, part []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		from, to := i*per, min((i+1)*per, rows)
		plain, centred, mean := part[2*i*c:][:c], part[(2*i+1)*c:][:c], stats[:c]
		clear(plain)
		clear(centred)
		for r := from; r < to; r++ {
			xs := x[r*c:][:len(plain)]
			for k, g := range dy[r*c:][:len(plain)] {
				plain[k] += g
				centred[k] += g * (xs[k] - mean[k])
			}
		}
	})
	return BatchNormSumsPlan[T]{Scratch: 2 * n * c, Run: func(sums, a, st, b, scratch []T) error {
		x, stats, dy, part = a, st, b, scratch
		if err := job.Run(); err != nil {
			return err
		}
		for k := range c {
			var plain, centred float64
			for i := range n {
				plain += float64(part[2*i*c+k])
				centred += float64(part[(2*i+1)*c+k])
			}
			sums[k], sums[c+k] = T(plain), T(centred*inverse(stats[c+k], eps))
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

// AffinePlan is y = x·a + b with one a and one b per channel.
type AffinePlan[T Float] struct {
	work *Job
	y, x []T
	a, b []T
}

// ChannelAffine plans y[rows,c] = x[rows,c]·a[c] + b[c].
func ChannelAffine[T Float](rows, c int) *AffinePlan[T] {
	p := &AffinePlan[T]{}
	per, n := chunks(rows, c)
	p.work = NewJob(n, func(_, i int) {
		for r := i * per; r < min((i+1)*per, rows); r++ {
			y, a, b := p.y[r*c:][:c], p.a[:c], p.b[:c]
			for k, v := range p.x[r*c:][:len(y)] {
				y[k] = v*a[k] + b[k]
			}
		}
	})
	return p
}

// Run computes y, which may be x.
func (p *AffinePlan[T]) Run(y, x, a, b []T) error {
	p.y, p.x, p.a, p.b = y, x, a, b
	return p.work.Run()
}

// ChannelAdd plans y[rows,c] = x[rows,c] + b[c]; y may be x.
func ChannelAdd[T Float](rows, c int) func(y, x, b []T) error {
	var y, x, b []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		for r := i * per; r < min((i+1)*per, rows); r++ {
			out, b := y[r*c:][:c], b[:c]
			for k, v := range x[r*c:][:len(out)] {
				out[k] = v + b[k]
			}
		}
	})
	return func(dst, p, q []T) error {
		y, x, b = dst, p, q
		return job.Run()
	}
}

// ChannelScale plans y[rows,c] = x[rows,c]·a[c]; y may be x.
func ChannelScale[T Float](rows, c int) func(y, x, a []T) error {
	var y, x, a []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		for r := i * per; r < min((i+1)*per, rows); r++ {
			out, a := y[r*c:][:c], a[:c]
			for k, v := range x[r*c:][:len(out)] {
				out[k] = v * a[k]
			}
		}
	})
	return func(dst, p, q []T) error {
		y, x, a = dst, p, q
		return job.Run()
	}
}

// BatchNorm plans y[rows,c] = (x − mean)/√(variance+eps)·scale + shift, each of
// mean, variance (the rows of stats[2,c]), scale and shift per channel. A nil
// scale is ones, a nil shift zeros. Scratch is 2·c elements; y may be x.
func BatchNorm[T Float](rows, c int, eps float64) func(y, x, stats, scale, shift, scratch []T) error {
	affine := ChannelAffine[T](rows, c)
	return func(y, x, stats, scale, shift, scratch []T) error {
		a, b := scratch[:c], scratch[c:2*c]
		for k := range a {
			f, d := inverse(stats[c+k], eps), 0.0
			if scale != nil {
				f *= float64(scale[k])
			}
			if shift != nil {
				d = float64(shift[k])
			}
			a[k], b[k] = T(f), T(d-f*float64(stats[k]))
		}
		return affine.Run(y, x, a, b)
	}
}

// BatchNormBack plans dx[rows,c], the derivative of BatchNorm by x, with the
// path through the statistics, given dy[rows,c] and its BatchNormSums:
//
//	dx = scale/√(variance+eps) · (dy − sums₀/rows − x̂·sums₁/rows)
//
// A nil scale is ones. Scratch is 3·c elements; dx may be dy.
func BatchNormBack[T Float](rows, c int, eps float64) func(dx, x, stats, dy, sums, scale, scratch []T) error {
	var dx, x, dy, mean, a, b, d []T
	per, n := chunks(rows, c)
	job := NewJob(n, func(_, i int) {
		for r := i * per; r < min((i+1)*per, rows); r++ {
			out := dx[r*c:][:c]
			in, mean, a, b, d := x[r*c:][:len(out)], mean[:len(out)], a[:len(out)], b[:len(out)], d[:len(out)]
			for k, g := range dy[r*c:][:len(out)] {
				out[k] = g*a[k] - (in[k]-mean[k])*b[k] - d[k]
			}
		}
	})
	return func(dst, p, stats, q, sums, scale, scratch []T) error {
		dx, x, dy, mean = dst, p, q, stats[:c]
		a, b, d = scratch[:c], scratch[c:2*c], scratch[2*c:3*c]
		m := float64(rows)
		for k := range a {
			inv := inverse(stats[c+k], eps)
			f := inv
			if scale != nil {
				f *= float64(scale[k])
			}
			a[k] = T(f)
			b[k] = T(f * inv * float64(sums[c+k]) / m)
			d[k] = T(f * float64(sums[k]) / m)
		}
		return job.Run()
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
