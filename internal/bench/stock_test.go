package bench

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// stockStep compares a WRN-16-1 that learns from labels with the same network
// of Gorgonia's own operators, derivative, tape machine and solver.
func stockStep(*testing.B) (figures, error) {
	a, err := zoo.WRN(16, 1)
	if err != nil {
		return figures{}, err
	}
	step, done, err := stepOf(a, false)
	if err != nil {
		return figures{}, err
	}
	defer done()
	batch := benchBatch
	if testing.Short() {
		batch = 8
	}
	stock, closeStock, err := stockWRN(16, 1, batch)
	if err != nil {
		return figures{}, err
	}
	defer closeStock()
	ours, peer := timesOf(2, 12), timesOf(2, 2) // the peer takes seconds
	peer.warmUp = 1
	return ours.inTurn(
		func() ([]float64, error) { return ours.each(step) },
		func() ([]float64, error) {
			ms, err := peer.each(stock)
			for i := range ms {
				ms[i] *= float64(benchBatch) / float64(batch)
			}
			return ms, err
		},
	)
}

// stockNet builds a network of stock operators; the first error sticks.
type stockNet struct {
	g      *gorgonia.ExprGraph
	params gorgonia.Nodes
	err    error
}

// take returns n unless something failed.
func (s *stockNet) take(n *gorgonia.Node, err error) *gorgonia.Node {
	if s.err == nil {
		s.err = err
	}
	return n
}

func (s *stockNet) param(name string, init gorgonia.InitWFn, shape ...int) *gorgonia.Node {
	n := gorgonia.NewTensor(s.g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name), gorgonia.WithInit(init))
	s.params = append(s.params, n)
	return n
}

func (s *stockNet) conv(name string, x *gorgonia.Node, out, size, stride int) *gorgonia.Node {
	if s.err != nil {
		return nil
	}
	in := x.Shape()[1]
	w := s.param(name, gorgonia.Gaussian(0, math.Sqrt(2/float64(in*size*size))), out, in, size, size)
	pad, by := []int{size / 2, size / 2}, []int{stride, stride}
	return s.take(gorgonia.Conv2d(x, w, tensor.Shape{size, size}, pad, by, []int{1, 1}))
}

// activate is batch normalisation with a scale and a shift per channel, and
// ReLU.
func (s *stockNet) activate(name string, x *gorgonia.Node) *gorgonia.Node {
	if s.err != nil {
		return nil
	}
	channels := x.Shape()[1]
	scale := s.param(name+"/scale", gorgonia.Ones(), 1, channels, 1, 1)
	shift := s.param(name+"/shift", gorgonia.Zeroes(), 1, channels, 1, 1)
	y, _, _, _, err := gorgonia.BatchNorm(x, scale, shift, 0.9, 1e-5)
	if y = s.take(y, err); s.err != nil {
		return nil
	}
	return s.take(gorgonia.Rectify(y))
}

// wrn is student/zoo's wide residual network for images x [N, 3, 32, 32].
func (s *stockNet) wrn(x *gorgonia.Node, depth, width int) *gorgonia.Node {
	x = s.conv("conv", x, 16, 3, 1)
	inputs := 16
	for g := range 3 {
		out, stride := 16*width<<g, min(g, 1)+1
		for i := range (depth - 4) / 6 {
			name := fmt.Sprintf("group%d/block%d/", g+1, i+1)
			y := s.activate(name+"bn1", x)
			if inputs != out {
				x = s.conv(name+"shortcut", y, out, 1, stride)
			}
			y = s.conv(name+"conv1", y, out, 3, stride)
			y = s.conv(name+"conv2", s.activate(name+"bn2", y), out, 3, 1)
			if s.err != nil {
				return nil
			}
			x = s.take(gorgonia.Add(y, x))
			inputs, stride = out, 1
		}
	}
	if x = s.activate("bn", x); s.err != nil {
		return nil
	}
	// Gorgonia's GlobalAveragePool2D has no derivative.
	shape := x.Shape()
	if x = s.take(gorgonia.Reshape(x, tensor.Shape{shape[0], shape[1], shape[2] * shape[3]})); s.err != nil {
		return nil
	}
	if x = s.take(gorgonia.Mean(x, 2)); s.err != nil {
		return nil
	}
	w := s.param("classifier", gorgonia.Gaussian(0, math.Sqrt(2/float64(inputs))), inputs, benchClasses)
	bias := s.param("classifier/bias", gorgonia.Zeroes(), 1, benchClasses)
	if x = s.take(gorgonia.Mul(x, w)); s.err != nil {
		return nil
	}
	return s.take(gorgonia.BroadcastAdd(x, bias, nil, []byte{0}))
}

