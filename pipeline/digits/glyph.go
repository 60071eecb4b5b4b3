package digits

import (
	"fmt"
	"image"
	"math"
	"sync"

	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/gofont/gosmallcaps"
	"golang.org/x/image/font/inconsolata"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// A field holds one glyph as signed distances to its outline, which lets one
// shape be drawn at any size, thin or bold, filled or as a contour.
const (
	fieldSize   = 96 // side of a field in cells
	fieldCentre = fieldSize / 2
	glyphHeight = 64 // cells from the top of a digit to its foot
	cellUnits   = 16 // units of distance in one cell
	// reach is the largest distance kept, in units. Cells beyond it are far from
	// any stroke that weight and contours can produce.
	reach = 15 * cellUnits
)

// field is a digit of one typeface.
type field struct {
	width    int // cells from the digit's leftmost to its rightmost stroke
	distance [fieldSize * fieldSize]int16
}

// at returns the distance at (u, v), in cells as 48.16 fixed point, interpolated
// between cell centres. Positive is inside the glyph.
func (f *field) at(u, v int64) int {
	u -= one / 2
	v -= one / 2
	x, y := int(u>>16), int(v>>16)
	if x < 0 || y < 0 || x >= fieldSize-1 || y >= fieldSize-1 {
		return -reach
	}
	fx, fy := int(u>>8&255), int(v>>8&255)
	d := f.distance[y*fieldSize+x:]
	top := int(d[0])*(256-fx) + int(d[1])*fx
	foot := int(d[fieldSize])*(256-fx) + int(d[fieldSize+1])*fx
	return (top*(256-fy) + foot*fy) >> 16
}

// typeface holds the ten digits of one font.
type typeface [Classes]field

// outlines lists the vector fonts.
var outlines = []struct {
	name string
	ttf  []byte
}{
	{"Go Regular", goregular.TTF},
	{"Go Italic", goitalic.TTF},
	{"Go Medium", gomedium.TTF},
	{"Go Medium Italic", gomediumitalic.TTF},
	{"Go Bold", gobold.TTF},
	{"Go Bold Italic", gobolditalic.TTF},
	{"Go Mono", gomono.TTF},
	{"Go Mono Italic", gomonoitalic.TTF},
	{"Go Mono Bold", gomonobold.TTF},
	{"Go Mono Bold Italic", gomonobolditalic.TTF},
	{"Go Smallcaps", gosmallcaps.TTF},
}

// bitmaps lists the fonts made of pixels; enlarged, they look like numbers
// stencilled or assembled from tiles.
var bitmaps = []struct {
	name string
	face *basicfont.Face
}{
	{"Inconsolata 8x16", inconsolata.Regular8x16},
	{"Inconsolata Bold 8x16", inconsolata.Bold8x16},
	{"Fixed 7x13", basicfont.Face7x13},
}

// typefaces returns every font's digits, made on first use.
var typefaces = sync.OnceValue(func() []typeface {
	all, err := loadTypefaces()
	if err != nil {
		// The fonts are compiled into the program and a test loads them all, so
		// this is a broken build and not something a caller could handle.
		panic(err)
	}
	return all
})

func loadTypefaces() ([]typeface, error) {
	all := make([]typeface, 0, len(outlines)+len(bitmaps))
	for _, o := range outlines {
		f, err := sfnt.Parse(o.ttf)
		if err != nil {
			return nil, fmt.Errorf("digits: font %s: %w", o.name, err)
		}
		var face typeface
		for digit := range face {
			if face[digit], err = outlineField(f, rune('0'+digit)); err != nil {
				return nil, fmt.Errorf("digits: font %s, digit %d: %w", o.name, digit, err)
			}
		}
		all = append(all, face)
	}
	for _, b := range bitmaps {
		var face typeface
		for digit := range face {
			var err error
			if face[digit], err = bitmapField(b.face, rune('0'+digit)); err != nil {
				return nil, fmt.Errorf("digits: font %s, digit %d: %w", b.name, digit, err)
			}
		}
		all = append(all, face)
	}
	return all, nil
}

// mask says which cells of a field are inside the glyph.
type mask [fieldSize * fieldSize]bool

// point is in 26.6 fixed point.
type point struct{ x, y int64 }

// outlineField fills a glyph's outline by the non-zero winding rule. It is done
// here in integers, because the rasteriser of x/image/vector works in float32
// and may round differently where multiply and add are fused.
func outlineField(f *sfnt.Font, r rune) (field, error) {
	var buffer sfnt.Buffer
	glyph, err := f.GlyphIndex(&buffer, r)
	if err != nil {
		return field{}, err
	}
	if glyph == 0 {
		return field{}, fmt.Errorf("the font has no glyph for %q", r)
	}
	// A digit is about 0.72 em tall in all of these fonts; loading it larger
	// than needed keeps the rounding of the outline under a hundredth of a cell.
	const load = 512
	segments, err := f.LoadGlyph(&buffer, glyph, fixed.I(load), nil)
	if err != nil {
		return field{}, err
	}
	box := segments.Bounds()
	height := int64(box.Max.Y - box.Min.Y)
	if height <= 0 {
		return field{}, fmt.Errorf("the glyph for %q is empty", r)
	}
	// place moves the middle of the glyph to the middle of the field and scales
	// its height to glyphHeight cells.
	place := func(p fixed.Point26_6) point {
		const scale = glyphHeight * 64
		return point{
			x: fieldCentre*64 + (2*int64(p.X)-int64(box.Min.X+box.Max.X))*scale/(2*height),
			y: fieldCentre*64 + (2*int64(p.Y)-int64(box.Min.Y+box.Max.Y))*scale/(2*height),
		}
	}
	// winding[row][column] changes by the direction of each edge that crosses
	// the row's middle left of that column's centre.
	var winding [fieldSize][fieldSize + 1]int8
	edge := func(a, b point) {
		direction := int8(1)
		if a.y > b.y {
			a, b, direction = b, a, -1
		}
		for row := range int64(fieldSize) {
			y := row*64 + 32
			if y < a.y || y >= b.y {
				continue
			}
			x := a.x + (b.x-a.x)*(y-a.y)/(b.y-a.y)
			winding[row][min(max((x+31)>>6, 0), fieldSize)] += direction
		}
	}
	var start, pen point
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			edge(pen, start)
			start = place(s.Args[0])
			pen = start
		case sfnt.SegmentOpLineTo:
			to := place(s.Args[0])
			edge(pen, to)
			pen = to
		case sfnt.SegmentOpQuadTo:
			from, control, to := pen, place(s.Args[0]), place(s.Args[1])
			const steps = 16
			for i := int64(1); i <= steps; i++ {
				a, b, c := (steps-i)*(steps-i), 2*i*(steps-i), i*i
				next := point{
					x: (a*from.x + b*control.x + c*to.x) / (steps * steps),
					y: (a*from.y + b*control.y + c*to.y) / (steps * steps),
				}
				edge(pen, next)
				pen = next
			}
		default:
			return field{}, fmt.Errorf("the glyph for %q has a cubic curve; only TrueType outlines are drawn", r)
		}
	}
	edge(pen, start)
	var m mask
	for row := range fieldSize {
		sum := int8(0)
		for column := range fieldSize {
			sum += winding[row][column]
			m[row*fieldSize+column] = sum != 0
		}
	}
	return newField(&m)
}

