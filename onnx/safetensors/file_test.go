package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	reference "github.com/nlpodyssey/safetensors"
)

func sample() *File {
	return &File{
		Metadata: map[string]string{"architecture": "wrn-16-1", "quote": `a "b" <c> é`},
		Tensors: []Tensor{
			FromUint8s("pixels", []int{2, 3}, []uint8{0, 1, 2, 253, 254, 255}),
			FromFloat32s("group1/conv/weight", []int{2, 2}, []float32{1, -2.5, float32(math.Inf(1)), 1e-40}),
			FromInt64s("step", nil, []int64{math.MinInt64}),
			FromFloat64s("loss", []int{1}, []float64{math.Pi}),
			FromFloat32s("empty", []int{0, 7}, nil),
			{Name: "half", Type: Float16, Shape: []int{3}, Data: []byte{0, 0x3c, 0, 0xc0, 1, 0}},
		},
	}
}

func encoded(t *testing.T, f *File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAFileSurvivesWritingAndReading(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := Write(path, sample()); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample().Metadata, got.Metadata); d != "" {
		t.Errorf("metadata (-want +got):\n%s", d)
	}
	if len(got.Tensors) != len(sample().Tensors) {
		t.Errorf("got %d tensors, want %d", len(got.Tensors), len(sample().Tensors))
	}
	for _, want := range sample().Tensors {
		x, ok := got.Tensor(want.Name)
		if !ok {
			t.Errorf("tensor %q is missing", want.Name)
			continue
		}
		if x.Type != want.Type || !bytes.Equal(x.Data, want.Data) || len(x.Shape) != len(want.Shape) {
			t.Errorf("got %+v, want %+v", x, want)
		}
	}
	w, _ := got.Tensor("group1/conv/weight")
	f, err := w.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]float32{1, -2.5, float32(math.Inf(1)), 1e-40}, f); d != "" {
		t.Errorf("float32 elements (-want +got):\n%s", d)
	}
	s, _ := got.Tensor("step")
	if i, err := s.Int64s(); err != nil || i[0] != math.MinInt64 {
		t.Errorf("step = %v, %v", i, err)
	}
	l, _ := got.Tensor("loss")
	if d, err := l.Float64s(); err != nil || d[0] != math.Pi {
		t.Errorf("loss = %v, %v", d, err)
	}
	p, _ := got.Tensor("pixels")
	if u, err := p.Uint8s(); err != nil || u[5] != 255 {
		t.Errorf("pixels = %v, %v", u, err)
	}
	if _, err := p.Float32s(); err == nil || !strings.Contains(err.Error(), `tensor "pixels" holds U8 elements, asked for as F32`) {
		t.Errorf("reading bytes as floats: error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("writing left %v behind", left)
	}
}

// The same content in another order must give the same bytes, since a run's
// files are compared byte for byte.
func TestBytesDoNotDependOnTheOrderOfTensors(t *testing.T) {
	f := sample()
	want := encoded(t, f)
	for i, j := 0, len(f.Tensors)-1; i < j; i, j = i+1, j-1 {
		f.Tensors[i], f.Tensors[j] = f.Tensors[j], f.Tensors[i]
	}
	if got := encoded(t, f); !bytes.Equal(want, got) {
		t.Error("reversing the tensors changed the bytes")
	}
	if n := binary.LittleEndian.Uint64(want); n%8 != 0 {
		t.Errorf("header of %d bytes leaves the data unaligned", n)
	}
	back, err := Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	offset := 0
	for _, x := range back.Tensors {
		if offset%x.Type.Size() != 0 {
			t.Errorf("tensor %q of %s begins at byte %d, unaligned", x.Name, x.Type, offset)
		}
		offset += len(x.Data)
	}
}

// An independent implementation of the format must read what we write, and we
// what it writes.
func TestOtherImplementationsAgree(t *testing.T) {
	f := sample()
	st, err := reference.Deserialize(encoded(t, f))
	if err != nil {
		t.Fatal(err)
	}
	views := map[string]reference.TensorView{}
	for _, want := range f.Tensors {
		v, ok := st.Tensor(want.Name)
		if !ok || v.DType().String() != string(want.Type) || !bytes.Equal(v.Data(), want.Data) {
			t.Errorf("the other reader sees %+v for %+v", v, want)
		}
		views[want.Name] = v
	}
	b, err := reference.Serialize(views, f.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encoded(t, back), encoded(t, f)) {
		t.Error("what the other writer wrote reads differently")
	}
}

// file assembles a file from its parts, to be wrong in a chosen way.
func file(header, data string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+data...)
}

