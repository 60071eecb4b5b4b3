package teachers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

func TestOpenRefuses(t *testing.T) {
	fixed, batch := onnx.Fixed, onnx.Symbol("batch")
	classifier := func(dims ...onnx.Dim) func(n *net) {
		return func(n *net) { n.logits(n.head(n.conv("conv", n.image(dims...), 3, 4), 4, 3), 3) }
	}
	for _, c := range []struct {
		name   string
		build  func(n *net)
		change func(m *onnx.Model)
		o      Options
		want   string
	}{
		{name: "two inputs", want: `model has inputs "image", "a"; a classifier teacher has exactly one image input`,
			build: func(n *net) {
				x := n.standard()
				y := n.Input("a", onnx.Float32, batch, fixed(4), fixed(6), fixed(6))
				n.logits(n.head(n.Node("Add", []string{n.conv("conv", x, 3, 4), y}), 4, 3), 3)
			}},
		{name: "no input", want: "no node of the model uses an input", build: func(n *net) {
			n.standard()
			n.logits(n.Node("Neg", []string{n.weights("w", 2, 3)}), 3)
		}},
		{name: "an input of three axes", want: `input "image" has shape [batch, 36, 3]; an image input has four axes`,
			build: func(n *net) {
				n.logits(n.Node("ReduceMax", []string{n.image(batch, fixed(36), fixed(3))}, onnx.AttrInts("axes", 1), onnx.AttrInt("keepdims", 0)), 3)
			}},
		{name: "an input of text tokens", want: `input "ids" is int64; an image input is a tensor of float32, float16, float64 or uint8`,
			build: func(n *net) {
				x := n.Input("ids", onnx.Int64, batch, fixed(3), fixed(6), fixed(6))
				n.logits(n.head(n.conv("conv", n.Node("Cast", []string{x}, onnx.AttrInt("to", 1)), 3, 4), 4, 3), 3)
			}},
		{name: "a channel axis that cannot be told", want: "say which with Options.Layout NCHW or NHWC",
			build: func(n *net) {
				x := n.image(batch, fixed(3), fixed(6), fixed(3))
				x = n.Node("MatMul", []string{x, n.weights("w", 3, 3)})
				n.logits(n.Node("ReduceMax", []string{x}, onnx.AttrInts("axes", 2, 3), onnx.AttrInt("keepdims", 0)), 3)
			}},
		{name: "five channels", want: "[batch, 5, 6, 6], from which the channel axis cannot be told", build: func(n *net) {
			n.logits(n.Node("ReduceMax", []string{n.image(batch, fixed(5), fixed(6), fixed(6))}, onnx.AttrInts("axes", 2, 3), onnx.AttrInt("keepdims", 0)), 5)
		}},
		{name: "five channels into a convolution", want: "read as NCHW with 5 channels; images have 1 or 3", build: func(n *net) {
			n.logits(n.head(n.conv("conv", n.image(batch, fixed(5), fixed(6), fixed(6)), 5, 4), 4, 3), 3)
		}},
		{name: "an empty image", want: "[batch, 3, 0, 6], which holds no images", build: classifier(batch, fixed(3), fixed(0), fixed(6))},
		{name: "an unknown layout", want: `no layout is called "hwc"`, build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{Layout: "hwc"}},
		{name: "a table of 10 GB", want: "whose result is float32 [50000 50000], the constants that the file computes take 9.31 GiB",
			build: func(n *net) {
				size := n.Initializer("size", onnx.Int64s("size", []int64{2}, []int64{50000, 50000}))
				x := n.Node("Add", []string{n.standard(), n.Node("ReduceMax", []string{n.Node("ConstantOfShape", []string{size})})})
				n.logits(n.head(n.conv("conv", x, 3, 4), 4, 3), 3)
			}},
		{name: "an image repeated without end", want: "at a time; the most that is run is 4 GiB",
			build: func(n *net) {
				times := n.Initializer("times", onnx.Int64s("times", []int64{4}, []int64{1, 1, 1 << 16, 1 << 15}))
				n.logits(n.head(n.conv("conv", n.Node("Tile", []string{n.standard(), times}), 3, 4), 4, 3), 3)
			}},
		{name: "an open size", want: "leaves the size of its images open; say it with Options.Size",
			build: classifier(batch, fixed(3), onnx.Symbol("h"), onnx.Symbol("w"))},
		{name: "a size that half fits", want: "takes images of 6 by any; it cannot be fed 8x8",
			build: classifier(batch, fixed(3), fixed(6), onnx.Symbol("w")), o: Options{Size: [2]int{8, 8}}},
		{name: "half a size", want: "images of 8x0; give a height and a width",
			build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{Size: [2]int{8, 0}}},
		{name: "another size than the model's", want: "takes images of 6x6 only; it cannot be fed 32x32",
			build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{Size: [2]int{32, 32}}},
		{name: "several outputs", want: `model has outputs "logits", "aux"; say which one holds the class scores with Options.Output`,
			build: func(n *net) {
				x := n.head(n.conv("conv", n.standard(), 3, 4), 4, 3)
				n.logits(x, 3)
				n.Output(n.Node("Relu", []string{x}), "aux", onnx.Float32, batch, fixed(3))
			}},
		{name: "an output that is not there", want: `no output is called "probs"; the model has "logits"`,
			build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{Output: "probs"}},
		{name: "a segmentation model", want: `output "mask" has shape [batch, 4, 6, 6]; a classifier teacher gives [batch, classes]`,
			build: func(n *net) {
				n.Output(n.conv("conv", n.standard(), 3, 4), "mask", onnx.Float32, batch, fixed(4), fixed(6), fixed(6))
			}},
		{name: "a segmentation model that does not say so", want: `output "mask" is float32 [1 4 6 6] for a batch of 1`,
			build: func(n *net) { n.Output(n.conv("conv", n.standard(), 3, 4), "mask", onnx.Float32) }, change: func(m *onnx.Model) {
				m.Graph.Outputs[0].HasShape = false
			}},
		{name: "two rows of scores for one image", want: `output "logits" is float32 [2 3] for a batch of 1`, build: func(n *net) {
			x := n.head(n.conv("conv", n.standard(), 3, 4), 4, 3)
			n.logits(n.Node("Concat", []string{x, x}, onnx.AttrInt("axis", 0)), 3)
		}},
		{name: "a model of one class", want: `output "logits" has shape [batch, 1]`,
			build: func(n *net) { n.logits(n.head(n.conv("conv", n.standard(), 3, 4), 4, 1), 1) }},
		{name: "class numbers in place of scores", want: `output "class" holds int64`, build: func(n *net) {
			x := n.head(n.conv("conv", n.standard(), 3, 4), 4, 3)
			n.Output(n.Node("ArgMax", []string{x}, onnx.AttrInt("axis", 1)), "class", onnx.Int64, batch, fixed(1))
		}},
		{name: "no feature map", want: "has no feature map of height and width above 1 that every path", build: func(n *net) {
			x := n.Node("Flatten", []string{n.standard()})
			n.logits(n.Node("MatMul", []string{x, n.weights("w", 108, 3)}), 3)
		}},
		{name: "shapes that do not fit", want: "running it once on 6x6 images: ort: ", build: func(n *net) {
			n.logits(n.Node("MatMul", []string{n.Node("Flatten", []string{n.standard()}), n.weights("w", 100, 3)}), 3)
		}},
		{name: "an operator that does not exist", want: "ort: ONNX Runtime refuses the model", build: func(n *net) {
			n.logits(n.head(n.Node("Frobnicate", []string{n.conv("conv", n.standard(), 3, 4)}), 4, 3), 3)
		}},
		{name: "an opset before broadcasting", want: "has opset 6; 7 is the oldest supported", build: classifier(batch, fixed(3), fixed(6), fixed(6)),
			change: func(m *onnx.Model) { m.Opsets[0].Version = 6 }},
		{name: "class order beyond the classes", want: "class order names class 3; model.onnx has classes 0 to 2",
			build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{ClassOrder: []int{0, 3}}},
		{name: "class order with a class twice", want: "names class 1 twice",
			build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{ClassOrder: []int{1, 0, 1}}},
		{name: "class order of one class", want: "at least 2",
			build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{ClassOrder: []int{1}}},
		{name: "colour means for a greyscale teacher", want: "mean has 3 values but the images have 1 channels", build: func(n *net) {
			n.logits(n.head(n.conv("conv", n.image(batch, fixed(1), fixed(6), fixed(6)), 1, 4), 4, 3), 3)
		}, o: Options{Preprocess: preprocess.Spec{Scale: 1, Mean: []float64{1, 2, 3}}}},
		{name: "metadata that cannot be read", want: "input.mean", build: classifier(batch, fixed(3), fixed(6), fixed(6)),
			change: func(m *onnx.Model) { m.SetMeta(preprocess.KeyMean, "much") }},
		{name: "negative threads", want: "neither can be negative", build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{Threads: -1}},
		{name: "a second runtime", want: "cannot change to", build: classifier(batch, fixed(3), fixed(6), fixed(6)), o: Options{Library: "/nowhere/libonnxruntime.so"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNet(17)
			c.build(n)
			var change []func(*onnx.Model)
			if c.change != nil {
				change = append(change, c.change)
			}
			s, err := Open(write(t, n.Builder, change...), c.o)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "teachers: ") {
				t.Errorf("got %v\nwant an error with %q", err, c.want)
			}
		})
	}
}

