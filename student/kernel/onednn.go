//go:build onednn && cgo

package kernel

import (
	"errors"
	"strings"
	"sync"
	"unsafe"

	"github.com/onnxdistill/onnxdistill/student/kernel/internal/onednn"
)

// A convolution of oneDNN is cut into pieces of whole images, as many as its
// shape says, and the workers run each piece as a primitive for one thread. So
// no threads of OpenMP stand or spin beside the workers, and a result is the same
// for any number of workers. It is faster than oneDNN's own threads besides:
// pieces stay in a core's cache. Batch 128, two cores of a Zen 4 server, oneDNN
// 2.6.3, 2026-11, milliseconds forward / backward data / backward weights, the
// primitive for the whole batch with OpenMP, then pieces:
//
//	 16 to  16 channels, 32x32   3.26 3.08 2.95   2.81 2.62 2.66
//	 32 to  32 channels, 16x16   2.75 2.51 3.17   2.55 2.37 2.56
//	 64 to  64 channels, 8x8     2.51 2.55 2.80   2.33 2.37 2.63
//	128 to 128 channels, 8x8    10.48 12.9 21.4   9.69 9.02 10.3
//
// The other operators stay ours, since oneDNN is no faster by more than a twentieth.
// Same machine, batch 128, milliseconds of ours and of oneDNN on both cores:
//
//	                              16 ch. 32x32  32 ch. 16x16  64 ch. 8x8
//	batch normalisation and ReLU  0.50  0.47    0.22  0.21    0.08  0.11
//	  backward                    0.72  0.70    0.30  0.33    0.09  0.17
//	global average                0.06  0.06    0.04  0.03    0.02  0.02
//	  backward                    0.07  0.10    0.05  0.05    0.03  0.03
//	ReLU                          0.21  0.10    0.10  0.05    0.03  0.03
//	sum of two                    0.46  0.18    0.15  0.09    0.04  0.04
//
//	dense layer, 64 to 10         0.006 0.004, backward 0.004 0.003 and 0.003 0.002
//
// ReLU and sums alone are faster there while all fits the last cache, 0.1 ms; in a
// step they are fused with what comes before. A maximum of 2x2, 0.57 and 0.10 ms
// on the first shape, backward 0.68 and 0.13, would need oneDNN's workspace.
//
// Primitives live as long as the program, one set for each shape. Weights are
// copied into oneDNN's order at every run, which takes 1 to 45 µs on these
// shapes, no more than to find out whether they changed: so a plan holds no
// copy that could be stale.

const (
	// A batch is cut into so many pieces at least, if it has as many images.
	leastPieces = 8

	// A piece is at most so much work, half a millisecond, and reads and writes
	// at most so many elements of the images, 2 MiB: enough to be worth the calls
	// into C, which take about 2 µs, and small enough that the workers end at
	// about the same time.
	pieceMACs     = 32 << 20
	pieceElements = 512 << 10

	// A piece of a derivative by the weights adds at least this many pixels to
	// each sum, for what it costs to add the pieces' sums.
	piecePixels = 1 << 10
)

// libraryConv is a member of the convolution family for pieces of a batch.
type libraryConv struct {
	images, pieces int        // of a full piece, of all
	whole, last    *onednn.Op // for full pieces and for the last
	order          *onednn.Op // packs or unpacks the weights
	weights        int        // elements, packed
	scratch        int        // elements of a worker's scratchpad
	err            error      // creation failed otherwise than by being unknown
	sizes          [2]int     // elements of the result and of the images, of one image
	taken          bool       // false: oneDNN does not have it or is slow
	member         onednn.Member
}

type libraryKey struct {
	shape  ConvShape
	member onednn.Member
	after  onednn.After
}

var library struct {
	sync.Mutex
	convs map[libraryKey]*libraryConv
}

