package student_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
)

// A mask of -Inf is no sign of training that has diverged.
func TestMasksOfMinusInfinity(t *testing.T) {
	b := onnx.NewBuilder("net", 17)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(2), onnx.Fixed(2))
	low := float32(math.Inf(-1))
	x = b.Node("Reshape", []string{x, b.Initializer("rows", onnx.Int64s("", []int64{3}, []int64{0, 3, 4}))})
	weight := b.Initializer("mix.weight", onnx.Float32s("", []int64{4, 3}, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}))
	x = b.Node("MatMul", []string{x, weight}) // [N, 3, 3]
	x = b.Node("Add", []string{x, b.Initializer("mask", onnx.Float32s("", []int64{1, 3, 3}, []float32{0, low, low, 0, 0, low, 0, 0, 0}))})
	x = b.Node("Softmax", []string{x})
	mask := b.Initializer("seen", &onnx.Tensor{Type: onnx.Bool, Dims: []int64{3, 3}, Data: []byte{1, 1, 0, 1, 1, 1, 0, 1, 1}})
	x = b.Node("Where", []string{mask, x, b.Initializer("never", onnx.Float32s("", nil, []float32{low}))})
	x = b.Node("LogSoftmax", []string{x})
	x = b.Node("ReduceMax", []string{x}, onnx.AttrInts("axes", 2), onnx.AttrInt("keepdims", 0))
	b.Output(x, "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	i := importModel(t, m, student.ImportOptions{})
	before := logits(t, i.Model, 3)
	file := export(t, i.Model, student.ExportOptions{})
	if d := apart(t, logits(t, importModel(t, file, student.ImportOptions{}).Model, 3), before); d > close {
		t.Errorf("exported and imported again, logits are off by %v", d)
	}
	for range 3 {
		if loss := step(t, i.Model); math.IsNaN(loss) {
			t.Fatal("the loss is NaN")
		}
	}
	export(t, i.Model, student.ExportOptions{})
}

