package teachers

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// The disguises of the fixture network. Each must give PyTorch's signals.
var disguises = []struct {
	name, file string
	layout     Layout
	input      onnx.DataType
	logits     Logits
	batch      int
	tolerance  float64
	note       string // part of a note that must be there
}{
	{"opset 11, batch open", "cnn_opset11.onnx", NCHW, onnx.Float32, LogitsOutput, 0, runtimeTolerance, ""},
	{"opset 13, batch open", "cnn_opset13.onnx", NCHW, onnx.Float32, LogitsOutput, 0, runtimeTolerance, ""},
	{"opset 17, batch open", "cnn_opset17.onnx", NCHW, onnx.Float32, LogitsOutput, 0, runtimeTolerance, ""},
	{"channels last, batch of 1, softmax", "nhwc_softmax.onnx", NHWC, onnx.Float32, LogitsBeforeSoftmax, 0, runtimeTolerance, "logits are taken before it"},
	{"softmax written out", "hidden_softmax.onnx", NCHW, onnx.Float32, LogitsBeforeSoftmax, 0, runtimeTolerance, "logits are taken before it"},
	{"bytes in", "uint8.onnx", NHWC, onnx.Uint8, LogitsOutput, 0, runtimeTolerance, ""},
	{"batch of 1 baked in", "fixed_batch.onnx", NCHW, onnx.Float32, LogitsOutput, 1, runtimeTolerance, "images are run one by one"},
	{"batch of 2 baked in, three images", "fixed_batch2.onnx", NCHW, onnx.Float32, LogitsOutput, 2, runtimeTolerance, "2 at a time"},
	{"taps channels last inside", "nhwc_inside.onnx", NCHW, onnx.Float32, LogitsOutput, 0, runtimeTolerance, ""},
	{"half precision", "float16.onnx", NCHW, onnx.Float16, LogitsOutput, 0, halfTolerance, ""},
}

func TestSignalsAreThoseOfPyTorch(t *testing.T) {
	g, b := readGolden(t)
	for _, c := range disguises {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Taps: []string{"stage1", "stage2"}}
			if c.input != onnx.Uint8 {
				o.Preprocess = cifar(t)
			}
			s := openTeacher(t, fixture(c.file), o)
			spec := s.Spec()
			type facts struct {
				Layout  Layout
				Input   onnx.DataType
				Logits  Logits
				Batch   int
				Classes int
				Image   [3]int
			}
			want := facts{c.layout, c.input, c.logits, c.batch, g.Classes, [3]int{3, g.Height, g.Width}}
			got := facts{spec.Layout, spec.Input, spec.Logits, spec.Batch, spec.Classes, [3]int{spec.C, spec.H, spec.W}}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("spec -want +got:\n%s", d)
			}
			if c.note != "" && !strings.Contains(strings.Join(spec.Notes, "\n"), c.note) {
				t.Errorf("notes %q lack %q", spec.Notes, c.note)
			}
			for _, tap := range spec.Taps {
				if got := [3]int{tap.C, tap.H, tap.W}; got != g.Taps[tap.Name] {
					t.Errorf("tap %s has shape %v, want %v", tap.Name, got, g.Taps[tap.Name])
				}
				wantLayout := NCHW
				if c.file == "nhwc_inside.onnx" {
					wantLayout = NHWC
				}
				if tap.Layout != wantLayout {
					t.Errorf("tap %s is read as %s", tap.Name, tap.Layout)
				}
			}
			logits := signalsOf(t, s, b).Logits
			wantLogits := g.Logits
			if c.logits == LogitsLogP {
				wantLogits = logP(wantLogits, g.Classes)
			}
			compare(t, "logits", logits, wantLogits, c.tolerance)
		})
	}
}

// logP is the log-softmax of each row.
func logP(z []float64, classes int) []float64 {
	out := slices.Clone(z)
	for i := 0; i < len(z); i += classes {
		sum := 0.0
		for _, v := range z[i : i+classes] {
			sum += math.Exp(v)
		}
		for k := range classes {
			out[i+k] -= math.Log(sum)
		}
	}
	return out
}

