package kernel

// phase is a set of output pixels whose sums run over the same weights.
type phase struct {
	taps   []int // weights [R,S] used, in the order of the sum
	runs   []int // where runs of source elements begin, from a pixel's origin
	runLen int

	// Origin in the window and place in the result of each pixel of an item.
	srcOff, dstOff []int

	// Number of pixels of a full item and of the last one, and the offsets of
	// the tile that holds what is left over full tiles. It is filled up by
	// repeating the last pixel, which is then computed more than once.
	count    [2]int
	tailSrc  [2][]int
	tailDst  [2][]int
	leftOver [2]int
}

// panel is the weights of some output channels, packed.
type panel struct {
	group, phase int
	first, cols  int // output channels within the group
	width        int // cols, filled up with zeros
	at           int // where in the packed weights
}

// gather computes a convolution by summing, for each output pixel, the products
// of runs of source elements with packed weights.
type gather[T Float] struct {
	m      *micro[T]
	src    window
	n      int // images
	h, w   int // of the result
	c      int // channels of the result
	cg, kg int // channels of source and result in a group
	taps   int // R·S

	// each is true for a depthwise convolution. Panels are then of channels of
	// the source as well, and channels are not summed over.
	each bool

	images, rows  int // of an item
	groups, bands int // of images, of rows
	parts         int // the panels of an item are shared out to as many

	phases []phase
	bare   bool // some pixels are in no phase: no weight reaches them
	panels []panel
	packed int // elements
	buffer int // elements of a window
	tile   int // elements of a tile
	tileAt []int

	epilogue Epilogue
	biases   int // elements of the repeated bias
	sums     int // elements of an item's result, where it is kept apart

	dst, x, weights []T
	bias, add       []T
	panelMemory     []T
	biasMemory      []T
	workerMemory    []T
}

// finish lays out panels and memory and returns the plan. pack fills a panel's
// memory from the weights, with zeros where the panel is not full: sums with
// what lies there are dropped, but if it were denormal numbers they would be
// slow.
func (g *gather[T]) finish(convGroups, macs int, pack func(p *panel, b []T)) EpiloguePlan[T] {
	if g.each {
		convGroups, g.cg, g.kg = 1, 0, g.c
	}
	for group := range convGroups {
		for f := range g.phases {
			depth := len(g.phases[f].runs) * g.phases[f].runLen
			for _, width := range g.m.panels(g.kg, g.each) {
				first := 0
				if n := len(g.panels); n > 0 && g.panels[n-1].group == group && g.panels[n-1].phase == f {
					first = g.panels[n-1].first + g.panels[n-1].cols
				}
				g.panels = append(g.panels, panel{group, f, first, min(width, g.kg-first), width, g.packed})
				g.packed += depth * width
			}
		}
	}
	if !g.src.direct {
		g.buffer = g.images * g.src.rows * g.src.cols * g.src.c
	}
	g.tile = g.m.pixels * g.m.widths[0]
	for i := range g.m.pixels {
		g.tileAt = append(g.tileAt, i*g.m.widths[0])
	}

	items := g.groups * g.bands
	if want := 2 * Workers(); items < want {
		g.parts = min(len(g.panels), want/items, macs/itemMACs/items)
	}
	if g.bare {
		g.parts = 1 // an item clears its rows before it fills them
	}
	g.parts = max(g.parts, 1)

	packing := NewJob(len(g.panels), func(_, i int) {
		p := &g.panels[i]
		ph := &g.phases[p.phase]
		pack(p, g.panelMemory[p.at:][:len(ph.runs)*ph.runLen*p.width])
	})
	if g.packed < 1<<14 {
		// Too little to wake the workers for.
		all := packing.work
		packing = NewJob(1, func(worker, _ int) {
			for i := range g.panels {
				all(worker, i)
			}
		})
	}
	if g.epilogue.Bias {
		g.biases = biasPixels(g.c) * g.c
	}
	if g.epilogue.Add {
		// The result may be the memory of what is added to it.
		g.sums = g.images * g.rows * g.w * g.c
	}
	work := NewJob(items*g.parts, g.item)
	return EpiloguePlan[T]{
		Scratch: g.packed + g.biases + Workers()*(g.buffer+g.tile+g.sums),
		Run: func(dst, x, w, bias, add, scratch []T) error {
			g.dst, g.x, g.weights, g.bias, g.add = dst, x, w, bias, add
			g.panelMemory, scratch = scratch[:g.packed], scratch[g.packed:]
			g.biasMemory, g.workerMemory = scratch[:g.biases], scratch[g.biases:]
			for i := 0; i < g.biases; i += g.c {
				copy(g.biasMemory[i:], bias[:g.c])
			}
			err := packing.Run()
			if err == nil {
				err = work.Run()
			}
			g.dst, g.x, g.weights, g.bias, g.add = nil, nil, nil, nil, nil
			g.panelMemory, g.biasMemory, g.workerMemory = nil, nil, nil
			return err
		},
	}
}

