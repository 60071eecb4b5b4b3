package digits

// The odds and sizes below set how hard the images are. With them a WRN-16-2
// that has seen 24,000 images reads 98 in 100 new ones, and a WRN-10-1 that has
// seen 500 for as many steps as a demonstration has time for reads 75 to 80.

// compose draws one scene with the given digit in the middle.
func compose(s *stream, digit int) *canvas {
	var p canvas
	wall := wallColour(s)
	wallpaper(s, &p, wall)
	clutter(s, &p, s.below(3))
	number(s, &p, digit, wall)
	if s.chance(20) {
		occlude(s, &p)
	}
	p.light(s.between(200, 270), s.either(50), s.either(50))
	if s.chance(25) {
		p.coarsen(s.between(17, 26))
	}
	soft := s.between(0, 1)
	p.blur(soft+s.below(2), soft+s.below(2))
	p.noise(s, s.between(1, 6), s.between(1, 6))
	return &p
}

// wallColour draws the background: a brightness and a tint around it.
func wallColour(s *stream) colour {
	grey, tint := s.between(35, 145), s.between(5, 45)
	var c colour
	for k := range c {
		c[k] = (grey + s.either(tint)) * level
	}
	return c
}

// wallpaper fills the canvas with the wall: a ramp and one of four textures.
func wallpaper(s *stream, p *canvas, wall colour) {
	p.gradient(wall, wall.shift(s.either(40)), s.either(16), s.either(16))
	switch s.below(4) {
	case 0: // plain
	case 1:
		p.mottle(s, s.between(3, 9), s.between(8, 26))
	case 2:
		period := s.between(3*16, 10*16)
		p.stripes(s.either(16), s.either(16), period, period/s.between(2, 5), s.below(period), s.either(26))
	case 3:
		width, height := s.between(7, 16), s.between(4, 9)
		p.bricks(width, height, s.below(width), s.below(height), s.either(45))
		p.mottle(s, s.between(4, 8), s.between(5, 15))
	}
}

// clutter draws n bars and discs of any colour anywhere.
func clutter(s *stream, p *canvas, n int) {
	for range n {
		c, alpha := wallColour(s), s.between(60, 160)
		x, y := int64(s.below(Size))*one, int64(s.below(Size))*one
		if s.chance(65) {
			p.bar(x, y, turn(int64(s.either(64)), 64), s.between(12, 64), s.between(4, 30), c, alpha)
		} else {
			p.disc(x, y, s.between(2, 7), c, alpha)
		}
	}
}

// occlude lays a bar across the digit: a railing, a cable, a leaf.
func occlude(s *stream, p *canvas) {
	x := int64(s.between(9, 23)) * one
	y := int64(s.between(7, 25)) * one
	p.bar(x, y, turn(int64(s.either(64)), 64), s.between(16, 44), s.between(5, 30), wallColour(s), s.between(150, 256))
}

// pose is how the digits of one number sit on the image: the inverse of an
// affine map with a bend.
type pose struct {
	turn   rotation
	height int   // of a digit in 1/16 pixel
	aspect int   // of width to the font's own, in percent
	shear  int64 // 48.16
	bendX  int64 // 48.16 cells per squared pixel
	bendY  int64
	weight int // added to distances, in field units: thin below zero, bold above
}

// number draws the digit in the middle with its neighbours, all of one font,
// pose and paint, as on a house.
func number(s *stream, p *canvas, digit int, wall colour) {
	faces := typefaces()
	face := &faces[s.below(len(faces))]
	h := s.between(17*16, 25*16)
	q := pose{
		turn:   turn(int64(s.either(7)), 64), // half angle: up to 12 degrees
		height: h,
		aspect: s.between(70, 125),
		shear:  int64(s.either(one / 8)),
		bendX:  int64(s.either(one / 50)),
		bendY:  int64(s.either(one / 50)),
		weight: s.between(-cellUnits/2, 4*cellUnits),
	}
	paint := paintFor(s, wall)
	cx := int64(Size/2)*one + int64(s.either(3*one/2))
	cy := int64(Size/2)*one + int64(s.either(5*one/2))
	type placed struct {
		glyph  *field
		cx, cy int64
	}
	middle := &face[digit]
	row := []placed{{middle, cx, cy}}
	for _, side := range []int64{-1, 1} {
		if !s.chance(50) {
			continue
		}
		next := &face[s.below(Classes)]
		// Centres are half of each width apart, and a gap, along the baseline.
		cells := int64(middle.width+next.width) * one / 2
		gap := int64(s.between(1, 4)) * one
		apart := side * (cells*int64(h)/16/glyphHeight*int64(q.aspect)/100 + gap)
		row = append(row, placed{next, cx + q.turn.cos*apart>>16, cy + q.turn.sin*apart>>16})
	}
	if s.chance(20) {
		shade := wall.shift(s.either(90))
		dx, dy := int64(s.either(2*one)), int64(s.either(2*one))
		for _, g := range row {
			p.glyph(g.glyph, g.cx+dx, g.cy+dy, &q, shade, s.between(90, 200))
		}
	}
	alpha := s.between(190, 256)
	contour := s.chance(10)
	for _, g := range row {
		if contour {
			fat := q
			fat.weight = q.weight + 3*cellUnits
			p.glyph(g.glyph, g.cx, g.cy, &fat, paint, alpha)
			thin := q
			thin.weight = q.weight - 2*cellUnits
			p.glyph(g.glyph, g.cx, g.cy, &thin, wall, alpha)
			continue
		}
		p.glyph(g.glyph, g.cx, g.cy, &q, paint, alpha)
	}
}

// paintFor draws a colour that stands out from the wall, sometimes hardly.
func paintFor(s *stream, wall colour) colour {
	contrast := s.between(55, 165)
	if s.chance(8) {
		contrast = s.between(14, 45) // faded
	}
	grey := (wall[0] + wall[1] + wall[2]) / (3 * level)
	// Light paint on a dark wall is the common case. The side with too little
	// room for the contrast is never taken.
	up := s.chance(80)
	if grey+contrast > 255 {
		up = false
	} else if grey < contrast {
		up = true
	}
	if !up {
		contrast = -contrast
	}
	c := wall.shift(contrast)
	tint := s.between(0, 28)
	for k := range c {
		c[k] += s.either(tint) * level
	}
	return c
}

// glyph paints one digit with its middle at (cx, cy), in pixels as 48.16.
func (p *canvas) glyph(f *field, cx, cy int64, q *pose, c colour, alpha int) {
	// Cells per pixel, 48.16.
	scaleY := int64(glyphHeight*16) * one / int64(q.height)
	scaleX := scaleY * 100 / int64(q.aspect)
	for y := range Size {
		for x := range Size {
			px, py := int64(x)*one+one/2-cx, int64(y)*one+one/2-cy
			u := (q.turn.cos*px + q.turn.sin*py) >> 16
			v := (q.turn.cos*py - q.turn.sin*px) >> 16
			bu, bv := u>>8, v>>8 // 1/256 pixel: squares below stay 48.16
			u += q.shear * v >> 16
			u = u*scaleX>>16 + q.bendX*(bv*bv)>>16
			v = v*scaleY>>16 + q.bendY*(bu*bu)>>16
			d := f.at(u+fieldCentre*one, v+fieldCentre*one) + q.weight
			// Distance in 1/256 pixel: units/16 cells, times height/16/64 pixels a cell.
			cover := min(max(128+d*q.height/glyphHeight, 0), 256)
			if cover > 0 {
				p.blend(y*Size+x, c, alpha*cover>>8)
			}
		}
	}
}
