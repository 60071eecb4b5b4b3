package kernel

import (
	"fmt"
	"testing"
	"unsafe"
)

func TestAllocIsAlignedAndZeroed(t *testing.T) {
	t.Run("float32", checkAlloc[float32])
	t.Run("float64", checkAlloc[float64])
}

func checkAlloc[T Float](t *testing.T) {
	for _, n := range []int{1, 15, 16, 1000, 1<<19 + 1, 3 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			// What was written and given back must not come again.
			for range 3 {
				s, free := Alloc[T](n)
				if len(s) != n || cap(s) != n {
					t.Fatalf("got %d elements with room for %d", len(s), cap(s))
				}
				if at := uintptr(unsafe.Pointer(&s[0])); at%64 != 0 {
					t.Fatalf("the memory begins at %#x, which 64 does not divide", at)
				}
				for i := range s {
					if s[i] != 0 {
						t.Fatalf("element %d is %v, want 0", i, s[i])
					}
					s[i] = 1
				}
				free()
			}
		})
	}
}

func TestAllocOfNothing(t *testing.T) {
	for _, n := range []int{0, -1} {
		s, free := Alloc[float32](n)
		free()
		if s != nil {
			t.Errorf("Alloc(%d) gave %d elements", n, len(s))
		}
	}
}
