package pipeline

import "fmt"

// Reporter is told what a person would like to see. The command line prints
// it; Silent drops it.
type Reporter interface {
	// Say prints one line. Names from files may be in it, with any characters that
	// names have.
	Say(line string)
	// Warn prints one line that should not be overlooked.
	Warn(line string)
	// Begin announces work of total units, and returns what is called with
	// the units finished so far and a short status ("loss 1.23"). Calling it
	// with total ends the work.
	Begin(what string, total int) func(done int, status string)
}

// Silent is a Reporter that reports nothing.
type Silent struct{}

// Say implements Reporter.
func (Silent) Say(string) {}

// Warn implements Reporter.
func (Silent) Warn(string) {}

// Begin implements Reporter.
func (Silent) Begin(string, int) func(int, string) { return func(int, string) {} }

func say(r Reporter, format string, args ...any)  { r.Say(fmt.Sprintf(format, args...)) }
func warn(r Reporter, format string, args ...any) { r.Warn(fmt.Sprintf(format, args...)) }