// libraryConvFor returns the primitives for s, which are made once.
func libraryConvFor(k libraryKey) *libraryConv {
	library.Lock()
	defer library.Unlock()
	if c := library.convs[k]; c != nil {
		return c
	}
	c := newLibraryConv(k)
	if library.convs == nil {
		library.convs = map[libraryKey]*libraryConv{}
	}
	library.convs[k] = c
	return c
}

func geometryOf(s ConvShape, images int) onednn.Geometry {
	return onednn.Geometry{N: images, H: s.H, W: s.W, C: s.C, K: s.K, R: s.R, S: s.S,
		Stride: s.Stride, Dilation: s.Dilation, Pad: s.Pad, Groups: s.Groups}
}

func newLibraryConv(k libraryKey) *libraryConv {
	s := k.shape
	oh, ow := s.Out()
	in, out := s.H*s.W*s.C, oh*ow*s.K
	c := &libraryConv{member: k.member, sizes: [2]int{out, in}}
	c.images = max(1, min(pieceMACs/max(s.MACs()/s.N, 1), pieceElements/(in+out), (s.N+leastPieces-1)/leastPieces))
	if k.member == onednn.Weights {
		c.images = max(c.images, (piecePixels+oh*ow-1)/(oh*ow))
	}
	c.images = min(c.images, s.N)
	c.pieces = (s.N + c.images - 1) / c.images

	if c.whole, c.err = onednn.NewConv(geometryOf(s, c.images), k.member, k.after, nil); c.err == nil {
		c.last = c.whole
		if short := s.N - (c.pieces-1)*c.images; short != c.images {
			c.last, c.err = onednn.NewConv(geometryOf(s, short), k.member, k.after, c.whole)
		}
	}
	if c.err == nil && k.member == onednn.Weights {
		c.order, c.err = onednn.NewUnpack(geometryOf(s, c.images), c.whole)
		c.weights = c.whole.Elements(0)
	} else if c.err == nil {
		c.order, c.err = onednn.NewPack(geometryOf(s, c.images), c.whole)
		c.weights = c.whole.Elements(2)
	}
	if e := (*onednn.Error)(nil); errors.As(c.err, &e) && e.Status == onednn.Unimplemented {
		c.close()
		return &libraryConv{}
	}
	if c.err == nil {
		for _, o := range []*onednn.Op{c.whole, c.last} {
			if name := o.Implementation(); strings.HasPrefix(name, "ref") || strings.HasPrefix(name, "gemm") {
				c.close()
				return &libraryConv{}
			}
			c.scratch = max(c.scratch, o.Elements(3), c.order.Elements(2))
		}
		c.weights, c.scratch = lines(c.weights), lines(c.scratch)
	}
	c.taken = true
	return c
}

// close frees the primitives of a shape that is not taken.
func (c *libraryConv) close() {
	if c.last != c.whole {
		c.last.Close()
	}
	c.whole.Close()
	c.order.Close()
}

// lines rounds a number of float32 up to whole cache lines.
func lines(n int) int { return (n + alignment/4 - 1) / (alignment / 4) * (alignment / 4) }

// fromLine returns the part of scratch from the first cache line that begins in
// it on.
func fromLine(scratch []float32) []float32 {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(scratch))) % alignment
	return scratch[(alignment-at)%alignment/4:]
}

// op returns the primitive for piece i, its first image and their number.
func (c *libraryConv) op(i, n int) (o *onednn.Op, first, images int) {
	first = i * c.images
	if i == c.pieces-1 {
		return c.last, first, n - first
	}
	return c.whole, first, c.images
}

// failing is the Run of a plan that could not be made.
func failing(err error) EpiloguePlan[float32] {
	return EpiloguePlan[float32]{Run: func(_, _, _, _, _, _ []float32) error { return err }}
}

// onednnForward plans a convolution of oneDNN, where it has one.
func onednnForward(s ConvShape, e Epilogue) (EpiloguePlan[float32], bool) {
	c := libraryConvFor(libraryKey{s, onednn.Forward, onednn.After{Bias: e.Bias, Sum: e.Add}})
	return c.plan(s, e.ReLU), c.taken
}

