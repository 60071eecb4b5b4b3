package vm

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/pprof/profile"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/student/op"
)

// WithProfile makes the machine measure the time of every step, for Profile. It
// costs two readings of the clock for each, some hundredths of a percent of a
// training step.
func WithProfile() Option { return func(m *Machine) { m.clock = &clock{} } }

// clock is what a machine measures.
type clock struct {
	runs  int
	time  time.Duration   // of the runs
	steps []time.Duration // of each step, over all runs
}

// Profile tells where the time of a machine's runs went.
type Profile struct {
	Runs  int           // how often RunAll ran to its end
	Time  time.Duration // of these runs
	Nodes []NodeProfile // in the order in which they run
}

// NodeProfile is one node of the graph, or several that are computed together.
type NodeProfile struct {
	Kind  string        // the operators: "Conv2D", "BatchStats+BatchNorm+ReLU"
	Layer string        // it belongs to, by the names of the inputs: "group1/block1/bn1"
	Shape tensor.Shape  // of the result; of several, the first
	Time  time.Duration // of all runs
	FLOPs int64         // of one run; zero but for convolutions and dense layers
	Bytes int64         // of operands and results: what one run must read and write at least
}

// KindProfile is all nodes of one kind.
type KindProfile struct {
	Kind  string
	Nodes int
	Time  time.Duration
	FLOPs int64
	Bytes int64
}

// Profile returns what was measured since New, or nil where the machine was
// made without WithProfile or is closed. Runs that failed are left out, but for
// the time of their steps.
func (m *Machine) Profile() *Profile {
	if m.clock == nil {
		return nil
	}
	p := &Profile{Runs: m.clock.runs, Time: m.clock.time}
	layers := m.layers()
	for i := range m.steps {
		s := &m.steps[i]
		n := NodeProfile{Kind: s.kind, Layer: layers[s.nodes[0]], Shape: s.out[0].shape.Clone(), Time: m.clock.steps[i]}
		for _, x := range s.nodes {
			n.FLOPs += op.FLOPs(x)
		}
		for i, x := range s.in {
			if !slices.Contains(s.in[:i], x) {
				n.Bytes += x.bytes()
			}
		}
		for _, x := range s.out {
			n.Bytes += x.bytes()
		}
		p.Nodes = append(p.Nodes, n)
	}
	return p
}

// bytes is the size of v.
func (v *value) bytes() int64 { return int64(v.size) * int64(v.dtype.Size()) }

// layers names each node that m computes by the layer it belongs to: that of
// the parameter it is the gradient of; else that of its last named operand,
// which of a layer's is a parameter; else that of its first operand. An input
// is called after its layer, a slash and what it is there.
func (m *Machine) layers() map[*gorgonia.Node]string {
	named := map[*gorgonia.Node]string{}
	for _, in := range m.inputs {
		name := in.node.Name()
		if dir := path.Dir(name); dir != "." {
			name = dir
		}
		named[in.node] = name
		if d := in.node.Deriv(); d != nil && named[d] == "" {
			named[d] = name
		}
	}
	for i := range m.steps {
		nodes := m.steps[i].nodes
		layer := ""
		for _, n := range nodes {
			layer = cmp.Or(layer, named[n])
		}
		for _, n := range nodes {
			for _, x := range slices.Backward(op.Operands(n)) {
				if x.Op() == nil {
					layer = cmp.Or(layer, named[x])
				}
			}
		}
		for _, x := range op.Operands(nodes[0]) {
			layer = cmp.Or(layer, named[x])
		}
		for _, n := range nodes {
			named[n] = cmp.Or(layer, "constant") // of nothing but constants
		}
	}
	return named
}

// Kinds returns the nodes by kind, the one that took longest first.
func (p *Profile) Kinds() []KindProfile {
	at := map[string]int{}
	var kinds []KindProfile
	for _, n := range p.Nodes {
		i, ok := at[n.Kind]
		if !ok {
			i = len(kinds)
			at[n.Kind] = i
			kinds = append(kinds, KindProfile{Kind: n.Kind})
		}
		k := &kinds[i]
		k.Nodes++
		k.Time += n.Time
		k.FLOPs += n.FLOPs
		k.Bytes += n.Bytes
	}
	slices.SortStableFunc(kinds, func(a, b KindProfile) int { return cmp.Compare(b.Time, a.Time) })
	return kinds
}

