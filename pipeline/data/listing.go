package data

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// LeftOut is a kind of file or folder that is in no split, see Set.LeftOut.
type LeftOut struct {
	What   string // in the plural: "hidden files and folders"
	Count  int
	Detail string // an example, the kinds, or what to do; may be empty
}

// String is what a person is told: "hidden files and folders: 2 (such as .git)".
func (l LeftOut) String() string {
	s := fmt.Sprintf("%s: %d", l.What, l.Count)
	if l.Detail != "" {
		s += " (" + l.Detail + ")"
	}
	return s
}

// listing chooses the files of a container that may be data, and keeps account of
// the others and of all folders: a folder may be a class whatever it holds.
type listing struct {
	only    func(name string) bool // the files to list where one data set is named; nil is any
	folders map[string]*content    // by name, without the root; empty ones too
	clutter [clutterKinds]LeftOut
	counted map[string]bool // folders of clutter, which an archive names once for each file in them
	links   []LeftOut       // of archives, not followed
}

// content counts what a folder itself holds besides the files that are listed,
// by extension.
type content struct {
	unread, other map[string]int
	store         bool // links in other folders are names for some of them
}

// folder notes a folder and those above it.
func (l *listing) folder(name string) *content {
	if c := l.folders[name]; c != nil {
		return c
	}
	if l.folders == nil {
		l.folders = map[string]*content{}
	}
	if name != "." {
		l.folder(path.Dir(name))
	}
	c := &content{}
	l.folders[name] = c
	return c
}

// keep reports whether the file of this name may be data.
func (l *listing) keep(name string) bool {
	if l.only != nil {
		return l.only(name)
	}
	c := l.folder(path.Dir(name))
	ext := strings.ToLower(path.Ext(name))
	if imageExtensions[ext] {
		return true
	}
	if base := path.Base(name); binaryFormat(base) != "" || pickleName.MatchString(base) {
		return true
	}
	counts := &c.other
	if unreadImages[ext] {
		counts = &c.unread
	}
	if *counts == nil {
		*counts = map[string]int{}
	}
	(*counts)[ext]++
	return false
}

// hide reports whether a path has a part that systems strew about, and counts the
// first such part.
func (l *listing) hide(name string) bool {
	at := 0
	for part := range strings.SplitSeq(name, "/") {
		kind, is := clutterKind(part)
		if !is {
			at += len(part) + 1
			continue
		}
		if at > 0 {
			l.folder(name[:at-1])
		}
		first := name[:at+len(part)]
		if l.counted[first] {
			return true
		}
		if l.counted == nil {
			l.counted = map[string]bool{}
		}
		l.counted[first] = true
		s := &l.clutter[kind]
		if s.Count++; s.Count == 1 {
			s.What, s.Detail = clutterNames[kind], "such as "+first
		}
		return true
	}
	return false
}

// leftOut is what was not listed, by kind.
func (l *listing) leftOut() []LeftOut {
	var out []LeftOut
	for _, s := range append(slices.Clone(l.clutter[:]), l.links...) {
		if s.Count > 0 {
			out = append(out, s)
		}
	}
	unread, other := map[string]int{}, map[string]int{}
	for _, c := range l.folders {
		for ext, n := range c.unread {
			unread[ext] += n
		}
		for ext, n := range c.other {
			other[ext] += n
		}
	}
	if n := sum(unread); n > 0 {
		out = append(out, LeftOut{"images in formats that are not read", n, byExtension(unread) + "; convert them to png to use them"})
	}
	if n := sum(other); n > 0 {
		out = append(out, LeftOut{"other files", n, byExtension(other)})
	}
	return out
}

// byExtension lists counts of files, the most frequent extensions first.
func byExtension(counts map[string]int) string {
	const most = 6
	exts := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(exts, func(a, b string) int { return counts[b] - counts[a] })
	var say []string
	rest := 0
	for i, ext := range exts {
		switch {
		case i >= most:
			rest += counts[ext]
		case ext == "":
			say = append(say, fmt.Sprintf("%d without extension", counts[ext]))
		default:
			say = append(say, fmt.Sprintf("%d %s", counts[ext], ext))
		}
	}
	if rest > 0 {
		say = append(say, fmt.Sprintf("%d of other kinds", rest))
	}
	return strings.Join(say, ", ")
}

func sum(counts map[string]int) int {
	n := 0
	for _, k := range counts {
		n += k
	}
	return n
}

// The kinds of clutter among the images.
const (
	clutterHidden  = iota // by whoever begins names with a dot
	clutterStorage        // by network storage, Windows and macOS
	clutterKinds
)

var clutterNames = [clutterKinds]string{
	"hidden files and folders", "files and folders that storage and desktop systems add",
}

// systemFiles are the names of the files and folders that systems add to people's
// folders, in lower case.
var systemFiles = map[string]bool{
	"__macosx": true, "icon\r": true, "network trash folder": true, "temporary items": true, // macOS
	"thumbs.db": true, "ehthumbs.db": true, "desktop.ini": true, "$recycle.bin": true, "recycler": true, "system volume information": true, // Windows
	"@eadir": true, "#recycle": true, "#snapshot": true, "@tmp": true, "@sharebin": true, // Synology
	"@recycle": true, "@recently-snapshot": true, "@__thumb": true, // QNAP
	"lost+found": true, "found.000": true, // checks of file systems
	"__pycache__": true,
}

// clutterKind says which kind of clutter a part of a path is, if any.
func clutterKind(part string) (kind int, is bool) {
	if part != "." && strings.HasPrefix(part, ".") {
		return clutterHidden, true
	}
	part = strings.ToLower(part)
	// Synology keeps a file's extended attributes beside it, as x.png@SynoEAStream.
	return clutterStorage, systemFiles[part] || strings.HasSuffix(part, "@synoeastream") || strings.HasSuffix(part, "@synoresource")
}
