package student

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// Kind says what a parameter does in its layer, so that an optimiser can treat
// kinds apart.
type Kind int

// The kinds of parameters.
const (
	Weight  Kind = iota // convolution weight [out, kh, kw, in/groups] or dense weight [out, in]
	Bias                // bias of a convolution or dense layer [out]
	Scale               // batch normalisation's factor [C]
	Shift               // batch normalisation's summand [C]
	Running             // batch normalisation's running statistics [2, C]: means, then variances
	Free                // a tensor of an imported network that is none of these: a class token, a gain, PRelu's slopes
)

// String returns the last part of the names of parameters of this kind.
func (k Kind) String() string {
	names := [...]string{"weight", "bias", "scale", "shift", "running", "free"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// Param is one named tensor of a model.
type Param struct {
	// Name is the layer's name and the kind: "group2/block1/conv1/weight". An
	// imported model's follow the file's names.
	Name string

	// Kind says what the tensor does in its layer.
	Kind Kind

	// Value is the tensor. Its memory stays where it is for the life of the
	// model and is shared by the model's graphs: change the elements, never
	// the tensor.
	Value *tensor.Dense

	// Trainable is false for running statistics, which no gradient reaches.
	Trainable bool

	// fixed marks a constant of an imported network, which is no parameter of the
	// model.
	fixed bool

	// Decay is true where the reference recipe applies weight decay: to every
	// trainable parameter, scales, shifts and biases included (Zagoruyko and
	// Komodakis 2017). An optimiser that wants it on weights alone asks Kind.
	Decay bool
}

// set writes the elements, rounded to the parameter's type.
func (p *Param) set(v []float64) {
	switch d := p.Value.Data().(type) {
	case []float32:
		for i, x := range v {
			d[i] = float32(x)
		}
	case []float64:
		copy(d, v)
	}
}

// Len returns the number of elements.
func (p *Param) Len() int { return p.Value.Shape().TotalSize() }

// newParam makes a parameter of float32 with its initial value, which depends
// on seed and name alone: weights are He normal by fan-in, that is with
// standard deviation √(2 / inputs of one output), the rule of the attention
// transfer reference code (kaiming_normal_ in its default mode) for
// convolutions and dense layers alike; scales and running variances are 1,
// everything else 0.
func newParam(name string, kind Kind, shape tensor.Shape, seed uint64) *Param {
	v := make([]float32, shape.TotalSize())
	switch kind {
	case Weight:
		deviation := math.Sqrt(2 / (float64(len(v)) / float64(shape[0])))
		h := fnv.New64a()
		h.Write([]byte(name))
		r := rand.New(rand.NewPCG(seed, h.Sum64()))
		for i := range v {
			v[i] = float32(deviation * r.NormFloat64())
		}
	case Scale:
		fill(v, 1)
	case Running:
		fill(v[len(v)/2:], 1)
	}
	return paramOf(name, kind, shape, v)
}

// paramOf makes a parameter of the given elements.
func paramOf(name string, kind Kind, shape tensor.Shape, v []float32) *Param {
	return &Param{
		Name:      name,
		Kind:      kind,
		Value:     tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v)),
		Trainable: kind != Running,
		Decay:     kind != Running,
	}
}

func fill(v []float32, x float32) {
	for i := range v {
		v[i] = x
	}
}

// as returns a copy of p with elements of type dt, float32 or float64.
func (p *Param) as(dt tensor.Dtype) *Param {
	q := *p
	var backing any
	if dt == tensor.Float64 {
		backing = p.float64s()
	} else {
		backing = p.float32s()
	}
	q.Value = tensor.New(tensor.WithShape(p.Value.Shape().Clone()...), tensor.WithBacking(backing))
	return &q
}

// float64s returns the elements, copied.
func (p *Param) float64s() []float64 {
	v := make([]float64, p.Len())
	switch d := p.Value.Data().(type) {
	case []float32:
		for i, x := range d {
			v[i] = float64(x)
		}
	case []float64:
		copy(v, d)
	}
	return v
}

// float32s returns the elements rounded to float32, copied.
func (p *Param) float32s() []float32 {
	v := make([]float32, p.Len())
	switch d := p.Value.Data().(type) {
	case []float32:
		copy(v, d)
	case []float64:
		for i, x := range d {
			v[i] = float32(x)
		}
	}
	return v
}
