package loss

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// Form is which of the two published forms of the attention loss is meant.
// Their weights β differ by orders of magnitude. The empty form is Code.
type Form string

// The forms.
const (
	// Code is the form of the authors' program: the mean over batch and
	// positions of (Q̂_S − Q̂_T)²; β is about 1000.
	Code Form = "code"
	// Paper is equation 2 of the paper: half the batch mean of ‖Q̂_S − Q̂_T‖₂;
	// β is about 0.1.
	Paper Form = "paper"
)

// MapKind is how an activation's channels are condensed to a map.
type MapKind = op.MapKind

// AttentionConfig is how a student's tap is compared with a teacher's map. Its
// zero value is the authors' program.
type AttentionConfig struct {
	Form  Form    // empty means Code
	Map   MapKind // empty means op.MapSumPow
	Power float64 // of sum^p and max^p, above 0; zero means op.DefaultMapPower
}

// LeastNorm is the ε that a map's length is taken to be at least, so that a dead
// map divides by it. It is that of PyTorch's normalize, which the authors'
// program uses.
const LeastNorm = 1e-12

// Attention is the activation-based attention transfer of Zagoruyko & Komodakis
// 2017 (section 3.1) at one pair of layers:
//
//	code:  mean_b mean_i (Q̂_S,bi − Q̂_T,bi)²
//	paper: ½ mean_b ‖Q̂_S,b − Q̂_T,b‖₂
//	Q̂ = Q / max(‖Q‖₂, ε),  Q = vec(F(A))
//
// tap is the student's activation A [batch, H, W, C]; F, the map, condenses its
// channels. teacher is the teacher's map [batch, H', W'], condensed in the same
// way; it may be normalised already or not, with the same result. Where the
// sizes differ, the larger map is brought to the smaller size, along each axis,
// by adaptive average pooling before it is normalised. A teacher that was
// normalised in its own graph is normalised again after pooling: its length was
// one factor for each sample, which pooling keeps and the second normalisation
// takes out.
//
// The term is the sum over one pair without β; an objective adds up the pairs
// and weighs them. The derivative of ‖·‖₂ at zero, where the maps agree, is
// taken as 0. The result is a scalar.
func Attention(tap, teacher *gorgonia.Node, c AttentionConfig) (*gorgonia.Node, error) {
	if c.Form == "" {
		c.Form = Code
	}
	if c.Form != Code && c.Form != Paper {
		return nil, fmt.Errorf("loss: no form of the attention loss is called %q; it is one of %s, %s", c.Form, Code, Paper)
	}
	if tap == nil || teacher == nil {
		return nil, fmt.Errorf("loss: Attention wants the student's tap and the teacher's map, got a nil node")
	}
	a, t := tap.Shape(), teacher.Shape()
	if len(a) != 4 || len(t) != 3 || a[0] != t[0] || a.TotalSize() == 0 || t.TotalSize() == 0 {
		return nil, fmt.Errorf("loss: Attention wants a tap [batch, H, W, C] and a map [batch, H', W'] of one batch, got %v and %v", a, t)
	}
	h, w := min(a[1], t[1]), min(a[2], t[2])

	var s steps
	qs := s.normalised(s.take(op.AttentionMap(tap, c.Map, c.Power)), h, w)
	qt := s.normalised(teacher, h, w)
	d := s.take(op.Sub(qs, qt))
	if c.Form == Paper {
		return s.end(op.Scale(s.take(op.Mean(s.take(op.NormRows(d, 0)))), 0.5))
	}
	return s.end(op.Mean(s.take(op.Square(d))))
}

// normalised brings maps to h x w and to length 1, as rows [batch, h·w].
func (s *steps) normalised(maps *gorgonia.Node, h, w int) *gorgonia.Node {
	maps = s.take(op.AdaptiveAveragePool(maps, h, w))
	return s.take(op.L2Normalize(s.take(op.Flatten(maps)), LeastNorm))
}
