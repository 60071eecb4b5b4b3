package kernel

import "math"

// Groups divides the elements of a tensor into groups: those that differ only
// in their places along some axes belong together.
type Groups struct {
	starts []int // first elements of the groups; where inner is above 1, of the first of inner groups
	steps  []int // from a group's start to its runs
	run    int   // elements of a group that lie side by side
	inner  int   // groups that lie side by side
}

// GroupsAlong returns the groups along the given axes, of which each is from 0
// to below len(shape) and none comes twice.
func GroupsAlong(shape, axes []int) Groups {
	g := Groups{starts: []int{0}, steps: []int{0}, run: 1, inner: 1}
	within := make([]bool, len(shape))
	for _, a := range axes {
		within[a] = true
	}
	// From the last axis on: neighbours of one kind are one axis, and the last
	// such axis is told by its length alone.
	stride, kinds := 1, 0
	var last bool
	for i := len(shape) - 1; i >= 0; i-- {
		d := shape[i]
		if d == 1 {
			continue
		}
		if kinds == 0 || within[i] != last {
			last = within[i]
			kinds++
		}
		switch {
		case kinds == 1 && last:
			g.run *= d
		case kinds == 1:
			g.inner *= d
		case last:
			g.steps = repeat(g.steps, d, stride)
		default:
			g.starts = repeat(g.starts, d, stride)
		}
		stride *= d
	}
	return g
}

// repeat returns offsets n times, each time further on by stride.
func repeat(offsets []int, n, stride int) []int {
	out := make([]int, 0, n*len(offsets))
	for i := range n {
		for _, o := range offsets {
			out = append(out, i*stride+o)
		}
	}
	return out
}

// Size returns the number of elements of a group.
func (g Groups) Size() int { return len(g.steps) * g.run }

// gatherGroups copies width neighbouring groups, the first of which starts at
// at, to dst, pitch elements apart.
func gatherGroups[T Float](g Groups, dst, x []T, pitch, at, width int) {
	if g.inner == 1 {
		for i, s := range g.steps {
			copy(dst[i*g.run:(i+1)*g.run], x[at+s:])
		}
		return
	}
	for i, s := range g.steps {
		for c, v := range x[at+s:][:width] {
			dst[c*pitch+i] = v
		}
	}
}

// scatterGroups is the inverse of gatherGroups.
func scatterGroups[T Float](g Groups, dst, groups []T, pitch, at, width int) {
	if g.inner == 1 {
		for i, s := range g.steps {
			copy(dst[at+s:], groups[i*g.run:(i+1)*g.run])
		}
		return
	}
	for i, s := range g.steps {
		row := dst[at+s:][:width]
		for c := range row {
			row[c] = groups[c*pitch+i]
		}
	}
}

// groupWidth is how many groups that lie side by side are gathered at once: a
// cache line of float32.
const groupWidth = 16

// PerGroup plans a function from each group of x to the same group of dst,
// which may be x. f computes one group, and may be given dst and x of the same
// memory. Run needs scratch elements of scratch memory.
func PerGroup[T Float](g Groups, f func(dst, x []T)) (scratch int, run func(dst, x, scratch []T) error) {
	scratch, run2 := PerGroup2(g, func(dst, x, _ []T) { f(dst, x) })
	return scratch, func(dst, x, scratch []T) error { return run2(dst, x, nil, scratch) }
}

