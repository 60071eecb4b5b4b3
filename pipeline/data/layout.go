package data

import (
	"fmt"
	"slices"
	"strings"
)

// layout is what the folders of a container mean: where its class folders are,
// and which split they belong to.
type layout struct {
	top     *node             // the folder with the splits or the classes
	splits  [partCount]*node  // the folders with the class folders; nil where there is none
	spelt   [partCount]string // the splits' names as the container has them
	divided bool              // whether there are splits; otherwise all is training
	notes   []string
	leftOut []LeftOut
}

// parseLayout decides what the folders below root mean, as the table in docs/DATA.md
// says. What could mean two things is refused.
func parseLayout(root *node) (*layout, error) {
	l := &layout{top: root}
	for {
		l.leaveStores()
		splits := splitsOf(l.top)
		if len(splits) > 0 {
			if err := l.divide(splits); err != nil {
				return nil, err
			}
			break
		}
		next, err := l.within()
		if err != nil {
			return nil, err
		}
		if next == nil {
			l.splits[partTrain] = l.top
			if err := l.checkClassFolders(); err != nil {
				return nil, err
			}
			break
		}
		for _, d := range l.top.withImages() {
			if d != next {
				l.leave(d, "images in %s/, beside the data set in %s/", d.path, next.path)
			}
		}
		l.loose(l.top)
		l.top = next
	}
	return l, nil
}

// leaveStores takes out folders that only keep what links in others stand for, as
// in pool/1.png and train/cat/1.png, a link to it.
func (l *layout) leaveStores() {
	var stores []*node
	for _, d := range l.top.withImages() {
		if _, _, isSplit := splitName(d.name); !isSplit && d.linked == d.total {
			stores = append(stores, d)
		}
	}
	if len(stores) == 0 || len(stores) == len(l.top.withImages()) {
		return
	}
	for _, d := range stores {
		l.leave(d, "images in %s/, which links in other folders stand for", d.path)
		l.top.dirs = slices.DeleteFunc(l.top.dirs, func(n *node) bool { return n == d })
		l.top.total -= d.total
	}
}

// leave counts the images of a folder that is in no split.
func (l *layout) leave(n *node, what string, args ...any) {
	l.leftOut = append(l.leftOut, LeftOut{What: fmt.Sprintf(what, args...), Count: n.total})
}

// loose counts the images that a folder holds beside its folders.
func (l *layout) loose(n *node) {
	if len(n.images) > 0 {
		l.leftOut = append(l.leftOut, LeftOut{What: "images outside class folders in " + here(n), Count: len(n.images)})
	}
}

// here names a folder.
func here(n *node) string {
	if n.path == "" {
		return "the top folder"
	}
	return n.path + "/"
}

// split is a folder that is a split by its name and by what it holds.
type split struct {
	*node
	part part
}

// splitsOf returns the folders within n that are splits: a word of their names
// says so, and they hold folders with images. One that holds images alone is a
// class of that name, or images without labels.
func splitsOf(n *node) []split {
	var found []split
	rests := map[string]map[part]bool{} // of names with words of their own, the splits named so
	type named struct {
		split
		rest string
	}
	var candidates []named
	for _, d := range n.dirs {
		p, rest, ok := splitName(d.name)
		if !ok || len(d.withImages()) == 0 {
			continue
		}
		candidates = append(candidates, named{split{d, p}, rest})
		if rests[rest] == nil {
			rests[rest] = map[part]bool{}
		}
		rests[rest][p] = true
	}
	for _, c := range candidates {
		// mnist_train is a split beside mnist_test, and freight_train alone is not.
		if c.rest == "" || len(rests[c.rest]) > 1 {
			found = append(found, c.split)
		}
	}
	return found
}

// divide takes up the splits, and counts what lies beside them.
func (l *layout) divide(splits []split) error {
	l.divided = true
	isSplit := map[*node]bool{}
	for _, s := range splits {
		if at := l.splits[s.part]; at != nil {
			return fmt.Errorf("has both %s/ and %s/, which both mean %s; keep one of them", at.name, s.name, s.part)
		}
		l.splits[s.part], l.spelt[s.part] = s.node, s.name
		isSplit[s.node] = true
	}
	var flat []*node // folders that may be classes
	for _, d := range l.top.dirs {
		if !isSplit[d] && len(d.images) > 0 && !unlabelled(d.name) {
			if _, _, ok := splitName(d.name); !ok {
				flat = append(flat, d)
			}
		}
	}
	if only := splits[0]; len(splits) == 1 && (len(flat) > 1 || len(flat) == 1 && len(only.withImages()) == 1) {
		return fmt.Errorf("%s/ holds folders (%s) and %s hold images: it may be a split beside other folders, or one of the classes; "+
			"for a split, move the others elsewhere; for a class, move its images up into it", only.name, spelt(only.withImages()), spelt(flat))
	}
	for _, d := range l.top.dirs {
		p, _, named := splitName(d.name)
		switch {
		case isSplit[d]:
		case d.total == 0 && named && l.splits[p] == nil:
			l.notes = append(l.notes, fmt.Sprintf("%s/ holds no image that can be read", d.name))
		case d.total == 0:
		case unlabelled(d.name):
			l.leave(d, "images in %s/, whose name says that they have no labels", d.name)
		case named && len(d.withImages()) == 0:
			l.leave(d, "images in %s/, in no class folder", d.name)
		default:
			l.leave(d, "images in %s/, which is none of train, val, test", d.name)
		}
	}
	l.loose(l.top)
	return nil
}

