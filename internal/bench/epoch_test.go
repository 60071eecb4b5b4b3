package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/zoo"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// epochOverSteps compares an epoch with all that belongs to it, batches from the
// loader, augmentation, recorded signals, meters, with the same steps taken on
// one batch that lies ready.
func epochOverSteps(*testing.B) (figures, error) {
	e, err := measureEpochs()
	return figures{e.recorded, e.steps}, err
}

// epochRecorded compares an epoch that learns from recorded signals with one
// that learns from the labels alone.
func epochRecorded(*testing.B) (figures, error) {
	e, err := measureEpochs()
	return figures{e.recorded, e.alone}, err
}

// epochSeconds is what an epoch of WRN-16-1 takes: with recorded signals, on
// the labels alone, and its steps on a batch that lies ready.
type epochSeconds struct{ recorded, alone, steps float64 }

// measureEpochs takes the three in turn, once for all rows.
var measureEpochs = sync.OnceValues(func() (e epochSeconds, err error) {
	dir, err := os.MkdirTemp("", "onnxdistill-bench-*")
	if err != nil {
		return e, err
	}
	defer os.RemoveAll(dir)
	steps, rounds, epochs := 40, 3, 2
	if testing.Short() {
		steps, rounds, epochs = 2, 1, 1
	}
	set, err := benchImages(steps * benchBatch)
	if err != nil {
		return e, err
	}
	defer set.Close()
	config := epochConfig(filepath.Join(dir, "signals"))
	config.Training.Epochs = epochs + 2 // one to warm up, and one that is not begun
	if err := pipeline.RecordSignals(context.Background(), config, pipeline.Options{Data: set}); err != nil {
		return e, err
	}
	alone := config
	alone.Teacher.Path = ""
	a, err := zoo.Parse(config.Student.Architecture)
	if err != nil {
		return e, err
	}
	var recorded, without, bare []float64
	for round := range rounds {
		for _, side := range []struct {
			config  pipeline.Config
			seconds *[]float64
		}{{config, &recorded}, {alone, &without}} {
			folder := pipeline.Folder(filepath.Join(dir, fmt.Sprint("run", round, side.config.Teacher.Path == "")))
			seconds, err := epochsOf(side.config, folder, set)
			if err != nil {
				return e, err
			}
			*side.seconds = append(*side.seconds, seconds[1:]...)
		}
		seconds, err := stepsAlone(a, steps, epochs)
		if err != nil {
			return e, err
		}
		bare = append(bare, seconds...)
	}
	return epochSeconds{median(recorded), median(without), median(bare)}, nil
})

// epochConfig is a run whose teacher's signals are recorded in cache.
func epochConfig(cache string) pipeline.Config {
	c := pipeline.Default()
	c.Data.Path = "bench" // the images are in memory
	c.Teacher.Path, c.Teacher.Preprocess = benchTeacher(), "cifar10"
	for i := range benchClasses { // noise has no classes that a teacher could know by name
		c.Teacher.Classes = append(c.Teacher.Classes, i)
	}
	c.Student.Architecture, c.Student.Preprocess = "wrn-16-1", "cifar10"
	c.Training.Batch, c.Training.LearningRate, c.Training.Augment.Views = benchBatch, 0.05, 2
	c.Resources.Cache = cache
	return c
}

// benchImages is that many training images of CIFAR-10, or noise where it is
// not there.
func benchImages(n int) (*data.Set, error) {
	path, err := cifar10()
	if err != nil {
		return noiseImages(n)
	}
	return data.Open(path, data.Options{Seed: 1, Limit: n, ValFraction: 0.02})
}

