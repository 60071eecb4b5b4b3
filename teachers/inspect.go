package teachers

import (
	"encoding/json"
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/onnx/rewrite"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

// Report is what Inspect finds in a model file.
type Report struct {
	File       string      `json:"file"`
	SHA256     string      `json:"sha256"`
	Bytes      int64       `json:"bytes"`
	Producer   string      `json:"producer"`
	IR         int64       `json:"ir"`
	Opset      int64       `json:"opset"`
	Nodes      int         `json:"nodes"`
	Parameters int64       `json:"parameters"`
	MACs       int64       `json:"macs"` // multiply-accumulates for one image of the size below; 0 when the model could not be run
	Inputs     []ValueInfo `json:"inputs"`
	Outputs    []ValueInfo `json:"outputs"`

	// What follows is filled in when the model can serve as a teacher.

	Layout Layout `json:"layout"`
	Image  []int  `json:"image"` // [C, H, W] as the model was run
	// ImageShape is that of the images which an input of fewer than four axes was
	// found to hold, as preprocess.ParseImageShape reads it; else empty.
	ImageShape string `json:"image_shape,omitempty"`
	Batch      int    `json:"batch"`   // the batch the file fixes; 0 is any
	Classes    int    `json:"classes"` // number of logits
	// SoftmaxOutput tells that the output holds probabilities that add up to 1.
	SoftmaxOutput bool   `json:"softmax_output"`
	Logits        Logits `json:"logits"`
	// Preprocess is what the metadata says of the input; "auto" when nothing.
	Preprocess string `json:"preprocess"`
	// Taps are the values a teacher is worth tapping at, in graph order.
	Taps []Tap `json:"taps"`

	Metadata map[string]string `json:"metadata"`
	Notes    []string          `json:"notes"`
	// Problem says why the model cannot serve as a teacher; empty when it can.
	Problem string `json:"problem,omitempty"`
}

// ValueInfo is an input or output as the file declares it.
type ValueInfo struct {
	Name  string `json:"name"`
	Type  string `json:"type"` // "float32"; "other" for what is no tensor
	Shape Shape  `json:"shape"`
}

// MarshalJSON writes numbers, names and nulls: ["batch", 3, 32, 32]. An unknown
// rank is null.
func (s Shape) MarshalJSON() ([]byte, error) {
	if s == nil {
		return []byte("null"), nil
	}
	out := make([]any, len(s))
	for i, d := range s {
		if n, ok := d.Fixed(); ok {
			out[i] = n
		} else if d.Param != "" {
			out[i] = d.Param
		}
	}
	return json.Marshal(out)
}

// InspectOptions say how a model is looked at. The zero value decides by the
// model.
type InspectOptions struct {
	Layout  Layout // of the input, where it is ambiguous
	Output  string // with the class scores, where there are several
	Size    [2]int // of the images, where the model leaves it open; 0 tries common sizes
	Library string // the ONNX Runtime library; "" searches

	// ImageShape says what images an input of fewer than four axes holds. The zero
	// value takes what the metadata says, or a square of one channel of as many
	// numbers as it takes.
	ImageShape preprocess.ImageShape
}

// openSizes are tried in turn on a model that takes images of any size: one
// that holds a dense layer takes only those it was made for. The first is
// CIFAR's, then ImageNet's and its relatives'.
var openSizes = [][2]int{{32, 32}, {224, 224}, {28, 28}, {64, 64}, {96, 96}, {128, 128}, {299, 299}}

// Inspect describes a model file. A model that cannot serve as a teacher is
// described too, with the reason in Problem; only a file that is no valid
// model, or a missing runtime, is an error.
func Inspect(path string, o InspectOptions) (*Report, error) {
	src, err := read(path, rewrite.Images{
		Shape: o.ImageShape, Likely: preprocess.ImageShape{H: o.Size[0], W: o.Size[1]}, Square: true, Setting: imageSetting,
	})
	if err != nil {
		return nil, err
	}
	if _, err := ort.Load(o.Library); err != nil {
		return nil, fmt.Errorf("teachers: %w", err)
	}
	m := src.file
	r := &Report{
		File: src.name(), SHA256: src.hash, Bytes: src.bytes, Producer: m.Producer,
		IR: m.IRVersion, Opset: m.Opset(), Nodes: len(m.Graph.Nodes), Parameters: src.model.Parameters(),
		Inputs: describe(m.Graph.DataInputs()), Outputs: describe(m.Graph.Outputs),
		Taps: []Tap{}, Metadata: map[string]string{}, Notes: []string{},
	}
	if m.ProducerVersion != "" {
		r.Producer += " " + m.ProducerVersion
	}
	for _, kv := range m.Metadata {
		r.Metadata[kv.Key] = kv.Value
	}
	switch p, ok, err := preprocess.FromModel(m); {
	case err != nil:
		r.Notes = append(r.Notes, err.Error())
	case ok:
		r.Preprocess = p.String()
	}
	if r.Preprocess == "" {
		r.Preprocess = preprocess.Spec{Auto: true}.String()
	}
	sizes := wanted(o.Size)
	if len(sizes) == 0 {
		sizes = openSizes
	}
	s, err := examine(src, surveyOptions{layout: o.Layout, output: o.Output, sizes: sizes, macs: true})
	if err != nil {
		r.Problem = err.Error()
		return r, nil
	}
	r.ImageShape = src.normal.ImageShape.String()
	r.Layout, r.Image, r.Batch, r.Classes = s.in.layout, []int{s.in.c, s.in.h, s.in.w}, s.in.n, s.classes
	r.Logits, r.SoftmaxOutput = s.plan.from, s.plan.probabilities
	if s.taps != nil {
		r.Taps = s.taps
	}
	if s.open {
		r.Notes = append(r.Notes, fmt.Sprintf("the file leaves the image size open; shapes and multiplications are for %dx%d", s.in.h, s.in.w))
	}
	r.Notes = append(r.Notes, s.notes()...)
	if len(s.taps) == 0 {
		r.Notes = append(r.Notes, "no feature map lies on every path from image to logits; attention needs taps named by hand")
	}
	if k := len(s.taps); k > 0 && s.tokens > k {
		// A network of maps has no more than a Reshape or two before its pooling.
		r.Notes = append(r.Notes, fmt.Sprintf("after tap %q the network computes with tokens, %d values of three axes, which are not maps; taps so close to the image teach little, so measure without attention too",
			s.taps[k-1].Name, s.tokens))
	}
	macs, err := onnx.MACs(src.model, s.shapes)
	if err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("multiplications not counted: %v", err))
	}
	r.MACs = macs / int64(max(1, s.in.n))
	return r, nil
}

func describe(values []*onnx.Value) []ValueInfo {
	out := make([]ValueInfo, len(values))
	for i, v := range values {
		out[i] = ValueInfo{Name: v.Name, Type: v.Type.String()}
		if v.Other {
			out[i].Type = "other"
		}
		if v.HasShape {
			out[i].Shape = append(Shape{}, v.Shape...)
		}
	}
	return out
}
