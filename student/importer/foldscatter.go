package importer

import (
	"fmt"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// scatterND is ScatterND: a copy of operand 0 in which slices are overwritten.
// Each row of the last axis of operand 1 is an index into the first axes; the
// slice it names becomes the one of operand 2 in its place. Where two name one
// slice the later wins. Exporters write it for assignments to parts of a
// tensor.
func scatterND(f *folding) ([]*onnx.Tensor, error) {
	var in [3]*onnx.Tensor
	for i := range in {
		t, err := f.need(i)
		if err != nil {
			return nil, err
		}
		in[i] = t
	}
	data, indices, updates := in[0], in[1], in[2]
	if r := f.node.Str("reduction", "none"); r != "none" {
		return nil, unsupported("its reduction is %q; only none is folded", r)
	}
	if data.Type != updates.Type {
		return nil, fmt.Errorf("its operands are %v and %v; they must be of one type", data.Type, updates.Type)
	}
	rank := len(indices.Dims)
	if indices.Type != onnx.Int64 || rank == 0 || indices.Dims[rank-1] < 1 || indices.Dims[rank-1] > int64(len(data.Dims)) {
		return nil, fmt.Errorf("indices are %v %v; they must be int64 and have 1 to %d numbers in their last axis", indices.Type, indices.Dims, len(data.Dims))
	}
	depth := int(indices.Dims[rank-1])
	if want := slices.Concat(indices.Dims[:rank-1], data.Dims[depth:]); !slices.Equal(updates.Dims, want) {
		return nil, fmt.Errorf("updates are of dims %v; indices %v into %v want %v", updates.Dims, indices.Dims, data.Dims, want)
	}
	out, err := f.make(data.Type, data.Dims)
	if err != nil {
		return nil, err
	}
	copy(out.Data, data.Data)
	slice, err := count(data.Dims[depth:])
	if err != nil {
		return nil, err
	}
	slice *= data.Type.Bits() / 8
	at, err := indices.Int64s()
	if err != nil {
		return nil, err
	}
	for from := updates.Data; len(at) > 0; at = at[depth:] {
		to := int64(0)
		for k, i := range at[:depth] {
			d := data.Dims[k]
			if i < -d || i >= d {
				return nil, fmt.Errorf("index %d of axis %d is out of range; its length is %d", i, k, d)
			}
			if i < 0 {
				i += d
			}
			to = to*d + i
		}
		copy(out.Data[to*slice:(to+1)*slice], from[:slice])
		from = from[slice:]
	}
	return one(out, nil)
}
