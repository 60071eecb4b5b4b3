package pipeline

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// transcript is a Reporter that keeps what it is told.
type transcript struct {
	said, warned []string
	doubts       int                                // warnings of students that learned nothing, as those of tiny runs
	progress     func(what string, done, total int) // nil is none
}

func (r *transcript) Say(line string) { r.said = append(r.said, line) }
func (r *transcript) Warn(line string) {
	if strings.HasPrefix(line, "the student has learned nothing") {
		r.doubts++
		return
	}
	r.warned = append(r.warned, line)
}
func (r *transcript) Begin(what string, total int) func(int, string) {
	return func(done int, _ string) {
		if r.progress != nil {
			r.progress(what, done, total)
		}
	}
}

// line returns the one line said that begins with word.
func (r *transcript) line(t *testing.T, word string) string {
	t.Helper()
	var found []string
	for _, l := range r.said {
		if strings.HasPrefix(l, word) {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d lines begin with %q:\n%s", len(found), word, strings.Join(r.said, "\n"))
	}
	return found[0]
}

// viewedRun is tinyRun with five epochs of two views, in which the batches
// leave twelve of the sixty images over.
func viewedRun(t testing.TB) (Config, Options) {
	c, o := tinyRun(t)
	c.Training.Epochs, c.Training.Batch, c.Training.Augment.Views = 5, 16, 2
	return c, o
}

// sessions tells at each step how many teachers are open.
func sessions(o Options, at *[]int) Options {
	o.Hooks = append(slices.Clone(o.Hooks), engine.Hooks[*Sample]{OnUpdate: func(*engine.State[*Sample]) error {
		*at = append(*at, teachers.OpenSessions())
		return nil
	}})
	return o
}

func TestRecordedSignalsGiveTheSameStudent(t *testing.T) {
	const perEpoch = 3
	for _, precision := range Precisions {
		t.Run(precision, func(t *testing.T) {
			c, o := viewedRun(t)
			c.Teacher.Precision = precision
			c.Resources.Cache = NoCache
			folder, _ := runStudent(t, c, o)
			want := read(t, folder.Student())

			c.Resources.Cache = filepath.Join(t.TempDir(), "signals")
			r := &transcript{}
			o.Reporter = r
			var open []int
			folder, _ = runStudent(t, c, sessions(o, &open))
			if !bytes.Equal(want, read(t, folder.Student())) {
				t.Error("the run that records gives another student.onnx")
			}
			// Two epochs fill the views; then nobody is there to be asked. The
			// last step of the second finds all but what it leaves over recorded.
			for i, n := range open {
				if wantOpen := i < 2*perEpoch; (n > 0) != wantOpen {
					t.Errorf("step %d of %d: %d teachers are open, want some: %v", i+1, len(open), n, wantOpen)
				}
			}
			if got := r.line(t, "cache"); !strings.Contains(got, "0 of 2 views recorded") || !strings.Contains(got, c.Resources.Cache) || !strings.Contains(got, "kB in") {
				t.Errorf("the plan says %q", got)
			}

			again := &transcript{}
			o.Reporter, open = again, nil
			folder, _ = runStudent(t, c, sessions(o, &open))
			if !bytes.Equal(want, read(t, folder.Student())) {
				t.Error("the run that replays gives another student.onnx")
			}
			if len(open) != 5*perEpoch || slices.Max(open) != 0 {
				t.Errorf("teachers open at each step: %v, want none", open)
			}
			if got := again.line(t, "cache"); !strings.Contains(got, "2 of 2 views recorded, so the teacher is not asked again") {
				t.Errorf("the plan says %q", got)
			}
			if len(r.warned)+len(again.warned) > 0 {
				t.Errorf("warned of %v, %v", r.warned, again.warned)
			}
		})
	}
}

func TestHalfPrecisionSignalsGiveNearlyTheSameLosses(t *testing.T) {
	c, o := viewedRun(t)
	// Steps so small that the two students stay together: large ones carry any
	// two roundings apart.
	c.Training.LearningRate = 1e-4
	exact, _ := runStudent(t, c, o)
	c.Resources.Cache = t.TempDir()
	rounded, _ := runStudent(t, c, o)
	want, _, err := exact.readMetrics()
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := rounded.readMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != c.Training.Epochs {
		t.Fatalf("%d epochs", len(got))
	}
	differ := false
	for i := range want {
		for name, w := range want[i].Loss {
			g := got[i].Loss[name]
			differ = differ || g != w
			// Signals are rounded by at most one part in 2048, each its own way.
			if math.Abs(g-w) > w/2048 {
				t.Errorf("epoch %d: %s is %v with signals of half precision, %v with exact ones", i+1, name, g, w)
			}
		}
	}
	if !differ {
		t.Error("no loss differs at all, so nothing was rounded")
	}
	config, err := rounded.readConfig()
	if err != nil {
		t.Fatal(err)
	}
	if config.Teacher.Precision != "float16" {
		t.Errorf("recorded signals have precision %q unless another is named", config.Teacher.Precision)
	}
}

// TestChildIsKilled trains in a process of its own and kills it in the middle
// of the second epoch, which is recording its view.
func TestChildIsKilled(t *testing.T) {
	dir := os.Getenv("ONNXDISTILL_TEST_FOLDER")
	if dir == "" {
		t.Skip("is run by other tests in a process of its own")
	}
	c, o := viewedRun(t)
	c.Resources.Cache = filepath.Join(dir, "signals")
	c.Teacher.Precision = "float32"
	o.Hooks = []engine.Hooks[*Sample]{{OnUpdate: func(s *engine.State[*Sample]) error {
		if s.Epoch == 1 && s.Batch == 2 {
			self, err := os.FindProcess(os.Getpid())
			if err != nil {
				return err
			}
			self.Kill()
			select {}
		}
		return nil
	}}}
	Train(t.Context(), c, Folder(filepath.Join(dir, "run")), o)
	t.Fatal("it lives")
}

func TestRunKilledWhileRecordingResumesToTheSameStudent(t *testing.T) {
	c, o := viewedRun(t)
	c.Teacher.Precision = "float32"
	whole, _ := runStudent(t, c, o)

	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildIsKilled$")
	cmd.Env = append(os.Environ(), "ONNXDISTILL_TEST_FOLDER="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), "it lives") {
		t.Fatalf("%v\n%s", err, out)
	}
	caches, err := teachers.Caches(filepath.Join(dir, "signals"))
	if err != nil || len(caches) != 1 {
		t.Fatalf("%v, %v", caches, err)
	}
	// All of the first view, and two batches of the second.
	if d := cmp.Diff([]int{60, 32}, caches[0].Views); d != "" {
		t.Errorf("recorded when it was killed (-want +got):\n%s", d)
	}
	r := &transcript{}
	o.Reporter = r
	folder := Folder(filepath.Join(dir, "run"))
	if _, err := Resume(t.Context(), folder, o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, whole.Student()), read(t, folder.Student())) {
		t.Error("the run resumed after a kill gave another student.onnx than the run that records nothing")
	}
	if got := r.line(t, "cache"); !strings.Contains(got, "1 of 2 views recorded, and 32 images of the rest") {
		t.Errorf("the plan says %q", got)
	}
}

