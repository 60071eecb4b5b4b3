package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// Options says what a data set becomes. The zero value keeps the size and
// channels that are there and splits as documented for the package.
type Options struct {
	// H and W are the height and width every sample gets, in pixels. 0, 0 is the
	// size all images have; if they differ, Open fails and says so.
	H, W int
	// Channels is 1 (grey) or 3 (RGB). 0 is 1 where every image is stored as grey
	// without alpha, else 3.
	Channels int
	// Fit says how images of another aspect ratio are resized; "" is FitCrop.
	Fit Fit

	// Seed drives every cut and choice of samples.
	Seed uint64
	// ValFraction is the share of the training set that becomes the validation
	// set when the source has none. 0 is 0.1; negative is no validation set.
	ValFraction float64
	// TestFraction is the share of the training set that becomes the test set when
	// the source has none. 0 is 0.1; negative is no test set.
	TestFraction float64
	// Limit keeps that many training samples, stratified by class and drawn by
	// Seed, after validation and test sets have been cut. 0 keeps all.
	Limit int
	// EvalOnly is for measuring a finished model: Test is loaded, Train and Val
	// stay empty, and a source without a training part is accepted. Where the source
	// has no test set the same samples are cut as for training; TestFraction 1 takes
	// all.
	EvalOnly bool

	// SkipBad leaves out images that cannot be read or decoded, and lists them in
	// Set.Bad. To find them, every image that is used is decoded once by Open.
	SkipBad bool

	// MemoryBudget bounds the decoded samples kept in memory, in bytes. Each split
	// that still fits, in the order train, val, test, is decoded once by Open; the
	// others are decoded whenever they are read. 0 is 2 GiB; negative keeps nothing.
	// Binary formats (CIFAR, IDX, SVHN) are in memory anyway.
	MemoryBudget int64
	// ArchiveLimit bounds, in bytes, the encoded content kept in memory: of a
	// .tar.gz, and each file of a binary format. 0 is 2 GiB. Folders, .tar and .zip
	// keep nothing.
	ArchiveLimit int64
	// MaxPixels bounds one image, and all large images being decoded at one time.
	// Decoding takes up to 20 bytes for each pixel. 0 is 2^26 (67 million).
	MaxPixels int

	// Workers is the number of goroutines that Open decodes with; 0 is GOMAXPROCS.
	Workers int
	// Progress, where not nil, is told how many of how many steps Open has done:
	// one for each image's header, one for each image decoded. Calls do not overlap,
	// done never falls, and total may change.
	Progress func(done, total int)
}

const (
	defaultFraction  = 0.1
	defaultBudget    = 2 << 30
	defaultMaxPixels = 1 << 26
	mostArchive      = 1 << 50
)

// Validate reports options that contradict themselves.
func (o Options) Validate() error {
	switch {
	case (o.H == 0) != (o.W == 0):
		return fmt.Errorf("data: size is %dx%d; give both height and width, or neither", o.H, o.W)
	case o.H < 0 || o.W < 0 || o.H > maxSide || o.W > maxSide:
		return fmt.Errorf("data: size is %dx%d; each side is 1 to %d pixels, or both are 0", o.H, o.W, maxSide)
	case o.Channels != 0 && o.Channels != 1 && o.Channels != 3:
		return fmt.Errorf("data: %d channels; choose 1 (grey), 3 (RGB) or 0 (as found)", o.Channels)
	case o.ValFraction >= 1 || math.IsNaN(o.ValFraction):
		return fmt.Errorf("data: validation fraction is %v; it must be below 1", o.ValFraction)
	case o.TestFraction > 1 || (o.TestFraction == 1 && !o.EvalOnly) || math.IsNaN(o.TestFraction):
		return fmt.Errorf("data: test fraction is %v; it must be below 1", o.TestFraction)
	case o.Limit < 0:
		return fmt.Errorf("data: limit is %d samples; it must be 0 (all) or more", o.Limit)
	case o.ArchiveLimit < 0 || o.ArchiveLimit > mostArchive:
		return fmt.Errorf("data: archive limit is %d bytes; it must be 0 (2 GiB) to %d", o.ArchiveLimit, int64(mostArchive))
	case o.MaxPixels < 0 || o.MaxPixels > math.MaxInt32:
		return fmt.Errorf("data: at most %d pixels; it must be 0 (%d) to %d", o.MaxPixels, defaultMaxPixels, math.MaxInt32)
	}
	return o.Fit.validate()
}

