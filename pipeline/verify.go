package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// VerifyConfig says which two models are compared on which images.
type VerifyConfig struct {
	A, B      TeacherConfig // two .onnx files, any classifiers; Taps and Precision are not used
	Data      DataConfig    // Path names the images
	Split     string        // test (also when empty), val, train or all
	Samples   int           // images to compare on, stratified and drawn from Seed; 0 is all
	Seed      uint64        // also of the split, where the data brings none
	Batch     int           // 0 is 128
	Resources ResourcesConfig
}

// Verification is how far two models agree.
//
// They are compared by their logits, from before a softmax where a file ends in
// one that can be left off. Where one of them gives only probabilities, both are
// brought to the logarithms of theirs.
type Verification struct {
	Samples            int      `json:"samples"`
	Compared           string   `json:"compared"`            // ComparedLogits or ComparedLogP
	MaxDifference      float64  `json:"max_difference"`      // largest |a - b| of a logit
	RelativeDifference float64  `json:"relative_difference"` // that over the largest |logit| of either
	Worst              string   `json:"worst,omitempty"`     // the sample with that difference; empty where there is none
	SameTop1           int      `json:"same_top1"`           // samples with the same class first
	A                  Verified `json:"a"`
	B                  Verified `json:"b"`
	Notes              []string `json:"notes,omitempty"` // what was assumed
}

// The values of Verification.Compared.
const (
	ComparedLogits = "logits"
	ComparedLogP   = "log p"
)

// Verified is one of the two models and what it achieves by itself.
type Verified struct {
	Path       string          `json:"path"`
	SHA256     string          `json:"sha256"`
	Bytes      int64           `json:"bytes"`
	Top1       *float64        `json:"top1,omitempty"`    // accuracy, 0 to 1; nil where the data's classes are not the model's
	Logits     teachers.Logits `json:"logits"`            // where they come from
	Reading    string          `json:"reading,omitempty"` // what was made of the file, where that is anything
	Preprocess string          `json:"preprocess"`
}

// Verify runs two models on the same images in ONNX Runtime and compares what
// they say. They must take images of one size and layout and tell the same
// classes apart; what the data's classes are matters only to the accuracies.
func Verify(ctx context.Context, c VerifyConfig, o Options) (*Verification, error) {
	r := o.Reporter
	if r == nil {
		r = Silent{}
	}
	if c.Samples < 0 {
		return nil, fmt.Errorf("pipeline: comparing on %d samples; give their number, or 0 for all", c.Samples)
	}
	for _, model := range []TeacherConfig{c.A, c.B} {
		m, err := onnx.ReadFile(model.Path)
		if err != nil {
			return nil, err
		}
		if _, err := precheck(model, m, c.Data, c.Resources); err != nil {
			return nil, err
		}
	}
	set, splits, done, err := openSplits(ctx, o.Data, c.Data, wantedImages{split: c.Split, samples: c.Samples, seed: c.Seed}, r)
	if err != nil {
		return nil, err
	}
	defer done()
	if splits = thin(splits, c.Samples, c.Seed); len(splits) == 0 {
		return nil, fmt.Errorf("pipeline: %s has no %s images to compare on; choose another split: %s",
			c.Data.Path, cmp.Or(c.Split, "test"), strings.Join(Splits, ", "))
	}
	p, err := openPair(c, set)
	if err != nil {
		return nil, err
	}
	defer p.close()
	tryOn := trialOf(set, splits, o.Data != nil, c.Data, c.Seed, r)
	defer tryOn.close()
	if err := p.settlePreprocess(ctx, c, tryOn, r); err != nil {
		return nil, err
	}
	return p.compare(ctx, splits, cmp.Or(c.Batch, 128), r)
}

// thin takes n samples from splits, of each its share, and leaves out those of
// which nothing is left. n of 0 is all.
func thin(splits []*data.Split, n int, seed uint64) []*data.Split {
	total := 0
	for _, s := range splits {
		total += s.Len()
	}
	if n == 0 || n > total {
		n = total
	}
	var taken []*data.Split
	before := 0
	for _, s := range splits {
		after := before + s.Len()
		if share := n*after/max(total, 1) - n*before/max(total, 1); share > 0 {
			taken = append(taken, s.Take(share, seed))
		}
		before = after
	}
	return taken
}