func TestACacheLostHalfWayChangesNothing(t *testing.T) {
	c, o := viewedRun(t)
	c.Teacher.Precision = "float16"
	exact, _ := runStudent(t, c, o)
	want := read(t, exact.Student())

	cache := filepath.Join(t.TempDir(), "signals")
	c.Resources.Cache = cache
	lose := o
	r := &transcript{}
	lose.Reporter = r
	lose.Hooks = []engine.Hooks[*Sample]{{OnEndEpoch: func(s *engine.State[*Sample]) error {
		if s.Epoch != 1 {
			return nil
		}
		return errors.Join(os.RemoveAll(cache), os.WriteFile(cache, nil, 0o644))
	}}}
	folder, _ := runStudent(t, c, lose)
	if !bytes.Equal(want, read(t, folder.Student())) {
		t.Error("another student.onnx")
	}
	if len(r.warned) == 0 || !strings.Contains(r.warned[0], cache) || !strings.Contains(r.warned[0], "computed each time") {
		t.Errorf("warned of %v", r.warned)
	}
	if seen := map[string]bool{}; true {
		for _, w := range r.warned {
			if seen[w] {
				t.Errorf("said twice: %s", w)
			}
			seen[w] = true
		}
	}

	// And on resuming without it, or with another.
	for _, other := range []string{NoCache, t.TempDir()} {
		c.Resources.Cache = t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		stopped := o
		stopped.Hooks = []engine.Hooks[*Sample]{{OnUpdate: func(s *engine.State[*Sample]) error {
			if s.T == 4 {
				cancel()
			}
			return nil
		}}}
		folder := Folder(filepath.Join(t.TempDir(), "run"))
		if _, err := Train(ctx, c, folder, stopped); !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		resumed := o
		resumed.Resources.Cache = other
		if _, err := Resume(t.Context(), folder, resumed); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, read(t, folder.Student())) {
			t.Errorf("resumed with the cache %q: another student.onnx", other)
		}
		if all, err := teachers.Caches(other); other != NoCache && (err != nil || len(all) != 1) {
			t.Errorf("resumed with the cache %q, which holds %v, %v", other, all, err)
		}
	}
}