func TestOpenRefusesSequences(t *testing.T) {
	_, err := Open(fixture("sequence.onnx"), Options{})
	if err == nil || !strings.Contains(err.Error(), `output "scores" is a sequence, map or optional; a classifier teacher gives a tensor [batch, classes]`) {
		t.Errorf("got %v", err)
	}
	r, err := Inspect(fixture("sequence.onnx"), InspectOptions{})
	if err != nil || !strings.Contains(r.Problem, "is a sequence") || r.Outputs[0].Type != "other" {
		t.Errorf("%+v, %v", r, err)
	}
	m, err := onnx.ReadFile(fixture("sequence.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*onnx.Tensor{"image": onnx.Float32s("", []int64{1, 3, 8, 6}, make([]float32, 144))}
	if _, err := Evaluate(m, feeds, EvaluateOptions{}); err == nil || !strings.Contains(err.Error(), "only tensors can be returned") {
		t.Errorf("evaluating it: %v", err)
	}
}

func TestOpenRefusesBrokenFiles(t *testing.T) {
	good, err := os.ReadFile(fixture("cnn_opset13.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"an empty file", nil},
		{"half a file", good[:len(good)/2]},
		{"text", []byte("this is no model")},
		{"zeros", make([]byte, 1000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "broken.onnx")
			if err := os.WriteFile(path, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error with the path", err)
			}
			if _, err := Inspect(path, InspectOptions{}); err == nil {
				t.Error("Inspect described it")
			}
		})
	}
	if _, err := Open(filepath.Join(dir, "none.onnx"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("a folder was opened")
	}
	// Every byte of the fixture changed in turn: any answer but a crash.
	step := 97
	if testing.Short() {
		step = 997
	}
	path := filepath.Join(dir, "flipped.onnx")
	for i := 0; i < len(good); i += step {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x55
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(path, Options{}); err == nil {
			s.Close()
		}
	}
}

func TestLayoutIsDecidedByTheGraph(t *testing.T) {
	batch, fixed := onnx.Symbol("batch"), onnx.Fixed
	toNCHW := onnx.AttrInts("perm", 0, 3, 1, 2)
	for _, c := range []struct {
		name  string
		build func(n *net) (features string)
		o     Options
		want  Layout
		image [3]int // C, H, W
	}{
		{"both axes fit, a convolution reads it", func(n *net) string {
			return n.conv("conv", n.image(batch, fixed(3), fixed(6), fixed(3)), 3, 4)
		}, Options{}, NCHW, [3]int{3, 6, 3}},
		{"both axes fit, a transpose comes first", func(n *net) string {
			x := n.image(batch, fixed(3), fixed(6), fixed(3))
			x = n.Node("Mul", []string{x, n.weights("scale", 3)})
			return n.conv("conv", n.Node("Transpose", []string{x}, toNCHW), 3, 4)
		}, Options{}, NHWC, [3]int{3, 3, 6}},
		{"all open, channels from the first weights", func(n *net) string {
			return n.conv("conv", n.image(batch, onnx.Symbol("c"), onnx.Symbol("h"), onnx.Symbol("w")), 1, 4)
		}, Options{DataSize: [2]int{5, 7}}, NCHW, [3]int{1, 5, 7}},
		{"one channel", func(n *net) string {
			return n.conv("conv", n.image(batch, fixed(1), fixed(6), fixed(6)), 1, 4)
		}, Options{}, NCHW, [3]int{1, 6, 6}},
		{"size open in one axis, and asked for", func(n *net) string {
			return n.conv("conv", n.image(batch, fixed(3), fixed(6), onnx.Symbol("w")), 3, 4)
		}, Options{Size: [2]int{6, 9}, DataSize: [2]int{6, 6}}, NCHW, [3]int{3, 6, 9}},
		{"no shape at all", func(n *net) string {
			return n.conv("conv", n.image(batch, fixed(3), fixed(6), fixed(6)), 3, 4)
		}, Options{DataSize: [2]int{4, 4}}, NCHW, [3]int{3, 4, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNet(17)
			n.logits(n.head(c.build(n), 4, 3), 3)
			path := write(t, n.Builder, func(m *onnx.Model) {
				if c.name == "no shape at all" {
					m.Graph.Inputs[0].HasShape, m.Graph.Inputs[0].Shape = false, nil
				}
			})
			s := openTeacher(t, path, c.o)
			spec := s.Spec()
			if spec.Layout != c.want || [3]int{spec.C, spec.H, spec.W} != c.image {
				t.Errorf("read as %s [%d, %d, %d], want %s %v", spec.Layout, spec.C, spec.H, spec.W, c.want, c.image)
			}
			signalsOf(t, s, images(2, 6, 6, 3))
		})
	}
	t.Run("the caller's word settles it", func(t *testing.T) {
		n := newNet(17)
		x := n.image(batch, fixed(3), fixed(6), fixed(3))
		x = n.Node("MatMul", []string{x, n.weights("w", 3, 3)})
		n.logits(n.Node("ReduceMax", []string{x}, onnx.AttrInts("axes", 2, 3), onnx.AttrInt("keepdims", 0)), 3)
		path := write(t, n.Builder)
		for typed, want := range map[Layout]Layout{NCHW: NCHW, NHWC: NHWC, "nhwc": NHWC} {
			s := openTeacher(t, path, Options{Layout: typed, Map: MapNone})
			if got := s.Spec().Layout; got != want {
				t.Errorf("%s is read as %s, want %s", typed, got, want)
			}
		}
	})
}

// A batch of one may be fixed in ways that its operators do not show.
func TestABatchThatMattersIsNotRewritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		batch   onnx.Dim
		spoil   func(n *net, x string) string
		want    int
		because string
	}{
		{"nothing stands against it", onnx.Fixed(1), func(n *net, x string) string { return x }, 0, "rewritten to any batch"},
		{"an operator without a rule", onnx.Fixed(1), func(n *net, x string) string {
			return n.Node("Einsum", []string{x}, onnx.AttrString("equation", "nchw->nchw"))
		}, 0, "rewritten to any batch"},
		{"the mean of the batch is added", onnx.Fixed(1), func(n *net, x string) string {
			m := n.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", 0), onnx.AttrInt("keepdims", 1))
			return n.Node("Add", []string{x, m})
		}, 1, "cannot be rewritten (onnx: the batch cannot be made"},
		{"the same, declared open", onnx.Symbol("batch"), func(n *net, x string) string {
			m := n.Node("ReduceMean", []string{x}, onnx.AttrInts("axes", 0), onnx.AttrInt("keepdims", 1))
			return n.Node("Add", []string{x, m})
		}, 1, "does not keep to it (two images run together change"},
		{"a batch of 0, which some exporters write for an open one", onnx.Fixed(0), func(n *net, x string) string { return x }, 0, ""},
		{"a reshape to one image, declared open", onnx.Symbol("batch"), func(n *net, x string) string {
			return n.Node("Reshape", []string{x, n.Initializer("one", onnx.Int64s("one", []int64{4}, []int64{1, 4, 6, 6}))})
		}, 1, "does not keep to it (a batch of 2 fails"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNet(17)
			x := n.conv("conv", n.image(c.batch, onnx.Fixed(3), onnx.Fixed(6), onnx.Fixed(6)), 3, 4)
			n.Output(n.head(c.spoil(n, x), 4, 3), "logits", onnx.Float32, c.batch, onnx.Fixed(3))
			s := openTeacher(t, write(t, n.Builder), Options{Taps: []string{"conv"}})
			spec := s.Spec()
			if spec.Batch != c.want || !strings.Contains(strings.Join(spec.Notes, "\n"), c.because) {
				t.Errorf("batch %d with notes %q; want %d and %q", spec.Batch, spec.Notes, c.want, c.because)
			}
			// Whatever was decided, images must not see each other.
			b := images(3, 6, 6, 3)
			together := signalsOf(t, s, b)
			for i := range b.N {
				one := Batch{Pixels: b.Pixels[i*108 : (i+1)*108], N: 1, H: 6, W: 6, C: 3}
				alone := signalsOf(t, s, one)
				compare(t, "logits", together.Logits[i*3:(i+1)*3], wide(alone.Logits), batchTolerance)
				compare(t, "map", together.Maps[0].Data[i*36:(i+1)*36], wide(alone.Maps[0].Data), batchTolerance)
			}
		})
	}
}

