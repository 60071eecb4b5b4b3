package data

import (
	"context"
	"fmt"
	"slices"
)

// Memory is labelled images in memory.
type Memory struct {
	Pixels []uint8 // [N, H, W, C], 0..255; kept, not copied, where no resizing is needed
	Labels []int   // [N], indices into the class names
}

// MemorySet describes a data set that a program drew or loaded itself.
type MemorySet struct {
	// Format is what Set.Format says; "" is FormatMemory.
	Format string
	// Classes are the class names; two or more.
	Classes []string
	// H, W and C are the height, width and channels (1 or 3) of the images below.
	H, W, C int
	// Train, Val and Test are the splits. Val and Test may be empty: they are cut
	// from Train, as Open does.
	Train, Val, Test Memory
	// Options are those of Open; zero keeps the images as they are. What concerns
	// files is ignored.
	Options Options
}

// FromMemory makes a Set of images in memory. A sample's identity comes from its
// split and position.
func FromMemory(m MemorySet) (*Set, error) {
	if err := m.Options.Validate(); err != nil {
		return nil, err
	}
	h, w, c := m.H, m.W, m.C
	if h < 1 || w < 1 || h > maxSide || w > maxSide || (c != 1 && c != 3) {
		return nil, fmt.Errorf("data: images of %dx%dx%d; height and width are 1 to %d, channels 1 or 3", h, w, c, maxSide)
	}
	if len(m.Classes) < 2 {
		return nil, fmt.Errorf("data: %d class names; a classifier needs two or more", len(m.Classes))
	}
	var blocks []block
	for i, split := range [partCount]Memory{partTrain: m.Train, partVal: m.Val, partTest: m.Test} {
		p, n := part(i), len(split.Labels)
		if len(split.Pixels) != n*h*w*c {
			return nil, fmt.Errorf("data: %s has %d bytes for %d labels; images of %dx%dx%d need %d", p, len(split.Pixels), n, h, w, c, n*h*w*c)
		}
		if n == 0 {
			continue
		}
		b := block{
			name: p.String(), part: p, pixels: split.Pixels,
			h: h, w: w, c: c, stride: h * w * c, sy: w * c, sx: c, sc: 1,
		}
		for _, l := range split.Labels {
			b.labels = append(b.labels, int32(max(-1, min(l, len(m.Classes))))) // checkBlocks refuses both ends
		}
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("data: no images")
	}
	if err := checkBlocks(blocks, len(m.Classes)); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if m.Format == "" {
		m.Format = FormatMemory
	}
	raw := newRawSource(blocks)
	b := builder{
		Options: m.Options.withDefaults(), format: m.Format,
		classes: slices.Clone(m.Classes), source: raw, samples: raw.samples(),
	}
	set, err := b.build(context.Background())
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return set, nil
}
