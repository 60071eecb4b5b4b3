package teachers

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// Teacher is a frozen classifier that can be asked about images.
type Teacher interface {
	// Spec describes the teacher. What it returns may be changed.
	Spec() Spec
	// Signals asks about a batch of images. The result belongs to the caller.
	Signals(Batch) (*Signals, error)
	// Close frees what the teacher holds. Signals handed out stay valid.
	Close() error
}

// Batch is images of one size, as a data set holds them.
type Batch struct {
	Pixels  []uint8  // [N, H, W, C], 0 to 255, red first
	N, H, W int      // number of images and their size
	C       int      // 1 or 3
	Samples []uint64 // [N], the stable identity of each sample; may be nil where nothing is recorded
	View    uint32   // which augmentation of the samples this is; 0 is the first
	Labels  []int    // [N], each image's class in the data's order; wanted by a gradient alone

	// SampleName is what people call the sample of an identity, in errors; nil, or
	// a name of "", shows the identity.
	SampleName func(id uint64) string
}

// check compares the fields with one another.
func (b Batch) check() error {
	if b.N < 1 || b.H < 1 || b.W < 1 || (b.C != 1 && b.C != 3) {
		return fmt.Errorf("teachers: batch of %d images of %dx%d with %d channels; each must be positive and the channels 1 or 3", b.N, b.H, b.W, b.C)
	}
	// Compared by division, as the product of hostile sizes could wrap round.
	if pixels := len(b.Pixels) / b.N; pixels*b.N != len(b.Pixels) || pixels%(b.H*b.C) != 0 || pixels/(b.H*b.C) != b.W {
		return fmt.Errorf("teachers: batch of [%d, %d, %d, %d] with %d pixel values", b.N, b.H, b.W, b.C, len(b.Pixels))
	}
	if b.Samples != nil && len(b.Samples) != b.N {
		return fmt.Errorf("teachers: batch of %d images with %d sample identities", b.N, len(b.Samples))
	}
	return nil
}

// sample names image i in an error.
func (b Batch) sample(i int) string {
	if b.Samples == nil {
		return fmt.Sprintf("image %d of the batch", i)
	}
	if b.SampleName != nil {
		switch name := b.SampleName(b.Samples[i]); {
		case name != "" && b.View > 0:
			return fmt.Sprintf("image %s, view %d", name, b.View)
		case name != "":
			return "image " + name
		}
	}
	return fmt.Sprintf("sample %#x, view %d", b.Samples[i], b.View)
}

// Signals is what a teacher says of a batch. It holds Go memory of its own,
// valid after the teacher is closed.
type Signals struct {
	Logits []float32 // [N, classes], in the data's class order
	Maps   []Map     // one per tap, in the order of Spec.Taps
}

// Map is one tap's attention maps for a batch, or its gradients.
type Map struct {
	Tap  string
	H, W int
	C    int       // 1, or of a gradient the image's channels
	Data []float32 // [N, H, W], of Euclidean length 1 per image; of a gradient [N, H, W, C], as it is
}

// MapKind says how an activation A [C, H, W] becomes a map Q [H, W].
type MapKind string

// The kinds of map. The first three are normalised to Q / max(‖Q‖₂, 1e-12).
const (
	MapSum    MapKind = "sum"   // Σ_c |A_c|
	MapSumPow MapKind = "sum^p" // Σ_c |A_c|^p; the default, with p = 2, is the paper's best
	MapMaxPow MapKind = "max^p" // max_c |A_c|^p
	MapNone   MapKind = "none"  // no maps: logits only
)

// MapKinds lists the kinds, the default first.
func MapKinds() []MapKind { return []MapKind{MapSumPow, MapSum, MapMaxPow, MapNone} }

// resolve fills in the defaults of a kind and its power.
func (k MapKind) resolve(power float64) (MapKind, float64, error) {
	if k == "" {
		k = MapSumPow
	}
	if !slices.Contains(MapKinds(), k) {
		return "", 0, fmt.Errorf("teachers: no attention map is called %q; it is one of %s", k, join(MapKinds(), ", "))
	}
	if power == 0 {
		power = 2
	}
	if math.IsNaN(power) || power <= 0 || power > maxPower {
		return "", 0, fmt.Errorf("teachers: attention maps with power %v; it lies above 0 and up to %v", power, float64(maxPower))
	}
	if k != MapSumPow && k != MapMaxPow {
		power = 1
	}
	return k, power, nil
}

// maxPower keeps |A|^p, for activations up to a few hundred, in the range of
// float32 (3e38) even when squared for the normalisation.
const maxPower = 8

