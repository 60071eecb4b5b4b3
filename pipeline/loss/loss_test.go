package loss_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/pipeline/loss"
	"github.com/onnxdistill/onnxdistill/student/op"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
)

// golden is the tolerance against PyTorch's float64: the file holds 13 digits.
const golden = 1e-11

type goldenTensor struct {
	Shape []int
	Data  []float64
}

type goldenCase struct {
	Name, Loss string
	Config     struct {
		Smoothing, Temperature, Power float64
		Form, Map                     string
	}
	Inputs   []goldenTensor
	Value    float64
	Gradient []float64 // by the first input
}

func (c goldenCase) build(in gorgonia.Nodes) (*gorgonia.Node, error) {
	switch c.Loss {
	case "ce":
		return loss.CE(in[0], in[1], c.Config.Smoothing)
	case "kd":
		return loss.KD(in[0], in[1], c.Config.Temperature)
	}
	if c.Loss == "gradient" {
		return gradientOfTwoLayers(in[0], in[1], in[2], in[3], in[4])
	}
	return loss.Attention(in[0], in[1], loss.AttentionConfig{
		Form: loss.Form(c.Config.Form), Map: loss.MapKind(c.Config.Map), Power: c.Config.Power,
	})
}

// gradientOfTwoLayers is gradient-based attention transfer of a network whose
// logits are W2·(W1·x)², so that its gradient depends on the weights.
func gradientOfTwoLayers(w1, w2, image, labels, teacher *gorgonia.Node) (*gorgonia.Node, error) {
	rows, err := op.Flatten(image)
	if err != nil {
		return nil, err
	}
	hidden, err := op.Dense(rows, w1)
	if err != nil {
		return nil, err
	}
	if hidden, err = op.Square(hidden); err != nil {
		return nil, err
	}
	logits, err := op.Dense(hidden, w2)
	if err != nil {
		return nil, err
	}
	ce, err := loss.CE(logits, labels, 0)
	if err != nil {
		return nil, err
	}
	own, err := loss.InputGradient(ce, image)
	if err != nil {
		return nil, err
	}
	return loss.Gradient(own, teacher)
}

func goldenCases(t *testing.T) []goldenCase {
	t.Helper()
	b, err := os.ReadFile("../../testdata/golden/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []goldenCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestLossesAgreeWithPyTorch compares value and gradient with the numbers of
// testdata/gen/losses_torch.py, and the gradient with central differences.
func TestLossesAgreeWithPyTorch(t *testing.T) {
	cases := goldenCases(t)
	if want := 36; len(cases) != want {
		t.Errorf("the file holds %d cases, want %d", len(cases), want)
	}
	for _, g := range cases {
		c := optest.Case{Name: g.Name, Build: g.build}
		for _, in := range g.Inputs {
			c.Inputs = append(c.Inputs, optest.Input{Shape: in.Shape, Values: in.Data, Fixed: len(c.Inputs) > 0})
		}
		t.Run(g.Name, func(t *testing.T) {
			for dt, tolerance := range map[tensor.Dtype]float64{tensor.Float64: golden, tensor.Float32: optest.Close32} {
				value, gradient := evaluate(t, c, dt)
				if err := optest.Compare([]float64{value}, []float64{g.Value}, tolerance); err != nil {
					t.Errorf("%v: value: %v", dt, err)
				}
				if err := optest.Compare(gradient, g.Gradient, tolerance); err != nil {
					t.Errorf("%v: gradient: %v", dt, err)
				}
			}
			optest.CheckGradient(t, c)
		})
	}
}

// evaluate returns the value of a loss and its gradient by the first input.
func evaluate(t *testing.T, c optest.Case, dt tensor.Dtype) (value float64, gradient []float64) {
	t.Helper()
	g, err := c.Graph(dt, c.Data())
	if err != nil {
		t.Fatal(err)
	}
	grads, err := gorgonia.Grad(g.Output, g.Inputs[0])
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, g.Output, grads[0])
	return out[0][0], out[1]
}

func run(t *testing.T, outputs ...*gorgonia.Node) [][]float64 {
	t.Helper()
	p, err := optest.Compile(outputs...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The equations of the doc comments, as loops.

func softmax(row []float64, t float64) []float64 {
	p, sum := make([]float64, len(row)), 0.0
	for i, z := range row {
		p[i] = math.Exp((z - slices.Max(row)) / t)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func ceLoops(k int, smoothing float64) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		var sum, batch float64
		for b, row := range slices.Collect(slices.Chunk(in[0], k)) {
			batch++
			for i, p := range softmax(row, 1) {
				sum -= ((1-smoothing)*in[1][b*k+i] + smoothing/float64(k)) * math.Log(p)
			}
		}
		return []float64{sum / batch}
	}
}

func kdLoops(k int, t float64) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		var sum, batch float64
		for b, row := range slices.Collect(slices.Chunk(in[0], k)) {
			batch++
			p, q := softmax(row, t), softmax(in[1][b*k:(b+1)*k], t)
			for i := range p {
				sum += q[i] * (math.Log(q[i]) - math.Log(p[i]))
			}
		}
		return []float64{t * t * sum / batch}
	}
}

// attentionLoops is for maps of one size and the default map.
func attentionLoops(batch, pixels, channels int, form loss.Form) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		var total float64
		for b := range batch {
			qs, qt := make([]float64, pixels), in[1][b*pixels:(b+1)*pixels]
			var ls, lt float64
			for i := range qs {
				for c := range channels {
					qs[i] += math.Pow(in[0][(b*pixels+i)*channels+c], 2)
				}
				ls += qs[i] * qs[i]
				lt += qt[i] * qt[i]
			}
			var d float64
			for i := range qs {
				d += math.Pow(qs[i]/math.Sqrt(ls)-qt[i]/math.Sqrt(lt), 2)
			}
			if form == loss.Code {
				total += d / float64(pixels)
			} else {
				total += math.Sqrt(d) / 2
			}
		}
		return []float64{total / float64(batch)}
	}
}

