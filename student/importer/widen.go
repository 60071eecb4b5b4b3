package importer

import (
	"encoding/binary"
	"math"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// widen returns the data of a tensor of float16, bfloat16 or float64 as that of
// float32, and nil for any other. Halves keep their value exactly; of doubles
// the nearest float32 is taken, infinity for those beyond its range. The data
// must be as long as type and dims ask for.
func widen(t *onnx.Tensor) []byte {
	var at func(i int) float32
	size := 2
	switch t.Type {
	case onnx.Float16:
		at = func(i int) float32 { return onnx.Float16frombits(binary.LittleEndian.Uint16(t.Data[2*i:])) }
	case onnx.BFloat16: // the upper half of a float32
		at = func(i int) float32 {
			return math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Data[2*i:])) << 16)
		}
	case onnx.Float64:
		size = 8
		at = func(i int) float32 {
			return float32(math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:])))
		}
	default:
		return nil
	}
	out := make([]byte, len(t.Data)/size*4)
	for i := range len(t.Data) / size {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(at(i)))
	}
	return out
}
