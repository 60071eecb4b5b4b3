package preprocess

import (
	"fmt"
	"math"
	"math/big"
)

// Measure accumulates the mean and standard deviation of a training set, image
// by image. The sums are integers, so the result does not depend on the order
// of the images; they hold more than 10^14 pixels.
type Measure struct {
	channels int
	pixels   uint64
	sum, sq  [3]uint64
}

// NewMeasure starts a measurement of images with 1 or 3 channels.
func NewMeasure(channels int) (*Measure, error) {
	if channels != 1 && channels != 3 {
		return nil, fmt.Errorf("preprocess: images have 1 or 3 channels, got %d", channels)
	}
	return &Measure{channels: channels}, nil
}

// Add counts one image, [H, W, C] bytes, or several laid end to end.
func (m *Measure) Add(src []uint8) error {
	if len(src)%m.channels != 0 {
		return fmt.Errorf("preprocess: image of %d bytes is not whole pixels of %d channels", len(src), m.channels)
	}
	for c := range m.channels {
		var sum, sq uint64
		for i := c; i < len(src); i += m.channels {
			v := uint64(src[i])
			sum += v
			sq += v * v
		}
		m.sum[c] += sum
		m.sq[c] += sq
	}
	m.pixels += uint64(len(src) / m.channels)
	return nil
}

// Spec returns scale 1/255 with the mean and the population standard deviation
// over all pixels, per channel, red first. A channel that never varies gets a
// standard deviation of 1, which leaves it at zero. It is an error to have
// added no pixel.
func (m *Measure) Spec() (Spec, error) {
	if m.pixels == 0 {
		return Spec{}, fmt.Errorf("preprocess: mean and standard deviation of no images")
	}
	s := Spec{Scale: byteScale}
	n := new(big.Int).SetUint64(m.pixels)
	for c := range m.channels {
		sum, sq := new(big.Int).SetUint64(m.sum[c]), new(big.Int).SetUint64(m.sq[c])
		mean, _ := new(big.Rat).SetFrac(sum, n).Float64()
		// n Σv² - (Σv)² is exact, so a constant channel is told from one that
		// varies in a single pixel.
		spread := new(big.Int).Sub(sq.Mul(sq, n), sum.Mul(sum, sum))
		std := 1.0
		if spread.Sign() > 0 {
			v, _ := new(big.Rat).SetFrac(spread, new(big.Int).Mul(n, n)).Float64()
			std = math.Sqrt(v) / 255
		}
		s.Mean = append(s.Mean, mean/255)
		s.Std = append(s.Std, std)
	}
	return s, nil
}
