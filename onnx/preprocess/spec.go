package preprocess

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Order is the order in which a model wants the three colour channels.
type Order uint8

// The channel orders. RGB is the zero value.
const (
	RGB Order = iota
	BGR
)

// String returns "rgb" or "bgr".
func (o Order) String() string {
	if o == BGR {
		return "bgr"
	}
	return "rgb"
}

// Spec is the affine map from a byte to a model input, per channel:
//
//	x = (byte*Scale - Mean[c]) / Std[c]
//
// Channel c is counted in the model's own order: with Order BGR, Mean[0] is
// the mean of blue. The zero value means the same as Auto: nothing is known.
type Spec struct {
	// Auto says that the values are to be found out, from a model's metadata
	// or by trying Presets; the other fields are then unused.
	Auto bool
	// Scale multiplies the byte before Mean is taken off; it is positive in
	// every Spec that is not Auto. 1/255 maps bytes to 0..1.
	Scale float64
	// Mean and Std have one value for all channels or one for each; nil means
	// 0 and 1. Std is positive.
	Mean, Std []float64
	// Order is meaningless for greyscale.
	Order Order
}

const grammar = "auto|unit|raw|imagenet|cifar10, or mean=...,std=...,scale=...,order=rgb|bgr"

// Parse reads a Spec as typed on a command line: `auto` (or nothing), one of
// the words unit, raw, imagenet and cifar10, or a list of settings such as
//
//	mean=0.485,0.456,0.406,std=0.229,0.224,0.225,scale=1/255,order=bgr
//
// in any order, each at most once. Settings may follow a word, which they
// change: `imagenet,order=bgr`. What is left out is scale=1/255, mean=0, std=1
// and order=rgb. Numbers may be written as fractions.
func Parse(text string) (Spec, error) {
	fail := func(format string, args ...any) (Spec, error) {
		return Spec{}, fmt.Errorf("preprocess: %q: %s; want %s", text, fmt.Sprintf(format, args...), grammar)
	}
	trimmed := strings.TrimSpace(text)
	if trimmed == "" || strings.EqualFold(trimmed, "auto") {
		return Spec{Auto: true}, nil
	}
	s := Spec{Scale: byteScale}
	lists := map[string][]float64{}
	seen := map[string]bool{}
	key := ""
	for i, part := range strings.Split(trimmed, ",") {
		part = strings.TrimSpace(part)
		name, value, setting := strings.Cut(part, "=")
		if setting {
			key = strings.ToLower(strings.TrimSpace(name))
			if seen[key] {
				return fail("%s is given twice", key)
			}
			seen[key] = true
		} else {
			value = part
		}
		switch {
		case !setting && i == 0:
			k := slices.IndexFunc(words, func(w Named) bool { return strings.EqualFold(w.Name, part) })
			if k < 0 {
				return fail("no preset is called %q", part)
			}
			s = words[k].Spec.clone()
		case key == "mean" || key == "std" || (key == "scale" && setting):
			f, err := parseNumber(value)
			if err != nil {
				return fail("%s: %v", key, err)
			}
			lists[key] = append(lists[key], f)
		case key == "order" && setting:
			switch strings.ToLower(strings.TrimSpace(value)) {
			case "rgb":
				s.Order = RGB
			case "bgr":
				s.Order = BGR
			default:
				return fail("order is %q", value)
			}
		case !setting:
			return fail("%q belongs to no setting", part)
		default:
			return fail("no setting is called %q", key)
		}
	}
	if l, ok := lists["scale"]; ok {
		s.Scale = l[0]
	}
	if l, ok := lists["mean"]; ok {
		s.Mean = l
	}
	if l, ok := lists["std"]; ok {
		s.Std = l
	}
	if err := s.valid(); err != nil {
		return fail("%v", err)
	}
	return s.canonical(), nil
}

