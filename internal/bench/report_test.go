package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
)

// result is a row as bench.json holds it. The figures are null where the row
// was not measured.
type result struct {
	Name    string   `json:"name"`
	Ours    *float64 `json:"ours"`
	Peer    *float64 `json:"peer"`
	Unit    string   `json:"unit"`
	Ratio   *float64 `json:"ratio"`  // see Bound
	Target  float64  `json:"target"` // of Ratio
	Bound   string   `json:"bound"`  // "at least": Ratio is peer/ours; "at most": it is ours/peer
	Met     bool     `json:"met"`
	Skipped string   `json:"skipped,omitempty"` // why there are no figures

	what string
}

// result makes the row's entry of what measure returned.
func (r row) result(f figures, err error) result {
	out := result{Name: r.name, Unit: r.unit, Target: r.goal.target, Bound: "at most", what: r.what}
	if r.goal.atLeast {
		out.Bound = "at least"
	}
	ratio := r.goal.ratio(f)
	switch a := (*absence)(nil); {
	case errors.As(err, &a):
		out.Skipped = a.reason
	case err != nil:
		out.Skipped = "failed: " + err.Error()
	case !(f.ours > 0 && f.peer > 0) || math.IsInf(ratio, 0):
		out.Skipped = fmt.Sprintf("failed: measured %v and %v %s", f.ours, f.peer, r.unit)
	default:
		out.Ours, out.Peer, out.Ratio, out.Met = &f.ours, &f.peer, &ratio, r.goal.met(ratio)
	}
	return out
}

// verdict says in a line whether the target was met, for a person.
func (r result) verdict() string {
	switch {
	case r.Skipped != "":
		first, _, _ := strings.Cut(r.Skipped, "\n")
		return "skipped: " + first
	case r.Met:
		return "yes"
	}
	return "no"
}

// cells are the columns of a row.
func (r result) cells() []string {
	number := func(v *float64, digits int) string {
		if v == nil {
			return "-"
		}
		if math.Abs(*v) < 10 {
			digits++
		}
		return fmt.Sprintf("%.*f", digits, *v)
	}
	ratio := "-"
	if r.Ratio != nil {
		ratio = fmt.Sprintf("%.2f", *r.Ratio)
		if r.Bound == "at most" { // targets a few hundredths above 1
			ratio = fmt.Sprintf("%.3f", *r.Ratio)
		}
	}
	return []string{r.what, number(r.Ours, 1), number(r.Peer, 1), r.Unit, ratio, fmt.Sprintf("%s %g", r.Bound, r.Target), r.verdict()}
}

var columns = []string{"what", "ours", "peer", "unit", "ratio", "target", "met"}

func encodeResults(all []result) ([]byte, error) {
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the table's rows: %w", err)
	}
	return append(b, '\n'), nil
}

