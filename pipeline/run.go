package pipeline

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/optim"
	"github.com/onnxdistill/onnxdistill/student/zoo"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// run is a training run being prepared and carried out: the resolved Config
// and everything it opened.
type run struct {
	config   Config // resolved: what was left open is filled in
	hash     string // of what decides the student in config
	options  Options
	reporter Reporter

	data       *data.Set
	loader     *data.Loader // of the training set
	batches    int          // per epoch
	preprocess preprocess.Spec
	normalizer *preprocess.Normalizer

	studentFile string      // whose network is the student's; empty for one from the zoo
	studentONNX *onnx.Model // what it holds
	studentSHA  string      // of that

	model     *student.Model
	optimizer optim.Optimizer
	schedule  optim.Schedule
	learner   *Learner
	scorer    *Scorer

	stepTime time.Duration // of the student

	closers []io.Closer // what close closes

	teacher     *teachers.Cached // nil when the student learns alone
	signals     *teachers.Cache  // where its signals are recorded; nil where they are not
	askTime     time.Duration    // of the teacher, per image
	teacherSHA  string
	teacherTop1 float64 // on the validation samples it was checked with
	pairs       []TapPair
	gradient    GradientUnits // how the teacher's gradients become the student's
}

func newRun(c Config, o Options) *run {
	u := &run{config: c, options: o, reporter: o.reporter()}
	u.bindThreads()
	return u
}

func (u *run) close() {
	for _, c := range slices.Backward(u.closers) {
		c.Close()
	}
}

// findRuntime loads ONNX Runtime, so that its lack is not found out at the end
// of a long run.
func (u *run) findRuntime(context.Context) error {
	_, err := teachers.Runtime(u.config.Resources.OnnxRuntime)
	return err
}

// makeStudent makes the network with fresh parameters and says how its images
// are normalised.
func (u *run) makeStudent(ctx context.Context) error {
	image := student.Shape{H: u.data.H, W: u.data.W, C: u.data.C}
	spec := student.Spec{Image: image, Classes: len(u.data.Classes)}
	var err error
	if u.config.Student.IsFile() {
		if err := u.importStudent(ctx, spec); err != nil {
			return err
		}
	} else {
		architecture, err := zoo.Parse(u.config.Student.Architecture)
		if err != nil {
			return err
		}
		if u.model, err = student.New(architecture, spec, u.config.Training.Seed); err != nil {
			return err
		}
	}
	if u.preprocess, err = preprocess.Parse(u.config.Student.Preprocess); err != nil {
		return err
	}
	if !u.preprocess.Known() && u.config.Student.keeps() {
		if u.preprocess, err = u.importedPreprocess(ctx); err != nil {
			return err
		}
		u.config.Student.Preprocess = u.preprocess.String()
	}
	if !u.preprocess.Known() {
		if u.preprocess, err = measurePixels(ctx, u.data.Train); err != nil {
			return err
		}
		u.config.Student.Preprocess = u.preprocess.String()
	}
	if u.normalizer, err = u.preprocess.Normalizer(u.data.C); err != nil {
		return fmt.Errorf("student.preprocess: %w", err)
	}
	if c := u.config.Student; c.keeps() && c.UnfoldBatchNorm && (u.options.from == "" || u.options.restart) {
		if err := u.settleNormalisations(ctx); err != nil {
			return err
		}
	}
	params, macs, err := u.model.Cost()
	if err != nil {
		return err
	}
	say(u.reporter, "student  %s: %s parameters, %s MACs per image, input %v, %s",
		u.model.Name(), formatCount(params), formatCount(macs), image, u.preprocess)
	return nil
}