func TestViewsComeInTurn(t *testing.T) {
	c, o := viewedRun(t)
	pixels := map[uint32]map[uint64]string{} // by view and sample
	var order []uint32
	o.Hooks = []engine.Hooks[*Sample]{{OnSample: func(s *engine.State[*Sample]) error {
		if s.Batch == 0 {
			order = append(order, s.Sample.View)
		}
		of := pixels[s.Sample.View]
		if of == nil {
			of = map[uint64]string{}
			pixels[s.Sample.View] = of
		}
		size := len(s.Sample.Pixels) / s.Sample.N
		for i, id := range s.Sample.Samples {
			p := string(s.Sample.Pixels[i*size : (i+1)*size])
			if before, ok := of[id]; ok && before != p {
				t.Errorf("epoch %d: sample %#x looks otherwise than when view %d was shown before", s.Epoch, id, s.Sample.View)
			}
			of[id] = p
		}
		return nil
	}}}
	runStudent(t, c, o)
	if d := cmp.Diff([]uint32{0, 1, 0, 1, 0}, order); d != "" {
		t.Errorf("views of the epochs (-want +got):\n%s", d)
	}
	same := 0
	for id, p := range pixels[0] {
		if pixels[1][id] == p {
			same++
		}
	}
	if same > len(pixels[0])/4 {
		t.Errorf("%d of %d samples look the same in two views", same, len(pixels[0]))
	}
}

func TestViewsLeftOpen(t *testing.T) {
	fixed := AugmentConfig{Views: ChooseViews}
	varied := Default().Training.Augment
	ten := varied
	ten.Views = 10
	for _, k := range []struct {
		name    string
		teacher string
		augment AugmentConfig
		want    int
	}{
		{"with a teacher", "t.onnx", varied, 8},
		{"alone", "", varied, 0},
		{"images that do not vary", "t.onnx", fixed, 1},
		{"as asked for, with a teacher", "t.onnx", ten, 10},
		{"as asked for, alone", "", ten, 10},
	} {
		c := valid()
		c.Teacher.Path, c.Training.Augment = k.teacher, k.augment
		if c.resolveViews(); c.Training.Augment.Views != k.want {
			t.Errorf("%s: %d views, want %d", k.name, c.Training.Augment.Views, k.want)
		}
	}
}

func TestConfigHashKnowsThePrecisionAndNotTheCache(t *testing.T) {
	hash := func(change func(c *Config)) string {
		c, o := viewedRun(t)
		change(&c)
		u, err := prepare(t.Context(), c, o)
		if err != nil {
			t.Fatal(err)
		}
		defer u.close()
		return u.hash
	}
	cache := t.TempDir()
	exact := hash(func(*Config) {})
	if got := hash(func(c *Config) { c.Resources.Cache, c.Teacher.Precision = cache, "float32" }); got != exact {
		t.Error("recording exact signals makes another run")
	}
	half := hash(func(c *Config) { c.Resources.Cache = cache })
	if half == exact {
		t.Error("rounded signals make the same run as exact ones")
	}
	if got := hash(func(c *Config) { c.Teacher.Precision = "float16" }); got != half {
		t.Error("rounded signals that are not recorded make another run than recorded ones")
	}
	if got := hash(func(c *Config) { c.Training.Augment.Views = 3 }); got == exact {
		t.Error("another number of views makes the same run")
	}
	alone := func(c *Config) { c.Teacher = TeacherConfig{} }
	if hash(alone) != hash(func(c *Config) { alone(c); c.Resources.Cache, c.Teacher.Precision = cache, "float16" }) {
		t.Error("without a teacher the precision of its signals makes another run")
	}
}