// onednnBackwardData plans the derivative by the images.
func onednnBackwardData(s ConvShape) (ConvPlan[float32], bool) {
	c := libraryConvFor(libraryKey{s, onednn.Data, onednn.After{}})
	return c.plan(s, false).plain(), c.taken
}

// plan makes the plan of a convolution or of its derivative by the images.
func (c *libraryConv) plan(s ConvShape, relu bool) EpiloguePlan[float32] {
	if !c.taken || c.err != nil {
		return failing(c.err)
	}
	to, from := c.sizes[0], c.sizes[1]
	if c.member == onednn.Data {
		to, from = from, to
	}
	var dst, src, bias, add, packed, pads []float32
	failed := make([]error, c.pieces)
	job := NewJob(c.pieces, func(worker, i int) {
		o, first, images := c.op(i, s.N)
		d := dst[first*to : (first+images)*to]
		if add != nil && &add[0] != &dst[0] {
			copy(d, add[first*to:])
		}
		failed[i] = o.Run(d, src[first*from:(first+images)*from], packed, pads[worker*c.scratch:][:c.scratch], bias)
		if relu {
			ReLU(d, d)
		}
	})
	return EpiloguePlan[float32]{
		Scratch: alignment/4 + c.weights + Workers()*c.scratch,
		Run: func(y, x, w, b, a, scratch []float32) error {
			scratch = fromLine(scratch)
			dst, src, bias, add, packed, pads = y, x, b, a, scratch[:c.weights], scratch[c.weights:]
			err := c.order.Run(packed, w, pads)
			if err == nil {
				err = job.Run()
			}
			dst, src, bias, add, packed, pads = nil, nil, nil, nil, nil, nil
			if err != nil {
				return err
			}
			return firstError(failed)
		},
	}
}

// firstError returns the first error of errs.
func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// onednnBackwardWeights plans the derivative by the weights. Each piece has sums
// of its own, which are added in the order of the pieces.
func onednnBackwardWeights(s ConvShape) (ConvPlan[float32], bool) {
	c := libraryConvFor(libraryKey{s, onednn.Weights, onednn.After{}})
	if !c.taken || c.err != nil {
		return failing(c.err).plain(), c.taken
	}
	var x, dy, sums, pads []float32
	failed := make([]error, c.pieces)
	job := NewJob(c.pieces, func(worker, i int) {
		o, first, images := c.op(i, s.N)
		failed[i] = o.Run(sums[i*c.weights:][:c.weights], x[first*c.sizes[1]:(first+images)*c.sizes[1]],
			dy[first*c.sizes[0]:(first+images)*c.sizes[0]], pads[worker*c.scratch:][:c.scratch])
	})
	total := NewLoop(c.weights, 8<<10, func(i, j int) {
		for p := 1; p < c.pieces; p++ {
			Add(sums[i:j], sums[i:j], sums[p*c.weights+i:p*c.weights+j])
		}
	})
	return ConvPlan[float32]{
		Scratch: alignment/4 + c.pieces*c.weights + Workers()*c.scratch,
		Run: func(dw, a, b, scratch []float32) error {
			scratch = fromLine(scratch)
			x, dy, sums, pads = a, b, scratch[:c.pieces*c.weights], scratch[c.pieces*c.weights:]
			err := job.Run()
			if err == nil {
				err = firstError(failed)
			}
			if err == nil && c.pieces > 1 {
				err = total.Run()
			}
			if err == nil {
				err = c.order.Run(dw, sums[:c.weights], pads)
			}
			x, dy, sums, pads = nil, nil, nil, nil
			return err
		},
	}, true
}

