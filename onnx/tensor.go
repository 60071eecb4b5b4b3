package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Tensor is a constant dense tensor in row-major order.
type Tensor struct {
	Name string
	Doc  string
	Type DataType
	Dims []int64 // nil or empty is a scalar

	// Data is the elements, little-endian, as the format's raw data: packed
	// for types of fewer than eight bits, empty for String. It may share
	// memory with the file it was read from: replace it, do not write to it.
	Data []byte
	// Strings is the elements when Type is String.
	Strings [][]byte
	// External, when not nil, says in which file the elements lie. ReadFile
	// fetches them into Data; after Decode Data is nil.
	External *External

	Metadata []KeyValue

	rest []byte
}

// External is the place of a tensor's elements outside the model file.
type External struct {
	Location string // path relative to the model's folder, with forward slashes
	Offset   int64  // first byte, not negative
	Length   int64  // bytes; 0 means what the tensor's type and dims need
	Checksum string // SHA-1 in hexadecimal, carried and not verified; usually empty

	other []KeyValue // entries newer than this program
}

// SparseTensor is a sparse initializer, carried and not computed with.
type SparseTensor struct {
	Values  *Tensor // [nonzeros]; its name is the initializer's
	Indices *Tensor // int64 [nonzeros] or [nonzeros, rank]
	Dims    []int64

	rest []byte
}

// Float32s makes a float32 tensor. data has one number per element of dims;
// a mismatch is found by Check.
func Float32s(name string, dims []int64, data []float32) *Tensor {
	b := make([]byte, 0, 4*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return &Tensor{Name: name, Type: Float32, Dims: slices.Clone(dims), Data: b}
}

// Float64s makes a float64 tensor as Float32s does.
func Float64s(name string, dims []int64, data []float64) *Tensor {
	b := make([]byte, 0, 8*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return &Tensor{Name: name, Type: Float64, Dims: slices.Clone(dims), Data: b}
}

// Int64s makes an int64 tensor as Float32s does.
func Int64s(name string, dims []int64, data []int64) *Tensor {
	b := make([]byte, 0, 8*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return &Tensor{Name: name, Type: Int64, Dims: slices.Clone(dims), Data: b}
}

// Uint8s makes a uint8 tensor as Float32s does.
func Uint8s(name string, dims []int64, data []uint8) *Tensor {
	return &Tensor{Name: name, Type: Uint8, Dims: slices.Clone(dims), Data: slices.Clone(data)}
}

// Len returns the number of elements the dims stand for: 1 for a scalar, 0
// when an axis is 0. A negative axis or a count beyond int64 is an error.
func (t *Tensor) Len() (int64, error) {
	n, err := elements(t.Dims)
	if err != nil {
		return 0, fmt.Errorf("onnx: tensor %q: %w", t.Name, err)
	}
	return n, nil
}

// elements multiplies dims, refusing negative axes and overflow. Overflow
// counts even where a later axis is 0.
func elements(dims []int64) (int64, error) {
	n, zero := uint64(1), false
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("dims %v hold a negative axis", dims)
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("dims %v have more elements than an int64 can count", dims)
		}
		n = lo
	}
	if zero {
		return 0, nil
	}
	return int64(n), nil
}

// rawSize is the number of bytes n elements of type t take in raw data.
func rawSize(t DataType, n int64) (int64, error) {
	hi, lo := bits.Mul64(uint64(n), uint64(t.Bits()))
	if hi != 0 || lo > math.MaxInt64-7 {
		return 0, fmt.Errorf("%d elements of %v are more bytes than an int64 can count", n, t)
	}
	return int64(lo+7) / 8, nil
}

// checkData compares the tensor's data with its type and dims. Its errors lack
// the package's name.
func (t *Tensor) checkData() error {
	if !t.Type.Valid() {
		return fmt.Errorf("tensor %q has element type %v, which is none of the format's", t.Name, t.Type)
	}
	n, err := elements(t.Dims)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if t.Type == String {
		if t.External != nil {
			return fmt.Errorf("tensor %q: strings cannot be stored as external data", t.Name)
		}
		if int64(len(t.Strings)) != n || len(t.Data) != 0 {
			return fmt.Errorf("tensor %q has dims %v, %d strings, and carries %d strings and %d bytes of raw data",
				t.Name, t.Dims, n, len(t.Strings), len(t.Data))
		}
		return nil
	}
	want, err := rawSize(t.Type, n)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if len(t.Strings) != 0 {
		return fmt.Errorf("tensor %q of %v carries strings", t.Name, t.Type)
	}
	if t.External != nil && t.Data == nil {
		if t.External.Offset < 0 || t.External.Length < 0 {
			return fmt.Errorf("tensor %q has external data of %d bytes from byte %d on", t.Name, t.External.Length, t.External.Offset)
		}
		if l := t.External.Length; l != 0 && l != want {
			return fmt.Errorf("tensor %q of %v %v needs %d bytes, its external data is said to have %d", t.Name, t.Type, t.Dims, want, l)
		}
		return nil
	}
	if int64(len(t.Data)) != want {
		return fmt.Errorf("tensor %q of %v %v needs %d bytes, got %d", t.Name, t.Type, t.Dims, want, len(t.Data))
	}
	return nil
}

func (t *Tensor) elementsOf(want DataType) error {
	if t.Type != want {
		return fmt.Errorf("onnx: tensor %q holds %v, not %v", t.Name, t.Type, want)
	}
	if t.External != nil && t.Data == nil {
		return fmt.Errorf("onnx: tensor %q lies in the external file %q, which was not read; open the model with ReadFile", t.Name, t.External.Location)
	}
	if err := t.checkData(); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// Float32s returns a copy of the elements of a float32, float16 or bfloat16
// tensor; a float32 holds each of them exactly.
func (t *Tensor) Float32s() ([]float32, error) {
	kind := Float32
	if t.Type == Float16 || t.Type == BFloat16 {
		kind = t.Type
	}
	if err := t.elementsOf(kind); err != nil {
		return nil, err
	}
	out := make([]float32, len(t.Data)/int(kind.Bits()/8))
	for i := range out {
		switch kind {
		case Float16:
			out[i] = Float16frombits(binary.LittleEndian.Uint16(t.Data[2*i:]))
		case BFloat16: // the upper half of a float32
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Data[2*i:])) << 16)
		default:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		}
	}
	return out, nil
}

// Float64s returns a copy of the elements of a float64 tensor.
func (t *Tensor) Float64s() ([]float64, error) {
	if err := t.elementsOf(Float64); err != nil {
		return nil, err
	}
	out := make([]float64, len(t.Data)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:]))
	}
	return out, nil
}

// Int64s returns a copy of the elements of an int64 tensor.
func (t *Tensor) Int64s() ([]int64, error) {
	if err := t.elementsOf(Int64); err != nil {
		return nil, err
	}
	out := make([]int64, len(t.Data)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
	}
	return out, nil
}

// Clone returns a copy of t that shares the contents of Data and Strings.
func (t *Tensor) Clone() *Tensor {
	if t == nil {
		return nil
	}
	c := *t
	c.Dims = slices.Clone(t.Dims)
	c.Strings = slices.Clone(t.Strings)
	c.Metadata = slices.Clone(t.Metadata)
	if t.External != nil {
		e := *t.External
		c.External = &e
	}
	return &c
}

func (s *SparseTensor) clone() *SparseTensor {
	if s == nil {
		return nil
	}
	c := *s
	c.Values, c.Indices, c.Dims = s.Values.Clone(), s.Indices.Clone(), slices.Clone(s.Dims)
	return &c
}