func noiseImages(n int) (*data.Set, error) {
	noise := func(n int, from uint32) data.Memory {
		m := data.Memory{Pixels: make([]uint8, n*32*32*3), Labels: make([]int, n)}
		for i := range m.Pixels {
			from = from*1664525 + 1013904223 // Numerical Recipes' generator
			m.Pixels[i] = uint8(from >> 24)
		}
		for i := range m.Labels {
			m.Labels[i] = i % benchClasses
		}
		return m
	}
	var names []string
	for i := range benchClasses {
		names = append(names, fmt.Sprint("class", i))
	}
	return data.FromMemory(data.MemorySet{
		Classes: names, H: 32, W: 32, C: 3, Train: noise(n, 1), Val: noise(100, 2), Test: noise(100, 3),
	})
}

// lines is a reporter that keeps what is said.
type lines struct {
	pipeline.Silent
	said []string
}

func (l *lines) Say(line string) { l.said = append(l.said, line) }

// epochsOf trains all epochs of c but the last and returns the seconds of each,
// without its validation.
func epochsOf(c pipeline.Config, folder pipeline.Folder, set *data.Set) ([]float64, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var begun time.Time
	var seconds []float64
	var said lines
	_, err := pipeline.Train(ctx, c, folder, pipeline.Options{
		Reporter: &said, Data: set,
		Hooks: []engine.Hooks[*pipeline.Sample]{{
			OnStartEpoch: func(*engine.State[*pipeline.Sample]) error { begun = time.Now(); return nil },
			OnEndEpoch: func(s *engine.State[*pipeline.Sample]) error {
				seconds = append(seconds, time.Since(begun).Seconds())
				if len(seconds) == s.MaxEpoch-1 {
					stop() // what comes after the last epoch is of no interest
				}
				return nil
			},
		}},
	})
	if !errors.Is(err, pipeline.ErrInterrupted) {
		return nil, fmt.Errorf("training of %d epochs, to be stopped before the last: %w", c.Training.Epochs, err)
	}
	if c.Teacher.Path != "" && !slices.ContainsFunc(said.said, func(line string) bool { return strings.Contains(line, "the teacher is not asked again") }) {
		return nil, fmt.Errorf("the signals were not all recorded before:\n%s", strings.Join(said.said, "\n"))
	}
	return seconds, nil
}

// stepsAlone returns the seconds of some epochs of steps on one batch, after one
// epoch to warm up.
func stepsAlone(a student.Architecture, steps, epochs int) ([]float64, error) {
	step, done, err := stepOf(a, true)
	if err != nil {
		return nil, err
	}
	defer done()
	ms, err := times{steps: epochs, warmUp: 1}.each(func() error {
		for range steps {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range ms {
		ms[i] /= 1000
	}
	return ms, err
}

// TestEpochsAreMeasured trains a very small student for three epochs, of which
// the last is not begun.
func TestEpochsAreMeasured(t *testing.T) {
	if _, err := teachers.Runtime(""); err != nil {
		t.Skip(err)
	}
	set, err := noiseImages(12)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	c := epochConfig(t.TempDir())
	c.Teacher.Path = "pipeline/digits/teacher.onnx"
	c.Student.Architecture, c.Training.Batch, c.Training.Epochs = "wrn-10-0.0625", 4, 3
	run := func(c pipeline.Config) ([]float64, error) {
		return epochsOf(c, pipeline.Folder(filepath.Join(t.TempDir(), "run")), set)
	}
	alone := c
	alone.Teacher.Path = ""
	if seconds, err := run(alone); err != nil || len(seconds) != 2 || slices.Min(seconds) <= 0 {
		t.Errorf("without a teacher: %v, %v", seconds, err)
	}
	if _, err := run(c); err == nil || !strings.Contains(err.Error(), "the signals were not all recorded") {
		t.Errorf("with an empty cache: %v", err)
	}
	if err := pipeline.RecordSignals(context.Background(), c, pipeline.Options{Data: set}); err != nil {
		t.Fatal(err)
	}
	if seconds, err := run(c); err != nil || len(seconds) != 2 || slices.Min(seconds) <= 0 {
		t.Errorf("with recorded signals: %v, %v", seconds, err)
	}
}
