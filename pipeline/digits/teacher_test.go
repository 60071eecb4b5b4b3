package digits

import (
	"os"
	"testing"

	"github.com/onnxdistill/onnxdistill/teachers"
)

// TestDemoTeacherReadsDrawnDigits keeps the drawings, the teacher trained on
// them in PyTorch and the preprocessing in its metadata in step: a change to
// any of them that the others do not follow costs most of the accuracy.
func TestDemoTeacherReadsDrawnDigits(t *testing.T) {
	const path = "teacher.onnx"
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 3_000_000 {
		t.Errorf("%s has %d bytes, want under 3 MB, since it travels with the source", path, info.Size())
	}
	teacher, err := teachers.Open(path, teachers.Options{Map: teachers.MapNone})
	if err != nil {
		t.Fatal(err)
	}
	defer teacher.Close()
	spec := teacher.Spec()
	if spec.Classes != Classes || spec.H != Size || spec.W != Size || spec.C != Channels || spec.Batch != 0 {
		t.Fatalf("the teacher takes %dx%dx%d in batches of %d and tells %d classes apart", spec.H, spec.W, spec.C, spec.Batch, spec.Classes)
	}
	if !spec.Preprocess.Known() {
		t.Error("the teacher's metadata does not say how pixels are normalised")
	}

	const seed, n = 77, 500 // a seed that neither the teacher nor the demo has
	set := Set(seed, n)
	signals, err := teacher.Signals(teachers.Batch{Pixels: set.Pixels, N: n, H: Size, W: Size, C: Channels})
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, label := range set.Labels {
		row := signals.Logits[i*Classes:][:Classes]
		best := 0
		for k, v := range row {
			if v > row[best] {
				best = k
			}
		}
		if best == label {
			right++
		}
	}
	// It reads 98 in 100; the standard deviation over 500 images is 3.
	if right < 475 {
		t.Errorf("the teacher reads %d of %d drawn digits, want at least 475", right, n)
	}
	t.Logf("%d of %d", right, n)
}
