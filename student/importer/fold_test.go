package importer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// Short hands for tensors. A scalar has dims nil.

func ints(dims []int64, v ...int64) *onnx.Tensor     { return onnx.Int64s("", dims, v) }
func list(v ...int64) *onnx.Tensor                   { return ints([]int64{int64(len(v))}, v...) }
func scalar(v int64) *onnx.Tensor                    { return ints(nil, v) }
func reals(dims []int64, v ...float32) *onnx.Tensor  { return onnx.Float32s("", dims, v) }
func row(v ...float32) *onnx.Tensor                  { return reals([]int64{int64(len(v))}, v...) }
func real1(v float32) *onnx.Tensor                   { return reals(nil, v) }
func bytes8(t onnx.DataType, v ...byte) *onnx.Tensor { return raw("", t, []int64{int64(len(v))}, v...) }
func truths(v ...byte) *onnx.Tensor                  { return bytes8(onnx.Bool, v...) }
func dims(d ...int64) []int64                        { return d }

func int32s(v ...int32) *onnx.Tensor {
	t := &onnx.Tensor{Type: onnx.Int32, Dims: []int64{int64(len(v))}}
	for _, x := range v {
		t.Data = append(t.Data, byte(x), byte(x>>8), byte(x>>16), byte(x>>24))
	}
	return t
}

// matrix is int64 0, 1, 2 ... of the given dims.
func matrix(d ...int64) *onnx.Tensor {
	n := int64(1)
	for _, x := range d {
		n *= x
	}
	v := make([]int64, n)
	for i := range v {
		v[i] = int64(i)
	}
	return ints(d, v...)
}

var (
	nan, inf = float32(math.NaN()), float32(math.Inf(1))
	least    = int64(math.MinInt64)
	most     = int64(math.MaxInt64)
)

// foldCase is one call and what comes of it.
type foldCase struct {
	name  string
	op    string
	opset int64 // 0 is 17
	attrs []*onnx.Attr
	in    []*onnx.Tensor // nil is one left out
	want  []*onnx.Tensor // one for each output
}

type (
	operands = []*onnx.Tensor
	results  = []*onnx.Tensor
	given    = []*onnx.Attr
)

