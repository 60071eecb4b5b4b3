package optim_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/optim"
)

// wantError fails the test unless err says all of want.
func wantError(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error is %q, want it to say %q", err, w)
		}
	}
}

var two = []optim.Param{{Name: "a", Decay: true}, {Name: "b"}}

func newSGD(t *testing.T, params []optim.Param, c optim.SGDConfig) *optim.SGD {
	t.Helper()
	o, err := optim.NewSGD(params, c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func twoValues() []gorgonia.ValueGrad {
	return []gorgonia.ValueGrad{
		&pair{"a", dense([]int{3}, []float32{1, 2, 3}), dense([]int{3}, []float32{1, 1, 1})},
		&pair{"b", dense([]int{2}, []float32{4, 5}), dense([]int{2}, []float32{1, 1})},
	}
}

func TestConstructionRefusesSettingsThatMakeNoSense(t *testing.T) {
	cases := []struct {
		name   string
		params []optim.Param
		sgd    optim.SGDConfig
		adamw  *optim.AdamWConfig
		want   string
	}{
		{"no parameters", nil, optim.SGDConfig{}, nil, "no parameters"},
		{"a parameter without a name", []optim.Param{{}}, optim.SGDConfig{}, nil, "parameter 0 has no name"},
		{"two parameters of one name", []optim.Param{{Name: "a"}, {Name: "a"}}, optim.SGDConfig{}, nil, `two parameters are named "a"`},
		{"momentum of one", two, optim.SGDConfig{Momentum: 1}, nil, "momentum is 1"},
		{"Nesterov without momentum", two, optim.SGDConfig{Nesterov: true}, nil, "Nesterov needs momentum"},
		{"negative weight decay", two, optim.SGDConfig{WeightDecay: -1}, nil, "weight decay is -1"},
		{"NaN clipping norm", two, optim.SGDConfig{ClipNorm: math.NaN()}, nil, "clipping norm is NaN"},
		{"infinite learning rate", two, optim.SGDConfig{LR: math.Inf(1)}, nil, "learning rate is +Inf"},
		{"beta of one", two, optim.SGDConfig{}, &optim.AdamWConfig{Beta2: 1}, "beta2 is 1"},
		{"negative beta", two, optim.SGDConfig{}, &optim.AdamWConfig{Beta1: -0.9}, "beta1 is -0.9"},
		{"negative epsilon", two, optim.SGDConfig{}, &optim.AdamWConfig{Epsilon: -1}, "epsilon is -1"},
		{"negative decay in AdamW", two, optim.SGDConfig{}, &optim.AdamWConfig{WeightDecay: -1}, "weight decay is -1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var err error
			if c.adamw != nil {
				_, err = optim.NewAdamW(c.params, *c.adamw)
			} else {
				_, err = optim.NewSGD(c.params, c.sgd)
			}
			wantError(t, err, "optim: ", c.want)
		})
	}
}

func TestStepErrorsNameTheParameterAndChangeNothing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	cases := []struct {
		name  string
		lr    float64
		spoil func([]gorgonia.ValueGrad) []gorgonia.ValueGrad
		want  []string
		is    error
	}{
		{"learning rate never set", 0, nil, []string{"call SetLR"}, nil},
		{"negative learning rate", -1, nil, []string{"learning rate is -1"}, nil},
		{"a value too few", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad { return v[:1] }, []string{"got 1 values", "2 parameters"}, nil},
		{"values in another order", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad { v[0], v[1] = v[1], v[0]; return v },
			[]string{`value 0 is "b"`, `parameter 0 is "a"`}, nil},
		{"NaN in the last gradient", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			v[1].(*pair).grad = dense([]int{2}, []float32{1, nan})
			return v
		}, []string{`"b"`, "not finite"}, optim.ErrNonFinite},
		{"infinity in the first gradient", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			v[0].(*pair).grad = dense([]int{3}, []float32{inf, 1, 1})
			return v
		}, []string{`"a"`, "not finite"}, optim.ErrNonFinite},
		{"gradient of another size", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			v[1].(*pair).grad = dense([]int{3}, []float32{1, 2, 3})
			return v
		}, []string{`"b" has 2 elements, its gradient 3`}, nil},
		{"gradient never computed", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			v[1].(*pair).grad = nil
			return v
		}, []string{`gradient of "b"`, "no value"}, nil},
		{"float64 parameter", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			v[0].(*pair).value = tensor.New(tensor.WithBacking([]float64{1, 2, 3}))
			return v
		}, []string{`"a"`, "float64", "float32"}, nil},
		{"transposed parameter", 1, func(v []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			d := dense([]int{3, 2}, make([]float32, 6))
			if err := d.T(); err != nil {
				panic(err)
			}
			v[0].(*pair).value = d
			return v
		}, []string{`"a"`, "not contiguous"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := newSGD(t, two, optim.SGDConfig{Momentum: 0.9})
			if c.lr != 0 {
				o.SetLR(c.lr)
			}
			vg := twoValues()
			a, b := vg[0].(*pair), vg[1].(*pair)
			wa, wb := a.value, b.value
			if c.spoil != nil {
				vg = c.spoil(vg)
			}
			err := o.Step(vg)
			wantError(t, err, append(c.want, "optim: ")...)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("errors.Is(%q, %q) is false", err, c.is)
			}
			if diff := cmp.Diff([]any{[]float32{1, 2, 3}, []float32{4, 5}}, []any{wa.Data(), wb.Data()}); diff != "" {
				t.Errorf("parameters changed:\n%s", diff)
			}
			if s := o.State(); s.Step != 0 || len(s.Tensors) != 0 {
				t.Errorf("state changed: %+v", s)
			}
		})
	}
}

