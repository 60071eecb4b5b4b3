package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

// ErrInterrupted is returned when a run was asked to stop. What it had learned
// is in the run folder, and Resume goes on from there.
var ErrInterrupted = errors.New("interrupted")

// Options are what a caller brings to a run besides its Config. The zero value
// is a silent run on the data that the Config names.
type Options struct {
	Reporter Reporter                // nil is Silent
	Data     *data.Set               // used in place of Config.Data.Path; nil opens that
	Hooks    []engine.Hooks[*Sample] // called at each point of the loop before the trainer's own
	Version  string                  // of the program, for the student's metadata; empty leaves it out

	// For Resume and Export, which take the rest from the run folder. Data and
	// teacher may have moved: their content decides, not where they lie.
	DataPath    string          // in place of DataConfig.Path; empty keeps that
	TeacherPath string          // in place of TeacherConfig.Path; empty keeps that
	Resources   ResourcesConfig // each field that is set in place of the run's

	// Overwrite lets Train begin anew in a folder that holds a run, whose files
	// are then removed, and Export replace a file.
	Overwrite bool

	// Attention says that attention transfer is asked for: a teacher without a
	// place for it is then an error. Otherwise, where the configuration has the
	// default weight and names no taps, it is left out and that is said.
	Attention bool

	// Profile is the file that tells at the end, as a table, where the time of
	// the training steps went; a second one with .pb.gz added to its name does
	// for go tool pprof. Empty measures nothing.
	Profile string

	// Verbose says how much memory the training graph takes and, at the end,
	// how much the process took at most.
	Verbose bool

	from    Folder // the run that is taken up; empty for a new one
	restart bool   // it begins again, as it has come to no checkpoint
}

func (o Options) reporter() Reporter {
	if o.Reporter == nil {
		return Silent{}
	}
	return o.Reporter
}

// over puts the options in place of what a run's configuration says.
func (o Options) over(c *Config) {
	c.Data.Path = cmp.Or(o.DataPath, c.Data.Path)
	if c.Teacher.Path != "" { // a student that learned alone goes on alone
		c.Teacher.Path = cmp.Or(o.TeacherPath, c.Teacher.Path)
	}
	r := &c.Resources
	r.Cache = cmp.Or(o.Resources.Cache, r.Cache)
	r.Threads = cmp.Or(o.Resources.Threads, r.Threads)
	r.OnnxRuntime = cmp.Or(o.Resources.OnnxRuntime, r.OnnxRuntime)
	r.CheckpointEvery = cmp.Or(o.Resources.CheckpointEvery, r.CheckpointEvery)
}

// Train distils a student as c says and leaves it, with all that is needed to
// go on or to do it again, in the run folder. A folder that another process uses
// is refused, and one that holds a run unless Options.Overwrite is set; see
// Resume. A run that has not come to its first checkpoint may be begun again.
func Train(ctx context.Context, c Config, folder Folder, o Options) (*FinalMetrics, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	h, err := folder.hold(o.reporter())
	if err != nil {
		return nil, err
	}
	defer h.release()
	if err := folder.free(o.Overwrite); err != nil {
		return nil, err
	}
	u, err := prepare(ctx, c, o)
	if err != nil {
		return nil, stopped(err, folder)
	}
	defer u.close()
	if err := folder.begin(u.config, u.studentONNX); err != nil {
		return nil, stopped(err, folder)
	}
	return u.begin(ctx, folder)
}

