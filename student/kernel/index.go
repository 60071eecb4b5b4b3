package kernel

// A ViewAxis is an axis of a view: its number of elements, and how far apart
// in memory neighbours lie. A step of 0 repeats one element, a negative one
// runs backwards.
type ViewAxis struct{ Size, Step int }

// View plans dst = a view of x, its elements in row-major order: element
// (i0, i1, ...) is x[base + i0·axes[0].Step + i1·axes[1].Step + ...]. It is
// what transposing, cutting, mirroring and repeating have in common. Sizes are
// positive and all elements lie in x.
//
// Axes that are one run of memory are taken for one. Runs are then copied as
// they are; where x's runs cross dst's, square tiles of both stay in the cache.
func View[T Float](base int, axes []ViewAxis) (run func(dst, x []T) error) {
	a := mergedView(axes)
	var d, s []T
	var loop *Job
	last := a[len(a)-1]
	if t := crossing(a); t >= 0 {
		tiles := newTiling(base, a, t)
		loop = NewLoop(tiles.count(), max(1, grain/(tileA*tileB)), func(i, j int) {
			for ; i < j; i++ {
				to, from, m, n := tiles.at(i)
				transposeTile(d[to:], s[from:], m, n, tiles.pitch, last.Step)
			}
		})
	} else if len(a) == 1 {
		loop = NewLoop(last.Size, grain, func(i, j int) { copyRun(d[i:j], s, base+i*last.Step, last.Step) })
	} else {
		// A unit is some rows of the last axis but one.
		rows, outer := a[len(a)-2], a[:len(a)-2]
		chunk := min(rows.Size, rowGrain(last.Size))
		chunks := (rows.Size + chunk - 1) / chunk
		loop = NewLoop(chunks*viewSize(outer), max(1, grain/(chunk*last.Size)), func(i, j int) {
			for ; i < j; i++ {
				o, first := i/chunks, i%chunks*chunk
				n := min(chunk, rows.Size-first)
				to := (o*rows.Size + first) * last.Size
				from := base + offset(outer, o) + first*rows.Step
				if last.Step == 1 && last.Size < shortRun {
					shortRuns(d[to:to+n*last.Size], s, from, rows.Step, last.Size)
					continue
				}
				for ; n > 0; n-- {
					copyRun(d[to:to+last.Size], s, from, last.Step)
					to += last.Size
					from += rows.Step
				}
			}
		})
	}
	return func(dst, x []T) error {
		d, s = dst, x
		err := loop.Run()
		d, s = nil, nil
		return err
	}
}

// shortRun is the length below which a call of copy costs more than a loop.
const shortRun = 8

// shortRuns fills dst with runs of n elements of x that begin step apart, the
// first at from.
func shortRuns[T Float](dst, x []T, from, step, n int) {
	at, end := from, from+n
	for i := range dst {
		dst[i] = x[at]
		if at++; at == end {
			at += step - n
			end += step
		}
	}
}

// copyRun fills dst with every step-th element of x from index from on.
func copyRun[T Float](dst, x []T, from, step int) {
	switch step {
	case 1:
		copy(dst, x[from:])
	case 0:
		v := x[from]
		for i := range dst {
			dst[i] = v
		}
	default:
		for i := range dst {
			dst[i] = x[from]
			from += step
		}
	}
}

// mergedView returns the same view with as few axes as can be, at least one.
func mergedView(axes []ViewAxis) []ViewAxis {
	var m []ViewAxis
	for _, a := range axes {
		if a.Size == 1 {
			continue
		}
		if n := len(m); n > 0 && m[n-1].Step == a.Size*a.Step {
			m[n-1] = ViewAxis{m[n-1].Size * a.Size, a.Step}
			continue
		}
		m = append(m, a)
	}
	if m == nil {
		m = []ViewAxis{{1, 1}}
	}
	return m
}

func viewSize(axes []ViewAxis) int {
	n := 1
	for _, a := range axes {
		n *= a.Size
	}
	return n
}

// offset returns where element i of a view begins, in row-major order.
func offset(axes []ViewAxis, i int) int {
	at := 0
	for k := len(axes) - 1; k > 0; k-- {
		a := axes[k]
		at += i % a.Size * a.Step
		i /= a.Size
	}
	if len(axes) > 0 {
		at += i * axes[0].Step
	}
	return at
}

// crossing returns the axis of a along which x's elements are neighbours, when
// that is not the last one and the last one's lie apart; else -1.
func crossing(a []ViewAxis) int {
	if a[len(a)-1].Step <= 1 {
		return -1
	}
	for t, axis := range a {
		if axis.Step == 1 {
			return t
		}
	}
	return -1
}

// The tiles of a transposition: tileA elements of x's runs, a line of the cache
// for float32, by tileB of dst's.
const (
	tileA = 16
	tileB = 64
)

