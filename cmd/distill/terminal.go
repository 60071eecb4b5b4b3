package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/pipeline"
)

var _ pipeline.Reporter = (*terminal)(nil)

// terminal reports to a person: lines to out, warnings and progress to err. A
// line stays one, whatever is in the names that it tells. On a terminal progress is a bar with rate and remaining time, elsewhere a plain
// line every few seconds.
type terminal struct {
	out, err io.Writer
	command  *cli.Command             // whose flags lines name
	bar      *progressbar.ProgressBar // drawn and not ended; nil when there is none
}

func newTerminal(c *cli.Context) *terminal {
	return &terminal{out: c.App.Writer, err: c.App.ErrWriter, command: c.Command}
}

// lineEvery is how often progress is told where no bar can be drawn.
const lineEvery = 10 * time.Second

// Say implements pipeline.Reporter.
func (t *terminal) Say(line string) {
	t.clear()
	fmt.Fprintln(t.out, oneLine(inFlags(t.command, line)))
}

// Warn implements pipeline.Reporter.
func (t *terminal) Warn(line string) {
	t.clear()
	fmt.Fprintln(t.err, "warning: "+oneLine(inFlags(t.command, line)))
}

// clear removes a bar that is in the way of a line; its next step redraws it.
func (t *terminal) clear() {
	if t.bar != nil {
		t.bar.Clear()
	}
}

// Begin implements pipeline.Reporter.
func (t *terminal) Begin(what string, total int) func(int, string) {
	if isTerminal(t.err) {
		bar := progressbar.NewOptions(total,
			progressbar.OptionSetWriter(underneath(t.err)),
			progressbar.OptionSetDescription(oneLine(what)),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionFullWidth(),
			progressbar.OptionClearOnFinish(),
		)
		t.bar = bar
		return func(done int, status string) {
			if status != "" {
				bar.Describe(oneLine(what + "  " + status))
			}
			bar.Set(done)
			if done >= total {
				t.bar = nil
			}
		}
	}
	start, last := time.Now(), time.Now()
	return func(done int, status string) {
		now := time.Now()
		if done >= total || now.Sub(last) < lineEvery || done == 0 {
			return
		}
		last = now
		elapsed := now.Sub(start)
		left := time.Duration(float64(elapsed) / float64(done) * float64(total-done))
		line := fmt.Sprintf("%s: %d/%d, %.1f/s, %v left", what, done, total, float64(done)/elapsed.Seconds(), left.Round(time.Second))
		fmt.Fprintln(t.err, oneLine(strings.TrimSpace(line+"  "+status)))
	}
}