// bitmapField enlarges a glyph of a bitmap font to the height of a field.
func bitmapField(face *basicfont.Face, r rune) (field, error) {
	_, pixels, corner, _, ok := face.Glyph(fixed.P(0, 0), r)
	if !ok {
		return field{}, fmt.Errorf("the font has no glyph for %q", r)
	}
	const threshold = 0x8000 // half of the 16-bit alpha that Color.RGBA returns
	inked := func(x, y int) bool {
		_, _, _, a := pixels.At(corner.X+x, corner.Y+y).RGBA()
		return a >= threshold
	}
	var box image.Rectangle
	for y := range face.Height {
		for x := range face.Width {
			if inked(x, y) {
				box = box.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if box.Empty() {
		return field{}, fmt.Errorf("the glyph for %q is empty", r)
	}
	height, width := box.Dy(), box.Dx()
	var m mask
	left := fieldCentre - width*glyphHeight/height/2
	for row := range glyphHeight {
		y := row * height / glyphHeight
		for column := range width * glyphHeight / height {
			x := column * height / glyphHeight
			m[(row+fieldCentre-glyphHeight/2)*fieldSize+column+left] = inked(box.Min.X+x, box.Min.Y+y)
		}
	}
	return newField(&m)
}

// newField measures each cell's distance to the nearest cell on the other side
// of the outline.
func newField(m *mask) (field, error) {
	var f field
	left, right := fieldSize, -1
	for i, inside := range m {
		if inside {
			left, right = min(left, i%fieldSize), max(right, i%fieldSize)
		}
	}
	if right < 0 {
		return field{}, fmt.Errorf("no cell is inside the glyph")
	}
	f.width = right - left + 1
	// Along each row, how many cells it is to the nearest one inside the glyph
	// and to the nearest one outside; far where there is none.
	const far = reach/cellUnits + 1
	var along [2][fieldSize * fieldSize]int
	for kind := range along {
		wanted := kind == 1
		for row := 0; row < len(m); row += fieldSize {
			steps := far
			for x := range fieldSize {
				steps = min(steps+1, far)
				if m[row+x] == wanted {
					steps = 0
				}
				along[kind][row+x] = steps
			}
			steps = far
			for x := fieldSize - 1; x >= 0; x-- {
				steps = min(steps+1, far)
				if m[row+x] == wanted {
					steps = 0
				}
				along[kind][row+x] = min(along[kind][row+x], steps)
			}
		}
	}
	for y := range fieldSize {
		for x := range fieldSize {
			i := y*fieldSize + x
			beyond := &along[1]
			if m[i] {
				beyond = &along[0]
			}
			nearest := far * far
			for v := max(y-far, 0); v <= min(y+far, fieldSize-1); v++ {
				steps := beyond[v*fieldSize+x]
				nearest = min(nearest, (v-y)*(v-y)+steps*steps)
			}
			// The outline runs half a cell from the centre of the nearest cell
			// beyond it. Sqrt is correctly rounded on every platform.
			d := min(int(math.Sqrt(float64(nearest*cellUnits*cellUnits)))-cellUnits/2, reach)
			if !m[i] {
				d = -d
			}
			f.distance[i] = int16(d)
		}
	}
	return f, nil
}
