package student_test

import (
	"math"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/importer/importertest"
)

// forEachImage are ways in which exporters repeat something for each image of a
// batch: of a value [1, 1, 6] and the image [N, 3, 4, 4] the tokens [N, 1, 6].
var forEachImage = map[string]func(b *onnx.Builder, token, image string) string{
	// torch.onnx.export, of cls_token.expand(x.shape[0], -1, -1).
	"Expand by a shape that is put together": func(b *onnx.Builder, token, image string) string {
		return b.Node("Expand", []string{token, shapeOf(b, image, 1, 6)})
	},
	"Expand by a shape whose -1 are replaced": func(b *onnx.Builder, token, image string) string {
		want := shapeOf(b, image, -1, -1)
		rank := b.Initializer("rank", importertest.Whole(3))
		ones := b.Node("ConstantOfShape", []string{rank}, onnx.AttrTensor("value", importertest.Whole(1)))
		minus := b.Node("Mul", []string{ones, b.Initializer("minus", onnx.Int64s("", nil, []int64{-1}))})
		to := b.Node("Where", []string{b.Node("Equal", []string{want, minus}), ones, want})
		return b.Node("Expand", []string{token, to})
	},
	// TensorFlow's broadcast_to, and what Keras's ViTs do.
	"ConstantOfShape and Add": func(b *onnx.Builder, token, image string) string {
		return b.Node("Add", []string{b.Node("ConstantOfShape", []string{shapeOf(b, image, 1, 6)}), token})
	},
	"a token that is added to zeros": func(b *onnx.Builder, token, image string) string {
		return b.Node("Add", []string{token, b.Node("ConstantOfShape", []string{shapeOf(b, image, 1, 1)})})
	},
	"ConstantOfShape and Mul": func(b *onnx.Builder, token, image string) string {
		ones := b.Node("ConstantOfShape", []string{shapeOf(b, image, 1, 1)}, onnx.AttrTensor("value", onnx.Float32s("", []int64{1}, []float32{1})))
		return b.Node("Mul", []string{ones, token})
	},
	"Tile": func(b *onnx.Builder, token, image string) string {
		return b.Node("Tile", []string{token, shapeOf(b, image, 1, 1)})
	},
	"Gather of the first again and again": func(b *onnx.Builder, token, image string) string {
		zeros := b.Node("ConstantOfShape", []string{shapeOf(b, image)}, onnx.AttrTensor("value", importertest.Whole(0)))
		return b.Node("Gather", []string{token, zeros}, onnx.AttrInt("axis", 0))
	},
	"Where by a mask of ones": func(b *onnx.Builder, token, image string) string {
		ones := b.Node("ConstantOfShape", []string{shapeOf(b, image, 1, 6)}, onnx.AttrTensor("value", onnx.Float32s("", []int64{1}, []float32{1})))
		return b.Node("Where", []string{b.Node("Greater", []string{ones, b.Initializer("half", onnx.Float32s("", nil, []float32{0.5}))}), token, ones})
	},
	"a shape of several images each": func(b *onnx.Builder, token, image string) string {
		twice := b.Node("Mul", []string{shapeOf(b, image), b.Initializer("two", importertest.Whole(2))})
		two := b.Node("Expand", []string{token, b.Node("Concat", []string{twice, b.Initializer("ones", importertest.Whole(1, 1))}, onnx.AttrInt("axis", 0))}) // [2N, 1, 6]
		pairs := b.Node("Reshape", []string{two, b.Initializer("pairs", importertest.Whole(-1, 2, 6))})
		return b.Node("ReduceMean", []string{pairs}, onnx.AttrInts("axes", 1))
	},
	"nothing but the number of images": func(b *onnx.Builder, _, image string) string {
		return b.Node("ConstantOfShape", []string{shapeOf(b, image, 1, 6)}, onnx.AttrTensor("value", onnx.Float32s("", []int64{1}, []float32{0.5})))
	},
}

// shapeOf appends the list of the number of images and then rest.
func shapeOf(b *onnx.Builder, image string, rest ...int64) string {
	n := b.Node("Gather", []string{b.Node("Shape", []string{image}), b.Initializer("first", onnx.Int64s("", nil, []int64{0}))})
	parts := []string{b.Node("Unsqueeze", []string{n, b.Initializer("axis", importertest.Whole(0))})}
	if len(rest) > 0 {
		parts = append(parts, b.Initializer("rest", importertest.Whole(rest...)))
	}
	return b.Node("Concat", parts, onnx.AttrInt("axis", 0))
}

