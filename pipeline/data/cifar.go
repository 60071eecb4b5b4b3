package data

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The binary edition of CIFAR (Krizhevsky, "Learning multiple layers of features
// from tiny images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html): records
// of one label byte (CIFAR-100: coarse, then fine) and 32x32 pixels as a red, a
// green and a blue plane.
const (
	cifarSide   = 32
	cifarPixels = 3 * cifarSide * cifarSide
)

// loadCIFAR reads CIFAR-10 or CIFAR-100 batches. CIFAR-100 is labelled with its
// fine labels.
func loadCIFAR(c container, g group, limit int64) ([]block, []string, error) {
	byBase, err := uniqueBases(g.files)
	if err != nil {
		return nil, nil, err
	}
	labelBytes, classes, namesFile := 1, 10, "batches.meta.txt"
	if g.format == FormatCIFAR100 {
		labelBytes, classes, namesFile = 2, 100, "fine_label_names.txt"
	}

	var blocks []block
	bases := make([]string, 0, len(byBase))
	for base := range byBase {
		bases = append(bases, base)
	}
	slices.Sort(bases)
	for _, base := range bases {
		if path.Ext(base) != ".bin" {
			continue
		}
		f := byBase[base]
		raw, err := read(c, f, limit, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		}
		b, err := parseCIFAR(raw, labelBytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		}
		b.name = strings.TrimSuffix(base, ".bin")
		if strings.HasPrefix(base, "test") {
			b.part = partTest
		}
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 {
		return nil, nil, fmt.Errorf("holds %s but no batch of images (data_batch_1.bin, train.bin)", g.files[0].name)
	}

	names := make([]string, classes)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	if f := byBase[namesFile]; f != nil {
		raw, err := read(c, f, 1<<20, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		}
		names = strings.Fields(string(raw))
		if len(names) != classes {
			return nil, nil, fmt.Errorf("%s has %d class names; %s has %d classes", f.name, len(names), g.format, classes)
		}
		for _, n := range names {
			if why := printable(n); why != "" {
				return nil, nil, fmt.Errorf("%s: class name %q %s", f.name, n, why)
			}
		}
	}
	return blocks, names, checkBlocks(blocks, classes)
}

// parseCIFAR splits one batch into records. raw is kept.
func parseCIFAR(raw []byte, labelBytes int) (block, error) {
	record := labelBytes + cifarPixels
	if len(raw) == 0 || len(raw)%record != 0 {
		hint := ""
		if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
			hint = "; it is gzip-compressed"
		}
		return block{}, fmt.Errorf("%d bytes are not a whole number of records of %d bytes%s; it may have been cut short", len(raw), record, hint)
	}
	b := block{
		part: partTrain, pixels: raw, h: cifarSide, w: cifarSide, c: 3,
		first: labelBytes, stride: record,
		sy: cifarSide, sx: 1, sc: cifarSide * cifarSide,
	}
	for at := labelBytes - 1; at < len(raw); at += record {
		b.labels = append(b.labels, int32(raw[at]))
	}
	return b, nil
}