var foldCases = []foldCase{
	{"a tensor", "Constant", 0, given{onnx.AttrTensor("value", list(4, 5))}, nil, results{list(4, 5)}},
	{"half precision", "Constant", 0, given{onnx.AttrTensor("value", raw("", onnx.Float16, nil, 0, 0x3c))}, nil, results{real1(1)}},
	{"ints", "Constant", 0, given{onnx.AttrInts("value_ints", 1, 2)}, nil, results{list(1, 2)}},

	{"all axes", "Shape", 0, nil, operands{matrix(2, 3, 4)}, results{list(2, 3, 4)}},
	{"of a scalar", "Shape", 0, nil, operands{scalar(1)}, results{list()}},
	{"some axes", "Shape", 0, given{onnx.AttrInt("start", 1), onnx.AttrInt("end", -1)}, operands{matrix(2, 3, 4)}, results{list(3)}},
	{"no axes", "Shape", 0, given{onnx.AttrInt("start", 2), onnx.AttrInt("end", -2)}, operands{matrix(2, 3, 4)}, results{list()}},
	{"axes beyond", "Shape", 0, given{onnx.AttrInt("start", least), onnx.AttrInt("end", most)}, operands{matrix(2, 3)}, results{list(2, 3)}},
	{"elements", "Size", 0, nil, operands{matrix(2, 3)}, results{scalar(6)}},

	{"zeros", "ConstantOfShape", 0, nil, operands{list(2, 1)}, results{reals(dims(2, 1), 0, 0)}},
	{"sevens", "ConstantOfShape", 0, given{onnx.AttrTensor("value", list(7))}, operands{list(2)}, results{list(7, 7)}},
	{"a scalar", "ConstantOfShape", 0, given{onnx.AttrTensor("value", truths(1))}, operands{list()}, results{raw("", onnx.Bool, nil, 1)}},
	{"half precision", "ConstantOfShape", 0, given{onnx.AttrTensor("value", raw("", onnx.BFloat16, nil, 0, 0x40))}, operands{list(2)}, results{row(2, 2)}},
	{"nothing", "ConstantOfShape", 0, nil, operands{list(0, 3)}, results{reals(dims(0, 3))}},

	{"up", "Range", 0, nil, operands{scalar(3), scalar(9), scalar(4)}, results{list(3, 7)}},
	{"down", "Range", 0, nil, operands{scalar(3), scalar(-3), scalar(-2)}, results{list(3, 1, -1)}},
	{"the wrong way", "Range", 0, nil, operands{scalar(3), scalar(3), scalar(1)}, results{list()}},
	{"of steps beyond int64", "Range", 0, nil, operands{scalar(least), scalar(most), scalar(most)}, results{list(least, -1, most-1)}},
	{"of real numbers", "Range", 0, nil, operands{real1(0), real1(1), real1(0.4)}, results{row(0, 0.4, 0.8)}},
	{"of real numbers, empty", "Range", 0, nil, operands{real1(0), real1(1), real1(-0.4)}, results{row()}},
	{"of int32", "Range", 0, nil, operands{int32s(1), int32s(3), int32s(1)}, results{int32s(1, 2)}},

	{"as it is", "Identity", 0, nil, operands{row(1, 2)}, results{row(1, 2)}},
	{"strings", "Identity", 0, nil, operands{stringTensor(dims(2), "a", "b")}, results{stringTensor(dims(2), "a", "b")}},

	{"0 and -1", "Reshape", 0, nil, operands{matrix(2, 3, 4), list(0, -1)}, results{matrix(2, 12)}},
	{"-1 of nothing else", "Reshape", 0, nil, operands{matrix(6), list(-1)}, results{matrix(6)}},
	{"to a scalar", "Reshape", 0, nil, operands{matrix(1, 1), list()}, results{scalar(0)}},
	{"0 that means it", "Reshape", 0, given{onnx.AttrInt("allowzero", 1)}, operands{list(), list(3, 0)}, results{ints(dims(3, 0))}},
	{"by an attribute", "Reshape", 4, given{onnx.AttrInts("shape", 3, -1)}, operands{matrix(6)}, results{matrix(3, 2)}},
	{"int32 shape", "Reshape", 0, nil, operands{matrix(6), int32s(2, 3)}, results{matrix(2, 3)}},
	{"strings", "Reshape", 0, nil, operands{stringTensor(dims(2), "a", "b"), list(2, 1)}, results{stringTensor(dims(2, 1), "a", "b")}},

	{"behind axis 1", "Flatten", 0, nil, operands{matrix(2, 3, 4)}, results{matrix(2, 12)}},
	{"behind a negative axis", "Flatten", 0, given{onnx.AttrInt("axis", -1)}, operands{matrix(2, 3, 4)}, results{matrix(6, 4)}},
	{"before the end", "Flatten", 0, given{onnx.AttrInt("axis", 3)}, operands{matrix(2, 3, 4)}, results{matrix(24, 1)}},
	{"a scalar", "Flatten", 0, given{onnx.AttrInt("axis", 0)}, operands{scalar(0)}, results{matrix(1, 1)}},

	{"all", "Squeeze", 0, nil, operands{matrix(1, 3, 1)}, results{matrix(3)}},
	{"one", "Squeeze", 0, nil, operands{matrix(1, 3, 1), list(-1)}, results{matrix(1, 3)}},
	{"by an attribute", "Squeeze", 11, given{onnx.AttrInts("axes", 0)}, operands{matrix(1, 3, 1)}, results{matrix(3, 1)}},
	{"none of a list of none", "Squeeze", 0, nil, operands{matrix(1, 3), list()}, results{matrix(1, 3)}},

	{"around", "Unsqueeze", 0, nil, operands{matrix(3), list(0, -1)}, results{matrix(1, 3, 1)}},
	{"by an attribute", "Unsqueeze", 11, given{onnx.AttrInts("axes", 1)}, operands{matrix(3)}, results{matrix(3, 1)}},
	{"by a scalar", "Unsqueeze", 0, nil, operands{scalar(0), scalar(0)}, results{matrix(1)}},

	{"reversed", "Transpose", 0, nil, operands{matrix(2, 3)}, results{ints(dims(3, 2), 0, 3, 1, 4, 2, 5)}},
	{"by a permutation", "Transpose", 0, given{onnx.AttrInts("perm", 2, 0, 1)}, operands{matrix(2, 2, 3)},
		results{ints(dims(3, 2, 2), 0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11)}},
	{"the last two of four", "Transpose", 0, given{onnx.AttrInts("perm", 0, 1, 3, 2)}, operands{matrix(1, 2, 2, 2)}, results{ints(dims(1, 2, 2, 2), 0, 2, 1, 3, 4, 6, 5, 7)}},
	{"the first two of three", "Transpose", 0, given{onnx.AttrInts("perm", 1, 0, 2)}, operands{matrix(2, 2, 2)}, results{ints(dims(2, 2, 2), 0, 1, 4, 5, 2, 3, 6, 7)}},
	{"in place", "Transpose", 0, given{onnx.AttrInts("perm", 0, 1)}, operands{matrix(2, 3)}, results{matrix(2, 3)}},
	{"a scalar", "Transpose", 0, nil, operands{scalar(4)}, results{scalar(4)}},
	{"bytes", "Transpose", 0, nil, operands{raw("", onnx.Uint8, dims(2, 2), 1, 2, 3, 4)}, results{raw("", onnx.Uint8, dims(2, 2), 1, 3, 2, 4)}},

	{"in front", "Concat", 0, given{onnx.AttrInt("axis", 0)}, operands{list(1), list(2, 3), list()}, results{list(1, 2, 3)}},
	{"at the end", "Concat", 0, given{onnx.AttrInt("axis", -1)}, operands{matrix(2, 2), ints(dims(2, 1), 8, 9)}, results{ints(dims(2, 3), 0, 1, 8, 2, 3, 9)}},
	{"before opset 4", "Concat", 3, nil, operands{matrix(1, 1), matrix(1, 2)}, results{ints(dims(1, 3), 0, 0, 1)}},
	{"one", "Concat", 0, given{onnx.AttrInt("axis", 0)}, operands{list(1)}, results{list(1)}},

	{"into halves", "Split", 0, nil, operands{matrix(4)}, results{list(0, 1), list(2, 3)}},
	{"by an operand", "Split", 0, given{onnx.AttrInt("axis", 1)}, operands{matrix(2, 3), list(1, 2)}, results{ints(dims(2, 1), 0, 3), ints(dims(2, 2), 1, 2, 4, 5)}},
	{"by an attribute", "Split", 11, given{onnx.AttrInts("split", 3, 0, 1)}, operands{matrix(4)}, results{list(0, 1, 2), list(), list(3)}},
	{"into parts of which the last is short", "Split", 18, given{onnx.AttrInt("num_outputs", 3)}, operands{matrix(5)}, results{list(0, 1), list(2, 3), list(4)}},

	{"by attributes", "Slice", 9, given{onnx.AttrInts("starts", 1, 0), onnx.AttrInts("ends", most, 2)}, operands{matrix(2, 3)}, results{ints(dims(1, 2), 3, 4)}},
	{"by attributes, of an axis", "Slice", 9, given{onnx.AttrInts("starts", -2), onnx.AttrInts("ends", -1), onnx.AttrInts("axes", 1)}, operands{matrix(2, 3)}, results{ints(dims(2, 1), 1, 4)}},
	{"by operands", "Slice", 0, nil, operands{matrix(5), list(1), list(4)}, results{list(1, 2, 3)}},
	{"in steps", "Slice", 0, nil, operands{matrix(5), list(0), list(most), list(0), list(2)}, results{list(0, 2, 4)}},
	{"in steps, axes left out", "Slice", 0, nil, operands{matrix(5), list(1), list(5), nil, list(3)}, results{list(1, 4)}},
	{"backwards", "Slice", 0, nil, operands{matrix(5), list(most), list(least), list(0), list(-1)}, results{list(4, 3, 2, 1, 0)}},
	{"backwards in steps", "Slice", 0, nil, operands{matrix(2, 5), list(-2), list(0), list(-1), list(-2)}, results{ints(dims(2, 2), 3, 1, 8, 6)}},
	{"in the longest steps", "Slice", 0, nil, operands{matrix(5), list(2), list(most), list(0), list(most)}, results{list(2)}},
	{"backwards in the longest steps", "Slice", 0, nil, operands{matrix(5), list(2), list(least), list(0), list(least)}, results{list(2)}},
	{"nothing", "Slice", 0, nil, operands{matrix(5), list(4), list(2)}, results{list()}},
	{"nothing backwards", "Slice", 0, nil, operands{matrix(5), list(1), list(3), list(0), list(-1)}, results{list()}},
	{"of nothing backwards", "Slice", 0, nil, operands{list(), list(-1), list(least), list(0), list(-1)}, results{list()}},
	{"by int32", "Slice", 0, nil, operands{matrix(5), int32s(3), int32s(5)}, results{list(3, 4)}},

	{"one of a list", "Gather", 0, nil, operands{list(4, 5, 6), scalar(-1)}, results{scalar(6)}},
	{"columns", "Gather", 0, given{onnx.AttrInt("axis", 1)}, operands{matrix(2, 3), list(2, 0)}, results{ints(dims(2, 2), 2, 0, 5, 3)}},
	{"rows by a matrix", "Gather", 0, nil, operands{matrix(2, 2), ints(dims(1, 2), 1, 0)}, results{ints(dims(1, 2, 2), 2, 3, 0, 1)}},
	{"none", "Gather", 0, nil, operands{matrix(2, 2), list()}, results{ints(dims(0, 2))}},

	{"a column", "Expand", 0, nil, operands{matrix(2, 1), list(2, 3)}, results{ints(dims(2, 3), 0, 0, 0, 1, 1, 1)}},
	{"by fewer axes, both ways", "Expand", 0, nil, operands{matrix(2, 1, 2), list(2, 1)}, results{ints(dims(2, 2, 2), 0, 1, 0, 1, 2, 3, 2, 3)}},
	{"a scalar", "Expand", 0, nil, operands{scalar(4), list(1, 2)}, results{ints(dims(1, 2), 4, 4)}},
	{"to nothing", "Expand", 0, nil, operands{matrix(1, 2), list(0, 1)}, results{ints(dims(0, 2))}},

	{"along both", "Tile", 0, nil, operands{matrix(1, 2), list(2, 2)}, results{ints(dims(2, 4), 0, 1, 0, 1, 0, 1, 0, 1)}},
	{"no times", "Tile", 0, nil, operands{matrix(2), list(0)}, results{list()}},

	{"one of two", "Where", 0, nil, operands{truths(1, 0), list(1, 2), list(3, 4)}, results{list(1, 4)}},
	{"broadcast", "Where", 0, nil, operands{raw("", onnx.Bool, dims(2, 1), 1, 0), real1(1), row(3, 4)}, results{reals(dims(2, 2), 1, 1, 3, 4)}},

	{"places in a list", "NonZero", 0, nil, operands{row(0, 2, 0, -1)}, results{ints(dims(1, 2), 1, 3)}},
	{"places in a matrix", "NonZero", 0, nil, operands{raw("", onnx.Bool, dims(2, 2), 0, 1, 1, 1)}, results{ints(dims(2, 3), 0, 1, 1, 1, 0, 1)}},
	{"the upper part", "Trilu", 0, nil, operands{matrix(2, 3)}, results{ints(dims(2, 3), 0, 1, 2, 0, 4, 5)}},
	{"above the diagonal", "Trilu", 0, nil, operands{matrix(2, 3), scalar(1)}, results{ints(dims(2, 3), 0, 1, 2, 0, 0, 5)}},
	{"the lower part", "Trilu", 0, given{onnx.AttrInt("upper", 0)}, operands{matrix(2, 2, 2), scalar(least)}, results{ints(dims(2, 2, 2), 0, 0, 0, 0, 0, 0, 0, 0)}},
	{"the lower part of each", "Trilu", 0, given{onnx.AttrInt("upper", 0)}, operands{matrix(2, 2, 2)}, results{ints(dims(2, 2, 2), 0, 0, 2, 3, 4, 0, 6, 7)}},

	{"rows", "ScatterND", 0, nil, operands{matrix(3, 2), ints(dims(2, 1), 2, 0), ints(dims(2, 2), 7, 8, 9, 10)}, results{ints(dims(3, 2), 9, 10, 2, 3, 7, 8)}},
	{"elements", "ScatterND", 0, nil, operands{row(1, 2, 3), ints(dims(2, 1), -1, 0), row(4, 5)}, results{row(5, 2, 4)}},
	{"at two axes", "ScatterND", 0, nil, operands{matrix(2, 2), ints(dims(1, 2, 2), 1, -2, 0, 1), ints(dims(1, 2), 7, 8)}, results{ints(dims(2, 2), 0, 8, 7, 3)}},
	{"one place twice", "ScatterND", 0, nil, operands{truths(0, 0), ints(dims(2, 1), 1, 1), truths(0, 1)}, results{truths(0, 1)}},
	{"nowhere", "ScatterND", 0, nil, operands{list(1, 2), ints(dims(0, 1)), list()}, results{list(1, 2)}},
	{"all at once", "ScatterND", 0, nil, operands{list(1, 2), ints(dims(1, 1), 0), list(3)}, results{list(3, 2)}},

	{"integers", "Add", 0, nil, operands{list(1, 2), scalar(10)}, results{list(11, 12)}},
	{"that wraps around", "Add", 0, nil, operands{list(most), list(1)}, results{list(least)}},
	{"a column and a row", "Add", 0, nil, operands{reals(dims(2, 1), 1, 2), row(10, 20)}, results{reals(dims(2, 2), 11, 21, 12, 22)}},
	{"nothing", "Add", 0, nil, operands{list(), scalar(1)}, results{list()}},
	{"int32 that wraps around", "Sub", 0, nil, operands{int32s(math.MinInt32), int32s(1)}, results{int32s(math.MaxInt32)}},
	{"unsigned bytes that wrap around", "Sub", 0, nil, operands{bytes8(onnx.Uint8, 1), bytes8(onnx.Uint8, 2)}, results{bytes8(onnx.Uint8, 255)}},
	{"bytes", "Mul", 0, nil, operands{bytes8(onnx.Int8, 2), bytes8(onnx.Int8, 0xfd)}, results{bytes8(onnx.Int8, 0xfa)}},
	{"real numbers", "Mul", 0, nil, operands{row(1, -2), row(0.5, 0.5)}, results{row(0.5, -1)}},
	{"towards zero", "Div", 0, nil, operands{list(7, -7, 7, least), list(2, 2, -2, -1)}, results{list(3, -3, -3, least)}},
	{"real numbers, by zero", "Div", 0, nil, operands{row(1, 3), row(0, 2)}, results{row(inf, 1.5)}},
	{"with the divisor's sign", "Mod", 0, nil, operands{list(7, -7, 7, -7, 6), list(3, 3, -3, -3, 3)}, results{list(1, 2, -2, -1, 0)}},
	{"with the dividend's sign", "Mod", 0, given{onnx.AttrInt("fmod", 1)}, operands{list(7, -7, 7), list(3, 3, -3)}, results{list(1, -1, 1)}},
	{"of real numbers", "Mod", 0, given{onnx.AttrInt("fmod", 1)}, operands{row(-5.5), row(2)}, results{row(-1.5)}},
	{"integers", "Pow", 0, nil, operands{list(2, -3, 0, 5, -1, 0), list(10, 3, 0, -1, -3, -1)}, results{list(1024, -27, 1, 0, -1, 0)}},
	{"real numbers", "Pow", 0, nil, operands{row(4, 2), row(0.5, -1)}, results{row(2, 0.5)}},
	{"real numbers to integers", "Pow", 0, nil, operands{row(3), scalar(2)}, results{row(9)}},
	{"integers to real numbers", "Pow", 0, nil, operands{list(9), real1(0.5)}, results{list(3)}},
	{"int32 to int64", "Pow", 0, nil, operands{int32s(3), scalar(2)}, results{int32s(9)}},
	{"of three", "Min", 0, nil, operands{list(1, 5), list(3, 2), scalar(4)}, results{list(1, 2)}},
	{"of three, real", "Max", 0, nil, operands{row(1, nan), row(3, 2), real1(2)}, results{row(3, nan)}},
	{"of one", "Max", 0, nil, operands{row(1)}, results{row(1)}},
	{"of three", "Sum", 0, nil, operands{row(1), row(2), row(3)}, results{row(6)}},

	{"integers", "Equal", 0, nil, operands{list(1, 2), scalar(2)}, results{truths(0, 1)}},
	{"bool", "Equal", 0, nil, operands{truths(1, 0), truths(2, 1)}, results{truths(1, 0)}},
	{"real numbers", "Equal", 0, nil, operands{row(1, nan), row(1, nan)}, results{truths(1, 0)}},
	{"integers", "Greater", 0, nil, operands{list(1, 2, 3), scalar(2)}, results{truths(0, 0, 1)}},
	{"integers", "GreaterOrEqual", 0, nil, operands{list(1, 2, 3), scalar(2)}, results{truths(0, 1, 1)}},
	{"real numbers", "Less", 0, nil, operands{row(1, 2, 3), real1(2)}, results{truths(1, 0, 0)}},
	{"real numbers", "LessOrEqual", 0, nil, operands{row(1, 2, 3), real1(2)}, results{truths(1, 1, 0)}},
	{"of four", "And", 0, nil, operands{truths(0, 0, 1, 1), truths(0, 1, 0, 1)}, results{truths(0, 0, 0, 1)}},
	{"of four", "Or", 0, nil, operands{truths(0, 0, 1, 1), truths(0, 1, 0, 1)}, results{truths(0, 1, 1, 1)}},
	{"of four", "Xor", 0, nil, operands{truths(0, 0, 1, 1), truths(0, 1, 0, 1)}, results{truths(0, 1, 1, 0)}},
	{"of two", "Not", 0, nil, operands{truths(0, 1)}, results{truths(1, 0)}},

	{"real numbers to integers", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Int64))}, operands{row(1.9, -1.9, nan, inf, -inf)}, results{list(1, -1, 0, most, least)}},
	{"real numbers to int32", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Int32))}, operands{row(2.5, 3e9, -3e9)}, results{int32s(2, math.MaxInt32, math.MinInt32)}},
	{"real numbers to bytes", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Uint8))}, operands{row(200.5, -1, 300)}, results{bytes8(onnx.Uint8, 200, 0, 255)}},
	{"real numbers to uint64", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Uint64))}, operands{row(0x1p63, -1, inf)},
		results{raw("", onnx.Uint64, dims(3), append(append([]byte{0, 0, 0, 0, 0, 0, 0, 0x80}, make([]byte, 8)...), slices.Repeat([]byte{255}, 8)...)...)}},
	{"uint64 to real numbers", "Cast", 0, given{onnx.AttrInt("to", 1)}, operands{raw("", onnx.Uint64, nil, 0, 0, 0, 0, 0, 0, 0, 0x80)}, results{real1(0x1p63)}},
	{"real numbers to bool", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Bool))}, operands{row(0, 0.25, nan)}, results{truths(0, 1, 1)}},
	{"integers to real numbers", "Cast", 0, given{onnx.AttrInt("to", 1)}, operands{list(-3)}, results{row(-3)}},
	{"integers to half precision, which is float32", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Float16))}, operands{list(-3)}, results{row(-3)}},
	{"doubles, which are float32", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Float64))}, operands{onnx.Float64s("", dims(1), []float64{0.1})}, results{row(0.1)}},
	{"integers to bool", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Bool))}, operands{list(0, 256)}, results{truths(0, 1)}},
	{"bool to integers", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Int64))}, operands{truths(0, 2)}, results{list(0, 1)}},
	{"integers to shorter ones", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Int32))}, operands{list(1<<32 + 5)}, results{int32s(5)}},
	{"words to int64", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Int64))}, operands{raw("", onnx.Int16, dims(1), 0xfe, 0xff)}, results{list(-2)}},
	{"unsigned words to int64", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Int64))}, operands{raw("", onnx.Uint16, dims(1), 0xfe, 0xff)}, results{list(65534)}},
	{"unsigned 32 bits to int64", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Int64))}, operands{raw("", onnx.Uint32, dims(1), 0xff, 0xff, 0xff, 0xff)}, results{list(1<<32 - 1)}},
	{"int64 to words", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.Uint16))}, operands{list(0x12345)}, results{raw("", onnx.Uint16, dims(1), 0x45, 0x23)}},
	{"as another", "CastLike", 0, nil, operands{list(1, 0), truths(0)}, results{truths(1, 0)}},

	{"by attributes", "Clip", 10, given{onnx.AttrFloat("min", 0), onnx.AttrFloat("max", 6)}, operands{row(-1, 3, 7)}, results{row(0, 3, 6)}},
	{"by operands", "Clip", 0, nil, operands{row(-1, 3, 7), real1(0), real1(6)}, results{row(0, 3, 6)}},
	{"from above alone", "Clip", 0, nil, operands{list(-1, 7), nil, scalar(6)}, results{list(-1, 6)}},
	{"not at all", "Clip", 0, nil, operands{row(-1, 7)}, results{row(-1, 7)}},
	{"integers", "Neg", 0, nil, operands{list(1, -2)}, results{list(-1, 2)}},
	{"integers", "Abs", 0, nil, operands{list(1, -2)}, results{list(1, 2)}},
	{"real numbers", "Abs", 0, nil, operands{row(1, -2)}, results{row(1, 2)}},
	{"real numbers", "Sign", 0, nil, operands{row(3, -2, 0)}, results{row(1, -1, 0)}},
	{"integers", "Sign", 0, nil, operands{list(3, -2, 0)}, results{list(1, -1, 0)}},
	{"real numbers", "Relu", 0, nil, operands{row(3, -2)}, results{row(3, 0)}},
	{"integers", "Relu", 0, nil, operands{list(3, -2)}, results{list(3, 0)}},
	{"real numbers", "Neg", 0, nil, operands{row(3)}, results{row(-3)}},
	{"down", "Floor", 0, nil, operands{row(1.5, -1.5)}, results{row(1, -2)}},
	{"up", "Ceil", 0, nil, operands{row(1.5, -1.5)}, results{row(2, -1)}},
	{"to even", "Round", 0, nil, operands{row(0.5, 1.5, -2.5)}, results{row(0, 2, -2)}},
	{"root", "Sqrt", 0, nil, operands{row(9, 2)}, results{row(3, 1.4142135)}},
	{"inverse", "Reciprocal", 0, nil, operands{row(4)}, results{row(0.25)}},
	{"e", "Exp", 0, nil, operands{row(0, 1)}, results{row(1, 2.7182817)}},
	{"logarithm", "Log", 0, nil, operands{row(1, 10)}, results{row(0, 2.3025851)}},
	{"error function", "Erf", 0, nil, operands{row(0, 1)}, results{row(0, 0.8427008)}},
	{"sine", "Sin", 0, nil, operands{row(1)}, results{row(0.84147096)}},
	{"cosine", "Cos", 0, nil, operands{row(1)}, results{row(0.5403023)}},
	{"tangent", "Tanh", 0, nil, operands{row(1)}, results{row(0.7615942)}},
	{"logistic", "Sigmoid", 0, nil, operands{row(0, 1, -200)}, results{row(0.5, 0.7310586, 0)}},

	{"all", "ReduceSum", 0, nil, operands{matrix(2, 3)}, results{ints(dims(1, 1), 15)}},
	{"an axis by an operand", "ReduceSum", 0, given{onnx.AttrInt("keepdims", 0)}, operands{matrix(2, 3), list(-1)}, results{list(3, 12)}},
	{"an axis by an attribute", "ReduceSum", 11, given{onnx.AttrInts("axes", 0)}, operands{matrix(2, 3)}, results{ints(dims(1, 3), 3, 5, 7)}},
	{"none", "ReduceSum", 0, given{onnx.AttrInt("noop_with_empty_axes", 1)}, operands{matrix(2, 3)}, results{matrix(2, 3)}},
	{"nothing", "ReduceSum", 0, given{onnx.AttrInt("keepdims", 0)}, operands{row()}, results{real1(0)}},
	{"the middle of three", "ReduceSum", 0, given{onnx.AttrInt("keepdims", 0)}, operands{matrix(2, 2, 2), list(1)}, results{ints(dims(2, 2), 2, 4, 10, 12)}},
	{"real numbers", "ReduceMean", 0, given{onnx.AttrInts("axes", 1)}, operands{reals(dims(2, 2), 1, 2, 3, 5)}, results{reals(dims(2, 1), 1.5, 4)}},
	{"by an operand since 18", "ReduceMean", 18, given{onnx.AttrInt("keepdims", 0)}, operands{reals(dims(2, 2), 1, 2, 3, 5), list(0)}, results{row(2, 3.5)}},
	{"integers towards zero", "ReduceMean", 0, given{onnx.AttrInt("keepdims", 0)}, operands{list(1, 2, -6)}, results{scalar(-1)}},
	{"all", "ReduceProd", 0, given{onnx.AttrInt("keepdims", 0)}, operands{list(2, 3, 4)}, results{scalar(24)}},
	{"real numbers", "ReduceProd", 0, given{onnx.AttrInt("keepdims", 0)}, operands{row(2, 0.5, 4)}, results{real1(4)}},
	{"nothing", "ReduceProd", 0, given{onnx.AttrInt("keepdims", 0)}, operands{list()}, results{scalar(1)}},
	{"negative ones", "ReduceMax", 0, given{onnx.AttrInt("keepdims", 0)}, operands{list(-5, -2, -3)}, results{scalar(-2)}},
	{"real numbers", "ReduceMax", 0, given{onnx.AttrInts("axes", 0)}, operands{reals(dims(2, 2), -1, 5, -3, 7)}, results{reals(dims(1, 2), -1, 7)}},
	{"positive ones", "ReduceMin", 0, given{onnx.AttrInt("keepdims", 0)}, operands{list(5, 2, 3)}, results{scalar(2)}},
	{"real numbers", "ReduceMin", 0, given{onnx.AttrInt("keepdims", 0)}, operands{row(5, 2, 3)}, results{real1(2)}},
	{"real numbers", "ReduceSumSquare", 0, nil, operands{row(1, -2)}, results{row(5)}},
	{"integers", "ReduceSumSquare", 0, nil, operands{list(1, -2)}, results{list(5)}},
}

