package digits

// one is 1 in 48.16 fixed point, in which coordinates and matrices are kept.
const one = 1 << 16

// level is the fineness of a canvas: 16 levels per step of a byte, so that
// blending, light and blur do not gather rounding errors.
const level = 16

// colour is red, green, blue in levels, nominally 0 to 255*level.
type colour [Channels]int

// shift returns the colour with d bytes added to every channel.
func (c colour) shift(d int) colour {
	for k := range c {
		c[k] += d * level
	}
	return c
}

// canvas is an image being drawn. Values may leave the range of a byte while
// drawing; store clips them.
type canvas [Size * Size]colour

// blend covers pixel i with c; alpha runs from 0 to 256.
func (p *canvas) blend(i int, c colour, alpha int) {
	for k := range c {
		p[i][k] += (c[k] - p[i][k]) * alpha >> 8
	}
}

// store writes the canvas as bytes, [Size, Size, Channels].
func (p *canvas) store(pixels []uint8) {
	for i, c := range p {
		for k, v := range c {
			pixels[i*Channels+k] = uint8(min(max((v+level/2)/level, 0), 255))
		}
	}
}

// gradient fills the canvas with a ramp from one colour to another. The
// direction (dx, dy) is in steps of 1/16 of the whole ramp per canvas side.
func (p *canvas) gradient(from, to colour, dx, dy int) {
	for y := range Size {
		for x := range Size {
			alpha := min(max(128+(dx*(2*x-Size+1)+dy*(2*y-Size+1))/4, 0), 256)
			i := y*Size + x
			p[i] = from
			p.blend(i, to, alpha)
		}
	}
}

// mottle adds value noise: random brightness at the knots of a grid with the
// given spacing in pixels, interpolated between them. Amplitude is in bytes.
func (p *canvas) mottle(s *stream, spacing, amplitude int) {
	const most = Size/2 + 2
	var knots [most][most]int
	side := Size/spacing + 2
	for v := range side {
		for u := range side {
			knots[v][u] = s.either(amplitude * level)
		}
	}
	for y := range Size {
		v, fy := y/spacing, y%spacing
		for x := range Size {
			u, fx := x/spacing, x%spacing
			top := knots[v][u]*(spacing-fx) + knots[v][u+1]*fx
			foot := knots[v+1][u]*(spacing-fx) + knots[v+1][u+1]*fx
			d := (top*(spacing-fy) + foot*fy) / (spacing * spacing)
			for k := range Channels {
				p[y*Size+x][k] += d
			}
		}
	}
}

// stripes adds d bytes to bands of the given width, repeated every period,
// all in 1/16 pixel along the direction (dx, dy) in 1/16.
func (p *canvas) stripes(dx, dy, period, width, phase, d int) {
	for y := range Size {
		for x := range Size {
			_, place := floorDiv(dx*x+dy*y+phase, period)
			if place < width {
				p[y*Size+x] = p[y*Size+x].shift(d)
			}
		}
	}
}

// bricks adds d bytes to the joints of a brick wall with bricks of the given
// size in pixels, every second row moved by half a brick.
func (p *canvas) bricks(width, height, phaseX, phaseY, d int) {
	for y := range Size {
		row, fy := floorDiv(y+phaseY, height)
		for x := range Size {
			_, fx := floorDiv(x+phaseX+row%2*width/2, width)
			if fy == 0 || fx == 0 {
				p[y*Size+x] = p[y*Size+x].shift(d)
			}
		}
	}
}

// bar draws a straight bar through (cx, cy), given in pixels as 48.16. Its
// direction is turn, its thickness in 1/16 pixel, its ends are length pixels
// from the middle.
func (p *canvas) bar(cx, cy int64, turn rotation, thickness, length int, c colour, alpha int) {
	for y := range Size {
		for x := range Size {
			px, py := int64(x)*one+one/2-cx, int64(y)*one+one/2-cy
			along := (turn.cos*px + turn.sin*py) >> 16
			across := (turn.cos*py - turn.sin*px) >> 16
			// How far the pixel's centre is inside the bar, in 1/256 pixel.
			inside := min(int64(thickness)*8-abs(across)>>8, int64(length)*256-abs(along)>>8)
			p.blend(y*Size+x, c, alpha*int(min(max(128+inside, 0), 256))>>8)
		}
	}
}

