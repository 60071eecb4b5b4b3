package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/optim"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/student/zoo"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// What every comparison of steps is made with.
const (
	benchBatch   = 128
	benchClasses = 10
)

// times is how often something is measured: rounds in which ours and the peer
// take turns, of some steps each. The last steps of other work still disturb
// the first two of a round, which do not count.
type times struct{ rounds, steps, warmUp int }

// timesOf returns what is asked for, or next to nothing in a short run.
func timesOf(rounds, steps int) times {
	if testing.Short() {
		return times{1, 1, 1}
	}
	return times{rounds, steps, 2}
}

// each runs f a round's number of times and returns the milliseconds that
// count.
func (t times) each(f func() error) ([]float64, error) {
	var ms []float64
	for i := range t.warmUp + t.steps {
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		if i >= t.warmUp {
			ms = append(ms, float64(time.Since(start))/float64(time.Millisecond))
		}
	}
	return ms, nil
}

// median returns the middle one, of an even number the mean of the two.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[n/2] + v[(n-1)/2]) / 2
}

// inTurn measures ours and the peer in turn and returns the median of each.
func (t times) inTurn(ours, peer func() ([]float64, error)) (figures, error) {
	var a, b []float64
	for range t.rounds {
		for _, side := range []struct {
			all *[]float64
			f   func() ([]float64, error)
		}{{&a, ours}, {&b, peer}} {
			ms, err := side.f()
			if err != nil {
				return figures{}, err
			}
			*side.all = append(*side.all, ms...)
		}
	}
	return figures{median(a), median(b)}, nil
}

// studentStep compares a student's step with that of the same network in
// PyTorch: forward, CE, KD and three attention terms, backward, SGD. What the
// teacher says is given on both sides.
func studentStep(name, depth, width string) func(*testing.B) (figures, error) {
	return func(*testing.B) (figures, error) {
		p, err := findPyTorch()
		if err != nil {
			return figures{}, err
		}
		a, err := zoo.Parse(name)
		if err != nil {
			return figures{}, err
		}
		step, done, err := stepOf(a, true)
		if err != nil {
			return figures{}, err
		}
		defer done()
		t := timesOf(3, 12)
		return t.inTurn(
			func() ([]float64, error) { return t.each(step) },
			func() ([]float64, error) {
				ms, err := p.best("student_step_ms", stepScript, "--batch", fmt.Sprint(benchBatch), "--steps", fmt.Sprint(t.steps),
					"--student", depth, width, "--teacher", "16", "2")
				return []float64{ms}, err
			},
		)
	}
}

// mobileStep compares three inverted residuals.
func mobileStep(*testing.B) (figures, error) {
	p, err := findPyTorch()
	if err != nil {
		return figures{}, err
	}
	step, done, err := stepOf(mobileBlocks(), false)
	if err != nil {
		return figures{}, err
	}
	defer done()
	t := timesOf(3, 8) // PyTorch takes the better part of a second
	return t.inTurn(
		func() ([]float64, error) { return t.each(step) },
		func() ([]float64, error) {
			ms, err := p.best("step_ms", "testdata/bench/mobile_step.py", "--batch", fmt.Sprint(benchBatch), "--steps", fmt.Sprint(t.steps))
			return []float64{ms}, err
		},
	)
}

// mobileBlocks is three blocks of MobileNetV2 between a stem and a classifier:
// 24 channels widened to 144 and back at 32x32, the step down to 16x16, and 32
// widened to 192 and back.
func mobileBlocks() student.Architecture {
	return student.Architecture{Name: "mobile-blocks", Build: func(b *student.Builder, image *gorgonia.Node) (student.Output, error) {
		x := b.Conv("conv", image, student.Conv{Out: 24, Kernel: [2]int{3, 3}, Pad: [4]int{1, 1, 1, 1}})
		x = b.ReLU(b.BatchNorm("bn", x))
		for i, block := range []struct{ out, stride int }{{24, 1}, {32, 2}, {32, 1}} {
			name, wide := fmt.Sprintf("block%d/", i+1), 6*b.Channels(x)
			y := b.ReLU(b.BatchNorm(name+"expand_bn", b.Conv(name+"expand", x, student.Conv{Out: wide})))
			y = b.Conv(name+"depthwise", y, student.Conv{
				Out: wide, Kernel: [2]int{3, 3}, Stride: [2]int{block.stride, block.stride}, Pad: [4]int{1, 1, 1, 1}, Groups: wide,
			})
			y = b.ReLU(b.BatchNorm(name+"depthwise_bn", y))
			y = b.BatchNorm(name+"project_bn", b.Conv(name+"project", y, student.Conv{Out: block.out}))
			if block.stride == 1 {
				y = b.Add(y, x)
			}
			x = y
		}
		return b.Output(b.Dense("classifier", b.GlobalAveragePool(x), b.Classes()))
	}}
}

