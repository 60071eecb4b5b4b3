package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// The metadata_props of an exported student, beside those of package
// preprocess.
const (
	MetaVersion    = "onnxdistill.version"         // of the program
	MetaConfig     = "onnxdistill.config_sha256"   // what decided the student
	MetaTeacher    = "onnxdistill.teacher_sha256"  // of the teacher's file; absent when it learned alone
	MetaStudent    = "onnxdistill.architecture"    // zoo name
	MetaSeed       = "onnxdistill.seed"            // decimal
	MetaValidation = "onnxdistill.validation_top1" // 0 to 1
	MetaClasses    = "classes"                     // JSON list of names, in the order of the logits
)

// paritySamples is how many validation images an exported student must agree
// on with the one that was trained.
const paritySamples = 64

// The largest difference of a logit allowed between the two, relative to the
// largest logit.
const (
	// parityLimit is some ten times the rounding of float32 sums taken in another
	// order through forty layers.
	parityLimit = 1e-4

	// halfParityLimit is for weights in half precision, each of which is off by
	// up to one part in 2048. Students and teachers of 8 to 40 layers came out
	// 3e-4 to 2e-3 off.
	halfParityLimit = 1e-2
)

// Parity compares the exported student in ONNX Runtime with the trained one.
type Parity struct {
	Samples       int     `json:"samples"`
	MaxDifference float64 `json:"max_difference"` // largest |difference| of a logit over the largest |logit|
	SameTop1      int     `json:"same_top1"`      // samples with the same class first
	Limit         float64 `json:"limit"`          // largest MaxDifference that was allowed
}

// ok reports whether the export may be kept. Where two logits tie within the
// allowed difference either order is the same answer, so compare counts them
// as agreeing.
func (p Parity) ok() bool { return p.MaxDifference <= p.Limit && p.SameTop1 == p.Samples }

// String writes the parity as the export prints it.
func (p Parity) String() string {
	return fmt.Sprintf("largest logit difference %.1e (limit %.0e), same top-1 on %d of %d", p.MaxDifference, p.Limit, p.SameTop1, p.Samples)
}

// Export writes the best student of a finished or interrupted run to path, after
// it has agreed with the trained one in ONNX Runtime. What e leaves zero is as
// the run says, save that an opset given without an IR version raises the run's
// to what it needs. A file that is there is replaced only where Options.Overwrite
// says so. The run may go on meanwhile: each of its files is replaced whole and
// says what it is.
func Export(ctx context.Context, folder Folder, path string, e ExportConfig, o Options) (Parity, error) {
	c, err := folder.readConfig()
	if err != nil {
		return Parity{}, err
	}
	h, err := folder.holdFor(path, o.reporter())
	if err != nil {
		return Parity{}, err
	}
	defer h.release()
	o.over(&c)
	o.from = folder
	u := newRun(c, o)
	defer u.close()
	progress, err := u.openExported(ctx, folder)
	if err != nil {
		return Parity{}, err
	}
	if e.Opset != 0 {
		u.config.Export.SetOpset(e.Opset)
	}
	u.config.Export.IR = cmp.Or(e.IR, u.config.Export.IR)
	u.config.Export.FP16 = e.FP16 || c.Export.FP16
	if err := u.config.Validate(); err != nil {
		return Parity{}, err
	}
	if u.scorer, err = NewScorer(u.model, min(paritySamples, u.data.Val.Len()), u.normalizer); err != nil {
		return Parity{}, err
	}
	u.closers = append(u.closers, u.scorer)
	b, parity, err := u.export(ctx, folder, path, progress)
	if err != nil {
		return parity, err
	}
	return parity, place(path, b, o.Overwrite)
}

// place writes an exported student where it was asked for. A file that holds
// anything else is replaced only when that is wanted.
func place(path string, b []byte, overwrite bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || overwrite && err == nil && info.Mode().IsRegular():
		return writeFile(path, b)
	case err != nil:
		return fmt.Errorf("pipeline: %w", err)
	case info.Mode().IsRegular() && info.Size() == int64(len(b)):
		if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, b) {
			return nil
		}
	case !info.Mode().IsRegular():
		return fmt.Errorf("pipeline: %s is not a file that can be replaced; choose another name", path)
	}
	return fmt.Errorf("pipeline: %s exists and is not this student; replace it with Options.Overwrite, or choose another name", path)
}

