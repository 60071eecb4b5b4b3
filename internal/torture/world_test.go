package torture

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world is a small training that takes part of a second, and what it gives when
// nothing disturbs it.
type world struct {
	program
	dir     string
	data    string
	teacher string
	memory  int64         // what the training takes, in bytes
	takes   time.Duration // the same in time

	finished    string            // run folder of seed 1
	interrupted string            // run folder of seed 1, with a checkpoint and no student
	students    map[string][]byte // student.onnx by seed
	exported    []byte            // what export gives of finished
	cache       string            // signals of the teacher
}

const classes, height, width = 5, 8, 6

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{program: build(t), dir: t.TempDir(), students: map[string][]byte{}}
	var err error
	if w.teacher, err = filepath.Abs("../../testdata/teachers/cnn_opset17.onnx"); err != nil {
		t.Fatal(err)
	}
	w.data, w.cache = filepath.Join(w.dir, "images"), filepath.Join(w.dir, "cache")
	for path, file := range pictures() {
		write(t, filepath.Join(w.data, path), file)
	}
	for _, seed := range []string{"1", "2"} {
		folder := filepath.Join(w.dir, "seed"+seed)
		r := w.run("", nil, w.train(folder, w.cache, seed)...)
		if r.code != 0 {
			t.Fatalf("the undisturbed training fails: %v", r)
		}
		w.memory, w.takes = max(w.memory, r.memory), r.wall
		w.students[seed] = read(t, filepath.Join(folder, "student.onnx"))
	}
	if bytes.Equal(w.students["1"], w.students["2"]) {
		t.Fatal("two seeds give one student")
	}
	w.finished = filepath.Join(w.dir, "seed1")
	w.program.memory = memoryMultiple * w.memory
	file := filepath.Join(w.dir, "exported.onnx")
	if r := w.run("", nil, "export", "--out", file, w.finished); r.code != 0 {
		t.Fatalf("the undisturbed export fails: %v", r)
	}
	w.exported = read(t, file)
	w.interrupt(t)
	return w
}

// interrupt makes the interrupted run: it stops a training earlier and earlier until
// it has a checkpoint and no student.
func (w *world) interrupt(t *testing.T) {
	t.Helper()
	w.interrupted = filepath.Join(w.dir, "interrupted")
	for share := 0.9; share > 0.02; share -= 0.02 {
		if err := os.RemoveAll(w.interrupted); err != nil {
			t.Fatal(err)
		}
		w.run("", &interruption{time.Duration(share * float64(w.takes)), syscall.SIGINT}, w.train(w.interrupted, w.cache, "1")...)
		_, checkpoint := os.Stat(filepath.Join(w.interrupted, "checkpoint.safetensors"))
		_, student := os.Stat(filepath.Join(w.interrupted, "student.onnx"))
		if checkpoint == nil && student != nil {
			return
		}
	}
	t.Fatal("no interruption leaves a checkpoint without a student")
}

// train are the arguments of the training. With them the best epoch is one of the
// last, so that the student depends on all that is kept between.
func (w *world) train(folder, cache, seed string) []string {
	return []string{"train", "--data", w.data, "--teacher", w.teacher, "--teacher-preprocess", "unit", "--student", "wrn-10-0.25",
		"--alpha", "0.1", "--beta", "1", "--lr", "0.01", "--epochs", "12", "--views", "2", "--batch", "8", "--seed", seed, "--out", folder, "--cache", cache}
}

// resume are the arguments that go on with it.
func (w *world) resume(folder, cache string) []string {
	return []string{"train", "--resume", "--out", folder, "--cache", cache}
}

// pictures are PNG files by their path in a folder of splits and classes. Each class
// has a colour.
func pictures() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 1))
	files := map[string][]byte{}
	for _, split := range []struct {
		name string
		n    int
	}{{"train", 8}, {"val", 3}, {"test", 3}} {
		for class := range classes {
			for i := range split.n {
				files[fmt.Sprintf("%s/%c/%d.png", split.name, 'a'+class, i)] = picture(rng, uint8(50*class))
			}
		}
	}
	return files
}

func picture(rng *rand.Rand, colour uint8) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = colour + uint8(rng.IntN(30))
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// write writes a file and the folders on its way.
func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// copyFolder copies a folder into a new one.
func copyFolder(t *testing.T, from, to string) string {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// same reports whether a file has a content, and says what it has instead.
func same(path string, want []byte) (bool, string) {
	got, err := os.ReadFile(path)
	switch {
	case err != nil:
		return false, err.Error()
	case !bytes.Equal(got, want):
		return false, fmt.Sprintf("%s is another student", strings.TrimPrefix(path, os.TempDir()))
	}
	return true, ""
}
