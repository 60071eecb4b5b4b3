package digits

import (
	"math"
	"slices"
	"testing"

	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

func filled(c colour) *canvas {
	var p canvas
	for i := range p {
		p[i] = c
	}
	return &p
}

func TestCanvasKeepsAnEvenColour(t *testing.T) {
	even := colour{100 * level, 37 * level, 250 * level}
	cases := []struct {
		name string
		draw func(*canvas)
	}{
		{"blur", func(p *canvas) { p.blur(3, 2) }},
		{"coarsen", func(p *canvas) { p.coarsen(17) }},
		{"light of gain one", func(p *canvas) { p.light(256, 0, 0) }},
		{"gradient between equal colours", func(p *canvas) { p.gradient(even, even, 5, -9) }},
		{"bar of no opacity", func(p *canvas) { p.bar(16*one, 16*one, turn(1, 3), 40, 20, colour{}, 0) }},
		{"disc off the canvas", func(p *canvas) { p.disc(-30*one, 60*one, 7, colour{}, 256) }},
		{"stripes of no width", func(p *canvas) { p.stripes(3, -7, 80, 0, 5, 90) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := filled(even)
			c.draw(p)
			for i, got := range p {
				if got != even {
					t.Fatalf("pixel (%d, %d) is %v, want %v", i%Size, i/Size, got, even)
				}
			}
		})
	}
}

func TestBlurSpreadsAPointSymmetrically(t *testing.T) {
	var p canvas
	const middle = 16*Size + 16
	p[middle] = colour{1600, 1600, 1600}
	p.blur(1, 1)
	for y := -2; y <= 2; y++ {
		for x := -2; x <= 2; x++ {
			weight := [3]int{2, 1, 0}
			want := 1600 * weight[abs(int64(x))] * weight[abs(int64(y))] / 16
			if got := p[middle+y*Size+x][0]; got != want {
				t.Errorf("at (%d, %d) from the point: %d, want %d", x, y, got, want)
			}
		}
	}
}

func TestStoreRoundsAndClips(t *testing.T) {
	cases := []struct {
		name  string
		value int
		want  uint8
	}{
		{"below black", -5 * level, 0},
		{"black", 0, 0},
		{"just under a half rounds down", level/2 - 1, 0},
		{"a half rounds up", level / 2, 1},
		{"white", 255 * level, 255},
		{"above white", 300 * level, 255},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pixels := make([]uint8, Bytes)
			filled(colour{c.value, c.value, c.value}).store(pixels)
			for i, got := range pixels {
				if got != c.want {
					t.Fatalf("byte %d is %d, want %d", i, got, c.want)
				}
			}
		})
	}
}

func TestTurnIsARotation(t *testing.T) {
	cases := []struct {
		name     string
		p, q     int64
		cos, sin int64
	}{
		{"no turn", 0, 64, one, 0},
		{"a quarter turn", 1, 1, 0, one},
		{"a quarter turn the other way", -64, 64, 0, -one},
		{"three to four to five", 1, 2, one * 3 / 5, one * 4 / 5},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := turn(c.p, c.q); got != (rotation{c.cos, c.sin}) {
				t.Errorf("turn(%d, %d) = %v, want {%d %d}", c.p, c.q, got, c.cos, c.sin)
			}
		})
	}
}

func TestStreamIsEvenAndBellShaped(t *testing.T) {
	s := newStream(1, 1)
	const n = 20000
	var counts [8]int
	var sum, squares float64
	for range n {
		counts[s.below(8)]++
		v := float64(s.bell(300))
		sum += v
		squares += v * v
	}
	for v, c := range counts {
		// 2500 each; six standard deviations are 280.
		if c < 2220 || c > 2780 {
			t.Errorf("%d came %d times in %d, want about %d", v, c, n, n/8)
		}
	}
	// Standard errors are 2.1 and 1.5 of the spread of 300.
	if mean := sum / n; math.Abs(mean) > 12 {
		t.Errorf("the bell's mean is %.1f, want about 0", mean)
	}
	if spread := math.Sqrt(squares / n); math.Abs(spread-300) > 12 {
		t.Errorf("the bell's standard deviation is %.1f, want about 300", spread)
	}
	low, high := 0, 0
	for range 1000 {
		switch v := s.between(-3, 2); {
		case v < -3 || v > 2:
			t.Fatalf("between(-3, 2) gave %d", v)
		case v == -3:
			low++
		case v == 2:
			high++
		}
	}
	if low == 0 || high == 0 {
		t.Errorf("between(-3, 2) reached -3 %d times and 2 %d times", low, high)
	}
}

