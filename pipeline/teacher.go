package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// checkSamples is how many labelled validation samples decide about a
// teacher's preprocessing and show its accuracy: enough to tell two presets
// five points apart, few enough to take seconds.
const checkSamples = 400

// openTeacher opens the frozen model with the taps the student learns from,
// finds out how it wants its images, and checks that it fits the data.
func (u *run) openTeacher(ctx context.Context) error {
	c := &u.config.Teacher
	if c.Path == "" {
		say(u.reporter, "teacher  none: the student learns from the labels alone")
		c.Precision = "" // of no signals
		return nil
	}
	var err error
	if c.Path, err = filepath.Abs(c.Path); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	attention := u.config.Loss.Attention
	o := c.session(u.data, u.config.Resources)
	o.Taps, o.Map, o.Power = c.Taps, teachers.MapKind(attention.Map), attention.Power
	if attention.Beta == 0 {
		o.Taps, o.Map = nil, teachers.MapNone
	}
	session, err := teachers.Open(c.Path, o)
	if err != nil {
		return err
	}
	u.closers = append(u.closers, session)
	if attention.Beta > 0 {
		if u.pairs, err = u.pairTaps(session.Spec()); err != nil {
			return err
		}
		if c.Taps = teacherTaps(u.pairs); !slices.Equal(c.Taps, tapNames(session.Spec())) {
			o.Taps = c.Taps
			session.Close()
			if session, err = teachers.Open(c.Path, o); err != nil {
				return err
			}
			u.closers = append(u.closers, session)
		}
	}
	u.teacherSHA = session.Spec().Hash
	if o.ClassOrder, err = settleClasses(session, u.data.Classes, u.reporter); err != nil {
		return err
	}
	c.Classes = o.ClassOrder
	check, err := takeEvenly(ctx, u.data.Val, checkSamples)
	if err != nil {
		return err
	}
	spec, err := findPreprocess(session, c.Preprocess, check, u.reporter)
	if err != nil {
		return err
	}
	c.Preprocess = spec.String()
	if err := u.checkTeacher(session, check); err != nil {
		return err
	}
	attach := func(*teachers.Session) error { return nil }
	if u.config.Loss.GradientBeta > 0 {
		if attach, err = u.differentiate(ctx, session.Spec()); err != nil {
			return err
		}
	}
	if err := attach(session); err != nil {
		return err
	}
	return u.openSignals(session, func() (teachers.Teacher, error) {
		again, err := teachers.Open(c.Path, o)
		if err != nil {
			return nil, err
		}
		err = again.SetPreprocess(spec)
		if hash := again.Spec().Hash; err == nil && hash != u.teacherSHA {
			err = fmt.Errorf("pipeline: %s has changed since the run began; restore it and go on with --resume", c.Path)
		}
		if err == nil {
			err = attach(again)
		}
		if err != nil {
			again.Close()
			return nil, err
		}
		return again, nil
	})
}

// session is how a model is opened on images of the given data set.
func (c TeacherConfig) session(set *data.Set, r ResourcesConfig) teachers.Options {
	o := teachers.Options{
		Size: [2]int{c.Size, c.Size}, DataSize: [2]int{set.H, set.W},
		Layout: teachers.Layout(c.Layout), Output: c.Output,
		Threads: r.Threads, Library: r.OnnxRuntime,
	}
	if len(c.Classes) > 0 { // read from a file, none is an empty list
		o.ClassOrder = c.Classes
	}
	return o
}

func teacherTaps(pairs []TapPair) []string {
	var taps []string
	for _, p := range pairs {
		taps = append(taps, p.Teacher)
	}
	return taps
}

func tapNames(spec teachers.Spec) []string {
	var taps []string
	for _, t := range spec.Taps {
		taps = append(taps, t.Name)
	}
	return taps
}

