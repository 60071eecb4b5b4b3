package kernel

import (
	"fmt"
	"strings"
)

// ConvShape is the geometry of a two-dimensional convolution of images
// [N, H, W, C] with weights [K, R, S, C/Groups].
type ConvShape struct {
	N, H, W, C int    // images
	K, R, S    int    // output channels, kernel height and width
	Stride     [2]int // vertical, horizontal; at least 1
	Dilation   [2]int // at least 1
	Pad        [4]int // zeros added at top, left, bottom, right
	Groups     int    // divides C and K; at least 1
}

// Out returns the height and width of the output [N, OH, OW, K].
func (s ConvShape) Out() (oh, ow int) {
	oh = (s.H+s.Pad[0]+s.Pad[2]-s.Dilation[0]*(s.R-1)-1)/s.Stride[0] + 1
	ow = (s.W+s.Pad[1]+s.Pad[3]-s.Dilation[1]*(s.S-1)-1)/s.Stride[1] + 1
	return oh, ow
}

// MACs returns the number of multiplications of each member of the family,
// those with padding included.
func (s ConvShape) MACs() int {
	oh, ow := s.Out()
	return s.N * oh * ow * s.K * s.R * s.S * (s.C / s.Groups)
}

// pointwise reports whether each output pixel is a function of one input pixel
// in the same place.
func (s ConvShape) pointwise() bool {
	return s.R == 1 && s.S == 1 && s.Stride == [2]int{1, 1} && s.Pad == [4]int{}
}

// depthwise reports whether each output channel is a function of one input
// channel, the one in the same place.
func (s ConvShape) depthwise() bool { return s.Groups > 1 && s.Groups == s.C && s.Groups == s.K }

// flat returns a pointwise convolution as that of one image with one pixel in
// each row, which may be cut anywhere.
func (s ConvShape) flat() ConvShape {
	if s.pointwise() {
		s.N, s.H, s.W = 1, s.N*s.H*s.W, 1
	}
	return s
}

// ConvMember is one of a convolution and its two derivatives.
type ConvMember int

// The members of the convolution family.
const (
	Forward         ConvMember = iota // ConvForward
	BackwardData                      // ConvBackwardData
	BackwardWeights                   // ConvBackwardWeights
)

// ConvPlan is a convolution, or one of its two derivatives, ready to run.
// Run computes dst from a and b and may use Scratch elements of scratch, whose
// content is undefined before and after. It runs in one goroutine at a time.
type ConvPlan[T Float] struct {
	Scratch int
	Run     func(dst, a, b, scratch []T) error
}

// Epilogue is what a convolution does to its sums before it writes them, in
// this order:
//
//	y = relu(conv(x, w) + bias[K] + add[N,OH,OW,K])
//
// The zero value is a plain convolution.
type Epilogue struct {
	Bias bool // add one number to each channel
	Add  bool // add a tensor of the result's shape
	ReLU bool // max(sum, 0); NaN stays NaN
}

// String names the steps, for tests and errors: "bias, add, relu".
func (e Epilogue) String() string {
	var steps []string
	for _, s := range []struct {
		has  bool
		name string
	}{{e.Bias, "bias"}, {e.Add, "add"}, {e.ReLU, "relu"}} {
		if s.has {
			steps = append(steps, s.name)
		}
	}
	if steps == nil {
		return "plain"
	}
	return strings.Join(steps, ", ")
}

// EpiloguePlan is a convolution with an Epilogue, ready to run. Run computes
// dst from x, w, bias and add, of which the last two are not read where the
// epilogue lacks the step and may then be nil. dst may be add itself; it must
// not overlap any other operand. Scratch is as in ConvPlan.
type EpiloguePlan[T Float] struct {
	Scratch int
	Run     func(dst, x, w, bias, add, scratch []T) error
}

// ways are the ways to compute a convolution in float32 besides our tiles. The
// first that takes a shape is used. Each decides by a rule on the shape, never by
// timing and never by the number of workers, so that a result is the same in
// every run on one kind of processor.
var ways = []struct {
	forward func(ConvShape, Epilogue) (EpiloguePlan[float32], bool)
	data    func(ConvShape) (ConvPlan[float32], bool)
	weights func(ConvShape) (ConvPlan[float32], bool)
}{
	{winogradForward, winogradBackwardData, winogradBackwardWeights}, // fewer multiplications for 3x3
	{libraryForward, libraryBackwardData, libraryBackwardWeights},    // oneDNN, where it is linked
}