func TestSignalsAreRecordedAhead(t *testing.T) {
	c, o := viewedRun(t)
	c.Resources.Cache = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &transcript{progress: func(what string, done, total int) {
		if what == "recording signals" && done >= 32 {
			cancel()
		}
	}}
	o.Reporter = r
	err := RecordSignals(ctx, c, o)
	if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "32 of 120 signals") || !strings.Contains(err.Error(), "same command") {
		t.Fatalf("interrupted: %v", err)
	}
	var totals []int
	r = &transcript{progress: func(what string, done, total int) {
		if what == "recording signals" {
			totals = append(totals, total)
		}
	}}
	o.Reporter = r
	for range 2 { // the second call finds nothing to do
		if err := RecordSignals(t.Context(), c, o); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Max(totals) != 88 || totals[len(totals)-1] != 0 {
		t.Errorf("totals of the progress: %v, want 88 and then 0", totals)
	}
	var open []int
	o.Reporter = nil
	runStudent(t, c, sessions(o, &open))
	if slices.Max(open) != 0 {
		t.Errorf("teachers open at each step: %v, want none", open)
	}
	for _, k := range []struct {
		name  string
		spoil func(c *Config)
		want  string
	}{
		{"no teacher", func(c *Config) { c.Teacher.Path = "" }, "teacher.path"},
		{"no folder", func(c *Config) { c.Resources.Cache = NoCache }, "resources.cache"},
		{"new views in each epoch", func(c *Config) { c.Training.Augment.Views = 0 }, "training.augment.views"},
		{"a misspelt precision", func(c *Config) { c.Teacher.Precision = "half" }, `one of float16, float32, got "half"`},
		{"a folder that cannot be made", func(c *Config) { c.Resources.Cache = demoTeacher }, "cannot be written"},
	} {
		bad := c
		k.spoil(&bad)
		if err := RecordSignals(t.Context(), bad, o); err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: got %v, want %q in it", k.name, err, k.want)
		}
	}
}

// A cache shared by runs must keep apart what differs, and share what does not.
func TestEachRunFindsItsOwnSignals(t *testing.T) {
	c, o := viewedRun(t)
	c.Resources.Cache = t.TempDir()
	folder := func(change func(c *Config)) string {
		k := c
		change(&k)
		u, err := prepare(t.Context(), k, o)
		if err != nil {
			t.Fatal(err)
		}
		defer u.close()
		return u.signals.Folder()
	}
	own := folder(func(*Config) {})
	for name, change := range map[string]func(c *Config){
		"seed":          func(c *Config) { c.Training.Seed++ },
		"augmentation":  func(c *Config) { c.Training.Augment.Pad++ },
		"map":           func(c *Config) { c.Loss.Attention.Map = "max^p" },
		"power":         func(c *Config) { c.Loss.Attention.Power = 4 },
		"logits alone":  func(c *Config) { c.Loss.Attention.Beta = 0 },
		"preprocessing": func(c *Config) { c.Teacher.Preprocess = "imagenet" },
		"class order":   func(c *Config) { c.Teacher.Classes = []int{1, 0, 2, 3, 4, 5, 6, 7, 8, 9} },
		"precision":     func(c *Config) { c.Teacher.Precision = "float32" },
	} {
		if folder(change) == own {
			t.Errorf("another %s finds the same signals", name)
		}
	}
	for name, change := range map[string]func(c *Config){
		"recipe":        func(c *Config) { c.Training.Epochs, c.Training.Batch, c.Training.LearningRate = 2, 10, 0.1 },
		"objective":     func(c *Config) { c.Loss.Alpha, c.Loss.Temperature = 0.5, 2 },
		"views":         func(c *Config) { c.Training.Augment.Views = 3 },
		"limit":         func(c *Config) { c.Data.Limit = 30 },
		"student":       func(c *Config) { c.Student.Architecture = "wrn-10-1" },
		"preprocessing": func(c *Config) { c.Student.Preprocess = "imagenet" },
	} {
		if folder(change) != own {
			t.Errorf("another %s of the student's finds other signals", name)
		}
	}
}
