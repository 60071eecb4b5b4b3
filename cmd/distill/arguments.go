package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst puts the flags of a command before its arguments, in their order, as
// the library wants them and people do not type them: "inspect teacher.onnx
// --json". What follows "--" are arguments. A flag that the command does not
// have stays where it is, for the library to complain of.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	commands, at := app.Commands, 1
	var command *cli.Command
	for ; at < len(args); at++ {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[at]) })
		if i < 0 {
			break
		}
		command = commands[i]
		commands = command.Subcommands
	}
	if command == nil {
		return args
	}
	var flags, plain []string
	rest, last := args[at:], []string(nil)
	if n := len(rest); n > 0 && rest[n-1] == completionFlag {
		rest, last = rest[:n-1], rest[n-1:]
	}
	for ; len(rest) > 0; rest = rest[1:] {
		word := rest[0]
		if word == "--" {
			plain = append(plain, rest[1:]...)
			break
		}
		if !isFlag(word) {
			plain = append(plain, word)
			continue
		}
		flags = append(flags, word)
		if takesValue(command, word) && len(rest) > 1 {
			rest = rest[1:]
			flags = append(flags, rest[0])
		}
	}
	out := append(slices.Clone(args[:at]), flags...)
	if slices.ContainsFunc(plain, func(word string) bool { return isFlag(word) }) {
		out = append(out, "--")
	}
	return append(append(out, plain...), last...)
}

// completionFlag is what a shell adds at the end to ask how the line may go on.
const completionFlag = "--generate-bash-completion"

// isFlag reports whether the library reads a word as a flag.
func isFlag(word string) bool { return len(word) > 1 && strings.HasPrefix(word, "-") }

// takesValue reports whether the word after a flag is its value.
func takesValue(c *cli.Command, word string) bool {
	name := strings.TrimLeft(word, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range c.Flags {
		if slices.Contains(f.Names(), name) {
			_, isBool := f.(*cli.BoolFlag)
			return !isBool
		}
	}
	return false
}
