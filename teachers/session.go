package teachers

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/teachers/internal/ort"
)

var _ Teacher = (*Session)(nil)

// Session is a teacher that runs in ONNX Runtime. Signals may be called from
// many goroutines, but not while a Set method runs.
type Session struct {
	spec           Spec
	session        *ort.Session   // outputs: logits, then a map per tap of its graph
	gradient       *gradientModel // nil without one
	input          onnx.DataType
	feed           feeder
	images         sync.Pool // *[]float32, what batches are fed from
	maxBatch       int
	teacherClasses int
}

// OpenSessions is the number of models loaded in ONNX Runtime and not closed,
// in the whole process; tests end with the number they began with.
func OpenSessions() int { return ort.OpenSessions() }

// Spec implements Teacher.
func (s *Session) Spec() Spec {
	spec := s.spec.clone()
	if !spec.Preprocess.Known() {
		spec.Notes = append(spec.Notes, "neither the caller nor the model's metadata says how pixels are normalised; they are scaled to 0..1")
	}
	return spec
}

// Close implements Teacher.
func (s *Session) Close() error {
	err := s.session.Close()
	if s.gradient != nil {
		err = errors.Join(err, s.gradient.session.Close())
	}
	return err
}

func (s *Session) note(format string, args ...any) {
	s.spec.Notes = append(s.spec.Notes, fmt.Sprintf(format, args...))
}

// SetPreprocess changes how pixels are normalised, without loading the model
// again. A Spec that is not Known means 0..1, or the bytes themselves where
// the model takes bytes.
func (s *Session) SetPreprocess(p preprocess.Spec) error {
	used := p
	if s.input == onnx.Uint8 {
		if !p.Known() {
			used = preprocess.Spec{Scale: 1}
		}
		if used.Scale != 1 || len(used.Mean) > 0 || len(used.Std) > 0 {
			return fmt.Errorf("teachers: %s takes bytes and normalises them itself; its preprocessing is raw, or raw,order=bgr, not %s", s.spec.Name, p)
		}
		s.feed.bgr = used.Order == preprocess.BGR && s.spec.C == 3
	} else {
		if !p.Known() {
			used = preprocess.Spec{Scale: 1.0 / 255}
		}
		n, err := used.Normalizer(s.spec.C)
		if err != nil {
			return fmt.Errorf("teachers: %s: %w", s.spec.Name, err)
		}
		s.feed.normalizer = n
	}
	s.spec.Preprocess = p
	return nil
}

// SetClassOrder changes which of the teacher's classes each class of the data
// is; nil is one to one.
func (s *Session) SetClassOrder(order []int) error {
	seen := map[int]bool{}
	for _, c := range order {
		if c < 0 || c >= s.teacherClasses {
			return fmt.Errorf("teachers: class order names class %d; %s has classes 0 to %d", c, s.spec.Name, s.teacherClasses-1)
		}
		if seen[c] {
			return fmt.Errorf("teachers: class order names class %d twice", c)
		}
		seen[c] = true
	}
	if order != nil && len(order) < 2 {
		return fmt.Errorf("teachers: class order of %d classes; a classifier has at least 2", len(order))
	}
	s.spec.ClassOrder = slices.Clone(order)
	s.spec.Classes = s.teacherClasses
	if order != nil {
		s.spec.Classes = len(order)
	}
	return nil
}

// Signals implements Teacher. Images of another size than the model's are
// resized, and greyscale and colour are changed into each other.
func (s *Session) Signals(b Batch) (*Signals, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if s.gradient != nil {
		if err := b.checkLabels(s.spec.Classes); err != nil {
			return nil, err
		}
	}
	logits := make([]float32, b.N*s.teacherClasses)
	out := s.spec.signals(b.N)
	step := b.N
	if s.spec.Batch > 0 {
		step = s.spec.Batch
	} else if s.maxBatch > 0 {
		step = s.maxBatch
	}
	for i := 0; i < b.N; i += step {
		if err := s.run(b, i, min(i+step, b.N), logits, out.Maps); err != nil {
			return nil, err
		}
	}
	if err := s.finite(b, logits, out.Maps); err != nil {
		return nil, err
	}
	out.Logits = s.reorder(logits, b.N)
	return out, nil
}

