package onnx

import (
	"math"
	"math/bits"
	"slices"
)

// The rules of inference, one function per operator or family of operators.

// first: the first output is as the first operand.
func first(c call) []known {
	k := c.arg(0)
	if c.n.Op != "Identity" {
		k.elems, k.told = nil, false
	}
	return []known{k}
}

func retyped(c call, t DataType) []known {
	k := c.arg(0)
	return []known{{typ: t, ranked: k.ranked, shape: k.shape}}
}

// cast keeps the elements of a list, which stay integers between the integer
// types.
func cast(c call) []known {
	k := c.arg(0)
	k.typ = DataType(c.n.Int("to", 0))
	if k.typ != Int64 && k.typ != Int32 {
		k.elems, k.told = nil, false
	}
	return []known{k}
}

func quantize(c call) []known {
	t := Uint8
	switch {
	case c.has(2):
		t = c.arg(2).typ
	case c.n.Int("output_dtype", 0) != 0:
		t = DataType(c.n.Int("output_dtype", 0))
	}
	return retyped(c, t)
}

func dynamicQuantize(c call) []known {
	return append(retyped(c, Uint8), tensorOf(Float32), tensorOf(Uint8))
}

func dropout(c call) []known {
	mask := retyped(c, Bool)[0]
	if c.x.opset < 10 { // until then the mask had the operand's type
		mask.typ = c.arg(0).typ
	}
	return append(first(c), mask)
}

func where(c call) []known {
	return []known{broadcast(c.arg(1).typ, c.in...)}
}

// broadcastAll is the rule of arithmetic on any number of operands.
func broadcastAll(c call) []known {
	if c.x.opset < 7 { // broadcasting was one-sided and asked for by an attribute
		return first(c)
	}
	out := broadcast(c.arg(0).typ, c.in...)
	if len(c.in) == 2 && c.in[0].told && c.in[1].told {
		out.elems, out.told = arithmetic(c.n.Op, c.in[0].elems, c.in[1].elems)
	}
	return []known{out}
}

// arithmetic computes with the elements of two lists, one of which may be a
// single number.
func arithmetic(op string, a, b []Dim) ([]Dim, bool) {
	n := max(len(a), len(b))
	if len(a) != n && len(a) != 1 || len(b) != n && len(b) != 1 {
		return nil, false
	}
	var out []Dim
	for i := range n {
		x, y := a[min(i, len(a)-1)], b[min(i, len(b)-1)]
		var r Dim
		switch num := x.Param == "" && y.Param == ""; {
		case op == "Add" && y == Fixed(0), op == "Sub" && y == Fixed(0), op == "Mul" && y == Fixed(1), op == "Div" && y == Fixed(1):
			r = x
		case op == "Add" && x == Fixed(0), op == "Mul" && x == Fixed(1):
			r = y
		case !num || !small(x.Value) || !small(y.Value):
			return nil, false
		case op == "Add":
			r.Value = x.Value + y.Value
		case op == "Sub":
			r.Value = x.Value - y.Value
		case op == "Mul":
			r.Value = x.Value * y.Value
		case op == "Div" && x.Value >= 0 && y.Value > 0: // rounding of negative ones differs between readers
			r.Value = x.Value / y.Value
		default:
			return nil, false
		}
		out = append(out, r)
	}
	return out, true
}

// small reports whether the product of two such numbers fits an int64.
func small(v int64) bool { return v > -1<<31 && v < 1<<31 }

// broadcast aligns shapes at their last axes; an axis of 1 stretches.
func broadcast(t DataType, in ...known) known {
	k := known{typ: t}
	rank := 0
	for _, a := range in {
		if !a.ranked {
			return k
		}
		rank = max(rank, len(a.shape))
	}
	k.ranked = true
	for i := range rank {
		d := Fixed(1)
		for _, a := range in {
			j := i - rank + len(a.shape)
			if j < 0 {
				continue
			}
			var ok bool
			if d, ok = stretch(d, a.shape[j]); !ok {
				return known{typ: t}
			}
		}
		k.shape = append(k.shape, d)
	}
	return k
}

