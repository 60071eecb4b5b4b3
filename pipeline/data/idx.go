package data

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// loadIDX reads the files MNIST is published in, and everything that copied it:
// train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k, plain
// or gzip-compressed. Classes are named by their numbers.
func loadIDX(c container, g group, limit int64) ([]block, []string, error) {
	type pair struct{ images, labels *file }
	var pairs [partCount]pair
	prefix := ""
	for i := range g.files {
		f := &g.files[i]
		m := idxName.FindStringSubmatch(path.Base(f.name))
		if i > 0 && !strings.EqualFold(m[1], prefix) {
			return nil, nil, fmt.Errorf("holds more than one IDX data set (%s and %s); move them apart", g.files[0].name, f.name)
		}
		prefix = m[1]
		at := partTest
		if strings.EqualFold(m[2], "train") {
			at = partTrain
		}
		slot := &pairs[at].labels
		if strings.EqualFold(m[3], "images") {
			slot = &pairs[at].images
		}
		if *slot == nil || preferIDX(f.name, (*slot).name) {
			*slot = f
		}
	}

	var blocks []block
	classes := 0
	for at, p := range pairs {
		if p.images == nil && p.labels == nil {
			continue
		}
		if p.images == nil || p.labels == nil {
			have := p.images
			if have == nil {
				have = p.labels
			}
			return nil, nil, fmt.Errorf("%s has no partner; images and labels come in two files", have.name)
		}
		dims, pixels, err := readIDX(c, p.images, limit)
		if err != nil {
			return nil, nil, err
		}
		labelDims, labels, err := readIDX(c, p.labels, limit)
		if err != nil {
			return nil, nil, err
		}
		if len(dims) == 3 {
			dims = append(dims, 1)
		}
		if len(dims) != 4 || (dims[3] != 1 && dims[3] != 3) || dims[1] > maxSide || dims[2] > maxSide || dims[1]*dims[2] == 0 {
			return nil, nil, fmt.Errorf("%s has shape %v; images are [count, height, width], or the same with 1 or 3 channels", p.images.name, dims)
		}
		if len(labelDims) != 1 || labelDims[0] != dims[0] || dims[0] == 0 {
			return nil, nil, fmt.Errorf("%s has shape %v for %d images; labels are one number for each", p.labels.name, labelDims, dims[0])
		}
		b := block{
			name: part(at).String(), part: part(at), pixels: pixels,
			h: dims[1], w: dims[2], c: dims[3], stride: dims[1] * dims[2] * dims[3],
			sy: dims[2] * dims[3], sx: dims[3], sc: 1,
		}
		for _, l := range labels {
			b.labels = append(b.labels, int32(l))
			classes = max(classes, int(l)+1)
		}
		blocks = append(blocks, b)
	}
	names := make([]string, classes)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return blocks, names, checkBlocks(blocks, classes)
}

// preferIDX reports whether a is the better of two copies of one file: the plain
// one, then the one nearer to the top. Copies of MNIST come with both.
func preferIDX(a, b string) bool {
	gz := func(s string) bool { return strings.EqualFold(path.Ext(s), ".gz") }
	if gz(a) != gz(b) {
		return gz(b)
	}
	return strings.Count(a, "/") < strings.Count(b, "/")
}

// readIDX reads one IDX file, decompressing it if its content is gzip.
func readIDX(c container, f *file, limit int64) ([]int, []byte, error) {
	wrap := func(err error) ([]int, []byte, error) { return nil, nil, fmt.Errorf("%s: %w", f.name, err) }
	open, err := c.open(f)
	if err != nil {
		return wrap(err)
	}
	defer open.Close()
	r := bufio.NewReaderSize(open, 1<<16)
	dims, b, err := parseIDX(r, f.size, limit)
	if err != nil {
		return wrap(err)
	}
	return dims, b, nil
}

// gzipRatio is the most that deflate can expand its input (zlib's technical notes
// give 1032:1). A declared size beyond it is a lie.
const gzipRatio = 1032

// parseIDX reads an array of bytes in the IDX format, of which size bytes are
// stored: two zero bytes, the type (8 is unsigned byte), the number of
// dimensions, each dimension as a big-endian 32-bit number, then the elements in
// row-major order.
func parseIDX(r *bufio.Reader, size, limit int64) ([]int, []byte, error) {
	var in io.Reader = r
	if magic, err := r.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		in = z
		if size < 1<<50 {
			size = size*gzipRatio + 1024
		}
	}
	short := func(err error) ([]int, []byte, error) {
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil, fmt.Errorf("the file was cut short: %w", io.ErrUnexpectedEOF)
		}
		return nil, nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return short(err)
	}
	if head[0] != 0 || head[1] != 0 {
		return nil, nil, fmt.Errorf("starts with %#02x %#02x; an IDX file starts with two zero bytes", head[0], head[1])
	}
	if head[2] != 8 {
		return nil, nil, fmt.Errorf("holds elements of type %#02x; only unsigned bytes (0x08) are read", head[2])
	}
	if head[3] == 0 || head[3] > 4 {
		return nil, nil, fmt.Errorf("has %d dimensions; 1 to 4 are read", head[3])
	}
	dims := make([]int, head[3])
	total := int64(1)
	for i := range dims {
		var b [4]byte
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return short(err)
		}
		dims[i] = int(binary.BigEndian.Uint32(b[:]))
		if dims[i] > 0 && total > limit/int64(dims[i]) {
			return nil, nil, fmt.Errorf("declares %v... elements; at most %d bytes are held in memory", dims[:i+1], limit)
		}
		total *= int64(dims[i])
	}
	if total > size {
		return nil, nil, fmt.Errorf("declares shape %v, which is more than the file can hold; it was cut short", dims)
	}
	out := make([]byte, total)
	if _, err := io.ReadFull(in, out); err != nil {
		return short(err)
	}
	if n, err := in.Read(head[:1]); n != 0 {
		return nil, nil, fmt.Errorf("has bytes left over after its %v elements", dims)
	} else if err != io.EOF {
		return short(err)
	}
	return dims, out, nil
}
