package op

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
)

// Group is several nodes that one plan computes at once, with fewer passes over
// memory than they take one by one. Its results are those of the nodes' own
// plans: bit for bit where the kernel sums in their order, which all do but the
// convolutions of oneDNN.
type Group struct {
	// Nodes are what the group computes, operands before their users.
	Nodes gorgonia.Nodes

	// Operands are what it reads, in the order of GroupPlan.Run's src. One may
	// stand there twice.
	Operands gorgonia.Nodes

	// Results are those of Nodes whose values it writes, in the order of
	// GroupPlan.Run's dst. The values of the others come to no memory.
	Results gorgonia.Nodes

	// Plan prepares the group for values of type dt, as Operator.Plan does.
	Plan func(dt tensor.Dtype) (GroupPlan, error)
}

// GroupPlan is a Plan with several results.
type GroupPlan struct {
	Scratch int // as in Plan

	// InPlace are the pairs of a result and an operand that may share memory,
	// the most useful first. They are alternatives where they name one result or
	// one operand twice.
	InPlace []Overwrite

	// Run computes dst, a buffer for each result, from src, a buffer for each
	// operand, under the rules of Plan.Run.
	Run func(dst, src []kernel.Buffer, scratch kernel.Buffer) error
}

// Overwrite says that a result may be written over an operand, by their places
// in a Group.
type Overwrite struct{ Result, Operand int }

// String names the operators of the group: "BatchStats+BatchNorm+ReLU".
func (g Group) String() string {
	names := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		names[i] = Kind(n)
	}
	return strings.Join(names, "+")
}

// Kind returns the name of n's operator without its attributes: "Conv2D". An
// input's is empty.
func Kind(n *gorgonia.Node) string {
	switch {
	case n.Op() == nil:
		return ""
	case IsSum(n):
		return "Add"
	}
	if o := coreOf(n); o != nil {
		return o.name
	}
	name, _, _ := strings.Cut(n.Op().String(), " ")
	return name
}

// IsSum reports whether n is the sum of two values of its own shape: by Add, or
// by Gorgonia's own +, which gorgonia.Grad inserts where a node has several
// users.
func IsSum(n *gorgonia.Node) bool {
	if o := coreOf(n); o != nil {
		return o.name == "Add"
	}
	o := n.Op()
	if o == nil {
		return false
	}
	if t := reflect.TypeOf(o); t.PkgPath() != "gorgonia.org/gorgonia" || t.Name() != "elemBinOp" || !strings.HasPrefix(o.String(), "+ ") {
		return false
	}
	in := Operands(n)
	dt := n.Dtype()
	return len(in) == 2 && (dt == tensor.Float32 || dt == tensor.Float64) &&
		exactly(in[0].Shape(), n.Shape()) && exactly(in[1].Shape(), n.Shape())
}

// coreOf returns the core of an operator of this package, else nil.
func coreOf(n *gorgonia.Node) *core {
	switch o := n.Op().(type) {
	case *formula:
		return &o.core
	case *training:
		return &o.core
	case *conv2D:
		return &o.core
	case *dense:
		return &o.core
	}
	return nil
}

// epsOf returns the eps of a batch normalisation's operator.
func epsOf(n *gorgonia.Node) float64 {
	switch o := n.Op().(type) {
	case *formula:
		return o.eps
	case *training:
		return o.eps
	}
	return 0
}

// Fusions returns groups among the nodes of order, which holds all that
// outputs depend on, operands before their users. No node is in two groups, and
// every value that an output or a node outside of the group needs is among its
// results. Taken alone each group can be computed at one time; several together
// may have to wait for each other, so the caller must see whether they can be
// put in an order and leave out those that cannot.
func Fusions(order, outputs gorgonia.Nodes) []Group {
	f := &fuser{users: map[*gorgonia.Node]gorgonia.Nodes{}, taken: map[*gorgonia.Node]bool{}}
	for _, n := range order {
		for i, x := range Operands(n) {
			if !slices.Contains(Operands(n)[:i], x) {
				f.users[x] = append(f.users[x], n)
			}
		}
	}
	for _, n := range outputs {
		f.users[n] = append(f.users[n], nil) // one that is in no group
	}
	var groups []Group
	for _, pattern := range []func(*gorgonia.Node) (Group, bool){
		f.batchNormTrain, f.batchNormInference, f.batchNormBack, f.convolution, f.spread,
	} {
		for _, n := range order {
			if f.taken[n] {
				continue
			}
			g, ok := pattern(n)
			if !ok || slices.ContainsFunc(g.Nodes, func(n *gorgonia.Node) bool { return f.taken[n] }) {
				continue
			}
			for _, n := range g.Nodes {
				f.taken[n] = true
			}
			groups = append(groups, g)
		}
	}
	return groups
}

