package preprocess

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

func TestAttachAndFromModelAgree(t *testing.T) {
	for _, n := range Presets(3) {
		t.Run(n.Name, func(t *testing.T) {
			m := &onnx.Model{}
			n.Spec.Attach(m)
			if len(m.Metadata) != 4 {
				t.Errorf("%d metadata entries, want all four keys: %v", len(m.Metadata), m.Metadata)
			}
			got, ok, err := FromModel(m)
			if err != nil || !ok {
				t.Fatalf("FromModel: found %v, %v", ok, err)
			}
			if d := cmp.Diff(n.Spec.canonical(), got); d != "" {
				t.Errorf("-attached +read:\n%s", d)
			}
		})
	}
}

func TestFromModel(t *testing.T) {
	tests := []struct {
		name string
		meta []onnx.KeyValue
		want Spec
		ok   bool
		err  string
	}{
		{name: "no metadata says nothing"},
		{name: "another tool's keys say nothing", meta: []onnx.KeyValue{{Key: "author", Value: "x"}}},
		{name: "our keys, some left out", meta: []onnx.KeyValue{{Key: KeyMean, Value: "0.5"}}, ok: true,
			want: Spec{Scale: 1.0 / 255, Mean: []float64{0.5}}},
		{name: "the specification's range and format", ok: true, want: Spec{Scale: 1, Order: BGR},
			meta: []onnx.KeyValue{{Key: "Image.NominalPixelRange", Value: "NominalRange_0_255"}, {Key: "Image.BitmapPixelFormat", Value: "Bgr8"}}},
		{name: "our keys win", ok: true, want: Spec{Scale: 1},
			meta: []onnx.KeyValue{{Key: "Image.NominalPixelRange", Value: "Normalized_0_1"}, {Key: KeyScale, Value: "1"}}},
		{name: "a broken value is named", meta: []onnx.KeyValue{{Key: KeyStd, Value: "wide"}}, err: `"wide" is not a finite number`},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, ok, err := FromModel(&onnx.Model{Metadata: c.meta})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), KeyStd) {
					t.Errorf("got %v, want an error with %q and the key", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); ok != c.ok || d != "" {
				t.Errorf("found %v, want %v; -want +got:\n%s", ok, c.ok, d)
			}
		})
	}
}

func TestAutoIsNotAttached(t *testing.T) {
	m := &onnx.Model{}
	Spec{Auto: true}.Attach(m)
	if len(m.Metadata) != 0 {
		t.Errorf("auto wrote %v", m.Metadata)
	}
}
