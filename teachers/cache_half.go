package teachers

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
)

// Precision is the float type that signals are kept in.
type Precision string

// The precisions. Float16 has 11 significant bits: logits and the numbers of a
// map are rounded by at most one part in 2048, and numbers below 6e-5 by at
// most 3e-8. What lies beyond its largest number, 65504, becomes that.
const (
	Float16 Precision = "float16"
	Float32 Precision = "float32"
)

// Precisions lists the precisions, the default first.
func Precisions() []Precision { return []Precision{Float16, Float32} }

func (p Precision) check() error {
	if !slices.Contains(Precisions(), p) {
		return fmt.Errorf("teachers: signals of precision %q; it is one of %s", p, join(Precisions(), ", "))
	}
	return nil
}

func (p Precision) kind() safetensors.Type {
	if p == Float16 {
		return safetensors.Float16
	}
	return safetensors.Float32
}

// Round rounds values to p in place, as recording and replaying them would.
func (p Precision) Round(values []float32) {
	if p != Float16 {
		return
	}
	table := halves()
	for i, v := range values {
		values[i] = table[toHalf(v)]
	}
}

// append writes values as p, little-endian.
func (p Precision) append(to []byte, values []float32) []byte {
	if p == Float16 {
		for _, v := range values {
			to = binary.LittleEndian.AppendUint16(to, toHalf(v))
		}
		return to
	}
	for _, v := range values {
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(v))
	}
	return to
}

// decode reads what append wrote.
func (p Precision) decode(to []float32, from []byte) {
	if p == Float16 {
		table := halves()
		from = from[:2*len(to)]
		for i := range to {
			to[i] = table[binary.LittleEndian.Uint16(from[2*i:])]
		}
		return
	}
	from = from[:4*len(to)]
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
	}
}

// toHalf rounds to the nearest number of IEEE 754 binary16, ties to the even
// one, and saturates.
func toHalf(v float32) uint16 {
	h := onnx.Float16bits(v)
	if h&0x7fff == 0x7c00 { // infinity
		h-- // the largest number of that sign
	}
	return h
}

// halves has the value of each binary16: a lookup takes less than half the time
// of putting the bits together.
var halves = sync.OnceValue(func() *[1 << 16]float32 {
	table := new([1 << 16]float32)
	for h := range table {
		table[h] = onnx.Float16frombits(uint16(h))
	}
	return table
})
