package zoo

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/xrash/smetrics"

	"github.com/onnxdistill/onnxdistill/student"
)

// family is a row of architectures that differ in their numbers.
type family struct {
	prefix string
	form   string   // how a name is written, and which numbers are valid
	names  []string // the ones to begin with
	parse  func(numbers []string) (student.Architecture, error)
}

// families is every architecture there is, in the order they are listed.
var families = []family{
	{
		prefix: "wrn",
		form:   "wrn-DEPTH-WIDTH, with depth 6n+4 (10, 16, 22, 28, 34, 40 ...) and width a multiple of 1/16 (0.5, 1, 2, 4 ...)",
		names: []string{
			"wrn-10-0.5", "wrn-10-1", "wrn-16-0.5", "wrn-16-1", "wrn-16-2", "wrn-16-4", "wrn-22-1", "wrn-22-2",
			"wrn-28-1", "wrn-28-2", "wrn-28-4", "wrn-28-10", "wrn-40-1", "wrn-40-2", "wrn-40-4",
		},
		parse: parseWRN,
	},
	{
		prefix: "resnet",
		form:   "resnet-DEPTH, with depth 6n+2 (8, 14, 20, 26, 32, 44, 56, 110 ...)",
		names:  []string{"resnet-8", "resnet-14", "resnet-20", "resnet-32", "resnet-44", "resnet-56", "resnet-110"},
		parse:  parseResNet,
	},
	{
		prefix: "mobilenetv2",
		form:   "mobilenetv2-WIDTH, with width between 0.1 and 4 (0.35, 0.5, 0.75, 1, 1.4 ...)",
		names:  []string{"mobilenetv2-0.35", "mobilenetv2-0.5", "mobilenetv2-0.75", "mobilenetv2-1", "mobilenetv2-1.4"},
		parse:  parseMobileNetV2,
	},
}

// Names returns the names of common students. Parse knows more: every depth
// and width its families allow.
func Names() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.names...)
	}
	return names
}

// Parse returns the architecture called name, such as "wrn-16-1" or
// "resnet-20". The error for any other says which names there are and which
// one was probably meant.
func Parse(name string) (student.Architecture, error) {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(name)), "-")
	for _, f := range families {
		if parts[0] != f.prefix {
			continue
		}
		a, err := f.parse(parts[1:])
		if err != nil {
			return student.Architecture{}, fmt.Errorf("zoo: student %q: %w; the form is %s", name, err, f.form)
		}
		return a, nil
	}
	forms := make([]string, len(families))
	for i, f := range families {
		forms[i] = f.form
	}
	return student.Architecture{}, fmt.Errorf("zoo: no student %q; did you mean %s? The students are %s", name, nearest(name), strings.Join(forms, "; "))
}

// nearest returns the common name that takes the fewest edits to reach.
func nearest(name string) string {
	best, least := "", -1
	for _, n := range Names() {
		if d := smetrics.WagnerFischer(strings.ToLower(name), n, 1, 1, 1); least < 0 || d < least {
			best, least = n, d
		}
	}
	return best
}

// depth reads a network's depth, which must be 6n + rest with n of at least 1.
func depth(s string, rest int) (blocks int, err error) {
	d, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("depth %q is no whole number", s)
	}
	if n := (d - rest) / 6; n >= 1 && n*6+rest == d && d <= maxDepth {
		return n, nil
	}
	n := max(1, min((d-rest+3)/6, (maxDepth-rest)/6))
	return 0, fmt.Errorf("depth %d is not 6n+%d with n of at least 1 and no more than %d in all; the nearest is %d", d, rest, maxDepth, 6*n+rest)
}

// maxDepth is beyond the deepest network of He et al. 2016, 1202 layers.
const maxDepth = 1300
