package bench

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// The markers between which a page in Markdown carries the profile.
const profileBegins, profileEnds = "<!-- profile -->\n", "<!-- end of profile -->\n"

// leastShare is the share of a step below which kinds of operators are told
// together.
const leastShare = 0.005

// stepProfile measures where the time of a WRN-16-1's step goes.
func stepProfile() (*vm.Profile, error) {
	a, err := zoo.WRN(16, 1)
	if err != nil {
		return nil, err
	}
	l, err := newLearner(a, true, vm.WithProfile())
	if err != nil {
		return nil, err
	}
	defer l.Close()
	s := someSample(true)
	t := timesOf(1, 20)
	if _, err := t.each(func() error {
		if _, err := l.Compute(s, true); err != nil {
			return err
		}
		return l.Update(1e-6)
	}); err != nil {
		return nil, err
	}
	return l.Profile(), nil
}

// profileTable writes the kinds of operators in Markdown.
func profileTable(p *vm.Profile) []byte {
	var b bytes.Buffer
	ms := func(d time.Duration) float64 { return float64(d) / float64(p.Runs) / float64(time.Millisecond) }
	fmt.Fprintf(&b, "%d runs of %.1f ms each.\n\n| operators | nodes | ms | share | GFLOP/s | GB/s |\n|---|---|---|---|---|---|\n", p.Runs, ms(p.Time))
	share := func(d time.Duration) float64 { return float64(d) / float64(p.Time) }
	line := func(k vm.KindProfile) {
		rate := func(work int64) string {
			if work == 0 {
				return ""
			}
			return fmt.Sprintf("%.0f", float64(work)*float64(p.Runs)/float64(k.Time))
		}
		moved := k.Bytes
		if k.FLOPs > 0 {
			moved = 0 // arithmetic bounds it
		}
		fmt.Fprintf(&b, "| %s | %d | %.2f | %.1f %% | %s | %s |\n", k.Kind, k.Nodes, ms(k.Time), 100*share(k.Time), rate(k.FLOPs), rate(moved))
	}
	rest := vm.KindProfile{}
	counted := time.Duration(0)
	for _, k := range p.Kinds() {
		counted += k.Time
		if share(k.Time) >= leastShare {
			line(k)
			continue
		}
		rest.Nodes, rest.Time = rest.Nodes+k.Nodes, rest.Time+k.Time
	}
	fmt.Fprintf(&b, "| all others | %d | %.2f | %.1f %% | | |\n", rest.Nodes, ms(rest.Time), 100*share(rest.Time))
	fmt.Fprintf(&b, "| between operators | | %.2f | %.1f %% | | |\n", ms(p.Time-counted), 100*share(p.Time-counted))
	return b.Bytes()
}

func TestProfileInMarkdown(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	p := &vm.Profile{Runs: 2, Time: ms(200), Nodes: []vm.NodeProfile{
		{Kind: "Conv2D", Time: ms(60), FLOPs: 9e9, Bytes: 7}, {Kind: "Conv2D", Time: ms(60), FLOPs: 3e9, Bytes: 7},
		{Kind: "Add", Time: ms(40), Bytes: 1e9}, {Kind: "Neg", Time: ms(0) + 400*time.Microsecond, Bytes: 5}, {Kind: "Sum", Time: 600 * time.Microsecond},
	}}
	want := `2 runs of 100.0 ms each.

| operators | nodes | ms | share | GFLOP/s | GB/s |
|---|---|---|---|---|---|
| Conv2D | 2 | 60.00 | 60.0 % | 200 |  |
| Add | 1 | 20.00 | 20.0 % |  | 50 |
| all others | 2 | 0.50 | 0.5 % | | |
| between operators | | 19.50 | 19.5 % | | |
`
	if d := cmp.Diff(want, string(profileTable(p))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestStepIsProfiled sees the operators of a training step in its profile.
func TestStepIsProfiled(t *testing.T) {
	if testing.Short() {
		t.Skip("steps of 128 images take seconds without oneDNN or AVX2")
	}
	p, err := stepProfile()
	if err != nil {
		t.Fatal(err)
	}
	table := string(profileTable(p))
	for _, want := range []string{"| Conv2D", "| Conv2DBackWeights |", "BatchNorm"} {
		if !strings.Contains(table, want) {
			t.Errorf("the profile has no %q:\n%s", want, table)
		}
	}
}
