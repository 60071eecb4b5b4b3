package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/student/kernel"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// peakMemory compares the peak of resident memory of distill train, ended after
// some steps as by Ctrl-C, with that of a training loop in PyTorch that takes as
// many. Both hold CIFAR-10 decoded.
func peakMemory(b *testing.B) (figures, error) {
	p, err := findPyTorch()
	if err != nil {
		return figures{}, err
	}
	images, err := cifar10()
	if err != nil {
		return figures{}, err
	}
	if runtime.GOOS != "linux" {
		return figures{}, absent("peaks are read from /proc, which %s has not", runtime.GOOS)
	}
	tags := "" // those of this process
	if _, linked := kernel.OneDNN(); linked {
		tags = "onednn"
	}
	distill := filepath.Join(b.TempDir(), "distill")
	if out, err := exec.Command("go", "build", "-tags", tags, "-o", distill, "./cmd/distill").CombinedOutput(); err != nil {
		return figures{}, fmt.Errorf("building distill: %w\n%s", err, out)
	}
	train := exec.Command(distill, "train", "--data", images, "--teacher", benchTeacher(), "--teacher-preprocess", "cifar10",
		"--student", "wrn-16-1", "--batch", strconv.Itoa(benchBatch), "--out", filepath.Join(b.TempDir(), "run"))
	library, err := teachers.Runtime("")
	if err != nil {
		return figures{}, absent("%v", err)
	}
	// Signals are recorded anew.
	train.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.TempDir(), "ONNXRUNTIME_LIB="+library.Path)
	ours, steps, err := trainFor(train, 10*time.Second)
	if err != nil {
		return figures{}, err
	}
	// The loop in the format that takes less, as with times.
	var peer int64
	for _, format := range []string{"channels_last", "contiguous"} {
		var said bytes.Buffer
		loop := p.command("testdata/bench/train_loop.py", "--data", images, "--batch", strconv.Itoa(benchBatch), "--steps", strconv.Itoa(steps), "--format", format)
		loop.Stdout = &said
		peak, err := peakOf(loop, nil)
		if err != nil {
			return figures{}, err
		}
		if !strings.Contains(said.String(), `"images": 60000`) {
			return figures{}, fmt.Errorf("the loop says %s", &said)
		}
		if peer == 0 || peak < peer {
			peer = peak
		}
	}
	const MiB = 1 << 20
	return figures{float64(ours) / MiB, float64(peer) / MiB}, nil
}

// trainFor runs distill train and interrupts it some time after its first step.
// It returns the peak of its memory and the number of steps.
func trainFor(c *exec.Cmd, d time.Duration) (peak int64, steps int, err error) {
	if testing.Short() {
		d = time.Second
	}
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	peak, err = peakOf(c, func() error {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "plan ") {
				time.Sleep(d)
				return c.Process.Signal(os.Interrupt)
			}
		}
		return errors.Join(lines.Err(), errors.New("it ended before it trained"))
	})
	m := regexp.MustCompile(`interrupted after 0 epochs and (\d+) steps?;`).FindStringSubmatch(said.String())
	if m == nil {
		return 0, 0, fmt.Errorf("distill train: %w; it said %s", err, &said)
	}
	steps, err = strconv.Atoi(m[1])
	return peak, max(steps, 1), err
}

// peakOf runs a command and returns the peak of its resident memory in bytes,
// its children's left out. Where given, then is called when it has started. The
// peak is the largest seen in /proc: what the system says at the end (rusage)
// includes what this process held when it started the command.
func peakOf(c *exec.Cmd, then func() error) (int64, error) {
	if c.Stderr == nil {
		c.Stderr = new(bytes.Buffer)
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	over, seen := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid)); err == nil {
				peak = max(peak, highWater(string(b)))
			}
			select {
			case <-over:
				seen <- peak
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	var failed error
	if then != nil {
		if failed = then(); failed != nil {
			c.Process.Kill()
		}
	}
	err := c.Wait()
	close(over)
	peak := <-seen
	if failed == nil && err != nil {
		failed = fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, c.Stderr)
	}
	return peak, failed
}

// highWater reads the peak of resident memory, in bytes, from the text of
// /proc/PID/status.
func highWater(status string) int64 {
	m := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindStringSubmatch(status)
	if m == nil {
		return 0
	}
	kB, _ := strconv.ParseInt(m[1], 10, 64)
	return kB << 10
}

// TestPeakIsTheCommandsOwn starts itself, once to hold some memory and once to
// hold little, while it holds more than either.
func TestPeakIsTheCommandsOwn(t *testing.T) {
	const variable = "ONNXDISTILL_TEST_HOLD"
	hold := func(bytes int) byte {
		b := make([]byte, bytes)
		for i := range b {
			b[i] = byte(i)
		}
		return b[len(b)/2]
	}
	if text := os.Getenv(variable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(hold(n))
		return
	}
	if runtime.GOOS != "linux" {
		t.Skipf("peaks are read from /proc, which %s has not", runtime.GOOS)
	}
	t.Log(hold(250 << 20))
	peak := func(bytes int) int64 {
		c := exec.Command(os.Args[0], "-test.run=^TestPeakIsTheCommandsOwn$")
		c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", variable, bytes))
		p, err := peakOf(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	little, much := peak(1<<20), peak(100<<20)
	if little <= 1<<20 || little > 150<<20 {
		t.Errorf("a process that holds 1 MiB peaks at %d bytes", little)
	}
	if d := much - little; d < 80<<20 || d > 150<<20 {
		t.Errorf("99 MiB more raise the peak by %d bytes", d)
	}
	if _, err := peakOf(exec.Command("sh", "-c", "echo no luck >&2; exit 3"), nil); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("a command that fails: %v", err)
	}
}

// TestTrainingThatEndsEarly gives trainFor a program that does not train.
func TestTrainingThatEndsEarly(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("peaks are read from /proc, which %s has not", runtime.GOOS)
	}
	c := exec.Command("sh", "-c", "echo data; echo 'no such teacher' >&2")
	if _, _, err := trainFor(c, 0); err == nil || !strings.Contains(err.Error(), "no such teacher") {
		t.Errorf("got %v", err)
	}
	// One that goes on in silence is not waited for.
	c = exec.Command("sh", "-c", "exec >&-; exec sleep 600")
	if _, _, err := trainFor(c, 0); err == nil || !strings.Contains(err.Error(), "it ended before it trained") {
		t.Errorf("got %v", err)
	}
	c = exec.Command("sh", "-c", `trap 'echo "distill: interrupted after 0 epochs and 7 steps; saved" >&2; exit 1' INT; echo 'plan     1 epoch'; while :; do sleep 0.01; done`)
	if peak, steps, err := trainFor(c, 50*time.Millisecond); err != nil || steps != 7 || peak <= 0 {
		t.Errorf("peak %d after %d steps, %v; want 7", peak, steps, err)
	}
}