// stretch is the length of two axes broadcast together.
func stretch(a, b Dim) (Dim, bool) {
	an, af := a.Fixed()
	bn, bf := b.Fixed()
	switch {
	case af && an == 1:
		return bare(b), true
	case bf && bn == 1:
		return bare(a), true
	case af && bf:
		return bare(a), an == bn
	case a.Param != "" && a.Param == b.Param:
		return bare(a), true
	case af && b.Param == "":
		return bare(a), true // the unknown one is the same or 1
	case bf && a.Param == "":
		return bare(b), true
	}
	// A symbol beside another length: one of them must be 1 at run time, or
	// both the same. Which is not known.
	return Unknown(), true
}

// bare drops an axis's denotation, which need not hold for the result.
func bare(d Dim) Dim { return Dim{Value: d.Value, Param: d.Param} }

func globalPool(c call) []known {
	k := first(c)[0]
	if k.ranked && len(k.shape) >= 2 {
		k.shape = slices.Clone(k.shape)
		for i := 2; i < len(k.shape); i++ {
			k.shape[i] = Fixed(1)
		}
	}
	return []known{k}
}

// window computes the spatial axes of a convolution or pooling.
type window struct {
	kernel, strides, dilations, pads []int64
	auto                             string
	ceil                             bool
}

func windowOf(n *Node, kernel []int64) window {
	w := window{
		kernel: kernel, strides: n.Ints("strides"), dilations: n.Ints("dilations"), pads: n.Ints("pads"),
		auto: n.Str("auto_pad", "NOTSET"), ceil: n.Int("ceil_mode", 0) != 0,
	}
	if w.kernel == nil {
		w.kernel = n.Ints("kernel_shape")
	}
	return w
}

// at returns list[i], or def where the list is left out or too short.
func at(list []int64, i int, def int64) int64 {
	if i < len(list) {
		return list[i]
	}
	return def
}

// maxExtent bounds the numbers a window computes with, so that none overflows;
// no image and no kernel comes near it.
const maxExtent = 1 << 40

func sane(v ...int64) bool {
	for _, n := range v {
		if n < 0 || n > maxExtent {
			return false
		}
	}
	return true
}

// out is the length of spatial axis i of the result, for an axis of length d.
func (w window) out(i int, d Dim) Dim {
	k, s, dl := at(w.kernel, i, -1), at(w.strides, i, 1), at(w.dilations, i, 1)
	p := at(w.pads, i, 0) + at(w.pads, i+len(w.kernel), 0)
	n, fixed := d.Fixed()
	if !fixed || s < 1 || dl < 1 || dl > 1<<20 || k > 1<<20 || !sane(n, k, s, dl, p) {
		return Unknown()
	}
	span := dl*(k-1) + 1
	switch w.auto {
	case "SAME_UPPER", "SAME_LOWER":
		return Fixed((n + s - 1) / s)
	case "VALID":
		p = 0
	}
	room := n + p - span
	if room < 0 {
		return Unknown()
	}
	o := room/s + 1
	if w.ceil && room%s != 0 {
		// A window that would begin in the padding behind the image is left out.
		if o*s < n+at(w.pads, i, 0) {
			o++
		}
	}
	return Fixed(o)
}

func conv(c call, weight int, t DataType) []known {
	x, w := c.arg(0), c.arg(weight)
	out := known{typ: t}
	if !x.ranked || len(x.shape) < 3 || !w.ranked || len(w.shape) != len(x.shape) {
		return []known{out}
	}
	win := windowOf(c.n, fixedTail(w.shape))
	out.ranked, out.shape = true, []Dim{bare(x.shape[0]), bare(w.shape[0])}
	for i, d := range x.shape[2:] {
		out.shape = append(out.shape, win.out(i, d))
	}
	return []known{out}
}

// fixedTail is the kernel's size in a weight's shape, or nil.
func fixedTail(shape []Dim) []int64 {
	var out []int64
	for _, d := range shape[2:] {
		n, ok := d.Fixed()
		if !ok {
			return nil
		}
		out = append(out, n)
	}
	return out
}