// plain is the plan of a convolution without an epilogue.
func (p EpiloguePlan[T]) plain() ConvPlan[T] {
	return ConvPlan[T]{p.Scratch, func(dst, a, b, scratch []T) error { return p.Run(dst, a, b, nil, nil, scratch) }}
}

// biasPixels is for how many pixels of c channels a bias is repeated, so that
// it is added to long rows.
func biasPixels(c int) int { return max(1, 512/c) }

// item computes the output pixels of some rows of some images, or a part of
// their channels.
func (g *gather[T]) item(worker, i int) {
	part := i % g.parts
	i /= g.parts
	band, n := i%g.bands, i/g.bands*g.images
	images, shape := g.images, 0
	if n+images > g.n || (band+1)*g.rows > g.h {
		images, shape = min(images, g.n-n), 1
	}
	mine := g.workerMemory[worker*(g.buffer+g.tile+g.sums):]
	buf, tmp, dst := mine[:g.buffer], mine[g.buffer:][:g.tile], mine[g.buffer+g.tile:][:g.sums]
	src := load(&g.src, buf, g.x, n, images, band)
	first := (n*g.h + band*g.rows) * g.w * g.c
	size := images * min(g.rows, g.h-band*g.rows) * g.w * g.c
	if g.sums == 0 {
		dst = g.dst[first:]
	}
	if g.bare {
		clear(dst[:size])
	}

	from, to := part*len(g.panels)/g.parts, (part+1)*len(g.panels)/g.parts
	for i := range g.panels[from:to] {
		p := &g.panels[from+i]
		ph := &g.phases[p.phase]
		d, x, b := dst[p.group*g.kg+p.first:], src[p.group*g.cg:], g.panelMemory[p.at:]
		if g.each {
			x = src[p.first:]
		}
		full := ph.count[shape] - ph.leftOver[shape]
		g.sum(p, ph, d, x, b, tmp, ph.srcOff[:full], ph.dstOff[:full])
		if ph.leftOver[shape] > 0 {
			g.sum(p, ph, d, x, b, tmp, ph.tailSrc[shape], ph.tailDst[shape])
		}
	}
	if g.epilogue != (Epilogue{}) && from < to {
		p, q := &g.panels[from], &g.panels[to-1]
		g.end(dst[:size], first, p.group*g.kg+p.first, q.group*g.kg+q.first+q.cols)
	}
}

// end applies the epilogue to the sums of an item's channels from to to-1 and
// puts the result in its place, which begins at element first.
func (g *gather[T]) end(sums []T, first, from, to int) {
	dst := g.dst[first:][:len(sums)]
	var add []T
	if g.epilogue.Add {
		add = g.add[first:][:len(sums)]
	}
	step, length := g.c, to-from // some channels, one pixel at a time
	if length == g.c {
		step = len(sums)
		if g.epilogue.Bias {
			step = g.biases
		}
		length = step
	}
	for i := from; i < len(sums); i += step {
		j := min(i+length, len(sums))
		d, s := dst[i:j], sums[i:j]
		if g.epilogue.Bias {
			Add(s, s, g.biasMemory[from:])
		}
		if g.epilogue.Add {
			Add(d, s, add[i:j])
		}
		if g.epilogue.ReLU {
			ReLU(d, d)
		}
	}
}

// sum computes whole tiles, by way of tmp where the panel is not full.
func (g *gather[T]) sum(p *panel, ph *phase, dst, src, b, tmp []T, srcOff, dstOff []int) {
	switch {
	case len(srcOff) == 0:
		return
	case g.each:
		g.m.each(p.width, dst, src, b, srcOff, dstOff, ph.runs)
		return
	case p.cols == p.width:
		g.m.tile(p.width, dst, src, b, srcOff, dstOff, ph.runs, ph.runLen)
		return
	}
	for n := g.m.pixels; len(srcOff) > 0; srcOff, dstOff = srcOff[n:], dstOff[n:] {
		g.m.tile(p.width, tmp, src, b, srcOff[:n], g.tileAt, ph.runs, ph.runLen)
		for i, off := range dstOff[:n] {
			copy(dst[off:off+p.cols], tmp[g.tileAt[i]:])
		}
	}
}

