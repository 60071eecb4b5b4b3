package teachers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

// EvaluateOptions configure Evaluate.
type EvaluateOptions struct {
	Outputs []string // which outputs to return; nil is all
	Threads int      // 0 is one per core
	Plain   bool     // turns the runtime's graph optimisation off
	Library string   // the ONNX Runtime library; "" searches
}

// Evaluate runs any model once in ONNX Runtime. feeds has a tensor for each
// input that has no default. Half-precision outputs come back as float32;
// strings, sequences and maps are an error. The model is not changed.
func Evaluate(m *onnx.Model, feeds map[string]*onnx.Tensor, o EvaluateOptions) (map[string]*onnx.Tensor, error) {
	if err := onnx.Check(m); err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	if _, err := ort.Load(o.Library); err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	r := &rewriter{m: m.Clone()}
	r.constants()
	if o.Outputs != nil {
		for _, name := range o.Outputs {
			if !slices.ContainsFunc(r.m.Graph.Outputs, func(v *onnx.Value) bool { return v.Name == name }) {
				return nil, fmt.Errorf("teachers: the model has no output %q to return", name)
			}
		}
		r.m.Graph.Outputs = slices.DeleteFunc(r.m.Graph.Outputs, func(v *onnx.Value) bool { return !slices.Contains(o.Outputs, v.Name) })
	}
	var names, ask []string // ask has two entries for each name: elements, shape
	var outputs []*onnx.Value
	for _, v := range r.m.Graph.Outputs {
		if v.Other {
			return nil, fmt.Errorf("teachers: output %q is a sequence, map or optional; only tensors can be returned", v.Name)
		}
		// onnxruntime_go returns neither scalars nor half precision, so every
		// output is asked for as a flat list and a shape.
		x := v.Name
		if v.Type == onnx.Float16 || v.Type == onnx.BFloat16 {
			x = r.toFloat("distill/float", x)
		}
		flat := r.constant("distill/flat", onnx.Int64s("", []int64{1}, []int64{-1}))
		names = append(names, v.Name)
		ask = append(ask, r.node("distill/elements", "Reshape", []string{x, flat}), r.node("distill/shape", "Shape", []string{v.Name}))
		for _, a := range ask[len(ask)-2:] {
			outputs = append(outputs, &onnx.Value{Name: a})
		}
	}
	r.m.Graph.Outputs = outputs
	model, err := r.m.Encode()
	if err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	inputs := slices.Sorted(maps.Keys(feeds))
	in := make([]ort.Tensor, len(inputs))
	for i, name := range inputs {
		if in[i], err = toRuntime(feeds[name]); err != nil {
			return nil, fmt.Errorf("teachers: input %q: %w", name, err)
		}
	}
	session, err := ort.NewSession(model, inputs, ask, ort.Options{Threads: o.Threads, Plain: o.Plain || sessionOptions(r.m, o.Threads).Plain})
	if err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	defer session.Close()
	got, err := session.Run(in, nil)
	if err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	out := make(map[string]*onnx.Tensor, len(names))
	for i, name := range names {
		dims := []int64{}
		for shape := got[2*i+1].Raw; len(shape) > 0; shape = shape[8:] {
			dims = append(dims, int64(binary.LittleEndian.Uint64(shape)))
		}
		if elements := got[2*i]; elements.Type == onnx.Float32 {
			out[name] = onnx.Float32s(name, dims, elements.F32)
		} else {
			out[name] = &onnx.Tensor{Name: name, Type: elements.Type, Dims: dims, Data: elements.Raw}
		}
	}
	return out, nil
}

func toRuntime(t *onnx.Tensor) (ort.Tensor, error) {
	if t == nil {
		return ort.Tensor{}, errors.New("is nil")
	}
	if t.Type != onnx.Float32 {
		return ort.Tensor{Type: t.Type, Dims: t.Dims, Raw: t.Data}, nil
	}
	data, err := t.Float32s()
	return ort.Tensor{Type: t.Type, Dims: t.Dims, F32: data}, err
}

