package kernel

// axis is some neighbouring axes of a row-major tensor taken as one: its size
// and the distance of consecutive elements along it.
type axis struct{ size, stride int }

// walk is axes to walk along, the last one fastest.
type walk []axis

// steps returns the number of places on the way.
func (w walk) steps() int {
	n := 1
	for _, a := range w {
		n *= a.size
	}
	return n
}

// at returns the distance of place i from the first.
func (w walk) at(i int) (off int) {
	for k := len(w) - 1; k > 0; k-- {
		off += i % w[k].size * w[k].stride
		i /= w[k].size
	}
	if len(w) > 0 {
		off += i * w[0].stride
	}
	return off
}

// reduction is how a tensor is reduced along some of its axes. Each of rows
// places along the kept axes is the beginning of terms places along the reduced
// ones, at each of which run consecutive elements stand: as many elements of
// the result where the last axis is kept, else further terms of one element.
type reduction struct {
	kept, over  walk
	rows, terms int
	run         int
	runKept     bool
}

// reductionOf returns the reduction of a tensor of the given sizes along the
// axes where over is true.
func reductionOf(dims []int, over []bool) *reduction {
	type marked struct {
		axis
		over bool
	}
	var axes []marked
	stride := 1
	for _, d := range dims {
		stride *= d
	}
	for i, d := range dims {
		stride /= d
		if d == 1 {
			continue
		}
		if k := len(axes) - 1; k >= 0 && axes[k].over == over[i] {
			axes[k].axis = axis{axes[k].size * d, stride}
		} else {
			axes = append(axes, marked{axis{d, stride}, over[i]})
		}
	}
	r := &reduction{run: 1, runKept: true}
	if k := len(axes) - 1; k >= 0 {
		r.run, r.runKept = axes[k].size, !axes[k].over
		axes = axes[:k]
	}
	for _, a := range axes {
		if a.over {
			r.over = append(r.over, a.axis)
		} else {
			r.kept = append(r.kept, a.axis)
		}
	}
	r.rows, r.terms = r.kept.steps(), r.over.steps()
	return r
}

// width returns the number of elements of the result in a row.
func (r *reduction) width() int {
	if r.runKept {
		return r.run
	}
	return 1
}

// loop makes a Job over rows, some to an item.
func (r *reduction) loop(work func(from, to int)) *Job {
	return NewLoop(r.rows, rowGrain(r.terms*r.run), work)
}

// sign is 1 where the largest of some elements is looked for and -1 where it is
// the smallest: which is the largest of the negated ones.
func sign[T Float](least bool) T {
	if least {
		return -1
	}
	return 1
}

// beats reports whether v is to take the place of b, where sign tells what is
// looked for. A NaN beats all but another one.
func beats[T Float](sign, v, b T) bool { return sign*v > sign*b || (v != v && b == b) }

// ReduceMax plans dst = the largest elements of x, of the sizes dims, along the
// axes where over is true, or the smallest ones where least is. A NaN among the
// elements is the result.
func ReduceMax[T Float](dims []int, over []bool, least bool) (run func(dst, x []T) error) {
	r, sign := reductionOf(dims, over), sign[T](least)
	var d, a []T
	loop := r.loop(func(from, to int) {
		for row := from; row < to; row++ {
			x := a[r.kept.at(row):]
			if !r.runKept {
				best := x[0]
				for t := range r.terms {
					for _, v := range x[r.over.at(t):][:r.run] {
						if beats(sign, v, best) {
							best = v
						}
					}
				}
				d[row] = best
				continue
			}
			out := d[row*r.run : (row+1)*r.run]
			copy(out, x)
			for t := 1; t < r.terms; t++ {
				for i, v := range x[r.over.at(t):][:len(out)] {
					if beats(sign, v, out[i]) {
						out[i] = v
					}
				}
			}
		}
	})
	return func(dst, x []T) error {
		d, a = dst, x
		err := loop.Run()
		d, a = nil, nil
		return err
	}
}

// extreme returns the index in x of the element that ReduceMax takes for
// element i of the result: the first of equal ones, in the order of memory, and
// the first NaN where there is one.
func extreme[T Float](r *reduction, x []T, i int, sign T) int {
	w := r.width()
	start := r.kept.at(i/w) + i%w
	run := r.run
	if r.runKept {
		run = 1
	}
	at := start
	for t := range r.terms {
		k := start + r.over.at(t)
		for range run {
			if beats(sign, x[k], x[at]) {
				at = k
			}
			k++
		}
	}
	return at
}

// ReduceMaxScatter plans dx, of the sizes dims: each element of dy, which is of
// ReduceMax's result's size, stands where x holds what ReduceMax took, the rest
// is zero.
func ReduceMaxScatter[T Float](dims []int, over []bool, least bool) (run func(dx, x, dy []T) error) {
	r, sign := reductionOf(dims, over), sign[T](least)
	w := r.width()
	var d, a, g []T
	zero := NewLoop(r.rows*r.terms*r.run, grain, func(i, j int) { clear(d[i:j]) })
	loop := r.loop(func(from, to int) {
		for i := from * w; i < to*w; i++ {
			d[extreme(r, a, i, sign)] = g[i]
		}
	})
	return func(dx, x, dy []T) error {
		d, a, g = dx, x, dy
		err := zero.Run()
		if err == nil {
			err = loop.Run()
		}
		d, a, g = nil, nil, nil
		return err
	}
}

// ReduceMaxGather plans y: the elements of v, of the sizes dims, that stand
// where x holds what ReduceMax took. It is the adjoint of ReduceMaxScatter.
func ReduceMaxGather[T Float](dims []int, over []bool, least bool) (run func(y, x, v []T) error) {
	r, sign := reductionOf(dims, over), sign[T](least)
	w := r.width()
	var d, a, b []T
	loop := r.loop(func(from, to int) {
		for i := from * w; i < to*w; i++ {
			d[i] = b[extreme(r, a, i, sign)]
		}
	})
	return func(y, x, v []T) error {
		d, a, b = y, x, v
		err := loop.Run()
		d, a, b = nil, nil, nil
		return err
	}
}