// writeTable writes the aligned table below its head.
func writeTable(w io.Writer, head []fact, all []result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range head {
		fmt.Fprintf(t, "%s\t%s\n", f.name, f.value)
	}
	t.Flush()
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, r := range all {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	t.Flush()
}

// markdown is the table for docs/PERFORMANCE.md.
func markdown(head []fact, all []result) []byte {
	var b bytes.Buffer
	for i, f := range head {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", f.name, f.value)
	}
	b.WriteString(".\n\n")
	line := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	line(columns)
	b.WriteString(strings.Repeat("|---", len(columns)) + "|\n")
	for _, r := range all {
		line(r.cells())
	}
	return b.Bytes()
}

// The markers between which a page in Markdown carries the table.
const tableBegins, tableEnds = "<!-- table -->\n", "<!-- end of table -->\n"

// between puts content into a page between two lines, in place of what stands
// there.
func between(page []byte, begins, ends string, content []byte) ([]byte, error) {
	before, rest, found := bytes.Cut(page, []byte(begins))
	_, after, closed := bytes.Cut(rest, []byte(ends))
	if !found || !closed {
		return nil, fmt.Errorf("no line %q with a line %q after it", strings.TrimSpace(begins), strings.TrimSpace(ends))
	}
	return slices.Concat(before, []byte(begins), content, []byte(ends), after), nil
}

// fill brings a page up to date: the table and, where it has a place for it,
// the profile of a step. An empty page becomes the table.
func fill(page, table []byte, profile func() ([]byte, error)) ([]byte, error) {
	if len(page) == 0 {
		return table, nil
	}
	page, err := between(page, tableBegins, tableEnds, table)
	if err != nil || !bytes.Contains(page, []byte(profileBegins)) {
		return page, err
	}
	content, err := profile()
	if err != nil {
		return nil, err
	}
	return between(page, profileBegins, profileEnds, content)
}

// someRow is a row whose figures are fixed.
func someRow(name string, g goal, f figures, err error) result {
	r := row{name: name, what: "what " + name + " is", unit: "ms", goal: g}
	return r.result(f, err)
}

func TestTableMeetsTargets(t *testing.T) {
	tests := []struct {
		name string
		goal goal
		figures
		ratio float64
		met   bool
	}{
		{"twice as fast where 1.6 is wanted", fasterBy(1.6), figures{100, 200}, 2, true},
		{"as fast as wanted", fasterBy(1.6), figures{100, 160}, 1.6, true},
		{"faster, and not enough", fasterBy(1.6), figures{100, 150}, 1.5, false},
		{"half the cost", atMostTimes(1.03), figures{50, 100}, 0.5, true},
		{"just the cost", atMostTimes(1.25), figures{125, 100}, 1.25, true},
		{"too dear", atMostTimes(1.03), figures{104, 100}, 1.04, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := someRow("x", tt.goal, tt.figures, nil)
			if r.Ratio == nil || *r.Ratio != tt.ratio || r.Met != tt.met || r.Skipped != "" {
				t.Errorf("got %+v, want ratio %v, met %t", r, tt.ratio, tt.met)
			}
		})
	}
	for name, r := range map[string]result{
		"absent":             someRow("x", fasterBy(2), figures{}, fmt.Errorf("the peer: %w", absent("no %s", "peer"))),
		"failed: no memory":  someRow("x", fasterBy(2), figures{1, 9}, errors.New("no memory")),
		"failed: measured 0": someRow("x", fasterBy(2), figures{0, 9}, nil),
		"failed: measured 9": someRow("x", fasterBy(2), figures{9, 0}, nil),
	} {
		if r.Met || r.Ours != nil || r.Ratio != nil || r.Skipped == "" {
			t.Errorf("%s: got %+v, want a row that is skipped and not met", name, r)
		}
		if want := strings.TrimPrefix(name, "absent"); !strings.HasPrefix(r.Skipped, want) {
			t.Errorf("%s: the reason is %q", name, r.Skipped)
		}
	}
	if r := someRow("x", fasterBy(2), figures{}, absent("no %s", "peer")); r.verdict() != "skipped: no peer" {
		t.Errorf("the verdict of an absent peer is %q", r.verdict())
	}
}

func someTable() ([]fact, []result) {
	return []fact{{"machine", "a|b"}, {"date", "2026-01-02"}}, []result{
		someRow("fast", fasterBy(1.6), figures{100, 200}, nil),
		someRow("dear", atMostTimes(1.03), figures{1.04, 1}, nil),
		someRow("gone", fasterBy(30), figures{}, absent("no | peer\nanywhere")),
	}
}

