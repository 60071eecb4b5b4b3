package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/pipeline"
)

func newDemoCommand() *cli.Command {
	d := pipeline.DefaultDemo()
	return &cli.Command{
		Name:      "demo",
		Usage:     "distil a digit reader from nothing but this program, in minutes",
		UsageText: "distill demo [flags]",
		Description: `Draws small photographs of street numbers, trains a small network on a few
hundred of them twice, alone and with a teacher that has seen many more, and
compares all three.

Worked examples:
   distill demo
   distill demo --seed 2 --out runs/demo2`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "teacher", Usage: "`FILE` of another teacher of the ten digits (default: one that the program carries)"},
			&cli.StringFlag{Name: "out", Value: d.Out, Usage: "`FOLDER` for the two runs; replaces what an earlier demo wrote there, and nothing else"},
			&cli.Uint64Flag{Name: "seed", Value: d.Seed, Usage: "seed of the drawings and of training"},
			&cli.IntFlag{Name: "images", Value: d.Images, Usage: "training images, at least 100"},
			&cli.IntFlag{Name: "epochs", Value: d.Epochs, Usage: "times every training image is seen"},
			&cli.StringFlag{Name: "student", Value: d.Student, Usage: "`ARCHITECTURE`"},
			threadsFlag(), onnxRuntimeFlag(),
		},
		Action: demo,
	}
}

func demo(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	config := pipeline.DefaultDemo()
	config.Teacher, config.Out, config.Student = c.String("teacher"), c.String("out"), c.String("student")
	config.Seed, config.Images, config.Epochs = c.Uint64("seed"), c.Int("images"), c.Int("epochs")
	config.Threads, config.Library = c.Int("threads"), c.String("onnxruntime")
	if config.Images < 100 || config.Epochs < 1 {
		return usagef("demo needs at least 100 --images and 1 epoch, got %d and %d", config.Images, config.Epochs)
	}
	if config.Teacher != "" {
		if _, err := os.Stat(config.Teacher); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("demo: there is no teacher at %s; without --teacher the demo takes the one that the program carries", config.Teacher)
		}
	}
	setThreads(config.Threads)
	start := time.Now()
	report := newTerminal(c)
	result, err := pipeline.Demo(c.Context, config, pipeline.Options{Reporter: report, Version: programVersion()})
	if err != nil {
		return err
	}
	return printDemo(c.App.Writer, result, time.Since(start))
}

func printDemo(w io.Writer, r *pipeline.DemoResult, took time.Duration) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\n\ttest accuracy\tparameters\tfile size\tlatency\t")
	for _, row := range []struct {
		name string
		e    *pipeline.Evaluation
	}{
		{"teacher", r.Teacher},
		{"student alone", r.Alone},
		{"student distilled", r.Distilled},
	} {
		fmt.Fprintf(t, "%s\t%.1f %%\t%d\t%.0f kB\t%.2f ms\t\n", row.name, 100*row.e.Top1, row.e.Parameters, float64(row.e.Bytes)/1000, row.e.Latency.P50)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nThe teacher was worth %+.1f points to the student (%d test images, %v in all).\n%s\n",
		100*(r.Distilled.Top1-r.Alone.Top1), r.Distilled.Samples, took.Round(time.Second), oneLine(r.Student))
	return err
}
