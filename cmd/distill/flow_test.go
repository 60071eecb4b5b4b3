package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
)

const teacher = "../../pipeline/digits/teacher.onnx"

// drawImages writes a small folder of class folders with train/ and test/.
func drawImages(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	if err := data.WriteFolder(dir, drawSet(t, digits.Names(), 80)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// drawSet draws digits under names for them: n training images, a quarter of that
// for validation and half of it for testing.
func drawSet(t *testing.T, names []string, n int) *data.Set {
	t.Helper()
	split := func(seed uint64, n int) data.Memory {
		drawn := digits.Set(seed, n)
		return data.Memory{Pixels: drawn.Pixels, Labels: drawn.Labels}
	}
	set, err := data.FromMemory(data.MemorySet{
		Classes: names, H: digits.Size, W: digits.Size, C: digits.Channels,
		Train: split(5_000_001, n), Val: split(5_000_002, n/4), Test: split(5_000_003, n/2),
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestFromTeacherToStudent types the commands of the README, one after the
// other.
func TestFromTeacherToStudent(t *testing.T) {
	images, run := drawImages(t), filepath.Join(t.TempDir(), "first")
	must := func(args ...string) string {
		t.Helper()
		out, errOut, err := distill(t, args...)
		if err != nil {
			t.Fatalf("distill %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut)
		}
		return out
	}

	var report struct {
		Inputs        []struct{ Name string }
		Outputs       []struct{ Name string }
		Opset, IR     int64
		Parameters    int64
		MACs          int64
		Layout        string
		SoftmaxOutput *bool `json:"softmax_output"`
		Taps          []struct {
			Name      string
			Shape     [3]int
			Suggested bool
		}
	}
	if err := json.Unmarshal([]byte(must("inspect", "--json", teacher)), &report); err != nil {
		t.Fatal(err)
	}
	suggested := 0
	for _, tap := range report.Taps {
		if tap.Suggested {
			suggested++
		}
	}
	if len(report.Inputs) != 1 || len(report.Outputs) != 1 || report.Opset == 0 || report.IR == 0 || report.Parameters == 0 || report.MACs == 0 ||
		report.Layout != "NCHW" || report.SoftmaxOutput == nil || suggested != 3 {
		t.Errorf("inspect --json says %+v", report)
	}
	if out := must("inspect", teacher); !strings.Contains(out, report.Taps[0].Name) {
		t.Errorf("inspect does not name the taps:\n%s", out)
	}

	out := must("train", "--teacher", teacher, "--data", images, "--student", "wrn-10-0.5", "--out", run, "--epochs", "2", "--batch", "20", "--flip=false",
		"--verbose", "--profile", run+".profile")
	if table, err := os.ReadFile(run + ".profile"); err != nil || !strings.Contains(string(table), "Conv2DBackWeights") {
		t.Errorf("--profile leaves %q, %v", table, err)
	}
	for _, want := range []string{"MiB planned", "MiB of this process", "80 training, 20 validation, 40 test images", "group3 (8x8) learns from", "at/group1", "largest logit difference", "test accuracy"} {
		if !strings.Contains(out, want) {
			t.Errorf("train does not say %q:\n%s", want, out)
		}
	}

	student := filepath.Join(run, "student.onnx")
	var measured struct {
		Top1, Top5       float64
		Samples          int
		Parameters       int64
		Bytes            int64
		AveragePrecision map[string]float64         `json:"average_precision"`
		Latency          struct{ P50, P95 float64 } `json:"latency_ms"`
	}
	if err := json.Unmarshal([]byte(must("eval", "--json", "--data", images, student)), &measured); err != nil {
		t.Fatal(err)
	}
	if measured.Samples != 40 || len(measured.AveragePrecision) != 10 || measured.Top5 < measured.Top1 || measured.Top5 == 0 ||
		measured.Parameters == 0 || measured.Bytes == 0 || measured.Latency.P50 <= 0 || measured.Latency.P95 < measured.Latency.P50 {
		t.Errorf("eval --json says %+v", measured)
	}
	if out := must("eval", "--data", images, "--split", "all", student); !strings.Contains(out, "140") {
		t.Errorf("eval on all does not count 140 images:\n%s", out)
	}

	exported := filepath.Join(t.TempDir(), "student13.onnx")
	must("export", "--out", exported, "--opset", "13", "--ir", "7", run)
	m, err := onnx.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	if m.Opset() != 13 || m.IRVersion != 7 {
		t.Errorf("exported at opset %d, IR %d; want 13 and 7", m.Opset(), m.IRVersion)
	}
	half := filepath.Join(t.TempDir(), "half.onnx")
	if out := must("export", "--out", half, "--fp16", run); !strings.Contains(out, "(limit 1e-02)") {
		t.Errorf("export --fp16 says %s", out)
	}
	var verified struct {
		Samples    int
		SameTop1   int     `json:"same_top1"`
		Difference float64 `json:"max_difference"`
		Relative   float64 `json:"relative_difference"`
		Worst      string
		A, B       struct {
			Bytes int64
			Top1  *float64
		}
	}
	if err := json.Unmarshal([]byte(must("verify", "--json", "--data", images, "--samples", "30", student, half)), &verified); err != nil {
		t.Fatal(err)
	}
	if verified.Samples != 30 || verified.SameTop1 < 28 || verified.Difference == 0 || verified.Relative == 0 || verified.Relative > 1e-2 || verified.Worst == "" ||
		verified.A.Top1 == nil || verified.B.Top1 == nil || verified.B.Bytes > verified.A.Bytes*3/4 {
		t.Errorf("verify --json says %+v", verified)
	}
	if out := must("verify", "--data", images, "--tolerance", "0", student, exported); !strings.Contains(out, "same top-1") || !strings.Contains(out, "40 of 40") {
		t.Errorf("verify says\n%s", out)
	}
	out, _, err = distill(t, "verify", "--data", images, "--tolerance", "1e-9", student, half)
	if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "--tolerance allows 1.0e-09") || !strings.Contains(out, "same top-1") {
		t.Errorf("verify beyond its tolerance: %v\n%s", err, out)
	}
	again := filepath.Join(t.TempDir(), "student.onnx")
	must("export", "--out", again, run)
	first, err := os.ReadFile(student)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the student exported again is another file")
	}

	if _, _, err := distill(t, "train", "--data", images, "--out", run); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("training into a run's folder: %v", err)
	}
	if _, _, err := distill(t, "eval", "--data", filepath.Join(images, "train"), "--classes", "0,1", student); err == nil || !strings.Contains(err.Error(), "2 classes") {
		t.Errorf("two classes of ten: %v", err)
	}
}

func TestTrainWritesTheFileThatIsAskedFor(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	if _, _, err := distill(t, "train", "--data", drawImages(t), "--student", "wrn-10-0.5", "--out", run, "--epochs", "1", "--batch", "40",
		"--opset", "21", "--fp16"); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.ReadFile(filepath.Join(run, "student.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Opset() != 21 || m.IRVersion != 10 || m.Graph.Initializer("group1/block1/conv1/weight").Type != onnx.Float16 {
		t.Errorf("opset %d, IR %d, weights of %v", m.Opset(), m.IRVersion, m.Graph.Initializer("group1/block1/conv1/weight").Type)
	}
}

func TestDemoEndsWithItsTable(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two students and measures three models on 2,000 images")
	}
	t.Chdir(t.TempDir()) // nothing but the program is needed
	dir := filepath.Join("runs", "demo")
	for range 2 { // the second demo takes the place of the first
		out, errOut, err := distill(t, "demo", "--images", "100", "--epochs", "1")
		if err != nil {
			t.Fatalf("%v\n%s%s", err, out, errOut)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		last := lines[len(lines)-1]
		if last != filepath.Join(dir, "distilled", "student.onnx") {
			t.Errorf("the last line is %q, want the path of student.onnx", last)
		}
		for _, want := range []string{"teacher ", "student alone ", "student distilled ", "The teacher was worth"} {
			if !strings.Contains(strings.Join(lines[len(lines)-7:], "\n"), want) {
				t.Errorf("the end does not say %q:\n%s", want, out)
			}
		}
	}
	// The demo's runs are runs like any other.
	if _, _, err := distill(t, "export", "--out", filepath.Join(t.TempDir(), "s.onnx"), filepath.Join(dir, "distilled")); err != nil {
		t.Error(err)
	}
}

func TestDemoTakesAnotherTeacherForTheUsers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "teacher.onnx")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := distill(t, "demo", "--out", dir); err == nil || !strings.Contains(err.Error(), "is not the demo's teacher") {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "mine" {
		t.Errorf("the user's file is %q, %v", got, err)
	}
}

// TestKeptWeightsLearnSlowly: the learning rate for fresh weights is none for those
// of a file.
func TestKeptWeightsLearnSlowly(t *testing.T) {
	const kept = "lr       0.001 at its highest, as the weights in"
	for _, c := range []struct {
		name string
		args []string
		said bool
	}{
		{"weights that are kept", []string{"--student", teacher}, true},
		{"fresh weights for a file's network", []string{"--student", teacher, "--init", "random"}, false},
		{"a network of the zoo", []string{"--student", "wrn-10-1"}, false},
		{"a rate of the user's", []string{"--student", teacher, "--lr", "0.01"}, false},
	} {
		out, _, err := distill(t, append([]string{"train", "--data", "nowhere", "--out", filepath.Join(t.TempDir(), "run")}, c.args...)...)
		if err == nil || strings.Contains(out, kept) != c.said {
			t.Errorf("%s: says the rate %v, want %v; %v\n%s", c.name, !c.said, c.said, err, out)
		}
	}
	run := filepath.Join(t.TempDir(), "run")
	if out, errOut, err := distill(t, "train", "--student", teacher, "--data", drawImages(t), "--limit", "20", "--epochs", "1", "--batch", "10", "--out", run); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errOut)
	}
	config, err := pipeline.ReadConfig(pipeline.Folder(run).Config())
	if err != nil || config.Training.LearningRate != pipeline.KeptLearningRate {
		t.Errorf("trained with %v, %v; want %v", config.Training.LearningRate, err, pipeline.KeptLearningRate)
	}
	if config.Training.Decay != pipeline.DecayWeights {
		t.Errorf("decay shrinks %q, want %q", config.Training.Decay, pipeline.DecayWeights)
	}
}

// TestDecayOfFilesWeights: of a file's network weights alone are shrunk, unless
// somebody says otherwise, who may be a configuration.
func TestDecayOfFilesWeights(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("student:\n  architecture: "+teacher+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		said bool
	}{
		{"a file", []string{"--student", teacher}, true},
		{"fresh weights", []string{"--student", teacher, "--init", "random"}, true},
		{"a network of the zoo", []string{"--student", "wrn-10-1"}, false},
		{"all of a file", []string{"--student", teacher, "--decay", "all"}, false},
		{"no decay", []string{"--student", teacher, "--weight-decay", "0"}, false},
		{"a configuration", []string{"--config", config}, false},
	} {
		out, _, err := distill(t, append([]string{"train", "--data", "nowhere", "--out", filepath.Join(t.TempDir(), "run")}, c.args...)...)
		if err == nil || strings.Contains(out, "decay    of the layers' weights only, as the network is from a file; --decay all shrinks all") != c.said {
			t.Errorf("%s: the decay is said: %v, want %v; %v\n%s", c.name, !c.said, c.said, err, out)
		}
	}
}

func TestWrongPreprocessingIsSaidAloud(t *testing.T) {
	images := drawImages(t)
	// No model sees anything in images that are all but black.
	out, errOut, err := distill(t, "train", "--teacher", teacher, "--teacher-preprocess", "mean=0,std=1,scale=0.0000001", "--data", images,
		"--student", "wrn-10-0.5", "--out", filepath.Join(t.TempDir(), "run"), "--epochs", "1", "--batch", "40")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(errOut, "warning:") || !strings.Contains(errOut, "--teacher-preprocess") {
		t.Errorf("no warning in\n%s%s", out, errOut)
	}
}

func TestAnotherClassOrderIsRecognised(t *testing.T) {
	images := drawImages(t)
	_, errOut, err := distill(t, "train", "--teacher", teacher, "--teacher-classes", "1,2,3,4,5,6,7,8,9,0", "--data", images,
		"--student", "wrn-10-0.5", "--out", filepath.Join(t.TempDir(), "run"), "--epochs", "1", "--batch", "40")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(errOut, "--teacher-classes 0,1,2,3,4,5,6,7,8,9") {
		t.Errorf("the mapping is not offered:\n%s", errOut)
	}
}

func TestDoctor(t *testing.T) {
	out, _, err := distill(t, "doctor")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ONNX Runtime", "kernels", "oneDNN", "threads", "self-test     passed"} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
}
