package rewrite

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
)

// taking is a model whose input x has the given axes, 0 for an open one, behind
// an open batch.
func taking(kind onnx.DataType, axes ...int64) *onnx.Model {
	m := net([]string{"y"}, node("Relu", "x -> y"))
	shape := []onnx.Dim{onnx.Symbol("n")}
	for i, a := range axes {
		if a == 0 {
			shape = append(shape, onnx.Symbol(fmt.Sprintf("d%d", i)))
		} else {
			shape = append(shape, onnx.Fixed(a))
		}
	}
	m.Graph.Inputs[0] = &onnx.Value{Name: "x", Type: kind, HasShape: true, Shape: shape}
	m.Graph.Outputs[0].HasShape, m.Graph.Outputs[0].Shape = false, nil
	return m
}

// taken says how a normal model takes its images: the input's axes, and those
// that its nodes get.
func taken(n *Normal) string {
	in := n.Model.Graph.Inputs[0]
	if in.Name == "x" {
		return "x " + axesOf(in.Shape)
	}
	first := n.Model.Graph.Nodes[0]
	to, err := first.Attr("value").Tensor.Int64s()
	if err != nil || first.Op != "Constant" || n.Model.Graph.Nodes[1].Op != "Reshape" {
		return fmt.Sprint(first, err)
	}
	return fmt.Sprintf("%s to %d", axesOf(in.Shape), to)
}

func TestImagesBehindInputsOfFewerAxes(t *testing.T) {
	grey, colour := preprocess.ImageShape{H: 28, W: 28, C: 1}, preprocess.ImageShape{H: 8, W: 10, C: 3}
	said := func(text string) Images {
		s, err := preprocess.ParseImageShape(text)
		if err != nil {
			t.Fatal(err)
		}
		return Images{Shape: s}
	}
	for _, c := range []struct {
		name string
		axes []int64
		im   Images
		want string
		note string // what it holds
	}{
		{"said, a vector", []int64{784}, said("28x28x1"), "[n, 1, 28, 28] to [0 784]", "is read as images of 28x28x1, row by row"},
		{"said, a vector of open length", []int64{0}, said("28x28x1"), "[n, 1, 28, 28] to [0 784]", "[n, d0] is read"},
		{"said, a column", []int64{784, 1}, said("28x28x1,hwc"), "[n, 1, 28, 28] to [0 784 1]", "28x28x1,"},
		{"said, a row", []int64{1, 784}, said("28x28x1"), "[n, 1, 28, 28] to [0 1 784]", "28x28x1,"},
		{"said, a plane", []int64{20, 10}, said("20x10x1"), "[n, 1, 20, 10] to [0 20 10]", "20x10x1,"},
		{"said, a plane of open sizes", []int64{0, 0}, said("20x10x1"), "[n, 1, 20, 10] to [0 20 10]", "20x10x1,"},
		{"said, colours by channel", []int64{240}, said("8x10x3,chw"), "[n, 3, 8, 10] to [0 240]", "8x10x3,chw, channel by channel"},
		{"said, colours by pixel", []int64{240}, said("8x10x3,hwc"), "[n, 8, 10, 3] to [0 240]", "8x10x3,hwc, pixel by pixel"},
		{"said, rows of pixels", []int64{8, 30}, said("8x10x3"), "[n, 8, 10, 3] to [0 8 30]", "8x10x3,hwc,"},
		{"said, rows of each channel", []int64{24, 10}, said("8x10x3"), "[n, 3, 8, 10] to [0 24 10]", "8x10x3,chw,"},
		{"said, an image", []int64{3, 8, 10}, said("8x10x3"), "x [n, 3, 8, 10]", ""},
		{"said, an image of open sizes", []int64{3, 0, 0}, said("8x10x3"), "x [n, 3, 8, 10]", ""},
		{"said, an image of one channel last", []int64{28, 28, 1}, said("28x28x1,chw"), "x [n, 28, 28, 1]", ""},
		{"said, an image of open axes", []int64{0, 0, 0}, said("28x28x1,hwc"), "x [n, 28, 28, 1]", ""},
		{"the data's, a vector", []int64{784}, Images{Likely: grey}, "[n, 1, 28, 28] to [0 784]", "(a guess; S says otherwise)"},
		{"the data's, a column", []int64{784, 1}, Images{Likely: grey}, "[n, 1, 28, 28] to [0 784 1]", "28x28x1,"},
		{"the data's, pixels", []int64{80, 3}, Images{Likely: colour}, "[n, 8, 10, 3] to [0 80 3]", "8x10x3,hwc, pixel by pixel (a guess"},
		{"the data's, channels", []int64{3, 80}, Images{Likely: colour}, "[n, 3, 8, 10] to [0 3 80]", "8x10x3,chw,"},
		{"of a size, in one channel", []int64{80}, Images{Likely: preprocess.ImageShape{H: 8, W: 10}}, "[n, 1, 8, 10] to [0 80]", "8x10x1,"},
		{"a plane", []int64{28, 28}, Images{}, "[n, 1, 28, 28] to [0 28 28]", "28x28x1, row by row (a guess; S says otherwise)"},
		{"a plane beside data of another size", []int64{28, 28}, Images{Likely: colour}, "[n, 1, 28, 28] to [0 28 28]", "28x28x1,"},
		{"a square number", []int64{784}, Images{Square: true}, "[n, 1, 28, 28] to [0 784]", "28x28x1,"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.im.Setting = "S"
			n, err := Normalize(taking(onnx.Float32, c.axes...), c.im)
			if err != nil || n.Unread != nil {
				t.Fatal(err, n.Unread)
			}
			if err := onnx.Check(n.Model); err != nil {
				t.Fatal(err)
			}
			if got := taken(n); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if note := n.Note("y"); (note == "") != (c.note == "") || !strings.Contains(note, c.note) {
				t.Errorf("note %q, want %q", note, c.note)
			}
			again, err := Normalize(n.Model, c.im)
			if err != nil || again.Note("y") != "" || len(again.Model.Graph.Nodes) != len(n.Model.Graph.Nodes) {
				t.Errorf("a second time there was more to do: %v", err)
			}
			whole := n.Model
			if shape := onnx.Infer(whole)["x"]; c.note != "" && (shape == nil || len(shape.Shape) != 1+len(c.axes)) {
				t.Errorf("the file's own nodes get %v", shape)
			}
		})
	}
}

