package importer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Folding of operators that make elements of nothing but dims, or put them in
// other places. The latter take any type whose elements are whole bytes; those
// that only give other dims take any type.

// constantOp is Constant, in whichever of its forms.
func constantOp(f *folding) ([]*onnx.Tensor, error) {
	t, err := constantValue(f.node)
	if err != nil {
		return nil, err
	}
	if b := widen(t); b != nil {
		t = t.Clone()
		t.Type, t.Data = onnx.Float32, b
	}
	return one(t, whole(t))
}

// shape is Shape, of some of the axes since opset 15.
func shape(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	rank := int64(len(t.Dims))
	within := func(a int64) int64 {
		if a < 0 {
			a += rank
		}
		return min(max(a, 0), rank)
	}
	start, end := within(f.node.Int("start", 0)), within(f.node.Int("end", rank))
	dims := t.Dims[start:max(start, end)]
	return one(onnx.Int64s("", []int64{int64(len(dims))}, dims), nil)
}

// size is Size.
func size(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	n, err := count(t.Dims)
	return one(onnx.Int64s("", nil, []int64{n}), err)
}

// constantOfShape is ConstantOfShape, of float32 zeros unless told otherwise.
func constantOfShape(f *folding) ([]*onnx.Tensor, error) {
	dims, err := f.needList(1, 0, "the shape")
	if err != nil {
		return nil, err
	}
	value := f.node.Tensor("value")
	if value == nil {
		return one(f.make(onnx.Float32, dims))
	}
	if n, err := count(value.Dims); err != nil || n != 1 || whole(value) != nil {
		return nil, fmt.Errorf("its value is %v %v; it must be one element", value.Type, value.Dims)
	}
	typ, element := value.Type, value.Data
	if b := widen(value); b != nil {
		typ, element = onnx.Float32, b
	}
	out, err := f.make(typ, dims)
	if err != nil {
		return nil, err
	}
	for at := out.Data; len(at) > 0; at = at[len(element):] {
		copy(at, element)
	}
	return one(out, nil)
}

// identity is Identity.
func identity(f *folding) ([]*onnx.Tensor, error) { return one(f.need(0)) }

// shaped is the operand with other dims, of as many elements.
func (f *folding) shaped(dims []int64) ([]*onnx.Tensor, error) {
	t := f.in[0]
	have, _ := count(t.Dims)
	if n, err := count(dims); err != nil || n != have {
		return nil, fmt.Errorf("%v cannot become %v: the numbers of elements differ", t.Dims, dims)
	}
	t = t.Clone()
	t.Dims = dims
	return one(t, nil)
}

// reshape is Reshape. 0 stands for the operand's axis in the same place,
// unless allowzero is set, and one -1 for what is left.
func reshape(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	list, err := f.needList(5, 1, "shape")
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(list)
	open := -1
	rest := slices.Clone(dims) // of the axes that are told
	for i, d := range dims {
		switch {
		case d == 0 && f.node.Int("allowzero", 0) == 0:
			if i >= len(t.Dims) {
				return nil, fmt.Errorf("shape %v copies axis %d of %v, which has none", list, i, t.Dims)
			}
			dims[i], rest[i] = t.Dims[i], t.Dims[i]
		case d == -1 && open < 0:
			open, rest[i] = i, 1
		case d < 0:
			return nil, fmt.Errorf("shape %v has more than one -1, or another negative axis", list)
		}
	}
	if open >= 0 {
		n, err := count(rest)
		if err != nil {
			return nil, err
		}
		have, _ := count(t.Dims)
		if n == 0 || have%n != 0 {
			return nil, fmt.Errorf("%v cannot become %v: no length fits in place of -1", t.Dims, list)
		}
		dims[open] = have / n
	}
	return f.shaped(dims)
}

// flatten is Flatten: the axes before the one named become one, and those from
// it on.
func flatten(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	a := f.node.Int("axis", 1)
	if a < 0 {
		a += int64(len(t.Dims))
	}
	if a < 0 || a > int64(len(t.Dims)) {
		return nil, fmt.Errorf("axis %d is out of range; the rank is %d", f.node.Int("axis", 1), len(t.Dims))
	}
	rows, err := count(t.Dims[:a])
	if err != nil {
		return nil, err
	}
	columns, err := count(t.Dims[a:])
	if err != nil {
		return nil, err
	}
	return f.shaped([]int64{rows, columns})
}

