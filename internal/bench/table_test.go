package bench

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// What TestMain does with the table besides printing it. Names of files begin at
// the module's root.
var (
	benchJSON     = flag.String("bench.json", "", "write the rows of the table to this `FILE`")
	benchMarkdown = flag.String("bench.markdown", "", "write the table in Markdown to these `FILES`, separated by commas: between the markers of one that exists, and there the profile of a step as well")
)

// row is one comparison.
type row struct {
	name string // in bench.json, and of the sub-benchmark
	what string // for a person
	unit string // of both figures
	goal goal

	// measure returns the two figures. An *absence says that the row cannot be
	// measured here; any other error fails the benchmark.
	measure func(b *testing.B) (figures, error)
}

// figures are what a row measured, in its unit.
type figures struct{ ours, peer float64 }

// goal is what a row's ratio should reach.
type goal struct {
	// atLeast makes the ratio peer/ours, how many times faster ours is, which
	// should be target or more. Otherwise it is ours/peer, what ours costs in
	// peers, which should be target or less.
	atLeast bool
	target  float64
}

func (g goal) ratio(f figures) float64 {
	if g.atLeast {
		return f.peer / f.ours
	}
	return f.ours / f.peer
}

func (g goal) met(ratio float64) bool {
	if g.atLeast {
		return ratio >= g.target
	}
	return ratio <= g.target
}

// absence is the reason why a row cannot be measured on this machine.
type absence struct{ reason string }

func (a *absence) Error() string { return a.reason }

func absent(format string, args ...any) error { return &absence{fmt.Sprintf(format, args...)} }

func fasterBy(times float64) goal     { return goal{atLeast: true, target: times} }
func atMostTimes(target float64) goal { return goal{target: target} }

// rows is the table, in its order.
var rows = []row{
	{"wrn-16-1-step", "WRN-16-1 student step, batch 128, CE+KD+AT, against PyTorch's better memory format", "ms", fasterBy(1.6), studentStep("wrn-16-1", "16", "1")},
	{"wrn-16-2-step", "WRN-16-2 student step, same", "ms", fasterBy(1.3), studentStep("wrn-16-2", "16", "2")},
	{"onednn-sum", "WRN-16-1 step over the sum of oneDNN's own kernel times for its nodes", "ms", atMostTimes(1.25), stepOverKernels},
	{"stock-gorgonia", "WRN-16-1 step on the labels alone, batch 128, against stock Gorgonia", "ms", fasterBy(30), stockStep},
	{"teacher-maps", "teacher forward with three maps over plain ONNX Runtime forward of the same file", "ms", atMostTimes(1.03), teacherMaps},
	{"epoch-over-steps", "epoch end to end with recorded signals over its steps alone", "s", atMostTimes(1.08), epochOverSteps},
	{"epoch-recorded", "epoch with recorded signals over the same epoch without a teacher", "s", atMostTimes(1.10), epochRecorded},
	{"peak-memory", "peak memory of distill train, WRN-16-1, batch 128, CIFAR-10 in memory, over the PyTorch loop", "MiB", atMostTimes(1), peakMemory},
	{"mobilenet-block", "step of MobileNetV2 blocks, batch 128, against PyTorch's better memory format", "ms", fasterBy(1.2), mobileStep},
	{"portable-convolution", "portable convolutions of a WRN-16-1 with both derivatives against stock Gorgonia's Conv2d", "ms", fasterBy(3), portableConvolution("", "")},
	// noasm is gonum's, whose assembly is under Gorgonia's Conv2d.
	{"portable-convolution-plain", "same, both in plain Go, as on a processor for which there is no assembly", "ms", fasterBy(3), portableConvolution("noasm", "cpu.avx2=off")},
}

// measured is the rows that ran, in the order of the table.
var measured []result

// BenchmarkTable measures the table; -bench '^BenchmarkTable$/^name$' measures
// one row.
func BenchmarkTable(b *testing.B) {
	for _, r := range rows {
		b.Run(r.name, func(b *testing.B) {
			for b.Loop() {
				f, err := r.measure(b)
				keep(r.result(f, err))
				if a := (*absence)(nil); errors.As(err, &a) {
					b.Skip(a.reason)
				}
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(f.ours, "ours-"+r.unit)
				b.ReportMetric(f.peer, "peer-"+r.unit)
				b.ReportMetric(r.goal.ratio(f), "ratio")
			}
			b.ReportMetric(0, "ns/op") // of both together, which says nothing
		})
	}
}

// keep puts a result in place of an earlier one of the row.
func keep(r result) {
	if i := slices.IndexFunc(measured, func(m result) bool { return m.Name == r.Name }); i >= 0 {
		measured[i] = r
		return
	}
	measured = append(measured, r)
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := toRoot(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	start := load()
	code := m.Run()
	if len(measured) > 0 {
		if err := publish(os.Stdout, start, time.Now()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// toRoot makes the module's root the working directory: the peers' programs, the
// demo's teacher and the pages are named from there. The go command starts tests
// in their package's folder; a test that starts this program again does so in the
// root itself.
func toRoot() error {
	for {
		if _, err := os.Stat("go.mod"); err == nil {
			return nil
		}
		if dir, err := os.Getwd(); err != nil || dir == filepath.Dir(dir) {
			return fmt.Errorf("no go.mod above the working directory %s: %w", dir, cmp.Or(err, fs.ErrNotExist))
		}
		if err := os.Chdir(".."); err != nil {
			return err
		}
	}
}

// publish prints the table and writes the files asked for.
func publish(w io.Writer, load string, now time.Time) error {
	head := describe(load, now)
	writeTable(w, head, measured)
	if *benchJSON != "" {
		b, err := encodeResults(measured)
		if err != nil {
			return err
		}
		if err := wholefile.Write(*benchJSON, b); err != nil {
			return fmt.Errorf("writing the table's rows: %w", err)
		}
	}
	if *benchMarkdown == "" {
		return nil
	}
	for _, path := range strings.Split(*benchMarkdown, ",") {
		old, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("writing the table: %w", err)
		}
		page, err := fill(old, markdown(head, measured), func() ([]byte, error) {
			p, err := stepProfile()
			if err != nil {
				return nil, err
			}
			return profileTable(p), nil
		})
		if err == nil {
			err = wholefile.Write(path, page)
		}
		if err != nil {
			return fmt.Errorf("writing the table to %s: %w", path, err)
		}
	}
	return nil
}