// call makes a call of a case and its operands by name.
func (c foldCase) call() Call {
	n := &onnx.Node{Name: "n", Op: c.op, Attrs: c.attrs}
	for i, t := range c.in {
		name := ""
		if t != nil {
			name = fmt.Sprint("in", i)
		}
		n.Inputs = append(n.Inputs, name)
	}
	for i := range max(len(c.want), 1) {
		n.Outputs = append(n.Outputs, fmt.Sprint("out", i))
	}
	return Call{Op: n.Op, Name: n.Name, Inputs: n.Inputs, Outputs: n.Outputs, Node: n}
}

func (c foldCase) fold() ([]*onnx.Tensor, bool, error) {
	opset := c.opset
	if opset == 0 {
		opset = 17
	}
	return Fold(c.call(), opset, c.in)
}

// equal compares tensors element by element; any NaN is as good as another.
func equal(a, b *onnx.Tensor) bool {
	if a.Type != b.Type || !slices.Equal(a.Dims, b.Dims) || !slices.EqualFunc(a.Strings, b.Strings, slices.Equal) {
		return false
	}
	if a.Type != onnx.Float32 {
		return slices.Equal(a.Data, b.Data)
	}
	x, errX := a.Float32s()
	y, errY := b.Float32s()
	return errX == nil && errY == nil && slices.EqualFunc(x, y, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

// show prints a tensor's elements.
func show(t *onnx.Tensor) string {
	var v any = t.Data
	switch t.Type {
	case onnx.Float32:
		v, _ = t.Float32s()
	case onnx.Int64:
		v, _ = t.Int64s()
	case onnx.String:
		v = t.Strings
	}
	return fmt.Sprint(t.Type, " ", t.Dims, " ", v)
}

func TestFold(t *testing.T) {
	tested := make(map[string]bool)
	for _, c := range foldCases {
		tested[c.op] = true
		t.Run(c.op+" "+c.name, func(t *testing.T) {
			var before []*onnx.Tensor
			for _, in := range c.in {
				in = in.Clone()
				if in != nil {
					in.Data = slices.Clone(in.Data)
				}
				before = append(before, in)
			}
			got, ok, err := c.fold()
			if err != nil || !ok {
				t.Fatalf("ok %v, error %v", ok, err)
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d outputs, want %d", len(got), len(c.want))
			}
			for i, want := range c.want {
				if !equal(got[i], want) {
					t.Errorf("output %d is %s, want %s", i, show(got[i]), show(want))
				}
				if name := fmt.Sprint("out", i); got[i].Name != name {
					t.Errorf("output %d is called %q", i, got[i].Name)
				}
			}
			for i, in := range before {
				if in != nil && (!equal(in, c.in[i]) || in.Name != c.in[i].Name) {
					t.Errorf("operand %d changed to %s", i, show(c.in[i]))
				}
			}
		})
	}
	for op := range folders {
		if !tested[op] {
			t.Errorf("no case folds %s", op)
		}
	}
}

func TestFoldRefuses(t *testing.T) {
	lists := operands{list(1, 2), list(1, 2, 3)}
	for _, c := range []struct {
		foldCase
		unsupported bool
		want        string
	}{
		{foldCase{"shapes that do not broadcast", "Add", 0, nil, lists, nil}, false, `importer: Add "n" (opset 17): shapes [[2] [3]] do not broadcast: at axis 1 from the end, 2 meets 3`},
		{foldCase{"operands of two types", "Add", 0, nil, operands{list(1), row(1)}, nil}, false, "its operands are int64 and float32; they must be of one type"},
		{foldCase{"variadic operands of two types", "Max", 0, nil, operands{list(1), row(1)}, nil}, false, "its operands are int64 and float32; they must be of one type"},
		{foldCase{"a missing operand", "Add", 0, nil, operands{list(1), nil}, nil}, false, "operand 1 is left out; it must be given"},
		{foldCase{"no operands", "Sqrt", 0, nil, nil, nil}, false, "operand 0 is left out; it must be given"},
		{foldCase{"old broadcasting", "Add", 6, given{onnx.AttrInt("broadcast", 1)}, lists, nil}, true, "broadcasting as before opset 7 is not folded"},
		{foldCase{"uint64", "Add", 0, nil, operands{raw("", onnx.Uint64, nil, make([]byte, 8)...), raw("", onnx.Uint64, nil, make([]byte, 8)...)}, nil}, true, "computing with uint64 is not folded; float32 and integers up to int64 are"},
		{foldCase{"strings", "Concat", 0, given{onnx.AttrInt("axis", 0)}, operands{stringTensor(dims(1), "a")}, nil}, true, "elements of string cannot be folded; elements of whole bytes can"},
		{foldCase{"half bytes", "Transpose", 0, nil, operands{raw("", onnx.Int4, dims(2), 1)}, nil}, true, "elements of int4 cannot be folded"},
		{foldCase{"integers", "Sum", 0, nil, operands{list(1), list(2)}, nil}, false, "its operands are int64; it takes real numbers"},
		{foldCase{"integers", "Sqrt", 0, nil, operands{list(1)}, nil}, false, "its operand is int64; it takes real numbers"},
		{foldCase{"an integer by zero", "Div", 0, nil, operands{list(1, 2), list(1, 0)}, nil}, false, "it divides an integer by zero"},
		{foldCase{"an integer by zero", "Mod", 0, nil, operands{list(1), list(0)}, nil}, false, "it divides an integer by zero"},
		{foldCase{"real numbers without fmod", "Mod", 0, nil, operands{row(1), row(1)}, nil}, false, "of real numbers it must have fmod=1"},
		{foldCase{"numbers", "And", 0, nil, operands{list(1), list(1)}, nil}, false, "its operands are int64; they must be bool"},
		{foldCase{"numbers", "Not", 0, nil, operands{list(1)}, nil}, false, "its operand is int64; it must be bool"},
		{foldCase{"bool", "Less", 0, nil, operands{truths(1), truths(1)}, nil}, true, "computing with bool is not folded"},
		{foldCase{"types", "Where", 0, nil, operands{list(1), list(1), row(1)}, nil}, false, "its operands are int64, int64 and float32; they must be bool and two of one type"},
		{foldCase{"no type", "Cast", 0, nil, operands{list(1)}, nil}, false, `it has no attribute "to" that is a type's number`},
		{foldCase{"to strings", "Cast", 0, given{onnx.AttrInt("to", int64(onnx.String))}, operands{list(1)}, nil}, true, "computing with string is not folded"},
		{foldCase{"to what is no type", "Cast", 0, given{onnx.AttrInt("to", 99)}, operands{list(1)}, nil}, true, "computing with DataType(99) is not folded"},
		{foldCase{"bounds", "Clip", 0, nil, operands{row(1), row(1, 2)}, nil}, false, "operand 1, a bound, has dims [2]; it must be one number"},
		{foldCase{"index", "Gather", 0, nil, operands{list(1, 2), list(1, 2)}, nil}, false, "index 2 lies outside axis 0 of [2]"},
		{foldCase{"negative index", "Gather", 0, nil, operands{list(1, 2), list(-3)}, nil}, false, "index -3 lies outside axis 0 of [2]"},
		{foldCase{"indices", "Gather", 0, nil, operands{list(1), row(1)}, nil}, false, "its indices are float32; they must be int64 or int32"},
		{foldCase{"axis", "Gather", 0, given{onnx.AttrInt("axis", 1)}, operands{list(1), list(0)}, nil}, false, "axis 1 is out of range; the rank is 1"},
		{foldCase{"no axis", "Concat", 0, nil, lists, nil}, false, "it names no axis"},
		{foldCase{"that do not join", "Concat", 0, given{onnx.AttrInt("axis", 0)}, operands{list(1), matrix(1, 1)}, nil}, false, "operand 1 is int64 [1 1] and operand 0 int64 [1]; along axis 0 they do not join"},
		{foldCase{"of two types", "Concat", 0, given{onnx.AttrInt("axis", 0)}, operands{list(1), row(1)}, nil}, false, "operand 1 is float32 [1] and operand 0 int64 [1]"},
		{foldCase{"one left out", "Concat", 0, given{onnx.AttrInt("axis", 0)}, operands{list(1), nil}, nil}, false, "operand 1 is left out"},
		{foldCase{"uneven parts", "Split", 0, nil, operands{matrix(3)}, results{list(), list()}}, false, "an axis of 3 does not split into 2 outputs"},
		{foldCase{"lengths", "Split", 0, nil, operands{matrix(3), list(2, 2)}, results{list(), list()}}, false, "an axis of 3 does not split into 2 outputs of lengths [2 2]"},
		{foldCase{"negative lengths", "Split", 0, nil, operands{matrix(3), list(4, -1)}, results{list(), list()}}, false, "an axis of 3 does not split into 2 outputs of lengths [4 -1]"},
		{foldCase{"lengths of other outputs", "Split", 0, nil, operands{matrix(3), list(3)}, results{list(), list()}}, false, "an axis of 3 does not split into 2 outputs of lengths [3]"},
		{foldCase{"another number of outputs", "Split", 18, given{onnx.AttrInt("num_outputs", 3)}, operands{matrix(3)}, results{list(), list()}}, false, "an axis of 3 does not split into 2 outputs"},
		{foldCase{"a step of 0", "Slice", 0, nil, operands{matrix(3), list(0), list(1), list(0), list(0)}, nil}, false, "a step is 0"},
		{foldCase{"numbers of axes", "Slice", 0, nil, operands{matrix(3), list(0), list(1, 2)}, nil}, false, "starts [0], ends [1 2], axes [0] and steps [1] differ in number"},
		{foldCase{"an axis twice", "Slice", 0, nil, operands{matrix(3), list(0, 0), list(1, 1), list(0, -1)}, nil}, false, "axis -1 is named twice"},
		{foldCase{"no starts", "Slice", 9, nil, operands{matrix(3)}, nil}, false, "starts is left out; it must be given"},
		{foldCase{"starts that are real", "Slice", 0, nil, operands{matrix(3), row(0), list(1)}, nil}, false, "starts is float32 [1]; it must be a list of integers"},
		{foldCase{"a list that is a matrix", "Expand", 0, nil, operands{matrix(3), matrix(1, 1)}, nil}, false, "shape is int64 [1 1]; it must be a list of integers"},
		{foldCase{"another number of elements", "Reshape", 0, nil, operands{matrix(6), list(4)}, nil}, false, "[6] cannot become [4]: the numbers of elements differ"},
		{foldCase{"what -1 cannot be", "Reshape", 0, nil, operands{matrix(6), list(4, -1)}, nil}, false, "[6] cannot become [4 -1]: no length fits in place of -1"},
		{foldCase{"-1 beside 0", "Reshape", 0, nil, operands{ints(dims(0, 2)), list(0, -1)}, nil}, false, "no length fits in place of -1"},
		{foldCase{"two -1", "Reshape", 0, nil, operands{matrix(6), list(-1, -1)}, nil}, false, "shape [-1 -1] has more than one -1, or another negative axis"},
		{foldCase{"an axis to copy", "Reshape", 0, nil, operands{matrix(6), list(6, 0)}, nil}, false, "shape [6 0] copies axis 1 of [6], which has none"},
		{foldCase{"dims beyond counting", "Reshape", 0, nil, operands{matrix(6), list(most, most)}, nil}, false, "cannot become"},
		{foldCase{"axis", "Flatten", 0, given{onnx.AttrInt("axis", 3)}, operands{matrix(2, 2)}, nil}, false, "axis 3 is out of range; the rank is 2"},
		{foldCase{"an axis that is not 1", "Squeeze", 0, nil, operands{matrix(2, 1), list(0)}, nil}, false, "axis 0 of [2 1] is not 1"},
		{foldCase{"no axes", "Unsqueeze", 0, nil, operands{matrix(2)}, nil}, false, "axes is left out; it must be given"},
		{foldCase{"axis", "Unsqueeze", 0, nil, operands{matrix(2), list(2, 3)}, nil}, false, "axis 3 is out of range; the rank is 3"},
		{foldCase{"no permutation", "Transpose", 0, given{onnx.AttrInts("perm", 0, 0)}, operands{matrix(2, 2)}, nil}, false, "perm [0 0] is no permutation of 2 axes"},
		{foldCase{"a short permutation", "Transpose", 0, given{onnx.AttrInts("perm", 0)}, operands{matrix(2, 2)}, nil}, false, "perm [0] is no permutation of 2 axes"},
		{foldCase{"repeats", "Tile", 0, nil, operands{matrix(2, 2), list(1)}, nil}, false, "1 repeats are given for 2 axes"},
		{foldCase{"negative repeats", "Tile", 0, nil, operands{matrix(2), list(-1)}, nil}, false, "its dims have a negative axis"},
		{foldCase{"no matrix", "Trilu", 0, nil, operands{matrix(2)}, nil}, false, "its operand is [2] and k [0]; they must be matrices and one number"},
		{foldCase{"a sum", "ScatterND", 0, given{onnx.AttrString("reduction", "add")}, operands{list(1), ints(dims(1, 1), 0), list(1)}, nil}, true, `its reduction is "add"; only none is folded`},
		{foldCase{"two types", "ScatterND", 0, nil, operands{list(1), ints(dims(1, 1), 0), row(1)}, nil}, false, "its operands are int64 and float32; they must be of one type"},
		{foldCase{"too deep", "ScatterND", 0, nil, operands{list(1), ints(dims(1, 2), 0, 0), list(1)}, nil}, false, "indices are int64 [1 2]; they must be int64 and have 1 to 1 numbers in their last axis"},
		{foldCase{"a scalar", "ScatterND", 0, nil, operands{scalar(1), ints(dims(1, 1), 0), list(1)}, nil}, false, "indices are int64 [1 1]; they must be int64 and have 1 to 0 numbers in their last axis"},
		{foldCase{"real indices", "ScatterND", 0, nil, operands{list(1), reals(dims(1, 1), 0), list(1)}, nil}, false, "indices are float32 [1 1]; they must be int64"},
		{foldCase{"other slices", "ScatterND", 0, nil, operands{matrix(2, 2), ints(dims(1, 1), 0), list(1)}, nil}, false, "updates are of dims [1]; indices [1 1] into [2 2] want [1 2]"},
		{foldCase{"beyond", "ScatterND", 0, nil, operands{list(1, 2), ints(dims(1, 1), 2), list(1)}, nil}, false, "index 2 of axis 0 is out of range; its length is 2"},
		{foldCase{"before", "ScatterND", 0, nil, operands{list(1, 2), ints(dims(1, 1), -3), list(1)}, nil}, false, "index -3 of axis 0 is out of range; its length is 2"},
		{foldCase{"an empty axis", "ReduceMax", 0, nil, operands{list()}, nil}, false, "axes of [0] to reduce have no elements"},
		{foldCase{"an empty axis", "ReduceMean", 0, nil, operands{list()}, nil}, false, "axes of [0] to reduce have no elements"},
		{foldCase{"axis", "ReduceSum", 0, nil, operands{matrix(2), list(1)}, nil}, false, "axis 1 is out of range; the rank is 1"},
		{foldCase{"no step", "Range", 0, nil, operands{scalar(0), scalar(1), scalar(0)}, nil}, false, "from 0 to 1 in steps of 0 there is no end"},
		{foldCase{"no step", "Range", 0, nil, operands{real1(0), real1(1), real1(0)}, nil}, false, "from 0 to 1 in steps of 0 there is no end"},
		{foldCase{"no end", "Range", 0, nil, operands{real1(0), real1(inf), real1(1)}, nil}, false, "from 0 to +Inf in steps of 1 there is no end"},
		{foldCase{"lists", "Range", 0, nil, operands{scalar(0), list(1, 2), scalar(1)}, nil}, false, "operand 1 is int64 [2]; it must be one number, of the first operand's type int64"},
		{foldCase{"value", "ConstantOfShape", 0, given{onnx.AttrTensor("value", list(1, 2))}, operands{list(1)}, nil}, false, "its value is int64 [2]; it must be one element"},
		{foldCase{"nothing", "Constant", 0, nil, nil, nil}, false, "it holds no value"},
		{foldCase{"two outputs of one", "Add", 0, nil, operands{list(1), list(1)}, results{list(), list()}}, false, "it lists 2 outputs, and gives 1"},
		{foldCase{"short data", "Add", 0, nil, operands{raw("", onnx.Int64, dims(2), make([]byte, 8)...), list(1)}, nil}, false, "operand 0: int64 [2] needs other than the 8 bytes of data there are"},
		{foldCase{"negative dims", "Neg", 0, nil, operands{raw("", onnx.Int64, dims(-1), make([]byte, 8)...)}, nil}, false, "operand 0: its dims have a negative axis"},
		{foldCase{"huge dims", "Neg", 0, nil, operands{raw("", onnx.Int64, dims(most), make([]byte, 8)...)}, nil}, false, "operand 0: int64 [9223372036854775807] needs other than the 8 bytes"},
		{foldCase{"no type", "Neg", 0, nil, operands{raw("", onnx.Undefined, nil)}, nil}, false, "operand 0: its element type is undefined"},
		{foldCase{"too few strings", "Identity", 0, nil, operands{stringTensor(dims(3), "a")}, nil}, false, "operand 0: dims [3] ask for 3 strings, and there are 1"},
		{foldCase{"data elsewhere", "Neg", 0, nil, operands{{Type: onnx.Int64, External: &onnx.External{Location: "f"}}}, nil}, false, `operand 0: its data lies in the external file "f", which was not read`},
		{foldCase{"too much", "Expand", 0, nil, operands{scalar(1), list(1<<13, 1<<10+1)}, nil}, true, "its output of int64 [8192 1025] has more than 67108864 bytes; no more are folded"},
		{foldCase{"beyond counting", "Expand", 0, nil, operands{scalar(1), list(1<<40, 1<<40)}, nil}, false, "more elements than an int64 can count"},
		{foldCase{"too much", "Range", 0, nil, operands{scalar(least), scalar(most), scalar(1)}, nil}, true, "has more than 67108864 bytes"},
	} {
		t.Run(c.op+" "+c.name, func(t *testing.T) {
			_, ok, err := c.fold()
			e, typed := errors.AsType[*CallError](err)
			if !ok || !typed || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("ok %v, error %v, want %q", ok, err, c.want)
			}
			if e.Unsupported != c.unsupported || errors.Is(err, ErrUnsupported) != c.unsupported || e.Op != c.op || e.Name != "n" {
				t.Errorf("the error is %+v", e)
			}
		})
	}
}

func TestFoldLeavesOthersAlone(t *testing.T) {
	for _, c := range []Call{
		{Op: "Conv", Inputs: []string{"a"}, Outputs: []string{"b"}},
		{Op: "Add", Domain: "com.example", Inputs: []string{"a"}, Outputs: []string{"b"}},
	} {
		if out, ok, err := Fold(c, 17, operands{list(1)}); out != nil || ok || err != nil {
			t.Errorf("%v: %v %v %v", c, out, ok, err)
		}
	}
	// A call made by hand needs no node; the long name of the domain is the same.
	out, ok, err := Fold(Call{Op: "Identity", Domain: "ai.onnx", Inputs: []string{"a"}, Outputs: []string{"b"}}, 17, operands{list(1)})
	if err != nil || !ok || len(out) != 1 || out[0].Name != "b" {
		t.Errorf("%v %v %v", out, ok, err)
	}
}

// An output may take as much as the operands, however much that is.
func TestFoldTakesLargeOperands(t *testing.T) {
	const n = MaxFolded/4 + 1024
	big := raw("", onnx.Float32, dims(n/2, 2), make([]byte, 4*n)...)
	c := foldCase{op: "Transpose", in: operands{big}}
	out, _, err := c.fold()
	if err != nil || len(out[0].Data) != 4*n {
		t.Errorf("%v", err)
	}
	c = foldCase{op: "Expand", in: operands{big, list(2, 1, 1)}}
	if _, _, err := c.fold(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("twice as much: %v", err)
	}
}
