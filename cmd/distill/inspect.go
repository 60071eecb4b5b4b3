package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func newInspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a model is and where its attention can be tapped",
		UsageText: "distill inspect [flags] model.onnx",
		Description: `Taps marked with * are suggested: the last feature map of each resolution that
every path from the image to the logits passes through.

Worked examples:
   distill inspect teacher.onnx
   distill inspect --json teacher.onnx
   distill inspect --gradient teacher.onnx     # can --gradient-beta of distill train be used?
   distill inspect --gradient-file j.onnx teacher.onnx     # that gradient, as a model of its own`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
			&cli.BoolFlag{Name: "gradient", Usage: "try to differentiate the model by its image, and say which operator stands in the way"},
			&cli.StringFlag{Name: "gradient-file", Usage: "write the gradient of the labels' cross-entropy with respect to the image as a model to `FILE`; its inputs are image and labels"},
			&cli.StringFlag{Name: "image-shape", Usage: imageShapeUsage("the model's", "a square in one channel where it fits")},
			layoutFlag(), outputFlag(),
			&cli.IntFlag{Name: "model-size", Usage: "height and width of the images, where the model leaves them open"},
			onnxRuntimeFlag(),
		},
		Action: func(c *cli.Context) error {
			path, err := oneArgument(c, "model file")
			if err != nil {
				return err
			}
			if l := c.String("model-layout"); l != "" && !slices.Contains(pipeline.Layouts, l) {
				return usagef("--model-layout is one of %s, got %q", strings.Join(pipeline.Layouts, ", "), l)
			}
			shape, err := preprocess.ParseImageShape(c.String("image-shape"))
			if err != nil {
				return usagef("--image-shape: %w", err)
			}
			size := c.Int("model-size")
			report, err := teachers.Inspect(path, teachers.InspectOptions{
				Layout: teachers.Layout(c.String("model-layout")), Output: c.String("model-output"),
				ImageShape: shape,
				Size:       [2]int{size, size}, Library: c.String("onnxruntime"),
			})
			if err != nil {
				return err
			}
			var gradient *pipeline.GradientReport
			if c.Bool("gradient") || c.IsSet("gradient-file") {
				gradient = pipeline.InspectGradient(c.Context, path, report, c.String("model-output"), c.String("onnxruntime"))
			}
			if file := c.String("gradient-file"); file != "" {
				if err := gradient.WriteFile(file); err != nil {
					return err
				}
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, struct {
					*teachers.Report
					Gradient *pipeline.GradientReport `json:"gradient,omitempty"`
				}{report, gradient})
			}
			if err := printReport(c.App.Writer, path, c.Command, report); err != nil || gradient == nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.Writer, "gradient with respect to the image: %s\n", oneLine(gradient.String()))
			return err
		},
	}
}

func printReport(w io.Writer, path string, command *cli.Command, r *teachers.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "file\t%s, %d bytes, sha256 %.12s…\n", oneLine(path), r.Bytes, r.SHA256)
	fmt.Fprintf(t, "made by\t%s, opset %d, IR %d, %d nodes\n", oneLine(r.Producer), r.Opset, r.IR, r.Nodes)
	for _, v := range r.Inputs {
		fmt.Fprintf(t, "input\t%s %s %v\n", oneLine(v.Name), v.Type, v.Shape)
	}
	for _, v := range r.Outputs {
		fmt.Fprintf(t, "output\t%s %s %v\n", oneLine(v.Name), v.Type, v.Shape)
	}
	fmt.Fprintf(t, "parameters\t%d\n", r.Parameters)
	if r.Problem != "" {
		fmt.Fprintf(t, "as a teacher\tno: %s\n", oneLine(inFlags(command, r.Problem)))
		return t.Flush()
	}
	fmt.Fprintf(t, "MACs\t%d per image of %dx%d\n", r.MACs, r.Image[1], r.Image[2])
	fmt.Fprintf(t, "as a teacher\t%d classes, layout %s, logits from %s, preprocessing %s\n", r.Classes, r.Layout, r.Logits, r.Preprocess)
	for _, note := range r.Notes {
		fmt.Fprintf(t, "note\t%s\n", oneLine(inFlags(command, note)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printTaps(w, r.Taps)
}

// mostTaps is how many taps are listed, besides those that are suggested.
const mostTaps = 100

// printTaps lists the suggested taps and, of the others, those nearest to the
// output: a deep graph has tens of thousands.
func printTaps(w io.Writer, taps []teachers.Tap) error {
	fmt.Fprintf(w, "taps            C    H    W   (* is suggested)\n")
	left := 0
	for i, tap := range taps {
		mark := " "
		if tap.Suggested {
			mark = "*"
		} else if i < len(taps)-mostTaps {
			left++
			continue
		}
		// The name comes last: exporters write names of any length.
		if _, err := fmt.Fprintf(w, "  %s          %4d %4d %4d  %s\n", mark, tap.C, tap.H, tap.W, oneLine(tap.Name)); err != nil {
			return err
		}
	}
	if left > 0 {
		_, err := fmt.Fprintf(w, "and %d earlier ones, which --json lists\n", left)
		return err
	}
	return nil
}

// The flags that describe a model are called as those of train that describe the
// teacher: --model-output here is --teacher-output there.
func layoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "model-layout", Usage: "`AXES` of the image input, NCHW or NHWC (default: by the graph)"}
}

func imageShapeFlag() cli.Flag {
	return &cli.StringFlag{Name: "image-shape", Usage: imageShapeUsage("the model's", "the data's where it fits")}
}

// checkImageShape returns an error where one of the flags holds no shape.
func checkImageShape(c *cli.Context, flags ...string) error {
	for _, flag := range flags {
		if _, err := preprocess.ParseImageShape(c.String(flag)); err != nil {
			return usagef("--%s: %w", flag, err)
		}
	}
	return nil
}

func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "model-output", Usage: "`NAME` of the output with the class scores, where there are several"}
}
