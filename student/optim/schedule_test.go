package optim_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/onnxdistill/onnxdistill/student/optim"
)

func TestSchedulesRefuseSettingsThatMakeNoSense(t *testing.T) {
	cases := []struct {
		name     string
		schedule optim.Schedule
		want     string
	}{
		{"constant without a rate", optim.Constant{}, "constant schedule: base is 0"},
		{"constant that only warms up", optim.Constant{Base: 1, Warmup: 1}, "warm-up is 1"},
		{"step with a NaN rate", optim.Step{Base: math.NaN(), Gamma: 0.1}, "base is NaN"},
		{"step without gamma", optim.Step{Base: 1}, "gamma is 0"},
		{"step with a negative warm-up", optim.Step{Base: 1, Gamma: 1, Warmup: -0.1}, "warm-up is -0.1"},
		{"step with milestones out of order", optim.Step{Base: 1, Gamma: 0.1, Milestones: []float64{0.5, 0.25}}, "[0.5 0.25]; want shares of the run, ascending, in (0, 1)"},
		{"step with epochs taken for shares", optim.Step{Base: 1, Gamma: 0.1, Milestones: []float64{60}}, "[60]; want shares of the run"},
		{"step with a milestone after the run", optim.Step{Base: 1, Gamma: 0.1, Epochs: 50, Milestones: []float64{60}}, "[60]; want epochs, ascending, in (0, 50)"},
		{"step with negative epochs", optim.Step{Base: 1, Gamma: 0.1, Epochs: -1}, "-1 epochs"},
		{"cosine that ends above its start", optim.Cosine{Base: 1, Final: 2}, "final is 2"},
		{"cosine with an infinite rate", optim.Cosine{Base: math.Inf(1)}, "base is +Inf"},
		{"one-cycle without a rate", optim.OneCycle{}, "max is 0"},
		{"one-cycle that rises for longer than the run", optim.OneCycle{Max: 1, Rise: 1.5}, "rise is 1.5"},
		{"one-cycle that starts above its peak", optim.OneCycle{Max: 1, Div: 0.5}, "div is 0.5"},
		{"one-cycle that ends above its start", optim.OneCycle{Max: 1, FinalDiv: 0.5}, "final div is 0.5"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, c.schedule.Validate(), "optim: ", c.want)
		})
	}
}

// Every schedule gives a finite rate between zero and its peak for runs of any
// length, and outside the run the rate of the nearest step.
func TestSchedulesAreDefinedEverywhere(t *testing.T) {
	const peak = 0.4
	for _, s := range []optim.Schedule{
		optim.Constant{Base: peak, Warmup: 0.99},
		optim.Step{Base: peak, Gamma: 0.1, Milestones: []float64{0.001, 0.999}, Warmup: 0.5},
		optim.Step{Base: peak, Gamma: 0.1, Milestones: []float64{1, 199}, Epochs: 200},
		optim.Cosine{Base: peak, Warmup: 0.99},
		optim.OneCycle{Max: peak},
		optim.OneCycle{Max: peak, Rise: 0.001},
		optim.OneCycle{Max: peak, Rise: 1, Linear: true},
		optim.OneCycle{Max: peak, Rise: 0.5},
	} {
		t.Run(s.String(), func(t *testing.T) {
			for _, total := range []int{-1, 0, 1, 2, 3, 4, 7, 100} {
				for step := -1; step <= total+1; step++ {
					lr := s.LR(step, total)
					if !(lr >= 0 && lr <= peak*(1+1e-15)) {
						t.Fatalf("rate of step %d of %d is %v, want it in [0, %v]", step, total, lr, peak)
					}
				}
				if first := s.LR(0, total); s.LR(-5, total) != first {
					t.Errorf("rate before a run of %d is %v, want the first step's, %v", total, s.LR(-5, total), first)
				}
				if last := s.LR(max(total-1, 0), total); s.LR(total+5, total) != last {
					t.Errorf("rate after a run of %d is %v, want the last step's, %v", total, s.LR(total+5, total), last)
				}
			}
		})
	}
}

func TestMilestonesAndWarmupFallOnWholeSteps(t *testing.T) {
	cases := []struct {
		name        string
		schedule    optim.Schedule
		step, total int
		want        float64
	}{
		{"a milestone between two steps takes the nearest", optim.Step{Base: 1, Gamma: 0.5, Milestones: []float64{0.23}}, 2, 10, 0.5},
		{"and not the one before", optim.Step{Base: 1, Gamma: 0.5, Milestones: []float64{0.23}}, 1, 10, 1},
		// 0.07·100 is 7.000000000000001 in float64.
		{"rounding of the product does not delay a milestone", optim.Step{Base: 1, Gamma: 0.5, Milestones: []float64{0.07}}, 7, 100, 0.5},
		{"an epoch's milestone is its first step", optim.Step{Base: 1, Gamma: 0.5, Milestones: []float64{7}, Epochs: 15}, 7 * 391, 15 * 391, 0.5},
		{"and not the step before", optim.Step{Base: 1, Gamma: 0.5, Milestones: []float64{7}, Epochs: 15}, 7*391 - 1, 15 * 391, 1},
		{"a warm-up leaves the last step its full rate", optim.Constant{Base: 1, Warmup: 0.99}, 1, 2, 1},
		{"a run of one step has no warm-up", optim.Constant{Base: 1, Warmup: 0.99}, 0, 1, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.schedule.LR(c.step, c.total); got != c.want {
				t.Errorf("%v: rate of step %d of %d is %v, want %v", c.schedule, c.step, c.total, got, c.want)
			}
		})
	}
}

func ExampleSchedule() {
	for _, s := range []optim.Schedule{
		optim.Constant{Base: 0.1},
		optim.Step{Base: 0.1, Milestones: []float64{60, 120, 160}, Epochs: 200, Gamma: 0.2},
		optim.Step{Base: 0.1, Milestones: []float64{0.5, 0.75}, Gamma: 0.1, Warmup: 0.05},
		optim.Cosine{Base: 0.1, Warmup: 0.1},
		optim.OneCycle{Max: 0.2},
	} {
		fmt.Printf("%v: %.3g %.3g %.3g\n", s, s.LR(0, 100), s.LR(50, 100), s.LR(99, 100))
	}
	// Output:
	// constant(lr=0.1): 0.1 0.1 0.1
	// step(lr=0.1, ×0.2 at 60 120 160 of 200 epochs): 0.1 0.02 0.0008
	// step(lr=0.1, ×0.1 at 50% 75%, warm-up=5%): 0.0167 0.01 0.001
	// cosine(lr=0.1 to 0, warm-up=10%): 0.00909 0.0587 3.05e-05
	// onecycle(lr=0.008 to 0.2 to 8e-07, rise=30%, cosine): 0.008 0.159 8e-07
}
