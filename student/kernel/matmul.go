package kernel

import "fmt"

// MatMulShape is the geometry of Batch products of matrices, each of A [M, K]
// by B [K, N], which gives Y [M, N].
type MatMulShape struct {
	Batch, M, K, N int

	// TransA and TransB say that memory holds the transpose of each matrix: A
	// as [K, M], B as [N, K].
	TransA, TransB bool
}

// MACs returns the number of multiplications.
func (s MatMulShape) MACs() int { return s.Batch * s.M * s.K * s.N }

// product computes matrix products with the register tiles of the
// convolutions: panels of B's columns are packed, and pass over tiles of A's
// rows. Each element of Y is one sum in the order of K, whatever the cuts, so
// the result does not depend on them.
type product[T Float] struct {
	m      *micro[T]
	s      MatMulShape
	panels []panel // of B's columns
	packed int     // elements of the panels of one product

	rows, bands int  // of Y, cut into bands that the cache holds the rows of A for
	parts       int  // the panels of a band are shared out to as many items
	own         bool // each worker packs the panels of its product itself

	srcOff, dstOff   []int // of the rows of a band
	tailSrc, tailDst []int // of the rows over full tiles, filled up by repeating the last
	runs             []int // one run over K
	tileAt           []int

	buffer, tile int // elements of a band of A that had to be transposed, and of a tile

	y, a, b      []T
	panelMemory  []T
	workerMemory []T
}

// MatMul plans y [Batch, M, N], the products of the matrices of a and b. Run
// needs scratch elements of scratch memory.
func MatMul[T Float](s MatMulShape) (scratch int, run func(y, a, b, scratch []T) error) {
	return matMul(microFor[T](), s)
}

func matMul[T Float](m *micro[T], s MatMulShape) (scratch int, run func(y, a, b, scratch []T) error) {
	p := &product[T]{m: m, s: s, runs: []int{0}, parts: 1, own: s.Batch >= 2*Workers()}
	for first, widths := 0, m.panels(s.N, false); len(widths) > 0; widths = widths[1:] {
		width := widths[0]
		p.panels = append(p.panels, panel{first: first, cols: min(width, s.N-first), width: width, at: p.packed})
		first += width
		p.packed += width * s.K
	}
	p.cut()
	for i := range p.rows {
		p.srcOff, p.dstOff = append(p.srcOff, i*s.K), append(p.dstOff, i*s.N)
	}
	if left := s.M % m.pixels; left > 0 {
		for i := range m.pixels {
			at := min(i, left-1)
			p.tailSrc, p.tailDst = append(p.tailSrc, at*s.K), append(p.tailDst, at*s.N)
		}
	}
	for i := range m.pixels {
		p.tileAt = append(p.tileAt, i*m.widths[0])
	}
	p.tile = m.pixels * m.widths[0]
	if s.TransA {
		p.buffer = p.rows * s.K
	}

	sizes := struct{ y, a, b int }{s.Batch * s.M * s.N, s.Batch * s.M * s.K, s.Batch * s.K * s.N}
	shared, mine := s.Batch*p.packed, p.buffer+p.tile
	if p.own {
		shared, mine = 0, mine+p.packed
	}
	packing, work := p.jobs(mine)
	scratch = shared + Workers()*mine
	return scratch, func(y, a, b, memory []T) error {
		if len(y) != sizes.y || len(a) != sizes.a || len(b) != sizes.b || len(memory) < scratch {
			return fmt.Errorf("kernel: matrix product %+v wants %d, %d and %d elements of result and factors and %d of scratch, got %d, %d, %d and %d",
				s, sizes.y, sizes.a, sizes.b, scratch, len(y), len(a), len(b), len(memory))
		}
		p.y, p.a, p.b = y, a, b
		p.panelMemory, p.workerMemory = memory[:shared], memory[shared:]
		err := packing.Run()
		if err == nil {
			err = work.Run()
		}
		p.y, p.a, p.b, p.panelMemory, p.workerMemory = nil, nil, nil, nil, nil
		return err
	}
}

// cut chooses rows, bands and parts: bands of whole tiles whose rows of A stay
// in the cache, and enough items for all workers where the products are few.
func (p *product[T]) cut() {
	s, tile := p.s, p.m.pixels
	whole := func(n int) int { return (n + tile - 1) / tile * tile }
	p.rows = max(windowElements/s.K/tile*tile, tile)
	want := 4 * Workers()
	if !p.own && s.Batch*((s.M+p.rows-1)/p.rows) < want {
		p.rows = min(p.rows, whole(max((s.M*s.Batch+want-1)/want, itemMACs/(s.K*s.N), 1)))
	}
	p.rows = min(p.rows, whole(s.M))
	p.bands = (s.M + p.rows - 1) / p.rows
	if items := s.Batch * p.bands; !p.own && items < 2*Workers() {
		p.parts = max(1, min(len(p.panels), 2*Workers()/items, s.MACs()/itemMACs/items))
	}
}