func convTranspose(c call) []known {
	x, w := c.arg(0), c.arg(1)
	out := known{typ: x.typ}
	if !x.ranked || len(x.shape) < 3 || !w.ranked || len(w.shape) != len(x.shape) {
		return []known{out}
	}
	win := windowOf(c.n, fixedTail(w.shape))
	extra, given := c.n.Ints("output_padding"), c.n.Ints("output_shape")
	channels := Unknown()
	if n, ok := w.shape[1].Fixed(); ok {
		if g := c.n.Int("group", 1); sane(n, g) && g < 1<<20 && n < 1<<20 {
			channels = Fixed(n * g)
		}
	}
	out.ranked, out.shape = true, []Dim{bare(x.shape[0]), channels}
	for i, d := range x.shape[2:] {
		n, fixed := d.Fixed()
		k, s, dl := at(win.kernel, i, -1), at(win.strides, i, 1), at(win.dilations, i, 1)
		p := at(win.pads, i, 0) + at(win.pads, i+len(win.kernel), 0)
		switch {
		case len(given) == len(x.shape)-2 && given[i] >= 0:
			out.shape = append(out.shape, Fixed(given[i]))
		case !fixed || !sane(n, k, s, dl, p, at(extra, i, 0)) || n > 1<<20 || k > 1<<20 || s > 1<<20 || dl > 1<<20:
			out.shape = append(out.shape, Unknown())
		case win.auto == "SAME_UPPER" || win.auto == "SAME_LOWER":
			out.shape = append(out.shape, Fixed(n*s))
		default:
			if win.auto == "VALID" {
				p = 0
			}
			d := Dim{Value: s*(n-1) + at(extra, i, 0) + dl*(k-1) + 1 - p}
			out.shape = append(out.shape, Dim{Value: max(d.Value, -1)})
		}
	}
	return []known{out}
}

func pool(c call) []known {
	x := c.arg(0)
	out := known{typ: x.typ}
	kernel := c.n.Ints("kernel_shape")
	if !x.ranked || len(x.shape) < 3 || len(kernel) != len(x.shape)-2 {
		return []known{out}
	}
	win := windowOf(c.n, nil)
	out.ranked, out.shape = true, []Dim{bare(x.shape[0]), bare(x.shape[1])}
	for i, d := range x.shape[2:] {
		out.shape = append(out.shape, win.out(i, d))
	}
	return []known{out}
}

func maxPool(c call) []known {
	out := pool(c)[0]
	indices := out
	indices.typ = Int64
	return []known{out, indices}
}

func gemm(c call) []known {
	a, b := c.arg(0), c.arg(1)
	out := known{typ: a.typ}
	if !a.ranked || !b.ranked || len(a.shape) != 2 || len(b.shape) != 2 {
		return []known{out}
	}
	m, n := a.shape[0], b.shape[1]
	if c.n.Int("transA", 0) != 0 {
		m = a.shape[1]
	}
	if c.n.Int("transB", 0) != 0 {
		n = b.shape[0]
	}
	return []known{tensorOf(a.typ, bare(m), bare(n))}
}

// matMul follows numpy: matrices in the last two axes, the rest broadcast; a
// list is a row on the left and a column on the right.
func matMul(c call, right int, t DataType) []known {
	a, b := c.arg(0), c.arg(right)
	out := known{typ: t}
	if !a.ranked || !b.ranked || len(a.shape) == 0 || len(b.shape) == 0 {
		return []known{out}
	}
	as, bs := a.shape, b.shape
	if len(as) == 1 {
		as = []Dim{Fixed(1), as[0]}
	}
	if len(bs) == 1 {
		bs = []Dim{bs[0], Fixed(1)}
	}
	stack := broadcast(t, tensorOf(t, as[:len(as)-2]...), tensorOf(t, bs[:len(bs)-2]...))
	if !stack.ranked {
		return []known{out}
	}
	out.ranked, out.shape = true, stack.shape
	if len(a.shape) > 1 {
		out.shape = append(out.shape, bare(as[len(as)-2]))
	}
	if len(b.shape) > 1 {
		out.shape = append(out.shape, bare(bs[len(bs)-1]))
	}
	return []known{out}
}

func transpose(c call) []known {
	x := c.arg(0)
	out := known{typ: x.typ}
	if !x.ranked {
		return []known{out}
	}
	perm := permutation(c.n, len(x.shape))
	if perm == nil {
		return []known{out}
	}
	out.ranked = true
	for _, p := range perm {
		out.shape = append(out.shape, x.shape[p])
	}
	if x.told && len(perm) == 2 && perm[0] == 1 {
		out.told = true
		r, c := x.shape[0].Value, x.shape[1].Value
		for j := range c {
			for i := range r {
				out.elems = append(out.elems, x.elems[i*c+j])
			}
		}
	}
	return []known{out}
}