func wide(in []float32) []float64 {
	out := make([]float64, len(in))
	for i, v := range in {
		out[i] = float64(v)
	}
	return out
}

func TestWhereLogitsComeFrom(t *testing.T) {
	// The head gives [N, 3]; each case makes the output of it.
	for _, c := range []struct {
		name  string
		build func(n *net, x string) string
		from  Logits
		shift bool // logits may differ by a constant per image
	}{
		{"plain scores", func(n *net, x string) string { return x }, LogitsOutput, false},
		{"softmax", func(n *net, x string) string { return n.Node("Softmax", []string{x}, onnx.AttrInt("axis", 1)) }, LogitsBeforeSoftmax, false},
		{"log-softmax", func(n *net, x string) string { return n.Node("LogSoftmax", []string{x}, onnx.AttrInt("axis", -1)) }, LogitsBeforeSoftmax, false},
		{"softmax, then an identity and a dropout", func(n *net, x string) string {
			return n.Node("Dropout", []string{n.Node("Identity", []string{n.Node("Softmax", []string{x}, onnx.AttrInt("axis", 1))})})
		}, LogitsBeforeSoftmax, false},
		{"softmax of [N, 3, 1, 1], then flattened", func(n *net, x string) string {
			x = n.Node("Unsqueeze", []string{x, n.Initializer("axes", onnx.Int64s("axes", []int64{2}, []int64{2, 3}))})
			return n.Node("Flatten", []string{n.Node("Softmax", []string{x}, onnx.AttrInt("axis", 1))})
		}, LogitsBeforeSoftmax, false},
		{"scores of [N, 3, 1, 1]", func(n *net, x string) string {
			return n.Node("Unsqueeze", []string{x, n.Initializer("axes", onnx.Int64s("axes", []int64{2}, []int64{2, 3}))})
		}, LogitsOutput, false},
		{"softmax of [N, 1, 1, 3]", func(n *net, x string) string {
			x = n.Node("Unsqueeze", []string{x, n.Initializer("axes", onnx.Int64s("axes", []int64{2}, []int64{1, 2}))})
			return n.Node("Softmax", []string{x}, onnx.AttrInt("axis", 3))
		}, LogitsBeforeSoftmax, false},
		{"a softmax that is scaled afterwards", func(n *net, x string) string {
			x = n.Node("Softmax", []string{x}, onnx.AttrInt("axis", 1))
			return n.Node("Mul", []string{x, n.Initializer("one", onnx.Float32s("one", nil, []float32{1}))})
		}, LogitsBeforeSoftmax, false},
		{"a log of a softmax", func(n *net, x string) string {
			return n.Node("Log", []string{n.Node("Softmax", []string{x}, onnx.AttrInt("axis", 1))})
		}, LogitsBeforeSoftmax, false},
		{"a sigmoid", func(n *net, x string) string { return n.Node("Sigmoid", []string{x}) }, LogitsBeforeSigmoid, false},
		{"a softmax of no known form", func(n *net, x string) string {
			x = n.Node("Exp", []string{x})
			return n.Node("Div", []string{x, n.Node("ReduceL1", []string{x}, onnx.AttrInts("axes", 1))})
		}, LogitsLogP, true},
		{"its logarithm", func(n *net, x string) string {
			x = n.Node("Exp", []string{x})
			return n.Node("Log", []string{n.Node("Div", []string{x, n.Node("ReduceL1", []string{x}, onnx.AttrInts("axes", 1))})})
		}, LogitsOutput, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := images(4, 6, 6, 3)
			build := func(end func(n *net, x string) string) *Session {
				n := newNet(17)
				x := end(n, n.head(n.conv("conv", n.standard(), 3, 4), 4, 3))
				n.Output(x, "out", onnx.Float32)
				path := write(t, n.Builder, func(m *onnx.Model) { m.Graph.Outputs[0].HasShape = false })
				return openTeacher(t, path, Options{Map: MapNone})
			}
			want := wide(signalsOf(t, build(func(n *net, x string) string { return x }), b).Logits)
			s := build(c.build)
			if got := s.Spec().Logits; got != c.from {
				t.Errorf("logits come from %q, want %q", got, c.from)
			}
			if c.shift {
				want = logP(want, 3)
			}
			compare(t, "logits", signalsOf(t, s, b).Logits, want, logTolerance)
			if notes := strings.Join(s.Spec().Notes, "\n"); (c.from != LogitsOutput) != (strings.Contains(notes, "softmax") || strings.Contains(notes, "sigmoid")) {
				t.Errorf("notes are %q", notes)
			}
		})
	}
}