// The rule by which oneDNN or our tiles compute a member for a shape, from
// milliseconds of tiles and oneDNN on the machine named above, batch 128, images
// not in the cache, both at their best of 40:
//
//	                               forward       backward data  backward weights
//	 3 to  16, 3x3,     32x32      0.76  0.83     2.78  3.31     1.61  0.66
//	16 to  16, 3x3,     32x32      3.29  3.15     3.30  3.00     4.13  2.94
//	32 to  32, 3x3,     16x16      3.25  3.23     3.27  3.12     4.36  3.43
//	64 to  64, 3x3,     8x8        3.20  2.72     3.27  2.79     4.04  3.35
//	32 to  32, 3x3,     32x32     14.5  12.7     14.8  12.9     19.2  15.8
//	64 to  64, 3x3,     16x16     13.5  11.3     14.3  12.5     16.7  14.2
//	128 to 128, 3x3,    8x8       13.3  10.2     12.2  10.2     15.5  12.2
//	16 to  32, 3x3 / 2, 32x32      1.91  2.42     2.40  1.85     2.56  2.43
//	32 to  64, 3x3 / 2, 16x16      3.10  2.01     2.10  1.56     2.28  2.13
//	16 to  32, 1x1 / 2, 32x32      0.48  0.30     0.33  0.35     0.58  0.29
//	16 to  96, 1x1,     32x32      3.53  4.33     6.29  5.20     5.87  4.94
//	96 to  24, 1x1,     32x32      6.84  7.03     4.77  5.71    11.4   9.39
//	144 to 32, 1x1,     16x16      3.34  3.10     1.92  2.26     3.25  2.35
//	32 to 192, 1x1,     16x16      2.45  3.13     3.92  3.26     3.44  3.59
//	64 to 384, 1x1,     8x8        2.20  2.31     2.60  2.41     2.88  3.10
//	96 depthwise,       32x32      5.88  6.06     5.37  7.59     8.65  6.67
//	96 depthwise / 2,   32x32      4.73  3.53     4.07  4.08     4.04  2.75
//	144 depthwise,      16x16      2.41  2.56     2.34  2.89     3.01  2.18
//	384 depthwise,      8x8        2.55  1.87     2.01  2.15     2.26  1.92
//
// What oneDNN has only as a reference or by way of a matrix product is ours too.
const (
	// Fewer images would leave workers idle, which our tiles give bands of rows.
	leastImages = leastPieces

	// Less work, some hundreds of microseconds, is done before the pieces pay.
	leastMACs = 8 << 20

	// Fewer channels are too few for oneDNN's blocks, save where they are summed
	// into weights.
	leastChannels = 8
)

// onednnPays reports whether oneDNN may be faster than our tiles at any member
// for s.
func onednnPays(s ConvShape) bool {
	oh, ow := s.Out()
	return s.N >= leastImages && s.MACs() >= leastMACs && oh*ow > 1
}

// libraryForward is onednnForward where it is faster than our tiles.
func libraryForward(s ConvShape, e Epilogue) (p EpiloguePlan[float32], ok bool) {
	strided := s.Stride != [2]int{1, 1} && s.R*s.S > 1 && s.Groups == 1
	if !onednnPays(s) || s.C < leastChannels || s.pointwise() || (strided && s.C <= 16) {
		return p, false
	}
	return onednnForward(s, e)
}

// libraryBackwardData is onednnBackwardData where it is faster than our tiles.
func libraryBackwardData(s ConvShape) (p ConvPlan[float32], ok bool) {
	if !onednnPays(s) || s.C < leastChannels || s.depthwise() || (s.pointwise() && s.K <= s.C) {
		return p, false
	}
	return onednnBackwardData(s)
}

// libraryBackwardWeights is onednnBackwardWeights where it is faster than our
// tiles.
func libraryBackwardWeights(s ConvShape) (p ConvPlan[float32], ok bool) {
	if !onednnPays(s) || (s.pointwise() && s.K > s.C && s.C >= 32) {
		return p, false
	}
	return onednnBackwardWeights(s)
}

// OneDNN returns the version of oneDNN and the instructions it uses, "2.6.3
// (AVX-512)", and whether it is linked. To link it, install its development
// package (Debian's libdnnl-dev, Homebrew's onednn) and build with cgo and the
// tag onednn.
func OneDNN() (version string, linked bool) {
	return onednn.Version() + " (" + onednn.Instructions() + ")", true
}
