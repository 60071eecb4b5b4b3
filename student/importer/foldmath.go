package importer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Folding of operators that compute with elements: in float32, or in int64 for
// every type of integer, wrapping around when the result is stored.

// loadInt reads the elements of a tensor of integers or bool; nil for others.
func loadInt(t *onnx.Tensor) func(i int) int64 {
	b := t.Data
	switch t.Type {
	case onnx.Int64, onnx.Uint64:
		return func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	case onnx.Int32:
		return func(i int) int64 { return int64(int32(binary.LittleEndian.Uint32(b[4*i:]))) }
	case onnx.Uint32:
		return func(i int) int64 { return int64(binary.LittleEndian.Uint32(b[4*i:])) }
	case onnx.Int16:
		return func(i int) int64 { return int64(int16(binary.LittleEndian.Uint16(b[2*i:]))) }
	case onnx.Uint16:
		return func(i int) int64 { return int64(binary.LittleEndian.Uint16(b[2*i:])) }
	case onnx.Int8:
		return func(i int) int64 { return int64(int8(b[i])) }
	case onnx.Uint8:
		return func(i int) int64 { return int64(b[i]) }
	case onnx.Bool:
		return func(i int) int64 {
			if b[i] != 0 {
				return 1
			}
			return 0
		}
	}
	return nil
}

// storeInt writes the low bits of integers into the elements of a tensor of
// integers or bool; nil for others.
func storeInt(t *onnx.Tensor) func(i int, v int64) {
	b := t.Data
	switch {
	case loadInt(t) == nil:
		return nil
	case t.Type.Bits() == 64:
		return func(i int, v int64) { binary.LittleEndian.PutUint64(b[8*i:], uint64(v)) }
	case t.Type.Bits() == 32:
		return func(i int, v int64) { binary.LittleEndian.PutUint32(b[4*i:], uint32(v)) }
	case t.Type.Bits() == 16:
		return func(i int, v int64) { binary.LittleEndian.PutUint16(b[2*i:], uint16(v)) }
	}
	return func(i int, v int64) { b[i] = byte(v) }
}

// loadFloat reads the elements of a tensor of float32.
func loadFloat(t *onnx.Tensor) func(i int) float32 {
	return func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:])) }
}

// storeFloat writes those of one.
func storeFloat(t *onnx.Tensor) func(i int, v float32) {
	return func(i int, v float32) { binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(v)) }
}

// number tells the types that are computed with. uint64 is not: its upper half
// does not fit an int64.
func number(t onnx.DataType) error {
	switch t {
	case onnx.Float32, onnx.Int64, onnx.Int32, onnx.Uint32, onnx.Int16, onnx.Uint16, onnx.Int8, onnx.Uint8:
		return nil
	}
	return unsupported("computing with %v is not folded; float32 and integers up to int64 are", t)
}

// rowMajor is the distance of neighbours along each axis, in elements.
func rowMajor(dims []int64) []int64 {
	out := make([]int64, len(dims))
	n := int64(1)
	for i, d := range slices.Backward(dims) {
		out[i] = n
		n *= d
	}
	return out
}

// broadcast aligns dims at their last axes; an axis of 1 stretches.
func broadcast(list ...[]int64) ([]int64, error) {
	rank := 0
	for _, dims := range list {
		rank = max(rank, len(dims))
	}
	out := make([]int64, rank)
	for i := range out {
		out[i] = 1
		for _, dims := range list {
			j := i - rank + len(dims)
			switch {
			case j < 0 || dims[j] == 1 || dims[j] == out[i]:
			case out[i] == 1:
				out[i] = dims[j]
			default:
				return nil, fmt.Errorf("shapes %v do not broadcast: at axis %d from the end, %d meets %d", list, rank-i, out[i], dims[j])
			}
		}
	}
	return out, nil
}

// stretched is rowMajor of dims as seen from dims they broadcast to.
func stretched(dims, to []int64) []int64 {
	out := make([]int64, len(to))
	for i, s := range rowMajor(dims) {
		if dims[i] != 1 {
			out[len(to)-len(dims)+i] = s
		}
	}
	return out
}

