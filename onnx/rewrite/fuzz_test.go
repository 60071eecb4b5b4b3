package rewrite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// FuzzNormalize feeds bytes to Normalize: nothing may panic or change the model,
// and a normal form passes the check and stays as it is.
func FuzzNormalize(f *testing.F) {
	files, err := filepath.Glob("../../testdata/*/*.onnx")
	if err != nil || len(files) < 80 {
		f.Fatalf("%d seed files (%v)", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 1<<14 { // mutating large ones finds little and takes long
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnx.Decode(b)
		if err != nil || onnx.Check(m) != nil {
			return
		}
		before, err := m.Encode()
		if err != nil {
			return
		}
		n, err := Normalize(m, Images{Likely: preprocess.ImageShape{H: 8, W: 8}, Square: true})
		if after, encoding := m.Encode(); encoding != nil || string(after) != string(before) {
			t.Errorf("normalising changed the model (%v)", encoding)
		}
		if err != nil {
			return
		}
		if err := onnx.Check(n.Model); err != nil {
			t.Errorf("in normal form: %v", err)
		}
		for _, o := range m.Graph.Outputs {
			if n.Ending(o.Name).Kind != NoEnding && n.Note(o.Name) == "" {
				t.Errorf("nothing is said of the ending of %q", o.Name)
			}
		}
		onnx.CheckMemory(n.Model, nil)
	})
}