// fuser looks for groups in one graph.
type fuser struct {
	users map[*gorgonia.Node]gorgonia.Nodes // each user once; nil stands for whoever reads an output
	taken map[*gorgonia.Node]bool
}

// only returns the one user of n, or nil where there are none or several, or
// where the user is taken.
func (f *fuser) only(n *gorgonia.Node) *gorgonia.Node {
	if u := f.users[n]; len(u) == 1 && u[0] != nil && !f.taken[u[0]] {
		return u[0]
	}
	return nil
}

// within reports whether all users of n are among nodes.
func (f *fuser) within(n *gorgonia.Node, nodes ...*gorgonia.Node) bool {
	for _, u := range f.users[n] {
		if u == nil || !slices.Contains(nodes, u) {
			return false
		}
	}
	return true
}

// tail is what may follow a value at once: a bias, a summand of the same shape,
// ReLU.
type tail struct {
	nodes     gorgonia.Nodes
	bias, add *gorgonia.Node // nil where there is none
	relu      bool
}

// epilogue returns which steps the tail has.
func (t tail) epilogue() kernel.Epilogue {
	return kernel.Epilogue{Bias: t.bias != nil, Add: t.add != nil, ReLU: t.relu}
}

// follow returns the longest tail of n in which every value but the last has
// one user.
func (f *fuser) follow(n *gorgonia.Node, bias bool) (t tail) {
	last := n
	next := func(fits func(*gorgonia.Node) bool) bool {
		u := f.only(last)
		if u == nil || !fits(u) {
			return false
		}
		last = u
		t.nodes = append(t.nodes, u)
		return true
	}
	if bias && next(func(u *gorgonia.Node) bool { return Kind(u) == "AddBias" && Operands(u)[0] == last }) {
		t.bias = Operands(last)[1]
	}
	t.add = f.summand(last)
	if t.add != nil {
		next(func(*gorgonia.Node) bool { return true })
	}
	t.relu = next(func(u *gorgonia.Node) bool { return Kind(u) == "ReLU" })
	return t
}

// summand returns what n's only user adds to it, nil where it is no sum.
func (f *fuser) summand(n *gorgonia.Node) *gorgonia.Node {
	u := f.only(n)
	if u == nil || !IsSum(u) {
		return nil
	}
	in := Operands(u)
	switch {
	case in[0] == in[1]:
		return nil
	case in[0] == n:
		return in[1]
	}
	return in[0]
}

// last returns the end of nodes.
func last(nodes gorgonia.Nodes) *gorgonia.Node { return nodes[len(nodes)-1] }

// batchNormTrain finds BatchStats and the BatchNorm by them, and what follows
// it.
func (f *fuser) batchNormTrain(n *gorgonia.Node) (g Group, ok bool) {
	if Kind(n) != "BatchNorm" {
		return g, false
	}
	in := Operands(n)
	x, stats := in[0], in[1]
	if Kind(stats) != "BatchStats" || Operands(stats)[0] != x {
		return g, false
	}
	t := f.follow(n, false)
	g.Nodes = append(gorgonia.Nodes{stats, n}, t.nodes...)
	g.Results = gorgonia.Nodes{last(g.Nodes), stats}
	args := batchNormArgs{x: 0, stats: -1, affine: -1, add: -1}
	g.Operands = gorgonia.Nodes{x}
	if len(in) == 4 {
		args.affine = g.operand(in[2:]...)
	}
	if t.add != nil {
		args.add = g.operand(t.add)
	}
	rows, c := rowsOf(x.Shape())
	eps := epsOf(n)
	g.Plan = groupTyped(
		func() GroupPlan { return planNorm(kernel.BatchNormTrain[float32](rows, c, eps, t.relu), args) },
		func() GroupPlan { return planNorm(kernel.BatchNormTrain[float64](rows, c, eps, t.relu), args) })
	return g, true
}

// batchNormInference finds a BatchNormInference and what follows it.
func (f *fuser) batchNormInference(n *gorgonia.Node) (g Group, ok bool) {
	if Kind(n) != "BatchNormInference" {
		return g, false
	}
	t := f.follow(n, false)
	if t.nodes == nil {
		return g, false
	}
	in := Operands(n)
	g.Nodes = append(gorgonia.Nodes{n}, t.nodes...)
	g.Results = gorgonia.Nodes{last(g.Nodes)}
	g.Operands = gorgonia.Nodes{in[0], in[1]}
	args := batchNormArgs{x: 0, stats: 1, affine: -1, add: -1}
	if len(in) == 4 {
		args.affine = g.operand(in[2:]...)
	}
	if t.add != nil {
		args.add = g.operand(t.add)
	}
	rows, c := rowsOf(in[0].Shape())
	eps := epsOf(n)
	g.Plan = groupTyped(
		func() GroupPlan { return planNorm(kernel.BatchNorm[float32](rows, c, eps, t.relu), args) },
		func() GroupPlan { return planNorm(kernel.BatchNorm[float64](rows, c, eps, t.relu), args) })
	return g, true
}

