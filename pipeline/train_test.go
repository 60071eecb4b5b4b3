package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/student"
)

const demoTeacher = "digits/teacher.onnx"

// tinyRun is a run of about a second on drawn digits, with every part in use:
// teacher, three taps, augmentation, momentum.
func tinyRun(t testing.TB) (Config, Options) {
	t.Helper()
	split := func(seed uint64, n int) data.Memory {
		drawn := digits.Set(seed, n)
		return data.Memory{Pixels: drawn.Pixels, Labels: drawn.Labels}
	}
	set, err := data.FromMemory(data.MemorySet{
		Classes: digits.Names(), H: digits.Size, W: digits.Size, C: digits.Channels,
		Train: split(2_000_001, 60), Val: split(2_000_002, 20), Test: split(2_000_003, 20),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := DefaultDemo()
	d.Teacher, d.Epochs = demoTeacher, 2
	c := d.config(false)
	c.Training.Batch = 20
	return c, Options{Data: set}
}

func runStudent(t *testing.T, c Config, o Options) (Folder, *FinalMetrics) {
	t.Helper()
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	final, err := Train(t.Context(), c, folder, o)
	if err != nil {
		t.Fatal(err)
	}
	return folder, final
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTrainTwiceGivesTheSameStudent(t *testing.T) {
	c, o := tinyRun(t)
	first, _ := runStudent(t, c, o)
	second, _ := runStudent(t, c, o)
	if !bytes.Equal(read(t, first.Student()), read(t, second.Student())) {
		t.Error("two runs with one seed gave different student.onnx")
	}
	c.Training.Seed++
	other, _ := runStudent(t, c, o)
	if bytes.Equal(read(t, first.Best()), read(t, other.Best())) {
		t.Error("another seed gave the same parameters")
	}
}

func TestInterruptedRunResumesToTheSameStudent(t *testing.T) {
	c, o := tinyRun(t)
	whole, _ := runStudent(t, c, o)
	want := read(t, whole.Student())
	// Steps of the run: 3 batches in each of 2 epochs.
	for _, stop := range []int{1, 3, 5} {
		ctx, cancel := context.WithCancel(t.Context())
		interrupted := o
		interrupted.Hooks = []engine.Hooks[*Sample]{{OnUpdate: func(s *engine.State[*Sample]) error {
			if s.T == stop {
				cancel()
			}
			return nil
		}}}
		folder := Folder(filepath.Join(t.TempDir(), "run"))
		_, err := Train(ctx, c, folder, interrupted)
		if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "--resume") {
			t.Fatalf("stopped after %d steps: got %v, want ErrInterrupted and how to resume", stop, err)
		}
		final, err := Resume(t.Context(), folder, o)
		if err != nil {
			t.Fatalf("resuming after %d steps: %v", stop, err)
		}
		if !bytes.Equal(want, read(t, folder.Student())) {
			t.Errorf("resumed after %d steps: another student.onnx", stop)
		}
		epochs, last, err := folder.readMetrics()
		if err != nil || len(epochs) != c.Training.Epochs || last == nil {
			t.Errorf("resumed after %d steps: %d epochs in metrics.jsonl, last line %v, %v", stop, len(epochs), last, err)
		}
		if !final.Final {
			t.Error("the last line does not say that it is the last")
		}
		cancel()
	}
}

func TestKilledRunResumesFromItsLastEpoch(t *testing.T) {
	c, o := tinyRun(t)
	// What a kill in the second epoch would leave.
	left := filepath.Join(t.TempDir(), "left")
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	watched := o
	watched.Hooks = []engine.Hooks[*Sample]{{OnSample: func(s *engine.State[*Sample]) error {
		if s.Epoch == 1 && s.Batch == 1 {
			return os.CopyFS(left, os.DirFS(string(folder)))
		}
		return nil
	}}}
	if _, err := Train(t.Context(), c, folder, watched); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), Folder(left), o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, folder.Student()), read(t, Folder(left).Student())) {
		t.Error("the run resumed after a kill gave another student.onnx")
	}
}

