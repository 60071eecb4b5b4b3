package data

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"sync"
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
	// TestLimit keeps that many test samples, those that Split.Take gives for Seed.
	// 0 keeps all.
	TestLimit int
	// EvalOnly is for measuring a finished model: Test is loaded, Train and Val
	// stay empty, and a source without a training part is accepted. Where the source
	// has no test set the same samples are cut as for training; TestFraction 1 takes
	// all.
	EvalOnly bool

	// AllowEmpty keeps class folders without a readable image as classes. Without
	// it Open refuses them, see ErrEmptyClass: to leave one out would give the
	// classes after it other labels.
	AllowEmpty bool

	// SkipBad leaves out images that cannot be read or decoded, and lists them in
	// Set.Bad. To find them, every image that is used is decoded once by Open.
	SkipBad bool

	// HashContent reads every image file to its end for Set.ContentHash.
	HashContent bool

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
	// Check, where not nil, is asked about the classes before an image is read; what
	// it returns is Open's error.
	Check func(classes []string) error
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
	case o.TestLimit < 0:
		return fmt.Errorf("data: test limit is %d samples; it must be 0 (all) or more", o.TestLimit)
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
	// Classes are the class names in label order: folder names, in Unicode's composed
	// form, sorted by bytes, or by value where all are whole numbers; or the order a
	// binary format defines.
	Classes []string
	// H, W and C are the height, width and channels of every sample.
	H, W, C int
	// Train, Val and Test are never nil; one that is absent has length 0.
	Train, Val, Test *Split
	// Bad are the images left out under Options.SkipBad, in no split.
	Bad []Bad
	// LeftOut counts by kind what else the source holds and no split has: hidden
	// files, formats that are not read, images outside class folders.
	LeftOut []LeftOut
	// Notes are remarks a user should see, one sentence each: what folders were
	// taken for, which classes a split lacks and how missing splits were made.
	Notes []string
	// Fingerprint identifies the content, in hexadecimal: a SHA-256 over the class
	// names and each sample's name, label, split as found, size in bytes and content,
	// of which for encoded images the first 64 KiB count. It does not depend on the
	// options or on whether the images lie in a folder or an archive.
	Fingerprint string
	// ContentHash is the same over the whole content; "" without
	// Options.HashContent. Where no file is longer than that they are equal.
	ContentHash string

	owner *opened
}

// IDs are the identities of all samples as found, whatever split they are in and
// whether they are used: the same for every set with this Fingerprint. The caller
// owns the slice.
func (s *Set) IDs() []uint64 {
	out := make([]uint64, len(s.owner.samples))
	for i := range out {
		out[i] = s.owner.samples[i].id
	}
	return out
}

// Close releases the archive behind the set. Samples that are not in memory
// cannot be read afterwards. Closing twice is allowed.
func (s *Set) Close() error { return s.owner.close() }

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
	c, err := openContainer(ctx, path, &l, o.ArchiveLimit)
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
		return nil, fmt.Errorf("%w%s", err, andLeftOut(l.leftOut()))
	}
	b := builder{Options: o, format: g.format}
	if g.format == FormatImages {
		t, err := parseTree(l.folders, g.files, o.AllowEmpty)
		if err != nil {
			return nil, fmt.Errorf("%w%s", err, andLeftOut(l.links))
		}
		b.classes, b.notes = t.classes, t.notes
		b.leftOut = append(l.leftOut(), t.leftOut...)
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
	blocks, classes, err := load(untilOpened{c, ctx}, g, o.ArchiveLimit)
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