// walk visits all indices of dims in row-major order. i counts them; at is the
// sum of index times stride for each list of strides, and is written over.
func walk(dims []int64, strides [][]int64, visit func(i int, at []int)) {
	n, err := count(dims)
	if err != nil || n == 0 {
		return
	}
	var axes []int
	for k, d := range dims {
		if d != 1 {
			axes = append(axes, k)
		}
	}
	index := make([]int64, len(dims))
	at := make([]int, len(strides))
	for i := range int(n) {
		visit(i, at)
		for _, k := range slices.Backward(axes) {
			index[k]++
			for s := range at {
				at[s] += int(strides[s][k])
			}
			if index[k] < dims[k] {
				break
			}
			for s := range at {
				at[s] -= int(strides[s][k] * dims[k])
			}
			index[k] = 0
		}
	}
}

// pairs makes a tensor of the given type and the broadcast dims of two
// operands, and visits its elements with those of the operands.
func (f *folding) pairs(t onnx.DataType, a, b *onnx.Tensor, visit func(out *onnx.Tensor) func(i, x, y int)) (*onnx.Tensor, error) {
	if f.opset < 7 && f.node.Int("broadcast", 0) != 0 {
		return nil, unsupported("broadcasting as before opset 7 is not folded")
	}
	dims, err := broadcast(a.Dims, b.Dims)
	if err != nil {
		return nil, err
	}
	out, err := f.make(t, dims)
	if err != nil {
		return nil, err
	}
	v := visit(out)
	walk(dims, [][]int64{stretched(a.Dims, dims), stretched(b.Dims, dims)}, func(i int, at []int) { v(i, at[0], at[1]) })
	return out, nil
}

// two returns both operands, which must be of one type of number.
func (f *folding) two() (a, b *onnx.Tensor, err error) {
	if a, err = f.need(0); err != nil {
		return nil, nil, err
	}
	if b, err = f.need(1); err != nil {
		return nil, nil, err
	}
	if a.Type != b.Type {
		return nil, nil, fmt.Errorf("its operands are %v and %v; they must be of one type", a.Type, b.Type)
	}
	return a, b, nil
}

// arithmetic computes an operator of two operands. ints may be nil.
func (f *folding) arithmetic(a, b *onnx.Tensor, ints func(a, b int64) int64, floats func(a, b float32) float32) (*onnx.Tensor, error) {
	if a.Type != b.Type {
		return nil, fmt.Errorf("its operands are %v and %v; they must be of one type", a.Type, b.Type)
	}
	if err := number(a.Type); err != nil {
		return nil, err
	}
	if a.Type == onnx.Float32 {
		x, y := loadFloat(a), loadFloat(b)
		return f.pairs(a.Type, a, b, func(out *onnx.Tensor) func(i, j, k int) {
			put := storeFloat(out)
			return func(i, j, k int) { put(i, floats(x(j), y(k))) }
		})
	}
	if ints == nil {
		return nil, fmt.Errorf("its operands are %v; it takes real numbers", a.Type)
	}
	x, y := loadInt(a), loadInt(b)
	return f.pairs(a.Type, a, b, func(out *onnx.Tensor) func(i, j, k int) {
		put := storeInt(out)
		return func(i, j, k int) { put(i, ints(x(j), y(k))) }
	})
}

// binary computes an operator of the two operands there are.
func (f *folding) binary(ints func(a, b int64) int64, floats func(a, b float32) float32) ([]*onnx.Tensor, error) {
	a, b, err := f.two()
	if err != nil {
		return nil, err
	}
	return one(f.arithmetic(a, b, ints, floats))
}

// binaryOp folds an operator of two operands of one type.
func binaryOp(ints func(a, b int64) int64, floats func(a, b float32) float32) folder {
	return func(f *folding) ([]*onnx.Tensor, error) { return f.binary(ints, floats) }
}