func TestWhatTheLogitsDoNotNeedIsIgnored(t *testing.T) {
	n := newNet(17)
	x := n.standard()
	n.Input("unused", onnx.Int64, onnx.Fixed(1))
	y := n.conv("conv", x, 3, 4)
	// A sequence that the image passes through is no tap.
	zero := n.Initializer("zero", onnx.Int64s("zero", nil, []int64{0}))
	z := n.Node("SequenceAt", []string{n.Node("SequenceConstruct", []string{y}), zero})
	n.Name("after")
	z = n.Node("Relu", []string{z})
	n.logits(n.head(z, 4, 3), 3)
	s := openTeacher(t, write(t, n.Builder), Options{})
	if taps := s.Spec().Taps; len(taps) != 1 || taps[0].Name != "after" {
		t.Errorf("taps %+v", taps)
	}
	signalsOf(t, s, images(2, 6, 6, 3))
}

func TestClassOrder(t *testing.T) {
	g, b := readGolden(t)
	s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{Preprocess: cifar(t), ClassOrder: []int{4, 0, 2}})
	if got := s.Spec().Classes; got != 3 {
		t.Errorf("%d classes, want the 3 of the data", got)
	}
	var want []float64
	for i := range b.N {
		for _, c := range []int{4, 0, 2} {
			want = append(want, g.Logits[i*g.Classes+c])
		}
	}
	compare(t, "logits", signalsOf(t, s, b).Logits, want, runtimeTolerance)
	if err := s.SetClassOrder(nil); err != nil {
		t.Fatal(err)
	}
	compare(t, "logits in the teacher's order", signalsOf(t, s, b).Logits, g.Logits, runtimeTolerance)
}