// squeeze is Squeeze: axes of 1 are dropped, all of them where none are named.
func squeeze(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	list, given, err := f.listSince(13, 1, "axes")
	if err != nil {
		return nil, err
	}
	axes, err := axisSet(list, len(t.Dims))
	if err != nil {
		return nil, err
	}
	var dims []int64
	for i, d := range t.Dims {
		switch {
		case axes[i] && d != 1:
			return nil, fmt.Errorf("axis %d of %v is not 1", i, t.Dims)
		case !axes[i] && (given || d != 1):
			dims = append(dims, d)
		}
	}
	return f.shaped(dims)
}

// unsqueeze is Unsqueeze: axes of 1 are put in where the result has them.
func unsqueeze(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	list, err := f.needList(13, 1, "axes")
	if err != nil {
		return nil, err
	}
	axes, err := axisSet(list, len(t.Dims)+len(list))
	if err != nil {
		return nil, err
	}
	dims := make([]int64, 0, len(t.Dims)+len(list))
	left := t.Dims
	for i := range len(t.Dims) + len(list) {
		if axes[i] {
			dims = append(dims, 1)
			continue
		}
		dims = append(dims, left[0])
		left = left[1:]
	}
	return f.shaped(dims)
}

// view is the tensor of the given dims whose element at an index is t's element
// number offset + index·strides, which must exist.
func (f *folding) view(t *onnx.Tensor, dims, strides []int64, offset int64) (*onnx.Tensor, error) {
	out, err := f.make(t.Type, dims)
	if err != nil || len(out.Data) == 0 {
		return out, err
	}
	// Axes of 1 go, and neighbours that lie together become one axis.
	var ds, ss []int64
	for i, d := range slices.Backward(dims) {
		last := len(ds) - 1
		switch {
		case d == 1:
		case last >= 0 && strides[i] == ds[last]*ss[last]:
			ds[last] *= d
		default:
			ds, ss = append(ds, d), append(ss, strides[i])
		}
	}
	if len(ds) == 0 {
		ds, ss = []int64{1}, []int64{1}
	}
	width := t.Type.Bits() / 8
	run, step := ds[0], ss[0] // the last axis, the others behind it
	ds, ss = ds[1:], ss[1:]
	index := make([]int64, len(ds))
	for to, at := out.Data, offset; ; {
		if step == 1 {
			to = to[copy(to[:run*width], t.Data[at*width:]):]
		} else {
			for k := range run {
				to = to[copy(to[:width], t.Data[(at+k*step)*width:]):]
			}
		}
		k := 0
		for ; k < len(ds); k++ {
			index[k]++
			at += ss[k]
			if index[k] < ds[k] {
				break
			}
			at -= ss[k] * ds[k]
			index[k] = 0
		}
		if k == len(ds) {
			return out, nil
		}
	}
}

// transpose is Transpose; without a permutation the axes are reversed.
func transpose(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	rank := len(t.Dims)
	perm := f.node.Ints("perm")
	if f.node.Attr("perm") == nil {
		for i := range rank {
			perm = append(perm, int64(rank-1-i))
		}
	}
	axes, err := axisSet(perm, rank)
	if err != nil || len(axes) != rank || slices.ContainsFunc(perm, func(p int64) bool { return p < 0 }) {
		return nil, fmt.Errorf("perm %v is no permutation of %d axes", perm, rank)
	}
	from := rowMajor(t.Dims)
	var dims, strides []int64
	for _, p := range perm {
		dims, strides = append(dims, t.Dims[p]), append(strides, from[p])
	}
	return one(f.view(t, dims, strides, 0))
}

// split3 is the number of elements before, in and behind an axis.
func split3(dims []int64, axis int) (outer, here, inner int64) {
	outer, _ = count(dims[:axis])
	inner, _ = count(dims[axis+1:])
	return outer, dims[axis], inner
}

// concat is Concat.
func concat(f *folding) ([]*onnx.Tensor, error) {
	first, err := f.need(0)
	if err != nil {
		return nil, err
	}
	if f.node.Attr("axis") == nil && f.opset >= 4 {
		return nil, errors.New("it names no axis")
	}
	a, err := axis(f.node.Int("axis", 1), len(first.Dims))
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(first.Dims)
	for i := 1; i < len(f.in); i++ {
		t, err := f.need(i)
		if err != nil {
			return nil, err
		}
		same := t.Type == first.Type && len(t.Dims) == len(dims)
		for k := 0; same && k < len(dims); k++ {
			same = k == a || t.Dims[k] == dims[k]
		}
		if !same || t.Dims[a] > math.MaxInt64-dims[a] {
			return nil, fmt.Errorf("operand %d is %v %v and operand 0 %v %v; along axis %d they do not join", i, t.Type, t.Dims, first.Type, first.Dims, a)
		}
		dims[a] += t.Dims[a]
	}
	out, err := f.make(first.Type, dims)
	if err != nil || len(out.Data) == 0 {
		return one(out, err)
	}
	outer, _, inner := split3(dims, a)
	width := inner * (first.Type.Bits() / 8)
	to := out.Data
	for i := range outer {
		for _, t := range f.in {
			n := t.Dims[a] * width
			to = to[copy(to[:n], t.Data[i*n:]):]
		}
	}
	return one(out, nil)
}

