package kernel

// Convolutions of 3x3 with stride 1 by Winograd's minimal filtering: F(4x4, 3x3)
// computes a tile of 4x4 output pixels from the window of 6x6 pixels below it
// with 36 multiplications for each pair of channels in place of 144,
//
//	Y = Aᵀ [ Σ_c (G w Gᵀ) ⊙ (Bᵀ d B) ] A
//
// (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015).
// For each of the 36 elements, here called planes, the sum over channels is a
// product of two matrices, [tiles, C] and [C, K].
//
// Backward to the data is a convolution as well, with the weights turned around.
// Backward to the weights is the same bilinear form, transposed:
//
//	dw = Gᵀ [ Σ_tiles (A dy Aᵀ) ⊙ (Bᵀ d B) ] G
//
// Milliseconds for a batch of 128, two cores of a Zen 4 server, 2026-11, forward
// and backward weights, by tiles in AVX2 and by this in AVX2; backward data takes
// as long as forward. Plain Go gains 2.5 to 3 times.
//
//	16 to 16 channels, 32x32   3.5 4.4   1.2 1.3
//	32 to 32 channels, 16x16   3.0 4.3   1.0 1.2
//	64 to 64 channels, 8x8     3.0 3.6   0.9 1.3
//
// Sums are of other terms than in the definition, so they are rounded otherwise;
// winogradMicro says how much. A value that is not finite spreads to the tile.

// winograd is a convolution with 3x3 weights and stride 1 of images [n,h,w,c] to
// [n,oh,ow,k].
type winograd[T Float] struct {
	m          *winogradMicro[T]
	n, h, w, c int
	oh, ow, k  int
	top, left  int // padding

	down, right int     // tiles of an image
	tiles       int     // of all images
	inside      []uint8 // columns of the window that are in the image, a bit each, for each column of tiles
	within      []uint8 // number of columns of the tile that are in the result

	strip  int // tiles that are transformed and multiplied at once
	item   int // tiles of an item of work: some strips one after the other
	vPlane int // elements of a plane of transformed windows
	mPlane int // and of sums
	buffer int // elements of memory of a worker
	rows   [][winogradWindow]int

	zero     []T // a row of a window outside of the image
	epilogue Epilogue
	rotated  bool // backward: weights are [c,3,3,k] and turned around
	panels   []panel

	dst, x, weights []T
	bias, add       []T
	panelMemory     []T
	workerMemory    []T
}

const (
	// winogradStrip bounds the transformed windows and sums of a strip: 256 KiB
	// of float32, with the weights about what the second cache level holds. From
	// half to twice as much is as fast.
	winogradStrip = 64 << 10

	// winogradSums bounds the sums of a derivative by the weights that an item of
	// work adds to: 576 KiB of float32, for the same reason.
	winogradSums = 36 << 12

	// winogradChunks bounds the sums of all chunks: 16 MiB of float32.
	winogradChunks = 4 << 20

	// lineElements is a cache line of float32. Planes are that much longer than
	// they need be, or the elements of all planes of a tile would fall in a few
	// sets of the first cache level.
	lineElements = 16
)

// winogradPays reports whether a convolution has the form that this file
// computes and is faster by it. Where it pays is a matter of pixels in tiles that
// are not full, of channels, over which the transforms' work is shared, and of
// tiles, over which that of the weights is. The numbers are cycles of one core
// as measured for 8 to 128 channels, in AVX2 on Zen 4, for the memory not in the
// cache; in plain Go everything takes about 20 times as long.
func winogradPays(s ConvShape) bool {
	if s.R != 3 || s.S != 3 || s.Stride != [2]int{1, 1} || s.Dilation != [2]int{1, 1} || s.Groups != 1 || s.C%8 != 0 || s.K%8 != 0 {
		return false
	}
	oh, ow := s.Out()
	tiles := s.N * ((oh + winogradTile - 1) / winogradTile) * ((ow + winogradTile - 1) / winogradTile)
	pairs := s.C * s.K
	direct := 0.7 * float64(s.N*oh*ow*pairs)
	ours := float64(tiles)*(2.5*float64(pairs)+28*float64(s.C+s.K)) + 100*float64(pairs)
	return ours < 0.8*direct
}

