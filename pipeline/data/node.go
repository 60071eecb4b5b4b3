package data

import (
	"path"
	"slices"
	"strings"
)

// node is a folder of a container and what is in it.
type node struct {
	name   string // its own
	path   string // below the container's root, "" for the root itself
	dirs   []*node
	images []int32 // numbers of the files it holds itself
	total  int     // images on all levels
	linked int     // of these, those that links in other folders stand for
	*content
}

// growTree makes the tree of all folders and of files, which are images and sorted by
// name.
func growTree(folders map[string]*content, files []file) *node {
	root := &node{content: folders["."]}
	if root.content == nil {
		root.content = &content{}
	}
	nodes := map[string]*node{".": root}
	var at func(dir string) *node
	at = func(dir string) *node {
		if n := nodes[dir]; n != nil {
			return n
		}
		n := &node{name: path.Base(dir), path: dir, content: folders[dir]}
		if n.content == nil {
			n.content = &content{}
		}
		nodes[dir] = n
		above := at(path.Dir(dir))
		above.dirs = append(above.dirs, n)
		return n
	}
	for dir := range folders {
		at(dir)
	}
	for i := range files {
		n := at(path.Dir(files[i].name))
		n.images = append(n.images, int32(i))
		if files[i].linked {
			n.linked++
		}
	}
	root.settle()
	return root
}

// settle sorts the folders and counts the images.
func (n *node) settle() {
	slices.SortFunc(n.dirs, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	n.total = len(n.images)
	for _, d := range n.dirs {
		d.settle()
		n.total += d.total
		n.linked += d.linked
	}
}

// withImages are the folders within n that hold images, on whatever level.
func (n *node) withImages() []*node {
	var out []*node
	for _, d := range n.dirs {
		if d.total > 0 {
			out = append(out, d)
		}
	}
	return out
}

// all lists the images of n on all levels.
func (n *node) all() []int32 {
	out := slices.Clone(n.images)
	for _, d := range n.dirs {
		out = append(out, d.all()...)
	}
	return out
}

// sole returns the folder within n that alone matters and is no class: archives
// are often made of one folder named after the data set, and splits hold a second
// folder of their own name. known are class names; nil where there is none yet.
func (n *node) sole(known map[string]int32) *node {
	withImages := n.withImages()
	if len(withImages) != 1 {
		return nil
	}
	s := withImages[0]
	inside := len(s.withImages())
	if inside == 0 || inside == 1 && len(s.images) > 0 {
		return nil // a class
	}
	if _, class := known[className(s.name)]; class {
		return nil
	}
	for _, d := range n.dirs {
		if d != s && d.hasUnread() {
			return nil // a class too, whose images cannot be read
		}
	}
	return s
}

// hasUnread reports whether n holds images of formats that are not read.
func (n *node) hasUnread() bool {
	return len(n.unread) > 0 || slices.ContainsFunc(n.dirs, (*node).hasUnread)
}

// isStore reports whether n keeps the content of what links elsewhere name.
func (n *node) isStore() bool { return n.store || slices.ContainsFunc(n.dirs, (*node).isStore) }

// spelt writes folder names as a list, the first few of many.
func spelt(nodes []*node) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.name + "/"
	}
	return some(names, ", ")
}
