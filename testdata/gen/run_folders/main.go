// Command run_folders makes testdata/runs: a few pictures, a small student's file,
// and two run folders, one interrupted within its second epoch and one finished.
//
//	go run -tags onednn ./testdata/gen/run_folders -out /tmp/runfixture
//
// The folders in the tree were written by the program as it was at commit
// 59ff527, before run folders had checksums: tests go on from them.
package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/pipeline/engine"
)

func main() {
	out := flag.String("out", "", "folder to make")
	teacher := flag.String("teacher", "testdata/teachers/cnn_opset17.onnx", "classifier of images of 8x6 pixels")
	flag.Parse()
	log.SetFlags(0)
	if *out == "" {
		log.Fatal("run_folders: name a folder with -out")
	}
	if err := generate(*out, *teacher); err != nil {
		log.Fatal("run_folders: ", err)
	}
}

func generate(out, teacher string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	images, network := filepath.Join(out, "images.zip"), filepath.Join(out, "student.onnx")
	if err := os.WriteFile(images, pictures(), 0o644); err != nil {
		return err
	}
	if err := student().WriteFile(network); err != nil {
		return err
	}
	c := pipeline.Default()
	c.Data.Path = images
	c.Student.Architecture, c.Student.Init = network, pipeline.InitRandom
	c.Teacher.Path, c.Teacher.Classes, c.Teacher.Preprocess = teacher, []int{0, 1, 2}, "unit"
	c.Training.Epochs, c.Training.Batch, c.Training.LearningRate = 3, 8, 0.1
	c.Training.Augment = pipeline.AugmentConfig{Pad: 1, PadMode: "reflect"}
	c.Loss.Attention.Beta = 0
	if _, err := pipeline.Train(context.Background(), c, pipeline.Folder(filepath.Join(out, "finished")), pipeline.Options{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := pipeline.Options{Hooks: []engine.Hooks[*pipeline.Sample]{{OnUpdate: func(s *engine.State[*pipeline.Sample]) error {
		if s.Epoch == 1 && s.Batch == 2 {
			cancel()
		}
		return nil
	}}}}
	_, err := pipeline.Train(ctx, c, pipeline.Folder(filepath.Join(out, "interrupted")), o)
	if !errors.Is(err, pipeline.ErrInterrupted) {
		return fmt.Errorf("the second run was to be interrupted: %v", err)
	}
	return nil
}

// pictures is a zip of three classes of 8x6 pixels: red, green and blue ones of
// any brightness, with noise.
func pictures() []byte {
	r := rand.New(rand.NewPCG(20260, 1))
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, split := range []struct {
		name string
		n    int
	}{{"train", 8}, {"val", 3}, {"test", 3}} {
		for class, name := range []string{"red", "green", "blue"} {
			for i := range split.n {
				picture := image.NewRGBA(image.Rect(0, 0, 6, 8))
				light := 40 + r.IntN(80)
				for y := range 8 {
					for x := range 6 {
						rgb := [3]int{light, light, light}
						rgb[class] += 30
						picture.Set(x, y, color.RGBA{uint8(rgb[0] + r.IntN(60)), uint8(rgb[1] + r.IntN(60)), uint8(rgb[2] + r.IntN(60)), 255})
					}
				}
				w, err := z.Create(fmt.Sprintf("%s/%s/%d.png", split.name, name, i))
				if err != nil {
					log.Fatal(err)
				}
				if err := png.Encode(w, picture); err != nil {
					log.Fatal(err)
				}
			}
		}
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
	return b.Bytes()
}

// student is a convolution of four channels and a classifier, without use as it
// is: the runs start from fresh parameters.
func student() *onnx.Model {
	b := onnx.NewBuilder("four", 17)
	x := b.Input("image", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3), onnx.Fixed(8), onnx.Fixed(6))
	weights := func(name string, dims ...int64) string {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i%7-3) / 8
		}
		return b.Initializer(name, onnx.Float32s(name, dims, values))
	}
	x = b.Node("Conv", []string{x, weights("conv.weight", 4, 3, 3, 3), weights("conv.bias", 4)}, onnx.AttrInts("pads", 1, 1, 1, 1))
	x = b.Node("Relu", []string{x})
	x = b.Node("GlobalAveragePool", []string{x})
	x = b.Node("Flatten", []string{x})
	x = b.Node("Gemm", []string{x, weights("fc.weight", 3, 4), weights("fc.bias", 3)}, onnx.AttrInt("transB", 1))
	b.Output(x, "logits", onnx.Float32, onnx.Symbol("batch"), onnx.Fixed(3))
	m, err := b.Model()
	if err != nil {
		log.Fatal(err)
	}
	return m
}