func TestFailedWriteIsReportedAndCostsNothing(t *testing.T) {
	c, o := tinyRun(t)
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	// A folder in the checkpoint's place makes its replacement fail as a full
	// disk would, after the first epoch.
	o.Hooks = []engine.Hooks[*Sample]{{OnStartEpoch: func(s *engine.State[*Sample]) error {
		if s.Epoch == 1 {
			if err := os.Rename(folder.Checkpoint(), folder.Checkpoint()+".kept"); err != nil {
				return err
			}
			return os.Mkdir(folder.Checkpoint(), 0o755)
		}
		return nil
	}}}
	_, err := Train(t.Context(), c, folder, o)
	if err == nil || !strings.Contains(err.Error(), "checkpoint.safetensors") {
		t.Fatalf("got %v, want an error that names the checkpoint", err)
	}
	if err := os.Remove(folder.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folder.Checkpoint()+".kept", folder.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	o.Hooks = nil
	if _, err := Resume(t.Context(), folder, o); err != nil {
		t.Errorf("the run cannot go on after the disk has room again: %v", err)
	}
}

func TestRunFolderTellsTheWholeRun(t *testing.T) {
	c, o := tinyRun(t)
	o.Version = "v-test"
	folder, final := runStudent(t, c, o)

	lines := bytes.Split(bytes.TrimSpace(read(t, folder.Metrics())), []byte("\n"))
	if len(lines) != c.Training.Epochs+1 {
		t.Fatalf("%d lines in metrics.jsonl, want one per epoch and a final one", len(lines))
	}
	var epoch struct {
		Loss map[string]float64 `json:"loss"`
	}
	if err := json.Unmarshal(lines[0], &epoch); err != nil {
		t.Fatal(err)
	}
	beta := c.Loss.Attention.Beta
	sum := (1-c.Loss.Alpha)*epoch.Loss["ce"] + c.Loss.Alpha*epoch.Loss["kd"] +
		beta*(epoch.Loss["at/group1"]+epoch.Loss["at/group2"]+epoch.Loss["at/group3"])
	if total := epoch.Loss["total"]; total == 0 || abs(float32(sum-total)) > 1e-4*total {
		t.Errorf("the weighted terms %v sum to %v, total says %v", epoch.Loss, sum, total)
	}
	var last struct {
		Final    bool     `json:"final"`
		TestTop1 *float64 `json:"test_top1"`
	}
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil || !last.Final || last.TestTop1 == nil || *last.TestTop1 != final.TestTop1 {
		t.Errorf("last line %s: %v", lines[len(lines)-1], err)
	}

	m, err := onnx.ReadFile(folder.Student())
	if err != nil {
		t.Fatal(err)
	}
	if err := onnx.Check(m); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]string{
		MetaVersion: "v-test", MetaStudent: "wrn-10-0.5", MetaSeed: "1",
		MetaClasses: `["0","1","2","3","4","5","6","7","8","9"]`,
	} {
		if got, _ := m.Meta(key); got != want {
			t.Errorf("metadata %s is %q, want %q", key, got, want)
		}
	}
	if sha, _ := m.Meta(MetaTeacher); len(sha) != 64 {
		t.Errorf("metadata %s is %q, want a SHA-256", MetaTeacher, sha)
	}

	again, err := ReadConfig(folder.Config())
	if err != nil {
		t.Fatal(err)
	}
	repeated, _ := runStudent(t, again, o)
	if !bytes.Equal(read(t, folder.Student()), read(t, repeated.Student())) {
		t.Error("the run repeated from its config.yaml gave another student")
	}
}

func TestTrainRefusesAFolderThatHoldsARun(t *testing.T) {
	c, o := tinyRun(t)
	folder, _ := runStudent(t, c, o)
	before := read(t, folder.Student())
	if _, err := Train(t.Context(), c, folder, o); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(before, read(t, folder.Student())) {
		t.Error("the refused run changed student.onnx")
	}
}

