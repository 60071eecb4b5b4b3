package optim

import (
	"cmp"
	"fmt"
	"math"
	"strings"
)

// Schedule gives the learning rate of each step of a run. It is a pure function
// of the step, so a resumed run asks it for the next step and needs no state.
type Schedule interface {
	// LR returns the learning rate of step, counted from zero, of total. A step
	// outside the run gets the rate of the run's nearest step; total is at
	// least one.
	LR(step, total int) float64

	// Validate reports the first setting that makes no sense.
	Validate() error

	// String describes the schedule on one line.
	String() string
}

var (
	_ Schedule = Constant{}
	_ Schedule = Step{}
	_ Schedule = Cosine{}
	_ Schedule = OneCycle{}
)

// Constant keeps one learning rate.
type Constant struct {
	// Base is the learning rate, positive.
	Base float64

	// Warmup is the share of the run, in [0, 1), over which the rate rises
	// linearly to Base. Zero is none.
	Warmup float64
}

// LR implements Schedule.
func (c Constant) LR(step, total int) float64 {
	step, total = within(step, total)
	return c.Base * ramp(step, warmupSteps(c.Warmup, total))
}

// Validate implements Schedule.
func (c Constant) Validate() error {
	return cmp.Or(positive("constant", "base", c.Base), share("constant", "warm-up", c.Warmup))
}

// String implements Schedule.
func (c Constant) String() string {
	return fmt.Sprintf("constant(lr=%v%s)", c.Base, warmupText(c.Warmup))
}

// Step multiplies the learning rate by Gamma at each milestone, as PyTorch's
// MultiStepLR does.
type Step struct {
	// Base is the learning rate before the first milestone, positive.
	Base float64

	// Milestones say when, ascending: shares of the run in (0, 1), or epochs
	// where Epochs is set. A milestone that falls between two steps takes the
	// nearest. None leaves the rate constant.
	Milestones []float64

	// Epochs is the run's length in epochs and makes the milestones epochs.
	// Zero makes them shares of the run.
	Epochs int

	// Gamma is the factor, in (0, 1].
	Gamma float64

	// Warmup is the share of the run, in [0, 1), over which the rate rises
	// linearly; milestones still count from the start of the run. Zero is none.
	Warmup float64
}

// LR implements Schedule.
func (s Step) LR(step, total int) float64 {
	step, total = within(step, total)
	lr := s.Base * ramp(step, warmupSteps(s.Warmup, total))
	for _, m := range s.Milestones {
		if s.Epochs > 0 {
			m /= float64(s.Epochs)
		}
		if float64(step) >= math.Round(m*float64(total)) {
			lr *= s.Gamma
		}
	}
	return lr
}

// Validate implements Schedule.
func (s Step) Validate() error {
	if err := cmp.Or(positive("step", "base", s.Base), share("step", "warm-up", s.Warmup)); err != nil {
		return err
	}
	if !(s.Gamma > 0 && s.Gamma <= 1) {
		return fmt.Errorf("optim: step schedule: gamma is %v; want a number in (0, 1]", s.Gamma)
	}
	if s.Epochs < 0 {
		return fmt.Errorf("optim: step schedule: the run has %d epochs; want zero (milestones are shares of the run) or more", s.Epochs)
	}
	end, unit := 1.0, "shares of the run"
	if s.Epochs > 0 {
		end, unit = float64(s.Epochs), "epochs"
	}
	last := 0.0
	for _, m := range s.Milestones {
		if !(m > last && m < end) {
			return fmt.Errorf("optim: step schedule: milestones are %v; want %s, ascending, in (0, %v)", s.Milestones, unit, end)
		}
		last = m
	}
	return nil
}

// String implements Schedule.
func (s Step) String() string {
	var at []string
	for _, m := range s.Milestones {
		if s.Epochs > 0 {
			at = append(at, fmt.Sprint(m))
		} else {
			at = append(at, percent(m))
		}
	}
	unit := ""
	if s.Epochs > 0 {
		unit = fmt.Sprintf(" of %d epochs", s.Epochs)
	}
	return fmt.Sprintf("step(lr=%v, ×%v at %s%s%s)", s.Base, s.Gamma, strings.Join(at, " "), unit, warmupText(s.Warmup))
}

// Cosine lowers the learning rate from Base to Final along half a cosine
// (Loshchilov and Hutter, ICLR 2017, arXiv 1608.03983, without restarts), as
// PyTorch's CosineAnnealingLR does: over the T steps that follow the warm-up,
//
//	lr = Final + (Base − Final)·(1 + cos(π·t/T))/2,  t = 0 … T−1
type Cosine struct {
	// Base is the first and largest learning rate, positive.
	Base float64

	// Final is the rate the curve would reach one step after the run, from 0
	// to Base.
	Final float64

	// Warmup is the share of the run, in [0, 1), over which the rate rises
	// linearly to Base before the curve starts. Zero is none.
	Warmup float64
}

// LR implements Schedule.
func (c Cosine) LR(step, total int) float64 {
	step, total = within(step, total)
	w := warmupSteps(c.Warmup, total)
	if step < w {
		return c.Base * ramp(step, w)
	}
	return c.Final + (c.Base-c.Final)*(1+math.Cos(math.Pi*float64(step-w)/float64(total-w)))/2
}