func TestSignalsRefuse(t *testing.T) {
	s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{})
	good := images(2, 8, 6, 3)
	for _, c := range []struct {
		name   string
		change func(b *Batch)
		want   string
	}{
		{"no images", func(b *Batch) { b.N = 0 }, "batch of 0 images"},
		{"two channels", func(b *Batch) { b.C = 2 }, "channels 1 or 3"},
		{"too few pixels", func(b *Batch) { b.Pixels = b.Pixels[1:] }, "with 287 pixel values"},
		{"a row too narrow", func(b *Batch) { b.W = 5 }, "[2, 8, 5, 3] with 288 pixel values"},
		{"sizes whose product wraps round", func(b *Batch) { b.H, b.W = 1<<62, 1<<3 }, "pixel values"},
		{"one identity for two images", func(b *Batch) { b.Samples = b.Samples[:1] }, "2 images with 1 sample identities"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := good
			c.change(&b)
			if _, err := s.Signals(b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	t.Run("after closing", func(t *testing.T) {
		s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{})
		kept := signalsOf(t, s, good)
		before := append([]float32(nil), kept.Logits...)
		s.Close()
		if _, err := s.Signals(good); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("got %v", err)
		}
		if d := cmp.Diff(before, kept.Logits); d != "" {
			t.Errorf("signals changed when the teacher was closed:\n%s", d)
		}
	})
	t.Run("normalising bytes twice", func(t *testing.T) {
		_, err := Open(fixture("uint8.onnx"), Options{Preprocess: cifar(t)})
		if err == nil || !strings.Contains(err.Error(), "takes bytes and normalises them itself") {
			t.Errorf("got %v", err)
		}
	})
}