// measurePixels returns mean and standard deviation of a split's pixels.
func measurePixels(ctx context.Context, split *data.Split) (preprocess.Spec, error) {
	h, w, c := split.Shape()
	m, err := preprocess.NewMeasure(c)
	if err != nil {
		return preprocess.Spec{}, err
	}
	pixels := make([]uint8, h*w*c)
	for i := range split.Len() {
		if err := ctx.Err(); err != nil {
			return preprocess.Spec{}, ErrInterrupted
		}
		if err := split.Read(i, pixels); err != nil {
			return preprocess.Spec{}, err
		}
		if err := m.Add(pixels); err != nil {
			return preprocess.Spec{}, err
		}
	}
	spec, err := m.Spec()
	for _, values := range [][]float64{spec.Mean, spec.Std} {
		for i, v := range values {
			if short := math.Round(v*1e4) / 1e4; short != 0 { // to a 40th of a grey level: it is read by people
				values[i] = short
			}
		}
	}
	return spec, err
}

// makeLearner builds objective, optimiser and the graphs that train and score.
func (u *run) makeLearner(context.Context) error {
	var err error
	t := u.config.Training
	if u.optimizer, err = newOptimizer(t, u.model); err != nil {
		return err
	}
	u.schedule = newSchedule(t)
	if err := u.schedule.Validate(); err != nil {
		return err
	}
	if u.learner, err = NewLearner(u.model, t.Batch, u.normalizer, Objective{LossConfig: u.config.Loss, Teacher: u.teacher != nil, Pairs: u.pairs, Gradient: u.gradient}, u.optimizer, u.machineOptions()...); err != nil {
		return err
	}
	u.closers = append(u.closers, u.learner)
	if u.options.Verbose {
		say(u.reporter, "memory   %v", u.learner.Memory())
	}
	if u.scorer, err = NewScorer(u.model, t.Batch, u.normalizer); err != nil {
		return err
	}
	u.closers = append(u.closers, u.scorer)
	u.hash, err = u.configHash()
	return err
}

func newOptimizer(t TrainingConfig, m *student.Model) (optim.Optimizer, error) {
	var params []optim.Param
	for _, p := range m.Params() {
		if p.Trainable {
			decay := p.Decay && (t.Decay != DecayWeights || p.Kind == student.Weight)
			params = append(params, optim.Param{Name: p.Name, Decay: decay})
		}
	}
	if t.Optimizer == "adamw" {
		return optim.NewAdamW(params, optim.AdamWConfig{WeightDecay: t.WeightDecay, ClipNorm: t.ClipNorm})
	}
	return optim.NewSGD(params, optim.SGDConfig{
		Momentum: t.Momentum, Nesterov: t.Nesterov && t.Momentum > 0, WeightDecay: t.WeightDecay, ClipNorm: t.ClipNorm,
	})
}

func newSchedule(t TrainingConfig) optim.Schedule {
	switch t.Schedule {
	case "step":
		// Zagoruyko & Komodakis: times 0.2 at epochs 60, 120 and 160 of 200.
		return optim.Step{Base: t.LearningRate, Milestones: []float64{0.3, 0.6, 0.8}, Gamma: 0.2, Warmup: t.WarmUp}
	case "cosine":
		return optim.Cosine{Base: t.LearningRate, Warmup: t.WarmUp}
	case "one-cycle":
		return optim.OneCycle{Max: t.LearningRate, Rise: t.WarmUp}
	}
	return optim.Constant{Base: t.LearningRate, Warmup: t.WarmUp}
}

// samples is the training iterator: batches from the loader, and what the
// teacher says of them. A batch's memory is used again for a later one.
func (u *run) samples(ctx context.Context, epoch, from int) iter.Seq2[*Sample, error] {
	return func(yield func(*Sample, error) bool) {
		for batch, err := range u.loader.Epoch(ctx, epoch, from) {
			sample := &Sample{Batch: batch}
			if err == nil && u.teacher != nil {
				sample.Signals, err = u.teacher.Signals(teacherBatch(batch))
			}
			goOn := yield(sample, err)
			batch.Release()
			if !goOn || err != nil {
				return
			}
		}
		if err := u.recordRest(ctx, epoch); err != nil {
			yield(nil, err)
		}
	}
}

