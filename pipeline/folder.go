package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// Folder is a run folder: everything one training run reads and writes.
type Folder string

// Config is the resolved Config.
func (f Folder) Config() string { return f.file("config.yaml") }

// Architecture is the file whose network is the student's, as it was when the
// run began; there is none for a student from the zoo.
func (f Folder) Architecture() string { return f.file("architecture.onnx") }

// Metrics is an EpochMetrics per line and, of a finished run, a FinalMetrics.
func (f Folder) Metrics() string { return f.file("metrics.jsonl") }

// Checkpoint is parameters, optimiser and loop state after the last epoch, or
// the step at which the run was interrupted.
func (f Folder) Checkpoint() string { return f.file("checkpoint.safetensors") }

// Best is the parameters after the epoch that validated best.
func (f Folder) Best() string { return f.file("best.safetensors") }

// Student is the same parameters, exported and verified.
func (f Folder) Student() string { return f.file("student.onnx") }

func (f Folder) file(name string) string { return filepath.Join(string(f), name) }

// EpochMetrics is a line of metrics.jsonl: what one epoch did.
type EpochMetrics struct {
	Epoch           int                `json:"epoch"` // from 1
	LearningRate    float64            `json:"lr"`    // of the epoch's last step
	Loss            map[string]float64 `json:"loss"`  // mean of each term, unweighted, and of their weighted "total"
	TrainTop1       float64            `json:"train_top1"`
	ValTop1         float64            `json:"val_top1"`
	Seconds         float64            `json:"seconds"` // of training, without validation
	ImagesPerSecond float64            `json:"images_per_second"`
}

// FinalMetrics is the last line of metrics.jsonl of a finished run.
type FinalMetrics struct {
	Final         bool    `json:"final"` // true
	BestEpoch     int     `json:"best_epoch"`
	ValTop1       float64 `json:"val_top1"`  // of the best epoch
	TestTop1      float64 `json:"test_top1"` // of student.onnx in ONNX Runtime; the only use of the test set
	TestSamples   int     `json:"test_samples"`
	Parity        Parity  `json:"parity"`
	Parameters    int64   `json:"parameters"`
	MACs          int64   `json:"macs"`
	Bytes         int64   `json:"bytes"`
	TeacherVal    float64 `json:"teacher_val_top1,omitempty"`
	Seconds       float64 `json:"seconds"` // of all epochs together
	TrainSamples  int     `json:"train_samples"`
	StudentSHA256 string  `json:"student_sha256"`
}

// free returns an error when the folder holds a run.
func (f Folder) free() error {
	if _, err := os.Stat(f.Config()); err == nil {
		return fmt.Errorf("pipeline: %s holds a run already; go on with it (--resume) or choose another folder with --out", string(f))
	}
	return nil
}

// begin begins a run: it makes the folder and saves the configuration and,
// where the student's network is from a file, that.
func (f Folder) begin(c Config, architecture *onnx.Model) error {
	if err := os.MkdirAll(string(f), 0o755); err != nil {
		return fmt.Errorf("pipeline: run folder: %w", err)
	}
	if architecture != nil {
		if err := architecture.WriteFile(f.Architecture()); err != nil {
			return fmt.Errorf("pipeline: run folder: %w", err)
		}
	}
	b, err := c.YAML()
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	return writeFile(f.Config(), b)
}

func (f Folder) readConfig() (Config, error) {
	c, err := ReadConfig(f.Config())
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("pipeline: %s is not a run folder: it has no config.yaml; name the folder given to distill train --out", string(f))
	}
	if err != nil {
		return c, err
	}
	return c, c.Validate()
}

// writeFile replaces path by b in one step: a reader sees the old file or the
// new one, also after a crash.
func writeFile(path string, b []byte) error {
	if err := wholefile.Write(path, b); err != nil {
		return fmt.Errorf("pipeline: writing %s: %w", path, err)
	}
	return nil
}

// readMetrics returns the epochs in metrics.jsonl and, of a finished run, the
// final line.
func (f Folder) readMetrics() ([]EpochMetrics, *FinalMetrics, error) {
	b, err := os.ReadFile(f.Metrics())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("pipeline: %w", err)
	}
	var epochs []EpochMetrics
	for i, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		var final FinalMetrics
		if json.Unmarshal(line, &final) == nil && final.Final {
			return epochs, &final, nil
		}
		var e EpochMetrics
		if err := json.Unmarshal(line, &e); err != nil || e.Epoch != i+1 {
			return nil, nil, fmt.Errorf("pipeline: %s, line %d is not the metrics of epoch %d; restore the file or start a new run", f.Metrics(), i+1, i+1)
		}
		epochs = append(epochs, e)
	}
	return epochs, nil, nil
}

// writeMetrics replaces metrics.jsonl by the given epochs and, when not nil,
// the final line.
func (f Folder) writeMetrics(epochs []EpochMetrics, final *FinalMetrics) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range epochs {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("pipeline: metrics of epoch %d: %w", e.Epoch, err)
		}
	}
	if final != nil {
		if err := enc.Encode(final); err != nil {
			return fmt.Errorf("pipeline: final metrics: %w", err)
		}
	}
	return writeFile(f.Metrics(), b.Bytes())
}