// ConvForward plans y[N,OH,OW,K] from a = x[N,H,W,C] and b = w[K,R,S,C/Groups].
func ConvForward[T Float](s ConvShape) ConvPlan[T] {
	return ConvForwardEpilogue[T](s, Epilogue{}).plain()
}

// ConvForwardEpilogue plans y[N,OH,OW,K] from x[N,H,W,C], w[K,R,S,C/Groups] and
// what e asks for: bias[K] and add[N,OH,OW,K]. The epilogue is applied to each
// part of the result while it is in the cache.
func ConvForwardEpilogue[T Float](s ConvShape, e Epilogue) EpiloguePlan[T] {
	var p EpiloguePlan[T]
	taken := false
	if q, ok := any(&p).(*EpiloguePlan[float32]); ok {
		for i := 0; i < len(ways) && !taken; i++ {
			*q, taken = ways[i].forward(s, e)
		}
	}
	if !taken {
		p = convForwardEpilogue(microFor[T](), s, e)
	}
	x, w, y := s.elements()
	var b, a int
	if e.Bias {
		b = s.K
	}
	if e.Add {
		a = y
	}
	return EpiloguePlan[T]{p.Scratch, func(dst, images, weights, bias, add, scratch []T) error {
		bias, add = bias[:min(len(bias), b)], add[:min(len(add), a)]
		if len(dst) != y || len(images) != x || len(weights) != w || len(bias) != b || len(add) != a || len(scratch) < p.Scratch {
			return wrongLengths("convolution", s, []string{"result", "images", "weights", "bias", "addend", "scratch"},
				[]int{y, x, w, b, a, p.Scratch}, []int{len(dst), len(images), len(weights), len(bias), len(add), len(scratch)})
		}
		return p.Run(dst, images, weights, bias, add, scratch)
	}}
}

// ConvBackwardData plans dx[N,H,W,C] from a = dy[N,OH,OW,K] and
// b = w[K,R,S,C/Groups].
func ConvBackwardData[T Float](s ConvShape) ConvPlan[T] {
	var p ConvPlan[T]
	taken := false
	if q, ok := any(&p).(*ConvPlan[float32]); ok {
		for i := 0; i < len(ways) && !taken; i++ {
			*q, taken = ways[i].data(s)
		}
	}
	if !taken {
		p = convBackwardData(microFor[T](), s)
	}
	x, w, y := s.elements()
	return p.checked("convolution backward data", s, "images' derivative", "result's derivative", "weights", x, y, w)
}

// ConvBackwardWeights plans dw[K,R,S,C/Groups] from a = x[N,H,W,C] and
// b = dy[N,OH,OW,K].
func ConvBackwardWeights[T Float](s ConvShape) ConvPlan[T] {
	var p ConvPlan[T]
	taken := false
	if q, ok := any(&p).(*ConvPlan[float32]); ok {
		for i := 0; i < len(ways) && !taken; i++ {
			*q, taken = ways[i].weights(s)
		}
	}
	if !taken {
		p = convBackwardWeights(microFor[T](), s)
	}
	x, w, y := s.elements()
	return p.checked("convolution backward weights", s, "weights' derivative", "images", "result's derivative", w, x, y)
}

// elements returns the number of elements of images, weights and result.
func (s ConvShape) elements() (x, w, y int) {
	oh, ow := s.Out()
	return s.N * s.H * s.W * s.C, s.K * s.R * s.S * (s.C / s.Groups), s.N * oh * ow * s.K
}