// operand adds operands to g and returns the place of the first.
func (g *Group) operand(n ...*gorgonia.Node) int {
	g.Operands = append(g.Operands, n...)
	return len(g.Operands) - len(n)
}

// batchNormArgs are the places of a normalisation's operands in its group; -1
// is none. Statistics that are no operand are the second result.
type batchNormArgs struct{ x, stats, affine, add int }

// planNorm makes a group's plan of a normalisation's.
func planNorm[T kernel.Float](p kernel.BatchNormPlan[T], at batchNormArgs) GroupPlan {
	g := GroupPlan{Scratch: p.Scratch, InPlace: []Overwrite{{0, at.x}}}
	if at.add >= 0 {
		g.InPlace = append(g.InPlace, Overwrite{0, at.add})
	}
	g.Run = func(dst, src []kernel.Buffer, scratch kernel.Buffer) error {
		var stats, scale, shift, add []T
		if at.stats >= 0 {
			stats = kernel.Of[T](src[at.stats])
		} else {
			stats = kernel.Of[T](dst[1])
		}
		if at.affine >= 0 {
			scale, shift = kernel.Of[T](src[at.affine]), kernel.Of[T](src[at.affine+1])
		}
		if at.add >= 0 {
			add = kernel.Of[T](src[at.add])
		}
		return p.Run(kernel.Of[T](dst[0]), stats, kernel.Of[T](src[at.x]), scale, shift, add, kernel.Of[T](scratch))
	}
	return g
}

// batchNormBack finds BatchNormSums and the BatchNormBack by them, before them
// the Gate by a ReLU of the same normalisation, and after them the sum with
// what else is derived by x.
func (f *fuser) batchNormBack(n *gorgonia.Node) (g Group, ok bool) {
	if Kind(n) != "BatchNormBack" {
		return g, false
	}
	in := Operands(n)
	x, stats, dy, sums, eps := in[0], in[1], in[2], in[3], epsOf(n)
	if Kind(sums) != "BatchNormSums" || epsOf(sums) != eps || !slices.Equal(Operands(sums), gorgonia.Nodes{x, stats, dy}) {
		return g, false
	}
	g.Nodes = gorgonia.Nodes{sums, n}
	at := backArgs{scale: -1, shift: -1, add: -1}
	var shift *gorgonia.Node
	if Kind(dy) == "Gate" && f.within(dy, sums, n) {
		if gate := Operands(dy); f.reluOfNorm(gate[0], in, eps) {
			bn := Operands(Operands(gate[0])[0])
			at.gate = true
			dy = gate[1]
			g.Nodes = append(gorgonia.Nodes{in[2]}, g.Nodes...)
			if len(bn) == 4 {
				shift = bn[3]
			}
		}
	}
	add := f.summand(n)
	if add == nil && !at.gate {
		return g, false
	}
	g.Operands = gorgonia.Nodes{x, stats, dy}
	if len(in) == 5 {
		at.scale = g.operand(in[4])
	}
	if shift != nil {
		at.shift = g.operand(shift)
	}
	if add != nil {
		at.add = g.operand(add)
		g.Nodes = append(g.Nodes, f.only(n))
	}
	g.Results = gorgonia.Nodes{last(g.Nodes), sums}
	rows, c := rowsOf(x.Shape())
	g.Plan = groupTyped(
		func() GroupPlan { return planNormBack(kernel.BatchNormTrainBack[float32](rows, c, eps, at.gate), at) },
		func() GroupPlan { return planNormBack(kernel.BatchNormTrainBack[float64](rows, c, eps, at.gate), at) })
	return g, true
}

// reluOfNorm reports whether y is ReLU of the normalisation that a BatchNormBack
// with the operands back is the derivative of.
func (f *fuser) reluOfNorm(y *gorgonia.Node, back gorgonia.Nodes, eps float64) bool {
	if Kind(y) != "ReLU" {
		return false
	}
	bn := Operands(y)[0]
	if Kind(bn) != "BatchNorm" || epsOf(bn) != eps {
		return false
	}
	in := Operands(bn)
	if in[0] != back[0] || in[1] != back[1] {
		return false
	}
	if len(in) == 4 {
		return len(back) == 5 && in[2] == back[4]
	}
	return len(back) == 4
}

// backArgs are the places of a derivative's operands in its group, after x,
// statistics and dy; -1 is none.
type backArgs struct {
	gate              bool
	scale, shift, add int
}

