package onnx

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx/internal/pb"
)

// Protobuf writes an empty node in two bytes, which take some hundred in memory.
func TestDecodeRefusesFilesOfEmptyRecords(t *testing.T) {
	graph := func(fields ...string) []byte {
		text := strings.Join(fields, "")
		n := len(text)
		return append([]byte{8, 8, 0x3a, byte(n) | 128, byte(n>>7) | 128, byte(n>>14) | 128, byte(n >> 21)}, text...)
	}
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nodes", graph(strings.Repeat("\x0a\x00", 1<<20)), "ask for 512 MiB of records"},
		{"tensors", graph(strings.Repeat("\x2a\x00", 1<<20)), "ask for 512 MiB of records"},
		{"values", graph(strings.Repeat("\x6a\x00", 1<<20)), "ask for 512 MiB of records"},
		{"attributes", graph("\x0a", "\x80\x80\x80\x01", strings.Repeat("\x2a\x00", 1<<20)), "ask for 512 MiB of records"},
		{"a name", graph("\x0a\x84\x80\x40", "\x1a\x80\x80\x40", strings.Repeat("n", 1<<20)), "a NodeProto.name has 1048576 bytes; names of up to 65536 are read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Decode(c.file)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
				t.Errorf("%d bytes are taken to refuse it", took)
			}
		})
	}
	if _, err := Decode(graph("\x52\x80\x80\x40", strings.Repeat("d", 1<<20))); err != nil {
		t.Errorf("a long description: %v", err)
	}
}

// The bound is far from what exporters write.
func TestRecordsOfFiles(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../testdata", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".onnx" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if w := pb.Weigh(b); w.Bytes > 80*int64(len(b)) || w.Longest > 1000 {
			t.Errorf("%s of %d bytes takes %d, the longest name %d", path, len(b), w.Bytes, w.Longest)
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Fatal(seen, err)
	}
}
