package teachers

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

// mostAsked bounds the values of a kind that ONNX Runtime is asked for in one run.
// The time that it takes to load a model grows by its nodes times its outputs.
// Networks of known operators need a few, as their shapes can be told without it.
const mostAsked = 1000

// questions are the values of which a survey wants the type and shape.
type questions struct {
	certain []string // to be asked of ONNX Runtime in any case
	throats []string // in graph order
	others  []string
	want    string // of certain, of which the elements are wanted too
}

// keep leaves in the questions what is a value, once.
func (q *questions) keep(isValue func(string) bool) {
	for _, list := range []*[]string{&q.certain, &q.throats, &q.others} {
		seen := map[string]bool{}
		*list = slices.DeleteFunc(*list, func(v string) bool {
			again := seen[v]
			seen[v] = true
			return again || !isValue(v)
		})
	}
}

// asked are the values to ask ONNX Runtime for: those that are certain, those that are not
// told, and the last throat of each shape, which may become a tap. left is how many
// are left out.
func (q *questions) asked(told map[string]*onnx.Value) (values []string, left int) {
	var unknown, throats []string
	shapes := map[string]bool{}
	for _, v := range slices.Backward(q.throats) {
		shape := ""
		if told[v] != nil {
			shape = Shape(told[v].Shape).String()
		}
		if shape == "" || !shapes[shape] {
			throats = append(throats, v)
			shapes[shape] = true
		}
	}
	for _, v := range slices.Backward(q.others) {
		if told[v] == nil {
			unknown = append(unknown, v)
		}
	}
	values = slices.Clone(q.certain)
	for _, list := range [][]string{throats, unknown} {
		values = append(values, list[:min(len(list), mostAsked)]...)
		left += max(0, len(list)-mostAsked)
	}
	slices.Sort(values)
	return slices.Compact(values), left
}

// run executes the model once, unoptimised, and fills in the shapes and types of the
// values in question. It returns the elements of the one that is wanted. With infer,
// what the operators tell is believed unless the run contradicts it.
func (s *survey) run(q questions, infer bool) ([]float32, error) {
	r, input, kind := s.base()
	image := s.in.layout.dims(max(1, s.in.n), s.in.h, s.in.w, s.in.c)
	var told map[string]*onnx.Value
	if infer {
		told = infers(r.m, input, image)
	}
	values, left := q.asked(told)
	r.m.Graph.Outputs = nil
	for _, v := range values {
		r.m.Graph.Outputs = append(r.m.Graph.Outputs, &onnx.Value{Name: v})
	}
	r.m.Strip()
	if err := onnx.CheckMemory(r.m, map[string][]int64{input: image}); err != nil {
		return nil, err
	}
	s.types, s.shapes, s.unasked = map[string]onnx.DataType{}, map[string][]int64{}, left
	for _, v := range slices.Concat(q.throats, q.others) {
		if t := told[v]; t != nil {
			s.types[v], s.shapes[v] = t.Type, lengths(t.Shape)
		}
	}
	tensors, err := s.describe(r.m, values, told)
	if err != nil {
		return nil, err
	}
	shapes, elements, err := s.answer(r, input, kind, tensors, q.want)
	if err != nil {
		return nil, err
	}
	for i, v := range tensors {
		if t := told[v]; t != nil && !slices.Equal(lengths(t.Shape), shapes[i]) {
			return s.run(q, false)
		}
		s.shapes[v] = shapes[i]
	}
	s.shapes[s.in.name] = image
	return elements, nil
}

// infers tells the values of the main graph whose type and whole shape follow from
// the operators and the image's shape.
func infers(m *onnx.Model, input string, image []int64) map[string]*onnx.Value {
	fixed, g := *m, *m.Graph
	fixed.Graph, g.Inputs, g.Values, g.Outputs = &g, slices.Clone(g.Inputs), nil, nil // a file's declarations may be of another size
	for i, v := range g.Inputs {
		if v.Name == input {
			known := v.Clone()
			known.HasShape, known.Shape = true, nil
			for _, n := range image {
				known.Shape = append(known.Shape, onnx.Fixed(n))
			}
			g.Inputs[i] = known
		}
	}
	told := onnx.Infer(&fixed)
	for name, v := range told {
		if v.Type == onnx.Undefined || !v.HasShape || slices.ContainsFunc(v.Shape, func(d onnx.Dim) bool { _, ok := d.Fixed(); return !ok }) {
			delete(told, name)
		}
	}
	return told
}

// lengths are those of fixed axes.
func lengths(shape []onnx.Dim) []int64 {
	all := make([]int64, len(shape))
	for i, d := range shape {
		all[i] = d.Value
	}
	return all
}

// describe notes the types of a model's values, which are its outputs, and returns those that are
// tensors. ONNX Runtime loads the model to say so where they are not told.
func (s *survey) describe(m *onnx.Model, values []string, told map[string]*onnx.Value) ([]string, error) {
	if !slices.ContainsFunc(values, func(v string) bool { return told[v] == nil }) {
		for _, v := range values {
			s.types[v] = told[v].Type
		}
		return values, nil
	}
	model, err := m.Encode()
	if err != nil {
		return nil, err
	}
	_, described, err := ort.Describe(model)
	if err != nil {
		return nil, err
	}
	var tensors []string
	for _, d := range described {
		if d.Type != onnx.Undefined { // else a sequence or map, which is no tap
			s.types[d.Name] = d.Type
			tensors = append(tensors, d.Name)
		}
	}
	if len(tensors) == 0 {
		return nil, errors.New("it makes no tensors")
	}
	return tensors, nil
}

// answer runs a model on noise and returns the shapes of some tensors, and the
// elements of one of them where they are real numbers.
func (s *survey) answer(r *rewriter, input string, kind onnx.DataType, tensors []string, want string) (shapes [][]int64, elements []float32, err error) {
	r.m.Graph.Outputs = nil
	var outputs []string
	ask := func(v string) {
		outputs = append(outputs, v)
		r.m.Graph.Outputs = append(r.m.Graph.Outputs, &onnx.Value{Name: v})
	}
	for _, v := range tensors {
		ask(r.node("distill/shape", "Shape", []string{v}))
	}
	if s.types[want].Float() {
		flat := r.constant("distill/flat", onnx.Int64s("", []int64{1}, []int64{-1}))
		ask(r.node("distill/float", "Reshape", []string{r.toFloat("distill/float", want), flat}))
	}
	model, err := r.m.Encode()
	if err != nil {
		return nil, nil, err
	}
	session, err := ort.NewSession(model, []string{input}, outputs, ort.Options{Plain: true})
	if err != nil {
		return nil, nil, err
	}
	defer session.Close()
	got, err := session.Run([]ort.Tensor{s.noise(kind, max(1, s.in.n), 0)}, nil)
	if err != nil {
		return nil, nil, err
	}
	for i := range tensors {
		dims := make([]int64, len(got[i].Raw)/8)
		for k := range dims {
			dims[k] = int64(binary.LittleEndian.Uint64(got[i].Raw[8*k:]))
		}
		shapes = append(shapes, dims)
	}
	if len(got) > len(tensors) {
		elements = got[len(tensors)].F32
	}
	return shapes, elements, nil
}
