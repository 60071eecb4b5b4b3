package data

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// tree is a folder layout understood.
type tree struct {
	files   []file // images in class folders
	labels  []int32
	parts   []part
	names   []string // sample names: below the folder with the splits or classes, splits spelt train, val, test
	classes []string
	notes   []string
	leftOut []LeftOut
}

// className is the class that a folder of this name means. Names are compared in
// Unicode's composed form: macOS decomposes them.
func className(folder string) string { return norm.NFC.String(folder) }

// sortClasses sorts names as bytes, and by value where all are whole numbers.
func sortClasses(names []string) {
	number := func(s string) (string, bool) {
		digits := strings.TrimLeft(s, "0")
		return digits, s != "" && strings.Trim(s, "0123456789") == ""
	}
	for _, s := range names {
		if _, ok := number(s); !ok {
			slices.Sort(names)
			return
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		x, _ := number(a)
		y, _ := number(b)
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y), strings.Compare(a, b))
	})
}

// parseTree reads classes and splits out of the folders of a container and the names
// of its image files, which are sorted. With allowEmpty a class folder without an
// image is a class all the same.
func parseTree(folders map[string]*content, files []file, allowEmpty bool) (*tree, error) {
	root := growTree(folders, files)
	l, err := parseLayout(root)
	if err != nil {
		return nil, err
	}
	t := &tree{}
	l.unwrap(partTrain, nil)
	label, err := t.nameClasses(l, files, allowEmpty)
	if err != nil {
		return nil, err
	}
	l.unwrap(partVal, label)
	l.unwrap(partTest, label)
	if err := l.compareClasses(label); err != nil {
		return nil, err
	}
	t.place(l, files, label)
	t.notes, t.leftOut = append(t.notes, l.notes...), l.leftOut
	if len(t.classes) < 2 {
		return nil, fmt.Errorf("has one class only, %q; a classifier needs two or more class folders%s", t.classes[0], andLeftOut(t.leftOut))
	}
	return t, nil
}

// andLeftOut ends an error with what was left out, which may be its cause.
func andLeftOut(list []LeftOut) string {
	if len(list) == 0 {
		return ""
	}
	var say []string
	for _, l := range list {
		say = append(say, l.String())
	}
	return " (left out: " + strings.Join(say, "; ") + ")"
}

// nameClasses finds the classes: the folders of the training set, or where there
// is none those of the others.
func (t *tree) nameClasses(l *layout, files []file, allowEmpty bool) (map[string]int32, error) {
	of := l.splits[:1]
	if of[0] == nil {
		of = l.splits[1:]
	}
	seen := map[string]*node{}
	var empty []*node
	for _, s := range of {
		if s == nil {
			continue
		}
		here := map[string]*node{}
		for _, d := range s.dirs {
			if d.total == 0 && d.isStore() {
				continue
			}
			name := className(d.name)
			if why := printable(name); why != "" {
				return nil, fmt.Errorf("class folder %q %s; rename it", d.name, why)
			}
			if other := here[name]; other != nil {
				return nil, fmt.Errorf("%s and %s are one name in two Unicode forms, composed and decomposed (%+q, %+q); put their images in one folder",
					other.path, d.path, other.name, d.name)
			}
			here[name] = d
			if d.total == 0 {
				empty = append(empty, d)
			}
		}
		maps.Copy(seen, here)
	}
	if len(seen) == len(empty) {
		return nil, l.noClasses(of, files)
	}
	if len(empty) > 0 && !allowEmpty {
		return nil, emptyClasses(empty)
	}
	t.classes = slices.Collect(maps.Keys(seen))
	sortClasses(t.classes)
	label := make(map[string]int32, len(t.classes))
	for i, c := range t.classes {
		label[c] = int32(i)
	}
	return label, nil
}

// noClasses says that there is nothing to learn from.
func (l *layout) noClasses(of []*node, files []file) error {
	for _, s := range of {
		if s != nil && len(s.images) > 0 {
			return fmt.Errorf("%d images but no class folder: %s lies outside one; put each class's images in a folder of its name",
				len(s.images), files[s.images[0]].name)
		}
	}
	return errors.New("has no class folder with images; put each class's images in a folder of its name")
}

