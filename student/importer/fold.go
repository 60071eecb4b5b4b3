package importer

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// MaxFolded is the number of bytes that one output of Fold may take, unless
// the operands take more together: then it may take as many as they do.
// Operators such as Expand and ConstantOfShape ask for any amount in a few
// bytes. The causal mask of 4,096 tokens in float32 just fits.
const MaxFolded = 64 << 20

// folder computes the outputs of one call.
type folder func(f *folding) ([]*onnx.Tensor, error)

// folding is one call with its operands at hand. Its methods' errors name
// neither the call nor the package, which Fold puts in front.
type folding struct {
	node    *onnx.Node
	opset   int64
	in      []*onnx.Tensor // nil is one left out
	outputs int            // how many the call lists
	limit   int64          // bytes an output may take
}

// Fold computes a call whose operands are all constant: shape arithmetic and
// the like, in every form of the operators from opset 7 on. in holds an operand
// for each of c.Inputs, nil where one is left out; more than them are ignored,
// fewer are read as left out. ok is false when op is not one it knows.
//
// It computes in int64, int32, the smaller integers, float32 and bool, as ONNX
// Runtime does: integers wrap around, and divide towards zero. Real numbers of
// other widths are float32, as in a Program. Operators that only move elements
// take any type of whole bytes. An output may share memory with an operand.
//
// Errors are *CallError: operands that break the operator's rules; types and
// forms that cannot be folded, and outputs of more than MaxFolded bytes, which
// are ErrUnsupported.
func Fold(c Call, opset int64, in []*onnx.Tensor) (out []*onnx.Tensor, ok bool, err error) {
	fold := folders[c.Op]
	if fold == nil || onnx.CanonicalDomain(c.Domain) != "" {
		return nil, false, nil
	}
	f := &folding{node: c.node(), opset: opset, outputs: len(c.Outputs), limit: MaxFolded}
	fail := func(err error) ([]*onnx.Tensor, bool, error) {
		return nil, true, callError(f.node, opset, err)
	}
	var sum int64
	for i, name := range c.Inputs {
		if i >= len(in) || in[i] == nil || name == "" {
			f.in = append(f.in, nil)
			continue
		}
		t := in[i]
		if err := whole(t); err != nil {
			return fail(fmt.Errorf("operand %d: %w", i, err))
		}
		if b := widen(t); b != nil {
			t = t.Clone()
			t.Type, t.Data = onnx.Float32, b
		}
		sum += int64(len(t.Data))
		f.in = append(f.in, t)
	}
	f.limit = max(f.limit, sum)
	out, err = fold(f)
	if err != nil {
		return fail(err)
	}
	if len(out) < len(c.Outputs) {
		return fail(fmt.Errorf("it lists %d outputs, and gives %d", len(c.Outputs), len(out)))
	}
	for i, name := range c.Outputs {
		if out[i].Name != name {
			out[i] = out[i].Clone()
			out[i].Name = name
		}
	}
	return out[:len(c.Outputs)], true, nil
}

