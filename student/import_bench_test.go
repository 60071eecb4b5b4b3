package student_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
)

// BenchmarkImport imports files of 100 MB. allocated, peak and kept are bytes
// for each byte of the file: all that was asked for, the most that lay on the
// heap at one time, and what the model holds afterwards, of which 1 are its
// parameters.
func BenchmarkImport(b *testing.B) {
	for _, c := range []struct {
		name            string
		layers, columns int // each layer has that many columns and 1024 rows
	}{{"layers of 4 MB", 25, 1024}, {"one layer of 100 MB", 1, 25 * 1024}} {
		b.Run(c.name, func(b *testing.B) {
			path, size := largeFile(b, c.layers, c.columns)
			var allocated, peak, kept float64
			b.SetBytes(size)
			for b.Loop() {
				b.StopTimer()
				before := collected()
				most, stop := make(chan uint64), make(chan struct{})
				go func() {
					var m uint64
					for {
						select {
						case <-stop:
							most <- m
							return
						case <-time.After(time.Millisecond):
							m = max(m, onHeap())
						}
					}
				}()
				b.StartTimer()
				imported, err := student.Import(path, student.ImportOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				stop <- struct{}{}
				peak += float64(<-most) - float64(before.HeapAlloc)
				after := collected()
				allocated += float64(after.TotalAlloc - before.TotalAlloc)
				kept += float64(after.HeapAlloc) - float64(before.HeapAlloc)
				runtime.KeepAlive(imported)
				b.StartTimer()
			}
			bytes := float64(size) * float64(b.N)
			b.ReportMetric(allocated/bytes, "allocated/B")
			b.ReportMetric(peak/bytes, "peak/B")
			b.ReportMetric(kept/bytes, "kept/B")
		})
	}
}

// largeFile writes a network of 1x1 convolutions between 1024 channels and so
// many columns.
func largeFile(b *testing.B, layers, columns int) (path string, size int64) {
	b.Helper()
	const channels = 1024
	nb := onnx.NewBuilder("large", 17)
	r := rand.New(rand.NewPCG(1, 2))
	conv := func(name, x string, in, out int) string {
		w := make([]float32, in*out)
		for i := range w {
			w[i] = float32(r.NormFloat64()) * 0.03
		}
		nb.Name(name)
		x = nb.Node("Conv", []string{x, nb.Initializer(name+".weight", onnx.Float32s("", []int64{int64(out), int64(in), 1, 1}, w))})
		return nb.Node("Relu", []string{x})
	}
	x := nb.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(8))
	x = conv("stem", x, 3, channels)
	for i := range layers {
		x = conv(fmt.Sprint("layer", i), x, channels, columns)
	}
	x = conv("scores", x, columns, 10)
	x = nb.Node("Flatten", []string{nb.Node("GlobalAveragePool", []string{x})})
	nb.Output(x, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(10))
	m, err := nb.Model()
	if err != nil {
		b.Fatal(err)
	}
	encoded, err := m.Encode()
	if err != nil {
		b.Fatal(err)
	}
	path = filepath.Join(b.TempDir(), "large.onnx")
	if err := os.WriteFile(path, encoded, 0o644); err != nil {
		b.Fatal(err)
	}
	return path, int64(len(encoded))
}

// collected reads the heap's statistics after a collection.
func collected() runtime.MemStats {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}

// onHeap returns the bytes of objects on the heap, without stopping the
// program.
func onHeap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
