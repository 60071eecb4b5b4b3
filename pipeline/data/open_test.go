package data

import (
	"context"
	"errors"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryContainerHoldsTheSameSet(t *testing.T) {
	files := merge(
		classFolders(t, 5, 6, 8, "train/bird", "train/cat"),
		classFolders(t, 5, 6, 3, "test/bird", "test/cat"),
	)
	loud := merge(files, map[string][]byte{
		"README.md": []byte("hello"), ".DS_Store": {0}, "train/bird/._00.png": {1}, "__MACOSX/train/bird/00.png": {2}, "train/cat/Thumbs.db": {3},
	})
	folder := writeTree(t, loud)
	want := mustOpen(t, folder, Options{Seed: 3})
	if diff := cmp.Diff([]string{"bird", "cat"}, want.Classes); diff != "" {
		t.Fatal(diff)
	}
	pixels := readAll(t, want.Train, want.Val, want.Test)
	if len(pixels) != 22 {
		t.Fatalf("got %d samples, want 22", len(pixels))
	}
	for _, c := range []struct{ name, path string }{
		{"a tar", writeFile(t, "set.tar", tarOf(t, loud))},
		{"a tar without a telling name", writeFile(t, "set", tarOf(t, loud))},
		{"a tar.gz", writeFile(t, "set.tar.gz", gz(t, tarOf(t, loud)))},
		{"a tgz", writeFile(t, "set.tgz", gz(t, tarOf(t, loud)))},
		{"a zip", writeFile(t, "set.zip", zipOf(t, loud))},
		{"a zip under another name", writeFile(t, "set.dat", zipOf(t, loud))},
		{"a tar with a single folder on top", writeFile(t, "set.tar", tarOf(t, under("birdcat", files)))},
		{"a zip with two folders on top of each other", writeFile(t, "set.zip", zipOf(t, under("a/b", files)))},
		{"a tar.gz with ./ before each name", writeFile(t, "set.tgz", gz(t, tarOf(t, under(".", files))))},
		{"a folder with a single folder in it", writeTree(t, under("birdcat", files))},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, budget := range []int64{0, -1} { // decoded by Open, and on demand
				got := mustOpen(t, c.path, Options{Seed: 3, MemoryBudget: budget})
				if got.Format != FormatImages || got.H != 5 || got.W != 6 || got.C != 3 {
					t.Errorf("got %s %dx%dx%d, want images 5x6x3", got.Format, got.H, got.W, got.C)
				}
				if got.Fingerprint != want.Fingerprint {
					t.Error("fingerprint differs from the folder's")
				}
				for i, s := range []*Split{got.Train, got.Val, got.Test} {
					w := []*Split{want.Train, want.Val, want.Test}[i]
					if diff := cmp.Diff(names(w), names(s)); diff != "" {
						t.Errorf("%s: %s", s.Name(), diff)
					}
					if diff := cmp.Diff(w.Labels(), s.Labels()); diff != "" {
						t.Errorf("%s labels: %s", s.Name(), diff)
					}
					for j := range s.Len() {
						if s.ID(j) != w.ID(j) {
							t.Errorf("identity of %s differs from the folder's", s.Sample(j))
						}
					}
					if s.Cached() != (budget == 0) {
						t.Errorf("%s: Cached is %v under budget %d", s.Name(), s.Cached(), budget)
					}
				}
				if diff := cmp.Diff(pixels, readAll(t, got.Train, got.Val, got.Test)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestPixelsAndLabelsOfAFolder(t *testing.T) {
	s := mustOpen(t, writeTree(t, classFolders(t, 2, 3, 4, "b", "a", "10", "9")), Options{ValFraction: -1, TestFraction: -1})
	if diff := cmp.Diff([]string{"10", "9", "a", "b"}, s.Classes); diff != "" {
		t.Error("classes are not sorted by bytes:", diff)
	}
	if s.Train.Len() != 16 || s.Val.Len() != 0 || s.Test.Len() != 0 {
		t.Fatalf("got %d, %d, %d samples, want 16, 0, 0", s.Train.Len(), s.Val.Len(), s.Test.Len())
	}
	for i := range s.Train.Len() {
		class := s.Classes[s.Train.Label(i)]
		if got := filepath.Dir(s.Train.Sample(i)); got != class {
			t.Errorf("sample %s has class %s", s.Train.Sample(i), class)
		}
	}
	got := readAll(t, s.Train)["b/03.png"]
	want := slices.Repeat([]uint8{3, 21, 43}, 6) // shade(3), as RGB
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := s.Train.Read(16, make([]uint8, 18)); err == nil {
		t.Error("reading sample 16 of 16 gives no error")
	}
	if err := s.Train.Read(0, make([]uint8, 17)); err == nil {
		t.Error("reading into 17 of 18 bytes gives no error")
	}
}

func TestLayoutsAreUnderstood(t *testing.T) {
	two := func(prefix string, n int) map[string][]byte {
		return classFolders(t, 2, 2, n, prefix+"a", prefix+"b")
	}
	for _, c := range []struct {
		name             string
		files            map[string][]byte
		o                Options
		train, val, test int
		notes            []string
		leftOut          []LeftOut
	}{
		{name: "train and test, validation cut", files: merge(two("train/", 10), two("test/", 3)), train: 18, val: 2, test: 6},
		{name: "train and val, test cut", files: merge(two("train/", 10), two("val/", 3)), train: 18, val: 6, test: 2,
			notes: []string{"no test set was found: 2 of 20 training samples were set aside as one (seed 0)"}},
		{name: "all three as they are", files: merge(two("train/", 10), two("val/", 2), two("test/", 3)), train: 20, val: 4, test: 6},
		{name: "other spellings", files: merge(two("Training/", 10), two("valid/", 2), two("TESTING/", 3)), train: 20, val: 4, test: 6},
		{name: "no split at all", files: two("", 20), train: 32, val: 4, test: 4,
			notes: []string{"no test set was found: 4 of 40 training samples were set aside as one (seed 0)"}},
		{name: "fractions as asked", files: two("", 20), o: Options{ValFraction: 0.25, TestFraction: 0.5}, train: 14, val: 6, test: 20,
			notes: []string{"no test set was found: 20 of 40 training samples were set aside as one (seed 0)"}},
		{name: "folders within a class", files: two("a/x/", 5), o: Options{TestFraction: -1, ValFraction: -1}, train: 10},
		{name: "images beside the class folders", o: Options{TestFraction: -1, ValFraction: -1},
			files: merge(two("", 5), map[string][]byte{"logo.png": {0}}), train: 10,
			leftOut: []LeftOut{{What: "images outside class folders in the top folder", Count: 1}}},
		{name: "a folder beside train", files: merge(two("train/", 10), two("test/", 3), two("extra/", 2)), train: 18, val: 2, test: 6,
			leftOut: []LeftOut{{What: "images in extra/, which is none of train, val, test", Count: 4}}},
		{name: "images of formats that are not read", o: Options{TestFraction: -1, ValFraction: -1},
			files: merge(two("", 5), map[string][]byte{"a/x.tif": {0}, "b/y.TIF": {0}}), train: 10,
			leftOut: []LeftOut{{"images in formats that are not read", 2, "2 .tif; convert them to png to use them"}}},
		{name: "a test set alone, for evaluation", files: two("test/", 3), o: Options{EvalOnly: true}, test: 6},
		{name: "evaluation takes the test set only", files: merge(two("train/", 10), two("test/", 3)), o: Options{EvalOnly: true}, test: 6},
		{name: "evaluation on everything", files: two("", 5), o: Options{EvalOnly: true, TestFraction: 1}, test: 10,
			notes: []string{"no test set was found: 10 of 10 training samples were set aside as one (seed 0)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustOpen(t, writeTree(t, c.files), c.o)
			if got, want := [3]int{s.Train.Len(), s.Val.Len(), s.Test.Len()}, [3]int{c.train, c.val, c.test}; got != want {
				t.Errorf("got %v samples in train, val, test, want %v", got, want)
			}
			if diff := cmp.Diff(c.notes, s.Notes); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.leftOut, s.LeftOut); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNotADataSetIsRefused(t *testing.T) {
	one := func(names ...string) map[string][]byte {
		out := map[string][]byte{}
		for i, n := range names {
			out[n] = pngOf(t, 2, 2, shade(i))
		}
		return out
	}
	cifar := make([]byte, 3073)
	for _, c := range []struct {
		name string
		path func() string
		o    Options
		want []string
	}{
		{"nothing there", func() string { return filepath.Join(t.TempDir(), "gone") }, Options{}, []string{"gone", "no such file"}},
		{"an empty folder", func() string { return t.TempDir() }, Options{}, []string{"holds no data set", "class folders"}},
		{"a folder of tifs", func() string { return writeTree(t, map[string][]byte{"a/1.tif": {1}, "b/1.tif": {1}}) }, Options{}, []string{"formats that are not read: 2 (2 .tif; convert"}},
		{"a text file", func() string { return writeFile(t, "notes.txt", []byte("hello")) }, Options{}, []string{"notes.txt: not a data set", "CIFAR-10"}},
		{"an empty file", func() string { return writeFile(t, "empty.zip", nil) }, Options{}, []string{"not a data set"}},
		{"a 7-Zip archive", func() string { return writeFile(t, "a.7z", []byte("7z\xbc\xaf\x27\x1c0000")) }, Options{}, []string{"7-Zip archives are not read", ".zip"}},
		{"an xz-compressed tar", func() string { return writeFile(t, "a.tar.xz", []byte("\xfd7zXZ\x00")) }, Options{}, []string{"xz archives are not read"}},
		{"images without class folders", func() string { return writeTree(t, one("1.png", "2.png")) }, Options{}, []string{"2 images but no class folder", "1.png"}},
		{"a single class", func() string { return writeTree(t, one("a/1.png", "a/2.png")) }, Options{}, []string{"one class only", `"a"`}},
		{"classes that differ between splits", func() string {
			return writeTree(t, one("train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dogs/1.png"))
		}, Options{}, []string{"train/ and test/ disagree", `only train/ has "dog"`, `only test/ has "dogs"`}},
		{"a class of the validation set alone", func() string {
			return writeTree(t, one("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png", "val/eel/1.png"))
		}, Options{}, []string{"train/ and val/ disagree", `only val/ has "eel"`, "rename the folders"}},
		{"a test set alone, for training", func() string { return writeTree(t, one("test/a/1.png", "test/b/1.png")) }, Options{}, []string{"no training images"}},
		{"two folders that mean one split", func() string {
			return writeTree(t, one("val/a/1.png", "val/b/1.png", "valid/a/1.png", "train/a/1.png", "train/b/1.png"))
		}, Options{}, []string{"both val/ and valid/"}},
		{"a class name with a newline", func() string { return writeTree(t, one("a\nb/1.png", "c/1.png")) }, Options{}, []string{"unprintable", "rename"}},
		{"different sizes and none chosen", func() string {
			return writeTree(t, map[string][]byte{"a/1.png": pngOf(t, 2, 3, color.White), "b/1.png": pngOf(t, 4, 3, color.White)})
		}, Options{}, []string{"differ in size", "a/1.png is 2x3", "b/1.png is 4x3", "choose the size"}},
		{"CIFAR's Python edition", func() string {
			return writeTree(t, map[string][]byte{"cifar-10-batches-py/data_batch_1": {0}, "cifar-10-batches-py/batches.meta": {0}})
		}, Options{}, []string{"Python edition", "binary edition"}},
		{"two data sets in one folder", func() string {
			return writeTree(t, map[string][]byte{"data_batch_1.bin": cifar, "train_32x32.mat": {0}})
		}, Options{}, []string{"several data sets", "data_batch_1.bin", "train_32x32.mat"}},
		{"one data set in two folders", func() string {
			return writeTree(t, map[string][]byte{"x/data_batch_1.bin": cifar, "y/data_batch_1.bin": cifar})
		}, Options{}, []string{"x/data_batch_1.bin", "y/data_batch_1.bin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(c.path(), c.o)
			wantError(t, err, c.want...)
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"height alone", Options{H: 32}, "give both height and width"},
		{"a size beyond reason", Options{H: 1 << 20, W: 32}, "1048576x32"},
		{"two channels", Options{Channels: 2}, "choose 1 (grey), 3 (RGB) or 0"},
		{"everything for validation", Options{ValFraction: 1}, "validation fraction is 1"},
		{"everything for the test", Options{TestFraction: 1}, "test fraction is 1"},
		{"a negative limit", Options{Limit: -1}, "limit is -1"},
		{"a misspelt fit", Options{Fit: "croop"}, `"croop"; choose one of "crop", "stretch"`},
		{"negative pixels", Options{MaxPixels: -1}, "at most -1 pixels"},
		{"a negative archive limit", Options{ArchiveLimit: -1}, "archive limit is -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(t.TempDir(), c.o)
			wantError(t, err, c.want)
		})
	}
}

func TestBadImagesAreNamedOrSkipped(t *testing.T) {
	whole := pngOf(t, 4, 4, color.White)
	noise := make([]byte, len(whole))
	cut := slices.Clone(whole[:len(whole)-20]) // the header is fine, the pixels are not
	files := merge(classFolders(t, 4, 4, 10, "a", "b"), map[string][]byte{
		"a/03.png": cut, "b/04.png": noise, "b/05.png": {}, "b/06.png": []byte("<html>404</html>"),
	})
	path := writeTree(t, files)
	o := Options{ValFraction: -1, TestFraction: -1}

	t.Run("the first is named and all are counted", func(t *testing.T) {
		_, err := Open(path, o)
		wantError(t, err, "4 of 20 images cannot be used", "2: not a png, jpeg", "1: the file is empty", "a/03.png", "skip bad")
		var bad Bad
		if !errors.As(err, &bad) || bad.Name != "a/03.png" {
			t.Errorf("got %#v, want a Bad that names a/03.png", bad)
		}
	})
	t.Run("those of all splits are counted", func(t *testing.T) {
		set := merge(classFolders(t, 4, 4, 4, "train/a", "train/b"), classFolders(t, 4, 4, 2, "val/a", "val/b"), classFolders(t, 4, 4, 2, "test/a", "test/b"),
			map[string][]byte{"train/a/00.png": cut, "val/b/01.png": cut, "test/a/00.png": cut, "test/b/00.png": noise})
		_, err := Open(writeTree(t, set), Options{})
		wantError(t, err, "4 of 16 images cannot be used", "3: png: invalid format", "1: not a png")
		s := mustOpen(t, writeTree(t, set), Options{SkipBad: true})
		want := []LeftOut{
			{"png: invalid format: unexpected EOF", 3, "such as test/a/00.png"},
			{errNotImage.Error(), 1, "such as test/b/00.png"},
		}
		if diff := cmp.Diff(want, ByReason(s.Bad)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("one that only shows when decoded is named too", func(t *testing.T) {
		files := merge(files, classFolders(t, 4, 4, 10, "b"))
		path := writeTree(t, merge(files, map[string][]byte{"a/03.png": cut}))
		_, err := Open(path, o)
		wantError(t, err, "1 of 20 images cannot be used", "a/03.png", "unexpected EOF")
		// Without room in memory it is found when it is read.
		o := o
		o.MemoryBudget = -1
		s := mustOpen(t, path, o)
		err = s.Train.Read(3, make([]uint8, s.Train.Size()))
		wantError(t, err, "image a/03.png", "unexpected EOF")
	})
	t.Run("skipped ones are listed and the others are whole", func(t *testing.T) {
		for _, budget := range []int64{0, -1} {
			o := o
			o.SkipBad, o.MemoryBudget = true, budget
			s := mustOpen(t, path, o)
			var got []string
			for _, b := range s.Bad {
				got = append(got, b.Name)
			}
			if diff := cmp.Diff([]string{"a/03.png", "b/04.png", "b/05.png", "b/06.png"}, got); diff != "" {
				t.Error(diff)
			}
			if want := "image b/05.png: the file is empty"; s.Bad[2].Error() != want {
				t.Errorf("got %q, want %q", s.Bad[2], want)
			}
			if s.Train.Len() != 16 {
				t.Errorf("got %d samples, want 16", s.Train.Len())
			}
			for name, px := range readAll(t, s.Train) {
				i := int(name[3] - '0')
				if name[0] == 'b' {
					i += 10
				}
				want := shade(i)
				if px[0] != want.R || px[1] != want.G || px[47] != want.B {
					t.Errorf("%s has the pixels of another image: %v, want %v", name, px[:3], want)
				}
			}
		}
	})
	t.Run("a limit is topped up with good ones", func(t *testing.T) {
		for seed := range uint64(8) {
			o := o
			o.SkipBad, o.Limit, o.Seed = true, 15, seed
			o.Progress = func(done, total int) {
				if done > total {
					t.Errorf("seed %d: %d of %d steps are done", seed, done, total)
				}
			}
			s := mustOpen(t, path, o)
			if s.Train.Len() != 15 {
				t.Errorf("seed %d: got %d samples, want 15", seed, s.Train.Len())
			}
			for name, px := range readAll(t, s.Train) {
				i := int(name[3] - '0')
				if name[0] == 'b' {
					i += 10
				}
				if px[0] != shade(i).R {
					t.Errorf("seed %d: %s has the pixels of another image", seed, name)
				}
			}
		}
	})
	t.Run("a class that is lost is an error", func(t *testing.T) {
		o := o
		o.SkipBad = true
		_, err := Open(writeTree(t, merge(classFolders(t, 4, 4, 3, "a"), map[string][]byte{"b/1.png": cut, "b/2.png": noise})), o)
		wantError(t, err, `class "b" has no usable training image`, "2 are bad")
		_, err = Open(writeTree(t, map[string][]byte{"a/1.png": noise, "b/2.png": noise}), o)
		wantError(t, err, "none of the 2 images can be used")
	})
}

func TestFingerprintFollowsContentOnly(t *testing.T) {
	files := classFolders(t, 3, 3, 5, "a", "b")
	print := func(files map[string][]byte, o Options) string {
		return mustOpen(t, writeTree(t, files), o).Fingerprint
	}
	base := print(files, Options{})
	for _, c := range []struct {
		name  string
		files map[string][]byte
		o     Options
		same  bool
	}{
		{"another seed", files, Options{Seed: 9}, true},
		{"another size, limit, budget", files, Options{H: 8, W: 9, Limit: 3, MemoryBudget: -1, Channels: 1}, true},
		{"evaluation only", files, Options{EvalOnly: true}, true},
		{"one pixel changed", merge(files, map[string][]byte{"a/00.png": pngOf(t, 3, 3, color.Black)}), Options{}, false},
		{"one image more", merge(files, map[string][]byte{"a/99.png": files["a/00.png"]}), Options{}, false},
		{"a class renamed", classFolders(t, 3, 3, 5, "a", "c"), Options{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := print(c.files, c.o); (got == base) != c.same {
				t.Errorf("fingerprint equal is %v, want %v", got == base, c.same)
			}
		})
	}
}

func TestSpellingOfSplitsDoesNotChangeIdentities(t *testing.T) {
	set := func(train, val string) *Set {
		return mustOpen(t, writeTree(t, classFolders(t, 3, 3, 5, train+"/a", train+"/b", val+"/a", val+"/b")), Options{})
	}
	one, two := set("train", "val"), set("Training", "valid")
	if one.Fingerprint != two.Fingerprint {
		t.Error("fingerprints differ")
	}
	if diff := cmp.Diff(names(one.Val), names(two.Val)); diff != "" {
		t.Error(diff)
	}
}

func TestFingerprintSeesEveryByte(t *testing.T) {
	m := MemorySet{Classes: []string{"a", "b"}, H: 2, W: 2, C: 1, Train: Memory{make([]uint8, 40), []int{0, 1, 0, 1, 0, 1, 0, 1, 0, 1}}}
	seen := map[string]int{}
	for i := -1; i < len(m.Train.Pixels); i++ {
		if i >= 0 {
			m.Train.Pixels[i]++
		}
		s, err := FromMemory(m)
		if err != nil {
			t.Fatal(err)
		}
		if before, twice := seen[s.Fingerprint]; twice {
			t.Errorf("changing byte %d gives the fingerprint of byte %d", i, before)
		}
		seen[s.Fingerprint] = i
	}
}

func TestLinksInFolders(t *testing.T) {
	real := writeTree(t, classFolders(t, 2, 2, 4, "a", "b"))
	dir := t.TempDir()
	link := func(old, new string) {
		t.Helper()
		if err := os.Symlink(old, filepath.Join(dir, new)); err != nil {
			t.Skip("this file system has no symbolic links:", err)
		}
	}
	link(filepath.Join(real, "a"), "a")
	link(filepath.Join(real, "b"), "b")
	s := mustOpen(t, dir, Options{ValFraction: -1, TestFraction: -1})
	if s.Train.Len() != 8 {
		t.Errorf("got %d samples through links, want 8", s.Train.Len())
	}
	link(dir, "loop")
	_, err := Open(dir, Options{})
	wantError(t, err, "loop", "folder above it")
	if err := os.Remove(filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	link(filepath.Join(real, "gone.png"), "a.png")
	_, err = Open(dir, Options{})
	wantError(t, err, "a.png", "link to nothing")
}

func TestClosingAndGivingUp(t *testing.T) {
	path := writeFile(t, "set.zip", zipOf(t, classFolders(t, 3, 3, 5, "a", "b")))
	s := mustOpen(t, path, Options{MemoryBudget: -1})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Train.Read(0, make([]uint8, s.Train.Size()))
	wantError(t, err, "a/", "closed")
	if !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v, want it to wrap fs.ErrClosed", err)
	}

	// What is in memory stays readable.
	s = mustOpen(t, path, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	readAll(t, s.Train, s.Val, s.Test)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = OpenContext(ctx, path, Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestProgressIsOrderedAndEndsComplete(t *testing.T) {
	path := writeTree(t, classFolders(t, 3, 3, 40, "a", "b"))
	for _, o := range []Options{{}, {Limit: 10}, {MemoryBudget: -1}, {EvalOnly: true}} {
		last, final := -1, 0
		o.Progress = func(done, total int) {
			if done < last || done > total {
				t.Errorf("%+v: got %d of %d after %d", o, done, total, last)
			}
			last, final = done, total
		}
		mustOpen(t, path, o)
		if last != final || last < 80 {
			t.Errorf("ended at %d of %d, want all of at least 80", last, final)
		}
	}
}

func TestMemoryBudgetIsKept(t *testing.T) {
	path := writeTree(t, merge(classFolders(t, 10, 10, 10, "train/a", "train/b"), classFolders(t, 10, 10, 5, "val/a", "val/b"), classFolders(t, 10, 10, 5, "test/a", "test/b")))
	const train, val, test = 20 * 300, 10 * 300, 10 * 300 // bytes
	for _, c := range []struct {
		name   string
		budget int64
		want   [3]bool
	}{
		{"room for all", train + val + test, [3]bool{true, true, true}},
		{"room for all but the test set", train + val + test - 1, [3]bool{true, true, false}},
		{"room for the training set", train, [3]bool{true, false, false}},
		{"too little for the training set", train - 1, [3]bool{false, true, false}},
		{"none", -1, [3]bool{false, false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustOpen(t, path, Options{MemoryBudget: c.budget})
			if got := [3]bool{s.Train.Cached(), s.Val.Cached(), s.Test.Cached()}; got != c.want {
				t.Errorf("got %v cached, want %v", got, c.want)
			}
			if n := cap(s.Train.pixels) + cap(s.Val.pixels) + cap(s.Test.pixels); int64(n) > max(c.budget, 0) {
				t.Errorf("%d bytes are kept under a budget of %d", n, c.budget)
			}
			readAll(t, s.Train, s.Val, s.Test)
		})
	}
}
