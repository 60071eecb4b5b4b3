package conformance

import (
	"cmp"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	onnxtest "github.com/owulveryck/onnx-go/backend/testbackend/onnx" // registers the cases
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer"
	"github.com/onnxdistill/onnxdistill/student/op/optest"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// What the cases of onnx-go's own backend test suite come to. Fewer is a loss.
const (
	backendCases  = 349
	backendPassed = 266 // in each of the two ways
)

// backendSkips says which cases cannot be imported, and why: by operator, or by
// a case's title. A case that is listed and can be imported is a failure, too.
var backendSkips = map[string]string{
	// No functions that networks are trained through.
	"Acos": backendTrigonometry, "Acosh": backendTrigonometry, "Asin": backendTrigonometry, "Asinh": backendTrigonometry,
	"Atan": backendTrigonometry, "Atanh": backendTrigonometry, "Cos": backendTrigonometry, "Cosh": backendTrigonometry,
	"Sin": backendTrigonometry, "Sinh": backendTrigonometry, "Tan": backendTrigonometry,
	"Ceil": backendSteps, "Floor": backendSteps, "Hardmax": backendSteps,
	"TestModMixedSignFloat32": backendSteps, "TestModMixedSignFloat64": backendSteps,
	"Shrink": "no network of the conformance set has it",

	// Places, not values.
	"ArgMax": backendPlaces, "ArgMin": backendPlaces, "TopK": backendPlaces,
	"TestMaxpoolWithArgmax2dPrecomputedPads": backendPlaces, "TestMaxpoolWithArgmax2dPrecomputedStrides": backendPlaces,
	"MaxUnpool": backendComputed, "Scatter": backendComputed, "OneHot": backendComputed, "EyeLike": backendComputed, "ReverseSequence": backendComputed,

	// Other trades.
	"NonMaxSuppression": backendDetection, "RoiAlign": backendDetection,
	"TfIdfVectorizer": "it is for text",
	"Scan":            "its body is a subgraph",

	// Forms of operators that there are.
	"TestAveragepool3dDefault": backendVolumes, "TestConvtranspose3d": backendVolumes, "TestMaxpool3dDefault": backendVolumes,
}

// Reasons that several cases have.
const (
	backendTrigonometry = "a trigonometric or hyperbolic function that no network of the conformance set has"
	backendSteps        = "a step function, whose derivative is zero"
	backendPlaces       = "it gives places of elements, integers that are computed from the input"
	backendComputed     = "it takes places of elements, integers, or makes one-hot vectors of them"
	backendDetection    = "it is for object detection"
	backendVolumes      = "it has three spatial axes"
)

// constantOperands are the operands, besides integers, that the import wants to
// know before the graph runs. The cases feed them at run time; here they become
// initializers, as they are in a file of a network.
var constantOperands = map[string][]int{
	"BatchNormalization": {1, 2, 3, 4},
	"Resize":             {1},
	"Upsample":           {1},
}

// tally is a row of the table.
type tally struct{ cases, imported, exported, skipped int }

// TestBackendSuiteOfOnnxGo runs the cases of onnx-go's own backend test suite
// through the import: once as the graph that student/vm runs, against the
// outputs that the case expects, and once exported again, in ONNX Runtime,
// against the same.
func TestBackendSuiteOfOnnxGo(t *testing.T) {
	var cases []*testbackend.TestCase
	for _, c := range testbackend.GetAllRegisteredTests() {
		cases = append(cases, c())
	}
	cases = append(cases, onnxtest.NewTestReshapeOneDim()) // it is there, and not registered
	slices.SortFunc(cases, func(a, b *testbackend.TestCase) int {
		return cmp.Or(strings.Compare(a.OpType, b.OpType), strings.Compare(a.Title, b.Title))
	})
	rows, total, reasons := map[string]*tally{}, tally{}, map[string]int{}
	listed := maps.Clone(backendSkips)
	for _, c := range cases {
		if rows[c.OpType] == nil {
			rows[c.OpType] = &tally{}
		}
		row := rows[c.OpType]
		row.cases++
		key := c.Title
		if backendSkips[key] == "" {
			key = c.OpType
		}
		why := backendSkips[key]
		t.Run(c.OpType+"/"+c.Title, func(t *testing.T) {
			m, feeds, err := backendModel(c)
			if err != nil {
				t.Fatal(err)
			}
			n, err := student.ImportNet(m, student.NetOptions{})
			switch {
			case why != "" && err == nil:
				t.Fatalf("it can be imported; take it out of the list of what cannot (%s)", why)
			case why != "" && !errors.Is(err, importer.ErrUnsupported):
				t.Fatalf("it is listed as not supported (%s); the error is another one: %v", why, err)
			case why != "":
				row.skipped++
				reasons[why]++
				delete(listed, key)
				t.Skip(why)
			case err != nil:
				t.Fatal(err)
			}
			if t.Run("imported", func(t *testing.T) {
				got, err := backendRun(n, feeds)
				if err != nil {
					t.Fatal(err)
				}
				compareBackend(t, c, got)
			}) {
				row.imported++
			}
			if t.Run("exported", func(t *testing.T) {
				got, err := backendRuntime(n, feeds)
				if err != nil {
					t.Fatal(err)
				}
				compareBackend(t, c, got)
			}) {
				row.exported++
			}
		})
		total.cases++
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operator\tcases\timported\texported\tskipped\t")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", name, r.cases, r.imported, r.exported, r.skipped)
		total.imported += r.imported
		total.exported += r.exported
		total.skipped += r.skipped
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%d\t%d\t\n", total.cases, total.imported, total.exported, total.skipped)
	w.Flush()
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&table, "%4d skipped: %s\n", reasons[why], why)
	}
	t.Logf("onnx-go's backend test suite\n%s", table.String())
	if t.Failed() || someChosen() {
		return
	}
	if total.cases != backendCases || total.imported != backendPassed || total.exported != backendPassed {
		t.Errorf("%d cases, %d passed as imported and %d as exported; want %d, %d and %d", total.cases, total.imported, total.exported, backendCases, backendPassed, backendPassed)
	}
	for key := range listed {
		t.Errorf("%s is on the list of what cannot be imported, and no case is of that name", key)
	}
}