// place gives a phase its pixels: those of an item that lie in the given rows
// and columns of the result, with the offset of each row's and each column's
// origin in the window.
func (g *gather[T]) place(ph *phase, rows, rowSrc, cols, colSrc []int) {
	_, image := g.src.strides()
	// The last item has fewer images, or fewer rows of one image.
	lastImages, lastRows := g.n-(g.groups-1)*g.images, g.h-(g.bands-1)*g.rows
	for e := range g.images {
		for i, u := range rows {
			for j, v := range cols {
				ph.srcOff = append(ph.srcOff, e*image+rowSrc[i]+colSrc[j])
				ph.dstOff = append(ph.dstOff, ((e*g.h+u)*g.w+v)*g.c)
				if e < lastImages && u < lastRows {
					ph.count[1]++
				}
			}
		}
	}
	ph.count[0] = len(ph.srcOff)
	for shape, n := range ph.count {
		left := n % g.m.pixels
		ph.leftOver[shape] = left
		for i := range g.m.pixels {
			if left > 0 {
				at := n - left + min(i, left-1)
				ph.tailSrc[shape] = append(ph.tailSrc[shape], ph.srcOff[at])
				ph.tailDst[shape] = append(ph.tailDst[shape], ph.dstOff[at])
			}
		}
	}
}

// merge tells the runs of a phase from the offsets of its taps' rows and
// columns. Neighbouring taps of a row read consecutive elements where the
// convolution has one group and no gaps.
func (ph *phase) merge(rows, cols []int, channels int, grouped bool) {
	joined := !grouped
	for i := 1; i < len(cols); i++ {
		joined = joined && cols[i] == cols[i-1]+channels
	}
	ph.runLen = channels
	if joined && len(cols) > 0 {
		ph.runLen *= len(cols)
		cols = cols[:1]
	}
	for _, r := range rows {
		for _, c := range cols {
			ph.runs = append(ph.runs, r+c)
		}
	}
}

// packEach packs a panel of a depthwise convolution.
func (g *gather[T]) packEach(p *panel, b []T) {
	for t, tap := range g.phases[p.phase].taps {
		for j := range p.cols {
			b[t*p.width+j] = g.weights[(p.first+j)*g.taps+tap]
		}
	}
}

func convForwardEpilogue[T Float](m *micro[T], s ConvShape, e Epilogue) EpiloguePlan[T] {
	s = s.flat()
	oh, ow := s.Out()
	each := s.depthwise()
	if each {
		m = microForEach(m, s.C)
	}
	g := &gather[T]{m: m, each: each, n: s.N, h: oh, w: ow, c: s.K, cg: s.C / s.Groups, kg: s.K / s.Groups, taps: s.R * s.S, epilogue: e}
	cols := (ow-1)*s.Stride[1] + (s.S-1)*s.Dilation[1] + 1
	g.images, g.rows = cut(s.N, oh, 1, ow, s.Stride[0]*cols*s.C, s.MACs()/(s.N*oh))
	g.groups, g.bands = (s.N+g.images-1)/g.images, (oh+g.rows-1)/g.rows
	g.src = window{
		h: s.H, w: s.W, c: s.C, top: -s.Pad[0], left: -s.Pad[1],
		rows: (g.rows-1)*s.Stride[0] + (s.R-1)*s.Dilation[0] + 1, cols: cols, step: g.rows * s.Stride[0],
	}
	g.src.direct = s.Pad == [4]int{}
	row, _ := g.src.strides()

	ph := phase{taps: count(s.R * s.S)}
	ph.merge(scaled(count(s.R), s.Dilation[0]*row), scaled(count(s.S), s.Dilation[1]*s.C), g.cg, s.Groups > 1)
	g.place(&ph, count(g.rows), scaled(count(g.rows), s.Stride[0]*row), count(ow), scaled(count(ow), s.Stride[1]*s.C))
	g.phases = []phase{ph}

	depth := s.R * s.S * g.cg
	return g.finish(s.Groups, s.MACs(), func(p *panel, b []T) {
		if g.each {
			g.packEach(p, b)
			return
		}
		for j := range p.width {
			if j >= p.cols {
				for d := range depth {
					b[d*p.width+j] = 0
				}
				continue
			}
			for d, v := range g.weights[(p.group*g.kg+p.first+j)*depth:][:depth] {
				b[d*p.width+j] = v
			}
		}
	})
}

