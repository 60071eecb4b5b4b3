package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// What ONNX Runtime does is not stopped by a context; the command ends all the same.
func TestInterruptedCommandsEnd(t *testing.T) {
	never := make(chan bool)
	t.Cleanup(func() { close(never) })
	for name, action := range map[string]cli.ActionFunc{
		"that wait":  func(*cli.Context) error { <-never; return nil },
		"that heed":  func(c *cli.Context) error { <-c.Context.Done(); return errors.New("its own words") },
		"that ended": func(*cli.Context) error { return errors.New("its own words") },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			app := newApp(io.Discard, io.Discard)
			app.Commands = []*cli.Command{endSoon(&cli.Command{Name: "look", Action: action})}
			ended := make(chan error, 1)
			go func() { ended <- app.RunContext(ctx, []string{"distill", "look"}) }()
			select {
			case err := <-ended:
				if waits := name == "that wait"; err == nil || (exitCode(err) == exitInterrupted) != waits || !waits && err.Error() != "its own words" {
					t.Errorf("error %v, exit code %d", err, exitCode(err))
				}
			case <-time.After(patience + 20*time.Second):
				t.Error("the command goes on")
			}
		})
	}
}
