package kernel

import "slices"

// weightChunks is the number of parts that the pixels are cut into, each with
// sums of its own that are added up at the end. It is a constant, not the
// number of workers, so that the result does not depend on the machine.
const weightChunks = 8

// weightSums bounds the memory of those sums: 4 MiB of float32.
const weightSums = 1 << 20

// weightGrad computes the derivative of a convolution by its weights: for each
// block of pixels, products of all output channels with runs of source
// elements are added to a chunk's sums.
type weightGrad[T Float] struct {
	m     *micro[T]
	shape ConvShape
	src   window
	oh    int
	depth int // weights of an output channel

	images, rows  int // of a block
	groups, bands int // blocks of images, of rows
	table         []rankRow
	cols          int
	each          bool // depthwise: units are taps, and the sums [R·S, C]
	xStep, dyStep int
	flat          bool // one row of the table stands for a whole block

	dyOff, dstOff []int // of each unit: an output channel
	unitCount     []int // output channels of each tile of units, filled up by repeating the last
	groupTiles    int   // tiles of units in a group
	columns       []columnTile
	chunks        int
	parts         int // the tiles of units of a chunk are shared out to as many items
	sums          int // elements of a chunk's sums
	buffer        int
	tile          int
	tileAt        []int

	x, dy, dst   []T
	chunkMemory  []T
	workerMemory []T
}

// columnTile is some weights that stand in a row: those of consecutive source
// elements.
type columnTile struct {
	src, dst int // offset in the window from a pixel's origin, and in a row of the sums
	dy       int // offset in dy
	cols     int
	width    int // at least cols; what is over is computed and dropped
}

func convBackwardWeights[T Float](m *micro[T], s ConvShape) ConvPlan[T] {
	s = s.flat()
	oh, ow := s.Out()
	cg, kg := s.C/s.Groups, s.K/s.Groups
	each := s.depthwise()
	if each {
		m = microForEach(m, s.C)
	}
	g := &weightGrad[T]{m: m, shape: s, oh: oh, depth: s.R * s.S * cg, cols: ow, each: each}
	wide := (ow-1)*s.Stride[1] + (s.S-1)*s.Dilation[1] + 1
	g.images, g.rows = block(s.N, oh, ow, s.Stride[0]*wide*s.C+ow*s.K)
	g.groups, g.bands = (s.N+g.images-1)/g.images, (oh+g.rows-1)/g.rows
	g.src = window{
		h: s.H, w: s.W, c: s.C, top: -s.Pad[0], left: -s.Pad[1],
		rows: (g.rows-1)*s.Stride[0] + (s.R-1)*s.Dilation[0] + 1, cols: wide, step: g.rows * s.Stride[0],
	}

	g.src.direct = s.Pad == [4]int{}
	if each {
		g.tileEach()
	} else {
		g.tileAll(cg, kg)
	}
	row, image := g.src.strides()
	g.xStep, g.dyStep = s.Stride[1]*s.C, s.K
	g.flat = s.pointwise() && s.N == 1 && s.W == 1
	if g.flat {
		g.xStep, g.table = s.C, []rankRow{{}}
	} else {
		for e := range g.images {
			for u := range g.rows {
				g.table = append(g.table, rankRow{x: e*image + u*s.Stride[0]*row, dy: (e*oh + u) * ow * s.K})
			}
		}
	}

	if !g.src.direct {
		g.buffer = g.images*g.src.rows*g.src.cols*s.C + m.columns[0] // a tile may read on behind the last pixel
	}
	g.tile = m.units * m.columns[0]
	for i := range m.units {
		g.tileAt = append(g.tileAt, i*m.columns[0])
	}
	blocks := g.groups * g.bands
	g.chunks = max(1, min(weightChunks, blocks, weightSums/g.sums))
	g.parts = max(1, min(len(g.unitCount), 2*Workers()/g.chunks, s.MACs()/itemMACs/g.chunks))

	work := NewJob(g.chunks*g.parts, g.item)
	if s.MACs() < itemMACs {
		work = NewJob(1, func(worker, _ int) {
			for i := range g.chunks * g.parts {
				g.item(worker, i)
			}
		})
	}
	weights := s.K * s.R * s.S * cg
	total := NewLoop(weights, max(1<<12, weights/(4*Workers())), g.total)
	return ConvPlan[T]{
		Scratch: g.chunks*g.sums + Workers()*(g.buffer+g.tile),
		Run: func(dst, a, b, scratch []T) error {
			g.dst, g.x, g.dy = dst, a, b
			g.chunkMemory, g.workerMemory = scratch[:g.chunks*g.sums], scratch[g.chunks*g.sums:]
			err := work.Run()
			if err == nil {
				err = total.Run()
			}
			g.dst, g.x, g.dy, g.chunkMemory, g.workerMemory = nil, nil, nil, nil, nil
			return err
		},
	}
}