// openExported opens what an export needs of a run and checks that it is the one
// that the checkpoint is of.
func (u *run) openExported(ctx context.Context, folder Folder) (Progress, error) {
	if !folder.begun() {
		return Progress{}, fmt.Errorf("pipeline: %s has no checkpoint yet, so there is no student to export; go on with: distill train --resume --out %s", folder, folder)
	}
	_, p, err := readCheckpoint(folder.Checkpoint())
	if err != nil {
		return p, err
	}
	if p.BestEpoch == 0 {
		return p, fmt.Errorf("pipeline: %s has not finished an epoch, so there is no student to export; go on with: distill train --resume --out %s", folder, folder)
	}
	if u.dataGone() && p.Begun != nil {
		warn(u.reporter, "%s is not there; the exported student is compared with the trained one on noise (Options.DataPath says where the images are)", u.config.Data.Path)
		u.data, err = noise(p.Begun)
	} else {
		err = u.openData(ctx)
	}
	if err != nil {
		return p, err
	}
	if err := u.makeStudent(ctx); err != nil {
		return p, err
	}
	u.teacherSHA = p.TeacherSHA256 // whose file is not needed
	if u.hash, err = u.configHash(); err != nil {
		return p, err
	}
	return p, u.checkOrigin(folder, p)
}

// dataGone reports whether the path of the run's data leads nowhere any more.
func (u *run) dataGone() bool {
	_, err := os.Stat(u.config.Data.Path)
	return u.options.Data == nil && u.options.DataPath == "" && errors.Is(err, fs.ErrNotExist)
}

// noise stands in for a run's data set: random images of its size, under its
// fingerprint.
func noise(o *Origin) (*data.Set, error) {
	r := rand.New(rand.NewPCG(1, 1))
	h, w, c := o.Image[0], o.Image[1], o.Image[2]
	m := data.Memory{Pixels: make([]uint8, paritySamples*h*w*c), Labels: make([]int, paritySamples)}
	for i := range m.Pixels {
		m.Pixels[i] = uint8(r.UintN(256))
	}
	set, err := data.FromMemory(data.MemorySet{Classes: o.Classes, H: h, W: w, C: c, Train: m, Val: m, Test: m})
	if err != nil {
		return nil, err
	}
	set.Fingerprint = o.Data
	return set, nil
}

// export encodes the best parameters of the run as ONNX. It is an error unless
// ONNX Runtime gives the answers of the trained student; path is where the file
// will be.
func (u *run) export(ctx context.Context, folder Folder, path string, p Progress) ([]byte, Parity, error) {
	best, err := readBest(folder.Best(), u.model, p)
	if err != nil {
		return nil, Parity{}, err
	}
	e := u.config.Export
	m, err := u.model.Export(student.ExportOptions{Opset: e.Opset, IR: e.IR, Half: e.FP16, Metadata: u.metadata(best)})
	if err != nil {
		return nil, Parity{}, err
	}
	u.preprocess.Attach(m)
	b, err := m.Encode()
	if err != nil {
		return nil, Parity{}, err
	}
	parity, err := u.verify(ctx, path, b)
	if err != nil {
		return nil, parity, err
	}
	if !parity.ok() {
		return nil, parity, fmt.Errorf("pipeline: the exported student does not agree with the trained one in ONNX Runtime (%v), so %s was not written; this is a fault of the export, please report it with the run's config.yaml", parity, path)
	}
	return b, parity, nil
}

// metadata is what the student's file says of itself. Nothing in it depends on
// the time or the machine.
func (u *run) metadata(c chosen) []onnx.KeyValue {
	classes, _ := json.Marshal(u.data.Classes) // a list of strings always encodes
	meta := []onnx.KeyValue{
		{Key: MetaClasses, Value: string(classes)},
		{Key: MetaStudent, Value: u.model.Name()},
		{Key: MetaConfig, Value: c.ConfigHash},
		{Key: MetaSeed, Value: fmt.Sprint(u.config.Training.Seed)},
		{Key: MetaValidation, Value: fmt.Sprintf("%.4f", c.Top1)},
	}
	if c.TeacherSHA256 != "" {
		meta = append(meta, onnx.KeyValue{Key: MetaTeacher, Value: c.TeacherSHA256})
	}
	if u.options.Version != "" {
		meta = append(meta, onnx.KeyValue{Key: MetaVersion, Value: u.options.Version})
	}
	return meta
}

// verify opens the encoded student as a teacher, in a file beside path, and
// compares it with the trained one on validation samples.
func (u *run) verify(ctx context.Context, path string, encoded []byte) (Parity, error) {
	sweepTrials(filepath.Dir(path), time.Now())
	dir, err := os.MkdirTemp(filepath.Dir(path), verifyFolder+"*")
	if err != nil {
		return Parity{}, fmt.Errorf("pipeline: %s cannot be written: %w", path, err)
	}
	defer os.RemoveAll(dir)
	candidate := filepath.Join(dir, candidateName)
	if err := os.WriteFile(candidate, encoded, 0o644); err != nil {
		return Parity{}, fmt.Errorf("pipeline: %w", err)
	}
	session, err := u.openStudent(candidate)
	if err != nil {
		return Parity{}, fmt.Errorf("pipeline: the exported student does not open: %w", err)
	}
	defer session.Close()
	samples, err := takeEvenly(ctx, u.data.Val, paritySamples)
	if err != nil {
		return Parity{}, err
	}
	limit := parityLimit
	if u.config.Export.FP16 {
		limit = halfParityLimit
	}
	return compare(u.scorer, session, samples, limit)
}