// TestLossesAgainstTheirEquations runs the losses through the operators'
// checks: value in both element types, three orders of derivatives, plans, and
// Gorgonia's stock machine.
func TestLossesAgainstTheirEquations(t *testing.T) {
	logits := optest.Input{Shape: tensor.Shape{3, 4}, Low: -3, High: 3}
	teacher := optest.Input{Shape: tensor.Shape{3, 4}, Low: -3, High: 3, Fixed: true}
	target := optest.Input{Shape: tensor.Shape{3, 4}, Low: 0.1, High: 0.4, Fixed: true}
	tap := optest.Input{Shape: tensor.Shape{2, 2, 3, 4}}
	maps := optest.Input{Shape: tensor.Shape{2, 2, 3}, Low: 0.1, High: 1, Fixed: true}
	ce := func(smoothing float64) func(in gorgonia.Nodes) (*gorgonia.Node, error) {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return loss.CE(in[0], in[1], smoothing) }
	}
	at := func(form loss.Form) func(in gorgonia.Nodes) (*gorgonia.Node, error) {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) {
			return loss.Attention(in[0], in[1], loss.AttentionConfig{Form: form})
		}
	}
	for _, c := range []optest.Case{
		{Name: "cross-entropy", Inputs: []optest.Input{logits, target}, Build: ce(0), Reference: ceLoops(4, 0)},
		{Name: "cross-entropy with smoothing", Inputs: []optest.Input{logits, target}, Build: ce(0.2), Reference: ceLoops(4, 0.2)},
		{Name: "distillation", Inputs: []optest.Input{logits, teacher},
			Build:     func(in gorgonia.Nodes) (*gorgonia.Node, error) { return loss.KD(in[0], in[1], 4) },
			Reference: kdLoops(4, 4)},
		{Name: "distillation of a batch of one", Inputs: []optest.Input{{Shape: tensor.Shape{1, 3}}, {Shape: tensor.Shape{1, 3}, Fixed: true}},
			Build:     func(in gorgonia.Nodes) (*gorgonia.Node, error) { return loss.KD(in[0], in[1], 1) },
			Reference: kdLoops(3, 1)},
		{Name: "attention as in the authors' program", Inputs: []optest.Input{tap, maps}, Build: at(""), Reference: attentionLoops(2, 6, 4, loss.Code)},
		{Name: "attention as in the paper", Inputs: []optest.Input{tap, maps}, Build: at(loss.Paper), Reference: attentionLoops(2, 6, 4, loss.Paper)},
	} {
		t.Run(c.Name, func(t *testing.T) {
			optest.CheckValue(t, c)
			optest.CheckFloat32(t, c)
			optest.CheckPlans(t, c)
			optest.CheckTapeMachine(t, c)
			optest.CheckGradient(t, c)
			optest.CheckSecondOrder(t, c)
			optest.CheckThirdOrder(t, c)
		})
	}
}