// tileAll cuts the weights into tiles of units and columns.
func (g *weightGrad[T]) tileAll(cg, kg int) {
	s, m := &g.shape, g.m
	taps, run := s.S, cg
	if s.Groups == 1 && s.Dilation[1] == 1 {
		taps, run = 1, s.S*cg // neighbouring taps read consecutive elements
	}
	widths := tileWidths(run, m.columns)
	if run != sum(widths) {
		g.src.direct = false // tiles read beyond their run
	}
	row, _ := g.src.strides()
	for r := range s.R {
		for t := range taps {
			at := 0
			for _, w := range widths {
				g.columns = append(g.columns, columnTile{
					src:   r*s.Dilation[0]*row + t*s.Dilation[1]*s.C + at,
					dst:   (r*s.S+t)*cg + at,
					cols:  min(w, run-at),
					width: w,
				})
				at += w
			}
		}
	}
	// The sums of a chunk end with a row that takes what surplus units add.
	surplus := s.K * g.depth
	g.sums = surplus + g.depth + m.columns[0]
	for group := range s.Groups {
		for k := 0; k < kg; k += m.units {
			count := min(m.units, kg-k)
			g.unitCount = append(g.unitCount, count)
			for i := range m.units {
				channel := group*kg + k + min(i, count-1)
				g.dyOff = append(g.dyOff, channel)
				if i < count {
					g.dstOff = append(g.dstOff, channel*g.depth)
				} else {
					g.dstOff = append(g.dstOff, surplus)
				}
			}
		}
	}
	g.groupTiles = len(g.unitCount) / s.Groups
}

// tileEach cuts the weights of a depthwise convolution: units are taps, whose
// offset in the source takes the place of that in dy, columns are channels.
func (g *weightGrad[T]) tileEach() {
	s, m := &g.shape, g.m
	at := 0
	for _, w := range m.panels(s.C, true) {
		g.columns = append(g.columns, columnTile{src: at, dst: at, dy: at, cols: w, width: w})
		at += w
	}
	row, _ := g.src.strides()
	taps := s.R * s.S
	g.depth = s.C
	surplus := taps * g.depth
	g.sums = surplus + g.depth
	for t := 0; t < taps; t += m.units {
		count := min(m.units, taps-t)
		g.unitCount = append(g.unitCount, count)
		for i := range m.units {
			tap := t + min(i, count-1)
			g.dyOff = append(g.dyOff, tap/s.S*s.Dilation[0]*row+tap%s.S*s.Dilation[1]*s.C)
			if i < count {
				g.dstOff = append(g.dstOff, tap*g.depth)
			} else {
				g.dstOff = append(g.dstOff, surplus)
			}
		}
	}
	g.groupTiles = len(g.unitCount)
}

// block says how n images of h rows are cut into the blocks whose products are
// added at once: enough pixels to be worth reading and writing the sums, few
// enough that the second cache level holds what is read.
func block(n, h, rowPixels, rowElements int) (images, rows int) {
	const elements, pixels = 16 << 10, 128
	if h*rowElements > elements {
		return 1, min(h, max(elements/max(rowElements, 1), (pixels+rowPixels-1)/rowPixels))
	}
	return max(1, min(n, pixels/(h*rowPixels), elements/(h*rowElements))), h
}