func TestRestoreIsStrictAndAtomic(t *testing.T) {
	good := func() optim.State {
		o := newSGD(t, two, optim.SGDConfig{LR: 1, Momentum: 0.9})
		if err := o.Step(twoValues()); err != nil {
			t.Fatal(err)
		}
		return o.State()
	}
	cases := []struct {
		name  string
		spoil func(*optim.State)
		want  string
	}{
		{"negative step count", func(s *optim.State) { s.Step = -1 }, "-1 steps"},
		{"missing tensor", func(s *optim.State) { s.Tensors = s.Tensors[:1] }, `lacks "momentum/b"`},
		{"all tensors missing after a step", func(s *optim.State) { s.Tensors = nil }, `lacks "momentum/a"`},
		{"unknown tensor", func(s *optim.State) { s.Tensors = append(s.Tensors, optim.Tensor{Name: "momentum/c"}) }, `"momentum/c"`},
		{"tensor of another optimiser", func(s *optim.State) { s.Tensors = append(s.Tensors, optim.Tensor{Name: "exp_avg/a"}) }, `"exp_avg/a"`},
		{"tensor given twice", func(s *optim.State) { s.Tensors = append(s.Tensors, s.Tensors[0]) }, `"momentum/a" twice`},
		{"tensor of another size", func(s *optim.State) { s.Tensors[1].Data = make([]float32, 7) }, `"momentum/b" has 7 elements, the parameter 2`},
		{"empty tensor", func(s *optim.State) { s.Tensors[1].Data = nil }, `"momentum/b" has 0 elements, the parameter 2`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := newSGD(t, two, optim.SGDConfig{LR: 1, Momentum: 0.5})
			if err := o.Step(twoValues()); err != nil {
				t.Fatal(err)
			}
			before, s := o.State(), good()
			c.spoil(&s)
			wantError(t, o.Restore(s), "optim: ", c.want)
			if diff := cmp.Diff(before, o.State()); diff != "" {
				t.Errorf("a refused state changed the optimiser:\n%s", diff)
			}
		})
	}

	t.Run("size mismatch before the first step is found by it", func(t *testing.T) {
		for _, n := range []int{0, 7} {
			s := good()
			s.Tensors[1].Data = make([]float32, n)
			o := newSGD(t, two, optim.SGDConfig{LR: 1, Momentum: 0.5})
			if err := o.Restore(s); err != nil {
				t.Fatal(err)
			}
			wantError(t, o.Step(twoValues()), `"b" has 2 elements`, `"momentum/b"`)
		}
	})
	t.Run("state of a plain SGD does not fit one with momentum", func(t *testing.T) {
		plain := newSGD(t, two, optim.SGDConfig{LR: 1})
		if err := plain.Step(twoValues()); err != nil {
			t.Fatal(err)
		}
		wantError(t, newSGD(t, two, optim.SGDConfig{LR: 1, Momentum: 0.5}).Restore(plain.State()), `lacks "momentum/a"`)
	})
	t.Run("a fresh state starts over", func(t *testing.T) {
		o := newSGD(t, two, optim.SGDConfig{LR: 1, Momentum: 0.5})
		vg := twoValues()
		if err := o.Step(vg); err != nil {
			t.Fatal(err)
		}
		if err := o.Restore(optim.State{}); err != nil {
			t.Fatal(err)
		}
		if s := o.State(); s.Step != 0 || len(s.Tensors) != 0 {
			t.Errorf("state is %+v, want none", s)
		}
	})
}

func TestClippingIsByTheNormOfAllGradientsTogether(t *testing.T) {
	// Gradients (3, 0) and (0, 4) have norm 5 together.
	vg := []gorgonia.ValueGrad{
		&pair{"a", dense([]int{2}, []float32{0, 0}), dense([]int{2}, []float32{3, 0})},
		&pair{"b", dense([]int{2}, []float32{0, 0}), dense([]int{2}, []float32{0, 4})},
	}
	o := newSGD(t, two, optim.SGDConfig{LR: 1, ClipNorm: 1})
	if err := o.Step(vg); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]float32{{-0.6, 0}, {0, -0.8}}, weightsOf(vg), close32); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if got := o.GradNorm(); got != 5 {
		t.Errorf("GradNorm is %v, want 5: the norm before clipping", got)
	}
}

func TestScalarParametersMove(t *testing.T) {
	w, g := gorgonia.NewF32(2), gorgonia.NewF32(0.5)
	o := newSGD(t, two[:1], optim.SGDConfig{LR: 1})
	if err := o.Step([]gorgonia.ValueGrad{&pair{"a", w, g}}); err != nil {
		t.Fatal(err)
	}
	if *w != 1.5 {
		t.Errorf("scalar is %v, want 1.5", *w)
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	g := readGolden(t)
	for name := range g.Optimisers {
		t.Run(name, func(t *testing.T) {
			o := g.optimiser(t, name)
			o.SetLR(0.1)
			vg, load := g.values()
			load(0)
			if n := testing.AllocsPerRun(20, func() {
				if err := o.Step(vg); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("Step allocates %v times", n)
			}
		})
	}
}
