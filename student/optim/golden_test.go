package optim_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/optim"
)

// PyTorch's kernels and ours round each float32 operation, in another order
// where the processor fuses a multiply and an add: a few units in the last
// place (6e-8) over eight steps.
var close32 = cmpopts.EquateApprox(3e-6, 1e-7)

// Learning rates are float64 on both sides; PyTorch computes some by recurrence.
var close64 = cmpopts.EquateApprox(1e-12, 1e-15)

// golden is testdata/golden/optim.json, made by testdata/gen/optim_torch.py.
type golden struct {
	Names      []string
	Shapes     [][]int
	Decay      []bool
	LRs        []float64
	Weights    [][]float32
	Grads      [][][]float32 // [step][parameter]
	Optimisers map[string]struct {
		Rule              string
		Momentum          float64
		Nesterov          bool
		Beta1, Beta2, Eps float64
		WeightDecay       float64 `json:"weight_decay"`
		Clip              float64
		Weights           [][][]float32 // [step][parameter]
		Norms             []float64
		State             map[string][]float32
	}
	Schedules map[string][]float64
}

func readGolden(t *testing.T) golden {
	t.Helper()
	b, err := os.ReadFile("../../testdata/golden/optim.json")
	if err != nil {
		t.Fatalf("%v\nrun from the repository root: /usr/bin/python3 testdata/gen/optim_torch.py", err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g golden) params() []optim.Param {
	var ps []optim.Param
	for i, n := range g.Names {
		ps = append(ps, optim.Param{Name: n, Decay: g.Decay[i]})
	}
	return ps
}

func (g golden) optimiser(t *testing.T, name string) optim.Optimizer {
	t.Helper()
	c := g.Optimisers[name]
	var o optim.Optimizer
	var err error
	switch c.Rule {
	case "sgd":
		o, err = optim.NewSGD(g.params(), optim.SGDConfig{
			Momentum: c.Momentum, Nesterov: c.Nesterov, WeightDecay: c.WeightDecay, ClipNorm: c.Clip,
		})
	case "adamw":
		o, err = optim.NewAdamW(g.params(), optim.AdamWConfig{
			Beta1: c.Beta1, Beta2: c.Beta2, Epsilon: c.Eps, WeightDecay: c.WeightDecay, ClipNorm: c.Clip,
		})
	default:
		t.Fatalf("golden optimiser %q has rule %q", name, c.Rule)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// pair is a parameter and its gradient, as a graph's node would show them.
type pair struct {
	name        string
	value, grad gorgonia.Value
}

func (p *pair) Name() string                  { return p.name }
func (p *pair) Value() gorgonia.Value         { return p.value }
func (p *pair) Grad() (gorgonia.Value, error) { return p.grad, nil }

func dense(shape []int, data []float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]float32(nil), data...)))
}

// values returns fresh parameters and the function that loads step t's gradients.
func (g golden) values() ([]gorgonia.ValueGrad, func(t int)) {
	var vg []gorgonia.ValueGrad
	for i := range g.Names {
		vg = append(vg, &pair{name: g.Names[i], value: dense(g.Shapes[i], g.Weights[i])})
	}
	return vg, func(t int) {
		for i := range vg {
			vg[i].(*pair).grad = dense(g.Shapes[i], g.Grads[t][i])
		}
	}
}

func weightsOf(vg []gorgonia.ValueGrad) (w [][]float32) {
	for _, v := range vg {
		w = append(w, append([]float32(nil), v.Value().Data().([]float32)...))
	}
	return w
}

func TestOptimisersFollowPyTorch(t *testing.T) {
	g := readGolden(t)
	if len(g.Optimisers) != 8 {
		t.Errorf("golden file has %d optimisers, the generator makes 8", len(g.Optimisers))
	}
	for name, c := range g.Optimisers {
		t.Run(name, func(t *testing.T) {
			o := g.optimiser(t, name)
			vg, load := g.values()
			for step := range c.Weights {
				load(step)
				o.SetLR(g.LRs[step])
				if err := o.Step(vg); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.Weights[step], weightsOf(vg), close32); diff != "" {
					t.Fatalf("parameters after step %d (-PyTorch +ours):\n%s", step, diff)
				}
				if diff := cmp.Diff(c.Norms[step], o.GradNorm(), close32); diff != "" {
					t.Errorf("gradient norm of step %d (-PyTorch +ours):\n%s", step, diff)
				}
				for i := range vg {
					if diff := cmp.Diff(g.Grads[step][i], vg[i].(*pair).grad.Data()); diff != "" {
						t.Errorf("step %d wrote into the gradient of %s:\n%s", step, g.Names[i], diff)
					}
				}
			}
			state := o.State()
			if state.Step != len(c.Weights) {
				t.Errorf("state counts %d steps, want %d", state.Step, len(c.Weights))
			}
			got := map[string][]float32{}
			for _, s := range state.Tensors {
				got[s.Name] = s.Data
			}
			if diff := cmp.Diff(c.State, got, close32); diff != "" {
				t.Errorf("state (-PyTorch +ours):\n%s", diff)
			}
		})
	}
}