// part is the part of t along an axis from start on.
func (f *folding) part(t *onnx.Tensor, axis int, start, length int64) (*onnx.Tensor, error) {
	strides := rowMajor(t.Dims)
	dims := slices.Clone(t.Dims)
	dims[axis] = length
	return f.view(t, dims, strides, start*strides[axis])
}

// split is Split: into lengths that are told, or as many equal parts as there
// are outputs, of which since opset 18 the last may be shorter.
func split(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	a, err := axis(f.node.Int("axis", 0), len(t.Dims))
	if err != nil {
		return nil, err
	}
	lengths, given, err := f.listSince(13, 1, "split")
	if err != nil {
		return nil, err
	}
	length, parts := t.Dims[a], int64(f.outputs)
	if !given {
		if parts == 0 || f.node.Int("num_outputs", parts) != parts || length%parts != 0 && f.opset < 18 {
			return nil, fmt.Errorf("an axis of %d does not split into %d outputs", length, parts)
		}
		each := (length + parts - 1) / parts
		for left := length; len(lengths) < f.outputs; left -= min(each, left) {
			lengths = append(lengths, min(each, left))
		}
	}
	left := length
	for _, l := range lengths {
		if l < 0 || l > left {
			left = -1
			break
		}
		left -= l
	}
	if left != 0 || int64(len(lengths)) != parts {
		return nil, fmt.Errorf("an axis of %d does not split into %d outputs of lengths %v", length, parts, lengths)
	}
	var out []*onnx.Tensor
	var start int64
	for _, l := range lengths {
		p, err := f.part(t, a, start, l)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
		start += l
	}
	return out, nil
}

// slice is Slice. Its numbers are attributes before opset 10.
func slice(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	starts, err := f.needList(10, 1, "starts")
	if err != nil {
		return nil, err
	}
	ends, err := f.needList(10, 2, "ends")
	if err != nil {
		return nil, err
	}
	list, given, err := f.listSince(10, 3, "axes")
	if err != nil {
		return nil, err
	}
	if !given {
		for i := range starts {
			list = append(list, int64(i))
		}
	}
	var steps []int64
	given = false
	if f.opset >= 10 {
		if steps, given, err = f.list(4, "steps"); err != nil {
			return nil, err
		}
	}
	if !given {
		steps = slices.Repeat([]int64{1}, len(starts))
	}
	if len(ends) != len(starts) || len(list) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("starts %v, ends %v, axes %v and steps %v differ in number", starts, ends, list, steps)
	}
	if _, err := axisSet(list, len(t.Dims)); err != nil {
		return nil, err
	}
	dims, strides, offset := slices.Clone(t.Dims), rowMajor(t.Dims), int64(0)
	for i, a := range list {
		a, _ := axis(a, len(t.Dims))
		d := t.Dims[a]
		start, end, step := starts[i], ends[i], steps[i]
		if step == 0 {
			return nil, errors.New("a step is 0")
		}
		step = min(max(step, -d-1), d+1) // farther than the axis is as good
		if start < 0 {
			start += d
		}
		if end < 0 {
			end += d
		}
		if step > 0 {
			start, end = min(max(start, 0), d), min(max(end, 0), d)
			dims[a] = max(0, (end-start+step-1)/step)
		} else {
			start, end = min(max(start, 0), d-1), min(max(end, -1), d-1)
			dims[a] = max(0, (start-end-step-1)/-step)
		}
		offset += start * strides[a]
		strides[a] *= step
	}
	return one(f.view(t, dims, strides, offset))
}

// gather is Gather.
func gather(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	indices, err := f.need(1)
	if err != nil {
		return nil, err
	}
	if indices.Type != onnx.Int64 && indices.Type != onnx.Int32 {
		return nil, fmt.Errorf("its indices are %v; they must be int64 or int32", indices.Type)
	}
	a, err := axis(f.node.Int("axis", 0), len(t.Dims))
	if err != nil {
		return nil, err
	}
	dims := slices.Concat(t.Dims[:a], indices.Dims, t.Dims[a+1:])
	out, err := f.make(t.Type, dims)
	if err != nil {
		return nil, err
	}
	n, _ := count(indices.Dims)
	at := loadInt(indices)
	for i := range int(n) {
		if v, d := at(i), t.Dims[a]; v < -d || v >= d {
			return nil, fmt.Errorf("index %d lies outside axis %d of %v", v, a, t.Dims)
		}
	}
	if len(out.Data) == 0 {
		return one(out, nil)
	}
	outer, here, inner := split3(t.Dims, a)
	width := inner * (t.Type.Bits() / 8)
	to := out.Data
	for o := range outer {
		for i := range int(n) {
			v := at(i)
			if v < 0 {
				v += here
			}
			to = to[copy(to[:width], t.Data[(o*here+v)*width:]):]
		}
	}
	return one(out, nil)
}

