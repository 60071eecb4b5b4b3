package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/pipeline"
	"github.com/onnxdistill/onnxdistill/teachers"
)

func newSignalsCommand() *cli.Command {
	return &cli.Command{
		Name:      "signals",
		Usage:     "record what the teacher says ahead of training; list or remove what is recorded",
		UsageText: "distill signals --teacher FILE --data PATH [flags]\ndistill signals list [--cache FOLDER]\ndistill signals rm [--cache FOLDER] KEY...",
		Description: `Training records the teacher's logits and attention maps as it goes; this command
does it ahead, for every image in every view, with the flags of the training to
come. Ctrl-C stops it; the same command goes on, and several may run at once.

Signals are kept for one teacher, data set, preprocessing, set of taps, map,
augmentation and seed; a change of any of these records others beside them.

Worked examples:
   # before training, with the same flags or from a run's record
   distill signals --teacher teacher.onnx --data images/ --student wrn-16-1
   distill signals --config runs/first/config.yaml

   # what is there, and what it takes
   distill signals list

   # remove some of it, or everything
   distill signals rm 1a67c9c2be6d59a3
   distill signals rm --all`,
		Flags:           signalsFlags(),
		Action:          recordSignals,
		HideHelpCommand: true,
		Subcommands: []*cli.Command{
			{
				Name:      "list",
				Usage:     "show what is recorded, for which teacher and data, and what it takes",
				UsageText: "distill signals list [--cache FOLDER]",
				Description: `One line for each set of signals, the one used last first.

Worked example:
   distill signals list`,
				Flags:  []cli.Flag{cacheFlag()},
				Action: listSignals,
			},
			{
				Name:      "rm",
				Usage:     "remove recorded signals by their key, or all",
				UsageText: "distill signals rm [--cache FOLDER] KEY...",
				Description: `A key, or its beginning, is what distill signals list shows. Signals that are
needed again are recorded again.

Worked examples:
   distill signals rm 1a67c9c2be6d59a3
   distill signals rm --all`,
				Flags:  []cli.Flag{cacheFlag(), &cli.BoolFlag{Name: "all", Usage: "remove all that are listed"}},
				Action: removeSignals,
			},
		},
	}
}

// signalsFlags are the flags of train that decide what is recorded.
func signalsFlags() []cli.Flag {
	of := []string{
		"teacher", "data", "student", "config",
		"epochs", "seed", "pad", "pad-mode", "flip", "views", "beta", "map", "power", "gradient-beta",
		"init", "replace-head", "unfold-bn", "train-constants", "student-output", "image-shape",
		"taps", "student-taps", "teacher-preprocess", "teacher-classes", "teacher-size", "teacher-layout", "teacher-image-shape", "teacher-output",
		"size", "channels", "limit", "validation", "skip-bad",
		"cache", "cache-precision", "threads", "onnxruntime",
	}
	return slices.DeleteFunc(trainFlags(), func(f cli.Flag) bool { return !slices.Contains(of, f.Names()[0]) })
}

func cacheFlag() cli.Flag {
	return &cli.StringFlag{Name: "cache", Category: "Recorded signals", Usage: "`FOLDER` in which the teacher's signals are recorded (default: onnxdistill/signals in the user's cache folder)"}
}

// userCacheDir is replaced by tests, which must not touch the user's.
var userCacheDir = os.UserCacheDir

// signalsFolder is where signals are recorded unless the user says otherwise.
func signalsFolder() (string, error) {
	dir, err := userCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder of the user's (%w); name one with --cache", err)
	}
	return filepath.Join(dir, "onnxdistill", "signals"), nil
}

// cacheFolder is the folder that the flags name; none where they name none, and
// off with --no-cache.
func cacheFolder(c *cli.Context, off string) (string, error) {
	named := c.IsSet("cache")
	switch {
	case named && c.Bool("no-cache"):
		return "", usagef("--cache names a folder for signals and --no-cache wants none recorded; choose one")
	case named && c.String("cache") == "":
		return "", usagef("--cache wants a folder; to record nothing give --no-cache")
	case c.Bool("no-cache"):
		return off, nil
	}
	return c.String("cache"), nil
}

func recordSignals(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	report := newTerminal(c)
	config, err := trainConfig(c, report)
	if err != nil {
		return err
	}
	if config.Teacher.Path == "" {
		return usagef("signals are what a teacher says: --teacher FILE")
	}
	setThreads(c.Int("threads"))
	return pipeline.RecordSignals(c.Context, config, pipeline.Options{Reporter: report, Attention: asksForAttention(c)})
}

// namedFolder is the folder to list or to remove from.
func namedFolder(c *cli.Context) (string, error) {
	folder, err := cacheFolder(c, "")
	if err == nil && folder == "" {
		folder, err = signalsFolder()
	}
	return folder, err
}

func listSignals(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	folder, err := namedFolder(c)
	if err != nil {
		return err
	}
	all, err := teachers.Caches(folder)
	if err != nil {
		return err
	}
	w := c.App.Writer
	if len(all) == 0 {
		_, err := fmt.Fprintf(w, "no signals are recorded in %s\n", oneLine(folder))
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tTEACHER\tDATA\tSIGNALS\tVIEWS\tIMAGES\tSIZE\tLAST USED")
	total := int64(0)
	for _, i := range all {
		views := 0
		for _, rows := range i.Views {
			if rows > 0 {
				views++
			}
		}
		shown := fmt.Sprint(views)
		if i.Augment != "" {
			shown += fmt.Sprintf(" of seed %d, %s", i.Seed, i.Augment)
		}
		signals := "logits"
		if n := len(i.Taps); n > 0 {
			signals += fmt.Sprintf(" and %d maps (%s)", n, i.Map)
		}
		if i.Gradient {
			signals += " and gradients"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s, %s\t%s\t%d\t%s\t%s\n", i.Name, oneLine(i.Teacher), oneLine(i.Data), oneLine(signals), i.Precision, shown, i.Rows(),
			pipeline.FormatBytes(i.Bytes), i.Used.Format("2006-01-02 15:04"))
		total += i.Bytes
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s in %s\n", pipeline.FormatBytes(total), oneLine(folder))
	return err
}

func removeSignals(c *cli.Context) error {
	folder, err := namedFolder(c)
	if err != nil {
		return err
	}
	keys := c.Args().Slice()
	if c.Bool("all") == (len(keys) > 0) {
		return usagef("rm takes the keys that distill signals list shows, or --all")
	}
	if c.Bool("all") {
		all, err := teachers.Caches(folder)
		if err != nil {
			return err
		}
		for _, i := range all {
			keys = append(keys, i.Name)
		}
	}
	var errs []error
	for _, key := range keys {
		i, err := teachers.RemoveCache(folder, key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(c.App.Writer, "removed %s: %s on %s, %s\n", i.Name, oneLine(i.Teacher), oneLine(i.Data), pipeline.FormatBytes(i.Bytes))
	}
	return errors.Join(errs...)
}
