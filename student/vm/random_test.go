package vm

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// evaluate computes every node of g by its operator's Do, in Gorgonia's own
// order, with fresh memory for every operand and result: the meaning of the
// graph, against which the machine is held.
func evaluate(g *gorgonia.ExprGraph) (map[*gorgonia.Node]gorgonia.Value, error) {
	order, err := gorgonia.Sort(g)
	if err != nil {
		return nil, err
	}
	values := map[*gorgonia.Node]gorgonia.Value{}
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		if _, isConstant := n.Op().(constantOp); n.Op() == nil || isConstant {
			values[n] = n.Value()
			continue
		}
		var in []gorgonia.Value
		for _, c := range op.Operands(n) {
			v, err := gorgonia.CloneValue(values[c])
			if err != nil {
				return nil, err
			}
			in = append(in, v)
		}
		if values[n], err = n.Op().Do(in...); err != nil {
			return nil, fmt.Errorf("%v: %w", n, err)
		}
	}
	return values, nil
}

// bitsOf returns the bits of v's elements, so that NaN equals NaN.
func bitsOf(t *testing.T, v gorgonia.Value) (bits []uint64) {
	t.Helper()
	if v == nil {
		t.Fatal("no value")
	}
	if d, ok := v.(*tensor.Dense); ok && d.RequiresIterator() {
		v = d.Materialize().(*tensor.Dense)
	}
	b, err := op.BufferOf(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range b.F32 {
		bits = append(bits, uint64(math.Float32bits(x)))
	}
	for _, x := range b.F64 {
		bits = append(bits, math.Float64bits(x))
	}
	return bits
}

// randomGraph grows a graph of n operator nodes over tensors of a few shapes,
// so that values of equal and of different sizes live and die in every order,
// with operators of ours that may write in place, that may not and that need
// scratch memory, stock operators, scalars, repeated operands and gradients.
// It returns the nodes that may be outputs.
func randomGraph(g *testGraph, n int) gorgonia.Nodes {
	var (
		maps  = gorgonia.Nodes{g.input("x", 1, 2, 4, 4, 3), g.input("y", 1, 2, 4, 4, 3)}
		rows  = gorgonia.Nodes{g.input("z", 1, 2, 48)}
		vecs  = gorgonia.Nodes{g.input("b", 1, 3), g.input("s", 1, 3)}
		reals = gorgonia.Nodes{}
		w     = g.input("w", 0.3, 3, 3, 3, 3)
		v     = g.input("v", 0.2, 48, 48)
		wide  = g.input("wide", 1, 48)
		all   gorgonia.Nodes
	)
	// Recent nodes are likelier, so that chains grow deep enough to reuse memory.
	pick := func(from gorgonia.Nodes) *gorgonia.Node {
		back := min(g.random.IntN(len(from)), g.random.IntN(len(from)))
		return from[len(from)-1-back]
	}
	unary := []func(*gorgonia.Node) (*gorgonia.Node, error){
		op.ReLU, op.Neg, op.Abs,
		func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.Scale(x, 0.7) },
		func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.AddScalar(x, 0.1) },
		gorgonia.Tanh, gorgonia.Square,
	}
	binary := []func(a, b *gorgonia.Node) (*gorgonia.Node, error){
		op.Add, op.Sub, op.Mul, op.Gate,
		func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Add(a, b) },
		func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.HadamardProd(a, b) },
	}
	pool := op.PoolConfig{Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}}
	// Chains whose values in between nobody else uses, unless an output does:
	// what is fused.
	var between gorgonia.Nodes
	then := func(n *gorgonia.Node, steps ...func(x *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
		for _, step := range steps {
			if g.random.IntN(2) == 0 {
				continue
			}
			between = append(between, n)
			var err error
			if n, err = step(n); err != nil {
				return nil, err
			}
		}
		return n, nil
	}
	sum := func(from *gorgonia.Nodes) func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) {
			other := pick(*from)
			if g.random.IntN(2) == 0 {
				return op.Add(other, x)
			}
			return gorgonia.Add(x, other)
		}
	}
	norm := func() (*gorgonia.Node, error) {
		x := pick(maps)
		stats, err := op.BatchStats(x)
		if err != nil {
			return nil, err
		}
		return op.BatchNorm(x, stats, pick(vecs), pick(vecs), 0.1)
	}
	grow := []func() (*gorgonia.Node, *gorgonia.Nodes, error){
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := then(must(norm()), sum(&maps), op.ReLU)
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.ReLU(must(norm()))
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.BatchNormInference(pick(maps), must(op.BatchStats(pick(maps))), pick(vecs), pick(vecs), 0.1)
			if err == nil {
				y, err = then(y, sum(&maps), op.ReLU)
			}
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.Conv2D(pick(maps), w, op.ConvConfig{Pad: [4]int{1, 1, 1, 1}})
			if err == nil {
				y, err = then(y, func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.AddBias(x, pick(vecs)) }, sum(&maps), op.ReLU)
			}
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.Dense(pick(rows), v)
			if err == nil {
				y, err = then(y, func(x *gorgonia.Node) (*gorgonia.Node, error) { return op.AddBias(x, wide) }, sum(&rows), op.ReLU)
			}
			return y, &rows, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := unary[g.random.IntN(len(unary))](pick(maps))
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := binary[g.random.IntN(len(binary))](pick(maps), pick(maps))
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := unary[g.random.IntN(len(unary))](pick(rows))
			return y, &rows, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := binary[g.random.IntN(len(binary))](pick(vecs), pick(vecs))
			return y, &vecs, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := norm()
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.MaxPool(pick(maps), pool)
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.AveragePool(pick(maps), pool)
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.AddBias(pick(maps), pick(vecs))
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.SumChannels(pick(maps))
			return y, &vecs, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.Flatten(pick(maps))
			return y, &rows, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.Reshape(pick(rows), 2, 4, 4, 3)
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := gorgonia.Reshape(pick(maps), tensor.Shape{2, 48})
			return y, &rows, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := op.L2Normalize(pick(rows), 0.1)
			return y, &rows, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			x := pick(maps)
			y, err := op.AttentionMap(x, op.MapSumPow, 2)
			if err == nil {
				y, err = op.BroadcastRows(y, x.Shape()[3])
			}
			return y, &maps, err
		},
		func() (*gorgonia.Node, *gorgonia.Nodes, error) { y, err := op.Mean(pick(rows)); return y, &reals, err },
		func() (*gorgonia.Node, *gorgonia.Nodes, error) {
			y, err := gorgonia.Sum(pick(maps))
			return y, &reals, err
		},
	}
	for len(all) < n {
		y, kind, err := grow[g.random.IntN(len(grow))]()
		if err != nil {
			panic(err)
		}
		*kind = append(*kind, y)
		all = append(all, y)
	}
	// A loss over several late values, differentiated: the graph's second half
	// then uses the first half's values once more, in reverse.
	loss := must(op.Sum(pick(maps)))
	for range 3 {
		loss = must(op.Add(loss, must(op.Mean(must(op.Square(pick(maps)))))))
	}
	if g.random.IntN(3) == 0 {
		// A gradient inside the loss.
		inner := must(op.Mean(must(op.Square(must(op.AddScalar(pick(maps), 0.1))))))
		if slopes, err := op.Gradient(inner, g.inputs[g.random.IntN(2)]); err == nil {
			loss = must(op.Add(loss, must(op.Mean(must(op.Square(slopes[0]))))))
		}
	}
	all = append(all, between...)
	var reached gorgonia.Nodes
	below := map[*gorgonia.Node]bool{}
	var walk func(*gorgonia.Node)
	walk = func(n *gorgonia.Node) {
		if !below[n] {
			below[n] = true
			for _, c := range op.Operands(n) {
				walk(c)
			}
		}
	}
	walk(loss)
	for _, in := range g.inputs {
		if below[in] {
			reached = append(reached, in)
		}
	}
	grads, err := gorgonia.Grad(loss, reached...)
	if err != nil {
		return append(all, loss) // an input that only a Gate's condition reaches has no gradient
	}
	return append(append(all, loss), grads...)
}