// planNormBack makes a group's plan of the plan of a normalisation's
// derivative.
func planNormBack[T kernel.Float](p kernel.BatchNormBackPlan[T], at backArgs) GroupPlan {
	// The values that x and dy are derived from are the rarer to be used again.
	g := GroupPlan{Scratch: p.Scratch, InPlace: []Overwrite{{0, 2}}}
	if at.add >= 0 {
		g.InPlace = append(g.InPlace, Overwrite{0, at.add})
	}
	g.InPlace = append(g.InPlace, Overwrite{0, 0})
	g.Run = func(dst, src []kernel.Buffer, scratch kernel.Buffer) error {
		optional := func(i int) []T {
			if i < 0 {
				return nil
			}
			return kernel.Of[T](src[i])
		}
		return p.Run(kernel.Of[T](dst[0]), kernel.Of[T](dst[1]), kernel.Of[T](src[0]), kernel.Of[T](src[1]),
			optional(at.scale), optional(at.shift), kernel.Of[T](src[2]), optional(at.add), kernel.Of[T](scratch))
	}
	return g
}

// convolution finds a Conv2D or a Dense and what follows it.
func (f *fuser) convolution(n *gorgonia.Node) (g Group, ok bool) {
	var s kernel.ConvShape
	switch o := n.Op().(type) {
	case *conv2D:
		if o.kind != convForward {
			return g, false
		}
		s = o.shape
	case *dense:
		if o.kind != convForward {
			return g, false
		}
		s = o.shape.conv()
	default:
		return g, false
	}
	t := f.follow(n, true)
	if t.nodes == nil {
		return g, false
	}
	g.Nodes = append(gorgonia.Nodes{n}, t.nodes...)
	g.Results = gorgonia.Nodes{last(g.Nodes)}
	g.Operands = Operands(n)
	bias, add := -1, -1
	if t.bias != nil {
		bias = g.operand(t.bias)
	}
	if t.add != nil {
		add = g.operand(t.add)
	}
	g.Plan = groupTyped(
		func() GroupPlan {
			return planEpilogue(kernel.ConvForwardEpilogue[float32](s, t.epilogue()), bias, add)
		},
		func() GroupPlan {
			return planEpilogue(kernel.ConvForwardEpilogue[float64](s, t.epilogue()), bias, add)
		})
	return g, true
}

// planEpilogue makes a group's plan of a convolution's, with bias and summand at
// the given places; -1 is none.
func planEpilogue[T kernel.Float](p kernel.EpiloguePlan[T], bias, add int) GroupPlan {
	g := GroupPlan{Scratch: p.Scratch}
	if add >= 0 {
		g.InPlace = []Overwrite{{0, add}}
	}
	g.Run = func(dst, src []kernel.Buffer, scratch kernel.Buffer) error {
		var b, a []T
		if bias >= 0 {
			b = kernel.Of[T](src[bias])
		}
		if add >= 0 {
			a = kernel.Of[T](src[add])
		}
		return p.Run(kernel.Of[T](dst[0]), kernel.Of[T](src[0]), kernel.Of[T](src[1]), b, a, kernel.Of[T](scratch))
	}
	return g
}

// spread finds an AttentionSpread and the sum with the derivative that comes
// from elsewhere.
func (f *fuser) spread(n *gorgonia.Node) (g Group, ok bool) {
	o, ok := n.Op().(*formula)
	if !ok || o.name != "AttentionSpread" {
		return g, false
	}
	add := f.summand(n)
	if add == nil {
		return g, false
	}
	sum := f.only(n)
	g = Group{Nodes: gorgonia.Nodes{n, sum}, Results: gorgonia.Nodes{sum}, Operands: append(Operands(n), add)}
	pixels, c := rowsOf(o.out)
	g.Plan = groupTyped(
		func() GroupPlan { return planSpreadSum(kernel.AttentionSpread[float32](pixels, c, o.power)) },
		func() GroupPlan { return planSpreadSum(kernel.AttentionSpread[float64](pixels, c, o.power)) })
	return g, true
}

// planSpreadSum makes a group's plan of AttentionSpread's.
func planSpreadSum[T kernel.Float](run func(dst, x, g, add []T) error) GroupPlan {
	return GroupPlan{InPlace: []Overwrite{{0, 2}, {0, 0}}, Run: func(dst, src []kernel.Buffer, _ kernel.Buffer) error {
		return run(kernel.Of[T](dst[0]), kernel.Of[T](src[0]), kernel.Of[T](src[1]), kernel.Of[T](src[2]))
	}}
}

// groupTyped chooses between the plans of the two element types.
func groupTyped(f32, f64 func() GroupPlan) func(tensor.Dtype) (GroupPlan, error) {
	return func(dt tensor.Dtype) (GroupPlan, error) {
		switch dt {
		case tensor.Float32:
			return f32(), nil
		case tensor.Float64:
			return f64(), nil
		}
		return GroupPlan{}, fmt.Errorf("op: element type %v; operators compute in float32 or float64", dt)
	}
}
