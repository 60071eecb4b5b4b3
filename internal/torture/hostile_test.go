package torture

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostileCase is an input made to break what reads it.
type hostileCase struct {
	name string
	// make makes the input in a folder and returns the command lines that read it.
	make func(t *testing.T, w *world, dir string) [][]string
	// nodes are those of a graph that is run, each of which may take memoryPerNode and
	// timePerNode.
	nodes int64
}

const (
	// memoryPerNode is the bytes that a node may take in all forms that are held at a
	// time: as the file has it, in normal form, differentiated, and in two sessions of
	// ONNX Runtime.
	memoryPerNode = 12 << 10
	// timePerNode is its processor time: eval runs a model some dozen times, to find
	// its preprocessing and to measure its latency.
	timePerNode = 200 * time.Microsecond
)

// hostileCases are all such inputs.
var hostileCases = slices.Concat(hostileFlags, hostileData, hostileFiles, hostileModels)

// hostile are the cases of this form: all, or one of a dozen.
func hostile() []hostileCase {
	if *long {
		return hostileCases
	}
	var some []hostileCase
	for i, c := range hostileCases {
		if i%12 == 1 {
			some = append(some, c)
		}
	}
	return some
}

// hostileInput tries one case with all its commands; the worst outcome is its own.
func hostileInput(t *testing.T, w *world, _ *rand.Rand, i int, dir string) (outcome, string) {
	c := hostile()[i]
	worst, why := ok, ""
	p := w.program
	p.memory += c.nodes * memoryPerNode
	p.more = time.Duration(c.nodes) * timePerNode
	for _, args := range c.make(t, w, dir) {
		r := p.run(dir, nil, args...)
		if o := r.outcome(); o > worst {
			worst, why = o, c.name+": "+r.String()
		}
	}
	return worst, why
}

// one is the command line of a case that needs one.
func one(args ...string) [][]string { return [][]string{args} }

// small is a short training without a teacher, in the folder the program runs in.
func small(args ...string) []string {
	return append([]string{"train", "--student", "wrn-10-0.25", "--epochs", "1", "--batch", "8", "--out", "run"}, args...)
}

// asData has a path read as data.
func asData(path string) [][]string { return one(small("--data", path)...) }

// asModel has a file read in every place that takes a model.
func asModel(w *world, file string) [][]string {
	return [][]string{
		{"inspect", file},
		{"inspect", "--gradient", file},
		{"eval", "--data", w.data, file},
		small("--data", w.data, "--teacher", file, "--teacher-preprocess", "unit", "--no-cache"),
		{"train", "--student", file, "--data", w.data, "--epochs", "1", "--batch", "8", "--out", "run2"},
	}
}

// hostileFlags are numbers that nobody means.
var hostileFlags = func() []hostileCase {
	var cases []hostileCase
	for _, flag := range []string{
		"--batch 1000000000", "--batch 9223372036854775807", "--epochs 9223372036854775807 --batch 1000000000",
		"--size 1000000", "--size 9223372036854775807", "--channels 1000000", "--views 1000000000", "--limit 9223372036854775807",
		"--pad 1000000000", "--lr 1e308", "--lr 1e-320", "--momentum 1", "--temperature 1e-300", "--weight-decay 1e300", "--clip-norm 1e-300",
		"--threads 100000", "--opset 99", "--validation 0.9999999", "--seed 18446744073709551615",
		"--student wrn-600004-1", "--student wrn-10-1000000", "--student resnet-6000002", "--student mobilenetv2-1e9", "--student wrn-10-1e-9",
	} {
		cases = append(cases, hostileCase{name: "flags " + flag, make: func(_ *testing.T, w *world, _ string) [][]string {
			// The flags of the case take the place of those of the training.
			args, given := small("--data", w.data), strings.Fields(flag)
			for i := 1; i < len(args); i += 2 {
				if at := slices.Index(given, args[i]); at >= 0 {
					args[i+1] = given[at+1]
					given = slices.Delete(given, at, at+2)
				}
			}
			return one(append(args, given...)...)
		}})
	}
	return cases
}()

