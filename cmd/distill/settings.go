package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// settings has, for what the packages below name in their messages, a key of
// config.yaml or an option of their own, the flags that set it. Commands call
// one thing by several names: a message shows the flag that the command in use
// has, and the setting as it is where the command has none.
var settings = map[string][]string{
	"data.path":        {"data"},
	"data.size":        {"size"},
	"data.channels":    {"channels"},
	"data.skip_bad":    {"skip-bad"},
	"data.allow_empty": {"allow-empty"},
	"data.validation":  {"validation"},

	"teacher.path":        {"teacher"},
	"teacher.taps":        {"taps"},
	"teacher.preprocess":  {"teacher-preprocess", "preprocess"},
	"teacher.classes":     {"teacher-classes", "model-classes"},
	"teacher.output":      {"teacher-output", "model-output"},
	"teacher.image_shape": {"teacher-image-shape", "image-shape"},
	"A.Preprocess":        {"preprocess"},
	"B.Preprocess":        {"preprocess-b"},

	"student.taps":        {"student-taps"},
	"student.preprocess":  {"preprocess"},
	"student.image_shape": {"image-shape"},

	"loss.attention.beta":    {"beta"},
	"loss.gradient_beta":     {"gradient-beta"},
	"training.learning_rate": {"lr"},
	"training.clip_norm":     {"clip-norm"},
	"training.decay":         {"decay"},
	"training.augment.views": {"views"},
	"resources.cache":        {"cache"},

	"Options.DataPath":    {"data"},
	"Options.TeacherPath": {"teacher"},
	"Options.Overwrite":   {"overwrite"},

	// Of package teachers.
	"Options.Size":       {"teacher-size", "model-size"},
	"Options.Layout":     {"teacher-layout", "model-layout"},
	"Options.Output":     {"teacher-output", "model-output"},
	"Options.ImageShape": {"teacher-image-shape", "image-shape"},
	"Options.Taps":       {"taps"},

	// Of package student.
	"ImportOptions.ReplaceHead":     {"replace-head"},
	"ImportOptions.UnfoldBatchNorm": {"unfold-bn"},
	"ImportOptions.TrainConstants":  {"train-constants"},
	"ImportOptions.Output":          {"student-output"},
	"ImportOptions.ImageShape":      {"image-shape"},
}

// nameable is a text in quotes, which is somebody's name for something, or a
// word that may be a setting's.
var nameable = regexp.MustCompile(`"[^"]*"|[\pL\d_./\\-]+`)

// inFlags writes a message in the flags of a command.
func inFlags(c *cli.Command, message string) string {
	return nameable.ReplaceAllStringFunc(message, func(word string) string {
		setting := strings.TrimRight(word, ".")
		for _, name := range settings[setting] {
			if flag := flagCalled(c, name); flag != "" {
				return "--" + flag + word[len(setting):]
			}
		}
		return word
	})
}

// flagCalled returns the first name of the flag that has the given one among
// its names, and nothing where the command has no such flag.
func flagCalled(c *cli.Command, name string) string {
	for _, f := range c.Flags {
		if slices.Contains(f.Names(), name) {
			return f.Names()[0]
		}
	}
	return ""
}

// flaggedError is an error whose message is in the flags of the command that
// failed.
type flaggedError struct {
	error
	message string
}

func (e flaggedError) Error() string { return e.message }

func (e flaggedError) Unwrap() error { return e.error }

// failInFlags makes a command name its own flags in what it fails with.
func failInFlags(command *cli.Command) {
	action := command.Action
	if action == nil {
		return
	}
	command.Action = func(c *cli.Context) error {
		err := action(c)
		if err == nil || errors.As(err, new(usageError)) { // which has them already
			return err
		}
		if message := inFlags(command, err.Error()); message != err.Error() {
			return flaggedError{err, message}
		}
		return err
	}
}