func TestNotANumberNamesTheImage(t *testing.T) {
	// The square root of (mean brightness - 0.5) is NaN for dark images only.
	build := func(root func(n *net, x string) string, kind MapKind, taps ...string) *Session {
		n := newNet(17)
		x := n.standard()
		y := n.Node("Sub", []string{x, n.Initializer("half", onnx.Float32s("half", nil, []float32{0.5}))})
		w := make([]float32, 4*3)
		for i := range w {
			w[i] = 1
		}
		y = n.Node("Conv", []string{y, n.Initializer("ones", onnx.Float32s("ones", []int64{4, 3, 1, 1}, w))})
		n.logits(n.head(root(n, y), 4, 3), 3)
		return openTeacher(t, write(t, n.Builder), Options{Taps: taps, Map: kind, Preprocess: preprocess.Spec{Scale: 1.0 / 255}})
	}
	b := images(3, 6, 6, 3)
	for i := range b.Pixels {
		b.Pixels[i] = 200
		if i/108 == 1 {
			b.Pixels[i] = 20
		}
	}
	s := build(func(n *net, x string) string { return n.Node("Sqrt", []string{x}) }, MapSum)
	_, err := s.Signals(b)
	if err == nil || !strings.Contains(err.Error(), "gives the logit NaN for sample 0x65, view 0; its preprocessing (unit) may be wrong") {
		t.Errorf("got %v", err)
	}
	b.Samples = nil
	if _, err = s.Signals(b); err == nil || !strings.Contains(err.Error(), "for image 1 of the batch") {
		t.Errorf("got %v", err)
	}
	// A map may be NaN where the logits are not.
	s = build(func(n *net, x string) string {
		n.Name("root")
		n.Node("Sqrt", []string{x})
		return x
	}, MapSum, "root")
	if _, err = s.Signals(b); err == nil || !strings.Contains(err.Error(), `gives NaN at tap "root" for image 1`) {
		t.Errorf("got %v", err)
	}
	s = build(func(n *net, x string) string {
		dark := n.Node("Relu", []string{x})
		n.Name("inverse")
		n.Node("Reciprocal", []string{dark})
		return x
	}, MapSum, "inverse")
	if _, err = s.Signals(b); err == nil || !strings.Contains(err.Error(), `gives NaN at tap "inverse" for image 1`) {
		t.Errorf("got %v", err)
	}
}