// Timing is how long a model takes for one image.
type Timing struct {
	P50, P95 time.Duration // of single runs, at batch 1
	Runs     int
}

// LatencyOptions configure Latency.
type LatencyOptions struct {
	Runs    int    // timed runs; 0 is 100
	Threads int    // 0 is one thread, unlike elsewhere
	Size    [2]int // of the images, where the model leaves it open; 0 tries common sizes
	Layout  Layout // of the input, where it is ambiguous
	Output  string // with the class scores, where there are several
	Library string // the ONNX Runtime library; "" searches

	// ImageShape says what images an input of fewer than four axes holds, as
	// Options.ImageShape.
	ImageShape preprocess.ImageShape
}

// Latency times the model as it is in its file, at batch 1 or the batch it
// fixes, in which case the time is divided by the batch. A tenth of Runs more
// go before, untimed.
func Latency(path string, o LatencyOptions) (Timing, error) {
	if o.Runs < 0 || o.Threads < 0 {
		return Timing{}, fmt.Errorf("teachers: %d runs on %d threads; neither can be negative", o.Runs, o.Threads)
	}
	if o.Runs == 0 {
		o.Runs = 100
	}
	src, err := read(path, rewrite.Images{Shape: o.ImageShape, Square: true, Setting: imageSetting})
	if err != nil {
		return Timing{}, err
	}
	if _, err := ort.Load(o.Library); err != nil {
		return Timing{}, fmt.Errorf("teachers: %w", err)
	}
	sizes := wanted(o.Size)
	if len(sizes) == 0 {
		sizes = openSizes
	}
	s, err := examine(src, surveyOptions{layout: o.Layout, output: o.Output, sizes: sizes})
	if err != nil {
		return Timing{}, err
	}
	r, input, kind := s.base()
	output := s.output
	if s.types[output] != onnx.Float32 {
		output = r.toFloat("distill/float", output)
		r.m.Graph.Outputs = []*onnx.Value{{Name: output, Type: onnx.Float32}}
	}
	model, err := r.m.Encode()
	if err != nil {
		return Timing{}, fmt.Errorf("teachers: %w", err)
	}
	session, err := ort.NewSession(model, []string{input}, []string{output}, sessionOptions(r.m, max(1, o.Threads)))
	if err != nil {
		return Timing{}, fmt.Errorf("teachers: %s: %w", src.name(), err)
	}
	defer session.Close()
	batch := max(1, s.in.n)
	in := []ort.Tensor{s.noise(kind, batch, 0)}
	times := make([]time.Duration, 0, o.Runs)
	for i := range o.Runs + o.Runs/10 + 1 {
		start := time.Now()
		if _, err := session.Run(in, nil); err != nil {
			return Timing{}, fmt.Errorf("teachers: %s: %w", src.name(), err)
		}
		if i > o.Runs/10 {
			times = append(times, time.Since(start)/time.Duration(batch))
		}
	}
	slices.Sort(times)
	return Timing{P50: quantile(times, 0.5), P95: quantile(times, 0.95), Runs: o.Runs}, nil
}

// quantile is the nearest-rank quantile of sorted times.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}

// RuntimeInfo describes the ONNX Runtime in use.
type RuntimeInfo struct {
	Version  string   `json:"version"`  // "1.30.0"
	Path     string   `json:"path"`     // of the library
	Where    string   `json:"where"`    // the kind of place it was found in
	Searched []string `json:"searched"` // every place looked at, in order, and what was there
}

// Runtime finds and loads the ONNX Runtime library, as every function of this
// package does when it is first needed. library names it; "" searches. On an
// error, which names all places and the command that fixes it, Searched is
// filled in as well.
func Runtime(library string) (RuntimeInfo, error) {
	info, err := ort.Load(library)
	out := RuntimeInfo{Version: info.Version, Path: info.Path, Where: info.Where}
	for _, p := range info.Searched {
		out.Searched = append(out.Searched, p.String())
	}
	if err != nil {
		return out, fmt.Errorf("teachers: %w", err)
	}
	return out, nil
}