// folders is every operator that Fold knows.
var folders = map[string]folder{
	// Made of attributes, dims and numbers.
	"Constant":        constantOp,
	"Shape":           shape,
	"Size":            size,
	"ConstantOfShape": constantOfShape,
	"Range":           numberRange,

	// Elements in other places.
	"Identity":  identity,
	"Reshape":   reshape,
	"Flatten":   flatten,
	"Squeeze":   squeeze,
	"Unsqueeze": unsqueeze,
	"Transpose": transpose,
	"Concat":    concat,
	"Split":     split,
	"Slice":     slice,
	"Gather":    gather,
	"Expand":    expand,
	"Tile":      tile,
	"Where":     where,
	"NonZero":   nonZero,
	"Trilu":     trilu,
	"ScatterND": scatterND,

	// Arithmetic, with broadcasting.
	"Add": binaryOp(func(a, b int64) int64 { return a + b }, func(a, b float32) float32 { return a + b }),
	"Sub": binaryOp(func(a, b int64) int64 { return a - b }, func(a, b float32) float32 { return a - b }),
	"Mul": binaryOp(func(a, b int64) int64 { return a * b }, func(a, b float32) float32 { return a * b }),
	"Div": divide,
	"Mod": modulo,
	"Pow": power,
	"Min": variadic(func(a, b int64) int64 { return min(a, b) }, func(a, b float32) float32 { return min(a, b) }),
	"Max": variadic(func(a, b int64) int64 { return max(a, b) }, func(a, b float32) float32 { return max(a, b) }),
	"Sum": variadic(nil, func(a, b float32) float32 { return a + b }),

	"Equal":          compare(func(a, b int64) bool { return a == b }, func(a, b float32) bool { return a == b }),
	"Greater":        compare(func(a, b int64) bool { return a > b }, func(a, b float32) bool { return a > b }),
	"GreaterOrEqual": compare(func(a, b int64) bool { return a >= b }, func(a, b float32) bool { return a >= b }),
	"Less":           compare(func(a, b int64) bool { return a < b }, func(a, b float32) bool { return a < b }),
	"LessOrEqual":    compare(func(a, b int64) bool { return a <= b }, func(a, b float32) bool { return a <= b }),

	"And": logic(func(a, b bool) bool { return a && b }),
	"Or":  logic(func(a, b bool) bool { return a || b }),
	"Xor": logic(func(a, b bool) bool { return a != b }),
	"Not": not,

	// Element by element.
	"Cast":     cast,
	"CastLike": castLike,
	"Clip":     clip,
	"Neg":      unary(func(a int64) int64 { return -a }, func(a float32) float32 { return -a }),
	"Abs":      unary(func(a int64) int64 { return max(a, -a) }, func(a float32) float32 { return float32(math.Abs(float64(a))) }),
	"Sign":     unary(func(a int64) int64 { return int64(cmp.Compare(a, 0)) }, sign),
	"Relu":     unary(func(a int64) int64 { return max(a, 0) }, func(a float32) float32 { return max(a, 0) }),

	"Floor":      unary(nil, rounded(math.Floor)),
	"Ceil":       unary(nil, rounded(math.Ceil)),
	"Round":      unary(nil, rounded(math.RoundToEven)),
	"Sqrt":       unary(nil, rounded(math.Sqrt)),
	"Reciprocal": unary(nil, func(a float32) float32 { return 1 / a }),
	"Exp":        unary(nil, rounded(math.Exp)),
	"Log":        unary(nil, rounded(math.Log)),
	"Erf":        unary(nil, rounded(math.Erf)),
	"Sin":        unary(nil, rounded(math.Sin)),
	"Cos":        unary(nil, rounded(math.Cos)),
	"Tanh":       unary(nil, rounded(math.Tanh)),
	"Sigmoid":    unary(nil, rounded(func(a float64) float64 { return 1 / (1 + math.Exp(-a)) })),

	// Along axes.
	"ReduceSum":       reduce{since: 13, ints: func(a, b int64) int64 { return a + b }, floats: func(a, b float64) float64 { return a + b }}.fold,
	"ReduceMean":      reduce{since: 18, ints: func(a, b int64) int64 { return a + b }, floats: func(a, b float64) float64 { return a + b }, mean: true}.fold,
	"ReduceProd":      reduce{since: 18, first: 1, ints: func(a, b int64) int64 { return a * b }, floats: func(a, b float64) float64 { return a * b }}.fold,
	"ReduceMax":       reduce{since: 18, ints: func(a, b int64) int64 { return max(a, b) }, floats: func(a, b float64) float64 { return max(a, b) }, filled: true}.fold,
	"ReduceMin":       reduce{since: 18, ints: func(a, b int64) int64 { return min(a, b) }, floats: func(a, b float64) float64 { return min(a, b) }, filled: true}.fold,
	"ReduceSumSquare": reduce{since: 18, ints: func(a, b int64) int64 { return a + b*b }, floats: func(a, b float64) float64 { return a + b*b }}.fold,
}