// stockWRN returns a step of the network on the labels: forward, backward and
// momentum.
func stockWRN(depth, width, batch int) (step func() error, done func() error, err error) {
	s := &stockNet{g: gorgonia.NewGraph()}
	image := gorgonia.NewTensor(s.g, tensor.Float32, 4, gorgonia.WithShape(batch, 3, 32, 32), gorgonia.WithName("image"), gorgonia.WithInit(gorgonia.Gaussian(0, 1)))
	logits := s.wrn(image, depth, width)
	if s.err != nil {
		return nil, nil, s.err
	}
	// -1/batch at each label makes the sum below the mean cross-entropy.
	labels := make([]float32, batch*benchClasses)
	for i := range batch {
		labels[i*benchClasses+i%benchClasses] = -1 / float32(batch)
	}
	target := gorgonia.NewMatrix(s.g, tensor.Float32, gorgonia.WithShape(batch, benchClasses), gorgonia.WithName("labels"),
		gorgonia.WithValue(tensor.New(tensor.WithShape(batch, benchClasses), tensor.WithBacking(labels))))
	p := s.take(gorgonia.LogSoftMax(logits))
	if s.err == nil {
		p = s.take(gorgonia.HadamardProd(p, target))
	}
	if s.err == nil {
		p = s.take(gorgonia.Sum(p))
	}
	if s.err != nil {
		return nil, nil, s.err
	}
	if _, err := gorgonia.Grad(p, s.params...); err != nil {
		return nil, nil, err
	}
	machine := gorgonia.NewTapeMachine(s.g, gorgonia.BindDualValues(s.params...))
	solver := gorgonia.NewMomentum(gorgonia.WithLearnRate(1e-6), gorgonia.WithMomentum(0.9))
	return func() error {
		defer machine.Reset()
		if err := machine.RunAll(); err != nil {
			return err
		}
		return solver.Step(gorgonia.NodesToValueGrads(s.params))
	}, machine.Close, nil
}