// WriteTable writes p as two tables of aligned text: by kind of operator and by
// node, both with the longest time first. Times are of one run; a share is of
// the whole of the runs; rates are what a node does in its own time, GFLOP/s
// for convolutions and dense layers, GB/s for the others.
func (p *Profile) WriteTable(w io.Writer) error {
	if p.Runs == 0 {
		_, err := fmt.Fprintln(w, "no run was measured")
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d runs of %s ms each\n\n", p.Runs, milliseconds(p.Time, p.Runs))
	row := func(time time.Duration, flops, bytes int64) []string {
		cells := []string{milliseconds(time, p.Runs), fmt.Sprintf("%.1f %%", 100*float64(time)/float64(max(p.Time, 1))), "", ""}
		switch seconds := time.Seconds() / float64(p.Runs); {
		case seconds == 0:
		case flops > 0:
			cells[2] = fmt.Sprintf("%.1f", float64(flops)/seconds/1e9)
		default:
			cells[3] = fmt.Sprintf("%.1f", float64(bytes)/seconds/1e9)
		}
		return cells
	}
	measures := []string{"ms/run", "share", "GFLOP/s", "GB/s"}

	kinds := [][]string{append([]string{"kind", "nodes"}, measures...)}
	for _, k := range p.Kinds() {
		kinds = append(kinds, append([]string{k.Kind, fmt.Sprint(k.Nodes)}, row(k.Time, k.FLOPs, k.Bytes)...))
	}
	writeAligned(&b, kinds, 1)
	b.WriteByte('\n')

	nodes := [][]string{append([]string{"layer", "kind", "shape"}, measures...)}
	sorted := slices.Clone(p.Nodes)
	slices.SortStableFunc(sorted, func(a, b NodeProfile) int { return cmp.Compare(b.Time, a.Time) })
	for _, n := range sorted {
		nodes = append(nodes, append([]string{n.Layer, n.Kind, fmt.Sprint(n.Shape)}, row(n.Time, n.FLOPs, n.Bytes)...))
	}
	writeAligned(&b, nodes, 3)
	_, err := w.Write(b.Bytes())
	return err
}

func milliseconds(d time.Duration, runs int) string {
	return fmt.Sprintf("%.3f", float64(d)/float64(runs)/float64(time.Millisecond))
}

// writeAligned writes rows in columns two spaces apart, the first left of them
// aligned to the left and the others to the right.
func writeAligned(b *bytes.Buffer, rows [][]string, left int) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line += "  "
			}
			if i < left {
				line += cell + pad
			} else {
				line += pad + cell
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// WritePprof writes p in the format of pprof, compressed: for each node the
// number of runs and the time of all of them, in a stack of two, the kind of
// operator and below it the node.
func (p *Profile) WritePprof(w io.Writer) error {
	out := &profile.Profile{
		SampleType:        []*profile.ValueType{{Type: "runs", Unit: "count"}, {Type: "time", Unit: "nanoseconds"}},
		DefaultSampleType: "time",
		PeriodType:        &profile.ValueType{Type: "time", Unit: "nanoseconds"},
		Period:            1,
		DurationNanos:     int64(p.Time),
	}
	known := map[string]*profile.Location{}
	location := func(name string) *profile.Location {
		if l := known[name]; l != nil {
			return l
		}
		f := &profile.Function{ID: uint64(len(out.Function) + 1), Name: name, SystemName: name}
		l := &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
		out.Function, out.Location = append(out.Function, f), append(out.Location, l)
		known[name] = l
		return l
	}
	for _, n := range p.Nodes {
		leaf := fmt.Sprintf("%s %s %v", n.Layer, n.Kind, []int(n.Shape))
		out.Sample = append(out.Sample, &profile.Sample{
			Location: []*profile.Location{location(leaf), location(n.Kind)}, // the leaf first
			Value:    []int64{int64(p.Runs), int64(n.Time)},
		})
	}
	if err := out.CheckValid(); err != nil {
		return fmt.Errorf("vm: profile: %w", err)
	}
	return out.Write(w)
}