// tokenNetwork is a small network of tokens, with one before the image's.
func tokenNetwork(t *testing.T, token *onnx.Tensor, repeat func(b *onnx.Builder, token, image string) string) *onnx.Model {
	t.Helper()
	b := onnx.NewBuilder("vit", 13)
	drawn := func(name string, dims ...int) string {
		return b.Initializer(name, importertest.Constant(importertest.Drawn(uint64(len(name)), dims...)))
	}
	image := b.Input("x", onnx.Float32, onnx.Symbol("n"), onnx.Fixed(3), onnx.Fixed(4), onnx.Fixed(4))
	x := b.Node("Conv", []string{image, drawn("patch.weight", 6, 3, 2, 2), drawn("patch.bias", 6)}, onnx.AttrInts("strides", 2, 2))
	x = b.Node("Reshape", []string{x, shapeOf(b, image, 6, 4)})
	x = b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 1))
	x = b.Node("Concat", []string{repeat(b, b.Initializer("cls_token", token), image), x}, onnx.AttrInt("axis", 1)) // [N, 5, 6]
	x = b.Node("Add", []string{x, drawn("pos_embed", 1, 5, 6)})
	scores := b.Node("MatMul", []string{x, b.Node("Transpose", []string{x}, onnx.AttrInts("perm", 0, 2, 1))})
	x = b.Node("Add", []string{x, b.Node("MatMul", []string{b.Node("Softmax", []string{scores}), x})})
	x = b.Node("Gather", []string{x, b.Initializer("at", onnx.Int64s("", nil, []int64{0}))}, onnx.AttrInt("axis", 1))
	b.Output(b.Node("Gemm", []string{x, drawn("head.weight", 6, 4)}), "y", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What a file repeats for each image its student repeats for each image of a
// batch of any size, and the student's file does.
func TestTokensOverTheBatch(t *testing.T) {
	for name, repeat := range forEachImage {
		t.Run(name, func(t *testing.T) {
			i := importModel(t, tokenNetwork(t, importertest.Constant(importertest.Drawn(2, 1, 1, 6)), repeat), student.ImportOptions{})
			learned := false
			for _, p := range i.Model.Params() {
				learned = learned || p.Name == "cls_token"
			}
			if learned == strings.HasPrefix(name, "nothing") {
				t.Errorf("the token is learned: %v", learned)
			}
			step(t, i.Model)
			back := importModel(t, export(t, i.Model, student.ExportOptions{}), student.ImportOptions{})
			for _, batch := range []int{1, 2, 5} {
				if d := apart(t, logits(t, back.Model, batch), logits(t, i.Model, batch)); d > close {
					t.Errorf("exported and imported again, the logits of %d images are off by %v", batch, d)
				}
			}
			// Each image has the answer that it has alone.
			if d := apart(t, logits(t, i.Model, 5)[:4], logits(t, i.Model, 1)); d > close {
				t.Errorf("the first of five images differs from the same alone by %v", d)
			}
		})
	}
}

// What differs from image to image by its place in the batch is no student.
func TestWhatAFileCannotSayOfABatch(t *testing.T) {
	places := func(b *onnx.Builder, token, image string) string {
		count := b.Node("Squeeze", []string{shapeOf(b, image)})
		scalar := func(v int64) string { return b.Initializer("v", onnx.Int64s("", nil, []int64{v})) }
		places := b.Node("Cast", []string{b.Node("Range", []string{scalar(0), count, scalar(1)})}, onnx.AttrInt("to", int64(onnx.Float32)))
		return b.Node("Mul", []string{b.Node("Reshape", []string{places, b.Initializer("column", importertest.Whole(-1, 1, 1))}), token})
	}
	share := func(b *onnx.Builder, token, image string) string {
		count := b.Node("Cast", []string{shapeOf(b, image, 1, 1)}, onnx.AttrInt("to", int64(onnx.Float32)))
		return b.Node("Mul", []string{forEachImage["Tile"](b, token, image), b.Node("ReduceMax", []string{count})})
	}
	among := func(b *onnx.Builder, token, image string) string { // [n, 1, 6, n, 1, 6]
		list := b.Node("Concat", []string{shapeOf(b, image, 1, 6), shapeOf(b, image, 1, 6)}, onnx.AttrInt("axis", 0))
		list = b.Node("Cast", []string{list}, onnx.AttrInt("to", int64(onnx.Float32)))
		list = b.Node("Reshape", []string{list, b.Initializer("row", importertest.Whole(1, 1, 6))})
		return b.Node("Mul", []string{forEachImage["Tile"](b, token, image), list})
	}
	for name, repeat := range map[string]func(b *onnx.Builder, token, image string) string{"places": places, "the number of images": share, "it among others": among} {
		i, err := student.ImportModel(tokenNetwork(t, importertest.Constant(importertest.Drawn(2, 1, 1, 6)), repeat), student.ImportOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := i.Model.Export(student.ExportOptions{}); err == nil || !strings.Contains(err.Error(), "the number of images in the batch") || !strings.Contains(err.Error(), " \"Mul") {
			t.Errorf("%s: error %v, want one of the node Mul that depends on the number of images", name, err)
		}
	}
	// Constants of the file's own that repeat are as they were.
	i := importModel(t, tokenNetwork(t, onnx.Float32s("", []int64{1, 1, 6}, []float32{1, 1, 1, 1, 1, 1}), forEachImage["Tile"]), student.ImportOptions{})
	if p := i.Model.Params()[2]; p.Name != "cls_token" || p.Len() != 6 || math.IsNaN(float64(p.Value.Data().([]float32)[0])) {
		t.Errorf("parameter %s has %d elements, want 6 of cls_token", p.Name, p.Len())
	}
}