// permutation is a Transpose's order of axes, reversed unless given; nil when
// it is none of the given rank.
func permutation(n *Node, rank int) []int {
	out := make([]int, rank)
	perm := n.Ints("perm")
	if perm == nil {
		for i := range out {
			out[i] = rank - 1 - i
		}
		return out
	}
	if len(perm) != rank {
		return nil
	}
	seen := make([]bool, rank)
	for i, p := range perm {
		if p < 0 || p >= int64(rank) || seen[p] {
			return nil
		}
		seen[p], out[i] = true, int(p)
	}
	return out
}

// target is the shape a Reshape asks for, as it is written; ok when known.
func target(c call) ([]Dim, bool) {
	if c.x.opset < 5 {
		var out []Dim
		for _, v := range c.n.Ints("shape") {
			out = append(out, Dim{Value: v})
		}
		return out, true
	}
	k := c.arg(1)
	return k.elems, k.told
}

func reshape(c call) []known {
	x := c.arg(0)
	want, ok := target(c)
	if !ok {
		out := known{typ: x.typ}
		// The length of the target is the rank.
		if s := c.arg(1); s.ranked && len(s.shape) == 1 {
			if n, fixed := s.shape[0].Fixed(); fixed && n <= maxElems {
				out.ranked = true
				for range n {
					out.shape = append(out.shape, Unknown())
				}
			}
		}
		return []known{out}
	}
	out := tensorOf(x.typ)
	open := -1 // the axis that takes what is left
	for i, d := range want {
		switch {
		case d.Param != "":
			out.shape = append(out.shape, bare(d))
		case d.Value == -1 && open >= 0:
			return []known{{typ: x.typ}}
		case d.Value == -1:
			open = i
			out.shape = append(out.shape, Unknown())
		case d.Value == 0 && c.n.Int("allowzero", 0) == 0:
			if !x.ranked || i >= len(x.shape) {
				out.shape = append(out.shape, Unknown())
				break
			}
			out.shape = append(out.shape, bare(x.shape[i]))
		case d.Value < 0:
			return []known{{typ: x.typ}}
		default:
			out.shape = append(out.shape, Fixed(d.Value))
		}
	}
	if open >= 0 && x.ranked {
		out.shape[open] = left(x.shape, slices.Delete(slices.Clone(out.shape), open, open+1))
	}
	out.elems, out.told = x.elems, x.told
	return []known{out}
}

// left divides the lengths of have by those of want. Symbols cancel by name.
func left(have, want []Dim) Dim {
	num, den := uint64(1), uint64(1)
	symbols := make(map[string]int)
	for _, side := range []struct {
		dims    []Dim
		product *uint64
		count   int
	}{{have, &num, 1}, {want, &den, -1}} {
		for _, d := range side.dims {
			n, fixed := d.Fixed()
			switch {
			case fixed:
				hi, lo := bits.Mul64(*side.product, uint64(n))
				if hi != 0 || lo > math.MaxInt64 {
					return Unknown()
				}
				*side.product = lo
			case d.Param != "":
				symbols[d.Param] += side.count
			default:
				return Unknown()
			}
		}
	}
	if den == 0 || num%den != 0 {
		return Unknown()
	}
	q := int64(num / den)
	name := ""
	for s, n := range symbols {
		switch {
		case n == 0:
		case n == 1 && name == "" && q == 1:
			name = s
		default:
			return Unknown()
		}
	}
	if name != "" {
		return Symbol(name)
	}
	return Fixed(q)
}

// product multiplies lengths: a number, one symbol, or unknown.
func product(dims []Dim) Dim { return left(dims, nil) }

func flatten(c call) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: x.typ, ranked: true, shape: []Dim{Unknown(), Unknown()}}}
	}
	a := c.n.Int("axis", 1)
	if a < 0 {
		a += int64(len(x.shape))
	}
	if a < 0 || a > int64(len(x.shape)) {
		return []known{{typ: x.typ}}
	}
	return []known{tensorOf(x.typ, product(x.shape[:a]), product(x.shape[a:]))}
}