// pairTaps decides which places of the student learn from which of the
// teacher, and writes the student's side into the configuration.
func (u *run) pairTaps(teacher teachers.Spec) ([]TapPair, error) {
	g, err := u.model.Graph(1, student.Infer)
	if err != nil {
		return nil, err
	}
	var own, theirs []tap
	for _, t := range g.Taps {
		s := t.Node.Shape()
		own = append(own, tap{t.Name, [2]int{s[1], s[2]}})
	}
	for _, t := range teacher.Taps {
		theirs = append(theirs, tap{t.Name, [2]int{t.H, t.W}})
	}
	byUser := u.config.Student.Taps
	if len(byUser) > 0 {
		chosen := make([]tap, len(byUser))
		for i, name := range byUser {
			at := slices.IndexFunc(own, func(t tap) bool { return t.name == name })
			if at < 0 {
				return nil, fmt.Errorf("pipeline: the student has no tap %q; %s has %s", name, u.model.Name(), names(own))
			}
			chosen[i] = own[at]
		}
		own = chosen
	}
	var pairs []TapPair
	if named := len(u.config.Teacher.Taps) > 0; named && (len(byUser) > 0 || len(own) == len(theirs)) {
		if pairs, err = pairNamed(own, theirs); err != nil {
			return nil, err
		}
	} else {
		pairs = pairByResolution(own, theirs, [2]int{u.data.H, u.data.W}, [2]int{teacher.H, teacher.W})
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("pipeline: no tap of the student (%s) has the resolution of one of the teacher's (%s); name pairs with teacher.taps and student.taps, or train on logits alone with loss.attention.beta 0",
			names(own), cmp.Or(names(theirs), "none"))
	}
	u.config.Student.Taps = nil
	for _, p := range pairs {
		u.config.Student.Taps = append(u.config.Student.Taps, p.Student)
	}
	return pairs, nil
}

// labelled is a few samples in memory.
type labelled struct {
	batches []data.Batch
	n       int
}

// takeEvenly reads up to n samples spread evenly over a split.
func takeEvenly(ctx context.Context, split *data.Split, n int) (labelled, error) {
	const batch = 50
	n = min(n, split.Len())
	taken := labelled{n: n}
	for from := 0; from < n; from += batch {
		if ctx.Err() != nil {
			return taken, ErrInterrupted
		}
		b := newBatch(split, min(batch, n-from))
		for j := range b.N {
			i := (from + j) * split.Len() / n
			size := len(b.Pixels) / b.N
			if err := split.Read(i, b.Pixels[j*size:(j+1)*size]); err != nil {
				return taken, err
			}
			b.Labels[j], b.Samples[j] = split.Label(i), split.ID(i)
		}
		taken.batches = append(taken.batches, b)
	}
	return taken, nil
}

func newBatch(split *data.Split, n int) data.Batch {
	h, w, c := split.Shape()
	return data.Batch{
		Pixels: make([]uint8, n*h*w*c), N: n, H: h, W: w, C: c,
		Labels: make([]int, n), Samples: make([]uint64, n),
	}
}

// judge returns a teacher's accuracy and confusion matrix on some samples.
func judge(t teachers.Teacher, on labelled) (top1 float64, confusion [][]int, err error) {
	accuracy, c := engine.ClassErrorMeter{Accuracy: true}, engine.ConfusionMeter{}
	for _, b := range on.batches {
		s, err := t.Signals(teacherBatch(b))
		if err != nil {
			return 0, nil, err
		}
		scores := engine.Scores{Logits: s.Logits, Labels: b.Labels}
		accuracy.Add(scores)
		c.Add(scores)
	}
	return accuracy.Value(), c.Value(), nil
}