// ErrEmptyClass is wrapped by the error of Open when a class folder holds no image
// and Options.AllowEmpty does not keep it as a class.
var ErrEmptyClass = errors.New("remove or fill such folders, convert the images in them, or allow empty classes, which keeps them as classes")

// emptyClasses names class folders without a readable image, and what they hold.
func emptyClasses(empty []*node) error {
	var say []string
	for _, n := range empty {
		held := "empty"
		unread, other := map[string]int{}, map[string]int{}
		n.tally(unread, other)
		switch {
		case len(unread) > 0:
			held = byExtension(unread) + ", which is not read"
		case len(other) > 0:
			held = byExtension(other)
		}
		say = append(say, fmt.Sprintf("%q (%s)", n.path, held))
	}
	verb := "folders hold"
	if len(empty) == 1 {
		verb = "folder holds"
	}
	return fmt.Errorf("%d class %s no image that can be read: %s; %w", len(empty), verb, some(say, ", "), ErrEmptyClass)
}

// tally adds up the files within n that are not listed.
func (n *node) tally(unread, other map[string]int) {
	for ext, k := range n.unread {
		unread[ext] += k
	}
	for ext, k := range n.other {
		other[ext] += k
	}
	for _, d := range n.dirs {
		d.tally(unread, other)
	}
}

// compareClasses returns an error when a split has a class that is not among
// those of the training set, and notes those that it lacks.
func (l *layout) compareClasses(label map[string]int32) error {
	for p, s := range l.splits {
		if s == nil || part(p) == partTrain {
			continue
		}
		has := map[string]bool{}
		var only []string
		for _, d := range s.withImages() {
			name := className(d.name)
			if _, known := label[name]; !known {
				only = append(only, name)
			}
			has[name] = true
		}
		var lacks []string
		for name := range label {
			if !has[name] {
				lacks = append(lacks, name)
			}
		}
		sortClasses(lacks)
		if len(only) > 0 {
			train := l.spelt[partTrain]
			others := ""
			if len(lacks) > 0 {
				others = fmt.Sprintf(", only %s/ has %s", train, quoteSome(lacks))
			}
			return fmt.Errorf("%s/ and %s/ disagree on the classes: only %s/ has %s%s; %s/ says what the classes are: rename the folders, or move them elsewhere",
				train, l.spelt[p], l.spelt[p], quoteSome(only), others, train)
		}
		if len(lacks) > 0 {
			l.notes = append(l.notes, fmt.Sprintf("%s/ has no image of %s: nothing is measured of it there", l.spelt[p], quoteSome(lacks)))
		}
	}
	return nil
}

// place gives each image in a class folder its label, split and name.
func (t *tree) place(l *layout, files []file, label map[string]int32) {
	type spot struct {
		file  int32
		part  part
		label int32
		under *node // the folder with the class folders
	}
	var spots []spot
	deeper, example := 0, ""
	for p, s := range l.splits {
		if s == nil {
			continue
		}
		for _, d := range s.withImages() {
			for _, f := range d.all() {
				spots = append(spots, spot{f, part(p), label[className(d.name)], s})
			}
			if n := d.total - len(d.images); n > 0 {
				if deeper += n; example == "" {
					example = files[d.withImages()[0].all()[0]].name
				}
			}
		}
	}
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Compare(a.file, b.file) })
	for _, s := range spots {
		name := strings.TrimPrefix(files[s.file].name, s.under.path+"/")
		if l.divided {
			name = s.part.String() + "/" + name
		}
		t.files = append(t.files, files[s.file])
		t.names = append(t.names, name)
		t.labels = append(t.labels, s.label)
		t.parts = append(t.parts, s.part)
	}
	if deeper > 0 {
		t.notes = append(t.notes, fmt.Sprintf("images in folders within class folders count as images of the class: %d, such as %s", deeper, example))
	}
}

// printable says why a class name cannot be stored in a model's metadata or shown
// in a terminal, or "".
func printable(class string) string {
	if !utf8.ValidString(class) {
		return "is not UTF-8"
	}
	for _, r := range class {
		if !unicode.IsPrint(r) {
			return "has an unprintable character"
		}
	}
	return ""
}

// quoteSome lists names in quotes, the first few of many.
func quoteSome(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return some(quoted, ", ")
}

// some joins words, the first few of many.
func some(words []string, between string) string {
	const most = 8
	if len(words) <= most {
		return strings.Join(words, between)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], between), len(words)-most)
}