// stepOf returns a training step of a network on 32x32 colour images, with the
// whole objective or the labels alone, and what frees it.
func stepOf(a student.Architecture, teacher bool) (step, done func() error, err error) {
	l, err := newLearner(a, teacher)
	if err != nil {
		return nil, nil, err
	}
	s := someSample(teacher)
	return func() error {
		if _, err := l.Compute(s, true); err != nil {
			return err
		}
		return l.Update(1e-6) // small, so that nothing overflows on one batch
	}, l.Close, nil
}

// newLearner makes a learner for batches of benchBatch images of 32x32x3.
func newLearner(a student.Architecture, teacher bool, opts ...vm.Option) (*pipeline.Learner, error) {
	model, err := student.New(a, student.Spec{Image: student.Shape{H: 32, W: 32, C: 3}, Classes: benchClasses}, 1)
	if err != nil {
		return nil, err
	}
	var params []optim.Param
	for _, p := range model.Params() {
		if p.Trainable {
			params = append(params, optim.Param{Name: p.Name, Decay: p.Decay})
		}
	}
	sgd, err := optim.NewSGD(params, optim.SGDConfig{Momentum: 0.9, Nesterov: true, WeightDecay: 5e-4})
	if err != nil {
		return nil, err
	}
	spec, err := preprocess.Parse("cifar10")
	if err != nil {
		return nil, err
	}
	normalizer, err := spec.Normalizer(3)
	if err != nil {
		return nil, err
	}
	o := pipeline.Objective{LossConfig: pipeline.Default().Loss, Teacher: teacher}
	if teacher {
		for i, size := range mapSizes {
			o.Pairs = append(o.Pairs, pipeline.TapPair{
				Student: fmt.Sprintf("group%d", i+1), StudentSize: [2]int{size, size}, TeacherSize: [2]int{size, size},
			})
		}
	}
	return pipeline.NewLearner(model, benchBatch, normalizer, o, sgd, opts...)
}

// mapSizes are the heights and widths of a Wide ResNet's three groups.
var mapSizes = []int{32, 16, 8}

// someSample is a batch of no meaning, and what a teacher might say of it.
func someSample(teacher bool) *pipeline.Sample {
	s := &pipeline.Sample{Batch: data.Batch{
		Pixels: make([]uint8, benchBatch*32*32*3), N: benchBatch, H: 32, W: 32, C: 3,
		Labels: make([]int, benchBatch), Samples: make([]uint64, benchBatch),
	}}
	noise := uint32(1)
	for i := range s.Pixels {
		noise = noise*1664525 + 1013904223 // Numerical Recipes' generator
		s.Pixels[i] = uint8(noise >> 24)
	}
	for i := range s.Labels {
		s.Labels[i], s.Samples[i] = i%benchClasses, uint64(i)
	}
	if !teacher {
		return s
	}
	s.Signals = &teachers.Signals{Logits: make([]float32, benchBatch*benchClasses)}
	for i, label := range s.Labels {
		s.Signals.Logits[i*benchClasses+label] = 5
	}
	for _, size := range mapSizes {
		m := teachers.Map{H: size, W: size, C: 1, Data: make([]float32, benchBatch*size*size)}
		for j := range m.Data {
			m.Data[j] = float32(j%7) / float32(4*size) // of length about 1 per image
		}
		s.Signals.Maps = append(s.Signals.Maps, m)
	}
	return s
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{5, 100, 1}, 5}, {[]float64{4, 1, 100, 2}, 3}} {
		if got := median(c.v); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.v, got, c.want)
		}
	}
}

// TestRoundsAlternate looks at who is measured when.
func TestRoundsAlternate(t *testing.T) {
	var order string
	side := func(name string, ms ...float64) func() ([]float64, error) {
		return func() ([]float64, error) { order += name; return ms, nil }
	}
	f, err := times{rounds: 3, steps: 2, warmUp: 1}.inTurn(side("a", 1, 2, 9), side("b", 7))
	if err != nil || order != "ababab" || f != (figures{2, 7}) {
		t.Errorf("order %q, figures %v, error %v", order, f, err)
	}
	calls := 0
	ms, err := times{rounds: 3, steps: 2, warmUp: 1}.each(func() error { calls++; return nil })
	if err != nil || calls != 3 || len(ms) != 2 {
		t.Errorf("%d calls gave %d figures and %v, want 3 and the last 2", calls, len(ms), err)
	}
}

// TestMobileBlocksAreThoseOfPyTorch compares the number of parameters with
// testdata/bench/networks.py, where sum(p.numel() for p in
// Mobile().parameters()) is 34706.
func TestMobileBlocksAreThoseOfPyTorch(t *testing.T) {
	m, err := student.New(mobileBlocks(), student.Spec{Image: student.Shape{H: 32, W: 32, C: 3}, Classes: benchClasses}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if params, _, err := m.Cost(); err != nil || params != 34706 {
		t.Errorf("%d parameters, %v", params, err)
	}
}
