package importer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// fixtures is where testdata/gen/onnx_models.py writes.
const fixtures = "../../testdata/onnx"

// refused are the models in order that cannot be imported, and what is said of
// them.
var refused = map[string]string{
	"onnx/attributes.onnx":             `org.example.Everything making "y" (opset 17): its attribute "tensors" is a list of tensors, which cannot be imported`,
	"onnx/if_captures.onnx":            `If "if" (opset 17): its attribute "else_branch" is a subgraph, which cannot be imported`,
	"onnx/nested_if.onnx":              `If "if" (opset 17): its attribute "else_branch" is a subgraph, which cannot be imported`,
	"onnx/loop.onnx":                   `Loop "loop" (opset 17): its attribute "body" is a subgraph, which cannot be imported`,
	"onnx/loop_input_hides_outer.onnx": `Loop "loop" (opset 17): its attribute "body" is a subgraph, which cannot be imported`,
	"onnx/sequence.onnx":               `output "s": it is no dense tensor`,
	"onnx/sparse_initializer.onnx":     `initializer "s": it is a sparse tensor, which cannot be imported`,
	"teachers/sequence.onnx":           `output "scores": it is no dense tensor`,
}

// Every model of the test data is read or refused with a reason; its operators
// are those the onnx Python package finds.
func TestEveryFixtureIsReadOrRefused(t *testing.T) {
	var golden map[string]struct{ Nodes []string }
	b, err := os.ReadFile(filepath.Join(fixtures, "golden.json"))
	if err != nil {
		t.Fatalf("%v; run testdata/gen/onnx_models.py", err)
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../testdata/*/*.onnx")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../pipeline/digits/teacher.onnx")
	found := make(map[string]int)
	for _, file := range files {
		folder, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
		name = folder + "/" + name
		bad := strings.HasPrefix(name, "onnx/bad_")
		p, err := readFile(file)
		switch {
		case bad && err == nil:
			t.Errorf("%s is read", name)
		case bad:
			found["bad"]++
		case refused[name] != "":
			if err == nil || !strings.Contains(err.Error(), refused[name]) {
				t.Errorf("%s: error %v, want %q", name, err, refused[name])
			}
			found["refused"]++
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			found[folder]++
			if g, ok := golden[strings.TrimSuffix(filepath.Base(file), ".onnx")]; folder == "onnx" && ok && len(p.Notes) == 0 {
				want := slices.DeleteFunc(g.Nodes, func(op string) bool { return op == "Constant" })
				var got []string
				for _, c := range p.Calls {
					got = append(got, c.Op)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: operators %v, want %v", name, got, want)
				}
				found["compared"]++
			}
		}
	}
	want := map[string]int{"bad": 52, "refused": len(refused), "onnx": 15, "compared": 12, "teachers": 10, "digits": 1}
	for what, n := range want {
		if found[what] < n {
			t.Errorf("%s: %d models, want %d", what, found[what], n)
		}
	}
}

// The teachers that are too large for this repository lie beside it where
// somebody has put them.
func TestTeachersOutsideTheRepositoryAreRead(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "shared", "data", "teachers")
	for name, want := range map[string]int{"resnet8_mlperf_cifar10.onnx": 24, "wrn16_2_cifar10.onnx": 43} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder, name)
			if _, err := os.Stat(file); err != nil {
				t.Skipf("no teacher to read: %v", err)
			}
			p, err := readFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Calls) != want || len(p.Inputs) != 1 || len(p.Outputs) != 1 || len(p.Constants) == 0 {
				t.Errorf("%d calls, want %d; inputs %v, outputs %v, %d constants", len(p.Calls), want, p.Inputs, p.Outputs, len(p.Constants))
			}
		})
	}
}

// What onnx-go tells is compared with the file: a decoder that read anything
// else must not go unnoticed.
func TestDisagreementIsNoticed(t *testing.T) {
	model := func() *onnx.Model {
		return with(net([]string{"y"},
			node("Clip", "x, , w -> h"),
			node("Split", "h -> a, b", onnx.AttrInt("axis", 1), onnx.AttrTensor("t", onnx.Int64s("", []int64{2}, []int64{1, 2}))),
			node("Concat", "b, a -> y", onnx.AttrInt("axis", 1)),
		), onnx.Float32s("w", []int64{2}, []float32{1, 2}))
	}
	for _, c := range []struct {
		name   string
		tamper func(r *recorder)
		want   string // empty: nothing is wrong
	}{
		{"nothing", func(*recorder) {}, ""},
		{"an operation is missing", func(r *recorder) { r.calls = r.calls[:2] }, "it decodes 2 operations of 3 nodes"},
		{"another operator", func(r *recorder) { r.calls[2].op = "Add" }, `operation 2 is Add ["b" "a"] -> ["y"], and the file has Concat ["b" "a"] -> ["y"]`},
		{"operands in another order", func(r *recorder) { slices.Reverse(r.calls[2].inputs) }, `operation 2 is Concat ["a" "b"]`},
		{"an operand that is left out", func(r *recorder) { r.calls[0].inputs[1] = "x" }, `operation 0 is Clip ["x" "x" "w"]`},
		{"results in another order", func(r *recorder) { slices.Reverse(r.calls[1].outputs) }, `operation 1 is Split ["h"] -> ["b" "a"]`},
		{"a missing attribute", func(r *recorder) { delete(r.calls[1].attrs, "t") }, `Split making "a": it decodes 1 attributes of 2`},
		{"an attribute of another kind", func(r *recorder) { r.calls[1].attrs["axis"] = float32(1) }, `it decodes attribute "axis" as float32, and the file has int`},
		{"an attribute of another name", func(r *recorder) {
			r.calls[2].attrs = map[string]any{"axes": int64(1)}
		}, `it decodes attribute "axis" as <nil>, and the file has int`},
		{"a tensor in an attribute", func(r *recorder) {
			r.calls[1].attrs["t"].(tensor.Tensor).Data().([]int64)[1] = 5
		}, `attribute "t": it decodes int64 [2] to int64 [2], or to other values`},
		{"a constant", func(r *recorder) {
			r.tensor("w").Data().([]float32)[0] = 5
		}, `constant "w": it decodes float32 [2] to float32 [2], or to other values`},
		{"a constant's shape", func(r *recorder) {
			if err := r.tensor("w").Reshape(2, 1); err != nil {
				panic(err)
			}
		}, `constant "w": it decodes float32 [2] to float32 [2 1]`},
		{"a constant that is not there", func(r *recorder) {
			n, _ := r.model.GetNodeByName("w")
			n.(*recorded).tensor = nil
		}, `constant "w": it decodes to nothing`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := normalise(model())
			if err != nil {
				t.Fatal(err)
			}
			s := newSkeleton(n)
			b, err := s.model.Encode()
			if err != nil {
				t.Fatal(err)
			}
			r := newRecorder()
			if err := r.decode(b); err != nil {
				t.Fatal(err)
			}
			c.tamper(r)
			_, err = s.join(n, r)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// onnx-go panics on some files, here on a constant whose shape does not fit
// what it took for its data.
func TestPanicsOfTheDecoderAreErrors(t *testing.T) {
	m := with(net([]string{"y"}, node("Where", "m, x, x -> y")), raw("m", onnx.Bool, []int64{16}, make([]byte, 16)...))
	if _, err := alone(t, m); err == nil || !strings.Contains(err.Error(), "it panicked: ") {
		t.Errorf("error %v, want one that says so", err)
	}
	read(t, m) // which does not show onnx-go that constant
}

// Placeholders for operands left out must not be taken for values of the model.
func TestPlaceholdersHaveNamesOfTheirOwn(t *testing.T) {
	p := read(t, with(net([]string{"_absent:0"}, node("Relu", "absent:0 -> absent:1"), node("Clip", "absent:1, , x -> _absent:0")),
		onnx.Float32s("absent:0", nil, []float32{1})))
	if d := cmp.Diff([]string{"Relu: absent:0 -> absent:1", "Clip: absent:1, , x -> _absent:0"}, wiring(p)); d != "" {
		t.Error(d)
	}
}
