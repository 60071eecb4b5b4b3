package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

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
	Doubt         string  `json:"doubt,omitempty"` // in what way the student has learned nothing; empty where it has
}

// readMetrics returns the epochs in metrics.jsonl and, of a finished run, the
// final line.
func (f Folder) readMetrics() ([]EpochMetrics, *FinalMetrics, error) {
	b, err := wholefile.Read(f.Metrics())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("pipeline: %w", err)
	}
	var epochs []EpochMetrics
	for i, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		line, checked, err := unseal(line)
		if err == nil && !checked && bytes.Contains(b, checkField) {
			err = errors.New("it has no checksum, and other lines do")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("pipeline: %s, line %d is damaged: %w; restore the file or start a new run", f.Metrics(), i+1, err)
		}
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
	var b []byte
	for _, e := range epochs {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("pipeline: metrics of epoch %d: %w", e.Epoch, err)
		}
		b = append(seal(b, line), '\n')
	}
	if final != nil {
		line, err := json.Marshal(final)
		if err != nil {
			return fmt.Errorf("pipeline: final metrics: %w", err)
		}
		b = append(seal(b, line), '\n')
	}
	return writeFile(f.Metrics(), b)
}

// checkField begins the last field of a line of metrics.jsonl: the first 16
// digits of the SHA-256 of all that stands before it.
var checkField = []byte(`,"check":"`)

const checkDigits = 16

func lineChecksum(text []byte) string {
	return contentHash(text)[:checkDigits]
}

// seal appends a JSON object to b, with its checksum as a last field.
func seal(b, object []byte) []byte {
	object = bytes.TrimSuffix(object, []byte("}"))
	b = append(append(b, object...), checkField...)
	return append(append(b, lineChecksum(object)...), `"}`...)
}

// unseal verifies a line's checksum and takes it out. Lines of earlier versions
// have none and are returned as they are.
func unseal(line []byte) (object []byte, checked bool, err error) {
	at := len(line) - len(checkField) - checkDigits - len(`"}`)
	if at < 0 || !bytes.HasPrefix(line[at:], checkField) {
		return line, false, nil
	}
	want, got := lineChecksum(line[:at]), string(line[at+len(checkField):])
	if got != want+`"}` {
		return nil, true, fmt.Errorf("its checksum is %q, its content's is %s", got, want)
	}
	return append(line[:at:at], '}'), true, nil
}