func TestLossesAtTheirEdges(t *testing.T) {
	kd := func(temperature float64) func(in gorgonia.Nodes) (*gorgonia.Node, error) {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) { return loss.KD(in[0], in[1], temperature) }
	}
	at := func(form loss.Form) func(in gorgonia.Nodes) (*gorgonia.Node, error) {
		return func(in gorgonia.Nodes) (*gorgonia.Node, error) {
			return loss.Attention(in[0], in[1], loss.AttentionConfig{Form: form})
		}
	}
	matrix := func(v ...float64) optest.Input { return optest.Input{Shape: tensor.Shape{1, len(v)}, Values: v} }
	// A tap of one channel whose squares are the map.
	tap := func(v ...float64) optest.Input { return optest.Input{Shape: tensor.Shape{1, 1, len(v), 1}, Values: v} }
	maps := func(v ...float64) optest.Input { return optest.Input{Shape: tensor.Shape{1, 1, len(v)}, Values: v} }
	for _, c := range []struct {
		name     string
		build    func(in gorgonia.Nodes) (*gorgonia.Node, error)
		inputs   []optest.Input
		value    float64
		gradient []float64
	}{
		{"agreeing logits cost nothing", kd(4), []optest.Input{matrix(1, 2, -3), matrix(1, 2, -3)}, 0, []float64{0, 0, 0}},
		{"a constant added to the logits changes nothing", kd(4), []optest.Input{matrix(1, 2, -3), matrix(101, 102, 97)}, 0, []float64{0, 0, 0}},
		// The student is certain of the wrong class: log p of the right one is -2000.
		{"logits that overflow exp stay finite", kd(1), []optest.Input{matrix(1000, -1000), matrix(-1000, 1000)}, 2000, []float64{1, -1}},
		{"agreeing maps cost nothing, as in the authors' program", at(loss.Code), []optest.Input{tap(1, 2, 3), maps(1, 4, 9)}, 0, []float64{0, 0, 0}},
		{"agreeing maps have a derivative of zero, as in the paper", at(loss.Paper), []optest.Input{tap(1, 2, 3), maps(1, 4, 9)}, 0, []float64{0, 0, 0}},
		{"the teacher's map counts up to a factor", at(loss.Code), []optest.Input{tap(1, 2, 3), maps(1e-3, 4e-3, 9e-3)}, 0, []float64{0, 0, 0}},
		// Q̂_S is 0 and Q̂_T has length 1, so the mean square is 1/2.
		{"a dead tap learns nothing and breaks nothing", at(loss.Code), []optest.Input{tap(0, 0), maps(3, 4)}, 0.5, []float64{0, 0}},
		{"a dead teacher's map breaks nothing", at(loss.Code), []optest.Input{tap(2, 0), maps(0, 0)}, 0.5, []float64{0, 0}},
		{"a dead tap and a dead map agree, as in the paper", at(loss.Paper), []optest.Input{tap(0, 0), maps(0, 0)}, 0, []float64{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
				value, gradient := evaluate(t, optest.Case{Name: c.name, Inputs: c.inputs, Build: c.build}, dt)
				tolerance := golden
				if dt == tensor.Float32 {
					tolerance = optest.Close32
				}
				if err := optest.Compare([]float64{value}, []float64{c.value}, tolerance); err != nil {
					t.Errorf("%v: value: %v", dt, err)
				}
				if err := optest.Compare(gradient, c.gradient, tolerance); err != nil {
					t.Errorf("%v: gradient: %v", dt, err)
				}
			}
		})
	}
}

