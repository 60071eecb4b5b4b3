package data

import (
	"cmp"
	"fmt"
	"slices"
)

// sample is what is known of one image before any option is applied.
type sample struct {
	name  string
	id    uint64
	label int32
	part  part
}

// Split is a list of samples of one size. Its methods may be called from several
// goroutines at once.
type Split struct {
	name   string
	owner  *opened
	index  []int32 // numbers of the samples in the source
	pixels []uint8 // all samples decoded, in order, or nil
}

// Len is the number of samples.
func (s *Split) Len() int { return len(s.index) }

// Name is "train", "val" or "test".
func (s *Split) Name() string { return s.name }

// Label is the class of sample i, an index into Set.Classes.
func (s *Split) Label(i int) int { return int(s.owner.samples[s.index[i]].label) }

// Labels are the classes of all samples, in order; the caller owns the slice.
func (s *Split) Labels() []int {
	out := make([]int, s.Len())
	for i := range out {
		out[i] = s.Label(i)
	}
	return out
}

// Counts is the number of samples of each class.
func (s *Split) Counts() []int {
	out := make([]int, len(s.owner.classes))
	for i := range s.index {
		out[s.Label(i)]++
	}
	return out
}

// ID identifies sample i. It is a hash of the sample's name and thus the same in
// every run, under every option, and in every container that holds the sample
// under the same name.
func (s *Split) ID(i int) uint64 { return s.owner.samples[s.index[i]].id }

// SampleOf is the name of the data set's sample of this identity, whatever split
// it is in, or "". It looks at all samples: it is for errors. A nil Split has none.
func (s *Split) SampleOf(id uint64) string {
	if s != nil {
		for i := range s.owner.samples {
			if s.owner.samples[i].id == id {
				return s.owner.samples[i].name
			}
		}
	}
	return ""
}

// IDs are the identities of all samples, in order; the caller owns the slice.
func (s *Split) IDs() []uint64 {
	out := make([]uint64, s.Len())
	for i := range out {
		out[i] = s.ID(i)
	}
	return out
}

// Sample names sample i: the path of an image below the data set's folder, or
// the file and number of a record, "data_batch_1/0000042".
func (s *Split) Sample(i int) string { return s.owner.samples[s.index[i]].name }

// Shape is the height, width and number of channels of every sample.
func (s *Split) Shape() (h, w, c int) {
	t := s.owner.target
	return t.h, t.w, t.c
}

// Size is the number of bytes of one sample: height x width x channels.
func (s *Split) Size() int { return s.owner.target.bytes() }

// Cached reports whether all samples are in memory, decoded.
func (s *Split) Cached() bool {
	return s.pixels != nil || s.Len() == 0 || s.owner.source.view(int(s.index[0]), s.owner.target) != nil
}

// Read writes sample i to dst, [H, W, C] bytes. It fails with a [Bad] where the
// image cannot be decoded, and where dst has another length.
func (s *Split) Read(i int, dst []uint8) error {
	if i < 0 || i >= s.Len() {
		return fmt.Errorf("data: %s has samples 0..%d, not %d", s.name, s.Len()-1, i)
	}
	if n := s.owner.target.bytes(); len(dst) != n {
		return fmt.Errorf("data: destination has %d bytes; a sample of %s has %d", len(dst), s.name, n)
	}
	if p := s.inMemory(i); p != nil {
		copy(dst, p)
		return nil
	}
	sc := s.owner.scratch.Get().(*scratch)
	defer s.owner.scratch.Put(sc)
	return s.owner.decode(int(s.index[i]), dst, sc)
}

// inMemory returns the bytes of sample i where they need no decoding, else nil.
// They must not be written.
func (s *Split) inMemory(i int) []uint8 {
	if s.pixels != nil {
		n := s.owner.target.bytes()
		return s.pixels[i*n : (i+1)*n : (i+1)*n]
	}
	return s.owner.source.view(int(s.index[i]), s.owner.target)
}

// Take returns n samples of s, stratified by class and drawn by seed, in the
// order of s. n of Len or more returns s.
func (s *Split) Take(n int, seed uint64) *Split {
	if n >= s.Len() {
		return s
	}
	chosen := choose(s.owner.samples, s.index, max(n, 0), len(s.owner.classes), key(drawTake, seed))
	out := &Split{name: s.name, owner: s.owner, index: chosen}
	if s.pixels != nil {
		size := s.owner.target.bytes()
		out.pixels = make([]uint8, 0, len(chosen)*size)
		j := 0
		for _, c := range chosen {
			for s.index[j] != c {
				j++
			}
			out.pixels = append(out.pixels, s.pixels[j*size:(j+1)*size]...)
		}
	}
	return out
}

// byClass sorts the samples of pool into classes, each in an order drawn by seed
// from the samples' identities, so that the order of two samples never depends on
// which others there are.
func byClass(samples []sample, pool []int32, classes int, seed uint64) [][]int32 {
	out := make([][]int32, classes)
	for _, i := range pool {
		l := samples[i].label
		out[l] = append(out[l], i)
	}
	rank := func(i int32) uint64 { return key(seed, samples[i].id) }
	for _, class := range out {
		slices.SortFunc(class, func(a, b int32) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
		})
	}
	return out
}

// cut divides pool into a share of each class and the rest, both in pool's order.
// A class of two or more gives at least one sample and keeps at least one, unless
// share is 1.
func cut(samples []sample, pool []int32, classes int, share float64, seed uint64) (taken, rest []int32) {
	if share <= 0 {
		return nil, pool
	}
	var out []int32
	for _, class := range byClass(samples, pool, classes, seed) {
		n := len(class)
		take := n
		if share < 1 {
			take = min(max(int(share*float64(n)+0.5), 1), n-1)
		}
		out = append(out, class[:max(take, 0)]...)
	}
	return divide(pool, out)
}

// choose takes n samples of pool, of each class its share by the largest
// remainder, in pool's order.
func choose(samples []sample, pool []int32, n, classes int, seed uint64) []int32 {
	if n >= len(pool) {
		return pool
	}
	groups := byClass(samples, pool, classes, seed)
	quota := make([]int, classes)
	left := n
	order := make([]int, classes)
	for c, g := range groups {
		quota[c] = len(g) * n / len(pool)
		left -= quota[c]
		order[c] = c
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(len(groups[b])*n%len(pool), len(groups[a])*n%len(pool))
	})
	for _, c := range order[:left] {
		quota[c]++
	}
	var out []int32
	for c, g := range groups {
		out = append(out, g[:quota[c]]...)
	}
	taken, _ := divide(pool, out)
	return taken
}

// divide splits pool by membership in chosen, keeping pool's order.
func divide(pool, chosen []int32) (in, out []int32) {
	set := make(map[int32]bool, len(chosen))
	for _, i := range chosen {
		set[i] = true
	}
	in = make([]int32, 0, len(chosen))
	out = make([]int32, 0, len(pool)-len(chosen))
	for _, i := range pool {
		if set[i] {
			in = append(in, i)
		} else {
			out = append(out, i)
		}
	}
	return in, out
}