// winogradForward plans a convolution forward as ConvForwardEpilogue does. It
// reports false where the tiles of gather.go are faster or s is none of 3x3.
func winogradForward(s ConvShape, e Epilogue) (p EpiloguePlan[float32], ok bool) {
	if !winogradPays(s) {
		return p, false
	}
	return newWinograd(winogradMicroFor[float32](), s, e), true
}

// winogradBackwardData plans a convolution backward to the data as
// ConvBackwardData does, and reports false where winogradForward does.
func winogradBackwardData(s ConvShape) (p ConvPlan[float32], ok bool) {
	if !winogradPays(s) {
		return p, false
	}
	return newWinogradData(winogradMicroFor[float32](), s), true
}

// winogradBackwardWeights plans a convolution backward to the weights as
// ConvBackwardWeights does, and reports false where winogradForward does.
func winogradBackwardWeights(s ConvShape) (p ConvPlan[float32], ok bool) {
	if !winogradPays(s) {
		return p, false
	}
	return newWinogradGrad(winogradMicroFor[float32](), s), true
}

func newWinograd[T Float](m *winogradMicro[T], s ConvShape, e Epilogue) EpiloguePlan[T] {
	g := &winograd[T]{epilogue: e}
	return g.plan(m, s)
}

// newWinogradData plans the derivative by the images: a convolution of dy with
// weights that are turned around, whose channels have changed places, and with
// what padding it takes to come to the images' size.
func newWinogradData[T Float](m *winogradMicro[T], s ConvShape) ConvPlan[T] {
	g := &winograd[T]{rotated: true}
	back := s
	back.H, back.W = s.Out()
	back.C, back.K = s.K, s.C
	for i := range back.Pad {
		back.Pad[i] = 2 - s.Pad[i]
	}
	return g.plan(m, back).plain()
}

// layout tells how the images of s are cut into tiles.
func (g *winograd[T]) layout(m *winogradMicro[T], s ConvShape) {
	g.m, g.n, g.h, g.w, g.c, g.k, g.top, g.left = m, s.N, s.H, s.W, s.C, s.K, s.Pad[0], s.Pad[1]
	g.oh, g.ow = s.Out()
	g.down, g.right = (g.oh+winogradTile-1)/winogradTile, (g.ow+winogradTile-1)/winogradTile
	g.tiles = g.n * g.down * g.right
	for t := range g.right {
		var bits uint8
		for j := range winogradWindow {
			if at := t*winogradTile + j - g.left; at >= 0 && at < g.w {
				bits |= 1 << j
			}
		}
		g.inside = append(g.inside, bits)
		g.within = append(g.within, uint8(min(winogradTile, g.ow-t*winogradTile)))
	}
	g.rows = make([][winogradWindow]int, Workers())
	g.zero = make([]T, winogradWindow*max(g.c, g.k))
}

// plan plans the convolution s.
func (g *winograd[T]) plan(m *winogradMicro[T], s ConvShape) EpiloguePlan[T] {
	g.layout(m, s)
	// Small strips only where there are few tiles for all workers.
	blocks := max(winogradStrip/winogradPlanes/(g.c+g.k)/m.tiles, 2)
	blocks = min(blocks, (g.tiles/m.tiles+4*Workers()-1)/(4*Workers()))
	g.strip = max(blocks, 1) * m.tiles
	strips := (g.tiles + g.strip - 1) / g.strip
	g.item = max(1, strips/(8*Workers())) * g.strip
	g.vPlane, g.mPlane = g.strip*g.c+lineElements, g.strip*g.k+lineElements

	packed, width := 0, 0
	for first := 0; first < g.k; first += width {
		width = m.widths[0]
		if g.k-first < width {
			width = m.widths[1]
		}
		g.panels = append(g.panels, panel{first: first, cols: width, width: width, at: first * g.c})
	}
	packed = winogradPlanes * g.c * g.k
	g.buffer = max(winogradPlanes*(g.vPlane+g.mPlane), 9*g.c*m.widths[0])

	packing := NewJob(len(g.panels), g.pack)
	if packed < 1<<14 {
		// Too little to wake the workers for.
		packing = NewJob(1, func(worker, _ int) {
			for i := range g.panels {
				g.pack(worker, i)
			}
		})
	}
	work := NewJob((g.tiles+g.item-1)/g.item, g.strips)
	return EpiloguePlan[T]{
		Scratch: packed + Workers()*g.buffer,
		Run: func(dst, x, w, bias, add, scratch []T) error {
			g.dst, g.x, g.weights, g.bias, g.add = dst, x, w, nil, nil
			if g.epilogue.Bias {
				g.bias = bias
			}
			if g.epilogue.Add {
				g.add = add
			}
			g.panelMemory, g.workerMemory = scratch[:packed], scratch[packed:]
			err := packing.Run()
			if err == nil {
				err = work.Run()
			}
			g.dst, g.x, g.weights, g.bias, g.add, g.panelMemory, g.workerMemory = nil, nil, nil, nil, nil, nil, nil
			return err
		},
	}
}