// expand is Expand: broadcasting with a shape.
func expand(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	list, err := f.needList(1, 1, "shape")
	if err != nil {
		return nil, err
	}
	dims, err := broadcast(t.Dims, list)
	if err != nil {
		return nil, err
	}
	return one(f.view(t, dims, stretched(t.Dims, dims), 0))
}

// tile is Tile: the tensor again and again along its axes.
func tile(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	list, err := f.needList(1, 1, "repeats")
	if err != nil {
		return nil, err
	}
	if len(list) != len(t.Dims) {
		return nil, fmt.Errorf("%d repeats are given for %d axes", len(list), len(t.Dims))
	}
	var dims, places, strides []int64 // places: a repeat and an axis in turn
	for i, s := range rowMajor(t.Dims) {
		n, err := count([]int64{list[i], t.Dims[i]})
		if err != nil {
			return nil, err
		}
		dims = append(dims, n)
		places, strides = append(places, list[i], t.Dims[i]), append(strides, 0, s)
	}
	out, err := f.view(t, places, strides, 0)
	if err != nil {
		return nil, err
	}
	out.Dims = dims
	return one(out, nil)
}

// where is Where.
func where(f *folding) ([]*onnx.Tensor, error) {
	var in [3]*onnx.Tensor
	for i := range in {
		t, err := f.need(i)
		if err != nil {
			return nil, err
		}
		in[i] = t
	}
	if in[0].Type != onnx.Bool || in[1].Type != in[2].Type {
		return nil, fmt.Errorf("its operands are %v, %v and %v; they must be bool and two of one type", in[0].Type, in[1].Type, in[2].Type)
	}
	dims, err := broadcast(in[0].Dims, in[1].Dims, in[2].Dims)
	if err != nil {
		return nil, err
	}
	out, err := f.make(in[1].Type, dims)
	if err != nil {
		return nil, err
	}
	width := int(out.Type.Bits() / 8)
	var strides [][]int64
	for _, t := range in {
		strides = append(strides, stretched(t.Dims, dims))
	}
	walk(dims, strides, func(i int, at []int) {
		from := 2
		if in[0].Data[at[0]] != 0 {
			from = 1
		}
		copy(out.Data[i*width:][:width], in[from].Data[at[from]*width:])
	})
	return one(out, nil)
}

// nonZero is NonZero: the places of what is not zero, an axis in each row.
func nonZero(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	if t.Type != onnx.Float32 && loadInt(t) == nil {
		return nil, unsupported("places in %v are not folded; those of numbers and bool are", t.Type)
	}
	at := loadReal(t)
	n, _ := count(t.Dims)
	found := 0
	for i := range int(n) {
		if at(i) != 0 {
			found++
		}
	}
	out, err := f.make(onnx.Int64, []int64{int64(len(t.Dims)), int64(found)})
	if err != nil {
		return nil, err
	}
	put, strides := storeInt(out), rowMajor(t.Dims)
	column := 0
	for i := range int(n) {
		if at(i) == 0 {
			continue
		}
		for a, d := range t.Dims {
			put(a*found+column, int64(i)/strides[a]%d)
		}
		column++
	}
	return one(out, nil)
}

// trilu is Trilu: of the last two axes the part below a diagonal, or above.
func trilu(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	k, _, err := f.list(1, "k")
	if err != nil {
		return nil, err
	}
	if len(k) == 0 {
		k = []int64{0}
	}
	rank := len(t.Dims)
	if rank < 2 || len(k) != 1 {
		return nil, fmt.Errorf("its operand is %v and k %v; they must be matrices and one number", t.Dims, k)
	}
	out, err := f.make(t.Type, t.Dims)
	if err != nil {
		return nil, err
	}
	upper := f.node.Int("upper", 1) != 0
	rows, columns := t.Dims[rank-2], t.Dims[rank-1]
	width := t.Type.Bits() / 8
	for i := range int64(len(out.Data)) / width {
		row, column := i/columns%rows, i%columns
		if upper && column-row >= k[0] || !upper && column-row <= k[0] {
			copy(out.Data[i*width:][:width], t.Data[i*width:])
		}
	}
	return one(out, nil)
}
