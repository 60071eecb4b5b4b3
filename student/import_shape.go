package student

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op"
)

// bounded refuses a shape that is empty or of more than maxElements, so that a
// few numbers in a file cannot ask for more memory than there is.
func (im *importing) bounded(c *importer.Call, shape []int) error {
	n := 1
	for _, d := range shape {
		if d < 1 || n > maxElements/d {
			return im.unsupported(c, fmt.Sprintf("its result has shape %v; each axis is at least 1, and all together at most %d elements", shape, maxElements))
		}
		n *= d
	}
	return nil
}

// tabulated is bounded for a shape each of whose axes is made by a table of where
// its elements come from.
func (im *importing) tabulated(c *importer.Call, shape []int) error {
	if slices.ContainsFunc(shape, func(d int) bool { return d > maxImage }) {
		return im.unsupported(c, fmt.Sprintf("its result has shape %v; each axis has at most %d elements", shape, maxImage))
	}
	return im.bounded(c, shape)
}

// list returns the integers that are an attribute below some opset and operand
// i from there on; false where neither is given.
func (im *importing) list(c *importer.Call, attr string, i int) (v []int64, given bool, err error) {
	if a := c.Node.Attr(attr); a != nil {
		return a.Ints, true, nil
	}
	if _, ok := im.operand(c, i); !ok {
		return nil, false, nil
	}
	v, err = im.ints(c, i)
	return v, true, err
}

// axes returns axes of the file of a value of the given rank, each once, as 0 to
// rank-1.
func (im *importing) axes(c *importer.Call, list []int64, rank int) ([]int, error) {
	axes := make([]int, len(list))
	for i, a := range list {
		var err error
		if axes[i], err = im.axis(c, a, rank); err != nil {
			return nil, err
		}
		if slices.Contains(axes[:i], axes[i]) {
			return nil, im.unsupported(c, fmt.Sprintf("axes %v name one twice", list))
		}
	}
	return axes, nil
}

// importReshape: 0 copies the operand's size, unless allowzero is set, and one
// -1 is what is left.
func importReshape(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	target, err := im.ints(c, 1)
	if err != nil {
		return nil, err
	}
	to, err := reshapeTo(im.fileShape(v), target, c.Node.Int("allowzero", 0) != 0)
	if err != nil {
		return nil, im.unsupported(c, err.Error())
	}
	return im.give(im.reshape(im.node(v), to...), v)
}

// reshapeTo is the shape that Reshape makes of a value of the given shape.
func reshapeTo(from []int, target []int64, keepZeros bool) ([]int, error) {
	elements := 1
	for _, d := range from {
		elements *= d
	}
	if elements == 0 {
		return nil, fmt.Errorf("its input has shape %v; empty values are not computed with", from)
	}
	to, known, open := make([]int, len(target)), 1, -1
	for i, d := range target {
		switch {
		case d == 0 && !keepZeros && i < len(from):
			to[i] = from[i]
		case d == -1 && open < 0:
			open = i
			continue
		case d < 1 || d > int64(elements):
			return nil, fmt.Errorf("shape %v does not fit its input's %v", target, from)
		default:
			to[i] = int(d)
		}
		if known > elements/to[i] {
			return nil, fmt.Errorf("shape %v does not fit its input's %v", target, from)
		}
		known *= to[i]
	}
	if open >= 0 {
		to[open] = elements / known
		known *= to[open]
	}
	if known != elements {
		return nil, fmt.Errorf("shape %v does not fit its input's %v", target, from)
	}
	return to, nil
}

func importSqueeze(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	shape := im.fileShape(v)
	list, given, err := im.list(c, "axes", 1)
	if err != nil {
		return nil, err
	}
	axes, err := im.axes(c, list, len(shape))
	if err != nil {
		return nil, err
	}
	var to []int
	for i, d := range shape {
		switch named := slices.Contains(axes, i); {
		case named && d != 1:
			return nil, im.unsupported(c, fmt.Sprintf("axis %d of shape %v is squeezed; it has %d elements", i, shape, d))
		case named, !given && d == 1:
		default:
			to = append(to, d)
		}
	}
	return im.give(im.reshape(im.node(v), to...), v)
}

func importUnsqueeze(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	list, given, err := im.list(c, "axes", 1)
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, im.unsupported(c, "it has no axes")
	}
	to := im.fileShape(v)
	axes, err := im.axes(c, list, len(to)+len(list))
	if err != nil {
		return nil, err
	}
	slices.Sort(axes)
	for _, a := range axes {
		to = slices.Insert(to, a, 1)
	}
	return im.give(im.reshape(im.node(v), to...), v)
}

