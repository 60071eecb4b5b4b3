package onnx

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fixtures is where testdata/gen/onnx_models.py writes.
const fixtures = "../testdata/onnx"

// wantFixtures is how many models lie there, so that a lost file is noticed.
const wantFixtures = 74

// golden is what the onnx Python package says of a fixture.
type golden struct {
	Checker string   // why its checker refuses the model; empty when it does not
	Nodes   []string // operators in order
	Tensors map[string]struct {
		Type DataType
		Dims []int64
		Data any // hexadecimal; for strings a list of such
	}
}

func readGolden(t testing.TB) map[string]golden {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixtures, "golden.json"))
	if err != nil {
		t.Fatalf("%v; run testdata/gen/onnx_models.py", err)
	}
	var out map[string]golden
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != wantFixtures {
		t.Fatalf("golden.json holds %d models, want %d", len(out), wantFixtures)
	}
	return out
}

func readFixture(t testing.TB, name string) *Model {
	t.Helper()
	m, err := ReadFile(filepath.Join(fixtures, name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// disagreements are the fixtures on which Check and the checker of onnx 1.12
// differ on purpose, with the reason.
var disagreements = map[string]string{
	"ai_onnx_domain":          "the checker of 1.12 does not know the long name of the default domain; ONNX Runtime does",
	"output_of_unknown_rank":  "ONNX Runtime finds the shape; the checker wants one",
	"bad_attribute_reference": "a reference to a function's attribute has no meaning in a graph",
	"bad_function_output":     "the checker does not ask who makes a function's outputs",
	"bad_function_recursion":  "the checker does not follow calls",
	"bad_opset_future":        "the checker takes any later version for the last it knows",
	"bad_output_unmade":       "the checker does not ask who makes the outputs",
	"bad_tensor_long":         "the checker does not count elements",
	"bad_tensor_short":        "the checker does not count elements",
	"bad_tensor_negative_dim": "the checker does not look at dims",
	"bad_two_functions":       "the checker takes the last",
	"bad_two_outputs":         "the checker does not compare outputs",
	"bad_two_versions":        "the checker takes the last",
}

// readAndCheck is what a user of a file does: both may refuse it.
func readAndCheck(name string) error {
	m, err := ReadFile(filepath.Join(fixtures, name+".onnx"))
	if err != nil {
		return err
	}
	return Check(m)
}

func TestCheckAgreesWithTheChecker(t *testing.T) {
	for name, g := range readGolden(t) {
		t.Run(name, func(t *testing.T) {
			err := readAndCheck(name)
			reason, differ := disagreements[name]
			if (err == nil) == (g.Checker == "") == differ {
				t.Errorf("Check says %v, the checker of onnx 1.12 %q (expected to differ: %v %s)", err, g.Checker, differ, reason)
			}
			if (err != nil) != strings.HasPrefix(name, "bad_") {
				t.Errorf("Check says %v of a model called %s", err, name)
			}
			if err != nil && !strings.Contains(err.Error(), "onnx: ") {
				t.Errorf("error does not name the package: %v", err)
			}
		})
	}
}

func TestDecodedModelsMatchTheOnnxPackage(t *testing.T) {
	for name, g := range readGolden(t) {
		if g.Nodes == nil && g.Tensors == nil {
			continue // a bad one
		}
		t.Run(name, func(t *testing.T) {
			m := readFixture(t, name)
			var ops []string
			for _, n := range m.Graph.Nodes {
				ops = append(ops, n.Op)
			}
			if d := cmp.Diff(g.Nodes, ops); d != "" {
				t.Errorf("operators (-want +got):\n%s", d)
			}
			if len(m.Graph.Initializers) != len(g.Tensors) {
				t.Fatalf("%d initializers, want %d", len(m.Graph.Initializers), len(g.Tensors))
			}
			for _, x := range m.Graph.Initializers {
				want, ok := g.Tensors[x.Name]
				if !ok {
					t.Fatalf("initializer %q is not in the golden file", x.Name)
				}
				var data any = hex.EncodeToString(x.Data)
				if x.Type == String {
					var list []any
					for _, s := range x.Strings {
						list = append(list, hex.EncodeToString(s))
					}
					data = list
				}
				if x.Type != want.Type || len(x.Dims) != len(want.Dims) || (len(x.Dims) > 0 && !cmp.Equal(x.Dims, want.Dims)) || !cmp.Equal(data, want.Data) {
					t.Errorf("%s is %v %v %v, want %v %v %v", x.Name, x.Type, x.Dims, data, want.Type, want.Dims, want.Data)
				}
			}
		})
	}
}

func TestEncodingIsStable(t *testing.T) {
	for name := range readGolden(t) {
		m, err := ReadFile(filepath.Join(fixtures, name+".onnx"))
		if err != nil {
			continue // what cannot be represented is not written either
		}
		t.Run(name, func(t *testing.T) {
			first, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := m.Encode()
			if err != nil || !bytes.Equal(first, again) {
				t.Fatalf("encoding twice gives different bytes (%v)", err)
			}
			back, err := Decode(first)
			if err != nil {
				t.Fatal(err)
			}
			second, err := back.Encode()
			if err != nil || !bytes.Equal(first, second) {
				t.Errorf("decoding and encoding gives different bytes (%v)", err)
			}
			if (Check(m) == nil) != (Check(back) == nil) {
				t.Errorf("Check says %v before and %v after", Check(m), Check(back))
			}
			copied, err := m.Clone().Encode()
			if err != nil || !bytes.Equal(first, copied) {
				t.Errorf("a clone encodes to different bytes (%v)", err)
			}
		})
	}
}

// teacherFiles are real models kept beside a checkout, not in it.
func teacherFiles(t *testing.T) []string {
	t.Helper()
	files, _ := filepath.Glob("../../shared/data/teachers/*.onnx")
	if len(files) == 0 {
		t.Skip("no models in ../shared/data/teachers")
	}
	return files
}

func TestTeachersSurviveARoundTrip(t *testing.T) {
	for _, f := range teacherFiles(t) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			m, err := ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := Check(m); err != nil {
				t.Error(err)
			}
			path := filepath.Join(t.TempDir(), "again.onnx")
			if err := m.WriteFile(path); err != nil {
				t.Fatal(err)
			}
			again, err := ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := m.Encode()
			b, _ := again.Encode()
			if !bytes.Equal(a, b) {
				t.Error("the model changed on its way through a file")
			}
		})
	}
}
