package preprocess

import (
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
)

func TestParseImageShape(t *testing.T) {
	for text, want := range map[string]ImageShape{
		"":            {},
		"28x28x1":     {H: 28, W: 28, C: 1},
		"32x48x3,chw": {H: 32, W: 48, C: 3, Order: CHW},
		"32x48x3,hwc": {H: 32, W: 48, C: 3, Order: HWC},
	} {
		got, err := ParseImageShape(text)
		if err != nil || got != want || got.String() != text || got.Known() != (text != "") {
			t.Errorf("%q is %+v, written %q, %v", text, got, got, err)
		}
	}
	for _, text := range []string{
		"28", "28x28", "28x28x1x1", "28x28x1,", "28x28x1,nchw", "28x28x1,chw,hwc", "x28x1", "-28x28x1", "28x28x2", "0x28x1", "28x4097x1", "28x28x99999999999999999999", " 28x28x1", "28*28*1",
	} {
		if _, err := ParseImageShape(text); err == nil || !strings.Contains(err.Error(), ImageShapeForm) {
			t.Errorf("%q gives %v", text, err)
		}
	}
}

func TestImageShapeOfMetadata(t *testing.T) {
	m := &onnx.Model{}
	if s, err := ImageShapeOf(m); err != nil || s.Known() {
		t.Errorf("of a model that says nothing: %v, %v", s, err)
	}
	m.SetMeta(KeyImageShape, "32x32x3,hwc")
	if s, err := ImageShapeOf(m); err != nil || s != (ImageShape{32, 32, 3, HWC}) {
		t.Errorf("got %v, %v", s, err)
	}
	m.SetMeta(KeyImageShape, "3x32x32")
	if _, err := ImageShapeOf(m); err == nil || !strings.Contains(err.Error(), KeyImageShape) {
		t.Errorf("got %v", err)
	}
}
