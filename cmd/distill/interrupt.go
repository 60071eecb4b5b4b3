package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/pipeline"
)

// patience is how long an interrupted command that heeds it may take to end by itself.
const patience = 2 * time.Second

// endSoon has a command end soon after it is interrupted, whatever it waits for: what
// ONNX Runtime does, such as loading a large model, cannot be stopped. It is for
// commands that leave nothing half done.
func endSoon(command *cli.Command) *cli.Command {
	action := command.Action
	command.Action = func(c *cli.Context) error {
		done := make(chan error, 1)
		go func() { done <- action(c) }()
		select {
		case err := <-done:
			return err
		case <-c.Context.Done():
		}
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return fmt.Errorf("%s: %w", command.Name, pipeline.ErrInterrupted)
		}
	}
	return command
}