// hostileFiles are configurations, run folders and recorded signals.
var hostileFiles = []hostileCase{
	configuration("aliases of aliases", "a: &a [x,x,x,x,x,x,x,x,x]\n"+aliases("abcdefghijkl")),
	configuration("200,000 brackets", "teacher: "+strings.Repeat("[", 200_000)),
	configuration("200,000 braces", "teacher: "+strings.Repeat("{a: ", 200_000)),
	configuration("100,000 lists in lists", strings.Repeat("- ", 100_000)),
	configuration("a key of a megabyte", strings.Repeat("k", 1<<20)+": 1\n"),
	configuration("100,000 keys", strings.Repeat("a: 1\n", 100_000)),
	configuration("numbers out of range", "training:\n  epochs: 99999999999999999999\n  batch: 0x7fffffffffffffff\n"),
	configuration("epochs for ever", "training:\n  epochs: 9223372036854775807\n  batch: 9223372036854775807\n"),
	configuration("control characters", "\x1b]0;t\x07: \x00\x9b\n"),
	configuration("no text", strings.Repeat("\xff\xfe", 1000)),
	{name: "configuration, a FIFO", make: func(t *testing.T, _ *world, dir string) [][]string {
		return one("train", "--config", fifo(t, filepath.Join(dir, "config.yaml")), "--out", "run")
	}},
	{name: "configuration, /dev/zero", make: func(*testing.T, *world, string) [][]string {
		return one("train", "--config", "/dev/zero", "--out", "run")
	}},
	runFile("metrics.jsonl, 200,000 brackets", "metrics.jsonl", strings.Repeat("[", 200_000)),
	runFile("metrics.jsonl, a line of 32 MiB", "metrics.jsonl", `{"epoch":"`+strings.Repeat("9", 32<<20)+`"}`),
	runFile("checkpoint, a header of 2^62 bytes", "checkpoint.safetensors", "\x00\x00\x00\x00\x00\x00\x00\x40{}"),
	runFile("checkpoint, a header deeper than 100,000", "checkpoint.safetensors", tensors(strings.Repeat(`{"a":`, 100_000)+"1"+strings.Repeat("}", 100_000))),
	runFile("checkpoint, 2^40 elements", "checkpoint.safetensors", tensors(`{"a":{"dtype":"F32","shape":[1048576,1048576],"data_offsets":[0,4398046511104]}}`)),
	runFile("checkpoint, a shape that overflows", "checkpoint.safetensors", tensors(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}`)),
	runFile("config.yaml, brackets", "config.yaml", strings.Repeat("[", 200_000)),
	{name: "run folder, a FIFO for each file", make: func(t *testing.T, w *world, dir string) [][]string {
		var lines [][]string
		for _, name := range []string{"config.yaml", "checkpoint.safetensors", "metrics.jsonl", "best.safetensors", "student.onnx", ".lock"} {
			run := copyFolder(t, w.interrupted, filepath.Join(dir, "interrupted "+name))
			done := copyFolder(t, w.finished, filepath.Join(dir, "finished "+name))
			fifo(t, filepath.Join(run, name))
			fifo(t, filepath.Join(done, name))
			lines = append(lines, w.resume(run, "cache"), w.resume(done, "cache"), []string{"export", "--out", name + ".onnx", done})
		}
		return lines
	}},
	{name: "run folder, a FIFO as architecture", make: func(t *testing.T, w *world, dir string) [][]string {
		run := filepath.Join(dir, "run")
		if r := w.run(dir, nil, "train", "--student", filepath.Join(w.finished, "student.onnx"), "--data", w.data, "--epochs", "1", "--batch", "8", "--out", run); r.code != 0 {
			t.Errorf("no run of a file's network: %v", r)
		}
		fifo(t, filepath.Join(run, "architecture.onnx"))
		return [][]string{w.resume(run, "cache"), {"export", "--out", "student.onnx", run}}
	}},
	{name: "signals, a FIFO for each file", make: func(t *testing.T, w *world, dir string) [][]string {
		var lines [][]string
		files, err := filepath.Glob(filepath.Join(w.cache, "*", "*"))
		if err != nil || len(files) == 0 {
			t.Errorf("nothing is recorded: %v", err)
		}
		for i, file := range files {
			cache := copyFolder(t, w.cache, filepath.Join(dir, fmt.Sprint("cache", i)))
			fifo(t, filepath.Join(cache, filepath.Base(filepath.Dir(file)), filepath.Base(file)))
			lines = append(lines, []string{"signals", "list", "--cache", cache}, w.train(fmt.Sprint("run", i), cache, "1"))
		}
		return lines
	}},
	{name: "signals, a key deeper than 100,000", make: func(t *testing.T, _ *world, dir string) [][]string {
		write(t, filepath.Join(dir, "cache", "0123456789abcdef", "key.json"), []byte(strings.Repeat(`{"taps":[`, 100_000)))
		return one("signals", "list", "--cache", filepath.Join(dir, "cache"))
	}},
	{name: "signals, links in circles", make: func(t *testing.T, _ *world, dir string) [][]string {
		cache := filepath.Join(dir, "cache")
		write(t, filepath.Join(cache, "0123456789abcdef", "key.json"), []byte("{}"))
		link(t, "..", filepath.Join(cache, "0123456789abcdef", "up"))
		link(t, "self", filepath.Join(cache, "self"))
		return [][]string{{"signals", "list", "--cache", cache}, {"signals", "rm", "--all", "--cache", cache}}
	}},
}

// configuration has a text read as config.yaml.
func configuration(name, text string) hostileCase {
	return hostileCase{name: "configuration, " + name, make: func(t *testing.T, _ *world, dir string) [][]string {
		return one("train", "--config", write(t, filepath.Join(dir, "config.yaml"), []byte(text)), "--out", "run")
	}}
}

// aliases are lines of YAML in which each name stands for nine of the one before it.
func aliases(names string) string {
	var b strings.Builder
	for i := 1; i < len(names); i++ {
		before := "*" + names[i-1:i]
		b.WriteString(names[i:i+1] + ": &" + names[i:i+1] + " [" + strings.Repeat(before+",", 8) + before + "]\n")
	}
	return b.String()
}

// runFile goes on with an interrupted run, and exports it, with another content of one
// of its files.
func runFile(name, file, content string) hostileCase {
	return hostileCase{name: name, make: func(t *testing.T, w *world, dir string) [][]string {
		run := copyFolder(t, w.interrupted, filepath.Join(dir, "interrupted"))
		done := copyFolder(t, w.finished, filepath.Join(dir, "finished"))
		write(t, filepath.Join(run, file), []byte(content))
		write(t, filepath.Join(done, file), []byte(content))
		return [][]string{w.resume(run, "cache"), {"export", "--out", "student.onnx", done}}
	}}
}

// tensors is a safetensors file of a header and no data.
func tensors(header string) string {
	n := len(header)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), 0, 0, 0, 0}) + header
}

// fifo makes a FIFO in a file's place; nobody writes to it.
func fifo(t *testing.T, path string) string {
	t.Helper()
	syscall.Unlink(path)
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// link makes a symbolic link.
func link(t *testing.T, to, path string) {
	t.Helper()
	if err := syscall.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}