// variadic folds an operator of any number of operands of one type. ints may
// be nil.
func variadic(ints func(a, b int64) int64, floats func(a, b float32) float32) folder {
	return func(f *folding) ([]*onnx.Tensor, error) {
		acc, err := f.need(0)
		if err == nil {
			err = number(acc.Type)
		}
		for i := 1; i < len(f.in) && err == nil; i++ {
			var t *onnx.Tensor
			if t, err = f.need(i); err == nil {
				acc, err = f.arithmetic(acc, t, ints, floats)
			}
		}
		return one(acc, err)
	}
}

// divide is Div. Integers are divided towards zero.
func divide(f *folding) ([]*onnx.Tensor, error) {
	if err := f.noZero(1); err != nil {
		return nil, err
	}
	return f.binary(func(a, b int64) int64 { return a / b }, func(a, b float32) float32 { return a / b })
}

// noZero refuses a zero among the integers of operand i.
func (f *folding) noZero(i int) error {
	t, err := f.need(i)
	if err != nil {
		return err
	}
	at := loadInt(t)
	if at == nil {
		return nil
	}
	n, _ := count(t.Dims)
	for i := range int(n) {
		if at(i) == 0 {
			return errors.New("it divides an integer by zero")
		}
	}
	return nil
}

// modulo is Mod: the remainder has the sign of the divisor, or with fmod that
// of the dividend.
func modulo(f *folding) ([]*onnx.Tensor, error) {
	if err := f.noZero(1); err != nil {
		return nil, err
	}
	fmod := f.node.Int("fmod", 0) != 0
	if t := f.arg(0); t != nil && t.Type == onnx.Float32 && !fmod {
		return nil, errors.New("of real numbers it must have fmod=1")
	}
	return f.binary(func(a, b int64) int64 {
		m := a % b
		if !fmod && m != 0 && (m < 0) != (b < 0) {
			m += b
		}
		return m
	}, func(a, b float32) float32 { return float32(math.Mod(float64(a), float64(b))) })
}

// power is Pow, whose exponent may be of another type than the base, which is
// also the result's.
func power(f *folding) ([]*onnx.Tensor, error) {
	a, err := f.need(0)
	if err != nil {
		return nil, err
	}
	b, err := f.need(1)
	if err != nil {
		return nil, err
	}
	for _, t := range []*onnx.Tensor{a, b} {
		if err := number(t.Type); err != nil {
			return nil, err
		}
	}
	if a.Type != onnx.Float32 && b.Type != onnx.Float32 {
		if a.Type != b.Type {
			if b, err = f.convert(b, onnx.Int64); err != nil {
				return nil, err
			}
		}
		x, y := loadInt(a), loadInt(b)
		return one(f.pairs(a.Type, a, b, func(out *onnx.Tensor) func(i, j, k int) {
			put := storeInt(out)
			return func(i, j, k int) { put(i, intPower(x(j), y(k))) }
		}))
	}
	x, y := loadReal(a), loadReal(b)
	return one(f.pairs(a.Type, a, b, func(out *onnx.Tensor) func(i, j, k int) {
		put := storeReal(out)
		return func(i, j, k int) { put(i, math.Pow(x(j), y(k))) }
	}))
}

// intPower is a to the power of b, towards zero; 0 to a negative power is 0.
func intPower(a, b int64) int64 {
	switch {
	case b < 0 && (a == 1 || a == -1):
		b &= 1
	case b < 0:
		return 0
	}
	p := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			p *= a
		}
		a *= a
	}
	return p
}

// loadReal reads the elements of a tensor of numbers or bool.
func loadReal(t *onnx.Tensor) func(i int) float64 {
	if t.Type == onnx.Float32 {
		at := loadFloat(t)
		return func(i int) float64 { return float64(at(i)) }
	}
	at := loadInt(t)
	if t.Type == onnx.Uint64 {
		return func(i int) float64 { return float64(uint64(at(i))) }
	}
	return func(i int) float64 { return float64(at(i)) }
}

