package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/student/zoo"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// BenchmarkStep is one training step on 32x32 colour images with CE, KD and
// three attention terms, signals given: forward, backward and SGD with
// momentum and weight decay.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name  string
		batch int
	}{{"wrn-16-1", 128}, {"wrn-16-2", 128}, {"wrn-10-0.5", 50}} {
		b.Run(fmt.Sprintf("%s/batch %d", c.name, c.batch), func(b *testing.B) {
			l, s := learnerForBenchmark(b, c.name, c.batch)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Compute(s, true); err != nil {
					b.Fatal(err)
				}
				if err := l.Update(1e-6); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkStepProfile logs where the time of a step goes; run it with -v.
func BenchmarkStepProfile(b *testing.B) {
	for _, name := range []string{"wrn-16-1", "wrn-16-2"} {
		b.Run(name, func(b *testing.B) {
			l, s := learnerForBenchmark(b, name, 128, vm.WithProfile())
			for b.Loop() {
				if _, err := l.Compute(s, true); err != nil {
					b.Fatal(err)
				}
			}
			var table strings.Builder
			if err := l.Profile().WriteTable(&table); err != nil {
				b.Fatal(err)
			}
			b.Logf("%v\n%v", l.Memory(), &table)
		})
	}
}

// TestStepAllocatesNothing covers all that a step does with a sample: pixels,
// labels, the teacher's signals, the machine, the optimiser and the running
// statistics.
func TestStepAllocatesNothing(t *testing.T) {
	for _, name := range []string{"wrn-10-0.5", "resnet-8"} {
		l, s := learnerForBenchmark(t, name, 8)
		step := func() {
			if _, err := l.Compute(s, true); err != nil {
				t.Fatal(err)
			}
			if err := l.Update(1e-6); err != nil {
				t.Fatal(err)
			}
		}
		step() // binds the outputs and makes the optimiser's state
		if n := testing.AllocsPerRun(5, step); n != 0 {
			t.Errorf("a step of %s allocates %v times, want none", name, n)
		}
	}
}

func learnerForBenchmark(b testing.TB, name string, batch int, opts ...vm.Option) (*Learner, *Sample) {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	const classes = 10
	architecture, err := zoo.Parse(name)
	must(err)
	model, err := student.New(architecture, student.Spec{Image: student.Shape{H: 32, W: 32, C: 3}, Classes: classes}, 1)
	must(err)
	c := Default()
	optimizer, err := newOptimizer(c.Training, model)
	must(err)
	spec, err := preprocess.Parse("cifar10")
	must(err)
	normalizer, err := spec.Normalizer(3)
	must(err)
	var pairs []TapPair
	s := &Sample{
		Batch:   data.Batch{Pixels: make([]uint8, batch*32*32*3), N: batch, H: 32, W: 32, C: 3, Labels: make([]int, batch)},
		Signals: &teachers.Signals{Logits: make([]float32, batch*classes)},
	}
	for i, size := range []int{32, 16, 8} {
		pairs = append(pairs, TapPair{Student: fmt.Sprintf("group%d", i+1), StudentSize: [2]int{size, size}, TeacherSize: [2]int{size, size}})
		m := teachers.Map{H: size, W: size, C: 1, Data: make([]float32, batch*size*size)}
		for j := range m.Data {
			m.Data[j] = float32(j%7) / 100
		}
		s.Signals.Maps = append(s.Signals.Maps, m)
	}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i * 31)
	}
	for i := range s.Labels {
		s.Labels[i] = i % classes
		s.Signals.Logits[i*classes+s.Labels[i]] = 5
	}
	l, err := NewLearner(model, batch, normalizer, Objective{LossConfig: c.Loss, Teacher: true, Pairs: pairs}, optimizer, opts...)
	must(err)
	b.Cleanup(func() { l.Close() })
	return l, s
}