func TestResumedRunEqualsUninterrupted(t *testing.T) {
	g := readGolden(t)
	for name, c := range g.Optimisers {
		t.Run(name, func(t *testing.T) {
			run := func(restart int) ([][]float32, optim.State) {
				o := g.optimiser(t, name)
				vg, load := g.values()
				for step := range c.Weights {
					if step == restart {
						saved := o.State()
						// The old run going on must not reach the saved copy.
						other, load := g.values()
						load(step)
						o.SetLR(1)
						if err := o.Step(other); err != nil {
							t.Fatal(err)
						}
						o = g.optimiser(t, name)
						if err := o.Restore(saved); err != nil {
							t.Fatal(err)
						}
						for _, s := range saved.Tensors {
							clear(s.Data) // the optimiser must have its own copy
						}
					}
					load(step)
					o.SetLR(g.LRs[step])
					if err := o.Step(vg); err != nil {
						t.Fatal(err)
					}
				}
				return weightsOf(vg), o.State()
			}
			weights, state := run(-1)
			for _, restart := range []int{0, 1, 5} {
				w, s := run(restart)
				if diff := cmp.Diff(weights, w); diff != "" {
					t.Errorf("parameters after a restart before step %d (-uninterrupted +resumed):\n%s", restart, diff)
				}
				if diff := cmp.Diff(state, s); diff != "" {
					t.Errorf("state after a restart before step %d (-uninterrupted +resumed):\n%s", restart, diff)
				}
			}
		})
	}
}

func TestSchedulesFollowPyTorch(t *testing.T) {
	g := readGolden(t)
	cases := map[string]optim.Schedule{
		"constant":                                    optim.Constant{Base: 0.4},
		"constant after warm-up":                      optim.Constant{Base: 0.4, Warmup: 0.3},
		"step at 60, 120 and 160 of 200 epochs":       optim.Step{Base: 0.4, Milestones: []float64{60, 120, 160}, Epochs: 200, Gamma: 0.2},
		"step at half and nine tenths":                optim.Step{Base: 0.4, Milestones: []float64{0.5, 0.9}, Gamma: 0.1},
		"step after warm-up":                          optim.Step{Base: 0.4, Milestones: []float64{0.45, 0.75}, Gamma: 0.3, Warmup: 0.2},
		"cosine to zero":                              optim.Cosine{Base: 0.4},
		"cosine to a tenth after warm-up":             optim.Cosine{Base: 0.4, Final: 0.04, Warmup: 0.25},
		"one-cycle with defaults":                     optim.OneCycle{Max: 0.4},
		"one-cycle whose rise ends between steps":     optim.OneCycle{Max: 0.4, Rise: 0.25, Div: 10, FinalDiv: 100},
		"linear one-cycle":                            optim.OneCycle{Max: 0.4, Rise: 0.4, Linear: true},
		"one-cycle whose rise is shorter than a step": optim.OneCycle{Max: 0.4, Rise: 0.1},
		"one-cycle that only rises":                   optim.OneCycle{Max: 0.4, Rise: 1},
	}
	if len(cases) != len(g.Schedules) {
		t.Errorf("%d schedules are compared, the golden file has %d", len(cases), len(g.Schedules))
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			if err := s.Validate(); err != nil {
				t.Error(err)
			}
			want := g.Schedules[name]
			var got []float64
			for step := range want {
				got = append(got, s.LR(step, len(want)))
			}
			if diff := cmp.Diff(want, got, close64); diff != "" {
				t.Errorf("%v (-PyTorch +ours):\n%s", s, diff)
			}
		})
	}
}
