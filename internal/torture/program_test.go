package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// hangAfter is how much processor time an attempt may take. Time on the wall says
	// little on a busy machine; it is bounded by giveUp, for what waits for ever.
	hangAfter = 10 * time.Second
	giveUp    = 30 * time.Second
	// memoryMultiple bounds an attempt's memory, as a multiple of what an undisturbed
	// training takes, see world.memory.
	memoryMultiple = 4
)

// program is the distill under torture.
type program struct {
	path   string
	memory int64         // bound in bytes; zero is none
	more   time.Duration // processor time allowed beyond hangAfter
}

// build builds the program with the tags of this test.
func build(t *testing.T) program {
	t.Helper()
	path := t.TempDir() + "/distill"
	tags := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				tags = s.Value
			}
		}
	}
	c := exec.Command("go", "build", "-tags", tags, "-o", path, "../../cmd/distill")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program{path: path}
}

// interruption is a signal sent to a process after a while; nil is none.
type interruption struct {
	after  time.Duration
	signal syscall.Signal
}

// result is what a process did.
type result struct {
	args      []string
	out, err  string
	code      int  // exit code, -1 after a signal
	killed    bool // by the signal of its interruption
	crashed   bool // by a signal that nobody sent
	gaveUp    bool
	stopped   bool // for its memory
	cpu, wall time.Duration
	allowed   time.Duration // processor time
	memory    int64         // highest resident size seen, in bytes
}

func (r result) String() string {
	return fmt.Sprintf("distill %s: exit code %d, %v of processor time, %v, %d MiB\n%s%s",
		strings.Join(r.args, " "), r.code, r.cpu.Round(time.Millisecond), r.wall.Round(time.Millisecond), r.memory>>20, tail(r.out), tail(r.err))
}

// tail is the end of a text.
func tail(s string) string {
	const most = 600
	if len(s) > most {
		s = "..." + s[len(s)-most:]
	}
	return s
}

// run runs the program in a folder, which may be empty, and interrupts it.
func (p program) run(dir string, i *interruption, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), giveUp)
	defer cancel()
	var out, errOut bytes.Buffer
	c := exec.CommandContext(ctx, p.path, args...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errOut
	r := result{args: args, allowed: hangAfter + p.more}
	start := time.Now()
	if err := c.Start(); err != nil {
		r.code, r.err, r.crashed = -1, err.Error(), true
		return r
	}
	if i != nil {
		timer := time.AfterFunc(i.after, func() { c.Process.Signal(i.signal) })
		defer timer.Stop()
	}
	over, watched := make(chan bool), make(chan bool)
	go func() {
		defer close(watched)
		r.memory, r.stopped = p.watch(c.Process, over)
	}()
	err := c.Wait()
	close(over)
	<-watched
	r.wall, r.out, r.err = time.Since(start), out.String(), errOut.String()
	r.gaveUp = ctx.Err() != nil
	if state := c.ProcessState; state != nil {
		r.code, r.cpu = state.ExitCode(), state.UserTime()+state.SystemTime()
		if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			r.killed = i != nil && status.Signal() == i.signal
			r.crashed = !r.killed && !r.gaveUp && !r.stopped
		}
	} else if err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.crashed = true
	}
	return r
}

// watch looks at a process's memory and kills it where it takes more than it may, for
// the sake of all others on the machine. The system's figure at the end is of no use:
// it begins at what the parent held when it started the child.
func (p program) watch(process *os.Process, over <-chan bool) (highest int64, stopped bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return highest, stopped
		case <-tick.C:
		}
		var pages, resident int64
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", process.Pid)); err == nil {
			fmt.Sscan(string(b), &pages, &resident)
		}
		highest = max(highest, resident*int64(os.Getpagesize()))
		if p.memory > 0 && highest > p.memory && !stopped {
			stopped = true
			process.Kill()
		}
	}
}

// goTrace is how Go's runtime tells of a panic, a deadlock or a signal in C.
var goTrace = regexp.MustCompile(`(?m)^(panic: |fatal error: |SIG[A-Z]+: |goroutine \d+ \[)`)

// outcome judges a process without knowing what it should give.
func (r result) outcome() outcome {
	switch {
	case r.stopped:
		return fat
	case r.gaveUp || r.cpu > r.allowed:
		return hung
	case r.crashed || goTrace.MatchString(r.err):
		return panicked
	case r.killed || r.code == 0:
		return ok
	case !strings.Contains(r.err, "distill: "):
		return wrong
	}
	return refused
}
