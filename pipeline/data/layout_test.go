package data

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// treeOf makes one small image per name; a name that ends in a slash is an empty
// folder, and one that does not end in .png a file of one byte.
func treeOf(t testing.TB, names ...string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for i, n := range names {
		switch {
		case strings.HasSuffix(n, "/"):
			out[n] = nil
		case strings.HasSuffix(n, ".png"):
			out[n] = pngOf(t, 2, 2, shade(i))
		default:
			out[n] = []byte{1}
		}
	}
	return out
}

// inEveryContainer opens files as a folder, a tar, a tar.gz and a zip.
func inEveryContainer(t *testing.T, files map[string][]byte, o Options, check func(t *testing.T, s *Set, err error)) {
	t.Helper()
	for _, c := range []struct{ name, path string }{
		{"folder", writeTree(t, files)},
		{"tar", writeFile(t, "set.tar", tarOf(t, files))},
		{"tar.gz", writeFile(t, "set.tar.gz", gz(t, tarOf(t, files)))},
		{"zip", writeFile(t, "set.zip", zipOf(t, files))},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.path, o)
			check(t, s, err)
			if err == nil {
				s.Close()
			}
		})
	}
}

// said is all that a person is told of a set.
func said(s *Set) []string {
	out := append([]string{}, s.Notes...)
	for _, l := range s.LeftOut {
		out = append(out, l.String())
	}
	return out
}

