package preprocess

import "slices"

// Named is a Spec and the text that Parse reads it from.
type Named struct {
	Name string
	Spec Spec
}

const byteScale = 1.0 / 255

// The presets with a word of their own. imagenet is torchvision's; cifar10 is
// the Wide ResNet authors', who measured it on bytes.
var words = []Named{
	{"unit", Spec{Scale: byteScale}},
	{"raw", Spec{Scale: 1}},
	{"imagenet", Spec{Scale: byteScale, Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}}},
	{"cifar10", Spec{Scale: byteScale,
		Mean: []float64{125.3 / 255, 123.0 / 255, 113.9 / 255}, Std: []float64{63.0 / 255, 62.1 / 255, 66.7 / 255}}},
}

// The presets besides.
var (
	unnamed = []Spec{
		// -1..1: TensorFlow's Inception and MobileNet, and what torchvision's
		// examples call 0.5, 0.5.
		{Scale: byteScale, Mean: []float64{0.5}, Std: []float64{0.5}},
		// CIFAR-10's mean with a deviation that is averaged over images and copied
		// from one repository to the next (kuangliu/pytorch-cifar).
		{Scale: byteScale, Mean: []float64{0.4914, 0.4822, 0.4465}, Std: []float64{0.2023, 0.1994, 0.2010}},
	}
	// caffe is for VGG and ResNet of Caffe and Keras.
	caffe = Spec{Scale: 1, Mean: []float64{103.939, 116.779, 123.68}, Order: BGR}
	// mnist is that of PyTorch's example.
	mnist = Spec{Scale: byteScale, Mean: []float64{0.1307}, Std: []float64{0.3081}}
)

// Presets returns what `auto` tries on images of the given number of channels,
// 1 or 3, the likeliest first: the presets that suit them and, for colour
// images, each of them with its channels in the other order. Name is what Parse
// reads, so it can be shown as the flag's value.
func Presets(channels int) []Named {
	var all []Named
	add := func(s Spec) {
		if s.Check(channels) == nil {
			all = append(all, Named{s.String(), s.clone()})
		}
	}
	for _, w := range words {
		add(w.Spec)
	}
	for _, s := range unnamed {
		add(s)
	}
	if channels == 1 {
		add(mnist)
		return all
	}
	for _, p := range slices.Clone(all) {
		add(p.Spec.Swapped())
	}
	add(caffe)
	add(caffe.Swapped())
	return all
}

// Swapped returns s for a model that wants the colour channels in the other
// order: each colour keeps its own mean and deviation.
func (s Spec) Swapped() Spec {
	s = s.clone()
	s.Order = BGR - s.Order
	slices.Reverse(s.Mean)
	slices.Reverse(s.Std)
	return s
}
