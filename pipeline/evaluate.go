package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// EvaluateConfig says which model is measured on which images.
type EvaluateConfig struct {
	Model     TeacherConfig // the .onnx file, a student or any other classifier; Taps are not used
	Data      DataConfig    // Path names the images
	Split     string        // test (also when empty), val, train or all
	Seed      uint64        // of the split, where the data brings none
	Batch     int           // 0 is 128
	Samples   int           // images to measure on, stratified and drawn from Seed; 0 is all
	Latency   int           // timed runs at batch 1; 0 is 200
	Resources ResourcesConfig
}

// Splits are what EvaluateConfig.Split can be.
var Splits = []string{"test", "val", "train", "all"}

// Evaluation is what a model achieves.
type Evaluation struct {
	Top1             float64            `json:"top1"` // 0 to 1
	Top5             float64            `json:"top5"`
	Samples          int                `json:"samples"`
	AveragePrecision map[string]float64 `json:"average_precision"` // per class that has samples
	Parameters       int64              `json:"parameters"`
	Bytes            int64              `json:"bytes"`
	Latency          Latency            `json:"latency_ms"`
	Preprocess       string             `json:"preprocess"`
	Reading          string             `json:"reading,omitempty"` // what was made of the file, where that is anything
	Classes          []string           `json:"classes"`
	Confusion        [][]int            `json:"confusion"` // [label][answer], in the order of Classes
}

// Latency is the time of one image through ONNX Runtime on one thread.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// Evaluate measures a model in ONNX Runtime on one split of a data set.
func Evaluate(ctx context.Context, c EvaluateConfig, o Options) (*Evaluation, error) {
	r := o.Reporter
	if r == nil {
		r = Silent{}
	}
	if c.Samples < 0 {
		return nil, fmt.Errorf("pipeline: measuring on %d samples; give their number, or 0 for all", c.Samples)
	}
	m, err := onnx.ReadFile(c.Model.Path)
	if err != nil {
		return nil, err
	}
	check, err := precheck(c.Model, m, c.Data, c.Resources)
	if err != nil {
		return nil, err
	}
	set, splits, done, err := openSplits(ctx, o.Data, c.Data, wantedImages{c.Split, c.Samples, c.Seed, check}, r)
	if err != nil {
		return nil, err
	}
	defer done()
	for _, split := range splits {
		if split.Len() == 0 {
			return nil, fmt.Errorf("pipeline: %s has no %s images to measure on; choose another split: %s", c.Data.Path, split.Name(), strings.Join(Splits, ", "))
		}
	}
	splits = thin(splits, c.Samples, c.Seed)
	tryOn := trialOf(set, splits, o.Data != nil, c.Data, c.Seed, r)
	defer tryOn.close()
	session, spec, err := openForEvaluation(ctx, c, set, tryOn, r)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	e := &Evaluation{Preprocess: spec.String(), Reading: session.Spec().Reading, Classes: set.Classes, AveragePrecision: map[string]float64{}}

	top1, top5 := engine.ClassErrorMeter{Accuracy: true}, engine.ClassErrorMeter{TopK: 5, Accuracy: true}
	var precision engine.APMeter
	var confusion engine.ConfusionMeter
	said := newSubsample(splits)
	for _, split := range splits {
		err := scoreSplit(ctx, session, split, cmp.Or(c.Batch, 128), r, func(s engine.Scores) {
			top1.Add(s)
			top5.Add(s)
			precision.Add(s)
			confusion.Add(s)
			said.add(s)
		})
		if err != nil {
			return nil, err
		}
	}
	e.Top1, e.Top5, e.Samples, e.Confusion = top1.Value(), top5.Value(), top1.Samples, confusion.Value()
	for i, ap := range precision.Value() {
		if !math.IsNaN(ap) {
			e.AveragePrecision[set.Classes[i]] = ap
		}
	}
	suspect(&said.answers, session.Spec(), r)
	info, err := os.Stat(c.Model.Path)
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	e.Bytes = info.Size()
	e.Parameters = m.Parameters()
	opened := session.Spec()
	timing, err := teachers.Latency(c.Model.Path, teachers.LatencyOptions{
		Runs: cmp.Or(c.Latency, 200), Size: [2]int{opened.H, opened.W}, Layout: opened.Layout, Output: c.Model.Output, ImageShape: opened.ImageShape,
		Library: c.Resources.OnnxRuntime,
	})
	if err != nil {
		return nil, err
	}
	e.Latency = Latency{P50: milliseconds(timing.P50), P95: milliseconds(timing.P95)}
	return e, nil
}

// wantedImages says what is measured on.
type wantedImages struct {
	split   string
	samples int    // of the splits together; 0 is all
	seed    uint64 // of the samples, and of the split where the data brings none
	check   func(classes []string) error
}

// openSplits opens what the configuration names, unless set is there already, and
// chooses among its splits. done closes what was opened.
func openSplits(ctx context.Context, set *data.Set, c DataConfig, want wantedImages, r Reporter) (opened *data.Set, splits []*data.Split, done func(), err error) {
	done = func() {}
	if set == nil {
		o := data.Options{Seed: want.seed, Check: want.check}
		if want.split == "" || want.split == "test" {
			o.EvalOnly, o.TestLimit = true, want.samples
		}
		if set, err = openSet(ctx, c, o, r); err != nil {
			return nil, nil, nil, err
		}
		done = func() { set.Close() }
		sayData(r, set)
	}
	if splits, err = chooseSplits(set, want.split); err != nil {
		done()
		return nil, nil, nil, err
	}
	return set, splits, done, nil
}

func chooseSplits(set *data.Set, name string) ([]*data.Split, error) {
	switch name {
	case "", "test":
		return []*data.Split{set.Test}, nil
	case "val":
		return []*data.Split{set.Val}, nil
	case "train":
		return []*data.Split{set.Train}, nil
	case "all":
		return []*data.Split{set.Train, set.Val, set.Test}, nil
	}
	return nil, fmt.Errorf("pipeline: split %q is not one of test, val, train, all", name)
}

// openForEvaluation opens the model with the preprocessing it wants, found as
// for a teacher, and checks that its classes are the data's.
func openForEvaluation(ctx context.Context, c EvaluateConfig, set *data.Set, tryOn *trialImages, r Reporter) (teachers.Teacher, preprocess.Spec, error) {
	o := c.Model.session(set, c.Resources)
	o.Map = teachers.MapNone
	session, err := teachers.Open(c.Model.Path, o)
	if err != nil {
		return nil, preprocess.Spec{}, err
	}
	fail := func(err error) (teachers.Teacher, preprocess.Spec, error) {
		session.Close()
		return nil, preprocess.Spec{}, err
	}
	if _, err := settleClasses(session, set.Classes, r); err != nil {
		return fail(err)
	}
	if read := session.Spec().Reading; read != "" {
		say(r, "model    %s", read)
	}
	spec, _, err := findPreprocess(ctx, session, c.Model.Preprocess, "teacher.preprocess", tryOn, r)
	if err != nil {
		return fail(err)
	}
	return session, spec, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
