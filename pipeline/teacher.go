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
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

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
	o := c.session(u.data, u.config.Resources)
	session, err := u.openTapped(&o)
	if err != nil {
		return err
	}
	u.teacherSHA = session.Spec().Hash
	if read := session.Spec().Reading; read != "" { // said before anything is made of it
		say(u.reporter, "model    %s: %s", session.Spec().Name, read)
	}
	if o.ClassOrder, err = settleClasses(session, u.data.Classes, u.reporter); err != nil {
		return err
	}
	c.Classes = o.ClassOrder
	spec, said, err := findPreprocess(ctx, session, c.Preprocess, "teacher.preprocess", &trialImages{split: u.data.Val}, u.reporter)
	if err != nil {
		return err
	}
	c.Preprocess = spec.String()
	if said == nil {
		if said, err = askSome(ctx, session, u.data.Val); err != nil {
			return err
		}
	}
	u.describeTeacher(session.Spec(), said)
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

// openTapped opens the teacher with the taps that the student learns from, and
// completes the options with which it is opened again. Where attention is but the
// default and the teacher has no place for it, as a network of tokens, it is left
// out and that is said.
func (u *run) openTapped(o *teachers.Options) (*teachers.Session, error) {
	c, attention := &u.config.Teacher, &u.config.Loss.Attention
	open := func() (*teachers.Session, error) {
		session, err := teachers.Open(c.Path, *o)
		if err == nil {
			u.closers = append(u.closers, session)
		}
		return session, err
	}
	if attention.Beta == 0 {
		o.Taps, o.Map = nil, teachers.MapNone
		return open()
	}
	o.Taps, o.Map, o.Power = c.Taps, teachers.MapKind(attention.Map), attention.Power
	session, err := open()
	if err == nil {
		u.pairs, err = u.pairTaps(session.Spec())
	}
	if byDefault := !u.options.Attention && len(c.Taps)+len(u.config.Student.Taps) == 0 && attention.Beta == Default().Loss.Attention.Beta; byDefault &&
		(errors.Is(err, teachers.ErrNoFeatureMap) || errors.Is(err, errNoPairs)) {
		say(u.reporter, "taps     none: %v. The student learns from the teacher's logits alone", err)
		attention.Beta, o.Taps, o.Map = 0, nil, teachers.MapNone
		return open()
	}
	if err != nil {
		return nil, err
	}
	if c.Taps = teacherTaps(u.pairs); slices.Equal(c.Taps, tapNames(session.Spec())) {
		return session, nil
	}
	o.Taps = c.Taps
	session.Close()
	return open()
}

// session is how a model is opened on images of the given data set.
func (c TeacherConfig) session(set *data.Set, r ResourcesConfig) teachers.Options {
	return c.openedAt([2]int{set.H, set.W}, set.C, r)
}

// openedAt is the same for images of a height and width and so many channels, 0
// where that is not known.
func (c TeacherConfig) openedAt(size [2]int, channels int, r ResourcesConfig) teachers.Options {
	shape, _ := preprocess.ParseImageShape(c.ImageShape) // which precheck has read
	o := teachers.Options{
		Size: [2]int{c.Size, c.Size}, DataSize: size, DataChannels: channels, ImageShape: shape,
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

// errNoPairs is returned by pairTaps where nothing can be paired by resolution.
var errNoPairs = errors.New("no tap of the student has the resolution of one of the teacher's")

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
		return nil, fmt.Errorf("pipeline: %w: the student has %s, the teacher %s; name pairs with teacher.taps and student.taps, or train on logits alone with loss.attention.beta 0",
			errNoPairs, names(own), cmp.Or(names(theirs), "none"))
	}
	u.config.Student.Taps = nil
	for _, p := range pairs {
		u.config.Student.Taps = append(u.config.Student.Taps, p.Student)
	}
	return pairs, nil
}

// describeTeacher says what the opened teacher is, and what it says of
// validation images.
func (u *run) describeTeacher(spec teachers.Spec, said *answers) {
	n := len(said.labels)
	u.teacherTop1 = said.top1(nil)
	u.askTime = said.took / time.Duration(n)
	say(u.reporter, "teacher  %s: %d classes, input %s %dx%dx%d, %s, %.1f %% on %d validation images",
		spec.Name, spec.Classes, spec.Layout, spec.H, spec.W, spec.C, spec.Preprocess, 100*u.teacherTop1, n)
	if got := [3]int{spec.H, spec.W, spec.C}; got != [3]int{u.data.H, u.data.W, u.data.C} {
		say(u.reporter, "         images of %dx%dx%d are brought to the teacher's %dx%dx%d", u.data.H, u.data.W, u.data.C, spec.H, spec.W, spec.C)
	}
	for _, note := range spec.Notes {
		if note != spec.Reading { // which openTeacher has said
			say(u.reporter, "         %s", note)
		}
	}
	suspect(said, spec, u.reporter)
	for _, p := range u.pairs {
		say(u.reporter, "taps     %s", p)
	}
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