// openStudent opens an exported student as the teacher it could be.
func (u *run) openStudent(path string) (*teachers.Session, error) {
	o := TeacherConfig{}.session(u.data, u.config.Resources)
	o.Map, o.Preprocess = teachers.MapNone, u.preprocess
	return teachers.Open(path, o)
}

// compare runs both on the samples. limit becomes the Parity's.
func compare(trained *Scorer, exported teachers.Teacher, on labelled, limit float64) (Parity, error) {
	p := Parity{Samples: on.n, Limit: limit}
	largest, difference := 0.0, 0.0
	type answer struct{ want, got []float32 }
	var answers []answer
	for _, b := range on.batches {
		out, err := trained.Compute(&Sample{Batch: b}, false)
		if err != nil {
			return p, err
		}
		s, err := exported.Signals(teacherBatch(b))
		if err != nil {
			return p, err
		}
		for i := range b.Labels {
			k := out.Classes()
			a := answer{append([]float32(nil), out.Logits[i*k:(i+1)*k]...), s.Logits[i*k : (i+1)*k]}
			for j := range a.want {
				largest = max(largest, abs(a.want[j]))
				// A NaN in either would slip through a comparison.
				if d := abs(a.want[j] - a.got[j]); !(d <= difference) {
					difference = d
				}
			}
			answers = append(answers, a)
		}
	}
	p.MaxDifference = difference / max(largest, 1e-30)
	for _, a := range answers {
		top := engine.ArgMax(a.got)
		if abs(a.want[top]-a.want[engine.ArgMax(a.want)]) <= 2*limit*largest {
			p.SameTop1++
		}
	}
	return p, nil
}

func abs(v float32) float64 {
	if v < 0 {
		v = -v
	}
	return float64(v)
}

// finish exports the best student, tests it once and writes the final line.
func (t *trainer) finish(ctx context.Context) (*FinalMetrics, error) {
	path := t.folder.Student()
	b, parity, err := t.export(ctx, t.folder, path, t.progress)
	if err == nil {
		err = writeFile(path, b)
	}
	if err != nil {
		return nil, err
	}
	say(t.reporter, "export   %s: %s", path, parity)
	doubt, err := t.doubt(ctx) // of the best student, which export has loaded
	if err != nil {
		return nil, err
	}
	test, err := t.testExported(ctx, path)
	if err != nil {
		return nil, err
	}
	params, macs, err := t.model.Cost()
	if err != nil {
		return nil, err
	}
	final := &FinalMetrics{
		Final: true, BestEpoch: t.progress.BestEpoch, ValTop1: t.progress.BestTop1,
		TestTop1: test, TestSamples: t.data.Test.Len(), Parity: parity,
		Parameters: params, MACs: macs, Bytes: int64(len(b)), TeacherVal: t.teacherTop1,
		Seconds: t.progress.Seconds, TrainSamples: t.data.Train.Len(), StudentSHA256: contentHash(b), Doubt: doubt,
	}
	if err := t.folder.writeMetrics(t.epochs, final); err != nil {
		return nil, err
	}
	say(t.reporter, "test     %.2f %% on %d images (epoch %d, chosen by validation)", 100*test, final.TestSamples, final.BestEpoch)
	return final, nil
}

// testExported is the one look at the test set: the exported file's accuracy
// in ONNX Runtime.
func (t *trainer) testExported(ctx context.Context, path string) (float64, error) {
	session, err := t.openStudent(path)
	if err != nil {
		return 0, err
	}
	defer session.Close()
	top1 := engine.ClassErrorMeter{Accuracy: true}
	err = scoreSplit(ctx, session, t.data.Test, t.config.Training.Batch, t.reporter, func(s engine.Scores) { top1.Add(s) })
	return top1.Value(), err
}

// scoreSplit runs a model over a whole split in ONNX Runtime.
func scoreSplit(ctx context.Context, model teachers.Teacher, split *data.Split, batch int, r Reporter, add func(engine.Scores)) error {
	tell := r.Begin("testing", split.Len())
	done := 0
	for sample, err := range inOrder(ctx, split, batch) {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		if err != nil {
			return err
		}
		s, err := model.Signals(teacherBatch(sample.Batch))
		if err != nil {
			return err
		}
		scores := engine.Scores{Logits: s.Logits, Labels: sample.Labels}
		if err := scores.Check(); err != nil {
			return fmt.Errorf("pipeline: %s: %w", model.Spec().Name, err)
		}
		add(scores)
		done += len(sample.Labels)
		tell(done, "")
	}
	return nil
}
