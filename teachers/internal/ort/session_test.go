//go:build cgo

package ort

import (
	"encoding/binary"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// addition is x + [1, 2] for float32 x [batch, 2], and its shape.
func addition(t *testing.T) []byte {
	t.Helper()
	b := onnx.NewBuilder("addition", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(2))
	one := b.Initializer("one", onnx.Float32s("one", []int64{2}, []float32{1, 2}))
	b.Output(b.Node("Add", []string{x, one}), "sum", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(2))
	b.Output(b.Node("Shape", []string{x}), "shape", onnx.Int64, onnx.Fixed(2))
	return encode1(t, b)
}

func encode1(t *testing.T, b *onnx.Builder) []byte {
	t.Helper()
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(""); err != nil {
		t.Fatal(err)
	}
	return data
}

func newSession(t *testing.T, model []byte, inputs, outputs []string, o Options) *Session {
	t.Helper()
	s, err := NewSession(model, inputs, outputs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRun(t *testing.T) {
	s := newSession(t, addition(t), []string{"x"}, []string{"sum", "shape"}, Options{Threads: 1})
	x := Tensor{Type: onnx.Float32, Dims: []int64{2, 2}, F32: []float32{10, 20, 30, 40}}
	want := []float32{11, 22, 31, 42}
	mine := make([]float32, 4)
	for name, out := range map[string][]Tensor{
		"allocated results": nil,
		"a result in place": {{Type: onnx.Float32, Dims: []int64{2, 2}, F32: mine}, {}},
	} {
		got, err := s.Run([]Tensor{x}, out)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got[0].F32); d != "" {
			t.Errorf("%s, -want +got:\n%s", name, d)
		}
		if got[1].Type != onnx.Int64 || binary.LittleEndian.Uint64(got[1].Raw) != 2 {
			t.Errorf("%s: shape is %+v", name, got[1])
		}
	}
	if d := cmp.Diff(want, mine); d != "" {
		t.Errorf("the result was not written in place, -want +got:\n%s", d)
	}
}

func TestResultsOutliveTheSession(t *testing.T) {
	s := newSession(t, addition(t), []string{"x"}, []string{"sum"}, Options{})
	got, err := s.Run([]Tensor{{Type: onnx.Float32, Dims: []int64{1, 2}, F32: []float32{1, 1}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := OpenSessions()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if OpenSessions() != before-1 {
		t.Errorf("%d sessions open, want %d", OpenSessions(), before-1)
	}
	if d := cmp.Diff([]float32{2, 3}, got[0].F32); d != "" {
		t.Error(d)
	}
	if _, err := s.Run([]Tensor{{}}, nil); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("running a closed session: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	s := newSession(t, addition(t), []string{"x"}, []string{"sum"}, Options{})
	x := func(n int, dims ...int64) Tensor {
		return Tensor{Type: onnx.Float32, Dims: dims, F32: make([]float32, n)}
	}
	for _, c := range []struct {
		name    string
		in, out []Tensor
		want    string
	}{
		{"too few elements", []Tensor{x(3, 2, 2)}, nil, `input "x": float32 tensor [2 2] needs 4 numbers, got 3`},
		{"a negative axis", []Tensor{x(2, -1, 2)}, nil, "negative axis"},
		{"axes that overflow", []Tensor{x(2, 1<<40, 1<<40)}, nil, "more elements than"},
		{"no input", nil, nil, "0 inputs"},
		{"a shape the model does not take", []Tensor{x(3, 1, 3)}, nil, "ort: "},
		{"another type", []Tensor{{Type: onnx.Int64, Dims: []int64{1, 2}, Raw: make([]byte, 16)}}, nil, "ort: "},
		{"a type that cannot be fed", []Tensor{{Type: onnx.Float16, Dims: []int64{1, 2}, Raw: make([]byte, 4)}}, nil, "tensors of float16 cannot be fed"},
		{"bytes that do not fit", []Tensor{{Type: onnx.Int64, Dims: []int64{1, 2}, Raw: make([]byte, 15)}}, nil, "needs 16 bytes, got 15"},
		{"a result of the wrong shape", []Tensor{x(2, 1, 2)}, []Tensor{x(4, 2, 2)}, "ort: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := s.Run(c.in, c.out); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestNewSessionRefuses(t *testing.T) {
	model := addition(t)
	before := OpenSessions()
	for _, c := range []struct {
		name    string
		model   []byte
		outputs []string
		want    string
	}{
		{"bytes that are no model", []byte("no model"), []string{"sum"}, "ONNX Runtime refuses the model"},
		{"no bytes", nil, []string{"sum"}, "ONNX Runtime refuses the model"},
		{"half a model", model[:len(model)/2], []string{"sum"}, "ONNX Runtime refuses the model"},
		{"no outputs", model, nil, "at least one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewSession(c.model, []string{"x"}, c.outputs, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := NewSession(model, []string{"x"}, []string{"sum"}, Options{Threads: -1}); err == nil {
		t.Error("a negative number of threads was taken")
	}
	if n := OpenSessions(); n != before {
		t.Errorf("%d sessions open after failures, want %d", n, before)
	}
}

// Every element type that can be fed comes back as it went in, scalars too.
func TestTypesPassThrough(t *testing.T) {
	for _, c := range []struct {
		dt  onnx.DataType
		raw []byte
	}{
		{onnx.Uint8, []byte{1, 255}},
		{onnx.Int8, []byte{1, 255}},
		{onnx.Uint16, []byte{1, 2, 3, 255}},
		{onnx.Int16, []byte{1, 2, 3, 255}},
		{onnx.Int32, []byte{1, 2, 3, 255, 0, 0, 0, 1}},
		{onnx.Int64, []byte{1, 2, 3, 4, 5, 6, 7, 255, 0, 0, 0, 0, 0, 0, 0, 1}},
		{onnx.Uint32, []byte{1, 2, 3, 255, 0, 0, 0, 1}},
		{onnx.Uint64, []byte{1, 2, 3, 4, 5, 6, 7, 255, 0, 0, 0, 0, 0, 0, 0, 1}},
		{onnx.Float64, []byte{1, 2, 3, 4, 5, 6, 7, 64, 0, 0, 0, 0, 0, 0, 0, 1}},
		{onnx.Bool, []byte{0, 1}},
	} {
		t.Run(c.dt.String(), func(t *testing.T) {
			b := onnx.NewBuilder("pass", 17)
			x := b.Input("x", c.dt, onnx.Fixed(2))
			b.Output(b.Node("Identity", []string{x}), "y", c.dt, onnx.Fixed(2))
			s := newSession(t, encode1(t, b), []string{"x"}, []string{"y"}, Options{})
			got, err := s.Run([]Tensor{{Type: c.dt, Dims: []int64{2}, Raw: c.raw}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(Tensor{Type: c.dt, Dims: []int64{2}, Raw: c.raw}, got[0]); d != "" {
				t.Errorf("-sent +returned:\n%s", d)
			}
		})
	}
}

func TestSequencesAreRefused(t *testing.T) {
	b := onnx.NewBuilder("sequence", 17)
	x := b.Input("x", onnx.Float32, onnx.Fixed(2))
	y := b.Node("SequenceConstruct", []string{x, x})
	b.Output(b.Node("Identity", []string{x}), "z", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	m.Graph.Outputs = append(m.Graph.Outputs, &onnx.Value{Name: y})
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(t, data, []string{"x"}, []string{y}, Options{})
	_, err = s.Run([]Tensor{{Type: onnx.Float32, Dims: []int64{2}, F32: []float32{1, 2}}}, nil)
	if err == nil || !strings.Contains(err.Error(), "sequence or map") {
		t.Errorf("got %v", err)
	}
	_, outputs, err := Describe(data)
	if err != nil {
		t.Fatal(err)
	}
	want := []Value{{Name: "z", Type: onnx.Float32, Kind: "tensor"}, {Name: y, Kind: "sequence"}}
	if d := cmp.Diff(want, outputs); d != "" {
		t.Errorf("described -want +got:\n%s", d)
	}
}

func TestHalfPrecisionResultsAreRefused(t *testing.T) {
	b := onnx.NewBuilder("half", 17)
	x := b.Input("x", onnx.Float32, onnx.Fixed(2))
	b.Output(b.Node("Cast", []string{x}, onnx.AttrInt("to", int64(onnx.Float16))), "y", onnx.Float16, onnx.Fixed(2))
	s := newSession(t, encode1(t, b), []string{"x"}, []string{"y"}, Options{})
	if _, err := s.Run([]Tensor{{Type: onnx.Float32, Dims: []int64{2}, F32: []float32{1, 2}}}, nil); err == nil {
		t.Error("half precision came back, which Evaluate and Open need not work around any more")
	}
}

func TestRunsAtOnce(t *testing.T) {
	s := newSession(t, addition(t), []string{"x"}, []string{"sum"}, Options{Threads: 1})
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 20 {
				got, err := s.Run([]Tensor{{Type: onnx.Float32, Dims: []int64{1, 2}, F32: []float32{float32(i), 0}}}, nil)
				if err != nil || got[0].F32[0] != float32(i+1) {
					t.Errorf("goroutine %d: %v, %v", i, got, err)
				}
			}
		})
	}
	wait.Wait()
}