// A file's tensors are parameters by what reads them, else by their names; what
// is neither stays as it is.
func TestWhatOfAFileIsLearned(t *testing.T) {
	const c = 4
	drawn := func(b *onnx.Builder, name string, dims ...int) string {
		return b.Initializer(name, importertest.Constant(importertest.Drawn(uint64(len(name)), dims...)))
	}
	number := func(b *onnx.Builder, name string, x float32) string {
		return b.Initializer(name, onnx.Float32s("", []int64{1}, []float32{x}))
	}
	conv := func(b *onnx.Builder, x string) string {
		return b.Node("Conv", []string{x, drawn(b, "conv.weight", c, 3, 1, 1)})
	}
	tokens := func(b *onnx.Builder, x string) string { // [N, 20, c]
		x = b.Node("Reshape", []string{conv(b, x), b.Initializer("to", importertest.Whole(0, c, -1))})
		return b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 1))
	}
	attention := func(b *onnx.Builder, x string, summands ...string) string {
		s := b.Node("MatMul", []string{x, b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 1))})
		for _, v := range summands {
			s = b.Node("Add", []string{s, v})
		}
		return b.Node("MatMul", []string{b.Node("Softmax", []string{s}), x})
	}
	filled := func(b *onnx.Builder, name string, at func(i int) float32, dims ...int) string {
		return b.Initializer(name, importertest.Constant(importertest.Tabulate(dims, func(i []int) float64 { return float64(at(i[len(i)-1])) })))
	}
	hidden := func(low float32) func(i int) float32 {
		return func(i int) float32 { return []float32{0, low}[i%2] }
	}
	for name, tt := range map[string]struct {
		body func(b *onnx.Builder, x string) string
		want string // the parameters besides the convolution's and the head's
		kept string // what the note names
	}{
		"Sub and Div before the first layer": {func(b *onnx.Builder, x string) string {
			x = b.Node("Sub", []string{x, drawn(b, "mean", 1, 3, 1, 1)})
			return conv(b, b.Node("Div", []string{x, drawn(b, "scale", 1, 3, 1, 1)}))
		}, "", "2 constants are kept as they are: mean [1 3 1 1], scale [1 3 1 1]"},
		"Mul and Add before the first layer": {func(b *onnx.Builder, x string) string {
			x = b.Node("Mul", []string{x, b.Node("Reciprocal", []string{drawn(b, "input.weight", 3, 1, 1)})})
			return conv(b, b.Node("Add", []string{drawn(b, "input.bias", 3, 1, 1), x}))
		}, "", "2 constants are kept"},
		"a factor and a summand of each channel behind a layer": {func(b *onnx.Builder, x string) string {
			x = b.Node("Mul", []string{conv(b, x), drawn(b, "onnx::Mul_1", c, 1, 1)})
			return b.Node("Add", []string{x, drawn(b, "const_fold_opt__2", 1, c, 1, 1)})
		}, "Add/bias bias, Mul/free free", ""},
		"a factor and a summand of each channel, which is last": {func(b *onnx.Builder, x string) string {
			x = b.Node("Mul", []string{tokens(b, x), drawn(b, "onnx::Mul_1", c)})
			return b.Node("Add", []string{x, drawn(b, "onnx::Add_2", c)})
		}, "Add/bias bias, Mul/free free", ""},
		"statistics that are written out": {func(b *onnx.Builder, x string) string {
			x = b.Node("Sub", []string{conv(b, x), drawn(b, "bn.running_mean", c, 1, 1)})
			return b.Node("Div", []string{x, drawn(b, "bn.std", c, 1, 1)})
		}, "", "2 constants are kept as they are: bn/running_mean [4 1 1], bn/std [4 1 1]"},
		"a class token and a position embedding": {func(b *onnx.Builder, x string) string {
			size := b.Node("Concat", []string{b.Node("Gather", []string{b.Node("Shape", []string{x}), b.Initializer("zero", importertest.Whole(0))}), b.Initializer("ones", importertest.Whole(1, 1))}, onnx.AttrInt("axis", 0))
			token := b.Node("Expand", []string{drawn(b, "cls_token", 1, 1, c), size})
			x = b.Node("Concat", []string{token, tokens(b, x)}, onnx.AttrInt("axis", 1))
			return b.Node("Add", []string{x, drawn(b, "encoder.pos_embedding", 1, 21, c)})
		}, "cls_token free, encoder/pos_embedding free", ""},
		"a class token of no name": {func(b *onnx.Builder, x string) string {
			token := b.Node("Tile", []string{drawn(b, "onnx::Tile_9", 1, 1, c), b.Node("Concat", []string{b.Node("Gather", []string{b.Node("Shape", []string{x}), b.Initializer("zero", importertest.Whole(0))}), b.Initializer("ones", importertest.Whole(1, 1))}, onnx.AttrInt("axis", 0))})
			return b.Node("Concat", []string{token, tokens(b, x)}, onnx.AttrInt("axis", 1))
		}, "Tile/free free", ""},
		"a table of positions": {func(b *onnx.Builder, x string) string {
			return b.Node("Add", []string{tokens(b, x), drawn(b, "pe", 1, 20, c)})
		}, "", "1 constant is kept as it is: pe [1 20 4]"},
		"rotations": {func(b *onnx.Builder, x string) string {
			x = b.Node("Mul", []string{tokens(b, x), drawn(b, "rope.cos_emb", 20, c)})
			return b.Node("Add", []string{x, drawn(b, "rope.sin_emb", 20, c)})
		}, "", "2 constants are kept"},
		"coordinates": {func(b *onnx.Builder, x string) string {
			x = conv(b, x)
			grid := b.Node("Expand", []string{drawn(b, "grid", 1, c, 4, 5), b.Node("Shape", []string{x})})
			return b.Node("Mul", []string{grid, x})
		}, "", "1 constant is kept as it is: "},
		"an attention's bias": {func(b *onnx.Builder, x string) string {
			return attention(b, tokens(b, x), drawn(b, "onnx::Add_77", 1, 20, 20))
		}, "Add/free free", ""},
		"an attention's masks": {func(b *onnx.Builder, x string) string {
			return attention(b, tokens(b, x), filled(b, "attn.bias", hidden(float32(math.Inf(-1))), 1, 20, 20), filled(b, "onnx::Add_78", hidden(-100), 20, 20))
		}, "", "2 constants are kept"},
		"a mask of weights": {func(b *onnx.Builder, x string) string {
			w := b.Node("Mul", []string{drawn(b, "orig.weight_orig", c, 3, 1, 1), filled(b, "orig.weight_mask", hidden(1), c, 3, 1, 2)})
			return b.Node("Conv", []string{x, b.Node("ReduceSum", []string{w, b.Initializer("last", importertest.Whole(3))})})
		}, "orig/weight_orig free", "1 constant is kept as it is: orig/weight_mask [4 3 1 2]"},
		"one number as a slope, a gain and a half": {func(b *onnx.Builder, x string) string {
			x = b.Node("PRelu", []string{conv(b, x), number(b, "onnx::PRelu_12", 0.25)})
			x = b.Node("Mul", []string{x, number(b, "block.gain", 1.5)})
			return b.Node("Mul", []string{x, number(b, "half", 0.5)})
		}, "PRelu/free free, block/gain free", ""},
		"a temperature that is computed with": {func(b *onnx.Builder, x string) string {
			k := b.Node("Exp", []string{b.Node("Clip", []string{number(b, "attn.logit_scale", 1), "", b.Initializer("max", onnx.Float32s("", nil, []float32{4.6}))})})
			return b.Node("Mul", []string{conv(b, x), k})
		}, "attn/logit_scale free", ""},
		"matrices on either side": {func(b *onnx.Builder, x string) string {
			x = b.Node("MatMul", []string{drawn(b, "onnx::MatMul_3", 6, 20), tokens(b, x)})
			return b.Node("MatMul", []string{x, drawn(b, "onnx::MatMul_4", c, c)})
		}, "MatMul/weight weight, MatMul_2/weight weight", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := onnx.NewBuilder("net", 13)
			x := tt.body(b, b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(5)))
			x = b.Node("Reshape", []string{x, b.Initializer("rows", importertest.Whole(0, c, -1))})
			x = b.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", 2), onnx.AttrInt("keepdims", 0))
			b.Output(b.Node("MatMul", []string{x, drawn(b, "head.weight", c, 3)}), "y", onnx.Float32)
			m, err := b.Model()
			if err != nil {
				t.Fatal(err)
			}
			learned := func(o student.ImportOptions) (*student.Imported, string) {
				i := importModel(t, m, o)
				var all []string
				for _, p := range i.Model.Params() {
					if !strings.HasPrefix(p.Name, "conv/") && !strings.HasPrefix(p.Name, "head/") {
						all = append(all, fmt.Sprint(p.Name, " ", p.Kind))
					}
				}
				slices.Sort(all)
				return i, strings.Join(all, ", ")
			}
			i, got := learned(student.ImportOptions{})
			if got != tt.want {
				t.Errorf("learned are %q, want %q", got, tt.want)
			}
			noted := slices.IndexFunc(i.Notes, func(n string) bool { return strings.Contains(n, "kept as") })
			switch {
			case tt.kept == "" && noted >= 0:
				t.Errorf("a note says %q", i.Notes[noted])
			case tt.kept != "":
				wantNote(t, i.Notes, tt.kept)
				wantNote(t, i.Notes, "ImportOptions.TrainConstants trains")
			}
			// What is no parameter does not change: by a seed, by a step, by the file
			// that is written.
			fresh, same := learned(student.ImportOptions{Init: student.Random, Seed: 7})
			if same != got {
				t.Errorf("drawn anew, learned are %q", same)
			}
			if err := fresh.Model.Load(i.Model.Tensors()); err != nil {
				t.Fatal(err)
			}
			if d := apart(t, logits(t, fresh.Model, 2), logits(t, i.Model, 2)); d != 0 {
				t.Errorf("with the file's parameters a network that was drawn anew is off by %v", d)
			}
			step(t, i.Model)
			back := importModel(t, export(t, i.Model, student.ExportOptions{}), student.ImportOptions{})
			if d := apart(t, logits(t, back.Model, 3), logits(t, i.Model, 3)); d > close {
				t.Errorf("exported and imported again, logits are off by %v", d)
			}
			// What is computed of parameters alone is a constant of the file.
			if len(back.Model.Params()) < len(i.Model.Params()) && !strings.Contains(name, "computed with") {
				t.Errorf("%d parameters, and %d of the exported file", len(i.Model.Params()), len(back.Model.Params()))
			}
		})
	}
}

