package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// How many labelled samples decide how a model wants its images and show its
// accuracy: enough to tell two presets five points apart and to give a class
// its place, few enough to take seconds. Presets that are as good as each other
// on those are tried on up to tieSamples.
const (
	checkSamples  = 400
	checkPerClass = 10
	checkMost     = 2000
	tieSamples    = 1600
	firstSamples  = 100 // what a preset is given up on at the earliest
)

// rounds divides samples of a split into rounds of which each is about as large
// as all before it, and says after how many of them there are enough where
// nothing is left to decide. The samples are spread over the whole split and
// drawn, as splits may be sorted by class, or have their classes in turn; which
// they are depends on the split's size and the number of classes alone.
func rounds(split *data.Split, classes int) (at [][]int, enough int) {
	size := split.Len()
	least := min(size, max(checkSamples, min(checkPerClass*classes, checkMost)))
	n := min(size, max(least, tieSamples))
	rng := rand.New(rand.NewPCG(uint64(size), uint64(n)))
	places := make([]int, n)
	for j, k := range rng.Perm(n) {
		from, to := k*size/n, (k+1)*size/n
		places[j] = from + rng.IntN(to-from)
	}
	parts := 1
	for n/(2*parts) >= max(firstSamples, 2*classes) {
		parts *= 2
	}
	for taken := 0; taken < n; parts /= 2 {
		upTo := n / parts
		at = append(at, places[taken:upTo])
		if taken = upTo; taken < least {
			enough = len(at)
		}
	}
	return at, enough + 1
}

// trialImages are the labelled images that presets are tried on. They are the
// validation images wherever there are such, so that training and measuring
// come to one answer, and those that are measured measure nothing else.
type trialImages struct {
	split *data.Split // nil until they are needed, where they must be opened first
	open  func(context.Context) (*data.Set, error)
	set   *data.Set // what was opened
	// measured is taken where the data has a test part alone.
	measured *data.Split
}

// trialOf chooses among what is measured on; a set of which the test part alone
// is open is opened again for its validation part.
func trialOf(set *data.Set, splits []*data.Split, given bool, c DataConfig, seed uint64, r Reporter) *trialImages {
	switch {
	case set.Val.Len() > 0:
		return &trialImages{split: set.Val}
	case given || set.Train.Len() > 0:
		return &trialImages{split: splits[0]}
	}
	return &trialImages{measured: splits[0], open: func(ctx context.Context) (*data.Set, error) {
		c.Limit = 1 // training image, and one to test on: none is wanted
		return openSet(ctx, c, data.Options{Seed: seed, TestLimit: 1}, r)
	}}
}

// images returns the split, empty where there are no such images.
func (t *trialImages) images(ctx context.Context) (*data.Split, error) {
	if t.split == nil {
		set, err := t.open(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, ErrInterrupted
		case err != nil:
			t.split = t.measured
		default:
			t.set, t.split = set, set.Val
		}
	}
	return t.split, nil
}

func (t *trialImages) close() {
	if t.set != nil {
		t.set.Close()
	}
}