func squeeze(c call) []known {
	x := c.arg(0)
	list, given, ok := c.ints(1, "axes", 13)
	if !x.ranked || !ok {
		return []known{{typ: x.typ}}
	}
	drop, ok := axesOf(list, len(x.shape))
	if !ok {
		return []known{{typ: x.typ}}
	}
	out := known{typ: x.typ, ranked: true, elems: x.elems, told: x.told}
	for i, d := range x.shape {
		n, fixed := d.Fixed()
		if !given && !fixed {
			return []known{{typ: x.typ}} // it may be 1 and go
		}
		if given && !drop[i] || !given && n != 1 {
			out.shape = append(out.shape, d)
		}
	}
	return []known{out}
}

func unsqueeze(c call) []known {
	x := c.arg(0)
	list, _, ok := c.ints(1, "axes", 13)
	if !x.ranked || !ok {
		return []known{{typ: x.typ}}
	}
	rank := len(x.shape) + len(list)
	add, ok := axesOf(list, rank)
	if !ok || len(add) != len(list) {
		return []known{{typ: x.typ}}
	}
	out := known{typ: x.typ, ranked: true, elems: x.elems, told: x.told}
	for i, j := 0, 0; i < rank; i++ {
		if add[i] {
			out.shape = append(out.shape, Fixed(1))
			continue
		}
		out.shape = append(out.shape, x.shape[j])
		j++
	}
	return []known{out}
}

func concat(c call) []known {
	out := known{typ: c.arg(0).typ}
	rank := -1
	for _, k := range c.in {
		if !k.ranked || rank >= 0 && len(k.shape) != rank {
			return []known{out}
		}
		rank = len(k.shape)
	}
	a, ok := axis(c.n.Int("axis", 1), rank)
	if rank < 1 || !ok {
		return []known{out}
	}
	out.ranked, out.told = true, a == 0 // whole rows behind each other
	for i := range rank {
		d := bare(c.in[0].shape[i])
		for _, k := range c.in[1:] {
			e := k.shape[i]
			if i == a {
				d = sum(d, e)
				continue
			}
			var ok bool
			if d, ok = agree(d, e); !ok {
				return []known{{typ: out.typ}}
			}
		}
		out.shape = append(out.shape, d)
	}
	for _, k := range c.in {
		out.told = out.told && k.told
		out.elems = append(out.elems, k.elems...)
	}
	return []known{out}
}

// agree is the length of two axes that must be equal; ok is false when they
// cannot be.
func agree(a, b Dim) (Dim, bool) {
	an, af := a.Fixed()
	bn, bf := b.Fixed()
	switch {
	case af && bf:
		return bare(a), an == bn
	case af:
		return bare(a), true
	case bf || a.Param == "":
		return bare(b), true
	}
	return bare(a), true
}

func sum(a, b Dim) Dim {
	an, af := a.Fixed()
	bn, bf := b.Fixed()
	switch {
	case af && bf && an <= math.MaxInt64-bn:
		return Fixed(an + bn)
	case af && an == 0:
		return bare(b)
	case bf && bn == 0:
		return bare(a)
	}
	return Unknown()
}

func split(c call) []known {
	x := c.arg(0)
	n := len(c.n.Outputs)
	out := make([]known, n)
	for i := range out {
		out[i].typ = x.typ
	}
	if !x.ranked {
		return out
	}
	a, ok := axis(c.n.Int("axis", 0), len(x.shape))
	if !ok {
		return out
	}
	parts, given, told := c.ints(1, "split", 13)
	total, fixed := x.shape[a].Fixed()
	each := int64(-1)
	if !given && fixed && n > 0 {
		each = (total + int64(n) - 1) / int64(n) // the last part may be shorter
	}
	for i := range out {
		out[i].ranked, out[i].shape = true, slices.Clone(x.shape)
		d := Unknown()
		switch {
		case given && told && len(parts) == n && parts[i] >= 0:
			d = Fixed(parts[i])
		case each >= 0:
			d = Fixed(max(min(each, total-int64(i)*each), 0))
		}
		out[i].shape[a] = d
	}
	return out
}

