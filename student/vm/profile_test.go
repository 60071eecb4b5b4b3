package vm

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/student/op"
)

func TestProfileCountsRunsAndNodes(t *testing.T) {
	n := newNet(tensor.Float32, 4, 8, 8, 2)
	m := newMachine(t, n.ExprGraph, n.outputs(), WithProfile())
	if p := m.Profile(); p.Runs != 0 || p.Time != 0 {
		t.Errorf("before the first run the profile tells of %d runs of %v", p.Runs, p.Time)
	}
	const runs = 3
	for range runs {
		run(t, m)
	}
	p := m.Profile()
	var sum time.Duration
	computed := 0
	for _, x := range p.Nodes {
		sum += x.Time
		computed += strings.Count(x.Kind, "+") + 1
		if x.Layer == "" || x.Shape == nil || x.Bytes <= 0 {
			t.Errorf("a node lacks its layer, its shape or its size: %+v", x)
		}
	}
	if p.Runs != runs || sum <= 0 || sum > p.Time {
		t.Errorf("%d runs, want %d; the nodes took %v, the runs %v", p.Runs, runs, sum, p.Time)
	}
	if computed != m.Memory().Run {
		t.Errorf("the profile has %d nodes, the machine runs %d", computed, m.Memory().Run)
	}
	nodes := 0
	kinds := p.Kinds()
	for _, k := range kinds {
		nodes += k.Nodes
		sum -= k.Time
	}
	if nodes != len(p.Nodes) || sum != 0 {
		t.Errorf("the kinds have %d nodes of %d and miss %v", nodes, len(p.Nodes), sum)
	}
	if !slices.IsSortedFunc(kinds, func(a, b KindProfile) int { return int(b.Time - a.Time) }) {
		t.Errorf("kinds are not sorted by time: %v", kinds)
	}
	run(t, newMachine(t, n.ExprGraph, n.outputs()))
	if newMachine(t, n.ExprGraph, n.outputs()).Profile() != nil {
		t.Error("a machine that measures nothing has a profile")
	}
}

func TestProfileOfAFailedRun(t *testing.T) {
	g := gorgonia.NewGraph()
	y := newLocal("fails", tensor.Shape{2}, op.Plan{Run: func(kernel.Buffer, []kernel.Buffer, kernel.Buffer) error {
		return errors.New("no luck")
	}}, must(op.Neg(vector(g, "a", 1, 2))))
	m := newMachine(t, g, gorgonia.Nodes{y}, WithProfile())
	if m.RunAll() == nil {
		t.Fatal("the run did not fail")
	}
	if p := m.Profile(); p.Runs != 0 || p.Time != 0 {
		t.Errorf("%d runs of %v, though the only one failed", p.Runs, p.Time)
	}
}

// fixed is a profile with round figures.
var fixed = Profile{
	Runs: 2, Time: 40 * time.Millisecond,
	Nodes: []NodeProfile{
		{Kind: "Conv2D", Layer: "conv", Shape: tensor.Shape{2, 4, 4, 8}, Time: 8 * time.Millisecond, FLOPs: 2e8, Bytes: 1e6},
		{Kind: "BatchStats+BatchNorm", Layer: "bn", Shape: tensor.Shape{2, 4, 4, 8}, Time: 10 * time.Millisecond, Bytes: 1e7},
		{Kind: "Conv2D", Layer: "conv2", Shape: tensor.Shape{2, 4, 4, 8}, Time: 12 * time.Millisecond, FLOPs: 3e8, Bytes: 1e6},
		{Kind: "Row", Layer: "bn", Shape: tensor.Shape{8}, Bytes: 96},
	},
}