// Resume goes on with the run in folder. The student will be the one that an
// uninterrupted run would have given, byte for byte. A run that has not come to
// its first checkpoint begins again. Of a finished run it returns the result.
func Resume(ctx context.Context, folder Folder, o Options) (*FinalMetrics, error) {
	if _, err := folder.readConfig(); err != nil {
		return nil, err
	}
	switch final, err := folder.finished(); {
	case err != nil:
		return nil, err
	case final != nil:
		say(o.reporter(), "the run in %s is finished", folder)
		return final, nil
	}
	h, err := folder.hold(o.reporter())
	if err != nil {
		return nil, err
	}
	defer h.release()
	// Another process may have gone on with the run until now.
	saved, err := folder.readConfig()
	if err != nil {
		return nil, err
	}
	if final, err := folder.finished(); err != nil || final != nil {
		return final, err
	}
	c := saved
	o.over(&c)
	o.from, o.restart = folder, !folder.begun()
	u, err := prepare(ctx, c, o)
	if err != nil {
		return nil, stopped(err, folder)
	}
	defer u.close()
	if o.restart {
		say(u.reporter, "the run in %s has come to no checkpoint; it begins again", folder)
		if err := folder.clear(); err != nil {
			return nil, err
		}
		return u.begin(ctx, folder)
	}
	progress, epochs, err := u.restore(folder)
	if err != nil {
		return nil, err
	}
	if err := folder.move(saved, u.config); err != nil {
		return nil, stopped(err, folder)
	}
	say(u.reporter, "resuming after %s and %s", counted(progress.Epoch, "epoch"), counted(progress.Batch, "step"))
	return u.train(ctx, folder, progress, epochs)
}

// prepare opens everything a run needs and checks that it fits together.
func prepare(ctx context.Context, c Config, o Options) (*run, error) {
	u := newRun(c, o)
	for _, step := range []func(context.Context) error{
		u.tryProfile,
		u.findRuntime, // which the export needs even where there is no teacher
		u.openData,    // images, labels, splits
		u.makeStudent, // architecture, preprocessing, parameters
		u.tryExport,   // of the student that is not trained yet
		u.openTeacher, // taps, preprocessing, class order
		u.makeLearner, // objective, gradients, optimiser
		u.timeStep,    // for the plan
	} {
		if err := step(ctx); err != nil {
			u.close()
			if errors.Is(err, ErrInterrupted) {
				return nil, fmt.Errorf("%w before the first step; nothing has changed", ErrInterrupted)
			}
			return nil, err
		}
	}
	return u, nil
}

// begin trains from the first step.
func (u *run) begin(ctx context.Context, folder Folder) (*FinalMetrics, error) {
	return u.train(ctx, folder, Progress{ConfigHash: u.hash, TeacherSHA256: u.teacherSHA, Begun: u.origin()}, nil)
}

// train runs the epochs that are left and finishes: the best student by
// validation is exported, verified in ONNX Runtime and tested.
func (u *run) train(ctx context.Context, folder Folder, p Progress, epochs []EpochMetrics) (*FinalMetrics, error) {
	if err := u.rest(p.Epoch); err != nil {
		return nil, err
	}
	u.plan(p.Epoch, p.Step)
	defer u.account()
	t := &trainer{run: u, folder: folder, progress: p, epochs: epochs, saved: time.Now()}
	state := &engine.State[*Sample]{
		Network: u.learner, Iterator: u.samples,
		MaxEpoch: u.config.Training.Epochs, Epoch: p.Epoch, Batch: p.Batch, T: p.Step,
	}
	var e engine.Engine[*Sample]
	for _, h := range u.options.Hooks {
		e.Add(h)
	}
	e.Add(t.hooks(ctx))
	err := e.Train(ctx, state)
	if errors.Is(err, engine.ErrInterrupted) {
		if err := t.save(state); err != nil {
			return nil, stopped(err, folder)
		}
		return nil, fmt.Errorf("%w after %s and %s; saved in %s; go on with: distill train --resume --out %s",
			ErrInterrupted, counted(state.Epoch, "epoch"), counted(state.Batch, "step"), folder, folder)
	}
	var final *FinalMetrics
	if err == nil {
		final, err = t.finish(ctx)
	}
	return final, stopped(err, folder)
}

// stopped adds to an error that ended a run what to do about it.
func stopped(err error, folder Folder) error {
	switch {
	case err == nil:
		return nil
	case full(err) && !folder.isRun():
		return fmt.Errorf("%w; make room and give the same command again", err)
	case full(err):
		return fmt.Errorf("%w; make room and go on with: distill train --resume --out %s", err, folder)
	case errors.Is(err, errDiverged) && !folder.begun():
		return fmt.Errorf("%w; nothing is saved yet, so %s can be used again", err, folder)
	case errors.Is(err, errDiverged):
		return fmt.Errorf("%w; begin anew with Options.Overwrite, or export the best student so far with: distill export %s", err, folder)
	}
	return err
}
