package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"

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
	Cache    string                  // for Resume: in place of ResourcesConfig.Cache; empty keeps that

	// Profile is the file that tells at the end, as a table, where the time of
	// the training steps went; a second one with .pb.gz added to its name does
	// for go tool pprof. Empty measures nothing.
	Profile string

	// Verbose says how much memory the training graph takes and, at the end,
	// how much the process took at most.
	Verbose bool

	from Folder // the run that is taken up; empty for a new one
}

// Train distils a student as c says and leaves it, with all that is needed to
// go on or to do it again, in the run folder. A folder that holds a run is
// refused; see Resume.
func Train(ctx context.Context, c Config, folder Folder, o Options) (*FinalMetrics, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := folder.free(); err != nil {
		return nil, err
	}
	u, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer u.close()
	if err := folder.begin(u.config, u.studentONNX); err != nil {
		return nil, err
	}
	return u.train(ctx, folder, Progress{ConfigHash: u.hash, TeacherSHA256: u.teacherSHA}, nil)
}

// Resume goes on with the run in folder. The student will be the one that an
// uninterrupted run would have given, byte for byte. Of a finished run it
// returns the result.
func Resume(ctx context.Context, folder Folder, o Options) (*FinalMetrics, error) {
	c, err := folder.readConfig()
	if err != nil {
		return nil, err
	}
	if _, final, err := folder.readMetrics(); err != nil || final != nil {
		return final, err
	}
	c.Resources.Cache = cmp.Or(o.Cache, c.Resources.Cache)
	o.from = folder
	u, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer u.close()
	progress, epochs, err := u.restore(folder)
	if err != nil {
		return nil, err
	}
	say(u.reporter, "resuming after epoch %d, batch %d", progress.Epoch, progress.Batch)
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

// train runs the epochs that are left and finishes: the best student by
// validation is exported, verified in ONNX Runtime and tested.
func (u *run) train(ctx context.Context, folder Folder, p Progress, epochs []EpochMetrics) (*FinalMetrics, error) {
	if err := u.rest(p.Epoch); err != nil {
		return nil, err
	}
	u.plan(p.Epoch, p.Step)
	defer u.account()
	t := &trainer{run: u, folder: folder, progress: p, epochs: epochs}
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
			return nil, err
		}
		return nil, fmt.Errorf("%w after epoch %d, batch %d; saved in %s; go on with: distill train --resume --out %s",
			ErrInterrupted, state.Epoch, state.Batch, folder, folder)
	}
	var final *FinalMetrics
	if err == nil {
		final, err = t.finish(ctx)
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w; make room and go on from the last checkpoint with: distill train --resume --out %s", err, folder)
	}
	return final, err
}