// pair is two opened models that take the same images.
type pair struct {
	a, b   *teachers.Session
	models [2]Verified
	judged [2]bool // whether the data's labels are the model's
	notes  []string
}

func (p *pair) close() {
	p.a.Close()
	p.b.Close()
}

func (p *pair) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// openPair opens both models, one that leaves the size of its images open at
// the size the other wants, and checks that they can be compared.
func openPair(c VerifyConfig, set *data.Set) (*pair, error) {
	open := func(m TeacherConfig, like *teachers.Session) (*teachers.Session, error) {
		o := m.session(set, c.Resources)
		o.Map = teachers.MapNone
		if like != nil {
			o.Size = sizeOf(like.Spec())
		}
		return teachers.Open(m.Path, o)
	}
	a, err := open(c.A, nil)
	if err != nil {
		return nil, err
	}
	b, err := open(c.B, nil)
	if err != nil {
		a.Close()
		return nil, err
	}
	if sizeOf(a.Spec()) != sizeOf(b.Spec()) {
		if again, err := open(c.B, a); err == nil {
			b.Close()
			b = again
		} else if again, err := open(c.A, b); err == nil {
			a.Close()
			a = again
		}
	}
	p := &pair{a: a, b: b}
	if err := p.check(c, set); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// check returns an error when the models take other images or tell other
// classes apart, and sees whether the labels are theirs.
func (p *pair) check(c VerifyConfig, set *data.Set) error {
	a, b := p.a.Spec(), p.b.Spec()
	switch {
	case sizeOf(a) != sizeOf(b) || a.C != b.C:
		return fmt.Errorf("pipeline: %s takes images of %dx%dx%d and %s of %dx%dx%d; only models that take the same images can be compared",
			c.A.Path, a.H, a.W, a.C, c.B.Path, b.H, b.W, b.C)
	case a.Classes != b.Classes:
		return fmt.Errorf("pipeline: %s tells %d classes apart and %s %d; only models of the same classes can be compared",
			c.A.Path, a.Classes, c.B.Path, b.Classes)
	}
	var names [2][]string
	for i, m := range []TeacherConfig{c.A, c.B} {
		spec := []teachers.Spec{a, b}[i]
		info, err := os.Stat(m.Path)
		if err != nil {
			return fmt.Errorf("pipeline: %w", err)
		}
		p.models[i] = Verified{Path: m.Path, SHA256: spec.Hash, Bytes: info.Size(), Logits: spec.Logits, Reading: spec.Reading}
		names[i] = spec.ClassNames
		p.judged[i] = spec.Classes == len(set.Classes) && (names[i] == nil || len(m.Classes) > 0 || sameNames(names[i], set.Classes))
	}
	if names[0] != nil && names[1] != nil && !slices.Equal(names[0], names[1]) {
		return fmt.Errorf("pipeline: %s has the classes %s and %s has %s; only models of the same classes, in the same order, can be compared",
			c.A.Path, abbreviate(names[0]), c.B.Path, abbreviate(names[1]))
	}
	switch {
	case !p.judged[0] && !p.judged[1]:
		p.note("the data's classes (%s) are not the models', so they have no accuracy", abbreviate(set.Classes))
	case !p.judged[0] || !p.judged[1]:
		i := slices.Index(p.judged[:], false)
		p.note("the data's classes (%s) are not those of %s, so it has no accuracy", abbreviate(set.Classes), p.models[i].Path)
	}
	return nil
}

func sizeOf(s teachers.Spec) [2]int { return [2]int{s.H, s.W} }

// settlePreprocess finds out how each model wants its images: as the user says,
// else as its metadata says, else as the other one, else, for both, by the
// preset with which the first classifies best.
func (p *pair) settlePreprocess(ctx context.Context, c VerifyConfig, tryOn *trialImages, r Reporter) error {
	sessions := [2]*teachers.Session{p.a, p.b}
	var known [2]bool
	for i, asked := range []string{c.A.Preprocess, c.B.Preprocess} {
		spec, err := preprocess.Parse(asked)
		if err != nil {
			return err
		}
		if spec.Known() {
			if err := sessions[i].SetPreprocess(spec); err != nil {
				return err
			}
		}
		known[i] = spec.Known() || asked == "" && sessions[i].Spec().Preprocess.Known()
	}
	for i, session := range sessions {
		// What takes bytes normalises them itself: that says nothing of another.
		other := sessions[1-i].Spec()
		if known[i] || !known[1-i] || other.Input == onnx.Uint8 {
			continue
		}
		if err := session.SetPreprocess(other.Preprocess); err != nil {
			return err
		}
		known[i] = true
		p.note("%s does not say how its images are normalised; they are as for %s, %s", p.models[i].Path, other.Name, other.Preprocess)
	}
	for i, session := range sessions {
		if known[i] {
			continue
		}
		setting := [2]string{"A", "B"}[i] + ".Preprocess"
		if !p.judged[i] {
			return fmt.Errorf("pipeline: %s does not say how its images are normalised, and without labels of its classes that cannot be tried; set %s", p.models[i].Path, setting)
		}
		spec, _, err := findPreprocess(ctx, session, "auto", setting, tryOn, r)
		if err != nil {
			return err
		}
		if other := sessions[1-i]; !known[1-i] {
			if err := other.SetPreprocess(spec); err != nil {
				return err
			}
			known[1-i] = true
		}
	}
	for i, session := range sessions {
		p.models[i].Preprocess = session.Spec().Preprocess.String()
	}
	return nil
}

// compare runs both models on all samples of the splits.
func (p *pair) compare(ctx context.Context, splits []*data.Split, batch int, r Reporter) (*Verification, error) {
	v := &Verification{Compared: ComparedLogits, Notes: p.notes}
	classes := p.a.Spec().Classes
	if p.models[0].Logits == teachers.LogitsLogP || p.models[1].Logits == teachers.LogitsLogP {
		v.Compared = ComparedLogP
	}
	total, largest := 0, 0.0
	for _, s := range splits {
		total += s.Len()
	}
	accuracy := [2]engine.ClassErrorMeter{{Accuracy: true}, {Accuracy: true}}
	tell := r.Begin("comparing", total)
	for _, split := range splits {
		at := 0 // position in the split
		for sample, err := range inOrder(ctx, split, batch) {
			if ctx.Err() != nil {
				return nil, ErrInterrupted
			}
			if err != nil {
				return nil, err
			}
			var logits [2][]float32
			for i, session := range []*teachers.Session{p.a, p.b} {
				s, err := session.Signals(teacherBatch(sample.Batch))
				if err != nil {
					return nil, err
				}
				if p.judged[i] {
					scores := engine.Scores{Logits: s.Logits, Labels: sample.Labels}
					if err := scores.Check(); err != nil {
						return nil, fmt.Errorf("pipeline: %s: %w", p.models[i].Path, err)
					}
					accuracy[i].Add(scores)
				}
				if logits[i] = s.Logits; v.Compared == ComparedLogP {
					toLogP(logits[i], classes)
				}
			}
			for i := range sample.N {
				x, y := logits[0][i*classes:(i+1)*classes], logits[1][i*classes:(i+1)*classes]
				for j := range x {
					largest = max(largest, abs(x[j]), abs(y[j]))
					if d := math.Abs(float64(x[j]) - float64(y[j])); d > v.MaxDifference {
						v.MaxDifference, v.Worst = d, split.Sample(at+i)
					}
				}
				if engine.ArgMax(x) == engine.ArgMax(y) {
					v.SameTop1++
				}
			}
			at += sample.N
			v.Samples += sample.N
			tell(v.Samples, "")
		}
	}
	if largest > 0 {
		v.RelativeDifference = v.MaxDifference / largest
	}
	for i := range p.models {
		if p.judged[i] {
			top1 := accuracy[i].Value()
			p.models[i].Top1 = &top1
		}
	}
	v.A, v.B = p.models[0], p.models[1]
	return v, nil
}

// leastLogP is the logarithm of the least probability that is told apart from
// zero, the smallest normal float32.
const leastLogP = -87.33654475

// toLogP turns rows of logits into the logarithms of their softmax.
func toLogP(logits []float32, classes int) {
	for row := range slices.Chunk(logits, classes) {
		largest, sum := float64(slices.Max(row)), 0.0
		for _, v := range row {
			sum += math.Exp(float64(v) - largest)
		}
		for j, v := range row {
			row[j] = max(float32(float64(v)-largest-math.Log(sum)), leastLogP)
		}
	}
}
