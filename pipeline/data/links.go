package data

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Symbolic links in archives are followed where they stay in the archive, as
// those in folders are. The file system is never asked: a link is a name for
// another entry, and one that leads out of the archive is counted and left out.

const (
	// maxLinkHops bounds the links followed on the way to one entry; Linux has 40.
	maxLinkHops = 40
	// maxLinkedFiles bounds the files that links to folders add: a few links to
	// each other could stand for any number.
	maxLinkedFiles = 1 << 20
)

// linker follows the symbolic links of an archive.
type linker struct {
	links  map[string]string // targets as written, by the links' names
	passed map[string]file   // entries that are not listed under their own names
	lost   bool              // the content of those is not kept
}

// add notes a link.
func (k *linker) add(name, target string) {
	if k.links == nil {
		k.links = map[string]string{}
	}
	k.links[name] = target
}

// pass notes a regular file that is not listed, to which a link may lead.
func (k *linker) pass(e file) {
	if k.passed == nil {
		k.passed = map[string]file{}
	}
	if len(k.passed) < maxFiles {
		k.passed[e.name] = e
	}
}

// resolve follows a path through links. ok is false where it leads out of the
// archive, or in circles.
func (k *linker) resolve(name string) (string, bool) {
	for range maxLinkHops {
		name = path.Clean(name)
		if name == ".." || strings.HasPrefix(name, "../") || path.IsAbs(name) {
			return "", false
		}
		link, rest := "", ""
		for at := 0; at >= 0; {
			next := strings.IndexByte(name[at:], '/')
			end := len(name)
			if next >= 0 {
				end = at + next
			}
			if _, is := k.links[name[:end]]; is {
				link, rest = name[:end], name[end:]
				break
			}
			at = end + 1
			if next < 0 {
				at = -1
			}
		}
		if link == "" {
			return name, true
		}
		target := k.links[link]
		if path.IsAbs(target) {
			return "", false
		}
		// Not joined, which would cancel ".." with a link before it.
		name = path.Dir(link) + "/" + target + rest
	}
	return "", false
}

// follow adds to list, which is sorted, a file for each link that leads to one,
// and for each file below a folder that a link leads to.
func (k *linker) follow(list []file, l *listing) ([]file, error) {
	if len(k.links) == 0 {
		return list, nil
	}
	at := make(map[string]int, len(list))
	for i := range list {
		at[list[i].name] = i
	}
	var added []file
	folders := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(k.links)) {
		to, ok := k.resolve(name)
		i, listed := at[to]
		other, passed := k.passed[to]
		switch {
		case ok && listed:
			if l.keep(name) {
				added = append(added, list[i].as(name))
				list[i].linked = list[i].linked || path.Dir(to) != path.Dir(name)
			}
		case ok && passed && k.lost && imageExtensions[strings.ToLower(path.Ext(name))]:
			l.leaveLink("symbolic links to files not named as images, which are not followed in a .tar.gz; repack it as .tar or .zip", name, k.links[name])
		case ok && passed:
			if l.keep(name) {
				added = append(added, other.as(name))
				l.folder(path.Dir(to)).store = true
			}
		case ok && l.folders[to] != nil && to != "." && !strings.HasPrefix(name, to+"/"):
			folders[name] = to
		case !imageExtensions[strings.ToLower(path.Ext(name))] && !ok:
			l.keep(name) // no image in any case: counted with the other files
		default:
			l.leaveLink("symbolic links out of the archive, or to what it does not hold", name, k.links[name])
		}
	}
	list = sortFiles(append(list, added...))
	return followFolders(list, folders, l)
}

// leaveLink counts a link that is not followed.
func (l *listing) leaveLink(what, name, target string) {
	for i := range l.links {
		if l.links[i].What == what {
			l.links[i].Count++
			return
		}
	}
	l.links = append(l.links, LeftOut{what, 1, fmt.Sprintf("such as %s to %s", name, target)})
}

// followFolders adds the files below the folders that links lead to. Links below
// such a folder are found in a later round.
func followFolders(list []file, folders map[string]string, l *listing) ([]file, error) {
	const rounds = 4
	total := 0
	for range rounds {
		have := make(map[string]bool, len(list))
		for i := range list {
			have[list[i].name] = true
		}
		var added []file
		for _, name := range slices.Sorted(maps.Keys(folders)) {
			below := folders[name] + "/"
			l.folder(name)
			for dir := range maps.Clone(l.folders) {
				if rest, is := strings.CutPrefix(dir, below); is {
					l.folder(name + "/" + rest)
				}
			}
			first, _ := slices.BinarySearchFunc(list, below, func(f file, s string) int { return strings.Compare(f.name, s) })
			for i := first; i < len(list) && strings.HasPrefix(list[i].name, below); i++ {
				as := name + "/" + list[i].name[len(below):]
				if len(as) > maxNameBytes || have[as] {
					continue
				}
				if total++; total > maxLinkedFiles {
					return nil, fmt.Errorf("symbolic links to folders add more than %d files; repack the archive with the files in their places", maxLinkedFiles)
				}
				added = append(added, list[i].as(as))
				list[i].linked = true
			}
		}
		if len(added) == 0 {
			break
		}
		list = sortFiles(append(list, added...))
	}
	return list, nil
}

// as is the file under another name.
func (f file) as(name string) file {
	f.name, f.linked = name, false
	return f
}