// tileWidths returns widths that cover n columns with the least surplus, and
// among those the most wide ones.
func tileWidths(n int, widths [2]int) []int {
	wide, narrow := widths[0], widths[1]
	most := (n + wide - 1) / wide
	best := most
	surplus := most*wide - n
	for a := most - 1; a >= 0; a-- {
		b := (n - a*wide + narrow - 1) / narrow
		if over := a*wide + b*narrow - n; over < surplus {
			best, surplus = a, over
		}
	}
	tiles := slices.Repeat([]int{wide}, best)
	for left := n - best*wide; left > 0; left -= narrow {
		tiles = append(tiles, narrow)
	}
	return tiles
}

// sum returns the sum of s.
func sum(s []int) (n int) {
	for _, v := range s {
		n += v
	}
	return n
}

// item adds up one chunk of the blocks for some of the tiles of units.
func (g *weightGrad[T]) item(worker, i int) {
	chunk, part := i/g.parts, i%g.parts
	from, to := part*len(g.unitCount)/g.parts, (part+1)*len(g.unitCount)/g.parts
	sums := g.chunkMemory[chunk*g.sums:][:g.sums]
	for t := from; t < to; t++ {
		clear(sums[g.dstOff[t*g.m.units]:][:g.unitCount[t]*g.depth])
	}
	mine := g.workerMemory[worker*(g.buffer+g.tile):]
	buf, tmp := mine[:g.buffer], mine[g.buffer:][:g.tile]
	s := &g.shape

	blocks := g.groups * g.bands
	for b := chunk * blocks / g.chunks; b < (chunk+1)*blocks/g.chunks; b++ {
		n, band := b/g.bands*g.images, b%g.bands
		images, rows := min(g.images, s.N-n), min(g.rows, g.oh-band*g.rows)
		x := load(&g.src, buf, g.x, n, images, band)
		dy := g.dy[(n*g.oh+band*g.rows)*g.cols*s.K:]
		table, cols := g.table, g.cols
		if g.flat {
			cols = rows
		} else {
			table = table[:images*rows]
		}
		for t := from; t < to; {
			group := t / g.groupTiles
			end := min(to, (group+1)*g.groupTiles)
			offset := group * (s.C / s.Groups)
			if g.each {
				offset = 0
			}
			g.add(sums, x[offset:], dy, tmp, t, end, table, cols)
			t = end
		}
	}
}

// total adds up the chunks' sums of weights from and up to to.
func (g *weightGrad[T]) total(from, to int) {
	out := g.dst[from:to]
	if g.each {
		taps := g.shape.R * g.shape.S
		for i := range out {
			at := (from+i)%taps*g.depth + (from+i)/taps
			out[i] = g.chunkMemory[at]
			for c := 1; c < g.chunks; c++ {
				out[i] += g.chunkMemory[c*g.sums+at]
			}
		}
		return
	}
	copy(out, g.chunkMemory[from:to])
	for c := 1; c < g.chunks; c++ {
		Add(out, out, g.chunkMemory[c*g.sums+from:])
	}
}

// add adds the products of a block for the tiles of units from and up to to,
// which are of one group. Column by column, so that the source elements of one
// stay in the first cache level while all units pass over them.
func (g *weightGrad[T]) add(sums, x, dy, tmp []T, from, to int, table []rankRow, cols int) {
	u := g.m.units
	for i := range g.columns {
		c := &g.columns[i]
		if g.each {
			g.m.eachRank(c.width, sums[c.dst:], x[c.src:], dy[c.dy:], g.dyOff[from*u:to*u], g.dstOff[from*u:to*u], table, cols, g.xStep, g.dyStep)
			continue
		}
		if c.cols == c.width {
			g.m.rank(c.width, sums[c.dst:], x[c.src:], dy, g.dyOff[from*u:to*u], g.dstOff[from*u:to*u], table, cols, g.xStep, g.dyStep)
			continue
		}
		for t := from; t < to; t++ {
			clear(tmp)
			g.m.rank(c.width, tmp, x[c.src:], dy, g.dyOff[t*u:(t+1)*u], g.tileAt, table, cols, g.xStep, g.dyStep)
			for k := range g.unitCount[t] {
				out := sums[g.dstOff[t*u+k]+c.dst:][:c.cols]
				for j, v := range tmp[g.tileAt[k]:][:c.cols] {
					out[j] += v
				}
			}
		}
	}
}
