package importer

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// layered is a model of matrices of 1 MB, one after another.
func layered(layers int) *onnx.Model {
	const width = 512
	m := net([]string{fmt.Sprint("h", layers)})
	m.Graph.Inputs[0].Shape = []onnx.Dim{onnx.Symbol("batch"), onnx.Fixed(width)}
	from := "x"
	for i := range layers {
		w := raw(fmt.Sprint("w", i), onnx.Float32, []int64{width, width}, make([]byte, 4*width*width)...)
		m.Graph.Initializers = append(m.Graph.Initializers, w)
		to := fmt.Sprint("h", i+1)
		m.Graph.Nodes = append(m.Graph.Nodes, node("MatMul", from+","+w.Name+" -> "+to))
		from = to
	}
	return m
}

// readFile reads a model and the files its tensors lie in, then as Read does.
// It allocates twice the size of the file, for its bytes and for the tensors in
// them: for 100 MB that is 210 MB and 32 ms, measured on an AMD EPYC by
// BenchmarkImport, where onnx-go alone takes 733 MB and 260 ms.
func readFile(path string) (*Program, error) {
	m, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Read(m)
}

// BenchmarkImport reads a model of 100 MB from a file, and beside it has
// onnx-go decode the same bytes alone.
//
//	go test -run XXX -bench Import -benchmem ./student/importer
func BenchmarkImport(b *testing.B) {
	const size = 100 << 20
	m := layered(size >> 20)
	file := filepath.Join(b.TempDir(), "large.onnx")
	if err := m.WriteFile(file); err != nil {
		b.Fatal(err)
	}
	b.Run("a file", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readFile(file); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Read", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Read(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("onnx-go alone", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			e, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			if err := newRecorder().decode(e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Reading a file takes its size twice, for the bytes and for the tensors in
// them; the calls around them are small.
func TestReadingTakesTwiceTheFile(t *testing.T) {
	m := layered(16)
	file := filepath.Join(t.TempDir(), "large.onnx")
	if err := m.WriteFile(file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	var p *Program
	n := allocated(func() { p, err = readFile(file) })
	if err != nil || len(p.Calls) != 16 || len(p.Constants) != 16 {
		t.Fatal(err)
	}
	if limit := 2*uint64(info.Size()) + 1<<20; n > limit {
		t.Errorf("reading a file of %d bytes allocates %d, want at most %d", info.Size(), n, limit)
	}
}