func TestMapsAreThoseOfPyTorch(t *testing.T) {
	g, b := readGolden(t)
	for _, c := range disguises {
		if testing.Short() && c.input == onnx.Float32 && c.layout == NCHW && c.file != "nhwc_inside.onnx" && c.file != "cnn_opset17.onnx" {
			continue // the same graph once more
		}
		for _, m := range g.Maps {
			t.Run(fmt.Sprintf("%s, %s with p = %v, %s", c.name, m.Kind, m.Power, m.Tap), func(t *testing.T) {
				o := Options{Taps: []string{m.Tap}, Map: m.Kind, Power: m.Power}
				if c.input != onnx.Uint8 {
					o.Preprocess = cifar(t)
				}
				got := signalsOf(t, openTeacher(t, fixture(c.file), o), b).Maps[0]
				if shape := [3]int{got.C, got.H, got.W}; shape != [3]int{1, g.Taps[m.Tap][1], g.Taps[m.Tap][2]} {
					t.Errorf("map has shape %v", shape)
				}
				compare(t, "map", got.Data, m.Data, c.tolerance)
			})
		}
		t.Run(c.name+", from PyTorch's activations", func(t *testing.T) {
			o := Options{Taps: []string{"stage2", "stage1"}}
			if c.input != onnx.Uint8 {
				o.Preprocess = cifar(t)
			}
			for _, got := range signalsOf(t, openTeacher(t, fixture(c.file), o), b).Maps {
				shape := g.Taps[got.Tap]
				compare(t, got.Tap, got.Data, mapsOf(g.Raw[got.Tap], shape, MapSumPow, 2), c.tolerance)
			}
		})
	}
}