func TestProfileTable(t *testing.T) {
	want := `2 runs of 20.000 ms each

kind                  nodes  ms/run   share  GFLOP/s  GB/s
Conv2D                    2  10.000  50.0 %     50.0
BatchStats+BatchNorm      1   5.000  25.0 %            2.0
Row                       1   0.000   0.0 %

layer  kind                  shape         ms/run   share  GFLOP/s  GB/s
conv2  Conv2D                (2, 4, 4, 8)   6.000  30.0 %     50.0
bn     BatchStats+BatchNorm  (2, 4, 4, 8)   5.000  25.0 %            2.0
conv   Conv2D                (2, 4, 4, 8)   4.000  20.0 %     50.0
bn     Row                   (8)            0.000   0.0 %
`
	var b bytes.Buffer
	if err := fixed.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := new(Profile).WriteTable(&b); err != nil || b.String() != "no run was measured\n" {
		t.Errorf("the empty profile is written as %q, error %v", b.String(), err)
	}
}

func TestProfileForPprof(t *testing.T) {
	var b bytes.Buffer
	if err := fixed.WritePprof(&b); err != nil {
		t.Fatal(err)
	}
	p, err := profile.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	if p.DurationNanos != int64(fixed.Time) || p.DefaultSampleType != "time" || p.SampleType[1].Unit != "nanoseconds" {
		t.Errorf("duration %v, sample types %v, default %q", p.DurationNanos, p.SampleType, p.DefaultSampleType)
	}
	type sample struct {
		Stack []string // the outer first
		Value []int64
	}
	var got []sample
	for _, s := range p.Sample {
		var stack []string
		for _, l := range slices.Backward(s.Location) {
			stack = append(stack, l.Line[0].Function.Name)
		}
		got = append(got, sample{stack, s.Value})
	}
	if diff := cmp.Diff([]sample{
		{[]string{"Conv2D", "conv Conv2D [2 4 4 8]"}, []int64{2, 8e6}},
		{[]string{"BatchStats+BatchNorm", "bn BatchStats+BatchNorm [2 4 4 8]"}, []int64{2, 10e6}},
		{[]string{"Conv2D", "conv2 Conv2D [2 4 4 8]"}, []int64{2, 12e6}},
		{[]string{"Row", "bn Row [8]"}, []int64{2, 0}},
	}, got); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
}

func TestLayersAreCalledAfterTheirParameters(t *testing.T) {
	g := newTestGraph(tensor.Float32, 1)
	x := g.input("image", 1, 2, 4, 4, 3)
	w, scale, shift := g.input("block/conv/weight", 1, 8, 3, 3, 3), g.input("block/bn/scale", 1, 8), g.input("block/bn/shift", 1, 8)
	h := must(op.Conv2D(x, w, op.ConvConfig{}))
	y := must(op.ReLU(must(op.BatchNorm(h, must(op.BatchStats(h)), scale, shift, 1e-5))))
	loss := must(op.Sum(must(op.Square(y))))
	grads := must(gorgonia.Grad(loss, w, scale))
	m := newMachine(t, g.ExprGraph, append(grads, loss), WithProfile())
	run(t, m)
	got := map[string]string{}
	for _, n := range m.Profile().Nodes {
		got[n.Kind] = n.Layer
		if flops := int64(2 * 2 * 2 * 2 * 8 * 27); strings.HasPrefix(n.Kind, "Conv2D") != (n.FLOPs == flops) || n.FLOPs != 0 && n.FLOPs != flops {
			t.Errorf("%s takes %d floating point operations; a convolution here %d", n.Kind, n.FLOPs, flops)
		}
	}
	for kind, want := range map[string]string{
		"Conv2D":                           "block/conv",
		"BatchStats+BatchNorm+ReLU":        "block/bn",
		"Square":                           "block/bn", // after it
		"Gate+BatchNormSums+BatchNormBack": "block/bn",
		"Conv2DBackWeights":                "block/conv", // not the image
		"Row":                              "block/bn",
	} {
		if got[kind] != want {
			t.Errorf("%s belongs to %q, want %q", kind, got[kind], want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}
