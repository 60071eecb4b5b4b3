package conformance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// beside is where files too large for the repository may lie.
const beside = "../../../shared/data"

// evenly reads n images, spread evenly over a split, in batches of one size.
func evenly(t *testing.T, split *data.Split, n, batch int) []data.Batch {
	t.Helper()
	h, w, c := split.Shape()
	var batches []data.Batch
	for from := 0; from < n; from += batch {
		b := data.Batch{Pixels: make([]uint8, batch*h*w*c), N: batch, H: h, W: w, C: c, Labels: make([]int, batch)}
		for j := range batch {
			i := (from + j) * split.Len() / n
			if err := split.Read(i, b.Pixels[j*h*w*c:(j+1)*h*w*c]); err != nil {
				t.Fatal(err)
			}
			b.Labels[j] = split.Label(i)
		}
		batches = append(batches, b)
	}
	return batches
}

// TestTeachersImportedAsStudents asks both real teachers about photographs, in
// ONNX Runtime and as graphs of ours: one by PyTorch, one by tf2onnx, with
// channels last and a softmax at its end.
func TestTeachersImportedAsStudents(t *testing.T) {
	if testing.Short() {
		t.Skip("runs two networks on 2,000 images")
	}
	const images = 2000
	archive := filepath.Join(beside, "cifar10.tar.gz")
	if _, err := os.Stat(archive); err != nil {
		t.Skipf("real data is not here: %v", err)
	}
	set, err := data.OpenContext(t.Context(), archive, data.Options{EvalOnly: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	batches := evenly(t, set.Test, images, 50)
	wrn, err := preprocess.Parse("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		preprocess preprocess.Spec
	}{
		{"WRN-16-2 by PyTorch", "wrn16_2_cifar10.onnx", wrn},
		{"MLPerf Tiny ResNet-8 by tf2onnx", "resnet8_mlperf_cifar10.onnx", preprocess.Spec{Scale: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(beside, "teachers", c.file)
			if _, err := os.Stat(path); err != nil {
				t.Skipf("the teacher is not here: %v", err)
			}
			session, err := teachers.Open(path, teachers.Options{Map: teachers.MapNone, Preprocess: c.preprocess})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			imported, err := student.Import(path, student.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, note := range imported.Notes {
				t.Log(note)
			}
			normalizer, err := c.preprocess.Normalizer(3)
			if err != nil {
				t.Fatal(err)
			}
			scorer, err := pipeline.NewScorer(imported.Model, 50, normalizer)
			if err != nil {
				t.Fatal(err)
			}
			defer scorer.Close()

			var ours, theirs engine.ClassErrorMeter
			ours.Accuracy, theirs.Accuracy = true, true
			largest, same := 0.0, 0
			for _, b := range batches {
				out, err := scorer.Compute(&pipeline.Sample{Batch: b}, false)
				if err != nil {
					t.Fatal(err)
				}
				signals, err := session.Signals(teachers.Batch{Pixels: b.Pixels, N: b.N, H: b.H, W: b.W, C: b.C})
				if err != nil {
					t.Fatal(err)
				}
				largest = max(largest, apart(out.Logits, signals.Logits))
				ours.Add(engine.Scores{Logits: out.Logits, Labels: b.Labels})
				theirs.Add(engine.Scores{Logits: signals.Logits, Labels: b.Labels})
				for i, k := 0, out.Classes(); i < len(out.Logits); i += k {
					if engine.ArgMax(out.Logits[i:i+k]) == engine.ArgMax(signals.Logits[i:i+k]) {
						same++
					}
				}
			}
			t.Logf("top-1 %.4f, in ONNX Runtime %.4f; the same class first on %d of %d images, logits apart by %.1e of the largest", ours.Value(), theirs.Value(), same, images, largest)
			if ours.Value() != theirs.Value() || same != images || !(largest <= sameNetwork) {
				t.Error("the imported teacher is another one")
			}
			if !(ours.Value() > 0.7) { // both are above 0.75 on all 10,000 images
				t.Errorf("top-1 is %v: the images are not what the teacher knows", ours.Value())
			}
		})
	}
}
