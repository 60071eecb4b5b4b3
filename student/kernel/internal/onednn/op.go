//go:build onednn && cgo

package onednn

// #cgo LDFLAGS: -ldnnl
// #cgo linux LDFLAGS: -ldl
// #cgo darwin,arm64 CFLAGS: -I/opt/homebrew/include
// #cgo darwin,arm64 LDFLAGS: -L/opt/homebrew/lib
// #cgo darwin,amd64 CFLAGS: -I/usr/local/include
// #cgo darwin,amd64 LDFLAGS: -L/usr/local/lib
// #cgo noescape op_run
// #cgo nocallback op_run
// #include <stdlib.h>
// #include "op.h"
import "C"

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Geometry is that of a convolution of images [N, H, W, C] with weights
// [K, R, S, C/Groups]. Pad is top, left, bottom, right.
type Geometry struct {
	N, H, W, C, K, R, S int
	Stride, Dilation    [2]int
	Pad                 [4]int
	Groups              int
}

// String prints the geometry as it stands in errors.
func (g Geometry) String() string {
	return fmt.Sprintf("of images [%d,%d,%d,%d] with weights [%d,%d,%d,%d], stride %v, dilation %v, pad %v, %d groups",
		g.N, g.H, g.W, g.C, g.K, g.R, g.S, g.C/max(g.Groups, 1), g.Stride, g.Dilation, g.Pad, g.Groups)
}

func (g Geometry) c() C.geometry {
	d := func(i int) C.int64_t { return C.int64_t(i) }
	return C.geometry{
		n: d(g.N), h: d(g.H), w: d(g.W), c: d(g.C), k: d(g.K), r: d(g.R), s: d(g.S),
		stride: [2]C.int64_t{d(g.Stride[0]), d(g.Stride[1])}, dilation: [2]C.int64_t{d(g.Dilation[0]), d(g.Dilation[1])},
		pad: [4]C.int64_t{d(g.Pad[0]), d(g.Pad[1]), d(g.Pad[2]), d(g.Pad[3])}, groups: d(g.Groups),
	}
}

// Member is one of a convolution and its two derivatives.
type Member int

// The members.
const (
	Forward Member = C.MEMBER_FORWARD // y = conv(x, w)
	Data    Member = C.MEMBER_DATA    // dx from dy and w
	Weights Member = C.MEMBER_WEIGHTS // dw from x and dy
)

// String names the member.
func (m Member) String() string {
	switch m {
	case Forward:
		return "convolution"
	case Data:
		return "convolution backward data"
	case Weights:
		return "convolution backward weights"
	}
	return fmt.Sprintf("member %d of the convolution family", int(m))
}

// After is what a convolution does to its sums: add one number per channel, and
// add what the result's memory holds. There is no ReLU, since oneDNN's makes zero
// of a NaN.
type After struct{ Bias, Sum bool }

// Error is a call of oneDNN that failed.
type Error struct {
	Primitive string // with its shape
	Call      string // "dnnl_primitive_create"
	Status    string // oneDNN's name of the status, "unimplemented"
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("onednn: %s: %s: %s", e.Primitive, e.Call, e.Status)
}

// Unimplemented is the status of a primitive that oneDNN does not have for a
// shape or an order of memory.
const Unimplemented = "unimplemented"

func failed(f C.failure, primitive string) error {
	if f.call == nil {
		return nil
	}
	call, _, _ := strings.Cut(C.GoString(f.call), "(")
	return &Error{primitive, call, C.GoString(C.status_name(f.status))}
}

// Op is a primitive, ready to run. It has no state, so several goroutines may
// run it at once. It takes memory until Close.
type Op struct {
	op   *C.op
	name string
}

// NewConv makes a member of the convolution family for one thread. Its operands
// are
//
//	Forward  y, x, w, scratchpad, bias
//	Data     dx, dy, w, scratchpad
//	Weights  dw, x, dy, scratchpad
//
// Images lie in NHWC. Weights are packed: they lie as oneDNN likes them best
// or, where like is not nil, as those of like do.
func NewConv(g Geometry, m Member, a After, like *Op) (*Op, error) { return newConv(g, m, a, like, 1) }