// someChosen reports whether -run chooses among the cases of a table, whose
// count then says nothing.
func someChosen() bool {
	run := flag.Lookup("test.run")
	return run != nil && strings.Contains(run.Value.String(), "/")
}

// backendModel returns a case's model and what it is fed, with the operands
// that the import wants to know as initializers. The cases' generator has made
// float32 of one-element tensors of other types; the model tells what they are.
func backendModel(c *testbackend.TestCase) (*onnx.Model, map[string]*onnx.Tensor, error) {
	m, err := onnx.Decode(c.ModelB)
	if err != nil {
		return nil, nil, err
	}
	feeds := map[string]*onnx.Tensor{}
	if len(m.Graph.Inputs) != len(c.Input) {
		return nil, nil, fmt.Errorf("%d inputs with %d values", len(m.Graph.Inputs), len(c.Input))
	}
	for i, v := range m.Graph.Inputs {
		x, err := backendTensor(c.Input[i], v)
		if err != nil {
			return nil, nil, fmt.Errorf("input %q: %w", v.Name, err)
		}
		at := slices.Index(m.Graph.Nodes[0].Inputs, v.Name)
		if !v.Type.Float() || slices.Contains(constantOperands[c.OpType], at) {
			m.Graph.Initializers = append(m.Graph.Initializers, x) // the input's default
			continue
		}
		feeds[v.Name] = x
	}
	return m, feeds, nil
}

// backendRuntime exports a net and runs that in ONNX Runtime.
func backendRuntime(n *student.Net, feeds map[string]*onnx.Tensor) ([]*onnx.Tensor, error) {
	m, err := n.Export(student.ExportOptions{})
	if err != nil {
		return nil, err
	}
	given := map[string]*onnx.Tensor{}
	for _, v := range m.Graph.DataInputs() {
		f, err := tensorNumbers(feeds[v.Name])
		if err != nil {
			return nil, err
		}
		x := make([]float32, len(f)) // whatever the case's file computes in
		for i := range f {
			x[i] = float32(f[i])
		}
		given[v.Name] = onnx.Float32s(v.Name, feeds[v.Name].Dims, x)
	}
	if len(given) == 0 { // a constant; the runtime runs nothing without an input
		m.Graph.Inputs = append(m.Graph.Inputs, &onnx.Value{Name: "nothing", Type: onnx.Float32, Shape: []onnx.Dim{onnx.Fixed(1)}, HasShape: true})
		given["nothing"] = onnx.Float32s("nothing", []int64{1}, []float32{0})
	}
	out, err := teachers.Evaluate(m, given, teachers.EvaluateOptions{})
	if err != nil {
		return nil, err
	}
	var got []*onnx.Tensor
	for _, p := range n.Outputs {
		got = append(got, out[p.Name])
	}
	return got, nil
}

