package op_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// fusionCase is a graph over inputs of a few shapes, and what of it is fused.
type fusionCase struct {
	name  string
	build func(in map[string]*gorgonia.Node) (outputs gorgonia.Nodes)
	want  []string
}

// take is for building graphs that are known to be right.
func take(n *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		panic(err)
	}
	return n
}

// bn normalises in["x"] or another value by statistics of its own.
func bn(in map[string]*gorgonia.Node, x *gorgonia.Node) *gorgonia.Node {
	return take(op.BatchNorm(x, take(op.BatchStats(x)), in["scale"], in["shift"], 1e-5))
}

func conv(in map[string]*gorgonia.Node) *gorgonia.Node {
	return take(op.Conv2D(in["x"], in["w"], op.ConvConfig{Pad: [4]int{1, 1, 1, 1}}))
}

func derived(loss *gorgonia.Node, wrt ...*gorgonia.Node) gorgonia.Nodes {
	grads, err := gorgonia.Grad(loss, wrt...)
	if err != nil {
		panic(err)
	}
	return append(gorgonia.Nodes{loss}, grads...)
}

func TestFusions(t *testing.T) {
	relu := func(x *gorgonia.Node) *gorgonia.Node { return take(op.ReLU(x)) }
	sum := func(x *gorgonia.Node) *gorgonia.Node { return take(op.Sum(take(op.Square(x)))) }
	cases := []fusionCase{
		{"normalisation alone", func(in map[string]*gorgonia.Node) gorgonia.Nodes { return gorgonia.Nodes{bn(in, in["x"])} },
			[]string{"BatchStats+BatchNorm"}},
		{"normalisation, sum and ReLU", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{relu(take(op.Add(in["y"], bn(in, in["x"]))))}
		}, []string{"BatchStats+BatchNorm+Add+ReLU"}},
		{"sum that is wanted itself", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			y := take(op.Add(in["y"], bn(in, in["x"])))
			return gorgonia.Nodes{relu(y), y}
		}, []string{"BatchStats+BatchNorm+Add"}},
		{"sum with itself", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			y := bn(in, in["x"])
			return gorgonia.Nodes{take(op.Add(y, y))}
		}, []string{"BatchStats+BatchNorm"}},
		{"sum of two normalisations", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{take(op.Add(bn(in, in["x"]), bn(in, in["y"])))}
		}, []string{"BatchStats+BatchNorm+Add", "BatchStats+BatchNorm"}},
		{"statistics of another value", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{relu(take(op.BatchNorm(in["x"], take(op.BatchStats(in["y"])), in["scale"], in["shift"], 1e-5)))}
		}, nil},
		{"inference", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{relu(take(op.BatchNormInference(in["x"], in["running"], in["scale"], in["shift"], 1e-5)))}
		}, []string{"BatchNormInference+ReLU"}},
		{"inference alone", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{take(op.BatchNormInference(in["x"], in["running"], in["scale"], in["shift"], 1e-5))}
		}, nil},
		{"convolution", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{relu(take(gorgonia.Add(take(op.AddBias(conv(in), in["shift"])), in["y"])))}
		}, []string{"Conv2D+AddBias+Add+ReLU"}},
		{"convolution that is used twice", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			y := conv(in)
			return gorgonia.Nodes{relu(y), take(op.Neg(y))}
		}, nil},
		{"bias after a sum", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{take(op.AddBias(take(op.Add(conv(in), in["y"])), in["shift"]))}
		}, []string{"Conv2D+Add"}},
		{"dense layer", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{relu(take(op.AddBias(take(op.Dense(in["rows"], in["dense"])), in["shift"])))}
		}, []string{"Dense+AddBias+ReLU"}},
		{"derivative", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return derived(sum(relu(bn(in, in["x"]))), in["x"], in["scale"])
		}, []string{"BatchStats+BatchNorm+ReLU", "Gate+BatchNormSums+BatchNormBack"}},
		{"derivative that meets another", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return derived(take(op.Add(sum(relu(bn(in, in["x"]))), sum(in["x"]))), in["x"])
		}, []string{"BatchStats+BatchNorm+ReLU", "Gate+BatchNormSums+BatchNormBack+Add"}},
		{"derivative without ReLU that meets another", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return derived(take(op.Add(sum(bn(in, in["x"])), sum(in["x"]))), in["x"])
		}, []string{"BatchStats+BatchNorm", "BatchNormSums+BatchNormBack+Add"}},
		{"derivative without ReLU", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return derived(sum(bn(in, in["x"])), in["x"])
		}, []string{"BatchStats+BatchNorm"}},
		{"derivative gated by another normalisation", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			stats := take(op.BatchStats(in["x"]))
			other := relu(take(op.BatchNorm(in["x"], stats, in["shift"], in["scale"], 1e-5)))
			gated := take(op.Gate(other, take(op.BatchNorm(in["x"], stats, in["scale"], in["shift"], 1e-5))))
			return derived(sum(gated), in["x"])
		}, []string{"BatchStats+BatchNorm+ReLU"}},
		{"attention's derivative that meets another", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return derived(take(op.Add(sum(take(op.AttentionMap(in["x"], op.MapSumPow, 2))), sum(in["x"]))), in["x"])
		}, []string{"AttentionSpread+Add"}},
		{"ReLU of a sum", func(in map[string]*gorgonia.Node) gorgonia.Nodes {
			return derived(sum(relu(take(op.Add(bn(in, in["x"]), in["y"])))), in["x"])
		}, []string{"BatchStats+BatchNorm+Add+ReLU"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			in := map[string]*gorgonia.Node{}
			for _, x := range []struct {
				name  string
				shape tensor.Shape
			}{
				{"x", tensor.Shape{2, 4, 4, 3}}, {"y", tensor.Shape{2, 4, 4, 3}}, {"w", tensor.Shape{3, 3, 3, 3}},
				{"scale", tensor.Shape{3}}, {"shift", tensor.Shape{3}}, {"running", tensor.Shape{2, 3}},
				{"rows", tensor.Shape{2, 5}}, {"dense", tensor.Shape{3, 5}},
			} {
				in[x.name] = gorgonia.NewTensor(g, tensor.Float32, len(x.shape), gorgonia.WithName(x.name), gorgonia.WithShape(x.shape...))
			}
			outputs := c.build(in)
			var got []string
			for _, group := range op.Fusions(sorted(outputs), outputs) {
				got = append(got, fmt.Sprint(group))
				for _, x := range group.Operands {
					for _, n := range group.Nodes {
						if x == n {
							t.Errorf("%v reads its own %v", group, n)
						}
					}
				}
				for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
					if _, err := group.Plan(dt); err != nil {
						t.Errorf("%v of %v: %v", group, dt, err)
					}
				}
				if _, err := group.Plan(tensor.Int); err == nil {
					t.Errorf("%v is planned for integers", group)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

// sorted returns what outputs depend on, operands before their users.
func sorted(outputs gorgonia.Nodes) (order gorgonia.Nodes) {
	seen := map[*gorgonia.Node]bool{}
	var visit func(n *gorgonia.Node)
	visit = func(n *gorgonia.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, x := range op.Operands(n) {
			visit(x)
		}
		order = append(order, n)
	}
	for _, n := range outputs {
		visit(n)
	}
	return order
}