// Validate implements Schedule.
func (c Cosine) Validate() error {
	if err := cmp.Or(positive("cosine", "base", c.Base), share("cosine", "warm-up", c.Warmup)); err != nil {
		return err
	}
	if !(c.Final >= 0 && c.Final <= c.Base) {
		return fmt.Errorf("optim: cosine schedule: final is %v; want a number from 0 to base, %v", c.Final, c.Base)
	}
	return nil
}

// String implements Schedule.
func (c Cosine) String() string {
	return fmt.Sprintf("cosine(lr=%v to %v%s)", c.Base, c.Final, warmupText(c.Warmup))
}

// OneCycle raises the learning rate to Max and lowers it to almost nothing
// (Smith and Topin 2017, arXiv 1708.07120), as PyTorch's OneCycleLR does with
// two phases. The rise is the warm-up. Unlike PyTorch's default it leaves
// momentum alone (cycle_momentum=False there).
//
//	rise:  Max/Div           → Max                over steps 0 … Rise·total−1
//	fall:  Max               → Max/(Div·FinalDiv) to the last step
type OneCycle struct {
	// Max is the peak learning rate, positive.
	Max float64

	// Rise is the share of the run spent rising, in [0, 1]; pct_start in
	// PyTorch. Zero is 0.3.
	Rise float64

	// Div is the peak over the first rate, at least 1; div_factor in PyTorch.
	// Zero is 25.
	Div float64

	// FinalDiv is the first rate over the last, at least 1; final_div_factor
	// in PyTorch. Zero is 1e4.
	FinalDiv float64

	// Linear makes both phases straight lines. False is half a cosine each.
	Linear bool
}

func (o OneCycle) withDefaults() OneCycle {
	if o.Rise == 0 {
		o.Rise = 0.3
	}
	if o.Div == 0 {
		o.Div = 25
	}
	if o.FinalDiv == 0 {
		o.FinalDiv = 1e4
	}
	return o
}

// LR implements Schedule.
func (o OneCycle) LR(step, total int) float64 {
	o = o.withDefaults()
	step, total = within(step, total)
	from, to := o.Max/o.Div, o.Max
	start, end := 0.0, o.Rise*float64(total)-1
	if float64(step) > end {
		from, to = o.Max, o.Max/o.Div/o.FinalDiv
		start, end = end, float64(total-1)
	}
	if end <= start { // a phase of one step is its end
		return to
	}
	part := (float64(step) - start) / (end - start)
	if o.Linear {
		return from + (to-from)*part
	}
	return to + (from-to)/2*(1+math.Cos(math.Pi*part))
}

// Validate implements Schedule.
func (o OneCycle) Validate() error {
	o = o.withDefaults()
	if err := positive("one-cycle", "max", o.Max); err != nil {
		return err
	}
	if !(o.Rise > 0 && o.Rise <= 1) {
		return fmt.Errorf("optim: one-cycle schedule: rise is %v; want a share of the run in (0, 1]", o.Rise)
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"div", o.Div}, {"final div", o.FinalDiv}} {
		if !(f.value >= 1) || math.IsInf(f.value, 1) {
			return fmt.Errorf("optim: one-cycle schedule: %s is %v; want a finite number of at least 1", f.name, f.value)
		}
	}
	return nil
}

// String implements Schedule.
func (o OneCycle) String() string {
	o = o.withDefaults()
	shape := "cosine"
	if o.Linear {
		shape = "linear"
	}
	return fmt.Sprintf("onecycle(lr=%.4g to %v to %.4g, rise=%s, %s)", o.Max/o.Div, o.Max, o.Max/o.Div/o.FinalDiv, percent(o.Rise), shape)
}

// within moves step and total into the range a schedule is defined on.
func within(step, total int) (int, int) {
	total = max(total, 1)
	return min(max(step, 0), total-1), total
}

// warmupSteps is the number of steps below the full rate. At least one step
// stays at the full rate.
func warmupSteps(share float64, total int) int {
	return min(int(math.Round(share*float64(total))), total-1)
}

// ramp is the warm-up's factor: it rises in equal parts so that step w is the
// first at the full rate (PyTorch's LinearLR with start_factor 1/(w+1)).
func ramp(step, w int) float64 {
	if step >= w {
		return 1
	}
	return float64(step+1) / float64(w+1)
}

func warmupText(share float64) string {
	if share == 0 {
		return ""
	}
	return ", warm-up=" + percent(share)
}

func percent(share float64) string { return fmt.Sprintf("%.4g%%", 100*share) }

func positive(schedule, field string, v float64) error {
	if !(v > 0) || math.IsInf(v, 1) {
		return fmt.Errorf("optim: %s schedule: %s is %v; want a finite positive learning rate", schedule, field, v)
	}
	return nil
}

func share(schedule, field string, v float64) error {
	if !(v >= 0 && v < 1) {
		return fmt.Errorf("optim: %s schedule: %s is %v; want a share of the run in [0, 1)", schedule, field, v)
	}
	return nil
}
