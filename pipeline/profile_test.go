package pipeline

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// lines is a Reporter that keeps what it is told.
type lines struct {
	Silent
	said []string
}

func (l *lines) Say(line string) { l.said = append(l.said, line) }

func TestRunTellsWhereTimeAndMemoryWent(t *testing.T) {
	c, o := tinyRun(t)
	plain, _ := runStudent(t, c, o)
	report := &lines{}
	o.Reporter, o.Verbose, o.Profile = report, true, filepath.Join(t.TempDir(), "profile.txt")
	profiled, _ := runStudent(t, c, o)
	if !bytes.Equal(read(t, plain.Student()), read(t, profiled.Student())) {
		t.Error("measuring gave another student")
	}
	table := string(read(t, o.Profile))
	// Two epochs of three steps, and two that were timed before.
	for _, want := range []string{"8 runs of ", "\nkind ", "\nlayer ", "Conv2DBackWeights", "group1/block1/conv1 ", "GFLOP/s"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if b := read(t, o.Profile+".pb.gz"); !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		t.Errorf("the profile for pprof begins with %x; want gzip", b[:min(len(b), 4)])
	}
	said := strings.Join(report.said, "\n")
	for _, want := range []string{" MiB planned (", "memory   at most ", "profile  " + o.Profile} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing was said of %q:\n%s", want, said)
		}
	}
}

func TestProfileThatCannotBeWrittenStopsTheRunBeforeItBegins(t *testing.T) {
	c, o := tinyRun(t)
	o.Profile = filepath.Join(t.TempDir(), "missing", "profile.txt")
	folder := Folder(filepath.Join(t.TempDir(), "run"))
	if _, err := Train(t.Context(), c, folder, o); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "profile") {
		t.Errorf("got %v, want an error about the profile's folder", err)
	}
}

func TestPeakMemory(t *testing.T) {
	peak, ok := peakMemory()
	if !ok {
		t.Skip("this system does not tell the peak of a process's memory")
	}
	if peak < 1<<20 || peak > 1<<40 {
		t.Errorf("the peak is %d bytes", peak)
	}
}
