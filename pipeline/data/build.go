package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// builder makes a Set out of samples and their source.
type builder struct {
	Options
	format  string
	classes []string
	notes   []string
	leftOut []LeftOut
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
	if b.Check != nil {
		if err := b.Check(b.classes); err != nil {
			return nil, err
		}
	}
	b.steps = progress{report: b.Progress, total: len(b.samples)}
	for p, pool := range pools {
		most := [partCount]int{partTrain: b.Limit, partTest: b.TestLimit}[p]
		if n := len(pool); most > 0 {
			b.steps.total += min(n, most)
		} else {
			b.steps.total += n
		}
	}

	fingerprint, content, err := b.inspect(ctx)
	if err != nil {
		return nil, err
	}
	t, err := b.target()
	if err != nil {
		if bad := b.complain(); bad != nil {
			return nil, bad
		}
		return nil, err
	}

	owner := &opened{samples: b.samples, classes: b.classes, source: b.source, target: t}
	owner.scratch.New = func() any { return new(scratch) }
	set := &Set{
		Format: b.format, Classes: b.classes, H: t.h, W: t.w, C: t.c,
		Fingerprint: fingerprint, ContentHash: content, owner: owner,
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
	if err := b.complain(); err != nil {
		return nil, err
	}
	set.Bad = b.listBad()
	if err := b.check(set); err != nil {
		return nil, err
	}
	set.Notes, set.LeftOut = b.notes, b.leftOut
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

// inspect reads every header, and returns the set's fingerprint and, where it is
// wanted, the same over the whole content.
func (b *builder) inspect(ctx context.Context) (fingerprint, content string, err error) {
	n := len(b.samples)
	b.headers = make([]header, n)
	b.bad = make([]error, n)
	sizes := make([]int64, n)
	sums := make([]digest, n)
	var whole []digest
	if b.HashContent {
		whole = make([]digest, n)
	}
	err = parallel(ctx, n, b.Workers, func(i int, s *scratch) {
		b.headers[i], sizes[i], sums[i], b.bad[i] = b.source.inspect(i, s)
		if whole != nil {
			whole[i] = sums[i]
			if b.bad[i] == nil && sizes[i] > headBytes {
				whole[i], b.bad[i] = b.source.content(i, s)
			}
		}
		b.steps.add(1)
	})
	if err != nil {
		return "", "", err
	}
	if whole != nil {
		content = b.fingerprint(sizes, whole)
	}
	return b.fingerprint(sizes, sums), content, nil
}

// fingerprint is a hash over the samples, of given sizes and contents.
func (b *builder) fingerprint(sizes []int64, sums []digest) string {
	h := sha256.New()
	fmt.Fprintf(h, "data set, version 1\n%d classes %q\n", len(b.classes), b.classes)
	for i := range b.samples {
		s := &b.samples[i]
		fmt.Fprintf(h, "%q %d %s %d %x\n", s.name, s.label, s.part, sizes[i], sums[i])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ErrSizes is wrapped by the error of Open when images differ in size and
// Options.H and W choose none.
var ErrSizes = errors.New("choose the size they are to be resized to")

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
			return t, fmt.Errorf("images differ in size: %s is %dx%d, %s is %dx%d (height x width); %w",
				b.samples[first].name, f.h, f.w, b.samples[i].name, h.h, h.w, ErrSizes)
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
		if p == partTest && b.TestLimit > 0 {
			return choose(b.samples, good, b.TestLimit, len(b.classes), key(drawTake, b.Seed))
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
		if !b.SkipBad {
			return s, nil // build complains when all splits have been read
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
