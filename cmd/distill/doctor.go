package main

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func newDoctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "show what this installation found and check that it works",
		UsageText: "distill doctor [flags]",
		Description: `Prints the ONNX Runtime library in use and its version, the kernels that train
the student and how to get faster ones, and the cores; then trains, exports and verifies a very small
student.

Worked example:
   distill doctor`,
		Flags:  []cli.Flag{threadsFlag(), onnxRuntimeFlag()},
		Action: doctor,
	}
}

func doctor(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	setThreads(c.Int("threads"))
	w := c.App.Writer
	printFound(w, c.String("onnxruntime"))
	parity, err := pipeline.SelfTest(c.Context, pipeline.ResourcesConfig{Threads: c.Int("threads"), OnnxRuntime: c.String("onnxruntime")})
	if err != nil {
		fmt.Fprintln(w, "self-test     failed")
		return err
	}
	_, err = fmt.Fprintf(w, "self-test     passed: trained, exported and verified a student; %s\n", parity)
	return err
}

func printFound(w io.Writer, library string) {
	t := tabwriter.NewWriter(w, 14, 0, 1, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "distill\t%s, %s, %s/%s\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	info, err := teachers.Runtime(library)
	if err != nil {
		fmt.Fprintf(t, "ONNX Runtime\tnot usable\n")
	} else {
		fmt.Fprintf(t, "ONNX Runtime\t%s, %s\n", info.Version, oneLine(info.Path))
	}
	fmt.Fprintf(t, "kernels\t%s\n", student.Kernels())
	if advice := student.KernelAdvice(); advice != "" {
		fmt.Fprintf(t, "\t%s\n", advice)
	}
	fmt.Fprintf(t, "threads\t%d of %d cores\n", runtime.GOMAXPROCS(0), runtime.NumCPU())
}
