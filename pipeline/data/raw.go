package data

import "fmt"

// block is a run of samples of one size whose pixels are in memory as bytes, in
// whatever order a format stores them: value (y, x, c) of sample i is
//
//	pixels[first + i*stride + y*sy + x*sx + c*sc]
type block struct {
	name    string // of the samples: name/0000000 and so on
	part    part
	labels  []int32
	pixels  []uint8
	h, w, c int
	first   int
	stride  int
	sy, sx  int
	sc      int
}

// source is where samples come from. Its methods may be called from several
// goroutines at once, each with a scratch of its own.
type source interface {
	// inspect returns what is known before decoding, the size of the sample as
	// stored, and a digest of its content (see Set.Fingerprint).
	inspect(i int, s *scratch) (header, int64, digest, error)
	// content returns a digest of the whole of the sample as stored, of which
	// inspect may have read the beginning only.
	content(i int, s *scratch) (digest, error)
	// decode writes sample i to dst, which has t.bytes() bytes.
	decode(i int, dst []uint8, t target, s *scratch) error
	// view returns sample i where it is in memory exactly as t wants it, else nil.
	view(i int, t target) []uint8
	Close() error
}

var _ source = (*rawSource)(nil)

// rawSource serves the samples of blocks, numbered through.
type rawSource struct {
	blocks []block
	starts []int // number of each block's first sample
}

func newRawSource(blocks []block) *rawSource {
	r := &rawSource{blocks: blocks}
	n := 0
	for i := range blocks {
		r.starts = append(r.starts, n)
		n += len(blocks[i].labels)
	}
	return r
}

// at finds sample i.
func (r *rawSource) at(i int) (*block, int) {
	b := len(r.starts) - 1
	for r.starts[b] > i {
		b--
	}
	return &r.blocks[b], i - r.starts[b]
}

// samples lists all samples in order.
func (r *rawSource) samples() []sample {
	var out []sample
	for i := range r.blocks {
		b := &r.blocks[i]
		for j, l := range b.labels {
			name := fmt.Sprintf("%s/%07d", b.name, j)
			out = append(out, sample{name: name, id: nameID(name), label: l, part: b.part})
		}
	}
	return out
}

func (r *rawSource) inspect(i int, _ *scratch) (header, int64, digest, error) {
	b, j := r.at(i)
	n := b.h * b.w * b.c
	at := b.first + j*b.stride
	return header{h: b.h, w: b.w, grey: b.c == 1}, int64(n), digestOf(b.pixels[at : at+n]), nil
}

func (r *rawSource) content(i int, s *scratch) (digest, error) {
	_, _, sum, err := r.inspect(i, s)
	return sum, err
}

func (r *rawSource) view(i int, t target) []uint8 {
	b, j := r.at(i)
	if b.h != t.h || b.w != t.w || b.c != t.c || b.sc != 1 || b.sx != b.c || b.sy != b.w*b.c {
		return nil
	}
	at := b.first + j*b.stride
	return b.pixels[at : at+t.bytes() : at+t.bytes()]
}

func (r *rawSource) decode(i int, dst []uint8, t target, s *scratch) error {
	b, j := r.at(i)
	p := b.pixels[b.first+j*b.stride:]
	if b.h == t.h && b.w == t.w && b.c == t.c {
		o := 0
		for y := range b.h {
			for x := range b.w {
				at := y*b.sy + x*b.sx
				for range b.c {
					dst[o] = p[at]
					o++
					at += b.sc
				}
			}
		}
		return nil
	}
	m := sized(&s.flat, b.w, b.h)
	for y := range b.h {
		for x := range b.w {
			at := y*b.sy + x*b.sx
			q := m.Pix[y*m.Stride+4*x:][:4]
			q[0], q[3] = p[at], 255
			if b.c == 1 {
				q[1], q[2] = p[at], p[at]
			} else {
				q[1], q[2] = p[at+b.sc], p[at+2*b.sc]
			}
		}
	}
	fitTo(m, dst, t, s)
	return nil
}

func (r *rawSource) Close() error { return nil }

// checkBlocks reports sets whose parts cannot belong together.
func checkBlocks(blocks []block, classes int) error {
	for i := range blocks {
		b, first := &blocks[i], &blocks[0]
		if b.h != first.h || b.w != first.w || b.c != first.c {
			return fmt.Errorf("%s has images of %dx%dx%d, %s of %dx%dx%d (height, width, channels)",
				first.name, first.h, first.w, first.c, b.name, b.h, b.w, b.c)
		}
		for j, l := range b.labels {
			if l < 0 || int(l) >= classes {
				return fmt.Errorf("%s: record %d has label %d; the %d classes are 0..%d", b.name, j, l, classes, classes-1)
			}
		}
	}
	return nil
}