func TestImagesThatCannotBeTold(t *testing.T) {
	grey, colour := preprocess.ImageShape{H: 28, W: 28, C: 1}, preprocess.ImageShape{H: 8, W: 10, C: 3}
	shapeless := taking(onnx.Float32, 784)
	shapeless.Graph.Inputs[0].HasShape, shapeless.Graph.Inputs[0].Shape = false, nil
	for _, c := range []struct {
		name  string
		model *onnx.Model
		im    Images
		want  string // in an error
		wrong bool   // what is said is wrong
	}{
		{"a vector, and no data", taking(onnx.Float32, 784), Images{}, `input "x" has shape [n, 784]; an image input has four axes, and this one does not tell what images it holds; say it with S HEIGHTxWIDTHxCHANNELS[,chw|hwc], perhaps 28x28x1`, false},
		{"a vector of other data", taking(onnx.Float32, 784), Images{Likely: preprocess.ImageShape{H: 32, W: 32, C: 1}}, "(the data's are 32x32x1)", false},
		{"a vector of the data's size in one channel", taking(onnx.Float32, 784), Images{Likely: preprocess.ImageShape{H: 28, W: 28, C: 3}}, "perhaps 28x28x1", false},
		{"a vector of the data's colours", taking(onnx.Float32, 240), Images{Likely: colour}, "perhaps 8x10x3,chw or 8x10x3,hwc", false},
		{"a vector of colours, and no data", taking(onnx.Float32, 3072), Images{Square: true}, "perhaps 32x32x3,chw or 32x32x3,hwc", false},
		{"a vector of open length", taking(onnx.Float32, 0), Images{Likely: grey, Square: true}, "[n, d0]", false},
		{"tokens", taking(onnx.Float32, 128, 16), Images{}, "[n, 128, 16]", false},
		{"another product", taking(onnx.Float32, 784), Images{Shape: colour}, `S says 8x10x3, which does not fit input "x" of shape [n, 784]; that is 240 numbers for each image, and the input takes 784`, true},
		{"another form", taking(onnx.Float32, 28, 28), Images{Shape: preprocess.ImageShape{H: 14, W: 56, C: 1}}, `which does not fit input "x" of shape [n, 28, 28]`, true},
		{"another order", taking(onnx.Float32, 3, 80), Images{Shape: preprocess.ImageShape{H: 8, W: 10, C: 3, Order: preprocess.HWC}}, "8x10x3,hwc, which does not fit", true},
		{"another image", taking(onnx.Float32, 3, 32, 32), Images{Shape: grey}, "does not fit", true},
		{"colours in either order", taking(onnx.Float32, 240), Images{Shape: colour}, "say 8x10x3,chw or 8x10x3,hwc", true},
		{"colours in open axes", taking(onnx.Float32, 0, 0), Images{Shape: preprocess.ImageShape{H: 8, W: 10, C: 3, Order: preprocess.CHW}}, "fixed sizes", true},
		{"an image of open axes", taking(onnx.Float32, 0, 0, 0), Images{Shape: grey}, "say 28x28x1,chw or 28x28x1,hwc", true},
		{"five axes", taking(onnx.Float32, 1, 1, 28, 28), Images{Shape: grey}, "images have one to three axes behind the batch", true},
		{"no shape", shapeless, Images{Shape: grey}, `input "x" declares no shape`, true},
		{"no axes", taking(onnx.Float32), Images{Shape: grey}, "images have one to three axes behind the batch", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.im.Setting = "S"
			before, err := c.model.Encode()
			if err != nil {
				t.Fatal(err)
			}
			n, err := Normalize(c.model, c.im)
			if !c.wrong && err == nil {
				err = n.Unread
				if !errors.Is(err, ErrImageShape) {
					t.Errorf("it is not ErrImageShape")
				}
				if after, err := n.Model.Encode(); err != nil || string(after) != string(before) {
					t.Errorf("the model is changed, %v", err)
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrImageShape) == c.wrong {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// What is no image in fewer axes is left to whoever asks for one.
func TestInputsThatAreNoImages(t *testing.T) {
	two := taking(onnx.Float32, 784)
	two.Graph.Inputs = append(two.Graph.Inputs, &onnx.Value{Name: "mask", Type: onnx.Float32, HasShape: true, Shape: []onnx.Dim{onnx.Symbol("n"), onnx.Fixed(784)}})
	two.Graph.Nodes = append(two.Graph.Nodes, node("Neg", "mask -> unused"))
	for name, m := range map[string]*onnx.Model{
		"token numbers": taking(onnx.Int64, 784), "two inputs": two, "a few features": taking(onnx.Float32, 4), "an image": taking(onnx.Float32, 3, 32, 32), "a video": taking(onnx.Float32, 3, 8, 32, 32),
	} {
		n, err := Normalize(m, Images{Likely: preprocess.ImageShape{H: 28, W: 28, C: 1}, Square: true})
		if err != nil || n.Unread != nil || n.Note("y") != "" || len(n.Model.Graph.Nodes) != len(m.Graph.Nodes) {
			t.Errorf("%s: %v, %v, note %q", name, err, n.Unread, n.Note("y"))
		}
	}
}

func TestMetadataSaysWhatImagesAre(t *testing.T) {
	m := taking(onnx.Uint8, 240)
	m.SetMeta(preprocess.KeyImageShape, "8x10x3,hwc")
	n, err := Normalize(m, Images{Likely: preprocess.ImageShape{H: 10, W: 24, C: 1}})
	if err != nil || taken(n) != "[n, 8, 10, 3] to [0 240]" || strings.Contains(n.Note("y"), "guess") {
		t.Errorf("got %s, note %q, %v", taken(n), n.Note("y"), err)
	}
	over, err := Normalize(m, Images{Shape: preprocess.ImageShape{H: 8, W: 10, C: 3, Order: preprocess.CHW}})
	if err != nil || taken(over) != "[n, 3, 8, 10] to [0 240]" {
		t.Errorf("got %s, %v", taken(over), err)
	}
	for _, text := range []string{"8x10", "28x28x1"} {
		m.SetMeta(preprocess.KeyImageShape, text)
		n, err := Normalize(m, Images{})
		if err != nil || n.Unread == nil || !strings.Contains(n.Unread.Error(), preprocess.KeyImageShape) || errors.Is(n.Unread, ErrImageShape) {
			t.Errorf("%s: %v, %v", text, err, n.Unread)
		}
	}
}
