package zoo_test

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/optim"
)

// TestGradientsAgreeWithCentralDifferences steps every parameter of a whole
// network along a direction of its own and compares the slope of the loss.
func TestGradientsAgreeWithCentralDifferences(t *testing.T) {
	const (
		// step is near the cube root of float64's precision, where a central
		// difference is best, but small enough to stay off most kinks of ReLU.
		step = 1e-6
		// slope is what a step of that size leaves of 16 digits.
		slope = 1e-7
	)
	for _, name := range []string{"wrn-10-0.125", "resnet-8"} {
		t.Run(name, func(t *testing.T) {
			m, err := newModel(t, name, student.Shape{H: 6, W: 5, C: 2}, 3).Convert(tensor.Float64)
			if err != nil {
				t.Fatal(err)
			}
			fillFor(t, m)
			g := newGraph(t, m, 3, student.Train)
			letImage(t, g, noise("image", 3*6*5*2))
			loss := crossEntropy(t, g.Logits)
			gradients, err := gorgonia.Grad(loss, g.Params...)
			if err != nil {
				t.Fatal(err)
			}
			machine := newMachine(t, g, append(gorgonia.Nodes{loss}, gradients...)...)
			runAll(t, machine)
			want := make([][]float64, len(gradients))
			for i, n := range gradients {
				want[i] = append([]float64(nil), value(n)...)
			}
			for i, n := range g.Params {
				w := value(n)
				direction := noise(fmt.Sprint("direction of ", n.Name()), len(w))
				at := func(h float64) float64 {
					kept := append([]float64(nil), w...)
					for j, d := range direction {
						w[j] += h * d
					}
					runAll(t, machine)
					copy(w, kept)
					return value(loss)[0]
				}
				got := (at(step) - at(-step)) / (2 * step)
				var dot, size float64
				for j, d := range direction {
					dot += d * want[i][j]
					size += math.Abs(d * want[i][j])
				}
				if math.Abs(got-dot) > slope*max(size, 1) || size == 0 {
					t.Errorf("along %s the loss has slope %v, its gradient says %v", n.Name(), got, dot)
				}
			}
		})
	}
}

// TestATinyNetworkLearnsEightImagesByHeart trains as the pipeline does: one
// graph, Gorgonia's derivative, our machine and optimiser. What was learnt must
// hold in inference too, through the running statistics.
func TestATinyNetworkLearnsEightImagesByHeart(t *testing.T) {
	const batch, steps = 8, 60
	for _, name := range []string{"wrn-10-0.5", "resnet-8"} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, name, student.Shape{H: 8, W: 8, C: 3}, 4)
			g := newGraph(t, m, batch, student.Train)
			image := noise("image", batch*8*8*3)
			letImage(t, g, image)
			loss := crossEntropy(t, g.Logits)
			gradients, err := gorgonia.Grad(loss, g.Params...)
			if err != nil {
				t.Fatal(err)
			}
			out := append(gorgonia.Nodes{loss}, gradients...)
			for _, u := range g.Updates {
				out = append(out, u.Node)
			}
			machine := newMachine(t, g, out...)
			var named []optim.Param
			for _, p := range m.Params() {
				if p.Trainable {
					named = append(named, optim.Param{Name: p.Name, Decay: p.Decay})
				}
			}
			sgd, err := optim.NewSGD(named, optim.SGDConfig{LR: 0.05, Momentum: 0.9, WeightDecay: 5e-4})
			if err != nil {
				t.Fatal(err)
			}
			var first, last float32
			for step := range steps {
				runAll(t, machine)
				last = loss.Value().Data().(float32)
				if step == 0 {
					first = last
				}
				if err := sgd.Step(gorgonia.NodesToValueGrads(g.Params)); err != nil {
					t.Fatal(err)
				}
				if err := m.Apply(g.Updates); err != nil {
					t.Fatal(err)
				}
			}
			if !(first > 1 && last < 0.05) {
				t.Errorf("the loss went from %v to %v in %d steps", first, last, steps)
			}
			infer := newGraph(t, m, batch, student.Infer)
			letImage(t, infer, image)
			runAll(t, newMachine(t, infer, infer.Logits))
			b, err := op.BufferOf(infer.Logits.Value())
			if err != nil {
				t.Fatal(err)
			}
			right := 0
			for i := range batch {
				best := 0
				for k, z := range b.F32[4*i : 4*i+4] {
					if z > b.F32[4*i+best] {
						best = k
					}
				}
				if best == i%4 {
					right++
				}
			}
			if right != batch {
				t.Errorf("inference gets %d of %d images right", right, batch)
			}
		})
	}
}