// storeReal writes real numbers into the elements of a tensor of numbers or
// bool: integers towards zero and held within the type's range, which the
// format leaves open, NaN as 0; bool true unless zero.
func storeReal(t *onnx.Tensor) func(i int, v float64) {
	if t.Type == onnx.Float32 {
		put := storeFloat(t)
		return func(i int, v float64) { put(i, float32(v)) }
	}
	put, bits := storeInt(t), t.Type.Bits()
	if t.Type == onnx.Bool {
		return func(i int, v float64) {
			if v != 0 {
				put(i, 1)
			}
		}
	}
	low, high := -math.Ldexp(1, int(bits-1)), math.Ldexp(1, int(bits-1)) // high is one too many
	switch t.Type {
	case onnx.Uint64, onnx.Uint32, onnx.Uint16, onnx.Uint8:
		low, high = 0, math.Ldexp(1, int(bits))
	}
	return func(i int, v float64) {
		switch v = math.Trunc(v); {
		case math.IsNaN(v):
			put(i, 0)
		case v >= high && low == 0:
			put(i, -1) // all bits set
		case v >= high:
			put(i, int64(uint64(1)<<(bits-1)-1))
		case v <= low && low == 0:
			put(i, 0)
		case v <= low:
			put(i, -1<<(bits-1))
		case v >= 1<<63:
			put(i, int64(uint64(v)))
		default:
			put(i, int64(v))
		}
	}
}

// compare folds a comparison.
func compare(ints func(a, b int64) bool, floats func(a, b float32) bool) folder {
	return func(f *folding) ([]*onnx.Tensor, error) {
		a, b, err := f.two()
		if err != nil {
			return nil, err
		}
		if a.Type != onnx.Bool || f.node.Op != "Equal" {
			if err := number(a.Type); err != nil {
				return nil, err
			}
		}
		var holds func(j, k int) bool
		if a.Type == onnx.Float32 {
			x, y := loadFloat(a), loadFloat(b)
			holds = func(j, k int) bool { return floats(x(j), y(k)) }
		} else {
			x, y := loadInt(a), loadInt(b)
			holds = func(j, k int) bool { return ints(x(j), y(k)) }
		}
		return one(f.truths(a, b, holds))
	}
}

// truths makes a tensor of bool of two operands.
func (f *folding) truths(a, b *onnx.Tensor, holds func(j, k int) bool) (*onnx.Tensor, error) {
	return f.pairs(onnx.Bool, a, b, func(out *onnx.Tensor) func(i, j, k int) {
		return func(i, j, k int) {
			if holds(j, k) {
				out.Data[i] = 1
			}
		}
	})
}

// logic folds an operator on two operands of bool.
func logic(holds func(a, b bool) bool) folder {
	return func(f *folding) ([]*onnx.Tensor, error) {
		a, b, err := f.two()
		if err != nil {
			return nil, err
		}
		if a.Type != onnx.Bool {
			return nil, fmt.Errorf("its operands are %v; they must be bool", a.Type)
		}
		return one(f.truths(a, b, func(j, k int) bool { return holds(a.Data[j] != 0, b.Data[k] != 0) }))
	}
}

// not is Not.
func not(f *folding) ([]*onnx.Tensor, error) {
	a, err := f.need(0)
	if err != nil {
		return nil, err
	}
	if a.Type != onnx.Bool {
		return nil, fmt.Errorf("its operand is %v; it must be bool", a.Type)
	}
	return one(f.truths(a, a, func(j, _ int) bool { return a.Data[j] == 0 }))
}

// unary folds an operator that computes each element from the one in its
// place. ints may be nil.
func unary(ints func(a int64) int64, floats func(a float32) float32) folder {
	return func(f *folding) ([]*onnx.Tensor, error) {
		a, err := f.need(0)
		if err == nil {
			err = number(a.Type)
		}
		if err != nil {
			return nil, err
		}
		if a.Type != onnx.Float32 && ints == nil {
			return nil, fmt.Errorf("its operand is %v; it takes real numbers", a.Type)
		}
		out, err := f.make(a.Type, a.Dims)
		if err != nil {
			return nil, err
		}
		n, _ := count(a.Dims)
		if a.Type == onnx.Float32 {
			at, put := loadFloat(a), storeFloat(out)
			for i := range int(n) {
				put(i, floats(at(i)))
			}
		} else {
			at, put := loadInt(a), storeInt(out)
			for i := range int(n) {
				put(i, ints(at(i)))
			}
		}
		return one(out, nil)
	}
}

