package preprocess

import "fmt"

// Normalizer applies a Spec to images of a fixed number of channels. It is made
// once and holds one float32 per channel and byte value, so that applying it is
// a look-up and every machine gets the same floats. It may be used from many
// goroutines.
type Normalizer struct {
	channels int
	source   []int          // source[c] is the pixel's channel that model channel c reads
	table    [][256]float32 // table[c][byte]
}

// at is the value of a list for channel c: its own, that of all, or none.
func at(l []float64, c int, none float64) float64 {
	switch len(l) {
	case 0:
		return none
	case 1:
		return l[0]
	}
	return l[c]
}

// Slopes returns, for each channel of the model's input, which channel of a
// pixel it reads and by how much it changes with that byte: Scale/Std. It is
// what a gradient by the input is multiplied with to become one by the byte. It
// fails as Check does.
func (s Spec) Slopes(channels int) (source []int, slope []float64, err error) {
	if err := s.Check(channels); err != nil {
		return nil, nil, err
	}
	for c := range channels {
		from := c
		if s.Order == BGR {
			from = channels - 1 - c
		}
		source = append(source, from)
		slope = append(slope, s.Scale/at(s.Std, c, 1))
	}
	return source, slope, nil
}

// Normalizer prepares s for images of 1 or 3 channels. It fails as Check does.
func (s Spec) Normalizer(channels int) (*Normalizer, error) {
	source, _, err := s.Slopes(channels)
	if err != nil {
		return nil, err
	}
	n := &Normalizer{channels: channels, source: source, table: make([][256]float32, channels)}
	for c := range channels {
		mean, std := at(s.Mean, c, 0), at(s.Std, c, 1)
		for v := range 256 {
			n.table[c][v] = float32((float64(v)*s.Scale - mean) / std)
		}
	}
	return n, nil
}

// NHWC writes the image src, [H, W, C] bytes, to dst as [H, W, C] floats. The
// slices have one length, a multiple of the channel count; several images laid
// end to end work as well.
func (n *Normalizer) NHWC(dst []float32, src []uint8) error {
	if len(dst) != len(src) || len(src)%n.channels != 0 {
		return fmt.Errorf("preprocess: image of %d bytes into %d floats, %d channels; the sizes must agree", len(src), len(dst), n.channels)
	}
	for c := range n.channels {
		table, from := &n.table[c], n.source[c]
		for i := 0; i < len(src); i += n.channels {
			dst[i+c] = table[src[i+from]]
		}
	}
	return nil
}

// NCHW writes the image src, [h, w, C] bytes, to dst as [C, h, w] floats.
func (n *Normalizer) NCHW(dst []float32, src []uint8, h, w int) error {
	plane := h * w
	if h < 0 || w < 0 || len(src) != plane*n.channels || len(dst) != len(src) {
		return fmt.Errorf("preprocess: image of %d bytes into %d floats; [%d, %d, %d] needs %d of each", len(src), len(dst), h, w, n.channels, plane*n.channels)
	}
	for c := range n.channels {
		table, from := &n.table[c], n.source[c]
		out := dst[c*plane : (c+1)*plane]
		for i := range out {
			out[i] = table[src[i*n.channels+from]]
		}
	}
	return nil
}

// NHWC normalises one image of [H, W, C] bytes into [H, W, C] floats. For many
// images make a Normalizer once.
func (s Spec) NHWC(dst []float32, src []uint8, channels int) error {
	n, err := s.Normalizer(channels)
	if err != nil {
		return err
	}
	return n.NHWC(dst, src)
}

// NCHW normalises one image of [h, w, C] bytes into [C, h, w] floats. For many
// images make a Normalizer once.
func (s Spec) NCHW(dst []float32, src []uint8, h, w, channels int) error {
	n, err := s.Normalizer(channels)
	if err != nil {
		return err
	}
	return n.NCHW(dst, src, h, w)
}
