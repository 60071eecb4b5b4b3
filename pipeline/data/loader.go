package data

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
)

// LoaderConfig says how a Split becomes batches.
type LoaderConfig struct {
	// Batch is the number of samples in a batch; at least 1.
	Batch int
	// Seed drives shuffling and augmentation.
	Seed uint64
	// Shuffle visits the samples of each epoch in an order drawn from (Seed,
	// epoch); otherwise in the split's order.
	Shuffle bool
	// Augment changes each sample at random; the zero value does not.
	Augment Augment
	// Views is the number of different augmentations a sample goes through: epoch
	// e shows view e modulo Views, so that what a teacher said of a view can be
	// recorded and replayed. 0 draws a new view each epoch.
	Views int
	// DropLast leaves out the last samples of an epoch where they do not fill a
	// batch, as training with a graph of fixed size wants. Without it the last batch
	// is short.
	DropLast bool
	// Workers is the number of goroutines making batches; 0 is GOMAXPROCS.
	Workers int
	// Prefetch bounds the batches being made or waiting; 0 is Workers + 1.
	Prefetch int
}

// Batch is some samples of a split. It belongs to whoever received it.
type Batch struct {
	Pixels  []uint8  // [N, H, W, C], 0..255
	Split   *Split   // where the samples are from
	N       int      // samples
	H, W, C int      // of each sample
	Labels  []int    // [N], indices into Set.Classes
	Samples []uint64 // [N], identities, see Split.ID
	Indices []int    // [N], positions in the split
	Epoch   int      // as asked for
	Index   int      // number of the batch in its epoch
	View    uint32   // augmentation drawn: the same samples and view have the same pixels

	home  *buffer
	lease uint64
}

// buffer is the memory of one batch, handed out again and again.
type buffer struct {
	loader  *Loader
	pixels  []uint8
	labels  []int
	samples []uint64
	indices []int
	lease   atomic.Uint64 // of the batch using it now
}

// Release gives the batch's memory back to its loader for a later batch; the
// slices must not be used afterwards. Releasing twice, or a zero Batch, does
// nothing. A batch that is never released is left to the garbage collector.
func (b Batch) Release() {
	if b.home == nil || !b.home.lease.CompareAndSwap(b.lease, b.lease+1) {
		return
	}
	select {
	case b.home.loader.free <- b.home:
	default:
	}
}

// Loader turns a Split into batches, ahead of their use. The content of a batch
// depends on the configuration, its epoch and its number only. A Loader may be
// used for several epochs at once.
type Loader struct {
	split *Split
	cfg   LoaderConfig
	free  chan *buffer
	work  chan *loaderScratch
}

// loaderScratch is one worker's memory, kept between epochs.
type loaderScratch struct {
	decode  scratch
	columns []int
}

// NewLoader checks cfg against s.
func NewLoader(s *Split, cfg LoaderConfig) (*Loader, error) {
	h, w, _ := s.Shape()
	switch {
	case cfg.Batch < 1:
		return nil, fmt.Errorf("data: batches of %d samples; a batch has at least 1", cfg.Batch)
	case cfg.Views < 0:
		return nil, fmt.Errorf("data: %d views; give 0 (a new one each epoch) or more", cfg.Views)
	case cfg.Workers < 0 || cfg.Prefetch < 0:
		return nil, fmt.Errorf("data: %d workers, %d batches ahead; give 0 (default) or more", cfg.Workers, cfg.Prefetch)
	case cfg.DropLast && s.Len() > 0 && s.Len() < cfg.Batch:
		return nil, fmt.Errorf("data: %s has %d samples, less than one batch of %d; use a smaller batch or more samples", s.name, s.Len(), cfg.Batch)
	}
	if err := cfg.Augment.Validate(h, w); err != nil {
		return nil, err
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Prefetch == 0 {
		cfg.Prefetch = cfg.Workers + 1
	}
	return &Loader{
		split: s, cfg: cfg,
		// One batch more than can be under way: the one being used.
		free: make(chan *buffer, cfg.Prefetch+1),
		work: make(chan *loaderScratch, cfg.Workers),
	}, nil
}

// Batches is the number of batches in an epoch.
func (l *Loader) Batches() int {
	if l.cfg.DropLast {
		return l.split.Len() / l.cfg.Batch
	}
	return (l.split.Len() + l.cfg.Batch - 1) / l.cfg.Batch
}

// View is the augmentation that an epoch shows, as Batch.View gives it.
func (l *Loader) View(epoch int) uint32 {
	switch {
	case !l.cfg.Augment.Enabled():
		return 0 // all views are the image itself
	case l.cfg.Views > 0:
		return uint32(epoch % l.cfg.Views)
	}
	return uint32(epoch)
}

// Epoch yields the batches of an epoch in order, beginning with number from (0 is
// the first). It stops after the first error: an image that cannot be decoded, a
// [Bad], or ctx's. The goroutines that load ahead have ended when the loop over
// the batches ends, however it ends.
func (l *Loader) Epoch(ctx context.Context, epoch, from int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		total := l.Batches()
		if epoch < 0 || from < 0 || from > total {
			yield(Batch{}, fmt.Errorf("data: epoch %d, batch %d asked for; an epoch of %s has batches 0..%d", epoch, from, l.split.name, total-1))
			return
		}
		if from == total {
			return
		}
		l.each(ctx, visit{order: l.order(epoch), epoch: epoch, view: l.View(epoch), from: from, total: total}, yield)
	}
}