// backendTensor is a case's value as the model declares it.
func backendTensor(x tensor.Tensor, v *onnx.Value) (*onnx.Tensor, error) {
	t := &onnx.Tensor{Name: v.Name, Type: v.Type}
	for _, d := range v.Shape {
		n, fixed := d.Fixed()
		if !fixed {
			return nil, fmt.Errorf("its shape %v is open", v.Shape)
		}
		t.Dims = append(t.Dims, n)
	}
	for _, f := range backendNumbers(x) {
		switch v.Type {
		case onnx.Float32:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(f)))
		case onnx.Float64:
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(f))
		case onnx.Int64:
			t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(int64(f)))
		case onnx.Int32:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(int32(f)))
		case onnx.Bool:
			t.Data = append(t.Data, byte(f))
		default:
			return nil, fmt.Errorf("it is %v", v.Type)
		}
	}
	return t, nil
}

// backendNumbers returns the elements of a case's value.
func backendNumbers(x tensor.Tensor) []float64 {
	v := reflect.ValueOf(x.Data())
	if v.Kind() != reflect.Slice {
		one := reflect.MakeSlice(reflect.SliceOf(v.Type()), 1, 1)
		one.Index(0).Set(v)
		v = one
	}
	out := make([]float64, v.Len())
	for i := range out {
		switch e := v.Index(i); {
		case e.CanFloat():
			out[i] = e.Float()
		case e.CanInt():
			out[i] = float64(e.Int())
		case e.CanUint():
			out[i] = float64(e.Uint())
		case e.Kind() == reflect.Bool && e.Bool():
			out[i] = 1
		}
	}
	return out
}

// backendRun runs an imported net on values in the file's order.
func backendRun(n *student.Net, feeds map[string]*onnx.Tensor) ([]*onnx.Tensor, error) {
	for _, p := range n.Inputs {
		f, err := tensorNumbers(feeds[p.Name])
		if err != nil {
			return nil, err
		}
		v, err := optest.Value(tensor.Float32, p.Node.Shape(), optest.GraphOrder(p.Node.Shape(), f))
		if err != nil {
			return nil, err
		}
		if err := gorgonia.Let(p.Node, v); err != nil {
			return nil, err
		}
	}
	var wanted gorgonia.Nodes
	for _, p := range n.Outputs {
		wanted = append(wanted, p.Node)
	}
	machine, err := vm.New(n.Expr, wanted)
	if err != nil {
		return nil, err
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		return nil, err
	}
	var out []*onnx.Tensor
	for _, p := range n.Outputs {
		f, err := optest.Floats(p.Node.Value())
		if err != nil {
			return nil, err
		}
		out = append(out, onnx.Float64s(p.Name, fileShape(p.Node.Shape()), optest.FileOrder(p.Node.Shape(), f)))
	}
	return out, nil
}

// tensorNumbers returns the elements of a tensor of numbers.
func tensorNumbers(t *onnx.Tensor) ([]float64, error) {
	var out []float64
	size := int(t.Type.Bits() / 8)
	for d := t.Data; size > 0 && len(d) >= size; d = d[size:] {
		switch t.Type {
		case onnx.Float32:
			out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(d))))
		case onnx.Float64:
			out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(d)))
		case onnx.Int64:
			out = append(out, float64(int64(binary.LittleEndian.Uint64(d))))
		case onnx.Int32:
			out = append(out, float64(int32(binary.LittleEndian.Uint32(d))))
		case onnx.Bool:
			out = append(out, float64(d[0]))
		default:
			return nil, fmt.Errorf("%q is %v", t.Name, t.Type)
		}
	}
	return out, nil
}

// compareBackend holds outputs against those that a case expects: within 1e-5
// of each, and 1e-6 of the largest, which is what rounding leaves of a sum of
// some dozen terms that cancel.
func compareBackend(t *testing.T, c *testbackend.TestCase, got []*onnx.Tensor) {
	t.Helper()
	if len(got) != len(c.ExpectedOutput) {
		t.Fatalf("%d outputs, want %d", len(got), len(c.ExpectedOutput))
	}
	for i, x := range c.ExpectedOutput {
		want := backendNumbers(x)
		g, err := tensorNumbers(got[i])
		if err != nil {
			t.Fatal(err)
		}
		shape := []int64{}
		for _, d := range x.Shape() {
			shape = append(shape, int64(d))
		}
		if len(got[i].Dims) == 0 && len(want) == 1 {
			shape = got[i].Dims // the generator knows no tensors without axes
		}
		if !slices.Equal(got[i].Dims, shape) || len(g) != len(want) {
			t.Fatalf("output %d has shape %v, want %v", i, got[i].Dims, shape)
		}
		largest := 0.0
		for _, w := range want {
			largest = math.Max(largest, math.Abs(w))
		}
		for k, w := range want {
			if d := math.Abs(g[k] - w); !(d <= 1e-5*math.Abs(w)+1e-6*largest+1e-7) {
				t.Fatalf("output %d, element %d: got %v, want %v", i, k, g[k], w)
			}
		}
	}
}
