package preprocess

import (
	"fmt"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// The metadata keys that describe a model's input. Values are written as Parse
// reads them after the equals sign: "1/255", "0.485,0.456,0.406", "rgb".
const (
	KeyScale = "input.scale"
	KeyMean  = "input.mean"
	KeyStd   = "input.std"
	KeyOrder = "input.order"
)

// The keys of the ONNX specification (docs/MetadataProps.md) that say part of
// the same; they are read where ours are missing, never written.
const (
	keyStandardRange = "Image.NominalPixelRange"
	keyStandardOrder = "Image.BitmapPixelFormat"
)

// Attach writes s to the model's metadata under KeyScale, KeyMean, KeyStd and
// KeyOrder, all four even where they hold the defaults, so that a reader of
// the file need not know them. A Spec that is not Known is not written.
func (s Spec) Attach(m *onnx.Model) {
	if !s.Known() {
		return
	}
	list := func(l []float64, none float64) string {
		if len(l) == 0 {
			l = []float64{none}
		}
		text := make([]string, len(l))
		for i, f := range l {
			text[i] = formatNumber(f)
		}
		return strings.Join(text, ",")
	}
	m.SetMeta(KeyScale, formatNumber(s.Scale))
	m.SetMeta(KeyMean, list(s.Mean, 0))
	m.SetMeta(KeyStd, list(s.Std, 1))
	m.SetMeta(KeyOrder, s.Order.String())
}

// FromModel reads what the model's metadata says of its input: our keys, or
// else the nominal pixel range and pixel format that the ONNX specification
// names. The second result is false when the metadata says nothing; values
// that cannot be read are an error.
func FromModel(m *onnx.Model) (Spec, bool, error) {
	var settings []string
	for _, k := range [4]struct{ key, name string }{{KeyScale, "scale"}, {KeyMean, "mean"}, {KeyStd, "std"}, {KeyOrder, "order"}} {
		if v, ok := m.Meta(k.key); ok {
			settings = append(settings, k.name+"="+v)
		}
	}
	if len(settings) > 0 {
		s, err := Parse(strings.Join(settings, ","))
		if err != nil {
			return Spec{}, false, fmt.Errorf("preprocess: metadata %s, %s, %s, %s: %w", KeyScale, KeyMean, KeyStd, KeyOrder, err)
		}
		return s, true, nil
	}
	var s Spec
	switch v, _ := m.Meta(keyStandardRange); v {
	case "NominalRange_0_255":
		s = Spec{Scale: 1}
	case "Normalized_0_1":
		s = Spec{Scale: byteScale}
	case "Normalized_1_1":
		s = Spec{Scale: byteScale, Mean: []float64{0.5}, Std: []float64{0.5}}
	default:
		// The pixel format alone, or the 16..235 range of video, does not fix
		// the values.
		return Spec{}, false, nil
	}
	if v, _ := m.Meta(keyStandardOrder); strings.HasPrefix(v, "Bgr") {
		s.Order = BGR
	}
	return s, true, nil
}
