package pipeline

import (
	"encoding/json"
	"fmt"

	"github.com/onnxdistill/onnxdistill/onnx/safetensors"
	"github.com/onnxdistill/onnxdistill/student"
)

// bestKey is where best.safetensors says what its parameters are.
const bestKey = "student"

// chosen is the student that validated best, as best.safetensors tells of it.
// The file is replaced before the checkpoint is, so between the two it is ahead.
type chosen struct {
	ConfigHash    string  `json:"config"`
	TeacherSHA256 string  `json:"teacher_sha256,omitempty"`
	Epoch         int     `json:"epoch"` // from 1
	Top1          float64 `json:"val_top1"`
}

// chosen is the best student so far.
func (p Progress) chosen() chosen {
	return chosen{ConfigHash: p.ConfigHash, TeacherSHA256: p.TeacherSHA256, Epoch: p.BestEpoch, Top1: p.BestTop1}
}

// sealBest writes the parameters of the best student with what they are.
func sealBest(path string, params []safetensors.Tensor, c chosen) error {
	about, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("pipeline: %s: %w", path, err)
	}
	return safetensors.Write(path, &safetensors.File{
		Sealed: true, Metadata: map[string]string{bestKey: string(about)}, Tensors: params,
	})
}

// readBest loads the best parameters into the model and returns what they are. A
// file of an earlier version does not say it and is what the checkpoint says.
func readBest(path string, m *student.Model, p Progress) (chosen, error) {
	c := p.chosen()
	f, err := safetensors.Read(path)
	if err != nil {
		return c, fmt.Errorf("pipeline: the best student so far: %w; restore the file, or begin a new run", err)
	}
	if about, said := f.Metadata[bestKey]; said {
		if err := json.Unmarshal([]byte(about), &c); err != nil {
			return c, fmt.Errorf("pipeline: %s: its %q is unreadable: %w", path, bestKey, err)
		}
	}
	if p.Format > 0 && (!f.Sealed || f.Metadata[bestKey] == "") {
		return c, fmt.Errorf("pipeline: %s has no checksum, and the run's other files have; it is damaged, or from another run", path)
	}
	if c.ConfigHash != p.ConfigHash {
		return c, fmt.Errorf("pipeline: %s belongs to another run than the checkpoint beside it; restore the file", path)
	}
	if err := m.Load(f.Tensors); err != nil {
		return c, fmt.Errorf("pipeline: %s: %w", path, err)
	}
	return c, nil
}
