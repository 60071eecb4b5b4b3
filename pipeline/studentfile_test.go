package pipeline

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/student"
)

// fileRun is tinyRun whose student is the network of a file of its own: a copy
// of the demo's teacher.
func fileRun(t *testing.T) (Config, Options) {
	c, o := tinyRun(t)
	c.Student = StudentConfig{Architecture: filepath.Join(t.TempDir(), "mine.onnx"), Preprocess: "auto"}
	c.Training.Epochs, c.Training.LearningRate, c.Loss.Attention.Beta = 1, 1e-4, 0
	if err := os.WriteFile(c.Student.Architecture, read(t, demoTeacher), 0o644); err != nil {
		t.Fatal(err)
	}
	return c, o
}

func TestAStudentFromAFileStartsFromItsWeights(t *testing.T) {
	c, o := fileRun(t)
	r := &transcript{}
	o.Reporter = r
	folder, final := runStudent(t, c, o)
	m, err := onnx.ReadFile(demoTeacher)
	if err != nil {
		t.Fatal(err)
	}
	said, _, err := preprocess.FromModel(m)
	if err != nil {
		t.Fatal(err)
	}
	if used, err := folder.readConfig(); err != nil || used.Student.Preprocess != said.String() {
		t.Errorf("images are normalised by %q, the file says %q (%v)", used.Student.Preprocess, said, err)
	}
	if final.TestTop1 < 0.9 {
		t.Errorf("after a few small steps from a trained network's weights it is right on %.0f %%", 100*final.TestTop1)
	}
	if line := r.line(t, "student"); !strings.Contains(line, "mine:") || !strings.Contains(line, "mean=") {
		t.Errorf("the student is described as %q", line)
	}

	c.Student.Init = InitRandom
	folder, fresh := runStudent(t, c, o)
	if fresh.TestTop1 > 0.6 {
		t.Errorf("after a few small steps from random weights it is right on %.0f %%", 100*fresh.TestTop1)
	}
	if m, err = onnx.ReadFile(folder.Student()); err != nil || len(m.Graph.Inputs) != 1 || m.Graph.Inputs[0].Name != "image" {
		t.Errorf("the exported file is no student: %v", err)
	}
}

func TestARunGoesOnWithTheFileItBeganWith(t *testing.T) {
	c, o := fileRun(t)
	whole, _ := runStudent(t, c, o)
	want := read(t, whole.Student())

	stopped := o
	ctx, cancel := context.WithCancel(t.Context())
	stopped.Hooks = []engine.Hooks[*Sample]{{OnUpdate: func(s *engine.State[*Sample]) error {
		if s.T == 1 {
			cancel()
		}
		return nil
	}}}
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	if _, err := Train(ctx, c, folder, stopped); err == nil {
		t.Fatal("the run was not interrupted")
	}
	if err := os.Remove(c.Student.Architecture); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), folder, o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, read(t, folder.Student())) {
		t.Error("resumed without the user's file it gave another student")
	}
	again := filepath.Join(t.TempDir(), "again.onnx")
	if _, err := Export(t.Context(), folder, again, ExportConfig{}, o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, read(t, again)) {
		t.Error("exported again it is another file")
	}
	// The copy is what counts, so a changed one is another run.
	m, err := onnx.ReadFile(folder.Architecture())
	if err != nil {
		t.Fatal(err)
	}
	m.Doc = "changed"
	if err := m.WriteFile(folder.Architecture()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(folder.Metrics()); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), folder, o); err == nil || !strings.Contains(err.Error(), "architecture.onnx holds another network") {
		t.Errorf("with another file: got error %v", err)
	}
}

func TestUnfoldedNormalisationsBeginWithTheFunctionInTheFile(t *testing.T) {
	c, o := fileRun(t)
	c.Training.LearningRate = 1e-9
	var first []float64
	o.Hooks = []engine.Hooks[*Sample]{{OnForward: func(s *engine.State[*Sample]) error {
		first = append(first, s.Output.Loss)
		return nil
	}}}
	c.Teacher = TeacherConfig{}
	runStudent(t, c, o)
	plain := first[0]
	// The demo's teacher was exported with its normalisations folded where that
	// is possible; the others stay as they are.
	first = nil
	c.Student.UnfoldBatchNorm = true
	r := &transcript{}
	o.Reporter = r
	runStudent(t, c, o)
	if d := first[0] - plain; d > 0.3 || d < -0.3 {
		t.Errorf("training begins at a loss of %v, with normalisations unfolded at %v", plain, first[0])
	}
	found := false
	for _, line := range r.said {
		found = found || strings.Contains(line, "normalisations have the statistics of")
	}
	if !found {
		t.Errorf("nothing is said of statistics:\n%s", strings.Join(r.said, "\n"))
	}
}