func TestSignalsDoNotDependOnChunks(t *testing.T) {
	b := images(7, 8, 6, 3)
	want := signalsOf(t, openTeacher(t, fixture("cnn_opset13.onnx"), Options{Preprocess: cifar(t)}), b)
	for _, o := range []Options{{Batch: 3}, {Batch: 1}, {Batch: 100}, {Threads: 1}} {
		o.Preprocess = cifar(t)
		got := signalsOf(t, openTeacher(t, fixture("cnn_opset13.onnx"), o), b)
		compare(t, "logits", got.Logits, wide(want.Logits), batchTolerance)
		for i := range want.Maps {
			compare(t, "map", got.Maps[i].Data, wide(want.Maps[i].Data), batchTolerance)
		}
	}
}

func TestSignalsRepeat(t *testing.T) {
	b := images(5, 8, 6, 3)
	first := signalsOf(t, openTeacher(t, fixture("cnn_opset13.onnx"), Options{Threads: 2}), b)
	s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{Threads: 2})
	done := make(chan *Signals)
	for range 4 {
		go func() {
			got, err := s.Signals(b)
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
	}
	for range 4 {
		if d := cmp.Diff(first, <-done); d != "" {
			t.Errorf("the same batch answers otherwise:\n%s", d)
		}
	}
}