// The reductions changed their form at opsets 13 and 18; the fixture's own
// operators did not change between 11 and 21, so its opset can be relabelled.
func TestMapsAtEveryOpset(t *testing.T) {
	g, b := readGolden(t)
	for opset := int64(11); opset <= 21; opset++ {
		t.Run(fmt.Sprintf("opset %d", opset), func(t *testing.T) {
			m, err := onnx.ReadFile(fixture("cnn_opset13.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			m.Opsets, m.IRVersion = []onnx.Opset{{Version: opset}}, 10
			path := t.TempDir() + "/relabelled.onnx"
			if err := m.WriteFile(path); err != nil {
				t.Fatal(err)
			}
			for _, want := range g.Maps {
				s := openTeacher(t, path, Options{Taps: []string{want.Tap}, Map: want.Kind, Power: want.Power, Preprocess: cifar(t)})
				compare(t, fmt.Sprintf("%s p = %v", want.Kind, want.Power), signalsOf(t, s, b).Maps[0].Data, want.Data, runtimeTolerance)
			}
		})
	}
}

// Opsets 7 and 8 lack a broadcasting Max and a Clip with operands.
func TestMapsAtOldOpsets(t *testing.T) {
	for _, opset := range []int64{7, 8, 10} {
		for _, kind := range []MapKind{MapSum, MapSumPow, MapMaxPow} {
			t.Run(fmt.Sprintf("opset %d, %s", opset, kind), func(t *testing.T) {
				n := newNet(opset)
				x := n.conv("conv", n.standard(), 3, 4)
				n.logits(n.head(x, 4, 3), 3)
				path := write(t, n.Builder, func(m *onnx.Model) {
					m.IRVersion = 3
					// Before IR 4 every initializer is an input as well.
					for _, w := range m.Graph.Initializers {
						v := &onnx.Value{Name: w.Name, Type: w.Type, HasShape: true}
						for _, d := range w.Dims {
							v.Shape = append(v.Shape, onnx.Fixed(d))
						}
						m.Graph.Inputs = append(m.Graph.Inputs, v)
					}
				})
				s := openTeacher(t, path, Options{Map: kind})
				got := signalsOf(t, s, images(2, 6, 6, 3))
				for i := range 2 {
					length := 0.0
					for _, v := range got.Maps[0].Data[i*36 : (i+1)*36] {
						length += float64(v) * float64(v)
					}
					if math.Abs(length-1) > runtimeTolerance {
						t.Errorf("map of image %d has squared length %v", i, length)
					}
				}
			})
		}
	}
}

// Each kind of map is compared with plain loops over the activations
// themselves: with activations of both signs and of one, with channels first
// and last, in whole blocks of the runtime and not, and in batches of one.
func TestMapsAreThoseOfTheActivations(t *testing.T) {
	for _, opset := range []int64{7, 12, 13, 18} {
		for _, channels := range []int64{5, 32} {
			n := newNet(opset)
			n.Name("signed")
			x := n.conv("signed", n.standard(), 3, channels)
			n.Name("relu")
			x = n.Node("Relu", []string{x})
			n.Name("last")
			x = n.Node("Transpose", []string{x}, onnx.AttrInts("perm", nchwToNHWC...))
			n.Name("shifted")
			x = n.Node("Sub", []string{x, n.weights("shift", channels)})
			x = n.Node("Transpose", []string{x}, onnx.AttrInts("perm", nhwcToNCHW...))
			n.logits(n.head(x, channels, 3), 3)
			path := write(t, n.Builder)
			taps := []string{"signed", "relu", "last", "shifted"}
			m, err := onnx.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range taps {
				taps[i] = m.Graph.Nodes[i].Outputs[0]
			}
			b := images(3, 6, 6, 3)
			raw := activations(t, path, taps, b)
			for _, kind := range []MapKind{MapSum, MapSumPow, MapMaxPow} {
				for _, p := range []float64{1, 2, 3, 4} {
					if kind == MapSum && p > 1 {
						continue
					}
					t.Run(fmt.Sprintf("opset %d, %d channels, %s with p = %v", opset, channels, kind, p), func(t *testing.T) {
						s := openTeacher(t, path, Options{Taps: taps, Map: kind, Power: p})
						got := signalsOf(t, s, b)
						for k, m := range got.Maps {
							compare(t, m.Tap, m.Data, mapsOf(raw[k], [3]int{int(channels), 6, 6}, kind, p), runtimeTolerance)
						}
						alone := signalsOf(t, s, b.pick([]int{2}))
						for k, m := range alone.Maps {
							if d := cmp.Diff(got.Maps[k].Data[2*36:], m.Data); d != "" {
								t.Errorf("%s: an image asked about alone, -among three +alone:\n%s", m.Tap, d)
							}
						}
					})
				}
			}
		}
	}
}

// activations runs a file itself on images as a teacher feeds them, and returns
// the values of its taps [N, H, W, C].
func activations(t *testing.T, path string, taps []string, b Batch) [][]float64 {
	t.Helper()
	s := openTeacher(t, path, Options{Taps: taps})
	m, err := onnx.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tap := range taps {
		m.Graph.Outputs = append(m.Graph.Outputs, &onnx.Value{Name: tap, Type: onnx.Float32})
	}
	fed := make([]float32, len(b.Pixels))
	if err := s.feed.floats(fed, b, 0, b.N); err != nil {
		t.Fatal(err)
	}
	in := m.Graph.DataInputs()[0].Name
	out, err := Evaluate(m, map[string]*onnx.Tensor{in: onnx.Float32s(in, s.Spec().Layout.dims(b.N, b.H, b.W, b.C), fed)}, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := make([][]float64, len(taps))
	for k, tap := range s.Spec().Taps {
		v, err := out[tap.Name].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		all[k] = make([]float64, len(v))
		plane := tap.H * tap.W
		for i := range v {
			n, p, c := i/(plane*tap.C), i/tap.C%plane, i%tap.C
			at := i
			if tap.Layout == NCHW {
				at = (n*tap.C+c)*plane + p
			}
			all[k][i] = float64(v[at])
		}
	}
	return all
}

// mapsOf makes attention maps of activations [N, H, W, C], of shape [C, H, W] each.
func mapsOf(raw []float64, shape [3]int, kind MapKind, p float64) []float64 {
	channels, plane := shape[0], shape[1]*shape[2]
	var all []float64
	for i := 0; i < len(raw); i += plane * channels {
		q, length := make([]float64, plane), 0.0
		for k := range q {
			for _, v := range raw[i+k*channels : i+(k+1)*channels] {
				a := math.Pow(math.Abs(v), p)
				if kind == MapMaxPow {
					q[k] = max(q[k], a)
				} else {
					q[k] += a
				}
			}
			length += q[k] * q[k]
		}
		for _, v := range q {
			all = append(all, v/math.Sqrt(length))
		}
	}
	return all
}

// A map is written before those of taps further up, for the runtime to compute
// it early, whatever the order in which taps are named.
func TestMapsAreWrittenFromTheLastTapOn(t *testing.T) {
	n := newNet(13)
	a := n.conv("a", n.standard(), 3, 4)
	b := n.conv("b", a, 4, 4)
	c := n.conv("c", b, 4, 4)
	n.logits(n.head(c, 4, 3), 3)
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	r := &rewriter{m: m}
	var taps []Tap
	types := map[string]onnx.DataType{}
	for _, name := range []string{b, c, a} {
		taps = append(taps, Tap{Name: name, Layout: NCHW, C: 4, H: 6, W: 6})
		types[name] = onnx.Float32
	}
	names := r.attentions(taps, MapSumPow, 2, types)
	if d := cmp.Diff([]string{"distill/" + b + "/map", "distill/" + c + "/map", "distill/" + a + "/map"}, names); d != "" {
		t.Errorf("in the taps' order, -want +got:\n%s", d)
	}
	var written []string
	for _, node := range r.m.Graph.Nodes {
		if node.Op == "Div" {
			written = append(written, node.Outputs[0])
		}
	}
	if d := cmp.Diff([]string{names[1], names[0], names[2]}, written); d != "" {
		t.Errorf("as written, -want +got:\n%s", d)
	}
}

func TestADeadLayerHasAZeroMap(t *testing.T) {
	n := newNet(17)
	x := n.conv("conv", n.standard(), 3, 4)
	x = n.Node("Mul", []string{x, n.Initializer("zero", onnx.Float32s("zero", nil, []float32{0}))})
	n.logits(n.head(x, 4, 3), 3)
	s := openTeacher(t, write(t, n.Builder), Options{})
	for _, v := range signalsOf(t, s, images(1, 6, 6, 3)).Maps[0].Data {
		if v != 0 {
			t.Fatalf("map of a layer of zeros holds %v", v)
		}
	}
}

func TestResizeAndGreyAreThoseOfPillow(t *testing.T) {
	g, b := readGolden(t)
	one := Batch{Pixels: b.Pixels[:b.H*b.W*3], N: 1, H: b.H, W: b.W, C: 3}
	// The filters are one; Pillow rounds between its two passes and ours does
	// not, which moves a few bytes by one.
	const levels = 1
	for _, r := range g.Resized {
		t.Run(fmt.Sprintf("to %dx%d", r.Height, r.Width), func(t *testing.T) {
			f := feeder{h: r.Height, w: r.Width, c: 3, layout: NHWC}
			got := make([]uint8, r.Height*r.Width*3)
			if err := f.bytes(got, one, 0, 1); err != nil {
				t.Fatal(err)
			}
			for i, want := range r.Data {
				if d := int(got[i]) - want; d < -levels || d > levels {
					t.Fatalf("byte %d is %d, Pillow has %d", i, got[i], want)
				}
			}
		})
	}
	t.Run("colour to greyscale", func(t *testing.T) {
		f := feeder{h: b.H, w: b.W, c: 1, layout: NCHW}
		got := make([]uint8, b.H*b.W)
		if err := f.bytes(got, one, 0, 1); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(bytesOf(g.Grey), got); d != "" {
			t.Errorf("-Pillow +got:\n%s", d)
		}
	})
	t.Run("greyscale to colour", func(t *testing.T) {
		f := feeder{h: 1, w: 2, c: 3, layout: NCHW}
		got := make([]uint8, 6)
		if err := f.bytes(got, Batch{Pixels: []uint8{7, 9}, N: 1, H: 1, W: 2, C: 1}, 0, 1); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]uint8{7, 9, 7, 9, 7, 9}, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
	t.Run("blue first", func(t *testing.T) {
		f := feeder{h: 1, w: 2, c: 3, layout: NHWC, bgr: true}
		got := make([]uint8, 6)
		if err := f.bytes(got, Batch{Pixels: []uint8{1, 2, 3, 4, 5, 6}, N: 1, H: 1, W: 2, C: 3}, 0, 1); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]uint8{3, 2, 1, 6, 5, 4}, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
}

func TestAResizedImageIsTheTeachersOwn(t *testing.T) {
	// A flat image stays flat whatever its size, so the answer must stay too.
	s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{Preprocess: cifar(t)})
	flat := func(h, w, c int) Batch {
		return Batch{Pixels: []uint8(strings.Repeat("d", 2*h*w*c)), N: 2, H: h, W: w, C: c}
	}
	want := signalsOf(t, s, flat(8, 6, 3))
	for _, size := range [][3]int{{16, 16, 3}, {3, 5, 3}, {8, 6, 1}, {32, 20, 1}} {
		got := signalsOf(t, s, flat(size[0], size[1], size[2]))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%v images answer otherwise:\n%s", size, d)
		}
	}
}

func TestPreprocessComesFromTheModel(t *testing.T) {
	g, b := readGolden(t)
	m, err := onnx.ReadFile(fixture("cnn_opset13.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	cifar(t).Attach(m)
	path := t.TempDir() + "/described.onnx"
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	s := openTeacher(t, path, Options{})
	if got := s.Spec().Preprocess.String(); got != "cifar10" {
		t.Errorf("preprocessing is %s", got)
	}
	compare(t, "logits", signalsOf(t, s, b).Logits, g.Logits, runtimeTolerance)

	t.Run("unless the caller says otherwise", func(t *testing.T) {
		s := openTeacher(t, path, Options{Preprocess: preprocess.Spec{Scale: 1}})
		if got := s.Spec().Preprocess.String(); got != "raw" {
			t.Errorf("preprocessing is %s", got)
		}
	})
	t.Run("and can be changed without loading the model again", func(t *testing.T) {
		s := openTeacher(t, fixture("cnn_opset13.onnx"), Options{})
		if spec := s.Spec(); spec.Preprocess.Known() || !strings.Contains(strings.Join(spec.Notes, ""), "scaled to 0..1") {
			t.Errorf("unknown preprocessing is %s with notes %q", spec.Preprocess, spec.Notes)
		}
		if err := s.SetPreprocess(cifar(t)); err != nil {
			t.Fatal(err)
		}
		if notes := s.Spec().Notes; len(notes) != 0 {
			t.Errorf("notes %q remain", notes)
		}
		compare(t, "logits", signalsOf(t, s, b).Logits, g.Logits, runtimeTolerance)
	})
}