// parseNumber reads a decimal number or a fraction of two.
func parseNumber(text string) (float64, error) {
	num, den, fraction := strings.Cut(strings.TrimSpace(text), "/")
	f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	if err == nil && fraction {
		var d float64
		d, err = strconv.ParseFloat(strings.TrimSpace(den), 64)
		f /= d
	}
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is not a finite number", text)
	}
	return f, nil
}

// Known reports whether s says something, that is, is neither Auto nor zero.
func (s Spec) Known() bool { return !s.Auto && s.Scale != 0 }

// String writes s as Parse reads it; the result parses back to equal values.
// Presets are written by their word.
func (s Spec) String() string {
	if !s.Known() {
		return "auto"
	}
	c := s.canonical()
	rgb := c
	rgb.Order = RGB
	for _, w := range words {
		if rgb.equal(w.Spec.canonical()) {
			if c.Order == BGR {
				return w.Name + ",order=bgr"
			}
			return w.Name
		}
	}
	var b strings.Builder
	list := func(name string, l []float64) {
		b.WriteString(name + "=")
		for i, f := range l {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(formatNumber(f))
		}
		b.WriteByte(',')
	}
	if len(c.Mean) > 0 {
		list("mean", c.Mean)
	}
	if len(c.Std) > 0 {
		list("std", c.Std)
	}
	b.WriteString("scale=" + formatNumber(c.Scale) + ",order=" + c.Order.String())
	return b.String()
}

// formatNumber writes the shortest text that parses back to f, and 1/255 as
// people write it.
func formatNumber(f float64) string {
	if f == byteScale {
		return "1/255"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// Check returns an error when s cannot be used for images of the given number
// of channels, 1 or 3, or holds values that no model can mean.
func (s Spec) Check(channels int) error {
	if !s.Known() {
		return errors.New("preprocess: the values are not known yet (auto); want " + grammar)
	}
	if err := s.valid(); err != nil {
		return fmt.Errorf("preprocess: %v", err)
	}
	if channels != 1 && channels != 3 {
		return fmt.Errorf("preprocess: images have 1 or 3 channels, got %d", channels)
	}
	for _, l := range [2]struct {
		name string
		n    int
	}{{"mean", len(s.Mean)}, {"std", len(s.Std)}} {
		if l.n > 1 && l.n != channels {
			return fmt.Errorf("preprocess: %s has %d values but the images have %d channels; give 1 value or %d", l.name, l.n, channels, channels)
		}
	}
	return nil
}

// valid checks everything that does not depend on the image.
func (s Spec) valid() error {
	finite := func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
	if !finite(s.Scale) || s.Scale <= 0 {
		return fmt.Errorf("scale is %v; it must be positive", s.Scale)
	}
	if len(s.Mean) == 2 || len(s.Mean) > 3 || len(s.Std) == 2 || len(s.Std) > 3 {
		return fmt.Errorf("mean has %d values and std %d; each needs 1 or 3", len(s.Mean), len(s.Std))
	}
	for _, f := range s.Mean {
		if !finite(f) {
			return fmt.Errorf("mean holds %v", f)
		}
	}
	for _, f := range s.Std {
		if !finite(f) || f <= 0 {
			return fmt.Errorf("std holds %v; it must be positive", f)
		}
	}
	if s.Order > BGR {
		return fmt.Errorf("order is %d", s.Order)
	}
	return nil
}

func (s Spec) clone() Spec {
	s.Mean, s.Std = slices.Clone(s.Mean), slices.Clone(s.Std)
	return s
}

// canonical drops what only repeats the defaults, so that equal maps print
// equally.
func (s Spec) canonical() Spec {
	s = s.clone()
	if !slices.ContainsFunc(s.Mean, func(f float64) bool { return f != 0 }) {
		s.Mean = nil
	}
	if !slices.ContainsFunc(s.Std, func(f float64) bool { return f != 1 }) {
		s.Std = nil
	}
	return s
}

func (s Spec) equal(t Spec) bool {
	return s.Scale == t.Scale && s.Order == t.Order && slices.Equal(s.Mean, t.Mean) && slices.Equal(s.Std, t.Std)
}