// withDefaults replaces zeros by what they mean.
func (o Options) withDefaults() Options {
	if o.ValFraction == 0 {
		o.ValFraction = defaultFraction
	}
	if o.TestFraction == 0 {
		o.TestFraction = defaultFraction
	}
	if o.MemoryBudget == 0 {
		o.MemoryBudget = defaultBudget
	}
	if o.ArchiveLimit == 0 {
		o.ArchiveLimit = defaultBudget
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = defaultMaxPixels
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Fit == "" {
		o.Fit = FitCrop
	}
	return o
}

// Set is an opened data set.
type Set struct {
	// Format is what was found: one of the Format constants.
	Format string
	// Classes are the class names in label order: folder names sorted by bytes, or
	// the order a binary format defines.
	Classes []string
	// H, W and C are the height, width and channels of every sample.
	H, W, C int
	// Train, Val and Test are never nil; one that is absent has length 0.
	Train, Val, Test *Split
	// Bad are the images left out under Options.SkipBad, in no split.
	Bad []Bad
	// Notes are remarks a user should see, one sentence each: what was ignored and
	// how missing splits were made.
	Notes []string
	// Fingerprint identifies the content, in hexadecimal: a SHA-256 over the class
	// names and each sample's name, label, split as found, size in bytes and content,
	// of which for encoded images the first 64 KiB count. It does not depend on the
	// options or on whether the images lie in a folder or an archive.
	Fingerprint string

	owner *opened
}

// Close releases the archive behind the set. Samples that are not in memory
// cannot be read afterwards. Closing twice is allowed.
func (s *Set) Close() error { return s.owner.close() }

// Bad is an image that could not be used.
type Bad struct {
	Name string // as Split.Sample gives it
	Err  error
}

// Error names the image and the reason.
func (b Bad) Error() string { return fmt.Sprintf("image %s: %v", b.Name, b.Err) }

// Unwrap returns the reason.
func (b Bad) Unwrap() error { return b.Err }

// opened is what the splits of one set share.
type opened struct {
	samples []sample
	classes []string
	source  source
	target  target
	scratch sync.Pool
	once    sync.Once
	closed  error
}

func (o *opened) close() error {
	o.once.Do(func() { o.closed = o.source.Close() })
	return o.closed
}

// decode reads one sample of the source.
func (o *opened) decode(i int, dst []uint8, s *scratch) error {
	if err := o.source.decode(i, dst, o.target, s); err != nil {
		return fmt.Errorf("data: %w", Bad{o.samples[i].name, err})
	}
	return nil
}

// Open reads the data set at path, whatever its format; see the package comment.
func Open(path string, o Options) (*Set, error) {
	return OpenContext(context.Background(), path, o)
}

// OpenContext is Open, given up when ctx is done.
func OpenContext(ctx context.Context, path string, o Options) (*Set, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	set, err := open(ctx, path, o)
	if err != nil {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) && pe.Path == path {
			return nil, fmt.Errorf("data: %w", err) // which names path already
		}
		return nil, fmt.Errorf("data: %s: %w", path, err)
	}
	return set, nil
}

