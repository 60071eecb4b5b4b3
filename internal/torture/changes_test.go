package torture

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// change changes a file as disks, transfers and slips do: a bit, its end, a hole of
// zeros, or a piece that stands twice.
func change(rng *rand.Rand, b []byte) ([]byte, string) {
	if len(b) == 0 {
		return []byte{0}, "a byte more"
	}
	b = slices.Clone(b)
	at := rng.IntN(len(b))
	switch rng.IntN(5) {
	case 0:
		return b[:at], fmt.Sprintf("cut at byte %d of %d", at, len(b))
	case 1:
		n := min(len(b)-at, 1+rng.IntN(64))
		clear(b[at : at+n])
		return b, fmt.Sprintf("%d zeros at byte %d of %d", n, at, len(b))
	case 2:
		n := min(len(b)-at, 1+rng.IntN(64))
		return slices.Insert(b, at, b[at:at+n]...), fmt.Sprintf("%d bytes twice at byte %d of %d", n, at, len(b))
	}
	bit := rng.IntN(8)
	b[at] ^= 1 << bit
	return b, fmt.Sprintf("bit %d of byte %d of %d", bit, at, len(b))
}

// changeFile changes one file of a folder, each with the same probability.
func changeFile(t *testing.T, rng *rand.Rand, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		t.Fatalf("nothing to change in %s: %v", folder, err)
	}
	file := filepath.Join(folder, entries[rng.IntN(len(entries))].Name())
	b, what := change(rng, read(t, file))
	write(t, file, b)
	return filepath.Base(file) + ", " + what + ": "
}

// changeResumed goes on with an interrupted run of which a file was changed.
func changeResumed(t *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	folder := copyFolder(t, w.interrupted, filepath.Join(dir, "run"))
	what := changeFile(t, rng, folder)
	o, why := w.judge(w.run(dir, nil, w.resume(folder, filepath.Join(dir, "cache"))...), filepath.Join(folder, "student.onnx"), w.students["1"])
	return o, what + why
}

// changeExported exports a finished run of which a file was changed.
func changeExported(t *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	folder, file := copyFolder(t, w.finished, filepath.Join(dir, "run")), filepath.Join(dir, "student.onnx")
	what := changeFile(t, rng, folder)
	o, why := w.judge(w.run(dir, nil, "export", "--out", file, folder), file, w.exported)
	return o, what + why
}

// changeSignals trains with recorded signals of which a file was changed.
func changeSignals(t *testing.T, w *world, rng *rand.Rand, _ int, dir string) (outcome, string) {
	cache, folder := copyFolder(t, w.cache, filepath.Join(dir, "cache")), filepath.Join(dir, "run")
	sets, err := os.ReadDir(cache)
	if err != nil || len(sets) == 0 {
		t.Fatalf("nothing is recorded: %v", err)
	}
	what := changeFile(t, rng, filepath.Join(cache, sets[rng.IntN(len(sets))].Name()))
	o, why := w.judge(w.run(dir, nil, w.train(folder, cache, "1")...), filepath.Join(folder, "student.onnx"), w.students["1"])
	return o, what + why
}

// changeData reads data sets of which a byte was changed. What they show may differ,
// so the result may.
func changeData(t *testing.T, w *world, rng *rand.Rand, i int, dir string) (outcome, string) {
	sets := dataSets()
	name := slices.Sorted(maps.Keys(sets))[i%len(sets)]
	b, what := change(rng, sets[name])
	file := write(t, filepath.Join(dir, name), b)
	r := w.run(dir, nil, "train", "--data", file, "--student", "wrn-10-0.25", "--epochs", "1", "--batch", "8", "--out", filepath.Join(dir, "run"))
	return r.outcome(), name + ", " + what + ": " + r.String()
}

// dataSets are the pictures in the containers and formats that are files.
func dataSets() map[string][]byte {
	files := pictures()
	names := slices.Sorted(maps.Keys(files))
	var plain, packed bytes.Buffer
	tw, zw := tar.NewWriter(&plain), zip.NewWriter(&packed)
	for _, name := range names {
		must(tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}))
		_, err := tw.Write(files[name])
		must(err)
		f, err := zw.Create(name)
		must(err)
		_, err = f.Write(files[name])
		must(err)
	}
	must(tw.Close())
	must(zw.Close())
	return map[string][]byte{
		"images.tar": plain.Bytes(), "images.zip": packed.Bytes(), "images.tar.gz": zipped(plain.Bytes()),
		"cifar.tar.gz": zipped(cifar()),
	}
}

// cifar is an archive of CIFAR-10's binary batches, of ten images each.
func cifar() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, content []byte) {
		must(w.WriteHeader(&tar.Header{Name: "cifar-10-batches-bin/" + name, Mode: 0o644, Size: int64(len(content))}))
		_, err := w.Write(content)
		must(err)
	}
	add("batches.meta.txt", []byte("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n"))
	for i := range 6 {
		name := "test_batch.bin"
		if i > 0 {
			name = fmt.Sprintf("data_batch_%d.bin", i)
		}
		batch := make([]byte, 10*3073)
		for k := range 10 {
			batch[k*3073] = byte(k)
			for p := range 3072 {
				batch[k*3073+1+p] = byte(k*20 + p%16)
			}
		}
		add(name, batch)
	}
	must(w.Close())
	return b.Bytes()
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	must(err)
	must(w.Close())
	return out.Bytes()
}

// must is for writers into memory, which takes everything.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// changeModel opens models of which a byte was changed, in every place that takes
// one. Their weights may differ, so the result may.
func changeModel(t *testing.T, w *world, rng *rand.Rand, i int, dir string) (outcome, string) {
	model, student := w.teacher, filepath.Join(w.finished, "student.onnx")
	ways := [][]string{
		{"inspect", "--json", "M"},
		{"eval", "--data", w.data, "M"},
		{"train", "--teacher", "M", "--teacher-preprocess", "unit", "--data", w.data, "--student", "wrn-10-0.25", "--epochs", "1", "--out", filepath.Join(dir, "run"), "--no-cache"},
		{"train", "--student", "M", "--data", w.data, "--epochs", "1", "--batch", "8", "--out", filepath.Join(dir, "run")},
		{"verify", "--data", w.data, "M", student},
	}
	if i%2 == 1 {
		model = student
	}
	b, what := change(rng, read(t, model))
	file := write(t, filepath.Join(dir, "model.onnx"), b)
	args := slices.Clone(ways[(i/2)%len(ways)])
	for k := range args {
		if args[k] == "M" {
			args[k] = file
		}
	}
	r := w.run(dir, nil, args...)
	return r.outcome(), filepath.Base(model) + ", " + what + ": " + r.String()
}
