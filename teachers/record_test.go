package teachers

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nlpodyssey/safetensors"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// views is two views of the same samples, each in batches of two and one.
func views(b Batch) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		size := b.H * b.W * b.C
		for view := range uint32(2) {
			for i := 0; i < b.N; i += 2 {
				j := min(i+2, b.N)
				part := Batch{N: j - i, H: b.H, W: b.W, C: b.C, Samples: b.Samples[i:j], View: view}
				part.Pixels = append(part.Pixels, b.Pixels[i*size:j*size]...)
				for k := range part.Pixels {
					part.Pixels[k] ^= uint8(view * 255) // the second view is the negative
				}
				if !yield(part, nil) {
					return
				}
			}
		}
	}
}

func record(t *testing.T, o Options, ro RecordOptions) (string, *Session, Batch) {
	t.Helper()
	b := images(5, 8, 6, 3)
	s := openTeacher(t, fixture("cnn_opset13.onnx"), o)
	path := filepath.Join(t.TempDir(), "signals.safetensors")
	ro.Rows = 10
	if err := Record(path, s, views(b), ro); err != nil {
		t.Fatal(err)
	}
	return path, s, b
}

func openRecorded(t *testing.T, path string) *Recorded {
	t.Helper()
	r, err := OpenRecorded(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRecordedSignalsAreTheTeachers(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"squared maps", Options{}},
		{"maximum maps of one named tap", Options{Taps: []string{"stage2"}, Map: MapMaxPow, Power: 3}},
		{"raw activations", Options{Map: MapRaw}},
		{"logits alone", Options{Map: MapNone}},
		{"another class order and preprocessing", Options{ClassOrder: []int{3, 1}, Preprocess: preprocess.Spec{Scale: 1, Mean: []float64{1.5}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, s, b := record(t, c.o, RecordOptions{Extra: map[string]string{"data": "fingerprint"}})
			r := openRecorded(t, path)
			if r.Len() != 10 || r.Metadata()["data"] != "fingerprint" {
				t.Errorf("%d rows, metadata %v", r.Len(), r.Metadata())
			}
			if err := r.Check(s.Spec()); err != nil {
				t.Errorf("the file does not fit its own teacher: %v", err)
			}
			for want, err := range views(b) {
				if err != nil {
					t.Fatal(err)
				}
				got := signalsOf(t, r, Batch{N: want.N, Samples: want.Samples, View: want.View})
				if d := cmp.Diff(signalsOf(t, s, want), got); d != "" {
					t.Errorf("view %d, -asked +recorded:\n%s", want.View, d)
				}
			}
			// In another order, across batches.
			mixed := signalsOf(t, r, Batch{N: 2, Samples: []uint64{b.Samples[4], b.Samples[0]}, View: 1})
			first := signalsOf(t, r, Batch{N: 1, Samples: []uint64{b.Samples[0]}, View: 1})
			if d := cmp.Diff(first.Logits, mixed.Logits[len(first.Logits):]); d != "" {
				t.Errorf("order matters:\n%s", d)
			}
		})
	}
}

func TestMissingSamplesAreNamed(t *testing.T) {
	path, _, b := record(t, Options{}, RecordOptions{Command: "distill train --teacher t.onnx --views 2"})
	r := openRecorded(t, path)
	for _, c := range []struct {
		name  string
		batch Batch
		want  string
	}{
		{"another sample", Batch{N: 1, Samples: []uint64{0xdead}}, "signals.safetensors lack sample 0xdead, view 0; record again: distill train --teacher t.onnx --views 2"},
		{"another view", Batch{N: 1, Samples: b.Samples[:1], View: 2}, "sample 0x64, view 2"},
		{"no identities", Batch{N: 1, Pixels: make([]uint8, 3), H: 1, W: 1, C: 3}, "found by sample identity"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.Signals(c.batch); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestRecordedCheck(t *testing.T) {
	path, s, _ := record(t, Options{}, RecordOptions{})
	r := openRecorded(t, path)
	for _, c := range []struct {
		name   string
		change func(s *Spec)
		want   string
	}{
		{"another model", func(s *Spec) { s.Hash = "ab" }, "have teacher (SHA-256)"},
		{"another size", func(s *Spec) { s.H = 16 }, "have image [C, H, W] [3 8 6], not [3 16 6]"},
		{"another preprocessing", func(s *Spec) { s.Preprocess = cifar(t) }, "have preprocessing auto, not cifar10"},
		{"another class order", func(s *Spec) { s.ClassOrder = []int{1, 0} }, "class order"},
		{"another map", func(s *Spec) { s.Map = MapSum }, "have map sum^p, not sum"},
		{"another power", func(s *Spec) { s.Power = 4 }, "have power 2, not 4"},
		{"other taps", func(s *Spec) { s.Taps = s.Taps[:1] }, `have taps "stage1", "stage2", not "stage1"; record again: call teachers.Record on cnn_opset13.onnx`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := s.Spec()
			c.change(&want)
			if err := r.Check(want); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestRecorderRefuses(t *testing.T) {
	s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{})
	b := images(2, 8, 6, 3)
	signals := signalsOf(t, s, b)
	path := filepath.Join(t.TempDir(), "signals.safetensors")
	start := func(rows int) *Recorder {
		r, err := NewRecorder(path, s.Spec(), RecordOptions{Rows: rows})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"no rows", func() error { _, err := NewRecorder(path, s.Spec(), RecordOptions{}); return err }, "recording 0 rows"},
		{"more bytes than a file holds", func() error { _, err := NewRecorder(path, s.Spec(), RecordOptions{Rows: 1 << 62}); return err }, "more elements than memory can address"},
		{"a metadata key of ours", func() error {
			_, err := NewRecorder(path, s.Spec(), RecordOptions{Rows: 1, Extra: map[string]string{"taps": ""}})
			return err
		}, `the metadata key "taps" is taken`},
		{"a sample twice", func() error { r := start(4); return errors.Join(r.Add(b, signals), r.Add(b, signals)) }, "sample 0x64, view 0 a second time"},
		{"more rows than announced", func() error { return start(1).Add(b, signals) }, "more than the 1 rows"},
		{"fewer rows than announced", func() error { r := start(3); return errors.Join(r.Add(b, signals), r.Commit()) }, "recorded 2 rows of the 3"},
		{"no identities", func() error { return start(2).Add(Batch{N: 2}, signals) }, "0 sample identities"},
		{"signals of another teacher", func() error { return start(2).Add(b, &Signals{Logits: signals.Logits}) }, "10 logits and 0 maps"},
		{"a map of another size", func() error {
			bad := *signals
			bad.Maps = append([]Map(nil), signals.Maps...)
			bad.Maps[0].Data = bad.Maps[0].Data[1:]
			return start(2).Add(b, &bad)
		}, `tap "stage1" has 96`},
		{"batches that fail", func() error {
			return Record(path, s, func(yield func(Batch, error) bool) { yield(Batch{}, errors.New("bad image")) }, RecordOptions{Rows: 1})
		}, "bad image"},
		{"images the teacher refuses", func() error {
			return Record(path, s, func(yield func(Batch, error) bool) { yield(Batch{N: 1}, nil) }, RecordOptions{Rows: 1})
		}, "batch of 1 images of 0x0"},
		{"a folder that is not there", func() error {
			_, err := NewRecorder(filepath.Join(path, "x", "y"), s.Spec(), RecordOptions{Rows: 1})
			return err
		}, "recording to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Error("a half-recorded file was left in its place")
			}
		})
	}
}

// The file is plain safetensors, readable by the reference library's checks.
func TestSignalsFileIsSafetensors(t *testing.T) {
	path, _, b := record(t, Options{}, RecordOptions{})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Deserialize(data)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]uint64{}
	for _, v := range file.Tensors() {
		shapes[v.Name] = v.TensorView.Shape()
	}
	want := map[string][]uint64{"samples": {10}, "views": {10}, "logits": {10, 5}, "map/stage1": {10, 8, 6}, "map/stage2": {10, 4, 3}}
	if d := cmp.Diff(want, shapes); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	ids, _ := file.Tensor("samples")
	if got := binary.LittleEndian.Uint64(ids.Data()); got != b.Samples[0] {
		t.Errorf("first sample is %#x, want %#x", got, b.Samples[0])
	}
	again, _, _ := record(t, Options{}, RecordOptions{})
	other, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(data, other); d != "" {
		t.Error("recording twice gives two different files")
	}
}

func TestOpenRecordedRefuses(t *testing.T) {
	good, _, _ := record(t, Options{}, RecordOptions{})
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	// edit changes the header and keeps the rest.
	edit := func(change func(header map[string]any)) []byte {
		n := binary.LittleEndian.Uint64(data)
		var header map[string]any
		if err := json.Unmarshal(data[8:8+n], &header); err != nil {
			t.Fatal(err)
		}
		change(header)
		text, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
		return append(append(out, text...), data[8+n:]...)
	}
	meta := func(key, value string) []byte {
		return edit(func(h map[string]any) { h["__metadata__"].(map[string]any)[key] = value })
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"an empty file", nil, "0 bytes hold no header"},
		{"text", []byte("hello, this is no signals file"), "header length"},
		{"a file that is cut off", data[:len(data)-1], `tensor "views" ends at byte`},
		{"a header that is cut off", data[:20], "only 12 bytes follow"},
		{"another format", meta("format", "onnxdistill signals 9"), `its format is "onnxdistill signals 9"`},
		{"taps that are no list", meta("taps", "stage1"), "its taps"},
		{"a tap of no size", meta("taps", `[{"name":"stage1","shape":[4,0,6]}]`), `its tap "stage1" has shape [4, 0, 6]`},
		{"a tap of another size", meta("taps", `[{"name":"stage1","shape":[4,8,7]}]`), `the tensor "map/stage1"`},
		{"a power that is no number", meta("power", "two"), `its power is "two"`},
		{"a tensor that is missing", edit(func(h map[string]any) { h["map/stage3"] = h["map/stage2"]; delete(h, "map/stage2") }), `"map/stage2" is missing`},
		{"no signals at all", edit(func(h map[string]any) { h["scores"] = h["logits"]; delete(h, "logits") }), "it holds no signals"},
		{"offsets beyond the file", edit(func(h map[string]any) {
			h["samples"].(map[string]any)["shape"] = []uint64{1 << 40}
			h["samples"].(map[string]any)["data_offsets"] = []uint64{0, 1 << 43}
		}), `tensor "samples" ends at byte`},
		{"offsets that run backwards", edit(func(h map[string]any) {
			h["samples"].(map[string]any)["data_offsets"] = []uint64{80, 0}
		}), `tensor "samples" lies at bytes 80 to 0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.safetensors")
			if err := os.WriteFile(path, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
			r, err := OpenRecorded(path)
			if err == nil {
				r.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "record again") {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	t.Run("offsets whose difference wraps round to a huge number of rows", func(t *testing.T) {
		const rows = 1<<61 - 1 // 8 bytes each come to -8, 4 bytes each to 2^63-4
		header := map[string]any{
			"__metadata__": map[string]string{"format": signalsFormat, "power": "1", "taps": "[]", "image": "[3,8,6]", "class_order": "null"},
			"samples":      map[string]any{"dtype": "U64", "shape": []uint64{rows}, "data_offsets": []uint64{8, 0}},
			"logits":       map[string]any{"dtype": "F32", "shape": []uint64{rows, 1}, "data_offsets": []uint64{1<<63 + 4, 0}},
			"views":        map[string]any{"dtype": "U32", "shape": []uint64{rows}, "data_offsets": []uint64{1<<63 + 4, 0}},
		}
		text, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "hostile.safetensors")
		if err := os.WriteFile(path, append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), 0o644); err != nil {
			t.Fatal(err)
		}
		if r, err := OpenRecorded(path); err == nil || !strings.Contains(err.Error(), "data_offsets") {
			t.Errorf("got %v, %v", r, err)
		}
	})
	if _, err := OpenRecorded(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
	r := openRecorded(t, good)
	r.Close()
	if _, err := r.Signals(Batch{N: 1, Samples: []uint64{100}}); err == nil {
		t.Error("a closed file answers")
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func FuzzOpenRecorded(f *testing.F) {
	spec := Spec{Name: "t.onnx", Classes: 2, H: 8, W: 6, C: 3, Map: MapSumPow, Power: 2, Taps: []Tap{{Name: "a", C: 4, H: 2, W: 3}}}
	path := filepath.Join(f.TempDir(), "seed")
	r, err := NewRecorder(path, spec, RecordOptions{Rows: 2})
	if err != nil {
		f.Fatal(err)
	}
	b := Batch{N: 2, Samples: []uint64{1, 2}}
	err = errors.Join(r.Add(b, &Signals{Logits: make([]float32, 4), Maps: []Map{{Tap: "a", H: 2, W: 3, Data: make([]float32, 12)}}}), r.Commit())
	if err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "fuzzed")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := OpenRecorded(path)
		if err != nil {
			return
		}
		defer r.Close()
		for k := range r.row {
			// Rows lie within the file, so they must be readable.
			if _, err := r.Signals(Batch{N: 1, Samples: []uint64{k.sample}, View: k.view}); err != nil {
				t.Error(err)
			}
		}
	})
}
