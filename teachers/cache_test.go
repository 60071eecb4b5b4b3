package teachers

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	reference "github.com/nlpodyssey/safetensors"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// oracle is a teacher whose answer is a function of the pixels alone, which
// counts what it is asked.
type oracle struct {
	spec   Spec
	asked  []int // images of each batch
	closed int
	delay  time.Duration
}

func newOracle() *oracle {
	return &oracle{spec: Spec{
		Name: "oracle.onnx", Hash: "0123", Classes: 10, H: 4, W: 4, C: 3, Layout: NCHW, Map: MapSumPow, Power: 2, Logits: LogitsOutput,
		Taps: []Tap{{Name: "a", C: 8, H: 8, W: 8}, {Name: "b/relu", C: 8, H: 3, W: 5}},
	}}
}

func (o *oracle) Spec() Spec   { return o.spec.clone() }
func (o *oracle) Close() error { o.closed++; return nil }

func (o *oracle) Signals(b Batch) (*Signals, error) {
	o.asked = append(o.asked, b.N)
	time.Sleep(o.delay)
	out := o.spec.signals(b.N)
	size := len(b.Pixels) / b.N
	for i := range b.N {
		var seed [32]byte
		copy(seed[:], b.Pixels[i*size:(i+1)*size])
		r := rand.New(rand.NewChaCha8(seed))
		for k := range len(out.Maps) + 1 {
			all := out.column(k)
			n := len(all) / b.N
			for j := range n {
				all[i*n+j] = float32(r.NormFloat64())
			}
		}
	}
	return out, nil
}

func (o *oracle) images() int {
	n := 0
	for _, k := range o.asked {
		n += k
	}
	return n
}

// sampleIDs names n samples, spread over the numbers.
func sampleIDs(n int) []uint64 {
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = uint64(i+1) * 0x9e3779b97f4a7c15
	}
	return ids
}

// viewOf is a batch of samples as a view shows them: pixels that depend on
// sample and view.
func viewOf(ids []uint64, view uint32) Batch {
	b := Batch{N: len(ids), H: 4, W: 4, C: 3, Samples: ids, View: view}
	for _, id := range ids {
		p := make([]uint8, 48)
		binary.LittleEndian.PutUint64(p, id)
		binary.LittleEndian.PutUint32(p[8:], view)
		b.Pixels = append(b.Pixels, p...)
	}
	return b
}

func keyOf(o *oracle, samples []uint64, p Precision) CacheKey {
	return CacheKey{
		Teacher: o.Spec(), Runtime: "1.0", Data: "fingerprint", Image: [3]int{4, 4, 3}, Augment: "pad 4", Seed: 7,
		Precision: p, Samples: samples, DataName: "images",
	}
}

// warnings collects what a cache complains of.
type warnings []string

func (w *warnings) add(line string) { *w = append(*w, line) }

// want fails unless there was one warning, with all of the words in it; no
// words is no warning.
func (w warnings) want(t testing.TB, words ...string) {
	t.Helper()
	if len(words) == 0 {
		if len(w) > 0 {
			t.Errorf("warned: %s", strings.Join(w, "\n"))
		}
		return
	}
	if len(w) != 1 {
		t.Errorf("%d warnings, want one with %q:\n%s", len(w), words, strings.Join(w, "\n"))
		return
	}
	for _, word := range words {
		if !strings.Contains(w[0], word) {
			t.Errorf("%q is not in the warning %q", word, w[0])
		}
	}
}

