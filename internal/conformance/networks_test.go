package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

const networkFolder = "../../testdata/networks"

const (
	// sameNetwork is how far two programs' logits for one network may lie apart,
	// in parts of the largest: float32 sums of some hundred layers in other
	// orders.
	sameNetwork = 1e-5

	// share is the part of the loss that the one step of training should take
	// off: enough to stand out from float32's rounding, which is some 1e-6 of
	// it, and little enough that the loss is nearly straight along the step.
	share = 0.003

	// straight is how far the loss taken off may lie from share, in parts of it:
	// what the curvature of networks of random weights makes of such a step. A
	// gradient without one of its paths is further off.
	straight = 0.25
)

// conformanceNetwork is a row of the table of networks: whole graphs as
// torch.onnx.export writes torchvision's classes, see testdata/gen/networks_torch.py.
type conformanceNetwork struct {
	name  string
	short bool // runs with -short too

	// taps are those that teachers.Inspect suggests, "value CxHxW". tokens is
	// whether it says that they are next to the image.
	taps   []string
	tokens bool
}

var conformanceNetworks = []conformanceNetwork{
	{name: "resnet18", short: true, taps: []string{
		"/relu/Relu_output_0 4x32x24",
		"/layer1/layer1.1/relu_1/Relu_output_0 4x16x12",
		"/layer2/layer2.1/relu_1/Relu_output_0 8x8x6",
		"/layer3/layer3.1/relu_1/Relu_output_0 16x4x3",
		"/layer4/layer4.1/relu_1/Relu_output_0 32x2x2",
	}},
	{name: "resnet18_unfolded", taps: []string{
		"/relu/Relu_output_0 3x32x24",
		"/layer1/layer1.1/relu_1/Relu_output_0 3x16x12",
		"/layer2/layer2.1/relu_1/Relu_output_0 6x8x6",
		"/layer3/layer3.1/relu_1/Relu_output_0 13x4x3",
		"/layer4/layer4.1/relu_1/Relu_output_0 26x2x2",
	}},
	{name: "resnet50", taps: []string{
		"/relu/Relu_output_0 3x32x24",
		"/layer1/layer1.2/relu_2/Relu_output_0 11x16x12",
		"/layer2/layer2.3/relu_2/Relu_output_0 21x8x6",
		"/layer3/layer3.5/relu_2/Relu_output_0 43x4x3",
		"/layer4/layer4.2/relu_2/Relu_output_0 85x2x2",
	}},
	{name: "mobilenetv2", taps: []string{
		"/features/features.2/conv/conv.0/conv.0.2/Clip_output_0 12x32x24",
		"/features/features.4/conv/conv.0/conv.0.2/Clip_output_0 18x16x12",
		"/features/features.7/conv/conv.0/conv.0.2/Clip_output_0 24x8x6",
		"/features/features.14/conv/conv.0/conv.0.2/Clip_output_0 72x4x3",
		"/features/features.18/features.18.2/Clip_output_0 160x2x2",
	}},
	{name: "mobilenetv2_training", taps: []string{
		"/features/features.2/conv/conv.0/conv.0.2/Clip_output_0 10x32x24",
		"/features/features.4/conv/conv.0/conv.0.2/Clip_output_0 14x16x12",
		"/features/features.7/conv/conv.0/conv.0.2/Clip_output_0 19x8x6",
		"/features/features.14/conv/conv.0/conv.0.2/Clip_output_0 58x4x3",
		"/features/features.18/features.18.2/Clip_output_0 128x2x2",
	}},
	{name: "mobilenetv2_9", taps: []string{
		"/features/features.2/conv/conv.0/conv.0.2/Clip_output_0 8x32x24",
		"/features/features.4/conv/conv.0/conv.0.2/Clip_output_0 12x16x12",
		"/features/features.7/conv/conv.0/conv.0.2/Clip_output_0 16x8x6",
		"/features/features.14/conv/conv.0/conv.0.2/Clip_output_0 48x4x3",
		"/features/features.18/features.18.2/Clip_output_0 107x2x2",
	}},
	{name: "mobilenetv3_small", taps: []string{
		"/features/features.0/features.0.2/HardSwish_output_0 2x32x24",
		"/features/features.2/block/block.0/block.0.2/Relu_output_0 6x16x12",
		"/features/features.4/block/block.0/block.0.2/HardSwish_output_0 8x8x6",
		"/features/features.9/block/block.0/block.0.2/HardSwish_output_0 24x4x3",
		"/features/features.12/features.12.2/HardSwish_output_0 48x2x2",
	}},
	{name: "squeezenet1_1", taps: []string{
		"/features/features.1/Relu_output_0 8x31x23",
		"/features/features.4/Concat_output_0 16x15x11",
		"/features/features.7/Concat_output_0 32x7x5",
		"/classifier/classifier.2/Relu_output_0 10x3x2",
	}},
	{name: "shufflenetv2", short: true, taps: []string{
		"/conv1/conv1.2/Relu_output_0 8x32x24",
		"/maxpool/MaxPool_output_0 8x16x12",
		"/stage2/stage2.3/Reshape_1_output_0 16x8x6",
		"/stage3/stage3.7/Reshape_1_output_0 32x4x3",
		"/conv5/conv5.2/Relu_output_0 96x2x2",
	}},
	{name: "densenet121", taps: []string{
		"/features/relu0/Relu_output_0 4x48x32",
		"/features/transition1/conv/Conv_output_0 8x24x16",
		"/features/transition2/conv/Conv_output_0 16x12x8",
		"/features/transition3/conv/Conv_output_0 32x6x4",
		"/Relu_output_0 64x3x2",
	}},
	{name: "efficientnet_b0", taps: []string{
		"/features/features.2/features.2.0/block/block.0/block.0.2/Mul_output_0 8x32x24",
		"/features/features.3/features.3.0/block/block.0/block.0.2/Mul_output_0 12x16x12",
		"/features/features.4/features.4.0/block/block.0/block.0.2/Mul_output_0 20x8x6",
		"/features/features.6/features.6.0/block/block.0/block.0.2/Mul_output_0 56x4x3",
		"/features/features.8/features.8.2/Mul_output_0 107x2x2",
	}},
	{name: "vgg11_bn", taps: []string{
		"/features/features.2/Relu_output_0 2x224x224",
		"/features/features.6/Relu_output_0 4x112x112",
		"/features/features.13/Relu_output_0 8x56x56",
		"/features/features.20/Relu_output_0 16x28x28",
		"/features/features.27/Relu_output_0 16x14x14",
		"/avgpool/AveragePool_output_0 16x7x7",
	}},
	{name: "googlenet", taps: []string{
		"/conv1/Relu_output_0 4x30x26",
		"/conv3/Relu_output_0 12x15x13",
		"/inception3b/Concat_output_0 30x7x6",
		"/inception4e/Concat_output_0 52x3x3",
		"/inception5b/Concat_output_0 64x2x2",
	}},
	{name: "convnext_tiny", taps: []string{
		"/features/features.2/features.2.0/Transpose_1_output_0 6x16x24",
		"/features/features.4/features.4.0/Transpose_1_output_0 10x8x12",
		"/features/features.6/features.6.0/Transpose_1_output_0 14x4x6",
		"/features/features.7/features.7.2/Add_output_0 20x2x3",
	}},
	{name: "convnext_tiny_17", taps: []string{
		"/features/features.2/features.2.0/Transpose_1_output_0 4x16x24",
		"/features/features.4/features.4.0/Transpose_1_output_0 8x8x12",
		"/features/features.6/features.6.0/Transpose_1_output_0 12x4x6",
		"/features/features.7/features.7.2/Add_output_0 16x2x3",
	}},
	// What lies behind the patches has three axes and is no map.
	{name: "vit", short: true, tokens: true, taps: []string{
		"/conv_proj/Conv_output_0 24x4x4",
	}},
	{name: "vit_17", tokens: true, taps: []string{
		"/conv_proj/Conv_output_0 24x4x4",
	}},
	{name: "swin", taps: []string{
		"/features/features.1/features.1.1/Add_1_output_0 12x16x24",
		"/permute/Transpose_output_0 24x8x12",
	}},
	{name: "mobilenetv1_keras", taps: []string{
		"/6/Clip_output_0 12x16x24",
		"/15/Clip_output_0 16x8x12",
		"/20/Clip_output_0 24x4x6",
	}},
}

