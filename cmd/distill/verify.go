package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline"
)

func newVerifyCommand() *cli.Command {
	d := pipeline.Default()
	return &cli.Command{
		Name:      "verify",
		Usage:     "compare what two models say of the same images",
		UsageText: "distill verify a.onnx b.onnx --data PATH [flags]",
		Description: `Any two classifiers of the same images and classes can be compared: an export
and its original, one file in two opsets, a model and its copy in half precision.
The logits are compared, from before a softmax where a file ends in one.

With --tolerance the exit code is 1 where the largest difference of a logit,
relative to the largest logit, is above it.

Worked examples:
   distill verify runs/first/student.onnx student-fp16.onnx --data images/
   distill verify --data cifar10.tar.gz --samples 500 --tolerance 1e-4 before.onnx after.onnx
   distill verify --data images/ --preprocess imagenet --preprocess-b unit --json a.onnx b.onnx`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "`PATH` of images: folder, archive or data file"},
			&cli.StringFlag{Name: "split", Value: "test", Usage: "`NAME`: " + strings.Join(pipeline.Splits, ", ")},
			&cli.IntFlag{Name: "samples", Usage: "compare on this many images, stratified by class; 0 is all"},
			&cli.Float64Flag{Name: "tolerance", DefaultText: "none", Usage: "exit with 1 where a logit differs by more than this, relative to the largest logit"},
			&cli.StringFlag{Name: "preprocess", Usage: "`SPEC` of the models' input: " + preprocessUsage + " (default: their metadata, else that of the other, else auto)"},
			&cli.StringFlag{Name: "preprocess-b", Usage: "`SPEC` of the second model's input, where it is another"},
			imageShapeFlag(),
			&cli.StringFlag{Name: "image-shape-b", Usage: "`SHAPE` of the images in the second model's input, where it is another"},
			layoutFlag(), outputFlag(),
			&cli.StringFlag{Name: "model-output-b", Usage: "`NAME` of the second model's output with the class scores, where it is another"},
			&cli.Uint64Flag{Name: "seed", Value: d.Training.Seed, Usage: "of --samples, and of the split, where the data brings no test set of its own"},
			&cli.IntFlag{Name: "size", Usage: "resize images to this height and width; 0 keeps their own"},
			&cli.IntFlag{Name: "channels", Usage: "1 or 3; 0 keeps the images' own"},
			&cli.BoolFlag{Name: "skip-bad", Usage: "count and leave out images that cannot be read"},
			&cli.BoolFlag{Name: "allow-empty", Usage: "keep class folders without a readable image as classes; otherwise they are refused"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
			threadsFlag(), onnxRuntimeFlag(),
		},
		Action: verify,
	}
}

func verify(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("verify takes exactly two model files, got %d; see %q", c.NArg(), "distill verify --help")
	}
	if c.String("data") == "" {
		return usagef("verify needs images to compare on: --data PATH")
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
	tolerance := c.Float64("tolerance")
	if math.IsNaN(tolerance) || tolerance < 0 {
		return usagef("--tolerance is 0 or above, got %v", tolerance)
	}
	for _, flag := range []string{"preprocess", "preprocess-b"} {
		if _, err := preprocess.Parse(c.String(flag)); err != nil {
			return usagef("--%s: %w", flag, err)
		}
	}
	if err := checkImageShape(c, "image-shape", "image-shape-b"); err != nil {
		return err
	}
	model := func(i int, flags string) pipeline.TeacherConfig {
		return pipeline.TeacherConfig{
			Path:       c.Args().Get(i),
			Preprocess: cmp.Or(c.String("preprocess"+flags), c.String("preprocess")),
			Output:     cmp.Or(c.String("model-output"+flags), c.String("model-output")),
			Layout:     c.String("model-layout"),
			ImageShape: cmp.Or(c.String("image-shape"+flags), c.String("image-shape")),
		}
	}
	config := pipeline.VerifyConfig{
		A: model(0, ""), B: model(1, "-b"),
		Data: pipeline.DataConfig{
			Path: c.String("data"), Size: c.Int("size"), Channels: c.Int("channels"),
			SkipBad: c.Bool("skip-bad"), AllowEmpty: c.Bool("allow-empty"), Validation: pipeline.Default().Data.Validation,
		},
		Split: c.String("split"), Samples: c.Int("samples"), Seed: c.Uint64("seed"),
		Resources: pipeline.ResourcesConfig{Threads: c.Int("threads"), OnnxRuntime: c.String("onnxruntime")},
	}
	report := newTerminal(c)
	if c.Bool("json") {
		report.out = c.App.ErrWriter // standard output holds the object alone
	}
	v, err := pipeline.Verify(c.Context, config, pipeline.Options{Reporter: report})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, v)
	} else {
		err = printVerification(c.App.Writer, c.Command, v)
	}
	if err == nil && c.IsSet("tolerance") && v.RelativeDifference > tolerance {
		err = fmt.Errorf("the models differ by %.1e of the largest logit, at %s; --tolerance allows %.1e", v.RelativeDifference, v.Worst, tolerance)
	}
	return err
}

func printVerification(w io.Writer, command *cli.Command, v *pipeline.Verification) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, m := range []pipeline.Verified{v.A, v.B} {
		accuracy := ""
		if m.Top1 != nil {
			accuracy = fmt.Sprintf(", top-1 %.2f %%", 100**m.Top1)
		}
		fmt.Fprintf(t, "%c\t%s, %d bytes, logits from %s, preprocessing %s%s\n", 'a'+i, oneLine(m.Path), m.Bytes, m.Logits, m.Preprocess, accuracy)
		if m.Reading != "" {
			fmt.Fprintf(t, "\t%s\n", oneLine(inFlags(command, m.Reading)))
		}
	}
	fmt.Fprintf(t, "images\t%d\n", v.Samples)
	at := ""
	if v.Worst != "" {
		at = ", at " + oneLine(v.Worst)
	}
	fmt.Fprintf(t, "largest difference\t%.3g in %s, %.1e relative to the largest%s\n", v.MaxDifference, v.Compared, v.RelativeDifference, at)
	fmt.Fprintf(t, "same top-1\t%d of %d (%.2f %%)\n", v.SameTop1, v.Samples, 100*float64(v.SameTop1)/float64(v.Samples))
	for _, note := range v.Notes {
		fmt.Fprintf(t, "note\t%s\n", oneLine(inFlags(command, note)))
	}
	return t.Flush()
}