func openCached(t testing.TB, root string, o *oracle, samples []uint64, p Precision) (*Cached, *Cache, *warnings) {
	t.Helper()
	w := &warnings{}
	cache, err := OpenCache(root, keyOf(o, samples, p), w.add)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCached(o, o.Spec(), nil, p, cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, cache, w
}

// expect compares signals with what the oracle says, rounded.
func expect(t testing.TB, got *Signals, b Batch, p Precision) {
	t.Helper()
	want, err := newOracle().Signals(b)
	if err != nil {
		t.Fatal(err)
	}
	for k := range len(want.Maps) + 1 {
		p.Round(want.column(k))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("view %d (-teacher +given):\n%s", b.View, d)
	}
}

func TestCachedSignalsAreAskedForOnce(t *testing.T) {
	for _, p := range Precisions() {
		t.Run(string(p), func(t *testing.T) {
			root, samples := t.TempDir(), sampleIDs(shardRows+100) // two shards
			r := rand.New(rand.NewPCG(1, 2))
			var batches []Batch
			for view := range uint32(2) {
				for range 3 {
					var ids []uint64
					for _, i := range r.Perm(len(samples))[:40] {
						ids = append(ids, samples[i])
					}
					batches = append(batches, viewOf(ids, view))
				}
			}
			o := newOracle()
			c, _, w := openCached(t, root, o, samples, p)
			type rowKey struct {
				sample uint64
				view   uint32
			}
			distinct := map[rowKey]bool{}
			for _, b := range batches {
				expect(t, signalsOf(t, c, b), b, p)
				for _, id := range b.Samples {
					distinct[rowKey{id, b.View}] = true
				}
			}
			if o.images() != len(distinct) {
				t.Errorf("asked about %d images, want the %d different ones", o.images(), len(distinct))
			}
			o.asked = nil
			for _, b := range slices.Backward(batches) {
				expect(t, signalsOf(t, c, b), b, p)
			}
			again, cache, w2 := openCached(t, root, o, samples, p)
			for _, b := range batches {
				expect(t, signalsOf(t, again, b), b, p)
			}
			if len(o.asked) != 0 {
				t.Errorf("asked again, in batches of %v", o.asked)
			}
			seen := [2]int{}
			for k := range distinct {
				seen[k.view]++
			}
			for view, want := range seen {
				if got := cache.Recorded(samples, uint32(view)); got != want {
					t.Errorf("%d samples recorded in view %d, want %d", got, view, want)
				}
			}
			w.want(t)
			w2.want(t)
		})
	}
}

func TestOnlyMissingImagesGoToTheTeacher(t *testing.T) {
	root, samples, o := t.TempDir(), sampleIDs(20), newOracle()
	c, _, _ := openCached(t, root, o, samples, Float16)
	signalsOf(t, c, viewOf(samples[:8], 0))
	mixed := slices.Clone(samples[4:13])
	slices.Reverse(mixed)
	expect(t, signalsOf(t, c, viewOf(mixed, 0)), viewOf(mixed, 0), Float16)
	// One image alone is asked about twice over, and its second answer dropped.
	expect(t, signalsOf(t, c, viewOf(samples[12:14], 0)), viewOf(samples[12:14], 0), Float16)
	// A sample that the data set lacks is answered and not kept.
	foreign := viewOf([]uint64{1, 2}, 0)
	for range 2 {
		expect(t, signalsOf(t, c, foreign), foreign, Float16)
	}
	if d := cmp.Diff([]int{8, 5, 2, 2, 2}, o.asked); d != "" {
		t.Errorf("images in each batch of the teacher (-want +got):\n%s", d)
	}
	if _, err := c.Signals(Batch{N: 1, H: 4, W: 4, C: 3, Pixels: make([]uint8, 48)}); err == nil || !strings.Contains(err.Error(), "sample identity") {
		t.Errorf("without identities: %v", err)
	}
}

func TestCachedTeacherIsOpenedWhenNeeded(t *testing.T) {
	root, samples, o := t.TempDir(), sampleIDs(4), newOracle()
	c, cache, _ := openCached(t, root, o, samples, Float32)
	signalsOf(t, c, viewOf(samples[:2], 0))
	if err := c.Release(); err != nil || o.closed != 1 {
		t.Fatalf("%v, closed %d times", err, o.closed)
	}
	opened := 0
	var fails error
	lazy, err := NewCached(nil, o.Spec(), func() (Teacher, error) { opened++; return o, fails }, Float32, cache)
	if err != nil {
		t.Fatal(err)
	}
	signalsOf(t, lazy, viewOf(samples[:2], 0))
	if opened != 0 {
		t.Error("opened for signals that are recorded")
	}
	fails = errors.New("no such model")
	if _, err := lazy.Signals(viewOf(samples[2:], 0)); !errors.Is(err, fails) {
		t.Errorf("got %v", err)
	}
	fails = nil
	for view := range uint32(2) {
		expect(t, signalsOf(t, lazy, viewOf(samples[2:], view)), viewOf(samples[2:], view), Float32)
	}
	if opened != 2 {
		t.Errorf("opened %d times, want once after the failure", opened)
	}
	// Without a cache the answers are rounded all the same.
	plain, err := NewCached(o, o.Spec(), nil, Float16, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.asked = nil
	for range 2 {
		expect(t, signalsOf(t, plain, viewOf(samples[:1], 0)), viewOf(samples[:1], 0), Float16)
	}
	if !slices.Equal(o.asked, []int{2, 2}) { // one image, twice over
		t.Errorf("asked about batches of %v images", o.asked)
	}
	if _, err := NewCached(o, o.Spec(), nil, Float16, cache); err == nil {
		t.Error("two precisions are accepted")
	}
	if _, err := NewCached(o, o.Spec(), nil, "half", nil); err == nil || !strings.Contains(err.Error(), "float16, float32") {
		t.Errorf("got %v", err)
	}
}

func TestEachThingThatSignalsDependOnHasItsFolder(t *testing.T) {
	root, samples := t.TempDir(), sampleIDs(5)
	folder := func(change func(k *CacheKey)) string {
		k := keyOf(newOracle(), samples, Float16)
		change(&k)
		c, err := OpenCache(root, k, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Folder()
	}
	own := folder(func(*CacheKey) {})
	seen := map[string]string{own: "nothing"}
	for _, c := range []struct {
		name   string
		change func(k *CacheKey)
	}{
		{"teacher", func(k *CacheKey) { k.Teacher.Hash = "4567" }},
		{"output", func(k *CacheKey) { k.Output = "scores" }},
		{"source of the logits", func(k *CacheKey) { k.Teacher.Logits = LogitsLogP }},
		{"passes over its file", func(k *CacheKey) { k.Teacher.Reading = "a sigmoid" }},
		{"form of its images", func(k *CacheKey) {
			k.Teacher.Reading, k.Teacher.ImageShape = "a vector", preprocess.ImageShape{H: 4, W: 4, C: 3, Order: preprocess.CHW}
		}},
		{"layout", func(k *CacheKey) { k.Teacher.Layout = NHWC }},
		{"input size", func(k *CacheKey) { k.Teacher.H = 8 }},
		{"preprocessing", func(k *CacheKey) { k.Teacher.Preprocess = preprocess.Spec{Scale: 1} }},
		{"class order", func(k *CacheKey) { k.Teacher.ClassOrder = []int{1, 0, 2, 3, 4, 5, 6, 7, 8, 9} }},
		{"classes", func(k *CacheKey) { k.Teacher.Classes = 9 }},
		{"map", func(k *CacheKey) { k.Teacher.Map = MapMaxPow }},
		{"power", func(k *CacheKey) { k.Teacher.Power = 3 }},
		{"taps", func(k *CacheKey) { k.Teacher.Taps = k.Teacher.Taps[:1] }},
		{"runtime", func(k *CacheKey) { k.Runtime = "2.0" }},
		{"data", func(k *CacheKey) { k.Data = "other" }},
		{"samples", func(k *CacheKey) { k.Samples = k.Samples[1:] }},
		{"image", func(k *CacheKey) { k.Image = [3]int{8, 8, 3} }},
		{"augmentation", func(k *CacheKey) { k.Augment = "pad 2" }},
		{"seed", func(k *CacheKey) { k.Seed = 8 }},
		{"decoding", func(k *CacheKey) { k.Decoding = 1 }},
		{"no augmentation", func(k *CacheKey) { k.Augment = "" }},
		{"precision", func(k *CacheKey) { k.Precision = Float32 }},
	} {
		f := folder(c.change)
		if other, taken := seen[f]; taken {
			t.Errorf("a change of %s gives the folder of a change of %s", c.name, other)
		}
		seen[f] = c.name
	}
	for name, change := range map[string]func(k *CacheKey){
		"the teacher's file name":       func(k *CacheKey) { k.Teacher.Name = "renamed.onnx" },
		"the data's path":               func(k *CacheKey) { k.DataName = "moved" },
		"notes":                         func(k *CacheKey) { k.Teacher.Notes = []string{"slow"} },
		"the default precision by name": func(k *CacheKey) { k.Precision = "" },
		"an order of no classes":        func(k *CacheKey) { k.Teacher.ClassOrder = []int{} },
	} {
		if folder(change) != own {
			t.Errorf("%s gives another folder", name)
		}
	}
	said := func(words string) string {
		return folder(func(k *CacheKey) { k.Teacher.Reading = words })
	}
	if said("output p ends in a sigmoid") != said("a sigmoid is taken off") {
		t.Error("the words for what was made of a file make a difference")
	}
	unmoved := func(seed uint64) string { return folder(func(k *CacheKey) { k.Augment, k.Seed = "", seed }) }
	if unmoved(1) != unmoved(2) {
		t.Error("without augmentation the seed makes a difference")
	}
	if _, err := OpenCache(root, CacheKey{Precision: "half"}, nil); err == nil {
		t.Error("an unknown precision is accepted")
	}
}

// onlyShard is the one shard in a cache's folder.
func onlyShard(t testing.TB, c *Cache) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(c.Folder(), "view-*.safetensors"))
	if err != nil || len(found) != 1 {
		t.Fatalf("shards %v, %v; want one", found, err)
	}
	return found[0]
}

func TestBadShardsAreComputedAgain(t *testing.T) {
	samples := sampleIDs(6)
	batch := viewOf(samples, 3)
	edit := func(at int64, with []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if at < 0 {
				info, err := f.Stat()
				if err != nil {
					t.Fatal(err)
				}
				at += info.Size()
			}
			if _, err := f.WriteAt(with, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(b []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		asked int      // images
		warn  []string // words; none is no warning
		aside bool     // whether the file was set aside
	}{
		{"one that is sound", func(*testing.T, string) {}, 0, nil, false},
		{"a number torn in the last row", edit(-1, []byte{0xee}), 2, []string{"view-00003-rows-00000000.safetensors", "checksum"}, false},
		{"a header torn", edit(20, []byte{0xee}), 6, []string{"view-00003-rows-00000000.safetensors", "header", ".damaged"}, true},
		{"a file cut short", func(t *testing.T, path string) {
			if err := os.Truncate(path, 600); err != nil {
				t.Fatal(err)
			}
		}, 6, []string{"600 bytes", ".damaged"}, true},
		{"an empty file", replace(nil), 6, []string{"0 bytes", ".damaged"}, true},
		{"text", replace([]byte("hello")), 6, []string{"5 bytes", ".damaged"}, true},
		{"the shard of another key", func(t *testing.T, path string) {
			o := newOracle()
			other := filepath.Join(t.TempDir(), "other")
			k := keyOf(o, samples, Float16)
			k.Seed++
			cache, err := OpenCache(other, k, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := NewCached(o, o.Spec(), nil, Float16, cache)
			if err != nil {
				t.Fatal(err)
			}
			signalsOf(t, c, batch)
			c.Close()
			if err := os.Rename(onlyShard(t, cache), path); err != nil {
				t.Fatal(err)
			}
		}, 6, []string{"its header is not that of these signals", ".damaged"}, true},
		{"no file", func(t *testing.T, path string) { os.Remove(path) }, 6, nil, false},
		{"a row written and its checksum not", func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first := 8 + int64(binary.LittleEndian.Uint64(b))
			edit(first+8*6+4*2, make([]byte, 4))(t, path)
		}, 2, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, o := t.TempDir(), newOracle()
			cached, cache, _ := openCached(t, root, o, samples, Float16)
			signalsOf(t, cached, batch)
			path := onlyShard(t, cache)
			cached.Close()
			c.spoil(t, path)
			o.asked = nil
			cached, _, w := openCached(t, root, o, samples, Float16)
			for range 2 { // the second time all is recorded again
				expect(t, signalsOf(t, cached, batch), batch, Float16)
			}
			if o.images() != c.asked {
				t.Errorf("asked about %v images, want %d", o.asked, c.asked)
			}
			w.want(t, c.warn...)
			if _, err := os.Stat(path + damagedSuffix); (err == nil) != c.aside {
				t.Errorf("set aside: %v, want %v", err == nil, c.aside)
			}
			cached.Close()
			o.asked = nil
			cached, _, w = openCached(t, root, o, samples, Float16)
			expect(t, signalsOf(t, cached, batch), batch, Float16)
			if len(o.asked) > 0 {
				t.Error("what was computed again was not recorded")
			}
			w.want(t)
		})
	}
}

// A row of one view in the place of another's, or of another sample's, has a
// checksum of its own that fits its numbers.
func TestARowInAnotherPlaceIsNotSound(t *testing.T) {
	samples, o := sampleIDs(2), newOracle()
	cached, cache, _ := openCached(t, t.TempDir(), o, samples, Float16)
	batch := viewOf(samples, 0)
	signalsOf(t, cached, batch)
	path := onlyShard(t, cache)
	cached.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, _, _, err := cache.layOut(shardID{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append([]column{s.sums}, s.columns...) {
		n := c.bytes()
		copy(b[c.at:c.at+n], b[c.at+n:c.at+2*n])
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	cached, _, w := openCached(t, cache.Folder()+"/..", o, samples, Float16)
	expect(t, signalsOf(t, cached, batch), batch, Float16)
	w.want(t, "checksum", fmt.Sprintf("%#x", samples[0]))
}

func TestAShardCutShortWhileMappedIsNoCrash(t *testing.T) {
	samples, o := sampleIDs(shardRows), newOracle()
	cached, cache, w := openCached(t, t.TempDir(), o, samples, Float32)
	batch := viewOf(samples[:64], 0)
	signalsOf(t, cached, batch)
	if err := os.Truncate(onlyShard(t, cache), 0); err != nil {
		t.Fatal(err)
	}
	o.asked = nil
	for range 2 {
		expect(t, signalsOf(t, cached, batch), batch, Float32)
	}
	if o.images() != 64 {
		t.Errorf("asked about %v images, want each once", o.asked)
	}
	w.want(t, "view-00000-rows-00000000.safetensors", "cut short")
	if n := cache.Recorded(samples, 0); n != 64 {
		t.Errorf("%d rows are recorded again, want 64", n)
	}
	os.Truncate(onlyShard(t, cache), 0)
	if n := cache.Recorded(samples, 0); n != 0 {
		t.Errorf("%d rows in an empty file", n)
	}
}

func TestAFolderThatCannotBeMadeIsSaidOnce(t *testing.T) {
	samples, o := sampleIDs(4), newOracle()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cached, cache, w := openCached(t, file, o, samples, Float16)
	for range 2 {
		expect(t, signalsOf(t, cached, viewOf(samples, 0)), viewOf(samples, 0), Float16)
	}
	w.want(t, file, "not a directory", "computed each time")
	if cache.Writable() || o.images() != 8 || cache.Recorded(samples, 0) != 0 {
		t.Errorf("writable %v, asked about %v images", cache.Writable(), o.asked)
	}
}

// child runs this test binary again, for the one test named, with a folder.
func child(t testing.TB, test, folder string, more ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "ONNXDISTILL_TEST_FOLDER="+folder), more...)
	return cmd
}

// inChild returns the folder given by child, and skips the test outside.
func inChild(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("ONNXDISTILL_TEST_FOLDER")
	if folder == "" {
		t.Skip("is run by other tests in a process of its own")
	}
	return folder
}

const childSamples = 512

// TestChildFills asks about every sample in batches of 16, telling each.
func TestChildFills(t *testing.T) {
	folder := inChild(t)
	o, samples := newOracle(), sampleIDs(childSamples)
	o.delay = 2 * time.Millisecond
	cached, cache, w := openCached(t, folder, o, samples, Float32)
	order := rand.New(rand.NewPCG(uint64(os.Getpid()), 1)).Perm(childSamples / 16)
	for _, k := range order {
		b := viewOf(samples[16*k:16*k+16], 0)
		expect(t, signalsOf(t, cached, b), b, Float32)
		fmt.Println("batch", k)
	}
	if n := cache.Recorded(samples, 0); n != childSamples {
		t.Errorf("%d of %d recorded", n, childSamples)
	}
	w.want(t)
	fmt.Println("asked", o.images())
}

func TestProcessesShareACache(t *testing.T) {
	folder := t.TempDir()
	var commands []*exec.Cmd
	var outputs [3]bytes.Buffer
	for i := range outputs {
		cmd := child(t, "TestChildFills", folder)
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, cmd)
	}
	asked := 0
	for i, cmd := range commands {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, outputs[i].String())
		}
		_, after, _ := strings.Cut(outputs[i].String(), "asked ")
		n := 0
		fmt.Sscan(after, &n)
		asked += n
	}
	if asked < childSamples || asked >= 3*childSamples {
		t.Errorf("three processes asked about %d images of %d; none profited from another", asked, childSamples)
	}
	o := newOracle()
	cached, _, w := openCached(t, folder, o, sampleIDs(childSamples), Float32)
	b := viewOf(sampleIDs(childSamples), 0)
	expect(t, signalsOf(t, cached, b), b, Float32)
	if len(o.asked) > 0 {
		t.Errorf("%v images are missing after three processes", o.asked)
	}
	w.want(t)
	if left, _ := filepath.Glob(filepath.Join(folder, "*", newPattern)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Of two processes that make the same shard the first one's stays, with what it
// has recorded meanwhile.
func TestAShardMadeTwiceStays(t *testing.T) {
	samples, o := sampleIDs(8), newOracle()
	cached, cache, w := openCached(t, t.TempDir(), o, samples, Float16)
	signalsOf(t, cached, viewOf(samples, 0))
	if err := cache.create(shardID{}); err != nil {
		t.Fatal(err)
	}
	cached.Close()
	if n := cache.Recorded(samples, 0); n != 8 {
		t.Errorf("%d of 8 rows are left", n)
	}
	w.want(t)
}

func TestFillingGoesOnAfterAKill(t *testing.T) {
	folder := t.TempDir()
	cmd := child(t, "TestChildFills", folder)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "batch") {
			if told++; told == 10 {
				cmd.Process.Kill()
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended before it was killed")
	}
	o, samples := newOracle(), sampleIDs(childSamples)
	cached, _, w := openCached(t, folder, o, samples, Float32)
	b := viewOf(samples, 0)
	expect(t, signalsOf(t, cached, b), b, Float32)
	if n := o.images(); n > childSamples-160 || n == 0 {
		t.Errorf("asked about %d of %d images after ten batches of 16 were recorded", n, childSamples)
	}
	w.want(t)
}

func TestCachesAreListedAndRemoved(t *testing.T) {
	root, samples, o := t.TempDir(), sampleIDs(shardRows+2), newOracle()
	if all, err := Caches(filepath.Join(root, "none")); len(all) > 0 || err != nil {
		t.Errorf("a folder that is not there: %v, %v", all, err)
	}
	cached, cache, _ := openCached(t, root, o, samples, Float16)
	signalsOf(t, cached, viewOf(samples[:3], 0))
	signalsOf(t, cached, viewOf(samples[shardRows-1:], 2))
	_, other, _ := openCached(t, root, o, samples, Float32)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(other.Folder(), keyName), old, old); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"notes.txt": "mine", "images/key.json": "{}", "broken/key.json": "x"} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Caches(root)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d folders, %v; want two", len(all), err)
	}
	first := all[0]
	if first.Bytes <= 0 || first.Bytes > 4<<20 {
		t.Errorf("%d bytes", first.Bytes)
	}
	if time.Since(first.Used) > time.Minute {
		t.Errorf("last used %v", first.Used)
	}
	first.Bytes, first.Used = 0, time.Time{}
	want := CacheInfo{
		Name: filepath.Base(cache.Folder()), Folder: cache.Folder(), Teacher: "oracle.onnx", Data: "images", Map: MapSumPow, Taps: []string{"a", "b/relu"},
		Augment: "pad 4", Seed: 7, Precision: Float16, Samples: len(samples), Views: []int{3, 0, 3},
	}
	if d := cmp.Diff(want, first); d != "" || first.Rows() != 6 {
		t.Errorf("%d rows (-want +got):\n%s", first.Rows(), d)
	}
	// Opening it is using it.
	openCached(t, root, o, samples, Float32)
	if all, err = Caches(root); err != nil || all[0].Folder != other.Folder() {
		t.Errorf("the folder opened last is not first: %v, %v", all, err)
	}
	for _, name := range []string{"", "zz", "notes", "../" + filepath.Base(root)} {
		if _, err := RemoveCache(root, name); err == nil || !strings.Contains(err.Error(), want.Name) {
			t.Errorf("removing %q: %v", name, err)
		}
	}
	if info, err := RemoveCache(root, want.Name[:8]); err != nil || info.Folder != want.Folder {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(want.Folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if all, err := Caches(root); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	// A run that goes on after its folder was removed records anew, or not;
	// it must not fail.
	expect(t, signalsOf(t, cached, viewOf(samples[:3], 1)), viewOf(samples[:3], 1), Float16)
}

// Shards are plain safetensors, readable by another implementation.
func TestShardsAreSafetensors(t *testing.T) {
	samples, o := sampleIDs(5), newOracle()
	cached, cache, _ := openCached(t, t.TempDir(), o, samples, Float32)
	signalsOf(t, cached, viewOf(samples[1:4], 2))
	b, err := os.ReadFile(onlyShard(t, cache))
	if err != nil {
		t.Fatal(err)
	}
	file, err := reference.Deserialize(b)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string]string{}
	for _, v := range file.Tensors() {
		shapes[v.Name] = fmt.Sprint(v.TensorView.DType(), v.TensorView.Shape())
	}
	want := map[string]string{"samples": "U64 [5]", "checksums": "U32 [5]", "logits": "F32 [5 10]", "map/a": "F32 [5 8 8]", "map/b/relu": "F32 [5 3 5]"}
	if d := cmp.Diff(want, shapes); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	ids, _ := file.Tensor("samples")
	if got := binary.LittleEndian.Uint64(ids.Data()[16:]); got != samples[2] {
		t.Errorf("third sample is %#x, want %#x", got, samples[2])
	}
	if perRow := int64(len(b)) / 5; perRow < int64(cache.rowBytes)+8+4 || cache.rowBytes != 4*(10+64+15) {
		t.Errorf("%d bytes a row, of which %d are said to be signals", perRow, cache.rowBytes)
	}
}