// pack transforms the weights of a panel: first it puts its taps one behind the
// other, each [c, output channels].
func (g *winograd[T]) pack(worker, i int) {
	p := &g.panels[i]
	n := g.c * p.width
	taps := g.workerMemory[worker*g.buffer:][:9*n]
	for tap := range 9 {
		out := taps[tap*n:][:n]
		if g.rotated {
			for c := range g.c {
				copy(out[c*p.width:][:p.width], g.weights[(c*9+8-tap)*g.k+p.first:])
			}
			continue
		}
		for j := range p.width {
			for c, v := range g.weights[((p.first+j)*9+tap)*g.c:][:g.c] {
				out[c*p.width+j] = v
			}
		}
	}
	g.m.weights(g.panelMemory[p.at:], g.c*g.k, taps, n)
}

// strips computes an item's tiles, strip by strip.
func (g *winograd[T]) strips(worker, i int) {
	mine := g.workerMemory[worker*g.buffer:][:g.buffer]
	v, m := mine[:winogradPlanes*g.vPlane], mine[winogradPlanes*g.vPlane:]
	end := min((i+1)*g.item, g.tiles)
	for first := i * g.item; first < end; first += g.strip {
		count := min(g.strip, end-first)
		g.windows(v, &g.rows[worker], first, count)
		// What is behind the last tile is multiplied, too, and dropped.
		full := (count + g.m.tiles - 1) / g.m.tiles * g.m.tiles
		g.m.product(m, g.mPlane, v, g.vPlane, g.panelMemory, full, g.c, g.k,
			g.below(g.dst, first, count, g.oh, g.ow, g.k),
			g.below(g.x, first+count, min(g.strip, end-first-count), g.h, g.w, g.c))
		g.results(m, first, count)
	}
}

// run returns the image of tile i, its place there, and how many tiles from it
// on, at most count, stand in one row.
func (g *winograd[T]) run(i, count int) (n, down, right, tiles int) {
	line := i / g.right
	return line / g.down, line % g.down, i % g.right, min(g.right-i%g.right, count)
}

// windows transforms the windows of count tiles.
func (g *winograd[T]) windows(v []T, rows *[winogradWindow]int, first, count int) {
	for t := 0; t < count; {
		n, down, right, tiles := g.run(first+t, count-t)
		top, left := down*winogradTile-g.top, right*winogradTile-g.left
		for r := range rows {
			rows[r] = outside
			if y := top + r; y >= 0 && y < g.h {
				rows[r] = ((n*g.h+y)*g.w + left) * g.c
			}
		}
		g.m.input(v[t*g.c:], g.vPlane, g.x, g.zero, rows, g.inside[right:][:tiles], g.c)
		t += tiles
	}
}

// results transforms the sums of count tiles to pixels.
func (g *winograd[T]) results(m []T, first, count int) {
	for t := 0; t < count; {
		n, down, right, tiles := g.run(first+t, count-t)
		top := down * winogradTile
		at := ((n*g.oh+top)*g.ow + right*winogradTile) * g.k
		bias, add := g.bias, g.add
		if bias == nil {
			bias = g.zero
		}
		if add != nil {
			add = add[at:]
		}
		g.m.output(g.dst[at:], g.ow*g.k, m[t*g.k:], g.mPlane, min(winogradTile, g.oh-top), g.within[right:][:tiles], g.k, bias, add, g.epilogue)
		t += tiles
	}
}

// below returns about those elements of images [h, w, c] that lie below count
// tiles, to be fetched to the cache.
func (g *winograd[T]) below(x []T, first, count, h, w, c int) []T {
	n, down, right, _ := g.run(first, 0)
	from := min(((n*h+down*winogradTile)*w+right*winogradTile*winogradTile)*c, len(x))
	return x[from:min(from+count*winogradTile*winogradTile*c, len(x))]
}

