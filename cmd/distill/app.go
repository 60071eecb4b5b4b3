package main

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"

	"github.com/onnxdistill/onnxdistill/pipeline"
)

// version is set by the Makefile (-ldflags -X); without it the module's own
// version is used.
var version string

func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// newApp returns the whole command line. All output goes to the two writers, with
// what a terminal would obey made visible, and nothing exits the process, so a test
// can run every path.
func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:      "distill",
		Usage:     "train a small network to imitate a large one",
		UsageText: "distill COMMAND [flags] [file]",
		Description: `A frozen teacher.onnx goes in, a compact student.onnx comes out. The student
learns from the teacher's logits and from where it looks.

Worked example, from nothing:
   distill demo

Worked example, with your teacher and your images (a folder of class folders):
   distill inspect teacher.onnx
   distill train --teacher teacher.onnx --data images/ --student wrn-16-1 --out runs/first
   distill eval --data images/ runs/first/student.onnx`,
		Version:              programVersion(),
		Writer:               visible{stdout},
		ErrWriter:            visible{stderr},
		Suggest:              true,
		EnableBashCompletion: true,
		HideHelpCommand:      true,
		ExitErrHandler:       func(*cli.Context, error) {}, // main owns the exit code
		OnUsageError:         onUsageError,
		Commands: []*cli.Command{
			newDemoCommand(),
			endSoon(newInspectCommand()),
			newTrainCommand(),
			newSignalsCommand(),
			endSoon(newEvalCommand()),
			endSoon(newVerifyCommand()),
			newExportCommand(),
			endSoon(newDoctorCommand()),
			newCompletionCommand(),
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return usagef("%q is not a command; the commands are %s%s", name, commandNames(c.App), didYouMean(name, strings.Trim(strings.TrimPrefix(cli.SuggestCommand(c.App.Commands, name), "Did you mean "), `"?`)))
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, command := range app.Commands {
		command.OnUsageError = onUsageError
		failInFlags(command)
		for _, sub := range command.Subcommands {
			sub.OnUsageError = onUsageError
			failInFlags(sub)
		}
	}
	return app
}

// usageError is a command line that cannot be meant; exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// doubtError is a student that has learned nothing, under --strict; exit code 3.
type doubtError struct{ error }

func exitCode(err error) int {
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, new(doubtError)):
		return exitDoubtful
	case errors.Is(err, pipeline.ErrInterrupted):
		return exitInterrupted
	}
	return exitFailed
}

// onUsageError turns the flag parser's complaint into a usage error and adds
// the flag that may have been meant.
func onUsageError(c *cli.Context, err error, _ bool) error {
	const undefined = "flag provided but not defined: "
	if name, ok := strings.CutPrefix(err.Error(), undefined); ok {
		name = strings.TrimLeft(name, "-")
		flags := c.App.VisibleFlags()
		help := "distill --help"
		if c.Command != nil && c.Command.Name != "" && c.Command.Name != c.App.Name {
			flags, help = c.Command.VisibleFlags(), "distill "+c.Command.Name+" --help"
		}
		return usagef("there is no flag --%s%s; see %q", name, didYouMean(name, cli.SuggestFlag(flags, name, false)), help)
	}
	return usageError{err}
}

// didYouMean offers the library's suggestion, which is the nearest name however
// far, where it is near enough to be a slip of the keyboard.
func didYouMean(typed, suggestion string) string {
	near := smetrics.WagnerFischer(typed, strings.TrimLeft(suggestion, "-"), 1, 1, 1)
	if suggestion == "" || near > max(2, len(typed)/3) {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", suggestion)
}

func commandNames(app *cli.App) string {
	var names []string
	for _, c := range app.VisibleCommands() {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// oneArgument returns the command's only argument, described by what.
func oneArgument(c *cli.Context, what string) (string, error) {
	if c.NArg() != 1 {
		return "", usagef("%s takes exactly one %s, got %d; see %q", c.Command.Name, what, c.NArg(), "distill "+c.Command.Name+" --help")
	}
	return c.Args().First(), nil
}

func noArguments(c *cli.Context) error {
	if c.NArg() != 0 {
		return usagef("%s takes no argument besides flags, got %q; see %q", c.Command.Name, c.Args().First(), "distill "+c.Command.Name+" --help")
	}
	return nil
}