func TestTypefaces(t *testing.T) {
	faces, err := loadTypefaces()
	if err != nil {
		t.Fatal(err)
	}
	if want := len(outlines) + len(bitmaps); len(faces) != want {
		t.Fatalf("%d typefaces, want %d", len(faces), want)
	}
	for i := range faces {
		for digit := range faces[i] {
			f := &faces[i][digit]
			top, foot := fieldSize, -1
			for j, d := range f.distance {
				if d > 0 {
					top, foot = min(top, j/fieldSize), max(foot, j/fieldSize)
				}
			}
			// The outline may miss the centres of its first and last row of cells.
			if height := foot - top + 1; height < glyphHeight-2 || height > glyphHeight {
				t.Errorf("typeface %d, digit %d is %d cells tall, want %d", i, digit, height, glyphHeight)
			}
			if f.width < glyphHeight/8 || f.width > fieldSize {
				t.Errorf("typeface %d, digit %d is %d cells wide", i, digit, f.width)
			}
			for other := range digit {
				if faces[i][other].distance == f.distance {
					t.Errorf("typeface %d has the same shape for %d and %d", i, other, digit)
				}
			}
		}
	}
}

// TestFieldMeasuresDistance compares a glyph's field with the distances found
// by trying every cell.
func TestFieldMeasuresDistance(t *testing.T) {
	var m mask
	for y := 30; y < 70; y++ {
		for x := 40; x < 60; x++ {
			m[y*fieldSize+x] = x < 45 || y > 50
		}
	}
	f, err := newField(&m)
	if err != nil {
		t.Fatal(err)
	}
	if f.width != 20 {
		t.Errorf("width %d, want 20", f.width)
	}
	for i, inside := range m {
		nearest := math.Inf(1)
		for j, other := range m {
			if other != inside {
				nearest = min(nearest, math.Hypot(float64(i%fieldSize-j%fieldSize), float64(i/fieldSize-j/fieldSize)))
			}
		}
		want := min(int(nearest*cellUnits)-cellUnits/2, reach)
		if !inside {
			want = -want
		}
		if got := int(f.distance[i]); got != want {
			t.Fatalf("cell (%d, %d): %d, want %d", i%fieldSize, i/fieldSize, got, want)
		}
	}
}

// TestOutlineLeavesHolesOpen goes down the middle of some digits.
func TestOutlineLeavesHolesOpen(t *testing.T) {
	f, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		digit  rune
		column []bool // inside, changing down the middle column
	}{
		{'0', []bool{false, true, false, true, false, true, false}}, // this font's zero has a dot
		{'1', []bool{false, true, false}},
		{'8', []bool{false, true, false, true, false, true, false}},
	}
	for _, c := range cases {
		t.Run(string(c.digit), func(t *testing.T) {
			shape, err := outlineField(f, c.digit)
			if err != nil {
				t.Fatal(err)
			}
			var got []bool
			for row := range fieldSize {
				inside := shape.distance[row*fieldSize+fieldCentre] > 0
				if len(got) == 0 || got[len(got)-1] != inside {
					got = append(got, inside)
				}
			}
			if !slices.Equal(got, c.column) {
				t.Errorf("the middle column goes %v, want %v", got, c.column)
			}
		})
	}
	if _, err := outlineField(f, '\uffff'); err == nil {
		t.Error("a rune without a glyph gives no error")
	}
}
