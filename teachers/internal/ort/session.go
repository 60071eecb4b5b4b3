//go:build cgo

package ort

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	rt "github.com/yalue/onnxruntime_go"

	"github.com/onnxdistill/onnxdistill/onnx"
)

var open atomic.Int64

// OpenSessions is the number of sessions made and not closed; tests end with
// the number they began with.
func OpenSessions() int { return int(open.Load()) }

// Session is a model loaded in ONNX Runtime. Run may be called from many
// goroutines; Close waits for them.
type Session struct {
	inputs, outputs []string

	mu sync.RWMutex
	s  *rt.DynamicAdvancedSession // nil once closed
}

// NewSession loads a model from its file's bytes, to be fed the named inputs
// and asked for the named outputs. Load must have succeeded before. The bytes
// are not kept.
func NewSession(model []byte, inputs, outputs []string, o Options) (*Session, error) {
	if len(inputs) == 0 || len(outputs) == 0 {
		return nil, fmt.Errorf("ort: a session of %d inputs and %d outputs; it needs at least one of each", len(inputs), len(outputs))
	}
	options, err := rt.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("ort: session options: %w", err)
	}
	defer options.Destroy()
	level := rt.GraphOptimizationLevel(rt.GraphOptimizationLevelEnableAll)
	if o.Plain {
		level = rt.GraphOptimizationLevelDisableAll
	}
	err = errors.Join(
		options.SetGraphOptimizationLevel(level),
		options.SetIntraOpNumThreads(o.Threads),
		options.SetInterOpNumThreads(1),
		options.SetExecutionMode(rt.ExecutionModeSequential),
		// Threads spin while they wait for the next operator, as by default:
		// waking them for each costs 3 % of a WRN-16-2's forward pass. When
		// Run returns they must stop: the student's kernels need the cores.
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "1"),
		options.AddSessionConfigEntry("session.force_spinning_stop", "1"),
	)
	if err != nil {
		return nil, fmt.Errorf("ort: session options: %w", err)
	}
	s, err := rt.NewDynamicAdvancedSessionWithONNXData(model, inputs, outputs, options)
	if err != nil {
		return nil, fmt.Errorf("ort: ONNX Runtime refuses the model: %s", strings.TrimPrefix(err.Error(), "Error creating C session: "))
	}
	open.Add(1)
	return &Session{inputs: inputs, outputs: outputs, s: s}, nil
}

// Close frees the session. Closing twice is harmless.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s == nil {
		return nil
	}
	err := s.s.Destroy()
	s.s = nil
	open.Add(-1)
	return err
}

// Run feeds in, one tensor per input name, and returns one tensor per output
// name. Where out[i] is a Float32 tensor with its dims and elements in place,
// the runtime writes into it and Run fails if the result has other dims; other
// outputs are allocated. out may be nil. Half-precision and scalar outputs
// must be converted within the graph; onnxruntime_go cannot return them.
func (s *Session) Run(in, out []Tensor) ([]Tensor, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.s == nil {
		return nil, errors.New("ort: the session is closed")
	}
	if len(in) != len(s.inputs) || (out != nil && len(out) != len(s.outputs)) {
		return nil, fmt.Errorf("ort: %d inputs and %d outputs given; the session has %d and %d", len(in), len(out), len(s.inputs), len(s.outputs))
	}
	var pin runtime.Pinner // ONNX Runtime holds these addresses for the whole call
	defer pin.Unpin()
	feeds, results := make([]rt.Value, len(in)), make([]rt.Value, len(s.outputs))
	defer func() {
		for _, list := range [2][]rt.Value{feeds, results} {
			for _, v := range list {
				// onnxruntime_go leaves a nil pointer in the interface where it
				// cannot convert a result.
				if v != nil && !reflect.ValueOf(v).IsNil() {
					v.Destroy()
				}
			}
		}
	}()
	for i, t := range in {
		v, err := value(t, &pin)
		if err != nil {
			return nil, fmt.Errorf("ort: input %q: %w", s.inputs[i], err)
		}
		feeds[i] = v
	}
	for i, t := range out {
		if t.F32 == nil {
			continue
		}
		v, err := value(t, &pin)
		if err != nil {
			return nil, fmt.Errorf("ort: output %q: %w", s.outputs[i], err)
		}
		results[i] = v
	}
	if err := s.s.Run(feeds, results); err != nil {
		return nil, fmt.Errorf("ort: %s", strings.TrimPrefix(err.Error(), "Error running network: "))
	}
	all := make([]Tensor, len(results))
	for i, v := range results {
		t, err := tensor(v)
		if err != nil {
			return nil, fmt.Errorf("ort: output %q: %w", s.outputs[i], err)
		}
		all[i] = t
	}
	return all, nil
}

