package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/onnxdistill/onnxdistill/teachers"
)

// settleClasses settles which of a model's classes each class of the data is:
// as the session was opened, else by name where the model's metadata names its
// classes, else one to one. It returns the class order in use, nil where it is
// one to one, and an error where the classes do not fit the data's. Names are a
// statement and not a guess: what they say is said and used.
func settleClasses(session *teachers.Session, classes []string, r Reporter) ([]int, error) {
	spec := session.Spec()
	if order := spec.ClassOrder; order != nil {
		if len(order) != len(classes) {
			return nil, fmt.Errorf("pipeline: teacher.classes picks %d classes of %s, the data has %d (%s); pick one for each of the data's, in their order",
				len(order), spec.Name, len(classes), abbreviate(classes))
		}
		return order, nil
	}
	if names := spec.ClassNames; len(names) == spec.Classes {
		order, missing := matchNames(names, classes)
		switch {
		case missing == nil && sameNames(names, classes):
			return nil, nil
		case missing == nil:
			say(r, "classes  %s names its classes (metadata %q); the data's classes, by name, are its %s", spec.Name, spec.NamesKey, abbreviate(strings.Split(FormatClasses(order), ",")))
			return order, session.SetClassOrder(order)
		case len(missing) == len(classes) && len(names) == len(classes) && spec.NamesKey != MetaClasses:
			warn(r, "%s calls its classes %s (metadata %q), the data %s: they have no name in common, so they are matched in order", spec.Name, abbreviate(names), spec.NamesKey, abbreviate(classes))
			return nil, nil
		default:
			return nil, fmt.Errorf("pipeline: %s has the %d classes %s (metadata %q), the data has %d (%s); it does not have %s; use its own data set, or say which of its classes, from 0, is each of the data's with teacher.classes",
				spec.Name, len(names), abbreviate(names), spec.NamesKey, len(classes), abbreviate(classes), abbreviate(missing))
		}
	} else if names != nil {
		warn(r, "%s gives %d scores but names %d classes (metadata %q); the names are not used", spec.Name, spec.Classes, len(names), spec.NamesKey)
	}
	if spec.Classes < len(classes) {
		return nil, fmt.Errorf("pipeline: %s has %d classes, the data has %d (%s); use a model that knows them all, or images of the classes it knows",
			spec.Name, spec.Classes, len(classes), abbreviate(classes))
	}
	if spec.Classes > len(classes) {
		return nil, fmt.Errorf("pipeline: %s has %d classes, the data has %d (%s); pick its class, from 0, for each of the data's, in their order, with teacher.classes",
			spec.Name, spec.Classes, len(classes), abbreviate(classes))
	}
	return nil, nil
}

// matchNames returns, for each class of the data, the place of its name among a
// model's, or the names that have no place of their own there. Names are
// compared as they are, then without regard to Unicode form, case, and whether
// words are divided by spaces, hyphens or underscores, then with each name in a
// list, as ImageNet has them: "tench, Tinca tinca".
func matchNames(names, classes []string) (order []int, missing []string) {
	exact, folded, parts := places{}, places{}, places{}
	for i, name := range names {
		exact.add(name, i)
		folded.add(foldName(name), i)
		for part := range strings.SplitSeq(name, ",") {
			parts.add(foldName(part), i)
		}
	}
	taken := make([]bool, len(names))
	for _, class := range classes {
		at, ok := exact.find(class)
		if !ok {
			at, ok = folded.find(foldName(class))
		}
		if !ok {
			at, ok = parts.find(foldName(class))
		}
		if !ok || taken[at] {
			missing = append(missing, class)
			continue
		}
		taken[at] = true
		order = append(order, at)
	}
	if missing != nil {
		return nil, missing
	}
	return order, nil
}

// sameNames reports whether the names are those of the classes, one to one.
func sameNames(names, classes []string) bool {
	order, _ := matchNames(names, classes)
	return len(order) == len(names) && slices.IsSorted(order)
}

// places has the indices at which a name stands.
type places map[string][]int

func (p places) add(name string, i int) {
	if !slices.Contains(p[name], i) {
		p[name] = append(p[name], i)
	}
}

// find returns the one place of a name; a name in several has none.
func (p places) find(name string) (int, bool) {
	if at := p[name]; len(at) == 1 {
		return at[0], true
	}
	return 0, false
}

func foldName(name string) string {
	words := strings.FieldsFunc(norm.NFC.String(name), func(r rune) bool { return r == '_' || r == '-' || r == ' ' })
	return strings.ToLower(strings.Join(words, " "))
}