// Visit yields the given samples, positions in the split, in one view: in batches
// of the configured size in the order given, the last of which may be short. It
// stops as Epoch does.
func (l *Loader) Visit(ctx context.Context, view uint32, samples []int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		order := make([]int32, len(samples))
		for k, i := range samples {
			if i < 0 || i >= l.split.Len() {
				yield(Batch{}, fmt.Errorf("data: %s has samples 0..%d, not %d", l.split.name, l.split.Len()-1, i))
				return
			}
			order[k] = int32(i)
		}
		if len(order) == 0 {
			return
		}
		l.each(ctx, visit{order: order, view: view, total: (len(order) + l.cfg.Batch - 1) / l.cfg.Batch}, yield)
	}
}

// visit is a sequence of batches.
type visit struct {
	order []int32 // of samples, positions in the split
	epoch int
	view  uint32
	from  int // number of the first batch
	total int // and of the one after the last
}

// each makes the batches of a visit on several goroutines and yields them in
// order.
func (l *Loader) each(ctx context.Context, v visit, yield func(Batch, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	type made struct {
		batch Batch
		err   error
	}
	depth := min(l.cfg.Prefetch, v.total-v.from)
	jobs := make(chan int, depth)
	slots := make([]chan made, depth) // batch n arrives in slots[n%depth]
	for i := range slots {
		slots[i] = make(chan made, 1)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(jobs)
	defer cancel()
	for range min(l.cfg.Workers, depth) {
		wg.Go(func() {
			s := l.scratch()
			defer l.keep(s)
			for n := range jobs {
				b, err := l.make(ctx, v, n, s)
				slots[n%depth] <- made{b, err} // empty: its last batch has been taken
			}
		})
	}

	// At most depth batches are asked for and not yet taken, so neither channel
	// is ever full.
	for n := v.from; n < v.from+depth; n++ {
		jobs <- n
	}
	for n := v.from; n < v.total; n++ {
		var m made
		select {
		case m = <-slots[n%depth]:
		case <-ctx.Done():
			m.err = ctx.Err()
		}
		if m.err != nil {
			yield(Batch{}, m.err)
			return
		}
		if n+depth < v.total {
			jobs <- n + depth
		}
		if !yield(m.batch, nil) {
			return
		}
	}
}

// order is the sequence in which an epoch visits the split.
func (l *Loader) order(epoch int) []int32 {
	order := make([]int32, l.split.Len())
	for i := range order {
		order[i] = int32(i)
	}
	if l.cfg.Shuffle {
		s := newStream(drawShuffle, l.cfg.Seed, uint64(epoch))
		s.shuffle(order)
	}
	return order
}

// make loads batch n.
func (l *Loader) make(ctx context.Context, v visit, n int, s *loaderScratch) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	first := n * l.cfg.Batch
	b := l.batch(min(l.cfg.Batch, len(v.order)-first))
	b.Epoch, b.Index, b.View = v.epoch, n, v.view
	h, w, c := b.H, b.W, b.C
	bytes := h * w * c
	for row := range b.N {
		if err := ctx.Err(); err != nil {
			return Batch{}, err
		}
		i := int(v.order[first+row])
		dst := b.Pixels[row*bytes : (row+1)*bytes]
		b.Labels[row], b.Samples[row], b.Indices[row] = l.split.Label(i), l.split.ID(i), i

		src := l.split.inMemory(i)
		if src == nil {
			to := dst
			if l.cfg.Augment.Enabled() {
				s.decode.row = grow(s.decode.row, bytes)
				to = s.decode.row
			}
			if err := l.split.owner.decode(int(l.split.index[i]), to, &s.decode); err != nil {
				return Batch{}, err
			}
			src = to
		}
		switch {
		case l.cfg.Augment.Enabled():
			l.cfg.Augment.apply(dst, src, h, w, c, l.cfg.Seed, b.Samples[row], b.View, s.columns)
		case &src[0] != &dst[0]:
			copy(dst, src)
		}
	}
	return b, nil
}

// batch returns a batch of n samples over released memory, or new.
func (l *Loader) batch(n int) Batch {
	var m *buffer
	h, w, c := l.split.Shape()
	select {
	case m = <-l.free:
	default:
		most := l.cfg.Batch
		m = &buffer{
			loader: l, pixels: make([]uint8, most*h*w*c),
			labels: make([]int, most), samples: make([]uint64, most), indices: make([]int, most),
		}
	}
	return Batch{
		Pixels: m.pixels[:n*h*w*c], Split: l.split, N: n, H: h, W: w, C: c,
		Labels: m.labels[:n], Samples: m.samples[:n], Indices: m.indices[:n],
		home: m, lease: m.lease.Load(),
	}
}

// scratch returns memory for one worker.
func (l *Loader) scratch() *loaderScratch {
	select {
	case s := <-l.work:
		return s
	default:
		_, w, _ := l.split.Shape()
		return &loaderScratch{columns: make([]int, w)}
	}
}

// keep stores a worker's memory for the next epoch.
func (l *Loader) keep(s *loaderScratch) {
	select {
	case l.work <- s:
	default:
	}
}