// cut is what a Slice does to one axis.
type cut struct{ start, end, step int64 }

// cuts returns a Slice's cuts by axis; ok when they are known.
func cuts(c call, rank int) (map[int]cut, bool) {
	starts, _, ok1 := c.ints(1, "starts", 10)
	ends, _, ok2 := c.ints(2, "ends", 10)
	list, given, ok3 := c.ints(3, "axes", 10)
	steps, stepped, ok4 := c.ints(4, "steps", 10)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(starts) != len(ends) {
		return nil, false
	}
	if !given {
		for i := range starts {
			list = append(list, int64(i))
		}
	}
	if len(list) != len(starts) || stepped && len(steps) != len(starts) {
		return nil, false
	}
	out := make(map[int]cut)
	for i, a := range list {
		j, ok := axis(a, rank)
		if !ok {
			return nil, false
		}
		out[j] = cut{starts[i], ends[i], at(steps, i, 1)}
	}
	return out, true
}

// apply returns the first index, how many and the step of a cut along an axis
// of n.
func (k cut) apply(n int64) (first, count int64) {
	clamp := func(v, lo, hi int64) int64 {
		if v < 0 {
			v += n
		}
		return min(max(v, lo), hi)
	}
	if k.step == 0 || k.step == math.MinInt64 {
		return 0, 0
	}
	if k.step > 0 {
		s, e := clamp(k.start, 0, n), clamp(k.end, 0, n)
		if e <= s {
			return s, 0
		}
		return s, (e-s-1)/k.step + 1
	}
	s, e := clamp(k.start, 0, n-1), clamp(k.end, -1, n-1)
	if s <= e {
		return s, 0
	}
	return s, (s-e-1)/-k.step + 1
}

// whole reports whether a cut keeps its axis as it is, whatever the length.
func (k cut) whole() bool { return k.start == 0 && k.step == 1 && k.end >= math.MaxInt32 }

func slice(c call) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: x.typ}}
	}
	by, ok := cuts(c, len(x.shape))
	if !ok {
		return []known{{typ: x.typ}}
	}
	out := tensorOf(x.typ, slices.Clone(x.shape)...)
	out.elems, out.told = x.elems, x.told
	for a, k := range by {
		n, fixed := x.shape[a].Fixed()
		switch {
		case k.whole():
		case !fixed:
			out.shape[a] = Unknown()
		default:
			from, count := k.apply(n)
			out.shape[a] = Fixed(count)
			out.elems, out.told = rows(out, a, n, from, count, k.step)
		}
	}
	return []known{out}
}

// rows picks rows of a tensor's elements: count of n, beginning with from. Axes
// other than the first are not followed.
func rows(x known, axis int, n, from, count, step int64) ([]Dim, bool) {
	if !x.told || axis != 0 || n == 0 {
		return nil, false
	}
	width := int64(len(x.elems)) / n
	var out []Dim
	for i := range count {
		at := (from + i*step) * width
		out = append(out, x.elems[at:at+width]...)
	}
	return out, true
}

func gather(c call) []known {
	x, idx := c.arg(0), c.arg(1)
	out := known{typ: x.typ}
	if !x.ranked || !idx.ranked {
		return []known{out}
	}
	a, ok := axis(c.n.Int("axis", 0), len(x.shape))
	if !ok {
		return []known{out}
	}
	out.ranked = true
	out.shape = slices.Concat(x.shape[:a], idx.shape, x.shape[a+1:])
	if x.told && idx.told && len(x.shape) == 1 && len(idx.shape) <= 1 {
		out.told = true
		for _, i := range idx.elems {
			j, ok := axis(i.Value, len(x.elems))
			if i.Param != "" || !ok {
				out.elems, out.told = nil, false
				break
			}
			out.elems = append(out.elems, x.elems[j])
		}
	}
	return []known{out}
}

