package preprocess

import (
	"slices"
	"testing"
)

func TestPresetsSuitTheChannels(t *testing.T) {
	for channels, want := range map[int]int{1: 4, 3: 14} {
		seen := map[string]bool{}
		for _, p := range Presets(channels) {
			if err := p.Spec.Check(channels); err != nil {
				t.Errorf("%d channels: %s: %v", channels, p.Name, err)
			}
			if seen[p.Name] {
				t.Errorf("%d channels: %s is there twice", channels, p.Name)
			}
			seen[p.Name] = true
		}
		if len(seen) != want {
			t.Errorf("%d channels: %d presets, want %d", channels, len(seen), want)
		}
	}
	names := func(channels int) (names []string) {
		for _, p := range Presets(channels) {
			names = append(names, p.Name)
		}
		return names
	}
	for _, want := range []string{
		"mean=0.4914,0.4822,0.4465,std=0.2023,0.1994,0.201,scale=1/255,order=rgb",
		"mean=0.5,std=0.5,scale=1/255,order=rgb",                             // TensorFlow's -1..1
		"mean=103.939,116.779,123.68,scale=1,order=bgr",                      // Caffe's
		"mean=0.406,0.456,0.485,std=0.225,0.224,0.229,scale=1/255,order=bgr", // ImageNet's, blue first
	} {
		if !slices.Contains(names(3), want) {
			t.Errorf("%s is not tried", want)
		}
	}
}

// A colour keeps its numbers in either order.
func TestSwapped(t *testing.T) {
	s := Spec{Scale: 0.5, Mean: []float64{1, 2, 3}, Std: []float64{4, 5, 6}}
	pixel, rgb, bgr := []uint8{10, 20, 30}, make([]float32, 3), make([]float32, 3)
	if err := s.NHWC(rgb, pixel, 3); err != nil {
		t.Fatal(err)
	}
	if err := s.Swapped().NHWC(bgr, pixel, 3); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(bgr)
	if !slices.Equal(rgb, bgr) || s.Mean[0] != 1 {
		t.Errorf("red first %v, blue first, from behind, %v", rgb, bgr)
	}
	if got := s.Swapped().Swapped(); !got.equal(s) {
		t.Errorf("twice swapped is %v", got)
	}
}