// rounded computes in float64 and rounds once.
func rounded(fn func(float64) float64) func(float32) float32 {
	return func(a float32) float32 { return float32(fn(float64(a))) }
}

// sign is -1, 0 or 1, and NaN of NaN.
func sign(a float32) float32 {
	switch {
	case a > 0:
		return 1
	case a < 0:
		return -1
	}
	return a
}

// convert makes a tensor of another type of number or bool.
func (f *folding) convert(t *onnx.Tensor, to onnx.DataType) (*onnx.Tensor, error) {
	if slices.Contains(narrow, to) {
		to = onnx.Float32
	}
	for _, typ := range []onnx.DataType{t.Type, to} {
		if typ != onnx.Bool && typ != onnx.Uint64 {
			if err := number(typ); err != nil {
				return nil, err
			}
		}
	}
	if t.Type == to {
		return t, nil
	}
	out, err := f.make(to, t.Dims)
	if err != nil {
		return nil, err
	}
	n, _ := count(t.Dims)
	if t.Type == onnx.Float32 || to == onnx.Float32 {
		at, put := loadReal(t), storeReal(out)
		for i := range int(n) {
			put(i, at(i))
		}
		return out, nil
	}
	at, put := loadInt(t), storeInt(out)
	for i := range int(n) {
		v := at(i)
		if to == onnx.Bool && v != 0 {
			v = 1
		}
		put(i, v)
	}
	return out, nil
}

// cast is Cast.
func cast(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	if a := f.node.Attr("to"); a == nil || a.Type != onnx.AttrTypeInt {
		return nil, errors.New(`it has no attribute "to" that is a type's number`)
	}
	return one(f.convert(t, onnx.DataType(f.node.Int("to", 0))))
}

// castLike is CastLike, to the type of the second operand.
func castLike(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	like, err := f.need(1)
	if err != nil {
		return nil, err
	}
	return one(f.convert(t, like.Type))
}

// clip is Clip. Its bounds are attributes before opset 11.
func clip(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err != nil {
		return nil, err
	}
	if f.opset < 11 {
		low, high := f.node.Float("min", -math.MaxFloat32), f.node.Float("max", math.MaxFloat32)
		return unary(nil, func(a float32) float32 { return min(max(a, low), high) })(f)
	}
	out := t
	for i, pick := range []func(a, b float64) bool{
		1: func(a, b float64) bool { return a < b },
		2: func(a, b float64) bool { return a > b },
	} {
		bound := f.arg(i)
		if pick == nil || bound == nil {
			continue
		}
		if n, _ := count(bound.Dims); n != 1 {
			return nil, fmt.Errorf("operand %d, a bound, has dims %v; it must be one number", i, bound.Dims)
		}
		b := bound.Clone()
		b.Dims = nil
		if i == 1 {
			out, err = f.arithmetic(out, b, func(a, b int64) int64 { return max(a, b) }, func(a, b float32) float32 { return max(a, b) })
		} else {
			out, err = f.arithmetic(out, b, func(a, b int64) int64 { return min(a, b) }, func(a, b float32) float32 { return min(a, b) })
		}
		if err != nil {
			return nil, err
		}
	}
	return one(out, number(t.Type))
}

