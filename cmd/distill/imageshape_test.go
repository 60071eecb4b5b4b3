package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
)

const bandSide = 28

// drawBands writes a folder of greyscale images of 28x28, each with a bright band
// at the top, in the middle or at the bottom, its class.
func drawBands(t *testing.T) string {
	t.Helper()
	split := func(n, seed int) data.Memory {
		var m data.Memory
		for i := range n {
			class := i % 3
			for y := range bandSide {
				for x := range bandSide {
					v := (i*31 + y*17 + x*7 + seed) % 60
					if y*3/bandSide == class {
						v += 150
					}
					m.Pixels = append(m.Pixels, uint8(v))
				}
			}
			m.Labels = append(m.Labels, class)
		}
		return m
	}
	set, err := data.FromMemory(data.MemorySet{Classes: []string{"bottom", "middle", "top"}, H: bandSide, W: bandSide, C: 1, Train: split(24, 0), Val: split(6, 1), Test: split(12, 2)})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bands")
	if err := data.WriteFolder(dir, set); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bandNetwork writes a network that tells the bands apart, with an input of the
// given axes behind the batch: the brightness of each third of its numbers.
func bandNetwork(t *testing.T, axes ...int64) string {
	t.Helper()
	b := onnx.NewBuilder("bands", 17)
	dims := []onnx.Dim{onnx.Symbol("n")}
	numbers := int64(1)
	for _, n := range axes {
		dims, numbers = append(dims, onnx.Fixed(n)), numbers*n
	}
	row := int(numbers) / bandSide
	weights := make([]float32, numbers*3)
	for i := range int(numbers) {
		weights[3*i+i/row*3/bandSide] = 0.05
	}
	x := b.Node("Flatten", []string{b.Input("pixels", onnx.Float32, dims...)})
	y := b.Node("Gemm", []string{x, b.Initializer("weight", onnx.Float32s("", []int64{numbers, 3}, weights)), b.Initializer("bias", onnx.Float32s("", []int64{3}, make([]float32, 3)))})
	b.Output(y, "scores", onnx.Float32)
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bands.onnx")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A network of pixel vectors goes through every command as one of images does,
// and what it was taken for is said.
func TestCommandsReadVectorsAsImages(t *testing.T) {
	images := drawBands(t)
	vector, column, plane, colours := bandNetwork(t, 784), bandNetwork(t, 784, 1), bandNetwork(t, 28, 28), bandNetwork(t, 2352)
	must := func(wants []string, args ...string) {
		t.Helper()
		out, errOut, err := distill(t, args...)
		if err != nil {
			t.Fatalf("distill %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("distill %s does not say %q:\n%s", strings.Join(args, " "), want, out)
			}
		}
	}
	const guess = " is read as images of 28x28x1, row by row (a guess; --image-shape says otherwise)"
	must([]string{`"pixels" [n, 784]` + guess, "3 classes", "gradient with respect to the image: yes"}, "inspect", "--gradient", vector)
	must([]string{`"pixels" [n, 784, 1]` + guess, "100.00 %"}, "eval", "--data", images, "--preprocess", "unit", column)
	must([]string{`"pixels" [n, 28, 28]` + guess, "100.00 %"}, "eval", "--data", images, "--preprocess", "unit", plane)
	must([]string{"images of 28x28x1, row by row\n", "100.00 %"}, "eval", "--data", images, "--channels", "3", "--preprocess", "unit", "--image-shape", "28x28x1", vector)
	run := filepath.Join(t.TempDir(), "run")
	must([]string{
		`import   input "pixels" [n, 784, 1]` + guess,
		`model    bands.onnx: input "pixels" [n, 784] is read as images of 28x28x1, row by row (a guess; --teacher-image-shape says otherwise)`,
		"test accuracy 100.00 %", "largest logit difference",
	}, "train", "--teacher", vector, "--teacher-preprocess", "unit", "--student", column, "--preprocess", "unit", "--data", images, "--out", run,
		"--epochs", "1", "--batch", "8", "--pad", "0", "--flip=false", "--gradient-beta", "1")
	const order = "is read as images of 28x28x3,hwc, pixel by pixel\n"
	must([]string{order, "gradient with respect to the image: yes"}, "inspect", "--gradient", "--image-shape", "28x28x3,hwc", colours)
	must([]string{order, "100.00 %"}, "eval", "--data", images, "--channels", "3", "--preprocess", "unit", "--image-shape", "28x28x3,hwc", colours)
	must([]string{`import   input "pixels" [n, 2352] ` + order, `model    bands.onnx: input "pixels" [n, 2352] ` + order, "input NHWC 28x28x3", "test accuracy 100.00 %"},
		"train", "--teacher", colours, "--teacher-image-shape", "28x28x3,hwc", "--student", colours, "--image-shape", "28x28x3,hwc", "--data", images, "--channels", "3", "--out", run+"-colours",
		"--epochs", "1", "--batch", "8", "--pad", "0", "--flip=false", "--gradient-beta", "1")
	must([]string{"is read as images of 28x28x3,chw, channel by channel\nb", order},
		"verify", "--data", images, "--channels", "3", "--preprocess", "unit", "--image-shape", "28x28x3,chw", "--image-shape-b", "28x28x3,hwc", colours, colours)
	must([]string{"12 of 12"}, "verify", "--data", images, "--preprocess", "unit", "--image-shape", "28x28x1", "--image-shape-b", "28x28x1,hwc", vector, filepath.Join(run, "student.onnx"))
	must([]string{`"pixels" [n, 28, 28]` + guess}, "verify", "--data", images, "--preprocess", "unit", plane, plane)
	must([]string{"100.00 %"}, "eval", "--data", images, filepath.Join(run, "student.onnx"))
}

func TestImageShapesThatAreRefused(t *testing.T) {
	images, vector, out := drawBands(t), bandNetwork(t, 784), filepath.Join(t.TempDir(), "out")
	train := []string{"train", "--data", images, "--out", out, "--epochs", "1"}
	for _, c := range []struct {
		name  string
		args  []string
		want  string
		usage bool
	}{
		{"inspect", []string{"inspect", "--image-shape", "28x28", vector}, "--image-shape: preprocess: an image shape is HEIGHTxWIDTHxCHANNELS[,chw|hwc], such as 28x28x1 or 32x32x3,hwc, got \"28x28\"", true},
		{"eval", []string{"eval", "--data", images, "--image-shape", "28x28x2", vector}, "1 or 3 channels", true},
		{"verify", []string{"verify", "--data", images, "--image-shape-b", "28", vector, vector}, "--image-shape-b: preprocess: an image shape is", true},
		{"train, the teacher", append(train, "--teacher", vector, "--teacher-image-shape", "784"), "an image shape is", true},
		{"train, the student", append(train, "--student", vector, "--image-shape", "784"), "an image shape is", true},
		{"a shape for a student that is no file", append(train, "--image-shape", "28x28x1"), "(--image-shape)", true},
		{"inspect, another product", []string{"inspect", "--image-shape", "32x32x1", vector}, "--image-shape says 32x32x1, which does not fit input \"pixels\" of shape [n, 784]; that is 1024 numbers for each image, and the input takes 784", false},
		{"eval, another product", []string{"eval", "--data", images, "--image-shape", "32x32x1", vector}, "--image-shape says 32x32x1", false},
		{"eval, colours in an unknown order", []string{"eval", "--data", images, "--channels", "3", bandNetwork(t, 2352)}, "perhaps 28x28x3,chw or 28x28x3,hwc", false},
		{"eval, colours in no order", []string{"eval", "--data", images, "--channels", "3", "--image-shape", "28x28x3", bandNetwork(t, 2352)}, "say 28x28x3,chw or 28x28x3,hwc", false},
		{"eval, data of three channels", []string{"eval", "--data", images, "--channels", "3", vector}, "(the data's are 28x28x3); say it with --image-shape HEIGHTxWIDTHxCHANNELS[,chw|hwc], perhaps 28x28x1", false},
		{"train, a teacher of another product", append(train, "--teacher", vector, "--teacher-image-shape", "32x32x1"), "--teacher-image-shape says 32x32x1", false},
		{"train, a student of another product", append(train, "--student", vector, "--image-shape", "32x32x1"), "--image-shape says 32x32x1", false},
		{"train, a teacher for data of another size", append(train, "--teacher", vector, "--size", "20"), "say it with --teacher-image-shape", false},
		{"train, a student for data of another size", append(train, "--student", vector, "--size", "20"), "say it with --image-shape", false},
		{"train, a student of another size than the data", append(train, "--student", vector, "--size", "20", "--image-shape", "28x28x1"), "resize them with --size 28", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := distill(t, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, new(usageError)) != c.usage {
				t.Errorf("got %v, want %q, exit code 2: %v", err, c.want, c.usage)
			}
		})
	}
}
