package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Type is the element type of a tensor, spelt as in the file.
type Type string

// The element types of the format.
const (
	Bool     Type = "BOOL"
	Uint8    Type = "U8"
	Int8     Type = "I8"
	Uint16   Type = "U16"
	Int16    Type = "I16"
	Float16  Type = "F16"
	BFloat16 Type = "BF16"
	Uint32   Type = "U32"
	Int32    Type = "I32"
	Float32  Type = "F32"
	Uint64   Type = "U64"
	Int64    Type = "I64"
	Float64  Type = "F64"
)

// Size returns the bytes of one element, 0 for a type the format lacks.
func (t Type) Size() int {
	switch t {
	case Bool, Uint8, Int8:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Uint32, Int32, Float32:
		return 4
	case Uint64, Int64, Float64:
		return 8
	}
	return 0
}

// Tensor is one named tensor of a file.
type Tensor struct {
	// Name is unique in its file, valid UTF-8, and not "__metadata__".
	Name string

	// Type is the element type.
	Type Type

	// Shape holds the dimensions, outermost first; empty is a scalar.
	Shape []int

	// Data is the elements, row-major, little-endian. Tensors that were read
	// share one buffer with the rest of their file.
	Data []byte
}

// FromFloat32s makes a Float32 tensor. It copies data.
func FromFloat32s(name string, shape []int, data []float32) Tensor {
	b := make([]byte, 0, 4*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return Tensor{Name: name, Type: Float32, Shape: slices.Clone(shape), Data: b}
}

// FromFloat64s makes a Float64 tensor. It copies data.
func FromFloat64s(name string, shape []int, data []float64) Tensor {
	b := make([]byte, 0, 8*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return Tensor{Name: name, Type: Float64, Shape: slices.Clone(shape), Data: b}
}

// FromInt64s makes an Int64 tensor. It copies data.
func FromInt64s(name string, shape []int, data []int64) Tensor {
	b := make([]byte, 0, 8*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return Tensor{Name: name, Type: Int64, Shape: slices.Clone(shape), Data: b}
}

// FromUint8s makes a Uint8 tensor. It copies data.
func FromUint8s(name string, shape []int, data []uint8) Tensor {
	return Tensor{Name: name, Type: Uint8, Shape: slices.Clone(shape), Data: slices.Clone(data)}
}

// Float32s returns the elements of a Float32 tensor, copied. Another type is
// an error.
func (t Tensor) Float32s() ([]float32, error) {
	if err := t.want(Float32); err != nil {
		return nil, err
	}
	v := make([]float32, len(t.Data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return v, nil
}

// Float64s returns the elements of a Float64 tensor, copied. Another type is
// an error.
func (t Tensor) Float64s() ([]float64, error) {
	if err := t.want(Float64); err != nil {
		return nil, err
	}
	v := make([]float64, len(t.Data)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:]))
	}
	return v, nil
}

// Int64s returns the elements of an Int64 tensor, copied. Another type is an
// error.
func (t Tensor) Int64s() ([]int64, error) {
	if err := t.want(Int64); err != nil {
		return nil, err
	}
	v := make([]int64, len(t.Data)/8)
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
	}
	return v, nil
}

// Uint8s returns the elements of a Uint8 tensor, copied. Another type is an
// error.
func (t Tensor) Uint8s() ([]uint8, error) {
	if err := t.want(Uint8); err != nil {
		return nil, err
	}
	return slices.Clone(t.Data), nil
}

// want checks that the elements can be read as type w.
func (t Tensor) want(w Type) error {
	if t.Type != w {
		return fmt.Errorf("safetensors: tensor %q holds %s elements, asked for as %s", t.Name, t.Type, w)
	}
	if err := t.check(); err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

// check compares the bytes with what type and shape ask for.
func (t Tensor) check() error {
	n, err := Entry{Name: t.Name, Type: t.Type, Shape: t.Shape}.measure()
	if err != nil {
		return err
	}
	if n != len(t.Data) {
		return fmt.Errorf("tensor %q of %s %v takes %d bytes, got %d", t.Name, t.Type, t.Shape, n, len(t.Data))
	}
	return nil
}

// measure returns the bytes that type and shape ask for.
func (e Entry) measure() (int, error) {
	if e.Type.Size() == 0 {
		return 0, fmt.Errorf("tensor %q has element type %q; the types are %v", e.Name, e.Type, types)
	}
	n, err := bytesOf(e.Type, e.Shape)
	if err != nil {
		return 0, fmt.Errorf("tensor %q: %w", e.Name, err)
	}
	return n, nil
}

// maxData bounds the tensors' bytes so that positions in the file, header
// included, stay within an int.
const maxData = math.MaxInt - maxHeader - 8

var types = []Type{Bool, Uint8, Int8, Uint16, Int16, Float16, BFloat16, Uint32, Int32, Float32, Uint64, Int64, Float64}

// bytesOf returns the bytes a tensor takes, with an error for a negative
// dimension or a product beyond an int.
func bytesOf(t Type, shape []int) (int, error) {
	n, empty := t.Size(), false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		case d == 0:
			empty = true
		case n > math.MaxInt/d:
			return 0, fmt.Errorf("shape %v has more elements than memory can address", shape)
		default:
			n *= d
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}
