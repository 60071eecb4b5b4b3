// Command distill turns a frozen teacher.onnx into a compact student.onnx.
//
//	distill demo
//	distill inspect teacher.onnx
//	distill train --teacher teacher.onnx --data images/ --student wrn-16-1 --out runs/first
//	distill signals --teacher teacher.onnx --data images/
//	distill eval --data images/ runs/first/student.onnx
//	distill verify a.onnx b.onnx --data images/
//	distill export --out student.onnx runs/first
//	distill doctor
//
// It exits with 0 on success, 1 when the work failed, 2 when it was asked for
// wrongly, 3 when train --strict made a student that has learned nothing and 130
// when it was interrupted.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// The exit codes of distill, besides 0.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitDoubtful    = 3   // the work is done, and train --strict finds its result useless
	exitInterrupted = 130 // as of programs that end by Ctrl-C
)

// heapGrowth is by how many percent the heap may grow before it is collected.
// Training makes next to no garbage, but decoding a data set does: at Go's 100
// the garbage of CIFAR-10 doubles what the decoded images take.
const heapGrowth = 25

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	// The first signal asks for an orderly end, see endSoon too; a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args))
}

func run(ctx context.Context, args []string) int {
	app := newApp(os.Stdout, os.Stderr)
	err := runLine(ctx, app, args)
	if err == nil {
		return 0
	}
	report(app.ErrWriter, err)
	return exitCode(err)
}

// report prints what a command failed with. Further lines are indented: a line
// break may be part of a name from a file, and what is behind it is no line of the
// program's own.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "distill: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
}