// value wraps a tensor's memory for the runtime; tensors that are not float32
// are copied.
func value(t Tensor, pin *runtime.Pinner) (rt.Value, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	switch t.Type {
	case onnx.Float32:
		return wrap(t.Dims, t.F32, pin)
	case onnx.Uint8:
		return wrap(t.Dims, t.Raw, pin)
	case onnx.Int8:
		return decode[int8](t, pin)
	case onnx.Uint16:
		return decode[uint16](t, pin)
	case onnx.Int16:
		return decode[int16](t, pin)
	case onnx.Int32:
		return decode[int32](t, pin)
	case onnx.Int64:
		return decode[int64](t, pin)
	case onnx.Bool:
		return decode[bool](t, pin)
	case onnx.Float64:
		return decode[float64](t, pin)
	case onnx.Uint32:
		return decode[uint32](t, pin)
	case onnx.Uint64:
		return decode[uint64](t, pin)
	}
	return nil, fmt.Errorf("tensors of %v cannot be fed", t.Type)
}

func wrap[T rt.TensorData](dims []int64, data []T, pin *runtime.Pinner) (rt.Value, error) {
	if len(dims) == 0 {
		return rt.NewScalar(data[0])
	}
	if len(data) > 0 {
		pin.Pin(&data[0])
	}
	return rt.NewTensor(rt.NewShape(dims...), data)
}

func decode[T rt.TensorData](t Tensor, pin *runtime.Pinner) (rt.Value, error) {
	n, err := t.Len()
	if err != nil {
		return nil, err
	}
	data := make([]T, n)
	if _, err := binary.Decode(t.Raw, binary.LittleEndian, data); err != nil {
		return nil, err
	}
	return wrap(t.Dims, data, pin)
}

// tensor takes the elements out of a runtime value. onnxruntime_go has copied
// them to Go memory, which stays valid when the value is destroyed.
func tensor(v rt.Value) (Tensor, error) {
	switch v := v.(type) {
	case *rt.Tensor[float32]:
		return Tensor{Type: onnx.Float32, Dims: v.GetShape(), F32: v.GetData()}, nil
	case *rt.Tensor[uint8]:
		return Tensor{Type: onnx.Uint8, Dims: v.GetShape(), Raw: v.GetData()}, nil
	case *rt.Tensor[int8]:
		return encode(onnx.Int8, v)
	case *rt.Tensor[uint16]:
		return encode(onnx.Uint16, v)
	case *rt.Tensor[int16]:
		return encode(onnx.Int16, v)
	case *rt.Tensor[int32]:
		return encode(onnx.Int32, v)
	case *rt.Tensor[int64]:
		return encode(onnx.Int64, v)
	case *rt.Tensor[bool]:
		return encode(onnx.Bool, v)
	case *rt.Tensor[float64]:
		return encode(onnx.Float64, v)
	case *rt.Tensor[uint32]:
		return encode(onnx.Uint32, v)
	case *rt.Tensor[uint64]:
		return encode(onnx.Uint64, v)
	case *rt.Sequence, *rt.Map:
		return Tensor{}, errors.New("is a sequence or map; only tensors are supported")
	}
	return Tensor{}, fmt.Errorf("has elements of %v; they must be converted within the graph", onnx.DataType(v.DataType()))
}

func encode[T rt.TensorData](dt onnx.DataType, v *rt.Tensor[T]) (Tensor, error) {
	raw, err := binary.Append(nil, binary.LittleEndian, v.GetData())
	return Tensor{Type: dt, Dims: v.GetShape(), Raw: raw}, err
}

// Describe returns what the runtime, after its shape and type inference, says
// of a model's inputs and outputs. Load must have succeeded before.
func Describe(model []byte) (inputs, outputs []Value, err error) {
	in, out, err := rt.GetInputOutputInfoWithONNXData(model)
	if err != nil {
		return nil, nil, fmt.Errorf("ort: ONNX Runtime refuses the model: %s", strings.TrimPrefix(err.Error(), "Error creating temporary session: "))
	}
	convert := func(list []rt.InputOutputInfo) []Value {
		all := make([]Value, len(list))
		for i, v := range list {
			all[i] = Value{Name: v.Name, Type: onnx.DataType(v.DataType), Kind: "tensor"}
			if v.OrtValueType != rt.ONNXTypeTensor {
				all[i].Type, all[i].Kind = onnx.Undefined, strings.ToLower(strings.TrimPrefix(v.OrtValueType.String(), "ONNX_TYPE_"))
			}
		}
		return all
	}
	return convert(in), convert(out), nil
}