// disc draws a filled circle; centre in pixels as 48.16, radius in pixels.
func (p *canvas) disc(cx, cy int64, radius int, c colour, alpha int) {
	for y := range Size {
		for x := range Size {
			px, py := (int64(x)*one+one/2-cx)>>12, (int64(y)*one+one/2-cy)>>12 // in 1/16 pixel
			r := int64(radius) * 16
			// (r² - d²)/2r is the distance to the rim, near the rim.
			inside := (r*r - px*px - py*py) * 16 / (2 * r)
			p.blend(y*Size+x, c, alpha*int(min(max(128+inside, 0), 256))>>8)
		}
	}
}

// light multiplies the canvas by a ramp: gain in 1/256 at the middle, slopes in
// 1/256 per 16 pixels.
func (p *canvas) light(gain, slopeX, slopeY int) {
	for y := range Size {
		for x := range Size {
			g := gain + (slopeX*(2*x-Size+1)+slopeY*(2*y-Size+1))/32
			for k := range Channels {
				p[y*Size+x][k] = p[y*Size+x][k] * g >> 8
			}
		}
	}
}

// blur smooths by the kernel [1 2 1]/4, each pass adding half a squared pixel
// of variance along its axis. The canvas is continued by its border pixels.
func (p *canvas) blur(passesX, passesY int) {
	smooth := func(step, stride int) {
		for line := range Size {
			start := line * stride
			previous := p[start]
			for j := range Size {
				i := start + j*step
				here := p[i]
				next := p[start+min(j+1, Size-1)*step]
				for k := range Channels {
					p[i][k] = (previous[k] + 2*here[k] + next[k] + 2) >> 2
				}
				previous = here
			}
		}
	}
	for range passesX {
		smooth(1, Size)
	}
	for range passesY {
		smooth(Size, 1)
	}
}

// coarsen makes the canvas look like an enlarged image of side pixels: every
// pixel is interpolated between samples that far apart.
func (p *canvas) coarsen(side int) {
	var small canvas // side rows of side pixels, in its corner
	for v := range side {
		for u := range side {
			small[v*Size+u] = p.between(sample(u, Size, side), sample(v, Size, side))
		}
	}
	limit := (side - 1) << 8
	for y := range Size {
		for x := range Size {
			p[y*Size+x] = small.between(min(sample(x, side, Size), limit), min(sample(y, side, Size), limit))
		}
	}
}

// sample returns where pixel i of a row of count pixels lies in a row of extent
// pixels over the same length, in 1/256 pixel, not below the first centre.
func sample(i, extent, count int) int {
	return max((2*i+1)*extent*128/count-128, 0)
}

// between interpolates at (u, v) in 1/256 pixel.
func (p *canvas) between(u, v int) colour {
	x, y := min(u>>8, Size-1), min(v>>8, Size-1)
	x1, y1 := min(x+1, Size-1), min(y+1, Size-1)
	fx, fy := u&255, v&255
	var c colour
	for k := range c {
		top := p[y*Size+x][k]*(256-fx) + p[y*Size+x1][k]*fx
		foot := p[y1*Size+x][k]*(256-fx) + p[y1*Size+x1][k]*fx
		c[k] = (top*(256-fy) + foot*fy) >> 16
	}
	return c
}

// noise adds grain, in bytes of standard deviation: grey is shared by a
// pixel's channels, tint is each channel's own.
func (p *canvas) noise(s *stream, grey, tint int) {
	for i := range p {
		shared := s.bell(grey * level)
		for k := range Channels {
			p[i][k] += shared + s.bell(tint*level)
		}
	}
}

// rotation is a direction as 48.16 cosine and sine.
type rotation struct{ cos, sin int64 }

// turn returns the rotation whose half angle has the tangent p/q. The half-angle
// formulas are rational, so no sine is computed that platforms could round
// apart. q must not be zero.
func turn(p, q int64) rotation {
	n := p*p + q*q
	return rotation{cos: (q*q - p*p) * one / n, sin: 2 * p * q * one / n}
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}
