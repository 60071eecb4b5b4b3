package data

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// augmentSlowly is Augment's definition: pad, crop at (dy, dx), mirror.
func augmentSlowly(a Augment, src []uint8, h, w, c, dy, dx int, flip bool) []uint8 {
	reflect := func(i, n int) int {
		for i < 0 || i >= n {
			if i < 0 {
				i = -i
			} else {
				i = 2*(n-1) - i
			}
		}
		return i
	}
	padded := func(y, x, k int) uint8 { // position in the padded image
		y, x = y-a.Pad, x-a.Pad
		if a.PadMode == PadZero && (y < 0 || y >= h || x < 0 || x >= w) {
			return 0
		}
		return src[(reflect(y, h)*w+reflect(x, w))*c+k]
	}
	out := make([]uint8, len(src))
	for y := range h {
		for x := range w {
			from := x
			if flip {
				from = w - 1 - x
			}
			for k := range c {
				out[(y*w+x)*c+k] = padded(y+dy, from+dx, k)
			}
		}
	}
	return out
}

func TestAugmentIsPadCropFlip(t *testing.T) {
	for _, a := range []Augment{
		{}, {Flip: true}, {Pad: 1}, {Pad: 4}, {Pad: 4, Flip: true}, {Pad: 3, PadMode: PadZero, Flip: true},
		{Pad: 9, PadMode: PadZero}, {Pad: 4, PadMode: PadReflect},
	} {
		for _, c := range []int{1, 3} {
			t.Run(fmt.Sprintf("%+v, %d channels", a, c), func(t *testing.T) {
				const h, w = 5, 7
				if err := a.Validate(h, w); err != nil {
					t.Fatal(err)
				}
				src := make([]uint8, h*w*c)
				for i := range src {
					src[i] = uint8(i + 1)
				}
				columns := make([]int, w)
				for id := range uint64(200) {
					dy, dx, flip := a.draw(1, id, 2)
					got := make([]uint8, len(src))
					for i := range got {
						got[i] = 99 // what was there before
					}
					a.apply(got, src, h, w, c, 1, id, 2, columns)
					if diff := cmp.Diff(augmentSlowly(a, src, h, w, c, dy, dx, flip), got); diff != "" {
						t.Fatalf("crop (%d, %d), mirrored %v: %s", dy, dx, flip, diff)
					}
				}
			})
		}
	}
}

func TestAugmentDrawsEvenly(t *testing.T) {
	a := Augment{Pad: 4, Flip: true}
	const n = 81 * 200
	var crops [9][9]int
	flips, same := 0, 0
	for id := range uint64(n) {
		dy, dx, flip := a.draw(7, id, 0)
		crops[dy][dx]++
		if flip {
			flips++
		}
		y, x, f := a.draw(7, id, 1)
		if y == dy && x == dx && f == flip {
			same++
		}
	}
	// Within 6 standard deviations of a binomial count.
	near := func(what string, got int, p float64) {
		mean, sd := n*p, math.Sqrt(n*p*(1-p))
		if math.Abs(float64(got)-mean) > 6*sd {
			t.Errorf("%s: %d of %d, want about %.0f", what, got, n, mean)
		}
	}
	for y := range crops {
		for x := range crops[y] {
			near(fmt.Sprintf("crop (%d, %d)", y, x), crops[y][x], 1./81)
		}
	}
	near("mirrored", flips, 0.5)
	near("the next view drawn alike", same, 1./162)
}

func TestAugmentDrawsAreKeyed(t *testing.T) {
	a := Augment{Pad: 4, Flip: true}
	type draw struct {
		y, x int
		flip bool
	}
	sequence := func(a Augment, seed, id uint64, view uint32) (out []draw) {
		for i := range uint64(20) {
			y, x, f := a.draw(seed, id+i, view)
			out = append(out, draw{y, x, f})
		}
		return out
	}
	base := sequence(a, 1, 2, 3)
	for name, other := range map[string][]draw{"seed": sequence(a, 2, 2, 3), "identity": sequence(a, 1, 50, 3), "view": sequence(a, 1, 2, 4)} {
		if cmp.Equal(base, other, cmp.AllowUnexported(draw{})) {
			t.Errorf("another %s gives the same draws", name)
		}
	}
	for i, d := range sequence(Augment{Pad: 4}, 1, 2, 3) {
		if d.y != base[i].y || d.x != base[i].x || d.flip {
			t.Errorf("without Flip, draw %d is %v, want the crop of %v", i, d, base[i])
		}
	}
	// Pinned: recorded signals belong to these draws.
	if y, x, f := a.draw(1, nameID("train/cat/0001.jpg"), 0); y != 8 || x != 3 || !f {
		t.Errorf("the first view of train/cat/0001.jpg is (%d, %d, %v)", y, x, f)
	}
}

func TestAugmentSettingsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		a    Augment
		want string
	}{
		{"a misspelt pad mode", Augment{Pad: 1, PadMode: "mirror"}, `"mirror"; choose one of "reflect", "zero"`},
		{"a negative pad", Augment{Pad: -1}, "pad is -1"},
		{"reflecting more than there is", Augment{Pad: 5}, "pad 5 for images of 5x7"},
		{"padding beyond reason", Augment{Pad: 1 << 30, PadMode: PadZero}, "at most"},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, c.a.Validate(5, 7), c.want) })
	}
}

func TestAugmentSaysWhatItDoes(t *testing.T) {
	for want, settings := range map[string][]Augment{
		"":                    {{}, {PadMode: PadZero}},
		"flip":                {{Flip: true}, {Flip: true, PadMode: PadReflect}},
		"pad 4 reflect":       {{Pad: 4}, {Pad: 4, PadMode: PadReflect}},
		"pad 2 zero, flip":    {{Pad: 2, PadMode: PadZero, Flip: true}},
		"pad 2 reflect, flip": {{Pad: 2, Flip: true}},
	} {
		for _, a := range settings {
			if got := a.String(); got != want || (got != "") != a.Enabled() {
				t.Errorf("%+v says %q, want %q", a, got, want)
			}
		}
	}
}
