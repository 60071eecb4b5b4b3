package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// openSignals puts before the session what gives its signals to the student:
// rounded as the configuration says, and recorded where it names a folder. The
// folder and what it holds do not change a single signal.
func (u *run) openSignals(session *teachers.Session, open func() (teachers.Teacher, error)) error {
	c, set := &u.config, u.data
	record := c.Resources.caches()
	if a := c.Training.Augment; record && a.augment().Enabled() && a.Views == 0 {
		record = false
		say(u.reporter, "signals  not recorded, as each epoch draws views of its own; training.augment.views %d shows that many in turn", defaultViews)
	}
	if c.Teacher.Precision == "" {
		c.Teacher.Precision = string(teachers.Float32)
		if record {
			c.Teacher.Precision = string(teachers.Float16)
		}
	}
	precision, spec := teachers.Precision(c.Teacher.Precision), session.Spec()
	if record {
		runtime, err := teachers.Runtime(c.Resources.OnnxRuntime)
		if err != nil {
			return err
		}
		if c.Resources.Cache, err = filepath.Abs(c.Resources.Cache); err != nil {
			return fmt.Errorf("pipeline: %w", err)
		}
		u.signals, err = teachers.OpenCache(c.Resources.Cache, teachers.CacheKey{
			Teacher: spec, Output: c.Teacher.Output, Runtime: runtime.Version,
			Data: cmp.Or(set.ContentHash, set.Fingerprint), Decoding: data.DecodingVersion, Image: [3]int{set.H, set.W, set.C},
			Augment: c.Training.Augment.augment().String(), Seed: c.Training.Seed,
			Precision: precision, Samples: set.IDs(), DataName: c.Data.Path,
		}, u.reporter.Warn)
		if err != nil {
			return err
		}
	}
	var err error
	if u.teacher, err = teachers.NewCached(session, spec, open, precision, u.signals); err != nil {
		return err
	}
	u.closers = append(u.closers, u.teacher)
	return nil
}

// views lists the views that a run shows from an epoch on, in that order.
func (u *run) views(epoch int) []uint32 {
	t := u.config.Training
	var shown []uint32
	for e := epoch; e < min(t.Epochs, epoch+max(1, t.Augment.Views)); e++ {
		if v := u.loader.View(e); !slices.Contains(shown, v) {
			shown = append(shown, v)
		}
	}
	return shown
}

// missing counts the signals that views lack.
func (u *run) missing(views []uint32) int {
	n, samples := 0, u.data.Train.IDs()
	for _, view := range views {
		n += len(u.signals.Missing(samples, view))
	}
	return n
}

// rest lets the teacher go when the epochs that are left have all signals
// recorded. Should one turn out damaged, it is opened again.
func (u *run) rest(epoch int) error {
	if u.signals == nil || u.missing(u.views(epoch)) > 0 {
		return nil
	}
	return u.teacher.Release()
}

// recordRest asks the teacher about the images that do not fill an epoch's last
// batch: in another epoch of the same view other images are left over.
func (u *run) recordRest(ctx context.Context, epoch int) error {
	if u.signals == nil || !u.signals.Writable() || ctx.Err() != nil {
		return nil
	}
	view := u.loader.View(epoch)
	left := u.signals.Missing(u.data.Train.IDs(), view)
	if len(left) >= u.config.Training.Batch {
		return nil // more than that is missing, and comes when it is needed
	}
	for batch, err := range u.loader.Visit(ctx, view, left) {
		if err == nil {
			_, err = u.teacher.Signals(teacherBatch(batch))
		}
		batch.Release()
		if err != nil {
			return err
		}
	}
	return u.rest(epoch + 1)
}

// planSignals says what the recorded signals take, and returns how many are
// still to be asked for from an epoch on.
func (u *run) planSignals(epoch int) int {
	all := u.views(0)
	samples := u.data.Train.Len()
	rows := len(all) * samples
	complete, recorded := 0, 0
	ids := u.data.Train.IDs()
	for _, view := range all {
		n := u.signals.Recorded(ids, view)
		recorded += n
		if n == samples {
			complete++
		}
	}
	size := u.signals.Bytes(ids) * int64(len(all))
	state := fmt.Sprintf("%d of %d views recorded", complete, len(all))
	if part := recorded - complete*samples; part > 0 {
		state += fmt.Sprintf(", and %s images of the rest", formatCount(int64(part)))
	}
	if recorded == rows {
		state += ", so the teacher is not asked again"
	}
	verb := "takes"
	if !u.signals.Writable() {
		verb = "would take"
	}
	say(u.reporter, "cache    %s %s in %s (%s, %d bytes an image and view), %s", verb, FormatBytes(size), u.signals.Folder(), u.config.Teacher.Precision, size/int64(max(1, rows)), state)
	if !u.signals.Writable() {
		return u.missing(u.views(epoch)) * max(1, (u.config.Training.Epochs-epoch)/max(1, len(all)))
	}
	return u.missing(u.views(epoch))
}

// FormatBytes writes 1100000000 as "1.1 GB".
func FormatBytes(n int64) string {
	switch v := float64(n); {
	case v >= 1e9:
		return fmt.Sprintf("%.1f GB", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.1f MB", v/1e6)
	default:
		return fmt.Sprintf("%.0f kB", v/1e3)
	}
}

// RecordSignals asks the teacher about every training image in every view that
// a run of c would show, and records what it says, so that training with c need
// not ask. Signals that are recorded already are kept: when it is interrupted,
// the next call goes on.
func RecordSignals(ctx context.Context, c Config, o Options) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Teacher.Path == "" {
		return errors.New("pipeline: there are no signals without a teacher; name the file with teacher.path")
	}
	if !c.Resources.caches() {
		return errors.New("pipeline: no folder is named to record in; name one with resources.cache")
	}
	u := newRun(c, o)
	defer u.close()
	for _, step := range []func(context.Context) error{u.findRuntime, u.openData, u.makeStudent, u.openTeacher} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if u.signals == nil {
		return fmt.Errorf("pipeline: with %d views each epoch draws its own, and nothing can be recorded ahead; choose their number with training.augment.views", u.config.Training.Augment.Views)
	}
	u.planSignals(0)
	return u.recordAll(ctx)
}

func (u *run) recordAll(ctx context.Context) error {
	samples := u.data.Train.IDs()
	views := u.views(0)
	total := len(views) * len(samples)
	done := total - u.missing(views)
	tell := u.reporter.Begin("recording signals", total-done)
	first := done
	for _, view := range views {
		for batch, err := range u.loader.Visit(ctx, view, u.signals.Missing(samples, view)) {
			if ctx.Err() != nil {
				return fmt.Errorf("%w; %d of %d signals are recorded in %s, the same command goes on", ErrInterrupted, done, total, u.signals.Folder())
			}
			if err == nil {
				_, err = u.teacher.Signals(teacherBatch(batch))
			}
			n := batch.N
			batch.Release()
			switch {
			case err != nil:
				return err
			case !u.signals.Writable():
				return fmt.Errorf("pipeline: %s cannot be written; %d of %d signals are recorded; make room or name another folder with resources.cache, and the same command goes on", u.signals.Folder(), done, total)
			}
			done += n
			tell(done-first, "")
		}
	}
	tell(total-first, "")
	say(u.reporter, "signals  all %d are recorded in %s (%d views of %d images)", total, u.signals.Folder(), len(views), len(samples))
	return nil
}