// winogradGrad is the derivative of a convolution by its weights.
type winogradGrad[T Float] struct {
	winograd[T]
	grid   []uint8 // of each column of tiles: which of its columns are in the result, a bit each
	chunks int     // pieces of the tiles with sums of their own, which are added up at the end
	parts  int     // the output channels of a chunk are shared out to as many items
	dPlane int     // elements of a plane of transformed derivatives
	sums   int     // elements of a chunk's sums, [36, k, c]

	dy          []T
	chunkMemory []T
}

func newWinogradGrad[T Float](m *winogradMicro[T], s ConvShape) ConvPlan[T] {
	g := &winogradGrad[T]{}
	g.layout(m, s)
	for _, n := range g.within {
		g.grid = append(g.grid, 1<<n-1)
	}
	g.sums = winogradPlanes * g.c * g.k
	// The size of a strip and the number of chunks decide about the order of
	// the sums, so they must not depend on the number of workers; that of parts
	// may.
	least := min((g.sums+winogradSums-1)/winogradSums, g.k/8)
	width := (g.k/8 + least - 1) / least * 8
	g.strip = max(winogradStrip/winogradPlanes/(g.c+width)/4, 3) * 4
	g.chunks = max(1, min(weightChunks, (g.tiles+g.strip-1)/g.strip, winogradChunks/g.sums))
	g.parts = max(least, min(g.k/8, 2*Workers()/g.chunks))
	g.vPlane, g.dPlane = g.strip*g.c+lineElements, g.strip*width+lineElements
	g.buffer = winogradPlanes * (g.vPlane + g.dPlane)

	work := NewJob(g.chunks*g.parts, g.chunk)
	total := NewLoop(g.k, 8, g.total)
	return ConvPlan[T]{
		Scratch: g.chunks*g.sums + Workers()*g.buffer,
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

// chunk sums the products of a chunk's tiles for some output channels.
func (g *winogradGrad[T]) chunk(worker, i int) {
	chunk, part := i/g.parts, i%g.parts
	from, to := part*(g.k/8)/g.parts*8, (part+1)*(g.k/8)/g.parts*8
	sums := g.chunkMemory[chunk*g.sums:][:g.sums]
	mine := g.workerMemory[worker*g.buffer:][:g.buffer]
	v, d := mine[:winogradPlanes*g.vPlane], mine[winogradPlanes*g.vPlane:]
	start, end := chunk*g.tiles/g.chunks, (chunk+1)*g.tiles/g.chunks
	for first := start; first < end; first += g.strip {
		count := min(g.strip, end-first)
		g.windows(v, &g.rows[worker], first, count)
		g.derivatives(d, &g.rows[worker], first, count, from, to)
		left := min(g.strip, end-first-count)
		g.m.outer(sums[from*g.c:], g.k*g.c, d, g.dPlane, v, g.vPlane, count, g.c, to-from, first > start,
			g.below(g.dy, first+count, left, g.oh, g.ow, g.k), g.below(g.x, first+count, left, g.h, g.w, g.c))
	}
}

// derivatives transforms output channels from and up to to of count tiles of dy.
func (g *winogradGrad[T]) derivatives(d []T, rows *[winogradWindow]int, first, count, from, to int) {
	for t := 0; t < count; {
		n, down, right, tiles := g.run(first+t, count-t)
		for r := range winogradTile {
			rows[r] = outside
			if y := down*winogradTile + r; y < g.oh {
				rows[r] = ((n*g.oh+y)*g.ow+right*winogradTile)*g.k + from
			}
		}
		g.m.spread(d[t*(to-from):], g.dPlane, g.dy, g.zero, rows, g.grid[right:][:tiles], to-from, g.k)
		t += tiles
	}
}

// total adds up the chunks' sums for output channels from and up to to, and
// transforms them to weights.
func (g *winogradGrad[T]) total(from, to int) {
	at, n := from*g.c, (to-from)*g.c
	for p := range winogradPlanes {
		s := g.chunkMemory[p*g.k*g.c+at:][:n]
		for c := 1; c < g.chunks; c++ {
			Add(s, s, g.chunkMemory[c*g.sums+p*g.k*g.c+at:][:n])
		}
	}
	for k := from; k < to; k++ {
		g.m.fold(g.dst[k*9*g.c:][:9*g.c], g.c, g.chunkMemory[k*g.c:], g.k*g.c, g.c)
	}
}
