package data

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Bad is an image that could not be used.
type Bad struct {
	Name string // as Split.Sample gives it
	Err  error
}

// Error names the image and the reason.
func (b Bad) Error() string { return fmt.Sprintf("image %s: %v", b.Name, b.Err) }

// Unwrap returns the reason.
func (b Bad) Unwrap() error { return b.Err }

// ByReason counts bad images by what is wrong with them, the most frequent
// reason first; LeftOut.What is that reason.
func ByReason(bad []Bad) []LeftOut {
	at := map[string]int{}
	var out []LeftOut
	for _, b := range bad {
		reason := b.Err.Error()
		i, seen := at[reason]
		if !seen {
			i = len(out)
			at[reason] = i
			out = append(out, LeftOut{What: reason, Detail: "such as " + b.Name})
		}
		out[i].Count++
	}
	slices.SortStableFunc(out, func(a, b LeftOut) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

// listBad lists the bad images, in the order of the samples.
func (b *builder) listBad() []Bad {
	var out []Bad
	for i, err := range b.bad {
		if err != nil {
			out = append(out, Bad{b.samples[i].name, err})
		}
	}
	return out
}

// complain reports the bad images of all splits, by reason, unless they are to be
// skipped.
func (b *builder) complain() error {
	bad := b.listBad()
	if b.SkipBad || len(bad) == 0 {
		return nil
	}
	const most = 6
	summary := ""
	if reasons := ByReason(bad); len(reasons) > 1 {
		var say []string
		for _, r := range reasons[:min(most, len(reasons))] {
			say = append(say, fmt.Sprintf("%d: %s", r.Count, r.What))
		}
		if n := len(reasons) - most; n > 0 {
			say = append(say, fmt.Sprintf("%d other reasons", n))
		}
		summary = " (" + strings.Join(say, "; ") + ")"
	}
	return fmt.Errorf("%d of %d images cannot be used%s; repair or remove them, or skip bad images; the first: %w",
		len(bad), len(b.bad), summary, bad[0])
}