// PerGroup2 is PerGroup of two operands. dst may be a.
func PerGroup2[T Float](g Groups, f func(dst, a, b []T)) (scratch int, run func(dst, a, b, scratch []T) error) {
	n := g.Size()
	var d, l, r, s []T
	var job *Job
	if g.inner == 1 && len(g.steps) == 1 {
		// The groups are rows.
		job = NewLoop(len(g.starts), rowGrain(n), func(i, j int) {
			for ; i < j; i++ {
				from, to := i*n, (i+1)*n
				if r == nil {
					f(d[from:to], l[from:to], nil)
				} else {
					f(d[from:to], l[from:to], r[from:to])
				}
			}
		})
	} else {
		width := min(g.inner, groupWidth)
		// A cache line between them keeps groups whose size is a power of two from
		// the same place in the cache.
		pitch := n + groupWidth
		across := (g.inner + width - 1) / width
		tiles, per := len(g.starts)*across, max(1, grain/(n*width))
		scratch = Workers() * 2 * width * pitch
		job = NewJob((tiles+per-1)/per, func(worker, item int) {
			first := s[2*worker*width*pitch:][:width*pitch]
			second := s[(2*worker+1)*width*pitch:][:width*pitch]
			for tile := item * per; tile < min((item+1)*per, tiles); tile++ {
				from := tile % across * width
				at, wide := g.starts[tile/across]+from, min(width, g.inner-from)
				gatherGroups(g, first, l, pitch, at, wide)
				if r != nil {
					gatherGroups(g, second, r, pitch, at, wide)
				}
				for i := range wide {
					group, other := first[i*pitch:][:n], []T(nil)
					if r != nil {
						other = second[i*pitch:][:n]
					}
					f(group, group, other)
				}
				scatterGroups(g, d, first, pitch, at, wide)
			}
		})
	}
	return scratch, func(dst, a, b, scratch []T) error {
		d, l, r, s = dst, a, b, scratch
		err := job.Run()
		d, l, r, s = nil, nil, nil, nil
		return err
	}
}

// The functions below compute one group, for PerGroup and PerGroup2. Their sums
// are float64.

// SumGroup computes the sum of x, for each element.
func SumGroup[T Float](dst, x []T) {
	s := Sum(x)
	for i := range dst {
		dst[i] = s
	}
}

// NormGroup returns the function (x−mean)/√(variance+eps), with the mean and
// the biased variance of the group.
func NormGroup[T Float](eps float64) func(dst, x []T) {
	return func(dst, x []T) {
		mean, r := momentsOf(x, eps)
		x = x[:len(dst)]
		for i := range dst {
			dst[i] = T((float64(x[i]) - mean) * r)
		}
	}
}

// InverseDeviationGroup returns the function 1/√(variance+eps), for each
// element.
func InverseDeviationGroup[T Float](eps float64) func(dst, x []T) {
	return func(dst, x []T) {
		_, r := momentsOf(x, eps)
		for i := range dst {
			dst[i] = T(r)
		}
	}
}

// NormBackGroup returns the derivative of NormGroup: with x̂ its value, M the
// size of the group and r = 1/√(variance+eps), r·(g − Σg/M − x̂·Σ(g·x̂)/M).
func NormBackGroup[T Float](eps float64) func(dst, g, x []T) {
	return func(dst, g, x []T) {
		mean, r := momentsOf(x, eps)
		g, x = g[:len(dst)], x[:len(dst)]
		var plain, along float64
		for i, v := range g {
			plain += float64(v)
			along += float64(v) * (float64(x[i]) - mean)
		}
		m := float64(len(x))
		plain, along = plain/m, along*r*r/m
		for i, v := range g {
			dst[i] = T((float64(v) - plain - (float64(x[i])-mean)*along) * r)
		}
	}
}

// momentsOf returns the mean of x and 1/√(variance+eps) of its biased variance.
func momentsOf[T Float](x []T, eps float64) (mean, r float64) {
	// Four running sums break the chain of dependent additions.
	var s, q [4]float64
	n := len(x) &^ 3
	for i := 0; i < n; i += 4 {
		s[0] += float64(x[i])
		s[1] += float64(x[i+1])
		s[2] += float64(x[i+2])
		s[3] += float64(x[i+3])
	}
	for _, v := range x[n:] {
		s[0] += float64(v)
	}
	m := float64(len(x))
	mean = (s[0] + s[1] + (s[2] + s[3])) / m
	for i := 0; i < n; i += 4 {
		a, b, c, d := float64(x[i])-mean, float64(x[i+1])-mean, float64(x[i+2])-mean, float64(x[i+3])-mean
		q[0] += a * a
		q[1] += b * b
		q[2] += c * c
		q[3] += d * d
	}
	for _, v := range x[n:] {
		d := float64(v) - mean
		q[0] += d * d
	}
	return mean, 1 / math.Sqrt((q[0]+q[1]+(q[2]+q[3]))/m+eps)
}