// whole checks that a tensor's data is as long as its type and dims ask for.
func whole(t *onnx.Tensor) error {
	n, err := count(t.Dims)
	if err != nil {
		return err
	}
	switch {
	case t.External != nil && t.Data == nil:
		return fmt.Errorf("its data lies in the external file %q, which was not read", t.External.Location)
	case t.Type == onnx.String:
		if int64(len(t.Strings)) != n {
			return fmt.Errorf("dims %v ask for %d strings, and there are %d", t.Dims, n, len(t.Strings))
		}
		return nil
	case !t.Type.Valid():
		return fmt.Errorf("its element type is %v", t.Type)
	}
	bits := t.Type.Bits()
	if have := int64(len(t.Data)); n > (have+1)*8 || have != (n*bits+7)/8 {
		return fmt.Errorf("%v %v needs other than the %d bytes of data there are", t.Type, t.Dims, have)
	}
	return nil
}

// count is the number of elements of a tensor of the given dims. A negative
// axis, and more than an int64 can count, are errors.
func count(dims []int64) (int64, error) {
	n, err := (&onnx.Tensor{Dims: dims}).Len()
	if err != nil {
		return 0, errors.New("its dims have a negative axis, or more elements than an int64 can count")
	}
	return n, nil
}

// arg returns operand i, nil when it is left out.
func (f *folding) arg(i int) *onnx.Tensor {
	if i < len(f.in) {
		return f.in[i]
	}
	return nil
}

// need returns operand i, which must be there.
func (f *folding) need(i int) (*onnx.Tensor, error) {
	if t := f.arg(i); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("operand %d is left out; it must be given", i)
}

// list returns operand i, a list of integers or a single one, what is named in
// errors. given tells whether the operand is there.
func (f *folding) list(i int, what string) (v []int64, given bool, err error) {
	t := f.arg(i)
	if t == nil {
		return nil, false, nil
	}
	at := loadInt(t)
	if len(t.Dims) > 1 || at == nil || t.Type == onnx.Bool {
		return nil, true, fmt.Errorf("%s is %v %v; it must be a list of integers", what, t.Type, t.Dims)
	}
	n, _ := count(t.Dims)
	v = make([]int64, n)
	for i := range v {
		v[i] = at(i)
	}
	return v, true, nil
}

// listSince returns the integers that are operand i since the given opset and
// the attribute called what before.
func (f *folding) listSince(since int64, i int, what string) (v []int64, given bool, err error) {
	if f.opset < since {
		a := f.node.Attr(what)
		return f.node.Ints(what), a != nil, nil
	}
	return f.list(i, what)
}

// needList is listSince for integers that must be there.
func (f *folding) needList(since int64, i int, what string) ([]int64, error) {
	v, given, err := f.listSince(since, i, what)
	if err == nil && !given {
		err = fmt.Errorf("%s is left out; it must be given", what)
	}
	return v, err
}

// make returns a tensor of zeros, within the limit.
func (f *folding) make(t onnx.DataType, dims []int64) (*onnx.Tensor, error) {
	n, err := count(dims)
	if err != nil {
		return nil, err
	}
	size := t.Bits() / 8
	if size == 0 || t.Bits()%8 != 0 {
		return nil, unsupported("elements of %v cannot be folded; elements of whole bytes can", t)
	}
	if n > f.limit/size {
		return nil, unsupported("its output of %v %v has more than %d bytes; no more are folded", t, dims, f.limit)
	}
	return &onnx.Tensor{Type: t, Dims: dims, Data: make([]byte, n*size)}, nil
}

// one is the output of a folder with one.
func one(t *onnx.Tensor, err error) ([]*onnx.Tensor, error) {
	if err != nil {
		return nil, err
	}
	return []*onnx.Tensor{t}, nil
}

// axis brings an axis of a tensor of the given rank into 0..rank-1.
func axis(a int64, rank int) (int, error) {
	b := a
	if b < 0 {
		b += int64(rank)
	}
	if b < 0 || b >= int64(rank) {
		return 0, fmt.Errorf("axis %d is out of range; the rank is %d", a, rank)
	}
	return int(b), nil
}

// axisSet brings axes into 0..rank-1, each of which may be named once.
func axisSet(axes []int64, rank int) (map[int]bool, error) {
	set := make(map[int]bool, len(axes))
	for _, a := range axes {
		i, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if set[i] {
			return nil, fmt.Errorf("axis %d is named twice", a)
		}
		set[i] = true
	}
	return set, nil
}