// networkGolden is an element of testdata/networks/golden.json.
type networkGolden struct {
	Name          string
	Opset         int64
	Mode          string
	Height, Width int
	Parameters    int64     // PyTorch's, batch normalisation not folded
	Logits        []float32 // [N, 10], PyTorch's in evaluation
}

func readNetworkGolden(t testing.TB) map[string]networkGolden {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(networkFolder, "golden.json"))
	if err != nil {
		t.Fatalf("%v\n---> HINT: python3 testdata/gen/networks_torch.py", err)
	}
	var list []networkGolden
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]networkGolden, len(list))
	for _, g := range list {
		byName[g.Name] = g
	}
	return byName
}

// TestNetworksOfOthers takes whole networks through everything: ONNX Runtime,
// import, inference, export, a step of training, suggested taps.
func TestNetworksOfOthers(t *testing.T) {
	golden := readNetworkGolden(t)
	files, err := filepath.Glob(filepath.Join(networkFolder, "*.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(conformanceNetworks) || len(golden) != len(conformanceNetworks) {
		t.Errorf("%d files and %d rows of golden.json for %d networks", len(files), len(golden), len(conformanceNetworks))
	}
	table := &bytes.Buffer{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "network\topset\tmode\tnodes\texported\tparameters\tRuntime/PyTorch\timport\texport 13\texport 17\texport 21\tloss\tafter a step\tof what was wanted\tmoved")
	whole := 0
	for _, c := range conformanceNetworks {
		if testing.Short() && !c.short {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			row := conform(t, c, golden[c.name])
			fmt.Fprintln(w, strings.Join(row, "\t"))
			if !t.Failed() {
				whole++
			}
		})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d networks whole\n%s", whole, len(conformanceNetworks), table)
}

// conform takes one network through and returns its row.
func conform(t *testing.T, c conformanceNetwork, g networkGolden) []string {
	path := filepath.Join(networkFolder, c.name+".onnx")
	m, err := onnx.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Another batch than those that an import or export builds graphs for, and
	// than PyTorch's.
	const n = 5
	h, w := g.Height, g.Width
	image := networkImages(n, h, w) // [N, C, H, W]
	last := channelsLast(image, n, 3, h, w)
	dims := []int64{n, 3, int64(h), int64(w)}
	each := len(image) / n

	// The file itself.
	original := m
	if g.Mode == "training" {
		original = forInference(m)
	}
	var want []float32
	switch g.Mode {
	case "keras":
		want = inRuntime(t, scoresOf(t, original), last, n, int64(h), int64(w), 3)
	case "old": // one image at a time is all it takes
		for i := range n {
			want = append(want, inRuntime(t, original, image[i*each:(i+1)*each], 1, 3, int64(h), int64(w))...)
		}
	default:
		want = inRuntime(t, original, image, dims...)
	}
	pytorch := apart(want[:min(len(g.Logits), len(want))], g.Logits)
	if !(pytorch <= sameNetwork) {
		t.Fatalf("ONNX Runtime differs from PyTorch by %.1e of the largest logit", pytorch)
	}

	// Import.
	imported, err := student.ImportModel(m, student.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	model := imported.Model
	if s := model.Spec(); s.Image != (student.Shape{H: h, W: w, C: 3}) || s.Classes != 10 {
		t.Errorf("imported for %v and %d classes", s.Image, s.Classes)
	}
	ours := apart(inferred(t, model, last, n), want)
	if !(ours <= sameNetwork) {
		t.Errorf("our logits differ from ONNX Runtime's by %.1e of the largest", ours)
	}

	// One image alone, whose axis of 1 must not be taken for one that stretches.
	if d := apart(inferred(t, model, last[:each], 1), want[:10]); !(d <= sameNetwork) {
		t.Errorf("for one image our logits differ from ONNX Runtime's by %.1e of the largest", d)
	}

	// Export.
	row := []string{c.name, fmt.Sprint(m.Opset()), g.Mode, fmt.Sprint(nodesThatCompute(m)), "", fmt.Sprint(m.Parameters()), fmt.Sprintf("%.1e", pytorch), fmt.Sprintf("%.1e", ours)}
	for _, opset := range []int64{13, 17, 21} {
		out, err := model.Export(student.ExportOptions{Opset: opset, IR: 10})
		if err != nil {
			t.Fatal(err)
		}
		d := apart(inRuntime(t, out, image, dims...), want)
		if !(d <= sameNetwork) {
			t.Errorf("exported to opset %d the logits differ by %.1e of the largest", opset, d)
		}
		if d := apart(inRuntime(t, out, image[:each], 1, 3, int64(h), int64(w)), want[:10]); !(d <= sameNetwork) {
			t.Errorf("exported to opset %d the logits of one image differ by %.1e of the largest", opset, d)
		}
		row = append(row, fmt.Sprintf("%.1e", d))
		if idle := idleTransposes(out); len(idle) > 0 {
			t.Errorf("opset %d: Transposes that read another's result: %q", opset, idle)
		}
		if k := moreOperators(m, out)["Transpose"]; k > 0 {
			t.Errorf("opset %d: %d more Transposes than the file has", opset, k)
		}
		if opset == m.Opset() || opset == 13 && m.Opset() < 13 {
			k := nodesThatCompute(out)
			row[4] = fmt.Sprint(k)
			if k > nodesThatCompute(m) {
				t.Errorf("exported as %d nodes; the file has %d: %v", k, nodesThatCompute(m), moreOperators(m, out))
			}
		}
	}

	// Training.
	s := descend(t, model, last, n)
	if taken := (s.before - s.after) / s.wanted; !(math.Abs(taken-1) <= straight) {
		t.Errorf("one step took the loss from %v to %v, %.2f of what its gradient says", s.before, s.after, taken)
	}
	if len(s.still) > 0 {
		t.Errorf("%d of %d parameters have no gradient: %q", len(s.still), s.tensors, s.still)
	}
	// A step this small rounds to nothing in tensors whose gradient is small
	// beside the others'.
	if s.moved < s.tensors*4/5 {
		t.Errorf("the step changed %d of %d parameters", s.moved, s.tensors)
	}
	row = append(row, fmt.Sprintf("%.4f", s.before), fmt.Sprintf("%.4f", s.after), fmt.Sprintf("%.2f", (s.before-s.after)/s.wanted), fmt.Sprintf("%d of %d", s.moved, s.tensors))

	// As a teacher.
	taps, tokens := suggestedTaps(t, path)
	if d := cmp.Diff(c.taps, taps); d != "" {
		t.Errorf("suggested taps -want +got:\n%s", d)
	}
	if tokens != c.tokens {
		t.Errorf("a note speaks of tokens: %v, want %v", tokens, c.tokens)
	}
	// As a student: attention is taught where teachers are looked at.
	student, err := model.Graph(1, student.Infer)
	if err != nil {
		t.Fatal(err)
	}
	var theirs, own []string
	for _, tap := range taps {
		theirs = append(theirs, tap[strings.LastIndexByte(tap, ' ')+1:])
	}
	for _, tap := range student.Taps {
		s := tap.Node.Shape()
		own = append(own, fmt.Sprintf("%dx%dx%d", s[3], s[1], s[2]))
	}
	if d := cmp.Diff(theirs, own); d != "" {
		t.Errorf("sizes of the student's taps -teacher's +student's:\n%s", d)
	}
	return row
}

// suggestedTaps lists the taps that teachers.Inspect suggests, in graph order,
// and tells whether its notes warn of a network of tokens.
func suggestedTaps(t *testing.T, path string) (taps []string, tokens bool) {
	t.Helper()
	r, err := teachers.Inspect(path, teachers.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Problem != "" {
		t.Errorf("as a teacher: %s", r.Problem)
	}
	for _, tap := range r.Taps {
		if tap.Suggested {
			taps = append(taps, fmt.Sprintf("%s %dx%dx%d", tap.Name, tap.C, tap.H, tap.W))
		}
	}
	for _, note := range r.Notes {
		tokens = tokens || strings.Contains(note, "computes with tokens")
	}
	return taps, tokens
}

// TestNetworksOfOthersMadeNew imports the networks to be trained from scratch:
// normalisations unfolded, which leaves their answers as they are, fresh
// parameters and a fresh head for another number of classes.
func TestNetworksOfOthersMadeNew(t *testing.T) {
	golden := readNetworkGolden(t)
	table := &bytes.Buffer{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "network\tparameters\tunfolded\tapart\tloss from scratch\tafter a step\tof what was wanted")
	for _, c := range conformanceNetworks {
		if testing.Short() && !c.short {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			const n, classes = 3, 7
			g := golden[c.name]
			m, err := onnx.ReadFile(filepath.Join(networkFolder, c.name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			images := channelsLast(networkImages(n, g.Height, g.Width), n, 3, g.Height, g.Width)
			kept, err := student.ImportModel(m, student.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			unfolded, err := student.ImportModel(m, student.ImportOptions{UnfoldBatchNorm: true})
			if err != nil {
				t.Fatal(err)
			}
			d := apart(inferred(t, unfolded.Model, images, n), g.Logits)
			if !(d <= 2*sameNetwork) { // PyTorch's rounding and ours
				t.Errorf("unfolded, the logits differ from PyTorch's by %.1e of the largest", d)
			}
			fresh, err := student.ImportModel(m, student.ImportOptions{Init: student.Random, Seed: 3, Classes: classes, ReplaceHead: true, UnfoldBatchNorm: true})
			if err != nil {
				t.Fatal(err)
			}
			s := descend(t, fresh.Model, images, n)
			if fresh.Model.Spec().Classes != classes {
				t.Errorf("%d classes, want %d", fresh.Model.Spec().Classes, classes)
			}
			if taken := (s.before - s.after) / s.wanted; !(math.Abs(taken-1) <= straight) {
				t.Errorf("one step took the loss from %v to %v, %.2f of what its gradient says", s.before, s.after, taken)
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%.1e\t%.4f\t%.4f\t%.2f\n", c.name, learned(kept.Model), learned(unfolded.Model), d, s.before, s.after, (s.before-s.after)/s.wanted)
		})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table)
}