func TestExternalWeightsAreFollowedAndHashed(t *testing.T) {
	g, b := readGolden(t)
	m, err := onnx.ReadFile(fixture("cnn_opset13.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "split.onnx")
	if err := m.WriteExternal(path, 64); err != nil {
		t.Fatal(err)
	}
	s := openTeacher(t, path, Options{Preprocess: cifar(t)})
	compare(t, "logits", signalsOf(t, s, b).Logits, g.Logits, runtimeTolerance)
	before := s.Spec().Hash
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v; want the model and its weights", files, err)
	}
	for _, f := range files {
		if f == path {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		data[0] ^= 1
		if err := os.WriteFile(f, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	after, err := Hash(path)
	if err != nil || after == before {
		t.Errorf("hash %s did not change with the weights, %v", after, err)
	}
}

func TestPowerOneIsSum(t *testing.T) {
	b := images(2, 8, 6, 3)
	sum := signalsOf(t, openTeacher(t, fixture("cnn_opset13.onnx"), Options{Map: MapSum}), b)
	one := signalsOf(t, openTeacher(t, fixture("cnn_opset13.onnx"), Options{Map: MapSumPow, Power: 1}), b)
	for i := range sum.Maps {
		compare(t, "map", one.Maps[i].Data, wide(sum.Maps[i].Data), runtimeTolerance)
	}
	if s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{Map: MapSum, Power: 4}); s.Spec().Power != 1 {
		t.Errorf("sum has power %v, want 1", s.Spec().Power)
	}
}

// Files of newer opsets than those that exports have are teachers with the same
// taps, logits and maps.
func TestTeachersOfNewOpsetsOpen(t *testing.T) {
	var want *Signals
	for _, opset := range []int64{17, 22, 23, 24, 25, 26} {
		t.Run(fmt.Sprint("opset ", opset), func(t *testing.T) {
			n := newNet(opset)
			x := n.conv("conv", n.standard(), 3, 4)
			n.logits(n.head(n.conv("conv2", x, 4, 4), 4, 3), 3)
			teacher := openTeacher(t, write(t, n.Builder), Options{Map: MapSumPow})
			got := signalsOf(t, teacher, images(2, 6, 6, 3))
			if want == nil {
				want = got
				return
			}
			if len(got.Maps) == 0 || len(got.Maps) != len(want.Maps) {
				t.Fatalf("%d maps, at opset 17 %d", len(got.Maps), len(want.Maps))
			}
			compare(t, "logits", got.Logits, wide(want.Logits), runtimeTolerance)
			for i, m := range got.Maps {
				compare(t, fmt.Sprint("map ", i), m.Data, wide(want.Maps[i].Data), runtimeTolerance)
			}
		})
	}
}

// A branch that the image's size decides is taken as a student takes it: what lies
// behind and inside is a tap, and the logits are those before the softmax in it.
func TestBranchesBySizeAreTaken(t *testing.T) {
	n := newNet(13)
	x := n.conv("conv", n.image(onnx.Symbol("n"), onnx.Fixed(3), onnx.Symbol("h"), onnx.Symbol("w")), 3, 4)
	one := n.Initializer("one", onnx.Int64s("", nil, []int64{6}))
	side := n.Node("Gather", []string{n.Node("Shape", []string{x}), n.Initializer("i", onnx.Int64s("", nil, []int64{3}))})
	cond := n.Node("Equal", []string{side, one})
	branch := func(op string) *onnx.Graph {
		return &onnx.Graph{Name: op, Nodes: []*onnx.Node{{Op: op, Inputs: []string{x}, Outputs: []string{"in" + op}}}, Outputs: []*onnx.Value{{Name: "in" + op, Type: onnx.Float32}}}
	}
	x = n.Node("If", []string{cond}, onnx.AttrGraph("then_branch", branch("Relu")), onnx.AttrGraph("else_branch", branch("Neg")))
	n.logits(n.Node("Softmax", []string{n.head(x, 4, 3)}), 3)
	path := write(t, n.Builder)
	const note = "If nodes that depend on the size of a value, replaced by their branch for these images: 1"
	for _, size := range [][2]int{{6, 6}, {8, 8}} {
		r, err := Inspect(path, InspectOptions{Size: size})
		if err != nil || r.Problem != "" {
			t.Fatal(err, r)
		}
		if len(r.Taps) != 2 || r.Taps[1].Name != x || r.Logits != LogitsBeforeSoftmax || !strings.Contains(strings.Join(r.Notes, "\n"), note) {
			t.Errorf("at %v: taps %v, logits from %s, notes %q", size, r.Taps, r.Logits, r.Notes)
		}
	}
	// Of the sizes that are tried the first that it takes decides.
	if r, err := Inspect(path, InspectOptions{}); err != nil || !strings.Contains(strings.Join(r.Notes, "\n"), note) {
		t.Errorf("%v, notes %q", err, r.Notes)
	}
}