// padding returns how much a Pad adds before and behind each axis.
func padding(c call, rank int) (before, behind []int64, ok bool) {
	pads, given, ok := c.ints(1, "pads", 11)
	if !ok || !given {
		return nil, nil, false
	}
	list, given, ok := c.ints(3, "axes", 18)
	if !ok {
		return nil, nil, false
	}
	if !given || c.x.opset < 18 {
		list = nil
		for i := range rank {
			list = append(list, int64(i))
		}
	}
	if len(pads) != 2*len(list) {
		return nil, nil, false
	}
	before, behind = make([]int64, rank), make([]int64, rank)
	for i, a := range list {
		j, ok := axis(a, rank)
		if !ok {
			return nil, nil, false
		}
		before[j], behind[j] = pads[i], pads[i+len(list)]
	}
	return before, behind, true
}

func pad(c call) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: x.typ}}
	}
	before, behind, ok := padding(c, len(x.shape))
	if !ok {
		return []known{{typ: x.typ, ranked: true, shape: unknowns(len(x.shape))}}
	}
	out := tensorOf(x.typ, slices.Clone(x.shape)...)
	for i, d := range x.shape {
		p := before[i] + behind[i]
		n, fixed := d.Fixed()
		switch {
		case before[i] == 0 && behind[i] == 0:
		case fixed && n <= maxExtent && p <= maxExtent && n+p >= 0:
			out.shape[i] = Fixed(n + p)
		default:
			out.shape[i] = Unknown()
		}
	}
	return []known{out}
}

func unknowns(rank int) []Dim {
	out := make([]Dim, rank)
	for i := range out {
		out[i] = Unknown()
	}
	return out
}

func expand(c call) []known {
	x, to := c.arg(0), c.arg(1)
	if !x.ranked || !to.told {
		return []known{{typ: x.typ}}
	}
	for _, d := range to.elems {
		if d.Param == "" && d.Value < 0 {
			return []known{{typ: x.typ}}
		}
	}
	return []known{broadcast(x.typ, x, tensorOf(x.typ, to.elems...))}
}

func tile(c call) []known {
	x := c.arg(0)
	times, _, ok := c.ints(1, "", 0)
	if !x.ranked || !ok || len(times) != len(x.shape) {
		return []known{{typ: x.typ}}
	}
	out := tensorOf(x.typ, slices.Clone(x.shape)...)
	for i, t := range times {
		n, fixed := x.shape[i].Fixed()
		switch {
		case t == 1:
		case fixed && sane(n, t) && n < 1<<20 && t < 1<<20:
			out.shape[i] = Fixed(n * t)
		default:
			out.shape[i] = Unknown()
		}
	}
	return []known{out}
}

// resize knows the lengths only where they are given as such; scales are
// fractions whose rounding differs between readers, save those of 1.
func resize(c call) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: x.typ}}
	}
	if c.x.opset < 11 {
		return upsample(c)
	}
	out := tensorOf(x.typ, unknowns(len(x.shape))...)
	list := c.n.Ints("axes")
	if list == nil {
		for i := range x.shape {
			list = append(list, int64(i))
		}
	} else {
		copy(out.shape, x.shape)
	}
	sizes := c.arg(3)
	for i, a := range list {
		j, ok := axis(a, len(x.shape))
		if !ok {
			return []known{{typ: x.typ}}
		}
		out.shape[j] = Unknown()
		switch {
		case c.has(3) && sizes.told && len(sizes.elems) == len(list):
			out.shape[j] = sizes.elems[i]
		case !c.has(3) && c.scaleIsOne(2, i):
			out.shape[j] = x.shape[j]
		}
	}
	return []known{out}
}

// scaleIsOne reports whether element i of the constant float operand is 1.
func (c call) scaleIsOne(operand, i int) bool {
	if !c.has(operand) {
		return false
	}
	t := c.x.floats[c.n.Inputs[operand]]
	return i < len(t) && t[i] == 1
}

func upsample(c call) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: x.typ}}
	}
	out := tensorOf(x.typ, unknowns(len(x.shape))...)
	scales := c.n.Floats("scales")
	for i := range x.shape {
		if c.scaleIsOne(1, i) || i < len(scales) && scales[i] == 1 {
			out.shape[i] = x.shape[i]
		}
	}
	return []known{out}
}

func depthToSpace(c call) []known { return blocks(c, true) }
func spaceToDepth(c call) []known { return blocks(c, false) }