func TestReadingRefuses(t *testing.T) {
	tests := []struct {
		name, want string
		file       []byte
	}{
		{"an empty file", "0 bytes hold no header length", nil},
		{"a header length beyond the file", "only 2 bytes follow", append(binary.LittleEndian.AppendUint64(nil, 1<<20), "{}"...)},
		{"a header length beyond the format", "the format allows 100000000", append(binary.LittleEndian.AppendUint64(nil, 1<<62), "{}"...)},
		{"a header that is no JSON", "header is not the JSON", file(`{"a":`, "")},
		{"a header that is an array", "where an object should begin", file(`[]`, "")},
		{"a header with something after it", "more follows its object", file(`{} x`, "")},
		{"a header that is not UTF-8", "not valid UTF-8", file("{\"\xff\":{}}", "")},
		{"two tensors of one name", `two entries called "a"`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "xy")},
		{"an unknown element type", `tensor "a" has element type "F8"; the types are [BOOL U8`, file(`{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, "x")},
		{"a missing shape", `tensor "a": shape [] and data_offsets [0 1]`, file(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, "x")},
		{"a third offset", `data_offsets [0 1 2]`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, "x")},
		{"an unknown field", `unknown field "stride"`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"stride":1}}`, "x")},
		{"a negative dimension", "negative dimension", file(`{"a":{"dtype":"U8","shape":[-1,-1],"data_offsets":[0,1]}}`, "x")},
		{"a product of dimensions that overflows", "more elements than memory can address", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, "")},
		{"a dimension beyond an integer", "cannot unmarshal number", file(`{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}`, "x")},
		{"a size that does not fit the shape", `tensor "a" of F32 [2] takes 8 bytes, got 4`, file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "xxxx")},
		{"data that is cut short", `tensor "a" ends at byte 8 of the data, which has 4; the file is cut short`, file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, "xxxx")},
		{"data that is left over", "1 bytes follow the last tensor", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "xy")},
		{"a gap between tensors", `tensor "b" lies at bytes 2 to 3, where one beginning at 1 was expected`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, "xyz")},
		{"tensors that overlap", `tensor "b" lies at bytes 0 to 1`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "x")},
		{"offsets in the wrong order", `tensor "a" lies at bytes 0 to -1`, file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,-1]}}`, "x")},
		{"metadata that is no text", `"k" is 3; metadata are strings`, file(`{"__metadata__":{"k":3}}`, "")},
		{"metadata twice under one key", `two entries called "k"`, file(`{"__metadata__":{"k":"1","k":"2"}}`, "")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.safetensors")
			if err := os.WriteFile(path, tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Read(path)
			if err == nil {
				t.Fatalf("read %+v", f)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q\nshould name %s and say %q", err, path, tt.want)
			}
		})
	}
}

// A file that is filled in place must be the one that is written at once.
func TestAFileLaidOutAndFilledIsTheFileWritten(t *testing.T) {
	f := sample()
	var entries []Entry
	for _, x := range f.Tensors {
		entries = append(entries, Entry{Name: x.Name, Type: x.Type, Shape: x.Shape})
	}
	h, first, err := LayOut(f.Metadata, entries)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, h.Size)
	copy(got, first)
	for _, x := range f.Tensors {
		e, ok := h.Tensor(x.Name)
		if !ok || e.Bytes != int64(len(x.Data)) {
			t.Fatalf("%s is laid out as %+v, %v", x.Name, e, ok)
		}
		copy(got[e.At:], x.Data)
	}
	want := encoded(t, f)
	if !bytes.Equal(want, got) {
		t.Error("another file")
	}
	read, err := ReadHeader(bytes.NewReader(want), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h, read, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("the header reads otherwise than it was laid out (-laid out +read):\n%s", d)
	}
	if _, err := ReadHeader(bytes.NewReader(want), int64(len(want))-1); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("a file cut short: %v", err)
	}
	if _, ok := h.Tensor("none"); ok {
		t.Error("a tensor that is not there is found")
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	b := encoded(t, sample())
	for n := range b {
		if _, err := Decode(b[:n:n]); err == nil {
			t.Errorf("the first %d of %d bytes read without an error", n, len(b))
		}
	}
}

func TestWritingRefuses(t *testing.T) {
	one := []uint8{1}
	tests := []struct {
		name, want string
		file       File
	}{
		{"two tensors of one name", `two tensors are called "a"`, File{Tensors: []Tensor{FromUint8s("a", []int{1}, one), FromUint8s("a", []int{1}, one)}}},
		{"the name kept for metadata", "kept for metadata", File{Tensors: []Tensor{FromUint8s("__metadata__", []int{1}, one)}}},
		{"a name that is not UTF-8", "not valid UTF-8", File{Tensors: []Tensor{FromUint8s("\xff", []int{1}, one)}}},
		{"metadata that is not UTF-8", "not valid UTF-8", File{Metadata: map[string]string{"k": "\xff"}}},
		{"a shape that does not fit the data", `tensor "a" of U8 [2] takes 2 bytes, got 1`, File{Tensors: []Tensor{FromUint8s("a", []int{2}, one)}}},
		{"no element type", `element type ""`, File{Tensors: []Tensor{{Name: "a"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kept.safetensors")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Write(path, &tt.file)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v\nshould name %s and say %q", err, path, tt.want)
			}
			if b, _ := os.ReadFile(path); string(b) != "old" {
				t.Errorf("the old file was replaced by %q", b)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
				t.Errorf("the failed write left %v behind", left)
			}
		})
	}
}

// FuzzDecode holds that no bytes make the reader panic, and that whatever it
// accepts is written and read again unchanged.
func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	if err := Encode(&b, sample()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, "xxxx"))
	f.Add(file(`{"__metadata__":{"k":"v"}}`, ""))
	f.Add(file(`{"a":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}}`, ""))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, err := Decode(in)
		if err != nil {
			return
		}
		again, err := Decode(encoded(t, first))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if d := cmp.Diff(encoded(t, first), encoded(t, again)); d != "" {
			t.Error(d)
		}
	})
}