func TestResumingAFinishedRunGivesItsResult(t *testing.T) {
	c, o := tinyRun(t)
	folder, want := runStudent(t, c, o)
	got, err := Resume(t.Context(), folder, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestResumeRefusesWhatIsNotItsRun(t *testing.T) {
	c, o := tinyRun(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupted := o
	interrupted.Hooks = []engine.Hooks[*Sample]{{OnEndEpoch: func(*engine.State[*Sample]) error { cancel(); return nil }}}
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	if _, err := Train(ctx, c, folder, interrupted); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	config := read(t, folder.Config())
	for _, k := range []struct {
		name  string
		spoil func(t *testing.T)
		want  string
	}{
		{"a changed configuration", func(t *testing.T) {
			b := bytes.Replace(config, []byte("temperature: 4"), []byte("temperature: 5"), 1)
			if err := os.WriteFile(folder.Config(), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "another configuration than the run began with: \"loss.temperature\" is 5, was 4"},
		{"a changed configuration that does not say so", func(t *testing.T) {
			b, _, _ := bytes.Cut(config, []byte(settingsComment))
			b = bytes.Replace(b, []byte("temperature: 4"), []byte("temperature: 5"), 1)
			if err := os.WriteFile(folder.Config(), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "another configuration: \"loss.temperature\" is 5, was 4"},
		{"a truncated checkpoint", func(t *testing.T) {
			if err := errors.Join(os.WriteFile(folder.Config(), config, 0o644), os.Truncate(folder.Checkpoint(), 1000)); err != nil {
				t.Fatal(err)
			}
		}, "checkpoint.safetensors"},
		{"a missing run", func(t *testing.T) { os.Remove(folder.Config()) }, "is not a run folder"},
	} {
		k.spoil(t)
		if _, err := Resume(t.Context(), folder, o); err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: got %v, want %q in it", k.name, err, k.want)
		}
	}
}

func TestTrainAloneNeedsNoTeacher(t *testing.T) {
	c, o := tinyRun(t)
	c.Teacher = TeacherConfig{}
	folder, _ := runStudent(t, c, o)
	epochs, _, err := folder.readMetrics()
	if err != nil {
		t.Fatal(err)
	}
	for name := range epochs[0].Loss {
		if name != "ce" && name != "total" {
			t.Errorf("a student alone has a loss term %s", name)
		}
	}
	if ce, total := epochs[0].Loss["ce"], epochs[0].Loss["total"]; ce != total {
		t.Errorf("alone, total %v is not ce %v", total, ce)
	}
}

func TestHooksOfTheCallerSeeEveryStep(t *testing.T) {
	c, o := tinyRun(t)
	c.Loss.Attention.Decay = "linear"
	const steps = 6 // 3 batches in each of 2 epochs
	var rates, weights []float64
	o.Hooks = []engine.Hooks[*Sample]{{OnUpdate: func(s *engine.State[*Sample]) error {
		rates = append(rates, s.LR)
		last := s.Output.Terms[len(s.Output.Terms)-1]
		if last.Name != "at/group3" || s.Sample.Signals == nil || len(s.Sample.Signals.Maps) != 3 {
			t.Errorf("last term %s, want at/group3 and the teacher's three maps", last.Name)
		}
		weights = append(weights, last.Weight)
		return nil
	}}}
	runStudent(t, c, o)
	var wantRates, wantWeights []float64
	for i := range steps {
		wantRates = append(wantRates, newSchedule(c.Training).LR(i, steps))
		wantWeights = append(wantWeights, c.Loss.Attention.Beta*(1-float64(i)/steps))
	}
	if d := cmp.Diff(wantRates, rates); d != "" {
		t.Errorf("learning rates (-want +got):\n%s", d)
	}
	if d := cmp.Diff(wantWeights, weights, cmpopts.EquateApprox(1e-6, 0)); d != "" { // held in float32
		t.Errorf("attention weights (-want +got):\n%s", d)
	}
}

func TestStudentIsTheFirstBestByValidation(t *testing.T) {
	c, o := tinyRun(t)
	c.Teacher = TeacherConfig{}
	c.Training.Schedule, c.Training.Epochs = "constant", 6 // which swings from epoch to epoch
	folder, final := runStudent(t, c, o)
	epochs, _, err := folder.readMetrics()
	if err != nil {
		t.Fatal(err)
	}
	best := epochs[0]
	for _, e := range epochs {
		if e.ValTop1 > best.ValTop1 {
			best = e
		}
	}
	if last := epochs[len(epochs)-1]; last.Epoch == best.Epoch {
		t.Fatalf("the last epoch is the best, which proves nothing; choose another recipe: %+v", epochs)
	}
	if final.BestEpoch != best.Epoch || final.ValTop1 != best.ValTop1 {
		t.Errorf("epoch %d with %v was chosen, want %d with %v", final.BestEpoch, final.ValTop1, best.Epoch, best.ValTop1)
	}
}

func TestUpdateMovesParametersAndRunningStatistics(t *testing.T) {
	c, o := tinyRun(t)
	c.Teacher = TeacherConfig{}
	u, err := prepare(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	before := map[string][]float32{}
	for _, p := range u.model.Params() {
		before[p.Name] = append([]float32(nil), p.Value.Data().([]float32)...)
	}
	for sample, err := range u.samples(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.learner.Compute(sample, true); err != nil {
			t.Fatal(err)
		}
		break
	}
	for _, p := range u.model.Params() {
		if !cmp.Equal(before[p.Name], p.Value.Data()) {
			t.Errorf("Compute alone changed %s", p.Name)
		}
	}
	if err := u.learner.Update(0.1); err != nil {
		t.Fatal(err)
	}
	for _, p := range u.model.Params() {
		if cmp.Equal(before[p.Name], p.Value.Data()) {
			t.Errorf("Update left %s as it was", p.Name)
		}
	}
}

func TestDecayed(t *testing.T) {
	for _, c := range []struct {
		kind string
		step int
		want float64
	}{
		{"none", 50, 1}, {"linear", 0, 1}, {"linear", 25, 0.75}, {"cosine", 50, 0.5}, {"cosine", 100, 0},
	} {
		if got := decayed(c.kind, c.step, 100); abs(float32(got-c.want)) > 1e-6 {
			t.Errorf("%s at step %d of 100: %v, want %v", c.kind, c.step, got, c.want)
		}
	}
}

func TestDivergedTrainingSaysWhatToDo(t *testing.T) {
	c, o := tinyRun(t)
	c.Training.LearningRate, c.Training.Schedule, c.Training.Epochs = 1e12, "constant", 5
	_, err := Train(t.Context(), c, Folder(filepath.Join(t.TempDir(), "run")), o)
	if err == nil || !(strings.Contains(err.Error(), "training.learning_rate") || strings.Contains(err.Error(), "not finite")) {
		t.Errorf("got %v", err)
	}
}

func TestParityGateRefusesAnotherStudent(t *testing.T) {
	c, o := tinyRun(t)
	folder, _ := runStudent(t, c, o)
	u := newRun(c, o)
	defer u.close()
	for _, step := range []func(context.Context) error{u.openData, u.makeStudent} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	best, err := safetensors.Read(folder.Best())
	if err != nil {
		t.Fatal(err)
	}
	if err := u.model.Load(best.Tensors); err != nil {
		t.Fatal(err)
	}
	if u.scorer, err = NewScorer(u.model, 20, u.normalizer); err != nil {
		t.Fatal(err)
	}
	u.closers = append(u.closers, u.scorer)
	encoded := read(t, folder.Student())
	path := filepath.Join(t.TempDir(), "student.onnx")
	parity, err := u.verify(t.Context(), path, encoded)
	if err != nil || !parity.ok() {
		t.Errorf("its own export is refused: %v, %v", parity, err)
	}
	// One weight of the first convolution, off by a hundredth.
	for _, p := range u.model.Params() {
		if p.Kind == student.Weight {
			p.Value.Data().([]float32)[0] += 0.01
			break
		}
	}
	if parity, err := u.verify(t.Context(), path, encoded); err != nil || parity.ok() {
		t.Errorf("another student's export passes: %v, %v", parity, err)
	}
}