func blocks(c call, toSpace bool) []known {
	x := c.arg(0)
	b := c.n.Int("blocksize", 0)
	if !x.ranked || len(x.shape) != 4 || b < 1 || b > 1<<15 {
		return []known{{typ: x.typ}}
	}
	out := tensorOf(x.typ, bare(x.shape[0]), Unknown(), Unknown(), Unknown())
	for i := 1; i < 4; i++ {
		n, fixed := x.shape[i].Fixed()
		if !fixed || n > maxExtent>>30 {
			continue
		}
		switch {
		case toSpace == (i == 1):
			f := b
			if i == 1 {
				f = b * b
			}
			out.shape[i] = Fixed(n / f)
		case i == 1:
			out.shape[i] = Fixed(n * b * b)
		default:
			out.shape[i] = Fixed(n * b)
		}
	}
	return []known{out}
}

func shape(c call) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: Int64}}
	}
	rank := int64(len(x.shape))
	edge := func(v int64) int64 {
		if v < 0 {
			v += rank
		}
		return min(max(v, 0), rank)
	}
	from, to := edge(c.n.Int("start", 0)), edge(c.n.Int("end", rank))
	if to < from {
		to = from
	}
	out := listOf(nil)
	for _, d := range x.shape[from:to] {
		if d.Param == "" && d.Value < 0 {
			return []known{tensorOf(Int64, Fixed(to-from))}
		}
		out.elems = append(out.elems, bare(d))
	}
	return []known{listOf(out.elems)}
}

func constantNode(c call) []known {
	if t := constantOf(c.n); t != nil {
		if len(c.n.Outputs) == 1 {
			c.x.noteFloats(c.n.Outputs[0], t)
		}
		return []known{constant(t)}
	}
	return nil
}

func constantOfShape(c call) []known {
	t := Float32
	if v := c.n.Tensor("value"); v != nil {
		t = v.Type
	}
	s := c.arg(0)
	if !s.told {
		return []known{{typ: t}}
	}
	for _, d := range s.elems {
		if d.Param == "" && d.Value < 0 {
			return []known{{typ: t}}
		}
	}
	out := tensorOf(t, slices.Clone(s.elems)...)
	if n, fixed := product(out.shape).Fixed(); fixed && n <= maxElems && t == Int64 {
		if v := constant(c.n.Tensor("value")); len(v.elems) == 1 {
			out.told = true
			for range n {
				out.elems = append(out.elems, v.elems[0])
			}
		}
	}
	return []known{out}
}

// reduction returns the axes a reduction folds; ok when they are known.
func reduction(c call, rank int) (map[int]bool, bool) {
	if c.n.Op == "ArgMax" || c.n.Op == "ArgMin" {
		return axesOf([]int64{c.n.Int("axis", 0)}, rank)
	}
	since := int64(18) // from then on axes are an operand
	if c.n.Op == "ReduceSum" {
		since = 13
	}
	list, given, ok := c.ints(1, "axes", since)
	if !ok {
		return nil, false
	}
	if !given || len(list) == 0 {
		if c.n.Int("noop_with_empty_axes", 0) != 0 {
			return nil, true
		}
		for i := range rank {
			list = append(list, int64(i))
		}
	}
	return axesOf(list, rank)
}

func reduced(c call, t DataType) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: t}}
	}
	fold, ok := reduction(c, len(x.shape))
	if !ok {
		return []known{{typ: t}}
	}
	out := tensorOf(t)
	for i, d := range x.shape {
		switch {
		case !fold[i]:
			out.shape = append(out.shape, bare(d))
		case c.n.Int("keepdims", 1) != 0:
			out.shape = append(out.shape, Fixed(1))
		}
	}
	return []known{out}
}

func topK(c call) []known {
	x := c.arg(0)
	if !x.ranked {
		return []known{{typ: x.typ}, {typ: Int64}}
	}
	a, ok := axis(c.n.Int("axis", -1), len(x.shape))
	if !ok {
		return []known{{typ: x.typ}, {typ: Int64}}
	}
	k := Dim{Value: c.n.Int("k", -1)}
	if c.x.opset >= 10 {
		k = Unknown()
		if n := c.arg(1); n.told && len(n.elems) == 1 {
			k = n.elems[0]
		}
	}
	out := tensorOf(x.typ, slices.Clone(x.shape)...)
	out.shape[a] = k
	indices := out
	indices.typ = Int64
	return []known{out, indices}
}