// askSome asks a model about as many samples of a split as show its accuracy.
func askSome(ctx context.Context, t teachers.Teacher, split *data.Split) (*answers, error) {
	a := &answers{}
	at, enough := rounds(split, t.Spec().Classes)
	for b, err := range batchesOf(ctx, split, slices.Concat(at[:enough]...)) {
		if err == nil {
			err = a.ask(t, b)
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// findPreprocess settles how a model wants its images: as the user says
// (asked), else as the file's metadata says, else by the preset with which it
// classifies some images best; what it said of them then is the second
// result, which is nil where nothing had to be tried. setting is what a user says
// it with.
func findPreprocess(ctx context.Context, session *teachers.Session, asked, setting string, on *trialImages, r Reporter) (preprocess.Spec, *answers, error) {
	spec, err := preprocess.Parse(asked)
	if err != nil {
		return spec, nil, err
	}
	if !spec.Known() && asked == "" {
		spec = session.Spec().Preprocess // what the metadata says, if anything
	}
	if spec.Known() {
		return spec, nil, session.SetPreprocess(spec)
	}
	split, err := on.images(ctx)
	if err != nil {
		return spec, nil, err
	}
	if split.Len() == 0 {
		return spec, nil, fmt.Errorf("pipeline: %s does not say how its images are normalised and there are no samples to try with; set %s", session.Spec().Name, setting)
	}
	p := &preprocessSearch{session: session, setting: setting}
	for _, preset := range preprocess.Presets(session.Spec().C) {
		p.left = append(p.left, &candidate{Named: preset})
	}
	if err := p.run(ctx, split, r); err != nil {
		return spec, nil, err
	}
	best := p.left[0]
	p.tell(r)
	return best.Spec, best.said, session.SetPreprocess(best.Spec)
}

// preprocessSearch tries presets on more and more samples and gives up on those
// that are surely behind.
type preprocessSearch struct {
	session *teachers.Session
	setting string       // that says the preprocessing
	left    []*candidate // the best first
	gone    []*candidate // given up, the last first
}

// candidate is a preset and what the model says of the samples with it.
type candidate struct {
	preprocess.Named
	said *answers
	// right is under the data's class order unless another is surely better, as
	// that must not hide the right preset.
	right []bool
	moved bool    // whether another is
	top1  float64 // share of right
}

func (p *preprocessSearch) run(ctx context.Context, split *data.Split, r Reporter) error {
	at, enough := rounds(split, p.session.Spec().Classes)
	for i, round := range at {
		if i >= enough && len(p.left) == 1 {
			break
		}
		if err := p.try(ctx, split, round, r); err != nil {
			return err
		}
		p.narrow()
	}
	return nil
}

// try asks about a round's samples with each preset that is left. A preset that
// the model cannot be run with is given up; when none is left the first reason
// is returned.
func (p *preprocessSearch) try(ctx context.Context, split *data.Split, round []int, r Reporter) error {
	tell := r.Begin(fmt.Sprintf("trying %d preprocessings", len(p.left)), len(p.left)*len(round))
	done, presets := 0, len(p.left)
	var why error
	for b, err := range batchesOf(ctx, split, round) {
		if err != nil {
			return err
		}
		p.left = slices.DeleteFunc(p.left, func(c *candidate) bool {
			tell(done, c.Name)
			done += b.N
			err := p.session.SetPreprocess(c.Spec)
			if c.said == nil {
				c.said = &answers{}
			}
			if err == nil {
				err = c.said.ask(p.session, b)
			}
			if why == nil {
				why = err
			}
			return err != nil
		})
		if len(p.left) == 0 {
			return fmt.Errorf("pipeline: with none of %d preprocessings can the model be run: %w", presets, why)
		}
	}
	tell(presets*len(round), "")
	return nil
}

// narrow gives up the presets that the best is surely ahead of and sorts those
// that are left: by accuracy, but what needs another class order comes behind
// what is as good without. A colour that is a class makes one order of colours
// look like another order of classes.
func (p *preprocessSearch) narrow() {
	var best *candidate
	for _, c := range p.left {
		own, moved := c.said.right(nil), c.said.right(c.said.bestOrder(nil))
		c.right, c.moved = own, ahead(moved, own) >= sure
		if c.moved {
			c.right = moved
		}
		if c.top1 = shareOf(c.right); best == nil || c.top1 > best.top1 {
			best = c
		}
	}
	var left, gone []*candidate
	for _, c := range p.left {
		if ahead(best.right, c.right) < sure {
			left = append(left, c)
		} else {
			gone = append(gone, c)
		}
	}
	byAccuracy := func(a, b *candidate) int { return cmp.Compare(b.top1, a.top1) }
	slices.SortStableFunc(gone, byAccuracy)
	slices.SortStableFunc(left, byAccuracy)
	slices.SortStableFunc(left, func(a, b *candidate) int {
		switch {
		case a.moved == b.moved:
			return 0
		case b.moved:
			return -1
		}
		return 1
	})
	p.left, p.gone = left, append(gone, p.gone...)
}

// tell says which preset was chosen, which came next, and by how much.
func (p *preprocessSearch) tell(r Reporter) {
	best, n := p.left[0], len(p.left[0].right)
	line := fmt.Sprintf("auto     %s classifies best with preprocessing %q: %.1f %% of %d labelled images", p.session.Spec().Name, best.Name, 100*best.top1, n)
	if next := append(p.left[1:], p.gone...); len(next) > 0 {
		second := next[0]
		line += fmt.Sprintf("; next is %q with %.1f %%", second.Name, 100*second.top1)
		if m := len(second.right); m < n {
			line += fmt.Sprintf(" of %d", m)
		}
		if len(p.left) > 1 {
			line += fmt.Sprintf(", too close to be sure: set %s if you know it", p.setting)
		}
	}
	r.Say(line)
}
