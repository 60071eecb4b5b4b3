package main

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// formerNames has, for each command, names that flags went by, which it still
// takes and no help shows.
var formerNames = map[string]map[string]string{
	"inspect": {
		"layout": "model-layout", "output": "model-output", "size": "model-size",
		"teacher-layout": "model-layout", "teacher-output": "model-output", "teacher-size": "model-size",
	},
	"eval": {
		"layout": "model-layout", "output": "model-output", "classes": "model-classes",
		"teacher-layout": "model-layout", "teacher-output": "model-output",
	},
	"verify": {
		"layout": "model-layout", "output": "model-output", "output-b": "model-output-b",
		"teacher-layout": "model-layout", "teacher-output": "model-output",
	},
}

// runLine runs a command line as people type it.
func runLine(ctx context.Context, app *cli.App, args []string) error {
	line := parseLine(app, args)
	if err := line.refuseRepeats(); err != nil {
		return err
	}
	return app.RunContext(ctx, line.args())
}

// line is a command line in its parts. What follows "--" are arguments; a flag that
// the command does not have is among the flags, for the library to complain of.
type line struct {
	commands []string // the program and the commands
	command  *cli.Command
	flags    []typedFlag
	plain    []string // arguments
	last     []string // the shell's question, see completionFlag
}

// typedFlag is a flag with its value, as typed: "--size=32" or "--size", "32".
type typedFlag struct {
	words []string
	flag  cli.Flag // nil where the command has none of the name
}

func parseLine(app *cli.App, args []string) line {
	l := line{}
	commands, at := app.Commands, min(1, len(args))
	for ; at < len(args); at++ {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[at]) })
		if i < 0 {
			break
		}
		l.command = commands[i]
		commands = l.command.Subcommands
	}
	l.commands = args[:at]
	rest := args[at:]
	if n := len(rest); n > 0 && rest[n-1] == completionFlag {
		rest, l.last = rest[:n-1], rest[n-1:]
	}
	if l.command == nil {
		l.plain = rest
		return l
	}
	for ; len(rest) > 0; rest = rest[1:] {
		word := rest[0]
		if word == "--" {
			l.plain = append(l.plain, rest[1:]...)
			break
		}
		if !isFlag(word) {
			l.plain = append(l.plain, word)
			continue
		}
		typed := newTypedFlag(l.command, word)
		if typed.takesValue() && len(rest) > 1 {
			rest = rest[1:]
			typed.words = append(typed.words, rest[0])
		}
		l.flags = append(l.flags, typed)
	}
	return l
}

// newTypedFlag finds the flag that a word means, by its name or a former one.
func newTypedFlag(c *cli.Command, word string) typedFlag {
	dashes := word[:len(word)-len(strings.TrimLeft(word, "-"))]
	name, value, assigned := strings.Cut(word[len(dashes):], "=")
	if present, ok := formerNames[c.Name][name]; ok {
		name = present
	}
	if assigned {
		value = "=" + value
	}
	typed := typedFlag{words: []string{dashes + name + value}}
	for _, f := range c.Flags {
		if slices.Contains(f.Names(), name) {
			typed.flag = f
		}
	}
	return typed
}

// takesValue reports whether the word after a flag is its value.
func (t typedFlag) takesValue() bool {
	if t.flag == nil || strings.Contains(t.words[0], "=") {
		return false
	}
	_, isBool := t.flag.(*cli.BoolFlag)
	return !isBool
}

// args returns the line as the library wants it and people do not type it: the flags
// before the arguments, in their order.
func (l line) args() []string {
	out := slices.Clone(l.commands)
	for _, f := range l.flags {
		out = append(out, f.words...)
	}
	if l.command != nil && slices.ContainsFunc(l.plain, isFlag) {
		out = append(out, "--")
	}
	return append(append(out, l.plain...), l.last...)
}

// refuseRepeats refuses a flag given twice, of which the library would take the last
// without a word. A flag that takes several values may be given for each.
func (l line) refuseRepeats() error {
	seen := map[string]string{}
	for _, typed := range l.flags {
		if typed.flag == nil {
			continue
		}
		if _, several := typed.flag.(*cli.StringSliceFlag); several {
			continue
		}
		name, words := typed.flag.Names()[0], strings.Join(typed.words, " ")
		if before, twice := seen[name]; twice {
			return usagef("--%s is given twice, %q and %q; give it once", name, before, words)
		}
		seen[name] = words
	}
	return nil
}

// completionFlag is what a shell adds at the end to ask how the line may go on.
const completionFlag = "--generate-bash-completion"

// isFlag reports whether the library reads a word as a flag.
func isFlag(word string) bool { return len(word) > 1 && strings.HasPrefix(word, "-") }