// validation iterates over the validation set, without a teacher.
func (u *run) validation(ctx context.Context, _, _ int) iter.Seq2[*Sample, error] {
	return inOrder(ctx, u.data.Val, u.config.Training.Batch)
}

// inOrder iterates over a whole split as it is; the last batch may be short.
func inOrder(ctx context.Context, split *data.Split, batch int) iter.Seq2[*Sample, error] {
	return func(yield func(*Sample, error) bool) {
		loader, err := data.NewLoader(split, data.LoaderConfig{Batch: min(batch, split.Len())})
		if err != nil {
			yield(nil, err)
			return
		}
		for b, err := range loader.Epoch(ctx, 0, 0) {
			goOn := yield(&Sample{Batch: b}, err)
			b.Release()
			if !goOn || err != nil {
				return
			}
		}
	}
}

func teacherBatch(b data.Batch) teachers.Batch {
	return teachers.Batch{Pixels: b.Pixels, N: b.N, H: b.H, W: b.W, C: b.C, Samples: b.Samples, View: b.View, Labels: b.Labels, SampleName: b.Split.SampleOf}
}

// timeStep times one step without learning from it.
func (u *run) timeStep(ctx context.Context) error {
	for sample, err := range u.samples(ctx, 0, 0) {
		if err != nil {
			if ctx.Err() != nil {
				return ErrInterrupted
			}
			return err
		}
		for range 2 { // the first step also plans and warms up
			start := time.Now()
			if _, err := u.learner.Compute(sample, true); err != nil {
				return err
			}
			u.stepTime = time.Since(start)
		}
		break
	}
	return nil
}

// plan says what is ahead of a run that has finished some epochs and taken some
// steps.
func (u *run) plan(epoch, taken int) {
	t := u.config.Training
	left := t.Epochs*u.batches - taken
	ask := left * t.Batch // images the teacher has to look at
	if u.signals != nil {
		ask = u.planSignals(epoch)
	}
	togo := u.stepTime*time.Duration(left) + u.askTime*time.Duration(ask)
	say(u.reporter, "plan     %s of %s of %d images, %s, about %v to go",
		counted(t.Epochs, "epoch"), counted(u.batches, "step"), t.Batch, u.schedule, togo.Round(time.Second))
}

// restore takes up a run where its checkpoint left it.
func (u *run) restore(folder Folder) (Progress, []EpochMetrics, error) {
	f, p, err := readCheckpoint(folder.Checkpoint())
	if err != nil {
		return p, nil, err
	}
	if err := u.checkOrigin(folder, p); err != nil {
		return p, nil, err
	}
	if err := restoreCheckpoint(folder.Checkpoint(), f, u.model, u.optimizer); err != nil {
		return p, nil, err
	}
	epochs, _, err := folder.readMetrics()
	if err != nil {
		return p, nil, err
	}
	if len(epochs) < p.Epoch {
		return p, nil, fmt.Errorf("pipeline: %s tells of %d epochs, the checkpoint of %d; restore the file or start a new run", folder.Metrics(), len(epochs), p.Epoch)
	}
	if p.Format == 0 {
		say(u.reporter, "the run in %s is an earlier version's, whose files have no checksum; they are taken as they are, and get one", folder)
		if err := u.modernise(folder, &p); err != nil {
			return p, nil, err
		}
	}
	return p, epochs[:p.Epoch], nil
}

// modernise gives the best student of an earlier version's run its checksum, and
// the checkpoint that will be written what that version left out.
func (u *run) modernise(folder Folder, p *Progress) error {
	if p.BestEpoch > 0 {
		best, err := safetensors.Read(folder.Best())
		if err != nil {
			return err
		}
		if err := sealBest(folder.Best(), best.Tensors, p.chosen()); err != nil {
			return stopped(err, folder)
		}
	}
	p.Format, p.Begun = checkpointFormat, u.origin()
	return nil
}

// formatCount writes 174938 as "174.9 k".
func formatCount(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return strings.TrimSpace(fmt.Sprint(n))
}

// counted writes a number of things: "1 epoch", "2 epochs".
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