// The key test of the planner: whatever the graph and whichever nodes are
// wanted, values that share memory come out as if each had its own. Memory that
// a step may not read is filled with NaN, so that reading it shows.
func TestRandomGraphsComeOutAsWithoutSharing(t *testing.T) {
	graphs := 150
	if testing.Short() {
		graphs = 30
	}
	var total Memory
	var outputsSeen, nonFinite int
	for seed := range uint64(graphs) {
		dt := tensor.Float32
		if seed%3 == 2 {
			dt = tensor.Float64
		}
		t.Run(fmt.Sprintf("graph %d of %v", seed, dt), func(t *testing.T) {
			g := newTestGraph(dt, seed)
			nodes := randomGraph(g, 10+g.random.IntN(70))
			var outputs gorgonia.Nodes
			for range 1 + g.random.IntN(4) {
				outputs = append(outputs, nodes[g.random.IntN(len(nodes))])
			}
			if g.random.IntN(2) == 0 {
				outputs = append(outputs, nodes[max(len(nodes)-6, 0):]...) // the loss and its gradients
			}
			m, err := New(g.ExprGraph, outputs)
			if err != nil {
				t.Fatal(err)
			}
			m.poison = true
			for run := range 3 {
				if run > 0 { // other memory, other values
					for _, in := range g.inputs {
						if err := gorgonia.Let(in, g.draw(0.5, in.Shape()...)); err != nil {
							t.Fatal(err)
						}
					}
				}
				want, err := evaluate(g.ExprGraph)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.RunAll(); err != nil {
					t.Fatal(err)
				}
				for _, n := range outputs {
					outputsSeen++
					if checkFinite(n, must(op.BufferOf(n.Value()))) != nil {
						nonFinite++
					}
					if !slices.Equal(bitsOf(t, n.Value()), bitsOf(t, want[n])) {
						t.Fatalf("run %d: output %v is %v, want %v\nplan: %v", run, n, n.Value(), want[n], m.Memory())
					}
				}
			}
			mem := m.Memory()
			if mem.Planned < mem.Least || mem.Planned > mem.Unshared {
				t.Errorf("plan makes no sense: %+v", mem)
			}
			total.Planned += mem.Planned
			total.Unshared += mem.Unshared
			total.Least += mem.Least
			total.Run += mem.Run
			total.Pruned += mem.Pruned
			total.InPlace += mem.InPlace
			total.Fused += mem.Fused
			total.Foreign += mem.Foreign
		})
	}
	t.Log(total)
	// The graphs must exercise what the test is about, with values that tell a
	// wrong read from a right one.
	if nonFinite*20 > outputsSeen {
		t.Errorf("%d of %d outputs are not finite and so hide a read of poisoned memory", nonFinite, outputsSeen)
	}
	if total.InPlace < total.Run/20 || total.Foreign < total.Run/40 || total.Pruned < total.Run/20 || total.Fused < total.Run/20 || 2*total.Planned > total.Unshared {
		t.Errorf("the graphs hardly test the planner: %+v", total)
	}
}
