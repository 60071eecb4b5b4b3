package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
)

// openData opens the images and makes the loader of the training set.
func (u *run) openData(ctx context.Context) error {
	var err error
	if u.data = u.options.Data; u.data == nil {
		if u.config.Data.Path, err = filepath.Abs(u.config.Data.Path); err != nil {
			return fmt.Errorf("pipeline: %w", err)
		}
		check, err := u.checkModels()
		if err != nil {
			return err
		}
		if u.data, err = openSet(ctx, u.config.Data, data.Options{
			Seed: u.config.Training.Seed, Check: check, HashContent: u.config.Teacher.Path != "" && u.config.Resources.caches(),
		}, u.reporter); err != nil {
			return err
		}
		u.closers = append(u.closers, u.data)
	}
	u.config.resolveViews()
	set, t := u.data, u.config.Training
	sayData(u.reporter, set)
	for _, split := range []*data.Split{set.Train, set.Val, set.Test} {
		if split.Len() == 0 {
			return fmt.Errorf("pipeline: %s has no %s images: too few to divide among training, validation and test; add images, or change data.validation",
				u.config.Data.Path, split.Name())
		}
	}
	if t.Batch > set.Train.Len() {
		t.Batch = set.Train.Len()
		say(u.reporter, "         batch lowered to the %d training images there are", t.Batch)
		u.config.Training.Batch = t.Batch
	}
	u.batches = set.Train.Len() / t.Batch
	u.loader, err = data.NewLoader(set.Train, data.LoaderConfig{
		Batch: t.Batch, Seed: t.Seed, Augment: t.Augment.augment(), Views: t.Augment.Views, Shuffle: true, DropLast: true,
	})
	return err
}

// openSet opens a data set with progress. o has the options that c does not say.
func openSet(ctx context.Context, c DataConfig, o data.Options, r Reporter) (*data.Set, error) {
	var step func(int, string)
	var steps int
	o.H, o.W, o.Channels = c.Size, c.Size, c.Channels
	o.ValFraction, o.Limit, o.SkipBad, o.AllowEmpty = c.Validation, c.Limit, c.SkipBad, c.AllowEmpty
	o.Progress = func(done, total int) {
		if total != steps { // it becomes known as the headers are read
			step, steps = r.Begin("reading images", total), total
		}
		step(done, "")
	}
	var refused error // by the models, which name themselves
	if check := o.Check; check != nil {
		o.Check = func(classes []string) error {
			refused = check(classes)
			return refused
		}
	}
	set, err := data.OpenContext(ctx, c.Path, o)
	switch {
	case ctx.Err() != nil:
		return nil, ErrInterrupted
	case refused != nil:
		return nil, refused
	}
	return set, withSetting(err)
}

// withSetting names the setting that is a way out of an error of package data.
func withSetting(err error) error {
	switch {
	case errors.Is(err, data.ErrEmptyClass):
		return fmt.Errorf("%w (data.allow_empty)", err)
	case errors.Is(err, data.ErrSizes):
		return fmt.Errorf("%w (data.size)", err)
	case errors.As(err, new(data.Bad)):
		return fmt.Errorf("%w (data.skip_bad leaves them out)", err)
	}
	return err
}

// sayData says what was taken for the data set, so that a wrong guess is seen
// before it costs anything: format, classes with their images, and what was left
// out.
func sayData(r Reporter, set *data.Set) {
	var used []*data.Split
	var sizes, kinds []string
	for i, split := range []*data.Split{set.Train, set.Val, set.Test} {
		if split.Len() > 0 {
			kind := []string{"training", "validation", "test"}[i]
			used, kinds = append(used, split), append(kinds, kind)
			sizes = append(sizes, fmt.Sprintf("%d %s", split.Len(), kind))
		}
	}
	say(r, "data     %s: %d classes, %dx%dx%d, %s images", set.Format, len(set.Classes), set.H, set.W, set.C, strings.Join(sizes, ", "))
	for _, line := range wrap(describeClasses(set.Classes, used, strings.Join(kinds, "/")), lineWidth) {
		say(r, "         %s", line)
	}
	for _, note := range set.Notes {
		say(r, "         %s", note)
	}
	for _, l := range set.LeftOut {
		say(r, "         left out: %s", l)
	}
	if len(set.Bad) > 0 {
		warn(r, "%d images cannot be read and are left out", len(set.Bad))
		for _, l := range data.ByReason(set.Bad) {
			say(r, "         left out: bad images, %s", l)
		}
	}
}

// A list of more classes than mostClasses is shortened to the first and last few.
const (
	mostClasses  = 20
	firstClasses = 8
	lastClasses  = 4
)

// describeClasses lists classes in label order, each with its images in splits of
// the given kinds ("training/test").
func describeClasses(classes []string, splits []*data.Split, kinds string) []string {
	counts := make([][]int, len(classes)) // [class][split]
	for _, split := range splits {
		for class, n := range split.Counts() {
			counts[class] = append(counts[class], n)
		}
	}
	numbers := func(class int) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(counts[class]), " ", "/"), "[]")
	}
	alike := true
	smallest, largest := 0, 0
	for class, n := range counts {
		alike = alike && slices.Equal(n, counts[0])
		if total(n) < total(counts[smallest]) {
			smallest = class
		}
		if total(n) > total(counts[largest]) {
			largest = class
		}
	}
	var words []string
	for class, name := range classes {
		switch {
		case len(classes) > mostClasses && class == firstClasses:
			words = append(words, fmt.Sprintf("… (%d more) …,", len(classes)-firstClasses-lastClasses))
		case len(classes) > mostClasses && class > firstClasses && class < len(classes)-lastClasses:
		case alike:
			words = append(words, name+",")
		default:
			words = append(words, name+" "+numbers(class)+",")
		}
	}
	last := len(words) - 1
	words[last] = strings.TrimSuffix(words[last], ",")
	switch {
	case alike:
		words = append(words, fmt.Sprintf("(%s %s images each)", numbers(0), kinds))
	case len(classes) > mostClasses:
		words = append(words, fmt.Sprintf("(%s images; fewest: %s %s, most: %s %s)", kinds,
			classes[smallest], numbers(smallest), classes[largest], numbers(largest)))
	default:
		words = append(words, fmt.Sprintf("(%s images)", kinds))
	}
	return words
}

func total(counts []int) int {
	n := 0
	for _, k := range counts {
		n += k
	}
	return n
}

// lineWidth is how wide a list of words is printed, besides what stands before it.
const lineWidth = 91

// wrap joins words to lines of at most width characters where they allow it.
func wrap(words []string, width int) []string {
	var lines []string
	at := 0
	for _, w := range words {
		n := utf8.RuneCountInString(w)
		if len(lines) == 0 || at+1+n > width {
			lines, at = append(lines, w), n
			continue
		}
		lines[len(lines)-1] += " " + w
		at += 1 + n
	}
	return lines
}