func TestTableIsAligned(t *testing.T) {
	var b bytes.Buffer
	head, all := someTable()
	writeTable(&b, head, all)
	want := `machine  a|b
date     2026-01-02

what          ours   peer   unit  ratio  target        met
what fast is  100.0  200.0  ms    2.00   at least 1.6  yes
what dear is  1.04   1.00   ms    1.040  at most 1.03  no
what gone is  -      -      ms    -      at least 30   skipped: no | peer
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestTableInMarkdown(t *testing.T) {
	head, all := someTable()
	want := `machine: a|b; date: 2026-01-02.

| what | ours | peer | unit | ratio | target | met |
|---|---|---|---|---|---|---|
| what fast is | 100.0 | 200.0 | ms | 2.00 | at least 1.6 | yes |
| what dear is | 1.04 | 1.00 | ms | 1.040 | at most 1.03 | no |
| what gone is | - | - | ms | - | at least 30 | skipped: no \| peer |
`
	if d := cmp.Diff(want, string(markdown(head, all))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestTableInJSON(t *testing.T) {
	_, all := someTable()
	b, err := encodeResults(all)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"name": "fast", "ours": 100.0, "peer": 200.0, "unit": "ms", "ratio": 2.0, "target": 1.6, "bound": "at least", "met": true},
		{"name": "dear", "ours": 1.04, "peer": 1.0, "unit": "ms", "ratio": 1.04, "target": 1.03, "bound": "at most", "met": false},
		{"name": "gone", "ours": nil, "peer": nil, "unit": "ms", "ratio": nil, "target": 30.0, "bound": "at least", "met": false, "skipped": "no | peer\nanywhere"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestPageIsFilled(t *testing.T) {
	table, profile := []byte("TABLE\n"), func() ([]byte, error) { return []byte("PROFILE\n"), nil }
	for _, c := range []struct{ name, page, want string }{
		{"a file of its own", "", "TABLE\n"},
		{"a page that waits for it", "# Speed\n<!-- table -->\n<!-- end of table -->\nbelow\n", "# Speed\n<!-- table -->\nTABLE\n<!-- end of table -->\nbelow\n"},
		{"a page with an old one", "<!-- table -->\nold\ntable\n<!-- end of table -->\n", "<!-- table -->\nTABLE\n<!-- end of table -->\n"},
		{"a page with a profile", "<!-- table -->\n<!-- end of table -->\n<!-- profile -->\nold\n<!-- end of profile -->\n",
			"<!-- table -->\nTABLE\n<!-- end of table -->\n<!-- profile -->\nPROFILE\n<!-- end of profile -->\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := fill([]byte(c.page), table, profile)
			if d := cmp.Diff(c.want, string(got)); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
	for page, want := range map[string]string{
		"# Speed\n": `no line "<!-- table -->" with`, "<!-- table -->\nno end\n": `no line "<!-- table -->" with`,
		"<!-- end of table -->\n<!-- table -->\n":                         `no line "<!-- table -->" with`,
		"<!-- table -->\n<!-- end of table -->\n<!-- profile -->\nno end": `no line "<!-- profile -->" with`,
	} {
		if got, err := fill([]byte(page), table, profile); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q became %q, %v", page, got, err)
		}
	}
}

// TestPerformancePage looks for the places that the table and the profile go
// to, and for each row's explanation.
func TestPerformancePage(t *testing.T) {
	page, err := os.ReadFile("docs/PERFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	got, err := fill(page, []byte("TABLE\n"), func() ([]byte, error) { return []byte("PROFILE\n"), nil })
	if err != nil || !bytes.Contains(got, []byte("TABLE")) || !bytes.Contains(got, []byte("PROFILE")) {
		t.Errorf("docs/PERFORMANCE.md: %v", err)
	}
	for _, r := range rows {
		if !bytes.Contains(page, []byte("`"+r.name+"`")) {
			t.Errorf("docs/PERFORMANCE.md does not explain the row %s", r.name)
		}
	}
}

// TestPublishedTableIsThisOne holds the table in docs/PERFORMANCE.md against the
// rows and their targets: a target that is lowered, or a row that is taken out, has
// to be published with figures.
func TestPublishedTableIsThisOne(t *testing.T) {
	page, err := os.ReadFile("docs/PERFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), tableBegins)
	table, _, _ := strings.Cut(rest, tableEnds)
	var published [][]string
	for line := range strings.Lines(table) {
		if cells := strings.Split(strings.Trim(line, "| \n"), " | "); len(cells) == len(columns) {
			published = append(published, []string{cells[0], cells[3], cells[5]})
		}
	}
	want := [][]string{{"what", "unit", "target"}}
	for _, r := range rows {
		cells := r.result(figures{1, 1}, nil).cells()
		want = append(want, []string{cells[0], cells[3], cells[5]})
	}
	if d := cmp.Diff(want, published); d != "" {
		t.Errorf("docs/PERFORMANCE.md shows another table, make bench BENCH=-bench.markdown=docs/PERFORMANCE.md (-rows +page):\n%s", d)
	}
}

// TestTableIsWritten runs the harness on rows that take no time, as make bench
// runs it on the real ones.
func TestTableIsWritten(t *testing.T) {
	dir := t.TempDir()
	defer func(j, m string, r []row, s []result) { *benchJSON, *benchMarkdown, rows, measured = j, m, r, s }(*benchJSON, *benchMarkdown, rows, measured)
	*benchJSON, *benchMarkdown = filepath.Join(dir, "bench.json"), filepath.Join(dir, "table.md")
	calls := 0
	rows = []row{
		{"one", "the first", "ms", fasterBy(2), func(*testing.B) (figures, error) { calls++; return figures{1, float64(calls)}, nil }},
		{"two", "the second", "s", atMostTimes(2), func(*testing.B) (figures, error) { return figures{}, absent("no peer") }},
	}
	measured = nil
	for range 2 { // as when the benchmark is repeated
		for _, r := range rows {
			keep(r.result(r.measure(nil)))
		}
	}
	if len(measured) != 2 {
		t.Fatalf("two rows gave %d results", len(measured))
	}
	var printed bytes.Buffer
	if err := publish(&printed, "idle", time.Now()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.String(), "the second  -") {
		t.Errorf("the table does not show the second row:\n%s", &printed)
	}
	b, err := os.ReadFile(*benchJSON)
	if err != nil {
		t.Fatal(err)
	}
	var got []result
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Ratio == nil || *got[0].Ratio != 2 || got[1].Skipped != "no peer" {
		t.Errorf("bench.json holds %s, want the second run of the first row and the reason of the second", b)
	}
	table, err := os.ReadFile(*benchMarkdown)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| the first |", "skipped: no peer", "load: idle", "Go: " + runtime.Version()} {
		if !strings.Contains(string(table), want) {
			t.Errorf("the Markdown has no %q:\n%s", want, table)
		}
	}
	*benchJSON = filepath.Join(dir, "no", "folder", "bench.json")
	if err := publish(io.Discard, "idle", time.Now()); err == nil {
		t.Error("a table that cannot be written is no error")
	}
}
