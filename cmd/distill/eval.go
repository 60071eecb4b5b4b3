package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline"
)

func newEvalCommand() *cli.Command {
	d := pipeline.Default()
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure a model's accuracy, size and latency in ONNX Runtime",
		UsageText: "distill eval --data PATH [flags] model.onnx",
		Description: `Any classifier can be measured, a teacher or a student. Latency is that of one
image on one thread.

Worked examples:
   distill eval --data cifar10.tar.gz runs/first/student.onnx
   distill eval --data images/ --preprocess imagenet --json teacher.onnx`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "`PATH` of labelled images: folder, archive or data file"},
			&cli.StringFlag{Name: "split", Value: "test", Usage: "`NAME`: " + strings.Join(pipeline.Splits, ", ")},
			&cli.StringFlag{Name: "preprocess", Usage: "`SPEC` of the model's input: " + preprocessUsage + " (default: its metadata, else auto)"},
			imageShapeFlag(), layoutFlag(), outputFlag(),
			&cli.StringFlag{Name: "model-classes", Usage: "the model's class for each class of the data, `NUMBERS` such as 0,2,1 (default: the same)"},
			&cli.IntFlag{Name: "samples", Usage: "measure on this many images, stratified by class; 0 is all"},
			&cli.Uint64Flag{Name: "seed", Value: d.Training.Seed, Usage: "of --samples, and of the split, where the data brings no test set of its own"},
			&cli.IntFlag{Name: "size", Usage: "resize images to this height and width; 0 keeps their own"},
			&cli.IntFlag{Name: "channels", Usage: "1 or 3; 0 keeps the images' own"},
			&cli.BoolFlag{Name: "skip-bad", Usage: "count and leave out images that cannot be read"},
			&cli.BoolFlag{Name: "allow-empty", Usage: "keep class folders without a readable image as classes; otherwise they are refused"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
			threadsFlag(), onnxRuntimeFlag(),
		},
		Action: evaluate,
	}
}

func evaluate(c *cli.Context) error {
	model, err := oneArgument(c, "model file")
	if err != nil {
		return err
	}
	if c.String("data") == "" {
		return usagef("eval needs labelled images: --data PATH")
	}
	if s := c.String("split"); !slices.Contains(pipeline.Splits, s) {
		return usagef("--split is one of %s, got %q", strings.Join(pipeline.Splits, ", "), s)
	}
	if l := c.String("model-layout"); l != "" && !slices.Contains(pipeline.Layouts, l) {
		return usagef("--model-layout is one of %s, got %q", strings.Join(pipeline.Layouts, ", "), l)
	}
	if n := c.Int("samples"); n < 0 {
		return usagef("--samples is a number of images, or 0 for all, got %d", n)
	}
	if _, err := preprocess.Parse(c.String("preprocess")); err != nil {
		return usagef("--preprocess: %w", err)
	}
	if err := checkImageShape(c, "image-shape"); err != nil {
		return err
	}
	config := pipeline.EvaluateConfig{
		Model: pipeline.TeacherConfig{
			Path: model, Preprocess: c.String("preprocess"), Layout: c.String("model-layout"), Output: c.String("model-output"),
			ImageShape: c.String("image-shape"),
		},
		Data: pipeline.DataConfig{
			Path: c.String("data"), Size: c.Int("size"), Channels: c.Int("channels"),
			SkipBad: c.Bool("skip-bad"), AllowEmpty: c.Bool("allow-empty"), Validation: pipeline.Default().Data.Validation,
		},
		Split: c.String("split"), Samples: c.Int("samples"), Seed: c.Uint64("seed"),
		Resources: pipeline.ResourcesConfig{Threads: c.Int("threads"), OnnxRuntime: c.String("onnxruntime")},
	}
	if c.IsSet("model-classes") {
		if config.Model.Classes, err = parseClasses("model-classes", c.String("model-classes")); err != nil {
			return usageError{err}
		}
	}
	report := newTerminal(c)
	if c.Bool("json") {
		report.out = c.App.ErrWriter // standard output holds the object alone
	}
	e, err := pipeline.Evaluate(c.Context, config, pipeline.Options{Reporter: report})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, e)
	}
	return printEvaluation(c.App.Writer, e)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printEvaluation(w io.Writer, e *pipeline.Evaluation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "top-1\t%.2f %%\n", 100*e.Top1)
	fmt.Fprintf(t, "top-5\t%.2f %%\n", 100*e.Top5)
	fmt.Fprintf(t, "images\t%d\n", e.Samples)
	fmt.Fprintf(t, "parameters\t%d\n", e.Parameters)
	fmt.Fprintf(t, "file size\t%d bytes\n", e.Bytes)
	fmt.Fprintf(t, "latency\t%.3f ms (median), %.3f ms (95th percentile), one image, one thread\n", e.Latency.P50, e.Latency.P95)
	fmt.Fprintf(t, "preprocess\t%s\n", e.Preprocess)
	fmt.Fprintf(t, "\naverage precision\t\n")
	for _, class := range e.Classes {
		if ap, ok := e.AveragePrecision[class]; ok {
			fmt.Fprintf(t, "  %s\t%.4f\n", oneLine(class), ap)
		}
	}
	return t.Flush()
}