// TestKDGradientDoesNotShrinkWithTheTemperature pins the factor T²: without it
// a temperature of 40 would divide the gradient by 1600.
func TestKDGradientDoesNotShrinkWithTheTemperature(t *testing.T) {
	length := func(temperature float64) float64 {
		_, g := evaluate(t, optest.Case{
			Name:   "two logits",
			Inputs: []optest.Input{{Shape: tensor.Shape{1, 3}, Values: []float64{0.3, -0.1, 0}}, {Shape: tensor.Shape{1, 3}, Values: []float64{0, 0.2, -0.4}}},
			Build:  func(in gorgonia.Nodes) (*gorgonia.Node, error) { return loss.KD(in[0], in[1], temperature) },
		}, tensor.Float64)
		var s float64
		for _, v := range g {
			s += v * v
		}
		return math.Sqrt(s)
	}
	if cold, hot := length(1), length(40); hot < 0.5*cold || hot > 2*cold {
		t.Errorf("the gradient's length is %.3g at temperature 1 and %.3g at 40; they should be alike", cold, hot)
	}
}

// TestPoolingANormalisedMap holds Attention's promise that a teacher's map may
// come normalised where it is pooled as well.
func TestPoolingANormalisedMap(t *testing.T) {
	value := func(scale func(sample int) float64) float64 {
		maps := optest.Input{Shape: tensor.Shape{2, 5, 6}, Low: 0.1, High: 1, Fixed: true}
		data := (optest.Case{Name: "map", Inputs: []optest.Input{maps}}).Data()[0]
		for i := range data {
			data[i] *= scale(i / 30)
		}
		maps.Values = data
		v, _ := evaluate(t, optest.Case{
			Name:   "pooled",
			Inputs: []optest.Input{{Shape: tensor.Shape{2, 3, 4, 2}}, maps},
			Build: func(in gorgonia.Nodes) (*gorgonia.Node, error) {
				return loss.Attention(in[0], in[1], loss.AttentionConfig{})
			},
		}, tensor.Float64)
		return v
	}
	raw := value(func(int) float64 { return 1 })
	scaled := value(func(sample int) float64 { return []float64{0.01, 250}[sample] })
	if err := optest.Compare([]float64{scaled}, []float64{raw}, golden); err != nil {
		t.Errorf("maps of other lengths: %v", err)
	}
}

func scalar(g *gorgonia.ExprGraph, name string, v float32) *gorgonia.Node {
	return gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithValue(gorgonia.NewF32(v)))
}

func TestTotal(t *testing.T) {
	g := gorgonia.NewGraph()
	x := scalar(g, "x", 3)
	square, err := op.Square(x)
	if err != nil {
		t.Fatal(err)
	}
	weight := scalar(g, "weight", 0.5)
	total, err := loss.Total([]loss.Term{{Name: "ce", Node: x}, {Name: "at/group1", Node: square, Weight: weight}})
	if err != nil {
		t.Fatal(err)
	}
	grads, err := gorgonia.Grad(total, x)
	if err != nil {
		t.Fatal(err)
	}
	p, err := optest.Compile(total, grads[0], x, square)
	if err != nil {
		t.Fatal(err)
	}
	// The weight decays between runs of one graph: x + w·x² and 1 + 2wx at 3.
	for _, c := range []struct{ weight, total, gradient float64 }{{0.5, 7.5, 4}, {0.25, 5.25, 2.5}, {0, 3, 1}} {
		*weight.Value().(*gorgonia.F32) = gorgonia.F32(c.weight)
		out, err := p.Floats()
		if err != nil {
			t.Fatal(err)
		}
		got := []float64{out[0][0], out[1][0], out[2][0], out[3][0]}
		if err := optest.Compare(got, []float64{c.total, c.gradient, 3, 9}, optest.Exact); err != nil {
			t.Errorf("weight %v: total, gradient, ce, at: %v", c.weight, err)
		}
	}
}

func TestTotalOfOneTermIsTheTerm(t *testing.T) {
	x := scalar(gorgonia.NewGraph(), "x", 3)
	total, err := loss.Total([]loss.Term{{Name: "ce", Node: x}})
	if err != nil || total != x {
		t.Errorf("got %v, %v, want the term's own node", total, err)
	}
}

func TestLossesRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	input := func(name string, shape ...int) *gorgonia.Node {
		return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...))
	}
	z, other := input("z", 2, 3), input("other", 2, 4)
	z64 := gorgonia.NewTensor(g, tensor.Float64, 2, gorgonia.WithName("z64"), gorgonia.WithShape(2, 3))
	tap, maps := input("tap", 2, 4, 4, 8), input("map", 2, 4, 4)
	one := scalar(g, "one", 1)
	attention := func(tap, maps *gorgonia.Node, c loss.AttentionConfig) func() (*gorgonia.Node, error) {
		return func() (*gorgonia.Node, error) { return loss.Attention(tap, maps, c) }
	}
	total := func(terms ...loss.Term) func() (*gorgonia.Node, error) {
		return func() (*gorgonia.Node, error) { return loss.Total(terms) }
	}
	for _, c := range []struct {
		name string
		call func() (*gorgonia.Node, error)
		want string
	}{
		{"CE of a target of another shape", func() (*gorgonia.Node, error) { return loss.CE(z, other, 0) },
			"loss: CE wants logits and target of one shape [batch, classes], got (2, 3) and (2, 4)"},
		{"CE of nothing", func() (*gorgonia.Node, error) { return loss.CE(z, nil, 0) }, "loss: CE wants logits and target [batch, classes], got a nil node"},
		{"CE with a smoothing of one", func() (*gorgonia.Node, error) { return loss.CE(z, z, 1) },
			"loss: CE wants a label smoothing from 0 to below 1, got 1"},
		{"CE with a smoothing that is no number", func() (*gorgonia.Node, error) { return loss.CE(z, z, math.NaN()) },
			"loss: CE wants a label smoothing from 0 to below 1, got NaN"},
		{"KD of logits of other classes", func() (*gorgonia.Node, error) { return loss.KD(z, other, 4) },
			"loss: KD wants student and teacher of one shape [batch, classes], got (2, 3) and (2, 4)"},
		{"KD at temperature zero", func() (*gorgonia.Node, error) { return loss.KD(z, z, 0) }, "loss: KD wants a temperature above 0, got 0"},
		{"KD of two element types", func() (*gorgonia.Node, error) { return loss.KD(z, z64, 4) }, "they must be of one type"},
		{"a misspelt form", attention(tap, maps, loss.AttentionConfig{Form: "cod"}),
			`loss: no form of the attention loss is called "cod"; it is one of code, paper`},
		{"a misspelt map", attention(tap, maps, loss.AttentionConfig{Map: "sum2"}), `no map is called "sum2"; it is one of sum, sum^p, max^p`},
		{"a negative power", attention(tap, maps, loss.AttentionConfig{Power: -1}), "AttentionMap wants a power above zero, got -1"},
		{"a tap without channels", attention(maps, maps, loss.AttentionConfig{}),
			"loss: Attention wants a tap [batch, H, W, C] and a map [batch, H', W'] of one batch, got (2, 4, 4) and (2, 4, 4)"},
		{"a map of another batch", attention(tap, input("map1", 1, 4, 4), loss.AttentionConfig{}), "of one batch, got (2, 4, 4, 8) and (1, 4, 4)"},
		{"no tap", attention(nil, maps, loss.AttentionConfig{}), "loss: Attention wants the student's tap and the teacher's map, got a nil node"},
		{"gradients of two shapes", func() (*gorgonia.Node, error) { return loss.Gradient(tap, input("g", 2, 4, 4, 3)) },
			"loss: Gradient wants gradients of one shape [batch, H, W, C], got (2, 4, 4, 8) and (2, 4, 4, 3)"},
		{"gradients that are no images", func() (*gorgonia.Node, error) { return loss.Gradient(z, z) }, "of one shape [batch, H, W, C]"},
		{"no gradient", func() (*gorgonia.Node, error) { return loss.Gradient(nil, tap) }, "got a nil node"},
		{"the gradient by an image that is not looked at", func() (*gorgonia.Node, error) { return loss.InputGradient(one, tap) }, "loss: op: Gradient"},
		{"no terms", total(), "loss: an objective wants at least one term"},
		{"a term without a name", total(loss.Term{Node: one}), "loss: term 0 has no name"},
		{"two terms of one name", total(loss.Term{Name: "ce", Node: one}, loss.Term{Name: "ce", Node: one}), `loss: two terms are named "ce"`},
		{"a term that is no scalar", total(loss.Term{Name: "ce", Node: z}), `loss: term "ce" wants a scalar node`},
		{"a weight that is no scalar", total(loss.Term{Name: "ce", Node: one, Weight: z}), `loss: term "ce" wants a scalar weight, got shape (2, 3)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := c.call()
			if err == nil {
				t.Fatalf("got node %v, want an error with %q", n, c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %q, want one with %q", err, c.want)
			}
		})
	}
}
