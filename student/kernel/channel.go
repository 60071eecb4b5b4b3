package kernel

import "math"

// chunkElements is the size of the pieces whose sums are taken alone: 16 KiB of
// float32, so that a piece stays in the first cache level for a second look.
const chunkElements = 4096

// itemChunks is how many neighbouring pieces make an item of work at most. The
// worker that reads one then fetches the next meanwhile.
const itemChunks = 8

// pieces says how x[rows,c] is cut: rows per piece, number of pieces, and how
// many pieces an item of work has. The first two depend on the shape alone, and
// so does every sum over pieces.
type pieces struct{ rows, c, per, n, group int }

func cutRows(rows, c int) pieces {
	per := max(1, chunkElements/max(c, 1))
	n := (rows + per - 1) / per
	return pieces{rows, c, per, n, max(1, min(itemChunks, n/(4*Workers())))}
}

// of returns the first row of piece i and the one after its last.
func (p pieces) of(i int) (from, to int) { return i * p.per, min((i+1)*p.per, p.rows) }

// job makes a Job that calls work once for each piece, in the order of memory
// within an item.
func (p pieces) job(work func(i, from, to int)) *Job {
	return NewJob((p.n+p.group-1)/p.group, func(_, item int) {
		for i := item * p.group; i < min((item+1)*p.group, p.n); i++ {
			from, to := p.of(i)
			work(i, from, to)
		}
	})
}

// loop makes a Job that covers all rows in ranges, the last ones first: a pass
// that follows another finds in the cache what that one read last.
func (p pieces) loop(work func(from, to int)) *Job {
	items := (p.n + p.group - 1) / p.group
	return NewJob(items, func(_, i int) {
		from := (items - 1 - i) * p.group * p.per
		work(from, min(from+p.group*p.per, p.rows))
	})
}

// A table holds what a pass over x[rows,c] needs per channel: up to five rows of
// c elements, in the order
//
//	mean, a, shift    x becomes (x−mean)·a + shift, and is above zero or not
//	b, d              the derivative is dy·a − (x−mean)·b − d
const (
	affineTable = 3
	backTable   = 5
)

// channelMicro is the arithmetic of passes over x[rows,c] with something per
// channel.
type channelMicro[T Float] struct {
	// sum sets dst[c] to the sum of x−pivot over the rows.
	sum func(dst, x, pivot []T, rows, c int)

	// square sets dst[c] to the sum of (x−mean)². The next rows of x are likely
	// to be wanted soon.
	square func(dst, x, mean []T, rows, c int)

	// products sets sums[2,c] to the sums of dy and of dy·(x−mean). With gate,
	// dy counts only where (x−mean)·a + shift is above zero.
	products func(sums, x, dy, table []T, gate bool, rows, c int)

	// affine sets y to (x−mean)·a + shift + add, or to zero where that is less
	// and relu is set. A nil add is none; y may be x or add.
	affine func(y, x, add, table []T, relu bool, rows, c int)

	// back sets dx to dy·a − (x−mean)·b − d + add, with dy gated as in products.
	// A nil add is none; dx may be x, dy or add.
	back func(dx, x, dy, add, table []T, gate bool, rows, c int)
}

// channelMicroFor returns the fastest arithmetic for T and c channels on this
// processor.
func channelMicroFor[T Float](c int) *channelMicro[T] {
	if m, ok := any(channelFastest(c)).(*channelMicro[T]); ok && m != nil {
		return m
	}
	return portableChannel[T]()
}