// Layout is the order of a tensor's four axes.
type Layout string

// The layouts an image or a feature map may have.
const (
	NCHW Layout = "NCHW"
	NHWC Layout = "NHWC"
)

// dims is the shape of n images.
func (l Layout) dims(n, h, w, c int) []int64 {
	if l == NHWC {
		return []int64{int64(n), int64(h), int64(w), int64(c)}
	}
	return []int64{int64(n), int64(c), int64(h), int64(w)}
}

// Logits says where a teacher's logits come from.
type Logits string

// The sources of logits.
const (
	// LogitsOutput: the output is taken as it is.
	LogitsOutput Logits = "output"
	// LogitsBeforeSoftmax: the operand of the softmax that makes the output.
	LogitsBeforeSoftmax Logits = "before softmax"
	// LogitsBeforeSigmoid: the operand of the sigmoid that makes the output.
	LogitsBeforeSigmoid Logits = "before sigmoid"
	// LogitsLogP: the logarithm of an output that holds probabilities. It
	// differs from logits by a constant per image, which no loss sees, but
	// probabilities below about 1e-38 are lost.
	LogitsLogP Logits = "log p"
)

// Spec describes a teacher.
type Spec struct {
	Name    string // the model's file name
	Hash    string // SHA-256 of the model, in hexadecimal; see Hash
	Classes int    // number of logits, in the data's class order
	H, W, C int    // size the images are brought to, and channels, 1 or 3
	Layout  Layout // of the model's input
	Input   onnx.DataType
	// ImageShape is that of the images which an input of fewer than four axes is
	// found to hold; not Known where the model takes images as they are.
	ImageShape preprocess.ImageShape
	// Preprocess is how pixels are normalised. It is not Known when neither
	// the caller nor the model said; images are then scaled to 0..1.
	Preprocess preprocess.Spec
	ClassOrder []int // the teacher's class for each of the data's; nil is one to one
	// ClassNames are the names that the model's metadata gives to its classes,
	// and NamesKey the key it has them under; see ClassNames. Nil where it has
	// none. Their number need not be that of the scores.
	ClassNames []string
	NamesKey   string
	Map        MapKind
	Power      float64 // p; 1 where the kind has none
	Taps       []Tap
	Batch      int // images the model takes at a time; 0 is any number
	Logits     Logits
	// Reading says in a sentence what was made of the file, the same wherever it
	// is opened but for the name of a setting; see rewrite.Normal.Note. It is among the Notes, and empty where
	// the file is taken as it is.
	Reading string
	Notes   []string // what a person should know: what was rewritten, assumed or slow
}

// clone copies the slices, so that what is handed out can be changed.
func (s Spec) clone() Spec {
	s.ClassOrder, s.Taps, s.Notes = slices.Clone(s.ClassOrder), slices.Clone(s.Taps), slices.Clone(s.Notes)
	s.ClassNames = slices.Clone(s.ClassNames)
	return s
}

// Tap is a value of the teacher's graph at which it is looked at.
type Tap struct {
	Name      string
	C, H, W   int
	Layout    Layout // of the value inside the model; maps are [N, H, W] in either case
	Suggested bool   // the last of its resolution that every path from image to logits passes through
	Gradient  bool   // no value of the graph but the gradient by its image; see Session.AttachGradient
}

// channels is the number of channels of the tap's map.
func (t Tap) channels() int {
	if t.Gradient {
		return t.C
	}
	return 1
}

type tapJSON struct {
	Name      string `json:"name"`
	Shape     [3]int `json:"shape"`
	Suggested bool   `json:"suggested"`
	Layout    Layout `json:"layout"`
	Gradient  bool   `json:"gradient,omitempty"`
}

// MarshalJSON writes {"name", "shape": [C, H, W], "suggested", "layout"}, and
// "gradient" where it is one.
func (t Tap) MarshalJSON() ([]byte, error) {
	return json.Marshal(tapJSON{t.Name, [3]int{t.C, t.H, t.W}, t.Suggested, t.Layout, t.Gradient})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Tap) UnmarshalJSON(b []byte) error {
	var j tapJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*t = Tap{Name: j.Name, C: j.Shape[0], H: j.Shape[1], W: j.Shape[2], Layout: j.Layout, Suggested: j.Suggested, Gradient: j.Gradient}
	return nil
}

// join writes a list of names for a message.
func join[S ~string](list []S, sep string) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = string(s)
	}
	return strings.Join(text, sep)
}

// quoted writes a list of names, each in quotes.
func quoted(list []string) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(text, ", ")
}