func open(ctx context.Context, path string, o Options) (_ *Set, err error) {
	var l listing
	c, err := openContainer(path, &l, o.ArchiveLimit)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	g, err := detect(c.files())
	if err != nil {
		for _, n := range l.notes() {
			err = fmt.Errorf("%w (%s)", err, n)
		}
		return nil, err
	}
	b := builder{Options: o, format: g.format, notes: l.notes()}
	if g.format == FormatImages {
		t, err := plant(g.files)
		if err != nil {
			return nil, err
		}
		b.classes = t.classes
		b.notes = append(b.notes, t.notes...)
		b.source = newImageSource(c, t.files, o.MaxPixels)
		for i, name := range t.names {
			b.samples = append(b.samples, sample{name: name, id: nameID(name), label: t.labels[i], part: t.parts[i]})
		}
		return b.build(ctx)
	}

	load := loadCIFAR
	switch g.format {
	case FormatIDX:
		load = loadIDX
	case FormatSVHN:
		load = loadSVHN
	}
	blocks, classes, err := load(c, g, o.ArchiveLimit)
	if err != nil {
		return nil, err
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	raw := newRawSource(blocks)
	b.classes, b.source, b.samples = classes, raw, raw.samples()
	return b.build(ctx)
}

// builder makes a Set out of samples and their source.
type builder struct {
	Options
	format  string
	classes []string
	notes   []string
	source  source
	samples []sample

	headers []header
	bad     []error // by sample; nil is good
	steps   progress
}

func (b *builder) build(ctx context.Context) (*Set, error) {
	if len(b.samples) > math.MaxInt32 {
		return nil, fmt.Errorf("holds %d samples; at most %d are handled", len(b.samples), math.MaxInt32)
	}
	pools, err := b.divide()
	if err != nil {
		return nil, err
	}
	b.steps = progress{report: b.Progress, total: len(b.samples)}
	for p, pool := range pools {
		if n := len(pool); part(p) == partTrain && b.Limit > 0 {
			b.steps.total += min(n, b.Limit)
		} else {
			b.steps.total += n
		}
	}

	fingerprint, err := b.inspect(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.complain(); err != nil {
		return nil, err
	}
	t, err := b.target()
	if err != nil {
		return nil, err
	}

	owner := &opened{samples: b.samples, classes: b.classes, source: b.source, target: t}
	owner.scratch.New = func() any { return new(scratch) }
	set := &Set{
		Format: b.format, Classes: b.classes, H: t.h, W: t.w, C: t.c,
		Fingerprint: fingerprint, owner: owner,
	}
	budget := b.MemoryBudget
	cached := true
	for p, pool := range pools {
		s, err := b.split(ctx, owner, part(p), pool, &budget)
		if err != nil {
			return nil, err
		}
		cached = cached && (s.pixels != nil || s.Len() == 0)
		switch part(p) {
		case partTrain:
			set.Train = s
		case partVal:
			set.Val = s
		case partTest:
			set.Test = s
		}
	}
	for i, err := range b.bad {
		if err != nil {
			set.Bad = append(set.Bad, Bad{b.samples[i].name, err})
		}
	}
	if err := b.check(set); err != nil {
		return nil, err
	}
	set.Notes = b.notes
	b.steps.finish()
	if cached {
		if err := owner.close(); err != nil {
			return nil, err
		}
		owner.source = emptySource{}
	}
	return set, nil
}

// divide assigns samples to splits, before any image has been looked at.
func (b *builder) divide() (pools [partCount][]int32, err error) {
	found := [partCount]int{}
	for i := range b.samples {
		p := b.samples[i].part
		pools[p] = append(pools[p], int32(i))
		found[p]++
	}
	if found[partTrain] == 0 && !b.EvalOnly {
		return pools, errors.New("has no training images (train/); only a finished model can be measured on it")
	}
	n := len(b.classes)
	if found[partTest] == 0 && b.TestFraction > 0 {
		pools[partTest], pools[partTrain] = cut(b.samples, pools[partTrain], n, b.TestFraction, key(drawTest, b.Seed))
		b.notes = append(b.notes, fmt.Sprintf("no test set was found: %d of %d training samples were set aside as one (seed %d)",
			len(pools[partTest]), found[partTrain], b.Seed))
	}
	if b.EvalOnly {
		pools[partTrain], pools[partVal] = nil, nil
		return pools, nil
	}
	if found[partVal] == 0 && b.ValFraction > 0 {
		pools[partVal], pools[partTrain] = cut(b.samples, pools[partTrain], n, b.ValFraction, key(drawVal, b.Seed))
	}
	return pools, nil
}

// inspect reads every header, and returns the set's fingerprint.
func (b *builder) inspect(ctx context.Context) (string, error) {
	n := len(b.samples)
	b.headers = make([]header, n)
	b.bad = make([]error, n)
	sizes := make([]int64, n)
	sums := make([]digest, n)
	err := parallel(ctx, n, b.Workers, func(i int, s *scratch) {
		b.headers[i], sizes[i], sums[i], b.bad[i] = b.source.inspect(i, s)
		b.steps.add(1)
	})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "data set, version 1\n%d classes %q\n", len(b.classes), b.classes)
	for i := range b.samples {
		s := &b.samples[i]
		fmt.Fprintf(h, "%q %d %s %d %x\n", s.name, s.label, s.part, sizes[i], sums[i])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// complain reports the first bad image, unless they are to be skipped.
func (b *builder) complain() error {
	if b.SkipBad {
		return nil
	}
	first, count := -1, 0
	for i, err := range b.bad {
		if err != nil {
			if count++; first < 0 {
				first = i
			}
		}
	}
	if count == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d images cannot be used; repair or remove them, or skip bad images; the first: %w",
		count, len(b.bad), Bad{b.samples[first].name, b.bad[first]})
}

// target decides the size and channels of every sample.
func (b *builder) target() (target, error) {
	t := target{h: b.H, w: b.W, c: b.Channels, fit: b.Fit}
	first, colour := -1, false
	for i, h := range b.headers {
		if b.bad[i] != nil {
			continue
		}
		colour = colour || !h.grey
		if first < 0 {
			first = i
			continue
		}
		if f := b.headers[first]; b.H == 0 && (h.h != f.h || h.w != f.w) {
			return t, fmt.Errorf("images differ in size: %s is %dx%d, %s is %dx%d (height x width); choose the size they are to be resized to",
				b.samples[first].name, f.h, f.w, b.samples[i].name, h.h, h.w)
		}
	}
	if first < 0 {
		return t, fmt.Errorf("none of the %d images can be used; the first: %w", len(b.samples), Bad{b.samples[0].name, b.bad[0]})
	}
	if b.H == 0 {
		t.h, t.w = b.headers[first].h, b.headers[first].w
		if t.h > maxSide || t.w > maxSide {
			return t, fmt.Errorf("images are %dx%d; choose a size of at most %d a side", t.h, t.w, maxSide)
		}
	}
	if t.c == 0 {
		t.c = 1
		if colour {
			t.c = 3
		}
	}
	return t, nil
}

// split makes one split out of its pool: drops bad samples, applies the limit to
// the training set, and decodes what fits the budget.
func (b *builder) split(ctx context.Context, owner *opened, p part, pool []int32, budget *int64) (*Split, error) {
	s := &Split{name: p.String(), owner: owner}
	size := owner.target.bytes()
	pick := func() []int32 {
		good := make([]int32, 0, len(pool))
		for _, i := range pool {
			if b.bad[i] == nil {
				good = append(good, i)
			}
		}
		if p == partTrain && b.Limit > 0 {
			return choose(b.samples, good, b.Limit, len(b.classes), key(drawLimit, b.Seed))
		}
		return good
	}
	s.index = pick()
	if s.Len() == 0 || owner.source.view(int(s.index[0]), owner.target) != nil {
		return s, nil
	}
	keep := int64(s.Len()) <= *budget/int64(size)
	if !keep && !b.SkipBad {
		return s, nil
	}
	if keep {
		s.pixels = make([]uint8, s.Len()*size)
		*budget -= int64(len(s.pixels))
	}
	for {
		var failed atomic.Int64
		err := parallel(ctx, s.Len(), b.Workers, func(row int, sc *scratch) {
			i := s.index[row]
			var dst []uint8
			if keep {
				dst = s.pixels[row*size : (row+1)*size]
			} else {
				sc.row = grow(sc.row, size)
				dst = sc.row
			}
			if err := owner.source.decode(int(i), dst, owner.target, sc); err != nil {
				b.bad[i] = err
				failed.Add(1)
			}
			b.steps.add(1)
		})
		if err != nil {
			return nil, err
		}
		if failed.Load() == 0 {
			return s, nil
		}
		if err := b.complain(); err != nil {
			return nil, err
		}
		// A limit is topped up from the samples left out, which have to be decoded too.
		before := s.index
		s.index = pick()
		if b.compact(s, before, size) {
			return s, nil
		}
		b.steps.grow(s.Len())
	}
}

// compact closes the gaps that bad samples left in s.pixels. It returns false
// where s has samples that were not there before.
func (b *builder) compact(s *Split, before []int32, size int) bool {
	old := make(map[int32]int, len(before))
	for row, i := range before {
		old[i] = row
	}
	for _, i := range s.index {
		if _, ok := old[i]; !ok {
			if s.pixels != nil {
				s.pixels = s.pixels[:s.Len()*size]
			}
			return false
		}
	}
	if s.pixels != nil {
		for row, i := range s.index {
			copy(s.pixels[row*size:(row+1)*size], s.pixels[old[i]*size:])
		}
		s.pixels = s.pixels[:s.Len()*size]
	}
	return true
}

// check refuses sets that lost a class to bad images, and notes classes that have
// nothing to learn from.
func (b *builder) check(s *Set) error {
	if b.EvalOnly {
		if s.Test.Len() == 0 {
			return errors.New("has no test images")
		}
		return nil
	}
	had := make([]int, len(b.classes))
	for i := range b.samples {
		if b.samples[i].part == partTrain && b.bad[i] != nil {
			had[b.samples[i].label]++
		}
	}
	var empty []string
	for c, n := range s.Train.Counts() {
		if n > 0 {
			continue
		}
		if had[c] > 0 {
			return fmt.Errorf("class %q has no usable training image: %d are bad", b.classes[c], had[c])
		}
		empty = append(empty, b.classes[c])
	}
	if len(empty) > 0 {
		b.notes = append(b.notes, fmt.Sprintf("no training sample of class %s", quoteSome(empty)))
	}
	return nil
}

// grow returns b with length n.
func grow(b []uint8, n int) []uint8 {
	if cap(b) < n {
		return make([]uint8, n)
	}
	return b[:n]
}

// progress counts steps and reports now and then.
type progress struct {
	report func(done, total int)
	mu     sync.Mutex
	done   int
	total  int
	next   int
}

// reports is about how often a whole run reports.
const reports = 200

func (p *progress) add(n int) {
	if p.report == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.done >= p.next {
		p.next = p.done + max(p.total/reports, 1)
		p.report(p.done, p.total)
	}
}

// grow adds steps that were not foreseen.
func (p *progress) grow(n int) {
	p.mu.Lock()
	p.total += n
	p.mu.Unlock()
}

// finish reports that all is done; steps that turned out needless count as done.
func (p *progress) finish() {
	if p.report != nil {
		p.total = max(p.total, p.done)
		p.report(p.total, p.total)
	}
}

// parallel calls do for 0..n-1 from workers goroutines, each with a scratch of
// its own, until ctx is done.
func parallel(ctx context.Context, n, workers int, do func(i int, s *scratch)) error {
	const chunk = 16
	workers = max(1, min(workers, (n+chunk-1)/chunk))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var s scratch
			for ctx.Err() == nil {
				from := int(next.Add(chunk)) - chunk
				if from >= n {
					return
				}
				for i := from; i < min(from+chunk, n); i++ {
					if ctx.Err() != nil {
						return
					}
					do(i, &s)
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