// convBackwardData sums, for each pixel i of the image, over the output pixels
// p and the taps r with p·stride − pad + r·dilation = i. Which taps those are
// depends on i + pad modulo the stride: its phase. Within a phase p is u − t,
// with u and t counting pixels and taps in strides.
func convBackwardData[T Float](m *micro[T], s ConvShape) ConvPlan[T] {
	s = s.flat()
	oh, ow := s.Out()
	each := s.depthwise()
	if each {
		m = microForEach(m, s.C)
	}
	g := &gather[T]{m: m, each: each, n: s.N, h: s.H, w: s.W, c: s.C, cg: s.K / s.Groups, kg: s.C / s.Groups, taps: s.R * s.S}
	left, cols := reach(s.W, s.S, s.Stride[1], s.Dilation[1], s.Pad[1])
	// A band of rows reads as many rows of the output as there are strides in it.
	g.images, g.rows = cut(s.N, s.H, s.Stride[0], s.W, cols*s.K/s.Stride[0]+1, s.MACs()/(s.N*s.H))
	g.groups, g.bands = (s.N+g.images-1)/g.images, (s.H+g.rows-1)/g.rows
	top, rows := reach(g.rows, s.R, s.Stride[0], s.Dilation[0], s.Pad[0])
	g.src = window{h: oh, w: ow, c: s.K, top: top, left: left, rows: rows, cols: cols, step: g.rows / s.Stride[0]}
	_, all := reach(s.H, s.R, s.Stride[0], s.Dilation[0], s.Pad[0])
	g.src.direct = top >= 0 && left >= 0 && top+all <= oh && left+cols <= ow
	row, _ := g.src.strides()

	for fh := range s.Stride[0] {
		us, uOff := aligned(g.rows, fh, s.Stride[0], s.Pad[0])
		rs, rOff := taps(s.R, fh, s.Stride[0], s.Dilation[0])
		for fw := range s.Stride[1] {
			vs, vOff := aligned(s.W, fw, s.Stride[1], s.Pad[1])
			ss, sOff := taps(s.S, fw, s.Stride[1], s.Dilation[1])
			if len(us) == 0 || len(vs) == 0 {
				continue
			}
			if len(rs) == 0 || len(ss) == 0 {
				g.bare = true
				continue
			}
			var ph phase
			for _, r := range rs {
				for _, t := range ss {
					ph.taps = append(ph.taps, r*s.S+t)
				}
			}
			ph.merge(scaled(rOff, row), scaled(sOff, s.K), g.cg, s.Groups > 1)
			g.place(&ph, us, scaled(shifted(uOff, -top), row), vs, scaled(shifted(vOff, -left), s.K))
			g.phases = append(g.phases, ph)
		}
	}
	return g.finish(s.Groups, s.MACs(), func(p *panel, b []T) {
		if g.each {
			g.packEach(p, b)
			return
		}
		d := 0
		for _, tap := range g.phases[p.phase].taps {
			for k := range g.cg {
				row := b[d : d+p.width]
				d += p.width
				copy(row, g.weights[((p.group*g.cg+k)*g.taps+tap)*g.kg+p.first:][:p.cols])
				clear(row[p.cols:])
			}
		}
	}).plain()
}

// aligned returns the pixels of 0 to n-1 in a phase, and for each the number u
// of whole strides in it with padding.
func aligned(n, phase, stride, pad int) (at, u []int) {
	for i := range n {
		if a := i + pad; a%stride == phase {
			at, u = append(at, i), append(u, a/stride)
		}
	}
	return at, u
}

// taps returns the taps of 0 to n-1 in a phase, the last one first, and for
// each the negated number of whole strides to it.
func taps(n, phase, stride, dilation int) (at, t []int) {
	for r := n - 1; r >= 0; r-- {
		if a := r * dilation; a%stride == phase {
			at, t = append(at, r), append(t, -(a/stride))
		}
	}
	return at, t
}

// reach returns the first output pixel that pixels 0 to n-1 take part in, which
// may be negative, and the number from there to the last.
func reach(n, kernel, stride, dilation, pad int) (first, count int) {
	last, some := 0, false
	for i := range n {
		for r := range kernel {
			a := i + pad - r*dilation
			if a%stride != 0 {
				continue
			}
			if p := a / stride; !some {
				first, last, some = p, p, true
			} else {
				first, last = min(first, p), max(last, p)
			}
		}
	}
	return first, last - first + 1
}

// count returns 0 to n-1.
func count(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// scaled returns the elements of s times f.
func scaled(s []int, f int) []int {
	t := make([]int, len(s))
	for i, v := range s {
		t[i] = v * f
	}
	return t
}

// shifted returns the elements of s plus d.
func shifted(s []int, d int) []int {
	t := make([]int, len(s))
	for i, v := range s {
		t[i] = v + d
	}
	return t
}
