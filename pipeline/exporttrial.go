package pipeline

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/onnxdistill/onnxdistill/student"
)

// trialSamples is the batch with which an export is tried: another than those
// that package student writes it from.
const trialSamples = 5

// trialLimit is the largest difference of a logit, relative to the largest, that
// rounding is held to account for before training. A network whose file computes
// something else is further off; the limits of the export itself are for trained
// networks, whose logits are not small beside what they are summed of.
const trialLimit = 5e-2

// tryExport exports the student before it is trained, opens the file in ONNX
// Runtime and compares the two, so that a network that cannot be exported is
// found out before its training and not after.
func (u *run) tryExport(ctx context.Context) error {
	if u.options.from != "" { // it has been tried
		return nil
	}
	path, err := u.writeTrial()
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(path))
	session, err := u.openStudent(path)
	if err != nil {
		return fmt.Errorf("pipeline: in a trial export before training, the student does not open: %w", err)
	}
	defer session.Close()
	samples, err := takeEvenly(ctx, u.data.Val, trialSamples)
	if err != nil {
		return err
	}
	scorer, err := NewScorer(u.model, samples.n, u.normalizer)
	if err != nil {
		return err
	}
	defer scorer.Close()
	for _, b := range samples.batches {
		out, err := scorer.Compute(&Sample{Batch: b}, false)
		if err != nil {
			return err
		}
		for _, x := range out.Logits {
			if v := float64(x); math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("pipeline: the student gives the logit %v before its training; look at its weights, and at student.preprocess", x)
			}
		}
	}
	parity, err := compare(scorer, session, samples, trialLimit)
	switch {
	case err != nil:
		return fmt.Errorf("pipeline: in a trial export before training, the student does not run: %w", err)
	case !(parity.MaxDifference <= trialLimit):
		return fmt.Errorf("pipeline: in a trial export before training, the student gives other logits in ONNX Runtime (%v); this is a fault of the export, please report it with the network", parity)
	}
	return nil
}

// writeTrial writes the student as it is to a file in a folder of its own.
func (u *run) writeTrial() (string, error) {
	e := u.config.Export
	m, err := u.model.Export(student.ExportOptions{Opset: e.Opset, IR: e.IR, Half: e.FP16})
	if err != nil {
		return "", fmt.Errorf("pipeline: the student could not be exported once it is trained: %w", err)
	}
	dir, err := os.MkdirTemp("", "onnxdistill-trial-")
	if err != nil {
		return "", fmt.Errorf("pipeline: %w", err)
	}
	path := filepath.Join(dir, "student.onnx")
	if err := m.WriteFile(path); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("pipeline: %w", err)
	}
	return path, nil
}
