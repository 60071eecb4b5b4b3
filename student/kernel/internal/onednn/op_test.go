//go:build onednn && cgo

package onednn

import (
	"errors"
	"strings"
	"testing"
	"unsafe"
)

var small = Geometry{N: 2, H: 4, W: 4, C: 16, K: 16, R: 3, S: 3, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Groups: 1}

func TestErrorNamesPrimitiveShapeAndStatus(t *testing.T) {
	g := small
	g.Stride = [2]int{-1, 1}
	for _, m := range []Member{Forward, Data, Weights} {
		_, err := NewConv(g, m, After{}, nil)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%v with stride -1: error %v, want an *Error", m, err)
		}
		for _, want := range []string{"onednn: " + m.String(), "of images [2,4,4,16] with weights [16,3,3,16], stride [-1 1]", "invalid_arguments"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q lacks %q", err, want)
			}
		}
		if strings.Contains(e.Call, "(") || e.Call == "" {
			t.Errorf("the call is named %q", e.Call)
		}
	}
}

// TestPackedWeightsComeBack packs weights of each kind and unpacks them by way
// of a derivative in the same order.
func TestPackedWeightsComeBack(t *testing.T) {
	groups := small
	groups.Groups = 2
	depthwise := small
	depthwise.Groups = 16
	for _, g := range []Geometry{small, groups, depthwise} {
		forward, err := NewConv(g, Forward, After{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		pack, err := NewPack(g, forward)
		if err != nil {
			t.Fatal(err)
		}
		plain := make([]float32, g.K*g.R*g.S*g.C/g.Groups)
		for i := range plain {
			plain[i] = float32(i + 1)
		}
		packed := make([]float32, pack.Elements(0))
		if err := pack.Run(packed, plain, make([]float32, pack.Elements(2))); err != nil {
			t.Fatal(err)
		}
		var sum, want float32
		for _, v := range packed {
			sum += v
		}
		for _, v := range plain {
			want += v
		}
		if sum != want || len(packed) < len(plain) {
			t.Errorf("%v: %d packed weights with sum %v, want %v", g, len(packed), sum, want)
		}
	}
}

func TestTimeIsMeasured(t *testing.T) {
	o, err := ReferenceConv(small, Weights)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := o.Time(3); err != nil || d <= 0 {
		t.Errorf("Time gave %v, %v", d, err)
	}
	for _, back := range []bool{false, true} {
		o, err := ReferenceNorm(2, 4, 4, 16, 1e-5, true, back)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := o.Time(3); err != nil || d <= 0 {
			t.Errorf("Time of batch normalisation gave %v, %v", d, err)
		}
	}
}

func TestBlockIsAlignedAndZeroed(t *testing.T) {
	for _, n := range []int{1, 1000, 1 << 20} {
		for range 2 {
			s, free := Block[float64](n)
			if len(s) != n || uintptr(unsafe.Pointer(&s[0]))%64 != 0 {
				t.Fatalf("got %d elements at %p, want %d at a multiple of 64", len(s), &s[0], n)
			}
			for i := range s {
				if s[i] != 0 {
					t.Fatalf("element %d is %v", i, s[i])
				}
				s[i] = 1
			}
			free()
			free() // does nothing
		}
	}
}

func TestVersion(t *testing.T) {
	if v := Version(); strings.Count(v, ".") != 2 || v[0] < '2' {
		t.Errorf("the version is %q", v)
	}
	if Instructions() == "" {
		t.Error("the instructions have no name")
	}
}
