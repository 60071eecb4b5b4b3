package data

import (
	"fmt"
	"slices"
)

// svhnClasses are the digits.
var svhnClasses = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// loadSVHN reads the cropped digits of Street View House Numbers (Netzer et al.,
// "Reading digits in natural images with unsupervised feature learning", 2011):
// in each file X, [32, 32, 3, N] bytes (height, width, channel, sample), and y,
// N labels of which 10 means the digit 0.
func loadSVHN(c container, g group, limit int64) ([]block, []string, error) {
	byBase, err := uniqueBases(g.files)
	if err != nil {
		return nil, nil, err
	}
	var blocks []block
	for _, at := range []part{partTrain, partTest} {
		f := byBase[at.String()+"_32x32.mat"]
		if f == nil {
			continue
		}
		raw, err := read(c, f, limit, nil)
		if err == nil {
			var b block
			if b, err = parseSVHN(raw, limit); err == nil {
				b.name, b.part = at.String()+"_32x32", at
				blocks = append(blocks, b)
			}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return blocks, svhnClasses, checkBlocks(blocks, len(svhnClasses))
}

// parseSVHN reads one file.
func parseSVHN(raw []byte, limit int64) (block, error) {
	vars, err := parseMAT(raw, limit, func(name string) bool { return name == "X" || name == "y" })
	if err != nil {
		return block{}, err
	}
	var x, y *matArray
	for i := range vars {
		if vars[i].name == "X" {
			x = &vars[i]
		} else {
			y = &vars[i]
		}
	}
	if x == nil || y == nil {
		return block{}, fmt.Errorf("has no variables X and y; SVHN's cropped digits have both")
	}
	dims := slices.Clone(x.dims)
	if len(dims) == 3 { // MATLAB drops a last dimension of 1
		dims = append(dims, 1)
	}
	if len(dims) != 4 || x.kind != miUINT8 || (dims[2] != 1 && dims[2] != 3) || dims[3] == 0 ||
		dims[0] < 1 || dims[0] > maxSide || dims[1] < 1 || dims[1] > maxSide {
		return block{}, fmt.Errorf("variable X has shape %v and element type %d; wanted bytes of [height, width, channels, samples]", x.dims, x.kind)
	}
	labels, err := y.integers()
	if err != nil {
		return block{}, err
	}
	if len(labels) != dims[3] {
		return block{}, fmt.Errorf("variable y has %d labels for the %d images in X", len(labels), dims[3])
	}
	h, w, c := dims[0], dims[1], dims[2]
	b := block{
		pixels: x.data, h: h, w: w, c: c, stride: h * w * c,
		sy: 1, sx: h, sc: h * w,
	}
	for i, l := range labels {
		if l < 0 || l > 10 {
			return block{}, fmt.Errorf("variable y holds %d for image %d; labels are 1..10, where 10 is the digit 0", l, i)
		}
		b.labels = append(b.labels, int32(l%10))
	}
	return b, nil
}