// tiling cuts a view into the tiles of a transposition.
type tiling struct {
	base   int
	a, b   ViewAxis // x's runs, and dst's
	pitch  int      // how far apart in dst a's neighbours lie
	as, bs int      // number of tiles along each
	x, dst []ViewAxis
}

func newTiling(base int, axes []ViewAxis, t int) tiling {
	last := len(axes) - 1
	g := tiling{base: base, a: axes[t], b: axes[last]}
	g.as, g.bs = (g.a.Size+tileA-1)/tileA, (g.b.Size+tileB-1)/tileB
	for k := range axes {
		pitch := viewSize(axes[k+1:])
		switch k {
		case t:
			g.pitch = pitch
		case last:
		default:
			g.x = append(g.x, axes[k])
			g.dst = append(g.dst, ViewAxis{axes[k].Size, pitch})
		}
	}
	return g
}

func (g *tiling) count() int { return viewSize(g.x) * g.as * g.bs }

// at returns where tile i begins in dst and in x, and its size along a and b.
func (g *tiling) at(i int) (to, from, m, n int) {
	q := i % g.bs * tileB
	i /= g.bs
	p := i % g.as * tileA
	i /= g.as
	return offset(g.dst, i) + p*g.pitch + q, g.base + offset(g.x, i) + p + q*g.b.Step, min(tileA, g.a.Size-p), min(tileB, g.b.Size-q)
}

// transposeTile computes dst[i·pitch + j] = x[i + j·step] for i below m and j
// below n.
func transposeTile[T Float](dst, x []T, m, n, pitch, step int) {
	if n < shortRun { // dst's runs are short: go along x's
		for j := range n {
			k := j
			for _, v := range x[j*step : j*step+m] {
				dst[k] = v
				k += pitch
			}
		}
		return
	}
	for i := range m {
		k := i
		d := dst[i*pitch : i*pitch+n]
		for j := range d {
			d[j] = x[k]
			k += step
		}
	}
}

// Concat plans dst = its operands side by side: operand k has outer rows of
// widths[k] elements, and dst's rows are theirs one after the other.
func Concat[T Float](outer int, widths []int) (run func(dst []T, xs [][]T) error) {
	n := len(widths)
	at := make([]int, n+1)
	for k, w := range widths {
		at[k+1] = at[k] + w
	}
	total := at[n]
	var d []T
	var s [][]T
	loop := NewLoop(outer*n, max(1, grain*n/total), func(i, j int) {
		for ; i < j; i++ {
			o, k := i/n, i%n
			w := widths[k]
			copy(d[o*total+at[k]:o*total+at[k]+w], s[k][o*w:])
		}
	})
	return func(dst []T, xs [][]T) error {
		d, s = dst, xs
		err := loop.Run()
		d, s = nil, nil
		return err
	}
}

// Pad plans dst = x, of the given shape, with before[k] elements of value in
// front and after[k] behind along axis k; none of them is negative.
func Pad[T Float](shape, before, after []int, value float64) (run func(dst, x []T) error) {
	axes := mergedPads(shape, before, after)
	row, outer := axes[len(axes)-1], axes[:len(axes)-1]
	long := row.long()
	rows := 1
	for _, a := range outer {
		rows *= a.long()
	}
	v := T(value)
	var d, s []T
	loop := NewLoop(rows, rowGrain(long), func(i, j int) {
		for ; i < j; i++ {
			dst := d[i*long : (i+1)*long]
			at, ok := rowWithin(outer, i)
			if !ok {
				fill(dst, v)
				continue
			}
			fill(dst[:row.before], v)
			copy(dst[row.before:], s[at*row.size:(at+1)*row.size])
			fill(dst[row.before+row.size:], v)
		}
	})
	return func(dst, x []T) error {
		d, s = dst, x
		err := loop.Run()
		d, s = nil, nil
		return err
	}
}

// padAxis is an axis of the operand of Pad.
type padAxis struct{ size, before, after int }

func (a padAxis) long() int { return a.before + a.size + a.after }

// mergedPads takes axes that are not padded together with the one in front.
func mergedPads(shape, before, after []int) []padAxis {
	var m []padAxis
	for k, size := range shape {
		if n := len(m); n > 0 && before[k] == 0 && after[k] == 0 {
			m[n-1] = padAxis{m[n-1].size * size, m[n-1].before * size, m[n-1].after * size}
			continue
		}
		m = append(m, padAxis{size, before[k], after[k]})
	}
	return m
}

// rowWithin returns which row of the operand row i of a padded tensor is, if it
// is one.
func rowWithin(outer []padAxis, i int) (at int, ok bool) {
	step := 1
	for k := len(outer) - 1; k >= 0; k-- {
		a := outer[k]
		p := i%a.long() - a.before
		if p < 0 || p >= a.size {
			return 0, false
		}
		at += p * step
		step *= a.size
		i /= a.long()
	}
	return at, true
}

func fill[T Float](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}
