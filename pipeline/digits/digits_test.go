package digits

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDrawIsTheSameEverywhere pins the bytes. A change of drawing changes every
// figure measured on drawn images, and the teacher, which was
// trained on them, has to be trained again.
func TestDrawIsTheSameEverywhere(t *testing.T) {
	cases := []struct {
		seed  uint64
		first int
		want  string
	}{
		{seed: 0, first: 0, want: "984da103afeb31dbb47bdbea7d5b0aa24256158bde70b1b0dde2f424ffd46150"},
		{seed: 1, first: 0, want: "a4f789d0a12d683ade5e79766743c08c04785f731397da145279801df2ef1cfd"},
		{seed: 1 << 63, first: 1_000_000, want: "5d68370581d479b7b138c3d9a2d51bf658f27c792100196f3677d5e7f86464ca"},
		{seed: 1, first: -100, want: "da7eb2d6c8504d866b20a4aa923c417a41c6aedd0cc8ac9690e71544e6769078"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("seed %d from %d", c.seed, c.first), func(t *testing.T) {
			sum := sha256.New()
			for i := range 100 {
				pixels, label := drawOne(c.seed, c.first+i)
				sum.Write(pixels)
				sum.Write([]byte{uint8(label)})
			}
			if got := hex.EncodeToString(sum.Sum(nil)); got != c.want {
				t.Errorf("100 images have the sum\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

// drawOne draws an image by itself.
func drawOne(seed uint64, index int) (pixels []uint8, label int) {
	pixels = make([]uint8, Bytes)
	return pixels, draw(pixels, seed, index)
}

func TestSetHoldsWhatIsDrawn(t *testing.T) {
	set := Set(5, 57)
	if set.Len() != 57 || len(set.Pixels) != 57*Bytes {
		t.Fatalf("the set holds %d labels and %d bytes, want 57 and %d", set.Len(), len(set.Pixels), 57*Bytes)
	}
	for i, got := range set.Labels {
		pixels, label := drawOne(5, i)
		if got != label || got != Label(5, i) {
			t.Errorf("image %d: label %d in the set, %d drawn, %d told", i, got, label, Label(5, i))
		}
		if !slices.Equal(set.Image(i), pixels) {
			t.Errorf("image %d differs in the set and drawn alone", i)
		}
	}
	longer := Set(5, 80)
	if !slices.Equal(longer.Pixels[:len(set.Pixels)], set.Pixels) {
		t.Error("a longer set does not begin with the shorter one")
	}
	other := Set(6, 57)
	for i := range other.Len() {
		if slices.Equal(set.Image(i), other.Image(i)) {
			t.Errorf("seeds 5 and 6 draw the same image %d", i)
		}
	}
	for _, n := range []int{0, -1} {
		if empty := Set(1, n); empty.Len() != 0 || len(empty.Pixels) != 0 {
			t.Errorf("Set(1, %d) holds %d images, want none", n, empty.Len())
		}
	}
}

func TestEveryTenImagesHoldEachDigitOnce(t *testing.T) {
	orders := map[[Classes]int]bool{}
	for block := -20; block < 20; block++ {
		var order [Classes]int
		seen := map[int]bool{}
		for k := range order {
			order[k] = Label(9, block*Classes+k)
			seen[order[k]] = true
		}
		if len(seen) != Classes || !seen[0] || !seen[Classes-1] {
			t.Errorf("images %d to %d have the labels %v", block*Classes, block*Classes+Classes-1, order)
		}
		orders[order] = true
	}
	// Of 3.6 million orders, forty drawn ones do not repeat.
	if len(orders) != 40 {
		t.Errorf("40 blocks have only %d different orders", len(orders))
	}
}

func TestNames(t *testing.T) {
	want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	if diff := cmp.Diff(want, Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
}

// TestImagesShowTheirLabel reads images with the weakest of readers: the most
// similar of a number of known ones, by correlation of brightness. It is far
// from a network's accuracy, yet far above chance only when the digit is there
// and the label is its own.
func TestImagesShowTheirLabel(t *testing.T) {
	const known, asked = 3000, 300
	set := Set(11, known+asked)
	grey := make([][]float32, len(set.Labels))
	for i := range grey {
		grey[i] = standardised(set.Image(i))
	}
	right := 0
	for i := known; i < known+asked; i++ {
		best, at := float32(-1), 0
		for j := range known {
			var product float32
			for k, v := range grey[i] {
				product += v * grey[j][k]
			}
			// Dark on light and light on dark are the same digit.
			if product = max(product, -product); product > best {
				best, at = product, j
			}
		}
		if set.Labels[at] == set.Labels[i] {
			right++
		}
	}
	// Chance is 30 of 300, with a standard deviation of 5.
	if right < 100 {
		t.Errorf("%d of %d images resemble one of their own digit most, want at least 100", right, asked)
	}
	t.Logf("%d of %d", right, asked)
}

// standardised returns the brightness of an image, less its mean and scaled to
// length one.
func standardised(pixels []uint8) []float32 {
	g := make([]float32, Size*Size)
	var sum, squares float32
	for i := range g {
		g[i] = float32(pixels[3*i]) + float32(pixels[3*i+1]) + float32(pixels[3*i+2])
		sum += g[i]
	}
	for i := range g {
		g[i] -= sum / (Size * Size)
		squares += g[i] * g[i]
	}
	for i := range g {
		g[i] /= sqrt(squares)
	}
	return g
}

func TestNoImageIsFlat(t *testing.T) {
	set := Set(12, 1000)
	for i := range len(set.Labels) {
		low, high := uint8(255), uint8(0)
		for _, v := range set.Image(i) {
			low, high = min(low, v), max(high, v)
		}
		if high-low < 40 {
			t.Errorf("image %d runs from %d to %d only", i, low, high)
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	pixels := make([]uint8, Bytes)
	draw(pixels, 1, 0) // load the fonts
	for i := 0; b.Loop(); i++ {
		draw(pixels, 1, i)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