// TestWhatFoldersMean holds the table in docs/DATA.md.
func TestWhatFoldersMean(t *testing.T) {
	const (
		cut  = "no test set was found"
		pred = "images in %s, whose name says that they have no labels: 1"
	)
	noCut := Options{ValFraction: -1, TestFraction: -1}
	for _, c := range []struct {
		name    string
		files   []string
		o       Options
		classes string
		samples []string // of train, val and test, in that order
		said    []string
	}{
		{
			name:    "a folder named after the split within each split",
			files:   []string{"seg_train/seg_train/a/1.png", "seg_train/seg_train/b/1.png", "seg_test/seg_test/a/2.png", "seg_test/seg_test/b/2.png", "seg_pred/seg_pred/3.png"},
			o:       noCut,
			classes: "a b", samples: []string{"train/a/1.png", "train/b/1.png", "test/a/2.png", "test/b/2.png"},
			said: []string{fmt.Sprintf(pred, "seg_pred/")},
		},
		{
			name:    "training_set and test_set",
			files:   []string{"training_set/a/1.png", "training_set/b/1.png", "test_set/a/2.png", "test_set/b/2.png"},
			o:       noCut,
			classes: "a b", samples: []string{"train/a/1.png", "train/b/1.png", "test/a/2.png", "test/b/2.png"},
		},
		{
			name:    "splits in a folder beside others",
			files:   []string{"data/train/a/1.png", "data/train/b/1.png", "data/test/a/2.png", "data/test/b/2.png", "assets/logo.png", "assets/logo2.png", "README.md"},
			o:       noCut,
			classes: "a b", samples: []string{"train/a/1.png", "train/b/1.png", "test/a/2.png", "test/b/2.png"},
			said: []string{"other files: 1 (1 .md)", "images in assets/, beside the data set in data/: 2"},
		},
		{
			name:    "names with a word of their own that the splits share",
			files:   []string{"mnist_train/0/1.png", "mnist_train/1/1.png", "mnist_test/0/2.png", "mnist_test/1/2.png"},
			o:       noCut,
			classes: "0 1", samples: []string{"train/0/1.png", "train/1/1.png", "test/0/2.png", "test/1/2.png"},
		},
		{
			name:    "a class called train",
			files:   []string{"bus/1.png", "car/1.png", "train/1.png"},
			o:       noCut,
			classes: "bus car train", samples: []string{"bus/1.png", "car/1.png", "train/1.png"},
			said: []string{"train/ is a class, not a split: it holds images, not class folders"},
		},
		{
			name:    "classes with several words, one of which names a split",
			files:   []string{"freight_train/x/1.png", "freight_train/2.png", "tram/1.png"},
			o:       noCut,
			classes: "freight_train tram", samples: []string{"freight_train/2.png", "freight_train/x/1.png", "tram/1.png"},
			said: []string{"images in folders within class folders count as images of the class: 1, such as freight_train/x/1.png"},
		},
		{
			name:    "a test set without class folders",
			files:   []string{"train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", "test/1.png", "test/2.png"},
			o:       Options{ValFraction: -1},
			classes: "a b", samples: []string{"train/a/2.png", "train/b/2.png", "train/a/1.png", "train/b/1.png"},
			said: []string{cut, "images in test/, in no class folder: 2"},
		},
		{
			name:    "a class without validation images",
			files:   []string{"train/a/1.png", "train/b/1.png", "train/c/1.png", "val/a/2.png", "val/b/2.png"},
			o:       noCut,
			classes: "a b c", samples: []string{"train/a/1.png", "train/b/1.png", "train/c/1.png", "val/a/2.png", "val/b/2.png"},
			said: []string{`val/ has no image of "c": nothing is measured of it there`},
		},
		{
			name:    "one name in two Unicode forms",
			files:   []string{"train/caf\u00e9/1.png", "train/th\u00e9/1.png", "test/cafe\u0301/2.png", "test/the\u0301/2.png"},
			o:       noCut,
			classes: "caf\u00e9 th\u00e9", samples: []string{"train/caf\u00e9/1.png", "train/th\u00e9/1.png", "test/cafe\u0301/2.png", "test/the\u0301/2.png"},
		},
		{
			name:    "whole numbers as class names",
			files:   []string{"0/1.png", "1/1.png", "2/1.png", "10/1.png", "11/1.png"},
			o:       noCut,
			classes: "0 1 2 10 11", samples: []string{"0/1.png", "1/1.png", "10/1.png", "11/1.png", "2/1.png"},
		},
		{
			name:    "litter",
			files:   []string{"a/1.png", "b/1.png", "@eaDir/x.png/t.png", "a/@eaDir/1.png/t.png", "#recycle/z/1.png", "lost+found/1.png", "$RECYCLE.BIN/1.png", "a/.hidden.png", ".git/1.png"},
			o:       noCut,
			classes: "a b", samples: []string{"a/1.png", "b/1.png"},
			said: []string{"hidden files and folders: 2 (such as ", "files and folders that storage and desktop systems add: 5 (such as "},
		},
		{
			name:    "empty classes that are allowed",
			files:   []string{"a/1.png", "b/", "c/1.png", "d/1.tif"},
			o:       Options{ValFraction: -1, TestFraction: -1, AllowEmpty: true},
			classes: "a b c d", samples: []string{"a/1.png", "c/1.png"},
			said: []string{`no training sample of class "b", "d"`, "images in formats that are not read: 1 (1 .tif; "},
		},
		{
			name:    "folders below classes with names of their own",
			files:   []string{"dog/pug/1.png", "dog/beagle/1.png", "cat/manx/1.png", "cat/4.png"},
			classes: "", // dog may be a class or hold the classes
			o:       noCut,
			said:    []string{"dog/ holds folders (beagle/, pug/) and cat/ holds images", "move the images of dog/ up"},
		},
		{
			name:    "folders below all classes",
			files:   []string{"dog/pug/1.png", "dog/beagle/1.png", "cat/manx/1.png", "cat/persian/1.png"},
			o:       noCut,
			classes: "cat dog", samples: []string{"cat/manx/1.png", "cat/persian/1.png", "dog/beagle/1.png", "dog/pug/1.png"},
			said: []string{"images in folders within class folders count as images of the class: 4, such as cat/manx/1.png"},
		},
		{
			name:  "the same folders below all",
			files: []string{"fold1/a/1.png", "fold1/b/1.png", "fold2/a/1.png", "fold2/b/1.png"}, o: noCut,
			said: []string{"fold1/, fold2/ have the same folders within, a/, b/", "one of the two levels is classes"},
		},
		{
			name:  "splits below the classes",
			files: []string{"a/train/1.png", "a/test/1.png", "b/train/1.png", "b/test/1.png"}, o: noCut,
			said: []string{"a/, b/ have the same folders within, test/, train/", "put the classes below splits"},
		},
		{
			name:  "splits without class folders",
			files: []string{"train/1.png", "test/1.png"}, o: noCut,
			said: []string{"test/, train/ hold images and no class folders", "in a folder of its name"},
		},
		{
			name:  "two data sets",
			files: []string{"x/train/a/1.png", "x/train/b/1.png", "y/train/a/1.png", "y/train/b/1.png"}, o: noCut,
			said: []string{"splits in several folders, x/, y/", "name one of them"},
		},
		{
			name:  "a train folder with folders beside classes",
			files: []string{"bus/1.png", "car/1.png", "train/steam/1.png", "train/diesel/1.png"}, o: noCut,
			said: []string{"train/ holds folders (diesel/, steam/) and bus/, car/ hold images", "for a class, move its images up"},
		},
		{
			name:  "one split, deeper, beside classes",
			files: []string{"bus/1.png", "car/1.png", "other/train/a/1.png", "other/train/b/1.png"}, o: noCut,
			said: []string{"other/ holds a split (train/) and bus/, car/ hold images"},
		},
		{
			name:  "an empty class",
			files: []string{"amber/", "blue/1.png", "red/1.png"}, o: noCut,
			said: []string{`1 class folder holds no image that can be read: "amber" (empty)`, "allow empty classes"},
		},
		{
			name:  "a class with a hidden file only, and one of formats that are not read",
			files: []string{"train/amber/.keep", "train/blue/1.png", "train/red/1.png", "train/teal/1.tif", "train/teal/2.tif", "train/umber/notes.txt"}, o: noCut,
			said: []string{`3 class folders hold no image that can be read: "train/amber" (empty), "train/teal" (2 .tif, which is not read), "train/umber" (1 .txt)`},
		},
		{
			name:  "both Unicode forms of one name in a split",
			files: []string{"caf\u00e9/1.png", "cafe\u0301/1.png", "x/1.png"}, o: noCut,
			said: []string{"one name in two Unicode forms"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			inEveryContainer(t, treeOf(t, c.files...), c.o, func(t *testing.T, s *Set, err error) {
				if c.classes == "" {
					wantError(t, err, c.said...)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(s.Classes, " "); got != c.classes {
					t.Errorf("got the classes %q, want %q", got, c.classes)
				}
				got := append(append(names(s.Train), names(s.Val)...), names(s.Test)...)
				if len(got) != len(c.samples) {
					t.Errorf("got the samples %q, want %q", got, c.samples)
				} else if c.o.TestFraction < 0 {
					if diff := cmp.Diff(c.samples, got); diff != "" {
						t.Error(diff)
					}
				}
				heard := said(s)
				if len(heard) != len(c.said) {
					t.Fatalf("said %q, want %q", heard, c.said)
				}
				for i, want := range c.said {
					if !strings.HasPrefix(heard[i], want) {
						t.Errorf("said %q, want %q", heard[i], want)
					}
				}
			})
		})
	}
}

func TestEmptyClassesAreAnErrorOfTheirOwn(t *testing.T) {
	_, err := Open(writeTree(t, treeOf(t, "amber/", "blue/1.png", "red/1.png")), Options{})
	if !errors.Is(err, ErrEmptyClass) {
		t.Errorf("got %v, want it to wrap ErrEmptyClass", err)
	}
}

func TestEmptyClassesKeepTheLabelsOfTheOthers(t *testing.T) {
	s := mustOpen(t, writeTree(t, treeOf(t, "amber/", "blue/1.png", "red/1.png")), Options{ValFraction: -1, TestFraction: -1, AllowEmpty: true})
	if diff := cmp.Diff([]int{0, 1, 1}, s.Train.Counts()); diff != "" {
		t.Error(diff)
	}
}

func TestNamesThatMeanASplit(t *testing.T) {
	for name, want := range map[string]string{
		"train": "train", "Train": "train", "TRAINING": "train", "seg_train": "train", "train_set": "train", "training-set": "train",
		"trainset": "train", "TrainSet": "train", "train2017": "train", "train_images": "train", "imagesTrain": "train",
		"val": "val", "valid": "val", "validation": "val", "Validation Set": "val", "dev": "val", "val2017": "val",
		"test": "test", "testing": "test", "testset": "test", "seg_test": "test", "test_data": "test",
		"Final_Training": "train final", "mnist_test": "test mnist", "freight_train": "train freight",
		"trained": "", "latest": "", "contest": "", "device": "", "train_test": "", "data": "", "bus": "", "0": "", "": "",
	} {
		got := ""
		if p, rest, ok := splitName(name); ok {
			got = strings.TrimSpace(p.String() + " " + rest)
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", name, got, want)
		}
	}
}

func TestClassOrder(t *testing.T) {
	for _, c := range []struct{ names, want string }{
		{"10 9 1 0", "0 1 9 10"},
		{"00010 9 1", "1 9 00010"},
		{"01 1 001", "001 01 1"},
		{"0 00", "0 00"},
		{"10 9 a", "10 9 a"},
		{"99999999999999999999999 100000000000000000000000 2", "2 99999999999999999999999 100000000000000000000000"},
		{"b a", "a b"},
	} {
		got := strings.Fields(c.names)
		sortClasses(got)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s is sorted as %s, want %s", c.names, s, c.want)
		}
	}
}
