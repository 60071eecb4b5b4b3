package teachers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// sketch makes a graph of nodes written as "result = Op operand operand".
// A and B are constants.
func sketch(t *testing.T, lines ...string) *onnx.Graph {
	t.Helper()
	g := &onnx.Graph{
		Inputs:       []*onnx.Value{{Name: "image", Type: onnx.Float32}},
		Initializers: []*onnx.Tensor{onnx.Float32s("W", []int64{1}, []float32{1})},
	}
	for _, l := range lines {
		result, call, ok := strings.Cut(l, " = ")
		words := strings.Fields(call)
		if !ok || len(words) == 0 {
			t.Fatalf("bad line %q", l)
		}
		n := &onnx.Node{Op: words[0], Inputs: words[1:], Outputs: strings.Fields(result)}
		switch n.Op {
		case "ToNCHW":
			n.Op, n.Attrs = "Transpose", []*onnx.Attr{onnx.AttrInts("perm", 0, 3, 1, 2)}
		case "ToNHWC":
			n.Op, n.Attrs = "Transpose", []*onnx.Attr{onnx.AttrInts("perm", 0, 2, 3, 1)}
		}
		g.Nodes = append(g.Nodes, n)
	}
	return g
}

func TestThroats(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"a chain is all throat", []string{"a = Conv image W", "b = Relu a", "out = Gemm b W"}, "a b"},
		{"a Pad gives its operand with a margin", []string{
			"a = Conv image W", "p = Pad a W", "b = Conv p W", "q = Pad b W", "out = Gemm q W"}, "a b"},
		{"a residual block is passed at its ends", []string{
			"a = Conv image W", "b = Conv a W", "c = Relu b", "d = Add a c", "out = Gemm d W"}, "a d"},
		{"two branches meet", []string{
			"a = Conv image W", "b = Conv a W", "c = Conv a W", "d = Concat b c", "out = Gemm d W"}, "a d"},
		{"branches from the image leave nothing before they meet", []string{
			"a = Conv image W", "b = Conv image W", "c = Add a b", "d = Relu c", "out = Gemm d W"}, "c d"},
		{"a long skip over everything", []string{
			"a = Conv image W", "b = Relu a", "c = Relu b", "d = Concat a c", "out = Gemm d W"}, "a d"},
		{"the image's own normalisation is no feature", []string{
			"n = Sub image W", "m = Div n W", "a = Conv m W", "out = Gemm a W"}, "a"},
		{"the shape of the image, used at the end, is no path", []string{
			"s = Shape image", "a = Conv image W", "b = Relu a", "r = Reshape b s", "out = Gemm r W"}, "a b r"},
		{"squeeze and excitation gates within the block", []string{
			"a = Conv image W", "p = GlobalAveragePool a", "q = Conv p W", "s = Sigmoid q", "b = Mul a s", "out = Gemm b W"}, "a b"},
		{"what does not lead to the logits does not count", []string{
			"a = Conv image W", "x = Conv a W", "b = Relu a", "y = Add x b", "out = Gemm b W"}, "a b"},
		{"two results of one node are two ways", []string{
			"a = Conv image W", "l r = Split a", "c = Concat l r", "out = Gemm c W"}, "a c"},
		{"constants are no throat", []string{"k = Relu W", "a = Conv image k", "out = Gemm a W"}, "a"},
		{"the logits do not come from the image", []string{"a = Conv image W", "out = Gemm W W"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := sketch(t, c.lines...)
			got := strings.Join(throats(g, g.Index(), "image", "out"), " ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A throat is by definition a value whose removal cuts the image off from the
// logits; random graphs are checked against that.
func TestThroatsAreWhatCutsTheGraph(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		lines := []string{"v0 = Conv image W"}
		names := []string{"v0"}
		for i := 1; i < 12; i++ {
			// Operands lie close behind, so that throats do occur.
			a := names[max(0, len(names)-1-rng.IntN(3))]
			b := names[max(0, len(names)-1-rng.IntN(3))]
			names = append(names, fmt.Sprintf("v%d", i))
			lines = append(lines, fmt.Sprintf("v%d = Add %s %s", i, a, b))
		}
		lines = append(lines, "out = Gemm "+names[len(names)-1]+" W")
		g := sketch(t, lines...)
		x := g.Index()
		connects := func(without string) bool {
			reached := map[string]bool{"image": true}
			for _, n := range g.Nodes {
				for _, in := range n.Inputs {
					if reached[in] && n.Outputs[0] != without {
						reached[n.Outputs[0]] = true
					}
				}
			}
			return reached["out"]
		}
		var want []string
		for _, v := range names {
			if !connects(v) {
				want = append(want, v)
			}
		}
		if d := cmp.Diff(want, throats(g, x, "image", "out")); d != "" {
			t.Fatalf("seed %d, -by removal +got:\n%s\n%s", seed, d, strings.Join(lines, "\n"))
		}
	}
}

func TestThroatsSeeWhatSubgraphsUse(t *testing.T) {
	// a reaches the logits through b and, inside the branch of If, directly.
	g := sketch(t, "a = Conv image W", "b = Relu a", "c = If W", "out = Add b c")
	branch := &onnx.Graph{Nodes: []*onnx.Node{{Op: "Relu", Inputs: []string{"a"}, Outputs: []string{"inner"}}}, Outputs: []*onnx.Value{{Name: "inner"}}}
	g.Nodes[2].Attrs = []*onnx.Attr{onnx.AttrGraph("then_branch", branch)}
	if got := strings.Join(throats(g, g.Index(), "image", "out"), " "); got != "a" {
		t.Errorf("got %q, want a alone", got)
	}
}

// A file of 400 kB has nodes of so many operands and results, which made a thousand
// million edges, and one of 5 MB so many nodes in any order.
func TestTapsOfLargeGraphsTakeNoTime(t *testing.T) {
	many := func(prefix string, n int) []string {
		names := make([]string, n)
		for i := range names {
			names[i] = prefix + fmt.Sprint(i)
		}
		return names
	}
	wide := sketch(t, "a = Conv image W")
	parts, others := many("p", 30_000), many("q", 30_000)
	wide.Nodes = append(wide.Nodes, &onnx.Node{Op: "Split", Inputs: []string{"a"}, Outputs: parts}, &onnx.Node{Op: "Max", Inputs: parts, Outputs: others},
		&onnx.Node{Op: "Concat", Inputs: others, Outputs: []string{"c"}})
	wide.Nodes = append(wide.Nodes, sketch(t, "out = Gemm c W").Nodes...)

	// Each sum tells of one value more, in an order in which neighbours are far apart.
	odd := sketch(t, "a = Conv image W")
	values := many("v", 50_000)
	odd.Nodes = append(odd.Nodes, &onnx.Node{Op: "Loop", Inputs: []string{"a"}, Outputs: values})
	sum := func(i int) {
		odd.Nodes = append(odd.Nodes, &onnx.Node{Op: "Add", Inputs: []string{values[i], values[i+1]}, Outputs: []string{fmt.Sprint("s", i)}})
	}
	for i := 0; i+1 < len(values); i += 2 {
		sum(i)
	}
	for i := len(values) - 3; i > 0; i -= 2 {
		sum(i)
	}
	odd.Nodes = append(odd.Nodes, sketch(t, "r = Relu v0", "b = Add r a", "out = Gemm b W").Nodes...)

	for name, g := range map[string]*onnx.Graph{"wide": wide, "odd": odd} {
		start := time.Now()
		x := g.Index()
		got := strings.Join(throats(g, x, "image", "out"), " ")
		known := layouts(g, x, "image", NCHW)
		if want := map[string]string{"wide": "a c", "odd": "a b"}[name]; got != want {
			t.Errorf("%s: throats %q, want %q", name, got, want)
		}
		for _, v := range []string{parts[7], others[len(others)-1], "c", values[0], values[len(values)-1], "s20001"} {
			if (x.Producer(v) != nil) != (known[v] == NCHW) {
				t.Errorf("%s: %s has layout %q", name, v, known[v])
			}
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		name   string
		layout Layout
		lines  []string
		want   map[string]Layout
	}{
		{"operators that fix it", NCHW, []string{"a = Conv image W", "b = Relu a"},
			map[string]Layout{"a": NCHW, "b": NCHW}},
		{"a transpose to channels first", NHWC, []string{"a = ToNCHW image", "b = Conv a W"},
			map[string]Layout{"a": NCHW, "b": NCHW}},
		{"channels last between two transposes", NCHW, []string{"a = Conv image W", "b = ToNHWC a", "c = Relu b", "d = ToNCHW c", "e = Conv d W"},
			map[string]Layout{"a": NCHW, "b": NHWC, "c": NHWC, "d": NCHW, "e": NCHW}},
		{"backwards from a use", NCHW, []string{"a = Reshape image W", "b = Relu a", "c = Conv b W"},
			map[string]Layout{"a": NCHW, "b": NCHW, "c": NCHW}},
		{"unknown stays unknown", NCHW, []string{"a = Reshape image W", "b = Relu a", "c = Reshape b W"},
			map[string]Layout{"a": "", "b": "", "c": ""}},
		{"a dense layer on the channels", NHWC, []string{"a = MatMul image W", "b = Gelu a"},
			map[string]Layout{"a": NHWC, "b": NHWC}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := sketch(t, c.lines...)
			got := layouts(g, g.Index(), "image", c.layout)
			for v, want := range c.want {
				if got[v] != want {
					t.Errorf("%s is %q, want %q", v, got[v], want)
				}
			}
			if got["W"] != "" {
				t.Error("a constant was given a layout")
			}
		})
	}
}

func TestSignless(t *testing.T) {
	clip := func(min, max float32) []*onnx.Attr {
		return []*onnx.Attr{onnx.AttrFloat("min", min), onnx.AttrFloat("max", max)}
	}
	for _, c := range []struct {
		name  string
		attrs []*onnx.Attr // of the last node
		lines []string
		want  bool
	}{
		{"the image", nil, []string{"out = Identity image"}, false},
		{"a convolution", nil, []string{"a = Relu image", "out = Conv a W"}, false},
		{"a rectifier", nil, []string{"a = Conv image W", "out = Relu a"}, true},
		{"a leaky one", nil, []string{"out = LeakyRelu image"}, false},
		{"a block's end", nil, []string{"a = Relu image", "b = Sigmoid image", "c = Mul a b", "d = MaxPool c", "out = Concat c d"}, true},
		{"one operand that may be negative", nil, []string{"a = Relu image", "out = Add a image"}, false},
		{"a constant, which is not looked into", nil, []string{"a = Relu image", "out = Mul a W"}, false},
		{"a difference", nil, []string{"a = Relu image", "out = Sub a a"}, false},
		{"a dropout with its rate", nil, []string{"a = Relu image", "out = Dropout a W"}, true},
		{"a clip to 0..6 by attributes", clip(0, 6), []string{"out = Clip image"}, true},
		{"a clip from below zero", clip(-1, 6), []string{"out = Clip image"}, false},
		{"a clip whose bounds cross", clip(0, -1), []string{"out = Clip image"}, false},
		{"a clip from 1 on, by an operand", nil, []string{"out = Clip image W"}, true},
		{"a clip to 0..1 by operands", nil, []string{"out = Clip image zero W"}, true},
		{"a clip by a computed bound", nil, []string{"a = Relu image", "out = Clip image a"}, false},
		{"a clip without bounds", nil, []string{"out = Clip image"}, false},
		{"a clip to what may be below zero", nil, []string{"out = Clip image minus W"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := sketch(t, c.lines...)
			g.Initializers = append(g.Initializers, onnx.Float32s("zero", nil, []float32{0}), onnx.Float32s("minus", nil, []float32{-1}))
			g.Nodes[len(g.Nodes)-1].Attrs = c.attrs
			if got := signless(g, g.Index())["out"]; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	t.Run("an operator of another domain", func(t *testing.T) {
		g := sketch(t, "out = Relu image")
		g.Nodes[0].Domain = "example.org"
		if signless(g, g.Index())["out"] {
			t.Error("its name alone was believed")
		}
	})
}

func TestSuggest(t *testing.T) {
	taps := []Tap{{Name: "a", H: 32, W: 32}, {Name: "b", H: 32, W: 32}, {Name: "c", H: 16, W: 16}, {Name: "d", H: 8, W: 8}, {Name: "e", H: 8, W: 8}, {Name: "f", H: 8, W: 4}}
	suggest(taps)
	var got []string
	for _, tap := range taps {
		if tap.Suggested {
			got = append(got, tap.Name)
		}
	}
	if d := cmp.Diff([]string{"b", "c", "e", "f"}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestNearest(t *testing.T) {
	all := []string{"/layer1/Relu_output_0", "/layer2/Relu_output_0", "/layer2/Conv_output_0", "stage1", "stage2", "x"}
	for _, c := range []struct {
		name, typed string
		want        []string
	}{
		{"one letter off", "stge1", []string{"stage1", "stage2"}},
		{"another case", "STAGE2", []string{"stage2", "stage1"}},
		{"a part of the name", "layer2", []string{"/layer2/Relu_output_0", "/layer2/Conv_output_0"}},
		{"nothing like it", "completely-different", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, nearest(c.typed, all, 2)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestTapsByName(t *testing.T) {
	path := fixture("cnn_opset13.onnx")
	for _, c := range []struct {
		name string
		o    Options
		want []string // of the taps opened, or of the error
		fail bool
	}{
		{"the suggested ones, by default", Options{}, []string{"stage1", "stage2"}, false},
		{"those named, in that order", Options{Taps: []string{"stage2", "/c1/Conv_output_0"}}, []string{"stage2", "/c1/Conv_output_0"}, false},
		{"by the node's name", Options{Taps: []string{"/down/Conv"}}, []string{"/down/Conv_output_0"}, false},
		{"none, for logits alone", Options{Map: MapNone}, nil, false},
		{"a misspelt name lists its neighbours", Options{Taps: []string{"stage3"}}, []string{`no value of the model is called "stage3"`, `did you mean "stage1", "stage2"?`}, true},
		{"a name like no other", Options{Taps: []string{"zzzzzzzzzzzz"}}, []string{`called "zzzzzzzzzzzz"; ` + "`distill inspect`"}, true},
		{"twice the same", Options{Taps: []string{"stage1", "stage1"}}, []string{`"stage1" is named twice`}, true},
		{"a value that is no feature map", Options{Taps: []string{"/Flatten_output_0"}}, []string{"float32 [1 6]; a tap is a tensor of real numbers with four axes"}, true},
		{"a map of one pixel", Options{Taps: []string{"/pool/GlobalAveragePool_output_0"}}, []string{"[1 6 1 1]", "height and width above 1"}, true},
		{"taps without maps", Options{Taps: []string{"stage1"}, Map: MapNone}, []string{`taps "stage1" are named but the map is "none"`}, true},
		{"an unknown map", Options{Map: "mean"}, []string{`no attention map is called "mean"; it is one of sum^p, sum, max^p, none`}, true},
		{"a power of zero or less", Options{Power: -1}, []string{"power -1"}, true},
		{"a power beyond float32", Options{Power: 9}, []string{"power 9", "up to 8"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(path, c.o)
			if c.fail {
				for _, want := range c.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want an error with %q", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var got []string
			for _, tap := range s.Spec().Taps {
				got = append(got, tap.Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("taps %q, want %q", got, c.want)
			}
		})
	}
}

// The shapes that operators tell are asked for where a tap may be, the others up to
// a bound, the last first.
func TestFewValuesAreAskedFor(t *testing.T) {
	told := map[string]*onnx.Value{}
	var throats, unknown []string
	for i := range 3 * mostAsked {
		name := fmt.Sprintf("v%04d", i)
		throats = append(throats, name)
		told[name] = &onnx.Value{Name: name, Shape: []onnx.Dim{onnx.Fixed(1), onnx.Fixed(int64(i / mostAsked))}, HasShape: true}
		unknown = append(unknown, "u"+name)
	}
	q := questions{certain: []string{"out", "logits"}, throats: throats, others: unknown[:5]}
	want := []string{"logits", "out", "uv0000", "uv0001", "uv0002", "uv0003", "uv0004", "v0999", "v1999", "v2999"}
	if got, left := q.asked(told); left != 0 || !slices.Equal(got, want) {
		t.Errorf("asked for %v, left out %d", got, left)
	}
	q = questions{certain: []string{"out"}, throats: unknown, others: throats}
	got, left := q.asked(nil)
	if len(got) != 2*mostAsked+1 || left != 4*mostAsked || got[1] != "uv2000" || got[len(got)-1] != "v2999" {
		t.Errorf("asked for %d, left out %d: %v ... %v", len(got), left, got[:2], got[len(got)-1])
	}
}
