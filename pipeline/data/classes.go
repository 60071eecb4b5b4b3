package data

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// part is where a sample was found.
type part uint8

const (
	partTrain part = iota
	partVal
	partTest
	partCount
)

func (p part) String() string { return [...]string{"train", "val", "test"}[p] }

// partNames are the folder names that mean a split.
var partNames = map[string]part{
	"train": partTrain, "training": partTrain,
	"val": partVal, "valid": partVal, "validation": partVal,
	"test": partTest, "testing": partTest,
}

// tree is a folder layout understood.
type tree struct {
	files   []file // images only, by name below the skipped folders
	labels  []int32
	parts   []part
	names   []string // sample names: below the skipped folders, splits spelt train, val, test
	classes []string
	notes   []string
}

// plant reads classes and splits out of the names of image files, which are
// sorted.
func plant(files []file) (*tree, error) {
	skip := soleFolder(files)
	cut := func(name string) []string {
		parts := strings.Split(name, "/")
		return parts[skip:]
	}

	split := false
	for i := range files {
		if p := cut(files[i].name); len(p) > 1 {
			_, ok := partNames[strings.ToLower(p[0])]
			split = split || ok
		}
	}

	t := &tree{}
	byPart := [partCount]map[string]bool{}
	folder := [partCount]string{} // as spelt
	type place struct {
		file  int
		part  part
		class string
	}
	var places []place
	loose, strays := 0, map[string]int{}
	looseName := ""
	for i := range files {
		p := cut(files[i].name)
		at := partTrain
		if split {
			found, ok := partNames[strings.ToLower(p[0])]
			if !ok || len(p) == 1 {
				strays[p[0]]++
				continue
			}
			at = found
			if folder[at] != "" && folder[at] != p[0] {
				return nil, fmt.Errorf("has both %s/ and %s/; keep one of them", folder[at], p[0])
			}
			folder[at] = p[0]
			p = p[1:]
		}
		if len(p) == 1 {
			if loose++; loose == 1 {
				looseName = files[i].name
			}
			continue
		}
		if why := printable(p[0]); why != "" {
			return nil, fmt.Errorf("class folder %q %s; rename it", p[0], why)
		}
		if byPart[at] == nil {
			byPart[at] = map[string]bool{}
		}
		byPart[at][p[0]] = true
		places = append(places, place{i, at, p[0]})
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%d images but no class folder: %s lies outside one; put each class's images in a folder of its name", loose, looseName)
	}
	if loose > 0 {
		t.notes = append(t.notes, fmt.Sprintf("%d images outside class folders are not used, such as %s", loose, looseName))
	}
	for _, name := range slices.Sorted(maps.Keys(strays)) {
		t.notes = append(t.notes, fmt.Sprintf("%d images in %s are not used: it is none of train, val, test", strays[name], name))
	}
	if err := agree(byPart, folder); err != nil {
		return nil, err
	}
	for _, set := range byPart {
		if set != nil {
			t.classes = slices.Sorted(maps.Keys(set))
			break
		}
	}
	if len(t.classes) < 2 {
		return nil, fmt.Errorf("has one class only, %q; a classifier needs two or more class folders", t.classes[0])
	}

	label := map[string]int32{}
	for i, c := range t.classes {
		label[c] = int32(i)
	}
	for _, p := range places {
		f := files[p.file]
		parts := cut(f.name)
		if split {
			parts[0] = p.part.String()
		}
		t.files = append(t.files, f)
		t.names = append(t.names, strings.Join(parts, "/"))
		t.labels = append(t.labels, label[p.class])
		t.parts = append(t.parts, p.part)
	}
	return t, nil
}

// soleFolder returns how many leading folders all files share and that mean
// nothing: archives are often made of one folder, named after the data set.
func soleFolder(files []file) int {
	skip := 0
	for {
		first := ""
		for i := range files {
			p := strings.Split(files[i].name, "/")
			// Below the skipped folder there must still be a class and a file.
			if len(p) < skip+3 || (first != "" && p[skip] != first) {
				return skip
			}
			first = p[skip]
		}
		if _, isPart := partNames[strings.ToLower(first)]; isPart || first == "" {
			return skip
		}
		skip++
	}
}

// agree checks that every split has the same classes.
func agree(byPart [partCount]map[string]bool, folder [partCount]string) error {
	for a := range byPart {
		for b := a + 1; b < len(byPart); b++ {
			if byPart[a] == nil || byPart[b] == nil {
				continue
			}
			onlyA, onlyB := missing(byPart[a], byPart[b]), missing(byPart[b], byPart[a])
			if len(onlyA)+len(onlyB) == 0 {
				continue
			}
			var say []string
			if len(onlyA) > 0 {
				say = append(say, fmt.Sprintf("only %s/ has %s", folder[a], quoteSome(onlyA)))
			}
			if len(onlyB) > 0 {
				say = append(say, fmt.Sprintf("only %s/ has %s", folder[b], quoteSome(onlyB)))
			}
			return fmt.Errorf("%s/ and %s/ disagree on the classes: %s; every split needs an image of every class",
				folder[a], folder[b], strings.Join(say, "; "))
		}
	}
	return nil
}

// missing returns what a has and b has not, sorted.
func missing(a, b map[string]bool) []string {
	var out []string
	for name := range a {
		if !b[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// quoteSome lists names, the first few of many.
func quoteSome(names []string) string {
	const most = 8
	var b strings.Builder
	for i, n := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", n)
	}
	return b.String()
}