// TrainConstants trains what else there is, but nothing that is not finite.
func TestConstantsThatAreTrained(t *testing.T) {
	b := onnx.NewBuilder("net", 13)
	x := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
	x = b.Node("Div", []string{x, b.Initializer("std", importertest.Constant(importertest.Drawn(1, 3, 1, 1)))})
	x = b.Node("Conv", []string{x, b.Initializer("conv.weight", importertest.Constant(importertest.Drawn(2, 4, 3, 1, 1)))})
	mask := b.Initializer("mask", importertest.Constant(importertest.Tabulate([]int{4, 4}, func(i []int) float64 { return float64(i[1] % 2) })))
	x = b.Node("Mul", []string{x, mask})
	low := b.Initializer("low", onnx.Float32s("", []int64{1, 2}, []float32{0, float32(math.Inf(-1))}))
	x = b.Node("Flatten", []string{b.Node("GlobalAveragePool", []string{x})})
	x = b.Node("MatMul", []string{x, b.Initializer("head.weight", importertest.Constant(importertest.Drawn(3, 4, 2)))})
	b.Output(b.Node("Max", []string{x, low}), "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	for all, want := range map[bool][]string{false: {"conv/weight", "head/weight"}, true: {"std", "conv/weight", "mask", "head/weight"}} {
		i := importModel(t, m, student.ImportOptions{TrainConstants: all})
		var got []string
		for _, p := range i.Model.Params() {
			got = append(got, p.Name)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("with TrainConstants %v (-want +got):\n%s", all, d)
		}
		wantNote(t, i.Notes, "low [1 2]")
	}
}