// BenchmarkRecordedSignals reads batches of 128 as training does, in random
// order, from 8192 samples of the size of CIFAR-10 with three maps.
func BenchmarkRecordedSignals(b *testing.B) {
	for _, p := range Precisions() {
		b.Run(string(p), func(b *testing.B) {
			o, samples := newOracle(), sampleIDs(8192)
			o.spec.Taps = []Tap{{Name: "a", C: 1, H: 32, W: 32}, {Name: "b", C: 1, H: 16, W: 16}, {Name: "c", C: 1, H: 8, W: 8}}
			cached, cache, _ := openCached(b, b.TempDir(), o, samples, p)
			order := rand.New(rand.NewPCG(5, 6)).Perm(len(samples))
			var batches []Batch
			for from := 0; from < len(order); from += 128 {
				var ids []uint64
				for _, i := range order[from : from+128] {
					ids = append(ids, samples[i])
				}
				batches = append(batches, viewOf(ids, 0))
			}
			for _, batch := range batches {
				signalsOf(b, cached, batch)
			}
			asked := o.images()
			i := 0
			for b.Loop() {
				signalsOf(b, cached, batches[i%len(batches)])
				i++
			}
			if o.images() != asked {
				b.Fatal("the teacher was asked again")
			}
			b.ReportMetric(float64(cache.rowBytes), "bytes/sample")
		})
	}
}
