package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden help texts")

// TestMain keeps the tests out of the user's cache folder.
func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		os.Exit(run(context.Background(), os.Args))
	}
	dir, err := os.MkdirTemp("", "distill-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	userCacheDir = func() (string, error) { return dir, nil }
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// distill runs the command line as a user types it.
func distill(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return distillContext(t.Context(), t, args...)
}

// distillContext is distill under a context that may end.
func distillContext(ctx context.Context, t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	app := newApp(&out, &errOut)
	err = runLine(ctx, app, append([]string{"distill"}, args...))
	return out.String(), errOut.String(), err
}

func TestHelpTexts(t *testing.T) {
	version = "v0.0.0-test"
	t.Cleanup(func() { version = "" })
	for _, command := range []string{"", "demo", "inspect", "train", "signals", "signals list", "signals rm", "eval", "verify", "export", "doctor", "completion"} {
		t.Run("help of distill "+command, func(t *testing.T) {
			args := []string{"--help"}
			golden := "distill"
			if command != "" {
				args, golden = append(strings.Fields(command), "--help"), strings.ReplaceAll(command, " ", "-")
			}
			got, _, err := distill(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			golden = filepath.Join("testdata", "help", golden+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("help differs from %s; if that is meant, go test ./cmd/distill -update (-want +got):\n%s", golden, d)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"a misspelt command", []string{"trian"}, []string{`"trian" is not a command`, `did you mean "train"?`, "demo, inspect"}},
		{"a command like none", []string{"paint"}, []string{`"paint" is not a command; the commands are demo, inspect, train, signals, eval, verify, export, doctor, completion`}},
		{"a misspelt flag", []string{"train", "--epocs", "3"}, []string{"no flag --epocs", `did you mean "--epochs"?`}},
		{"a flag of another kind", []string{"train", "--epochs", "many"}, []string{"epochs", "many"}},
		{"training without data", []string{"train"}, []string{"data.path is empty", "--data"}},
		{"a misspelt attention form", []string{"train", "--data", "x", "--attention", "papr"}, []string{`one of code, paper, got "papr"`}},
		{"a misspelt architecture", []string{"train", "--data", "x", "--student", "wnr-16-1"}, []string{"student.architecture", "wnr-16-1"}},
		{"class numbers that are none", []string{"train", "--data", "x", "--teacher-classes", "0,two"}, []string{"--teacher-classes", "0,2,1"}},
		{"a flag that a resumed run cannot take", []string{"train", "--resume", "--epochs", "3"}, []string{"--epochs cannot change"}},
		{"a flag given twice", []string{"train", "--epochs", "3", "--data", "x", "--epochs=5"}, []string{`--epochs is given twice, "--epochs 3" and "--epochs=5"`}},
		{"a switch given twice", []string{"inspect", "--json", "x.onnx", "--json"}, []string{"--json is given twice"}},
		{"a flag given by two of its names", []string{"eval", "--data", "x", "--output", "a", "--model-output", "b", "x.onnx"}, []string{"--model-output is given twice"}},
		{"a flag of a subcommand given twice", []string{"signals", "rm", "--cache", "a", "k", "--cache", "b"}, []string{"--cache is given twice"}},
		{"two words about the cache", []string{"train", "--data", "x", "--cache", "y", "--no-cache"}, []string{"--cache", "--no-cache", "choose one"}},
		{"a cache of no name", []string{"train", "--data", "x", "--cache", ""}, []string{"--no-cache"}},
		{"an unknown precision", []string{"train", "--data", "x", "--cache-precision", "half"}, []string{`one of float16, float32, got "half"`}},
		{"fewer views than none", []string{"train", "--data", "x", "--views", "-2"}, []string{"training.augment.views", "got -2"}},
		{"signals of nobody", []string{"signals", "--data", "x"}, []string{"--teacher"}},
		{"a flag that does not decide signals", []string{"signals", "--lr", "1"}, []string{"no flag --lr", "distill signals --help"}},
		{"a misspelt flag of a subcommand", []string{"signals", "rm", "--al"}, []string{"no flag --al", "--all"}},
		{"removing nothing", []string{"signals", "rm"}, []string{"--all", "distill signals list"}},
		{"removing some and all", []string{"signals", "rm", "--all", "ab"}, []string{"--all"}},
		{"an argument too many", []string{"doctor", "now"}, []string{"takes no argument", `"now"`}},
		{"an argument too few", []string{"inspect"}, []string{"exactly one model file, got 0"}},
		{"eval without data", []string{"eval", "x.onnx"}, []string{"--data"}},
		{"a misspelt split", []string{"eval", "--data", "x", "--split", "tset", "x.onnx"}, []string{"test, val, train, all", `"tset"`}},
		{"verify of one model", []string{"verify", "--data", "x", "a.onnx"}, []string{"exactly two model files, got 1", "distill verify --help"}},
		{"verify without data", []string{"verify", "a.onnx", "b.onnx"}, []string{"--data"}},
		{"verify on a misspelt split", []string{"verify", "--data", "x", "--split", "tset", "a.onnx", "b.onnx"}, []string{"test, val, train, all", `"tset"`}},
		{"inspect with an unknown layout", []string{"inspect", "--model-layout", "nhwc", "a.onnx"}, []string{"NCHW, NHWC", `"nhwc"`}},
		{"verify with an unknown layout", []string{"verify", "--data", "x", "--model-layout", "HWC", "a.onnx", "b.onnx"}, []string{"NCHW, NHWC", `"HWC"`}},
		{"verify on less than no image", []string{"verify", "--data", "x", "--samples", "-1", "a.onnx", "b.onnx"}, []string{"--samples", "-1"}},
		{"a negative tolerance", []string{"verify", "--data", "x", "--tolerance", "-1", "a.onnx", "b.onnx"}, []string{"--tolerance", "-1"}},
		{"an unknown preprocessing", []string{"verify", "--data", "x", "--preprocess-b", "imagnet", "a.onnx", "b.onnx"}, []string{"--preprocess-b", "imagnet"}},
		{"an IR version too old for the opset", []string{"train", "--data", "x", "--opset", "21", "--ir", "8"}, []string{"export.ir is at least 10 for opset 21, got 8"}},
		{"an opset out of range", []string{"export", "--opset", "9", "run"}, []string{"between 13 and 21, got 9"}},
		{"an unknown shell", []string{"completion", "tcsh"}, []string{"bash, zsh, fish"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := distill(t, c.args...)
			if err == nil {
				t.Fatal("no error")
			}
			if code := exitCode(err); code != exitUsage {
				t.Errorf("exit code %d for %v, want %d", code, err, exitUsage)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
		})
	}
}

func TestFailuresAreNotUsageErrors(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.onnx")
	if err := os.WriteFile(broken, []byte("no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a missing model", []string{"inspect", "nowhere.onnx"}, "nowhere.onnx"},
		{"a file that is no model", []string{"inspect", broken}, "broken.onnx"},
		{"missing data", []string{"train", "--data", "nowhere", "--out", filepath.Join(t.TempDir(), "run")}, "nowhere"},
		{"a folder that is no run", []string{"export", t.TempDir()}, "is not a run folder"},
		{"resuming nothing", []string{"train", "--resume", "--out", t.TempDir()}, "is not a run folder"},
		{"a demo elsewhere", []string{"demo", "--teacher", "nowhere.onnx"}, "takes the one that the program carries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := distill(t, c.args...)
			if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want exit code %d and %q", err, exitFailed, c.want)
			}
		})
	}
}

func TestCompletionOffersCommandsAndFlags(t *testing.T) {
	// The library looks at the process's own arguments to complete a flag.
	saved := os.Args
	t.Cleanup(func() { os.Args = saved })
	os.Args = []string{"distill", "--generate-bash-completion"}
	out, _, err := distill(t, "--generate-bash-completion")
	if err != nil || !strings.Contains(out, "inspect") {
		t.Errorf("commands: %q, %v", out, err)
	}
	os.Args = []string{"distill", "train", "--te", "--generate-bash-completion"}
	out, _, err = distill(t, "train", "--te", "--generate-bash-completion")
	if err != nil || !strings.Contains(out, "--teacher") {
		t.Errorf("flags of train: %q, %v", out, err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, _, err := distill(t, "completion", shell)
		if err != nil || !strings.Contains(out, "--generate-bash-completion") {
			t.Errorf("%s: %q, %v", shell, out, err)
		}
	}
}

func TestExitCodeSeesThroughWrapping(t *testing.T) {
	if got := exitCode(errors.Join(usagef("wrong"), errors.New("other"))); got != exitUsage {
		t.Errorf("got %d, want %d", got, exitUsage)
	}
}
