//go:build onednn && cgo

package kernel

import (
	"strings"
	"testing"
	"time"
)

// BenchmarkBesideOneDNN runs what is used for each of the networks' shapes and
// reports beside its shortest time that of oneDNN's own primitive, as it comes.
func BenchmarkBesideOneDNN(b *testing.B) {
	const runs = 30
	milliseconds := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	for _, s := range networkShapes {
		x, w, y := operands[float32](s)
		for _, c := range []struct {
			name      string
			member    ConvMember
			plan      ConvPlan[float32]
			dst, p, q []float32
		}{
			{"forward", Forward, ConvForward[float32](s), y, x, w},
			{"data", BackwardData, ConvBackwardData[float32](s), x, y, w},
			{"weights", BackwardWeights, ConvBackwardWeights[float32](s), w, x, y},
		} {
			b.Run(s.label()+"/"+c.name, func(b *testing.B) {
				dst, free := Alloc[float32](len(c.dst))
				defer free()
				scratch, freeScratch := Alloc[float32](c.plan.Scratch)
				defer freeScratch()
				ours := time.Duration(1 << 62)
				for b.Loop() {
					start := time.Now()
					if err := c.plan.Run(dst, c.p, c.q, scratch); err != nil {
						b.Fatal(err)
					}
					ours = min(ours, time.Since(start))
				}
				theirs, err := ReferenceConv(s, c.member, runs)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(milliseconds(ours), "ours-ms")
				b.ReportMetric(milliseconds(theirs), "onednn-ms")
				b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
			})
		}
	}
}

func TestReferenceTimes(t *testing.T) {
	s := conv3x3(8, 8, 16, 16, 1)
	for _, m := range []ConvMember{Forward, BackwardData, BackwardWeights} {
		if d, err := ReferenceConv(s, m, 2); err != nil || d <= 0 {
			t.Errorf("member %d: %v, %v", m, d, err)
		}
	}
	for _, back := range []bool{false, true} {
		if d, err := ReferenceBatchNorm(8, 4, 4, 16, true, back, 2); err != nil || d <= 0 {
			t.Errorf("batch normalisation, back %v: %v, %v", back, d, err)
		}
	}
	if _, err := ReferenceConv(s, 3, 1); err == nil || !strings.Contains(err.Error(), "choose Forward") {
		t.Errorf("member 3: error %v", err)
	}
	s.Stride[0] = -1
	if _, err := ReferenceConv(s, Forward, 1); err == nil || !strings.Contains(err.Error(), "invalid_arguments") {
		t.Errorf("stride -1: error %v", err)
	}
}