// findPreprocess settles how a model wants its images: as the user says
// (asked), else as the file's metadata says, else by the preset with which it
// classifies the samples best.
func findPreprocess(session *teachers.Session, asked string, check labelled, r Reporter) (preprocess.Spec, error) {
	spec, err := preprocess.Parse(asked)
	if err != nil {
		return spec, err
	}
	if !spec.Known() && asked == "" {
		spec = session.Spec().Preprocess // what the metadata says, if anything
	}
	if spec.Known() {
		return spec, session.SetPreprocess(spec)
	}
	if check.n == 0 {
		return spec, fmt.Errorf("pipeline: %s does not say how its images are normalised and there are no samples to try with; say it with teacher.preprocess", session.Spec().Name)
	}
	var best preprocess.Named
	bestTop1 := -1.0
	var failed []error
	presets := preprocess.Presets()
	tell := r.Begin("trying preprocessings", len(presets))
	for i, preset := range presets {
		tell(i, preset.Name)
		if err := session.SetPreprocess(preset.Spec); err != nil {
			failed = append(failed, err) // three means for one channel, say
			continue
		}
		top1, confusion, err := judge(session, check)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if _, permuted := ClassOrder(confusion); permuted {
			top1 = purity(confusion) // another class order must not hide the right preprocessing
		}
		if top1 > bestTop1 {
			best, bestTop1 = preset, top1
		}
	}
	tell(len(presets), "")
	if bestTop1 < 0 {
		return spec, errors.Join(failed...)
	}
	say(r, "auto     %s classifies best with preprocessing %q: %.1f %% of %d labelled images", session.Spec().Name, best.Name, 100*bestTop1, check.n)
	return best.Spec, session.SetPreprocess(best.Spec)
}

// purity is the accuracy under the best class for each row.
func purity(confusion [][]int) float64 {
	right, all := 0, 0
	for _, row := range confusion {
		right += slices.Max(row)
		for _, n := range row {
			all += n
		}
	}
	return float64(right) / float64(all)
}

// checkTeacher compares the opened teacher with the data and says what it is.
func (u *run) checkTeacher(teacher teachers.Teacher, check labelled) error {
	spec := teacher.Spec()
	classes := len(u.data.Classes)
	start := time.Now()
	top1, confusion, err := judge(teacher, check)
	if err != nil {
		return err
	}
	u.teacherTop1 = top1
	u.askTime = time.Since(start) / time.Duration(check.n)
	say(u.reporter, "teacher  %s: %d classes, input %s %dx%dx%d, %s, %.1f %% on %d validation images",
		spec.Name, spec.Classes, spec.Layout, spec.H, spec.W, spec.C, spec.Preprocess, 100*top1, check.n)
	if got := [3]int{spec.H, spec.W, spec.C}; got != [3]int{u.data.H, u.data.W, u.data.C} {
		say(u.reporter, "         images of %dx%dx%d are brought to the teacher's %dx%dx%d", u.data.H, u.data.W, u.data.C, spec.H, spec.W, spec.C)
	}
	for _, note := range spec.Notes {
		say(u.reporter, "         %s", note)
	}
	order, permuted := ClassOrder(confusion)
	for i, c := range order {
		if len(spec.ClassOrder) > 0 { // the columns are in the order asked for
			order[i] = spec.ClassOrder[c]
		}
	}
	chance := 1 / float64(classes)
	switch {
	case permuted:
		warn(u.reporter, "the teacher seems to know these classes in another order; this mapping would fix it: teacher.classes %s", FormatClasses(order))
	case top1 < 2*chance && top1 < 0.5+chance/2:
		warn(u.reporter, "the teacher is right on %.1f %% where chance is %.1f %%; the usual cause is wrong preprocessing (teacher.preprocess, now %s), the next another class order (teacher.classes)",
			100*top1, 100*chance, u.config.Teacher.Preprocess)
	}
	for _, p := range u.pairs {
		say(u.reporter, "taps     %s", p)
	}
	return nil
}

func abbreviate(words []string) string {
	const most = 6
	s := ""
	for i, w := range words {
		if i == most {
			return s + ", …"
		}
		if i > 0 {
			s += ", "
		}
		s += w
	}
	return s
}