// unwrap goes down in each split to the folder that holds the class folders.
// known are the classes, once the training set has said them.
func (l *layout) unwrap(p part, known map[string]int32) {
	for n := l.splits[p]; n != nil && l.divided; {
		next := n.sole(known)
		if next == nil {
			l.loose(n)
			return
		}
		l.loose(n)
		l.splits[p], n = next, next
	}
}

// within returns the folder below the top one that holds the data set, or nil
// where the top one's folders are the classes.
func (l *layout) within() (*node, error) {
	var holders []*node
	for _, d := range l.top.dirs {
		if holdsSplits(d) {
			holders = append(holders, d)
		}
	}
	switch len(holders) {
	case 0:
		return l.top.sole(nil), nil
	case 1:
		return holders[0], l.checkBeside(holders[0])
	}
	return nil, fmt.Errorf("has splits in several folders, %s: they are different data sets, or parts of one; name one of them, or put the splits on top (train/, val/, test/)", spelt(holders))
}

// checkBeside refuses a folder with a single split beside several folders that
// hold images: they may be the classes, and it one of them.
func (l *layout) checkBeside(holder *node) error {
	var flat []*node
	for _, d := range l.top.withImages() {
		if d != holder && len(d.images) > 0 {
			flat = append(flat, d)
		}
	}
	within := holder
	for len(splitsOf(within)) == 0 {
		within = within.sole(nil)
	}
	if s := splitsOf(within); len(s) == 1 && len(flat) > 1 {
		return fmt.Errorf("%s/ holds a split (%s/) and %s images: the classes may be in the one or be the others; name the folder that holds the data set, or move the others elsewhere",
			within.path, s[0].name, holds(flat))
	}
	return nil
}

// holdsSplits reports whether n has splits within, perhaps below folders that
// stand alone.
func holdsSplits(n *node) bool {
	for ; n != nil; n = n.sole(nil) {
		if len(splitsOf(n)) > 0 {
			return true
		}
	}
	return false
}

// checkClassFolders refuses folders without splits that look like something else
// than classes.
func (l *layout) checkClassFolders() error {
	classes := l.top.withImages()
	var flat, deep, flatSplits []*node
	for _, d := range classes {
		switch {
		case len(d.images) > 0:
			flat = append(flat, d)
			if _, rest, ok := splitName(d.name); ok && rest == "" {
				flatSplits = append(flatSplits, d)
			}
		case len(d.withImages()) > 1:
			deep = append(deep, d)
		}
	}
	switch shared := sharedFolders(classes); {
	case len(flatSplits) > 0 && len(flatSplits) == len(classes):
		return fmt.Errorf("%s images and no class folders; put each class's images in a folder of its name", holds(flatSplits))
	case len(shared) > 1 && len(flat) == 0:
		return fmt.Errorf("%s have the same folders within, %s: one of the two levels is classes and the other is not; "+
			"put the classes below splits (train/, val/, test/), or each class's images together in one folder", spelt(classes), some(shared, ", "))
	case len(deep) == 1 && len(flat) > 0:
		return fmt.Errorf("%s/ holds folders (%s) and %s images: the classes may be the folders in %s/, or %s/ one of them; "+
			"name the folder that holds the classes, or move the images of %s/ up into it",
			deep[0].name, spelt(deep[0].withImages()), holds(flat), deep[0].name, deep[0].name, deep[0].name)
	}
	for _, d := range flatSplits {
		l.notes = append(l.notes, fmt.Sprintf("%s/ is a class, not a split: it holds images, not class folders", d.name))
	}
	l.loose(l.top)
	return nil
}

// holds begins a sentence on what folders hold.
func holds(nodes []*node) string {
	if len(nodes) == 1 {
		return spelt(nodes) + " holds"
	}
	return spelt(nodes) + " hold"
}

// sharedFolders returns the names of folders that all of nodes have within and
// that hold images, sorted and with a slash; nil for less than two nodes.
func sharedFolders(nodes []*node) []string {
	if len(nodes) < 2 {
		return nil
	}
	count := map[string]int{}
	for _, n := range nodes {
		for _, d := range n.withImages() {
			count[strings.ToLower(d.name)+"/"]++
		}
	}
	var out []string
	for name, n := range count {
		if n == len(nodes) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
