package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/pipeline"
)

func newExportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a run's best student as ONNX, verified in ONNX Runtime",
		UsageText: "distill export [flags] RUN-FOLDER",
		Description: `The exported file must give the trained student's answers on validation images
in ONNX Runtime, or nothing is written. The run may still be going on.

With --fp16 the weights are kept in half precision, which halves the file; inputs,
outputs and all computation stay float32. The logits may then differ by a hundredth
of the largest.

Worked examples:
   distill export --out student.onnx runs/first
   distill export --out student13.onnx --opset 13 --ir 7 runs/first
   distill export --out student-fp16.onnx --fp16 runs/first`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Value: "student.onnx", Usage: "`FILE` to write"},
			&cli.BoolFlag{Name: "overwrite", Usage: "replace a file that exists and holds something else"},
			&cli.StringFlag{Name: "data", Usage: "`PATH` of the run's images (default: where they were; noise is compared on if they are gone)"},
			&cli.Int64Flag{Name: "opset", Usage: "ONNX opset, 13 to 21; 0 is the run's own"},
			&cli.Int64Flag{Name: "ir", Usage: "ONNX IR version, 7 to 10; 0 is the run's own, or what --opset needs"},
			&cli.BoolFlag{Name: "fp16", Usage: "keep the weights in half precision, as the run does where its export.fp16 is set"},
			threadsFlag(), onnxRuntimeFlag(),
		},
		Action: func(c *cli.Context) error {
			folder, err := oneArgument(c, "run folder")
			if err != nil {
				return err
			}
			if o := c.Int64("opset"); o != 0 && (o < 13 || o > 21) {
				return usagef("--opset lies between 13 and 21, got %d", o)
			}
			if ir := c.Int64("ir"); ir != 0 && (ir < 7 || ir > 10) {
				return usagef("--ir lies between 7 and 10, got %d", ir)
			}
			report := newTerminal(c)
			out := c.String("out")
			parity, err := pipeline.Export(c.Context, pipeline.Folder(folder), out, pipeline.ExportConfig{Opset: c.Int64("opset"), IR: c.Int64("ir"), FP16: c.Bool("fp16")},
				pipeline.Options{
					Reporter: report, Version: programVersion(), Overwrite: c.Bool("overwrite"), DataPath: c.String("data"),
					Resources: pipeline.ResourcesConfig{Threads: c.Int("threads"), OnnxRuntime: c.String("onnxruntime")},
				})
			if err != nil {
				return err
			}
			report.Say(fmt.Sprintf("export   %s: %s", out, parity))
			return nil
		},
	}
}
