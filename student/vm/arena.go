package vm

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// alignment in bytes of every planned value: a cache line, and the widest
// vector register.
const alignment = 64

// arenas are the memory of all planned values, one block per element type. It
// may be C's: what looks at it must hold the lease.
type arenas struct {
	f32   []float32
	f64   []float64
	lease *lease
}

func newArenas(f32, f64 int) arenas {
	var a arenas
	var free32, free64 func()
	a.f32, free32 = kernel.Alloc[float32](f32)
	a.f64, free64 = kernel.Alloc[float64](f64)
	a.lease = &lease{free: func() { free32(); free64() }}
	return a
}

// lease gives memory back once: when its machine is closed, or else when
// neither the machine nor a header over the memory can be reached any more.
type lease struct {
	free    func()
	once    sync.Once
	holders atomic.Int64
}

// end gives the memory back.
func (l *lease) end() { l.once.Do(l.free) }

// hold makes holder, a machine or a header, one that the lease outlives.
func hold[T any](l *lease, holder *T) {
	l.holders.Add(1)
	runtime.AddCleanup(holder, func(l *lease) {
		if l.holders.Add(-1) == 0 {
			l.end()
		}
	}, l)
}

// hold reports whether b lies in one of the arenas.
func (a *arenas) hold(b kernel.Buffer) bool { return within(a.f32, b.F32) || within(a.f64, b.F64) }

func within[T kernel.Float](arena, x []T) bool {
	if len(arena) == 0 || len(x) == 0 {
		return false
	}
	first, last := uintptr(unsafe.Pointer(&arena[0])), uintptr(unsafe.Pointer(&arena[len(arena)-1]))
	from, to := uintptr(unsafe.Pointer(&x[0])), uintptr(unsafe.Pointer(&x[len(x)-1]))
	return from <= last && first <= to
}