// fiveClasses are drawn digits of which every two are one class.
func fiveClasses(t *testing.T) *data.Set {
	t.Helper()
	split := func(seed uint64, n int) data.Memory {
		drawn := digits.Set(seed, n)
		for i := range drawn.Labels {
			drawn.Labels[i] %= 5
		}
		return data.Memory{Pixels: drawn.Pixels, Labels: drawn.Labels}
	}
	set, err := data.FromMemory(data.MemorySet{
		Classes: digits.Names()[:5], H: digits.Size, W: digits.Size, C: digits.Channels,
		Train: split(2_000_001, 60), Val: split(2_000_002, 20), Test: split(2_000_003, 20),
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestAReplacedHeadLearnsOtherClasses(t *testing.T) {
	c, o := fileRun(t)
	c.Teacher = TeacherConfig{}
	r := &transcript{}
	o.Reporter, o.Data = r, fiveClasses(t)
	c.Student.ReplaceHead = true
	folder, _ := runStudent(t, c, o)
	if said := strings.Join(r.said, "\n"); !strings.Contains(said, "of 10 classes, is replaced by a fresh one of 5") {
		t.Errorf("the new classifier is not told of:\n%s", said)
	}
	m, err := onnx.ReadFile(folder.Student())
	if err != nil {
		t.Fatal(err)
	}
	if k, _ := m.Graph.Outputs[0].Shape[1].Fixed(); k != 5 {
		t.Errorf("the student tells %d classes apart, want 5", k)
	}
}

func TestStudentsFromFilesRefuse(t *testing.T) {
	for name, s := range map[string]struct {
		change func(*Config, *Options)
		want   string
	}{
		"another number of classes": {func(c *Config, o *Options) { c.Teacher, o.Data = TeacherConfig{}, fiveClasses(t) }, "ImportOptions.ReplaceHead"},
		"a size that is fixed": {func(c *Config, _ *Options) { c.Student.Architecture = "../testdata/networks/vgg11_bn.onnx" },
			"takes images of 224x224x3, the data has 32x32x3; resize them with data.size 224"},
		"a size that is not square": {func(c *Config, _ *Options) { c.Student.Architecture = "../testdata/networks/resnet18.onnx" },
			"takes images of 64x48x3, the data has 32x32x3; use images of that size"},
		"a file that is not there":       {func(c *Config, _ *Options) { c.Student.Architecture = "missing.onnx" }, "missing.onnx"},
		"a start that is not known":      {func(c *Config, _ *Options) { c.Student.Init = "zeros" }, "student.init is one of keep, random, got \"zeros\""},
		"a decay that is not known":      {func(c *Config, _ *Options) { c.Training.Decay = "biases" }, "training.decay is one of all, weights, got \"biases\""},
		"zoo students have no constants": {func(c *Config, _ *Options) { c.Student.Architecture, c.Student.TrainConstants = "wrn-10-1", true }, "train_constants (--train-constants)"},
		"zoo students have no file":      {func(c *Config, _ *Options) { c.Student.Architecture, c.Student.Init = "wrn-10-1", InitKeep }, "is an .onnx file where init (--init)"},
	} {
		t.Run(name, func(t *testing.T) {
			c, o := fileRun(t)
			s.change(&c, &o)
			_, err := Train(t.Context(), c, Folder(filepath.Join(t.TempDir(), "run")), o)
			if err == nil || !strings.Contains(err.Error(), s.want) {
				t.Errorf("got error %v, want one with %q", err, s.want)
			}
		})
	}
}

// Weight decay shrinks all parameters, or the weights of layers alone, with
// either optimiser.
func TestWhatWeightDecayShrinks(t *testing.T) {
	for _, name := range Optimizers {
		for decay, weightsOnly := range map[string]bool{"": false, DecayAll: false, DecayWeights: true} {
			imported, err := student.Import(demoTeacher, student.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			m := imported.Model
			c := Default().Training
			c.Optimizer, c.Decay, c.WeightDecay = name, decay, 0.1
			o, err := newOptimizer(c, m)
			if err != nil {
				t.Fatal(err)
			}
			g, err := m.Graph(1, student.Infer)
			if err != nil {
				t.Fatal(err)
			}
			var still []gorgonia.ValueGrad
			for _, p := range g.Params {
				still = append(still, noGradient{p})
			}
			before := map[string]float32{}
			for _, p := range m.Params() {
				before[p.Name] = squares(p)
			}
			o.SetLR(0.1)
			if err := o.Step(still); err != nil {
				t.Fatal(err)
			}
			kinds := map[student.Kind]bool{}
			for _, p := range m.Params() {
				want := p.Trainable && before[p.Name] > 0 && (!weightsOnly || p.Kind == student.Weight)
				if got := squares(p) < before[p.Name]; got != want {
					t.Errorf("%s, decay %q: %s, a %v, shrinks: %v, want %v", name, decay, p.Name, p.Kind, got, want)
				}
				kinds[p.Kind] = true
			}
			if len(kinds) < 3 {
				t.Errorf("the student has parameters of kinds %v alone", kinds)
			}
		}
	}
}

// noGradient is a parameter's node that nothing pulls at.
type noGradient struct{ *gorgonia.Node }

func (n noGradient) Grad() (gorgonia.Value, error) {
	return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n.Shape().Clone()...)), nil
}

func squares(p *student.Param) (sum float32) {
	for _, x := range p.Value.Data().([]float32) {
		sum += x * x
	}
	return sum
}