// Explicit conversions of products below keep compilers from fusing them with
// an addition here and not there: what affine found above zero, products and
// back must find above zero too.
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
		products: func(sums, x, dy, table []T, gate bool, rows, c int) {
			plain, centred := sums[:c], sums[c:2*c]
			mean, a, shift := table[:c], table[c:2*c], table[2*c:3*c]
			clear(plain)
			clear(centred)
			for r := range rows {
				xs := x[r*c:][:len(plain)]
				for k, g := range dy[r*c:][:len(plain)] {
					v := xs[k] - mean[k]
					if gate && !(T(v*a[k])+shift[k] > 0) {
						g = 0
					}
					plain[k] += g
					centred[k] += T(g * v)
				}
			}
		},
		affine: func(y, x, add, table []T, relu bool, rows, c int) {
			mean, a, shift := table[:c], table[c:2*c], table[2*c:3*c]
			for r := range rows {
				out := y[r*c:][:len(a)]
				for k, v := range x[r*c:][:len(a)] {
					v = T((v-mean[k])*a[k]) + shift[k]
					if add != nil {
						v += add[r*c+k]
					}
					if relu {
						v = max(v, 0)
					}
					out[k] = v
				}
			}
		},
		back: func(dx, x, dy, add, table []T, gate bool, rows, c int) {
			mean, a, shift := table[:c], table[c:2*c], table[2*c:3*c]
			b, d := table[3*c:4*c], table[4*c:5*c]
			for r := range rows {
				out, in := dx[r*c:][:len(a)], x[r*c:][:len(a)]
				for k, g := range dy[r*c:][:len(a)] {
					v := in[k] - mean[k]
					if gate && !(T(v*a[k])+shift[k] > 0) {
						g = 0
					}
					g = T(g*a[k]) - d[k] - T(v*b[k])
					if add != nil {
						g += add[r*c+k]
					}
					out[k] = g
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
	m, p := channelMicroFor[T](c), cutRows(rows, c)
	var x, part []T
	job := p.job(func(i, from, to int) {
		mean, square := part[2*i*c:][:c], part[(2*i+1)*c:][:c]
		pivot := x[from*c:][:c]
		m.sum(mean, x[from*c:], pivot, to-from, c)
		f := 1 / T(to-from)
		for k := range mean {
			mean[k] = T(mean[k]*f) + pivot[k]
		}
		m.square(square, x[from*c:], mean, to-from, c)
	})
	mean, square := make([]float64, c), make([]float64, c)
	return StatsPlan[T]{Scratch: 2 * p.n * c, Run: func(stats, src, scratch []T) error {
		x, part = src, scratch
		err := job.Run()
		x, part = nil, nil
		if err != nil {
			return err
		}
		clear(mean)
		clear(square)
		for i := range p.n {
			from, to := p.of(i)
			before, add := float64(from), float64(to-from)
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

// fillTable writes mean, a and shift of a normalisation to a table of c
// channels: a is scale/√(variance+eps). A nil scale is ones, a nil shift zeros.
func fillTable[T Float](table, stats, scale, shift []T, c int, eps float64) {
	copy(table, stats[:c])
	for k, v := range stats[c : 2*c] {
		f := inverse(v, eps)
		if scale != nil {
			f *= float64(scale[k])
		}
		table[c+k] = T(f)
	}
	if shift == nil {
		clear(table[2*c : 3*c])
	} else {
		copy(table[2*c:3*c], shift)
	}
}

// channelAffine plans y[rows,c] = (x − mean)·a + shift + add, with what is per
// channel in a table, then ReLU where relu is set. A nil add is none; y may be x
// or add.
func channelAffine[T Float](rows, c int, relu bool) (run func(y, x, add, table []T) error) {
	m := channelMicroFor[T](c)
	var y, x, add, table []T
	job := cutRows(rows, c).loop(func(from, to int) {
		var s []T
		if add != nil {
			s = add[from*c:]
		}
		m.affine(y[from*c:], x[from*c:], s, table, relu, to-from, c)
	})
	return func(dst, src, summand, perChannel []T) error {
		y, x, add, table = dst, src, summand, perChannel
		err := job.Run()
		y, x, add, table = nil, nil, nil, nil
		return err
	}
}

// ChannelAdd plans y[rows,c] = x[rows,c] + b[c]; y may be x.
func ChannelAdd[T Float](rows, c int) (run func(y, x, b []T) error) {
	affine := channelAffine[T](rows, c, false)
	table := make([]T, affineTable*c)
	for k := range c {
		table[c+k] = 1
	}
	return func(y, x, b []T) error {
		copy(table[2*c:], b)
		return affine(y, x, nil, table)
	}
}

// ChannelScale plans y[rows,c] = x[rows,c]·a[c]; y may be x.
func ChannelScale[T Float](rows, c int) (run func(y, x, a []T) error) {
	affine := channelAffine[T](rows, c, false)
	table := make([]T, affineTable*c)
	return func(y, x, a []T) error {
		copy(table[c:2*c], a)
		return affine(y, x, nil, table)
	}
}

// BatchNormPlan is a batch normalisation, ready to run. Scratch is in elements.
// A nil scale is ones, a nil shift and a nil add zeros; y may be x or add.
type BatchNormPlan[T Float] struct {
	Scratch int
	Run     func(y, stats, x, scale, shift, add, scratch []T) error
}

// BatchNorm plans y[rows,c] = (x − mean)/√(variance+eps)·scale + shift + add,
// and with relu the larger of that and zero. mean and variance (the rows of
// stats[2,c]), scale and shift are per channel, add[rows,c] is not.
func BatchNorm[T Float](rows, c int, eps float64, relu bool) BatchNormPlan[T] {
	affine := channelAffine[T](rows, c, relu)
	return BatchNormPlan[T]{Scratch: affineTable * c, Run: func(y, stats, x, scale, shift, add, scratch []T) error {
		table := scratch[:affineTable*c]
		fillTable(table, stats, scale, shift, c, eps)
		return affine(y, x, add, table)
	}}
}

// BatchNormTrain plans stats[2,c] = ChannelStats of x[rows,c] and y = BatchNorm
// of x by them: the same values, in two passes over x.
func BatchNormTrain[T Float](rows, c int, eps float64, relu bool) BatchNormPlan[T] {
	first, second := ChannelStats[T](rows, c), BatchNorm[T](rows, c, eps, relu)
	scratch := max(first.Scratch, second.Scratch)
	return BatchNormPlan[T]{Scratch: scratch, Run: func(y, stats, x, scale, shift, add, scratch []T) error {
		if err := first.Run(stats, x, scratch); err != nil {
			return err
		}
		return second.Run(y, stats, x, scale, shift, add, scratch)
	}}
}

// BatchNormSumsPlan is the reduction of batch normalisation's derivative, ready
// to run.
type BatchNormSumsPlan[T Float] struct {
	Scratch int
	Run     func(sums, x, stats, dy, scratch []T) error
}

// BatchNormSums plans sums[2,c]: the sum of dy[rows,c] and of dy·x̂ over the
// rows, where x̂ is x normalised by stats[2,c] and eps.
func BatchNormSums[T Float](rows, c int, eps float64) BatchNormSumsPlan[T] {
	sums := gatedSums[T](rows, c, eps, false)
	return BatchNormSumsPlan[T]{Scratch: affineTable*c + sums.scratch, Run: func(dst, x, stats, dy, scratch []T) error {
		table := scratch[:affineTable*c]
		fillTable(table, stats, nil, nil, c, eps)
		return sums.run(dst, x, stats, dy, table, scratch[affineTable*c:])
	}}
}

// gatedSumsPlan is a plan of BatchNormSums, given the table.
type gatedSumsPlan[T Float] struct {
	scratch int
	run     func(sums, x, stats, dy, table, scratch []T) error
}

// gatedSums plans BatchNormSums of dy, which with gate counts only where the
// table takes x above zero.
func gatedSums[T Float](rows, c int, eps float64, gate bool) gatedSumsPlan[T] {
	m, p := channelMicroFor[T](c), cutRows(rows, c)
	var x, dy, table, part []T
	job := p.job(func(i, from, to int) {
		m.products(part[2*i*c:][:2*c], x[from*c:], dy[from*c:], table, gate, to-from, c)
	})
	total := make([]float64, 2*c)
	return gatedSumsPlan[T]{scratch: 2 * p.n * c, run: func(sums, a, stats, b, perChannel, scratch []T) error {
		x, dy, table, part = a, b, perChannel, scratch
		err := job.Run()
		x, dy, table, part = nil, nil, nil, nil
		if err != nil {
			return err
		}
		clear(total)
		for i := range p.n {
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

// BatchNormBackPlan is the derivative of a batch normalisation, ready to run.
// Scratch is in elements.
type BatchNormBackPlan[T Float] struct {
	Scratch int
	Run     func(dx, sums, x, stats, scale, shift, dy, add, scratch []T) error
}

// BatchNormBack plans dx[rows,c], the derivative of BatchNorm by x, with the
// path through the statistics, given dy[rows,c] and sums[2,c], its
// BatchNormSums:
//
//	dx = scale/√(variance+eps) · (dy − sums₀/rows − x̂·sums₁/rows) + add
//
// A nil scale is ones, a nil add zeros; shift is not looked at. dx may be x, dy
// or add.
func BatchNormBack[T Float](rows, c int, eps float64) BatchNormBackPlan[T] {
	back := gatedBack[T](rows, c, eps, false)
	return BatchNormBackPlan[T]{Scratch: backTable * c, Run: func(dx, sums, x, stats, scale, _, dy, add, scratch []T) error {
		table := scratch[:backTable*c]
		fillTable(table, stats, scale, nil, c, eps)
		return back(dx, sums, x, stats, scale, dy, add, table)
	}}
}

// BatchNormTrainBack plans the derivative of BatchNormTrain: sums[2,c], which
// are its derivatives by shift and by scale, and dx as of BatchNormBack. With
// relu, dy is the derivative by the result of ReLU and counts only where ReLU's
// operand was above zero; that is computed again from x, so that neither the
// operand nor the derivative by it is ever written.
func BatchNormTrainBack[T Float](rows, c int, eps float64, relu bool) BatchNormBackPlan[T] {
	first, back := gatedSums[T](rows, c, eps, relu), gatedBack[T](rows, c, eps, relu)
	return BatchNormBackPlan[T]{
		Scratch: backTable*c + first.scratch,
		Run: func(dx, sums, x, stats, scale, shift, dy, add, scratch []T) error {
			table, rest := scratch[:backTable*c], scratch[backTable*c:]
			fillTable(table, stats, scale, shift, c, eps)
			if err := first.run(sums, x, stats, dy, table, rest); err != nil {
				return err
			}
			return back(dx, sums, x, stats, scale, dy, add, table)
		},
	}
}

// gatedBack plans the pass of BatchNormBack. The table's first rows are given;
// it fills in the others.
func gatedBack[T Float](rows, c int, eps float64, gate bool) (run func(dx, sums, x, stats, scale, dy, add, table []T) error) {
	m := channelMicroFor[T](c)
	var dx, x, dy, add, table []T
	job := cutRows(rows, c).loop(func(from, to int) {
		var s []T
		if add != nil {
			s = add[from*c:]
		}
		m.back(dx[from*c:], x[from*c:], dy[from*c:], s, table, gate, to-from, c)
	})
	return func(dst, sums, p, stats, scale, q, summand, perChannel []T) error {
		for k := range c {
			inv := inverse(stats[c+k], eps)
			f := inv
			if scale != nil {
				f *= float64(scale[k])
			}
			perChannel[3*c+k] = T(f * inv * float64(sums[c+k]) / float64(rows))
			perChannel[4*c+k] = T(f * float64(sums[k]) / float64(rows))
		}
		dx, x, dy, add, table = dst, p, q, summand, perChannel
		err := job.Run()
		dx, x, dy, add, table = nil, nil, nil, nil, nil
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