func importTranspose(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	rank := im.rank(v)
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = rank - 1 - i
	}
	if a := c.Node.Attr("perm"); a != nil {
		if perm, err = im.axes(c, a.Ints, rank); err != nil {
			return nil, err
		}
		if len(perm) != rank {
			return nil, im.unsupported(c, fmt.Sprintf("perm %v of a value of rank %d", a.Ints, rank))
		}
	}
	return im.give(im.permute(im.node(v), perm...), v)
}

// importConcat: what has no elements, as lists that exporters begin with, adds
// nothing.
func importConcat(im *importing, c *importer.Call) ([]value, error) {
	first, err := im.first(c)
	if err != nil {
		return nil, err
	}
	rank := im.rank(first)
	axis, err := im.axis(c, c.Node.Int("axis", 1), rank) // opset 1 has a default
	if err != nil {
		return nil, err
	}
	var nodes gorgonia.Nodes
	for i := range c.Inputs {
		v, ok := im.operand(c, i)
		if !ok {
			return nil, im.unsupported(c, fmt.Sprintf("it has no operand %d", i))
		}
		if slices.Contains(im.fileShape(v), 0) {
			continue
		}
		n := im.node(v)
		if n == nil {
			return nil, im.b.err
		}
		if n.Dims() != rank {
			return nil, im.unsupported(c, fmt.Sprintf("operand %d has shape %v; the first has %v", i, inFile(n.Shape()), im.fileShape(first)))
		}
		nodes = append(nodes, n)
	}
	return im.give(im.op(op.Concat(nodeAxis(rank, axis), nodes...)), first)
}

// importSplit: the sizes are an attribute below opset 13, an operand from there
// on, or, where they are left out, as equal as can be.
func importSplit(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	shape := im.fileShape(v)
	axis, err := im.axis(c, c.Node.Int("axis", 0), len(shape))
	if err != nil {
		return nil, err
	}
	sizes, given, err := im.list(c, "split", 1)
	if err != nil {
		return nil, err
	}
	n, parts := int64(shape[axis]), int64(len(c.Outputs))
	if !given {
		if k := c.Node.Int("num_outputs", parts); k != parts || parts < 1 {
			return nil, im.unsupported(c, fmt.Sprintf("num_outputs %d for %d outputs", k, parts))
		}
		each := (n + parts - 1) / parts // the last may be smaller
		for range parts - 1 {
			sizes = append(sizes, each)
		}
		sizes = append(sizes, n-each*(parts-1))
	}
	left := n
	for _, s := range sizes {
		if s < 1 || s > left {
			break
		}
		left -= s
	}
	if left != 0 || int64(len(sizes)) != parts {
		return nil, im.unsupported(c, fmt.Sprintf("%d elements are split as %v into %d outputs", n, sizes, parts))
	}
	x := im.node(v)
	if x == nil {
		return nil, im.b.err
	}
	out := make([]value, parts)
	starts, size := make([]int, len(shape)), slices.Clone(shape)
	for i, s := range sizes {
		size[axis] = int(s)
		if c.Outputs[i] != "" {
			out[i] = value{node: im.op(op.Slice(x, inGorgonia(starts), inGorgonia(size), nil)), elem: v.elem}
		}
		starts[axis] += int(s)
	}
	return out, im.b.err
}

// importSlice: attributes below opset 10, operands and steps from there on.
func importSlice(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	shape := im.fileShape(v)
	var part [4][]int64 // starts, ends, axes, steps
	var given [4]bool
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		if part[i], given[i], err = im.list(c, name, i+1); err != nil {
			return nil, err
		}
	}
	if !given[2] {
		for i := range part[0] {
			part[2] = append(part[2], int64(i))
		}
	}
	if !given[3] {
		part[3] = slices.Repeat([]int64{1}, len(part[0]))
	}
	axes, err := im.axes(c, part[2], len(shape))
	if err != nil {
		return nil, err
	}
	if n := len(axes); len(part[0]) != n || len(part[1]) != n || len(part[3]) != n {
		return nil, im.unsupported(c, fmt.Sprintf("starts %v, ends %v and steps %v for axes %v", part[0], part[1], part[3], part[2]))
	}
	starts, sizes, steps := make([]int, len(shape)), slices.Clone(shape), slices.Repeat([]int{1}, len(shape))
	for i, a := range axes {
		first, count, step := cut(int64(shape[a]), part[0][i], part[1][i], part[3][i])
		if count < 1 {
			return nil, im.unsupported(c, fmt.Sprintf("from %d to %d in steps of %d there is nothing in axis %d of shape %v; empty values are not computed with",
				part[0][i], part[1][i], part[3][i], a, shape))
		}
		starts[a], sizes[a], steps[a] = int(first), int(count), int(step)
	}
	x := im.node(v)
	if x == nil || len(shape) == 0 {
		return im.give(x, v)
	}
	return im.give(im.op(op.Slice(x, inGorgonia(starts), inGorgonia(sizes), inGorgonia(steps))), v)
}