// TestStockNetworkIsTheSame compares the number of its parameters, and sees it
// take a step.
func TestStockNetworkIsTheSame(t *testing.T) {
	s := &stockNet{g: gorgonia.NewGraph()}
	image := gorgonia.NewTensor(s.g, tensor.Float32, 4, gorgonia.WithShape(2, 3, 32, 32), gorgonia.WithName("image"), gorgonia.WithInit(gorgonia.Gaussian(0, 1)))
	if logits := s.wrn(image, 16, 1); s.err != nil || !logits.Shape().Eq(tensor.Shape{2, benchClasses}) {
		t.Fatalf("logits %v, %v", logits, s.err)
	}
	params := 0
	for _, p := range s.params {
		params += p.Shape().TotalSize()
	}
	if params != 175066 { // see testdata/golden/zoo.json
		t.Errorf("%d parameters", params)
	}
	step, done, err := stockWRN(10, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := step(); err != nil {
		t.Error(err)
	}
}

// portableConvolution compares the kernels written in Go with Gorgonia's
// Conv2d. Its figures come from a process of its own, built without the tag
// that links other kernels, and with GODEBUG set to godebug.
func portableConvolution(tags, godebug string) func(*testing.B) (figures, error) {
	return func(b *testing.B) (figures, error) {
		binary := filepath.Join(b.TempDir(), "portable.test")
		if out, err := exec.Command("go", "test", "-c", "-tags="+tags, "-o", binary, "./internal/bench").CombinedOutput(); err != nil {
			return figures{}, fmt.Errorf("building with the tags %q: %w\n%s", tags, err, out)
		}
		c := exec.Command(binary, "-test.run=^$", "-test.bench=^BenchmarkPortableConvolution$", "-test.benchtime=1x", "-test.short="+strconv.FormatBool(testing.Short()))
		c.Env = append(os.Environ(), "GODEBUG="+godebug)
		out, err := c.CombinedOutput()
		if err != nil {
			return figures{}, fmt.Errorf("%w\n%s", err, out)
		}
		ours, peer := metric(string(out), "ours-ms"), metric(string(out), "peer-ms")
		if ours == 0 || peer == 0 {
			return figures{}, fmt.Errorf("no figures in %s", out)
		}
		return figures{ours, peer}, nil
	}
}

// metric reads what a benchmark reported in a unit; 0 is nothing.
func metric(output, unit string) float64 {
	m := regexp.MustCompile(`(\S+) ` + regexp.QuoteMeta(unit) + `\b`).FindStringSubmatch(output)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}

// BenchmarkPortableConvolution computes the convolutions of a WRN-16-1's three
// sizes and both derivatives of each, by the kernels of this process and by
// Gorgonia's Conv2d on its tape machine. GODEBUG=cpu.avx2=off takes the vector
// instructions from ours.
func BenchmarkPortableConvolution(b *testing.B) {
	const batch = 32
	t := timesOf(3, 10)
	for b.Loop() {
		var sum figures
		for _, s := range []struct{ size, channels int }{{32, 16}, {16, 32}, {8, 64}} {
			f, err := convolutions(t, batch, s.size, s.channels)
			if err != nil {
				b.Fatal(err)
			}
			sum.ours, sum.peer = sum.ours+f.ours, sum.peer+f.peer
		}
		b.ReportMetric(sum.ours, "ours-ms")
		b.ReportMetric(sum.peer, "peer-ms")
		b.ReportMetric(sum.peer/sum.ours, "ratio")
	}
	b.ReportMetric(0, "ns/op")
}

// convolutions measures a padded 3x3 convolution of square images and its
// derivatives by images and weights.
func convolutions(t times, batch, size, channels int) (figures, error) {
	graph := func(image, weights tensor.Shape, conv func(x, w *gorgonia.Node) (*gorgonia.Node, error)) (gorgonia.Nodes, error) {
		g := gorgonia.NewGraph()
		input := func(name string, s tensor.Shape) *gorgonia.Node {
			return gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithName(name), gorgonia.WithShape(s...), gorgonia.WithInit(gorgonia.Gaussian(0, 1)))
		}
		x, w := input("x", image), input("w", weights)
		y, err := conv(x, w)
		if err != nil {
			return nil, err
		}
		cost, err := gorgonia.Sum(y)
		if err != nil {
			return nil, err
		}
		d, err := gorgonia.Grad(cost, x, w)
		return append(d, cost), err
	}
	ours, err := graph(tensor.Shape{batch, size, size, channels}, tensor.Shape{channels, 3, 3, channels}, func(x, w *gorgonia.Node) (*gorgonia.Node, error) {
		return op.Conv2D(x, w, op.ConvConfig{Pad: [4]int{1, 1, 1, 1}})
	})
	if err != nil {
		return figures{}, err
	}
	peer, err := graph(tensor.Shape{batch, channels, size, size}, tensor.Shape{channels, channels, 3, 3}, func(x, w *gorgonia.Node) (*gorgonia.Node, error) {
		return gorgonia.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1})
	})
	if err != nil {
		return figures{}, err
	}
	machine, err := vm.New(ours[0].Graph(), ours)
	if err != nil {
		return figures{}, err
	}
	defer machine.Close()
	tape := gorgonia.NewTapeMachine(peer[0].Graph())
	defer tape.Close()
	return t.inTurn(
		func() ([]float64, error) { return t.each(machine.RunAll) },
		func() ([]float64, error) {
			return t.each(func() error {
				defer tape.Reset()
				return tape.RunAll()
			})
		},
	)
}

func TestMetricsAreRead(t *testing.T) {
	const line = "BenchmarkX-2 \t 1\t         0.5000 ratio-ms\t        12.50 ours-ms\t  30 peer-ms/op\n"
	if got := metric(line, "ours-ms"); got != 12.5 {
		t.Errorf("read %v", got)
	}
	if got := metric(line, "images/s"); got != 0 {
		t.Errorf("read %v of nothing", got)
	}
}