// jobs makes the two passes of a run, with mine elements of memory for each
// worker: packing the panels of all products, which has no items where each
// worker packs its own, and multiplying.
func (p *product[T]) jobs(mine int) (packing, work *Job) {
	s := p.s
	if p.own {
		each := max(1, min(itemMACs/4/(s.M*s.K*s.N), s.Batch/(2*Workers())))
		return NewJob(0, nil), NewJob((s.Batch+each-1)/each, func(worker, i int) {
			memory := p.workerMemory[worker*mine:][:mine]
			panels := memory[p.buffer+p.tile:]
			for entry := i * each; entry < min((i+1)*each, s.Batch); entry++ {
				for j := range p.panels {
					p.pack(entry, &p.panels[j], panels)
				}
				for band := range p.bands {
					p.multiply(memory, entry, band, p.panels, panels)
				}
			}
		})
	}
	n := len(p.panels)
	packing = NewLoop(s.Batch*n, grain/(s.K*p.m.widths[0]), func(from, to int) {
		for i := from; i < to; i++ {
			p.pack(i/n, &p.panels[i%n], p.panelMemory[i/n*p.packed:])
		}
	})
	return packing, NewJob(s.Batch*p.bands*p.parts, func(worker, i int) {
		part, band, entry := i%p.parts, i/p.parts%p.bands, i/p.parts/p.bands
		panels := p.panels[part*n/p.parts : (part+1)*n/p.parts]
		p.multiply(p.workerMemory[worker*mine:][:mine], entry, band, panels, p.panelMemory[entry*p.packed:])
	})
}

// pack copies the columns of B that belong to c, with zeros where the panel is
// not full: sums with what lies there are dropped, but denormal numbers would
// be slow.
func (p *product[T]) pack(entry int, c *panel, packed []T) {
	s := &p.s
	b, out := p.b[entry*s.K*s.N:][:s.K*s.N], packed[c.at:][:s.K*c.width]
	if !s.TransB {
		for d := range s.K {
			row := out[d*c.width:][:c.width]
			copy(row, b[d*s.N+c.first:][:c.cols])
			clear(row[c.cols:])
		}
		return
	}
	for j := range c.width {
		if j >= c.cols {
			for d := range s.K {
				out[d*c.width+j] = 0
			}
			continue
		}
		for d, v := range b[(c.first+j)*s.K:][:s.K] {
			out[d*c.width+j] = v
		}
	}
}

// multiply computes the columns of panels of one band of rows of a product.
func (p *product[T]) multiply(memory []T, entry, band int, panels []panel, packed []T) {
	s := &p.s
	first := band * p.rows
	rows := min(p.rows, s.M-first)
	src, tmp := p.a[entry*s.M*s.K:][:s.M*s.K], memory[p.buffer:][:p.tile]
	if s.TransA {
		// A few elements of each row at a time, so that both sides stay in the
		// first cache level.
		const few = 8
		at := memory[:rows*s.K]
		for d := 0; d < s.K; d += few {
			for r := range rows {
				out := at[r*s.K+d : r*s.K+min(d+few, s.K)]
				from := d*s.M + first + r
				for i := range out {
					out[i] = src[from]
					from += s.M
				}
			}
		}
		src = at
	} else {
		src = src[first*s.K:]
	}
	dst := p.y[(entry*s.M+first)*s.N:]
	full := rows - rows%p.m.pixels
	for i := range panels {
		c := &panels[i]
		p.tiles(c, dst[c.first:], src, packed[c.at:], tmp, p.srcOff[:full], p.dstOff[:full])
		if full < rows {
			p.tiles(c, dst[full*s.N+c.first:], src[full*s.K:], packed[c.at:], tmp, p.tailSrc, p.tailDst)
		}
	}
}

// tiles computes whole tiles, by way of tmp where the panel is not full.
func (p *product[T]) tiles(c *panel, dst, src, b, tmp []T, srcOff, dstOff []int) {
	if len(srcOff) == 0 {
		return
	}
	if c.cols == c.width {
		p.m.tile(c.width, dst, src, b, srcOff, dstOff, p.runs, p.s.K)
		return
	}
	for n := p.m.pixels; len(srcOff) > 0; srcOff, dstOff = srcOff[n:], dstOff[n:] {
		p.m.tile(c.width, tmp, src, b, srcOff[:n], p.tileAt, p.runs, p.s.K)
		for i, off := range dstOff[:n] {
			copy(dst[off:off+c.cols], tmp[p.tileAt[i]:])
		}
	}
}