func newConv(g Geometry, m Member, a After, like *Op, threads int) (*Op, error) {
	o, geometry := &Op{name: m.String() + " " + g.String()}, g.c()
	var l *C.op
	if like != nil {
		l = like.op
	}
	f := C.conv_new(&o.op, &geometry, C.int(m), truth(a.Bias), truth(a.Sum), l, C.int(threads))
	return o, failed(f, o.name)
}

// ReferenceConv is NewConv for as many threads as oneDNN wants, to compare with.
func ReferenceConv(g Geometry, m Member) (*Op, error) { return newConv(g, m, After{}, nil, 0) }

// ReferenceNorm makes oneDNN's batch normalisation of images [n,h,w,c] in
// training, or its derivative where back, with a ReLU fused where relu, for as
// many threads as oneDNN wants. It is only to be timed.
func ReferenceNorm(n, h, w, c int, epsilon float64, relu, back bool) (*Op, error) {
	name := "batch normalisation"
	if back {
		name += " backward"
	}
	o := &Op{name: fmt.Sprintf("%s of images [%d,%d,%d,%d], ReLU %v", name, n, h, w, c, relu)}
	d := func(i int) C.int64_t { return C.int64_t(i) }
	return o, failed(C.norm_new(&o.op, d(n), d(h), d(w), d(c), C.float(epsilon), truth(relu), truth(back), 0), o.name)
}

// NewPack makes the copy of plain weights [K,R,S,C/Groups] into the order of
// conv's, a Forward or Data. Its operands are packed, plain, scratchpad.
func NewPack(g Geometry, conv *Op) (*Op, error) {
	o, geometry := &Op{name: "reorder of the weights of a convolution " + g.String()}, g.c()
	return o, failed(C.pack_new(&o.op, &geometry, conv.op, 1), o.name)
}

// NewUnpack makes the copy of the result of conv, a Weights, into plain weights
// [K,R,S,C/Groups]. Its operands are plain, packed, scratchpad.
func NewUnpack(g Geometry, conv *Op) (*Op, error) {
	o, geometry := &Op{name: "reorder of the derivative by the weights of a convolution " + g.String()}, g.c()
	return o, failed(C.unpack_new(&o.op, &geometry, conv.op, 1), o.name)
}

// Elements returns the number of float32 that an operand takes, counted from 0,
// packed weights and scratchpads being padded. It is 0 where o lacks the operand.
func (o *Op) Elements(operand int) int {
	return int(C.op_size(o.op, C.int(operand))+3) / 4
}

// Implementation is oneDNN's name of how o is computed: "jit:avx512_core".
func (o *Op) Implementation() string { return C.GoString(C.op_name(o.op)) }

// Run runs o over the memory of its operands, of at least Elements each, where
// those that o lacks may be nil. Scratchpads and packed weights begin at
// multiples of 64 bytes for speed.
func (o *Op) Run(operands ...[]float32) error {
	var p [5]unsafe.Pointer
	for i, s := range operands {
		p[i] = unsafe.Pointer(unsafe.SliceData(s))
	}
	f := C.op_run(o.op, p[0], p[1], p[2], p[3], p[4])
	if f.call == nil {
		return nil
	}
	return failed(f, o.name)
}

// Close frees o, which must not be used any more; o may be nil.
func (o *Op) Close() {
	if o == nil {
		return
	}
	C.op_free(o.op)
	o.op = nil
}

// Time runs o over memory of its own some times, after once to warm up, and
// returns the shortest time.
func (o *Op) Time(runs int) (time.Duration, error) {
	var seconds C.double
	if f := C.op_time(o.op, C.int(max(runs, 1)), &seconds); f.call != nil {
		return 0, failed(f, o.name)
	}
	return time.Duration(float64(seconds) * float64(time.Second)), nil
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// Version returns the version of the library that runs, "2.6.3".
func Version() string {
	var major, minor, patch C.int
	C.library_version(&major, &minor, &patch)
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

// Instructions names the widest instructions that the library uses on this
// processor: "AVX-512".
func Instructions() string { return C.GoString(C.isa_name()) }

// Block returns n zeroed elements of C memory that begin at a multiple of 64
// bytes, and the function that frees them; nil where there is no memory.
func Block[T float32 | float64](n int) (s []T, free func()) {
	p := C.aligned_block(C.size_t(n) * C.size_t(unsafe.Sizeof(*new(T))))
	if p == nil {
		return nil, nil
	}
	return unsafe.Slice((*T)(p), n), sync.OnceFunc(func() { C.free(p) })
}