// checked returns p with a Run that refuses operands of other lengths than dst,
// a and b: oneDNN takes addresses and would write beyond them.
func (p ConvPlan[T]) checked(what string, s ConvShape, dstName, aName, bName string, dst, a, b int) ConvPlan[T] {
	return ConvPlan[T]{p.Scratch, func(d, f, g, scratch []T) error {
		if len(d) != dst || len(f) != a || len(g) != b || len(scratch) < p.Scratch {
			return wrongLengths(what, s, []string{dstName, aName, bName, "scratch"},
				[]int{dst, a, b, p.Scratch}, []int{len(d), len(f), len(g), len(scratch)})
		}
		return p.Run(d, f, g, scratch)
	}}
}

// wrongLengths says which operands of a plan have not the length that its shape
// gives them; the last one may be longer.
func wrongLengths(what string, s ConvShape, names []string, want, got []int) error {
	var wrong []string
	for i, name := range names {
		if last := i == len(names)-1; got[i] < want[i] || (got[i] > want[i] && !last) {
			wrong = append(wrong, fmt.Sprintf("%d elements of %s, got %d", want[i], name, got[i]))
		}
	}
	return fmt.Errorf("kernel: %s %+v wants %s", what, s, strings.Join(wrong, "; "))
}

const (
	// windowElements bounds what one item of work reads: 128 KiB of float32,
	// half of the smallest second-level cache in use, which leaves room for
	// the weights.
	windowElements = 32 << 10

	// itemPixels is how many output pixels an item should have at least, so
	// that a panel of weights is used more often than it is fetched.
	itemPixels = 64

	// itemMACs is the work for which it pays to wake another worker: some
	// microseconds.
	itemMACs = 1 << 18
)

// window is the part of the images that one item of work reads: rows × cols
// pixels of one or more images. Where it reaches over an image's edge it is
// copied, with zeros there; else it is read in place.
type window struct {
	h, w, c    int // of an image
	top, left  int // where the window of the first band begins; may be outside
	rows, cols int
	step       int // rows from one band's window to the next one's
	direct     bool
}

// strides returns the distances of pixels one below the other and of equal
// pixels in consecutive images.
func (w *window) strides() (row, image int) {
	if w.direct {
		return w.w * w.c, w.h * w.w * w.c
	}
	return w.cols * w.c, w.rows * w.cols * w.c
}

// load returns the window of images n to n+images-1 for a band: x itself from
// the window's first element on, or a copy in buf.
func load[T Float](w *window, buf, x []T, n, images, band int) []T {
	top := w.top + band*w.step
	if w.direct {
		return x[((n*w.h+top)*w.w+w.left)*w.c:]
	}
	left, right := max(-w.left, 0), max(w.left+w.cols-w.w, 0) // columns outside
	left, right = min(left, w.cols), min(right, w.cols)
	width := w.cols * w.c
	d := 0
	for i := range images {
		for r := range w.rows {
			row := buf[d : d+width]
			d += width
			if at := top + r; at < 0 || at >= w.h || left+right >= w.cols {
				clear(row)
			} else {
				clear(row[:left*w.c])
				copy(row[left*w.c:width-right*w.c], x[(((n+i)*w.h+at)*w.w+w.left+left)*w.c:])
				clear(row[width-right*w.c:])
			}
		}
	}
	return buf
}

// cut says how n images of h rows are cut into items of work: items of several
// small images, or bands of rows of one large image. rowPixels and rowElements
// are the output pixels and the source elements of a row, rowMACs its work;
// bands hold a multiple of unit rows.
func cut(n, h, unit, rowPixels, rowElements, rowMACs int) (images, rows int) {
	rows = h
	if h*rowElements > windowElements {
		rows = min(h, max(windowElements/max(rowElements, 1)/unit, 1)*unit)
	}
	images = 1
	if rows == h {
		images = max(1, min(n, itemPixels/max(h*rowPixels, 1), windowElements/max(h*rowElements, 1)))
	}
	// Enough items for all workers to end at about the same time, unless they
	// get too small to be worth it.
	want := 4 * Workers()
	if one := max(1, n/want); images > one {
		images = max(one, min(images, itemMACs/max(h*rowMACs, 1)+1))
	}
	if have := (n + images - 1) / images; images == 1 && have*((h+rows-1)/rows) < want {
		per := max((h*have+want-1)/want, itemMACs/max(rowMACs, 1), 1)
		rows = min(rows, (per+unit-1)/unit*unit)
	}
	return images, rows
}
