package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onnxdistill/onnxdistill/pipeline/data"
)

// folderOfDigits writes the tiny run's images as class folders below splits, and
// files below it.
func folderOfDigits(t *testing.T, files map[string]string) string {
	t.Helper()
	_, o := tinyRun(t)
	dir := filepath.Join(t.TempDir(), "digits")
	if err := data.WriteFolder(dir, o.Data); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// before returns the lines said before the one that begins with word.
func (r *transcript) before(t *testing.T, word string) string {
	t.Helper()
	for i, l := range r.said {
		if strings.HasPrefix(l, word) {
			return strings.Join(r.said[:i], "\n") + "\n"
		}
	}
	t.Fatalf("no line begins with %q:\n%s", word, strings.Join(r.said, "\n"))
	return ""
}

func TestWhatTheFolderMeansIsSaidFirst(t *testing.T) {
	dir := folderOfDigits(t, map[string]string{
		"train/1/@eaDir/x.png/t.jpg": "x", "train/1/.hidden": "x", "train/notes.txt": "x", "train/2/scan.tif": "x",
		"samples/1.png": "x", "val/3/broken.png": "x", "test/4/broken.png": "x",
	})
	leftOut := `         left out: hidden files and folders: 1 (such as train/1/.hidden)
         left out: files and folders that storage and desktop systems add: 1 (such as train/1/@eaDir)
         left out: images in formats that are not read: 1 (1 .tif; convert them to png to use them)
         left out: other files: 1 (1 .txt)
         left out: images in samples/, which is none of train, val, test: 1
         left out: bad images, not a png, jpeg, gif, bmp or webp image, whatever its name says: 2 (such as test/4/broken.png)
`
	for _, c := range []struct {
		name, until, want string
		do                func(Options) error
	}{
		{"train", "student", `data     images: 10 classes, 32x32x3, 60 training, 20 validation, 20 test images
         0, 1, 2, 3, 4, 5, 6, 7, 8, 9 (6/2/2 training/validation/test images each)
`, func(o Options) error {
			c, _ := tinyRun(t)
			c.Data.Path, c.Data.SkipBad, c.Training.Epochs = dir, true, 1
			_, err := Train(t.Context(), c, Folder(filepath.Join(t.TempDir(), "run")), o)
			return err
		}},
		{"eval", "", `data     images: 10 classes, 32x32x3, 20 test images
         0, 1, 2, 3, 4, 5, 6, 7, 8, 9 (2 test images each)
`, func(o Options) error {
			_, err := Evaluate(t.Context(), EvaluateConfig{Model: TeacherConfig{Path: demoTeacher}, Data: DataConfig{Path: dir, SkipBad: true}, Latency: 1}, o)
			return err
		}},
		{"verify", "", `data     images: 10 classes, 32x32x3, 20 test images
         0, 1, 2, 3, 4, 5, 6, 7, 8, 9 (2 test images each)
`, func(o Options) error {
			_, err := Verify(t.Context(), VerifyConfig{A: TeacherConfig{Path: demoTeacher}, B: TeacherConfig{Path: demoTeacher}, Data: DataConfig{Path: dir, SkipBad: true}}, o)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &transcript{}
			if err := c.do(Options{Reporter: r}); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(r.said, "\n") + "\n"
			if c.until != "" {
				got = r.before(t, c.until)
			}
			if diff := cmp.Diff(c.want+leftOut, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"2 images cannot be read and are left out"}, r.warned); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDescribeClasses(t *testing.T) {
	many := func(n int, count func(class int) int) (m data.MemorySet) {
		m = data.MemorySet{H: 1, W: 1, C: 1, Options: data.Options{ValFraction: -1, TestFraction: -1}}
		for c := range n {
			m.Classes = append(m.Classes, fmt.Sprint("c", c))
			for range count(c) {
				m.Train.Pixels, m.Train.Labels = append(m.Train.Pixels, 0), append(m.Train.Labels, c)
			}
		}
		return m
	}
	for _, c := range []struct {
		name string
		set  data.MemorySet
		want string
	}{
		{"alike", many(3, func(int) int { return 2 }), "c0, c1, c2 (2 training images each)"},
		{"each with its own", many(3, func(c int) int { return c + 1 }), "c0 1, c1 2, c2 3 (training images)"},
		{"many", many(43, func(c int) int { return 1 + (c+30)%43 }),
			"c0 31, c1 32, c2 33, c3 34, c4 35, c5 36, c6 37, c7 38, … (31 more) …, c39 27, c40 28, c41 29, c42 30 (training images; fewest: c13 1, most: c12 43)"},
		{"many alike", many(21, func(int) int { return 1 }),
			"c0, c1, c2, c3, c4, c5, c6, c7, … (9 more) …, c17, c18, c19, c20 (1 training images each)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := data.FromMemory(c.set)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(describeClasses(s.Classes, []*data.Split{s.Train}, "training"), " ")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	got := wrap(strings.Fields("a bb ccc dd e überlanges ff"), 6)
	if diff := cmp.Diff([]string{"a bb", "ccc dd", "e", "überlanges", "ff"}, got); diff != "" {
		t.Error(diff)
	}
}

// Signals recorded of a long image file are those of all its bytes.
func TestRecordedSignalsFollowTheWholeContentOfImages(t *testing.T) {
	dir := folderOfDigits(t, nil)
	photos, err := filepath.Glob(filepath.Join(dir, "train", "3", "*.png"))
	if err != nil || len(photos) == 0 {
		t.Fatal("no images")
	}
	photo := append(read(t, photos[0]), make([]byte, 100_000)...) // what follows a png's end is nobody's
	c, _ := tinyRun(t)
	c.Data.Path, c.Training.Augment.Views = dir, 1
	c.Resources.Cache = filepath.Join(t.TempDir(), "signals")
	for i, want := range []int{1, 1, 2} {
		photo[len(photo)-1] = byte(i / 2)
		if err := os.WriteFile(photos[0], photo, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := RecordSignals(t.Context(), c, Options{}); err != nil {
			t.Fatal(err)
		}
		folders, err := os.ReadDir(c.Resources.Cache)
		if err != nil || len(folders) != want {
			t.Errorf("after %d recordings: %d folders, want %d (%v)", i+1, len(folders), want, err)
		}
	}
}
