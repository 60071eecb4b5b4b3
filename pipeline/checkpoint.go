package pipeline

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/optim"
)

// Progress is where a run stands, beside its parameters: what training needs
// to go on as if it had not stopped. Data order and augmentation follow from
// the seed, the epoch and the batch, so they need no state of their own.
type Progress struct {
	Format        int                                  `json:"format,omitempty"` // checkpointFormat; 0 is of versions whose files have no checksum
	ConfigHash    string                               `json:"config"`           // of the Config the run was started with
	TeacherSHA256 string                               `json:"teacher_sha256,omitempty"`
	Begun         *Origin                              `json:"begun,omitempty"` // nil in format 0
	Epoch         int                                  `json:"epoch"`           // finished
	Batch         int                                  `json:"batch"`           // finished in the epoch under way
	Step          int                                  `json:"step"`            // updates in all
	BestEpoch     int                                  `json:"best_epoch"`
	BestTop1      float64                              `json:"best_top1"`
	Seconds       float64                              `json:"seconds"`       // of training, all epochs
	EpochTime     float64                              `json:"epoch_seconds"` // of the epoch under way
	Losses        map[string]*engine.AverageValueMeter `json:"losses"`        // of the epoch under way
	Train         engine.ClassErrorMeter               `json:"train"`         // of the epoch under way
}

// checkpointFormat is the format of checkpoints that are written.
const checkpointFormat = 1

// The names in a checkpoint: parameters as the model names them, and behind
// this prefix what the optimiser remembers.
const (
	optimizerPrefix = "optimizer/"
	progressKey     = "progress"
	stepKey         = "optimizer_step"
)

// writeCheckpoint saves model, optimiser and progress in one file, so that
// they always belong together.
func writeCheckpoint(path string, m *student.Model, o optim.Optimizer, p Progress) error {
	p.Format = checkpointFormat
	progress, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("pipeline: checkpoint: %w", err)
	}
	state := o.State()
	f := &safetensors.File{
		Sealed:   true,
		Metadata: map[string]string{progressKey: string(progress), stepKey: fmt.Sprint(state.Step)},
		Tensors:  m.Tensors(),
	}
	for _, t := range state.Tensors {
		f.Tensors = append(f.Tensors, safetensors.FromFloat32s(optimizerPrefix+t.Name, []int{len(t.Data)}, t.Data))
	}
	return safetensors.Write(path, f)
}

// restoreCheckpoint puts what writeCheckpoint saved into model and optimiser.
func restoreCheckpoint(path string, f *safetensors.File, m *student.Model, o optim.Optimizer) error {
	var state optim.State
	if _, err := fmt.Sscan(f.Metadata[stepKey], &state.Step); err != nil {
		return fmt.Errorf("pipeline: %s is not a checkpoint of a run: its %q is %q, want a number", path, stepKey, f.Metadata[stepKey])
	}
	var params []safetensors.Tensor
	for _, t := range f.Tensors {
		name, isState := strings.CutPrefix(t.Name, optimizerPrefix)
		if !isState {
			params = append(params, t)
			continue
		}
		values, err := t.Float32s()
		if err != nil {
			return fmt.Errorf("pipeline: %s: %w", path, err)
		}
		state.Tensors = append(state.Tensors, optim.Tensor{Name: name, Data: values})
	}
	if err := m.Load(params); err != nil {
		return fmt.Errorf("pipeline: %s: %w", path, err)
	}
	if err := o.Restore(state); err != nil {
		return fmt.Errorf("pipeline: %s: %w", path, err)
	}
	return nil
}

// readCheckpoint reads a checkpoint and how far its run had come.
func readCheckpoint(path string) (*safetensors.File, Progress, error) {
	var p Progress
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, p, fmt.Errorf("pipeline: %w; restore the file, or begin a new run", err)
	}
	if err := json.Unmarshal([]byte(f.Metadata[progressKey]), &p); err != nil {
		return nil, p, fmt.Errorf("pipeline: %s is not a checkpoint of a run: its %q is unreadable: %w", path, progressKey, err)
	}
	if p.Format > checkpointFormat {
		return nil, p, fmt.Errorf("pipeline: %s has format %d, this program knows up to %d; go on with a newer one", path, p.Format, checkpointFormat)
	}
	if p.Format > 0 && (!f.Sealed || p.Begun == nil) {
		return nil, p, fmt.Errorf("pipeline: %s has lost its checksum, so it is damaged; restore the file, or begin a new run", path)
	}
	return f, p, nil
}
