package onnx

import (
	"fmt"
	"math"
	"slices"
)

// Bounds on what CheckMemory lets a model ask for.
const (
	// MostAtOnce is the bytes of inputs and results that are needed at one time:
	// four times what VGG-16 takes for images of 1024x1024, the largest of the
	// classifiers in common use.
	MostAtOnce = 4 << 30
	// ComputedShare and ComputedRoom bound the constants that a file has computed
	// in place of holding them: so many times the bytes of those it holds, as
	// weights of 4 bits become float32, and so many besides.
	ComputedShare = 8
	ComputedRoom  = 256 << 20
)

// CheckMemory returns an error when running the model would take much more memory
// than a file of its size and images of its inputs' should: a few bytes can ask
// for tables of any size, by ConstantOfShape, Expand, Tile, Range or a product of a
// column and a row. The error names the node that goes beyond a bound.
//
// inputs has the shapes of inputs that the file leaves open, by name. It goes by
// the shapes that can be told from the operators; an axis that is not known counts
// as 1. Weights of the file do not count as results. Functions of the model's own
// are not looked into.
func CheckMemory(m *Model, inputs map[string][]int64) error {
	if m.Graph == nil {
		return nil
	}
	b := &memory{x: newInferrer(m), computed: make(map[string]bool), size: make(map[string]float64)}
	for _, t := range m.Graph.Initializers {
		b.hold(t.Name, t)
	}
	for _, v := range m.Graph.DataInputs() {
		if shape := inputs[v.Name]; shape != nil {
			k := known{typ: v.Type, ranked: true}
			for _, d := range shape {
				k.shape = append(k.shape, Fixed(d))
			}
			b.x.set(v.Name, k)
		}
		b.live += b.bytes(v.Name)
	}
	if b.live > MostAtOnce {
		return fmt.Errorf("onnx: its inputs take %s; the most that is run is %s", gibibytes(b.live), gibibytes(MostAtOnce))
	}
	if err := b.graph(m.Graph); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// memory adds up what the results of a graph take while it runs.
type memory struct {
	x        *inferrer
	computed map[string]bool    // values made of constants alone, and constants
	size     map[string]float64 // bytes of results that are needed yet

	live, held, made float64 // bytes: of results, of constants in the file, of constants computed
}

// hold notes a constant of the file.
func (b *memory) hold(name string, t *Tensor) {
	b.computed[name] = true
	b.held += float64(len(t.Data))
}

// bytes are those of a value, as far as its shape is known. They are a float, as
// the product of hostile axes has no bound.
func (b *memory) bytes(name string) float64 {
	k := b.x.known[name]
	n := float64(max(k.typ.Bits(), 8)) / 8
	for _, d := range k.shape {
		if length, fixed := d.Fixed(); fixed {
			n *= float64(length)
		}
	}
	return n
}

// graph adds the results of a graph's nodes, each until its last use.
func (b *memory) graph(g *Graph) error {
	last := make(map[string]int) // use of a value of this graph, by the place of the node
	for i, n := range g.Nodes {
		if t := constantOf(n); t != nil {
			b.hold(n.Outputs[0], t)
		}
		for _, o := range n.Outputs {
			last[o] = i
		}
		uses(n, func(name string) {
			if _, own := last[name]; own {
				last[name] = i
			}
		})
	}
	for _, v := range g.Outputs {
		last[v.Name] = len(g.Nodes)
	}
	for i, n := range g.Nodes {
		constants, err := b.node(n)
		if err != nil {
			return err
		}
		release := func(name string) {
			if at, own := last[name]; own && at == i {
				b.live -= b.size[name]
				if constants && b.computed[name] { // else it is kept for the next run
					b.made -= b.size[name]
				}
				delete(b.size, name)
			}
		}
		uses(n, release)
		for _, o := range n.Outputs {
			release(o)
		}
	}
	for _, v := range g.Outputs {
		b.live -= b.size[v.Name]
		delete(b.size, v.Name)
	}
	return nil
}

// node adds the results of one node, and of its subgraphs. constants reports
// whether they are computed of constants alone.
func (b *memory) node(n *Node) (constants bool, err error) {
	constants = true
	uses(n, func(name string) { constants = constants && b.computed[name] })
	for _, a := range n.Attrs {
		for _, g := range a.graphs() {
			for _, t := range g.Initializers {
				b.x.set(t.Name, constant(t))
				b.hold(t.Name, t)
			}
			if err := b.graph(g); err != nil {
				return false, err
			}
		}
	}
	b.x.node(n)
	b.estimate(n)
	if constantOf(n) != nil {
		return true, nil
	}
	for _, o := range n.Outputs {
		if o == "" {
			continue
		}
		size := b.bytes(o)
		b.size[o], b.live = size, b.live+size
		if constants {
			b.computed[o], b.made = true, b.made+size
		}
		what := func() string {
			return fmt.Sprintf("with %v, whose result is %v %s,", n, b.x.known[o].typ, shapeString(b.x.known[o].shape))
		}
		if most := ComputedShare*b.held + ComputedRoom; b.made > most {
			return false, fmt.Errorf("%s the constants that the file computes take %s; the most allowed is %s: %d times those in the file, plus %s",
				what(), gibibytes(b.made), gibibytes(most), ComputedShare, gibibytes(ComputedRoom))
		}
		if b.live > MostAtOnce {
			return false, fmt.Errorf("%s its results take %s at a time; the most that is run is %s", what(), gibibytes(b.live), gibibytes(MostAtOnce))
		}
	}
	return constants, nil
}

// gibibytes writes a number of bytes.
func gibibytes(n float64) string { return fmt.Sprintf("%.3g GiB", n/(1<<30)) }

// estimate completes what is known of a node's first result where inference, which
// does not guess, leaves axes open.
func (b *memory) estimate(n *Node) {
	guess := estimates[n.Op]
	if guess == nil || CanonicalDomain(n.Domain) != "" || len(n.Outputs) == 0 {
		return
	}
	in := make([]known, len(n.Inputs))
	for i, name := range n.Inputs {
		in[i] = b.x.known[name]
	}
	k := b.x.known[n.Outputs[0]]
	if shape := guess(call{x: b.x, n: n, in: in}); shape != nil {
		for i := range shape {
			if _, fixed := shape[i].Fixed(); !fixed && i < len(k.shape) {
				shape[i] = k.shape[i]
			}
		}
		typ := k.typ
		if typ == Undefined {
			typ = Float32
		}
		b.x.set(n.Outputs[0], known{typ: typ, ranked: true, shape: shape})
	}
}

// estimates give about the shape of an operator's result, nil where nothing is
// known.
var estimates = map[string]func(call) []Dim{
	"Resize":            scaled,
	"Upsample":          scaled,
	"Tile":              tiled,
	"Range":             ranged,
	"OneHot":            oneHot,
	"EyeLike":           like,
	"Bernoulli":         like,
	"RandomNormalLike":  like,
	"RandomUniformLike": like,
	"RandomNormal":      drawn,
	"RandomUniform":     drawn,
}

func like(c call) []Dim { return slices.Clone(c.arg(0).shape) }

func drawn(c call) []Dim {
	var shape []Dim
	for _, d := range c.n.Ints("shape") {
		shape = append(shape, Fixed(d))
	}
	return shape
}

// times is an axis multiplied, unknown where it is.
func times(d Dim, by float64) Dim {
	n, fixed := d.Fixed()
	length := math.Floor(float64(n) * by)
	if !fixed || !(length >= 0) {
		return Unknown()
	}
	return Fixed(int64(min(length, math.MaxInt64/2)))
}

// scaled: the scales are an operand, the second before opset 11, and an attribute
// before that.
func scaled(c call) []Dim {
	x := c.arg(0)
	var list []float32
	for _, i := range []int{1, 2} {
		if c.has(i) && len(c.x.floats[c.n.Inputs[i]]) == len(x.shape) {
			list = c.x.floats[c.n.Inputs[i]]
		}
	}
	if s := c.n.Floats("scales"); s != nil {
		list = s
	}
	if len(list) != len(x.shape) || c.has(3) {
		return nil
	}
	shape := make([]Dim, len(x.shape))
	for i, d := range x.shape {
		shape[i] = times(d, float64(list[i]))
	}
	return shape
}

func tiled(c call) []Dim {
	x := c.arg(0)
	repeats, _, ok := c.ints(1, "", 0)
	if !ok || len(repeats) != len(x.shape) {
		return nil
	}
	shape := make([]Dim, len(x.shape))
	for i, d := range x.shape {
		shape[i] = times(d, float64(repeats[i]))
	}
	return shape
}

// number is the one element of a constant operand.
func (c call) number(i int) (float64, bool) {
	if !c.has(i) {
		return 0, false
	}
	if k := c.arg(i); k.told && len(k.elems) == 1 && k.elems[0].Param == "" {
		return float64(k.elems[0].Value), true
	}
	if v := c.x.floats[c.n.Inputs[i]]; len(v) == 1 {
		return float64(v[0]), true
	}
	return 0, false
}

func ranged(c call) []Dim {
	from, a := c.number(0)
	to, b := c.number(1)
	step, s := c.number(2)
	if !a || !b || !s || step == 0 {
		return nil
	}
	return []Dim{times(Fixed(1), max(math.Ceil((to-from)/step), 0))}
}

func oneHot(c call) []Dim {
	depth, ok := c.number(1)
	x := c.arg(0)
	if !ok || !x.ranked {
		return nil
	}
	return append(slices.Clone(x.shape), times(Fixed(1), depth)) // the order of axes is of no account
}
