package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onnxdistill/onnxdistill/teachers"
)

// What is laid beside the checkout for tests, and is not part of it.
const sharedData = "../shared/data"

// benchTeacher is a WRN-16-2 for 32x32 images: the one for CIFAR-10 where it
// is there, else the demo's.
func benchTeacher() string {
	if found, err := filepath.Glob(filepath.Join(sharedData, "teachers", "*wrn*.onnx")); err == nil && len(found) > 0 {
		return found[0]
	}
	return "pipeline/digits/teacher.onnx"
}

// cifar10 is the archive of CIFAR-10's images.
func cifar10() (string, error) {
	path := filepath.Join(sharedData, "cifar10.tar.gz")
	if _, err := os.Stat(path); err != nil {
		return "", absent("CIFAR-10 is not there: %v", err)
	}
	return path, nil
}

// teacherMaps compares two sessions of one file: logits alone, and logits with
// the three attention maps that its graph suggests. Both are fed and read by
// the same code.
func teacherMaps(*testing.B) (figures, error) {
	if _, err := teachers.Runtime(""); err != nil {
		return figures{}, absent("%v", err)
	}
	var sessions [2]*teachers.Session
	for i, kind := range []teachers.MapKind{teachers.MapSumPow, teachers.MapNone} {
		s, err := teachers.Open(benchTeacher(), teachers.Options{Map: kind})
		if err != nil {
			return figures{}, err
		}
		defer s.Close()
		sessions[i] = s
	}
	if n := len(sessions[0].Spec().Taps); n != 3 {
		return figures{}, absent("%s suggests %d taps, the row is about 3", benchTeacher(), n)
	}
	sample := someSample(false)
	batch := teachers.Batch{Pixels: sample.Pixels, N: sample.N, H: sample.H, W: sample.W, C: sample.C}
	// Short rounds and many: the difference is small. The threads of the session
	// that has just run stay awake for a while, which the warm-up passes bear.
	t := timesOf(15, 5)
	forward := func(s *teachers.Session) func() ([]float64, error) {
		return func() ([]float64, error) {
			return t.each(func() error {
				_, err := s.Signals(batch)
				return err
			})
		}
	}
	return t.inTurn(forward(sessions[0]), forward(sessions[1]))
}
