package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/digits"
)

// DemoConfig is the demonstration: the same student trained twice on drawn
// street-number digits, alone and with a teacher.
type DemoConfig struct {
	Teacher string // the .onnx file of the teacher, trained on other drawings; empty is digits.Teacher, which is put into Out
	Out     string // folder for the two run folders
	Seed    uint64 // of the drawings, the students and their training
	Images  int    // training images
	Tests   int    // test images
	Epochs  int
	Student string // architecture
	Threads int
	Library string // of ONNX Runtime; empty searches
}

// DefaultDemo returns the demonstration that README reports.
func DefaultDemo() DemoConfig {
	return DemoConfig{
		Out:  filepath.Join("runs", "demo"),
		Seed: 1, Images: 600, Tests: 2000, Epochs: 50, Student: "wrn-10-0.5",
	}
}

// DemoResult is what the demonstration ends with: three models measured on the
// same test images.
type DemoResult struct {
	Teacher, Alone, Distilled *Evaluation
	Student                   string // path of the distilled student
}

// demoValidation is the number of validation images; they are drawn in
// addition to the training images.
const demoValidation = 500

// draw draws the demonstration's images and writes them to a folder, where
// they can be looked at and the runs can be repeated. Seeds of the three splits
// are apart from one another and from those the teacher was trained on, which
// lie below 1,000,000.
func (c DemoConfig) draw() error {
	base := 1_000_000 + 10*c.Seed
	split := func(part uint64, n int) data.Memory {
		drawn := digits.Set(base+part, n)
		return data.Memory{Pixels: drawn.Pixels, Labels: drawn.Labels}
	}
	set, err := data.FromMemory(data.MemorySet{
		Classes: digits.Names(), H: digits.Size, W: digits.Size, C: digits.Channels,
		Train: split(0, c.Images), Val: split(1, demoValidation), Test: split(2, c.Tests),
	})
	if err != nil {
		return err
	}
	return replacePictures(c.Pictures(), set)
}

// replacePictures writes the images of a set where an earlier demonstration may have
// left its own. A file that is none of these stops it: it would be lost, or be
// taken for an image of the demonstration.
func replacePictures(dir string, set *data.Set) error {
	drawn, err := os.MkdirTemp(filepath.Dir(dir), drawnFolder+"*")
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	defer os.RemoveAll(drawn)
	fresh := filepath.Join(drawn, filepath.Base(dir))
	if err := data.WriteFolder(fresh, set); err != nil {
		return err
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(fresh, name)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is not an image of the demo; move it, or run the demo in another folder", path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	return nil
}

// folder is the run folder of one of the two students.
func (c DemoConfig) folder(student string) Folder { return Folder(filepath.Join(c.Out, student)) }

// ours returns an error unless a run that is in the folder is a demonstration's,
// which it is by the images it trains on: they lie beside it.
func (c DemoConfig) ours(folder Folder) error {
	if !folder.isRun() {
		return nil
	}
	k, err := ReadConfig(folder.Config())
	if err != nil {
		return fmt.Errorf("pipeline: %s is not the demo's; run the demo in another folder: %w", folder, err)
	}
	beside, err := filepath.Abs(c.Out)
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	if filepath.Dir(k.Data.Path) != beside || !strings.HasPrefix(filepath.Base(k.Data.Path), pictures) {
		return fmt.Errorf("pipeline: the run in %s is not the demo's; run the demo in another folder", folder)
	}
	return nil
}

// pictures begins the name of the folder of drawn images.
const pictures = "street-numbers-"

// Pictures is the folder of the drawn images.
func (c DemoConfig) Pictures() string {
	return filepath.Join(c.Out, fmt.Sprintf("%s%d-%d-%d", pictures, c.Images, c.Tests, c.Seed))
}

// writeTeacher puts the teacher that the program carries beside the runs, where it can
// be inspected and the runs can be repeated. Another file of its name is left alone.
func (c *DemoConfig) writeTeacher() error {
	c.Teacher = filepath.Join(c.Out, "teacher.onnx")
	carried := digits.Teacher()
	switch there, err := wholefile.Read(c.Teacher); {
	case err == nil && bytes.Equal(there, carried):
		return nil
	case err == nil:
		return fmt.Errorf("pipeline: %s is not the demo's teacher, which would be written there; move it, or run the demo in another folder", c.Teacher)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("pipeline: %w", err)
	}
	return wholefile.Write(c.Teacher, carried)
}

// config is the recipe of both students; alone leaves the teacher out.
func (c DemoConfig) config(alone bool) Config {
	k := Default()
	k.Data.Path = c.Pictures()
	k.Student.Architecture = c.Student
	k.Training.Epochs, k.Training.Seed = c.Epochs, c.Seed
	k.Training.Batch = 50
	// A mirrored digit is no digit. Each epoch has a view of its own, as nothing
	// is recorded: the images are drawn for this once.
	k.Training.Augment = AugmentConfig{Pad: 2, PadMode: "reflect"}
	k.Resources = ResourcesConfig{Threads: c.Threads, OnnxRuntime: c.Library}
	if !alone {
		k.Teacher.Path = c.Teacher
	}
	return k
}

// Demo trains the student alone and with the teacher, for the same number of
// steps on the same images, and measures all three models.
func Demo(ctx context.Context, c DemoConfig, o Options) (*DemoResult, error) {
	r := o.Reporter
	if r == nil {
		r = Silent{}
	}
	for _, student := range []string{"alone", "distilled"} {
		if err := c.ours(c.folder(student)); err != nil {
			return nil, err
		}
	}
	h, err := Folder(c.Out).hold(r)
	if err != nil {
		return nil, err
	}
	defer h.release()
	o.Overwrite, o.Reporter = true, r
	if c.Teacher == "" {
		if err := c.writeTeacher(); err != nil {
			return nil, err
		}
	}
	if err := c.draw(); err != nil {
		return nil, err
	}
	say(r, "drew %d images of street numbers, to look at in %s", c.Images+demoValidation+c.Tests, c.Pictures())
	result := &DemoResult{Student: c.folder("distilled").Student()}
	for _, student := range []struct {
		name  string
		alone bool
		to    **Evaluation
	}{
		{"alone", true, &result.Alone},
		{"distilled", false, &result.Distilled},
	} {
		r.Say("")
		say(r, "student %s", student.name)
		folder := c.folder(student.name)
		if _, err := Train(ctx, c.config(student.alone), folder, o); err != nil {
			return nil, fmt.Errorf("student %s: %w", student.name, err)
		}
		var err error
		if *student.to, err = c.measure(ctx, folder.Student(), o); err != nil {
			return nil, err
		}
	}
	result.Teacher, err = c.measure(ctx, c.Teacher, o)
	return result, err
}

// withoutLines passes on warnings and progress alone: what the images are was said
// before training.
type withoutLines struct{ Reporter }

func (withoutLines) Say(string) {}

func (c DemoConfig) measure(ctx context.Context, model string, o Options) (*Evaluation, error) {
	o.Reporter = withoutLines{o.Reporter}
	return Evaluate(ctx, EvaluateConfig{
		Model: TeacherConfig{Path: model}, Data: DataConfig{Path: c.Pictures()},
		Resources: ResourcesConfig{Threads: c.Threads, OnnxRuntime: c.Library},
	}, o)
}