// numberRange is Range.
func numberRange(f *folding) ([]*onnx.Tensor, error) {
	var ends [3]*onnx.Tensor // start, limit, delta
	for i := range ends {
		t, err := f.need(i)
		if err == nil {
			err = number(t.Type)
		}
		if err != nil {
			return nil, err
		}
		if n, _ := count(t.Dims); n != 1 || t.Type != f.in[0].Type {
			return nil, fmt.Errorf("operand %d is %v %v; it must be one number, of the first operand's type %v", i, t.Type, t.Dims, f.in[0].Type)
		}
		ends[i] = t
	}
	typ := ends[0].Type
	if typ == onnx.Float32 {
		start, limit, delta := loadReal(ends[0])(0), loadReal(ends[1])(0), loadReal(ends[2])(0)
		n := math.Ceil(float64(float32(limit)-float32(start)) / delta)
		if delta == 0 || math.IsNaN(n) || n > 1<<53 {
			return nil, fmt.Errorf("from %v to %v in steps of %v there is no end", start, limit, delta)
		}
		out, err := f.make(typ, []int64{int64(max(n, 0))})
		if err != nil {
			return nil, err
		}
		put := storeFloat(out)
		for i := range int(out.Dims[0]) {
			put(i, float32(start)+float32(i)*float32(delta))
		}
		return one(out, nil)
	}
	start, limit, delta := loadInt(ends[0])(0), loadInt(ends[1])(0), loadInt(ends[2])(0)
	var n uint64 // differences of int64 fit
	switch {
	case delta == 0:
		return nil, fmt.Errorf("from %d to %d in steps of 0 there is no end", start, limit)
	case delta > 0 && limit > start:
		n = (uint64(limit)-uint64(start)-1)/uint64(delta) + 1
	case delta < 0 && limit < start:
		n = (uint64(start)-uint64(limit)-1)/-uint64(delta) + 1
	}
	out, err := f.make(typ, []int64{int64(min(n, math.MaxInt64))})
	if err != nil {
		return nil, err
	}
	put := storeInt(out)
	for i := range int(n) {
		put(i, start+int64(i)*delta)
	}
	return one(out, nil)
}

// reduce folds an operator that computes one element of all along some axes.
type reduce struct {
	since  int64 // opset from which on the axes are an operand
	first  float64
	ints   func(acc, v int64) int64
	floats func(acc, v float64) float64
	mean   bool
	filled bool // begins with an element: there must be one
}

func (r reduce) fold(f *folding) ([]*onnx.Tensor, error) {
	t, err := f.need(0)
	if err == nil {
		err = number(t.Type)
	}
	if err != nil {
		return nil, err
	}
	list, _, err := f.listSince(r.since, 1, "axes")
	if err != nil {
		return nil, err
	}
	axes, err := axisSet(list, len(t.Dims))
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && f.node.Int("noop_with_empty_axes", 0) == 0 {
		for i := range t.Dims {
			axes[i] = true
		}
	}
	keep := f.node.Int("keepdims", 1) != 0
	kept := slices.Clone(t.Dims) // the result's dims, with axes of 1
	var dims []int64
	each := int64(1) // elements in one
	for i := range t.Dims {
		if axes[i] {
			kept[i] = 1
		}
		if !axes[i] || keep {
			dims = append(dims, kept[i])
		}
	}
	out, err := f.make(t.Type, dims)
	if err != nil {
		return nil, err
	}
	total, _ := count(t.Dims)
	n, _ := count(dims)
	if n > 0 {
		each = total / n
	}
	if each == 0 && (r.filled || r.mean) && n > 0 {
		return nil, fmt.Errorf("axes of %v to reduce have no elements", t.Dims)
	}
	over := stretched(kept, t.Dims)
	if t.Type == onnx.Float32 {
		at, put := loadFloat(t), storeFloat(out)
		acc := accumulate(t.Dims, over, n, r.first, r.filled, r.floats, func(i int) float64 { return float64(at(i)) })
		for i, v := range acc {
			if r.mean {
				v /= float64(each)
			}
			put(i, float32(v))
		}
		return one(out, nil)
	}
	put := storeInt(out)
	for i, v := range accumulate(t.Dims, over, n, int64(r.first), r.filled, r.ints, loadInt(t)) {
		if r.mean {
			v /= each
		}
		put(i, v)
	}
	return one(out, nil)
}

// accumulate reduces elements of the given dims to n. strides leads from each
// to the one it goes to, which begins with first, or where filled is set with
// the first that goes there.
func accumulate[T int64 | float64](dims, strides []int64, n int64, first T, filled bool, step func(acc, v T) T, at func(i int) T) []T {
	acc, seen := make([]T, n), make([]bool, n)
	for i := range acc {
		acc[i], seen[i] = first, !filled
	}
	walk(dims, [][]int64{strides}, func(i int, to []int) {
		if o := to[0]; seen[o] {
			acc[o] = step(acc[o], at(i))
		} else {
			acc[o], seen[o] = at(i), true
		}
	})
	return acc
}