// cut returns which of n elements ONNX's Slice takes along an axis: the first
// one, how many, and the step between them.
func cut(n, start, end, step int64) (first, count, by int64) {
	// A step beyond the axis takes one element, as a step of its length does.
	step = min(max(step, -n), n)
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	switch {
	case step > 0:
		start, end = min(max(start, 0), n), min(max(end, 0), n)
		count = (end - start + step - 1) / step
	case step < 0:
		start, end = min(max(start, 0), n-1), min(max(end, -1), n-1)
		count = (start - end - step - 1) / -step
	}
	return start, max(count, 0), step
}

// importPad: pads and value are attributes below opset 11, operands from there
// on, and from 18 on they may be for some axes alone.
func importPad(im *importing, c *importer.Call) ([]value, error) {
	x := im.in(c, 0)
	if x == nil {
		return nil, im.b.err
	}
	shape := inFile(x.Shape())
	pads, _, err := im.list(c, "pads", 1)
	if err != nil {
		return nil, err
	}
	with := float(c, "value", 0)
	if _, ok := im.operand(c, 2); ok {
		f, err := im.floats(c, 2)
		if err != nil {
			return nil, err
		}
		if len(f) != 1 {
			return nil, im.unsupported(c, fmt.Sprintf("a value of %d numbers", len(f)))
		}
		with = f[0]
	}
	axes := make([]int, len(shape))
	for i := range axes {
		axes[i] = i
	}
	if _, ok := im.operand(c, 3); ok {
		list, err := im.ints(c, 3)
		if err != nil {
			return nil, err
		}
		if axes, err = im.axes(c, list, len(shape)); err != nil {
			return nil, err
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, im.unsupported(c, fmt.Sprintf("pads %v for %d axes", pads, len(axes)))
	}
	before, after, size := make([]int, len(shape)), make([]int, len(shape)), slices.Clone(shape)
	for i, a := range axes {
		b, e := pads[i], pads[len(axes)+i]
		if min(b, e) < -math.MaxInt32 || max(b, e) > math.MaxInt32 {
			return nil, im.unsupported(c, fmt.Sprintf("pads %v", pads))
		}
		before[a], after[a] = int(b), int(e)
		size[a] += int(b + e)
	}
	if err := im.bounded(c, size); err != nil {
		return nil, err
	}
	mode := c.Node.Str("mode", "constant")
	if mode == "constant" {
		return im.give(im.op(op.Pad(x, inGorgonia(before), inGorgonia(after), with)), value{})
	}
	if err := im.tabulated(c, size); err != nil {
		return nil, err
	}
	// What is cut off is no source for the borders.
	for a := range shape {
		cutBefore, cutAfter := min(before[a], 0), min(after[a], 0)
		n := shape[a] + cutBefore + cutAfter
		index, ok := border(mode, n, max(before[a], 0), max(after[a], 0))
		switch {
		case index == nil:
			return nil, im.unsupported(c, fmt.Sprintf("mode %q; it is one of constant, reflect, edge, wrap", mode))
		case !ok:
			return nil, im.unsupported(c, fmt.Sprintf("mode %s with pads %v of shape %v; a border is smaller than what it repeats", mode, pads, shape))
		}
		if before[a] == 0 && after[a] == 0 {
			continue
		}
		for i := range index {
			index[i] -= cutBefore
		}
		if x = im.op(op.Take(x, nodeAxis(len(shape), a), index)); x == nil {
			return nil, im.b.err
		}
	}
	return im.give(x, value{})
}

// border returns which of n elements a padded axis holds: nil for an unknown
// mode. It is false where the border needs elements that there are not.
func border(mode string, n, before, after int) (index []int, ok bool) {
	at := func(i int) int { return min(max(i, 0), n-1) }
	switch mode {
	case "edge":
	case "reflect":
		if before >= n || after >= n {
			return []int{}, false
		}
		at = func(i int) int {
			if i < 0 {
				i = -i
			}
			if i >= n {
				i = 2*(n-1) - i
			}
			return i
		}
	case "wrap":
		at = func(i int) int { return ((i % n) + n) % n }
	default:
		return nil, false
	}
	if n < 1 {
		return []int{}, false
	}
	for i := -before; i < n+after; i++ {
		index = append(index, at(i))
	}
	return index, true
}

// importGather: by constant indices, of any rank.
func importGather(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	shape := im.fileShape(v)
	axis, err := im.axis(c, c.Node.Int("axis", 0), len(shape))
	if err != nil {
		return nil, err
	}
	indices, err := im.ints(c, 1)
	if err != nil {
		return nil, err
	}
	n := int64(shape[axis])
	index := make([]int, len(indices))
	for i, k := range indices {
		if k < -n || k >= n {
			return nil, im.unsupported(c, fmt.Sprintf("index %d into axis %d of shape %v", k, axis, shape))
		}
		index[i] = int((k + n) % n)
	}
	if len(index) == 0 {
		return nil, im.unsupported(c, "it gathers nothing; empty values are not computed with")
	}
	which, _ := im.operand(c, 1)
	to := slices.Concat(shape[:axis], im.fileShape(which), shape[axis+1:])
	if err := im.bounded(c, to); err != nil {
		return nil, err
	}
	x := im.node(v)
	if x == nil {
		return nil, im.b.err
	}
	starts, sizes := make([]int, len(shape)), slices.Clone(shape)
	starts[axis], sizes[axis] = index[0], 1
	switch {
	case len(index) == 1:
		x = im.op(op.Slice(x, inGorgonia(starts), inGorgonia(sizes), nil))
	case which.sized && !slices.ContainsFunc(index, func(i int) bool { return i != index[0] }):
		// One of them for each image.
		if shape[axis] > 1 {
			x = im.op(op.Slice(x, inGorgonia(starts), inGorgonia(sizes), nil))
		}
		sizes[axis] = len(index)
		x = im.op(op.BroadcastTo(x, inGorgonia(sizes)...))
	default:
		x = im.op(op.Take(x, nodeAxis(len(shape), axis), index))
	}
	return im.give(im.reshape(x, to...), v)
}

// importExpand: the operand and the shape stretch each other.
func importExpand(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	target, err := im.ints(c, 1)
	if err != nil {
		return nil, err
	}
	to := make([]int, len(target))
	for i, d := range target {
		if d < 1 || d > maxElements {
			return nil, im.unsupported(c, fmt.Sprintf("shape %v", target))
		}
		to[i] = int(d)
	}
	shape, err := broadcastShape(im.fileShape(v), to)
	if err != nil {
		return nil, im.unsupported(c, err.Error())
	}
	if err := im.bounded(c, shape); err != nil {
		return nil, err
	}
	return im.give(im.broadcastTo(v, shape), v)
}

// importTile: the operand, repeated along each axis.
func importTile(im *importing, c *importer.Call) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	shape := im.fileShape(v)
	repeats, err := im.ints(c, 1)
	if err != nil {
		return nil, err
	}
	if len(repeats) != len(shape) {
		return nil, im.unsupported(c, fmt.Sprintf("repeats %v of a value of shape %v", repeats, shape))
	}
	to := slices.Clone(shape)
	for i, k := range repeats {
		if k < 1 || k > maxElements {
			return nil, im.unsupported(c, fmt.Sprintf("repeats %v; each is from 1 to %d", repeats, maxElements))
		}
		to[i] *= int(k)
		if err := im.tabulated(c, to); err != nil {
			return nil, err
		}
	}
	x := im.node(v)
	for a, d := range shape {
		if x == nil {
			return nil, im.b.err
		}
		switch {
		case to[a] == d:
		case d == 1:
			s := inFile(x.Shape())
			s[a] = to[a]
			x = im.op(op.BroadcastTo(x, inGorgonia(s)...))
		default:
			index := make([]int, to[a])
			for i := range index {
				index[i] = i % d
			}
			x = im.op(op.Take(x, nodeAxis(len(shape), a), index))
		}
	}
	return im.give(x, v)
}

// importDepthToSpace has modes from opset 11 on, and the first of them below.
func importDepthToSpace(im *importing, c *importer.Call) ([]value, error) {
	mode := c.Node.Str("mode", "DCR")
	return im.blocks(c, func(x *gorgonia.Node, block int) (*gorgonia.Node, error) { return op.DepthToSpace(x, block, mode) })
}

func importSpaceToDepth(im *importing, c *importer.Call) ([]value, error) {
	return im.blocks(c, func(x *gorgonia.Node, block int) (*gorgonia.Node, error) { return op.SpaceToDepth(x, block, "DCR") })
}

func (im *importing) blocks(c *importer.Call, f func(x *gorgonia.Node, block int) (*gorgonia.Node, error)) ([]value, error) {
	v, err := im.first(c)
	if err != nil {
		return nil, err
	}
	block := c.Node.Int("blocksize", 0)
	if block < 1 || block > maxImage {
		return nil, im.unsupported(c, fmt.Sprintf("blocksize %d; it is from 1 to %d", block, maxImage))
	}
	x := im.node(v)
	if x == nil {
		return nil, im.b.err
	}
	return im.give(im.op(f(x, int(block))), v)
}