// run asks about images i to j and writes the answers to their places in
// logits and maps. A model of fixed batch is given zeros to fill up.
func (s *Session) run(b Batch, i, j int, logits []float32, signals []Map) error {
	n := j - i
	maps := signals // those of the graph
	if s.gradient != nil {
		maps = signals[:s.gradient.tap]
	}
	full := max(n, s.spec.Batch)
	in := ort.Tensor{Type: s.input, Dims: s.spec.Layout.dims(full, s.spec.H, s.spec.W, s.spec.C)}
	size := s.spec.H * s.spec.W * s.spec.C
	var err error
	if s.input == onnx.Uint8 {
		in.Raw = make([]uint8, full*size)
		err = s.feed.bytes(in.Raw, b, i, j)
	} else {
		memory, _ := s.images.Get().(*[]float32)
		if memory == nil {
			memory = new([]float32)
		}
		defer s.images.Put(memory)
		*memory = slices.Grow((*memory)[:0], full*size)[:full*size]
		in.F32 = *memory
		clear(in.F32[n*size:])
		err = s.feed.floats(in.F32, b, i, j)
	}
	if err != nil {
		return err
	}
	// The runtime writes to the right place at once, unless there are filled-up
	// images to leave out.
	part := func(all []float32, each int) []float32 {
		if full > n {
			return make([]float32, full*each)
		}
		return all[i*each : j*each]
	}
	parts := slices.Clone(maps)
	for k, m := range parts {
		parts[k].Data = part(m.Data, m.H*m.W)
	}
	results := results(full, part(logits, s.teacherClasses), parts)
	if _, err := s.session.Run([]ort.Tensor{in}, results); err != nil {
		return fmt.Errorf("teachers: %s: %w", s.spec.Name, err)
	}
	if g := s.gradient; g != nil {
		if err := g.run(s, b, i, j, in, signals[g.tap].Data); err != nil {
			return err
		}
	}
	if full > n {
		copy(logits[i*s.teacherClasses:j*s.teacherClasses], results[0].F32)
		for k, m := range maps {
			each := m.H * m.W
			copy(m.Data[i*each:j*each], results[k+1].F32)
		}
	}
	return nil
}

// results are tensors of n images over the memory of their signals, for the
// runtime to write to.
func results(n int, logits []float32, maps []Map) []ort.Tensor {
	all := []ort.Tensor{{Type: onnx.Float32, Dims: []int64{int64(n), int64(len(logits) / n)}, F32: logits}}
	for _, m := range maps {
		all = append(all, ort.Tensor{Type: onnx.Float32, Dims: []int64{int64(n), int64(m.H), int64(m.W)}, F32: m.Data})
	}
	return all
}

// finite names the first image for which the model gave NaN or an infinity.
func (s *Session) finite(b Batch, logits []float32, maps []Map) error {
	bad := func(data []float32) int {
		return slices.IndexFunc(data, func(v float32) bool { return v-v != 0 })
	}
	if k := bad(logits); k >= 0 {
		return fmt.Errorf("teachers: %s gives the logit %v for %s; its preprocessing (%s) may be wrong, or its weights damaged",
			s.spec.Name, logits[k], b.sample(k/s.teacherClasses), s.spec.Preprocess)
	}
	for _, m := range maps {
		if k := bad(m.Data); k >= 0 {
			why := ""
			if s.spec.Power > 2 {
				why = fmt.Sprintf("; the power %v may be too large for its activations", s.spec.Power)
			}
			return fmt.Errorf("teachers: %s gives %v at tap %q for %s%s", s.spec.Name, m.Data[k], m.Tap, b.sample(k/(m.H*m.W*m.C)), why)
		}
	}
	return nil
}

// reorder brings logits into the data's class order.
func (s *Session) reorder(logits []float32, n int) []float32 {
	if s.spec.ClassOrder == nil {
		return logits
	}
	out := make([]float32, 0, n*s.spec.Classes)
	for i := range n {
		for _, c := range s.spec.ClassOrder {
			out = append(out, logits[i*s.teacherClasses+c])
		}
	}
	return out
}
