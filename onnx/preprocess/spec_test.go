package preprocess

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exact asks for the same float32: both sides round one float64 expression.
func almost(t *testing.T, what string, got, want float64) {
	t.Helper()
	// A look-up table holds float32 of a float64 result: half a unit in the
	// last place of float32, with room for one more rounding.
	if tol := 1e-7 * math.Max(1, math.Abs(want)); math.Abs(got-want) > tol {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestParse(t *testing.T) {
	imagenet := Spec{Scale: 1.0 / 255, Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}}
	imagenetBGR := imagenet
	imagenetBGR.Order = BGR
	tests := []struct {
		name, text string
		want       Spec
	}{
		{"nothing is auto", "", Spec{Auto: true}},
		{"auto is auto whatever the case", " AUTO ", Spec{Auto: true}},
		{"unit is 0 to 1", "unit", Spec{Scale: 1.0 / 255}},
		{"raw keeps the bytes", "raw", Spec{Scale: 1}},
		{"imagenet is torchvision's", "imagenet", imagenet},
		{"cifar10 is the Wide ResNet authors'", "cifar10", Spec{Scale: 1.0 / 255,
			Mean: []float64{125.3 / 255, 123.0 / 255, 113.9 / 255}, Std: []float64{63.0 / 255, 62.1 / 255, 66.7 / 255}}},
		{"a word with another order", "imagenet,order=bgr", imagenetBGR},
		{"lists continue after commas", "mean=0.485,0.456,0.406,std=0.229,0.224,0.225", imagenet},
		{"one mean for all channels", "mean=0.5,std=0.5", Spec{Scale: 1.0 / 255, Mean: []float64{0.5}, Std: []float64{0.5}}},
		{"fractions and spaces", "scale = 1, mean = 255/2, std = 255/2 , order = BGR",
			Spec{Scale: 1, Mean: []float64{127.5}, Std: []float64{127.5}, Order: BGR}},
		{"settings that repeat the defaults are unit", "mean=0,0,0,std=1", Spec{Scale: 1.0 / 255}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("Parse(%q), -want +got:\n%s", c.text, d)
			}
			again, err := Parse(got.String())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, again); d != "" {
				t.Errorf("%q does not parse back, -first +second:\n%s", got.String(), d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an unknown word", "imagnet", `no preset is called "imagnet"`},
		{"an unknown setting", "mu=1", `no setting is called "mu"`},
		{"a number that is none", "mean=a", `"a" is not a finite number`},
		{"division by zero", "mean=1/0", `not a finite number`},
		{"not-a-number", "std=nan", `not a finite number`},
		{"two means", "mean=1,2", "each needs 1 or 3"},
		{"a negative deviation", "std=-1", "must be positive"},
		{"a scale of zero", "scale=0", "scale is 0"},
		{"a list of scales", "scale=1,2", `"2" belongs to no setting`},
		{"an unknown order", "order=gbr", `order is "gbr"`},
		{"a setting given twice", "std=1,std=2", "std is given twice"},
		{"a value before any setting", "unit,0.5", `"0.5" belongs to no setting`},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), grammar) {
				t.Errorf("Parse(%q) = %v, want an error with %q and the grammar", c.text, err, c.want)
			}
		})
	}
}

func TestStringUsesPresetWords(t *testing.T) {
	for _, n := range Presets(3) {
		if got := n.Spec.String(); got != n.Name {
			t.Errorf("preset %s prints as %s", n.Name, got)
		}
		parsed, err := Parse(n.Name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(n.Spec.canonical(), parsed); d != "" {
			t.Errorf("preset %s does not parse back:\n%s", n.Name, d)
		}
	}
	if got := (Spec{}).String(); got != "auto" {
		t.Errorf("the zero Spec prints as %q, want auto", got)
	}
}

func TestNormalize(t *testing.T) {
	// Two pixels: red 10, green 20, blue 30 and 40, 50, 60.
	src := []uint8{10, 20, 30, 40, 50, 60}
	s := Spec{Scale: 0.1, Mean: []float64{1, 2, 3}, Std: []float64{1, 2, 4}}
	bgr := s
	bgr.Order = BGR
	tests := []struct {
		name string
		spec Spec
		nchw bool
		want []float64
	}{
		{"channels last", s, false, []float64{0, 0, 0, 3, 1.5, 0.75}},
		{"channels first", s, true, []float64{0, 3, 0, 1.5, 0, 0.75}},
		{"blue first takes the first mean for blue", bgr, false, []float64{2, 0, -0.5, 5, 1.5, 0.25}},
		{"blue first, channels first", bgr, true, []float64{2, 5, 0, 1.5, -0.5, 0.25}},
		{"one mean for all", Spec{Scale: 1, Mean: []float64{10}, Std: []float64{10}}, false, []float64{0, 1, 2, 3, 4, 5}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			dst := make([]float32, len(src))
			var err error
			if c.nchw {
				err = c.spec.NCHW(dst, src, 1, 2, 3)
			} else {
				err = c.spec.NHWC(dst, src, 3)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range dst {
				almost(t, c.name, float64(dst[i]), c.want[i])
			}
		})
	}
}

func TestNormalizeRefuses(t *testing.T) {
	three := Spec{Scale: 1, Mean: []float64{1, 2, 3}}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"colour means on greyscale", three.NHWC(make([]float32, 1), make([]uint8, 1), 1), "mean has 3 values but the images have 1"},
		{"auto", Spec{Auto: true}.NHWC(make([]float32, 3), make([]uint8, 3), 3), "not known yet (auto)"},
		{"two channels", Spec{Scale: 1}.NHWC(make([]float32, 2), make([]uint8, 2), 2), "1 or 3 channels, got 2"},
		{"a short destination", three.NHWC(make([]float32, 3), make([]uint8, 6), 3), "6 bytes into 3 floats"},
		{"a wrong size", three.NCHW(make([]float32, 6), make([]uint8, 6), 2, 2, 3), "[2, 2, 3] needs 12 of each"},
		{"an infinite mean", Spec{Scale: 1, Mean: []float64{math.Inf(1)}}.Check(3), "mean holds +Inf"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", c.err, c.want)
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	m, err := NewMeasure(3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Spec(); err == nil {
		t.Error("mean of no images gave no error")
	}
	// Red 0 and 255, green 100 twice, blue 10, 20.
	for _, px := range [][]uint8{{0, 100, 10}, {255, 100, 20}} {
		if err := m.Add(px); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Add([]uint8{1, 2}); err == nil {
		t.Error("two thirds of a pixel were taken")
	}
	s, err := m.Spec()
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{Scale: 1.0 / 255, Mean: []float64{0.5, 100.0 / 255, 15.0 / 255}, Std: []float64{0.5, 1, 5.0 / 255}}
	for c := range 3 {
		almost(t, "mean", s.Mean[c], want.Mean[c])
		almost(t, "std", s.Std[c], want.Std[c])
	}
	if s.Std[1] != 1 {
		t.Errorf("constant channel has std %v, want exactly 1", s.Std[1])
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"auto", "imagenet,order=bgr", "mean=1,2,3,std=1/3", "scale=1e-300", "mean=,", "=", "raw,mean=0x1p-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil {
			t.Fatalf("%q parses to %q, which does not parse: %v", text, s, err)
		}
		if d := cmp.Diff(s, again); d != "" {
			t.Fatalf("%q parses to %q, which means something else:\n%s", text, s, d)
		}
	})
}
