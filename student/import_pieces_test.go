package student_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
	"github.com/onnxdistill/onnxdistill/student/vm"
)

// compute runs an imported net once.
func compute(t *testing.T, n *student.Net, in []importertest.Array) []importertest.Array {
	t.Helper()
	for i, p := range n.Inputs {
		x := in[i].NHWC()
		v, err := optest.Value(tensor.Float32, x.Dims, x.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(p.Node, v); err != nil {
			t.Fatalf("input %s: %v", p.Name, err)
		}
	}
	var wanted gorgonia.Nodes
	for _, p := range n.Outputs {
		wanted = append(wanted, p.Node)
	}
	m, err := vm.New(n.Expr, wanted)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	var out []importertest.Array
	for _, p := range n.Outputs {
		f, err := optest.Floats(p.Node.Value())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, importertest.Array{Dims: p.Node.Shape(), Data: f}.NCHW())
	}
	return out
}

// TestOperatorsAreTranslated imports each piece at each of its opsets and
// compares what it computes with the loops; then it exports it, at the oldest
// and the newest opset, and imports that.
func TestOperatorsAreTranslated(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range importertest.Pieces() {
		if seen[c.Name] {
			t.Errorf("two pieces are called %q", c.Name)
		}
		seen[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			in := c.Data()
			for i, opset := range c.Opsets {
				m, err := c.Model(opset)
				if err != nil {
					t.Fatal(err)
				}
				n, err := student.ImportNet(m, student.NetOptions{})
				if c.Refused != "" {
					if err == nil || !strings.Contains(err.Error(), c.Refused) {
						t.Errorf("opset %d: got error %v, want one with %q", opset, err, c.Refused)
					}
					continue
				}
				if err != nil {
					t.Fatalf("opset %d: %v", opset, err)
				}
				want := c.Want(in)
				compareArrays(t, fmt.Sprintf("opset %d", opset), compute(t, n, in), want)
				if i > 0 {
					continue
				}
				for _, to := range []int64{13, 21} {
					what := fmt.Sprintf("opset %d, exported at %d and read back", opset, to)
					m, err := n.Export(student.ExportOptions{Opset: to})
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					again, err := student.ImportNet(m, student.NetOptions{})
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					compareArrays(t, what, compute(t, again, in), want)
				}
			}
		})
	}
}

func compareArrays(t *testing.T, what string, got, want []importertest.Array) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d outputs, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if !slices.Equal(got[i].Dims, w.Dims) {
			t.Errorf("%s: output %d has shape %v, want %v", what, i, got[i].Dims, w.Dims)
		} else if err := optest.Compare(got[i].Data, w.Data, optest.Close32); err != nil {
			t.Errorf("%s: output %d: %v", what, i, err)
		}
	}
}

// What exporters write out is one operator here, which has one derivative.
func TestActivationsWrittenOutAreRecognised(t *testing.T) {
	want := map[string][]string{
		"Gelu written out of [2 3 4]":           {"Gelu"},
		"Gelu written out otherwise of [2 3 4]": {"Gelu"},
		"nearly Gelu of [2 3 4]":                {"Mul", "Erf", "Add", "Mul", "Mul"},
		"Gelu of another of [2 3 4]":            {"Neg", "Mul", "Erf", "Add", "Mul", "Mul"},
		"x·Sigmoid(x) of [2 3 4]":               {"Sigmoid", "Mul"},
	}
	for _, p := range importertest.Pieces() {
		name := strings.TrimPrefix(p.Name, "functions: ")
		ops, ok := want[name]
		if !ok {
			continue
		}
		delete(want, name)
		m, err := p.Model(13)
		if err != nil {
			t.Fatal(err)
		}
		n, err := student.ImportNet(m, student.NetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x, err := n.Export(student.ExportOptions{Opset: 21})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, node := range x.Graph.Nodes {
			got = append(got, node.Op)
		}
		slices.Sort(ops)
		slices.Sort(got)
		if !slices.Equal(got, ops) {
			t.Errorf("%s: exported as %v, want %v", name, got, ops)
		}
	}
	if len(want) > 0 {
		t.Errorf("there are no pieces %v", want)
	}
}
