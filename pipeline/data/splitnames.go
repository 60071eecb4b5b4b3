package data

import (
	"strings"
	"unicode"
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

// splitWords are the words that name a split.
var splitWords = map[string]part{
	"train": partTrain, "training": partTrain,
	"val": partVal, "valid": partVal, "validation": partVal, "dev": partVal,
	"test": partTest, "testing": partTest,
}

// fillers are the words that say nothing beside one that names a split, as in
// train_images and seg_train.
var fillers = map[string]bool{
	"set": true, "data": true, "dataset": true, "split": true, "seg": true, "folder": true, "dir": true,
	"image": true, "images": true, "img": true, "imgs": true, "photos": true, "pictures": true, "pics": true,
}

// unlabelledWords name folders of images to be classified, whose classes nobody
// has said. They mean that beside splits only: elsewhere a folder of images is a
// class.
var unlabelledWords = map[string]bool{
	"pred": true, "predict": true, "prediction": true, "predictions": true, "inference": true,
	"unlabelled": true, "unlabeled": true, "unsup": true, "unsupervised": true,
}

// words splits a folder's name into lower-case words: at everything that is no
// letter, and between a small letter and a capital one. A suffix such as in
// "trainset" is a word of its own.
func words(name string) []string {
	var out []string
	add := func(w string) {
		w = strings.ToLower(w)
		for filler := range fillers {
			if rest, ok := strings.CutSuffix(w, filler); ok {
				if _, isSplit := splitWords[rest]; isSplit {
					out = append(out, rest, filler)
					return
				}
			}
		}
		if w != "" {
			out = append(out, w)
		}
	}
	var word strings.Builder
	last := rune(0)
	for _, r := range name {
		letter := unicode.IsLetter(r) || unicode.IsMark(r)
		if !letter || unicode.IsUpper(r) && unicode.IsLower(last) {
			add(word.String())
			word.Reset()
		}
		if letter {
			word.WriteRune(r)
		}
		last = r
	}
	add(word.String())
	return out
}

// splitName reads a folder's name. ok is whether one of its words names a split;
// rest are its other words that mean something.
func splitName(name string) (p part, rest string, ok bool) {
	var others []string
	for _, w := range words(name) {
		switch at, isSplit := splitWords[w]; {
		case isSplit && ok:
			return 0, "", false // "train_test" is neither
		case isSplit:
			p, ok = at, true
		case !fillers[w]:
			others = append(others, w)
		}
	}
	return p, strings.Join(others, " "), ok
}

// unlabelled reports whether a folder's name says that its images have no labels.
func unlabelled(name string) bool {
	for _, w := range words(name) {
		if unlabelledWords[w] {
			return true
		}
	}
	return false
}
